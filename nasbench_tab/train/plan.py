"""Which trainings a collection makes, and in which order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.base import Space
from nasbench_tab.train.splits import raw_permutation

__all__ = ["LISTED", "collection_order", "draws", "planned"]

#: More combinations of choices than this are drawn from, not listed.
LISTED = 2**20


def collection_order(space: Space, seed: int = 0) -> list[Architecture]:
    """Return all canonical cells of ``space`` in a random order that never changes.

    So every beginning of the list is a uniform sample of the distinct networks. For a space too
    large to list, see :func:`draws`.
    """
    cells = product(*(range(n) for n in space.choices))
    distinct = sorted({space.canonical(cell) for cell in cells if space.contains(cell)})
    return [distinct[i] for i in raw_permutation([seed], len(distinct))]


def draws(space: Space, n: int, seed: int = 0) -> list[Architecture]:
    """Return ``n`` uniform draws of the architectures of ``space``, each network once, in canonical form.

    For spaces of more than :data:`LISTED` combinations of choices. The draws never change, and the
    first of many are those of few. A network that many architectures are comes early more often.

    Raises:
        InvalidArgumentError: The space has fewer combinations than that, or ``n`` is more than a
            tenth of them.
    """
    combinations = math.prod(space.choices)
    if not (combinations > LISTED and n <= combinations // 10):
        raise InvalidArgumentError(
            f"{n} draws of {space.name} were asked for, which has {combinations:,} combinations of "
            f"choices. Draws are for spaces of more than {LISTED:,}, and for at most a tenth of them."
        )
    found: dict[Architecture, None] = {}
    for cell in filter(space.contains, _uniform(space.choices, seed)):
        if len(found) >= n:
            break
        found[space.canonical(cell)] = None
    return list(found)


def _uniform(choices: Sequence[int], seed: int) -> Iterator[Architecture]:
    # Raw output of the bit generator, as in raw_permutation, for draws that stay the same.
    bits = np.random.PCG64(np.random.SeedSequence([seed]))
    while True:
        # Of 64 bits the remainder is uniform but for one part in 10^16.
        yield tuple((bits.random_raw(len(choices)) % np.array(choices, np.uint64)).tolist())


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
