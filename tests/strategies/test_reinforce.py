"""REINFORCE: gradient, baseline, Adam and sampling, each against its definition."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from search.toys import ToySpace, chi_squared

from nasbench_tab.errors import InvalidArgumentError, StrategyError
from nasbench_tab.records import Architecture, Metric, Observation, Problem
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.spaces.nasbench_graph import NasBenchGraphProteins
from nasbench_tab.spaces.nasbench_nlp import NasBenchNLP
from nasbench_tab.strategies import reinforce
from nasbench_tab.strategies.reinforce import Reinforce

METRIC = Metric("score", "valid", "max", "points")
UNEQUAL = ToySpace((2, 5, 3))
INFEASIBLE = -float("inf")


class Watched(Reinforce):
    """Keeps every gradient before Adam uses it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.gradients: list[NDArray[np.float64]] = []
        super().__init__(*arguments, **options)

    def _adam(self, gradient: NDArray[np.float64]) -> None:
        self.gradients.append(gradient.copy())
        super()._adam(gradient)


def started(space: Space = UNEQUAL, seed: int = 0, **options: Any) -> Watched:
    return Watched(Problem(space, METRIC, (1,)), np.random.default_rng(seed), **options)


def seen(cell: Architecture, score: float) -> Observation:
    return Observation(cell, 1, score, 1.0)


def sampled(strategy: Reinforce, n: int) -> list[Architecture]:
    return [proposal.architecture for proposal in strategy.ask(n)]


def log_likelihood(logits: NDArray[np.float64], cell: Architecture) -> float:
    total = 0.0
    for row, op in zip(logits, cell, strict=True):
        total += row[op] - np.log(np.sum(np.exp(row)))
    return float(total)


def test_the_step_is_along_the_gradient_of_the_log_likelihood() -> None:
    strategy = started(initial_scale=0.8, momentum=0.5)
    strategy.tell([seen((1, 1, 1), 10.0)])
    cell, step = (0, 4, 2), 1e-6
    logits = strategy._logits.copy()
    strategy.tell([seen(cell, 40.0)])
    # The mean of 10 and 40 with momentum 0.5, corrected for its start at zero, is 30.
    advantage = 40.0 - (0.5 * 10.0 + 40.0) / 1.5
    assert advantage == 10.0
    for row, options in enumerate(UNEQUAL.choices):
        for op in range(options):
            up, down = logits.copy(), logits.copy()
            up[row, op] += step
            down[row, op] -= step
            slope = (log_likelihood(up, cell) - log_likelihood(down, cell)) / (2 * step)
            assert strategy.gradients[1][row, op] == pytest.approx(-advantage * slope, abs=1e-6)


def test_the_baseline_takes_a_reward_in_before_its_advantage_is_formed() -> None:
    strategy = started(momentum=0.9)
    before = strategy._logits.copy()
    strategy.tell([seen((0, 0, 0), 93.0)])  # the first reward is its own baseline
    np.testing.assert_allclose(strategy.gradients[0], 0.0, atol=1e-12)
    np.testing.assert_allclose(strategy._logits[:, :2], before[:, :2], atol=1e-6)
    average = 0.1 * 93.0
    for number, reward in enumerate([80.0, 91.0, 60.0, 99.0], start=2):
        chosen = strategy._probabilities[0, 0]
        strategy.tell([seen((0, 0, 0), reward)])
        average = 0.9 * average + 0.1 * reward
        advantage = reward - average / (1 - 0.9**number)
        assert strategy.gradients[-1][0, 0] == pytest.approx(advantage * (chosen - 1))


def test_without_momentum_there_is_never_an_advantage() -> None:
    strategy = started(momentum=0.0)
    before = strategy._logits.copy()
    for number in range(20):
        strategy.tell([seen((1, number % 5, 0), float(number))])
    assert np.array_equal(strategy._logits, before)


def test_the_steps_are_those_of_adam() -> None:
    strategy = started(learning_rate=0.03)
    logits = strategy._logits.copy()
    mean, square = np.zeros_like(logits), np.zeros_like(logits)
    rng = np.random.default_rng(4)
    for number in range(1, 30):
        [cell] = sampled(strategy, 1)
        strategy.tell([seen(cell, float(rng.uniform(50, 95)))])
        gradient = strategy.gradients[-1]
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        corrected, spread = mean / (1 - 0.9**number), square / (1 - 0.999**number)
        logits = logits - 0.03 * corrected / (np.sqrt(spread) + 1e-8)
        np.testing.assert_allclose(strategy._logits, logits, rtol=0, atol=1e-12)


def test_the_policy_starts_close_to_uniform() -> None:
    cells = sampled(started(UNEQUAL), 30_000)
    counts = np.bincount([UNEQUAL.index(cell) for cell in cells], minlength=30)
    assert chi_squared(counts) < 75  # 29 degrees of freedom


