"""Fronts of a comparison: the exact one by brute force, and what runs have of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.benchmarks.tablefile import Table, write_table
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Proposal, Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.compare import compare
from nasbench_tab.search.fronts import found_fronts, hypervolume_ratios, target
from nasbench_tab.search.results import Results
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.stats.pareto import hypervolume

from .toys import SOME_CELLS, scripted, toy_table

N = len(SOME_CELLS)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "data"


def made(home: Path, table: Table, strategies: list[Any], **switches: Any) -> Results:
    write_table(home / table.name, table, {"title": "toys"})
    switches = {"evaluations": N, "missing": "masked", "second": "size", **switches}
    return compare(
        [table.name],
        strategies,
        runs=1,
        protocol=Protocol(**switches),
        out=home.parent.parent / "out",
    )


def toys(values: Any, sizes: Any, **options: Any) -> Table:
    options = {"name": "toys", "space": NasBench201(), "cells": SOME_CELLS, **options}
    return toy_table(values, static={"size": sizes}, **options)


def brute_front(values: list[float], costs: list[float]) -> set[tuple[float, float]]:
    pairs = list(zip(values, costs, strict=True))
    return {
        (v, c)
        for v, c in pairs
        if not any(w >= v and d <= c and (w, d) != (v, c) for w, d in pairs)
    }


@pytest.mark.parametrize(
    ("name", "second"), [("nb201-cifar10", "parameters"), ("nbgraph-proteins", "latency")]
)
def test_the_exact_front_by_enumeration(name: str, second: str, tmp_path: Path) -> None:
    protocol = Protocol(evaluations=5, second=second, limits=((second, 0.5),))
    results = compare([name], ["random"], runs=1, protocol=protocol, out=tmp_path / "out")
    goal, bench = target(results, name), load(name)
    cells = bench.measured()
    values, costs = bench.query(cells), bench.query(cells, second)
    best: dict[float, float] = {}
    for value, cost in zip(values.tolist(), costs.tolist(), strict=True):
        if cost <= 0.5:
            best[cost] = max(best.get(cost, -np.inf), value)
    front = brute_front(list(best.values()), list(best))
    assert set(map(tuple, goal.front.tolist())) == front
    assert (np.diff(goal.front, axis=0) > 0).all()  # the least cost first
    assert goal.exact
    within = costs <= 0.5
    width = goal.front[-1, 1] - goal.front[0, 1]
    assert goal.reference.tolist() == [goal.front[-1, 1] + 0.1 * width, -values[within].mean()]
    losses = np.stack([goal.front[:, 1], -goal.front[:, 0]], axis=1)
    assert goal.area == hypervolume(losses, goal.reference) > 0


@pytest.mark.parametrize("direction", ["max", "min"])
def test_all_cells_have_all_of_it(home: Path, direction: Any) -> None:
    rng = np.random.default_rng(0)
    table = toys(rng.permutation(N), rng.permutation(N), direction=direction)
    results = made(home, table, [scripted(SOME_CELLS)])
    [found] = found_fronts(results, "toys", "scripted")
    assert found.tolist() == target(results, "toys").front.tolist()
    ratios = hypervolume_ratios(results, "toys", "scripted", np.arange(1, N + 1))
    assert ratios.shape == (1, N)
    assert (np.diff(ratios) >= 0).all()  # one seed: nothing is lucky
    assert ratios[0, -1] == 1.0 > ratios[0, 0]
    row = results.frame().iloc[0]
    best = int(
        np.argmax(results.trials("toys", "scripted").values * (1 if direction == "max" else -1))
    )
    assert row["hypervolume"] == 1.0
    assert row["size"] == results.trials("toys", "scripted").final["size"][best]


def test_a_front_is_chosen_by_what_was_seen_and_counts_by_the_mean(home: Path) -> None:
    values = np.zeros((N, 2))
    values[0] = (10.0, 0.0)  # seed 100 is lucky here
    values[1] = (9.0, 9.0)
    table = toys(values, np.full(N, 2.0))
    results = made(home, table, [scripted(SOME_CELLS[:2])], seeds=100, evaluations=2)
    goal = target(results, "toys")
    assert goal.front.tolist() == [[9.0, 2.0]]
    # The lucky cell is the front, whatever comes later; it is worth 5.
    assert found_fronts(results, "toys", "scripted")[0].tolist() == [[5.0, 2.0]]
    mean = results.benchmark("toys")["mean"]
    ratios = hypervolume_ratios(results, "toys", "scripted", np.array([1, 2]))
    assert ratios[0] == pytest.approx([(5 - mean) / (9 - mean)] * 2)
    frame = results.frame()
    assert frame["size"][0] == 2.0


@pytest.mark.parametrize(
    ("rule", "members"),
    [
        ("highest-seen", [(50.0, 1.0), (60.0, 2.0), (90.0, 3.0)]),
        ("highest-epoch", [(60.0, 2.0)]),
        ("full-training", [(60.0, 2.0)]),
    ],
)
def test_the_incumbent_rule_holds_for_fronts(home: Path, rule: Any, members: Any) -> None:
    # Only the second is trained in full; the third looks better after one epoch than it is.
    values = np.zeros((N, 1, 2))
    values[:3, 0, 0], values[:3, 0, 1] = (50.0, 40.0, 95.0), (50.0, 60.0, 90.0)
    sizes = np.arange(1.0, N + 1)
    table = toys(values, sizes, epochs=(1, 9), seconds=1.0, curve=True)
    script = [
        Proposal(SOME_CELLS[0], 1),
        Proposal(SOME_CELLS[1], 9),
        Proposal(SOME_CELLS[2], 1),
    ]
    results = made(home, table, [scripted(script)], incumbent=rule, evaluations=3)
    [found] = found_fronts(results, "toys", "scripted")
    assert list(map(tuple, found.tolist())) == members


def test_where_the_space_cannot_be_listed_the_best_of_all_runs_is_the_measure(
    tmp_path: Path,
) -> None:
    protocol = Protocol(evaluations=20, second="macs")
    results = compare(
        ["nb201-fashion@surrogate"],
        ["random", "nsga2"],
        runs=2,
        protocol=protocol,
        out=tmp_path / "out",
    )
    listed = target(results, "nb201-fashion@surrogate")
    assert listed.exact
    del results.manifest["experiment"]["benchmarks"][0]["second"]["front"]
    goal = target(results, "nb201-fashion@surrogate")
    assert not goal.exact
    finals = [results.trials("nb201-fashion@surrogate", s).final for s in ("random", "nsga2")]
    values = np.concatenate([f["valid_accuracy"] for f in finals]).tolist()
    costs = np.concatenate([f["macs"] for f in finals]).tolist()
    assert set(map(tuple, goal.front.tolist())) == brute_front(values, costs)
    counts = np.array([20])
    for strategy in ("random", "nsga2"):
        ratios = hypervolume_ratios(results, "nb201-fashion@surrogate", strategy, counts)
        assert (ratios <= 1).all()


def test_nothing_better_than_the_mean_has_no_ratio(home: Path) -> None:
    results = made(home, toys(np.ones(N), np.ones(N)), [scripted(SOME_CELLS)])
    assert target(results, "toys").area == 0.0
    assert np.isnan(hypervolume_ratios(results, "toys", "scripted", np.array([1]))).all()


def test_one_objective_has_no_front(tmp_path: Path) -> None:
    results = compare(["nb201-cifar10"], ["random"], runs=1, budget=3, out=tmp_path / "out")
    with pytest.raises(InvalidArgumentError, match=r"has one objective.*--second METRIC"):
        target(results, "nb201-cifar10")
    assert "hypervolume" not in results.frame().columns
