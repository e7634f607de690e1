"""CSV files with columns of their own: the named columns and nothing else, errors by file and line."""

from __future__ import annotations

import csv
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArgumentError, SurrogateError, UnknownNameError
from nasbench_tab.fitting.csvcolumns import ColumnNames, read_columns
from nasbench_tab.fitting.observed import Observed
from nasbench_tab.records import Metric
from nasbench_tab.spaces.columns import Columns
from nasbench_tab.spaces.nasbench201 import NasBench201

SPACE = NasBench201()
MINE = ColumnNames("acc", columns=("depth", "width"))
HEAD = ("depth", "width", "acc")


def some_rows(n: int = 12) -> list[list[Any]]:
    """Rows of depth, width and accuracy."""
    return [[i % 3 + 1, 16 * (i // 3 + 1), 50 + i / 4] for i in range(n)]


def table(path: Path, head: Any, rows: Any, delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([head, *rows])
    return path


def seen(folder: Path, rows: Any, head: Any = HEAD, names: ColumnNames = MINE, **options: Any) -> Observed:  # fmt: skip
    return read_columns(table(folder / "mine.csv", head, rows), names, **options)


def test_columns_are_a_space(tmp_path: Path) -> None:
    found = seen(tmp_path, some_rows())
    runs = found.runs
    assert isinstance(runs.space, Columns)
    assert runs.space.columns == {"depth": (1, 2, 3), "width": (16, 32, 48, 64)}
    assert (runs.space.name, runs.space.size) == ("columns of mine", 12)
    assert (runs.epochs, runs.objective) == ((1,), "valid_accuracy")
    assert runs.metrics == {
        "valid_accuracy": Metric("valid_accuracy", "valid", "max", "%", 0.0, 100.0)
    }
    got = {
        runs.space.format(tuple(cell)): value
        for cell, value in zip(
            runs.cells.tolist(), runs.curves["valid_accuracy"][:, 0].tolist(), strict=True
        )
    }
    assert got == {f"depth={d},width={w}": value for d, w, value in some_rows()}
    assert (runs.seeds.tolist(), runs.origins) == ([0] * 12, ("",) * 12)
    assert np.isnan(runs.seconds).all()
    assert (found.dataset, found.licence, found.torn) == ("mine", "", 0)
    assert found.left_out == {"unfinished": 0}


def test_architectures_of_a_registered_space_with_all_columns(tmp_path: Path) -> None:
    names = ColumnNames(
        *("val", "arch"),
        test="tst",
        seed="s",
        epoch="e",
        seconds="time",
        origin="why",
        dataset="ours",
    )
    head = ["why", "s", "e", "ignored", "arch", "val", "tst", "time"]
    rows: list[list[Any]] = [
        ["random" if i % 2 else "bo", seed, epoch, "x", SPACE.format(SPACE.unindex(i)), i + epoch / 8, i + 1, 3.5 * epoch]
        for i in range(12)
        for seed in (0, 5)
        for epoch in (8, 2, 4)
    ]  # fmt: skip
    rows[0][6] = rows[0][7] = ""  # at epoch 8 of index 0, seed 0
    found = seen(tmp_path, rows, head, names, space=SPACE)
    runs = found.runs
    assert (runs.epochs, list(runs.metrics), len(runs.cells)) == (
        *((2, 4, 8), ["valid_accuracy", "test_accuracy"], 24),
    )
    assert runs.metrics["test_accuracy"].split == "test"
    for i, (arch, seed) in enumerate(
        zip(map(tuple, runs.cells.tolist()), runs.seeds.tolist(), strict=True)
    ):
        index = SPACE.index(arch)
        first = index == 0 and seed == 0
        assert runs.curves["valid_accuracy"][i].tolist() == [index + e / 8 for e in (2, 4, 8)]
        np.testing.assert_array_equal(runs.curves["test_accuracy"][i], [index + 1, index + 1, np.nan if first else index + 1])  # fmt: skip
        np.testing.assert_array_equal(runs.seconds[i], [7.0, 14.0, np.nan if first else 28.0])
        assert runs.origins[i] == ("random" if index % 2 else "bo")
    assert (found.dataset, found.protocol["seconds"]) == ("ours", "measured")
    # Official indices say the same.
    for row in rows:
        row[4] = SPACE.index(SPACE.parse(row[4]))
    assert seen(tmp_path, rows, head, names, space=SPACE).hash == found.hash


@settings(max_examples=20)
@given(st.permutations(range(12)), st.permutations(range(3)), st.sampled_from([".csv", ".tsv"]))
def test_order_and_form_of_the_file_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], columns: list[int], suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    first = seen(folder, some_rows())
    picked = [[some_rows()[i][j] for j in columns] for i in rows]
    head = [f" {HEAD[j]} " for j in columns]
    path = table(folder / f"mine{suffix}", head, picked, "\t" if suffix == ".tsv" else ",")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    again = read_columns(path, MINE)
    assert again.hash == first.hash
    assert again.runs.cells.tobytes() == first.runs.cells.tobytes()


def test_a_run_without_the_last_epoch_is_counted(tmp_path: Path) -> None:
    head = (*HEAD, "epoch")
    rows = [[*row, epoch] for row in some_rows() for epoch in (1, 3)]
    del rows[1]
    found = seen(tmp_path, rows, head, MINE._replace(epoch="epoch"))
    assert found.left_out == {"unfinished": 1}
    assert (found.runs.epochs, len(found.runs.cells)) == ((1, 3), 11)


def test_units_and_names_of_the_metric(tmp_path: Path) -> None:
    fractions = [[d, w, value / 100] for d, w, value in some_rows()]
    with pytest.raises(SurrogateError, match="'acc' is never above 1, but its unit is %"):
        seen(tmp_path, fractions)
    found = seen(tmp_path, fractions, names=MINE._replace(unit="fraction")).runs
    assert found.metrics["valid_accuracy"][2:] == ("max", "fraction", 0.0, 1.0)
    assert found.curves["valid_accuracy"].max() == some_rows()[-1][2] / 100  # as it is
    loss = seen(tmp_path, some_rows(), names=MINE._replace(metric="valid_loss")).runs
    assert loss.metrics == {"valid_loss": Metric("valid_loss", "valid", "min", "nats", 0.0)}
    own = seen(tmp_path, some_rows(), names=MINE._replace(metric="valid_bleu", unit="points")).runs
    assert own.metrics["valid_bleu"] == Metric("valid_bleu", "valid", "max", "points")
    same = seen(tmp_path, some_rows(), names=MINE._replace(unit="%")).runs
    assert same.metrics["valid_accuracy"].upper == 100.0


def test_words_and_numbers_as_levels(tmp_path: Path) -> None:
    head = ("a", "b", "c", "acc")
    rows = [[["1", "2.0", "10"][i % 3], ["3", "5", "pool"][i // 3 % 3], ["True", "False"][i // 9], 50 + i] for i in range(18)]  # fmt: skip
    space = seen(tmp_path, rows, head, MINE._replace(columns=("a", "b", "c"))).runs.space
    assert isinstance(space, Columns)
    assert space.columns == {"a": (1, 2, 10), "b": ("3", "5", "pool"), "c": ("False", "True")}


def test_repeats_have_seeds_of_their_own(tmp_path: Path) -> None:
    rows = [*some_rows(), [1, 16, 51.5], [1, 16, 49.5], [3, 64, 50.5]]
    with pytest.raises(
        SurrogateError, match=r"mine\.csv:2 and .*csv:14 are the same training.*or say repeats"
    ):
        seen(tmp_path, rows)
    names = MINE._replace(repeats=True)
    found = seen(tmp_path, rows, names=names)
    assert sorted(found.runs.seeds.tolist()) == [-3, -2, -2, *[-1] * 12]
    assert seen(tmp_path, rows[::-1], names=names).hash == found.hash
    first = found.runs.curves["valid_accuracy"][found.runs.seeds == -1, 0]
    assert len(first) == 12
    with pytest.raises(SurrogateError, match=r"csv:2 and .*csv:17 are equal in every column"):
        seen(tmp_path, [*rows, rows[0]], names=names)
    with pytest.raises(InvalidArgumentError, match="whose seeds are not named"):
        seen(tmp_path, rows, names=names._replace(seed="depth"))


WRONG: list[tuple[dict[tuple[int, int], Any], dict[str, Any], str]] = [
    # (row, cell) -> content; names; words
    ({(3, 2): "nan"}, {}, r"mine\.csv:5, column 'acc': expected a finite number.*Leave out.*got 'nan'"),
    ({(3, 2): "inf"}, {}, r"csv:5, column 'acc': expected a finite number"),
    ({(3, 2): ""}, {}, r"csv:5, column 'acc': expected a finite number.*got ''"),
    ({(3, 2): "high"}, {}, r"csv:5, column 'acc': .*got 'high'"),
    ({(3, 2): "1_0"}, {}, r"csv:5, column 'acc': .*got '1_0'"),
    ({(3, 2): "50,1"}, {}, r"csv:5, column 'acc': .*got '50,1'"),
    ({(3, 2): 101}, {}, r"csv:5, column 'acc': expected 0 to 100 %.*say which is; got '101'"),
    ({(3, 2): -0.5}, {}, r"csv:5, column 'acc': expected 0 to 100 %"),
    ({(0, 0): ""}, {}, r"csv:2, column 'depth': expected a level"),
    ({(0, 0): "nan"}, {}, r"csv:2, column 'depth': expected a level"),
    ({(0, 0): "-inf"}, {}, r"csv:2, column 'depth': expected a level"),
    ({(1, 0): 1}, {}, r"csv:2 and .*csv:3 are the same training: .*name the column of seeds"),
    ({(1, 0): "1.0"}, {}, r"csv:2 and .*csv:3 are the same training"),
    ({(2, 0): 1.5}, {"seed": "depth", "columns": ("width",)}, r"csv:4, column 'depth': expected a whole number"),
    ({(2, 0): "x"}, {"seed": "depth", "columns": ("width",)}, r"csv:4, column 'depth': expected a whole number"),
    ({(2, 0): 1e30}, {"seed": "depth", "columns": ("width",)}, r"csv:4, column 'depth': expected a whole number"),
    ({(2, 0): 0}, {"epoch": "depth", "columns": ("width",)}, r"csv:4, column 'depth': expected an epoch, counted from 1"),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "names", "words"), WRONG)
def test_a_cell_that_cannot_be(
    tmp_path: Path, cells: Any, names: dict[str, Any], words: str
) -> None:
    rows = some_rows()
    for (row, column), content in cells.items():
        rows[row][column] = content
    with pytest.raises(SurrogateError, match=words):
        seen(tmp_path, rows, names=MINE._replace(**names))


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("test", [101.0], "expected 0 to 100 %"),
        ("test", ["nan"], "expected a finite number"),
        ("seconds", ["slow"], "expected a finite number"),
        ("seconds", [-1], "expected the time since the training began, 0 s or more"),
    ],
)
def test_other_columns_are_checked_too(
    tmp_path: Path, column: str, values: Any, words: str
) -> None:
    rows = [[*row, i] for i, row in enumerate(some_rows())]
    rows[4][3] = values[0]
    names: dict[str, Any] = {column: "more"}
    with pytest.raises(SurrogateError, match=rf"csv:6, column 'more': {words}"):
        seen(tmp_path, rows, (*HEAD, "more"), MINE._replace(**names))


def test_times_that_fall(tmp_path: Path) -> None:
    rows = [[*row, e, t] for row in some_rows() for e, t in ((2, 9.0), (1, 5.0))]
    names = MINE._replace(epoch="e", seconds="t")
    assert seen(tmp_path, rows, (*HEAD, "e", "t"), names).runs.seconds[0].tolist() == [5.0, 9.0]
    rows[2][4] = 4.0
    with pytest.raises(SurrogateError, match=r"csv:4, column 't': .* 5 s or more; got '4\.0'"):
        seen(tmp_path, rows, (*HEAD, "e", "t"), names)


NAMES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"value": "acccuracy"}, UnknownNameError, r"Unknown column of .*mine\.csv 'acccuracy'.*Known: acc, depth, width"),
    ({"value": "Acc"}, UnknownNameError, "Did you mean acc"),
    ({"columns": ("depth", "height")}, UnknownNameError, "'height'"),
    ({"seed": "seed"}, UnknownNameError, "'seed'"),
    ({"value": ""}, InvalidArgumentError, "Name the column"),
    ({"columns": ()}, InvalidArgumentError, "either a registered space and"),
    ({"architecture": "depth"}, InvalidArgumentError, "either a registered space and"),
    ({"columns": ("acc", "width")}, InvalidArgumentError, "Column acc cannot hold two things"),
    ({"columns": ("depth", "depth")}, InvalidArgumentError, "Column depth cannot hold two things"),
    ({"metric": "test_accuracy"}, InvalidArgumentError, "must be of the validation split"),
    ({"metric": "accuracy"}, InvalidArgumentError, "must be of the validation split"),
]  # fmt: skip


