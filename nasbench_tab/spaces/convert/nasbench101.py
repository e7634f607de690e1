"""NAS-Bench-101 cells as other tools write them: matrix and operations, hash, and encodings A, B and C.

    >>> cell = from_matrix([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", "maxpool3x3", "output"])
    >>> matrix_hash(*to_matrix(cell))
    '6f6257bc3b12d87b8736e81cd4b7ed8b'
    >>> to_b(cell)["edge_0"]
    4

Matrix and operations are what ``nasbench.api.ModelSpec`` takes. Encodings A, B and C are the
configurations of ``nas_cifar10`` in the tabular benchmarks of Klein and Hutter (2019) and of HPOBench; the
five operations are called ``op_node_0`` to ``op_node_4`` in each:

- **A**: 21 bits ``edge_0`` ... ``edge_20``, the matrix above its diagonal, row by row.
- **B**: nine numbers ``edge_0`` ... ``edge_8`` from 0 to 20, the edges that there are; one may stand
  repeatedly. The numbers go by columns and backwards: 0 is the edge from the last operation to the
  output, 20 the one from the input to the first operation.
- **C**: ``num_edges`` and 21 weights ``edge_0`` ... ``edge_20``, numbered as in A; the edges with the
  greatest weights are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.nasbench101 import (
    EDGES,
    MAX_EDGES,
    OPERATIONS,
    VERTICES,
    NasBench101,
    hash_of,
    live_vertices,
    parse_network,
)

__all__ = [
    "Matrix",
    "from_a",
    "from_b",
    "from_c",
    "from_matrix",
    "matrix_hash",
    "to_a",
    "to_b",
    "to_c",
    "to_matrix",
]

#: Rows of zeros and ones, of any kind of number.
Matrix: TypeAlias = Sequence[Sequence[Any]] | NDArray[Any]

_SPACE = NasBench101()
_N = len(EDGES)

#: Edges in the order of B's numbers.
_BACKWARDS = tuple(sorted(EDGES, key=lambda edge: (edge[1], edge[0]), reverse=True))


def to_matrix(arch: Architecture) -> tuple[list[list[int]], list[str]]:
    """Return the 7x7 matrix and the seven operations, what is not used included.

    Raises:
        InvalidArchitectureError: It is no architecture of the space; of all functions here.
    """
    arch = _SPACE.check(arch)
    matrix = [[0] * VERTICES for _ in range(VERTICES)]
    for bit, (i, j) in zip(arch[:_N], EDGES, strict=True):
        matrix[i][j] = bit
    return matrix, ["input", *(OPERATIONS[op] for op in arch[_N:]), "output"]


def from_matrix(matrix: Matrix, ops: Sequence[str]) -> Architecture:
    """Return the architecture of a matrix of any size, with integers, floats or bools.

    Seven vertices or fewer are kept as they are; more are pruned, and the canonical cell is returned.
    """
    return _SPACE.parse(_text(matrix, ops))


def matrix_hash(matrix: Matrix, ops: Sequence[str]) -> str:
    """Return the published MD5 of a cell, pruned first; it may have more vertices and edges than the space.

    The authors' code takes numbers for what they are, so that a matrix of floats gives another MD5 there
    than in their file; here all are as integers.
    """
    return hash_of(parse_network(_text(matrix, ops)))


def to_a(arch: Architecture) -> dict[str, int | str]:
    """Return encoding A."""
    arch = _SPACE.check(arch)
    return {**{f"edge_{i}": bit for i, bit in enumerate(arch[:_N])}, **_op_nodes(arch)}


def from_a(configuration: Mapping[str, Any]) -> Architecture:
    """Return the architecture of encoding A."""
    values = _values(configuration, [f"edge_{i}" for i in range(_N)], "A")
    return _made(_integers(values, 1, "A"), configuration)


def to_b(arch: Architecture) -> dict[str, int | str]:
    """Return encoding B: numbers ascend, and the last is repeated where there are fewer than nine edges."""
    arch = _SPACE.check(arch)
    edges = _few_edges(arch)
    numbers = [number for number, edge in enumerate(_BACKWARDS) if edge in edges]
    numbers += numbers[-1:] * (MAX_EDGES - len(numbers))
    return {**{f"edge_{i}": number for i, number in enumerate(numbers)}, **_op_nodes(arch)}


def from_b(configuration: Mapping[str, Any]) -> Architecture:
    """Return the architecture of encoding B."""
    values = _values(configuration, [f"edge_{i}" for i in range(MAX_EDGES)], "B")
    edges = {_BACKWARDS[number] for number in _integers(values, _N - 1, "B")}
    return _made([int(edge in edges) for edge in EDGES], configuration)


def to_c(arch: Architecture) -> dict[str, int | float | str]:
    """Return encoding C: weight 1 for the edges that there are, 0 for the others."""
    arch = _SPACE.check(arch)
    edges = _few_edges(arch)
    weights = {f"edge_{i}": float(edge in edges) for i, edge in enumerate(EDGES)}
    return {"num_edges": len(edges), **weights, **_op_nodes(arch)}


def from_c(configuration: Mapping[str, Any]) -> Architecture:
    """Return the architecture of encoding C; of equal weights the later ones count as greater."""
    keys = [f"edge_{i}" for i in range(_N)]
    count, *weights = _values(configuration, ["num_edges", *keys], "C")
    (n,) = _integers([count], MAX_EDGES, "C")
    try:
        numbers = [float(weight) for weight in weights]
        if not all(0 <= number <= 1 for number in numbers):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise InvalidArchitectureError(
            f"Encoding C has 21 weights from 0 to 1; got {weights!r}."
        ) from None
    greatest = sorted(range(_N), key=lambda i: (numbers[i], i), reverse=True)[:n]
    return _made([int(i in greatest) for i in range(_N)], configuration)


def _text(matrix: Matrix, ops: Sequence[str]) -> str:
    """Return the published form of a matrix of any kind of numbers."""
    try:
        rows = [[int(bit) for bit in row] for row in matrix]
        same = all(
            a == b and a in (0, 1)
            for own, row in zip(rows, matrix, strict=True)
            for a, b in zip(own, row, strict=True)
        )
        square = all(len(row) == len(rows) == len(ops) for row in rows)
        if same and square and not any("," in name or "|" in name for name in ops):
            return f"{''.join(str(bit) for row in rows for bit in row)}|{','.join(ops)}"
    except (TypeError, ValueError, OverflowError):
        pass  # not even rows of numbers
    raise InvalidArchitectureError(
        f"{matrix!r} with {ops!r} is no NAS-Bench-101 cell. Expected a square matrix of zeros and ones and "
        "the name of an operation for each of its rows."
    )


def _few_edges(arch: Architecture) -> set[tuple[int, int]]:
    """Return the edges of an architecture; without those that are not used where they are too many."""
    edges = {edge for bit, edge in zip(arch[:_N], EDGES, strict=True) if bit}
    if len(edges) > MAX_EDGES:
        live = live_vertices(arch)
        edges = {(i, j) for i, j in edges if i in live and j in live}
    return edges


def _op_nodes(arch: Architecture) -> dict[str, str]:
    return {f"op_node_{i}": OPERATIONS[op] for i, op in enumerate(arch[_N:])}


def _values(configuration: Mapping[str, Any], names: list[str], encoding: str) -> list[Any]:
    """Return the values of the edges of a configuration that has these names and those of operations."""
    expected = [*names, *(f"op_node_{i}" for i in range(VERTICES - 2))]
    if not isinstance(configuration, Mapping):
        raise InvalidArchitectureError(
            f"{configuration!r:.200} is no configuration of encoding {encoding}: a dict expected."
        )
    found = set(configuration)
    if found != set(expected):
        missing, more = sorted(set(expected) - found), sorted(map(str, found - set(expected)))
        raise InvalidArchitectureError(
            f"Encoding {encoding} has {names[0]} to {names[-1]} and op_node_0 to op_node_4. Missing: "
            f"{', '.join(missing) or 'none'}. Unknown: {', '.join(more) or 'none'}."
        )
    return [configuration[name] for name in names]


def _integers(values: list[Any], most: int, encoding: str) -> list[int]:
    try:
        numbers = [int(value) for value in values]
        if all(0 <= n <= most and n == v for n, v in zip(numbers, values, strict=True)):
            return numbers
    except (TypeError, ValueError, OverflowError):
        pass  # no numbers at all
    raise InvalidArchitectureError(
        f"Encoding {encoding} has integers from 0 to {most} here; got {values!r}."
    )


def _made(bits: list[int], configuration: Mapping[str, Any]) -> Architecture:
    """Return the architecture with these edges and a configuration's operations."""
    ops = []
    for i in range(VERTICES - 2):
        name = configuration[f"op_node_{i}"]
        if name not in OPERATIONS:
            raise InvalidArchitectureError(
                f"op_node_{i} is {name!r}; expected one of {', '.join(OPERATIONS)}."
            )
        ops.append(OPERATIONS.index(name))
    return _SPACE.check((*bits, *ops))
