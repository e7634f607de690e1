"""One simulated search: a strategy, a benchmark, a protocol and a seed make a run.

    >>> import nasbench_tab as nbt
    >>> run = nbt.run_search("evolution", "nb201-cifar10", nbt.Protocol(evaluations=50), seed=0)
    >>> len(run.values), run.stop
    (50, 'budget')

The clock is simulated: each of ``workers`` workers takes a proposal as soon as it is free and gives
the observation back when the training would have ended. No real time enters any result.
"""

from __future__ import annotations

import math
import operator
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from numbers import Real
from typing import Any

import numpy as np

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import (
    InvalidArchitectureError,
    InvalidArgumentError,
    MissingValueError,
    NasbenchTabError,
    StrategyError,
    unknown_name,
)
from nasbench_tab.records import (
    MEAN_SEED,
    Architecture,
    Observation,
    Problem,
    Protocol,
    Run,
)
from nasbench_tab.registry import load
from nasbench_tab.search.randomness import SeedDraw, run_generator, seed_draw
from nasbench_tab.search.specs import strategy_spec
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.strategies.base import Strategy, StrategySpec

__all__ = ["Answers", "check_protocol", "is_integer", "run_search", "searched_space", "searcher"]


def run_search(
    strategy: str | StrategySpec | Callable[..., Any],
    benchmark: str | Benchmark,
    protocol: Protocol,
    *,
    seed: int = 0,
    run: int = 0,
) -> Run:
    """Simulate one search and return its evaluations.

    Args:
        strategy: A name (``"evolution"``, ``"evolution(population=20)"``, ``"package.module:Name"``),
            a class with ask/tell, or a plain function; see :mod:`nasbench_tab.strategies.base`.
        benchmark: A name or a benchmark.
        protocol: Budget and all other switches.
        seed: Master seed.
        run: Run number; runs with different numbers are independent.

    Raises:
        InvalidArgumentError: The protocol cannot be followed on this benchmark.
        MissingValueError: The strategy asked for something that was never measured.
        StrategyError: The strategy breaks the ask/tell contract.
    """
    return searcher(strategy, benchmark, protocol)(seed, run)


def searcher(
    strategy: str | StrategySpec | Callable[..., Any],
    benchmark: str | Benchmark,
    protocol: Protocol,
    *,
    answers: Answers | None = None,
) -> Callable[[int, int], Run]:
    """Return the function ``(master seed, run number) -> run``, for many runs of one kind.

    Arguments and errors as in :func:`run_search`; everything that can be checked before the first
    run is checked here. Searchers on one benchmark with the same ``protocol.seeds`` may share
    ``answers``, a dict that is empty at first and remembers what was looked up.
    """
    bench = load(benchmark) if isinstance(benchmark, str) else benchmark
    spec = strategy_spec(strategy)
    check_protocol(protocol, bench)
    problem = Problem(searched_space(bench, protocol), bench.objective, bench.epochs)
    _started(spec, problem, np.random.default_rng(0))  # a setting that cannot be is found out here
    name, _, _ = spec.label.partition("(")
    answers = {} if answers is None else answers

    def search(seed: int, run: int) -> Run:
        for what, number in (("seed", seed), ("run", run)):
            if not (is_integer(number) and number >= 0):
                raise InvalidArgumentError(f"{what} must be an integer, 0 or more; got {number!r}.")
        begin = time.process_time()
        generator = run_generator(seed, bench.name, name, spec.settings, run)
        started = _started(spec, problem, generator)
        draw = seed_draw(seed, bench.name, run)
        evaluate, ended = _evaluator(bench, protocol, draw, spec.label, answers)
        trials, free, stop = _simulate(started, spec.label, protocol, evaluate, ended)
        return _record(bench, trials, free, stop, time.process_time() - begin)

    return search


def _started(spec: StrategySpec, problem: Problem, rng: np.random.Generator) -> Strategy:
    try:
        return spec.start(problem, rng)
    except NasbenchTabError:
        raise
    except Exception as err:
        raise _failed(spec.label, "start", err) from err


def searched_space(bench: Benchmark, protocol: Protocol) -> Space:
    """Return the space that a strategy may search under ``protocol``.

    Raises:
        InvalidArgumentError: Part of the space was never measured and the protocol refuses that.
    """
    seed = None if isinstance(protocol.seeds, str) else protocol.seeds
    cells = bench.measured(seed)
    if len(cells) == bench.space.size:
        return bench.space
    if protocol.missing == "masked":
        return MaskedSpace(bench.space, list(map(tuple, cells.tolist())))
    of_seed = "" if seed is None else f" with training seed {seed}"
    raise InvalidArgumentError(
        f"{bench.name} holds {len(cells)} of the {bench.space.size or 'unlimited'} architectures of "
        f"{bench.space.name}{of_seed}. Choose missing='masked' to search among the measured ones."
    )


