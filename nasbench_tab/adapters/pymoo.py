"""pymoo: its genetic algorithms on categorical variables.

    nasbench-tab compare nb201-cifar10 --strategies 'random,pymoo,pymoo(algorithm="NSGA2")' ...

Blank and Deb, "pymoo: Multi-Objective Optimization in Python", IEEE Access 8, 2020. Written against
pymoo 0.6.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nasbench_tab.adapters.base import Adapter, Trial, library
from nasbench_tab.errors import unknown_name
from nasbench_tab.records import Problem
from nasbench_tab.strategies.base import whole

__all__ = ["ALGORITHMS", "PymooSearch"]

#: Where the algorithms that take categorical variables are.
ALGORITHMS = {
    "MixedVariableGA": "pymoo.core.mixed",
    "GA": "pymoo.algorithms.soo.nonconvex.ga",
    "NSGA2": "pymoo.algorithms.moo.nsga2",
}


class PymooSearch(Adapter):
    """Generation by generation; what has not come in yet is waited for.

    There is one objective, the loss, for the multi-objective NSGA2 too. Every training is a full one. A
    cell without a value breaks the problem's one constraint, so that it loses to each that has one.

    For another algorithm, derive a class and replace :meth:`make_algorithm`.

    Args:
        problem: Where to search.
        rng: The run's generator; it seeds the algorithm.
        algorithm: ``"MixedVariableGA"``, ``"GA"`` or ``"NSGA2"``, the latter two with the former's
            sampling and mating.
        population: Cells of a generation (20: five generations in a search of a hundred; pymoo's own 50
            to 100 are made for thousands).
    """

    log = "pymoo"
    libraries = ("pymoo",)
    draws_globally = False

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        algorithm: str = "MixedVariableGA",
        population: int = 20,
    ) -> None:
        super().__init__(problem, rng)
        self._name = algorithm
        self._population = whole("pymoo", "population", population, least=2)
        self._generation: Any = None
        self._to_ask: list[Any] = []
        self._open = 0  # individuals of the generation that have no answer yet
        with self.at_work():
            choice = library("pymoo.core.variable", "pymoo").Choice
            numbers = {name: choice(options=range(len(o))) for name, o in self.options.items()}
            task = library("pymoo.core.problem", "pymoo").Problem(
                vars=numbers, n_obj=1, n_ieq_constr=1
            )
            never = library("pymoo.core.termination", "pymoo").NoTermination()
            self._algorithm = self.make_algorithm()
            self._algorithm.setup(task, termination=never, seed=self.seed)

    def make_algorithm(self) -> Any:
        """Return the algorithm: what the settings say."""
        if self._name not in ALGORITHMS:
            raise unknown_name("algorithm of pymoo", self._name, ALGORITHMS)
        mixed = library("pymoo.core.mixed", "pymoo")
        kind = getattr(library(ALGORITHMS[self._name], "pymoo"), self._name)
        distinct = mixed.MixedVariableDuplicateElimination()
        return kind(
            pop_size=self._population,
            sampling=mixed.MixedVariableSampling(),
            mating=mixed.MixedVariableMating(eliminate_duplicates=distinct),
            eliminate_duplicates=distinct,
        )

    def next_trial(self) -> Trial | None:
        """Return the next individual of the generation; None while it waits for the last answers."""
        if not self._to_ask:
            if self._open:
                return None
            if self._generation is not None:
                self._algorithm.tell(infills=self._generation)
            self._generation = self._algorithm.ask() if self._algorithm.has_next() else None
            if self._generation is None or not len(self._generation):
                self._generation = None
                return None
            self._to_ask = list(self._generation)[::-1]
            self._open = len(self._to_ask)
        individual = self._to_ask.pop()
        return Trial(tuple(int(individual.X[name]) for name in self.options), individual)

    def observed(self, trial: Trial, score: float, seconds: float) -> None:
        """Note the loss."""
        del seconds
        self._note(trial, -score, broken=0.0)

    def failed(self, trial: Trial) -> None:
        """Note a broken constraint; the loss does not matter then."""
        self._note(trial, 0.0, broken=1.0)

    def _note(self, trial: Trial, loss: float, *, broken: float) -> None:
        individual = trial.token
        individual.set("F", np.array([loss]))
        individual.set("G", np.array([broken]))
        individual.evaluated.update(("F", "G"))
        self._open -= 1
