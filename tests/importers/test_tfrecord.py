"""TFRecord frames: checksums against known values and a second implementation, and damaged files."""

from __future__ import annotations

import io
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importers.fuzzing import refused
from importers.nasbench101_file import crc, delimited, double, frame, varint
from nasbench_tab.errors import FormatError
from nasbench_tab.importers import tfrecord
from nasbench_tab.importers.protobuf import read_fields
from nasbench_tab.importers.tfrecord import LIMIT, crc32c, masked, read_blocks


def read(content: bytes) -> list[bytes]:
    blocks = list(read_blocks(io.BytesIO(content).read, "some.tfrecord"))
    records: list[bytes] = []
    place = 0
    for block in blocks:
        assert block.first == len(records)
        for offset, record in zip(block.offsets, block.records, strict=True):
            assert offset == place
            place += len(record) + 16
            records.append(record)
    return records


# --- Checksums ----------------------------------------------------------------------------------------


def test_known_checksums() -> None:
    """Of RFC 3720, appendix B.4, and the customary check value."""
    known = {
        b"123456789": 0xE3069283,
        b"\0" * 32: 0x8A9136AA,
        b"\xff" * 32: 0x62A8AB43,
        bytes(range(32)): 0x46DD794E,
        bytes(range(31, -1, -1)): 0x113FDB5C,
        b"": 0,
    }
    assert crc32c(list(known)).tolist() == list(known.values())
    assert [int(crc32c([data])[0]) for data in known] == list(known.values())
    assert crc32c([]).shape == (0,)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=12))
def test_checksums_are_those_of_a_byte_at_a_time(records: list[bytes]) -> None:
    assert masked(crc32c(records)).tolist() == [crc(record) for record in records]


def test_many_checksums_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    records = [rng.bytes(int(n)) for n in rng.integers(0, 90, 100)]
    whole = crc32c(records)
    monkeypatch.setattr(tfrecord, "_SIDE_BY_SIDE", 1000)
    assert crc32c(records).tolist() == whole.tolist()


# --- Frames -------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=300), max_size=30), st.integers(1, 700))
@settings(max_examples=50)
def test_records_come_back_whatever_is_read_at_once(records: list[bytes], at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfrecord, "_READ", at_once)
        assert read(b"".join(map(frame, records))) == records


def test_the_longest_record() -> None:
    records = [bytes(LIMIT), b"", bytes(3)]
    assert read(b"".join(map(frame, records))) == records


GOOD = [b"one record", b"", b"and another one" * 3]
CONTENT = b"".join(map(frame, GOOD))
STARTS = [0, 26, 42]


def test_every_cut_is_refused() -> None:
    for size in range(1, len(CONTENT)):
        if size in STARTS:
            assert read(CONTENT[:size]) == GOOD[: STARTS.index(size)]
            continue
        number = sum(start < size for start in STARTS) - 1
        problem = (
            f"ends at byte {size}, within record {number}, which begins at byte {STARTS[number]}"
        )
        with pytest.raises(FormatError, match=problem):
            read(CONTENT[:size])
    assert read(b"") == []


def test_every_flipped_bit_is_found_where_it_is() -> None:
    for place in range(len(CONTENT)):
        for bit in range(8):
            data = bytearray(CONTENT)
            data[place] ^= 1 << bit
            number = sum(start <= place for start in STARTS) - 1
            of_length = place - STARTS[number] < 12
            what = "length" if of_length else "content"
            problem = (
                f"checksum of the {what} of record {number}, which begins at byte {STARTS[number]}"
            )
            with pytest.raises(FormatError, match=problem):
                read(bytes(data))


@pytest.mark.parametrize("length", [LIMIT + 1, 2**31, 2**40, 2**64 - 1])
def test_a_length_beyond_the_limit_takes_no_memory(length: int) -> None:
    header = struct.pack("<Q", length)
    content = CONTENT + header + struct.pack("<I", crc(header)) + bytes(100)
    tracemalloc.start()
    try:
        with pytest.raises(
            FormatError, match=f"record 3, which begins at byte 103, has {length} bytes"
        ):
            read(content)
        assert tracemalloc.get_traced_memory()[1] < 2**21
        with pytest.raises(FormatError, match="checksum of the length of record 3"):
            read(CONTENT + header + bytes(104))
    finally:
        tracemalloc.stop()


def test_other_files_are_refused() -> None:
    for content in (b"PK\x03\x04" + bytes(100), b"{}", b"[1, 2, 3]" * 50, b"\x89HDF\r\n\x1a\n" * 9):
        with pytest.raises(FormatError, match=r"some\.tfrecord: "):
            read(content)


def test_mutants_are_refused_in_little_memory() -> None:
    content = b"".join(frame(bytes([i]) * 300) for i in range(20))
    assert refused(read, content, n=200, seed=0, limit=2**23) > 180


# --- Protocol buffers ---------------------------------------------------------------------------------


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(1, 2**29 - 1), st.just(0), st.integers(0, 2**64 - 1)),
            st.tuples(st.integers(1, 2**29 - 1), st.just(1), st.binary(min_size=8, max_size=8)),
            st.tuples(st.integers(1, 2**29 - 1), st.just(2), st.binary(max_size=200)),
            st.tuples(st.integers(1, 2**29 - 1), st.just(5), st.binary(min_size=4, max_size=4)),
        ),
        max_size=8,
    )
)
def test_fields_come_back(fields: list[tuple[int, int, int | bytes]]) -> None:
    message = b""
    for number, wire, value in fields:
        message += varint(number * 8 + wire)
        if isinstance(value, int):
            message += varint(value)
        else:
            message += varint(len(value)) * (wire == 2) + value
    assert list(read_fields(message)) == fields


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"\x80", "no whole number of at most 64 bits at byte 0"),
        (b"\x08", "no whole number of at most 64 bits at byte 1"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "no whole number of at most 64 bits at byte 1"),
        (b"\x08" + b"\xff" * 30, "no whole number of at most 64 bits at byte 1"),
        (b"\x0b", "wire type 3"),
        (b"\x0f\x00", "wire type 7"),
        (b"\x09" + bytes(7), "field 1 has 8 bytes, but only 7 are left"),
        (b"\x0a\x05abcd", "field 1 has 5 bytes, but only 4 are left"),
        (b"\x0a" + varint(2**63), "but only 0 are left"),
        (b"\x0d\x00", "field 1 has 4 bytes, but only 1 are left"),
    ],
)
def test_no_messages(message: bytes, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        list(read_fields(message))


def test_mutants_of_messages_are_read_or_refused() -> None:
    message = delimited(1, double(1, 0.5) + double(2, 3.0)) + b"\x10" + varint(2_694_282)
    refused(lambda data: list(read_fields(data)), message, n=300, seed=0, limit=2**20)


@pytest.mark.slow
def test_ten_thousand_mutants() -> None:
    content = b"".join(frame(bytes([i]) * 300) for i in range(20))
    assert refused(read, content, n=10_000, seed=1, limit=2**23) > 9_000
