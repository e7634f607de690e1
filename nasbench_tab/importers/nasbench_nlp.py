"""NAS-Bench-NLP's training logs as the tables ``nasbench-nlp-ptb`` and ``nasbench-nlp-wikitext-2``.

One JSON file is one training: the recipe of a recurrent cell, all settings, and for each epoch the wall time
and the training, validation and test loss (nats per word; perplexity is its exponential). The archives are
``logs.zip`` in three folders of the authors' repository.

Every loss is kept as it was logged. A training that left the finite numbers, or was stopped, keeps its epochs
before that; the rest is NaN, and the manifest names it. Its time is counted up to the epoch that failed, that one
included. The logs name no seeds: the trainings of one cell are numbered -1, -2 ... in the order of their
files' names. The archives of single and of several runs overlap: a log whose recipe and figures are those
of another is that training once more, and counts once.

Recipes that differ in the names and the order of their nodes only are one architecture.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.tablefile import Column, Table, Training, write_table
from nasbench_tab.errors import FormatError, InvalidArchitectureError
from nasbench_tab.importers.archive import Limits, Member, members
from nasbench_tab.importers.plainjson import parsed
from nasbench_tab.importers.scratch import blank, scratch_folder
from nasbench_tab.records import Architecture, Metric
from nasbench_tab.spaces.nasbench_nlp import NasBenchNLP, parameters

if TYPE_CHECKING:
    from nasbench_tab.importers.formats import Progress

__all__ = ["NAME", "Log", "import_nasbench_nlp", "read_log"]

NAME = "nasbench-nlp"

_LIMITS = Limits(largest=2**20, total=16 * 2**30)
_FILE = "log_stats_model_", ".json"
#: What the logs call the data: its name here, and its words.
_DATA = {"ptb": ("ptb", 10_000), "penn": ("ptb", 10_000), "wikitext-2": ("wikitext-2", 33_278)}
#: Fields that say which training it is or how it went; all others say how it was trained.
_OWN = {
    *("recepie_id", "recepies_list_path", "recepie", "experiment_id", "init_time", "num_params"),
    *("wall_times", "train_losses", "val_losses", "test_losses", "status", "data", "epochs"),
    *("log_interval", "cuda"),
}
_LOSSES = {"train_loss": "train_losses", "valid_loss": "val_losses", "test_loss": "test_losses"}
_METRICS = {
    "train_loss": Metric("train_loss", "train", "min", "nats", 0.0),
    "valid_loss": Metric("valid_loss", "valid", "min", "nats", 0.0),
    "test_loss": Metric("test_loss", "test", "min", "nats", 0.0),
    "train_seconds": Metric("train_seconds", "none", "min", "s", 0.0),
}
_NOTES = {
    **{
        name: f"{key} of the log, a word's; exp of it is the perplexity"
        for name, key in _LOSSES.items()
    },
    "train_seconds": "wall_times of the log (training without evaluation), added up from the first epoch",
}
_CURVES = tuple(_METRICS)
_MOST_WAYS = 16
_LISTED = 200  # trainings that the manifest names
_SPACE = NasBenchNLP()


class Log(NamedTuple):
    """One training.

    Attributes:
        name: Of its file.
        dataset: ``"ptb"`` or ``"wikitext-2"``.
        architecture: The cell.
        way: How it was trained, as JSON.
        epochs: Planned.
        curves: ``(4, L)`` losses and cumulative seconds by epoch, in the order of ``_CURVES``; NaN where a
            loss was not finite.
        status: As logged: ``"OK"``, or why it ended.
        parameters: In millions.
        counted: The parameters as they follow from the cell, in millions.
    """

    name: str
    dataset: str
    architecture: Architecture
    way: str
    epochs: int
    curves: NDArray[np.float64]
    status: str
    parameters: float
    counted: float

    @property
    def done(self) -> int:
        """Return the number of epochs before the first without a finite validation loss."""
        finite = np.isfinite(self.curves[_CURVES.index("valid_loss")])
        return int(finite.argmin()) if not finite.all() else len(finite)


def import_nasbench_nlp(source: Path, out: Path, *, progress: Progress | None = None) -> list[Path]:
    """Make a table of each dataset that the logs are about.

    Args:
        source: A ``logs.zip``, or a folder with logs or with several such archives, as the authors' repository
            is one.
        out: Where the tables' folders go.
        progress: Counts files of an archive.

    Returns:
        The tables' folders.

    Raises:
        FormatError: A file is damaged or no such log; nothing was written.
        TableError: The figures break a rule of the table format; nothing was written.
        ResultsError: The disk is full, or cannot be written to.
    """
    by_dataset: dict[str, list[Log]] = defaultdict(list)
    for archive, member in _members(source):
        path = PurePosixPath(member.name)
        if "__MACOSX" not in path.parts:
            log = read_log(member.data, path.name, str(archive))
            by_dataset[log.dataset].append(log)
        if progress is not None:
            progress(member.done, member.total)
    if not by_dataset:
        raise FormatError(
            f"{source}: no log_stats_model_<...>.json in it; a logs.zip of NAS-Bench-NLP, or a folder of such "
            "files or archives, expected."
        )
    kept = {
        dataset: _without_copies(sorted(by_dataset[dataset], key=lambda log: log.name))
        for dataset in sorted(by_dataset)
    }
    for logs, _ in kept.values():
        _check_together(logs, str(source))
    folders = []
    for dataset, (logs, copies) in kept.items():
        folders.append(out / f"{NAME}-{dataset}")
        with scratch_folder(out) as scratch:
            table = _table(dataset, logs, scratch)
            write_table(folders[-1], table, _about(source, dataset, logs, copies))
            del table
    return folders


def _members(source: Path) -> Iterator[tuple[Path, Member]]:
    archives = sorted(source.rglob("*.zip")) if source.is_dir() else []
    for archive in (*archives, source):
        for member in members(archive, _LIMITS, prefix=_FILE[0], suffix=_FILE[1]):
            yield archive, member


def read_log(data: bytes, name: str, where: str = "") -> Log:
    """Return one log.

    Args:
        data: The file.
        name: Of the file.
        where: What it is in, for messages.

    Raises:
        FormatError: It is no log of NAS-Bench-NLP.
    """
    here = f"{where}: {name}" if where else name
    record = parsed(data, here, nan=True)
    if not isinstance(record, dict) or not isinstance(record.get("recepie"), str):
        raise FormatError(
            f"{here}: an object with a recepie expected, {record!r:.80} found. It is no log of NAS-Bench-NLP."
        )
    try:
        arch = _SPACE.parse(record["recepie"])
    except InvalidArchitectureError as err:
        raise FormatError(f"{here}: {err}") from err
    data_name = record.get("data")
    known = _DATA.get(PurePosixPath(data_name).name) if isinstance(data_name, str) else None
    if known is None:
        raise FormatError(
            f"{here}: data is {data_name!r:.80}; one of {', '.join(_DATA)} expected. What the losses were "
            "measured on is not known."
        )
    epochs, status = record.get("epochs"), record.get("status")
    if type(epochs) is not int or not 1 <= epochs <= 10**4:
        raise FormatError(f"{here}: epochs must be a whole number from 1; got {epochs!r:.80}.")
    if not isinstance(status, str):
        raise FormatError(f"{here}: status must be a text; got {status!r:.80}.")
    settings = {key: value for key, value in record.items() if key not in _OWN}
    count = parameters(np.array([arch], np.uint8), vocabulary=known[1])
    return Log(
        name=name,
        dataset=known[0],
        architecture=arch,
        way=sys.intern(json.dumps({**settings, "epochs": epochs}, sort_keys=True)),
        epochs=epochs,
        curves=_curves(record, epochs, status, here),
        status=status,
        parameters=_parameters(record, here),
        counted=float(count[0]) / 1e6,
    )


def _parameters(record: dict[str, Any], here: str) -> float:
    value = record.get("num_params")
    if type(value) is not int or not 0 <= value < 10**15:
        raise FormatError(f"{here}: num_params must be a whole number; got {value!r:.80}.")
    return value / 1e6


def _curves(record: dict[str, Any], epochs: int, status: str, here: str) -> NDArray[np.float64]:
    columns = {name: _numbers(record.get(key), key, here) for name, key in _LOSSES.items()}
    seconds = _numbers(record.get("wall_times"), "wall_times", here)
    if not np.isfinite(seconds).all():
        raise FormatError(f"{here}: wall_times holds a time that is not finite.")
    columns["train_seconds"] = np.cumsum(seconds)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1 or max(lengths.values()) > epochs:
        raise FormatError(
            f"{here}: {lengths} values; as many of each expected, at most {epochs}, the planned epochs."
        )
    found = np.array([columns[name] for name in _CURVES])
    whole = int(np.isfinite(found).all(axis=0).sum())
    if status == "OK" and whole < epochs:
        raise FormatError(
            f"{here}: its status is OK, but {whole} of {epochs} epochs have all losses. It is damaged."
        )
    return found


def _numbers(values: object, key: str, here: str) -> NDArray[np.float64]:
    """Return numbers from 0, NaN where one is not finite."""
    if not isinstance(values, list) or len(values) > 10**4:
        raise FormatError(f"{here}: {key} must be a list of numbers; got {values!r:.100}.")
    found = np.empty(len(values))
    for i, value in enumerate(values):
        if not isinstance(value, int | float) or type(value) is bool:
            raise FormatError(f"{here}: {key} must hold numbers; got {value!r:.80}.")
        if isinstance(value, float) and not math.isfinite(value):
            found[i] = math.nan
        elif not 0 <= value <= 1e9:
            raise FormatError(f"{here}: {key} holds {value!r:.80}; 0 to 1e9 expected.")
        else:
            found[i] = value
    return found


def _without_copies(logs: list[Log]) -> tuple[list[Log], int]:
    """Return the logs without those that repeat another one's figures, and how many those were."""
    seen, kept = set(), []
    for log in logs:
        key = log.architecture, log.way, log.curves.tobytes()
        if key not in seen:
            kept.append(log)
        seen.add(key)
    return kept, len(logs) - len(kept)


