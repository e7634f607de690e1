"""Columns of a table that are too large for the memory, in files of a temporary folder.

Rows come in any order, each once. What is kept in the end - rows, seeds, single or double precision - is
decided when all have come; the files are then rewritten in place where they have to be.

The files lose their names as soon as they are open, where the system allows it: a process that is killed
leaves an empty folder behind, not gigabytes.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.mapped import reserve
from nasbench_tab.errors import ResultsError

__all__ = ["ScratchColumn", "blank", "scratch_folder"]

_BLOCK = 8 * 2**20  # bytes that are rewritten at a time


@contextmanager
def scratch_folder(out: Path) -> Iterator[Path]:
    """Yield a folder in ``out``, where the tables go, that is removed on every way out.

    Raises:
        ResultsError: ``out`` cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        # Where files that are open cannot be removed, an import does not fail for what stays.
        held = tempfile.TemporaryDirectory(prefix=".import-", dir=out, ignore_cleanup_errors=True)
    except OSError as err:
        raise ResultsError(
            f"{out} cannot be written to ({err}). Choose another folder for the tables."
        ) from err
    with held as folder:
        yield Path(folder)


def blank(path: Path, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return an array of NaN in the new file ``path``.

    Raises:
        ResultsError: The disk is full, or the folder is gone.
    """
    try:
        path.touch()
        # Without room on the disk, writing to the array would end the process.
        reserve(path, 8 * math.prod(shape))
        with path.open("rb+") as file:
            _forget(path)
            values: NDArray[np.float64] = np.memmap(file, np.float64, "r+", shape=shape)
    except OSError as err:
        raise _failed(path, err) from err
    values[...] = np.nan
    return values


class ScratchColumn:
    """One metric of one training: ``(n, seeds, epochs)`` float64 in a file.

    Args:
        path: The file.
        n_seeds: Training seeds of a row.
        n_epochs: Epochs of a row.
    """

    def __init__(self, path: Path, n_seeds: int, n_epochs: int) -> None:
        self._path, self._row = path, (n_seeds, n_epochs)
        try:
            self._file = path.open("wb+", buffering=0)
        except OSError as err:
            raise _failed(path, err) from err
        _forget(path)
        self._bytes = 8 * n_seeds * n_epochs
        self._single = True  # no value so far needs more than single precision
        self.empty = True  # there was no value so far

    def write(self, row: int, values: NDArray[np.float64]) -> None:
        """Write the ``(seeds, epochs)`` values of a row.

        Raises:
            ResultsError: The disk is full, or the folder is gone.
        """
        if self._single or self.empty:
            there = ~np.isnan(values)
            self.empty = self.empty and not there.any()
            self._single = self._single and _is_single(values[there])
        try:
            self._file.seek(row * self._bytes)
            self._put(np.ascontiguousarray(values, "<f8"))
        except OSError as err:
            raise _failed(self._path, err) from err

    def finish(self, rows: Sequence[int], seeds: Sequence[int]) -> NDArray[Any]:
        """Return the rows and seeds that are kept, mapped into memory; float32 if that is exact.

        Args:
            rows: Ascending; all of them were written.
            seeds: Positions, ascending.

        Raises:
            ResultsError: The disk is full, or the folder is gone.
        """
        kind = np.dtype("<f4" if self._single else "<f8")
        shape = (len(rows), len(seeds), self._row[1])
        same = len(rows) == rows[-1] + 1 and len(seeds) == self._row[0]
        try:
            if not same or kind.itemsize < 8:
                self._rewrite(rows, list(seeds), kind)
            self._file.truncate(int(np.prod(shape)) * kind.itemsize)
            found = np.memmap(self._file, kind, "r", shape=shape)
            self._file.close()
        except OSError as err:
            raise _failed(self._path, err) from err
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rewrite(self, rows: Sequence[int], seeds: list[int], kind: np.dtype[Any]) -> None:
        # Forward and in place: what is written never lies behind what is still to be read.
        step, place, start = max(1, _BLOCK // self._bytes), 0, 0
        while start < len(rows):
            end = start + 1
            while end < len(rows) and rows[end] == rows[end - 1] + 1 and end - start < step:
                end += 1
            self._file.seek(rows[start] * self._bytes)
            data = self._file.read((end - start) * self._bytes)
            block = np.frombuffer(data, "<f8").reshape(end - start, *self._row)[:, seeds]
            self._file.seek(place)
            place += self._put(np.ascontiguousarray(block, kind))
            start = end

    def _put(self, values: NDArray[Any]) -> int:
        """Write all of ``values`` and return their bytes: near a full disk, one call writes a part only."""
        rest = values.reshape(-1).view(np.uint8).data
        while rest:
            rest = rest[self._file.write(rest) :]
        return values.nbytes


def _forget(path: Path) -> None:
    if path.is_file():  # not a device
        with suppress(OSError):
            path.unlink()


def _failed(path: Path, err: OSError) -> ResultsError:
    return ResultsError(
        f"{path} could not be written ({err}). An import needs about as much free space beside its "
        "target as the tables take; this table was not written. Free some, or choose another folder."
    )


def _is_single(values: NDArray[np.float64]) -> bool:
    with np.errstate(over="ignore", under="ignore"):
        return bool((values.astype(np.float32) == values).all())
