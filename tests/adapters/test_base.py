"""An optimizer that misbehaves in every way that libraries do, behind the common part of the adapters."""

from __future__ import annotations

import math
import random
import sys
import warnings
from typing import Any

import numpy as np
import pytest

from nasbench_tab import drive, registry
from nasbench_tab.adapters import base
from nasbench_tab.adapters.base import PATIENCE, Adapter, Trial, class_named, library
from nasbench_tab.errors import InvalidArgumentError, StrategyError, UnknownNameError
from nasbench_tab.records import Observation, Problem, Proposal
from nasbench_tab.spaces.nasbench_graph import NasBenchGraphProteins
from nasbench_tab.testing import check_blind

BENCH = registry.load("nb201-cifar10")
CELL, OTHER, OUTSIDE = (3, 3, 4, 0, 3, 4), (0, 1, 2, 3, 4, 0), (9, 0, 0, 0, 0, 0)
PROBLEM = Problem(BENCH.space, BENCH.objective, (1, 3, 9, 27))


class Scripted(Adapter):
    """Asks for what ``script`` says, for ever; notes what it is told."""

    script: Any = (Trial(CELL),)

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        super().__init__(problem, rng)
        self.asked, self.told = 0, []  # type: tuple[int, list[Any]]

    def next_trial(self) -> Trial | None:
        trial: Trial | None = self.script[self.asked % len(self.script)]
        self.asked += 1
        return trial and trial._replace(token=self.asked)

    def observed(self, trial: Trial, score: float, seconds: float) -> Trial | None:
        self.told.append((trial.token, score, seconds))
        return None


def global_states() -> tuple[object, str]:
    return random.getstate(), repr(np.random.get_state())  # noqa: NPY002 - to see that it is left alone


def scripted(*script: Trial | None) -> Scripted:
    made = type("Made", (Scripted,), {"script": script})(PROBLEM, np.random.default_rng(0))
    assert isinstance(made, Scripted)
    return made


def seen(cell: Any, epoch: int = 27, score: float = 50.0, status: Any = "ok") -> Observation:
    return Observation(cell, epoch, score if status != "infeasible" else -math.inf, 1.0, status)


@pytest.mark.parametrize(
    ("wanted", "got"), [(0.5, 1), (1, 1), (2.99, 1), (3.0, 3), (math.inf, 27), (np.float64(9.5), 9)]
)
def test_a_fractional_budget_is_proposed_and_charged_as_the_epoch_below(
    wanted: float, got: int
) -> None:
    assert scripted(Trial(CELL, None, wanted)).ask(1) == [Proposal(CELL, got)]


def test_no_number_of_epochs_is_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match="got nan"):
        scripted(Trial(CELL, None, math.nan)).ask(1)


def test_the_charge_is_that_of_the_rounded_epoch() -> None:
    curves = registry.load("nb201-fashion")
    cell = tuple(curves.measured()[0].tolist())
    short = type("Short", (Scripted,), {"script": (Trial(cell, None, 3.7),)})
    run = drive(short, curves, 1, missing="masked")
    seed = int(run.seeds[0])
    assert run.epochs.tolist() == [3]
    assert run.seconds[0] == curves.lookup(cell, epoch=3, seed=seed).seconds


def test_cells_outside_the_space_are_failures_that_reach_no_benchmark() -> None:
    at_work = scripted(Trial(OUTSIDE), Trial(CELL), Trial((1, 2)), Trial(OTHER))
    assert at_work.ask(2) == [Proposal(CELL), Proposal(OTHER)]
    assert at_work.told == []  # no score is known that they could be worse than
    at_work.tell([seen(OTHER, score=20.0)])
    assert sorted(at_work.told) == [(1, 20.0, 0.0), (3, 20.0, 0.0), (4, 20.0, 1.0)]
    at_work.tell([seen(CELL, score=10.0)])
    at_work.ask(1)
    assert at_work.told[-1] == (5, 10.0, 0.0)  # the worst so far


