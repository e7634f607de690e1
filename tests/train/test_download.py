"""Downloads, from a server on this machine: the good file, every bad one, and none at all."""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from nasbench_tab.errors import DatasetError
from nasbench_tab.train import datasets
from nasbench_tab.train.datasets import load_images

from .published import ARCHIVE, NAMES, lay, packed, publish, small_cifar, small_fashion, tarred

for _package in ("pooch", "tqdm"):
    pytest.importorskip(_package, reason="downloads need the extra 'train'")


class Server(ThreadingHTTPServer):
    """Serves ``files``; a name in ``cut`` ends in the middle of its file."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.asked: list[str] = []
        self.home = f"http://127.0.0.1:{self.server_port}/data/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.removeprefix("/data/")
        self.server.asked.append(name)
        data = self.server.files.get(name)
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if name in self.server.cut else data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as serving:
        thread = Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: Server) -> Path:
    """Publishes a small Fashion-MNIST on the server; returns where its files will go."""
    monkeypatch.delenv("NASBENCH_TAB_OFFLINE", raising=False)
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files = packed(small_fashion())
    publish(monkeypatch, "fashion-mnist", {**small_fashion(), **files})
    source = datasets._SOURCES["fashion-mnist"]._replace(home=server.home)
    monkeypatch.setitem(datasets._SOURCES, "fashion-mnist", source)
    server.files = files
    return tmp_path / "home" / "datasets" / "fashion-mnist"


FILES = [f"{name}.gz" for name in NAMES]
FIRST = FILES[0]


def held(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


def test_missing_files_are_downloaded_once_with_a_progress_bar(
    root: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    first = load_images("fashion-mnist")
    assert first[0].labels.tolist() == [9, 0, 3]
    assert server.asked == FILES
    assert held(root) == server.files
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("100%") == len(FILES)
    again = load_images("fashion-mnist")
    assert again[0].images.tobytes() == first[0].images.tobytes()
    assert server.asked == FILES
    (root / FILES[2]).unlink()
    load_images("fashion-mnist")
    assert server.asked == [*FILES, FILES[2]]


def test_a_downloaded_archive_is_read(
    root: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files = {ARCHIVE["cifar10"]: tarred(small_cifar("cifar10"))}
    publish(monkeypatch, "cifar10", server.files)
    source = datasets._SOURCES["cifar10"]._replace(home=server.home)
    monkeypatch.setitem(datasets._SOURCES, "cifar10", source)
    assert load_images("cifar10")[0].images.shape == (10, 32, 32, 3)
    assert held(root.with_name("cifar10")) == server.files


def test_a_download_with_another_checksum_is_kept_aside_and_never_used(
    root: Path, server: Server
) -> None:
    good, bad = server.files[FIRST], b"<html>Please log in</html>"
    server.files[FIRST] = bad
    expected, got = (hashlib.md5(data, usedforsecurity=False).hexdigest() for data in (good, bad))
    for _ in range(2):
        with pytest.raises(
            DatasetError,
            match=rf"What came from {server.home}{FIRST} is not the published file: MD5 {expected} "
            rf"expected, {got} got\. It is kept aside as {re.escape(str(root / FIRST))}\.rejected and never used\. "
            r"Try again later, or get http.* another way .*; its place is ",
        ):
            load_images("fashion-mnist")
        assert held(root) == {f"{FIRST}.rejected": bad}
    server.files[FIRST] = good
    load_images("fashion-mnist")
    assert held(root) == {**server.files, f"{FIRST}.rejected": bad}


def test_another_packing_of_the_same_content_is_no_published_download(
    root: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder it would do, as Debian's does; the publisher's own file has one checksum."""
    name = NAMES[0]
    repacked = gzip.compress(small_fashion()[name], compresslevel=1, mtime=5)
    server.files[FIRST] = repacked
    with pytest.raises(DatasetError, match="is not the published file"):
        load_images("fashion-mnist")
    lay(root, {FIRST: repacked})
    load_images("fashion-mnist")


