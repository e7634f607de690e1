"""The page's part on all benchmarks together."""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

from markupsafe import Markup, escape

from nasbench_tab.report.across import ROPE, Across, across
from nasbench_tab.report.charts import Style, chart_svg, groups_svg, inline
from nasbench_tab.report.summary import Summary
from nasbench_tab.report.tables import Table, across_table
from nasbench_tab.report.words import listing, number

__all__ = ["TogetherSection", "together_section"]


class TogetherSection(NamedTuple):
    """What the page says of all benchmarks together.

    Attributes:
        reason: Why there is nothing; empty where there is.
        charts: Mean ranks, profile, targets and, with enough benchmarks, the groups.
        table: Each strategy over all benchmarks; None where there is nothing.
        tests: Sentences on the tests over benchmarks, or why there are none.
        figures: SVG documents by file name.
    """

    reason: str
    charts: list[Markup]
    table: Table | None
    tests: list[str]
    figures: dict[str, str]


def together_section(summaries: list[Summary], style: dict[str, Style]) -> TogetherSection:
    """Return the part of the page on all benchmarks together."""
    found, reason = across(summaries)
    if found is None:
        return TogetherSection(reason, [], None, [], {})
    title = (
        f"{len(summaries)} benchmarks · n = {len(summaries[0].searched[0].value):,} runs on each"
    )
    figures = {
        "all-ranks": chart_svg(found.ranks, title, "", style),
        "all-profile": chart_svg(found.profile, title, "", style),
        "all-targets": chart_svg(found.targets, title, "", style),
    }
    says = {
        "all-ranks": "Mean rank against evaluations over all benchmarks",
        "all-profile": "Share of runs with at most so much normalised regret",
        "all-targets": "Share of targets of normalised regret reached against evaluations",
        "all-groups": "Mean ranks, and which strategies are not told apart",
    }
    labels = [one.strategy for one in found.together]
    if found.difference is not None:
        figures["all-groups"] = groups_svg(found.difference, labels, style)
    charts = [Markup(inline(svg, escape(says[name]))) for name, svg in figures.items()]  # noqa: S704 - made by vl-convert
    spaces = {summary.about["space"] for summary in summaries}
    return TogetherSection("", charts, across_table(found), _tests(found, labels, spaces), figures)


def _tests(found: Across, labels: list[str], spaces: set[str]) -> list[str]:
    independent = (
        f"All benchmarks are of one space ({next(iter(spaces))}), so they are not independent: what holds "
        "over them may not hold over others."
        if len(spaces) == 1
        else "Benchmarks of one space are not independent of each other."
    )
    if found.no_tests:
        return [independent, f"No tests over benchmarks. {found.no_tests}"]
    texts = [independent]
    if found.friedman is not None:
        test = found.friedman
        f = number(test.f, 2) if isfinite(test.f) else "∞, all benchmarks rank the strategies alike"
        texts.append(
            f"Friedman’s test with Iman and Davenport’s correction over {test.n} benchmarks: "
            f"F = {f}, {_p(test.p)}."
        )
    if found.wilcoxon is not None:
        pairs = found.wilcoxon
        apart = [
            f"{labels[i]} and {labels[j]} ({_p(float(pairs.p[i, j]))})"
            for i, j in pairs.pairs.tolist()
            if pairs.p[i, j] <= 0.05
        ]
        texts.append(
            f"Wilcoxon’s signed-rank tests of all pairs with Holm’s correction, at 5 %, tell apart: "
            f"{listing(apart) or 'no pair'}. The least p that this many benchmarks allow is {pairs.least:.2g}."
        )
    if found.difference is not None:
        nemenyi = found.difference.nemenyi
        texts.append(
            f"Nemenyi’s critical difference of mean ranks is {number(nemenyi, 2)}; which pairs it tells apart "
            "depends on who else takes part, so the bars of the diagram are those of Wilcoxon’s tests."
        )
    if found.bayes is not None and found.pair is not None:
        first, second = found.pair
        test_ = found.bayes
        texts.append(
            f"Bayesian signed-rank test, region of practical equivalence ±{ROPE:g} of normalised regret: "
            f"{first} is better with probability {number(test_.first, 2)}, {second} with {number(test_.second, 2)}, "
            f"and they are equivalent with {number(test_.rope, 2)}."
        )
    return texts


def _p(value: float) -> str:
    return f"p = {value:.2g}" if value >= 1e-4 else "p < 0.0001"
