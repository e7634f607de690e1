"""Freeze-thaw: what is extrapolated, with what doubt, and what is thawed for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search.toys import toy_bench

from nasbench_tab.records import Metric, Observation, Problem, Proposal, Protocol
from nasbench_tab.search.run import run_search
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.strategies.freeze_thaw import FreezeThaw, Line, expected_gain, fit_line

METRIC = Metric("score", "valid", "max", "points")


def started(epochs: tuple[int, ...] = (1, 2, 4), seed: int = 0, **options: Any) -> FreezeThaw:
    problem = Problem(NasBench201(), METRIC, epochs)
    return FreezeThaw(problem, np.random.default_rng(seed), **options)


def answer(proposal: Proposal, score: float, seconds: float = 1.0, status: Any = "ok") -> Any:
    return Observation(proposal.architecture, proposal.epoch or 0, score, seconds, status)


def begun(scores: Any = (50, 52, 54, 56, 58), noise: Any = (0,) * 5) -> FreezeThaw:
    """Return a strategy whose first five are done: ten points from pause to pause, and noise."""
    strategy = started()
    for score, off in zip(scores, noise, strict=True):
        for step in range(3):
            (proposal,) = strategy.ask(1)
            assert proposal.epoch == (1, 2, 4)[step]
            strategy.tell([answer(proposal, score + 10 * step + off * step)])
    return strategy


def test_the_first_ones_are_trained_through_one_after_the_other() -> None:
    strategy = begun()
    (proposal,) = strategy.ask(1)
    assert proposal.epoch == 1


def test_one_that_will_beat_the_best_goes_on_and_one_that_will_not_waits() -> None:
    strategy = begun()  # the best has 78; the lines are exact, so there is no doubt
    (worse,) = strategy.ask(1)
    strategy.tell([answer(worse, 57.9)])
    (better,) = strategy.ask(1)
    assert better.epoch == 1  # another one
    strategy.tell([answer(better, 58.5)])
    assert strategy.ask(1) == [Proposal(better.architecture, 2)]
    strategy.tell([answer(better._replace(epoch=2), 68.5)])
    assert strategy.ask(1) == [Proposal(better.architecture, 4)]


def test_what_disappoints_is_left_lying() -> None:
    strategy = begun(noise=(0.1, -0.1, 0, 0.1, -0.1))
    (hope,) = strategy.ask(1)
    strategy.tell([answer(hope, 59.0)])
    assert strategy.ask(1) == [Proposal(hope.architecture, 2)]
    strategy.tell([answer(hope._replace(epoch=2), 60.0)])  # 69 was expected
    assert [proposal.epoch for proposal in strategy.ask(3)] == [1] * 3


def test_of_equal_promise_the_quicker_goes_on() -> None:
    strategy = begun()
    slow, quick = strategy.ask(2)
    strategy.tell([answer(slow, 59.0, seconds=9.0), answer(quick, 59.0, seconds=1.0)])
    assert strategy.ask(2) == [Proposal(quick.architecture, 2), Proposal(slow.architecture, 2)]


def test_more_workers_than_first_ones() -> None:
    strategy = started()
    proposals = strategy.ask(8)
    assert [proposal.epoch for proposal in proposals] == [1] * 8
    strategy.tell([answer(proposal, 50.0 + i) for i, proposal in enumerate(proposals)])
    assert [proposal.epoch for proposal in strategy.ask(6)] == [2] * 5 + [1]
    assert strategy.ask(1)[0].epoch == 1  # nothing to judge by yet


def test_an_infeasible_first_one_is_replaced() -> None:
    strategy = started()
    first = strategy.ask(5)
    strategy.tell([answer(p, -np.inf, 0.0, "infeasible") for p in first[:2]])
    strategy.tell([answer(p, 50.0, 0.0, "repeat") for p in first[2:3]])
    assert strategy._unpaused == 3


def test_the_basket_keeps_the_best_at_each_pause() -> None:
    strategy = begun()
    proposals = strategy.ask(40)
    scores = np.random.default_rng(0).permutation(40) + 10.0  # all hopeless
    strategy.tell([answer(p, s) for p, s in zip(proposals, scores, strict=True)])
    assert [training.score for training in strategy._paused[0]] == list(range(40, 50))


@given(st.integers(0, 10_000), st.integers(60, 200))
def test_a_line_of_many_pairs_is_that_of_least_squares(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(70, 5, n)
    y = 20 + 0.8 * x + rng.normal(0, 0.5, n)
    line = fit_line(x, y)
    slope, rise = np.polyfit(x, y, 1)
    assert line.slope == pytest.approx(slope, abs=0.01)
    assert line.later + line.slope * (60 - line.earlier) == pytest.approx(
        rise + slope * 60, abs=0.2
    )
    assert line.variance == pytest.approx(0.25, rel=0.7)


def test_a_line_of_few_pairs_keeps_to_its_prior() -> None:
    x = np.array([70.0, 70.01, 70.02, 70.03, 70.04])  # they say nothing of the slope
    y = np.array([81.0, 80.0, 79.0, 80.5, 79.5])
    assert fit_line(x, y).slope == pytest.approx(1, abs=0.05)
    assert fit_line(np.arange(50.0), -np.arange(50.0)).slope == 0  # never turned round
    same = fit_line(np.full(5, 3.0), np.full(5, 4.0))
    assert same == Line(3.0, 4.0, 1.0, 0.0, 5, 0.0)


@pytest.mark.parametrize("best", [60.0, 80.0, 90.0])
def test_the_expected_gain_is_that_of_simulated_curves(best: float) -> None:
    """Two stretches with known lines: mean of max(final - best, 0) over simulated finals."""
    lines = [Line(70.0, 75.0, 0.9, 4.0, 10, 50.0), Line(75.0, 80.0, 1.1, 1.0, 8, 40.0)]
    score = np.array([72.0])
    rng = np.random.default_rng(0)
    values = np.repeat(score, 400_000)
    doubtful = np.array([72.0])  # the doubt about a line is that at the mean path
    for line in lines:
        off = doubtful - line.earlier
        sd = np.sqrt(line.variance * (1 + 1 / line.n + off**2 / line.weight))
        values = line.later + line.slope * (values - line.earlier) + rng.normal(0, sd, len(values))
        doubtful = line.later + line.slope * off
    expected = np.maximum(values - best, 0)
    (gain,) = expected_gain(lines, score, best)
    assert gain == pytest.approx(expected.mean(), abs=4 * expected.std() / 600)


def test_without_doubt_the_gain_is_what_is_above() -> None:
    line = Line(0.0, 1.0, 1.0, 0.0, 5, 10.0)
    np.testing.assert_array_equal(
        expected_gain([line], np.array([1.0, 2.0, 5.0]), 3.0), [0.0, 0.0, 3.0]
    )


def test_the_coverage_of_its_doubt_on_curves_of_its_own_kind() -> None:
    """Predictions of held-out ends are within two deviations about as often as they should be."""
    rng, inside, total = np.random.default_rng(0), 0, 0
    for _ in range(300):
        n = int(rng.integers(5, 30))
        x = rng.normal(70, 4, n + 20)
        y = 12 + rng.uniform(0.6, 1.2) * x + rng.normal(0, 1, n + 20)
        line = fit_line(x[:n], y[:n])
        off = x[n:] - line.earlier
        sd = np.sqrt(line.variance * (1 + 1 / line.n + off**2 / line.weight))
        inside += int((np.abs(y[n:] - line.later - line.slope * off) < 2 * sd).sum())
        total += 20
    assert 0.94 < inside / total < 0.99


def test_it_pays_where_trainings_can_be_continued() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(80, 3, 24)[:, None, None] - 10 / np.arange(1, 10)
    bench = toy_bench(values, seconds=np.arange(1.0, 10.0)[None, None, :], curve=True)
    whole, again = (
        run_search("freeze-thaw", bench, Protocol(seconds=150.0, repeats="reuse", resume=resume))
        for resume in ("continue", "restart")
    )
    assert len(set(map(bytes, whole.architectures))) >= len(set(map(bytes, again.architectures)))
    assert whole.values.max() == bench.query(bench.measured()).max()  # all alike: it is found
