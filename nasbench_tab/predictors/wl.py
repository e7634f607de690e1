"""Weisfeiler-Lehman subtree counts of architectures: the features of a graph kernel.

A node's label at level 0 is its operation. At level ``h`` it is its label at level ``h - 1`` together
with the sorted labels of its predecessors and of its successors at level ``h - 1``, directions kept
apart. The number of nodes with each label, over all levels, describes the graph; two graphs are alike
if they share many labels.

Labels are 64-bit digests of what they stand for, so that counts made at different times agree and no
dictionary has to be kept.

Shervashidze, Schweitzer, van Leeuwen, Mehlhorn and Borgwardt, "Weisfeiler-Lehman graph kernels", JMLR
2011; for architectures: Ru, Wan, Dong and Osborne, "Interpretable neural architecture search via
Bayesian optimisation with Weisfeiler-Lehman kernels" (NAS-BOWL), ICLR 2021.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Graph
from nasbench_tab.spaces.base import Space

__all__ = ["Subtrees", "align", "subtrees"]

_Memo = dict[tuple[int, tuple[int, ...], tuple[int, ...]], int]


class Subtrees(NamedTuple):
    """Subtree counts of ``n`` architectures over ``V`` labels.

    Attributes:
        labels: ``(V,)`` uint64 digests, ascending within a level.
        levels: ``(V,)`` uint8, the level of each label, ascending.
        counts: ``(n, V)`` float32, how many nodes of each graph have the label.
    """

    labels: NDArray[np.uint64]
    levels: NDArray[np.uint8]
    counts: NDArray[np.float32]


def subtrees(space: Space, cells: NDArray[np.uint8], depth: int = 2) -> Subtrees:
    """Return the subtree counts of cells in canonical form: the same for the same network.

    Args:
        space: Of the cells.
        cells: ``(n, cell length)``, at least one.
        depth: Highest level; 0 counts operations only.

    Raises:
        InvalidArgumentError: No cells, or a negative depth.
    """
    if len(cells) == 0 or depth < 0:
        raise InvalidArgumentError(
            f"Subtree counts need at least one cell and a depth of at least 0, not {len(cells)} "
            f"cells and a depth of {depth}."
        )
    canonical = [space.canonical(cell) for cell in map(tuple, cells.tolist())]
    place = {cell: i for i, cell in enumerate(dict.fromkeys(canonical))}
    memo: _Memo = {}
    found = [_levels(space.graph(cell), depth, memo) for cell in place]
    blocks, levels, labels = [], [], []
    for level in range(depth + 1):
        each = [of_graph[level] for of_graph in found]
        known, column = np.unique(
            np.array([label for row in each for label in row], np.uint64), return_inverse=True
        )
        row = np.repeat(np.arange(len(each)), [len(row) for row in each])
        block = np.zeros((len(each), len(known)), np.float32)
        np.add.at(block, (row, column), 1)
        blocks.append(block)
        labels.append(known)
        levels.append(np.full(len(known), level, np.uint8))
    rows = np.array([place[cell] for cell in canonical], np.intp)
    return Subtrees(np.concatenate(labels), np.concatenate(levels), np.hstack(blocks)[rows])


def align(trees: Subtrees, labels: NDArray[np.uint64], levels: NDArray[np.uint8]) -> Subtrees:
    """Return the counts with the columns of another set first, its own further ones behind.

    A label that only one side knows has a count of zero on the other; further ones stay, since they
    count towards the size of a graph.

    Args:
        trees: Counts.
        labels: ``(V,)`` that come first, in this order.
        levels: ``(V,)`` theirs.
    """
    column = {
        key: i
        for i, key in enumerate(zip(trees.levels.tolist(), trees.labels.tolist(), strict=True))
    }
    wanted = [column.pop(key, -1) for key in zip(levels.tolist(), labels.tolist(), strict=True)]
    rest = list(column.values())
    there = np.array(wanted, np.intp)
    first = np.where(there >= 0, trees.counts[:, there], np.float32(0))
    return Subtrees(
        np.concatenate([labels, trees.labels[rest]]),
        np.concatenate([levels, trees.levels[rest]]),
        np.hstack([first, trees.counts[:, rest]]),
    )


def _levels(graph: Graph, depth: int, memo: _Memo) -> list[list[int]]:
    """Return the labels of all nodes, level by level."""
    into: list[list[int]] = [[] for _ in graph.labels]
    out: list[list[int]] = [[] for _ in graph.labels]
    for source, target in graph.edges:
        into[target].append(source)
        out[source].append(target)
    now = [_digest(label) for label in graph.labels]
    levels = [now]
    for _ in range(depth):
        after = []
        for own, before, behind in zip(now, into, out, strict=True):
            key = (
                own,
                tuple(sorted(now[i] for i in before)),
                tuple(sorted(now[i] for i in behind)),
            )
            label = memo.get(key)
            if label is None:
                label = memo[key] = _digest(repr(key))
            after.append(label)
        now = after
        levels.append(now)
    return levels


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
