"""NAS-Bench-201: official order and label, strings, cells, neighbors, mutation, sampling."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import chi2

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.nasbench201 import EDGES, OPERATIONS

from .nasbench201_cells import CELLS, SIZE, SPACE

cells = st.tuples(*[st.integers(0, 4)] * 6)


def test_surface() -> None:
    assert (SPACE.name, SPACE.size, SPACE.choices) == ("nasbench201", SIZE, (5,) * 6)
    assert OPERATIONS == ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    assert EDGES == ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    assert SPACE.contains(SPACE.example())


# --- the official order -----------------------------------------------------------------------


def published_order() -> list[str]:
    return [SPACE.format(SPACE.unindex(index)) for index in range(SIZE)]


def test_official_order_is_pinned() -> None:
    order = published_order()
    assert order[0] == (
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
        "+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    )
    assert len(set(order)) == SIZE
    digest = hashlib.sha256("\n".join(order).encode()).hexdigest()
    assert digest == "83abc799e45cf34e9d2163654668ab998b9a54d01c39e72ca1f71f2cdf356d84"


def test_official_order_is_the_one_of_the_official_record(nats_file: Callable[[str], Any]) -> None:
    meta = nats_file("meta")
    assert meta["total_archs"] == SIZE
    assert meta["meta_archs"] == published_order()


def test_index_and_unindex_are_inverse() -> None:
    assert [SPACE.index(SPACE.unindex(index)) for index in range(SIZE)] == list(range(SIZE))
    assert sorted(map(SPACE.unindex, range(SIZE))) == CELLS


@pytest.mark.parametrize("index", [-1, SIZE, 10**12, -(10**12)])
def test_unindex_refuses_numbers_outside(index: int) -> None:
    with pytest.raises(InvalidArchitectureError, match=rf"{index}\. Official .* 0 to 15624"):
        SPACE.unindex(index)


# --- strings ----------------------------------------------------------------------------------


def test_parse_and_format_are_inverse() -> None:
    assert [SPACE.parse(SPACE.format(cell)) for cell in CELLS] == CELLS


def test_format_is_the_published_form() -> None:
    text = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    assert SPACE.format((0, 1, 2, 3, 4, 0)) == text
    assert SPACE.parse(text) == (0, 1, 2, 3, 4, 0)


@given(cells, st.text(" \t\n\r", max_size=3), st.text(" \t\n\r", max_size=3))
def test_parse_accepts_whitespace_around(cell: Architecture, before: str, after: str) -> None:
    assert SPACE.parse(before + SPACE.format(cell) + after) == cell


GOOD = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a NAS-Bench-201 architecture string.*each op one of none, skip_connect"),
        ("   ", "not a NAS-Bench-201 architecture string"),
        ("none", "not a NAS-Bench-201 architecture string"),
        ("|none~0|", "not a NAS-Bench-201 architecture string"),
        ("|none~0|+|none~0|none~1|", "not a NAS-Bench-201 architecture string"),
        (GOOD + "+|none~0|none~1|none~2|none~3|", "not a NAS-Bench-201 architecture string"),
        (GOOD.replace("+", ""), "not a NAS-Bench-201 architecture string"),
        (GOOD.replace("+", " "), "not a NAS-Bench-201 architecture string"),
        (GOOD.replace("|none~2|", "|"), "not a NAS-Bench-201 architecture string"),
        (GOOD.replace("none~2", "none"), "not a NAS-Bench-201 architecture string"),
        (GOOD.replace("none~2", "none~~2"), "not a NAS-Bench-201 architecture string"),
        (GOOD[1:], "must start and end with '|'"),
        (GOOD[:-1], "must start and end with '|'"),
        (GOOD.replace("|none~0|+", "none~0+", 1), "must start and end with '|'"),
        (GOOD.replace("none~2", "conv_3x3~2"), "'conv_3x3'.*Did you mean nor_conv_3x3"),
        (GOOD.replace("none~2", "nor_conv_7x7~2"), "'nor_conv_7x7'.*Did you mean nor_conv"),
        (GOOD.replace("none~2", "skip_conect~2"), "'skip_conect'.*Did you mean skip_connect"),
        (GOOD.replace("none~2", "NONE~2"), "'NONE'.*Known: avg_pool_3x3, none"),
        (GOOD.replace("none~2", "~2"), "Unknown operation ''"),
        (GOOD.replace("none~2", " none~2"), "Unknown operation ' none'"),
        (GOOD.replace("none~2", "3~2"), "Unknown operation '3'"),
        (GOOD.replace("|none~2|", "||none~2|"), "Unknown operation ''"),
        (GOOD.replace("none~2", "none~1"), "'none~1' must come from node 2, not from '1'"),
        (GOOD.replace("none~2", "none~"), "must come from node 2, not from ''"),
        (GOOD.replace("none~2", "none~02"), "must come from node 2, not from '02'"),
        (GOOD.replace("none~2", "none~two"), "must come from node 2, not from 'two'"),
        (GOOD.replace("none~1|none~2", "none~2|none~1"), "must come from node 1, not from '2'"),
        (GOOD.replace("none~1|none~2", "none~1~2"), "must come from node 1, not from '1~2'"),
        (GOOD.replace("none~1|none~2", "none~1 |none~2"), "must come from node 1, not from '1 '"),
    ],
)
def test_parse_refuses_malformed_strings(text: str, words: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=words.replace("|", r"\|")) as refused:
        SPACE.parse(text)
    assert repr(text.strip()) in str(refused.value) or repr(text) in str(refused.value)


@given(cells, st.data())
def test_parse_never_guesses_at_a_damaged_string(cell: Architecture, data: st.DataObject) -> None:
    """One character dropped or replaced is an error or another cell's exact string."""
    text = SPACE.format(cell)
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.sampled_from(["", "|", "+", "~", "0", "1", "x"]))
    damaged += text[at + 1 :]
    try:
        parsed = SPACE.parse(damaged)
    except InvalidArchitectureError:
        return
    assert SPACE.format(parsed) == damaged


