"""How long until a target, and how much faster than random search.

The fixed-target view of Hansen et al., "COCO: a platform for comparing continuous optimizers in a
black-box setting", Optimization Methods and Software 2021; speed-up over the exact curve of random
search; relative improvement over random sampling (Yang, Esperança and Carlucci, "NAS evaluation is
frustratingly hard", ICLR 2020); and the area under the log-regret curve as one number for a curve.

Regret is less-is-better throughout. ``weights`` are resamples of runs: ``(B, R)`` from
:func:`~nasbench_tab.stats.bootstrap.resampling_weights`, or ``(T, B, R)`` from ``stratified_weights``
where there are tasks. With fewer than ``MIN_RUNS`` runs the ends of every interval are NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Direction
from nasbench_tab.stats.bootstrap import (
    MIN_RUNS,
    Interval,
    percentile_interval,
    trimmed_means,
    widened_level,
)

__all__ = [
    "RelativeImprovement",
    "SpeedUp",
    "expected_running_time",
    "hitting_times",
    "log_regret_area",
    "log_targets",
    "relative_improvement",
    "speed_up",
    "success_rate",
    "target_profile",
]

_Floats = NDArray[np.float64]


class SpeedUp(NamedTuple):
    """How many evaluations random search would need, at each of ``G`` points of a strategy's curve.

    Attributes:
        needed: ``(G,)`` evaluations that random search needs for the same expected value.
        ratio: ``(G,)`` these divided by the evaluations used.
        beyond: ``(G,)`` the value is better than all of random search's curve: ``needed`` and
            ``ratio`` are lower bounds ("at least"), and the upper end of their interval is infinite.
        n: Runs.
    """

    needed: Interval
    ratio: Interval
    beyond: NDArray[np.bool_]
    n: int


class RelativeImprovement(NamedTuple):
    """Relative improvement over random sampling, in percent; positive is better.

    Attributes:
        mean: From means, as Yang et al. define it.
        median: From medians, of both the runs and the random samples.
        iqm: From interquartile means of both.
        n: Runs.
    """

    mean: Interval
    median: Interval
    iqm: Interval
    n: int


def log_targets(highest: float, lowest: float, per_decade: int = 10) -> _Floats:
    """Return regret targets from ``highest`` down to ``lowest``, evenly spaced in the logarithm.

    Raises:
        InvalidArgumentError: Not ``highest > lowest > 0``, or fewer than one target per decade.
    """
    if not highest > lowest > 0 or per_decade < 1:
        raise InvalidArgumentError(
            f"Log-spaced targets need highest > lowest > 0 and per_decade >= 1; got {highest}, "
            f"{lowest} and {per_decade}. The optimum itself (regret 0) has no logarithm: append it."
        )
    count = int(np.ceil(per_decade * np.log10(highest / lowest))) + 1
    return np.geomspace(highest, lowest, count)


def hitting_times(
    regret: _Floats, targets: _Floats, counts: NDArray[np.int64] | None = None
) -> _Floats:
    """Return the evaluations after which each run's incumbent first reached each target.

    Args:
        regret: ``(R, G)`` regret of the incumbent along the run; NaN: none yet.
        targets: ``(M,)`` a target is reached by a regret of at most its value.
        counts: ``(G,)`` evaluations at each column; None = 1, 2, 3 and so on.

    Returns:
        ``(R, M)``; infinite where a run never reached the target.
    """
    steps = np.arange(1, regret.shape[1] + 1) if counts is None else np.asarray(counts)
    after = np.append(steps.astype(np.float64), np.inf)
    best = np.minimum.accumulate(np.where(np.isnan(regret), np.inf, regret), axis=1)
    wanted = -np.asarray(targets, np.float64)
    places = [np.searchsorted(-run, wanted, side="left") for run in best]
    return after[np.array(places, np.intp).reshape(len(best), len(wanted))]


def expected_running_time(
    hits: _Floats, spent: _Floats, weights: _Floats, level: float = 0.95
) -> Interval:
    """Return ERT: evaluations of all runs until the target or their end, per run that reached it.

    The expected evaluations until the target if a run that ends without it is started again. An
    estimate without any success is infinite; so is the upper end where more than its share of the
    resamples hold no success.

    Args:
        hits: ``(R,)`` or ``(R, M)`` from :func:`hitting_times`.
        spent: ``(R,)`` evaluations of each run in all; what a run without success cost.
        weights: ``(B, R)``.
        level: Wanted coverage.

    Returns:
        Arrays of shape ``()`` or ``(M,)``.
    """
    reached = np.isfinite(hits)
    cost = np.where(reached, hits, spent.reshape((-1,) + (1,) * (hits.ndim - 1)))
    with np.errstate(divide="ignore"):
        estimate = cost.sum(axis=0) / reached.sum(axis=0)
        resampled = (weights @ cost) / (weights @ reached)
    estimate = np.asarray(estimate)
    if len(hits) < MIN_RUNS:
        return Interval(estimate, np.full_like(estimate, np.nan), np.full_like(estimate, np.nan))
    tail = (1 - widened_level(len(hits), level)) / 2
    # No interpolation: between a finite and an infinite resample lies no number.
    low = np.quantile(resampled, tail, axis=0, method="lower")
    high = np.quantile(resampled, 1 - tail, axis=0, method="higher")
    return Interval(estimate, np.asarray(low), np.asarray(high))


def success_rate(hits: _Floats, level: float = 0.95) -> Interval:
    """Return the share of runs that reached the target, with Wilson's interval.

    Not a bootstrap interval, which would be a single point where all runs succeed or none does.

    Args:
        hits: ``(R,)`` from :func:`hitting_times`, for one target.
        level: Wanted coverage.
    """
    from scipy.stats import binomtest

    successes, n = int(np.isfinite(hits).sum()), len(hits)
    if not n:
        raise InvalidArgumentError("A success rate needs at least one run; got none.")
    estimate = np.asarray(successes / n)
    if n < MIN_RUNS:
        return Interval(estimate, np.asarray(np.nan), np.asarray(np.nan))
    found = binomtest(successes, n).proportion_ci(level, method="wilson")
    return Interval(estimate, np.asarray(found.low), np.asarray(found.high))


def target_profile(
    hits: _Floats, counts: NDArray[np.int64], weights: _Floats, level: float = 0.95
) -> Interval:
    """Return the share of (task, target) pairs reached after each count, mean over runs, with a band.

    COCO's empirical distribution of run lengths.

    Args:
        hits: ``(R, T, M)`` hitting times of ``M`` targets on ``T`` tasks.
        counts: ``(G,)`` evaluations.
        weights: ``(T, B, R)``.
        level: Wanted coverage.

    Returns:
        Arrays of shape ``(G,)``.
    """
    n_runs, n_tasks, _ = hits.shape
    shares = np.stack([(hits <= count).mean(axis=2) for count in counts], axis=2)  # (R, T, G)
    resampled = np.einsum("tbr,rtg->bg", weights, shares, optimize=True) / n_tasks
    return percentile_interval(shares.mean(axis=(0, 1)), resampled, n_runs, level, n_tasks)


def speed_up(
    curve: Interval,
    used: NDArray[np.int64],
    exact: _Floats,
    counts: NDArray[np.int64],
    direction: Direction,
    n: int,
) -> SpeedUp:
    """Return how much faster a strategy is than random search, by random search's exact curve.

    Random search needs the evaluations at which its expected value first comes up to the strategy's.
    Between two listed counts the expected value is taken as linear in the logarithm of the count;
    with all counts listed that is a fraction of one evaluation. Beyond the last count nothing is
    extrapolated: see :class:`SpeedUp`. A value worse than the first expectation needs the first count,
    since no search is shorter. The interval is the curve's own, mapped: it holds the strategy's error
    only, for the exact curve has none.

    Args:
        curve: ``(G,)`` the strategy's mean value over time with its interval, in the metric's unit.
        used: ``(G,)`` evaluations that the strategy used.
        exact: ``(C,)`` expected value of random search.
        counts: ``(C,)`` its evaluations, increasing.
        direction: Which way is better.
        n: Runs behind ``curve``.

    Raises:
        InvalidArgumentError: Counts that do not increase, or arrays that do not belong together.
    """
    counts = np.asarray(counts, np.float64)
    if counts.shape != np.shape(exact) or len(counts) < 2 or not np.all(np.diff(counts) > 0):
        raise InvalidArgumentError(
            f"The exact curve needs at least two increasing counts and one expectation for each; got "
            f"{counts.shape} counts and {np.shape(exact)} expectations."
        )
    sign = 1.0 if direction == "max" else -1.0
    best = np.maximum.accumulate(sign * exact)
    # First arrivals only: where the curve stands still, the earliest count answers.
    rises = np.concatenate([[True], np.diff(best) > 0])

    def needed(value: _Floats) -> _Floats:
        wanted = sign * np.asarray(value, np.float64)
        log_count = np.interp(wanted, best[rises], np.log(counts[rises]))
        found = np.where(wanted > best[-1], counts[-1], np.exp(log_count))
        return np.where(np.isnan(wanted), np.nan, found)

    middle = needed(curve.estimate)
    worse, better = (curve.low, curve.high) if direction == "max" else (curve.high, curve.low)
    upper = np.where(sign * better > best[-1], np.inf, needed(better))
    found = Interval(middle, needed(worse), upper)
    ratio = Interval(*(part / used for part in found))
    return SpeedUp(found, ratio, np.asarray(sign * curve.estimate > best[-1]), n)


def relative_improvement(
    values: _Floats,
    random: _Floats,
    weights: _Floats,
    direction: Direction,
    random_weights: _Floats | None = None,
    level: float = 0.95,
) -> RelativeImprovement:
    """Return ``100 * (method - random) / |random|`` from means, medians and interquartile means.

    The mean is fragile: one broken network among eight random ones moves it by points, and over a
    whole table it is dragged down by the cells that do not train at all.

    Args:
        values: ``(R,)`` final value of each run, in the metric's unit.
        random: ``(S,)`` values of random samples: those of all cells of the table, which makes the
            reference exact, or of a few samples.
        weights: ``(B, R)``.
        direction: Which way is better.
        random_weights: ``(B, S)`` resamples of the random samples; None: they are the whole space
            and add no error.
        level: Wanted coverage.

    Raises:
        InvalidArgumentError: NaN among the values, or a reference of zero.
    """
    if np.isnan(values).any() or np.isnan(random).any():
        raise InvalidArgumentError("Relative improvement needs a value for every run and sample.")
    sign = 1.0 if direction == "max" else -1.0
    n_runs, n = len(values), len(values)
    if random_weights is not None:
        n = min(n, len(random))
    intervals = []
    for cut_of in (_mean, _median, _middle_half):
        reference = _statistic(random, cut_of)
        if not reference:
            raise InvalidArgumentError(
                "Improvement relative to zero has no meaning: random sampling's value is 0."
            )
        others: _Floats | float = reference
        if random_weights is not None:
            others = trimmed_means(random, random_weights * len(random), cut_of(len(random)))
        resampled = trimmed_means(values, weights * n_runs, cut_of(n_runs))
        gain = 100 * sign * (_statistic(values, cut_of) - reference) / abs(reference)
        moved = 100 * sign * (resampled - others) / np.abs(others)
        intervals.append(percentile_interval(gain, moved, n, level))
    mean, median, middle = intervals
    return RelativeImprovement(mean, median, middle, n_runs)


def log_regret_area(
    regret: _Floats,
    weights: _Floats,
    *,
    floor: float,
    ceiling: float = 1.0,
    counts: NDArray[np.int64] | None = None,
    level: float = 0.95,
) -> Interval:
    """Return the area under the log-regret curve, on a scale from 0 to 1; less is better.

    Mean over the evaluations, then over the runs, of ``log(regret / floor) / log(ceiling / floor)``
    with regret clipped to ``[floor, ceiling]``: 1 - AOCC of van Stein et al., "Explainable
    Benchmarking for Iterative Optimization Heuristics", ACM TELO 2025. It depends on floor and
    ceiling, so name them; and look at the curves beside it.

    Args:
        regret: ``(R, G)`` regret of the incumbent along the run; NaN: none yet, counted as ceiling.
        weights: ``(B, R)``.
        floor: Regret below which nothing counts any more, above 0.
        ceiling: Regret above which everything counts as one.
        counts: ``(G,)`` evaluations at each column; a value holds until the next. None = 1, 2, 3 ...
        level: Wanted coverage.

    Raises:
        InvalidArgumentError: Not ``ceiling > floor > 0``.
    """
    if not ceiling > floor > 0:
        raise InvalidArgumentError(
            f"The area needs ceiling > floor > 0; got floor {floor} and ceiling {ceiling}."
        )
    clipped = np.clip(np.where(np.isnan(regret), ceiling, regret), floor, ceiling)
    height = np.log(clipped / floor) / np.log(ceiling / floor)
    steps = np.arange(1, regret.shape[1] + 1) if counts is None else np.asarray(counts)
    areas = np.average(height, axis=1, weights=np.diff(steps, append=steps[-1] + 1))
    return percentile_interval(areas.mean(), weights @ areas, len(areas), level)


def _mean(n: int) -> int:  # noqa: ARG001 - nothing is cut, however many there are
    return 0


def _median(n: int) -> int:
    return (n - 1) // 2


def _middle_half(n: int) -> int:
    return n // 4


def _statistic(data: _Floats, cut_of: Callable[[int], int]) -> float:
    return float(trimmed_means(data, np.ones((1, len(data))), cut_of(len(data)))[0])
