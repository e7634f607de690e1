"""NAS-Bench-301's log folders as the table ``nb301``.

The archive holds ``<optimizer>/results_<i>.json``, one file for each training of a DARTS architecture on
CIFAR-10: what was trained (ConfigSpace keys), validation and test accuracy, cross entropies, running
time, parameters; the full archive also learning curves. Accuracies are percent, losses nats.

Trainings with other settings than the architecture's are other ways of training, and become other
trainings of the table; the most frequent is the default. Each is there with the figures at its end and,
where there are curves, once more as ``...-curves`` with what is known after each epoch: no test
accuracy, no time. The logs name no seeds: trainings of one architecture are numbered -1, -2 ... in the
order of their files. Nothing is imputed: a curve that ends early is NaN from there, and a log without
a validation accuracy is a failed training, which keeps its row.

The optimizer that proposed an architecture is kept in ``origins.csv``: see
:mod:`nasbench_tab.benchmarks.origins`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.origins import write_origins
from nasbench_tab.benchmarks.tablefile import Column, Table, Training, write_table
from nasbench_tab.errors import FormatError, InvalidArchitectureError
from nasbench_tab.importers.archive import Limits, members
from nasbench_tab.importers.plainjson import parsed
from nasbench_tab.importers.scratch import blank, scratch_folder
from nasbench_tab.records import Architecture, Metric
from nasbench_tab.spaces.convert.darts import PREFIX, from_configspace
from nasbench_tab.spaces.darts import Darts, parameters

if TYPE_CHECKING:
    from nasbench_tab.importers.formats import Progress

__all__ = ["NAME", "Log", "import_nasbench301", "read_log"]

NAME = "nb301"

_LIMITS = Limits(largest=4 * 2**20, total=32 * 2**30)
_FILE = re.compile(r"results_\d+\.json")
_ARCHITECTURE = re.compile(rf"{PREFIX}(edge|inputs_node)_(normal|reduce)_\d+")
_EPOCHS = "SimpleLearningrateSchedulerSelector:cosine_annealing:T_max"
_CHANNELS, _LAYERS = f"{PREFIX}init_channels", f"{PREFIX}layers"
_MOST_WAYS = 16
_LISTED = 200  # failed trainings that the manifest names

_METRICS = {
    "valid_accuracy": Metric("valid_accuracy", "valid", "max", "%", 0.0, 100.0),
    "valid_loss": Metric("valid_loss", "valid", "min", "nats", 0.0),
    "test_accuracy": Metric("test_accuracy", "test", "max", "%", 0.0, 100.0),
    "train_accuracy": Metric("train_accuracy", "train", "max", "%", 0.0, 100.0),
    "train_loss": Metric("train_loss", "train", "min", "nats", 0.0),
    "train_seconds": Metric("train_seconds", "none", "min", "s", 0.0),
}
_NOTES = {
    "valid_accuracy": "val_accuracy, on 10,000 of the training images",
    "valid_loss": "val_cross_entropy",
    "test_accuracy": "test_accuracy, after the training",
    "train_accuracy": "train_accuracy, on mixed images where mixup is on",
    "train_loss": "train_loss, as it was minimised",
    "train_seconds": "runtime of the log, the training's validation included",
}
#: Where a log's figures at the end stand: in ``info``, or at its top.
_AT_END = {
    "valid_accuracy": "val_accuracy",
    "valid_loss": "val_cross_entropy",
    "train_accuracy": "train_accuracy",
    "train_loss": "train_loss",
}
_CURVES = {
    "valid_accuracy": "Train/val_accuracy",
    "valid_loss": "Train/val_cross_entropy",
    "train_accuracy": "Train/train_accuracy",
    "train_loss": "Train/train_loss",
}
_FINAL, _CURVED = tuple(_METRICS), tuple(_CURVES)


class Log(NamedTuple):
    """One log file.

    Attributes:
        name: Of the file, in its archive.
        origin: The optimizer that proposed it; ``""`` = not known.
        architecture: What was trained.
        way: How, as JSON: all settings but the architecture's.
        epochs: Of the full training.
        final: The figures at the end, by :data:`_FINAL`; NaN where there is none.
        curves: ``(len(_CURVED), L)``, NaN where nothing is known; ``L`` is 0 without curves.
        parameters: Of the network, in millions; NaN where it is not said.
        counted: The parameters as they follow from the settings; NaN where these do not say.
        score_of: Which split's accuracy the log's own score is: ``"valid"``, ``"test"`` or ``""``, neither alone.
    """

    name: str
    origin: str
    architecture: Architecture
    way: str
    epochs: int
    final: tuple[float, ...]
    curves: NDArray[np.float64]
    parameters: float
    counted: float
    score_of: str


def import_nasbench301(source: Path, out: Path, *, progress: Progress | None = None) -> list[Path]:
    """Make the table ``nb301``, and its ``origins.csv``.

    Args:
        source: The folder ``<root>`` of ``<root>/<optimizer>/results_<i>.json``, or a zip or tar of it.
        out: Where the table's folder goes.
        progress: Counts files (bytes of a tar).

    Returns:
        The table's folder.

    Raises:
        FormatError: A file is damaged or no such log; nothing was written.
        TableError: The figures break a rule of the table format; nothing was written.
        ResultsError: The disk is full, or cannot be written to.
    """
    logs, ignored = [], 0
    for member in members(source, _LIMITS, ".json"):
        path = PurePosixPath(member.name)
        if _FILE.fullmatch(path.name) and "__MACOSX" not in path.parts:
            logs.append(read_log(member.data, member.name, str(source)))
        else:
            ignored += 1
        if progress is not None:
            progress(member.done, member.total)
    if not logs:
        raise FormatError(
            f"{source}: no results_<i>.json in it; a folder or archive of <optimizer>/results_<i>.json "
            "expected."
        )
    _check_splits(logs, str(source))
    logs, copies = _without_copies(sorted(logs, key=_place))
    by_way = Counter(log.way for log in logs)
    if len(by_way) > _MOST_WAYS:
        raise FormatError(
            f"{source}: its logs were trained in {len(by_way)} different ways, at most {_MOST_WAYS} "
            f"expected; {_difference(*list(by_way)[:2])}. Import each way from a folder of its own."
        )
    ways = sorted(by_way, key=lambda way: (-by_way[way], way))
    with scratch_folder(out) as scratch:
        table, origins = _table(logs, ways, scratch)
        write_table(out / NAME, table, _about(source, logs, ways, copies, ignored))
        del table
    write_origins(out / NAME, origins)
    return [out / NAME]


def read_log(data: bytes, name: str, where: str = "") -> Log:
    """Return one log.

    Args:
        data: The file.
        name: Its path in the archive; the folder is the optimizer.
        where: What it is in, for messages.

    Raises:
        FormatError: It is no log of NAS-Bench-301.
    """
    here = f"{where}: {name}" if where else name
    record = parsed(data, here, nan=True)
    config = record.get("optimized_hyperparamater_config") if isinstance(record, dict) else None
    if not isinstance(config, dict):
        raise FormatError(
            f"{here}: an object with optimized_hyperparamater_config expected, {record!r:.80} found. It is "
            "no log of NAS-Bench-301."
        )
    try:
        arch = from_configspace(config)
    except InvalidArchitectureError as err:
        raise FormatError(f"{here}: {err}") from err
    info = _info(record, here)
    figures = {name: _figure(info, key, name, here) for name, key in _AT_END.items()}
    figures["test_accuracy"] = _figure(record, "test_accuracy", "test_accuracy", here)
    figures["train_seconds"] = _figure(record, "runtime", "train_seconds", here)
    found = _figure(info, "model_parameters", "model_parameters", here)
    settings = {key: value for key, value in config.items() if not _ARCHITECTURE.fullmatch(key)}
    # Where the schedule does not say it, the log's budget tells two ways of training apart.
    settings[_EPOCHS] = epochs = _epochs(config, record, info, here)
    return Log(
        name=name,
        origin=sys.intern(PurePosixPath(name).parent.name),
        architecture=arch,
        way=sys.intern(json.dumps(settings, sort_keys=True)),  # one text for all that share it
        epochs=epochs,
        final=tuple(figures[name] for name in _FINAL),
        curves=_curves(record, here),
        parameters=found / 1e6,
        counted=_count(arch, config),
        score_of=_score_of(record, figures),
    )


def _info(record: dict[str, Any], here: str) -> dict[str, Any]:
    """Return the one entry of ``info``; empty where a training left none."""
    info = record.get("info") or [{}]
    if not isinstance(info, list) or len(info) != 1 or not isinstance(info[0], dict):
        raise FormatError(f"{here}: info must be a list of one object; got {info!r:.100}.")
    return info[0]


def _figure(record: dict[str, Any], key: str, name: str, here: str) -> float:
    """Return a figure, NaN where there is none."""
    value = record.get(key)
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or type(value) is bool:
        raise FormatError(f"{here}: {key} must be a number; got {value!r:.100}.")
    metric = _METRICS.get(name)
    upper = metric.upper if metric else math.inf
    if isinstance(value, float) and not math.isfinite(value):
        return math.nan
    if not 0 <= value <= min(upper, 1e15):
        raise FormatError(
            f"{here}: {key} is {value!r:.100}; 0 to {upper:g} expected. It is damaged or in another unit."
        )
    return float(value)


def _score_of(record: dict[str, Any], figures: dict[str, float]) -> str:
    score = record.get("final_metric_score")
    if not isinstance(score, int | float) or not -100 <= score <= 0:
        return ""
    close = [s for s in ("valid", "test") if abs(score + figures[f"{s}_accuracy"]) < 1e-4]
    return close[0] if len(close) == 1 else ""


def _check_splits(logs: list[Log], where: str) -> None:
    """Refuse logs whose validation and test accuracies were swapped: their scores are the validation's."""
    scores = Counter(log.score_of for log in logs)
    if scores["test"] > scores["valid"]:
        first = next(log.name for log in logs if log.score_of == "test")
        raise FormatError(
            f"{where}: final_metric_score is minus the test accuracy in {scores['test']:,} logs ({first}) and "
            f"minus the validation accuracy in {scores['valid']:,}; the latter expected. The two were "
            "swapped; get the files again."
        )


