"""A strategy says what its own work takes: the clock moves on by it, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import StrategyError
from nasbench_tab.records import CostedProposal, Proposal, Protocol
from nasbench_tab.search.run import run_search

from .toys import asks, same_run

BENCH = "nb201-cifar10"
CELLS = [(3, 3, 3, 3, 3, i) for i in range(5)]


def asking(*proposals: Any) -> Any:
    left = list(proposals)[::-1]
    return asks(lambda n: [left.pop() for _ in range(min(n, len(left)))])


def seconds(*proposals: Any, **options: Any) -> Any:
    return run_search(asking(*proposals), BENCH, Protocol(evaluations=50, seeds="mean", **options))


def test_it_is_added_before_the_training_begins() -> None:
    plain = seconds(*map(Proposal, CELLS))
    costed = seconds(*(CostedProposal(cell, None, 100.0) for cell in CELLS))
    np.testing.assert_allclose(costed.seconds, plain.seconds + 100.0 * np.arange(1, 6))
    assert np.array_equal(costed.values, plain.values)


def test_nothing_is_the_same_as_a_plain_proposal() -> None:
    plain = seconds(*map(Proposal, CELLS), workers=2)
    assert same_run(seconds(*(CostedProposal(c, None, 0.0) for c in CELLS), workers=2), plain)
    assert same_run(seconds(*((cell, None) for cell in CELLS), workers=2), plain)


def test_what_is_free_otherwise_still_costs_the_work() -> None:
    once = seconds(Proposal(CELLS[0]), Proposal(CELLS[1]), repeats="reuse")
    again = seconds(
        Proposal(CELLS[0]),
        CostedProposal(CELLS[0], None, 70.0),
        Proposal(CELLS[1]),
        repeats="reuse",
    )
    assert again.free == 1
    np.testing.assert_allclose(again.seconds, once.seconds + np.array([0.0, 70.0]))


def test_every_worker_waits_for_it() -> None:
    long, short = (3, 3, 3, 3, 3, 3), (0, 0, 0, 0, 0, 0)
    plain = seconds(Proposal(short), Proposal(long), workers=2)
    costed = seconds(Proposal(short), CostedProposal(long, None, 1e6), workers=2)
    # The second worker begins a million seconds later; the first one's end is noticed after that.
    assert costed.seconds[0] == 1e6
    assert costed.seconds[1] == pytest.approx(plain.seconds[1] + 1e6)
    assert (np.diff(costed.seconds) >= 0).all()


def test_the_work_alone_can_spend_the_budget() -> None:
    script = asks(lambda n: [CostedProposal(CELLS[0], None, 5e4)] * n)
    for workers in (1, 8):  # the last one overshoots, and no other one begins
        run = run_search(script, BENCH, Protocol(seconds=1e5, workers=workers))
        assert len(run.values) == 2
        assert run.stop == "budget"
    dropped = run_search(script, BENCH, Protocol(seconds=1e5, overshoot="drop"))
    assert len(dropped.values) == 1


def test_a_plain_function_may_say_it_too() -> None:
    def propose(problem: Any, rng: Any, history: Any) -> Any:
        return CostedProposal(CELLS[len(history) % 5], None, 10.0)

    run = run_search(propose, BENCH, Protocol(evaluations=3, seeds="mean"))
    plain = seconds(*map(Proposal, CELLS[:3]))
    np.testing.assert_allclose(run.seconds, plain.seconds + np.array([10.0, 20.0, 30.0]))


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "3", None, True])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(StrategyError, match="'odd-one' declared extra_seconds="):
        seconds(CostedProposal(CELLS[0], None, value))


def test_a_plain_triple_is_no_proposal() -> None:
    with pytest.raises(StrategyError, match=r"'odd-one' must propose Proposal\(architecture"):
        seconds((CELLS[0], None, 5.0))
