"""Successive halving: brackets of rungs, each complete before the next, the best part goes on."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.toys import SOME_CELLS, ToySpace, curves, rows, same_run, toy_bench

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, Metric, Observation, Problem, Proposal, Protocol
from nasbench_tab.search.run import run_search
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.strategies.random_search import RandomSearch
from nasbench_tab.strategies.successive_halving import SuccessiveHalving, rung_epochs
from nasbench_tab.testing import check_strategy

METRIC = Metric("score", "valid", "max", "points")
CELL = NasBench201()
NINE = tuple(range(1, 10))
#: All in one: 24 cells, the value of epoch e is the row number + e / 10, a second for each epoch.
CURVES = toy_bench(
    np.arange(24.0)[:, None, None] + np.arange(1, 10) / 10,
    seconds=np.arange(1.0, 10.0)[None, None, :],
    curve=True,
)


def started(
    epochs: tuple[int, ...] = NINE, space: Space = CELL, seed: int = 0, **options: Any
) -> SuccessiveHalving:
    return SuccessiveHalving(Problem(space, METRIC, epochs), np.random.default_rng(seed), **options)


def answers(
    proposals: list[Proposal], scores: list[float], status: Any = "ok"
) -> list[Observation]:
    pairs = zip(proposals, scores, strict=True)
    return [Observation(cell, epoch or 0, score, 1.0, status) for (cell, epoch), score in pairs]


def epochs_of(proposals: list[Proposal]) -> list[int | None]:
    return [proposal.epoch for proposal in proposals]


@pytest.mark.parametrize(
    ("epochs", "least", "eta", "expected"),
    [
        (NINE, 1, 3, [1, 3, 9]),
        (NINE, 2, 3, [2, 6, 9]),
        (NINE, 9, 3, [9]),
        (NINE, 1, 2, [1, 2, 4, 8, 9]),
        (NINE, 1, 100, [1, 9]),
        ((200,), 1, 3, [200]),
        ((12, 200), 1, 3, [12, 200]),
        ((12, 200), 13, 3, [200]),
        ((1, 4, 12), 1, 3, [1, 4, 12]),
        ((2, 5, 50), 1, 3, [2, 5, 50]),
        (tuple(range(1, 201)), 1, 3, [1, 3, 9, 27, 81, 200]),
        (tuple(range(1, 257)), 1, 4, [1, 4, 16, 64, 256]),
    ],
)
def test_rungs_are_rounded_up_to_epochs_that_exist(
    epochs: tuple[int, ...], least: int, eta: int, expected: list[int]
) -> None:
    assert rung_epochs("x", epochs, least, eta) == expected


@given(
    st.sets(st.integers(1, 300), min_size=1).map(sorted),
    st.integers(1, 300),
    st.integers(2, 9),
)
def test_rungs_ascend_from_least_to_the_full_training(
    epochs: list[int], least: int, eta: int
) -> None:
    least = min(least, epochs[-1])
    rungs = rung_epochs("x", epochs, least, eta)
    assert rungs == sorted(set(rungs))
    assert set(rungs) <= set(epochs)
    assert rungs[-1] == epochs[-1]
    assert rungs[0] == min(epoch for epoch in epochs if epoch >= least)


def test_a_bracket_worked_by_hand() -> None:
    strategy = started(configurations=9)
    first = strategy.ask(20)
    assert epochs_of(first) == [1] * 9
    assert strategy.ask(5) == []
    strategy.tell(answers(first[:8], [10, 80, 30, 40, 70, 60, 20, 50]))
    assert strategy.ask(5) == []  # one is still in training
    strategy.tell(answers(first[8:], [75]))
    second = strategy.ask(2) + strategy.ask(2)
    assert second == [Proposal(first[i].architecture, 3) for i in (1, 8, 4)]
    strategy.tell(answers(second, [81, 85, 83])[::-1])
    third = strategy.ask(1)
    assert third == [Proposal(first[8].architecture, 9)]
    again = strategy.ask(20)  # nobody waits for the last rung
    assert epochs_of(again) == [1] * 9
    assert again != first
    strategy.tell(answers(third, [99]))
    assert strategy.ask(1) == []
    strategy.tell(answers(again, list(range(9))))
    assert strategy.ask(9) == [Proposal(again[i].architecture, 3) for i in (8, 7, 6)]


@pytest.mark.parametrize(
    ("epochs", "options", "expected"),
    [
        (NINE, {}, {1: 9, 3: 3, 9: 1}),
        (tuple(range(1, 82)), {}, {1: 81, 3: 27, 9: 9, 27: 3, 81: 1}),
        (NINE, {"configurations": 27}, {1: 27, 3: 9, 9: 3}),
        (NINE, {"configurations": 10}, {1: 10, 3: 3, 9: 1}),
        (NINE, {"configurations": 5}, {1: 5, 9: 1}),  # a sole survivor goes on at once
        (NINE, {"configurations": 1}, {1: 1, 9: 1}),
        (NINE, {"configurations": 20, "eta": 2}, {1: 20, 2: 10, 4: 5, 8: 2, 9: 1}),
        (NINE, {"least": 3}, {3: 3, 9: 1}),
        ((12, 200), {}, {12: 3, 200: 1}),
        ((12, 200), {"configurations": 12, "eta": 4}, {12: 12, 200: 3}),
        ((200,), {"configurations": 27}, {200: 27}),
        ((200,), {}, {200: 1}),
    ],
)
def test_the_sizes_of_the_rungs(
    epochs: tuple[int, ...], options: dict[str, Any], expected: dict[int, int]
) -> None:
    strategy, scores = started(epochs, **options), np.random.default_rng(0)
    for _ in range(3):
        counts: Counter[int | None] = Counter()
        while counts.total() < sum(expected.values()):
            proposals = strategy.ask(1)
            assert len(proposals) == 1
            counts.update(epochs_of(proposals))
            strategy.tell(answers(proposals, [float(scores.random())]))
        assert counts == expected


@settings(max_examples=60)
@given(st.data())
def test_the_best_of_each_rung_go_on(data: st.DataObject) -> None:
    """Whatever the order, the ties and the batches: a bracket is a chain of sorts."""
    eta, size = data.draw(st.integers(2, 4)), data.draw(st.integers(1, 30))
    strategy = started(eta=eta, configurations=size, seed=data.draw(st.integers(0, 99)))
    rungs = rung_epochs("x", NINE, 1, eta)
    flight: list[Proposal] = []
    finished: dict[int, list[tuple[float, Architecture]]] = {epoch: [] for epoch in rungs}
    proposed: dict[int, list[Architecture]] = {epoch: [] for epoch in rungs}
    while len(proposed[9]) < 1 or flight:
        fresh = [] if proposed[9] else strategy.ask(data.draw(st.integers(1, 8)))
        for cell, epoch in fresh:
            if epoch == 1 and proposed[9]:
                break  # the next bracket
            assert epoch is not None
            proposed[epoch].append(cell)
            flight.append(Proposal(cell, epoch))
        assert flight
        done = flight.pop(data.draw(st.integers(0, len(flight) - 1)))
        score = float(data.draw(st.integers(0, 5)))
        strategy.tell(answers([done], [score]))
        assert done.epoch is not None
        finished[done.epoch].append((score, done.architecture))
    used = [epoch for epoch in rungs if proposed[epoch]]
    assert len(proposed[1]) == size
    for lower, upper in pairwise(used):
        ranked = sorted(finished[lower], key=lambda entry: -entry[0])
        kept = [cell for _, cell in ranked[: max(1, len(ranked) // eta)]]
        assert proposed[upper] == kept[: len(proposed[upper])]
        assert upper == 9 or len(proposed[upper]) == len(kept)


def test_of_equal_scores_the_first_to_finish_goes_on() -> None:
    strategy = started(configurations=9)
    first = strategy.ask(9)
    order = [first[i] for i in (4, 0, 7, 1, 2, 3, 5, 6, 8)]
    strategy.tell(answers(order, [50.0] * 9))
    assert [p.architecture for p in strategy.ask(9)] == [p.architecture for p in order[:3]]


def test_on_one_epoch_it_is_random_search() -> None:
    strategy = started((200,), configurations=27)
    drawn = [strategy.ask(n) for n in (1, 7, 30, 62)]
    plain = RandomSearch(Problem(CELL, METRIC, (200,)), np.random.default_rng(0)).ask(100)
    cells = [proposal.architecture for batch in drawn for proposal in batch]
    assert cells == [proposal.architecture for proposal in plain]
    assert {proposal.epoch for batch in drawn for proposal in batch} == {200}


def test_an_infeasible_cell_is_replaced_and_never_goes_on() -> None:
    strategy = started(configurations=9)
    first = strategy.ask(9)
    strategy.tell(answers(first[:6], [-np.inf] * 6, "infeasible"))
    others = strategy.ask(9)
    assert epochs_of(others) == [1] * 6
    strategy.tell(answers(others[:1], [-np.inf], "infeasible"))
    others = others[1:] + strategy.ask(9)
    strategy.tell(answers(first[6:], [1.0, 2.0, 3.0]))
    strategy.tell(answers(others, [-1e300] * 6))
    expected = [Proposal(first[i].architecture, 3) for i in (8, 7, 6)]
    assert strategy.ask(9) == expected


def test_the_same_answer_again_counts_once() -> None:
    strategy = started(space=ToySpace((1, 1, 1)), configurations=9)  # there is but one cell
    first = strategy.ask(9)
    strategy.tell(answers(first[:1], [5.0]) + answers(first[1:], [5.0] * 8, "repeat"))
    assert strategy.ask(9)[:2] == [Proposal((0, 0, 0), 9), Proposal((0, 0, 0), 1)]


def test_the_answer_of_an_earlier_bracket_counts() -> None:
    strategy = started(configurations=9)
    first = strategy.ask(9)
    strategy.tell(answers(first, list(range(9)), "repeat"))
    assert strategy.ask(9) == [Proposal(first[i].architecture, 3) for i in (8, 7, 6)]


def test_two_trainings_of_a_cell_are_two_entries() -> None:
    strategy = started(space=ToySpace((1, 1, 1)), configurations=9)
    strategy.tell(answers(strategy.ask(9), list(range(9))))
    assert strategy.ask(9) == [Proposal((0, 0, 0), 3)] * 3


def test_a_masked_space() -> None:
    kept = [(0, 0, 0), (1, 2, 3)]
    strategy = started(space=MaskedSpace(ToySpace(), kept))
    proposals = strategy.ask(9)
    strategy.tell(answers(proposals, list(range(9))))
    assert {cell for cell, _ in proposals + strategy.ask(9)} == set(kept)


@pytest.mark.parametrize("repeats", ["pay", "reuse"])
@pytest.mark.parametrize("resume", ["restart", "continue"])
@pytest.mark.parametrize("workers", [1, 4, 8])
def test_runs_spend_their_budget(repeats: Any, resume: Any, workers: int) -> None:
    protocol = Protocol(
        evaluations=40, repeats=repeats, resume=resume, workers=workers, missing="masked"
    )
    run = run_search("successive-halving", curves(), protocol)
    assert run.stop == "budget"
    assert len(run.values) == 40
    assert set(run.epochs.tolist()) == {1, 3, 9}
    assert same_run(run, run_search("successive-halving", curves(), protocol))


def test_eight_workers_make_the_same_bracket_as_one_in_less_time() -> None:
    runs = [
        run_search(
            "successive-halving(configurations=18)",
            CURVES,
            Protocol(evaluations=26, workers=workers),
        )
        for workers in (1, 8)
    ]
    one, many = (Counter(zip(rows(run), run.epochs.tolist(), strict=True)) for run in runs)
    assert one == many
    assert Counter(runs[0].epochs.tolist()) == {1: 18, 3: 6, 9: 2}
    assert runs[0].seconds[-1] == 18 * 1 + 6 * 3 + 2 * 9
    assert runs[1].seconds[-1] == 3 * 1 + 1 * 3 + 1 * 9


def test_the_limits_of_a_protocol() -> None:
    bench = toy_bench(
        np.arange(24.0)[:, None, None] + np.arange(1, 10) / 10, static={"size": np.arange(24.0)}
    )
    protocol = Protocol(evaluations=60, limits=(("size", 11.5),))
    run = run_search("successive-halving(configurations=9)", bench, protocol)
    assert max(rows(run)) <= 11
    assert run.free > 0
    assert Counter(run.epochs[:39].tolist()) == {1: 27, 3: 9, 9: 3}


@pytest.mark.parametrize("workers", [1, 4])
def test_a_continued_training_pays_only_what_is_new(workers: int) -> None:
    """Each cell once, so that nothing but the promotions can be a training seen before."""
    seeds = 3
    values = np.random.default_rng(5).random((24, seeds, 9))
    bench = toy_bench(values, seconds=np.arange(1.0, 10.0)[None, None, :], curve=True)
    told: list[Observation] = []

    class Watched(SuccessiveHalving):
        def tell(self, observations: Any) -> None:
            told.extend(observations)
            super().tell(observations)

    protocol = Protocol(evaluations=13, workers=workers, resume="continue", repeats="reuse")
    run = run_search(Watched, bench, protocol)
    cells, epochs = rows(run), run.epochs.tolist()
    seed_of: dict[int, int] = {}
    done: dict[int, int] = {}
    paid = [o for o in told if o.status == "ok"]
    assert len(paid) == 13
    for cell, epoch, seed, observation in zip(cells, epochs, run.seeds, paid, strict=True):
        assert seed_of.setdefault(cell, seed) == seed
        assert observation.epoch == epoch
        assert observation.seconds == epoch - done.get(cell, 0)
        done[cell] = epoch
    assert max(epochs) == 9
    assert sum(o.seconds for o in paid) == sum(done.values())
    if workers == 1:
        assert run.seconds[-1] == sum(done.values())


def test_the_contract_on_learning_curves() -> None:
    check_strategy("successive-halving", CURVES)
    check_strategy("successive-halving(configurations=27, eta=2)", CURVES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eta": 1}, "eta to be a whole number of at least 2"),
        ({"eta": 3.0}, "eta to be a whole number"),
        ({"configurations": 0}, "configurations to be a whole number of at least 1"),
        ({"configurations": "9"}, "configurations to be a whole number"),
        ({"least": 0}, "least to be a whole number of at least 1"),
        ({"least": None}, "least to be a whole number"),
        ({"least": 10}, "least to be at most 9, the last epoch here; got 10"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"successive-halving needs {message}"):
        started(**options)


def test_measured_cells_only() -> None:
    protocol = Protocol(evaluations=30, missing="masked")
    run = run_search("successive-halving", curves(), protocol)
    assert SOME_CELLS[-1] not in set(map(tuple, run.architectures.tolist()))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("strategy", ["successive-halving(configurations=60)", "hyperband", "bohb"])
def test_a_bracket_with_more_places_than_cells_goes_on(strategy: str, workers: int) -> None:
    bench = curves_of(4)
    protocol = Protocol(evaluations=12, repeats="forbid", workers=workers)
    run = run_search(strategy, bench, protocol)
    assert 9 in run.epochs  # a cell was trained fully
    first = np.flatnonzero(run.epochs == 1)
    assert len(first) == 4


def curves_of(n: int) -> Any:
    """Return ``n`` cells of nine epochs each, fewer than a bracket has places."""
    return toy_bench(
        np.arange(float(n))[:, None, None] + np.arange(1, 10) / 10,
        space=ToySpace((n,)),
        seconds=np.arange(1.0, 10.0)[None, None, :],
        curve=True,
    )


def test_infeasible_draws_are_replaced_while_others_are_found() -> None:
    strategy = started(configurations=9)
    for _ in range(9):  # far more than five brackets full, but none of them in a row
        for _ in range(40):
            strategy.tell(answers(strategy.ask(1), [-np.inf], "infeasible"))
        strategy.tell(answers(strategy.ask(1), [1.0]))
    assert epochs_of(strategy.ask(3)) == [3, 3, 3]
