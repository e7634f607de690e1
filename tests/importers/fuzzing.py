"""Damage good files in many ways, and see that a reader refuses them with our errors and little memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np

from nasbench_tab.errors import NasbenchTabError


def mutants(good: bytes, n: int, seed: int) -> Iterator[bytes]:
    """Yield ``n`` damaged copies: cut, bits flipped, bytes set to extremes, pieces moved or repeated."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        data = bytearray(good)
        kind = i % 6
        if kind == 0:  # cut anywhere
            del data[int(rng.integers(len(data))) :]
        elif kind == 1:  # some bits
            for place in rng.integers(len(data), size=int(rng.integers(1, 9))).tolist():
                data[place] ^= 1 << int(rng.integers(8))
        elif kind == 2:  # lengths and counts that are far too large
            place = int(rng.integers(len(data)))
            data[place : place + 8] = bytes([int(rng.choice([0, 1, 127, 128, 255]))]) * int(
                rng.integers(1, 9)
            )
        elif kind == 3:  # a piece that is missing
            place = int(rng.integers(len(data)))
            del data[place : place + int(rng.integers(1, 64))]
        elif kind == 4:  # a piece that stands twice, somewhere else
            start = int(rng.integers(len(data)))
            place = int(rng.integers(len(data)))
            data[place:place] = data[start : start + int(rng.integers(1, 256))]
        else:  # noise
            place = int(rng.integers(len(data)))
            data[place : place + 32] = rng.bytes(int(rng.integers(1, 32)))
        yield bytes(data)


def refused(read: Callable[[bytes], object], good: bytes, n: int, seed: int, limit: int) -> int:
    """Read ``n`` mutants; return how many were refused. Any other error than ours fails the test.

    Args:
        read: Reads a file's content; raises our errors or returns what it holds.
        good: A file that is read without an error.
        n: How many mutants.
        seed: Of the damage.
        limit: Bytes of Python memory that one reading may take at its peak.
    """
    count = 0
    tracemalloc.start()
    try:
        for i, mutant in enumerate(mutants(good, n, seed)):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                read(mutant)
            except NasbenchTabError:
                count += 1
            except BaseException as err:
                raise AssertionError(
                    f"mutant {i} of seed {seed}: {type(err).__name__}: {err}"
                ) from err
            peak = tracemalloc.get_traced_memory()[1] - before
            assert peak <= limit, f"mutant {i} of seed {seed} took {peak} bytes"
    finally:
        tracemalloc.stop()
    return count
