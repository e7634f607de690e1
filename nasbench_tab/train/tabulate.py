"""From run logs to a table: the logged curves, nothing imputed.

A run that diverged keeps its finite epochs and a run that failed has none; what is not there is NaN
in the table, and both are named in its manifest.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.tablefile import Column, Table, Training, write_table
from nasbench_tab.errors import LogError
from nasbench_tab.records import Architecture, Metric
from nasbench_tab.spaces.base import Space
from nasbench_tab.train.log import Log, LoggedRun, read_log
from nasbench_tab.train.oneway import Row, metric_of, one_way

__all__ = ["Summary", "metric_of", "tabulate"]

_OURS = {  # notes on what nasbench_tab's own trainings log
    "train": "over the steps of each epoch, each before its update",
    "valid": "on all validation images after each epoch",
    "test": "on all test images after each epoch",
    "train_seconds": "cumulative training time without evaluation, measured; processor time of one "
    "thread on a CPU, elapsed time on a GPU",
    "eval_seconds": "cumulative evaluation time, measured as train_seconds is",
}


class Summary(NamedTuple):
    """What became of the logs.

    Attributes:
        table: Its name.
        architectures: Number of rows; of some there may be failed runs only.
        trainings: ``{seed: number of runs that went well}``.
        diverged: Number of runs.
        failed: Number of runs.
        torn: Bytes of unfinished last lines that were left out.
        hash: Content hash of the table.
    """

    table: str
    architectures: int
    trainings: dict[int, int]
    diverged: int
    failed: int
    torn: int
    hash: str


def tabulate(
    logs: Sequence[Path],
    directory: Path,
    space: Space | Callable[[str], Space],
    name: str | None = None,
    about: dict[str, Any] | None = None,
    *,
    objective: str = "valid_accuracy",
    distinct: int | None = None,
) -> Summary:
    """Write the table of all runs in ``logs`` to ``directory``.

    Args:
        logs: Files and folders as for :func:`~nasbench_tab.train.log.read_log`.
        directory: The table's folder.
        space: The runs' search space, or the function that returns it for its name.
        name: Of the table; None = the folder's.
        about: Words for the manifest, before those that the logs give.
        objective: What a search maximises or minimises; measured on the validation split.
        distinct: Number of distinct networks that were to be covered, for the manifest.

    Raises:
        LogError: A log is damaged, or its runs cannot stand in one table: they differ in space,
            dataset, split, recipe, kind of device, epochs or metrics.
        TableError: The table breaks a rule of the table format.
        ResultsError: The table could not be written.
    """
    log = read_log(*logs)
    if not log.runs:
        raise LogError(f"{_names(logs)}: no run in it; a table needs at least one.")
    space, epochs, names, rows = one_way(log, space, objective)
    cells = sorted({row.cell for row in rows}, key=space.index)
    seeds = tuple(sorted({row.run.seed for row in rows}))
    training = Training(
        dataset=log.runs[0].dataset,
        objective=objective,
        epochs_kind="curve",
        seconds_kind="measured" if "train_seconds" in names else "none",
        seeds=seeds,
        epochs=tuple(range(1, epochs + 1)),
        columns=_columns(rows, names, cells, seeds, epochs),
    )
    label = f"{epochs}-epochs"
    table = Table(
        name=directory.resolve().name if name is None else name,
        space=space.name,
        by_index=[space.index(cell) for cell in cells] == list(range(space.size or 0)),
        architectures=np.array(cells, np.uint8),
        trainings={label: training},
        default_training=label,
        static=_static(rows, cells),
    )
    words = {**_about(log, rows, space, epochs, distinct), **(about or {})}
    digest = write_table(directory, table, words)
    well = Counter(row.run.seed for row in rows if row.run.status == "ok")
    status = Counter(row.run.status for row in rows)
    return Summary(
        table=table.name,
        architectures=len(cells),
        trainings={seed: well[seed] for seed in seeds},
        diverged=status["diverged"],
        failed=status["failed"],
        torn=log.torn,
        hash=digest,
    )


def _columns(
    rows: list[Row],
    names: Iterable[str],
    cells: list[Architecture],
    seeds: tuple[int, ...],
    epochs: int,
) -> dict[str, Column]:
    number = {cell: i for i, cell in enumerate(cells)}
    ours = all("nasbench_tab" in row.run.versions for row in rows)
    columns = {}
    for name in names:
        values = np.full((len(cells), len(seeds), epochs), np.nan)
        for cell, run, _ in rows:
            curve = run.curve.get(name, [])
            values[number[cell], seeds.index(run.seed), : len(curve)] = curve
        note = _OURS.get(name) or _OURS.get(name.partition("_")[0]) if ours else None
        columns[name] = Column(metric_of(name), _narrow(values), note or "as logged, by epoch")
    return columns


def _narrow(values: NDArray[np.float64]) -> NDArray[Any]:
    """Return ``values`` as float32, unless some are beyond it."""
    beyond = np.abs(values) > np.finfo(np.float32).max
    return values if beyond.any() else values.astype(np.float32)


def _static(rows: list[Row], cells: list[Architecture]) -> dict[str, Column]:
    known: dict[Architecture, Row] = {}
    for row in rows:
        if row.run.parameters is None:
            continue
        other = known.setdefault(row.cell, row)
        if other.run.parameters != row.run.parameters:
            raise LogError(
                f"{other.place} and {row.place} give {row.run.architecture} "
                f"{other.run.parameters!r} and {row.run.parameters!r} million parameters; expected one "
                "figure for an architecture. Correct or leave out the wrong one."
            )
    if not known:
        return {}
    figures = [known[cell].run.parameters if cell in known else math.nan for cell in cells]
    metric = Metric("parameters", "none", "min", "M", 0.0)
    return {"parameters": Column(metric, np.array(figures, np.float64), "as logged")}


def _about(
    log: Log, rows: list[Row], space: Space, epochs: int, distinct: int | None
) -> dict[str, Any]:
    """Return the manifest's words, as far as the logs know them."""
    first = log.runs[0]
    recipe = next((run.recipe_fields for run in log.runs if run.recipe_fields), {})
    settings = ", ".join(f"{key} {value}" for key, value in recipe.items())
    kinds = Counter(run.origin for run in log.runs if run.origin)
    proposed = ", ".join(f"{kind} {n:,}" for kind, n in sorted(kinds.items()))
    measured = {row.cell for row in rows if row.run.done}
    seeds = sorted({row.run.seed for row in rows})
    per_cell = Counter({row.cell: 0 for row in rows})
    per_cell.update(row.cell for row in rows if row.run.status == "ok")
    complete = sum(n == len(seeds) for n in per_cell.values())
    networks = len({space.canonical(cell) for cell in measured})
    size = f" The space has {space.size:,} architectures." if space.size else ""
    of = "" if distinct is None else f" of {distinct:,}"
    return {
        "title": f"{space.name} on {first.dataset}, {epochs} epochs",
        "origin": f"run logs, {len(log.runs):,} trainings"
        + (f"; why they were made: {proposed}" if proposed else ""),
        "protocol": f"Each architecture trained for {epochs} epochs on {first.dataset}; split "
        f"{first.split or 'not stated'}, recipe {first.recipe or 'not stated'}"
        + (f": {settings}." if settings else "."),
        "coverage": f"{networks:,}{of} distinct networks ({len(measured):,} architectures) have a "
        f"training with at least one epoch.{size}",
        "seed_note": f"Training seeds {', '.join(map(str, seeds))}; {complete:,} of {len(per_cell):,} "
        "architectures were trained well with all of them.",
        "device": _counted(f"{r.device or 'not stated'}{_threads(r)}" for r in log.runs),
        "versions": sorted({f"{k} {v}" for run in log.runs for k, v in run.versions.items()}),
        "logs": sorted(f"{Path(file).name} {digest}" for file, digest in log.hashes.items()),
        "diverged": _listed(rows, "diverged"),
        "failed": _listed(rows, "failed"),
    }


def _threads(run: LoggedRun) -> str:
    kind = f" ({run.device_kind})" if run.device_kind else ""
    return kind + (f", {run.threads} thread{'s'[: run.threads > 1]}" if run.threads else "")


def _counted(words: Iterable[str]) -> list[str]:
    return [f"{word}: {n:,} trainings" for word, n in sorted(Counter(words).items())]


def _listed(rows: list[Row], status: str) -> list[str]:
    return sorted(
        f"{run.architecture} {run.seed}: "
        f"{' '.join(run.error.split())[:300] or f'after {run.done} epochs'}"
        for _, run, _ in rows
        if run.status == status
    )


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(map(str, paths)) or "No log given"
