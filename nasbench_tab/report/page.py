"""The report: one page that explains itself, figures and a LaTeX table, from a comparison.

from nasbench_tab.report.page import write_report

write_report("out")     # out/report/index.html, out/report/figures/*, out/report/table.tex
"""

from __future__ import annotations

import csv
import math
import re
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup, escape

import nasbench_tab
from nasbench_tab.atomic import replacing
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import NasbenchTabError
from nasbench_tab.records import Architecture, Protocol
from nasbench_tab.registry import load_space
from nasbench_tab.report import provenance, words
from nasbench_tab.report.across import TARGETS
from nasbench_tab.report.answer import answer_table, doubts
from nasbench_tab.report.belief import Belief, believe
from nasbench_tab.report.charts import Style, chart_svg, inline, pdf, styles, swatch
from nasbench_tab.report.checklist import checklist
from nasbench_tab.report.checklist_text import latex, markdown
from nasbench_tab.report.checklist_text import summary as boxes_summary
from nasbench_tab.report.curves import (
    Panel,
    evaluations_panel,
    floored,
    seconds_panel,
    trained_panel,
)
from nasbench_tab.report.front import FrontSection, front_section
from nasbench_tab.report.latex import latex_table
from nasbench_tab.report.references import exact_luck, landscapes, references
from nasbench_tab.report.speed import speed_table
from nasbench_tab.report.summary import (
    BOOTSTRAP_SEED,
    MIN_RUNS,
    REPETITIONS,
    Summary,
    summarise,
)
from nasbench_tab.report.tables import (
    Table,
    cost_table,
    ledger_notes,
    ledger_table,
    optimism_note,
    optimism_table,
    outcome_table,
)
from nasbench_tab.report.together import together_section
from nasbench_tab.report.verified import verified_section
from nasbench_tab.report.verified_file import read_verification
from nasbench_tab.report.verified_tables import bias_latex, bias_rows
from nasbench_tab.report.verified_words import retrained_words
from nasbench_tab.search.final import reported
from nasbench_tab.search.ledger import Account, ledger, ledger_rows
from nasbench_tab.search.results import Results, load_results
from nasbench_tab.spaces.drawing import draw

__all__ = ["write_report"]

_NAMESPACE = ' xmlns="http://www.w3.org/2000/svg"'  # needed in files, not inside a page


class _Section(NamedTuple):
    """One benchmark's part of the page; ``figures`` holds SVG documents by file name."""

    name: str
    anchor: str
    finding: str
    facts: list[str]
    charts: list[Markup]
    notes: list[str]
    outcome_caption: str
    outcomes: Table
    front: FrontSection | None
    speed: Table
    optimism: Table
    optimism_note: str
    costs: Table
    ledger: Table
    ledger_notes: list[str]
    cells: list[dict[str, Any]]
    figures: dict[str, str]


