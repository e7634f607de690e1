"""Assessment of what a surrogate says of training time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.fitting.assess_figures import Known, known, mean_of, tau_of
from nasbench_tab.fitting.assess_parts import LEAST_TESTED, Data, Part, Task, in_folds, need
from nasbench_tab.predictors.cost import MIN_RUNS, full_seconds, shares_of
from nasbench_tab.stats.prediction import spearman_rho

__all__ = ["cost"]

_Floats = NDArray[np.float64]
_Rows = NDArray[np.intp]


def cost(data: Data, rng: np.random.Generator) -> Part:
    """Seconds of a full training."""
    timed = np.flatnonzero(np.isfinite(data.runs.seconds).any(axis=1))
    reason = f"{len(timed)} runs have times; expected {MIN_RUNS}"
    seconds, fold, tasks = np.empty(0), np.empty(0, np.intp), list[Task]()
    if len(timed) >= MIN_RUNS:
        try:
            shares = shares_of(data.runs.seconds[timed])
            seconds = full_seconds(data.runs.seconds[timed], shares)
            fold, tasks = in_folds(data, timed, np.log(seconds)[:, None], rng)
        except SurrogateError as err:
            reason = str(err)

    def finish(results: list[Any]) -> Known:
        if not tasks:
            raise SurrogateError(reason)
        predicted = np.empty(len(timed))
        for out, result in enumerate(results):
            predicted[fold == out] = np.exp(need(result)[:, :, 0].mean(axis=1))
        _, first = np.unique(data.runs.groups[timed], return_index=True)
        error = 100 * np.abs(predicted[first] / seconds[first] - 1)
        return {
            "networks": len(first),
            "unit": "%",
            **known(
                {
                    "mean_error": mean_of(error),
                    "median_error": float(np.median(error)),
                    "spearman": spearman_rho(predicted[first], seconds[first]),
                    "tau": tau_of(predicted[first], seconds[first]),
                }
            ),
            "ceiling": _seconds_ceiling(data, timed, seconds),
        }

    return Part("cost", tasks, finish)


def _seconds_ceiling(data: Data, timed: _Rows, seconds: _Floats) -> Known:
    """Return by how much two trainings of one network differ in time."""
    of_row = np.full(len(data.final), np.nan)
    of_row[timed] = seconds
    there = data.second >= 0
    one, other = of_row[data.first[there]], of_row[data.second[there]]
    both = np.isfinite(one + other)
    one, other = one[both], other[both]
    found: Known = {"repeated_networks": len(one)}
    if len(one) < LEAST_TESTED:
        return found | known(
            {"mean_error": np.nan, "tau": np.nan},
            f"{len(one)} networks have two timed runs; expected {LEAST_TESTED}",
        )
    return found | known(
        {"mean_error": mean_of(100 * np.abs(one / other - 1)), "tau": tau_of(one, other)}
    )
