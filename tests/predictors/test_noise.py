"""Seed noise: what it learns from repeats, what it draws, and what it does not claim to know."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArgumentError, MissingValueError, SurrogateError
from nasbench_tab.predictors.noise import FEW, Noise, _squeezed, fit_noise, keys_of, noise_from


def true_sd(level: Any) -> Any:
    """Ten times as noisy at the bottom as at the top."""
    return 0.2 + 1.8 * (95 - level) / 20


def repeats(n: Any, runs: Any = 3, epochs: Any = 4, seed: Any = 0, heavy: Any = False) -> Any:
    """Runs whose residuals have a known deviation and correlation from epoch to epoch."""
    rng = np.random.default_rng(seed)
    level = np.repeat(
        np.sort(rng.uniform(75, 95, (n, 1)), axis=0) - np.arange(epochs)[::-1], runs, 0
    )
    level = level.clip(75)
    step = np.abs(np.subtract.outer(np.arange(epochs), np.arange(epochs)))
    normal = (
        rng.standard_t(3, (n * runs, epochs)) / math.sqrt(3)
        if heavy
        else rng.normal(size=(n * runs, epochs))
    )
    off = normal @ np.linalg.cholesky(0.8**step).T
    return level + true_sd(level) * off, np.repeat(np.arange(n), runs), level


def cells(n: Any, seed: Any = 0, length: Any = 6) -> Any:
    return np.random.default_rng(seed).integers(0, 5, (n, length)).astype(np.uint8)


def test_the_deviation_is_found_at_every_level_and_epoch() -> None:
    noise = fit_noise(*repeats(4000))
    level = np.linspace(76, 94.5, 30)[:, None] - np.arange(4)[::-1]
    level = level.clip(75.5)
    assert np.allclose(noise.sd(level), true_sd(level), rtol=0.15)
    assert (noise.repeats, noise.freedom) == (4000, 8000)


@pytest.mark.parametrize("runs", [2, 3, 7])
def test_the_deviation_is_unbiased_for_few_runs_of_each_network(runs: Any) -> None:
    """Two runs lie 30 % closer to their own mean than to the true one."""
    found = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        values = rng.normal(80, 2.0, (10 * runs, 1))
        noise = fit_noise(values, np.arange(10 * runs) // runs, np.full_like(values, 80.0))
        found.append(noise.sd(np.array([[80.0]]))[0, 0] ** 2)
    assert np.mean(found) == pytest.approx(4.0, abs=4 * np.std(found) / math.sqrt(150))


def test_differences_between_networks_are_no_noise() -> None:
    values, groups, level = repeats(200)
    shift = np.random.default_rng(1).normal(0, 50, (200, 1))[groups]
    plain, shifted = fit_noise(values, groups, level), fit_noise(values + shift, groups, level)
    assert np.allclose(plain.deviations, shifted.deviations, rtol=1e-9)
    assert np.allclose(plain.pool, shifted.pool, atol=1e-9)


def test_without_repeats_nothing_is_known() -> None:
    values, _, level = repeats(50, runs=1)
    noise = fit_noise(values, np.arange(50), level)
    assert (noise.repeats, noise.known) == (0, False)
    assert np.isnan(noise.sd(level)).all()
    assert np.isnan(noise.sd_at(level[:, 2], 2)).all()
    with pytest.raises(MissingValueError, match="more than once"):
        noise.draw(level, keys_of(cells(50), 0))
    assert np.isnan(noise_from(noise.arrays()).sd(level)).all()


@pytest.mark.parametrize("n", [1, 2, FEW - 1])
def test_few_repeats_give_one_deviation_for_all_levels(n: Any) -> None:
    values, groups, level = repeats(n)
    noise = fit_noise(values, groups, level)
    sd = noise.sd(np.linspace(70, 99, 40)[:, None] - np.zeros(4))
    assert noise.repeats == n
    assert (sd == sd[0]).all()
    squares = sum(
        ((values[groups == g] - values[groups == g].mean(0)) ** 2).sum(0) for g in range(n)
    )
    assert np.allclose(sd[0], np.sqrt(squares / (2 * n)), rtol=1e-9)
    assert np.isfinite(noise.draw(level, keys_of(cells(len(level)), 0))).all()


def test_a_training_written_down_twice_is_no_repeat() -> None:
    values, groups, level = repeats(60)
    seeds = np.tile(np.arange(3), 60)
    once = fit_noise(values, groups, level, seeds)
    twice = np.repeat(np.arange(180), 2)
    again = fit_noise(values[twice], groups[twice], level[twice], seeds[twice])
    assert all(np.array_equal(one, other) for one, other in zip(once, again, strict=True))  # type: ignore[arg-type]
    # The same seed with other values (another cell of the same network) is one.
    other = fit_noise(values, groups, level, np.zeros(180, np.int64))
    assert np.array_equal(once.deviations, other.deviations)


def test_incomplete_runs_are_left_out() -> None:
    values, groups, level = repeats(60)
    broken = values.copy()
    broken[5, 1] = np.nan
    noise = fit_noise(broken, groups, level)
    rest = np.arange(180) != 5
    assert np.array_equal(noise.pool, fit_noise(values[rest], groups[rest], level[rest]).pool)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 5), st.floats(0.01, 100))
@settings(max_examples=30, deadline=None)
def test_units_and_order_do_not_matter(seed: Any, n: Any, epochs: Any, scale: Any) -> None:
    values, groups, level = repeats(n, epochs=epochs, seed=seed)
    noise = fit_noise(values, groups, level)
    order = np.random.default_rng(seed).permutation(len(values))
    other = fit_noise(scale * values[order], groups[order] + 5, scale * level[order])
    assert np.allclose(scale * noise.sd(level), other.sd(scale * level), rtol=1e-6)


@pytest.mark.parametrize("heavy", [False, True])
def test_simulated_trainings_vary_as_real_ones(heavy: Any) -> None:
    values, groups, level = repeats(1500, heavy=heavy)
    noise = fit_noise(values, groups, level)
    where = np.repeat(level[[400, 2000, 4000]], 4000, axis=0)
    drawn = noise.draw(where, keys_of(cells(len(where), length=9), np.arange(len(where))))
    for part in np.split(np.arange(len(where)), 3):
        off = drawn[part] / noise.sd(where[part])
        assert np.allclose(off.mean(axis=0), 0, atol=0.25)
        assert np.allclose(off.std(axis=0), 1, atol=0.3)
        neighbours = [np.corrcoef(off[:, e], off[:, e + 1])[0, 1] for e in range(3)]
        assert np.allclose(neighbours, 0.8, atol=0.15)


def test_a_constant_residual_pool_mean_is_not_added_to_the_mean() -> None:
    """Residuals are around their networks' means, so that the whole pool has mean 0."""
    noise = fit_noise(*repeats(400))
    assert np.allclose(noise.pool.mean(axis=0), 0, atol=0.05)
    assert np.allclose(noise.pool.std(axis=0), 1, atol=0.1)


