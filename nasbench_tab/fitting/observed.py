"""What a surrogate is fitted on: the finished runs of logs or of a table, checked.

    >>> from nasbench_tab.fitting.observed import observe
    >>> seen = observe("nb201-fashion")
    >>> seen.dataset, seen.runs.epochs, list(seen.runs.metrics)
    ('fashion-mnist', (1, 2, 3, 4, 5), ['valid_accuracy', 'test_accuracy'])

A run that diverged or failed has no value at its end; it is left out and counted. Nothing is imputed.
CSV files with columns of your own: :mod:`nasbench_tab.fitting.csvcolumns`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.origins import Origins, read_origins
from nasbench_tab.benchmarks.tablefile import Table, read_manifest, read_table
from nasbench_tab.errors import SurrogateError, UnknownNameError, unknown_name
from nasbench_tab.fitting.finished import counterpart, data_hash, runs_of
from nasbench_tab.predictors.base import Runs
from nasbench_tab.registry import benchmark_names, load_space, table_folder
from nasbench_tab.spaces.base import Space
from nasbench_tab.train.log import Log, read_log
from nasbench_tab.train.oneway import Row, metric_of, one_way

__all__ = ["Observed", "data_hash", "observe", "observe_log", "observe_table", "runs_of"]


class Observed(NamedTuple):
    """Runs, and what has to be remembered of them.

    Attributes:
        runs: The finished ones, sorted by cell and seed.
        dataset: What was trained on.
        protocol: How it was trained, in words by key: split, recipe, device_kind ...
        licence: Of the data; ``""`` = not known.
        hash: Of ``runs``: see :func:`~nasbench_tab.fitting.finished.data_hash`.
        left_out: ``{"diverged": number of runs, ...}``: what did not finish.
        torn: Bytes of unfinished last lines of logs, which were not read.
        about: Further words by key: title, citation, and ``data``: which files or table.
    """

    runs: Runs
    dataset: str
    protocol: dict[str, str]
    licence: str
    hash: str
    left_out: dict[str, int]
    torn: int
    about: dict[str, Any]

    def manifest(self) -> dict[str, Any]:
        """Return these as keys of a surrogate's manifest: see :mod:`nasbench_tab.predictors.store`."""
        runs = self.runs
        return {
            "dataset": self.dataset,
            "training_data": self.hash,
            "protocol": dict(self.protocol),
            "licence": self.licence,
            "runs": len(runs.cells),
            "networks": len(np.unique(runs.groups)),
            "seeds": np.unique(runs.seeds).tolist(),
            "origins": dict(sorted(Counter(runs.origins).items())),
            "about": {**self.about, "left_out": dict(self.left_out), "torn_bytes": self.torn},
        }


def observe(
    *sources: str | Path,
    objective: str | None = None,
    training: str | None = None,
    licence: str | None = None,
) -> Observed:
    """Return the finished runs of one table, or of any number of logs together.

    Args:
        sources: The name of a table, its folder, or logs as :func:`~nasbench_tab.train.log.read_log`
            takes them. The name of a table comes before a file of that name: write ``./name`` for that.
        objective: Validation metric that is predicted, together with its counterpart on the test
            split where there is one; None = the table's, or ``valid_accuracy`` of a log.
        training: Which way of training of a table; None = its default.
        licence: Of the data; None = what a table's manifest says.

    Raises:
        LogError: A log is damaged, or its runs were not trained in one way; the message says how
            they differ, and where.
        TableError: A table's files are damaged.
        SurrogateError: No surrogate can be fitted on these runs: too few, all alike ...
        UnknownNameError: A source that is neither a table nor a file.
    """
    paths = [_path_of(source) for source in sources]
    if not paths:
        raise SurrogateError("There is nothing to fit: name a table, or at least one log.")
    tables = [path for path in paths if (path / "table.h5").exists()]
    if tables and len(paths) > 1:
        raise SurrogateError(
            f"{tables[0]} is a table; expected one table alone, or logs. Runs of a table and of a log "
            "can be taken together where the table was made from a log: give both logs."
        )
    if tables:
        manifest = read_manifest(tables[0])
        table = read_table(tables[0], manifest)
        origins = read_origins(tables[0])
        seen = observe_table(table, load_space(table.space), manifest, objective, training, origins)
    elif training is not None:
        raise SurrogateError(
            f"training = {training!r} is about a table, but {paths[0]} is a log: it has one way."
        )
    else:
        seen = observe_log(read_log(*paths), load_space, objective or "valid_accuracy")
    return seen if licence is None else seen._replace(licence=licence)


