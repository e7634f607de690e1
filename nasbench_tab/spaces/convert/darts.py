"""DARTS architectures as other tools write them, and back.

    >>> from nasbench_tab.spaces.darts import Darts
    >>> arch = Darts().example()
    >>> from_compact(to_compact(arch)) == from_configspace(to_configspace(arch)) == arch
    True

Three forms: the genotype of DARTS; the ConfigSpace keys of NAS-Bench-301's logs and models
(``NetworkSelectorDatasetInfo:darts:...``); and the compact form of naszilla, NASLib and NAS-Bench-301, two
tuples of eight ``(input, operation)``. Operations are numbered in NAS-Bench-301's order,
that of :data:`~nasbench_tab.spaces.darts.OPERATIONS`. The first code of BANANAS (``darts/arch.py``) counts
``none`` as 0, so that its numbers are higher by one: what is read must be lowered first.

None of the three tells in which order a node's two edges are meant; here the lower input is first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from nasbench_tab.errors import InvalidArchitectureError, unknown_name
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.darts import NODES, OPERATIONS, PAIRS, Darts, Edge, cell_of, edges_of

__all__ = [
    "PREFIX",
    "Compact",
    "Genotype",
    "from_compact",
    "from_configspace",
    "from_genotype",
    "to_compact",
    "to_configspace",
    "to_genotype",
]

#: What the keys of NAS-Bench-301's configurations begin with.
PREFIX = "NetworkSelectorDatasetInfo:darts:"

#: ``((input, operation), ...)`` of both cells.
Compact = tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]

_SPACE = Darts()
_HALVES = ("normal", "reduce")
_HALF = 11  # numbers of a cell in an architecture
# NAS-Bench-301 numbers the possible edges: those into node 3 begin at 2, and so on.
_START = {2: 0, 3: 2, 4: 5, 5: 9}
_PAIR_OF = {f"{a}_{b}": (a, b) for a, b in PAIRS[5]}


class Genotype(NamedTuple):
    """DARTS' own record: ``(operation, input)`` of the nodes 2 to 5, two for each."""

    normal: list[tuple[str, int]]
    normal_concat: range
    reduce: list[tuple[str, int]]
    reduce_concat: range


class _Genotype(Protocol):
    @property
    def normal(self) -> Sequence[tuple[str, int]]: ...
    @property
    def normal_concat(self) -> Iterable[int]: ...
    @property
    def reduce(self) -> Sequence[tuple[str, int]]: ...
    @property
    def reduce_concat(self) -> Iterable[int]: ...


def to_genotype(arch: Architecture) -> Genotype:
    """Return an architecture as DARTS' genotype; its text is the space's ``format``.

    Raises:
        InvalidArchitectureError: It is no architecture of the space; of all functions here.
    """
    normal, reduce = (
        [(OPERATIONS[op], source) for op, source in edges_of(half)] for half in _halves(arch)
    )
    return Genotype(normal, range(2, 6), reduce, range(2, 6))


def from_genotype(genotype: _Genotype) -> Architecture:
    """Return the architecture of a genotype: DARTS' own record, or one like it.

    Raises:
        InvalidArchitectureError: It is none of the space ``darts``.
    """
    found: list[int] = []
    for which in _HALVES:
        try:
            pairs = [(op, source) for op, source in getattr(genotype, which)]
            concat = list(getattr(genotype, f"{which}_concat"))
        except (AttributeError, TypeError, ValueError) as err:
            raise InvalidArchitectureError(
                f"{genotype!r:.200} is not a genotype: normal, normal_concat, reduce and reduce_concat "
                f"expected, the cells as lists of (operation, input) ({err})."
            ) from err
        if concat != list(NODES):
            raise InvalidArchitectureError(
                f"The {which} cell concatenates the nodes {concat}; [2, 3, 4, 5] expected."
            )
        found += _cell([(source, op) for op, source in pairs], which)
    return tuple(found)


