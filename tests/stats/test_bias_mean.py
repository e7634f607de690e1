"""Means over few cells: against textbooks, matrices and SciPy, and in batches as one by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nasbench_tab.stats.cellmean import (
    Mean,
    cell_gaps,
    cell_mean,
    interval,
    least_margin,
    p_equivalence,
    p_two_sided,
    smallest_detectable,
    total,
    variance_parts,
)

GAPS = st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=12)
ZERO = np.asarray(0.0)


def mean_of(mean: float, se: float, df: float, skewness: float = 0.0) -> Mean:
    return Mean(*map(np.asarray, (mean, se, df, skewness)))


@settings(max_examples=40, deadline=None)
@given(GAPS)
def test_equal_weights_are_the_textbook(values: list[float]) -> None:
    gaps = np.array(values, float)
    found = cell_mean(gaps, 7.0)
    assert found.mean == pytest.approx(gaps.mean(), abs=1e-9)
    assert found.se == pytest.approx(gaps.std(ddof=1) / math.sqrt(len(gaps)), abs=1e-9)
    assert found.df == pytest.approx(len(gaps) - 1)


@settings(max_examples=40, deadline=None)
@given(GAPS, st.integers(0, 2**32 - 1))
def test_unequal_weights_are_bell_and_mccaffreys(values: list[float], seed: int) -> None:
    gaps = np.array(values, float)
    weights = np.random.default_rng(seed).integers(1, 9, len(gaps)).astype(float)
    n, p = len(gaps), weights / weights.sum()
    residual = np.eye(n) - np.outer(np.ones(n), p)
    scale = np.diag(p / np.sqrt(np.diag(residual @ residual.T)))
    form = scale @ residual @ residual.T @ scale
    found = cell_mean(gaps, weights)
    assert found.se == pytest.approx(math.sqrt(((scale @ residual @ gaps) ** 2).sum()), abs=1e-9)
    assert found.df == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))
    assert 0.99 <= found.df <= n - 1 + 1e-9


def test_the_variance_is_unbiased_whatever_the_weights() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([9.0, 4, 2, 1, 1, 1])
    found = cell_mean(rng.normal(size=(100_000, 6)), weights)
    assert (found.se**2).mean() == pytest.approx(found.mean.var(), rel=0.02)


def test_a_batch_is_one_by_one_and_missing_cells_are_not_there() -> None:
    rng = np.random.default_rng(1)
    gaps = rng.normal(size=(30, 8))
    gaps[rng.random(gaps.shape) < 0.3] = np.nan
    weights = rng.integers(1, 5, gaps.shape).astype(float)
    batch = cell_mean(gaps, weights)
    for i, row in enumerate(gaps):
        known = np.isfinite(row)
        one = cell_mean(row[known], weights[i][known])
        for whole, part in zip(batch, one, strict=True):
            assert whole[i] == pytest.approx(float(part), nan_ok=True)


def test_fewer_than_two_cells_have_no_error() -> None:
    for gaps in (np.empty(0), np.array([np.nan, 2.0])):
        found = cell_mean(gaps)
        assert np.isnan(found.se)
        assert np.isnan(interval(found)).all()
        assert np.isnan(p_two_sided(found))


@settings(max_examples=40, deadline=None)
@given(GAPS)
def test_without_skewness_it_is_students_test(values: list[float]) -> None:
    gaps = np.array(values, float)
    if np.ptp(gaps) < 1e-3:
        gaps[0] += 1
    found = cell_mean(gaps)._replace(skewness=ZERO)
    known: Any = stats.ttest_1samp(gaps, 0.0)
    assert p_two_sided(found) == pytest.approx(known.pvalue, abs=1e-9)
    ends = known.confidence_interval(0.95)
    assert list(map(float, interval(found))) == pytest.approx([ends.low, ends.high], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(GAPS)
def test_the_guard_only_widens_and_agrees_with_the_test(values: list[float]) -> None:
    gaps = np.array(values, float)
    if np.ptp(gaps) < 1e-3:
        gaps[0] += 1
    found = cell_mean(gaps)
    low, high = interval(found)
    plain = interval(found._replace(skewness=ZERO))
    assert low <= plain[0]
    assert high >= plain[1]
    # A value at an end is rejected at exactly 5 %; one beyond it more clearly.
    for end, out in ((low, -0.01), (high, 0.01)):
        assert p_two_sided(found._replace(mean=found.mean - end)) == pytest.approx(0.05, abs=2e-4)
        beyond = found._replace(mean=found.mean - end - out * (high - low))
        assert p_two_sided(beyond) < 0.05


@settings(max_examples=40, deadline=None)
@given(GAPS, st.floats(0.1, 5))
def test_equivalence_is_the_90_percent_interval_within_the_margin(
    values: list[float], margin: float
) -> None:
    gaps = np.array(values, float)
    if np.ptp(gaps) < 1e-3:
        gaps[0] += 1
    found = cell_mean(gaps)
    low, high = interval(found, 0.90)
    if min(abs(low + margin), abs(high - margin)) < 1e-3:
        return
    assert (p_equivalence(found, margin) < 0.05) == bool(-margin < low and high < margin)


def test_turning_the_metric_turns_the_bias() -> None:
    rng = np.random.default_rng(2)
    claimed, fresh = rng.normal(size=5), rng.normal(size=(5, 3))
    up, down = cell_gaps(claimed, fresh, "max"), cell_gaps(-claimed, -fresh, "min")
    np.testing.assert_allclose(up, down)
    fresh[2] = np.nan
    fresh[3, 0] = np.nan
    found = cell_gaps(claimed, fresh, "max")
    assert np.isnan(found[2])
    assert found[3] == pytest.approx(claimed[3] - fresh[3, 1:].mean())


def test_no_error_is_certainty() -> None:
    assert p_two_sided(mean_of(0.0, 0.0, 5.0)) == 1
    assert p_two_sided(mean_of(0.1, 0.0, 5.0)) == 0
    assert p_equivalence(mean_of(0.1, 0.0, 5.0), 0.2) == 0
    assert p_equivalence(mean_of(0.3, 0.0, 5.0), 0.2) == 1
    assert smallest_detectable(0.0, 5.0) == 0


def test_a_sum_without_error_of_one_part_is_the_other() -> None:
    part, exact = mean_of(1.0, 0.2, 7.0, 0.4), mean_of(0.5, 0.0, 3.0)
    both = total(part, exact)
    assert tuple(map(float, both)) == pytest.approx((1.5, 0.2, 7.0, 0.4))
    again = total(part, part)
    assert float(again.se) == pytest.approx(0.2 * math.sqrt(2))
    assert float(again.df) == pytest.approx(14)
    assert float(again.skewness) == pytest.approx(0.4 / math.sqrt(2))


@pytest.mark.parametrize("df", [1, 2.5, 5, 11, 19, 200])
def test_the_smallest_detectable_bias_has_a_power_of_80_percent(df: float) -> None:
    found = smallest_detectable(2.0, df) / 2
    edge = stats.t.ppf(0.975, df)
    power = stats.nct.sf(edge, df, found) + stats.nct.cdf(-edge, df, found)
    assert power == pytest.approx(0.8, abs=1e-6)
    assert least_margin(1.0, df) < least_margin(1.0, df / 2)


def test_what_has_no_error_has_no_power() -> None:
    assert math.isnan(smallest_detectable(math.nan, 5))
    assert math.isnan(least_margin(1.0, math.nan))


def test_variance_parts_are_those_planted() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 5, 4000)
    claimed = truth + rng.normal(0, 0.6, 4000)
    fresh = truth[:, None] + rng.normal(0, 0.4, (4000, 4))
    fresh[rng.random(fresh.shape) < 0.3] = np.nan
    between, within = variance_parts(claimed, fresh)
    assert between == pytest.approx(0.6, rel=0.05)
    assert within == pytest.approx(0.4, rel=0.05)
    assert np.isnan(variance_parts(truth, truth[:, None])).all()
    one = variance_parts(truth[:1], np.array([[0.0, 2.0]]))
    assert math.isnan(one[0])
    assert one[1] == pytest.approx(math.sqrt(2))
