"""Incumbents over time against slow plain loops."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasbench_tab.records import Direction
from nasbench_tab.stats.anytime import at_budget, at_evaluations, at_seconds, incumbents


class Runs(NamedTuple):
    """Ragged runs: per run a list of (value, end in seconds, eligible)."""

    runs: list[list[tuple[float, float, bool]]]
    direction: Direction

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        values = np.array([v for run in self.runs for v, _, _ in run], np.float64)
        seconds = np.array([s for run in self.runs for _, s, _ in run], np.float64)
        return values, seconds, np.array([len(run) for run in self.runs], np.int64)

    def eligible(self) -> NDArray[np.bool_]:
        return np.array([e for run in self.runs for _, _, e in run], np.bool_)


@st.composite
def ragged(draw: st.DrawFn) -> Runs:
    """Draw a few runs with many ties, some of them empty."""
    runs = []
    for _ in range(draw(st.integers(1, 5))):
        n = draw(st.integers(0, 7))
        values = draw(st.lists(st.integers(-2, 2).map(float), min_size=n, max_size=n))
        steps = draw(st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=n, max_size=n))
        eligible = draw(st.lists(st.booleans(), min_size=n, max_size=n))
        runs.append(list(zip(values, np.cumsum(steps).tolist(), eligible, strict=True)))
    return Runs(runs, draw(st.sampled_from(["max", "min"])))


def better(one: float, other: float, direction: Direction) -> bool:
    return one > other if direction == "max" else one < other


def slow(runs: Runs, all_eligible: bool) -> list[list[int]]:
    """Return the place of the incumbent after each evaluation of each run; -1 for none."""
    table, start = [], 0
    for run in runs.runs:
        best, row = -1, []
        for i, (value, _, eligible) in enumerate(run):
            counts = all_eligible or eligible
            if counts and (best < 0 or better(value, run[best - start][0], runs.direction)):
                best = start + i
            row.append(best)
        table.append(row)
        start += len(run)
    return table


@settings(max_examples=120, deadline=None)
@given(runs=ragged(), all_eligible=st.booleans())
def test_incumbents_are_those_of_a_plain_loop(runs: Runs, all_eligible: bool) -> None:
    values, seconds, lengths = runs.arrays()
    eligible = None if all_eligible else runs.eligible()
    found = incumbents(values, seconds, lengths, runs.direction, eligible)
    longest = max(map(len, runs.runs))
    assert found.which.shape == found.seconds.shape == (len(runs.runs), longest)
    for run, row, which, ends in zip(
        runs.runs,
        slow(runs, all_eligible),
        found.which.tolist(),
        found.seconds.tolist(),
        strict=True,
    ):
        rest = longest - len(row)
        assert which == row + [row[-1] if row else -1] * rest
        assert ends == [end for _, end, _ in run] + [np.inf] * rest


@settings(max_examples=80, deadline=None)
@given(runs=ragged(), all_eligible=st.booleans(), counts=st.lists(st.integers(1, 12), max_size=5))
def test_values_after_so_many_evaluations(
    runs: Runs, all_eligible: bool, counts: list[int]
) -> None:
    values, seconds, lengths = runs.arrays()
    eligible = None if all_eligible else runs.eligible()
    found = incumbents(values, seconds, lengths, runs.direction, eligible)
    worth = np.arange(100.0, 100.0 + len(values))
    expected = [
        [
            worth[row[min(count, len(row)) - 1]]
            if row and row[min(count, len(row)) - 1] >= 0
            else np.nan
            for count in counts
        ]
        for row in slow(runs, all_eligible)
    ]
    got = at_evaluations(found, worth, np.array(counts, np.int64))
    assert got.shape == (len(runs.runs), len(counts))
    np.testing.assert_array_equal(got, np.array(expected, np.float64).reshape(got.shape))


@settings(max_examples=80, deadline=None)
@given(
    runs=ragged(),
    all_eligible=st.booleans(),
    grid=st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, 2.0, 2.5, 4.0, 99.0]), max_size=6),
)
def test_values_at_so_many_seconds(runs: Runs, all_eligible: bool, grid: list[float]) -> None:
    values, seconds, lengths = runs.arrays()
    eligible = None if all_eligible else runs.eligible()
    found = incumbents(values, seconds, lengths, runs.direction, eligible)
    worth = np.arange(100.0, 100.0 + len(values))
    expected = []
    for run, row in zip(runs.runs, slow(runs, all_eligible), strict=True):
        ended = [sum(end <= moment for _, end, _ in run) for moment in grid]
        expected.append([worth[row[n - 1]] if n and row[n - 1] >= 0 else np.nan for n in ended])
    got = at_seconds(found, worth, np.array(grid, np.float64))
    assert got.shape == (len(runs.runs), len(grid))
    np.testing.assert_array_equal(got, np.array(expected, np.float64).reshape(got.shape))


def one_run(values: list[float], ends: list[float], **options: Any) -> Any:
    return incumbents(
        np.array(values), np.array(ends), np.array([len(values)]), **{"direction": "max", **options}
    )


def test_of_equals_the_first_stays() -> None:
    assert one_run([3, 5, 5, 4, 5], [1, 2, 3, 4, 5]).which.tolist() == [[0, 1, 1, 1, 1]]
    assert one_run([3, 1, 1, 4, 0], [1, 2, 3, 4, 5], direction="min").which.tolist() == [
        [0, 1, 1, 1, 4]
    ]


def test_what_is_not_eligible_is_passed_over() -> None:
    found = one_run([9, 5, 7, 8], [1, 2, 3, 4], eligible=np.array([False, True, False, True]))
    assert found.which.tolist() == [[-1, 1, 1, 3]]


def test_an_evaluation_counts_from_the_moment_it_ends() -> None:
    found = one_run([3, 5], [1.0, 2.0])
    grid = np.array([0.999, 1.0, np.nextafter(2.0, 0), 2.0, 1e9, np.inf])
    got = at_seconds(found, np.array([30.0, 50.0]), grid)
    np.testing.assert_array_equal(got, [[np.nan, 30, 30, 50, 50, 50]])


def test_of_evaluations_that_end_together_the_last_one_decides() -> None:
    found = one_run([3, 5, 4], [1.0, 1.0, 1.0])
    assert at_seconds(found, np.array([30.0, 50.0, 40.0]), np.array([1.0])).tolist() == [[50.0]]


# The value at the budget: a line through the two evaluations that end nearest to it.


@settings(max_examples=120, deadline=None)
@given(
    runs=ragged(), all_eligible=st.booleans(), budget=st.sampled_from([0.1, 0.5, 1.7, 3.0, 99.0])
)
def test_the_value_at_the_budget(runs: Runs, all_eligible: bool, budget: float) -> None:
    values, seconds, lengths = runs.arrays()
    eligible = None if all_eligible else runs.eligible()
    found = incumbents(values, seconds, lengths, runs.direction, eligible)
    worth = np.random.default_rng(len(values)).normal(size=len(values))
    expected = []
    for run, row in zip(runs.runs, slow(runs, all_eligible), strict=True):
        # What was known at each moment at which something ended; nothing before an incumbent.
        points = {
            end: worth[place] for (_, end, _), place in zip(run, row, strict=True) if place >= 0
        }
        near = sorted(points.items(), key=lambda point: abs(point[0] - budget))[:2]
        if not near:
            expected.append(np.nan)
        elif len(near) == 1:
            expected.append(near[0][1])
        else:
            (x, u), (y, v) = near
            expected.append((y - budget) / (y - x) * u + (budget - x) / (y - x) * v)
    got = at_budget(found, worth, budget)
    assert got.shape == (len(runs.runs),)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("ends", "worth", "expected"),
    [
        ([4, 8, 12], [0, 10, 20], 15),  # between two
        ([4, 8, 10], [0, 10, 20], 20),  # exactly on one
        ([2, 6, 8], [0, 10, 20], 30),  # the run ended early: the line goes on
        ([2, 6, 8], [30, 20, 20], 20),
        ([12, 14, 99], [10, 20, 90], 0),  # all after the budget
        ([9, 16, 99], [10, 17, 90], 11),  # the nearest are not always the neighbors in time
        ([3, 8, 9], [0, 10, 20], 30),
        ([10, 10, 10], [10, 20, 30], 30),  # together: the last knows all
        ([8, 12, 12], [10, 99, 20], 15),
        ([8, 8, 12], [99, 10, 20], 15),
        ([7], [5], 5),
        ([99], [5], 5),
    ],
)
def test_the_line_through_the_two_nearest(
    ends: list[float], worth: list[float], expected: float
) -> None:
    found = one_run(list(range(len(ends))), ends)  # every evaluation is the new incumbent
    assert at_budget(found, np.array(worth, np.float64), 10.0).tolist() == [expected]


def test_what_is_worth_less_in_the_end_makes_a_falling_line() -> None:
    found = one_run([1, 2], [8, 12])
    assert at_budget(found, np.array([20.0, 10.0]), 11.0).tolist() == [12.5]


def test_a_point_is_what_the_run_would_have_returned_then() -> None:
    # The second evaluation is no better, so at 12 s the first is still the incumbent.
    found = one_run([2, 1], [8, 12])
    assert at_budget(found, np.array([20.0, 10.0]), 10.0).tolist() == [20.0]


def test_evaluations_before_the_first_incumbent_are_no_points() -> None:
    found = one_run([9, 1, 2], [9, 4, 12], eligible=np.array([False, True, True]))
    assert at_budget(found, np.array([99.0, 10.0, 18.0]), 10.0).tolist() == [16.0]
    none = one_run([9, 1], [4, 12], eligible=np.array([False, False]))
    assert np.isnan(at_budget(none, np.array([9.0, 1.0]), 10.0)).tolist() == [True]


def test_without_times_there_is_no_value_at_a_budget() -> None:
    found = one_run([1, 2], [np.nan, np.nan])
    assert np.isnan(at_budget(found, np.array([1.0, 2.0]), 10.0)).tolist() == [True]


@pytest.mark.parametrize("lengths", [[], [0], [0, 0, 0]])
def test_runs_without_evaluations(lengths: list[int]) -> None:
    nothing = np.zeros(0)
    found = incumbents(nothing, nothing, np.array(lengths, np.int64), "max")
    assert found.which.shape == (len(lengths), 0)
    for got in (
        at_evaluations(found, nothing, np.array([1, 7])),
        at_seconds(found, nothing, np.array([0.0, np.inf])),
    ):
        np.testing.assert_array_equal(got, np.full((len(lengths), 2), np.nan))
    np.testing.assert_array_equal(at_budget(found, nothing, 1.0), np.full(len(lengths), np.nan))


def test_the_arguments_are_left_as_they_are() -> None:
    values, seconds, lengths = np.array([1.0, 2.0]), np.array([1.0, 2.0]), np.array([1, 1])
    eligible = np.array([True, False])
    for array in (values, seconds, lengths, eligible):
        array.setflags(write=False)
    found = incumbents(values, seconds, lengths, "min", eligible)
    assert found.which.tolist() == [[0], [-1]]
