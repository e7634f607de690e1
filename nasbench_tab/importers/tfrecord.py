"""Read a TFRecord file: which records are in it, and are they undamaged?

A record is framed by its length (8 bytes, little-endian), a checksum of these bytes, and a checksum of
the record after it. Checksums are CRC-32C (Castagnoli), masked: rotated right by 15 bits, plus 0xa282ead8.

NumPy computes the checksums of thousands of records side by side, which takes about a microsecond for
one of 400 bytes; no compiled package is needed. No length is trusted before its checksum was compared, and
none above :data:`LIMIT`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import FormatError

__all__ = ["LIMIT", "Block", "crc32c", "masked", "read_blocks"]

#: Bytes of the longest record that is read; NAS-Bench-101's have about 400.
LIMIT = 2**14

_READ = 2**21  # bytes of the file at once
_SIDE_BY_SIDE = 2**22  # bytes whose checksums are computed at once
_POLYNOMIAL = 0x82F63B78  # Castagnoli's, lowest bit first
_HEADER = struct.Struct("<QI")
_TAIL = struct.Struct("<I")
_FRAME = _HEADER.size + _TAIL.size


class Block(NamedTuple):
    """Some records in a row.

    Attributes:
        first: Number of the first one in the file, from 0.
        offsets: Where each frame begins in the file.
        records: Their bytes.
    """

    first: int
    offsets: list[int]
    records: list[bytes]


def read_blocks(read: Callable[[int], bytes], name: str) -> Iterator[Block]:
    """Yield all records of a file, some thousands at a time.

    Args:
        read: Returns up to that many bytes, and none at the end.
        name: Of the file, for messages.

    Raises:
        FormatError: A checksum is wrong, a record is too long, or the file ends within one.
    """
    buffer, start, count = b"", 0, 0
    while True:
        more = read(_READ)
        buffer += more
        block, end = _frames(buffer, start, count, name)
        if block.records:
            yield block
        start, count, buffer = start + end, count + len(block.records), buffer[end:]
        if not more:
            break
    if buffer:
        raise FormatError(
            f"{name}: the file ends at byte {start + len(buffer)}, within record {count}, which begins at "
            f"byte {start}. It is truncated; get it again."
        )


def _frames(buffer: bytes, start: int, first: int, name: str) -> tuple[Block, int]:
    """Return the whole records in ``buffer`` and where they end.

    Args:
        buffer: Bytes of the file, from a frame's beginning.
        start: Where in the file that is.
        first: The number of that record.
        name: Of the file.
    """
    headers, sums, offsets, records, tails = [], [], [], [], []
    place, size = 0, len(buffer)
    while place + _HEADER.size <= size:
        length, of_length = _HEADER.unpack_from(buffer, place)
        headers.append(buffer[place : place + 8])
        sums.append(of_length)
        offsets.append(start + place)
        end = place + _FRAME + length
        if length > LIMIT or end > size:
            break  # too long, damaged or not read yet: which of these the checksum tells
        records.append(buffer[place + _HEADER.size : end - _TAIL.size])
        tails.append(_TAIL.unpack_from(buffer, end - _TAIL.size)[0])
        place = end
    wrong = {
        "length": masked(crc32c(headers)) != np.array(sums, np.uint32),
        "content": masked(crc32c(records)) != np.array(tails, np.uint32),
    }
    # Behind a wrong length nothing is where it was taken to be, so the first fault counts.
    faults = [(int(bad.argmax()), what) for what, bad in wrong.items() if bad.any()]
    if faults:
        i, what = min(faults, key=lambda fault: fault[0])
        raise FormatError(
            f"{name}: the checksum of the {what} of record {first + i}, which begins at byte "
            f"{offsets[i]}, is not the one that stands in the file. The file is damaged or no TFRecord "
            "file; get it again."
        )
    if len(headers) > len(records) and length > LIMIT:
        raise FormatError(
            f"{name}: record {first + len(records)}, which begins at byte {start + place}, has {length} "
            f"bytes; at most {LIMIT} expected. This is another format than the importer reads."
        )
    return Block(first, offsets[: len(records)], records), place


def masked(sums: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return checksums as TFRecord stores them."""
    return ((sums >> np.uint32(15)) | (sums << np.uint32(17))) + np.uint32(0xA282EAD8)


def crc32c(records: list[bytes]) -> NDArray[np.uint32]:
    """Return the CRC-32C of each record, ``(n,)``."""
    if not records:
        return np.empty(0, np.uint32)
    # Zeros in front leave a checksum that begins with zero at zero, so all become equally long.
    length = max(map(len, records)) + len(_START)
    length += length % 2
    step = max(1, _SIDE_BY_SIDE // length)
    parts = [records[i : i + step] for i in range(0, len(records), step)]
    return np.concatenate([_side_by_side(part, length) for part in parts])


def _side_by_side(records: list[bytes], length: int) -> NDArray[np.uint32]:
    """Return the CRC-32C of records of fewer than ``length`` bytes, two bytes of all at a time."""
    joined = b"".join([(_START + record).rjust(length, b"\0") for record in records])
    words = np.frombuffer(joined, "<u2").reshape(len(records), length // 2)
    table = _table()
    state = np.zeros(len(records), np.uint32)
    for word in np.ascontiguousarray(words.T):
        state = table[(state ^ word) & np.uint32(0xFFFF)] ^ (state >> np.uint32(16))
    return ~state


@cache
def _table() -> NDArray[np.uint32]:
    """Return what 16 bits become when they are shifted out."""
    table = np.arange(2**16, dtype=np.uint32)
    for _ in range(16):
        table = (table >> np.uint32(1)) ^ (table & np.uint32(1)) * np.uint32(_POLYNOMIAL)
    return table


def _start() -> bytes:
    """Return the four bytes that bring a checksum from 0 to all ones, where CRC-32C begins."""
    state = 2**32 - 1
    for _ in range(32):  # steps back
        high = state >> 31
        state = ((state ^ _POLYNOMIAL * high) << 1 | high) & (2**32 - 1)
    return state.to_bytes(4, "little")


_START = _start()
