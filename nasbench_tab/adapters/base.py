"""What an optimizer of another library needs to be a strategy: trials in, trials out.

Libraries differ in how they ask and tell, and agree in little else. An adapter says three things about
its library (:meth:`Adapter.next_trial`, :meth:`Adapter.observed`, :meth:`Adapter.failed`); what every
library gets wrong in its own way is settled here, once:

* epochs between measured ones are rounded down (:func:`~nasbench_tab.strategies.base.rounded_epoch`), and
  the search charges for the epoch that was trained;
* cells outside the space are the library's failures: they reach no benchmark and cost nothing;
* cells that are asked for again are trained again, answered again or refused, as the protocol says;
* a trial whose worker died is asked again, and the library hears nothing of it;
* answers may come back in any order, while others are still being asked for;
* the library's log, its warnings and its draws from Python's and NumPy's global generators stay inside.

An adapter is a strategy like any other: it sees its problem and its observations, and the clock, the noise
and the budget are those of :func:`nasbench_tab.run_search`.
"""

from __future__ import annotations

import importlib
import logging
import random
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from nasbench_tab.errors import InvalidArgumentError, StrategyError, unknown_name
from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.strategies.base import rounded_epoch

__all__ = ["PATIENCE", "Adapter", "Trial", "class_named", "library"]

#: After so many cells in a row that are not in the space an optimizer has nothing more to propose.
PATIENCE = 1000


class Trial(NamedTuple):
    """What an optimizer wants to know.

    Attributes:
        architecture: The cell.
        token: What the library calls the question; given back with the answer.
        epochs: After how many epochs, any positive number; None = the full training.
    """

    architecture: Architecture
    token: Any = None
    epochs: float | None = None


