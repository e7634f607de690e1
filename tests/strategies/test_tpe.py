"""TPE: the densities by hand, and the candidate with the greatest ratio."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from search.toys import ToySpace, chi_squared

from nasbench_tab.records import Architecture, Metric, Observation, Problem
from nasbench_tab.spaces.base import Space
from nasbench_tab.strategies.tpe import TPE

METRIC = Metric("score", "valid", "max", "points")
SPACE = ToySpace((4, 3, 2))


def started(space: Space = SPACE, seed: int = 0, **options: Any) -> Any:
    return TPE(Problem(space, METRIC, (1,)), np.random.default_rng(seed), **options)


def told(strategy: Any, scores: dict[Architecture, float]) -> Any:
    strategy.tell([Observation(cell, 1, score, 1.0) for cell, score in scores.items()])
    return strategy


def density(cells: list[Architecture], prior: Fraction) -> list[list[Fraction]]:
    """Return counts and prior over their sum, exactly."""
    return [
        [
            (sum(cell[i] == option for cell in cells) + prior / n) / (len(cells) + prior)
            for option in range(n)
        ]
        for i, n in enumerate(SPACE.choices)
    ]


@pytest.mark.parametrize(("gamma", "n_good"), [(0.15, 2), (0.5, 5), (0.0, 1), (0.99, 10)])
def test_densities_are_counts_of_the_better_and_the_others(gamma: float, n_good: int) -> None:
    cells = SPACE.cells[::2][:10]
    scores = {cell: float((7 * i) % 10) for i, cell in enumerate(cells)}
    strategy = told(started(gamma=gamma, prior_weight=2.0), scores)
    good, poor = strategy._densities()
    ranked = sorted(cells, key=lambda cell: -scores[cell])
    for found, part in [(good, ranked[:n_good]), (poor, ranked[n_good:])]:
        expected = density(part, Fraction(2))
        for one, other in zip(found, expected, strict=True):
            assert one == pytest.approx(list(map(float, other)))
            assert math.fsum(one) == pytest.approx(1)


def test_the_candidate_with_the_greatest_ratio_is_proposed() -> None:
    strategy = told(
        started(n_init=4, candidates=100), dict(zip(SPACE.cells, range(12), strict=False))
    )
    [proposal] = strategy.ask(1)
    good, poor = strategy._good, strategy._poor
    left = SPACE.cells[12:]

    def ratio(cell: Architecture) -> float:
        return float(math.prod(good[i][op] / poor[i][op] for i, op in enumerate(cell)))

    assert ratio(proposal.architecture) == pytest.approx(max(map(ratio, left)))


def test_candidates_are_drawn_from_the_density_of_the_good() -> None:
    strategy = started(n_init=1, candidates=1, prior_weight=1.0)
    told(strategy, {(3, 2, 1): 5.0, (0, 0, 0): 1.0, (1, 1, 0): 0.0})
    good = density([(3, 2, 1)], Fraction(1))
    counts: dict[Architecture, int] = {}
    for _ in range(4000):
        [cell] = strategy._pool()
        counts[cell] = counts.get(cell, 0) + 1
    seen = {(3, 2, 1), (0, 0, 0), (1, 1, 0)}
    chance = {
        c: math.prod(good[i][op] for i, op in enumerate(c)) for c in SPACE.cells if c not in seen
    }
    total = float(sum(chance.values()))
    scaled = [counts.get(cell, 0) / float(p) * total / 4000 for cell, p in chance.items()]
    assert set(counts) <= set(chance)
    for cell, (p, value) in zip(chance, zip(chance.values(), scaled, strict=True), strict=True):
        sd = math.sqrt(total / (4000 * float(p)))
        assert abs(value - 1) < 5 * sd, cell


def test_the_beginning_is_uniform() -> None:
    first = [started(seed=seed).ask(1)[0].architecture for seed in range(1200)]
    counts = [first.count(cell) for cell in SPACE.cells]
    assert chi_squared(counts) < 60  # 23 degrees of freedom: 1 in 30,000
