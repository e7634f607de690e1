"""Means over cells with few of them: weighted, with an honest error, tests and the power that they have.

The standard error and degrees of freedom are those of Bell and McCaffrey ("Bias reduction in standard errors
for linear regression with multi-stage samples", Survey Methodology 28, 2002) for a mean with unequal
weights; for equal weights they are the textbook's ``s / sqrt(n)`` and ``n - 1``.

A search that picks the best claims picks the few that are far too good, and then the errors of its winners
are skewed and Student's interval misses them on one side. So every end of an interval is the farther one of
Student's and of Hall's, whose cubic transformation takes out the skewness (Hall, "On the removal of skewness
by transformation", Journal of the Royal Statistical Society B 54, 1992), and every p-value is the greater.
Without skewness the two agree but for the error of the skewness.

All functions on a :class:`Mean` take batches: a simulation of thousands of studies is one call.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_tab.records import Direction

__all__ = [
    "Mean",
    "cell_gaps",
    "cell_mean",
    "interval",
    "least_margin",
    "p_equivalence",
    "p_two_sided",
    "smallest_detectable",
    "total",
    "variance_parts",
]

_Floats = NDArray[np.float64]


class Mean(NamedTuple):
    """A mean over cells and what is known of its error; numbers, or arrays of one shape for a batch.

    Attributes:
        mean: Weighted mean.
        se: Its standard error, over cells.
        df: Degrees of freedom of ``se``.
        skewness: Of the mean's law, as far as the cells show it; 0 = Student's t alone.
    """

    mean: _Floats
    se: _Floats
    df: _Floats
    skewness: _Floats


def cell_gaps(claimed: _Floats, fresh: _Floats, direction: Direction) -> _Floats:
    """Return ``(..., n)`` claimed minus mean of the fresh values, positive = optimistic; NaN = no value.

    Args:
        claimed: ``(..., n)``.
        fresh: ``(..., n, R)``, NaN for a training that failed.
        direction: Which way is better.
    """
    known = np.isfinite(fresh)
    times = known.sum(axis=-1)
    sums = np.where(known, fresh, 0.0).sum(axis=-1)
    means = np.divide(sums, times, out=np.full(times.shape, np.nan), where=times > 0)
    return np.asarray((claimed - means) * (1.0 if direction == "max" else -1.0))


def cell_mean(gaps: _Floats, weights: ArrayLike = 1.0) -> Mean:
    """Return the weighted mean of ``(..., n)`` gaps over cells; NaN gaps are left out.

    The variance is the robust one, ``sum a_i**2 r_i**2`` over the residuals ``r``, with ``a`` such that it
    is unbiased where all cells are alike; the degrees of freedom are Satterthwaite's for that quadratic
    form. Fewer than two cells have no error.

    Args:
        gaps: One for each cell.
        weights: Like ``gaps`` or broadcast: runs that the cell won.
    """
    known = np.isfinite(gaps)
    share = np.where(known, weights, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = share / share.sum(axis=-1, keepdims=True)
        mean = (share * np.where(known, gaps, 0.0)).sum(axis=-1)
        squares = (share**2).sum(axis=-1)
        # Variance of a residual, in units of that of a cell: 1 - 2 p + sum p^2 of the shares p.
        own = np.where(share > 0, 1 - 2 * share + squares[..., None], 1.0)
        q = share**2 / own
        residuals = np.where(known, gaps - mean[..., None], 0.0)
        variance = (q * residuals**2).sum(axis=-1)
        # trace(G)^2 / trace(G^2), G_ij = sqrt(q_i q_j) (delta_ij - p_i - p_j + sum p^2), multiplied out.
        q0, q1, q2 = ((q * share**k).sum(axis=-1) for k in range(3))
        cross = squares**2 * q0**2 + 2 * q2 * q0 - 4 * squares * q1 * q0 + 2 * q1**2
        diagonal = (q**2 * (own**2 - (squares[..., None] - 2 * share) ** 2)).sum(axis=-1)
        df = squares**2 / (cross + diagonal)
        third = (share**3 * residuals**3).sum(axis=-1)
        skewness = np.where(variance > 0, third / variance**1.5, 0.0)
        blank = np.where(known.sum(axis=-1) < 2, np.nan, 1.0)
        return Mean(mean, np.sqrt(variance) * blank, df * blank, skewness * blank)


def total(one: Mean, other: Mean) -> Mean:
    """Return the sum of two independent means; the degrees of freedom are Welch's and Satterthwaite's."""
    first, second = one.se**2, other.se**2
    both = first + second
    with np.errstate(invalid="ignore", divide="ignore"):
        df = both**2 / (first**2 / one.df + second**2 / other.df)
        third = one.skewness * one.se**3 + other.skewness * other.se**3
        skewness = np.where(both > 0, third / both**1.5, 0.0)
    df = np.where(both > 0, df, np.minimum(one.df, other.df))
    return Mean(one.mean + other.mean, np.sqrt(both), df, skewness)


def interval(found: Mean, level: float = 0.95) -> tuple[_Floats, _Floats]:
    """Return both ends of the interval of a mean: of Student's and Hall's the farther ones."""
    from scipy.special import stdtrit  # here, since SciPy is slow to import

    t, a = np.asarray(stdtrit(found.df, (1 + level) / 2)), np.asarray(found.skewness)
    none = np.abs(a) < 1e-6
    a = np.where(none, 1.0, a)
    up, down = (np.where(none, x, 3 / a * (np.cbrt(1 + a * (x - a / 6)) - 1)) for x in (t, -t))
    return (
        found.mean - np.maximum(t, up) * found.se,
        found.mean + np.maximum(t, -down) * found.se,
    )


def p_two_sided(found: Mean) -> _Floats:
    """Return the p-value of the test that the mean is 0; at or below 0.05 where :func:`interval` excludes it."""
    from scipy.special import stdtr

    plain, cubic = _ratios(found, 0.0)
    return np.asarray(2 * stdtr(found.df, -np.minimum(np.abs(plain), np.abs(cubic))))


def p_equivalence(found: Mean, margin: ArrayLike) -> _Floats:
    """Return the p-value of the claim that the mean lies within ``-margin`` to ``margin``.

    The greater of two one-sided tests (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 1987).
    """
    from scipy.special import stdtr

    margin = np.asarray(margin, np.float64)
    above, below = np.maximum(*_ratios(found, margin)), np.minimum(*_ratios(found, -margin))
    return np.asarray(stdtr(found.df, np.maximum(above, -below)))


def smallest_detectable(se: float, df: float, level: float = 0.95, power: float = 0.8) -> float:
    """Return the bias that the two-sided t-test finds with probability ``power``; NaN without an error.

    Exact for Student's test, by the noncentral t: with few cells the usual 2.8 standard errors are too
    little. What the guard against skewness costs comes on top: from 83 to 79 % at 12 cells, nothing at 20.

    Args:
        se: Standard error of the mean, assumed or found.
        df: Its degrees of freedom.
        level: 1 minus the level of the test.
        power: Wanted probability, above ``1 - level``.

    Example:
        >>> round(smallest_detectable(1.0, 19), 3), round(smallest_detectable(1.0, 5), 3)
        (2.954, 3.514)
    """
    from scipy.optimize import brentq
    from scipy.special import gammaincinv, ndtr, stdtrit

    if not (se >= 0 and df > 0):
        return math.nan
    edge = float(stdtrit(df, (1 + level) / 2))
    # Over the law of the estimated error; SciPy's noncentral t gives NaN far out.
    nodes, share = np.polynomial.legendre.leggauss(200)
    spread = np.sqrt(2 * gammaincinv(df / 2, (1 + nodes) / 2) / df)

    def lacking(away: float) -> float:
        found = ndtr(away - edge * spread) + ndtr(-away - edge * spread)
        return power - float(share @ found) / 2

    return float(se * brentq(lacking, 0.0, 3 * edge + 5))


def least_margin(se: float, df: float, level: float = 0.95, power: float = 0.8) -> float:
    """Return the margin within which a mean of 0 is shown to lie with about probability ``power``."""
    from scipy.special import stdtrit

    if not (se >= 0 and df > 0):
        return math.nan
    return float(se * (stdtrit(df, level) + stdtrit(df, (1 + power) / 2)))


def variance_parts(claimed: _Floats, fresh: _Floats) -> tuple[float, float]:
    """Return the deviation of the claims' error between cells, and that between seeds of a cell.

    Analysis of variance with unequal numbers of trainings (Searle, Casella and McCulloch, "Variance
    Components", 1992, section 3.6); a negative part is 0. NaN where nothing can be said.

    Args:
        claimed: ``(n,)``.
        fresh: ``(n, R)``, NaN for a training that failed.
    """
    gaps = np.asarray(claimed)[:, None] - fresh
    known = np.isfinite(gaps)
    gaps, known = gaps[known.any(axis=1)], known[known.any(axis=1)]
    times, n = known.sum(axis=1), len(gaps)
    sums = np.where(known, gaps, 0.0).sum(axis=1)
    trained = int(times.sum())
    if trained <= n:
        return (math.nan, math.nan)
    means = sums / times
    within = np.where(known, (gaps - means[:, None]) ** 2, 0.0).sum() / (trained - n)
    if n < 2:
        return (math.nan, math.sqrt(within))
    between = (times * (means - sums.sum() / trained) ** 2).sum() / (n - 1)
    typical = (trained - (times**2).sum() / trained) / (n - 1)
    return math.sqrt(max(0.0, (between - within) / typical)), math.sqrt(within)


def _ratios(found: Mean, value: _Floats | float) -> tuple[_Floats, _Floats]:
    """Return the distance of the mean from ``value`` in errors: plain, and by the cubic transformation.

    Infinite where the error is 0, and 0 where both are.
    """
    away = np.asarray(found.mean - value, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.where((away == 0) & (found.se == 0), 0.0, away / found.se)
        a = np.asarray(found.skewness, np.float64)
        cubic = t + a * (t**2 / 3 + 1 / 6) + a**2 * t**3 / 27
    return t, np.where(np.isinf(t), t, cubic)
