"""Petridish-style growth: small networks grow, and those on the front of cost and error grow first.

After Hu, Langford, Caruana, Mukherjee, Horvitz and Dey, "Efficient Forward Architecture Search", NeurIPS 2019.
This is its outer loop only, and no Petridish: there, weights are inherited and candidates are trained inside
their parent behind stop-gradients, which no table can answer. Kept are the parents from the lower convex
hull of cost and error with a relative band of 0.025, drawn so that cheap and rarely used ones come first, and
children that only grow. A child is one step larger than its parent, and of all such steps the one whose score an additive
model (ridge regression on the options at each position) of all observations predicts to be best stands
for the candidate that training would have selected.

Growth is read from the space: a neighbor is larger if no figure of it, nor its number of operations or of
connections, is smaller, and one is greater. Without a second objective the cost is the first figure of
the space (parameters), or the number of operations where it has no figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.spaces.base import Space
from nasbench_tab.strategies.base import real, uniforms, whole

__all__ = ["PetridishGrowth", "sizes"]

_DRAWS = 10  # for each seed network; the smallest are taken
_NOTHING = {
    "input",
    "output",
    "sum",
    "concat",
    "skip",
    "skip_connect",
}  # no operations of their own
_SCORES = ("additive", "random")


class PetridishGrowth:
    """Grow cells of the hull of cost and error by one step, the one with the best predicted score.

    Args:
        problem: Where to search.
        rng: The run's generator.
        initial: Seed networks: the smallest of ten times as many uniform draws. New ones are taken
            where nothing near the hull can grow.
        epsilon: Relative band above the hull in which parents lie (the paper's 0.025).
        scores: ``"additive"``: of the growth steps of a parent the one with the best predicted score;
            ``"random"``: any of them.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        initial: int = 10,
        epsilon: float = 0.025,
        scores: str = "additive",
    ) -> None:
        self._initial = whole("petridish-growth", "initial", initial)
        self._band = 1 + real("petridish-growth", "epsilon", epsilon, least=0.0, below=np.inf)
        if scores not in _SCORES:
            raise InvalidArgumentError(
                f"petridish-growth needs scores to be one of {', '.join(_SCORES)}; got {scores!r}."
            )
        self._space, self._rng, self._uniform = problem.space, rng, uniforms(rng).__next__
        self._cost = problem.cost or (lambda cell: float(sizes(problem.space, [cell])[0, 0]))
        upper = problem.metric.score(
            problem.metric.upper if problem.metric.direction == "max" else problem.metric.lower
        )
        self._perfect = upper if np.isfinite(upper) else None
        self._model = _Additive(problem.space.choices) if scores == "additive" else None
        self._pool: dict[Architecture, tuple[float, float]] = {}  # cost, score
        self._used: dict[Architecture, int] = {}
        self._growth: dict[Architecture, list[Architecture]] = {}
        self._visited: set[Architecture] = set()
        self._pending = 0
        self._queue = self._seeds()

    def ask(self, n: int) -> list[Proposal]:
        """Return seed networks first, then children; nothing while no parent is back."""
        proposals: list[Proposal] = []
        while len(proposals) < n:
            cell = self._next()
            if cell is None:
                break
            self._visited.add(cell)
            self._pending += 1
            proposals.append(Proposal(cell))
        return proposals

    def tell(self, observations: Sequence[Observation]) -> None:
        """Add to the pool of possible parents, and to the model; what failed is proposed again."""
        for observation in observations:
            self._pending -= 1
            if observation.status == "failed":
                self._queue.append(observation.architecture)
                continue
            if observation.status == "infeasible":
                continue
            cell, score = observation.architecture, observation.score
            self._pool[cell] = (self._cost(cell), score)
            if self._model is not None:
                self._model.add(cell, score)

    def _next(self) -> Architecture | None:
        if self._queue:
            return self._queue.pop()
        parents = [cell for cell in self._near_hull() if self._growing(cell)]
        if parents:
            return self._child(parents[self._drawn(parents)])
        if self._pending:
            return None
        self._queue = self._seeds()
        return self._queue.pop() if self._queue else None

    def _near_hull(self) -> list[Architecture]:
        """Return the cells whose error is within the band above the lower convex hull."""
        if not self._pool:
            return []
        cells = list(self._pool)
        points = np.array([self._pool[cell] for cell in cells])
        perfect = points[:, 1].max() if self._perfect is None else self._perfect
        cost, error = points[:, 0], perfect - points[:, 1]
        near = error <= self._band * _lower_hull(cost, error) + 1e-12
        return [cells[i] for i in np.flatnonzero(near).tolist()]

    def _drawn(self, parents: list[Architecture]) -> int:
        """Return a position: cells that were used rarely and cost little are more likely."""
        used = np.array([self._used.get(cell, 0) for cell in parents], np.float64)
        cost = np.array([self._pool[cell][0] for cell in parents])
        weight = 1 / (1 + _scaled(used)) + 1 / (1 + _scaled(cost))
        place = np.searchsorted(np.cumsum(weight), self._uniform() * weight.sum(), side="right")
        return min(int(place), len(parents) - 1)

    def _child(self, parent: Architecture) -> Architecture:
        self._used[parent] = self._used.get(parent, 0) + 1
        larger = self._growing(parent)
        if self._model is None:
            return larger[int(self._uniform() * len(larger))]
        return larger[int(self._model.predict(larger).argmax())]

    def _growing(self, cell: Architecture) -> list[Architecture]:
        """Return the neighbors that are larger than ``cell`` and were not proposed yet."""
        if cell not in self._growth:
            near = self._space.neighbors(cell)
            here, *there = sizes(self._space, [cell, *near])
            self._growth[cell] = [
                other
                for other, size in zip(near, there, strict=True)
                if (size >= here).all() and (size > here).any()
            ]
        fresh = [other for other in self._growth[cell] if other not in self._visited]
        self._growth[cell] = fresh
        return fresh

    def _seeds(self) -> list[Architecture]:
        """Return the smallest of some new draws, the smallest last; none if all were proposed."""
        drawn = self._space.sample(self._rng, _DRAWS * self._initial)
        new = [cell for cell in dict.fromkeys(drawn) if cell not in self._visited]
        while not new and len(self._visited) < (self._space.size or np.inf):
            drawn = self._space.sample(self._rng, _DRAWS * self._initial)
            new = [cell for cell in dict.fromkeys(drawn) if cell not in self._visited]
        if not new:
            return []
        size = sizes(self._space, new)
        order = np.lexsort(size.T[::-1])[: self._initial]
        return [new[i] for i in order[::-1].tolist()]


