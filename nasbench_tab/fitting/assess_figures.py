"""How a figure of an assessment is written: with its interval and its n, or with the reason why not.

An estimate is ``{"value", "low", "high", "n"}``; with fewer than 5 items it has no ends. What cannot be
known is not there, and named beside where it would be: ``"left_out": {name: reason}``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.stats.prediction import (
    kendall_interval,
    kendall_tau,
    proportion_interval,
    top,
)

__all__ = [
    "LEAST_TOP",
    "Known",
    "covered",
    "figure",
    "known",
    "leave_out",
    "mean_of",
    "merged",
    "tau_of",
    "top_tau_of",
]

_Floats = NDArray[np.float64]
_Rows = NDArray[np.intp]

#: Plain data for a report.
Known = dict[str, Any]

#: A tau of fewer networks is left out: of three it is 1 or a third.
LEAST_TOP = 10

_ALIKE = "the values of these networks, or their predictions, are all alike"


def leave_out(into: Known, name: str, reason: object) -> None:
    """Say in ``into`` why something is not there."""
    into.setdefault("left_out", {})[name] = str(reason)


def known(figures: Known, reason: str = _ALIKE) -> Known:
    """Return figures without those that are not numbers, which are left out with the reason."""
    result: Known = {}
    for name, figure in figures.items():
        value = figure["value"] if isinstance(figure, dict) and "value" in figure else figure
        if isinstance(value, float) and not math.isfinite(value):
            leave_out(result, name, reason)
        else:
            result[name] = figure
    return result


def merged(*parts: Known) -> Known:
    """Return dictionaries together; what each leaves out is left out."""
    result: Known = {}
    gone: dict[str, str] = {}
    for part in parts:
        result |= part
        gone |= part.get("left_out", {})
    return {**result, "left_out": gone} if gone else result


def figure(value: float, low: float, high: float, n: int) -> Known:
    """Return an estimate from ``n`` items with its 95 % interval, if it has one."""
    ends = {"low": float(low), "high": float(high)} if math.isfinite(low + high) else {}
    return {"value": float(value), **ends, "n": int(n)}


def mean_of(values: _Floats, lower: float = -math.inf, upper: float = math.inf) -> Known:
    """Return a mean with Student's interval, cut where no mean can lie."""
    from scipy.special import stdtrit

    n = len(values)
    half = stdtrit(n - 1, 0.975) * values.std(ddof=1) / math.sqrt(n) if n >= 5 else math.nan
    mean = float(values.mean()) if n else math.nan
    low, high = mean - half, mean + half
    return figure(
        mean, *((low, high) if math.isnan(half) else (max(low, lower), min(high, upper))), n
    )


def tau_of(predicted: _Floats, actual: _Floats) -> Known:
    """Return Kendall's tau-b with its interval."""
    low, high = kendall_interval(predicted, actual)
    return figure(kendall_tau(predicted, actual), low, high, len(actual))


def top_tau_of(predicted: _Floats, actual: _Floats) -> Known:
    """Return Kendall's tau among the true best tenth; greater is better."""
    chosen = top(actual)
    if len(chosen) < LEAST_TOP:
        gone: Known = {}
        reason = f"a tenth of these are {len(chosen)} networks; expected {LEAST_TOP}"
        leave_out(gone, "tau_top_10_percent", reason)
        return gone
    return known({"tau_top_10_percent": tau_of(predicted[chosen], actual[chosen])})


def covered(inside: NDArray[np.bool_], groups: _Rows) -> Known:
    """Return the share of runs that are inside, with the interval of Clopper and Pearson.

    Each network counts once, with the share of its runs: ``n`` is the number of networks.
    """
    _, number = np.unique(groups, return_inverse=True)
    shares = np.bincount(number, inside) / np.bincount(number)
    if not len(shares):
        return figure(math.nan, math.nan, math.nan, 0)
    return figure(shares.mean(), *proportion_interval(shares.sum(), len(shares)), len(shares))
