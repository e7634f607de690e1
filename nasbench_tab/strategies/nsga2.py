"""NSGA-II: an elitist genetic algorithm for several objectives.

Deb, Pratap, Agarwal and Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE
Transactions on Evolutionary Computation 2002. The paper breeds populations of 100 for 250 generations;
searches here are hundreds of evaluations, so the default is 20. Cells are not real vectors: crossover takes
each position from one of two parents, mutation draws another option, and no cell is evaluated twice while a new
one is found. With one objective it is a genetic algorithm that keeps the best of parents and children.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.strategies.base import real, uniforms, whole
from nasbench_tab.strategies.dominance import Losses, crowding, losses, sorted_fronts

__all__ = ["Nsga2"]

_TRIES = 100  # children bred until one is new, and then draws; after that the space is listed


class _Member:
    """A cell with its objectives; ``rank`` (0 = not dominated) and ``room`` are those of its selection."""

    __slots__ = ("cell", "point", "rank", "room")

    def __init__(self, cell: Architecture, point: Losses) -> None:
        self.cell, self.point, self.rank, self.room = cell, point, 0, 0.0


class Nsga2:
    """Generations of children of tournament winners; fronts survive whole, the last by its crowding.

    Args:
        problem: Where to search.
        rng: The run's generator.
        population: Members, and children of a generation; the paper's 100 is for long searches.
        crossover: Probability that a child has two parents (the paper's 0.9); else it is a mutated copy.
        changes: Expected number of positions that mutation changes (the paper's 1: each with
            probability one over their number).
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        population: int = 20,
        crossover: float = 0.9,
        changes: float = 1.0,
    ) -> None:
        self._population = whole("nsga2", "population", population, least=2)
        positions = len(problem.space.choices)
        for name, value, most in (("crossover", crossover, 1), ("changes", changes, positions)):
            if real("nsga2", name, value, least=0.0, below=np.inf) > most:
                raise InvalidArgumentError(
                    f"nsga2 needs {name} to be at most {most}; got {value!r}."
                )
        self._crossover = crossover
        self._rate = changes / positions
        self._problem, self._space = problem, problem.space
        self._rng, self._uniform = rng, uniforms(rng).__next__
        self._members: list[_Member] = []
        self._children: list[_Member] = []
        self._seen: set[Architecture] = set()
        self._sampled: set[Architecture] = set()  # uniform draws, all of them seen
        self._pending = 0
        self._queue = self._fresh(self._population)

    def ask(self, n: int) -> list[Proposal]:
        """Return the next of this generation; nothing while the last of it are being evaluated."""
        if not self._queue and not self._pending:
            self._next_generation()
        cells, self._queue = self._queue[:n], self._queue[n:]
        self._pending += len(cells)
        return list(map(Proposal, cells))

    def tell(self, observations: Sequence[Observation]) -> None:
        """Add to the generation; what is infeasible has no place in it, what failed is proposed again."""
        for observation in observations:
            self._pending -= 1
            if observation.status == "failed":
                self._queue.insert(0, observation.architecture)
            elif observation.status != "infeasible":
                member = _Member(observation.architecture, losses(self._problem, observation))
                self._children.append(member)

    def _next_generation(self) -> None:
        self._members = self._survivors([*self._members, *self._children])
        self._children = []
        if not self._members:  # nothing so far kept the limits
            self._queue = self._fresh(self._population)
            return
        self._queue = []
        while len(self._queue) < self._population:
            children = self._child()
            if not children:
                break
            self._queue += children

    def _survivors(self, members: list[_Member]) -> list[_Member]:
        """Return the best: whole fronts, and of the first that does not fit those with most room."""
        kept: list[_Member] = []
        for rank, front in enumerate(sorted_fronts([member.point for member in members])):
            chosen = [members[i] for i in front]
            room = crowding(np.array([member.point for member in chosen]))
            for member, free in zip(chosen, room.tolist(), strict=True):
                member.rank, member.room = rank, free
            left = self._population - len(kept)
            kept += sorted(chosen, key=lambda member: -member.room)[:left]
            if len(kept) == self._population:
                break
        return kept

    def _child(self) -> list[Architecture]:
        """Return a new cell, bred from two winners; a fresh draw, if any, where none is found."""
        if len(self._sampled) == self._space.size:
            return []
        for _ in range(_TRIES):
            child = self._winner().cell
            if self._uniform() < self._crossover:
                other = self._winner().cell
                child = tuple(
                    a if a == b or self._uniform() < 0.5 else b
                    for a, b in zip(child, other, strict=True)
                )
            child = tuple(map(self._mutated, child, self._space.choices))
            if child not in self._seen and self._space.contains(child):
                self._seen.add(child)
                return [child]
        return self._fresh(1)

    def _winner(self) -> _Member:
        """Return the better of two random members: by rank, then by room, then the first drawn."""
        one, other = (self._members[int(self._uniform() * len(self._members))] for _ in range(2))
        return other if (other.rank, -other.room) < (one.rank, -one.room) else one

    def _mutated(self, option: int, options: int) -> int:
        """Return an option: with the mutation's rate another one, all others equally likely."""
        if options < 2 or self._uniform() >= self._rate:
            return option
        other = int(self._uniform() * (options - 1))
        return other + (other >= option)

    def _fresh(self, n: int) -> list[Architecture]:
        """Return uniform draws, new ones as far as such are found.

        Where the space has a known size, fewer if no others are left, else known ones.
        """
        cells: list[Architecture] = []
        size, tries = self._space.size, 0
        # A draw of each cell is the proof that no new one is left.
        while tries < _TRIES if size is None else len(self._sampled) < size:
            tries += 1
            for cell in self._space.sample(self._rng, n):
                if cell not in self._seen and len(cells) < n:
                    self._seen.add(cell)
                    cells.append(cell)
                if cell in self._seen:
                    self._sampled.add(cell)
            if len(cells) == n:
                return cells
        return cells if size is not None else cells + self._space.sample(self._rng, n - len(cells))
