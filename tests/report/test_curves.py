"""Anytime curves against slow plain loops over runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.report.curves import (
    POINTS,
    SIMULATED,
    evaluations_panel,
    seconds_panel,
    trained_panel,
)
from nasbench_tab.report.summary import Searched, Summary, summarise
from nasbench_tab.search.cost_curves import cost_curves
from nasbench_tab.search.exact import random_search_curve

from .conftest import Compared, early


def regrets(summary: Summary, searched: Searched, axis: str, x: float) -> NDArray[np.float64]:
    """Return each run's regret at ``x``: scan its evaluations, keep the best observed value."""
    trials, out, start = searched.trials, [], 0
    sign = 1 if summary.metric.direction == "max" else -1
    for length in trials.lengths.tolist():
        best, final = -np.inf, np.nan
        for i in range(start, start + length):
            position = i - start + 1 if axis == "evaluations" else trials.seconds[i]
            if position <= x and sign * trials.values[i] > best:
                best, final = sign * trials.values[i], trials.final[summary.metric.name][i]
        out.append(sign * (summary.about["optimum"] - final))
        start += length
    return np.array(out)


def searched_of(summary: Summary, label: str) -> Searched:
    return next(searched for searched in summary.searched if searched.label == label)


def test_curves_agree_with_loops(compared: Compared) -> None:
    results = compared(["random", early(), "evolution(population=5)"], ("small", "small-errors"))
    for summary in summarise(results):
        panels = [evaluations_panel(summary, results.protocol), seconds_panel(summary)]
        assert (panels[1] is None) == (summary.name == "small-errors")
        for panel in filter(None, panels):
            assert [curve.label for curve in panel.curves] == results.strategies
            for curve in panel.curves:
                assert curve.low is not None
                assert curve.high is not None
                searched = searched_of(summary, curve.label)
                for i in {0, len(curve.x) // 2, len(curve.x) - 1}:
                    expected = regrets(summary, searched, panel.axis, curve.x[i])
                    assert curve.mean[i] == pytest.approx(expected.mean())
                    assert curve.low[i] <= curve.mean[i] <= curve.high[i]


def test_the_last_point_is_the_final_table(compared: Compared) -> None:
    results = compared()
    summary = summarise(results)[0]
    panel = evaluations_panel(summary, results.protocol)
    for curve, outcome in zip(panel.curves, summary.outcomes, strict=True):
        assert curve.low is not None
        assert curve.high is not None
        assert curve.x[-1] == 15
        assert curve.mean[-1] == pytest.approx(outcome.regret.value)
        assert curve.low[-1] == pytest.approx(outcome.regret.low)
        assert curve.high[-1] == pytest.approx(outcome.regret.high)


def test_a_trained_model_is_later_by_its_own_training(compared: Compared) -> None:
    results = compared()
    (summary,) = summarise(results)
    trained, reason = trained_panel(results, summary)
    assert reason == ""
    assert trained is not None
    assert trained.x_title == "Search and final training"
    for curve in trained.curves:
        point = 30
        wanted = cost_curves(results, "small", curve.label, curve.x[point : point + 1]).automl
        assert curve.mean[point] == pytest.approx(wanted.mean())
    searching = seconds_panel(summary)
    assert searching is not None
    assert trained.curves[0].x[-1] > searching.curves[0].x[-1]


def test_no_chart_of_trained_models_has_a_reason(compared: Compared, home: Path) -> None:
    without = compared(benchmarks=["small-errors"])
    assert trained_panel(without, summarise(without)[0]) == (None, "")
    measured = compared(overhead="measured")
    assert trained_panel(measured, summarise(measured)[0]) == (None, "")
    results = compared()
    shutil.rmtree(home / "data" / "small")
    panel, reason = trained_panel(results, summarise(results)[0])
    assert panel is None
    assert reason.startswith("No chart of the regret of a trained model: ")


def test_time_starts_where_every_run_has_an_incumbent(compared: Compared) -> None:
    summary = summarise(compared())[0]
    panel = seconds_panel(summary)
    assert panel is not None
    firsts = [
        s.trials.seconds[np.cumsum(s.trials.lengths) - s.trials.lengths].max()
        for s in summary.searched
    ]
    for curve, searched in zip(panel.curves, summary.searched, strict=True):
        assert curve.x[0] == max(firsts)
        assert len(curve.x) == POINTS
        # ... and ends where the first of its runs has spent its budget.
        ends = searched.trials.seconds[np.cumsum(searched.trials.lengths) - 1]
        assert curve.x[-1] == ends.min()


def test_a_strategy_that_stops_early_keeps_its_last_incumbent(compared: Compared) -> None:
    results = compared([early(least=2, most=12), "random"])
    summary = summarise(results)[0]
    curve = evaluations_panel(summary, results.protocol).curves[0]
    lengths = summary.searched[0].trials.lengths
    assert lengths.min() < lengths.max() == curve.x[-1]
    assert curve.mean[-1] == pytest.approx(summary.outcome("early").regret.value)


def test_a_budget_in_seconds_ends_a_curve_at_the_first_spent_budget(compared: Compared) -> None:
    results = compared(evaluations=None, seconds=5000.0)
    summary = summarise(results)[0]
    panel = evaluations_panel(summary, results.protocol)
    for curve, searched in zip(panel.curves, summary.searched, strict=True):
        assert searched.trials.lengths.min() < searched.trials.lengths.max()
        assert curve.x[-1] == searched.trials.lengths.min()
    assert panel.exact is not None
    assert panel.exact.label == SIMULATED
    assert "budget in seconds" in panel.no_exact


def test_too_few_runs_have_no_band(compared: Compared) -> None:
    for runs in (1, 4):
        results = compared(runs=runs)
        summary = summarise(results)[0]
        for panel in (evaluations_panel(summary, results.protocol), seconds_panel(summary)):
            assert panel is not None
            assert all(curve.low is None and curve.high is None for curve in panel.curves)


def test_single_evaluations(compared: Compared) -> None:
    results = compared(runs=5, evaluations=1)
    summary = summarise(results)[0]
    panel = evaluations_panel(summary, results.protocol)
    assert [curve.x.tolist() for curve in panel.curves] == [[1.0], [1.0]]
    by_time = seconds_panel(summary)
    assert by_time is not None  # no moment at which all runs have one and none has ended
    assert all(len(curve.x) <= 1 for curve in by_time.curves)


def test_the_exact_expectation(compared: Compared) -> None:
    results = compared(["random"], ("small", "small-errors"))
    for summary in summarise(results):
        panel = evaluations_panel(summary, results.protocol)
        assert panel.exact is not None
        bench = load(summary.name)
        expected = random_search_curve(bench, results.protocol, panel.exact.x.astype(np.int64))
        sign = 1 if summary.metric.direction == "max" else -1
        np.testing.assert_allclose(panel.exact.mean, sign * (summary.about["optimum"] - expected))
        assert (panel.exact.mean > 0).all()


def test_no_exact_expectation_for_another_table(compared: Compared, home: Path) -> None:
    results = compared()
    results.benchmark("small")["hash"] = "sha256:other"
    panel = evaluations_panel(summarise(results)[0], Protocol(evaluations=15))
    assert panel.exact is None
    assert "not the one that was searched" in panel.no_exact


def test_no_run_no_curve(compared: Compared) -> None:
    results = compared([early("never", 0, 1)], runs=6)
    summary = summarise(results)[0]
    panel = evaluations_panel(summary, results.protocol)
    assert (panel.curves, panel.exact) == ([], None)
    assert seconds_panel(summary) is None
