"""One simulated search: a strategy, a benchmark, a protocol and a seed make a run.

    >>> import nasbench_tab as nbt
    >>> run = nbt.run_search("evolution", "nb201-cifar10", nbt.Protocol(evaluations=50), seed=0)
    >>> len(run.values), run.stop
    (50, 'budget')

The clock is simulated: each of ``workers`` workers takes a proposal as soon as it is free and gives
the observation back when the training would have ended. A strategy that says what its own work takes
(:class:`~nasbench_tab.records.CostedProposal`) moves the clock on by it. No real time enters any
result (unless the protocol says ``overhead="measured"``). Workers may die (``failures``).
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

import numpy as np

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError, NasbenchTabError, StrategyError
from nasbench_tab.records import Architecture, CostedProposal, Observation, Problem, Protocol, Run
from nasbench_tab.registry import load
from nasbench_tab.search.costs import cost_metric, cost_of
from nasbench_tab.search.evaluate import Answers, Evaluated, evaluator
from nasbench_tab.search.protocol import (
    check_protocol,
    is_integer,
    searched_epochs,
    searched_space,
)
from nasbench_tab.search.randomness import death_draw, run_generator, seed_draw
from nasbench_tab.search.specs import strategy_spec
from nasbench_tab.strategies.base import Strategy, StrategySpec

__all__ = ["check_protocol", "is_integer", "run_search", "searched_space", "searcher"]


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
    run is checked here. Searchers on one benchmark with the same ``protocol`` may share ``answers``,
    a dict that is empty at first and remembers what was looked up.
    """
    training = protocol.training if isinstance(protocol, Protocol) else None
    bench = load(benchmark, training=training) if isinstance(benchmark, str) else benchmark
    spec = strategy_spec(strategy)
    check_protocol(protocol, bench)
    epochs = searched_epochs(bench, protocol)
    problem = Problem(searched_space(bench, protocol), bench.objective, epochs)
    if protocol.second is not None:
        second, cost = cost_metric(bench, protocol.second), cost_of(bench, protocol.second)
        problem = problem._replace(second=second, cost=cost)
    _started(spec, problem, np.random.default_rng(0))  # a setting that cannot be is found out here
    answers = {} if answers is None else answers

    def search(seed: int, run: int) -> Run:
        for what, number in (("seed", seed), ("run", run)):
            if not (is_integer(number) and number >= 0):
                raise InvalidArgumentError(f"{what} must be an integer, 0 or more; got {number!r}.")
        begin = time.process_time()
        generator = run_generator(seed, bench.name, spec.label, run)
        started = _started(spec, problem, generator)
        if protocol.overhead == "measured":
            started = _Timed(started)
        draw = seed_draw(seed, bench.name, run)
        death = death_draw(seed, bench.name, run, protocol.failures)
        evaluate, ended = evaluator(bench, protocol, draw, death, spec.label, answers)
        ends = _simulate(started, spec.label, protocol, evaluate, ended)
        return _record(bench, *ends, time.process_time() - begin)

    return search


def _started(spec: StrategySpec, problem: Problem, rng: np.random.Generator) -> Strategy:
    try:
        return spec.start(problem, rng)
    except NasbenchTabError:
        raise
    except Exception as err:
        raise _failed(spec.label, "start", err) from err


_Key = tuple[Architecture, int]  # cell, epoch
# What is kept of an evaluation: cell, epoch, training seed, raw value, end in simulated seconds.
_Trial = tuple[bytes, int, int, float, float]


