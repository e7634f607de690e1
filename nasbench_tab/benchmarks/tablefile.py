"""The table format: one HDF5 file, its content hash, and the checks that every table must pass.

Layout of version 1, for ``n`` architectures, ``S`` training seeds and ``E`` epochs::

    /                       format, version, name, space, by_index, default_training
    /architectures          (n, cell length) uint8; by_index: row i is official index i, no gaps
    /static/<metric>        (n,) float: what does not depend on a training
    /trainings/<training>   dataset, objective, epochs_kind, seconds_kind
        seeds               (S,) int64; a negative seed is a training that its source does not name
        epochs              (E,) int32, 1-based, ascending
        metrics/<metric>    (n, S, E) float, NaN where nothing was measured
    /lookup                 of a large table only: see lookup.py

A *training* is one way of training (dataset, schedule, part of the data): NATS-Bench's 12-epoch and
200-epoch runs are two trainings. Each metric carries split, direction, unit, bounds and a note.
``train_seconds``, where there is one, is cumulative over the epochs.

The content hash covers names, types, shapes, little-endian bytes and sorted attributes, not the
bytes of the file, which depend on the HDF5 version; the manifest names the SHA-256 of those too.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.atomic import replacing
from nasbench_tab.benchmarks import mapped
from nasbench_tab.benchmarks.lookup import Lookup, finds_all, lookup_of
from nasbench_tab.benchmarks.tablerules import check_table, is_text
from nasbench_tab.errors import TableError
from nasbench_tab.records import Metric
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
_RESERVED = {
    *("name", "space", "hash", "file_sha256", "architectures", "default_training"),
    *("trainings", "static", "layout"),
}
_LARGE = 4 * 2**20  # bytes of a dataset above which it is compressed, in chunks of that size


class Column(NamedTuple):
    """One metric's numbers: ``(n,)`` if static, else ``(n, S, E)``; NaN where not measured."""

    metric: Metric
    values: NDArray[Any]
    note: str = ""


class Training(NamedTuple):
    """All numbers of one way of training.

    Attributes:
        dataset: What was trained on, by its published name.
        objective: Name of the metric that a search maximises or minimises; split ``valid``. A training
            without any validation metric (one on the training and validation parts together) names a metric
            ``test_...`` or ``valid_test_...``; it can be reported on, and no search may see it.
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

    ``by_index`` says that row ``i`` is the cell with official index ``i``, for all of the space. Arrays may
    be views of a mapped file. ``lookup`` is what a large table's file says of where its cells are.
    """

    name: str
    space: str
    by_index: bool
    architectures: NDArray[np.uint8]
    trainings: dict[str, Training]
    default_training: str
    static: dict[str, Column]
    lookup: Lookup | None = None


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
    check_table(table, table.name)
    if mapped.bytes_of(table) > mapped.LARGE:
        return _write_large(directory, table, about)
    image, digest = _image(table._replace(lookup=None))  # it may be that of a larger one
    text = _manifest(table, about, digest, hashlib.sha256(image).hexdigest())
    with (
        replacing(directory / "manifest.toml") as manifest_file,
        replacing(directory / "table.h5") as table_file,
    ):
        table_file.write_bytes(image)
        manifest_file.write_text(text, encoding="utf-8", newline="\n")
    return digest


def _write_large(directory: Path, table: Table, about: dict[str, Any]) -> str:
    _manifest(table, about, "", "")  # its words are checked before anything is written
    with (
        replacing(directory / "manifest.toml") as manifest_file,
        replacing(directory / "table.h5") as table_file,
    ):
        mapped.reserve(table_file, mapped.bytes_of(table))
        mapped.fill_in_place(table_file, _places(table_file, table))
        digest = _hash(_mapped_contents(table_file))
        text = _manifest(table, about, digest, mapped.sha256_of(table_file), layout="mapped")
        manifest_file.write_text(text, encoding="utf-8", newline="\n")
    mapped.stamp(directory, digest)
    return digest


def _places(path: Path, table: Table) -> dict[int, NDArray[Any]]:
    """Make a table's file without its numbers; return them by where in the file each array belongs."""
    import h5py

    lookup = None if table.by_index else lookup_of(table.architectures)
    put: list[tuple[Any, NDArray[Any]]] = []

    def later(group: h5py.Group, name: str, values: NDArray[Any]) -> h5py.Dataset:
        dataset = mapped.put_later(group, name, values)
        put.append((dataset, values))
        return dataset

    with h5py.File(path, "w", alignment_threshold=2**16, alignment_interval=2**12) as file:
        _fill(file, table._replace(lookup=lookup), later)
        file.flush()
        return {dataset.id.get_offset(): values for dataset, values in put}


