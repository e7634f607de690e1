r"""Runs from a CSV file of your own: which column holds what is said when it is read.

One row is one training, or one epoch of one. The architecture stands in a column as a string or an
official index of a registered space, or the columns themselves are the search space:

    >>> from pathlib import Path
    >>> path = Path(getfixture("tmp_path")) / "mine.csv"
    >>> rows = [f"{d},{w},{50 + d * w / 4}" for d in (1, 2, 3) for w in (16, 24, 32, 48)]
    >>> _ = path.write_text("\n".join(["depth,width,val_acc", *rows]))
    >>> seen = read_columns(path, ColumnNames("val_acc", columns=("depth", "width")))
    >>> len(seen.runs.cells), seen.runs.space.format((0, 3))
    (12, 'depth=1,width=48')

Values are taken as they are. The log format of docs/run-log.md, which says more, needs no such names.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from nasbench_tab.benchmarks.base import cell_of
from nasbench_tab.errors import (
    InvalidArchitectureError,
    InvalidArgumentError,
    SurrogateError,
    unknown_name,
)
from nasbench_tab.fitting.finished import counterpart, data_hash, runs_of
from nasbench_tab.fitting.observed import Observed
from nasbench_tab.records import Architecture, Metric
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.columns import Columns, Level
from nasbench_tab.train.oneway import metric_of

__all__ = ["ColumnNames", "read_columns"]

_BOUNDS = {"%": (0.0, 100.0), "fraction": (0.0, 1.0)}


class ColumnNames(NamedTuple):
    """Which column of a CSV file holds what; ``""`` = none does.

    Attributes:
        value: The objective, measured on validation data.
        architecture: String or official index of a registered space.
        columns: The columns that are the search space, instead of ``architecture``.
        test: The same as ``value`` on test data; a cell may be empty.
        seed: Training seed, a whole number; without it every row has seed 0.
        epoch: From 1; without it a row is a whole training.
        seconds: Training time since the training began; a cell may be empty.
        origin: Why the run was made.
        metric: What ``value`` is called from then on: ``valid_accuracy``, ``valid_loss`` ...; the name
            says which way is better, see docs/run-log.md.
        unit: ``"%"`` (0 to 100), ``"fraction"`` (0 to 1) or any other word (no bounds); ``""`` = as
            the metric's name says.
        dataset: What was trained on.
        repeats: Whether rows with one architecture are trainings whose seeds the file does not name:
            they get the seeds -1, -2 ..., whatever their order. Without ``seed`` and ``epoch`` only.
    """

    value: str
    architecture: str = ""
    columns: tuple[str, ...] = ()
    test: str = ""
    seed: str = ""
    epoch: str = ""
    seconds: str = ""
    origin: str = ""
    metric: str = "valid_accuracy"
    unit: str = ""
    dataset: str = ""
    repeats: bool = False

    def used(self) -> list[str]:
        """Return the columns that are read."""
        single = (self.value, self.test, self.seed, self.epoch, self.seconds, self.origin)
        return [name for name in (self.architecture, *self.columns, *single) if name]


class _Line(NamedTuple):
    """A row of the file."""

    place: str
    cells: dict[str, str]

    def wrong(self, column: str, expected: str) -> NoReturn:
        raise SurrogateError(
            f"{self.place}, column {column!r}: {expected}; got {self.cells[column]!r:.100}."
        )

    def number(self, column: str) -> float:
        text = self.cells[column]
        if not math.isfinite(_float(text)):
            self.wrong(
                column,
                "expected a finite number. Leave out the rows of trainings that gave no value, nothing "
                "is put in their place",
            )
        return _float(text)

    def number_or_none(self, column: str) -> float:
        return self.number(column) if column and self.cells[column] else math.nan

    def whole(self, column: str) -> int:
        value = _float(self.cells[column])
        if not value.is_integer() or abs(value) >= 2**53:
            self.wrong(column, "expected a whole number, at most 2^53")
        return int(value)


def read_columns(path: Path, names: ColumnNames, space: Space | None = None) -> Observed:
    """Return the runs of a CSV file (``.tsv``: with tabs), UTF-8 with a header.

    Args:
        path: The file.
        names: Which column holds what.
        space: Of the architectures; None where the columns are the space.

    Raises:
        SurrogateError: The file, a row or a value cannot be used, or no surrogate can be fitted on
            these runs; the message names file, line and column.
        UnknownNameError: The file has no such column.
        InvalidArgumentError: The columns cannot be a search space, or the names contradict each other.
    """
    _check_names(names, space)
    data, lines = _lines(path, names)
    metric = _metric(names)
    if space is None:
        space = _space_of(path, names.columns, lines)
    cells = [_cell(space, names, line) for line in lines]
    unnamed = _unnamed_seeds(cells, lines) if names.repeats else {}
    runs: dict[tuple[Architecture, int], dict[int, _Line]] = {}
    for cell, line in zip(cells, lines, strict=True):
        seed = line.whole(names.seed) if names.seed else unnamed.get(line.place, 0)
        epoch = line.whole(names.epoch) if names.epoch else 1
        if epoch < 1:
            line.wrong(names.epoch, "expected an epoch, counted from 1")
        other = runs.setdefault((cell, seed), {}).setdefault(epoch, line)
        if other is not line:
            _twice(other, line, names)
        _check_value(line, names, metric)
    if metric.unit == "%" and all(0 <= line.number(names.value) <= 1 for line in lines):
        raise SurrogateError(
            f"{path}: {names.value!r} is never above 1, but its unit is %. If these are fractions, say so: "
            "unit fraction."
        )
    epochs = tuple(sorted({epoch for run in runs.values() for epoch in run}))
    finished = {key: run for key, run in runs.items() if epochs[-1] in run}
    place = {epoch: i for i, epoch in enumerate(epochs)}
    columns = {names.value: metric}
    if names.test:
        test = counterpart(metric.name, [metric.name.replace("valid", "test", 1)])
        columns[names.test] = metric._replace(name=test[0], split="test")
    curves = {
        name: np.full((len(finished), len(epochs)), np.nan) for name in (*columns, names.seconds)
    }
    for i, run in enumerate(finished.values()):
        for epoch, line in run.items():
            for name in filter(None, curves):
                curves[name][i, place[epoch]] = line.number_or_none(name)
        _check_seconds(run, names.seconds)
    seconds = curves.pop(names.seconds)
    found = runs_of(
        space,
        np.array([cell for cell, _ in finished], np.uint8).reshape(-1, len(space.choices)),
        [seed for _, seed in finished],
        [run[epochs[-1]].cells.get(names.origin, "") for run in finished.values()],
        epochs,
        {columns[name].name: (columns[name], values) for name, values in curves.items()},
        seconds,
        str(path),
    )
    dataset = names.dataset or path.stem
    return Observed(
        runs=found,
        dataset=dataset,
        protocol={"epochs_kind": "curve", "seconds": "measured" if names.seconds else "none"},
        licence="",
        hash=data_hash(found),
        left_out={"unfinished": len(runs) - len(finished)},
        torn=0,
        about={
            "title": f"{space.name} on {dataset}",
            "data": [f"{path.name} sha256:{hashlib.sha256(data).hexdigest()}"],
            "columns": {
                k: list(v) if k == "columns" else v for k, v in names._asdict().items() if v
            },
        },
    )


def _check_names(names: ColumnNames, space: Space | None) -> None:
    if bool(names.architecture) == bool(names.columns) or bool(names.columns) != (space is None):
        raise InvalidArgumentError(
            "Expected either a registered space and the column that holds the architecture, or the "
            "columns that are the search space, alone."
        )
    if names.repeats and (names.seed or names.epoch):
        raise InvalidArgumentError(
            "Repeats are rows of one architecture whose seeds are not named, each a whole training; with "
            "a column of seeds or epochs there are none."
        )
    if metric_of(names.metric).split != "valid":
        raise InvalidArgumentError(
            f"The metric {names.metric!r} must be of the validation split, valid_..., since searches see "
            "its predictions."
        )
    if not names.value:
        raise InvalidArgumentError("Name the column that holds the validation value.")
    used = names.used()
    twice = sorted({name for name in used if used.count(name) > 1})
    if twice:
        raise InvalidArgumentError(
            f"Column {', '.join(twice)} cannot hold two things; name another."
        )


def _lines(path: Path, names: ColumnNames) -> tuple[bytes, list[_Line]]:
    """Return the bytes of the file, and its rows."""
    try:
        data = path.read_bytes()
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        reader = csv.reader(text, strict=True, delimiter="\t" if path.suffix == ".tsv" else ",")
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (OSError, ValueError, csv.Error) as err:
        raise SurrogateError(
            f"{path} cannot be read as a CSV file in UTF-8 ({err}). Export it once more; values with "
            "commas in them stand in double quotes."
        ) from err
    header = rows[0][1] if rows else []
    for name in names.used():
        if name not in header:
            raise unknown_name(f"column of {path}", name, header)
        if header.count(name) > 1:
            raise SurrogateError(f"{path}: the header names {name!r} twice. Rename one of them.")
    for number, row in rows[1:]:
        if len(row) != len(header):
            raise SurrogateError(
                f"{path}:{number}: {len(header)} cells expected, as in the header; {len(row)} got."
            )
    lines = [_Line(f"{path}:{n}", dict(zip(header, row, strict=True))) for n, row in rows[1:]]
    if not lines:
        raise SurrogateError(f"{path}: no row below the header; a surrogate needs some runs.")
    return data, lines


def _metric(names: ColumnNames) -> Metric:
    metric = metric_of(names.metric)
    if not names.unit or names.unit == metric.unit:
        return metric
    lower, upper = _BOUNDS.get(names.unit, (-math.inf, math.inf))
    return metric._replace(unit=names.unit, lower=lower, upper=upper)


def _space_of(path: Path, columns: tuple[str, ...], lines: list[_Line]) -> Columns:
    """Return the space of all levels that occur: numbers where all of a column's are."""

    def levels(column: str) -> Iterator[Level]:
        texts: dict[str, _Line] = {}
        for line in lines:
            texts.setdefault(line.cells[column], line)
        for text, line in texts.items():
            if text.lower().lstrip("+-") in ("", "nan", "inf", "infinity"):
                line.wrong(column, "expected a level of the search space, a number or a word")
        numbers = {_float(text) for text in texts}
        yield from numbers if all(map(math.isfinite, numbers)) else texts

    return Columns(f"columns of {path.stem}", {column: list(levels(column)) for column in columns})


