"""The unpickler of bounded memory: it reads what the fast one reads, and forged lengths fill nothing."""

from __future__ import annotations

import contextlib
import io
import pickle
import tracemalloc

import numpy as np
import pytest

from nasbench_tab.errors import UnsafePickleError
from nasbench_tab.importers.unpickle import NUMPY_ARRAYS, NUMPY_SCALARS, load_plain


@pytest.mark.parametrize("protocol", range(5))
def test_bounded_reading_gives_the_same(protocol: int) -> None:
    data = {"a": [1, 2.5, None, True, b"x", "ä"], "b": (np.float64(3.5), np.arange(4)), 7: {1, 2}}
    packed, allow = pickle.dumps(data, protocol=protocol), {**NUMPY_SCALARS, **NUMPY_ARRAYS}
    if protocol < 4:  # sets are a global there
        del data[7]
        packed = pickle.dumps(data, protocol=protocol)
    if protocol < 3:  # and bytes are a call
        data["a"][4] = "x"  # type: ignore[index]
        packed = pickle.dumps({key: data[key] for key in ("a",)}, protocol=protocol)
    fast, slow = (
        load_plain(io.BytesIO(packed), allow, bounded=bounded) for bounded in (False, True)
    )
    assert fast["a"] == slow["a"] == data["a"]
    if protocol >= 3:
        assert fast["b"][0] == slow["b"][0] == 3.5
        assert fast["b"][1].array.tolist() == slow["b"][1].array.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(b"K\x01r\xff\xff\xff\x0f.", id="place in the memo"),
        pytest.param(b"B\xff\xff\xff\x7f.", id="bytes"),
        pytest.param(b"\x8e\xff\xff\xff\xff\x00\x00\x00\x00.", id="many bytes"),
        pytest.param(b"\x96\xff\xff\xff\xff\x00\x00\x00\x00.", id="bytearray"),
        pytest.param(b"X\xff\xff\xff\x7f.", id="string"),
        pytest.param(b"\x8b\xff\xff\xff\x7f.", id="number"),
        pytest.param(b"\x95\xff\xff\xff\xff\x00\x00\x00\x00.", id="frame"),
    ],
)
def test_forged_lengths_take_no_memory_when_bounded(forged: bytes) -> None:
    tracemalloc.start()
    try:
        with contextlib.suppress(UnsafePickleError):
            load_plain(io.BytesIO(b"\x80\x04" + forged), bounded=True)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