def _simulate(  # noqa: PLR0915 - one loop, read from top to bottom
    strategy: Strategy,
    label: str,
    protocol: Protocol,
    evaluate: Callable[[Any], Evaluated],
    ended: Callable[[Observation, int], None],
) -> tuple[list[_Trial], list[tuple[float, float]], int, str]:
    """Run until the budget is spent.

    Return trials, for each that failed its end and what it took, number of free proposals and why it ended.
    """
    limit = sys.maxsize if protocol.evaluations is None else protocol.evaluations
    budget = math.inf if protocol.seconds is None else protocol.seconds
    keep, resume = protocol.overshoot != "drop", protocol.resume == "continue"
    timed = strategy if isinstance(strategy, _Timed) else None
    idle, clock, started, free, stalled = protocol.workers, 0.0, 0, 0, 0
    numbers = count()  # of all that began; those that failed are not counted as started
    flight: list[tuple[float, int, Observation, int, float, bytes]] = []  # a heap: end, number, ...
    later: dict[_Key, list[Observation]] = {}  # repeats of what is still in training
    trials: list[_Trial] = []
    deaths: list[tuple[float, float]] = []
    stop = "budget"
    while True:
        while idle and started < limit and clock < budget:
            wanted = idle if started + idle <= limit else limit - started
            proposals = _asked(strategy, label, wanted)
            clock += 0.0 if timed is None else timed.taken()
            if not proposals:
                if not flight:
                    stop = "exhausted"
                break
            for number, proposal in enumerate(proposals):
                if (
                    number and clock >= budget
                ):  # one may begin too late, for its own work, and no more
                    break
                clock += _declared(label, proposal)
                observation, seed, value, code = evaluate(proposal)
                status = observation.status
                if status in ("ok", "failed"):
                    seconds = observation.seconds
                    end = clock + seconds if seconds > 0 else clock  # NaN: there are no times
                    heappush(flight, (end, next(numbers), observation, seed, value, code))
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
                    later.setdefault(observation[:2], []).append(observation)
                else:
                    _tell(strategy, label, [observation])
            if stalled >= protocol.patience:
                if flight and flight[0][0] > clock:  # what is in training may open something new
                    stalled = 0
                    break
                stop, limit = "stalled", 0
        if not flight:
            return trials, deaths, free, stop
        end, _, observation, seed, value, code = heappop(flight)
        clock = max(end, clock)  # the strategy's own work may have lasted longer
        idle += 1
        failed = observation.status == "failed"
        if failed:
            started -= 1
        elif resume:
            ended(observation, seed)
        if clock <= budget or keep:
            if failed:
                deaths.append((clock, observation.seconds))
            else:
                trials.append((code, observation.epoch, seed, value, clock))
            told = [observation]
            if later and not failed:
                told += later.pop(observation[:2], [])
            _tell(strategy, label, told)


class _Timed:
    """A strategy whose processor time is counted."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy, self._spent = strategy, 0.0

    def ask(self, n: int) -> Sequence[Any]:
        begin = time.process_time()
        proposals = self._strategy.ask(n)
        self._spent += time.process_time() - begin
        return proposals

    def tell(self, observations: Sequence[Observation]) -> None:
        begin = time.process_time()
        self._strategy.tell(observations)
        self._spent += time.process_time() - begin

    def taken(self) -> float:
        """Return the seconds since this was last asked."""
        spent, self._spent = self._spent, 0.0
        return spent


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


def _declared(label: str, proposal: Any) -> float:
    """Return what a strategy says that its own work on a proposal took."""
    if type(proposal) is not CostedProposal:
        return 0.0
    seconds: Any = proposal.extra_seconds
    known = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not known or not 0 <= seconds < math.inf:
        raise StrategyError(
            f"Strategy {label!r} declared extra_seconds={seconds!r} in a proposal; expected a finite "
            "number of seconds, at least 0."
        )
    return float(seconds)


def _tell(strategy: Strategy, label: str, observations: list[Observation]) -> None:
    try:
        strategy.tell(observations)
    except NasbenchTabError:
        raise
    except Exception as err:
        raise _failed(label, "tell", err) from err


def _failed(label: str, where: str, err: Exception) -> StrategyError:
    return StrategyError(f"Strategy '{label}' failed in {where}: {type(err).__name__}: {err}")


def _record(
    bench: Benchmark,
    trials: list[_Trial],
    deaths: list[tuple[float, float]],
    free: int,
    stop: str,
    cpu_seconds: float,
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
        died=len(deaths),
        lost=math.fsum(seconds for _, seconds in deaths),
        last_died=deaths[-1][0] if deaths and bench.has_seconds else math.nan,
    )
