"""The NAS-Bench-201 cell as other tools write it, and back.

    >>> from nasbench_tab.spaces.convert import nasbench201 as convert
    >>> cell = convert.from_index(11)
    >>> convert.to_string(cell)
    '|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|'
    >>> convert.to_jahs(cell)
    {'Op1': 2, 'Op2': 2, 'Op3': 1, 'Op4': 4, 'Op5': 2, 'Op6': 4}

Tools differ in two things. The edges stand by their target (0→1, 0→2, 1→2, 0→3, 1→3, 2→3: the published
string, its list of operations, Syne Tune, the names of BOHB's and DEHB's ConfigSpace) or by their source
(0→1, 0→2, 0→3, 1→2, 1→3, 2→3: JAHS-Bench-201, NASLib). And operations are names or numbers, whose order
in JAHS-Bench-201 and NASLib is not the published one. A cell read with the wrong order is still a cell,
so nothing would complain.

What is read must be complete and hold nothing else; an unknown key, name or number is refused.

Dong and Yang, ICLR 2020 (string, index); Bansal, Stoll, Janowski, Zela and Hutter, "JAHS-Bench-201",
NeurIPS 2022; NASLib, Syne Tune, NNI and mf-prior-bench in their own code.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_tab.errors import InvalidArchitectureError, unknown_name
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.nasbench201 import EDGES, OPERATIONS, NasBench201

__all__ = [
    "from_configspace",
    "from_index",
    "from_jahs",
    "from_matrix",
    "from_mfpbench",
    "from_naslib",
    "from_nni",
    "from_operations",
    "from_string",
    "from_syne_tune",
    "to_configspace",
    "to_index",
    "to_jahs",
    "to_matrix",
    "to_mfpbench",
    "to_naslib",
    "to_nni",
    "to_operations",
    "to_string",
    "to_syne_tune",
]

_SPACE = NasBench201()
_BY_SOURCE = tuple(sorted(EDGES))

#: Our operation at each code of JAHS-Bench-201 and NASLib: skip, zero, 3x3, 1x1, average pool.
_SOURCE_MAJOR_CODES = (1, 0, 3, 2, 4)


class _Keys(NamedTuple):
    """How a tool names the six edges, and the operations on them, in the order of ours."""

    tool: str
    names: dict[tuple[int, int], str]
    operations: tuple[str, ...] = OPERATIONS


_SYNE_TUNE = _Keys("Syne Tune", {edge: f"hp_x{i}" for i, edge in enumerate(EDGES)})
_NNI = _Keys(
    "NNI",
    {(a, b): f"{a}_{b}" for a, b in _BY_SOURCE},
    tuple(name.removeprefix("nor_") for name in OPERATIONS),
)
_CONFIGSPACE = _Keys("ConfigSpace", {(a, b): f"{b}<-{a}" for a, b in EDGES})
_MFPBENCH = _Keys("mf-prior-bench", {(a, b): f"edge_{a}_{b}" for a, b in _BY_SOURCE})
_JAHS_KEYS = {edge: f"Op{i}" for i, edge in enumerate(_BY_SOURCE, 1)}


def to_string(arch: Architecture) -> str:
    """Return the published string, ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``."""
    return _SPACE.format(_SPACE.check(arch))


def from_string(text: str) -> Architecture:
    """Return the cell of a published string.

    Raises:
        InvalidArchitectureError: It is none.
    """
    if not isinstance(text, str):
        raise InvalidArchitectureError(f"{text!r} is no text; expected a published string.")
    return _SPACE.parse(text)


def to_index(arch: Architecture) -> int:
    """Return the official index, 0 to 15,624; NAS-Bench-201 and NATS-Bench have the same."""
    return _SPACE.index(_SPACE.check(arch))


def from_index(index: int) -> Architecture:
    """Return the cell of an official index.

    Raises:
        InvalidArchitectureError: There is no cell of this index.
    """
    return _SPACE.unindex(_number(index, "an official index"))


def to_operations(arch: Architecture) -> tuple[str, ...]:
    """Return the names of the six operations as they stand in the published string."""
    return tuple(OPERATIONS[op] for op in _SPACE.check(arch))


def from_operations(operations: Sequence[str]) -> Architecture:
    """Return the cell of six operations' names in the order of the published string.

    Raises:
        InvalidArchitectureError: They are not six, or one is unknown.
    """
    names = _six(operations, "the names of 6 operations, one an edge")
    return tuple(_operation(name, OPERATIONS) for name in names)


def to_matrix(arch: Architecture) -> NDArray[np.int64]:
    """Return the ``(4, 4)`` matrix of operation numbers: row the target node, column the source.

    As ``str2matrix`` of NATS-Bench gives it, in whole numbers. Only what is below the diagonal is used.
    """
    matrix = np.zeros((4, 4), np.int64)
    for op, (source, target) in zip(_SPACE.check(arch), EDGES, strict=True):
        matrix[target, source] = op
    return matrix


def from_matrix(matrix: ArrayLike) -> Architecture:
    """Return the cell of a ``(4, 4)`` matrix of operation numbers, whole or with a decimal point.

    Raises:
        InvalidArchitectureError: It has another shape, a number that is no operation's, or something
            on or above the diagonal.
    """
    try:
        values = np.asarray(matrix, np.float64)
    except (TypeError, ValueError) as err:
        raise InvalidArchitectureError(f"This is no matrix of numbers ({err}).") from err
    if values.shape != (4, 4):
        raise InvalidArchitectureError(
            f"Expected a matrix of 4 by 4 operation numbers; got the shape {values.shape}."
        )
    if np.triu(values).any():
        raise InvalidArchitectureError(
            "The matrix holds something on or above the diagonal. Rows are target nodes and columns sources; "
            "transpose it if yours are the other way round."
        )
    numbers = [values[target, source].item() for source, target in EDGES]
    return _SPACE.check(numbers)


def to_jahs(arch: Architecture) -> dict[str, int]:
    """Return JAHS-Bench-201's ``Op1`` to ``Op6``; its other hyperparameters are not of the cell."""
    return dict(zip(_JAHS_KEYS.values(), _source_major(arch), strict=True))


