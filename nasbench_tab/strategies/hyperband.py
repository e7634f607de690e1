"""Hyperband: brackets of successive halving, from many briefly trained cells to full trainings only.

Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband: A Novel Bandit-Based Approach to
Hyperparameter Optimization", JMLR 18(185), 2018, algorithm 1. How early a cell may be judged is not
known, so each bracket begins at another epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.strategies.base import rounded_epoch, whole
from nasbench_tab.strategies.successive_halving import Bracket, draws

__all__ = ["Hyperband", "level_epochs"]


class Hyperband:
    """Brackets in turn, the one that begins earliest first; then again.

    With ``L`` levels, bracket ``s = L - 1, ..., 0`` has ``ceil(L / (s + 1) * eta**s)`` cells, begins
    ``s`` levels below the full training and keeps the best ``1/eta`` of each rung, as
    :class:`~nasbench_tab.strategies.successive_halving.Bracket` does. All brackets cost about the same.

    While a rung is still in training, free workers begin the next bracket (Falkner, Klein and Hutter,
    "BOHB", ICML 2018, section 4.2), and go back to the older one as soon as it has something to propose.
    What failed is proposed again.

    Args:
        problem: Where to search.
        rng: The run's generator.
        eta: One in so many cells goes on (3: the paper's).
        least: Epochs below which nothing is judged; see :func:`level_epochs`.
    """

    name = "hyperband"

    def __init__(
        self, problem: Problem, rng: np.random.Generator, *, eta: int = 3, least: int = 1
    ) -> None:
        self._eta = whole(self.name, "eta", eta, least=2)
        self._epochs = level_epochs(self.name, problem.epochs, least, eta)
        self._draw = draws(problem.space, rng).__next__
        self._begun = 0
        self._failed: list[Proposal] = []
        self._open: list[Bracket] = []  # the oldest first
        # Who waits for what is in training, below the full one; the first to ask is told first.
        self._owners: dict[tuple[Architecture, int], list[Bracket]] = {}

    def ask(self, n: int) -> list[Proposal]:
        """Return the next proposals of open brackets; of new ones where all of these wait."""
        return [self._next() for _ in range(n)]

    def tell(self, observations: Sequence[Observation]) -> None:
        """Pass the scores on to their brackets; those of full trainings decide nothing."""
        for observation in observations:
            if observation.status == "failed":
                self._failed.append(Proposal(*observation[:2]))
                continue
            owners = self._owners.get(observation[:2])
            if owners:
                owners.pop(0).tell(observation)

    def _next(self) -> Proposal:
        if self._failed:
            return self._failed.pop(0)
        while True:
            for bracket in self._open:
                proposal = bracket.next()
                if proposal is not None:
                    cell, epoch = proposal
                    if epoch is not None and epoch != self._epochs[-1]:
                        self._owners.setdefault((cell, epoch), []).append(bracket)
                    return proposal
            self._open = [bracket for bracket in self._open if not bracket.over]
            self._open.append(self._bracket(self._begun))
            self._begun += 1

    def _bracket(self, number: int) -> Bracket:
        """Return the bracket that is the ``number``-th to begin."""
        below, size = self._shape(number)
        return Bracket(self._epochs[-1 - below :], size, self._eta, self._draw)

    def _shape(self, number: int) -> tuple[int, int]:
        """Return how many levels below the full training a bracket begins, and with how many cells."""
        levels = len(self._epochs)
        below = levels - 1 - number % levels
        return below, -(-levels * self._eta**below // (below + 1))


def level_epochs(strategy: str, epochs: Sequence[int], least: int, eta: int) -> list[int]:
    """Return the epochs of the levels: the last of ``epochs``, ``1/eta`` of it, and so on, ascending.

    None is below ``least`` or the first of ``epochs``. Each is rounded by
    :func:`~nasbench_tab.strategies.base.rounded_epoch`, and levels that then coincide are one.

    Raises:
        InvalidArgumentError: ``least`` is no whole number, or beyond the last epoch.
    """
    full = epochs[-1]
    if whole(strategy, "least", least) > full:
        raise InvalidArgumentError(
            f"{strategy} needs least to be at most {full}, the last epoch here; got {least!r}."
        )
    divisor, levels = 1, {full}
    while full >= max(least, epochs[0]) * divisor:
        levels.add(rounded_epoch(epochs, full / divisor))
        divisor *= eta
    return sorted(level for level in levels if level >= least)
