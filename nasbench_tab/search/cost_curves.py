"""Regret at equal total cost: anytime curves on the clock of the search, and on that of a trained model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.search.clocks import final_seconds
from nasbench_tab.search.frame import run_incumbents
from nasbench_tab.search.results import Results
from nasbench_tab.stats.anytime import Incumbents, at_seconds

__all__ = ["CostCurves", "automl_incumbents", "cost_curves"]

_Floats = NDArray[np.float64]


class CostCurves(NamedTuple):
    """Regret at equal total cost; ``R`` runs, ``G`` points, regret in the objective's unit.

    Attributes:
        grid: ``(G,)`` total cost in simulated seconds.
        identification: ``(R, G)`` regret of the incumbent that the search had found by then.
        automl: ``(R, G)`` regret of the last incumbent whose full training would be done by then.
    """

    grid: _Floats
    identification: _Floats
    automl: _Floats


def automl_incumbents(found: Incumbents, final: _Floats) -> Incumbents:
    """Return the incumbents on the clock of the AutoML variant: search plus full training.

    An incumbent that the search found at ``t`` is a trained model at ``t`` plus its own full
    training. Of two that are ready the search's later one counts, so an incumbent that is overtaken
    by a later one that trains faster never shows.

    Args:
        found: ``(R, K)`` incumbents on the search's clock.
        final: ``(N,)`` seconds of the full training of each evaluation's cell.

    Returns:
        The same incumbents with new times, never falling along a run.
    """
    known = found.which >= 0
    extra = np.zeros(found.which.shape)
    extra[known] = final[found.which[known]]
    ready = found.seconds + extra
    return Incumbents(found.which, np.minimum.accumulate(ready[:, ::-1], axis=1)[:, ::-1])


def cost_curves(
    results: Results, benchmark: str, strategy: str, grid: NDArray[np.float64]
) -> CostCurves:
    """Return each run's regret at equal total cost, in both variants of Lindauer and Hutter.

    Lindauer and Hutter, "Best Practices for Scientific Research on Neural Architecture Search",
    JMLR 21, 2020: a curve of architecture identification counts the search alone, one of the AutoML
    variant also the training of what is handed over. The search's clock is the elapsed one; validation
    is part of it where the protocol charges it.

    Args:
        results: A comparison.
        benchmark: One of its benchmarks.
        strategy: One of its strategies.
        grid: ``(G,)`` simulated seconds.

    Returns:
        Right-continuous steps; NaN before a run's first incumbent (before its training is done).

    Raises:
        InvalidArgumentError: There are no training times, or the table is not at hand.
    """
    grid = np.asarray(grid, np.float64)
    trials, metric = results.trials(benchmark, strategy), results.objective(benchmark)
    if not results.benchmark(benchmark)["has_seconds"]:
        raise InvalidArgumentError(
            f"{benchmark} has no training times, so there is no curve against them. "
            "Compare at equal numbers of evaluations."
        )
    final = final_seconds(results, benchmark, trials)
    found = run_incumbents(results, benchmark, trials)
    which = found.which[found.which >= 0]
    if np.isnan(final.seconds[which]).any():
        reason = final.note or f"{benchmark} lacks the training time of some incumbents"
        raise InvalidArgumentError(
            f"The AutoML variant needs the time of the incumbents' full training: {reason}."
        )
    value = trials.final[metric.name]
    optimum = metric.score(results.benchmark(benchmark)["optimum"])
    sign = metric.score(1.0)
    steps = (found, automl_incumbents(found, final.seconds))
    regret = [optimum - sign * at_seconds(one, value, grid) for one in steps]
    return CostCurves(grid, regret[0], regret[1])
