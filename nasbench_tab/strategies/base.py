"""The contract of a search strategy, and how a method of your own becomes one.

A strategy is made by calling its class with ``(problem, rng, **settings)`` and has two methods::

    ask(n)              -> at most n proposals (none: nothing more to propose for now)
    tell(observations)  -> None

``problem`` says where to search (:class:`~nasbench_tab.records.Problem`), ``rng`` is the run's own
generator and must be the only source of randomness, and every setting has a name and a default.
Where the protocol has a second objective, ``problem.cost`` says what a cell costs, less is better.
Observations carry validation scores only, greater is better. With several workers, ``ask`` is called
while earlier proposals are still being evaluated, and observations come back in any order. Where workers
may die (``Protocol(failures=...)``), one whose status is ``"failed"`` says nothing of the cell, which may be
proposed again: the strategies here that keep an account of what they proposed do so at once. A method
whose own work takes time, scores of many cells for example, proposes
:class:`~nasbench_tab.records.CostedProposal`, and pays for it.

A plain function is enough for a method that looks at the whole history each time::

    def propose(problem, rng, history):     # history: list of observations
        return problem.space.sample(rng, 1)[0]

A proposal's epoch must be one of ``problem.epochs``; anything else is an error. A method whose own rule
asks for an epoch between them proposes :func:`rounded_epoch` of it, and pays for that.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from typing import Protocol as Interface

import numpy as np

from nasbench_tab.errors import InvalidArgumentError, StrategyError
from nasbench_tab.records import CostedProposal, Observation, Problem, Proposal

__all__ = [
    "FunctionStrategy", "Strategy", "StrategySpec", "real", "rounded_epoch", "uniforms", "whole",
]  # fmt: skip

_SLACK = 1e-9  # relative: 81 * 3**-3 may come out just below 3


class Strategy(Interface):
    """What every strategy has; no base class is needed."""

    def ask(self, n: int) -> Sequence[Proposal | CostedProposal]:
        """Return at most ``n`` proposals; none if there is nothing more to propose for now."""

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take note of evaluated proposals."""


class FunctionStrategy:
    """A plain function ``propose(problem, rng, history, **settings)`` as a strategy."""

    def __init__(
        self,
        propose: Callable[..., Any],
        problem: Problem,
        rng: np.random.Generator,
        settings: dict[str, Any],
    ) -> None:
        self._propose, self._problem, self._rng, self._settings = propose, problem, rng, settings
        self._history: list[Observation] = []

    def ask(self, n: int) -> list[Proposal | CostedProposal]:
        """Call the function ``n`` times; it returns an architecture, a Proposal or None."""
        answers = [
            self._propose(self._problem, self._rng, self._history, **self._settings)
            for _ in range(n)
        ]
        return [
            answer if isinstance(answer, (Proposal, CostedProposal)) else Proposal(answer)
            for answer in answers
            if answer is not None
        ]

    def tell(self, observations: Sequence[Observation]) -> None:
        """Append to the history."""
        self._history += observations


