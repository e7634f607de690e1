"""Run logs in CSV form: one row for each epoch."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from nasbench_tab.errors import LogError
from nasbench_tab.train.logrecord import FORMAT, IDENTITY, SEE, LoggedRun, run_of

__all__ = ["csv_entries"]


def csv_entries(data: bytes, path: Path, given: dict[str, str]) -> list[tuple[LoggedRun, str]]:
    """Return the runs of a CSV file, each with the place of its first row.

    Args:
        data: The file's content.
        path: Its name, for messages.
        given: Columns that the file may lack, with the value for all rows.

    Raises:
        LogError: It is no CSV file, or a row is no epoch of a run.
    """
    try:
        rows = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        header, *table = [(rows.line_num, row) for row in rows if row] or [(1, [])]
    except (ValueError, csv.Error) as err:
        raise LogError(f"{path} is no CSV file in UTF-8 ({err}). {SEE}") from err
    names = header[1]
    lacks = {"architecture", "seed", "epoch", "space", "dataset"} - {*names}
    lacks -= {name for name, value in given.items() if value}
    if lacks or len({*names}) < len(names):
        raise LogError(
            f"{path}: expected a header of distinct names with architecture, seed, epoch, space and "
            f"dataset; {', '.join(sorted(lacks)) or 'nothing'} missing, got {', '.join(names)}. {SEE}"
        )
    runs: dict[tuple[str, ...], list[tuple[int, dict[str, str]]]] = {}
    for line, cells in table:
        if len(cells) != len(names):
            raise LogError(f"{path}:{line}: {len(names)} cells expected, {len(cells)} got. {SEE}")
        row = {**given, **dict(zip(names, cells, strict=True))}
        runs.setdefault(tuple(row.get(name, "") for name in IDENTITY), []).append((line, row))
    return [(_csv_run(rows, path), f"{path}:{rows[0][0]}") for rows in runs.values()]


def _csv_run(rows: list[tuple[int, dict[str, str]]], path: Path) -> LoggedRun:
    """Return the run that ``rows`` (line, cells by name) are the epochs of."""
    first_line, first = rows[0]
    own = [name for name in first if name in LoggedRun._fields]
    metrics = [name for name in first if name not in own and name != "epoch"]
    curve: dict[int, dict[str, Any]] = {}
    for line, row in rows:
        differs = [name for name in own if row[name] != first[name]]
        problem = f"{', '.join(differs)} differs from line {first_line} of the same run"
        if not differs and row["epoch"]:
            epoch = _csv_number(row["epoch"], int, f"{path}:{line}: 'epoch'")
            problem = f"epoch {epoch} stands there twice" if epoch in curve else ""
            curve[epoch] = {
                name: _csv_number(row[name], float, f"{path}:{line}: {name!r}") for name in metrics
            }
        elif not differs:
            alone = len(rows) == 1 and not any(row[name] for name in metrics)
            problem = (
                "" if alone else "a row without an epoch must be its run's only one, and empty"
            )
        if problem:
            raise LogError(f"{path}:{line}: {problem}. {SEE}")
    if sorted(curve) != list(range(1, len(curve) + 1)):
        raise LogError(
            f"{path}:{first_line}: epochs 1, 2, ... expected, {sorted(curve)} got. {SEE}"
        )
    record: dict[str, Any] = {"format": FORMAT, "status": "ok"}
    record |= {name: first[name] for name in own if first[name]}
    for name in record.keys() & {"seed", "epochs", "threads", "parameters"}:
        kind = float if name == "parameters" else int
        record[name] = _csv_number(first[name], kind, f"{path}:{first_line}: {name!r}")
    record["curve"] = {m: [curve[epoch][m] for epoch in sorted(curve)] for m in metrics}
    return run_of(record, f"{path}:{first_line}")


def _csv_number(text: str, kind: type, where: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise LogError(f"{where} must be {what}; got {text!r}. {SEE}") from None
