"""Aggregates over runs and tasks: normalised regret, its IQM, profiles, who improves on whom, ranks.

Everything here is about regret: less is better, 0 is the best cell of the table and, once normalised,
1 is what a cell drawn at random is expected to leave. The aggregates are those of Agarwal et al.,
"Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021: the runs are
resampled within each task (stratified bootstrap), so that an interval says how far the aggregate
would move, had other runs been drawn on the same tasks. It says nothing of other tasks.

    >>> import numpy as np
    >>> from nasbench_tab.stats.bootstrap import stratified_weights
    >>> rng = np.random.default_rng(0)
    >>> regret = rng.random((30, 3))  # 30 runs on 3 tasks
    >>> found = aggregate(regret, stratified_weights(3, 30, 1000, rng))
    >>> bool(found.iqm.low < found.iqm.estimate < found.iqm.high), found.n_runs, found.n_tasks
    (True, 30, 3)

Every interval is a percentile interval at the widened level of
:func:`~nasbench_tab.stats.bootstrap.widened_level`; with fewer than
:data:`~nasbench_tab.stats.bootstrap.MIN_RUNS` runs its ends are NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Direction
from nasbench_tab.stats.bootstrap import Interval, percentile_interval, trimmed_means

__all__ = [
    "Aggregate",
    "aggregate",
    "interquartile_mean",
    "mean_ranks",
    "normalised_regret",
    "performance_profile",
    "probability_of_improvement",
]

_Floats = NDArray[np.float64]


class Aggregate(NamedTuple):
    """Aggregates of one strategy's regret, each with its interval.

    Attributes:
        mean: Mean over tasks of the mean over runs.
        median: Median over tasks of the mean over runs.
        iqm: Mean of the middle half of all runs of all tasks.
        gap: Optimality gap: by how much regret exceeds the target, on average.
        n_runs: Runs of each task.
        n_tasks: Tasks.
    """

    mean: Interval
    median: Interval
    iqm: Interval
    gap: Interval
    n_runs: int
    n_tasks: int


def normalised_regret(
    values: ArrayLike, optimum: ArrayLike, expected: ArrayLike, direction: Direction
) -> _Floats:
    """Return regret on the scale of its task: 0 = optimum, 1 = a random sample's expectation.

    Args:
        values: Any shape, in the metric's unit; NaN stays NaN.
        optimum: Best value of the table; a number or one per task (last axis).
        expected: Mean of the space; as ``optimum``.
        direction: Which way is better.

    Raises:
        InvalidArgumentError: The optimum is not better than the mean, so there is no scale.
    """
    best, mean = np.asarray(optimum, np.float64), np.asarray(expected, np.float64)
    sign = 1.0 if direction == "max" else -1.0
    scale = sign * (best - mean)
    if not np.all(scale > 0):
        raise InvalidArgumentError(
            f"Regret is normalised by the distance from a random sample's expectation to the optimum, "
            f"which must be better; got expectation {mean.tolist()} and optimum {best.tolist()} "
            f"with direction {direction!r}."
        )
    return np.asarray(sign * (best - np.asarray(values, np.float64)) / scale)


def interquartile_mean(data: ArrayLike) -> float:
    """Return the mean of the middle half of all entries: ``floor(n / 4)`` are cut at either end."""
    flat = np.sort(np.asarray(data, np.float64), axis=None)
    cut = flat.size // 4
    return float(flat[cut : flat.size - cut].mean())


def aggregate(
    regret: _Floats, weights: _Floats, *, target: float = 0.0, level: float = 0.95
) -> Aggregate:
    """Return mean, median, IQM and optimality gap over runs and tasks.

    Args:
        regret: ``(R, T)`` final normalised regret, one row per run.
        weights: ``(T, B, R)`` from :func:`~nasbench_tab.stats.bootstrap.stratified_weights`.
        target: Regret that is good enough. Regret is never below 0, so with the default the gap is
            the mean.
        level: Wanted coverage.

    Raises:
        InvalidArgumentError: A run without a value, or weights of other runs or tasks.
    """
    n_runs, n_tasks = _checked(regret, weights)
    cut = regret.size // 4
    counts = (weights * n_runs).transpose(1, 2, 0).reshape(-1, regret.size)
    of_task = np.einsum("tbr,rt->bt", weights, regret)
    excess = np.maximum(regret - target, 0.0)
    resampled = {
        "mean": of_task.mean(axis=1),
        "median": np.median(of_task, axis=1),
        "iqm": trimmed_means(regret.ravel(), counts, cut),
        "gap": np.einsum("tbr,rt->b", weights, excess) / n_tasks,
    }
    as_it_is = {
        "mean": regret.mean(),
        "median": np.median(regret.mean(axis=0)),
        "iqm": interquartile_mean(regret),
        "gap": excess.mean(),
    }
    intervals = {
        name: percentile_interval(as_it_is[name], resampled[name], n_runs, level, n_tasks)
        for name in as_it_is
    }
    return Aggregate(**intervals, n_runs=n_runs, n_tasks=n_tasks)


def performance_profile(
    regret: _Floats, grid: _Floats, weights: _Floats, level: float = 0.95
) -> Interval:
    """Return the share of runs with regret of at most each ``grid`` entry, with a pointwise band.

    The score distribution of Agarwal et al. (2021), the mean over tasks of each task's empirical
    distribution function.

    Args:
        regret: ``(R, T)`` final normalised regret.
        grid: ``(G,)`` regrets.
        weights: ``(T, B, R)``, as in :func:`aggregate`.
        level: Wanted coverage.

    Returns:
        Arrays of shape ``(G,)``.

    Raises:
        InvalidArgumentError: As :func:`aggregate`.
    """
    n_runs, n_tasks = _checked(regret, weights)
    reached = (regret[:, :, None] <= grid).astype(np.float64)
    resampled = np.einsum("tbr,rtg->bg", weights, reached, optimize=True) / n_tasks
    return percentile_interval(reached.mean(axis=(0, 1)), resampled, n_runs, level, n_tasks)


def probability_of_improvement(
    first: _Floats,
    second: _Floats,
    weights: _Floats,
    second_weights: _Floats | None = None,
    level: float = 0.95,
) -> Interval:
    """Return how probable it is that a run of ``first`` leaves less regret than one of ``second``.

    Mean over tasks of the Mann-Whitney statistic; a tie counts one half.

    Args:
        first: ``(R, T)`` final regret.
        second: ``(S, T)`` the other's.
        weights: ``(T, B, R)``, as in :func:`aggregate`.
        second_weights: ``(T, B, S)`` resamples of the other's runs; None: run ``i`` of both saw the
            same table noise, so the pair is drawn together.
        level: Wanted coverage.

    Raises:
        InvalidArgumentError: As :func:`aggregate`, or different numbers of tasks.
    """
    n_runs, n_tasks = _checked(first, weights)
    others = weights if second_weights is None else second_weights
    n_others, tasks_of_others = _checked(second, others)
    if tasks_of_others != n_tasks:
        raise InvalidArgumentError(
            f"Both strategies need the same tasks; got {n_tasks} and {tasks_of_others}."
        )
    estimate, resampled = 0.0, np.zeros(weights.shape[1])
    for task in range(n_tasks):
        ours, theirs = first[:, task, None], second[None, :, task]
        wins = (ours < theirs) + 0.5 * (ours == theirs)
        estimate += wins.mean() / n_tasks
        resampled += np.einsum("bs,bs->b", weights[task] @ wins, others[task]) / n_tasks
    return percentile_interval(estimate, resampled, min(n_runs, n_others), level, n_tasks)


def mean_ranks(regret: _Floats, weights: _Floats, level: float = 0.95) -> Interval:
    """Return each strategy's mean rank over time, with a pointwise band; 1 is best.

    The strategies are ranked within each task and run, and the ranks are averaged. (Ranking the means
    over runs instead would leave as many ranks as there are tasks, three perhaps, and a band that
    jumps whenever two means cross.) Run ``i`` of all strategies saw the same table noise, so that
    they are ranked on equal terms; a mean rank is then 1 plus the probabilities with which each other
    strategy is ahead in the same run. Ties share the mean of their ranks. A strategy without a result
    yet is last, together with all others that have none.

    Args:
        regret: ``(R, T, K, G)`` regret of ``K`` strategies at ``G`` points of time; NaN: none yet.
        weights: ``(T, B, R)``, as in :func:`aggregate`.
        level: Wanted coverage.

    Returns:
        Arrays of shape ``(K, G)``.

    Raises:
        InvalidArgumentError: Weights of other runs or tasks.
    """
    n_runs, n_tasks, n_strategies, n_points = regret.shape
    _check_weights(n_runs, n_tasks, weights)
    filled = np.where(np.isnan(regret), np.inf, regret)
    ranks = np.full(regret.shape, 0.5)  # a strategy ties with itself
    for other in range(n_strategies):
        rival = filled[:, :, other, None, :]
        ranks += (rival < filled) + 0.5 * (rival == filled)
    resampled = np.zeros((weights.shape[1], n_strategies * n_points))
    for task in range(n_tasks):
        resampled += weights[task] @ ranks[:, task].reshape(n_runs, -1) / n_tasks
    shaped = resampled.reshape(-1, n_strategies, n_points)
    return percentile_interval(ranks.mean(axis=(0, 1)), shaped, n_runs, level, n_tasks)


def _checked(regret: _Floats, weights: _Floats) -> tuple[int, int]:
    """Return runs and tasks.

    Raises:
        InvalidArgumentError: Not ``(R, T)``, NaN in it, or weights that do not fit.
    """
    if regret.ndim != 2:
        raise InvalidArgumentError(
            f"Regret must be an array of runs x tasks; got shape {regret.shape}."
        )
    n_runs, n_tasks = regret.shape
    _check_weights(n_runs, n_tasks, weights)
    missing = np.isnan(regret).sum(axis=0)
    if missing.any():
        raise InvalidArgumentError(
            f"Runs without a value, per task: {missing.tolist()} of {n_runs}. An aggregate needs "
            f"a value for every run: leave these runs out of all tasks, or say what they are worth."
        )
    return n_runs, n_tasks


def _check_weights(n_runs: int, n_tasks: int, weights: _Floats) -> None:
    if weights.ndim != 3 or weights.shape[::2] != (n_tasks, n_runs):
        raise InvalidArgumentError(
            f"{n_runs} runs of {n_tasks} tasks need weights of shape ({n_tasks}, B, {n_runs}) from "
            f"stratified_weights; got {weights.shape}."
        )
