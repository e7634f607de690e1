"""A space cut down to what was measured, on NAS-Bench-201."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from nasbench_tab.errors import InvalidArchitectureError, InvalidArgumentError
from nasbench_tab.records import Architecture
from nasbench_tab.registry import load_space
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.spaces.nasbench201 import NasBench201

WHOLE = NasBench201()
CELLS = list(product(range(5), repeat=6))
ALONE = (4, 4, 4, 4, 4, 4)
#: Three in ten of the cells, and one that has no neighbor among them.
MEASURED = [
    cell for row, cell in enumerate(CELLS) if row * 7919 % 1000 < 300 and cell.count(4) < 5
] + [ALONE]
SPACE = MaskedSpace(WHOLE, MEASURED)
measured = st.sampled_from(MEASURED)


def test_no_cell_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="No cell of nasbench201 was measured"):
        MaskedSpace(WHOLE, [])


def test_surface() -> None:
    assert (SPACE.name, SPACE.choices, SPACE.size) == ("nasbench201", (5,) * 6, len(MEASURED))
    assert SPACE.example() in MEASURED


def test_cells_given_twice_count_once() -> None:
    twice = MaskedSpace(WHOLE, [ALONE, ALONE, (0,) * 6])
    assert twice.size == 2
    assert twice.sample(np.random.default_rng(0), 3000).count(ALONE) < 1700


def test_contains_measured_cells_and_their_other_forms() -> None:
    space = MaskedSpace(WHOLE, [WHOLE.canonical(cell) for cell in MEASURED])
    assert all(space.contains(cell) for cell in MEASURED)
    forms = {WHOLE.canonical(cell) for cell in MEASURED}
    assert [cell for cell in CELLS if space.contains(cell)] == [
        cell for cell in CELLS if WHOLE.canonical(cell) in forms
    ]


def test_contains_refuses_what_was_not_measured() -> None:
    assert not SPACE.contains((4, 4, 4, 4, 4, 3))
    assert not SPACE.contains((0, 1, 2, 3, 4))
    assert not SPACE.contains((0, 1, 2, 3, 4, 5))


def test_check_accepts_measured_cells_only() -> None:
    assert SPACE.check(np.array(ALONE, np.uint8)) == ALONE
    with pytest.raises(InvalidArchitectureError, match=r"\(4, 4, 4, 4, 4, 3\) is not a cell"):
        SPACE.check((4, 4, 4, 4, 4, 3))


def test_check_speaks_of_the_rule_of_the_whole_space() -> None:
    whole = load_space("nasbench-graph")
    space = MaskedSpace(whole, [whole.example()])
    assert whole.rule
    assert space.rule == whole.rule


def test_sample_is_uniform_over_measured_cells() -> None:
    each = 50
    drawn = SPACE.sample(np.random.default_rng(5), each * len(MEASURED))
    row = {cell: number for number, cell in enumerate(MEASURED)}
    counts = np.bincount([row[cell] for cell in drawn], minlength=len(MEASURED))
    statistic = float(((counts - each) ** 2 / each).sum())
    degrees = len(MEASURED) - 1
    assert chi2.ppf(1e-9, degrees) < statistic < chi2.isf(1e-9, degrees)
    assert SPACE.sample(np.random.default_rng(5), 0) == []


def test_sample_does_not_depend_on_what_the_mask_leaves_out() -> None:
    """The same cells in the same order give the same draws."""
    again = MaskedSpace(WHOLE, tuple(MEASURED))
    assert again.sample(np.random.default_rng(5), 50) == SPACE.sample(np.random.default_rng(5), 50)


@given(measured)
def test_neighbors_are_the_measured_ones_in_the_same_order(cell: Architecture) -> None:
    known = set(MEASURED)
    near = SPACE.neighbors(cell)
    assert near == [other for other in WHOLE.neighbors(cell) if other in known]


def test_some_cells_have_many_measured_neighbors() -> None:
    """Or the tests around this one would check little."""
    assert max(len(SPACE.neighbors(cell)) for cell in MEASURED) > 12


@given(measured.filter(lambda cell: bool(SPACE.neighbors(cell))))
def test_mutation_reaches_each_measured_neighbor_equally_often(cell: Architecture) -> None:
    near = SPACE.neighbors(cell)
    draws = (np.arange(20 * len(near)) + 0.5) / (20 * len(near))
    reached = [SPACE.mutate(cell, draw) for draw in draws.tolist()]
    assert {other: reached.count(other) for other in set(reached)} == dict.fromkeys(near, 20)
    assert SPACE.mutate(cell, 0.0) == near[0]
    assert SPACE.mutate(cell, math.nextafter(1.0, 0.0)) == near[-1]


def test_a_cell_without_measured_neighbor_stays_where_it_is() -> None:
    assert SPACE.neighbors(ALONE) == []
    assert [SPACE.mutate(ALONE, draw) for draw in (0.0, 0.5, 0.999)] == [ALONE] * 3


@given(st.sampled_from(CELLS))
def test_everything_else_is_the_whole_space(cell: Architecture) -> None:
    text = WHOLE.format(cell)
    assert SPACE.format(cell) == text
    assert SPACE.parse(text) == cell
    assert SPACE.canonical(cell) == WHOLE.canonical(cell)
    assert SPACE.graph(cell) == WHOLE.graph(cell)
    assert SPACE.index(cell) == WHOLE.index(cell)
    assert SPACE.unindex(WHOLE.index(cell)) == cell


def test_errors_of_the_whole_space_pass_through() -> None:
    with pytest.raises(InvalidArchitectureError, match="There is no NAS-Bench-201 architecture"):
        SPACE.unindex(15_625)
    with pytest.raises(InvalidArchitectureError, match="is not a NAS-Bench-201 architecture"):
        SPACE.parse("nothing")
