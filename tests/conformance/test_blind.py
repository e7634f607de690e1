"""A strategy that tries to read test values fails: there is nowhere to read them from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import h5py
import numpy as np
import pytest

import nasbench_tab as nbt
from nasbench_tab import registry
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import Column, read_manifest, read_table
from nasbench_tab.errors import StrategyError
from nasbench_tab.records import Observation, Problem, Proposal
from nasbench_tab.search.run import run_search
from nasbench_tab.testing import check_blind, check_strategy, reachable

NAME = "nbgraph-proteins"
BENCH = registry.load(NAME, source="table")


class Honest:
    """Random search, for others to cheat with."""

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self.problem, self.rng = problem, rng
        self.history: list[Observation] = []

    def ask(self, n: int) -> list[Proposal]:
        return [Proposal(cell) for cell in self.problem.space.sample(self.rng, n)]

    def tell(self, observations: Sequence[Observation]) -> None:
        self.history += observations


def open_file() -> Any:
    return h5py.File(registry.table_folder(NAME) / "table.h5")


def make_benchmark() -> Any:
    folder = registry.table_folder(NAME)
    return TableBenchmark(read_table(folder, read_manifest(folder)), BENCH.space, "sha256:")


WAYS: list[Callable[[], Any]] = [
    lambda: registry.load(NAME),
    lambda: nbt.load(NAME),
    open_file,
    make_benchmark,
]


def loader(when: str, way: Callable[[], Any], *, quiet: bool) -> type[Honest]:
    """Return a strategy that loads a table in ``when``, and says nothing about it if ``quiet``."""

    def cheat() -> None:
        with suppress(*[StrategyError] * quiet):
            way()

    class Loads(Honest):
        def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
            super().__init__(problem, rng)
            if when == "start":
                cheat()

        def ask(self, n: int) -> list[Proposal]:
            if when == "ask":
                cheat()
            return super().ask(n)

        def tell(self, observations: Sequence[Observation]) -> None:
            super().tell(observations)
            if when == "tell":
                cheat()

    return Loads


@pytest.mark.parametrize("check", [check_strategy, check_blind])
@pytest.mark.parametrize("when", ["start", "ask", "tell"])
@pytest.mark.parametrize("way", WAYS)
def test_loading_a_table_is_refused(
    way: Callable[[], Any], when: str, check: Callable[..., None]
) -> None:
    with pytest.raises(StrategyError, match=r"tried to load a benchmark \(\w+\) in a search"):
        check(loader(when, way, quiet=False), NAME)


@pytest.mark.parametrize("check", [check_strategy, check_blind])
@pytest.mark.parametrize("way", WAYS)
def test_swallowing_the_refusal_does_not_help(
    way: Callable[[], Any], check: Callable[..., None]
) -> None:
    with pytest.raises(AssertionError, match="tried to load a benchmark"):
        check(loader("ask", way, quiet=True), NAME)


def test_afterwards_tables_load_again() -> None:
    with pytest.raises(StrategyError):
        check_strategy(loader("ask", WAYS[0], quiet=False), NAME)
    assert registry.load(NAME).fingerprint == BENCH.fingerprint
    assert nbt.load(NAME).fingerprint == BENCH.fingerprint
    assert make_benchmark().name == NAME
    with open_file() as file:
        assert len(file)


class Snoops(Honest):
    """Looks through everything that it was given, and would evaluate the best by what it found."""

    found: list[str]

    def tell(self, observations: Sequence[Observation]) -> None:
        super().tell(observations)
        given = {"problem": self.problem, "rng": self.rng, "history": self.history}
        for path, thing in reachable(given):
            if isinstance(thing, (Benchmark, h5py.HLObject, Column)):
                self.found.append(path)
            if isinstance(thing, (np.ndarray, memoryview)) and np.asarray(thing).dtype.kind == "f":
                self.found.append(path)


@pytest.mark.parametrize("name", [NAME, "nb201-fashion", "nb201-cifar10"])
def test_a_snoop_finds_nothing(name: str) -> None:
    Snoops.found = []
    check_blind(Snoops, name, evaluations=10)
    assert Snoops.found == []


class Holds(Honest):
    bench = BENCH


class Names(Honest):
    def ask(self, n: int) -> list[Proposal]:
        BENCH.query(
            (0, 0, 0, 0, 0, 0, 0, 0, 0, 0)[: len(self.problem.space.choices)],
            "test_roc_auc",
            mask=False,
        ) if n < 0 else None
        return super().ask(n)


def keeps(value: Any) -> type[Honest]:
    class Keeps(Honest):
        def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
            super().__init__(problem, rng)
            self.note = {"deep": [(value,)]}

    return Keeps


def closes_over(value: Any) -> Callable[..., Any]:
    def propose(problem: Problem, rng: np.random.Generator, history: list[Observation]) -> Any:
        return problem.space.sample(rng, 1)[0] if value is not None else None

    return propose


TEST = BENCH.query(BENCH.measured(), "test_roc_auc")


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (Holds, "TableBenchmark can be reached"),
        (Names, "TableBenchmark can be reached as .* -> BENCH"),
        (keeps(BENCH), r"TableBenchmark can be reached as strategy.note\['deep'\]"),
        (keeps(BENCH.query), "TableBenchmark can be reached"),
        (keeps(iter([BENCH])), "TableBenchmark can be reached"),
        (keeps(BENCH._table.trainings), "Training can be reached"),
        (closes_over(BENCH), "TableBenchmark can be reached as strategy._propose.__closure__"),
        (keeps(TEST), "2021 test values can be reached|test values can be reached"),
        (keeps(TEST.astype(np.float32)), "test values can be reached"),
        (keeps(TEST.data), "test values can be reached"),
        (keeps(TEST[:9].tolist()), "test values can be reached"),
        (keeps(dict(enumerate(TEST.tolist()))), "test values can be reached"),
    ],
)
def test_what_is_held_is_found(strategy: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_blind(strategy, NAME, evaluations=5)


def test_a_leak_in_the_problem_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BENCH.space, "source", BENCH, raising=False)
    with pytest.raises(AssertionError, match=r"TableBenchmark can be reached as problem"):
        check_blind(Honest, BENCH, evaluations=5)


def test_a_score_that_is_a_test_value_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = registry.load(NAME)
    lookup = bench.lookup

    def swapped(arch: Any, metric: str | None = None, **options: Any) -> Any:
        return lookup(arch, metric or "test_roc_auc", **options)

    monkeypatch.setattr(bench, "lookup", swapped)
    with pytest.raises(AssertionError, match="which is no validation value of it"):
        check_blind(Honest, bench, evaluations=20)


def test_validation_values_may_be_kept() -> None:
    check_blind(Honest, NAME)
    run = run_search(Honest, NAME, nbt.Protocol(evaluations=5))
    assert len(run.values) == 5
