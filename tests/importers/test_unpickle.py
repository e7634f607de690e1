"""The allow-list unpickler: plain data comes out, nothing else is loaded, let alone run."""

from __future__ import annotations

import functools
import io
import os
import pickle
import re
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nasbench_tab.errors import UnsafePickleError
from nasbench_tab.importers.unpickle import (
    NUMPY_ARRAYS,
    NUMPY_SCALARS,
    NumberArray,
    load_plain,
    read_plain,
)

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
protocols = pytest.mark.parametrize("protocol", PROTOCOLS)


def load(data: bytes, allow: Any = None, encoding: str = "ASCII") -> Any:
    """Read with the fast unpickler; the one of bounded memory must refuse what it refuses."""

    def read(bounded: bool) -> Any:
        file = io.BytesIO(data)
        return load_plain(file, allow, "file.pkl", encoding=encoding, bounded=bounded)

    told = []
    for bounded in (False, True):
        try:
            loaded = read(bounded)
        except UnsafePickleError as err:
            told.append(err)
    if not told:
        return loaded
    assert len(told) == 2, told
    if "asks for" in str(told[0]):  # damage is told in other words, what is not allowed in the same
        assert str(told[0]) == str(told[1])
    raise told[0]


class Planted:
    """Pickles as a call: what a tampered file would hold."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False).map(str),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@given(plain, st.sampled_from([3, 4, 5]))
def test_plain_data_come_back(data: object, protocol: int) -> None:
    assert load(pickle.dumps(data, protocol)) == data


@protocols
def test_what_the_packages_hold_comes_back(protocol: int) -> None:
    data = {"421211": {"val_acc": [82.092, 81.616], "latency": [0.0139], "n": (1, 2**70)}}
    assert load(pickle.dumps(data, protocol)) == data


@protocols
@pytest.mark.parametrize("number", [np.float64(0.1), np.float32(0.1), np.int64(-3), np.bool_(True)])
def test_numpy_scalars_need_the_allow_list(protocol: int, number: np.generic) -> None:
    data = pickle.dumps({"valid_perf": number}, protocol)
    with pytest.raises(
        UnsafePickleError,
        match=r"^file\.pkl asks for (numpy\._core\.multiarray\.scalar|numpy\.dtype"
        r"|_codecs\.encode), which plain data does not need \(allowed: none\)",
    ):
        load(data)
    if protocol > 2:  # the oldest write bytes by a call to _codecs.encode
        loaded = load(data, NUMPY_SCALARS)["valid_perf"]
        assert type(loaded) is type(number)
        assert loaded == number


def test_numpy_scalars_of_older_files_are_allowed() -> None:
    """NumPy 1 named the module numpy.core."""
    data = pickle.dumps(np.float64(0.1), 0).replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core.multiarray" in data
    allow = {**NUMPY_SCALARS, ("_codecs", "encode"): lambda text, _: text.encode("latin1")}
    assert load(data, allow) == np.float64(0.1)


class Forged:
    """Pickles as a NumPy dtype with a state of one's own choice."""

    def __init__(self, code: str, *state: object) -> None:
        self.code, self.state = code, state

    def __reduce__(self) -> tuple[object, ...]:
        return np.dtype, (self.code, False, True), self.state


FIELD = ("a",)


@pytest.mark.parametrize(
    ("dtype", "data"),
    [
        (np.dtype("O"), b"\x41" * 8),
        (np.dtype("O"), None),
        (np.dtype("V8"), b"\x41" * 8),
        (np.dtype([("a", "O")]), b"\x41" * 8),
        (Forged("V8", 3, "|", None, None, None, 8, 1, 1), b"\x41" * 8),
        (Forged("V8", 3, "|", None, None, None, 8, 1, 63), b"\x41" * 8),
        (Forged("V8", 3, "|", None, None, None, 80_000, 1, 0), b"\x41" * 8),
        (Forged("V8", 3, "|", None, FIELD, {"a": (np.dtype("O"), 0)}, 8, 1, 0), b"\x41" * 8),
        (Forged("V8", 3, "|", None, FIELD, {"a": (np.dtype("f8"), 2**30)}, 8, 1, 0), b"\x41" * 8),
        (Forged("V8", 3, "|", None, FIELD, {"a": (np.dtype("U8"), -4096)}, 8, 1, 0), b"\x41" * 8),
        (Forged("f8", 3, "<", None, None, None, -1, -1, 63), b"\x41" * 8),
        (np.dtype("f8"), b"\x41" * 4),
        (np.dtype("f8"), None),
    ],
)
def test_forged_numpy_scalars_are_refused(dtype: object, data: bytes | None) -> None:
    """A dtype of objects, or with fields outside its bytes, would read memory that is not its own.

    (So nothing here may look at what comes out: that is where it would crash.)
    """
    scalar: Any = np.float64(0.0).__reduce__()[0]
    with pytest.raises(UnsafePickleError, match=r"^file\.pkl "):
        load(pickle.dumps(Planted(scalar, dtype, data)), NUMPY_SCALARS)