def check_protocol(protocol: Protocol, bench: Benchmark) -> None:
    """Raise InvalidArgumentError if ``protocol`` makes no sense or cannot be followed on ``bench``."""
    if not isinstance(protocol, Protocol):
        raise InvalidArgumentError(f"Expected Protocol(evaluations=...); got {protocol!r}.")
    evaluations, seconds = protocol.evaluations, protocol.seconds
    if evaluations is None and seconds is None:
        raise InvalidArgumentError("A search needs a budget: evaluations, seconds, or both.")
    if evaluations is not None and not (is_integer(evaluations) and evaluations > 0):
        raise InvalidArgumentError(
            f"The budget in evaluations must be a positive integer; got {evaluations!r}."
        )
    if seconds is not None and not (_is_number(seconds) and 0 < seconds < math.inf):
        raise InvalidArgumentError(f"The budget in seconds must be positive; got {seconds!r}.")
    if seconds is not None and not bench.has_seconds:
        raise InvalidArgumentError(
            f"{bench.name} has no training times, so a budget in seconds means nothing there. "
            "Give the budget in evaluations."
        )
    if not (is_integer(protocol.workers) and protocol.workers > 0):
        raise InvalidArgumentError(f"workers must be a positive integer; got {protocol.workers!r}.")
    if not (is_integer(protocol.patience) and protocol.patience > 0):
        raise InvalidArgumentError(
            f"patience must be a positive integer; got {protocol.patience!r}."
        )
    for name, known in _SWITCHES.items():
        value = getattr(protocol, name)
        if value not in known and not (name == "seeds" and is_integer(value)):
            raise unknown_name(f"value of the protocol's {name!r}", value, known)
    if protocol.resume == "continue" and not bench.resumable:
        raise InvalidArgumentError(
            f"{bench.name} holds separate trainings, not learning curves: a training there cannot be "
            "continued. Choose resume='restart'."
        )
    _check_limits(protocol.limits, bench)


def _check_limits(limits: object, bench: Benchmark) -> None:
    pairs = isinstance(limits, (tuple, list)) and all(
        isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in limits
    )
    if not pairs:
        raise InvalidArgumentError(f"limits must be pairs (metric, at most); got {limits!r}.")
    for metric, limit in limits:  # type: ignore[attr-defined]
        if metric not in bench.metrics:
            raise unknown_name(f"metric of {bench.name}", metric, bench.metrics)
        if bench.metrics[metric].split != "none":
            free = [name for name, known in bench.metrics.items() if known.split == "none"]
            raise InvalidArgumentError(
                f"A limit on {metric!r} would show the strategy more than it may see; "
                f"limits are for {', '.join(free)}."
            )
        if not _is_number(limit) or math.isnan(limit):
            raise InvalidArgumentError(f"The limit on {metric!r} must be a number; got {limit!r}.")


_SWITCHES = {
    "seeds": ("random", "mean"),
    "overshoot": ("keep", "drop"),
    "repeats": ("pay", "reuse"),
    "resume": ("restart", "continue"),
    "incumbent": ("highest-seen", "full-training"),
    "missing": ("refuse", "masked"),
}


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def is_integer(value: object) -> bool:
    """Return whether ``value`` is a whole number, NumPy's too, and no bool."""
    try:
        operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return not isinstance(value, bool)


_Key = tuple[Architecture, int]  # cell, epoch
_Code = bytes | tuple[bytes, int]  # the cell as bytes; with its epoch where that is not the last
# The seeds to draw from, and for each (value, seconds) once it was asked. A benchmark is pure, so all runs of a searcher
# share what was looked up.
Answers = dict[_Code, tuple[tuple[int, ...], list[tuple[float, float] | None]]]
# What evaluating a proposal gives: the observation, the training seed behind it, the raw value and
# the cell as bytes.
_Evaluated = tuple[Observation, int, float, bytes]
# What is kept of an evaluation: cell, epoch, training seed, raw value, end in simulated seconds.
_Trial = tuple[bytes, int, int, float, float]


