"""Which incumbents a run held before its last one: for a picture of claimed and real along the search."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.records import Architecture
from nasbench_tab.search.results import Trials
from nasbench_tab.spaces.base import Space

__all__ = ["evaluations_until", "spread", "steps"]


def steps(trials: Trials, which: NDArray[np.int64], row: int, space: Space, most: int) -> list[int]:
    """Return positions among all evaluations of up to ``most`` earlier incumbents, in order.

    Each is the first time that its network was the incumbent; the last incumbent's network is left out.

    Args:
        trials: Of one strategy.
        which: ``(R, K)`` incumbents: see :class:`~nasbench_tab.stats.anytime.Incumbents`.
        row: Of the run.
        space: Of the cells.
        most: 0 = none.
    """
    first: dict[Architecture, int] = {}
    for at in np.unique(which[row][which[row] >= 0]).tolist():
        cell: Architecture = tuple(trials.architectures[at].tolist())
        first.setdefault(space.canonical(cell), at)
    end = int(which[row, -1])
    first.pop(space.canonical(tuple(trials.architectures[end].tolist())), None)
    found = list(first.values())
    times = [evaluations_until(trials, row, at) for at in found]
    return [found[i] for i in spread(times, evaluations_until(trials, row, end), most)]


def evaluations_until(trials: Trials, row: int, at: int) -> int:
    """Return how many evaluations a run had made, from 1, with the one at position ``at``."""
    return at - int(trials.lengths[:row].sum()) + 1


def spread(times: Sequence[int], end: int, most: int) -> list[int]:
    """Return places of up to ``most`` of some times, far from each other and from ``end`` on a log scale.

    Each next one is the farthest from all before, so that a larger ``most`` only adds to a smaller.

    >>> spread([1, 2, 3, 50], 100, 2)
    [0, 2]
    """
    taken, left, found = [math.log(end)], list(range(len(times))), list[int]()
    while left and len(found) < most:
        far = [min(abs(math.log(times[i]) - other) for other in taken) for i in left]
        best = left.pop(int(np.argmax(far)))
        found.append(best)
        taken.append(math.log(times[best]))
    return sorted(found)
