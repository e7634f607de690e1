"""How the parts of tools/bench take and print times."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def timed(
    call: Callable[[], object], n: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the seconds of one of ``n`` calls in a row."""
    begin = clock()
    for _ in range(n):
        call()
    return (clock() - begin) / n


def side_by_side(
    calls: dict[str, tuple[Callable[[], object], int]],
    clock: Callable[[], float] = time.perf_counter,
    repeats: int = 15,
) -> dict[str, list[float]]:
    """Time all calls in turn, ``repeats`` times, after one round to warm up."""
    for call, n in calls.values():
        timed(call, max(1, n // 10), clock)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, (call, n) in calls.items():
            seconds[name].append(timed(call, n, clock))
    return seconds


def line(
    name: str, seconds: list[float], scale: float, unit: str, against: list[float] | None
) -> None:
    """Print median, range and, if there is a peer, the ratio peer / ours."""
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    text = f"  {name:<58}{middle * scale:>10.3f} {unit}  ({low * scale:.3f} to {high * scale:.3f})"
    if against is not None:
        ratio = statistics.median(b / a for a, b in zip(seconds, against, strict=True))
        text += f"   {ratio:.2f}x"
    print(text)