def _epochs(config: dict[str, Any], record: dict[str, Any], info: dict[str, Any], here: str) -> int:
    for value in (config.get(_EPOCHS), record.get("budget"), info.get("epochs")):
        if isinstance(value, int | float) and 1 <= value < 10**6 and value == int(value):
            return int(value)
    raise FormatError(
        f"{here}: neither {_EPOCHS} nor budget nor epochs says for how long it was trained."
    )


def _curves(record: dict[str, Any], here: str) -> NDArray[np.float64]:
    curves = record.get("learning_curves") or {}
    if not isinstance(curves, dict):
        raise FormatError(f"{here}: learning_curves must be an object; got {curves!r:.100}.")
    found = {}
    for name, key in _CURVES.items():
        values = curves.get(key) or []
        if not isinstance(values, list) or len(values) > 10**4:
            raise FormatError(f"{here}: {key} must be a list of numbers; got {values!r:.100}.")
        found[name] = [_figure({key: value}, key, name, here) for value in values]
    length = max(map(len, found.values()))
    array = np.full((len(_CURVED), length), np.nan)
    for i, name in enumerate(_CURVED):
        array[i, : len(found[name])] = found[name]
    return array


def _count(arch: Architecture, config: dict[str, Any]) -> float:
    """Return the parameters that follow from the settings, NaN where these do not say."""
    channels, layers = config.get(_CHANNELS), config.get(_LAYERS)
    if type(channels) is not int or type(layers) is not int:
        return math.nan
    if not 1 <= channels < 10**4 or not 3 <= layers < 10**3:
        return math.nan
    auxiliary = str(config.get(f"{PREFIX}auxiliary")) == "True"
    cells = np.array([arch], np.uint8)
    count = parameters(cells, channels=channels, layers=layers, auxiliary=auxiliary)
    return float(count[0]) / 1e6


