"""Comparisons leave alone the directories that are not theirs to write into."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nasbench_tab.benchmarks.tablefile import write_table
from nasbench_tab.errors import ResultsError
from nasbench_tab.records import Protocol
from nasbench_tab.search.compare import compare

from .comparisons import small
from .conftest import Snapshot
from .toys import curves_table


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"runs": 8}, "its runs: 7, not 8"),
        ({"seed": 1}, "its seed: 0, not 1"),
        ({"budget": 5}, "its protocol, evaluations: 6, not 5"),
        (
            {"budget": None, "protocol": Protocol(evaluations=6, seeds="mean")},
            "its protocol, seeds: .random., not .mean.",
        ),
    ],
)
@pytest.mark.parametrize("resume", [False, True])
def test_another_experiment_is_left_alone(
    tmp_path: Path, snapshot: Snapshot, change: dict[str, Any], words: str, resume: bool
) -> None:
    small(tmp_path, runs=7)
    before = snapshot(tmp_path)
    with pytest.raises(ResultsError, match=f"holds another experiment .*{words}") as caught:
        small(tmp_path, **{"runs": 7, "resume": resume, **change})
    assert "Choose a new directory" in str(caught.value)
    assert snapshot(tmp_path) == before


def test_other_strategies_or_benchmarks_are_another_experiment(
    tmp_path: Path, snapshot: Snapshot
) -> None:
    compare(["nb201-cifar10"], ["random"], runs=2, budget=2, out=tmp_path)
    before = snapshot(tmp_path)
    for names, strategies, words in [
        (["nb201-cifar100"], ["random"], "its benchmarks: nb201-cifar10, not nb201-cifar100"),
        (["nb201-cifar10"], ["evolution"], "its strategies: random, not evolution"),
        (
            ["nb201-cifar10"],
            ["random", "evolution"],
            "its strategies: random, not random, evolution",
        ),
    ]:
        with pytest.raises(ResultsError, match=f"another experiment .{words}"):
            compare(names, strategies, runs=2, budget=2, out=tmp_path, resume=True)
    assert snapshot(tmp_path) == before


def test_an_altered_table_is_another_experiment(toy_tables: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"runs": 2, "out": tmp_path / "out"}
    options["protocol"] = Protocol(evaluations=2, missing="masked")
    compare(["toy-curves"], ["random"], **options)
    table = curves_table("toy-curves")
    table.static["parameters"].values[0] += 1
    write_table(toy_tables / "data" / "toy-curves", table, {})
    with pytest.raises(
        ResultsError, match=r"another experiment .its benchmarks, toy-curves, hash: "
    ):
        compare(["toy-curves"], ["random"], resume=True, **options)


@pytest.mark.parametrize("finished", [False, True])
def test_the_same_experiment_needs_resume(
    tmp_path: Path, snapshot: Snapshot, finished: bool
) -> None:
    results = small(tmp_path)
    if not finished:
        results.shard_paths[0].unlink()
    before = snapshot(tmp_path)
    with pytest.raises(ResultsError, match=r"holds this experiment already.*resume=True"):
        small(tmp_path)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "manifest.toml", "runs/old.npz"])
def test_a_directory_with_other_things_is_left_alone(
    tmp_path: Path, snapshot: Snapshot, name: str, resume: bool
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine", encoding="utf-8")
    before = snapshot(tmp_path)
    with pytest.raises(ResultsError, match=r"holds something that is no comparison.*new directory"):
        small(tmp_path, resume=resume)
    assert snapshot(tmp_path) == before


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(ResultsError, match="holds something that is no comparison"):
        small(out)
    assert out.read_text(encoding="utf-8") == "mine"
    with pytest.raises(ResultsError, match="Could not write"):
        small(out / "below")


def test_an_empty_directory_is_as_good_as_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert small(tmp_path / "out", runs=2).directory == tmp_path / "out"


@pytest.mark.parametrize("package", ["nasbench_tab", "numpy"])
def test_runs_of_two_versions_are_not_mixed(tmp_path: Path, package: str) -> None:
    small(tmp_path / "o", runs=2)
    path = tmp_path / "o" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["versions"][package] = "0.0.1"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ResultsError, match=rf"begun with {package} 0\.0\.1; this is"):
        small(tmp_path / "o", runs=2, resume=True)


def test_a_relative_directory_is_meant_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = []
    for name in ("one", "other"):  # worker processes are used again, and stand where they began
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        results = compare(["nb201-cifar10"], ["random"], runs=2, budget=3, out="out", jobs=2)
        hashes.append(results.content_hash())
        assert (tmp_path / name / "out" / "manifest.json").is_file()
        assert len(list((tmp_path / name / "out").rglob("*.npz"))) == 1
    assert hashes[0] == hashes[1]
