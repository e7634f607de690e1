"""Aggregates against rliable, SciPy and hand counts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.stats.aggregate import (
    aggregate,
    interquartile_mean,
    mean_ranks,
    normalised_regret,
    performance_profile,
    probability_of_improvement,
)
from nasbench_tab.stats.bootstrap import stratified_weights

# What rliable 1.2.0 gives for scores 1 - FIRST and 1 - SECOND (50,000 and 20,000 resamples): mean,
# median, IQM and optimality gap (gamma 0.8) with get_interval_estimates; P(first > second); the
# profile at scores 0.505, 0.705, 0.905.
FIRST = np.round(np.random.default_rng(11).beta(2, 5, (25, 4)), 2)
SECOND = np.round(np.random.default_rng(12).beta(2, 4, (25, 4)), 2)
RLIABLE = {
    "mean": (0.7181, 0.6888, 0.7466),
    "median": (0.7212, 0.6874, 0.7524),
    "iqm": (0.7308, 0.6956, 0.7628),
    "gap": (0.1070, 0.0845, 0.1309),
}
RLIABLE_IMPROVEMENT = (0.6038, 0.5234, 0.6806)
RLIABLE_PROFILE = ((0.93, 0.61, 0.11), (0.88, 0.52, 0.05), (0.97, 0.70, 0.17))


def weights_for(regret: np.ndarray, seed: int = 0, repetitions: int = 4000) -> np.ndarray:
    n_runs, n_tasks = regret.shape[:2]
    return stratified_weights(n_tasks, n_runs, repetitions, np.random.default_rng(seed))


def test_normalised_regret_by_hand() -> None:
    found = normalised_regret([[90.0, 60.0], [50.0, np.nan]], [90.0, 80.0], [50.0, 40.0], "max")
    np.testing.assert_array_equal(found, [[0.0, 0.5], [1.0, np.nan]])
    np.testing.assert_array_equal(
        normalised_regret([1.0, 3.0, 7.0], 1.0, 5.0, "min"), [0, 0.5, 1.5]
    )


@given(st.floats(-50, 50), st.floats(0.1, 50), st.floats(-100, 100))
def test_normalised_regret_does_not_care_for_orientation(
    mean: float, gain: float, value: float
) -> None:
    up = normalised_regret(value, mean + gain, mean, "max")
    assert normalised_regret(-value, -mean - gain, -mean, "min") == pytest.approx(up)


@pytest.mark.parametrize(("optimum", "mean"), [(1.0, 1.0), (1.0, 2.0), (np.nan, 0.0)])
def test_a_scale_that_is_none_is_refused(optimum: float, mean: float) -> None:
    with pytest.raises(InvalidArgumentError, match="must be better"):
        normalised_regret([0.5], optimum, mean, "max")


@pytest.mark.parametrize("name", RLIABLE)
def test_aggregates_are_those_of_rliable(name: str) -> None:
    found = getattr(aggregate(FIRST, weights_for(FIRST), target=0.2), name)
    theirs = RLIABLE[name]
    if name != "gap":  # they count scores, we count regret
        theirs = (1 - theirs[0], 1 - theirs[2], 1 - theirs[1])
    assert found.estimate == pytest.approx(theirs[0], abs=1e-9)
    width = theirs[2] - theirs[1]
    # Ours is wider by sqrt(25 / 24) and by Student's t at 96 degrees of freedom: 3.4 %.
    assert found.low == pytest.approx(theirs[1] - 0.017 * width, abs=0.03 * width)
    assert found.high == pytest.approx(theirs[2] + 0.017 * width, abs=0.03 * width)


def test_probability_of_improvement_is_that_of_rliable() -> None:
    second_weights = weights_for(SECOND, seed=1)
    found = probability_of_improvement(FIRST, SECOND, weights_for(FIRST), second_weights)
    assert found.estimate == pytest.approx(RLIABLE_IMPROVEMENT[0], abs=1e-9)
    assert found.low == pytest.approx(RLIABLE_IMPROVEMENT[1], abs=0.01)
    assert found.high == pytest.approx(RLIABLE_IMPROVEMENT[2], abs=0.01)


def test_performance_profile_is_that_of_rliable() -> None:
    found = performance_profile(FIRST, np.array([0.495, 0.295, 0.095]), weights_for(FIRST))
    for ours, theirs in zip(found, RLIABLE_PROFILE, strict=True):
        assert ours == pytest.approx(np.array(theirs), abs=0.012)
    assert found.estimate == pytest.approx(np.array(RLIABLE_PROFILE[0]), abs=1e-9)


def test_interquartile_mean_leaves_the_ends_out() -> None:
    assert interquartile_mean([[1000.0, 1.0], [3.0, -1000.0]]) == 2.0
    data = np.random.default_rng(0).normal(size=(7, 3))
    assert interquartile_mean(data) == pytest.approx(stats.trim_mean(data, 0.25, axis=None))


def test_every_resample_is_aggregated_as_if_it_were_the_data() -> None:
    regret = np.random.default_rng(5).random((6, 2))
    draws = np.random.default_rng(6).integers(0, 6, (300, 2, 6))
    counts = np.array([[np.bincount(d, minlength=6) for d in both] for both in draws])
    found = aggregate(regret, counts.transpose(1, 0, 2) / 6, level=0.5)
    resampled = [np.stack([regret[d, t] for t, d in enumerate(both)], axis=1) for both in draws]
    every: dict[str, Callable[[np.ndarray], float]] = {
        "mean": lambda r: float(r.mean()),
        "median": lambda r: float(np.median(r.mean(axis=0))),
        "iqm": interquartile_mean,
    }
    for name, statistic in every.items():
        values = np.array([statistic(r) for r in resampled])
        low, high = getattr(found, name).low, getattr(found, name).high
        assert np.mean((values >= low) & (values <= high)) == pytest.approx(0.56, abs=0.06)
        assert np.abs(values - low).min() < 0.01


def test_gap_is_the_mean_unless_there_is_a_target() -> None:
    found = aggregate(FIRST, weights_for(FIRST))
    assert found.gap.estimate == pytest.approx(found.mean.estimate)
    assert found.gap.high == pytest.approx(found.mean.high)
    assert aggregate(FIRST, weights_for(FIRST), target=2.0).gap.estimate == 0
    assert (found.n_runs, found.n_tasks) == (25, 4)


@given(st.integers(0, 1000))
def test_improvement_of_one_and_of_the_other_sum_to_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 4, (2, 8, 2)).astype(float)
    weights = weights_for(first, repetitions=50)
    there = probability_of_improvement(first, second, weights)
    back = probability_of_improvement(second, first, weights)
    assert there.estimate + back.estimate == pytest.approx(1)
    assert there.low + back.high == pytest.approx(1)
    by_hand = [
        np.mean([(a < b) + 0.5 * (a == b) for a, b in product(first[:, t], second[:, t])])
        for t in range(2)
    ]
    assert there.estimate == pytest.approx(np.mean(by_hand))


def test_ranks_by_hand() -> None:
    # Two runs on one task, three strategies, two points of time.
    regret = np.array(
        [[[[np.nan, 1.0], [3.0, 1.0], [np.nan, 0.0]]], [[[5.0, 2.0], [4.0, 3.0], [6.0, 1.0]]]]
    )
    found = mean_ranks(regret, np.full((1, 10, 2), 0.5))
    np.testing.assert_array_equal(found.estimate, [[2.25, 2.25], [1.0, 2.75], [2.75, 1.0]])
    assert np.isnan(found.low).all()  # two runs


@given(st.integers(0, 1000))
def test_ranks_are_scipys_and_sum_to_a_constant(seed: int) -> None:
    regret = np.random.default_rng(seed).integers(0, 3, (6, 2, 4, 3)).astype(float)
    found = mean_ranks(regret, weights_for(regret, repetitions=200))
    theirs = stats.rankdata(regret, axis=2).mean(axis=(0, 1))
    assert found.estimate == pytest.approx(theirs)
    assert found.estimate.sum(axis=0) == pytest.approx(np.full(3, 10.0))
    assert np.all((found.low <= found.estimate) & (found.estimate <= found.high))


def test_mean_rank_of_two_is_one_plus_the_chance_of_being_behind() -> None:
    regret = np.random.default_rng(0).random((40, 3, 2, 1))
    found = mean_ranks(regret, weights_for(regret))
    behind = (regret[:, :, 1, 0] < regret[:, :, 0, 0]).mean()
    assert found.estimate[0, 0] == pytest.approx(1 + behind)


def test_bad_input_is_refused_with_the_reason() -> None:
    holed = FIRST.copy()
    holed[3, 1] = np.nan
    with pytest.raises(InvalidArgumentError, match=r"\[0, 1, 0, 0\] of 25"):
        aggregate(holed, weights_for(FIRST))
    with pytest.raises(InvalidArgumentError, match="runs x tasks"):
        aggregate(FIRST[:, 0], weights_for(FIRST))
    with pytest.raises(InvalidArgumentError, match="stratified_weights"):
        performance_profile(FIRST, np.array([0.1]), weights_for(FIRST)[:3])
    with pytest.raises(InvalidArgumentError, match="same tasks"):
        probability_of_improvement(
            FIRST, SECOND[:, :2], weights_for(FIRST), weights_for(SECOND[:, :2])
        )


def test_four_runs_get_no_interval() -> None:
    found = aggregate(FIRST[:4], weights_for(FIRST[:4]))
    assert found.iqm.estimate > 0
    assert np.isnan([found.iqm.low, found.mean.high]).all()
