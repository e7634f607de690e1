"""Every importer, given what it was not made for: our errors only, and nothing is left behind."""

from __future__ import annotations

import bz2
import gzip
import io
import pickle
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nasbench_tab.errors import FormatError, NasbenchTabError
from nasbench_tab.importers.formats import FORMATS, import_official

#: A name that every importer takes: NAS-Bench-201's looks at it.
NAME = "NAS-Bench-201-v1_1-☃.pth"


def folder(path: Path) -> None:
    path.mkdir()


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def folder_of_folders(path: Path) -> None:
    (path / "rs" / "results_0.json").mkdir(parents=True)
    (path / "000000.pickle.pbz2").mkdir()
    (path / "hw_cifar10.csv").mkdir()
    (path / "nas-bench-macro_cifar10.json").mkdir()


def holding(data: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("a/b.json", "[]")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        made.addfile(tarfile.TarInfo("a/b.json"))
    return file.getvalue()


ODD: dict[str, Callable[[Path], object]] = {
    "nothing there": lambda path: None,
    "empty": holding(b""),
    "one byte": holding(b"\x80"),
    "text": holding("Größe: 3\n".encode() * 100),
    "noise": holding(bytes(range(256)) * 40),
    "zeros": holding(bytes(5_000)),
    "JSON": holding(b'{"a": [1, NaN]}'),
    "deep JSON": holding(b"[" * 100_000),
    "half a surrogate": holding(b'{"\\ud800": 1}'),
    "pickle": holding(pickle.dumps({"a": {1: 2.0}}, 4)),
    "old pickle": holding(pickle.dumps([1], 0)),
    "bzip2 of a pickle": holding(bz2.compress(pickle.dumps({"nasbench201": {}}, 4))),
    "gzip of nothing": holding(gzip.compress(b"")),
    "zip": holding(zipped()),
    "cut zip": holding(zipped()[:-4]),
    "tar": holding(tarred()),
    "folder": folder,
    "loop of links": loop,
    "folders where files are expected": folder_of_folders,
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", FORMATS)
def test_odd_sources_are_refused(name: str, odd: str, tmp_path: Path) -> None:
    source, out = tmp_path / NAME, tmp_path / "out"
    ODD[odd](source)
    with pytest.raises(NasbenchTabError, match="☃"):
        import_official(name, source, out)
    assert not list(out.rglob("*"))


@pytest.mark.parametrize("name", FORMATS)
def test_sources_that_are_not_there_say_what_is_expected(name: str, tmp_path: Path) -> None:
    if sys.platform == "linux":
        (tmp_path / "\udcff").touch()
        with pytest.raises(FormatError, match="surrogates"):
            import_official(name, tmp_path / "\udcff", tmp_path / "out")
    for source, reason in (("absent", "No such file"), ("a\0b", "null"), ("x" * 300, "too long")):
        with pytest.raises(FormatError, match=reason) as caught:
            import_official(name, tmp_path / source, tmp_path / "out")
        assert FORMATS[name].reads in str(caught.value)
