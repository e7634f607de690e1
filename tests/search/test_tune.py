"""Tuning: which setting is best, how sure that is, what it cost, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import InvalidArgumentError, ResultsError, UnknownNameError
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.booking import TUNING, read_tuning
from nasbench_tab.search.results import load_results
from nasbench_tab.search.specs import strategy_spec
from nasbench_tab.search.tune import Tuning, grid_of, normalised_regret, rank_settings, tune

from .studies import CONSTANT
from .toys import SOME_CELLS

MASKED = Protocol(evaluations=2, missing="masked")
BOTH = ["toy-curves", "toy-errors"]


def constants(out: Path, cells: list[int], **options: Any) -> Tuning:
    """Tune a strategy whose every regret is known."""
    settings: dict[str, Any] = {"runs": 5, "out": out, "protocol": MASKED, **options}
    return tune(CONSTANT, {"cell": cells}, BOTH, **settings)


def known_scores(cells: list[int]) -> list[float]:
    """Return the mean normalised regret of each cell over the two toy tables."""
    scores = []
    for name in BOTH:
        bench = load(name)
        values = bench.query(bench.measured())
        best = values.max() if bench.objective.direction == "max" else values.min()
        own = bench.query([SOME_CELLS[cell] for cell in cells])
        scores.append(np.abs(own - best) / abs(values.mean() - best))
    return list(np.mean(scores, axis=0))


def test_settings_are_ranked_by_mean_normalised_regret(toy_tables: Path, tmp_path: Path) -> None:
    cells = [4, 0, 7, 2]
    found = constants(tmp_path / "t", cells)
    scores = known_scores(cells)
    order = np.argsort(scores)
    assert [one.settings for one in found.tried] == [{"cell": cells[i]} for i in order]
    assert [one.score.mean for one in found.tried] == pytest.approx(sorted(scores))
    assert found.best is found.tried[0]
    behind = np.sort(scores) - min(scores)
    assert [one.behind.mean for one in found.tried] == pytest.approx(behind)
    assert [one.behind.low for one in found.tried] == pytest.approx(behind)
    assert found.alike == 0
    assert [one.default for one in found.tried] == [cells[i] == 0 for i in order]


def test_settings_that_do_the_same_cannot_be_told_apart(toy_tables: Path, tmp_path: Path) -> None:
    space = {"cell": [3], "idle": [0, 1, 2]}
    found = tune(CONSTANT, space, BOTH, runs=5, out=tmp_path / "t", protocol=MASKED)
    assert found.alike == 2
    assert found.best.settings == {"cell": 3, "idle": 0}  # the first of equals


def test_normalised_regret_is_0_for_the_optimum_and_1_for_the_mean(tmp_path: Path) -> None:
    space = {"cell": [0, 3, 9, 17]}
    found = tune(CONSTANT, space, ["nb201-cifar10"], runs=1, budget=1, out=tmp_path / "t")
    results = load_results(tmp_path / "t")
    about = results.benchmark("nb201-cifar10")
    for one in found.tried:
        value = load("nb201-cifar10").query(SOME_CELLS[one.settings["cell"]])
        wanted = (about["optimum"] - value) / (about["optimum"] - about["mean"])
        assert one.score.mean == pytest.approx(wanted)
    assert {data.shape for data in normalised_regret(results).values()} == {(1, 1)}


def test_few_runs_are_said(toy_tables: Path, tmp_path: Path) -> None:
    four = constants(tmp_path / "4", [0, 1], runs=4)
    assert four.alike is None
    assert four.notes[0] == "4 runs: too few for an interval (5 are needed)."
    some = constants(tmp_path / "5", [0, 1])
    assert "fewer than 20 runs" in some.notes[0]
    enough = constants(tmp_path / "20", [0, 1], runs=20)
    assert not [note for note in enough.notes if "runs" in note]
    for found in (four, some, enough):
        assert any("Compare on other benchmarks" in note for note in found.notes)


def test_the_cost_is_booked(tmp_path: Path) -> None:
    space = {"population": [3, 5], "tournament": [2]}
    out = tmp_path / "t"
    found = tune("evolution", space, ["nb201-cifar10", "nb201-cifar100"], runs=2, budget=6, out=out)
    results = load_results(out)
    assert read_tuning(out) == [found.record]
    frame = results.frame()
    record = found.record
    assert record["strategy"] == "evolution"
    assert record["space"] == space
    assert record["benchmarks"] == ["nb201-cifar10", "nb201-cifar100"]
    assert record["runs"] == 2
    assert record["budget"] == {"evaluations": 6, "seconds": None}
    assert record["evaluations"] == frame["evaluations"].sum() == 2 * 2 * 2 * 6
    assert record["seconds"] == pytest.approx(frame["seconds"].sum())
    assert record["cpu_seconds"] == pytest.approx(frame["cpu_seconds"].sum())
    assert record["directory"] == out.as_posix()
    assert record["chosen"] == found.best.label
    assert record["booked_on"] is None


def test_the_last_setting_varies_fastest_and_others_stay() -> None:
    base = strategy_spec("evolution(tournament=4)")
    grid = grid_of(base, {"population": [5, 6]})
    assert [spec.settings["tournament"] for spec in grid] == [4, 4]
    grid = grid_of(base, {"population": [5, 6], "tournament": [1, 2]})
    pairs = [(spec.settings["population"], spec.settings["tournament"]) for spec in grid]
    assert pairs == [(5, 1), (5, 2), (6, 1), (6, 2)]


def test_random_settings_are_different_ones_of_the_grid(toy_tables: Path, tmp_path: Path) -> None:
    options = {"method": "random", "trials": 3, "runs": 1}
    cells = list(range(8))
    found = constants(tmp_path / "one", cells, **options)
    drawn = {one.settings["cell"] for one in found.tried}
    assert len(drawn) == 3
    assert found.record["settings_tried"] == 3
    again = constants(tmp_path / "again", cells, **options)
    assert {one.settings["cell"] for one in again.tried} == drawn
    draws = [
        {
            one.settings["cell"]
            for one in constants(tmp_path / str(s), cells, seed=s, **options).tried
        }
        for s in range(1, 3)
    ]
    assert any(other != drawn for other in draws)


def test_a_setting_whose_runs_found_nothing_cannot_be_best(
    toy_tables: Path, tmp_path: Path
) -> None:
    # Under this budget the quicker cells end in time and the slower ones are discarded.
    seconds = [load("toy-curves").lookup(cell).seconds for cell in SOME_CELLS[:-1]]
    quick, slow = int(np.argmin(seconds)), int(np.argmax(seconds))
    protocol = Protocol(seconds=min(seconds) + 1, overshoot="drop", missing="masked")
    names = ["toy-curves"]
    cells = {"cell": [slow, quick]}
    found = tune(CONSTANT, cells, names, runs=5, out=tmp_path / "t", protocol=protocol)
    assert found.best.settings == {"cell": quick}
    assert not found.tried[1].score.recorded
    assert found.alike == 0
    assert any("1 settings had runs that found nothing" in note for note in found.notes)
    protocol = protocol._replace(seconds=1.0)
    with pytest.raises(InvalidArgumentError, match="Give a larger budget"):
        tune(CONSTANT, cells, names, runs=1, out=tmp_path / "none", protocol=protocol)


# Interruptions.


def test_a_killed_tuning_is_finished_by_resume(tmp_path: Path) -> None:
    def tuned(out: Path, **options: Any) -> Tuning:
        space = {"population": [3, 5, 8]}
        return tune("evolution", space, ["nb201-cifar10"], runs=6, budget=10, out=out, **options)

    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    undisturbed = tuned(tmp_path / "whole")
    out = tmp_path / "t"
    with pytest.raises(KeyboardInterrupt):
        tuned(out, progress=killed)
    assert not (out / TUNING).exists()
    with pytest.raises(ResultsError, match="--resume"):
        tuned(out)
    finished = tuned(out, resume=True)
    whole, here = load_results(tmp_path / "whole"), load_results(out)
    assert here.content_hash() == whole.content_hash()
    assert [one.label for one in finished.tried] == [one.label for one in undisturbed.tried]
    before = (out / TUNING).read_bytes()
    assert tuned(out, resume=True).record == finished.record
    assert (out / TUNING).read_bytes() == before
    with pytest.raises(ResultsError, match="another experiment"):
        tune("evolution", {"population": [3, 5]}, ["nb201-cifar10"], runs=6, budget=10, out=out, resume=True)  # fmt: skip


# What is refused, before anything is run.

REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("random", {"population": [1, 2]}, {}, "'random' takes no settings"),
    ("evolution", {}, {}, "Tuning needs settings and their values"),
    ("evolution", {"populatoin": [1, 2]}, {}, "no setting 'populatoin'. It has: population, tour"),
    ("evolution", {"population": []}, {}, "must be a list of at least one"),
    ("evolution", {"population": "12"}, {}, "must be a list of at least one"),
    ("evolution", {"population": 5}, {}, "must be a list of at least one"),
    ("evolution", {"population": [5]}, {}, "nothing to choose from"),
    ("evolution", {"population": [5, 6, 5]}, {}, "population=5 is given twice"),
    ("evolution", {"population": [5, 5.0]}, {}, "population=5.0 is given twice"),
    ("evolution", {"population": [5, "six"]}, {}, "population to be a whole number"),
    ("evolution", {"population": [5, 0]}, {}, "population to be a whole number"),
    ("evolution", {"population": [5, 6.5]}, {}, "population to be a whole number"),
    ("evolution", {"population": [5, {1}]}, {}, "must be plain"),
    ("evolution", {"population": list(range(1, 1002))}, {}, "1001 settings are more than 1000"),
    ("evolution", {"population": range(1, 1002), "tournament": range(1, 102)}, {}, "too many"),
    ("evolution", {"population": [5, 6]}, {"method": "random"}, "needs trials"),
    ("evolution", {"population": [5, 6]}, {"trials": 2}, "trials belongs to method='random'"),
    ("evolution", {"population": [5, 6]}, {"method": "random", "trials": 3}, "at most 2"),
    ("evolution", {"population": [5, 6]}, {"method": "random", "trials": 1}, "at least 2"),
    ("evolution", {"population": [5, 6]}, {"method": "random", "trials": 1.5}, "at least 2"),
    ("evolution", {"population": [5, 6]}, {"method": "random", "trials": 2, "seed": -1}, "seed"),
    ("evolution", {"population": [5, 6]}, {"runs": 0}, "runs must be a positive integer"),
    ("evolution", {"population": [5, 6]}, {"budget": 0}, "positive integer"),
    ("evolution", {"population": [5, 6]}, {"budget": None}, "budget"),
]  # fmt: skip


@pytest.mark.parametrize(("strategy", "space", "options", "words"), REFUSED)
def test_what_is_refused(
    tmp_path: Path, strategy: str, space: Any, options: dict[str, Any], words: str
) -> None:
    settings: dict[str, Any] = {"runs": 1, "budget": 1, "out": tmp_path / "t", **options}
    with pytest.raises(InvalidArgumentError, match=words):
        tune(strategy, space, ["nb201-cifar10"], **settings)
    assert not (tmp_path / "t").exists()


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    space = {"population": [5, 6]}
    options: dict[str, Any] = {"runs": 1, "budget": 1, "out": tmp_path / "t"}
    with pytest.raises(UnknownNameError, match="nb201-cifar10"):
        tune("evolution", space, ["nb201-cifar11"], **options)
    with pytest.raises(UnknownNameError, match="evolution"):
        tune("evolutoin", space, ["nb201-cifar10"], **options)
    with pytest.raises(UnknownNameError, match="method of tuning"):
        tune("evolution", space, ["nb201-cifar10"], method="bayes", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "t").exists()


def test_a_strategy_of_ones_own_that_fails_on_a_value(toy_tables: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="cell must be a whole number; got 'x'"):
        constants(tmp_path / "t", [1, "x"])  # type: ignore[list-item]
    assert not (tmp_path / "t").exists()


def test_regret_without_a_scale(toy_tables: Path, tmp_path: Path) -> None:
    constants(tmp_path / "t", [0, 1], runs=1)
    path = tmp_path / "t" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    about = manifest["experiment"]["benchmarks"][1]
    about["mean"] = about["optimum"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match="toy-errors are equally good"):
        rank_settings(load_results(tmp_path / "t"), strategy_spec(CONSTANT), ["cell"])


def test_numpy_values_can_be_written(tmp_path: Path) -> None:
    space = {"population": list(np.array([3, 5]))}
    found = tune("evolution", space, ["nb201-cifar10"], runs=1, budget=1, out=tmp_path / "t")
    assert found.record["space"] == {"population": [3, 5]}
    assert read_tuning(tmp_path / "t") == [found.record]


@pytest.mark.parametrize("validation", ["none", "once", "every"])
def test_validation_on_the_clock_is_part_of_the_cost(tmp_path: Path, validation: Any) -> None:
    protocol = Protocol(evaluations=5, missing="masked", validation=validation)
    found = tune("evolution", {"population": [2, 3]}, ["nb201-fashion"], runs=2, protocol=protocol, out=tmp_path / "t")  # fmt: skip
    results = load_results(tmp_path / "t")
    ends = [results.trials("nb201-fashion", label).seconds.reshape(2, 5)[:, -1].sum() for label in results.strategies]  # fmt: skip
    assert found.record["seconds"] == pytest.approx(sum(ends))
