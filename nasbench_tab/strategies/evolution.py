"""Regularized (aging) evolution.

Real, Aggarwal, Huang and Le, "Regularized Evolution for Image Classifier Architecture Search",
AAAI 2019. Defaults for population and tournament are those of NATS-Bench (Dong et al., TPAMI 2021)
for the NAS-Bench-201 cell; the paper itself used 100 and 25 for searches of 20,000 trainings. Published
code differs in how a parent is mutated, so that is a setting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.strategies.base import uniforms, whole

__all__ = ["Evolution"]

_CHANGES = (
    1.5  # expected changes of the mutation "each-position": 6 edges, each with probability 1/4
)
# Children drawn before a parent without measured neighbors of that kind is left as it is; draws before a
# known cell is taken.
_TRIES = 100


class Evolution:
    """The best of a tournament is mutated; the oldest member of the population dies.

    A population all of whose neighbors are known would never come to anything new where known cells are free:
    where a hundred proposals in a row were repeats or infeasible, the next are uniform draws of new cells, until
    one is evaluated.

    Args:
        problem: Where to search.
        rng: The run's generator.
        population: Number of members; the first so many proposals are uniform draws.
        tournament: Members drawn, with replacement, to choose a parent from.
        mutation: ``"uniform"``: one of all neighbors; ``"node-first"``: a node, then one of the
            edges that enter it, then another operation, each uniformly (NATS-Bench's code: edges of
            early nodes change more often); ``"each-position"``: every position by itself, 1.5 changes
            expected, none possible (naszilla's).
    """

    stuck = 100  # answers in a row that cost nothing, after which a child is a uniform draw

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        population: int = 10,
        tournament: int = 3,
        mutation: str = "uniform",
    ) -> None:
        population = whole("evolution", "population", population)
        self._space, self._rng = problem.space, rng
        self._others = range(whole("evolution", "tournament", tournament) - 1)
        self._founders = self._space.sample(rng, population)
        self._uniform = uniforms(rng).__next__
        self._mutated = self._kernel(mutation)
        self._members: deque[tuple[float, Architecture]] = deque(maxlen=population)
        self._told: set[Architecture] = set()
        self._free = 0  # answers in a row that cost nothing

    def ask(self, n: int) -> list[Proposal]:
        """Return founders first, then mutations of tournament winners."""
        return [
            Proposal(self._founders.pop() if self._founders else self._child()) for _ in range(n)
        ]

    def tell(self, observations: Sequence[Observation]) -> None:
        """Add what could be evaluated to the population; the oldest leaves."""
        for cell, _, score, _, status in observations:
            if status == "failed":
                continue
            self._told.add(cell)
            self._free = 0 if status == "ok" else self._free + 1
            if status != "infeasible":
                self._members.append((score, cell))

    def _child(self) -> Architecture:
        if self._free >= self.stuck:
            return self._new()
        members, uniform = self._members, self._uniform
        count = len(members)
        if not count:  # more workers than founders, and nobody has come back: found some more
            return self._space.sample(self._rng, 1)[0]
        best, parent = members[int(uniform() * count)]
        for _ in self._others:
            score, candidate = members[int(uniform() * count)]
            if score > best:
                best, parent = score, candidate
        return self._mutated(parent)

    def _new(self) -> Architecture:
        """Return a uniform draw that was not told of before, if such is found."""
        for _ in range(_TRIES):
            [cell] = self._space.sample(self._rng, 1)
            if cell not in self._told:
                break
        return cell

    def _kernel(self, mutation: str) -> Callable[[Architecture], Architecture]:
        kernels = {
            "uniform": lambda parent: self._space.mutate(parent, self._uniform()),
            "node-first": self._at_a_node,
            "each-position": self._at_each_position,
        }
        if mutation not in kernels:
            raise InvalidArgumentError(
                f"evolution needs mutation to be one of {', '.join(kernels)}; got {mutation!r}."
            )
        if mutation == "node-first" and self._space.groups is None:
            raise InvalidArgumentError(
                f"evolution's mutation 'node-first' needs a space that says which positions enter one "
                f"node; {self._space.name} does not."
            )
        return kernels[mutation]

    def _at_a_node(self, parent: Architecture) -> Architecture:
        groups = self._space.groups or ()
        for _ in range(_TRIES):
            group = groups[int(self._uniform() * len(groups))]
            child = self._changed(parent, group[int(self._uniform() * len(group))])
            if self._space.contains(child):
                return child
        return parent

    def _at_each_position(self, parent: Architecture) -> Architecture:
        rate = _CHANGES / len(parent)
        for _ in range(_TRIES):
            child = parent
            for position in range(len(parent)):
                if self._uniform() < rate:
                    child = self._changed(child, position)
            if self._space.contains(child):
                return child
        return parent

    def _changed(self, cell: Architecture, position: int) -> Architecture:
        """Return ``cell`` with another operation at ``position``, all others equally likely."""
        option = int(self._uniform() * (self._space.choices[position] - 1))
        option += option >= cell[position]
        return (*cell[:position], option, *cell[position + 1 :])