@pytest.mark.parametrize("code", ["?", "i1", "u1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8"])
def test_numpy_numbers_of_every_kind_come_back(code: str) -> None:
    number = np.array([1], code)[0]
    loaded = load(pickle.dumps(number), NUMPY_SCALARS)
    assert (type(loaded), loaded) == (type(number), number)


@pytest.mark.parametrize("value", [np.arange(3), np.array([None])])
def test_numpy_arrays_are_not_scalars(value: object) -> None:
    with pytest.raises(UnsafePickleError, match=r"asks for numpy\..*allowed: numpy\.core\.multi"):
        load(pickle.dumps(value), NUMPY_SCALARS)


SET_PLANTED = b"}U\x07plantedK\x01s"


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
@pytest.mark.parametrize(
    "state",
    [SET_PLANTED, b"N" + SET_PLANTED + b"\x86", b"}U\x08__call__Ns", b"K\x01", b"N", b"}", b")"],
)
def test_a_pickle_can_set_nothing_on_what_makes_its_numbers(module: bytes, state: bytes) -> None:
    """What stands in for the function is shared by all pickles that a process reads."""
    stand_in = NUMPY_SCALARS[module.decode(), "scalar"]
    with pytest.raises(UnsafePickleError, match="is not a complete pickle of plain data"):
        load(b"\x80\x02c" + module + b"\nscalar\n" + state + b"b.", NUMPY_SCALARS)
    assert not hasattr(stand_in, "planted")
    assert load(pickle.dumps(np.float64(0.5)), NUMPY_SCALARS) == 0.5


# --- Arrays, in the layout that Python 2 wrote: protocol 2, strings of bytes ------------------------

RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
NDARRAY = b"cnumpy\nndarray\n"
EMPTY = RECONSTRUCT + NDARRAY + b"K\x00\x85U\x01b\x87R"  # _reconstruct(ndarray, (0,), "b")
MINUS_ONE = b"J\xff\xff\xff\xff"


def number_type(code: bytes, order: bytes) -> bytes:
    state = b"(K\x03U\x01" + order + b"NNN" + MINUS_ONE * 2 + b"K\x00tb"
    return b"cnumpy\ndtype\nU" + bytes([len(code)]) + code + b"K\x00K\x01\x87R" + state


def lengths(*shape: int) -> bytes:
    return b"(" + b"".join(b"J" + struct.pack("<i", length) for length in shape) + b"t"


def text(data: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(data)) + data


U1 = number_type(b"u1", b"|")
NO, YES = b"\x89", b"\x88"


def array_pickle(*state: bytes, start: bytes = EMPTY) -> bytes:
    return b"\x80\x02" + start + b"(" + b"".join(state) + b"tb."


@pytest.mark.parametrize("encoding", ["bytes", "latin1"])
@pytest.mark.parametrize("code", ["|b1", "|i1", "|u1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_python_2_come_back(code: str, order: Literal["C", "F"], encoding: str) -> None:
    expected = np.arange(6).reshape(2, 3).astype(code)
    kind = number_type(code[1:].encode(), code[:1].encode())
    data = text(expected.tobytes(order))
    whole = array_pickle(b"K\x01", lengths(2, 3), kind, YES if order == "F" else NO, data)
    with pytest.raises(UnsafePickleError, match=r"asks for numpy\.core\.multiarray\._reconstruct"):
        load(whole, NUMPY_SCALARS, encoding)
    if encoding == "bytes":
        loaded = load(whole, NUMPY_ARRAYS, encoding)
        assert type(loaded) is NumberArray
        assert loaded.array.dtype == expected.dtype
        np.testing.assert_array_equal(loaded.array, expected)
    else:  # the bytes of the array became text
        with pytest.raises(UnsafePickleError, match="not that of an array of numbers"):
            load(whole, NUMPY_ARRAYS, encoding)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1, 1, 1, 4)])
