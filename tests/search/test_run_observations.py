"""What a strategy is told: scores, times, and nothing of the test split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.tablefile import Table
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Metric, Observation, Problem, Protocol
from nasbench_tab.search.run import run_search

from .toys import CELLS, SOME_CELLS, Log, ToySpace, curves, noisy_bench, rows, scripted

# Direction and times.


def test_where_less_is_better_scores_are_negated() -> None:
    log = Log()
    bench = noisy_bench(direction="min")
    run = run_search(scripted(CELLS, log), bench, Protocol(evaluations=24))
    assert [o.score for o in log.told] == (-run.values).tolist()
    assert (run.values >= 0).all()
    assert log.problem is not None
    assert log.problem.metric.direction == "min"


@pytest.mark.parametrize("direction", ["max", "min"])
def test_searches_go_the_right_way(direction: Any) -> None:
    space = ToySpace((4, 4, 4, 4))
    bench = noisy_bench(direction=direction, space=space)
    run = run_search("local-search", bench, Protocol(evaluations=60, seeds="mean"))
    tail = run.values[-20:].mean()
    middle = 10.0 * 255 / 2
    assert (tail > middle) == (direction == "max")


def test_a_benchmark_without_times() -> None:
    run = run_search(scripted(CELLS[:6]), noisy_bench(), Protocol(evaluations=6, workers=2))
    assert np.isnan(run.seconds).all()
    assert rows(run) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(InvalidArgumentError, match=r"toy-table has no training times.*evaluations"):
        run_search("random", noisy_bench(), Protocol(evaluations=5, seconds=10))


# Validation only.


def reachable(thing: Any) -> list[Any]:
    """Return everything that hangs on ``thing`` by attributes, items and elements."""
    found: dict[int, Any] = {}
    queue = [thing]
    while queue:
        here = queue.pop()
        if id(here) in found or isinstance(here, (str, bytes, int, float, type)):
            continue
        found[id(here)] = here
        if isinstance(here, dict):
            queue += [*here.keys(), *here.values()]
        elif isinstance(here, (list, tuple, set, frozenset)):
            queue += here
        queue += list(getattr(here, "__dict__", {}).values())
    return list(found.values())


@pytest.mark.parametrize("missing", ["refuse", "masked"])
def test_a_strategy_cannot_reach_the_benchmark(missing: Any) -> None:
    log = Log()
    if missing == "masked":
        bench = curves()
        cells = SOME_CELLS[:5]
    else:
        bench = noisy_bench(test=np.arange(24.0)[:, None] + 0.5)
        cells = CELLS[:5]
    assert any(metric.split == "test" for metric in bench.metrics.values())
    run_search(scripted(cells, log), bench, Protocol(evaluations=5, missing=missing))
    assert log.problem is not None
    assert Problem._fields == ("space", "metric", "epochs", "second", "cost")
    assert log.problem[3:] == (None, None)
    assert Observation._fields == ("architecture", "epoch", "score", "seconds", "status")
    things = reachable((log.problem, log.told))
    assert not [x for x in things if isinstance(x, (Benchmark, Table, np.ndarray, memoryview))]
    metrics = [x for x in things if isinstance(x, Metric)]
    assert [(metric.name, metric.split) for metric in metrics] == [("score", "valid")]
    valid = {float(bench.query(cell, seed=seed)) for cell in cells for seed in bench.seeds(cell)}
    assert {o.score for o in log.told} <= valid
