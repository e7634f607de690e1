"""BANANAS: its candidates, its encodings, Thompson sampling and the ablation without a predictor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nasbench_tab.predictors.mlp import Mlps, fit_mlps
from nasbench_tab.predictors.paths import frequent, paths
from nasbench_tab.records import Architecture, Metric, Observation, Problem
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.columns import Columns
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.spaces.nasbench_graph import NasBenchGraph
from nasbench_tab.strategies import bananas
from nasbench_tab.strategies.bananas import Bananas

METRIC = Metric("score", "valid", "max", "points")
CELL = NasBench201()
COLUMNS = Columns(
    "mine", {"depth": [1, 2, 3, 4], "width": [16, 32, 64], "norm": ["batch", "layer"]}
)
SMALL = {"layers": 2, "epochs": 20}


def started(space: Space = CELL, seed: int = 0, **options: Any) -> Any:
    problem = Problem(space, METRIC, (1,))
    return Bananas(problem, np.random.default_rng(seed), **{**SMALL, **options})


def told(strategy: Any, cells: list[Architecture]) -> Any:
    """Tell scores that fall from the first cell to the last."""
    strategy.tell([Observation(cell, 1, 90.0 - i, 1.0) for i, cell in enumerate(cells)])
    return strategy


def distinct(n: int, seed: int = 0) -> list[Architecture]:
    cells = CELL.sample(np.random.default_rng(seed), 3 * n)
    return list({CELL.canonical(cell): cell for cell in cells}.values())[:n]


def test_candidates_are_new_neighbors_of_the_best_then_of_the_next_best() -> None:
    cells = distinct(12)
    pool = told(started(), cells)._pool()
    order = [{CELL.canonical(near) for near in CELL.neighbors(cell)} for cell in cells]
    seen = {CELL.canonical(cell) for cell in cells}
    expected = set.union(*order[:5]) - seen
    found = [CELL.canonical(cell) for cell in pool]
    assert len(found) == len(set(found)) == min(100, len(expected))
    assert set(found) <= expected
    first = order[0] - seen
    assert set(found[: len(first)]) == first
    assert len(told(started(candidates=9), cells)._pool()) == 9
    assert set(map(CELL.canonical, told(started(candidates=9), cells)._pool())) <= first


def test_without_a_predictor_mutations_come_as_they_were_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bananas, "fit_mlps", None)  # it would fail if it were called
    cells = distinct(12)
    strategy = told(started(predictor="none"), cells)
    batch = [proposal.architecture for proposal in strategy.ask(10)]
    assert all(cell in CELL.neighbors(cells[0]) for cell in batch)
    # Uniformly drawn: over many seeds, each edge is changed as often as the next.
    changed = np.zeros(6)
    for seed in range(150):
        [proposal] = told(started(seed=seed, predictor="none"), cells).ask(1)
        changed += np.array(proposal.architecture) != np.array(cells[0])
    assert changed.sum() == 150
    assert changed.max() < 55


def test_a_model_is_fitted_once_a_batch_and_only_when_there_is_something_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fits: list[int] = []

    def fit(x: Any, y: Any, *rest: Any) -> Mlps:
        fits.append(len(y))
        return fit_mlps(x, y, *rest)

    monkeypatch.setattr(bananas, "fit_mlps", fit)
    strategy = started()
    for _ in range(45):
        [proposal] = strategy.ask(1)
        strategy.tell(
            [Observation(proposal.architecture, 1, float(sum(proposal.architecture)), 1.0)]
        )
    assert fits == [10, 20, 30, 40]
    strategy.ask(40)  # batches of ten, all from one fit
    assert fits == [10, 20, 30, 40, 45]


def test_thompson_sampling_draws_each_score_by_itself() -> None:
    strategy = started()
    mean, sd = np.arange(4.0), np.array([0.0, 1.0, 2.0, 0.5])
    drawn = np.array([strategy._worth(mean, sd, 0.0) for _ in range(4000)])
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.15)
    assert drawn.std(axis=0) == pytest.approx(sd, rel=0.06)
    assert np.abs(np.corrcoef(drawn[:, 1:].T) - np.eye(3)).max() < 0.08


@pytest.mark.parametrize(
    ("space", "used"),
    [
        (CELL, "path"),
        (NasBenchGraph(), "path"),
        (COLUMNS, "one-hot"),
        (MaskedSpace(CELL, [(3,) * 6]), "path"),
        (MaskedSpace(COLUMNS, [(0, 0, 0)]), "one-hot"),
    ],
)
def test_where_networks_are_single_paths_positions_are_encoded(space: Space, used: str) -> None:
    assert started(space)._encoding == used


@pytest.mark.parametrize(
    ("encoding", "columns"), [("path", 30), ("features", 146), ("one-hot", 30)]
)
def test_encodings(encoding: str, columns: int) -> None:
    cells = distinct(40)
    strategy = told(started(encoding=encoding), cells)
    known = frequent(strategy._paths_of(cells), 30)
    x = strategy._encoded(cells, known)
    assert x.shape == (40, columns)
    if encoding == "path":
        for row, cell in zip(x, cells, strict=True):
            own = paths(CELL.graph(CELL.canonical(cell)))
            assert {path for path, there in zip(known, row, strict=True) if there} == {*own} & {
                *known
            }
    twin = next(c for c in CELL.sample(np.random.default_rng(1), 500) if c != CELL.canonical(c))
    both = strategy._encoded([twin, CELL.canonical(twin)], known)
    assert np.array_equal(both[0], both[1])
    assert len(strategy.ask(3)) == 3


def test_when_all_around_the_five_best_is_known_further_cells_are_mutated() -> None:
    cells = distinct(12)
    around = {CELL.canonical(n): n for cell in cells[:5] for n in CELL.neighbors(cell)}
    strategy = told(started(predictor="none"), [*cells, *around.values()])
    ranked = [cell for _, cell in sorted(strategy._scores.values(), reverse=True)]
    near = [{CELL.canonical(n) for n in CELL.neighbors(cell)} for cell in ranked]
    unseen = set.union(*near) - strategy._seen
    assert not set.union(*near[:5]) & unseen
    pool = set(map(CELL.canonical, strategy._pool()))
    assert len(pool) == 10
    assert pool <= unseen
