"""Tests over many tasks: Friedman, Wilcoxon with Holm, critical differences, Bayesian signed-rank.

The unit is the task: each strategy contributes one number per task, its mean over runs. (Runs are no
replicates of a task; pooling them would claim more tasks than there are.) Demšar, "Statistical
Comparisons of Classifiers over Multiple Data Sets", JMLR 2006.

**Two warnings.** All of these refuse fewer than :data:`MIN_TASKS` tasks, for with five the smallest
two-sided p-value of a signed-rank test is 0.0625. And all of them take the tasks as independent draws
from a population. Datasets on one search space are not: the same cells are good on CIFAR-10 and on
CIFAR-100, so a strategy that suits one suits the other, and the true p-value is larger than the one
given here. Several tasks of several spaces are better; say which they were.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> means = rng.random((8, 3)) + [0.0, 0.0, 2.0]  # 8 tasks, the third strategy is worse
    >>> found = critical_difference(means)
    >>> found.ranks.round(2).tolist(), found.groups
    ([1.38, 1.62, 3.0], [(0, 1)])

Means are taken as regret, less is better; negate a metric that is to be maximised. NaN marks a
strategy that is missing on a task, and ``missing`` says what to do about it:

* ``"error"``: refuse (the default);
* ``"drop"``: leave out every task on which any of the strategies is missing;
* ``"impute"``: the worst rank on that task. The missing strategy loses to each present one by more
  than any other difference; two missing ones tie.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.stats.bootstrap import Interval

__all__ = [
    "MIN_TASKS",
    "BayesianSignedRank",
    "CriticalDifference",
    "Friedman",
    "Missing",
    "Wilcoxon",
    "bayesian_signed_rank",
    "critical_difference",
    "friedman",
    "wilcoxon_holm",
]

#: With fewer tasks there is no test.
MIN_TASKS = 6
Missing = Literal["error", "drop", "impute"]
_Floats = NDArray[np.float64]


class Friedman(NamedTuple):
    """Do the strategies differ at all? ``K`` strategies on ``n`` tasks.

    Attributes:
        ranks: ``(K,)`` mean ranks; 1 is best.
        chi2: Friedman's statistic, corrected for ties.
        chi2_p: Its p-value, by chi-square with K - 1 degrees of freedom; conservative.
        f: Iman and Davenport's statistic; infinite where all tasks rank all strategies alike.
        p: Its p-value, by F with K - 1 and (K - 1)(n - 1) degrees of freedom; where ``f`` is
            infinite, the probability of that under chance, ``K!**(1 - n)``.
        n: Tasks.
    """

    ranks: _Floats
    chi2: float
    chi2_p: float
    f: float
    p: float
    n: int


class Wilcoxon(NamedTuple):
    """Wilcoxon's signed-rank test of all ``P`` pairs of ``K`` strategies.

    Attributes:
        pairs: ``(P, 2)`` numbers of the strategies.
        statistic: ``(P,)`` the smaller of the two sums of ranks.
        raw: ``(P,)`` exact two-sided p-values, before correction.
        p: ``(K, K)`` after Holm's correction over all pairs; 1 on the diagonal.
        used: ``(P,)`` tasks on which the two differ; ties are left out.
        least: Smallest corrected p-value that so many tasks and pairs can give. Above your level no
            pair can ever be called different, whatever the data.
        n: Tasks.
    """

    pairs: NDArray[np.int64]
    statistic: _Floats
    raw: _Floats
    p: _Floats
    used: NDArray[np.int64]
    least: float
    n: int


class CriticalDifference(NamedTuple):
    """What a critical-difference diagram shows.

    Attributes:
        ranks: ``(K,)`` mean ranks; 1 is best.
        nemenyi: Mean ranks further apart than this differ by Nemenyi's test.
        nemenyi_groups: Strategies that Nemenyi's test cannot tell apart, best first; groups of one
            are left out.
        groups: The same by Wilcoxon with Holm. A strategy that ranks between two members need not be
            one itself; draw each group by its members.
        n: Tasks.
    """

    ranks: _Floats
    nemenyi: float
    nemenyi_groups: list[tuple[int, ...]]
    groups: list[tuple[int, ...]]
    n: int


class BayesianSignedRank(NamedTuple):
    """How probable is it that one strategy is better on a new task, and by more than nothing?

    Attributes:
        first: Posterior probability that "the first has less regret, by more than the rope" is the
            most probable of the three.
        rope: The same of "practically equal".
        second: The same of "the second has less regret".
        mass: ``(3,)`` posterior mean of the three probabilities themselves (first, rope, second),
            with credible interval.
        n: Tasks.
    """

    first: float
    rope: float
    second: float
    mass: Interval
    n: int


def friedman(means: _Floats, missing: Missing = "error") -> Friedman:
    """Return Friedman's test with the correction of Iman and Davenport (1980).

    Args:
        means: ``(N, K)`` regret of each strategy on each task, mean over runs.
        missing: See above.

    Raises:
        InvalidArgumentError: Fewer than 6 tasks or 3 strategies, or a missing one.
    """
    from scipy.stats import chi2 as chi2_law
    from scipy.stats import f as f_law

    ranks = _ranks(_complete(means, missing, 3))
    n, k = ranks.shape
    mean_ranks = ranks.mean(axis=0)
    # The variance of the ranks within tasks, which ties make smaller.
    spread = float((ranks**2).sum() - n * k * (k + 1) ** 2 / 4) / (n * (k - 1))
    if spread == 0:  # all strategies are equal on every task
        return Friedman(mean_ranks, 0.0, 1.0, 0.0, 1.0, n)
    chi2 = float(n * ((mean_ranks - (k + 1) / 2) ** 2).sum() / spread)
    chi2_p = float(chi2_law.sf(chi2, k - 1))
    rest = n * (k - 1) - chi2
    if rest <= 1e-9 * n * k:
        alike = float(np.exp((1 - n) * np.log(np.arange(1, k + 1)).sum()))
        return Friedman(mean_ranks, chi2, chi2_p, np.inf, alike, n)
    f = (n - 1) * chi2 / rest
    return Friedman(mean_ranks, chi2, chi2_p, f, float(f_law.sf(f, k - 1, (k - 1) * (n - 1))), n)


def wilcoxon_holm(means: _Floats, missing: Missing = "error") -> Wilcoxon:
    """Return Wilcoxon's signed-rank test of every pair, with Holm's correction over the pairs.

    The p-values are exact at any number of tasks, and with tied differences too: by the law of the
    rank sum over all assignments of signs. Differences of zero are left out, as Wilcoxon did.

    Args:
        means: ``(N, K)`` regret of each strategy on each task, mean over runs.
        missing: See above.

    Raises:
        InvalidArgumentError: Fewer than 6 tasks or 2 strategies, or a missing one.
    """
    filled = _complete(means, missing, 2)
    n, k = filled.shape
    pairs = np.array([(i, j) for i in range(k) for j in range(i + 1, k)], np.int64)
    tests = [_signed_rank(_differences(filled[:, i], filled[:, j])) for i, j in pairs]
    statistic, raw, used = (np.array(column) for column in zip(*tests, strict=True))
    order = np.argsort(raw, kind="stable")
    stepped = raw[order] * np.arange(len(raw), 0, -1)
    corrected = np.empty(len(raw))
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    p = np.ones((k, k))
    p[pairs[:, 0], pairs[:, 1]] = p[pairs[:, 1], pairs[:, 0]] = corrected
    least = min(1.0, len(pairs) * 2.0 ** (1 - n))
    return Wilcoxon(pairs, statistic, raw, p, used.astype(np.int64), least, n)


def critical_difference(
    means: _Floats, missing: Missing = "error", alpha: float = 0.05
) -> CriticalDifference:
    """Return mean ranks, Nemenyi's critical difference and the groups that are not told apart.

    ``q * sqrt(K (K + 1) / (6 N))`` with ``q`` from the studentized range at infinite degrees of
    freedom, divided by the square root of 2. Nemenyi's verdict on a pair depends on which other
    strategies take part (Benavoli, Corani and Mangili, JMLR 2016); prefer the Wilcoxon groups.

    Args:
        means: ``(N, K)`` regret of each strategy on each task, mean over runs.
        missing: See above.
        alpha: Level of the tests.

    Raises:
        InvalidArgumentError: Fewer than 6 tasks or 2 strategies, or a missing one.
    """
    from scipy.stats import studentized_range

    filled = _complete(means, missing, 2)
    n, k = filled.shape
    ranks = _ranks(filled).mean(axis=0)
    q = float(studentized_range.ppf(1 - alpha, k, np.inf)) / np.sqrt(2)
    apart = float(q * np.sqrt(k * (k + 1) / (6 * n)))
    near = np.abs(ranks[:, None] - ranks) < apart
    alike = wilcoxon_holm(means, missing).p > alpha
    return CriticalDifference(ranks, apart, _groups(near, ranks), _groups(alike, ranks), n)


def bayesian_signed_rank(
    first: _Floats,
    second: _Floats,
    rope: float,
    rng: np.random.Generator,
    *,
    missing: Missing = "error",
    prior: float = 0.5,
    samples: int = 50_000,
    level: float = 0.95,
) -> BayesianSignedRank:
    """Return the Bayesian signed-rank test of two strategies with a region of practical equivalence.

    Benavoli et al., "A Bayesian Wilcoxon signed-rank test based on the Dirichlet process", ICML 2014;
    Benavoli et al., "Time for a Change", JMLR 2017. The prior is a Dirichlet process of strength
    ``prior`` at a difference of zero. In each sample of the posterior the weighted averages of all
    pairs of tasks fall left of, into or right of ``[-rope, rope]``; an average on its edge counts half.

    Args:
        first: ``(N,)`` regret of the first strategy on each task, mean over runs.
        second: ``(N,)`` the second's.
        rope: Half width of the region, in the unit of the regret; 0: none.
        rng: Source of the posterior's samples.
        missing: See above.
        prior: Strength of the prior, in tasks.
        samples: How many samples; 50,000 put a standard error of 0.002 on the probabilities.
        level: Of the credible interval.

    Raises:
        InvalidArgumentError: Fewer than 6 tasks, a missing strategy, or a negative rope.
    """
    if not rope >= 0 or not prior > 0:
        raise InvalidArgumentError(
            f"A rope is 0 or more and a prior more than 0; got {rope} and {prior}."
        )
    filled = _complete(np.column_stack([first, second]), missing, 2)
    n = len(filled)
    ahead = np.append(0.0, _differences(filled[:, 1], filled[:, 0], rope))  # the prior's zero first
    sums = ahead[:, None] + ahead
    above, below = _step(sums - 2 * rope), _step(-sums - 2 * rope)
    weights = rng.dirichlet(np.append(prior, np.ones(n)), samples)
    mass = np.empty((samples, 3))
    mass[:, 0] = np.einsum("si,si->s", weights @ above, weights)
    mass[:, 2] = np.einsum("si,si->s", weights @ below, weights)
    mass[:, 1] = np.maximum(1 - mass[:, 0] - mass[:, 2], 0.0)
    if rope == 0:
        mass[:, 1] = 0.0  # nothing but rounding
    best = np.bincount(mass.argmax(axis=1), minlength=3) / samples
    low, high = np.quantile(mass, [(1 - level) / 2, (1 + level) / 2], axis=0)
    left, middle, right = best.tolist()
    return BayesianSignedRank(left, middle, right, Interval(mass.mean(axis=0), low, high), n)


def _complete(means: _Floats, missing: Missing, least: int) -> _Floats:
    """Return the means without NaN; infinite where the worst rank was imputed.

    Raises:
        InvalidArgumentError: Not tasks x strategies, too few of either, or a strategy is missing.
    """
    means = np.asarray(means, np.float64)
    if missing not in {"error", "drop", "impute"}:
        raise InvalidArgumentError(f"missing is 'error', 'drop' or 'impute'; got {missing!r}.")
    if means.ndim != 2 or means.shape[1] < least:
        raise InvalidArgumentError(
            f"This test needs an array of tasks x at least {least} strategies; got shape {means.shape}."
        )
    # The same runs summed in another order differ in the last digits, and are still a tie.
    scale = np.abs(means).max(axis=1, keepdims=True, where=~np.isnan(means), initial=0.0)
    scale[scale == 0] = 1.0
    absent = np.isnan(means)
    if np.isinf(means).any():
        raise InvalidArgumentError("A mean regret must be finite, or NaN where it is missing.")
    if absent.any() and missing == "error":
        tasks = np.nonzero(absent.any(axis=1))[0].tolist()
        raise InvalidArgumentError(
            f"Some strategies are missing on tasks number {tasks}. Choose missing='drop' (leave "
            f"these tasks out) or missing='impute' (the worst rank there), and say which."
        )
    dropped = absent.any(axis=1) if missing == "drop" else absent.all(axis=1)
    kept = np.where(absent, np.inf, np.round(means / scale, 12) * scale)[~dropped]
    if len(kept) < MIN_TASKS:
        left = (
            f" of {len(means)}, after those without results were left out" if dropped.any() else ""
        )
        raise InvalidArgumentError(
            f"A test over tasks needs at least {MIN_TASKS} tasks; got {len(kept)}{left}. With five, the "
            f"smallest possible p-value of a signed-rank test is 0.0625, and runs do not stand in for "
            f"tasks. Compare task by task with intervals over runs instead."
        )
    return kept


def _ranks(filled: _Floats) -> _Floats:
    """Return ``(N, K)`` ranks within each task; ties share the mean of theirs."""
    ours, theirs = filled[:, :, None], filled[:, None, :]
    ahead = (theirs < ours) + 0.5 * (theirs == ours)
    return np.asarray(0.5 + ahead.sum(axis=2))


def _differences(first: _Floats, second: _Floats, rope: float = 0.0) -> _Floats:
    """Return ``first - second``; two imputed ones tie, and one counts as beyond all finite differences.

    The stand-in is four times the largest difference (or the rope), so that its average with any
    other still lies on the imputed one's side of the rope, and that of two opposite ones is zero.
    """
    with np.errstate(invalid="ignore"):
        found = first - second
    found = np.where(np.isnan(found), 0.0, found)
    beyond = 4 * np.abs(found[np.isfinite(found)]).max(initial=rope) or 1.0
    return np.where(np.isinf(found), np.copysign(beyond, found), found)


def _signed_rank(differences: _Floats) -> tuple[float, float, int]:
    """Return statistic, exact two-sided p-value and number of differences that are not zero."""
    from scipy.stats import rankdata

    differences = differences[differences != 0]
    if not len(differences):
        return 0.0, 1.0, 0
    doubled = np.round(2 * rankdata(np.abs(differences))).astype(np.int64)  # tied ranks are halves
    smaller = min(int(doubled[differences > 0].sum()), int(doubled[differences < 0].sum()))
    law = np.zeros(doubled.sum() + 1)  # probability of each doubled sum of the positive ranks
    law[0] = 1.0
    for rank in doubled.tolist():
        law[rank:] += law[: len(law) - rank].copy()
        law /= 2
    p = min(1.0, 2 * float(law[: smaller + 1].sum()))
    return smaller / 2, p, len(differences)


def _groups(alike: NDArray[np.bool_], ranks: _Floats) -> list[tuple[int, ...]]:
    """Return the largest sets whose members are all pairwise alike (Bron and Kerbosch 1973)."""
    found: list[tuple[int, ...]] = []
    order = np.argsort(ranks, kind="stable").tolist()
    neighbors = [{j for j in order if j != i and alike[i, j]} for i in range(len(ranks))]

    def extend(group: list[int], candidates: list[int], seen: set[int]) -> None:
        if not candidates and not seen and len(group) > 1:
            found.append(tuple(group))
        while candidates:
            one = candidates.pop(0)
            near = neighbors[one]
            extend([*group, one], [c for c in candidates if c in near], seen & near)
            seen = seen | {one}

    extend([], order, set())
    return found


def _step(values: _Floats) -> _Floats:
    scale = np.abs(values).max(initial=0.0) or 1.0
    return np.asarray(np.heaviside(np.round(values / scale, 12), 0.5))  # 1e-17 is an edge too
