"""The Gaussian process: beside the textbook's formulas, to the bit, and on bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors import gp as gp_module
from nasbench_tab.predictors.arrays import arrays_from, bytes_of, shapes_of
from nasbench_tab.predictors.gp import GP, LEAST, fit_gp, gp_from

Floats = NDArray[np.float64]


def data(
    n: int = 60, seed: int = 0, repeats: int = 1, noise: float = 0.1
) -> tuple[NDArray[np.float32], Floats, NDArray[np.intp]]:
    """Return ``n`` networks of four features, each trained so often, and one target without a tail."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, 4)).astype(np.float32)
    groups = np.repeat(np.arange(n), repeats)
    smooth = np.sin(2 * x[:, 0]) + x[:, 1] / 2
    return x[groups], (smooth[groups] + rng.normal(0, noise, len(groups)))[:, None], groups


def standard(x: NDArray[np.float32], fitted: NDArray[np.float32], unit: float) -> Floats:
    logs, of = (np.sign(a) * np.log1p(np.abs(a.astype(float))) for a in (x, fitted))
    return np.asarray(np.round((logs - of.mean(axis=0)) / of.std(axis=0) * unit) / unit)


def kernel(a: Floats, b: Floats, length: float) -> Floats:
    far = np.sqrt(((a[:, None] - b) ** 2).sum(axis=2)) * np.sqrt(5) / length
    return np.asarray((1 + far + far**2 / 3) * np.exp(-far))


@pytest.mark.parametrize("repeats", [1, 3])
def test_it_is_the_textbooks_process_of_all_rows(repeats: int) -> None:
    # Rasmussen and Williams, algorithm 2.1, a row for each training; ours holds a point for each network.
    x, y, groups = data(40, repeats=repeats)
    gp, asked = fit_gp(x, y, groups), data(25, seed=1)[0]
    t = gp.targets[0]
    assert t.sign == 0  # this data has no long tail
    assert len(gp.x) == 40
    own, other = standard(x, x, gp.unit), standard(asked, x, gp.unit)
    covariance = t.signal * (kernel(own, own, t.length) + t.noise * np.eye(len(x)))
    across = t.signal * kernel(other, own, t.length)
    z = (y[:, 0] - t.centre) / t.scale
    mean, sd = gp.predict(asked)
    expected = t.centre + t.scale * across @ np.linalg.solve(covariance, z)
    left = t.signal - (across * np.linalg.solve(covariance, across.T).T).sum(axis=1)
    np.testing.assert_allclose(mean[:, 0], expected, atol=1e-4)
    np.testing.assert_allclose(sd[:, 0], t.scale * np.sqrt(left), atol=1e-4)


@pytest.mark.parametrize("repeats", [1, 2, 4])
def test_no_noise_of_the_grid_is_likelier(repeats: int) -> None:
    x, y, groups = data(30, seed=2, repeats=repeats, noise=0.2)
    gp = fit_gp(x, y, groups)
    t = gp.targets[0]
    z, own = (y[:, 0] - t.centre) / t.scale, standard(x, x, gp.unit)

    def likelihood(length: float, noise: float) -> float:
        covariance = kernel(own, own, length) + noise * np.eye(len(z))
        signal = z @ np.linalg.solve(covariance, z) / len(z)
        return float(-0.5 * (np.linalg.slogdet(covariance)[1] + len(z) * np.log(signal)))

    step = (3.0 / 1e-4) ** (1 / 24)
    best = likelihood(t.length, t.noise)
    for length, noise in ((1, step), (1, 1 / step), (20 ** (1 / 11), 1), (20 ** (-1 / 11), 1)):
        assert likelihood(t.length * length, t.noise * noise) < best + 1e-6
    covariance = kernel(own, own, t.length) + t.noise * np.eye(len(z))
    assert t.signal == pytest.approx(z @ np.linalg.solve(covariance, z) / len(z), rel=1e-3)


@settings(max_examples=12, deadline=None)
@given(st.integers(10, 60), st.integers(1, 700), st.integers(0, 2**32 - 1), st.booleans())
def test_a_row_gets_the_same_bits_alone_and_among_others(
    n: int, asked: int, seed: int, tail: bool
) -> None:
    x, y, groups = data(n, seed)
    gp = fit_gp(x, np.hstack([np.exp(3 * y) if tail else y, y]), groups)
    rows = data(asked, seed + 1)[0]
    together = gp.mean(rows)
    some = np.random.default_rng(seed).integers(0, asked, 10)
    assert all((gp.mean(rows[i : i + 1]) == together[i]).all() for i in some)
    assert (gp.mean(rows[some]) == together[some]).all()
    assert (gp.mean(rows, 1) == together[:, :1]).all()
    assert (gp.predict(rows)[0] == together).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_units_do_not_matter(seed: int, factor: float, shift: float) -> None:
    x, y, groups = data(30, seed)
    y = -np.exp(2 * y)
    asked = data(9, seed + 1)[0]
    mean, sd = fit_gp(x, y, groups).predict(asked)
    moved, moved_sd = fit_gp(x, factor * y + shift, groups).predict(asked)
    size = float(np.ptp(y))
    np.testing.assert_allclose((moved - shift) / factor, mean, atol=1e-4 * size)
    np.testing.assert_allclose(moved_sd / factor, sd, atol=1e-4 * size)


