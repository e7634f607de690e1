"""BANANAS: an ensemble of neural predictors chooses among mutations of the best cell.

White, Neiswanger and Savani, "BANANAS: Bayesian Optimization with Neural Architectures for Neural
Architecture Search", AAAI 2021; details as in its code (naszilla). That most of its strength may lie in
mutating the best cell, not in the predictor: Schneider, Pfisterer, Binder and Bischl, "Mutation is all you
need", AutoML workshop at ICML 2021; ``predictor="none"`` is that ablation.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.predictors.features import features
from nasbench_tab.predictors.mlp import Settings, fit_mlps
from nasbench_tab.predictors.paths import Path, encoded, frequent, paths
from nasbench_tab.records import Architecture, Problem
from nasbench_tab.spaces.base import Space
from nasbench_tab.strategies.base import real, whole
from nasbench_tab.strategies.model_based import Fitted, ModelBased, has_graph, one_hot

__all__ = ["Bananas"]

_Floats = NDArray[np.float64]

_PARENTS = 5  # the best cell and, where its neighbors do not make enough candidates, the next best
_TRIED = 16  # cells looked at to see whether a space has networks with several paths


class Bananas(ModelBased):
    """Independent Thompson sampling on an ensemble of multilayer perceptrons.

    Each candidate's score is drawn from a normal distribution with mean and deviation of the ensemble, and
    the best draws are evaluated.

    Args:
        problem: Where to search.
        rng: The run's generator.
        n_init: Scores known before the first fit.
        batch: Cells evaluated between two fits.
        candidates: Mutations rated at once; where the best cell has not so many neighbors that are new,
            those of the next best follow, up to the fifth, and beyond until there is a batch.
        encoding: ``"path"``: the ``paths`` most frequent paths; ``"features"``: our graph features;
            ``"one-hot"``: the positions of the canonical cell. Where networks are single paths, so that no
            two share one, or are not drawn as graphs, the first two are ``"one-hot"`` as well.
        paths: How many paths the encoding keeps.
        predictor: ``"mlp"``, or ``"none"``: the candidates come as they were drawn.
        ensemble: Networks.
        layers: Hidden layers of each.
        width: Units of a layer.
        epochs: Passes over the scores in a fit.
        rate: Adam's learning rate.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        n_init: int = 10,
        batch: int = 10,
        candidates: int = 100,
        encoding: str = "path",
        paths: int = 30,
        predictor: str = "mlp",
        ensemble: int = 5,
        layers: int = 10,
        width: int = 20,
        epochs: int = 150,
        rate: float = 0.01,
    ) -> None:
        name = "bananas"
        super().__init__(name, problem, rng, n_init=n_init, batch=batch)
        self._candidates = whole(name, "candidates", candidates)
        self._paths = whole(name, "paths", paths)
        self._settings = Settings(
            members=whole(name, "ensemble", ensemble),
            layers=whole(name, "layers", layers),
            width=whole(name, "width", width),
            epochs=whole(name, "epochs", epochs),
            rate=real(name, "rate", rate, least=1e-12, below=1),
        )
        for what, value, known in [
            ("encoding", encoding, ("path", "features", "one-hot")),
            ("predictor", predictor, ("mlp", "none")),
        ]:
            if value not in known:
                raise InvalidArgumentError(
                    f"{name} needs {what} to be one of {', '.join(known)}; got {value!r}."
                )
        self._rated = predictor == "mlp"
        self._encoding = encoding if _has_paths(self._whole) else "one-hot"
        self._known: dict[Architecture, list[Path]] = {}

    def _pool(self) -> list[Architecture]:
        found = self._with_mutations({}, _PARENTS, None, self._candidates)
        enough = min(self._batch, self._candidates)
        if len(found) < enough:  # a long search of a small space has been all around the best
            found = self._with_mutations(found, len(self._scores), None, enough)
        return list(found.values())

    def _chosen(self, pool: list[Architecture]) -> list[Architecture]:
        return super()._chosen(pool) if self._rated else pool[: self._batch]

    def _fit(self) -> Fitted:
        cells, scores = self._history()
        columns = frequent(self._paths_of(cells), self._paths) if self._encoding == "path" else []
        x = self._encoded(cells, columns)
        low, reach = x.min(axis=0), np.ptp(x, axis=0)
        reach[reach == 0] = 1.0
        nets = fit_mlps((x - low) / reach, scores, self._rng, self._settings)

        def predict(pool: list[Architecture]) -> tuple[_Floats, _Floats]:
            members = nets.members((self._encoded(pool, columns) - low) / reach)
            members = (members - nets.centre) / nets.scale
            return members.mean(axis=1), members.std(axis=1)

        return Fitted(predict, float((scores.max() - nets.centre) / nets.scale))

    def _worth(self, mean: _Floats, sd: _Floats, best: float) -> _Floats:
        del best
        return np.asarray(mean + sd * self._rng.normal(size=len(mean)))

    def _encoded(self, cells: list[Architecture], columns: list[Path]) -> NDArray[np.float32]:
        if self._encoding == "path":
            return encoded(self._paths_of(cells), columns)
        if self._encoding == "features":
            return features(self._whole, np.array(cells, np.uint8)).x
        return one_hot(self._whole, cells)

    def _paths_of(self, cells: list[Architecture]) -> list[list[Path]]:
        """Return the paths of each network; a cell is rated many times before it is proposed."""
        for cell in cells:
            if cell not in self._known:
                self._known[cell] = paths(self._whole.graph(self._whole.canonical(cell)))
        return [self._known[cell] for cell in cells]


@lru_cache(maxsize=32)
def _has_paths(space: Space) -> bool:
    """Return whether some networks of a space have several paths."""
    if not has_graph(space):
        return False
    some = space.sample(np.random.default_rng(0), _TRIED)
    return any(len(paths(space.graph(cell))) > 1 for cell in some)
