"""The second objective: what an architecture costs by a metric that is known without training it.

A column of the benchmark that belongs to no split (parameters, MACs, latency), or a figure that the space
knows of its networks. Test values cannot be one: a strategy is told what it costs, and would see them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError, unknown_name
from nasbench_tab.records import Architecture, Metric

__all__ = ["cost_metric", "cost_metrics", "cost_of", "cost_values"]

# Of no split either, but only known once a cell was trained.
_TRAINED = ("train_seconds", "eval_seconds")


def cost_metrics(bench: Benchmark) -> dict[str, Metric]:
    """Return the metrics that can be a second objective on ``bench``, by name.

    Of what is predicted or trained only the figures of the space: everything else costs something to know.
    """
    some = bench.space.sample(np.random.default_rng(0), 1)
    figures = bench.space.figures(np.array(some, np.uint8))
    found = {name: Metric(name, "none", "min", "") for name in figures}
    if not (bench.predicts or bench.stateful):
        known = (metric for metric in bench.metrics.values() if metric.split == "none")
        found |= {metric.name: metric for metric in known if metric.name not in _TRAINED}
    return found


def cost_metric(bench: Benchmark, name: object) -> Metric:
    """Return the metric of a second objective.

    Raises:
        UnknownNameError: ``bench`` and its space know no such metric.
        InvalidArgumentError: It is the objective, belongs to a split, or is known after training only.
    """
    free = cost_metrics(bench)
    if isinstance(name, str) and name in free:
        return free[name]
    if not isinstance(name, str) or name not in bench.metrics:
        raise unknown_name(f"second objective of {bench.name}", name, free)
    known = f"It can be {', '.join(free)}." if free else f"{bench.name} has no metric that can be."
    if name == bench.objective.name:
        raise InvalidArgumentError(f"{name!r} is the objective of {bench.name} already. {known}")
    if bench.metrics[name].split != "none":
        raise InvalidArgumentError(
            f"A second objective {name!r} would show the strategy {bench.metrics[name].split} values that it "
            f"may not see. {known}"
        )
    raise InvalidArgumentError(
        f"{name!r} of {bench.name} is not known before training; a second objective must be. {known}"
    )


def cost_values(bench: Benchmark, name: str, cells: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return ``(n,)`` what ``(n, cell length)`` cells cost, in the metric's unit; NaN where not known."""
    if not len(cells):
        return np.empty(0)
    if _is_column(bench, name):
        return np.asarray(bench.query(cells, name, mask=True).filled(np.nan))
    return np.asarray(bench.space.figures(cells)[name], np.float64)


def cost_of(bench: Benchmark, name: str) -> Callable[[Architecture], float]:
    """Return the function that gives what a cell costs, less is better.

    It holds costs and the space, and no benchmark: a strategy can reach nothing else through it.

    Raises:
        InvalidArgumentError: Not every measured cell has a cost.
    """
    space, sign = bench.space, -cost_metric(bench, name).score(1.0)
    if not _is_column(bench, name):
        known: dict[Architecture, float] = {}

        def figure(cell: Architecture) -> float:
            if cell not in known:
                known[cell] = sign * float(space.figures(np.array([cell], np.uint8))[name][0])
            return known[cell]

        return figure
    cells = bench.measured()
    costs = sign * cost_values(bench, name, cells)
    if np.isnan(costs).any():
        raise InvalidArgumentError(
            f"{int(np.isnan(costs).sum())} of the {len(cells):,} measured architectures of {bench.name} have "
            f"no {name}, so it cannot be a second objective. It must be known of all."
        )
    column: dict[Architecture, float] = dict(
        zip(map(tuple, cells.tolist()), costs.tolist(), strict=True)
    )

    def looked_up(cell: Architecture) -> float:
        cost = column.get(cell)
        return column[space.canonical(cell)] if cost is None else cost

    return looked_up


def _is_column(bench: Benchmark, name: str) -> bool:
    return name in bench.metrics and not (bench.predicts or bench.stateful)
