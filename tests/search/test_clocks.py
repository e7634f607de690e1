"""Separate clocks of a run, against what the search itself charged and against sums by hand."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Proposal, Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.clocks import Clocks, continued_from, run_clocks
from nasbench_tab.search.compare import compare
from nasbench_tab.search.cost_curves import automl_incumbents, cost_curves
from nasbench_tab.search.results import Results
from nasbench_tab.stats.anytime import Incumbents, at_seconds

from .studies import install, recorded, timed_table
from .toys import SOME_CELLS, curves_table, scripted

A, B, C = SOME_CELLS[:3]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    install(home, timed_table("toy-timed"))
    install(home, curves_table("toy-curves"))
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(home))
    return home


def searched(strategy: Any, out: Path, table: str = "toy-timed", **switches: Any) -> Results:
    protocol = Protocol(**{"missing": "masked", "evaluations": 40, **switches})
    return compare([table], [strategy], runs=3, out=out, protocol=protocol)


def clocks(results: Results) -> Clocks:
    name, label = results.benchmarks[0], results.strategies[0]
    return run_clocks(results, name, results.trials(name, label))


# Against what the search charged.


@pytest.mark.parametrize("resume", ["restart", "continue"])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("strategy", ["random", "successive-halving", "asha"])
@pytest.mark.parametrize("seeds", ["random", "mean"])
def test_search_is_what_the_strategy_was_charged(
    home: Path, tmp_path: Path, resume: str, workers: int, strategy: str, seeds: str
) -> None:
    charged: list[list[float]] = []
    found = clocks(
        searched(
            recorded(strategy, charged),
            tmp_path / "out",
            resume=resume,
            workers=workers,
            seeds=seeds,
        )
    )
    assert len(charged) == 3
    assert found.search.seconds == pytest.approx([sum(run) for run in charged])
    if workers == 1:
        assert found.elapsed.seconds == pytest.approx(found.search.seconds)
    else:
        assert (found.elapsed.seconds < found.search.seconds).all()
        assert (found.elapsed.seconds * workers >= found.search.seconds * (1 - 1e-9)).all()


@pytest.mark.parametrize("validation", ["once", "every"])
@pytest.mark.parametrize("resume", ["restart", "continue"])
@pytest.mark.parametrize("workers", [1, 3])
def test_search_and_validation_add_up_to_what_was_charged(
    home: Path, tmp_path: Path, validation: str, resume: str, workers: int
) -> None:
    charged: list[list[float]] = []
    found = clocks(
        searched(
            recorded("asha", charged),
            tmp_path / "out",
            resume=resume,
            workers=workers,
            validation=validation,
        )
    )
    both = found.search.seconds + found.validation.seconds
    assert both == pytest.approx([sum(run) for run in charged])
    assert (found.validation.seconds > 0).all()
    assert "on the protocol's clock" in found.validation.note


# By hand.

SCRIPT = [Proposal(A, 1), Proposal(A, 3), Proposal(B, 9), Proposal(A, 9), Proposal(A, 9)]


def test_a_continued_training_by_hand(home: Path, tmp_path: Path) -> None:
    switches: dict[str, Any] = {"seeds": 777, "evaluations": 5}
    results = searched(scripted(SCRIPT), tmp_path / "out", resume="continue", **switches)
    trials = results.trials("toy-timed", "scripted")
    assert continued_from(results, trials).tolist() == [0, 1, 0, 3, 0] * 3
    bench = load("toy-timed")
    one, other = (bench.lookup(cell, seed=777).seconds for cell in (A, B))
    found = clocks(results)
    assert found.search.seconds == pytest.approx([2 * one + other] * 3)
    # One pass at the end of each evaluation; in the table it takes 0.25 s times row + 1.
    rows = np.array([1, 1, 2, 1, 1])
    assert found.validation.seconds == pytest.approx([0.25 * rows.sum()] * 3)
    assert "not on the protocol's clock" in found.validation.note


def test_a_restarted_training_is_paid_in_full(home: Path, tmp_path: Path) -> None:
    results = searched(scripted(SCRIPT), tmp_path / "out", seeds=777, evaluations=5)
    trials = results.trials("toy-timed", "scripted")
    assert not continued_from(results, trials).any()
    bench = load("toy-timed")
    wanted = sum(bench.lookup(cell, epoch=epoch, seed=777).seconds for cell, epoch in SCRIPT)
    assert clocks(results).search.seconds == pytest.approx([wanted] * 3)


def test_every_pass_of_a_continued_training_is_paid_once(home: Path, tmp_path: Path) -> None:
    results = searched(
        scripted(SCRIPT[:2]), tmp_path / "out", resume="continue", validation="every", seeds=777
    )
    assert clocks(results).validation.seconds == pytest.approx([0.25 * 3] * 3)


def test_final_is_the_mean_full_training_of_the_last_incumbent(home: Path, tmp_path: Path) -> None:
    results = searched("random", tmp_path / "out")
    bench = load("toy-timed")
    cells = map(bench.space.parse, results.frame()["architecture"])
    wanted = [np.mean([bench.lookup(c, seed=s).seconds for s in bench.seeds(c)]) for c in cells]
    assert clocks(results).final.seconds == pytest.approx(wanted)


def test_a_run_without_an_incumbent_has_no_final_training(home: Path, tmp_path: Path) -> None:
    first = [Proposal(A, 1)]
    results = searched(scripted(first), tmp_path / "out", incumbent="full-training", evaluations=1)
    assert np.isnan(clocks(results).final.seconds).all()


def test_discarded_trainings_are_paid_until_the_budget(home: Path, tmp_path: Path) -> None:
    budget: dict[str, Any] = {"evaluations": None, "seconds": 300.0, "overshoot": "drop"}
    found = clocks(searched("random", tmp_path / "one", **budget))
    assert found.elapsed.seconds.tolist() == found.search.seconds.tolist() == [300.0] * 3
    assert "discarded" in found.search.note
    several = clocks(searched("random", tmp_path / "several", workers=2, **budget))
    assert several.elapsed.seconds.tolist() == [300.0] * 3
    assert np.isnan(several.search.seconds).all()
    assert "not recorded" in several.search.note


def test_a_run_ended_by_evaluations_discards_nothing(home: Path, tmp_path: Path) -> None:
    budget: dict[str, Any] = {"evaluations": 2, "seconds": 1e6, "overshoot": "drop"}
    found = clocks(searched("random", tmp_path / "out", **budget))
    assert (found.elapsed.seconds < 1000).all()
    assert not found.elapsed.note


def test_discarded_trainings_beside_charged_validation(home: Path, tmp_path: Path) -> None:
    budget: dict[str, Any] = {
        "evaluations": None,
        "seconds": 300.0,
        "overshoot": "drop",
        "validation": "once",
    }
    found = clocks(searched("random", tmp_path / "out", **budget))
    assert found.search.seconds + found.validation.seconds == pytest.approx([300.0] * 3)


# What is not recorded is never 0.


def test_a_table_without_times(tmp_path: Path) -> None:
    results = compare(["nbgraph-proteins"], ["random"], runs=2, budget=3, out=tmp_path / "out")
    for clock in clocks(results):
        assert np.isnan(clock.seconds).all()
        assert "nbgraph-proteins has no" in clock.note


def test_a_table_without_validation_times(home: Path, tmp_path: Path) -> None:
    found = clocks(searched("random", tmp_path / "out", table="toy-curves"))
    assert np.isnan(found.validation.seconds).all()
    assert found.validation.note == "toy-curves has no validation times (eval_seconds)"
    assert np.isfinite(found.search.seconds).all()


@pytest.mark.parametrize("what", ["absent", "another"])
def test_a_table_that_is_not_at_hand(home: Path, tmp_path: Path, what: str) -> None:
    one = searched("random", tmp_path / "one")
    several = searched("random", tmp_path / "several", workers=2)
    with_table = clocks(one)
    folder = home / "data" / "toy-timed"
    table = timed_table("toy-timed")
    shutil.rmtree(folder)
    if what == "another":
        size = table.static["parameters"]
        larger = size._replace(values=size.values + 1)
        install(home, table._replace(static={"parameters": larger}))
    found = clocks(one)
    assert found.search.seconds.tolist() == with_table.search.seconds.tolist()
    assert np.isnan([found.validation.seconds, found.final.seconds]).all()
    words = "cannot be loaded here" if what == "absent" else "is not the one that was searched"
    assert words in found.validation.note
    assert words in found.final.note
    assert words in clocks(several).search.note
    assert np.isnan(clocks(several).search.seconds).all()
    assert np.isfinite(clocks(several).elapsed.seconds).all()


def test_continued_trainings_that_cannot_be_told_apart(home: Path, tmp_path: Path) -> None:
    results = searched("asha", tmp_path / "out", resume="continue", workers=3)
    trials = results.trials("toy-timed", "asha")
    seconds = trials.seconds.copy()
    seconds[5:] += 0.5  # as if something else had been on the clock
    found = run_clocks(results, "toy-timed", trials._replace(seconds=seconds))
    assert np.isnan(found.search.seconds).all()
    assert "do not say which trainings were continued" in found.search.note


# Regret at equal total cost.


@given(data=st.data())
def test_the_automl_clock_against_its_definition(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 8))
    number = st.integers(0, 30)
    ends = np.cumsum(data.draw(st.lists(number, min_size=n, max_size=n))).astype(float)
    final = np.array(data.draw(st.lists(number, min_size=n, max_size=n)), float)
    which = np.array([data.draw(st.integers(-1, i)) for i in range(n)])
    found = automl_incumbents(Incumbents(which[None], ends[None]), final)
    assert (np.diff(found.seconds) >= 0).all()
    grid = np.arange(0.0, ends[-1] + 35)
    shown = at_seconds(found, np.arange(float(n)), grid)[0]
    ready = ends + np.where(which < 0, 0, final[which])
    for time, value in zip(grid, shown, strict=True):
        possible = [i for i in range(n) if ready[i] <= time]
        wanted = which[possible[-1]] if possible and which[possible[-1]] >= 0 else np.nan
        np.testing.assert_equal(value, float(wanted))


def test_cost_curves_of_a_comparison(tmp_path: Path) -> None:
    results = compare(["nb201-cifar10"], ["evolution"], runs=4, budget=30, out=tmp_path / "out")
    grid = np.geomspace(100, 1e6, 50)
    curves = cost_curves(results, "nb201-cifar10", "evolution", grid)
    assert curves.identification.shape == curves.automl.shape == (4, 50)
    regret = results.frame()["regret"]
    np.testing.assert_allclose(curves.identification[:, -1], regret)
    np.testing.assert_allclose(curves.automl[:, -1], regret)
    # A trained model comes later than the name of its cell.
    known = np.isfinite(curves.identification).sum(axis=1)
    assert (np.isfinite(curves.automl).sum(axis=1) < known).all()
    assert np.isnan(curves.identification[:, 0]).all()


def test_cost_curves_where_less_is_better(home: Path, tmp_path: Path) -> None:
    install(home, curves_table("toy-errors", "min"))
    results = searched("random", tmp_path / "out", table="toy-errors")
    curves = cost_curves(results, "toy-errors", "random", np.array([1e9]))
    np.testing.assert_allclose(curves.automl[:, 0], results.frame()["regret"])
    assert (curves.automl >= 0).all()


def test_no_cost_curve_without_times(home: Path, tmp_path: Path) -> None:
    results = compare(["nbgraph-proteins"], ["random"], runs=1, budget=3, out=tmp_path / "out")
    with pytest.raises(InvalidArgumentError, match="no training times, so there is no curve"):
        cost_curves(results, "nbgraph-proteins", "random", np.array([1.0]))
    results = searched("random", tmp_path / "timed")
    shutil.rmtree(home / "data" / "toy-timed")
    with pytest.raises(InvalidArgumentError, match="full training: toy-timed cannot be loaded"):
        cost_curves(results, "toy-timed", "random", np.array([1.0]))
