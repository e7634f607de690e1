"""A space of named columns: positions in sorted levels, written as column=level."""

from __future__ import annotations

import itertools
import math
import tomllib
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArchitectureError, InvalidArgumentError
from nasbench_tab.spaces.columns import MOST_LEVELS, Columns, Level, spec_of
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.testing import check_space
from nasbench_tab.toml import toml_tables

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=",="), min_size=1, max_size=6).map(
    str.strip
).filter(bool)  # fmt: skip
NUMBERS = st.one_of(
    st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=5, unique=True),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5, unique=True),
)
LEVELS: st.SearchStrategy[list[Any]] = NUMBERS | st.lists(
    WORDS, min_size=1, max_size=5, unique=True
)


@st.composite
def spaces(draw: st.DrawFn) -> Columns:
    columns = draw(st.dictionaries(WORDS, LEVELS, min_size=1, max_size=4))
    assume(max(map(len, columns.values())) > 1)
    return Columns("drawn", columns)


@settings(max_examples=40)
@given(spaces())
def test_the_contract_holds_for_any_columns(space: Columns) -> None:
    check_space(space, n=10)


@given(spaces(), st.randoms(use_true_random=False))
def test_what_is_written_reads_back(space: Columns, random: Any) -> None:
    for cell in space.sample(np.random.default_rng(0), 5):
        text = space.format(cell)
        parts = text.split(",")
        random.shuffle(parts)
        assert space.parse(text) == space.parse(" , ".join(parts)) == cell
        assert space.graph(cell).labels[1:-1] == tuple(text.split(","))


@given(spaces())
def test_plain_data_make_the_space_again(space: Columns) -> None:
    again = Columns.from_spec(tomllib.loads(toml_tables({"space": spec_of(space)}))["space"])
    assert (again.name, again.columns, again.choices, again.size) == (
        *(space.name, space.columns, space.choices, space.size),
    )
    for one, other in zip(again.columns.values(), space.columns.values(), strict=True):
        assert list(map(type, one)) == list(map(type, other))


def test_levels_are_sorted_and_numbers_are_numbers() -> None:
    space = Columns("s", {"width": [64, 8, 16], "rate": [0.1, 1e-4, 2], "norm": ["layer", "batch"]})
    assert space.columns == {
        "width": (8, 16, 64),
        "rate": (1e-4, 0.1, 2.0),
        "norm": ("batch", "layer"),
    }
    assert space.format((2, 0, 1)) == "width=64,rate=0.0001,norm=layer"
    assert space.parse("rate=1e-04,width=64.0,norm=layer") == (2, 0, 1)
    figures = space.figures(np.array([[2, 0, 1], [0, 2, 0]], np.uint8))
    assert {name: list(values) for name, values in figures.items()} == {
        "width": [64.0, 8.0],
        "rate": [1e-4, 2.0],
    }
    assert all(values.dtype == np.float64 for values in figures.values())


def test_indices_number_all_cells_in_order() -> None:
    space = Columns("s", {"a": [1, 2], "b": ["x"], "c": [1, 2, 3]})
    cells = list(itertools.product(range(2), range(1), range(3)))
    assert [space.unindex(i) for i in range(6)] == cells
    assert [space.index(cell) for cell in cells] == list(range(6))
    assert space.size == 6
    for index in (-1, 6):
        with pytest.raises(InvalidArchitectureError, match="Numbers are 0 to 5"):
            space.unindex(index)


def test_a_large_space_is_not_listed() -> None:
    levels: list[Level] = list(range(MOST_LEVELS))
    assert Columns("s", {"a": levels, "b": levels, "c": levels[:16]}).size == 2**20
    space = Columns("s", {"a": levels, "b": levels, "c": levels[:17]})
    assert space.size is None
    last = (255, 255, 16)
    assert space.unindex(space.index(last)) == last
    check_space(space, n=3)


def test_every_mutation_is_the_neighbor_in_its_place() -> None:
    space = Columns("s", {"a": [1, 2, 3], "b": ["x"], "c": [1, 2]})
    for cell in itertools.product(range(3), range(1), range(2)):
        near = space.neighbors(cell)
        assert [space.mutate(cell, (i + 0.5) / 3) for i in range(3)] == near
        assert near == Columns.__mro__[1].neighbors(space, cell)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("depth=1", "norm missing"),
        ("depth=1,norm=x,depth=1", "depth stands there twice"),
        ("depth=1,norm=x,width=3", "Unknown column 'width'"),
        ("detph=1,norm=x", "Did you mean depth"),
        ("depth=3,norm=x", "Unknown level of depth '3'.*Known: 1, 2"),
        ("depth=nan,norm=x", "Unknown level of depth 'nan'"),
        ("depth=one,norm=x", "Unknown level of depth 'one'"),
        ("depth=1,norm=y", "Unknown level of norm 'y'. Did you mean yy"),
        ("depth=1,norm", "'norm' is not column=level. Expected depth="),
        ("", "'' is not column=level"),
        ("=1,norm=x", "Unknown column ''"),
    ],
)
def test_what_is_no_architecture(text: str, words: str) -> None:
    space = Columns("s", {"depth": [1, 2], "norm": ["x", "yy"]})
    with pytest.raises(InvalidArchitectureError, match=words):
        space.parse(text)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, "at least two levels in one of them; got none"),
        ({"a": [1], "b": ["x"]}, "at least two levels in one of them; got a, b"),
        ({"a": []}, "must have distinct levels"),
        ({"a": [1, 1.0]}, "must have distinct levels"),
        ({"a": [1, "x"]}, "must have distinct levels"),
        ({"a": [True, False]}, "must have distinct levels"),
        ({"a": [0, math.nan]}, "must have distinct levels"),
        ({"a": [0, math.inf]}, "must have distinct levels"),
        ({"a": ["x", None]}, "must have distinct levels"),
        ({"a": ["x", ""]}, "must have distinct levels"),
        ({"a": ["x", "y,z"]}, "must have distinct levels"),
        ({"a": ["x", "y=z"]}, "must have distinct levels"),
        ({"a": ["x", "y "]}, "must have distinct levels"),
        ({"a,b": [1, 2]}, "must have distinct levels"),
        ({"": [1, 2]}, "must have distinct levels"),
        ({"a": list(range(257))}, "257 levels; at most 256 fit"),
    ],
)
def test_what_are_no_columns(columns: Any, words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        Columns("s", columns)


@pytest.mark.parametrize(
    "spec",
    [
        *(None, "nasbench201", 3, {}, {"name": "s"}, {"name": "s", "columns": []}),
        *({"name": "s", "columns": {"a": 3}}, {"name": 3, "columns": {"a": [1, 2]}}),
        *({"name": "s", "columns": {"a": [2, 1]}}, {"name": "s", "columns": {"a": [1, "x"]}}),
        {"name": "s", "columns": {"a": [1, 2]}, "more": 1},
        {"name": "", "columns": {"a": [1, 2]}},
        {"name": "s", "columns": {"a": [[1], [2]]}},
    ],
)
def test_what_describes_no_space(spec: object) -> None:
    with pytest.raises(InvalidArgumentError):
        Columns.from_spec(spec)


def test_a_registered_space_is_its_name() -> None:
    assert spec_of(NasBench201()) == "nasbench201"
