"""Tables from run logs: the logged numbers and nothing else; failures stay failures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nasbench_tab as nbt
from nasbench_tab.benchmarks.tablefile import Table, read_manifest, read_table
from nasbench_tab.errors import LogError, MissingValueError, TableError, UnknownNameError
from nasbench_tab.registry import load_space
from nasbench_tab.spaces.nasbench_graph import NasBenchGraph
from nasbench_tab.train.log import LoggedRun, RunLog, pack, read_csv, read_log
from nasbench_tab.train.tabulate import Summary, metric_of, tabulate

from .logs import SPACE, a_run, cell, diverged, failed


def logged(folder: Path, *runs: LoggedRun) -> Path:
    """Write a log of ``runs`` and return its path."""
    log = RunLog(folder / "runs.jsonl")
    for run in runs:
        assert log.append(run, unless_present=False)
    return log.path


def made(folder: Path, *runs: LoggedRun, **options: Any) -> tuple[Summary, Table, dict[str, Any]]:
    """Tabulate ``runs``; return summary, table and manifest."""
    directory = folder / "data" / "mine"
    summary = tabulate([logged(folder, *runs)], directory, SPACE, **options)
    manifest = read_manifest(directory)
    return summary, read_table(directory, manifest), manifest


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of this test."""
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path))
    return tmp_path


