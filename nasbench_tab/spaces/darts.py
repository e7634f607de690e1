"""The DARTS cells: a normal and a reduction cell, about 10^18 architectures; NAS-Bench-301's space.

    >>> from nasbench_tab.spaces.darts import Darts
    >>> space = Darts()
    >>> arch = space.example()
    >>> len(arch), space.parse(space.format(arch)) == arch
    (22, True)

A cell takes the outputs of the two cells before it (nodes 0 and 1) and has four nodes more, 2 to 5.
Each of them sums two operations on two different earlier nodes; all four are concatenated to the
cell's output. An architecture is a tuple of 22 numbers, 11 for the normal cell and 11 for the
reduction cell: node 2 has its two operations; nodes 3, 4 and 5 have the position of their pair of
inputs in :data:`PAIRS` and then two operations (positions in :data:`OPERATIONS`), that of the lower
input first. There is no operation "none".

Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", ICLR 2019; Zela, Siems,
Zimmer, Lukasik, Keuper and Hutter, "Surrogate NAS Benchmarks: Going Beyond the Limited Search Spaces
of Tabular NAS Benchmarks", ICLR 2022.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArchitectureError, unknown_name
from nasbench_tab.records import Architecture, Graph
from nasbench_tab.spaces.base import Space

__all__ = [
    "NODES",
    "N_ARCHITECTURES",
    "OPERATIONS",
    "PAIRS",
    "Darts",
    "Edge",
    "cell_of",
    "edges_of",
    "parameters",
]

#: Operation names in NAS-Bench-301's order; a cell holds positions in this tuple.
OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
#: The nodes of a cell that have operations.
NODES = (2, 3, 4, 5)
#: For each node the pairs of inputs that it may have, ascending.
PAIRS = {node: tuple(combinations(range(node), 2)) for node in NODES}
#: ``(operation, input)`` of one of a node's two edges.
Edge = tuple[int, int]

SKIP, SEP3, SEP5, DIL3, DIL5 = range(2, 7)
_CELL_CHOICES = tuple(
    n for node in NODES for n in (*([len(PAIRS[node])] if node > 2 else []), *[len(OPERATIONS)] * 2)
)
_N = len(_CELL_CHOICES)
N_ARCHITECTURES = math.prod(_CELL_CHOICES) ** 2
_OPERATION_AT = (0, 1, 3, 4, 6, 7, 9, 10)  # of each of a cell's eight edges
_MOVES = [(edge, step) for edge in range(8) for step in range(len(OPERATIONS) - 1 + edge // 2)]
_NUMBER = {name: number for number, name in enumerate(OPERATIONS)}
_FORM = (
    "Genotype(normal=[('op', input), ... eight of them], normal_concat=range(2, 6), "
    "reduce=[...], reduce_concat=range(2, 6))"
)
_CONCAT = r"(?:range\(2,6\)|\[2,3,4,5\])"
_GENOTYPE = re.compile(
    rf"Genotype\(normal=\[(?P<normal>[^\]]*)\],normal_concat={_CONCAT},"
    rf"reduce=\[(?P<reduce>[^\]]*)\],reduce_concat={_CONCAT}\)"
)
_EDGE = re.compile(r"""\((['"])(\w{1,40})\1,(\d)\)""")


class Darts(Space):
    """All pairs of a normal and a reduction cell.

    ``size`` is None though :meth:`index` numbers all of them: whatever is given a size may list the
    whole space.
    """

    name = "darts"
    choices = _CELL_CHOICES * 2
    groups = tuple(
        tuple(half + place for place in group)
        for half in (0, _N)
        for group in ((0, 1), (2, 3, 4), (5, 6, 7), (8, 9, 10))
    )
    size: int | None = None

    def parse(self, text: str) -> Architecture:
        """Return the architecture of a genotype as DARTS prints it.

        The two edges of a node may stand in any order, and the concatenation as a range or a list.
        """
        found = _GENOTYPE.fullmatch("".join(text.split())) if len(text) < 4000 else None
        if found is None:
            raise InvalidArchitectureError(
                f"{text!r:.200} is not a DARTS genotype. Expected {_FORM}."
            )
        return (*_parsed(found["normal"], "normal"), *_parsed(found["reduce"], "reduce"))

    def format(self, arch: Architecture) -> str:
        """Return the genotype as DARTS prints it, each node's edges by ascending input."""
        normal, reduce = (
            ", ".join(f"({OPERATIONS[op]!r}, {source})" for op, source in edges_of(half))
            for half in (arch[:_N], arch[_N:])
        )
        return (
            f"Genotype(normal=[{normal}], normal_concat=range(2, 6), "
            f"reduce=[{reduce}], reduce_concat=range(2, 6))"
        )

    def options(self) -> dict[str, tuple[str, ...]]:
        """Return the pairs of inputs and the operations of each node of both cells."""
        named = {}
        for half in ("normal", "reduce"):
            for node in NODES:
                if node > 2:
                    named[f"{half}_{node}_inputs"] = tuple(f"{a},{b}" for a, b in PAIRS[node])
                named |= {f"{half}_{node}_{which}": OPERATIONS for which in ("lower", "upper")}
        return named

    def canonical(self, arch: Architecture) -> Architecture:
        """Return the representative of all architectures that are the same but for the nodes' numbers.

        All four nodes go to the cell's output, so a cell whose nodes are numbered in another order
        is the same network. The representative has the lowest tuple. That sums of skips alone can
        coincide is not used.
        """
        return (*_least(arch[:_N]), *_least(arch[_N:]))

    def neighbors(self, arch: Architecture) -> list[Architecture]:
        """Return the 120 architectures that differ in one edge: in its operation or in its input.

        An edge that gets another input keeps its operation, and an input is never taken twice.
        """
        return [_moved(arch, half, *move) for half in (0, _N) for move in _MOVES]

    def mutate(self, arch: Architecture, draw: float) -> Architecture:
        """Return the neighbor at ``draw``: a uniform number gives each of the 120 equally often."""
        half, move = divmod(int(draw * 2 * len(_MOVES)), len(_MOVES))
        return _moved(arch, half * _N, *_MOVES[move])

    def graph(self, arch: Architecture) -> Graph:
        """Return both cells side by side between input and output, operations on nodes.

        Labels tell the cells' inputs and the reduction cell's operations apart. In the network the
        cells are stacked one after the other.
        """
        labels = ["input"]
        edges: list[tuple[int, int]] = []
        ends = []
        for half, which in ((arch[:_N], "normal"), (arch[_N:], "reduce")):
            mark = "reduce_" if which == "reduce" else ""
            node_of = {}
            for node in (0, 1):
                labels.append(f"{which}_k-{2 - node}")
                node_of[node] = len(labels) - 1
                edges.append((0, node_of[node]))
            both = edges_of(half)
            for node in NODES:
                sources = []
                for op, source in both[2 * node - 4 : 2 * node - 2]:
                    labels.append(mark + OPERATIONS[op])
                    sources.append(len(labels) - 1)
                    edges.append((node_of[source], sources[-1]))
                labels.append("sum")
                node_of[node] = len(labels) - 1
                edges += [(source, node_of[node]) for source in sources]
            labels.append("concat")
            ends.append(len(labels) - 1)
            edges += [(node_of[node], ends[-1]) for node in NODES]
        labels.append("output")
        return Graph(tuple(labels), (*edges, *((end, len(labels) - 1) for end in ends)))

    def figures(self, cells: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        """Return the trainable parameters of NAS-Bench-301's networks: see :func:`parameters`."""
        return {"parameters": parameters(cells)}


def edges_of(cell: Architecture) -> list[Edge]:
    """Return the eight ``(operation, input)`` of a cell (half an architecture), node by node."""
    found = [(cell[0], 0), (cell[1], 1)]
    for place, node in zip((2, 5, 8), NODES[1:], strict=True):
        low, high = PAIRS[node][cell[place]]
        found += [(cell[place + 1], low), (cell[place + 2], high)]
    return found


def cell_of(edges: list[Edge], which: str = "cell") -> Architecture:
    """Return half an architecture from its eight ``(operation, input)``, two for each node in any order.

    Args:
        edges: Operations as positions in :data:`OPERATIONS`.
        which: What to call the cell in messages.

    Raises:
        InvalidArchitectureError: Not eight, or inputs or operations that cannot be.
    """
    if len(edges) != 2 * len(NODES):
        raise InvalidArchitectureError(
            f"The {which} has {len(edges)} edges; eight expected, two for each of the nodes 2 to 5."
        )
    found: list[int] = []
    for node in NODES:
        low, high = sorted(edges[2 * node - 4 : 2 * node - 2], key=lambda edge: edge[1])
        if not 0 <= low[1] < high[1] < node:
            raise InvalidArchitectureError(
                f"Node {node} of the {which} has the inputs {low[1]} and {high[1]}; two different ones "
                f"below {node} expected."
            )
        for op in (low[0], high[0]):
            if not 0 <= op < len(OPERATIONS):
                raise InvalidArchitectureError(
                    f"Node {node} of the {which} has the operation {op}; 0 to {len(OPERATIONS) - 1} "
                    f"expected: {', '.join(OPERATIONS)}."
                )
        if node > 2:
            found.append(PAIRS[node].index((low[1], high[1])))
        found += [low[0], high[0]]
    return tuple(found)


def parameters(
    cells: NDArray[np.uint8],
    *,
    channels: int = 32,
    layers: int = 8,
    n_classes: int = 10,
    auxiliary: bool = True,
) -> NDArray[np.float64]:
    """Return the trainable parameters of DARTS' network for CIFAR images.

    A 3x3 stem with three times ``channels``; ``layers`` cells, those at one and two thirds reduction
    cells, which double the channels; a linear classifier; an auxiliary classifier behind the second
    reduction cell.

    Args:
        cells: ``(n, 22)`` architectures.
        channels: Of the first cells: 32 in NAS-Bench-301, 36 in DARTS' own evaluation.
        layers: 8 in NAS-Bench-301, 20 in DARTS.
        n_classes: Of the data.
        auxiliary: Whether the auxiliary classifier counts.
    """
    counts = _counts(np.asarray(cells))
    before, last, width = 3 * channels, 3 * channels, channels
    total = np.full(len(cells), 27 * last + 2 * last, np.float64)
    head = 0
    for layer in range(layers):
        reduces = layer in (layers // 3, 2 * layers // 3)
        width *= 1 + reduces
        total += before * width + last * width + 4 * width
        convolutions, skips = counts[int(reduces)]
        each = {3: 9 * width + width**2 + 2 * width, 5: 25 * width + width**2 + 2 * width}
        for kernel, number in convolutions.items():
            total += number * each[kernel]
        if reduces:
            total += skips * (width**2 + 2 * width)
        before, last = last, 4 * width
        if layer == 2 * layers // 3:
            head = last
    total += last * n_classes + n_classes
    if auxiliary:
        total += head * 128 + 2 * 128 + 4 * 128 * 768 + 2 * 768 + 768 * n_classes + n_classes
    return total


_Counts = tuple[dict[int, NDArray[np.int64]], NDArray[np.int64]]


def _counts(cells: NDArray[np.uint8]) -> tuple[_Counts, _Counts]:
    """Return what has weights in both cells: convolutions by kernel, and skips from nodes 0 and 1.

    A separable convolution is two. Skips from the cell's inputs have weights in a reduction cell.
    """
    found = []
    low, high = ({node: [pair[i] < 2 for pair in PAIRS[node]] for node in NODES} for i in (0, 1))
    for half in (cells[:, :_N], cells[:, _N:]):
        ops = half[:, [0, 1, 3, 4, 6, 7, 9, 10]]
        outside = [np.ones(len(half), bool)] * 2
        for place, node in zip((2, 5, 8), NODES[1:], strict=True):
            outside += [np.array(low[node])[half[:, place]], np.array(high[node])[half[:, place]]]
        convolutions = {
            3: 2 * (ops == SEP3).sum(axis=1) + (ops == DIL3).sum(axis=1),
            5: 2 * (ops == SEP5).sum(axis=1) + (ops == DIL5).sum(axis=1),
        }
        found.append((convolutions, ((ops == SKIP) & np.array(outside).T).sum(axis=1)))
    return found[0], found[1]


def _parsed(text: str, which: str) -> Architecture:
    edges = _EDGE.findall(text)
    if ",".join(f"({quote}{op}{quote},{source})" for quote, op, source in edges) != text:
        raise InvalidArchitectureError(
            f"The {which} cell {text!r:.200} is not a list of ('op', input). Expected {_FORM}."
        )
    for _, op, _ in edges:
        if op not in _NUMBER:
            raise InvalidArchitectureError(
                f"The {which} cell: {unknown_name('operation', op, OPERATIONS)}"
            )
    return cell_of([(_NUMBER[op], int(source)) for _, op, source in edges], f"{which} cell")


def _moved(arch: Architecture, half: int, edge: int, step: int) -> Architecture:
    """Return an architecture with one edge changed: first its other operations, then its other inputs.

    Args:
        arch: The architecture.
        half: Where its cell begins.
        edge: 0 to 7.
        step: 0 to 5: the other operation; from 6: the other input.
    """
    moved, place = list(arch), half + _OPERATION_AT[edge]
    if step < len(OPERATIONS) - 1:
        moved[place] = step + (step >= arch[place])
        return tuple(moved)
    node = 2 + edge // 2
    first = half + _OPERATION_AT[edge & ~1]  # the lower input's operation; the pair is before it
    pair = PAIRS[node][arch[first - 1]]
    kept, kept_op, op = pair[1 - (edge & 1)], arch[first + 1 - (edge & 1)], arch[place]
    free = [source for source in range(node) if source not in pair]
    source = free[step - len(OPERATIONS) + 1]
    (low, low_op), (high, high_op) = sorted([(kept, kept_op), (source, op)])
    moved[first - 1 : first + 2] = PAIRS[node].index((low, high)), low_op, high_op
    return tuple(moved)


@lru_cache(maxsize=2**16)
def _least(cell: Architecture) -> Architecture:
    """Return the lowest of the cells that differ in the order of their nodes."""
    edges = edges_of(cell)
    by_node = {node: edges[2 * node - 4 : 2 * node - 2] for node in NODES}
    least = cell
    for order in permutations(NODES):
        number = {0: 0, 1: 1, **dict(zip(order, NODES, strict=True))}
        if any(number[source] > number[node] for node in NODES for _, source in by_node[node]):
            continue
        renamed = [(op, number[source]) for node in order for op, source in by_node[node]]
        least = min(least, cell_of(renamed))
    return least
