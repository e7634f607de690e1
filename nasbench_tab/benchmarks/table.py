"""A benchmark that answers from a table: exactly the published numbers, nothing in between.

>>> import nasbench_tab as nbt
>>> bench = nbt.load("nb201-cifar10")
>>> bench.query("|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|")
90.769...
"""

from __future__ import annotations

import itertools
import math
import operator
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import (
    ArchitectureLike,
    Architectures,
    Benchmark,
    index_of,
    integer,
)
from nasbench_tab.benchmarks.lookup import row_of, rows_of
from nasbench_tab.benchmarks.tablefile import Column, Table
from nasbench_tab.errors import (
    InvalidArchitectureError,
    MissingValueError,
    unknown_name,
)
from nasbench_tab.records import Answer, Architecture, Metric
from nasbench_tab.spaces.base import Space

__all__ = ["TableBenchmark"]

_Key = tuple[str | None, int | None, int | None]  # metric, epoch, seed, as the caller gave them


class TableBenchmark(Benchmark):
    """A table and one of its trainings behind the contract of :class:`Benchmark`.

    Args:
        table: The data.
        space: The table's space.
        fingerprint: The table's content hash.
        training: Which training; None = the table's default.
        about: The manifest, for those who want to read it.
    """

    def __init__(
        self,
        table: Table,
        space: Space,
        fingerprint: str,
        training: str | None = None,
        about: dict[str, Any] | None = None,
    ) -> None:
        label = table.default_training if training is None else training
        if label not in table.trainings:
            raise unknown_name(f"training of {table.name}", label, table.trainings)
        self._table, self._training = table, table.trainings[label]
        self.name, self.space, self.fingerprint = table.name, space, fingerprint
        self.about = about or {}
        self.training = label
        self.trainings = tuple(table.trainings)
        self.dataset = self._training.dataset
        self._columns: dict[str, Column] = {**table.static, **self._training.columns}
        self.metrics: dict[str, Metric] = {n: c.metric for n, c in self._columns.items()}
        self.objective = self.metrics[self._training.objective]
        self.epochs = self._training.epochs
        self.resumable = self._training.epochs_kind == "curve"
        self.has_seconds = self._training.seconds_kind != "none"
        table.architectures.setflags(write=False)  # measured() hands it out
        self._n = len(table.architectures)
        self._views: dict[_Key, memoryview] = {}
        self._answers: dict[_Key, tuple[memoryview, memoryview, memoryview, memoryview]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # Views of memory cannot be pickled. All numbers are copied, those of a mapped table too: where that
        # matters, pass the name and load it there, as comparisons do.
        given = self._table, self.space, self.fingerprint, self.training, self.about
        return type(self), given

    @cached_property
    def objective_epochs(self) -> tuple[int, ...]:
        """The epochs at which the objective was measured, for some architecture at least.

        A source may hold other metrics at every epoch and this one at the last only.
        """
        values = self._columns[self.objective.name].values
        measured = [bool(np.isfinite(values[:, :, k]).any()) for k in range(len(self.epochs))]
        return tuple(epoch for epoch, any_ in zip(self.epochs, measured, strict=True) if any_)

    @overload
    def query(
        self,
        archs: ArchitectureLike,
        metric: str | None = None,
        *,
        epoch: int | None = None,
        seed: int | None = None,
        mask: Literal[False] = False,
    ) -> float: ...
    @overload
    def query(
        self,
        archs: Architectures,
        metric: str | None = None,
        *,
        epoch: int | None = None,
        seed: int | None = None,
        mask: Literal[False] = False,
    ) -> NDArray[np.float64]: ...
    @overload
    def query(
        self,
        archs: Architectures,
        metric: str | None = None,
        *,
        epoch: int | None = None,
        seed: int | None = None,
        mask: Literal[True],
    ) -> np.ma.MaskedArray[Any, np.dtype[np.float64]]: ...
    def query(
        self,
        archs: ArchitectureLike | Architectures,
        metric: str | None = None,
        *,
        epoch: int | None = None,
        seed: int | None = None,
        mask: bool = False,
    ) -> float | NDArray[np.float64]:
        """Return one float for one architecture, a float64 array for many; see Benchmark.query."""
        # The way of nearly every call first: one known cell and a column that was used before.
        if not (metric is None and epoch is None and seed is None):
            metric, epoch, seed = self._plain(metric, epoch, seed)
        view = self._views.get((metric, epoch, seed))
        if view is None:
            view = self._view(metric, epoch, seed)
        kind = type(archs)
        row: int | None
        if kind is tuple or kind is str:
            row = self._found(archs)
        elif kind is int and 0 <= archs < self._n and self._table.by_index:  # type: ignore[operator]
            row = archs  # type: ignore[assignment]
        else:
            row = self._row(archs)
        if row is not None:
            value: float = view[row]
            if value == value:  # noqa: PLR0124 - not NaN
                return value
            raise self._missing(row, metric, epoch, seed)
        rows = self._many(archs)  # type: ignore[arg-type]
        values = np.asarray(view).take(rows)
        absent = np.isnan(values)
        if mask:
            return np.ma.MaskedArray(values, absent)
        if absent.any():
            raise self._missing(int(rows[absent.argmax()]), metric, epoch, seed, int(absent.sum()))
        return values

    def lookup(
        self,
        arch: ArchitectureLike,
        metric: str | None = None,
        *,
        epoch: int | None = None,
        seed: int | None = None,
    ) -> Answer:
        """Return value, simulated seconds, source and seed spread; see Benchmark.lookup."""
        if not (metric is None and epoch is None and seed is None):
            metric, epoch, seed = self._plain(metric, epoch, seed)
        row = self._found(arch)
        columns = self._answers.get((metric, epoch, seed))
        if columns is None:
            columns = self._answer_columns(metric, epoch, seed)
        value = columns[0][row]
        if value != value:  # noqa: PLR0124 - NaN
            raise self._missing(row, metric, epoch, seed)
        return Answer(value, columns[1][row], "table", columns[2][row], columns[3][row])

    def seeds(self, arch: ArchitectureLike) -> tuple[int, ...]:
        """Return the training seeds of this architecture's full training; empty if unmeasured."""
        return self._seeds[self._found(arch)]

    def measured(self, seed: int | None = None) -> NDArray[np.uint8]:
        """Return all architectures with a full training (of this seed), ``(n, cell length)``.

        A cell counts if the same network in canonical form was trained.
        """
        _, _, seed = self._plain(None, None, seed)
        present = np.isfinite(np.asarray(self._view(None, None, seed)))
        cells, rows = self._answered
        present = present[rows]
        return cells if present.all() else cells[present]

    def row_of(self, arch: ArchitectureLike) -> int:
        """Return the table's row of one architecture.

        Raises:
            MissingValueError: It is not in the table.
            InvalidArchitectureError: It is none of this space.
        """
        return self._found(arch)

    @cached_property
    def _answered(self) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
        """All cells that the table answers for, and their rows; the table's own cells first."""
        own, rows = self._table.architectures, np.arange(self._n)
        size = math.prod(self.space.choices)
        if self._table.by_index or self._n == self.space.size or size > 2**16:
            return own, rows
        row_of = {cell: row for row, cell in enumerate(map(tuple, own.tolist()))}  # and no others
        same = []  # cells that are the same network as one of the table's
        for cell in itertools.product(*map(range, self.space.choices)):
            if cell not in row_of and self.space.contains(cell):
                row = row_of.get(self.space.canonical(cell))
                if row is not None:
                    same.append((cell, row))
        if not same:
            return own, rows
        cells = np.concatenate([own, np.array([cell for cell, _ in same], np.uint8)])
        cells.setflags(write=False)
        return cells, np.concatenate([rows, np.array([row for _, row in same], np.intp)])

    @cached_property
    def _rows(self) -> dict[Any, int]:
        """Row of every cell, of a large table's only those asked for; published strings join likewise."""
        if self._table.lookup is not None:
            return {}
        return {
            cell: row for row, cell in enumerate(map(tuple, self._table.architectures.tolist()))
        }

    @cached_property
    def _row_of_index(self) -> dict[int, int]:
        if self._table.lookup is not None:
            return {}
        cells = map(tuple, self._table.architectures.tolist())
        return {self.space.index(cell): row for row, cell in enumerate(cells)}

    @cached_property
    def _seeds(self) -> list[tuple[int, ...]]:
        values = self._training.columns[self.objective.name].values[:, :, -1]
        patterns, which = np.unique(np.isfinite(values), axis=0, return_inverse=True)
        ids = np.array(self._training.seeds)
        tuples = [tuple(ids[pattern].tolist()) for pattern in patterns]
        return [tuples[i] for i in which.ravel().tolist()]

    def _plain(
        self, metric: str | None, epoch: int | None, seed: int | None
    ) -> tuple[str | None, int | None, int | None]:
        """Return the arguments with Python's own integers, so that equal means the same.

        Raises:
            UnknownNameError: The metric is no name.
            InvalidArgumentError: Epoch or seed is no integer.
        """
        if not (metric is None or isinstance(metric, str)):
            raise unknown_name(f"metric of {self.name}", metric, self._columns)
        if not (epoch is None or type(epoch) is int):
            epoch = integer("epoch", epoch)
        if not (seed is None or type(seed) is int):
            seed = integer("seed", seed)
        return metric, epoch, seed

    def _found(self, arch: object) -> int:
        """Return the row of one architecture; quick for a cell or string that is known."""
        try:
            row = self._rows.get(arch) if type(arch) is tuple or type(arch) is str else None
        except TypeError:  # a tuple of something that has no hash
            row = None
        return self._one(arch) if row is None else row

    def _row(self, archs: object) -> int | None:
        """Return the row if ``archs`` is one architecture, None if it is many."""
        if isinstance(archs, list) or (isinstance(archs, np.ndarray) and archs.ndim):
            return None
        return self._one(archs)

    def _one(self, arch: object) -> int:
        """Return the row of one architecture.

        Raises:
            InvalidArchitectureError: It is none of this space.
            MissingValueError: It is, but it is not in the table.
        """
        if isinstance(arch, str):
            row = self._known(self.space.parse(arch), arch)
            self._rows[arch] = row
            return row
        if isinstance(arch, tuple):
            return self._known(self.space.check(arch), arch)
        return self._row_of(index_of(arch))

    def _row_of(self, index: int) -> int:
        if self._table.by_index and 0 <= index < self._n:
            return index
        row = None if self._table.by_index else self._row_of_index.get(index)
        return self._known(self.space.unindex(index), index) if row is None else row

    def _known(self, cell: Architecture, asked: object) -> int:
        row = self._stored(cell)
        if row is None:
            row = self._stored(self.space.canonical(cell))
            if row is not None:
                self._rows[cell] = row
        if row is None:
            raise MissingValueError(
                f"{self.name} holds nothing about {asked!r} "
                f"({self._n} of {self.space.size} architectures are in it)."
            )
        return row

    def _stored(self, cell: Architecture) -> int | None:
        row = self._rows.get(cell)
        if row is None and self._table.lookup is not None:
            row = row_of(self._table.lookup, cell)
            if row < 0:
                return None
            self._rows[cell] = row
        return row

    def _many(self, archs: Architectures) -> NDArray[np.intp]:
        if isinstance(archs, np.ndarray):
            return self._of_array(archs)
        try:  # a list of known cells or strings
            if len(archs) > 1:
                return np.fromiter(operator.itemgetter(*archs)(self._rows), np.intp, len(archs))
        except (KeyError, TypeError):
            pass  # one of them needs a closer look
        return np.array([self._one(arch) for arch in archs], np.intp)

    def _of_array(self, archs: NDArray[Any]) -> NDArray[np.intp]:
        if archs.dtype.kind not in "iu" or archs.ndim not in (1, 2):
            raise InvalidArchitectureError(
                f"An array of architectures must hold integers in one dimension (official indices) "
                f"or two (cells); got dtype {archs.dtype} and {archs.ndim} dimensions."
            )
        if archs.ndim == 2:
            if archs.shape[1] == self._radix.size:
                rows = self._of_cells(archs)
                if rows is not None:
                    return rows
            return self._many(list(map(tuple, archs.tolist())))
        if self._table.by_index and archs.size and archs.min() >= 0 and archs.max() < self._n:
            return archs.astype(np.intp, copy=False)
        return np.array([self._row_of(index) for index in archs.tolist()], np.intp)

    @cached_property
    def _radix(self) -> NDArray[np.intp]:
        sizes = np.array(self.space.choices, np.intp)
        return np.concatenate([np.cumprod(sizes[:0:-1])[::-1], [1]]).astype(np.intp)

    @cached_property
    def _row_of_number(self) -> NDArray[np.intp] | None:
        """Row of each mixed-radix number of a cell; None where that table would be too large."""
        size = int(np.prod(np.array(self.space.choices, float)))
        if size > 2**22:
            return None
        rows = np.full(size, -1, np.intp)
        rows[self._table.architectures.astype(np.intp) @ self._radix] = np.arange(self._n)
        return rows

    def _of_cells(self, cells: NDArray[Any]) -> NDArray[np.intp] | None:
        """Return the rows of many cells at once; None if any of them needs a closer look."""
        if self._table.lookup is not None:
            rows = rows_of(self._table.lookup, cells)
            return rows if (rows >= 0).all() else None
        table = self._row_of_number
        if table is None or not len(cells):
            return None
        sizes = self.space.choices
        if cells.min() < 0:
            return None
        if cells.max() >= min(sizes) and (cells >= np.array(sizes)).any():
            return None
        rows = table.take(cells.astype(np.intp, copy=False) @ self._radix)
        return rows if rows.min() >= 0 else None

    def _view(self, metric: str | None, epoch: int | None, seed: int | None) -> memoryview:
        key = (metric, epoch, seed)
        view = self._views.get(key)
        if view is None:
            values = self._values(metric, epoch)
            place = None if seed is None else self._seed_column(seed)
            if values.ndim == 2:
                values = self._mean(values) if place is None else values[:, place]
            view = self._views[key] = np.ascontiguousarray(values, np.float64).data
        return view

    def _values(self, metric: str | None, epoch: int | None) -> NDArray[Any]:
        """Return ``(n, S)`` values of a metric at an epoch, ``(n,)`` if it does not depend on it."""
        name = self.objective.name if metric is None else metric
        column = self._columns.get(name)
        if column is None:
            raise unknown_name(f"metric of {self.name}", name, self._columns)
        place = self._epoch_place(epoch)
        return column.values if column.values.ndim == 1 else column.values[:, :, place]

    def _answer_columns(
        self, metric: str | None, epoch: int | None, seed: int | None
    ) -> tuple[memoryview, memoryview, memoryview, memoryview]:
        """Return value, seconds, spread and number of trainings of every row."""
        n = self._n
        seconds = (
            self._view("train_seconds", epoch, seed) if self.has_seconds else _constant(n, _NAN)
        )
        spread, count = _constant(n, _NAN), np.ones(n, np.int64).data
        values = self._values(metric, epoch)
        if seed is None and values.ndim == 2:
            values = np.where(self._counted, values, np.nan)
            present = np.isfinite(values).sum(axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                off = values - self._mean(values)[:, None]
                square = np.nansum(off**2, axis=1) / (present - 1)
            spread = np.where(present > 1, np.sqrt(square), np.nan).data
            count = present.astype(np.int64).data
        columns = (self._view(metric, epoch, seed), seconds, spread, count)
        self._answers[metric, epoch, seed] = columns
        return columns

    @cached_property
    def _counted(self) -> NDArray[np.bool_]:
        """``(n, S)``: the trainings behind a mean, the same at every epoch: the full ones, if any."""
        full = np.isfinite(self._training.columns[self.objective.name].values[:, :, -1])
        counted: NDArray[np.bool_] = full | ~full.any(axis=1, keepdims=True)
        return counted

    def _mean(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the mean of ``(n, S)`` values over the trainings that count; NaN where none does."""
        present = np.isfinite(values) & self._counted
        total = np.where(present, values, 0.0).sum(axis=1, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / present.sum(axis=1))

    def _epoch_place(self, epoch: int | None) -> int:
        if epoch is None:
            return len(self.epochs) - 1
        try:
            return self.epochs.index(epoch)
        except ValueError:
            raise MissingValueError(
                f"{self.name} has no values at epoch {epoch}. It has {_listing(self.epochs)} "
                f"(1-based; training {self.training!r})."
            ) from None

    def _seed_column(self, seed: int) -> int:
        try:
            return self._training.seeds.index(seed)
        except ValueError:
            raise MissingValueError(
                f"{self.name} has no training seed {seed}. It has {_listing(self._training.seeds)}; "
                "which of them exist for a cell is what seeds(cell) says."
            ) from None

    def _missing(
        self, row: int, metric: str | None, epoch: int | None, seed: int | None, n: int = 1
    ) -> MissingValueError:
        arch = self.space.format(_cell(self._table, row))
        seeds = self._seeds[row]
        more = f" (and {n - 1} more of those asked for)" if n > 1 else ""
        return MissingValueError(
            f"{self.name} has no {metric or self.objective.name} of {arch} at epoch "
            f"{epoch or self.epochs[-1]}"
            + (f" for training seed {seed}" if seed is not None else "")
            + f"{more}. Trainings that exist for this cell: {_listing(seeds)}. Ask for one of them, "
            "for their mean (seed=None), or for a masked array (mask=True) of many."
        )


_NAN = float("nan")


def _constant(n: int, value: float) -> memoryview:
    return np.full(n, value).data


def _cell(table: Table, row: int) -> Architecture:
    return tuple(table.architectures[row].tolist())


def _listing(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values)) if values else "none"
