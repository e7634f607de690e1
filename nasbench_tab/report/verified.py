"""The page's part on real trainings: how far the winners' claims were off.

Everything comes from what nasbench-tab verify wrote into the comparison's folder; nothing is computed that a
reader could mistake for a result where that is missing, damaged or of another comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from nasbench_tab.report.charts import inline
from nasbench_tab.report.summary import Summary
from nasbench_tab.report.tables import Table
from nasbench_tab.report.verified_figures import verified_figures
from nasbench_tab.report.verified_file import Verification
from nasbench_tab.report.verified_tables import (
    beside_table,
    bias_table,
    order_table,
    standing_table,
)
from nasbench_tab.report.verified_words import (
    lane_notes,
    ranged,
    shown_lanes,
    value_places,
    verdict_sentences,
)
from nasbench_tab.report.words import listing, metric_name
from nasbench_tab.verify.bias import Bias
from nasbench_tab.verify.plan import Plan

__all__ = ["VerifiedSection", "verified_section"]


class VerifiedSection(NamedTuple):
    """What the page says of real trainings.

    Attributes:
        reason: Why there is nothing, as a sentence; else empty.
        damaged: Whether that is because something is wrong.
        facts: What was trained.
        sentences: The verdict on each arm.
        charts: Claimed against real, the bias of each arm, both along the search.
        notes: Beside the charts.
        unit: Of a bias.
        bias: Table by arm; None where there is nothing.
        beside: What stands beside the bias.
        standing: Means of each strategy's winners, claimed and real.
        order: Whether the order of each pair survives.
        remarks: Below the tables.
        figures: SVG documents by file name.
    """

    reason: str
    damaged: bool = False
    facts: Sequence[str] = ()
    sentences: Sequence[str] = ()
    charts: Sequence[Markup] = ()
    notes: Sequence[str] = ()
    unit: str = ""
    bias: Table | None = None
    beside: Table | None = None
    standing: Table | None = None
    order: Table | None = None
    remarks: Sequence[str] = ()
    figures: Mapping[str, str] = {}


def verified_section(
    verification: Verification, summaries: Sequence[Summary], labels: Sequence[str]
) -> VerifiedSection:
    """Return the part of the page on real trainings.

    Args:
        verification: What was found.
        summaries: The comparison's benchmarks.
        labels: Of its strategies, in its order, by which they are coloured.
    """
    found, plan = verification.bias, verification.plan
    if found is None or plan is None:
        reason = f"{verification.says[:1].upper()}{verification.says[1:]}."
        return VerifiedSection(reason, damaged=verification.damaged)
    summary = next(one for one in summaries if one.name == found.benchmark)
    lanes, places = shown_lanes(found), value_places(found)
    figures, notes = verified_figures(found, plan, summary, labels)
    said = {
        "claimed": f"Claimed and real values of winners on {found.benchmark}",
        "bias": f"Bias of each arm on {found.benchmark}; figures in the table below",
        "along": f"Claimed and real values along a run of each strategy on {found.benchmark}",
    }
    charts = [
        Markup(inline(svg, escape(said[name.removeprefix("verified-")])))  # noqa: S704 - by vl-convert
        for name, svg in figures.items()
    ]
    metric = summary.metric
    standing = standing_table(found, metric.lower, metric.upper)
    many = len(standing.rows) > 1
    remarks = [*lane_notes(lanes), *found.notes]
    if many:
        remarks.append(
            "The order of strategies is that of their verified winners, which are those of the first runs; "
            "cells weigh as many runs as they won."
        )
    return VerifiedSection(
        reason="",
        damaged=False,
        facts=_facts(found, plan),
        sentences=[
            f"{text[:1].upper()}{text[1:]}."
            for text in [
                *verdict_sentences(lanes, found),
                verification.says,
            ]
            if text
        ],
        charts=charts,
        notes=[*notes, *_drift(found, places)],
        unit={"%": "percentage points", "fraction": ""}.get(found.unit, found.unit),
        bias=bias_table(found),
        beside=beside_table(found),
        standing=standing if many else None,
        order=order_table(found) if many else None,
        remarks=remarks,
        figures=figures,
    )


def _facts(found: Bias, plan: Plan) -> list[str]:
    counts = {
        "ok": "trainings",
        "diverged": "diverged",
        "failed": "failed",
        "missing": "not made yet",
    }
    made = listing([f"{n:,} {counts[word]}" for word, n in found.trainings.items() if n])
    return [
        found.benchmark,
        f"task {plan.task}",
        made,
        f"{metric_name(found.objective)} after {plan.epoch:,} epoch{'s' * (plan.epoch != 1)}",
        f"a bias below {found.margin:.3g} does not matter",
    ]


def _drift(found: Bias, places: int) -> list[str]:
    if not found.known:
        return [
            "No known cells were retrained, so the pipeline’s drift is not known and stays in the bias."
        ]
    text = ranged(*found.drift[:3], places)
    same = f"{found.identical:,} of {found.known:,} of their trainings came out the same to the last bit"
    return [f"Drift of the pipeline: {text} over {found.drift.n:,} known cells; {same}."]
