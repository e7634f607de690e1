"""The containers of the official NAS-Bench-201 and NATS-Bench files, read one architecture at a time.

A "simple" folder, or its tar, holds one ``NNNNNN.pickle.pbz2`` for each architecture. The single files hold
one pickle of all: in bzip2 (NATS-Bench), or as PyTorch saved it (NAS-Bench-201): a sequence of pickles in
older files, a zip with ``data.pkl`` in newer ones. Files with network weights are refused.
"""

from __future__ import annotations

import bz2
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from reprlib import repr as short

from nasbench_tab.errors import FormatError
from nasbench_tab.importers.archive import Limits, check_directory, members
from nasbench_tab.importers.bytestream import ByteStream
from nasbench_tab.importers.nats_records import (
    DAMAGED,
    ArchRecord,
    Meta,
    Named,
    bytes_of,
    damaged,
    meta_of,
    records_of,
    unpacked,
)
from nasbench_tab.importers.unpickle_stream import stream_plain

__all__ = ["Take", "read_records"]

#: Called with each architecture: its index and its record for each schedule.
Take = Callable[[int, dict[str, ArchRecord]], None]

_MOST = 2**36  # bytes of a single file unpacked: the published ones have 3 to 6 GB
_SIMPLE = Limits(largest=4 * 2**20, total=2**34)
_NAME = re.compile(r"(?:.*[./])?([0-9]{1,6}|meta)\.pickle\.pbz2")
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # what torch.save wrote before it made zips


def read_records(source: Path, take: Take) -> Meta | None:
    """Read every architecture of a "simple" folder or tar, or of a single file.

    Args:
        source: The folder or file.
        take: Called with each architecture, in the order of the source.

    Returns:
        What the source says of itself; None where a folder has no ``meta.pickle.pbz2``.

    Raises:
        FormatError: It is missing, damaged, beyond any bound, or of another format.
        UnsafePickleError: It names something that plain data does not need.
    """
    if source.is_dir():
        return _of_members(source, take)
    start = bytes_of(source, 8)
    if start[:3] == b"BZh":
        try:
            first = bz2.BZ2Decompressor().decompress(bytes_of(source, 2**20), 1)
        except OSError as err:
            raise damaged(source, err) from err
        return _of_bzip2(source, take) if first in (b"\x80", b"") else _of_members(source, take)
    if start[:1] == b"\x80":
        with source.open("rb") as file:
            return _of_torch(ByteStream(file, str(source), _MOST), take)
    if start[:2] == b"PK":
        return _of_torch_zip(source, take)
    return _of_members(source, take)


def _of_members(source: Path, take: Take) -> Meta | None:
    meta: Meta | None = None
    seen: dict[int, str] = {}
    for member in members(source, _SIMPLE, ".pickle.pbz2"):
        named = _NAME.fullmatch(member.name)
        if named is None:
            continue
        where = f"{source}: {member.name}"
        raw = unpacked(member.data, where)
        if named[1] == "meta":
            meta = meta_of(raw, where)
            continue
        records = records_of(raw, where)
        index = next(iter(records.values())).index
        if index != int(named[1]) or index in seen:
            raise FormatError(
                f"{where}: its record is of architecture {index}, which "
                f"{'stands in ' + seen[index] + ' too' if index in seen else 'its name does not say'}. "
                "Get the folder from its publisher again."
            )
        seen[index] = member.name
        take(index, records)
    if not seen:
        raise FormatError(
            f"{source} holds no record. Expected files 000000.pickle.pbz2, 000001.pickle.pbz2 ..., as in the "
            'official "simple" folders, or a single file.'
        )
    return meta


def _of_bzip2(source: Path, take: Take) -> Meta:
    with source.open("rb") as file, bz2.BZ2File(file) as inside:
        return _of_pickle(ByteStream(Named(source, inside), str(source), _MOST), take)


def _of_pickle(stream: ByteStream, take: Take) -> Meta:
    raw = stream_plain(stream, "arch2infos", _taking(stream.source, take))
    stream.end()
    return meta_of(raw, stream.source)


def _of_torch(stream: ByteStream, take: Take) -> Meta:
    """Read what torch.save wrote: magic number, version, machine, the object, the list of its tensors."""
    handed = _taking(stream.source, take)
    first = stream_plain(stream, "arch2infos", handed)
    if type(first) is dict:  # a plain pickle after all
        stream.end()
        return meta_of(first, stream.source)
    version = stream_plain(stream)
    if (first, version) != (_MAGIC, _PROTOCOL):
        raise FormatError(
            f"{stream.source} does not begin as torch.save begins a file of version {_PROTOCOL}. It is of "
            "another format or of a newer version; expected an official NAS-Bench-201 file."
        )
    stream_plain(stream)  # byte order and sizes of the machine that wrote it
    raw = stream_plain(stream, "arch2infos", handed)
    tensors = stream_plain(stream)
    if tensors != []:
        raise FormatError(
            f"{stream.source} holds network weights. Expected the official file without them, for example "
            "NAS-Bench-201-v1_1-096897.pth."
        )
    stream.end()
    return meta_of(raw, stream.source)


def _of_torch_zip(source: Path, take: Take) -> Meta:
    with source.open("rb") as file:
        check_directory(source, file)
        try:
            archive = zipfile.ZipFile(file)
            names = [n for n in archive.namelist() if n.endswith("/data.pkl") and n.count("/") == 1]
            member = archive.open(names[0]) if len(names) == 1 else None
        except (*DAMAGED, RuntimeError) as err:
            raise damaged(source, err) from err
        if member is None:
            raise FormatError(
                f"{source} is a zip with {len(names)} members <name>/data.pkl; PyTorch writes one. "
                "Expected an official NAS-Bench-201 file."
            )
        with archive, member:
            where = f"{source}: {names[0]}"
            return _of_pickle(ByteStream(Named(where, member), where, _MOST), take)


def _taking(source: str, take: Take) -> Callable[[object, object], None]:
    seen: set[int] = set()

    def handed(key: object, value: object) -> None:
        if type(key) is not int:
            raise FormatError(
                f"{source}: arch2infos has the key {short(key)}; an index was expected."
            )
        records = records_of(value, source)
        index = next(iter(records.values())).index
        if index != key or key in seen:
            raise FormatError(
                f"{source}: arch2infos[{key}] is of architecture {index}"
                f"{' and stands in it twice' if key in seen else ''}. Get the file from its publisher again."
            )
        seen.add(key)
        take(key, records)

    return handed