@pytest.mark.parametrize(("names", "kind", "words"), NAMES)
def test_names_that_cannot_be(
    tmp_path: Path, names: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        seen(tmp_path, some_rows(), names=MINE._replace(**names))


def test_a_space_and_columns_contradict_each_other(tmp_path: Path) -> None:
    for names, space in ((MINE, SPACE), (ColumnNames("acc", "depth"), None)):
        with pytest.raises(InvalidArgumentError, match="either a registered space"):
            seen(tmp_path, some_rows(), names=names, space=space)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("|nor_conv_7x7~0|+|none~0|none~1|+|none~0|none~1|none~2|", "Unknown operation 'nor_conv_7x7'"),
        ("depth=3", "is not a NAS-Bench-201 architecture string.* Is the space 'nasbench201' the right"),
        ("15625", "no NAS-Bench-201 architecture 15625"),
        ("", "is not a NAS-Bench-201 architecture string"),
        ("9" * 5000, r"csv:4, column 'arch'"),
    ],
)  # fmt: skip
def test_architectures_of_another_space(tmp_path: Path, text: str, words: str) -> None:
    rows = [[str(i), 50 + i] for i in range(12)]
    rows[2][0] = text
    with pytest.raises(SurrogateError, match=rf"csv:4, column 'arch': .*{words}|{words}"):
        seen(tmp_path, rows, ("arch", "acc"), ColumnNames("acc", "arch"), space=SPACE)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "Unknown column"),
        (b"depth,width,acc\n", "no row below the header"),
        (b"depth;width;acc\n1;2;3\n", "Unknown column .*Known: depth;width;acc"),
        (b"depth,width,acc\n1,2\n", r"csv:2: 3 cells expected, as in the header; 2 got"),
        (b"depth,width,acc,acc\n1,2,3,4\n", "the header names 'acc' twice"),
        (b'depth,width,acc\n"1,2,3\n', "cannot be read as a CSV file"),
        (b"depth,width,acc\n\xff,2,3\n", "cannot be read as a CSV file in UTF-8"),
        (b'depth,width,acc\n"1"x,2,3\n', "cannot be read as a CSV file"),
        (b"depth,width,acc\n" + b"9" * 200_000 + b",2,3\n", "cannot be read as a CSV file"),
        (b"depth,width,acc\n1,2,3\n4,5,6\n7,8,9\n", "3 finished runs of 3 distinct networks"),
        (b"depth,width,acc\n" + b"".join(b"%d,%d,7\n" % (i % 4, i // 4) for i in range(12)), r"valid_accuracy is 7\.0 at the end"),
        (b"depth,width,acc\n" + b"".join(b"%d.5,1,%d\n" % (i, i % 90 + 5) for i in range(300)), "'depth' has 300 levels; at most 256"),
    ],
)  # fmt: skip
def test_files_that_nothing_can_be_fitted_on(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(data)
    with pytest.raises((SurrogateError, UnknownNameError, InvalidArgumentError), match=words):
        read_columns(path, MINE)
    with pytest.raises(SurrogateError, match=r"nowhere\.csv cannot be read"):
        read_columns(tmp_path / "nowhere.csv", MINE)


@settings(max_examples=150)
@given(st.binary(max_size=60) | st.text("depth,wiac\n0123.\"'x", max_size=80).map(str.encode))
def test_no_file_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("csv") / "mine.csv"
    path.write_bytes(b"depth,width,acc\n" + data)
    with pytest.raises((SurrogateError, InvalidArgumentError)):  # never ten networks
        read_columns(path, MINE)


def test_accel_nasbench_as_a_team_would_export_it(tmp_path: Path, shared_data: Path) -> None:
    with tarfile.open(shared_data / "accel-nasbench" / "anb_dataset_jsons.tar.gz") as archive:
        files = [archive.extractfile(member) for member in archive if member.isfile()][:1500]
        records = [json.load(file) for file in files if file]
    columns = tuple(records[0]["architecture"])
    rows = [
        [*(record["architecture"][column] for column in columns), record["metrics"]["val_top1"], record["metrics"]["train_time"]]
        for record in records
    ]  # fmt: skip
    names = ColumnNames("top1", columns=columns, seconds="time", repeats=True, dataset="imagenet")
    found = seen(tmp_path, rows, (*columns, "top1", "time"), names)
    assert isinstance(found.runs.space, Columns)
    assert found.runs.space.columns["block0_e"] == (1, 4, 6)
    assert found.runs.space.size is None
    assert sorted(found.runs.curves["valid_accuracy"][:, 0]) == sorted(row[-2] for row in rows)
    assert found.runs.seconds.min() > 0
