"""Large tables: numbers that stay in the file, and are read where they are asked for.

Above 32 MiB of numbers a table is stored without compression, each array in one piece, and the file is
mapped into memory instead of being read: opening it costs what its names cost, and what is resident is what was
touched. Its bytes are verified in full the first time; a stamp beside it (size, time of change and inode of
the file, and the hash that was found) says that the same file needs no second reading. A file that is replaced
as :func:`~nasbench_tab.atomic.replacing` does leaves those who have it open with what they opened; one that is
overwritten in place changes their numbers.

A large table whose rows are not official indices also stores where each cell is: see ``lookup.py``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import mmap
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.atomic import write_text
from nasbench_tab.errors import ResultsError

if TYPE_CHECKING:
    import h5py

    from nasbench_tab.benchmarks.tablefile import Table

__all__ = [
    "LARGE",
    "bytes_of",
    "fill_in_place",
    "forget",
    "is_stamped",
    "mapped",
    "put_later",
    "reserve",
    "sha256_of",
    "stamp",
]

#: Bytes of numbers above which a table is stored to be mapped.
LARGE = 32 * 2**20

_PIECE = 2**16  # bytes of an array above which it is mapped; smaller ones are read
_BLOCK = 16 * 2**20  # bytes that are copied at a time
_STAMP = "table.h5.verified"


def put_later(group: h5py.Group, name: str, values: NDArray[Any]) -> h5py.Dataset:
    """Give an array its place in the file, in one piece, without writing it."""
    import h5py

    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_layout(h5py.h5d.CONTIGUOUS)
    created.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    created.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    created.set_obj_track_times(False)
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    kind = h5py.h5t.py_create(values.dtype.newbyteorder("<"))
    place = h5py.h5s.create_simple(values.shape)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, place, created, links))


def reserve(path: Path, size: int) -> None:
    """Make sure that the disk has room for a file, before HDF5 begins one: it does not survive a full disk.

    Raises:
        OSError: The disk is full.
    """
    with path.open("r+b") as file:
        _allocate(file, size + 2**20)


def _allocate(file: IO[bytes], size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    elif shutil.disk_usage(Path(file.name).parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill_in_place(path: Path, arrays: dict[int, NDArray[Any]]) -> None:
    """Write arrays into a file at their offsets, block by block.

    Raises:
        OSError: The disk is full.
    """
    with path.open("r+b") as file:
        end = max(offset + values.nbytes for offset, values in arrays.items())
        _allocate(file, max(end, os.fstat(file.fileno()).st_size))
        for offset, values in sorted(arrays.items()):
            file.seek(offset)
            rows = max(1, _BLOCK * len(values) // max(1, values.nbytes))
            for start in range(0, len(values), rows):
                block = values[start : start + rows]
                file.write(np.ascontiguousarray(block, block.dtype.newbyteorder("<")).tobytes())
            forget(values)


def forget(values: NDArray[Any]) -> None:
    """Let go of the memory behind a mapped array whose numbers stay in its file; others are left alone."""
    base: Any = values
    shared = False
    while base is not None and not isinstance(base, mmap.mmap):
        shared = shared or getattr(base, "mode", None) in ("r+", "w+")  # of a numpy.memmap
        base = (
            getattr(base, "obj", None)
            if isinstance(base, memoryview)
            else getattr(base, "base", None)
        )
    if base is None or not hasattr(mmap, "MADV_DONTNEED"):
        return
    with memoryview(base) as view:
        shared = shared or view.readonly
    if shared:  # what was written to a private mapping is in no file
        base.madvise(mmap.MADV_DONTNEED)


def mapped(path: Path, dataset: h5py.Dataset, memory: mmap.mmap) -> NDArray[Any]:
    """Return a dataset's numbers: a view of the mapped file, or a copy where it is small or chunked."""
    offset = dataset.id.get_offset()
    if offset is None or dataset.nbytes < _PIECE:
        values: NDArray[Any] = dataset[()]
        return values
    if offset + dataset.nbytes > len(memory):
        raise ValueError(f"{dataset.name} reaches beyond the end of {path.name}")
    flat = np.frombuffer(memory, dataset.dtype, math.prod(dataset.shape), offset)
    return flat.reshape(dataset.shape)


def stamp(directory: Path, digest: str) -> None:
    """Note that the table's file was verified as it is now; nothing happens where that cannot be written."""
    with suppress(OSError, ResultsError):
        write_text(directory / _STAMP, json.dumps({**_identity(directory), "hash": digest}) + "\n")


def is_stamped(directory: Path, digest: object) -> bool:
    """Return whether the table's file is the one that was verified to have this hash."""
    try:
        found = json.loads((directory / _STAMP).read_text(encoding="utf-8"))
        return bool(found == {**_identity(directory), "hash": digest})
    except (OSError, ValueError):
        return False


def _identity(directory: Path) -> dict[str, int]:
    found = (directory / "table.h5").stat()
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "inode": found.st_ino}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, read block by block."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_of(table: Table) -> int:
    """Return how many bytes of numbers a table holds."""
    columns = [*table.static.values()]
    for training in table.trainings.values():
        columns += training.columns.values()
    return table.architectures.nbytes + sum(column.values.nbytes for column in columns)