# --- cells ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        3.0,
        object(),
        "",
        "012340",
        GOOD,
        (),
        (0,) * 5,
        (0,) * 7,
        (0, 1, 2, 3, 4, 5),
        (0, 1, 2, 3, 4, -1),
        (0, 1, 2, 3, 4, 10**30),
        (0, 1, 2, 3, 4, 0.5),
        (0, 1, 2, 3, 4, math.nan),
        (0, 1, 2, 3, 4, math.inf),
        (0, 1, 2, 3, 4, None),
        (0, 1, 2, 3, 4, "0"),
        (0, 1, 2, 3, 4, (0,)),
        tuple("012340"),
        np.zeros((2, 6), int),
        np.full(6, 0.5),
        np.array(3),
    ],
)
def test_check_refuses_what_is_no_cell(value: object) -> None:
    with pytest.raises(
        InvalidArchitectureError, match=r"is not a cell of nasbench201\. Expected 6 integers, each"
    ):
        SPACE.check(value)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint64])
def test_check_returns_python_ints(dtype: type[np.integer[Any]]) -> None:
    for value in (
        np.arange(6, dtype=dtype) % 5,
        tuple(np.arange(6, dtype=dtype) % dtype(5)),
        [0, 1, 2, 3, 4, 0],
    ):
        cell = SPACE.check(value)
        assert cell == (0, 1, 2, 3, 4, 0)
        assert type(cell) is tuple
        assert {type(op) for op in cell} == {int}


@given(st.lists(st.integers(-2, 7), min_size=4, max_size=8).map(tuple))
def test_contains_is_membership(cell: Architecture) -> None:
    assert SPACE.contains(cell) == (cell in set(CELLS))


# --- neighbors, mutation, sampling ------------------------------------------------------------


@given(cells)
def test_neighbors_differ_in_one_edge_and_are_mutual(cell: Architecture) -> None:
    near = SPACE.neighbors(cell)
    assert len(near) == len(set(near)) == 24
    for other in near:
        assert SPACE.contains(other)
        assert sum(a != b for a, b in zip(cell, other, strict=True)) == 1
        assert cell in SPACE.neighbors(other)


@given(cells)
def test_mutation_reaches_each_neighbor_equally_often(cell: Architecture) -> None:
    draws = (np.arange(24 * 50) + 0.5) / (24 * 50)
    reached = [SPACE.mutate(cell, draw) for draw in draws.tolist()]
    counts = {other: reached.count(other) for other in set(reached)}
    assert counts == dict.fromkeys(SPACE.neighbors(cell), 50)


@given(cells, st.floats(0, 1, exclude_max=True))
@example((4,) * 6, 0.0)
@example((4,) * 6, math.nextafter(1.0, 0.0))
@example((0,) * 6, math.nextafter(1.0, 0.0))
def test_mutation_is_a_neighbor_for_every_draw(cell: Architecture, draw: float) -> None:
    assert SPACE.mutate(cell, draw) in SPACE.neighbors(cell)


def test_sample_is_uniform() -> None:
    n = 10 * SIZE
    drawn = SPACE.sample(np.random.default_rng(7), n)
    assert len(drawn) == n
    assert {type(op) for op in drawn[0]} == {int}
    number = {cell: row for row, cell in enumerate(CELLS)}
    counts = np.bincount([number[cell] for cell in drawn], minlength=SIZE)
    statistic = float(((counts - 10.0) ** 2 / 10.0).sum())
    assert chi2.ppf(1e-9, SIZE - 1) < statistic < chi2.isf(1e-9, SIZE - 1)


def test_sample_depends_on_the_generator_alone() -> None:
    one = SPACE.sample(np.random.default_rng(3), 100)
    assert one == SPACE.sample(np.random.default_rng(3), 100)
    assert one != SPACE.sample(np.random.default_rng(4), 100)
    assert SPACE.sample(np.random.default_rng(3), 0) == []


# --- the published label ----------------------------------------------------------------------


def test_unique_string_has_the_published_number_of_labels() -> None:
    labels = [SPACE.unique_string(SPACE.unindex(index)) for index in range(SIZE)]
    assert len(set(labels)) == 6_466
    assert labels[0] == "(0)@avg_pool_3x3+(0)@avg_pool_3x3+(0)@nor_conv_1x1+(0)@nor_conv_1x1"
    assert SPACE.unique_string((0,) * 6) == "#+#+#"


def test_unique_string_equals_the_published_column(shared_data: Path) -> None:
    with (shared_data / "nasbench201" / "nats_bench.mean200.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["ArchitectureString"] for row in rows] == published_order()
    assert [row["UniqueString"] for row in rows] == [
        SPACE.unique_string(SPACE.unindex(index)) for index in range(SIZE)
    ]
