"""Columns in files: what is kept is what was written, at the precision that it needs."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import ResultsError
from nasbench_tab.importers import scratch
from nasbench_tab.importers.scratch import ScratchColumn, blank, scratch_folder


@given(
    st.sets(st.integers(0, 40), min_size=1),
    st.sets(st.integers(0, 3), min_size=1),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_rows_and_seeds_that_are_kept(
    rows: set[int], seeds: set[int], single: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(41, 4, 7))
    values[rng.random(values.shape) < 0.2] = np.nan
    if single:
        values = values.astype(np.float32).astype(np.float64)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "_BLOCK", int(rng.integers(1, 4000)))
        column = ScratchColumn(Path(folder) / "x", 4, 7)
        for row in rng.permutation(sorted(rows)).tolist():
            column.write(row, values[row])
        kept, places = sorted(rows), sorted(seeds)
        found = column.finish(kept, places)
        expected = values[kept][:, places]
        assert np.array_equal(found, expected, equal_nan=True)
        written = values[kept]
        needs = written.astype(np.float32) != written
        assert found.dtype == (np.float64 if (needs & ~np.isnan(written)).any() else np.float32)
        assert column.empty == bool(np.isnan(written).all())
        del found


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk() -> None:
    column = ScratchColumn(Path("/dev/full"), 1, 1)
    with pytest.raises(ResultsError, match="free space"):
        column.write(0, np.ones((1, 1)))
    column.close()
    assert Path("/dev/full").exists()


def test_a_short_write_is_continued(tmp_path: Path) -> None:
    column = ScratchColumn(tmp_path / "x", 2, 50)

    class Slow:
        def __init__(self, file: object) -> None:
            self.file = file

        def write(self, data: memoryview) -> int:
            return self.file.write(data[:7])  # type: ignore[attr-defined,no-any-return]

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

    column._file = Slow(column._file)  # type: ignore[assignment]
    values = np.arange(300, dtype=float).reshape(3, 2, 50) / 7
    for row in range(3):
        column.write(row, values[row])
    column._file = column._file.file  # type: ignore[attr-defined]
    assert np.array_equal(column.finish([0, 1, 2], [0, 1]), values)


def test_a_blank_array(tmp_path: Path) -> None:
    values = blank(tmp_path / "x", (3, 2, 5))
    assert values.shape == (3, 2, 5)
    assert np.isnan(values).all()
    values[2, 1, 4] = 1.5
    assert values[2, 1, 4] == 1.5


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs a disk that reserves room")
def test_a_blank_array_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ResultsError, match=r"No space left.*free space"):
        blank(tmp_path / "x", (3, 2, 5))


def test_a_folder_for_scratch_files(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"

    def fail() -> None:
        with scratch_folder(out) as folder:
            blank(folder / "x", (4,))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not list(out.iterdir())
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "file" / "x", tmp_path / ("x" * 300)):
        with pytest.raises(ResultsError, match="cannot be written to"), scratch_folder(wrong):
            pass


@pytest.mark.skipif(os.name != "posix", reason="files that are open keep their names")
def test_a_killed_process_leaves_no_bytes(tmp_path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
import numpy as np
from nasbench_tab.importers.scratch import ScratchColumn, blank, scratch_folder

with scratch_folder(Path(sys.argv[1])) as folder:
    column = ScratchColumn(folder / "a", 1, 1000)
    column.write(0, np.zeros((1, 1000)))
    kept = column.finish([0], [0]), blank(folder / "b", (1000,))
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
