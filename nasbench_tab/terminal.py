"""What the commands print with: two consoles and a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["err", "escaped", "out", "progress_bar", "with_progress"]

_Found = TypeVar("_Found")

# Nothing is cut or folded where the output goes to a file or another program.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def progress_bar() -> Progress:
    """Return a bar with count, elapsed and remaining time, on standard error."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=err,
    )


def with_progress(
    run: Callable[..., _Found], *arguments: Any, what: str = "runs", **options: Any
) -> _Found:
    """Call a function of the library that takes ``progress``, with a bar that counts what it does."""
    bar = progress_bar()
    task = bar.add_task(what, total=None)

    def show(done: int, total: int) -> None:
        bar.start()  # with the first block, so that an error stands alone
        bar.update(task, completed=done, total=total)

    try:
        return run(*arguments, progress=show, **options)
    finally:
        bar.stop()


def escaped(text: object) -> str:
    """Return ``text`` so that nothing in it is taken for markup."""
    return escape(str(text))
