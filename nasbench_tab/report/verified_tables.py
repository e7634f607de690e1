"""Tables of a verification: the bias of each arm, and whether the order of strategies survives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.report.latex import escaped
from nasbench_tab.report.tables import Cell, Row, Table
from nasbench_tab.report.verified_words import (
    lane_name,
    p_value,
    ranged,
    shown_lanes,
    signed,
    value_places,
)
from nasbench_tab.report.words import NOTHING, metric_name, number
from nasbench_tab.stats.bias import MIN_CELLS
from nasbench_tab.verify.bias import Bias, Estimate, Lane, estimate

__all__ = [
    "Pair",
    "Standing",
    "beside_table",
    "bias_latex",
    "bias_rows",
    "bias_table",
    "order_table",
    "pairs",
    "standing_table",
    "standings",
]

_Floats = NDArray[np.float64]
_RESAMPLES, _SEED = 4000, 20240
_LEVEL = " [95\u00a0%]"


class Standing(NamedTuple):
    """The verified winners of one strategy, by their claims and for real; cells weighted by runs.

    Attributes:
        strategy: Label.
        claimed: Mean claim of the cells that have a real value.
        real: Mean of their means over fresh trainings.
        ranks: By claimed and by real mean, 1 = best, equals share the better; 0 = not known.
    """

    strategy: str
    claimed: Estimate
    real: Estimate
    ranks: tuple[int, int]


class Pair(NamedTuple):
    """Two strategies, the one with the better claims first.

    Attributes:
        ahead: The one.
        behind: The other.
        claimed: How much better the claims of the first are; never negative.
        real: How much better its real values are.
        same: Probability that the real order is that of the claims; NaN where it cannot be said.
        reason: Why not; empty where it can.
    """

    ahead: str
    behind: str
    claimed: float
    real: float
    same: float
    reason: str


def bias_table(found: Bias) -> Table:
    """Return how far the claims of each arm were off."""
    places = value_places(found)
    titles = [
        "cells",
        "trainings (failed)",
        f"bias{_LEVEL}",
        "drift taken out",
        "SD of cells / seeds",
    ]
    titles += ["p (Holm)", "smallest detectable", "verdict"]
    rows = []
    for lane in shown_lanes(found):
        bias, verdict = lane.bias, lane.verdict
        failed = f" ({bias.failed:,})" if bias.failed else ""
        spread = [number(sd, places) for sd in (bias.sd_cells, bias.sd_seeds)]
        cells = [
            f"{bias.n:,}",
            f"{bias.trainings:,}{failed}",
            ranged(bias.mean, bias.low, bias.high, places),
            "not known" if math.isnan(bias.drift) else signed(bias.drift, places),
            " / ".join(spread) if bias.n else NOTHING,
            p_value(verdict.p),
            number(bias.detectable, places),
            verdict.word if bias.n else "nothing trained yet",
        ]
        rows.append(_row(lane, cells))
    return Table(titles, rows)


def beside_table(found: Bias) -> Table:
    """Return what stands beside the bias: what choosing explains, intervals, ranks, the pick.

    Columns that have no figure in any row are left out.
    """
    places, lanes = value_places(found), shown_lanes(found)
    columns: dict[str, list[str]] = {
        f"choosing alone{_LEVEL}": [_explained(lane, places) for lane in lanes],
        "by theory": [
            NOTHING if lane.expected is None else signed(lane.expected.normal, places)
            for lane in lanes
        ],
        f"other trainings{_LEVEL}": [ranged(*lane.unseen[:3], places) for lane in lanes],
        f"in the claimed 90\u00a0% intervals{_LEVEL}": [_covered(lane) for lane in lanes],
        f"rank kept (tau){_LEVEL}": [_tau(lane) for lane in lanes],
        "regret of the pick: most / least": [_pick(lane, places) for lane in lanes],
        "against matched cells": [
            NOTHING
            if lane.matched is None or not lane.matched.n
            else f"{signed(lane.matched.difference, places)} ({lane.matched.n:,} of {lane.bias.n:,})"
            for lane in lanes
        ],
    }
    kept = {title: texts for title, texts in columns.items() if set(texts) != {NOTHING}}
    rows = [_row(lane, [texts[i] for texts in kept.values()]) for i, lane in enumerate(lanes)]
    return Table(list(kept), rows if kept else [])


def bias_rows(found: Bias) -> list[dict[str, Any]]:
    """Return the bias of each arm as figures, for CSV."""
    rows = []
    for lane in shown_lanes(found):
        explained = lane.expected
        nothing = math.nan
        rows.append(
            {
                "benchmark": found.benchmark,
                "arm": lane.arm,
                "strategy": lane.strategy,
                **{f"bias_{key}" if key in ("mean", "low", "high") else key: value
                   for key, value in lane.bias._asdict().items()},
                "verdict": lane.verdict.word,
                "p_holm": lane.verdict.p,
                "p_equivalence": lane.verdict.p_equivalence,
                "margin": found.margin,
                "expected": nothing if explained is None else float(explained.excess.estimate),
                "expected_low": nothing if explained is None else float(explained.excess.low),
                "expected_high": nothing if explained is None else float(explained.excess.high),
                "expected_normal": nothing if explained is None else explained.normal,
                "unseen": lane.unseen.mean,
                "covered": lane.covered.share,
                "tau": lane.tau.mean,
                "pick_regret": lane.regret.plain,
                "pick_regret_split": lane.regret.split,
                "unit": found.unit,
                "comparison": found.comparison,
            }
        )  # fmt: skip
    return rows


def bias_latex(found: Bias, table: Table) -> str:
    """Return the bias table as a complete ``table*`` environment (package booktabs)."""
    unit = f", in {found.unit}" if found.unit else ""
    caption = (
        f"Claimed minus retrained {metric_name(found.objective)} on {found.benchmark}{unit}, the drift of the "
        f"pipeline taken out; + = the claim was optimistic. Brackets: 95 % intervals over cells. A bias below "
        f"{found.margin:.3g} does not matter. p by Holm's method, the first row alone."
    )
    lines = [
        "% needs \\usepackage{booktabs}",
        f"% results {found.comparison}",
        "\\begin{table*}",
        "\\centering\\small",
        f"\\caption{{{escaped(caption)}}}",
        "\\label{tab:nasbench-tab-bias}",
        f"\\begin{{tabular}}{{l{'r' * (len(table.titles) - 1)}l}}",
        "\\toprule",
        " & ".join(["Claims", *map(escaped, table.titles)]) + r" \\",
        "\\midrule",
        *(
            " & ".join([escaped(row.label), *(escaped(cell.text) for cell in row.cells)]) + r" \\"
            for row in table.rows
        ),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table*}",
        "",
    ]
    return "\n".join(lines)


def standings(found: Bias) -> list[Standing]:
    """Return each strategy's verified winners by their claims and for real."""
    lanes = [lane for lane in found.lanes if lane.strategy]
    sign = 1.0 if found.direction == "max" else -1.0
    worth = [_worth(lane) for lane in lanes]
    claimed, real = ([estimate(part[i], part[2]) for part in worth] for i in (0, 1))
    ranks = [_ranks([sign * one.mean for one in means]) for means in (claimed, real)]
    return [
        Standing(lane.strategy, claimed[i], real[i], (ranks[0][i], ranks[1][i]))
        for i, lane in enumerate(lanes)
    ]


