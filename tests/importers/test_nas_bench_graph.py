"""The NAS-Bench-Graph tables against the package they come from."""

from __future__ import annotations

import runpy
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.benchmarks.tablefile import Table, read_manifest, read_table, write_table
from nasbench_tab.errors import TableError
from nasbench_tab.importers import nas_bench_graph as importer
from nasbench_tab.importers.packages import package_file, rebuild
from nasbench_tab.importers.unpickle import NUMPY_SCALARS, read_plain
from nasbench_tab.registry import load_space

DATA = Path(__file__).resolve().parents[2] / "data"
NAMES = pytest.mark.parametrize("name", importer.DATASETS)
N_TEST = {
    "nbgraph-cora": 1000,
    "nbgraph-citeseer": 1000,
    "nbgraph-pubmed": 1000,
    "nbgraph-cs": 17583,
    "nbgraph-physics": 34243,
    "nbgraph-photo": 7087,
    "nbgraph-computers": 12881,
    "nbgraph-arxiv": 48603,
}


@cache
def records(name: str) -> dict[int, dict[str, Any]]:
    source = importer.DATASETS[name]
    path = package_file(importer.PACKAGE, importer.PACKAGE_VERSION, source.member, source.sha256)
    content: dict[int, dict[str, Any]] = read_plain(path, NUMPY_SCALARS)
    return content


@cache
def stored(name: str) -> Table:
    return read_table(DATA / name, read_manifest(DATA / name))


def columns(table: Table) -> dict[str, np.ndarray[Any, Any]]:
    training = table.trainings["published"]
    values = {metric: column.values[:, 0, 0] for metric, column in training.columns.items()}
    return values | {metric: column.values for metric, column in table.static.items()}


@NAMES
def test_every_row_holds_the_published_figures(name: str) -> None:
    table, source = stored(name), importer.DATASETS[name]
    space = load_space(table.space)
    hashes = [space.index(tuple(cell)) for cell in table.architectures.tolist()]
    assert hashes == sorted(records(name))
    published = {
        f"valid_{source.measure}": "valid_perf",
        f"test_{source.measure}": "perf",
        "latency": "latency",
        "parameters": "para",
    }
    held = columns(table)
    assert held.keys() == published.keys()
    for metric, key in published.items():
        assert held[metric].tolist() == [float(records(name)[number][key]) for number in hashes]


@NAMES
def test_figures_are_complete_and_plausible(name: str) -> None:
    table, source = stored(name), importer.DATASETS[name]
    for metric, values in columns(table).items():
        assert np.isfinite(values).all()
        assert values.min() > 0
        if metric.startswith(("valid", "test")):
            assert values.max() < 1
    training = table.trainings["published"]
    assert training.objective == f"valid_{source.measure}"
    assert (training.seeds, training.epochs) == ((-1,), (source.epochs,))
    assert training.seconds_kind == "none"
    assert not table.by_index


@NAMES
def test_figures_are_means_of_three_trainings(name: str) -> None:
    """What the manifest says of them shows in their denominators."""
    values = columns(stored(name))
    measure = importer.DATASETS[name].measure
    thirds = values[f"valid_{measure}"] * 3000
    np.testing.assert_allclose(thirds, np.round(thirds), atol=1e-6)
    if name in N_TEST:
        correct = values["test_accuracy"] * 3 * N_TEST[name]
        np.testing.assert_allclose(correct, np.round(correct), atol=1e-5)


