"""Training time: it grows, it is what the clock said but for interruptions, and unknown stays unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArgumentError, SurrogateError
from nasbench_tab.predictors.cost import (
    INTERRUPTED,
    MIN_RUNS,
    cost_from,
    fit_cost,
    full_seconds,
    shares_of,
    work_of,
)
from nasbench_tab.predictors.trees import Settings, read_trees
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.spaces.nasbench201_macro import NasBench201Macro

QUICK = Settings(members=2, rounds=30, depth=3, leaf=2.0)
PARTS = np.array([0.25, 0.15, 0.3, 0.3])  # of the epochs: no two need be alike


def timed(n: Any = 120, seed: Any = 0, noise: Any = 0.0, networks: Any = None) -> Any:
    """Cells, their work, and seconds that are a sum over what is in them."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 5, (n, 6)).astype(np.uint8)
    groups = np.arange(n) if networks is None else np.arange(n) % networks
    cells = cells[groups]
    full = 2.0 + np.array([0.0, 0.1, 1.0, 3.0, 0.7])[cells].sum(axis=1)
    parts = full[:, None] * PARTS * np.exp(noise * rng.normal(size=(n, len(PARTS))))
    return cells, work_of(NasBench201(), cells), np.cumsum(parts, axis=1), groups


def fitted(*args: Any, **named: Any) -> Any:
    return fit_cost(*args, **{"settings": QUICK, **named})


def one_hot(cells: Any) -> Any:
    return (cells[:, :, None] == np.arange(5)).reshape(len(cells), -1).astype(np.float32)


def test_a_sum_is_found_and_holds_where_nothing_was_timed() -> None:
    """The law's oracle: cells of only 3x3 convolutions take 2 + 6 * 3 seconds, though none was seen."""
    cells, work, seconds, groups = timed()
    few = (cells == 3).sum(axis=1) <= 3
    cost = fitted(
        one_hot(cells[few]), seconds[few], groups[few], np.random.default_rng(0), work=work[few]
    )
    assert cost.sd < 1e-6
    heavy = np.full((1, 6), 3, np.uint8)
    found = cost.seconds(one_hot(heavy), work_of(NasBench201(), heavy))
    assert found == pytest.approx(20.0 * np.cumsum(PARTS)[None], rel=1e-6)
    trees = fitted(one_hot(cells[few]), seconds[few], groups[few], np.random.default_rng(0))
    assert trees.seconds(one_hot(heavy))[0, -1] < 16  # what trees alone would say of it


def test_trees_add_what_no_sum_says() -> None:
    cells, work, seconds, groups = timed(200)
    seconds = seconds * np.where(cells[:, :1] == 3, 1.5, 1.0)
    law = fitted(one_hot(cells), seconds, groups, np.random.default_rng(0), work=work)
    assert law.sd < 0.1
    off = np.log(law.seconds(one_hot(cells), work) / seconds)
    assert np.abs(off).mean() < 0.06  # the sum alone misses by about 20 percent


