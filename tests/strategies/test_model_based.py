"""bananas, gp-wl, surrogate-ei and tpe: what they have in common, and that they evaluate what they chose."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from light import LIGHT, light
from numpy.typing import NDArray
from search.toys import ToySpace, cells_of, noisy_bench, toy_bench

import nasbench_tab as nbt
from nasbench_tab.errors import InvalidArgumentError, SurrogateError
from nasbench_tab.records import (
    Architecture,
    Graph,
    Metric,
    Observation,
    Problem,
    Protocol,
    Status,
)
from nasbench_tab.search.specs import strategy_spec
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.columns import Columns
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.spaces.nasbench201_macro import NasBench201Macro
from nasbench_tab.spaces.nasbench_graph import NasBenchGraphProteins
from nasbench_tab.strategies.bananas import Bananas
from nasbench_tab.strategies.gp_wl import GPWL
from nasbench_tab.strategies.model_based import (
    Fitted,
    ModelBased,
    compressed,
    expected_improvement,
)
from nasbench_tab.strategies.surrogate_ei import SurrogateEI
from nasbench_tab.strategies.tpe import TPE
from nasbench_tab.testing import check_structured

METRIC = Metric("score", "valid", "max", "points")
CELL = NasBench201()
INFEASIBLE = -math.inf
NAMES = list(LIGHT)


def started(name: str, space: Space = CELL, seed: int = 0, epochs: tuple[int, ...] = (1,)) -> Any:
    problem = Problem(space, METRIC, epochs)
    return strategy_spec(light(name)).start(problem, np.random.default_rng(seed))


def seen(cell: Architecture, score: float, status: Status = "ok", epoch: int = 1) -> Observation:
    return Observation(cell, epoch, score, 1.0, status)


def worth(cell: Architecture) -> float:
    """A score with structure: convolutions are good, and more so early in the cell."""
    return 60.0 + sum(8.0 / (i + 1) for i, op in enumerate(cell) if op == 3) - cell.count(0)


def asked(strategy: Any, n: int) -> list[Architecture]:
    return [proposal.architecture for proposal in strategy.ask(n)]


def driven(
    strategy: Any, n: int, score: Callable[[Architecture], float] = worth
) -> list[Architecture]:
    """Return ``n`` cells, or fewer where no more are proposed, evaluated one after the other."""
    cells: list[Architecture] = []
    while len(cells) < n:
        new = asked(strategy, 1)
        if not new:
            break
        strategy.tell([seen(new[0], score(new[0]))])
        cells += new
    return cells


def networks(space: Space, cells: list[Architecture]) -> set[Architecture]:
    return {space.canonical(cell) for cell in cells}


class Graphless(ToySpace):
    """A space that does not draw its cells."""

    def graph(self, arch: Architecture) -> Graph:
        raise NotImplementedError


# What is proposed.


@pytest.mark.parametrize("name", NAMES)
def test_no_network_twice_and_none_left_out(name: str) -> None:
    # 24 cells, and 12 networks of two spellings each: all are proposed, then nothing is.
    class Twins(ToySpace):
        def canonical(self, arch: Architecture) -> Architecture:
            return (0, *arch[1:])

    for space, size in [(ToySpace((3, 2, 2, 2)), 24), (Twins((2, 3, 2, 2)), 12)]:
        strategy = started(name, space)
        cells = driven(strategy, 100, sum)
        assert len(cells) == len(networks(space, cells)) == size
        assert strategy.ask(3) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_space_of_one_cell(name: str) -> None:
    strategy = started(name, ToySpace((1, 1)))
    assert driven(strategy, 5, sum) == [(0, 0)]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=4)
@given(data=st.data())
def test_workers_never_get_what_is_pending(name: str, data: st.DataObject) -> None:
    strategy = started(name, seed=data.draw(st.integers(0, 2**32)))
    pending: list[Architecture] = []
    every: list[Architecture] = []
    for _ in range(12):
        new = asked(strategy, data.draw(st.integers(1, 9)))
        every, pending = every + new, pending + new
        for _ in range(data.draw(st.integers(0, len(pending)))):
            cell = pending.pop(data.draw(st.integers(0, len(pending) - 1)))
            fails = data.draw(st.integers(0, 3)) == 0
            score, status = (INFEASIBLE, "infeasible") if fails else (worth(cell), "ok")
            strategy.tell([seen(cell, score, status)])  # type: ignore[arg-type]
    assert len(networks(CELL, every)) == len(every)


@pytest.mark.parametrize("name", NAMES)
def test_nobody_waits(name: str) -> None:
    strategy = started(name)
    assert len(asked(strategy, 60)) == 60  # nothing has come back yet


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_told_of_that_was_never_proposed_is_learnt_from(name: str) -> None:
    strategy = started(name)
    others = list(
        {CELL.canonical(c): c for c in CELL.sample(np.random.default_rng(9), 60)}.values()
    )
    strategy.tell([seen(cell, worth(cell)) for cell in others])
    cells = driven(strategy, 60)
    assert not networks(CELL, cells) & networks(CELL, others)
    assert np.mean(list(map(worth, cells))) > np.mean(list(map(worth, others))) + 3


@pytest.mark.parametrize("name", NAMES)
def test_only_full_trainings_teach(name: str) -> None:
    one, other = (started(name, seed=3, epochs=(1, 9)) for _ in range(2))
    for turn in range(45):
        [cell] = asked(one, 1)
        assert asked(other, 1) == [cell]
        for strategy in (one, other):
            strategy.tell([seen(cell, worth(cell), epoch=9)])
        noise = seen(cell, 1000.0 * (turn % 7), epoch=1)
        other.tell([noise])


@pytest.mark.parametrize("name", NAMES)
def test_infeasible_cells_and_repeats_teach_nothing(name: str) -> None:
    strategy = started(name)
    for _ in range(40):
        [cell] = asked(strategy, 1)
        strategy.tell([seen(cell, INFEASIBLE, "infeasible")])
    cells = driven(strategy, 40)
    [cell] = asked(strategy, 1)
    strategy.tell([seen(cell, worth(cell)), seen(cell, -1e9, "repeat")])
    known = {network: score for network, (score, _) in strategy._scores.items()}
    assert known == {CELL.canonical(c): worth(c) for c in [*cells, cell]}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("score", [lambda _: 0.0, lambda c: -1e9 * sum(c), lambda c: 1e-9 * sum(c)])
def test_scores_of_any_size_or_all_the_same(
    name: str, score: Callable[[Architecture], float]
) -> None:
    cells = driven(started(name), 40, score)
    assert len(networks(CELL, cells)) == 40


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("epochs", [(1,), (1, 4, 16)])
def test_every_proposal_is_a_full_training(name: str, epochs: tuple[int, ...]) -> None:
    assert {proposal.epoch for proposal in started(name, epochs=epochs).ask(50)} == {None}


# On every kind of space.

COLUMNS = Columns("mine", {"depth": [1, 2, 3], "width": [16, 32, 64], "norm": ["batch", "layer"]})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "space",
    [
        NasBenchGraphProteins(),
        NasBench201Macro(),
        COLUMNS,
        Graphless((3, 3, 3, 2)),
        MaskedSpace(CELL, [CELL.canonical(c) for c in CELL.sample(np.random.default_rng(4), 90)]),
        MaskedSpace(CELL, [(op,) * 6 for op in range(5)]),  # no cell has a neighbor
        MaskedSpace(COLUMNS, [(0, 0, 0), (2, 2, 1)]),
    ],
    ids=lambda space: f"{type(space).__name__}-{space.size}",
)
def test_on_every_space(name: str, space: Space) -> None:
    cells = driven(started(name, space), 45, lambda cell: float(sum(cell)))
    assert all(map(space.contains, cells))
    assert len(networks(space, cells)) == len(cells)
    if space.size is not None and space.size < 45:
        assert strategy_is_done(name, space, cells)
    else:
        assert len(cells) == 45


def strategy_is_done(name: str, space: Space, cells: list[Architecture]) -> bool:
    """Whether no network of a small space is missing."""
    every = space.sample(np.random.default_rng(0), 40 * (space.size or 0))
    return networks(space, every) == networks(space, cells)


@pytest.mark.parametrize("name", NAMES)
def test_a_masked_run(name: str) -> None:
    protocol = Protocol(evaluations=60, missing="masked")
    run = nbt.run_search(light(name), "nb201-fashion", protocol)
    assert len(networks(CELL, cells_of(run))) == 60


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("repeats", ["reuse", "forbid"])
def test_a_run_with_limits_workers_and_a_small_space(name: str, repeats: Any) -> None:
    bench = noisy_bench(static={"size": np.arange(24.0)})
    protocol = Protocol(evaluations=100, workers=3, repeats=repeats, limits=(("size", 17.5),))
    run = nbt.run_search(light(name), bench, protocol)
    assert (len(run.values), run.free, run.stop) == (18, 6, "exhausted")


# Oracles: is what was rated best what is evaluated?


def oracle(kind: type[ModelBased], **mended: Any) -> Callable[..., Any]:
    """Return the strategy with a perfect predictor, and other methods replaced."""

    def make(truth: Callable[[Architecture], float]) -> Any:
        def fit(self: Any) -> Fitted:
            def predict(pool: list[Architecture]) -> tuple[NDArray[Any], NDArray[Any]]:
                return np.array([truth(cell) for cell in pool]), np.zeros(len(pool))

            return Fitted(predict, max(score for score, _ in self._scores.values()))

        def ratio(self: Any, cell: Architecture) -> float:
            return truth(cell)

        return type("Oracle", (kind,), {"_fit": fit, "_ratio": ratio, **mended})

    return make


def draws_only(self: Any) -> list[Architecture]:
    """Candidates among which the unrated ones are no better than random search."""
    return list(self._with_draws({}, 600).values())


def unsorted(self: Any, pool: list[Architecture]) -> list[Architecture]:
    """The defect of naszilla's GCN predictor: predictions are sorted, the candidates are not."""
    fitted = self._fit()
    sorted(self._worth(*fitted.predict(pool), fitted.best), reverse=True)
    return pool[: self._batch]


