"""Petridish-style growth: what a growth step is, which parents are drawn, what is chosen of their steps."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, Metric, Problem, Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.costs import cost_of
from nasbench_tab.search.run import run_search
from nasbench_tab.spaces.nasbench201 import CONV1, CONV3, NONE, POOL, SKIP, NasBench201
from nasbench_tab.spaces.nasbench201_macro import NasBench201Macro
from nasbench_tab.spaces.nasbench_graph import NasBenchGraph
from nasbench_tab.strategies.petridish_growth import (
    PetridishGrowth,
    _Additive,
    _lower_hull,
    sizes,
)

from .twogoals import seen, trace

SPACE = NasBench201()
ACCURACY = Metric("accuracy", "valid", "max", "%", 0.0, 100.0)
SIZE = Metric("size", "none", "min", "M")


def size_of(cell: Architecture) -> float:
    return float(sizes(SPACE, [cell])[0, 0])


def started(seed: int = 0, problem: Problem | None = None, **options: Any) -> PetridishGrowth:
    problem = problem or Problem(SPACE, ACCURACY, (200,), SIZE, size_of)
    return PetridishGrowth(problem, np.random.default_rng(seed), **options)


def larger(cell: Architecture) -> set[Architecture]:
    return set(started()._growing(cell))


# What a growth step is.


def test_growth_of_a_cell_adds_an_operation_or_makes_it_costlier() -> None:
    # By hand: an edge without operation takes any; a skip any operation; a pool and a small convolution
    # only a larger one.
    steps = {
        NONE: {SKIP, POOL, CONV1, CONV3},
        SKIP: {POOL, CONV1, CONV3},
        POOL: {CONV1, CONV3},
        CONV1: {CONV3},
        CONV3: set[int](),
    }
    for first, expected in steps.items():
        cell = (first, CONV3, CONV3, CONV3, CONV3, CONV3)
        assert larger(cell) == {(op, *cell[1:]) for op in expected}
    assert len(larger((NONE,) * 6)) == 24


@pytest.mark.parametrize("space", [SPACE, NasBench201Macro(), NasBenchGraph()])
def test_nothing_grows_in_a_circle(space: Any) -> None:
    strategy = started(problem=Problem(space, ACCURACY, (1,)))
    cells = space.sample(np.random.default_rng(1), 12)
    for cell in cells:
        (here,) = sizes(space, [cell])
        for other in strategy._growing(cell):
            (there,) = sizes(space, [other])
            assert (there >= here).all()
            assert (there > here).any()
            assert cell not in strategy._growing(other)
    assert any(map(strategy._growing, cells))


def test_a_wider_stage_and_more_cells_are_growth() -> None:
    space = NasBench201Macro()
    strategy = started(problem=Problem(space, ACCURACY, (1,)))
    cell = space.sample(np.random.default_rng(0), 1)[0]
    small = (*cell[:6], *(0,) * 6)
    grown = strategy._growing(small)
    for position in range(6, 12):
        assert any(other[position] > 0 for other in grown)


# Parents.


@given(
    st.lists(
        st.tuples(st.integers(0, 20).map(float), st.integers(0, 20).map(float)),
        min_size=1,
        max_size=15,
    )
)
def test_the_hull_is_the_highest_convex_line_below_all(points: list[tuple[float, float]]) -> None:
    cost, error = np.array(points).T
    hull = _lower_hull(cost, error)
    assert (hull <= error + 1e-9).all()
    least = error.min()
    for x, height in zip(cost, hull, strict=True):
        # Brute force: the lowest point at x of any segment between two points, or level beyond the best.
        heights = [
            a[1] + (b[1] - a[1]) * (x - a[0]) / (b[0] - a[0]) if b[0] > a[0] else min(a[1], b[1])
            for a in points
            for b in points
            if a[0] <= x <= b[0]
        ]
        best = cost[error == least].min()
        assert height == pytest.approx(least if x >= best else min(heights))


def test_parents_lie_within_the_band_above_the_hull() -> None:
    strategy = started(epsilon=0.025)
    a, b, c, d = SPACE.sample(np.random.default_rng(3), 4)
    # Errors 20 and 10 span the hull; in the middle it is 15, of which 2.5 % are 0.375.
    strategy._pool = {a: (1.0, 80.0), b: (3.0, 90.0), c: (2.0, 84.7), d: (2.0, 84.6)}
    assert strategy._near_hull() == [a, b, c]
    strategy._pool[d] = (9.0, 89.8)  # beyond the best it is level: up to 10.25
    assert strategy._near_hull() == [a, b, c, d]


def test_cheap_and_rarely_used_parents_are_drawn_more_often() -> None:
    strategy = started()
    a, b, c = SPACE.sample(np.random.default_rng(3), 3)
    strategy._pool = {a: (1.0, 80.0), b: (3.0, 90.0), c: (2.0, 84.7)}
    strategy._used = {a: 4}
    drawn = Counter(strategy._drawn([a, b, c]) for _ in range(20_000))
    weights = np.array([1 / 2 + 1, 1 + 1 / 2, 1 + 1 / (1 + 0.5)])
    shares = np.array([drawn[i] for i in range(3)]) / 20_000
    assert shares == pytest.approx(weights / weights.sum(), abs=0.015)


# Children.


def test_every_child_is_one_growth_step_of_something_near_the_hull() -> None:
    bench = load("nb201-cifar10")
    for seed in range(3):
        strategy = started(seed, initial=6)
        for place in range(120):
            near = strategy._near_hull()
            [(cell, _)] = strategy.ask(1)
            if place >= 6 and any(map(strategy._growing, near)):
                assert any(cell in strategy._growth[parent] for parent in near) or any(
                    cell in larger(parent) for parent in near
                )
            strategy.tell([seen(cell, float(bench.query(cell)))])
    assert len(strategy._visited) == 120


def test_seed_networks_are_the_smallest_of_ten_times_as_many() -> None:
    strategy = started(4, initial=5)
    drawn = SPACE.sample(np.random.default_rng(4), 50)
    smallest = sorted(map(size_of, dict.fromkeys(drawn)))[:5]
    asked = [size_of(p.architecture) for p in strategy.ask(9)]
    assert asked == smallest  # ascending; then nothing, while no parent is back


def test_the_additive_model_is_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    model, cells = _Additive(SPACE.choices), SPACE.sample(rng, 60)
    worth = rng.normal(size=(6, 5))
    scores = [50 + sum(worth[i, op] for i, op in enumerate(cell)) for cell in cells]
    for cell, score in zip(cells, scores, strict=True):
        model.add(cell, score)
    hot = np.array([np.eye(5)[list(cell)].ravel() for cell in cells])
    # A penalty of 1 is as many further observations of 0.
    rows = np.concatenate([hot, np.eye(30)])
    wanted = np.append(scores - np.mean(scores), np.zeros(30))
    weights = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    assert model.predict(cells) == pytest.approx(hot @ weights)
    assert np.corrcoef(model.predict(cells), scores)[0, 1] > 0.99


def test_the_best_predicted_step_is_taken_or_any() -> None:
    parent = (NONE,) * 6
    for scores, expected in (("additive", 1), ("random", 24)):
        strategy = started(scores=scores)
        for cell in SPACE.sample(np.random.default_rng(0), 200):
            score = 10.0 * (cell[2] == CONV1)  # one step is worth most
            strategy.tell([seen(cell, score)])
        strategy._visited = set()
        children = {strategy._child(parent) for _ in range(400)}
        assert len(children) == expected
        assert (NONE, NONE, CONV1, NONE, NONE, NONE) in children


def test_without_a_second_objective_it_grows_by_the_spaces_own_figures() -> None:
    alone = run_search("petridish-growth", "nb201-cifar10", Protocol(evaluations=80))
    told = run_search(
        "petridish-growth", "nb201-cifar10", Protocol(evaluations=80, second="parameters")
    )
    assert np.array_equal(
        alone.architectures, told.architectures
    )  # parameters are its first figure


def test_a_whole_space_is_used_up_and_infeasible_cells_are_no_parents() -> None:
    bench = load("nbgraph-proteins")
    problem = Problem(bench.space, bench.objective, (500,), SIZE, cost_of(bench, "latency"))
    strategy = PetridishGrowth(problem, np.random.default_rng(0))
    scores = dict.fromkeys(map(tuple, bench.measured().tolist()), float("-inf"))
    cells = trace(strategy, scores, 3000)
    assert len(cells) == len(set(cells)) == 2021
    assert strategy.ask(1) == []
    assert not strategy._pool


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"initial": 0}, "initial"),
        ({"epsilon": -0.1}, "epsilon"),
        ({"epsilon": float("inf")}, "epsilon"),
        ({"scores": "surrogate"}, "scores to be one of additive, random; got 'surrogate'"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"petridish-growth needs {words}"):
        started(**options)
