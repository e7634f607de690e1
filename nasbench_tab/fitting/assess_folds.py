"""Assessment out of fold: every network is predicted once, by models that saw none of its trainings.

Intervals and seed noise are fitted without the fold they are judged on, too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.fitting.assess_figures import (
    Known,
    covered,
    figure,
    known,
    mean_of,
    merged,
    tau_of,
)
from nasbench_tab.fitting.assess_parts import (
    LEAST_TESTED,
    Data,
    Part,
    Task,
    ceiling,
    in_folds,
    need,
    scores_of,
)
from nasbench_tab.fitting.scores import LEVELS
from nasbench_tab.predictors.curves import fit_basis
from nasbench_tab.predictors.intervals import COVERAGES, Bands, calibrate
from nasbench_tab.predictors.model import total_sd
from nasbench_tab.predictors.noise import Noise, fit_noise
from nasbench_tab.stats.prediction import crps, ratio_interval, top

__all__ = ["Crossed", "crossed", "fold_tasks", "levels", "other_mean", "seeds"]

_Floats = NDArray[np.float64]
_Rows = NDArray[np.intp]


class Crossed(NamedTuple):
    """Predictions of ``n`` runs, out of fold; ``E`` epochs, of which ``G`` have intervals.

    Attributes:
        fold: ``(n,)``.
        mean: ``(n, E)``.
        places: ``(G,)`` places among the epochs that have intervals; the last is the last.
        sd: ``(n, G)`` deviation of one training around the mean.
        lower: ``(n, G)`` of the 90 % interval.
        upper: ``(n, G)`` of the same.
        bands: Of each fold, at the last epoch.
        noises: Of each fold.
    """

    fold: _Rows
    mean: _Floats
    places: _Rows
    sd: _Floats
    lower: _Floats
    upper: _Floats
    bands: tuple[Bands, ...]
    noises: tuple[Noise, ...]


def fold_tasks(data: Data, rng: np.random.Generator) -> tuple[_Rows, list[Task]]:
    """Return ``(n,)`` folds, and what :func:`crossed` needs to be fitted."""
    runs = data.runs
    targets = fit_basis(runs.epochs, data.values, runs.groups).compress(data.values)
    return in_folds(data, np.arange(len(targets)), targets, rng)


def crossed(data: Data, fold: _Rows, results: list[Any]) -> Crossed:
    """Return predictions of all runs.

    Raises:
        SurrogateError: Too few networks.
    """
    values, groups = data.values, data.runs.groups
    basis = fit_basis(data.runs.epochs, values, groups)
    mean, doubt = np.empty_like(values), np.empty_like(values)
    for out, result in enumerate(results):
        curves = basis.decode(need(result))
        mean[fold == out], doubt[fold == out] = curves.mean(axis=1), curves.std(axis=1, ddof=1)
    metric = data.runs.metrics[data.runs.objective]
    mean = np.clip(mean, metric.lower, metric.upper)
    places = basis.grid
    sd, lower, upper = (np.empty((len(values), len(places))) for _ in range(3))
    last, noises = [], []
    for out in range(len(results)):
        mine, rest = fold == out, fold != out
        noise = fit_noise(values[rest], groups[rest], mean[rest], data.runs.seeds[rest])
        noises.append(noise)
        for column, place in enumerate(places.tolist()):
            level = mean[:, place]
            whole = total_sd(doubt[:, place], noise.sd_at(level, place))
            there = rest & np.isfinite(values[:, place])
            bands = calibrate(values[there, place], level[there], whole[there], groups[there])
            sd[mine, column] = whole[mine]
            lower[mine, column], upper[mine, column] = bands.bounds(level[mine], whole[mine], 0.9)
        last.append(bands)
    limits = (metric.lower, metric.upper)
    return Crossed(
        fold, mean, places, sd, np.clip(lower, *limits), np.clip(upper, *limits), tuple(last), tuple(noises)
    )  # fmt: skip


def levels(data: Data, found: Crossed) -> Known:
    """Final values: overall, by tenth of the predicted level, and for the predicted best tenth."""
    first = data.first
    predicted = found.mean[first, -1]
    everyone = np.arange(len(first))
    overall = merged(scores_of(data, predicted, first), _interval_scores(data, found, everyone))
    order = np.argsort(predicted, kind="stable")
    bins = np.array_split(order, max(1, min(10, len(order) // 10)))
    best = top(data.sign * predicted)
    half = _plain_half_width(data, found)
    inside = np.abs(data.final - found.mean[:, -1]) <= half
    rows = np.isin(data.runs.groups, best)
    widths = (found.upper - found.lower)[first, -1]
    return {
        "all": overall,
        "bins": [_bin(data, found, chosen) for chosen in bins],
        "top_10_percent": {
            **scores_of(data, predicted[best], first[best]),
            **_bin(data, found, best),
            "plain_coverage_90": covered(inside[rows], data.runs.groups[rows]),
            "plain_width_90": float(2 * half[first[best]].mean()),
        },
        "plain_width_ratio_top": float((widths[best] / (2 * half[first[best]])).mean()),
    }


def seeds(data: Data, rng: np.random.Generator) -> Part:
    """One training of each network as label: who knows the mean of the others, a surrogate or the table?"""
    stream, resamples = rng.spawn(2)
    fold, tasks = in_folds(data, data.first, data.final[data.first, None], stream)

    def finish(results: list[Any]) -> Known:
        predicted = np.empty(len(data.first))
        for out, result in enumerate(results):
            predicted[fold == out] = need(result)[:, :, 0].mean(axis=1)
        others = other_mean(data, -1)
        chosen = np.flatnonzero(np.isfinite(others))
        if len(chosen) < LEAST_TESTED:
            raise SurrogateError(
                f"{len(chosen)} networks were trained with a second seed; expected {LEAST_TESTED}."
            )
        truth, table = others[chosen], data.final[data.first[chosen]]
        mine, its = np.abs(predicted[chosen] - truth), np.abs(table - truth)
        found: Known = {
            "labelled": len(data.first),
            "networks": len(chosen),
            "surrogate": known({"mae": mean_of(mine), "tau": tau_of(predicted[chosen], truth)}),
            "table": known({"mae": mean_of(its), "tau": tau_of(table, truth)}),
            "ceiling": ceiling(data),
        }
        if not its.any():
            raise SurrogateError("The second trainings repeat the first exactly: no seed noise.")
        ratio = ratio_interval(mine, its, resamples)
        found["mae_ratio"] = figure(
            float(ratio.estimate), float(ratio.low), float(ratio.high), len(chosen)
        )
        return found

    return Part("seeds", tasks, finish)


def other_mean(data: Data, place: int) -> _Floats:
    """Return ``(N,)`` the mean of each network's trainings but its first; NaN where there is none."""
    values, groups = data.values[:, place].copy(), data.runs.groups
    values[data.first] = np.nan
    there = np.isfinite(values)
    count = np.bincount(groups, there)
    total = np.bincount(groups, np.where(there, values, 0.0))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _interval_scores(data: Data, found: Crossed, networks: _Rows) -> Known:
    rows = np.flatnonzero(np.isin(data.runs.groups, networks))
    mean, sd, actual = found.mean[:, -1], found.sd[:, -1], data.final
    scores: Known = {"runs": len(rows)}
    lower, upper = np.empty_like(mean), np.empty_like(mean)
    quantiles = np.empty((len(mean), len(LEVELS)))
    for coverage in COVERAGES:
        for out, bands in enumerate(found.bands):
            mine = found.fold == out
            lower[mine], upper[mine] = bands.bounds(mean[mine], sd[mine], coverage)
        label, inside = round(100 * coverage), (actual >= lower) & (actual <= upper)
        scores[f"coverage_{label}"] = covered(inside[rows], data.runs.groups[rows])
        scores[f"width_{label}"] = float((upper - lower)[rows].mean())
    for out, bands in enumerate(found.bands):
        mine = found.fold == out
        quantiles[mine] = bands.quantiles(mean[mine], sd[mine], LEVELS)
    scores["crps"] = crps(quantiles[rows], LEVELS, actual[rows])
    return scores


