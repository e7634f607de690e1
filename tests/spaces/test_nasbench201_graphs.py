"""The graphs of NAS-Bench-201 compute what the cells do."""

from __future__ import annotations

from nasbench_tab.records import Architecture, Graph
from nasbench_tab.spaces.nasbench201 import EDGES, OPERATIONS

from .nasbench201_cells import CELLS, CONV1, CONV3, NONE, POOL, PRIME, SKIP, SPACE, WEIGHTS


def output_of(graph: Graph) -> int:
    """Evaluate the graph modulo the prime; the i-th operation uses the i-th set of weights."""
    results: list[int] = []
    operation = 0
    for node, label in enumerate(graph.labels):
        x = 123_456_789 if label == "input" else 0
        x += sum(results[source] for source, target in graph.edges if target == node)
        if label in OPERATIONS:
            a, b, c = WEIGHTS[OPERATIONS.index(label), operation].tolist()
            x = x if label == "skip_connect" else ((a * x + b) * x + c) * x
            operation += 1
        results.append(x % PRIME)
    return results[-1]


def output_of_cell(cell: Architecture) -> int:
    nodes, operation = [123_456_789, 0, 0, 0], 0
    for (source, target), op in zip(EDGES, cell, strict=True):
        if op != NONE:
            a, b, c = WEIGHTS[op, operation].tolist()
            x = nodes[source]
            nodes[target] += x if op == SKIP else ((a * x + b) * x + c) * x
            operation += 1
    return nodes[3] % PRIME


def test_graph_is_a_labelled_dag_that_computes_the_cell() -> None:
    for cell in CELLS[::3]:
        graph = SPACE.graph(cell)
        assert graph.labels[0] == "input"
        assert graph.labels[-1] == "output"
        inner = graph.labels[1:-1]
        assert inner.count("sum") == 2
        assert sorted(label for label in inner if label != "sum") == sorted(
            OPERATIONS[op] for op in cell if op != NONE
        )
        assert len(set(graph.edges)) == len(graph.edges) == 2 * (6 - cell.count(NONE))
        assert all(0 <= source < target < len(graph.labels) for source, target in graph.edges)
        for node, label in enumerate(graph.labels):
            if label in OPERATIONS:
                assert sum(target == node for _, target in graph.edges) == 1
                assert sum(source == node for source, _ in graph.edges) == 1
        assert output_of(graph) == output_of_cell(cell)


def test_graph_of_one_cell_written_out() -> None:
    graph = SPACE.graph((CONV3, 0, POOL, SKIP, 0, CONV1))
    assert graph.labels == (
        "input",
        "nor_conv_3x3",
        "sum",
        "avg_pool_3x3",
        "sum",
        "skip_connect",
        "nor_conv_1x1",
        "output",
    )
    assert set(graph.edges) == {(0, 1), (1, 2), (2, 3), (3, 4), (0, 5), (4, 6), (5, 7), (6, 7)}
