"""Numbers of graphs against walking every single path."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.features_graph import graph_numbers, questions
from nasbench_tab.records import Graph

LABELS = ("a", "b", "c")
FAR = 9


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Any acyclic graph, dead nodes and missing paths too."""
    inner = draw(st.lists(st.sampled_from([*LABELS, "sum", "concat"]), max_size=6))
    n = len(inner) + 2
    edges = [(i, j) for j in range(1, n) for i in range(j) if draw(st.booleans())]
    return Graph(("input", *inner, "output"), tuple(edges))


def paths_of(graph: Graph) -> list[tuple[int, ...]]:
    last = len(graph.labels) - 1

    def onwards(path: tuple[int, ...]) -> list[tuple[int, ...]]:
        if path[-1] == last:
            return [path]
        ahead = [target for source, target in graph.edges if source == path[-1]]
        return [found for target in ahead for found in onwards((*path, target))]

    return onwards((0,))


def expected(graph: Graph) -> dict[str, float]:
    """Every number, from the list of all paths."""
    paths, last = paths_of(graph), len(graph.labels) - 1
    ops = [[graph.labels[node] for node in path if graph.labels[node] in LABELS] for path in paths]
    live = {node for path in paths for node in path if graph.labels[node] in LABELS}
    found: dict[str, float] = {}
    for label in LABELS:
        found[f"count({label})"] = graph.labels.count(label)
        found[f"live({label})"] = sum(graph.labels[node] == label for node in live)
    levels = {
        node: max(
            sum(graph.labels[step] in LABELS for step in path[: path.index(node) + 1])
            for path in paths
            if node in path
        )
        for node in live
    }
    found["width"] = max(
        [list(levels.values()).count(level) for level in levels.values()], default=0
    )
    links = {link for path in paths for link in pairwise(path)}
    words = {"a": "a", "b": "b", "c": "c", "a+b": "ab", "a+c": "ac", "b+c": "bc", "all": "abc"}
    for word, chosen in words.items():
        pure = [len(on) for on in ops if set(on) <= set(chosen)]
        counts = [sum(op in chosen for op in on) for on in ops]
        found[f"longest({word})"] = max(pure, default=-1)
        found[f"shortest({word})"] = min(pure, default=FAR)
        found[f"paths({word})"] = len(pure)
        found[f"most({word})"] = max(counts, default=-1)
        found[f"fewest({word})"] = min(counts, default=FAR)
        found[f"out({word})"] = sum(i == 0 and graph.labels[j] in set(chosen) for i, j in links)
        found[f"in({word})"] = sum(j == last and graph.labels[i] in set(chosen) for i, j in links)
    return found


@given(st.lists(graphs(), min_size=1, max_size=6))
def test_numbers_are_those_of_all_paths(many: list[Graph]) -> None:
    asked = questions(LABELS, FAR)
    rows = graph_numbers(many, asked)
    assert np.isfinite(rows).all()
    for graph, row in zip(many, rows.tolist(), strict=True):
        assert dict(zip(asked.names, row, strict=True)) == expected(graph)


def test_equal_graphs_have_a_row_each() -> None:
    one, other = (Graph(("input", label, "output"), ((0, 1), (1, 2))) for label in "ab")
    again = Graph(("input", "a", "output"), ((0, 1), (1, 2)))
    asked = questions(LABELS, FAR)
    rows = graph_numbers([one, other, again, other], asked)
    assert np.array_equal(rows, np.vstack([graph_numbers([one, other], asked)] * 2))


def test_paths_too_many_to_walk_are_counted() -> None:
    """Thirty layers of three: 3^30 paths."""
    labels = ["input", *(label for _ in range(30) for label in (*LABELS, "sum")), "output"]
    edges = []
    for layer in range(30):
        start = 4 * layer
        edges += [(start, start + k) for k in (1, 2, 3)] + [
            (start + k, start + 4) for k in (1, 2, 3)
        ]
    edges.append((120, 121))
    asked = questions(LABELS, 99)
    found = dict(
        zip(asked.names, graph_numbers([Graph(tuple(labels), tuple(edges))], asked)[0], strict=True)
    )
    assert found["paths(all)"] == 3.0**30
    assert found["paths(a+b)"] == 2.0**30
    assert found["longest(a)"] == found["most(a)"] == 30
    assert found["fewest(a)"] == 0


def test_lengths_end_at_far() -> None:
    chain = Graph(("input", *"aaaaa", "output"), tuple((i, i + 1) for i in range(6)))
    asked = questions(LABELS, 3)
    found = dict(zip(asked.names, graph_numbers([chain], asked)[0], strict=True))
    assert [found[f"{what}(a)"] for what in ("longest", "shortest", "most", "fewest")] == [3] * 4


def test_with_many_operations_fewer_sets_are_asked() -> None:
    asked = questions(tuple("abcdefgh"), 9)
    sets = [name for name in asked.names if name.startswith("paths(")]
    assert len(sets) == 8 + 28 + 8 + 1
    assert "paths(not h)" in sets
    assert "paths(a+h)" in sets
    assert len(set(asked.names)) == len(asked.names)


def test_an_operation_that_was_not_asked_for_is_refused() -> None:
    with pytest.raises(SurrogateError, match=r"'d'.*a, b, c"):
        graph_numbers([Graph(("input", "d", "output"), ((0, 1), (1, 2)))], questions(LABELS, 9))


def test_a_graph_of_too_many_nodes_is_refused() -> None:
    chain = Graph(("input", *"a" * 300, "output"), tuple((i, i + 1) for i in range(301)))
    with pytest.raises(SurrogateError, match="at most 256 nodes, not 302"):
        graph_numbers([chain], questions(LABELS, 9))