def _simulate(
    strategy: Strategy,
    label: str,
    protocol: Protocol,
    evaluate: Callable[[Any], _Evaluated],
    ended: Callable[[Observation, int], None],
) -> tuple[list[_Trial], int, str]:
    """Run until the budget is spent; return trials, number of free proposals and why it ended."""
    limit = sys.maxsize if protocol.evaluations is None else protocol.evaluations
    budget = math.inf if protocol.seconds is None else protocol.seconds
    keep, patience = protocol.overshoot == "keep", protocol.patience
    resume = protocol.resume == "continue"
    idle, clock, started, free, stalled = protocol.workers, 0.0, 0, 0, 0
    flight: list[tuple[float, int, Observation, int, float, bytes]] = []  # a heap: end, number, ...
    later: dict[_Key, list[Observation]] = {}  # repeats of what is still in training
    trials: list[_Trial] = []
    stop = "budget"
    while True:
        while idle and started < limit and clock < budget:
            wanted = idle if started + idle <= limit else limit - started
            proposals = _asked(strategy, label, wanted)
            if not proposals:
                if not flight:
                    stop = "exhausted"
                break
            for proposal in proposals:
                observation, seed, value, code = evaluate(proposal)
                status = observation.status
                if status == "ok":
                    seconds = observation.seconds
                    end = clock + seconds if seconds > 0 else clock  # NaN: there are no times
                    heappush(flight, (end, started, observation, seed, value, code))
                    idle -= 1
                    started += 1
                    # Trainings that take no time never spend a budget of seconds alone.
                    stalled = 0 if end > clock or limit < sys.maxsize else stalled + 1
                    continue
                free += 1
                stalled += 1
                if status == "repeat" and any(
                    o.architecture == observation.architecture and o.epoch == observation.epoch
                    for _, _, o, _, _, _ in flight
                ):
                    key = (observation.architecture, observation.epoch)
                    later.setdefault(key, []).append(observation)
                else:
                    _tell(strategy, label, [observation])
            if stalled >= patience:
                stop, limit = "stalled", started  # what is in flight still comes in
        if not flight:
            return trials, free, stop
        clock, _, observation, seed, value, code = heappop(flight)
        idle += 1
        if resume:
            ended(observation, seed)
        if clock <= budget or keep:
            trials.append((code, observation.epoch, seed, value, clock))
            told = [observation]
            if later:
                told += later.pop((observation.architecture, observation.epoch), [])
            _tell(strategy, label, told)


def _asked(strategy: Strategy, label: str, n: int) -> Sequence[Any]:
    try:
        proposals = strategy.ask(n)
    except NasbenchTabError:
        raise
    except Exception as err:
        raise _failed(label, "ask", err) from err
    if proposals is None:
        return ()
    if not isinstance(proposals, (list, tuple)):
        raise StrategyError(f"Strategy {label!r} must give a list of proposals; got {proposals!r}.")
    if len(proposals) > n:
        raise StrategyError(
            f"Strategy {label!r} was asked for {n} proposals and gave {len(proposals)}."
        )
    return proposals


def _tell(strategy: Strategy, label: str, observations: list[Observation]) -> None:
    try:
        strategy.tell(observations)
    except NasbenchTabError:
        raise
    except Exception as err:
        raise _failed(label, "tell", err) from err


def _failed(label: str, where: str, err: Exception) -> StrategyError:
    return StrategyError(f"Strategy '{label}' failed in {where}: {type(err).__name__}: {err}")


def _evaluator(
    bench: Benchmark, protocol: Protocol, draw: SeedDraw, label: str, answers: Answers
) -> tuple[Callable[[Any], _Evaluated], Callable[[Observation, int], None]]:
    """Return two functions: one answers a run's proposals, one is told what has ended.

    They remember what was asked before; a training can be continued once it has ended.
    """
    full, maximize = bench.epochs[-1], bench.objective.direction == "max"
    limits = protocol.limits
    reuse, resume = protocol.repeats == "reuse", protocol.resume == "continue"
    asked: dict[_Code, int] = {}  # how often a cell was trained to an epoch
    first: dict[_Code, Observation] = {}
    trainings: dict[bytes, list[_Training]] = {}  # only where they can be continued

    def evaluate(proposal: Any) -> _Evaluated:
        try:
            cell, epoch = proposal
        except (TypeError, ValueError) as err:
            raise StrategyError(
                f"Strategy {label!r} must propose Proposal(architecture, epoch); got {proposal!r}."
            ) from err
        try:
            # Bytes keep their hash, which tuples compute each time; so they are what is looked up.
            code = bytes(cell)
            if epoch is None:
                epoch = full
            key = code if epoch == full else (code, epoch)
            before, known = asked.get(key, 0), answers.get(key)
        except (TypeError, ValueError) as err:
            raise _malformed(bench, label, cell, epoch) from err
        if known is None:
            known = answers[key] = _possible(bench, protocol, cell, epoch, label)
        if before and reuse:
            return first[key]._replace(status="repeat", seconds=0.0), MEAN_SEED, math.nan, code
        if limits and any(not bench.query(cell, name) <= most for name, most in limits):
            infeasible = Observation(cell, epoch, -math.inf, 0.0, "infeasible")
            return infeasible, MEAN_SEED, math.nan, code
        asked[key] = before + 1
        seeds, found = known
        if resume:
            training = _continued(trainings.setdefault(code, []), epoch)
            before = training.number
        which = 0 if len(seeds) == 1 else draw(code, before, len(seeds))
        seed, answer = seeds[which], found[which]
        if answer is None:
            answer = found[which] = _looked_up(bench, cell, epoch, seed)
            if answer is None:
                asked[key] -= 1  # it was not answered: the next time is no repeat
                return Observation(cell, epoch, -math.inf, 0.0, "infeasible"), seed, math.nan, code
        value, seconds = answer
        if resume:
            paid, training.seconds = training.seconds, seconds
            seconds -= paid
            training.epoch, training.seed, training.running = epoch, seed, True
            training.score = value if maximize else -value
        observation = Observation(cell, epoch, value if maximize else -value, seconds)
        if reuse:
            first[key] = observation
        return observation, seed, value, code

    def ended(observation: Observation, seed: int) -> None:
        for training in trainings[bytes(observation.architecture)]:
            if training.running and (training.epoch, training.seed) == (observation.epoch, seed):
                training.running = False
                return

    return evaluate, ended


