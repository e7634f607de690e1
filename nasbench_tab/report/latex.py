"""The final results as a LaTeX table (package booktabs)."""

from __future__ import annotations

import re

from nasbench_tab.report.summary import BOOTSTRAP_SEED, MIN_RUNS, REPETITIONS, Summary
from nasbench_tab.report.tables import Row, Table
from nasbench_tab.report.words import budget, metric_name, regret_unit
from nasbench_tab.search.results import Results

__all__ = ["escaped", "latex_table"]

# What of the page's table fits a printed page; test metrics follow.
_KEPT = (0, 1, 2, 3, 5, 6, 7)
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": "$-$",
    "–": "--",
    "\u00a0": "~",
}


def escaped(text: str) -> str:
    """Return plain text for use in LaTeX."""
    return "".join(_SPECIAL.get(letter, letter) for letter in re.sub(r"[\s]", " ", text))


def latex_table(results: Results, summaries: list[Summary], tables: list[Table]) -> str:
    """Return a complete ``table*`` environment.

    Args:
        results: The comparison.
        summaries: One per benchmark.
        tables: The outcome table of each.
    """
    widest = max(len(table.titles) for table in tables)
    kept = [*_KEPT, *range(8, widest)]
    same_tests = len({tuple(table.titles) for table in tables}) == 1
    titles = next(table.titles for table in tables if len(table.titles) == widest)
    if not same_tests:
        titles = [*titles[:8], *(f"test metric {i}" for i in range(1, widest - 7))]
    lines = [
        "% needs \\usepackage{booktabs}",
        f"% results {results.content_hash()}",
        "\\begin{table*}",
        "\\centering\\small",
        f"\\caption{{{escaped(_caption(results, summaries, same_tests))}}}",
        "\\label{tab:nasbench-tab}",
        f"\\begin{{tabular}}{{l{'r' * len(kept)}}}",
        "\\toprule",
        " & ".join(["Strategy", *(escaped(titles[i]) for i in kept)]) + r" \\",
    ]
    for summary, table in zip(summaries, tables, strict=True):
        unit = f" ({summary.metric.unit})" if summary.metric.unit else ""
        heading = escaped(f"{summary.name}: {metric_name(summary.metric.name)}{unit}")
        lines += ["\\midrule", f"\\multicolumn{{{len(kept) + 1}}}{{l}}{{{heading}}} \\\\"]
        lines += [_line(row, kept) for row in table.rows]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table*}", ""])


def _line(row: Row, kept: list[int]) -> str:
    cells = [row.cells[i] if i < len(row.cells) else None for i in kept]
    texts = ["--" if cell is None else escaped(cell.text) for cell in cells]
    marked = [
        f"\\textbf{{{text}}}" if cell is not None and cell.best else text
        for cell, text in zip(cells, texts, strict=True)
    ]
    return " & ".join([f"\\quad {escaped(row.label)}", *marked]) + r" \\"


def _caption(results: Results, summaries: list[Summary], same_tests: bool) -> str:
    runs = results.manifest["experiment"]["runs"]
    units = {regret_unit(summary.metric) for summary in summaries}
    unit = units.pop() if len(units) == 1 else "the unit of each benchmark"
    text = (
        f"Final incumbents after {budget(results.protocol)}. Values are means over training seeds; "
        f"regret is the distance to the best mean that a search can reach"
        f"{f', in {unit}' if unit else ''}."
    )
    if runs >= MIN_RUNS:
        text += (
            f" Brackets: 95 % percentile bootstrap intervals over runs ({REPETITIONS:,} resamples, "
            f"seed {BOOTSTRAP_SEED}); differences to the lowest regret are paired by run. Bold: the "
            "paired interval to the next best excludes zero."
        )
    if not same_tests:
        names = (", ".join(map(metric_name, s.about["test_metrics"])) or "none" for s in summaries)
        tests = "; ".join(f"{s.name}: {n}" for s, n in zip(summaries, names, strict=True))
        text += f" Test metrics in order: {tests}."
    return text
