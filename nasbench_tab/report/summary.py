"""What a comparison found, as plain numbers: final results, differences and winning cells."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError, NasbenchTabError
from nasbench_tab.records import MEAN_SEED, Architecture, Metric, Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.atoms import reachable
from nasbench_tab.search.final import final_values, reported
from nasbench_tab.search.frame import distinct_cells, run_finals, run_incumbents
from nasbench_tab.search.results import Results, Trials
from nasbench_tab.stats.anytime import Incumbents
from nasbench_tab.stats.bootstrap import (
    FEW_RUNS,
    MIN_RUNS,
    Interval,
    mean_interval,
    resampling_weights,
    widened_level,
)
from nasbench_tab.stats.targets import relative_improvement

__all__ = [
    "BOOTSTRAP_SEED",
    "FEW_RUNS",
    "MIN_RUNS",
    "REPETITIONS",
    "Background",
    "Estimate",
    "Outcome",
    "Searched",
    "Summary",
    "Winner",
    "interval",
    "summarise",
    "weights",
]

#: Resamples behind every interval, and the seed that they are drawn from.
REPETITIONS, BOOTSTRAP_SEED = 2000, 20240
_RANDOM = "nasbench_tab.strategies.random_search:RandomSearch"
_Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A mean over ``n`` runs with its 95 % interval, in the metric's unit; NaN where there is none."""

    value: float
    low: float
    high: float
    n: int

    @property
    def has_interval(self) -> bool:
        """Return whether there were enough runs for an interval."""
        return self.low == self.low

    @property
    def excludes_zero(self) -> bool:
        """Return whether there is an interval and zero lies outside it."""
        return self.low > 0 or self.high < 0


class Searched(NamedTuple):
    """All runs of one strategy on one benchmark; ``R`` runs.

    Attributes:
        label: The strategy.
        trials: Its evaluations.
        found: Its incumbents.
        last: ``(R,)`` position of each run's last incumbent among the evaluations; -1: none.
        finals: ``{metric: (R,)}`` what the last incumbent is worth in the end; NaN: none.
        value: ``(R,)`` that of the objective: its mean over training seeds, unless the protocol
            says otherwise.
        regret: ``(R,)`` distance of ``value`` to the best mean of the table; never negative where
            means are reported.
    """

    label: str
    trials: Trials
    found: Incumbents
    last: NDArray[np.int64]
    finals: dict[str, _Floats]
    value: _Floats
    regret: _Floats

    @property
    def known(self) -> NDArray[np.bool_]:
        """Return ``(R,)``: which runs ended with an incumbent; only these count."""
        return np.isfinite(self.value)


class Winner(NamedTuple):
    """The cell that most runs of a strategy ended with.

    Attributes:
        strategy: Its label.
        architecture: The cell.
        times: How many runs ended with it.
        n: Of how many.
        value: Its mean over training seeds, in the objective's unit.
    """

    strategy: str
    architecture: Architecture
    times: int
    n: int
    value: float


class Outcome(NamedTuple):
    """Final figures of one strategy on one benchmark; values in the objective's unit.

    Attributes:
        strategy: Its label.
        n: Runs that ended with an incumbent.
        without: Runs that never had one; they are left out everywhere.
        mean: Mean of the final incumbent's value.
        sd: Standard deviation over runs (n - 1); NaN for one run.
        median: Median over runs.
        quartiles: First and third quartile over runs.
        regret: Mean regret.
        behind: Mean regret minus the leader's, paired by run.
        improvement: Relative improvement over the mean of the space, in percent; NaN where that is 0.
        tests: Mean of each test metric.
        evaluations: Mean, least and most evaluations of a run.
        distinct: Mean number of different cells in a run.
        seconds: Mean simulated time of a run; NaN without times.
        cpu_microseconds: CPU time per evaluation.
        stops: How many runs ended for which reason.
    """

    strategy: str
    n: int
    without: int
    mean: float
    sd: float
    median: float
    quartiles: tuple[float, float]
    regret: Estimate
    behind: Estimate
    improvement: Estimate
    tests: dict[str, Estimate]
    evaluations: tuple[float, int, int]
    distinct: float
    seconds: float
    cpu_microseconds: float
    stops: dict[str, int]