def _place(log: Log) -> tuple[str, int, str]:
    number = re.search(r"(\d+)\.json$", log.name)
    return log.origin, int(number[1]) if number else -1, log.name


def _without_copies(logs: list[Log]) -> tuple[list[Log], int]:
    """Return the logs without those that repeat another one's figures, and how many those were."""
    seen, kept = set(), []
    for log in logs:
        digest = hashlib.sha256(repr((log.architecture, log.way, log.final)).encode())
        digest.update(log.curves.tobytes())
        failed = math.isnan(log.final[0]) and not np.isfinite(log.curves).any()
        if failed or digest.digest() not in seen:
            kept.append(log)
        seen.add(digest.digest())
    return kept, len(logs) - len(kept)


_Row = tuple[str, int, int, str]


def _table(logs: list[Log], ways: list[str], scratch: Path) -> tuple[Table, list[_Row]]:
    space = Darts()
    cells = sorted({log.architecture for log in logs})
    row = {cell: i for i, cell in enumerate(cells)}
    trainings: dict[str, Training] = {}
    origins: list[_Row] = []
    for way in ways:
        own = [log for log in logs if log.way == way]
        epochs = own[0].epochs
        label = f"{epochs}-epochs" if way == ways[0] else f"{epochs}-epochs-{_digest(way)}"
        repeats: Counter[Architecture] = Counter()
        places = []
        for log in own:
            places.append((row[log.architecture], repeats[log.architecture]))
            repeats[log.architecture] += 1
        shape = (len(cells), max(repeats.values()))
        longest = max(log.curves.shape[1] for log in own)
        made = {label: _final(own, places, shape, epochs, scratch / label)}
        if longest:
            curved = f"{label}-curves"
            made[curved] = _curved(own, places, (*shape, longest), scratch / curved)
        trainings |= made
        origins += [
            (name, space.index(log.architecture), -1 - seed, log.origin)
            for name in made
            for log, (_, seed) in zip(own, places, strict=True)
        ]
    table = Table(
        name=NAME,
        space=space.name,
        by_index=False,
        architectures=np.array(cells, np.uint8),
        trainings=trainings,
        default_training=next(iter(trainings)),
        static=_static([log for log in logs if log.way == ways[0]], row),
    )
    return table, origins


