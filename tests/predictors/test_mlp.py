"""The ensemble of networks: its gradient against differences, its fit, its refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.mlp import Settings, _Training, fit_mlps

SMALL = Settings(members=3, layers=2, width=5, epochs=60, batch=8)


def test_the_gradient_is_that_of_the_mean_absolute_error() -> None:
    rng = np.random.default_rng(0)
    nets = _Training(4, SMALL, rng)
    nets._all += rng.normal(0, 0.3, nets._all.shape)  # biases too
    x, y = rng.normal(size=(3, 7, 4)), rng.normal(size=(3, 7))

    def loss() -> float:
        total = 0.0
        for member in range(3):
            now = x[member]
            for layer, (weight, bias) in enumerate(zip(nets.weights, nets.biases, strict=True)):
                now = now @ weight[member] + bias[member]
                now = np.maximum(now, 0) if layer < 2 else now
            total += float(np.abs(now[:, 0] - y[member]).mean())
        return total

    nets._adam = lambda: None  # type: ignore[method-assign]
    nets.step(x, y)
    for place in range(0, len(nets._all), 5):
        kept = nets._all[place]
        ends = []
        for by in (1e-7, -1e-7):
            nets._all[place] = kept + by
            ends.append(loss())
        nets._all[place] = kept
        assert nets._gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-7, abs=1e-5)


def test_adam_makes_the_published_steps() -> None:
    nets = _Training(2, Settings(members=1, layers=1, width=2, rate=0.1), np.random.default_rng(0))
    start = nets._all.copy()
    mean, square = np.zeros(len(start)), np.zeros(len(start))
    for step in range(1, 6):
        gradient = np.linspace(-1, 2, len(start)) * step
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        corrected = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        start = start - 0.1 * corrected[0] / np.sqrt(corrected[1])
        nets._gradient[:] = gradient
        nets._adam()
        assert nets._all == pytest.approx(start, abs=1e-4)  # the papers' epsilons differ


def test_it_learns_and_members_differ() -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, (300, 8)).astype(np.float32)
    y = 50 + 10 * x[:, 0] - 20 * x[:, 1] * x[:, 2]
    nets = fit_mlps(x[:200], y[:200], np.random.default_rng(2))
    found = nets.members(x[200:])
    assert found.shape == (100, 5)
    assert np.abs(found.mean(axis=1) - y[200:]).mean() < 0.2 * np.abs(y - y.mean()).mean()
    assert (found.std(axis=1) > 0).all()


def test_the_same_generator_makes_the_same_networks() -> None:
    x = np.random.default_rng(0).random((30, 4))
    one, same, other = (
        fit_mlps(x, x.sum(axis=1), np.random.default_rng(seed), SMALL).members(x)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("y", [np.full(9, 3.0), np.array([3.0])])
def test_one_value_only(y: Any) -> None:
    found = fit_mlps(np.eye(len(y)), y, np.random.default_rng(0), SMALL).members(np.eye(len(y)))
    assert np.isfinite(found).all()
    assert found.mean() == pytest.approx(3, abs=0.5)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.ones((3, 2)), np.ones(2)),
        (np.ones(3), np.ones(3)),
        (np.ones((0, 2)), np.ones(0)),
        (np.ones((2, 2)), np.array([1.0, np.nan])),
        (np.array([[np.inf]]), np.ones(1)),
    ],
)
def test_what_it_refuses(x: Any, y: Any) -> None:
    with pytest.raises(SurrogateError):
        fit_mlps(x, y, np.random.default_rng(0), SMALL)