def test_arrays_of_every_shape_come_back(shape: tuple[int, ...]) -> None:
    data = text(bytes(int(np.prod(shape))))
    loaded = load(array_pickle(b"K\x01", lengths(*shape), U1, NO, data), NUMPY_ARRAYS, "bytes")
    assert loaded.array.shape == shape


@pytest.mark.parametrize("module", [b"numpy.core.", b"numpy._core."])
def test_arrays_that_python_3_wrote_come_back(module: bytes) -> None:
    expected = np.arange(6, dtype=">i4").reshape(2, 3).T
    data = pickle.dumps({"a": [expected]}, 3).replace(b"numpy._core.", module)
    loaded = load(data, {**NUMPY_SCALARS, **NUMPY_ARRAYS})["a"][0].array
    assert loaded.dtype == expected.dtype
    np.testing.assert_array_equal(loaded, expected)


def test_strings_of_python_2_are_read_as_the_caller_says() -> None:
    data = b"\x80\x02}U\x01aU\x01\xffs."
    assert load(data, encoding="bytes") == {b"a": b"\xff"}
    assert load(data, encoding="latin1") == {"a": "\xff"}
    with pytest.raises(UnsafePickleError, match=r"is not a complete pickle.*UnicodeDecodeError"):
        load(data)


OBJECTS = b"cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R"
FORGED: dict[str, bytes] = {
    "more than there is": array_pickle(b"K\x01", lengths(2**20), U1, NO, text(b"12345678")),
    "less than there is": array_pickle(b"K\x01", lengths(7), U1, NO, text(b"12345678")),
    "negative lengths": array_pickle(b"K\x01", lengths(-2, -4), U1, NO, text(b"12345678")),
    "a product past 2**64": array_pickle(
        b"K\x01", lengths(*[2**30] * 4), U1, NO, text(b"12345678")
    ),
    "nothing times too much": array_pickle(
        b"K\x01", lengths(0, *[2**30] * 4), U1, NO, text(b"")
    ),
    "too many dimensions": array_pickle(b"K\x01", lengths(*[1] * 70), U1, NO, text(b"1")),
    "a length that is no number": array_pickle(b"K\x01", b"(U\x018t", U1, NO, text(b"12345678")),
    "a length that is a truth": array_pickle(b"K\x01", b"(\x88t", U1, NO, text(b"1")),
    "a shape that is no tuple": array_pickle(b"K\x01", b"K\x08", U1, NO, text(b"12345678")),
    "objects": array_pickle(b"K\x01", lengths(1), OBJECTS, NO, text(b"12345678")),
    "objects in a list": array_pickle(b"K\x01", lengths(1), OBJECTS, NO, b"]K\x01a"),
    "numbers in a list": array_pickle(b"K\x01", lengths(1), U1, NO, b"]K\x01a"),
    "a record": array_pickle(
        b"K\x01", lengths(1), number_type(b"V8", b"|"), NO, text(b"12345678")
    ),
    "text": array_pickle(b"K\x01", lengths(2), number_type(b"U1", b"<"), NO, text(b"12345678")),
    "a type of no known order": array_pickle(
        b"K\x01", lengths(8), number_type(b"u1", b"?"), NO, text(b"12345678")
    ),
    "a type only named": array_pickle(b"K\x01", lengths(8), text(b"u1"), NO, text(b"12345678")),
    "an array for a type": array_pickle(b"K\x01", lengths(8), EMPTY, NO, text(b"12345678")),
    "no bytes": array_pickle(b"K\x01", lengths(8), U1, NO, b"N"),
    "an order that is a number": array_pickle(
        b"K\x01", lengths(8), U1, b"K\x02", text(b"12345678")
    ),
    "another version": array_pickle(b"K\x02", lengths(8), U1, NO, text(b"12345678")),
    "no version": array_pickle(lengths(8), U1, NO, text(b"12345678")),
    "a state that is a dict": b"\x80\x02" + EMPTY + b"}b.",
    "attributes": b"\x80\x02" + EMPTY + b"N}U\x05arrayK\x01s\x86b.",
    "another start": array_pickle(
        b"K\x01", lengths(1), U1, NO, text(b"1"),
        start=RECONSTRUCT + NDARRAY + b"J\xff\xff\xff\x7f\x85U\x01b\x87R",
    ),
    "a start of objects": RECONSTRUCT + NDARRAY + b"K\x00\x85U\x01O\x87R.",
    "a start of another class": RECONSTRUCT + b"cnumpy\ndtype\nK\x00\x85U\x01b\x87R.",
    "ndarray called": b"\x80\x02" + NDARRAY + lengths(8) + b"\x85R.",
    "ndarray made": b"\x80\x02" + NDARRAY + lengths(8) + b"\x85\x81.",
    "ndarray changed": b"\x80\x02" + NDARRAY + b"}U\x01aK\x01sb.",
    "ndarray changed by slots": b"\x80\x02" + NDARRAY + b"N}U\x01aK\x01s\x86b.",
    "_reconstruct changed": b"\x80\x02" + RECONSTRUCT + b"N}U\x08__init__K\x01s\x86b.",
    "numpy.dtype changed": b"\x80\x02cnumpy\ndtype\nN}U\x08__init__K\x01s\x86b.",
    "items set": b"\x80\x02" + EMPTY + b"K\x00K\x01s.",
    "items appended": b"\x80\x02" + EMPTY + b"K\x01a.",
}  # fmt: skip


