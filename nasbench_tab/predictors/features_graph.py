"""Numbers of labelled graphs: what lies on the paths from input to output.

For each set of operations:

- ``shortest``, ``longest``: operations on the shortest and the longest path that has no other operations;
- ``paths``: number of such paths;
- ``most``, ``fewest``: of the set's operations on any path;
- ``out``, ``in``: live operations of the set that take the input, and that feed the output.

An operation is live if it lies on some path. The idea of asking about all sets is that of Kadlecová
et al., "Surprisingly Strong Performance Prediction with Neural Graph Features", ICML 2024.

All of it follows from how often each operation is on a path. Paths that agree in that are counted
together, so that a graph with many paths is no more work than it has different ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.records import Graph

__all__ = ["PLUMBING", "Questions", "graph_numbers", "questions"]

_Floats = NDArray[np.float64]

#: Labels of nodes that are no operation.
PLUMBING = frozenset({"input", "output", "sum", "concat"})

# With more operations than this, only singles, pairs, all but one and all are asked; with more than
# the second, as where each level of a column is one, singles and all.
_MANY, _PAIRED = 5, 16


class Questions(NamedTuple):
    """What is asked of every graph of a space.

    Attributes:
        labels: The ``L`` operations.
        far: Stands for the shortest of no path, and for any length above; the longest of no path is
            -1. Lengths are 0 to ``far``.
        sets: ``(L, S)`` 1 where an operation is in a set, else 0; the last set is all.
        names: Of the numbers, in their order.
    """

    labels: tuple[str, ...]
    far: int
    sets: NDArray[np.int64]
    names: tuple[str, ...]


def questions(labels: tuple[str, ...], far: int) -> Questions:
    """Return what is asked of graphs with these operations; see :class:`Questions`."""
    n = len(labels)
    sizes: Iterable[int] = (1, n)
    if n <= _MANY:
        sizes = range(1, n + 1)
    elif n <= _PAIRED:
        sizes = (1, 2, n - 1, n)
    chosen = [members for size in sizes for members in combinations(range(n), size)]
    sets = np.array([[op in members for members in chosen] for op in range(n)], np.int64)
    names = [f"{what}({label})" for what in ("count", "live") for label in labels]
    kinds = ("longest", "shortest", "paths", "most", "fewest", "out", "in")
    words = [_word(labels, members) for members in chosen]
    names += ["width", *(f"{what}({word})" for what in kinds for word in words)]
    return Questions(labels, far, sets.reshape(n, len(chosen)), tuple(names))


def _word(labels: tuple[str, ...], members: tuple[int, ...]) -> str:
    """Return a set's name: ``all``, ``a+b``, or ``not c`` for all but one of more than three."""
    if len(members) == len(labels):
        return "all"
    if len(members) == len(labels) - 1 > 2:
        return f"not {next(label for op, label in enumerate(labels) if op not in members)}"
    return "+".join(labels[op] for op in members)


def graph_numbers(graphs: list[Graph], asked: Questions) -> _Floats:
    """Return ``(n, len(asked.names))``, all finite.

    Raises:
        SurrogateError: A graph has an operation that is not among the asked ones, or over 255 nodes.
    """
    if not graphs:
        return np.empty((0, len(asked.names)))
    number = {label: place for place, label in enumerate(asked.labels)}
    number |= dict.fromkeys(PLUMBING, len(asked.labels))
    # Architectures that differ in what is not in their graphs have the same.
    place: dict[Graph, int] = {}
    where = [place.setdefault(graph, len(place)) for graph in graphs]
    walks = [_walk(graph, number, asked) for graph in place]
    plain = np.array([walk.plain for walk in walks], np.float64)
    out = np.array([walk.out for walk in walks]) @ asked.sets
    into = np.array([walk.into for walk in walks]) @ asked.sets
    # One row for each kind of path, those of one graph in a row; where there is no path, one of -1 way.
    starts = np.cumsum([0, *(max(1, len(walk.ways)) for walk in walks[:-1])])
    ways = np.array([n for walk in walks for n in walk.ways.values() or (-1,)], np.float64)[:, None]
    packed = b"".join(
        kind.to_bytes(len(asked.labels), "little") for walk in walks for kind in walk.ways or (0,)
    )
    on_path = np.frombuffer(packed, np.uint8).reshape(len(ways), len(asked.labels))
    of_set = on_path @ asked.sets
    length, real = on_path.sum(axis=1, dtype=np.int64)[:, None], ways > 0
    pure = real & (of_set == length)
    length, of_set = np.minimum(length, asked.far), np.minimum(of_set, asked.far)
    numbers = [
        plain,
        np.maximum.reduceat(np.where(pure, length, -1), starts),
        np.minimum.reduceat(np.where(pure, length, asked.far), starts),
        np.add.reduceat(pure * ways, starts),
        np.maximum.reduceat(np.where(real, of_set, -1), starts),
        np.minimum.reduceat(np.where(real, of_set, asked.far), starts),
        out,
        into,
    ]
    found = np.concatenate(numbers, axis=1)
    return found if len(found) == len(where) else found[where]


class _Walk(NamedTuple):
    ways: dict[int, int]  # kinds of paths, a byte for how often each label is on them: how many
    plain: list[int]  # counts, live counts, width
    out: list[int]  # of each label: live operations that take the input
    into: list[int]  # of each label: live operations that feed the output


def _walk(graph: Graph, number: dict[str, int], asked: Questions) -> _Walk:
    n_labels, last = len(asked.labels), len(graph.labels) - 1
    try:
        kinds = [number[label] for label in graph.labels]
    except KeyError as err:
        raise SurrogateError(
            f"A graph has the operation {err.args[0]!r}; features were laid out for "
            f"{', '.join(asked.labels)}. The space's graph() must name no others than it did before."
        ) from None
    if last > 255:
        raise SurrogateError(f"Features are for graphs of at most 256 nodes, not {last + 1}.")
    sources: list[list[int]] = [[] for _ in kinds]
    for source, target in graph.edges:
        sources[target].append(source)
    ways: list[dict[int, int]] = [{0: 1}]
    levels = [0]  # operations on the longest way from the input
    for node in range(1, last + 1):
        step = 1 << 8 * kinds[node] if kinds[node] < n_labels else 0
        found: dict[int, int] = {}
        level = 0
        for source in sources[node]:
            if ways[source]:
                level = max(level, levels[source])
            for kind, times in ways[source].items():
                found[kind + step] = found.get(kind + step, 0) + times
        ways.append(found)
        levels.append(level + (step > 0))
    leads = [False] * last + [True]
    for node in range(last, 0, -1):
        if leads[node]:
            for source in sources[node]:
                leads[source] = True
    counts, live, out, into = ([0] * (n_labels + 1) for _ in range(4))
    widths = [0] * (last + 2)
    for node, kind in enumerate(kinds):
        counts[kind] += 1
        if kind < n_labels and leads[node] and ways[node]:
            live[kind] += 1
            widths[levels[node]] += 1
            out[kind] += 0 in sources[node]
            into[kind] += node in sources[last]
    return _Walk(ways[last], [*counts[:-1], *live[:-1], max(widths)], out[:-1], into[:-1])