def _bin(data: Data, found: Crossed, networks: _Rows) -> Known:
    """Return error, bias, coverage and width of some networks."""
    rows = np.flatnonzero(np.isin(data.runs.groups, networks))
    first = data.first[networks]
    error = found.mean[first, -1] - data.final[first]
    inside = (data.final >= found.lower[:, -1]) & (data.final <= found.upper[:, -1])
    return {
        "predicted_from": float(found.mean[first, -1].min()),
        "predicted_to": float(found.mean[first, -1].max()),
        "networks": len(networks),
        "runs": len(rows),
        "mae": mean_of(np.abs(error)),
        "bias": mean_of(error),
        "coverage_90": covered(inside[rows], data.runs.groups[rows]),
        "width_90": float((found.upper - found.lower)[first, -1].mean()),
    }


def _plain_half_width(data: Data, found: Crossed) -> _Floats:
    """Return ``(n,)`` half the width of plain split-conformal intervals: one for all of a fold."""
    off, groups = np.abs(data.final - found.mean[:, -1]), data.runs.groups
    weight = 1 / np.bincount(groups)[groups]
    half = np.empty_like(off)
    for out in range(len(found.bands)):
        rest = np.flatnonzero(found.fold != out)
        order = rest[np.argsort(off[rest], kind="stable")]
        total = np.cumsum(weight[order])
        place = np.searchsorted(total, 0.9 * (total[-1] + 1) - 1e-9)
        half[found.fold == out] = off[order[min(place, len(order) - 1)]]
    return half
