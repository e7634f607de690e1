"""Optuna: any of its samplers, and its pruners where a benchmark has several epochs.

    nasbench-tab compare nb201-cifar10 --strategies 'random,optuna,optuna(sampler="NSGAIISampler")' ...

Akiba, Sano, Yanase, Ohta and Koyama, "Optuna: A Next-generation Hyperparameter Optimization Framework",
KDD 2019. Written against Optuna 5.0.
"""

from __future__ import annotations

import inspect
from bisect import bisect_right
from typing import Any

import numpy as np

from nasbench_tab.adapters.base import Adapter, Trial, class_named, library
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Problem
from nasbench_tab.strategies.base import whole
from nasbench_tab.strategies.successive_halving import rung_epochs

__all__ = ["OptunaSearch"]


class OptunaSearch(Adapter):
    """A study of Optuna's; one categorical parameter for each position of a cell.

    With a pruner, a cell is trained to the epochs of successive halving's rungs, one after the other,
    until the pruner stops it. Each is a proposal and charged as the protocol says: under
    ``resume="continue"`` only for the epochs that are new. Cells without a value are ``FAIL``.

    For a sampler with settings that are not plain, or one of your own, derive a class and replace
    :meth:`make_sampler`.

    Args:
        problem: Where to search.
        rng: The run's generator; it seeds the sampler.
        sampler: A class in ``optuna.samplers`` (TPESampler: Optuna's default).
        sampler_options: Its arguments, without the seed.
        pruner: A class in ``optuna.pruners``; None = every training is a full one.
        pruner_options: Its arguments.
        eta: With a pruner, the factor between the epochs after which it is asked (3: as in successive
            halving).
        least: With a pruner, the first of these epochs.
    """

    log = "optuna"
    libraries = ("optuna",)
    draws_globally = False

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        sampler: str = "TPESampler",
        sampler_options: dict[str, Any] | None = None,
        pruner: str | None = None,
        pruner_options: dict[str, Any] | None = None,
        eta: int = 3,
        least: int = 1,
    ) -> None:
        super().__init__(problem, rng)
        optuna = library("optuna", "optuna")
        self._sampler, self._sampler_options = sampler, sampler_options or {}
        stops = optuna.pruners.NopPruner()
        self._epochs: list[int] | None = None
        if pruner is not None:
            kind = class_named(optuna.pruners, pruner, "pruner", optuna.pruners.BasePruner)
            with self.at_work():
                stops = _made(kind, pruner_options or {})
            eta = whole("optuna", "eta", eta, least=2)
            self._epochs = rung_epochs("optuna", problem.epochs, least, eta)
        categorical = optuna.distributions.CategoricalDistribution
        self._distributions = {name: categorical(o) for name, o in self.options.items()}
        self._state = optuna.trial.TrialState
        with self.at_work():
            self._study = optuna.create_study(
                sampler=self.make_sampler(self.seed), pruner=stops, direction="maximize"
            )

    def make_sampler(self, seed: int) -> Any:
        """Return the sampler: what the settings say."""
        samplers = library("optuna", "optuna").samplers
        kind = class_named(samplers, self._sampler, "sampler", samplers.BaseSampler)
        options = self._sampler_options
        return _made(kind, {"seed": seed, **options} if _takes_seed(kind) else options)

    def next_trial(self) -> Trial:
        """Ask the study."""
        trial = self._study.ask(self._distributions)
        epochs = None if self._epochs is None else self._epochs[0]
        return Trial(self.cell_of(trial.params), trial, epochs)

    def observed(self, trial: Trial, score: float, seconds: float) -> Trial | None:
        """Tell the study, or the pruner first where the training is not a full one."""
        del seconds
        asked, epoch = trial.token, trial.epochs
        if self._epochs is not None and epoch is not None and epoch < self._epochs[-1]:
            asked.report(score, int(epoch))
            if not asked.should_prune():
                return trial._replace(epochs=self._epochs[bisect_right(self._epochs, epoch)])
            self._study.tell(asked, state=self._state.PRUNED)
        else:
            self._study.tell(asked, score)
        return None

    def failed(self, trial: Trial) -> None:
        """Tell the study that there is no value."""
        self._study.tell(trial.token, state=self._state.FAIL)


def _takes_seed(kind: type) -> bool:
    return "seed" in inspect.signature(kind).parameters


def _made(kind: type, options: dict[str, Any]) -> Any:
    try:
        return kind(**options)
    except (TypeError, ValueError) as err:
        raise InvalidArgumentError(f"{kind.__name__} cannot be made with {options}: {err}") from err
