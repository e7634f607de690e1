"""The page's part on two objectives: the front that runs found, and how much of the best one it is."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from nasbench_tab.records import Metric
from nasbench_tab.report.charts import Style, chart_svg, inline
from nasbench_tab.report.curves import Curve, Panel, curve_end, spaced
from nasbench_tab.report.front_charts import Line, front_svg
from nasbench_tab.report.summary import Estimate, Searched, Summary, interval
from nasbench_tab.report.tables import Cell, Row, Table
from nasbench_tab.report.words import estimate, metric_name, number
from nasbench_tab.search.fronts import Target, found_fronts, hypervolume_ratios, target
from nasbench_tab.search.results import Results
from nasbench_tab.stats.pareto import attained

__all__ = ["FrontSection", "front_section"]

_Floats = NDArray[np.float64]
_PLACES = 3  # of a hypervolume ratio
EXACT, FOUND = "exact front", "front of all evaluations"


class FrontSection(NamedTuple):
    """What the page says of two objectives on one benchmark.

    Attributes:
        heading: Of the part.
        finding: One sentence; empty where nothing was found.
        charts: Fronts, and hypervolume against evaluations.
        caption: Of the table.
        table: Each strategy.
        notes: What the picture and the measure are.
        figures: SVG documents by the last part of their file names.
    """

    heading: str
    finding: str
    charts: list[Markup]
    caption: str
    table: Table
    notes: list[str]
    figures: dict[str, str]


def front_section(
    results: Results, summary: Summary, style: dict[str, Style]
) -> FrontSection | None:
    """Return the part on two objectives; None where the comparison has one."""
    if results.second(summary.name) is None:
        return None
    goal = target(results, summary.name)
    runs = results.manifest["experiment"]["runs"]
    title = f"{summary.name} · n = {runs:,} run{'s' * (runs != 1)}"
    finals = {one.label: _ratios(results, summary, one) for one in summary.searched}
    fronts = {one.label: found_fronts(results, summary.name, one.label) for one in summary.searched}
    panel = _panel(results, summary)
    figures = {}
    if len(goal.front) and goal.area > 0:
        lines = _lines(goal, fronts)
        x_title, y_title = (_titled(metric) for metric in (goal.second, goal.objective))
        figures["front"] = front_svg(
            lines, goal, _best_name(goal), style, f"{title} · median front", x_title, y_title
        )
        if panel.curves:
            figures["hypervolume"] = chart_svg(panel, title, "", style)
    says = {
        "front": f"Median front of each strategy and the {_best_name(goal)} on {summary.name}",
        "hypervolume": f"Mean share of hypervolume that is missing, against evaluations on {summary.name}",
    }
    charts = [Markup(inline(svg, escape(says[name]))) for name, svg in figures.items()]  # noqa: S704 - made by vl-convert
    return FrontSection(
        heading=f"Two objectives: {metric_name(goal.objective.name)} and {metric_name(goal.second.name)}",
        finding=_finding(goal, finals),
        charts=charts,
        caption=f"Fronts at the end: hypervolume as a share of that of the {_best_name(goal)}",
        table=_table(goal, finals, fronts),
        notes=_notes(goal, summary),
        figures=figures,
    )


def _ratios(results: Results, summary: Summary, one: Searched) -> _Floats:
    most = np.array([max(1, int(one.trials.lengths.max(initial=1)))])
    return hypervolume_ratios(results, summary.name, one.label, most)[:, 0]


def _panel(results: Results, summary: Summary) -> Panel:
    """Return what is missing of the hypervolume; a curve ends where the first of its runs spent its budget."""
    curves = []
    for one in summary.searched:
        if not one.known.any():
            continue
        end = curve_end(one, one.trials.lengths.astype(np.float64))
        counts = np.unique(spaced(1.0, end).round().astype(np.int64))
        x = counts.astype(np.float64)
        missing = 1 - hypervolume_ratios(results, summary.name, one.label, counts)
        band = interval(missing)
        curves.append(
            Curve(one.label, x, missing.mean(axis=0))
            if band is None
            else Curve(one.label, x, *band)
        )
    return Panel("evaluations", curves, y_title="Hypervolume missing (1 − ratio)")


def _lines(goal: Target, fronts: dict[str, list[_Floats]]) -> list[Line]:
    """Return the median attainment curve of each strategy, in the metrics' own directions."""
    signs = np.array([-goal.second.score(1.0), -goal.objective.score(1.0)])
    lines = []
    for label, found in fronts.items():
        losses = [signs * front[:, ::-1] for front in found]
        grid = np.unique(np.concatenate([loss[:, 0] for loss in losses]))
        grid = np.append(grid[grid < goal.reference[0]], goal.reference[0])
        best = attained(losses, grid)
        shown = best < goal.reference[1]
        if shown.any():
            lines.append(Line(label, signs[0] * grid[shown], signs[1] * best[shown]))
    return lines