def _check_together(logs: list[Log], where: str) -> None:
    """Refuse logs that cannot stand in one table."""
    ways = {log.way for log in logs}
    if len(ways) > _MOST_WAYS:
        raise FormatError(
            f"{where}: its logs were trained in {len(ways)} different ways, at most {_MOST_WAYS} expected. "
            "Import each way from a folder of its own."
        )
    known: dict[Architecture, Log] = {}
    for log in logs:
        other = known.setdefault(log.architecture, log)
        if other.parameters != log.parameters:
            raise FormatError(
                f"{where}: {other.name} and {log.name} are the same cell with {other.parameters} and "
                f"{log.parameters} million parameters. One of them is damaged; get both again."
            )


def _table(dataset: str, logs: list[Log], scratch: Path) -> Table:
    by_way = Counter(log.way for log in logs)
    ways = sorted(by_way, key=lambda way: (-by_way[way], way))
    cells = sorted({log.architecture for log in logs})
    row = {cell: i for i, cell in enumerate(cells)}
    trainings = {}
    for way in ways:
        own = [log for log in logs if log.way == way]
        label = f"{own[0].epochs}-epochs"
        if way != ways[0]:
            label += f"-{hashlib.sha256(way.encode()).hexdigest()[:8]}"
        trainings[label] = _training(dataset, own, row, scratch / f"{dataset}-{label}")
    return Table(
        name=f"{NAME}-{dataset}",
        space=_SPACE.name,
        by_index=False,
        architectures=np.array(cells, np.uint8),
        trainings=trainings,
        default_training=next(iter(trainings)),
        static={"parameters": _static(logs, row)},
    )


