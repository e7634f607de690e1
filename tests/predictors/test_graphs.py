"""Architectures as graphs in arrays: every label and edge in its place, whatever stands beside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors import graphs as module
from nasbench_tab.predictors.graphs import Graphs, graphs_of
from nasbench_tab.predictors.inputs import Inputs, inputs_of
from nasbench_tab.registry import load_space, space_names
from nasbench_tab.spaces.columns import Columns

SPACES = [load_space(name) for name in space_names()]


def read_back(found: Graphs, row: int) -> tuple[tuple[str, ...], set[tuple[int, int]]]:
    """Return labels and edges of one graph, without the nodes that stand in for missing ones."""
    edges, last = found.edges[row], found.kinds.shape[1] - 1
    used = edges.any(axis=0) | edges.any(axis=1)
    used[[0, last]] = True
    kept = np.flatnonzero(used)
    place = {int(node): i for i, node in enumerate(kept)}
    labels = tuple(found.words[kind] for kind in found.kinds[row, kept])
    return labels, {(place[s], place[t]) for s, t in np.argwhere(edges).tolist()}


@settings(max_examples=40)
@given(st.sampled_from(SPACES), st.integers(0, 2**32 - 1))
def test_labels_and_edges_are_those_of_the_canonical_cells(space: object, seed: int) -> None:
    cells = space.sample(np.random.default_rng(seed), 6)  # type: ignore[attr-defined]
    found = graphs_of(space, np.array(cells, np.uint8))  # type: ignore[arg-type]
    assert not np.tril(found.edges.any(axis=0)).any()
    for row, cell in enumerate(cells):
        drawn = space.graph(space.canonical(cell))  # type: ignore[attr-defined]
        ends = {0, len(drawn.labels) - 1} | {node for edge in drawn.edges for node in edge}
        kept = sorted(ends)
        place = {node: i for i, node in enumerate(kept)}
        labels = tuple(drawn.labels[node] for node in kept)
        assert read_back(found, row) == (labels, {(place[s], place[t]) for s, t in drawn.edges})


def test_every_option_of_every_space_has_a_word() -> None:
    for space in SPACES:
        cells = space.sample(np.random.default_rng(7), 300)
        graphs_of(space, np.array(cells, np.uint8))


def test_cells_that_are_one_network_have_one_graph() -> None:
    space = load_space("nasbench201")
    cells = [space.unindex(i) for i in range(400)]
    own = [space.canonical(cell) for cell in cells]
    one, other = (graphs_of(space, np.array(c, np.uint8)) for c in (cells, own))
    assert np.array_equal(one.kinds, other.kinds)
    assert np.array_equal(one.edges, other.edges)


def test_no_cells_have_no_graphs() -> None:
    found = graphs_of(load_space("nasbench201"), np.empty((0, 6), np.uint8))
    assert len(found.kinds) == len(found.edges) == 0


def test_rows_are_taken_from_features_and_graphs_alike() -> None:
    space = load_space("nasbench201")
    cells = np.array([space.unindex(i) for i in range(30)], np.uint8)
    both = inputs_of(space, cells, graphs=True)
    for rows in (np.array([3, 3, 29]), np.arange(30) % 2 == 0):
        mine, again = both.at(rows), inputs_of(space, cells[rows], graphs=True)
        n = len(cells[rows])
        assert np.array_equal(mine.x, again.x)
        assert mine.graphs is not None
        assert again.graphs is not None
        assert len(mine.graphs.kinds) == len(mine.graphs.edges) == n
        # Not the arrays: how many nodes stand in for missing ones depends on the other rows.
        for row in range(n):
            assert read_back(mine.graphs, row) == read_back(again.graphs, row)
        assert len({str(read_back(mine.graphs, row)) for row in range(n)}) > 1
        assert mine.graphs.words == again.graphs.words
    assert inputs_of(space, cells, graphs=False).graphs is None
    assert Inputs(both.x).at(np.array([0])).graphs is None


def test_too_many_labels_are_refused() -> None:
    space = Columns("wide", {f"c{i}": [f"{i}-{j}" for j in range(60)] for i in range(5)})
    with pytest.raises(SurrogateError, match=r"expected at most 256\. Fit without"):
        graphs_of(space, np.array([space.example()], np.uint8))


def test_an_operation_that_was_not_shown_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    space = load_space("nasbench201")
    monkeypatch.setattr(module, "operations", lambda _: ("nor_conv_3x3",))
    with pytest.raises(SurrogateError, match="has the operation 'nor_conv_1x1', which is none of"):
        graphs_of(space, np.array([(2, 2, 2, 2, 2, 2)], np.uint8))