@pytest.mark.parametrize("data", FORGED.values(), ids=FORGED.keys())
def test_forged_arrays_are_refused(data: bytes) -> None:
    """The sizes are Python's own integers and the bytes are the pickle's: nothing is read past them."""
    with pytest.raises(UnsafePickleError, match=r"^file\.pkl is not a complete pickle"):
        load(data, {**NUMPY_SCALARS, **NUMPY_ARRAYS}, "bytes")


def test_an_array_without_a_state_is_empty() -> None:
    assert load(b"\x80\x02" + EMPTY + b".", NUMPY_ARRAYS, "bytes").array.size == 0


def test_truncated_arrays_are_refused_wherever_they_end() -> None:
    whole = array_pickle(b"K\x01", lengths(2, 4), U1, NO, text(b"12345678"))
    assert load(whole, NUMPY_ARRAYS, "bytes").array.tobytes() == b"12345678"
    for length in range(len(whole)):
        with pytest.raises(UnsafePickleError, match=r"^file\.pkl "):
            load(whole[:length], NUMPY_ARRAYS, "bytes")


def test_allowed_globals_come_back_and_the_list_is_named() -> None:
    data = pickle.dumps(OrderedDict(a=1))
    assert load(data, {("collections", "OrderedDict"): OrderedDict}) == OrderedDict(a=1)
    with pytest.raises(
        UnsafePickleError,
        match=r"collections\.OrderedDict, which .* \(allowed: builtins\.frozenset\)\. "
        r"It was not loaded; get the file from its publisher again",
    ):
        load(data, {("builtins", "frozenset"): frozenset})


PLANTED: list[tuple[Callable[..., Any], tuple[Any, ...], str]] = [
    (os.system, ("touch {}",), f"{os.system.__module__}.system"),
    (os.mkdir, ("{}",), f"{os.mkdir.__module__}.mkdir"),
    (eval, ("__import__('pathlib').Path('{}').touch()",), "builtins.eval"),
    (exec, ("import pathlib; pathlib.Path('{}').touch()",), "builtins.exec"),
    (open, ("{}", "w"), f"{open.__module__}.open"),
    (functools.partial, (os.mkdir, "{}"), "functools.partial"),
    (getattr, (Path, "touch"), "builtins.getattr"),
    (__import__, ("this",), "builtins.__import__"),
    (Path, ("{}",), "pathlib"),
]


@protocols
@pytest.mark.parametrize(("function", "arguments", "name"), PLANTED, ids=[p[2] for p in PLANTED])
@pytest.mark.parametrize("allow", [None, NUMPY_SCALARS], ids=["nothing", "numpy"])
def test_planted_calls_are_refused_by_name_and_not_run(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    name: str,
    protocol: int,
    allow: Any,
    tmp_path: Path,
) -> None:
    trace = tmp_path / "it-ran"
    filled = tuple(a.format(trace) if isinstance(a, str) else a for a in arguments)
    for data in (Planted(function, *filled), {"val_acc": [1.0, Planted(function, *filled)]}):
        # The oldest protocols name the module as Python 2 did.
        words = re.escape(name).replace("builtins", "(builtins|__builtin__)")
        with pytest.raises(UnsafePickleError, match=rf"asks for {words}.*plain data does not need"):
            load(pickle.dumps(data, protocol), allow)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),  # INST
        (b"(cos\nsystem\nS'true'\no.", "os.system"),  # OBJ
        (b"c__builtin__\neval\n(S'1'\ntR.", "__builtin__.eval"),  # Python 2's name of the module
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "os.system"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__new__.\x93.", "numpy.dtype.__new__."),
        (b"\x80\x04\x8c\x05numpy\x8c\x0ddtype.__mro__\x93.", "numpy.dtype.__mro__"),
        (b"\x80\x02cnumpy\nload\nU\x01x\x85R.", "numpy.load"),
        (b"cnumpy.core.multiarray\nfrombuffer\n.", "numpy.core.multiarray.frombuffer"),
        (b"cnumpy.core.multiarray\n_reconstruct\n.", "numpy.core.multiarray._reconstruct"),
    ],
)
def test_every_opcode_that_names_a_global_is_guarded(data: bytes, name: str) -> None:
    with pytest.raises(UnsafePickleError, match=rf"asks for {re.escape(name)}, which plain data"):
        load(data, NUMPY_SCALARS)


