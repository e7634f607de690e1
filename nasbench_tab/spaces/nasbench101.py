"""The NAS-Bench-101 cell: any directed acyclic graph of at most 7 vertices and 9 edges, 423,624 networks.

    >>> from nasbench_tab.spaces.nasbench101 import NasBench101
    >>> space = NasBench101()
    >>> cell = space.parse("0110001000010000|input,conv3x3-bn-relu,maxpool3x3,output")
    >>> space.published_hash(cell)
    '8cb3a764fd692371153c2c8503f840e0'

Operations stand on vertices. An architecture is a tuple of 26 numbers: the 21 bits above the diagonal
of a 7x7 adjacency matrix, row by row, then the operations (positions in :data:`OPERATIONS`) of the five
vertices between input and output. A cell of fewer vertices is padded in one way: its output becomes
vertex 6, and the vertices between have no edges and operation 0.

What is on no way from input to output is no part of the network. It is pruned before the limits apply,
so an architecture may have more than 9 edges if its network has not.

Ying, Klein, Christiansen, Real, Murphy and Hutter, "NAS-Bench-101: Towards Reproducible Neural
Architecture Search", ICML 2019.
"""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache
from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArchitectureError, unknown_name
from nasbench_tab.records import Architecture, Graph
from nasbench_tab.spaces.base import Space

__all__ = [
    "EDGES",
    "MAX_EDGES",
    "N_NETWORKS",
    "OPERATIONS",
    "VERTICES",
    "NasBench101",
    "Network",
    "architecture_of",
    "figures_of",
    "hash_of",
    "live_vertices",
    "network_of",
    "parse_network",
    "pruned",
]

#: Operation names in the order of the published labels.
OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
CONV3, CONV1, POOL = range(3)

VERTICES, MAX_EDGES = 7, 9

#: ``(source, target)`` of each of the first 21 positions.
EDGES = tuple((i, j) for i in range(VERTICES) for j in range(i + 1, VERTICES))

#: Different networks in the space, all of which were trained.
N_NETWORKS = 423_624

_N = len(EDGES)
_CHOICES = (2,) * _N + (len(OPERATIONS),) * (VERTICES - 2)
_LIMITS = (
    f"After pruning what is on no way from input to output, there must be a way, at most {VERTICES} "
    f"vertices and at most {MAX_EDGES} edges."
)
_FORM = (
    "<adjacency bits, row by row>|input,<operations>,output, for example "
    "0110001000010000|input,conv3x3-bn-relu,maxpool3x3,output"
)


class Network(NamedTuple):
    """A cell without what computes nothing.

    Attributes:
        targets: Of each of the ``V`` vertices, whom it feeds: bit ``j`` is set for vertex ``j``.
        ops: The ``V - 2`` operations between input and output.
    """

    targets: tuple[int, ...]
    ops: tuple[int, ...]