def test_a_file_that_is_not_on_the_server(root: Path, server: Server) -> None:
    del server.files[FILES[1]]
    with pytest.raises(
        DatasetError,
        match=rf"Downloading {server.home}{FILES[1]} failed \(HTTPError: 404 .*Nothing was kept of "
        rf"it\. Try again later, or get .*apt-get install dataset-fashion-mnist.* {re.escape(str(root))}\.",
    ):
        load_images("fashion-mnist")
    assert held(root) == {FIRST: server.files[FIRST]}  # what arrived before stays


def test_a_server_that_closes_early_leaves_no_part(root: Path, server: Server) -> None:
    server.cut.add(FIRST)
    with pytest.raises(DatasetError, match=rf"{FIRST} failed \(ChunkedEncodingError: .*Try again"):
        load_images("fashion-mnist")
    assert held(root) == {}
    server.cut.clear()
    load_images("fashion-mnist")
    assert held(root) == server.files


def test_no_server_at_all(root: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.server_close()
    with pytest.raises(DatasetError, match=r"failed \(ConnectionError: .*Try again later, or get"):
        load_images("fashion-mnist")
    assert held(root) == {}


def test_an_interrupted_download_leaves_no_part(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests

    def interrupt(*_: object, **__: object) -> Iterator[bytes]:
        yield b"some"
        raise KeyboardInterrupt

    monkeypatch.setattr(requests.Response, "iter_content", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_images("fashion-mnist")
    assert held(root) == {}


def test_a_full_disk_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    def fill(*_: object, **__: object) -> Iterator[bytes]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(requests.Response, "iter_content", fill)
    with pytest.raises(
        DatasetError, match=r"Downloading .* failed\. Could not write .*disk is full"
    ):
        load_images("fashion-mnist")
    assert held(root) == {}


def test_a_home_that_cannot_be_written_is_said_before_anything_is_fetched(
    root: Path, server: Server
) -> None:
    lay(root.parent.parent, {"datasets": b"a file where the folder should be"})
    with pytest.raises(DatasetError, match=r"failed\. Could not write .*(exists|Not a directory)"):
        load_images("fashion-mnist")
    assert server.asked == []


def test_no_download_offline_or_into_a_given_folder(
    root: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatasetError, match="is not complete in"):
        load_images("fashion-mnist", tmp_path)
    monkeypatch.setenv("NASBENCH_TAB_OFFLINE", "1")
    with pytest.raises(DatasetError, match="NASBENCH_TAB_OFFLINE is set"):
        load_images("fashion-mnist")
    assert server.asked == []
    assert not root.exists()


def test_a_damaged_file_in_the_users_folder_is_not_fetched_over(root: Path, server: Server) -> None:
    load_images("fashion-mnist")
    (root / FIRST).write_bytes(b"mine")
    with pytest.raises(DatasetError, match=rf"{FIRST} cannot be unpacked .*Replace it by http"):
        load_images("fashion-mnist")
    assert (root / FIRST).read_bytes() == b"mine"
    assert server.asked == FILES


@pytest.mark.parametrize("package", ["pooch", "tqdm"])
def test_without_the_extra_the_way_is_said(
    package: str, root: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    if package == "pooch":
        monkeypatch.setitem(sys.modules, "pooch", None)
    else:
        monkeypatch.setattr("pooch.downloaders.tqdm", None)
    with pytest.raises(
        DatasetError, match=r"needs pooch and tqdm .*pip install 'nasbench_tab\[train"
    ):
        load_images("fashion-mnist")
    assert server.asked == []
    shutil.rmtree(root, ignore_errors=True)
    lay(root, server.files)
    load_images("fashion-mnist")  # what is there needs neither


def test_torch_is_not_imported() -> None:
    script = "import sys, nasbench_tab.train.datasets; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