def write_report(directory: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of the comparison in ``directory`` and return the path of its page.

    The same results give the same report, byte for byte, with the same versions and fonts.

    Args:
        directory: What :func:`nasbench_tab.compare` wrote.
        out: Where to write ``index.html``, ``figures/``, ``table.tex``, ``ledger.csv`` and the
            checklist as Markdown and LaTeX, and where winners were retrained ``bias.csv`` and
            ``bias.tex``; None = ``report`` in ``directory``.

    Raises:
        ResultsError: There is no finished comparison, or the report cannot be written.
    """
    results = load_results(directory)
    folder = Path(directory) / "report" if out is None else Path(out)
    summaries = summarise(results)
    beliefs = [believe(results, summary) for summary in summaries]
    accounts = ledger(results)
    style = styles(results.strategies)
    sections = [
        _section(
            results,
            summary,
            belief,
            [a for a in accounts if a.benchmark == summary.name],
            style,
            landscape,
        )
        for summary, belief, landscape in zip(
            summaries, beliefs, landscapes(summaries, results.protocol), strict=True
        )
    ]
    together = together_section(summaries, style)
    verification = read_verification(results, summaries)
    verified = verified_section(verification, summaries, results.strategies)
    made: dict[str, bytes] = {}  # all of it before the first write: a failure leaves no half report
    parts = (together.figures, verified.figures, *(section.figures for section in sections))
    for figures in parts:
        for name, svg in figures.items():
            made[f"figures/{name}.svg"] = svg.encode()
            made[f"figures/{name}.pdf"] = pdf(svg)
    tables = [section.outcomes for section in sections]
    boxes = checklist(results)
    texts = {
        "table.tex": latex_table(results, summaries, tables),
        "ledger.csv": _csv(ledger_rows(accounts)),
        "checklist.md": markdown(boxes),
        "checklist.tex": latex(boxes),
    }
    if verification.bias is not None and verified.bias is not None:
        texts["bias.csv"] = _csv(bias_rows(verification.bias))
        texts["bias.tex"] = bias_latex(verification.bias, verified.bias)
    context = _context(results, summaries, sections, style)
    units = dict.fromkeys(words.regret_unit(summary.metric) for summary in summaries)
    kinds = [provenance.times_kind(summary) for summary in summaries]
    context |= {
        "answers": answer_table(summaries, beliefs),
        "regret_units": words.listing([unit for unit in units if unit]),
        "doubts": doubts(results, summaries, beliefs, boxes, kinds, retrained_words(verification)),
        "together": together,
        "verified": verified,
        "boxes": boxes,
        "boxes_summary": boxes_summary(boxes),
    }
    texts["index.html"] = _rendered(context)
    made |= {name: text.encode() for name, text in texts.items()}
    for name, content in made.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content)
    return folder / "index.html"


def _csv(rows: list[dict[str, Any]]) -> str:
    """Return rows with the same keys as a CSV document; figures that do not exist are empty."""
    text = StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        lacking = {key: "" for key, v in row.items() if isinstance(v, float) and math.isnan(v)}
        writer.writerow(row | lacking)
    return text.getvalue()


def _section(
    results: Results,
    summary: Summary,
    belief: Belief,
    accounts: list[Account],
    style: dict[str, Style],
    landscape: str,
) -> _Section:
    runs = results.manifest["experiment"]["runs"]
    title = f"{summary.name} · n = {runs:,} run{'s' * (runs != 1)}"
    unit = words.regret_unit(summary.metric)
    evaluations, seconds = evaluations_panel(summary, results.protocol), seconds_panel(summary)
    trained, untrained = trained_panel(results, summary)
    stem = re.sub(r"[^A-Za-z0-9._-]", "-", summary.name)
    charts, figures = [], {}
    for panel, name, heading, said in (
        (evaluations, "evaluations", title, "Mean regret against evaluations"),
        (seconds, "seconds", title, "Mean regret against seconds"),
        (
            trained,
            "trained",
            f"{summary.name} · regret of a trained model",
            "Mean regret of a trained model against search and final training",
        ),
    ):
        if panel is not None and panel.curves:
            rope = np.nan if belief.noise is None else belief.noise.rope
            svg = chart_svg(floored(panel, rope), heading, unit, style)
            figures[f"{stem}-{name}"] = svg
            label = f"{said} on {summary.name}; figures in the table below"
            charts.append(Markup(inline(svg, escape(label))))  # noqa: S704 - made by vl-convert
    cells = _cells(summary, results.protocol)
    front = front_section(results, summary, style)
    if front is not None:
        figures |= {f"{stem}-{name}": svg for name, svg in front.figures.items()}
    figures |= {f"{stem}-cell-{i}": cell["figure"] for i, cell in enumerate(cells, start=1)}
    about = summary.about
    value, places = f"{words.metric_name(summary.metric.name)}", words.decimals(summary)
    return _Section(
        name=summary.name,
        anchor=f"benchmark-{stem}",
        finding=words.finding(summary, results.protocol),
        facts=[
            f"{about['dataset']}, {words.reachable(about)}",
            f"best mean of these {words.number(about['optimum'], places)}",
            f"mean of these {words.number(about['mean'], places)}",
            f"objective: {value}{_in_unit(summary)}",
        ],
        charts=charts,
        notes=[
            *_notes(summary, results.protocol, evaluations, seconds),
            *filter(None, [untrained, landscape]),
        ],
        outcome_caption=(
            f"Final incumbents after {words.budget(results.protocol)}: {value}{_in_unit(summary)}"
            + (f", regret in {unit}" if unit else "")
        ),
        outcomes=outcome_table(summary, references(summary, results.protocol, evaluations)),
        front=front,
        speed=speed_table(summary, results.protocol),
        optimism=optimism_table(
            summary, belief.optimism, exact_luck(summary, results.protocol, evaluations)
        ),
        optimism_note=optimism_note(belief.optimism),
        costs=cost_table(summary),
        ledger=ledger_table(accounts),
        ledger_notes=ledger_notes(accounts),
        cells=cells,
        figures=figures,
    )


def _in_unit(summary: Summary) -> str:
    return f" in {summary.metric.unit}" if summary.metric.unit not in ("", "fraction") else ""


def _notes(
    summary: Summary, protocol: Protocol, evaluations: Panel, seconds: Panel | None
) -> list[str]:
    """Return what a reader of this benchmark's charts and tables has to know besides."""
    notes = []
    if evaluations.no_exact:
        none = "No line for the expectation of random search. " if evaluations.exact is None else ""
        notes.append(f"{none}{evaluations.no_exact}")
    if not summary.about["has_seconds"]:
        notes.append("This benchmark has no training times, so there is no chart against time.")
    kind = provenance.times_kind(summary)
    if kind == "synthetic":
        notes.append("Simulated time adds up training times that are synthetic, not measured.")
    if kind == "" and seconds is not None:
        notes.append("Whether the training times were measured or are synthetic is not known here.")
    for outcome in summary.outcomes:
        if outcome.without:
            notes.append(
                f"{outcome.without:,} run{'s' * (outcome.without != 1)} of {outcome.strategy} never had "
                "an incumbent and are left out."
            )
        if outcome.regret.has_interval and outcome.regret.high - outcome.regret.low < 1e-9:
            notes.append(
                f"All {outcome.n:,} runs of {outcome.strategy} ended with the same value, so its interval "
                "has no width: that is a limit of the bootstrap, not certainty."
            )
        early = {reason: n for reason, n in outcome.stops.items() if reason != "budget"}
        if early:
            ended = words.listing([f"{n:,} ({reason})" for reason, n in sorted(early.items())])
            notes.append(
                f"Runs of {outcome.strategy} that ended before their budget was spent: {ended}. They "
                "keep their last incumbent."
            )
    notes += [
        f"No curve against {panel.axis} for {words.listing(missing)}: a run ended before every run of "
        "every strategy had an incumbent."
        for panel in (evaluations, seconds)
        if panel is not None and (missing := _without_curve(summary, panel))
    ]
    full = summary.about["epochs"][-1]
    partial = [s.label for s in summary.searched if (s.trials.epochs < full).any()]
    if partial:
        notes.append(
            f"Evaluations of {words.listing(partial)} after fewer than {full} epochs count as one each, like "
            "full trainings."
        )
    if protocol.incumbent == "full-training":
        notes.append("Only full trainings can become incumbent.")
    return notes


def _without_curve(summary: Summary, panel: Panel) -> list[str]:
    drawn = {curve.label for curve in panel.curves}
    return [outcome.strategy for outcome in summary.outcomes if outcome.strategy not in drawn]


def _cells(summary: Summary, protocol: Protocol) -> list[dict[str, Any]]:
    """Return the drawn cells: the table's best, then each strategy's most frequent, each once."""
    about = summary.about
    try:
        space = load_space(about["space"])
        best = space.parse(about["optimum_architecture"])
    except NasbenchTabError:
        return []
    lines: dict[Architecture, list[str]] = {best: ["Best in the table"]}
    values = {best: about["optimum"]}
    for winner in summary.winners:
        values[winner.architecture] = winner.value
        lines.setdefault(winner.architecture, []).append(
            f"{winner.strategy}: {winner.times:,} of {winner.n:,} runs"
        )
    ranks = _Ranks(summary, protocol)
    places = words.decimals(summary)
    unit = "" if summary.metric.unit == "fraction" else f" {summary.metric.unit}".rstrip()
    figures = {cell: draw(space.graph(cell)) for cell in lines}
    return [
        {
            "figure": figures[cell],
            "drawing": Markup(figures[cell].replace(_NAMESPACE, "", 1)),  # noqa: S704 - draw escapes
            "lines": lines[cell],
            "value": f"{words.number(values[cell], places)}{unit}{ranks.of(values[cell])}",
            "text": space.format(cell),
        }
        for cell in lines
    ]


class _Ranks:
    """Places of values among all architectures of the table, where it is at hand."""

    def __init__(self, summary: Summary, protocol: Protocol) -> None:
        bench: Benchmark | None = summary.background.bench
        if bench is not None:  # final values may be of another training than the search's
            bench = reported(bench, protocol._replace(report=()))[0].bench
        self._sign = 1.0 if summary.metric.direction == "max" else -1.0
        self._scores = (
            None if bench is None else self._sign * np.asarray(bench.query(bench.measured()))
        )

    def of(self, value: float) -> str:
        if self._scores is None:
            return ""
        rank = 1 + int(np.sum(self._scores > self._sign * value))
        return f", rank {rank:,} of {len(self._scores):,}"


def _shares(summaries: list[Summary]) -> str:
    """Return in words how much of a reported value is the training that a search may have seen."""
    named: dict[str, list[str]] = {}
    for summary in summaries:
        least, most = summary.about["trainings_per_architecture"]
        count = f"{least}" if least == most else f"{least} to {most}"
        share = "all of it, the one value of a cell," if most == 1 else f"one of {count} trainings"
        named.setdefault(share, []).append(summary.name)
    return "; ".join(f"{share} on {words.listing(names)}" for share, names in named.items())


def _context(
    results: Results, summaries: list[Summary], sections: list[_Section], style: dict[str, Style]
) -> dict[str, Any]:
    experiment = results.manifest["experiment"]
    runs, n_strategies, n_benchmarks = experiment["runs"], len(style), len(summaries)
    title = (
        f"{n_strategies} search strateg{'ies' if n_strategies != 1 else 'y'} "
        f"on {n_benchmarks} benchmark{'s' * (n_benchmarks != 1)}"
    )
    return {
        "title": title,
        "version": nasbench_tab.__version__,
        "css": Markup(_resource("page.css")),  # noqa: S704 - our own file
        "facts": [
            f"{runs:,} run{'s' * (runs != 1)} of each strategy on each benchmark",
            f"budget {words.budget(results.protocol)} a run",
            f"nasbench_tab {results.manifest['versions']['nasbench_tab']}",
        ],
        "headline": words.headline(summaries, runs),
        "intervals": runs >= MIN_RUNS,
        "min_runs": MIN_RUNS,
        "n_targets": len(TARGETS),
        "repetitions": f"{REPETITIONS:,}",
        "bootstrap_seed": BOOTSTRAP_SEED,
        "warning": words.warning(runs),
        "sections": sections,
        "swatches": {label: Markup(swatch(look)) for label, look in style.items()},  # noqa: S704
        "shares": _shares(summaries),
        "switches": results.protocol,
        "protocol": provenance.protocol_rows(results.protocol),
        "strategies": [_strategy(results.strategy(label)) for label in results.strategies],
        "sources": [provenance.source(summary) for summary in summaries],
        "command": provenance.repeat_command(results),
        "unnamed": words.listing(provenance.unnamed(results)),
        "python": provenance.repeat_python(results),
        "versions": provenance.versions(results),
    }


def _strategy(entry: dict[str, Any]) -> dict[str, str]:
    settings = ", ".join(f"{name} = {value!r}" for name, value in entry["settings"].items())
    source = entry.get("source_sha256")
    return {
        "label": entry["label"],
        "text": f"{entry['factory']}; {settings or 'no settings'}; source SHA-256 {source}",
    }


def _rendered(context: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_resource("page.html")).render(context).lstrip()


def _resource(name: str) -> str:
    return files("nasbench_tab.report").joinpath(name).read_text(encoding="utf-8")