def test_the_same_training_is_drawn_again_alone_and_among_others() -> None:
    values, groups, level = repeats(100)
    noise = fit_noise(values, groups, level)
    keys = keys_of(cells(300), np.arange(300) % 7)
    drawn = noise.draw(level, keys)
    assert np.array_equal(drawn, noise.draw(level, keys))
    alone = [noise.draw(level[[i]], keys[[i]])[0] for i in range(300)]
    assert np.array_equal(drawn, alone)
    read = noise_from(noise.arrays())
    assert np.array_equal(drawn, read.draw(level, keys))


def test_other_seeds_and_other_cells_are_drawn_apart() -> None:
    noise = fit_noise(*repeats(400, epochs=1))
    where, many = np.full((3000, 1), 85.0), cells(3000, length=12)
    by_seed = [noise.draw(where, keys_of(many, seed))[:, 0] for seed in range(6)]
    correlation = np.corrcoef(by_seed)[np.triu_indices(6, 1)]  # type: ignore[index]
    assert np.abs(correlation).max() < 0.08
    of_one = noise.draw(where, keys_of(np.repeat(many[:1], 3000, 0), np.arange(3000)))[:, 0]
    assert abs(np.corrcoef(of_one[:-1], of_one[1:])[0, 1]) < 0.08
    # A pool of 100 curves gives far more than 100 draws.
    assert len(np.unique(of_one)) > 2000


