"""More small tables, and strategies that end in one known cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from nasbench_tab.benchmarks.tablefile import Column, Table, Training, write_table
from nasbench_tab.records import Observation, Problem, Proposal
from nasbench_tab.registry import load
from nasbench_tab.strategies.base import StrategySpec

from .conftest import small_table


class Fixed:
    """Proposes one cell, or with a chance of its own another one, and nothing more."""

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        cell: str = "",
        other: str = "",
        chance: float = 0.0,
        times: int = 1,
    ) -> None:
        self._cell = problem.space.parse(other if rng.random() < chance else cell)
        self._left = times

    def ask(self, n: int) -> list[Proposal]:
        n = min(n, self._left)
        self._left -= n
        return [Proposal(self._cell)] * n

    def tell(self, observations: Sequence[Observation]) -> None:
        pass


def fixed(label: str, cell: str, other: str = "", chance: float = 0.0) -> StrategySpec:
    return StrategySpec(label, Fixed, {"cell": cell, "other": other, "chance": chance})


def ranked(benchmark: str) -> list[str]:
    """Return the cells of a benchmark, that with the best mean first."""
    bench = load(benchmark)
    cells = bench.measured()
    sign = -1.0 if bench.objective.direction == "max" else 1.0
    order = np.argsort(sign * np.asarray(bench.query(cells)), kind="stable")
    return [bench.space.format(tuple(cells[i].tolist())) for i in order]


def one_training(table: Table) -> Table:
    """Return the table with the first training of each cell only."""
    return _changed(table, lambda values: values[:, :1], (1,))


def constant(table: Table) -> Table:
    """Return the table with one value for all cells."""
    return _changed(table, lambda values: np.full_like(values, 50.0), (1, 2, 3))


def two_trainings(table: Table) -> Table:
    """Return the table with a second training, ``noisy``, whose seeds lie ten times further apart."""

    def spread(values: np.ndarray) -> np.ndarray:
        mean = values.mean(axis=1, keepdims=True)
        return np.asarray(mean + 10 * (values - mean))

    noisy = _changed(table, spread, (1, 2, 3)).trainings["standard"]
    return table._replace(trainings={**table.trainings, "noisy": noisy})


def written(home: Path, table: Table, name: str) -> str:
    """Put a table at hand under a name."""
    write_table(home / "data" / name, table._replace(name=name), {"title": "made up"})
    return name


def many(home: Path, n: int, direction: str = "max") -> list[str]:
    """Put the same table at hand ``n`` times; runs differ, for they draw by the name."""
    table = small_table("any", times=True, direction=direction)
    return [written(home, table, f"task-{i}") for i in range(n)]


def _changed(
    table: Table, how: Callable[[np.ndarray], np.ndarray], seeds: tuple[int, ...]
) -> Table:
    training: Training = table.trainings["standard"]
    columns = {}
    for name, column in training.columns.items():
        values = np.asarray(column.values, np.float64)
        changed = values[:, : len(seeds)] if name == "train_seconds" else how(values)
        columns[name] = Column(column.metric, changed)
    return table._replace(trainings={"standard": training._replace(seeds=seeds, columns=columns)})
