"""From what a user writes for a strategy to a checked :class:`StrategySpec`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from nasbench_tab.errors import InvalidArgumentError, StrategyError
from nasbench_tab.registry import load_strategy
from nasbench_tab.strategies.base import StrategySpec

__all__ = ["check_distinct", "parse_budget", "split_strategies", "strategy_spec"]


def strategy_spec(strategy: str | StrategySpec | Callable[..., Any]) -> StrategySpec:
    """Return the spec of a strategy.

    Args:
        strategy: ``"name"``, ``"name(setting=value, ...)"``, ``"package.module:Name"`` with or
            without settings, a class, a plain function, or a spec.

    Raises:
        UnknownNameError: No such strategy.
        InvalidArgumentError: The text is malformed or a setting does not exist.
        StrategyError: It does not have the shape of a strategy.
    """
    if isinstance(strategy, StrategySpec):
        return strategy
    if isinstance(strategy, str):
        name, settings = _parsed(strategy)
        return StrategySpec.make(name, load_strategy(name), settings)
    if not (inspect.isclass(strategy) or inspect.isfunction(strategy)):
        raise StrategyError(
            f"{strategy!r} is no strategy. Give a registered name, package.module:Name, a class with "
            "ask and tell, or a function (problem, rng, history) -> architecture."
        )
    return StrategySpec.make(f"{strategy.__module__}:{strategy.__qualname__}", strategy, {})


def split_strategies(text: str) -> list[str]:
    """Split a comma-separated list of strategies, leaving commas inside brackets alone."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def parse_budget(text: str) -> tuple[int | None, float | None]:
    """Return (evaluations, seconds) of ``"100"``, ``"200000s"`` or ``"100,200000s"``.

    Raises:
        InvalidArgumentError: It is something else.
    """
    parts = [part for part in map(str.strip, text.split(",")) if part]
    try:
        seconds = [float(part[:-1]) for part in parts if part.endswith("s")]
        evaluations = [int(part) for part in parts if not part.endswith("s")]
        if len(seconds) > 1 or len(evaluations) > 1:
            raise ValueError
    except ValueError as err:
        raise InvalidArgumentError(
            f"--budget {text!r}: expected evaluations (100), seconds (200000s) or both (100,200000s)."
        ) from err
    return evaluations[0] if evaluations else None, seconds[0] if seconds else None


def check_distinct(specs: Sequence[StrategySpec]) -> None:
    """Raise InvalidArgumentError if two strategies have the same label."""
    labels = [spec.label for spec in specs]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InvalidArgumentError(f"The strategy {twice[0]!r} is given twice.")


def _parsed(text: str) -> tuple[str, dict[str, Any]]:
    name, bracket, _ = text.strip().partition("(")
    if not bracket:
        return name, {}
    problem = f"{text!r} is no strategy. Expected name or name(setting=value, ...)"
    try:
        call = ast.parse(f"f({text.strip()[len(name) + 1 :]}", mode="eval").body
        keywords = call.keywords if isinstance(call, ast.Call) and not call.args else None
        settings = {k.arg: ast.literal_eval(k.value) for k in keywords or ()}
    except (SyntaxError, ValueError) as err:
        raise InvalidArgumentError(f"{problem} with plain Python values ({err}).") from err
    if keywords is None or None in settings:
        raise InvalidArgumentError(f"{problem}; every setting needs its name.")
    return name.strip(), {str(key): value for key, value in settings.items()}
