"""What a one-shot method logs of itself: after how many real seconds it would hand over which cell.

A method that shares weights must really run; a table can only say what its answers are worth. So it logs
its discretised cell after every epoch, with the elapsed time, and, if it scores cells with its shared
weights, those scores. One file is one run: JSON lines, or CSV (``.csv``) with the same names as a header.

================  ========================================================================
``time_seconds``  elapsed real seconds, at least 0, never falling; what is not chosen needs none
``architecture``  the cell: its published string, or its official index
``score``         optional: what the method itself says of the cell; greater is better
``chosen``        optional, true if absent: whether this is the method's answer from now on; false:
                  the cell was only scored
================  ========================================================================

Other fields are ignored.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArchitectureError, LogError
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.base import Space

__all__ = ["Trajectory", "read_trajectory"]

_SEE = "Correct it, or the program that wrote it; docs/trajectories.md has the format."
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_DIGITS = 20  # of an index; Python refuses to read thousands of them


class Trajectory(NamedTuple):
    """One run of a one-shot method; ``n`` lines.

    Attributes:
        path: The file.
        lines: ``(n,)`` line numbers in it, for messages.
        seconds: ``(n,)`` float64 elapsed real seconds; NaN where a cell was only scored and no time is
            given.
        cells: ``(n, cell length)`` uint8.
        scores: ``(n,)`` float64, greater is better; NaN: none.
        chosen: ``(n,)`` bool: the method's answer from then on; at least one is.
    """

    path: Path
    lines: NDArray[np.int64]
    seconds: NDArray[np.float64]
    cells: NDArray[np.uint8]
    scores: NDArray[np.float64]
    chosen: NDArray[np.bool_]


def read_trajectory(path: str | Path, space: Space) -> Trajectory:
    """Return the log of one run.

    Args:
        path: A file of JSON lines, or a CSV file (``*.csv``).
        space: Of the cells.

    Raises:
        LogError: The file cannot be read, or a line breaks a rule; the message names file and line.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as err:
        raise LogError(
            f"{path} cannot be read ({err}). Expected JSON lines or CSV in UTF-8."
        ) from err
    records = _csv_records if path.suffix.lower() == ".csv" else _json_records
    lines, entries = [], []
    clock, decided, last = -1.0, -1.0, ""  # newest time; that of the newest choice, and its place
    for line, record in records(text, path):
        where = f"{path}:{line}"
        entry = _entry(record, where, space)
        seconds, _, _, chosen = entry
        if seconds < clock:
            raise LogError(
                f"{where}: time goes back to {seconds:g} seconds from {clock:g}. Expected one run a file, "
                f"in order. {_SEE}"
            )
        if chosen and seconds == decided:
            raise LogError(
                f"{where}: a second choice at {seconds:g} seconds, after that of {last}. Expected one "
                f"answer at a time; mark cells that were only scored with chosen = false. {_SEE}"
            )
        if chosen:
            decided, last = seconds, where
        clock = clock if math.isnan(seconds) else seconds
        lines.append(line)
        entries.append(entry)
    if not last:
        raise LogError(
            f"{path} {'has no line' if not lines else 'chooses no cell'}. Expected at least one line with "
            f"time_seconds and architecture. {_SEE}"
        )
    times, cells, scores, choices = zip(*entries, strict=True)
    return Trajectory(
        path,
        np.array(lines, np.int64),
        np.array(times, np.float64),
        np.array(cells, np.uint8),
        np.array(scores, np.float64),
        np.array(choices, bool),
    )


def _json_records(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, part in enumerate(text.split("\n"), 1):
        if not part.strip():
            continue
        try:
            record = json.loads(part)
        except (ValueError, RecursionError) as err:
            raise LogError(f"{path}:{line}: no JSON ({err}). {_SEE}") from err
        if not isinstance(record, dict):
            raise LogError(f"{path}:{line}: expected a JSON object, got {part.strip():.60}. {_SEE}")
        yield line, record


def _csv_records(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] = []
    while True:
        try:
            row = next(rows, None)
        except csv.Error as err:
            raise LogError(f"{path}:{rows.line_num}: no CSV ({err}). {_SEE}") from err
        if row is None:
            return
        if not row:
            continue
        if not names:
            names = [name.strip() for name in row]
            lacks = {"time_seconds", "architecture"} - {*names}
            if lacks or len({*names}) < len(names):
                raise LogError(
                    f"{path}:{rows.line_num}: expected a header of distinct names with time_seconds and "
                    f"architecture; got {', '.join(names)}. {_SEE}"
                )
            continue
        if len(row) != len(names):
            raise LogError(
                f"{path}:{rows.line_num}: {len(names)} cells expected, {len(row)} got. {_SEE}"
            )
        # What is empty is not there, as a field may be missing in JSON.
        yield (
            rows.line_num,
            {name: cell.strip() for name, cell in zip(names, row, strict=True) if cell.strip()},
        )


def _entry(
    record: dict[str, Any], where: str, space: Space
) -> tuple[float, Architecture, float, bool]:
    """Return seconds, cell, score and whether it was chosen."""
    chosen = record.get("chosen", True)
    if isinstance(chosen, str):
        chosen = _TRUTH.get(chosen.lower(), chosen)
    if not isinstance(chosen, bool):
        raise LogError(f"{where}: 'chosen' must be true or false; got {chosen!r}. {_SEE}")
    seconds = _number(record, "time_seconds", where, needed=chosen)
    if seconds < 0:
        raise LogError(f"{where}: 'time_seconds' must be at least 0; got {seconds!r}. {_SEE}")
    if "architecture" not in record:
        raise LogError(f"{where}: 'architecture' is missing. {_SEE}")
    return (
        seconds,
        _cell(record["architecture"], where, space),
        _number(record, "score", where),
        chosen,
    )


def _number(record: dict[str, Any], name: str, where: str, *, needed: bool = False) -> float:
    """Return a finite number; NaN where there is none and none is needed."""
    value = record.get(name)
    if value is None and not needed:
        return math.nan
    try:
        number = float(value) if isinstance(value, (int, float, str)) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if isinstance(value, str) and "_" in value:  # Python reads 1_000 as a number
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        got = "nothing" if value is None else repr(value)[:60]
        raise LogError(f"{where}: {name!r} must be a finite number; got {got}. {_SEE}")
    return number


def _cell(value: Any, where: str, space: Space) -> Architecture:
    """Return the cell of a published string, or of an official index."""
    text = str(value)
    try:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise InvalidArchitectureError(
                f"'architecture' must be a published string or an official index; got {text:.60}."
            )
        if space.size is not None and text.isascii() and text.isdigit() and len(text) <= _DIGITS:
            return space.unindex(int(text))
        return space.parse(text)
    except InvalidArchitectureError as err:
        raise LogError(f"{where}: {err} {_SEE}") from err
