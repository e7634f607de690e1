"""Training time as a function of the architecture: cumulative seconds after each epoch.

Times are made of one positive number for each architecture (the seconds of the full training) and one
positive share for each epoch, common to all. So they grow from epoch to epoch whatever is predicted. A
training that was paused has an epoch that took far too long: it is cut to what the others say.

The seconds of a network are first of all a sum: so much for each operation, whatever the cell. That
law (:func:`work_of`, rates not below 0 by least relative squares) is fitted where ``work`` is given, and
boosted trees of the logarithm add what it misses, where that is more than noise: errors are
proportional, an ``sd`` of 0.05 is five percent. Without ``work`` there are only the trees.

Mean absolute error out of fold in percent, with the law and with trees alone: 6.8 and 7.4 on 841
networks trained on Fashion-MNIST, of which about 5 is noise of the machine; 6.7 and 10.1 on 80 of them;
8.8 and 10.9 on 225 networks of free width; 1.5 and 8.4 on 800 cells of nb201-cifar10, whose networks
compute their dead edges too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError, SurrogateError
from nasbench_tab.predictors.trees import Settings, Trees, fit_trees
from nasbench_tab.spaces.base import Space

__all__ = [
    "INTERRUPTED", "MIN_RUNS", "TREES", "Cost", "cost_from", "fit_cost", "full_seconds", "shares_of", "work_of",
]  # fmt: skip

_Floats = NDArray[np.float64]

#: With fewer timed runs there is no model of the cost.
MIN_RUNS = 10

#: An epoch that takes this many times its run's median epoch was interrupted.
INTERRUPTED = 1.5

#: Of the trees: seconds vary smoothly, so that they are shallower than for accuracies.
TREES = Settings(rounds=125, depth=3, rate=0.06, leaf=5.0, spread=1.0)
# Stands in where the law says all: fitted on zeros, it answers 0.
_NO_TREES = Settings(members=1, rounds=1, depth=1)
# Trees are added only if they take off this part of the deviation.
_WORTH = 0.02


class Cost(NamedTuple):
    """Predicts seconds.

    Attributes:
        trees: Of the logarithm of the full training's seconds over the law's.
        shares: ``(E,)`` part of them that is spent up to each epoch; ascending, the last is 1.
        sd: Standard deviation of the logarithm of a run's time around the prediction, out of fold;
            about the relative error.
        rates: ``(W,)`` seconds for each unit of work, not below 0; empty = there is no law.
        least: Seconds that the law says at least: half of the shortest training seen.
    """

    trees: Trees
    shares: _Floats
    sd: float
    rates: _Floats
    least: float

    def seconds(self, x: NDArray[np.float32], work: _Floats | None = None) -> _Floats:
        """Return ``(n, E)`` cumulative seconds, growing from epoch to epoch.

        Args:
            x: ``(n, F)`` features.
            work: ``(n, W)`` as for the fit.

        Raises:
            InvalidArgumentError: No work though it was fitted with, or other columns.
        """
        if (0 if work is None else np.shape(work)[-1]) != len(self.rates):
            raise InvalidArgumentError(
                f"The cost was fitted with {len(self.rates)} columns of work; got "
                f"{'none' if work is None else np.shape(work)}. Give what work_of returns, or None for 0."
            )
        found = self.trees.members(_beside(x, work))[:, :, 0].mean(axis=1)
        full = np.exp(found + _law(self.rates, self.least, work))
        return np.asarray(full[:, None] * self.shares)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what :func:`cost_from` needs besides the trees, as plain arrays."""
        numbers = np.array([self.sd, self.least])
        return {"shares": self.shares, "rates": self.rates, "numbers": numbers}


def cost_from(arrays: Mapping[str, NDArray[Any]], trees: Trees) -> Cost:
    """Return the cost model that :meth:`Cost.arrays` wrote down.

    Raises:
        SurrogateError: Something is missing, or times would not grow.
    """
    try:
        shares, rates = (np.array(arrays[name], np.float64) for name in ("shares", "rates"))
        sd, least = np.asarray(arrays["numbers"], np.float64).tolist()
        fits = (
            shares.ndim == rates.ndim == 1
            and len(shares) > 0
            and np.isfinite([*shares, *rates, sd, least]).all()
            and (np.diff(shares, prepend=0.0) > 0).all()
            and shares[-1] == 1.0
            and (rates >= 0).all()
            and sd >= 0
            and least > 0
        )
    except (KeyError, TypeError, ValueError) as err:
        raise SurrogateError(f"A model of the cost cannot be read: {err!r}.") from err
    if not fits:
        raise SurrogateError(
            "A model of the cost is inconsistent: expected shares that grow from above 0 to 1, rates not below "
            f"0 and finite deviations; got shares {shares[:8]}, rates {rates[:8]}, sd {sd}, least {least}. "
            "Fit the surrogate again."
        )
    return Cost(trees, shares, sd, rates, least)


