"""Fetching from a server on this machine: the good file, broken transfers, wrong files, none at all."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest

from nasbench_tab.errors import FormatError, ResultsError, UnknownNameError
from nasbench_tab.importers import fetch as fetching
from nasbench_tab.importers.fetch import fetch
from nasbench_tab.importers.formats import FORMATS
from nasbench_tab.importers.sources import SOURCES, Source

for _package in ("pooch", "tqdm"):
    pytest.importorskip(_package, reason="fetching needs the extra 'official'")

CONTENT = bytes(range(256)) * 4000


class Server(ThreadingHTTPServer):
    """Serves ``content``; ``stop`` ends an answer after that many bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.stop: int | None = None
        self.shift = 0
        self.ranges, self.status, self.kind = True, 200, "application/octet-stream"
        self.tag = '"one"'
        self.asked: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers["Range"]
        server.asked.append(wanted)
        if server.status != 200:
            self.send_error(server.status)
            return
        data, start = server.content, 0
        if wanted and server.ranges and self.headers["If-Range"] == server.tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("Content-Type", server.kind)
        if start:
            self.send_header(
                "Content-Range", f"bytes {start + server.shift}-{len(data) - 1}/{len(data)}"
            )
        if server.tag:
            self.send_header("ETag", server.tag)
        self.end_headers()
        end = len(data) if server.stop is None else min(len(data), start + server.stop)
        self.wfile.write(data[start:end])

    def log_message(self, *_: object) -> None:
        pass


class Place(NamedTuple):
    server: Server
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "file.bin"

    @property
    def part(self) -> Path:
        return self.folder / "file.bin.part"

    def names(self) -> list[str]:
        return sorted(p.name for p in self.folder.iterdir())

    def source(self, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        monkeypatch.setitem(SOURCES, "made-up", SOURCES["made-up"]._replace(**changes))

    def get(self) -> fetching.Fetched:
        return fetch("made-up", self.folder, progress=False)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Place]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/file.bin"
        made = Source(url, "file.bin", len(CONTENT), "none", "a page", "nasbench101")
        monkeypatch.setitem(SOURCES, "made-up", made)
        yield Place(server, tmp_path / "downloads")
        server.shutdown()
        thread.join()


