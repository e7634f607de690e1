"""A results directory: what it refuses, and its frame against a direct computation."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nasbench_tab.errors import ResultsError, UnknownNameError
from nasbench_tab.records import Metric, Proposal, Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.compare import compare
from nasbench_tab.search.results import Results, Trials, load_results, read_shard, shard_path, slug
from nasbench_tab.search.run import run_search

from .toys import SOME_CELLS, scripted

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


# The frame.


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