class NasBench101(Space):
    """All valid architectures of 26 numbers; ``size`` counts the different networks among them.

    ``sample`` is the published rejection sampling: uniform bits and operations until they are valid. So
    networks that can be written in more ways are drawn more often.
    ``neighbors`` differ in one edge or in one operation of the unpruned cell, the two kinds of change that
    the mutations of the paper's regularised evolution are made of.
    """

    name = "nasbench101"
    choices = _CHOICES
    groups = tuple(
        (
            *(place for place, (_, end) in enumerate(EDGES) if end == target),
            *((_N + target - 1,) if target < VERTICES - 1 else ()),
        )
        for target in range(1, VERTICES)
    )
    rule = _LIMITS
    size: int | None = N_NETWORKS
    uniform = False

    def contains(self, arch: Architecture) -> bool:
        """Return whether ``arch`` is in range and its network within the limits."""
        return super().contains(arch) and _skeleton(arch[:_N]) is not None

    def parse(self, text: str) -> Architecture:
        """Return the architecture of a matrix and operations, as the published file has them.

        Seven vertices or fewer are kept as they are, what is not used too; more are pruned first.
        """
        targets, ops = _read(text)
        network = _pruned(text, targets, ops)
        if len(targets) > VERTICES:
            return architecture_of(network)
        _check_limits(network)
        return _padded(targets, ops)

    def format(self, arch: Architecture) -> str:
        """Return the 49 bits of the matrix and the seven operations."""
        rows = [["0"] * VERTICES for _ in range(VERTICES)]
        for bit, (i, j) in zip(arch, EDGES, strict=False):
            rows[i][j] = str(bit)
        names = ("input", *(OPERATIONS[op] for op in arch[_N:]), "output")
        return f"{''.join(map(''.join, rows))}|{','.join(names)}"

    def options(self) -> dict[str, tuple[str, ...]]:
        """Return the names of encoding A of the tabular benchmarks of Klein and Hutter (2019)."""
        return {
            **{f"edge_{place}": ("0", "1") for place in range(_N)},
            **{f"op_node_{place}": OPERATIONS for place in range(VERTICES - 2)},
        }

    def canonical(self, arch: Architecture) -> Architecture:
        """Return the representative of all architectures that are the same network.

        It is the one in the published file: of all orders of the vertices the first in which the
        authors' enumeration meets the network. Edges into later vertices are counted as higher bits,
        from later vertices too; the lowest number comes first, then the lowest operations.
        """
        return architecture_of(network_of(arch))

    def published_hash(self, arch: Architecture) -> str:
        """Return the MD5 by which the published file knows the network: 32 hexadecimal digits."""
        return hash_of(network_of(arch))

    def graph(self, arch: Architecture) -> Graph:
        """Return the cell; vertices without any edge, as those of the padding, are left out.

        What enters an operation is summed, what enters the output is concatenated.
        """
        edges = [edge for bit, edge in zip(arch, EDGES, strict=False) if bit]
        used = sorted({0, VERTICES - 1, *(vertex for edge in edges for vertex in edge)})
        place = {vertex: i for i, vertex in enumerate(used)}
        labels = [OPERATIONS[arch[_N + vertex - 1]] for vertex in used[1:-1]]
        return Graph(("input", *labels, "output"), tuple((place[i], place[j]) for i, j in edges))

    def figures(self, cells: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        """Return trainable parameters and MACs of the published network for CIFAR-10."""
        found = [figures_of(network_of(cell)) for cell in map(tuple, cells.tolist())]
        array = np.array(found, np.float64).reshape(-1, 2)
        return {"parameters": array[:, 0], "macs": array[:, 1]}


_NUMBER = {name: number for number, name in enumerate(OPERATIONS)}


def pruned(targets: tuple[int, ...], ops: tuple[int, ...]) -> Network | None:
    """Return the network of a cell of any size, or None where no way leads from input to output.

    Args:
        targets: As in :class:`Network`; edges lead from lower to higher vertices.
        ops: One for each vertex between input and output.
    """
    live, among = _core(targets)
    return Network(among, tuple(ops[vertex - 1] for vertex in live[1:-1])) if live else None


def network_of(arch: Architecture) -> Network:
    """Return the network of an architecture of the space.

    Raises:
        InvalidArchitectureError: It breaks the limits.
    """
    live, targets = _limited(arch)
    return Network(targets, tuple(arch[_N + vertex - 1] for vertex in live[1:-1]))


def live_vertices(arch: Architecture) -> tuple[int, ...]:
    """Return the vertices of an architecture that are part of its network, in order.

    Raises:
        InvalidArchitectureError: It breaks the limits.
    """
    return _limited(arch)[0]


def parse_network(text: str) -> Network:
    """Return the network of a published matrix and operations; it may be beyond the space's limits.

    Raises:
        InvalidArchitectureError: The text is no cell, or no way leads through it.
    """
    return _pruned(text, *_read(text))


def architecture_of(network: Network) -> Architecture:
    """Return the canonical architecture of a network.

    Raises:
        InvalidArchitectureError: It has too many vertices or edges for the space.
    """
    _check_limits(network)
    bits, orders = _ordered(network.targets)
    ops = min(tuple(network.ops[vertex - 1] for vertex in order) for order in orders)
    return (*bits, *ops, *(0,) * (VERTICES - 2 - len(ops)))


def hash_of(network: Network) -> str:
    """Return the published MD5 of a network.

    Each vertex starts with the digest of its degrees and its label; as many times as there are vertices,
    the digests of its sources and of its targets are mixed in. It is computed from Python's own
    integers: the authors' code gives other digests for matrices of floats and, under NumPy 2, for labels
    that are NumPy integers.
    """
    degrees, near = _around(network.targets)
    labels = (-1, *network.ops, -2)
    digests = [_md5(f"({o}, {i}, {label})") for (o, i), label in zip(degrees, labels, strict=True)]
    for _ in labels:
        digests = [
            _md5(f"{_joined(digests, into)}|{_joined(digests, out)}|{own}")
            for own, (into, out) in zip(digests, near, strict=True)
        ]
    return _md5(str(sorted(digests)))


def figures_of(network: Network) -> tuple[int, int]:
    """Return trainable parameters and MACs of the published network for CIFAR-10.

    A 3x3 stem with 128 channels, three stacks of three cells with 128, 256 and 512, pooling between
    stacks and a linear classifier on 32x32 colour images. Every convolution is followed by a
    normalisation. The output concatenates what enters it, so the channels are divided among these vertices,
    the remainder to the first of them; other vertices are as wide as the widest that they feed. Since the
    remainder depends on the order of vertices, so may the parameters of the same network: the published
    ones are the canonical cell's.

    MACs are the multiplications of convolutions and classifier for one image.
    """
    side, width = 32, 128
    parameters, macs = (27 + 2) * width, 27 * width * side**2
    for stack in range(3):
        out = 128 << stack
        pixels = (side >> stack) ** 2
        for first in (True, False, False):
            weights, norms = _weights(network, width if first else out, out)
            parameters += weights + 2 * norms
            macs += weights * pixels
        width = out
    return parameters + width * 10 + 10, macs + width * 10


def _weights(network: Network, before: int, width: int) -> tuple[int, int]:
    """Return weights of the convolutions of one cell, and channels that they write."""
    targets, last = network.targets, len(network.targets) - 1
    channels = _channels(targets, width)
    weights = norms = 0
    for vertex, op in enumerate(network.ops, start=1):
        own = channels[vertex]
        if targets[0] >> vertex & 1:  # the input is projected
            weights += before * own
            norms += own
        if op != POOL:
            weights += (9 if op == CONV3 else 1) * own**2
            norms += own
    if targets[0] >> last & 1:
        weights += before * width
        norms += width
    return weights, norms


@lru_cache(maxsize=2**14)
def _channels(targets: tuple[int, ...], width: int) -> tuple[int, ...]:
    """Return the channels of each vertex; those of the input are not meant."""
    last = len(targets) - 1
    joined = [vertex for vertex in range(1, last) if targets[vertex] >> last & 1]
    channels = [0] * last + [width]
    for place, vertex in enumerate(joined):
        channels[vertex] = width // len(joined) + (place < width % len(joined))
    for vertex in range(last - 1, 0, -1):
        if not channels[vertex]:
            channels[vertex] = max(
                channels[other] for other in range(vertex, last) if targets[vertex] >> other & 1
            )
    return tuple(channels)


def _limited(arch: Architecture) -> tuple[tuple[int, ...], tuple[int, ...]]:
    found = _skeleton(arch[:_N])
    if found is None:
        raise InvalidArchitectureError(f"{arch!r} is not a cell of nasbench101. {_LIMITS}")
    return found


def _read(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return targets and operations as they are written."""
    matrix, bar, listed = text.strip().partition("|")
    names = [name.strip() for name in listed.split(",")]
    n = len(names)
    if not bar or len(matrix) != n * n or matrix.strip("01"):
        raise InvalidArchitectureError(
            f"{text!r} is not a NAS-Bench-101 cell. Expected {_FORM}; V operations, input and output "
            "among them, and V x V bits."
        )
    if names[0] != "input" or names[-1] != "output":
        raise InvalidArchitectureError(
            f"{text!r}: the first operation must be input and the last output. Expected {_FORM}."
        )
    for name in names[1:-1]:
        if name not in _NUMBER:
            raise InvalidArchitectureError(
                f"{text!r}: {unknown_name('operation', name, OPERATIONS)}"
            )
    targets = tuple([int(matrix[start : start + n][::-1], 2) for start in range(0, n * n, n)])
    if any(row & ((2 << i) - 1) for i, row in enumerate(targets)):
        raise InvalidArchitectureError(
            f"{text!r}: edges must lead from a vertex to a later one, so that the matrix is zero on and "
            "below its diagonal."
        )
    return targets, tuple([_NUMBER[name] for name in names[1:-1]])


def _pruned(text: str, targets: tuple[int, ...], ops: tuple[int, ...]) -> Network:
    found = pruned(targets, ops)
    if found is None:
        raise InvalidArchitectureError(f"{text!r}: no way leads from input to output. {_LIMITS}")
    return found


def _check_limits(network: Network) -> None:
    n, edges = len(network.targets), sum(map(int.bit_count, network.targets))
    if n > VERTICES or edges > MAX_EDGES:
        raise InvalidArchitectureError(
            f"A cell of {n} vertices and {edges} edges (pruned) is not in nasbench101. {_LIMITS}"
        )


def _padded(targets: tuple[int, ...], ops: tuple[int, ...]) -> Architecture:
    """Return the architecture of at most seven vertices, the output last."""
    last = len(targets) - 1
    edges = {
        (i, VERTICES - 1 if j == last else j)
        for i, row in enumerate(targets)
        for j in range(last + 1)
        if row >> j & 1
    }
    return (*(int(edge in edges) for edge in EDGES), *ops, *(0,) * (VERTICES - 2 - len(ops)))


@lru_cache(maxsize=2**16)
def _skeleton(bits: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the vertices in use and the network's targets; None beyond the limits."""
    rows = [0] * VERTICES
    for bit, (i, j) in zip(bits, EDGES, strict=True):
        rows[i] |= bit << j
    live, targets = _core(tuple(rows))
    return (live, targets) if live and sum(map(int.bit_count, targets)) <= MAX_EDGES else None


@lru_cache(maxsize=2**14)
def _core(targets: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the vertices on a way from the first to the last, and their targets, numbered anew.

    Both are empty if there is no way.
    """
    last = len(targets) - 1
    reached = 1
    for vertex, row in enumerate(targets):
        if reached >> vertex & 1:
            reached |= row
    leading = 1 << last
    for vertex in range(last - 1, -1, -1):
        if targets[vertex] & leading:
            leading |= 1 << vertex
    both = reached & leading
    if not last or not both & 1:
        return (), ()
    live = tuple(vertex for vertex in range(last + 1) if both >> vertex & 1)
    numbered = list(enumerate(live))
    return live, tuple(
        sum([1 << place for place, other in numbered if targets[vertex] >> other & 1])
        for vertex in live
    )


@lru_cache(maxsize=2**14)
def _ordered(
    targets: tuple[int, ...],
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Return the canonical matrix of pruned targets, padded, and all orders of the inner vertices for it."""
    n = len(targets)
    orders, sources, ends = _orders(n)
    matrix = (np.array(targets)[:, None] >> np.arange(n)) & 1
    upper = matrix[orders[:, sources], orders[:, ends]]
    forward = upper.sum(axis=1) == matrix.sum()
    number = np.where(forward, upper @ (1 << np.arange(len(sources))), np.iinfo(np.int64).max)
    best = np.flatnonzero(number == number.min())
    chosen = matrix[np.ix_(orders[best[0]], orders[best[0]])]
    rows = tuple(sum(bit << j for j, bit in enumerate(row)) for row in chosen.tolist())
    inner = tuple(map(tuple, orders[best, 1:-1].tolist()))
    return _padded(rows, (0,) * (n - 2))[:_N], inner


@cache
def _orders(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return all orders of ``n`` vertices that keep the ends, and the pairs above a matrix's diagonal.

    Pairs are in the order of the authors' bits: column by column.
    """
    orders = np.array([(0, *inner, n - 1) for inner in permutations(range(1, n - 1))], np.intp)
    pairs = np.array([(i, j) for j in range(n) for i in range(j)], np.intp)
    return orders, pairs[:, 0], pairs[:, 1]


@lru_cache(maxsize=2**14)
def _around(
    targets: tuple[int, ...],
) -> tuple[list[tuple[int, int]], list[tuple[list[int], list[int]]]]:
    """Return how many targets and sources each vertex has, and its sources and targets."""
    n = len(targets)
    sinks = [[j for j in range(n) if row >> j & 1] for row in targets]
    sources = [[i for i in range(n) if targets[i] >> j & 1] for j in range(n)]
    near = list(zip(sources, sinks, strict=True))
    return [(len(out), len(into)) for into, out in near], near


def _joined(digests: list[str], places: list[int]) -> str:
    """Return the digests at some places, sorted; most vertices have one neighbor on a side."""
    if len(places) == 1:
        return digests[places[0]]
    return "".join(sorted([digests[place] for place in places]))


_EMPTY = hashlib.md5(usedforsecurity=False)


def _md5(text: str) -> str:
    digest = _EMPTY.copy()  # faster than a new one
    digest.update(text.encode())
    return digest.hexdigest()
