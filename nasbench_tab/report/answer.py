"""The first screen: which method, by how much, and can I believe it?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasbench_tab.records import Protocol
from nasbench_tab.report.belief import Belief, Gap
from nasbench_tab.report.boxes import Box
from nasbench_tab.report.summary import Summary
from nasbench_tab.report.tables import Cell, Row, Table, of_interval
from nasbench_tab.report.words import (
    NOTHING,
    decimals,
    estimate,
    listing,
    number,
)
from nasbench_tab.search.results import Results
from nasbench_tab.stats.bootstrap import FEW_RUNS, MIN_RUNS

__all__ = ["answer_table", "doubts"]


_NAMED = 4  # with more benchmarks a sentence gives the least and the most only


def answer_table(summaries: Sequence[Summary], beliefs: Sequence[Belief]) -> Table:
    """Return one row a benchmark: the leader, how far ahead it is, whether that is real and matters.

    Questions that no benchmark answers are left out.
    """
    titles = [
        "lowest mean regret",
        "less than random search by",
        "less than the next by",
        "is it real?",
        "does it matter?",
        "with the table’s own noise",
    ]
    rows = [_row(s, b) for s, b in zip(summaries, beliefs, strict=True)]
    kept = [i for i in range(len(titles)) if any(row.cells[i].text != NOTHING for row in rows)]
    return Table(
        [titles[i] for i in kept],
        [row._replace(cells=[row.cells[i] for i in kept]) for row in rows],
    )


def _row(summary: Summary, belief: Belief) -> Row:
    if summary.leader is None:
        return Row(summary.name, [Cell("no run had an incumbent"), *[Cell(NOTHING)] * 5])
    places, leader = decimals(summary), summary.outcome(summary.leader)
    cells = [f"{leader.strategy}: {estimate(leader.regret, places)}"]
    random, next_one = belief.random, belief.runner_up
    if summary.random == summary.leader:
        cells.append("it is random search")
    else:
        cells.append(_gap(random, places, named=False))
    cells.append(_gap(next_one, places, named=True))
    cells.append(_real(next_one))
    cells.append(_matters(next_one, places))
    cells.append(_noisy(next_one, places))
    return Row(summary.name, [Cell(text) for text in cells])


def _gap(gap: Gap | None, places: int, *, named: bool) -> str:
    if gap is None:
        return NOTHING
    text = estimate(of_interval(gap.verdict.difference, gap.verdict.n), places)
    return f"{gap.other}: {text}" if named else text


def _real(gap: Gap | None) -> str:
    if gap is None or gap.verdict.real is None:
        return NOTHING
    return "yes" if gap.verdict.real else "not shown"


def _matters(gap: Gap | None, places: int) -> str:
    if gap is None or gap.verdict.matters is None:
        return NOTHING
    rope = f"±{number(gap.verdict.rope, places)}"
    return {
        "relevant": f"yes: beyond {rope}",
        "equivalent": f"no: within {rope}",
        "undecided": f"open: across {rope}",
    }[gap.verdict.matters]


def _noisy(gap: Gap | None, places: int) -> str:
    if gap is None or gap.noisy is None or not np.isfinite(gap.noisy.difference.low):
        return NOTHING
    found = gap.noisy.difference
    text = estimate(of_interval(found, gap.noisy.n), places)
    turned = gap.verdict.real and found.low <= 0 <= found.high  # what is not shown cannot be turned
    return f"{text}: other trainings could turn it" if turned else text


def doubts(
    results: Results,
    summaries: Sequence[Summary],
    beliefs: Sequence[Belief],
    boxes: Sequence[Box],
    kinds: Sequence[str],
    retrained: str = "",
) -> list[tuple[str, str]]:
    """Return what speaks for and against believing the answer: pairs of a topic and a sentence.

    Args:
        results: The comparison.
        summaries: Its benchmarks.
        beliefs: What is believed of each, in the same order.
        boxes: The checklist.
        kinds: How each benchmark's training times were made.
        retrained: What real trainings of the winners say, or why there are none.
    """
    found = [
        ("runs", _runs(results.manifest["experiment"]["runs"], results.protocol)),
        ("resolution", _resolution(summaries, beliefs, results.protocol)),
        ("luck of the winners", _luck(summaries, beliefs)),
        ("retrained for real", retrained),
        ("protocol", _protocol(results.manifest["experiment"].get("preset"), results.protocol)),
        ("time", "training times are synthetic" if "synthetic" in kinds else ""),
        ("checklist", _boxes(boxes)),
    ]
    return [(topic, text) for topic, text in found if text]


def _runs(runs: int, protocol: Protocol) -> str:
    if runs < MIN_RUNS:
        return f"{runs} of each strategy: too few for any interval"
    if runs < FEW_RUNS:
        return f"{runs} of each strategy: intervals are rough"
    return f"{runs:,} of each strategy" + ", with paired noise" * (protocol.seeds == "random")


def _resolution(summaries: Sequence[Summary], beliefs: Sequence[Belief], protocol: Protocol) -> str:
    if all(belief.noise is None for belief in beliefs):
        return "not known: the tables that were searched are not at hand"
    known = [
        (b.noise.rope, f"{number(b.noise.rope, decimals(s))} on {s.name}")
        for s, b in zip(summaries, beliefs, strict=True)
        if b.noise is not None and np.isfinite(b.noise.rope)
    ]
    if not known:
        return "not known: the tables hold one value of each cell in which a search ended"
    what = "one training" if protocol.final == "seen" else "a mean over its trainings"
    return (
        f"trained again, an entry of the table moves by about {_listed(known)} (standard error of {what}); "
        "smaller differences do not matter"
    )


def _luck(summaries: Sequence[Summary], beliefs: Sequence[Belief]) -> str:
    found = [
        (summary, one)
        for summary, belief in zip(summaries, beliefs, strict=True)
        for one in belief.optimism
        if one.strategy == summary.leader
    ]
    parts = []
    for summary, one in found:
        runs = one.n + one.left_out + one.without
        shown = estimate(of_interval(one.observed, one.n), decimals(summary))
        behind = f" ({one.n:,} of {runs:,} runs)" if one.n < runs else ""
        if one.n:
            parts.append((float(one.observed.estimate), f"{shown} on {summary.name}{behind}"))
    if parts:
        return (
            "the leader’s winner looked better to the search than in trainings it did not see by "
            f"{_listed(parts)}"
        )
    reason = next((one.reason for _, one in found), "")
    return f"not known: {reason.partition('. ')[0]}" if reason else ""


def _listed(parts: list[tuple[float, str]]) -> str:
    """Return what is said of each benchmark; of many the least and the most only."""
    if len(parts) <= _NAMED:
        return listing([text for _, text in parts])
    return f"{min(parts)[1]} (the least) to {max(parts)[1]} (the most of {len(parts)})"


def _protocol(preset: dict[str, object] | None, protocol: Protocol) -> str:
    oddities = []
    if protocol.overhead == "measured":
        oddities.append("processor time is on the clock, so another machine gives other numbers")
    if protocol.final_epoch == "best":
        oddities.append("final values are of the best epoch, which flatters")
    if protocol.final == "seen":
        oddities.append("final values are the very trainings that the search chose by")
    if preset is None:
        return "; ".join(oddities)
    changes = preset["changes"]
    if not isinstance(changes, list) or not changes:
        return "; ".join([f"{preset['name']}, honoured in full", *oddities])
    return "; ".join([f"nearest to {preset['name']}: {'; '.join(changes)}", *oddities])


def _boxes(boxes: Sequence[Box]) -> str:
    passed = sum(box.verdict == "pass" for box in boxes)
    failed = [box.key for box in boxes if box.verdict == "fail"]
    text = f"{passed} of {len(boxes)} boxes of Lindauer and Hutter’s pass"
    return f"{text}; {listing(failed)} fail{'s' * (len(failed) == 1)}" if failed else text