class StrategySpec(NamedTuple):
    """A strategy with its settings, not yet at work.

    Attributes:
        label: How results call it: the name, and the settings where they differ from the defaults.
        factory: The class, or the plain function.
        settings: All settings, defaults included.
    """

    label: str
    factory: Callable[..., Any]
    settings: dict[str, Any]

    @classmethod
    def make(
        cls, label: str, factory: Callable[..., Any], settings: dict[str, Any]
    ) -> StrategySpec:
        """Check ``settings`` against the factory's signature and fill in its defaults.

        Raises:
            StrategyError: The factory does not take what a strategy must take.
            InvalidArgumentError: It has no such setting.
        """
        leading = 2 if inspect.isclass(factory) else 3
        shape = (
            "(problem, rng, **settings)" if leading == 2 else "(problem, rng, history, **settings)"
        )
        try:
            named = list(inspect.signature(factory).parameters.values())
        except (TypeError, ValueError) as err:
            raise StrategyError(
                f"Strategy {label!r} is no class or function: {factory!r}."
            ) from err
        if (
            len([p for p in named if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)])
            < leading
        ):
            raise StrategyError(
                f"Strategy {label!r} must take {shape}; it takes ({', '.join(map(str, named))})."
            )
        options = {p.name: p.default for p in named[leading:] if p.kind != p.VAR_KEYWORD}
        unknown = [key for key in settings if key not in options]
        if unknown:
            raise InvalidArgumentError(
                f"Strategy {label!r} has no setting {unknown[0]!r}. It has: {', '.join(options) or 'none'}."
            )
        resolved = {**options, **settings}
        lacking = [key for key, value in resolved.items() if value is inspect.Parameter.empty]
        if lacking:
            raise InvalidArgumentError(
                f"Strategy {label!r} needs a value for {', '.join(lacking)}."
            )
        for key, value in resolved.items():
            resolved[key] = value.item() if isinstance(value, np.generic) else value
            try:
                json.dumps(resolved[key])
            except (TypeError, ValueError) as err:
                raise InvalidArgumentError(
                    f"Strategy {label!r}: setting {key!r} must be plain (numbers, strings, lists, "
                    f"dicts), so that results can record it; got {value!r}."
                ) from err
        changed = {key: resolved[key] for key in settings if resolved[key] != options[key]}
        if changed:
            label += "(" + ", ".join(f"{key}={changed[key]!r}" for key in sorted(changed)) + ")"
        return cls(label, factory, resolved)

    def start(self, problem: Problem, rng: np.random.Generator) -> Strategy:
        """Return the strategy at work on ``problem``."""
        if not inspect.isclass(self.factory):
            return FunctionStrategy(self.factory, problem, rng, self.settings)
        make: Callable[..., Any] = self.factory
        strategy = make(problem, rng, **self.settings)
        for method in ("ask", "tell"):
            if not callable(getattr(strategy, method, None)):
                raise StrategyError(f"Strategy {self.label!r} has no method {method!r}.")
        started: Strategy = strategy
        return started

    def source_hash(self) -> str:
        """Return the SHA-256 of the source of the factory's module, helpers and all.

        Of the factory alone where the module has no file (a notebook); empty where there is no
        source at all.
        """
        for thing in (inspect.getmodule(self.factory), self.factory):
            try:
                source = inspect.getsource(thing)  # type: ignore[arg-type]
            except (OSError, TypeError):
                continue
            return hashlib.sha256(source.encode()).hexdigest()
        return ""


def whole(strategy: str, name: str, value: object, *, least: int = 1) -> int:
    """Return a setting that must be a whole number of at least ``least``.

    Raises:
        InvalidArgumentError: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidArgumentError(
            f"{strategy} needs {name} to be a whole number of at least {least}; got {value!r}."
        )
    return value


def real(strategy: str, name: str, value: object, *, least: float, below: float) -> float:
    """Return a setting that must be a number, ``least <= value < below``.

    Raises:
        InvalidArgumentError: It is something else, NaN included.
    """
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not known or not least <= value < below:  # type: ignore[operator]
        raise InvalidArgumentError(
            f"{strategy} needs {name} to be a number, at least {least:g} and below {below:g}; got {value!r}."
        )
    return float(value)  # type: ignore[arg-type]


def rounded_epoch(epochs: Sequence[int], asked: float) -> int:
    """Return the measured epoch to propose where a method asks for ``asked`` epochs, 1.33 for example.

    Down to the last of ``epochs`` that is not after ``asked``, but never below the first; what is charged
    is what that epoch costs.

    Args:
        epochs: Ascending; a problem's ``epochs``.
        asked: In epochs; more than the last gives the last.

    Raises:
        InvalidArgumentError: ``asked`` is no number.
    """
    known = isinstance(asked, (int, float, np.number)) and not isinstance(asked, bool)
    if not known or math.isnan(asked):
        raise InvalidArgumentError(f"Expected a number of epochs; got {asked!r}.")
    return epochs[max(0, bisect_right(epochs, asked * (1 + _SLACK)) - 1)]


def uniforms(rng: np.random.Generator, block: int = 256) -> Iterator[float]:
    """Yield uniform numbers in [0, 1), drawn in blocks: ten times cheaper than one call for each."""
    while True:
        yield from rng.random(block).tolist()