def upside_down(self: Any, pool: list[Architecture]) -> list[Architecture]:
    fitted = self._fit()
    worth = self._worth(*fitted.predict(pool), fitted.best)
    return [pool[i] for i in np.argsort(worth)[: self._batch]]


@pytest.mark.parametrize("kind", [Bananas, GPWL, SurrogateEI, TPE])
def test_with_a_perfect_predictor_it_comes_near_the_optimum(kind: type[ModelBased]) -> None:
    found = check_structured(oracle(kind), evaluations=80, runs=10, oracle=True)
    assert found.distinct == 80


@pytest.mark.parametrize("kind", [Bananas, GPWL, SurrogateEI])
def test_the_oracle_tells_a_strategy_that_evaluates_what_it_did_not_choose(
    kind: type[ModelBased],
) -> None:
    check_structured(oracle(kind, _pool=draws_only), evaluations=60, runs=8, oracle=True)
    for defect in (unsorted, upside_down):
        broken = oracle(kind, _pool=draws_only, _chosen=defect)
        with pytest.raises(AssertionError, match=r"came near the optimum in|standard errors"):
            check_structured(broken, evaluations=60, runs=8, oracle=True)


@pytest.mark.parametrize("kind", [Bananas, GPWL, SurrogateEI])
def test_a_batch_is_the_best_of_the_pool_in_order(kind: type[ModelBased]) -> None:
    strategy: Any = oracle(kind)(worth)(Problem(CELL, METRIC, (1,)), np.random.default_rng(0))
    driven(strategy, 20)
    pool: list[Architecture] = strategy._pool()
    strategy._pool = lambda: pool
    batch = asked(strategy, strategy._batch)
    values = sorted(map(worth, pool), reverse=True)
    assert list(map(worth, batch)) == values[: strategy._batch]
    assert len(set(values)) > 10


