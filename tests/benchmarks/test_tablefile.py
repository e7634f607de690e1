"""The table format: what goes in comes out, and nothing damaged or wrong gets through."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nasbench_tab.benchmarks import tablefile
from nasbench_tab.benchmarks.tablefile import (
    Column,
    Table,
    Training,
    content_hash,
    read_manifest,
    read_table,
    write_table,
)
from nasbench_tab.errors import ResultsError, TableError
from nasbench_tab.records import Metric

DIGEST = "sha256:1fa70e64e5c200db28dec2ce53a0f3142c1e076e7fc9b0fa209688fe9c651fd3"


def load(folder: Path) -> Table:
    return read_table(folder, read_manifest(folder))


def hash_of(path: Path) -> str:
    with h5py.File(path, "r") as file:
        return content_hash(file)


def bits(table: Table) -> dict[str, Any]:
    """Everything in a table, arrays as type, shape and bytes."""

    def columns(them: dict[str, Column]) -> dict[str, Any]:
        return {
            name: (column.metric, column.note, array(column.values))
            for name, column in sorted(them.items())
        }

    def array(values: NDArray[Any]) -> tuple[str, tuple[int, ...], bytes]:
        return values.dtype.str, values.shape, values.tobytes()

    return {
        "names": (table.name, table.space, table.by_index, table.default_training),
        "architectures": array(table.architectures),
        "static": columns(table.static),
        "trainings": {
            label: (*training[:-1], columns(training.columns))
            for label, training in sorted(table.trainings.items())
        },
    }


# --- round trip -------------------------------------------------------------------------------


def test_round_trip(synthetic: Table, tmp_path: Path) -> None:
    digest = write_table(tmp_path / "new" / "folder", synthetic, {"title": "a table"})
    folder = tmp_path / "new" / "folder"
    assert sorted(file.name for file in folder.iterdir()) == ["manifest.toml", "table.h5"]
    assert bits(load(folder)) == bits(synthetic)
    assert digest == read_manifest(folder)["hash"] == hash_of(folder / "table.h5")


def test_hash_is_pinned(synthetic: Table, tmp_path: Path) -> None:
    """It is the identity of published results: it must not change between releases."""
    assert write_table(tmp_path, synthetic, {}) == DIGEST


def test_writing_twice_gives_the_same_bytes(synthetic: Table, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_table(tmp_path / folder, synthetic, {"title": "t"})
    for name in ("table.h5", "manifest.toml"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_order_of_columns_and_trainings_does_not_matter(synthetic: Table, tmp_path: Path) -> None:
    turned = synthetic._replace(
        trainings={
            label: training._replace(columns=dict(reversed(training.columns.items())))
            for label, training in reversed(synthetic.trainings.items())
        },
        static=dict(reversed(synthetic.static.items())),
    )
    assert write_table(tmp_path / "a", synthetic, {}) == write_table(tmp_path / "b", turned, {})


def test_writing_replaces_a_table(synthetic: Table, tmp_path: Path) -> None:
    first = write_table(tmp_path, synthetic, {"title": "first"})
    second = write_table(tmp_path, synthetic._replace(name="other"), {"title": "second"})
    assert first != second
    assert load(tmp_path).name == "other"
    assert read_manifest(tmp_path)["title"] == "second"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["manifest.toml", "table.h5"]


def test_large_arrays_are_stored_compressed_and_come_back(tmp_path: Path) -> None:
    n, epochs = 2_000, 200
    curves = np.tile(np.arange(n * epochs, dtype=np.float64).reshape(n, 1, epochs) % 91, (1, 2, 1))
    table = minimal(curves, epochs=tuple(range(1, epochs + 1)))
    write_table(tmp_path, table, {})
    assert curves.nbytes > 6_000_000
    assert (tmp_path / "table.h5").stat().st_size < curves.nbytes / 10
    assert bits(load(tmp_path)) == bits(table)


def minimal(
    values: NDArray[Any],
    epochs: tuple[int, ...],
    *,
    static: NDArray[Any] | None = None,
    note: str = "",
    name: str = "minimal",
) -> Table:
    """A table of one metric without bounds."""
    n, n_seeds, _ = values.shape
    numbers = np.arange(n)
    cells = np.stack([numbers // 5**place % 5 for place in range(6)], axis=1).astype(np.uint8)
    metric = Metric("score", "valid", "max", "")
    training = Training(
        "d",
        "score",
        "curve",
        "none",
        tuple(range(n_seeds)),
        epochs,
        {"score": Column(metric, values, note)},
    )
    columns = {} if static is None else {"size": Column(Metric("size", "none", "min", ""), static)}
    return Table(name, "nasbench201", False, cells, {"t": training}, "t", columns)


floats = st.sampled_from([np.float32, np.float64])
shapes = st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 5))
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def elements(dtype: type[np.floating[Any]]) -> st.SearchStrategy[Any]:
    """Any float but the infinities: NaN with every payload, negative zero, subnormals."""
    return hnp.from_dtype(np.dtype(dtype), allow_infinity=False, allow_nan=True)


@settings(max_examples=40)
@given(st.data(), floats, floats, shapes, texts, texts)
def test_any_numbers_and_words_come_back_bit_for_bit(
    data: st.DataObject,
    dtype: type[np.floating[Any]],
    static_dtype: type[np.floating[Any]],
    shape: tuple[int, int, int],
    note: str,
    title: str,
) -> None:
    values = data.draw(hnp.arrays(dtype, shape, elements=elements(dtype)))
    static = data.draw(hnp.arrays(static_dtype, shape[0], elements=elements(static_dtype)))
    table = minimal(values, tuple(range(1, shape[2] + 1)), static=static, note=note)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        digest = write_table(folder, table, {"title": title})
        assert bits(load(folder)) == bits(table)
        manifest = read_manifest(folder)
        assert manifest["title"] == title
        assert manifest["trainings"]["t"]["metrics"]["score"]["note"] == note
        assert write_table(folder, load(folder), {"title": title}) == digest


# --- the manifest -----------------------------------------------------------------------------


def test_manifest_tells_what_is_in_the_table(synthetic: Table, tmp_path: Path) -> None:
    about = {"title": 'A "quoted" \\ title,\nµ ✓', "lacks": ["this", "that"], "year": 2020}
    digest = write_table(tmp_path, synthetic, about)
    manifest = read_manifest(tmp_path)
    assert manifest.items() >= about.items()
    assert manifest["name"] == "synthetic"
    assert manifest["space"] == "nasbench201"
    assert manifest["hash"] == digest
    assert manifest["architectures"] == 12
    assert manifest["default_training"] == "curve"
    curve = manifest["trainings"]["curve"]
    assert curve["dataset"] == "cifar10-valid"
    assert curve["objective"] == "valid_accuracy"
    assert curve["epochs"] == [1, 2, 4]
    assert curve["epochs_kind"] == "curve"
    assert curve["train_seconds"] == "measured"
    assert curve["seeds"] == [7, -1, 3]
    assert curve["trainings_per_seed"] == [9, 10, 10]
    assert curve["metrics"]["valid_accuracy"] == {
        "split": "valid",
        "unit": "%",
        "direction": "max",
        "note": 'with "quotes" \\ ✓',
    }
    assert set(curve["metrics"]) == {"valid_accuracy", "test_accuracy", "train_seconds"}
    assert manifest["trainings"]["short"]["metrics"]["valid_loss"]["direction"] == "min"
    assert manifest["static"]["latency"]["note"] == "batch of 256"


@pytest.mark.parametrize(
    "text", ["\x7f", "\x01", "\x85", "\u2028", "#", "]", "\\u0041", "'''", '"""']
)
def test_manifest_can_hold_any_text(synthetic: Table, tmp_path: Path, text: str) -> None:
    latency = synthetic.static["latency"]._replace(note=text)
    write_table(tmp_path, synthetic._replace(static={"latency": latency}), {"title": text})
    assert read_manifest(tmp_path)["title"] == text
    assert read_manifest(tmp_path)["static"]["latency"]["note"] == text
    assert load(tmp_path).static["latency"].note == text


