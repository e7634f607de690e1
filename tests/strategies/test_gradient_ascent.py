"""Gradient ascent: the predictor's gradients against differences, and what is proposed when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.toys import ToySpace

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, Metric, Observation, Problem
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.spaces.nasbench_graph import NasBenchGraphProteins
from nasbench_tab.strategies.gradient_ascent import GradientAscent, Networks, normal_scores

METRIC = Metric("score", "valid", "max", "points")
TARGET = (3, 0, 2, 4, 1, 3)
NB201 = NasBench201()


def networks(seed: int = 0, inputs: int = 7, members: int = 2) -> Networks:
    return Networks(inputs, 4, members, np.random.default_rng(seed), rate=0.02, decay=0.01)


def started(space: Space = NB201, seed: int = 0, **options: Any) -> GradientAscent:
    return GradientAscent(Problem(space, METRIC, (1,)), np.random.default_rng(seed), **options)


def right(cell: Architecture) -> float:
    return float(sum(a == b for a, b in zip(cell, TARGET, strict=True)))


def driven(strategy: GradientAscent, n: int, worth: Any = right) -> list[Architecture]:
    cells = []
    for _ in range(n):
        [proposal] = strategy.ask(1)
        cells.append(proposal.architecture)
        strategy.tell([Observation(cells[-1], 1, float(worth(cells[-1])), 1.0)])
    return cells


@given(st.integers(0, 10**6), st.integers(1, 6))
@settings(max_examples=20)
def test_the_slope_of_the_error_is_that_of_differences(seed: int, n: int) -> None:
    rng, nets, step = np.random.default_rng(seed), networks(seed), 1e-6
    x, y = rng.uniform(size=(n, 7)), rng.normal(size=n)

    def errors() -> Any:  # of each member: they are fitted side by side
        return ((nets._forward(x)[1] - y) ** 2).mean(axis=1) / 2

    found = nets.gradient(x, y)
    for place in rng.integers(0, nets.weights.shape[1], 12).tolist():
        nets.weights[:, place] += step
        up = errors()
        nets.weights[:, place] -= 2 * step
        down = errors()
        nets.weights[:, place] += step
        np.testing.assert_allclose(found[:, place], (up - down) / (2 * step), atol=1e-7)


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_the_slope_of_the_prediction_is_that_of_differences(seed: int) -> None:
    rng, nets, step = np.random.default_rng(seed), networks(seed), 1e-6
    x = rng.uniform(size=(3, 7))
    found = nets.slope(x)
    for place in range(7):
        shift = step * (np.arange(7) == place)
        slope = (nets.predict(x + shift) - nets.predict(x - shift)) / (2 * step)
        np.testing.assert_allclose(found[:, place], slope, atol=1e-7)


def test_the_steps_are_those_of_adam_with_weight_decay() -> None:
    nets, rng = networks(), np.random.default_rng(1)
    x, y = rng.uniform(size=(9, 7)), rng.normal(size=9)
    weights = nets.weights.copy()
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    for number in range(1, 12):
        gradient = nets.gradient(x, y)
        nets.fit(x, y, 1)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        step = (mean / (1 - 0.9**number)) / (np.sqrt(square / (1 - 0.999**number)) + 1e-8)
        weights = weights * (1 - 0.02 * 0.01) - 0.02 * step
        np.testing.assert_allclose(nets.weights, weights, rtol=0, atol=1e-12)


def test_a_fit_learns_a_sum_over_positions() -> None:
    rng = np.random.default_rng(2)
    x = np.eye(7)[rng.integers(0, 7, 200)] + np.eye(7)[rng.integers(0, 7, 200)]
    y = x @ np.linspace(-1, 1, 7)
    nets = networks()
    nets.fit(x[:150], y[:150], 500)
    assert np.corrcoef(nets.predict(x[150:]), y[150:])[0, 1] > 0.97


def test_normal_scores_keep_the_order_and_tame_what_failed() -> None:
    found = normal_scores(np.array([10.0, 91.0, 90.0, 91.0]))
    assert found[0] < found[2] < found[1] == found[3]
    assert abs(found).max() < 2
    assert found.mean() == pytest.approx(0, abs=0.1)


def test_a_climb_goes_uphill_on_the_predictor() -> None:
    strategy = started()
    driven(strategy, 60)
    parents = NB201.sample(np.random.default_rng(5), 8)
    start = strategy._model.predict(strategy._one_hot(np.array(parents)))
    end = strategy._model.predict(strategy._one_hot(strategy._ascents(parents)[-1]))
    assert (end >= start).all()
    assert (end > start).mean() > 0.5


def test_it_finds_what_it_can_learn() -> None:
    cells = driven(started(), 100)
    assert TARGET in cells
    assert np.mean([right(cell) for cell in cells[50:]]) > np.mean(
        [right(cell) for cell in cells[:20]]
    )


def test_no_network_is_proposed_twice() -> None:
    cells = driven(started(), 150)
    assert len({NB201.canonical(cell) for cell in cells}) == 150


@pytest.mark.parametrize("initial", [2, 4, 9])
def test_a_space_that_is_used_up_is_not_proposed_again(initial: int) -> None:
    strategy = started(ToySpace((2, 2)), initial=initial, batch=3)
    assert len(set(driven(strategy, 4, worth=sum))) == 4
    assert strategy.ask(2) == []


def test_a_repeat_is_no_new_observation() -> None:
    strategy = started(ToySpace((2, 2)))
    for status, score in (("ok", 1.0), ("repeat", 1.0), ("infeasible", -np.inf)):
        strategy.tell([Observation((0, 1), 1, score, 1.0, status)])  # type: ignore[arg-type]
    assert (strategy._cells, strategy._scores) == ([(0, 1)], [1.0])


def test_a_fit_gives_a_whole_batch_where_climbs_find_nothing_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells = NB201.sample(np.random.default_rng(0), 400)  # far apart: few have a neighbor among them
    strategy = started(MaskedSpace(NB201, cells), initial=20, batch=10)
    fit, fits = strategy._model.fit, []

    def counted(*given: Any) -> None:
        fits.append(len(given))
        fit(*given)

    monkeypatch.setattr(strategy._model, "fit", counted)
    assert len({NB201.canonical(cell) for cell in driven(strategy, 200)}) == 200
    assert len(fits) == 18


@pytest.mark.parametrize(
    "space",
    [MaskedSpace(NB201, NB201.sample(np.random.default_rng(0), 60)), NasBenchGraphProteins()],
    ids=["masked", "with a rule"],
)
def test_only_architectures_of_the_space_are_proposed(space: Space) -> None:
    cells = driven(started(space), 50, worth=sum)
    assert all(map(space.contains, cells))


def test_options_that_do_not_exist_are_never_read_off() -> None:
    strategy = started(ToySpace((2, 5, 3)), initial=5, batch=3)
    driven(strategy, 9, worth=sum)
    steps = np.array(strategy._ascents([(0, 0, 0), (1, 4, 2)]))
    assert (steps < [2, 5, 3]).all()


def test_what_is_infeasible_is_not_fitted_on_but_not_asked_again() -> None:
    strategy = started(initial=4)
    first = [proposal.architecture for proposal in strategy.ask(4)]
    strategy.tell([Observation(cell, 1, -np.inf, 0.0, "infeasible") for cell in first])
    later = driven(strategy, 60)
    assert not {NB201.canonical(c) for c in first} & {NB201.canonical(c) for c in later}
    assert len(strategy._scores) == 60


@pytest.mark.parametrize("worth", [lambda cell: 5.0, lambda cell: -np.inf], ids=["same", "none"])
def test_without_a_difference_it_goes_on_drawing(worth: Any) -> None:
    assert len(set(driven(started(initial=3), 40, worth=worth))) == 40


def test_asked_for_many_before_anything_came_back() -> None:
    assert len({p.architecture for p in started(initial=3).ask(30)}) == 30


def test_the_same_generator_makes_the_same_search() -> None:
    assert driven(started(seed=4), 60) == driven(started(seed=4), 60)
    assert driven(started(seed=4), 60) != driven(started(seed=5), 60)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *((name, 0) for name in ("batch", "parents", "steps", "members", "width", "epochs")),
        *(("initial", 1), ("step_size", 0), ("step_size", float("inf")), ("learning_rate", "0.1")),
        *(("decay", -1.0), ("learning_rate", float("nan")), ("members", True)),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"gradient-ascent needs {setting} to be"):
        started(**{setting: value})
