"""The NAS-Bench-Graph cell: four operations in a tree below the input, 26,206 architectures.

    >>> from nasbench_tab.spaces.nasbench_graph import NasBenchGraph
    >>> space = NasBenchGraph()
    >>> cell = space.parse("[0,1,2,1] gcn,gin,fc,cheb")
    >>> cell, space.format(cell), space.index(cell)
    ((6, 1, 2, 3, 7), '[0,1,1,2] gcn,gin,cheb,fc', 61237)

The link vector says where each of the four operations gets its input: 0 is the cell's input, k the
k-th operation. What nobody takes as input (a leaf) goes to the output, several leaves concatenated.
A cell is a tuple of five numbers: the position of its links in :data:`LINKS`, then four operation
numbers (positions in the space's ``operations``). Four times skip is not an architecture.

Many cells are the same network, since siblings may swap and a skip often changes nothing;
``canonical`` is the published choice among them and ``index`` its published hash, the keys of the
benchmark's files: the five numbers of the canonical cell as decimal digits, operations always
counted in the full list :data:`OPERATIONS`.

Qin, Zhang, Wang, Zhang and Zhu, "NAS-Bench-Graph: Benchmarking Graph Neural Architecture Search",
NeurIPS 2022 Datasets and Benchmarks.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nasbench_tab.errors import InvalidArchitectureError, unknown_name
from nasbench_tab.records import Architecture, Graph
from nasbench_tab.spaces.base import Space

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LINKS", "OPERATIONS", "NasBenchGraph", "NasBenchGraphProteins"]

#: Operation names in the order of the published hash. ``fc`` looks at no neighbours in the graph.
OPERATIONS = ("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip")

#: The nine published link vectors; every other one is a renumbering of one of these.
LINKS = (
    (0, 0, 0, 0),
    (0, 0, 0, 1),
    (0, 0, 1, 1),
    (0, 0, 1, 2),
    (0, 0, 1, 3),
    (0, 1, 1, 1),
    (0, 1, 1, 2),
    (0, 1, 2, 2),
    (0, 1, 2, 3),
)

_FORM = "[0,a,b,c] op,op,op,op with a in 0 to 1, b in 0 to 2 and c in 0 to 3"


class NasBenchGraph(Space):
    """The 26,206 architectures of eight datasets.

    The first call that asks for a canonical form builds the table of all cells (about a second).
    """

    name = "nasbench-graph"
    operations: tuple[str, ...] = OPERATIONS
    choices: tuple[int, ...] = (9, 9, 9, 9, 9)
    rule = "Not all four operations may be skip."
    size: int | None = 26_206

    def contains(self, arch: Architecture) -> bool:
        """Return whether ``arch`` is in range and has an operation other than skip."""
        return super().contains(arch) and min(arch[1:]) < len(self.operations) - 1

    def parse(self, text: str) -> Architecture:
        """Return the cell of a string such as ``[0,1,2,1] gcn,gin,fc,cheb``.

        Any links may be written in which each operation takes its input from the cell's input or
        an earlier operation; they are renumbered to one of the nine in :data:`LINKS`.
        """
        head, bracket, tail = text.strip().partition("]")
        if not bracket or not head.startswith("["):
            raise InvalidArchitectureError(
                f"{text!r} is not a NAS-Bench-Graph architecture. Expected {_FORM}."
            )
        links = _parsed_links(text, head[1:].split(","))
        names = [name.strip() for name in tail.split(",")] if tail.strip() else []
        if len(names) != 4:
            raise InvalidArchitectureError(
                f"{text!r}: four operations expected, {len(names)} found. Expected {_FORM}."
            )
        for name in names:
            if name not in self.operations:
                problem = unknown_name("operation", name, self.operations)
                raise InvalidArchitectureError(f"{text!r}: {problem}")
        if set(names) == {"skip"}:
            raise InvalidArchitectureError(
                f"{text!r} has no operation but skip, which is not an architecture. "
                "Replace at least one skip."
            )
        number, order = _renumbered(links)
        return (number, *(self.operations.index(names[place]) for place in order))

    def format(self, arch: Architecture) -> str:
        """Return the cell's own links and operations, for example ``[0,1,1,2] gcn,gin,cheb,fc``."""
        links = ",".join(map(str, LINKS[arch[0]]))
        return f"[{links}] {','.join(self.operations[op] for op in arch[1:])}"

    def options(self) -> dict[str, tuple[str, ...]]:
        """Return the link vectors, and the operations of each of the four nodes."""
        links = tuple(f"[{','.join(map(str, link))}]" for link in LINKS)
        return {"links": links, **{f"operation_{i}": self.operations for i in range(1, 5)}}

    def canonical(self, arch: Architecture) -> Architecture:
        """Return the published representative of all cells that are the same network.

        A skip is useless if it has operations behind it, if it is all that is behind an operation
        or if it leads from the input straight to the output. Useless skips go to the front, one
        after the other; then operations are numbered by depth, those with more operations behind
        them first, then those with the lower number.
        """
        table = _table(self.operations)
        return table.cells[table.number[arch]]

    def index(self, arch: Architecture) -> int:
        """Return the published hash of the canonical form of a cell."""
        table = _table(self.operations)
        return table.hashes[table.number[arch]]

    def unindex(self, index: int) -> Architecture:
        """Return the canonical cell of a published hash; most numbers are none."""
        table = _table(self.operations)
        cell = table.cell_of_hash.get(index)
        if cell is None:
            raise InvalidArchitectureError(
                f"There is no architecture {index} in {self.name}. Its {self.size} indices are the "
                f"published hashes, {table.hashes[0]} to {table.hashes[-1]} with gaps; index(cell) "
                "gives the one of a cell."
            )
        return cell

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """Return ``n`` independent uniform draws of canonical cells, with replacement."""
        cells = _table(self.operations).cells
        return [cells[number] for number in rng.integers(0, len(cells), n).tolist()]

    def neighbors(self, arch: Architecture) -> list[Architecture]:
        """Return the canonical cells one change away from ``arch``, by ascending index.

        Two architectures are neighbors if some spelling of one (any links, any order) and some
        spelling of the other differ in exactly one operation or exactly one link. The first call
        builds the table of all pairs (under a second).
        """
        table = _table(self.operations)
        starts, targets = _neighbors(self.operations)
        number = table.number[arch]
        near = targets[starts[number] : starts[number + 1]].tolist()
        return [table.cells[other] for other in near]

    def mutate(self, arch: Architecture, draw: float) -> Architecture:
        """Return the neighbor at ``draw``; a uniform number in [0, 1) makes a uniform mutation."""
        table = _table(self.operations)
        starts, targets = _neighbors(self.operations)
        number = table.number[arch]
        start, end = starts[number], starts[number + 1]
        return table.cells[targets[start + int(draw * (end - start))]]

    def graph(self, arch: Architecture) -> Graph:
        """Return the cell with one node per operation, skips too; all leaves go to the output."""
        links = LINKS[arch[0]]
        edges = [(source, node) for node, source in enumerate(links, start=1)]
        edges += [(node, 5) for node in range(1, 5) if node not in links]
        return Graph(("input", *(self.operations[op] for op in arch[1:]), "output"), tuple(edges))


