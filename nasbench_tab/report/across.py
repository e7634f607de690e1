"""All benchmarks of a comparison together: aggregates, ranks over time, and tests where there are enough."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.report.curves import POINTS, Curve, Panel
from nasbench_tab.report.summary import BOOTSTRAP_SEED, REPETITIONS, Summary
from nasbench_tab.stats.aggregate import (
    Aggregate,
    aggregate,
    mean_ranks,
    normalised_regret,
    performance_profile,
    probability_of_improvement,
)
from nasbench_tab.stats.anytime import at_evaluations
from nasbench_tab.stats.bootstrap import MIN_RUNS, Interval, stratified_weights
from nasbench_tab.stats.manytasks import (
    BayesianSignedRank,
    CriticalDifference,
    Friedman,
    Wilcoxon,
    bayesian_signed_rank,
    critical_difference,
    friedman,
    wilcoxon_holm,
)
from nasbench_tab.stats.targets import hitting_times, log_targets, target_profile

__all__ = ["Across", "Together", "across"]

_Floats = NDArray[np.float64]
#: Half width of the region of practical equivalence of normalised regret, for the Bayesian test.
ROPE = 0.01
#: Targets of normalised regret: from a random cell's down to a hundredth of it, ten a decade.
TARGETS = log_targets(1.0, 0.01)


class Together(NamedTuple):
    """One strategy over all benchmarks; regret is normalised: 0 = optimum, 1 = a random cell.

    Attributes:
        strategy: Its label.
        regret: Mean, median, interquartile mean and their intervals.
        rank: Mean rank of the final incumbent within run and benchmark; 1 is best.
        beats: ``{other: probability that a run leaves less regret than one of the other's}``.
    """

    strategy: str
    regret: Aggregate
    rank: Interval
    beats: dict[str, Interval]


class Across(NamedTuple):
    """What a comparison says over all of its benchmarks.

    Attributes:
        together: One entry a strategy.
        ranks: Mean rank over evaluations.
        profile: Share of runs with at most so much normalised regret.
        targets: Share of pairs of a benchmark and a target of normalised regret that a run has reached.
        friedman: Friedman's test over benchmarks; None: see ``no_tests``.
        wilcoxon: All pairs, Holm's correction.
        difference: Mean ranks and the groups that are not told apart.
        bayes: The two strategies with the lowest mean rank; the first less regret than the second.
        pair: Those two.
        no_tests: Why there are no tests over benchmarks.
    """

    together: list[Together]
    ranks: Panel
    profile: Panel
    targets: Panel
    friedman: Friedman | None
    wilcoxon: Wilcoxon | None
    difference: CriticalDifference | None
    bayes: BayesianSignedRank | None
    pair: tuple[str, str] | None
    no_tests: str


def across(summaries: list[Summary]) -> tuple[Across | None, str]:
    """Return what all benchmarks say together, or None and the reason.

    Runs without an incumbent would make means over different runs, so they are refused here.
    """
    labels = [searched.label for searched in summaries[0].searched]
    if len(summaries) < 2:
        return None, "One benchmark: nothing to aggregate."
    if len(labels) < 2:
        return None, "One strategy: nothing to rank."
    runs = len(summaries[0].searched[0].value)
    if runs < MIN_RUNS:
        return None, f"{runs} runs: ranks and aggregates need at least {MIN_RUNS}."
    lacking = [
        f"{searched.label} on {summary.name}"
        for summary in summaries
        for searched in summary.searched
        if not searched.known.all()
    ]
    if lacking:
        return None, f"Runs without an incumbent ({', '.join(lacking)}) cannot be ranked."
    try:
        final = np.stack([_normalised(summary) for summary in summaries], axis=1)
    except InvalidArgumentError as err:
        return None, str(err)
    weights = stratified_weights(
        len(summaries), runs, REPETITIONS, np.random.default_rng(BOOTSTRAP_SEED)
    )
    ranks = mean_ranks(final[..., None], weights)
    together = [
        Together(
            strategy=label,
            regret=aggregate(final[:, :, k], weights),
            rank=Interval(*(part[k, 0] for part in ranks)),
            beats={
                other: probability_of_improvement(final[:, :, k], final[:, :, j], weights)
                for j, other in enumerate(labels)
                if j != k
            },
        )
        for k, label in enumerate(labels)
    ]
    tests = _tests(labels, final.mean(axis=0))
    return (
        Across(
            together,
            _rank_panel(summaries, labels, weights),
            _profile_panel(labels, final, weights),
            _target_panel(summaries, labels, weights),
            *tests,
        ),
        "",
    )


def _normalised(summary: Summary) -> _Floats:
    """Return ``(R, K)`` normalised final regret."""
    values = np.stack([searched.value for searched in summary.searched], axis=1)
    about = summary.about
    return normalised_regret(values, about["optimum"], about["mean"], summary.metric.direction)


def _rank_panel(summaries: list[Summary], labels: list[str], weights: _Floats) -> Panel:
    """Return mean ranks over evaluations, up to where the first run of any strategy ended."""
    counts = _counts(summaries)
    regret = np.stack(
        [
            np.stack([_anytime(summary, k, counts) for k in range(len(labels))], axis=1)
            for summary in summaries
        ],
        axis=1,
    )
    found = mean_ranks(regret, weights)
    x = counts.astype(np.float64)
    curves = [
        Curve(label, x, *(np.asarray(part[k]) for part in found)) for k, label in enumerate(labels)
    ]
    return Panel("evaluations", curves, quantity="rank")


def _counts(summaries: list[Summary]) -> NDArray[np.int64]:
    end = min(int(s.trials.lengths.min()) for summary in summaries for s in summary.searched)
    return np.unique(np.geomspace(1, max(1, end), POINTS).round().astype(np.int64))


def _target_panel(summaries: list[Summary], labels: list[str], weights: _Floats) -> Panel:
    """Return the share of (benchmark, target) pairs reached, up to where the first run ended."""
    counts, curves = _counts(summaries), []
    steps = np.arange(1, int(counts[-1]) + 1)
    for k, label in enumerate(labels):
        hits = np.stack([_hits(summary, k, steps) for summary in summaries], axis=1)
        found = target_profile(hits, counts, weights)
        curves.append(Curve(label, counts.astype(np.float64), *found))
    return Panel("evaluations", curves, quantity="share", y_title="Share of targets reached")


def _hits(summary: Summary, k: int, steps: NDArray[np.int64]) -> _Floats:
    """Return ``(R, M)`` the evaluations after which each run first reached each target."""
    searched, about = summary.searched[k], summary.about
    values = at_evaluations(searched.found, searched.trials.final[summary.metric.name], steps)
    regret = normalised_regret(values, about["optimum"], about["mean"], summary.metric.direction)
    return hitting_times(regret, TARGETS)


def _anytime(summary: Summary, k: int, counts: NDArray[np.int64]) -> _Floats:
    """Return ``(R, G)`` regret of one strategy after each count; NaN where a run has no incumbent."""
    searched = summary.searched[k]
    values = at_evaluations(searched.found, searched.trials.final[summary.metric.name], counts)
    return -values if summary.metric.direction == "max" else values


def _profile_panel(labels: list[str], final: _Floats, weights: _Floats) -> Panel:
    """Return the share of runs with at most so much normalised regret."""
    grid = np.linspace(min(0.0, float(final.min())), float(np.quantile(final, 0.99)), POINTS)
    curves = []
    for k, label in enumerate(labels):
        found = performance_profile(final[:, :, k], grid, weights)
        curves.append(Curve(label, grid, *(np.asarray(part) for part in found)))
    return Panel("regret", curves, quantity="share")


def _tests(
    labels: list[str], means: _Floats
) -> tuple[
    Friedman | None,
    Wilcoxon | None,
    CriticalDifference | None,
    BayesianSignedRank | None,
    tuple[str, str] | None,
    str,
]:
    """Return the tests over benchmarks, or the reason why there are none."""
    try:
        pairs, difference = wilcoxon_holm(means), critical_difference(means)
    except InvalidArgumentError as err:
        return None, None, None, None, None, str(err)
    first, second = np.argsort(difference.ranks, kind="stable")[:2].tolist()
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    bayes = bayesian_signed_rank(means[:, first], means[:, second], ROPE, rng)
    many = friedman(means) if len(labels) > 2 else None
    return many, pairs, difference, bayes, (labels[first], labels[second]), ""