def test_a_file_without_a_published_checksum_has_it_written_down(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    got = fetch("made-up", place.folder)
    assert "%" in capfd.readouterr().err  # a bar
    assert place.path.read_bytes() == CONTENT
    assert got == (place.path, hashlib.sha256(CONTENT).hexdigest(), "first use")
    assert place.names() == ["file.bin", "file.bin.sha256"]
    assert place.get().known_by == "recorded"  # and nothing is fetched again
    assert place.server.asked == [None]
    place.path.unlink()
    place.server.content, place.server.tag = CONTENT[::-1], '"two"'
    with pytest.raises(FormatError, match="written down when it was first fetched"):
        place.get()
    assert "file.bin" not in place.names()


def test_published_checksums(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    for changes, known in (
        ({"sha256": sha256}, "published"),
        ({"sha256": sha256, "ours": True}, "ours"),
        ({"sha256": "", "md5_end": md5[-5:]}, "published"),
    ):
        place.source(monkeypatch, **changes)
        assert place.get() == (place.path, sha256, known)
        assert place.names() == ["file.bin"]
        place.path.unlink()


@pytest.mark.parametrize("changes", [{"sha256": "0" * 64}, {"md5_end": "00000"}])
def test_another_file_than_the_published_one_is_never_used(
    place: Place, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    place.source(monkeypatch, **changes)
    with pytest.raises(FormatError, match=r"00000 expected.*kept aside as file\.bin\.rejected"):
        place.get()
    assert place.names() == ["file.bin.rejected"]


def test_a_users_own_file_is_checked_and_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.folder.mkdir()
    place.path.write_bytes(b"mine")
    place.source(monkeypatch, sha256="0" * 64)
    with pytest.raises(FormatError, match="was there before and stays"):
        place.get()
    assert place.path.read_bytes() == b"mine"
    assert place.server.asked == []


def test_a_broken_transfer_goes_on_where_it_stopped(place: Place) -> None:
    place.server.stop, step = 200_000, 3 * 2**16  # whole blocks are kept
    for kept in range(step, len(CONTENT) - 200_000, step):
        with pytest.raises(FormatError, match=f"{kept:,} bytes are kept; run the command again"):
            place.get()
        assert place.part.read_bytes() == CONTENT[:kept]
    place.server.stop = None
    assert place.get().path.read_bytes() == CONTENT
    assert place.server.asked[:3] == [None, f"bytes={step}-", f"bytes={2 * step}-"]
    assert place.names() == ["file.bin", "file.bin.sha256"]


@pytest.mark.parametrize("reason", ["file", "ranges", "tag", "spoiled"])
def test_what_cannot_be_resumed_begins_anew(place: Place, reason: str) -> None:
    place.server.stop = 100_000
    if reason == "tag":
        place.server.tag = ""
    with pytest.raises(FormatError):
        place.get()
    place.server.stop = None
    if reason == "file":  # another one stands there by now
        place.server.content, place.server.tag = CONTENT[::-1], '"two"'
    elif reason == "ranges":
        place.server.ranges = False
    elif reason == "spoiled":
        (place.folder / "file.bin.part.tag").write_bytes(b"{")
    assert place.get().path.read_bytes() == place.server.content


def test_another_part_than_asked_for_is_not_joined(place: Place) -> None:
    place.server.stop = 100_000
    with pytest.raises(FormatError):
        place.get()
    place.server.stop, place.server.shift = None, 7
    with pytest.raises(FormatError, match=r"asked for what follows byte 65536 .*bytes 65543-"):
        place.get()
    assert place.get().path.read_bytes() == CONTENT


def test_a_part_that_is_too_long_begins_anew(place: Place) -> None:
    place.server.stop = 100_000
    with pytest.raises(FormatError):
        place.get()
    place.server.stop = None
    place.part.write_bytes(bytes(2 * len(CONTENT)))
    with pytest.raises(FormatError, match="416"):
        place.get()
    assert place.get().path.read_bytes() == CONTENT


def test_a_web_page_is_no_file(place: Place) -> None:
    place.server.kind = "text/html; charset=utf-8"
    with pytest.raises(
        FormatError, match=r"answers with a web page.*put your own copy of file\.bin"
    ):
        place.get()
    assert "file.bin" not in place.names()


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_server_that_refuses(place: Place, status: int) -> None:
    place.server.status = status
    with pytest.raises(FormatError, match=str(status)):
        place.get()
    assert "file.bin" not in place.names()


def test_no_server_at_all(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.source(monkeypatch, url="http://127.0.0.1:9/file.bin")
    with pytest.raises(FormatError, match="broke off"):
        place.get()


def test_a_full_disk_is_said_before_anything_is_fetched(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(place.folder.parent)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ResultsError, match=r"1,000 bytes free.*1,024,000 more"):
        place.get()
    assert place.server.asked == []


def test_a_folder_that_cannot_be_made(place: Place) -> None:
    place.folder.write_bytes(b"a file stands there")
    with pytest.raises((ResultsError, FormatError), match="downloads"):
        place.get()


def test_names_and_addresses() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean nasbench101"):
        fetch("nasbench-101", Path("nowhere"))
    with pytest.raises(
        FormatError, match=r"Get .* from https://.* nasbench-tab import nasbench301"
    ):
        fetch("nasbench301", Path("nowhere"))


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_leads_to_an_importer(name: str) -> None:
    source = SOURCES[name]
    assert source.format in FORMATS
    assert source.url.startswith("https://") or not source.url
    assert source.page.startswith("https://")
    assert len(source.sha256) in (0, 64)
    assert not source.md5_end or source.md5_end in source.file


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"12 file.bin\n", b"x" * 64])
def test_a_damaged_note_is_no_damaged_file(place: Place, content: bytes) -> None:
    place.get()
    note = place.path.with_name("file.bin.sha256")
    whole = note.read_bytes()
    note.write_bytes(content)
    with pytest.raises(FormatError, match=r"file\.bin\.sha256.*Remove it"):
        place.get()
    assert place.path.read_bytes() == CONTENT
    note.unlink()
    place.get()
    assert note.read_bytes() == whole