def test_only_cells_outside_the_space_are_an_error_that_shows_one() -> None:
    with pytest.raises(StrategyError, match=r"none of them in nasbench201; the last was \(9, 0"):
        scripted(Trial(OUTSIDE)).ask(1)


def test_an_optimizer_that_has_left_the_space_has_nothing_more_to_propose() -> None:
    class Leaves(Scripted):
        def next_trial(self) -> Trial:
            self.asked += 1
            return Trial(CELL if self.asked == 1 else OUTSIDE, self.asked)

    run = drive(Leaves, BENCH, 10)
    assert (len(run.values), run.stop) == (1, "exhausted")
    at_work = Leaves(PROBLEM, np.random.default_rng(0))
    assert at_work.ask(3) == [Proposal(CELL)]
    assert at_work.asked == 1 + PATIENCE


def test_one_that_never_stops_is_stopped_by_the_budget_or_by_patience() -> None:
    assert len(drive(Scripted, BENCH, 50).values) == 50
    run = drive(Scripted, BENCH, 50, repeats="reuse", patience=30)
    assert (len(run.values), run.free, run.stop) == (1, 30, "stalled")


def test_one_that_has_nothing_more_ends_the_run() -> None:
    run = drive(type("Empty", (Scripted,), {"script": (None,)}), BENCH, 5)
    assert (len(run.values), run.stop) == (0, "exhausted")


def test_the_same_cell_asked_for_twice_is_answered_twice() -> None:
    at_work = scripted(Trial(CELL))
    assert at_work.ask(2) == [Proposal(CELL)] * 2
    at_work.tell([seen(CELL, score=1.0)])
    at_work.tell([seen(CELL, score=2.0, status="repeat")])
    assert [token for token, _, _ in at_work.told] == [1, 2]


@pytest.mark.parametrize("epoch", [27, 9])
def test_being_told_twice_is_an_error(epoch: int) -> None:
    at_work = scripted(Trial(CELL, None, float(epoch)))
    at_work.ask(1)
    at_work.tell([seen(CELL, epoch)])
    with pytest.raises(StrategyError, match="did not ask for, or was told of before"):
        at_work.tell([seen(CELL, epoch)])
    with pytest.raises(StrategyError, match=r"told of \(0, 1, 2, 3, 4, 0\) at epoch 27"):
        at_work.tell([seen(OTHER)])


def test_an_infeasible_cell_is_a_failure() -> None:
    at_work = scripted(Trial(CELL), Trial(OTHER))
    at_work.ask(2)
    at_work.tell([seen(CELL, status="infeasible")])
    assert at_work.told == []
    at_work.tell([seen(OTHER, score=3.0)])
    assert sorted(at_work.told) == [(1, 3.0, 0.0), (2, 3.0, 1.0)]


def test_a_trial_that_goes_on_comes_before_new_ones() -> None:
    class GoesOn(Scripted):
        def observed(self, trial: Trial, score: float, seconds: float) -> Trial | None:
            super().observed(trial, score, seconds)
            return trial._replace(epochs=27) if trial.epochs == 3 else None

    at_work = GoesOn(PROBLEM, np.random.default_rng(0))
    at_work.script = (Trial(CELL, None, 3), Trial(OTHER, None, 3))
    assert at_work.ask(2) == [Proposal(CELL, 3), Proposal(OTHER, 3)]
    at_work.tell([seen(OTHER, 3)])
    assert at_work.ask(2) == [Proposal(OTHER, 27), Proposal(CELL, 3)]


def test_global_draws_warnings_and_logs_stay_inside_and_are_seeded() -> None:
    class Noisy(Scripted):
        drawn: list[float]

        def next_trial(self) -> Trial:
            warnings.warn("look at me", stacklevel=1)
            self.drawn.append(random.random() + np.random.random())  # noqa: S311, NPY002
            return Trial(CELL)

    lists: list[list[float]] = []
    for _ in range(2):
        random.seed(len(lists))
        before = global_states()
        Noisy.drawn = []
        drive(Noisy, BENCH, 4, workers=2)
        assert before == global_states()
        lists.append(Noisy.drawn)
    assert lists[0] == lists[1]
    assert len(set(lists[0])) == 4


