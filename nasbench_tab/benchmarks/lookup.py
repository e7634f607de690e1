"""Where is a cell in a large table? A hash table of arrays, which its file holds ready to be mapped.

A cell is a number in mixed radix. Its hash (multiplicative, Fibonacci's) names a slot, which holds the
cell's row; a slot that is taken sends to the next one. At most half of the slots are taken.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.records import Architecture

__all__ = ["Lookup", "finds_all", "lookup_of", "row_of", "rows_of"]

_FACTOR = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio
_WORD = 2**64 - 1
_CHUNK = 4096  # rows whose numbers stay in the cache


class Lookup(NamedTuple):
    """Where each of ``n`` cells is.

    Attributes:
        sizes: ``(cell length,)`` int64: one more than the largest option at each position.
        numbers: ``(n,)`` uint64: each row's cell as a number of those radices, first position first.
        slots: ``(2^k,)`` int32: a row, or -1.
    """

    sizes: NDArray[np.int64]
    numbers: NDArray[np.uint64]
    slots: NDArray[np.int32]


def lookup_of(cells: NDArray[np.uint8]) -> Lookup | None:
    """Return where each of ``(n, cell length)`` distinct cells is; None if their numbers pass 63 bits."""
    sizes = cells.max(axis=0).astype(np.int64) + 1
    if math.prod(sizes.tolist()) >= 2**63:
        return None
    numbers = _numbers(cells, sizes)
    slots = np.full(2 << len(cells).bit_length(), -1, np.int32)
    rows, places = np.arange(len(cells), dtype=np.int32), _places(numbers, len(slots))
    while len(rows):
        free = slots[places] < 0
        slots[places[free]] = rows[free]  # of those that want the same slot, one gets it
        left = slots[places] != rows
        rows, places = rows[left], (places[left] + 1) & (len(slots) - 1)
    return Lookup(sizes, numbers, slots)


def finds_all(lookup: Lookup, cells: NDArray[np.uint8]) -> bool:
    """Return whether a lookup gives each of ``(n, cell length)`` cells its row, and comes to an end for others."""
    sizes, numbers, slots = lookup
    n, most = len(cells), len(slots) - 1
    return (
        [part.dtype.str[1:] for part in lookup] == ["i8", "u8", "i4"]
        and sizes.shape == cells.shape[1:]
        and numbers.shape == (n,)
        and slots.shape == (1 << most.bit_length(),)
        and slots.min() == -1  # a free slot ends every search
        and slots.max() < n
        and np.array_equal(rows_of(lookup, cells), np.arange(n))
    )


def row_of(lookup: Lookup, cell: Architecture) -> int:
    """Return the row of one cell, -1 if it is in none."""
    number = 0
    for option, size in zip(cell, lookup.sizes.tolist(), strict=True):
        if option >= size:
            return -1
        number = number * size + option
    last = len(lookup.slots) - 1
    place = (number * _FACTOR & _WORD) >> (64 - last.bit_length())
    while (row := int(lookup.slots[place])) >= 0:
        if lookup.numbers[row] == number:
            return row
        place = (place + 1) & last
    return -1


def rows_of(lookup: Lookup, cells: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return the row of each of ``(n, cell length)`` cells, -1 for those in none."""
    if not len(cells):
        return np.empty(0, np.intp)
    if cells.min() < 0 or (cells.max(axis=0) >= lookup.sizes).any():
        known = ((cells >= 0) & (cells < lookup.sizes)).all(axis=1)
        rows = np.full(len(cells), -1, np.intp)
        rows[known] = rows_of(lookup, cells[known])
        return rows
    numbers = _numbers(cells, lookup.sizes)
    places = _places(numbers, len(lookup.slots))
    rows = lookup.slots[places].astype(np.intp)
    wrong = np.flatnonzero((lookup.numbers[rows] != numbers) & (rows >= 0))
    while len(wrong):
        places[wrong] = (places[wrong] + 1) & (len(lookup.slots) - 1)
        rows[wrong] = lookup.slots[places[wrong]]
        here = rows[wrong]
        wrong = wrong[(lookup.numbers[here] != numbers[wrong]) & (here >= 0)]
    return rows


def _numbers(cells: NDArray[np.integer], sizes: NDArray[np.int64]) -> NDArray[np.uint64]:
    weights = np.concatenate([np.cumprod(sizes[:0:-1])[::-1], np.ones(1, np.int64)])
    # Products of floats are several times as fast, and exact below 2^53.
    exact = math.prod(sizes.tolist()) <= 2**53
    weights = weights.astype(np.float64 if exact else np.int64)
    numbers = np.empty(len(cells), np.uint64)
    for start in range(0, len(cells), _CHUNK):
        part = cells[start : start + _CHUNK].astype(weights.dtype)
        numbers[start : start + _CHUNK] = part @ weights
    return numbers


def _places(numbers: NDArray[np.uint64], n_slots: int) -> NDArray[np.intp]:
    shift = np.uint64(64 - (n_slots - 1).bit_length())
    return ((numbers * np.uint64(_FACTOR)) >> shift).astype(np.intp)
