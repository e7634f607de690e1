"""Damaged official files: refused with our errors and little memory, wherever the damage is."""

from __future__ import annotations

import bz2
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nasbench_tab.errors import FormatError
from nasbench_tab.importers.nats_files import read_records
from nasbench_tab.importers.nats_records import records_of, unpacked
from nasbench_tab.spaces.nats_size import NatsSize

from . import official_nats as made
from .fuzzing import refused

LIMIT = 2**23
SCHEDULES = {"01": (1, {"cifar10-valid": (777,), "cifar100": (777, 888)})}


def content() -> dict[str, Any]:
    space = NatsSize()
    space.size = 5
    return made.official(0, [0, 3, 4], space, SCHEDULES)


CONTENT = content()
FILES: dict[str, bytes] = {
    "bzip2": made.packed(CONTENT),
    "plain": pickle.dumps(CONTENT, 4),
    "torch": made.torch_legacy(CONTENT),
    "torch zip": made.torch_zip(CONTENT),
}


@pytest.fixture
def reader(tmp_path: Path) -> Callable[[bytes], None]:
    """Reads a whole single file."""
    path = tmp_path / "file"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_records(path, lambda index, records: None)

    return read


def record(data: bytes) -> object:
    return records_of(unpacked(data, "record"))


def record_inside(data: bytes) -> object:
    return record(bz2.compress(data, 1))


RECORD = pickle.dumps(CONTENT["arch2infos"][3], 4)


@pytest.mark.parametrize("kind", FILES)
def test_a_whole_file_is_read(kind: str, reader: Callable[[bytes], None]) -> None:
    reader(FILES[kind])


@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_at_any_byte_is_refused(kind: str, reader: Callable[[bytes], None]) -> None:
    data = FILES[kind]
    # Every byte near both ends, and some of what is alike between them.
    places = {*range(100), *range(0, len(data), 997), *range(len(data) - 60, len(data))}
    for end in sorted(places & set(range(len(data)))):
        with pytest.raises(FormatError):
            reader(data[:end])


def test_a_record_cut_at_any_byte_is_refused() -> None:
    data = bz2.compress(RECORD)
    assert record(data)
    for end in range(len(data)):
        with pytest.raises(FormatError):
            record(data[:end])


def test_a_wrong_checksum_is_refused() -> None:
    data = bytearray(bz2.compress(RECORD))
    data[12] ^= 1  # of the block's CRC
    with pytest.raises(FormatError, match="cannot be unpacked"):
        record(bytes(data))


def test_a_bomb_is_refused() -> None:
    packer = bz2.BZ2Compressor(1)
    bomb = packer.compress(b"\x80\x04B" + (2**25).to_bytes(4, "little"))
    bomb += b"".join(packer.compress(bytes(2**20)) for _ in range(18)) + packer.flush()
    assert len(bomb) < 2**14
    with pytest.raises(FormatError, match="unpacks to more than 16777216 bytes"):
        record(bomb)


@pytest.mark.parametrize("kind", FILES)
def test_mutants_of_files(kind: str, reader: Callable[[bytes], None]) -> None:
    assert refused(reader, FILES[kind], 24, 1, LIMIT) > 5


def test_mutants_of_records() -> None:
    assert refused(record_inside, RECORD, 200, 2, LIMIT) > 80


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_many_mutants_of_files(kind: str, reader: Callable[[bytes], None]) -> None:
    assert refused(reader, FILES[kind], 2_500, 3, LIMIT) > 500


@pytest.mark.slow
def test_many_mutants_of_records() -> None:
    assert refused(record_inside, RECORD, 10_000, 4, LIMIT) > 4_000
