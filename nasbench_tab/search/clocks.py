"""What each run of a comparison cost in simulated seconds, one clock at a time.

Training while searching, validation passes and the training of the final answer are kept apart, since
published comparisons differ in which of them they count. Elapsed time is what the protocol's clock
showed when a run ended; with several workers it is less than the sum over their trainings.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import NasbenchTabError
from nasbench_tab.records import MEAN_SEED
from nasbench_tab.registry import fingerprint, load
from nasbench_tab.search.frame import run_incumbents
from nasbench_tab.search.results import Results, Trials

__all__ = [
    "Clock",
    "Clocks",
    "benchmark_behind",
    "continued_from",
    "final_seconds",
    "run_clocks",
]

_Floats = NDArray[np.float64]
_TRAINING, _VALIDATION = "train_seconds", "eval_seconds"


class Clock(NamedTuple):
    """Simulated seconds of each run.

    Attributes:
        seconds: ``(R,)``; NaN where nothing was recorded, never 0 in its place.
        note: Why nothing was recorded, or what the figure leaves out; empty: nothing to add.
    """

    seconds: _Floats
    note: str = ""


class Clocks(NamedTuple):
    """The clocks of all runs of one strategy on one benchmark.

    Attributes:
        elapsed: The protocol's clock when the run ended, all workers side by side.
        search: Training seconds of all evaluations, summed over workers, and what those took whose worker
            died; with one worker also what a strategy said its own work took
            (:class:`~nasbench_tab.records.CostedProposal`).
        validation: Seconds of validation passes, likewise.
        final: The full training of the run's last incumbent: the mean over its training seeds.
    """

    elapsed: Clock
    search: Clock
    validation: Clock
    final: Clock


def benchmark_behind(
    results: Results, benchmark: str, training: str | None = None
) -> tuple[Benchmark | None, str]:
    """Return the benchmark that was searched, or None and the reason why it is not at hand.

    ``training`` is one of its trainings; None = its default.
    """
    wanted = results.benchmark(benchmark)["hash"]
    try:
        if fingerprint(benchmark) != wanted:
            return (
                None,
                f"the {benchmark} that is installed here is not the one that was searched",
            )
        return _loaded(benchmark, training, wanted), ""
    except NasbenchTabError as err:
        return None, f"{benchmark} cannot be loaded here: {err}"


@lru_cache(maxsize=8)
def _loaded(benchmark: str, training: str | None, wanted: str) -> Benchmark:
    del wanted  # it only tells versions of a benchmark apart
    return load(benchmark, training=training)


def run_clocks(results: Results, benchmark: str, trials: Trials) -> Clocks:
    """Return the clocks of all runs in ``trials``, which ran on ``benchmark``.

    With one worker and a clock that counts training alone, elapsed and search are the same. Otherwise
    an evaluation's share is what the table says of its cell, epoch and training seed, less what an
    earlier part of the same training had paid already.
    """
    bench, problem = benchmark_behind(results, benchmark, results.protocol.training)
    elapsed = _elapsed(results, benchmark, trials)
    before = continued_from(results, trials)
    validation, charged = _validation(results, bench, problem, trials, before)
    return Clocks(
        elapsed=elapsed,
        search=_search(results, bench, problem, trials, elapsed, before, charged),
        validation=validation,
        final=_final(results, benchmark, trials),
    )


def continued_from(results: Results, trials: Trials) -> NDArray[np.int32]:
    """Return ``(N,)``: the epoch at which each evaluation took up an earlier training; 0 = a new one.

    A higher epoch of the same cell and training seed goes on from the highest epoch that is lower and
    was not continued yet, which is the search's own rule.
    """
    before = np.zeros(len(trials.values), np.int32)
    if results.protocol.resume != "continue":
        return before
    run = np.repeat(np.arange(len(trials.lengths)), trials.lengths)
    open_: dict[tuple[int, bytes, int], list[int]] = {}  # epochs that trainings are paused at
    rows = zip(
        run.tolist(),
        map(bytes, trials.architectures),
        trials.seeds.tolist(),
        trials.epochs.tolist(),
        strict=True,
    )
    for place, (number, cell, seed, epoch) in enumerate(rows):
        paused = open_.setdefault((number, cell, seed), [])
        found = max((known for known in paused if known < epoch), default=0)
        if found:
            paused.remove(found)
            before[place] = found
        paused.append(epoch)
    return before


def final_seconds(results: Results, benchmark: str, trials: Trials) -> Clock:
    """Return ``(N,)``: the full training of each evaluated cell, the mean over its training seeds."""
    training = results.protocol.final_training
    bench, problem = benchmark_behind(results, benchmark, training)
    missing = np.full(len(trials.values), np.nan)
    if bench is None:
        return Clock(missing, problem)
    if not bench.has_seconds:
        return Clock(missing, f"{benchmark} has no training times")
    if not len(trials.values):
        return Clock(missing, "no run has an incumbent")
    found = bench.query(trials.architectures, _TRAINING, mask=True).filled(np.nan)
    return Clock(np.asarray(found, np.float64))


def _elapsed(results: Results, benchmark: str, trials: Trials) -> Clock:
    protocol = results.protocol
    if not results.benchmark(benchmark)["has_seconds"]:
        return Clock(np.full(len(trials.lengths), np.nan), f"{benchmark} has no training times")
    last = _last(trials)
    late = _cut_off(results, trials)
    if not late.any():
        return Clock(last)
    note = "what was in training when the budget ended was discarded; its time until then counts"
    return Clock(np.where(late, float(protocol.seconds or 0.0), last), note)


def _last(trials: Trials) -> _Floats:
    """Return ``(R,)``: when the last evaluation of each run ended, or its worker died; 0 for an empty run."""
    last = np.zeros(len(trials.lengths))
    some = trials.lengths > 0
    last[some] = trials.seconds[np.cumsum(trials.lengths)[some] - 1]
    return last if trials.last_died is None else np.fmax(last, trials.last_died)


def _cut_off(results: Results, trials: Trials) -> NDArray[np.bool_]:
    """Return ``(R,)``: which runs ended with evaluations in training that were discarded."""
    protocol = results.protocol
    if protocol.overshoot != "drop" or protocol.seconds is None:
        return np.zeros(len(trials.lengths), bool)
    limit = np.inf if protocol.evaluations is None else protocol.evaluations
    return np.asarray((trials.stop == "budget") & (trials.lengths < limit))


def _search(
    results: Results,
    bench: Benchmark | None,
    problem: str,
    trials: Trials,
    elapsed: Clock,
    before: NDArray[np.int32],
    charged: _Floats,
) -> Clock:
    protocol = results.protocol
    plain = protocol.validation == "none" and protocol.overhead == "none"
    if np.isnan(elapsed.seconds).all() or (protocol.workers == 1 and plain):
        return elapsed  # one training after another, and nothing else on the clock
    missing = np.full(len(trials.lengths), np.nan)
    if bench is None:
        return Clock(missing, problem)
    late = _cut_off(results, trials)
    if late.any() and protocol.workers > 1:
        return Clock(
            missing,
            "what several workers had in training when the budget ended was discarded, and its time "
            "is not recorded",
        )
    training = _cumulative(bench, trials, _TRAINING, trials.epochs)
    training -= _cumulative(bench, trials, _TRAINING, before)
    if (
        protocol.resume == "continue"
        and protocol.workers > 1
        and not (protocol.overhead == "none" and _starts_fit(trials, training + charged))
    ):
        return Clock(missing, "the results do not say which trainings were continued")
    seconds = _per_run(training, trials.lengths) + (0.0 if trials.lost is None else trials.lost)
    return Clock(np.where(late, seconds + elapsed.seconds - _last(trials), seconds), elapsed.note)


def _starts_fit(trials: Trials, seconds: _Floats) -> bool:
    """Return whether every evaluation that took ``seconds`` began when another one ended, or at 0."""
    ends = np.cumsum(trials.lengths)
    for first, end in zip((ends - trials.lengths).tolist(), ends.tolist(), strict=True):
        free = np.concatenate([[0.0], trials.seconds[first:end]])
        start = trials.seconds[first:end] - seconds[first:end]
        place = np.clip(np.searchsorted(free, start), 1, len(free) - 1)
        off = np.minimum(np.abs(start - free[place - 1]), np.abs(free[place] - start))
        if not (off <= 1e-6 + 1e-9 * trials.seconds[first:end]).all():
            return False
    return True


def _validation(
    results: Results,
    bench: Benchmark | None,
    problem: str,
    trials: Trials,
    before: NDArray[np.int32],
) -> tuple[Clock, _Floats]:
    """Return the clock of validation, and ``(N,)`` what each evaluation was charged for it."""
    protocol, nothing = results.protocol, np.zeros(len(trials.values))
    missing = np.full(len(trials.lengths), np.nan)
    if bench is None:
        return Clock(missing, problem), nothing
    if _VALIDATION not in bench.metrics:
        return Clock(missing, f"{bench.name} has no validation times ({_VALIDATION})"), nothing
    passes = _cumulative(bench, trials, _VALIDATION, trials.epochs)
    if protocol.validation == "every":
        passes -= _cumulative(bench, trials, _VALIDATION, before)
    else:  # the newest pass alone, as far as the table tells passes apart
        known = np.array([0, *bench.epochs] if bench.resumable else [0])
        earlier = known[np.searchsorted(known, trials.epochs) - 1]
        passes -= _cumulative(bench, trials, _VALIDATION, earlier)
        passes /= trials.epochs - earlier
    clock = _per_run(passes, trials.lengths)
    if protocol.validation != "none":
        return Clock(clock, "on the protocol's clock"), passes
    return Clock(clock, "not on the protocol's clock: one pass after each evaluation"), nothing


def _final(results: Results, benchmark: str, trials: Trials) -> Clock:
    every = final_seconds(results, benchmark, trials)
    found = run_incumbents(results, benchmark, trials).which
    seconds = np.full(len(trials.lengths), np.nan)
    if found.shape[1]:
        last = found[:, -1]
        seconds[last >= 0] = every.seconds[last[last >= 0]]
    return Clock(seconds, every.note)


def _cumulative(
    bench: Benchmark, trials: Trials, metric: str, epochs: NDArray[np.integer]
) -> _Floats:
    """Return ``(N,)`` a cumulative metric of each evaluation's training at ``epochs``; 0 at epoch 0."""
    out = np.zeros(len(trials.values))
    pairs = np.stack([epochs.astype(np.int64), trials.seeds], axis=1)
    for epoch, seed in np.unique(pairs[epochs > 0], axis=0).tolist():
        here = (pairs[:, 0] == epoch) & (pairs[:, 1] == seed)
        drawn = None if seed == MEAN_SEED else seed
        found = bench.query(trials.architectures[here], metric, epoch=epoch, seed=drawn, mask=True)
        out[here] = found.filled(np.nan)
    return out


def _per_run(data: _Floats, lengths: NDArray[np.int64]) -> _Floats:
    """Return ``(R,)`` sums over each run's evaluations."""
    run = np.repeat(np.arange(len(lengths)), lengths)
    return np.asarray(np.bincount(run, data, minlength=len(lengths)), np.float64)