@pytest.mark.parametrize(
    "about",
    [
        {"title": None},
        {"title": object()},
        {"title": "\ud800"},
        {"hash": "sha256:0"},
        {"name": "another"},
        {"two words": 1},
        {"": 1},
    ],
)
def test_words_that_the_manifest_cannot_hold_are_refused(
    synthetic: Table, tmp_path: Path, about: dict[str, Any]
) -> None:
    """Or the folder could not be read again, or would contradict the table."""
    with pytest.raises(TableError):
        write_table(tmp_path / "t", synthetic, about)
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"hash = ", b"[a]\n[a]\n", b"\0"])
def test_damaged_manifest_is_refused(synthetic: Table, tmp_path: Path, content: bytes) -> None:
    write_table(tmp_path, synthetic, {})
    (tmp_path / "manifest.toml").write_bytes(content)
    with pytest.raises(TableError, match=r"manifest"):
        load(tmp_path)


def test_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"manifest\.toml cannot be read.*needs a manifest\.toml"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.toml").mkdir()
    with pytest.raises(TableError, match=r"manifest\.toml cannot be read"):
        read_manifest(tmp_path)


# --- the content hash -------------------------------------------------------------------------


def copy(source: Path, target: Path, libver: str = "earliest", **storage: Any) -> None:
    """Write the same content another way."""
    with h5py.File(source, "r") as old, h5py.File(target, "w", libver=libver) as new:
        new.attrs.update(old.attrs)

        def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                made = new.create_dataset(name, data=item[()], **storage)
            else:
                made = new.require_group(name)
            for key in sorted(item.attrs, reverse=True):
                made.attrs[key] = item.attrs[key]

        old.visititems(visit)