@pytest.mark.parametrize("data", [b"Pthe id\n.", b"\x80\x02U\x06the idQ."], ids=["text", "binary"])
def test_persistent_ids_are_refused(data: bytes) -> None:
    with pytest.raises(UnsafePickleError, match=r"is not a complete pickle.*persistent"):
        load(data)


@pytest.mark.parametrize("data", [b"\x80\x02\x82\x01.", b"\x80\x02\x83\x01\x01."])
def test_extension_codes_are_refused(data: bytes) -> None:
    with pytest.raises(UnsafePickleError, match="is not a complete pickle of plain data"):
        load(data)


def test_truncated_pickle_is_refused_wherever_it_ends() -> None:
    whole = pickle.dumps({"421211": {"val_acc": [82.1, 81.6, 1e300], "name": "x" * 300}})
    assert load(whole)
    for length in range(len(whole)):
        with pytest.raises(
            UnsafePickleError,
            match=r"^file\.pkl is not a complete pickle of plain data \(.+\)\. Get the file again",
        ):
            load(whole[:length])


@given(st.binary(max_size=64), st.sampled_from([None, NUMPY_SCALARS]))
@example(b"", None)
@example(b"not a pickle", None)
@example(b"\x80\xff.", None)  # a protocol that is not known
@example(b"\x1f\x8b" + b"\0" * 20, None)  # gzip
@example(b"BZh91AY&SY", None)
@example(b"(" * 64, None)
@example(b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", None)  # a frame of 2**63 bytes
@example(b"\x80\x05\x8d\xff\xff\xff\xff\xff\xff\xff\x7f", None)  # a string of 2**63 bytes
@example(b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntRN\x85b.", NUMPY_SCALARS)
def test_garbage_is_refused_or_plain(data: bytes, allow: Any) -> None:
    """Never another exception, never anything but plain data."""
    try:
        loaded = load(data, allow)
    except UnsafePickleError:
        return
    assert isinstance(
        loaded,
        type(None) | bool | int | float | str | bytes | bytearray | list | dict | tuple | set
        | frozenset | np.generic | np.dtype | type,
    )  # fmt: skip


def test_deeply_nested_pickle_is_refused_not_a_crash() -> None:
    data = b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."
    assert isinstance(load(data), list)  # the unpickler does not recurse
    with pytest.raises(UnsafePickleError, match="is not a complete pickle"):
        load(b"\x80\x02" + b"]" * 200_000 + b"a" * 200_001 + b".")


def test_the_default_source_is_named() -> None:
    with pytest.raises(UnsafePickleError, match=r"^the pickle is not a complete pickle"):
        load_plain(io.BytesIO(b""))


def test_read_plain_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps({"a": np.float64(1.5)}))
    assert read_plain(path, NUMPY_SCALARS) == {"a": 1.5}
    with pytest.raises(UnsafePickleError, match=rf"^{re.escape(str(path))} asks for numpy"):
        read_plain(path)
    path.write_bytes(b"")
    with pytest.raises(UnsafePickleError, match=rf"^{re.escape(str(path))} is not a complete"):
        read_plain(path)


def test_official_records_need_exactly_this_allow_list(nats_file: Callable[[str], Any]) -> None:
    """The meta file names no globals; a record names OrderedDict and NumPy scalars."""
    assert set(nats_file("meta")) >= {"meta_archs", "total_archs", "arch2infos"}
    assert list(nats_file("000011")) == ["12", "200"]
