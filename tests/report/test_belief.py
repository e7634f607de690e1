"""What is believed of a comparison, against plain computations from the results' frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nasbench_tab.registry import load
from nasbench_tab.report.belief import Belief, Gap, believe
from nasbench_tab.report.summary import Summary, summarise
from nasbench_tab.search.results import Results
from nasbench_tab.spaces.nasbench201 import NasBench201

from .conftest import Compared, early, small_table
from .tables import fixed, one_training, ranked, two_trainings, written

BOTH = ["small", "small-errors"]  # more is better, less is better
THREE = [early(most=3), "random", early("middle", 6, 9)]


def believed(results: Results) -> tuple[Summary, Belief]:
    (summary,) = summarise(results)
    return summary, believe(results, summary)


def column(results: Results, strategy: str, name: str = "regret") -> pd.Series:
    frame = results.frame()
    return frame[frame["strategy"] == strategy].sort_values("run")[name].reset_index(drop=True)


def paired(results: Results, other: str, leader: object) -> np.ndarray:
    return (column(results, other) - column(results, str(leader))).to_numpy()


@pytest.mark.parametrize("benchmark", BOTH)
def test_gaps_are_paired_differences_of_the_frame(compared: Compared, benchmark: str) -> None:
    results = compared([early(most=3), "random", "evolution(population=5)"], [benchmark], 30)
    summary, found = believed(results)
    # The leader is found by the mean of the frame, whichever way is better.
    means = {label: column(results, label).mean() for label in results.strategies}
    leader, second, _ = sorted(means, key=means.__getitem__)
    assert summary.leader == leader
    assert found.runner_up is not None
    assert found.runner_up.other == second
    for gap in (found.random, found.runner_up):
        if gap is None:
            continue
        gaps = paired(results, gap.other, leader)
        assert gap.verdict.n == 30
        assert gap.verdict.difference.estimate == pytest.approx(gaps.mean())
        # The same interval as in the table of outcomes: the page never says two things.
        behind = summary.outcome(gap.other).behind
        assert (gap.verdict.difference.low, gap.verdict.difference.high) == pytest.approx(
            (behind.low, behind.high)
        )
        assert gap.verdict.real == behind.excludes_zero
        assert gap.noisy is not None
        assert gap.noisy.difference.estimate == pytest.approx(gaps.mean())
        assert gap.noisy.run_sd == pytest.approx(gaps.std(ddof=1) / np.sqrt(30))
        assert gap.noisy.n == 30
    assert (found.random is None) == (leader == "random")


@pytest.mark.parametrize("benchmark", BOTH)
def test_the_noise_is_that_of_the_cells_in_which_runs_ended(
    compared: Compared, benchmark: str
) -> None:
    results = compared(benchmarks=[benchmark])
    _, found = believed(results)
    bench = load(benchmark)
    cells = sorted(set(results.frame()["architecture"]))
    each = np.array([[bench.query(cell, seed=s) for s in (1, 2, 3)] for cell in cells])
    values = np.unique(each, axis=0)  # some cells are answered by the trainings of an equal one
    sd = np.sqrt(values.var(axis=1, ddof=1).mean())  # all have three trainings
    assert found.noise is not None
    assert found.noise.n == len(values)
    assert found.noise.sd.estimate == pytest.approx(sd)
    assert found.noise.rope == pytest.approx(sd / np.sqrt(3))
    assert found.runner_up is not None
    assert found.runner_up.verdict.rope == found.noise.rope


def test_two_strings_of_one_network_are_one(compared: Compared, home: Path) -> None:
    # A table of canonical cells, asked for a network by two names: one cell's noise, and none
    # between the two strategies.
    table = small_table("canonical", times=True)
    space = NasBench201()
    forms = np.array(
        [space.canonical(tuple(cell)) for cell in table.architectures.tolist()], np.uint8
    )
    unique, first = np.unique(forms, axis=0, return_index=True)
    training = table.trainings["standard"]
    columns = {n: c._replace(values=c.values[first]) for n, c in training.columns.items()}
    for column in columns.values():
        column.values[:, 2] = np.nan  # two trainings each, of three seeds
    written(
        home,
        table._replace(
            architectures=unique, trainings={"standard": training._replace(columns=columns)}
        ),
        "canonical",
    )
    cell, twin = next(
        (one, other)
        for one in map(tuple, unique.tolist())
        for other in space.neighbors(one)
        if space.canonical(other) == one
    )
    names = [space.format(cell), space.format(twin)]
    results = compared([fixed("one", names[0]), fixed("twin", names[1])], ["canonical"], 20)
    assert len(set(results.frame()["architecture"])) == 2
    _, found = believed(results)
    assert found.noise is not None
    assert found.noise.n == 1
    gap = found.runner_up
    assert gap is not None
    assert gap.noisy is not None
    assert gap.noisy.table_sd == pytest.approx(0, abs=1e-12)
    assert gap.noisy.cells == 1


def test_the_table_s_noise_of_two_cells_is_known(compared: Compared) -> None:
    # Both strategies end in one cell each in all runs, so that the error of the difference is that
    # of two means over three trainings, however many runs there are.
    best, *_, worst = ranked("small")
    results = compared([fixed("up", best), fixed("down", worst)], runs=20)
    _, found = believed(results)
    gap = found.runner_up
    assert gap is not None
    assert gap.noisy is not None
    assert gap.noisy.run_sd == pytest.approx(0, abs=1e-12)
    assert found.noise is not None
    assert gap.noisy.table_sd == pytest.approx(float(found.noise.sd.estimate) * np.sqrt(2 / 3))
    assert (gap.noisy.cells, found.noise.n) == (2, 2)
    assert gap.verdict.difference.low == pytest.approx(gap.verdict.difference.high)
    half = (gap.noisy.difference.high - gap.noisy.difference.low) / 2
    assert half == pytest.approx(2.15 * gap.noisy.table_sd, rel=0.1)  # t of 19 and sqrt(20 / 19)


def test_a_difference_can_be_real_and_not_matter(compared: Compared) -> None:
    cells = ranked("small")
    values = np.asarray(load("small").query(cells))
    steps = -np.diff(values)
    nearest = int(np.where(steps > 0, steps, np.inf).argmin())  # equal ones are the same network
    up, next_one = cells[nearest], cells[nearest + 1]
    apart = believed(compared([fixed("up", up), fixed("same", next_one)], runs=20))[1].runner_up
    alike = believed(compared([fixed("up", up), fixed("same", up)], runs=20))[1].runner_up
    assert apart is not None
    assert alike is not None
    # Every run differs by the same amount: real beyond doubt, and yet less than the table resolves.
    assert apart.verdict.real is True
    assert apart.verdict.matters == "equivalent"
    assert alike.verdict.real is False
    assert alike.verdict.matters == "equivalent"
    assert alike.noisy is not None
    assert alike.noisy.table_sd == 0  # the same error on both sides


def test_random_search_may_lead_or_be_absent(compared: Compared) -> None:
    summary, found = believed(compared([early(most=3), "random"], runs=30))
    assert summary.leader == "random"
    assert found.random is None
    assert found.runner_up is not None
    assert found.runner_up.other == "early"
    _, found = believed(compared([early(most=3), early("middle", 6, 9)], runs=30))
    assert found.random is None
    assert found.runner_up is not None


def test_one_strategy_has_no_gaps(compared: Compared) -> None:
    _, found = believed(compared(["random"]))
    assert (found.random, found.runner_up) == (None, None)
    assert found.noise is not None
    assert [one.strategy for one in found.optimism] == ["random"]


def test_too_few_runs_have_no_verdict(compared: Compared) -> None:
    _, found = believed(compared(THREE, runs=4))
    gap = found.runner_up
    assert gap is not None
    assert (gap.verdict.real, gap.verdict.matters) == (None, None)
    assert np.isnan(gap.verdict.difference.low)
    assert gap.noisy is not None
    assert np.isnan(gap.noisy.difference.low)


def test_pairs_without_an_incumbent_are_left_out(compared: Compared) -> None:
    results = compared([early("sometimes", 0, 3), "random"], runs=30)
    _, found = believed(results)
    gap = found.runner_up
    assert gap is not None
    assert gap.other == "sometimes"
    gaps = paired(results, "sometimes", "random")
    known = np.isfinite(gaps)
    assert 5 <= known.sum() < 30
    assert gap.verdict.n == known.sum()
    assert gap.verdict.difference.estimate == pytest.approx(gaps[known].mean())
    assert gap.noisy is not None
    assert gap.noisy.n == known.sum()
    assert gap.noisy.difference.estimate == pytest.approx(gaps[known].mean())


def test_nothing_at_all_is_believed_of_runs_without_evaluations(compared: Compared) -> None:
    summary, found = believed(compared([early("never", 0, 1)], runs=6))
    assert summary.leader is None
    assert (found.random, found.runner_up) == (None, None)
    assert found.noise is not None
    assert np.isnan(found.noise.rope)


@pytest.mark.parametrize(
    "switches",
    [
        {"final": "seen"},
        {"final_epoch": "best"},
        {"overshoot": "interpolate", "evaluations": None, "seconds": 4000.0},
    ],
    ids=str,
)
def test_table_noise_only_where_means_are_reported(
    compared: Compared, switches: dict[str, object]
) -> None:
    _, found = believed(compared(THREE, **switches))
    assert found.noise is not None
    assert found.noise.rope > 0
    for gap in (found.random, found.runner_up):
        if gap is not None:
            assert gap.noisy is None
            assert gap.verdict.matters is not None


def test_one_reported_training_moves_more_than_a_mean(compared: Compared) -> None:
    noise = believed(compared(final="seen"))[1].noise
    assert noise is not None
    assert noise.rope == noise.sd.estimate


def test_the_noise_is_that_of_the_reported_training(compared: Compared, home: Path) -> None:
    name = written(home, two_trainings(small_table("any", times=True)), "two")
    alone = believed(compared(benchmarks=[name], seeds="mean"))[1]
    # Searched on the noisy training, reported by the other one; and the other way round.
    calm = believed(compared(benchmarks=[name], seeds="mean", training="noisy"))[1]
    wild = believed(compared(benchmarks=[name], seeds="mean", final_training="noisy"))[1]
    for found in (alone, calm, wild):
        assert found.noise is not None
        assert found.runner_up is not None
        assert found.runner_up.noisy is not None
    assert alone.noise is not None
    assert calm.noise is not None
    assert wild.noise is not None
    assert calm.noise.rope < 3
    assert wild.noise.rope > 5 * alone.noise.rope


def test_a_missing_table_leaves_the_verdict_over_runs(compared: Compared, home: Path) -> None:
    results = compared(THREE, runs=30)
    whole = believed(results)[1]
    (home / "data" / "small" / "manifest.toml").unlink()
    _, found = believed(results)
    assert found.noise is None
    assert found.optimism == []
    assert found.runner_up is not None
    assert whole.runner_up is not None
    assert found.runner_up.noisy is None
    assert found.runner_up.verdict.matters is None
    assert found.runner_up.verdict.real == whole.runner_up.verdict.real
    assert found.runner_up.verdict.difference == whole.runner_up.verdict.difference


def test_a_table_with_one_training_a_cell_has_no_resolution(compared: Compared, home: Path) -> None:
    name = written(home, one_training(small_table("any", times=True)), "single")
    _, found = believed(compared(THREE, [name]))
    assert found.noise is not None
    assert found.noise.n == 0
    assert np.isnan(found.noise.rope)
    gaps: list[Gap | None] = [found.random, found.runner_up]
    for gap in filter(None, gaps):
        assert gap.noisy is None
        assert gap.verdict.matters is None
        assert gap.verdict.real is not None
    assert all("did not see" in one.reason for one in found.optimism)


@pytest.mark.parametrize("benchmark", BOTH)
def test_a_lucky_training_is_optimism_whichever_way_is_better(
    compared: Compared, benchmark: str
) -> None:
    results = compared(["random"], [benchmark], 60)
    (found,) = believed(results)[1].optimism
    bench, frame = load(benchmark), results.frame()
    sign = 1 if bench.objective.direction == "max" else -1
    gaps = []
    for cell, observed in zip(frame["architecture"], frame["observed"], strict=True):
        trainings = np.array([bench.query(cell, seed=s) for s in (1, 2, 3)])
        gaps.append(sign * (observed - trainings[trainings != observed].mean()))
    assert found.n + found.left_out == 60
    assert found.observed.estimate == pytest.approx(np.mean(gaps), rel=0.2)  # twice seen: rarely
    assert found.observed.low > 0
