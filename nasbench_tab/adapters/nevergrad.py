"""Nevergrad: any optimizer of its registry.

    nasbench-tab compare nb201-cifar10 --strategies 'random,nevergrad(optimizer="DiscreteOnePlusOne")' ...

Bennet, Doerr, Moreau, Rapin, Teytaud and Teytaud, "Nevergrad: Black-box Optimization Platform",
SIGEVOlution 14(1), 2021. Written against Nevergrad 1.0.12.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nasbench_tab.adapters.base import Adapter, Trial, library
from nasbench_tab.errors import unknown_name
from nasbench_tab.records import Problem
from nasbench_tab.strategies.base import whole

__all__ = ["CHOICES", "NevergradSearch"]

#: How an option is chosen: Nevergrad's class, and its arguments.
CHOICES: dict[str, tuple[str, dict[str, bool]]] = {
    "transition": ("TransitionChoice", {}),
    "deterministic": ("Choice", {"deterministic": True}),
    "softmax": ("Choice", {}),
}


class NevergradSearch(Adapter):
    """An optimizer over a dictionary of choices, one for each position of a cell; it minimizes.

    Nevergrad knows no epochs: every training is a full one. Its recommendation is not asked for, since
    the incumbent is the protocol's. A cell without a value counts as the worst seen so far.

    For an optimizer that is not in the registry, derive a class and replace :meth:`make_optimizer`.

    Args:
        problem: Where to search.
        rng: The run's generator; it seeds the optimizer's.
        optimizer: A name in ``nevergrad.optimizers.registry`` (NGOpt: its own choice among the others).
        budget: Evaluations that the optimizer plans for; None = it does not know. NGOpt chooses by it.
        workers: Evaluations at the same time that it plans for.
        choice: ``"transition"`` (TransitionChoice), ``"deterministic"`` (Choice, the option with the largest
            weight) or ``"softmax"`` (Choice as it comes, which draws an option by the weights each time. It
            then proposes almost independent cells: on structured tables it was no better than random
            search after 120 evaluations; docs/adapters.md).
    """

    log = "nevergrad"
    libraries = ("nevergrad",)

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        optimizer: str = "NGOpt",
        budget: int | None = None,
        workers: int = 1,
        choice: str = "transition",
    ) -> None:
        super().__init__(problem, rng)
        self._name = optimizer
        self._budget = None if budget is None else whole("nevergrad", "budget", budget)
        self._workers = whole("nevergrad", "workers", workers)
        if choice not in CHOICES:
            raise unknown_name("choice of nevergrad", choice, CHOICES)
        kind, arguments = CHOICES[choice]
        p = library("nevergrad", "nevergrad").p
        with self.at_work():
            one = getattr(p, kind)
            parts = {name: one(list(levels), **arguments) for name, levels in self.options.items()}
            dictionary = p.Dict(**parts)
            dictionary.random_state = np.random.RandomState(self.seed)  # what it takes
            self._optimizer = self.make_optimizer(dictionary)

    def make_optimizer(self, parametrization: Any) -> Any:
        """Return the optimizer: what the settings say."""
        registry = library("nevergrad", "nevergrad").optimizers.registry
        if self._name not in registry:
            raise unknown_name("optimizer of nevergrad", self._name, registry)
        return registry[self._name](parametrization, budget=self._budget, num_workers=self._workers)

    def next_trial(self) -> Trial:
        """Ask the optimizer."""
        candidate = self._optimizer.ask()
        return Trial(self.cell_of(candidate.value), candidate)

    def observed(self, trial: Trial, score: float, seconds: float) -> None:
        """Tell the optimizer the loss."""
        del seconds
        self._optimizer.tell(trial.token, -score)
