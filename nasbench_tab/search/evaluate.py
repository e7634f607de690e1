"""What a proposal costs and what is answered: repeats, limits, drawn seeds, continued trainings, deaths."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArchitectureError, MissingValueError, StrategyError
from nasbench_tab.records import MEAN_SEED, Architecture, CostedProposal, Observation, Protocol
from nasbench_tab.search.protocol import searched_epochs
from nasbench_tab.search.randomness import DeathDraw, SeedDraw

__all__ = ["Answers", "Evaluated", "evaluator"]

_Code = bytes | tuple[bytes, int]  # the cell as bytes; with its epoch where that is not the last
# The seeds to draw from, and for each (value, seconds, extra seconds) once it was asked. A benchmark
# is pure, so all runs of a searcher share what was looked up.
Answers = dict[_Code, tuple[tuple[int, ...], list[tuple[float, float, float] | None]]]
# What evaluating a proposal gives: the observation, the training seed behind it, the raw value and
# the cell as bytes.
Evaluated = tuple[Observation, int, float, bytes]


def evaluator(  # noqa: PLR0915 - one proposal, from what was asked to what is answered
    bench: Benchmark,
    protocol: Protocol,
    draw: SeedDraw,
    death: DeathDraw | None,
    label: str,
    answers: Answers,
) -> tuple[Callable[[Any], Evaluated], Callable[[Observation, int], None]]:
    """Return two functions: one answers a run's proposals, one is told what has ended.

    They remember what was asked before; a training can be continued once it has ended.
    """
    full, maximize = searched_epochs(bench, protocol)[-1], bench.objective.direction == "max"
    limits, validation = protocol.limits, protocol.validation
    reuse, forbid = protocol.repeats == "reuse", protocol.repeats == "forbid"
    resume = protocol.resume == "continue"
    asked: dict[_Code, int] = {}  # how often a cell was trained to an epoch
    first: dict[_Code, Observation] = {}
    trainings: dict[bytes, list[_Training]] = {}  # only where they can be continued

    def evaluate(proposal: Any) -> Evaluated:
        try:
            cell, epoch = proposal[:2] if type(proposal) is CostedProposal else proposal
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
        if (before and forbid) or (
            limits and any(not bench.query(cell, name) <= most for name, most in limits)
        ):
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
            answer = found[which] = _looked_up(bench, validation, cell, epoch, seed)
            if answer is None:
                asked[key] -= 1  # it was not answered: the next time is no repeat
                return Observation(cell, epoch, -math.inf, 0.0, "infeasible"), seed, math.nan, code
        value, seconds, extra = answer
        total = seconds
        if resume:
            seconds -= training.seconds
        if death is not None:
            part = death((epoch - (training.epoch if resume else 0)) / full)
            if part is not None:
                asked[key] -= 1  # nothing came of it: the next time is no repeat
                lost = (seconds + extra) * part
                return Observation(cell, epoch, -math.inf, lost, "failed"), seed, math.nan, code
        if resume:
            training.epoch, training.seed, training.running = epoch, seed, True
            training.seconds = total
            training.score = value if maximize else -value
        observation = Observation(cell, epoch, value if maximize else -value, seconds + extra)
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
    bench: Benchmark, validation: str, cell: Architecture, epoch: int, seed: int
) -> tuple[float, float, float] | None:
    """Return (value, seconds up to the epoch, seconds of a pass at its end): no work for the collector.

    None where a live benchmark trained the cell just now and the training diverged.
    """
    drawn = None if seed == MEAN_SEED else seed
    try:
        answer = bench.lookup(cell, epoch=epoch, seed=drawn)
    except MissingValueError:
        if not bench.stateful:
            raise
        return None
    if validation == "none":
        return answer.value, answer.seconds, 0.0
    passes = bench.query(cell, "eval_seconds", epoch=epoch, seed=drawn)
    if validation == "every":
        return answer.value, answer.seconds + passes, 0.0
    # One pass of all that the training had so far, one after each epoch; the newest that can be told apart.
    before = max((known for known in bench.epochs if known < epoch), default=0)
    if bench.resumable and before:
        passes -= bench.query(cell, "eval_seconds", epoch=before, seed=drawn)
        return answer.value, answer.seconds, passes / (epoch - before)
    return answer.value, answer.seconds, passes / epoch


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
) -> tuple[tuple[int, ...], list[tuple[float, float, float] | None]]:
    """Check a proposal that comes for the first time; return its seeds and room for the answers."""
    if not isinstance(cell, tuple) or not bench.space.contains(cell):
        raise _malformed(bench, label, cell, epoch)
    allowed = searched_epochs(bench, protocol)
    if epoch in bench.epochs and epoch > allowed[-1]:
        raise StrategyError(
            f"Strategy {label!r} proposed epoch {epoch}; under this protocol the full training ends "
            f"after epoch {allowed[-1]}."
        )
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
