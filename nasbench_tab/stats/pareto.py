"""Fronts of two objectives: which points are not dominated, how much they dominate, what runs attain.

Everything is less-is-better here: whoever has an accuracy turns its sign. The measure is the hypervolume,
the area that a set of points dominates up to a reference point (Zitzler and Thiele, "Multiobjective
evolutionary algorithms: a comparative case study and the strength Pareto approach", IEEE TEC 1999); a
ratio of two such areas does not change when an axis is shifted or stretched. Runs are pictured by what a
share of them attain (Grunert da Fonseca, Fonseca and Hall, EMO 2001).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["attained", "chosen_front", "hypervolume", "hypervolumes_over_time", "non_dominated"]

_Floats = NDArray[np.float64]


def non_dominated(points: _Floats) -> NDArray[np.intp]:
    """Return the positions of the points that no other dominates, ascending in the first objective.

    A point dominates another if it is nowhere worse and somewhere better. Of equal points the first
    one stands for all.

    Args:
        points: ``(n, 2)``, less is better.

    Example:
        >>> non_dominated(np.array([[1.0, 3.0], [2.0, 3.0], [2.0, 1.0], [1.0, 3.0]])).tolist()
        [0, 2]
    """
    order = np.lexsort((points[:, 1], points[:, 0]))  # stable: of equal points the first
    second = points[order, 1]
    best = np.minimum.accumulate(second)
    leads = np.append(True, second[1:] < best[:-1])[: len(order)]
    return np.asarray(order[leads], np.intp)


def hypervolume(points: _Floats, reference: _Floats) -> float:
    """Return the area that points dominate up to a reference point.

    Points that are not better than the reference in both objectives add nothing; an empty set has 0.

    Args:
        points: ``(n, 2)``, less is better.
        reference: ``(2,)``.

    Example:
        >>> hypervolume(np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]), np.array([2.0, 2.0]))
        3.0
    """
    inside = points[(points < reference).all(axis=1)]
    front = inside[non_dominated(inside)]
    heights = -np.diff(front[:, 1], prepend=reference[1])
    return float((reference[0] - front[:, 0]) @ heights)


def hypervolumes_over_time(
    observed: _Floats,
    reported: _Floats,
    lengths: NDArray[np.int64],
    counts: NDArray[np.int64],
    reference: _Floats,
    levels: NDArray[np.int64] | None = None,
) -> _Floats:
    """Return ``(R, G)``: the hypervolume of each run's front after so many evaluations.

    As with a single incumbent, the front is chosen by what the search observed and counts by what is
    reported of it, so that it can fall: a lucky observation may drive out a better cell.

    Args:
        observed: ``(N, 2)`` what the search saw of all runs' evaluations, one run after another.
        reported: ``(N, 2)`` what those architectures are worth in the end.
        lengths: ``(R,)`` evaluations of each run.
        counts: ``(G,)`` numbers of evaluations, from 1; a run that ended early keeps its last front.
        reference: ``(2,)``.
        levels: ``(N,)`` only evaluations of the highest level so far can be in the front, those below 0
            never; None = all alike.
    """
    out = np.zeros((len(lengths), len(counts)))
    order = np.argsort(counts, kind="stable").tolist()
    ends = np.cumsum(lengths)
    for run, (start, end) in enumerate(zip(ends - lengths, ends, strict=True)):
        front, seen, area = np.empty(0, np.intp), start, 0.0
        for place in order:
            stop = min(start + int(counts[place]), end)
            # What was dominated stays so: only the front so far and what is new can be in it.
            among = np.append(front, np.arange(seen, stop))
            chosen = chosen_front(observed[among], None if levels is None else levels[among])
            if not np.array_equal(among[chosen], front):
                front = among[chosen]
                area = hypervolume(reported[front], reference)
            out[run, place], seen = area, stop
    return out


def chosen_front(observed: _Floats, levels: NDArray[np.int64] | None = None) -> NDArray[np.intp]:
    """Return the positions of a run's front; arguments as in :func:`hypervolumes_over_time`."""
    if levels is None:
        return non_dominated(observed)
    top = max(0, int(levels.max(initial=-1)))
    among = np.flatnonzero(levels == top)
    return among[non_dominated(observed[among])]


def attained(fronts: Sequence[_Floats], grid: _Floats, share: float = 0.5) -> _Floats:
    """Return the best second value that a share of the runs attain at each first value of a grid.

    For 0.5 that is the median attainment curve: at each point of the grid, half of the runs have a point
    that costs no more and is at least as good. Infinite where too few runs have any.

    Args:
        fronts: One ``(k, 2)`` set of points for each run, less is better.
        grid: ``(G,)`` ascending values of the first objective.
        share: More than 0, at most 1.
    """
    curves = np.full((len(fronts), len(grid)), np.inf)
    for curve, front in zip(curves, fronts, strict=True):
        ordered = front[np.argsort(front[:, 0], kind="stable")]
        best = np.append(np.inf, np.minimum.accumulate(ordered[:, 1]))
        curve[:] = best[np.searchsorted(ordered[:, 0], grid, side="right")]
    place = int(np.ceil(share * len(fronts) - 1e-9)) - 1
    return np.asarray(np.sort(curves, axis=0)[place])
