"""NATS-Bench's records, made again from the tables that ``nasbench-tab import`` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.tablefile import Table, Training, read_manifest, read_table
from nasbench_tab.errors import FormatError
from nasbench_tab.importers.nats_records import ArchRecord, RunRecord, SetRecord
from nasbench_tab.importers.nats_tables import DATASETS
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.nats_size import CELL

__all__ = ["Tables", "folders_of"]

_CLASSES = {"cifar10-valid": 10, "cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}

#: The columns' words of each published set. Where there are three, the longest trainings name the
#: publishers' whole test set first.
_SETS = {
    "cifar10-valid": {"x-valid": "valid", "ori-test": "test"},
    "cifar10": {"ori-test": "test"},
    "cifar100": {"x-valid": "valid", "x-test": "test", "ori-test": "valid_test"},
    "ImageNet16-120": {"x-valid": "valid", "x-test": "test", "ori-test": "valid_test"},
}
_WHOLE_FIRST = ("ori-test", "x-valid", "x-test")


def folders_of(prefix: str, folders: Mapping[str, Path]) -> list[Path]:
    """Return the folders of a format's tables among ``{name: folder}``, in the order of the datasets."""
    names = (f"{prefix}-{dataset}" for dataset in DATASETS)
    return [folders[name] for name in names if name in folders]


class Tables:
    """Records from the imported tables of a search space.

    What an import rounds off is gone: which measurement of several a latency was, and losses that were
    not finite, which are not a number here. Times are sums in the tables, so each differs in its last
    digits from the record's.

    Args:
        folders: The tables' folders; every dataset once at most.
        space: The tables' space.

    Raises:
        TableError: A table cannot be read.
        FormatError: A table is of another space.
    """

    def __init__(self, folders: list[Path], space: Space) -> None:
        self.folder: Path | None = folders[0].parent
        self.name: str | None = f"tables {', '.join(folder.name for folder in folders)}"
        self._space, self._topology = space, space.name == "nasbench201"
        self.architectures = tuple(
            space.format(space.unindex(index)) for index in range(space.size or 0)
        )
        self._tables = [read_table(folder, read_manifest(folder)) for folder in folders]
        for table, folder in zip(self._tables, folders, strict=True):
            if table.space != space.name:
                raise FormatError(
                    f"{folder} is a table of the space {table.space}; expected {space.name}."
                )
        self._rows = [_rows(table, space) for table in self._tables]
        self.present = frozenset().union(*self._rows)

    def read(self, index: int) -> dict[str, ArchRecord] | None:
        """Return the record for each schedule, or None if no table has this architecture."""
        runs: dict[str, dict[str, dict[int, RunRecord]]] = {}
        for table, rows in zip(self._tables, self._rows, strict=True):
            row = rows.get(index)
            if row is None:
                continue
            for training in table.trainings.values():
                hp = f"{len(training.epochs):02d}"
                found = self._trainings(table, training, row, index)
                if found:
                    runs.setdefault(hp, {})[training.dataset] = found
        if not runs:
            return None
        text = self.architectures[index]
        return {
            hp: ArchRecord(index, text, found, {name: tuple(each) for name, each in found.items()})
            for hp, found in sorted(runs.items(), key=lambda pair: int(pair[0]))
        }

    def _trainings(
        self, table: Table, training: Training, row: int, index: int
    ) -> dict[int, RunRecord]:
        found = {}
        for place, seed in enumerate(training.seeds):
            accuracy = _curve(training, "train_accuracy", row, place)
            if accuracy is None:
                continue
            latency = _recorded(table, training, "latency", row, place)
            seconds = _curve(training, "train_seconds", row, place)
            found[seed] = RunRecord(
                dataset=training.dataset,
                seed=seed,
                epochs=len(training.epochs),
                params=_recorded(table, training, "parameters", row, place),
                flops=_recorded(table, training, "macs", row, place),
                latency=() if np.isnan(latency) else (latency,),
                arch_config=self._config(index, training.dataset),
                train_accuracy=accuracy,
                train_top5=_curve(training, "train_top5_accuracy", row, place),
                train_loss=_whole(training, "train_loss", row, place),
                train_seconds=None if seconds is None else _each(seconds),
                sets=self._sets(training, row, place),
            )
        return found

    def _sets(self, training: Training, row: int, place: int) -> dict[str, SetRecord]:
        words = _SETS[training.dataset]
        names = list(words)
        if self._topology and len(training.epochs) > 12 and len(names) == 3:
            names = list(_WHOLE_FIRST)
        found = {}
        for name in names:
            word = words[name]
            seconds = "eval_seconds" if word == "valid" else f"{word}_seconds"
            found[name] = SetRecord(
                _whole(training, f"{word}_accuracy", row, place),
                _whole(training, f"{word}_loss", row, place),
                _each(_whole(training, seconds, row, place)),
            )
        return found

    def _config(self, index: int, dataset: str) -> dict[str, Any]:
        text, n_classes = self.architectures[index], _CLASSES[dataset]
        if self._topology:
            return {"channel": 16, "num_cells": 5, "arch_str": text, "class_num": n_classes}
        return {
            "name": "infer.shape.tiny",
            "channels": text,
            "arch_str": text,
            "genotype": CELL,
            "class_num": n_classes,
        }


def _rows(table: Table, space: Space) -> dict[int, int]:
    """Return the row of each architecture, by its official index."""
    if table.by_index:
        return {row: row for row in range(len(table.architectures))}
    cells = map(tuple, table.architectures.tolist())
    return {space.index(cell): row for row, cell in enumerate(cells)}


def _whole(training: Training, name: str, row: int, place: int) -> NDArray[np.float64]:
    """Return a metric over the epochs of one training, NaN where it was not measured."""
    column = training.columns.get(name)
    if column is None:
        return np.full(len(training.epochs), np.nan)
    return np.asarray(column.values[row, place], np.float64)


def _curve(training: Training, name: str, row: int, place: int) -> NDArray[np.float64] | None:
    values = _whole(training, name, row, place)
    return None if np.isnan(values).all() else values


def _each(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each epoch adds to a sum over the epochs."""
    return np.diff(total, prepend=0.0)


def _recorded(table: Table, training: Training, key: str, row: int, place: int) -> float:
    """Return a figure as recorded with one training."""
    column = training.columns.get(f"recorded_{key}")
    if column is not None:
        return float(column.values[row, place, 0])
    return float(table.static[key].values[row])
