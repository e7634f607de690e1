"""A Gaussian process with the Weisfeiler-Lehman graph kernel, and expected improvement (NAS-BOWL).

Ru, Wan, Dong and Osborne, "Interpretable Neural Architecture Search via Bayesian Optimisation with
Weisfeiler-Lehman Kernels", ICLR 2021. The kernel counts the subtrees that two networks share
(:mod:`nasbench_tab.predictors.wl`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.predictors.wl import Subtrees, align, subtrees
from nasbench_tab.records import Architecture, Problem
from nasbench_tab.strategies.base import whole
from nasbench_tab.strategies.model_based import (
    Fitted,
    ModelBased,
    compressed,
    has_graph,
    one_hot,
)

__all__ = ["GPWL"]

_Floats = NDArray[np.float64]

_NOISES = np.geomspace(1e-4, 3.0, 16)  # noise variances, in units of the signal's


class GPWL(ModelBased):
    """Of random cells and mutations of the best, those with the greatest expected improvement.

    Depth of the kernel (up to ``depth``), noise and variance maximise the marginal likelihood of the
    scores, whose tail of poor networks is compressed first. Where a space does not draw its cells as
    graphs, the kernel counts the positions that two canonical cells share.

    Args:
        problem: Where to search.
        rng: The run's generator.
        n_init: Scores known before the first fit.
        batch: Cells evaluated between two fits: those with the greatest expected improvement.
        pool: Candidates rated at once: half mutations, half uniform draws.
        parents: Best cells that are mutated, each equally often.
        depth: Most levels of the kernel; 0 compares operations only.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        n_init: int = 10,
        batch: int = 5,
        pool: int = 200,
        parents: int = 10,
        depth: int = 2,
    ) -> None:
        name = "gp-wl"
        super().__init__(name, problem, rng, n_init=n_init, batch=batch, pool=pool, parents=parents)
        self._depth = whole(name, "depth", depth, least=0)
        self._graphs = has_graph(self._whole)

    def _fit(self) -> Fitted:
        cells, scores = self._history()
        own, z = self._counts(cells), compressed(scores)
        best = max(
            (_likeliest(_kernel(own, own, depth), z, depth) for depth in range(own.levels[-1] + 1)),
            key=lambda fit: fit.likelihood,
        )

        def predict(pool: list[Architecture]) -> tuple[_Floats, _Floats]:
            near = _kernel(align(self._counts(pool), own.labels, own.levels), own, best.depth)
            turned = near @ best.vectors
            mean = turned @ (best.turned / best.spread)
            left = np.maximum(1.0 - (turned**2 / best.spread).sum(axis=1), 0.0)
            return mean, np.sqrt(best.signal * left)

        return Fitted(predict, float(z.max()))

    def _counts(self, cells: list[Architecture]) -> Subtrees:
        if self._graphs:
            return subtrees(self._whole, np.array(cells, np.uint8), self._depth)
        counts = one_hot(self._whole, cells)
        n = counts.shape[1]
        return Subtrees(np.arange(n, dtype=np.uint64), np.zeros(n, np.uint8), counts)


class _Process(NamedTuple):
    """A process whose kernel matrix is ``vectors @ diag(spread - noise) @ vectors.T``."""

    likelihood: float
    depth: int
    vectors: _Floats
    spread: _Floats
    turned: _Floats
    signal: float


def _likeliest(kernel: _Floats, z: _Floats, depth: int) -> _Process:
    """Return the process with the noise under which standardised scores are likeliest."""
    values, vectors = np.linalg.eigh(kernel)
    turned = vectors.T @ z
    found = []
    for noise in _NOISES.tolist():
        spread = np.maximum(values, 0.0) + noise
        signal = float((turned**2 / spread).mean())  # the best for this noise
        likelihood = -0.5 * (np.log(spread).sum() + len(z) * math.log(max(signal, 1e-12)))
        found.append(_Process(float(likelihood), depth, vectors, spread, turned, signal))
    return max(found, key=lambda fit: fit.likelihood)


def _kernel(left: Subtrees, right: Subtrees, depth: int) -> _Floats:
    """Return ``(n, m)`` cosines between subtree counts; the left columns begin with the right's."""
    n = len(right.labels)
    own, other = left.counts * (left.levels <= depth), right.counts * (right.levels <= depth)
    common = own[:, :n].astype(np.float64) @ other.T.astype(np.float64)
    sizes = [np.sqrt((counts.astype(np.float64) ** 2).sum(axis=1)) for counts in (own, other)]
    return np.asarray(common / sizes[0][:, None] / sizes[1])
