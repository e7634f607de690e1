"""How good predictions of values are: fit, rank, the best ones, and the doubt that was stated.

All functions take ``(n,)`` arrays; where they speak of the top, greater is better: turn the sign of
both where smaller is better.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.stats.bootstrap import Interval, percentile_interval, resampling_weights

__all__ = [
    "best_rank",
    "crps",
    "kendall_interval",
    "kendall_tau",
    "lower_fence",
    "point_scores",
    "precision_at",
    "proportion_interval",
    "ratio_interval",
    "regret_at",
    "spearman_interval",
    "spearman_rho",
    "tau_in_top",
    "top",
]

_Floats = NDArray[np.float64]

# Items whose own concordance gives the standard error of a tau, and resamples made at once.
_ITEMS, _BATCH = 2000, 100


def kendall_tau(predicted: _Floats, actual: _Floats) -> float:
    """Return Kendall's tau-b; NaN where one of the two is constant or there are fewer than two pairs."""
    from scipy.stats import kendalltau

    if len(predicted) < 2 or np.ptp(predicted) == 0 or np.ptp(actual) == 0:
        return math.nan
    return float(kendalltau(predicted, actual).statistic)


def kendall_interval(
    predicted: _Floats, actual: _Floats, level: float = 0.95
) -> tuple[float, float]:
    """Return an interval of Kendall's tau-b over the items that might have been drawn.

    tau is a U-statistic: its variance is about ``4 / n`` times that of each item's own mean concordance
    with the others (Hoeffding, Annals of Mathematical Statistics 1948). A bootstrap would draw items
    twice, and so make ties that are not there. NaN where tau is, and below 5 items.
    """
    from scipy.special import stdtrit

    n, tau = len(predicted), kendall_tau(predicted, actual)
    if n < 5 or math.isnan(tau):
        return math.nan, math.nan
    rows = np.unique(np.linspace(0, n - 1, min(n, _ITEMS)).round().astype(np.intp))
    own = np.array(
        [
            (np.sign(predicted[i] - predicted) * np.sign(actual[i] - actual)).sum() / (n - 1)
            for i in rows
        ]
    )
    pairs = n * (n - 1) / 2
    untied = math.sqrt(math.prod(pairs - _tied(part) for part in (predicted, actual))) / pairs
    half = float(stdtrit(n - 1, (1 + level) / 2)) * 2 * own.std(ddof=1) / math.sqrt(n) / untied
    return max(-1.0, tau - half), min(1.0, tau + half)


def spearman_rho(predicted: _Floats, actual: _Floats) -> float:
    """Return Spearman's rank correlation; NaN as for :func:`kendall_tau`."""
    from scipy.stats import spearmanr

    if len(predicted) < 2 or np.ptp(predicted) == 0 or np.ptp(actual) == 0:
        return math.nan
    return float(spearmanr(predicted, actual).statistic)


def spearman_interval(
    predicted: _Floats, actual: _Floats, level: float = 0.95
) -> tuple[float, float]:
    """Return an interval of Spearman's rank correlation over the items that might have been drawn.

    On Fisher's scale, with the standard error of Bonett and Wright, "Sample size requirements for
    estimating Pearson, Kendall and Spearman correlations", Psychometrika 2000. NaN where the correlation
    is, and below 5 items.
    """
    from scipy.special import ndtri

    n, rho = len(predicted), spearman_rho(predicted, actual)
    if n < 5 or math.isnan(rho):
        return math.nan, math.nan
    if abs(rho) > 1 - 1e-12:  # infinitely far on that scale
        return rho, rho
    half = float(ndtri((1 + level) / 2)) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def tau_in_top(predicted: _Floats, actual: _Floats, share: float = 0.1) -> float:
    """Return Kendall's tau among those that are truly in the top ``share``: the region that matters.

    A tau over everything is decided by telling bad from good.
    """
    chosen = top(actual, share)
    return kendall_tau(predicted[chosen], actual[chosen])


def top(values: _Floats, share: float = 0.1) -> NDArray[np.intp]:
    """Return the places of the greatest ``share``, at least two, best first; of equals the first."""
    return _best(values, max(2, round(share * len(values))))