def from_jahs(config: Mapping[str, int]) -> Architecture:
    """Return the cell of JAHS-Bench-201's ``Op1`` to ``Op6``, without its other hyperparameters.

    Raises:
        InvalidArchitectureError: One is missing, has an unknown code, or there are other keys.
    """
    _complete(config, _JAHS_KEYS.values(), "JAHS-Bench-201")
    return _of_source_major([config[key] for key in _JAHS_KEYS.values()], "JAHS-Bench-201")


def to_naslib(arch: Architecture) -> tuple[int, ...]:
    """Return NASLib's tuple of six operation codes."""
    return tuple(_source_major(arch))


def from_naslib(codes: Sequence[int]) -> Architecture:
    """Return the cell of NASLib's tuple of six operation codes.

    Raises:
        InvalidArchitectureError: They are not six, or one is unknown.
    """
    return _of_source_major(_six(codes, "NASLib's 6 operation codes, 0 to 4"), "NASLib")


def to_syne_tune(arch: Architecture) -> dict[str, str]:
    """Return Syne Tune's configuration, ``hp_x0`` to ``hp_x5``; its epochs are not of the cell."""
    return _named(arch, _SYNE_TUNE)


def from_syne_tune(config: Mapping[str, str]) -> Architecture:
    """Return the cell of Syne Tune's ``hp_x0`` to ``hp_x5``; refuses as :func:`from_jahs` does."""
    return _of_named(config, _SYNE_TUNE)


