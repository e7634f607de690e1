"""Tables of all 15,625 cells in the form that the official NATS-Bench file is imported into, made up."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.tablefile import Column, Table, Training, write_table
from nasbench_tab.records import Metric, Split
from nasbench_tab.spaces.nasbench201 import NasBench201

DATASETS = {"cifar10": "cifar10-valid", "cifar100": "cifar100", "imagenet16-120": "ImageNet16-120"}
SHORT, LONG, ALL = "12-epochs", "200-epochs", "200-epochs-train+valid"
#: Seconds of an epoch and of a validation pass, of each dataset's searched training.
SECONDS = {"cifar10": (12.0, 4.0), "cifar100": (24.0, 1.5), "imagenet16-120": (75.0, 1.0)}
N = 15_625


@cache
def cells() -> NDArray[np.uint8]:
    space = NasBench201()
    return np.array([space.unindex(index) for index in range(N)], np.uint8)


def nats_like(dataset: str) -> Table:
    """Return a table as ``nats-tss-<dataset>``: short and long trainings, and for CIFAR-10 those on all images.

    Accuracies are random, but better where there are more convolutions; every (training, split) has its own.
    """
    rng = np.random.default_rng(len(dataset))
    worth = 40.0 + 8 * np.isin(cells(), (2, 3)).sum(axis=1)
    name, published = f"nats-tss-{dataset}", DATASETS[dataset]
    trainings = {
        SHORT: _training(rng, worth - 15, published, (111, 777), tuple(range(1, 13)), dataset),
        LONG: _training(rng, worth, published, (777, 888, 999), (1, 12, 100, 200), dataset),
    }
    if dataset == "cifar10":
        whole = _training(rng, worth + 2, "cifar10", (777, 888, 999), (200,), dataset)
        kept = {
            key: value
            for key, value in whole.columns.items()
            if key not in ("valid_accuracy", "eval_seconds")
        }
        trainings[ALL] = whole._replace(columns=kept, objective="test_accuracy")
    return Table(name, "nasbench201", True, cells(), trainings, LONG, {})


def _training(
    rng: np.random.Generator,
    worth: NDArray[np.float64],
    dataset: str,
    seeds: tuple[int, ...],
    epochs: tuple[int, ...],
    table: str,
) -> Training:
    shape = (N, len(seeds), len(epochs))
    train, valid = SECONDS[table]
    splits: dict[str, Split] = {"valid_accuracy": "valid", "test_accuracy": "test"}
    columns = {
        name: Column(
            Metric(name, split, "max", "%", 0.0, 100.0),
            (worth[:, None, None] + rng.normal(0, 1, shape)).astype(np.float32),
        )
        for name, split in splits.items()
    }
    times: dict[str, tuple[float, Split]] = {
        "train_seconds": (train, "none"),
        "eval_seconds": (valid, "none"),
        "test_seconds": (valid, "test"),  # of the split, and no figure of quality
    }
    for name, (seconds, split) in times.items():
        values = np.broadcast_to(seconds * np.array(epochs, np.float32), shape)
        columns[name] = Column(Metric(name, split, "min", "s", 0.0), values)
    return Training(dataset, "valid_accuracy", "curve", "synthetic", seeds, epochs, columns)


def shelved_all(home: Path) -> None:
    """Write the tables of all three datasets into a user's folder."""
    about: dict[str, Any] = {"title": "made up", "lacks": []}
    for dataset in DATASETS:
        table = nats_like(dataset)
        write_table(home / "data" / table.name, table, about)