def test_draws_take_the_shape_of_noise_near_their_level() -> None:
    """Few broken trainings at the bottom must not appear at the top."""
    values, groups, level = repeats(600, epochs=1)
    rng = np.random.default_rng(0)
    broken = (level[:, 0] < 80) & (rng.random(len(values)) < 0.1)
    values[broken] -= 40
    noise = fit_noise(values, groups, level)
    top = noise.draw(np.full((3000, 1), 94.0), keys_of(cells(3000, length=9), 1))
    bottom = noise.draw(np.full((3000, 1), 76.0), keys_of(cells(3000, length=9), 1))
    assert np.abs(top).max() < 5
    assert bottom.min() < -20


def proportional(n: Any, runs: Any = 3, seed: Any = 0, sign: Any = 1) -> Any:
    """Curves whose every gain is its network's own times a number around 1 that is never below 0."""
    rng = np.random.default_rng(seed)
    own = rng.uniform(0.2, 1, (n, 1)) * np.array([16.0, 4.0, 1.0, 0.5])
    gains = np.repeat(own, runs, axis=0)
    gains = gains * np.exp(rng.normal(0, 0.5, gains.shape) - 0.125)
    end = np.sort(rng.uniform(80, 95, (n, 1)), axis=0)
    last = np.repeat(end, runs, axis=0) + rng.normal(0, 0.3, (n * runs, 1))
    mean, values = (
        np.hstack([e - np.cumsum(g[:, ::-1], axis=1)[:, ::-1], e])
        for e, g in ((end, own), (last, gains))
    )
    return sign * values, np.repeat(np.arange(n), runs), sign * np.repeat(mean, runs, axis=0)


def drawn_around(noise: Any, level: Any, times: Any = 20) -> Any:
    """Residual curves, ``times`` for each row."""
    where = np.tile(level, (times, 1))
    return noise.draw(where, keys_of(cells(len(where), length=12), np.arange(len(where))))


def turned(curves: Any, sign: Any = 1) -> Any:
    """Share of curves that were once better than at their end."""
    return ((sign * curves).max(axis=1) > sign * curves[:, -1]).mean()


@pytest.mark.parametrize("sign", [1, -1])
def test_gains_noisy_in_proportion_are_not_turned_round(sign: Any) -> None:
    values, groups, level = proportional(500, sign=sign)
    noise = fit_noise(values, groups, level)
    assert turned(values, sign) == 0
    assert turned(np.tile(level, (20, 1)) + drawn_around(noise, level), sign) < 0.02
    # The same residuals, added as they are, turn many round.
    plain = noise._replace(bends=noise.bends * 1e9, shifts=0 * noise.shifts, stretches=np.ones(5))
    assert turned(np.tile(level, (20, 1)) + drawn_around(plain, level), sign) > 0.08


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("make", [proportional, repeats])
def test_squeezed_curves_keep_mean_deviation_and_correlation(make: Any, sign: Any) -> None:
    values, groups, level = make(600)
    values, level = sign * values, sign * level
    drawn = drawn_around(fit_noise(values, groups, level), level, 30)
    for third in np.array_split(np.arange(len(values)), 3):
        inside = third[np.isin(groups[third], groups[third][3:-3])]
        real = values[inside] - level[inside]
        mine = drawn.reshape(30, len(values), -1)[:, inside].reshape(-1, values.shape[1])
        assert np.allclose(mine.std(axis=0) / real.std(axis=0), 1, atol=0.12)
        assert np.allclose(mine.mean(axis=0) / real.std(axis=0), 0, atol=0.12)
        assert np.allclose(np.corrcoef(mine.T), np.corrcoef(real.T), atol=0.12)


def test_additive_noise_turns_as_many_curves_round_as_real_trainings() -> None:
    values, groups, level = repeats(1000)
    drawn = np.tile(level, (10, 1)) + drawn_around(fit_noise(values, groups, level), level, 10)
    assert turned(drawn) == pytest.approx(turned(values), rel=0.15)


