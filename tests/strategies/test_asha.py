"""ASHA: a cell goes on as soon as it is among the best part of its rung; nobody waits."""

from __future__ import annotations

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
from nasbench_tab.strategies.asha import Asha
from nasbench_tab.strategies.base import StrategySpec
from nasbench_tab.strategies.random_search import RandomSearch
from nasbench_tab.testing import check_strategy

METRIC = Metric("score", "valid", "max", "points")
CELL = NasBench201()
FOUR = (1, 2, 4, 8)
#: 24 cells, the value of epoch e is the row number + e / 10, a second for each epoch.
CURVES = toy_bench(
    np.arange(24.0)[:, None, None] + np.arange(1, 10) / 10,
    seconds=np.arange(1.0, 10.0)[None, None, :],
    curve=True,
)


def started(
    epochs: tuple[int, ...] = FOUR, space: Space = CELL, seed: int = 0, **options: Any
) -> Asha:
    return Asha(Problem(space, METRIC, epochs), np.random.default_rng(seed), **options)


def answer(proposal: Proposal, score: float, status: Any = "ok") -> Observation:
    assert proposal.epoch is not None
    return Observation(proposal.architecture, proposal.epoch, score, 1.0, status)


def answered(strategy: Asha, score: float) -> Proposal:
    """Ask for one, answer it with ``score`` and return it."""
    [proposal] = strategy.ask(1)
    strategy.tell([answer(proposal, score)])
    return proposal


