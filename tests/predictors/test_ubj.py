"""UBJ: what XGBoost writes, documents of our own, and damage."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.ubj import parse


def length(n: int) -> bytes:
    return b"L" + struct.pack(">q", n)


def written(value: Any) -> bytes:
    """UBJ of plain data, with every kind of container."""
    if value is None or isinstance(value, bool):
        return {None: b"Z", True: b"T", False: b"F"}[value]
    if isinstance(value, int):
        return b"L" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"D" + struct.pack(">d", value)
    if isinstance(value, str):
        raw = value.encode()
        return b"S" + length(len(raw)) + raw
    if isinstance(value, dict):
        pairs = [length(len(key.encode())) + key.encode() + written(v) for key, v in value.items()]
        return b"{" + b"".join(pairs) + b"}"
    if len(value) % 2:
        return b"[#" + length(len(value)) + b"".join(map(written, value))
    return b"[" + b"".join(map(written, value)) + b"]"


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(plain)
def test_documents_are_read_as_written(value: Any) -> None:
    assert parse(written(value)) == value


@given(plain, st.data())
def test_a_document_cut_anywhere_is_refused(value: Any, data: Any) -> None:
    document = written(value)
    with pytest.raises(SurrogateError, match="cut short or altered"):
        parse(document[: data.draw(st.integers(0, len(document) - 1))])


@given(st.binary(max_size=60))
@settings(max_examples=300)
def test_any_bytes_are_a_document_or_refused(data: Any) -> None:
    for start in (b"", b"{", b"[", b"[$d#", b"[#L"):
        try:
            parse(start + data)
        except SurrogateError:
            continue


@pytest.mark.parametrize("marker", "iUIlLdD")
def test_typed_arrays_are_views_that_change_the_document(marker: str) -> None:
    code = {"i": "b", "U": "B", "I": "h", "l": "i", "L": "q", "d": "f", "D": "d"}[marker]
    document = bytearray(b"[$" + marker.encode() + b"#" + length(3))
    document += struct.pack(f">3{code}", 1, 2, 3)
    found = parse(document)
    assert found.tolist() == [1, 2, 3]
    found[1] = 9
    assert parse(document).tolist() == [1, 9, 3]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "ends too early"),
        (b"{" + length(1) + b"aTT", "a length is missing"),
        (b"TT", "goes on after its end"),
        (b"S" + length(-1), "length of -1"),
        (b"[$d#" + length(2**62), "more than what is left"),
        (b"[#" + length(2**62), "more than what is left"),
        (b"[$x#" + length(1), "no known type"),
        (b"x", "no marker"),
        (b"S" + length(1) + b"\xff", "not UTF-8"),
        (b"{" + (length(1) + b"aT") * 2 + b"}", "comes twice"),
        (b"[" * 100, "nested"),
        (b"Sd\x00\x00\x00\x00", "a length is missing"),
    ],
)
def test_what_is_wrong_is_said(document: bytes, words: str) -> None:
    with pytest.raises(SurrogateError, match=words):
        parse(document)


def test_a_model_of_xgboost_is_what_its_json_says() -> None:
    xgb = pytest.importorskip("xgboost")
    rng = np.random.default_rng(0)
    x = rng.random((60, 4)).astype(np.float32)
    data = xgb.DMatrix(x, label=x @ [1, 2, 3, 4])
    booster = xgb.train({"max_depth": 3, "nthread": 1, "tree_method": "hist"}, data, 4)
    booster.set_attr(note="of our own")

    def same(one: Any, other: Any) -> None:
        if isinstance(other, dict):
            assert set(one) == set(other)
            for key, value in other.items():
                same(one[key], value)
        elif isinstance(other, list):
            assert len(one) == len(other)
            for left, right in zip(one, other, strict=True):
                same(left, right)
        elif isinstance(other, float):
            assert float(one) == np.float32(other)
        else:
            assert one == other

    same(parse(bytes(booster.save_raw("ubj"))), json.loads(bytes(booster.save_raw("json"))))
