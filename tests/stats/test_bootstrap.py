"""The bootstrap against enumeration by hand and against SciPy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from nasbench_tab.stats.bootstrap import (
    Interval,
    mean_interval,
    resampling_weights,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def every_resample(n_runs: int) -> np.ndarray:
    """Return the weights of all ``n ** n`` equally likely resamples."""
    draws = product(range(n_runs), repeat=n_runs)
    return np.array([np.bincount(draw, minlength=n_runs) for draw in draws]) / n_runs


def test_weights_are_counts_of_draws() -> None:
    weights = resampling_weights(7, 500, rng())
    assert weights.shape == (500, 7)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_array_equal(weights * 7, np.round(weights * 7))
    assert weights.mean(axis=0) == pytest.approx(np.full(7, 1 / 7), abs=0.02)


def test_weights_follow_the_law_of_drawing_with_replacement() -> None:
    # Each run is drawn k times with the binomial law of n draws with chance 1 / n.
    counts = np.round(resampling_weights(5, 20_000, rng())[:, 0] * 5).astype(int)
    found = np.bincount(counts, minlength=6) / len(counts)
    assert found == pytest.approx(stats.binom.pmf(np.arange(6), 5, 0.2), abs=0.01)


def test_interval_of_two_runs_by_hand() -> None:
    # Resampled means of (0, 10) are 0, 5, 5 and 10: the quartiles of these are 3.75 and 6.25.
    found = mean_interval(np.array([0.0, 10.0]), every_resample(2), level=0.5)
    assert found == Interval(np.array(5.0), np.array(3.75), np.array(6.25))


def test_interval_of_three_runs_by_enumeration() -> None:
    data = np.array([1.0, 2.0, 6.0])
    means = sorted(sum(draw) / 3 for draw in product(data.tolist(), repeat=3))
    found = mean_interval(data, every_resample(3), level=0.8)
    assert found.estimate == pytest.approx(3.0)
    assert found.low == pytest.approx(np.quantile(means, 0.1))
    assert found.high == pytest.approx(np.quantile(means, 0.9))


@pytest.mark.parametrize("n_runs", [5, 30, 200])
def test_interval_agrees_with_scipy(n_runs: int) -> None:
    data = rng(1).lognormal(size=n_runs)
    found = mean_interval(data, resampling_weights(n_runs, 20_000, rng(2)))
    theirs = stats.bootstrap(
        (data,), np.mean, n_resamples=20_000, method="percentile", rng=rng(3)
    ).confidence_interval
    spread = data.std() / np.sqrt(n_runs)
    assert found.low == pytest.approx(theirs.low, abs=0.06 * spread)
    assert found.high == pytest.approx(theirs.high, abs=0.06 * spread)


def test_band_is_the_interval_of_every_point() -> None:
    data = rng(1).normal(size=(12, 4))
    weights = resampling_weights(12, 400, rng(2))
    band = mean_interval(data, weights, level=0.9)
    assert band.low.shape == (4,)
    for point in range(4):
        alone = mean_interval(data[:, point], weights, level=0.9)
        assert band.low[point] == pytest.approx(alone.low)
        assert band.high[point] == pytest.approx(alone.high)
        assert band.estimate[point] == pytest.approx(data[:, point].mean())


def test_intervals_hold_the_mean_as_often_as_they_say() -> None:
    weights = resampling_weights(40, 500, rng())
    found = mean_interval(rng(1).normal(size=(40, 2000)), weights)  # 2,000 experiments of 40 runs
    assert np.mean((found.low < 0) & (found.high > 0)) == pytest.approx(0.94, abs=0.02)


def test_same_seed_same_interval() -> None:
    data = rng(5).normal(size=30)
    first, second = (mean_interval(data, resampling_weights(30, 300, rng(7))) for _ in range(2))
    assert first == second
