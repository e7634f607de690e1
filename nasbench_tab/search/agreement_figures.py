"""The figures of :mod:`nasbench_tab.search.agreement`, from its runs, as plain data.

Shapes: ``K`` strategies, ``R`` runs of each, ``E`` evaluations; ``(B, R)`` weights of resamples.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.stats.bootstrap import (
    Interval,
    mean_interval,
    percentile_interval,
    widened_level,
)
from nasbench_tab.stats.verdict import verdict

__all__ = ["curves", "distance", "estimate", "pair", "plain", "ranking", "taus"]

_Floats = NDArray[np.float64]
_POINTS = 40  # of a curve, at most


def distance(first: _Floats, second: _Floats) -> float:
    """Return the mean absolute distance between mean curves, ``(K, R, E)`` each."""
    return float(np.abs(first.mean(axis=1) - second.mean(axis=1)).mean())


def curves(arms: dict[str, _Floats], weights: _Floats) -> dict[str, Any]:
    """Return mean curves with pointwise bands of one strategy, ``{arm: (R, E)}``."""
    last = next(iter(arms.values())).shape[1]
    counts = np.unique(np.geomspace(1, last, _POINTS).round().astype(np.int64))
    return {
        "evaluations": counts.tolist(),
        **{name: _band(data[:, counts - 1], weights) for name, data in arms.items()},
    }


def estimate(data: _Floats, weights: _Floats) -> dict[str, float | None]:
    """Return the mean over ``(R,)`` runs with its interval."""
    return plain(mean_interval(data, weights, widened_level(len(data))))


def pair(
    names: tuple[str, str, str], first: _Floats, second: _Floats, weights: _Floats
) -> dict[str, dict[str, float | None]]:
    """Return the means of both, ``(R,)`` each, and that of ``second - first``, paired by run."""
    parts = zip(names, (first, second, second - first), strict=True)
    return {name: estimate(data, weights) for name, data in parts}


def ranking(
    strategies: Sequence[str], scores: dict[str, _Floats], weights: _Floats
) -> dict[str, Any]:
    """Return how orders agree.

    Args:
        strategies: Names.
        scores: ``(K, R)`` for ``"table"``, ``"surrogate"`` and ``"itself"``; greater is better.
        weights: Of resamples.
    """
    means = {name: score.mean(axis=1) for name, score in scores.items()}
    tau, tau_itself = (float(taus(means["table"], means[name])) for name in ("surrogate", "itself"))
    resampled = taus(weights @ scores["table"].T, weights @ scores["surrogate"].T)
    known = resampled[np.isfinite(resampled)] if np.isfinite(resampled).any() else resampled[:1]
    pairs = list(itertools.combinations(range(len(strategies)), 2))
    verdicts = {
        name: np.array([_better(score[a], score[b], weights) for a, b in pairs])
        for name, score in scores.items()
    }
    table, surrogate = verdicts["table"], verdicts["surrogate"]
    return {
        **{
            name: [strategies[k] for k in np.argsort(-means[name], kind="stable")]
            for name in ("table", "surrogate")
        },
        "tau": plain(percentile_interval(tau, known, weights.shape[1])),
        "tau_itself": tau_itself if math.isfinite(tau_itself) else None,
        "pairs": len(pairs),
        "agree": _share(table == surrogate),
        "agree_itself": _share(table == verdicts["itself"]),
        "contradict": _share(table * surrogate < 0),
    }


def taus(first: _Floats, second: _Floats) -> _Floats:
    """Return Kendall's tau-b of each row, ``(..., K)`` each; NaN where all of a row are equal.

    For a few columns and thousands of resamples, which one at a time take seconds.
    """
    a, b = np.triu_indices(first.shape[-1], 1)
    signs = [np.sign(data[..., a] - data[..., b]) for data in (first, second)]
    size = np.sqrt(np.abs(signs[0]).sum(axis=-1) * np.abs(signs[1]).sum(axis=-1))
    with np.errstate(invalid="ignore"):
        return np.asarray((signs[0] * signs[1]).sum(axis=-1) / size)


def _band(data: _Floats, weights: _Floats) -> dict[str, list[float]]:
    band = mean_interval(data, weights, widened_level(len(data)))
    return {"mean": band.estimate.tolist(), "low": band.low.tolist(), "high": band.high.tolist()}


def plain(found: Interval) -> dict[str, float | None]:
    """Return an interval of one number as an estimate: see :mod:`nasbench_tab.search.agreement`."""
    ends = (float(found.estimate), float(found.low), float(found.high))
    values = (end if math.isfinite(end) else None for end in ends)
    return dict(zip(("value", "low", "high"), values, strict=True))


def _better(first: _Floats, second: _Floats, weights: _Floats) -> int:
    """Return 1 or -1 where one of two is better beyond doubt, else 0."""
    found = verdict(first, second, math.nan, weights)
    return int(np.sign(found.difference.estimate)) if found.real else 0


def _share(which: NDArray[np.bool_]) -> float | None:
    return float(which.mean()) if len(which) else None  # one strategy alone: there is no pair
