"""One simulated search: budget, clock, workers, seeds, repeats, limits, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import Table
from nasbench_tab.errors import (
    InvalidArgumentError,
    MissingValueError,
    NasbenchTabError,
    StrategyError,
    UnknownNameError,
)
from nasbench_tab.records import (
    MEAN_SEED,
    Architecture,
    Metric,
    Observation,
    Problem,
    Proposal,
    Protocol,
)
from nasbench_tab.registry import load
from nasbench_tab.search.run import run_search, searched_space, searcher
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.strategies.base import StrategySpec
from nasbench_tab.strategies.local_search import LocalSearch

from .toys import (
    SOME_CELLS,
    Log,
    ToySpace,
    asks,
    cells_of,
    chi_squared,
    curves_table,
    noisy_bench,
    same_run,
    scripted,
    toy_bench,
)

SPACE = ToySpace()
CELLS = SPACE.cells
INFINITE = float("inf")
SHIPPED = ["random", "evolution", "local-search", "reinforce"]


def timed(times: Sequence[float], **options: Any) -> TableBenchmark:
    """Return a table in which the first cells take ``times`` seconds; values are row numbers."""
    seconds = np.ones(24)
    seconds[: len(times)] = times
    return toy_bench(np.arange(24.0), seconds=seconds, **options)


def rows(run: Any) -> list[int]:
    return [SPACE.index(cell) for cell in cells_of(run)]


def curves(direction: Any = "max") -> TableBenchmark:
    return TableBenchmark(curves_table("curves", direction), NasBench201(), "sha256:toy")


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


# Repeats.


def test_repeats_that_pay_are_new_trainings() -> None:
    log = Log()
    bench = noisy_bench(3, seconds=2.0)
    run = run_search(scripted([CELLS[4]] * 30, log), bench, Protocol(evaluations=30))
    assert rows(run) == [4] * 30
    assert run.seconds.tolist() == [2.0 * n for n in range(1, 31)]
    assert set(run.seeds.tolist()) == {100, 101, 102}
    assert run.free == 0
    assert {o.status for o in log.told} == {"ok"}


def test_repeats_that_are_reused_are_free_and_not_evaluations() -> None:
    log = Log()
    bench = noisy_bench(3, seconds=2.0)
    script = [CELLS[4], CELLS[5], CELLS[4], CELLS[4], CELLS[5], CELLS[6]]
    run = run_search(scripted(script, log), bench, Protocol(evaluations=9, repeats="reuse"))
    assert rows(run) == [4, 5, 6]
    assert run.seconds.tolist() == [2.0, 4.0, 6.0]
    assert (run.free, run.stop) == (3, "exhausted")
    assert [o.status for o in log.told] == ["ok", "ok", "repeat", "repeat", "repeat", "ok"]
    first = {o.architecture: o.score for o in log.told[:2]}
    for observation in log.told[2:5]:
        assert observation.score == first[observation.architecture]
        assert observation.seconds == 0.0
        assert observation.epoch == 1


def test_another_epoch_is_no_repeat() -> None:
    bench = curves()
    cell = SOME_CELLS[0]
    script = [Proposal(cell, 1), Proposal(cell, 3), Proposal(cell, 9), Proposal(cell), Proposal(cell, 1)]  # fmt: skip
    run = run_search(
        scripted(script), bench, Protocol(evaluations=9, repeats="reuse", missing="masked")
    )
    assert run.epochs.tolist() == [1, 3, 9]
    assert run.free == 2


def test_an_answer_is_not_reused_before_its_training_has_ended() -> None:
    # Worker A trains cell 0 until 5 s. Worker B is done with cell 1 at 1 s and then asks for cell 0.
    log = Log()
    script = scripted([CELLS[0], CELLS[1], CELLS[0], CELLS[2]], log)
    run = run_search(script, timed([5, 1, 1]), Protocol(evaluations=3, workers=2, repeats="reuse"))
    assert rows(run) == [1, 2, 0]
    told = [(SPACE.index(o.architecture), o.status) for o in log.told]
    assert told.index((0, "ok")) < told.index((0, "repeat"))


@pytest.mark.parametrize("patience", [1, 7])
def test_a_run_that_only_repeats_is_stalled(patience: int) -> None:
    protocol = Protocol(evaluations=10, repeats="reuse", patience=patience)
    run = run_search(asks(lambda n: [Proposal(CELLS[0])]), noisy_bench(), protocol)
    assert (len(run.values), run.free, run.stop) == (1, patience, "stalled")


def test_an_evaluation_that_costs_ends_the_stall() -> None:
    script = [CELLS[0], *[CELLS[0]] * 6, CELLS[1], *[CELLS[1]] * 6, CELLS[2]]
    protocol = Protocol(evaluations=3, repeats="reuse", patience=7)
    run = run_search(scripted(script), noisy_bench(), protocol)
    assert (rows(run), run.free, run.stop) == ([0, 1, 2], 12, "budget")


def test_what_is_in_training_when_the_search_stalls_still_counts() -> None:
    script = [CELLS[0], CELLS[1], *[CELLS[1]] * 50]
    protocol = Protocol(evaluations=10, repeats="reuse", patience=5, workers=2)
    run = run_search(scripted(script), timed([9, 1]), protocol)
    assert (rows(run), run.stop) == ([1, 0], "stalled")


def test_a_budget_in_seconds_ends_where_trainings_take_no_time() -> None:
    asked: list[int] = []

    def answer(n: int) -> list[Proposal]:
        asked.append(n)
        assert len(asked) < 5_000, "the search does not end"
        return [Proposal(CELLS[0])]

    bench = toy_bench(np.arange(24.0), seconds=np.zeros(24))
    run = run_search(asks(answer), bench, Protocol(seconds=10.0, patience=100))
    assert run.stop == "stalled"


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


def gappy() -> TableBenchmark:
    """Return a table with 20 of the 24 cells; of two of these only seed 100 was trained."""
    values = 10.0 * np.arange(20)[:, None] + np.arange(2)
    values[[3, 5], 1] = np.nan
    return toy_bench(values, cells=CELLS[:20])


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


# Epochs and resumed trainings.

RUNGS = [Proposal(SOME_CELLS[0], epoch) for epoch in (1, 3, None)]


def test_epochs_may_be_proposed() -> None:
    bench = curves()
    log = Log()
    run = run_search(scripted(RUNGS, log), bench, Protocol(evaluations=3, missing="masked"))
    assert run.epochs.tolist() == [1, 3, 9]
    assert len(set(run.seeds.tolist())) == 1  # the same training, seen at three epochs
    seed = int(run.seeds[0])
    answers = [bench.lookup(SOME_CELLS[0], epoch=epoch, seed=seed) for epoch in (1, 3, 9)]
    assert run.values.tolist() == [answer.value for answer in answers]
    assert run.seconds.tolist() == np.cumsum([answer.seconds for answer in answers]).tolist()
    assert log.problem is not None
    assert log.problem.epochs == (1, 3, 9)


@pytest.mark.parametrize("seeds", ["random", "mean", 777])
def test_a_continued_training_costs_only_what_is_new(seeds: Any) -> None:
    bench = curves()
    log = Log()
    protocol = Protocol(evaluations=3, resume="continue", missing="masked", seeds=seeds)
    run = run_search(scripted(RUNGS, log), bench, protocol)
    asked = None if seeds == "mean" else int(run.seeds[0])
    whole = bench.lookup(SOME_CELLS[0], seed=asked).seconds
    assert [o.seconds for o in log.told] == pytest.approx([whole / 9, 2 * whole / 9, 6 * whole / 9])
    assert run.seconds[-1] == pytest.approx(whole)


def test_a_training_is_continued_only_for_the_cell_that_was_trained() -> None:
    bench = curves()
    log = Log()
    script = [Proposal(SOME_CELLS[0], 3), Proposal(SOME_CELLS[1], 9), Proposal(SOME_CELLS[0], 9)]
    protocol = Protocol(evaluations=3, resume="continue", missing="masked", seeds=777)
    run_search(scripted(script, log), bench, protocol)
    full = [bench.lookup(cell, seed=777).seconds for cell in SOME_CELLS[:2]]
    expected = [full[0] / 3, full[1], full[0] * 2 / 3]
    assert [o.seconds for o in log.told] == pytest.approx(expected)


def test_a_lower_or_equal_epoch_is_a_new_training_at_full_cost() -> None:
    bench = curves()
    log = Log()
    script = [Proposal(SOME_CELLS[0], epoch) for epoch in (3, 1, 3, 9)]
    protocol = Protocol(evaluations=4, resume="continue", missing="masked", seeds=777)
    run_search(scripted(script, log), bench, protocol)
    full = bench.lookup(SOME_CELLS[0], seed=777).seconds
    expected = [full / 3, full / 9, full / 3, full * 2 / 3]
    assert [o.seconds for o in log.told] == pytest.approx(expected)


def test_a_training_that_is_still_running_cannot_be_continued() -> None:
    bench = curves()
    log = Log()
    script = [Proposal(SOME_CELLS[0], 3), Proposal(SOME_CELLS[0], 9)]
    protocol = Protocol(evaluations=2, resume="continue", missing="masked", seeds=777, workers=2)
    run_search(scripted(script, log), bench, protocol)
    full = bench.lookup(SOME_CELLS[0], seed=777).seconds
    assert [o.seconds for o in log.told] == pytest.approx([full / 3, full])


def test_separate_trainings_cannot_be_continued() -> None:
    protocol = Protocol(evaluations=5, resume="continue")
    with pytest.raises(
        InvalidArgumentError, match=r"nb201-cifar10 holds separate trainings.*resume='restart'"
    ):
        run_search("random", "nb201-cifar10", protocol)


# Direction and times.


def test_where_less_is_better_scores_are_negated() -> None:
    log = Log()
    bench = noisy_bench(direction="min")
    run = run_search(scripted(CELLS, log), bench, Protocol(evaluations=24))
    assert [o.score for o in log.told] == (-run.values).tolist()
    assert (run.values >= 0).all()
    assert log.problem is not None
    assert log.problem.metric.direction == "min"


@pytest.mark.parametrize("direction", ["max", "min"])
def test_searches_go_the_right_way(direction: Any) -> None:
    space = ToySpace((4, 4, 4, 4))
    bench = noisy_bench(direction=direction, space=space)
    run = run_search("local-search", bench, Protocol(evaluations=60, seeds="mean"))
    tail = run.values[-20:].mean()
    middle = 10.0 * 255 / 2
    assert (tail > middle) == (direction == "max")


def test_a_benchmark_without_times() -> None:
    run = run_search(scripted(CELLS[:6]), noisy_bench(), Protocol(evaluations=6, workers=2))
    assert np.isnan(run.seconds).all()
    assert rows(run) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(InvalidArgumentError, match=r"toy-table has no training times.*evaluations"):
        run_search("random", noisy_bench(), Protocol(evaluations=5, seconds=10))


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


# Validation only.


def reachable(thing: Any) -> list[Any]:
    """Return everything that hangs on ``thing`` by attributes, items and elements."""
    found: dict[int, Any] = {}
    queue = [thing]
    while queue:
        here = queue.pop()
        if id(here) in found or isinstance(here, (str, bytes, int, float, type)):
            continue
        found[id(here)] = here
        if isinstance(here, dict):
            queue += [*here.keys(), *here.values()]
        elif isinstance(here, (list, tuple, set, frozenset)):
            queue += here
        queue += list(getattr(here, "__dict__", {}).values())
    return list(found.values())


@pytest.mark.parametrize("missing", ["refuse", "masked"])
def test_a_strategy_cannot_reach_the_benchmark(missing: Any) -> None:
    log = Log()
    if missing == "masked":
        bench = curves()
        cells = SOME_CELLS[:5]
    else:
        bench = noisy_bench(test=np.arange(24.0)[:, None] + 0.5)
        cells = CELLS[:5]
    assert any(metric.split == "test" for metric in bench.metrics.values())
    run_search(scripted(cells, log), bench, Protocol(evaluations=5, missing=missing))
    assert log.problem is not None
    assert Problem._fields == ("space", "metric", "epochs")
    assert Observation._fields == ("architecture", "epoch", "score", "seconds", "status")
    things = reachable((log.problem, log.told))
    assert not [x for x in things if isinstance(x, (Benchmark, Table, np.ndarray, memoryview))]
    metrics = [x for x in things if isinstance(x, Metric)]
    assert [(metric.name, metric.split) for metric in metrics] == [("score", "valid")]
    valid = {float(bench.query(cell, seed=seed)) for cell in cells for seed in bench.seeds(cell)}
    assert {o.score for o in log.told} <= valid


# Protocols that make no sense.

INTEGERS = [0, -1, -(2**70), 1.0, 1.5, True, False, float("nan"), INFINITE, "10", [10]]


@pytest.mark.parametrize("value", INTEGERS, ids=repr)
@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("evaluations", "budget in evaluations must be a positive integer"),
        ("workers", "workers must be a positive integer"),
        ("patience", "patience must be a positive integer"),
    ],
)
def test_counts_must_be_positive_integers(field: str, words: str, value: Any) -> None:
    protocol = Protocol(evaluations=5)._replace(**{field: value})
    with pytest.raises(InvalidArgumentError, match=words) as caught:
        run_search("random", noisy_bench(), protocol)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    "value", [0, 0.0, -1, -1e9, float("nan"), INFINITE, -INFINITE, True, "10", [10]], ids=repr
)
def test_seconds_must_be_positive_and_finite(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="budget in seconds must be positive") as caught:
        run_search("random", noisy_bench(seconds=1.0), Protocol(seconds=value))
    assert repr(value) in str(caught.value)


def test_a_number_is_no_protocol() -> None:
    with pytest.raises(InvalidArgumentError, match=r"Expected Protocol\(evaluations=.*got 10"):
        run_search("random", noisy_bench(), 10)  # type: ignore[arg-type]


def test_there_must_be_a_budget() -> None:
    with pytest.raises(InvalidArgumentError, match="needs a budget: evaluations, seconds, or both"):
        run_search("random", noisy_bench(), Protocol())


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("seeds", "men", "Did you mean mean"),
        ("seeds", "Random", "Did you mean random"),
        ("seeds", 1.0, "Known: mean, random"),
        ("seeds", True, "Known: mean, random"),
        ("seeds", None, "Known: mean, random"),
        ("overshoot", "kep", "Did you mean keep"),
        ("repeats", "re-use", "Did you mean reuse"),
        ("resume", "restarts", "Did you mean restart"),
        ("incumbent", "highest_seen", "Did you mean highest-seen"),
        ("missing", "mask", "Did you mean masked"),
        ("missing", "surrogate", "Known: masked, refuse"),
        ("overshoot", None, "Known: drop, keep"),
        ("repeats", 3, "Known: pay, reuse"),
        ("incumbent", "", "Known: full-training, highest-seen"),
    ],
)
def test_words_that_a_protocol_does_not_know(field: str, value: Any, words: str) -> None:
    protocol = Protocol(evaluations=5)._replace(**{field: value})
    with pytest.raises(UnknownNameError, match=f"protocol's '{field}'.*{words}"):
        run_search("random", noisy_bench(), protocol)


def test_limits_on_metrics_that_do_not_exist() -> None:
    bench = noisy_bench(static={"parameters": np.ones(24)})
    with pytest.raises(
        UnknownNameError, match=r"metric of toy-table 'parametres'.*mean parameters"
    ):
        run_search("random", bench, Protocol(evaluations=5, limits=(("parametres", 1.0),)))


@pytest.mark.parametrize("metric", ["score", "test_score"])
def test_limits_may_not_reveal_what_a_strategy_must_not_see(metric: str) -> None:
    bench = noisy_bench(test=np.arange(24.0)[:, None] + 0.5, static={"parameters": np.ones(24)})
    with pytest.raises(InvalidArgumentError, match=f"limit on '{metric}'.*for parameters"):
        run_search("random", bench, Protocol(evaluations=5, limits=((metric, 1.0),)))


@pytest.mark.parametrize("limit", [float("nan"), "1.0", None, [1.0]], ids=repr)
def test_limits_must_be_numbers(limit: Any) -> None:
    bench = noisy_bench(static={"parameters": np.ones(24)})
    with pytest.raises(InvalidArgumentError, match="limit on 'parameters' must be a number"):
        run_search("random", bench, Protocol(evaluations=5, limits=(("parameters", limit),)))


@pytest.mark.parametrize(
    "limits", [("parameters", 1.0), ("parameters",), 1.0, (1.0, 2.0)], ids=repr
)
def test_limits_must_be_pairs(limits: Any) -> None:
    bench = noisy_bench(static={"parameters": np.ones(24)})
    with pytest.raises(InvalidArgumentError, match="limits"):
        run_search("random", bench, Protocol(evaluations=5, limits=limits))


def test_everything_is_checked_before_the_first_run() -> None:
    for protocol in (Protocol(), Protocol(evaluations=5, workers=0)):
        with pytest.raises(InvalidArgumentError):
            searcher("random", noisy_bench(), protocol)
    with pytest.raises(InvalidArgumentError, match="'masked'"):
        searcher("random", gappy(), Protocol(evaluations=5))


@pytest.mark.parametrize(
    ("strategy", "benchmark", "words"),
    [
        ("evolutoin", "nb201-cifar10", "strategy 'evolutoin'.*mean evolution"),
        ("random", "nb201-cifar11", "benchmark 'nb201-cifar11'.*mean nb201-cifar10"),
    ],
)
def test_unknown_names_offer_the_nearest(strategy: str, benchmark: str, words: str) -> None:
    with pytest.raises(UnknownNameError, match=words):
        run_search(strategy, benchmark, Protocol(evaluations=5))


# Strategies that misbehave.


def misbehaved(answer: Callable[[int], Any], **options: Any) -> None:
    run_search(asks(answer), "nb201-cifar10", Protocol(evaluations=10, **options))


def test_too_many_proposals() -> None:
    with pytest.raises(StrategyError, match="'odd-one' was asked for 2 proposals and gave 3"):
        misbehaved(lambda n: [Proposal((0,) * 6)] * 3, workers=2)


@pytest.mark.parametrize(
    "answer",
    [5, True, "|none~0|", (p for p in [Proposal((0,) * 6)]), object()],
    ids=["number", "bool", "text", "generator", "object"],
)
def test_what_is_no_list_of_proposals(answer: Any) -> None:
    with pytest.raises(StrategyError, match="'odd-one'"):
        misbehaved(lambda n: answer)


@pytest.mark.parametrize("proposal", [7, None, (0, 1, 2, 3, 4, 0), (), "ab c"], ids=repr)
def test_what_is_no_proposal(proposal: Any) -> None:
    with pytest.raises(StrategyError, match=r"'odd-one' must propose Proposal\(architecture"):
        misbehaved(lambda n: [proposal])


@pytest.mark.parametrize(
    "cell",
    [
        [0] * 6,
        np.zeros(6, np.int64),
        {0: 1},
        6,
        np.int64(6),
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        None,
        2.5,
    ],
    ids=repr,
)
@pytest.mark.parametrize("seeds", ["random", "mean"])
def test_cells_that_are_no_tuples(cell: Any, seeds: Any) -> None:
    with pytest.raises(StrategyError, match=r"'odd-one' proposed .*, which is no tuple"):
        misbehaved(lambda n: [Proposal(cell)], seeds=seeds)


@pytest.mark.parametrize(
    "cell",
    [
        (),
        (0,) * 5,
        (0,) * 7,
        (0, 0, 0, 0, 0, 5),
        (-1, 0, 0, 0, 0, 0),
        (0.5,) * 6,
        ("none",) * 6,
        (None,) * 6,
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "switches",
    [{}, {"seeds": "mean"}, {"limits": (("parameters", 9.0),)}],
    ids=["random", "mean", "limits"],
)
def test_malformed_cells(cell: Any, switches: dict[str, Any]) -> None:
    with pytest.raises(NasbenchTabError, match=r"not a cell of nasbench201.*6 integers") as caught:
        misbehaved(lambda n: [Proposal(cell)], **switches)
    assert "'odd-one'" in str(caught.value)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, bool], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("seeds", ["random", "mean"])
def test_cells_of_other_kinds_of_integers_are_the_same_cells(
    kind: Callable[[int], Any], seeds: Any
) -> None:
    cell = (0, 1, 1, 0, 1, 1)
    protocol = Protocol(evaluations=4, seeds=seeds)
    plain = run_search(scripted([cell] * 4), "nb201-cifar10", protocol)
    other = run_search(scripted([tuple(map(kind, cell))] * 4), "nb201-cifar10", protocol)
    assert same_run(other, plain)


@pytest.mark.parametrize("kind", [float, np.float32], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("seeds", ["random", "mean"])
def test_cells_of_whole_floats_are_refused(kind: Callable[[int], Any], seeds: Any) -> None:
    cell = (0, 1, 1, 0, 1, 1)
    script = scripted([cell, tuple(map(kind, cell))])
    with pytest.raises(NasbenchTabError, match="'scripted'"):
        run_search(script, "nb201-cifar10", Protocol(evaluations=4, seeds=seeds))


@pytest.mark.parametrize(
    ("epoch", "words"),
    [
        (7, "no values at epoch 7. It has 200"),
        (0, "no values at epoch 0. It has 200"),
        (-1, "no values at epoch -1. It has 200"),
        (201, "no values at epoch 201. It has 200"),
        ("200", "epoch must be an integer or None, not '200'"),
        (199.5, "epoch must be an integer or None, not 199.5"),
        ([200], "epoch"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("seeds", ["random", "mean"])
def test_wrong_epochs(epoch: Any, words: str, seeds: Any) -> None:
    with pytest.raises(NasbenchTabError, match=words):
        misbehaved(lambda n: [Proposal((0,) * 6, epoch)], seeds=seeds)


class Failing(LocalSearch):
    """Fails in one of its methods."""

    def __init__(self, problem: Problem, rng: np.random.Generator, *, where: str = "ask") -> None:
        self.where = where
        self._fail("start")
        super().__init__(problem, rng)

    def ask(self, n: int) -> list[Proposal]:
        self._fail("ask")
        return super().ask(n)

    def tell(self, observations: Sequence[Observation]) -> None:
        self._fail("tell")

    def _fail(self, here: str) -> None:
        if here == self.where:
            raise ZeroDivisionError("a defect of my own")


@pytest.mark.parametrize("where", ["start", "ask", "tell"])
def test_an_error_inside_a_strategy_names_the_strategy_and_keeps_its_cause(where: str) -> None:
    spec = StrategySpec.make("failing", Failing, {"where": where})
    with pytest.raises(
        StrategyError, match=r"'failing.*ZeroDivisionError: a defect of my own"
    ) as caught:
        run_search(spec, noisy_bench(), Protocol(evaluations=5))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_error_inside_a_plain_function_names_it_too() -> None:
    def propose(
        problem: Problem, rng: np.random.Generator, history: list[Observation]
    ) -> Architecture:
        raise ZeroDivisionError("a defect of my own")

    with pytest.raises(StrategyError, match=r"propose.*ZeroDivisionError: a defect of my own"):
        run_search(propose, noisy_bench(), Protocol(evaluations=5))


@pytest.mark.parametrize("strategy", [5, None, {"random": 1}, ["random"]], ids=repr)
def test_what_is_no_strategy(strategy: Any) -> None:
    with pytest.raises(StrategyError, match=r"is no strategy. Give a registered name"):
        run_search(strategy, noisy_bench(), Protocol(evaluations=5))


# Strategies as text.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("evolution(10)", "every setting needs its name"),
        ("evolution(**{'population': 3})", "every setting needs its name"),
        ("evolution(population=)", r"Expected name or name\(setting=value"),
        ("evolution(population=10", r"Expected name or name\(setting=value"),
        ("evolution(population=ten)", "plain Python values"),
        ("evolution(population=10).ask", "every setting needs its name|plain Python values"),
        ("evolution(popluation=10)", "no setting 'popluation'"),
        ("random(x=1)", "no setting 'x'"),
    ],
)
def test_malformed_strategy_texts(text: str, words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        run_search(text, noisy_bench(), Protocol(evaluations=5))


def test_a_strategy_text_with_spaces_and_settings() -> None:
    protocol = Protocol(evaluations=30)
    one = run_search("evolution(population=5,tournament=2)", "nb201-cifar10", protocol)
    other = run_search(" evolution ( tournament = 2, population = 5 ) ", "nb201-cifar10", protocol)
    assert same_run(one, other)