def test_samples_follow_the_probabilities() -> None:
    strategy = started(initial_scale=1.0, seed=3)
    cells = np.array(sampled(strategy, 30_000))
    for position, options in enumerate(UNEQUAL.choices):
        exact = np.exp(strategy._logits[position, :options])
        expected = 30_000 * exact / exact.sum()
        counts = np.bincount(cells[:, position], minlength=options)
        assert ((counts - expected) ** 2 / expected).sum() < 30  # 4 degrees at most


def test_the_initial_scale_is_the_spread_of_the_logits() -> None:
    logits = np.concatenate(
        [started(NasBench201(), seed, initial_scale=0.5)._logits.ravel() for seed in range(100)]
    )
    assert abs(logits.mean()) < 0.04
    assert abs(logits.std() - 0.5) < 0.03
    assert not started(NasBench201(), initial_scale=0.0)._logits.any()


@pytest.mark.parametrize("seed", range(3))
def test_the_policy_concentrates_on_what_pays(seed: int) -> None:
    space, target = NasBench201(), (3, 0, 2, 4, 1, 3)
    strategy = started(space, seed, learning_rate=0.1)
    for _ in range(800):
        [cell] = sampled(strategy, 1)
        right = sum(a == b for a, b in zip(cell, target, strict=True))
        strategy.tell([seen(cell, 50.0 + 5.0 * right)])
    assert sampled(strategy, 100).count(target) > 80


def test_a_constant_reward_teaches_nothing() -> None:
    strategy = started()
    before = strategy._logits.copy()
    for cell in sampled(strategy, 200):
        strategy.tell([seen(cell, 70.0)])
    np.testing.assert_allclose(strategy._logits[:, :2], before[:, :2], rtol=0, atol=1e-4)


def test_options_that_do_not_exist_are_never_sampled() -> None:
    strategy = started(initial_scale=2.0, learning_rate=0.5)
    rng = np.random.default_rng(8)
    padded = np.arange(5) >= np.array(UNEQUAL.choices)[:, None]
    for _ in range(300):
        batch = sampled(strategy, 10)
        assert all(map(UNEQUAL.contains, batch))
        assert not strategy._probabilities[padded].any()
        np.testing.assert_allclose(strategy._probabilities.sum(axis=1), 1.0)
        strategy.tell([seen(batch[0], float(rng.uniform(0, 100)))])


@pytest.mark.parametrize(
    "space",
    [MaskedSpace(UNEQUAL, [(0, 0, 0), (1, 4, 2), (1, 2, 0)]), NasBenchGraphProteins()],
    ids=["masked", "with a rule"],
)
def test_only_architectures_of_the_space_are_sampled(space: Space) -> None:
    assert all(map(space.contains, sampled(started(space), 2_000)))


def test_infeasible_samples_are_ignored() -> None:
    strategy = started()
    strategy.tell([seen((0, 0, 0), 10.0), seen((1, 1, 1), 20.0)])
    twin = copy.deepcopy(strategy)
    strategy.tell([seen((0, 1, 2), INFEASIBLE)] * 5)
    for each in (strategy, twin):
        each.tell([seen((0, 0, 0), 30.0)])
    assert np.array_equal(strategy._logits, twin._logits)
    assert sampled(strategy, 50) == sampled(twin, 50)


def test_observations_may_come_late_and_in_any_order() -> None:
    strategy, twin = started(), started()
    cells = sampled(strategy, 6)
    assert cells == sampled(twin, 6)
    observations = [seen(cell, float(score)) for score, cell in enumerate(cells)]
    strategy.tell([observations[i] for i in (4, 0, 5)])
    strategy.tell([observations[i] for i in (2, 1, 3)])
    for i in (4, 0, 5, 2, 1, 3):  # one at a time makes the same steps
        twin.tell([observations[i]])
    assert np.array_equal(strategy._logits, twin._logits)
    assert len(strategy.gradients) == 6


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 0},
        {"learning_rate": -0.1},
        {"momentum": -0.1},
        {"momentum": 1},
        {"momentum": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(
        InvalidArgumentError,
        match=r"reinforce needs (learning_rate|momentum) to be a number, at least",
    ):
        started(**options)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("learning_rate", "0.1"),
        ("momentum", "0.9"),
        ("initial_scale", -1.0),
        ("initial_scale", float("nan")),
        ("initial_scale", "small"),
    ],
)
def test_settings_must_be_numbers_that_make_sense(setting: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="reinforce needs"):
        started(**{setting: value})


def test_a_space_that_positions_do_not_hit_is_said_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reinforce, "_TRIES", 100)
    with pytest.raises(
        StrategyError, match="Of 100 draws of the policy none is an architecture of"
    ):
        started(NasBenchNLP()).ask(1)
