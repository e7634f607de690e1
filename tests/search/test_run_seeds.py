"""One simulated search: which training seeds it sees, and which seed makes which run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import MissingValueError
from nasbench_tab.records import MEAN_SEED, Architecture, Observation, Problem, Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.run import run_search, searcher
from nasbench_tab.strategies.base import StrategySpec

from .toys import (
    CELLS,
    SHIPPED,
    cells_of,
    chi_squared,
    noisy_bench,
    rows,
    same_run,
    scripted,
    toy_bench,
)

# Training seeds.


def test_the_same_cell_on_the_same_visit_sees_the_same_seed_whatever_was_asked_before() -> None:
    bench = noisy_bench()
    protocol = Protocol(evaluations=1000)
    forward = run_search(scripted(CELLS * 3, name="a"), bench, protocol, seed=5, run=2)
    backward = run_search(scripted(CELLS[::-1] * 3, name="b"), bench, protocol, seed=5, run=2)
    for visit in range(3):
        one, other = (
            run.seeds[24 * visit : 24 * visit + 24].tolist() for run in (forward, backward)
        )
        assert one == other[::-1]
    shipped = [run_search(s, bench, Protocol(evaluations=50), seed=5, run=2) for s in SHIPPED]
    first_visit = dict(zip(rows(forward)[:24], forward.seeds.tolist(), strict=False))
    for run in shipped:
        seen: dict[int, int] = {}
        for row, seed in zip(rows(run), run.seeds.tolist(), strict=True):
            seen.setdefault(row, seed)
        assert seen == {row: first_visit[row] for row in seen}


def seed_numbers(visits: int, runs: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return (run, visit, cell): which of three training seeds was drawn."""
    search = searcher(scripted(CELLS * visits), noisy_bench(3), Protocol(evaluations=24 * visits))
    drawn = [search(seed, run).seeds - 100 for run in range(runs)]
    return np.array(drawn).reshape(runs, visits, 24)


def test_seeds_are_uniform_and_fresh_on_each_visit_run_and_cell() -> None:
    drawn = seed_numbers(visits=10, runs=40)
    assert chi_squared(np.bincount(drawn.ravel(), minlength=3)) < 20  # 2 degrees: 1 in 20,000
    for axis in range(3):  # next run, next visit, next cell: independent of this one
        here, there = (np.take(drawn, range(k, drawn.shape[axis] - 1 + k), axis) for k in (0, 1))
        counts = np.bincount((3 * here + there).ravel(), minlength=9)
        assert chi_squared(counts) < 35  # 8 degrees of freedom: 1 in 30,000


def test_seeds_depend_on_the_master_seed_and_on_the_benchmark() -> None:
    one, other = seed_numbers(4, 10, seed=0), seed_numbers(4, 10, seed=1)
    counts = np.bincount((3 * one + other).ravel(), minlength=9)
    assert chi_squared(counts) < 35  # 8 degrees of freedom
    script, protocol = scripted(CELLS * 10), Protocol(evaluations=240)
    a, b = (run_search(script, noisy_bench(name=name), protocol).seeds - 100 for name in ("a", "b"))
    assert chi_squared(np.bincount(3 * a + b, minlength=9)) < 35  # 8 degrees of freedom


def test_only_seeds_that_exist_for_the_cell_are_drawn() -> None:
    values = np.ones((24, 3))
    values[::2, 1] = np.nan
    bench = toy_bench(values, seeds=(5, 6, 7))
    run = run_search(scripted(CELLS * 20), bench, Protocol(evaluations=480))
    drawn = run.seeds.reshape(20, 24)
    assert set(drawn[:, ::2].ravel().tolist()) == {5, 7}
    assert set(drawn[:, 1::2].ravel().tolist()) == {5, 6, 7}


def test_the_mean_over_seeds() -> None:
    bench = noisy_bench(3)
    run = run_search(scripted(CELLS), bench, Protocol(evaluations=24, seeds="mean"))
    assert run.seeds.tolist() == [MEAN_SEED] * 24
    assert run.values.tolist() == [10.0 * row + 1.0 for row in range(24)]


@pytest.mark.parametrize("seed", [100, 102])
def test_one_fixed_seed(seed: int) -> None:
    run = run_search(scripted(CELLS * 2), noisy_bench(3), Protocol(evaluations=48, seeds=seed))
    assert run.seeds.tolist() == [seed] * 48
    assert run.values.tolist() == [10.0 * row + seed - 100 for row in range(24)] * 2


def test_a_fixed_seed_that_no_cell_has() -> None:
    with pytest.raises(MissingValueError, match=r"no training seed 7.*100, 101, 102"):
        run_search("random", noisy_bench(3), Protocol(evaluations=5, seeds=7))


# Same seed, same run.


@pytest.mark.parametrize("strategy", SHIPPED)
def test_the_same_seed_makes_the_same_run_and_another_makes_another(strategy: str) -> None:
    protocol = Protocol(evaluations=40, workers=2)
    run = run_search(strategy, "nb201-cifar10", protocol, seed=1, run=2)
    assert same_run(run, run_search(strategy, load("nb201-cifar10"), protocol, seed=1, run=2))
    for seed, number in [(1, 3), (2, 2), (2, 1)]:
        other = run_search(strategy, "nb201-cifar10", protocol, seed=seed, run=number)
        assert cells_of(other) != cells_of(run)


def test_a_run_does_not_depend_on_the_runs_before() -> None:
    protocol = Protocol(evaluations=60)
    search = searcher("evolution", "nb201-cifar10", protocol)
    in_order = [search(0, run) for run in range(5)]
    for run in (4, 0, 3):
        assert same_run(in_order[run], search(0, run))
        assert same_run(in_order[run], run_search("evolution", "nb201-cifar10", protocol, run=run))


def test_settings_and_benchmark_make_other_runs() -> None:
    protocol = Protocol(evaluations=20)
    runs = [
        run_search(strategy, bench, protocol)
        for strategy in ("evolution", "evolution(population=11)", "evolution(tournament=4)")
        for bench in ("nb201-cifar10", "nb201-cifar100")
    ]
    assert len({tuple(cells_of(run)) for run in runs}) == 6


def draws_with_settings(
    problem: Problem, rng: np.random.Generator, history: list[Observation], *, note: str = ""
) -> Architecture:
    return problem.space.sample(rng, 1)[0]


def test_a_setting_makes_other_runs_even_if_the_strategy_ignores_it() -> None:
    protocol = Protocol(evaluations=20)
    specs = [
        StrategySpec.make("draws", draws_with_settings, {"note": note}) for note in ("a", "b", "a")
    ]
    one, other, again = (run_search(spec, "nb201-cifar10", protocol) for spec in specs)
    assert cells_of(one) != cells_of(other)
    assert same_run(one, again)


def test_a_setting_at_its_default_changes_nothing() -> None:
    protocol = Protocol(evaluations=20)
    plain, explicit = (
        run_search(strategy, "nb201-cifar10", protocol)
        for strategy in ("evolution", "evolution(tournament=3, population=10)")
    )
    assert same_run(plain, explicit)