def test_an_error_in_the_library_names_the_strategy() -> None:
    class Breaks(Scripted):
        def next_trial(self) -> Trial:
            raise KeyError("lost")

    with pytest.raises(StrategyError, match=r"Breaks' failed in ask: KeyError: 'lost'"):
        drive(Breaks, BENCH, 3)


def test_a_benchmark_that_an_adapter_holds_is_found() -> None:
    class Holds(Scripted):
        def next_trial(self) -> Trial:
            return Trial(self.problem.space.sample(np.random.default_rng(self.asked), 1)[0])

        def observed(self, trial: Trial, score: float, seconds: float) -> None:
            self.note = {"deep": registry_held}

    registry_held = [BENCH]
    with pytest.raises(AssertionError, match="TableBenchmark can be reached"):
        check_blind(Holds, evaluations=5)


def test_named_options_give_cells() -> None:
    at_work = scripted(Trial(CELL))
    names = dict(zip(at_work.options, ("nor_conv_3x3", "none", *["skip_connect"] * 4), strict=True))
    assert list(names) == ["1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2"]
    assert at_work.cell_of(names) == (3, 0, 1, 1, 1, 1)
    graph = NasBenchGraphProteins().options()
    assert graph["links"][2] == "[0,0,1,1]"
    assert list(graph)[1:] == [f"operation_{i}" for i in range(1, 5)]


@pytest.mark.parametrize("name", registry.adapter_names())
def test_a_library_that_is_absent_is_named_with_its_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "external":
        return

    factory = registry.load_strategy(name)
    for module in [name, *sys.modules]:
        if module.partition(".")[0] == name:
            monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidArgumentError, match=rf"pip install 'nasbench_tab\[{name}\]'"):
        factory(PROBLEM, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("strategy", "error", "words"),
    [
        ("optuna(sampler='TPESampl')", UnknownNameError, "Did you mean TPESampler"),
        ("optuna(pruner='MedianPrun')", UnknownNameError, "Did you mean MedianPruner"),
        ("optuna(sampler_options={'nothing': 1})", InvalidArgumentError, "TPESampler cannot be made"),
        ("optuna(pruner='MedianPruner',least=300)", InvalidArgumentError, "least to be at most 200"),
        ("optuna(pruner='MedianPruner',eta=1)", InvalidArgumentError, "eta"),
        ("nevergrad(optimizer='NGOptt')", UnknownNameError, "Did you mean NGOpt"),
        ("nevergrad(choice='soft')", UnknownNameError, "Did you mean softmax"),
        ("nevergrad(budget=0)", InvalidArgumentError, "budget to be a whole number"),
        ("pymoo(algorithm='GAA')", UnknownNameError, "algorithm of pymoo"),
        ("pymoo(population=1)", InvalidArgumentError, "at least 2"),
        ("smac(facade='X')", UnknownNameError, "facade of smac"),
        ("external", InvalidArgumentError, "needs a value for command"),
        ("external(command='')", InvalidArgumentError, "needs a command"),
        ("external(command='x',timeout=0)", InvalidArgumentError, "timeout"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_before_the_search(
    strategy: str, error: type[Exception], words: str
) -> None:
    pytest.importorskip("json" if strategy[:8] == "external" else strategy.partition("(")[0])
    with pytest.raises(error, match=words):
        drive(strategy, BENCH, 5)


def test_switches_that_are_none_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown switch .*'worker'\. Did you mean workers"):
        drive("random", BENCH, 5, worker=2)
    assert len(drive("random", BENCH, "3,100000s").values) == 3


def test_classes_are_found_by_what_they_derive_from() -> None:
    with pytest.raises(UnknownNameError, match="Known: InvalidArgumentError, StrategyError"):
        class_named(base, "Adapter", "error", Exception)
    assert class_named(base, "StrategyError", "error", Exception) is StrategyError
    assert library("json", "x").loads("1") == 1