def observe_log(
    log: Log, space: Space | Callable[[str], Space], objective: str = "valid_accuracy"
) -> Observed:
    """Return the finished runs of a log that was read.

    Args:
        log: Its runs.
        space: The runs' search space, or the function that returns it for its name.
        objective: As for :func:`observe`.

    Raises:
        LogError: The runs were not trained in one way.
        SurrogateError: As :func:`observe`.
    """
    where = ", ".join(map(str, log.hashes)) or "The log"
    if not log.runs:
        raise SurrogateError(f"{where}: no run in it; a surrogate needs some.")
    way = one_way(log, space, objective)
    rows = [row for row in way.rows if row.run.status == "ok"]
    names = [objective, *counterpart(objective, way.metrics)]

    def curve(name: str) -> NDArray[np.float64]:
        blank = [np.nan] * way.epochs
        values = [row.run.curve.get(name, blank) for row in rows]
        return np.array(values, np.float64).reshape(-1, way.epochs)

    runs = runs_of(
        way.space,
        np.array([row.cell for row in rows], np.uint8).reshape(-1, len(way.space.choices)),
        [row.run.seed for row in rows],
        [row.run.origin for row in rows],
        tuple(range(1, way.epochs + 1)),
        {name: (metric_of(name), curve(name)) for name in names},
        curve("train_seconds"),
        where,
        curve("train_loss"),
    )
    status = Counter(row.run.status for row in way.rows)
    first = log.runs[0]
    return Observed(
        runs=runs,
        dataset=first.dataset,
        protocol=_protocol(way.rows, "train_seconds" in way.metrics),
        licence="",
        hash=data_hash(runs),
        left_out={word: status[word] for word in ("diverged", "failed")},
        torn=log.torn,
        about={
            "title": f"{way.space.name} on {first.dataset}, {way.epochs} epochs",
            "data": sorted(f"{Path(file).name} {digest}" for file, digest in log.hashes.items()),
            "trained_with": sorted({f"{k} {v}" for r in rows for k, v in r.run.versions.items()}),
        },
    )


def observe_table(
    table: Table,
    space: Space,
    manifest: Mapping[str, Any],
    objective: str | None = None,
    training: str | None = None,
    origins: Origins | None = None,
) -> Observed:
    """Return the finished runs of a table: every architecture and seed with a value at the end.

    Args:
        table: As read.
        space: The table's.
        manifest: Its words; all of them may be missing.
        objective: As for :func:`observe`.
        training: As for :func:`observe`.
        origins: Why its trainings were made, as far as it is known.

    Raises:
        SurrogateError: As :func:`observe`.
        UnknownNameError: The table has no such training or metric.
    """
    label = table.default_training if training is None else training
    if label not in table.trainings:
        raise unknown_name(f"training of {table.name}", label, table.trainings)
    way = table.trainings[label]
    objective = way.objective if objective is None else objective
    if objective not in way.columns:
        raise unknown_name(f"metric of {table.name}", objective, way.columns)
    if way.columns[objective].metric.split != "valid":
        raise SurrogateError(
            f"{table.name}: {objective!r} is of the {way.columns[objective].metric.split} split; the "
            "objective must be of the validation split, since searches see its predictions."
        )
    final = np.isfinite(way.columns[objective].values[:, :, -1])
    begun = np.isfinite(way.columns[objective].values).any(axis=2)
    place, seed = np.nonzero(final)
    names = [objective, *counterpart(objective, way.columns)]
    unknown = np.full(way.columns[objective].values.shape, np.nan)
    seconds = way.columns["train_seconds"].values if "train_seconds" in way.columns else unknown
    cells, seeds = table.architectures[place], np.array(way.seeds, np.int64)[seed].tolist()
    runs = runs_of(
        space,
        cells,
        seeds,
        _origins(space, label, cells, seeds, origins or {}),
        way.epochs,
        {n: (way.columns[n].metric, way.columns[n].values[place, seed]) for n in names},
        seconds[place, seed],
        table.name,
        way.columns["train_loss"].values[place, seed].astype(np.float64)
        if "train_loss" in way.columns
        else None,
    )
    return Observed(
        runs=runs,
        dataset=way.dataset,
        protocol={
            "description": str(manifest.get("protocol", "")),
            "training": label,
            "epochs_kind": way.epochs_kind,
            "seconds": way.seconds_kind,
        },
        licence=str(manifest.get("licence", "")),
        hash=data_hash(runs),
        left_out={"unfinished": int((begun & ~final).sum())},
        torn=0,
        about={
            "title": str(manifest.get("title", table.name)),
            "citation": list(manifest.get("citation", [])),
            "data": [f"table {table.name} {manifest.get('hash', '')}".strip()],
        },
    )


def _origins(
    space: Space, training: str, cells: NDArray[np.uint8], seeds: list[int], origins: Origins
) -> list[str]:
    if not origins:
        return [""] * len(cells)
    return [
        origins.get((training, space.index(tuple(cell)), seed), "")
        for cell, seed in zip(cells.tolist(), seeds, strict=True)
    ]


def _path_of(source: str | Path) -> Path:
    if isinstance(source, str) and source in benchmark_names():
        return table_folder(source)
    path = Path(source)
    if not path.exists():
        names = benchmark_names()
        raise UnknownNameError(
            f"{unknown_name('table', str(source), names)} Nor is there a file or folder of this name."
        )
    return path


def _protocol(rows: list[Row], timed: bool) -> dict[str, str]:
    run = rows[0].run
    recipe = next((row.run.recipe_fields for row in rows if row.run.recipe_fields), {})
    words = {
        "split": run.split,
        "recipe": run.recipe,
        "settings": ", ".join(f"{key} {value}" for key, value in recipe.items()),
        "device_kind": run.device_kind,
        "epochs_kind": "curve",
        "seconds": "measured" if timed else "none",
    }
    return {key: word for key, word in words.items() if word}
