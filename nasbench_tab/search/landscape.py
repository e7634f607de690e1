"""The landscape that local search sees, by enumeration: optima, basins, expected steps.

>>> import nasbench_tab as nbt
>>> found = landscape(nbt.load("nb201-cifar100"))
>>> found.strict, found.cells, round(found.success, 2)
(26, 15625, 0.78)

Steepest ascent here has no memory: it evaluates all neighbors of the current cell, moves to the best
of them if that is strictly better, and stops where none is. Of equally good best neighbors each is
taken with the same probability, so basins are expected shares of starts; nothing is simulated. It
does not walk along plateaus of equal values. White, Nolen and Savani, "Exploring the Loss Landscape
in Neural Architecture Search", UAI 2021, count the same optima; the rule of their code has a memory
(no cell is evaluated twice), so it needs fewer evaluations.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark, integer
from nasbench_tab.errors import InvalidArgumentError, unknown_name
from nasbench_tab.spaces.base import Space

__all__ = ["Landscape", "landscape", "landscape_rows", "neighbor_array"]

_Floats = NDArray[np.float64]
_Places = NDArray[np.intp]


class Landscape(NamedTuple):
    """What a table's values look like to local search, over ``cells`` equally likely starts.

    Attributes:
        benchmark: Its name.
        metric: The values; greater or less is better as its direction says.
        seeds: ``"mean"``, ``"one"`` or a training seed: see :func:`landscape`.
        cells: Number of cells: all that have such a value.
        space: Number of cells of the space; where there are more than ``cells``, the landscape is
            that of the measured ones, and of the neighbors only the measured ones count.
        neighbors: Smallest, mean and largest number of neighbors.
        optimum: The best value.
        optima: Published strings of the cells that have it.
        strict: Cells all of whose neighbors are worse (cells without neighbors included).
        plateaus: Connected sets of two or more equal cells with no better neighbor anywhere.
        stops: ``(B,)`` numbers (rows of ``bench.measured``) of the cells at which steepest ascent
            stops: no neighbor is better, though an equal one may have one. Largest basin first.
        basins: ``(B,)`` expected share of starts that end in each; they sum to 1.
        steps: Expected moves until it stops.
        evaluations: Expected evaluations until it stops, the start and the neighbors of the last
            cell included; a cell that comes up again is counted again.
        success: Share of starts that end at an optimum.
        until_optimum: Expected evaluations, with restarts, until the neighborhood that holds an
            optimum has been evaluated; infinite where no start gets there.
        distance_correlation: Pearson correlation of score (greater is better) and number of moves
            to the nearest optimum; -1 = straight uphill everywhere. Cells from which there is no
            way are left out. Jones and Forrest, ICGA 1995.
        autocorrelation: Correlation of the values of neighbors (of a random walk's next step).
    """

    benchmark: str
    metric: str
    seeds: str | int
    cells: int
    space: int
    neighbors: tuple[int, float, int]
    optimum: float
    optima: tuple[str, ...]
    strict: int
    plateaus: int
    stops: NDArray[np.int64]
    basins: _Floats
    steps: float
    evaluations: float
    success: float
    until_optimum: float
    distance_correlation: float
    autocorrelation: float


def landscape(
    bench: Benchmark,
    seeds: Literal["mean", "one"] | int = "mean",
    metric: str | None = None,
    *,
    near: _Places | None = None,
) -> Landscape:
    """Return the landscape of a table's values after full training.

    Args:
        bench: A table of a space that can be enumerated.
        seeds: ``"mean"``: the mean over the trainings of each cell; ``"one"``: the first training of
            each cell, a landscape with the noise that a search sees; a number: that training seed,
            over the cells that have it.
        metric: None = the objective.
        near: ``(n, K)`` from :func:`neighbor_array` for ``bench.measured`` of these seeds, where it
            is at hand; building it takes longest.

    Raises:
        InvalidArgumentError: The space cannot be enumerated, or nothing was measured.
        MissingValueError: A measured cell has no value of the metric, or there is no such seed.
    """
    seed = None if isinstance(seeds, str) else integer("seeds", seeds)
    if isinstance(seeds, str) and seeds not in ("mean", "one"):
        raise unknown_name("kind of seeds", seeds, ("mean", "one"))
    if bench.stateful or bench.space.size is None:
        reason = "it trains for real" if bench.stateful else "its space cannot be enumerated"
        raise InvalidArgumentError(
            f"{bench.name} has no landscape: {reason}. Ask for a table of a finite space."
        )
    cells = bench.measured(seed)
    if not len(cells):
        raise InvalidArgumentError(f"{bench.name} holds no measured cell, so no landscape.")
    about = bench.objective if metric is None else bench.metrics.get(metric)
    if about is None:
        raise unknown_name(f"metric of {bench.name}", metric, bench.metrics)
    if seeds == "one":
        values = _first_training(bench, cells, metric)
    else:
        values = bench.query(cells, metric, seed=seed)
    near = neighbor_array(bench.space, cells) if near is None else near
    if near.ndim != 2 or len(near) != len(cells):
        raise InvalidArgumentError(
            f"near must be neighbor_array of the {len(cells)} cells; got shape {near.shape}."
        )
    score = values if about.direction == "max" else -values
    near = np.ascontiguousarray(near.T)  # reductions over many short rows are slow
    around = np.append(score, -np.inf).take(near)  # a missing neighbor is worse than any
    degree = (near >= 0).sum(axis=0)
    best = around.max(axis=0, initial=-np.inf)
    up = best > score
    top = score == score.max()
    strict, plateaus = _optima(score, near, around, up)
    moves = _moves(near, around, best, up)
    ends = _ends(moves, up)
    steps, evaluations, success, until = _climbs(moves, up, top, degree)
    stops = np.flatnonzero(~up)
    stops = stops[np.argsort(-ends[stops], kind="stable")]
    return Landscape(
        benchmark=bench.name,
        metric=about.name,
        seeds=seeds if seed is None else seed,
        cells=len(cells),
        space=bench.space.size,
        neighbors=(int(degree.min()), float(degree.mean()), int(degree.max())),
        optimum=float(values[top][0]),
        optima=tuple(bench.space.format(tuple(cell)) for cell in cells[top].tolist()),
        strict=strict,
        plateaus=plateaus,
        stops=stops,
        basins=ends[stops],
        steps=steps,
        evaluations=evaluations,
        success=success,
        until_optimum=until,
        distance_correlation=_distance_correlation(score, near, top),
        autocorrelation=_autocorrelation(score, near, degree),
    )


def neighbor_array(space: Space, cells: NDArray[np.uint8]) -> _Places:
    """Return ``(n, K)``: the rows of each cell's neighbors among ``cells``, -1 where there are fewer."""
    rows = list(map(tuple, cells.tolist()))
    number = {cell: i for i, cell in enumerate(rows)}
    lists = [[number[c] for c in space.neighbors(cell) if c in number] for cell in rows]
    near = np.full((len(rows), max(map(len, lists), default=0)), -1, np.intp)
    lengths = np.array([len(own) for own in lists])
    near[np.arange(near.shape[1]) < lengths[:, None]] = [other for own in lists for other in own]
    return near


def landscape_rows(found: Landscape) -> list[tuple[str, str, str]]:
    """Return ``(what, figure, note)`` for a table."""
    several = f"{len(found.optima)} cells, one is " if len(found.optima) > 1 else ""
    least, mean, most = found.neighbors
    gaps = f"of {found.space}: the measured ones only" if found.cells < found.space else "all"
    values = {"mean": "mean over trainings", "one": "one training of each cell"}
    return [
        ("values", values.get(str(found.seeds), f"training seed {found.seeds}"), found.metric),
        ("cells", f"{found.cells}", gaps),
        ("neighbors", f"{mean:.1f}", f"{least} to {most}"),
        ("optimum", f"{found.optimum:.6g}", several + found.optima[0]),
        ("strict local optima", f"{found.strict}", "all neighbors are worse"),
        ("plateau optima", f"{found.plateaus}", "connected equal cells, no neighbor better"),
        ("stops", f"{len(found.stops)}", "cells without a better neighbor"),
        ("largest basin", f"{100 * found.basins[0]:.1f} %", "share of starts that end there"),
        ("reach the optimum", f"{100 * found.success:.1f} %", "share of uniform starts"),
        ("steps", f"{found.steps:.2f}", "expected moves until steepest ascent stops"),
        ("evaluations", f"{found.evaluations:.1f}", "expected until it stops, no memory"),
        ("until the optimum", f"{found.until_optimum:.1f}", "expected evaluations, with restarts"),
        ("distance correlation", f"{found.distance_correlation:.3f}", "-1: uphill from everywhere"),
        ("autocorrelation", f"{found.autocorrelation:.3f}", "of neighbors"),
    ]


def _first_training(bench: Benchmark, cells: NDArray[np.uint8], metric: str | None) -> _Floats:
    """Return the value of the first training of each cell."""
    first = np.array([bench.seeds(cell)[0] for cell in map(tuple, cells.tolist())])
    values = np.empty(len(cells))
    for seed in np.unique(first).tolist():
        values[first == seed] = bench.query(cells[first == seed], metric, seed=seed)
    return values


# From here on ``near`` and ``around``, the neighbors' scores, are ``(K, n)``.


class _Moves(NamedTuple):
    """The moves of steepest ascent: from ``start`` to ``end`` with probability ``chance``."""

    start: NDArray[np.intp]
    end: NDArray[np.intp]
    chance: _Floats


def _moves(near: _Places, around: _Floats, best: _Floats, up: NDArray[np.bool_]) -> _Moves:
    which, start = np.nonzero((around == best) & up)
    ways = np.bincount(start, minlength=len(up))
    return _Moves(start, near[which, start], 1 / ways[start])


def _optima(
    score: _Floats, near: _Places, around: _Floats, up: NDArray[np.bool_]
) -> tuple[int, int]:
    """Return the numbers of strict optima and of plateaus without a way up."""
    which, one = np.nonzero(around == score)
    other, label = near[which, one], np.arange(len(score))
    while True:  # every cell takes the lowest number among its equal neighbors, until all agree
        before = label.copy()
        np.minimum.at(label, one, before[other])
        np.minimum.at(label, other, before[one])
        label = label[label]
        if (label == before).all():
            break
    size = np.bincount(label)
    closed = (size > 0) & (np.bincount(label, up) == 0)
    return int((closed & (size == 1)).sum()), int((closed & (size > 1)).sum())


def _ends(moves: _Moves, up: NDArray[np.bool_]) -> _Floats:
    """Return where starts end: the share that each cell collects."""
    n = len(up)
    share = np.full(n, 1 / n)
    while share[up].any():
        moved = np.bincount(moves.end, share[moves.start] * moves.chance, n)
        share = np.where(up, 0.0, share) + moved
    return share


def _climbs(
    moves: _Moves, up: NDArray[np.bool_], top: NDArray[np.bool_], degree: NDArray[np.intp]
) -> tuple[float, float, float, float]:
    """Return mean steps, evaluations, success and evaluations until an optimum over all starts."""
    n = len(up)

    def total(reward: _Floats) -> _Floats:
        """Return the expected sum of ``reward`` over the cells that a climb passes, its end too."""
        found, before = reward, np.full(n, np.nan)
        while not np.array_equal(found, before):
            before = found
            found = reward + np.bincount(moves.start, moves.chance * before[moves.end], n)
        return found

    success = float(total(top.astype(np.float64)).mean())
    steps = float(total(up.astype(np.float64)).mean())
    evaluations = 1 + float(total(degree.astype(np.float64)).mean())
    # Every climb but the last is paid in full, and of the last all that comes before the optimum.
    paid = 1 + float(total(np.where(top, 0.0, degree)).mean())
    return steps, evaluations, success, paid / success if success else math.inf


def _distance_correlation(score: _Floats, near: _Places, top: NDArray[np.bool_]) -> float:
    distance = np.where(top, 0.0, np.nan)
    reached, level = np.append(top, False), 0  # the last stands for no neighbor
    while True:
        level += 1
        new = reached.take(near).any(axis=0) & ~reached[:-1]
        if not new.any():
            break
        distance[new] = level
        reached[:-1] |= new
    known = np.isfinite(distance)
    return _correlation(score[known], distance[known])


def _correlation(one: _Floats, other: _Floats) -> float:
    one, other = one - one.mean(), other - other.mean()
    # Sums of products, since a threaded dot product of so few numbers takes longer than all the rest.
    scale = math.sqrt(float((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / scale if scale > 0 else math.nan


def _autocorrelation(score: _Floats, near: _Places, degree: NDArray[np.intp]) -> float:
    if not degree.any():
        return math.nan
    off = score - np.average(score, weights=degree)
    beside = np.append(off, 0.0).take(near).sum(axis=0)
    variance = float((degree * off**2).sum())
    return float((off * beside).sum()) / variance if variance > 0 else math.nan