_Places = list[tuple[int, int]]


def _final(
    logs: list[Log], places: _Places, shape: tuple[int, int], epochs: int, scratch: Path
) -> Training:
    columns = {}
    for i, name in enumerate(_FINAL):
        values = blank(Path(f"{scratch}.{name}"), (*shape, 1))
        for log, (row, seed) in zip(logs, places, strict=True):
            values[row, seed, 0] = log.final[i]
        if np.isfinite(values).any() or name == "valid_accuracy":
            columns[name] = Column(_METRICS[name], values, _NOTES[name])
    return _training(columns, shape[1], (epochs,), "separate trainings")


def _curved(
    logs: list[Log], places: _Places, shape: tuple[int, int, int], scratch: Path
) -> Training:
    columns = {}
    for i, name in enumerate(_CURVED):
        values = blank(Path(f"{scratch}.{name}"), shape)
        for log, (row, seed) in zip(logs, places, strict=True):
            values[row, seed, : log.curves.shape[1]] = log.curves[i]
        if np.isfinite(values).any() or name == "valid_accuracy":
            columns[name] = Column(_METRICS[name], values, f"{_NOTES[name]}, by epoch")
    return _training(columns, shape[1], tuple(range(1, shape[2] + 1)), "curve")


def _training(
    columns: dict[str, Column], seeds: int, epochs: tuple[int, ...], kind: str
) -> Training:
    return Training(
        dataset="cifar10",
        objective="valid_accuracy",
        epochs_kind=kind,
        seconds_kind="measured" if "train_seconds" in columns else "none",
        seeds=tuple(range(-1, -seeds - 1, -1)),
        epochs=epochs,
        columns=columns,
    )