def pairs(found: Bias) -> list[Pair]:
    """Return for each two strategies how likely the order of their claims is that of their real values.

    The claims' order is taken as it is. Real means are resampled over distinct cells with the Bayesian
    bootstrap (Rubin, The Annals of Statistics 1981), in which no strategy loses all its cells, and each
    strategy's deviations are widened by ``sqrt((n + 1) / (n - 1))``, since that is how much they are too
    small for ``n`` equal cells.
    """
    lanes = [lane for lane in found.lanes if lane.strategy]
    texts = sorted({cell.text for lane in lanes for cell in lane.cells})
    draws = np.random.default_rng(_SEED).exponential(size=(_RESAMPLES, len(texts)))
    sign = 1.0 if found.direction == "max" else -1.0
    of = {lane.strategy: _resampled(lane, texts, draws) for lane in lanes}
    result = []
    for i, one in enumerate(lanes):
        for other in lanes[i + 1 :]:
            ahead, behind = one, other
            gap = sign * (of[one.strategy][0] - of[other.strategy][0])
            if gap < 0:
                ahead, behind, gap = other, one, -gap
            (_, real, many), (_, real_too, many_too) = of[ahead.strategy], of[behind.strategy]
            reason = _not_enough(ahead, behind, gap)
            same = math.nan
            if not reason:
                apart = sign * (many - many_too)
                same = float(((apart > 0) + 0.5 * (apart == 0)).mean())
            result.append(
                Pair(ahead.strategy, behind.strategy, gap, sign * (real - real_too), same, reason)
            )
    return result