def work_of(space: Space, cells: NDArray[np.uint8]) -> _Floats:
    """Return ``(n, W)`` amounts that seconds may be proportional to: what is in a network.

    How often each option is chosen, among positions with as many options, and that times the figure
    ``cells`` where the space has it; the space's figures (parameters, MACs ...); and 1, for what every
    training takes.

    Args:
        space: Of the cells.
        cells: ``(n, cell length)`` **as they are trained**: a network built with its dead edges computes
            them, so that it is not the canonical cell's time.
    """
    choices, figures = space.choices, space.figures(cells)
    parts: list[NDArray[Any]] = []
    for n in sorted(set(choices)):
        alike = cells[:, [place for place, many in enumerate(choices) if many == n]]
        parts.append((alike[:, :, None] == np.arange(n, dtype=np.uint8)).sum(axis=1))
    if "cells" in figures:
        # An operation of the cell is done once in each of the network's cells.
        parts += [counts * figures["cells"][:, None] for counts in parts]
    figured = np.stack([*figures.values(), np.ones(len(cells))], axis=1)
    work: _Floats = np.concatenate([*parts, figured], axis=1, dtype=np.float64)
    return np.maximum(work, 0.0, out=work)


def fit_cost(
    x: NDArray[np.float32],
    seconds: _Floats,
    groups: NDArray[np.intp],
    rng: np.random.Generator,
    *,
    work: _Floats | None = None,
    folds: int = 5,
    settings: Settings = TREES,
) -> Cost | None:
    """Fit a model of the cost, or return None where fewer than :data:`MIN_RUNS` runs have times.

    Args:
        x: ``(n, F)`` features.
        seconds: ``(n, E)`` cumulative, NaN where not known: runs without any are left out.
        groups: ``(n,)`` same number = same network.
        rng: Of the bootstrap and the folds.
        work: ``(n, W)`` not below 0, see :func:`work_of`; None = no law.
        folds: For ``sd``, and to see whether the trees add anything; split by group.
        settings: Of the trees.

    Raises:
        SurrogateError: Times are not positive, infinite, or shrink along a run.
        InvalidArgumentError: Arrays that do not fit together, or work below 0.
    """
    seconds, groups = np.asarray(seconds, np.float64), np.asarray(groups)
    sizes = {len(part) for part in (x, seconds, groups, work) if part is not None}
    if seconds.ndim != 2 or len(sizes) > 1:
        raise InvalidArgumentError(
            f"Times must be (runs, epochs), with features, groups and work of the same runs; got times "
            f"{seconds.shape}, features {np.shape(x)}, groups {groups.shape}, work {None if work is None else work.shape}."
        )
    if work is not None and not (np.isfinite(work).all() and (work >= 0).all()):
        raise InvalidArgumentError("Work must be finite and not below 0.")
    timed = np.isfinite(seconds).any(axis=1)
    if timed.sum() < MIN_RUNS:
        return None
    x, seconds, groups = x[timed], seconds[timed], groups[timed]
    work = None if work is None else work[timed]
    shares = shares_of(seconds)
    full = full_seconds(seconds, shares)
    networks, number = np.unique(groups, return_inverse=True)
    fold = (rng.permutation(len(networks)) % folds)[number]
    misses = np.empty((2, len(x)))  # of the law alone and with trees
    for out in np.unique(fold):
        rest = fold == out
        fit = ~rest if len(networks) > 1 else rest
        model = _fitted(x, full, groups, work, fit, rng, settings)
        law = _law(model[0], model[1], None if work is None else work[rest])
        inputs = _beside(x, work)[rest]
        misses[0, rest] = np.log(full[rest]) - law
        misses[1, rest] = misses[0, rest] - model[2].members(inputs)[:, :, 0].mean(axis=1)
    alone, both = np.sqrt((misses**2).mean(axis=1)).tolist()
    trees = work is None or both < (1 - _WORTH) * alone
    rates, least, ensemble = _fitted(
        x, full, groups, work, np.ones(len(x), bool), rng, settings if trees else None
    )
    return Cost(ensemble, shares, both if trees else alone, rates, least)


