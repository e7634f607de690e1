"""Anytime curves: mean regret of the incumbent against evaluations or simulated time."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Protocol
from nasbench_tab.report.summary import Searched, Summary, interval
from nasbench_tab.search.clocks import final_seconds
from nasbench_tab.search.cost_curves import automl_incumbents
from nasbench_tab.search.exact import Baseline, random_search_baseline
from nasbench_tab.search.results import Results
from nasbench_tab.stats.anytime import at_evaluations, at_seconds

__all__ = [
    "EXACT",
    "FLOOR",
    "POINTS",
    "SIMULATED",
    "Curve",
    "Panel",
    "curve_end",
    "evaluations_panel",
    "floored",
    "seconds_panel",
    "spaced",
    "trained_panel",
]

#: Labels of random search's expectation: by its exact law, or from so many simulated runs.
EXACT, SIMULATED, SIMULATED_RUNS = "random search, exact", "random search, simulated", 500
#: Label of the table's own noise, and how far below the lowest curve it may lie to be drawn.
FLOOR, _DEEPEST = "noise of the table", 5.0
#: Points of a curve, at most; evenly spaced on a log axis.
POINTS = 60
_Floats = NDArray[np.float64]


class Curve(NamedTuple):
    """Mean regret at ``G`` points.

    Attributes:
        label: The strategy.
        x: ``(G,)`` evaluations, or simulated seconds.
        mean: ``(G,)`` mean regret over runs, in the objective's unit.
        low: ``(G,)`` lower end of the pointwise 95 % band, or None for too few runs.
        high: ``(G,)`` upper end, or None.
    """

    label: str
    x: _Floats
    mean: _Floats
    low: _Floats | None = None
    high: _Floats | None = None


class Panel(NamedTuple):
    """The curves of all strategies on one benchmark.

    Attributes:
        axis: What ``x`` is.
        curves: One per strategy, where it has any point.
        exact: Expected regret of random search: by its exact law, else simulated.
        no_exact: Why there is no exact one.
        quantity: What ``mean`` is.
        baseline: The law of random search behind ``exact``, at the same points.
        floor: Level below which a regret is within the table's own noise, where that is known.
        x_title: Title of that axis without its unit, where it is not the usual one.
        y_title: Likewise, with its unit.
    """

    axis: Literal["evaluations", "seconds", "regret"]
    curves: list[Curve]
    exact: Curve | None = None
    no_exact: str = ""
    quantity: Literal["regret", "rank", "share"] = "regret"
    baseline: Baseline | None = None
    floor: Curve | None = None
    x_title: str = ""
    y_title: str = ""


def evaluations_panel(summary: Summary, protocol: Protocol) -> Panel:
    """Return mean regret against the number of evaluations.

    All curves start where every run of every strategy has an incumbent. A run that had nothing more
    to propose keeps its last incumbent; a curve ends where the first of its runs spent its budget.
    """
    searched = [s for s in summary.searched if s.known.any()]
    start = max((int(_first(s).max()) + 1 for s in searched), default=1)
    curves = []
    for one in searched:
        end = curve_end(one, one.trials.lengths.astype(np.float64))
        counts = spaced(float(start), end).round().astype(np.int64)
        counts = np.unique(counts)
        values = at_evaluations(one.found, one.trials.final[summary.metric.name], counts)
        curves += _curve(summary, one, counts.astype(np.float64), values)
    baseline, problem = _baseline(summary, protocol, curves)
    exact = None
    if baseline is not None:
        label = EXACT if baseline.is_exact else SIMULATED
        exact = Curve(label, baseline.at, baseline.regret.mean)
    return Panel("evaluations", curves, exact, problem, baseline=baseline)


def seconds_panel(summary: Summary) -> Panel | None:
    """Return mean regret against simulated time, or None where the benchmark has no times.

    Start and end as in :func:`evaluations_panel`. Runs are right-continuous steps: an evaluation
    counts from the moment it ends.
    """
    searched = [s for s in summary.searched if s.known.any()]
    if not summary.about["has_seconds"] or not searched:
        return None
    start = max(float(_first_second(s).max()) for s in searched)
    curves = []
    for one in searched:
        finite = np.where(np.isfinite(one.found.seconds), one.found.seconds, -np.inf)
        grid = spaced(start, curve_end(one, finite.max(axis=1)))
        values = at_seconds(one.found, one.trials.final[summary.metric.name], grid)
        curves += _curve(summary, one, grid, values)
    return Panel("seconds", curves)


def trained_panel(results: Results, summary: Summary) -> tuple[Panel | None, str]:
    """Return mean regret of a trained model against search and final training; or None and why not.

    The AutoML variant of Lindauer and Hutter, JMLR 2020: an incumbent counts from the end of its own
    full training. With measured overhead there is none, for the clock would not be the same twice.
    """
    if not summary.about["has_seconds"] or results.protocol.overhead != "none":
        return None, ""
    searched = []
    for one in summary.searched:
        final = final_seconds(results, summary.name, one.trials)
        if np.isnan(final.seconds[one.found.which[one.found.which >= 0]]).any():
            reason = final.note or "the table lacks the training time of some incumbents"
            return None, f"No chart of the regret of a trained model: {reason}."
        searched.append(one._replace(found=automl_incumbents(one.found, final.seconds)))
    panel = seconds_panel(summary._replace(searched=searched))
    return panel and panel._replace(x_title="Search and final training"), ""


def floored(panel: Panel, rope: float) -> Panel:
    """Return the panel with a line at the table's own noise, unless that is unknown or far below.

    Args:
        panel: Curves of regret.
        rope: Standard error of one reported value (:func:`~nasbench_tab.stats.verdict.seed_noise`).
    """
    means = [float(v) for curve in panel.curves for v in curve.mean if v > 0]
    if not means or not rope * _DEEPEST >= min(means):
        return panel
    ends = np.array([f(float(c.x[i]) for c in panel.curves) for f, i in ((min, 0), (max, -1))])
    return panel._replace(floor=Curve(FLOOR, ends, np.full(2, rope)))


def _curve(summary: Summary, searched: Searched, x: _Floats, values: _Floats) -> list[Curve]:
    """Return one curve, or none where the strategy has no point."""
    if not len(x):
        return []
    best = summary.about["optimum"]
    values = values[searched.known]
    regret = best - values if summary.metric.direction == "max" else values - best
    band = interval(regret)
    if band is None:
        return [Curve(searched.label, x, regret.mean(axis=0))]
    return [Curve(searched.label, x, band.estimate, band.low, band.high)]


def _first(searched: Searched) -> NDArray[np.int64]:
    """Return the position (from 0) of the first evaluation with an incumbent, of each known run."""
    return np.asarray((searched.found.which[searched.known] >= 0).argmax(axis=1), np.int64)


def _first_second(searched: Searched) -> _Floats:
    seconds = searched.found.seconds[searched.known]
    return seconds[np.arange(len(seconds)), _first(searched)]


def curve_end(searched: Searched, ends: _Floats) -> float:
    """Return where a curve ends: where the first run spent its budget, if any run did."""
    spent = searched.known & (searched.trials.stop == "budget")
    return float(ends[spent].min() if spent.any() else ends[searched.known].max())


def spaced(start: float, end: float) -> _Floats:
    """Return points from ``start`` to ``end``, both included; none if ``end`` comes first."""
    if end < start:
        return np.empty(0)
    if end == start:
        return np.array([start])
    return np.geomspace(start, end, POINTS) if start > 0 else np.linspace(start, end, POINTS)


def _baseline(
    summary: Summary, protocol: Protocol, curves: list[Curve]
) -> tuple[Baseline | None, str]:
    """Return what random search is worth; where that is not exact, or not known, also the reason."""
    bench = summary.background.bench
    if bench is None:
        return None, f"{summary.background.problem}."
    if not curves:
        return None, "No run has an incumbent."
    longest = max((curve.x for curve in curves), key=lambda x: float(x[-1]))
    try:
        found = random_search_baseline(
            bench, protocol, longest.astype(np.int64), runs=SIMULATED_RUNS
        )
    except InvalidArgumentError as err:
        return None, str(err)
    if found.is_exact:
        return found, ""
    reason = (
        f"Random search is drawn as the mean of {found.runs:,} simulated runs: its exact law is not known, "
        f"because {found.reason}. Their standard error is at most {float(np.nanmax(found.error)):.2g}."
    )
    return found, reason
