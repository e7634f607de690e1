"""Strata, trimmed means and the widened level, against NumPy, SciPy and known laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nasbench_tab.stats.bootstrap import (
    MIN_RUNS,
    mean_interval,
    percentile_interval,
    resampling_weights,
    stratified_weights,
    trimmed_means,
    widened_level,
)


def test_strata_are_resampled_apart() -> None:
    weights = stratified_weights(3, 6, 4000, np.random.default_rng(0))
    assert weights.shape == (3, 4000, 6)
    np.testing.assert_allclose(weights.sum(axis=2), 1)
    together = np.corrcoef(weights[0, :, 0], weights[1, :, 0])[0, 1]
    assert abs(together) < 0.06


@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.integers(0, 10**6), st.integers(0, 3)
)
def test_trimmed_means_are_those_of_the_sorted_resample(
    data: list[int], seed: int, quarters: int
) -> None:
    values, n = np.array(data, float), len(data)
    cut = min((n - 1) // 2, quarters * n // 4)
    counts = resampling_weights(n, 20, np.random.default_rng(seed)) * n
    expected = [
        np.sort(np.repeat(values, np.round(row).astype(int)))[cut : n - cut].mean()
        for row in counts
    ]
    assert trimmed_means(values, counts, cut) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("n", [7, 8, 25])
def test_cuts_make_mean_median_and_interquartile_mean(n: int) -> None:
    data, once = np.random.default_rng(n).lognormal(size=n), np.ones((1, n))
    assert trimmed_means(data, once, 0) == pytest.approx(data.mean())
    assert trimmed_means(data, once, (n - 1) // 2) == pytest.approx(np.median(data))
    assert trimmed_means(data, once, n // 4) == pytest.approx(stats.trim_mean(data, 0.25))


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_widened_level_is_hesterbergs(level: float) -> None:
    t = stats.t.ppf((1 + level) / 2, 19) * np.sqrt(20 / 19)
    assert widened_level(20, level) == pytest.approx(stats.norm.cdf(t) - stats.norm.cdf(-t))
    assert widened_level(100_000, level) == pytest.approx(level, abs=1e-4)
    assert level < widened_level(20, level, n_tasks=5) < widened_level(20, level)


def test_the_widened_interval_covers_where_the_plain_one_does_not() -> None:
    rng = np.random.default_rng(3)
    data, weights = rng.normal(size=(20, 3000)), resampling_weights(20, 2000, rng)
    missed = {}
    for level in (0.95, widened_level(20)):
        found = mean_interval(data, weights, level)
        missed[level] = float(np.mean((found.low > 0) | (found.high < 0)))
    plain, widened = missed.values()
    assert plain > 0.06
    assert widened == pytest.approx(0.05, abs=0.012)


def test_few_runs_get_an_estimate_and_no_interval() -> None:
    few = percentile_interval(1.0, np.ones(100), MIN_RUNS - 1)
    assert few.estimate == 1.0
    assert np.isnan([few.low, few.high]).all()
    assert not np.isnan(percentile_interval(1.0, np.ones(100), MIN_RUNS).low)
