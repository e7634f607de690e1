"""How good the predictions of held-out networks are, beside what a second training says of the first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.fitting.fit import HeldOut
from nasbench_tab.predictors.base import Runs
from nasbench_tab.predictors.intervals import COVERAGES, Bands
from nasbench_tab.predictors.model import Surrogate, total_sd
from nasbench_tab.records import Metric
from nasbench_tab.stats.prediction import (
    best_rank,
    crps,
    kendall_tau,
    point_scores,
    precision_at,
    regret_at,
    tau_in_top,
)

__all__ = [
    "LEVELS",
    "held_out_scores",
    "interval_scores",
    "network_means",
    "rank_scores",
    "seed_ceiling",
]

_Floats = NDArray[np.float64]

#: Levels of the quantiles behind the CRPS.
LEVELS = (np.arange(40) + 0.5) / 40


def held_out_scores(
    runs: Runs, metric: str, found: HeldOut, surrogate: Surrogate
) -> dict[str, Any]:
    """Return scores of the final value, plain numbers by name.

    Ranks and errors are those of networks, against the mean over their runs; coverage and CRPS those of
    single runs, since one training is what an interval is about.

    Args:
        runs: All.
        metric: Which.
        found: What was predicted of each run while its network was held out.
        surrogate: Its intervals, which were calibrated on these very predictions.
    """
    values, mean = runs.curves[metric][:, -1], found.mean[:, -1]
    first, actual = network_means(runs.groups, values)
    model = surrogate.models[metric]
    scores = rank_scores(mean[first], actual, model.metric)
    scores |= seed_ceiling(runs, metric)
    noise = model.noise.sd_at(mean, len(runs.epochs) - 1)
    sd = total_sd(found.sd_model[:, -1], noise)
    scores |= interval_scores(model.band(runs.epochs[-1]), mean, sd, values)
    scores["seed_sd"] = float(np.median(noise)) if model.noise.known else math.nan
    return {
        **{key: value for key, value in scores.items() if not math.isnan(value)},
        "networks": len(first),
    }


def network_means(groups: NDArray[np.intp], values: _Floats) -> tuple[NDArray[np.intp], _Floats]:
    """Return a row of each network, and the mean of ``(n,)`` values over each network's rows."""
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    return first, np.bincount(number, values) / np.bincount(number)


def rank_scores(predicted: _Floats, actual: _Floats, metric: Metric) -> dict[str, Any]:
    """Return fit and rank of ``(n,)`` predictions, in the metric's unit."""
    sign = 1.0 if metric.direction == "max" else -1.0
    n = len(actual)
    up, true = sign * predicted, sign * actual
    return {
        "tau": kendall_tau(up, true),
        "tau_top_10_percent": tau_in_top(up, true),
        "precision_at_1_percent": precision_at(up, true, max(1, round(0.01 * n))),
        "precision_at_10_percent": precision_at(up, true, max(1, round(0.1 * n))),
        **{f"regret_at_{k}": regret_at(up, true, k) for k in (1, 5, 10) if k <= n},
        **{f"best_rank_of_{k}": float(best_rank(up, true, k)) for k in (10,) if k <= n},
        **point_scores(predicted, actual),
    }


def interval_scores(bands: Bands, mean: _Floats, sd: _Floats, actual: _Floats) -> dict[str, Any]:
    """Return CRPS, and coverage and mean width of the intervals, overall and for the predicted best."""
    scores: dict[str, Any] = {"crps": crps(bands.quantiles(mean, sd, LEVELS), LEVELS, actual)}
    for coverage in COVERAGES:
        lower, upper = bands.bounds(mean, sd, coverage)
        scores[f"coverage_{round(100 * coverage)}"] = float(
            ((actual >= lower) & (actual <= upper)).mean()
        )
        scores[f"width_{round(100 * coverage)}"] = float((upper - lower).mean())
    return scores


def seed_ceiling(runs: Runs, metric: str) -> dict[str, Any]:
    """Return what one training says of another of the same network: no predictor is asked for more.

    Kendall's tau and the mean absolute difference between the first two trainings (by seed) of the
    networks that have two; nothing where fewer than 10 have.
    """
    values = runs.curves[metric][:, -1]
    order = np.lexsort((runs.seeds, runs.groups))
    groups = runs.groups[order]
    second = np.flatnonzero(groups[1:] == groups[:-1]) + 1
    second = second[(second < 2) | (groups[second - 2] != groups[second])]  # and no third
    if len(second) < 10:
        return {"repeated_networks": len(second)}
    a, b = values[order[second - 1]], values[order[second]]
    return {
        "repeated_networks": len(second),
        "tau_between_seeds": kendall_tau(a, b),
        "mae_between_seeds": float(np.abs(a - b).mean()),
    }
