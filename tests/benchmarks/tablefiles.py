"""Reading, comparing and altering the files of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

from nasbench_tab.benchmarks.tablefile import Column, Table, content_hash, read_manifest, read_table


def load(folder: Path) -> Table:
    return read_table(folder, read_manifest(folder))


def hash_of(path: Path) -> str:
    with h5py.File(path, "r") as file:
        return content_hash(file)


def bits(table: Table) -> dict[str, Any]:
    """Everything in a table, arrays as type, shape and bytes."""

    def columns(them: dict[str, Column]) -> dict[str, Any]:
        return {
            name: (column.metric, column.note, array(column.values))
            for name, column in sorted(them.items())
        }

    def array(values: NDArray[Any]) -> tuple[str, tuple[int, ...], bytes]:
        return values.dtype.str, values.shape, values.tobytes()

    return {
        "names": (table.name, table.space, table.by_index, table.default_training),
        "architectures": array(table.architectures),
        "static": columns(table.static),
        "trainings": {
            label: (*training[:-1], columns(training.columns))
            for label, training in sorted(table.trainings.items())
        },
    }


VALID = "trainings/curve/metrics/valid_accuracy"


def replace(file: h5py.File, name: str, values: NDArray[Any]) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, data=values).attrs.update(attributes)
