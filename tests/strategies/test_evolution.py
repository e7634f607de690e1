"""Regularized evolution: founders, tournaments, one changed edge, death of the oldest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.toys import ToySpace, chi_squared

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, Metric, Observation, Problem, Protocol
from nasbench_tab.search.run import run_search
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.spaces.nasbench_graph import NasBenchGraph, NasBenchGraphProteins
from nasbench_tab.strategies.evolution import Evolution

METRIC = Metric("score", "valid", "max", "points")
CELL = NasBench201()
#: Ten cells of NAS-Bench-201; any two differ on at least four edges, so a child tells its parent.
FAR_APART: list[Architecture] = [
    *[(op,) * 6 for op in range(5)],
    (0, 1, 2, 3, 4, 0),
    (1, 2, 3, 4, 0, 1),
    (2, 3, 4, 0, 1, 2),
    (3, 4, 0, 1, 2, 3),
    (4, 0, 1, 2, 3, 4),
]
INFEASIBLE = -float("inf")


def started(space: Space = CELL, seed: int = 0, **options: Any) -> Evolution:
    return Evolution(Problem(space, METRIC, (1,)), np.random.default_rng(seed), **options)


def seen(cell: Architecture, score: float) -> Observation:
    status = "infeasible" if score == INFEASIBLE else "ok"
    return Observation(cell, 1, score, 1.0, status)  # type: ignore[arg-type]


def differences(one: Architecture, other: Architecture) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def with_members(members: list[tuple[Architecture, float]], **options: Any) -> Evolution:
    """Return a strategy whose population is ``members``, oldest first."""
    strategy = started(population=len(members), **options)
    strategy.ask(len(members))
    strategy.tell([seen(cell, score) for cell, score in members])
    return strategy


def children(strategy: Evolution, n: int) -> list[Architecture]:
    return [proposal.architecture for proposal in strategy.ask(n)]


def parents(strategy: Evolution, n: int, members: list[Architecture]) -> list[int]:
    """Return the number of the one member that each of ``n`` children is a mutation of."""
    near = [[differences(child, m) == 1 for m in members] for child in children(strategy, n)]
    assert all(sum(row) == 1 for row in near)
    return [row.index(True) for row in near]


def restated(
    space: Space, seed: int, population: int, tournament: int, scores: dict[Architecture, float]
) -> list[Architecture]:
    """The procedure in plain words, with lists; one proposal at a time."""
    rng = np.random.default_rng(seed)
    founders = space.sample(rng, population)
    numbers: list[float] = []
    members: list[Architecture] = []
    history: list[Architecture] = []

    def uniform() -> float:
        if not numbers:
            numbers.extend(rng.random(256))
        return numbers.pop(0)

    while len(history) < 120:
        if len(history) < population:
            cell = founders[population - 1 - len(history)]
        else:
            drawn = [members[int(uniform() * len(members))] for _ in range(tournament)]
            parent = max(drawn, key=lambda member: scores[member])  # the first of equals
            cell = space.mutate(parent, uniform())
        history.append(cell)
        members.append(cell)
        if len(members) > population:
            members.pop(0)
    return history


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    population=st.integers(1, 12),
    tournament=st.integers(1, 6),
    levels=st.integers(1, 50),
)
def test_it_is_the_procedure_in_plain_words(
    seed: int, population: int, tournament: int, levels: int
) -> None:
    space = ToySpace((3, 4, 5))
    draws = np.random.default_rng(seed).integers(0, levels, len(space.cells))
    scores = dict(zip(space.cells, draws.astype(float).tolist(), strict=True))
    strategy = started(space, seed, population=population, tournament=tournament)
    history: list[Architecture] = []
    for _ in range(120):
        [cell] = children(strategy, 1)
        strategy.tell([seen(cell, scores[cell])])
        history.append(cell)
    assert history == restated(space, seed, population, tournament, scores)


def test_the_first_proposals_are_uniform_draws() -> None:
    space = ToySpace()
    draws = [
        space.index(cell)
        for seed in range(400)
        for cell in children(started(space, seed, population=30), 30)
    ]
    assert chi_squared(np.bincount(draws, minlength=24)) < 60  # 23 degrees of freedom


def test_a_child_differs_from_a_living_member_by_one_edge() -> None:
    strategy, scores = started(population=6), np.random.default_rng(1).random(300)
    told: list[Architecture] = []
    for number, score in enumerate(scores.tolist()):
        [child] = children(strategy, 1)
        assert number < 6 or any(differences(child, member) == 1 for member in told[-6:])
        told.append(child)
        strategy.tell([seen(child, score)])


def test_every_neighbor_of_the_parent_is_equally_likely() -> None:
    parent: Architecture = (0, 1, 2, 3, 4, 0)
    born = children(with_members([(parent, 1.0)]), 24_000)
    counts = [born.count(cell) for cell in CELL.neighbors(parent)]
    assert sum(counts) == 24_000
    assert chi_squared(counts) < 60  # 23 degrees of freedom


def test_a_large_tournament_breeds_from_the_best() -> None:
    members = [(cell, float(score)) for score, cell in enumerate(FAR_APART)]
    strategy = with_members(members, tournament=500)
    assert parents(strategy, 100, FAR_APART) == [9] * 100


def test_the_tournament_draws_with_replacement() -> None:
    members = [(cell, float(score)) for score, cell in enumerate(FAR_APART)]
    chosen = np.bincount(parents(with_members(members, tournament=3), 20_000, FAR_APART))
    # The winner is member i or worse with probability ((i + 1) / 10)**3.
    expected = 20_000 * np.diff((np.arange(11) / 10) ** 3)
    assert ((chosen - expected) ** 2 / expected).sum() < 40  # 9 degrees: 1 in 100,000


def test_a_tournament_of_one_breeds_from_anyone() -> None:
    members = [(cell, float(score)) for score, cell in enumerate(FAR_APART)]
    chosen = parents(with_members(members, tournament=1), 10_000, FAR_APART)
    assert chi_squared(np.bincount(chosen, minlength=10)) < 40  # 9 degrees of freedom


def test_the_oldest_dies_even_if_it_is_the_best() -> None:
    members = [(FAR_APART[0], 1000.0)] + [(cell, 1.0) for cell in FAR_APART[1:4]]
    strategy = with_members(members, tournament=200)
    assert set(parents(strategy, 20, FAR_APART)) == {0}
    strategy.tell([seen(FAR_APART[4], 2.0)])
    assert set(parents(strategy, 20, FAR_APART)) == {4}


def test_the_youngest_lives_even_if_it_is_the_worst() -> None:
    strategy = with_members([(FAR_APART[0], 5.0)])
    strategy.tell([seen(FAR_APART[1], -5.0)])
    assert set(parents(strategy, 20, FAR_APART)) == {1}


def test_many_workers_before_anyone_came_back() -> None:
    strategy = started(population=4)
    first = children(strategy, 50)
    assert len(first) == 50
    assert all(map(CELL.contains, first))
    assert len(set(first[4:])) > 30  # still random draws, not copies of one
    strategy.tell([seen(cell, float(score)) for score, cell in enumerate(reversed(first))])
    newest = first[:4]  # told in reverse: these came back last
    for child in children(strategy, 50):
        assert any(differences(child, member) == 1 for member in newest)


def test_children_are_born_while_some_founders_are_still_in_training() -> None:
    strategy = started(population=10)
    founders = children(strategy, 10)
    strategy.tell([seen(founders[7], 1.0)])
    assert all(differences(child, founders[7]) == 1 for child in children(strategy, 20))


def test_an_infeasible_member_loses_against_any_other() -> None:
    members = [(cell, INFEASIBLE) for cell in FAR_APART[:9]] + [(FAR_APART[9], -1e300)]
    assert set(parents(with_members(members, tournament=500), 50, FAR_APART)) == {9}


def test_an_infeasible_cell_is_no_member() -> None:
    members = [(FAR_APART[0], 1.0), *((cell, INFEASIBLE) for cell in FAR_APART[1:])]
    strategy = with_members([*members, *members[1:]], tournament=1)  # nor does it age the others
    assert set(parents(strategy, 200, FAR_APART)) == {0}


def test_where_all_are_infeasible_draws_are_uniform() -> None:
    strategy = with_members([(cell, INFEASIBLE) for cell in FAR_APART], tournament=3)
    near = [min(differences(child, m) for m in FAR_APART) for child in children(strategy, 200)]
    assert max(near) > 1


def test_after_a_hundred_free_answers_it_draws_new_cells_until_one_is_evaluated() -> None:
    strategy = with_members([(FAR_APART[0], 1.0)] * 10)
    again = Observation(FAR_APART[0], 1, 1.0, 0.0, "repeat")
    strategy.tell([again] * 99)
    assert parents(strategy, 50, FAR_APART[:1]) == [0] * 50
    strategy.tell([again])
    assert max(differences(child, FAR_APART[0]) for child in children(strategy, 50)) > 4
    strategy.tell([again._replace(status="ok")])
    assert parents(strategy, 50, FAR_APART[:1]) == [0] * 50


def test_a_masked_space_does_not_hold_it_up() -> None:
    """Cells of 3,125, each with a few neighbors: the populations of half of these runs close themselves in."""
    protocol = Protocol(evaluations=200, missing="masked", repeats="reuse")
    runs = [run_search("evolution", "nb201-fashion", protocol, run=i) for i in range(4)]
    assert [run.stop for run in runs] == ["budget"] * 4
    assert max(run.free for run in runs) > 1000


@pytest.mark.parametrize("options", [{"population": 0}, {"population": -3}, {"tournament": 0}])
def test_sizes_must_be_positive(options: dict[str, Any]) -> None:
    with pytest.raises(
        InvalidArgumentError,
        match=r"evolution needs (population|tournament) to be a whole number of at least 1",
    ):
        started(**options)


@pytest.mark.parametrize("value", [2.5, "7", None, float("nan")])
@pytest.mark.parametrize("setting", ["population", "tournament"])
def test_sizes_must_be_integers(setting: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="evolution needs"):
        started(**{setting: value})


# How a parent is mutated. Chi-squared bounds are passed by 1 in 10,000 or fewer; the seeds are fixed.

KERNELS = ["uniform", "node-first", "each-position"]
PARENT: Architecture = (0, 1, 2, 3, 4, 0)
N = 18_000


def born(mutation: str, parent: Architecture = PARENT, n: int = N, **options: Any) -> list[Any]:
    return children(with_members([(parent, 1.0)], mutation=mutation, **options), n)


def changed(child: Architecture, parent: Architecture = PARENT) -> list[int]:
    return [i for i, (a, b) in enumerate(zip(child, parent, strict=True)) if a != b]


def off(counts: Any, shares: Any) -> float:
    """Return the chi-squared statistic of counts against expected shares."""
    observed = np.asarray(counts, float)
    expected = observed.sum() * np.asarray(shares)
    return float(((observed - expected) ** 2 / expected).sum())


@pytest.mark.parametrize(
    ("mutation", "shares"),
    [
        ("uniform", [1 / 6] * 6),
        # One of three nodes, then one of the 1, 2 or 3 edges that enter it.
        ("node-first", [1 / 3, 1 / 6, 1 / 6, 1 / 9, 1 / 9, 1 / 9]),
    ],
)
def test_how_often_each_edge_changes(mutation: str, shares: list[float]) -> None:
    edges = [changed(child) for child in born(mutation)]
    assert all(len(edge) == 1 for edge in edges)
    counts = np.bincount([edge[0] for edge in edges], minlength=6)
    assert off(counts, shares) < 26  # 5 degrees of freedom
    other = [1 / 6] * 6 if mutation == "node-first" else [1 / 3, 1 / 6, 1 / 6, 1 / 9, 1 / 9, 1 / 9]
    assert off(counts, other) > 1000


def test_each_position_changes_by_itself() -> None:
    edges = [changed(child) for child in born("each-position")]
    per_edge = np.bincount(np.concatenate(edges).astype(int), minlength=6)
    assert off(per_edge, [1 / 6] * 6) < 26
    # The number of changes is binomial, 6 trials with 1/4 each: none at all in 18 of 100 children.
    numbers = np.bincount([len(edge) for edge in edges], minlength=7)
    binomial = [math.comb(6, k) * 0.25**k * 0.75 ** (6 - k) for k in range(7)]
    shares = [*binomial[:5], sum(binomial[5:])]
    assert off([*numbers[:5], numbers[5:].sum()], shares) < 26
    assert np.mean([len(edge) for edge in edges]) == pytest.approx(1.5, abs=0.05)
    assert numbers[0] > 0
    together = np.mean([0 in edge and 5 in edge for edge in edges])
    assert together == pytest.approx(1 / 16, abs=0.01)


@pytest.mark.parametrize("mutation", KERNELS)
def test_every_other_operation_is_equally_likely(mutation: str) -> None:
    for edge, old in ((0, 0), (5, 0), (2, 2)):
        new = [child[edge] for child in born(mutation) if child[edge] != old]
        counts = [new.count(op) for op in range(5) if op != old]
        assert off(counts, [1 / 4] * 4) < 22  # 3 degrees of freedom


def test_the_expected_number_of_changes_is_the_same_in_a_longer_cell() -> None:
    space = ToySpace((3,) * 9)
    parent: Architecture = (1,) * 9
    strategy = started(space, population=1, mutation="each-position")
    strategy.ask(1)
    strategy.tell([seen(parent, 1.0)])
    changes = [len(changed(child, parent)) for child in children(strategy, 6_000)]
    assert np.mean(changes) == pytest.approx(1.5, abs=0.08)


def masked() -> MaskedSpace:
    """Return NAS-Bench-201 cut down to about a third."""
    return MaskedSpace(CELL, CELL.sample(np.random.default_rng(5), 6_000))


@pytest.mark.parametrize(
    ("space", "mutation"),
    [
        *((CELL, mutation) for mutation in KERNELS),
        *((masked(), mutation) for mutation in KERNELS),
        *((NasBenchGraph(), mutation) for mutation in ("uniform", "each-position")),
        *((NasBenchGraphProteins(), mutation) for mutation in ("uniform", "each-position")),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_children_are_cells_of_the_space(space: Space, mutation: str) -> None:
    strategy = started(space, seed=1, population=8, mutation=mutation)
    scores = np.random.default_rng(2).random(150).tolist()
    cells = []
    for score in scores:
        [child] = children(strategy, 1)
        assert space.contains(child)
        assert type(child[0]) is int
        strategy.tell([seen(child, score)])
        cells.append(child)
    assert len(set(cells)) > 20


def test_a_parent_without_measured_neighbors_is_left_as_it_is() -> None:
    space = MaskedSpace(CELL, [(0,) * 6, (1,) * 6])
    for mutation in ("node-first", "each-position"):
        strategy = started(space, population=2, mutation=mutation)
        founders = children(strategy, 2)
        strategy.tell([seen(cell, 1.0) for cell in founders])
        assert set(children(strategy, 10)) <= set(founders)


def test_the_groups_are_the_edges_that_enter_each_node() -> None:
    assert CELL.groups == masked().groups == ((0,), (1, 2), (3, 4, 5))
    assert ToySpace().groups is NasBenchGraph().groups is None


@pytest.mark.parametrize("space", [ToySpace(), NasBenchGraph()], ids=lambda space: str(space.name))
def test_a_node_can_be_chosen_only_where_the_space_knows_nodes(space: Space) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"'node-first' needs .*{space.name} does not"):
        started(space, mutation="node-first")
    assert started(space, mutation="each-position")


@pytest.mark.parametrize("value", ["edge", "", "Uniform", None, 3, ("uniform",)], ids=repr)
def test_mutations_that_nobody_knows(value: Any) -> None:
    with pytest.raises(
        InvalidArgumentError, match="one of uniform, node-first, each-position; got"
    ) as caught:
        started(mutation=value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("mutation", KERNELS)
def test_the_same_seed_gives_the_same_children(mutation: str) -> None:
    assert born(mutation, n=200) == born(mutation, n=200)
