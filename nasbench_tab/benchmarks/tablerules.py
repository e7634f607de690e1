"""The rules that every table obeys, checked when it is written and when it is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

import numpy as np

from nasbench_tab.benchmarks.mapped import forget
from nasbench_tab.errors import TableError
from nasbench_tab.records import Direction, Split

if TYPE_CHECKING:
    from nasbench_tab.benchmarks.tablefile import Column, Table, Training

__all__ = ["check_table", "is_text"]

EPOCHS_KINDS = ("curve", "separate trainings")
SECONDS_KINDS = ("measured", "synthetic", "none")
_NAME = re.compile("[A-Za-z0-9_-]+")  # what TOML takes as a bare key
_LABEL = re.compile("[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*")

_Require = Callable[[object, str], None]


def check_table(table: Table, where: str) -> None:
    """Raise TableError where ``table`` breaks a rule of the format."""

    def require(condition: object, problem: str) -> None:
        if not condition:
            raise TableError(
                f"{where}: {problem}. Correct the recipe or log that makes this table."
            )

    cells = table.architectures
    require(
        cells.ndim == 2 and cells.size and cells.dtype == np.uint8,
        "architectures must be a non-empty (n, length) array of uint8",
    )
    n, flat, length = len(cells), cells.tobytes(), cells.shape[1]
    distinct = len({flat[i : i + length] for i in range(0, len(flat), length)})
    require(distinct == n, f"{n - distinct} architectures stand in the table twice")
    require(table.default_training in table.trainings, f"no training {table.default_training!r}")
    _check_words(table, require)
    for name, column in table.static.items():
        _check_column(name, column, (n,), f"static {name!r}", require)
    for label, training in table.trainings.items():
        here = f"training {label!r}"
        require(_LABEL.fullmatch(label), f"{here}: a training's name must match {_LABEL.pattern}")
        _check_training(training, here, require)
        shape = (n, len(training.seeds), len(training.epochs))
        for name, column in training.columns.items():
            require(name not in table.static, f"{here}: {name!r} is a static metric as well")
            _check_column(name, column, shape, f"{here}: {name!r}", require)
        _check_splits(training, here, require)
        seconds = training.columns.get("train_seconds")
        if seconds is not None and training.epochs_kind == "curve":
            falls = np.diff(seconds.values, axis=2) < 0
            require(not falls.any(), f"{here}: train_seconds of a curve must not fall")


def _check_training(training: Training, here: str, require: _Require) -> None:
    require(training.epochs_kind in EPOCHS_KINDS, f"{here}: epochs_kind {training.epochs_kind!r}")
    require(
        training.seconds_kind in SECONDS_KINDS, f"{here}: seconds_kind {training.seconds_kind!r}"
    )
    seeds, epochs = training.seeds, training.epochs
    require(len(set(seeds)) == len(seeds) > 0, f"{here}: seeds must be distinct")
    require(epochs and epochs[0] >= 1, f"{here}: epochs are 1-based")
    require(list(epochs) == sorted(set(epochs)), f"{here}: epochs must ascend")
    has_seconds = "train_seconds" in training.columns
    require(has_seconds == (training.seconds_kind != "none"), f"{here}: train_seconds and its kind")
    objective = training.columns.get(training.objective)
    split = None if objective is None else objective.metric.split
    require(split, f"{here}: no metric {training.objective!r} for the objective")
    splits = {column.metric.split for column in training.columns.values()}
    named = training.objective.startswith(f"{split}_".replace("+", "_"))
    report_only = "valid" not in splits and split in ("test", "valid+test") and named
    require(
        split == "valid" or report_only,
        f"{here}: the objective is measured on the {split} split, not valid",
    )


def _check_column(
    name: str, column: Column, shape: tuple[int, ...], here: str, require: _Require
) -> None:
    metric, values = column.metric, column.values
    require(_NAME.fullmatch(name), f"{here}: a metric's name must match {_NAME.pattern}")
    require(name == metric.name, f"{here}: its metric has another name, {metric.name!r}")
    require(metric.split in get_args(Split), f"{here}: split {metric.split!r}")
    require(metric.direction in get_args(Direction), f"{here}: direction {metric.direction!r}")
    if len(shape) == 1:
        require(values.shape == shape, f"{here} must have one value per architecture")
    require(values.shape == shape, f"{here} has shape {values.shape}, not {shape}")
    require(
        values.dtype in (np.float32, np.float64), f"{here} must hold floats, float32 or float64"
    )
    require(not np.isinf(values).any(), f"{here} holds an infinite value")
    outside = (values < metric.lower) | (values > metric.upper)
    require(not outside.any(), f"{here} leaves its bounds {metric.lower} to {metric.upper}")
    forget(values)


def _check_words(table: Table, require: _Require) -> None:
    columns = dict(table.static)
    words = {"name": table.name, "space": table.space}
    for label, training in table.trainings.items():
        columns |= training.columns
        words |= {
            f"dataset of {label!r}": training.dataset,
            f"training {label!r}": training.objective,
        }
    for name, column in columns.items():
        words |= {f"note of {name!r}": column.note, f"unit of {name!r}": column.metric.unit}
    for what, text in words.items():
        require(is_text(text), f"{what} holds a character that the file cannot hold")


def is_text(text: str) -> bool:
    """Return whether HDF5 and TOML can hold a text."""
    try:
        return "\0" not in text and bool(text.encode() or True)
    except UnicodeEncodeError:
        return False


def _check_splits(training: Training, here: str, require: _Require) -> None:
    columns = training.columns
    for name, column in columns.items():
        if column.metric.split != "valid":
            continue
        for other, test in columns.items():
            same = test.metric.split in ("test", "valid+test") and np.array_equal(
                column.values, test.values, equal_nan=True
            )
            require(
                not same, f"{here}: {name!r} (valid) and {other!r} (test) hold the same numbers"
            )
