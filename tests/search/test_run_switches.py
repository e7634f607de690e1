"""One simulated search: validation passes, forbidden repeats, the full training's epoch, measured time."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.errors import (
    InvalidArgumentError,
    MissingValueError,
    StrategyError,
    UnknownNameError,
)
from nasbench_tab.records import Proposal, Protocol
from nasbench_tab.registry import load
from nasbench_tab.report.provenance import protocol_rows
from nasbench_tab.search import run as run_module
from nasbench_tab.search.compare import compare
from nasbench_tab.search.frame import run_incumbents
from nasbench_tab.search.protocol import switches
from nasbench_tab.search.run import run_search

from .switches import LONG, SCRIPT, SHORT, script, shelved, two_trainings, validated
from .toys import (
    CELLS,
    SOME_CELLS,
    Log,
    asks,
    curves,
    noisy_bench,
    rows,
    scripted,
    timed,
    toy_bench,
)

# Words.

WORDS = {
    "seeds": {"random", "mean"},
    "validation": {"none", "once", "every"},
    "overhead": {"none", "measured"},
    "overshoot": {"keep", "drop", "interpolate"},
    "repeats": {"pay", "reuse", "forbid"},
    "resume": {"restart", "continue"},
    "incumbent": {"highest-seen", "highest-epoch", "full-training"},
    "final": {"mean", "seen"},
    "final_epoch": {"last", "best"},
    "missing": {"refuse", "masked"},
}


def test_the_words_of_every_switch() -> None:
    assert {name: set(known) for name, known in switches().items()} == WORDS


@pytest.mark.parametrize("value", ["nonsense", "", None, 2.5, ("mean",)], ids=repr)
@pytest.mark.parametrize("name", WORDS)
def test_a_wrong_word_is_refused_with_the_known_ones(name: str, value: Any) -> None:
    protocol = Protocol(evaluations=5)._replace(**{name: value})
    with pytest.raises(UnknownNameError, match=f"protocol's '{name}'") as caught:
        run_search("random", noisy_bench(seconds=1.0), protocol)
    assert all(word in str(caught.value) for word in WORDS[name])


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, words in WORDS.items() for v in sorted(words)]
)
def test_the_report_has_words_for_every_value(name: str, value: Any) -> None:
    rows = protocol_rows(Protocol(evaluations=5)._replace(**{name: value}))
    [(shown, meaning)] = [(text, words) for field, text, words in rows if field == name]
    assert shown == value
    assert len(meaning) > 10


# Validation passes. Curve: 10 s of training an epoch, passes of 1, 1.5 and 2 s.

CURVE = validated((1, 2, 3), (10, 20, 30), (1, 2.5, 4.5), curve=True)
SPARSE = validated((1, 3, 9), (10, 30, 90), (1, 3, 9), curve=True)  # a pass takes 1 s
LATE = validated((3, 9), (30, 90), (6, 18), curve=True)  # 2 s
SEPARATE = validated((4, 12), (40, 120), (8, 24), curve=False)  # 2 s


@pytest.mark.parametrize(
    ("bench", "resume", "validation", "epochs", "seconds"),
    [
        (CURVE, "restart", "none", (1, 2, 3), (10, 20, 30)),
        (CURVE, "restart", "once", (1, 2, 3), (11, 21.5, 32)),
        (CURVE, "restart", "every", (1, 2, 3), (11, 22.5, 34.5)),
        (CURVE, "continue", "none", (1, 2, 3), (10, 10, 10)),
        (CURVE, "continue", "once", (1, 2, 3), (11, 11.5, 12)),
        (CURVE, "continue", "every", (1, 2, 3), (11, 11.5, 12)),
        (CURVE, "continue", "once", (1, 3), (11, 22)),
        (CURVE, "continue", "every", (1, 3), (11, 23.5)),
        (CURVE, "continue", "once", (3, 1, 3), (32, 11, 22)),
        (CURVE, "continue", "every", (2, 2, 3), (22.5, 22.5, 12)),
        (SPARSE, "restart", "once", (1, 3, 9), (11, 31, 91)),
        (SPARSE, "restart", "every", (1, 3, 9), (11, 33, 99)),
        (SPARSE, "continue", "once", (1, 3, 9), (11, 21, 61)),
        (SPARSE, "continue", "every", (1, 3, 9), (11, 22, 66)),
        (LATE, "restart", "once", (3, 9), (32, 92)),
        (LATE, "restart", "every", (3, 9), (36, 108)),
        (SEPARATE, "restart", "none", (4, 12), (40, 120)),
        (SEPARATE, "restart", "once", (4, 12), (42, 122)),
        (SEPARATE, "restart", "every", (4, 12), (48, 144)),
    ],
)
def test_validation_passes_are_charged(
    bench: TableBenchmark, resume: Any, validation: Any, epochs: Any, seconds: Any
) -> None:
    log = Log()
    proposals = [Proposal(CELLS[0], epoch) for epoch in epochs]
    protocol = Protocol(evaluations=9, resume=resume, validation=validation)
    run = run_search(scripted(proposals, log), bench, protocol)
    assert [o.seconds for o in log.told] == pytest.approx(seconds)
    assert run.seconds.tolist() == pytest.approx(np.cumsum(seconds).tolist())


@pytest.mark.parametrize(("seeds", "expected"), [("mean", 34.0), (7, 32.0), (8, 36.0)])
def test_a_validation_pass_is_that_of_the_training(seeds: Any, expected: float) -> None:
    bench = validated((1, 3), (10, 30), (1, 3), curve=True)
    training = bench._table.trainings["standard"]
    columns = {  # two trainings: validation of 1 s and of 2 s a pass, of 30 s and of 34 s in all
        name: column._replace(values=np.repeat(column.values, 2, axis=1).copy())
        for name, column in training.columns.items()
    }
    columns["eval_seconds"].values[:, 0] = (2, 6)
    columns["eval_seconds"].values[:, 1] = (2, 10)
    columns["train_seconds"].values[:, 0] = (10, 30)
    columns["train_seconds"].values[:, 1] = (10, 32)
    table = bench._table._replace(
        trainings={"standard": training._replace(columns=columns, seeds=(7, 8))}
    )
    log = Log()
    protocol = Protocol(evaluations=1, validation="once", seeds=seeds)
    run_search(
        scripted([CELLS[0]], log), TableBenchmark(table, bench.space, "sha256:toy"), protocol
    )
    assert [o.seconds for o in log.told] == pytest.approx([expected])


@pytest.mark.parametrize("validation", ["once", "every"])
def test_validation_passes_need_validation_times(validation: Any) -> None:
    protocol = Protocol(evaluations=5, validation=validation)
    with pytest.raises(
        InvalidArgumentError, match=r"nb201-cifar10 has no validation times.*'none'"
    ):
        run_search("random", "nb201-cifar10", protocol)
    with pytest.raises(
        InvalidArgumentError, match="toy-table has no training times, so validation"
    ):
        run_search("random", noisy_bench(), protocol)


# Forbidden repeats.


def test_forbidden_repeats_are_infeasible_and_free() -> None:
    log = Log()
    proposals = [CELLS[4], CELLS[5], CELLS[4], CELLS[4], CELLS[6]]
    protocol = Protocol(evaluations=9, repeats="forbid")
    run = run_search(scripted(proposals, log), noisy_bench(3, seconds=2.0), protocol)
    assert rows(run) == [4, 5, 6]
    assert (run.free, run.stop) == (2, "exhausted")
    assert run.seconds.tolist() == [2.0, 4.0, 6.0]
    assert [o.status for o in log.told] == ["ok", "ok", "infeasible", "infeasible", "ok"]
    assert [(o.score, o.seconds) for o in log.told[2:4]] == [(-np.inf, 0.0)] * 2


@pytest.mark.parametrize("resume", ["restart", "continue"])
def test_the_same_cell_at_another_epoch_is_not_forbidden(resume: Any) -> None:
    cell = SOME_CELLS[0]
    proposals = [Proposal(cell, epoch) for epoch in (1, 3, 1, None, 9, 3)]
    protocol = Protocol(evaluations=9, repeats="forbid", missing="masked", resume=resume)
    run = run_search(scripted(proposals), curves(), protocol)
    assert run.epochs.tolist() == [1, 3, 9]
    assert run.free == 3


def test_what_is_still_in_training_is_forbidden_at_once() -> None:
    # Worker A trains cell 0 until 5 s. Worker B is done with cell 1 at 1 s and then asks for cell 0.
    log = Log()
    proposals = [CELLS[0], CELLS[1], CELLS[0], CELLS[2]]
    protocol = Protocol(evaluations=3, workers=2, repeats="forbid")
    run = run_search(scripted(proposals, log), timed([5, 1, 1]), protocol)
    assert rows(run) == [1, 2, 0]
    assert run.seconds.tolist() == [1.0, 2.0, 5.0]
    told = [(o.architecture, o.status) for o in log.told]
    assert told.index((CELLS[0], "infeasible")) < told.index((CELLS[0], "ok"))


@given(seed=st.integers(0, 1000), workers=st.integers(1, 4))
def test_under_forbid_no_cell_is_evaluated_twice(seed: int, workers: int) -> None:
    protocol = Protocol(evaluations=20, repeats="forbid", workers=workers)
    run = run_search("random", noisy_bench(seconds=1.0), protocol, seed=seed)
    assert len(set(rows(run))) == len(rows(run)) == 20


def test_a_run_that_only_asks_for_forbidden_cells_is_stalled() -> None:
    protocol = Protocol(evaluations=10, repeats="forbid", patience=7)
    run = run_search(asks(lambda n: [Proposal(CELLS[0])]), noisy_bench(), protocol)
    assert (len(run.values), run.free, run.stop) == (1, 7, "stalled")


# The epoch that counts as full training while searching.


def test_a_search_ends_trainings_at_its_own_epoch() -> None:
    bench, log, cell = curves(), Log(), SOME_CELLS[0]
    proposals = [Proposal(cell), Proposal(cell, 3), Proposal(cell, 1)]
    protocol = Protocol(evaluations=9, epoch=3, missing="masked", repeats="reuse", seeds=777)
    run = run_search(scripted(proposals, log), bench, protocol)
    assert log.problem is not None
    assert log.problem.epochs == (1, 3)
    assert run.epochs.tolist() == [3, 1]  # the second is a repeat of the first
    answers = [bench.lookup(cell, epoch=epoch, seed=777) for epoch in (3, 1)]
    assert run.values.tolist() == [answer.value for answer in answers]
    assert run.seconds.tolist() == pytest.approx(np.cumsum([a.seconds for a in answers]).tolist())


def test_a_strategy_cannot_train_beyond_the_protocols_epoch() -> None:
    protocol = Protocol(evaluations=9, epoch=3, missing="masked")
    beyond = scripted([Proposal(SOME_CELLS[0], 9)])
    with pytest.raises(StrategyError, match=r"'scripted' proposed epoch 9; .* ends after epoch 3"):
        run_search(beyond, curves(), protocol)
    with pytest.raises(MissingValueError, match="no values at epoch 5"):
        run_search(scripted([Proposal(SOME_CELLS[0], 5)]), curves(), protocol)


@pytest.mark.parametrize("epoch", [0, 2, 10, -1, 3.0, "3", True], ids=repr)
def test_the_protocols_epoch_must_exist(epoch: Any) -> None:
    protocol = Protocol(evaluations=9, epoch=epoch, missing="masked")
    with pytest.raises(InvalidArgumentError, match="values after epoch 1, 3, 9") as caught:
        run_search("random", curves(), protocol)
    assert repr(epoch) in str(caught.value)


def test_strategies_with_fidelities_stay_below_the_protocols_epoch() -> None:
    protocol = Protocol(evaluations=40, epoch=3, missing="masked")
    run = run_search("successive-halving", "nb201-fashion", protocol)
    assert set(run.epochs.tolist()) <= {1, 2, 3}
    assert max(run.epochs) == 3


def test_a_comparison_at_an_earlier_epoch(toy_tables: Path, tmp_path: Path) -> None:
    assert toy_tables.is_dir()
    a, b, c = SOME_CELLS[:3]
    proposals = [Proposal(a), Proposal(b, 1), Proposal(c)]
    protocol = Protocol(
        evaluations=9, epoch=3, missing="masked", incumbent="full-training", seeds="mean"
    )
    results = compare(
        ["toy-curves"], [script(*proposals)], runs=1, out=tmp_path / "out", protocol=protocol
    )
    bench = load("toy-curves")
    assert results.benchmark("toy-curves")["epochs"] == [1, 3]
    trials = results.trials("toy-curves", "scripted")
    assert trials.epochs.tolist() == [3, 1, 3]
    # After the first and the second the incumbent is a, which alone was trained in full.
    which = run_incumbents(results, "toy-curves", trials).which.tolist()
    at_three = [bench.query(cell, epoch=3) for cell in (a, b, c)]
    assert which == [[0, 0, 2 if at_three[2] > at_three[0] else 0]]
    [row] = results.frame().to_dict("records")
    winner = max((a, c), key=lambda cell: bench.query(cell, epoch=3))
    assert row["observed"] == bench.query(winner, epoch=3)
    assert row["score"] == bench.query(winner)  # after epoch 9
    assert row["test_score"] == bench.query(winner, "test_score")


# Which training is searched on.


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    shelved(tmp_path / "home", two_trainings())
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "home"))
    return "toy-two"


@pytest.mark.parametrize(
    ("training", "epoch", "seconds"), [(None, 200, 100.0), (SHORT, 12, 10.0), (LONG, 200, 100.0)]
)
def test_the_training_that_is_searched_on(
    two: str, training: Any, epoch: int, seconds: float
) -> None:
    log = Log()
    protocol = Protocol(evaluations=9, training=training, missing="masked", seeds="mean")
    run = run_search(scripted(SCRIPT[:2], log), two, protocol)
    assert log.problem is not None
    assert log.problem.epochs == (epoch,)
    assert run.epochs.tolist() == [epoch] * 2
    assert run.seconds.tolist() == [seconds, 2 * seconds]
    assert run.values.tolist() == ([0.0, 1.0] if epoch == 12 else [1001.0, 1000.0])


def test_a_benchmark_must_have_been_loaded_with_the_protocols_training(two: str) -> None:
    protocol = Protocol(evaluations=9, training=SHORT, missing="masked")
    with pytest.raises(InvalidArgumentError, match=f"loaded with '{LONG}'. Load it with training="):
        run_search("random", load(two), protocol)
    assert len(run_search("random", load(two, training=SHORT), protocol).values) == 9


@pytest.mark.parametrize("field", ["training", "final_training"])
@pytest.mark.parametrize("label", ["12-epoch", "", 12], ids=repr)
def test_a_training_that_the_table_does_not_hold(two: str, field: str, label: Any) -> None:
    protocol = Protocol(evaluations=9, missing="masked")._replace(**{field: label})
    with pytest.raises(UnknownNameError, match=f"training of {two}") as caught:
        run_search("random", load(two), protocol)
    assert SHORT in str(caught.value)


# The strategy's own time. A clock that advances by one at every look makes each ask and each tell
# take one second.


@pytest.fixture
def one_second_each(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(range(1_000_000))
    monkeypatch.setattr(
        run_module, "time", SimpleNamespace(process_time=lambda: float(next(looks)))
    )


TWO_SECONDS = toy_bench(np.arange(24.0), seconds=2.0)
FOUR = [CELLS[i] for i in (3, 1, 4, 2)]


@pytest.mark.usefixtures("one_second_each")
@pytest.mark.parametrize(
    ("workers", "overhead", "ends"),
    [
        (1, "none", [2, 4, 6, 8]),
        (2, "none", [2, 2, 4, 4]),
        # ask 1 s, train 2 s: 3. Then tell 1 s, ask 1 s, train 2 s: 7, and so on.
        (1, "measured", [3, 7, 11, 15]),
        # Both start at 1 s and end at 3 s; while the strategy takes in the first and proposes anew
        # until 5 s, the second waits for it. The third has started at 5 s and ends at 7 s.
        (2, "measured", [3, 5, 7, 9]),
    ],
)
def test_the_clock_with_a_strategy_that_takes_time(
    workers: int, overhead: Any, ends: list[float]
) -> None:
    protocol = Protocol(evaluations=4, overhead=overhead, workers=workers)
    run = run_search(scripted(FOUR), TWO_SECONDS, protocol)
    assert run.seconds.tolist() == ends
    assert rows(run) == [3, 1, 4, 2]


@pytest.mark.usefixtures("one_second_each")
@pytest.mark.parametrize(
    ("budget", "overshoot", "ends"),
    [
        (6.9, "keep", [3, 7]),
        (6.9, "drop", [3]),
        (7.0, "drop", [3, 7]),
        (7.1, "keep", [3, 7, 11]),
        (
            4.5,
            "keep",
            [3, 7],
        ),  # proposing alone exceeded the budget: the last evaluation overshoots
        (4.5, "drop", [3]),
        (0.5, "drop", []),
    ],
)
def test_the_budget_holds_for_the_strategys_time_too(
    budget: float, overshoot: Any, ends: list[float]
) -> None:
    protocol = Protocol(seconds=budget, overhead="measured", overshoot=overshoot)
    run = run_search(scripted(FOUR), TWO_SECONDS, protocol)
    assert run.seconds.tolist() == ends
    assert run.stop == "budget"


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("strategy", ["random", "evolution", "reinforce"])
def test_measured_overhead_only_adds_to_the_clock(strategy: str, workers: int) -> None:
    bench = load("nb201-cifar10")
    plain, measured = (
        run_search(
            strategy,
            bench,
            Protocol(evaluations=60, overhead=overhead, workers=workers),
            seed=4,
        )
        for overhead in ("none", "measured")
    )
    assert all(later >= earlier for earlier, later in pairwise(measured.seconds))
    if workers == 1:
        assert plain.values.tolist() == measured.values.tolist()
        assert (measured.seconds >= plain.seconds).all()
        assert measured.seconds[-1] > plain.seconds[-1]
        assert measured.seconds[-1] - plain.seconds[-1] <= measured.cpu_seconds


def test_measured_overhead_needs_a_clock() -> None:
    protocol = Protocol(evaluations=5, overhead="measured")
    with pytest.raises(InvalidArgumentError, match=r"no training times, so there is no clock"):
        run_search("random", noisy_bench(), protocol)


# Interpolation and reported benchmarks, as far as a run is concerned.


def test_interpolation_is_about_a_budget_in_seconds() -> None:
    protocol = Protocol(evaluations=5, overshoot="interpolate")
    with pytest.raises(InvalidArgumentError, match=r"is about a budget in seconds; .* has none"):
        run_search("random", TWO_SECONDS, protocol)


def test_interpolation_keeps_the_last_evaluation() -> None:
    run = run_search(scripted(FOUR), TWO_SECONDS, Protocol(seconds=5.0, overshoot="interpolate"))
    assert run.seconds.tolist() == [2.0, 4.0, 6.0]


@pytest.mark.parametrize("report", ["nb201-cifar100", ["nb201-cifar100"], (1,), None], ids=repr)
def test_further_benchmarks_are_a_tuple_of_names(report: Any) -> None:
    protocol = Protocol(evaluations=5)._replace(report=report)
    with pytest.raises(InvalidArgumentError, match="report must be a tuple of names"):
        run_search("random", noisy_bench(), protocol)