def _training(
    dataset: str, logs: list[Log], row: dict[Architecture, int], scratch: Path
) -> Training:
    repeats: Counter[Architecture] = Counter()
    places = []
    for log in logs:
        places.append((row[log.architecture], repeats[log.architecture]))
        repeats[log.architecture] += 1
    shape = len(row), max(repeats.values()), logs[0].epochs
    columns = {}
    for i, name in enumerate(_CURVES):
        # In a file, since the curves of all trainings are larger than the memory may be.
        values = blank(Path(f"{scratch}.{name}"), shape)
        for log, (cell, seed) in zip(logs, places, strict=True):
            values[cell, seed, : log.curves.shape[1]] = log.curves[i]
        columns[name] = Column(_METRICS[name], values, _NOTES[name])
    return Training(
        dataset=dataset,
        objective="valid_loss",
        epochs_kind="curve",
        seconds_kind="measured",
        seeds=tuple(range(-1, -shape[1] - 1, -1)),
        epochs=tuple(range(1, shape[2] + 1)),
        columns=columns,
    )


def _static(logs: list[Log], row: dict[Architecture, int]) -> Column:
    values = np.empty(len(row))
    for log in logs:
        values[row[log.architecture]] = log.parameters
    metric = Metric("parameters", "none", "min", "M", 0.0)
    return Column(metric, values, "num_params of the language model")


def _about(source: Path, dataset: str, logs: list[Log], copies: int) -> dict[str, Any]:
    failed = [log for log in logs if log.status != "OK"]
    names = Counter(log.name for log in logs)
    ways = sorted({log.way for log in logs})
    settings = "; ".join(
        ", ".join(f"{key} {value}" for key, value in json.loads(way).items()) for way in ways[:4]
    )
    wrong = sum(abs(log.parameters - log.counted) > 5e-7 for log in logs)
    return {
        "title": f"NAS-Bench-NLP on {'Penn Treebank' if dataset == 'ptb' else 'WikiText-2'}",
        "origin": f"{source.name}, {len(logs):,} training logs; github.com/fmsnew/nas-bench-nlp-release",
        "licence": "Apache-2.0",
        "citation": [_CITATION],
        "protocol": f"Language models of three layers of one recurrent cell (AWD-LSTM's scheme): {settings}.",
        "coverage": f"{len({log.architecture for log in logs}):,} cells, {len(logs):,} trainings, "
        f"{len(failed):,} of which did not end well.",
        "seed_note": "The logs name no seeds: -1, -2 ... are the trainings of one cell in the order of their "
        f"files. {copies:,} logs that repeat another's figures were left out.",
        "lacks": ["training seeds"],
        "failed": [f"{log.name}: {log.status} after {log.done} epochs" for log in failed[:_LISTED]],
        "same_file_names": sum(n - 1 for n in names.values()),
        "parameters_not_as_counted": wrong,
    }


_CITATION = (
    "Klyuchnikov, Trofimov, Artemova, Salnikov, Fedorov, Filippov and Burnaev, NAS-Bench-NLP: Neural "
    "Architecture Search Benchmark for Natural Language Processing, IEEE Access 2022"
)