def test_rows_far_out_are_cut_to_where_distances_are_exact() -> None:
    x, y, groups = data(40)
    gp = fit_gp(x, y, groups)
    far = np.array([[3e38, -3e38, 3e38, 0], [1e9, -1e9, 1e9, 0]], np.float32)
    for _, steps in gp._steps(np.vstack([far, x])):
        lengths = np.sqrt((steps**2).sum(axis=1))
        assert (steps == np.rint(steps)).all()
        assert (lengths[:2] <= 2048).all()
        assert (lengths[:2] > 2046).all()
        assert lengths[2:].max() == pytest.approx(0.4 * 2048, abs=2)
        exact = ((steps[:, None] - gp.x.astype(np.int64)) ** 2).sum(axis=2)
        beside = np.column_stack([steps, np.ones(42), lengths**2]).astype(np.float32)
        assert (beside @ gp.across == exact).all()


def test_a_loss_is_an_accuracy_upside_down() -> None:
    x, y, groups = data()
    asked = data(20, seed=1)[0]
    accuracy, loss = fit_gp(x, -np.exp(2 * y), groups), fit_gp(x, np.exp(2 * y), groups)
    assert (accuracy.targets[0].sign, loss.targets[0].sign) == (1, -1)
    for one, other, sign in zip(accuracy.predict(asked), loss.predict(asked), (-1, 1), strict=True):
        np.testing.assert_allclose(one, sign * other, atol=1e-6)


def test_broken_networks_do_not_drown_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, groups = data(80, noise=0.02)
    y[x[:, 3] > 0.8] = -60.0
    asked = data(200, seed=1)[0]
    asked = asked[asked[:, 3] < 0.5]
    truth = np.sin(2 * asked[:, 0]) + asked[:, 1] / 2
    compressed = fit_gp(x, y, groups).mean(asked)[:, 0]
    monkeypatch.setattr(gp_module, "tail_of", lambda _: (0, 0.0))
    plain = fit_gp(x, y, groups).mean(asked)[:, 0]
    assert np.abs(compressed - truth).mean() < 0.5 * np.abs(plain - truth).mean()


def test_the_order_of_rows_does_not_matter() -> None:
    x, y, groups = data(repeats=2)
    order = np.random.default_rng(3).permutation(len(x))
    asked = data(20, seed=1)[0]
    one, other = fit_gp(x, y, groups), fit_gp(x[order], y[order], groups[order])
    np.testing.assert_allclose(one.mean(asked), other.mean(asked), atol=1e-7)


def test_doubt_grows_with_distance_and_shrinks_with_repeats() -> None:
    x, y, groups = data(40, noise=0.5)
    gp = fit_gp(x, y, groups)
    far = np.full((1, 4), 1e6, np.float32)
    (_, near_sd), (mean, far_sd) = gp.predict(x), gp.predict(far)
    t = gp.targets[0]
    assert far_sd[0, 0] > near_sd.max()
    assert far_sd[0, 0] <= t.scale * np.sqrt(t.signal) * 1.0001
    assert t.sign == 0
    assert y.min() < mean[0, 0] < y.max()
    often = np.r_[np.arange(40), np.zeros(9, int)]
    again = fit_gp(x[often], y[often], groups[often])
    same = again._replace(targets=(again.targets[0]._replace(counts=np.ones(40)),))
    assert again.predict(x[:1])[1][0, 0] < same.predict(x[:1])[1][0, 0]


def test_targets_are_fitted_apart_and_gaps_are_left_out() -> None:
    x, y, groups = data(50)
    three = np.hstack([y, np.exp(3 * y), y])
    three[::5, 2] = np.nan
    gp = fit_gp(x, three, groups)
    assert [len(t.points) for t in gp.targets] == [50, 50, 40]
    asked = data(20, seed=1)[0]
    for k in range(3):
        alone = fit_gp(x, three[:, k : k + 1], groups)
        np.testing.assert_allclose(gp.mean(asked)[:, k], alone.mean(asked)[:, 0], atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 93.25, -1e6])
def test_a_constant_target_stays_constant(value: float) -> None:
    x, y, groups = data(20)
    mean, sd = fit_gp(x, np.full_like(y, value), groups).predict(data(9, seed=1)[0])
    np.testing.assert_allclose(mean, value)
    assert (sd <= 1e-5).all()


def test_one_network_trained_often_is_its_mean() -> None:
    x = np.ones((12, 3), np.float32)
    y = np.random.default_rng(0).normal(90, 1, (12, 1))
    mean, sd = fit_gp(x, y, np.zeros(12, np.intp)).predict(x[:1])
    assert abs(mean[0, 0] - y.mean()) < 0.5
    assert np.isfinite(sd).all()