@dataclass(slots=True)
class _Training:
    """One training that may be continued: the number-th of its cell, and how far it is."""

    number: int
    epoch: int = 0
    seed: int = MEAN_SEED
    seconds: float = 0.0
    score: float = -math.inf
    running: bool = False


def _continued(trainings: list[_Training], epoch: int) -> _Training:
    """Return the training of a cell that goes on to ``epoch``: a new one where none can.

    Of several it is the one that is furthest, then the one with the best score: what a strategy that
    promotes the best means.
    """
    ready = [known for known in trainings if known.epoch < epoch and not known.running]
    if ready:
        return max(ready, key=lambda known: (known.epoch, known.score))
    trainings.append(_Training(len(trainings)))
    return trainings[-1]


def _looked_up(
    bench: Benchmark, cell: Architecture, epoch: int, seed: int
) -> tuple[float, float] | None:
    """Return (value, seconds), a plain pair: no work for the collector of garbage.

    None where a live benchmark trained the cell just now and the training diverged.
    """
    try:
        answer = bench.lookup(cell, epoch=epoch, seed=None if seed == MEAN_SEED else seed)
    except MissingValueError:
        if not bench.stateful:
            raise
        return None
    return answer.value, answer.seconds


def _malformed(bench: Benchmark, label: str, cell: Any, epoch: Any) -> StrategyError:
    if not isinstance(cell, tuple):
        return StrategyError(f"Strategy {label!r} proposed {cell!r}, which is no tuple.")
    try:
        bench.space.check(cell)
    except InvalidArchitectureError as err:
        return StrategyError(f"Strategy {label!r}: {err}")
    if all(isinstance(op, (int, np.integer)) for op in cell):
        return StrategyError(f"Strategy {label!r} proposed epoch {epoch!r}, which is no integer.")
    return StrategyError(f"Strategy {label!r} proposed {cell!r}; its numbers must be integers.")


def _possible(
    bench: Benchmark, protocol: Protocol, cell: Architecture, epoch: int, label: str
) -> tuple[tuple[int, ...], list[tuple[float, float] | None]]:
    """Check a proposal that comes for the first time; return its seeds and room for the answers."""
    if not isinstance(cell, tuple) or not bench.space.contains(cell):
        raise _malformed(bench, label, cell, epoch)
    seeds = _seeds(bench, protocol, cell, label)
    return seeds, [None] * len(seeds)


def _seeds(bench: Benchmark, protocol: Protocol, cell: Architecture, label: str) -> tuple[int, ...]:
    """Return the training seeds to draw from for ``cell``."""
    if protocol.seeds == "mean":
        return (MEAN_SEED,)
    if protocol.seeds != "random":
        return (int(protocol.seeds),)
    seeds = bench.seeds(cell)
    if not seeds:
        raise MissingValueError(
            f"Strategy {label!r} proposed {cell!r}, which {bench.name} never measured."
        )
    return seeds


def _record(
    bench: Benchmark, trials: list[_Trial], free: int, stop: str, cpu_seconds: float
) -> Run:
    n, width = len(trials), len(bench.space.choices)
    cells, epochs, seeds, values, ends = zip(*trials, strict=True) if n else ((),) * 5
    return Run(
        architectures=np.frombuffer(b"".join(cells), np.uint8).reshape(n, width),
        epochs=np.array(epochs, np.int32),
        seeds=np.array(seeds, np.int64),
        values=np.array(values, np.float64),
        seconds=np.array(ends, np.float64) if bench.has_seconds else np.full(n, np.nan),
        free=free,
        stop=stop,
        cpu_seconds=cpu_seconds,
    )
