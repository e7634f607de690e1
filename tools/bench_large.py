"""A table of NAS-Bench-101's size: what opening it costs, what it keeps in memory, how fast many are answered.

The table has the published number of networks, trainings and budgets; its cells are random ones of the
space and its figures made up. It lies in a folder of the user's own, as an imported one does.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_timing import line, side_by_side
from numpy.typing import NDArray

from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import (
    Column,
    Table,
    Training,
    read_manifest,
    read_table,
    write_table,
)
from nasbench_tab.records import Metric
from nasbench_tab.registry import load_space

NETWORKS, SEEDS, BUDGETS = 423_624, (-1, -2, -3), (4, 12, 36, 108)


def bench_large() -> None:
    """Print cold starts, resident memory and answers a second of a mapped table."""
    print(
        f"large: a table of {NETWORKS:,} cells, 3 trainings, 4 budgets (ratio: import numpy, h5py)"
    )
    with tempfile.TemporaryDirectory(prefix="bench-large-") as home:
        folder = Path(home) / "data" / "made-up"
        begin = time.perf_counter()
        table = _table()
        write_table(folder, table, {})
        size = (folder / "table.h5").stat().st_size / 2**20
        print(f"  written in {time.perf_counter() - begin:.1f} s, {size:.0f} MiB")
        _cold(home, tuple(table.architectures[17].tolist()))
        manifest = read_manifest(folder)
        bench = TableBenchmark(
            read_table(folder, manifest), load_space("nasbench101"), manifest["hash"]
        )
        _batches(bench, table.architectures)


def _cold(home: str, cell: tuple[int, ...]) -> None:
    programs = {
        "import numpy, h5py": "import numpy, h5py",
        "open and query": f"import nasbench_tab as nbt; nbt.load('made-up').query({cell})",
    }
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["NASBENCH_TAB_HOME"] = home
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    peak: dict[str, float] = {}
    for _ in range(15):
        for name, program in programs.items():
            watched = f"{program}\nprint(open('/proc/self/status').read())"
            begin = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", watched], check=True, capture_output=True, env=environment
            )
            seconds[name].append(time.perf_counter() - begin)
            peak[name] = int(done.stdout.split(b"VmHWM:")[1].split()[0]) / 1024
    for name, values in seconds.items():
        ratio = [b / a for a, b in zip(seconds["import numpy, h5py"], values, strict=True)]
        line(name, values, 1, "s ", None)
        print(
            f"  {'':<58}{peak[name]:>10.1f} MiB peak, {statistics.median(ratio):.2f} times the imports"
        )


def _batches(bench: TableBenchmark, cells: NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(0)
    many = cells[rng.integers(len(cells), size=100_000)]
    one = [tuple(cell) for cell in many[:2000].tolist()]
    values = np.ascontiguousarray(bench.query(cells))
    rows = rng.integers(len(cells), size=100_000)
    calls: dict[str, tuple[Any, int]] = {
        "indexing an array in memory, a row of 100,000": (lambda: values[rows], 20),
        "query, a cell of 100,000": (lambda: bench.query(many), 20),
        "the same for one training": (lambda: bench.query(many, epoch=36, seed=-2), 20),
        "query, one cell after another": (lambda: [bench.query(cell) for cell in one], 3),
        "query, one cell for the first time": (lambda: _first(bench, one), 3),
    }
    seconds = side_by_side(calls, repeats=9)
    for name, taken in seconds.items():
        n = len(one) if "one cell" in name else len(many)
        line(name, [s / n for s in taken], 1e9, "ns", None)
        print(f"  {'':<58}{n / statistics.median(taken) / 1e6:>10.2f} million a second")


def _first(bench: TableBenchmark, cells: list[tuple[int, ...]]) -> None:
    bench._rows.clear()
    for cell in cells:
        bench.query(cell)


def _table() -> Table:
    rng = np.random.default_rng(0)
    space = load_space("nasbench101")
    found: dict[tuple[int, ...], None] = {}
    while len(found) < NETWORKS:
        edges = rng.random((NETWORKS, 21)) < 0.4
        drawn = np.hstack([edges, rng.integers(0, 3, (NETWORKS, 5))])
        few = drawn[edges.sum(axis=1) <= 9].tolist()
        found.update((cell, None) for cell in map(tuple, few) if space.contains(cell))
    cells = np.array(list(found)[:NETWORKS], np.uint8)
    shape = (NETWORKS, len(SEEDS), len(BUDGETS))
    columns = {}
    for name, split in (("train", "train"), ("valid", "valid"), ("test", "test")):
        for what in ("accuracy", "accuracy_halfway"):
            metric = Metric(f"{name}_{what}", split, "max", "fraction", 0.0, 1.0)  # type: ignore[arg-type]
            columns[metric.name] = Column(metric, rng.random(shape, np.float32))
    clock = np.cumsum(rng.random(shape, np.float32), axis=2, dtype=np.float32)
    columns["train_seconds"] = Column(Metric("train_seconds", "none", "min", "s", 0.0), clock)
    size = Column(Metric("parameters", "none", "min", "M", 0.0), rng.random(NETWORKS, np.float32))
    training = Training(
        "CIFAR-10", "valid_accuracy", "separate trainings", "measured", SEEDS, BUDGETS, columns
    )
    return Table("made-up", "nasbench101", False, cells, {"t": training}, "t", {"parameters": size})
