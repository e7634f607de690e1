"""The public checks of nasbench_tab.testing, over everything that is registered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from light import LIGHT, light

from nasbench_tab import registry
from nasbench_tab.records import Observation, Problem, Proposal
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.testing import check_benchmark, check_space, check_strategy


@pytest.mark.parametrize("name", registry.space_names())
def test_space(name: str) -> None:
    check_space(registry.load_space(name))


@pytest.mark.parametrize("name", registry.benchmark_names())
def test_benchmark(name: str) -> None:
    check_benchmark(registry.load(name))


@pytest.mark.parametrize("benchmark", ["nb201-cifar10", "nbgraph-proteins"])
@pytest.mark.parametrize("name", registry.strategy_names())
def test_strategy(name: str, benchmark: str) -> None:
    if name == "proxy" and benchmark == "nbgraph-proteins":
        benchmark = "nb201-fashion@surrogate"  # the other's space knows no figures
    check_strategy(light(name), benchmark)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIGHT)
def test_slow_strategy(name: str) -> None:
    check_strategy(name)


class _Base:
    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self.problem, self.rng = problem, rng

    def ask(self, n: int) -> Sequence[Proposal]:
        return [Proposal(cell) for cell in self.problem.space.sample(self.rng, n)]

    def tell(self, observations: Sequence[Observation]) -> None:
        pass


class GlobalRandomness(_Base):
    def ask(self, n: int) -> Sequence[Proposal]:
        cells = np.random.randint(0, 5, (n, 6)).tolist()  # noqa: NPY002 - the fault under test
        return [Proposal(tuple(cell)) for cell in cells]


class IgnoresSeed(_Base):
    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        super().__init__(problem, np.random.default_rng(7))


class StopsWhenInfeasible(_Base):
    stopped = False

    def ask(self, n: int) -> Sequence[Proposal]:
        return [] if self.stopped else [Proposal((3,) * 6)]

    def tell(self, observations: Sequence[Observation]) -> None:
        self.stopped = any(observation.status != "ok" for observation in observations)


@pytest.mark.parametrize(
    ("strategy", "rule"),
    [
        (GlobalRandomness, "its own generator"),
        (IgnoresSeed, "the seed must matter"),
        (StopsWhenInfeasible, "must"),
    ],
)
def test_check_strategy_catches(strategy: type[Any], rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_strategy(strategy)


class SeedlessSample(NasBench201):
    def sample(self, rng: np.random.Generator, n: int) -> list[tuple[int, ...]]:
        return super().sample(np.random.default_rng(3), n)


class OneWayNeighbors(NasBench201):
    def neighbors(self, arch: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [cell for cell in super().neighbors(arch) if cell > arch]


class SloppyParser(NasBench201):
    def parse(self, text: str) -> tuple[int, ...]:
        return super().parse(text) if "~" in text else (0,) * 6


@pytest.mark.parametrize(
    ("space", "rule"),
    [
        (SeedlessSample, "other samples"),
        (OneWayNeighbors, "no neighbor of its neighbor"),
        (SloppyParser, "instead of InvalidArchitectureError"),
    ],
)
def test_check_space_catches(space: type[NasBench201], rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_space(space())