def test_many_equal_best_values() -> None:
    x, y, groups = data(40)
    y = np.minimum(y, np.quantile(y, 0.3))
    mean, sd = fit_gp(x, y, groups).predict(data(20, seed=1)[0])
    assert np.isfinite(mean).all()
    assert np.isfinite(sd).all()
    assert (np.abs(mean - y.mean()) < 3 * np.ptp(y)).all()


def test_of_too_many_networks_an_even_subset_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gp_module, "MOST", 50)
    x, y, groups = data(130, repeats=2)
    y = np.hstack([y, y])
    y[::13, 1] = np.nan
    gp = fit_gp(x, y, groups)
    assert [len(t.points) for t in gp.targets] == [50, 50]
    assert all(t.counts.sum() > 90 for t in gp.targets)  # their repeats come along
    assert (gp.x.min(axis=0) < -1).all()
    assert (gp.x.max(axis=0) > 1).all()


def test_no_rows_asked() -> None:
    x, y, groups = data(20)
    mean, sd = fit_gp(x, y, groups).predict(x[:0])
    assert mean.shape == sd.shape == (0, 1)


def bad_fits() -> list[tuple[str, Any, str]]:
    x, y, groups = data(20)
    nan, inf, few = x.copy(), y.copy(), y.copy()
    nan[3, 1], inf[3, 0], few[: 20 - LEAST + 1] = np.nan, np.inf, np.nan
    return [
        ("three rows", (x[:3], y[:3], groups[:3]), "has 3 values"),
        ("no rows", (x[:0], y[:0], groups[:0]), "has 0 values"),
        ("gaps", (x, few, groups), "has 9 values"),
        ("a feature", (nan, y, groups), "not finite"),
        ("a target", (x, inf, groups), "not finite"),
        ("lengths", (x[:-1], y, groups), "do not|Expected features"),
        ("groups", (x, y, groups[1:]), "Expected features"),
        ("one target", (x, y[:, 0], groups), "Expected features"),
        ("no target", (x, y[:, :0], groups), "Expected features"),
    ]


@pytest.mark.parametrize(("_", "arguments", "words"), bad_fits(), ids=lambda v: str(v)[:12])
def test_what_cannot_be_fitted_is_refused(_: str, arguments: Any, words: str) -> None:
    with pytest.raises(SurrogateError, match=words):
        fit_gp(*arguments)


@pytest.mark.parametrize("asked", [np.ones((2, 3)), np.ones(4), np.full((1, 4), np.nan)])
def test_questions_of_another_shape_are_refused(asked: Any) -> None:
    gp = fit_gp(*data(20))
    for ask in (gp.mean, gp.predict):
        with pytest.raises(SurrogateError, match="4 finite features"):
            ask(asked.astype(np.float32))


def stored(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return arrays_from(bytes_of(arrays, "gp"), shapes_of(arrays), "gp")


def both() -> GP:
    x, y, groups = data(30, repeats=2)
    y = np.hstack([-np.exp(2 * y), y])
    y[:7, 1] = np.nan
    return fit_gp(x, y, groups)


def test_it_is_the_same_after_storing() -> None:
    gp, asked = both(), data(50, seed=1)[0]
    again = gp_from(stored(gp.arrays()))
    for one, other in zip(gp.predict(asked), again.predict(asked), strict=True):
        assert (one == other).all()


DAMAGE: list[tuple[str, Any]] = [
    *((name, None) for name in ("centre", "scale", "unit", "x", "0/points", "1/weights")),
    ("0/counts", None),
    ("unit", np.array(0.0)),
    ("unit", np.array(np.inf)),
    ("x", np.full((30, 4), 0.5)),
    ("x", np.full((30, 4), 1025)),
    ("0/numbers", None),
    ("0/numbers", np.ones(3)),
    ("0/numbers", np.array([2.0, 1, 1, 1, 1, 1, 1])),
    ("1/numbers", np.array([1.0, 1, 1, 1, -1, 1, 1])),
    ("1/numbers", np.array([1.0, np.nan, 1, 1, 1, 1, 1])),
    ("0/points", np.arange(30) + 1),
    ("0/points", np.arange(30) - 1),
    ("0/weights", np.ones(4)),
    ("0/weights", np.full(30, np.inf)),
    ("0/counts", np.zeros(30)),
    ("x", np.ones((30, 3))),
    ("x", np.full((30, 4), np.nan)),
    ("scale", np.zeros(4)),
    ("centre", np.full(4, np.nan)),
    ("centre", np.array(["a", "b", "c", "d"])),
]


@pytest.mark.parametrize(("name", "value"), DAMAGE)
def test_damaged_arrays_are_refused(name: str, value: Any) -> None:
    arrays = both().arrays()
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value
    with pytest.raises(SurrogateError, match="cannot be read"):
        gp_from(arrays)
