"""Tables as text: what was found, what it cost, how lucky the winners are, all benchmarks together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nasbench_tab.report.across import Across
from nasbench_tab.report.references import Luck, Reference
from nasbench_tab.report.summary import Estimate, Outcome, Summary
from nasbench_tab.report.words import (
    NOTHING,
    decimals,
    duration,
    estimate,
    metric_name,
    number,
    places_of,
    time_unit,
)
from nasbench_tab.search.ledger import Account, Amount
from nasbench_tab.search.optimism import Optimism
from nasbench_tab.stats.bootstrap import Interval

__all__ = [
    "Cell",
    "Row",
    "Table",
    "across_table",
    "cost_table",
    "ledger_notes",
    "ledger_table",
    "of_interval",
    "optimism_note",
    "optimism_table",
    "outcome_table",
]

_SHORT = {"days": "d", "hours": "h", "minutes": "min", "seconds": "s", "milliseconds": "ms"}


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


def outcome_table(summary: Summary, beside: Sequence[Reference] = ()) -> Table:
    """Return the final figures of each strategy, and below them what they are compared with.

    Args:
        summary: The benchmark.
        beside: Laws of random search and of random sampling.
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
        f"relative improvement{level}",
        *(f"{metric_name(test)}{level}" for test in tests),
    ]
    rows = [_outcome_row(summary, outcome, tests) for outcome in summary.outcomes]
    rows += [_reference_row(summary, reference, tests) for reference in beside]
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


def of_interval(found: Interval, n: int) -> Estimate:
    """Return an interval of one number as an estimate."""
    return Estimate(float(found.estimate), float(found.low), float(found.high), n)


def optimism_table(summary: Summary, found: Sequence[Optimism], exact: Luck | None = None) -> Table:
    """Return how much better each strategy's winners looked than trainings that it did not see.

    No rows where nothing is known of any strategy, for one and the same reason:
    :func:`optimism_note` gives that.

    Args:
        summary: The benchmark.
        found: One entry a strategy.
        exact: What is expected of random search.
    """
    if optimism_note(found):
        return Table([], [])
    titles = ["what the search saw", "what is reported", "runs", "left out"]
    places, rows = decimals(summary), []
    for one in found:
        if one.reason:
            cells = [one.reason, NOTHING, NOTHING, NOTHING]
        else:
            shown = [estimate(of_interval(i, one.n), places) for i in (one.observed, one.reported)]
            cells = [*shown, f"{one.n:,}", f"{one.left_out + one.without:,}"]
        rows.append(Row(one.strategy, [Cell(text) for text in cells]))
    if exact is not None:
        shown = [number(value, places) for value in (exact.observed, exact.reported)]
        cells = [*shown, NOTHING, f"{number(100 * exact.left_out, 1)}\u00a0%"]
        rows.append(Row(exact.label, [Cell(text) for text in cells], reference=True))
    return Table(titles, rows)


def optimism_note(found: Sequence[Optimism]) -> str:
    """Return why nothing is known of any strategy's luck, where the reason is the same for all."""
    reasons = {one.reason for one in found}
    return reasons.pop() if len(reasons) == 1 else ""


def ledger_table(accounts: Sequence[Account]) -> Table:
    """Return what one answer of each strategy costs, each clock by itself, then the two totals."""
    columns = {
        "elapsed": "elapsed",
        "search": "search",
        "validation": "validation",
        "final": "final training",
        "tuning": "tuning",
        "identification": "to identify a cell",
        "automl": "to a trained model",
        "overhead": "own processor time",
    }
    if any(account.lost is not None for account in accounts):
        columns["lost"] = "lost with workers that died"
    rows = [
        Row(account.strategy, [Cell(_amount(getattr(account, name))) for name in columns])
        for account in accounts
    ]
    return Table(list(columns.values()), rows)


def ledger_notes(accounts: Sequence[Account]) -> list[str]:
    """Return what qualifies the figures of a ledger, each remark once."""
    named: dict[str, list[str]] = {}
    for account in accounts:
        for name in ("search", "validation", "final", "tuning"):
            note = getattr(account, name).note
            if note:
                named.setdefault(f"{name}: {note}", []).append(account.strategy)
    died = [
        f"{account.strategy} {estimate(Estimate(*account.died[:4]), 1)}"
        for account in accounts
        if account.died is not None
    ]
    everyone = len(accounts)
    return [
        f"{note[:1].upper()}{note[1:]}" + ("." if len(who) == everyone else f" ({', '.join(who)}).")
        for note, who in named.items()
    ] + [f"Evaluations of a run whose worker died: {', '.join(died)}."] * bool(died)


def _amount(amount: Amount) -> str:
    """Return a time with its interval in one unit, and as many decimals as the interval deserves."""
    if not amount.recorded:
        return "not recorded"
    size, unit = time_unit(amount.mean)
    mean, low, high = (seconds / size for seconds in (amount.mean, amount.low, amount.high))
    places = min(2, max(1, places_of((high - low) / 2))) if high > low else 1
    text = estimate(Estimate(mean, low, high, amount.n), places)
    least = "≥\u00a0" if amount.at_least else ""
    return f"{least}{text}\u00a0{_SHORT[unit]}"


def across_table(found: Across) -> Table:
    """Return each strategy over all benchmarks."""
    names = [one.strategy for one in found.together]
    titles = [
        "mean rank",
        "normalised regret, mean",
        "median",
        "interquartile mean",
        *(f"ahead of {name}" for name in names),
    ]
    rows = []
    for one in found.together:
        n, percent = one.regret.n_runs, []
        for name in names:
            beats = one.beats.get(name)
            percent.append(NOTHING if beats is None else estimate(of_interval(beats, n), 2))
        parts = (one.regret.mean, one.regret.median, one.regret.iqm)
        shown = [estimate(of_interval(part, n), 3) for part in parts]
        rank = estimate(of_interval(one.rank, n), 2)
        rows.append(Row(one.strategy, [Cell(text) for text in (rank, *shown, *percent)]))
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
    for test in tests:
        text = estimate(outcome.tests[test], decimals(summary, test))
        cells.append(Cell(text, summary.best.get(test) == outcome.strategy))
    return Row(outcome.strategy, cells)


def _reference_row(summary: Summary, found: Reference, tests: list[str]) -> Row:
    places, metric, mean = decimals(summary), summary.metric, summary.about["mean"]
    gain = metric.score(found.mean) - metric.score(mean)
    percent = 100 * gain / abs(mean) if mean else float("nan")
    first, median, third = (number(value, places) for value in found.quartiles)
    texts = [
        NOTHING,
        number(found.mean, places),
        number(found.sd, places),
        median,
        f"{first} to {third}",
        number(found.regret, places),
        NOTHING,
        _percent(Estimate(percent, float("nan"), float("nan"), 0)),
        *(number(found.tests.get(t, float("nan")), decimals(summary, t)) for t in tests),
    ]
    return Row(found.label, [Cell(text) for text in texts], reference=True)


def _percent(found: Estimate) -> str:
    text = estimate(found, 2)
    return text if text == NOTHING else f"{text}\u00a0%"
