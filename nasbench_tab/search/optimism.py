"""How optimistic a comparison's winners are, from trainings that the search did not see.

For the final incumbent of each run: the observed value minus the mean of the other trainings of that
cell. Only trainings that the run did not see count, so a cell that it evaluated twice with different
seeds has fewer left. Tables keep two or three trainings a cell, which is enough for a mean over runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError, ResultsError
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.atoms import atoms, checked_counts, draws, seed_table
from nasbench_tab.search.frame import run_incumbents
from nasbench_tab.search.protocol import searched_epochs
from nasbench_tab.search.results import Results, Trials
from nasbench_tab.stats.bootstrap import (
    MIN_RUNS,
    Interval,
    mean_interval,
    resampling_weights,
    widened_level,
)
from nasbench_tab.stats.exact import best_of_draws
from nasbench_tab.stats.optimism import Gaps, gaps

__all__ = [
    "ExactOptimism",
    "Optimism",
    "apart",
    "optimism",
    "random_search_optimism",
    "run_optimism",
]

_Floats = NDArray[np.float64]
_REPETITIONS, _SEED = 2000, 20240
_NOTHING = Interval(*(np.full((), np.nan) for _ in range(3)))
_MEANS = (
    "every value that the search saw is a mean over all trainings of its cell, so none is left to "
    "score on. Compare with seeds='random', or select on one training (seeds=777, say) and score "
    "on the others"
)


class Optimism(NamedTuple):
    """The winner's curse of one strategy on one benchmark, in the objective's unit.

    Attributes:
        benchmark: Its name.
        strategy: Its label.
        observed: Mean over runs of the winner's observed value against its unseen trainings;
            positive = the search looks better than it is. With its 95 % bootstrap interval, NaN
            for fewer than 5 runs.
        reported: The same for the value that reports show: how much of it is optimism. Under
            ``final="mean"`` that is the mean over all trainings, the seen one among them. NaN where
            final values come from other trainings than the search's.
        n: Runs behind both means.
        left_out: Runs whose winner has no training that the run did not see.
        without: Runs without any incumbent.
        reason: Why there is nothing to say; empty where there is.
    """

    benchmark: str
    strategy: str
    observed: Interval
    reported: Interval
    n: int
    left_out: int
    without: int
    reason: str


class ExactOptimism(NamedTuple):
    """Expected optimism of random search after ``C`` counts of evaluations, without Monte-Carlo error.

    Against the mean of all other trainings of the winner, seen or not: with 15,625 cells a run of 100
    evaluations has seen another one in less than 1 % of cases.

    Attributes:
        counts: ``(C,)`` evaluations.
        observed: ``(C,)`` as in :class:`Optimism`.
        reported: ``(C,)`` likewise, for the mean over all trainings.
        left_out: ``(C,)`` probability that the winner has one training only.
    """

    counts: NDArray[np.int64]
    observed: _Floats
    reported: _Floats
    left_out: _Floats


def optimism(
    results: Results, benchmark: str, strategy: str, bench: Benchmark | None = None
) -> Optimism:
    """Return the winner's curse of a strategy: what :func:`run_optimism` says of all runs.

    Arguments and errors as there.
    """
    trials = results.trials(benchmark, strategy)
    found = run_incumbents(results, benchmark, trials).which
    without = int((found[:, -1] < 0).sum()) if found.shape[1] else len(trials.runs)
    if results.protocol.seeds == "mean":
        return Optimism(benchmark, strategy, _NOTHING, _NOTHING, 0, 0, without, _MEANS)
    each = run_optimism(results, benchmark, strategy, bench)
    known = np.isfinite(each.observed)
    n, left_out = int(known.sum()), len(trials.runs) - without - int(known.sum())
    if not n:
        reason = "no run ended with a cell that has a training which the run did not see"
        return Optimism(benchmark, strategy, _NOTHING, _NOTHING, 0, left_out, without, reason)
    observed, reported = _estimates([values[known] for values in each])
    return Optimism(benchmark, strategy, observed, reported, n, left_out, without, "")


def run_optimism(
    results: Results, benchmark: str, strategy: str, bench: Benchmark | None = None
) -> Gaps:
    """Return ``(R,)`` the optimism of each run's final incumbent.

    Args:
        results: A comparison; only the objective is looked at, no test metric.
        benchmark: One of its benchmarks.
        strategy: One of its strategies.
        bench: The benchmark itself, where it is loaded already.

    Returns:
        Observed and reported optimism; NaN where the run has no incumbent or the incumbent no
        training that the run did not see, throughout where the search saw means.

    Raises:
        ResultsError: The table here holds other trainings than those of the comparison.
    """
    protocol, trials = results.protocol, results.trials(benchmark, strategy)
    if bench is None:
        bench = load(benchmark, training=protocol.training)
    if bench.fingerprint != results.benchmark(benchmark)["hash"]:
        raise ResultsError(
            f"{results.directory} was made with another {benchmark} ({results.benchmark(benchmark)['hash']}) "
            f"than the one at hand ({bench.fingerprint}). Compare again, or install that table."
        )
    nothing = np.full(len(trials.runs), np.nan)
    found = run_incumbents(results, benchmark, trials).which
    if protocol.seeds == "mean" or not found.shape[1]:
        return Gaps(nothing, nothing.copy())
    runs = np.flatnonzero(found[:, -1] >= 0)
    if not len(runs):
        return Gaps(nothing, nothing.copy())
    last = found[runs, -1]
    ids, table, seen = _winners(bench, trials, runs, last)
    drawn = trials.seeds[last][:, None] == ids
    direction = bench.objective.direction
    observed, reported = nothing, nothing.copy()
    observed[runs] = gaps(trials.values[last], table, seen, direction).observed
    reported[runs] = _in_report(bench, protocol, trials.architectures[last], ids, seen, drawn)
    return Gaps(observed, reported)


def random_search_optimism(
    bench: Benchmark, protocol: Protocol, counts: NDArray[np.int64]
) -> ExactOptimism:
    """Return the expected optimism of random search's incumbent after each count of evaluations.

    Raises:
        InvalidArgumentError: The search sees means, or its exact law is not known.
    """
    if isinstance(protocol, Protocol) and protocol.seeds == "mean":
        raise InvalidArgumentError(f"There is no optimism to find: {_MEANS}.")
    known, counts = atoms(bench, protocol), checked_counts(counts)
    ids, table = seed_table(bench, known.cells, searched_epochs(bench, protocol)[-1])
    seen = known.seed[:, None] == ids
    each = gaps(known.observed, table[known.which], seen, bench.objective.direction)
    has = np.isfinite(each.observed)
    in_report = _in_report(bench, protocol, known.cells[known.which], ids, seen, seen)
    how = draws(protocol, known, int(counts.max(initial=1)))._asdict()

    def expected(worth: _Floats) -> _Floats:
        return best_of_draws(known.score, np.where(has, worth, 0.0), known.weight, counts, **how)

    share = np.ones(len(counts)) if has.all() else expected(np.ones(len(has)))
    of_pairs = (each.observed, in_report)
    observed, reported = (
        np.divide(expected(gap), share, out=np.full(len(counts), np.nan), where=share > 0)
        for gap in of_pairs
    )
    return ExactOptimism(counts, observed, reported, 1 - share)


def _in_report(
    bench: Benchmark,
    protocol: Protocol,
    cells: NDArray[np.uint8],
    ids: NDArray[np.int64],
    seen: NDArray[np.bool_],
    drawn: NDArray[np.bool_],
) -> _Floats:
    """Return ``(R,)`` the optimism of the values that reports show, those after full training.

    NaN where they are of other trainings than the search's, or of the best epoch.
    """
    other = protocol.final_training not in (None, bench.training)
    if other or protocol.final_epoch != "last" or not len(cells):
        return np.full(len(cells), np.nan)
    unique, number = np.unique(cells, axis=0, return_inverse=True)
    known, full = seed_table(bench, unique)
    table = np.full((len(unique), len(ids)), np.nan)
    table[:, np.searchsorted(ids, known)] = full
    table = table[number.reshape(-1)]
    chosen = np.where(drawn, table, 0.0).sum(axis=1)  # NaN where it never ended
    each = gaps(chosen, table, seen, bench.objective.direction)
    return each.observed if protocol.final == "seen" else each.mean


def _winners(
    bench: Benchmark, trials: Trials, runs: NDArray[np.intp], last: NDArray[np.int64]
) -> tuple[NDArray[np.int64], _Floats, NDArray[np.bool_]]:
    """Return training seeds, the winners' values with each, and which of these their run saw."""
    own, epochs = trials.architectures[last], trials.epochs[last]
    ids, table = seed_table(bench, own, int(epochs[0]))
    for epoch in np.unique(epochs[epochs != epochs[0]]).tolist():
        table[epochs == epoch] = seed_table(bench, own, epoch)[1][epochs == epoch]
    run_of = np.repeat(np.arange(len(trials.runs)), trials.lengths)
    winner = np.full(len(trials.runs), -1)
    winner[runs] = last
    cells = _networks(bench, trials.architectures)
    same = (winner >= 0)[run_of] & (cells == cells[winner[run_of]])
    where = trials.seeds[same][:, None] == ids  # a training at any epoch was seen
    seen = np.zeros(table.shape, bool)
    np.logical_or.at(seen, np.searchsorted(runs, run_of[same]), where)
    drawn = trials.seeds[last][:, None] == ids
    fits = where.any(axis=1).all() and (table[drawn] == trials.values[last]).all()
    if not fits:
        raise ResultsError(
            f"The results hold trainings that {bench.name} does not know. Compare again with this table."
        )
    return ids, table, seen


