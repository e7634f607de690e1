"""Evolution with a proxy: the warm start, the moves, and what scores cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from search.toys import ToySpace

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import (
    Architecture,
    CostedProposal,
    Metric,
    Observation,
    Problem,
    Protocol,
)
from nasbench_tab.registry import load
from nasbench_tab.search.run import run_search
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.spaces.nasbench201 import NasBench201, parameters
from nasbench_tab.strategies.evolution import Evolution
from nasbench_tab.strategies.proxy import Proxy

METRIC = Metric("score", "valid", "max", "points")
NB201 = NasBench201()


def started(space: Space = NB201, seed: int = 0, **options: Any) -> Proxy:
    return Proxy(Problem(space, METRIC, (1,)), np.random.default_rng(seed), **options)


def seen(cell: Architecture, score: float = 1.0) -> Observation:
    return Observation(cell, 1, score, 1.0)


class Spied(Proxy):
    """Keeps the parents and what was made of them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.drawn: list[tuple[Architecture, Architecture]] = []
        plain = self._plain

        def noted(parent: Architecture) -> Architecture:
            child = plain(parent)
            self.drawn.append((parent, child))
            return child

        self._plain = noted


def size(cell: Architecture) -> int:
    return parameters(cell, 10)


def test_the_first_population_is_the_top_of_the_pool() -> None:
    strategy = started(pool=300, population=7, children=1)
    rng = np.random.default_rng(0)
    NB201.sample(rng, 7)  # evolution's own founders, which are drawn first
    drawn = list(dict.fromkeys(NB201.sample(rng, 300)))
    sizes = sorted(map(size, drawn), reverse=True)
    first = [proposal.architecture for proposal in strategy.ask(7)]
    assert [size(cell) for cell in first] == sizes[:7]  # the best comes first
    assert set(first) <= set(drawn)
    assert len(set(first)) == 7


def test_a_pool_smaller_than_the_population_is_filled_up() -> None:
    strategy = started(pool=3, population=8)
    assert len({proposal.architecture for proposal in strategy.ask(8)}) >= 7


def test_without_pool_and_moves_it_is_evolution() -> None:
    problem = Problem(NB201, METRIC, (1,))
    plain = Evolution(problem, np.random.default_rng(3))
    helped = started(seed=3, pool=0, children=1)
    for number in range(60):
        [one], [other] = plain.ask(1), helped.ask(1)
        assert one == other
        for strategy in (plain, helped):
            strategy.tell([seen(one.architecture, float(number % 11))])


@pytest.mark.parametrize("move", [0.0, 0.75, 1.0])
def test_a_move_is_the_best_of_its_children(move: float) -> None:
    strategy = Spied(
        Problem(NB201, METRIC, (1,)), np.random.default_rng(1), pool=0, children=4, move=move
    )
    for proposal in strategy.ask(10):
        strategy.tell([seen(proposal.architecture)])
    moved = 0
    for _ in range(400):
        strategy.drawn.clear()
        [proposal] = strategy.ask(1)
        parents, children = zip(*strategy.drawn, strict=True)
        assert len(set(parents)) == 1
        assert len(children) in (1, 4)
        assert size(proposal.architecture) == max(map(size, children))
        moved += len(children) == 4
    assert moved / 400 == pytest.approx(move, abs=0.08)


def test_scores_are_paid_for_once_a_cell() -> None:
    strategy = started(pool=50, children=3, move=1.0, seconds=2.0)
    [first] = strategy.ask(1)
    assert isinstance(first, CostedProposal)
    assert first.extra_seconds == 2.0 * len(strategy._known)
    assert 45 < len(strategy._known) <= 50
    for proposal in strategy.ask(9):
        assert len(proposal) == 2  # founders cost nothing more
        strategy.tell([seen(proposal.architecture)])
    for _ in range(100):
        before = len(strategy._known)
        [proposal] = strategy.ask(1)
        paid = proposal.extra_seconds if isinstance(proposal, CostedProposal) else 0.0
        assert paid == 2.0 * (len(strategy._known) - before)


def test_the_cost_is_on_the_clock() -> None:
    bench = load("nb201-cifar10")
    run = run_search("proxy(seconds=1.5)", bench, Protocol(evaluations=30, seeds="mean"))
    trained = [bench.lookup(tuple(cell)).seconds for cell in run.architectures.tolist()]
    scored = (np.diff(run.seconds, prepend=0) - trained) / 1.5
    np.testing.assert_allclose(scored, scored.round(), atol=1e-6)
    assert 950 < scored[0] <= 1000  # different cells of the pool
    assert (abs(scored[1:10]) < 1e-6).all()  # the rest of the first population
    assert 1 < scored[10:].max() < 3.001  # children
    in_time = Protocol(seconds=20_000)
    free, costly = (run_search(s, bench, in_time) for s in ("proxy", "proxy(seconds=20.0)"))
    assert len(costly.values) == 1 < len(free.values)  # the pool took all of it


def test_any_figure_of_the_space_will_do() -> None:
    strategy = started(figure="macs", population=5)
    cells = np.array([p.architecture for p in strategy.ask(5)], np.uint8)
    known = NB201.figures(cells)["macs"]
    assert (np.diff(known) <= 0).all()


@pytest.mark.parametrize(
    ("space", "figure", "words"),
    [
        (ToySpace((2, 3)), "parameters", "knows nothing; got 'parameters'"),
        (NB201, "latency", "nasbench201 knows parameters, macs; got 'latency'"),
    ],
)
def test_a_figure_that_the_space_does_not_know_is_refused(
    space: Space, figure: str, words: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        started(space, figure=figure)


def test_a_masked_space_stays_masked() -> None:
    space = MaskedSpace(NB201, NB201.sample(np.random.default_rng(0), 40))
    strategy = started(space)
    for _ in range(60):
        [proposal] = strategy.ask(1)
        assert space.contains(proposal.architecture)
        strategy.tell([seen(proposal.architecture)])


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("pool", -1), ("children", 0), ("move", 1.01), ("move", -0.1), ("population", 0)),
        *(("tournament", 0), ("seconds", -1.0), ("seconds", float("inf")), ("seconds", "2")),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"proxy needs {setting} to be"):
        started(**{setting: value})


def test_a_cell_without_measured_neighbors_is_left_for_a_new_one() -> None:
    space = MaskedSpace(NB201, [(option,) * 6 for option in range(5)])  # no two are neighbors
    strategy = started(space, pool=0, population=2)
    told: set[Architecture] = set()
    for _ in range(100):
        for cell, *_ in strategy.ask(1):
            answer = seen(cell)._replace(status="repeat" if cell in told else "ok")
            strategy.tell([answer])
            told.add(cell)
    assert len(told) == 5


def test_repeats_do_not_stall_a_masked_search() -> None:
    protocol = Protocol(evaluations=200, missing="masked", repeats="reuse")
    run = run_search("proxy", "nb201-fashion", protocol)
    assert (len(run.values), run.stop) == (200, "budget")
