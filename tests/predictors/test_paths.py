"""Path encoding against all walks through a graph."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.predictors.features_graph import PLUMBING
from nasbench_tab.predictors.paths import Path, encoded, frequent, paths
from nasbench_tab.records import Graph
from nasbench_tab.spaces.nasbench201 import NasBench201

CELL = NasBench201()


def walked(graph: Graph) -> set[Path]:
    """Return the labels along every walk from input to output."""
    found: set[Path] = set()
    waiting: list[tuple[int, ...]] = [(0,)]
    while waiting:
        walk = waiting.pop()
        if walk[-1] == len(graph.labels) - 1:
            labels = [graph.labels[node] for node in walk]
            found.add(tuple(label for label in labels if label not in PLUMBING))
            continue
        waiting += [(*walk, target) for source, target in graph.edges if source == walk[-1]]
    return found


@given(st.tuples(*[st.integers(0, 4)] * 6))
def test_paths_are_those_of_all_walks_shortest_first(cell: tuple[int, ...]) -> None:
    found = paths(CELL.graph(cell))
    assert set(found) == walked(CELL.graph(cell))
    assert len(set(found)) == len(found)
    assert all((len(a), a) < (len(b), b) for a, b in pairwise(found))


def test_of_millions_of_paths_the_shortest_are_kept() -> None:
    # Twenty stages of a skip or one of two operations: 3^20 walks.
    labels, edges, last = ["input"], [], 0
    for _ in range(20):
        labels += ["a", "b", "sum"]
        a, b, end = len(labels) - 3, len(labels) - 2, len(labels) - 1
        edges += [(last, a), (last, b), (last, end), (a, end), (b, end)]
        last = end
    found = paths(Graph((*labels, "output"), (*edges, (last, last + 1))))
    assert len(found) == 256
    short = sorted({(), ("a",), ("b",)}, key=lambda path: (len(path), path))
    assert found[:3] == short
    lengths = [n for n in range(8) for _ in range(2**n)]
    assert [len(path) for path in found] == [*lengths, 8]


def test_the_most_frequent_are_known_and_marked() -> None:
    networks: list[list[Path]] = [[("a",), ("b", "a")], [("b", "a")], [(), ("a",), ("c",)], []]
    known = frequent(networks, 3)
    assert known == [("a",), ("b", "a"), ()]
    assert encoded(networks, known).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0]]
    assert encoded([[("new",)]], known).sum() == 0
    assert frequent([[]], 5) == []
    assert encoded([[], []], []).shape == (2, 0)


def test_the_same_network_has_the_same_paths() -> None:
    for cell in CELL.sample(np.random.default_rng(0), 200):
        a, b = (paths(CELL.graph(CELL.canonical(c))) for c in (cell, CELL.canonical(cell)))
        assert a == b
