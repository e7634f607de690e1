"""A results directory: what it refuses, and its content hash."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import ResultsError, UnknownNameError
from nasbench_tab.records import Metric, Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.compare import compare
from nasbench_tab.search.results import Results, Trials, load_results, read_shard, shard_path, slug

# Reading a directory.


@pytest.fixture
def written(tmp_path: Path) -> Results:
    return compare(
        ["nb201-cifar10"], ["random", "evolution"], runs=2, budget=3, out=tmp_path / "out"
    )


def test_what_was_written_is_read_back(written: Results) -> None:
    for directory in (written.directory, str(written.directory)):
        read = load_results(directory)
        assert read.content_hash() == written.content_hash()
        assert read.manifest == written.manifest
        assert (read.benchmarks, read.strategies) == (["nb201-cifar10"], ["random", "evolution"])
        assert read.protocol == Protocol(evaluations=3)
    objective = load("nb201-cifar10").objective
    assert written.objective("nb201-cifar10") == objective
    assert isinstance(written.objective("nb201-cifar10"), Metric)
    assert written.strategy("evolution")["settings"] == {
        "population": 10,
        "tournament": 3,
        "mutation": "uniform",
    }
    assert written.benchmark("nb201-cifar10")["space"] == "nasbench201"


def test_a_moved_directory_is_read(written: Results, tmp_path: Path) -> None:
    expected = written.content_hash()
    written.directory.rename(tmp_path / "elsewhere")
    assert load_results(tmp_path / "elsewhere").content_hash() == expected


def test_a_directory_without_manifest(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(
            ResultsError, match=r"holds no comparison \(no manifest\.json\).*nasbench-tab compare"
        ):
            load_results(directory)


def test_a_file_is_no_results_directory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ResultsError, match=r"manifest\.json"):
        load_results(path)


@pytest.mark.parametrize("missing", [1, 2])
def test_an_unfinished_directory(written: Results, missing: int) -> None:
    for path in written.shard_paths[:missing]:
        path.unlink()
    with pytest.raises(
        ResultsError, match=rf"unfinished: {missing} of 2 blocks of runs are missing.*--resume"
    ):
        load_results(written.directory)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"format": "nasb', b"\xff\xfe\x00", b"[1, 2]", b"null", b'"text"', b"7"],
    ids=repr,
)
def test_a_damaged_manifest(written: Results, content: bytes) -> None:
    path = written.directory / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=r"manifest\.json cannot be read"):
        load_results(written.directory)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, r"format 'nasbench_tab results' version 2; .* up to version 1\. Upgrade"),
        ({"version": 99.5}, r"version 99\.5"),
        ({"format": "nasbench_tab table"}, r"format 'nasbench_tab table' version 1"),
        ({"format": None}, r"format None version 1"),
    ],
    ids=str,
)
def test_a_manifest_of_another_kind_or_from_a_newer_version(
    written: Results, change: dict[str, Any], words: str
) -> None:
    rewrite(written, lambda manifest: {**manifest, **change})
    with pytest.raises(ResultsError, match=words):
        load_results(written.directory)


@pytest.mark.parametrize("version", ["1", None, [1]], ids=repr)
def test_a_version_that_is_no_number(written: Results, version: Any) -> None:
    rewrite(written, lambda manifest: {**manifest, "version": version})
    with pytest.raises(ResultsError, match=r"manifest\.json"):
        load_results(written.directory)


@pytest.mark.parametrize("key", ["benchmarks", "strategies", "protocol", "runs", "block", None])
def test_a_manifest_with_something_missing(written: Results, key: str | None) -> None:
    def without(manifest: dict[str, Any]) -> dict[str, Any]:
        del (manifest if key is None else manifest["experiment"])[key or "experiment"]
        return manifest

    rewrite(written, without)
    with pytest.raises(ResultsError, match=r"manifest\.json"):
        load_results(written.directory)


_DAMAGED: list[tuple[str, list[Any]]] = [
    ("versions", [..., None, 5, {"numpy": [1]}]),
    ("machine", [..., None, "x", {"cores": [2]}]),
    ("experiment", [None, [], "x"]),
    ("experiment.seed", [..., None, "0", True]),
    ("experiment.runs", [0, -1, "2", None, True]),
    ("experiment.block", [0, None, "50"]),
    ("experiment.preset", [None, "nas-bench-101", {"name": "a"}, {"name": "a", "changes": "b"}]),
    ("experiment.benchmarks", [[], {}, "x", [None], ["nb201-cifar10"]]),
    ("experiment.benchmarks.0.hash", [..., None, 5]),
    ("experiment.benchmarks.0.optimum", [..., None, "91", float("inf"), 10**400, True]),
    ("experiment.benchmarks.0.mean", [..., None, float("nan")]),
    ("experiment.benchmarks.0.objective", [..., None, {}, "valid_accuracy"]),
    ("experiment.benchmarks.0.objective.direction", [..., "up", None, ["max"]]),
    ("experiment.benchmarks.0.epochs", [..., None, 200, ["200"]]),
    ("experiment.benchmarks.0.test_metrics", [..., None, {"a": 1}]),
    ("experiment.benchmarks.0.reported_hashes", [None, {"a": 1}]),
    ("experiment.strategies", [[], None]),
    ("experiment.strategies.0.factory", [..., None, 5]),
    ("experiment.strategies.0.source_sha256", [..., None]),
    ("experiment.strategies.0.settings", [..., None, []]),
    ("experiment.protocol.evaluations", ["20", 1.5, True]),
    ("experiment.protocol.seeds", [None, [1]]),
    ("experiment.protocol.repeats", ["never", None, 1]),
    ("experiment.protocol.limits", [..., None, [["parameters", "1"]], [["parameters"]], [1]]),
    ("experiment.protocol.report", ["nb201-cifar100", [1]]),
]


@pytest.mark.parametrize(("path", "values"), _DAMAGED, ids=[path for path, _ in _DAMAGED])
def test_a_manifest_in_which_something_is_of_another_kind(
    written: Results, path: str, values: list[Any]
) -> None:
    *outer, key = [int(part) if part.isdigit() else part for part in path.split(".")]
    for value in values:
        manifest = json.loads(json.dumps(written.manifest))
        part = manifest
        for step in outer:
            part = part[step]
        if value is ...:
            del part[key]
        else:
            part[key] = value
        (written.directory / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(ResultsError, match="does not describe a comparison") as caught:
            load_results(written.directory)
        assert str(key) in str(caught.value)


def test_a_manifest_of_an_older_release_is_read(written: Results) -> None:
    def older(manifest: dict[str, Any]) -> dict[str, Any]:
        experiment = manifest["experiment"]
        for field in ("training", "final_training", "final_epoch", "report", "incumbent"):
            del experiment["protocol"][field]
        del experiment["benchmarks"][0]["reported_hashes"]
        assert "preset" not in experiment
        return manifest

    rewrite(written, older)
    assert load_results(written.directory).protocol == Protocol(evaluations=3)


def test_a_protocol_with_a_switch_that_this_release_does_not_know(written: Results) -> None:
    def more(manifest: dict[str, Any]) -> dict[str, Any]:
        manifest["experiment"]["protocol"]["gravity"] = "low"
        return manifest

    rewrite(written, more)
    with pytest.raises(ResultsError, match=r"manifest\.json"):
        load_results(written.directory)


def rewrite(results: Results, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path = results.directory / "manifest.json"
    manifest = change(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(manifest), encoding="utf-8")


def test_names_that_are_not_part_of_the_comparison(written: Results) -> None:
    with pytest.raises(UnknownNameError, match=r"benchmark of these results 'nb201-cifar1'"):
        written.benchmark("nb201-cifar1")
    with pytest.raises(UnknownNameError, match=r"strategy of these results 'evolutoin'.*evolution"):
        written.strategy("evolutoin")
    with pytest.raises(UnknownNameError, match="benchmark of these results"):
        written.trials("nb201", "random")
    with pytest.raises(UnknownNameError, match="strategy of these results"):
        written.trials("nb201-cifar10", "reinforce")
    with pytest.raises(UnknownNameError, match="benchmark of these results"):
        written.objective("nb201")


# Blocks of runs.


def same(one: Trials, other: Trials) -> bool:
    def content(trials: Trials) -> list[Any]:
        arrays = {**trials._asdict(), **trials.final, "final": sorted(trials.final)}
        return [
            (name, value.dtype.str, value.shape, value.tobytes())
            if isinstance(value, np.ndarray)
            else (name, value)
            for name, value in sorted(arrays.items())
        ]

    return content(one) == content(other)


def test_a_missing_block(written: Results) -> None:
    with pytest.raises(ResultsError, match=r"missing or damaged.*--resume"):
        read_shard(written.directory / "no.npz")


def test_a_block_damaged_in_any_byte_is_refused_or_unchanged(written: Results) -> None:
    path = written.shard_paths[0]
    whole, expected = path.read_bytes(), read_shard(path)
    accepted = 0
    places = [*range(0, len(whole) - 900, 4), *range(len(whole) - 900, len(whole))]
    for place in places:  # every byte of the archive's directory, which stands at the end
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x80]) + whole[place + 1 :])
        try:
            trials = read_shard(path)
        except ResultsError:
            continue
        assert same(trials, expected), f"byte {place} was altered and nobody noticed"
        accepted += 1
    assert accepted < len(places) / 2  # times and padding between the arrays


def test_a_block_cut_anywhere_is_refused(written: Results) -> None:
    path = written.shard_paths[0]
    whole = path.read_bytes()
    for length in range(0, len(whole), 13):
        path.write_bytes(whole[:length])
        with pytest.raises(ResultsError, match="missing or damaged"):
            read_shard(path)


def altered(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def alter(path: Path) -> None:
        with np.load(path) as file:
            arrays = dict(file)
        change(arrays)
        np.savez(path, **arrays)

    return alter


@pytest.mark.parametrize(
    "alter",
    [
        altered(lambda arrays: arrays.pop("seeds")),
        altered(lambda arrays: arrays.update(more=np.zeros(3))),
        altered(lambda arrays: arrays.pop("final:valid_accuracy")),
        altered(lambda arrays: arrays.update(values=arrays["values"][:-1])),
        altered(lambda arrays: arrays.update(lengths=arrays["lengths"] + 1)),
        altered(lambda arrays: arrays.update(runs=arrays["runs"][:1])),
        lambda path: np.save(path.open("wb"), np.zeros(3)),
    ],
    ids=["lacks seeds", "holds more", "lacks final", "short", "long", "fewer runs", "one array"],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_block_that_does_not_hold_together(
    written: Results, alter: Callable[[Path], None]
) -> None:
    alter(written.shard_paths[0])
    with pytest.raises(ResultsError, match="missing or damaged"):
        read_shard(written.shard_paths[0])


class Marked:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("unpickled"),))


def test_a_block_is_never_unpickled(
    written: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written.shard_paths[0]
    altered(lambda arrays: arrays.update(stop=np.array([Marked()], object)))(path)
    with pytest.raises(ResultsError, match="missing or damaged"):
        read_shard(path)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("random", "random"),
        ("local-search", "local-search"),
        ("v1.2_x=3", "v1.2_x=3"),
        ("evolution(population=5)", r"evolution_population=5_-[0-9a-f]{8}"),
        ("a b", r"a_b-[0-9a-f]{8}"),
        ("../up", r"\.\._up-[0-9a-f]{8}"),
        (".hidden", r"\.hidden-[0-9a-f]{8}"),
        ("x" * 200 + "/", r"x{60}-[0-9a-f]{8}"),
        ("réseau", r"r_seau-[0-9a-f]{8}"),
    ],
)
def test_the_folder_of_a_strategy_is_a_safe_file_name(label: str, folder: str) -> None:
    assert re.fullmatch(folder, slug(label))


@pytest.mark.parametrize("label", [".", "..", "x" * 300])
def test_no_label_leaves_its_place_or_is_too_long_for_a_file_name(
    label: str, tmp_path: Path
) -> None:
    path = shard_path(tmp_path, "bench", label, 0, 9)
    assert path.resolve().parent.parent == (tmp_path / "runs" / "bench").resolve()
    path.parent.mkdir(parents=True)
    path.touch()


def test_different_labels_have_different_folders() -> None:
    labels = ["a b", "a_b", "a(b)", "a,b", "a__b", "evolution(population=5)", "x" * 70 + "/", "x" * 70 + "!"]  # fmt: skip
    assert len(set(map(slug, labels))) == len(labels)


# The content hash.


def test_the_content_hash_covers_everything_but_cpu_times(written: Results) -> None:
    path = written.shard_paths[1]
    original = load_results(written.directory).content_hash()
    altered(lambda arrays: arrays.update(cpu_seconds=arrays["cpu_seconds"] + 1))(path)
    assert load_results(written.directory).content_hash() == original
    whole = path.read_bytes()
    with np.load(path) as file:
        names = set(file.files) - {"cpu_seconds"}
    assert len(names) == 10
    seen = {original}
    for name in sorted(names):
        path.write_bytes(whole)

        def change(arrays: dict[str, Any], name: str = name) -> None:
            array = arrays[name].copy()
            array[-1] = "exhausted" if name == "stop" else array[-1] - (name != "lengths")
            arrays[name] = array[::-1] if name == "lengths" else array

        if name == "lengths":
            continue  # equal in both runs: any change is damage, not another content
        altered(change)(path)
        seen.add(load_results(written.directory).content_hash())
    assert len(seen) == len(names)


def test_the_content_hash_covers_the_experiment(written: Results) -> None:
    def other(manifest: dict[str, Any]) -> dict[str, Any]:
        manifest["experiment"]["seed"] = 1
        return manifest

    def machine(manifest: dict[str, Any]) -> dict[str, Any]:
        manifest["machine"], manifest["versions"] = {}, {}
        return manifest

    expected = written.content_hash()
    rewrite(written, machine)
    assert load_results(written.directory).content_hash() == expected
    rewrite(written, other)
    assert load_results(written.directory).content_hash() != expected
