"""The table format: one HDF5 file, its content hash, and the checks that every table must pass.

Layout of version 1, for ``n`` architectures, ``S`` training seeds and ``E`` epochs::

    /                       format, version, name, space, by_index, default_training
    /architectures          (n, cell length) uint8; by_index: row i is official index i, no gaps
    /static/<metric>        (n,) float: what does not depend on a training
    /trainings/<training>   dataset, objective, epochs_kind, seconds_kind
        seeds               (S,) int64; a negative seed is a training that its source does not name
        epochs              (E,) int32, 1-based, ascending
        metrics/<metric>    (n, S, E) float, NaN where nothing was measured

A *training* is one way of training (dataset, schedule, part of the data): NATS-Bench's 12-epoch and
200-epoch runs are two trainings. Each metric carries split, direction, unit, bounds and a note.
``train_seconds``, where there is one, is cumulative over the epochs.

The content hash covers names, types, shapes, little-endian bytes and sorted attributes, not the
bytes of the file, which depend on the HDF5 version; the manifest names the SHA-256 of those too.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.atomic import replacing
from nasbench_tab.errors import TableError
from nasbench_tab.records import Direction, Metric, Split
from nasbench_tab.toml import toml

if TYPE_CHECKING:
    import h5py  # at run time only where a file is opened: surrogates have none

__all__ = [
    "Column",
    "Table",
    "Training",
    "content_hash",
    "read_manifest",
    "read_table",
    "write_table",
]

FORMAT = "nasbench_tab table"
VERSION = 1
EPOCHS_KINDS = ("curve", "separate trainings")
_NAME = re.compile("[A-Za-z0-9_-]+")  # what TOML takes as a bare key
_LABEL = re.compile("[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*")
_RESERVED = {
    *("name", "space", "hash", "file_sha256", "architectures", "default_training"),
    *("trainings", "static"),
}
_LARGE = 4 * 2**20  # bytes of a dataset above which it is compressed, in chunks of that size
SECONDS_KINDS = ("measured", "synthetic", "none")


_Require = Callable[[object, str], None]


class Column(NamedTuple):
    """One metric's numbers: ``(n,)`` if static, else ``(n, S, E)``; NaN where not measured."""

    metric: Metric
    values: NDArray[Any]
    note: str = ""


class Training(NamedTuple):
    """All numbers of one way of training.

    Attributes:
        dataset: What was trained on, by its published name.
        objective: Name of the metric that a search maximises or minimises; split ``valid``.
        epochs_kind: ``"curve"``: the epochs of one training, which can be paused and resumed;
            ``"separate trainings"``: each epoch count is a training of its own.
        seconds_kind: Whether ``train_seconds`` was ``"measured"``, is ``"synthetic"`` (computed by
            the source from other measurements) or is not there (``"none"``).
    """

    dataset: str
    objective: str
    epochs_kind: str
    seconds_kind: str
    seeds: tuple[int, ...]
    epochs: tuple[int, ...]
    columns: dict[str, Column]


class Table(NamedTuple):
    """A whole table in memory.

    ``by_index`` says that row ``i`` is the cell with official index ``i``, for all of the space.
    """

    name: str
    space: str
    by_index: bool
    architectures: NDArray[np.uint8]
    trainings: dict[str, Training]
    default_training: str
    static: dict[str, Column]


def write_table(directory: Path, table: Table, about: dict[str, Any]) -> str:
    """Check ``table``, write ``table.h5`` and ``manifest.toml`` to ``directory``, return the hash.

    Args:
        directory: The table's folder; made if it is not there.
        table: What to write.
        about: Words for the manifest: title, origin, licence, citation, protocol, seeds, lacks.

    Raises:
        TableError: The table breaks a rule of the format; nothing was written.
        ResultsError: The files could not be written; nothing was changed.
    """
    _check(table, table.name)
    image, digest = _image(table)
    text = _manifest(table, about, digest, hashlib.sha256(image).hexdigest())
    with (
        replacing(directory / "manifest.toml") as manifest_file,
        replacing(directory / "table.h5") as table_file,
    ):
        table_file.write_bytes(image)
        manifest_file.write_text(text, encoding="utf-8", newline="\n")
    return digest