@given(seed=st.integers(0, 10_000), noise=st.floats(0, 1.5), epochs=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_times_grow_whatever_was_timed(seed: Any, noise: Any, epochs: Any) -> None:
    rng = np.random.default_rng(seed)
    parts = np.exp(noise * rng.normal(size=(30, epochs))) * (rng.random((30, epochs)) > 0.2)
    parts[:, 0] += 1e-3  # a clock that stood still in some epochs
    shares = shares_of(np.cumsum(parts, axis=1))
    assert shares.shape == (epochs,)
    assert (np.diff(shares, prepend=0.0) > 0).all()
    assert shares[-1] == 1.0
    assert (full_seconds(np.cumsum(parts, axis=1), shares) > 0).all()


def test_predictions_grow_and_are_plain_functions() -> None:
    cells, work, seconds, groups = timed(60, noise=0.3)
    x = one_hot(cells)
    cost = fitted(x, seconds, groups, np.random.default_rng(0), work=work)
    same = fitted(x, seconds, groups, np.random.default_rng(0), work=work)
    found = cost.seconds(x, work)
    assert (np.diff(found, axis=1, prepend=0.0) > 0).all()
    assert np.array_equal(found, same.seconds(x, work))
    assert np.array_equal(found[7:8], cost.seconds(x[7:8], work[7:8]))


@given(
    factors=st.lists(st.floats(1.0, INTERRUPTED - 0.01), min_size=5, max_size=5),
    place=st.integers(0, 4),
    pause=st.floats(10.0, 1e6),
)
@settings(max_examples=50, deadline=None)
def test_a_pause_counts_as_the_longest_that_an_epoch_may_take(
    factors: Any, place: Any, pause: Any
) -> None:
    shares = np.arange(1, 6) / 5
    parts = np.array(factors)
    assert full_seconds(np.cumsum(parts)[None], shares)[0] == pytest.approx(
        parts.sum()
    )  # as the clock said
    parts[place] += pause
    expected = np.median(parts) * INTERRUPTED + np.delete(parts, place).sum()
    assert full_seconds(np.cumsum(parts)[None], shares)[0] == pytest.approx(expected)


def test_pauses_do_not_move_the_predictions() -> None:
    cells, work, seconds, groups = timed(120)
    clean = fitted(one_hot(cells), seconds, groups, np.random.default_rng(0), work=work)
    paused = seconds.copy()
    paused[::7, 2:] += 3600.0
    disturbed = fitted(one_hot(cells), paused, groups, np.random.default_rng(0), work=work)
    ratio = disturbed.seconds(one_hot(cells), work) / clean.seconds(one_hot(cells), work)
    assert (np.abs(ratio - 1) < 0.1).all()  # 17 of 120 runs lay still for an hour


def test_a_run_that_broke_off_is_worth_its_rate() -> None:
    cells, work, seconds, groups = timed(60)
    seconds[::3, 2:] = np.nan
    seconds[1::3, 0] = np.nan  # began to be timed late
    cost = fitted(one_hot(cells), seconds, groups, np.random.default_rng(0), work=work)
    full = 2.0 + np.array([0.0, 0.1, 1.0, 3.0, 0.7])[cells].sum(axis=1)
    assert cost.seconds(one_hot(cells), work)[:, -1] == pytest.approx(full, rel=1e-6)


def test_the_deviation_is_that_of_one_training_of_a_new_network() -> None:
    cells, work, seconds, groups = timed(300, noise=0.2, networks=100)
    cost = fitted(one_hot(cells), seconds, groups, np.random.default_rng(0), work=work)
    # Four epochs that vary by 20 percent each: about 10 percent of the whole.
    assert cost.sd == pytest.approx(0.2 * np.sqrt((PARTS**2).sum()), rel=0.25)


@pytest.mark.parametrize("left", [0, MIN_RUNS - 1])
def test_where_no_times_are_known_there_is_no_model(left: Any) -> None:
    cells, work, seconds, groups = timed(40)
    seconds[left:] = np.nan
    assert fitted(one_hot(cells), seconds, groups, np.random.default_rng(0), work=work) is None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([1.0, 3.0, 2.0, 4.0], r"\[1.0, 3.0, 2.0\] up to its epoch number 3"),
        ([0.0, 1.0, 2.0, 3.0], "above 0"),
        ([-1.0, 1.0, 2.0, 3.0], "above 0"),
        ([1.0, 2.0, 3.0, np.inf], "finite"),
        ([3.0, np.nan, 2.0, 4.0], "never falling"),  # across a gap
    ],
)
def test_times_that_are_not_cumulative_are_refused(row: Any, words: Any) -> None:
    cells, work, seconds, groups = timed(20)
    seconds[5] = row
    with pytest.raises(SurrogateError, match=words):
        fitted(one_hot(cells), seconds, groups, np.random.default_rng(0), work=work)


