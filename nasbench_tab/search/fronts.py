"""Fronts of a comparison with a second objective: the best there is, and what each run found.

The exact front is that of the reported values (by default means over training seeds) of every
architecture within reach. A run's front is chosen by what it observed, as a single incumbent is, and counts
by the reported values of its members. docs/multi-objective.md explains the reference point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Metric, Protocol
from nasbench_tab.search.costs import cost_metric, cost_values
from nasbench_tab.stats.pareto import (
    chosen_front,
    hypervolume,
    hypervolumes_over_time,
    non_dominated,
)

if TYPE_CHECKING:
    from nasbench_tab.search.results import Results, Trials

__all__ = ["Target", "described_second", "found_fronts", "hypervolume_ratios", "target"]

_Floats = NDArray[np.float64]
#: How far the reference point lies beyond the costliest member of the front, in widths of the front.
MARGIN = 0.1


class Target(NamedTuple):
    """What fronts on one benchmark are measured against.

    Attributes:
        objective: The validation metric.
        second: The metric of the second objective.
        front: ``(k, 2)`` values of both, in their own directions and units, the least cost first.
        exact: Whether the front is that of all architectures within reach; else of all that any run of
            the comparison evaluated.
        reference: ``(2,)`` the point at which cost (first) and loss of value end to count, less is
            better in both.
        area: Hypervolume of the front.
    """

    objective: Metric
    second: Metric
    front: _Floats
    exact: bool
    reference: _Floats
    area: float


def described_second(
    bench: Benchmark, protocol: Protocol, cells: NDArray[np.uint8], values: _Floats
) -> dict[str, Any]:
    """Return what a manifest says of the second objective: its metric, and the exact front.

    No front where the space is too large to be listed.

    Args:
        bench: Where was searched.
        protocol: Its ``second`` is set.
        cells: ``(n, cell length)`` within reach.
        values: ``(n,)`` what they are worth in the end.
    """
    name = str(protocol.second)
    metric = cost_metric(bench, name)
    costs = cost_values(bench, name, cells)
    described: dict[str, Any] = {"metric": metric._asdict()}
    if not bench.predicts or len(bench.measured()) == bench.space.size:
        best = non_dominated(_losses(bench.objective, metric, values, costs))
        described["front"] = np.stack([values[best], costs[best]], axis=1).tolist()
    return described


def target(results: Results, benchmark: str) -> Target:
    """Return what fronts on ``benchmark`` are measured against.

    The reference point is an architecture of no merit: worth as much as the mean of all within reach,
    where normalised regret is 1, and a tenth of the front's width costlier than its costliest member.

    Raises:
        InvalidArgumentError: The comparison has one objective.
    """
    objective, second = results.objective(benchmark), results.second(benchmark)
    if second is None:
        raise InvalidArgumentError(
            f"{results.directory} has one objective, so there are no fronts. Compare with "
            "--second METRIC (Protocol(second=...)), for example --second parameters."
        )
    about = results.benchmark(benchmark)
    listed = about["second"].get("front")
    if listed is None:
        finals = [results.trials(benchmark, label).final for label in results.strategies]
        found = [np.stack([f[objective.name], f[second.name]], axis=1) for f in finals]
        points = np.concatenate(found)
        points = points[np.isfinite(points).all(axis=1)]
    else:
        points = np.array(listed, np.float64).reshape(-1, 2)
    losses = _losses(objective, second, points[:, 0], points[:, 1])
    best = non_dominated(losses)
    front, losses = points[best], losses[best]
    reference = np.array([np.inf, -objective.score(about["mean"])])
    if len(front):
        least, most = losses[[0, -1], 0]
        reference[0] = most + MARGIN * ((most - least) or abs(most) or 1.0)
    area = hypervolume(losses, reference)
    return Target(objective, second, front, listed is not None, reference, area)


def hypervolume_ratios(
    results: Results, benchmark: str, strategy: str, counts: NDArray[np.int64]
) -> _Floats:
    """Return ``(R, G)``: how much of the best front's hypervolume each run has after so many evaluations.

    1 = all of it. NaN where the front itself has none: no architecture is better than the mean. Where
    single trainings are reported (``final="seen"``) a lucky one can lead beyond 1.

    Args:
        results: A comparison with a second objective.
        benchmark: One of its benchmarks.
        strategy: One of its strategies.
        counts: ``(G,)`` numbers of evaluations, from 1.
    """
    goal, trials = target(results, benchmark), results.trials(benchmark, strategy)
    observed, reported, levels = _points(results, benchmark, trials, goal)
    areas = hypervolumes_over_time(
        observed, reported, trials.lengths, counts, goal.reference, levels
    )
    return areas / (goal.area or np.nan)


def found_fronts(results: Results, benchmark: str, strategy: str) -> list[_Floats]:
    """Return the last front of each run, ``(k, 2)`` reported values as in :attr:`Target.front`.

    A member that another one dominates by reported values is among them: the search would have
    returned it.
    """
    goal, trials = target(results, benchmark), results.trials(benchmark, strategy)
    observed, _, levels = _points(results, benchmark, trials, goal)
    pairs = np.stack([trials.final[goal.objective.name], trials.final[goal.second.name]], axis=1)
    ends, fronts = np.cumsum(trials.lengths), []
    for start, end in zip(ends - trials.lengths, ends, strict=True):
        chosen = chosen_front(observed[start:end], None if levels is None else levels[start:end])
        fronts.append(pairs[start:end][chosen])
    return fronts


def _points(
    results: Results, benchmark: str, trials: Trials, goal: Target
) -> tuple[_Floats, _Floats, NDArray[np.int64] | None]:
    """Return what was observed, what is reported, and levels by the incumbent rule."""
    costs = trials.final[goal.second.name]
    observed = _losses(goal.objective, goal.second, trials.values, costs)
    final = trials.final[goal.objective.name]
    reported = _losses(goal.objective, goal.second, final, costs)
    rule, epochs = results.protocol.incumbent, trials.epochs.astype(np.int64)
    if rule == "highest-epoch":
        return observed, reported, epochs
    if rule == "full-training":
        full = results.benchmark(benchmark)["epochs"][-1]
        return observed, reported, np.where(epochs == full, 0, -1)
    return observed, reported, None


def _losses(objective: Metric, second: Metric, values: _Floats, costs: _Floats) -> _Floats:
    """Return ``(n, 2)`` cost and loss of value, less is better in both."""
    return np.stack([-second.score(1.0) * costs, -objective.score(1.0) * values], axis=1)
