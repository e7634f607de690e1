"""Tables and strategies whose costs and values are known, for ledger, tuning and ablation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasbench_tab.benchmarks.tablefile import Column, Table, write_table
from nasbench_tab.records import Metric, Observation, Problem, Proposal
from nasbench_tab.search.specs import strategy_spec
from nasbench_tab.strategies.base import StrategySpec

from .toys import SOME_CELLS, curves_table


def timed_table(name: str) -> Table:
    """Return ``curves_table`` with validation times: a pass takes a quarter of (row + 1) seconds."""
    table = curves_table(name)
    training = table.trainings["standard"]
    valid = training.columns["score"].values
    passes = 0.25 * (np.arange(len(valid)) + 1)[:, None, None] * np.array([1.0, 3.0, 9.0])
    columns = {
        **training.columns,
        "eval_seconds": Column(
            Metric("eval_seconds", "none", "min", "s"),
            np.where(np.isfinite(valid), passes + np.zeros(valid.shape), np.nan),
        ),
    }
    return table._replace(trainings={"standard": training._replace(columns=columns)})


def install(home: Path, table: Table) -> None:
    """Put a table into a user's folder."""
    write_table(home / "data" / table.name, table, {"title": table.name})


class Constant:
    """Propose one cell of ``SOME_CELLS`` again and again."""

    def __init__(
        self, problem: Problem, rng: np.random.Generator, *, cell: int = 0, idle: int = 0
    ) -> None:
        if isinstance(cell, bool) or not isinstance(cell, int):
            raise TypeError(f"cell must be a whole number; got {cell!r}")
        self._cell = SOME_CELLS[cell]

    def ask(self, n: int) -> list[Proposal]:
        return [Proposal(self._cell)] * n

    def tell(self, observations: Sequence[Observation]) -> None:
        pass


#: How a strategy's text names ``Constant``.
CONSTANT = f"{__name__}:Constant"


def recorded(strategy: str, charged: list[list[float]]) -> StrategySpec:
    """Return a strategy that notes, for each of its runs, the seconds of everything it is told."""
    spec = strategy_spec(strategy)

    class Recorded:
        def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
            self.inner: Any = spec.start(problem, rng)
            self.seconds: list[float] = []

        def ask(self, n: int) -> Sequence[Proposal]:
            asked: Sequence[Proposal] = self.inner.ask(n)
            return asked

        def tell(self, observations: Sequence[Observation]) -> None:
            if not self.seconds:  # not the one that is only started to see whether it can be
                charged.append(self.seconds)
            self.seconds += [o.seconds for o in observations]
            self.inner.tell(observations)

    return StrategySpec.make("recorded", Recorded, {})
