"""JSON of others: bounded, no key twice, errors that say where, in a time that grows with the file only."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nasbench_tab.errors import FormatError
from nasbench_tab.importers.plainjson import parsed, read_file


def test_a_key_that_stands_twice_is_named() -> None:
    for text in ('{"b": 1, "a": 1, "a": 2}', '[{"x": {"a": 1, "b": 2, "a": 1}}]'):
        with pytest.raises(FormatError, match=r"file is not .*key 'a' stands there twice"):
            parsed(text.encode(), "file")


def test_a_key_that_stands_twice_is_found_at_once_among_many() -> None:
    keys = ", ".join(f'"{i}": 0' for i in range(100_000))
    start = time.process_time()
    with pytest.raises(FormatError, match="'99999' stands there twice"):
        parsed(f'{{{keys}, "99999": 1}}'.encode(), "file")
    assert time.process_time() - start < 5  # looking at every pair takes minutes


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_lacks(word: str) -> None:
    with pytest.raises(FormatError, match=f"{word} is no number of JSON"):
        parsed(word.encode(), "file")
    assert parsed(word.encode(), "file", nan=True) != 0


def test_what_is_no_json_is_refused() -> None:
    for data in (b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5_000, b"1 2"):
        with pytest.raises(FormatError, match="file is not the JSON that was expected"):
            parsed(data, "file")


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"x" * 10)
    assert read_file(path, 10) == b"x" * 10
    with pytest.raises(FormatError, match="larger than 9 bytes"):
        read_file(path, 9)
    for wrong in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FormatError, match="cannot be read"):
            read_file(wrong, 9)