def _table(goal: Target, finals: dict[str, _Floats], fronts: dict[str, list[_Floats]]) -> Table:
    level = " [95\u00a0%]" if any(_estimate(data).has_interval for data in finals.values()) else ""
    best, members = _clear_best(finals), set(map(tuple, goal.front.tolist()))
    rows = []
    for label, data in finals.items():
        sets = [set(map(tuple, front.tolist())) for front in fronts[label]]
        hits = np.array([len(front & members) for front in sets], np.float64)
        spread = np.quantile(data, [0.25, 0.75]) if np.isfinite(data).all() else [np.nan] * 2
        cells = [
            Cell(estimate(_estimate(data), _PLACES), label == best),
            Cell(" to ".join(number(float(end), _PLACES) for end in spread)),
            Cell(number(float(np.mean([len(front) for front in fronts[label]])), 1)),
            Cell(estimate(_estimate(hits), 1)),
        ]
        rows.append(Row(label, cells))
    titles = [
        f"mean{level}",
        "quartiles",
        "members of a run’s front",
        f"of the {len(goal.front)} of the {_best_name(goal)}{level}",
    ]
    return Table(titles, rows)


def _finding(goal: Target, finals: dict[str, _Floats]) -> str:
    ranking = _ranking(finals)
    if not ranking:
        return ""
    first = _estimate(finals[ranking[0]])
    text = (
        f"The front of {ranking[0]} has {estimate(first, _PLACES)} of the hypervolume of the "
        f"{_best_name(goal)}, the largest mean share"
    )
    if len(ranking) == 1:
        return f"{text}."
    ahead = _estimate(finals[ranking[0]] - finals[ranking[1]])
    return f"{text}; {ranking[1]} is next, {estimate(ahead, _PLACES)} behind (differences paired by run)."


def _notes(goal: Target, summary: Summary) -> list[str]:
    cost, worth = goal.reference * [-goal.second.score(1.0), -goal.objective.score(1.0)]
    of = (
        f"all {summary.about['architectures']:,} architectures within reach"
        if goal.exact
        else "everything that any run here evaluated, since the space cannot be listed"
    )
    how = (
        "A run’s front is what no other of its evaluations dominates by observed values; it counts by the "
        f"values that are reported of its members. The {_best_name(goal)} is that of {of}, by reported values."
    )
    lines = (
        "Lines of strategies: half of the runs have an architecture that costs no more and is at least as "
        "good (median attainment)."
    )
    area = (
        "Hypervolume: the area up to an architecture of no merit, worth the mean of the space "
        f"({_shown(float(worth))}) and a tenth of the front’s width beyond its costliest member "
        f"({_shown(float(cost))}): the frame of the picture."
    )
    return [how, lines, area]


def _best_name(goal: Target) -> str:
    return EXACT if goal.exact else FOUND


def _titled(metric: Metric) -> str:
    unit = f" ({metric.unit})" if metric.unit not in ("", "fraction") else ""
    return re.sub("^.", lambda letter: letter[0].upper(), metric_name(metric.name)) + unit


def _shown(value: float) -> str:
    return f"{value:.4g}"


def _estimate(data: _Floats) -> Estimate:
    data = data[np.isfinite(data)]
    found = interval(data)
    if found is None:
        return Estimate(float(data.mean()) if len(data) else np.nan, np.nan, np.nan, len(data))
    return Estimate(float(found.estimate), float(found.low), float(found.high), len(data))


def _ranking(finals: dict[str, _Floats]) -> list[str]:
    known = [label for label, data in finals.items() if np.isfinite(data).all() and len(data)]
    return sorted(known, key=lambda label: -float(finals[label].mean()))


def _clear_best(finals: dict[str, _Floats]) -> str | None:
    """Return the strategy whose paired difference to the next one excludes zero, if it does."""
    ranking = _ranking(finals)
    if len(ranking) < 2:
        return None
    ahead = _estimate(finals[ranking[0]] - finals[ranking[1]])
    return ranking[0] if ahead.excludes_zero else None
