"""SMAC3: its facades for black boxes, hyperparameters and several fidelities.

    nasbench-tab compare nb201-cifar10 --strategies 'random,smac,smac(facade="RandomFacade")' ...

Lindauer, Eggensperger, Feurer, Biedenkapp, Deng, Benjamins, Ruhkopf, Sass and Hutter, "SMAC3: A Versatile
Bayesian Optimization Package for Hyperparameter Optimization", JMLR 23, 2022. Written against SMAC 2.4.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from pathlib import Path

import numpy as np

from nasbench_tab.adapters.base import Adapter, Trial, class_named, library
from nasbench_tab.adapters.configspace import from_configuration, to_configspace
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Problem
from nasbench_tab.strategies.base import whole

__all__ = ["SmacSearch"]

_BUDGETS = ("MultiFidelityFacade", "HyperbandFacade")


class SmacSearch(Adapter):
    """A facade of SMAC's over the exported configuration space; it minimizes.

    SMAC's seeds do not choose the training seed, since the protocol does, the same for all strategies. With
    ``deterministic=False`` SMAC asks for a cell again under another seed of its own: a repeat, for which the
    protocol draws another training (``repeats="pay"``) or gives the first answer (``"reuse"``).

    Budgets of the facades with several fidelities are epochs, rounded down to measured ones. A cell without
    a value counts as the worst seen so far. What SMAC writes goes to a temporary folder.

    Args:
        problem: Where to search.
        rng: The run's generator; it seeds SMAC.
        facade: A class in ``smac`` (HyperparameterOptimizationFacade: random forests, SMAC's default for
            categorical spaces).
        trials: Evaluations that SMAC plans for (100: its default); the initial design takes a quarter of
            them at most.
        deterministic: Whether one evaluation of a cell is enough.
        least: First budget of the facades with several fidelities, in epochs.
    """

    log = "smac"
    libraries = ("smac", "ConfigSpace")

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        facade: str = "HyperparameterOptimizationFacade",
        trials: int = 100,
        deterministic: bool = True,
        least: int = 1,
    ) -> None:
        super().__init__(problem, rng)
        smac = library("smac", "smac")
        kind = class_named(
            smac, facade, "facade of smac", library("smac.facade", "smac").AbstractFacade
        )
        self._budgets = facade in _BUDGETS
        fidelities = {}
        if self._budgets:
            least = whole("smac", "least", least)
            if least >= problem.epochs[-1]:
                raise InvalidArgumentError(
                    f"{facade} needs budgets from least={least} up; the last epoch here is "
                    f"{problem.epochs[-1]}."
                )
            fidelities = {"min_budget": least, "max_budget": problem.epochs[-1]}
        records = library("smac.runhistory", "smac")
        self._value = records.TrialValue
        folder = tempfile.mkdtemp(prefix="smac")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        with self.at_work():
            scenario = smac.Scenario(
                to_configspace(problem.space, problem.epochs, seed=self.seed),
                n_trials=whole("smac", "trials", trials),
                deterministic=bool(deterministic),
                output_directory=Path(folder),
                seed=self.seed,
                **fidelities,
            )
            self._smac = kind(scenario, _never, overwrite=True, logging_level=False)

    def next_trial(self) -> Trial | None:
        """Ask SMAC; None where it has nothing more."""
        try:
            asked = self._smac.ask()
        except StopIteration:
            return None
        return Trial(
            from_configuration(asked.config), asked, asked.budget if self._budgets else None
        )

    def observed(self, trial: Trial, score: float, seconds: float) -> None:
        """Tell SMAC cost and time."""
        time = 0.0 if math.isnan(seconds) else seconds
        self._smac.tell(trial.token, self._value(cost=-score, time=time), save=False)


def _never(config: object, seed: int = 0, budget: float | None = None) -> float:
    """Stand in for the function to minimize, which SMAC wants to see and does not call here."""
    raise NotImplementedError
