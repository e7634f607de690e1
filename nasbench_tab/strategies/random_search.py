"""Random search: independent uniform draws, with replacement.

The baseline that every comparison needs: Li and Talwalkar, "Random Search and Reproducibility for
Neural Architecture Search", UAI 2019; Yang, Esperança and Carlucci, "NAS evaluation is
frustratingly hard", ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasbench_tab.records import Observation, Problem, Proposal

__all__ = ["RandomSearch"]


class RandomSearch:
    """Draw uniformly and independently; a cell may come twice."""

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self._space, self._rng = problem.space, rng
        self._drawn: list[Proposal] = []

    def ask(self, n: int) -> list[Proposal]:
        """Return ``n`` fresh draws."""
        while len(self._drawn) < n:  # drawn in blocks, since a generator's call costs microseconds
            self._drawn += map(Proposal, self._space.sample(self._rng, 64))
        asked, self._drawn = self._drawn[:n], self._drawn[n:]
        return asked

    def tell(self, observations: Sequence[Observation]) -> None:
        """Ignore what was observed."""
