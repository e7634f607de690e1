"""Pareto local search: a referee checks every step of a trace against the rule in plain words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.toys import ToySpace

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture
from nasbench_tab.strategies.pareto_local_search import ParetoLocalSearch

from .twogoals import Numbers, beats, one_goal, random_numbers, seen, trace, two_goals

CHOICES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


class Referee:
    """Follows a trace and stops it where it breaks the rule."""

    def __init__(self, space: ToySpace, initial: int, points: dict[Architecture, Any]) -> None:
        self.space, self.initial, self.points = space, initial, points
        self.visited: set[Architecture] = set()
        self.archive: set[Architecture] = set()

    def follow(self, cells: list[Architecture]) -> int:
        """Return how many climbs there were."""
        left, climbs = list(cells), 0
        while left:
            climbs += 1
            wanted = min(self.initial, len(self.space.cells) - len(self.visited))
            self.archive, starts, left = set(), left[:wanted], left[wanted:]
            for cell in starts:
                self.visit(cell)
            explored: set[Architecture] = set()
            while left:
                open_ = {c: self.fresh(c) for c in self.archive - explored}
                explored |= {c for c, near in open_.items() if not near}
                centers = [c for c, near in open_.items() if left[0] in near]
                if not any(open_.values()):
                    break
                # The whole neighborhood of one member, whatever enters the archive meanwhile.
                fits = [c for c in centers if set(left[: len(open_[c])]) <= open_[c]]
                assert fits, f"{left[0]} begins no member's neighborhood"
                center = max(fits, key=lambda c: len(open_[c]))
                explored.add(center)
                batch, left = left[: len(open_[center])], left[len(open_[center]) :]
                for cell in batch:
                    self.visit(cell)
        return climbs

    def fresh(self, cell: Architecture) -> set[Architecture]:
        return set(self.space.neighbors(cell)) - self.visited

    def visit(self, cell: Architecture) -> None:
        assert cell not in self.visited, "visited twice"
        self.visited.add(cell)
        point = self.points[cell]
        if not any(beats(self.points[known], point) for known in self.archive):
            self.archive = {k for k in self.archive if not beats(point, self.points[k])} | {cell}


@settings(max_examples=80)
@given(CHOICES, st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 12), st.booleans())
def test_every_step_follows_the_rule_and_a_small_space_is_searched_completely(
    choices: tuple[int, ...], seed: int, levels: int, initial: int, two: bool
) -> None:
    space = ToySpace(choices)
    scores, costs = random_numbers(space, seed, levels), random_numbers(space, seed + 1, levels)
    problem = two_goals(space, costs.__getitem__) if two else one_goal(space)
    strategy = ParetoLocalSearch(problem, np.random.default_rng(seed), initial=initial)
    cells = trace(strategy, scores, 10**6)
    assert sorted(cells) == space.cells
    points = {c: (-scores[c], costs[c]) if two else (-scores[c],) for c in space.cells}
    assert Referee(space, initial, points).follow(cells) >= 1
    assert strategy.ask(1) == strategy.ask(5) == []


def test_what_breaks_a_limit_is_not_explored() -> None:
    space = ToySpace((4, 4, 4))
    scores: Numbers = {cell: float("-inf") for cell in space.cells}
    problem = two_goals(space, lambda cell: float(sum(cell)))
    strategy = ParetoLocalSearch(problem, np.random.default_rng(0), initial=3)
    cells = trace(strategy, scores, 64)  # new starts all the time
    assert sorted(cells) == space.cells
    assert strategy._archive == {}


def test_with_several_workers_it_explores_what_is_back_and_waits_for_the_rest() -> None:
    space = ToySpace((4, 4, 4))
    strategy = ParetoLocalSearch(
        two_goals(space, lambda cell: float(sum(cell))), np.random.default_rng(0), initial=2
    )
    first = [p.architecture for p in strategy.ask(9)]
    assert len(first) == 2
    assert strategy.ask(1) == []
    strategy.tell([seen(first[0], 1.0)])
    near = [p.architecture for p in strategy.ask(20)]
    assert set(near) == set(space.neighbors(first[0])) - {first[1]}
    assert strategy.ask(1) == []


@pytest.mark.parametrize("initial", [0, 1.5, "3"])
def test_settings_that_cannot_be(initial: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="pareto-local-search needs initial"):
        ParetoLocalSearch(one_goal(ToySpace()), np.random.default_rng(0), initial=initial)
