"""What random search is worth: its exact law where that is known, else a simulation that says so.

Exact, with a budget counted in evaluations: draws with replacement (``repeats="pay"``) whatever the
training seeds are, draws of distinct cells (``"reuse"``, ``"forbid"``) where each cell has one
answer, cells masked out, limits (a rejected draw is free, so the law is that of the cells within
them), and runs that stall. Not exact, so simulated: budgets in seconds, several workers where
trainings take time, and distinct cells of which each keeps a drawn training.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError, MissingValueError, unknown_name
from nasbench_tab.records import MEAN_SEED, Protocol
from nasbench_tab.search.atoms import atoms, checked_counts, draws, no_exact_law, reachable
from nasbench_tab.search.final import Reported, final_values, reported
from nasbench_tab.search.protocol import check_protocol
from nasbench_tab.search.run import searcher
from nasbench_tab.stats.anytime import at_evaluations, at_seconds, incumbents
from nasbench_tab.stats.exact import Law, best_of_draws, law_of_best, mirrored, sample_law

__all__ = [
    "Baseline",
    "random_sampling",
    "random_search_baseline",
    "random_search_curve",
    "random_search_law",
    "random_search_simulated",
]

_Floats = NDArray[np.float64]
_Axis = Literal["evaluations", "seconds"]


class Baseline(NamedTuple):
    """What random search's incumbent is worth at ``C`` points, in the metric's unit.

    Attributes:
        metric: What the incumbent is worth: a column of the report.
        axis: What ``at`` counts.
        at: ``(C,)`` evaluations, or simulated seconds.
        value: Law of the final value, under the protocol's rule for final values.
        regret: Law of its distance to ``optimum``; never negative where means are reported.
        optimum: The best mean value of the metric among the cells that the search can reach.
        without: ``(C,)`` share of runs that have no incumbent there; they are left out.
        error: ``(C,)`` standard error of the means; 0 where the law is exact.
        runs: Simulated runs; 0 where the law is exact.
        reason: Why it was simulated; empty where it was not.
    """

    metric: str
    axis: _Axis
    at: _Floats
    value: Law
    regret: Law
    optimum: float
    without: _Floats
    error: _Floats
    runs: int
    reason: str

    @property
    def is_exact(self) -> bool:
        """Return whether there is no Monte-Carlo error in it."""
        return self.runs == 0


def random_search_baseline(
    bench: Benchmark,
    protocol: Protocol,
    counts: NDArray[np.int64],
    metric: str | None = None,
    *,
    runs: int = 1000,
) -> Baseline:
    """Return the exact law of random search where it is known, else a simulation of ``runs`` runs.

    Arguments and errors as in :func:`random_search_law` and :func:`random_search_simulated`.
    """
    check_protocol(protocol, bench)
    if no_exact_law(bench, protocol):
        return random_search_simulated(bench, protocol, counts, metric, runs=runs)
    return random_search_law(bench, protocol, counts, metric)


def random_search_law(
    bench: Benchmark, protocol: Protocol, counts: NDArray[np.int64], metric: str | None = None
) -> Baseline:
    """Return the exact law of random search's incumbent after each count of evaluations.

    The search is :class:`~nasbench_tab.strategies.random_search.RandomSearch` under ``protocol``:
    independent uniform cells, each with a drawn training seed (or its mean, or a fixed seed). The
    incumbent is the best observed value, the first of equals. A run that stalls
    (:attr:`~nasbench_tab.records.Protocol.patience`) keeps its last incumbent.

    Args:
        bench: The benchmark.
        protocol: How the search is simulated and scored.
        counts: ``(C,)`` numbers of evaluations, each at least 1.
        metric: What the incumbent is worth: a metric of the benchmark or a column of the report;
            None = the objective.

    Raises:
        InvalidArgumentError: The law is not known for this protocol; the message says why.
        MissingValueError: A cell within reach has no value of the metric.
    """
    known, counts = atoms(bench, protocol), checked_counts(counts)
    what, drawn = _reported(bench, protocol, metric), draws(protocol, known, _longest(counts))
    final = _finals(what, protocol, known.cells[known.which], known.seed)
    law = law_of_best(known.score, final, known.weight, counts, **drawn._asdict())
    without = np.full(len(counts), 0.0 if drawn.reach is None else 1 - drawn.reach[0])
    return _baseline(what, protocol, known.cells, "evaluations", counts, law, without)


def random_search_curve(
    bench: Benchmark, protocol: Protocol, counts: NDArray[np.int64], metric: str | None = None
) -> _Floats:
    """Return ``(C,)``: only the mean final value of :func:`random_search_law`, sooner."""
    known, counts = atoms(bench, protocol), checked_counts(counts)
    what, drawn = _reported(bench, protocol, metric), draws(protocol, known, _longest(counts))
    final = _finals(what, protocol, known.cells[known.which], known.seed)
    return best_of_draws(known.score, final, known.weight, counts, **drawn._asdict())


def random_sampling(bench: Benchmark, protocol: Protocol, metric: str | None = None) -> Baseline:
    """Return the law of one uniformly drawn cell within the protocol's reach: the space itself.

    It needs no search, so it is exact under every protocol; the value is the mean over trainings.
    Its own mean is what relative improvement is measured against: Yang, Esperança and Carlucci,
    "NAS evaluation is frustratingly hard", ICLR 2020.
    """
    check_protocol(protocol, bench)
    protocol = protocol._replace(final="mean")
    what, (cells, _) = _reported(bench, protocol, metric), reachable(bench, protocol)
    final = _finals(what, protocol, cells, np.full(len(cells), MEAN_SEED))
    one = np.ones(1, np.int64)
    law = law_of_best(np.zeros(len(cells)), final, np.full(len(cells), 1 / len(cells)), one)
    return _baseline(what, protocol, cells, "evaluations", one, law, np.zeros(1))


def random_search_simulated(
    bench: Benchmark,
    protocol: Protocol,
    at: NDArray[np.int64] | _Floats,
    metric: str | None = None,
    *,
    axis: _Axis = "evaluations",
    runs: int = 1000,
    seed: int = 271_828,
) -> Baseline:
    """Return the law of random search as estimated from simulated runs.

    Args:
        bench: The benchmark.
        protocol: How the search is simulated and scored, its budget included.
        at: ``(C,)`` points; a run that ended before one keeps its last incumbent.
        metric: As in :func:`random_search_law`.
        axis: What ``at`` counts: evaluations, or simulated seconds.
        runs: How many runs, at least 2.
        seed: Master seed; by default one that a comparison hardly uses, so that the baseline and
            the comparison's own random search are independent.

    Raises:
        InvalidArgumentError: Fewer than 2 runs, or a protocol that cannot be followed.
    """
    check_protocol(protocol, bench)
    if runs < 2:
        raise InvalidArgumentError(f"A simulation needs at least 2 runs for its error; got {runs}.")
    if bench.stateful:
        raise InvalidArgumentError(
            f"{bench.name} trains for real: simulated runs there would be trainings. Use its table."
        )
    if axis == "seconds" and not bench.has_seconds:
        raise InvalidArgumentError(f"{bench.name} has no training times. Ask for 'evaluations'.")
    points = checked_counts(at) if axis == "evaluations" else np.asarray(at, np.float64)
    what, (cells, _) = _reported(bench, protocol, metric), reachable(bench, protocol)
    search = searcher("random", bench, protocol)
    found = [search(seed, run) for run in range(runs)]
    values, seconds, drawn = (
        np.concatenate([getattr(run, name) for run in found])
        for name in ("values", "seconds", "seeds")
    )
    lengths = np.array([len(run.values) for run in found], np.int64)
    best = incumbents(values, seconds, lengths, bench.objective.direction)
    evaluated = np.concatenate([run.architectures for run in found])
    final = _finals(what, protocol, evaluated, drawn)
    if axis == "seconds":
        worth, reason = at_seconds(best, final, points.astype(np.float64)), _OVER_SECONDS
    else:
        worth = at_evaluations(best, final, points.astype(np.int64))
        reason = no_exact_law(bench, protocol) or "it was asked for"
    law, n = sample_law(worth), np.isfinite(worth).sum(axis=0)
    error = np.divide(law.sd, np.sqrt(n), out=np.full(len(n), np.nan), where=n > 1)
    base = _baseline(what, protocol, cells, axis, points, law, 1 - n / runs)
    return base._replace(error=error, runs=runs, reason=reason)


_OVER_SECONDS = "how far a search is after some simulated time depends on the cells it drew"


def _longest(counts: NDArray[np.int64]) -> int:
    return int(counts.max(initial=1))


def _reported(bench: Benchmark, protocol: Protocol, metric: str | None) -> Reported:
    """Return what ``metric`` is: a column of the report, or any metric of the benchmark."""
    columns = {column.name: column for column in reported(bench, protocol)}
    if metric is None:
        return next(iter(columns.values()))
    own = {name: Reported(name, bench, about) for name, about in bench.metrics.items()}
    if metric not in {**own, **columns}:
        raise unknown_name(f"metric of {bench.name}", metric, {**own, **columns})
    return {**own, **columns}[metric]


def _finals(
    what: Reported, protocol: Protocol, cells: NDArray[np.uint8], seeds: NDArray[np.int64]
) -> _Floats:
    final = final_values(what, protocol, cells, seeds)
    lacking = int(np.isnan(final).sum())
    if lacking:
        raise MissingValueError(
            f"{what.bench.name} lacks {what.name} of cells that random search may find ({lacking} of "
            f"{len(final)} answers), so it has no expectation there."
        )
    return final


def _baseline(
    what: Reported,
    protocol: Protocol,
    cells: NDArray[np.uint8],
    axis: _Axis,
    at: NDArray[np.int64] | _Floats,
    law: Law,
    without: _Floats,
) -> Baseline:
    """Return the record of an exact law; regret is to the best mean, whatever is reported."""
    means = protocol._replace(final="mean")
    final = _finals(what, means, cells, np.full(len(cells), MEAN_SEED))
    if what.metric.direction == "max":
        optimum = float(final.max())
        regret = mirrored(law, optimum)
    else:
        optimum = float(final.min())
        regret = Law(law.mean - optimum, law.sd, law.quantiles - optimum)
    points, exact = np.asarray(at, np.float64), np.zeros(len(at))
    return Baseline(what.name, axis, points, law, regret, optimum, without, exact, 0, "")
