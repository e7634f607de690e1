"""One strategy under every published protocol that applies."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nasbench_tab.errors import ResultsError, UnknownNameError
from nasbench_tab.registry import load
from nasbench_tab.search.presets import PRESETS, fit
from nasbench_tab.search.results import load_results
from nasbench_tab.search.sensitivity import Answered, sensitivity
from nasbench_tab.stats.bootstrap import Interval

from .conftest import Snapshot


def finals(directory: Path, metric: str) -> NDArray[np.float64]:
    return load_results(directory).frame()[metric].to_numpy(float)


def inside(found: Interval) -> bool:
    """Whether an estimate lies in its interval, but for rounding."""
    return bool(found.low - 1e-9 <= found.estimate <= found.high + 1e-9)


def same(one: list[Answered], other: list[Answered]) -> bool:
    """Whether all of two lists is equal; NaN equals NaN."""
    return repr(one) == repr(other)


@pytest.mark.parametrize("name", ["toy-curves", "toy-errors"])
def test_the_answers_and_their_shift(toy_tables: Path, tmp_path: Path, name: str) -> None:
    assert toy_tables.is_dir()
    answers = sensitivity("evolution", name, tmp_path / "out", runs=12, presets=["naszilla"])
    default, naszilla = answers
    assert [one.preset for one in answers] == ["default", "naszilla"]
    assert default.strategy == "evolution"
    assert naszilla.strategy == "evolution(mutation='each-position', population=30, tournament=10)"
    assert [one.runs for one in answers] == [12, 12]
    for one in answers:
        fitted = fit(PRESETS[one.preset], load(name))
        assert (one.protocol, one.changes) == (fitted.protocol, fitted.changes)
        results = load_results(tmp_path / "out" / one.preset)
        assert results.strategies == [one.strategy]
        frame = results.frame()
        assert one.evaluations == frame["evaluations"].mean()
        assert one.distinct == frame["distinct"].mean()
        assert float(one.value.estimate) == pytest.approx(frame["score"].mean())
        assert inside(one.value)
    gain = finals(tmp_path / "out" / "naszilla", "score") - finals(
        tmp_path / "out" / "default", "score"
    )
    better = gain if name == "toy-curves" else -gain  # greater is better, also of errors
    assert float(naszilla.shift.estimate) == pytest.approx(better.mean())
    assert inside(naszilla.shift)
    assert (float(default.shift.estimate), float(default.shift.high)) == (0.0, 0.0)


@pytest.fixture
def single(toy_tables: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Register a preset of a single evaluation."""
    assert toy_tables.is_dir()
    protocol = PRESETS["default"].protocol._replace(evaluations=1)
    monkeypatch.setitem(
        PRESETS, "single", PRESETS["default"]._replace(name="single", protocol=protocol)
    )
    return "single"


@pytest.mark.parametrize("name", ["toy-curves", "toy-errors"])
def test_a_protocol_that_is_worse_shifts_downwards(single: str, tmp_path: Path, name: str) -> None:
    # One evaluation against a hundred: there is no doubt which is better, whatever the direction.
    _, answer = sensitivity("random", name, tmp_path / "out", runs=20, presets=[single])
    assert answer.shift.high < 0
    assert answer.evaluations == 1


def test_presets_that_do_not_apply_say_why(tmp_path: Path) -> None:
    answers = sensitivity("random", "nb201-cifar100", tmp_path / "out", runs=5)
    assert [one.preset for one in answers] == list(PRESETS)
    by_name = {one.preset: one for one in answers}
    nothing = by_name["nb201-2020"]
    assert nothing.protocol is None
    assert nothing.runs == 0
    assert nothing.changes == (
        "nb201-2020 has no published budget for nb201-cifar100; it has for nb201-cifar10.",
    )
    for interval in (nothing.value, nothing.shift):
        assert np.isnan([interval.estimate, interval.low, interval.high]).all()
    assert not (tmp_path / "out" / "nb201-2020").exists()
    for name, one in by_name.items():
        if name != "nb201-2020":
            assert one.runs == 5
            assert one.evaluations > 90
            assert bool(one.changes) == (name != "default")


def test_too_few_runs_for_an_interval(toy_tables: Path, tmp_path: Path) -> None:
    assert toy_tables.is_dir()
    for runs in (1, 4):
        for one in sensitivity(
            "random", "toy-curves", tmp_path / f"{runs}", runs=runs, presets=["naszilla"]
        ):
            assert np.isfinite([one.value.estimate, one.shift.estimate]).all()
            assert np.isnan([one.value.low, one.value.high, one.shift.low, one.shift.high]).all()


def test_own_settings_stay_under_every_preset(toy_tables: Path, tmp_path: Path) -> None:
    assert toy_tables.is_dir()
    answers = sensitivity(
        "evolution(population=5)", "toy-curves", tmp_path / "out", runs=5, presets=["naszilla"]
    )
    assert [one.strategy for one in answers] == ["evolution(population=5)"] * 2


def run(out: Path, seen: list[Any] | None = None) -> list[Answered]:
    def progress(*event: Any) -> None:
        if seen is not None:
            seen.append(event)

    return sensitivity("random", "toy-curves", out, runs=55, presets=["single"], progress=progress)


@pytest.mark.usefixtures("single")
def test_finished_parts_are_not_run_again(tmp_path: Path, snapshot: Snapshot) -> None:
    out = tmp_path / "out"
    seen: list[Any] = []
    first = run(out, seen)
    assert seen == [(name, n, 55) for name in ("default", "single") for n in (50, 55)]
    before = snapshot(out)
    again: list[Any] = []
    assert same(run(out, again), first)
    assert again == []
    assert snapshot(out) == before


@pytest.mark.usefixtures("single")
def test_what_was_interrupted_is_finished(tmp_path: Path, snapshot: Snapshot) -> None:
    out = tmp_path / "out"
    seen: list[Any] = []
    first, before = run(out), snapshot(out)
    shutil.rmtree(out / "single")
    (out / "default" / "runs" / "toy-curves" / "random" / "000050-000054.npz").unlink()
    assert same(run(out, seen), first)
    assert seen == [("default", 55, 55), ("single", 50, 55), ("single", 55, 55)]
    assert snapshot(out).keys() == before.keys()


@pytest.mark.usefixtures("single")
def test_the_same_presets_twice_are_run_once(tmp_path: Path) -> None:
    presets = ["single", "default", "single"]
    answers = sensitivity("random", "toy-curves", tmp_path / "out", runs=5, presets=presets)
    assert [one.preset for one in answers] == ["default", "single"]


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize(
    ("strategy", "benchmark", "presets", "words"),
    [
        ("randon", "toy-curves", ["single"], "strategy 'randon'"),
        ("random", "toy-curve", ["single"], "benchmark 'toy-curve'"),
        ("random", "toy-curves", ["single", "nasz"], "preset 'nasz'. Did you mean naszilla"),
    ],
)
def test_unknown_names_are_found_before_anything_runs(
    tmp_path: Path, strategy: str, benchmark: str, presets: list[str], words: str
) -> None:
    with pytest.raises(UnknownNameError, match=words):
        sensitivity(strategy, benchmark, tmp_path / "out", runs=5, presets=presets)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("single")
def test_a_directory_of_something_else_is_left_alone(tmp_path: Path, snapshot: Snapshot) -> None:
    out = tmp_path / "out"
    run(out)
    before = snapshot(out)
    with pytest.raises(ResultsError, match="holds another experiment"):
        sensitivity("random", "toy-curves", out, runs=7, presets=["single"])
    assert snapshot(out) == before
