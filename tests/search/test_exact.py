"""Random search without running it: against enumeration, against simulation, and its refusals."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.errors import InvalidArgumentError, MissingValueError, UnknownNameError
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.exact import (
    random_sampling,
    random_search_baseline,
    random_search_curve,
    random_search_law,
    random_search_simulated,
)
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


TABLES = ["nb201-cifar10", "nb201-cifar100", "nb201-imagenet16-120"]


def worst_z(name: str, protocol: Protocol, runs: int) -> float:
    """Return the largest |z| of simulated random search against the exact mean, at all counts.

    The master seed is fixed, so this is the same number each time.
    """
    bench, counts = load(name), np.arange(1, 101)
    search = searcher("random", bench, protocol)
    found = [search(2026, run) for run in range(runs)]
    values = np.concatenate([run.values for run in found])
    cells = np.concatenate([run.architectures for run in found])
    lengths = np.full(runs, len(counts))
    best = incumbents(values, np.zeros(len(values)), lengths, bench.objective.direction)
    final = at_evaluations(best, np.asarray(bench.query(cells)), counts)
    exact = random_search_law(bench, protocol, counts).value
    mean, error = final.mean(axis=0), final.std(axis=0, ddof=1) / np.sqrt(runs)
    # Sharp enough to notice if the law counted one evaluation more or less.
    assert np.abs((mean[1:3] - exact.mean[:2]) / error[1:3]).min() > 4.5
    np.testing.assert_allclose(final.std(axis=0, ddof=1), exact.sd, rtol=8 / np.sqrt(runs))
    below = (final <= exact.quantiles[:, 2]).mean(axis=0)
    # Never below a half but for chance; a tie may take it above.
    assert (below - 0.5).min() * 2 * np.sqrt(runs) > -4.5
    return float(np.abs((mean - exact.mean) / error).max())


@pytest.mark.parametrize("switches", [{}, {"seeds": "mean"}, {"seeds": "mean", "repeats": "reuse"}])
@pytest.mark.parametrize("name", TABLES)
def test_simulated_random_search_agrees(name: str, switches: dict[str, Any]) -> None:
    # 900 correlated comparisons in all; a normal |z| beyond 4.5 comes once in 150,000.
    assert worst_z(name, Protocol(evaluations=100, **switches), runs=400) <= 4.5


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_twenty_thousand_runs_of_random_search_agree(name: str) -> None:
    assert worst_z(name, Protocol(evaluations=100), runs=20_000) <= 4


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


def distinct_by_enumeration(values: list[float], final: list[float], draws: int) -> float:
    """Go through all orders of the cells; the first of the best is chosen."""
    orders = list(permutations(range(len(values)), min(draws, len(values))))
    return float(np.mean([final[max(order, key=lambda i: values[i])] for order in orders]))


@pytest.mark.parametrize("repeats", ["reuse", "forbid"])
@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.integers(0, 3), min_size=3, max_size=5))
def test_distinct_cells_are_draws_without_replacement(repeats: Any, values: list[int]) -> None:
    n = len(values)
    test = np.arange(1.0, n + 1)
    bench = toy_bench(np.array(values, float), space=ToySpace((n,)), test=test)
    counts = np.arange(1, n + 1)
    protocol = Protocol(evaluations=1, repeats=repeats, patience=10**6)
    got = random_search_curve(bench, protocol, counts, "test_score")
    expected = [
        distinct_by_enumeration(list(map(float, values)), test.tolist(), k) for k in counts.tolist()
    ]
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_within_limits_the_law_is_that_of_the_cells_within_them() -> None:
    values, size = np.arange(24.0), np.tile([1.0, 2.0], 12)
    limited = toy_bench(values, static={"size": size})
    protocol = Protocol(evaluations=9, limits=(("size", 1.0),))
    few = toy_bench(values[::2], cells=ToySpace().cells[::2])
    expected = random_search_law(few, Protocol(evaluations=9, missing="masked"), COUNTS)
    got = random_search_law(limited, protocol, COUNTS)
    np.testing.assert_allclose(got.value.mean, expected.value.mean)
    np.testing.assert_array_equal(got.value.quantiles, expected.value.quantiles)
    assert got.optimum == 22
    assert got.without.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "switches",
    [
        {"limits": (("size", 0.0),), "patience": 30},
        {"repeats": "reuse", "patience": 2},
        {"repeats": "forbid", "patience": 3, "limits": (("size", 0.5),)},
        {"repeats": "reuse", "patience": 5, "seeds": 101},
    ],
    ids=str,
)
def test_runs_that_stall_are_in_the_law(switches: dict[str, Any]) -> None:
    size = np.repeat([0.0, 0.5, 1.0], [1, 11, 12])
    bench = toy_bench(10.0 * np.arange(24)[:, None] + np.arange(2), static={"size": size})
    if switches.get("seeds") is None:
        bench = toy_bench(np.arange(24.0)[::-1], static={"size": size})
    protocol = Protocol(evaluations=20, **switches)
    counts = np.arange(1, 21)
    exact = random_search_law(bench, protocol, counts)
    runs = 3000
    simulated = random_search_simulated(bench, protocol, counts, runs=runs)
    error = np.maximum(simulated.error, 1e-9)
    assert np.abs((simulated.value.mean - exact.value.mean) / error).max() < 4.5
    assert np.abs(simulated.value.sd - exact.value.sd).max() < 0.06 * max(exact.value.sd[0], 1)
    spread = np.sqrt(exact.without * (1 - exact.without) / runs)
    assert (np.abs(simulated.without - exact.without) <= 4.5 * spread + 1e-12).all()
    assert simulated.reason == "it was asked for"


REASONS = [
    ({"seconds": 100.0}, "ended by a budget in seconds"),
    ({"workers": 2}, "several workers change the order"),
    ({"repeats": "reuse"}, "each cell keeps the training that was drawn"),
    ({"repeats": "forbid"}, "each cell keeps the training that was drawn"),
]


class Lopsided(ToySpace):
    """A space as NAS-Bench-101, which draws some networks more often than others."""

    uniform = False

    def sample(self, rng: np.random.Generator, n: int) -> list[tuple[int, ...]]:
        return [
            min(pair) for pair in zip(super().sample(rng, n), super().sample(rng, n), strict=True)
        ]


def test_no_law_is_known_of_draws_that_are_not_uniform() -> None:
    bench = toy_bench(np.arange(24.0), space=Lopsided())
    protocol = Protocol(evaluations=3)
    with pytest.raises(InvalidArgumentError, match="draws are not uniform over its networks"):
        random_search_law(bench, protocol, COUNTS)
    found = random_search_baseline(bench, protocol, COUNTS, runs=400)
    even = random_search_law(toy_bench(np.arange(24.0)), protocol, COUNTS)
    assert not found.is_exact
    assert found.value.mean[0] < even.value.mean[0] - 2  # 7.7 instead of 11.5, standard error 0.3
    part = toy_bench(np.where(np.arange(24.0) < 20, np.arange(24.0), np.nan), space=Lopsided())
    masked = random_search_law(part, protocol._replace(missing="masked"), COUNTS)
    assert masked.is_exact  # what was measured is drawn uniformly
    assert masked.value.mean[0] == pytest.approx(9.5)


@pytest.mark.parametrize(("switches", "reason"), REASONS, ids=str)
def test_where_no_law_is_known_it_says_why(switches: dict[str, Any], reason: str) -> None:
    bench = noisy_bench(seconds=1.0, static={"size": np.ones(24)})
    protocol = Protocol(evaluations=9, **switches)
    for function in (random_search_curve, random_search_law):
        with pytest.raises(
            InvalidArgumentError,
            match=f"exact law of random search is not known: .*{reason}.*random_search_simulated",
        ):
            function(bench, protocol, COUNTS)
    simulated = random_search_baseline(bench, protocol, COUNTS, runs=50)
    assert reason in simulated.reason
    assert simulated.runs == 50
    assert not simulated.is_exact
    assert (simulated.error > 0).all()


def test_without_times_workers_change_nothing_unless_proposals_are_free() -> None:
    bench = toy_bench(np.arange(24.0), static={"size": np.ones(24)})
    plain = random_search_curve(bench, Protocol(evaluations=9), COUNTS)
    several = Protocol(evaluations=9, workers=4)
    np.testing.assert_array_equal(random_search_curve(bench, several, COUNTS), plain)
    for switches in ({"repeats": "reuse"}, {"limits": (("size", 1.0),)}):
        with pytest.raises(InvalidArgumentError, match="free proposals at once"):
            random_search_curve(bench, several._replace(**switches), COUNTS)


def test_the_record_holds_value_and_regret() -> None:
    bench = noisy_bench(test=np.arange(24.0))
    law = random_search_law(bench, Protocol(evaluations=9), COUNTS)
    assert law.is_exact
    assert (law.metric, law.axis, law.reason, law.runs) == ("score", "evaluations", "", 0)
    assert law.at.tolist() == [1, 2, 3]
    assert law.optimum == 231
    np.testing.assert_allclose(law.regret.mean, 231 - law.value.mean)
    np.testing.assert_array_equal(law.regret.sd, law.value.sd)
    np.testing.assert_allclose(law.regret.quantiles, 231 - law.value.quantiles[:, ::-1])
    assert (law.error == 0).all()
    assert (law.without == 0).all()
    test = random_search_law(bench, Protocol(evaluations=9), COUNTS, "test_score")
    assert (test.metric, test.optimum) == ("test_score", 23)


def test_regret_is_never_negative_whichever_way_is_better() -> None:
    for direction in ("max", "min"):
        bench = noisy_bench(direction=direction)
        law = random_search_law(bench, Protocol(evaluations=9), np.arange(1, 200))
        assert (np.diff(law.regret.mean) < 0).all()
        assert law.regret.quantiles.min() >= 0
        assert law.regret.mean[-1] == pytest.approx(0, abs=0.1)
        assert (np.diff(law.regret.quantiles, axis=1) >= 0).all()


def test_the_final_value_may_be_the_training_that_was_seen() -> None:
    bench, protocol = noisy_bench(), Protocol(evaluations=9, final="seen")
    counts = np.array([1, 1000])
    seen = random_search_law(bench, protocol, counts)
    assert seen.optimum == 231
    np.testing.assert_allclose(seen.value.mean, [116, 232])  # the best training of the best cell
    mean = random_search_law(bench, protocol._replace(final="mean"), counts)
    np.testing.assert_allclose(mean.value.mean, [116, 231])


def test_an_epoch_of_the_protocol_is_the_one_that_is_observed() -> None:
    values = np.stack([np.arange(24.0)[::-1], np.arange(24.0)], axis=1)[:, None, :]
    bench = toy_bench(values, epochs=(1, 4))
    many = np.array([300])
    late = random_search_curve(bench, Protocol(evaluations=9), many)
    early = random_search_curve(bench, Protocol(evaluations=9, epoch=1), many)
    assert late[0] == pytest.approx(23, abs=1e-3)
    assert early[0] == pytest.approx(0, abs=1e-3)


def test_random_sampling_is_the_space_itself() -> None:
    bench = load("nb201-cifar10")
    values = np.asarray(bench.query(bench.measured()))
    for protocol in (Protocol(evaluations=1), Protocol(seconds=9.0, workers=3, final="seen")):
        law = random_sampling(bench, protocol)
        assert law.is_exact
        assert law.value.mean[0] == pytest.approx(values.mean(), rel=1e-12)
        assert law.value.sd[0] == pytest.approx(values.std(), rel=1e-9)
        assert law.value.quantiles[0, 2] == pytest.approx(np.median(values))
        assert law.optimum == values.max()
    small = random_sampling(bench, Protocol(evaluations=1, limits=(("parameters", 0.3),)))
    within = bench.query(bench.measured(), "parameters") <= 0.3
    assert small.value.mean[0] == pytest.approx(values[within].mean(), rel=1e-12)


def test_over_seconds_it_is_simulated() -> None:
    bench = noisy_bench(seconds=np.linspace(1, 9, 24)[:, None] + np.zeros(3))
    grid = np.array([0.5, 5.0, 50.0, 1e6])
    protocol = Protocol(seconds=60.0)
    found = random_search_simulated(bench, protocol, grid, axis="seconds", runs=200)
    assert found.axis == "seconds"
    assert found.without[0] == 1
    assert np.isnan(found.value.mean[0])
    assert np.isnan(found.error[0])
    assert found.without[2:].tolist() == [0, 0]
    assert (np.diff(found.value.mean[1:]) > 0).all()
    assert "simulated time" in found.reason


def test_a_simulation_is_the_same_twice_and_another_one_with_another_seed() -> None:
    bench, protocol = noisy_bench(), Protocol(evaluations=5, repeats="reuse")
    one, two = (random_search_simulated(bench, protocol, COUNTS, runs=30) for _ in range(2))
    other = random_search_simulated(bench, protocol, COUNTS, runs=30, seed=1)
    np.testing.assert_array_equal(one.value.quantiles, two.value.quantiles)
    assert (one.value.mean != other.value.mean).all()


def test_a_simulation_refuses_what_means_nothing() -> None:
    bench, protocol = noisy_bench(), Protocol(evaluations=5)
    with pytest.raises(InvalidArgumentError, match="at least 2 runs"):
        random_search_simulated(bench, protocol, COUNTS, runs=1)
    with pytest.raises(InvalidArgumentError, match="no training times"):
        random_search_simulated(bench, protocol, np.array([1.0]), axis="seconds")
    with pytest.raises(UnknownNameError, match="accuracy"):
        random_search_simulated(bench, protocol, COUNTS, "accuracy")
    bench.stateful = True
    with pytest.raises(InvalidArgumentError, match="trains for real"):
        random_search_simulated(bench, protocol, COUNTS)
    with pytest.raises(InvalidArgumentError, match=r"every answer .* is a training"):
        random_search_law(bench, protocol, COUNTS)


def test_no_cell_within_the_limits_is_refused() -> None:
    bench = toy_bench(np.arange(24.0), static={"size": np.ones(24)})
    protocol = Protocol(evaluations=5, limits=(("size", 0.5),))
    with pytest.raises(InvalidArgumentError, match="No architecture of toy-table keeps the limits"):
        random_search_law(bench, protocol, COUNTS)


def test_a_cell_without_the_metric_has_no_expectation() -> None:
    test = np.arange(24.0)
    test[3] = np.nan
    bench = toy_bench(np.arange(24.0), test=test)
    with pytest.raises(MissingValueError, match=r"lacks test_score .*1 of 24"):
        random_search_law(bench, Protocol(evaluations=1), COUNTS, "test_score")


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


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_counts_start_at_one_and_are_whole(count: float) -> None:
    with pytest.raises(InvalidArgumentError, match="counts must be whole numbers"):
        random_search_curve(noisy_bench(), Protocol(evaluations=1), np.array([1, count]))
