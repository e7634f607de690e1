"""NAS-Bench-101's importer against files of an independent writer, and against every planted fault."""

from __future__ import annotations

import base64
import json
import struct
import tarfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from importers.fuzzing import refused
from importers.nasbench101_file import (
    BUDGETS,
    Training,
    cells,
    content,
    delimited,
    double,
    frame,
    message,
    module_hash,
    payload,
    trainings,
    varint,
    write,
)
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import Table, read_manifest, read_table
from nasbench_tab.errors import FormatError, TableError
from nasbench_tab.importers import tfrecord
from nasbench_tab.importers.formats import FORMATS, import_official
from nasbench_tab.importers.nasbench101 import import_nasbench101
from nasbench_tab.spaces.convert.nasbench101 import from_matrix
from nasbench_tab.spaces.nasbench101 import N_NETWORKS, NasBench101
from nasbench_tab.testing import check_benchmark

SPACE = NasBench101()
METRICS = ("train_seconds", "train_accuracy", "valid_accuracy", "test_accuracy")

#: A few networks of 2 to 4 vertices, and their trainings.
SMALL = [*islice(cells(), 3), *islice(cells(), 40, 43)]
RECORDS = list(trainings(SMALL))
FEW = list(trainings(SMALL[3:5], budgets=(108,), repeats=1))


def made(folder: Path, data: bytes) -> Table:
    file = folder / "nasbench_full.tfrecord"
    file.write_bytes(data)
    (table,) = import_nasbench101(file, folder / "out", partial=True)
    return read_table(table, read_manifest(table))


def expected(
    records: list[Training], cell: Any, epochs: int, evaluation: int
) -> np.ndarray[Any, Any]:
    """Return ``(repeats, 4)`` figures of a cell's trainings, in the order of the file."""
    own = [r for r in records if (r.matrix, r.ops, r.epochs) == (*cell, epochs)]
    return np.array([r.evaluations[evaluation][1:] for r in own])


# --- Good files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_file_becomes_the_table_it_says(tmp_path: Path, shuffled: bool) -> None:
    records = list(RECORDS)
    if shuffled:
        np.random.default_rng(0).shuffle(records)
    table = made(tmp_path, content(records))
    assert (table.name, table.space, table.default_training) == (
        "nasbench101",
        "nasbench101",
        "full",
    )
    order = list(dict.fromkeys((r.matrix, r.ops) for r in map(hashable, records)))
    rows = [from_matrix(matrix, ops) for matrix, ops in order]
    assert [tuple(row) for row in table.architectures.tolist()] == rows
    for moment, evaluation, epochs in (("full", 2, BUDGETS), ("halfway", 1, (2, 6, 18, 54))):
        training = table.trainings[moment]
        assert training.epochs == epochs
        assert training.seeds == (-1, -2, -3)
        assert training.epochs_kind == "separate trainings"
        assert training.seconds_kind == "measured"
        for row, (matrix, ops) in enumerate(order):
            for place, budget in enumerate(BUDGETS):
                figures = expected(
                    [hashable(r) for r in records], (matrix, ops), budget, evaluation
                )
                for column, name in enumerate(METRICS):
                    values = training.columns[name].values
                    assert values.dtype == np.float32
                    assert values[row, :, place].tolist() == figures[:, column].tolist()
    counts = {(r.matrix, r.ops): r.parameters for r in map(hashable, records)}
    found = table.static["parameters"].values * 1e6
    assert found.round().astype(int).tolist() == [counts[cell] for cell in order]


def hashable(record: Training) -> Training:
    return record._replace(matrix=tuple(map(tuple, record.matrix)))


def test_splits_and_words(tmp_path: Path) -> None:
    table = made(tmp_path, content(RECORDS))
    splits = {"train_seconds": "none", **{f"{s}_accuracy": s for s in ("train", "valid", "test")}}
    for training in table.trainings.values():
        assert {n: c.metric.split for n, c in training.columns.items()} == splits
        assert training.objective == "valid_accuracy"
        assert training.columns["test_accuracy"].metric.unit == "fraction"
    manifest = read_manifest(tmp_path / "out" / "nasbench101")
    assert "none of the published files" in manifest["origin"]
    assert f"6 of the {N_NETWORKS:,} networks" in manifest["protocol"]


