"""NSGA-II: a referee follows its generations by the rules in plain words."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.toys import CELLS, ToySpace

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.strategies.dominance import Losses, crowding, sorted_fronts
from nasbench_tab.strategies.nsga2 import Nsga2

from .twogoals import one_goal, random_numbers, seen, trace, two_goals

WIDE = ToySpace((4, 4, 4, 4))


def started(seed: int = 0, space: ToySpace = WIDE, **options: Any) -> Nsga2:
    costs = random_numbers(space, seed + 1000)
    return Nsga2(two_goals(space, costs.__getitem__), np.random.default_rng(seed), **options)


class Survivors(Nsga2):
    """NSGA-II that remembers, of each selection, who stood for it with how much room, and who was kept."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.history: list[tuple[list[tuple[Architecture, Losses]], list[Architecture]]] = []

    def _next_generation(self) -> None:
        before = [(m.cell, m.point) for m in (*self._members, *self._children)]
        super()._next_generation()
        self.history.append((before, [member.cell for member in self._members]))


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(2, 12), st.booleans())
def test_whole_fronts_survive_and_the_last_by_its_room(seed: int, size: int, two: bool) -> None:
    scores, costs = random_numbers(WIDE, seed), random_numbers(WIDE, seed + 1)
    problem = two_goals(WIDE, costs.__getitem__) if two else one_goal(WIDE)
    strategy = Survivors(problem, np.random.default_rng(seed), population=size)
    trace(strategy, scores, 6 * size + 1)
    for before, after in strategy.history:
        assert len(after) == min(size, len(before))
        fronts = sorted_fronts([point for _, point in before])
        rank_of = {before[i][0]: rank for rank, front in enumerate(fronts) for i in front}
        kept = sorted(rank_of[cell] for cell in after)
        assert kept == sorted(rank_of.values())[: len(after)]  # none of a worse front
        last = fronts[kept[-1]]
        room = crowding(np.array([before[i][1] for i in last])).tolist()
        rooms = {before[i][0]: free for i, free in zip(last, room, strict=True)}
        inside = [free for cell, free in rooms.items() if cell in after]
        outside = [free for cell, free in rooms.items() if cell not in after]
        assert not outside or min(inside) >= max(outside)


def test_nobody_is_evaluated_twice_until_a_space_is_used_up() -> None:
    strategy = started(space=ToySpace())
    scores = random_numbers(ToySpace(), 5)
    cells = trace(strategy, scores, 40)
    assert sorted(cells) == CELLS
    assert strategy.ask(3) == []
    assert Nsga2(one_goal(WIDE), np.random.default_rng(0)).ask(3)[0].architecture in WIDE.cells


@pytest.mark.parametrize("population", [2, 7, 23, 30])
def test_a_space_ends_with_its_last_cell_whatever_the_population(population: int) -> None:
    for seed in range(5):
        strategy = started(seed, space=ToySpace(), population=population)
        assert sorted(trace(strategy, random_numbers(ToySpace(), seed), 40)) == CELLS


def test_a_space_of_unknown_size_is_proposed_again() -> None:
    space = ToySpace((2, 2))
    space.size = None
    cells = trace(started(space=space, population=2), random_numbers(space, 0), 12)
    assert (len(cells), len(set(cells))) == (12, 4)


def test_children_take_each_position_from_their_parents_without_mutation() -> None:
    wide = ToySpace((12, 12, 12, 12))
    taken = np.zeros(2)
    for seed in range(30):
        strategy = started(seed, space=wide, population=2, changes=0.0, crossover=1.0)
        one, other = trace(strategy, dict.fromkeys(wide.cells, 1.0), 2)
        for child in (p.architecture for p in strategy.ask(2)):
            assert child not in (one, other)
            assert all(option in (a, b) for option, a, b in zip(child, one, other, strict=True))
            taken += [np.equal(child, one).sum(), np.equal(child, other).sum()]
    assert taken[0] / taken.sum() == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("changes", [0.5, 1.0, 3.0])
def test_mutation_changes_as_many_positions_as_it_says(changes: float) -> None:
    strategy = started(changes=changes)
    draws = [tuple(strategy._mutated(1, 4) for _ in range(4)) for _ in range(4000)]
    changed = np.array(draws) != 1
    assert changed.sum(axis=1).mean() == pytest.approx(changes, abs=0.06)
    options = np.bincount(np.array(draws).ravel()[changed.ravel()], minlength=4)
    assert options[1] == 0
    assert np.ptp(options[[0, 2, 3]]) < 0.15 * options.sum()
    assert strategy._mutated(0, 1) == 0  # no other option


def test_a_tournament_goes_by_rank_then_room() -> None:
    strategy = started(population=8)
    trace(strategy, random_numbers(WIDE, 2), 9)
    wins = [strategy._winner() for _ in range(3000)]
    key = {member.cell: (member.rank, -member.room) for member in strategy._members}
    counts = {cell: sum(member.cell == cell for member in wins) for cell in key}
    for better, worse in pairwise(sorted(key, key=key.__getitem__)):
        if key[better] < key[worse]:
            assert counts[better] > counts[worse] - 60  # 3 standard errors


def test_what_breaks_a_limit_never_breeds() -> None:
    scores = {cell: float("-inf") for cell in WIDE.cells}
    strategy = started(population=5)
    cells = trace(strategy, scores, 30)  # founders again and again
    assert len(set(cells)) == 30
    good: list[Architecture] = [cell for cell in WIDE.cells if cell[0] == 0]
    scores |= dict.fromkeys(good, 1.0)
    trace(strategy, scores, 100)
    assert strategy._members
    assert all(member.cell[0] == 0 for member in strategy._members)


def test_with_several_workers_it_waits_for_the_generation() -> None:
    strategy = started(population=5)
    scores = random_numbers(WIDE, 0)
    asked = strategy.ask(9)
    assert len(asked) == 5
    assert strategy.ask(3) == []
    strategy.tell([seen(p.architecture, scores[p.architecture]) for p in asked[:4]])
    assert strategy.ask(1) == []
    strategy.tell([seen(asked[4].architecture, 1.0)])
    assert len(strategy.ask(3)) == 3


def test_it_stays_among_the_measured_cells() -> None:
    kept = WIDE.cells[::3]
    problem = two_goals(MaskedSpace(WIDE, kept), lambda cell: float(sum(cell)))
    strategy = Nsga2(problem, np.random.default_rng(0))
    assert set(trace(strategy, random_numbers(WIDE, 1), 60)) <= set(kept)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"population": 1}, "population to be a whole number of at least 2"),
        ({"population": True}, "population"),
        ({"crossover": 1.5}, "crossover to be at most 1; got 1.5"),
        ({"crossover": "x"}, "crossover to be a number"),
        ({"changes": 4.5}, "changes to be at most 4"),
        ({"changes": -1}, "changes to be a number, at least 0"),
        ({"changes": float("nan")}, "changes"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"nsga2 needs {words}"):
        started(**options)
