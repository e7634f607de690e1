"""Expected improvement on the predictor of our surrogates: boosted trees on features of the graph.

The predictor is :mod:`nasbench_tab.predictors.trees` on :mod:`nasbench_tab.predictors.features`, with fewer
trees, since it is fitted again and again. Trees as the model of a Bayesian optimisation: Hutter, Hoos and
Leyton-Brown, "Sequential Model-Based Optimization for General Algorithm Configuration", LION 2011.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.features import features
from nasbench_tab.predictors.trees import Settings, fit_trees
from nasbench_tab.records import Architecture, Problem
from nasbench_tab.strategies.base import whole
from nasbench_tab.strategies.model_based import (
    Fitted,
    ModelBased,
    compressed,
    has_graph,
    one_hot,
)

__all__ = ["SurrogateEI"]

_Floats = NDArray[np.float64]


class SurrogateEI(ModelBased):
    """Of random cells and mutations of the best, those with the greatest expected improvement.

    Mean and deviation are those of an ensemble of boosted trees, fitted to the scores, whose tail of poor
    networks is compressed first. Where a space does not draw its cells as graphs, the features are the
    positions of the canonical cell.

    Args:
        problem: Where to search.
        rng: The run's generator.
        n_init: Scores known before the first fit.
        batch: Cells evaluated between two fits: those with the greatest expected improvement.
        pool: Candidates rated at once: half mutations, half uniform draws.
        parents: Best cells that are mutated, each equally often.
        members: Of the ensemble.
        rounds: Trees of each member.

    Raises:
        SurrogateError: XGBoost is not installed.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        n_init: int = 10,
        batch: int = 10,
        pool: int = 200,
        parents: int = 10,
        members: int = 5,
        rounds: int = 30,
    ) -> None:
        name = "surrogate-ei"
        if find_spec("xgboost") is None:
            raise SurrogateError(
                f"The strategy {name} needs XGBoost, which is not installed: "
                "pip install 'nasbench_tab[surrogate]'."
            )
        super().__init__(name, problem, rng, n_init=n_init, batch=batch, pool=pool, parents=parents)
        self._settings = Settings(
            members=whole(name, "members", members), rounds=whole(name, "rounds", rounds)
        )
        self._graphs = has_graph(self._whole)

    def _fit(self) -> Fitted:
        cells, scores = self._history()
        z = compressed(scores)
        # Every network is there once, so that each row is a group of its own.
        trees = fit_trees(
            self._features(cells), z[:, None], np.arange(len(z)), self._rng, self._settings
        )

        def predict(pool: list[Architecture]) -> tuple[_Floats, _Floats]:
            members = trees.members(self._features(pool))[:, :, 0]
            return members.mean(axis=1), members.std(axis=1)

        return Fitted(predict, float(z.max()))

    def _features(self, cells: list[Architecture]) -> NDArray[np.float32]:
        if self._graphs:
            return features(self._whole, np.array(cells, np.uint8)).x
        return one_hot(self._whole, cells)
