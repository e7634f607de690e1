"""Why each training of a table was made: ``origins.csv`` beside it, where the source says so.

One row for each training that went well or not: ``training,index,seed,origin``, the index being the
space's number of the architecture. It is no part of the table, whose hash does not cover it; surrogates
are assessed by leaving out all that one origin made.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from nasbench_tab.atomic import write_text
from nasbench_tab.errors import TableError

__all__ = ["FILE", "Origins", "read_origins", "write_origins"]

FILE = "origins.csv"
_HEADER = ["training", "index", "seed", "origin"]

#: ``{(training, index, seed): origin}``.
Origins: TypeAlias = dict[tuple[str, int, int], str]


def write_origins(directory: Path, rows: Iterable[tuple[str, int, int, str]]) -> None:
    """Write ``origins.csv`` to a table's folder, completely or not at all.

    Raises:
        ResultsError: It could not be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows(rows)
    write_text(directory / FILE, text.getvalue())


def read_origins(directory: Path) -> Origins:
    """Return what ``origins.csv`` of a table's folder says; nothing where there is none.

    Raises:
        TableError: It cannot be read.
    """
    path = directory / FILE
    if not path.exists():
        return {}
    found: Origins = {}
    try:
        rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True)
        if next(rows, None) != _HEADER:
            raise ValueError(f"its first line is not {','.join(_HEADER)}")
        for number, (training, index, seed, origin) in enumerate(rows, 2):
            key = training, int(index), int(seed)
            if key in found:
                raise ValueError(f"line {number} is about a training that was there before")
            found[key] = origin
    except (OSError, ValueError, csv.Error) as err:
        raise TableError(
            f"{path} cannot be read ({err}). Import the table again, or remove this file: it says only "
            "why trainings were made."
        ) from err
    return found
