"""Fetch an official benchmark's file: resumed where it broke off, complete and checked, or not there at all.

What has arrived of a file lies beside its place as ``<file>.part``; the next call goes on from there, if the
server still has the same file (its ETag or date). A complete file is checked against its published
checksum. Where none is published its SHA-256 is written down on first use, in ``<file>.sha256``, and a
later fetch of the same file has to agree.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple

from nasbench_tab.atomic import replacing, write_text
from nasbench_tab.errors import FormatError, ResultsError, unknown_name
from nasbench_tab.importers.sources import SOURCES, Source

__all__ = ["Fetched", "fetch"]


class Fetched(NamedTuple):
    """A file that is there.

    Attributes:
        path: Where.
        sha256: Its checksum.
        known_by: What it was checked against: the checksum that its publisher states, one of ours, what was
            written down when it was first fetched, or nothing (``"first use"``): it is written down now.
    """

    path: Path
    sha256: str
    known_by: Literal["published", "ours", "recorded", "first use"]


def fetch(name: str, folder: Path, *, progress: bool = True) -> Fetched:
    """Return the official file ``name`` in ``folder``, fetched if it is not there.

    Args:
        name: A key of :data:`~nasbench_tab.importers.sources.SOURCES`.
        folder: Where the file goes, under its published name. A file that is there is checked and used:
            put your own there, if you have one.
        progress: Whether to show a bar on standard error.

    Raises:
        UnknownNameError: No such source.
        FormatError: No address is known, no connection, another file than the published one, or pooch is not
            installed. What has arrived is kept for the next call, unless it is wrong.
        ResultsError: It cannot be written; the disk is full.
    """
    if name not in SOURCES:
        raise unknown_name("official file", name, SOURCES)
    source = SOURCES[name]
    path = folder / source.file
    instead = f"put your own copy of {source.file} into {folder} (see {source.page})"
    there = path.exists()
    if not there:
        if not source.url:
            raise FormatError(
                f"{name} has no address of a file that could be fetched. Get {source.file} from "
                f"{source.page} and give it to: nasbench-tab import {source.format} FILE."
            )
        _download(source, path, instead, progress)
    return _checked(source, path, instead, own=there)


def _download(source: Source, path: Path, instead: str, progress: bool) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.exists() else 0
        free = shutil.disk_usage(path.parent).free
        if free < source.size - have:
            raise ResultsError(
                f"{path.parent} has {free:,} bytes free; {source.file} needs about "
                f"{source.size - have:,} more. Free some space or choose another folder."
            )
        _receive(source, part, instead, progress)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        _tag(part).unlink(missing_ok=True)
    except OSError as err:
        raise ResultsError(
            f"Could not write {part}: {err.strerror or err}. What has arrived is kept; free some space and "
            "run the command again."
        ) from err


def _receive(source: Source, part: Path, instead: str, progress: bool) -> None:
    """Get what is missing of a file; a server that cannot go on sends it from its start."""
    try:
        import pooch  # type: ignore[import-untyped]
        import requests
    except ImportError as err:
        raise FormatError(
            f"Fetching {source.url} needs pooch and tqdm ({err}). Run: pip install "
            f"'nasbench_tab[official]'. Or {instead}."
        ) from err
    have = part.stat().st_size if part.exists() else 0
    tag = _read_tag(part, source.url)
    headers = {"Accept-Encoding": "identity"}
    if have and tag:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    with part.open("ab") as file:
        if not tag:
            file.truncate(0)

        def look(response: Any, **_: object) -> None:
            if not response.ok or response.is_redirect:
                return
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise FormatError(
                    f"{source.url} answers with a web page, not with {source.file}: the address has moved, or "
                    f"too many have asked for it today. Try again later, or {instead}."
                )
            if response.status_code == requests.codes.ok:
                file.truncate(0)
                _write_tag(part, source.url, response.headers)
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                _tag(part).unlink(missing_ok=True)  # it begins anew
                raise FormatError(
                    f"{source.url} was asked for what follows byte {have} and answers with "
                    f"{response.headers.get('Content-Range') or 'some part'}. Run the command again, or {instead}."
                )

        try:
            get = pooch.HTTPDownloader(
                progressbar=progress, chunk_size=2**16, headers=headers, hooks={"response": look}
            )
        except ValueError as err:  # it wants tqdm for its bar
            raise FormatError(f"{err} Or {instead}.") from err
        try:
            get(source.url, file, None)
        except requests.RequestException as err:
            status = getattr(err.response, "status_code", None)
            if status == requests.codes.requested_range_not_satisfiable:
                file.truncate(0)  # a part that is longer than the file: begin anew
                _tag(part).unlink(missing_ok=True)
            raise FormatError(
                f"Fetching {source.url} broke off ({type(err).__name__}: {err}). {file.tell():,} bytes are kept; "
                f"run the command again to go on from there, or {instead}."
            ) from err


def _checked(source: Source, path: Path, instead: str, *, own: bool) -> Fetched:
    digests = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    try:
        with path.open("rb") as file:
            while block := file.read(2**20):
                for digest in digests.values():
                    digest.update(block)
    except OSError as err:
        raise FormatError(f"{path} cannot be read ({err}); {instead}.") from err
    sha256, md5 = (digest.hexdigest() for digest in digests.values())
    note = path.with_name(f"{path.name}.sha256")
    known: Literal["published", "ours", "recorded", "first use"] = "first use"
    wanted, got, what = "", "", ""
    if source.sha256:
        known, wanted, got, what = "published", source.sha256, sha256, "SHA-256"
        known = "ours" if source.ours else "published"
    elif source.md5_end:
        known, wanted, got = "published", source.md5_end, md5[-len(source.md5_end) :]
        what = "an MD5 that ends in"
    elif note.exists():
        known, wanted, got = "recorded", _noted(note), sha256
        what = "the SHA-256 that was written down when it was first fetched,"
    if wanted != got:
        fate = "It was there before and stays; move it away"
        if not own:
            aside = path.with_name(f"{path.name}.rejected")
            path.replace(aside)
            fate = f"It is kept aside as {aside.name} and never used; run the command again"
        raise FormatError(
            f"{path} is not {source.file} as published: {what} {wanted} expected, {got} got. {fate}, or "
            f"{instead}."
        )
    if known == "first use":
        write_text(note, f"{sha256}  {path.name}\n")
    return Fetched(path, sha256, known)


def _noted(note: Path) -> str:
    """Return the checksum that was written down."""
    try:
        text = note.read_text(encoding="ascii").split(" ")[0]
        if len(bytes.fromhex(text)) == hashlib.sha256().digest_size:
            return text
        reason = "it begins with no SHA-256"
    except (OSError, ValueError) as err:
        reason = str(err)
    raise FormatError(
        f"{note}, which holds the checksum of the file when it was first fetched, cannot be read ({reason}). "
        "Remove it if you trust the file beside it, and run the command again."
    )


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _write_tag(part: Path, url: str, headers: Any) -> None:
    """Write down by what the server knows this version of the file; nothing where it says nothing."""
    tag = headers.get("ETag") or headers.get("Last-Modified") or ""
    with replacing(_tag(part)) as temporary:
        strong = "" if tag.startswith("W/") else tag
        temporary.write_text(json.dumps({"url": url, "tag": strong}), encoding="utf-8")


def _read_tag(part: Path, url: str) -> str:
    try:
        found = json.loads(_tag(part).read_text(encoding="utf-8"))
        return str(found["tag"]) if found["url"] == url else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""
