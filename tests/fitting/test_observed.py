"""What surrogates are fitted on: the finished runs of logs and tables, nothing else, nothing imputed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predictors.stored import a_manifest
from train.logs import SPACE, a_run, cell, diverged, failed

from nasbench_tab.benchmarks.tablefile import Column, Table, read_manifest, read_table, write_table
from nasbench_tab.errors import LogError, SurrogateError, TableError, UnknownNameError
from nasbench_tab.fitting.finished import LEAST_NETWORKS, counterpart, data_hash
from nasbench_tab.fitting.observed import Observed, observe, observe_table
from nasbench_tab.predictors.store import read_surrogate, write_surrogate
from nasbench_tab.records import Metric
from nasbench_tab.registry import load_space, table_folder
from nasbench_tab.train.log import LoggedRun, RunLog, pack
from nasbench_tab.train.tabulate import tabulate


def some_runs(n: int = 12, **fields: Any) -> list[LoggedRun]:
    """Good runs of ``n`` different cells."""
    return [a_run(index, **fields) for index in range(n)]


def logged(path: Path, *runs: LoggedRun) -> Path:
    log = RunLog(path)
    for run in runs:
        assert log.append(run, unless_present=False)
    return path


def seen(folder: Path, *runs: LoggedRun, **options: Any) -> Observed:
    return observe(logged(folder / "runs.jsonl", *runs), **options)


def test_the_logged_values_are_there_and_nothing_else(tmp_path: Path) -> None:
    runs = [*some_runs(), a_run(3, 1), a_run(3, 7, origin="evolution")]
    found = seen(tmp_path, *runs).runs
    assert (len(found.cells), found.epochs, found.objective) == (14, (1, 2), "valid_accuracy")
    assert list(found.metrics) == ["valid_accuracy", "test_accuracy"]
    assert found.metrics["test_accuracy"] == Metric("test_accuracy", "test", "max", "%", 0.0, 100.0)
    by_key = {(SPACE.parse(run.architecture), run.seed): run for run in runs}
    for i, arch in enumerate(map(tuple, found.cells.tolist())):
        run = by_key.pop((arch, int(found.seeds[i])))
        assert found.origins[i] == run.origin
        assert found.seconds[i].tolist() == run.curve["train_seconds"]
        for name, curves in found.curves.items():
            assert curves[i].tolist() == run.curve[name]
    assert not by_key
    assert found.cells.dtype == np.uint8


def test_what_did_not_finish_is_counted_and_left_out(tmp_path: Path) -> None:
    more = [diverged(20), diverged(21), failed(22), diverged(3, 5), diverged(23, curve={})]
    found = seen(tmp_path, *some_runs(), *more)
    assert found.left_out == {"diverged": 4, "failed": 1}
    assert len(found.runs.cells) == 12
    assert all(np.isfinite(curve).all() for curve in found.runs.curves.values())
    assert found.hash == seen(tmp_path / "without", *some_runs()).hash


def test_the_same_network_is_one_group(tmp_path: Path) -> None:
    twins: dict[Any, list[int]] = {}
    for index in range(200):
        twins.setdefault(SPACE.canonical(SPACE.unindex(index)), []).append(index)
    one, other = next(found for found in twins.values() if len(found) > 1)[:2]
    picked = [found[0] for found in twins.values() if one not in found][:11]
    found = seen(tmp_path, *[a_run(i) for i in [*picked, one, other]], a_run(one, 1)).runs
    cells = [tuple(row) for row in found.cells.tolist()]
    same = {int(found.groups[cells.index(SPACE.unindex(index))]) for index in (one, other)}
    assert len(same) == 1
    assert len(np.unique(found.groups)) == 12
    assert (found.groups == same.pop()).sum() == 3


@settings(max_examples=8)
@given(st.randoms(use_true_random=False), st.integers(1, 13))
def test_the_order_and_the_files_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, shuffle: random.Random, cut: int
) -> None:
    runs: list[LoggedRun] = [*some_runs(), a_run(3, 1), diverged(40)]
    folder = tmp_path_factory.mktemp("logs")
    first = seen(folder / "one", *runs)
    shuffle.shuffle(runs)
    logged(folder / "two" / "a.jsonl", *runs[:cut])
    logged(folder / "two" / "b.jsonl", *runs[cut - 1 :])  # one of them stands in both
    again = observe(folder / "two" / "b.jsonl", folder / "two" / "a.jsonl")
    assert _bits(again) == _bits(first)


def _bits(found: Observed) -> Any:
    """All of the runs, arrays as bytes."""
    runs = found.runs
    arrays: list[Any] = [runs.cells, runs.groups, runs.seeds, runs.seconds, *runs.curves.values()]
    words = (runs.origins, runs.epochs, runs.objective, runs.metrics, runs.space)
    return found.hash, words, [array.tobytes() for array in arrays], found.left_out


def test_the_hash_is_about_all_of_the_data(tmp_path: Path) -> None:
    base = some_runs()
    curve = base[4].curve
    others: list[Sequence[LoggedRun]] = [
        base[:-1],
        [*base[:-1], a_run(77)],
        [*base[:-1], a_run(11, 1)],
        [*base[:-1], a_run(11, origin="random")],
        [*base[:4], a_run(4, curve={**curve, "valid_accuracy": [30.0, 52.5]}), *base[5:]],
        [*base[:4], a_run(4, curve={**curve, "test_accuracy": [30.0, 52.5]}), *base[5:]],
        [*base[:4], a_run(4, curve={**curve, "train_seconds": [3.0, 5.0]}), *base[5:]],
    ]
    same = [
        *base[:4],
        a_run(4, curve={**curve, "valid_loss": [3.0, 5.0]}, device="other"),
        *base[5:],
    ]
    hashes = [seen(tmp_path / str(i), *runs).hash for i, runs in enumerate([base, same, *others])]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == len(hashes) - 1
    assert seen(tmp_path / "loss", *base, objective="valid_loss").hash not in hashes


def test_the_hash_knows_no_row_order_and_one_nan(tmp_path: Path) -> None:
    found = seen(tmp_path, *some_runs())
    runs = found.runs
    turned = runs._replace(
        cells=runs.cells[::-1],
        groups=runs.groups[::-1],
        seeds=runs.seeds[::-1],
        origins=runs.origins[::-1],
        curves={name: curve[::-1] for name, curve in reversed(runs.curves.items())},
        seconds=runs.seconds[::-1],
    )
    assert data_hash(turned) == found.hash
    holes = runs.seconds.copy()
    holes[0, 0] = np.nan
    first = data_hash(runs._replace(seconds=holes))
    holes[0, 0] = -np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\x7f")[0]
    assert np.isnan(holes[0, 0])
    assert data_hash(runs._replace(seconds=holes)) == first != found.hash
    # Pinned: a surrogate's manifest names it.
    assert found.hash == "sha256:1b5e118d3f79fd36ba88fe9727cf41cbb46115e5d76a82ca338baab5796cf680"


def test_a_csv_and_a_folder_of_shards_are_logs_too(tmp_path: Path) -> None:
    runs = some_runs()
    first = seen(tmp_path / "one", *runs)
    pack(tmp_path / "one")
    assert observe(tmp_path / "one").hash == first.hash
    header = "space,dataset,split,recipe,device_kind,architecture,seed,epochs,epoch,valid_accuracy,test_accuracy,train_seconds"
    lines = [
        f"{r.space},{r.dataset},{r.split},{r.recipe},{r.device_kind},{r.architecture},{r.seed},2,{e + 1},"
        + ",".join(
            repr(r.curve[m][e]) for m in ("valid_accuracy", "test_accuracy", "train_seconds")
        )
        for r in runs
        for e in (0, 1)
    ]
    (tmp_path / "runs.csv").write_text("\n".join([header, *lines]) + "\n")
    assert observe(str(tmp_path / "runs.csv")).hash == first.hash


def test_torn_bytes_are_counted(tmp_path: Path) -> None:
    path = logged(tmp_path / "runs.jsonl", *some_runs())
    with path.open("ab") as file:
        file.write(b'{"format": 1, "sp')
    with pytest.warns(RuntimeWarning, match="unfinished"):
        assert observe(path).torn == 17


def test_what_has_to_be_remembered_fits_a_manifest(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "recipe_fields": {"peak": 0.1, "flip": False},
        "versions": {"torch": "2.13"},
        "origin": "random",
    }
    found = seen(tmp_path, *some_runs(**fields), diverged(30), licence="CC0")
    manifest = {**a_manifest(), **found.manifest()}
    write_surrogate(tmp_path / "s", manifest, {}, {})
    stored = read_surrogate(tmp_path / "s").manifest
    assert stored["dataset"] == "digits"
    assert stored["training_data"] == found.hash
    assert (stored["runs"], stored["networks"], stored["seeds"]) == (12, 11, [0])
    assert (stored["origins"], stored["licence"]) == ({"random": 12}, "CC0")
    assert stored["protocol"] == {
        "split": "sha256:s",
        "recipe": "sha256:r",
        "settings": "peak 0.1, flip False",
        "device_kind": "cpu",
        "epochs_kind": "curve",
        "seconds": "measured",
    }
    about = stored["about"]
    assert (about["left_out"], about["torn_bytes"]) == ({"diverged": 1, "failed": 0}, 0)
    assert about["data"][0].startswith("runs.jsonl sha256:")
    assert about["trained_with"] == ["torch 2.13"]


def test_no_times_and_no_test_values(tmp_path: Path) -> None:
    runs = [a_run(i, curve={"valid_accuracy": [20.0, 30.0 + i], "train_accuracy": [1.0, 2.0]}) for i in range(12)]  # fmt: skip
    found = seen(tmp_path, *runs)
    assert list(found.runs.metrics) == ["valid_accuracy"]
    assert np.isnan(found.runs.seconds).all()
    assert found.protocol["seconds"] == "none"


def test_another_objective(tmp_path: Path) -> None:
    found = seen(tmp_path, *some_runs(), objective="valid_loss").runs
    assert found.objective == "valid_loss"
    assert found.metrics == {"valid_loss": Metric("valid_loss", "valid", "min", "nats", 0.0)}
    for wrong in ("test_accuracy", "train_seconds", "absent"):
        with pytest.raises(LogError, match=f"'{wrong}' cannot be the objective"):
            seen(tmp_path / wrong, *some_runs(), objective=wrong)


BAD: list[tuple[list[LoggedRun], type[Exception], str]] = [
    ([], SurrogateError, "no run in it"),
    (some_runs(3), SurrogateError, "3 finished runs of 3 distinct networks; .* at least 10"),
    ([a_run(3, seed) for seed in range(40)], SurrogateError, "40 finished runs of 1 distinct networks"),
    ([diverged(i) for i in range(20)], SurrogateError, "no run is finished"),
    (
        [a_run(i, curve={"valid_accuracy": [20.0 + i, 50.0]}) for i in range(12)],
        SurrogateError,
        r"valid_accuracy is 50\.0 at the end of every run",
    ),
    (
        [a_run(i, curve={"valid_accuracy": [2.0, 50.0 + i], "test_accuracy": [2.0, 9.0]}) for i in range(12)],
        SurrogateError,
        r"test_accuracy is 9\.0 at the end of every run",
    ),
    (
        [a_run(i, curve={"valid_accuracy": [2.0, 50.0 + i], "test_accuracy": [2.0, 50.0 + i]}) for i in range(12)],
        SurrogateError,
        "valid_accuracy and test_accuracy hold the same numbers",
    ),
    ([*some_runs(), a_run(40, recipe="sha256:q")], LogError, "not trained in one way.*recipe is 'sha256:r' at .*1 and 'sha256:q' at .*13"),
    ([*some_runs(), a_run(40, dataset="cifar10")], LogError, "dataset is"),
    ([*some_runs(), a_run(40, space="nasbench-graph")], LogError, "space is 'nasbench201' at"),
    ([*some_runs(), a_run(40, architecture="|nor_conv_7x7~0|+|none~0|none~1|+|none~0|none~1|none~2|")], LogError, "jsonl:13: .*Unknown operation 'nor_conv_7x7'"),
    ([*some_runs(), a_run(4, architecture=f" {cell(4)}")], LogError, "the same cell, written as"),
    ([*some_runs(), a_run(4, curve={**a_run(5).curve, "valid_accuracy": [1.0, 2.0]})], LogError, "are the same run of .* but disagree"),
    ([*some_runs(), a_run(40, curve={**a_run(5).curve, "valid_accuracy": [1.0, 101.0]})], LogError, "valid_accuracy is 101.0 at epoch 2"),
]  # fmt: skip


@pytest.mark.parametrize(("runs", "kind", "words"), BAD)
def test_what_nothing_can_be_fitted_on(
    runs: list[LoggedRun], kind: type[Exception], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "runs.jsonl"
    path.touch()
    with pytest.raises(kind, match=words) as caught:
        observe(logged(path, *runs))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "null", '"50"', "1e999"])
def test_what_is_no_number_is_refused(value: str, tmp_path: Path) -> None:
    path = logged(tmp_path / "runs.jsonl", *some_runs())
    text = path.read_text().replace("52.3", value, 1)
    assert text != path.read_text()
    path.write_text(text)
    with pytest.raises(LogError, match=r"runs\.jsonl:1: "):
        observe(path)


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SurrogateError, match="nothing to fit"):
        observe()
    with pytest.raises(UnknownNameError, match=r"Did you mean nb201-cifar10.* Nor is there a file"):
        observe("nb201-cifar")
    with pytest.raises(LogError, match="is a folder without logs"):
        observe(tmp_path)
    log = logged(tmp_path / "runs.jsonl", *some_runs())
    with pytest.raises(SurrogateError, match="is a table; expected one table alone"):
        observe("nb201-cifar10", log)
    with pytest.raises(SurrogateError, match="is about a table"):
        observe(log, training="curve")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(LogError, match="is no run log"):
        observe(tmp_path / "notes.txt")


# --- tables -----------------------------------------------------------------------------------


def test_a_table_gives_the_runs_of_the_log_that_it_is_made_of(tmp_path: Path) -> None:
    # Numbers that float32 holds exactly, since that is how a table holds them.
    runs = [
        a_run(i, seed, curve={"valid_accuracy": [2.5, 50.0 + i + seed / 4], "test_accuracy": [2.0, 40.0 + i], "train_seconds": [0.5, 1.0 + i]})
        for i in range(12)
        for seed in (0, 3)
    ]  # fmt: skip
    begun = {name: values[:1] for name, values in runs[0].curve.items()}
    more = [diverged(30, curve=begun), failed(31)]
    log = logged(tmp_path / "runs.jsonl", *runs, *more)
    tabulate([log], tmp_path / "table", SPACE, about={"licence": "MIT", "citation": ["me"]})
    from_log, from_table = observe(log), observe(tmp_path / "table")
    assert from_table.hash == from_log.hash
    assert from_table.dataset == from_log.dataset
    assert from_table.licence == "MIT"
    assert from_table.left_out == {"unfinished": 1}
    assert from_table.about["citation"] == ["me"]
    assert from_table.protocol["training"] == "2-epochs"
    assert _bits(from_table._replace(left_out=from_log.left_out)) == _bits(from_log)


def test_a_shipped_table_by_name_folder_and_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_name = observe("nb201-cifar10")
    runs = by_name.runs
    folder = table_folder("nb201-cifar10")
    manifest = read_manifest(folder)
    values = read_table(folder, manifest).trainings["200-epochs"].columns["valid_accuracy"].values
    assert len(runs.cells) == int(np.isfinite(values).sum()) == 39_419
    assert len(np.unique(runs.groups)) == 5260
    assert (runs.epochs, list(runs.metrics)) == ((200,), ["valid_accuracy"])
    assert set(runs.seeds.tolist()) == {777, 888, 999, -1, -2}
    assert sorted(runs.curves["valid_accuracy"][:, 0]) == sorted(
        values[np.isfinite(values)].astype(float)
    )
    assert by_name.protocol["seconds"] == "synthetic"
    assert by_name.licence == manifest["licence"]
    monkeypatch.chdir(tmp_path)
    Path("nb201-cifar10").mkdir()  # the table's name comes first
    assert observe("nb201-cifar10").hash == by_name.hash
    with pytest.raises(LogError, match="folder without logs"):
        observe("./nb201-cifar10")


def test_the_trainings_of_a_table(synthetic: Table) -> None:
    found = observe_table(synthetic, load_space("nasbench201"), {})
    runs = found.runs
    assert (runs.objective, runs.epochs) == ("valid_accuracy", (1, 2, 4))
    assert list(runs.metrics) == ["valid_accuracy", "test_accuracy"]
    assert len(runs.cells) == 36 - 1 - 1 - 2 - 3  # seeds without a last epoch
    assert found.left_out == {"unfinished": 1}
    assert found.licence == ""
    short = observe_table(synthetic, load_space("nasbench201"), {}, training="short")
    assert (short.runs.objective, short.runs.epochs, short.dataset) == (
        "valid_loss",
        (12,),
        "cifar10",
    )
    assert short.protocol["epochs_kind"] == "separate trainings"
    assert np.isnan(short.runs.seconds).all()
    with pytest.raises(UnknownNameError, match="Unknown training of synthetic 'long'"):
        observe_table(synthetic, SPACE, {}, training="long")
    with pytest.raises(UnknownNameError, match="Unknown metric of synthetic 'valid_auc'"):
        observe_table(synthetic, SPACE, {}, objective="valid_auc")
    with pytest.raises(SurrogateError, match="'test_accuracy' is of the test split"):
        observe_table(synthetic, SPACE, {}, objective="test_accuracy")


def test_tables_that_nothing_can_be_fitted_on(synthetic: Table, tmp_path: Path) -> None:
    def with_values(values: Any, cells: int = 12) -> Table:
        curve = synthetic.trainings["curve"]
        columns = {
            name: Column(column.metric, column.values[:cells])
            for name, column in curve.columns.items()
        }
        columns["valid_accuracy"] = Column(columns["valid_accuracy"].metric, values[:cells])
        return synthetic._replace(
            architectures=synthetic.architectures[:cells],
            trainings={"curve": curve._replace(columns=columns)},
        )

    real = synthetic.trainings["curve"].columns["valid_accuracy"].values
    with pytest.raises(SurrogateError, match=r"is 7\.0 at the end of every run"):
        observe_table(with_values(np.full_like(real, 7)), SPACE, {})
    with pytest.raises(SurrogateError, match="14 finished runs of 6 distinct networks"):
        observe_table(with_values(real, 6), SPACE, {})
    with pytest.raises(SurrogateError, match="no run is finished"):
        observe_table(with_values(np.full_like(real, np.nan)), SPACE, {})
    for value in (np.inf, 101.0, -1.0):
        bad = real.copy()
        bad[0, 0, 0] = value
        with pytest.raises(SurrogateError, match="expected finite values from 0 to 100 %"):
            observe_table(with_values(bad), SPACE, {})
    write_table(tmp_path, synthetic, {})
    (tmp_path / "table.h5").write_bytes((tmp_path / "table.h5").read_bytes()[:-1])
    with pytest.raises(TableError):
        observe(tmp_path)


def test_the_counterpart_of_a_metric() -> None:
    names = ["valid_loss", "test_accuracy", "test_valid_loss"]
    assert counterpart("valid_accuracy", names) == ["test_accuracy"]
    assert counterpart("valid_loss", names) == []
    assert counterpart("accuracy", ["test_accuracy", "test_"]) == []
    assert LEAST_NETWORKS == 10
