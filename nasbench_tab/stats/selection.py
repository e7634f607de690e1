"""What choosing by a claim does to it: the winner's curse, expected from theory and from other evidence.

A claim is truth plus error, and a search keeps the cell with the best claim. So the error of what it keeps
is not 0 on average, though it is over all cells. Nothing needs to be trained to know by how much:
:func:`normal_excess` for normal truth and error, :func:`excess_of_pairs` from cells of which a claim and an
independent value are both at hand: what was predicted of a cell while it was held out and what it then gave,
or two trainings of a cell with different seeds.

The rest stands beside a bias: whether intervals hold for winners, what the pick lost, and why controls of
equal claims show nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Direction
from nasbench_tab.stats.bootstrap import Interval, percentile_interval, resampling_weights
from nasbench_tab.stats.cellmean import cell_gaps
from nasbench_tab.stats.prediction import proportion_interval

__all__ = [
    "Covered",
    "Excess",
    "Matched",
    "Regret",
    "covered",
    "excess_of_pairs",
    "largest_of",
    "level_matched",
    "normal_excess",
    "pick_regret",
]

_Floats = NDArray[np.float64]
_RESAMPLES = 1000


class Excess(NamedTuple):
    """Expected optimism of the best of ``draws`` claims.

    Attributes:
        excess: In the metric's unit, positive = optimistic, with its 95 % interval over groups.
        normal: The same if truth and error were normal, with the deviations of these pairs.
        draws: Claims that are compared.
        pairs: Pairs of claim and value behind it.
        support: Pairs that the answer is worth: where that is below about 10, a few pairs decide it and
            the interval is too short.
    """

    excess: Interval
    normal: float
    draws: int
    pairs: int
    support: float


class Covered(NamedTuple):
    """How often claimed intervals hold the fresh values.

    Attributes:
        share: Mean over cells of the share of its trainings that lie inside.
        low: Of the interval of Clopper and Pearson; trials are cells, not trainings.
        high: See ``low``.
        n: Cells.
    """

    share: float
    low: float
    high: float
    n: int


class Regret(NamedTuple):
    """What the cell with the best claim lost against the best of those trained, in the metric's unit.

    Attributes:
        plain: Against the best mean of fresh values. That maximum is flattered itself, so this is
            too much rather than too little.
        split: Against the cell that all seeds but one find best, on the seed left out, averaged: too
            little rather than too much. NaN with one training each.
        n: Cells.
    """

    plain: float
    split: float
    n: int


class Matched(NamedTuple):
    """Winners against drawn cells of nearly the same claim.

    Attributes:
        difference: Mean optimism of the winners less that of their matches; NaN without any.
        n: Winners with a match.
        without: Winners without one within the caliper.
    """

    difference: float
    n: int
    without: int


def largest_of(n: int) -> float:
    """Return the expected largest of ``n`` standard normal numbers.

    Example:
        >>> round(largest_of(3), 3), round(largest_of(100), 3)
        (0.846, 2.508)
    """
    from scipy.special import log_ndtr

    if n < 1:
        raise InvalidArgumentError(f"A largest number needs at least one; got n = {n}.")
    x = np.linspace(-12.0, 12.0, 4801)  # on a smooth density the plain sum is exact to rounding
    log_density = math.log(n) - x**2 / 2 - math.log(2 * math.pi) / 2 + (n - 1) * log_ndtr(x)
    return float((x * np.exp(log_density)).sum() * (x[1] - x[0]))


def normal_excess(draws: int, sd_truth: float, sd_error: float, correlation: float = 0.0) -> float:
    """Return the expected error of the best of ``draws`` claims, claim = truth + error, both normal.

    The error's regression on the claim times the expected largest claim (Smith and Winkler, "The
    optimizer's curse", Management Science 52, 2006). A surrogate that shrinks its predictions has errors
    that fall with the truth, and the excess may be negative: the winners are underestimated.

    Args:
        draws: Claims that are compared, at least 1.
        sd_truth: Deviation of the truth between cells.
        sd_error: Deviation of the error.
        correlation: Of truth and error.

    Example:
        >>> round(normal_excess(100, 0.0, 0.2), 3), round(normal_excess(100, 0.4, 0.2), 3)
        (0.502, 0.224)
    """
    if min(sd_truth, sd_error) < 0 or not -1 <= correlation <= 1:
        raise InvalidArgumentError(
            f"Deviations are 0 or more and a correlation is -1 to 1; got {sd_truth}, {sd_error}, {correlation}."
        )
    shared = correlation * sd_truth * sd_error
    spread = math.sqrt(max(0.0, sd_truth**2 + sd_error**2 + 2 * shared))
    return 0.0 if spread == 0 else (sd_error**2 + shared) / spread * largest_of(draws)


def excess_of_pairs(
    claimed: _Floats,
    real: _Floats,
    draws: int,
    direction: Direction,
    rng: np.random.Generator,
    *,
    groups: NDArray[np.intp] | None = None,
    resamples: int = _RESAMPLES,
) -> Excess:
    """Return how optimistic the best of ``draws`` claims is, by pairs that no search has chosen.

    Exact for draws of these pairs with replacement: the claim at place ``i`` from below wins with
    probability ``F_i**draws - F_(i-1)**draws``. The values' own noise does no harm: it is independent of
    the claim.

    Args:
        claimed: ``(n,)`` claims.
        real: ``(n,)`` values that had no part in them.
        draws: Claims that a search compares, at least 1.
        direction: Which way is better.
        rng: Of the resamples.
        groups: ``(n,)`` numbers of what was drawn together (trainings of one network); None = each pair.
        resamples: Of groups, for the interval.

    Raises:
        InvalidArgumentError: Arrays that do not fit, values that are not finite, no draw.
    """
    claimed, real = np.asarray(claimed, np.float64), np.asarray(real, np.float64)
    if claimed.ndim != 1 or claimed.shape != real.shape or not len(claimed) or draws < 1:
        raise InvalidArgumentError(
            f"Pairs need as many claims as values, and at least one draw; got {claimed.shape}, {real.shape} "
            f"and draws = {draws}."
        )
    if not (np.isfinite(claimed).all() and np.isfinite(real).all()):
        raise InvalidArgumentError("Pairs must be finite; leave out those without a value.")
    sign = 1.0 if direction == "max" else -1.0
    order = np.argsort(sign * claimed, kind="stable")
    gaps = (sign * (claimed - real))[order]
    ties = np.unique((sign * claimed)[order], return_index=True)[1]
    number = np.arange(len(claimed)) if groups is None else np.asarray(groups)
    number = np.unique(number, return_inverse=True)[1].reshape(-1)[order]
    n_groups = int(number.max()) + 1
    parts, left = [], resamples
    while left > 0:  # a block at a time: little memory
        many = min(left, max(1, 4_000_000 // len(claimed)))
        weights = resampling_weights(n_groups, many, rng)[:, number]
        weights /= weights.sum(axis=1, keepdims=True)  # groups differ in size
        parts.append(_best(weights, gaps, ties, draws)[0])
        left -= many
    mean, chance = _best(np.full((1, len(claimed)), 1 / len(claimed)), gaps, ties, draws)
    claims, error = sign * claimed, sign * (claimed - real)
    spread = float(claims.std())
    shared = float(((claims - claims.mean()) * error).mean())
    normal = float(error.mean()) + (shared / spread * largest_of(draws) if spread > 0 else 0.0)
    return Excess(
        percentile_interval(float(mean[0]), np.concatenate(parts), n_groups),
        normal,
        draws,
        len(claimed),
        float(1 / (chance**2).sum()),
    )


def covered(lower: _Floats, upper: _Floats, fresh: _Floats) -> Covered:
    """Return how often the claimed intervals of one training hold fresh ones.

    Args:
        lower: ``(n,)``; cells without an interval are NaN and left out.
        upper: ``(n,)``.
        fresh: ``(n, R)``, NaN = failed.
    """
    known = np.isfinite(fresh)
    used = known.any(axis=1) & np.isfinite(lower) & np.isfinite(upper)
    n = int(used.sum())
    if not n:
        return Covered(math.nan, math.nan, math.nan, 0)
    inside = (lower[:, None] <= fresh) & (fresh <= upper[:, None])
    shares = inside[used].sum(axis=1) / known[used].sum(axis=1)
    return Covered(float(shares.mean()), *proportion_interval(float(shares.sum()), n), n)


def pick_regret(claimed: _Floats, fresh: _Floats, direction: Direction) -> Regret:
    """Return what the pick, the cell with the best claim, lost against the best of those trained.

    Args:
        claimed: ``(n,)``.
        fresh: ``(n, R)``, NaN = failed.
        direction: Which way is better.
    """
    sign = 1.0 if direction == "max" else -1.0
    worth = -cell_gaps(np.zeros(len(claimed)), sign * fresh, "max")
    used = np.isfinite(worth) & np.isfinite(claimed)
    if not used.any():
        return Regret(math.nan, math.nan, 0)
    values, worth = sign * fresh[used], worth[used]
    pick = int(np.argmax(sign * claimed[used]))
    lost = []
    for seed in range(values.shape[1]):
        others = -cell_gaps(np.zeros(len(values)), np.delete(values, seed, axis=1), "max")
        both = np.isfinite(others) & np.isfinite(values[:, seed])
        if both[pick]:
            best = int(np.argmax(np.where(both, others, -np.inf)))
            lost.append(float(values[best, seed] - values[pick, seed]))
    split = float(np.mean(lost)) if lost else math.nan
    return Regret(float(worth.max() - worth[pick]), split, len(worth))


def level_matched(
    claimed: _Floats, gaps: _Floats, drawn: _Floats, drawn_gaps: _Floats, caliper: float = math.inf
) -> Matched:
    """Return winners' optimism less that of drawn cells with the nearest claims. A diagnostic only.

    Of two cells with the same claim the one that won is no more overestimated than the other: given the
    claim, winning says nothing about the error. So a difference of 0 does not mean that there is no winner's
    curse (it is in both), and one other than 0 points at something else than selection by the claim.
    Winners at the very top have no match.

    Args:
        claimed: ``(n,)`` of winners.
        gaps: ``(n,)`` their optimism.
        drawn: ``(m,)`` claims of cells that were drawn.
        drawn_gaps: ``(m,)`` their optimism.
        caliper: Claims further apart do not match.
    """
    rest, cells = np.isfinite(drawn) & np.isfinite(drawn_gaps), np.isfinite(claimed + gaps)
    if not (rest.any() and cells.any()):
        return Matched(math.nan, 0, int(cells.sum()))
    away = np.abs(claimed[cells, None] - drawn[rest])
    near = away.argmin(axis=1)
    fits = away.min(axis=1) <= caliper
    differences = (gaps[cells] - drawn_gaps[rest][near])[fits]
    n = len(differences)
    return Matched(float(differences.mean()) if n else math.nan, n, int((~fits).sum()))


def _best(
    weights: _Floats, gaps: _Floats, ties: NDArray[np.intp], draws: int
) -> tuple[_Floats, _Floats]:
    """Return ``(B,)`` expected gap of the best of ``draws``, and the chance of each pair to be it.

    Args:
        weights: ``(B, n)`` probabilities, the lowest claim first.
        gaps: ``(n,)`` in that order.
        ties: Where each group of equal claims begins; within one, pairs win by their weight.
        draws: How many.
    """
    mass = np.add.reduceat(weights, ties, axis=1)
    below = np.minimum(np.cumsum(mass, axis=1), 1.0)
    below[:, -1] = 1.0
    wins = np.diff(below**draws, axis=1, prepend=0.0)
    share = np.divide(wins, mass, out=np.zeros_like(wins), where=mass > 0)
    chance = np.repeat(share, np.diff(ties, append=len(gaps)), axis=1) * weights
    return chance @ gaps, chance
