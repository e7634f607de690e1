"""The streaming reader of pickles: what the standard one reads, in little memory, and nothing else."""

from __future__ import annotations

import io
import math
import os
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import FormatError, UnsafePickleError
from nasbench_tab.importers import bytestream, unpickle_stream
from nasbench_tab.importers.bytestream import ByteStream
from nasbench_tab.importers.unpickle_stream import stream_plain

from .fuzzing import refused

PROTOCOLS = (2, 3, 4, 5)
protocols = pytest.mark.parametrize("protocol", PROTOCOLS)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=300)
    | st.binary(max_size=300)
)
keys = st.text(max_size=12) | st.integers(-(2**33), 2**33) | st.tuples(st.text(), st.integers())
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.tuples(inner, inner)
        | st.tuples(inner, inner, inner, inner)
        | st.dictionaries(keys, inner, max_size=6)
        | st.sets(st.integers(0, 300), max_size=6)
        | st.frozensets(st.text(max_size=3), max_size=3)
    ),
    max_leaves=30,
)


def read(data: bytes, **options: Any) -> Any:
    stream = ByteStream(io.BytesIO(data), "file.pkl", 2**40)
    value = stream_plain(stream, **options)
    stream.end()
    return value


def same(a: object, b: object) -> bool:
    """Equal in value and type; NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        return len(a) == len(b) and all(
            same(x, y)
            for pair in zip(a.items(), b.items(), strict=True)
            for x, y in zip(*pair, strict=True)
        )
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (
        isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)
    )


# --- What comes out -----------------------------------------------------------------------------------


@settings(max_examples=60)
@given(plain, st.sampled_from(PROTOCOLS))
def test_plain_data_come_out_as_from_the_standard_reader(value: object, protocol: int) -> None:
    assert same(read(pickle.dumps(value, protocol)), value)


@settings(max_examples=60)
@given(
    st.integers(1, 700),
    st.sampled_from(["small ints", "large ints", "texts", "shared texts", "mixed"]),
    st.sampled_from(PROTOCOLS),
    st.integers(0, 2**32 - 1),
)
def test_runs_of_pairs_come_out_as_from_the_standard_reader(
    n: int, kind: str, protocol: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=n).tolist()
    texts = [f"x-valid@{i}" for i in range(n)]
    made: dict[str, list[Any]] = {
        "small ints": [i % 256 for i in range(n)],
        "large ints": [300 + i for i in range(n)],
        "texts": [*texts],
        "shared texts": texts,
        "mixed": [texts[i] if i % 37 else i for i in range(n)],
    }
    one = dict(zip(made[kind], values, strict=True))
    other = dict(zip(made[kind], reversed(values), strict=True))
    data = {"before": list(range(n % 5)), "one": one, "other": other, "list": values}
    assert same(read(pickle.dumps(data, protocol)), data)


@protocols
def test_numpy_scalars_and_ordered_dicts_come_out_plain(protocol: int) -> None:
    data = OrderedDict(
        a=np.float64(0.1), b=[np.float32(0.5), np.int64(-7)], c=np.bool_(True), d=OrderedDict()
    )
    found = read(pickle.dumps(data, protocol))
    assert same(found, {"a": 0.1, "b": [0.5, -7], "c": True, "d": {}})


@protocols
def test_one_object_twice_is_one_object(protocol: int) -> None:
    inner = {"x": [1]}
    found = read(pickle.dumps([inner, inner, (inner, "text" * 99)], protocol))
    assert found[0] is found[1] is found[2][0]


def test_pickles_in_a_row_are_read_one_by_one() -> None:
    stream = ByteStream(io.BytesIO(pickle.dumps(1, 2) + pickle.dumps(["two"], 4)), "file", 2**20)
    assert stream_plain(stream) == 1
    assert stream_plain(stream) == ["two"]
    stream.end()


def test_a_string_larger_than_a_piece_is_read() -> None:
    text = "é" * 3_000_000
    assert read(pickle.dumps(text, 4)) == text


# --- Item by item -------------------------------------------------------------------------------------


def items_of(data: bytes) -> tuple[Any, dict[Any, Any]]:
    taken: dict[Any, Any] = {}

    def take(key: object, value: object) -> None:
        assert key not in taken
        taken[key] = value

    return read(data, items="items", take=take), taken


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 1000, 1001])
def test_items_are_handed_over_in_order(protocol: int, n: int) -> None:
    items = {i: OrderedDict(a={"values": {j: i + j / 7 for j in range(5)}}) for i in range(n)}
    outer, taken = items_of(
        pickle.dumps({"before": ["x"], "items": items, "after": {1, 2}}, protocol)
    )
    assert outer == {"before": ["x"], "items": {}, "after": {1, 2}}
    assert taken == items
    assert list(taken) == list(items)


@protocols
def test_a_dict_of_another_place_is_not_handed_over(protocol: int) -> None:
    contents: list[Any] = [
        {"x": {"items": {1: {}, 2: {}}}, "items": {3: {"a": {}}}},
        {"x": [{"items": {1: {}, 2: {}}}], "y": 1},
        {"x": {"items": {1: {}, 2: {}}}},
    ]
    for data in contents:
        outer, taken = items_of(pickle.dumps(data, protocol))
        assert outer == data
        assert not taken


@protocols
def test_items_of_one_key_are_whole(protocol: int) -> None:
    items = {i: {"a": {"b": {"c": {0: i / 3}}}} for i in range(5)}
    for data in ({"items": items}, {"items": items, "more": 1}):
        outer, taken = items_of(pickle.dumps(data, protocol))
        assert outer == {**data, "items": {}}
        assert taken == items


@protocols
def test_strings_and_numbers_of_earlier_items_can_be_referred_to(protocol: int) -> None:
    shared = ["first" * 2, "second" * 2]
    number = np.float64(0.25)
    items = {
        i: {"own": f"item {i}", "text": shared[i % 2], "number": number, "values": {f"k{i}": 1.0}}
        for i in range(300)
    }
    outer, taken = items_of(pickle.dumps({"items": items, "after": shared}, protocol))
    assert taken == items
    assert outer["after"] == shared


@protocols
def test_a_container_of_an_earlier_item_is_not_kept(protocol: int) -> None:
    shared = [1, 2, 3]
    items: dict[int, Any] = {i: {"x": {}} for i in range(9)}
    items[4], items[9] = {"x": shared}, shared
    data = pickle.dumps({"items": items}, protocol)
    with pytest.raises(UnsafePickleError, match="a container of an item that is complete"):
        items_of(data)


@pytest.mark.parametrize("protocol", [2, 4])
def test_memory_does_not_grow_with_the_items(
    protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bytestream, "_PIECE", 2**14)

    def peak(n: int) -> int:
        items = {
            i: {"name": f"item {i}", "curve": {f"x-valid@{j}": i + j / 7 for j in range(200)}}
            for i in range(n)
        }
        data = pickle.dumps({"items": items}, protocol)
        del items
        tracemalloc.start()
        count = []
        read(data, items="items", take=lambda key, _: count.append(key))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == list(range(n))
        return found

    few, many = peak(40), peak(120)
    # What is kept of an item: its name, and its memo packed; it has 25,000 bytes itself.
    assert many - few < 80 * 5000


def test_an_error_of_the_taker_is_its_own() -> None:
    def take(key: object, value: object) -> None:
        raise KeyError("no fault of the file")

    with pytest.raises(KeyError, match="no fault"):
        read(pickle.dumps({"items": {1: {}}}, 4), items="items", take=take)


# --- What is refused ----------------------------------------------------------------------------------


class Planted:
    def __reduce__(self) -> Any:
        return os.system, ("echo planted",)


@protocols
@pytest.mark.parametrize("place", ["alone", "in an item", "behind a run"])
def test_a_planted_global_is_refused_by_name_and_offset(protocol: int, place: str) -> None:
    bad: Any = {"alone": Planted(), "in an item": {"items": {1: {"x": Planted()}}}}.get(
        place, [{i: float(i) for i in range(99)}, Planted()]
    )
    with pytest.raises(UnsafePickleError, match=r"file.pkl, offset \d+.*'(posix|nt).system'"):
        read(pickle.dumps(bad, protocol), items="items")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "truncated|protocol 2 or newer"),
        (b"hello", "protocol 2 or newer"),
        (b"(dp0\n.", "protocol 2 or newer"),
        (b"\x80\x01N.", "protocol 1, where 2 to 5"),
        (b"\x80\x06N.", "protocol 6, where 2 to 5"),
        (b"\x80\x02N", "truncated"),
        (b"\x80\x02(N.", "stops in the middle"),
        (b"\x80\x02.", "stops in the middle"),
        (b"\x80\x02NN.", "stops in the middle"),
        (b"\x80\x02\x8c\x05abc.", "truncated"),
        (b"\x80\x02h\x05.", "memo"),
        (b"\x80\x02NBq", "truncated"),
        (b"\x80\x02Nq\x07.", "number 7 in the memo"),
        (b"\x80\x02}Nu.", "not begun"),
        (b"\x80\x02N(u.", "a NoneType, where a dict"),
        (b"\x80\x02}(Nu.", "a key without a value"),
        (b"\x80\x02}]Ns.", "as a key"),
        (b"\x80\x02\x85.", "a tuple of 1"),
        (b"\x80\x02X\x02\x00\x00\x00\xff\xff.", "can't decode"),
        (b"\x80\x02NNR.", "no function"),
        (b"\x80\x02NNb.", "has none"),
        (b"\x80\x02cos\nsystem\n.", "'os.system'"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n.", "network weights"),
        (b"\x80\x02X\x01\x00\x00\x000Q.", "BINPERSID"),
        (b"\x80\x02I1\n.", "the operation INT"),
        (b"\x80\x02\xff.", "the operation 0xff"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "OrderedDict of something else"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00rot\x86R.", "latin1"),
        (b"\x80\x02" + b"(" * 65, "more than 64 levels"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f", "an integer of"),
        (b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R.", "not the type of a number"),
    ],
)
def test_a_damaged_or_foreign_pickle_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        read(data)
    assert "file.pkl" in str(caught.value)


@pytest.mark.parametrize("code", [b"X", b"B", b"\x8d", b"\x8e"])
def test_an_announced_length_is_not_allocated(code: bytes) -> None:
    size = struct.pack("<I" if code in b"XB" else "<Q", 2**31 + 7)
    tracemalloc.start()
    with pytest.raises(FormatError, match="at most"):
        read(b"\x80\x04" + code + size + b"abc")
    with pytest.raises(FormatError, match="truncated"):
        read(b"\x80\x04" + code + struct.pack("<I" if code in b"XB" else "<Q", 2**26) + b"abc")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_a_bomb_of_operations_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpickle_stream, "_MOST_OPERATIONS", 2**15)

    class Nones:
        def __init__(self) -> None:
            self.start = b"\x80\x04"

        def read(self, n: int, /) -> bytes:
            piece, self.start = self.start + b"N" * n, b""
            return piece

    with pytest.raises(UnsafePickleError, match="far more than an official one"):
        stream_plain(ByteStream(Nones(), "bomb", 2**30))
    with pytest.raises(FormatError, match="unpacks to more than 1048576 bytes"):
        stream_plain(ByteStream(Nones(), "bomb", 2**20))


def copies(function: bytes, argument: bytes, rest: bytes, n: int) -> bytes:
    """Return a pickle that makes ``n`` new objects of one argument that it holds once."""
    call = b"h\x01h\x02" + (b"h\x03\x86" if rest else b"\x85") + b"R"
    return b"\x80\x02]q\x00(c" + function + b"\nq\x01" + argument + rest + call * n + b"e."


@pytest.mark.parametrize("n", [1, 400])
@pytest.mark.parametrize(
    ("function", "argument", "rest"),
    [
        (b"_codecs\nencode", b"X\0\0\1\0" + b"a" * 2**16 + b"q\x02", b"X\6\0\0\0latin1q\x03"),
        (b"builtins\nset", b"]q\x02(" + b"".join(b"M" + struct.pack("<H", i) for i in range(5000)) + b"e", b""),
        (b"collections\nOrderedDict", b"]q\x02(" + b"".join(b"M" + struct.pack("<H", i) + b"N\x86" for i in range(5000)) + b"e", b""),
    ],
    ids=["bytes", "set", "dict"],
)  # fmt: skip
def test_copies_of_one_argument_do_not_fill_the_memory(
    function: bytes, argument: bytes, rest: bytes, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpickle_stream, "_MOST_OPERATIONS", 2**17)
    data = copies(function, argument, rest, n)
    if n == 1:
        assert len(read(data)[-1]) in (2**16, 5000)
        return
    tracemalloc.start()
    try:
        with pytest.raises(UnsafePickleError, match="far more than an official one"):
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_nested_tuples_are_no_keys() -> None:
    # Their hash takes a time that doubles with each level.
    value: Any = 1
    for _ in range(40):
        value = (value, value)
    data = pickle.dumps(value, 4)[:-1]
    assert len(read(data + b".")) == 2
    with pytest.raises(UnsafePickleError, match="as a key"):
        read(b"\x80\x04}" + data[2:] + b"Ns.")


CONTENT = {
    "items": OrderedDict(
        (i, {"name": f"item {i}", "p": np.float64(i), "v": {j: j / 7 for j in range(9)}})
        for i in range(4)
    ),
    "t": ({"w": {f"x@{j}": j / 3 for j in range(9)}}, [None, True, b"x"], {1, 2}),
}
SMALL = pickle.dumps(CONTENT, 4)


def test_a_file_cut_at_any_byte_is_refused() -> None:
    assert items_of(SMALL)[1].keys() == {0, 1, 2, 3}
    for end in range(len(SMALL)):
        with pytest.raises(FormatError):
            items_of(SMALL[:end])


@pytest.mark.parametrize("protocol", [2, 4])
def test_mutants_are_read_or_refused(protocol: int) -> None:
    good = pickle.dumps(CONTENT, protocol)
    assert refused(lambda data: read(data, items="items"), good, 200, protocol, 2**22) > 80


@pytest.mark.slow
def test_many_mutants_are_read_or_refused() -> None:
    assert refused(lambda data: read(data, items="items"), SMALL, 10_000, 1, 2**22) > 3000
