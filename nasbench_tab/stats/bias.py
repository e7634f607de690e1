"""How far claims were off, from fresh trainings: the winners' bias with its interval, tests and verdict.

A claim is the value that a table or a surrogate gives for a cell. The bias is the claim minus the mean of
fresh trainings of that cell, plus the drift of the pipeline: what retraining cells of known value gave more
than is on record. It is positive where the claim is optimistic, for minimised metrics too. Seeds are nested
in cells, and a cell may have won several runs: it counts once, with the runs as its weight, so that ``n``
is cells, never trainings.

The interval is that of the cells' means, with an error and degrees of freedom that know of unequal weights
and a guard against skewness (:mod:`nasbench_tab.stats.cellmean`). The drift's error is added, with the degrees of freedom of Welch
and Satterthwaite. What speaks for t against a bootstrap and a mixed model was measured:
docs/verification.md.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(90, 1, 20)
    >>> claimed = truth + 0.5 + rng.normal(0, 0.3, 20)
    >>> fresh = truth[:, None] + rng.normal(0, 0.3, (20, 3))
    >>> found = arm_bias(claimed, fresh, "max")
    >>> [verdict.word for verdict in verdicts([found], margin=0.3)]
    ['optimistic']
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Direction
from nasbench_tab.stats.cellmean import (
    Mean,
    cell_gaps,
    cell_mean,
    interval,
    least_margin,
    p_equivalence,
    p_two_sided,
    smallest_detectable,
    total,
    variance_parts,
)

__all__ = [
    "MIN_CELLS",
    "MIN_EFFECTIVE",
    "MIN_KNOWN",
    "ArmBias",
    "BiasVerdict",
    "arm_bias",
    "holm",
    "verdicts",
]

#: Cells without which there is no verdict (below six not even the sign test reaches 5 %), cells that the
#: weights must be worth, and known cells without which the drift is not known.
MIN_CELLS, MIN_EFFECTIVE, MIN_KNOWN = 6, 4.0, 3

_Floats = NDArray[np.float64]


class ArmBias(NamedTuple):
    """How far the claims of one arm (the winners of a strategy, say) were off, in the metric's unit.

    Attributes:
        mean: Bias after the drift is taken out; positive = optimistic.
        low: Lower end of the interval.
        high: Upper end.
        se: Standard error, that of the drift in it.
        df: Its degrees of freedom.
        skewness: Of the mean's law.
        p: Of the two-sided test against no bias.
        raw: Claimed minus fresh, the drift still in it.
        drift: Retrained minus on record, positive = retraining gives better values; NaN = not known,
            and then nothing was taken out.
        n: Cells.
        effective: Cells that the weights are worth: ``sum(w)**2 / sum(w**2)``.
        positive: Cells whose claim was optimistic.
        p_sign: Of the sign test, which assumes nothing of the errors: a floor under ``p``.
        sd_cells: Deviation of the claims' error between cells, that of the seeds taken out.
        sd_seeds: Deviation between fresh trainings of a cell; NaN where none was trained twice.
        detectable: Smallest bias that a study like this finds in 80 % of cases.
        least_margin: Smallest margin within which it shows a bias of 0 to lie in about 80 % of cases.
        trainings: Fresh trainings with a value.
        failed: Fresh trainings without one.
        left_out: Cells all of whose trainings are without a value, or that have no claim.
    """

    mean: float
    low: float
    high: float
    se: float
    df: float
    skewness: float
    p: float
    raw: float
    drift: float
    n: int
    effective: float
    positive: int
    p_sign: float
    sd_cells: float
    sd_seeds: float
    detectable: float
    least_margin: float
    trainings: int
    failed: int
    left_out: int


Word = Literal["no meaningful bias", "optimistic", "pessimistic", "inconclusive"]


class BiasVerdict(NamedTuple):
    """What can be said of an arm.

    Attributes:
        word: ``"no meaningful bias"``: shown to be smaller than the margin. ``"optimistic"`` and
            ``"pessimistic"``: a bias is shown. ``"inconclusive"``: neither.
        p: Of the two-sided test after Holm's correction over the arms.
        p_equivalence: Of the test of equivalence, likewise; NaN without a margin.
        note: Why, or what weakens it; a sentence or more.
    """

    word: Word
    p: float
    p_equivalence: float
    note: str


def arm_bias(
    claimed: _Floats,
    fresh: _Floats,
    direction: Direction,
    *,
    runs: ArrayLike = 1.0,
    known: _Floats | None = None,
    level: float = 0.95,
) -> ArmBias:
    """Return how far the claims of one arm were off.

    Args:
        claimed: ``(n,)`` one claim for each cell, each cell once.
        fresh: ``(n, R)`` values of fresh trainings; NaN = failed, or not asked for.
        direction: Which way is better.
        runs: ``(n,)`` runs that each cell won, above 0; where cells were drawn, 1.
        known: ``(m, S)`` retrained minus on record of cells with known values, NaN = none: the same
            seed's where it is on record, else one difference of means for each cell. They must not have
            been chosen by their values. Fewer than :data:`MIN_KNOWN` cells: the drift stays in.
        level: Of the interval.

    Raises:
        InvalidArgumentError: Shapes that do not fit, a claim that is infinite, weights of 0 or less.
    """
    claimed, fresh = np.asarray(claimed, np.float64), np.asarray(fresh, np.float64)
    weights = np.asarray(runs, np.float64)
    if claimed.ndim != 1 or fresh.ndim != 2 or len(fresh) != len(claimed):
        raise InvalidArgumentError(
            f"An arm needs one claim for each cell and a row of fresh values for each; got shapes "
            f"{claimed.shape} and {fresh.shape}."
        )
    if weights.shape not in {(), claimed.shape} or not np.all(weights > 0):
        raise InvalidArgumentError(
            f"runs must be one number above 0 for each of {len(claimed)} cells; got {runs!r}."
        )
    if np.isinf(claimed).any() or np.isinf(fresh).any():
        raise InvalidArgumentError(
            "A claim or a fresh value is infinite. Expected finite values; give NaN for a training that failed."
        )
    gaps = cell_gaps(claimed, fresh, direction)
    used = np.isfinite(gaps)
    n = int(used.sum())
    raw = cell_mean(gaps, weights)
    drift = _drift(known, direction)
    found = raw if drift is None else total(raw, drift)
    low, high = interval(found, level)
    shift = 0.0 if drift is None else float(drift.mean)
    signs = np.sign(gaps[used] + shift)
    share = np.broadcast_to(weights, claimed.shape)[used]
    sd_cells, sd_seeds = variance_parts(claimed, fresh)
    trained = int(np.isfinite(fresh[np.isfinite(claimed)]).sum())
    return ArmBias(
        mean=float(found.mean),
        low=float(low),
        high=float(high),
        se=float(found.se),
        df=float(found.df),
        skewness=float(found.skewness),
        p=float(p_two_sided(found)),
        raw=float(raw.mean),
        drift=math.nan if drift is None else shift,
        n=n,
        effective=float(share.sum() ** 2 / (share**2).sum()) if n else 0.0,
        positive=int((signs > 0).sum()),
        p_sign=_p_sign(int((signs > 0).sum()), int((signs != 0).sum())),
        sd_cells=sd_cells,
        sd_seeds=sd_seeds,
        detectable=smallest_detectable(float(found.se), float(found.df), level),
        least_margin=least_margin(float(found.se), float(found.df), level),
        trainings=trained,
        failed=int(np.isnan(fresh).sum()),
        left_out=len(claimed) - n,
    )


def verdicts(
    arms: Sequence[ArmBias], margin: float = math.nan, level: float = 0.95
) -> list[BiasVerdict]:
    """Return the verdict on each arm; p-values are corrected over all that have cells enough.

    "No meaningful bias" needs the test of equivalence, not the absence of significance, and comes before
    "optimistic": a bias may be both shown and too small to matter.

    Args:
        arms: Those that a verdict is asked of; give only arms planned before anything was trained.
        margin: Bias that would not matter, above 0; NaN = none was fixed.
        level: 1 minus the level of the tests.

    Raises:
        InvalidArgumentError: A margin that is not above 0.
    """
    if margin <= 0:
        raise InvalidArgumentError(f"The margin must be above 0; got {margin}.")
    enough = [arm.n >= MIN_CELLS and arm.effective >= MIN_EFFECTIVE for arm in arms]
    able = [arm for arm, yes in zip(arms, enough, strict=True) if yes]
    means = [Mean(*map(np.asarray, (arm.mean, arm.se, arm.df, arm.skewness))) for arm in able]
    apart = iter(holm([arm.p for arm in able]))
    within = iter(holm([float(p_equivalence(mean, margin)) for mean in means]))
    found = []
    for arm, yes in zip(arms, enough, strict=True):
        if not yes:
            found.append(BiasVerdict("inconclusive", math.nan, math.nan, _too_few(arm)))
            continue
        p, inside = next(apart), next(within)
        found.append(_judged(arm, p, inside, margin, 1 - level))
    return found


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected by Holm's method (Scandinavian Journal of Statistics 1979); NaN stays."""
    order = sorted((value, i) for i, value in enumerate(p) if not math.isnan(value))
    found, most = list(p), 0.0
    for rank, (value, i) in enumerate(order):
        most = max(most, min(1.0, (len(order) - rank) * value))
        found[i] = most
    return found


