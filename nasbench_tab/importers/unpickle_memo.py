"""What a pickle that is read item by item can still refer to.

A pickle refers to what came before by number. What an item that was handed over has put here is kept
packed: strings and numbers can still be referred to, containers can not.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any
from zlib import compress, decompress

import numpy as np
from numpy.typing import NDArray

__all__ = ["Memo"]

_MOST_BYTES = 2**28  # of all distinct strings and numbers
_MOST_FOUND = 2**20  # old numbers that stay unpacked


class Memo:
    """What a pickle refers to by number.

    Numbers ascend one by one, as every pickler writes them. What the last two items have put here is at
    hand; what is older is packed, as numbers in the list of all distinct strings and numbers.
    """

    def __init__(self) -> None:
        self._first: dict[int, Any] = {}
        self._previous: dict[int, Any] = {}
        self.recent: dict[int, Any] = {}
        self.next: int | None = None  # unknown until the first; some picklers start at 1
        self._starts: list[int] = []
        self._packed: list[bytes] = []
        self._values: list[Any] = [None]  # code 0: a container, which is not kept
        self._codes: dict[str, int] = {}
        self._bytes = 0
        self._unpacked: tuple[int, NDArray[np.uint32]] = (-1, np.empty(0, np.uint32))

    def put(self, value: Any, number: int | None) -> None:
        """Keep ``value``, under the next number if none is given."""
        expected = self.next if self.next is not None else min(number or 0, 1)
        if number is not None and number != expected:
            raise ValueError(f"number {number} in the memo, where {expected} is the next")
        self.recent[expected] = value
        self.next = expected + 1

    def put_all(self, values: list[Any]) -> None:
        """Keep all ``values`` under the next numbers."""
        start = self.next or 0
        self.recent.update(zip(range(start, start + len(values)), values, strict=True))
        self.next = start + len(values)

    def get(self, number: int) -> Any:
        """Return what was kept under ``number``."""
        for held in (self.recent, self._previous, self._first):
            if number in held:
                return held[number]
        chunk = bisect_right(self._starts, number) - 1
        if chunk < 0:
            raise ValueError(f"number {number} of the memo, which does not exist")
        if self._unpacked[0] != chunk:
            steps = np.frombuffer(decompress(self._packed[chunk]), np.uint32)
            self._unpacked = chunk, np.cumsum(steps, dtype=np.uint32)
        place = number - self._starts[chunk]
        if place >= len(self._unpacked[1]):
            raise ValueError(f"number {number} of the memo, which does not exist")
        code = int(self._unpacked[1][place])
        if not code:
            raise ValueError(
                f"number {number} of the memo, a container of an item that is complete"
            )
        if len(self._first) < _MOST_FOUND:  # asked for once, it is asked for again
            self._first[number] = self._values[code]
        return self._values[code]

    def turn(self) -> None:
        """Begin with a new item; pack what the item before the last one has put here."""
        if not self._first:
            self._first = self._previous  # what stands before all items, and the first of them
        elif self._previous:
            codes = np.fromiter(map(self._code, self._previous.values()), np.uint32)
            self._starts.append(next(iter(self._previous)))
            # Names that follow each other do so in every item: their differences pack well.
            steps = np.diff(codes, prepend=np.uint32(0))
            self._packed.append(compress(steps.tobytes(), 1))
        self._previous, self.recent = self.recent, {}

    def _code(self, value: Any) -> int:
        if type(value) is str:
            code = self._codes.get(value)
            if code is not None:
                return code
            self._codes[value] = code = self._new(value, len(value))
            return code
        if type(value) in (dict, list, tuple, set, frozenset, bytes):
            return 0
        return self._new(value, 8)

    def _new(self, value: Any, n_bytes: int) -> int:
        self._bytes += 64 + n_bytes
        if self._bytes > _MOST_BYTES:
            raise ValueError("too many distinct strings")
        self._values.append(value)
        return len(self._values) - 1
