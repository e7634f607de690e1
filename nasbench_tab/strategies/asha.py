"""ASHA, asynchronous successive halving: promote what is good enough by now, wait for nothing.

Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar, "A System for Massively
Parallel Hyperparameter Tuning", MLSys 2020, algorithm 2; for architectures: Li and Talwalkar,
"Random Search and Reproducibility for Neural Architecture Search", UAI 2019.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import pairwise

import numpy as np

from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.strategies.base import whole
from nasbench_tab.strategies.successive_halving import draws, rung_epochs

__all__ = ["Asha"]

_Key = tuple[float, int]  # minus the score, number among the finished: the best is the least


class Asha:
    """A cell among the best ``1/eta`` of its rung goes on to the next one; else a new cell is drawn.

    Rungs are looked at from the top down. As a rung fills, cells that were promoted may turn out to
    be worse than later ones, which are promoted too: a rung may have sent on more than ``1/eta``.
    Of equal scores the one that came in first is the better.

    Infeasible cells enter no rung. What failed is proposed again. A cell drawn twice is trained twice; where
    the second answer is only the first once more (``"repeat"``), it counts once.

    Args:
        problem: Where to search.
        rng: The run's generator.
        eta: One in so many cells goes on to the next rung, and the epochs grow by this factor up to the last rung, the full training, which may come sooner (4:
            Li et al.'s experiments and Li and Talwalkar's code).
        least: Epochs of the first rung; see
            :func:`~nasbench_tab.strategies.successive_halving.rung_epochs`.
    """

    def __init__(
        self, problem: Problem, rng: np.random.Generator, *, eta: int = 4, least: int = 1
    ) -> None:
        eta = whole("asha", "eta", eta, least=2)
        epochs = rung_epochs("asha", problem.epochs, least, eta)
        self._first, self._full = epochs[0], epochs[-1]
        self._rungs = {epoch: _Rung(eta) for epoch in epochs[:-1]}
        self._downwards = [(self._rungs[low], high) for low, high in pairwise(epochs)][::-1]
        self._draw = draws(problem.space, rng).__next__
        self._failed: list[Proposal] = []

    def ask(self, n: int) -> list[Proposal]:
        """Return promotions, and new cells where there is none to make."""
        return [self._next() for _ in range(n)]

    def tell(self, observations: Sequence[Observation]) -> None:
        """Enter the scores into their rungs; those of full trainings decide nothing."""
        for cell, epoch, score, _, status in observations:
            if status == "failed":
                self._failed.append(Proposal(cell, epoch))
            elif epoch != self._full and status != "infeasible":
                self._rungs[epoch].enter(cell, score, repeat=status == "repeat")

    def _next(self) -> Proposal:
        if self._failed:
            return self._failed.pop(0)
        for rung, above in self._downwards:
            cell = rung.promoted()
            if cell is not None:
                return Proposal(cell, above)
        return Proposal(self._draw(), self._first)


class _Rung:
    """What has finished at one epoch."""

    def __init__(self, eta: int) -> None:
        self._eta, self._count = eta, 0
        self._seen: set[Architecture] = set()
        self._waiting: list[tuple[_Key, Architecture]] = []  # a heap: not promoted, the best first
        self._promoted: list[_Key] = []  # ascending: the best first

    def enter(self, cell: Architecture, score: float, *, repeat: bool) -> None:
        if repeat and cell in self._seen:
            return
        self._seen.add(cell)
        heappush(self._waiting, ((-score, self._count), cell))
        self._count += 1

    def promoted(self) -> Architecture | None:
        """Promote the best cell that was not yet, if it is among the best ``1/eta``."""
        places = self._count // self._eta
        if not places or not self._waiting:
            return None
        key, cell = self._waiting[0]
        # All that are better than the best in waiting were promoted: their number is its rank.
        if bisect_left(self._promoted, key) >= places:
            return None
        heappop(self._waiting)
        insort(self._promoted, key)
        return cell
