"""Learning curves as few numbers: what must come back exactly, what is left out, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nasbench_tab.errors import InvalidArgumentError, MissingValueError, SurrogateError
from nasbench_tab.predictors.curves import (
    MAX_GRID,
    MAX_SHAPES,
    basis_from,
    fit_basis,
    other_means,
)

VALUES = st.floats(-1e3, 1e3, allow_subnormal=False, width=32)


def rising(
    n: Any, epochs: Any, seed: Any = 0, noise: Any = 0.1, runs: Any = 1, shapes: Any = 2
) -> Any:
    """Curves of ``shapes`` directions that repeat from training to training, and noise that does not."""
    rng = np.random.default_rng(seed)
    x = np.log(np.arange(1, epochs + 1)) / np.log(epochs)
    smooth = np.stack([(1 - x), (1 - x) * x, (1 - x) * x * (x - 0.5)])[:shapes]
    weights = np.repeat(rng.normal(size=(n, shapes)) * [20, 8, 4][:shapes], runs, axis=0)
    level = np.repeat(rng.uniform(60, 95, n), runs)
    curves = level[:, None] - 30 * (1 - x) + weights @ smooth
    return curves + noise * rng.normal(size=curves.shape), np.repeat(np.arange(n), runs)


@given(
    values=arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 7)), elements=VALUES),
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
def test_the_end_is_exact_and_one_epoch_is_that_epoch_of_the_curve(values: Any, data: Any) -> None:
    n, n_epochs = values.shape
    epochs = tuple(
        np.cumsum(
            data.draw(st.lists(st.integers(1, 9), min_size=n_epochs, max_size=n_epochs))
        ).tolist()
    )
    basis = fit_basis(epochs, values, np.arange(n))
    targets = basis.compress(values)
    members = np.stack([targets, targets * 1.1 + 0.3, -targets], axis=1)  # (n, M, 1 + k)
    for given_targets in (targets, members):
        whole = basis.decode(given_targets)
        assert whole.shape == (*given_targets.shape[:-1], n_epochs)
        assert np.array_equal(whole[..., -1], given_targets[..., 0])
        for place, epoch in enumerate(epochs):
            assert np.array_equal(basis.decode(given_targets, epoch), whole[..., place])
    assert np.array_equal(
        basis.decode(members)[0], basis.decode(members[:1])[0]
    )  # alone, or among others


@given(values=arrays(np.float64, st.tuples(st.integers(4, 9), st.integers(2, 5)), elements=VALUES))
@settings(max_examples=50, deadline=None)
def test_all_shapes_give_every_curve_back(values: Any) -> None:
    """Oracle: a singular value decomposition that nothing was left out of loses nothing."""
    basis = fit_basis(
        range(1, values.shape[1] + 1), values, np.arange(len(values)), shapes=MAX_SHAPES
    )
    assert np.allclose(basis.decode(basis.compress(values)), values, atol=1e-6)


def test_the_reduction_is_the_best_of_its_size() -> None:
    """Oracle: principal components (Eckart and Young): the error is what the left-out ones hold."""
    values, groups = rising(60, 9, noise=1.0)
    shape = values - values[:, -1:]
    sizes = np.linalg.svd(shape - shape.mean(axis=0), compute_uv=False)
    for k in range(MAX_SHAPES + 1):
        basis = fit_basis(range(1, 10), values, groups, shapes=k)
        left = basis.decode(basis.compress(values)) - values
        assert np.sum(left**2) == pytest.approx(np.sum(sizes[k:] ** 2), rel=1e-9)
        assert basis.errors[k] == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-9)


@pytest.mark.parametrize("shapes", [1, 2, 3])
def test_as_many_shapes_are_kept_as_repeat(shapes: Any) -> None:
    values, groups = rising(150, 12, runs=2, shapes=shapes, noise=0.1)
    assert len(fit_basis(range(1, 13), values, groups).shapes) == shapes


def test_without_repeats_a_shape_must_hold_two_percent_of_the_variance() -> None:
    values, groups = rising(200, 12, shapes=3, noise=0.1)
    shape = values - values[:, -1:]
    shares = np.linalg.svd(shape - shape.mean(axis=0), compute_uv=False) ** 2
    shares /= shares.sum()
    kept = len(fit_basis(range(1, 13), values, groups).shapes)
    assert (shares[:kept] > 0.02).all()
    assert shares[kept] <= 0.02
    few_repeats = np.r_[0, 0, 1, 1, np.arange(2, 198)]  # two networks twice say as little
    assert len(fit_basis(range(1, 13), values, few_repeats).shapes) == kept


def test_a_shape_that_no_second_training_repeats_is_noise() -> None:
    """One epoch is thrown about by the seed alone: more variance than all else together."""
    values, groups = rising(150, 6, runs=2, shapes=1, noise=0.05)
    values[:, 2] += np.random.default_rng(1).normal(scale=40.0, size=len(values))
    basis = fit_basis(range(1, 7), values, groups)
    assert abs(basis.shapes[0, 2]) > 0.95  # the largest direction is that noise
    assert basis.errors[1] > 0.95 * basis.errors[0]
    assert basis.errors[2] < 0.9 * basis.errors[1]  # the one behind it repeats
    assert len(basis.shapes) == 2
    only_noise = rising(150, 6, runs=2, shapes=0, noise=1.0)
    assert fit_basis(range(1, 7), *only_noise).shapes.shape == (0, 6)


def test_long_curves_are_held_on_a_grid_and_drawn_between() -> None:
    epochs = tuple(range(1, 201))
    values, groups = rising(40, 200, noise=0.0)
    basis = fit_basis(epochs, values, groups, shapes=MAX_SHAPES)
    assert len(basis.grid) == MAX_GRID
    assert (basis.grid[0], basis.grid[-1]) == (0, 199)
    spacing = np.diff(np.log(np.array(epochs)[basis.grid]))
    assert spacing[20:].max() < 1.25 * spacing[20:].min()  # even, where epochs are dense enough
    back = basis.decode(basis.compress(values))
    assert np.abs(back - values)[:, basis.grid].max() < 1e-9
    assert (
        np.abs(back - values).max() < 0.1
    )  # points on the curves themselves differ by 30 and more
    logs = np.log(epochs)
    for curve in back[
        :5
    ]:  # between neighbours of the grid: a line in the logarithm, so never beyond them
        assert np.allclose(curve, np.interp(logs, logs[basis.grid], curve[basis.grid]), atol=1e-9)


@pytest.mark.parametrize("n_epochs", [31, 32, 33, 40, 64, 1000])
def test_the_grid_never_exceeds_its_size(n_epochs: Any) -> None:
    basis = fit_basis(range(1, n_epochs + 1), np.zeros((3, n_epochs)), np.arange(3))
    assert len(basis.grid) == (
        n_epochs if n_epochs <= MAX_GRID else pytest.approx(MAX_GRID, abs=12)
    )
    assert len(basis.grid) <= MAX_GRID


def test_runs_that_diverged_are_left_out_and_keep_what_they_have() -> None:
    values, groups = rising(30, 5)
    broken = values.copy()
    broken[:6, 3:] = np.nan
    broken[6, 1] = np.nan  # a gap; its end is known
    broken[7, 0] = np.inf
    basis = fit_basis(range(1, 6), broken, groups)
    same = fit_basis(range(1, 6), values[8:], groups[8:])
    assert np.array_equal(basis.mean, same.mean)
    assert np.array_equal(basis.shapes, same.shapes)
    targets = basis.compress(broken)
    assert np.isnan(targets[:6]).all()
    assert targets[6, 0] == values[6, 4]
    assert np.isnan(targets[6, 1:]).all()
    assert np.isfinite(targets[8:]).all()


def test_one_epoch_one_curve_and_equal_curves_have_no_shape() -> None:
    one = fit_basis((200,), np.array([[91.0], [92.0]]), np.arange(2))
    assert one.compress(np.array([[93.5]])).tolist() == [[93.5]]
    assert one.decode(np.array([[93.5]]), 200).tolist() == [93.5]
    single = fit_basis((1, 2), np.array([[50.0, 90.0]]), np.arange(1))
    assert single.decode(np.array([[80.0]])).tolist() == [[40.0, 80.0]]
    equal = fit_basis((1, 2, 3), np.tile([[1.0, 2.0, 4.0]], (20, 1)), np.arange(20))
    assert equal.shapes.shape == (0, 3)
    assert equal.decode(np.array([[9.0]])).tolist() == [[6.0, 7.0, 9.0]]


def test_the_order_of_runs_does_not_matter() -> None:
    values, groups = rising(40, 8, runs=2)
    order = np.random.default_rng(3).permutation(len(values))
    one, other = (
        fit_basis(range(1, 9), values[i], groups[i]) for i in (np.arange(len(values)), order)
    )
    assert one.shapes.shape == other.shapes.shape
    assert np.allclose(one.shapes, other.shapes, atol=1e-8)  # the sign too


def test_nothing_to_fit_on_is_an_error() -> None:
    with pytest.raises(SurrogateError, match="None of 4 runs has a value at every one of 3 epochs"):
        fit_basis((1, 2, 3), np.full((4, 3), np.nan), np.arange(4))


@pytest.mark.parametrize("epochs", [(), (0, 1), (2, 1), (1, 1)])
def test_epochs_that_do_not_ascend_are_refused(epochs: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="1-based and ascend"):
        fit_basis(epochs, np.zeros((3, len(epochs))), np.arange(3))


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    basis = fit_basis((1, 2), np.array([[1.0, 2.0], [2.0, 5.0]]), np.arange(2))
    for wrong in (
        lambda: fit_basis((1, 2), np.zeros((3, 3)), np.arange(3)),
        lambda: fit_basis((1, 2), np.zeros((3, 2)), np.arange(2)),
        lambda: basis.compress(np.zeros(2)),
        lambda: basis.decode(np.zeros((4, 9))),
    ):
        with pytest.raises(InvalidArgumentError):
            wrong()


@pytest.mark.parametrize("epoch", [0, 3, 5, 200, -1])
def test_an_epoch_that_was_not_trained_is_missing(epoch: Any) -> None:
    basis = fit_basis((1, 2, 4), np.eye(3), np.arange(3))
    with pytest.raises(MissingValueError, match=f"at epoch {epoch}: .*from epoch 1 to 4"):
        basis.decode(np.zeros((1, basis.rows.shape[1])), epoch)


def test_a_basis_is_written_down_and_read_back_to_the_last_bit() -> None:
    values, groups = rising(50, 60, runs=2)
    basis = fit_basis(range(1, 61), values, groups)
    again = basis_from({name: part.copy() for name, part in basis.arrays().items()})
    targets = basis.compress(values)
    assert np.array_equal(again.decode(targets), basis.decode(targets))
    assert again.epochs == basis.epochs


def planted(name: Any, change: Any) -> Any:
    parts = fit_basis(range(1, 6), *rising(20, 5)).arrays()
    parts[name] = change(parts[name].copy())
    return parts


def at(value: Any, *place: Any) -> Any:
    def change(part: Any) -> Any:
        part[place] = value
        return part

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("epochs", at(9, 0)), ("epochs", at(0, 0)), ("epochs", lambda a: a[:-1]), ("epochs", lambda a: a[None]),
        ("epochs", lambda a: a[:0]), ("grid", at(3, 1)), ("grid", at(1, 0)), ("grid", lambda a: a[:-1]),
        ("mean", at(np.nan, 0)), ("mean", at(1.0, 4)), ("mean", lambda a: a[None]), ("mean", lambda a: a[1:]),
        ("shapes", at(np.inf, 0, 0)), ("shapes", at(0.5, 0, 4)), ("shapes", lambda a: a[:, 1:]), ("shapes", lambda a: a[0]),
        ("errors", at(np.nan, 0)), ("mean", lambda a: np.array(["x"] * 5)), ("grid", lambda a: np.array(3)),
    ],
)  # fmt: skip
def test_an_altered_basis_is_refused(name: Any, change: Any) -> None:
    with pytest.raises(SurrogateError):
        basis_from(planted(name, change))


@pytest.mark.parametrize("name", ["epochs", "grid", "mean", "shapes", "errors"])
def test_a_basis_that_lacks_a_part_is_refused(name: Any) -> None:
    parts = fit_basis(range(1, 6), *rising(20, 5)).arrays()
    del parts[name]
    with pytest.raises(SurrogateError, match=name):
        basis_from(parts)


@given(
    groups=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    seed=st.integers(0, 99),
)
@settings(max_examples=50, deadline=None)
def test_the_mean_of_the_others_is_that(groups: Any, seed: Any) -> None:
    values = np.random.default_rng(seed).normal(size=(len(groups), 3))
    found, has = other_means(values, np.array(groups))
    for i, group in enumerate(groups):
        others = [values[j] for j, other in enumerate(groups) if other == group and j != i]
        assert has[i] == bool(others)
        if others:
            assert np.allclose(found[i], np.mean(others, axis=0))
