"""The figures of a verification: from what it found to what is drawn, and what has to be said of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nasbench_tab.report.charts import Style, styles
from nasbench_tab.report.summary import Searched, Summary
from nasbench_tab.report.verified_charts import Arm, Dot, Path, along_svg, biases_svg, scatter_svg
from nasbench_tab.report.verified_words import lane_name, shown_lanes
from nasbench_tab.report.words import listing, metric_name, number, regret_unit
from nasbench_tab.stats.anytime import at_evaluations
from nasbench_tab.stats.cellmean import variance_parts
from nasbench_tab.verify.bias import Bias, Lane
from nasbench_tab.verify.plan import Plan

__all__ = ["verified_figures"]

_BEYOND = 12.0  # spans of the final values that the chart along the search holds behind the best


def verified_figures(
    found: Bias, plan: Plan, summary: Summary, labels: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Return SVG documents by file name, and notes on how to read them.

    Args:
        found: What was found.
        plan: Its plan.
        summary: The benchmark that was verified.
        labels: Of the comparison's strategies, in its order, by which they are coloured everywhere.
    """
    lanes = shown_lanes(found)
    style, spread = _styles(labels, lanes), _spread(lanes)
    unit = f" ({found.unit})" if found.unit not in ("", "fraction") else ""
    name = f"{metric_name(found.objective)}{unit}"
    claims = {(c.arm, c.strategy, c.text): (c.lower, c.upper) for c in plan.claims}
    dots = [
        dot
        for lane in lanes
        if lane.strategy or lane.arm == "top"
        for cell in lane.cells
        if (
            dot := _dot(
                _key(lane),
                cell.claimed,
                cell.fresh,
                spread,
                claims.get((lane.arm, lane.strategy, cell.text)),
            )
        )
    ]
    figures, notes = {}, []
    if dots:
        figures["verified-claimed"] = scatter_svg(
            dots, style, f"{found.benchmark} · each winner", f"Claimed {name}", f"Real {name}"
        )
        bars = "95 % intervals of the mean of a cell’s fresh trainings, by the deviation between seeds pooled over cells"
        if not spread[1]:
            notes.append("No cell was trained twice, so its real value has no interval.")
        else:
            notes.append(f"Upright bars: {bars}.")
        if any(math.isfinite(dot.left) for dot in dots):
            notes.append("Level bars: the claimed 90 % interval of one training.")
    arms = [
        Arm(
            lane_name(lane),
            _key(lane),
            [_shifted(lane, cell.optimism) for cell in lane.cells],
            *(lane.bias.mean, lane.bias.low, lane.bias.high),
        )
        for lane in lanes
        if lane.bias.n
    ]
    if arms:
        points = regret_unit(summary.metric)
        figures["verified-bias"] = biases_svg(
            arms,
            style,
            f"{found.benchmark} · claimed minus real",
            f"Bias ({points + ', ' if points else ''}+ = optimistic)",
            found.margin,
        )
        notes.append(
            "Small strokes are cells, marks their mean with its interval, cut where it goes far beyond "
            "the cells; the band is the margin."
        )
    svg, said = _along(found, summary, style, spread, name)
    if svg:
        figures["verified-along"] = svg
    return figures, [*notes, *said]


def _styles(labels: Sequence[str], lanes: Sequence[Lane]) -> dict[str, Style]:
    """Return the strategies' styles as everywhere, the next ones for other arms, ink for all winners."""
    others = [lane_name(lane) for lane in lanes if not lane.strategy]
    return styles([*labels, *others])


def _key(lane: Lane) -> str:
    return lane.strategy or lane_name(lane)


def _spread(lanes: Sequence[Lane]) -> tuple[float, float]:
    """Return the deviation between fresh trainings of a cell, pooled over winners, and its degrees of freedom.

    Random cells are left out: bad cells differ more between seeds. NaN where none was trained twice.
    """
    rows = {cell.text: cell.fresh for lane in lanes if lane.arm != "random" for cell in lane.cells}
    table = np.full((len(rows), max(map(len, rows.values()), default=0)), np.nan)
    for row, fresh in zip(table, rows.values(), strict=True):
        row[: len(fresh)] = fresh
    times = np.isfinite(table).sum(axis=1)
    df = float((times[times > 0] - 1).sum())
    sd = variance_parts(np.zeros(len(table)), table)[1] if df else math.nan
    return sd, df


def _dot(
    label: str, x: float, fresh: Sequence[float], spread: tuple[float, float], claim: Any = None
) -> Dot | None:
    """Return the mean of a cell's fresh trainings with its 95 % interval; None without any."""
    from scipy.special import stdtrit

    values = [value for value in fresh if math.isfinite(value)]
    if not values or not math.isfinite(x):
        return None
    sd, df = spread
    half = float(stdtrit(df, 0.975)) * sd / math.sqrt(len(values)) if df else math.nan
    mean = math.fsum(values) / len(values)
    left, right = (math.nan, math.nan) if claim is None else claim
    return Dot(label, x, mean, mean - half, mean + half, left, right)


def _shifted(lane: Lane, optimism: float) -> float:
    return optimism if math.isnan(lane.bias.drift) else optimism + lane.bias.drift


def _along(
    found: Bias, summary: Summary, style: dict[str, Style], spread: tuple[float, float], name: str
) -> tuple[str, list[str]]:
    """Return the chart along one run of each strategy, and what it leaves out."""
    paths, dots = [], []
    searched = {one.label: one for one in summary.searched}
    for label in dict.fromkeys(step.strategy for step in found.trajectory):
        steps = [step for step in found.trajectory if step.strategy == label]
        path = _path(searched.get(label), steps[0].run)
        if path is None:
            continue
        paths.append(path)
        dots += [dot for s in steps if (dot := _dot(label, s.since, s.fresh, spread))]
    if not dots:
        return "", []
    ends = [path.claimed[-1] for path in paths] + [
        v
        for d in dots
        if d.x >= max(e.x for e in dots if e.label == d.label)
        for v in (d.low, d.high, d.y)
    ]
    ends = [v for v in ends if math.isfinite(v)]
    reach = _BEYOND * (max(ends) - min(ends)) or math.inf
    within = (
        (max(ends) - reach, math.inf)
        if found.direction == "max"
        else (-math.inf, min(ends) + reach)
    )
    outside = [dot for dot in dots if not within[0] <= dot.y <= within[1]]
    title = f"{found.benchmark} · one run each: claimed (line), real (marks)"
    svg = along_svg(paths, dots, style, title, name[:1].upper() + name[1:], within)
    if not outside:
        return svg, []
    left = listing([f"{number(d.y, 2)} ({d.label}, evaluation {d.x:,.0f})" for d in outside])
    return svg, [
        f"Left out of the chart along the search, far from the final values: real values {left}."
    ]


def _path(searched: Searched | None, run: int) -> Path | None:
    if searched is None or run not in searched.trials.runs:
        return None
    row = int(np.flatnonzero(searched.trials.runs == run)[0])
    counts = np.arange(1, int(searched.trials.lengths[row]) + 1)
    values = at_evaluations(searched.found, searched.trials.values, counts)[row]
    known = np.isfinite(values)
    if not known.any():
        return None
    return Path(searched.label, counts[known].astype(np.float64), values[known])