@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"libver": "latest"},
        {"chunks": True},
        {"chunks": True, "compression": "gzip", "compression_opts": 9, "shuffle": True},
        {"chunks": True, "compression": "lzf", "fletcher32": True},
        {"track_times": True},
    ],
)
def test_hash_does_not_depend_on_the_storage(
    synthetic: Table, tmp_path: Path, storage: dict[str, Any]
) -> None:
    digest = write_table(tmp_path, synthetic, {})
    copy(tmp_path / "table.h5", tmp_path / "other.h5", **storage)
    assert (tmp_path / "table.h5").read_bytes() != (tmp_path / "other.h5").read_bytes()
    assert hash_of(tmp_path / "other.h5") == digest


def test_hash_does_not_depend_on_the_byte_order(synthetic: Table, tmp_path: Path) -> None:
    digest = write_table(tmp_path, synthetic, {})
    with h5py.File(tmp_path / "table.h5", "r+") as file:
        for name in ("trainings/curve/metrics/train_seconds", "trainings/curve/seeds"):
            old = file[name]
            values, attributes = old[()], dict(old.attrs)
            del file[name]
            new = file.create_dataset(name, data=values.astype(values.dtype.newbyteorder(">")))
            new.attrs.update(attributes)
            assert new.dtype.byteorder == ">"
    assert hash_of(tmp_path / "table.h5") == digest


VALID = "trainings/curve/metrics/valid_accuracy"


def replace(file: h5py.File, name: str, values: NDArray[Any]) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, data=values).attrs.update(attributes)


def _next_float(file: h5py.File) -> None:
    values = file[VALID][()]
    values[0, 0, 0] = np.nextafter(values[0, 0, 0], np.float32(0))
    file[VALID][()] = values


def _sign_of_zero(file: h5py.File) -> None:
    values = file["static/macs"][()]
    assert values[0] == 0
    values[0] = -0.0
    file["static/macs"][()] = values


def _fill_a_gap(file: h5py.File) -> None:
    values = file[VALID][()]
    values[6, 0, 0] = 50.0
    file[VALID][()] = values


def _swap_two_seeds(file: h5py.File) -> None:
    seeds = "trainings/curve/seeds"
    file[seeds][()] = file[seeds][()][::-1]


ALTERATIONS: dict[str, Callable[[h5py.File], None]] = {
    "next float": _next_float,
    "sign of zero": _sign_of_zero,
    "a gap filled": _fill_a_gap,
    "seeds swapped": _swap_two_seeds,
    "an architecture": lambda f: f["architectures"].write_direct(
        np.full((12, 6), 4, np.uint8), np.s_[3:4], np.s_[3:4]
    ),
    "wider floats": lambda f: replace(f, VALID, f[VALID][()].astype(np.float64)),
    "wider ints": lambda f: replace(
        f, "trainings/curve/epochs", f["trainings/curve/epochs"][()].astype(np.int64)
    ),
    "another shape": lambda f: replace(f, "static/macs", f["static/macs"][()].reshape(12, 1)),
    "a row more": lambda f: replace(f, "static/macs", np.arange(13, dtype=np.float32)),
    "metric renamed": lambda f: f.move(VALID, VALID + "2"),
    "training renamed": lambda f: f.move("trainings/curve", "trainings/curve2"),
    "static renamed": lambda f: f.move("static/macs", "static/flops"),
    "metric removed": lambda f: f.__delitem__(VALID),
    "training removed": lambda f: f.__delitem__("trainings/short"),
    "dataset added": lambda f: f.__setitem__("more", np.zeros(1)),
    "group added": lambda f: f.require_group("more") and None,
    "name": lambda f: f.attrs.__setitem__("name", "another"),
    "by_index": lambda f: f.attrs.__setitem__("by_index", True),
    "default training": lambda f: f.attrs.__setitem__("default_training", "short"),
    "dataset of a training": lambda f: f["trainings/curve"].attrs.__setitem__("dataset", "x"),
    "split": lambda f: f[VALID].attrs.__setitem__("split", "test"),
    "direction": lambda f: f[VALID].attrs.__setitem__("direction", "min"),
    "upper bound": lambda f: f[VALID].attrs.__setitem__("upper", 100.5),
    "note": lambda f: f["static/latency"].attrs.__setitem__("note", "batch of 128"),
    "unit removed": lambda f: f[VALID].attrs.__delitem__("unit"),
    "attribute added": lambda f: f[VALID].attrs.__setitem__("more", 1),
}


