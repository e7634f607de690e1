"""Strategies for two objectives have more of the front than random search, where they can see the cost."""

from __future__ import annotations

import numpy as np
import pytest

from nasbench_tab.records import Protocol
from nasbench_tab.report.summary import interval
from nasbench_tab.search.compare import compare
from nasbench_tab.search.fronts import hypervolume_ratios
from nasbench_tab.search.results import Results

STRATEGIES = ["nsga2", "pareto-local-search", "petridish-growth"]
RUNS, EVALUATIONS = 20, 250


@pytest.fixture(scope="module", params=["nb201-cifar10", "nbgraph-proteins"])
def compared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return compare(
        [request.param],
        [*STRATEGIES, "random"],
        runs=RUNS,
        protocol=Protocol(evaluations=EVALUATIONS, second="latency"),
        out=tmp_path_factory.mktemp("fronts") / "out",
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_has_more_of_the_front_than_random_search(compared: Results, strategy: str) -> None:
    [name] = compared.benchmarks
    end = np.array([EVALUATIONS])
    one, other = (
        hypervolume_ratios(compared, name, label, end)[:, 0] for label in (strategy, "random")
    )
    found = interval(one - other)
    assert found is not None
    assert found.low > 0
    assert (one <= 1).all()
