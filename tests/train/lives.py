"""Benchmarks that train something tiny, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import nasbench_tab as nbt
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.records import Architecture
from nasbench_tab.train.live import LiveBenchmark
from nasbench_tab.train.tabulate import tabulate
from nasbench_tab.train.tasks import TASKS

from .logs import SPACE

_DIGITS = TASKS["nb201-digits"]
#: Three epochs of two steps on 4x4 pixels.
TASK = _DIGITS._replace(
    name="tiny", recipe=_DIGITS.recipe._replace(side=4, epochs=3, batch=500, average=0.5)
)
WILD = TASK._replace(recipe=TASK.recipe._replace(peak=1e30))
CELL: Architecture = (0, 0, 0, 3, 0, 0)
OTHER: Architecture = (0, 0, 0, 2, 0, 0)


def bench_on(log: Path, task: Any = TASK, **options: Any) -> Benchmark:
    return LiveBenchmark(task, SPACE, log=log, device="cpu", **options)


def checkpoints(log: Path) -> list[Path]:
    return list(log.with_suffix(".checkpoints").glob("*"))


def tabulated(log: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Benchmark:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(folder))
    tabulate([log], folder / "data" / "mine", SPACE)
    return nbt.load("mine")
