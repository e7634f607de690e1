"""One row per run, as a pandas frame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.registry import load_space
from nasbench_tab.search.fronts import hypervolume_ratios
from nasbench_tab.stats.anytime import Incumbents, at_budget, at_evaluations, incumbents

if TYPE_CHECKING:
    import pandas as pd

    from nasbench_tab.search.results import Results, Trials

__all__ = ["distinct_cells", "run_finals", "run_incumbents", "runs_frame"]

_Floats = NDArray[np.float64]


def run_incumbents(results: Results, benchmark: str, trials: Trials) -> Incumbents:
    """Return the incumbents of all runs under the comparison's incumbent rule."""
    rule, values, eligible = results.protocol.incumbent, trials.values, None
    direction = results.objective(benchmark).direction
    if rule == "full-training":
        eligible = trials.epochs == results.benchmark(benchmark)["epochs"][-1]
    if rule == "highest-epoch":  # any value at a higher epoch is better than all at lower ones
        better = values if direction == "max" else -values
        order = np.lexsort((better, trials.epochs))
        rises = (np.diff(trials.epochs[order]) > 0) | (np.diff(better[order]) > 0)
        values, direction = np.zeros(len(order)), "max"
        values[order[1:]] = np.cumsum(rises)
    return incumbents(values, trials.seconds, trials.lengths, direction, eligible)


def run_finals(results: Results, trials: Trials, found: Incumbents, metric: str) -> _Floats:
    """Return ``(R,)`` what each run's incumbent is worth in the end; NaN where it has none.

    Under ``overshoot="interpolate"`` that is the value at the budget, not that of any one cell.
    """
    values, protocol = trials.final[metric], results.protocol
    if protocol.overshoot == "interpolate" and protocol.seconds is not None:
        return at_budget(found, values, protocol.seconds)
    return at_evaluations(found, values, np.array([max(1, found.which.shape[1])]))[:, 0]


def distinct_cells(trials: Trials) -> NDArray[np.int64]:
    """Return ``(R,)``: how many different cells each run evaluated."""
    ends = np.cumsum(trials.lengths)
    cells = list(map(bytes, trials.architectures))
    bounds = zip(ends - trials.lengths, ends, strict=True)
    return np.array([len(set(cells[first:end])) for first, end in bounds], np.int64)


def runs_frame(results: Results) -> pd.DataFrame:
    """Return one row per run.

    Columns: benchmark, strategy, run, evaluations, distinct (cells), free (proposals that cost
    nothing), seconds (simulated), stop, architecture (the last incumbent; missing, like its
    values, where the run has none), observed (its value as the search saw it), the objective (its
    final value: by default the mean over training seeds), regret (to the best mean in the table),
    the other reported metrics where there are any, and cpu_seconds. With a second objective also its
    value of the incumbent, and hypervolume (of the run's front, 1 = the best front's). Where workers may
    die also died (evaluations) and lost (the simulated seconds that these took).
    """
    import pandas as pd

    rows = []
    for name in results.benchmarks:
        about, metric = results.benchmark(name), results.objective(name)
        space = load_space(about["space"])
        for label in results.strategies:
            trials = results.trials(name, label)
            incumbent = run_incumbents(results, name, trials)
            second = results.second(name)
            costs = () if second is None else (second.name,)
            wanted = (metric.name, *about["test_metrics"], *costs)
            finals = {m: run_finals(results, trials, incumbent, m) for m in wanted}
            found = incumbent.which
            last = found[:, -1] if found.shape[1] else np.full(len(found), -1)
            ends = np.cumsum(trials.lengths)
            distinct = distinct_cells(trials)
            if second is not None:
                most = np.array([max(1, found.shape[1])])
                ratios = hypervolume_ratios(results, name, label, most)[:, 0]
            for i, which in enumerate(last.tolist()):
                some = which >= 0  # an empty run has no incumbent
                value = float(finals[metric.name][i])
                cell = tuple(trials.architectures[which].tolist()) if some else None
                row = {
                    "benchmark": name,
                    "strategy": label,
                    "run": int(trials.runs[i]),
                    "evaluations": int(trials.lengths[i]),
                    "distinct": int(distinct[i]),
                    "free": int(trials.free[i]),
                    "seconds": float(trials.seconds[ends[i] - 1])
                    if trials.lengths[i]
                    else math.nan,
                    "stop": str(trials.stop[i]),
                    "architecture": None if cell is None else space.format(cell),
                    "observed": float(trials.values[which]) if some else math.nan,
                    metric.name: value,
                    "regret": metric.score(about["optimum"]) - metric.score(value),
                    "cpu_seconds": float(trials.cpu_seconds[i]),
                }
                for other in wanted[1:]:
                    row[other] = float(finals[other][i])
                if second is not None:
                    row["hypervolume"] = float(ratios[i])
                if trials.died is not None and trials.lost is not None:
                    row |= {"died": int(trials.died[i]), "lost": float(trials.lost[i])}
                rows.append(row)
    return pd.DataFrame(rows)
