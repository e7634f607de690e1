"""The allow-list unpickler: plain data comes out, nothing else is loaded, let alone run."""

from __future__ import annotations

import functools
import io
import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nasbench_tab.errors import UnsafePickleError
from nasbench_tab.importers.unpickle import NUMPY_SCALARS, load_plain, read_plain

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
protocols = pytest.mark.parametrize("protocol", PROTOCOLS)


def load(data: bytes, allow: Any = None) -> Any:
    return load_plain(io.BytesIO(data), allow, "file.pkl")


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
