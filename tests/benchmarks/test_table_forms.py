"""Queries of a table: all ways of naming an architecture."""

from __future__ import annotations

import math
import re
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.tablefile import Table
from nasbench_tab.errors import InvalidArchitectureError, MissingValueError

from .tables import SEEDS, SIZE, SPACE, fresh, nb201, present, stored, values

INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i2", ">u4", ">i8"]


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
