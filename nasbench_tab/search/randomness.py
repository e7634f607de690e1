"""Where every random number of a simulated search comes from.

A run's generator is spawned from (master seed, benchmark, strategy's label, run number),
never from a position in a list: adding a strategy or a benchmark changes no other run.

The training seed behind an answer is drawn by hashing (master seed, benchmark, run number, cell,
how often the cell was asked before). So run ``i`` of every strategy sees the same noise for the same
cell, whatever it asked before: differences between strategies are not blurred by different luck.
Workers that die have a generator of their own, likewise the same for run ``i`` of every strategy.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable

import numpy as np

__all__ = ["DeathDraw", "SeedDraw", "death_draw", "run_generator", "seed_draw"]

SeedDraw = Callable[[bytes, int, int], int]
DeathDraw = Callable[[float], float | None]


def run_generator(seed: int, benchmark: str, strategy: str, run: int) -> np.random.Generator:
    """Return the generator of one run of one strategy on one benchmark.

    ``strategy`` is its label: its name and the settings that differ from the defaults, so that a
    setting which comes later leaves the runs of those who do not use it alone.
    """
    identity = json.dumps([int(seed), benchmark, strategy, int(run)])
    return np.random.default_rng(
        int.from_bytes(hashlib.sha256(identity.encode()).digest(), "little")
    )


def seed_draw(seed: int, benchmark: str, run: int) -> SeedDraw:
    """Return the function ``(cell, times asked before, n) -> 0 ... n - 1`` of one run.

    The cell is given as bytes.
    """
    key = hashlib.sha256(json.dumps([int(seed), benchmark, int(run)]).encode()).digest()
    start = hashlib.blake2b(key=key, digest_size=8).copy

    def draw(cell: bytes, before: int, n: int) -> int:
        digest = start()
        digest.update(cell if not before else cell + before.to_bytes(8, "little"))
        return int.from_bytes(digest.digest(), "little") % n  # the bias is below n / 2**64

    return draw


def death_draw(seed: int, benchmark: str, run: int, failures: float | None) -> DeathDraw | None:
    """Return the function that says for each evaluation of one run, as it begins, when its worker dies.

    From the share of a full training that is to be done, to the part of that which gets done; None where
    the worker lives. ``failures`` is the probability for a full training; where there is none, no function.
    """
    if not failures:
        return None
    # No strategy has an empty label.
    rate, rng = -math.log1p(-failures), run_generator(seed, benchmark, "", run)

    def draw(share: float) -> float | None:
        part = float(rng.exponential()) / (rate * share)
        return part if part < 1 else None

    return draw
