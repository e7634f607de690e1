"""Feedback: what joins, what is refused, and that 'after' is said of networks while they were held out."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from commandline import Command, succeeded

import nasbench_tab as nbt
from nasbench_tab.errors import InvalidArgumentError, ResultsError, SurrogateError
from nasbench_tab.fitting.make import make_surrogate
from nasbench_tab.predictors.parts import runs_from
from nasbench_tab.predictors.store import read_surrogate, write_surrogate
from nasbench_tab.train.tasks import TASKS
from nasbench_tab.verify.bias import bias
from nasbench_tab.verify.learn import Learned, _behind, learn
from nasbench_tab.verify.make import make_plan
from nasbench_tab.verify.plan import read_plan, write_plan
from nasbench_tab.verify.record import learned_lines, write_learned

from .tiny import POOR, SPACE, TASK, log_runs, make_comparison, off_by


def round_of(root: Path, name: str, new: str) -> Learned:
    """Search on a surrogate, verify by made-up trainings, learn."""
    out = make_comparison(root / name, name, strategies=["random"])
    write_plan(out, make_plan(out, top=6, seeds=2, margin=1.0))
    log_runs(out, off_by(3.0, 0.5))
    return learn(out, root / "surrogates" / new, jobs=1)


@pytest.fixture(scope="module")
def learned(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Learned]:
    """A user's folder, and the first round there: from ``guess`` to ``first``."""
    root = tmp_path_factory.mktemp("rounds")
    shutil.copytree(searched / "surrogates", root / "surrogates")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_TAB_HOME", str(root))
        patch.setitem(TASKS, "tiny", TASK)
        return root, round_of(root, "guess", "first")


@pytest.fixture
def root(learned: tuple[Path, Learned], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(learned[0]))
    return learned[0]


@pytest.fixture
def first(learned: tuple[Path, Learned]) -> Learned:
    return learned[1]


def test_fresh_trainings_join_and_known_ones_are_not_taken_twice(
    root: Path, first: Learned
) -> None:
    plan = read_plan(root / "guess")
    old, new = (
        runs_from(read_surrogate(root / "surrogates" / name), SPACE) for name in ("guess", "first")
    )
    asked = {
        (SPACE.canonical(claim.cell), seed)
        for claim in plan.claims
        for seed in claim.seeds
        if claim.arm != "known"
    }
    rows = list(zip(map(tuple, new.cells.tolist()), new.seeds.tolist(), new.origins, strict=True))
    fresh = {(cell, seed) for cell, seed, origin in rows if origin == "verification"}
    assert fresh == asked
    assert first.joined == len(asked)
    assert first.present == plan.trainings - len(asked) > 0
    assert first.trainings == len(rows) == len(old.cells) + len(asked)
    assert [row for row in rows if row[2] != "verification"] == list(
        zip(map(tuple, old.cells.tolist()), old.seeds.tolist(), old.origins, strict=True)
    )
    values = dict(zip([row[:2] for row in rows], new.curves["valid_accuracy"][:, -1], strict=True))
    for claim in plan.claims:
        for seed in () if claim.arm == "known" else claim.seeds:
            made = off_by(3.0, 0.5)(claim, seed)
            if (
                claim.arm == "random"
            ):  # else another claim of the network may have been logged first
                assert values[SPACE.canonical(claim.cell), seed] == pytest.approx(made)
    assert nbt.load("first").fingerprint == first.fingerprint
    assert (
        nbt.load("first").about["settings"]
        == read_surrogate(root / "surrogates" / "guess").manifest["settings"]
    )


def test_a_surrogate_that_passes_messages_is_fitted_so_again(root: Path, tmp_path: Path) -> None:
    stored = read_surrogate(root / "surrogates" / "guess")
    assert not _behind(nbt.load("guess"), root / "surrogates" / "guess")[1]["message_passing"]
    settings = {**stored.manifest["settings"], "message_passing": True}
    manifest = {**stored.manifest, "settings": settings}
    write_surrogate(tmp_path / "passing", manifest, stored.arrays, stored.files)
    _, how = _behind(nbt.load("guess"), tmp_path / "passing")
    assert how["message_passing"] is True
    assert how["seed"] == settings["seed"]


