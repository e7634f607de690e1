"""DEHB: a population for each level, trials against its members, good members below as parents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.toys import ToySpace

from nasbench_tab.records import Architecture, Metric, Observation, Problem, Proposal
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.strategies.dehb import Dehb

METRIC = Metric("score", "valid", "max", "points")
NINE = tuple(range(1, 10))


def started(space: Any = None, seed: int = 0, **options: Any) -> Dehb:
    problem = Problem(space or NasBench201(), METRIC, NINE)
    return Dehb(problem, np.random.default_rng(seed), **options)


def answer(proposal: Proposal, score: float, status: Any = "ok") -> Observation:
    return Observation(proposal.architecture, proposal.epoch or 0, score, 1.0, status)


def worth(cell: Architecture) -> float:
    return float(np.dot(cell, [1, 10, 100, 1000, 1e4, 1e5]))


def driven(strategy: Dehb, n: int) -> list[Proposal]:
    """Return ``n`` proposals, each answered by its worth before the next."""
    done = []
    for _ in range(n):
        done += strategy.ask(1)
        strategy.tell([answer(done[-1], worth(done[-1].architecture))])
    return done


def best_of(cells: list[Architecture], n: int) -> list[Architecture]:
    return sorted(dict.fromkeys(cells), key=worth, reverse=True)[:n]


def test_populations_are_as_large_as_the_largest_rung() -> None:
    levels = started()._levels
    assert {epoch: len(level.vectors) for epoch, level in levels.items()} == {1: 9, 3: 5, 9: 3}


def test_the_first_bracket_is_successive_halving() -> None:
    """9 at epoch 1, the best 3 of them at epoch 3, the best of these at epoch 9."""
    done = driven(started(), 13)
    assert [epoch for _, epoch in done] == [1] * 9 + [3] * 3 + [9]
    cells = [cell for cell, _ in done]
    assert cells[9:12] == best_of(cells[:9], 3)
    assert cells[12] == cells[9]


def test_the_rest_of_the_first_cycle_fills_and_promotes() -> None:
    """In the second bracket 5 at epoch 3: two places of five were never trained, then trials."""
    strategy = started()
    fresh = [strategy._cell(vector) for vector in strategy._levels[3].vectors]
    done = driven(strategy, 13 + 5 + 1 + 3)
    cells = [cell for cell, _ in done]
    assert [epoch for _, epoch in done[13:]] == [3] * 5 + [9] * 4
    assert cells[13:15] == fresh[3:]
    tried = [cell for cell, epoch in done if epoch == 3]
    new = [cell for cell in best_of(tried, 8) if cell != cells[12]]
    assert cells[18] == new[0]  # the best that epoch 9 has not seen


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(20, 120))
def test_members_are_the_best_trials_of_their_places(seed: int, n: int) -> None:
    strategy = started(seed=seed)
    best: dict[tuple[int, int], float] = {}
    for _ in range(n):
        (proposal,) = strategy.ask(1)
        ((place, vector),) = strategy._trials[proposal.architecture, proposal.epoch or 0]
        assert strategy._cell(vector) == proposal.architecture
        assert all(0 <= x < 1 for x in vector)
        key = (proposal.epoch or 0, place)
        best[key] = max(best.get(key, -np.inf), worth(proposal.architecture))
        strategy.tell([answer(proposal, worth(proposal.architecture))])
    for (epoch, place), score in best.items():
        level = strategy._levels[epoch]
        assert level.scores[place] == score == worth(strategy._cell(level.vectors[place]))


@given(st.integers(0, 500), st.floats(0, 2), st.sampled_from([0.0, 0.5, 1.0]))
def test_a_trial_is_rand1_with_binomial_crossover(seed: int, factor: float, rate: float) -> None:
    strategy = started(seed=seed, mutation_factor=factor, crossover=rate)
    rng = np.random.default_rng(seed)
    target, *parents = (tuple(row) for row in rng.random((6, 6)).tolist())
    vector = strategy._bred(target, parents)
    rows = np.array(parents)
    a, b, c = np.ix_(range(5), range(5), range(5))
    mutants = (rows[a] + factor * (rows[b] - rows[c])).reshape(-1, 6)
    distinct = [i for i in np.ndindex(5, 5, 5) if len(set(i)) == 3]
    mutants = mutants[[i * 25 + j * 5 + k for i, j, k in distinct]]
    outside = (mutants < 0) | (mutants >= 1)
    kept = np.array(vector) == target
    fits = np.isclose(mutants, vector) | outside | kept
    assert fits.all(axis=1).any()
    assert (~kept).sum() >= 1
    assert rate > 0 or (~kept).sum() == 1
    assert rate < 1 or (~kept).sum() == 6


def test_a_worse_or_infeasible_trial_changes_nothing_and_an_equal_one_does() -> None:
    strategy = started()
    driven(strategy, 22)
    (trial,) = strategy.ask(1)
    ((place, vector),) = strategy._trials[trial.architecture, 1]
    level = strategy._levels[1]
    before = list(level.vectors)
    had = level.scores[place]
    strategy.tell([answer(trial, had - 1)])
    assert level.vectors == before
    for score, status in ((-np.inf, "infeasible"), (had, "ok")):
        level._turn = place
        (trial,) = strategy.ask(1)
        ((_, vector),) = strategy._trials[trial.architecture, 1]
        strategy.tell([answer(trial, score, status)])
        assert (level.vectors[place] == vector) == (status == "ok")


def test_evolution_finds_more_than_chance() -> None:
    strategy = started()
    done = driven(strategy, 400)
    assert max(worth(cell) for cell, _ in done) > worth((0, 4, 3, 4, 4, 4))


def test_only_cells_of_a_masked_space_are_proposed() -> None:
    space = ToySpace((4, 4, 4))
    kept = space.cells[::7]
    strategy = started(MaskedSpace(space, kept))
    for i in range(200):
        (proposal,) = strategy.ask(1)
        assert proposal.architecture in kept
        strategy.tell([answer(proposal, float(i % 13))])


@pytest.mark.parametrize("n", [2, 3, 5, 7, 9])
def test_every_option_has_its_part_of_the_unit_interval(n: int) -> None:
    strategy = started(ToySpace((n, n)))
    cells = {strategy._cell((x, x)) for x in np.linspace(0, np.nextafter(1, 0), 999)}
    assert cells == {(option, option) for option in range(n)}
    assert strategy._cell((1 / n, np.nextafter(1, 0))) == (1, n - 1)
