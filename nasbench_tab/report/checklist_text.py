"""The checklist as Markdown and as LaTeX, for a paper's appendix."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from nasbench_tab.report.boxes import GROUPS, Box
from nasbench_tab.report.checklist import counts
from nasbench_tab.report.latex import escaped

__all__ = ["latex", "markdown", "summary"]

SOURCE = (
    "Checklist of Lindauer and Hutter, Best Practices for Scientific Research on Neural Architecture "
    "Search, JMLR 21(243), 2020"
)
_BY = {"results": "", "author": ", by the author's answer"}
# An underscore inside a word is none of Markdown's business, and URLs keep theirs that way.
_MARKED = re.compile(r"[\\`*\[\]<>|~$#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def summary(boxes: Sequence[Box]) -> str:
    """Return ``12 of 16 boxes pass; 4 not recorded: A3, B3, C1, C2``."""
    parts = [f"{counts(boxes)['pass']} of {len(boxes)} boxes pass"]
    for verdict in ("fail", "not recorded", "not applicable"):
        keys = [box.key for box in boxes if box.verdict == verdict]
        if keys:
            parts.append(f"{len(keys)} {verdict}: {', '.join(keys)}")
    answered = [box.key for box in boxes if box.by == "author"]
    if answered:
        parts.append(f"answered by the author: {', '.join(answered)}")
    return "; ".join(parts)


def markdown(boxes: Sequence[Box]) -> str:
    """Return the checklist as Markdown: a table for each group, nothing in it taken for markup."""

    def table(group: str, rows: list[Box]) -> list[str]:
        lines = ["", f"### {_plain(group)}", "", "| | | Verdict | Evidence | Where | Command |"]
        lines.append("|---|---|---|---|---|---|")
        for box in rows:
            cells = [box.key, box.practice, box.verdict + _BY[box.by], box.evidence]
            code = [_code(box.where), _code(box.command)]
            lines.append(f"| {' | '.join([*map(_plain, cells), *code])} |")
        return lines

    head = ["## Checklist", "", _plain(f"{SOURCE}. {summary(boxes)}.")]
    return "\n".join([*head, *_grouped(boxes, table), ""])


def latex(boxes: Sequence[Box]) -> str:
    """Return the checklist as LaTeX: a description list for each group; no package is needed."""

    def items(group: str, rows: list[Box]) -> list[str]:
        lines = [f"\\paragraph{{{escaped(group)}}}", "\\begin{description}"]
        for box in rows:
            verdict = escaped(box.verdict + _BY[box.by])
            lines += [
                f"\\item[{box.key} {verdict}] {escaped(box.practice)}.",
                f"  \\emph{{Evidence:}} {_running(box.evidence)}.",
                f"  \\emph{{Where:}} {_typewriter(box.where)}; {_typewriter(box.command)}.",
            ]
        return [*lines, "\\end{description}"]

    head = ["% The checklist of nasbench-tab check", "\\begingroup\\sloppy\\raggedright"]
    head.append(f"{escaped(f'{SOURCE}. {summary(boxes)}.')}")
    return "\n".join([*head, *_grouped(boxes, items), "\\endgroup", ""])


def _grouped(boxes: Sequence[Box], render: Callable[[str, list[Box]], list[str]]) -> list[str]:
    lines = []
    for group in GROUPS.values():
        rows = [box for box in boxes if box.group == group]
        lines += render(group, rows) if rows else []
    return lines


def _plain(text: str) -> str:
    return _MARKED.sub(r"\\\g<0>", " ".join(text.split()))


def _code(text: str) -> str:
    """Return a code span; inside a table a bar is escaped even there."""
    text = " ".join(text.split()).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _running(text: str) -> str:
    """Return plain text for LaTeX in which long words, such as hashes, may break."""
    broken = re.sub(r"\S{16}(?=\S)", "\\g<0>\u200b", text)
    return escaped(broken).replace("\u200b", "\\allowbreak{}")


def _typewriter(text: str) -> str:
    return f"\\texttt{{{_running(text).replace('--', '-{}-')}}}"  # else a dash in some fonts
