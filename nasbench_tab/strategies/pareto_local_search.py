"""Pareto local search: explore the neighbors of everything that is not dominated.

Paquete, Chiarandini and Stützle, "Pareto Local Optimum Sets in the Biobjective Traveling Salesman Problem:
An Experimental Study", in Metaheuristics for Multiobjective Optimisation, 2004. An archive holds what is not
dominated; one of its members whose neighborhood was not explored is drawn, all of its neighbors are
evaluated, and the archive takes in what it does not dominate. The paper stops where every member was
explored; here the search starts again with an empty archive, from new random cells. No cell is evaluated
twice. With one objective the archive is the best cell of the climb, or all of equally good ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.strategies.base import uniforms, whole
from nasbench_tab.strategies.dominance import Losses, dominates, losses
from nasbench_tab.strategies.local_search import unvisited

__all__ = ["ParetoLocalSearch"]


class ParetoLocalSearch:
    """An archive of what is not dominated, and the neighborhoods of its members, one after another.

    Args:
        problem: Where to search.
        rng: The run's generator.
        initial: Random cells that an archive begins with.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, *, initial: int = 10) -> None:
        self._problem, self._space = problem, problem.space
        self._rng, self._uniform = rng, uniforms(rng).__next__
        self._initial = whole("pareto-local-search", "initial", initial)
        self._visited: set[Architecture] = set()
        self._pending: set[Architecture] = set()
        self._archive: dict[Architecture, Losses] = {}  # in the order in which they came in
        self._explored: set[Architecture] = set()
        self._queue: list[Architecture] = []
        self._restart()

    def ask(self, n: int) -> list[Proposal]:
        """Return the next unvisited neighbors; nothing while all that is left is being evaluated."""
        proposals: list[Proposal] = []
        while len(proposals) < n:
            cell = self._next()
            if cell is None:
                break
            self._visited.add(cell)
            self._pending.add(cell)
            proposals.append(Proposal(cell))
        return proposals

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take into the archive what no member dominates; what failed comes next once more."""
        for observation in observations:
            self._pending.discard(observation.architecture)
            if observation.status == "failed":
                self._visited.discard(observation.architecture)
                self._queue.append(observation.architecture)
                continue
            point = losses(self._problem, observation)
            if observation.status == "infeasible" or any(
                dominates(known, point) for known in self._archive.values()
            ):
                continue
            self._archive = {
                cell: known for cell, known in self._archive.items() if not dominates(point, known)
            }
            self._archive[observation.architecture] = point

    def _next(self) -> Architecture | None:
        while True:
            while self._queue:
                cell = self._queue.pop()
                if cell not in self._visited:
                    return cell
            left = [cell for cell in self._archive if cell not in self._explored]
            if left:
                center = left[int(self._uniform() * len(left))]
                self._explored.add(center)
                near = self._space.neighbors(center)
                self._queue = [near[i] for i in self._rng.permutation(len(near)).tolist()]
            elif self._pending or len(self._visited) >= (self._space.size or np.inf):
                return None
            else:
                self._restart()

    def _restart(self) -> None:
        """Begin an empty archive with new random cells that were not visited."""
        self._archive = {}
        self._queue = unvisited(self._space, self._rng, self._visited, self._initial)
