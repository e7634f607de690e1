"""Universal Binary JSON, read with nothing but NumPy: the format of XGBoost's model files.

Only reading, so that trees can be walked without loading XGBoost. The specification is draft 12 of
ubjson.org; arrays of one type of number become NumPy arrays that look at the document's own bytes, so
that a ``bytearray`` can be changed through them.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np

from nasbench_tab.errors import SurrogateError

__all__ = ["parse"]

_NUMBERS: Final = {
    ord(marker): struct.Struct(code)
    for marker, code in zip("iUIlLdD", (">b", ">B", ">h", ">i", ">q", ">f", ">d"), strict=True)
}
_DTYPES: Final = {marker: np.dtype(code.format) for marker, code in _NUMBERS.items()}
_CONSTANTS: Final = {ord("T"): True, ord("F"): False, ord("Z"): None}
_LENGTHS: Final = {marker: _NUMBERS[marker] for marker in map(ord, "iUIlL")}
_OBJECT, _END_OBJECT, _ARRAY, _END_ARRAY, _TEXT, _TYPE, _COUNT = map(ord, "{}[]S$#")
_DEEPEST = 32


def parse(data: bytes | bytearray) -> Any:
    """Return what a document holds: dicts, lists, strings, numbers and NumPy arrays.

    Raises:
        SurrogateError: It is not one whole document.
    """
    reader = _Reader(data)
    try:
        found = reader.value(reader.marker(), 0)
    except (struct.error, IndexError):
        raise reader.wrong("it ends too early") from None
    except UnicodeDecodeError:
        raise reader.wrong("a text is not UTF-8") from None
    if reader.at != len(data):
        raise reader.wrong("it goes on after its end")
    return found


class _Reader:
    """Where the reading is. Whatever reads past the end raises IndexError or struct.error."""

    def __init__(self, data: bytes | bytearray) -> None:
        self.data, self.at = data, 0

    def wrong(self, what: str) -> SurrogateError:
        return SurrogateError(
            f"A model file is not the UBJ document that XGBoost writes: {what} (byte {self.at} of "
            f"{len(self.data)}). It was cut short or altered; fetch or fit the surrogate again."
        )

    def marker(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def number(self, marker: int) -> Any:
        code = _NUMBERS[marker]
        (found,) = code.unpack_from(self.data, self.at)
        self.at += code.size
        return found

    def length(self, size: int = 1) -> int:
        """Return a number of things of at least ``size`` bytes each that can still follow."""
        code = _LENGTHS.get(self.data[self.at])
        if code is None:
            raise self.wrong("a length is missing")
        n: int = code.unpack_from(self.data, self.at + 1)[0]
        self.at += 1 + code.size
        if not 0 <= n * size <= len(self.data) - self.at:
            raise self.wrong(f"a length of {n} is more than what is left")
        return n

    def text(self) -> str:
        n = self.length()
        self.at += n
        return self.data[self.at - n : self.at].decode()

    def value(self, marker: int, depth: int) -> Any:
        if marker == _ARRAY:
            return self.array(depth)
        if marker == _TEXT:
            return self.text()
        if marker == _OBJECT:
            return self.object(depth)
        if marker in _NUMBERS:
            return self.number(marker)
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        raise self.wrong(f"there is no marker {bytes([marker])!r}")

    def object(self, depth: int) -> dict[str, Any]:
        self.check(depth)
        found: dict[str, Any] = {}
        while self.data[self.at] != _END_OBJECT:
            key = self.text()
            if key in found:
                raise self.wrong(f"the name {key!r} comes twice")
            found[key] = self.value(self.marker(), depth + 1)
        self.at += 1
        return found

    def array(self, depth: int) -> Any:
        self.check(depth)
        ahead = self.data[self.at]
        if ahead == _TYPE:
            dtype = _DTYPES.get(self.data[self.at + 1])
            if dtype is None or self.data[self.at + 2] != _COUNT:
                raise self.wrong("an array of no known type")
            self.at += 3
            n = self.length(dtype.itemsize)
            begin = self.at
            self.at += n * dtype.itemsize
            return np.frombuffer(self.data, dtype, n, begin)
        if ahead == _COUNT:
            self.at += 1
            return [self.value(self.marker(), depth + 1) for _ in range(self.length())]
        found = []
        while self.data[self.at] != _END_ARRAY:
            found.append(self.value(self.marker(), depth + 1))
        self.at += 1
        return found

    def check(self, depth: int) -> None:
        if depth > _DEEPEST:
            raise self.wrong(f"it is nested more than {_DEEPEST} deep")
