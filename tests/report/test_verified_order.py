"""Whether the order of strategies survives real values, against plain laws and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.report.verified_tables import pairs, standings
from nasbench_tab.stats.bias import ArmBias, BiasVerdict, arm_bias
from nasbench_tab.stats.selection import Covered, Regret
from nasbench_tab.verify.bias import Bias, CellBias, Estimate, Lane


def lane(
    strategy: str,
    claimed: list[float],
    real: list[float],
    runs: list[int],
    names: str,
) -> Lane:
    """Return winners of a strategy, each trained once."""
    gaps = [c - r for c, r in zip(claimed, real, strict=True)]
    cells = tuple(
        CellBias(name, c, n, (r,), gap)
        for name, c, r, n, gap in zip(names, claimed, real, runs, gaps, strict=True)
    )
    nothing = Estimate(math.nan, math.nan, math.nan, 0)
    found: ArmBias = arm_bias(np.array(claimed), np.array(real)[:, None], "max", runs=runs)
    return Lane(
        arm="winners",
        strategy=strategy,
        bias=found,
        verdict=BiasVerdict("inconclusive", math.nan, math.nan, ""),
        covered=Covered(math.nan, math.nan, math.nan, 0),
        tau=nothing,
        regret=Regret(math.nan, math.nan, 0),
        unseen=nothing,
        expected=None,
        matched=None,
        cells=cells,
    )


def found(*lanes: Lane, direction: Any = "max") -> Bias:
    nothing = Estimate(math.nan, math.nan, math.nan, 0)
    return Bias(
        *("c", "b", "valid_accuracy", direction, "%", 0.1, 0.1, nothing, 0, 0, lanes, {}, ()),
    )  # fmt: skip


_NUMBERS = st.lists(st.floats(80, 95), min_size=6, max_size=9)


@settings(max_examples=25, deadline=None)
@given(_NUMBERS, _NUMBERS)
def test_the_order_of_a_pair_is_as_likely_as_a_t_law_says(
    one: list[float], other: list[float]
) -> None:
    a = lane("a", [90.0] * len(one), one, [1] * len(one), "abcdefghi"[: len(one)])
    b = lane("b", [89.0] * len(other), other, [1] * len(other), "jklmnopqr"[: len(other)])
    [pair] = pairs(found(a, b))
    assert (pair.ahead, pair.behind, pair.claimed) == ("a", "b", 1.0)
    assert pair.real == pytest.approx(np.mean(one) - np.mean(other))
    errors = [np.var(v, ddof=1) / len(v) for v in (one, other)]
    if sum(errors) > 1e-6:
        from scipy.special import ndtr

        assert pair.same == pytest.approx(ndtr(pair.real / math.sqrt(sum(errors))), abs=0.06)
    [turned] = pairs(found(b, a))
    assert turned.same == pytest.approx(pair.same, abs=0.02)
    # What is less is better, with all values negated: the same pair.
    mirrored = [
        lane(x.strategy, [-c.claimed for c in x.cells], [-c.fresh[0] for c in x.cells], [1] * len(x.cells),
             "".join(c.text for c in x.cells))
        for x in (a, b)
    ]  # fmt: skip
    [less] = pairs(found(*mirrored, direction="min"))
    assert (less.ahead, less.same) == (pair.ahead, pair.same)
    assert less.claimed == pytest.approx(pair.claimed)


def test_strategies_that_share_their_cells_are_compared_on_what_they_do_not_share() -> None:
    values = [90.0, 70.0, 85.0, 60.0, 95.0, 80.0]
    a = lane("a", [91.0] * 6, values, [1, 1, 1, 1, 1, 3], "abcdef")
    b = lane("b", [90.0] * 6, values, [1, 1, 1, 1, 1, 1], "abcdef")
    same = lane("same", [89.0] * 6, values, [1] * 6, "abcdef")
    [with_more, _, equal] = pairs(found(a, b, same))
    assert equal.real == 0
    assert equal.same == 0.5  # the same cells: nothing moves between them
    assert 0.3 < with_more.same < 0.7


def test_an_order_is_not_told_by_few_cells_or_equal_claims() -> None:
    few = lane("few", [90.0] * 5, [90.0] * 5, [1] * 5, "abcde")
    none = lane("none", [], [], [], "")
    many = lane("many", [91.0] * 6, [89.0, 90.0, 89.5, 90.0, 89.0, 90.0], [1] * 6, "fghijk")
    equal = lane("equal", [91.0] * 6, [90.0] * 6, [1] * 6, "lmnopq")
    reasons = {(p.ahead, p.behind): (p.reason, p.same) for p in pairs(found(few, many, equal))}
    assert all(math.isnan(same) for _, same in reasons.values())
    assert reasons["many", "few"][0] == "5 cells of few, it needs 6"
    assert reasons["many", "equal"][0] == "the claims are equal"
    [pair] = pairs(found(none, many))
    assert "0 cells of none" in pair.reason
    assert {one.strategy: one.ranks for one in standings(found(none, many))} == {
        "none": (0, 0),
        "many": (1, 1),
    }


def test_means_are_weighted_by_runs_and_ranked_both_ways() -> None:
    a = lane("a", [90.0, 94.0], [80.0, 90.0], [3, 1], "ab")
    b = lane("b", [90.0, 91.0], [90.0, 91.0], [1, 1], "cd")
    first, second = standings(found(a, b))
    assert first.claimed.mean == 91.0
    assert first.real.mean == 82.5
    assert (first.ranks, second.ranks) == ((1, 2), (2, 1))
