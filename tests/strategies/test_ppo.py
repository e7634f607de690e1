"""PPO: the clipped objective's gradient against differences, batches, and the policy it ends at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from search.toys import ToySpace

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, Metric, Observation, Problem
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.strategies.ppo import Ppo

METRIC = Metric("score", "valid", "max", "points")
UNEQUAL = ToySpace((2, 5, 3))


class Watched(Ppo):
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


def objective(
    logits: Any, cells: Any, before: Any, advantages: Any, clip: float, weight: float
) -> float:
    """Return the objective of Schulman et al., equation 7, plus the entropy, by its definition."""
    total = 0.0
    probabilities = [np.exp(row) / np.exp(row).sum() for row in logits]
    for cell, old, advantage in zip(cells, before, advantages, strict=True):
        ratio = np.prod([row[op] for row, op in zip(probabilities, cell, strict=True)]) / np.exp(
            old
        )
        total += min(ratio * advantage, np.clip(ratio, 1 - clip, 1 + clip) * advantage)
    entropy = -sum(float((row[row > 0] * np.log(row[row > 0])).sum()) for row in probabilities)
    return total / len(cells) + weight * entropy


@given(st.integers(0, 10**6))
@settings(max_examples=15)
def test_the_step_is_along_the_gradient_of_the_clipped_objective(seed: int) -> None:
    rng, step = np.random.default_rng(seed), 1e-6
    strategy = started(initial_scale=0.8, entropy=0.3, clip=0.2, seed=seed)
    cells = np.array(UNEQUAL.sample(rng, 7))
    # Old probabilities on both sides of the clip, none at its edge, where there is no slope.
    before = strategy._log_probability(cells) - np.log(rng.choice([0.5, 0.9, 1.1, 1.9], 7))
    advantages = rng.normal(size=7)
    found = strategy._gradient(cells, before, advantages)
    for row, options in enumerate(UNEQUAL.choices):
        for op in range(options):
            sides = []
            for sign in (1, -1):
                logits = strategy._logits.copy()
                logits[row, op] += sign * step
                sides.append(objective(logits, cells, before, advantages, 0.2, 0.3))
            assert found[row, op] == pytest.approx(-(sides[0] - sides[1]) / (2 * step), abs=1e-6)
    assert not found[np.arange(5) >= np.array(UNEQUAL.choices)[:, None]].any()


def test_a_batch_makes_so_many_steps_and_less_makes_none() -> None:
    strategy = started(batch=4, epochs=3)
    for number in range(1, 10):
        [proposal] = strategy.ask(1)
        strategy.tell([seen(proposal.architecture, float(number))])
        assert len(strategy.gradients) == 3 * (number // 4)


def test_advantages_do_not_know_the_scale_of_rewards() -> None:
    one, other = started(batch=6), started(batch=6)
    for strategy, scale in ((one, 1.0), (other, 0.01)):
        for number, proposal in enumerate(strategy.ask(6)):
            strategy.tell([seen(proposal.architecture, 40.0 + scale * number**2)])
    np.testing.assert_allclose(one._logits[:, :2], other._logits[:, :2], rtol=0, atol=1e-6)


def test_a_batch_of_equal_rewards_teaches_nothing_but_entropy() -> None:
    strategy = started(batch=5, entropy=0.0)
    before = strategy._logits.copy()
    for proposal in strategy.ask(5):
        strategy.tell([seen(proposal.architecture, 70.0)])
    assert len(strategy.gradients) == 10
    assert np.array_equal(strategy._logits, before)


def test_what_is_infeasible_counts_for_nothing() -> None:
    strategy = started(batch=3)
    for number, proposal in enumerate(strategy.ask(5)):
        score = -np.inf if number in (1, 3) else float(number)
        strategy.tell([Observation(proposal.architecture, 1, score, 0.0)])
    assert len(strategy.gradients) == 10
    assert np.isfinite(strategy._logits[:, :2]).all()


def test_a_late_sample_counts_with_the_probability_it_was_sampled_with() -> None:
    strategy = started(batch=2, initial_scale=0.5, learning_rate=0.2)
    first, *others = strategy.ask(3)
    sampled_with = float(strategy._log_probability(np.array([first.architecture]))[0])
    strategy.tell([seen(other.architecture, float(i)) for i, other in enumerate(others)])
    assert len(strategy.gradients) == 10  # the policy has moved on
    now = float(strategy._log_probability(np.array([first.architecture]))[0])
    strategy.tell([seen(first.architecture, 3.0)])
    assert strategy._known == [(first.architecture, sampled_with, 3.0)]
    assert now != sampled_with


def test_nothing_is_kept_of_what_came_back() -> None:
    strategy = started()
    proposals = strategy.ask(50)
    strategy.tell([seen(p.architecture, float(i % 7)) for i, p in enumerate(proposals[::-1])])
    assert not strategy._sampled
    strategy.tell([seen((0, 0, 0), 1.0)])  # never asked for
    assert not strategy._sampled


@pytest.mark.parametrize("seed", range(3))
def test_the_policy_concentrates_on_what_pays(seed: int) -> None:
    space, target = NasBench201(), (3, 0, 2, 4, 1, 3)
    strategy = started(space, seed)
    for _ in range(800):
        [proposal] = strategy.ask(1)
        right = sum(a == b for a, b in zip(proposal.architecture, target, strict=True))
        strategy.tell([seen(proposal.architecture, 50.0 + 5.0 * right)])
    assert [p.architecture for p in strategy.ask(100)].count(target) > 60


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("learning_rate", 0), ("clip", 0), ("clip", float("nan")), ("entropy", -0.1)),
        *(("batch", 1), ("epochs", 0), ("initial_scale", -1.0), ("batch", 2.5)),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"ppo needs {setting} to be"):
        started(**{setting: value})