class NasBenchGraphProteins(NasBenchGraph):
    """The 2,021 architectures of the proteins dataset: hashes as in the full list."""

    name = "nasbench-graph-proteins"
    operations = ("gcn", "sage", "arma", "fc", "skip")
    choices = (9, 5, 5, 5, 5)
    size = 2_021


_Links = tuple[int, ...]

# An operation with all that is behind it: minus the number of operations, its label and the trees
# behind it, so that sorting puts large trees first, then low labels.
_Tree = tuple[int, int, tuple[Any, ...]]


def _parsed_links(text: str, fields: list[str]) -> _Links:
    if len(fields) != 4:
        raise InvalidArchitectureError(
            f"{text!r}: four links expected, {len(fields)} found. Expected {_FORM}."
        )
    for node, field in enumerate(fields, start=1):
        if field.strip() not in map(str, range(node)):
            raise InvalidArchitectureError(
                f"{text!r}: operation {node} cannot take its input from {field.strip()!r}. "
                f"Expected a number from 0 (the cell's input) to {node - 1} (the operation before)."
            )
    return tuple(map(int, fields))


@cache
def _renumbered(links: _Links) -> tuple[int, _Links]:
    """Return the position in LINKS of any links, and which operation comes at each place there."""
    own, order = _numbered(_trees(links, (0, 1, 2, 3)))
    return LINKS.index(own), order