@pytest.mark.parametrize("alter", ALTERATIONS.values(), ids=ALTERATIONS)
def test_hash_changes_with_the_content_and_the_table_is_refused(
    synthetic: Table, tmp_path: Path, alter: Callable[[h5py.File], None]
) -> None:
    digest = write_table(tmp_path, synthetic, {})
    with h5py.File(tmp_path / "table.h5", "r+") as file:
        alter(file)
    assert hash_of(tmp_path / "table.h5") != digest
    with pytest.raises(TableError, match=r"is not the table that its manifest describes.*altered"):
        load(tmp_path)


def test_hash_in_the_manifest_must_agree(synthetic: Table, tmp_path: Path) -> None:
    digest = write_table(tmp_path, synthetic, {})
    manifest = tmp_path / "manifest.toml"
    for content in (
        manifest.read_text().replace(digest, digest[:-1] + "g"),
        manifest.read_text().replace(f'hash = "{digest}"\n', ""),
    ):
        manifest.write_text(content)
        with pytest.raises(TableError, match="is not the table that its manifest describes"):
            load(tmp_path)


# --- damaged files ----------------------------------------------------------------------------


def test_missing_table_is_refused(synthetic: Table, tmp_path: Path) -> None:
    write_table(tmp_path, synthetic, {})
    (tmp_path / "table.h5").unlink()
    with pytest.raises(TableError, match=r"table\.h5 cannot be read as a table.*missing"):
        load(tmp_path)
    (tmp_path / "table.h5").mkdir()
    with pytest.raises(TableError, match=r"table\.h5 cannot be read as a table"):
        load(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n", b"\0" * 4096, b"PK\x03\x04" * 1000]
)
def test_what_is_not_a_table_is_refused(synthetic: Table, tmp_path: Path, content: bytes) -> None:
    write_table(tmp_path, synthetic, {})
    (tmp_path / "table.h5").write_bytes(content)
    with pytest.raises(TableError, match=r"table\.h5"):
        load(tmp_path)


def test_another_hdf5_file_is_refused(synthetic: Table, tmp_path: Path) -> None:
    write_table(tmp_path, synthetic, {})
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["measurements"] = np.arange(3)
    with pytest.raises(TableError, match=r"table\.h5"):
        load(tmp_path)


def test_truncated_file_is_refused_wherever_it_ends(synthetic: Table, tmp_path: Path) -> None:
    write_table(tmp_path, synthetic, {})
    path = tmp_path / "table.h5"
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 61), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(TableError, match=r"table\.h5"):
            load(tmp_path)


# In a process of its own: damaged metadata can crash or hang HDF5 itself, which no exception
# handler would survive. Damage to bytes that nothing uses may pass if the table is the same.
_FUZZ = """
import faulthandler, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from test_tablefile import bits
from nasbench_tab.benchmarks.tablefile import read_manifest, read_table
from nasbench_tab.errors import TableError

faulthandler.enable()
folder, step = Path(sys.argv[2]), int(sys.argv[3])
manifest, path = read_manifest(folder), folder / "table.h5"
whole, table = path.read_bytes(), bits(read_table(folder, manifest))
tried = refused = 0
for position in range(0, len(whole), step):
    faulthandler.dump_traceback_later(20, exit=True)
    damaged = bytearray(whole)
    damaged[position] ^= 0xFF
    path.write_bytes(damaged)
    print(f"byte {position}", end="", flush=True)
    tried += 1
    try:
        assert bits(read_table(folder, manifest)) == table, position
    except TableError:
        refused += 1
    print(flush=True)
print(tried, refused)
"""


