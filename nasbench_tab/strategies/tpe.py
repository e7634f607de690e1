"""Tree-structured Parzen estimator on the positions of a cell.

Bergstra, Bardenet, Bengio and Kégl, "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011. The
scores are split at a quantile; each part has a density over cells, and the next cell is the one, among
some drawn from the density of the good ones, where this is greatest in relation to the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from nasbench_tab.records import Architecture, Problem
from nasbench_tab.strategies.base import real, uniforms, whole
from nasbench_tab.strategies.model_based import ModelBased

__all__ = ["TPE"]

_TRIES = 10  # draws for each candidate: some are no cells of the space, some were proposed before


class TPE(ModelBased):
    """Densities are products over the positions of counts plus a prior.

    Args:
        problem: Where to search.
        rng: The run's generator.
        n_init: Scores known before the first split (20 in hyperopt).
        gamma: Share of the scores that count as good, rounded up (0.15 in the paper).
        candidates: Cells drawn from the density of the good (24 in hyperopt), each new.
        prior_weight: Of the prior, in scores: so many spread evenly over the options of a position.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        n_init: int = 20,
        gamma: float = 0.15,
        candidates: int = 24,
        prior_weight: float = 1.0,
    ) -> None:
        name = "tpe"
        super().__init__(name, problem, rng, n_init=n_init, batch=1)
        self._gamma = real(name, "gamma", gamma, least=0, below=1)
        self._candidates = whole(name, "candidates", candidates)
        self._prior = real(name, "prior_weight", prior_weight, least=1e-6, below=math.inf)
        self._uniform = uniforms(rng).__next__

    def _pool(self) -> list[Architecture]:
        self._good, self._poor = self._densities()
        found: dict[Architecture, Architecture] = {}
        for _ in range(_TRIES * self._candidates):
            if len(found) >= self._candidates:
                break
            cell = tuple(_drawn(density, self._uniform()) for density in self._good)
            if self._space.contains(cell):
                self._add(found, cell)
        return list(self._with_draws(found, self._candidates).values())

    def _chosen(self, pool: list[Architecture]) -> list[Architecture]:
        return [max(pool, key=self._ratio)]

    def _ratio(self, cell: Architecture) -> float:
        """Return the density of the good over that of the poor.

        A product, not a sum of logarithms: products are the same on every machine.
        """
        ratio = 1.0
        for option, good, poor in zip(cell, self._good, self._poor, strict=True):
            ratio *= good[option] / poor[option]
        return ratio

    def _densities(self) -> tuple[list[list[float]], list[list[float]]]:
        ranked = sorted(self._scores.values(), key=lambda known: known[0], reverse=True)
        cells = [cell for _, cell in ranked]
        n_good = max(1, math.ceil(self._gamma * len(cells)))
        return self._density(cells[:n_good]), self._density(cells[n_good:])

    def _density(self, cells: Iterable[Architecture]) -> list[list[float]]:
        """Return the probability of each option of each position."""
        counts = [[self._prior / n] * n for n in self._space.choices]
        for cell in cells:
            for position, option in zip(counts, cell, strict=True):
                position[option] += 1
        totals = [sum(position) for position in counts]
        return [
            [count / total for count in position]
            for position, total in zip(counts, totals, strict=True)
        ]


def _drawn(density: list[float], uniform: float) -> int:
    """Return the option at ``uniform``."""
    for option, probability in enumerate(density):
        uniform -= probability
        if uniform < 0:
            return option
    return len(density) - 1