class Background(NamedTuple):
    """The benchmark itself, if it can still be loaded, else why not."""

    bench: Benchmark | None
    problem: str


class Summary(NamedTuple):
    """All that the report says of one benchmark.

    Attributes:
        name: The benchmark.
        about: What the results' manifest says of it.
        metric: The objective.
        background: The benchmark, where it is at hand.
        searched: Runs of each strategy.
        outcomes: Figures of each strategy, in the comparison's order.
        leader: Strategy with the lowest mean regret (the first of equals); None without any run.
        runner_up: The next one, or None.
        random: Label of random search, if it took part.
        best: Metrics (the objective, tests) for which the first differs from the second by a paired
            interval that excludes zero, and that first strategy.
        winners: The most frequent final cell of each strategy.
    """

    name: str
    about: dict[str, Any]
    metric: Metric
    background: Background
    searched: list[Searched]
    outcomes: list[Outcome]
    leader: str | None
    runner_up: str | None
    random: str | None
    best: dict[str, str]
    winners: list[Winner]

    def outcome(self, strategy: str) -> Outcome:
        """Return the figures of one strategy."""
        return next(outcome for outcome in self.outcomes if outcome.strategy == strategy)


def summarise(results: Results) -> list[Summary]:
    """Return the summary of each benchmark, in the comparison's order."""
    return [_summary(results, name) for name in results.benchmarks]


def interval(data: _Floats) -> Interval | None:
    """Return the mean over runs with its interval, or None for fewer than :data:`MIN_RUNS` runs.

    Args:
        data: ``(R,)`` or ``(R, G)``, one row per run.
    """
    n = len(data)
    return mean_interval(data, weights(n), widened_level(n)) if n >= MIN_RUNS else None


@lru_cache(maxsize=4)
def weights(n_runs: int) -> _Floats:
    """Return the resamples behind every interval over so many runs."""
    return resampling_weights(n_runs, REPETITIONS, np.random.default_rng(BOOTSTRAP_SEED))


def _summary(results: Results, name: str) -> Summary:
    about, metric = results.benchmark(name), results.objective(name)
    searched = [_searched(results, name, label) for label in results.strategies]
    scores = {metric.name: {s.label: -s.regret for s in searched}}
    for test in about["test_metrics"]:
        sign = 1.0 if about["test_metrics"][test]["direction"] == "max" else -1.0
        scores[test] = {s.label: sign * s.finals[test] for s in searched}
    ranking = _ranking(scores[metric.name])
    random = (s for s in results.strategies if results.strategy(s)["factory"] == _RANDOM)
    leader = next((s for s in searched if ranking and s.label == ranking[0]), None)
    background = _background(about, results.protocol)
    space = _space_values(background, about, results.protocol)
    return Summary(
        name=name,
        about=about,
        metric=metric,
        background=background,
        searched=searched,
        outcomes=[_outcome(s, leader, about, metric, space) for s in searched],
        leader=ranking[0] if ranking else None,
        runner_up=ranking[1] if len(ranking) > 1 else None,
        random=next(random, None),
        best={key: first for key in scores if (first := _clear_first(scores[key])) is not None},
        winners=[winner for s in searched if (winner := _winner(s)) is not None],
    )


def _searched(results: Results, benchmark: str, label: str) -> Searched:
    trials = results.trials(benchmark, label)
    metric = results.objective(benchmark)
    found = run_incumbents(results, benchmark, trials)
    last = found.which[:, -1] if found.which.shape[1] else np.full(len(trials.lengths), -1)
    finals = {m: run_finals(results, trials, found, m) for m in trials.final}
    value = finals[metric.name]
    optimum = results.benchmark(benchmark)["optimum"]
    regret = optimum - value if metric.direction == "max" else value - optimum
    return Searched(label, trials, found, last, finals, value, regret)


def _ranking(scores: dict[str, _Floats]) -> list[str]:
    """Return the strategies that have any run, the greatest mean score first."""
    means = {label: float(np.nanmean(s)) for label, s in scores.items() if np.isfinite(s).any()}
    return sorted(means, key=lambda label: -means[label])


