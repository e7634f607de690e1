"""Bands: conformal quantiles against brute force, coverage, order, and what is refused."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArgumentError, SurrogateError
from nasbench_tab.predictors.intervals import (
    BIN,
    COVERAGES,
    LEAST,
    MIN_GROUPS,
    Bands,
    bands_from,
    calibrate,
)


def residuals(n: Any, seed: Any = 0) -> Any:
    """Runs like those of a real table: close at the top, with a heavy tail far below."""
    rng = np.random.default_rng(seed)
    mean = 92 - 8 * rng.random(n) ** 3 * 5
    sd = 0.1 + (92 - mean) * 0.05 * rng.uniform(0.5, 1.5, n)
    y = mean + sd * rng.standard_t(4, n)
    return y, mean, sd


def smallest(scores: Any, coverage: Any) -> Any:
    """The textbook rule: the ceil((n + 1) coverage)-th smallest score."""
    k = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return sorted(scores)[min(k, len(scores)) - 1]


@pytest.mark.parametrize("n", [20, 59, 90, 157, 300, 1200])
def test_bands_are_those_of_brute_force(n: Any) -> None:
    y, mean, sd = residuals(n)
    bands = calibrate(y, mean, sd, np.arange(n))
    floor = 0.1 * sum(abs(y - mean)) / n
    by_bin = defaultdict(list)
    for value, at, width in zip(y, mean, sd, strict=True):
        place = sum(at >= edge for edge in bands.edges)
        by_bin[place].append(abs(value - at) / (width + floor))
    assert sorted(by_bin) == list(range(len(bands.counts)))
    for place, scores in by_bin.items():
        assert bands.counts[place] == len(scores)
        for column, coverage in enumerate(COVERAGES):
            expected = smallest(scores, coverage)
            assert bands.reach[place, column] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [20, 59, 60, 90, 299, 300, 301, 600, 1200, 5000])
def test_bins_are_large_enough_and_the_top_is_the_finest(n: Any) -> None:
    y, mean, sd = residuals(n)
    bands = calibrate(y, mean, sd, np.arange(n))
    assert bands.counts.sum() == n
    assert bands.counts[-1] == bands.counts.min()
    if len(bands.counts) > 1:
        assert bands.counts.min() >= LEAST
    if n >= 10 * BIN:
        assert len(bands.counts) == 10
        assert bands.counts[-1] == math.ceil(n / 10)


def test_coverage_is_what_it_says_on_average() -> None:
    """Exchangeable runs: P(covered) = k / (n + 1) exactly, where k is the quantile's rank."""
    rng = np.random.default_rng(1)
    n, times = 39, 1500
    hits = np.zeros(len(COVERAGES))
    for _ in range(times):
        y = rng.standard_exponential(n + 1) ** 2
        bands = calibrate(y[:n], np.zeros(n), np.ones(n), np.arange(n))
        ends = [bands.bounds(np.zeros(1), np.ones(1), coverage) for coverage in COVERAGES]
        hits += [lower[0] <= y[n] <= upper[0] for lower, upper in ends]
    for coverage, share in zip(COVERAGES, hits / times, strict=True):
        exact = math.ceil((n + 1) * coverage - 1e-9) / (n + 1)
        assert abs(share - exact) < 4 * math.sqrt(exact * (1 - exact) / times)


def test_every_level_is_covered_where_a_constant_width_fails() -> None:
    y, mean, sd = residuals(1000)
    bands = calibrate(y, mean, sd, np.arange(1000))
    plain = smallest(abs(y - mean), 0.9)
    y, mean, sd = residuals(60_000, seed=1)
    lower, upper = bands.bounds(mean, sd)
    places = np.searchsorted(np.quantile(mean, np.linspace(0.1, 0.9, 9)), mean)
    covered = [np.mean((lower <= y)[places == k] & (y <= upper)[places == k]) for k in range(10)]
    assert 0.82 < min(covered) <= max(covered) < 0.97
    assert 0.88 < np.mean(covered) < 0.93
    top = places == 9
    assert np.mean((upper - lower)[top]) < 0.55 * 2 * plain
    assert np.mean(abs(y - mean)[top] <= plain) > 0.99


