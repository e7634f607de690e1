"""The commands that judge a results directory: can it be repeated, and does it keep good practice?"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from nasbench_tab.errors import unknown_name
from nasbench_tab.terminal import escaped, out, with_progress

if TYPE_CHECKING:
    from nasbench_tab.report.boxes import Box
    from nasbench_tab.search.replay import Difference, Replayed

__all__ = ["check", "replay"]

_STYLES = {
    "pass": "green",
    "fail": "bold red",
    "not recorded": "yellow",
    "not applicable": "dim",
}
_Directory = Annotated[Path, typer.Argument(help="Results of nasbench-tab compare.")]


def check(
    directory: _Directory,
    answers: Annotated[
        Path | None,
        typer.Option(help="The author's answers (TOML); default: DIRECTORY/answers.toml."),
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="text, markdown or latex (for a paper's appendix).")
    ] = "text",
    init_answers: Annotated[
        bool,
        typer.Option("--init-answers", help="Write a file of answers to fill in for what is open."),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 if a box fails.")] = False,
) -> None:
    """Print the checklist of Lindauer and Hutter: all 16 boxes, each with its evidence."""
    from nasbench_tab.report import author
    from nasbench_tab.report.checklist import checklist
    from nasbench_tab.report.checklist_text import latex, markdown
    from nasbench_tab.search.results import load_results

    def text(boxes: Sequence[Box]) -> None:
        _print_boxes(boxes, directory)

    def printed(render: Callable[[Sequence[Box]], str]) -> Callable[[Sequence[Box]], None]:
        # Nothing of it is markup, and :x: is no picture.
        return lambda boxes: out.print(render(boxes), markup=False, emoji=False, end="")

    formats = {"text": text, "markdown": printed(markdown), "latex": printed(latex)}
    if format_ not in formats:
        raise unknown_name("format", format_, formats)
    results = load_results(directory)
    if init_answers:
        path = answers or directory / author.FILE
        boxes = checklist(results, {})
        open_ = {
            box.key: f"{box.practice}: {box.evidence}"
            for box in boxes
            if box.verdict == "not recorded"
        }
        author.write_template(path, open_)
        out.print(f"{path}: {len(open_)} boxes to answer.", markup=False, emoji=False)
        return
    boxes = checklist(results, None if answers is None else author.read_answers(answers))
    formats[format_](boxes)
    if strict and any(box.verdict == "fail" for box in boxes):
        raise typer.Exit(1)


def _print_boxes(boxes: Sequence[Box], directory: Path) -> None:
    from nasbench_tab.report.checklist_text import summary

    table = Table(show_header=False, box=None, padding=(0, 2, 1, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    place, group = shlex.quote(str(directory)), ""
    for box in boxes:
        if box.group != group:
            group = box.group
            table.add_row("", "", f"[bold]{escaped(group)}[/]")
        style, by = _STYLES[box.verdict], "\n(author)" if box.by == "author" else ""
        words = [
            f"[bold]{escaped(box.practice)}[/]",
            escaped(box.evidence),
            f"[dim]{escaped(box.where)}[/]",
            f"[dim]$ {escaped(box.command.replace('DIR', place))}[/]",
        ]
        table.add_row(box.key, f"[{style}]{box.verdict}[/]{by}", "\n".join(words))
    out.print(table)
    out.print(summary(boxes), markup=False)


def replay(
    directory: _Directory,
    to: Annotated[
        Path | None,
        typer.Option("--out", help="A new directory to keep; default: a temporary one."),
    ] = None,
    runs: Annotated[
        int | None, typer.Option(help="Repeat only so many runs, the first; default: all.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes on this machine; -1 = all cores.")] = -1,
) -> None:
    """Repeat a directory's experiment; exit code 0 if the content is identical, 1 if not."""
    from nasbench_tab.search import replay as again
    from nasbench_tab.search.results import load_results

    known = again.foreseen(load_results(directory))
    for difference in known:
        _print_difference(difference)
    found = with_progress(again.replay, directory, to, runs=runs, jobs=jobs)
    for difference in found.differences[len(known) :]:
        _print_difference(difference)
    out.print(_verdict(found), markup=False)
    if not found.identical:
        raise typer.Exit(1)


def _print_difference(difference: Difference) -> None:
    out.print(
        f"{difference.kind}: {difference.where}: {difference.before} before, {difference.now} now",
        markup=False,
        emoji=False,
    )


def _verdict(found: Replayed) -> str:
    which = "all" if found.runs == found.of else f"the first {found.runs} of {found.of}"
    if found.identical:
        proof = f": {found.hashes[0]}" if found.runs == found.of else ""
        return f"Identical, {which} runs{proof}"
    if found.same_runs:
        return f"Different, though {which} runs are the same: what differs is how they came about."
    return f"Different: {found.hashes[0]} before, {found.hashes[1]} now"