def test_after_is_said_of_networks_that_were_held_out(root: Path, first: Learned) -> None:
    """Against a second way: held-out means of the folder, and the bias of the record."""
    stored = read_surrogate(root / "surrogates" / "first")
    runs, held_out = runs_from(stored, SPACE), stored.arrays["held_out/valid_accuracy"]
    fitted = nbt.load("first")
    old = nbt.load("guess")
    for fared, lane in zip(first.lanes, bias(root / "guess").lanes, strict=True):
        assert (fared.arm, fared.strategy) == (lane.arm, lane.strategy)
        assert fared.claimed.mean == lane.bias.mean
        weights, after, before, inside, real = [], [], [], [], []
        for cell in lane.cells:
            network = SPACE.canonical(SPACE.parse(cell.text))
            own = (runs.cells == np.array(network)).all(axis=1)
            weights.append(cell.runs)
            after.append(float(held_out[own, -1].mean()))
            before.append(float(old.query(network)))
            inside.append(float(fitted.query(network)))
            real.append(float(np.mean(cell.fresh)))
        drift = lane.bias.drift
        off = {
            key: float(np.average(np.subtract(values, real), weights=weights)) + drift
            for key, values in (("after", after), ("before", before), ("inside", inside))
        }
        assert fared.after.mean == pytest.approx(off["after"], abs=1e-3)
        assert fared.before.mean == pytest.approx(off["before"], abs=1e-3)
        assert fared.change.mean == pytest.approx(off["after"] - off["before"], abs=1e-3)
        assert fared.change.low <= fared.change.mean <= fared.change.high
        if len(lane.cells) > 3:  # what the fit says with the trainings in it is another number
            assert fared.after.mean != pytest.approx(off["inside"], abs=1e-3)


def test_the_manifest_remembers_the_round(root: Path, first: Learned) -> None:
    assert nbt.load("first").about["about"]["rounds"] == first.rounds
    assert first.rounds["1"]["after"] == first.lanes[0].after.mean
    assert first.rounds["1"]["joined"] == first.joined


@pytest.mark.slow
def test_rounds_are_remembered(root: Path, first: Learned) -> None:
    second = round_of(root, "first", "second")
    assert (first.round, second.round) == (1, 2)
    assert second.rounds["1"] == first.rounds["1"]
    assert nbt.load("second").about["about"]["rounds"] == second.rounds
    assert second.rounds["2"]["claimed"] == second.lanes[0].claimed.mean
    lines = learned_lines(second)
    assert lines[0].startswith("Round 2: second, fitted on ")
    assert [line.split(":")[0] for line in lines if line.startswith("  round")] == [
        "  round 1",
        "  round 2",
    ]
    path = write_learned(root / "first", second)
    record = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert record["lanes"][0]["after"]["mean"] == second.lanes[0].after.mean


def test_a_table_becomes_a_surrogate(
    searched: Path, tmp_path: Path, run_at: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = partial(make_surrogate, settings=POOR)
    monkeypatch.setattr("nasbench_tab.verify.learn.make_surrogate", quick)
    log_runs(searched / "table", off_by(1.0))
    text = succeeded(
        run_at("bias", str(searched / "table"), "--learn", str(tmp_path / "new"), "--jobs", "1")
    )
    assert "Round 1: new, fitted on " in text
    assert "mean after, held out" in text
    stored = read_surrogate(tmp_path / "new")
    assert stored.manifest["origins"]["verification"] > 0
    assert any(line.startswith("table mine ") for line in stored.manifest["about"]["data"])
    assert (searched / "table" / "verification" / "learned.json").is_file()


@pytest.fixture
def run_at(command: Command, searched: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(searched))
    return command


# --- What is refused ------------------------------------------------------------------------------------


def test_a_surrogate_without_its_runs(root: Path, tmp_path: Path) -> None:
    folder = root / "surrogates" / "guess"
    stored = read_surrogate(folder)
    arrays = {k: v for k, v in stored.arrays.items() if not k.startswith(("runs/", "held_out/"))}
    manifest = {**stored.manifest, "name": "bare"}
    write_surrogate(root / "surrogates" / "bare", manifest, arrays, stored.files)
    bare = make_comparison(tmp_path / "bare", "bare", strategies=["random"])
    write_plan(bare, make_plan(bare, top=2, margin=1.0))
    log_runs(bare, off_by(1.0))
    with pytest.raises(SurrogateError, match="does not carry the runs"):
        learn(bare, tmp_path / "new", jobs=1)
    assert not (tmp_path / "new").exists()


def test_into_the_surrogate_that_was_searched(root: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="is the surrogate that was searched"):
        learn(root / "guess", root / "surrogates" / "guess", jobs=1)


def test_into_a_folder_of_something_else(root: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ResultsError, match="would be lost"):
        learn(root / "guess", tmp_path, jobs=1)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_data_of_another_recipe(published: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(published, tmp_path / "x"))
    write_plan(out, make_plan(out, top=1, seeds=1))
    with pytest.raises(InvalidArgumentError, match="a mixture of two recipes"):
        learn(out, tmp_path / "new", jobs=1)


def test_nothing_trained_and_no_plan(root: Path, tmp_path: Path) -> None:
    out = make_comparison(tmp_path / "x", "guess", strategies=["random"])
    with pytest.raises(ResultsError, match="no plan"):
        learn(out, tmp_path / "new", jobs=1)
    write_plan(out, make_plan(out, top=1, seeds=1, margin=1.0))
    with pytest.raises(ResultsError, match="nothing to learn"):
        learn(out, tmp_path / "new", jobs=1)
