"""A second objective: what can be one, what a strategy can reach, and that nothing else has changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.errors import InvalidArgumentError, UnknownNameError
from nasbench_tab.records import Problem, Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.compare import compare
from nasbench_tab.search.costs import cost_metric, cost_metrics, cost_of, cost_values
from nasbench_tab.search.replay import replay
from nasbench_tab.search.results import load_results, protocol_fields, protocol_of
from nasbench_tab.search.run import run_search
from nasbench_tab.spaces.nasbench201 import NasBench201, macs
from nasbench_tab.testing import check_blind

from .toys import CELLS, SOME_CELLS, Log, curves, curves_table, rows, same_run, scripted, toy_bench

LATENCY = np.arange(24.0)[::-1]


def costly(**options: Any) -> TableBenchmark:
    static = {"latency": LATENCY, **options.pop("static", {})}
    return toy_bench(np.arange(24.0), static=static, **options)


# What can be one.


def test_what_can_be_a_second_objective() -> None:
    assert set(cost_metrics(load("nb201-cifar10"))) == {
        *("latency", "macs", "parameters", "recorded_parameters"),
    }
    # The table has parameters of its own network; MACs are the space's.
    fashion = cost_metrics(load("nb201-fashion"))
    assert {name: metric.unit for name, metric in fashion.items()} == {
        "parameters": "M",
        "macs": "",
    }
    assert set(cost_metrics(load("nb201-fashion@surrogate"))) == {"parameters", "macs"}
    assert set(cost_metrics(load("nbgraph-cora"))) == {"latency", "parameters"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("score", "'score' is the objective of toy-table already. It can be latency"),
        ("test_score", "'test_score' would show the strategy test values that it may not see"),
        ("train_seconds", "'train_seconds' of toy-table is not known before training"),
    ],
)
def test_what_cannot(name: str, words: str) -> None:
    bench = costly(test=np.zeros(24), seconds=np.ones(24))
    with pytest.raises(InvalidArgumentError, match=words):
        run_search("random", bench, Protocol(evaluations=3, second=name))


@pytest.mark.parametrize("name", ["latenzy", "", 3, ("latency",), True])
def test_what_is_no_metric(name: Any) -> None:
    with pytest.raises(UnknownNameError, match=r"second objective of toy-table .*latency"):
        run_search("random", costly(), Protocol(evaluations=3, second=name))


def test_what_is_not_known_of_all() -> None:
    bench = costly(static={"memory": [np.nan, *range(23)]})
    with pytest.raises(InvalidArgumentError, match=r"1 of the 24 measured .* no memory"):
        run_search("random", bench, Protocol(evaluations=3, second="memory"))
    with pytest.raises(InvalidArgumentError, match="toy-table has no metric that can be"):
        cost_metric(toy_bench(np.arange(24.0), test=np.arange(24.0)), "test_score")


# What a strategy is told.


@pytest.mark.parametrize("direction", ["max", "min"])
def test_a_strategy_may_ask_what_any_cell_costs(direction: Any) -> None:
    log, bench = Log(), costly()
    column = bench._columns["latency"]
    bench._columns["latency"] = column._replace(metric=column.metric._replace(direction=direction))
    bench.metrics["latency"] = bench._columns["latency"].metric
    run_search(scripted(CELLS[:3], log), bench, Protocol(evaluations=3, second="latency"))
    assert log.problem is not None
    assert log.problem.cost is not None
    assert log.problem.second == bench.metrics["latency"]
    costs = [log.problem.cost(cell) for cell in CELLS]
    assert costs == (LATENCY if direction == "min" else -LATENCY).tolist()


def test_the_same_network_costs_the_same() -> None:
    table = curves_table("curves")
    bench = TableBenchmark(table, NasBench201(), "sha256:toy")
    cost = cost_of(bench, "parameters")
    cell = next(c for c in SOME_CELLS if bench.space.canonical(c) != c)
    canonical = bench.space.canonical(cell)
    known = {bench.space.canonical(c) for c in SOME_CELLS}
    assert canonical in known
    for c in bench.measured().tolist():
        assert cost(tuple(c)) == bench.query(tuple(c), "parameters")


def test_a_figure_of_the_space() -> None:
    surrogate = load("nb201-fashion@surrogate")
    cell = (3, 1, 2, 0, 4, 3)
    assert cost_of(surrogate, "macs")(cell) == macs(cell, 10, 32)
    assert cost_values(surrogate, "macs", np.array([cell], np.uint8)).tolist() == [
        macs(cell, 10, 32)
    ]
    assert cost_values(surrogate, "macs", np.empty((0, 6), np.uint8)).shape == (0,)


@pytest.mark.parametrize("benchmark", ["nbgraph-proteins", "nb201-fashion"])
@pytest.mark.parametrize("strategy", ["nsga2", "petridish-growth"])
def test_no_test_value_can_be_reached_through_it(
    strategy: str, benchmark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nasbench_tab.testing import blind

    def both(**fields: Any) -> Protocol:
        return Protocol(**fields, second="parameters")

    monkeypatch.setattr(blind, "Protocol", both)
    check_blind(strategy, benchmark)


def test_strategies_that_do_not_ask_run_as_ever() -> None:
    for name in ("random", "evolution", "local-search", "asha"):
        alone = run_search(name, curves(), Protocol(evaluations=30, missing="masked"))
        both = Protocol(evaluations=30, missing="masked", second="parameters")
        assert same_run(alone, run_search(name, curves(), both))


def test_a_plain_function_can_ask_too() -> None:
    def cheapest(problem: Problem, rng: np.random.Generator, history: list[Any]) -> Any:
        left = [cell for cell in CELLS if cell not in {seen.architecture for seen in history}]
        assert problem.cost is not None
        return min(left, key=problem.cost)

    run = run_search(cheapest, costly(), Protocol(evaluations=4, second="latency"))
    assert rows(run) == [23, 22, 21, 20]


# Nothing else has changed.


def test_a_protocol_without_one_is_stored_as_before() -> None:
    fields = protocol_fields(Protocol(evaluations=3))
    assert "second" not in fields
    assert protocol_of(json.loads(json.dumps(fields))) == Protocol(evaluations=3)
    both = Protocol(evaluations=3, second="macs")
    assert protocol_of(json.loads(json.dumps(protocol_fields(both)))) == both


def test_results_keep_their_hash(tmp_path: Path) -> None:
    # Made by the release before there was a second objective.
    made = compare(
        ["nb201-cifar10"],
        ["random"],
        runs=2,
        protocol=Protocol(evaluations=8, limits=(("parameters", 1.0),)),
        out=tmp_path / "out",
    )
    experiment = made.manifest["experiment"]
    assert "second" not in {*experiment["protocol"], *experiment["benchmarks"][0]}
    for strategy in experiment["strategies"]:
        strategy["source_sha256"] = ""  # of its docstring too
    assert made.content_hash() == HASH


HASH = "sha256:d98eecdc20309a4fdf4915b5b522a1e09bc6c58fad95ae928cee9baed616fc1c"


def test_a_comparison_with_one_is_kept_and_repeated(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = Protocol(evaluations=30, second="latency")
    arguments: dict[str, Any] = {"runs": 6, "protocol": asked, "out": out}
    made = compare(["nb201-cifar10"], ["nsga2", "random"], **arguments)
    again = load_results(out)
    assert again.protocol == asked
    second = again.second("nb201-cifar10")
    assert second is not None
    assert (second.name, second.unit) == ("latency", "s")
    assert set(again.trials("nb201-cifar10", "nsga2").final) == {"valid_accuracy", "latency"}
    assert again.benchmark("nb201-cifar10")["test_metrics"] == {}
    assert replay(out).identical
    shard = next((out / "runs").rglob("*.npz"))
    shard.unlink()  # as if it had been interrupted
    resumed = compare(["nb201-cifar10"], ["nsga2", "random"], **arguments, resume=True)
    assert resumed.content_hash() == made.content_hash()