def _fitted(
    x: NDArray[np.float32],
    full: _Floats,
    groups: NDArray[np.intp],
    work: _Floats | None,
    fit: NDArray[np.bool_],
    rng: np.random.Generator,
    settings: Settings | None,
) -> tuple[_Floats, float, Trees]:
    """Return rates and least seconds of the law, and the trees of the rest, of the runs ``fit``."""
    least = float(full[fit].min()) / 2
    rates = np.zeros(0) if work is None else _rates(work[fit], full[fit])
    target = np.log(full[fit]) - _law(rates, least, None if work is None else work[fit])
    if settings is None:
        target, settings = np.zeros_like(target), _NO_TREES
    inputs = _beside(x, work)[fit]
    return rates, least, fit_trees(inputs, target[:, None], groups[fit], rng, settings)


def _rates(work: _Floats, full: _Floats) -> _Floats:
    """Return the seconds for each unit of work with the least relative squares."""
    from scipy.optimize import nnls  # here, since SciPy is slow to import

    scale = np.maximum(work.max(axis=0), 1e-300)
    found, _ = nnls(work / scale / full[:, None], np.ones(len(full)), maxiter=100 * len(scale))
    return np.asarray(found / scale)


def _law(rates: _Floats, least: float, work: _Floats | None) -> _Floats | float:
    """Return the logarithm of what the law says."""
    return 0.0 if work is None else np.asarray(np.log(np.maximum(work @ rates, least)))


def _beside(x: NDArray[np.float32], work: _Floats | None) -> NDArray[np.float32]:
    return x if work is None else np.hstack([x, work.astype(np.float32)])


def shares_of(seconds: _Floats) -> _Floats:
    """Return the typical part of a full training's time that is spent up to each epoch.

    From the median, over complete runs, of each epoch's part.

    Args:
        seconds: ``(n, E)`` cumulative, NaN where not known.

    Returns:
        ``(E,)``, growing from above 0 to exactly 1.

    Raises:
        SurrogateError: Times are not positive, infinite, or shrink along a run, or no run is complete.
    """
    before = np.fmax.accumulate(seconds, axis=1)
    wrong = np.isinf(seconds) | (seconds <= 0)
    wrong[:, 1:] |= seconds[:, 1:] < before[:, :-1]
    if wrong.any():
        row, place = np.argwhere(wrong)[0].tolist()
        raise SurrogateError(
            f"Training times must be cumulative: finite, above 0 and never falling. Run {row} (counted from 0) "
            f"has {seconds[row, : place + 1].tolist()[-3:]} up to its epoch number {place + 1}. Correct the log, or "
            "leave its times out."
        )
    complete = seconds[np.isfinite(seconds).all(axis=1)]
    if not len(complete):
        raise SurrogateError(
            f"None of {len(seconds)} timed runs has a time at every epoch, so that times at later epochs are "
            "not known. Give complete runs, or leave the times out."
        )
    parts = np.median(np.diff(complete, axis=1, prepend=0.0) / complete[:, -1:], axis=0)
    # A clock too coarse for an epoch says 0 for it; time passes all the same.
    parts = np.maximum(parts, 1e-6 * parts.max() if parts.max() > 0 else 1.0)
    shares = np.cumsum(parts)
    shares = shares / shares[-1]
    shares[-1] = 1.0
    return np.asarray(shares)


def full_seconds(seconds: _Floats, shares: _Floats) -> _Floats:
    """Return the full training's time of each run, ``(n,)``: the clock's, but for interrupted epochs.

    An epoch longer than :data:`INTERRUPTED` times what the run's median epoch says counts as that long.

    Args:
        seconds: ``(n, E)`` cumulative, NaN where not known; in each row some are.
        shares: As :func:`shares_of` returns them.
    """
    parts = np.diff(shares, prepend=0.0)
    spent = np.diff(seconds, axis=1, prepend=0.0) / parts
    known = np.isfinite(spent)
    some = known.any(axis=1)
    # Where there are only times after a gap: what the clock says at the last of them.
    last = np.where(np.isfinite(seconds), np.arange(seconds.shape[1]), -1).max(axis=1)
    full = seconds[np.arange(len(seconds)), last] / shares[last]
    limit = INTERRUPTED * np.nanmedian(spent[some], axis=1, keepdims=True)
    # A clock too coarse for most epochs has no median to speak of. What is NaN stays NaN.
    limited = np.where(limit > 0, np.minimum(spent[some], limit), spent[some])
    full[some] = np.nansum(limited * parts, axis=1) / (known[some] * parts).sum(axis=1)
    return np.asarray(full)