@settings(max_examples=15)
@given(
    curves=st.dictionaries(
        st.tuples(st.integers(0, 15624), st.integers(0, 3)),
        st.lists(st.floats(1, 100, exclude_min=True), min_size=3, max_size=3),
        min_size=1,
        max_size=8,
    )
)
def test_a_table_answers_the_logged_values(
    curves: dict[tuple[int, int], list[float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    runs = [
        a_run(
            index,
            seed,
            epochs=3,
            curve={"valid_accuracy": values, "test_loss": [v + 1 for v in values]},
        )
        for (index, seed), values in curves.items()
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_TAB_HOME", str(home))
        summary, _, _ = made(home, *runs)
        bench = nbt.load("mine")
        assert bench.fingerprint == summary.hash
        assert bench.epochs == (1, 2, 3)
        for run in runs:
            for name, values in run.curve.items():
                for epoch, value in enumerate(values, 1):
                    got = bench.query(run.architecture, name, epoch=epoch, seed=run.seed)
                    assert got == float(np.float32(value))


def test_the_table_as_a_whole(home: Path) -> None:
    runs = [a_run(9, 1), a_run(2, 0, parameters=0.5), a_run(2, 1), a_run(40, 0, parameters=1.25)]
    summary, table, manifest = made(home, *runs)
    assert summary == Summary("mine", 3, {0: 2, 1: 2}, 0, 0, 0, manifest["hash"])
    assert [SPACE.index(tuple(row)) for row in table.architectures.tolist()] == [2, 9, 40]
    assert (table.space, table.by_index, table.default_training) == (
        "nasbench201",
        False,
        "2-epochs",
    )
    training = table.trainings["2-epochs"]
    assert (training.dataset, training.objective) == ("digits", "valid_accuracy")
    assert (training.epochs_kind, training.seconds_kind) == ("curve", "measured")
    assert (training.seeds, training.epochs) == ((0, 1), (1, 2))
    assert {column.values.dtype for column in training.columns.values()} == {np.dtype(np.float32)}
    assert np.isnan(training.columns["valid_loss"].values[1, 0]).all()
    np.testing.assert_array_equal(table.static["parameters"].values, [0.5, np.nan, 1.25])
    bench = nbt.load("mine")
    assert (bench.has_seconds, bench.resumable) == (True, True)
    with pytest.raises(MissingValueError):
        bench.query(cell(9), seed=0)


def test_failures_stay_failures(home: Path) -> None:
    error = 'out of\n  memory \x7f ✓ "quoted" \\' + "!" * 999
    runs = [a_run(1), diverged(2), failed(3, error=error), diverged(4, curve={}), failed(2, 1)]
    summary, table, manifest = made(home, *runs)
    assert (summary.architectures, summary.trainings) == (4, {0: 1, 1: 0})
    assert (summary.diverged, summary.failed) == (2, 2)
    values = table.trainings["2-epochs"].columns["valid_accuracy"].values
    first = np.float32(diverged(2).curve["valid_accuracy"][0])
    np.testing.assert_array_equal(values[1], [[first, np.nan], [np.nan, np.nan]])
    assert np.isnan(values[2:]).all()
    assert manifest["diverged"] == sorted(
        [f"{cell(2)} 0: after 1 epochs", f"{cell(4)} 0: after 0 epochs"]
    )
    assert f"{cell(2)} 1: no memory" in manifest["failed"]
    assert any(
        words.startswith(f"{cell(3)} 0: out of memory \x7f ✓ ") for words in manifest["failed"]
    )
    assert all(len(words) < 500 for words in manifest["failed"])


def test_a_retried_run_is_no_failure(home: Path) -> None:
    summary, _, manifest = made(home, failed(1), a_run(1))
    assert (summary.failed, summary.trainings, manifest["failed"]) == (0, {0: 1}, [])


def test_the_words_of_the_manifest(home: Path) -> None:
    fields: dict[str, Any] = {
        "recipe_fields": {"epochs": 2, "peak": 0.3, "side": None},
        "device": "Xeon",
        "threads": 1,
        "versions": {"nasbench_tab": "0.1", "torch": "2.9"},
    }
    runs = [a_run(i, origin=("random", "query")[i % 2], **fields) for i in range(3)]
    _, table, manifest = made(home, *runs, about={"title": "Mine", "licence": "MIT"}, distinct=6466)
    assert (manifest["title"], manifest["licence"]) == ("Mine", "MIT")
    assert "3 trainings" in manifest["origin"]
    assert "query 1, random 2" in manifest["origin"]
    assert "split sha256:s, recipe sha256:r: epochs 2, peak 0.3, side None" in manifest["protocol"]
    assert manifest["coverage"].startswith("3 of 6,466 distinct networks (3 architectures)")
    assert manifest["device"] == ["Xeon (cpu), 1 thread: 3 trainings"]
    assert manifest["versions"] == ["nasbench_tab 0.1", "torch 2.9"]
    digest = next(iter(read_log(home / "runs.jsonl").hashes.values()))
    assert manifest["logs"] == [f"runs.jsonl {digest}"]
    note = table.trainings["2-epochs"].columns["train_seconds"].note
    assert "processor time" in note


def test_notes_claim_nothing_of_other_peoples_logs(home: Path) -> None:
    _, table, _ = made(home, a_run())
    assert {c.note for c in table.trainings["2-epochs"].columns.values()} == {"as logged, by epoch"}


def test_unknown_metrics_by_their_names(home: Path) -> None:
    curve = {"valid_f1": [0.1, 0.2], "test_top5_error": [3.0, 2.0], "sparsity": [5.0, 5.0]}
    _, table, _ = made(home, a_run(curve=curve), objective="valid_f1")
    training = table.trainings["2-epochs"]
    assert (training.objective, training.seconds_kind) == ("valid_f1", "none")
    assert {n: (c.metric.split, c.metric.direction) for n, c in training.columns.items()} == {
        "valid_f1": ("valid", "max"),
        "test_top5_error": ("test", "min"),
        "sparsity": ("none", "max"),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train_loss", ("train", "min", "nats", 0.0, np.inf)),
        ("test_accuracy", ("test", "max", "%", 0.0, 100.0)),
        ("train_seconds", ("none", "min", "s", 0.0, np.inf)),
        ("eval_seconds", ("none", "min", "s", 0.0, np.inf)),
        ("valid_perplexity", ("valid", "min", "", -np.inf, np.inf)),
        ("valid", ("none", "max", "", -np.inf, np.inf)),
        ("accuracy", ("none", "max", "", -np.inf, np.inf)),
    ],
)
def test_metric_of(name: str, expected: tuple[object, ...]) -> None:
    assert tuple(metric_of(name)) == (name, *expected)


CURVE = a_run().curve
OTHER = [
    ("dataset", {"dataset": "cifar10"}),
    ("space", {"space": "nasbench-graph"}),
    ("split", {"split": "sha256:t"}),
    ("recipe", {"recipe": "sha256:q"}),
    ("device_kind", {"device_kind": "cuda"}),
    ("epochs", {"epochs": 3, "curve": {n: [*v, 99.0] for n, v in CURVE.items()}}),
    ("epochs", {"epochs": 0, "curve": {n: [*v, 99.0] for n, v in CURVE.items()}}),
    ("epochs", {"epochs": 0, "status": "diverged", "curve": {n: [*v, 99.0] for n, v in CURVE.items()}}),
    ("epochs", {"epochs": 4, "status": "diverged"}),
    ("epochs", {"epochs": 4, "status": "failed", "curve": {}}),
    ("metrics", {"curve": {**CURVE, "extra": [1.0, 2.0]}}),
    ("metrics", {"curve": {"valid_accuracy": [1.0, 2.0]}}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "fields"), OTHER)
def test_runs_of_two_protocols_are_refused(
    field: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    words = rf"{field} is .* at .*runs\.jsonl:[12] and .* at .*runs\.jsonl:3\."
    with pytest.raises(LogError, match=words) as caught:
        made(tmp_path, a_run(1), a_run(2), a_run(3, **fields))
    value = fields.get(field, "extra" if "extra" in fields.get("curve", ()) else "")
    assert not value or str(value) in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_a_different_recipe_is_told_by_its_fields(tmp_path: Path) -> None:
    one = a_run(1, recipe_fields={"peak": 0.3, "side": 12, "flip": False})
    other = a_run(2, recipe="sha256:q", recipe_fields={"peak": 0.1, "side": 12, "crop": 4})
    words = (
        r"recipes differ in crop \(None and 4\), flip \(False and None\), peak \(0.3 and 0.1\)\."
    )
    with pytest.raises(LogError, match=words):
        made(tmp_path, one, other)


@pytest.mark.parametrize(
    ("runs", "options", "words"),
    [
        ([failed(1)], {}, "no run has a single epoch"),
        ([diverged(1, epochs=0)], {}, "no run ended well or says its planned epochs"),
        ([a_run(architecture="|x|")], {}, "runs.jsonl:1: .*NAS-Bench-201 architecture string"),
        ([a_run(space="other")], {}, "space 'other', but 'nasbench201' is asked for"),
        ([a_run(1), a_run(1, architecture=f" {cell(1)}")], {}, "the same cell, written as"),
        ([a_run()], {"objective": "test_accuracy"}, "valid_..., .*: valid_accuracy, valid_loss"),
        ([a_run()], {"objective": "valid_auc"}, "cannot be the objective"),
        ([a_run(curve={"accuracy": [1.0, 2.0]})], {}, "there is none"),
        ([a_run(curve={"valid_accuracy": [50, 101.0]})], {}, "jsonl:1: valid_accuracy is 101.0 at epoch 2"),
        ([a_run(curve={"valid_accuracy": [50, 51.0], "valid_loss": [1, -0.1]})], {}, "valid_loss is -0.1"),
        (
            [a_run(curve={"valid_accuracy": [5.0, 6.0], "train_seconds": [2.0, 1.9]})],
            {},
            "train_seconds falls at epoch 2, from 2.0 to 1.9",
        ),
        (
            [a_run(1, parameters=1.0), a_run(1, seed=1, parameters=2.0)],
            {},
            "1.0 and 2.0 million parameters",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_a_table(
    runs: list[LoggedRun], options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(LogError, match=words):
        made(tmp_path, *runs, **options)
    assert not (tmp_path / "data").exists()


def test_logs_without_runs(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").touch()
    for logs in ([tmp_path], []):
        with pytest.raises(LogError, match="no run in it"):
            tabulate(logs, tmp_path / "t", SPACE)


def test_copied_columns_are_refused(tmp_path: Path) -> None:
    curve = {"valid_accuracy": [1.0, 2.0], "test_accuracy": [1.0, 2.0]}
    with pytest.raises(TableError, match="hold the same numbers"):
        made(tmp_path, a_run(curve=curve))


def test_fractions_are_noticed(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="valid_accuracy is never above 1; expected percent"):
        made(tmp_path, a_run(curve={"valid_accuracy": [0.3, 0.9]}))


def test_a_value_beyond_float32(tmp_path: Path) -> None:
    _, table, _ = made(
        tmp_path, a_run(curve={"valid_accuracy": [3.0, 9.0], "train_loss": [1e200, 1]})
    )
    values = table.trainings["2-epochs"].columns["train_loss"].values
    assert values[0, 0].tolist() == [1e200, 1.0]


def test_seconds_do_not_fall_by_rounding(tmp_path: Path) -> None:
    seconds = [16777217.1, 16777217.2]
    made(tmp_path, a_run(curve={"valid_accuracy": [3.0, 9.0], "train_seconds": seconds}))


def test_a_space_by_its_name_and_in_hash_order(tmp_path: Path) -> None:
    space = NasBenchGraph()
    cells = space.sample(np.random.default_rng(0), 5)
    runs = [a_run(space=space.name, architecture=space.format(c)) for c in cells]
    tabulate([logged(tmp_path, *runs)], tmp_path / "t", load_space)
    table = read_table(tmp_path / "t", read_manifest(tmp_path / "t"))
    found = [space.index(tuple(row)) for row in table.architectures.tolist()]
    assert found == sorted({space.index(c) for c in cells})
    other = tmp_path / "other"
    with pytest.raises(UnknownNameError):
        tabulate([logged(other, a_run(space="x"))], other, load_space)


def test_a_complete_space_is_by_index(tmp_path: Path) -> None:
    curve = {"valid_accuracy": [50.0]}
    log = tmp_path / "x.jsonl"
    run = a_run(0, curve=curve, epochs=1)
    record = {"format": 1, **run._asdict()}
    with log.open("w") as file:
        for index in range(15625):
            file.write(json.dumps({**record, "architecture": cell(index)}) + "\n")
    tabulate([log], tmp_path / "t", SPACE, name="all")
    table = read_table(tmp_path / "t", read_manifest(tmp_path / "t"))
    assert table.by_index
    assert table.name == "all"


def test_shards_and_several_logs_make_the_same_table(tmp_path: Path) -> None:
    runs = [*(a_run(i, s) for i in range(6) for s in (0, 1)), failed(8)]
    once, _, _ = made(tmp_path / "a", *runs)
    folder = tmp_path / "b"
    for part in (runs[:5], runs[5:9], runs[9:]):
        logged(folder, *part)
        assert pack(folder) is not None
    log = logged(folder, failed(8))
    shutil.copy(log, tmp_path / "copy.jsonl")
    summary = tabulate([folder, tmp_path / "copy.jsonl"], tmp_path / "mine", SPACE)
    assert summary == once


def test_a_torn_line_is_counted(tmp_path: Path) -> None:
    path = logged(tmp_path, a_run(1), a_run(2))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.warns(RuntimeWarning, match="unfinished"):
        summary = tabulate([path], tmp_path / "t", SPACE)
    assert summary.torn > 0
    assert summary.architectures == 1


ROWS = """\
architecture,seed,epoch,valid_accuracy,status,parameters
{0},7,2,60.5,,0.25
{0},7,1,50.25,,0.25
{1},7,1,10.5,diverged,
{2},7,,,failed,
"""


def csv_file(folder: Path, text: str) -> Path:
    """Write rows, with cells in place of {0}, {1} ..."""
    path = folder / "ours.csv"
    path.write_text(text.format(*map(cell, range(3))), encoding="utf-8-sig")
    return path


def test_a_csv_log(tmp_path: Path) -> None:
    log = read_csv(csv_file(tmp_path, ROWS), space="nasbench201", dataset="x")
    assert [run.status for run in log.runs] == ["ok", "diverged", "failed"]
    assert log.runs[0].curve == {"valid_accuracy": [50.25, 60.5]}
    assert (log.runs[0].seed, log.runs[0].parameters, log.runs[1].parameters) == (7, 0.25, None)
    assert log.places[1].endswith("ours.csv:4")
    with pytest.raises(LogError, match="dataset, space missing"):
        read_log(tmp_path / "ours.csv")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("{0},7,1", "{0},7,2", "csv:3: epoch 2 stands there twice"),
        ("{0},7,1", "{0},7,3", r"csv:2: epochs 1, 2, ... expected, \[2, 3\] got"),
        ("{0},7,1", "{0},7,", "csv:3: a row without an epoch must be"),
        ("{0},7,1", "{0},7,1.5", "csv:3: 'epoch' must be a whole number; got '1.5'"),
        ("50.25", "", "csv:3: 'valid_accuracy' must be a number; got ''"),
        ("50.25", "nan", "'valid_accuracy' must be a finite number at epoch 1"),
        ("50.25,", "50.25,ok", "csv:3: status differs from line 2"),
        ("50.25,,0.25", "50.25,,", "csv:3: parameters differs from line 2"),
        ("50.25,", "50.25", "csv:3: 6 cells expected, 5 got"),
        ("failed", "fine", "csv:5: 'status' must be"),
        ("{2},7,", "{2},x,", "csv:5: 'seed' must be a whole number"),
        ("{2},7,", "{2},,", "csv:5: 'seed' must be there|'seed' must be"),
        ("{2},7,", '"{2},7,', "is no CSV file"),
        ("seed", "run", "seed missing"),
        ("parameters", "status", "distinct names"),
    ],
)
def test_a_wrong_csv_row_is_named(old: str, new: str, words: str, tmp_path: Path) -> None:
    assert old in ROWS
    path = csv_file(tmp_path, ROWS.replace(old, new, 1))
    with pytest.raises(LogError, match=words):
        read_csv(path, space="nasbench201", dataset="x")


def test_a_csv_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(LogError, match="no CSV file in UTF-8"):
        read_log(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_bytes(b"")
    with pytest.raises(LogError, match="missing"):
        read_log(tmp_path / "x.csv")
