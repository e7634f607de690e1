"""Verdicts, seed noise and the table's noise: by hand, by law, and the planted null experiment."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nasbench_tab as nbt
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.stats.bootstrap import Interval, resampling_weights
from nasbench_tab.stats.verdict import (
    Verdict,
    false_alarms,
    judge,
    seed_noise,
    verdict,
    with_table_noise,
)


def weights_for(n: int, repetitions: int = 4000) -> np.ndarray:
    return resampling_weights(n, repetitions, np.random.default_rng(0))


def judged(low: float, high: float, rope: float, n: int = 50) -> Verdict:
    return judge(Interval(np.array((low + high) / 2), np.array(low), np.array(high)), n, rope)


@pytest.mark.parametrize(
    ("low", "high", "real", "matters"),
    [
        (2.0, 3.0, True, "relevant"),
        (-3.0, -2.0, True, "relevant"),
        (0.1, 0.9, True, "equivalent"),  # real, and of no matter
        (-0.9, 0.8, False, "equivalent"),
        (-1.0, 1.0, False, "equivalent"),  # the edge belongs to the region
        (0.5, 1.5, True, "undecided"),
        (-1.5, 0.5, False, "undecided"),
        (1.0, 2.0, True, "undecided"),
        (0.0, 2.0, False, "undecided"),
    ],
)
def test_the_two_verdicts_are_kept_apart(low: float, high: float, real: bool, matters: str) -> None:
    found = judged(low, high, rope=1.0)
    assert (found.real, found.matters, found.note) == (real, matters, "")


def test_without_a_rope_nothing_is_equivalent_or_relevant() -> None:
    found = judged(2.0, 3.0, rope=np.nan)
    assert (found.real, found.matters) == (True, None)
    assert "one training per cell" in found.note
    with pytest.raises(InvalidArgumentError, match="0 or wider"):
        judged(2.0, 3.0, rope=-0.1)


def test_few_runs_are_refused_or_flagged() -> None:
    first, second = np.arange(30.0), np.arange(30.0)[::-1] + 3
    four = verdict(first[:4], second[:4], 0.1, weights_for(4))
    assert (four.real, four.matters, four.n) == (None, None, 4)
    assert four.difference.estimate == pytest.approx((first[:4] - second[:4]).mean())
    assert np.isnan([four.difference.low, four.difference.high]).all()
    assert "at least 5" in four.note
    for n, flagged in ((5, True), (19, True), (20, False)):
        found = verdict(first[:n], second[:n], 0.1, weights_for(n))
        assert found.real is not None
        assert ("fewer than 20" in found.note) is flagged


def test_a_pair_without_a_value_is_left_out_and_counted() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(0, 1, (2, 40))
    holed = first.copy()
    holed[[3, 17]] = np.nan
    found = verdict(holed, second, 0.1, weights_for(40))
    assert found.n == 38
    assert found.note == "2 pairs without a value were left out"
    kept = np.isfinite(holed)
    without = verdict(first[kept], second[kept], 0.1, weights_for(38))
    assert found.difference.estimate == pytest.approx(without.difference.estimate)
    assert found.difference.low == pytest.approx(without.difference.low, abs=0.03)
    nobody = verdict(np.full(6, np.nan), np.zeros(6), 0.1, weights_for(6))
    assert (nobody.n, nobody.real) == (0, None)
    assert np.isnan(nobody.difference.estimate)


def test_runs_that_do_not_pair_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="one value per run"):
        verdict(np.zeros(6), np.zeros(7), 0.1, weights_for(6))
    with pytest.raises(InvalidArgumentError, match="weights"):
        verdict(np.zeros(6), np.zeros(6), 0.1, weights_for(7))


def test_equal_runs_are_not_really_different_and_equivalent() -> None:
    found = verdict(np.full(20, 91.1), np.full(20, 91.1), 0.0, weights_for(20))
    assert (found.real, found.matters) == (False, "equivalent")


def test_differences_that_cancel_up_to_rounding_are_none() -> None:
    assert judged(1e-17, 0.3, 0.1).real is False
    assert judged(1e-9, 0.3, 0.1).real is True


def test_seed_noise_by_hand() -> None:
    # Squares 2, 0 + 0, and 0.5 about the means; one cell with one training adds to the seeds only.
    trainings = np.array(
        [[1.0, 3.0, np.nan], [5.0, 5.0, 5.0], [2.0, np.nan, 3.0], [9.0, np.nan, np.nan]]
    )
    found = seed_noise(trainings)
    assert found.sd.estimate == pytest.approx(np.sqrt(2.5 / 4))
    assert found.rope == pytest.approx(found.sd.estimate * np.sqrt((1 / 2 + 1 / 3 + 1 / 2 + 1) / 4))
    assert found.n == 3
    assert np.isnan(found.sd.low)  # three cells are too few for an interval


def test_seed_noise_finds_the_deviation_and_covers_it() -> None:
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        trainings = rng.normal(rng.normal(90, 5, (150, 1)), 0.3, (150, 3))
        trainings[::2, 2] = np.nan
        found = seed_noise(trainings)
        missed += not found.sd.low <= 0.3 <= found.sd.high
    assert missed / 300 == pytest.approx(0.05, abs=0.04)


@pytest.mark.parametrize(
    "trainings", [np.full((4, 1), 3.0), np.full((2, 3), np.nan), np.empty((0, 3))]
)
def test_seed_noise_of_single_trainings_is_unknown(trainings: np.ndarray) -> None:
    found = seed_noise(trainings)
    assert found.n == 0
    assert np.isnan(found.rope)
    assert np.isnan(found.sd.estimate)


def test_table_noise_of_one_cell_each_is_the_noise_of_two_means() -> None:
    # All runs of one strategy end in cell 0, all of the other in cell 1: no error of runs at all.
    first, second = np.zeros(30, int), np.ones(30, int)
    found = with_table_noise(first, second, np.array([91.0, 90.6]), np.array([1, 4]), 0.2, weights_for(30), np.random.default_rng(1))  # fmt: skip
    expected = 0.2 * np.sqrt(1 + 1 / 4)
    assert found.run_sd == 0
    assert found.table_sd == pytest.approx(expected)
    assert found.difference.estimate == pytest.approx(0.4)
    assert found.difference.high - found.difference.low == pytest.approx(4.1 * expected, rel=0.08)
    assert judge(found.difference, found.n, 0.1).real is False  # by runs alone it would be
    assert found.cells == 2


def test_the_same_final_cells_share_their_error() -> None:
    cells = np.random.default_rng(0).integers(0, 9, 40)
    found = with_table_noise(cells, cells, np.arange(9.0), np.full(9, 2), 5.0, weights_for(40), np.random.default_rng(1))  # fmt: skip
    assert tuple(map(float, found.difference)) == (0, 0, 0)
    assert found.table_sd == 0


def test_without_noise_it_is_the_verdict_on_runs() -> None:
    rng = np.random.default_rng(5)
    first, second, values = rng.integers(0, 50, 60), rng.integers(0, 50, 60), rng.random(50)
    found = with_table_noise(first, second, values, np.ones(50, int), 0.0, weights_for(60), rng)
    plain = verdict(values[first], values[second], 0.1, weights_for(60))
    assert found.difference.low == pytest.approx(plain.difference.low)
    assert found.run_sd == pytest.approx((values[first] - values[second]).std(ddof=1) / np.sqrt(60))


@given(st.integers(0, 10**6))
def test_both_errors_add_as_variances(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 6, 50), rng.integers(2, 8, 50)
    values, sd = rng.random(8), rng.random(8)
    found = with_table_noise(first, second, values, rng.integers(1, 4, 8), sd, weights_for(50, 1000), rng)  # fmt: skip
    width = float(found.difference.high - found.difference.low) / (2 * 2.03)
    assert width == pytest.approx(np.hypot(found.run_sd, found.table_sd), rel=0.2)


@pytest.mark.parametrize("n_cells", [12, 4000])  # many runs in each cell; each run in its own
def test_table_noise_covers_the_true_difference(n_cells: int) -> None:
    rng = np.random.default_rng(7)
    truth = rng.normal(90, 0.2, n_cells)
    half, third = n_cells // 2, n_cells // 3
    gap = truth[: half + third].mean() - truth[third:].mean()
    missed, wide = np.zeros(2), []
    for _ in range(300):
        first, second = rng.integers(0, half + third, 100), rng.integers(third, n_cells, 100)
        seeds = rng.integers(1, 4, n_cells)
        values = truth + rng.normal(0, 0.5 / np.sqrt(seeds))
        weights = resampling_weights(100, 400, rng)
        both = with_table_noise(first, second, values, seeds, 0.5, weights, rng)
        runs = verdict(values[first], values[second], 0.1, weights).difference
        missed += [not i.low <= gap <= i.high for i in (both.difference, runs)]
        wide.append(both.table_sd / both.run_sd)
    assert 0.02 < missed[0] / 300 < 0.08
    if n_cells == 12:
        assert missed[1] / 300 > 0.2  # runs alone claim too much
    else:
        assert np.mean(wide) < 0.3  # nothing is shared: the spread over runs holds it all


def test_the_shared_part_is_what_pairs_of_different_runs_have_in_common() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 4, 9), rng.integers(1, 5, 9)
    seeds, sd = rng.integers(1, 4, 5), rng.random(5)
    noise = rng.normal(size=(200_000, 5)) * sd / np.sqrt(seeds)
    errors = noise[:, first] - noise[:, second]
    total = errors.sum(axis=1) ** 2 - (errors**2).sum(axis=1)  # products of different runs only
    found = with_table_noise(first, second, np.zeros(5), seeds, sd, weights_for(9), rng)
    assert found.table_sd == pytest.approx(np.sqrt(max(0, total.mean()) / (9 * 8)), rel=0.02)


@pytest.mark.parametrize(
    ("first", "seeds", "sd", "words"),
    [
        ([0, 1, 0, 1, -1], [1, 1], 0.1, "final cell"),
        ([0, 1, 0, 1], [1, 1], 0.1, "one cell per run"),
        ([0, 1, 0, 1, 0], [1, 0], 0.1, "at least one training"),
        ([0, 1, 0, 1, 0], [1, 1], np.nan, "one training per cell has none"),
    ],
)
def test_table_noise_refuses_what_it_cannot_know(
    first: list[int], seeds: list[int], sd: float, words: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        with_table_noise(np.array(first), np.zeros(5, int), np.ones(2), np.array(seeds), sd, weights_for(5), np.random.default_rng(0))  # fmt: skip


@cache
def finals(strategy: str) -> np.ndarray:
    """Return the finals of many independent searches of 100 evaluations on nb201-cifar10."""
    bench = nbt.load("nb201-cifar10")
    if strategy == "random":  # drawn here by its own law: independent cells, each with a drawn seed
        rng = np.random.default_rng(0)
        cells = bench.measured()
        seeds = sorted({seed for cell in cells.tolist() for seed in bench.seeds(tuple(cell))})
        each = [bench.query(cells, seed=seed, mask=True).filled(np.nan) for seed in seeds]
        table = np.stack(each, axis=1)
        present = np.isfinite(table)
        which = rng.integers(0, len(cells), (4000, 100))
        column = (rng.random(which.shape) * present[which].sum(axis=2)).astype(int)
        dense = np.take_along_axis(table, np.argsort(~present, axis=1, kind="stable"), axis=1)
        best = dense[which, column].argmax(axis=1)
        return np.asarray(bench.query(cells)[which[np.arange(4000), best]])
    protocol = nbt.Protocol(evaluations=100)
    runs = [nbt.run_search(strategy, bench, protocol, run=run) for run in range(400)]
    winners = [tuple(run.architectures[run.values.argmax()].tolist()) for run in runs]
    return bench.query(winners)


@pytest.mark.parametrize("strategy", ["random", "evolution"])
@pytest.mark.parametrize("n_runs", [20, 50, 500])
def test_a_strategy_is_rarely_called_different_from_itself(strategy: str, n_runs: int) -> None:
    found = false_alarms(finals(strategy), n_runs, np.random.default_rng(n_runs))
    assert found.estimate <= 0.065


@pytest.mark.parametrize("strategy", ["random", "evolution"])
def test_at_twenty_runs_the_rate_is_nearly_what_it_says(strategy: str) -> None:
    rng = np.random.default_rng(1)
    rates = [float(false_alarms(finals(strategy), 20, rng).estimate) for _ in range(4)]
    assert 0.04 < np.mean(rates) < 0.062  # plain percentiles: 0.075 and more


def test_a_real_difference_is_seen() -> None:
    random, evolution = finals("random")[:200], finals("evolution")[:200]
    found = verdict(random, evolution, 0.1, weights_for(200))
    assert found.real is True
    assert float(found.difference.estimate) == pytest.approx(-0.28, abs=0.1)


def test_false_alarms_need_runs_enough_for_an_interval() -> None:
    with pytest.raises(InvalidArgumentError, match="at least 5 runs"):
        false_alarms(np.arange(9.0), 4, np.random.default_rng(0))
    assert false_alarms(np.ones(9), 5, np.random.default_rng(0), repetitions=50).estimate == 0
