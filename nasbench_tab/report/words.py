"""Numbers as text and findings as sentences: plain text, escaped by whoever puts it on a page."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from nasbench_tab.records import Metric, Protocol
from nasbench_tab.report.summary import FEW_RUNS, MIN_RUNS, Estimate, Summary

__all__ = [
    "NOTHING",
    "PROTOCOL_WORDS",
    "budget",
    "decimals",
    "duration",
    "estimate",
    "finding",
    "headline",
    "listing",
    "metric_name",
    "number",
    "places_of",
    "reachable",
    "regret_unit",
    "time_unit",
    "warning",
]

#: Stands where a number does not exist.
NOTHING = "–"

#: What each switch of the protocol does at each of its values.
PROTOCOL_WORDS = {
    "overshoot": {
        "keep": "evaluations that end after the budget in seconds count",
        "drop": "evaluations that end after the budget in seconds are discarded",
        "interpolate": "evaluations that end after the budget in seconds count; the final value is "
        "that at the budget, on the line through the two nearest points of the run",
    },
    "repeats": {
        "pay": "asking for a cell again is a new training, paid for, with a freshly drawn seed",
        "reuse": "asking for a cell again gives the first answer, free of charge",
        "forbid": "a cell that is asked for again is infeasible, free of charge",
    },
    "resume": {
        "restart": "a higher epoch of a training already seen costs all of it",
        "continue": "a higher epoch of a training already seen costs only what is new",
    },
    "incumbent": {
        "highest-seen": "the incumbent is the cell with the best observed value at any epoch",
        "highest-epoch": "the incumbent is the best cell among the evaluations at the highest epoch so far",
        "full-training": "the incumbent is the cell with the best observed value after full training",
    },
    "validation": {
        "none": "only training is charged, no validation pass",
        "once": "an evaluation is charged for its training and one validation pass",
        "every": "an evaluation is charged for its training and a validation pass after each epoch",
    },
    "overhead": {
        "none": "the strategy's own computing is not part of the simulated time",
        "measured": "the strategy's own processor time is part of the simulated time: not the same twice",
    },
    "final": {
        "mean": "an incumbent is worth its mean over training seeds",
        "seen": "an incumbent is worth the one training that the search saw",
    },
    "final_epoch": {
        "last": "final values are those after the last epoch",
        "best": "final values are those of the best epoch, chosen by the reported metric itself",
    },
    "missing": {
        "refuse": "the space is measured completely",
        "masked": "only measured cells are searched",
    },
}


def number(value: float, places: int) -> str:
    """Return ``value`` with so many decimals, thousands separated; a dash for NaN."""
    if not math.isfinite(value):
        return NOTHING
    text = f"{value:,.{places}f}"
    text = text.lstrip("-") if not float(text.replace(",", "")) else text
    return text.replace("-", "−")


def estimate(found: Estimate, places: int) -> str:
    """Return ``0.31 [0.29, 0.33]``, in which a line may break before the bracket only."""
    value = number(found.value, places)
    if not found.has_interval:
        return value
    return f"{value} [{number(found.low, places)},\u00a0{number(found.high, places)}]"


def decimals(summary: Summary, test: str | None = None) -> int:
    """Return how many decimals make sense: two significant digits of an interval's half-width.

    Args:
        summary: The benchmark.
        test: A test metric; None = the objective and its regret.
    """
    several, unit = [o for o in summary.outcomes if o.n > 1], summary.metric.unit
    if test is None:
        widths = [
            _half(o.regret) if o.regret.has_interval else o.sd / math.sqrt(o.n) for o in several
        ]
    else:
        unit = summary.about["test_metrics"][test]["unit"]
        widths = [_half(o.tests[test]) for o in several]
    widths = sorted(width for width in widths if width > 1e-9)  # less is rounding
    if not widths:
        return 2 if unit == "%" else 4
    return min(6, places_of(widths[len(widths) // 2]))


def _half(found: Estimate) -> float:
    return (found.high - found.low) / 2


def places_of(width: float) -> int:
    """Return how many decimals show two significant digits of ``width``, which is above 0."""
    return max(0, 1 - math.floor(math.log10(width)))


def duration(seconds: float) -> str:
    """Return a time in the unit in which it is read most easily, for example ``2.1 days``."""
    if not math.isfinite(seconds):
        return NOTHING
    size, name = time_unit(seconds)
    return f"{seconds / size:,.1f} {name}"


def time_unit(seconds: float) -> tuple[float, str]:
    """Return the unit in which a time is read most easily: its length in seconds, and its name."""
    for size, name in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return size, name
    return (1e-3, "milliseconds") if 0 < abs(seconds) < 0.1 else (1.0, "seconds")


def budget(protocol: Protocol) -> str:
    """Return the budget of a run in words."""
    parts = []
    if protocol.evaluations is not None:
        parts.append(f"{protocol.evaluations:,} evaluation{'s' * (protocol.evaluations != 1)}")
    if protocol.seconds is not None:
        seconds = f"{protocol.seconds:,.0f} simulated seconds"
        long = protocol.seconds >= 120
        parts.append(f"{seconds} ({duration(protocol.seconds)})" if long else seconds)
    return " or ".join(parts)


def regret_unit(metric: Metric) -> str:
    """Return the unit of a difference of two values; empty for a fraction."""
    return {"%": "percentage points", "fraction": ""}.get(metric.unit, metric.unit)


def metric_name(name: str) -> str:
    """Return a metric's name in words, for example ``validation accuracy``."""
    elsewhere, _, own = name.rpartition(":")  # a value on another benchmark that is reported too
    first, _, rest = own.partition("_")
    words = [{"valid": "validation"}.get(first, first), *rest.split("_")]
    text = " ".join(words).replace("roc auc", "ROC AUC").strip()
    return f"{text} on {elsewhere}" if elsewhere else text


