"""DEHB: Hyperband's schedule with differential evolution in the place of random draws.

Awad, Mallik and Hutter, "DEHB: Evolutionary Hyperband for Scalable, Robust and Efficient Hyperparameter
Optimization", IJCAI 2021; differential evolution is Storn and Price's, "Differential Evolution", 1997.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, nextafter

import numpy as np

from nasbench_tab.records import Architecture, Observation, Problem
from nasbench_tab.strategies.base import real, uniforms
from nasbench_tab.strategies.hyperband import Hyperband
from nasbench_tab.strategies.successive_halving import Bracket, draws

__all__ = ["Dehb"]

_Vector = tuple[float, ...]

_TRIES = 100  # trials drawn before a uniform cell stands in, where few vectors are cells
_INSIDE = 1 - 1e-9  # so that no rounding leads to the next option


class Dehb(Hyperband):
    """Every level has a population of its own; good members of the level below breed for it.

    Members are vectors in [0, 1); position ``i`` of the cell is ``floor(x[i] * choices[i])``. A level has
    as many members as the largest of its rungs. Each proposal is a trial against one member, taken in
    turn, which it replaces if it is not worse. In the first cycle of brackets a rung above the first
    trains the best of the level below that are new to it, as Hyperband would (but the best of the whole
    population there), and members that were never trained are trained as they are. Otherwise the trial is
    ``rand1_bin``: ``a + mutation_factor * (b - c)`` of three random parents, of which each position is taken
    with probability ``crossover`` (one at least), the rest from the member. Parents are the best of the
    level below, as many as the rung has places; in a bracket's first rung the best of the level itself;
    where these are fewer than three, random ones of all levels besides. What leaves [0, 1] is drawn anew.

    Brackets and free workers are as in :class:`~nasbench_tab.strategies.hyperband.Hyperband`. A trial that is
    infeasible has lost, and has had its place in the rung.

    Args:
        problem: Where to search.
        rng: The run's generator.
        eta: See :class:`~nasbench_tab.strategies.hyperband.Hyperband` (3: the paper's).
        mutation_factor: Called F (0.5: the paper's).
        crossover: Probability, called CR (0.5: the paper's).
        least: See :func:`~nasbench_tab.strategies.hyperband.level_epochs`.
    """

    name = "dehb"

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        eta: int = 3,
        mutation_factor: float = 0.5,
        crossover: float = 0.5,
        least: int = 1,
    ) -> None:
        super().__init__(problem, rng, eta=eta, least=least)
        self._factor = real(self.name, "mutation_factor", mutation_factor, least=0, below=inf)
        self._rate = real(self.name, "crossover", crossover, least=0, below=nextafter(1.0, 2.0))
        self._space, self._choices = problem.space, problem.space.choices
        self._cells, self._uniform = draws(problem.space, rng), uniforms(rng).__next__
        sizes = dict.fromkeys(self._epochs, 0)
        for number in range(len(self._epochs)):
            below, size = self._shape(number)
            for rung, epoch in enumerate(self._epochs[-1 - below :]):
                sizes[epoch] = max(sizes[epoch], size // self._eta**rung)
        self._levels = {
            epoch: _Level([self._newcomer() for _ in range(size)]) for epoch, size in sizes.items()
        }
        # What is in training: the place it is a trial for, and its vector; the first to ask is told first.
        self._trials: dict[tuple[Architecture, int], list[tuple[int, _Vector]]] = {}

    def tell(self, observations: Sequence[Observation]) -> None:
        """Let each trial replace its member if it is not worse."""
        super().tell(observations)
        for cell, epoch, score, _, status in observations:
            trials = self._trials.get((cell, epoch))
            if trials and status != "failed":
                place, vector = trials.pop(0)
                level = self._levels[epoch]
                if status != "infeasible" and score >= level.scores[place]:
                    level.vectors[place], level.scores[place] = vector, score

    def _bracket(self, number: int) -> Bracket:
        below, size = self._shape(number)
        epochs = self._epochs[-1 - below :]
        first = number < len(self._epochs)
        return _Rungs(
            epochs, size, self._eta, lambda rung, count: self._trial(epochs, rung, count, first)
        )

    def _trial(self, epochs: Sequence[int], rung: int, count: int, first: bool) -> Architecture:
        """Return the next trial for a rung of ``count`` places."""
        level, lower = self._levels[epochs[rung]], self._levels[epochs[max(0, rung - 1)]]
        place = level.next_place()
        target = level.vectors[place]
        if first and rung:
            vector = self._promoted(lower, level)
        elif first and level.scores[place] == -inf:
            vector = target
        else:
            vector = self._bred(target, lower.best()[:count])
        cell = self._cell(vector)
        level.proposed.add(cell)
        self._trials.setdefault((cell, epochs[rung]), []).append((place, vector))
        return cell

    def _promoted(self, lower: _Level, level: _Level) -> _Vector:
        """Return the best of ``lower`` that was never tried on ``level``; the best of all, if all were."""
        ranked = lower.best()
        new = (vector for vector in ranked if self._cell(vector) not in level.proposed)
        return next(new, ranked[0] if ranked else self._newcomer())

    def _bred(self, target: _Vector, parents: list[_Vector]) -> _Vector:
        """Return a trial against ``target``: rand1, then binomial crossover."""
        if len(parents) < 3:
            everyone = [vector for level in self._levels.values() for vector in level.best()]
            while everyone and len(parents) < 3:
                parents.append(everyone.pop(int(self._uniform() * len(everyone))))
        if len(parents) < 3:
            return self._newcomer()
        uniform = self._uniform
        for _ in range(_TRIES):
            left = parents.copy()
            a, b, c = (left.pop(int(uniform() * len(left))) for _ in range(3))
            sure = int(uniform() * len(target))
            vector = list(target)
            for i in range(len(target)):
                if i == sure or uniform() < self._rate:
                    value = a[i] + self._factor * (b[i] - c[i])
                    vector[i] = value if 0 <= value < 1 else uniform()
            if self._space.contains(self._cell(vector)):
                return tuple(vector)
        return self._newcomer()

    def _newcomer(self) -> _Vector:
        """Return a uniform cell's vector: somewhere in the part of [0, 1) that means this cell."""
        pairs = zip(next(self._cells), self._choices, strict=True)
        return tuple((op + self._uniform() * _INSIDE) / n for op, n in pairs)

    def _cell(self, vector: Sequence[float]) -> Architecture:
        return tuple(int(x * n) for x, n in zip(vector, self._choices, strict=True))


class _Level:
    """The population of one epoch.

    Attributes:
        vectors: One for each place.
        scores: Minus infinity where none was trained.
        proposed: Cells that were ever tried here.
    """

    def __init__(self, vectors: list[_Vector]) -> None:
        self.vectors, self.scores = vectors, [-inf] * len(vectors)
        self.proposed: set[Architecture] = set()
        self._turn = 0

    def next_place(self) -> int:
        place, self._turn = self._turn, (self._turn + 1) % len(self.vectors)
        return place

    def best(self) -> list[_Vector]:
        """Return the members that were trained, the best first."""
        places = (i for i, score in enumerate(self.scores) if score > -inf)
        return [self.vectors[i] for i in sorted(places, key=self.scores.__getitem__, reverse=True)]


class _Rungs(Bracket):
    """A bracket whose every rung is filled with trials; ``trial(rung, places)`` gives one."""

    def __init__(
        self,
        epochs: Sequence[int],
        size: int,
        eta: int,
        trial: Callable[[int, int], Architecture],
    ) -> None:
        super().__init__(epochs, size, eta, lambda: trial(self.rung, self._places()))
        self._size = size

    def tell(self, observation: Observation) -> None:
        """Take note that a training of the current rung has ended."""
        del observation
        self._training -= 1

    def _places(self) -> int:
        return int(self._size // self._eta**self.rung)

    def _advance(self) -> None:
        self.over = self.rung == self._last
        if not self.over:
            self.rung += 1
            self._fresh = self._places()
