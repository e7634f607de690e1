"""What predictors are fitted on: one row for one training run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.records import Metric
from nasbench_tab.spaces.base import Space

__all__ = ["Runs", "groups_of"]


class Runs(NamedTuple):
    """Training runs of one protocol, ``n`` rows, over ``E`` epochs.

    Attributes:
        space: Search space of the cells.
        cells: ``(n, cell length)`` uint8, as they were trained.
        groups: ``(n,)`` intp; rows of one number are the same network. Every split, fold and bootstrap
            keeps a group together: two trainings of one network are no independent evidence.
        seeds: ``(n,)`` int64 training seeds.
        origins: ``n`` words, why each was trained (``"random"``, ``"evolution"`` ...); ``""`` = not known.
        epochs: 1-based, ascending; the last is the full training.
        objective: The validation metric that a search optimises; a key of ``metrics``.
        metrics: Those that are predicted.
        curves: ``{metric: (n, E) float64}``, NaN where there is no value.
        seconds: ``(n, E)`` float64, cumulative training time; NaN where not known.
        losses: ``(n, E)`` float64 training losses, which tell how a training that has begun will end;
            None where they were not logged. Never predicted.
    """

    space: Space
    cells: NDArray[np.uint8]
    groups: NDArray[np.intp]
    seeds: NDArray[np.int64]
    origins: tuple[str, ...]
    epochs: tuple[int, ...]
    objective: str
    metrics: dict[str, Metric]
    curves: dict[str, NDArray[np.float64]]
    seconds: NDArray[np.float64]
    losses: NDArray[np.float64] | None = None


def groups_of(space: Space, cells: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return a number for each cell, the same for cells that are the same network.

    Args:
        space: Of the cells.
        cells: ``(n, cell length)``.
    """
    numbers: dict[tuple[int, ...], int] = {}
    found = [
        numbers.setdefault(space.canonical(cell), len(numbers))
        for cell in map(tuple, cells.tolist())
    ]
    return np.array(found, np.intp)
