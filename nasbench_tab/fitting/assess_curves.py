"""Assessment of learning curves: by epoch, simulated trainings beside real ones, and curves seen in part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.fitting.assess_figures import Known, covered, known, leave_out, tau_of
from nasbench_tab.fitting.assess_folds import Crossed, other_mean
from nasbench_tab.fitting.assess_parts import LEAST_TESTED, Data, ceiling, scores_of
from nasbench_tab.predictors.noise import keys_of
from nasbench_tab.predictors.partial import MIN_NETWORKS
from nasbench_tab.stats.prediction import point_scores

__all__ = ["epochs", "partial"]

_Floats = NDArray[np.float64]
_Rows = NDArray[np.intp]

#: Trainings simulated for each real one, to compare with.
_SIMULATED = 20


def epochs(data: Data, found: Crossed) -> Known:
    """Return scores by epoch beside a table of one training, and how simulated trainings behave."""
    if len(data.runs.epochs) < 2:
        raise SurrogateError(f"Only epoch {data.runs.epochs[0]} is known: there are no curves.")
    each = [_at(data, found, column) for column in range(len(found.places))]
    report: Known = {"each": each, "average": _average(each)}
    if all(noise.known for noise in found.noises):
        report["simulated"] = _simulated_scores(data, found)
    else:
        leave_out(report, "simulated", "too few networks were trained more than once")
    return report


def partial(data: Data) -> Known:
    """Return, for each number of epochs seen, which extrapolation the surrogate uses, and how each did.

    They were fitted and compared out of fold when the surrogate was fitted.
    """
    fitted = data.surrogate.partial
    if fitted is None:
        raise SurrogateError(
            f"Curves that are seen in part need two epochs and {MIN_NETWORKS} networks with complete runs; "
            f"got {len(data.runs.epochs)} epochs and {len(data.first)} networks."
        )
    complete = np.isfinite(data.values).all(axis=1)
    if fitted.with_losses and data.runs.losses is not None:
        complete &= np.isfinite(data.runs.losses).all(axis=1)
    return {
        "runs": int(complete.sum()),
        "networks": len(np.unique(data.runs.groups[complete])),
        "seen": {
            str(data.runs.epochs[k - 1]): {
                "method": method,
                "scores": {name: score._asdict() for name, score in scores.items()},
            }
            for k, (method, scores) in fitted.chosen.items()
        },
        "ceiling": ceiling(data),
    }


def _at(data: Data, found: Crossed, column: int) -> Known:
    """Return the scores at one epoch."""
    place = int(found.places[column])
    values, mean = data.values[:, place], found.mean[:, place]
    there = np.isfinite(values)
    inside = (values >= found.lower[:, column]) & (values <= found.upper[:, column])
    report: Known = {
        "epoch": data.runs.epochs[place],
        **scores_of(data, mean[data.first], data.first, place),
        "coverage_90": covered(inside[there], data.runs.groups[there]),
    }
    # Beside a table of one training: both against the mean of the other trainings.
    others, one = other_mean(data, place), values[data.first]
    both = np.flatnonzero(np.isfinite(others + one))
    if len(both) < LEAST_TESTED:
        leave_out(report, "repeated", f"{len(both)} networks were trained more than once")
        return report
    truth = others[both]
    report["repeated"] = {"networks": len(both)}
    for name, predicted in (("surrogate", mean[data.first][both]), ("table", one[both])):
        fit = point_scores(predicted, truth)
        report["repeated"][name] = known(
            {"tau": tau_of(predicted, truth), "r2": fit["r2"], "mae": fit["mae"]}
        )
    return report


def _average(each: list[Known]) -> Known:
    """Return means over the epochs that have a number; ``epochs`` says how many of all have."""
    paths = {
        "tau": ("tau", "value"),
        "r2": ("r2",),
        "mae": ("mae", "value"),
        "coverage_90": ("coverage_90", "value"),
        "ceiling_tau": ("ceiling", "tau", "value"),
        "repeated_surrogate_tau": ("repeated", "surrogate", "tau", "value"),
        "repeated_table_tau": ("repeated", "table", "tau", "value"),
        "repeated_surrogate_r2": ("repeated", "surrogate", "r2"),
        "repeated_table_r2": ("repeated", "table", "r2"),
    }
    report: Known = {"epochs": len(each)}
    for name, path in paths.items():
        numbers = [number for at in each if (number := _follow(at, path)) is not None]
        if len(numbers) == len(each):
            report[name] = float(np.mean(numbers))
        else:
            leave_out(report, name, f"{len(numbers)} of {len(each)} epochs have it")
    return report


def _follow(known: Known, path: tuple[str, ...]) -> float | None:
    here = known
    for name in path:
        if name not in here:
            return None
        here = here[name]
    return float(here)  # type: ignore[arg-type]


def _simulated_scores(data: Data, found: Crossed) -> Known:
    """Return spikes and deviations between seeds, of simulated trainings beside the real ones."""
    rows = np.flatnonzero(np.isfinite(data.values).all(axis=1))
    real = _spike(data, data.values[rows])
    threshold = float(np.quantile(real, 0.95))
    cells = data.runs.cells[data.first]
    own = np.array([data.runs.space.canonical(tuple(c)) for c in cells.tolist()], np.uint8)
    spikes, squares = [], np.zeros((len(data.first), len(data.runs.epochs)))
    for turn in range(_SIMULATED):
        # A seed of its own for each training; any will do.
        curves = _simulated(data, found, rows, own, rows + turn * len(data.values))
        spikes.append(_spike(data, curves) > threshold)
    # Around the mean that was predicted, so that no degree of freedom is lost.
    chosen = np.flatnonzero(data.second >= 0)
    for turn in range(_SIMULATED):
        first = data.first[chosen]
        curves = _simulated(data, found, first, own, np.full(len(first), turn))
        squares[chosen] += (curves - found.mean[first]) ** 2 / _SIMULATED
    groups = data.runs.groups
    # Weights: a network trained r times says r - 1 times what noise is.
    deviations = []
    for place in found.places.tolist():
        values = data.values[:, place]
        there = np.isfinite(values)
        count = np.bincount(groups[there], minlength=len(data.first))
        mean = np.bincount(groups[there], values[there], len(data.first)) / np.maximum(count, 1)
        off = np.bincount(groups[there], (values - mean[groups])[there] ** 2, len(data.first))
        freedom = np.maximum(count - 1, 0) * (data.second >= 0)
        deviations.append(
            {
                "epoch": data.runs.epochs[place],
                "real_sd": float(np.sqrt(off.sum() / freedom.sum())),
                "simulated_sd": float(np.sqrt((squares[:, place] * freedom).sum() / freedom.sum())),
            }
        )
    gathered = np.array(spikes)
    return {
        "runs": len(rows),
        "simulated_runs": gathered.size,
        "repeated_networks": len(chosen),
        "spike_threshold": threshold,
        "real_spikes": covered(real > threshold, groups[rows]),
        "simulated_spikes": covered(gathered.mean(axis=0), groups[rows]),
        "deviations": deviations,
    }


def _simulated(
    data: Data, found: Crossed, rows: _Rows, own: NDArray[np.uint8], seeds: NDArray[np.int64]
) -> _Floats:
    """Return ``(len(rows), E)`` simulated trainings of the rows' networks, by noise that did not see them."""
    keys = keys_of(own[data.runs.groups[rows]], seeds)
    curves = found.mean[rows]
    for out, noise in enumerate(found.noises):
        mine = found.fold[rows] == out
        curves[mine] += noise.draw(curves[mine], keys[mine])
    metric = data.runs.metrics[data.runs.objective]
    return np.clip(curves, metric.lower, metric.upper)


def _spike(data: Data, curves: _Floats) -> _Floats:
    """Return by how much the best epoch of each curve is better than its end."""
    up = data.sign * curves
    return np.asarray(up.max(axis=1) - up[:, -1])
