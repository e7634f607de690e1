"""Read the files of a zip, a tar or a folder one after another, without unpacking any to the disk.

Archives are not trusted. A member whose name leaves the archive's folder, a link, a device, an encrypted or
repeated member, and whatever is larger than the caller allows is refused; nothing is ever written, and not
more than one member is in memory.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, cast

from nasbench_tab.errors import FormatError

__all__ = ["Limits", "Member", "check_directory", "members"]

_DIRECTORY = 64 * 2**20  # bytes of a zip's directory; about 500,000 members
_MEMBERS = 2**20  # of a tar; NAS-Bench-301 has 60,000
_NAME = 4096  # characters
_DAMAGED = (
    *(EOFError, OSError, NotImplementedError, UnicodeError, ValueError, struct.error),
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, RuntimeError, OverflowError),
)


class Limits(NamedTuple):
    """How much an archive may hold, in bytes: one member, and all of them together, unpacked."""

    largest: int
    total: int


class Member(NamedTuple):
    """One file.

    Attributes:
        name: Its path inside the archive or folder, with ``/``.
        data: Its content.
        done: How far the reading is, of ``total``: members, or bytes of a tar.
        total: See ``done``.
    """

    name: str
    data: bytes
    done: int
    total: int


def members(source: Path, limits: Limits, suffix: str = "", prefix: str = "") -> Iterator[Member]:
    """Yield the files of a zip, tar (plain, gzip or bzip2) or folder that have such names.

    A folder's and a zip's come in the order of their names, a tar's as they are stored.

    Args:
        source: The folder or archive.
        limits: How much it may hold; of a folder, such files only.
        suffix: How the name ends.
        prefix: How it begins, without the folders before it.

    Raises:
        FormatError: It is missing, truncated, damaged or unsafe, or no archive; the member is named.
    """
    try:
        if source.is_dir():
            yield from _of_folder(source, limits, f"{glob.escape(prefix)}*{glob.escape(suffix)}")
            return
        with source.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start[:2] == b"PK":
                yield from _of_zip(source, file, limits, suffix, prefix)
            else:
                yield from _of_tar(source, file, start, limits, suffix, prefix)
    except FormatError:
        raise
    except _DAMAGED as err:
        raise FormatError(
            f"{source} cannot be read as a folder, zip, tar, tar.gz or tar.bz2 ({type(err).__name__}: "
            f"{err}). It is missing, truncated or damaged, or of another kind; get it again."
        ) from err


def _of_folder(source: Path, limits: Limits, pattern: str) -> Iterator[Member]:
    paths = [p for p in sorted(source.rglob(pattern)) if p.is_file()]
    total = 0
    for done, path in enumerate(paths, 1):
        name = path.relative_to(source).as_posix()
        _check_text(source, name)
        size = path.stat().st_size
        total += size
        _allow(source, name, size, total, limits)
        yield Member(name, path.read_bytes(), done, len(paths))


def _of_zip(
    source: Path, file: IO[bytes], limits: Limits, suffix: str, prefix: str
) -> Iterator[Member]:
    check_directory(source, file)
    with zipfile.ZipFile(file) as archive:
        infos = {}
        for info in archive.infolist():
            _check_name(source, info.filename)
            if info.is_dir():
                continue
            if info.filename in infos:
                raise _refusal(source, info.filename, "stands in it twice")
            if info.flag_bits & 1:
                raise _refusal(source, info.filename, "is encrypted")
            infos[info.filename] = info
        names = sorted(name for name in infos if _has_such_a_name(name, suffix, prefix))
        total = 0
        for done, name in enumerate(names, 1):
            size = infos[name].file_size
            total += size
            _allow(source, name, size, total, limits)
            try:
                with archive.open(infos[name]) as member:
                    data = member.read(size)  # its checksum is verified where it ends
                    more = member.read(1)
            except _DAMAGED as err:
                raise _refusal(
                    source, name, f"is damaged at byte {infos[name].header_offset} ({err})"
                ) from err
            if more or len(data) != size:
                raise _refusal(source, name, f"does not have the {size} bytes that it claims")
            yield Member(name, data, done, len(names))


def check_directory(source: Path, file: IO[bytes]) -> None:
    """Refuse a zip with a directory that would fill the memory before anything is looked at."""
    end = file.seek(0, os.SEEK_END)
    tail_start = max(0, end - 2**16 - 22 - 20)
    file.seek(tail_start)
    tail = file.read()
    place = tail.rfind(b"PK\5\6")
    if place < 0 or len(tail) - place < 22:
        raise FormatError(
            f"{source} ends without a zip's directory, which was expected in its last 65,557 bytes; it is "
            f"truncated at byte {end}. Get it again."
        )
    size = struct.unpack_from("<I", tail, place + 12)[0]
    if place >= 20 and tail[place - 20 : place - 16] == b"PK\6\7":
        # Which of both is read, and whether instead of the size above, depends on Python's version.
        named = struct.unpack_from("<Q", tail, place - 12)[0]
        for start in (tail_start + place - 20 - 56, min(named, end)):
            file.seek(max(0, start))
            record = file.read(56)
            if len(record) == 56 and record[:4] == b"PK\6\6":
                size = max(
                    0 if size == 2**32 - 1 else size, struct.unpack_from("<Q", record, 40)[0]
                )
    if size > min(_DIRECTORY, end):
        raise FormatError(
            f"{source}: its directory claims {size} bytes; at most {min(_DIRECTORY, end)} were expected. "
            "It is damaged or made to fill the memory; get it from its publisher again."
        )
    file.seek(0)


def _of_tar(
    source: Path, file: IO[bytes], start: bytes, limits: Limits, suffix: str, prefix: str
) -> Iterator[Member]:
    size = source.stat().st_size
    plain: Any = file
    if start[:2] == b"\x1f\x8b":
        plain = gzip.GzipFile(fileobj=file)
    elif start[:3] == b"BZh":
        plain = bz2.BZ2File(file)
    bounded = _Bounded(source, plain, limits)
    seen, total, count = set(), 0, 0
    with tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r:") as archive:
        for info in archive:
            archive.members.clear()  # type: ignore[attr-defined]  # else all headers stay in memory
            archive.pax_headers = {}  # and so do headers that are for all members
            count += 1
            if count > _MEMBERS:
                raise _refusal(source, info.name, f"is one of more than {_MEMBERS:,}")
            _check_name(source, info.name)
            if info.isdir():
                continue
            if not info.isreg():
                raise _refusal(source, info.name, "is a link or device, not a file")
            if info.name in seen:
                raise _refusal(source, info.name, "stands in it twice")
            seen.add(info.name)
            total += info.size
            _allow(source, info.name, info.size, total, limits)
            if not _has_such_a_name(info.name, suffix, prefix):
                continue
            member = archive.extractfile(info)
            data = b"" if member is None else member.read()
            if len(data) != info.size:
                raise _refusal(
                    source,
                    info.name,
                    f"has {len(data)} bytes of {info.size}: the archive is truncated",
                )
            yield Member(info.name, data, min(file.tell(), size), size)
        # Without its end, two blocks of zeros, tarfile takes a cut archive for a whole one.
        bounded.seek(archive.offset)
        if len(bounded.read(512)) < 512:
            raise FormatError(
                f"{source} ends at byte {archive.offset} without the end of a tar; it is truncated. Get it "
                "again."
            )
        while bounded.read(2**16):  # a compressed file's checksum stands at its end
            pass


class _Bounded:
    """A file that refuses to be read in too large pieces, or too far."""

    def __init__(self, source: Path, file: Any, limits: Limits) -> None:
        self._source, self._file = source, file
        self._largest = limits.largest
        self._end = 2 * limits.total + 2**20  # headers and padding come on top

    def read(self, n: int = -1) -> bytes:
        if not 0 <= n <= max(self._largest, 2**16):
            raise FormatError(
                f"{self._source}: at byte {self._file.tell()} a piece of {n} bytes was announced; at most "
                f"{self._largest} were expected. It is damaged or a bomb; get it from its publisher again."
            )
        data: bytes = self._file.read(n)
        self._check(self._file.tell())
        return data

    def seek(self, place: int, whence: int = 0) -> int:
        self._check(place)
        found: int = self._file.seek(place, whence)
        return found

    def tell(self) -> int:
        place: int = self._file.tell()
        return place

    def _check(self, place: int) -> None:
        if place > self._end:
            raise FormatError(
                f"{self._source} unpacks to more than {self._end} bytes, more than such an archive holds. "
                "It is damaged or a bomb; get it from its publisher again."
            )


def _has_such_a_name(name: str, suffix: str, prefix: str) -> bool:
    return name.endswith(suffix) and name.rpartition("/")[2].startswith(prefix)


def _check_name(source: Path, name: str) -> None:
    _check_text(source, name)
    if len(name) > _NAME:
        raise _refusal(source, name, f"has a name of more than {_NAME:,} characters")
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if (
        not parts
        or name.startswith(("/", "\\"))
        or ".." in parts
        or ":" in parts[0]
        or "\0" in name
    ):
        raise _refusal(source, name, "has a name that leads out of the archive's folder")


def _check_text(source: Path, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as err:
        raise _refusal(source, name, "has a name that is not UTF-8") from err


def _allow(source: Path, name: str, size: int, total: int, limits: Limits) -> None:
    if size > limits.largest:
        raise _refusal(source, name, f"has {size} bytes; at most {limits.largest} were expected")
    if total > limits.total:
        raise _refusal(
            source, name, f"brings the sum to {total} bytes; at most {limits.total} were expected"
        )


def _refusal(source: Path, name: str, problem: str) -> FormatError:
    return FormatError(
        f"{source}: its member {name[:200]!r} {problem}. Nothing was unpacked; get the archive from its "
        "publisher again."
    )
