"""The importers on the records that the authors publish: golden values, the real API, other exports."""

from __future__ import annotations

import csv
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import read_manifest, read_table
from nasbench_tab.errors import MissingValueError
from nasbench_tab.importers.nats import import_nats_sss, import_nats_tss
from nasbench_tab.importers.nats_records import read_meta, read_simple
from nasbench_tab.registry import load_space
from nasbench_tab.spaces import nats_size
from nasbench_tab.spaces.nasbench201 import macs, parameters

TSS, SSS = "NATS-tss-v1_0-3ffb9-simple", "NATS-sss-v1_0-50262-simple"
ROWS = {"tss": (0, 11, 284), "sss": (0, 284)}
#: What the API calls a dataset: our table, and the training's suffix.
TABLE = {
    "cifar10-valid": ("cifar10", ""),
    "cifar10": ("cifar10", "-train+valid"),
    "cifar100": ("cifar100", ""),
    "ImageNet16-120": ("imagenet16-120", ""),
}
EPOCHS = {"tss": {"12": 12, "200": 200}, "sss": {"01": 1, "12": 12, "90": 90}}


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published records as their publisher lays them out, and the tables of them."""
    top = tmp_path_factory.mktemp("nats")
    for name, source in ((TSS, "nasbench201"), (SSS, "nats-bench-sss")):
        (top / name).mkdir()
        for path in (shared_data / source).glob(f"{name}.*"):
            shutil.copy(path, top / name / path.name.removeprefix(f"{name}."))
    import_nats_tss(top / TSS, top / "tables", partial=True)
    import_nats_sss(top / SSS, top / "tables", partial=True)
    return top


@pytest.fixture(scope="module")
def load(folder: Path) -> Any:
    @cache
    def loaded(space: str, dataset: str, hp: str) -> TableBenchmark:
        name, suffix = TABLE[dataset]
        where = folder / "tables" / f"nats-{space}-{name}"
        table = read_table(where, read_manifest(where))
        label = f"{EPOCHS[space][hp]}-epochs{suffix}"
        return TableBenchmark(table, load_space(table.space), "sha256:x", label)

    return loaded


@pytest.fixture(scope="module")
def api(folder: Path) -> dict[str, Any]:
    nats_bench = pytest.importorskip("nats_bench")
    return {
        "tss": nats_bench.create(str(folder / TSS), "tss", fast_mode=True, verbose=False),
        "sss": nats_bench.create(str(folder / SSS), "sss", fast_mode=True, verbose=False),
    }


# --- Golden values of the reference -------------------------------------------------------------------

GOLDEN = [  # dataset, hp, epoch from 1, training, validation, test, validation and test; seconds
    ("cifar10-valid", "12", 12, 63.446, 63.278, 63.510, None, 149.5447),
    ("cifar10-valid", "200", 200, 99.7813, 87.940, 87.650, None, 2492.4114),
    ("cifar10-valid", "200", 6, 48.1507, 42.7693, None, None, 74.7723),
    ("cifar10", "200", 200, 99.5473, None, 91.5833, None, 4984.8227),
    ("cifar100", "200", 200, 96.1027, 67.4533, 67.6067, 67.5300, 4984.8227),
    ("cifar100", "200", 6, 16.9053, None, None, 13.7567, 149.5447),
    ("ImageNet16-120", "200", 200, 33.0297, 30.4111, 30.1667, 30.2889, 15123.9521),
]


@pytest.mark.parametrize("golden", GOLDEN)
def test_golden_values(golden: tuple[Any, ...], load: Any) -> None:
    dataset, hp, epoch, *expected = golden
    bench = load("tss", dataset, hp)
    arch = load_space("nasbench201").unindex(11)
    words = ("train_accuracy", "valid_accuracy", "test_accuracy", "valid_test_accuracy")
    for metric, value in zip((*words, "train_seconds"), expected, strict=True):
        if value is not None:
            assert bench.query(arch, metric, epoch=epoch) == pytest.approx(value, abs=5e-5)
        elif metric in bench.metrics:
            with pytest.raises(MissingValueError):
                bench.query(arch, metric, epoch=epoch)


def test_golden_costs(load: Any) -> None:
    bench = load("tss", "cifar100", "200")
    arch = load_space("nasbench201").unindex(11)
    assert bench.query(arch, "macs") == pytest.approx(113.95722, abs=1e-9)
    assert bench.query(arch, "parameters") == pytest.approx(0.808276, abs=1e-9)
    assert bench.query(arch, "latency") == pytest.approx(0.016138938, abs=1e-9)
    assert bench.query(arch, "train_seconds", epoch=1) == pytest.approx(24.924114, abs=1e-6)
    assert bench.query(arch, "eval_seconds") == pytest.approx(166.050069, abs=1e-6)
    assert bench.query(arch, "valid_test_seconds") == pytest.approx(332.100137, abs=1e-6)
    # What simulate_train_eval charges: training, and one pass over the validation images.
    short = load("tss", "cifar10-valid", "12")
    passes = short.query(arch, "eval_seconds", epoch=1)
    assert short.query(arch, "train_seconds") + passes == pytest.approx(153.695933, abs=1e-6)


# --- Beside the real API ------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", TABLE)
@pytest.mark.parametrize(
    ("space", "hp"), [(space, hp) for space, hps in EPOCHS.items() for hp in hps]
)
def test_the_real_api_answers_the_same(
    space: str, hp: str, dataset: str, load: Any, api: dict[str, Any]
) -> None:
    bench, real = load(space, dataset, hp), api[space]
    last = EPOCHS[space][hp]
    n = 0
    for index in ROWS[space]:
        arch = bench.space.unindex(index)
        for seed in (None, *bench.seeds(arch)):
            for epoch in sorted(
                {1, 2, 6, last // 2 or 1, last - 1 or 1, last} & set(range(last + 1))
            ):
                answer = real.get_more_info(
                    index,
                    dataset,
                    iepoch=epoch - 1,
                    hp=hp,
                    is_random=False if seed is None else seed,
                )
                n += _agree(bench, arch, epoch, seed, answer)
        cost = real.get_cost_info(index, dataset, hp=hp)
        assert bench.query(arch, "parameters") == pytest.approx(cost["params"], rel=1e-12)
        assert bench.query(arch, "macs") == pytest.approx(cost["flops"], rel=1e-12)
        if dataset != "cifar10":  # the table's latency is that of the training for searches
            assert bench.query(arch, "latency") == pytest.approx(cost["latency"], rel=1e-12)
        assert bench.query(arch, "train_seconds") == pytest.approx(cost["T-train@total"], rel=1e-12)
    assert n >= 3 * len(ROWS[space])


def _agree(bench: Any, arch: Any, epoch: int, seed: int | None, answer: dict[str, Any]) -> int:
    """Check every number of an answer of get_more_info; return how many there were."""
    n = 0
    for key, value in answer.items():
        word, _, what = key.partition("-")
        word = {"valtest": "valid_test"}.get(word, word)
        if what in ("loss", "accuracy"):
            found = bench.query(arch, f"{word}_{what}", epoch=epoch, seed=seed)
        elif what == "all-time":
            metric = "eval_seconds" if word == "valid" else f"{word}_seconds"
            found = bench.query(arch, metric, epoch=epoch, seed=seed)
        else:
            continue
        assert found == pytest.approx(value, rel=1e-12), (key, epoch, seed)
        n += 1
    for metric in ("valid_accuracy", "test_accuracy", "valid_test_accuracy"):
        absent = f"{metric.replace('valid_test', 'valtest').replace('_', '-')}" not in answer
        if metric in bench.metrics and absent:
            with pytest.raises(MissingValueError):
                bench.query(arch, metric, epoch=epoch, seed=seed)
    return n


def test_means_of_one_set_are_the_real_apis(load: Any, api: dict[str, Any]) -> None:
    for space, hps in EPOCHS.items():
        for hp in hps:
            for dataset, metric, ours in (
                ("cifar10-valid", "x-valid", "valid_accuracy"),
                ("cifar10", "ori-test", "test_accuracy"),
                ("cifar100", "x-test", "test_accuracy"),
                ("ImageNet16-120", "x-valid", "valid_accuracy"),
            ):
                bench = load(space, dataset, hp)
                archs = [bench.space.unindex(index) for index in ROWS[space]]
                values = bench.query(archs, ours)
                real = [
                    api[space]
                    .query_meta_info_by_index(i, hp)
                    .get_metrics(dataset, metric)["accuracy"]
                    for i in ROWS[space]
                ]
                assert values == pytest.approx(real, rel=1e-12)


# --- Figures and other exports ------------------------------------------------------------------------


def test_figures_are_the_closed_forms(load: Any) -> None:
    for dataset, n_classes, image in (
        ("cifar10-valid", 10, 32),
        ("cifar100", 100, 32),
        ("ImageNet16-120", 120, 16),
    ):
        tss, sss = load("tss", dataset, "200"), load("sss", dataset, "90")
        for index in ROWS["tss"]:
            arch = tss.space.unindex(index)
            assert tss.query(arch, "parameters") * 1e6 == pytest.approx(
                parameters(arch, n_classes), abs=0.1
            )
            assert tss.query(arch, "macs") * 1e6 == pytest.approx(
                macs(arch, n_classes, image), abs=0.1
            )
        for index in ROWS["sss"]:
            arch = sss.space.unindex(index)
            cells = np.array([arch], np.uint8)
            assert sss.query(arch, "parameters") * 1e6 == pytest.approx(
                nats_size.parameters(cells, n_classes)[0], abs=0.1
            )
            assert sss.query(arch, "macs") * 1e6 == pytest.approx(
                nats_size.macs(cells, n_classes, image)[0], abs=0.1
            )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_exports_of_others_agree(shared_data: Path, load: Any) -> None:
    means = rows_of(shared_data / "nasbench201" / "nats_bench.mean200.csv")
    for dataset, column in (
        ("cifar10", "CIFAR10TestAccuracy200Epochs"),
        ("cifar100", "CIFAR100TestAccuracy200Epochs"),
        ("ImageNet16-120", "ImageNetTestAccuracy200Epochs"),
    ):
        bench = load("tss", dataset, "200")
        for index in ROWS["tss"]:
            value = bench.query(means[index]["ArchitectureString"], "test_accuracy")
            assert value == pytest.approx(float(means[index][column]), abs=1e-6)
    for dataset, name in (
        ("cifar10-valid", "Cifar10"),
        ("cifar100", "Cifar100"),
        ("ImageNet16-120", "ImageNet"),
    ):
        bench = load("tss", dataset, "200")
        valid = rows_of(shared_data / "nasbench201" / f"{name}-NB201.csv")
        for index in ROWS["tss"]:
            value = bench.query(bench.space.unindex(index), "valid_accuracy")
            assert value == pytest.approx(100 * float(valid[index]["accuracy"]), abs=1e-4)
        size = load("sss", "cifar10" if name == "Cifar10" else dataset, "90")
        test = rows_of(shared_data / "nats-bench-sss" / f"{name}-NATS.csv")
        for index in ROWS["sss"]:
            value = size.query(size.space.unindex(index), "test_accuracy")
            assert value == pytest.approx(float(test[index]["accuracy"]), abs=1e-6)


def test_one_trial_exports_are_one_of_our_seeds(shared_data: Path, load: Any) -> None:
    trials = rows_of(shared_data / "nasbench201" / "nats_bench.onetrial_12_200.csv")
    for dataset, word in (
        ("cifar10", "CIFAR10"),
        ("cifar100", "Cifar100"),
        ("ImageNet16-120", "ImageNet16"),
    ):
        for hp, epochs in (("12", 12), ("200", 200)):
            bench = load("tss", dataset, hp)
            column = next(
                k for k in trials[0] if k.lower() == f"{word}TestAccuracy{epochs}Epochs".lower()
            )
            for index in ROWS["tss"]:
                arch = bench.space.unindex(index)
                seen = [bench.query(arch, "test_accuracy", seed=seed) for seed in bench.seeds(arch)]
                assert min(abs(float(trials[index][column]) - value) for value in seen) < 1e-6


def test_answers_of_others_are_one_of_our_seeds(shared_data: Path, load: Any) -> None:
    answers = json.loads(
        (shared_data / "nasbench201" / "topology_ss_architectures.json").read_text()
    )
    for dataset in ("cifar10", "cifar100", "ImageNet16-120"):
        for hp in ("12", "200"):
            bench = load("tss", dataset, hp)
            for index in ROWS["tss"]:
                arch = bench.space.unindex(index)
                loss, train, seconds, _, test, passes = answers[bench.space.format(arch)][dataset][
                    hp
                ]
                found = [
                    [
                        bench.query(arch, metric, seed=seed)
                        for metric in ("train_loss", "train_accuracy", "test_accuracy")
                    ]
                    for seed in bench.seeds(arch)
                ]
                assert [loss, train, test] in found
                assert bench.query(arch, "train_seconds") == pytest.approx(seconds, rel=1e-12)
                assert bench.query(arch, "test_seconds") == pytest.approx(passes, rel=1e-12)


def test_the_published_lists_are_the_spaces(shared_data: Path) -> None:
    for name, source, space in (
        (TSS, "nasbench201", "nasbench201"),
        (SSS, "nats-bench-sss", "nats-size"),
    ):
        meta = read_meta(shared_data / source / f"{name}.meta.pickle.pbz2")
        known = load_space(space)
        expected = [known.format(known.unindex(index)) for index in range(known.size or 0)]
        assert list(meta.architectures) == expected
        assert not meta.evaluated


def test_the_size_space_is_the_published_network(shared_data: Path) -> None:
    space = nats_size.NatsSize()
    cells = np.array([space.unindex(index) for index in range(32_768)], np.uint8)
    for name, n_classes in (("Cifar10", 10), ("Cifar100", 100), ("ImageNet", 120)):
        rows = rows_of(shared_data / "nats-bench-sss" / f"{name}-NATS.csv")
        published = [int(row["num_param"]) for row in rows]
        assert nats_size.parameters(cells, n_classes).tolist() == published
    for path in (shared_data / "nats-bench-sss").glob("*.000*.pbz2"):
        for record in read_simple(path).values():
            for runs in record.runs.values():
                for run in runs.values():
                    assert run.arch_config["genotype"] == nats_size.CELL
                    assert run.arch_config["channels"] == record.arch_str
