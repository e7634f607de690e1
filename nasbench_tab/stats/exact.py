"""Random search without running it: the law of the best of k draws, where that is known.

A draw takes one of ``A`` atoms. Each atom has a score, by which the best draw is chosen, and a final
value, which is what the choice is worth. The best of ``k`` independent draws falls into the group
of equal scores whose cumulative weight rises from ``F_below`` to ``F`` with probability
``F**k - F_below**k``. Without replacement, for equal weights, the power is the share of the
``k``-subsets that stay within the group and those below it. Within a group the first draw to come
wins, so that an atom wins in proportion to its weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVELS", "Law", "best_of_draws", "law_of_best", "mirrored", "sample_law"]

#: The quantiles of every :class:`Law`; symmetric about the median.
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)

_Floats = NDArray[np.float64]
_BLOCK = 16  # counts at a time: little memory, and few groups that no longer matter
_NEVER = -40.0  # logarithm of a probability that changes no figure (4e-18)


class Law(NamedTuple):
    """Mean, spread and quantiles of one number at ``C`` points.

    Attributes:
        mean: ``(C,)``.
        sd: ``(C,)`` standard deviation over runs.
        quantiles: ``(C, 5)`` at :data:`LEVELS`: the smallest value that is not exceeded with at
            least that probability.
    """

    mean: _Floats
    sd: _Floats
    quantiles: _Floats


def best_of_draws(
    score: _Floats,
    final: _Floats,
    weight: _Floats,
    counts: NDArray[np.int64],
    *,
    replacement: bool = True,
    reach: _Floats | None = None,
) -> _Floats:
    """Return the expected ``final`` of the best-scored of ``k`` draws, for each ``k``.

    Args:
        score: ``(A,)`` what the choice is made by; greater is better.
        final: ``(A,)`` what the chosen atom is worth.
        weight: ``(A,)`` probabilities; they sum to 1. Without replacement all are equal.
        counts: ``(C,)`` numbers of draws, each at least 1.
        replacement: Whether an atom may be drawn again.
        reach: ``(K,)`` probability that there are at least 1, 2 ... K draws, where drawing may end
            early for a reason that the atoms have no part in; ``K`` is at least the largest count.
            The law is that of the draws there were, given that there was one. None = certain.

    Returns:
        ``(C,)`` expectations.
    """
    possible = weight > 0
    score, final, weight = score[possible], final[possible], weight[possible]
    _, group = np.unique(score, return_inverse=True)
    mass = np.bincount(group, weight).astype(np.float64)
    worth = np.bincount(group, weight * final) / mass
    means = np.empty(len(counts))
    for rows, start, chance in _chances(mass, len(weight), counts, replacement, reach):
        means[rows] = chance @ worth[start:]
    return means


def law_of_best(
    score: _Floats,
    final: _Floats,
    weight: _Floats,
    counts: NDArray[np.int64],
    *,
    replacement: bool = True,
    reach: _Floats | None = None,
) -> Law:
    """Return the law of the ``final`` of the best-scored of ``k`` draws, for each ``k``.

    Arguments as in :func:`best_of_draws`.
    """
    order = np.flatnonzero(weight > 0)
    order = order[np.argsort(final[order], kind="stable")]
    score, final, weight = score[order], final[order], weight[order]
    _, group = np.unique(score, return_inverse=True)
    mass = np.bincount(group, weight).astype(np.float64)
    share = weight / mass[group]
    near = float(final[score.argmax()])  # where the best draw ends up: no digits are lost there
    off = final - near
    worth, square = (np.bincount(group, weight * x) / mass for x in (off, off**2))
    law = Law(np.empty(len(counts)), np.empty(len(counts)), np.empty((len(counts), len(LEVELS))))
    for rows, start, chance in _chances(mass, len(weight), counts, replacement, reach):
        mean = chance @ worth[start:]
        law.mean[rows] = near + mean
        law.sd[rows] = np.sqrt(np.maximum(chance @ square[start:] - mean**2, 0.0))
        held = np.flatnonzero(group >= start)
        place, part = group[held] - start, share[held]
        for i, row in enumerate(chance, rows.start):  # a row at a time stays in the cache
            law.quantiles[i] = final[held[_places(np.cumsum(np.take(row, place) * part))]]
    return law


def sample_law(values: _Floats) -> Law:
    """Return the law of ``(R, C)`` simulated values at each of ``C`` points, as estimated from them.

    NaN values are left out; a point without any is NaN throughout, one with a single value has no
    spread.
    """
    n_points = values.shape[1]
    law = Law(*(np.full((n_points, *more), np.nan) for more in ((), (), (len(LEVELS),))))
    for i, column in enumerate(values.T):
        known = np.sort(column[np.isfinite(column)])
        n = len(known)
        if n:
            law.mean[i] = known.mean()
            law.sd[i] = known.std(ddof=1) if n > 1 else np.nan
            law.quantiles[i] = known[_places(np.arange(1, n + 1) / n)]
    return law


def mirrored(law: Law, about: float) -> Law:
    """Return the law of ``about - x`` for the ``x`` of ``law``: a mirror image, quantiles too."""
    return Law(about - law.mean, law.sd, about - law.quantiles[:, ::-1])


def _places(cumulative: _Floats) -> NDArray[np.intp]:
    """Return ``(5,)``: where ``(n,)`` cumulative probabilities reach each of :data:`LEVELS`."""
    levels = np.array(LEVELS) - 1e-9  # what is a level up to rounding has reached it
    return np.minimum(np.searchsorted(cumulative, levels), len(cumulative) - 1)


def _chances(
    mass: _Floats, n: int, counts: NDArray[np.int64], replacement: bool, reach: _Floats | None
) -> Iterator[tuple[slice, int, _Floats]]:
    """Yield (which counts, first group, chance of each group from there on to hold the best)."""
    cumulative = np.minimum(np.cumsum(mass), 1.0)
    cumulative[-1] = 1.0
    if reach is not None and reach.min(initial=1.0) == 1.0:
        reach = None
    for first in range(0, len(counts), _BLOCK):
        rows = slice(first, first + _BLOCK)
        if reach is None:
            start, chance = _chance(cumulative, n, counts[rows], replacement)
            yield rows, start, chance
            continue
        drawn, mixture = _numbers_of_draws(reach, counts[rows])
        chance = np.zeros((len(mixture), len(mass)))
        for block in range(0, len(drawn), _BLOCK):
            some = slice(block, block + _BLOCK)
            start, part = _chance(cumulative, n, drawn[some], replacement)
            chance[:, start:] += mixture[:, some] @ part
        yield rows, 0, chance


def _chance(
    cumulative: _Floats, n: int, counts: NDArray[np.int64], replacement: bool
) -> tuple[int, _Floats]:
    """Return the first group that matters and ``(C, G - first)`` chances to hold the best draw."""
    # Subsets stay below a group less often than draws with replacement do, so one cut serves both.
    start = int(np.searchsorted(cumulative, np.exp(_NEVER / max(int(counts.min()), 1))))
    k, tail = counts[:, None].astype(np.float64), cumulative[start:]
    if replacement:
        within = np.exp(np.log(tail) * k)  # half the time of a power
    else:
        log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
        size, few = np.rint(tail * n).astype(np.int64), counts[:, None]
        ways = log_factorial[size] - log_factorial[np.maximum(size - few, 0)]
        all_ways = log_factorial[n] - log_factorial[np.maximum(n - few, 0)]
        within = np.where(size >= few, np.exp(ways - all_ways), 0.0)
        within[:, -1] = 1.0
    return start, np.diff(within, axis=1, prepend=0.0)


def _numbers_of_draws(
    reach: _Floats, counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], _Floats]:
    """Return which numbers of draws there may be, and ``(C, J)`` their probability at each count."""
    top = int(counts.max())
    ends = reach[:top] - np.append(reach[1:top], 0.0)  # at exactly 1, 2 ... draws
    number = np.arange(1, top + 1)
    mixture = np.where(number < counts[:, None], ends, 0.0)
    mixture[np.arange(len(counts)), counts - 1] = reach[counts - 1]
    mixture /= reach[0]
    possible = mixture.max(axis=0) > 1e-18
    return number[possible], mixture[:, possible]