def _clear_first(scores: dict[str, _Floats]) -> str | None:
    """Return the strategy whose paired difference to the next one excludes zero, if it does."""
    ranking = _ranking(scores)
    if len(ranking) < 2:
        return None
    difference = _estimate(scores[ranking[0]] - scores[ranking[1]])
    return ranking[0] if difference.excludes_zero else None


def _estimate(data: _Floats) -> Estimate:
    """Return the mean over the runs that have a value, with its interval."""
    data = data[np.isfinite(data)]
    found = interval(data)
    if found is None:
        return Estimate(float(data.mean()) if len(data) else np.nan, np.nan, np.nan, len(data))
    return Estimate(float(found.estimate), float(found.low), float(found.high), len(data))


def _space_values(background: Background, about: dict[str, Any], protocol: Protocol) -> _Floats:
    """Return the mean value of every cell within reach, or only their mean where there is no table."""
    bench = background.bench
    if bench is None:
        return np.array([about["mean"]], np.float64)
    means = protocol._replace(final="mean", report=())
    cells = reachable(bench, means)[0]
    return final_values(reported(bench, means)[0], means, cells, np.full(len(cells), MEAN_SEED))


def _improvement(values: _Floats, space: _Floats, metric: Metric) -> Estimate:
    if not len(values):
        return Estimate(np.nan, np.nan, np.nan, 0)
    try:
        found = relative_improvement(values, space, weights(len(values)), metric.direction).mean
    except InvalidArgumentError:  # a mean, median or middle half of exactly 0
        return Estimate(np.nan, np.nan, np.nan, len(values))
    return Estimate(float(found.estimate), float(found.low), float(found.high), len(values))


def _outcome(
    searched: Searched,
    leader: Searched | None,
    about: dict[str, Any],
    metric: Metric,
    space: _Floats,
) -> Outcome:
    trials, value = searched.trials, searched.value[searched.known]
    n, lengths = len(value), trials.lengths
    ends = np.cumsum(lengths)[lengths > 0] - 1
    mean = float(value.mean()) if n else np.nan
    quartiles = np.quantile(value, [0.25, 0.5, 0.75]) if n else np.full(3, np.nan)
    reference = searched if leader is None else leader
    return Outcome(
        strategy=searched.label,
        n=n,
        without=len(lengths) - n,
        mean=mean,
        sd=float(value.std(ddof=1)) if n > 1 else np.nan,
        median=float(quartiles[1]),
        quartiles=(float(quartiles[0]), float(quartiles[2])),
        regret=_estimate(searched.regret),
        behind=_estimate(searched.regret - reference.regret),
        improvement=_improvement(value, space, metric),
        tests={test: _estimate(searched.finals[test]) for test in about["test_metrics"]},
        evaluations=(float(lengths.mean()), int(lengths.min()), int(lengths.max())),
        distinct=float(distinct_cells(trials).mean()),
        seconds=float(trials.seconds[ends].mean()) if len(ends) else np.nan,
        cpu_microseconds=1e6 * float(trials.cpu_seconds.sum()) / max(1, int(lengths.sum())),
        stops=dict(Counter(trials.stop.tolist())),
    )


def _winner(searched: Searched) -> Winner | None:
    """Return the most frequent final cell; of equally frequent ones that with the least regret."""
    last = searched.last[searched.known]
    if not len(last):
        return None
    cells = [tuple(cell) for cell in searched.trials.architectures[last].tolist()]
    regret = dict(zip(cells, searched.regret[searched.known].tolist(), strict=True))
    value = dict(zip(cells, searched.value[searched.known].tolist(), strict=True))
    counts = Counter(cells)
    cell = min(counts, key=lambda c: (-counts[c], regret[c], c))
    return Winner(searched.label, cell, counts[cell], len(cells), value[cell])


def _background(about: dict[str, Any], protocol: Protocol) -> Background:
    name = about["name"]
    try:
        bench = load(name, training=protocol.training)
    except NasbenchTabError as err:
        return Background(None, f"{name} cannot be loaded here: {err}")
    if bench.fingerprint != about["hash"]:
        return Background(
            None,
            f"the {name} that is installed here is not the one that was searched: "
            f"hash {bench.fingerprint}, not {about['hash']}",
        )
    return Background(bench, "")