class PlainAsha:
    """Algorithm 2 of the paper in plain words: lists that are sorted each time."""

    def __init__(self, rungs: list[int], eta: int) -> None:
        self.rungs, self.eta = rungs, eta
        self.finished: dict[int, list[tuple[float, int, Architecture]]] = {e: [] for e in rungs}
        self.promoted: dict[int, set[int]] = {e: set() for e in rungs}

    def top(self, epoch: int) -> list[tuple[float, int, Architecture]]:
        ranked = sorted(self.finished[epoch], key=lambda entry: (-entry[0], entry[1]))
        return ranked[: len(ranked) // self.eta]

    def promotion(self) -> Proposal | None:
        for k in range(len(self.rungs) - 2, -1, -1):
            epoch = self.rungs[k]
            for _, number, cell in self.top(epoch):
                if number not in self.promoted[epoch]:
                    self.promoted[epoch].add(number)
                    return Proposal(cell, self.rungs[k + 1])
        return None

    def enter(self, proposal: Proposal, score: float) -> None:
        assert proposal.epoch is not None
        rung = self.finished[proposal.epoch]
        rung.append((score, len(rung), proposal.architecture))


def test_promotions_worked_by_hand() -> None:
    strategy = started(eta=2)
    a, b = answered(strategy, 10), answered(strategy, 20)
    assert answered(strategy, 21) == Proposal(b.architecture, 2)  # the best of two
    c, d = answered(strategy, 30), answered(strategy, 5)
    # Three were in when d was asked for, so there was one place: for c, not yet for anyone else.
    assert (c.epoch, d) == (1, Proposal(c.architecture, 2))
    # Rung 2 holds b (21) and c (5).
    assert answered(strategy, 22) == Proposal(b.architecture, 4)
    e = answered(strategy, 1)
    assert e.epoch == 1
    # Rung 1: c 30, b 20, a 10, e 1; its two places are c's and b's.
    f = answered(strategy, 15)
    assert f.epoch == 1
    # c 30, b 20, f 15, a 10, e 1: still two places.
    g = answered(strategy, 0)
    assert g.epoch == 1
    # Of six the third is f.
    assert answered(strategy, 6) == Proposal(f.architecture, 2)
    assert len({a, b, c, e, f, g}) == 6


def test_more_than_a_part_may_be_promoted_as_better_ones_come_later() -> None:
    """The price of not waiting; the paper bounds it by about the square root of the rung."""
    strategy = started((1, 8), eta=2)
    promoted = 0
    for score in range(40):  # each is better than all before
        while answered(strategy, float(score)).epoch == 8:
            promoted += 1
    assert promoted > 40 // 2


@settings(max_examples=80)
@given(st.data())
def test_it_is_the_published_algorithm(data: st.DataObject) -> None:
    """Any order of answers, ties, any number of workers."""
    eta, seed = data.draw(st.integers(2, 4)), data.draw(st.integers(0, 99))
    levels = data.draw(st.integers(1, 100))
    scores = np.random.default_rng(seed).integers(0, levels, 500).tolist()
    rungs = {2: [1, 2, 4, 8], 3: [1, 4, 8], 4: [1, 4, 8]}[eta]
    strategy, plain = started(eta=eta, seed=seed), PlainAsha(rungs, eta)
    flight: list[Proposal] = []
    for step in range(data.draw(st.integers(1, 150))):
        for proposal in strategy.ask(data.draw(st.integers(0, 3)) if flight else 1):
            assert proposal.epoch in rungs
            expected = plain.promotion()
            assert proposal == expected or (expected is None and proposal.epoch == 1)
            flight.append(proposal)
        done = flight.pop(data.draw(st.integers(0, len(flight) - 1)))
        plain.enter(done, float(scores[step]))
        strategy.tell([answer(done, float(scores[step]))])


@settings(max_examples=60)
@given(
    eta=st.integers(2, 5),
    scores=st.lists(st.integers(0, 20), min_size=1, max_size=200),
)
def test_each_promotion_is_within_the_best_part_at_that_moment(eta: int, scores: list[int]) -> None:
    strategy = started((1, 8), eta=eta)
    finished: list[tuple[float, Architecture]] = []
    promoted: list[Architecture] = []
    for score in scores:
        [proposal] = strategy.ask(1)
        best = [cell for _, cell in sorted(finished, key=lambda entry: -entry[0])]
        best = best[: len(finished) // eta]
        if proposal.epoch == 8:
            assert proposal.architecture in best
            promoted.append(proposal.architecture)
        else:
            assert set(best) <= set(promoted)  # nobody is left to promote
            finished.append((score, proposal.architecture))
        strategy.tell([answer(proposal, float(score))])
    most = {cell: sum(cell == other for _, other in finished) for cell in promoted}
    assert all(promoted.count(cell) <= n for cell, n in most.items())


@given(order=st.permutations(range(24)), eta=st.integers(2, 5))
def test_once_all_are_in_exactly_the_best_part_goes_on(order: list[int], eta: int) -> None:
    strategy = started((1, 8), eta=eta)
    first = strategy.ask(24)
    strategy.tell([answer(first[i], float(i)) for i in order])
    proposals = strategy.ask(24)
    n = 24 // eta
    assert proposals[:n] == [Proposal(first[23 - i].architecture, 8) for i in range(n)]
    assert {proposal.epoch for proposal in proposals[n:]} == {1}


def test_of_equal_scores_the_first_to_finish_goes_on() -> None:
    strategy = started((1, 8), eta=4)
    first = strategy.ask(8)
    order = [first[i] for i in (5, 2, 7, 0, 1, 3, 4, 6)]
    strategy.tell([answer(proposal, 1.0) for proposal in order])
    assert [p.architecture for p in strategy.ask(2)] == [p.architecture for p in order[:2]]


def test_the_top_rung_comes_first() -> None:
    strategy = started((1, 4, 16), eta=4)
    first = strategy.ask(16)
    strategy.tell([answer(proposal, float(i)) for i, proposal in enumerate(first)])
    second = strategy.ask(4)
    assert [proposal.epoch for proposal in second] == [4] * 4
    more = strategy.ask(4)
    assert [proposal.epoch for proposal in more] == [1] * 4
    strategy.tell([answer(proposal, 100.0 + i) for i, proposal in enumerate(more + second)])
    assert [proposal.epoch for proposal in strategy.ask(4)] == [16, 4, 4, 4]


def test_there_is_always_something_to_propose() -> None:
    strategy = started()
    assert len(strategy.ask(100)) == 100
    assert len(strategy.ask(0)) == 0


@pytest.mark.parametrize("epochs", [(200,), (12,)])
def test_on_one_epoch_it_is_random_search(epochs: tuple[int, ...]) -> None:
    strategy = started(epochs)
    drawn = [proposal for n in (1, 7, 30, 62) for proposal in strategy.ask(n)]
    plain = RandomSearch(Problem(CELL, METRIC, epochs), np.random.default_rng(0)).ask(100)
    assert drawn == [Proposal(cell, epochs[0]) for cell, _ in plain]
    strategy.tell([answer(proposal, 1.0) for proposal in drawn])
    assert strategy.ask(1)[0].epoch == epochs[0]


def test_two_epochs() -> None:
    strategy = started((12, 200))
    first = strategy.ask(4)
    assert {proposal.epoch for proposal in first} == {12}
    strategy.tell([answer(proposal, float(i)) for i, proposal in enumerate(first)])
    assert strategy.ask(2)[0] == Proposal(first[3].architecture, 200)


def test_infeasible_cells_take_no_place() -> None:
    strategy = started((1, 8), eta=4)
    first = strategy.ask(12)
    strategy.tell([answer(proposal, -np.inf, "infeasible") for proposal in first[:9]])
    strategy.tell([answer(proposal, -1e300) for proposal in first[9:]])
    [another] = strategy.ask(1)  # three have finished: no place yet
    assert another.epoch == 1
    strategy.tell([answer(another, -1e301)])
    assert strategy.ask(2)[0] == Proposal(first[9].architecture, 8)
    assert strategy.ask(1)[0].epoch == 1


def test_where_all_are_infeasible_none_is_promoted() -> None:
    strategy = started(eta=2)
    for _ in range(50):
        [proposal] = strategy.ask(1)
        assert proposal.epoch == 1
        strategy.tell([answer(proposal, -np.inf, "infeasible")])


def test_the_same_answer_again_is_no_other_training() -> None:
    strategy = started((1, 8), ToySpace((1, 1, 1)), eta=2)  # there is but one cell
    first, *others = strategy.ask(10)
    strategy.tell([answer(first, 5.0), *(answer(other, 5.0, "repeat") for other in others)])
    assert {proposal.epoch for proposal in strategy.ask(10)} == {1}


def test_an_answer_that_the_rung_has_not_seen_counts() -> None:
    strategy = started((1, 8), eta=2)
    first = strategy.ask(2)
    strategy.tell([answer(proposal, float(i), "repeat") for i, proposal in enumerate(first)])
    assert strategy.ask(1) == [Proposal(first[1].architecture, 8)]


def test_two_trainings_of_a_cell_are_two_entries() -> None:
    strategy = started((1, 8), ToySpace((1, 1, 1)), eta=2)
    strategy.tell([answer(proposal, float(i)) for i, proposal in enumerate(strategy.ask(4))])
    assert [proposal.epoch for proposal in strategy.ask(4)] == [8, 8, 1, 1]


def test_a_masked_space() -> None:
    kept = [(0, 0, 0), (1, 2, 3)]
    strategy = started(space=MaskedSpace(ToySpace(), kept))
    proposals = [answered(strategy, float(i)) for i in range(50)]
    assert {cell for cell, _ in proposals} == set(kept)


@pytest.mark.parametrize("repeats", ["pay", "reuse"])
@pytest.mark.parametrize("resume", ["restart", "continue"])
@pytest.mark.parametrize("workers", [1, 4, 8])
def test_runs_spend_their_budget(repeats: Any, resume: Any, workers: int) -> None:
    protocol = Protocol(
        evaluations=25, repeats=repeats, resume=resume, workers=workers, missing="masked"
    )
    for spec in ("asha", "asha(eta=2)"):
        run = run_search(spec, curves(), protocol)
        assert (run.stop, len(run.values)) == ("budget", 25)
        assert set(run.epochs.tolist()) <= {1, 3, 9}
        assert run.epochs.max() > 1
        assert SOME_CELLS[-1] not in set(map(tuple, run.architectures.tolist()))
        assert same_run(run, run_search(spec, curves(), protocol))


def test_workers_are_never_idle() -> None:
    run = run_search("asha(eta=2)", CURVES, Protocol(evaluations=200, workers=8))
    work = np.array(run.epochs, np.float64).sum()
    assert run.seconds[-1] <= work / 8 + 9


def test_the_same_cells_are_drawn_by_one_and_by_eight_workers() -> None:
    drawn = []
    for workers in (1, 8):
        run = run_search("asha", CURVES, Protocol(evaluations=60, workers=workers))
        drawn.append([row for row, e in zip(rows(run), run.epochs, strict=True) if e == 1])
    n = min(map(len, drawn)) - 8  # those of equal length end in the order in which they began
    assert n > 20
    assert drawn[0][:n] == drawn[1][:n]


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("eta", [2, 4])
def test_a_continued_training_pays_only_what_is_new(workers: int, eta: int) -> None:
    values = np.random.default_rng(5).random((24, 3, 9))
    bench = toy_bench(values, seconds=np.arange(1.0, 10.0)[None, None, :], curve=True)
    told: list[Observation] = []

    class Watched(Asha):
        def tell(self, observations: Any) -> None:
            told.extend(observations)
            super().tell(observations)

    protocol = Protocol(evaluations=25, workers=workers, resume="continue", repeats="reuse")
    run = run_search(StrategySpec.make("watched", Watched, {"eta": eta}), bench, protocol)
    paid = [o for o in told if o.status == "ok"]
    seed_of: dict[int, int] = {}
    done: dict[int, int] = {}
    trials = zip(rows(run), run.epochs.tolist(), run.seeds.tolist(), paid, strict=True)
    for row, epoch, seed, observation in trials:
        assert seed_of.setdefault(row, seed) == seed
        assert observation.seconds == epoch - done.get(row, 0)
        assert epoch > done.get(row, 0)
        done[row] = epoch
    assert max(done.values()) > 1
    assert sum(o.seconds for o in paid) == sum(done.values())
    if workers == 1:
        assert run.seconds[-1] == sum(done.values())


def test_the_contract_on_learning_curves() -> None:
    check_strategy("asha", CURVES)
    check_strategy("asha(eta=2, least=2)", CURVES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eta": 1}, "eta to be a whole number of at least 2"),
        ({"eta": 4.0}, "eta to be a whole number"),
        ({"least": 0}, "least to be a whole number of at least 1"),
        ({"least": 9}, "least to be at most 8, the last epoch here; got 9"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"asha needs {message}"):
        started(**options)