def test_a_damaged_byte_is_refused_wherever_it_is(synthetic: Table, tmp_path: Path) -> None:
    write_table(tmp_path, synthetic, {})
    size, step = (tmp_path / "table.h5").stat().st_size, 7
    done = subprocess.run(
        [sys.executable, "-c", _FUZZ, Path(__file__).parent, tmp_path, str(step)],
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stdout.splitlines()[-1]  # where it crashed, or the counts
    assert (done.returncode, done.stderr) == (0, ""), last
    tried, refused = map(int, last.split())
    assert tried == len(range(0, size, step))
    assert refused > tried / 3


def test_newer_version_is_refused(
    synthetic: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tablefile, "VERSION", 2)
    write_table(tmp_path, synthetic, {})
    assert bits(load(tmp_path)) == bits(synthetic)
    monkeypatch.setattr(tablefile, "VERSION", 1)
    with pytest.raises(TableError, match=r"version 2; this release reads .* 1\. Upgrade"):
        load(tmp_path)


def test_another_format_is_refused(
    synthetic: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tablefile, "FORMAT", "another format")
    write_table(tmp_path, synthetic, {})
    monkeypatch.undo()
    with pytest.raises(TableError, match="has format 'another format'"):
        load(tmp_path)


def _no_metrics(file: h5py.File) -> None:
    del file["trainings/curve/metrics"]


INCOMPLETE: dict[str, Callable[[h5py.File], None]] = {
    "no version": lambda f: f.attrs.__delitem__("version"),
    "version is a word": lambda f: f.attrs.__setitem__("version", "one"),
    "no name": lambda f: f.attrs.__delitem__("name"),
    "no space": lambda f: f.attrs.__delitem__("space"),
    "no by_index": lambda f: f.attrs.__delitem__("by_index"),
    "no default training": lambda f: f.attrs.__delitem__("default_training"),
    "unknown default training": lambda f: f.attrs.__setitem__("default_training", "another"),
    "no architectures": lambda f: f.__delitem__("architectures"),
    "architectures a group": lambda f: (
        f.__delitem__("architectures"),
        f.create_group("architectures"),
    )[0],
    "no trainings": lambda f: f.__delitem__("trainings"),
    "no seeds": lambda f: f.__delitem__("trainings/curve/seeds"),
    "no epochs": lambda f: f.__delitem__("trainings/curve/epochs"),
    "no metrics": _no_metrics,
    "no objective": lambda f: f["trainings/curve"].attrs.__delitem__("objective"),
    "no unit": lambda f: f[VALID].attrs.__delitem__("unit"),
    "no note": lambda f: f[VALID].attrs.__delitem__("note"),
    "bound is a word": lambda f: f[VALID].attrs.__setitem__("upper", "high"),
    "array for an attribute": lambda f: f[VALID].attrs.__setitem__("upper", [1.0, 2.0]),
    "empty attribute": lambda f: f[VALID].attrs.__setitem__("upper", h5py.Empty("f8")),
    "empty dataset": lambda f: replace(f, "static/macs", h5py.Empty("f4")),
    "metric is a group": lambda f: (f.__delitem__(VALID), f.create_group(VALID))[0],
    "seeds are a scalar": lambda f: replace(f, "trainings/curve/seeds", np.array(7)),
    "architectures are a scalar": lambda f: replace(f, "architectures", np.array(7, np.uint8)),
    "architectures are a line": lambda f: replace(f, "architectures", np.arange(12, dtype="u1")),
    "architectures without edges": lambda f: replace(f, "architectures", np.zeros((3, 0), "u1")),
    "words for numbers": lambda f: replace(f, "static/macs", np.array(["a"] * 12, "S3")),
}


@pytest.mark.parametrize("spoil", INCOMPLETE.values(), ids=INCOMPLETE)
def test_incomplete_file_with_a_right_hash_is_refused(
    synthetic: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[h5py.File], None],
) -> None:
    """What another program, or a broken one, may have written together with its hash."""
    fill = tablefile._fill

    def fill_and_spoil(file: h5py.File, table: Table) -> None:
        fill(file, table)
        spoil(file)

    monkeypatch.setattr(tablefile, "_fill", fill_and_spoil)
    with suppress(TableError, TypeError):  # some have no hash and cannot even be written
        write_table(tmp_path, synthetic, {})
    monkeypatch.undo()
    with pytest.raises(TableError):
        load(tmp_path)


# --- the rules --------------------------------------------------------------------------------


def training(table: Table, label: str = "curve", **changes: Any) -> Table:
    changed = table.trainings[label]._replace(**changes)
    return table._replace(trainings={**table.trainings, label: changed})