def standing_table(found: Bias, lower: float = -math.inf, upper: float = math.inf) -> Table:
    """Return claimed and real means of each strategy's winners, with the rank by either.

    Args:
        found: What was found.
        lower: Least value that the metric can have; intervals end there.
        upper: Greatest.
    """
    places = value_places(found)
    titles = ["cells", f"claimed{_LEVEL}", f"real{_LEVEL}", "rank by claims", "rank for real"]
    rows = []
    for one in standings(found):
        shown = [
            ranged(p.mean, max(p.low, lower), min(p.high, upper), places, plus=False)
            for p in (one.claimed, one.real)
        ]
        ranks = [NOTHING if not rank else f"{rank}" for rank in one.ranks]
        rows.append(Row(one.strategy, [Cell(t) for t in (f"{one.real.n:,}", *shown, *ranks)]))
    return Table(titles, rows)


def order_table(found: Bias) -> Table:
    """Return for each pair of strategies whether their order survives."""
    places = value_places(found)
    rows = []
    for pair in pairs(found):
        gaps = [signed(value, places) for value in (pair.claimed, pair.real)]
        same = f"not enough: {pair.reason}" if pair.reason else _probability(pair.same)
        rows.append(Row(f"{pair.ahead} before {pair.behind}", [Cell(t) for t in (*gaps, same)]))
    return Table(["better by, claimed", "better by, real", "same order for real"], rows)


def _worth(lane: Lane) -> tuple[_Floats, _Floats, _Floats]:
    """Return ``(n,)`` claims, real means and runs of the cells with both."""
    rows = [
        (cell.claimed, float(np.mean(values)), float(cell.runs))
        for cell in lane.cells
        if (values := [v for v in cell.fresh if math.isfinite(v)]) and math.isfinite(cell.claimed)
    ]
    claimed, real, runs = np.array(rows, np.float64).reshape(-1, 3).T
    return claimed, real, runs


def _resampled(lane: Lane, texts: list[str], draws: _Floats) -> tuple[float, float, _Floats]:
    """Return the mean claim, the mean real value, and ``(B,)`` of the latter in resamples."""
    claimed, real, runs = _worth(lane)
    n = len(real)
    if n < 2:
        alone = float(real[0]) if n else math.nan
        return float(claimed[0]) if n else math.nan, alone, np.full(len(draws), alone)
    kept = [cell.text for cell in lane.cells if any(map(math.isfinite, cell.fresh))
            and math.isfinite(cell.claimed)]  # fmt: skip
    weights = draws[:, [texts.index(text) for text in kept]] * runs
    many = weights @ real / weights.sum(axis=1)
    mean = float(runs @ real / runs.sum())
    wider = math.sqrt((n + 1) / (n - 1))
    return float(runs @ claimed / runs.sum()), mean, mean + (many - mean) * wider


def _not_enough(one: Lane, other: Lane, gap: float) -> str:
    few = [lane for lane in (one, other) if lane.bias.n < MIN_CELLS]
    if few:
        least = min(few, key=lambda lane: lane.bias.n)
        return f"{least.bias.n:,} cells of {least.strategy}, it needs {MIN_CELLS}"
    return "" if gap > 0 else "the claims are equal"


def _ranks(scores: Sequence[float]) -> list[int]:
    return [
        0 if math.isnan(one) else 1 + sum(other > one for other in scores) for one in scores
    ]  # NaN is above nothing


def _row(lane: Lane, texts: Sequence[str]) -> Row:
    name = lane_name(lane)
    return Row(name[:1].upper() + name[1:], [Cell(text) for text in texts], lane.arm == "random")


def _explained(lane: Lane, places: int) -> str:
    if lane.expected is None:
        return NOTHING
    excess = lane.expected.excess
    text = ranged(float(excess.estimate), float(excess.low), float(excess.high), places)
    return f"{text}, best\u00a0of\u00a0{lane.expected.draws:,}"


def _covered(lane: Lane) -> str:
    if not lane.covered.n:
        return NOTHING
    share, low, high = (100 * value for value in lane.covered[:3])
    return f"{number(share, 0)}\u00a0% [{number(low, 0)},\u00a0{number(high, 0)}]"


def _tau(lane: Lane) -> str:
    return NOTHING if lane.tau.n < 3 else ranged(*lane.tau[:3], 2, plus=False)


def _pick(lane: Lane, places: int) -> str:
    if not lane.regret.n:
        return NOTHING
    return f"{number(lane.regret.plain, places)} / {number(lane.regret.split, places)}"


def _probability(value: float) -> str:
    if value > 0.99:
        return "> 99\u00a0%"
    return "< 1\u00a0%" if value < 0.01 else f"{100 * value:.0f}\u00a0%"
