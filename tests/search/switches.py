"""Tables with validation times, and tables that hold a short and a long training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import Column, Table, write_table
from nasbench_tab.records import Metric, Proposal
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.strategies.base import StrategySpec

from .toys import SOME_CELLS, ToySpace, cube, scripted, toy_table

SHORT, LONG = "12-epochs", "200-epochs"
#: The cells of ``two_trainings`` as a script: from the worst after the short training to the best.
SCRIPT = [Proposal(cell) for cell in SOME_CELLS]


def with_validation(table: Table, seconds: ArrayLike) -> Table:
    """Return ``table`` with validation times, cumulative over the epochs, in each training."""

    def column(shape: tuple[int, ...]) -> Column:
        values = np.broadcast_to(cube(seconds), shape)
        return Column(Metric("eval_seconds", "none", "min", "s"), values)

    trainings = {
        label: training._replace(
            columns={
                **training.columns,
                "eval_seconds": column(training.columns["score"].values.shape),
            }
        )
        for label, training in table.trainings.items()
    }
    return table._replace(trainings=trainings)


def validated(
    epochs: Sequence[int], seconds: ArrayLike, passes: ArrayLike, *, curve: bool
) -> TableBenchmark:
    """Return 24 toys whose trainings and validations take these (cumulative) times at each epoch."""
    train = np.broadcast_to(np.asarray(seconds, float), (24, 1, len(epochs)))
    table = toy_table(np.zeros(train.shape), seconds=train, epochs=epochs, curve=curve)
    valid = np.asarray(passes, float)[None, None, :]
    return TableBenchmark(with_validation(table, valid), ToySpace(), "sha256:of-a-toy")


def two_trainings(
    name: str = "toy-two",
    *,
    default: str = LONG,
    direction: Any = "max",
    long_objective: str = "score",
    cells: Sequence[tuple[int, ...]] = SOME_CELLS,
) -> Table:
    """Return cells of NAS-Bench-201 trained for 12 epochs (10 s, one seed) and for 200 (100 s, two).

    After the short training cell ``i`` has the value ``i``; after the long one ``1000 - i`` with seed
    888 and ``1002 - i`` with seed 999; 0.5 less on the test images. A validation pass takes 0.25 s.
    """
    n = len(cells)
    options: dict[str, Any] = {"name": name, "space": NasBench201(), "cells": cells}
    options["direction"] = direction
    ranks = np.arange(float(n))
    long = 1000.0 - ranks[:, None] + np.array([0.0, 2.0])
    both = [
        toy_table(
            ranks, seconds=10.0, seeds=(777,), epochs=(12,), test=ranks[:, None] - 0.5, **options
        ),
        toy_table(long, seconds=100.0, seeds=(888, 999), epochs=(200,), test=long - 0.5, **options),
    ]
    both = [with_validation(part, passes) for part, passes in zip(both, (3.0, 50.0), strict=True)]
    short, longer = (part.trainings["standard"] for part in both)
    if long_objective != "score":
        columns = dict(longer.columns)
        column = columns.pop("score")
        columns[long_objective] = column._replace(
            metric=column.metric._replace(name=long_objective)
        )
        longer = longer._replace(columns=columns, objective=long_objective)
    return both[0]._replace(trainings={SHORT: short, LONG: longer}, default_training=default)


def shelved(home: Path, *tables: Table) -> None:
    """Write tables into a user's folder."""
    for table in tables:
        write_table(home / "data" / table.name, table, {"title": table.name})


def script(*proposals: Any, name: str = "scripted") -> StrategySpec:
    """Return a strategy that proposes these cells of NAS-Bench-201 in every run, then nothing."""
    spec: StrategySpec = scripted(proposals, name=name)
    return spec