def apart(
    bench: Benchmark, cells: NDArray[np.uint8], trainings: _Floats
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which of some cells have trainings of their own, and the place there of each cell.

    A table may answer for all cells of one network by the trainings of one of them, or have trained
    each: equal networks with equal trainings are one, for they share their error.
    """
    rows = np.where(np.isnan(trainings), np.inf, trainings)  # NaN would equal nothing
    _, alike, times = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    forms = cells.copy()
    for i in np.flatnonzero(times[alike.reshape(-1)] > 1).tolist():
        forms[i] = bench.space.canonical(tuple(cells[i].tolist()))
    both = np.hstack([forms, rows])
    _, first, which = np.unique(both, axis=0, return_index=True, return_inverse=True)
    return first, which.reshape(-1)


def _networks(bench: Benchmark, cells: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return ``(N,)`` numbers of ``cells``, equal for those whose trainings are the same ones."""
    unique, number = np.unique(cells, axis=0, return_inverse=True)
    _, which = apart(bench, unique, seed_table(bench, unique)[1])
    return which[number.reshape(-1)]


def _estimates(values: list[_Floats]) -> list[Interval]:
    """Return the means over the same runs with their intervals, from the same resamples."""
    n, none = len(values[0]), np.full((), np.nan)
    if n < MIN_RUNS:
        return [Interval(np.asarray(each.mean()), none, none) for each in values]
    weights = resampling_weights(n, _REPETITIONS, np.random.default_rng(_SEED))
    return [mean_interval(each, weights, widened_level(n)) for each in values]
