"""Runs with known laws, for tests: a space of three columns, curves that rise, noise that repeats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.fitting.observed import Observed, data_hash, runs_of
from nasbench_tab.predictors.trees import Settings
from nasbench_tab.records import Metric
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.columns import Columns

#: Small and quick.
SETTINGS = Settings(members=3, rounds=25, depth=3, rate=0.2)
VALID = Metric("valid_accuracy", "valid", "max", "%", 0.0, 100.0)
TEST = Metric("test_accuracy", "test", "max", "%", 0.0, 100.0)
EPOCHS = (1, 2, 4)


def small_space() -> Columns:
    """216 architectures, which can be listed."""
    return Columns(
        "small", {"depth": range(1, 7), "width": (8, 16, 24, 32, 48, 64), "kernel": range(1, 7)}
    )


def large_space() -> Columns:
    """More architectures than are ever listed."""
    return Columns("large", {f"c{i}": list(range(8)) for i in range(8)})


def truth(cells: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean final value of cells, ``(n,)``."""
    x = cells.astype(float)
    return 60 + 3.0 * x[:, 0] + 2.0 * x[:, 1] - 0.5 * (x[:, 2] - 3) ** 2


def observed(
    space: Space | None = None,
    *,
    networks: int = 80,
    repeats: int = 30,
    sd: float = 0.5,
    seed: int = 0,
    timed: bool = True,
    **other: Any,
) -> Observed:
    """Return runs of so many networks, of which so many were trained twice."""
    space = small_space() if space is None else space
    rng = np.random.default_rng(seed)
    drawn = list(dict.fromkeys(space.sample(rng, 4 * networks)))[:networks]
    cells = np.array(drawn + drawn[:repeats], np.uint8)
    seeds = [0] * networks + [1] * repeats
    share = np.array([0.7, 0.9, 1.0])
    level = truth(cells)[:, None] * share
    noise = sd * rng.normal(size=(len(cells), 1)) + 0.2 * rng.normal(size=(len(cells), 3))
    valid = (level + noise).clip(0, 100)
    test = (level - 1 + 0.8 * noise).clip(0, 100)
    seconds = (
        (5 + cells[:, :1].astype(float)) * np.array([1.0, 2.0, 4.0])
        if timed
        else np.full(valid.shape, np.nan)
    )
    runs = runs_of(
        space,
        cells,
        seeds,
        ["random" if i % 3 else "evolution" for i in range(len(cells))],
        EPOCHS,
        {"valid_accuracy": (VALID, valid), "test_accuracy": (TEST, test)},
        seconds,
        "made up",
    )
    words = {
        "dataset": "made-up",
        "protocol": {"epochs_kind": "curve"},
        "licence": "CC0-1.0",
        **other,
    }
    return Observed(
        runs=runs, hash=data_hash(runs), left_out={"diverged": 0}, torn=0, about={}, **words
    )  # fmt: skip
