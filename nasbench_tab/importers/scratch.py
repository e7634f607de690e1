"""Columns of a table that are too large for the memory, in files of a temporary folder.

Rows come in any order, each once. What is kept in the end - rows, seeds, single or double precision - is
decided when all have come; the files are then rewritten in place where they have to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import ResultsError

__all__ = ["ScratchColumn"]

_BLOCK = 8 * 2**20  # bytes that are rewritten at a time


class ScratchColumn:
    """One metric of one training: ``(n, seeds, epochs)`` float64 in a file.

    Args:
        path: The file.
        n_seeds: Training seeds of a row.
        n_epochs: Epochs of a row.
    """

    def __init__(self, path: Path, n_seeds: int, n_epochs: int) -> None:
        self._path, self._row = path, (n_seeds, n_epochs)
        self._file = path.open("wb+", buffering=0)
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
            self._file.write(np.ascontiguousarray(values, "<f8").tobytes())
        except OSError as err:
            raise self._failed(err) from err

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
            self._file.close()
            return np.memmap(self._path, kind, "r", shape=shape)
        except OSError as err:
            raise self._failed(err) from err

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
            place += self._file.write(np.ascontiguousarray(block, kind).tobytes())
            start = end

    def _failed(self, err: OSError) -> ResultsError:
        return ResultsError(
            f"{self._path} could not be written ({err}). An import needs about as much free space beside its "
            "target as the tables take; no table was written. Free some, or choose another folder."
        )


def _is_single(values: NDArray[np.float64]) -> bool:
    with np.errstate(over="ignore", under="ignore"):
        return bool((values.astype(np.float32) == values).all())
