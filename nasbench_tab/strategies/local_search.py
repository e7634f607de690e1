"""Local search with restarts, by the rule of the naszilla code.

White, Nolen and Savani, "Exploring the Loss Landscape in Neural Architecture Search", UAI 2021.
A few random cells are evaluated and the search starts from the best of them; the neighbors of the
current cell are tried in random order and the first that is better becomes the current cell; where
none is, the search starts again from new random cells. No cell is evaluated twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.spaces.base import Space
from nasbench_tab.strategies.base import whole

__all__ = ["LocalSearch", "unvisited"]

_WORST = float("-inf")


class LocalSearch:
    """First-improvement hill climbing from the best of ``initial`` random cells, with restarts.

    Args:
        problem: Where to search.
        rng: The run's generator.
        initial: Random cells evaluated before each climb.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, *, initial: int = 10) -> None:
        self._space, self._rng = problem.space, rng
        self._initial = whole("local-search", "initial", initial)
        self._visited: set[Architecture] = set()
        self._pending: set[Architecture] = set()
        self._current: Architecture | None = None
        self._score, self._climbing = _WORST, False
        self._queue: list[Architecture] = []
        self._restart()

    def ask(self, n: int) -> list[Proposal]:
        """Return the next unvisited neighbors of the current cell, or new starts.

        While the starts are still being evaluated there may be nothing to propose.
        """
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
        """Move to a cell that is better than the current one; what failed comes next once more."""
        for observation in observations:
            self._pending.discard(observation.architecture)
            if observation.status == "failed":
                self._visited.discard(observation.architecture)
                self._queue.append(observation.architecture)
            elif observation.score > self._score:
                self._score, self._current = observation.score, observation.architecture
                if self._climbing:
                    self._queue = self._around(self._current)

    def _next(self) -> Architecture | None:
        while True:
            while self._queue:
                cell = self._queue.pop()
                if cell not in self._visited:
                    return cell
            if self._pending:
                return None
            if not self._climbing and self._current is not None:
                self._climbing = True
                self._queue = self._around(self._current)
            elif self._space.size is not None and len(self._visited) >= self._space.size:
                return None
            else:
                self._restart()

    def _restart(self) -> None:
        """Queue new random cells that were not visited."""
        self._current, self._score, self._climbing = None, _WORST, False
        self._queue = unvisited(self._space, self._rng, self._visited, self._initial)

    def _around(self, cell: Architecture) -> list[Architecture]:
        near = self._space.neighbors(cell)
        return [near[i] for i in self._rng.permutation(len(near)).tolist()]


def unvisited(
    space: Space, rng: np.random.Generator, visited: set[Architecture], wanted: int
) -> list[Architecture]:
    """Return different uniform draws that were not visited, as many as wanted and left."""
    if space.size is not None:
        wanted = min(wanted, space.size - len(visited))
    found: dict[Architecture, None] = {}
    while len(found) < wanted:
        fresh = space.sample(rng, wanted)
        found.update((cell, None) for cell in fresh if cell not in visited)
    return list(found)[:wanted]
