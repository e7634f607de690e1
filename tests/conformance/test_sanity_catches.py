"""The sanity checks can fail: each catches the strategy that was broken for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.registry import load_space
from nasbench_tab.testing import (
    MadeUp,
    check_benchmark,
    check_sanity,
    check_shuffled,
    check_structured,
)
from nasbench_tab.testing.made_up import additive, shuffled
from nasbench_tab.testing.sanity import _luck, _missed

SPACE = load_space("nasbench201")


class Model:
    """Of 50 random candidates evaluate the one with the best prediction: option means, added up."""

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self.problem, self.rng = problem, rng
        self.sums = np.zeros((2, len(problem.space.choices), max(problem.space.choices)))

    def predict(self, cells: list[Architecture]) -> list[float]:
        total, count = self.sums
        means = (total + total.sum(1, keepdims=True) / max(count[0].sum(), 1)) / (count + 1)
        return list(means[np.arange(len(means)), np.array(cells)].sum(axis=1))

    def chosen(self, cells: list[Architecture]) -> Architecture:
        return cells[int(np.argmax(self.predict(cells)))]

    def ask(self, n: int) -> list[Proposal]:
        return [Proposal(self.chosen(self.problem.space.sample(self.rng, 50))) for _ in range(n)]

    def tell(self, observations: Sequence[Observation]) -> None:
        for cell, _, score, _, _ in observations:
            self.sums[:, np.arange(len(cell)), cell] += [[score], [1.0]]


class Unsorted(Model):
    """The defect of naszilla's predictor: the predictions are sorted, the candidates are not."""

    def chosen(self, cells: list[Architecture]) -> Architecture:
        sorted(self.predict(cells), reverse=True)
        return cells[0]


class UpsideDown(Model):
    def predict(self, cells: list[Architecture]) -> list[float]:
        return [-value for value in super().predict(cells)]


class Peeks(Model):
    """Finds the benchmark in a frame of its callers and asks it."""

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        super().__init__(problem, rng)
        frame = inspect.currentframe()
        while frame and not isinstance(frame.f_locals.get("bench"), MadeUp):
            frame = frame.f_back
        assert frame
        self.truth = frame.f_locals["bench"].truth

    def predict(self, cells: list[Architecture]) -> list[float]:
        return [self.truth(cell) for cell in cells]


class Stuck(Model):
    def ask(self, n: int) -> list[Proposal]:
        return [Proposal((3,) * 6)] * n


class Remembers(Model):
    """Learns from one run for the next."""

    learnt: ClassVar[list[Observation]] = []

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        super().__init__(problem, rng)
        super().tell(self.learnt)

    def tell(self, observations: Sequence[Observation]) -> None:
        super().tell(observations)
        self.learnt.extend(observations)


class Silent(Model):
    def ask(self, n: int) -> list[Proposal]:
        return []


def with_oracle(kind: type[Model]) -> Callable[..., type[Model]]:
    """Return ``kind`` with a perfect predictor."""

    def make(truth: Callable[[Architecture], float]) -> type[Model]:
        class Oracle(kind):  # type: ignore[misc, valid-type]
            def predict(self, cells: list[Architecture]) -> list[float]:
                return [truth(cell) for cell in cells]

        return Oracle

    return make


def test_a_model_that_learns_is_sane() -> None:
    seen = check_sanity(Model, runs=(40, 10), evaluations=100)
    assert seen.structured > 4
    assert abs(seen.shuffled) < 4


def test_a_model_with_an_oracle_comes_near_the_optimum() -> None:
    seen = check_structured(with_oracle(Model), runs=10, oracle=True)
    assert seen.structured > 5


def test_unsorted_candidates_are_found_out() -> None:
    assert abs(check_shuffled(Unsorted, runs=40)) < 4  # it is random search: nothing amiss here
    with pytest.raises(AssertionError, match="Does it evaluate what it chose"):
        check_structured(Unsorted, runs=10, evaluations=100)
    with pytest.raises(AssertionError, match="with an oracle it came near the optimum in"):
        check_structured(with_oracle(Unsorted), runs=10, oracle=True)