# The parts.


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_compressed_scores_keep_their_order(scores: list[float]) -> None:
    z = compressed(np.array(scores))
    assert np.isfinite(z).all()
    order = np.argsort(scores, kind="stable")
    assert (np.diff(z[order]) >= 0).all()
    assert abs(z.mean()) < 1e-6
    assert z.std() == pytest.approx(1) or z.std() == 0


def test_a_broken_network_does_not_decide_the_scale() -> None:
    scores = np.array([10.0, *np.linspace(88, 92, 30)])
    z = compressed(scores)
    assert np.ptp(z[1:]) > 2
    assert np.ptp((scores - scores.mean())[1:] / scores.std()) < 0.4


@given(st.floats(-30, 8), st.floats(0.01, 10))
def test_expected_improvement_is_that_of_the_integral(distance: float, sd: float) -> None:
    found = expected_improvement(np.array([distance * sd]), np.array([sd]), 0.0)[0]
    # Of t times the density at t - distance, over t > 0; without its height at 0, which may be tiny.
    log_height = -(distance**2) / 2 - math.log(2 * math.pi) / 2
    t, step = np.linspace(0, max(distance, 0) + 12, 200_001, retstep=True)
    gain = step * float((t * np.exp(t * distance - t * t / 2)).sum())
    assert found == pytest.approx(math.log(sd) + math.log(gain) + log_height, abs=2e-4)


def test_expected_improvement_without_doubt_ranks_by_the_mean() -> None:
    mean = np.array([0.3, -4.0, 0.5, -1.0, -0.999])
    found = expected_improvement(mean, np.zeros(5), 0.1)
    assert np.argsort(found).tolist() == np.argsort(mean).tolist()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "setting", ["n_init", "batch", "pool", "candidates", "gamma", "depth", "rate"]
)
def test_settings_that_cannot_be(name: str, setting: str) -> None:
    options = strategy_spec(name).settings
    if setting in options:
        for value in (-1, "much", None, math.nan):
            with pytest.raises(InvalidArgumentError, match=f"{name} needs {setting} to be a"):
                strategy_spec(name)._replace(settings={**options, setting: value}).start(
                    Problem(CELL, METRIC, (1,)), np.random.default_rng(0)
                )


@pytest.mark.parametrize(("setting", "value"), [("encoding", "paths"), ("predictor", "gcn")])
def test_words_that_bananas_does_not_know(setting: str, value: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{setting} to be one of .*; got '{value}'"):
        nbt.run_search(
            f"bananas({setting}={value!r})", toy_bench(np.arange(24)), Protocol(evaluations=1)
        )


def test_without_xgboost_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(
        "nasbench_tab.strategies.surrogate_ei.find_spec",
        lambda name: None if name == "xgboost" else there(name),
    )
    with pytest.raises(
        SurrogateError, match=r"surrogate-ei needs XGBoost.*nasbench_tab\[surrogate\]"
    ):
        nbt.run_search("surrogate-ei", "nb201-cifar10", Protocol(evaluations=1))
