"""Curves seen in part: what is kept when, what was seen stays, and the oracles of the regressions."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArgumentError, SurrogateError
from nasbench_tab.predictors.partial import METHODS, Partial, fit_partial, held_out, partial_from

EPOCHS = 6


def runs(
    n: Any = 80,
    seed: Any = 0,
    *,
    surrogate: Any = 1.0,
    early: Any = 1.0,
    blur: Any = 0.02,
    trainings: Any = 2,
    epochs: Any = EPOCHS,
) -> Any:
    """Values, surrogate's curves, training losses and groups.

    ``surrogate``, ``early`` and ``blur`` are deviations of what the surrogate, the first epochs and the
    losses (in proportion) say.
    """
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.uniform(60, 90, n), trainings)
    left = np.linspace(1, 0, epochs)
    curves = level[:, None] - 30 * left + rng.normal(scale=0.2, size=(len(level), epochs))
    curves += early * left * rng.normal(size=(len(level), 1))
    means = (
        level[:, None]
        - 30 * left
        + np.repeat(rng.normal(scale=surrogate, size=n), trainings)[:, None]
    )
    losses = (
        np.exp(-level / 20)[:, None] * (1 + left) * np.exp(blur * rng.normal(size=curves.shape))
    )
    return curves, means, losses, np.repeat(np.arange(n), trainings)


def kept(*args: Any, **named: Any) -> Partial:
    found = fit_partial(*args, **named)
    assert found is not None
    return found


@lru_cache
def fitted(seed: Any = 0, with_losses: Any = True, **options: Any) -> Any:
    values, means, losses, groups = runs(seed=seed, **options)
    rng = np.random.default_rng(1)
    return kept(values, means, groups, rng, losses=losses if with_losses else None)


@pytest.mark.parametrize("with_losses", [True, False])
def test_what_was_seen_stays_and_the_rest_has_a_deviation(with_losses: Any) -> None:
    partial = fitted(with_losses=with_losses)
    values, means, losses, _ = runs(30, seed=9)
    for k in range(1, EPOCHS + 1):
        given_losses: Any = losses[:, :k] if with_losses else None
        found = partial.extrapolate(values[:, :k], means, given_losses)
        assert found.values.shape == found.sd.shape == (30 * 2, EPOCHS)
        assert np.array_equal(found.values[:, :k], values[:, :k])
        assert (found.sd[:, :k] == 0).all()
        assert (found.sd[:, k:] > 0).all()
        one = partial.extrapolate(
            values[3:4, :k], means[3:4], given_losses[3:4] if with_losses else None
        )
        assert np.allclose(one.values, found.values[3:4], rtol=1e-12)


def test_the_deviation_is_that_of_runs_that_were_not_fitted_on() -> None:
    partial = fitted(n=200)
    values, means, losses, _ = runs(200, seed=5)
    for k in (1, 3, 5):
        found = partial.extrapolate(values[:, :k], means, losses[:, :k])
        standard = (found.values[:, -1] - values[:, -1]) / found.sd[:, -1]
        assert 0.85 < standard.std() < 1.2


def test_the_surrogate_is_kept_where_epochs_say_nothing() -> None:
    """Early epochs without a word on the end, losses that are noise: nothing may be read into them."""
    values, means, _, groups = runs(surrogate=0.3)
    rng = np.random.default_rng(2)
    values[:, :2] = rng.normal(20.0, 5.0, (len(values), 2))
    noise = rng.uniform(1, 2, values.shape)
    partial = kept(values, means, groups, rng, losses=noise)
    assert [partial.chosen[k][0] for k in (1, 2)] == ["surrogate", "surrogate"]


def test_the_last_value_is_kept_where_nothing_adds_to_it() -> None:
    """A surrogate and losses that are noise, and values of which the last is all there is to know."""
    rng = np.random.default_rng(4)
    steps = rng.normal(size=(300, EPOCHS))
    values = 70 + 10 * rng.normal(size=(300, 1)) + np.cumsum(steps, axis=1)
    noise = rng.normal(70, 10, (300, EPOCHS))
    losses = rng.uniform(1, 2, (300, EPOCHS))
    partial = kept(values, noise, np.arange(300), rng, losses=losses)
    assert [method for method, _ in partial.chosen.values()] == ["last"] * (EPOCHS - 1)
    found = partial.extrapolate(values[:, :3], noise, losses[:, :3])
    rise = (values[:, 3:] - values[:, 2:3]).mean(axis=0)
    assert np.allclose(found.values[:, 3:], values[:, 2:3] + rise)


def test_what_is_learnt_beats_the_baselines_where_it_is_kept() -> None:
    """On networks that no fit has seen."""
    partial = fitted(n=150, surrogate=2.0, early=3.0, blur=0.2)
    values, means, losses, _ = runs(150, seed=11, surrogate=2.0, early=3.0, blur=0.2)
    for k in (2, 3, 4):
        assert partial.chosen[k][0] in ("head", "rise")
        found = partial.extrapolate(values[:, :k], means, losses[:, :k]).values[:, -1]
        last = values[:, k - 1] + (values[:, -1] - values[:, k - 1]).mean()
        assert np.abs(found - values[:, -1]).mean() < 0.9 * np.abs(last - values[:, -1]).mean()


def test_the_lower_of_losses_is_the_better_best_so_far() -> None:
    """A metric to minimise: its best value is the least; the mirror of a metric to maximise."""
    values, means, losses, groups = runs(early=4.0)
    values[:, 1] += 20.0  # the best so far is not the last
    up = kept(values, means, groups, np.random.default_rng(0), losses=losses)
    down = kept(-values, -means, groups, np.random.default_rng(0), losses=losses, best="min")
    for k in up.lengths:
        (method, scores), (mirrored, others) = up.chosen[k], down.chosen[k]
        assert method == mirrored
        assert {name: pytest.approx(tuple(score)) for name, score in scores.items()} == {
            name: tuple(score) for name, score in others.items()
        }


def test_held_out_is_held_out() -> None:
    """A surrogate method that could see the network of a run would find its secret."""
    values, means, losses, groups = runs(60)
    secret = np.repeat(np.random.default_rng(7).normal(scale=10, size=60), 2)
    values = values + secret[:, None]
    guesses = held_out(values, means, groups, 1, np.random.default_rng(0), losses=losses)
    shuffled = values.copy()
    shuffled[groups == 3, 1:] += 1000.0  # what this network goes on to do
    others = held_out(shuffled, means, groups, 1, np.random.default_rng(0), losses=losses)
    for name in METHODS:
        assert np.array_equal(guesses[name][groups == 3], others[name][groups == 3])
        assert not np.array_equal(guesses[name], others[name])


def test_the_regression_is_ridge_regression() -> None:
    """Oracle: scikit-learn's, on standardised terms, at the ridge that leave-one-out chooses."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    values, means, losses, groups = runs(100, trainings=1)
    guess = held_out(values, means, groups, 3, np.random.default_rng(5), losses=losses)["losses"]
    fold = (np.random.default_rng(5).permutation(100) % 5)[groups]
    feature = losses[:, :3].sum(axis=1, keepdims=True)
    for out in range(5):
        fit, rest = fold != out, fold == out
        scaler = preprocessing.MinMaxScaler((-1, 1), clip=True).fit(feature[fit])
        terms = [
            np.hstack([s, s**2])
            for s in (scaler.transform(feature[fit]), scaler.transform(feature[rest]))
        ]
        standard = preprocessing.StandardScaler().fit(terms[0])
        ridge = linear_model.RidgeCV(np.logspace(-2, 3, 11)).fit(
            standard.transform(terms[0]), values[fit, 3:]
        )
        assert np.allclose(ridge.predict(standard.transform(terms[1])), guess[rest], rtol=1e-8)


