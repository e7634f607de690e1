"""Tests over tasks against SciPy, scikit-posthocs, baycomp and published examples."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.stats.manytasks import (
    bayesian_signed_rank,
    critical_difference,
    friedman,
    wilcoxon_holm,
)

# Nine tasks, four strategies, with ties; what scikit-posthocs 0.17.1 (posthoc_wilcoxon with
# zero_method="wilcox", p_adjust="holm"; posthoc_nemenyi_friedman) and baycomp 1.0.3 (SignedRankTest
# of columns 1 and 0, 50,000 samples: mean masses and probabilities) give for them.
MEANS = np.array(
    [
        [0.4, 1.8, -1.0, 3.3],
        [0.0, -0.5, 0.0, 0.5],
        [-0.2, 1.1, 1.4, 2.2],
        [-1.7, -1.3, 2.4, 2.6],
        [2.2, 1.5, -0.2, 2.9],
        [0.6, 0.5, 0.0, 1.6],
        [-0.1, 1.2, 0.9, 3.2],
        [-0.8, 0.8, 1.3, 0.7],
        [-1.2, 1.3, 1.3, 1.4],
    ]
)
NEMENYI_P = {(0, 1): 0.797991, (0, 2): 0.844289, (0, 3): 0.004074, (1, 2): 0.999728, (1, 3): 0.065541, (2, 3): 0.051750}  # fmt: skip
BAYCOMP = {0.0: ((0.80503, 0.0, 0.19497), (0.97234, 0.0, 0.02766)), 0.27: ((0.77129, 0.11784, 0.11087), (0.98180, 0.00752, 0.01068))}  # fmt: skip
UNTIED = np.random.default_rng(4).normal(size=(10, 4)) + np.array([0.0, 0.2, 0.9, 1.5])
# scikit-posthocs, as above, for UNTIED: pairs in order (0, 1), (0, 2), ...
HOLM_P = (0.556640625, 0.251953125, 0.029296875, 0.26171875, 0.0234375, 0.1484375)


def all_tests(means: np.ndarray, missing: Any = "error") -> list[Callable[[], Any]]:
    rng = np.random.default_rng(0)
    return [
        lambda: friedman(means, missing),
        lambda: wilcoxon_holm(means, missing),
        lambda: critical_difference(means, missing),
        lambda: bayesian_signed_rank(means[:, 0], means[:, 1], 0.1, rng, missing=missing),
    ]


def test_friedman_is_scipys() -> None:
    for means in (MEANS, UNTIED):
        theirs = stats.friedmanchisquare(*means.T)
        found = friedman(means)
        assert found.chi2 == pytest.approx(theirs.statistic)
        assert found.chi2_p == pytest.approx(theirs.pvalue)


def test_friedman_of_demsars_example() -> None:
    # Demsar 2006, section 3.2.2: 14 data sets, 4 classifiers, chi2 9.28, F 3.69 with 3 and 39
    # degrees of freedom. Found from the mean ranks 3.143, 2.000, 2.893, 1.964 printed there.
    ranks, n, k = np.array([3.143, 2.000, 2.893, 1.964]), 14, 4
    chi2 = 12 * n / (k * (k + 1)) * ((ranks**2).sum() - k * (k + 1) ** 2 / 4)
    assert chi2 == pytest.approx(9.28, abs=0.02)
    f = (n - 1) * chi2 / (n * (k - 1) - chi2)
    assert f == pytest.approx(3.69, abs=0.02)
    found = friedman(UNTIED)
    again = (found.n - 1) * found.chi2 / (found.n * 3 - found.chi2)
    assert found.f == pytest.approx(again)
    assert found.p == pytest.approx(stats.f.sf(again, 3, 27))


def test_friedman_where_all_tasks_agree_or_nothing_differs() -> None:
    agreed = friedman(np.arange(3.0) + np.arange(7.0)[:, None])
    assert agreed.f == math.inf
    assert agreed.p == pytest.approx(6.0**-6)
    equal = friedman(np.ones((6, 3)))
    assert (equal.chi2, equal.chi2_p, equal.p) == (0, 1, 1)
    assert equal.ranks.tolist() == [2, 2, 2]


def test_wilcoxon_is_scipys_exact_test() -> None:
    found = wilcoxon_holm(UNTIED)
    for (i, j), statistic, p in zip(found.pairs, found.statistic, found.raw, strict=True):
        theirs = stats.wilcoxon(UNTIED[:, i], UNTIED[:, j], method="exact")
        assert statistic == theirs.statistic
        assert p == pytest.approx(theirs.pvalue)


@given(st.lists(st.integers(-4, 4), min_size=6, max_size=9))
def test_wilcoxon_with_ties_and_zeros_is_the_enumeration_of_signs(gaps: list[int]) -> None:
    found = wilcoxon_holm(np.column_stack([np.array(gaps, float), np.zeros(len(gaps))]))
    kept = np.array([gap for gap in gaps if gap])
    assert found.used[0] == len(kept)
    if not len(kept):
        assert found.raw[0] == 1
        return
    ranks = stats.rankdata(np.abs(kept))
    sums = np.array([ranks @ signs for signs in product([0, 1], repeat=len(kept))])
    observed = ranks[kept > 0].sum()
    tail = min((sums <= observed).mean(), (sums >= observed).mean())
    assert found.raw[0] == pytest.approx(min(1.0, 2 * tail))


def test_holm_is_scikit_posthocs() -> None:
    found = wilcoxon_holm(UNTIED).p
    assert found[np.triu_indices(4, 1)] == pytest.approx(np.array(HOLM_P))
    np.testing.assert_array_equal(found, found.T)


def test_holm_and_nemenyi_live() -> None:
    posthocs = pytest.importorskip("scikit_posthocs")
    import pandas as pd

    rng = np.random.default_rng(8)
    for _ in range(3):
        means = rng.normal(size=(12, 5)) + rng.random(5)
        long = pd.DataFrame(means).melt()
        theirs = posthocs.posthoc_wilcoxon(
            long, val_col="value", group_col="variable", p_adjust="holm"
        )
        assert wilcoxon_holm(means).p == pytest.approx(theirs.to_numpy())
        found = critical_difference(means)
        different = posthocs.posthoc_nemenyi_friedman(means).to_numpy() < 0.05
        np.testing.assert_array_equal(
            different, np.abs(found.ranks[:, None] - found.ranks) > found.nemenyi
        )


def test_least_says_when_no_pair_can_ever_differ() -> None:
    apart = np.arange(4.0) * 10 + np.arange(6.0)[:, None]
    found = wilcoxon_holm(apart)
    assert found.least == pytest.approx(6 * 2 / 2**6)
    assert found.p[0, 1] == pytest.approx(found.least)
    assert found.least > 0.05


# Demsar 2006, table 5a: q at 0.05 for 2 to 10 classifiers.
@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_nemenyi_is_demsars_table(k: int, q: float) -> None:
    means = np.random.default_rng(k).normal(size=(14, k))
    expected = q * np.sqrt(k * (k + 1) / (6 * 14))
    assert critical_difference(means).nemenyi == pytest.approx(expected, rel=5e-4)


def test_nemenyi_is_scikit_posthocs() -> None:
    found = critical_difference(MEANS)
    q = stats.studentized_range
    for (i, j), p in NEMENYI_P.items():
        gap = abs(found.ranks[i] - found.ranks[j]) / np.sqrt(4 * 5 / (6 * 9))
        assert q.sf(gap * np.sqrt(2), 4, np.inf) == pytest.approx(p, abs=2e-5)
    assert found.nemenyi_groups == [(0, 2, 1), (2, 1, 3)]
    assert critical_difference(MEANS, alpha=0.06).nemenyi_groups == [(0, 2, 1), (1, 3)]


def test_groups_are_the_largest_sets_of_strategies_not_told_apart() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(0, 0.01, (12, 5)) + np.array([0.0, 0.0, 1.0, 1.0, 1.0])
    found = critical_difference(means)
    assert [set(group) for group in found.groups] == [{0, 1}, {2, 3, 4}]
    alone = critical_difference(np.arange(3.0) + rng.normal(0, 0.01, (12, 1)))
    assert alone.groups == []


@given(st.integers(0, 500))
def test_a_group_has_no_different_pair_and_cannot_grow(seed: int) -> None:
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(9, 5)) + rng.random(5) * 2
    found, p = critical_difference(means), wilcoxon_holm(means).p
    alike = p > 0.05
    for group in found.groups:
        assert all(alike[i, j] for i in group for j in group)
        assert list(group) == sorted(group, key=lambda i: found.ranks[i])
        for other in set(range(5)) - set(group):
            assert not all(alike[other, i] for i in group)
    together = {frozenset((i, j)) for group in found.groups for i in group for j in group if i < j}
    assert together == {frozenset((i, j)) for i in range(5) for j in range(i) if alike[i, j]}


@pytest.mark.parametrize("rope", BAYCOMP)
def test_bayesian_signed_rank_is_baycomps(rope: float) -> None:
    found = bayesian_signed_rank(MEANS[:, 0], MEANS[:, 1], rope, np.random.default_rng(0))
    mass, probabilities = BAYCOMP[rope]
    assert found.mass.estimate == pytest.approx(np.array(mass), abs=0.003)
    assert (found.first, found.rope, found.second) == pytest.approx(probabilities, abs=0.004)
    assert np.all(found.mass.low <= found.mass.estimate)
    assert np.all(found.mass.estimate <= found.mass.high)


def test_bayesian_signed_rank_live() -> None:
    baycomp = pytest.importorskip(
        "baycomp", reason="not among the tools: it installs a package called tests, before ours"
    )
    first, second = np.random.default_rng(9).normal(size=(2, 15))
    theirs = baycomp.SignedRankTest(second, first, rope=0.2, random_state=0).probs()
    found = bayesian_signed_rank(first, second, 0.2, np.random.default_rng(0))
    assert (found.first, found.rope, found.second) == pytest.approx(tuple(theirs), abs=0.01)


def test_bayesian_signed_rank_is_seeded_and_has_two_sides() -> None:
    def ask(first: int, second: int, rope: float = 0.2) -> Any:
        rng = np.random.default_rng(3)
        return bayesian_signed_rank(MEANS[:, first], MEANS[:, second], rope, rng, samples=5000)

    there, back = ask(0, 3), ask(3, 0)
    assert there.first == ask(0, 3).first
    assert (there.first, there.rope) == pytest.approx((back.second, back.rope))
    assert ask(0, 3, rope=100.0).rope == 1
    assert ask(0, 3, rope=0.0).rope == 0


@pytest.mark.parametrize("number", range(4))
def test_fewer_than_six_tasks_are_refused_with_the_reason(number: int) -> None:
    for few in (MEANS[:5], MEANS[:1]):
        with pytest.raises(InvalidArgumentError, match=r"at least 6 tasks; got \d.*0\.0625"):
            all_tests(few)[number]()
    all_tests(MEANS[:6])[number]()


@pytest.mark.parametrize("number", range(4))
def test_a_missing_strategy_is_an_explicit_choice(number: int) -> None:
    holed = MEANS.copy()
    holed[4, 1] = np.nan
    with pytest.raises(InvalidArgumentError, match=r"tasks number \[4\].*'drop'.*'impute'"):
        all_tests(holed)[number]()
    with pytest.raises(InvalidArgumentError, match="'error', 'drop' or 'impute'"):
        all_tests(holed, "ignore")[number]()
    dropped, without = (
        all_tests(holed, "drop")[number](),
        all_tests(np.delete(MEANS, 4, 0))[number](),
    )
    assert dropped.n == 8
    assert repr(dropped) == repr(without)
    imputed = all_tests(holed, "impute")[number]()
    worst = MEANS.copy()
    worst[4, 1] = 1e3
    assert repr(imputed) == repr(all_tests(worst)[number]())


def test_dropping_below_six_is_refused_and_says_so() -> None:
    holed = MEANS.copy()
    holed[:4, 2] = np.nan
    with pytest.raises(InvalidArgumentError, match="got 5 of 9, after those without results"):
        friedman(holed, "drop")
    assert friedman(holed, "impute").ranks[2] == pytest.approx((4 * 4 + 1 + 1 + 2 + 4 + 2.5) / 9)


def test_two_missing_on_one_task_tie() -> None:
    holed = MEANS.copy()
    holed[0, [0, 1]] = np.nan
    assert wilcoxon_holm(holed, "impute").used[0] == 8
    holed[1] = np.nan  # nobody was there: no task
    assert friedman(holed, "impute").n == 8


def test_opposite_imputations_cancel_and_never_end_in_a_number_of_nothing() -> None:
    first, second = np.zeros(6), np.zeros(6)
    first[0] = second[1] = np.nan
    found = bayesian_signed_rank(
        first, second, 0.5, np.random.default_rng(0), missing="impute", samples=2000
    )
    assert found.rope > 0.5
    assert found.first == pytest.approx(found.second, abs=0.05)


def test_the_same_runs_in_another_order_are_a_tie() -> None:
    runs = np.random.default_rng(0).normal(91, 0.3, (7, 500))
    means = np.column_stack([runs.mean(axis=1), runs[:, ::-1].cumsum(axis=1)[:, -1] / 500])
    assert (means[:, 0] != means[:, 1]).any()
    assert wilcoxon_holm(means).used[0] == 0


@pytest.mark.parametrize(
    ("means", "words"),
    [
        (MEANS[:, :1], "at least 2 strategies"),
        (MEANS[0], "at least 2 strategies"),
        (np.where(MEANS == 3.3, np.inf, MEANS), "finite"),
    ],
)
def test_nonsense_is_refused(means: np.ndarray, words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        wilcoxon_holm(means)
    with pytest.raises(InvalidArgumentError, match="at least 3 strategies"):
        friedman(MEANS[:, :2])
    with pytest.raises(InvalidArgumentError, match="rope"):
        bayesian_signed_rank(MEANS[:, 0], MEANS[:, 1], -1.0, np.random.default_rng(0))


def test_an_imputed_loss_lies_outside_any_rope() -> None:
    found = bayesian_signed_rank(
        np.where(np.arange(6) < 4, np.nan, 0.0),
        np.full(6, 0.1),
        10.0,
        np.random.default_rng(0),
        missing="impute",
        samples=2000,
    )
    # Every average with one of the four imputed losses counts, and no other: 1 - E[X**2] for the
    # mass X of the other two and the prior, which follows Beta(2.5, 4).
    assert found.mass.estimate[2] == pytest.approx(1 - 2.5 * 3.5 / (6.5 * 7.5), abs=0.02)
    assert found.first == 0
