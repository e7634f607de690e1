"""Columns in files: what is kept is what was written, at the precision that it needs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import ResultsError
from nasbench_tab.importers import scratch
from nasbench_tab.importers.scratch import ScratchColumn


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
