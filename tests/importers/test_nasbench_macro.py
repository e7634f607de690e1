"""NAS-Bench-Macro's importer: a file of our own in the published layout, the published one, damage."""

from __future__ import annotations

import json
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from importers.fuzzing import refused
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import read_manifest, read_table
from nasbench_tab.errors import FormatError, InvalidArgumentError
from nasbench_tab.importers import nasbench_macro as importer
from nasbench_tab.importers.formats import import_official
from nasbench_tab.importers.plainjson import parsed
from nasbench_tab.records import Protocol
from nasbench_tab.search.run import run_search
from nasbench_tab.spaces.nasbench_macro import NasBenchMacro

SHARED = Path(__file__).parents[3] / "shared/data/nasbench-macro"
NAMES = ["".join(digits) for digits in product("012", repeat=8)]
RECORD = {
    "test_acc": [89.5, 88.75, 89.25],
    "mean_acc": 89.16666666666667,
    "std": 0.31180478223116176,
    "params": 890666,
    "flops": 47327744,
}
EXPECTED = {"params": 890666, "flops": 47327744}


@cache
def made_up() -> bytes:
    """Return a whole file in the published layout; strings in another order than ours."""
    cells = np.array([list(map(int, name)) for name in NAMES], np.uint8)
    known = NasBenchMacro().figures(cells)
    values = np.random.default_rng(0).uniform(40, 94, (len(NAMES), 3)).astype(np.float32)
    records = {
        name: {
            "test_acc": values[i].tolist(),
            "mean_acc": float(values[i].astype(float).mean()),
            "std": float(values[i].astype(float).std()),
            "params": int(known["parameters"][i]),
            "flops": int(known["macs"][i]),
        }
        for i, name in enumerate(NAMES)
    }
    names = np.random.default_rng(1).permutation(NAMES).tolist()
    return json.dumps({name: records[name] for name in names}).encode()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "nas-bench-macro_cifar10.json"
    path.write_bytes(made_up())
    return path


@pytest.mark.parametrize("folder", [False, True])
def test_every_training_arrives(source: Path, tmp_path: Path, folder: bool) -> None:
    seen: list[tuple[int, int]] = []
    (directory,) = importer.import_nasbench_macro(
        source.parent if folder else source,
        tmp_path / "out",
        progress=lambda done, total: seen.append((done, total)),
        test_as_validation=True,
    )
    manifest = read_manifest(directory)
    table = read_table(directory, manifest)
    records = json.loads(source.read_text())
    column = table.trainings["50-epochs"].columns[importer.AS_VALIDATION]
    assert table.by_index
    assert column.values.dtype == np.float32
    assert column.values[:, :, 0].tolist() == [records[name]["test_acc"] for name in NAMES]
    parameters = table.static["parameters"].values * 1e6
    assert parameters.round().tolist() == [records[name]["params"] for name in NAMES]
    assert table.trainings["50-epochs"].seeds == (0, 1, 2)
    assert seen[-1] == (6561, 6561)
    assert seen == sorted(seen)


def test_the_manifest_says_that_it_is_the_test_set(source: Path, tmp_path: Path) -> None:
    (directory,) = importer.import_nasbench_macro(source, tmp_path, test_as_validation=True)
    manifest = read_manifest(directory)
    assert manifest["protocol"].startswith("NOT A VALIDATION SPLIT")
    assert "TEST" in manifest["trainings"]["50-epochs"]["metrics"][importer.AS_VALIDATION]["note"]


