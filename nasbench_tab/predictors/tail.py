"""Compress the long tail of accuracies or losses: a few broken networks would otherwise decide a fit.

``-log(c - y)`` for accuracies, whose tail is below; mirrored where it is above, and nothing where there is none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["compressed", "expanded", "tail_of"]

_Floats = NDArray[np.float64]


def tail_of(y: _Floats) -> tuple[int, float]:
    """Return which tail is compressed, and from where.

    Returns:
        1 where it is below, -1 where it is above, 0 where nothing is compressed; and ``c``.
    """
    middle = float(np.median(y))
    off = y - middle
    skew = float((off**3).mean())
    if np.ptp(y) == 0 or abs(skew) < 0.5 * float((off**2).mean()) ** 1.5:
        return 0, 0.0
    sign = 1 if skew < 0 else -1
    top = float((sign * y).max())
    # Half the way from the median to the best, beyond the best; measured against a tenth to three ways.
    margin = max(0.5 * (top - sign * middle), 0.1 * float(y.std()))
    # A margin below the values' last digit would leave nothing to take the logarithm of.
    return (sign, top + margin) if top + margin > top else (0, 0.0)


def compressed(y: _Floats, sign: int, edge: float) -> _Floats:
    """Return values with their tail compressed."""
    return -np.log(edge - sign * y) if sign else y


def expanded(z: _Floats, sign: int, edge: float) -> _Floats:
    """Return compressed values in their unit again."""
    return sign * (edge - np.exp(-z)) if sign else z
