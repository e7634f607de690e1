"""The first screen: which method, by how much, and can I believe it?"""

from __future__ import annotations

from collections.abc import Sequence

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


def answer_table(summaries: Sequence[Summary], beliefs: Sequence[Belief]) -> Table:
    """Return one row a benchmark: the leader, how far ahead it is, whether that is real and matters."""
    titles = [
        "lowest mean regret",
        "less than random search by",
        "less than the next by",
        "is it real?",
        "does it matter?",
        "with the table’s own noise",
    ]
    return Table(titles, [_row(s, b) for s, b in zip(summaries, beliefs, strict=True)])


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
    noisy = None if next_one is None else next_one.noisy
    text = NOTHING if noisy is None else estimate(of_interval(noisy.difference, noisy.n), places)
    if noisy is not None and noisy.difference.low <= 0 <= noisy.difference.high:
        text += ": other trainings could turn it"
    return Row(summary.name, [Cell(text) for text in (*cells, text)])


def _gap(gap: Gap | None, places: int, *, named: bool) -> str:
    if gap is None:
        return NOTHING
    text = estimate(of_interval(gap.verdict.difference, gap.verdict.n), places)
    return f"{gap.other}: {text}" if named else text


def _real(gap: Gap | None) -> str:
    if gap is None or gap.verdict.real is None:
        return NOTHING
    return "yes: zero is outside" if gap.verdict.real else "not shown: zero is inside"


def _matters(gap: Gap | None, places: int) -> str:
    if gap is None or gap.verdict.matters is None:
        return NOTHING
    rope = f"±{number(gap.verdict.rope, places)}"
    return {
        "relevant": f"yes: beyond {rope}",
        "equivalent": f"no: within {rope}",
        "undecided": f"open: across {rope}",
    }[gap.verdict.matters]


def doubts(
    results: Results,
    summaries: Sequence[Summary],
    beliefs: Sequence[Belief],
    boxes: Sequence[Box],
    kinds: Sequence[str],
) -> list[tuple[str, str]]:
    """Return what speaks for and against believing the answer: pairs of a topic and a sentence.

    Args:
        results: The comparison.
        summaries: Its benchmarks.
        beliefs: What is believed of each, in the same order.
        boxes: The checklist.
        kinds: How each benchmark's training times were made.
    """
    found = [
        ("runs", _runs(results.manifest["experiment"]["runs"])),
        ("resolution", _resolution(summaries, beliefs)),
        ("luck of the winners", _luck(summaries, beliefs)),
        ("protocol", _protocol(results.manifest["experiment"].get("preset"), results.protocol)),
        ("time", "training times are synthetic" if "synthetic" in kinds else ""),
        ("checklist", _boxes(boxes)),
    ]
    return [(topic, text) for topic, text in found if text]


def _runs(runs: int) -> str:
    if runs < MIN_RUNS:
        return f"{runs} of each strategy: too few for any interval"
    if runs < FEW_RUNS:
        return f"{runs} of each strategy: intervals are rough"
    return f"{runs:,} of each strategy, with paired noise"


def _resolution(summaries: Sequence[Summary], beliefs: Sequence[Belief]) -> str:
    known = [
        f"{number(b.noise.rope, decimals(s))} on {s.name}"
        for s, b in zip(summaries, beliefs, strict=True)
        if b.noise is not None and b.noise.rope == b.noise.rope
    ]
    if not known:
        return "not known: the tables hold one training a cell"
    return (
        f"trained again, an entry of the table moves by about {listing(known)} (standard error of a mean "
        "over its trainings); smaller differences do not matter"
    )


def _luck(summaries: Sequence[Summary], beliefs: Sequence[Belief]) -> str:
    parts = []
    for summary, belief in zip(summaries, beliefs, strict=True):
        found = next((o for o in belief.optimism if o.strategy == summary.leader and o.n), None)
        if found is not None:
            shown = estimate(of_interval(found.observed, found.n), decimals(summary))
            parts.append(f"{shown} on {summary.name}")
    if not parts:
        return ""
    return f"the leader’s winner looked better to the search than in trainings it did not see by {listing(parts)}"


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
    return f"{text}; {listing(failed)} fail" if failed else text