class Adapter(ABC):
    """An optimizer that asks for trials one by one, as a strategy.

    Attributes:
        log: Name of the logger that the library writes to.
        libraries: The distributions behind it; a comparison's manifest keeps their versions, and is not
            resumed with others.
        draws_globally: Whether it may draw from Python's or NumPy's global generators. Where it is known
            not to, setting them aside, half a millisecond an evaluation, is left out.
        problem: Where to search.
        options: Names of positions and options; see :meth:`nasbench_tab.spaces.base.Space.options`.
        seed: For the library's own generator, below 2**31.
    """

    log = ""
    libraries: tuple[str, ...] = ()
    draws_globally = True

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self.problem, self.options = problem, problem.space.options()
        self.seed = int(rng.integers(2**31 - 1))
        self._numbers = [{name: i for i, name in enumerate(o)} for o in self.options.values()]
        self._more: deque[Trial] = deque()  # what observed() wants to go on with
        self._waiting: dict[tuple[Architecture, int], deque[Trial]] = {}
        self._late: list[Trial] = []  # failures that wait for the first score
        self._worst = np.inf
        self._fitting = False  # whether any cell was in the space so far
        self._python = random.Random(self.seed).getstate()  # noqa: S311
        self._numpy = np.random.RandomState(self.seed).get_state()

    @abstractmethod
    def next_trial(self) -> Trial | None:
        """Return a new trial; None if there is none (for now: while others are not answered)."""

    @abstractmethod
    def observed(self, trial: Trial, score: float, seconds: float) -> Trial | None:
        """Take note of a score, greater is better; return the trial to go on with, if it goes on.

        Args:
            trial: As it was asked for.
            score: What came out.
            seconds: Simulated seconds charged for it; NaN where the benchmark has no times.
        """

    def failed(self, trial: Trial) -> None:
        """Take note that a trial gave no value.

        By default it counts as the worst score so far, once there is one: a number beyond all others
        would spoil what a model learns from the rest.
        """
        if np.isfinite(self._worst):
            self.observed(trial, self._worst, 0.0)
        else:
            self._late.append(trial)

    def cell_of(self, values: Mapping[str, Any]) -> Architecture:
        """Return the cell of ``{position: option}`` by names."""
        return tuple(
            number[values[name]] for name, number in zip(self.options, self._numbers, strict=True)
        )

    def ask(self, n: int) -> list[Proposal]:
        """Return up to ``n`` proposals; fewer if the optimizer has no more."""
        space, epochs = self.problem.space, self.problem.epochs
        proposals: list[Proposal] = []
        outside = 0
        with self.at_work():
            while len(proposals) < n:
                trial = self._more.popleft() if self._more else self.next_trial()
                if trial is None:
                    break
                cell = trial.architecture
                if not space.contains(cell):
                    self.failed(trial)
                    outside += 1
                    if outside < PATIENCE:
                        continue
                    if self._fitting:
                        break
                    raise StrategyError(
                        f"{type(self).__name__} proposed {PATIENCE} cells, none of them in {space.name}; "
                        f"the last was {cell!r}. Expected cells such as {space.example()}."
                    )
                self._fitting, outside = True, 0
                epoch = None if trial.epochs is None else rounded_epoch(epochs, trial.epochs)
                key = cell, epochs[-1] if epoch is None else epoch
                self._waiting.setdefault(key, deque()).append(trial)
                proposals.append(Proposal(cell, epoch))
        return proposals

    def tell(self, observations: Sequence[Observation]) -> None:
        """Hand the answers on, each to the trial that asked."""
        with self.at_work():
            for cell, epoch, score, seconds, status in observations:
                waiting = self._waiting.get((cell, epoch))
                if not waiting:
                    raise StrategyError(
                        f"{type(self).__name__} was told of {cell!r} at epoch {epoch}, which it did not "
                        "ask for, or was told of before."
                    )
                trial = waiting.popleft()
                if not waiting:
                    del self._waiting[cell, epoch]
                if status == "failed":
                    self._more.append(trial)
                    continue
                if status == "infeasible":
                    self.failed(trial)
                    continue
                self._worst = min(self._worst, score)
                more = self.observed(trial, score, seconds)
                if more is not None:
                    self._more.append(more)
                while self._late:
                    self.failed(self._late.pop())

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Keep a library's log, warnings and global draws inside, the draws seeded."""
        if not self.draws_globally:
            with _quiet(self.log):
                yield
            return
        with _kept(), _quiet(self.log):
            random.setstate(self._python)
            np.random.set_state(self._numpy)  # noqa: NPY002 - libraries draw from it
            try:
                yield
            finally:
                self._python, self._numpy = random.getstate(), np.random.get_state()  # noqa: NPY002


@contextmanager
def _kept() -> Iterator[None]:
    """Leave the global generators as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def _quiet(log: str) -> Iterator[None]:
    """Hide warnings, and what the logger ``log`` says short of an error."""
    logger = logging.getLogger(log) if log else None
    level = logger.level if logger else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if logger:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            if logger:
                logger.setLevel(level)


def library(module: str, extra: str) -> Any:
    """Import a module of a library that is not installed with this package.

    Args:
        module: Its dotted name.
        extra: What brings the library: ``pip install 'nasbench_tab[extra]'``.

    Raises:
        InvalidArgumentError: It is not installed, or cannot be imported.
    """
    try:
        with _kept(), _quiet(extra):
            return importlib.import_module(module)
    except ImportError as err:
        raise InvalidArgumentError(
            f"The strategy {extra!r} needs the library {module.partition('.')[0]}, which cannot be imported "
            f"({err}). Install it: pip install 'nasbench_tab[{extra}]'"
        ) from err


def class_named(home: Any, name: object, kind: str, base: type) -> Any:
    """Return the class ``name`` of the module ``home``.

    Args:
        home: A module of the library.
        name: What the setting says.
        kind: What it is, for the message.
        base: What it must be derived from.

    Raises:
        UnknownNameError: There is none; the nearest are offered.
    """
    found = {
        key: value
        for key, value in vars(home).items()
        if isinstance(value, type) and issubclass(value, base) and value is not base
    }
    if not isinstance(name, str) or name not in found:
        raise unknown_name(kind, name, found)
    return found[name]
