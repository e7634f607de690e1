"""The two tables of each benchmark as text: what was found, and what it cost."""

from __future__ import annotations

from typing import NamedTuple

from nasbench_tab.report.curves import Panel
from nasbench_tab.report.summary import Outcome, Summary
from nasbench_tab.report.words import (
    NOTHING,
    decimals,
    duration,
    estimate,
    metric_name,
    number,
)

__all__ = ["Cell", "Row", "Table", "cost_table", "outcome_table"]


class Cell(NamedTuple):
    """One entry; ``best`` if it is the best of its column beyond doubt (see the page)."""

    text: str
    best: bool = False


class Row(NamedTuple):
    """One strategy (or a reference, which is no strategy)."""

    label: str
    cells: list[Cell]
    reference: bool = False


class Table(NamedTuple):
    """Column titles, without that of the first column, and rows."""

    titles: list[str]
    rows: list[Row]


def outcome_table(summary: Summary, panel: Panel) -> Table:
    """Return the final figures of each strategy, and random search's exact expectation below them.

    Args:
        summary: The benchmark.
        panel: Its curves over evaluations; they hold the exact expectation.
    """
    tests = list(summary.about["test_metrics"])
    level = (
        " [95\u00a0%]" if any(outcome.regret.has_interval for outcome in summary.outcomes) else ""
    )
    titles = [
        "n",
        "mean",
        "SD",
        "median",
        "quartiles",
        f"mean regret{level}",
        f"behind the lowest{level}",
        "relative improvement",
        *(f"{metric_name(test)}{level}" for test in tests),
    ]
    rows = [_outcome_row(summary, outcome, tests) for outcome in summary.outcomes]
    if panel.exact is not None:
        rows.append(
            _exact_row(summary, float(panel.exact.mean[-1]), panel.exact.label, len(titles))
        )
    return Table(titles, rows)


def cost_table(summary: Summary) -> Table:
    """Return what the runs of each strategy cost."""
    titles = [
        "evaluations per run",
        "distinct cells per run",
        "simulated time per run",
        "CPU per evaluation",
        "runs ended by",
    ]
    rows = []
    for outcome in summary.outcomes:
        mean, least, most = outcome.evaluations
        evaluations = number(mean, 0 if least == most else 1)
        cells = [
            evaluations if least == most else f"{evaluations} ({least:,} to {most:,})",
            number(outcome.distinct, 1),
            duration(outcome.seconds),
            f"{number(outcome.cpu_microseconds, 0)} µs",
            ", ".join(f"{reason}: {times:,}" for reason, times in sorted(outcome.stops.items())),
        ]
        rows.append(Row(outcome.strategy, [Cell(text) for text in cells]))
    return Table(titles, rows)


def _outcome_row(summary: Summary, outcome: Outcome, tests: list[str]) -> Row:
    places = decimals(summary)
    best = summary.best.get(summary.metric.name) == outcome.strategy
    low, high = outcome.quartiles
    lowest = outcome.strategy == summary.leader
    cells = [
        Cell(f"{outcome.n:,}"),
        Cell(number(outcome.mean, places), best),
        Cell(number(outcome.sd, places)),
        Cell(number(outcome.median, places)),
        Cell(f"{number(low, places)} to {number(high, places)}" if outcome.n else NOTHING),
        Cell(estimate(outcome.regret, places), best),
        Cell("lowest" if lowest else estimate(outcome.behind, places)),
        Cell(_percent(outcome.improvement), best),
    ]
    cells += [
        Cell(estimate(outcome.tests[test], places), summary.best.get(test) == outcome.strategy)
        for test in tests
    ]
    return Row(outcome.strategy, cells)


def _exact_row(summary: Summary, regret: float, label: str, n_columns: int) -> Row:
    places, metric, about = decimals(summary), summary.metric, summary.about
    value = about["optimum"] - regret if metric.direction == "max" else about["optimum"] + regret
    gain = metric.score(value) - metric.score(about["mean"])
    texts = [NOTHING] * n_columns
    texts[1], texts[5] = number(value, places), number(regret, places)
    texts[7] = _percent(100 * gain / abs(about["mean"])) if about["mean"] else NOTHING
    return Row(label, [Cell(text) for text in texts], reference=True)


def _percent(value: float) -> str:
    text = number(value, 2)
    return text if text == NOTHING else f"{text} %"