def _trees(links: _Links, labels: _Links, skip: int = -1) -> list[_Tree]:
    """Return the trees below the input, without the useless ones among the labels ``skip``."""
    below: list[list[_Tree]] = [[], [], [], [], []]
    leaf: _Tree = (-1, skip, ())
    for node in (4, 3, 2, 1):
        label, behind = labels[node - 1], below[node]
        if label == skip and behind:
            below[links[node - 1]] += behind
            continue
        kept = [] if behind == [leaf] else sorted(behind)
        tree = (sum(size for size, _, _ in kept) - 1, label, tuple(kept))
        below[links[node - 1]].append(tree)
    return [tree for tree in below[0] if tree != leaf]


def _numbered(trees: list[_Tree]) -> tuple[_Links, _Links]:
    """Return links and labels of trees, numbered breadth first."""
    links, labels = [], []
    queue = [(0, tree) for tree in sorted(trees)]
    for source, (_, label, behind) in queue:  # grows while it is walked
        links.append(source)
        labels.append(label)
        queue += [(len(labels), tree) for tree in behind]
    return tuple(links), tuple(labels)


def _canonical(links: _Links, ops: _Links, skip: int) -> Architecture:
    trees = _trees(links, ops, skip)
    for size in range(1 + sum(-tree[0] for tree in trees), 5):
        trees = [(-size, skip, tuple(sorted(trees)))]
    links, ops = _numbered(trees)
    return (LINKS.index(links), *ops)


class _Table(NamedTuple):
    cells: list[Architecture]  # the canonical ones, ascending: the order of their hashes too
    hashes: list[int]
    cell_of_hash: dict[int, Architecture]
    number: dict[Architecture, int]  # of any cell: the place of its canonical form in ``cells``


@cache
def _table(operations: tuple[str, ...]) -> _Table:
    n_ops = len(operations)
    skip = n_ops - 1
    form = {
        (number, *ops): _canonical(links, ops, skip)
        for number, links in enumerate(LINKS)
        for ops in product(range(n_ops), repeat=4)
        if min(ops) < skip
    }
    cells = sorted(set(form.values()))
    digits = [OPERATIONS.index(name) for name in operations]
    hashes = [int("".join(map(str, (cell[0], *(digits[op] for op in cell[1:]))))) for cell in cells]
    place = {cell: number for number, cell in enumerate(cells)}
    number = {cell: place[own] for cell, own in form.items()}
    return _Table(cells, hashes, dict(zip(hashes, cells, strict=True)), number)


@cache
def _neighbors(operations: tuple[str, ...]) -> tuple[memoryview, memoryview]:
    """Return ``starts, targets``: cell ``i`` has neighbors ``targets[starts[i]:starts[i + 1]]``."""
    table = _table(operations)
    size, n_ops = len(table.cells), len(operations)
    numbers = np.full((len(LINKS), *(n_ops,) * 4), -1, np.int64)  # -1: four times skip
    numbers[tuple(np.array(list(table.number)).T)] = list(table.number.values())
    # One changed operation: the nine links are enough, since renumbering keeps what is changed.
    pairs = [
        _pairs(numbers, np.roll(numbers, step, axis), size)
        for axis in (1, 2, 3, 4)
        for step in range(1, n_ops)
    ]
    spelled = {links: _spelled(links, numbers) for links in product((0,), *map(range, (2, 3, 4)))}
    pairs += [
        _pairs(own, other, size)
        for links, own in spelled.items()
        for others, other in spelled.items()
        if sum(a != b for a, b in zip(links, others, strict=True)) == 1
    ]
    codes = np.sort(np.concatenate(pairs))
    codes = codes[np.diff(codes, prepend=-1) > 0]
    starts = np.searchsorted(codes, np.arange(size + 1) * size)
    return starts.data, (codes % size).astype(np.int32).data


def _spelled(links: _Links, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of the architectures with these links, by operations as spelled."""
    own, order = _renumbered(links)
    spelled: NDArray[np.int64] = numbers[own].transpose(np.argsort(order))
    return spelled


def _pairs(one: NDArray[np.int64], other: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return ``a * size + b`` for each pair of different architectures at the same place."""
    a, b = one.ravel(), other.ravel()
    kept = (a >= 0) & (b >= 0) & (a != b)
    codes: NDArray[np.int64] = a[kept] * size + b[kept]
    return codes
