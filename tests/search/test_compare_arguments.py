"""Comparisons: arguments that make no sense are refused before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nasbench_tab.errors import (
    InvalidArgumentError,
    NasbenchTabError,
    StrategyError,
    UnknownNameError,
)
from nasbench_tab.records import Protocol
from nasbench_tab.search.compare import compare


def refused(kind: type[NasbenchTabError], words: str, tmp_path: Path, **change: Any) -> None:
    options: dict[str, Any] = {
        "benchmarks": ["nb201-cifar10"],
        "strategies": ["random"],
        "runs": 2,
        "budget": 2,
        "out": tmp_path / "out",
        **change,
    }
    with pytest.raises(kind, match=words):
        compare(**options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budget": None}, "one of budget .* protocol and preset"),
        ({"protocol": Protocol(evaluations=2)}, "one of budget .* protocol and preset"),
        ({"benchmarks": []}, "at least one benchmark and one strategy"),
        ({"strategies": []}, "at least one benchmark and one strategy"),
        ({"runs": 0}, "runs? .*got 0"),
        ({"runs": -5}, "runs? .*got -5"),
        ({"runs": 2.0}, "runs? .*got 2.0"),
        ({"runs": True}, "runs? .*got True"),
        ({"runs": "2"}, "runs? .*got '2'"),
        ({"seed": -1}, "master seed must .*got -1"),
        ({"seed": 0.5}, "master seed must .*got 0.5"),
        ({"seed": True}, "master seed must .*got True"),
        ({"jobs": 0}, "jobs"),
        ({"jobs": 1.5}, "jobs"),
        ({"jobs": "two"}, "jobs"),
        ({"budget": 0}, "budget in evaluations must be a positive integer; got 0"),
        ({"budget": 2.5}, "budget in evaluations must be a positive integer; got 2.5"),
        ({"benchmarks": ["nb201-cifar10"] * 2}, "benchmark is given twice: .*nb201-cifar10"),
        ({"strategies": ["random", "random"]}, "'random' is given twice"),
        (
            {"strategies": ["evolution", "evolution(population=10)"]},
            "'evolution' is given twice",
        ),
        ({"strategies": ["evolution(size=3)"]}, "no setting 'size'"),
        ({"benchmarks": "nb201-cifar10"}, "list"),
        ({"strategies": "random"}, "list"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    refused(InvalidArgumentError, words, tmp_path, **change)


def test_settings_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    refused(InvalidArgumentError, "population", tmp_path, strategies=["evolution(population=0)"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"benchmarks": ["nb201-cifar1"]}, "benchmark 'nb201-cifar1'.*mean .*nb201-cifar10"),
        ({"strategies": ["randm"]}, "strategy 'randm'.*mean random"),
        ({"strategies": ["no.such_module:X"]}, "no module 'no'"),
        ({"strategies": ["json:Nothing"]}, "strategy in module json 'Nothing'"),
    ],
    ids=str,
)
def test_names_that_do_not_exist(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    refused(UnknownNameError, words, tmp_path, **change)


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (3, "3 is no strategy"),
        ("json:dumps", r"must take \(problem, rng, history"),
        ("json:JSONDecoder", r"must take \(problem, rng, \*\*settings\)"),
        ("json:__doc__", "is no class or function"),
    ],
)
def test_what_is_no_strategy(strategy: Any, words: str, tmp_path: Path) -> None:
    refused(StrategyError, words, tmp_path, strategies=[strategy])


def test_a_protocol_that_one_benchmark_cannot_follow(tmp_path: Path) -> None:
    protocol = Protocol(evaluations=2, seeds=777)
    names = ["nbgraph-cora", "nb201-cifar10"]
    with pytest.raises(NasbenchTabError, match="777"):
        compare(names, ["random"], runs=2, protocol=protocol, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_strategy_with_other_settings_is_another_strategy(tmp_path: Path) -> None:
    strategies = ["evolution(population=5)", "evolution(population=6)", "evolution"]
    results = compare(["nb201-cifar10"], strategies, runs=3, budget=30, out=tmp_path)
    assert results.strategies == strategies
    runs = {results.trials("nb201-cifar10", label).values.tobytes() for label in strategies}
    assert len(runs) == 3
