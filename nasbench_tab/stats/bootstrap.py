"""Percentile bootstrap over runs: how far a mean would move, had other runs been drawn.

A resample draws as many runs as there are, with replacement. It is held as one row of weights (how
often each run was drawn, divided by the number of runs), so that one matrix product gives the
resampled means of a whole curve:

    >>> import numpy as np
    >>> weights = resampling_weights(4, 2000, np.random.default_rng(0))
    >>> interval = mean_interval(np.array([1.0, 2.0, 3.0, 4.0]), weights)
    >>> float(interval.low), float(interval.high)
    (1.5, 3.5)

The same weights for everything that is measured on the same runs keep a table and a chart in step.
The percentile interval is a little too short where there are few runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Interval", "mean_interval", "paired_difference", "resampling_weights"]


class Interval(NamedTuple):
    """An estimate and its percentile interval, all of one shape and in the data's unit.

    Attributes:
        estimate: The mean over the runs as they are.
        low: Lower end.
        high: Upper end.
    """

    estimate: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def resampling_weights(
    n_runs: int, repetitions: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return ``(repetitions, n_runs)`` weights; each row is one resample and sums to 1."""
    counts = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=repetitions)
    return counts / n_runs


def mean_interval(
    data: NDArray[np.float64], weights: NDArray[np.float64], level: float = 0.95
) -> Interval:
    """Return the mean over runs with its percentile interval.

    Args:
        data: ``(R,)`` one number per run, or ``(R, G)`` for ``G`` points of a curve; the band over
            a curve is pointwise.
        weights: ``(B, R)`` from :func:`resampling_weights`.
        level: Share of the resampled means that the interval holds.

    Returns:
        Arrays of shape ``()`` or ``(G,)``.
    """
    tail = (1 - level) / 2
    low, high = np.quantile(weights @ data, [tail, 1 - tail], axis=0)
    return Interval(np.asarray(data.mean(axis=0)), np.asarray(low), np.asarray(high))


def paired_difference(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    weights: NDArray[np.float64],
    level: float = 0.95,
) -> Interval:
    """Return the mean of ``first - second`` with its interval, where run ``i`` of both belong together.

    Args:
        first: ``(R,)`` one number per run.
        second: ``(R,)`` the other's, in the same order of runs.
        weights: ``(B, R)`` from :func:`resampling_weights`.
        level: As in :func:`mean_interval`.
    """
    return mean_interval(first - second, weights, level)
