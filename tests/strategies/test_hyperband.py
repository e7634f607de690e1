"""Hyperband: brackets that begin at every level in turn, each successive halving."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.toys import ToySpace, toy_bench

from nasbench_tab.records import Architecture, Metric, Observation, Problem, Proposal, Protocol
from nasbench_tab.search.run import run_search
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.strategies.hyperband import Hyperband, level_epochs
from nasbench_tab.strategies.random_search import RandomSearch
from nasbench_tab.strategies.successive_halving import draws

METRIC = Metric("score", "valid", "max", "points")
CELL = NasBench201()


def upto(last: int) -> tuple[int, ...]:
    return tuple(range(1, last + 1))


def started(epochs: tuple[int, ...], seed: int = 0, **options: Any) -> Hyperband:
    return Hyperband(Problem(CELL, METRIC, epochs), np.random.default_rng(seed), **options)


def answers(
    proposals: list[Proposal], scores: list[float], status: Any = "ok"
) -> list[Observation]:
    pairs = zip(proposals, scores, strict=True)
    return [Observation(cell, epoch or 0, score, 1.0, status) for (cell, epoch), score in pairs]


@pytest.mark.parametrize(
    ("epochs", "least", "eta", "expected"),
    [
        (upto(81), 1, 3, [1, 3, 9, 27, 81]),
        (upto(12), 1, 3, [1, 4, 12]),  # NATS-Bench's 1.33, 4 and 12
        (upto(5), 1, 3, [1, 5]),
        (upto(5), 1, 2, [1, 2, 5]),
        (upto(200), 1, 3, [2, 7, 22, 66, 200]),
        (upto(200), 11, 3, [22, 66, 200]),
        ((4, 12, 36, 108), 1, 3, [4, 12, 36, 108]),  # NAS-Bench-101's
        ((12, 200), 1, 3, [12, 200]),
        ((12, 200), 13, 3, [200]),
        ((1, 50), 4, 3, [50]),  # 5.6 is rounded to 1, which is less than the least
        ((200,), 1, 3, [200]),
        (upto(2), 1, 3, [2]),
        (upto(9), 9, 3, [9]),
    ],
)
def test_levels_from_the_full_training_down(
    epochs: tuple[int, ...], least: int, eta: int, expected: list[int]
) -> None:
    assert level_epochs("x", epochs, least, eta) == expected


@given(st.sets(st.integers(1, 300), min_size=1).map(sorted), st.integers(1, 300), st.integers(2, 9))
def test_levels_are_measured_and_not_below_least(epochs: list[int], least: int, eta: int) -> None:
    least = min(least, epochs[-1])
    levels = level_epochs("x", epochs, least, eta)
    assert levels == sorted(set(levels))
    assert set(levels) <= set(epochs)
    assert levels[-1] == epochs[-1]
    assert levels[0] >= least
    assert len(levels) <= 1 + math.log(epochs[-1] / max(least, epochs[0]), eta) + 1e-9


def test_the_brackets_of_the_paper() -> None:
    """R = 81, eta = 3: 81, 34, 15, 8 and 5 cells, as algorithm 1 has it."""
    strategy, rng = started(upto(81)), np.random.default_rng(1)
    expected = [
        {1: 81, 3: 27, 9: 9, 27: 3, 81: 1},
        {3: 34, 9: 11, 27: 3, 81: 1},
        {9: 15, 27: 5, 81: 1},
        {27: 8, 81: 2},
        {81: 5},
    ]
    for shape in expected * 2:
        counts: Counter[int | None] = Counter()
        while counts.total() < sum(shape.values()):
            proposals = strategy.ask(1)
            counts.update(epoch for _, epoch in proposals)
            strategy.tell(answers(proposals, [float(rng.random())]))
        assert counts == shape


@settings(max_examples=25)
@given(st.integers(2, 4), st.integers(1, 40), st.integers(0, 99))
def test_a_run_is_that_of_the_algorithm_as_published(eta: int, last: int, seed: int) -> None:
    """Algorithm 1 written down again, on the same draws; one worker."""
    epochs = upto(last)
    cells = draws(CELL, np.random.default_rng(seed))
    most = 0
    while last >= eta ** (most + 1):
        most += 1
    expected: list[Proposal] = []

    def score(cell: Architecture, epoch: int) -> float:
        return float(hash((cell, epoch, seed)) % 7)

    while len(expected) < 150:
        for s in range(most, -1, -1):
            n = math.ceil((most + 1) * eta**s / (s + 1))
            alive = [next(cells) for _ in range(n)]
            for i in range(s + 1):
                epoch = int(last / eta ** (s - i) + 1e-9)
                expected += [Proposal(cell, epoch) for cell in alive]
                alive.sort(key=lambda cell: -score(cell, epoch))
                alive = alive[: len(alive) // eta]
    strategy, done = started(epochs, seed, eta=eta), []
    for _ in range(150):
        (proposal,) = strategy.ask(1)
        done.append(proposal)
        assert proposal.epoch is not None
        strategy.tell(answers([proposal], [score(proposal.architecture, proposal.epoch)]))
    assert done == expected[:150]


def test_free_workers_begin_the_next_bracket_and_come_back() -> None:
    strategy = started(upto(9))
    first = strategy.ask(9 + 5 + 3 + 2)
    assert [epoch for _, epoch in first] == [1] * 9 + [3] * 5 + [9] * 3 + [1] * 2
    strategy.tell(answers(first[:9], [5, 1, 9, 2, 7, 3, 4, 0, 6]))
    assert strategy.ask(3) == [Proposal(first[i].architecture, 3) for i in (2, 4, 8)]
    strategy.tell(answers(first[9:14], [1, 2, 3, 4, 5]))
    assert strategy.ask(1) == [Proposal(first[13].architecture, 9)]
    strategy.tell(answers(first[14:17], [99, 99, 99]))  # full trainings decide nothing
    assert [epoch for _, epoch in strategy.ask(8)] == [1] * 7 + [3]


def test_the_same_cell_in_two_brackets() -> None:
    """Each bracket gets one answer of the two."""
    space = ToySpace((1, 1))
    strategy = Hyperband(Problem(space, METRIC, (1, 3)), np.random.default_rng(0))
    first = strategy.ask(3 + 2 + 3)
    assert [epoch for _, epoch in first] == [1] * 3 + [3] * 2 + [1] * 3
    strategy.tell(answers(first[:3], [1, 2, 3]))
    assert strategy.ask(1) == [Proposal((0, 0), 3)]
    strategy.tell(answers(first[5:], [1, 2, 3]))
    assert strategy.ask(1) == [Proposal((0, 0), 3)]


def test_an_infeasible_cell_is_replaced() -> None:
    strategy = started(upto(9))
    first = strategy.ask(9)
    strategy.tell(answers(first[:4], [-np.inf] * 4, "infeasible"))
    assert [epoch for _, epoch in strategy.ask(4)] == [1] * 4


def test_on_one_epoch_it_is_random_search() -> None:
    drawn = [proposal.architecture for proposal in started((200,)).ask(100)]
    plain = RandomSearch(Problem(CELL, METRIC, (200,)), np.random.default_rng(0)).ask(100)
    assert drawn == [proposal.architecture for proposal in plain]


def test_workers_are_never_idle() -> None:
    bench = toy_bench(
        np.arange(24.0)[:, None, None] + np.arange(1, 10) / 10,
        seconds=np.arange(1.0, 10.0)[None, None, :],
        curve=True,
    )
    run = run_search("hyperband", bench, Protocol(seconds=300.0, workers=5, overshoot="keep"))
    assert run.epochs.sum() >= 5 * 300  # a second for each epoch: each worker worked all the time
