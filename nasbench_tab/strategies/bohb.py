"""BOHB: Hyperband whose new cells come from a model of good and bad ones.

Falkner, Klein and Hutter, "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", ICML 2018,
for spaces of categorical choices only. The model is that of TPE (Bergstra et al., "Algorithms for
Hyper-Parameter Optimization", NeurIPS 2011) in one piece: a density of the good and one of the bad cells.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from math import inf, nextafter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.strategies.base import real, whole
from nasbench_tab.strategies.hyperband import Hyperband

__all__ = ["Bohb"]

_Floats = NDArray[np.float64]

_GOOD = 15  # percent of what was observed that counts as good: HpBandSter's top_n_percent
_LOTS = 10  # of samples without a cell of the space in them, before a uniform draw is taken
_TINY = 1e-32  # what a density is at least, as in HpBandSter


class Bohb(Hyperband):
    """Hyperband; the cells that enter a bracket have the highest ratio of two kernel densities.

    The densities are those of the good and of the bad cells at the highest epoch at which ``2 (d + 1)``
    were observed, for cells of ``d`` positions: the best 15 %, but at least ``d + 1``, are good, the others
    bad. Before that, and in a random part of the draws, cells are uniform. An infeasible cell is a bad one.

    The kernel of a position with ``c`` options keeps the option with probability ``1 - h`` (Aitchison and
    Aitken's), ``h = 1.06 * spread * n**(-1 / (4 + d))`` of ``n`` cells, between ``min_bandwidth`` and
    ``(c - 1) / c``, which is uniform. The spread of options that have no order is
    ``sqrt(1 - sum of squared frequencies)``; HpBandSter takes the deviation of the options' numbers.

    Args:
        problem: Where to search.
        rng: The run's generator.
        eta: See :class:`~nasbench_tab.strategies.hyperband.Hyperband`; this and the next four are
            HpBandSter's defaults. NATS-Bench's code has num_samples 4, random_fraction 0.0,
            bandwidth_factor 3, min_bandwidth 0.3; nas_benchmarks' 64, 0.33, 3, 0.3.
        num_samples: Cells that are drawn about the good ones, to choose one from.
        random_fraction: Part of the draws that is uniform.
        bandwidth_factor: The bandwidth of those draws is so many times that of the density (3: the
            paper's; HpBandSter's code widens numbers only, so that 1 is what it does here).
        min_bandwidth: Least bandwidth.
        least: See :func:`~nasbench_tab.strategies.hyperband.level_epochs`.
    """

    name = "bohb"

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        eta: int = 3,
        num_samples: int = 64,
        random_fraction: float = 1 / 3,
        bandwidth_factor: float = 3.0,
        min_bandwidth: float = 1e-3,
        least: int = 1,
    ) -> None:
        super().__init__(problem, rng, eta=eta, least=least)
        self._space, self._rng = problem.space, rng
        self._samples = whole(self.name, "num_samples", num_samples)
        self._random = real(
            self.name, "random_fraction", random_fraction, least=0, below=nextafter(1.0, 2.0)
        )
        self._factor = real(self.name, "bandwidth_factor", bandwidth_factor, least=0, below=inf)
        self._least = real(self.name, "min_bandwidth", min_bandwidth, least=0, below=inf)
        self._choices = np.array(problem.space.choices)
        self._enough = len(self._choices) + 1
        self._uniform, self._draw = self._draw, self._drawn
        self._seen: dict[int, _Level] = {epoch: _Level() for epoch in self._epochs}
        self._pending: Counter[tuple[Architecture, int | None]] = Counter()
        self._model: _Model | None = None
        self._at, self._stale = 0, False  # the epoch of the model; whether it lacks a cell

    def tell(self, observations: Sequence[Observation]) -> None:
        """Pass the scores on to their brackets, and note them for the model."""
        super().tell(observations)
        for cell, epoch, score, _, status in observations:
            level, key = self._seen[epoch], (cell, epoch)
            self._pending[key] -= 1
            if self._pending[key] <= 0:
                del self._pending[key]
            # A cell may be infeasible only because it was asked for before; and an answer counts once.
            if status == "ok" or not (
                status == "failed" or cell in level.known or key in self._pending
            ):
                level.enter(cell, score)
                self._stale |= epoch >= self._at

    def _next(self) -> Proposal:
        proposal = super()._next()
        self._pending[proposal] += 1
        return proposal

    def _drawn(self) -> Architecture:
        """Return a cell for the first rung of a bracket."""
        model = self._fitted()
        if model is None or self._rng.random() < self._random:
            return self._uniform()
        for _ in range(_LOTS):
            near = model.good.near(self._rng, self._samples, self._factor)
            ratio = np.maximum(model.good.density(near), _TINY)
            ratio /= np.maximum(model.bad.density(near), _TINY)
            for i in np.argsort(-ratio, kind="stable").tolist():
                cell = tuple(near[i].tolist())
                if self._space.contains(cell):
                    return cell
        return self._uniform()

    def _fitted(self) -> _Model | None:
        """Return the model of the highest level with enough cells; None where there is none."""
        if self._stale:
            self._stale = False
            for epoch in reversed(self._epochs):
                level = self._seen[epoch]
                n = len(level.cells)
                if n >= 2 * self._enough:
                    count = max(self._enough, _GOOD * n // 100)
                    ranked = np.array(level.cells)
                    good, bad = (
                        _Density(part, self._choices, self._least)
                        for part in (ranked[:count], ranked[count:])
                    )
                    self._model, self._at = _Model(good, bad), epoch
                    break
        return self._model


class _Level:
    """What was observed at one epoch, the best first; of equal scores the first to come in."""

    def __init__(self) -> None:
        self.known: set[Architecture] = set()
        self.cells: list[Architecture] = []
        self._keys: list[float] = []  # minus the scores, ascending

    def enter(self, cell: Architecture, score: float) -> None:
        self.known.add(cell)
        place = bisect_right(self._keys, -score)
        self._keys.insert(place, -score)
        self.cells.insert(place, cell)


class _Model(NamedTuple):
    good: _Density
    bad: _Density


class _Density:
    """Of cells: the mean over ``(n, d)`` of them of a product of kernels, one for each position."""

    def __init__(self, cells: NDArray[np.int64], choices: NDArray[np.int64], least: float) -> None:
        n, d = cells.shape
        self._cells, self._choices = cells, choices
        same = cells[:, None, :] == np.arange(choices.max())[:, None]
        spread = np.sqrt(1 - (same.mean(axis=0) ** 2).sum(axis=0))
        most = (choices - 1) / choices
        self._bandwidth = np.minimum(np.maximum(1.06 * spread * n ** (-1 / (4 + d)), least), most)
        # (d, options): log of the kernel where the option is another one, and what is gained where not.
        with np.errstate(divide="ignore"):
            other = np.log(self._bandwidth / np.maximum(choices - 1, 1))
            self._other = np.maximum(other, np.log(_TINY))
            self._gain = np.log(1 - self._bandwidth) - self._other
        self._hot = same.reshape(n, -1).T.astype(np.float64)  # (options * d, n)

    def density(self, cells: NDArray[np.int64]) -> _Floats:
        """Return ``(m,)`` for ``(m, d)`` cells."""
        hot = (cells[:, None, :] == np.arange(self._choices.max())[:, None]) * self._gain
        logs = hot.reshape(len(cells), -1) @ self._hot
        return np.asarray(np.exp(logs + self._other.sum()).mean(axis=1))

    def near(self, rng: np.random.Generator, m: int, factor: float) -> NDArray[np.int64]:
        """Return ``(m, d)`` samples of the density with its bandwidths times ``factor``."""
        n, d = self._cells.shape
        chosen = self._cells[rng.integers(0, n, m)]
        # The option itself may be drawn again, with probability 1 / c; uniform is the most.
        odds = np.minimum(
            factor * self._bandwidth * self._choices / np.maximum(self._choices - 1, 1), 1
        )
        fresh = (rng.random((m, d)) * self._choices).astype(np.int64)
        return np.where(rng.random((m, d)) < odds, fresh, chosen)
