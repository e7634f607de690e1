"""The commands that bring official benchmarks in: fetch, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from nasbench_tab.errors import InvalidArgumentError, unknown_name
from nasbench_tab.paths import user_folder
from nasbench_tab.terminal import escaped, out, with_progress

__all__ = ["fetch", "import_"]


def import_(
    format_: Annotated[
        str,
        typer.Argument(metavar="[FORMAT]", help="An official format; without it, all are listed."),
    ] = "",
    source: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="The official file or folder.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Where the tables' folders go; default: where they are found by name."
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Take a folder that lacks some of its architectures.")
    ] = False,
    test_as_validation: Annotated[
        bool,
        typer.Option(
            "--test-as-validation",
            help="Search on test values, where a source has no others; the table says so.",
        ),
    ] = False,
) -> None:
    """Make tables of an official benchmark's files, as its publisher made them."""
    from nasbench_tab.benchmarks.tablefile import read_manifest
    from nasbench_tab.importers.formats import FORMATS, import_official

    if not format_:
        listing = Table("format", "reads", "makes", box=None, padding=(0, 2, 0, 0))
        for name, known in sorted(FORMATS.items()):
            listing.add_row(*map(escaped, (name, known.reads, known.makes)))
        out.print(listing)
        return
    if format_ not in FORMATS:
        raise unknown_name("format", format_, FORMATS)
    if source is None:
        raise InvalidArgumentError(
            f"Which file? Give its path: nasbench-tab import {format_} PATH. nasbench-tab fetch lists what can "
            "be fetched."
        )
    options = {"partial": partial, "test_as_validation": test_as_validation}
    made = with_progress(
        import_official,
        format_,
        source,
        user_folder() / "data" if folder is None else folder,
        what="read",
        **{name: True for name, given in options.items() if given},
    )
    for table in made:
        manifest = read_manifest(table)
        out.print(
            f"{table}: {manifest['architectures']:,} architectures, {manifest['hash']}",
            markup=False,
        )
    if folder is None:
        out.print(f"Try: nasbench-tab info {made[0].name}", markup=False)


def fetch(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="An official file; without it, all are listed.")
    ] = "",
    folder: Annotated[
        Path | None, typer.Option("--to", help="Folder for the file; default: the user's own.")
    ] = None,
) -> None:
    """Get an official benchmark's file from where it is published; a broken transfer is resumed."""
    from nasbench_tab.importers.fetch import fetch as get
    from nasbench_tab.importers.sources import SOURCES

    if not name:
        listing = Table(
            "name", "file", "size", "licence", "checksum", box=None, padding=(0, 2, 0, 0)
        )
        for known, source in SOURCES.items():
            checksum = "none published: written down on first use"
            if source.sha256:
                checksum = "SHA-256, ours" if source.ours else "SHA-256, published"
            elif source.md5_end:
                checksum = f"MD5 ends in {source.md5_end}, published"
            elif not source.url:
                checksum = f"by hand: {source.page}"
            size = f"{source.size / 1e6:,.0f} MB" if source.size else "?"
            row = (known, source.file, size, source.licence, checksum)
            listing.add_row(*map(escaped, row))
        out.print(listing)
        return
    got = get(name, user_folder() / "downloads" if folder is None else folder)
    words = {
        "published": "it is the published checksum",
        "ours": "it is the checksum that we computed of the published file; its publisher states none",
        "recorded": "it is the one that was written down when the file was first fetched; none is published",
        "first use": "none is published, so this one is written down and a later fetch has to agree",
    }
    out.print(f"{got.path}\nSHA-256 {got.sha256}: {words[got.known_by]}.", markup=False)
    out.print(f"Now: nasbench-tab import {SOURCES[name].format} {got.path}", markup=False)