def test_the_worst_predictions_first_are_found_out() -> None:
    with pytest.raises(AssertionError, match=r"is -\d.* from random search on structured"):
        check_structured(UpsideDown, runs=10, better=False)


def test_peeking_is_found_out() -> None:
    with pytest.raises(AssertionError, match=r"Peeks is \+.*seen what it may not see"):
        check_shuffled(Peeks, runs=20)
    assert check_structured(Peeks, runs=10).structured > 4  # where a peeping method looks splendid


def test_always_the_same_cell_is_found_out() -> None:
    with pytest.raises(AssertionError, match="1 different cells in 90 evaluations of run 0"):
        check_shuffled(Stuck, runs=5)
    with pytest.raises(AssertionError, match=r"\b1 different cells in 200 evaluations"):
        check_structured(Stuck, runs=20)


def test_memory_across_runs_is_found_out() -> None:
    with pytest.raises(AssertionError, match="run 0 differs when"):
        check_sanity(Remembers, runs=(5, 5))


def test_a_strategy_that_proposes_nothing_is_found_out() -> None:
    with pytest.raises(AssertionError, match="evaluated nothing in run 0"):
        check_structured(Silent, runs=5)


def test_better_than_random_is_not_equal_to_it() -> None:
    with pytest.raises(AssertionError, match="at most 4 is expected of random search"):
        check_structured("local-search", runs=20, better=False)


def test_an_oracle_needs_a_function() -> None:
    with pytest.raises(InvalidArgumentError, match="truth -> strategy"):
        check_structured("random", oracle=True)


def test_a_space_without_end_is_refused() -> None:
    class Endless(type(SPACE)):  # type: ignore[misc]
        size = None

    with pytest.raises(InvalidArgumentError, match="cells to enumerate; nasbench201 has"):
        check_shuffled("random", space=Endless())


@given(st.integers(2, 60), st.data())
def test_the_law_without_replacement_is_hypergeometric(size: int, data: Any) -> None:
    count = data.draw(st.integers(1, size))
    best = np.arange(size + 1)
    law = hypergeom(size, best, count).pmf(0)
    np.testing.assert_allclose(_missed(size, count, replace=False), law, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("replace", [False, True])
def test_luck_of_draws_by_the_law_is_a_standard_score(replace: bool) -> None:
    rng, size, count = np.random.default_rng(0), 50, 7
    ranks = np.array([rng.choice(size, count, replace=replace).min() for _ in range(20_000)])
    missed = _missed(size, count, replace=replace)
    scores = [_luck(part, missed) for part in ranks.reshape(500, 40)]
    assert abs(np.mean(scores)) < 4 / np.sqrt(500)
    assert np.std(scores) == pytest.approx(1, abs=4 / np.sqrt(1000))
    assert _luck(np.zeros(40, int), missed) > 4 > -4 > _luck(np.full(40, size - count), missed)


@pytest.mark.parametrize("make", [shuffled, additive])
def test_made_up_benchmarks_keep_the_contract(make: Callable[..., MadeUp]) -> None:
    bench = make(SPACE, np.random.default_rng(0))
    check_benchmark(bench)
    assert sorted(bench.rank.tolist()) == list(range(15_625))
    values = np.array(
        [
            [bench.query(c, epoch=e) for e in (1, 9, 27)]
            for c in SPACE.sample(np.random.default_rng(1), 50)
        ]
    )
    assert (np.argsort(values, axis=0) == np.argsort(values, axis=0)[:, :1]).all()  # one order
    assert values[:, 1].max() < values[:, 2].min()  # longer looks better, whatever the cell


def test_additive_values_have_structure_and_shuffled_ones_have_none() -> None:
    rng = np.random.default_rng(0)
    for make, low, high in ((additive, 0.5, 1.0), (shuffled, 0.0, 0.1)):
        bench = make(SPACE, rng)
        cells = SPACE.sample(rng, 2000)
        pairs = [
            (bench.rank_of(cell), bench.rank_of(SPACE.mutate(cell, rng.random()))) for cell in cells
        ]
        assert low <= abs(np.corrcoef(np.transpose(pairs))[0, 1]) <= high
