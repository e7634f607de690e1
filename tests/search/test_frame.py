"""The frame of a comparison, against a direct computation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nasbench_tab.records import Proposal, Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.compare import compare
from nasbench_tab.search.run import run_search

from .toys import SOME_CELLS, scripted


def approx(value: float) -> Any:
    return pytest.approx(value, rel=1e-12, nan_ok=True)


def expected_row(name: str, strategy: Any, protocol: Protocol, number: int) -> dict[str, Any]:
    """Compute a row in plain Python from the run itself."""
    bench = load(name)
    run = run_search(strategy, bench, protocol, seed=3, run=number)
    best = None
    for i, value in enumerate(run.values.tolist()):
        if protocol.incumbent == "full-training" and run.epochs[i] != bench.epochs[-1]:
            continue
        if best is None or bench.objective.score(value) > bench.objective.score(run.values[best]):
            best = i
    measured = [tuple(cell) for cell in bench.measured().tolist()]
    means = [float(bench.query(cell)) for cell in measured]
    optimum = max(means) if bench.objective.direction == "max" else min(means)
    row: dict[str, Any] = {
        "benchmark": name,
        "strategy": strategy if isinstance(strategy, str) else strategy.label,
        "run": number,
        "evaluations": len(run.values),
        "distinct": len({tuple(cell) for cell in run.architectures.tolist()}),
        "free": run.free,
        "stop": run.stop,
    }
    assert best is not None
    cell = tuple(run.architectures[best].tolist())
    value = float(bench.query(cell))
    row |= {
        "seconds": run.seconds[-1],
        "architecture": bench.space.format(cell),
        "observed": run.values[best],
        bench.objective.name: value,
        "regret": abs(optimum - value),
    }
    for metric in bench.metrics.values():
        if metric.split == "test":
            row[metric.name] = float(bench.query(cell, metric.name))
    return row


@pytest.mark.parametrize("repeats", ["pay", "reuse"])
@pytest.mark.parametrize("name", ["toy-curves", "toy-errors", "nb201-cifar10", "nbgraph-proteins"])
def test_the_frame_is_what_a_plain_loop_computes(
    name: str, repeats: Any, toy_tables: Path, tmp_path: Path
) -> None:
    protocol = Protocol(evaluations=10, missing="masked", repeats=repeats)
    strategies = ["random", "evolution(population=2)"]
    results = compare([name], strategies, runs=3, protocol=protocol, seed=3, out=tmp_path / "o")
    frame = results.frame()
    rows = [expected_row(name, s, protocol, number) for s in strategies for number in range(3)]
    assert len(frame) == len(rows)
    assert set(frame.columns) == {*rows[0], "cpu_seconds"}
    for row, expected in zip(frame.to_dict("records"), rows, strict=True):
        for column, value in expected.items():
            close = approx(value) if isinstance(value, float) else value
            assert row[column] == close, column
        assert row["cpu_seconds"] > 0
    assert frame["regret"].max() > 0
    if name.startswith("toy"):  # few cells: some come twice
        assert (frame["distinct"] < frame["evaluations"]).any() == (repeats == "pay")
        assert (frame["free"] > 0).any() == (repeats == "reuse")


def test_the_frame_lists_all_benchmarks_and_strategies(tmp_path: Path) -> None:
    names, strategies = ["nbgraph-proteins", "nb201-cifar10"], ["random", "local-search"]
    frame = compare(names, strategies, runs=3, budget=4, out=tmp_path).frame()
    keys = list(zip(frame["benchmark"], frame["strategy"], frame["run"], strict=True))
    assert keys == [(n, s, run) for n in names for s in strategies for run in range(3)]
    # Only one of the two benchmarks has a test metric.
    tested = frame["benchmark"] == "nbgraph-proteins"
    test_metric = next(n for n, m in load("nbgraph-proteins").metrics.items() if m.split == "test")
    assert frame.loc[tested, test_metric].notna().all()
    assert frame.loc[~tested, test_metric].isna().all()


def low_first(epochs: list[int | None]) -> Any:
    """Propose the first measured cells, each at one of ``epochs``."""
    return scripted(
        [Proposal(cell, epoch) for cell, epoch in zip(SOME_CELLS, epochs, strict=False)]
    )


def test_only_full_trainings_count_where_the_protocol_says_so(
    toy_tables: Path, tmp_path: Path
) -> None:
    epochs: list[int | None] = [9, 1, 3, 9, 1, None, 3, 1]
    for rule in ("full-training", "highest-seen"):
        protocol = Protocol(evaluations=8, missing="masked", incumbent=rule)
        strategy = low_first(epochs)
        results = compare(
            ["toy-errors"], [strategy], runs=1, protocol=protocol, seed=3, out=tmp_path / rule
        )
        [row] = results.frame().to_dict("records")
        expected = expected_row("toy-errors", strategy, protocol, 0)
        assert row["architecture"] == expected["architecture"]
        assert row["observed"] == expected["observed"]
        assert row["score"] == pytest.approx(expected["score"])


def is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def assert_no_incumbent(row: Mapping[Any, Any]) -> None:
    for column in ("architecture", "observed", "score", "regret", "test_score"):
        assert is_missing(row[column]), (column, row[column])


def test_a_run_without_any_full_training_has_no_incumbent(toy_tables: Path, tmp_path: Path) -> None:
    protocol = Protocol(evaluations=3, missing="masked", incumbent="full-training")
    results = compare(
        ["toy-curves"], [low_first([1, 3, 1])], runs=2, protocol=protocol, out=tmp_path / "o"
    )
    frame = results.frame()
    assert frame["evaluations"].tolist() == [3, 3]
    for row in frame.to_dict("records"):
        assert_no_incumbent(row)


def test_a_run_without_evaluations_has_no_incumbent(toy_tables: Path, tmp_path: Path) -> None:
    # Budgets in seconds that some first trainings exceed: those runs are empty, the others not.
    protocol = Protocol(seconds=90, overshoot="drop", missing="masked")
    results = compare(["toy-curves"], ["random"], runs=20, protocol=protocol, out=tmp_path / "o")
    trials = results.trials("toy-curves", "random")
    empty = trials.lengths == 0
    assert 0 < empty.sum() < 20
    frame = results.frame()
    assert frame["evaluations"].tolist() == trials.lengths.tolist()
    assert frame["architecture"].map(is_missing).tolist() == empty.tolist()
    for row in frame[empty].to_dict("records"):
        assert_no_incumbent(row)
        assert row["distinct"] == 0
        assert is_missing(row["seconds"]) or row["seconds"] == 0
    assert frame[~empty]["score"].notna().all()


def test_runs_that_are_all_empty_make_a_frame_too(toy_tables: Path, tmp_path: Path) -> None:
    protocol = Protocol(seconds=1, overshoot="drop", missing="masked")
    results = compare(["toy-curves"], ["random"], runs=3, protocol=protocol, out=tmp_path / "o")
    assert results.trials("toy-curves", "random").architectures.shape == (0, 6)
    frame = results.frame()
    assert frame["evaluations"].tolist() == [0, 0, 0]
    for row in frame.to_dict("records"):
        assert_no_incumbent(row)


def test_a_benchmark_without_times_has_no_seconds_in_its_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = next(n for n in ("nbgraph-cora", "nbgraph-proteins") if not load(n).has_seconds)
    frame = compare([name], ["random"], runs=2, budget=3, out=tmp_path).frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame["seconds"].isna().all()