def to_configspace(arch: Architecture) -> dict[str, str]:
    """Return the configuration that NAS-Bench-301's logs and models have for an architecture.

    Eight operations (``edge_<cell>_<k>``) and three pairs of inputs (``inputs_node_<cell>_<node>``) for each
    cell; edges that are not there have no key.
    """
    config = {}
    for which, half in zip(_HALVES, _halves(arch), strict=True):
        edges = edges_of(half)
        for node in NODES:
            low, high = edges[2 * node - 4 : 2 * node - 2]
            if node > 2:
                config[f"{PREFIX}inputs_node_{which}_{node}"] = f"{low[1]}_{high[1]}"
            for op, source in (low, high):
                config[f"{PREFIX}edge_{which}_{_START[node] + source}"] = OPERATIONS[op]
    return config


def from_configspace(config: Mapping[str, Any]) -> Architecture:
    """Return the architecture of a configuration; keys that say nothing of it are ignored.

    Raises:
        InvalidArchitectureError: A key is missing, is there for an edge that is not, or has a value that
            cannot be.
    """
    if not isinstance(config, Mapping):
        raise InvalidArchitectureError(f"{config!r:.200} is no configuration: a dict expected.")
    found: list[int] = []
    for which in _HALVES:
        edges: list[tuple[object, object]] = []
        used = set()
        for node in NODES:
            key = f"{PREFIX}inputs_node_{which}_{node}"
            inputs = config.get(key, "0_1" if node == 2 else None)
            pair = _PAIR_OF.get(inputs) if isinstance(inputs, str) else None
            if pair is None or pair[1] >= node:
                raise InvalidArchitectureError(
                    f"{key} is {inputs!r:.80}; two inputs below {node}, ascending, expected, as in '0_1'."
                )
            for source in pair:
                name = f"{PREFIX}edge_{which}_{_START[node] + source}"
                used.add(name)
                edges.append((source, config.get(name)))
        extra = [key for key in config if key.startswith(f"{PREFIX}edge_{which}_")]
        for name in sorted(set(extra) - used):
            raise InvalidArchitectureError(
                f"{name} is {config[name]!r:.80}, but that edge is none of the {which} cell by its inputs."
            )
        found += _cell(edges, which)
    return tuple(found)


def to_compact(arch: Architecture) -> Compact:
    """Return ``((input, operation), ...)`` of both cells."""
    normal, reduce = (
        tuple((source, op) for op, source in edges_of(half)) for half in _halves(arch)
    )
    return normal, reduce


def from_compact(compact: Sequence[Sequence[Sequence[int]]]) -> Architecture:
    """Return the architecture of a compact form, of tuples or lists.

    Raises:
        InvalidArchitectureError: It is none of the space ``darts``.
    """
    try:
        normal, reduce = ([(source, op) for source, op in half] for half in compact)
    except (TypeError, ValueError) as err:
        raise InvalidArchitectureError(
            f"{compact!r:.200} is not a compact DARTS architecture: two lists of eight (input, operation) "
            f"expected ({err})."
        ) from err
    return (*_cell(normal, "normal"), *_cell(reduce, "reduce"))


def _halves(arch: Architecture) -> tuple[Architecture, Architecture]:
    arch = _SPACE.check(arch)
    return arch[:_HALF], arch[_HALF:]


def _cell(pairs: Iterable[tuple[object, object]], which: str) -> Architecture:
    """Return half an architecture from ``(input, operation)``, the latter by name or number."""
    edges: list[Edge] = []
    for source, op in pairs:
        if isinstance(op, str) and op not in OPERATIONS:
            raise InvalidArchitectureError(
                f"The {which} cell: {unknown_name('operation', op, OPERATIONS)}"
            )
        number = OPERATIONS.index(op) if isinstance(op, str) else _whole(op, "operation", which)
        edges.append((number, _whole(source, "input", which)))
    return cell_of(edges, f"{which} cell")


def _whole(value: object, what: str, which: str) -> int:
    try:
        number = int(value)  # type: ignore[call-overload]
        if number == value and not isinstance(value, str):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass  # said below
    raise InvalidArchitectureError(
        f"The {which} cell has the {what} {value!r:.80}; a whole number"
        + (" or a name" if what == "operation" else "")
        + " expected."
    )
