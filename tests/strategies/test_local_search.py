"""Local search: a referee checks every step of a trace against the rule in plain words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.toys import ToySpace, chi_squared

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, Metric, Observation, Problem
from nasbench_tab.registry import load
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.spaces.nasbench_graph import NasBenchGraphProteins
from nasbench_tab.strategies.local_search import LocalSearch

METRIC = Metric("score", "valid", "max", "points")
INFEASIBLE = -float("inf")
Scores = dict[Architecture, float]


def started(space: Space, seed: int = 0, **options: Any) -> LocalSearch:
    return LocalSearch(Problem(space, METRIC, (1,)), np.random.default_rng(seed), **options)


def seen(cell: Architecture, score: float) -> Observation:
    return Observation(cell, 1, score, 1.0)


def trace(strategy: LocalSearch, scores: Scores, limit: int = 10**6) -> list[Architecture]:
    """Return what a single worker evaluates until nothing more is proposed."""
    cells: list[Architecture] = []
    while len(cells) < limit:
        proposals = strategy.ask(1)
        if not proposals:
            break
        [(cell, epoch)] = proposals
        assert epoch is None
        strategy.tell([seen(cell, scores[cell])])
        cells.append(cell)
    return cells


class Referee:
    """Follows a trace and stops it where it breaks the rule. Returns how often it restarted."""

    def __init__(self, space: Space, initial: int) -> None:
        assert space.size is not None
        self.space, self.initial, self.size = space, initial, space.size
        self.visited: set[Architecture] = set()

    def follow(self, cells: list[Architecture], scores: Scores) -> int:
        climbs = 0
        left = list(cells)
        while left:
            climbs += 1
            wanted = min(self.initial, self.size - len(self.visited))
            starts, left = left[:wanted], left[wanted:]
            for cell in starts:
                self._visit(cell)
            best = max(scores[cell] for cell in starts)
            current = next(cell for cell in starts if scores[cell] == best)
            if best == INFEASIBLE:
                continue  # nowhere to climb from
            while left and not self._near(current) <= self.visited:
                cell = left.pop(0)
                assert cell in self._near(current), "not a neighbor of the current cell"
                self._visit(cell)
                if scores[cell] > scores[current]:
                    current = cell
        return climbs

    def _near(self, cell: Architecture) -> set[Architecture]:
        return set(self.space.neighbors(cell))

    def _visit(self, cell: Architecture) -> None:
        assert self.space.contains(cell)
        assert cell not in self.visited, "visited twice"
        self.visited.add(cell)


def random_scores(space: ToySpace, seed: int, levels: int) -> Scores:
    draws = np.random.default_rng(seed).integers(0, levels, len(space.cells))
    return dict(zip(space.cells, draws.astype(float).tolist(), strict=True))


CHOICES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@settings(max_examples=100, deadline=None)
@given(
    choices=CHOICES,
    seed=st.integers(0, 2**32),
    levels=st.integers(1, 30),
    initial=st.integers(1, 12),
)
def test_every_step_follows_the_rule_and_a_small_space_is_searched_completely(
    choices: tuple[int, ...], seed: int, levels: int, initial: int
) -> None:
    space = ToySpace(choices)
    scores = random_scores(space, seed, levels)
    strategy = started(space, seed, initial=initial)
    cells = trace(strategy, scores)
    assert sorted(cells) == space.cells
    assert Referee(space, initial).follow(cells, scores) >= 1
    assert strategy.ask(1) == strategy.ask(5) == []


@pytest.mark.parametrize("seed", range(5))
def test_on_a_real_table_it_climbs_and_restarts(seed: int) -> None:
    bench = load("nb201-cifar10")
    cells = bench.measured()
    values = np.asarray(bench.query(cells)).tolist()
    scores = dict(zip(map(tuple, cells.tolist()), values, strict=True))
    history = trace(started(bench.space, seed), scores, limit=600)
    assert Referee(bench.space, 10).follow(history, scores) > 1
    assert max(map(scores.__getitem__, history)) > 91.4  # 99.9 % of the table is below


def test_it_ends_where_the_space_has_canonical_cells() -> None:
    space = NasBenchGraphProteins()
    assert space.size == 2_021
    cells = trace(started(space), dict.fromkeys(map(space.unindex, hashes(space)), 1.0))
    assert len(set(cells)) == len(cells) == 2_021


def hashes(space: Space) -> list[int]:
    return [space.index(tuple(cell)) for cell in load("nbgraph-proteins").measured().tolist()]


def test_cells_without_neighbors_are_reached_by_restarts() -> None:
    alone: list[Architecture] = [(0, 0, 0), (1, 1, 1), (0, 2, 2), (1, 0, 3)]
    space = MaskedSpace(ToySpace(), alone)
    assert all(space.neighbors(cell) == [] for cell in alone)
    assert sorted(trace(started(space, initial=1), dict.fromkeys(alone, 0.0))) == sorted(alone)


def test_the_neighbors_are_tried_in_random_order() -> None:
    space = NasBench201()
    places = []
    for seed in range(4_800):
        strategy = started(space, seed, initial=1)
        [(start, _)] = strategy.ask(1)
        strategy.tell([seen(start, 1.0)])
        [(first, _)] = strategy.ask(1)
        places.append(space.neighbors(start).index(first))
    assert chi_squared(np.bincount(places, minlength=24)) < 60  # 23 degrees of freedom


def test_the_starts_are_distinct_uniform_draws() -> None:
    space = ToySpace()
    starts = [started(space, seed, initial=6).ask(6) for seed in range(2_000)]
    assert all(len(set(batch)) == 6 for batch in starts)
    counts = np.bincount([space.index(p.architecture) for batch in starts for p in batch])
    assert len(counts) == 24
    assert chi_squared(counts) < 60  # 23 degrees of freedom


def test_the_climb_begins_at_the_best_start_when_all_starts_are_back() -> None:
    strategy = started(NasBench201(), initial=4)
    starts = [proposal.architecture for proposal in strategy.ask(100)]
    assert len(starts) == 4
    for score, cell in [(3.0, starts[2]), (9.0, starts[0]), (1.0, starts[3])]:
        strategy.tell([seen(cell, score)])
        assert strategy.ask(1) == []  # the others are still in training
    strategy.tell([seen(starts[1], 2.0)])
    near = [proposal.architecture for proposal in strategy.ask(100)]
    assert set(near) == set(NasBench201().neighbors(starts[0])) - set(starts)


def test_it_waits_for_the_last_neighbor_before_it_restarts() -> None:
    space = NasBench201()
    strategy = started(space, initial=1)
    [(start, _)] = strategy.ask(1)
    strategy.tell([seen(start, 5.0)])
    near = [proposal.architecture for proposal in strategy.ask(50)]
    assert set(near) == set(space.neighbors(start))
    strategy.tell([seen(cell, 4.0) for cell in near[:-1]])
    assert strategy.ask(1) == []  # the last one may still be better
    strategy.tell([seen(near[-1], 6.0)])
    following = [proposal.architecture for proposal in strategy.ask(50)]
    assert set(following) == set(space.neighbors(near[-1])) - {start, *near}


def test_a_better_neighbor_ends_the_round_of_the_old_cell() -> None:
    space = NasBench201()
    strategy = started(space, initial=1)
    [(start, _)] = strategy.ask(1)
    strategy.tell([seen(start, 5.0)])
    two = [proposal.architecture for proposal in strategy.ask(2)]
    strategy.tell([seen(two[0], 7.0)])
    near = {proposal.architecture for proposal in strategy.ask(100)}
    assert near == set(space.neighbors(two[0])) - {start, two[1]}


def test_an_equal_neighbor_is_no_improvement() -> None:
    space = NasBench201()
    strategy = started(space, initial=1)
    [(start, _)] = strategy.ask(1)
    strategy.tell([seen(start, 5.0)])
    [(first, _)] = strategy.ask(1)
    strategy.tell([seen(first, 5.0)])
    near = {proposal.architecture for proposal in strategy.ask(100)}
    assert near == set(space.neighbors(start)) - {first}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), choices=CHOICES, seed=st.integers(0, 2**32), initial=st.integers(1, 6))
def test_with_several_workers_nothing_is_proposed_twice_and_nothing_is_left(
    data: st.DataObject, choices: tuple[int, ...], seed: int, initial: int
) -> None:
    space = ToySpace(choices)
    scores = random_scores(space, seed, 10)
    strategy = started(space, seed, initial=initial)
    proposed: list[Architecture] = []
    pending: list[Architecture] = []
    for _ in range(3 * len(space.cells) + 3):
        batch = [p.architecture for p in strategy.ask(data.draw(st.integers(1, 4)))]
        proposed += batch
        pending += batch
        if not pending:
            break
        back = pending.pop(data.draw(st.integers(0, len(pending) - 1)))
        strategy.tell([seen(back, scores[back])])
    assert pending == []
    assert sorted(proposed) == space.cells


def test_where_all_is_infeasible_it_visits_every_cell_once() -> None:
    space = ToySpace()
    cells = trace(started(space, initial=5), dict.fromkeys(space.cells, INFEASIBLE))
    assert sorted(cells) == space.cells


def test_an_infeasible_cell_is_never_climbed_from() -> None:
    space = NasBench201()
    strategy = started(space, initial=3)
    starts = [proposal.architecture for proposal in strategy.ask(3)]
    strategy.tell([seen(starts[0], INFEASIBLE), seen(starts[1], -1e300)])
    strategy.tell([seen(starts[2], INFEASIBLE)])
    near = {proposal.architecture for proposal in strategy.ask(100)}
    assert near == set(space.neighbors(starts[1])) - set(starts)


@pytest.mark.parametrize("initial", [0, -1])
def test_it_needs_a_start(initial: int) -> None:
    with pytest.raises(
        InvalidArgumentError,
        match=f"local-search needs initial to be a whole number of at least 1; got {initial}",
    ):
        started(ToySpace(), initial=initial)


@pytest.mark.parametrize("initial", [2.5, "7", None, float("nan")])
def test_the_number_of_starts_must_be_an_integer(initial: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="local-search needs"):
        started(ToySpace(), initial=initial)
