"""The bias of an arm and its verdict: planted biases, few cells, failures, bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.stats.bias import ArmBias, arm_bias, holm, verdicts


def study(bias: float, n: int = 20, seed: int = 0, sd: float = 0.3, **options: Any) -> ArmBias:
    rng = np.random.default_rng(seed)
    truth = rng.normal(90, 1, n)
    claimed = truth + bias + rng.normal(0, sd, n)
    return arm_bias(claimed, truth[:, None] + rng.normal(0, sd, (n, 3)), "max", **options)


@pytest.mark.parametrize(
    ("bias", "margin", "word"),
    [
        (1.0, 0.3, "optimistic"),
        (-1.0, 0.3, "pessimistic"),
        (0.0, 0.5, "no meaningful bias"),
        (0.25, 1.0, "no meaningful bias"),  # shown, and too small to matter
        (0.0, 0.05, "inconclusive"),
        (1.0, math.nan, "optimistic"),
        (0.0, math.nan, "inconclusive"),
    ],
)
def test_a_planted_bias_gets_its_word(bias: float, margin: float, word: str) -> None:
    [found] = verdicts([study(bias)], margin)
    assert found.word == word


def test_an_inconclusive_study_says_what_it_could_have_found() -> None:
    arm = study(0.0, 8, seed=1)
    [found] = verdicts([arm], 0.05)
    assert found.word == "inconclusive"
    assert f"a bias of {arm.detectable:.2g}" in found.note
    assert f"a margin of {arm.least_margin:.2g}" in found.note


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_too_few_cells_are_inconclusive_however_clear_the_bias(n: int) -> None:
    [found] = verdicts([study(50.0, n)], 0.3)
    assert found.word == "inconclusive"
    assert "at least 6" in found.note
    assert math.isnan(found.p)
    assert math.isnan(found.p_equivalence)


def test_many_cells_of_which_one_won_nearly_all_runs_are_few() -> None:
    [found] = verdicts([study(50.0, 20, runs=np.r_[np.ones(19), 200.0])], 0.3)
    assert found.word == "inconclusive"
    assert "won most runs" in found.note


def test_more_seeds_are_not_more_cells() -> None:
    rng = np.random.default_rng(0)
    claimed = rng.normal(0, 1, 8)
    few, many = (arm_bias(claimed, rng.normal(0, 1e-3, (8, r)), "max") for r in (2, 50))
    assert few.n == many.n == 8
    assert many.df == few.df == pytest.approx(7)
    assert many.se == pytest.approx(few.se, rel=0.01)


def test_a_cell_that_won_three_runs_counts_three_times_but_is_one_cell() -> None:
    claimed, fresh = np.array([1.0, 2, 3]), np.zeros((3, 2))
    found = arm_bias(claimed, fresh, "max", runs=np.array([1, 1, 3]))
    assert found.mean == pytest.approx((1 + 2 + 9) / 5)
    assert found.n == 3
    assert found.effective == pytest.approx(25 / 11)


def test_the_drift_is_taken_out_with_its_error() -> None:
    rng = np.random.default_rng(4)
    truth = rng.normal(90, 1, 20)
    claimed = truth + rng.normal(0, 0.2, 20)
    fresh = truth[:, None] - 2.0 + rng.normal(0, 0.2, (20, 3))  # everything trains 2 worse here
    known = -2.0 + rng.normal(0, 0.3, (8, 3))
    plain, found = (arm_bias(claimed, fresh, "max", known=of) for of in (None, known))
    assert plain.mean == plain.raw == found.raw == pytest.approx(2.0, abs=0.2)
    assert found.mean == pytest.approx(0.0, abs=0.3)
    assert found.drift == pytest.approx(known.mean())
    assert found.se > plain.se
    assert math.isnan(plain.drift)
    turned = arm_bias(-claimed, -fresh, "min", known=-known)
    assert turned[:8] == pytest.approx(found[:8])
    assert turned.drift == pytest.approx(found.drift)


@pytest.mark.parametrize("known", [np.empty((0, 0)), np.zeros((2, 3)), np.full((9, 3), np.nan)])
def test_a_drift_of_too_few_cells_stays_in_and_is_said(known: np.ndarray[Any, Any]) -> None:
    found = study(1.0, known=known)
    assert found.mean == found.raw
    assert "drift is not known" in verdicts([found], 0.3)[0].note


def test_failed_trainings_are_left_out_counted_and_said() -> None:
    rng = np.random.default_rng(5)
    claimed, fresh = rng.normal(1, 0.3, 12), rng.normal(0, 0.3, (12, 3))
    fresh[0], fresh[1, 1] = np.nan, np.nan
    found = arm_bias(claimed, fresh, "max")
    assert (found.n, found.left_out, found.failed, found.trainings) == (11, 1, 4, 32)
    assert "4 of 36 trainings failed" in verdicts([found], 0.3)[0].note


def test_the_sign_test_is_the_binomial_one() -> None:
    for seed in range(20):
        found = study(0.1, 11, seed)
        assert found.p_sign == pytest.approx(binomtest(found.positive, 11).pvalue)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.just(math.nan), st.floats(0, 1)), max_size=6))
def test_holm_against_its_definition(p: list[float]) -> None:
    found, known = holm(p), [x for x in p if not math.isnan(x)]
    for value, corrected in zip(p, found, strict=True):
        if math.isnan(value):
            assert math.isnan(corrected)
            continue
        smaller = [x for x in known if x <= value]
        steps = [(len(known) - sum(y < x for y in known)) * x for x in smaller]
        assert corrected == pytest.approx(min(1.0, max(steps)))


def test_holm_is_over_the_arms_that_can_be_judged() -> None:
    alone = verdicts([study(0.2, 20, 7)], 0.01)[0]
    both = verdicts([study(0.2, 20, 7), study(0.0, 3)], 0.01)[0]
    three = verdicts([study(0.2, 20, 7)] * 3, 0.01)[0]
    assert alone == both
    assert three.p == pytest.approx(min(1.0, 3 * alone.p))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fresh": np.zeros((3, 2))}, "row of fresh values"),
        ({"claimed": np.zeros((4, 1))}, "one claim"),
        ({"runs": np.array([1, 1, 0, 1])}, "above 0"),
        ({"runs": np.ones(3)}, "above 0"),
        ({"claimed": np.array([0, 0, 0, np.inf])}, "infinite"),
    ],
)
def test_bad_input_is_refused(change: dict[str, Any], words: str) -> None:
    given = {"claimed": np.zeros(4), "fresh": np.zeros((4, 2)), "direction": "max", **change}
    with pytest.raises(InvalidArgumentError, match=words):
        arm_bias(**given)


@pytest.mark.parametrize("margin", [0.0, -1.0])
def test_a_margin_is_above_0(margin: float) -> None:
    with pytest.raises(InvalidArgumentError, match="margin"):
        verdicts([study(0.0)], margin)