def test_the_table_is_a_benchmark_and_knows_every_relabelling(tmp_path: Path) -> None:
    cells_of_six = list(islice((c for c in cells() if len(c[1]) == 6), 0, 400, 40))
    table = made(tmp_path, content(trainings(cells_of_six)))
    bench = TableBenchmark(table, SPACE, "sha256:0")
    check_benchmark(bench)
    matrix, ops = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]], ["maxpool3x3"]
    both = [["conv1x1-bn-relu", *ops], [*ops, "conv1x1-bn-relu"]]
    twins = [from_matrix(matrix, ["input", *inner, "output"]) for inner in both]
    own = SPACE.canonical(twins[0])
    matrix = [list(map(int, row)) for row in matrix]
    listed = next(inner for inner, cell in zip(both, twins, strict=True) if cell == own)
    table = made(tmp_path, content(trainings([(matrix, ("input", *listed, "output"))])))
    bench = TableBenchmark(table, SPACE, "sha256:0")
    assert twins[0] != twins[1]
    assert bench.query(twins[0]) == bench.query(twins[1])
    assert bench.query(twins[0], epoch=4) != bench.query(twins[0])


def test_a_file_of_long_trainings_only(tmp_path: Path) -> None:
    records = list(trainings(SMALL, budgets=(108,)))
    table = made(tmp_path, content(records))
    assert table.name == "nasbench101-only108"
    assert table.trainings["full"].epochs == (108,)
    assert table.trainings["halfway"].epochs == (54,)
    values = table.trainings["full"].columns["valid_accuracy"].values
    assert values.ravel().tolist() == [record.evaluations[2][3] for record in records]


def test_figures_that_do_not_fit_into_float32_stay_exact(tmp_path: Path) -> None:
    last = RECORDS[-1]
    rows = (*last.evaluations[:2], (*last.evaluations[2][:4], 1 / 3))
    table = made(tmp_path, content([*RECORDS[:-1], last._replace(evaluations=rows)]))
    column = table.trainings["full"].columns["test_accuracy"].values
    assert column.dtype == np.float64
    assert column[-1, 2, 3] == 1 / 3
    assert column[0, 0, 0] == RECORDS[0].evaluations[2][4]
    assert table.trainings["full"].columns["valid_accuracy"].values.dtype == np.float32


def unusual(training: Training) -> bytes:
    """Return a message with fields in another order, unknown ones, a path, and a long number."""
    parts = [double(3, training.seconds), b"\x10" + varint(5)]
    for values in training.evaluations:
        fields = [double(i, value) for i, value in enumerate(values, start=1)]
        parts.append(delimited(1, b"".join(fields[::-1]) + delimited(6, b"model.ckpt")))
    number = varint(training.parameters)
    longer = number[:-1] + bytes([number[-1] | 128, 128, 0])
    return b"".join(parts) + varint(9 * 8 + 5) + bytes(4) + b"\x10" + longer


def test_messages_of_any_layout_are_read(tmp_path: Path) -> None:
    usual = made(tmp_path, content(RECORDS))
    mixed = b"".join(
        frame(payload(r, metrics=unusual(r) if i % 3 else message(r)))
        for i, r in enumerate(RECORDS)
    )
    other = made(tmp_path, mixed)
    for moment, training in usual.trainings.items():
        for name, column in training.columns.items():
            assert np.array_equal(column.values, other.trainings[moment].columns[name].values)
    assert np.array_equal(usual.static["parameters"].values, other.static["parameters"].values)


def test_broken_lines_and_an_empty_first_evaluation_are_read(tmp_path: Path) -> None:
    usual = made(tmp_path, content(RECORDS))
    data = b""
    for record in RECORDS:
        fields = json.loads(payload(record, metrics=delimited(1, b"") + message(record)[47:]))
        fields[4] = base64.encodebytes(base64.b64decode(fields[4])).decode()
        assert fields[4].count("\n") == 2
        data += raw(fields)
    other = made(tmp_path, data)
    for name, column in usual.trainings["full"].columns.items():
        assert np.array_equal(column.values, other.trainings["full"].columns[name].values)