def to_nni(arch: Architecture) -> dict[str, str]:
    """Return NNI's ``{"0_1": operation, ...}``; its convolutions have no ``nor_`` before them."""
    return _named(arch, _NNI)


def from_nni(config: Mapping[str, str]) -> Architecture:
    """Return the cell of NNI's ``{"0_1": operation, ...}``; refuses as :func:`from_jahs` does."""
    return _of_named(config, _NNI)


def to_configspace(arch: Architecture) -> dict[str, str]:
    """Return the values of the published ConfigSpace, ``{"1<-0": operation, ...}``.

    They are those of :func:`nasbench_tab.adapters.configspace.to_configspace` too.
    """
    return _named(arch, _CONFIGSPACE)


def from_configspace(config: Mapping[str, str]) -> Architecture:
    """Return the cell of ``{"1<-0": operation, ...}``, a Configuration too; see :func:`from_jahs`."""
    return _of_named(config, _CONFIGSPACE)


def to_mfpbench(arch: Architecture) -> dict[str, str]:
    """Return mf-prior-bench's configuration, ``{"edge_0_1": operation, ...}``."""
    return _named(arch, _MFPBENCH)


def from_mfpbench(config: Mapping[str, str]) -> Architecture:
    """Return the cell of ``{"edge_0_1": operation, ...}``; refuses as :func:`from_jahs` does."""
    return _of_named(config, _MFPBENCH)


def _named(arch: Architecture, keys: _Keys) -> dict[str, str]:
    of_edge = dict(zip(EDGES, _SPACE.check(arch), strict=True))
    return {name: keys.operations[of_edge[edge]] for edge, name in keys.names.items()}


def _of_named(config: Mapping[str, str], keys: _Keys) -> Architecture:
    _complete(config, keys.names.values(), keys.tool)
    return tuple(_operation(config[keys.names[edge]], keys.operations) for edge in EDGES)


def _source_major(arch: Architecture) -> list[int]:
    of_edge = dict(zip(EDGES, _SPACE.check(arch), strict=True))
    return [_SOURCE_MAJOR_CODES.index(of_edge[edge]) for edge in _BY_SOURCE]


def _of_source_major(codes: Sequence[int], tool: str) -> Architecture:
    of_edge = {}
    for edge, given in zip(_BY_SOURCE, codes, strict=True):
        code = _number(given, f"an operation code of {tool}")
        if not 0 <= code < len(_SOURCE_MAJOR_CODES):
            raise InvalidArchitectureError(
                f"{code} is no operation code of {tool}; they are 0 to 4: "
                f"{', '.join(OPERATIONS[op] for op in _SOURCE_MAJOR_CODES)}."
            )
        of_edge[edge] = _SOURCE_MAJOR_CODES[code]
    return tuple(of_edge[edge] for edge in EDGES)


def _six(given: object, expected: str) -> list[Any]:
    found = list(given) if isinstance(given, (list, tuple, np.ndarray)) else []
    if len(found) != len(EDGES):
        raise InvalidArchitectureError(f"{given!r}: expected {expected}.")
    return found


def _complete(config: Mapping[str, object], names: Iterable[str], tool: str) -> None:
    expected = list(names)
    if not isinstance(config, Mapping):
        raise InvalidArchitectureError(
            f"{config!r}: expected a cell of {tool}, a dict with the keys {', '.join(expected)}."
        )
    got = list(config)
    if set(got) != set(expected):
        raise InvalidArchitectureError(
            f"A cell of {tool} has exactly the keys {', '.join(expected)}; got "
            f"{', '.join(map(str, got)) or 'none'}. Take out what is not of the cell."
        )


def _operation(name: object, operations: Sequence[str]) -> int:
    if name not in operations:
        raise InvalidArchitectureError(str(unknown_name("operation", name, operations)))
    return operations.index(str(name))


def _number(value: object, what: str) -> int:
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError("a truth value")
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidArchitectureError(f"{value!r} is not {what}: a whole number.") from None