def _judged(arm: ArmBias, p: float, inside: float, margin: float, alpha: float) -> BiasVerdict:
    notes = []
    word: Word = "inconclusive"
    if inside <= alpha:
        word = "no meaningful bias"
    elif p <= alpha:
        word = "optimistic" if arm.mean > 0 else "pessimistic"
        if min(abs(arm.low), abs(arm.high)) < margin:
            notes.append(f"it may be below the margin of {margin:.3g}")
    else:
        shown = f", and can show one to lie within a margin of {arm.least_margin:.2g}"
        notes.append(
            f"neither a bias nor its absence is shown: {arm.n} cells like these find a bias of "
            f"{arm.detectable:.2g} in 80 % of cases{shown * (not math.isnan(margin))}"
        )
    if math.isnan(arm.drift):
        notes.append(f"the drift is not known (fewer than {MIN_KNOWN} known cells) and stays in")
    if arm.failed:
        asked = arm.trainings + arm.failed
        notes.append(f"{arm.failed} of {asked} trainings failed; this is about those that finished")
    return BiasVerdict(word, p, inside, "; ".join(notes))


def _too_few(arm: ArmBias) -> str:
    if arm.n < MIN_CELLS:
        return f"fresh values of {arm.n} cells; a verdict needs at least {MIN_CELLS}"
    return (
        f"{arm.n} cells, but a few won most runs: they are worth {arm.effective:.1f}; a verdict needs "
        f"at least {MIN_EFFECTIVE:.0f}"
    )


def _drift(known: _Floats | None, direction: Direction) -> Mean | None:
    if known is None or not np.size(known):
        return None
    each = -cell_gaps(np.zeros(len(known)), known, direction)
    return None if np.isfinite(each).sum() < MIN_KNOWN else cell_mean(each)


def _p_sign(positive: int, n: int) -> float:
    from scipy.special import bdtr

    return float(min(1.0, 2 * bdtr(min(positive, n - positive), n, 0.5))) if n else math.nan