def test_progress_counts_bytes_and_blocks_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(tmp_path, content(RECORDS))
    monkeypatch.setattr(tfrecord, "_READ", 1000)
    seen: list[tuple[int, int]] = []
    file = tmp_path / "nasbench_full.tfrecord"
    (folder,) = import_official(
        "nasbench101", file, tmp_path / "more", partial=True, progress=lambda *of: seen.append(of)
    )
    size = file.stat().st_size
    assert [done for done, _ in seen] == [*range(1000, size, 1000), size]
    assert {total for _, total in seen} == {size}
    parts = read_table(folder, read_manifest(folder))
    for name, column in whole.trainings["full"].columns.items():
        assert np.array_equal(column.values, parts.trainings["full"].columns[name].values)
    assert "nasbench101" in FORMATS


# --- Bad files ----------------------------------------------------------------------------------------


def changed(place: int, evaluation: int, value: float) -> Training:
    """Return the second record with one figure of one evaluation replaced."""
    record = RECORDS[1]
    rows = [list(row) for row in record.evaluations]
    rows[evaluation][place] = value
    return record._replace(evaluations=tuple(map(tuple, rows)))


def raw(fields: Any) -> bytes:
    return frame(json.dumps(fields).encode())


FIRST = RECORDS[0]
FIELDS = json.loads(payload(RECORDS[1]))
FIVE = (*FIRST.ops[:-1], "conv5x5-bn-relu", "output")
LONGER = [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
FULL = [[int(i < j) for j in range(6)] for i in range(6)]
SIX = ("input", *["maxpool3x3"] * 4, "output")


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (frame(b""), "no list of that kind"),
        (frame(b"\xff"), "no list of that kind"),
        (frame(b"["), "no list of that kind"),
        (frame(b"[" * 9000), "no list of that kind"),
        (frame(payload(RECORDS[1]) + b" "), "something stands behind the list"),
        (raw([]), "no list of that kind"),
        (raw(5), "no list of that kind"),
        (raw([*FIELDS, 1]), "no list of that kind"),
        (raw([[], *FIELDS[1:]]), "no list of that kind"),
        (raw([FIELDS[0], 7, *FIELDS[2:]]), "record 1, .*: 7 epochs"),
        (raw([FIELDS[0], "108", *FIELDS[2:]]), "record 1, .*: '108' epochs"),
        (raw([FIELDS[0], [4], *FIELDS[2:]]), "no list of that kind"),
        (raw([*FIELDS[:4], 5]), "no list of that kind"),
        (raw([*FIELDS[:4], FIELDS[4] + "!"]), "no list of that kind"),
        (raw([*FIELDS[:4], FIELDS[4][:-1]]), "no list of that kind"),
        (raw([*FIELDS[:4], "é"]), "no list of that kind"),
        (raw([*FIELDS[:2], 5, *FIELDS[3:]]), "another matrix or operations"),
        (raw([*FIELDS[:3], "input,output,output", FIELDS[4]]), "another matrix or operations"),
        (frame(payload(RECORDS[1], digest="0" * 32)), "but 0{32} stands beside it"),
        (frame(payload(FIRST._replace(matrix=LONGER, ops=FIVE), digest="a")), "'conv5x5-bn-relu'"),
        (frame(payload(FIRST._replace(matrix=FULL, ops=SIX))), "6 vertices and 15 edges"),
        (
            frame(payload(FIRST._replace(matrix=[[0, 0], [0, 0]]), digest="b")),
            "no way leads from input to output",
        ),
        (frame(payload(RECORDS[1], metrics=b"")), "three evaluations .* 0 and none found"),
        (frame(payload(RECORDS[1], metrics=message(FIRST)[:-20])), "cannot be read"),
        (frame(payload(RECORDS[1], metrics=message(FIRST) * 2)), "6 and"),
        (
            frame(payload(RECORDS[1], metrics=message(FIRST)[:94] + delimited(1, double(1, 4.0)))),
            r"an evaluation has the fields \[1\]",
        ),
        (frame(payload(RECORDS[1], metrics=message(FIRST)[47:])), "2 and"),
        (frame(payload(FIRST._replace(parameters=5))), "other trainable parameters before"),
        (frame(payload(FIRST._replace(parameters=0))), "no positive 32-bit number|and 0 found"),
        (
            frame(payload(FIRST._replace(parameters=2**31))),
            "no positive 32-bit number|and 2147483648",
        ),
        (frame(payload(changed(3, 2, 1.5))), "no fraction from 0 to 1"),
        (frame(payload(changed(4, 1, -0.1))), "no fraction from 0 to 1"),
        (frame(payload(changed(2, 2, float("nan")))), "no fraction from 0 to 1"),
        (frame(payload(changed(1, 2, float("inf")))), "negative or no number"),
        (frame(payload(changed(1, 1, -1.0))), "negative or no number"),
        (frame(payload(changed(0, 1, 1.0))), "half and all of the epochs"),
        (frame(payload(changed(0, 2, 108.0))), "half and all of the epochs"),
        (frame(payload(changed(0, 2, float("nan")))), "half and all of the epochs"),
    ],
)
def test_a_wrong_record_is_named(tmp_path: Path, record: bytes, problem: str) -> None:
    first = frame(payload(FIRST))
    with pytest.raises(FormatError, match=problem) as caught:
        made(tmp_path, first + record + content(RECORDS[2:]))
    assert f"nasbench_full.tfrecord: record 1, which begins at byte {len(first)}" in str(
        caught.value
    )
    assert not (tmp_path / "out").exists()


