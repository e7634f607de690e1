"""The winner's curse: how far the value that a cell was chosen by flatters it.

A search picks the cell whose one drawn training came out best, so that training was probably a lucky
one. The other trainings of the same cell, which the search did not see, have no such reason to be
lucky: the chosen value minus their mean estimates the optimism without bias and without any training.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.records import Direction

__all__ = ["Gaps", "gaps"]

_Floats = NDArray[np.float64]


class Gaps(NamedTuple):
    """How much each of ``R`` choices is flattered; positive = better than it is, NaN = not known.

    Attributes:
        observed: ``(R,)`` the observed value against the mean of the unseen trainings.
        mean: ``(R,)`` the mean over all trainings, the seen ones too, against the same: what is left
            of the optimism in a table's mean.
    """

    observed: _Floats
    mean: _Floats


def gaps(
    observed: _Floats, trainings: _Floats, seen: NDArray[np.bool_], direction: Direction
) -> Gaps:
    """Return the optimism of each choice.

    Args:
        observed: ``(R,)`` the value that it was chosen by.
        trainings: ``(R, S)`` the values of all trainings of the chosen cell, the observed one too;
            NaN where there is none.
        seen: ``(R, S)`` which of them the search saw.
        direction: Which way is better.

    Returns:
        NaN where no training was left unseen.
    """
    sign = 1.0 if direction == "max" else -1.0
    others = _row_means(trainings, np.isfinite(trainings) & ~seen)
    every = _row_means(trainings, np.isfinite(trainings))
    return Gaps(sign * (observed - others), sign * (every - others))


def _row_means(values: _Floats, which: NDArray[np.bool_]) -> _Floats:
    """Return ``(R,)`` means over the entries ``which``; NaN where there are none."""
    total, n = np.where(which, values, 0.0).sum(axis=1), which.sum(axis=1)
    return np.asarray(np.divide(total, n, out=np.full(len(values), np.nan), where=n > 0))
