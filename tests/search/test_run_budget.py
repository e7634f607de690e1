"""One simulated search: its budget in evaluations and seconds, its clock and its workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Proposal, Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.run import run_search

from .toys import (
    CELLS,
    SHIPPED,
    SPACE,
    Log,
    asks,
    cells_of,
    noisy_bench,
    rows,
    same_run,
    scripted,
    timed,
)

# Budget in evaluations.


@pytest.mark.parametrize("strategy", SHIPPED)
@pytest.mark.parametrize("evaluations", [1, 7, 100])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_budget_in_evaluations_is_exact(strategy: str, evaluations: int, workers: int) -> None:
    protocol = Protocol(evaluations=evaluations, workers=workers)
    run = run_search(strategy, "nb201-cifar10", protocol)
    assert run.stop == "budget"
    assert run.architectures.shape == (evaluations, 6)
    for name in ("epochs", "seeds", "values", "seconds"):
        assert getattr(run, name).shape == (evaluations,)
    assert (np.diff(run.seconds) >= 0).all()


@pytest.mark.parametrize("strategy", SHIPPED)
def test_what_is_recorded_is_what_the_table_says(strategy: str) -> None:
    bench = load("nb201-cifar10")
    run = run_search(strategy, bench, Protocol(evaluations=80))
    assert run.epochs.tolist() == [200] * 80
    end = 0.0
    for cell, seed, value, seconds in zip(
        cells_of(run), run.seeds.tolist(), run.values, run.seconds, strict=True
    ):
        assert seed in bench.seeds(cell)
        answer = bench.lookup(cell, seed=seed)
        end += answer.seconds
        assert (value, seconds) == (answer.value, end)
    assert run.free == 0
    assert run.cpu_seconds > 0


def test_both_budgets_hold() -> None:
    bench = timed([5, 5, 5, 5])
    script = scripted(CELLS)
    assert rows(run_search(script, bench, Protocol(evaluations=3, seconds=100))) == [0, 1, 2]
    assert rows(run_search(script, bench, Protocol(evaluations=30, seconds=9))) == [0, 1]


def test_numpy_integers_are_as_good_as_plain_ones() -> None:
    plain = Protocol(evaluations=20, workers=2, seeds=777, patience=9, missing="masked")
    numpy = Protocol(
        evaluations=np.int64(20),  # type: ignore[arg-type]
        workers=np.int32(2),  # type: ignore[arg-type]
        seeds=np.int64(777),  # type: ignore[arg-type]
        patience=np.uint8(9),  # type: ignore[arg-type]
        missing="masked",
    )
    run = run_search("evolution", "nb201-cifar10", plain, seed=3, run=4)
    assert same_run(run, run_search("evolution", "nb201-cifar10", numpy, seed=3, run=4))


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32])
def test_seed_and_run_may_be_numpy_integers(kind: Callable[[int], int]) -> None:
    protocol = Protocol(evaluations=20)
    run = run_search("evolution", "nb201-cifar10", protocol, seed=3, run=4)
    other = run_search("evolution", "nb201-cifar10", protocol, seed=kind(3), run=kind(4))
    assert same_run(run, other)


@pytest.mark.parametrize("number", [-1, 1.5, True, "0", None])
@pytest.mark.parametrize("argument", ["seed", "run"])
def test_seed_and_run_must_be_integers_from_zero_on(argument: str, number: Any) -> None:
    protocol = Protocol(evaluations=2)
    with pytest.raises(InvalidArgumentError, match=argument):
        run_search("random", "nb201-cifar10", protocol, **{argument: number})


# Budget in seconds.


@pytest.mark.parametrize(
    ("overshoot", "evaluated", "told"), [("keep", [0, 1, 2], 3), ("drop", [0, 1], 2)]
)
def test_the_evaluation_that_crosses_the_time_budget(
    overshoot: Any, evaluated: list[int], told: int
) -> None:
    log = Log()
    run = run_search(
        scripted(CELLS, log), timed([4, 3, 6, 1]), Protocol(seconds=10, overshoot=overshoot)
    )
    assert rows(run) == evaluated
    assert run.seconds.tolist() == [4.0, 7.0, 13.0][: len(evaluated)]
    assert run.stop == "budget"
    assert len(log.told) == told


@pytest.mark.parametrize("overshoot", ["keep", "drop"])
def test_an_evaluation_that_ends_with_the_time_budget_counts_and_is_the_last(
    overshoot: Any,
) -> None:
    run = run_search(scripted(CELLS), timed([4, 6, 1]), Protocol(seconds=10, overshoot=overshoot))
    assert rows(run) == [0, 1]


def test_a_first_evaluation_longer_than_the_budget_may_leave_nothing() -> None:
    run = run_search(scripted(CELLS), timed([99]), Protocol(seconds=10, overshoot="drop"))
    assert run.architectures.shape == (0, 3)
    assert run.architectures.dtype == np.uint8
    assert [len(run.values), run.stop, run.free] == [0, "budget", 0]


# Workers. Cells 0 to 5 take 5, 3, 4, 1, 2, 6 seconds:
#   worker A: cell 0 to 5, cell 3 to 6, cell 4 to 8
#   worker B: cell 1 to 3, cell 2 to 7, cell 5 to 13

TIMES = [5, 3, 4, 1, 2, 6]
ENDS = [(1, 3.0), (0, 5.0), (3, 6.0), (2, 7.0), (4, 8.0), (5, 13.0)]


def two_workers(log: Log | None = None, **budget: Any) -> list[tuple[int, float]]:
    run = run_search(scripted(CELLS[:6], log), timed(TIMES), Protocol(workers=2, **budget))
    return list(zip(rows(run), run.seconds.tolist(), strict=True))


def test_two_workers_follow_the_schedule() -> None:
    log = Log()
    assert two_workers(log, evaluations=6) == ENDS
    assert log.asked == [2, 1, 1, 1, 1]  # as many as are free, none beyond the budget
    assert [SPACE.index(o.architecture) for o in log.told] == [row for row, _ in ENDS]
    assert [o.seconds for o in log.told] == [TIMES[row] for row, _ in ENDS]


def test_workers_start_no_more_than_the_budget_in_evaluations() -> None:
    assert two_workers(evaluations=4) == ENDS[:4]
    assert two_workers(evaluations=1) == [(0, 5.0)]


def test_workers_start_nothing_when_the_time_budget_is_over() -> None:
    # Until 7 s cells 0 to 4 start; cell 5 would start at 7 s sharp.
    assert two_workers(seconds=7, overshoot="keep") == ENDS[:5]
    assert two_workers(seconds=7, overshoot="drop") == ENDS[:4]
    assert two_workers(seconds=7.5, overshoot="keep") == ENDS


def test_evaluations_that_end_together_come_in_the_order_of_their_start() -> None:
    run = run_search(
        scripted(CELLS[:5]), timed([2, 4, 2, 2, 2]), Protocol(evaluations=5, workers=2)
    )
    assert list(zip(rows(run), run.seconds.tolist(), strict=True)) == [
        (0, 2.0), (1, 4.0), (2, 4.0), (3, 6.0), (4, 6.0)
    ]  # fmt: skip


def test_more_workers_than_evaluations() -> None:
    log = Log()
    run = run_search(scripted(CELLS, log), timed(TIMES), Protocol(evaluations=3, workers=50))
    assert rows(run) == [1, 2, 0]
    assert log.asked == [3]


@pytest.mark.parametrize("workers", [1, 2, 5, 100])
def test_a_strategy_that_waits_for_pending_evaluations_does_not_deadlock(workers: int) -> None:
    run = run_search("local-search", noisy_bench(), Protocol(evaluations=1000, workers=workers))
    assert sorted(cells_of(run)) == CELLS
    assert run.stop == "exhausted"


def test_workers_shorten_the_simulated_time() -> None:
    alone, eight = (
        run_search("random", "nb201-cifar10", Protocol(evaluations=200, workers=workers))
        for workers in (1, 8)
    )
    assert sorted(cells_of(alone)) == sorted(cells_of(eight))
    assert alone.seconds[-1] / 9 < eight.seconds[-1] < alone.seconds[-1] / 6


# Nothing more to propose.


@pytest.mark.parametrize("workers", [1, 4])
def test_a_strategy_with_nothing_more_to_propose_ends_the_run(workers: int) -> None:
    run = run_search(scripted(CELLS[:5]), noisy_bench(), Protocol(evaluations=9, workers=workers))
    assert (sorted(rows(run)), run.stop) == ([0, 1, 2, 3, 4], "exhausted")


@pytest.mark.parametrize("nothing", [[], (), None])
def test_a_strategy_may_propose_nothing_at_all(nothing: Any) -> None:
    run = run_search(asks(lambda n: nothing), noisy_bench(), Protocol(evaluations=9))
    assert (len(run.values), run.free, run.stop) == (0, 0, "exhausted")


def test_a_strategy_may_give_fewer_than_were_asked_for() -> None:
    left = CELLS[:5]
    run = run_search(
        asks(lambda n: [Proposal(left.pop(0))] if left else []),
        noisy_bench(),
        Protocol(evaluations=4, workers=4),
    )
    assert (rows(run), run.stop) == ([0, 1, 2, 3], "budget")