def read_table(directory: Path, manifest: dict[str, Any]) -> Table:
    """Read ``table.h5`` from ``directory`` and verify it against the manifest's content hash.

    Raises:
        TableError: The file is missing, truncated, altered, inconsistent or from a newer version.
    """
    path = directory / "table.h5"
    large = manifest.get("layout") == "mapped"
    try:
        known = large and mapped.is_stamped(directory, manifest.get("hash"))
        # First the bytes, since damaged ones can crash the HDF5 library itself.
        file_sha256 = manifest.get("file_sha256")
        if file_sha256 and not known:
            _agree(path, file_sha256, mapped.sha256_of(path))
        contents = _mapped_contents(path) if large else _read_contents(path)
        known = known and mapped.is_stamped(directory, manifest.get("hash"))  # replaced just now?
        root = contents[""][0]
        if root.get("format") != FORMAT or root["version"] > VERSION:
            raise TableError(
                f"{path} has format {root.get('format')!r} version {root.get('version')}; this "
                f"release reads {FORMAT!r} up to version {VERSION}. Upgrade nasbench_tab."
            )
        if not known:
            _agree(path, manifest.get("hash"), _hash(contents))
        table = _table(contents)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as err:
        raise TableError(
            f"{path} cannot be read as a table ({err}). It is missing, truncated or damaged; "
            "get it again, or rebuild it with the table's prepare.py."
        ) from err
    if known:
        return table
    check_table(table, str(path))
    if table.lookup is not None and not finds_all(table.lookup, table.architectures):
        raise TableError(
            f"{path}: its lookup does not lead to its architectures. Write the table again."
        )
    if large:
        mapped.stamp(directory, manifest["hash"])
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


def _read_contents(path: Path) -> _Contents:
    import h5py

    with h5py.File(path, "r") as file:
        return _contents(file)


def _mapped_contents(path: Path) -> _Contents:
    import h5py

    with path.open("rb") as plain, h5py.File(path, "r") as file:
        memory = mmap.mmap(plain.fileno(), 0, access=mmap.ACCESS_READ)
        return _contents(file, lambda dataset: mapped.mapped(path, dataset, memory))


def _contents(
    file: h5py.File, read: Callable[[h5py.Dataset], NDArray[Any]] = lambda dataset: dataset[()]
) -> _Contents:
    import h5py

    items: dict[str, Any] = {"": file}
    file.visititems(items.__setitem__)
    return {
        name: (
            {key: _plain(value) for key, value in sorted(item.attrs.items())},
            read(item) if isinstance(item, h5py.Dataset) else None,
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
            mapped.forget(values)
    return f"sha256:{digest.hexdigest()}"


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _image(table: Table) -> tuple[bytes, str]:
    """Return the bytes of the table's file and its content hash.

    The file is made in memory: HDF5 does not survive a disk that is full.
    """
    import h5py

    with h5py.File("table", "w", driver="core", backing_store=False) as file:
        _fill(file, table, _put)
        file.flush()
        return file.id.get_file_image(), content_hash(file)


_Put = Callable[["h5py.Group", str, NDArray[Any]], "h5py.Dataset"]


def _fill(file: h5py.File, table: Table, put: _Put) -> None:
    file.attrs.update(
        format=FORMAT,
        version=VERSION,
        name=table.name,
        space=table.space,
        by_index=table.by_index,
        default_training=table.default_training,
    )
    put(file, "architectures", table.architectures)
    if table.lookup is not None:
        for part, values in table.lookup._asdict().items():
            put(file, f"lookup/{part}", values)
    for name, column in table.static.items():
        _describe(put(file, f"static/{name}", column.values), column)
    for label, training in table.trainings.items():
        group = file.create_group(f"trainings/{label}")
        group.attrs.update(
            dataset=training.dataset,
            objective=training.objective,
            epochs_kind=training.epochs_kind,
            seconds_kind=training.seconds_kind,
        )
        put(group, "seeds", np.array(training.seeds, "<i8"))
        put(group, "epochs", np.array(training.epochs, "<i4"))
        for name, column in training.columns.items():
            _describe(put(group, f"metrics/{name}", column.values), column)


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
        lookup=None
        if "lookup" not in contents
        else Lookup(*(_values(contents, f"lookup/{part}") for part in Lookup._fields)),
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


def _manifest(
    table: Table, about: dict[str, Any], digest: str, file_sha256: str, layout: str = ""
) -> str:
    def line(key: str, value: Any) -> str:
        return f"{key} = {toml(value)}\n"

    try:
        text = "".join(line(key, value) for key, value in about.items())
        plain = tomllib.loads(text) == about and not about.keys() & _RESERVED
    except (TypeError, ValueError) as err:
        raise TableError(f"{table.name}: the manifest cannot hold {about!r} ({err}).") from err
    if not plain or not is_text(text):
        raise TableError(
            f"{table.name}: the manifest cannot hold {about!r}. Expected words, numbers and lists "
            f"under plain names other than {', '.join(sorted(_RESERVED))}."
        )
    text = line("name", table.name) + line("space", table.space) + line("hash", digest) + text
    text += line("file_sha256", file_sha256) + (line("layout", layout) if layout else "")
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
