"""The page of a one-shot method: its answers over real time, and its own scores, against a table.

It stands apart from the reports of comparisons: those are about searches that ask the table and pay in
simulated time, and their incumbent is the best that they saw. A one-shot method never asks; its clock is
real, and its answer is the cell that it has now. The curves may stand in one chart, each with its clock.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from io import StringIO
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

import nasbench_tab
from nasbench_tab.atomic import replacing
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.report.card_charts import curves_svg
from nasbench_tab.report.card_parts import Section, picture, places
from nasbench_tab.report.charts import chart_svg, pdf, styles
from nasbench_tab.report.curves import POINTS, Curve, Panel, seconds_panel
from nasbench_tab.report.summary import Estimate, Summary, interval, summarise
from nasbench_tab.report.tables import Cell, Row, Table
from nasbench_tab.report.words import NOTHING, duration, estimate, metric_name, number, regret_unit
from nasbench_tab.search.atoms import seed_table
from nasbench_tab.search.final import reported
from nasbench_tab.search.results import load_results
from nasbench_tab.search.trajectory import (
    Ranks,
    Scored,
    best_values,
    score_trajectories,
    trajectory_record,
)
from nasbench_tab.stats.verdict import seed_noise

__all__ = ["write_trajectory"]

_Floats = NDArray[np.float64]
_REAL, _SIMULATED = "real time", "simulated time"
_CEILING, _CHANCE = "one training", "a random order"


def write_trajectory(
    paths: Sequence[str | Path],
    benchmark: str,
    out: str | Path,
    *,
    beside: str | Path | None = None,
    name: str = "",
) -> Path:
    """Score the logs of a one-shot method against a table; write a page and return its path.

    Args:
        paths: One file a run; see :mod:`nasbench_tab.search.trajectory_log`.
        benchmark: The table.
        out: A folder for ``index.html``, ``trajectory.json``, ``trajectory.csv`` and ``figures/``.
        beside: Results of a comparison on the same table, whose curves are drawn too.
        name: Of the method; empty: the first file's.

    Raises:
        LogError: A file breaks a rule, or names a cell that the table does not hold.
        InvalidArgumentError: The comparison is of another table.
        ResultsError: The comparison cannot be read, or the page cannot be written.
    """
    bench = load(benchmark)
    summary = None if beside is None else _beside(beside, bench)
    runs = score_trajectories(paths, bench)
    name = name or Path(paths[0]).stem
    made: dict[str, str | bytes] = {
        "trajectory.json": json.dumps(trajectory_record(bench, runs), indent=1) + "\n",
        "trajectory.csv": _csv(bench, runs),
    }
    answers, ranks = _answers(bench, runs, name, summary), _scores(runs)
    svgs = answers[1] | ranks[1]
    for stem, svg in svgs.items():
        made[f"figures/{stem}.svg"], made[f"figures/{stem}.pdf"] = svg, pdf(svg)
    context = {
        "title": f"{name} on {bench.name}",
        "version": nasbench_tab.__version__,
        "css": Markup(_resource("page.css")),  # noqa: S704 - our own file
        "facts": [
            f"{len(runs)} run{'s' * (len(runs) != 1)} of a method that shares weights, as logged",
            f"clock: {_REAL} of the method",
            f"{bench.dataset}, {len(bench.measured()):,} architectures",
            f"content hash {bench.fingerprint[:15]}",
        ],
        "answer": _answer(bench, runs, name),
        "sections": [answers[0], ranks[0]],
    }
    made["index.html"] = _template().render(context).lstrip()
    folder = Path(out)
    for file, content in made.items():  # all is made before the first is written
        with replacing(folder / file) as temporary:
            temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / "index.html"


def _beside(directory: str | Path, bench: Benchmark) -> Summary:
    results = load_results(directory)
    known = [b for b in results.benchmarks if results.benchmark(b)["hash"] == bench.fingerprint]
    if not known:
        raise InvalidArgumentError(
            f"{directory} compares on {', '.join(results.benchmarks)}; none of these is the {bench.name} "
            f"({bench.fingerprint[:15]}) of this table. Make one with nasbench-tab compare {bench.name}."
        )
    return next(summary for summary in summarise(results) if summary.name == known[0])


def _answer(bench: Benchmark, runs: list[Scored], name: str) -> list[str]:
    """Return the first sentences: what it ends at, how sure that is, and how it ranks."""
    objective = bench.objective
    regret = np.array([run.regret[objective.name][-1] for run in runs])
    unit, digits = f" {regret_unit(objective)}".rstrip(), places(objective.unit)
    ends = _mean(regret)
    longest = max(float(run.seconds[-1]) for run in runs)
    texts = [
        (
            f"The cell that {name} ends at is {estimate(ends, digits)}{unit} behind the best of the table by "
            f"{metric_name(objective.name)} (mean of {len(runs)} run{'s' * (len(runs) != 1)}, at most "
            f"{duration(longest)} of real time)."
        )
    ]
    noise = seed_noise(seed_table(bench, np.concatenate([run.cells[-1:] for run in runs]))[1])
    if np.isfinite(noise.rope):
        texts.append(
            f"Trained again, the entry of such a cell moves by about {number(noise.rope, digits)} (standard "
            "error of a mean over its trainings): smaller differences do not matter."
        )
    known = [run.ranks for run in runs if run.ranks is not None]
    if known:
        least, most = min(r.tau[0] for r in known), max(r.tau[0] for r in known)
        taus = number(least, 2) if least == most else f"{number(least, 2)} to {number(most, 2)}"
        texts.append(f"Kendall’s tau of its own scores with the table: {taus}.")
    return texts


def _answers(
    bench: Benchmark, runs: list[Scored], name: str, summary: Summary | None
) -> tuple[Section, dict[str, str]]:
    """Return the section on regret over time, and its charts by file name."""
    svgs, charts = {}, []
    simulated = None if summary is None else seconds_panel(summary)
    others = [] if simulated is None else simulated.curves
    for what in reported(bench, Protocol()):
        own = _curve(runs, what.name, f"{name}, {_REAL}")
        curves = [own]
        if what.name == bench.objective.name:
            curves += [c._replace(label=f"{c.label}, {_SIMULATED}") for c in others]
        panel = Panel("seconds", curves, x_title="Time")
        title = f"{metric_name(what.name)} · {bench.name}"
        style = styles([curve.label for curve in curves])
        svg = chart_svg(panel, title, regret_unit(what.metric), style)
        stem = f"regret-{what.name}".replace(":", "-")
        svgs[stem] = svg
        charts.append(
            picture(svg, f"Regret of {what.name} against time; figures in the table below")
        )
    notes = [
        (
            "The answer at a moment is the cell that the method would hand over then, not the best so far: the "
            "curve may rise. Real seconds and simulated seconds are different clocks, which one chart does not "
            "make the same."
        )
    ]
    if len(runs) > 1:
        notes.append("A run that has ended keeps its last answer.")
    section = Section(
        "answers",
        "Its answers over time",
        "Regret: distance of the answer’s mean over its training seeds to the best mean in the table.",
        charts,
        notes,
        [("Where the runs end", "run", _ends(bench, runs, summary))],
    )
    return section, svgs


def _curve(runs: list[Scored], metric: str, label: str) -> Curve:
    """Return mean regret from where every run has an answer, at even steps and at every change."""
    times = np.unique(np.concatenate([run.seconds for run in runs]))
    start, end = max(float(run.seconds[0]) for run in runs), float(times[-1])
    positive = times[times > 0]
    if len(positive):  # so that the axis may be logarithmic
        start = max(start, float(positive[0]))
    inner = times[(times > start) & (times < end)]
    even = np.geomspace(start, end, POINTS)[1:-1] if end > start > 0 else np.empty(0)
    grid = np.unique(np.concatenate([[start, max(start, end)], inner, even]))
    regret = np.array(
        [run.regret[metric][np.searchsorted(run.seconds, grid, side="right") - 1] for run in runs]
    )
    band = interval(regret)
    if band is None:
        return Curve(label, grid, regret.mean(axis=0))
    return Curve(label, grid, band.estimate, band.low, band.high)


def _ends(bench: Benchmark, runs: list[Scored], summary: Summary | None) -> Table:
    """Return where each run ends, the mean, the best of the table, and what simulated searches reach."""
    what = reported(bench, Protocol())
    titles = ["choices", "time"]
    for one in what:
        titles += [metric_name(one.name), "regret"]

    def row(
        label: str, first: list[str], pairs: list[tuple[str, str]], *, other: bool = False
    ) -> Row:
        return Row(label, [Cell(t) for t in (*first, *(t for pair in pairs for t in pair))], other)

    digits = {one.name: places(one.metric.unit) for one in what}
    rows = []
    for run in runs:
        ends = [(float(run.values[m][-1]), float(run.regret[m][-1])) for m in digits]
        pairs = [
            (number(v, n), number(r, n)) for (v, r), n in zip(ends, digits.values(), strict=True)
        ]
        first = [f"{len(run.seconds):,}", f"{duration(float(run.seconds[-1]))}, real"]
        rows.append(row(run.log.path.name, first, pairs))
    if len(runs) > 1:
        values = {m: _mean(np.array([run.values[m][-1] for run in runs])) for m in digits}
        regrets = {m: _mean(np.array([run.regret[m][-1] for run in runs])) for m in digits}
        pairs = [(estimate(values[m], n), estimate(regrets[m], n)) for m, n in digits.items()]
        rows.append(row("mean", [NOTHING, NOTHING], pairs))
    best = best_values(bench)
    zero = [(number(best[m], digits[m]), number(0.0, digits[m])) for m in digits]
    rows.append(row("best of the table, of each column", [NOTHING, NOTHING], zero, other=True))
    for outcome in () if summary is None else summary.outcomes:
        pairs = []
        for m, n in digits.items():
            test = outcome.tests.get(m)
            mean = number(outcome.mean, n) if test is None else estimate(test, n)
            regret = estimate(outcome.regret, n) if test is None else NOTHING
            pairs.append((mean, regret))
        first = [
            f"{number(outcome.evaluations[0], 0)} evaluations",
            f"{duration(outcome.seconds)}, simulated",
        ]
        rows.append(row(f"{outcome.strategy}, {outcome.n:,} runs", first, pairs, other=True))
    return Table(titles, rows)


def _scores(runs: list[Scored]) -> tuple[Section, dict[str, str]]:
    """Return the section on the method's scores, and its chart."""
    known = [(run, run.ranks) for run in runs if run.ranks is not None]
    notes = [f"No ranks of {run.log.path.name}: {run.reason}." for run in runs if run.reason]
    if not known:
        return Section(
            "scores", "Its own scores of cells", "There is nothing to rank.", notes=notes
        ), {}
    rows, curves = [], []
    for run, ranks in known:
        rows.append(_rank_row(run.log.path.name, ranks))
        curves.append(_precision(run.log.path.name, ranks))
    ceilings = [run.ceiling for run, _ in known if run.ceiling is not None]
    if ceilings:  # of the most cells; those of other runs say the same
        ceiling = max(ceilings, key=lambda ranks: ranks.n)
        rows.append(_rank_row(_CEILING, ceiling, other=True))
        curves.append(_precision(_CEILING, ceiling))
    titles = ["cells", "Kendall’s tau [95\u00a0%]", "Spearman [95\u00a0%]", "tau in the best tenth"]
    ks = sorted({p.k for _, ranks in known for p in ranks.precision})
    titles += [f"of the {k} best [95\u00a0%]" for k in ks]
    rows = [
        row._replace(cells=row.cells + [Cell(NOTHING)] * (len(titles) - len(row.cells)))
        for row in rows
    ]
    drawn = [curve for curve in curves if len(curve.x)]
    svgs = {}
    if drawn:
        longest = max((ranks.precision for _, ranks in known), key=len)
        k, chance = np.array([(p.k, p.chance) for p in longest], np.float64).T
        drawn.append(Curve(_CHANCE, k, chance))
        svgs["precision"] = curves_svg(
            drawn,
            styles([curve.label for curve in drawn]),
            "Share of the k best cells among the k put first",
            "k",
            "Share",
            log=len(k) > 1,
            banded=False,
            within=(0.0, 1.0),
        )
    notes += [
        (
            "A score counts once a cell, the newest. Greater is better. Tau and Spearman are over the cells "
            "that were scored; the shares say whether the best are found, which a correlation over all does not."
        ),
        (
            f"Beside it: {_CEILING} of a cell against the mean of its others, over the scored cells that have "
            "several. More than that no score can be asked for."
        ),
        "Intervals of shares are those of Clopper and Pearson, as if each place were won by itself.",
    ]
    section = Section(
        "scores",
        "Its own scores of cells",
        "How the method ranks cells by its own scores, and how trainings from scratch rank them.",
        [picture(svg, "Precision at k; figures in the table below") for svg in svgs.values()],
        notes,
        [
            (
                "Rank correlation with the table, and share of the best found",
                "scores of",
                Table(titles, rows),
            )
        ],
    )
    return section, svgs


