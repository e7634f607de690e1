"""What evaluated cells are worth in the end: the values that reports show and strategies never see."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import MEAN_SEED, Metric, Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.costs import cost_metric, cost_values

__all__ = ["Reported", "final_values", "reported"]


class Reported(NamedTuple):
    """One value that is reported of every incumbent.

    Attributes:
        name: Its column: a metric's name, before it ``benchmark:`` where that is another one.
        bench: Where it is looked up.
        metric: What is looked up.
    """

    name: str
    bench: Benchmark
    metric: Metric


def reported(bench: Benchmark, protocol: Protocol) -> list[Reported]:
    """Return what is reported of every incumbent: the objective first, then test metrics.

    A final training that used the validation images too has no validation metric: its test metrics are
    reported, and the objective's value is that of the table's default training.

    After those of ``bench`` come those of the benchmarks that the protocol names in ``report``, and last
    its second objective, the only one of no split.

    Raises:
        InvalidArgumentError: The protocol names a benchmark of another space, or the same twice.
        UnknownNameError: It names a benchmark that does not exist.
    """
    own, label = bench, protocol.final_training
    if (label or protocol.training) is not None:
        own = load(bench.name, training=label)
    validated = own if own.objective.split == "valid" else load(bench.name)
    if validated.objective[:3] != bench.objective[:3]:  # name, split and direction
        raise InvalidArgumentError(
            f"The search on {bench.name} has the objective {bench.objective.name!r}; that of the protocol's "
            f"final training {validated.training!r} is {validated.objective.name!r}. Choose another "
            "final_training."
        )
    if protocol.final == "seen" and own.training != bench.training:
        raise InvalidArgumentError(
            f"final='seen' reports the training that the search saw, which is of {bench.training!r}; the "
            f"protocol's final training is {own.training!r}. Choose final='mean'."
        )
    found = [Reported(bench.objective.name, validated, validated.objective)]
    found += [Reported(m.name, own, m) for m in _tests(own)]
    names = [bench.name, *protocol.report]
    for name in protocol.report:
        if names.count(name) > 1:
            raise InvalidArgumentError(f"The protocol reports on {name!r} twice.")
        other = load(name)
        if other.space.name != bench.space.name:
            raise InvalidArgumentError(
                f"The protocol reports on {name}, whose space is {other.space.name}; cells found on "
                f"{bench.name} are of {bench.space.name}."
            )
        found += [Reported(f"{name}:{m.name}", other, m) for m in (other.objective, *_tests(other))]
    if protocol.second is not None:
        found.append(Reported(protocol.second, bench, cost_metric(bench, protocol.second)))
    return found


def final_values(
    what: Reported, protocol: Protocol, cells: NDArray[np.uint8], seeds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return what each evaluated cell is worth under the protocol's rule; NaN where never measured.

    Args:
        what: The value.
        protocol: Its ``final`` and ``final_epoch`` are the rule.
        cells: ``(N, cell length)``.
        seeds: ``(N,)`` training seeds that the search saw; only used for ``final="seen"`` on the
            benchmark's own values.

    Returns:
        ``(N,)`` float64 in the metric's unit.
    """
    if not len(cells):
        return np.empty(0)
    if what.metric.split == "none":  # it depends on no training
        return cost_values(what.bench, what.metric.name, cells)
    if protocol.final == "seen" and ":" not in what.name:
        values = np.full(len(cells), np.nan)
        for seed in np.unique(seeds).tolist():
            of_seed = seeds == seed
            drawn = None if seed == MEAN_SEED else seed
            values[of_seed] = _at_epoch(what, protocol, cells[of_seed], drawn)
        return values
    if protocol.final_epoch == "last" or len(what.bench.epochs) == 1:
        return what.bench.query(cells, what.metric.name, mask=True).filled(np.nan)
    each = {seed for cell in np.unique(cells, axis=0) for seed in what.bench.seeds(tuple(cell))}
    trainings = np.array([_at_epoch(what, protocol, cells, seed) for seed in sorted(each)])
    means: NDArray[np.float64] = np.ma.masked_invalid(trainings).mean(axis=0).filled(np.nan)
    return means


def _at_epoch(
    what: Reported, protocol: Protocol, cells: NDArray[np.uint8], seed: int | None
) -> NDArray[np.float64]:
    """Return the values of one training of each cell, after its last or its best epoch."""
    epochs = what.bench.epochs if protocol.final_epoch == "best" else what.bench.epochs[-1:]
    name = what.metric.name
    asked = [what.bench.query(cells, name, epoch=e, seed=seed, mask=True) for e in epochs]
    curve = np.array([values.filled(np.nan) for values in asked])
    best: NDArray[np.float64] = curve[0]
    for values in curve[1:]:
        best = np.fmax(best, values) if what.metric.direction == "max" else np.fmin(best, values)
    # A training that was broken off is none, here as in the mean after the last epoch.
    return np.where(np.isnan(curve[-1]), np.nan, best)


def _tests(bench: Benchmark) -> list[Metric]:
    """Return the metrics of test images; how long a pass over them took is none of quality."""
    known = bench.metrics.values()
    return [m for m in known if m.split in ("test", "valid+test") and m.unit != "s"]