@given(
    st.integers(0, 2**32 - 1), st.integers(20, 200), st.floats(0.01, 0.95), st.floats(0.01, 0.95)
)
@settings(max_examples=60, deadline=None)
def test_wider_coverage_holds_narrower(seed: Any, n: Any, one: Any, other: Any) -> None:
    y, mean, sd = residuals(n, seed)
    bands = calibrate(y, mean, sd, np.arange(n))
    one, other = sorted((one, other))
    lower, upper = bands.bounds(mean, sd, one)
    wider_lower, wider_upper = bands.bounds(mean, sd, other)
    assert (wider_lower <= lower).all()
    assert (lower <= mean).all()
    assert (mean <= upper).all()
    assert (upper <= wider_upper).all()


@given(st.integers(0, 2**32 - 1), st.integers(20, 150), st.floats(0.01, 100), st.floats(-1e3, 1e3))
@settings(max_examples=40, deadline=None)
def test_units_do_not_matter(seed: Any, n: Any, scale: Any, shift: Any) -> None:
    y, mean, sd = residuals(n, seed)
    plain = calibrate(y, mean, sd, np.arange(n)).bounds(mean, sd)
    moved = calibrate(scale * y + shift, scale * mean + shift, scale * sd, np.arange(n))
    moved = moved.bounds(scale * mean + shift, scale * sd)  # type: ignore[assignment]
    for part, other in zip(plain, moved, strict=True):
        assert np.allclose(scale * part + shift, other, rtol=1e-6, atol=1e-6 * scale)  # type: ignore[arg-type]


def test_order_of_rows_does_not_matter() -> None:
    y, mean, sd = residuals(200)
    groups = np.arange(200) // 2
    order = np.random.default_rng(3).permutation(200)
    one = calibrate(y, mean, sd, groups)
    other = calibrate(y[order], mean[order], sd[order], groups[order] * 7)
    for name, part in one.arrays().items():
        assert np.allclose(part, other.arrays()[name], rtol=1e-12), name


def test_a_run_written_down_many_times_counts_once() -> None:
    y, mean, sd = residuals(100)
    once = calibrate(y, mean, sd, np.arange(100))
    often = np.repeat(np.arange(100), np.random.default_rng(0).integers(1, 6, 100))
    again = calibrate(y[often], mean[often], sd[often], often)
    assert np.array_equal(once.counts, again.counts)
    assert np.allclose(once.reach, again.reach, rtol=1e-12)


def test_a_network_with_many_runs_does_not_outweigh_the_others() -> None:
    """Runs of one odd network are most of the rows, but 1 of 40 networks: not in the 90 % interval."""
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.normal(0, 1, 39), np.full(400, 50.0)])
    groups = np.concatenate([np.arange(39), np.full(400, 39)])
    bands = calibrate(y, np.zeros(439), np.ones(439), groups)
    _, upper = bands.bounds(np.zeros(1), np.ones(1))
    assert upper[0] < 5


@pytest.mark.parametrize("n", [25, 400])
def test_quantiles_ascend_and_agree_with_the_intervals(n: Any) -> None:
    y, mean, sd = residuals(n)
    bands = calibrate(y, mean, sd, np.arange(n))
    levels = np.linspace(0.001, 0.999, 97)
    quantiles = bands.quantiles(mean, sd, levels)
    assert quantiles.shape == (n, 97)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    for coverage in COVERAGES:
        ends = bands.quantiles(mean, sd, np.array([(1 - coverage) / 2, (1 + coverage) / 2]))
        lower, upper = bands.bounds(mean, sd, coverage)
        assert np.allclose(ends[:, 0], lower, rtol=1e-9)
        assert np.allclose(ends[:, 1], upper, rtol=1e-9)
    assert np.allclose(bands.quantiles(mean, sd, np.array([0.5]))[:, 0], mean)


def test_quantiles_of_normal_residuals_are_the_normal_ones() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(0, 2, 40_000)
    bands = calibrate(y, np.zeros(40_000), np.full(40_000, 2.0), np.arange(40_000))
    levels = [0.005, 0.1, 0.4, 0.75, 0.99]
    found = bands.quantiles(np.zeros(1), np.full(1, 2.0), np.array(levels))[0]
    assert np.allclose(found, [NormalDist(0, 2).inv_cdf(p) for p in levels], atol=0.15), found


def test_one_answers_as_many_do() -> None:
    y, mean, sd = residuals(300)
    bands = calibrate(y, mean, sd, np.arange(300))
    lower, upper = bands.bounds(mean, sd, 0.85)
    alone = [bands.bounds(mean[i], sd[i], 0.85) for i in range(300)]
    assert lower.tolist() == [float(low) for low, _ in alone]
    assert upper.tolist() == [float(high) for _, high in alone]
    grid = bands.bounds(mean.reshape(20, 15), sd.reshape(20, 15), 0.85)[0]
    assert np.array_equal(grid.ravel(), lower)


