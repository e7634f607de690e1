"""The tables that are asked, each loaded once, and their numbers as stored."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from numpy.typing import NDArray

import nasbench_tab as nbt
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import Table, read_manifest, read_table
from nasbench_tab.registry import table_folder
from nasbench_tab.spaces.nasbench201 import NasBench201

SPACE = NasBench201()
SIZE = 15_625
SEEDS = (777, 888, 999, -1, -2)


@cache
def stored(name: str) -> Table:
    folder = table_folder(name)
    return read_table(folder, read_manifest(folder))


def fresh(table: Table, training: str | None = None) -> Benchmark:
    """A benchmark that has not been asked anything yet."""
    return TableBenchmark(table, SPACE, "sha256:0", training)


@cache
def nb201(name: str = "nb201-cifar10") -> Benchmark:
    return nbt.load(name)


def values(table: Table, metric: str = "valid_accuracy", label: str | None = None) -> NDArray[Any]:
    return table.trainings[label or table.default_training].columns[metric].values


def present(numbers: NDArray[Any]) -> list[float]:
    """Those that are there, as Python floats."""
    return [number for number in numbers.tolist() if not math.isnan(number)]
