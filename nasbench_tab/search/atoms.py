"""The possible answers to one draw of random search, and how one draw follows another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import MEAN_SEED, Protocol
from nasbench_tab.search.protocol import check_protocol, searched_epochs, searched_space

__all__ = [
    "Atoms",
    "Draws",
    "atoms",
    "checked_counts",
    "draws",
    "no_exact_law",
    "reachable",
    "seed_table",
]

_Floats = NDArray[np.float64]


class Atoms(NamedTuple):
    """The ``A`` possible answers to one uniform draw among the ``n`` cells within reach.

    Attributes:
        cells: ``(n, cell length)`` the cells within reach.
        which: ``(A,)`` the cell behind each answer, a row of ``cells``.
        seed: ``(A,)`` the training seed behind it;
            :data:`~nasbench_tab.records.MEAN_SEED` where it is a mean.
        observed: ``(A,)`` the value that the search is told.
        score: ``(A,)`` the same, greater is better.
        weight: ``(A,)`` its probability.
        acceptance: Share of all draws that fall on a cell within the limits.
    """

    cells: NDArray[np.uint8]
    which: NDArray[np.intp]
    seed: NDArray[np.int64]
    observed: _Floats
    score: _Floats
    weight: _Floats
    acceptance: float


class Draws(NamedTuple):
    """How answers follow one another; see :func:`nasbench_tab.stats.exact.best_of_draws`.

    Attributes:
        replacement: Whether a cell may be evaluated again.
        reach: ``(K,)`` probability that a run gets at least 1, 2 ... K evaluations; None = it does.
    """

    replacement: bool
    reach: _Floats | None


def atoms(bench: Benchmark, protocol: Protocol) -> Atoms:
    """Return every possible answer to one draw of random search under ``protocol``.

    Raises:
        InvalidArgumentError: The exact law of random search is not known; the message says why.
    """
    check_protocol(protocol, bench)
    reason = no_exact_law(bench, protocol)
    if reason:
        raise InvalidArgumentError(
            f"The exact law of random search is not known: {reason}. "
            "random_search_simulated estimates it from runs."
        )
    cells, acceptance = reachable(bench, protocol)
    n, epoch = len(cells), searched_epochs(bench, protocol)[-1]
    if protocol.seeds == "random":
        ids, table = seed_table(bench, cells, epoch)
        present = np.isfinite(table)
        which, column = np.nonzero(present)
        observed, seed = table[present], ids[column]
        weight = 1 / (n * present.sum(axis=1)[which])
    else:
        fixed = None if protocol.seeds == "mean" else int(protocol.seeds)
        observed, which = bench.query(cells, epoch=epoch, seed=fixed), np.arange(n)
        seed = np.full(n, MEAN_SEED if fixed is None else fixed, np.int64)
        weight = np.full(n, 1 / n)
    score = observed if bench.objective.direction == "max" else -observed
    return Atoms(cells, which, seed, observed, score, weight, acceptance)


def draws(protocol: Protocol, known: Atoms, longest: int) -> Draws:
    """Return how the answers of a run of ``longest`` evaluations follow one another."""
    n, done = len(known.cells), np.arange(longest)
    distinct = protocol.repeats != "pay"
    fresh = np.maximum(n - done, 0) / n if distinct else np.ones(longest)
    # Before each evaluation the run stalls if so many draws in a row cost nothing.
    stalls = (1 - known.acceptance * fresh) ** protocol.patience
    reach = np.cumprod(1 - stalls).astype(np.float64)
    return Draws(not distinct, reach if stalls.any() else None)


def no_exact_law(bench: Benchmark, protocol: Protocol) -> str:
    """Return why the exact law of random search is not known under ``protocol``; empty if it is."""
    distinct = protocol.repeats != "pay"
    if bench.stateful:
        return "every answer of this benchmark is a training, so there is no table to count in"
    if bench.predicts and len(bench.measured()) != bench.space.size:
        return "the space is too large to be listed"
    if not bench.space.uniform and len(bench.measured()) == bench.space.size:
        return "the space's draws are not uniform over its networks"
    if protocol.seconds is not None:
        return "evaluations are ended by a budget in seconds"
    if protocol.workers > 1 and bench.has_seconds:
        return "several workers change the order in which evaluations end"
    if protocol.workers > 1 and (distinct or protocol.limits):
        return "several workers are given free proposals at once"
    drawn = distinct and protocol.seeds == "random"
    if drawn and max(map(len, _seeds(bench, bench.measured()))) > 1:
        return (
            "repeated cells are not counted and each cell keeps the training that was drawn for it, "
            "which makes it a sum over all sets of cells"
        )
    return ""


def reachable(bench: Benchmark, protocol: Protocol) -> tuple[NDArray[np.uint8], float]:
    """Return the measured cells within the limits and their share of the measured ones.

    Raises:
        InvalidArgumentError: There are none, or the protocol refuses gaps and there are some.
    """
    searched_space(bench, protocol)  # raises where there are gaps
    cells = bench.measured(None if isinstance(protocol.seeds, str) else int(protocol.seeds))
    within = np.ones(len(cells), bool)
    for metric, most in protocol.limits:
        within &= bench.query(cells, metric) <= most
    if not within.any():
        raise InvalidArgumentError(
            f"No architecture of {bench.name} keeps the limits {protocol.limits}."
        )
    return cells[within], float(within.mean())


def seed_table(
    bench: Benchmark, cells: NDArray[np.uint8], epoch: int | None = None
) -> tuple[NDArray[np.int64], _Floats]:
    """Return all training seeds of some cells and the observed value of each training.

    Returns:
        ``(S,)`` ascending seeds and ``(n, S)`` values of the objective at ``epoch``; NaN where a cell
        has no such training.
    """
    ids = sorted({seed for seeds in _seeds(bench, cells) for seed in seeds})
    table = np.full((len(cells), len(ids)), np.nan)
    for column, seed in enumerate(ids):
        table[:, column] = bench.query(cells, epoch=epoch, seed=seed, mask=True).filled(np.nan)
    return np.array(ids, np.int64), table


def checked_counts(counts: NDArray[np.int64] | _Floats) -> NDArray[np.int64]:
    """Return numbers of evaluations as integers.

    Raises:
        InvalidArgumentError: One is no whole number of at least 1.
    """
    whole = np.asarray(counts).astype(np.int64)
    if whole.ndim != 1 or (whole != counts).any() or whole.min(initial=1) < 1:
        raise InvalidArgumentError(
            f"counts must be whole numbers of evaluations and start at 1 evaluation; got {counts}."
        )
    return whole


def _seeds(bench: Benchmark, cells: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    return [bench.seeds(cell) for cell in map(tuple, cells.tolist())]