def test_by_itself_a_test_accuracy_stays_one(source: Path, tmp_path: Path) -> None:
    (directory,) = import_official("nasbench-macro", source, tmp_path)
    manifest = read_manifest(directory)
    table = read_table(directory, manifest)
    training = table.trainings["50-epochs"]
    assert list(training.columns) == [training.objective] == ["test_accuracy"]
    assert training.columns["test_accuracy"].metric.split == "test"
    bench = TableBenchmark(table, NasBenchMacro(), manifest["hash"], about=manifest)
    assert bench.query(0) == pytest.approx(
        np.mean(json.loads(source.read_text())[NAMES[0]]["test_acc"])
    )
    with pytest.raises(InvalidArgumentError, match="of the test split; no search may see that"):
        run_search("random", bench, Protocol(evaluations=2), seed=0)


WRONG = [
    (b"", "not the JSON"),
    (b"[]", "6,561 architectures expected"),
    (b"{}", "6,561 architectures expected, 0 found"),
    (b'{"00000000": 1, "00000000": 2}', "'00000000' stands there twice"),
    (b"[" * 100_000, "not the JSON"),
    (json.dumps({"0000000x": 1}).encode(), "'0000000x' is not a NAS-Bench-Macro architecture"),
]


@pytest.mark.parametrize(("data", "problem"), WRONG)
def test_another_file_is_refused(data: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "nas-bench-macro_cifar10.json"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=problem):
        import_official("nasbench-macro", path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"macro_cifar10\.json cannot be read"):
        import_official("nasbench-macro", tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"test_acc": [89.5, 88.75]}, "test_acc must be 3 numbers"),
        ({"test_acc": [89.5, 88.75, 100.5]}, "test_acc must be 3 numbers from 0 to 100"),
        ({"test_acc": [89.5, 88.75, True]}, "test_acc must be 3 numbers"),
        ({"test_acc": [89.5, 88.75, None]}, "test_acc must be 3 numbers"),
        ({"test_acc": [89.5, 88.75, 89.0]}, r"mean_acc is 89.16666666666667; 89.08"),
        ({"std": 0.0}, "std is 0.0"),
        ({"params": 890667}, "params is 890667; 890666 expected of its blocks"),
        ({"flops": 10**400}, "flops is 1000"),
        ({"flops": "47327744"}, "flops is '47327744'"),
        ({"flop": 1}, "the fields test_acc"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(change: dict[str, Any], problem: str) -> None:
    assert importer._accuracies(RECORD, EXPECTED, "here") == [89.5, 88.75, 89.25]
    with pytest.raises(FormatError, match=problem):
        importer._accuracies({**RECORD, **change}, EXPECTED, "here")


def test_a_record_under_a_wrong_string_is_refused() -> None:
    records = json.loads(made_up())
    records["00000000"], records["00000001"] = records["00000001"], records["00000000"]
    with pytest.raises(FormatError, match="architecture 00000000: params is"):
        importer.build(records, "file")


def read_record(data: bytes) -> object:
    return importer._accuracies(parsed(data, "file"), EXPECTED, "file")


def test_damaged_records() -> None:
    assert refused(read_record, json.dumps(RECORD).encode(), 300, seed=0, limit=2**20) > 200


@pytest.mark.slow
def test_damaged_records_and_files_at_length() -> None:
    assert refused(read_record, json.dumps(RECORD).encode(), 10_000, seed=1, limit=2**20) > 8000

    def read(data: bytes) -> object:
        return importer.build(parsed(data, "file"), "file")

    assert refused(read, made_up(), 60, seed=2, limit=2**25) > 50


def test_cut_anywhere_it_is_refused() -> None:
    good = json.dumps(RECORD).encode()
    for length in range(len(good)):
        with pytest.raises(FormatError):
            read_record(good[:length])


@pytest.mark.skipif(not SHARED.exists(), reason="the published file is not at hand")
def test_published_file(tmp_path: Path) -> None:
    (directory,) = importer.import_nasbench_macro(SHARED, tmp_path, test_as_validation=True)
    table = read_table(directory, read_manifest(directory))
    means = (
        table.trainings["50-epochs"].columns[importer.AS_VALIDATION].values[:, :, 0].mean(axis=1)
    )
    assert round(float(means.max()), 2) == 93.13