def column(table: Table, name: str, /, **changes: Any) -> Table:
    """Replace a column's values or fields of its metric."""
    columns = dict(table.trainings["curve"].columns)
    old = columns[name]
    values = changes.pop("values", old.values)
    columns[name] = old._replace(values=values, metric=old.metric._replace(**changes))
    return training(table, columns=columns)


def static(table: Table, **changes: Any) -> Table:
    old = table.static["latency"]
    values = changes.pop("values", old.values)
    made = old._replace(values=values, metric=old.metric._replace(**changes))
    return table._replace(static={"latency": made})


def without(table: Table, name: str) -> Table:
    columns = dict(table.trainings["curve"].columns)
    del columns[name]
    return training(table, columns=columns)


def valid(table: Table) -> NDArray[Any]:
    return table.trainings["curve"].columns["valid_accuracy"].values.copy()


def with_value(values: NDArray[Any], value: float) -> NDArray[Any]:
    changed = values.copy()
    changed.flat[0] = value
    return changed


def repeated_cell(table: Table) -> Table:
    cells = table.architectures.copy()
    cells[7] = cells[2]
    return table._replace(architectures=cells)


def static_named(name: str) -> Callable[[Table], Table]:
    made = Column(Metric(name, "none", "min", ""), np.ones(12))
    return lambda table: table._replace(static={name: made})


def training_named(name: str) -> Callable[[Table], Table]:
    return lambda table: table._replace(
        trainings={name: table.trainings["short"]}, default_training=name
    )


def with_note(text: str) -> Callable[[Table], Table]:
    return lambda table: table._replace(
        static={"latency": table.static["latency"]._replace(note=text)}
    )


def with_text(field: str, text: str) -> Callable[[Table], Table]:
    if field == "unit":
        return lambda table: static(table, unit=text)
    if field == "dataset":
        return lambda table: training(table, dataset=text)
    if field == "space":
        return lambda table: table._replace(space=text)
    return lambda table: table._replace(name=text)


