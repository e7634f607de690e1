"""Strategies that misbehave or are no strategies, and strategies given as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import InvalidArgumentError, NasbenchTabError, StrategyError
from nasbench_tab.records import Architecture, Observation, Problem, Proposal, Protocol
from nasbench_tab.search.run import run_search
from nasbench_tab.strategies.base import StrategySpec
from nasbench_tab.strategies.local_search import LocalSearch

from .toys import asks, noisy_bench, same_run, scripted

# Strategies that misbehave.


def misbehaved(answer: Callable[[int], Any], **options: Any) -> None:
    run_search(asks(answer), "nb201-cifar10", Protocol(evaluations=10, **options))


def test_too_many_proposals() -> None:
    with pytest.raises(StrategyError, match="'odd-one' was asked for 2 proposals and gave 3"):
        misbehaved(lambda n: [Proposal((0,) * 6)] * 3, workers=2)


@pytest.mark.parametrize(
    "answer",
    [5, True, "|none~0|", (p for p in [Proposal((0,) * 6)]), object()],
    ids=["number", "bool", "text", "generator", "object"],
)
def test_what_is_no_list_of_proposals(answer: Any) -> None:
    with pytest.raises(StrategyError, match="'odd-one'"):
        misbehaved(lambda n: answer)


@pytest.mark.parametrize("proposal", [7, None, (0, 1, 2, 3, 4, 0), (), "ab c"], ids=repr)
def test_what_is_no_proposal(proposal: Any) -> None:
    with pytest.raises(StrategyError, match=r"'odd-one' must propose Proposal\(architecture"):
        misbehaved(lambda n: [proposal])


@pytest.mark.parametrize(
    "cell",
    [
        [0] * 6,
        np.zeros(6, np.int64),
        {0: 1},
        6,
        np.int64(6),
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        None,
        2.5,
    ],
    ids=repr,
)
@pytest.mark.parametrize("seeds", ["random", "mean"])
def test_cells_that_are_no_tuples(cell: Any, seeds: Any) -> None:
    with pytest.raises(StrategyError, match=r"'odd-one' proposed .*, which is no tuple"):
        misbehaved(lambda n: [Proposal(cell)], seeds=seeds)


@pytest.mark.parametrize(
    "cell",
    [
        (),
        (0,) * 5,
        (0,) * 7,
        (0, 0, 0, 0, 0, 5),
        (-1, 0, 0, 0, 0, 0),
        (0.5,) * 6,
        ("none",) * 6,
        (None,) * 6,
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "switches",
    [{}, {"seeds": "mean"}, {"limits": (("parameters", 9.0),)}],
    ids=["random", "mean", "limits"],
)
def test_malformed_cells(cell: Any, switches: dict[str, Any]) -> None:
    with pytest.raises(NasbenchTabError, match=r"not a cell of nasbench201.*6 integers") as caught:
        misbehaved(lambda n: [Proposal(cell)], **switches)
    assert "'odd-one'" in str(caught.value)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, bool], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("seeds", ["random", "mean"])
def test_cells_of_other_kinds_of_integers_are_the_same_cells(
    kind: Callable[[int], Any], seeds: Any
) -> None:
    cell = (0, 1, 1, 0, 1, 1)
    protocol = Protocol(evaluations=4, seeds=seeds)
    plain = run_search(scripted([cell] * 4), "nb201-cifar10", protocol)
    other = run_search(scripted([tuple(map(kind, cell))] * 4), "nb201-cifar10", protocol)
    assert same_run(other, plain)


@pytest.mark.parametrize("kind", [float, np.float32], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("seeds", ["random", "mean"])
def test_cells_of_whole_floats_are_refused(kind: Callable[[int], Any], seeds: Any) -> None:
    cell = (0, 1, 1, 0, 1, 1)
    script = scripted([cell, tuple(map(kind, cell))])
    with pytest.raises(NasbenchTabError, match="'scripted'"):
        run_search(script, "nb201-cifar10", Protocol(evaluations=4, seeds=seeds))


@pytest.mark.parametrize(
    ("epoch", "words"),
    [
        (7, "no values at epoch 7. It has 200"),
        (0, "no values at epoch 0. It has 200"),
        (-1, "no values at epoch -1. It has 200"),
        (201, "no values at epoch 201. It has 200"),
        ("200", "epoch must be an integer or None, not '200'"),
        (199.5, "epoch must be an integer or None, not 199.5"),
        ([200], "epoch"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("seeds", ["random", "mean"])
def test_wrong_epochs(epoch: Any, words: str, seeds: Any) -> None:
    with pytest.raises(NasbenchTabError, match=words):
        misbehaved(lambda n: [Proposal((0,) * 6, epoch)], seeds=seeds)


class Failing(LocalSearch):
    """Fails in one of its methods."""

    def __init__(self, problem: Problem, rng: np.random.Generator, *, where: str = "ask") -> None:
        self.where = where
        self._fail("start")
        super().__init__(problem, rng)

    def ask(self, n: int) -> list[Proposal]:
        self._fail("ask")
        return super().ask(n)

    def tell(self, observations: Sequence[Observation]) -> None:
        self._fail("tell")

    def _fail(self, here: str) -> None:
        if here == self.where:
            raise ZeroDivisionError("a defect of my own")


@pytest.mark.parametrize("where", ["start", "ask", "tell"])
def test_an_error_inside_a_strategy_names_the_strategy_and_keeps_its_cause(where: str) -> None:
    spec = StrategySpec.make("failing", Failing, {"where": where})
    with pytest.raises(
        StrategyError, match=r"'failing.*ZeroDivisionError: a defect of my own"
    ) as caught:
        run_search(spec, noisy_bench(), Protocol(evaluations=5))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_error_inside_a_plain_function_names_it_too() -> None:
    def propose(
        problem: Problem, rng: np.random.Generator, history: list[Observation]
    ) -> Architecture:
        raise ZeroDivisionError("a defect of my own")

    with pytest.raises(StrategyError, match=r"propose.*ZeroDivisionError: a defect of my own"):
        run_search(propose, noisy_bench(), Protocol(evaluations=5))


@pytest.mark.parametrize("strategy", [5, None, {"random": 1}, ["random"]], ids=repr)
def test_what_is_no_strategy(strategy: Any) -> None:
    with pytest.raises(StrategyError, match=r"is no strategy. Give a registered name"):
        run_search(strategy, noisy_bench(), Protocol(evaluations=5))


# Strategies as text.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("evolution(10)", "every setting needs its name"),
        ("evolution(**{'population': 3})", "every setting needs its name"),
        ("evolution(population=)", r"Expected name or name\(setting=value"),
        ("evolution(population=10", r"Expected name or name\(setting=value"),
        ("evolution(population=ten)", "plain Python values"),
        ("evolution(population=10).ask", "every setting needs its name|plain Python values"),
        ("evolution(popluation=10)", "no setting 'popluation'"),
        ("random(x=1)", "no setting 'x'"),
    ],
)
def test_malformed_strategy_texts(text: str, words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        run_search(text, noisy_bench(), Protocol(evaluations=5))


def test_a_strategy_text_with_spaces_and_settings() -> None:
    protocol = Protocol(evaluations=30)
    one = run_search("evolution(population=5,tournament=2)", "nb201-cifar10", protocol)
    other = run_search(" evolution ( tournament = 2, population = 5 ) ", "nb201-cifar10", protocol)
    assert same_run(one, other)