def test_signalling_numbers_are_refused_without_a_warning(tmp_path: Path) -> None:
    signalling = struct.pack("<Q", 0x7FF0000000000001)
    good = message(RECORDS[1])
    for place in (47 + 3, 47 + 12, 94 + 21):
        bad = good[:place] + signalling + good[place + 8 :]
        with pytest.raises(FormatError, match="record 1"):
            made(tmp_path, frame(payload(FIRST)) + frame(payload(RECORDS[1], metrics=bad)))


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ([], "trainings of no epochs found"),
        (list(trainings(SMALL, budgets=(4, 12))), "trainings of 4, 12 epochs found"),
        (list(trainings(SMALL, budgets=(4, 12, 36))), "trainings of 4, 12, 36 epochs found"),
        (RECORDS[:-1], "2 trainings of 108 epochs of the network [0-9a-f]{32} found, 3 of others"),
        (RECORDS[:-12] + RECORDS[-3:], "0 trainings of 4 epochs"),
        ([*RECORDS, RECORDS[-1]], "a fourth training of 108 epochs of the network [0-9a-f]{32}"),
    ],
)
def test_an_incomplete_file_is_refused(
    tmp_path: Path, records: list[Training], problem: str
) -> None:
    with pytest.raises(FormatError, match=problem):
        made(tmp_path, content(records))
    assert not (tmp_path / "out").exists()