class _Additive:
    """Ridge regression of scores on the options at each position; cheap to extend."""

    def __init__(self, choices: tuple[int, ...]) -> None:
        self._start = np.cumsum([0, *choices[:-1]], dtype=np.intp)
        width = sum(choices)
        self._gram, self._moment = np.eye(width), np.zeros(width)  # a penalty of 1
        self._count, self._total = np.zeros(width), 0.0
        self._n = 0

    def add(self, cell: Architecture, score: float) -> None:
        """Take in an observation."""
        at = self._start + np.array(cell, np.intp)
        self._gram[np.ix_(at, at)] += 1.0
        self._moment[at] += score
        self._count[at] += 1.0
        self._total += score
        self._n += 1

    def predict(self, cells: list[Architecture]) -> NDArray[np.float64]:
        """Return ``(n,)`` predicted scores, but for a constant."""
        mean = self._total / max(1, self._n)
        weights = np.linalg.solve(self._gram, self._moment - mean * self._count)
        return np.asarray(weights[self._start + np.array(cells)].sum(axis=1))


def sizes(space: Space, cells: list[Architecture]) -> NDArray[np.float64]:
    """Return ``(n, figures + 2)``: the space's figures of each cell, operations and connections."""
    graphs = list(map(space.graph, cells))
    operations = [sum(label not in _NOTHING for label in graph.labels) for graph in graphs]
    figures = space.figures(np.array(cells, np.uint8)).values()
    columns = [*figures, operations, [len(graph.edges) for graph in graphs]]
    return np.array(columns, np.float64).T


def _lower_hull(cost: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(n,)`` the height of the points' lower convex hull at the cost of each.

    From the least cost to the least error; beyond that it is level.
    """
    hull: list[tuple[float, float]] = []
    order = np.lexsort((error, cost))
    for x, y in zip(cost[order].tolist(), error[order].tolist(), strict=True):
        if hull and y >= hull[-1][1]:
            continue  # costs more and is no better
        while len(hull) > 1 and _above(hull[-2], hull[-1], (x, y)):
            hull.pop()
        hull.append((x, y))
    corners = np.array(hull)
    return np.asarray(np.interp(cost, corners[:, 0], corners[:, 1]))


def _above(
    first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]
) -> bool:
    """Return whether the middle point lies on or above the line from the first to the last."""
    run, rise = last[0] - first[0], last[1] - first[1]
    return (middle[1] - first[1]) * run >= rise * (middle[0] - first[0])


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values moved and stretched to 0 to 1; all 0 where they are equal."""
    width = values.max() - values.min()
    return np.asarray((values - values.min()) / (width or 1.0))