def test_physics_alone_has_parameters_that_are_no_whole_numbers() -> None:
    counts = {}
    for name in importer.DATASETS:
        parameters = columns(stored(name))["parameters"] * 1e6
        counts[name] = int((abs(parameters - np.round(parameters)) > 1e-3).sum())
    assert {name: n for name, n in counts.items() if n} == {"nbgraph-physics": 1113}


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in DATA.glob("*/prepare.py")))
def test_recipe_rebuilds_the_stored_table(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / folder
    copy.mkdir()
    for file in ("prepare.py", "manifest.toml"):
        shutil.copy(DATA / folder / file, copy)
    if (DATA / folder / "logs").is_dir():  # what is not packed yet is in no table
        (copy / "logs").mkdir()
        for shard in (DATA / folder / "logs").glob("*.jsonl.xz"):
            shutil.copy(shard, copy / "logs")
    runpy.run_path(str(copy / "prepare.py"))
    digest = read_manifest(DATA / folder)["hash"]
    assert capsys.readouterr().out == f"{folder}: {digest} (the same as in the manifest before)\n"
    again, shipped = read_manifest(copy), read_manifest(DATA / folder)
    # The bytes of the file depend on the HDF5 version; all else must come back.
    assert again.pop("file_sha256")
    assert shipped.pop("file_sha256")
    assert again == shipped


def test_rebuild_says_when_the_hash_is_new(tmp_path: Path) -> None:
    script = tmp_path / "some-table" / "prepare.py"
    said = rebuild(lambda name, _: f"hash of {name}", str(script))
    assert said == "some-table: hash of some-table (there was no manifest before)"
    script.parent.mkdir()
    (script.parent / "manifest.toml").write_text('hash = "old"\n')
    said = rebuild(lambda _, folder: f"new hash of {folder.name}", str(script))
    assert said.endswith("new hash of some-table (NOT the same: the manifest before had old)")


def test_proteins_says_roc_auc_and_lists_what_is_missing() -> None:
    manifest = read_manifest(DATA / "nbgraph-proteins")
    assert manifest["trainings"]["published"]["objective"] == "valid_roc_auc"
    assert {"training time", "learning curves", "single-seed results"} <= set(manifest["lacks"])


def altered(change: dict[int, dict[str, float] | None]) -> dict[int, dict[str, Any]]:
    """The proteins records with some of them replaced, or removed where None."""
    mixed = {**records("nbgraph-proteins"), **change}
    return {number: record for number, record in mixed.items() if record is not None}


def test_missing_architecture_is_refused() -> None:
    with pytest.raises(TableError, match="2021 architectures expected, 2020 found"):
        importer.build("nbgraph-proteins", altered({1111: None}))


def test_architecture_under_a_wrong_hash_is_refused() -> None:
    record = records("nbgraph-proteins")[1111]
    with pytest.raises(TableError, match="There is no architecture 41 in nasbench-graph-proteins"):
        importer.build("nbgraph-proteins", altered({1111: None, 41: record}))


def test_records_of_the_other_space_are_refused() -> None:
    with pytest.raises(TableError, match="26206 architectures expected, 2021 found"):
        importer.build("nbgraph-cora", records("nbgraph-proteins"))
    with pytest.raises(TableError, match="There is no architecture 0"):
        importer.build("nbgraph-proteins", records("nbgraph-cora"))


def test_missing_figure_is_refused() -> None:
    record = {"valid_perf": 0.5, "latency": 0.1, "para": 0.2}
    with pytest.raises(TableError, match="no figure 'perf'"):
        importer.build("nbgraph-proteins", altered({1111: record}))


@pytest.mark.parametrize("wrong", [-0.1, 1.1, 81.9])
def test_figure_outside_its_bounds_is_not_written(wrong: float, tmp_path: Path) -> None:
    record = {**records("nbgraph-proteins")[1111], "valid_perf": wrong}
    table = importer.build("nbgraph-proteins", altered({1111: record}))
    with pytest.raises(TableError, match="'valid_roc_auc' leaves its bounds"):
        write_table(tmp_path, table, {})
    assert not list(tmp_path.iterdir())


def test_altered_package_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = importer.DATASETS["nbgraph-cora"]._replace(sha256="0" * 64)
    monkeypatch.setitem(importer.DATASETS, "nbgraph-cora", source)
    with pytest.raises(TableError, match="SHA-256 0000"):
        importer.prepare("nbgraph-cora", tmp_path)
    assert not list(tmp_path.iterdir())
