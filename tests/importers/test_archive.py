"""Archives that are not trusted: good ones are read whole, all others are refused by name."""

from __future__ import annotations

import io
import struct
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from importers.fuzzing import refused
from nasbench_tab.errors import FormatError
from nasbench_tab.importers import archive
from nasbench_tab.importers.archive import Limits, members

FILES = {"logs/a.json": b"{}", "logs/b.json": b"[1, 2]" * 100, "logs/c.txt": b"no"}
LIMITS = Limits(largest=10_000, total=100_000)


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        made.writestr("logs/", b"")
        for name, data in files.items():
            made.writestr(name, data)
    return file.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w", kind: bytes = tarfile.REGTYPE) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as made:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "elsewhere"
            info.size = len(data) if kind == tarfile.REGTYPE else 0
            made.addfile(info, io.BytesIO(data))
    return file.getvalue()


def kinds() -> dict[str, bytes]:
    return {
        "zip": zipped(FILES),
        "tar": tarred(FILES),
        "tar.gz": tarred(FILES, "w:gz"),
        "tar.bz2": tarred(FILES, "w:bz2"),
    }


def read(path: Path, suffix: str = "", limits: Limits = LIMITS) -> dict[str, bytes]:
    found = list(members(path, limits, suffix))
    assert all(0 < member.done <= member.total for member in found)
    return {member.name: member.data for member in found}


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_is_read_whole(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(kinds()[kind])
    assert read(path) == FILES
    assert set(read(path, ".json")) == {"logs/a.json", "logs/b.json"}
    assert list(tmp_path.iterdir()) == [path]  # nothing was unpacked


def test_a_folder_is_read_as_an_archive(tmp_path: Path) -> None:
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert read(tmp_path) == FILES


@pytest.mark.parametrize("make", [zipped, tarred, None])
def test_names_of_what_is_read(
    make: Callable[[dict[str, bytes]], bytes] | None, tmp_path: Path
) -> None:
    files = {"a/log_1.json": b"1", "log_2.json": b"2", "log_/x.json": b"", "log_3.txt": b""}
    path = tmp_path / "archive"
    if make is not None:
        path.write_bytes(make(files))
    else:
        files["large.json"] = bytes(20_000)  # no part of what a folder may hold at most
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    found = {member.name for member in members(path, LIMITS, ".json", "log_")}
    assert found == {"a/log_1.json", "log_2.json"}


@pytest.mark.parametrize("kind", kinds())
def test_a_cut_archive_is_refused(kind: str, tmp_path: Path) -> None:
    whole = kinds()[kind]
    path = tmp_path / "cut"
    # A tar is padded with zeros; what stands before its end of two blocks is all of it.
    content = whole.rstrip(b"\0") if kind == "tar" else whole
    for end in range(0, len(content), max(1, len(content) // 150)):
        path.write_bytes(whole[:end])
        with pytest.raises(FormatError, match=r"cut.*(truncated|damaged)"):
            read(path)


@pytest.mark.parametrize("name", ["/etc/a", "../a", "logs/../../a", "..\\a", "C:/a", "\\a"])
@pytest.mark.parametrize("make", [zipped, tarred])
def test_names_that_lead_out_are_refused(
    name: str, make: Callable[[dict[str, bytes]], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "evil"
    path.write_bytes(make({name: b"x"}))
    with pytest.raises(FormatError, match="leads out"):
        read(path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "links.tar"
    path.write_bytes(tarred({"a.json": b""}, kind=kind))
    with pytest.raises(FormatError, match=r"a\.json.*link or device"):
        read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_that_stands_twice_is_refused(kind: str, tmp_path: Path) -> None:
    path, file = tmp_path / "twice", io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as zip_archive:
            zip_archive.writestr("a", b"1")
            zip_archive.writestr("a", b"2")
    else:
        with tarfile.open(fileobj=file, mode="w") as tar_archive:
            tar_archive.addfile(tarfile.TarInfo("a"))
            tar_archive.addfile(tarfile.TarInfo("a"))
    path.write_bytes(file.getvalue())
    with pytest.raises(FormatError, match="twice"):
        read(path)


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar"])
def test_bombs_are_refused_before_they_fill_the_memory(kind: str, tmp_path: Path) -> None:
    large = {"bomb": bytes(50_000)}
    path = tmp_path / "bomb"
    path.write_bytes(zipped(large) if kind == "zip" else tarred(large, "w:" + kind[4:]))
    with pytest.raises(FormatError, match="'bomb' has 50000 bytes; at most 10000 were expected"):
        read(path)
    many = {f"part{i}": bytes(9_000) for i in range(30)}
    path.write_bytes(zipped(many) if kind == "zip" else tarred(many, "w:" + kind[4:]))
    with pytest.raises(FormatError, match=r"more than|at most"):
        read(path)


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a": bytes(9_000)}))
    for signature, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        place = data.rfind(signature) + offset
        data[place : place + 4] = (500).to_bytes(4, "little")
    path = tmp_path / "lie.zip"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"member 'a' (is damaged at|does not have)"):
        read(path)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a": b"x"}))
    data[data.rfind(b"PK\1\2") + 8] |= 1
    path = tmp_path / "locked.zip"
    path.write_bytes(data)
    with pytest.raises(FormatError, match="encrypted"):
        read(path)


def test_a_directory_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a": b"x"}))
    place = data.rfind(b"PK\5\6") + 12
    data[place : place + 4] = (2**31).to_bytes(4, "little")
    path = tmp_path / "directory.zip"
    path.write_bytes(data)
    with pytest.raises(FormatError, match="directory claims"):
        read(path)


def test_a_second_directory_for_large_files_is_bounded_too(tmp_path: Path) -> None:
    # Python takes its size instead of the first one's, whatever the first one says.
    data = zipped({"a": b"x"})
    end = data.rfind(b"PK\5\6")
    size, start = struct.unpack_from("<II", data, end + 12)
    path = tmp_path / "large.zip"
    for claimed in (size, 2**31):
        record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, claimed, start)
        locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
        path.write_bytes(data[:end] + record + locator + data[end:])
        if claimed == size:
            assert read(path) == {"a": b"x"}
        else:
            with pytest.raises(FormatError, match="directory claims 2147483648"):
                read(path)


def test_a_tar_of_too_many_members_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_MEMBERS", 5)
    path = tmp_path / "many.tar"
    path.write_bytes(tarred({f"{i}": b"" for i in range(5)}))
    assert len(read(path)) == 5
    path.write_bytes(tarred({f"{i}": b"" for i in range(6)}))
    with pytest.raises(FormatError, match="'5' is one of more than 5"):
        read(path)


def test_headers_for_all_members_do_not_pile_up(tmp_path: Path) -> None:
    block = b"".join(
        tarfile.TarInfo.create_pax_global_header({f"key{i}": "x" * 9_000})
        + tarfile.TarInfo(f"{i}").tobuf()
        for i in range(1_000)
    )
    path = tmp_path / "headers.tar"
    path.write_bytes(block + bytes(1024))
    tracemalloc.start()
    try:
        assert len(read(path, limits=Limits(10_000, 2**24))) == 1_000
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_name_without_end_is_refused(
    make: Callable[[dict[str, bytes]], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "long"
    path.write_bytes(make({"a" * 5_000: b"x"}))
    with pytest.raises(FormatError, match="more than 4,096 characters") as caught:
        read(path)
    assert len(str(caught.value)) < 700


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")
def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path, folder = tmp_path / "bytes.tar", tmp_path / "folder"
    path.write_bytes(tarred({"r\udcff/a.json": b"{}"}))
    (folder / "r\udcff").mkdir(parents=True)
    (folder / "r\udcff" / "a.json").write_bytes(b"{}")
    for source in (path, folder):
        with pytest.raises(FormatError, match=r"'r\\udcff/a\.json' has a name that is not UTF-8"):
            read(source)


def test_a_folder_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    (tmp_path / "a.json").write_bytes(b"{}")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(FormatError, match=r"Permission denied.*a\.json"):
        read(tmp_path)
    with pytest.raises(FormatError, match="File name too long"):
        read(tmp_path / ("a" * 300))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"not an archive" * 100)
    with pytest.raises(FormatError, match="cannot be read"):
        read(path)
    with pytest.raises(FormatError, match="missing"):
        read(tmp_path / "absent")


def fuzz(kind: str, n: int, tmp_path: Path) -> int:
    path = tmp_path / "mutant"

    def read_bytes(data: bytes) -> None:
        path.write_bytes(data)
        read(path)

    return refused(read_bytes, kinds()[kind], n, seed=8, limit=2**22)


@pytest.mark.parametrize("kind", kinds())
def test_damaged_archives_never_crash(kind: str, tmp_path: Path) -> None:
    assert fuzz(kind, 150, tmp_path) > 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", kinds())
def test_ten_thousand_damaged_archives(kind: str, tmp_path: Path) -> None:
    assert fuzz(kind, 10_000, tmp_path) > 1_000
