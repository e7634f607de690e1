"""The NAS-Bench-201 cell: six edges among four nodes, five operations, 15,625 cells.

    >>> from nasbench_tab.spaces.nasbench201 import NasBench201
    >>> space = NasBench201()
    >>> space.format(space.unindex(11))
    '|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|'

A cell is a tuple of six operation numbers (position in :data:`OPERATIONS`), edges in the order of
the published string: 0→1, 0→2, 1→2, 0→3, 1→3, 2→3.

Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search",
ICLR 2020; Dong, Liu, Musial and Gabrys, "NATS-Bench", TPAMI 2021 (its topology space).
"""

from __future__ import annotations

from functools import cache
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArchitectureError, unknown_name
from nasbench_tab.records import Architecture, Graph
from nasbench_tab.spaces.base import Space

__all__ = ["EDGES", "OPERATIONS", "NasBench201", "macs", "parameters"]

#: Operation names in the order of the official code; a cell holds positions in this tuple.
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NONE, SKIP, CONV1, CONV3, POOL = range(5)

#: Edges ``(source node, target node)`` in the order of the published string.
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))

_SIZE = len(OPERATIONS) ** len(EDGES)
_FORM = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"


class NasBench201(Space):
    """All 15,625 cells. Two cells with the same canonical form are the same network."""

    name = "nasbench201"
    choices = (len(OPERATIONS),) * len(EDGES)
    groups = ((0,), (1, 2), (3, 4, 5))
    size: int | None = _SIZE

    def parse(self, text: str) -> Architecture:
        """Return the cell of a published string such as ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``."""
        nodes = text.strip().split("+")
        if [node.count("~") for node in nodes] != [1, 2, 3]:
            raise InvalidArchitectureError(
                f"{text!r} is not a NAS-Bench-201 architecture string. Expected {_FORM}, "
                f"with each op one of {', '.join(OPERATIONS)}."
            )
        cell: list[int] = []
        for node in nodes:
            if not (node.startswith("|") and node.endswith("|")):
                raise InvalidArchitectureError(
                    f"{text!r}: node {node!r} must start and end with '|'. Expected {_FORM}."
                )
            for source, edge in enumerate(node[1:-1].split("|")):
                op, _, origin = edge.partition("~")
                if op not in _NUMBER:
                    raise InvalidArchitectureError(
                        f"{text!r}: {unknown_name('operation', op, OPERATIONS)}"
                    )
                if origin != str(source):
                    raise InvalidArchitectureError(
                        f"{text!r}: edge {edge!r} must come from node {source}, not from "
                        f"{origin!r}. Expected {_FORM}."
                    )
                cell.append(_NUMBER[op])
        return tuple(cell)

    def format(self, arch: Architecture) -> str:
        """Return the published string of a cell."""
        a, b, c, d, e, f = (OPERATIONS[op] for op in arch)
        return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"

    def options(self) -> dict[str, tuple[str, ...]]:
        """Return the operations of each edge; an edge is called ``target<-source``, as by its authors."""
        return {f"{target}<-{source}": OPERATIONS for source, target in EDGES}

    def index(self, arch: Architecture) -> int:
        """Return the official index (0 to 15,624) of a cell."""
        return _ranks()[_lexicographic(arch)]

    def unindex(self, index: int) -> Architecture:
        """Return the cell of an official index (0 to 15,624)."""
        if not 0 <= index < _SIZE:
            raise InvalidArchitectureError(
                f"There is no NAS-Bench-201 architecture {index}. Official indices are 0 to {_SIZE - 1}."
            )
        return _cell(_order()[index])

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """Return ``n`` independent uniform draws, with replacement."""
        return list(map(tuple, rng.integers(0, 5, size=(n, 6)).tolist()))

    def contains(self, arch: Architecture) -> bool:
        """Return whether ``arch`` is one of the 15,625 cells."""
        return len(arch) == 6 and min(arch) >= 0 and max(arch) < 5

    def neighbors(self, arch: Architecture) -> list[Architecture]:
        """Return the 24 cells that differ from ``arch`` in one edge."""
        return [
            (*arch[:edge], op, *arch[edge + 1 :])
            for edge in range(6)
            for op in range(5)
            if op != arch[edge]
        ]

    def mutate(self, arch: Architecture, draw: float) -> Architecture:
        """Return the neighbor at ``draw``: a uniform number gives each of the 24 equally often."""
        edge, step = divmod(int(draw * 24), 4)
        cell = list(arch)
        cell[edge] = (cell[edge] + 1 + step) % 5
        return tuple(cell)

    def canonical(self, arch: Architecture) -> Architecture:
        """Return the representative of all cells that are the same network (5,260 of them).

        Two cells are the same network if they compute the same function for every setting of
        their weights, up to which convolution holds which weights: skips merge into sums, dead
        edges vanish, intermediate nodes may swap, and a convolution that is reached twice counts
        twice (``2 conv(x)`` is not ``conv_a(x) + conv_b(x)``). The linearity of the pooling is not
        used: ``pool(a + b)`` and ``pool(a) + pool(b)`` stay apart.

        The representative has the fewest operations other than none, then the lowest numbers.
        The first call in a process builds the table of all cells (under a second).
        """
        return _cell(_representatives()[_lexicographic(arch)])

    def figures(self, cells: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        """Return trainable parameters and MACs of the published network for CIFAR-10.

        Other datasets and widths of it shift and stretch them, which changes no order.
        """
        return {
            name: base + each[cells].sum(axis=1) for name, (base, each) in _published_sums().items()
        }

    def unique_string(self, arch: Architecture, *, zeros: bool = True) -> str:
        """Return the label that the NAS-Bench-201 authors use for isomorphic cells (6,466 of them).

        With ``zeros=False`` the operation none is written like a convolution and reaches no further
        (12,751 labels); the authors' code can do both.

        It is a label, not equality of networks: it does not tell one convolution used twice from
        two convolutions, and it keeps apart some cells that are the same network (a dead edge
        leaves a ``#`` in its node's string).
        """
        nodes = ["0"]
        for target in (1, 2, 3):
            parts = []
            for op, (source, end) in zip(arch, EDGES, strict=True):
                if end != target:
                    continue
                if zeros and (op == NONE or nodes[source] == "#"):
                    parts.append("#")
                elif op == SKIP:
                    parts.append(nodes[source])
                else:
                    parts.append(f"({nodes[source]})@{OPERATIONS[op]}")
            nodes.append("+".join(sorted(parts)))
        return nodes[3]

    def graph(self, arch: Architecture) -> Graph:
        """Return the cell with its operations on nodes; edges with operation none are left out."""
        labels = ["input"]
        edges: list[tuple[int, int]] = []
        node_of = {0: 0}
        for target in (1, 2, 3):
            sources = []
            for op, (source, end) in zip(arch, EDGES, strict=True):
                if end == target and op != NONE:
                    labels.append(OPERATIONS[op])
                    edges.append((node_of[source], len(labels) - 1))
                    sources.append(len(labels) - 1)
            labels.append("sum" if target < 3 else "output")
            node_of[target] = len(labels) - 1
            edges += [(source, node_of[target]) for source in sources]
        return Graph(tuple(labels), tuple(edges))


_NUMBER = {name: number for number, name in enumerate(OPERATIONS)}


def parameters(arch: Architecture, n_classes: int, *, channels: int = 16, n_cells: int = 5) -> int:
    """Return the number of trainable parameters of the published network.

    A 3x3 stem, three stages of ``n_cells`` cells with ``channels``, twice and four times as many
    channels, a residual block with stride 2 between stages, batch normalisation and a linear
    classifier. Dead edges count: the published network has them.

    Args:
        arch: The cell.
        n_classes: 10 for CIFAR-10, 100 for CIFAR-100, 120 for ImageNet16-120.
        channels: Width of the first stage (16 in the published network).
        n_cells: Cells per stage (5 in the published network).
    """
    n_conv1, n_conv3 = arch.count(CONV1), arch.count(CONV3)
    total = 27 * channels + 2 * channels  # stem convolution on RGB and its normalisation
    for width in (channels, 2 * channels, 4 * channels):
        norm = 2 * width
        total += n_cells * (n_conv1 * (width**2 + norm) + n_conv3 * (9 * width**2 + norm))
    for width in (channels, 2 * channels):
        out = 2 * width
        total += 9 * width * out + 2 * out + 9 * out**2 + 2 * out + width * out
    last = 4 * channels
    return total + 2 * last + last * n_classes + n_classes


def macs(
    arch: Architecture, n_classes: int, image: int, *, channels: int = 16, n_cells: int = 5
) -> int:
    """Return the multiply-accumulate operations for one image (the published "FLOPs").

    Convolutions and the classifier count, its bias as one operation per class; pooling,
    normalisation and sums do not: this is the published convention.

    Args:
        arch: The cell.
        n_classes: As in :func:`parameters`.
        image: Height and width of the input: 32 for CIFAR, 16 for ImageNet16-120.
        channels: As in :func:`parameters`.
        n_cells: As in :func:`parameters`.
    """
    taps = arch.count(CONV1) + 9 * arch.count(CONV3)
    total = 27 * channels * image**2
    for stage in range(3):
        width, side = channels << stage, image >> stage
        total += n_cells * taps * width**2 * side**2
        if stage:
            before = width // 2
            total += (9 * before * width + 9 * width**2 + before * width) * side**2
    return total + 4 * channels * n_classes + n_classes


@cache
def _published_sums() -> dict[str, tuple[int, NDArray[np.float64]]]:
    """Return parameters and MACs of the published CIFAR-10 network without operations, and of each."""
    alone = [(op,) for op in range(len(OPERATIONS))]
    counts = {
        "parameters": [parameters(cell, 10) for cell in alone],
        "macs": [macs(cell, 10, 32) for cell in alone],
    }
    return {
        name: (each[NONE], np.array(each, np.float64) - each[NONE]) for name, each in counts.items()
    }


def _lexicographic(arch: Architecture) -> int:
    a, b, c, d, e, f = arch
    return ((((a * 5 + b) * 5 + c) * 5 + d) * 5 + e) * 5 + f


@cache
def _cells() -> list[Architecture]:
    return list(product(range(5), repeat=6))


def _cell(number: int) -> Architecture:
    cell = []
    for _ in EDGES:
        number, op = divmod(number, 5)
        cell.append(op)
    return tuple(reversed(cell))


@cache
def _order() -> list[int]:
    """Return the lexicographic number of each official index.

    The official list is the product over the six edges, shuffled by Python's generator seeded
    with 88; a test pins its digest.
    """
    import random  # here, since few need the order and the import costs milliseconds

    order = list(range(_SIZE))
    random.Random(88).shuffle(order)  # noqa: S311 - the published order
    return order


@cache
def _ranks() -> list[int]:
    ranks = [0] * _SIZE
    for index, number in enumerate(_order()):
        ranks[number] = index
    return ranks


# A cell's output is a formal sum, a sorted tuple of (term, multiplicity). Terms are
# (0,) for the input, (op, edge, sum) for a convolution of a sum, (POOL, 0, sum) for the pool of a
# sum. Weights belong to edges, so convolutions are keyed by edge; the pool has none.
_Sum = tuple[tuple[Any, int], ...]


@cache
def _representatives() -> list[int]:
    best: dict[_Sum, Architecture] = {}
    keys = []
    memo: dict[_Sum, _Sum] = {}
    for cell in _cells():
        output = _output(cell)
        key = memo.get(output)
        if key is None:
            key = memo[output] = _relabelled(output)
        keys.append(key)
        if key not in best or _preference(cell) < _preference(best[key]):
            best[key] = cell
    return [_lexicographic(best[key]) for key in keys]


def _preference(cell: Architecture) -> tuple[int, Architecture]:
    return -cell.count(NONE), cell


def _output(cell: Architecture) -> _Sum:
    nodes: list[_Sum] = [(((0,), 1),)]
    for target in (1, 2, 3):
        total: dict[Any, int] = {}
        for edge, (source, end) in enumerate(EDGES):
            op = cell[edge]
            if end != target or op == NONE or not nodes[source]:
                continue
            inputs = nodes[source]
            if op == SKIP:
                for term, times in inputs:
                    total[term] = total.get(term, 0) + times
            else:
                term = (op, 0 if op == POOL else edge, inputs)
                total[term] = total.get(term, 0) + 1
        nodes.append(tuple(sorted(total.items())))
    return nodes[3]


def _relabelled(output: _Sum) -> _Sum:
    """Return the least of all equal sums that differ in the names of their convolutions."""
    groups: dict[Any, list[int]] = {}
    for term in _convolutions(output):
        shape = (term[0], _rename(term[2], dict.fromkeys(range(len(EDGES)), 0)))
        groups.setdefault(shape, []).append(term[1])
    ordered = [sorted(groups[shape]) for shape in sorted(groups)]
    candidates = []
    for arrangement in product(*(permutations(group) for group in ordered)):
        names = {edge: name for group in arrangement for name, edge in enumerate(group)}
        candidates.append(_rename(output, names))
    return min(candidates)


def _convolutions(total: _Sum) -> set[Any]:
    found = set()
    for term, _ in total:
        if len(term) == 3:
            if term[0] != POOL:
                found.add(term)
            found |= _convolutions(term[2])
    return found


def _rename(total: _Sum, names: dict[int, int]) -> _Sum:
    merged: dict[Any, int] = {}
    for term, times in total:
        renamed = term
        if len(term) == 3:
            op, edge, inputs = term
            renamed = (op, 0 if op == POOL else names[edge], _rename(inputs, names))
        merged[renamed] = merged.get(renamed, 0) + times
    return tuple(sorted(merged.items()))
