"""Fronts of two objectives: against brute force, and against pymoo where it is there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasbench_tab.stats.pareto import (
    attained,
    chosen_front,
    hypervolume,
    hypervolumes_over_time,
    non_dominated,
)

Floats = NDArray[np.float64]
#: Few levels, so that ties and equal points are common.
LEVEL = st.integers(0, 6).map(float)
POINTS = st.lists(st.tuples(LEVEL, LEVEL), max_size=12).map(
    lambda rows: np.array(rows, np.float64).reshape(-1, 2)
)


def beats(one: Floats, other: Floats) -> bool:
    return bool((one <= other).all() and (one < other).any())


@given(POINTS)
def test_a_front_is_all_that_nothing_beats(points: Floats) -> None:
    kept = non_dominated(points).tolist()
    front = {tuple(point) for point in points if not any(beats(p, point) for p in points)}
    assert [tuple(points[i]) for i in kept] == sorted(front)
    first = [points.tolist().index(points[i].tolist()) for i in kept]
    assert kept == first  # of equal points the first


@given(POINTS, st.tuples(LEVEL, LEVEL).map(np.array))
def test_hypervolume_counts_the_cells_of_a_grid(points: Floats, reference: Floats) -> None:
    unit = sum(
        any(x >= a and y >= b for a, b in points.tolist())
        for x in range(int(reference[0]))
        for y in range(int(reference[1]))
    )
    assert hypervolume(points, reference) == unit


@given(POINTS, st.tuples(LEVEL, LEVEL), st.floats(0.1, 50), st.floats(-9, 9))
def test_ratios_do_not_change_with_the_axes(
    points: Floats, extra: tuple[float, float], scale: float, shift: float
) -> None:
    reference = np.array([7.0, 7.0])
    more = np.append(points, [extra], axis=0)
    ratio = hypervolume(points, reference) / hypervolume(more, reference)
    assert ratio <= 1
    stretch, move = np.array([scale, 1.0]), np.array([shift, -shift])
    moved = [hypervolume(p * stretch + move, reference * stretch + move) for p in (points, more)]
    assert moved[0] / moved[1] == pytest.approx(ratio)


def test_pymoo_agrees() -> None:
    indicators = pytest.importorskip("pymoo.indicators.hv")
    rng = np.random.default_rng(0)
    for _ in range(200):
        points, reference = rng.random((rng.integers(1, 40), 2)), rng.uniform(0.3, 1.3, 2)
        assert hypervolume(points, reference) == pytest.approx(
            float(indicators.HV(ref_point=reference)(points))
        )


@given(
    st.lists(st.tuples(LEVEL, LEVEL, LEVEL, st.integers(-1, 2)), min_size=1, max_size=12),
    st.lists(st.integers(0, 5), min_size=1, max_size=4),
    st.booleans(),
)
def test_over_time_each_run_is_seen_alone(
    rows: list[tuple[float, float, float, int]], lengths: list[int], by_level: bool
) -> None:
    rows = (rows * 20)[: sum(lengths)]
    seen = np.array([(cost, value) for cost, value, _, _ in rows]).reshape(-1, 2)
    worth = np.array([(cost, value) for cost, _, value, _ in rows]).reshape(-1, 2)
    levels = np.array([level for *_, level in rows], np.int64)
    counts, reference = np.array([2, 1, 7]), np.array([6.5, 6.5])
    found = hypervolumes_over_time(
        seen, worth, np.array(lengths), counts, reference, levels if by_level else None
    )
    begin = 0
    for run, length in enumerate(lengths):
        for place, count in enumerate(counts.tolist()):
            here = list(range(begin, begin + min(count, length)))
            if by_level:
                top = max([0, *(levels[i] for i in here)])
                here = [i for i in here if levels[i] == top]
            chosen = [i for i in here if not any(beats(seen[j], seen[i]) for j in here)]
            once = {tuple(seen[i]): i for i in reversed(chosen)}  # the first of equals
            assert found[run, place] == hypervolume(worth[sorted(once.values())], reference)
        begin += length


def test_a_lucky_observation_can_take_the_front_back() -> None:
    seen = np.array([[1.0, 2.0], [1.0, 1.0]])
    worth = np.array([[1.0, 2.0], [1.0, 3.0]])  # what looked better is worse
    found = hypervolumes_over_time(
        seen, worth, np.array([2]), np.array([1, 2]), np.array([2.0, 4.0])
    )
    assert found.tolist() == [[2.0, 1.0]]
    assert chosen_front(seen).tolist() == [1]


@given(st.lists(POINTS, min_size=1, max_size=7), st.sampled_from([0.2, 0.5, 0.75, 1.0]))
def test_attained_by_a_share_of_the_runs(fronts: list[Floats], share: float) -> None:
    grid = np.arange(-1.0, 8.0)
    found = attained(fronts, grid, share)
    for x, best in zip(grid, found, strict=True):
        reached = [sum(((f[:, 0] <= x) & (f[:, 1] <= y)).any() for f in fronts) for y in range(7)]
        enough = [y for y, runs in enumerate(reached) if runs >= share * len(fronts)]
        assert best == (enough[0] if enough else np.inf)