def read_table(directory: Path, manifest: dict[str, Any]) -> Table:
    """Read ``table.h5`` from ``directory`` and verify it against the manifest's content hash.

    Raises:
        TableError: The file is missing, truncated, altered, inconsistent or from a newer version.
    """
    path = directory / "table.h5"
    try:
        # First the bytes, since damaged ones can crash the HDF5 library itself.
        file_sha256 = manifest.get("file_sha256")
        if file_sha256:
            _agree(path, file_sha256, hashlib.sha256(path.read_bytes()).hexdigest())
        import h5py

        with h5py.File(path, "r") as file:
            contents = _contents(file)
        root = contents[""][0]
        if root.get("format") != FORMAT or root["version"] > VERSION:
            raise TableError(
                f"{path} has format {root.get('format')!r} version {root.get('version')}; this "
                f"release reads {FORMAT!r} up to version {VERSION}. Upgrade nasbench_tab."
            )
        _agree(path, manifest.get("hash"), _hash(contents))
        table = _table(contents)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as err:
        raise TableError(
            f"{path} cannot be read as a table ({err}). It is missing, truncated or damaged; "
            "get it again, or rebuild it with the table's prepare.py."
        ) from err
    _check(table, str(path))
    return table


def _agree(path: Path, expected: str | None, got: str) -> None:
    if expected != got:
        raise TableError(
            f"{path} is not the table that its manifest describes: hash {expected} expected, {got} "
            "got. The file or the manifest was altered, truncated or damaged; get both again, or "
            "rebuild them with the table's prepare.py."
        )


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the contents of ``manifest.toml``.

    Raises:
        TableError: It is missing or not TOML.
    """
    path = directory / "manifest.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise TableError(f"{path} cannot be read ({err}); a table needs a manifest.toml.") from err


def content_hash(file: h5py.File) -> str:
    """Return ``"sha256:..."`` over everything that is in an open HDF5 file."""
    return _hash(_contents(file))


# Path in the file -> its attributes and, for a dataset, its values. Read once, hashed and used.
_Contents = dict[str, tuple[dict[str, Any], NDArray[Any] | None]]


def _contents(file: h5py.File) -> _Contents:
    import h5py

    items: dict[str, Any] = {"": file}
    file.visititems(items.__setitem__)
    return {
        name: (
            {key: _plain(value) for key, value in sorted(item.attrs.items())},
            item[()] if isinstance(item, h5py.Dataset) else None,
        )
        for name, item in sorted(items.items())
    }


def _hash(contents: _Contents) -> str:
    digest = hashlib.sha256()
    for name, (attributes, values) in contents.items():
        digest.update(json.dumps([name, attributes], sort_keys=True).encode())
        if values is not None:
            little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
            digest.update(json.dumps([little.dtype.str, list(little.shape)]).encode())
            digest.update(little.data)
    return f"sha256:{digest.hexdigest()}"


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _image(table: Table) -> tuple[bytes, str]:
    """Return the bytes of the table's file and its content hash.

    The file is made in memory: HDF5 does not survive a disk that is full.
    """
    import h5py

    with h5py.File("table", "w", driver="core", backing_store=False) as file:
        _fill(file, table)
        file.flush()
        return file.id.get_file_image(), content_hash(file)


def _fill(file: h5py.File, table: Table) -> None:
    file.attrs.update(
        format=FORMAT,
        version=VERSION,
        name=table.name,
        space=table.space,
        by_index=table.by_index,
        default_training=table.default_training,
    )
    _put(file, "architectures", table.architectures)
    for name, column in table.static.items():
        _describe(_put(file, f"static/{name}", column.values), column)
    for label, training in table.trainings.items():
        group = file.create_group(f"trainings/{label}")
        group.attrs.update(
            dataset=training.dataset,
            objective=training.objective,
            epochs_kind=training.epochs_kind,
            seconds_kind=training.seconds_kind,
        )
        _put(group, "seeds", np.array(training.seeds, "<i8"))
        _put(group, "epochs", np.array(training.epochs, "<i4"))
        for name, column in training.columns.items():
            _describe(_put(group, f"metrics/{name}", column.values), column)


def _put(group: h5py.Group, name: str, values: NDArray[Any]) -> h5py.Dataset:
    # Small arrays stay uncompressed: they load at once, and wheels and git compress them anyway.
    large = values.nbytes > _LARGE
    rows = max(1, _LARGE * len(values) // values.nbytes) if large else None
    return group.create_dataset(
        name,
        data=values,
        chunks=(rows, *values.shape[1:]) if large else None,
        compression="gzip" if large else None,
        shuffle=large or None,
        track_times=False,
    )


def _describe(dataset: h5py.Dataset, column: Column) -> None:
    metric = column.metric
    dataset.attrs.update(
        split=metric.split,
        direction=metric.direction,
        unit=metric.unit,
        lower=metric.lower,
        upper=metric.upper,
        note=column.note,
    )


def _table(contents: _Contents) -> Table:
    root = contents[""][0]
    trainings = {}
    for label in _children(contents, "trainings"):
        attributes = contents[f"trainings/{label}"][0]
        metrics = f"trainings/{label}/metrics"
        trainings[label] = Training(
            dataset=attributes["dataset"],
            objective=attributes["objective"],
            epochs_kind=attributes["epochs_kind"],
            seconds_kind=attributes["seconds_kind"],
            seeds=tuple(_values(contents, f"trainings/{label}/seeds").tolist()),
            epochs=tuple(_values(contents, f"trainings/{label}/epochs").tolist()),
            columns={
                name: _column(contents, metrics, name) for name in _children(contents, metrics)
            },
        )
    return Table(
        name=root["name"],
        space=root["space"],
        by_index=bool(root["by_index"]),
        architectures=_values(contents, "architectures"),
        trainings=trainings,
        default_training=root["default_training"],
        static={name: _column(contents, "static", name) for name in _children(contents, "static")},
    )


def _children(contents: _Contents, group: str) -> list[str]:
    depth = group.count("/") + 1
    return [
        n.rpartition("/")[2]
        for n in contents
        if n.startswith(f"{group}/") and n.count("/") == depth
    ]


def _values(contents: _Contents, name: str) -> NDArray[Any]:
    values = contents[name][1]
    if values is None:
        raise ValueError(f"{name} is a group, not a dataset")
    return values


def _column(contents: _Contents, group: str, name: str) -> Column:
    attributes = contents[f"{group}/{name}"][0]
    metric = Metric(
        name=name,
        split=attributes["split"],
        direction=attributes["direction"],
        unit=attributes["unit"],
        lower=float(attributes["lower"]),
        upper=float(attributes["upper"]),
    )
    return Column(metric, _values(contents, f"{group}/{name}"), attributes["note"])


def _check(table: Table, where: str) -> None:
    """Raise TableError where ``table`` breaks a rule of the format."""

    def require(condition: object, problem: str) -> None:
        if not condition:
            raise TableError(
                f"{where}: {problem}. Correct the recipe or log that makes this table."
            )

    cells = table.architectures
    require(
        cells.ndim == 2 and cells.size and cells.dtype == np.uint8,
        "architectures must be a non-empty (n, length) array of uint8",
    )
    n, flat, length = len(cells), cells.tobytes(), cells.shape[1]
    distinct = len({flat[i : i + length] for i in range(0, len(flat), length)})
    require(distinct == n, f"{n - distinct} architectures stand in the table twice")
    require(table.default_training in table.trainings, f"no training {table.default_training!r}")
    _check_words(table, require)
    for name, column in table.static.items():
        _check_column(name, column, (n,), f"static {name!r}", require)
    for label, training in table.trainings.items():
        here = f"training {label!r}"
        require(_LABEL.fullmatch(label), f"{here}: a training's name must match {_LABEL.pattern}")
        _check_training(training, here, require)
        shape = (n, len(training.seeds), len(training.epochs))
        for name, column in training.columns.items():
            require(name not in table.static, f"{here}: {name!r} is a static metric as well")
            _check_column(name, column, shape, f"{here}: {name!r}", require)
        _check_splits(training, here, require)
        seconds = training.columns.get("train_seconds")
        if seconds is not None and training.epochs_kind == "curve":
            falls = np.diff(seconds.values, axis=2) < 0
            require(not falls.any(), f"{here}: train_seconds of a curve must not fall")


def _check_training(training: Training, here: str, require: _Require) -> None:
    require(training.epochs_kind in EPOCHS_KINDS, f"{here}: epochs_kind {training.epochs_kind!r}")
    require(
        training.seconds_kind in SECONDS_KINDS, f"{here}: seconds_kind {training.seconds_kind!r}"
    )
    seeds, epochs = training.seeds, training.epochs
    require(len(set(seeds)) == len(seeds) > 0, f"{here}: seeds must be distinct")
    require(epochs and epochs[0] >= 1, f"{here}: epochs are 1-based")
    require(list(epochs) == sorted(set(epochs)), f"{here}: epochs must ascend")
    has_seconds = "train_seconds" in training.columns
    require(has_seconds == (training.seconds_kind != "none"), f"{here}: train_seconds and its kind")
    objective = training.columns.get(training.objective)
    split = None if objective is None else objective.metric.split
    require(split, f"{here}: no metric {training.objective!r} for the objective")
    require(split == "valid", f"{here}: the objective is measured on the {split} split, not valid")


def _check_column(
    name: str, column: Column, shape: tuple[int, ...], here: str, require: _Require
) -> None:
    metric, values = column.metric, column.values
    require(_NAME.fullmatch(name), f"{here}: a metric's name must match {_NAME.pattern}")
    require(name == metric.name, f"{here}: its metric has another name, {metric.name!r}")
    require(metric.split in get_args(Split), f"{here}: split {metric.split!r}")
    require(metric.direction in get_args(Direction), f"{here}: direction {metric.direction!r}")
    if len(shape) == 1:
        require(values.shape == shape, f"{here} must have one value per architecture")
    require(values.shape == shape, f"{here} has shape {values.shape}, not {shape}")
    require(
        values.dtype in (np.float32, np.float64), f"{here} must hold floats, float32 or float64"
    )
    require(not np.isinf(values).any(), f"{here} holds an infinite value")
    outside = (values < metric.lower) | (values > metric.upper)
    require(not outside.any(), f"{here} leaves its bounds {metric.lower} to {metric.upper}")


def _check_words(table: Table, require: _Require) -> None:
    columns = dict(table.static)
    words = {"name": table.name, "space": table.space}
    for label, training in table.trainings.items():
        columns |= training.columns
        words |= {
            f"dataset of {label!r}": training.dataset,
            f"training {label!r}": training.objective,
        }
    for name, column in columns.items():
        words |= {f"note of {name!r}": column.note, f"unit of {name!r}": column.metric.unit}
    for what, text in words.items():
        require(_is_text(text), f"{what} holds a character that the file cannot hold")


def _is_text(text: str) -> bool:
    try:
        return "\0" not in text and bool(text.encode() or True)
    except UnicodeEncodeError:
        return False


def _check_splits(training: Training, here: str, require: _Require) -> None:
    columns = training.columns
    for name, column in columns.items():
        if column.metric.split != "valid":
            continue
        for other, test in columns.items():
            same = test.metric.split in ("test", "valid+test") and np.array_equal(
                column.values, test.values, equal_nan=True
            )
            require(
                not same, f"{here}: {name!r} (valid) and {other!r} (test) hold the same numbers"
            )


def _manifest(table: Table, about: dict[str, Any], digest: str, file_sha256: str) -> str:
    def line(key: str, value: Any) -> str:
        return f"{key} = {toml(value)}\n"

    try:
        text = "".join(line(key, value) for key, value in about.items())
        plain = tomllib.loads(text) == about and not about.keys() & _RESERVED
    except (TypeError, ValueError) as err:
        raise TableError(f"{table.name}: the manifest cannot hold {about!r} ({err}).") from err
    if not plain or not _is_text(text):
        raise TableError(
            f"{table.name}: the manifest cannot hold {about!r}. Expected words, numbers and lists "
            f"under plain names other than {', '.join(sorted(_RESERVED))}."
        )
    text = line("name", table.name) + line("space", table.space) + line("hash", digest) + text
    text += line("file_sha256", file_sha256)
    text += line("architectures", len(table.architectures))
    text += line("default_training", table.default_training)
    for label, training in table.trainings.items():
        measured = np.isfinite(training.columns[training.objective].values[:, :, -1])
        text += f"\n[trainings.{json.dumps(label)}]\n"
        text += line("dataset", training.dataset) + line("objective", training.objective)
        text += line("epochs", list(training.epochs)) + line("epochs_kind", training.epochs_kind)
        text += line("train_seconds", training.seconds_kind)
        text += line("seeds", list(training.seeds))
        text += line("trainings_per_seed", measured.sum(axis=0).tolist())
    groups = {f"trainings.{json.dumps(k)}.metrics": t.columns for k, t in table.trainings.items()}
    for prefix, columns in {**groups, "static": table.static}.items():
        for name, column in sorted(columns.items()):
            metric = column.metric
            text += (
                f"\n[{prefix}.{name}]\n" + line("split", metric.split) + line("unit", metric.unit)
            )
            text += line("direction", metric.direction) + line("note", column.note)
    return text