def listing(items: list[str]) -> str:
    """Return nothing, ``a``, ``a and b`` or ``a, b and c``."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def headline(summaries: list[Summary], runs: int) -> str:
    """Return one sentence about all benchmarks together, and whether anything separates them."""
    counts = Counter(summary.leader for summary in summaries if summary.leader is not None)
    if not counts:
        return "No run of any strategy had an incumbent, so there is nothing to compare."
    if all(summary.runner_up is None for summary in summaries):
        return "Only one strategy has runs with an incumbent, so nothing is compared."
    total = len(summaries)
    where = "benchmark" if total == 1 else f"{total} benchmarks"
    parts = [f"{label} on {times}" for label, times in counts.most_common()]
    only = next(iter(counts))
    if len(counts) > 1:
        first = f"The lowest mean regret is that of {listing(parts)} of the {where}."
    elif total == 1:
        first = f"{only} has the lowest mean regret."
    else:
        first = f"{only} has the lowest mean regret on all {where}."
    if runs < MIN_RUNS:
        return first
    clear = sum(summary.metric.name in summary.best for summary in summaries)
    if total == 1:
        verdict = "excludes" if clear else "includes"
        return f"{first} The interval of its paired difference to the runner-up {verdict} zero."
    times = {0: "on none of them", total: "on each of them"}.get(clear, f"on {clear} of them")
    return f"{first} The interval of the leader’s paired difference to the runner-up excludes zero {times}."


def finding(summary: Summary, protocol: Protocol) -> str:
    """Return what was found on one benchmark, with intervals, n and no more than that."""
    if summary.leader is None:
        return "no run had an incumbent."
    places, leader = decimals(summary), summary.outcome(summary.leader)
    unit = f" {regret_unit(summary.metric)}".rstrip()
    rank = "the lowest mean regret" if summary.runner_up else "a mean regret"
    text = (
        f"{leader.strategy} has {rank} after {budget(protocol)}: "
        f"{estimate(leader.regret, places)}{unit} (n\u00a0=\u00a0{leader.n:,}\u00a0run{'s' * (leader.n != 1)})."
    )
    if summary.runner_up is None:
        return text
    text += " " + _against(summary, summary.runner_up)
    if summary.random == leader.strategy:
        return f"{text} So no strategy did better on average than random search."
    if summary.random is None:
        return f"{text} Random search was not part of the comparison."
    if summary.random != summary.runner_up and summary.outcome(summary.random).n:
        text += " " + _against(summary, summary.random)
    return text


def _against(summary: Summary, other: str) -> str:
    """Return how far ``other`` is behind the leader, and whether these runs tell them apart."""
    behind = summary.outcome(other).behind
    who = "random search" if other == summary.random else other
    name = f"The runner-up, {who}," if other == summary.runner_up else "Random search"
    text = f"{name} is {estimate(behind, decimals(summary))} behind"
    if not behind.has_interval:
        return f"{text}."
    if behind.excludes_zero:
        return f"{text}; the interval excludes zero."
    return f"{text}; the interval includes zero: these runs do not separate the two."


def warning(runs: int) -> str:
    """Return what to be careful about with so few runs, or nothing."""
    if runs < MIN_RUNS:
        many = f"Each strategy ran {runs} time{'s' * (runs != 1)} only"
        return (
            f"{many}: too few for intervals, so none are given and nothing is marked as best. The "
            f"order of the strategies may well be chance. Use {FEW_RUNS} runs or more."
        )
    if runs < FEW_RUNS:
        return (
            f"Each strategy ran {runs} times only. Bootstrap intervals from fewer than {FEW_RUNS} runs "
            "tend to be too short, and the order of the strategies may change with more runs."
        )
    return ""


def reachable(about: dict[str, Any]) -> str:
    """Return in words how many architectures a search could reach, of how many in the table."""
    reached, held = about["architectures"], about["architectures_in_table"]
    if reached == held:
        return f"{held:,} architectures"
    return f"{reached:,} of {held:,} architectures (measured and within the limits)"
