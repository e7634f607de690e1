"""What random search is worth, exactly: no simulation, no Monte-Carlo error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Protocol
from nasbench_tab.search.run import check_protocol, searched_space
from nasbench_tab.stats.exact import best_of_draws

__all__ = ["random_search_curve"]


def random_search_curve(
    bench: Benchmark, protocol: Protocol, counts: NDArray[np.int64], metric: str | None = None
) -> NDArray[np.float64]:
    """Return the expected final value of random search's incumbent after each count of evaluations.

    The law is that of :class:`~nasbench_tab.strategies.random_search.RandomSearch` under
    ``protocol``: independent uniform cells, with replacement, each with a drawn training seed (or
    its mean, or a fixed seed). The incumbent is the best observed value; its final value is the
    mean over its training seeds.

    Args:
        bench: The benchmark.
        protocol: How the search is simulated.
        counts: ``(C,)`` numbers of evaluations, each at least 1.
        metric: What the incumbent is worth; None = the objective.

    Returns:
        ``(C,)`` expectations, in the metric's unit.

    Raises:
        InvalidArgumentError: The law is not known for this protocol; the message says why.
    """
    check_protocol(protocol, bench)
    counts = np.asarray(counts)
    if counts.size and counts.min() < 1:
        raise InvalidArgumentError(f"counts start at 1 evaluation; got {int(counts.min())}.")
    reasons = {
        "evaluations are ended by a budget in seconds": protocol.seconds is not None,
        "several workers change the order in which evaluations end": protocol.workers > 1,
        "repeated cells are free and not counted": protocol.repeats == "reuse",
        "limits make some draws free": bool(protocol.limits),
    }
    broken = [reason for reason, holds in reasons.items() if holds]
    if broken:
        raise InvalidArgumentError(f"The exact law of random search is not known: {broken[0]}.")
    searched_space(bench, protocol)  # raises where the space is not measured and not masked
    cells = bench.measured(None if isinstance(protocol.seeds, str) else protocol.seeds)
    final = bench.query(cells, metric)
    observed, which, weight = _atoms(bench, protocol, cells)
    score = observed if bench.objective.direction == "max" else -observed
    return best_of_draws(score, final[which], weight, counts)


def _atoms(
    bench: Benchmark, protocol: Protocol, cells: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]:
    """Return observed value, cell number and probability of every possible answer to one draw."""
    n = len(cells)
    if protocol.seeds != "random":
        seed = None if protocol.seeds == "mean" else int(protocol.seeds)
        return bench.query(cells, seed=seed), np.arange(n), np.full(n, 1 / n)
    ids = sorted({seed for cell in map(tuple, cells.tolist()) for seed in bench.seeds(cell)})
    table = np.stack(
        [bench.query(cells, seed=seed, mask=True).filled(np.nan) for seed in ids], axis=1
    )
    present = np.isfinite(table)
    which = np.nonzero(present)[0]
    return table[present], which, 1 / (n * present.sum(axis=1)[which])
