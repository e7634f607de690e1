"""Which trainings a collection makes, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from nasbench_tab.records import Architecture
from nasbench_tab.spaces.base import Space
from nasbench_tab.train.splits import raw_permutation

__all__ = ["collection_order", "planned"]


def collection_order(space: Space, seed: int = 0) -> list[Architecture]:
    """Return all canonical cells of ``space`` in a random order that never changes.

    So every beginning of the list is a uniform sample of the distinct networks.
    """
    cells = product(*(range(n) for n in space.choices))
    distinct = sorted({space.canonical(cell) for cell in cells if space.contains(cell)})
    return [distinct[i] for i in raw_permutation([seed], len(distinct))]


def planned(
    cells: Sequence[Architecture], seeds: Sequence[int] = (0, 1, 2), every: int = 8
) -> list[tuple[Architecture, int]]:
    """Return the pairs (cell, training seed) to train.

    Each cell is trained with the first seed, and every ``every``-th cell with the other seeds too.
    """
    return [
        (cell, seed)
        for number, cell in enumerate(cells)
        for seed in (seeds if number % every == 0 else seeds[:1])
    ]
