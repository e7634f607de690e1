"""Large tables: stored to be mapped, verified once, and answering as small ones do."""

from __future__ import annotations

import errno
import itertools
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasbench_tab.benchmarks import mapped, tablefile
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.lookup import finds_all, lookup_of, row_of, rows_of
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import (
    Column,
    Table,
    content_hash,
    read_manifest,
    write_table,
)
from nasbench_tab.errors import MissingValueError, ResultsError, TableError

from .tablefiles import bits, hash_of, load
from .tables import SPACE, fresh, stored

STAMP = "table.h5.verified"


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "LARGE", 0)
    monkeypatch.setattr(mapped, "_PIECE", 1)


def is_mapped(values: NDArray[Any]) -> bool:
    base: Any = values
    while base is not None and not isinstance(base, mmap.mmap):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return base is not None


def test_round_trip(synthetic: Table, tmp_path: Path) -> None:
    digest = write_table(tmp_path, synthetic, {"title": "a table"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["manifest.toml", "table.h5", STAMP]
    manifest = read_manifest(tmp_path)
    assert manifest["layout"] == "mapped"
    assert digest == manifest["hash"] == hash_of(tmp_path / "table.h5")
    table = load(tmp_path)
    assert bits(table) == bits(synthetic)
    assert is_mapped(table.trainings["curve"].columns["valid_accuracy"].values)


def test_a_table_by_index_has_the_same_hash_however_it_is_stored(tmp_path: Path) -> None:
    table = stored("nb201-cifar10")
    write_table(tmp_path, table, {})
    assert read_manifest(tmp_path)["hash"] == (
        "sha256:efb4865345b47883ddda3eff7cbc727da1d99b843aa5575eb9fc637e71eeb705"
    )
    assert bits(load(tmp_path)) == bits(table)


def test_it_is_read_in_full_once(
    synthetic: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path, synthetic, {})
    (tmp_path / STAMP).unlink()
    load(tmp_path)
    assert (tmp_path / STAMP).exists()

    def never(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(mapped, "sha256_of", never)
    assert bits(load(tmp_path)) == bits(synthetic)
    os.utime(tmp_path / "table.h5", ns=(1, 1))  # somebody has touched it
    with pytest.raises(AssertionError, match="read again"):
        load(tmp_path)


@pytest.mark.parametrize("spoiled", ["", "{}", "[", "\xff", '{"size": 1}'])
def test_a_spoiled_stamp_is_no_stamp(synthetic: Table, tmp_path: Path, spoiled: str) -> None:
    write_table(tmp_path, synthetic, {})
    good = (tmp_path / STAMP).read_text()
    (tmp_path / STAMP).write_text(spoiled, encoding="latin-1")
    assert bits(load(tmp_path)) == bits(synthetic)
    assert (tmp_path / STAMP).read_text() == good


def test_a_folder_that_cannot_be_written_is_read(
    synthetic: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path, synthetic, {})
    (tmp_path / STAMP).unlink()

    def refuse(path: Path, text: str) -> None:
        raise ResultsError(f"{path} {text}")

    monkeypatch.setattr(mapped, "write_text", refuse)
    assert bits(load(tmp_path)) == bits(synthetic)
    assert not (tmp_path / STAMP).exists()


def test_damage_is_found_although_there_is_a_stamp(synthetic: Table, tmp_path: Path) -> None:
    write_table(tmp_path, synthetic, {})
    path = tmp_path / "table.h5"
    whole = path.read_bytes()
    for place in range(0, len(whole), 997):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(TableError, match="hash"):
            load(tmp_path)
    for end in range(0, len(whole), 997):
        path.write_bytes(whole[:end])
        with pytest.raises(TableError, match=r"table\.h5"):
            load(tmp_path)


def test_a_newer_version_is_refused_although_there_is_a_stamp(
    synthetic: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as later:
        later.setattr(tablefile, "VERSION", 2)
        write_table(tmp_path, synthetic, {})
        assert bits(load(tmp_path)) == bits(synthetic)
    with pytest.raises(TableError, match=r"version 2; this release reads .* 1\. Upgrade"):
        load(tmp_path)


def test_a_file_that_is_replaced_while_it_is_opened(
    synthetic: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path / "a", synthetic, {})
    write_table(tmp_path / "b", synthetic._replace(name="other"), {})
    opened = tablefile._mapped_contents

    def replaced_first(path: Path) -> Any:
        (tmp_path / "b" / "table.h5").replace(path)
        return opened(path)

    monkeypatch.setattr(tablefile, "_mapped_contents", replaced_first)
    with pytest.raises(TableError, match="hash"):
        load(tmp_path / "a")


def test_who_has_a_table_open_keeps_it_when_it_is_written_again(
    synthetic: Table, tmp_path: Path
) -> None:
    write_table(tmp_path, synthetic, {})
    old = load(tmp_path)
    training = synthetic.trainings["curve"]
    halved = training.columns["valid_accuracy"]
    columns = {**training.columns, "valid_accuracy": halved._replace(values=halved.values / 2)}
    curve = training._replace(columns=columns)
    new = synthetic._replace(trainings={**synthetic.trainings, "curve": curve})
    write_table(tmp_path, new, {})
    assert bits(old) == bits(synthetic)
    assert bits(load(tmp_path)) == bits(new)


@pytest.mark.parametrize("step", ["reserve", "fill_in_place", "sha256_of"])
def test_a_full_disk_changes_nothing(
    synthetic: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write_table(tmp_path, synthetic, {})
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mapped, step, full)
    with pytest.raises(ResultsError, match="the disk is full"):
        write_table(tmp_path, synthetic._replace(name="other"), {})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_room_is_made_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    mapped.reserve(path, 10_000)
    assert path.stat().st_size >= 10_000


def test_a_table_that_breaks_a_rule_is_not_written(synthetic: Table, tmp_path: Path) -> None:
    with pytest.raises(TableError):
        write_table(tmp_path, synthetic._replace(default_training="none"), {})
    with pytest.raises(TableError):
        write_table(tmp_path, synthetic, {"hash": "mine"})
    assert not list(tmp_path.iterdir())


def test_arrays_may_be_mapped_scratch_files(synthetic: Table, tmp_path: Path) -> None:
    training = synthetic.trainings["curve"]
    columns = dict(training.columns)
    values = columns["valid_accuracy"].values
    scratch = np.memmap(tmp_path / "scratch", values.dtype, "w+", shape=values.shape)
    scratch[:] = values
    columns["valid_accuracy"] = columns["valid_accuracy"]._replace(values=scratch)
    trainings = {**synthetic.trainings, "curve": training._replace(columns=columns)}
    write_table(tmp_path / "t", synthetic._replace(trainings=trainings), {})
    assert bits(load(tmp_path / "t")) == bits(synthetic)


@pytest.mark.parametrize("mode", ["c", "r+", "r"])
def test_what_is_in_no_file_is_not_forgotten(tmp_path: Path, mode: Any) -> None:
    """A private mapping is changed in memory only: to let go of it is to lose the change."""
    np.arange(10_000.0).tofile(tmp_path / "file")
    values = np.memmap(tmp_path / "file", np.float64, mode)
    if mode != "r":
        values[:] = 7
    before = values.copy()
    mapped.forget(values[10:].reshape(-1, 2))
    np.testing.assert_array_equal(values, before)


def test_a_private_mapping_of_nothing_is_not_forgotten() -> None:
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        pytest.skip("of Unix")
    memory = mmap.mmap(-1, 80_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    values = np.frombuffer(memory, np.float64)
    values[:] = 7
    mapped.forget(values)
    assert (values == 7).all()


def test_an_old_reader_sees_the_same_table(synthetic: Table, tmp_path: Path) -> None:
    """The layout is plain HDF5: nothing but speed depends on mapping it."""
    write_table(tmp_path, synthetic, {})
    assert tablefile._read_contents(tmp_path / "table.h5").keys() == (
        tablefile._mapped_contents(tmp_path / "table.h5").keys()
    )
    import h5py

    with h5py.File(tmp_path / "table.h5") as file:
        assert content_hash(file) == read_manifest(tmp_path)["hash"]


# --- lookup -----------------------------------------------------------------------------------


@given(st.data())
def test_every_cell_is_found_and_no_other(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    everything = list(itertools.product(*map(range, sizes)))
    cells = data.draw(st.lists(st.sampled_from(everything), min_size=1, max_size=60, unique=True))
    lookup = lookup_of(np.array(cells, np.uint8))
    assert lookup is not None
    wanted = {cell: row for row, cell in enumerate(cells)}
    expected = [wanted.get(cell, -1) for cell in everything]
    assert [row_of(lookup, cell) for cell in everything] == expected
    assert rows_of(lookup, np.array(everything, np.uint8)).tolist() == expected
    assert rows_of(lookup, np.array(everything) - 3)[0] == -1  # below zero


@pytest.mark.parametrize("length", [15, 17, 18, 20])
def test_long_cells(length: int) -> None:
    """8^17 fits into the 53 bits of a float, 8^20 into the 63 of an integer."""
    rng = np.random.default_rng(length)
    cells = np.unique(rng.integers(0, 8, (3000, length)).astype(np.uint8), axis=0)
    rng.shuffle(cells)
    lookup = lookup_of(cells)
    assert lookup is not None
    np.testing.assert_array_equal(rows_of(lookup, cells), np.arange(len(cells)))
    assert [row_of(lookup, tuple(cell)) for cell in cells[:50].tolist()] == list(range(50))


def test_numbers_that_are_too_large_have_no_lookup() -> None:
    cells = np.random.default_rng(0).integers(0, 8, (100, 21)).astype(np.uint8)
    cells[0] = 7
    assert lookup_of(cells) is None


def test_a_large_table_that_becomes_small_has_no_lookup(
    synthetic: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path / "large", synthetic, {})
    large = load(tmp_path / "large")
    monkeypatch.setattr(mapped, "LARGE", 2**40)
    turned = flipped(large)
    digest = write_table(tmp_path / "small", turned, {})
    assert digest == write_table(tmp_path / "plain", turned._replace(lookup=None), {})
    small = fresh(load(tmp_path / "small"))
    np.testing.assert_array_equal(
        small.query(large.architectures, mask=True).filled(-1),
        fresh(synthetic).query(large.architectures, mask=True).filled(-1),
    )


def flipped(table: Table) -> Table:
    """Return the table with its rows in the reverse order."""

    def turned(columns: dict[str, Column]) -> dict[str, Column]:
        return {
            name: column._replace(values=column.values[::-1]) for name, column in columns.items()
        }

    trainings = {
        label: training._replace(columns=turned(training.columns))
        for label, training in table.trainings.items()
    }
    cells = table.architectures[::-1]
    return table._replace(architectures=cells, trainings=trainings, static=turned(table.static))


@pytest.mark.parametrize("fault", ["full", "swapped", "beyond", "short", "kind", "sizes"])
def test_a_lookup_that_leads_astray_is_refused(
    synthetic: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Its hash may agree: whoever made the file had it from somewhere, and a full one would never end."""
    right = lookup_of(synthetic.architectures)
    assert right is not None
    assert finds_all(right, synthetic.architectures)
    full, swapped, beyond = (right.slots.copy() for _ in range(3))
    taken = np.flatnonzero(right.slots >= 0)
    full[full < 0] = 0
    swapped[taken[:2]] = swapped[taken[1::-1]]
    beyond[taken[0]] = len(synthetic.architectures)
    wrong = {
        "full": right._replace(slots=full),
        "swapped": right._replace(slots=swapped),
        "beyond": right._replace(slots=beyond),
        "short": right._replace(slots=right.slots[:-1]),
        "kind": right._replace(numbers=right.numbers.astype(np.float64)),
        "sizes": right._replace(sizes=right.sizes[:-1]),
    }[fault]
    monkeypatch.setattr(tablefile, "lookup_of", lambda cells: wrong)
    write_table(tmp_path, synthetic, {})
    (tmp_path / STAMP).unlink()
    with pytest.raises(TableError, match="lookup"):
        load(tmp_path)


def outcome(bench: Benchmark, cell: tuple[int, ...]) -> str:
    try:
        return f"{bench.seeds(cell)} {bench.query([cell], mask=True)}"
    except MissingValueError as err:
        return type(err).__name__


def test_it_answers_as_a_small_table_does(synthetic: Table, tmp_path: Path) -> None:
    write_table(tmp_path, synthetic, {})
    large, small = load(tmp_path), synthetic
    assert large.lookup is not None
    assert small.lookup is None
    a, b = fresh(large), fresh(small)
    cells = [tuple(cell) for cell in synthetic.architectures.tolist()]
    forms: list[Any] = [
        cells,
        [SPACE.format(cell) for cell in cells],
        [SPACE.index(cell) for cell in cells],
        np.array([SPACE.index(cell) for cell in cells]),
        np.array(cells),
        synthetic.architectures,
        [*cells[:3], SPACE.format(cells[4]), SPACE.index(cells[5])],
    ]
    for form in forms:
        for metric in (None, "train_seconds"):
            mine = a.query(form, metric, mask=True)
            theirs = b.query(form, metric, mask=True)
            np.testing.assert_array_equal(mine.filled(-1), theirs.filled(-1))
    twins = [SPACE.unindex(index) for index in range(0, 15_625, 7)]
    assert [outcome(a, cell) for cell in [*cells, *twins]] == [
        outcome(b, cell) for cell in [*cells, *twins]
    ]
    absent = next(cell for cell in twins if outcome(a, cell) == "MissingValueError")
    with pytest.raises(MissingValueError):
        a.query(np.array([cells[0], absent]))
    assert isinstance(a, TableBenchmark)
    np.testing.assert_array_equal(a.measured(), b.measured())
