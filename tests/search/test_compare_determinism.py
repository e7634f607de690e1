"""Comparisons: the same results whatever the order and the processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nasbench_tab.registry import load
from nasbench_tab.search.compare import BLOCK, compare
from nasbench_tab.search.results import Trials

from .comparisons import small
from .toys import SHIPPED, scripted


def same_trials(one: Trials, other: Trials) -> bool:
    """Return whether everything but the CPU times is equal."""
    arrays = [name for name in Trials._fields if name not in {"final", "cpu_seconds"}]

    def content(trials: Trials, name: str) -> object:
        values = getattr(trials, name)
        return None if values is None else values.tobytes()

    return all(content(one, name) == content(other, name) for name in arrays) and {
        k: v.tobytes() for k, v in one.final.items()
    } == {k: v.tobytes() for k, v in other.final.items()}


def test_processes_change_nothing(tmp_path: Path) -> None:
    alone = compare(
        ["nb201-cifar10"], SHIPPED, runs=BLOCK + 2, budget=5, out=tmp_path / "1", jobs=1
    )
    two = compare(["nb201-cifar10"], SHIPPED, runs=BLOCK + 2, budget=5, out=tmp_path / "2", jobs=2)
    assert alone.content_hash() == two.content_hash()


def test_other_strategies_and_benchmarks_and_their_order_change_no_run(tmp_path: Path) -> None:
    names = ["nb201-cifar10", "nbgraph-proteins"]
    options: dict[str, Any] = {"runs": 4, "budget": 15}
    whole = compare(names, SHIPPED, out=tmp_path / "whole", **options)
    turned = compare(names[::-1], SHIPPED[::-1], out=tmp_path / "turned", **options)
    for name in names:
        for label in SHIPPED:
            alone = compare([name], [label], out=tmp_path / name / label, **options)
            expected = alone.trials(name, label)
            assert same_trials(whole.trials(name, label), expected)
            assert same_trials(turned.trials(name, label), expected)


def test_more_runs_change_no_run(tmp_path: Path) -> None:
    few = small(tmp_path / "few", runs=7).trials("nb201-cifar10", "evolution")
    many = small(tmp_path / "many", runs=60).trials("nb201-cifar10", "evolution")
    assert few.values.tobytes() == many.values[: len(few.values)].tobytes()


def test_a_run_of_every_strategy_sees_the_same_noise(tmp_path: Path) -> None:
    cells = [load("nb201-cifar10").space.unindex(i) for i in range(40)]
    results = compare(
        ["nb201-cifar10"],
        [scripted(cells, name="there"), scripted(cells[::-1], name="back")],
        runs=5,
        budget=40,
        out=tmp_path,
    )
    there, back = (results.trials("nb201-cifar10", label) for label in ("there", "back"))
    seeds = there.seeds.reshape(5, 40)
    assert (seeds == back.seeds.reshape(5, 40)[:, ::-1]).all()
    assert len({tuple(row) for row in seeds.tolist()}) == 5
