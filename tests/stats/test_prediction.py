"""Scores of predictions, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.stats.prediction import (
    crps,
    kendall_tau,
    point_scores,
    precision_at,
    regret_at,
    spearman_interval,
    spearman_rho,
    tau_in_top,
)

VALUES = st.lists(st.integers(-50, 50), min_size=5, max_size=30)


@given(VALUES, st.integers(0, 2**32 - 1))
def test_against_counting(values: list[int], seed: int) -> None:
    actual = np.array(values, float)
    predicted = np.random.default_rng(seed).normal(size=len(actual))
    best = sorted(range(len(actual)), key=lambda i: (-predicted[i], i))
    truly = sorted(range(len(actual)), key=lambda i: (-actual[i], i))
    for k in (1, 3, len(actual)):
        assert precision_at(predicted, actual, k) == len({*best[:k]} & {*truly[:k]}) / k
        assert regret_at(predicted, actual, k) == actual.max() - max(actual[best[:k]])
    pairs = [(i, j) for i in range(len(actual)) for j in range(i)]
    agree = sum(np.sign((predicted[i] - predicted[j]) * (actual[i] - actual[j])) for i, j in pairs)
    tied = sum(actual[i] == actual[j] for i, j in pairs)
    tau = kendall_tau(predicted, actual)
    if tied == len(pairs):
        assert math.isnan(tau)
    else:
        assert tau == pytest.approx(agree / math.sqrt(len(pairs) * (len(pairs) - tied)))


def test_a_perfect_prediction() -> None:
    actual = np.arange(40.0)
    assert kendall_tau(actual, actual) == tau_in_top(actual, actual) == 1.0
    assert regret_at(actual, actual, 1) == 0
    assert point_scores(actual, actual) == {"mae": 0, "rmse": 0, "bias": 0, "r2": 1}
    assert point_scores(actual + 2, actual)["bias"] == 2


def test_a_certain_prediction_scores_its_absolute_error() -> None:
    levels, actual = np.linspace(0.025, 0.975, 39), np.array([1.0, 5.0])
    quantiles = np.repeat([[3.0], [5.5]], 39, axis=1)
    assert crps(quantiles, levels, actual) == pytest.approx((2.0 + 0.5) / 2)


def test_the_right_distribution_scores_best() -> None:
    from scipy.stats import norm

    levels = np.linspace(0.025, 0.975, 39)
    actual = np.random.default_rng(0).normal(size=4000)
    scores = {
        sd: crps(np.tile(sd * norm.ppf(levels), (4000, 1)), levels, actual)
        for sd in (0.3, 1.0, 3.0)
    }
    assert min(scores, key=scores.__getitem__) == 1.0
    assert scores[1.0] == pytest.approx(1 / math.sqrt(math.pi), rel=0.05)  # that of a normal


@pytest.mark.parametrize("k", [0, -1, 6])
def test_a_number_that_cannot_be(k: int) -> None:
    for score in (precision_at, regret_at):
        with pytest.raises(InvalidArgumentError, match="1 to 5"):
            score(np.arange(5.0), np.arange(5.0), k)


@pytest.mark.parametrize("true", [0.0, 0.6, 0.9])
def test_the_interval_of_spearman_covers(true: float) -> None:
    rng, n = np.random.default_rng(3), 60
    rho = 6 / math.pi * math.asin(true / 2)  # Spearman's, of two normals with this correlation
    hits = 0
    for _ in range(400):
        one = rng.normal(size=n)
        other = true * one + math.sqrt(1 - true**2) * rng.normal(size=n)
        low, high = spearman_interval(one, other)
        assert low < spearman_rho(one, other) < high
        hits += low <= rho <= high
    assert 0.92 <= hits / 400 <= 0.98


def test_the_interval_of_spearman_at_its_ends() -> None:
    actual = np.arange(12.0)
    assert spearman_interval(actual, actual) == (1.0, 1.0)
    assert spearman_interval(-actual, actual) == pytest.approx((-1.0, -1.0))
    assert all(map(math.isnan, spearman_interval(actual[:4], actual[:4])))
    assert all(map(math.isnan, spearman_interval(np.ones(9), np.arange(9.0))))
