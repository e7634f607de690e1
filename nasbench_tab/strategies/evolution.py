"""Regularized (aging) evolution.

Real, Aggarwal, Huang and Le, "Regularized Evolution for Image Classifier Architecture Search",
AAAI 2019. Defaults for population and tournament are those of NATS-Bench (Dong et al., TPAMI 2021)
for the NAS-Bench-201 cell; the paper itself used 100 and 25 for searches of 20,000 trainings. The
mutation is uniform over a cell's neighbors; the NATS-Bench code favors some edges over others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.strategies.base import uniforms, whole

__all__ = ["Evolution"]


class Evolution:
    """The best of a tournament is mutated; the oldest member of the population dies.

    Args:
        problem: Where to search.
        rng: The run's generator.
        population: Number of members; the first so many proposals are uniform draws.
        tournament: Members drawn, with replacement, to choose a parent from.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        population: int = 10,
        tournament: int = 3,
    ) -> None:
        population = whole("evolution", "population", population)
        self._space, self._rng = problem.space, rng
        self._others = range(whole("evolution", "tournament", tournament) - 1)
        self._founders = self._space.sample(rng, population)
        self._uniform = uniforms(rng).__next__
        self._members: deque[tuple[float, Architecture]] = deque(maxlen=population)

    def ask(self, n: int) -> list[Proposal]:
        """Return founders first, then mutations of tournament winners."""
        return [
            Proposal(self._founders.pop() if self._founders else self._child()) for _ in range(n)
        ]

    def tell(self, observations: Sequence[Observation]) -> None:
        """Add to the population; the oldest leaves."""
        for observation in observations:
            self._members.append((observation.score, observation.architecture))

    def _child(self) -> Architecture:
        members, uniform = self._members, self._uniform
        count = len(members)
        if not count:  # more workers than founders, and nobody has come back: found some more
            return self._space.sample(self._rng, 1)[0]
        best, parent = members[int(uniform() * count)]
        for _ in self._others:
            score, candidate = members[int(uniform() * count)]
            if score > best:
                best, parent = score, candidate
        return self._space.mutate(parent, uniform())
