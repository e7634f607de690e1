"""Targets, speed-up and relative improvement by hand, by law and against published figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.stats.bootstrap import (
    Interval,
    mean_interval,
    resampling_weights,
    stratified_weights,
)
from nasbench_tab.stats.exact import best_of_draws
from nasbench_tab.stats.targets import (
    expected_running_time,
    hitting_times,
    log_regret_area,
    log_targets,
    relative_improvement,
    speed_up,
    success_rate,
    target_profile,
)

INF = np.inf


def weights_for(n: int, repetitions: int = 2000) -> np.ndarray:
    return resampling_weights(n, repetitions, np.random.default_rng(0))


def known(*values: float) -> Interval:
    """Return a curve without error."""
    return Interval(np.array(values), np.array(values), np.array(values))


def test_hitting_times_by_hand() -> None:
    regret = np.array([[np.nan, 3.0, 1.0, 2.0], [5.0, 5.0, 5.0, 5.0]])
    found = hitting_times(regret, np.array([5.0, 3.0, 1.5, 0.5]))
    np.testing.assert_array_equal(found, [[2, 2, 3, INF], [1, INF, INF, INF]])
    spaced = hitting_times(regret, np.array([3.0]), np.array([10, 20, 40, 80]))
    np.testing.assert_array_equal(spaced, [[20], [INF]])


@given(st.integers(0, 10**6))
def test_hitting_times_are_the_first_columns_at_or_below(seed: int) -> None:
    rng = np.random.default_rng(seed)
    regret = rng.integers(0, 6, (4, 9)).astype(float)
    regret[rng.random(regret.shape) < 0.1] = np.nan
    targets = rng.integers(0, 6, 5).astype(float)
    found = hitting_times(regret, targets)
    for run, target in np.ndindex(found.shape):
        reached = np.nonzero(regret[run] <= targets[target])[0]
        assert found[run, target] == (reached[0] + 1 if len(reached) else INF)


def test_running_time_by_hand() -> None:
    hits, spent = np.array([10.0, 30.0, INF, 20.0, INF]), np.full(5, 100.0)
    found = expected_running_time(hits, spent, weights_for(5))
    assert found.estimate == pytest.approx((10 + 30 + 100 + 20 + 100) / 3)
    assert found.low < found.estimate < found.high
    assert found.high == INF  # a resample without success is not rare enough


def test_running_time_without_any_success_is_infinite() -> None:
    found = expected_running_time(np.full(8, INF), np.full(8, 50.0), weights_for(8))
    assert [float(part) for part in found] == [INF, INF, INF]


def test_running_time_of_restarts_is_the_one_that_restarting_takes() -> None:
    # Geometric attempts with chance 0.1, cut at 8: restarting them is one geometric law, mean 10.
    rng = np.random.default_rng(0)
    hits = rng.geometric(0.1, 20_000).astype(float)
    hits[hits > 8] = INF
    found = expected_running_time(hits, np.full(len(hits), 8.0), weights_for(len(hits), 100))
    assert found.estimate == pytest.approx(10, rel=0.03)
    many = expected_running_time(
        np.column_stack([hits[:40], np.full(40, INF)]), np.full(40, 8.0), weights_for(40)
    )
    assert many.estimate.shape == (2,)
    assert many.estimate[1] == INF


def test_few_runs_get_no_interval() -> None:
    four = np.array([1.0, 2.0, INF, 3.0])
    assert np.isnan(expected_running_time(four, np.full(4, 9.0), weights_for(4)).high)
    rate = success_rate(four)
    assert rate.estimate == 0.75
    assert np.isnan([rate.low, rate.high]).all()


def test_success_rate_is_wilsons() -> None:
    hits = np.where(np.arange(20) < 14, 5.0, INF)
    found, z, p, n = success_rate(hits), stats.norm.ppf(0.975), 0.7, 20
    middle, reach = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert found.low == pytest.approx((middle - reach) / (1 + z**2 / n))
    assert found.high == pytest.approx((middle + reach) / (1 + z**2 / n))
    everyone = success_rate(np.ones(20))
    assert everyone.estimate == 1
    assert 0.8 < everyone.low < 0.9
    with pytest.raises(InvalidArgumentError, match="at least one run"):
        success_rate(np.array([]))


def test_log_targets_are_evenly_spaced() -> None:
    found = log_targets(10.0, 0.01, per_decade=5)
    assert len(found) == 16
    assert (found[0], found[-1]) == pytest.approx((10, 0.01))
    assert np.diff(np.log10(found)) == pytest.approx(np.full(15, -0.2))


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (0.1, 1.0), (1.0, 1.0), (np.nan, 0.1)])
def test_log_targets_refuse_what_has_no_logarithm(bounds: tuple[float, float]) -> None:
    with pytest.raises(InvalidArgumentError, match="highest > lowest > 0"):
        log_targets(*bounds)


def test_target_profile_counts_pairs() -> None:
    hits = np.array([[[1.0, 5.0], [INF, 2.0]]]).repeat(6, axis=0)
    found = target_profile(hits, np.array([1, 2, 4, 5, 100]), stratified_weights(2, 6, 50, np.random.default_rng(0)))  # fmt: skip
    assert found.estimate.tolist() == [0.25, 0.5, 0.5, 0.75, 0.75]
    assert found.low == pytest.approx(found.estimate)  # all runs are alike


def test_target_profile_band_covers_runs_of_each_task() -> None:
    rng = np.random.default_rng(1)
    hits = rng.integers(1, 30, (25, 3, 4)).astype(float)
    found = target_profile(hits, np.array([5, 15, 25]), stratified_weights(3, 25, 2000, rng))
    se = np.sqrt(sum((hits[:, t, :, None] <= [5, 15, 25]).mean(axis=1).var(axis=0) for t in range(3)) / 25) / 3  # fmt: skip
    assert (found.high - found.low) / se == pytest.approx(np.full(3, 4.1), abs=0.4)


def exact_curve(counts: np.ndarray, direction: str = "max") -> np.ndarray:
    score = np.random.default_rng(3).normal(size=500)
    final = score if direction == "max" else -score
    return best_of_draws(score, final, np.full(500, 1 / 500), counts)


@pytest.mark.parametrize("direction", ["max", "min"])
def test_speed_up_of_random_search_over_itself_is_one(direction: Any) -> None:
    counts, used = np.arange(1, 400), np.array([1, 7, 60, 399])
    found = speed_up(known(*exact_curve(used, direction)), used, exact_curve(counts, direction), counts, direction, 30)  # fmt: skip
    assert found.needed.estimate == pytest.approx(used, rel=1e-9)
    assert found.ratio.high == pytest.approx(np.ones(4))
    assert not found.beyond.any()
    assert found.n == 30


def test_speed_up_on_a_sparse_grid_stays_between_its_counts() -> None:
    used = np.array([3, 50, 900])
    sparse = np.unique(np.geomspace(1, 2000, 60).astype(int))
    found = speed_up(known(*exact_curve(used)), used, exact_curve(sparse), sparse, "max", 30)
    assert found.ratio.estimate == pytest.approx(np.ones(3), abs=0.03)


def test_beyond_the_curve_is_a_bound_and_not_an_extrapolation() -> None:
    counts, exact = np.array([1, 10, 100]), np.array([0.0, 1.0, 2.0])
    curve = Interval(
        np.array([1.9, 2.1, 3.0]), np.array([1.0, 2.0, 2.5]), np.array([2.5, 2.5, 3.5])
    )
    found = speed_up(curve, np.array([10, 10, 10]), exact, counts, "max", 30)
    assert found.beyond.tolist() == [False, True, True]
    assert found.needed.estimate[1:].tolist() == pytest.approx([100, 100])
    assert found.needed.high.tolist() == [INF, INF, INF]
    assert found.ratio.low == pytest.approx(np.array([1, 10, 10]))


def test_worse_than_one_draw_needs_one_draw() -> None:
    counts, exact = np.array([1, 10]), np.array([0.0, 1.0])
    found = speed_up(known(-5.0, np.nan), np.array([20, 20]), exact, counts, "max", 30)
    assert found.ratio.estimate[0] == pytest.approx(1 / 20)
    assert np.isnan(found.needed.estimate[1])
    assert not found.beyond.any()


def test_where_the_curve_stands_still_the_earliest_count_answers() -> None:
    exact, counts = np.array([0.0, 1.0, 0.9, 1.0, 2.0]), np.array([1, 2, 3, 4, 5])
    found = speed_up(known(1.0), np.array([1]), exact, counts, "max", 30)
    assert found.needed.estimate[0] == pytest.approx(2)


@pytest.mark.parametrize("counts", [[1, 1, 2], [3, 2, 1], [1, 2]])
def test_speed_up_refuses_a_curve_that_is_none(counts: list[int]) -> None:
    with pytest.raises(InvalidArgumentError, match="increasing counts"):
        speed_up(known(1.0), np.array([1]), np.zeros(3), np.array(counts), "max", 30)


def test_relative_improvement_of_yang_et_al() -> None:
    # Means of DARTS, P-DARTS, NSGANET and random on CIFAR-10 over 8 runs, and the published RI.
    for method, random, published in [(97.23, 96.92, 0.32), (97.12, 96.62, 0.52), (96.18, 96.64, -0.48)]:  # fmt: skip
        runs, sampled = np.full(8, method), np.full(8, random)
        found = relative_improvement(runs, sampled, weights_for(8), "max", weights_for(8))
        assert found.mean.estimate == pytest.approx(published, abs=0.011)
        assert found.iqm.estimate == pytest.approx(found.mean.estimate)


def test_relative_improvement_is_robust_where_it_says_so() -> None:
    runs = np.full(8, 96.88)
    random = np.array([97.0] * 7 + [92.77])  # one broken network, as in NAO's column
    found = relative_improvement(runs, random, weights_for(8), "max", weights_for(8))
    assert found.mean.estimate > 0.4
    assert found.median.estimate == found.iqm.estimate == pytest.approx(100 * (96.88 - 97) / 97)
    assert found.mean.low < 0 < found.mean.high


def test_relative_improvement_over_the_whole_space_has_the_runs_error_only() -> None:
    rng = np.random.default_rng(0)
    runs, space, weights = rng.normal(91, 0.3, 30), rng.normal(85, 10, 5000), weights_for(30)
    found = relative_improvement(runs, space, weights, "max")
    assert found.mean.estimate == pytest.approx(100 * (runs.mean() / space.mean() - 1))
    assert found.median.estimate == pytest.approx(100 * (np.median(runs) / np.median(space) - 1))
    plain = mean_interval(100 * (runs / space.mean() - 1), weights)
    assert found.mean.low == pytest.approx(plain.low, abs=0.03)
    sampled = relative_improvement(
        runs, space[:30], weights, "max", resampling_weights(30, 2000, rng)
    )
    assert sampled.mean.high - sampled.mean.low > 3 * (found.mean.high - found.mean.low)
    lower = relative_improvement(-runs, -space, weights, "min")
    assert lower.mean.estimate == pytest.approx(found.mean.estimate)


def test_relative_improvement_refuses_nonsense() -> None:
    with pytest.raises(InvalidArgumentError, match="relative to zero"):
        relative_improvement(np.ones(5), np.zeros(5), weights_for(5), "max")
    with pytest.raises(InvalidArgumentError, match="a value for every run"):
        relative_improvement(np.array([1.0, np.nan]), np.ones(5), weights_for(2), "max")


def test_area_by_hand() -> None:
    regret = np.tile([np.nan, 1.0, 0.1, 0.01, 0.0], (6, 1))
    found = log_regret_area(regret, weights_for(6), floor=0.01)
    assert found.estimate == pytest.approx((1 + 1 + 0.5 + 0 + 0) / 5)
    spaced = log_regret_area(regret, weights_for(6), floor=0.01, counts=np.array([1, 2, 6, 9, 10]))
    assert spaced.estimate == pytest.approx((1 + 4 + 0.5 * 3 + 0 + 0) / 10)
    assert found.low == pytest.approx(found.high)


@given(st.integers(0, 1000))
def test_area_does_not_care_whether_steps_are_listed(seed: int) -> None:
    steps = np.sort(np.random.default_rng(seed).random((5, 6)), axis=1)[:, ::-1]
    counts = np.array([1, 3, 4, 9, 10, 12])
    every = np.repeat(steps, np.diff(counts, append=13), axis=1)
    sparse = log_regret_area(steps, weights_for(5, 50), floor=1e-3, counts=counts)
    dense = log_regret_area(every, weights_for(5, 50), floor=1e-3)
    assert sparse.estimate == pytest.approx(dense.estimate)
    assert sparse.high == pytest.approx(dense.high)


def test_area_refuses_an_empty_scale() -> None:
    with pytest.raises(InvalidArgumentError, match="ceiling > floor > 0"):
        log_regret_area(np.ones((5, 2)), weights_for(5), floor=0.0)
