"""BOHB: the densities of good and bad cells, what they are fitted to, and what is drawn from them."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.toys import ToySpace, chi_squared

from nasbench_tab.records import Metric, Observation, Problem
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.strategies.bohb import Bohb, _Density
from nasbench_tab.strategies.hyperband import Hyperband

METRIC = Metric("score", "valid", "max", "points")
CHOICES = np.array((2, 3, 1, 4))
CELLS = np.array(list(product(*map(range, CHOICES))))


def started(space: Any = None, epochs: tuple[int, ...] = (1, 3, 9), **options: Any) -> Bohb:
    problem = Problem(space or ToySpace((4, 4, 4)), METRIC, epochs)
    return Bohb(problem, np.random.default_rng(0), **options)


def tell(strategy: Bohb, cells: Any, epoch: int, scores: Any, status: Any = "ok") -> None:
    strategy.tell(
        [
            Observation(tuple(map(int, cell)), epoch, float(score), 1.0, status)
            for cell, score in zip(cells, scores, strict=True)
        ]
    )


def by_hand(data: Any, least: float) -> tuple[list[float], Any]:
    """Return the bandwidths, and the density of every cell, by loops."""
    n, d = data.shape
    widths = []
    for j, c in enumerate(CHOICES):
        shares = np.bincount(data[:, j], minlength=c) / n
        width = 1.06 * np.sqrt(max(0.0, 1 - (shares**2).sum())) * n ** (-1 / (4 + d))
        widths.append(min(max(width, least), (c - 1) / c))
    densities = []
    for cell in CELLS:
        total = 0.0
        for row in data:
            kernel = 1.0
            for j, c in enumerate(CHOICES):
                kernel *= 1 - widths[j] if cell[j] == row[j] else widths[j] / (c - 1)
            total += kernel
        densities.append(total / n)
    return widths, np.array(densities)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 99), st.sampled_from([0.0, 1e-3, 0.3, 5.0]))
def test_a_density_is_the_mean_of_products_of_kernels(n: int, seed: int, least: float) -> None:
    data = np.random.default_rng(seed).integers(0, CHOICES, (n, 4))
    widths, expected = by_hand(data, least)
    density = _Density(data, CHOICES, least)
    np.testing.assert_allclose(density._bandwidth, widths)
    np.testing.assert_allclose(density.density(CELLS), expected, rtol=1e-9, atol=1e-25)
    assert expected.sum() == pytest.approx(1)


@pytest.mark.parametrize("factor", [1.0, 1e9])
def test_samples_have_the_law_of_the_density(factor: float) -> None:
    data = np.random.default_rng(3).integers(0, CHOICES, (12, 4))
    density = _Density(data, CHOICES, 1e-3)
    drawn = density.near(np.random.default_rng(4), 40_000, factor)
    rows = drawn @ np.array([12, 4, 4, 1])
    counts = np.bincount(rows, minlength=24)
    law = density.density(CELLS) if factor == 1 else np.full(24, 1 / 24)  # so wide: uniform
    assert chi_squared_of(counts, law) < 55  # 23 degrees of freedom: once in 5,000
    assert factor == 1 or chi_squared(counts) < 55


def chi_squared_of(counts: Any, law: Any) -> float:
    expected = law * counts.sum()
    return float(((counts - expected) ** 2 / expected).sum())


def test_the_model_is_of_the_highest_level_with_enough_cells() -> None:
    strategy, rng = started(), np.random.default_rng(0)
    cells = rng.integers(0, 4, (200, 3))
    assert strategy._fitted() is None
    tell(strategy, cells[:7], 1, range(7))
    assert strategy._fitted() is None  # 2 * (3 + 1) are needed
    tell(strategy, cells[7:60], 1, range(53))
    assert strategy._fitted() is not None
    assert strategy._at == 1
    tell(strategy, cells[:7], 9, range(7))
    assert strategy._fitted() is not None
    assert strategy._at == 1
    tell(strategy, cells[7:8], 9, [9])
    high = strategy._fitted()
    assert strategy._at == 9
    tell(strategy, cells[60:], 3, range(140))
    assert strategy._fitted() is high  # a lower level, however full, is not looked at again


@pytest.mark.parametrize(("n", "good"), [(8, 4), (20, 4), (40, 6), (100, 15)])
def test_the_best_part_is_good_and_the_rest_bad(n: int, good: int) -> None:
    strategy, rng = started(), np.random.default_rng(1)
    cells, scores = rng.integers(0, 4, (n, 3)), rng.random(n)
    tell(strategy, cells, 1, scores)
    model = strategy._fitted()
    assert model is not None
    best = cells[np.argsort(-scores)]
    np.testing.assert_array_equal(model.good._cells, best[:good])
    np.testing.assert_array_equal(model.bad._cells, best[good:])


def test_draws_go_where_the_good_ones_are() -> None:
    cells = np.array(list(product(range(4), repeat=3)))
    strategy = started(random_fraction=0.0)
    tell(strategy, cells, 1, cells @ [10, 0, 0])  # only the first position matters
    drawn = np.array([strategy._drawn() for _ in range(200)])
    assert (drawn[:, 0] == 3).mean() > 0.9
    assert len(set(map(tuple, drawn.tolist()))) > 1


def test_all_random_is_hyperband() -> None:
    strategy = started(random_fraction=1.0)
    plain = Hyperband(Problem(ToySpace((4, 4, 4)), METRIC, (1, 3, 9)), np.random.default_rng(0))
    mine, theirs = strategy.ask(9), plain.ask(9)
    assert mine == theirs  # before there is a model not one number more is drawn


def test_infeasible_cells_are_bad_unless_they_were_seen() -> None:
    strategy = started()
    tell(strategy, [(0, 0, 0)], 1, [5])
    tell(strategy, [(0, 0, 0)], 1, [-np.inf], "infeasible")  # asked for again, where forbidden
    tell(strategy, [(1, 1, 1)], 1, [-np.inf], "infeasible")
    tell(strategy, [(0, 0, 0)], 1, [5], "repeat")
    assert strategy._seen[1].cells == [(0, 0, 0), (1, 1, 1)]


def test_a_cell_in_training_is_not_bad_because_it_was_asked_for_again() -> None:
    strategy = started(ToySpace((1, 1, 2)))
    proposals = strategy.ask(6)  # of two cells
    [again] = [i for i, p in enumerate(proposals) if p in proposals[:i]][:1]
    cell, epoch = proposals[again].architecture, proposals[again].epoch or 0
    tell(strategy, [cell], epoch, [-np.inf], "infeasible")
    assert strategy._seen[1].cells == []
    copies = proposals.count(proposals[again]) - 1
    for _ in range(copies - 1):
        tell(strategy, [cell], epoch, [-np.inf], "infeasible")
    tell(strategy, [cell], epoch, [5])
    assert strategy._seen[1].cells == [cell]
    assert not any(count <= 0 for count in strategy._pending.values())


def test_only_cells_of_a_masked_space_are_drawn() -> None:
    kept = [(0, 0, 0), (1, 2, 3), (3, 3, 3)]
    strategy = started(MaskedSpace(ToySpace((4, 4, 4)), kept), random_fraction=0.0)
    tell(strategy, kept * 10, 1, np.arange(30.0))
    drawn = [strategy._drawn() for _ in range(100)]
    assert set(drawn) <= set(kept)
