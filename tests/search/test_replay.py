"""Replaying a directory: identical, or what differs first."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import InvalidArgumentError, ResultsError
from nasbench_tab.records import MEAN_SEED, Protocol
from nasbench_tab.search import replay as module
from nasbench_tab.search.compare import BLOCK, compare
from nasbench_tab.search.replay import Difference, foreseen, replay
from nasbench_tab.search.results import Results, load_results, slug
from nasbench_tab.strategies.base import StrategySpec

from .conftest import Snapshot
from .toys import SOME_CELLS, scripted

NAMES = ["toy-curves", "toy-errors"]
STRATEGIES = ["random", "evolution(population=3)"]


@pytest.fixture
def made(tmp_path: Path, toy_tables: Path) -> Results:
    return compare(
        NAMES,
        STRATEGIES,
        runs=4,
        protocol=Protocol(evaluations=6, missing="masked"),
        out=tmp_path / "made",
        seed=3,
    )


def change_manifest(results: Results, change: Callable[[dict[str, Any]], object]) -> None:
    path = results.directory / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def change_shard(
    results: Results,
    label: str,
    change: Callable[[dict[str, Any]], object],
    name: str = "toy-errors",
) -> None:
    index = results.benchmarks.index(name) * len(results.strategies)
    path = results.shard_paths[index + results.strategies.index(label)]
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)


def test_the_same_again_and_nothing_is_touched(
    made: Results, tmp_path: Path, snapshot: Snapshot
) -> None:
    before, seen = snapshot(made.directory), []
    found = replay(
        made.directory, tmp_path / "again", progress=lambda done, total: seen.append((done, total))
    )
    assert (found.identical, found.same_runs, found.differences) == (True, True, ())
    assert found.hashes == (made.content_hash(), load_results(tmp_path / "again").content_hash())
    assert (found.runs, found.of, found.directory) == (4, 4, tmp_path / "again")
    assert seen[-1] == (16, 16)
    assert snapshot(made.directory) == before


def test_without_a_place_nothing_is_left(
    made: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert replay(made.directory).identical
    assert not list((tmp_path / "temporary").iterdir())


def test_the_first_runs_only(tmp_path: Path, toy_tables: Path) -> None:
    made = compare(
        ["toy-curves"],
        ["random"],
        runs=BLOCK + 3,
        protocol=Protocol(evaluations=3, missing="masked"),
        out=tmp_path / "made",
    )
    for runs in (1, BLOCK, BLOCK + 2):
        found = replay(made.directory, runs=runs)
        assert (found.identical, found.runs, found.of) == (True, runs, BLOCK + 3)
        assert found.hashes[0] != found.hashes[1]


@pytest.mark.parametrize("runs", [0, -1, 5, True, 1.0])
def test_a_number_of_runs_that_cannot_be(made: Results, runs: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="runs must be 1 to 4"):
        replay(made.directory, runs=runs)


# What differs in the runs is named: run, evaluation, field, both values.


def second(arrays: dict[str, Any], field: str, value: Any) -> object:
    """Change the field at evaluation 3 of run 2; each run has 6."""
    arrays[field][2 * 6 + 2] = value
    return arrays


@pytest.mark.parametrize(
    ("change", "where", "before"),
    [
        (lambda a: second(a, "values", 99.5), "run 2, evaluation 3, values", "99.5"),
        (lambda a: second(a, "values", np.nan), "run 2, evaluation 3, values", "NaN"),
        (lambda a: second(a, "seeds", MEAN_SEED), "run 2, evaluation 3, seeds", str(MEAN_SEED)),
        (lambda a: second(a, "epochs", 77), "run 2, evaluation 3, epochs", "77"),
        (lambda a: second(a, "seconds", 1e9), "run 2, evaluation 3, seconds", "1000000000.0"),
        (
            lambda a: second(a, "architectures", [0] * 6),
            "run 2, evaluation 3, architectures",
            "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        ),
        (lambda a: a["free"].__setitem__(1, 8), "run 1, free", "8"),
        (lambda a: a["stop"].__setitem__(3, "stall"), "run 3, stop", "stall"),
        (lambda a: a["runs"].__setitem__(3, 9), "run 9, runs", "9"),
        (
            lambda a: (second(a, "values", 1.0), a["values"].__setitem__(8, 2.0)),
            "run 1, evaluation 3, values",
            "2.0",
        ),
        (
            lambda a: (second(a, "values", 1.0), second(a, "epochs", 1)),
            "run 2, evaluation 3, epochs",
            "1",
        ),
    ],
)
def test_the_first_difference_in_the_runs(
    made: Results, change: Callable[[dict[str, Any]], object], where: str, before: str
) -> None:
    change_shard(made, "evolution(population=3)", change)
    found = replay(made.directory)
    assert (found.identical, found.same_runs) == (False, False)
    assert len(found.differences) == 1
    assert found.differences[0][:3] == (
        "run",
        f"toy-errors, evolution(population=3), {where}",
        before,
    )
    assert found.differences[0].now != before


def test_a_run_that_is_shorter(made: Results) -> None:
    def shorten(arrays: dict[str, Any]) -> None:
        arrays["lengths"][0] = 5
        for key, array in arrays.items():
            if len(array) == 24:
                arrays[key] = np.delete(array, 5, axis=0)

    change_shard(made, "random", shorten, "toy-curves")
    found = replay(made.directory)
    assert found.differences == (Difference("run", "toy-curves, random, run 0, lengths", "5", "6"),)


def test_a_final_value_and_one_that_is_not_there(made: Results) -> None:
    def check(change: Callable[[dict[str, Any]], object], where: str) -> None:
        change_shard(made, "random", change)
        assert replay(made.directory).differences[0].where == f"toy-errors, random, run 0{where}"

    with np.load(made.shard_paths[0]) as file:
        finals = sorted(name for name in file.files if name.startswith("final:"))
    key = finals[-1]
    check(lambda a: a[key].__setitem__(1, -1.0), f", evaluation 2, {key}")
    check(lambda a: a.update({"final:new": a[key]}), ", final:new")


def test_cpu_times_do_not_count(made: Results) -> None:
    change_shard(made, "random", lambda arrays: arrays["cpu_seconds"].__iadd__(1.0))
    assert replay(made.directory).identical


def test_a_difference_after_the_repeated_runs_does_not_count(made: Results) -> None:
    change_shard(made, "random", lambda arrays: second(arrays, "values", 1.0))
    assert replay(made.directory, runs=2).identical
    assert not replay(made.directory, runs=3).identical


# What is known before anything runs.


def test_other_versions_and_another_machine_are_named_and_decide_nothing(made: Results) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["versions"] |= {"numpy": "1.0", "python": "2.7", "gone": "4", "nasbench_tab": "0"}
        manifest["machine"]["processor"] = "abacus"

    change_manifest(made, change)
    found = replay(made.directory)
    assert (found.identical, found.same_runs) == (True, True)
    named = {(d.kind, d.where): d.before for d in found.differences}
    assert named == {
        ("version", "numpy"): "1.0",
        ("version", "python"): "2.7",
        ("version", "gone"): "4",
        ("version", "nasbench_tab"): "0",
        ("machine", "processor"): "abacus",
    }
    assert next(d.now for d in found.differences if d.where == "gone") == "not there"


@pytest.mark.parametrize(
    ("part", "entry", "field", "value", "kind", "where"),
    [
        ("benchmarks", 1, "hash", "sha256:0", "table", "toy-errors, hash"),
        ("strategies", 0, "source_sha256", "0", "strategy", "random, source_sha256"),
        ("strategies", 1, "factory", "a:b", "strategy", "evolution(population=3), factory"),
        ("strategies", 1, "settings", {}, "strategy", "evolution(population=3), settings"),
    ],
)
def test_what_cannot_be_the_same_is_known_before(
    made: Results, part: str, entry: int, field: str, value: Any, kind: str, where: str
) -> None:
    change_manifest(
        made, lambda manifest: manifest["experiment"][part][entry].update({field: value})
    )
    known = foreseen(load_results(made.directory))
    assert [(d.kind, d.where) for d in known] == [(kind, where)]
    found = replay(made.directory)
    assert (found.identical, found.same_runs) == (False, True)
    assert found.differences[0] == known[0]


def test_a_switch_that_the_manifest_does_not_know(made: Results) -> None:
    change_manifest(made, lambda manifest: manifest["experiment"]["protocol"].pop("patience"))
    found = replay(made.directory)
    assert found.same_runs
    assert found.differences == (
        Difference("experiment", "protocol, patience", "not recorded", "1000"),
    )


def test_processor_time_on_the_clock_is_foreseen(tmp_path: Path, toy_tables: Path) -> None:
    protocol = Protocol(evaluations=3, missing="masked", overhead="measured")
    made = compare(["toy-curves"], ["random"], runs=1, protocol=protocol, out=tmp_path / "made")
    assert [d.kind for d in foreseen(made)] == ["protocol"]


# What cannot be repeated is refused before anything runs.


def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(*arguments: object, **options: object) -> None:
        raise AssertionError("something was run")

    monkeypatch.setattr(module, "compare", compare)


def test_a_strategy_without_a_name(
    tmp_path: Path, toy_tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compare(
        ["toy-curves"],
        [scripted(SOME_CELLS[:1], name="mine")],
        runs=1,
        protocol=Protocol(evaluations=1, missing="masked"),
        out=tmp_path / "made",
    )
    no_run(monkeypatch)
    with pytest.raises(ResultsError, match=r"strategy 'mine' .* not found by its name") as raised:
        replay(made.directory)
    assert "package.module:Name" in str(raised.value)


def test_a_label_that_means_something_else_now(
    made: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(manifest: dict[str, Any]) -> None:
        manifest["experiment"]["strategies"][1]["label"] = "evolution(population=10)"

    for name in NAMES:
        folder = made.directory / "runs" / name
        (folder / slug(STRATEGIES[1])).rename(folder / slug("evolution(population=10)"))
    change_manifest(made, rename)
    no_run(monkeypatch)
    with pytest.raises(ResultsError, match="'evolution' by this release"):
        replay(made.directory)


def test_a_table_that_is_not_here(
    made: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "elsewhere"))
    no_run(monkeypatch)
    with pytest.raises(ResultsError, match="the table toy-curves is not here"):
        replay(made.directory)


def test_a_damaged_directory(made: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    no_run(monkeypatch)
    made.shard_paths[-1].write_bytes(b"PK")
    with pytest.raises(ResultsError, match="missing or damaged"):
        replay(made.directory)
    made.shard_paths[-1].unlink()
    with pytest.raises(ResultsError, match="unfinished"):
        replay(made.directory)


def test_a_place_that_is_taken(made: Results) -> None:
    with pytest.raises(ResultsError, match="holds this experiment already"):
        replay(made.directory, made.directory)


def test_a_preset_that_has_changed_is_named(
    tmp_path: Path, toy_tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"runs": 1, "preset": "default", "nearest": True}
    made = compare(["toy-curves"], ["random"], out=tmp_path / "made", **options)
    assert replay(made.directory).identical
    change_manifest(made, lambda manifest: manifest["experiment"]["preset"].update(name="old"))
    found = replay(made.directory)
    assert (found.identical, found.same_runs) == (False, True)
    assert found.differences[0][:3] == ("experiment", "preset, name", "old")


def test_own_strategies_come_by_their_names(
    tmp_path: Path, toy_tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    Path("replayed_search.py").write_text(
        "def propose(problem, rng, history):\n    return problem.space.sample(rng, 1)[0]\n"
    )
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    made = compare(
        ["toy-curves"],
        ["replayed_search:propose"],
        runs=2,
        protocol=Protocol(evaluations=3, missing="masked"),
        out=tmp_path / "made",
    )
    assert replay(made.directory).identical


def test_a_spec_of_the_callers_own_with_a_known_label(tmp_path: Path, toy_tables: Path) -> None:
    spec = scripted(SOME_CELLS[:1], name="random")
    assert isinstance(spec, StrategySpec)
    made = compare(
        ["toy-curves"],
        [spec],
        runs=1,
        protocol=Protocol(evaluations=1, missing="masked"),
        out=tmp_path / "made",
    )
    found = replay(made.directory)
    assert not found.identical
    assert found.differences[0][:2] == ("strategy", "random, factory")