def test_bins_by_another_level() -> None:
    rng = np.random.default_rng(0)
    level = rng.random(400)
    y = rng.normal(0, 0.1 + level)
    flat = np.zeros(400)
    bands = calibrate(y, flat, flat, np.arange(400), level)
    ends = bands.bounds(np.zeros(2), np.zeros(2), level=np.array([0.05, 0.95]))[1]
    assert ends[1] > 3 * ends[0]


def test_read_back_it_is_the_same() -> None:
    y, mean, sd = residuals(400)
    bands = calibrate(y, mean, sd, np.arange(400))
    again = bands_from(bands.arrays())
    assert isinstance(again, Bands)
    assert all(np.array_equal(one, other) for one, other in zip(bands, again, strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("edges", lambda a: a[::-1]),
        ("edges", lambda a: a[1:]),
        ("edges", lambda a: np.where(a == a[0], np.nan, a)),
        ("floor", lambda a: -a),
        ("floor", lambda a: a * np.nan),
        ("coverages", lambda a: a[:-1]),
        ("coverages", lambda a: a + 0.01),
        ("reach", lambda a: a[:, ::-1]),
        ("reach", lambda a: a * np.inf),
        ("reach", lambda a: a - 1e6),
        ("reach", lambda a: a[:-1]),
        ("reach", lambda a: np.where(a == a[0, 0], np.nan, a)),
        ("counts", lambda a: a * 0),
        ("counts", lambda a: a[:-1]),
        ("counts", lambda a: np.array(["x"] * len(a))),
    ],
)
def test_altered_arrays_are_refused(name: Any, change: Any) -> None:
    y, mean, sd = residuals(400)
    arrays = calibrate(y, mean, sd, np.arange(400)).arrays()
    with pytest.raises(SurrogateError, match="bands of a surrogate"):
        bands_from({**arrays, name: change(arrays[name])})


@pytest.mark.parametrize("name", ["edges", "floor", "coverages", "reach", "counts"])
def test_missing_arrays_are_refused(name: Any) -> None:
    y, mean, sd = residuals(40)
    arrays = calibrate(y, mean, sd, np.arange(40)).arrays()
    del arrays[name]
    with pytest.raises(SurrogateError, match=name):
        bands_from(arrays)


def test_too_few_networks_are_refused_however_many_runs() -> None:
    y, mean, sd = residuals(300)
    with pytest.raises(SurrogateError, match=f"at least {MIN_GROUPS} distinct networks; got 19"):
        calibrate(y, mean, sd, np.arange(300) % 19)


def test_constant_targets_are_refused() -> None:
    with pytest.raises(SurrogateError, match="predicted exactly"):
        calibrate(np.ones(50), np.ones(50), np.zeros(50), np.arange(50))


@pytest.mark.parametrize("place", range(3))
def test_values_that_are_not_finite_are_refused(place: Any) -> None:
    parts = [part.copy() for part in residuals(50)]
    parts[place][7] = np.nan
    with pytest.raises(InvalidArgumentError, match=r"1 of 50 .* not finite"):
        calibrate(*parts, np.arange(50))  # type: ignore[call-arg]


def test_other_bad_input_is_refused() -> None:
    y, mean, sd = residuals(50)
    with pytest.raises(InvalidArgumentError, match="at least 0"):
        calibrate(y, mean, -sd, np.arange(50))
    with pytest.raises(InvalidArgumentError, match="all alike"):
        calibrate(y, mean[:-1], sd, np.arange(50))
    bands = calibrate(y, mean, sd, np.arange(50))
    for coverage in (0.0, 0.96, 90, math.nan):
        with pytest.raises(InvalidArgumentError, match="coverages"):
            bands.bounds(mean, sd, coverage)
    for levels in ([0.0, 0.5], [1.0], [math.nan], [[0.5]]):
        with pytest.raises(InvalidArgumentError, match="between 0 and 1"):
            bands.quantiles(mean, sd, np.array(levels))


def test_networks_that_are_all_predicted_alike_share_one_bin() -> None:
    y = np.random.default_rng(0).normal(size=400)
    bands = calibrate(y, np.zeros(400), np.ones(400), np.arange(400))
    assert bands.counts.sum() == 400
    assert (bands.counts > 0).all()
    lower, upper = bands.bounds(np.zeros(1), np.ones(1))
    assert 0.88 < np.mean((lower <= y) & (y <= upper)) < 0.92
