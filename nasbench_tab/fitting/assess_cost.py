"""Assessment of what a surrogate says of training time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.fitting.assess_figures import Known, known, mean_of, merged, tau_of
from nasbench_tab.fitting.assess_parts import LEAST_TESTED, Data, Part, Task, need
from nasbench_tab.fitting.fit import folds_of
from nasbench_tab.predictors.cost import MIN_RUNS, TREES, fit_cost, full_seconds, shares_of, work_of
from nasbench_tab.predictors.trees import Settings
from nasbench_tab.stats.prediction import spearman_rho

__all__ = ["cost"]

_Floats = NDArray[np.float64]
_Rows = NDArray[np.intp]


def cost(data: Data, rng: np.random.Generator) -> Part:
    """Seconds of a full training."""
    runs = data.runs
    timed = np.flatnonzero(np.isfinite(runs.seconds).any(axis=1))
    reason = f"{len(timed)} runs have times; expected {MIN_RUNS}"
    full, tasks = np.empty(0), list[Task]()
    fold = np.empty(0, np.intp)
    if len(timed) >= MIN_RUNS:
        try:
            full = full_seconds(runs.seconds[timed], shares_of(runs.seconds[timed]))
        except SurrogateError as err:
            reason = str(err)
        else:
            fold = folds_of(runs.groups[timed], rng)
            work = work_of(runs.space, runs.cells)
            # The defaults of a surrogate are not those of its cost.
            settings = TREES if data.settings == Settings() else data.settings
            for out, stream in enumerate(rng.spawn(fold.max() + 1)):
                fit, rest = timed[fold != out], timed[fold == out]
                own = (data.inputs.x[fit], runs.seconds[fit], runs.groups[fit], work[fit])
                tasks.append(
                    (_fit_seconds, (*own, data.inputs.x[rest], work[rest], stream, settings))
                )

    def finish(results: list[Any]) -> Known:
        if not tasks:
            raise SurrogateError(reason)
        predicted = np.empty(len(timed))
        for out, result in enumerate(results):
            predicted[fold == out] = need(result)
        _, first = np.unique(runs.groups[timed], return_index=True)
        error = 100 * np.abs(predicted[first] / full[first] - 1)
        figures = {
            "mean_error": mean_of(error),
            "median_error": float(np.median(error)),
            "spearman": spearman_rho(predicted[first], full[first]),
            "tau": tau_of(predicted[first], full[first]),
        }
        counts = {"networks": len(first), "unit": "%"}
        beside = {"ceiling": _seconds_ceiling(data, timed, full)}
        return merged(counts, known(figures), beside)

    return Part("cost", tasks, finish)


def _fit_seconds(
    x: NDArray[np.float32],
    seconds: _Floats,
    groups: _Rows,
    work: _Floats,
    tested: NDArray[np.float32],
    tested_work: _Floats,
    rng: np.random.Generator,
    settings: Settings,
) -> _Floats:
    """Return the seconds of full trainings of rows that were not fitted on, ``(m,)``."""
    model = fit_cost(x, seconds, groups, rng, work=work, settings=settings)
    if model is None:
        raise SurrogateError(f"fewer than {MIN_RUNS} runs are left to learn times from")
    return model.seconds(tested, tested_work)[:, -1]


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