def _rank_row(label: str, ranks: Ranks, *, other: bool = False) -> Row:
    texts = [
        f"{ranks.n:,}",
        *(estimate(Estimate(*found, ranks.n), 2) for found in (ranks.tau, ranks.rho)),
        number(ranks.tau_top, 2),
        *(estimate(Estimate(p.share, p.low, p.high, p.k), 2) for p in ranks.precision),
    ]
    return Row(label, [Cell(text) for text in texts], other)


def _precision(label: str, ranks: Ranks) -> Curve:
    columns = (p[:4] for p in ranks.precision)
    k, share, low, high = np.array([*columns], np.float64).reshape(-1, 4).T
    return Curve(label, k, share, low, high)


def _mean(data: _Floats) -> Estimate:
    """Return a mean over runs, with its interval where there are enough."""
    found = interval(data)
    if found is None:
        return Estimate(float(data.mean()), np.nan, np.nan, len(data))
    return Estimate(float(found.estimate), float(found.low), float(found.high), len(data))


def _csv(bench: Benchmark, runs: list[Scored]) -> str:
    """Return one row a choice: file, real seconds, cell, values and regrets."""
    names = [what.name for what in reported(bench, Protocol())]
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["file", "time_seconds", "architecture", *names, *(f"regret of {name}" for name in names)]
    )
    for run in runs:
        for i, cell in enumerate(run.cells.tolist()):
            figures = [float(part[name][i]) for part in (run.values, run.regret) for name in names]
            shown = ["" if np.isnan(value) else value for value in figures]
            writer.writerow(
                [run.log.path.name, float(run.seconds[i]), bench.space.format(tuple(cell)), *shown]
            )
    return text.getvalue()


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_resource("trajectory.html"))


def _resource(name: str) -> str:
    return files("nasbench_tab.report").joinpath(name).read_text(encoding="utf-8")
