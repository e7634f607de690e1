"""NAS-Bench-NLP's importer: logs of our own in the published layout, the published archive, damage."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from importers.fuzzing import refused
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import Table, read_manifest, read_table
from nasbench_tab.errors import FormatError, TableError
from nasbench_tab.importers import nasbench_nlp as importer
from nasbench_tab.importers.formats import import_official
from nasbench_tab.importers.nasbench_nlp import read_log
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.nasbench_nlp import NasBenchNLP, parameters

SPACE = NasBenchNLP()
SHARED = Path(__file__).parents[3] / "shared/data/nasbench-nlp"
EPOCHS = 6
WORDS = {"ptb": 10_000, "wikitext-2": 33_278}
ARCHS = SPACE.sample(np.random.default_rng(0), 12)


def a_log(
    arch: Architecture, draw: int = 0, data: str = "ptb", nan_at: int | None = None, **change: Any
) -> dict[str, Any]:
    """Return one log as the published ones are; ``nan_at``: the epoch (from 0) that was not finite."""
    rng = np.random.default_rng([draw, *arch])
    done = EPOCHS if nan_at is None else nan_at + 1
    losses = np.sort(rng.uniform(4, 7, (3, done)), axis=1)[:, ::-1].copy()
    if nan_at is not None:
        losses[:, nan_at] = math.nan
    count = parameters(np.array([arch]), vocabulary=WORDS[data])[0]
    record: dict[str, Any] = {
        "data": f"data/{data}",
        "recepie_id": int(rng.integers(10**6)),
        "batch_size": 20,
        "emsize": 400,
        "lr": 0.001,
        "epochs": EPOCHS,
        "recepie": SPACE.format(arch),
        "experiment_id": int(rng.integers(10**9)),
        "init_time": "2020-05-05_16-57-23",
        "num_params": int(count),
        "wall_times": rng.uniform(100, 101, done).tolist(),
        "train_losses": losses[0].tolist(),
        "val_losses": losses[1].tolist(),
        "test_losses": losses[2].tolist(),
        "status": "OK" if nan_at is None else "loss is nan!",
    }
    return {**record, **change}


def name_of(log: dict[str, Any]) -> str:
    return f"log_stats_model_{log['recepie_id']}_{log['init_time']}_{log['experiment_id']}.json"


def zipped(path: Path, logs: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for log in logs:
            archive.writestr(f"logs/{name_of(log)}", json.dumps(log))
        archive.writestr("logs/readme.json", "{")
        archive.writestr("__MACOSX/logs/._log_stats_model_1.json", "x")
    return path


def imported(source: Path, out: Path) -> dict[str, Table]:
    folders = importer.import_nasbench_nlp(source, out)
    assert sorted(path.name for path in out.iterdir()) == sorted(f.name for f in folders)
    return {folder.name: read_table(folder, read_manifest(folder)) for folder in folders}


def test_every_epoch_of_every_log_arrives(tmp_path: Path) -> None:
    logs = [a_log(arch) for arch in ARCHS]
    tables = imported(zipped(tmp_path / "logs.zip", logs), tmp_path / "out")
    table = tables["nasbench-nlp-ptb"]
    training = table.trainings[f"{EPOCHS}-epochs"]
    assert list(tables) == ["nasbench-nlp-ptb"]
    assert (training.seeds, training.objective, training.seconds_kind) == (
        (-1,),
        "valid_loss",
        "measured",
    )
    rows = table.architectures.tolist()
    for arch, log in zip(ARCHS, logs, strict=True):
        row = rows.index(list(arch))
        for name, key in importer._LOSSES.items():
            assert training.columns[name].values[row, 0].tolist() == log[key]
        seconds = training.columns["train_seconds"].values[row, 0]
        assert seconds[0] == log["wall_times"][0]  # the first epoch's time is counted too
        assert seconds[-1] == pytest.approx(sum(log["wall_times"]))
        assert table.static["parameters"].values[row] == log["num_params"] / 1e6
    bench = TableBenchmark(table, SPACE, "sha256:0")
    assert bench.lookup(ARCHS[0], epoch=2).seconds == pytest.approx(sum(logs[0]["wall_times"][:2]))


def test_a_failure_keeps_what_was_measured(tmp_path: Path) -> None:
    logs = [a_log(ARCHS[0], nan_at=3), a_log(ARCHS[1], nan_at=0), a_log(ARCHS[2])]
    folder = importer.import_nasbench_nlp(zipped(tmp_path / "logs.zip", logs), tmp_path / "out")[0]
    table, manifest = read_table(folder, read_manifest(folder)), read_manifest(folder)
    columns = table.trainings[f"{EPOCHS}-epochs"].columns
    row = table.architectures.tolist().index(list(ARCHS[0]))
    assert columns["valid_loss"].values[row, 0, :3].tolist() == logs[0]["val_losses"][:3]
    assert np.isnan(columns["valid_loss"].values[row, 0, 3:]).all()
    seconds = columns["train_seconds"].values[row, 0]
    assert seconds[3] == pytest.approx(sum(logs[0]["wall_times"]))  # it took its time
    assert np.isnan(seconds[4:]).all()
    row = table.architectures.tolist().index(list(ARCHS[1]))
    assert np.isnan(columns["valid_loss"].values[row]).all()
    assert manifest["failed"] == sorted(
        f"{name_of(log)}: loss is nan! after {done} epochs"
        for log, done in ((logs[0], 3), (logs[1], 0))
    )


def test_a_training_that_was_stopped_at_once_is_a_row(tmp_path: Path) -> None:
    empty: dict[str, Any] = {key: [] for key in ("wall_times", *importer._LOSSES.values())}
    logs = [a_log(ARCHS[0]), a_log(ARCHS[1], status="Exception: math range error", **empty)]
    (table,) = imported(zipped(tmp_path / "logs.zip", logs), tmp_path / "out").values()
    values = table.trainings[f"{EPOCHS}-epochs"].columns["valid_loss"].values
    assert np.isfinite(values).all(axis=2).sum() == 1
    manifest = read_manifest(tmp_path / "out/nasbench-nlp-ptb")
    assert manifest["failed"] == [f"{name_of(logs[1])}: Exception: math range error after 0 epochs"]


def test_overlapping_archives_count_a_training_once(tmp_path: Path) -> None:
    once, again = [a_log(arch) for arch in ARCHS[:4]], [a_log(ARCHS[0], draw=d) for d in (0, 1, 2)]
    zipped(tmp_path / "repo/train_logs_single_run/logs.zip", once)
    zipped(tmp_path / "repo/train_logs_multi_runs/logs.zip", again)
    other = [a_log(arch, data="wikitext-2") for arch in ARCHS[:2]]
    zipped(tmp_path / "repo/train_logs_wikitext-2/logs.zip", other)
    tables = imported(tmp_path / "repo", tmp_path / "out")
    assert list(tables) == ["nasbench-nlp-ptb", "nasbench-nlp-wikitext-2"]
    table = tables["nasbench-nlp-ptb"]
    training = table.trainings[f"{EPOCHS}-epochs"]
    assert training.seeds == (-1, -2, -3)
    finite = np.isfinite(training.columns["valid_loss"].values[:, :, -1])
    row = table.architectures.tolist().index(list(ARCHS[0]))
    assert finite[row].sum() == 3
    assert finite.sum() == 6
    manifest = read_manifest(tmp_path / "out/nasbench-nlp-ptb")
    assert manifest["seed_note"].endswith("1 logs that repeat another's figures were left out.")


def test_the_same_file_name_twice_with_other_figures_is_two_trainings(tmp_path: Path) -> None:
    one = a_log(ARCHS[0])
    other = {**a_log(ARCHS[0], draw=1), **{k: one[k] for k in ("recepie_id", "experiment_id")}}
    zipped(tmp_path / "repo/a/logs.zip", [one])
    zipped(tmp_path / "repo/b/logs.zip", [other])
    (table,) = imported(tmp_path / "repo", tmp_path / "out").values()
    assert table.trainings[f"{EPOCHS}-epochs"].seeds == (-1, -2)
    assert read_manifest(tmp_path / "out/nasbench-nlp-ptb")["same_file_names"] == 1


def test_a_folder_of_logs_and_other_names_of_nodes(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    plain = '{"f": {"op": "linear", "input": ["x", "h_prev_0"]}, "h_new_0": {"op": "activation_tanh", "input": ["f"]}}'
    turned = '{"h_new_0": {"op": "activation_tanh", "input": ["n"]}, "n": {"op": "linear", "input": ["h_prev_0", "x"]}}'
    rnn = SPACE.parse(plain)
    for i, text in enumerate((plain, turned)):
        log = a_log(rnn, draw=i, recepie=text)
        (folder / name_of(log)).write_text(json.dumps(log))
    (folder / "models_recepies.json").write_bytes(b" " * 2**21)  # not a log, and larger than one
    (table,) = imported(folder, tmp_path / "out").values()
    assert len(table.architectures) == 1
    assert table.trainings[f"{EPOCHS}-epochs"].seeds == (-1, -2)


def test_other_settings_are_another_training(tmp_path: Path) -> None:
    logs = [a_log(arch) for arch in ARCHS[:3]] + [a_log(ARCHS[0], draw=1, lr=0.01)]
    (table,) = imported(zipped(tmp_path / "logs.zip", logs), tmp_path / "out").values()
    assert len(table.trainings) == 2
    assert table.default_training == f"{EPOCHS}-epochs"


def test_too_many_settings_are_refused(tmp_path: Path) -> None:
    logs = [a_log(ARCHS[0], draw=i, lr=0.01 + i / 1000) for i in range(17)]
    with pytest.raises(FormatError, match="in 17 different ways, at most 16 expected"):
        importer.import_nasbench_nlp(zipped(tmp_path / "logs.zip", logs), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_swapped_splits_are_refused(tmp_path: Path) -> None:
    logs = [a_log(arch) for arch in ARCHS]
    for log in logs:
        log["test_losses"] = log["val_losses"]
    with pytest.raises(TableError, match="hold the same numbers"):
        importer.import_nasbench_nlp(zipped(tmp_path / "logs.zip", logs), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"recepie": "{}"}, "The recipe computes no hidden state"),
        ({"recepie": None}, "is no log of NAS-Bench-NLP"),
        (
            {"recepie": SPACE.format(ARCHS[0]).replace("linear", "conv")},
            "Unknown operation 'conv'",
        ),
        ({"data": "data/enwik8"}, "data is 'data/enwik8'"),
        ({"data": 3}, "data is 3"),
        ({"epochs": "50"}, "epochs must be a whole number"),
        ({"status": None}, "status must be a text"),
        ({"num_params": 1.5}, "num_params must be a whole number"),
        ({"val_losses": [5.0] * (EPOCHS - 1)}, "as many of each expected"),
        ({"val_losses": [5.0] * (EPOCHS - 1) + [math.nan]}, "its status is OK, but 5 of 6 epochs"),
        ({"val_losses": [5.0] * (EPOCHS - 1) + ["5"]}, "val_losses must hold numbers"),
        ({"val_losses": [-5.0] * EPOCHS}, "val_losses holds -5.0"),
        ({"val_losses": 5.0}, "val_losses must be a list"),
        ({"wall_times": [math.nan] * EPOCHS}, "a time that is not finite"),
        ({"wall_times": [10**400] * EPOCHS}, "wall_times holds 1000"),
    ],
)
def test_other_logs_are_refused(change: dict[str, Any], problem: str, tmp_path: Path) -> None:
    logs = [a_log(arch) for arch in ARCHS]
    logs[5].update(change)
    path = zipped(tmp_path / "logs.zip", logs)
    with pytest.raises(FormatError, match=rf"{name_of(logs[5])}: .*{problem}"):
        import_official("nasbench-nlp", path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_logs_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    logs = [a_log(ARCHS[0]), a_log(ARCHS[0], draw=1, num_params=7)]
    with pytest.raises(FormatError, match="are the same cell with"):
        importer.import_nasbench_nlp(zipped(tmp_path / "logs.zip", logs), tmp_path / "out")
    with pytest.raises(FormatError, match="no log_stats_model"):
        importer.import_nasbench_nlp(zipped(tmp_path / "logs.zip", []), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def read(data: bytes) -> object:
    return read_log(data, "log")


def test_cut_anywhere_it_is_refused() -> None:
    good = json.dumps(a_log(ARCHS[0])).encode()
    for length in range(len(good)):
        with pytest.raises(FormatError):
            read(good[:length])


def test_damaged_logs() -> None:
    assert refused(read, json.dumps(a_log(ARCHS[0])).encode(), 300, seed=0, limit=2**20) > 150


@pytest.mark.slow
def test_damaged_logs_at_length() -> None:
    good = json.dumps(a_log(ARCHS[0])).encode()
    assert refused(read, good, 10_000, seed=1, limit=2**20) > 5000


@pytest.mark.skipif(not SHARED.exists(), reason="the published logs are not at hand")
def test_published_archive(tmp_path: Path) -> None:
    tables = imported(SHARED / "wikitext-2.logs.zip", tmp_path / "out")
    table = tables["nasbench-nlp-wikitext-2"]
    columns = table.trainings["50-epochs"].columns
    assert np.isfinite(columns["valid_loss"].values[:, :, -1]).sum() == 341
    assert round(math.exp(np.nanmin(columns["test_loss"].values)), 2) == 91.36
    manifest = read_manifest(tmp_path / "out/nasbench-nlp-wikitext-2")
    assert len(manifest["failed"]) == 4
    assert manifest["parameters_not_as_counted"] == 0
