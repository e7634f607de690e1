"""Random search: independent uniform draws, with replacement, whatever it is told."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from search.toys import ToySpace, chi_squared

from nasbench_tab.records import Metric, Observation, Problem, Proposal
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.strategies.random_search import RandomSearch

METRIC = Metric("score", "valid", "max", "points")


def started(space: object = None, seed: int = 0) -> RandomSearch:
    problem = Problem(space or ToySpace(), METRIC, (1,))  # type: ignore[arg-type]
    return RandomSearch(problem, np.random.default_rng(seed))


@pytest.mark.parametrize("sizes", [[1] * 200, [7] * 28 + [4], [200], [63, 1, 0, 64, 65, 7]])
def test_the_draws_do_not_depend_on_how_many_are_asked_at_once(sizes: list[int]) -> None:
    strategy = started(NasBench201())
    drawn = [strategy.ask(n) for n in sizes]
    assert [len(batch) for batch in drawn] == sizes
    assert list(chain.from_iterable(drawn)) == started(NasBench201()).ask(200)


def test_every_cell_is_equally_likely_and_draws_are_independent() -> None:
    space = ToySpace()
    draws = [space.index(p.architecture) for p in started(space).ask(24_000)]
    assert chi_squared(np.bincount(draws, minlength=24)) < 60  # 23 degrees: 1 in 30,000
    pairs = 24 * np.array(draws[:-1]) + np.array(draws[1:])
    assert chi_squared(np.bincount(pairs, minlength=576)) < 720  # 575 degrees: 1 in 30,000


def test_a_cell_may_come_twice() -> None:
    assert len(set(started().ask(24))) < 24


def test_it_proposes_full_trainings_of_measured_cells_only() -> None:
    kept = [(0, 0, 0), (1, 2, 3)]
    proposals = started(MaskedSpace(ToySpace(), kept)).ask(100)
    assert set(proposals) == {Proposal(cell, None) for cell in kept}


@pytest.mark.parametrize("score", [1e9, -float("inf")])
def test_what_it_is_told_changes_nothing(score: float) -> None:
    strategy, undisturbed = started(), started()
    drawn: list[Proposal] = []
    for _ in range(50):
        proposals = strategy.ask(3)
        strategy.tell([Observation(p.architecture, 1, score, 1.0) for p in proposals])
        drawn += proposals
    assert drawn == undisturbed.ask(150)


def test_another_generator_gives_other_draws() -> None:
    assert started(seed=1).ask(50) != started(seed=2).ask(50)
