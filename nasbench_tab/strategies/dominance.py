"""Dominance among what a strategy was told: who is better than whom in several objectives.

With one objective everything here is the order of scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.records import Observation, Problem

__all__ = ["Losses", "crowding", "dominates", "losses", "sorted_fronts"]

Losses = tuple[float, ...]


def losses(problem: Problem, observation: Observation) -> Losses:
    """Return all objectives, less is better: the score turned round and, where there is one, the cost."""
    if problem.cost is None:
        return (-observation.score,)
    return -observation.score, problem.cost(observation.architecture)


def dominates(one: Losses, other: Losses) -> bool:
    """Return whether ``one`` is nowhere worse than ``other`` and somewhere better."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def sorted_fronts(points: Sequence[Losses]) -> list[list[int]]:
    """Return positions, front by front: the second front is what remains undominated without the first.

    The fast non-dominated sort of Deb et al., IEEE TEC 2002; positions ascend within a front.
    """
    if not points:
        return []
    array = np.array(points)
    worse = array[:, None] >= array[None]  # [i, j]: i is nowhere better than j, one entry a loss
    dominated = np.asarray(worse.all(axis=2) & (array[:, None] > array[None]).any(axis=2))
    counts = dominated.sum(axis=1)
    fronts = []
    while (counts >= 0).any():
        front = np.flatnonzero(counts == 0)
        counts[front] = -1
        counts -= dominated[:, front].sum(axis=1) * (counts > 0)
        fronts.append(front.tolist())
    return fronts


def crowding(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(n,)`` how much room each of ``(n, m)`` points of one front has; the ends have infinite.

    Deb et al.: summed over objectives, the distance between the two neighbors of a point, as a share
    of the front's width.
    """
    n, room = len(points), np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        width = ordered[-1] - ordered[0]
        if n > 2 and width > 0:
            room[order[1:-1]] += (ordered[2:] - ordered[:-2]) / width
        room[order[[0, -1]]] = np.inf
    return room