def test_a_part_of_the_networks_must_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "part.tfrecord"
    write(file, RECORDS)
    with pytest.raises(FormatError, match=r"6 networks found, 423,624 expected.*--partial"):
        import_nasbench101(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert import_nasbench101(file, tmp_path / "out", partial=True)


def test_swapped_splits_that_are_equal_are_refused(tmp_path: Path) -> None:
    same = [
        r._replace(evaluations=tuple((*row[:4], row[3]) for row in r.evaluations)) for r in RECORDS
    ]
    with pytest.raises(TableError, match="hold the same numbers"):
        made(tmp_path, content(same))
    assert not list(tmp_path.glob("out/**/*.h5"))


def test_a_cut_anywhere_is_refused(tmp_path: Path) -> None:
    """But behind the last record of a network: what is there is complete, and counted in the manifest."""
    data = content(FEW)
    ends = [len(content(FEW[:n])) for n in range(1, len(FEW) + 1)]
    for size in range(len(data) + 1):
        if size in ends:
            table = made(tmp_path, data[:size])
            assert len(table.architectures) == ends.index(size) + 1
            continue
        with pytest.raises(FormatError, match="nasbench_full"):
            made(tmp_path, data[:size])


@pytest.mark.parametrize("kind", ["absent", "folder"])
def test_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "nothing" if kind == "absent" else tmp_path
    with pytest.raises(FormatError, match=r"cannot be read .*Expected the file nasbench_full"):
        import_nasbench101(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def reader(folder: Path) -> Callable[[bytes], object]:
    return lambda data: made(folder, data)


def test_mutants_are_refused_in_little_memory(tmp_path: Path) -> None:
    assert refused(reader(tmp_path), content(RECORDS), n=200, seed=0, limit=2**24) > 180


def test_mutants_with_right_checksums_are_refused_or_read(tmp_path: Path) -> None:
    """Damage inside the records, which no checksum tells."""
    assert refused(reframed(tmp_path), inside(), n=200, seed=1, limit=2**24) > 100


@pytest.mark.slow
def test_ten_thousand_mutants(tmp_path: Path) -> None:
    assert refused(reader(tmp_path), content(RECORDS), n=10_000, seed=2, limit=2**24) > 9_000
    assert refused(reframed(tmp_path), inside(), n=10_000, seed=3, limit=2**24) > 5_000


def inside() -> bytes:
    return b"\n".join(payload(record) for record in FEW)


def reframed(folder: Path) -> Callable[[bytes], object]:
    return lambda data: made(folder, b"".join(frame(part) for part in data.split(b"\n")))


# --- Published figures --------------------------------------------------------------------------------


def clue(shared: Path) -> Iterator[dict[str, Any]]:
    with tarfile.open(shared / "nasbench101" / "clue_nas.nasbench101_cifar10.tar.gz") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                yield json.load(file)


def test_published_figures_in_the_published_layout(tmp_path: Path, shared_data: Path) -> None:
    """100 cells of which the means over three trainings are at hand; half-way figures are made up."""
    published = list(clue(shared_data))
    records = []
    for one in published:
        for epochs in BUDGETS:
            keys = ("train_time", "train_accuracy", "val_accuracy", "test_accuracy")
            last = (float(epochs), *(one[f"{key}_{epochs}"] for key in keys))
            half = (epochs / 2, last[1] / 2, 0.1, 0.2, 0.3)
            rows = ((0.0, 0.0, 0.1, 0.1, 0.1), half, last)
            ops = tuple(one["operations"])
            records.append(Training(one["adj_matrix"], ops, epochs, rows, one["params"], last[1]))
    file = tmp_path / "clue.tfrecord"
    assert write(file, records) == 400
    (folder,) = import_nasbench101(file, tmp_path, partial=True)
    bench = TableBenchmark(read_table(folder, read_manifest(folder)), SPACE, "sha256:0")
    for one in published:
        cell = from_matrix(one["adj_matrix"], one["operations"])
        assert SPACE.published_hash(cell) == module_hash(one["adj_matrix"], one["operations"])
        assert bench.query(cell, "parameters") * 1e6 == pytest.approx(one["params"])
        for epochs in BUDGETS:
            assert bench.query(cell, epoch=epochs) == one[f"val_accuracy_{epochs}"]
            images = [3 * 9984 * one[f"{s}_accuracy_{epochs}"] for s in ("train", "val", "test")]
            assert images == pytest.approx(np.round(images), abs=2e-3)
            assert bench.lookup(cell, epoch=epochs).seconds == one[f"train_time_{epochs}"]
    assert bench.query(bench.measured(), "test_accuracy").max() == pytest.approx(0.9349, abs=5e-5)


def test_retrained_cells_keep_their_hash_and_fit_into_float32(
    tmp_path: Path, shared_data: Path
) -> None:
    """EC-NAS-Bench's 4-epoch trainings as records: all are taken, and refused only for what is not there."""
    graphs = json.loads((shared_data / "ec-nas-bench" / "generated_graphs_5V9E.json").read_text())
    names = {-1: "input", -2: "output", 0: "conv3x3-bn-relu", 1: "conv1x1-bn-relu", 2: "maxpool3x3"}
    keys = ("epochs", "training_time", "train_accuracy", "validation_accuracy", "test_accuracy")
    records = b""
    with tarfile.open(shared_data / "ec-nas-bench" / "ecnas_5V9E_4epochs.tar.gz") as tar:
        for member in islice((m for m in tar if m.isfile()), 300):
            found = json.load(tar.extractfile(member))  # type: ignore[arg-type]
            matrix, labels = graphs[found["model_hash"]]
            rows = tuple(tuple(e[key] for key in keys) for e in found["evaluation_results"])
            one = Training(
                matrix, tuple(names[n] for n in labels), 4, rows, found["trainable_params"], 1.0
            )
            assert np.array_equal(np.array(rows, np.float32), np.array(rows))
            records += frame(payload(one, digest=found["model_hash"]))
    with pytest.raises(FormatError, match="trainings of 4 epochs found; expected such of 108 only"):
        made(tmp_path, records)


def test_the_writer_is_the_published_layout() -> None:
    """Three messages of 47 bytes, a number and a double: 208 characters in base64."""
    fields = json.loads(payload(FIRST))
    assert len(fields) == 5
    assert len(fields[4]) == 208
    assert len(base64.b64decode(fields[4])) in (154, 155)
    assert fields[:4] == [module_hash(FIRST.matrix, FIRST.ops), 4, "0100", "input,output"]
