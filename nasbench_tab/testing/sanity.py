"""Sanity of search strategies: does a method do what it says, and with nothing that it may not see?

    from nasbench_tab.testing import check_sanity

    def test_my_strategy():
        print(check_sanity("my_package.my_module:MyStrategy"))

On a *shuffled* table no method can be better than random search at equal numbers of distinct cells:
whatever it asks next, the answer is one of the values not yet seen, each equally likely (the
no-free-lunch theorem of Wolpert and Macready, 1997). One that is better has peeked. On a *structured*
table a method must be better than random search; one that is not, for example because it sorts its
predictions and then evaluates the unsorted candidates, does not do what it says. Both are compared
with the exact law of random search, not with simulated runs of it.

What the checks cannot see: a strategy whose module loads a table when it is imported and keeps only
numbers from it; one that reads files by other means than this package and h5py; one that walks
through the frames of its callers; one that takes the benchmark from ``gc.get_objects()``. The last
three are still caught by the shuffled table where they lead to its values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Observation, Problem, Protocol, Run
from nasbench_tab.registry import load_space
from nasbench_tab.search.run import run_search, searcher
from nasbench_tab.search.specs import strategy_spec
from nasbench_tab.spaces.base import Space
from nasbench_tab.stats.anytime import incumbents
from nasbench_tab.strategies.base import StrategySpec
from nasbench_tab.testing.made_up import EPOCHS, MadeUp, additive, shuffled
from nasbench_tab.testing.rules import require

__all__ = ["Sanity", "check_sanity", "check_shuffled", "check_structured"]

Strategy = str | StrategySpec | Callable[..., Any]

_LIMIT = 4.0  # standard errors: reached by chance once in 16,000 checks


class Sanity(NamedTuple):
    """What :func:`check_sanity` measured.

    Attributes:
        strategy: Its label.
        shuffled: Standard errors above random search where there is nothing to learn, at equal
            numbers of distinct cells; within 4 of zero.
        structured: Standard errors above random search at equal cost where there is.
        evaluations: Mean number of evaluations of a run on the structured tables.
        distinct: Mean number of different cells among them.
        runs: Runs on structured tables.
    """

    strategy: str
    shuffled: float
    structured: float
    evaluations: float
    distinct: float
    runs: int


def check_shuffled(
    strategy: Strategy,
    *,
    space: Space | None = None,
    distinct: int = 30,
    runs: int = 200,
    seed: int = 0,
) -> float:
    """Check that a strategy equals random search on tables without structure.

    Each run has a table of its own, a random permutation of the values over the cells. The best of
    the first ``distinct`` different cells of a run then has exactly the law of the best of so many
    draws without replacement, for every method that sees nothing but its observations.

    Args:
        strategy: As for :func:`nasbench_tab.run_search`.
        space: An enumerable space; None = NAS-Bench-201's.
        distinct: Different cells to compare at; a run has three times as many evaluations to
            come by them.
        runs: Independent runs.
        seed: Of the permutations and of the runs.

    Returns:
        Standard errors above random search.

    Raises:
        AssertionError: A run did not come by so many cells, or |z| > 4.
    """
    space, spec = space or load_space("nasbench201"), strategy_spec(strategy)
    ranks, size = [], 0
    for run in range(runs):
        bench = shuffled(space, np.random.default_rng([seed, run]))
        size = len(bench.cells)
        # A longer run begins as a shorter one does: many methods never need the longer one.
        for evaluations in (distinct, 3 * distinct):
            done = run_search(spec, bench, Protocol(evaluations=evaluations), seed=seed, run=run)
            seen = map(bench.rank_of, map(tuple, done.architectures.tolist()))
            first = list(dict.fromkeys(seen))[:distinct]  # a rank stands for its cell
            if len(first) == distinct:
                break
        require(
            len(first) == distinct,
            f"{spec.label} evaluated {len(first)} different cells in {len(done.values)} evaluations "
            f"of run {run}; {distinct} are needed to compare it with random search. A method that "
            "comes back to few cells needs a smaller distinct=.",
        )
        ranks.append(min(first))
    z = _luck(np.array(ranks), _missed(size, distinct, replace=False))
    require(
        abs(z) <= _LIMIT,
        f"{spec.label} is {z:+.1f} standard errors from random search on shuffled tables ({runs} "
        f"runs, best of {distinct} different cells); at most {_LIMIT:g} is expected. Nothing can be "
        "learnt there: it has seen what it may not see, or its evaluations are not what it proposed.",
    )
    return z


def check_structured(
    strategy: Strategy,
    *,
    space: Space | None = None,
    evaluations: int = 200,
    runs: int = 40,
    seed: int = 0,
    better: bool = True,
    oracle: bool = False,
) -> Sanity:
    """Check that a strategy beats random search where there is something to learn.

    Each run has a table of its own (:func:`~nasbench_tab.testing.made_up.additive`). The budget is
    the time of ``evaluations`` full trainings; what ends after it does not count. Strategies that
    train some cells for few epochs only can evaluate more of them. The law of random search, so many independent draws, is exact.

    Args:
        strategy: As for :func:`nasbench_tab.run_search`.
        space: An enumerable space; None = NAS-Bench-201's.
        evaluations: Full trainings that the budget pays for.
        runs: Independent runs.
        seed: Of the tables and of the runs.
        better: Whether it must be better; False for a method that claims no more than random
            search, which must then be equal to it.
        oracle: ``strategy`` is a function that takes ``truth``, a function from cells to their true
            worth, and returns the strategy: a model-based method with a perfect predictor, which must
            then find one of the best cells, the best 0.1 %, in most runs.

    Returns:
        What was measured; its ``shuffled`` is NaN.

    Raises:
        AssertionError: It is not better, or (``better=False``) not equal.
    """
    space = space or load_space("nasbench201")
    protocol = Protocol(seconds=float(evaluations * EPOCHS), overshoot="drop")
    ranks, lengths, distinct, label, size = [], [], [], "", 0
    for run in range(runs):
        bench = additive(space, np.random.default_rng([seed, run]))
        size = len(bench.cells)
        # The oracle is the table itself, so that it cannot be a setting, which must be plain.
        spec = strategy_spec(_given(strategy, bench) if oracle else strategy)
        label = spec.label
        done = run_search(spec, bench, protocol, seed=seed, run=run)
        require(len(done.values) > 0, f"{label} evaluated nothing in run {run}")
        best = tuple(done.architectures[_last_incumbent(done, bench, label)].tolist())
        ranks.append(bench.rank_of(best))
        lengths.append(len(done.values))
        distinct.append(len({bytes(cell) for cell in done.architectures}))
    z = _luck(np.array(ranks), _missed(size, evaluations, replace=True))
    found = (
        f"{label} is {z:+.1f} standard errors from random search on structured tables ({runs} runs, "
        f"the time of {evaluations} full trainings, {np.mean(distinct):.0f} different cells in "
        f"{np.mean(lengths):.0f} evaluations)"
    )
    if oracle:
        near = float(np.mean(np.array(ranks) < max(1, size // 1000)))
        require(
            near > 0.5, f"{found}; with an oracle it came near the optimum in {near:.0%} of runs"
        )
    if better:
        require(
            z >= _LIMIT,
            f"{found}; at least {_LIMIT:g} is expected of a method that learns. Does it evaluate what "
            "it chose? A method that needs more evaluations takes evaluations=; one that claims no "
            "more than random search takes better=False.",
        )
    else:
        require(abs(z) <= _LIMIT, f"{found}; at most {_LIMIT:g} is expected of random search")
    return Sanity(label, float("nan"), z, float(np.mean(lengths)), float(np.mean(distinct)), runs)


def check_sanity(
    strategy: Strategy,
    *,
    space: Space | None = None,
    distinct: int = 30,
    evaluations: int = 200,
    runs: tuple[int, int] = (200, 40),
    better: bool = True,
) -> Sanity:
    """Check that a strategy is sane; see the module's docstring.

    Equal to random search where nothing can be learnt (:func:`check_shuffled`), better where
    something can (:func:`check_structured`); the same seed gives the same run, whatever other
    strategies run between; what it is told and what is recorded are the table's values; the
    incumbent's value never falls.

    Args:
        strategy: As for :func:`nasbench_tab.run_search`.
        space: An enumerable space; None = NAS-Bench-201's.
        distinct: See :func:`check_shuffled`.
        evaluations: See :func:`check_structured`.
        runs: Runs on shuffled and on structured tables.
        better: See :func:`check_structured`.

    Raises:
        AssertionError: A rule is broken; the message names it.
    """
    space = space or load_space("nasbench201")
    _check_alone(strategy, space, evaluations)
    z = check_shuffled(strategy, space=space, distinct=distinct, runs=runs[0])
    seen = check_structured(
        strategy, space=space, evaluations=evaluations, runs=runs[1], better=better
    )
    return seen._replace(shuffled=z)


def _given(make: Strategy, bench: MadeUp) -> Strategy:
    if isinstance(make, (str, StrategySpec)):
        raise InvalidArgumentError(
            f"With oracle=True, give a function truth -> strategy; got {make!r}."
        )
    given: Strategy = make(bench.truth)
    return given


def _check_alone(strategy: Strategy, space: Space, evaluations: int) -> None:
    """Check that other strategies change nothing, and that all that is told is true."""
    bench = shuffled(space, np.random.default_rng(0))
    spec = strategy_spec(strategy)
    told: list[Observation] = []
    listening = _listening(spec, told)
    protocol = Protocol(evaluations=evaluations)
    alone = [searcher(listening, bench, protocol)(0, run) for run in range(3)]
    answers: Any = {}
    this, other = (searcher(which, bench, protocol, answers=answers) for which in (spec, "random"))
    for run in (0, 1, 2):
        other(0, run)
        again = this(0, run)
        require(
            np.array_equal(alone[run].architectures, again.architectures)
            and np.array_equal(alone[run].epochs, again.epochs),
            f"{spec.label}: run {run} differs when another strategy, or an earlier run, goes before it",
        )
        _last_incumbent(again, bench, spec.label)
    for cell, epoch, score, _, status in told:
        if status == "ok":
            true = bench.lookup(cell, epoch=epoch).value
            require(score == true, f"{spec.label} was told {score} for {cell}, which has {true}")


def _listening(spec: StrategySpec, told: list[Observation]) -> StrategySpec:
    """Return the strategy with an ear at its ``tell``."""

    class Listening:
        def __init__(self, problem: Problem, rng: np.random.Generator, **_: Any) -> None:
            self.strategy = spec.start(problem, rng)
            self.ask = self.strategy.ask

        def tell(self, observations: Sequence[Observation]) -> None:
            told.extend(observations)
            self.strategy.tell(observations)

    return spec._replace(factory=Listening)


def _last_incumbent(run: Run, bench: MadeUp, label: str) -> int:
    """Return the position of a run's last incumbent; check that its value never falls."""
    lengths = np.array([len(run.values)])
    which = incumbents(run.values, run.seconds, lengths, bench.objective.direction).which[0]
    observed = run.values[which]
    require(bool((np.diff(observed) >= 0).all()), f"{label}: the incumbent's value fell")
    last = int(which[-1])
    true = bench.lookup(tuple(run.architectures[last].tolist()), epoch=int(run.epochs[last])).value
    require(bool(observed[-1] == true), f"{label}: the incumbent has {true}, not {observed[-1]}")
    return last


def _missed(size: int, count: int, *, replace: bool) -> NDArray[np.float64]:
    """Return ``(size + 1,)``: the probability that ``count`` draws miss the best 0, 1, ... cells."""
    best = np.arange(size)
    if replace:
        return np.append(1.0, (1 - (best + 1) / size) ** count)
    return np.append(1.0, np.cumprod(np.maximum(size - count - best, 0) / (size - best)))


def _luck(ranks: NDArray[np.int64], missed: NDArray[np.float64]) -> float:
    """Return how many standard errors runs are above what their law says; 0 is as expected.

    The statistic is the mean over runs of the probability to be better, counting half of that to be
    just as good: 1/2 by the law, with a variance of ``(1 - sum of p**3) / 12``.

    Args:
        ranks: ``(R,)`` how many cells are better than the best of each run.
        missed: ``(N + 1,)`` the law; see :func:`_missed`.
    """
    place = 1 - (missed[ranks] + missed[ranks + 1]) / 2
    variance = (1 - (-(np.diff(missed) ** 3)).sum()) / 12
    return float((0.5 - place.mean()) / np.sqrt(variance / len(ranks)))
