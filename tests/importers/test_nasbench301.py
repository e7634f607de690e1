"""NAS-Bench-301's importer: logs of our own in the published layout, the published one, damage."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from importers.fuzzing import refused
from nasbench_tab.benchmarks.origins import read_origins
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import Table, read_manifest, read_table
from nasbench_tab.errors import FormatError, TableError
from nasbench_tab.fitting.fit import fit_surrogate
from nasbench_tab.fitting.observed import observe
from nasbench_tab.importers import nasbench301 as importer
from nasbench_tab.importers.formats import import_official
from nasbench_tab.importers.nasbench301 import read_log
from nasbench_tab.predictors.trees import Settings
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.convert.darts import PREFIX, to_configspace
from nasbench_tab.spaces.darts import Darts, parameters

SPACE = Darts()
SHARED = Path(__file__).parents[3] / "shared/data/nasbench301"
ARCHS = SPACE.sample(np.random.default_rng(0), 40)
EPOCHS = 12
LEARNING_RATE = "OptimizerSelector:sgd:learning_rate"


def a_log(arch: Architecture, draw: int = 0, curves: bool = True, **change: Any) -> dict[str, Any]:
    """Return what one training left, as the published example has it."""
    rng = np.random.default_rng([draw, *arch])
    count = int(parameters(np.array([arch]))[0])
    # More parameters help, so that there is something to learn.
    final = 80 + count / 1e6 * 6 + rng.normal(0, 0.1)
    curve = np.round(final - 40 * np.exp(-np.arange(1, EPOCHS + 1) / 3) * (1 - 1e-3), 2)
    curve[-1] = round(final, 2)
    config = {
        "CreateImageDataLoader:batch_size": 96,
        f"{PREFIX}auxiliary": "True",
        f"{PREFIX}drop_path_prob": 0.2,
        f"{PREFIX}init_channels": 32,
        f"{PREFIX}layers": 8,
        LEARNING_RATE: 0.025,
        "SimpleLearningrateSchedulerSelector:cosine_annealing:T_max": 100,
        **to_configspace(arch),
    }
    info = {
        "train_loss": 0.65,
        "train_accuracy": 86.5 + draw,
        "val_accuracy": float(curve[-1]),
        "val_cross_entropy": round(3 - final / 40, 3),
        "epochs": EPOCHS,
        "model_parameters": count,
        "val_accuracy_final": float(curve[-1]),
    }
    record: dict[str, Any] = {
        "final_metric_score": -float(curve[-1]),
        "optimized_hyperparamater_config": config,
        "budget": 100,
        "info": [info],
        "test_accuracy": round(final - 0.3 + rng.normal(0, 0.1), 2),
        "runtime": 4000.5 + count / 1e3,
    }
    if curves:
        record["learning_curves"] = {
            "Train/val_accuracy": curve.tolist(),
            "Train/train_loss": np.round(2 - curve / 60, 3).tolist(),
        }
    for key, value in change.items():
        target = info if key in info else config if key in config else record
        target[key] = value
    return record


def written(root: Path, logs: dict[str, dict[str, Any]]) -> Path:
    for name, log in logs.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(log))
    return root


def some(curves: bool = True) -> dict[str, dict[str, Any]]:
    return {
        f"{'rs' if i % 2 else 're'}/results_{i}.json": a_log(arch, curves=curves)
        for i, arch in enumerate(ARCHS)
    }


def imported(root: Path, out: Path) -> tuple[Table, dict[str, Any]]:
    (folder,) = importer.import_nasbench301(root, out)
    manifest = read_manifest(folder)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["nb301"]
    return read_table(folder, manifest), manifest


def test_every_figure_arrives(tmp_path: Path) -> None:
    logs = some()
    table, manifest = imported(written(tmp_path / "logs", logs), tmp_path / "out")
    assert list(table.trainings) == ["100-epochs", "100-epochs-curves"]
    final, curves = table.trainings.values()
    assert (final.seeds, final.epochs, curves.epochs) == ((-1,), (100,), tuple(range(1, 13)))
    assert (final.epochs_kind, curves.epochs_kind) == ("separate trainings", "curve")
    assert (final.seconds_kind, curves.seconds_kind) == ("measured", "none")
    assert set(curves.columns) == {"valid_accuracy", "train_loss"}
    rows = {tuple(cell): i for i, cell in enumerate(table.architectures.tolist())}
    for log in logs.values():
        arch = read_log(json.dumps(log).encode(), "rs/results_0.json").architecture
        row = rows[arch]
        info = log["info"][0]
        assert final.columns["valid_accuracy"].values[row, 0, 0] == info["val_accuracy"]
        assert final.columns["valid_loss"].values[row, 0, 0] == info["val_cross_entropy"]
        assert final.columns["test_accuracy"].values[row, 0, 0] == log["test_accuracy"]
        assert final.columns["train_seconds"].values[row, 0, 0] == log["runtime"]
        values = curves.columns["valid_accuracy"].values[row, 0]
        assert values.tolist() == log["learning_curves"]["Train/val_accuracy"]
        assert table.static["parameters"].values[row] == info["model_parameters"] / 1e6
    assert manifest["failed_trainings"] == manifest["short_curves"] == 0
    assert manifest["parameters_not_as_counted"] == 0
    assert "re 20, rs 20" in manifest["origin"]


def test_origins_reach_the_fit(tmp_path: Path) -> None:
    written(tmp_path / "logs", some())
    imported(tmp_path / "logs", tmp_path / "out")
    origins = read_origins(tmp_path / "out" / "nb301")
    assert len(origins) == 80
    for training in ("100-epochs", "100-epochs-curves"):
        runs = observe(tmp_path / "out" / "nb301", training=training).runs
        expected = ["rs" if ARCHS.index(tuple(cell)) % 2 else "re" for cell in runs.cells.tolist()]
        assert list(runs.origins) == expected
    final = observe(tmp_path / "out" / "nb301").runs
    assert list(final.metrics) == ["valid_accuracy", "test_accuracy"]
    assert np.isfinite(final.seconds).all()


@pytest.mark.parametrize(
    ("training", "epochs"),
    [
        ("100-epochs", (100,)),
        pytest.param("100-epochs-curves", tuple(range(1, 13)), marks=pytest.mark.slow),
    ],
)
def test_a_surrogate_can_be_fitted(training: str, epochs: tuple[int, ...], tmp_path: Path) -> None:
    written(tmp_path / "logs", some())
    imported(tmp_path / "logs", tmp_path / "out")
    runs = observe(tmp_path / "out" / "nb301", training=training).runs
    surrogate, held_out = fit_surrogate(runs, np.random.default_rng(0), settings=Settings(rounds=2))
    assert surrogate.epochs == epochs
    assert np.isfinite(held_out["valid_accuracy"].mean).all()


def test_without_curves_the_figures_at_the_end_are_there(tmp_path: Path) -> None:
    table, _ = imported(written(tmp_path / "logs", some(curves=False)), tmp_path / "out")
    assert list(table.trainings) == ["100-epochs"]
    bench = TableBenchmark(table, SPACE, "sha256:0")
    assert len(bench.measured()) == 40


def test_zip_and_tar_hold_the_same(tmp_path: Path) -> None:
    root = written(tmp_path / "logs", some())
    expected, _ = imported(root, tmp_path / "a")
    for number, kind in enumerate(("zip", "gztar")):
        archive = Path(shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path, "logs"))
        table, manifest = imported(archive, tmp_path / f"out{number}")
        assert np.array_equal(table.architectures, expected.architectures)
        assert "rs 20" in manifest["origin"]


def test_repeats_copies_and_failures(tmp_path: Path) -> None:
    first = ARCHS[0]
    logs = {
        "rs/results_2.json": a_log(first, draw=1),
        "rs/results_10.json": a_log(first, draw=2),
        "tpe/results_0.json": a_log(first, draw=1),  # the first one's copy
        "tpe/results_1.json": a_log(ARCHS[1], val_accuracy=float("nan"), learning_curves={}),
        "tpe/results_2.json": a_log(ARCHS[2], info=[]),
        "tpe/results_3.json": a_log(
            ARCHS[3], learning_curves={"Train/val_accuracy": [10.0, 20.0, None, 40.0]}
        ),
        "tpe/notes.json": {},
        "__MACOSX/rs/._results_2.json": {},
    }
    logs["tpe/results_2.json"].pop("learning_curves")
    logs["tpe/results_2.json"]["test_accuracy"] = None
    table, manifest = imported(written(tmp_path / "logs", logs), tmp_path / "out")
    final, curves = table.trainings.values()
    rows = [table.architectures.tolist().index(list(arch)) for arch in ARCHS[:4]]
    values = final.columns["valid_accuracy"].values[:, :, 0]
    assert final.seeds == (-1, -2)
    assert values[rows[0]].tolist() == [
        logs["rs/results_2.json"]["info"][0]["val_accuracy"],
        logs["rs/results_10.json"]["info"][0]["val_accuracy"],
    ]
    assert np.isnan(values[rows[1]]).all()
    assert np.isnan(values[rows[2]]).all()
    assert np.isnan(values[rows[3]][1])
    short = curves.columns["valid_accuracy"].values[rows[3], 0]
    assert short[:2].tolist() == [10.0, 20.0]
    assert np.isnan(short[2])
    assert np.isnan(short[4:]).all()
    assert manifest["failed_trainings"] == 2
    assert manifest["failed"] == [
        "tpe/results_1.json: no validation accuracy",
        "tpe/results_2.json: no validation accuracy",
    ]
    assert manifest["short_curve_files"] == ["tpe/results_3.json"]
    assert manifest["ignored_files"] == 2
    assert "1 logs that repeat" in manifest["seed_note"]


def test_other_settings_are_another_training(tmp_path: Path) -> None:
    logs = some()
    logs["rs/results_90.json"] = a_log(ARCHS[0])
    logs["rs/results_90.json"]["optimized_hyperparamater_config"][LEARNING_RATE] = 0.03
    table, manifest = imported(written(tmp_path / "logs", logs), tmp_path / "out")
    assert len(table.trainings) == 4
    assert table.default_training == "100-epochs"
    other = [label for label in table.trainings if label.count("-") == 2 and "curves" not in label]
    values = table.trainings[other[0]].columns["valid_accuracy"].values
    assert np.isfinite(values).sum() == 1
    assert "learning_rate 0.03" in manifest["protocol"]


def test_budgets_tell_ways_apart_where_the_schedule_does_not(tmp_path: Path) -> None:
    logs = some(curves=False)
    for i, log in enumerate(logs.values()):
        del log["optimized_hyperparamater_config"][importer._EPOCHS]
        log["budget"] = 50 if i < 3 else 100
    table, _ = imported(written(tmp_path / "logs", logs), tmp_path / "out")
    assert {training.epochs for training in table.trainings.values()} == {(50,), (100,)}
    assert table.trainings[table.default_training].epochs == (100,)


def test_too_many_settings_are_refused(tmp_path: Path) -> None:
    logs = some()
    for i, log in enumerate(logs.values()):
        log["optimized_hyperparamater_config"][LEARNING_RATE] = 0.01 + i / 1000
    with pytest.raises(FormatError, match=rf"in 40 different ways, .* differ in {LEARNING_RATE}"):
        importer.import_nasbench301(written(tmp_path / "logs", logs), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_swapped_splits_are_refused(tmp_path: Path) -> None:
    logs = some()
    for log in logs.values():
        info = log["info"][0]
        info["val_accuracy"], log["test_accuracy"] = log["test_accuracy"], info["val_accuracy"]
    with pytest.raises(FormatError, match=r"in 40 logs \(.*results_\d+\.json\) .*were swapped"):
        importer.import_nasbench301(written(tmp_path / "swapped", logs), tmp_path / "out")
    logs = some()
    for log in logs.values():
        log["test_accuracy"] = log["info"][0]["val_accuracy"]
    with pytest.raises(TableError, match="hold the same numbers"):
        importer.import_nasbench301(written(tmp_path / "logs", logs), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({f"{PREFIX}edge_normal_0": "none"}, "Unknown operation 'none'"),
        ({f"{PREFIX}inputs_node_normal_3": "0_0"}, "inputs_node_normal_3 is '0_0'"),
        ({"optimized_hyperparamater_config": None}, "is no log of NAS-Bench-301"),
        ({"val_accuracy": "97.1"}, "val_accuracy must be a number"),
        ({"val_accuracy": 197.1}, "val_accuracy is 197.1; 0 to 100 expected"),
        ({"val_accuracy": 10**400}, "val_accuracy is 1000"),
        ({"runtime": True}, "runtime must be a number"),
        ({"runtime": -1}, "runtime is -1"),
        ({"info": [{}, {}]}, "info must be a list of one object"),
        ({"info": 3}, "info must be a list of one object"),
        ({"learning_curves": [1]}, "learning_curves must be an object"),
        ({"learning_curves": {"Train/val_accuracy": [[]]}}, "Train/val_accuracy must be a number"),
        ({"learning_curves": {"Train/val_accuracy": 3}}, "must be a list of numbers"),
    ],
)
def test_other_logs_are_refused(change: dict[str, Any], problem: str, tmp_path: Path) -> None:
    logs = some()
    logs["rs/results_99.json"] = a_log(ARCHS[0], **change)
    written(tmp_path / "logs", logs)
    with pytest.raises(FormatError, match=rf"rs/results_99\.json: .*{problem}"):
        import_official("nasbench301", tmp_path / "logs", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_logs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with pytest.raises(FormatError, match=r"no results_<i>\.json in it"):
        importer.import_nasbench301(tmp_path / "logs", tmp_path)
    with zipfile.ZipFile(tmp_path / "logs.zip", "w") as archive:
        archive.writestr("../results_0.json", "{}")
    with pytest.raises(FormatError, match="leads out"):
        importer.import_nasbench301(tmp_path / "logs.zip", tmp_path)


def read(data: bytes) -> object:
    return read_log(data, "rs/results_0.json")


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


@pytest.mark.skipif(not SHARED.exists(), reason="the published log is not at hand")
def test_published_log(tmp_path: Path) -> None:
    table, manifest = imported(SHARED, tmp_path)
    assert list(table.trainings) == ["1500-epochs"]
    columns = table.trainings["1500-epochs"].columns
    assert {name: column.values.item() for name, column in columns.items()} == {
        "valid_accuracy": 97.68,
        "valid_loss": 0.11181110654650256,
        "test_accuracy": 97.54,
        "train_accuracy": 86.63792774960372,
        "train_loss": 0.6592820829957724,
        "train_seconds": 365136.0,
    }
    assert table.static["parameters"].values.item() == 6.369358
    assert manifest["parameters_not_as_counted"] == 0
    assert manifest["ignored_files"] == 1