def test_long_curves_have_fewer_fits_and_the_epochs_between_count_as_not_seen() -> None:
    partial = fitted(n=30, trainings=1, epochs=100)
    assert min(partial.lengths) == 1
    assert max(partial.lengths) == 99
    assert len(partial.lengths) <= 31
    seen = next(k for k in range(2, 99) if k not in partial.lengths)
    below = max(k for k in partial.lengths if k < seen)
    values, means, losses, _ = runs(5, seed=3, trainings=1, epochs=100)
    one = partial.extrapolate(values[:, :seen], means, losses[:, :seen])
    less = partial.extrapolate(values[:, :below], means, losses[:, :below])
    assert np.array_equal(one.values[:, seen:], less.values[:, seen:])
    assert np.array_equal(one.values[:, :seen], values[:, :seen])


@given(factor=st.floats(-1e6, 1e6), row=st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_an_absurd_beginning_does_not_run_away(factor: Any, row: Any) -> None:
    """Terms beyond what was fitted on are held: squares would answer a million for a value of a thousand."""
    values, means, losses, _ = runs(10, seed=3)
    seen, lost = values[:, :3].copy(), losses[:, :3].copy()
    seen[row, :], lost[row, 1] = factor, abs(factor)
    found = KEPT.extrapolate(seen, means, lost).values[row, 3:]
    start = factor if KEPT.chosen[3][0] == "rise" else 0.0
    assert np.abs(found - start).max() < 200


KEPT = fitted(n=150, surrogate=2.0, early=3.0, blur=0.2)


def test_incomplete_runs_are_left_out() -> None:
    values, means, losses, groups = runs()
    rng = np.random.default_rng
    broken = values.copy()
    broken[:20, 4:], broken[20, 0] = np.nan, np.inf
    lost = losses.copy()
    lost[21:24, 2] = np.nan
    one = kept(broken, means, groups, rng(0), losses=lost)
    two = kept(values[24:], means[24:], groups[24:], rng(0), losses=losses[24:])
    assert one.arrays().keys() == two.arrays().keys()
    assert all(
        np.array_equal(part, two.arrays()[name], equal_nan=True)
        for name, part in one.arrays().items()
    )


def test_too_little_to_choose_by_gives_no_extrapolation() -> None:
    values, means, losses, groups = runs(19)
    assert fit_partial(values, means, groups, np.random.default_rng(0), losses=losses) is None
    one_epoch = fit_partial(
        np.ones((50, 1)), np.ones((50, 1)), np.arange(50), np.random.default_rng(0)
    )
    assert one_epoch is None


def test_constant_values_have_no_order_and_no_head() -> None:
    flat = np.full((40, 3), 10.0)
    partial = kept(flat, flat, np.arange(40), np.random.default_rng(0))
    assert [method for method, _ in partial.chosen.values()] == ["surrogate", "surrogate"]
    assert partial.extrapolate(flat[:2, :1], flat[:2]).values.tolist() == flat[:2].tolist()


def test_arguments_that_do_not_fit_together_are_refused() -> None:
    values, means, losses, groups = runs()
    rng = np.random.default_rng(0)
    partial = fitted()
    for wrong in (
        lambda: fit_partial(values, means[:, 1:], groups, rng),
        lambda: fit_partial(values, means, groups[1:], rng),
        lambda: fit_partial(values, means, groups, rng, losses=losses[1:]),
        lambda: fit_partial(values, means, groups, rng, best="most"),
        lambda: partial.extrapolate(values[:, :2], means),
        lambda: partial.extrapolate(values[:, :0], means, losses[:, :0]),
        lambda: partial.extrapolate(np.ones((160, 7)), means, np.ones((160, 7))),
        lambda: partial.extrapolate(values[:, :2], means[:, 1:], losses[:, :2]),
        lambda: partial.extrapolate(values[:, :2], means, losses[:, :3]),
        lambda: partial.extrapolate(values[:, :2] * np.nan, means, losses[:, :2]),
        lambda: partial.extrapolate(values[:, :2], means, losses[:, :2] * np.inf),
    ):
        with pytest.raises(InvalidArgumentError):
            wrong()


@pytest.mark.parametrize("with_losses", [True, False])
def test_an_extrapolation_is_written_down_and_read_back_to_the_last_bit(with_losses: Any) -> None:
    partial = fitted(with_losses=with_losses)
    again = partial_from({name: part.copy() for name, part in partial.arrays().items()})
    values, means, losses, _ = runs(10, seed=3)
    for k in range(1, EPOCHS + 1):
        asked = (values[:, :k], means, losses[:, :k])
        for one, other in zip(partial.extrapolate(*asked), again.extrapolate(*asked), strict=True):
            assert np.array_equal(one, other)
    assert again.chosen == partial.chosen


def at(value: Any, *place: Any) -> Any:
    def change(part: Any) -> Any:
        part[place] = value
        return part

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("shape", at(7, 0)), ("shape", at(10**12, 0)), ("shape", at(-3, 0)), ("shape", at(0, 2)), ("shape", lambda a: a[:2]),
        ("lengths", at(2, 0)), ("lengths", lambda a: a[1:]), ("lengths", at(9, -1)), ("lengths", lambda a: a[:0]),
        ("3/method", at(len(METHODS), 0)), ("3/method", at(-9, 0)), ("3/method", at(1, 0)), ("3/method", lambda a: a[:0]),
        ("3/scores", lambda a: a[1:]), ("3/scores", lambda a: a[:, :1]), ("3/weights", at(np.nan, 0, 0)),
        ("3/weights", lambda a: a[1:]), ("3/weights", lambda a: a[:, 1:]), ("3/scale", at(0.0, 0)), ("3/low", at(1e9, 0)),
        ("3/rest", at(np.inf, 0)), ("3/rest", lambda a: a[1:]), ("3/levels", at(1e9, 0)), ("3/levels", lambda a: a[:0]),
        ("3/sds", at(-1.0, 0, 0)), ("3/sds", lambda a: a[:, 1:]), ("3/centre", lambda a: a[1:]),
        *((name, None) for name in ("shape", "lengths", "3/method", "3/scores", "3/weights", "3/sds")),
    ],
)  # fmt: skip
def test_an_altered_extrapolation_is_refused(name: Any, change: Any) -> None:
    parts = {key: part.copy() for key, part in KEPT.arrays().items()}
    if change is None:
        del parts[name]
    else:
        parts[name] = change(parts[name])
    with pytest.raises(SurrogateError, match="is inconsistent"):
        partial_from(parts)