RULES: dict[str, tuple[Callable[[Table], Table], str]] = {
    "no architectures": (
        lambda t: t._replace(architectures=t.architectures[:0]),
        r"architectures must be a non-empty \(n, length\) array",
    ),
    "architectures in a line": (
        lambda t: t._replace(architectures=t.architectures.ravel()),
        r"architectures must be a non-empty \(n, length\) array",
    ),
    "architectures without edges": (
        lambda t: t._replace(architectures=t.architectures[:, :0]),
        "architectures",
    ),
    "a cell twice": (repeated_cell, "1 architectures stand in the table twice"),
    "unknown default training": (
        lambda t: t._replace(default_training="another"),
        "no training 'another'",
    ),
    "no training": (lambda t: t._replace(trainings={}), "no training 'curve'"),
    "static too short": (
        lambda t: static(t, values=np.zeros(11)),
        "static 'latency' must have one value per architecture",
    ),
    "static in two dimensions": (
        lambda t: static(t, values=np.zeros((12, 1))),
        "static 'latency' must have one value per architecture",
    ),
    "unknown kind of epochs": (
        lambda t: training(t, epochs_kind="both"),
        "training 'curve': epochs_kind 'both'",
    ),
    "unknown kind of seconds": (
        lambda t: training(t, seconds_kind="guessed"),
        "training 'curve': seconds_kind 'guessed'",
    ),
    "a seed twice": (lambda t: training(t, seeds=(7, -1, 7)), "seeds must be distinct"),
    "no seed": (lambda t: training(t, seeds=()), "seeds must be distinct"),
    "epoch zero": (lambda t: training(t, epochs=(0, 1, 2)), "epochs are 1-based"),
    "no epoch": (lambda t: training(t, epochs=()), "epochs are 1-based"),
    "epochs unordered": (lambda t: training(t, epochs=(1, 4, 2)), "epochs must ascend"),
    "an epoch twice": (lambda t: training(t, epochs=(1, 2, 2)), "epochs must ascend"),
    "seconds said but missing": (
        lambda t: without(t, "train_seconds"),
        "train_seconds and its kind",
    ),
    "seconds there but denied": (
        lambda t: training(t, seconds_kind="none"),
        "train_seconds and its kind",
    ),
    "unknown objective": (
        lambda t: training(t, objective="valid_loss"),
        "no metric 'valid_loss' for the objective",
    ),
    "objective among the static metrics": (
        lambda t: training(t, objective="latency"),
        "no metric 'latency' for the objective",
    ),
    "objective on the test split": (
        lambda t: training(t, objective="test_accuracy"),
        "the objective is measured on the test split, not valid",
    ),
    "splits of the columns exchanged": (
        lambda t: column(column(t, "valid_accuracy", split="test"), "test_accuracy", split="valid"),
        "the objective is measured on the test split, not valid",
    ),
    "objective on the training split": (
        lambda t: column(t, "valid_accuracy", split="train"),
        "the objective is measured on the train split, not valid",
    ),
    "objective on valid and test": (
        lambda t: column(t, "valid_accuracy", split="valid+test"),
        r"the objective is measured on the valid\+test split, not valid",
    ),
    "a seed too few": (
        lambda t: column(t, "test_accuracy", values=valid(t)[:, :2] / 2),
        r"'test_accuracy' has shape \(12, 2, 3\), not \(12, 3, 3\)",
    ),
    "an epoch too many": (
        lambda t: training(t, epochs=(1, 2)),
        r"has shape \(12, 3, 3\), not \(12, 3, 2\)",
    ),
    "whole numbers": (
        lambda t: column(t, "valid_accuracy", values=np.ones((12, 3, 3), int)),
        "'valid_accuracy' must hold floats",
    ),
    "complex numbers": (
        lambda t: column(t, "valid_accuracy", values=np.ones((12, 3, 3), complex)),
        "'valid_accuracy' must hold floats",
    ),
    "above the bounds": (
        lambda t: column(t, "valid_accuracy", values=with_value(valid(t), 100.01)),
        r"'valid_accuracy' leaves its bounds 0\.0 to 100\.0",
    ),
    "below the bounds": (
        lambda t: column(t, "valid_accuracy", values=with_value(valid(t), -0.01)),
        r"'valid_accuracy' leaves its bounds 0\.0 to 100\.0",
    ),
    "fractions under a percent bound": (
        lambda t: column(t, "valid_accuracy", upper=1.0),
        r"'valid_accuracy' leaves its bounds 0\.0 to 1\.0",
    ),
    "test equals valid": (
        lambda t: column(t, "test_accuracy", values=valid(t)),
        r"'valid_accuracy' \(valid\) and 'test_accuracy' \(test\) hold the same numbers",
    ),
    "test equals valid in another precision": (
        lambda t: column(t, "test_accuracy", values=valid(t).astype(np.float64)),
        "hold the same numbers",
    ),
    "valid+test equals valid": (
        lambda t: column(t, "test_accuracy", values=valid(t), split="valid+test"),
        "hold the same numbers",
    ),
}

#: What a table must not hold either, since it would be read wrongly or not at all.
MORE_RULES: dict[str, tuple[Callable[[Table], Table], str]] = {
    "an infinite value": (
        lambda t: column(
            t, "valid_accuracy", values=with_value(valid(t), np.inf), lower=-np.inf, upper=np.inf
        ),
        "valid_accuracy",
    ),
    "static outside its bounds": (lambda t: static(t, values=np.full(12, -1.0)), "latency"),
    "static whole numbers": (lambda t: static(t, values=np.arange(12)), "latency"),
    "an infinite static value": (lambda t: static(t, values=np.full(12, np.inf)), "latency"),
    "unknown direction": (lambda t: column(t, "test_accuracy", direction="up"), "up"),
    "unknown split": (lambda t: column(t, "test_accuracy", split="holdout"), "holdout"),
    "key differs from the metric's name": (
        lambda t: column(t, "test_accuracy", name="test_acc"),
        "test_acc",
    ),
    "static and training share a name": (
        lambda t: t._replace(
            static={
                "train_seconds": Column(Metric("train_seconds", "none", "min", "s"), np.ones(12))
            }
        ),
        "train_seconds",
    ),
    "architectures are floats": (
        lambda t: t._replace(architectures=t.architectures.astype(float)),
        "architectures",
    ),
    "seconds of a curve that fall": (
        lambda t: column(
            t,
            "train_seconds",
            values=t.trainings["curve"].columns["train_seconds"].values[:, :, ::-1],
        ),
        "train_seconds",
    ),
    **{
        f"metric named {name!r}": (static_named(name), "name")
        for name in ("", ".", "a/b", "a.b", "a b", 'a"b', "a]b", "a\0b", "é")
    },
    **{
        f"training named {name!r}": (training_named(name), "name")
        for name in ("", ".", "a/b", "a\0b")
    },
    **{
        f"{field} {text!r}": (with_text(field, text), "")
        for field in ("name", "space", "dataset", "unit")
        for text in ("a\0b", "\ud800")
    },
    **{f"note {text!r}": (with_note(text), "note") for text in ("a\0b", "\ud800")},
}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [*RULES.values(), *MORE_RULES.values()],
    ids=[*RULES, *MORE_RULES],
)
def test_table_that_breaks_a_rule_is_not_written(
    synthetic: Table, tmp_path: Path, spoil: Callable[[Table], Table], words: str
) -> None:
    with pytest.raises(TableError, match=words or None):
        write_table(tmp_path / "t", spoil(synthetic), {"title": "t"})
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize(("spoil", "words"), RULES.values(), ids=RULES)
def test_table_that_breaks_a_rule_is_not_read(
    synthetic: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Table], Table],
    words: str,
) -> None:
    """The rules hold for files that an older or another program wrote, too."""
    manifest = tablefile._manifest
    monkeypatch.setattr(tablefile, "_check", lambda table, where: None)
    monkeypatch.setattr(
        tablefile, "_manifest", lambda table, about, *hashes: manifest(synthetic, about, *hashes)
    )
    write_table(tmp_path, spoil(synthetic), {})
    monkeypatch.undo()
    with pytest.raises(TableError, match=words):
        load(tmp_path)


