"""Random search without running it: against enumeration, against simulation, and its refusals."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.errors import InvalidArgumentError, MissingValueError, UnknownNameError
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.exact import random_search_curve
from nasbench_tab.search.run import searcher
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.stats.anytime import at_evaluations, incumbents

from .toys import ToySpace, curves_table, noisy_bench, toy_bench

COUNTS = np.arange(1, 4)


def by_enumeration(bench: TableBenchmark, seeds: Any, draws: int, metric: str) -> float:
    """Go through all sequences of (cell, training seed); the first of the best is chosen."""
    cells = list(map(tuple, bench.measured(seeds if isinstance(seeds, int) else None).tolist()))
    answers = []  # observed, final, probability
    for cell in cells:
        final = float(bench.query(cell, metric))
        if seeds == "random":
            ids = bench.seeds(cell)
            answers += [
                (float(bench.query(cell, seed=s)), final, 1 / len(cells) / len(ids)) for s in ids
            ]
        else:
            seed = None if seeds == "mean" else seeds
            answers.append((float(bench.query(cell, seed=seed)), final, 1 / len(cells)))
    sign = 1 if bench.objective.direction == "max" else -1
    total = 0.0
    for sequence in product(answers, repeat=draws):
        chosen = max(sequence, key=lambda answer: sign * answer[0])
        total += float(np.prod([p for _, _, p in sequence])) * chosen[1]
    return total


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    seeds=st.sampled_from(["random", "mean", 100, 101]),
    metric=st.sampled_from(["score", "test_score"]),
    direction=st.sampled_from(["max", "min"]),
)
def test_it_is_the_mean_over_all_sequences_of_draws(
    data: st.DataObject, seeds: Any, metric: str, direction: Any
) -> None:
    n = data.draw(st.integers(3, 4))
    levels = st.integers(0, 3).map(float)  # many ties
    values = np.array(data.draw(st.lists(levels, min_size=2 * n, max_size=2 * n))).reshape(n, 2)
    values[0, 1] = np.nan  # one cell with one training
    if data.draw(st.booleans()):
        values[1] = np.nan  # one cell without any
    test = values + np.arange(1.0, n + 1)[:, None]
    bench = toy_bench(
        values, space=ToySpace((5,)), cells=[(i,) for i in range(n)], test=test, direction=direction
    )
    protocol = Protocol(evaluations=1, seeds=seeds, missing="masked")
    got = random_search_curve(bench, protocol, COUNTS, metric)
    expected = [by_enumeration(bench, seeds, draws, metric) for draws in COUNTS.tolist()]
    np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize("seeds", ["random", "mean"])
@pytest.mark.parametrize("name", ["nb201-cifar10", "nb201-cifar100", "nb201-imagenet16-120"])
def test_simulated_random_search_agrees(name: str, seeds: Any) -> None:
    runs, length = 400, 100
    bench = load(name)
    protocol = Protocol(evaluations=length, seeds=seeds)
    search = searcher("random", bench, protocol)
    found = [search(2026, run) for run in range(runs)]
    values = np.concatenate([run.values for run in found])
    cells = np.concatenate([run.architectures for run in found])
    lengths = np.full(runs, length)
    best = incumbents(values, np.zeros(len(values)), lengths, bench.objective.direction)
    counts = np.arange(1, length + 1)
    final = at_evaluations(best, np.asarray(bench.query(cells)), counts)
    exact = random_search_curve(bench, protocol, counts)
    mean, error = final.mean(axis=0), final.std(axis=0, ddof=1) / np.sqrt(runs)
    # 600 correlated comparisons in all; a normal |z| beyond 4.5 comes once in 150,000.
    assert np.abs((mean - exact) / error).max() <= 4.5
    # Sharp enough to notice if the law counted one evaluation more or less.
    assert np.abs((mean[1:3] - exact[:2]) / error[1:3]).min() > 4.5


def test_the_objective_is_the_default_and_test_metrics_may_be_asked_for() -> None:
    bench = TableBenchmark(curves_table("curves"), NasBench201(), "sha256:toy")
    protocol = Protocol(evaluations=1, missing="masked")
    plain = random_search_curve(bench, protocol, COUNTS)
    np.testing.assert_array_equal(plain, random_search_curve(bench, protocol, COUNTS, "score"))
    test = random_search_curve(bench, protocol, COUNTS, "test_score")
    assert (test < plain).all()
    small = random_search_curve(bench, protocol, np.array([1]), "parameters")
    assert small[0] == pytest.approx(
        np.mean(
            [float(bench.query(tuple(cell), "parameters")) for cell in bench.measured().tolist()]
        )
    )


def test_the_counts_need_not_be_in_order() -> None:
    bench = noisy_bench()
    protocol = Protocol(evaluations=1)
    turned = random_search_curve(bench, protocol, COUNTS[::-1])
    np.testing.assert_allclose(turned[::-1], random_search_curve(bench, protocol, COUNTS))


def test_where_less_is_better_the_curve_falls() -> None:
    up, down = (
        random_search_curve(noisy_bench(direction=d), Protocol(evaluations=1), np.arange(1, 30))
        for d in ("max", "min")
    )
    assert (np.diff(up) > 0).all()
    assert (np.diff(down) < 0).all()
    assert up[0] == pytest.approx(down[0])


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"seconds": 100.0}, "ended by a budget in seconds"),
        ({"workers": 2}, "several workers change the order"),
        ({"repeats": "reuse"}, "repeated cells are free and not counted"),
        ({"limits": (("size", 1.0),)}, "limits make some draws free"),
    ],
    ids=str,
)
def test_where_no_law_is_known_it_says_why(switches: dict[str, Any], reason: str) -> None:
    bench = noisy_bench(seconds=1.0, static={"size": np.ones(24)})
    with pytest.raises(
        InvalidArgumentError, match=f"exact law of random search is not known: .*{reason}"
    ):
        random_search_curve(bench, Protocol(evaluations=9, **switches), COUNTS)


def test_switches_that_change_nothing_for_random_search_are_allowed() -> None:
    bench = noisy_bench(seconds=1.0)
    plain = random_search_curve(bench, Protocol(evaluations=9), COUNTS)
    for switches in (
        {"overshoot": "drop"},
        {"incumbent": "full-training"},
        {"patience": 1},
        {"missing": "masked"},
    ):
        protocol = Protocol(evaluations=9)._replace(**switches)
        np.testing.assert_array_equal(random_search_curve(bench, protocol, COUNTS), plain)


def test_what_a_search_refuses_is_refused_here_too() -> None:
    with pytest.raises(InvalidArgumentError, match="needs a budget"):
        random_search_curve(noisy_bench(), Protocol(), COUNTS)
    with pytest.raises(UnknownNameError, match="protocol's 'seeds'"):
        random_search_curve(
            noisy_bench(),
            Protocol(evaluations=1, seeds="men"),  # type: ignore[arg-type]
            COUNTS,
        )
    gappy = toy_bench(np.arange(20.0), cells=ToySpace().cells[:20])
    with pytest.raises(InvalidArgumentError, match=r"20 of the 24.*'masked'"):
        random_search_curve(gappy, Protocol(evaluations=1), COUNTS)
    with pytest.raises(MissingValueError, match="no training seed 7"):
        random_search_curve(noisy_bench(), Protocol(evaluations=1, seeds=7), COUNTS)
    with pytest.raises(UnknownNameError, match="metric of toy-table 'accuracy'"):
        random_search_curve(noisy_bench(), Protocol(evaluations=1), COUNTS, "accuracy")


@pytest.mark.parametrize("count", [0, -1])
def test_counts_start_at_one(count: int) -> None:
    with pytest.raises(InvalidArgumentError, match="count"):
        random_search_curve(noisy_bench(), Protocol(evaluations=1), np.array([1, count]))