def precision_at(predicted: _Floats, actual: _Floats, k: int) -> float:
    """Return the share of the ``k`` predicted best that are among the ``k`` true best.

    Raises:
        InvalidArgumentError: ``k`` is not between 1 and ``n``.
    """
    _check(k, len(actual))
    return len({*_best(predicted, k).tolist()} & {*_best(actual, k).tolist()}) / k


def regret_at(predicted: _Floats, actual: _Floats, k: int) -> float:
    """Return how far the best of the ``k`` predicted best is from the best of all, in units of ``actual``.

    Raises:
        InvalidArgumentError: ``k`` is not between 1 and ``n``.
    """
    _check(k, len(actual))
    return float(actual.max() - actual[_best(predicted, k)].max())


def best_rank(predicted: _Floats, actual: _Floats, k: int) -> int:
    """Return the best true rank, from 1, among the ``k`` predicted best (N@k).

    Raises:
        InvalidArgumentError: ``k`` is not between 1 and ``n``.
    """
    _check(k, len(actual))
    return 1 + int((actual > actual[_best(predicted, k)].max()).sum())


def lower_fence(values: _Floats) -> float:
    """Return the level below which a value is far out: three interquartile ranges below the lower quartile.

    Diverged networks and those at chance lie there, and a few of them make any R2 look good. Tukey,
    "Exploratory Data Analysis", 1977.
    """
    low, high = np.quantile(values, [0.25, 0.75])
    return float(low - 3 * (high - low))


def point_scores(predicted: _Floats, actual: _Floats) -> dict[str, float]:
    """Return mean absolute and root mean square error, mean error (predicted less actual) and R2."""
    error = predicted - actual
    spread = float(((actual - actual.mean()) ** 2).sum())
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
        "r2": 1 - float((error**2).sum()) / spread if spread > 0 else math.nan,
    }


def crps(quantiles: _Floats, levels: _Floats, actual: _Floats) -> float:
    """Return the continuous ranked probability score, from predicted quantiles.

    Twice the mean pinball loss over evenly spaced levels; for a certain prediction it is the mean
    absolute error, for a normal distribution whose truth is of it, sd / sqrt(pi). Gneiting and Raftery, "Strictly proper scoring rules", JASA 2007.

    Args:
        quantiles: ``(n, L)``.
        levels: ``(L,)`` midpoints of even steps from 0 to 1: ``(i + 1/2) / L``.
        actual: ``(n,)``.
    """
    off = actual[:, None] - quantiles
    return float(2 * np.where(off >= 0, levels * off, (levels - 1) * off).mean())


def proportion_interval(successes: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson (Biometrika 1934) of a proportion.

    Args:
        successes: 0 to ``n``; a sum of shares need not be whole.
        n: Independent trials, at least 1.
        level: Least coverage.

    Raises:
        InvalidArgumentError: No trials, or more successes than trials.
    """
    from scipy.special import betaincinv

    if not (n >= 1 and 0 <= successes <= n):
        raise InvalidArgumentError(f"Successes must be 0 to n >= 1; got {successes!r} of {n!r}.")
    tail = (1 - level) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return low, high


def ratio_interval(
    one: _Floats, other: _Floats, rng: np.random.Generator, resamples: int = 2000
) -> Interval:
    """Return the ratio of two means over the same items, with a bootstrap interval over the items.

    Args:
        one: ``(n,)``, for example absolute errors.
        other: ``(n,)`` of the same items; its mean is not 0.
        rng: Of the resamples.
        resamples: How many.
    """
    ratios: list[float] = []
    while len(ratios) < resamples:
        weights = resampling_weights(len(one), min(_BATCH, resamples - len(ratios)), rng)
        below = weights @ other
        # A resample without any error of the other: beyond all bounds, not missing.
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios += np.where(below > 0, weights @ one / below, np.inf).tolist()
    estimate = float(one.mean() / other.mean())
    return percentile_interval(estimate, np.array(ratios), len(one))


def _tied(values: _Floats) -> float:
    """Return the number of pairs that are alike."""
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1) / 2).sum())


def _best(values: _Floats, k: int) -> NDArray[np.intp]:
    """Return the places of the ``k`` greatest; of equals the first."""
    return np.argsort(-values, kind="stable")[:k]


def _check(k: int, n: int) -> None:
    if not 1 <= k <= n:
        raise InvalidArgumentError(f"k must be 1 to {n}, the number of predictions; got {k!r}.")
