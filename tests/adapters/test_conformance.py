"""One suite over all adapters: each is a strategy like any other.

A library that is not installed skips its cases; SMAC is tried where it is at hand.
"""

from __future__ import annotations

import logging
import random
import warnings
from typing import Any

import numpy as np
import pytest

from nasbench_tab import registry
from nasbench_tab.adapters.drive import drive
from nasbench_tab.records import Protocol, Run
from nasbench_tab.search.compare import compare
from nasbench_tab.search.run import run_search
from nasbench_tab.search.specs import strategy_spec
from nasbench_tab.testing import check_blind, check_shuffled, check_strategy, check_structured

BENCH = registry.load("nb201-cifar10")
CURVES = registry.load("nb201-fashion")
SURROGATE = registry.load("nb201-fashion@surrogate")

#: Registered names with settings, and the module that each needs.
ADAPTERS = {
    "optuna(sampler='RandomSampler')": "optuna",
    "optuna(sampler_options={'n_startup_trials': 5})": "optuna",
    "optuna(sampler='NSGAIISampler',sampler_options={'population_size': 6})": "optuna",
    "optuna(pruner='SuccessiveHalvingPruner')": "optuna",
    "nevergrad(optimizer='DiscreteOnePlusOne')": "nevergrad",
    "nevergrad(optimizer='TwoPointsDE',workers=7,choice='deterministic')": "nevergrad",
    "pymoo(population=6)": "pymoo",
    "pymoo(algorithm='GA',population=6)": "pymoo",
    "pymoo(algorithm='NSGA2',population=6)": "pymoo",
    "smac(trials=12)": "smac",
    "smac(trials=12,deterministic=False)": "smac",
    "smac(facade='MultiFidelityFacade',trials=12)": "smac",
}


def few(spec: str) -> int:
    """Return the length of a trial run: enough for a second generation, or a first model."""
    return {"smac": 5, "neve": 8}.get(spec[:4], 14)


@pytest.fixture(params=ADAPTERS, ids=str)
def spec(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(ADAPTERS[request.param], reason=f"{ADAPTERS[request.param]} is an extra")
    name: str = request.param
    return name


@pytest.fixture
def single(spec: str) -> str:
    """An adapter that evaluates full trainings, so that it can go where there are no others."""
    if "MultiFidelity" in spec:
        pytest.skip("several fidelities need several epochs")
    return spec


def global_states() -> tuple[object, str]:
    return random.getstate(), repr(np.random.get_state())  # noqa: NPY002 - to see that it is left alone


def same(a: Run, b: Run) -> bool:
    return all(np.array_equal(getattr(a, field), getattr(b, field)) for field in Run._fields[:5])


def test_it_keeps_the_contract(single: str) -> None:
    check_strategy(single, BENCH, evaluations=few(single))


def test_it_reaches_no_test_value(single: str) -> None:
    check_blind(single, evaluations=few(single))


def test_the_clock_and_the_noise_are_those_of_every_strategy(single: str) -> None:
    """What it proposed, proposed again by a list of cells, gives the very same run."""
    protocol = Protocol(evaluations=few(single), workers=1)
    run = run_search(single, BENCH, protocol, seed=3, run=2)

    proposed = [tuple(cell) for cell in run.architectures.tolist()]

    def replayed(problem: Any, rng: np.random.Generator, history: list[Any]) -> Any:
        return proposed[len(history)]

    assert same(run, run_search(replayed, BENCH, protocol, seed=3, run=2))
    assert same(run, drive(single, BENCH, few(single), seed=3, run=2))


def test_curves_are_searched_at_rounded_epochs(spec: str) -> None:
    switches: dict[str, Any] = {"missing": "masked", "resume": "continue", "repeats": "reuse"}
    # SMAC fits a model for each cell that was not measured.
    bench = SURROGATE if spec.startswith("smac") else CURVES
    run = drive(spec, bench, few(spec), seed=1, **switches)
    assert len(run.values) == few(spec)
    assert set(run.epochs.tolist()) <= set(CURVES.epochs)
    known = {tuple(cell) for cell in CURVES.measured().tolist()}
    cells = [tuple(cell) for cell in run.architectures.tolist()]
    assert bench is SURROGATE or {CURVES.space.canonical(cell) for cell in cells} <= known
    if "runer" in spec or "MultiFidelity" in spec:
        assert min(run.epochs) == 1


@pytest.mark.parametrize("repeats", ["pay", "reuse", "forbid"])
def test_repeats_and_infeasible_cells_are_normal(single: str, repeats: Any) -> None:
    if repeats != "forbid" and single.startswith("smac"):
        pytest.skip("once is enough, at its price")
    limits = (("parameters", 0.4),)
    run = drive(single, BENCH, few(single), seed=1, repeats=repeats, limits=limits, workers=3)
    assert len(run.values) == few(single)
    assert run.free > 0
    assert (BENCH.query(run.architectures, "parameters") <= 0.4).all()


def test_where_nothing_is_feasible_it_stalls(single: str) -> None:
    if single.startswith("smac"):
        pytest.skip("SMAC needs one value to go on")
    run = drive(single, BENCH, 5, limits=(("parameters", 0.0),), patience=40)
    assert (len(run.values), run.stop) == (0, "stalled")


def test_nothing_of_the_library_comes_out(
    single: str, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    states = global_states()
    filters = list(warnings.filters)
    levels = {name: logging.getLogger(name).level for name in ("", "optuna", "smac", "pymoo")}
    drive(single, BENCH, 3, workers=2)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert states == global_states()
    assert filters == list(warnings.filters)
    assert levels == {name: logging.getLogger(name).level for name in levels}


LEARN = [
    "optuna",
    "nevergrad(optimizer='DiscreteOnePlusOne')",
    "pymoo(population=10)",
    "smac(trials=30)",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARN)
def test_on_shuffled_tables_it_is_random_search(name: str) -> None:
    pytest.importorskip(name.partition("(")[0])
    check_shuffled(name, distinct=10, runs=20 if name.startswith("smac") else 100)


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARN)
def test_on_structured_tables_it_beats_random_search(name: str) -> None:
    pytest.importorskip(name.partition("(")[0])
    if name.startswith("smac"):
        check_structured(name, evaluations=30, runs=8)
    else:
        check_structured(name, evaluations=120, runs=30)


def test_compare_runs_them_and_keeps_the_library_s_version(tmp_path: Any) -> None:
    optuna = pytest.importorskip("optuna")
    names = ["random", "optuna(sampler='RandomSampler')"]
    results = compare(["nb201-cifar10"], names, runs=2, budget=4, out=tmp_path / "out", jobs=1)
    assert results.manifest["versions"]["optuna"] == optuna.__version__
    assert list(results.strategies) == names
    alone = run_search(names[1], "nb201-cifar10", Protocol(evaluations=4), run=1)
    kept = results.trials("nb201-cifar10", names[1])
    assert np.array_equal(kept.values[4:], alone.values)


def test_every_registered_adapter_is_tried() -> None:
    assert set(registry.adapter_names()) == {*ADAPTERS.values(), "external"}
    assert not set(registry.adapter_names()) & set(registry.strategy_names())
    for name in registry.adapter_names():
        factory = registry.load_strategy(name)
        given = {"command": "x"} if name == "external" else {}
        label = strategy_spec(name).label if not given else name
        assert label == name
        assert factory.__doc__
