"""What a strategy is: specs, labels, settings, plain functions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search.toys import ToySpace

from nasbench_tab.errors import InvalidArgumentError, StrategyError
from nasbench_tab.records import Architecture, Metric, Observation, Problem, Proposal
from nasbench_tab.strategies.base import FunctionStrategy, StrategySpec, uniforms

PROBLEM = Problem(ToySpace(), Metric("score", "valid", "max", "points"), (1,))


class Complete:
    """A strategy with two settings."""

    def __init__(
        self, problem: Problem, rng: np.random.Generator, *, size: int = 4, mode: str = "plain"
    ) -> None:
        self.arguments = (problem, rng, size, mode)

    def ask(self, n: int) -> list[Proposal]:
        return []

    def tell(self, observations: Sequence[Observation]) -> None:
        pass


class WithoutAsk:
    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        pass

    def tell(self, observations: Sequence[Observation]) -> None:
        pass


class WithoutTell:
    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self.tell = "no method"

    def ask(self, n: int) -> list[Proposal]:
        return []


class Demanding(Complete):
    def __init__(self, problem: Problem, rng: np.random.Generator, *, size: int) -> None:
        super().__init__(problem, rng, size=size)


class TakesTooLittle:
    def __init__(self, problem: Problem) -> None:
        pass


class KeywordsOnly:
    def __init__(self, *, problem: Problem, rng: np.random.Generator) -> None:
        pass


def propose_none(problem: Problem, rng: np.random.Generator, history: list[Observation]) -> None:
    return None


def propose_first(
    problem: Problem, rng: np.random.Generator, history: list[Observation], *, op: int = 0
) -> Architecture:
    return (op, 0, 0)


def too_short(problem: Problem, rng: np.random.Generator) -> None:
    return None


def test_a_plain_function_is_called_once_for_each_proposal() -> None:
    calls: list[tuple[Any, ...]] = []
    rng = np.random.default_rng(0)
    answers: list[Any] = [(0, 1, 2), Proposal((1, 1, 1), 1), None, (1, 2, 3)]

    def propose(*arguments: Any, **settings: Any) -> Any:
        calls.append((*arguments[:2], list(arguments[2]), settings))
        return answers[len(calls) - 1]

    strategy = FunctionStrategy(propose, PROBLEM, rng, {"width": 7})
    assert strategy.ask(3) == [Proposal((0, 1, 2), None), Proposal((1, 1, 1), 1)]
    first, second = (Observation((0, 1, 2), 1, score, 2.0) for score in (5.0, 6.0))
    strategy.tell([first])
    strategy.tell([second])
    assert strategy.ask(1) == [Proposal((1, 2, 3), None)]
    assert [history for _, _, history, _ in calls] == [[], [], [], [first, second]]
    assert all(call[0] is PROBLEM and call[1] is rng and call[3] == {"width": 7} for call in calls)


def test_a_function_asked_for_nothing_is_not_called() -> None:
    def propose(*arguments: Any) -> Any:
        raise AssertionError("called")

    assert FunctionStrategy(propose, PROBLEM, np.random.default_rng(0), {}).ask(0) == []


@pytest.mark.parametrize(
    ("settings", "label", "resolved"),
    [
        ({}, "complete", {"size": 4, "mode": "plain"}),
        ({"size": 4}, "complete", {"size": 4, "mode": "plain"}),
        ({"size": 5}, "complete(size=5)", {"size": 5, "mode": "plain"}),
        ({"size": 5, "mode": "x"}, "complete(mode='x', size=5)", {"size": 5, "mode": "x"}),
        ({"mode": "plain", "size": 6}, "complete(size=6)", {"size": 6, "mode": "plain"}),
    ],
)
def test_the_label_shows_what_differs_from_the_defaults(
    settings: dict[str, Any], label: str, resolved: dict[str, Any]
) -> None:
    assert StrategySpec.make("complete", Complete, settings) == (label, Complete, resolved)


def test_settings_of_a_function_come_after_the_history() -> None:
    spec = StrategySpec.make("first", propose_first, {"op": 1})
    assert (spec.label, spec.settings) == ("first(op=1)", {"op": 1})
    assert StrategySpec.make("none", propose_none, {}).settings == {}


def test_a_setting_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'complete' has no setting 'sise'.*size, mode"):
        StrategySpec.make("complete", Complete, {"sise": 5})
    with pytest.raises(InvalidArgumentError, match=r"no setting 'x'\. It has: none"):
        StrategySpec.make("none", propose_none, {"x": 1})
    with pytest.raises(InvalidArgumentError, match="no setting 'problem'"):
        StrategySpec.make("complete", Complete, {"problem": 1})


def test_a_setting_without_default_must_be_given() -> None:
    with pytest.raises(InvalidArgumentError, match="'demanding' needs a value for size"):
        StrategySpec.make("demanding", Demanding, {})
    spec = StrategySpec.make("demanding", Demanding, {"size": 3})
    assert (spec.label, spec.settings) == ("demanding(size=3)", {"size": 3})


@pytest.mark.parametrize(
    ("value", "plain"), [(np.int64(9), 9), (np.float64(0.5), 0.5), (np.bool_(True), True)]
)
def test_numpy_numbers_become_plain_settings(value: Any, plain: Any) -> None:
    label, _, settings = StrategySpec.make("complete", Complete, {"size": value})
    assert settings["size"] == plain
    assert type(settings["size"]) is type(plain)
    assert label == StrategySpec.make("complete", Complete, {"size": plain}).label


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, np.zeros(3), print], ids=["object", "set", "array", "function"]
)
def test_settings_must_be_plain(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'complete': setting 'size' must be plain"):
        StrategySpec.make("complete", Complete, {"size": value})


@pytest.mark.parametrize("factory", [5, "text", None, Complete.__doc__])
def test_what_is_no_class_or_function_is_no_strategy(factory: Any) -> None:
    with pytest.raises(StrategyError, match="'odd' is no class or function"):
        StrategySpec.make("odd", factory, {})


@pytest.mark.parametrize(
    ("factory", "shape"),
    [
        (TakesTooLittle, r"\(problem, rng, \*\*settings\); it takes \(problem"),
        (KeywordsOnly, r"\(problem, rng, \*\*settings\); it takes \(problem"),
        (too_short, r"\(problem, rng, history, \*\*settings\); it takes \(problem"),
    ],
)
def test_what_a_strategy_must_take_is_said(factory: Any, shape: str) -> None:
    with pytest.raises(StrategyError, match=f"'odd' must take {shape}"):
        StrategySpec.make("odd", factory, {})


def test_start_passes_problem_generator_and_settings() -> None:
    rng = np.random.default_rng(0)
    started = StrategySpec.make("complete", Complete, {"size": 9}).start(PROBLEM, rng)
    assert isinstance(started, Complete)
    assert started.arguments == (PROBLEM, rng, 9, "plain")


def test_start_wraps_a_plain_function() -> None:
    started = StrategySpec.make("first", propose_first, {"op": 1}).start(
        PROBLEM, np.random.default_rng(0)
    )
    assert started.ask(2) == [Proposal((1, 0, 0)), Proposal((1, 0, 0))]


@pytest.mark.parametrize(("factory", "method"), [(WithoutAsk, "ask"), (WithoutTell, "tell")])
def test_start_wants_both_methods(factory: Any, method: str) -> None:
    spec = StrategySpec.make("half", factory, {})
    with pytest.raises(StrategyError, match=f"'half' has no method '{method}'"):
        spec.start(PROBLEM, np.random.default_rng(0))


def test_the_source_hash_is_that_of_the_whole_module() -> None:
    """A helper or a constant beside the strategy may change what it does."""
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    for factory in (Complete, Demanding, propose_first):
        assert StrategySpec("x", factory, {}).source_hash() == digest


def test_the_source_hash_is_empty_where_there_is_no_source() -> None:
    assert StrategySpec("built-in", int, {}).source_hash() == ""


@pytest.mark.parametrize("block", [1, 7, 256])
def test_uniforms_are_the_generators_own_numbers_in_blocks(block: int) -> None:
    drawn = list(islice(uniforms(np.random.default_rng(5), block), 600))
    rng = np.random.default_rng(5)
    expected = np.concatenate([rng.random(block) for _ in range(-(-600 // block))])[:600]
    assert drawn == expected.tolist()
    assert all(type(number) is float and 0 <= number < 1 for number in drawn)