def test_many_epochs_with_tiny_gains_are_drawn_as_they_are() -> None:
    """At the end of 200 epochs gains are far below the noise, and half of all curves peak before."""
    rng = np.random.default_rng(0)
    end = np.repeat(rng.uniform(85, 95, (200, 1)), 3, axis=0)
    level = end - 40 * np.exp(-np.arange(200) / 25)
    walk = np.cumsum(rng.normal(0, 0.05, (600, 200)), axis=1) + rng.normal(0, 0.2, (600, 200))
    values = level + walk
    noise = fit_noise(values, np.arange(600) // 3, level)
    drawn = drawn_around(noise, level, 5)
    off = walk.reshape(200, 3, 200)
    real = np.sqrt(((off - off.mean(axis=1, keepdims=True)) ** 2).mean(axis=(0, 1)) * 1.5)
    assert np.allclose(drawn.std(axis=0) / real, 1, atol=0.15)
    peaks = [(c.max(axis=1) - c[:, -1]) for c in (values, np.tile(level, (5, 1)) + drawn)]
    assert np.median(peaks[1]) == pytest.approx(np.median(peaks[0]), rel=0.15)


def test_where_nothing_is_gained_noise_is_added_as_it_is() -> None:
    values, groups, level = proportional(100)
    noise = fit_noise(values, groups, level)._replace(stretches=np.ones(5))
    flat = np.repeat(level[:, -1:], 5, axis=1)
    other = noise._replace(bends=noise.bends * 1e6)
    assert np.allclose(drawn_around(noise, flat, 1), drawn_around(other, flat, 1), atol=1e-9)


@given(
    st.floats(0.001, 100),
    st.floats(0, 100),
    st.lists(st.floats(-300, 300), min_size=2, max_size=9, unique=True),
)
def test_squeezing_keeps_order_and_never_enlarges(bend: Any, gain: Any, off: Any) -> None:
    """Residuals with the gain stay; those against it are lessened, in their order, as far as 0."""
    ordered = np.sort(off)
    gains, noisy = np.full((len(off), 1), gain), ordered[:, None]
    squeezed = _squeezed(gains, noisy, np.array([bend]))[:, 0]
    slack = 1e-9 * (1 + gain)
    assert (np.diff(squeezed) >= -slack).all()
    assert (squeezed[ordered >= 0] == ordered[ordered >= 0]).all()
    against = ordered < 0
    assert (squeezed[against] >= ordered[against]).all()
    assert (squeezed[against] <= slack).all()
    # A curve that falls is one that rises, upside down.
    mirrored = _squeezed(-gains, -noisy, np.array([bend]))[:, 0]
    assert np.allclose(mirrored, -squeezed, atol=1e-9) or gain == 0


def test_one_epoch_has_no_gains() -> None:
    noise = fit_noise(*repeats(50, epochs=1))
    level = np.linspace(76, 94, 40)[:, None]
    other = noise._replace(bends=np.array([9.0]), shifts=np.ones(1), stretches=np.full(1, 3.0))
    assert np.array_equal(drawn_around(noise, level), drawn_around(other, level))
    assert drawn_around(noise, level).std() > 0


@pytest.mark.parametrize("make", [proportional, repeats])
def test_two_repeated_networks_are_enough(make: Any) -> None:
    values, groups, level = make(2, runs=2)
    drawn = drawn_around(fit_noise(values, groups, level), level, 200)
    assert np.isfinite(drawn).all()
    off = values - np.repeat(values.reshape(2, 2, -1).mean(axis=1), 2, axis=0)
    assert np.allclose(drawn.std(axis=0) / np.sqrt(2 * (off**2).mean(axis=0)), 1, atol=0.3)


def test_noise_that_moves_whole_curves_leaves_their_gains() -> None:
    _, groups, level = proportional(60)
    moved = level + np.random.default_rng(1).normal(0, 0.5, (len(level), 1))
    drawn = drawn_around(fit_noise(moved, groups, level), level)
    assert np.allclose(drawn.std(axis=0), 0.5, atol=0.1)
    # Deviations are smoothed epoch by epoch, so that the gains are not left to the last bit.
    assert np.abs(drawn - drawn[:, -1:]).std() < 0.1


def plain_key(cell: Any, seed: Any) -> Any:
    """What keys_of does, in whole numbers of Python."""

    def mixed(key: Any) -> Any:
        key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) % 2**64
        return key ^ (key >> 31)

    key = mixed((seed + len(cell)) % 2**64)
    padded = bytes(cell) + bytes(-len(cell) % 8)
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        key = mixed((key * 0x9E3779B97F4A7C15 + word) % 2**64)
    return key


@given(st.lists(st.integers(0, 255), min_size=1, max_size=30), st.integers(-(2**63), 2**63 - 1))
def test_keys_are_those_of_plain_arithmetic(cell: Any, seed: Any) -> None:
    assert keys_of(np.array([cell], np.uint8), seed).tolist() == [plain_key(cell, seed)]


