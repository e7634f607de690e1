"""Importers of NATS-Bench and NAS-Bench-201: every number of a file in its place, from every container."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.benchmarks.tablefile import Table, read_manifest, read_table
from nasbench_tab.errors import FormatError
from nasbench_tab.importers.formats import FORMATS, import_official
from nasbench_tab.importers.nats import import_nasbench201, import_nats_sss, import_nats_tss
from nasbench_tab.spaces.base import Space

from . import official_nats as made
from .official_nats import FIRST_TSS as TSS
from .official_nats import INDICES, torch_saved

pytestmark = pytest.mark.usefixtures("small")

DATASETS = ("cifar10", "cifar100", "imagenet16-120")
#: Each set's metric, by what was trained on.
WORDS = {
    "cifar10-valid": {"x-valid": "valid", "ori-test": "test"},
    "cifar10": {"ori-test": "test"},
    "cifar100": {"x-valid": "valid", "x-test": "test", "ori-test": "valid_test"},
    "ImageNet16-120": {"x-valid": "valid", "x-test": "test", "ori-test": "valid_test"},
}


def tables(folders: list[Path]) -> dict[str, Table]:
    return {folder.name: read_table(folder, read_manifest(folder)) for folder in folders}


def check(content: dict[str, Any], found: dict[str, Table], prefix: str) -> int:
    """Compare every number of a file with the tables; return how many there were."""
    n = 0
    rows = {index: row for row, index in enumerate(sorted(content["arch2infos"]))}
    for index, schedules in content["arch2infos"].items():
        for results in schedules.values():
            for (dataset, seed), run in results["all_results"].items():
                name = "cifar10" if dataset.startswith("cifar10-") else dataset.lower()
                label = f"{run['epochs']}-epochs" + ("-train+valid" if dataset == "cifar10" else "")
                training = found[f"{prefix}-{name}"].trainings[label]
                columns = training.columns
                assert training.dataset == dataset
                place = training.seeds.index(seed)

                def curve(
                    metric: str, row: int = rows[index], place: int = place, columns: Any = columns
                ) -> Any:
                    return columns[metric].values[row, place]

                for key, metric in (
                    ("train_acc1es", "train_accuracy"),
                    ("train_acc5es", "train_top5_accuracy"),
                    ("train_losses", "train_loss"),
                ):
                    if run[key] is not None:
                        assert curve(metric).tolist() == list(run[key].values())
                        n += len(run[key])
                if run["train_times"] is None:
                    assert "train_seconds" not in columns
                else:
                    times = np.cumsum(list(run["train_times"].values()))
                    assert curve("train_seconds").tolist() == times.tolist()
                for key, what in (("eval_acc1es", "accuracy"), ("eval_losses", "loss")):
                    seen = {word: np.zeros(run["epochs"], bool) for word in WORDS[dataset].values()}
                    for where, value in run[key].items():
                        word, epoch = WORDS[dataset][where.split("@")[0]], int(where.split("@")[1])
                        assert curve(f"{word}_{what}")[epoch] == value
                        seen[word][epoch] = True
                        n += 1
                    for word, there in seen.items():
                        assert np.isnan(curve(f"{word}_{what}")[~there]).all()
                for where, word in WORDS[dataset].items():
                    passes = [
                        run["eval_times"].get(f"{where}@{e}", np.nan) for e in range(run["epochs"])
                    ]
                    metric = "eval_seconds" if word == "valid" else f"{word}_seconds"
                    if not np.isnan(passes).all():
                        assert curve(metric).tolist() == np.cumsum(passes).tolist()
                        n += len(passes)
    return n


# --- Every number, from every container ---------------------------------------------------------------


def test_a_simple_folder(tss: dict[str, Any], tmp_path: Path) -> None:
    source = made.write_simple(tmp_path / "NATS-tss-v1_0-3ffb9-simple", tss)
    calls: list[tuple[int, int]] = []
    folders = import_nats_tss(
        source, tmp_path / "out", partial=True, progress=lambda *args: calls.append(args)
    )
    assert [folder.name for folder in folders] == [f"nats-tss-{name}" for name in DATASETS]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(f.name for f in folders)
    assert calls == [(i + 1, 300) for i in range(3)]
    found = tables(folders)
    assert check(tss, found, "nats-tss") > 40_000
    for table in found.values():
        assert not table.by_index
        assert table.default_training == "200-epochs"
        cells = [TSS.unindex(i) for i in INDICES]
        assert table.architectures.tolist() == [list(cell) for cell in cells]
        for training in table.trainings.values():
            assert training.epochs_kind == "curve"
            assert training.seconds_kind == "synthetic"
    assert found["nats-tss-cifar10"].trainings.keys() == {
        *("12-epochs", "200-epochs", "12-epochs-train+valid", "200-epochs-train+valid"),
    }
    assert found["nats-tss-cifar10"].trainings["12-epochs"].seeds == (111, 777)
    assert found["nats-tss-cifar10"].trainings["12-epochs-train+valid"].seeds == (111,)
    assert found["nats-tss-cifar100"].trainings["200-epochs"].seeds == (777, 888, 999)


def test_the_size_space(sss: dict[str, Any], tmp_path: Path) -> None:
    source = made.write_simple(tmp_path / "simple", sss)
    found = tables(import_nats_sss(source, tmp_path / "out", partial=True))
    assert check(sss, found, "nats-sss") > 10_000
    table = found["nats-sss-cifar100"]
    assert {label: t.seeds for label, t in table.trainings.items()} == {
        "1-epochs": (777,),
        "12-epochs": (777, 888, 999),
        "90-epochs": (777,),
    }
    assert table.space == "nats-size"


@pytest.mark.parametrize(
    ("kind", "protocol"), [("single", 2), ("single", 4), ("tar", 4), ("tar.bz2", 5)]
)
def test_other_containers_give_the_same_tables(
    one: dict[str, Any], kind: str, protocol: int, tmp_path: Path
) -> None:
    simple = made.write_simple(tmp_path / "simple", one, protocol)
    source = tmp_path / f"NATS.{kind}"
    if kind == "single":
        source = source.with_suffix(".pickle.pbz2")
        source.write_bytes(made.packed(one, protocol))
    else:
        with tarfile.open(source, "w" if kind == "tar" else "w:bz2") as archive:
            for path in sorted(simple.iterdir(), key=lambda path: path.name[::-1]):
                archive.add(path, f"NATS-tss-v1_0-3ffb9-simple/{path.name}")
    ours = import_nats_tss(simple, tmp_path / "one", partial=True)
    other = import_nats_tss(source, tmp_path / "other", partial=True)
    for a, b in zip(ours, other, strict=True):
        manifest = read_manifest(a)
        assert manifest["hash"] == read_manifest(b)["hash"]
        assert manifest["coverage"] == "1 of 300 architectures"
        assert "own seeds" in manifest["seed_note"]


@pytest.mark.parametrize(
    ("version", "save"),
    [
        ("0", made.torch_legacy),
        ("1", made.torch_legacy),
        ("1", made.torch_zip),
        ("0", lambda item: torch_saved(item, legacy=True)),
        ("1", lambda item: torch_saved(item, legacy=False)),
    ],
    ids=["1.0, legacy", "1.1, legacy", "1.1, zip", "1.0, torch", "1.1, torch zip"],
)
def test_nasbench201_files(version: str, save: Callable[[object], bytes], tmp_path: Path) -> None:
    schedules = made.V11_SCHEDULES if version == "1" else made.V10_SCHEDULES
    content = made.official(3, (5,), TSS, schedules)
    content["basestr"] = "ImageNet16-120"
    if version == "0":  # as formats.md has it: some trainings have no times
        for results in content["arch2infos"].values():
            for run in results["full"]["all_results"].values():
                run["train_times"], run["eval_times"] = None, {}
    source = tmp_path / f"NAS-Bench-201-v1_{version}-abcdef.pth"
    source.write_bytes(save(content))
    found = tables(import_nasbench201(source, tmp_path / "out", partial=True))
    assert check(content, found, f"nb201v1{version}") > 5_000
    trainings = found[f"nb201v1{version}-cifar100"].trainings
    if version == "1":
        assert trainings["12-epochs"].seeds == (111,)
        assert trainings["200-epochs"].seconds_kind == "synthetic"
    else:
        assert trainings.keys() == {"200-epochs"}
        assert trainings["200-epochs"].seconds_kind == "none"


def test_times_that_vary_were_measured(tmp_path: Path) -> None:
    content = made.official(3, (5,), TSS, made.V11_SCHEDULES)
    run = content["arch2infos"][5]["full"]["all_results"]["cifar100", 888]
    run["train_times"][7] *= 1.01
    source = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    source.write_bytes(made.torch_zip(content))
    found = tables(import_nasbench201(source, tmp_path / "out", partial=True))
    assert found["nb201v11-cifar100"].trainings["200-epochs"].seconds_kind == "measured"
    assert found["nb201v11-cifar100"].trainings["12-epochs"].seconds_kind == "synthetic"


def test_the_register_knows_them(tmp_path: Path) -> None:
    assert {"nats-tss", "nats-sss", "nasbench201"} <= FORMATS.keys()
    with pytest.raises(FormatError, match="cannot be read"):
        import_official("nats-tss", tmp_path / "nowhere.pickle.pbz2", tmp_path)


# --- What is complete ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["simple", "single"])
def test_a_complete_source_is_indexed(
    kind: str, few: Callable[[int], Space], tmp_path: Path
) -> None:
    space = few(3)
    order = [2, 0, 1]
    content = made.official(4, order, space, made.TSS_SCHEDULES)
    source = tmp_path / "file.pickle.pbz2"
    if kind == "simple":
        made.write_simple(source, content)
    else:
        source.write_bytes(made.packed(content))
    found = tables(import_nats_tss(source, tmp_path / "out"))
    check(content, found, "nats-tss")
    assert all(table.by_index for table in found.values())


def test_a_partial_source_needs_to_be_asked_for(tss: dict[str, Any], tmp_path: Path) -> None:
    source = made.write_simple(tmp_path / "simple", tss)
    with pytest.raises(FormatError, match="297 of 300 architectures are missing, the first is 1"):
        import_nats_tss(source, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_trainings_and_seeds_may_lack(few: Callable[[int], Space], tmp_path: Path) -> None:
    space = few(4)
    content = made.official(5, range(4), space, made.TSS_SCHEDULES)
    infos = content["arch2infos"]
    for index, dataset, seeds in (
        (0, "cifar100", [777, 999]),
        (1, "cifar100", [888]),
        (2, "cifar10", []),
    ):
        results = infos[index]["200"]
        for seed in set(results["dataset_seed"][dataset]) - set(seeds):
            del results["all_results"][dataset, seed]
        if seeds:
            results["dataset_seed"][dataset] = seeds
        else:
            del results["dataset_seed"][dataset]
    source = made.write_simple(tmp_path / "simple", content)
    found = tables(import_nats_tss(source, tmp_path / "out"))
    check(content, found, "nats-tss")
    there = ~np.isnan(
        found["nats-tss-cifar100"].trainings["200-epochs"].columns["train_loss"].values
    )
    assert there.all(axis=2).tolist() == [[1, 0, 1], [0, 1, 0], [1, 1, 1], [1, 1, 1]]
    both = found["nats-tss-cifar10"].trainings["200-epochs-train+valid"].columns["test_loss"].values
    assert np.isnan(both[2]).all()
    assert not np.isnan(both[[0, 1, 3]]).any()


def test_figures_follow_the_published_rule(few: Callable[[int], Space], tmp_path: Path) -> None:
    space = few(3)
    content = made.official(6, range(3), space, made.TSS_SCHEDULES)
    runs = [content["arch2infos"][i]["200"]["all_results"] for i in range(3)]
    runs[0]["cifar100", 777]["params"] = 0.7  # the others have 0.8
    runs[1]["cifar100", 888]["params"] = 0.9
    runs[2]["cifar100", 777]["latency"] = None
    runs[2]["cifar100", 888]["latency"] = [-1.0]
    del runs[2]["cifar100", 999]
    content["arch2infos"][2]["200"]["dataset_seed"]["cifar100"] = [777, 888]
    source = made.write_simple(tmp_path / "simple", content)
    table = tables(import_nats_tss(source, tmp_path / "out"))["nats-tss-cifar100"]
    assert table.static["parameters"].values.tolist() == [0.8, 0.9, 0.8]
    recorded = table.trainings["200-epochs"].columns["recorded_parameters"].values
    expected = [[0.7, 0.8, 0.8], [0.8, 0.9, 0.8], [0.8, 0.8, np.nan]]
    assert np.array_equal(recorded[:, :, 0], expected, equal_nan=True)
    assert np.array_equal(recorded[:, :, 199], expected, equal_nan=True)
    latency = table.static["latency"].values
    assert np.isnan(latency[2])
    measured = [runs[0]["cifar100", seed]["latency"][0] for seed in made.LONG]
    assert latency[0] == pytest.approx(sum(measured) / 3, rel=1e-15)
    assert "recorded_macs" not in table.trainings["200-epochs"].columns


def test_a_loss_that_overflowed_is_missing(few: Callable[[int], Space], tmp_path: Path) -> None:
    space = few(1)
    content = made.official(7, [0], space, made.TSS_SCHEDULES)
    run = content["arch2infos"][0]["12"]["all_results"]["cifar100", 111]
    run["train_losses"][3], run["eval_losses"]["x-valid@4"] = float("inf"), float("nan")
    source = made.write_simple(tmp_path / "simple", content)
    columns = (
        tables(import_nats_tss(source, tmp_path / "out"))["nats-tss-cifar100"]
        .trainings["12-epochs"]
        .columns
    )
    assert np.flatnonzero(np.isnan(columns["train_loss"].values)).tolist() == [3]
    assert np.flatnonzero(np.isnan(columns["valid_loss"].values)).tolist() == [4]


# --- What is refused ----------------------------------------------------------------------------------
