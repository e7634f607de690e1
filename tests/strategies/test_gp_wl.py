"""The graph kernel against counting by hand, the process against its textbook formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nasbench_tab.predictors.wl import align, subtrees
from nasbench_tab.records import Architecture, Metric, Observation, Problem
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.strategies.gp_wl import GPWL, _kernel, _likeliest
from nasbench_tab.strategies.model_based import compressed

METRIC = Metric("score", "valid", "max", "points")
CELL = NasBench201()
CELLS = list({CELL.canonical(c): c for c in CELL.sample(np.random.default_rng(5), 40)}.values())


def labels(cell: Architecture, depth: int) -> dict[Any, int]:
    """Return how many nodes have each label of the levels 0 to ``depth``, labels as nested tuples."""
    graph = CELL.graph(CELL.canonical(cell))
    now: list[Any] = list(graph.labels)
    counts: dict[Any, int] = {}
    for level in range(depth + 1):
        for label in now:
            counts[level, label] = counts.get((level, label), 0) + 1
        now = [
            (
                now[node],
                tuple(sorted((now[a] for a, b in graph.edges if b == node), key=repr)),
                tuple(sorted((now[b] for a, b in graph.edges if a == node), key=repr)),
            )
            for node in range(len(now))
        ]
    return counts


def kernel(left: list[Architecture], right: list[Architecture], depth: int) -> NDArray[np.float64]:
    def dot(one: dict[Any, int], other: dict[Any, int]) -> int:
        return sum(count * other.get(label, 0) for label, count in one.items())

    a, b = ([labels(cell, depth) for cell in cells] for cells in (left, right))
    return np.array([[dot(x, y) / np.sqrt(dot(x, x) * dot(y, y)) for y in b] for x in a])


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_the_kernel_counts_shared_subtrees(depth: int) -> None:
    own, rest = CELLS[:12], CELLS[12:20]
    known = subtrees(CELL, np.array(own, np.uint8), 2)
    other = align(subtrees(CELL, np.array(rest, np.uint8), 2), known.labels, known.levels)
    assert _kernel(known, known, depth) == pytest.approx(kernel(own, own, depth), abs=1e-6)
    assert _kernel(other, known, depth) == pytest.approx(kernel(rest, own, depth), abs=1e-6)


def test_predictions_are_those_of_the_textbook() -> None:
    own, rest = CELLS[:25], CELLS[25:35]
    scores = np.random.default_rng(0).normal(80, 5, 25)
    strategy = GPWL(Problem(CELL, METRIC, (1,)), np.random.default_rng(0))
    strategy.tell([Observation(c, 1, s, 1.0) for c, s in zip(own, scores.tolist(), strict=True)])
    fitted = strategy._fit()
    mean, sd = fitted.predict(rest)
    z = compressed(scores)
    assert fitted.best == z.max()
    matching, likelihoods = [], []
    for depth in (0, 1, 2):
        k, near = kernel(own, own, depth), kernel(rest, own, depth)
        for noise in np.geomspace(1e-4, 3.0, 16):
            full = k + noise * np.eye(25)
            signal = z @ np.linalg.solve(full, z) / 25
            covariance = signal * full
            log_determinant = np.linalg.slogdet(covariance)[1]
            likelihoods.append(-0.5 * (log_determinant + z @ np.linalg.solve(covariance, z)))
            expected = near @ np.linalg.solve(full, z)
            left = 1 - np.einsum("ij,ji->i", near, np.linalg.solve(full, near.T))
            deviation = np.sqrt(signal * np.maximum(left, 0))
            matching.append(
                np.allclose(mean, expected, atol=1e-5) and np.allclose(sd, deviation, atol=1e-4)
            )
    assert matching.index(True) == int(np.argmax(likelihoods))


def test_the_likeliest_noise_is_small_where_the_kernel_explains_the_scores() -> None:
    k = kernel(CELLS[:30], CELLS[:30], 1)
    rng = np.random.default_rng(1)
    smooth = np.linalg.cholesky(k + 1e-9 * np.eye(30)) @ rng.normal(size=30)
    for scores, low, high in [(smooth, 0, 0.02), (rng.normal(size=30), 0.2, 4)]:
        fit = _likeliest(k, (scores - scores.mean()) / scores.std(), 1)
        noise = float(fit.spread[0] - max(np.linalg.eigvalsh(k)[0], 0))
        assert low <= noise <= high
