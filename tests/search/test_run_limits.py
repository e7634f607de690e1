"""One simulated search: limits on static metrics, and cells that were never measured."""

from __future__ import annotations

import numpy as np
import pytest

from nasbench_tab.errors import InvalidArgumentError, MissingValueError, NasbenchTabError
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.run import run_search, searched_space
from nasbench_tab.spaces.masked import MaskedSpace

from .toys import CELLS, SHIPPED, SPACE, Log, gappy, noisy_bench, rows, scripted, toy_bench

INFINITE = float("inf")


# Limits.


def test_cells_that_break_a_limit_are_infeasible_and_free() -> None:
    log = Log()
    bench = noisy_bench(
        seconds=1.0, static={"size": np.arange(24.0), "energy": 23.0 - np.arange(24)}
    )
    protocol = Protocol(evaluations=24, limits=(("size", 20), ("energy", 13.0)))
    run = run_search(scripted(CELLS, log), bench, protocol)
    assert rows(run) == list(range(10, 21))  # a cell at the limit is within it
    assert (run.free, run.stop) == (13, "exhausted")
    assert run.seconds[-1] == 11.0
    refused = [o for o in log.told if o.status == "infeasible"]
    assert [SPACE.index(o.architecture) for o in refused] == [*range(10), *range(21, 24)]
    assert {(o.score, o.seconds, o.epoch) for o in refused} == {(-INFINITE, 0.0, 1)}


def test_a_search_where_nothing_is_feasible_stalls() -> None:
    bench = noisy_bench(static={"size": np.ones(24)})
    for strategy in ("random", "evolution", "reinforce"):
        protocol = Protocol(evaluations=5, limits=(("size", 0.5),), patience=30)
        run = run_search(strategy, bench, protocol)
        assert (len(run.values), run.free, run.stop) == (0, 30, "stalled")
    run = run_search("local-search", bench, Protocol(evaluations=5, limits=(("size", 0.5),)))
    assert (len(run.values), run.free, run.stop) == (0, 24, "exhausted")


@pytest.mark.parametrize("strategy", SHIPPED)
def test_shipped_strategies_find_what_is_feasible(strategy: str) -> None:
    bench = load("nb201-cifar10")
    protocol = Protocol(evaluations=60, limits=(("parameters", 0.5),))
    run = run_search(strategy, bench, protocol)
    assert len(run.values) == 60
    assert run.free > 0
    assert np.asarray(bench.query(run.architectures, "parameters")).max() <= 0.5


# What was never measured.


def test_a_space_with_gaps_is_refused() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"toy-table holds 20 of the 24 architectures of toy.*'masked'"
    ):
        run_search("random", gappy(), Protocol(evaluations=5))
    with pytest.raises(
        InvalidArgumentError, match=r"holds 18 of the 24 .* of toy with training seed 101"
    ):
        run_search("random", gappy(), Protocol(evaluations=5, seeds=101))


@pytest.mark.parametrize("strategy", SHIPPED)
def test_masked_search_stays_among_the_measured_cells(strategy: str) -> None:
    protocol = Protocol(evaluations=200, missing="masked")
    run = run_search(strategy, gappy(), protocol)
    assert set(rows(run)) <= set(range(20))
    fixed = run_search(strategy, gappy(), protocol._replace(seeds=101))
    assert set(rows(fixed)) <= set(range(20)) - {3, 5}


def test_the_space_to_search_is_masked_only_where_there_are_gaps() -> None:
    masked = searched_space(gappy(), Protocol(evaluations=1, missing="masked"))
    assert isinstance(masked, MaskedSpace)
    assert masked.size == 20
    assert [cell for cell in CELLS if masked.contains(cell)] == CELLS[:20]
    whole = noisy_bench()
    assert searched_space(whole, Protocol(evaluations=1, missing="masked")) is whole.space


def test_a_proposal_outside_the_mask_is_an_error() -> None:
    protocol = Protocol(evaluations=5, missing="masked")
    with pytest.raises(NasbenchTabError, match=r"holds nothing about \(1, 2, 3\)"):
        run_search(scripted([CELLS[0], CELLS[23]]), gappy(), protocol)


def test_a_cell_that_stands_in_the_table_unmeasured_is_an_error() -> None:
    values = np.ones((24, 2))
    values[7] = np.nan
    protocol = Protocol(evaluations=5, missing="masked")
    with pytest.raises(
        MissingValueError, match=r"'scripted' proposed \(0, 1, 3\), which toy-table never measured"
    ):
        run_search(scripted([CELLS[7]]), toy_bench(values), protocol)
