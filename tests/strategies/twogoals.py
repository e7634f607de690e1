"""Problems with two objectives on small spaces, and a loop that answers a strategy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from search.toys import ToySpace

from nasbench_tab.records import Architecture, Metric, Observation, Problem
from nasbench_tab.spaces.base import Space

METRIC = Metric("score", "valid", "max", "points")
SIZE = Metric("size", "none", "min", "M")

Numbers = dict[Architecture, float]


def two_goals(space: Space, cost: Callable[[Architecture], float]) -> Problem:
    return Problem(space, METRIC, (1,), SIZE, cost)


def one_goal(space: Space) -> Problem:
    return Problem(space, METRIC, (1,))


def random_numbers(space: ToySpace, seed: int, levels: int = 12) -> Numbers:
    draws = np.random.default_rng(seed).integers(0, levels, len(space.cells))
    return dict(zip(space.cells, draws.astype(float).tolist(), strict=True))


def seen(cell: Architecture, score: float) -> Observation:
    if score == float("-inf"):
        return Observation(cell, 1, score, 0.0, "infeasible")
    return Observation(cell, 1, score, 1.0)


def trace(strategy: Any, scores: Numbers, limit: int) -> list[Architecture]:
    """Return what a single worker evaluates, until nothing more is proposed."""
    cells: list[Architecture] = []
    while len(cells) < limit:
        proposals = strategy.ask(1)
        if not proposals:
            break
        [(cell, epoch)] = proposals
        assert epoch is None
        strategy.tell([seen(cell, scores[cell])])
        cells.append(cell)
    return cells


def beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Return whether one point dominates another, less is better."""
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
