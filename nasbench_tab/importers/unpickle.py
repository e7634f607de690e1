"""Read a pickle that may hold plain data only: every global it names must be on an allow-list."""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import UnsafePickleError

__all__ = ["NUMPY_ARRAYS", "NUMPY_SCALARS", "NumberArray", "load_plain", "read_plain"]


def _text(code: Any) -> Any:
    """Return a code of Python 2's as text; with ``encoding="bytes"`` it arrives as bytes."""
    return code.decode("ascii") if isinstance(code, bytes) else code


class _NumberType:
    """Stands in for numpy.dtype, whose state a pickle can forge to read foreign memory."""

    def __init__(self, code: str | bytes, *_align_and_copy: bool) -> None:
        text: str = _text(code)
        if not re.fullmatch(r"b1|[iu][1248]|f[248]", text):
            raise ValueError(f"{text!r} is not the type of a number")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, order, *rest = state
        order = _text(order)
        if version != 3 or order not in ("<", ">", "|") or rest != [None, None, None, -1, -1, 0]:
            raise ValueError(f"{state!r} is not the state of a number's type")
        self.dtype = self.dtype.newbyteorder(order)


class _Scalar:
    """Stands in for the function that makes a number; nothing can be set on it, as on a function."""

    __slots__ = ()

    def __call__(self, kind: _NumberType, data: bytes) -> np.generic:
        (value,) = np.frombuffer(data, kind.dtype)
        number: np.generic = value
        return number

    def __setstate__(self, state: object) -> None:
        raise ValueError("a pickle sets a state on what makes its numbers")


_number = _Scalar()


_NDARRAY = object()  # stands in for numpy.ndarray: it can be named, but neither called nor changed


class NumberArray:
    """Stands in for an array of numbers, whose state a pickle can forge as well.

    Attributes:
        array: The array, read-only; without any element until the pickle has given its state.
    """

    # In a pickle, "_reconstruct" makes an empty array, and BUILD then hands it its state. A class with
    # __setstate__ in its place leaves BUILD nothing else to set, which a function would.

    def __init__(self, kind: object, shape: tuple[int, ...], code: str | bytes) -> None:
        if kind is not _NDARRAY or shape != (0,) or code not in ("b", b"b"):
            raise ValueError(f"({shape!r}, {code!r}) is not the start of a plain array")
        self.array: NDArray[Any] = np.empty(0, np.int8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, kind, fortran, data = state
        if (
            version != 1
            or type(shape) is not tuple
            or not all(type(length) is int and length >= 0 for length in shape)
            or type(kind) is not _NumberType
            or type(fortran) is not bool
            or type(data) is not bytes
        ):
            raise ValueError("the state of an array is not that of an array of numbers")
        size = math.prod(shape) * kind.dtype.itemsize
        if size != len(data):
            raise ValueError(f"an array of shape {shape} needs {size} bytes, {len(data)} are there")
        flat = np.frombuffer(data, kind.dtype)
        self.array = flat.reshape(shape, order="F" if fortran else "C")


#: What a pickle of NumPy numbers needs; pass it as ``allow``. Older files name the older module.
NUMPY_SCALARS: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
    ("numpy", "dtype"): _NumberType,
}

#: What a pickle of NumPy arrays of numbers needs; each of them comes out as a :class:`NumberArray`.
NUMPY_ARRAYS: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): NumberArray,
    ("numpy._core.multiarray", "_reconstruct"): NumberArray,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _NumberType,
}


class _Allowed:
    """Lets a pickle name what is allowed and nothing else; mixed into an unpickler."""

    _allow: Mapping[tuple[str, str], Any]
    _source: str

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed global; refuse every other one by name."""
        try:
            return self._allow[module, name]
        except KeyError:
            allowed = ", ".join(f"{m}.{n}" for m, n in self._allow) or "none"
            raise UnsafePickleError(
                f"{self._source} asks for {module}.{name}, which plain data does not need "
                f"(allowed: {allowed}). It was not loaded; get the file from its publisher again."
            ) from None


class _PlainUnpickler(_Allowed, pickle.Unpickler):
    def __init__(
        self, file: IO[bytes], allow: Mapping[tuple[str, str], Any], source: str, encoding: str
    ) -> None:
        super().__init__(file, encoding=encoding)
        self._allow, self._source = allow, source


class _SlowUnpickler(_Allowed, pickle._Unpickler):
    # A damaged or forged number can make the fast one set aside gigabytes before it reads on: room for what
    # it remembers, and for bytes that do not follow. This one remembers in a dict, and without the one
    # opcode that sets memory aside by its own number it cannot be made to.
    dispatch = {  # noqa: RUF012 - as the class below has it
        code: load
        for code, load in pickle._Unpickler.dispatch.items()
        if code != pickle.BYTEARRAY8[0]
    }

    def __init__(
        self, data: bytes, allow: Mapping[tuple[str, str], Any], source: str, encoding: str
    ) -> None:
        super().__init__(io.BytesIO(data), encoding=encoding)
        self._allow, self._source = allow, source


def load_plain(
    file: IO[bytes],
    allow: Mapping[tuple[str, str], Any] | None = None,
    source: str = "the pickle",
    *,
    encoding: str = "ASCII",
    bounded: bool = False,
) -> Any:
    """Return the object in an open pickle file.

    Args:
        file: Opened for reading in binary mode.
        allow: ``{(module, name): object}`` that the pickle may name; None allows nothing, so that
            only dicts, lists, tuples, strings, bytes and numbers can come out.
        source: The file's name, for messages.
        encoding: How to read the strings of a file that Python 2 wrote; "bytes" leaves them bytes.
        bounded: Whether memory must stay near the file's size whatever is in it; some 30 times slower.

    Raises:
        UnsafePickleError: It names something else, or is truncated or no pickle at all.
    """
    try:
        if bounded:
            return _SlowUnpickler(file.read(), allow or {}, source, encoding).load()
        return _PlainUnpickler(file, allow or {}, source, encoding).load()
    except UnsafePickleError:
        raise
    except Exception as err:  # a damaged pickle raises almost anything
        raise UnsafePickleError(
            f"{source} is not a complete pickle of plain data ({type(err).__name__}: {err}). "
            "Get the file again."
        ) from err


def read_plain(path: Path, allow: Mapping[tuple[str, str], Any] | None = None) -> Any:
    """Return the object in the pickle file at ``path``; see :func:`load_plain`."""
    with path.open("rb") as file:
        return load_plain(file, allow, str(path))
