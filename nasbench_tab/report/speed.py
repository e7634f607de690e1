"""How fast is a strategy: in evaluations that random search would need, and to random search's level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Protocol
from nasbench_tab.report.summary import Searched, Summary, interval, weights
from nasbench_tab.report.tables import Cell, Row, Table, of_interval
from nasbench_tab.report.words import decimals, estimate, number
from nasbench_tab.search.exact import random_search_curve
from nasbench_tab.stats.anytime import at_evaluations
from nasbench_tab.stats.bootstrap import Interval
from nasbench_tab.stats.targets import (
    expected_running_time,
    hitting_times,
    speed_up,
    success_rate,
)

__all__ = ["speed_table"]

_BEYOND = 1000  # random search's exact curve is followed to so many times the evaluations of a run
_POINTS = 300


def speed_table(summary: Summary, protocol: Protocol) -> Table:
    """Return how many evaluations each strategy saves; no rows where random search has no exact law."""
    bench = summary.background.bench
    searched = [one for one in summary.searched if one.known.any()]
    longest = max((int(one.trials.lengths.max()) for one in searched), default=0)
    empty = Table([], [])
    if bench is None or not longest:
        return empty
    grid = np.geomspace(1, _BEYOND * longest, _POINTS).round().astype(np.int64)
    counts = np.unique(np.append(grid, longest))
    try:
        exact = random_search_curve(bench, protocol, counts)
    except InvalidArgumentError:
        return empty
    level = float(exact[np.searchsorted(counts, longest)])
    best, metric = summary.about["optimum"], summary.metric
    target = metric.score(best) - metric.score(level)
    titles = [
        "random search needs",
        "speed-up",
        f"evaluations until regret {number(target, decimals(summary))}",
        "runs that get there",
    ]
    rows = [
        Row(one.label, [Cell(text) for text in _cells(summary, one, exact, counts, target)])
        for one in searched
    ]
    return Table(titles, rows)


def _cells(
    summary: Summary,
    searched: Searched,
    exact: NDArray[np.float64],
    counts: NDArray[np.int64],
    target: float,
) -> list[str]:
    known, n = searched.known, int(searched.known.sum())
    final = searched.value[known]
    value = interval(final) or Interval(final.mean(), np.asarray(np.nan), np.asarray(np.nan))
    spent = searched.trials.lengths[known]
    curve = Interval(*(np.atleast_1d(part) for part in value))
    used = np.array([max(1, round(float(spent.mean())))])
    found = speed_up(curve, used, exact, counts, summary.metric.direction, n)
    ends = (Interval(*(part[0] for part in one)) for one in (found.needed, found.ratio))
    needed, ratio = (
        _at_least(end, n, bool(found.beyond[0]), p) for end, p in zip(ends, (0, 2), strict=True)
    )
    steps = np.arange(1, int(spent.max()) + 1)
    values = at_evaluations(searched.found, searched.trials.final[summary.metric.name], steps)[
        known
    ]
    best = summary.about["optimum"]
    regret = best - values if summary.metric.direction == "max" else values - best
    hits = hitting_times(regret, np.array([target]))[:, 0]
    ert = expected_running_time(hits, spent.astype(np.float64), weights(n))
    rate = success_rate(hits)
    percent = Interval(*(100 * part for part in rate))
    return [
        needed,
        ratio,
        _at_least(ert, n, not np.isfinite(ert.estimate), 0),
        f"{estimate(of_interval(percent, n), 0)} %",
    ]


def _at_least(found: Interval, n: int, bound: bool, places: int) -> str:
    """Return an estimate; where it is a lower bound only, it says so."""
    if bound and not np.isfinite(found.estimate):
        return "never reached"
    if bound:
        return f"≥\u00a0{number(float(found.estimate), places)}"
    if found.high == np.inf:
        low = number(float(found.low), places)
        return f"{number(float(found.estimate), places)} [{low},\u00a0∞)"
    return estimate(of_interval(found, n), places)
