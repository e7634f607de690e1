"""Dominance, ranks and crowding, by their definitions in plain words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search.toys import ToySpace

from nasbench_tab.records import Observation
from nasbench_tab.strategies.dominance import crowding, dominates, losses, sorted_fronts

from .twogoals import beats, one_goal, two_goals

LEVEL = st.integers(0, 5).map(float)


def points(dimensions: int) -> st.SearchStrategy[list[tuple[float, ...]]]:
    return st.lists(st.tuples(*[LEVEL] * dimensions), max_size=14)


@given(st.integers(1, 3).flatmap(points))
def test_fronts_are_peeled_one_by_one(given_points: list[tuple[float, ...]]) -> None:
    left = set(range(len(given_points)))
    for front in sorted_fronts(given_points):
        expected = [
            i
            for i in sorted(left)
            if not any(beats(given_points[j], given_points[i]) for j in left)
        ]
        assert front == expected
        left -= set(front)
    assert not left


@given(st.tuples(LEVEL, LEVEL), st.tuples(LEVEL, LEVEL))
def test_dominates(one: tuple[float, float], other: tuple[float, float]) -> None:
    assert dominates(one, other) == beats(one, other)
    assert not (dominates(one, other) and dominates(other, one))


@given(st.lists(st.tuples(LEVEL, LEVEL), min_size=1, max_size=10, unique_by=lambda p: p[0]))
def test_crowding_is_the_box_between_the_neighbors(rows: list[tuple[float, float]]) -> None:
    levels = sorted({b for _, b in rows}, reverse=True)
    front = [(a, b) for (a, _), b in zip(sorted(rows), levels, strict=False)]  # falling
    room = crowding(np.array(front))
    for i, free in enumerate(room.tolist()):
        if i in (0, len(front) - 1):
            assert free == np.inf
            continue
        (a0, b0), (a1, b1) = front[i - 1], front[i + 1]
        width, height = front[-1][0] - front[0][0], front[0][1] - front[-1][1]
        assert free == pytest.approx((a1 - a0) / width + (b0 - b1) / height)


def test_losses_turn_the_score_round_and_ask_for_the_cost() -> None:
    observation = Observation((0, 1, 2), 1, 3.0, 1.0)
    assert losses(one_goal(ToySpace()), observation) == (-3.0,)
    assert losses(two_goals(ToySpace(), lambda cell: float(sum(cell))), observation) == (-3.0, 3.0)