def test_times_of_which_none_reaches_the_end_are_refused() -> None:
    cells, work, seconds, groups = timed(20)
    seconds[:, -1] = np.nan
    with pytest.raises(SurrogateError, match="None of 20 timed runs has a time at every epoch"):
        fitted(one_hot(cells), seconds, groups, np.random.default_rng(0), work=work)


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    cells, work, seconds, groups = timed(20)
    x, rng = one_hot(cells), np.random.default_rng(0)
    for wrong in (
        (x[1:], seconds, groups, work),
        (x, seconds, groups[1:], work),
        (x, seconds, groups, work[1:]),
        (x, seconds[:, 0], groups, work),
        (x, seconds, groups, -work),
        (x, seconds, groups, work * np.nan),
    ):
        with pytest.raises(InvalidArgumentError):
            fitted(*wrong[:3], rng, work=wrong[3])
    cost = fitted(x, seconds, groups, rng, work=work)
    for bad in (None, work[:, 1:]):
        with pytest.raises(InvalidArgumentError, match="columns of work"):
            cost.seconds(x, bad)
    with pytest.raises(InvalidArgumentError, match="fitted with 0 columns"):
        fitted(x, seconds, groups, rng).seconds(x, work)


def test_work_counts_what_is_in_a_cell() -> None:
    work = work_of(NasBench201(), np.array([[3, 3, 1, 3, 1, 4], [0, 0, 0, 0, 0, 0]], np.uint8))
    assert work[0, :5].tolist() == [0, 2, 0, 3, 1]
    assert work[1, :5].tolist() == [6, 0, 0, 0, 0]
    assert work[:, -1].tolist() == [1, 1]
    figures = NasBench201().figures(np.array([[3, 3, 1, 3, 1, 4]], np.uint8))
    assert work[0, 5:-1].tolist() == [float(figure[0]) for figure in figures.values()]


def test_operations_count_once_for_each_cell_of_the_network() -> None:
    space = NasBench201Macro()
    cells = np.array([[3, 3, 1, 3, 1, 4, 0, 1, 2, 1, 0, 1]], np.uint8)  # 2 + 1 + 2 cells
    work = work_of(space, cells)[0]
    n = 2 + 5  # options of the stages' cells; of operations and widths, which have as many
    assert np.array_equal(work[n : 2 * n], 5 * work[:n])


@pytest.mark.parametrize("with_work", [False, True])
def test_a_cost_is_written_down_and_read_back_to_the_last_bit(with_work: Any) -> None:
    cells, work, seconds, groups = timed(30, noise=0.1)
    given_work = work if with_work else None
    cost = fitted(one_hot(cells), seconds, groups, np.random.default_rng(0), work=given_work)
    again = cost_from(
        {k: v.copy() for k, v in cost.arrays().items()}, read_trees(cost.trees.files())
    )
    assert np.array_equal(
        again.seconds(one_hot(cells), given_work), cost.seconds(one_hot(cells), given_work)
    )
    assert again.sd == cost.sd


def at(value: Any, place: Any) -> Any:
    def change(part: Any) -> Any:
        part[place] = value
        return part

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("shares", at(0.99, -1)), ("shares", at(0.0, 0)), ("shares", at(0.9, 1)), ("shares", at(np.nan, 1)),
        ("shares", lambda a: a[:0]), ("shares", lambda a: a[None]), ("rates", at(-1e-9, 0)), ("rates", at(np.inf, 0)),
        ("rates", lambda a: a[None]), ("numbers", at(-0.1, 0)), ("numbers", at(np.nan, 0)), ("numbers", at(0.0, 1)),
        ("numbers", lambda a: a[:1]), ("shares", lambda a: np.array(["a", "b"])),
        *((name, None) for name in ("shares", "rates", "numbers")),
    ],
)  # fmt: skip
def test_an_altered_cost_is_refused(name: Any, change: Any) -> None:
    cells, work, seconds, groups = timed(20)
    cost = fitted(one_hot(cells), seconds, groups, np.random.default_rng(0), work=work, folds=2)
    parts = cost.arrays()
    if change is None:
        del parts[name]
    else:
        parts[name] = change(parts[name].copy())
    with pytest.raises(SurrogateError, match=r"cost (is inconsistent|cannot be read)"):
        cost_from(parts, cost.trees)