def test_message_says_where_and_what_to_do(synthetic: Table, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"^synthetic: training 'curve': .*Correct the recipe"):
        write_table(tmp_path, training(synthetic, seeds=(1, 1, 2)), {})


def test_allowed_neighbors_of_the_rules(synthetic: Table, tmp_path: Path) -> None:
    """Values on the bounds, a column of NaN, one number that tells test from valid."""
    bounds = valid(synthetic)
    bounds[0, 0, :2] = 0.0, 100.0
    nearly = valid(synthetic)
    nearly[0, 0, 0] = 1.5
    table = column(synthetic, "test_accuracy", values=nearly)
    table = column(table, "valid_accuracy", values=bounds)
    table = column(table, "train_seconds", values=np.full((12, 3, 3), np.nan))
    write_table(tmp_path, table, {})
    assert bits(load(tmp_path)) == bits(table)


# --- full disks -------------------------------------------------------------------------------

# In a process of its own, since HDF5 can crash when it cannot write its file to the end.
_FULL_DISK = """
import faulthandler, resource, sys
from pathlib import Path
from nasbench_tab.benchmarks.tablefile import read_manifest, read_table, write_table
from nasbench_tab.errors import ResultsError

faulthandler.enable()
source, target = Path(sys.argv[1]), Path(sys.argv[2])
table = read_table(source, read_manifest(source))
for limit in sys.argv[4:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    try:
        write_table(target, table._replace(name="new"), {"title": "x" * int(sys.argv[3])})
    except ResultsError as err:
        assert "Could not write" in str(err) and "Nothing was changed" in str(err), err
    else:
        print("written under a limit of", limit)
    print(limit, *sorted(path.name for path in target.glob("*")), flush=True)
"""


@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
@pytest.mark.parametrize("too_large", ["table", "manifest"])
def test_full_disk_changes_nothing(
    synthetic: Table, tmp_path: Path, too_large: str, existing: bool
) -> None:
    pytest.importorskip("resource", reason="file size limits are a POSIX feature")
    source, target = tmp_path / "source", tmp_path / "target"
    write_table(source, synthetic, {})
    if existing:
        shutil.copytree(source, target)
    names = ["manifest.toml", "table.h5"] if existing else []
    size = (source / "table.h5").stat().st_size
    limits = [0, 100, *(size * part // 9 for part in range(1, 9)), size - 1]
    words = 0
    if too_large == "manifest":
        limits, words = [size + 1000], 2 * size
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, source, target, str(words), *map(str, limits)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [" ".join([str(limit), *names]) for limit in limits]
    for name in names:
        assert (target / name).read_bytes() == (source / name).read_bytes()


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "Permission denied")],
)
def test_failing_write_is_named_and_leaves_the_old_table(
    synthetic: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    words: str,
) -> None:
    write_table(tmp_path, synthetic, {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(self: Path, target: Path) -> Path:
        raise OSError(number, words)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ResultsError, match=rf"Could not write .*: {words}\. Nothing was"):
        write_table(tmp_path, synthetic._replace(name="new"), {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_folder_that_cannot_be_made_is_named(synthetic: Table, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsError, match=r"Could not write .*file/t/"):
        write_table(tmp_path / "file" / "t", synthetic, {})
