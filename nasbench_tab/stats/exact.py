"""Random search without running it: its exact law, where that is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_of_draws"]


def best_of_draws(
    score: NDArray[np.float64],
    final: NDArray[np.float64],
    weight: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the expected ``final`` of the best-scored of ``k`` independent draws, for each ``k``.

    Each draw takes atom ``i`` with probability ``weight[i]``. The best of ``k`` draws falls into the
    group of equal scores whose cumulative weight rises from ``F_below`` to ``F`` with probability
    ``F**k - F_below**k``; within a group the first draw to come wins, so that an atom wins in
    proportion to its weight.

    Args:
        score: ``(A,)`` what the choice is made by; greater is better.
        final: ``(A,)`` what the chosen atom is worth.
        weight: ``(A,)`` probabilities; they sum to 1.
        counts: ``(C,)`` numbers of draws, each at least 1.

    Returns:
        ``(C,)`` expectations.
    """
    possible = weight > 0
    score, final, weight = score[possible], final[possible], weight[possible]
    _, group = np.unique(score, return_inverse=True)
    mass = np.bincount(group, weight)
    worth = np.bincount(group, weight * final) / mass
    cumulative = np.minimum(np.cumsum(mass), 1.0)
    cumulative[-1] = 1.0
    powers = np.exp(np.log(cumulative) * counts[:, None])  # half the time of a power
    return np.asarray(np.diff(powers, axis=1, prepend=0.0) @ worth)