def _cell(space: Space, names: ColumnNames, line: _Line) -> Architecture:
    if isinstance(space, Columns) and names.columns:
        return tuple(space.place(column, line.cells[column]) for column in names.columns)
    text = line.cells[names.architecture]
    try:
        return cell_of(space, int(text) if text.isdecimal() else text)
    except (InvalidArchitectureError, ValueError) as err:
        raise SurrogateError(
            f"{line.place}, column {names.architecture!r}: {err} Is the space {space.name!r} the right one?"
        ) from err


def _unnamed_seeds(cells: list[Architecture], lines: list[_Line]) -> dict[str, int]:
    """Return a seed for each row by its place: -1, -2 ... among those of one architecture.

    By their content, so that neither the order of rows nor the value decides.
    """
    alike: dict[Architecture, list[tuple[str, _Line]]] = {}
    for cell, line in zip(cells, lines, strict=True):
        content = hashlib.sha256(repr(line.cells).encode()).hexdigest()
        alike.setdefault(cell, []).append((content, line))
    seeds = {}
    for found in alike.values():
        found.sort(key=lambda pair: pair[0])
        for i, (content, line) in enumerate(found):
            if i and content == found[i - 1][0]:
                raise SurrogateError(
                    f"{found[i - 1][1].place} and {line.place} are equal in every column: one training "
                    "that is there twice? Remove one of them."
                )
            seeds[line.place] = -1 - i
    return seeds


