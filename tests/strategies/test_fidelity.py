"""What all strategies that train for fewer epochs first have in common, and what they do with bad input."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search.toys import SOME_CELLS, ToySpace, curves, rows, same_run, toy_bench

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Metric, Observation, Problem, Proposal, Protocol, Run
from nasbench_tab.registry import load_strategy
from nasbench_tab.search.run import run_search
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.strategies.base import rounded_epoch
from nasbench_tab.testing import check_strategy

NAMES = ["hyperband", "bohb", "dehb", "freeze-thaw"]
METRIC = Metric("score", "valid", "max", "points")
#: 24 cells, the value of epoch e is the row number + e / 10, a second for each epoch.
CURVES = toy_bench(
    np.arange(24.0)[:, None, None] + np.arange(1, 10) / 10,
    seconds=np.arange(1.0, 10.0)[None, None, :],
    curve=True,
)
each = pytest.mark.parametrize("name", NAMES)


def started(name: str, problem: Problem, seed: int = 0, **options: Any) -> Any:
    return load_strategy(name)(problem, np.random.default_rng(seed), **options)


@pytest.mark.parametrize(
    ("epochs", "asked", "expected"),
    [
        ((1, 4, 12), 1.33, 1),
        ((1, 4, 12), 4, 4),
        ((1, 4, 12), 3.999, 1),
        ((1, 4, 12), 0.2, 1),  # never below the first
        ((1, 4, 12), -3, 1),
        ((1, 4, 12), 1e9, 12),
        ((1, 4, 12), float("inf"), 12),
        ((12, 200), 11.99, 12),
        ((12, 200), 22.2, 12),
        ((200,), 66.7, 200),
        ((1, 2, 3), 27 * 3**-2.0, 3),
        ((1, 2, 3, 4, 5), np.float64(5) / 3, 1),
        (tuple(range(1, 101)), 100 * (1 / 3) * 3, 100),
        ((1, 2, 3), 3 * (1 - 1e-15), 3),  # what arithmetic may leave of 3
    ],
)
def test_epochs_between_the_measured_ones_are_rounded_down(
    epochs: tuple[int, ...], asked: float, expected: int
) -> None:
    assert rounded_epoch(epochs, asked) == expected


@given(st.sets(st.integers(1, 400), min_size=1).map(sorted), st.floats(-10, 500))
def test_rounding_is_to_the_last_epoch_not_after(epochs: list[int], asked: float) -> None:
    before = [epoch for epoch in epochs if epoch <= asked * (1 + 1e-9)]
    assert rounded_epoch(epochs, asked) == (before[-1] if before else epochs[0])
    assert all(rounded_epoch(epochs, epoch) == epoch for epoch in epochs)


@pytest.mark.parametrize("asked", [float("nan"), None, "3", True, [1]], ids=repr)
def test_what_is_no_number_of_epochs(asked: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="Expected a number of epochs; got"):
        rounded_epoch((1, 2), asked)


def test_the_cost_of_a_rounded_epoch_is_its_own() -> None:
    def propose(problem: Problem, rng: Any, history: list[Observation]) -> Proposal:
        return Proposal(
            (0, 0, len(history)), rounded_epoch(problem.epochs, 1.33 * 3 ** len(history))
        )

    run = run_search(propose, CURVES, Protocol(evaluations=2))
    assert run.epochs.tolist() == [1, 3]
    assert run.seconds.tolist() == [1, 1 + 3]


@each
@pytest.mark.parametrize("repeats", ["pay", "reuse"])
@pytest.mark.parametrize("resume", ["restart", "continue"])
@pytest.mark.parametrize("workers", [1, 4, 50])
def test_runs_spend_their_budget(name: str, repeats: Any, resume: Any, workers: int) -> None:
    """With one worker, and with more than any rung has places."""
    protocol = Protocol(
        evaluations=40, repeats=repeats, resume=resume, workers=workers, missing="masked"
    )
    run = run_search(name, curves(), protocol)
    if run.stop == "budget":
        assert len(run.values) == 40
    else:  # 23 cells: all that it wants to see was seen, and costs nothing
        assert (run.stop, repeats) == ("stalled", "reuse")
    assert set(run.epochs.tolist()) <= {1, 3, 9}
    assert run.epochs.max() == 9 or workers == 50
    assert SOME_CELLS[-1] not in set(map(tuple, run.architectures.tolist()))  # never measured
    assert same_run(run, run_search(name, curves(), protocol))


@each
@pytest.mark.parametrize("workers", [0, -1, 2.5, True])
def test_no_workers(name: str, workers: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="workers must be a positive integer; got"):
        run_search(name, CURVES, Protocol(evaluations=5, workers=workers))


@each
@pytest.mark.parametrize("repeats", ["pay", "reuse", "forbid"])
@pytest.mark.parametrize("workers", [1, 7])
@pytest.mark.parametrize("choices", [(1, 1), (2, 1, 1), (2, 2)])
def test_a_space_smaller_than_a_bracket(
    name: str, repeats: Any, workers: int, choices: tuple[int, ...]
) -> None:
    space = ToySpace(choices)
    size = space.size or 0
    bench = toy_bench(
        np.arange(size)[:, None, None] + np.arange(1, 10) / 10,
        space=space,
        seconds=np.arange(1.0, 10.0)[None, None, :],
        curve=True,
    )
    run = run_search(name, bench, Protocol(evaluations=30, repeats=repeats, workers=workers))
    if repeats == "pay":
        assert (run.stop, len(run.values)) == ("budget", 30)
        return
    asked = [
        (bytes(cell), epoch) for cell, epoch in zip(run.architectures, run.epochs, strict=True)
    ]
    assert len(set(asked)) == len(asked) >= 1
    assert run.stop in ("budget", "stalled")


@each
@pytest.mark.parametrize("workers", [1, 5])
def test_a_benchmark_of_one_epoch(name: str, workers: int) -> None:
    bench = toy_bench(np.arange(24.0), seconds=np.full(24, 2.0), epochs=(200,))
    run = run_search(name, bench, Protocol(evaluations=60, workers=workers))
    assert len(run.values) == 60
    assert set(run.epochs.tolist()) == {200}
    assert len(set(rows(run))) > 5


@each
def test_two_epochs_far_apart(name: str) -> None:
    bench = toy_bench(np.arange(48.0).reshape(24, 1, 2), epochs=(12, 200))
    run = run_search(name, bench, Protocol(evaluations=60))
    assert set(run.epochs.tolist()) == {12, 200}  # without times, too


@each
@pytest.mark.parametrize("repeats", ["pay", "reuse", "forbid"])
@pytest.mark.parametrize("workers", [1, 5])
def test_cells_beyond_a_limit(name: str, repeats: Any, workers: int) -> None:
    bench = toy_bench(
        np.arange(24.0)[:, None, None] + np.arange(1, 10) / 10, static={"size": np.arange(24.0)}
    )
    protocol = Protocol(
        evaluations=30, limits=(("size", 11.5),), repeats=repeats, workers=workers, patience=300
    )
    run = run_search(name, bench, protocol)
    assert max(rows(run)) <= 11
    assert run.free > 0
    assert len(run.values) == 30 or (repeats != "pay" and len(run.values) >= 12)


@each
def test_nothing_is_feasible(name: str) -> None:
    bench = toy_bench(CURVES_OF_ONE, static={"size": np.ones(24)})
    run = run_search(name, bench, Protocol(evaluations=5, limits=(("size", 0.0),), patience=50))
    assert (len(run.values), run.stop) == (0, "stalled")


CURVES_OF_ONE = np.ones((24, 1, 9))


@each
@pytest.mark.parametrize("workers", [1, 6])
def test_all_scores_equal(name: str, workers: int) -> None:
    bench = toy_bench(CURVES_OF_ONE, seconds=np.arange(1.0, 10.0)[None, None, :], curve=True)
    run = run_search(name, bench, Protocol(evaluations=80, workers=workers, resume="continue"))
    assert len(run.values) == 80


@each
def test_the_contract_on_learning_curves(name: str) -> None:
    check_strategy(name, CURVES)


@each
@pytest.mark.parametrize("workers", [1, 4])
def test_a_continued_training_pays_only_what_is_new(name: str, workers: int) -> None:
    told: list[Observation] = []

    class Watched(load_strategy(name)):  # type: ignore[misc]
        def tell(self, observations: Any) -> None:
            told.extend(observations)
            super().tell(observations)

    bench = toy_bench(
        np.random.default_rng(5).random((4096, 1, 9)),
        space=ToySpace((4,) * 6),
        seconds=np.arange(1.0, 10.0)[None, None, :],
        curve=True,
    )
    protocol = Protocol(evaluations=60, workers=workers, resume="continue", repeats="reuse")
    run_search(Watched, bench, protocol)
    done: Counter[Any] = Counter()
    went_on = 0
    for cell, epoch, _, seconds, status in told:
        if status == "ok":
            assert seconds == epoch - done[cell]
            went_on += done[cell] > 0
            done[cell] = epoch
    assert went_on > 0


@each
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eta": 1}, "eta to be a whole number of at least 2"),
        ({"eta": 3.0}, "eta to be a whole number"),
        ({"least": 0}, "least to be a whole number of at least 1"),
        ({"least": 10}, "least to be at most 9, the last epoch here; got 10"),
    ],
)
def test_settings_that_cannot_be(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{name} needs {message}"):
        started(name, Problem(NasBench201(), METRIC, tuple(range(1, 10))), **options)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("bohb", "num_samples", 0),
        ("bohb", "random_fraction", -0.1),
        ("bohb", "random_fraction", 1.1),
        ("bohb", "bandwidth_factor", float("nan")),
        ("bohb", "min_bandwidth", "wide"),
        ("dehb", "mutation_factor", -1.0),
        ("dehb", "crossover", 1.5),
        ("freeze-thaw", "initial", 4),
        ("freeze-thaw", "basket", 0),
    ],
)
def test_settings_of_one_that_cannot_be(name: str, option: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{name} needs {option} to be a"):
        started(name, Problem(NasBench201(), METRIC, (1, 2, 3)), **{option: value})


def spent(run: Run) -> float:
    return float(run.seconds[-1])


def test_free_workers_shorten_a_search() -> None:
    """Eight workers need more than an eighth of the time, but not much more."""
    for name in NAMES:
        one, eight = (
            spent(run_search(name, CURVES, Protocol(evaluations=200, workers=workers)))
            for workers in (1, 8)
        )
        assert 1 / 8 <= eight / one < 1 / 4, name
