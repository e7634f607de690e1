"""Searches on benchmarks that train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import nasbench_tab as nbt
from nasbench_tab.records import Observation, Protocol
from nasbench_tab.search.run import run_search

from .lives import CELL, WILD, bench_on, tabulated
from .logs import SPACE


@pytest.mark.parametrize("seeds", ["random", "mean", 0])
def test_a_search_runs_on_it(log: Path, trainings: list[Any], seeds: Any) -> None:
    bench, protocol = bench_on(log), Protocol(evaluations=3, seeds=seeds)
    run = nbt.run_search("random", bench, protocol, seed=1)
    assert len(run.values) == 3
    cells = [tuple(cell) for cell in run.architectures.tolist()]
    assert run.values.tolist() == bench.query(cells).tolist()
    assert len(trainings) == len(set(map(SPACE.canonical, cells)))
    again = nbt.run_search("random", bench_on(log), protocol, seed=1)
    assert again.values.tolist() == run.values.tolist()
    assert again.seconds.tolist() == run.seconds.tolist()
    assert len(trainings) == len(set(map(SPACE.canonical, cells)))


@pytest.mark.parametrize("strategy", ["successive-halving", "asha"])
def test_a_search_goes_on_with_paused_trainings(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    run = nbt.run_search(
        strategy, bench_on(log), Protocol(evaluations=14, resume="continue"), seed=2
    )
    assert len(run.values) == 14
    assert set(run.epochs.tolist()) > {1}
    full = run.epochs == 3
    table = tabulated(log, tmp_path, monkeypatch)
    for cell, epoch, value in zip(
        run.architectures[full].tolist(), run.epochs[full].tolist(), run.values[full], strict=True
    ):
        assert table.query(tuple(cell), epoch=epoch) == value


@pytest.mark.parametrize("repeats", ["pay", "reuse"])
@pytest.mark.parametrize("resume", ["restart", "continue"])
def test_a_search_takes_a_diverged_cell_for_an_infeasible_one(
    log: Path, trainings: list[Any], repeats: Any, resume: Any
) -> None:
    told: list[Observation] = []

    def same_cell(_problem: object, _rng: object, history: list[Observation]) -> Any:
        told[:] = history
        return CELL if len(history) < 3 else None

    protocol = Protocol(evaluations=5, repeats=repeats, resume=resume)
    run = run_search(same_cell, bench_on(log, WILD), protocol)
    assert [o.status for o in told] == ["infeasible"] * 3
    assert (len(run.values), run.free, run.stop) == (0, 3, "exhausted")
    assert len(trainings) == 1