def _check_value(line: _Line, names: ColumnNames, metric: Metric) -> None:
    value = line.number(names.value)
    for column in filter(None, (names.value, names.test)):
        value = line.number_or_none(column)
        if not metric.lower <= value <= metric.upper and not math.isnan(value):
            line.wrong(
                column,
                f"expected {metric.lower:g} to {metric.upper:g} {metric.unit}; if that is not its unit, "
                "say which is",
            )


def _check_seconds(run: dict[int, _Line], column: str) -> None:
    before = 0.0
    for epoch in sorted(run) if column else ():
        seconds = run[epoch].number_or_none(column)
        if seconds < before:
            run[epoch].wrong(
                column, f"expected the time since the training began, {before:g} s or more"
            )
        before = seconds if seconds > before else before


def _twice(one: _Line, other: _Line, names: ColumnNames) -> NoReturn:
    hint = (
        ""
        if names.seed
        else " If they are two trainings, name the column of seeds (--seed-column), or say repeats (--repeats)."
    )
    raise SurrogateError(
        f"{one.place} and {other.place} are the same training: architecture, seed and epoch are equal. "
        f"Remove one of them.{hint}"
    )


def _float(text: str) -> float:
    """Return a number, NaN where the text is none."""
    try:
        return math.nan if "_" in text else float(text)  # Python takes 1_000 for a thousand
    except ValueError:
        return math.nan