def _static(logs: list[Log], row: dict[Architecture, int]) -> dict[str, Column]:
    values = np.full(len(row), np.nan)
    for log in logs:
        if not math.isnan(log.parameters):
            values[row[log.architecture]] = log.parameters
    if not np.isfinite(values).any():
        return {}
    metric = Metric("parameters", "none", "min", "M", 0.0)
    return {
        "parameters": Column(metric, values, "model_parameters, the auxiliary classifier included")
    }


def _digest(way: str) -> str:
    return hashlib.sha256(way.encode()).hexdigest()[:8]


def _difference(one: str, other: str) -> str:
    a, b = json.loads(one), json.loads(other)
    differs = [
        key for key in sorted({*a, *b}) if a.get(key) != b.get(key) or (key in a) != (key in b)
    ]
    return f"two of them differ in {', '.join(differs[:5])}"


def _about(
    source: Path, logs: list[Log], ways: list[str], copies: int, ignored: int
) -> dict[str, Any]:
    counts = Counter(log.origin or "not known" for log in logs)
    proposed = ", ".join(f"{origin} {n:,}" for origin, n in sorted(counts.items()))
    failed = sorted(log.name for log in logs if math.isnan(log.final[0]))
    short = _short(logs)
    wrong = sum(
        math.isfinite(log.parameters - log.counted) and abs(log.parameters - log.counted) > 5e-7
        for log in logs
    )
    return {
        "title": "NAS-Bench-301: DARTS architectures on CIFAR-10",
        "origin": f"{source.name}, {len(logs):,} trainings of NAS-Bench-301's logs; who proposed them: "
        f"{proposed}",
        "licence": "code and examples of automl/nasbench301: Apache-2.0; the data's is that of its figshare page",
        "citation": [_CITATION],
        "protocol": "CIFAR-10, 40,000 training and 10,000 validation images of the training set. "
        + " ".join(f"[{_words(way)}]" for way in ways[:4]),
        "seed_note": "The logs name no seeds: -1, -2 ... are the trainings of one architecture in the order "
        f"of their files. {copies} logs that repeat another's figures were left out.",
        "lacks": ["training seeds", "times by epoch", "test accuracy by epoch"],
        "ignored_files": ignored,
        "failed": [f"{name}: no validation accuracy" for name in failed[:_LISTED]],
        "failed_trainings": len(failed),
        "short_curves": len(short),
        "short_curve_files": short[:_LISTED],
        "parameters_not_as_counted": wrong,
    }


def _short(logs: Iterable[Log]) -> list[str]:
    """Return the files whose curve ends before the longest of its way of training."""
    longest: dict[str, int] = {}
    for log in logs:
        longest[log.way] = max(longest.get(log.way, 0), log.curves.shape[1])
    return sorted(
        log.name
        for log in logs
        if math.isfinite(log.final[0]) and log.curves.shape[1] < longest[log.way]
    )


def _words(way: str) -> str:
    return ", ".join(f"{key.rpartition(':')[2]} {value}" for key, value in json.loads(way).items())


_CITATION = (
    "Zela, Siems, Zimmer, Lukasik, Keuper and Hutter, Surrogate NAS Benchmarks: Going Beyond the Limited "
    "Search Spaces of Tabular NAS Benchmarks, ICLR 2022"
)