def test_keys_are_the_same_on_every_machine() -> None:
    found = keys_of(np.array([[3, 3, 1, 3, 1, 3], [0, 0, 0, 0, 0, 0]], np.uint8), np.array([0, -1]))
    assert [f"{key:016x}" for key in found.tolist()] == PINNED
    assert keys_of(np.arange(20, dtype=np.uint8)[None], 2**63 - 1).tolist() == [PINNED_LONG]


PINNED = ["beddf4e2f4cd1fe1", "2cc2421d04429d03"]
PINNED_LONG = 0x5660E116C4433030


def test_no_two_trainings_share_a_key() -> None:
    all_cells = np.array(np.unravel_index(np.arange(5**6), (5,) * 6)).T.astype(np.uint8)
    keys = np.concatenate([keys_of(all_cells, seed) for seed in (*range(12), -1, 10**12)])
    assert len(np.unique(keys)) == len(keys)
    # Cells of other lengths, padded with zeros, are other cells.
    padded = [keys_of(np.zeros((1, length), np.uint8), 0)[0] for length in range(1, 40)]
    assert len(set(padded)) == 39


def test_one_seed_for_all_is_that_seed_for_each() -> None:
    some = cells(50)
    assert np.array_equal(keys_of(some, 3), keys_of(some, np.full(50, 3)))
    assert np.array_equal(keys_of(some, 3)[[4]], keys_of(some[[4]], 3))
    assert keys_of(some[:0], 3).shape == (0,)


def test_repeats_that_are_all_alike_are_refused() -> None:
    values, groups, level = repeats(30)
    same = level.copy()
    with pytest.raises(SurrogateError, match="different seeds"):
        fit_noise(same, groups, level, np.tile(np.arange(3), 30))
    assert fit_noise(values, groups, level).known


def test_bad_input_is_refused() -> None:
    values, groups, level = repeats(30)
    with pytest.raises(InvalidArgumentError, match="values and levels"):
        fit_noise(values, groups, level[:, :2])
    with pytest.raises(InvalidArgumentError, match="values and levels"):
        fit_noise(values, groups[:-1], level)
    with pytest.raises(InvalidArgumentError, match="finite"):
        fit_noise(values, groups, level * np.nan)
    noise = fit_noise(values, groups, level)
    with pytest.raises(InvalidArgumentError, match="4 epochs"):
        noise.sd(level[:, :3])
    with pytest.raises(InvalidArgumentError, match="4 epochs"):
        noise.draw(level[:, 0], keys_of(cells(90), 0))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("counts", lambda a: a * 0),
        ("counts", lambda a: -a),
        ("counts", lambda a: a[:1]),
        ("levels", lambda a: a[:, ::-1]),
        ("levels", lambda a: a[:-1]),
        ("levels", lambda a: a * np.inf),
        ("deviations", lambda a: a * np.nan),
        ("deviations", lambda a: -a),
        ("deviations", lambda a: a[:, :-1]),
        ("ranked", lambda a: a[::-1]),
        ("ranked", lambda a: a[:-1]),
        ("pool", lambda a: a[:, :-1]),
        ("pool", lambda a: np.where(a == a[3, 1], np.nan, a)),
        ("pool", lambda a: np.full(a.shape, "x")),
        ("counts", lambda a: np.full(a.shape, "9" * 40)),
        ("ranked", lambda a: a[:, None]),
        ("bends", lambda a: 0 * a),
        ("bends", lambda a: a[:-1]),
        ("shifts", lambda a: a + np.nan),
        ("shifts", lambda a: a[:, None]),
        ("stretches", lambda a: -a),
        ("stretches", lambda a: a * np.inf),
    ],
)
def test_altered_arrays_are_refused(name: Any, change: Any) -> None:
    arrays = fit_noise(*repeats(30)).arrays()
    with pytest.raises(SurrogateError, match="seed noise of a surrogate"):
        noise_from({**arrays, name: change(arrays[name])})
    assert isinstance(noise_from(arrays), Noise)


@pytest.mark.parametrize(
    "name",
    ["counts", "levels", "deviations", "ranked", "pool", "bends", "shifts", "stretches"],
)
def test_missing_arrays_are_refused(name: Any) -> None:
    arrays = fit_noise(*repeats(30)).arrays()
    del arrays[name]
    with pytest.raises(SurrogateError, match=name):
        noise_from(arrays)
