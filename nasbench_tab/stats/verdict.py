"""Two verdicts on a difference, kept apart: is it real, and does it matter?

*Real*: would other runs show it too? The paired interval over runs excludes zero. With enough runs on
a table every difference becomes real, however small.

*Matters*: is it larger than what nobody would notice? The interval lies wholly outside the region of
practical equivalence (rope), wholly inside, or across its edge. The default region is the table's own
seed noise, :func:`seed_noise`: the standard error of one reported value, pooled standard deviation
between training seeds over the root of the seeds behind a mean. That is the resolution of the table:
train the same cell once more with other seeds and its entry moves by so much. A method that gains
less on average gains less than the table can tell between a cell and itself.

The intervals are those of :func:`~nasbench_tab.stats.bootstrap.widened_level`. Asked about a
strategy and itself (:func:`false_alarms`), they say "real" in 4.9 to 5.7 % of cases at 20, 50 and 500
runs, in up to 6 % at 10, and in 8 % at 5 runs, which is why few runs are flagged.

The seeds raise a second question that no number of runs can answer: strategies end in the same few
cells, and the error of those cells' entries is in all runs at once. :func:`with_table_noise` gives
the interval that holds both.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> first, second = rng.normal(1.0, 0.1, 50), rng.normal(1.2, 0.1, 50)
    >>> found = verdict(first, second, rope=0.05, weights=resampling_weights(50, 2000, rng))
    >>> found.real, found.matters
    (True, 'relevant')
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.stats.bootstrap import (
    FEW_RUNS,
    MIN_RUNS,
    Interval,
    percentile_interval,
    resampling_weights,
)

__all__ = [
    "NoisyDifference",
    "SeedNoise",
    "Verdict",
    "false_alarms",
    "judge",
    "seed_noise",
    "verdict",
    "with_table_noise",
]

_Floats = NDArray[np.float64]


class Verdict(NamedTuple):
    """What can be said of the difference ``first - second``.

    Attributes:
        difference: With its interval, in the data's unit; NaN ends where there are too few runs.
        real: Whether the interval excludes zero; None: no interval.
        matters: ``"relevant"``: the interval lies outside ``[-rope, rope]``; ``"equivalent"``: inside;
            ``"undecided"``: across an edge; None: no interval or no rope.
        rope: Half width of the region of practical equivalence; NaN: none is known.
        n: Runs.
        note: Why there is no verdict, or what weakens it; empty otherwise.
    """

    difference: Interval
    real: bool | None
    matters: Literal["relevant", "equivalent", "undecided"] | None
    rope: float
    n: int
    note: str


class SeedNoise(NamedTuple):
    """How far training seeds move the values of a table.

    Attributes:
        sd: Standard deviation between trainings of the same cell, pooled, with its interval.
        rope: Standard error of one reported value, ``sd`` over the root of the harmonic mean of the
            seeds behind each: the default region of practical equivalence.
        n: Cells with at least two trainings; without any, everything is NaN, and with fewer than
            ``MIN_RUNS`` the interval is.
    """

    sd: Interval
    rope: float
    n: int


class NoisyDifference(NamedTuple):
    """A difference with the error of the runs and that of the table.

    Attributes:
        difference: With the interval that holds both errors.
        run_sd: Standard error from the runs alone.
        table_sd: Standard error from the table's few seeds, as far as different runs share it; more
            runs do not make it smaller.
        n: Runs.
        cells: Different cells in which the runs of both ended.
    """

    difference: Interval
    run_sd: float
    table_sd: float
    n: int
    cells: int


def verdict(
    first: _Floats, second: _Floats, rope: float, weights: _Floats, level: float = 0.95
) -> Verdict:
    """Return both verdicts on two strategies, from runs that belong together in pairs.

    Args:
        first: ``(R,)`` final value or regret of each run.
        second: ``(R,)`` the other's, in the same order of runs; NaN in either leaves the pair out.
        rope: Half width of the region of practical equivalence, in the same unit; NaN: none known.
        weights: ``(B, R)`` from :func:`~nasbench_tab.stats.bootstrap.resampling_weights`.
        level: Wanted coverage.

    Raises:
        InvalidArgumentError: Runs that do not pair, weights of another number of runs, or a
            negative rope.
    """
    if first.ndim != 1 or first.shape != second.shape or first.shape != weights.shape[1:]:
        raise InvalidArgumentError(
            f"Paired strategies need one value per run each, and weights for as many runs; got "
            f"{first.shape}, {second.shape} and weights {weights.shape}."
        )
    known = np.isfinite(first) & np.isfinite(second)
    gap, n = (first - second)[known], int(known.sum())
    drawn = weights[:, known].sum(axis=1)  # below 1 where a resample holds pairs without a value
    kept = drawn > 0
    resampled = weights[kept][:, known] @ gap / drawn[kept]
    found = percentile_interval(float(gap.mean()) if n else np.nan, resampled, n, level)
    left_out = len(known) - n
    return judge(found, n, rope, f"{left_out} pairs without a value were left out" * bool(left_out))


def judge(difference: Interval, n: int, rope: float, note: str = "") -> Verdict:
    """Return both verdicts on a difference whose interval is at hand.

    Args:
        difference: One difference, shape ``()``: over runs, or with the table's noise.
        n: Runs behind it.
        rope: Half width of the region of practical equivalence; NaN: none known.
        note: Said before what this function has to say.

    Raises:
        InvalidArgumentError: A negative rope.
    """
    if rope < 0:
        raise InvalidArgumentError(f"A region of practical equivalence is 0 or wider; got {rope}.")
    notes = [note] * bool(note)
    if n < MIN_RUNS:
        nothing = np.full_like(difference.estimate, np.nan)
        bare = Interval(difference.estimate, nothing, nothing)
        notes.append(f"{n} runs; an interval needs at least {MIN_RUNS}")
        return Verdict(bare, None, None, rope, n, "; ".join(notes))
    if n < FEW_RUNS:
        notes.append(f"only {n} runs; an interval over fewer than {FEW_RUNS} is a rough one")
    low, high = float(difference.low), float(difference.high)
    matters: Literal["relevant", "equivalent", "undecided"] | None = "undecided"
    if np.isnan(rope):
        matters = None
        notes.append("no region of practical equivalence: this table has one training per cell")
    elif low > rope or high < -rope:
        matters = "relevant"
    elif -rope <= low and high <= rope:
        matters = "equivalent"
    return Verdict(difference, bool(_excludes_zero(difference)), matters, rope, n, "; ".join(notes))


def seed_noise(trainings: _Floats, level: float = 0.95) -> SeedNoise:
    """Return the standard deviation between training seeds, pooled over cells.

    Give the cells in which the strategies ended, or the best tenth of the table, not all of it: cells
    that barely train vary most (on nb201-cifar10 the pooled deviation is 0.56 points over all cells
    and 0.20 over the best tenth), and no strategy ends there.

    Args:
        trainings: ``(C, S)`` value of each cell with each training seed; NaN: no such training.
        level: Of the interval, which is that of a ratio estimator over cells.
    """
    from scipy.special import ndtri

    present = np.isfinite(trainings)
    seeds = present.sum(axis=1)
    trained = seeds > 0
    values, present, seeds = trainings[trained], present[trained], seeds[trained]
    means = np.where(present, values, 0.0).sum(axis=1) / seeds
    squares = np.where(present, (values - means[:, None]) ** 2, 0.0).sum(axis=1)
    freedom = int((seeds - 1).sum())
    if not freedom:
        nothing = np.asarray(np.nan)
        return SeedNoise(Interval(nothing, nothing, nothing), np.nan, 0)
    variance = float(squares.sum() / freedom)
    error = float(np.sqrt(((squares - variance * (seeds - 1)) ** 2).sum())) / freedom
    reach = float(ndtri((1 + level) / 2)) * error
    n = int((seeds > 1).sum())
    if n < MIN_RUNS:
        reach = np.nan
    sd, low, high = np.sqrt([variance, np.maximum(0.0, variance - reach), variance + reach])
    interval = Interval(np.asarray(sd), np.asarray(low), np.asarray(high))
    return SeedNoise(interval, float(sd * np.sqrt(np.mean(1 / seeds))), n)


def with_table_noise(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    values: _Floats,
    seeds: NDArray[np.int64],
    sd: ArrayLike,
    weights: _Floats,
    rng: np.random.Generator,
    level: float = 0.95,
) -> NoisyDifference:
    """Return the mean of ``first - second`` with an interval over other runs *and* other trainings.

    A reported mean is off by an error of standard deviation ``sd / sqrt(seeds)``: one draw for each
    cell, the same wherever the cell occurs, in all runs of both strategies. The part of it that
    different runs share does not average out; it is a normal error of the difference with variance
    ``sum of (share in first - share in second)**2 * sd**2 / seeds`` over the cells (estimated from
    pairs of different runs, so that what a run has alone is not counted twice: it is in the spread
    over runs already). Each resample of runs gets one draw of it. Where both strategies end in the
    same cells it cancels. The cells are taken as they were found; that a search prefers cells whose
    entries came out too high (the winner's curse) is a bias, not a spread, and not in this interval.

    Args:
        first: ``(R,)`` number of the cell in which each run of the first strategy ended.
        second: ``(R,)`` the second's, in the same order of runs.
        values: ``(C,)`` reported mean of each cell.
        seeds: ``(C,)`` trainings behind it, at least 1.
        sd: Standard deviation between trainings, of all cells or ``(C,)``; see :func:`seed_noise`.
        weights: ``(B, R)`` from :func:`~nasbench_tab.stats.bootstrap.resampling_weights`.
        rng: Source of the errors.
        level: Wanted coverage.

    Raises:
        InvalidArgumentError: Runs that do not pair, a cell without a training, an unknown deviation.
    """
    if first.shape != second.shape or first.shape != weights.shape[1:]:
        raise InvalidArgumentError(
            f"Paired strategies need one cell per run each, and weights for as many runs; got "
            f"{first.shape}, {second.shape} and weights {weights.shape}."
        )
    n = len(first)
    if not n or min(first.min(), second.min()) < 0:
        raise InvalidArgumentError(
            "Every run needs a final cell, numbered from 0; leave out the pairs without one."
        )
    cells, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    spread = np.broadcast_to(np.asarray(sd, np.float64), np.shape(values))[cells]
    if not (np.all(seeds[cells] >= 1) and np.all(spread >= 0)):
        raise InvalidArgumentError(
            "Table noise needs at least one training behind every final cell and a known standard "
            "deviation between trainings (at least 0); a table with one training per cell has none: "
            "give one from elsewhere, or do without this interval."
        )
    gap = values[first] - values[second]
    variance = spread**2 / seeds[cells]
    # How often each cell stands in first less how often in second, and the same squared run by run.
    ours, theirs = (np.bincount(part, minlength=len(cells)) for part in (place[:n], place[n:]))
    both = np.bincount(place[:n][first == second], minlength=len(cells))
    crossed = (ours - theirs) ** 2 - (ours + theirs - 2 * both)
    table_sd = float(np.sqrt(max(0.0, (crossed * variance).sum()) / (n * max(1, n - 1))))
    resampled = weights @ gap + table_sd * rng.standard_normal(len(weights))
    return NoisyDifference(
        percentile_interval(float(gap.mean()), resampled, n, level),
        float(gap.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan,
        table_sd,
        n,
        len(cells),
    )


def false_alarms(
    pool: _Floats,
    n_runs: int,
    rng: np.random.Generator,
    *,
    repetitions: int = 1000,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Return how often a strategy is called different from itself: the planted null experiment.

    Each repetition draws ``n_runs`` finals twice, independently and with replacement, and asks
    :func:`verdict`'s question. At best ``1 - level`` of the answers are wrong.

    Args:
        pool: ``(P,)`` finals of many independent runs of one strategy; they are the population.
        n_runs: Runs of each of the two, at least ``MIN_RUNS``.
        rng: Source of everything.
        repetitions: Experiments.
        resamples: Resamples behind each interval; one set of weights serves all, as in a report.
        level: Wanted coverage of the interval under test.

    Returns:
        The share of experiments that are called different, with its 95 % Wilson interval.

    Raises:
        InvalidArgumentError: Fewer runs than an interval needs.
    """
    from scipy.stats import binomtest

    if n_runs < MIN_RUNS:
        raise InvalidArgumentError(f"An interval needs at least {MIN_RUNS} runs; got {n_runs}.")
    first, second = rng.choice(pool, (2, n_runs, repetitions))
    gap = first - second
    weights = resampling_weights(n_runs, resamples, rng)
    found = percentile_interval(gap.mean(axis=0), weights @ gap, n_runs, level)
    alarms = int(_excludes_zero(found).sum())
    share = binomtest(alarms, repetitions).proportion_ci(0.95, method="wilson")
    return Interval(np.asarray(alarms / repetitions), np.asarray(share.low), np.asarray(share.high))


def _excludes_zero(found: Interval) -> NDArray[np.bool_]:
    # Differences that cancel do so up to rounding: an end at 1e-17 is an end at zero.
    hair = 1e-12 * np.maximum(np.abs(found.low), np.abs(found.high))
    return np.asarray((found.low > hair) | (found.high < -hair))
