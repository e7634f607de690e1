"""Seed noise: how one training differs from its network's mean over seeds, learnt from repeats.

Networks that were trained more than once give the deviation, as a smooth function of the predicted
level at each epoch, and a pool of whole residual curves, standardised by it. A simulated training is
the mean curve plus a residual curve drawn from the pool near its level, so that its epochs hang
together as in real trainings; noise drawn apart for each epoch makes best-so-far curves too good
(Yan, White, Savani and Hutter, "NAS-Bench-x11 and the power of learning curves", NeurIPS 2021).

What a training still gains after an epoch is noisy about in proportion to itself, so that a gain rarely
falls below 0. Residuals around the mean of a few repeats are near symmetric and do not show that: added
to a predicted gain as they are, they turn it round too often. So those against the gain are squeezed,
and all are then shifted and stretched back to mean 0 and their deviation. Gains far below the bend, above
which noise is in proportion, are left alone; the bend is the one whose inverse hyperbolic sine makes the
repeats likeliest (Burbidge, Magee and Robb, "Alternative transformations to handle extreme values of the
dependent variable", JASA 1988).

Measured on nb201-fashion (5 epochs, out-of-fold means, 153 repeated networks), share of curves that were
once better than at their end: by anything, 1.0 % of simulated ones and 0.9 % of real ones; by 0.1 points,
0.1 % and 0.2 %; by 0.3 points, none of either. Residuals as they are: 2.6, 1.2 and 0.6 %; with noise apart
for each epoch: 18, 13 and 7 %. With few repeats the deviation at the lowest levels, where some trainings
break down, is too small: on nb201-cifar10 by a factor of 2.3 with 30 repeated networks, 1.7 with 100, 1.1
with 2,000.

What is drawn is decided by the architecture and the training seed alone, through a counter-based hash
(the finaliser of SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014), the same on every machine.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> level = np.repeat(rng.uniform(80, 90, (200, 1)), 2, axis=0)
    >>> noise = fit_noise(level + rng.normal(0, 0.5, (400, 1)), np.arange(400) // 2, level)
    >>> bool(0.4 < noise.sd(np.array([[85.0]]))[0, 0] < 0.6)
    True
    >>> keys = keys_of(np.array([[3, 3, 1], [3, 3, 1]], np.uint8), np.array([0, 1]))
    >>> noise.draw(np.array([[85.0], [85.0]]), keys).shape
    (2, 1)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError, MissingValueError, SurrogateError

__all__ = ["FEW", "Noise", "fit_noise", "keys_of", "noise_from"]

_Floats = NDArray[np.float64]
_Keys = NDArray[np.uint64]

#: With fewer repeated networks one deviation is taken for all levels.
FEW = 20

# Most places at which a deviation is held, and most residual curves of the pool.
_KNOTS, _POOL = 16, 2000
# A knot's deviation comes from at least this many networks around it, or from this share of them.
_NEAR, _SHARE = 20, 0.05
# The deviation over all levels counts as much as this many degrees of freedom at each knot.
_PRIOR = 5.0
# Residual curves that a level draws from.
_WINDOW = 100
# Bends that are tried, as multiples of a gain in the root mean square.
_BENDS = 2.0 ** np.arange(-6, 5)
# Share of a second residual curve's variance in a draw: makes draws many more than the pool.
_MIX = 0.1


class Noise(NamedTuple):
    """Seed noise over ``E`` epochs.

    Attributes:
        repeats: Networks that were trained more than once. With 0 nothing is known.
        freedom: Degrees of freedom behind the deviations: trainings of those networks, less one each.
        levels: ``(E, K)`` ascending predicted levels, in the metric's unit.
        deviations: ``(E, K)`` standard deviation of one training there; NaN if not known.
        ranked: ``(P,)`` ascending levels at the last epoch of the pool's networks.
        pool: ``(P, E)`` residual curves, standardised: about mean 0 and deviation 1.
        bends: ``(E,)`` gains from the epoch to the last one above which noise is about in proportion.
        shifts: ``(E,)`` what squeezing adds to gains in the mean, as a share of them.
        stretches: ``(E,)`` deviation of gains before squeezing, as a multiple of that after it.
    """

    repeats: int
    freedom: int
    levels: _Floats
    deviations: _Floats
    ranked: _Floats
    pool: _Floats
    bends: _Floats
    shifts: _Floats
    stretches: _Floats

    @property
    def known(self) -> bool:
        """Whether there were repeats to learn from."""
        return self.repeats > 0

    def sd(self, level: _Floats) -> _Floats:
        """Return the standard deviation of one training around its network's mean.

        NaN throughout if there were no repeats: not known, which is not 0.

        Args:
            level: ``(n, E)`` predicted curves, in the metric's unit.
        """
        level = self._checked(level)
        columns = [self.sd_at(level[:, place], place) for place in range(level.shape[1])]
        return np.stack(columns, axis=1)

    def sd_at(self, level: _Floats, place: int) -> _Floats:
        """Return ``(n,)`` deviations at one epoch; see :meth:`sd`.

        Args:
            level: ``(n,)`` predicted values at that epoch.
            place: Its position among the epochs; -1 = the last.
        """
        result: _Floats = np.interp(level, self.levels[place], self.deviations[place])
        return result

    def draw(self, level: _Floats, keys: _Keys) -> _Floats:
        """Return ``(n, E)`` residual curves: the same for the same level and key.

        Args:
            level: ``(n, E)`` predicted curves, in the metric's unit.
            keys: ``(n,)`` from :func:`keys_of`.

        Raises:
            MissingValueError: No seed noise is known.
        """
        level = self._checked(level)
        if not self.known:
            raise MissingValueError(
                "No network was trained more than once, so that no seed noise is known and no training can "
                "be simulated. Ask for the mean (seed=None), or fit on runs with repeats."
            )
        window = min(_WINDOW, len(self.pool))
        first = np.searchsorted(self.ranked, level[:, -1]) - window // 2
        first = first.clip(0, len(self.pool) - window)
        one, other, sign = (_hash(keys, step) for step in (1, 2, 3))
        mixed = np.sqrt(1 - _MIX) * self.pool[first + _below(one, window)]
        second = np.where(sign & np.uint64(1), 1.0, -1.0) * np.sqrt(_MIX)
        mixed += second[:, None] * self.pool[first + _below(other, window)]
        plain = self.sd(level) * mixed
        gain, off = _to_the_last(level), _to_the_last(plain)
        off = self.stretches * (_squeezed(gain, off, self.bends) - self.shifts * gain)
        curves: _Floats = plain[:, -1:] - off
        return curves

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays for :func:`noise_from`."""
        return {
            "counts": np.array([self.repeats, self.freedom], np.int64),
            **{name: getattr(self, name) for name in _FLOATS},
        }

    def _checked(self, level: _Floats) -> _Floats:
        level = np.asarray(level, np.float64)
        if level.ndim != 2 or level.shape[1] != len(self.levels):
            raise InvalidArgumentError(
                f"Levels must be (n, {len(self.levels)} epochs); got an array of shape {level.shape}."
            )
        return level


def fit_noise(
    values: _Floats,
    groups: NDArray[np.intp],
    mean: _Floats,
    seeds: NDArray[np.int64] | None = None,
) -> Noise:
    """Return the seed noise of runs.

    Args:
        values: ``(n, E)`` one training each; a row with a value that is NaN is left out.
        groups: ``(n,)``; rows of one number are trainings of the same network.
        mean: ``(n, E)`` predicted levels.
        seeds: ``(n,)`` training seeds. Two rows of one group with the same seed and the same values are
            one training written down twice and count once.

    Raises:
        InvalidArgumentError: Shapes that do not fit, or levels that are not finite.
        SurrogateError: Repeats that are all exactly alike.
    """
    values, mean = np.asarray(values, np.float64), np.asarray(mean, np.float64)
    groups = np.asarray(groups)
    if values.ndim != 2 or mean.shape != values.shape or groups.shape != values.shape[:1]:
        raise InvalidArgumentError(
            "Seed noise needs values and levels (n, E) and groups (n,); got "
            f"{values.shape}, {mean.shape} and {groups.shape}."
        )
    complete = np.isfinite(values).all(axis=1)
    values, groups, mean = values[complete], groups[complete], mean[complete]
    if not np.isfinite(mean).all():
        raise InvalidArgumentError("Predicted levels must be finite.")
    if seeds is not None:
        marks = np.column_stack([groups, np.asarray(seeds)[complete], values])
        kept = np.sort(np.unique(marks, axis=0, return_index=True)[1])
        values, groups, mean = values[kept], groups[kept], mean[kept]
    _, number, runs = np.unique(groups, return_inverse=True, return_counts=True)
    repeated = runs > 1
    repeats, freedom = int(repeated.sum()), int((runs - 1).sum())
    n_epochs = values.shape[1]
    if repeats == 0:
        none = np.full((n_epochs, 1), np.nan)
        pool, one = np.zeros((0, n_epochs)), np.ones(n_epochs)
        return Noise(0, 0, np.zeros((n_epochs, 1)), none, np.zeros(0), pool, one, 0 * one, one)
    off = values - _means(values, number, runs)[number]
    level = _means(mean, number, runs)
    squares = np.zeros((len(runs), n_epochs))
    np.add.at(squares, number, off**2)
    # What rounding leaves of values that are all alike is no noise.
    if (squares.sum(axis=0) <= (1e-9 * np.abs(values).max(axis=0)) ** 2 * freedom).any():
        raise SurrogateError(
            f"{freedom + repeats} trainings of {repeats} networks repeat exactly what their network's other "
            "trainings gave, so that they say nothing about seed noise. Were they made with different seeds?"
        )
    knots = [
        _smooth(level[repeated, e], squares[repeated, e], (runs[repeated] - 1).astype(np.float64))
        for e in range(n_epochs)
    ]
    levels, deviations = np.array(knots).transpose(1, 0, 2)
    rows = np.flatnonzero(repeated[number])
    rows = rows[np.argsort(level[number[rows], -1], kind="stable")]
    bends = _bends(values[rows], number[rows])
    if len(rows) > _POOL:
        rows = rows[np.linspace(0, len(rows) - 1, _POOL).round().astype(np.intp)]
    count, level = runs[number[rows]], level[number[rows]]
    one = np.ones(n_epochs)
    noise = Noise(
        repeats, freedom, levels, deviations, level[:, -1], off[rows], bends, 0 * one, one
    )
    # Around their own mean, r trainings vary by (r - 1) / r of what one does.
    curves, sd = np.sqrt(count / (count - 1.0))[:, None] * off[rows], noise.sd(level)
    shifts, stretches = _balance(_to_the_last(level), _to_the_last(curves), bends, sd)
    return noise._replace(pool=curves / sd, shifts=shifts, stretches=stretches)


def noise_from(arrays: Mapping[str, NDArray[Any]]) -> Noise:
    """Return the noise that :meth:`Noise.arrays` wrote down.

    Raises:
        SurrogateError: Something is missing, or does not fit together.
    """
    try:
        repeats, freedom = np.array(arrays["counts"], np.int64).tolist()
        levels, deviations, ranked, pool, bends, shifts, stretches = (
            np.array(arrays[n], np.float64) for n in _FLOATS
        )
        known = repeats > 0
        fits = (
            freedom >= repeats >= 0
            and levels.ndim == pool.ndim == 2
            and ranked.ndim == 1
            and levels.shape == deviations.shape
            and levels.size > 0
            and pool.shape == (len(ranked), len(levels))
            and np.isfinite(levels).all()
            and (np.diff(levels) > 0).all()
            and (np.diff(ranked) >= 0).all()
            and np.isfinite(pool).all()
            and np.isfinite(ranked).all()
            and bool((deviations > 0).all() if known else np.isnan(deviations).all())
            and bool(np.isfinite(deviations).all() or not known)
            and (len(pool) > 1) == known
            and bends.shape == shifts.shape == stretches.shape == (len(levels),)
            and np.isfinite([bends, shifts, stretches]).all()
            and bool((bends > 0).all() and (stretches > 0).all())
        )
    except (KeyError, TypeError, ValueError, OverflowError) as err:
        raise SurrogateError(f"The seed noise of a surrogate cannot be read: {err!r}.") from err
    if not fits:
        raise SurrogateError(
            "The seed noise of a surrogate is inconsistent: expected ascending levels, deviations above 0 "
            f"and a pool of finite curves; got levels {levels.shape}, deviations {deviations.shape}, pool "
            f"{pool.shape}, bends {bends.shape} and {repeats} repeated networks. Fit the surrogate again."
        )
    return Noise(repeats, freedom, levels, deviations, ranked, pool, bends, shifts, stretches)


def keys_of(cells: NDArray[np.uint8], seeds: NDArray[np.int64] | int) -> _Keys:
    """Return ``(n,)`` uint64 keys of trainings, the same in every process and on every machine.

    Args:
        cells: ``(n, cell length)`` uint8. Give canonical cells, and the same network with the same seed
            is the same training.
        seeds: ``(n,)`` training seeds, or one for all.
    """
    cells = np.asarray(cells, np.uint8)
    n, length = cells.shape
    words = np.zeros((n, -(-length // 8) * 8), np.uint8)
    words[:, :length] = cells
    keys = np.broadcast_to(np.asarray(seeds, np.int64), (n,)).view(np.uint64)
    keys = _mixed(keys + np.uint64(length))
    for word in words.view("<u8").astype(np.uint64).T:
        keys = _mixed(keys * _GOLDEN + word)
    return keys


_FLOATS = ("levels", "deviations", "ranked", "pool", "bends", "shifts", "stretches")
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(keys: _Keys) -> _Keys:
    """Return the finaliser of SplitMix64; uint64 wraps around."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _hash(keys: _Keys, step: int) -> _Keys:
    """Return the ``step``-th number of each key's own sequence."""
    return _mixed(np.asarray(keys, np.uint64) + np.full(1, step, np.uint64) * _GOLDEN)


def _below(hashed: _Keys, bound: int) -> NDArray[np.intp]:
    """Return numbers from 0 to ``bound - 1``, uniform to within ``bound / 2**32``."""
    high = (hashed >> np.uint64(32)) * np.uint64(bound)
    return (high >> np.uint64(32)).astype(np.intp)


def _means(values: _Floats, number: NDArray[np.intp], runs: NDArray[np.intp]) -> _Floats:
    total = np.zeros((len(runs), values.shape[1]))
    np.add.at(total, number, values)
    return total / runs[:, None]


def _smooth(level: _Floats, squares: _Floats, freedom: _Floats) -> tuple[_Floats, _Floats]:
    """Return ``(K,)`` levels and deviations there.

    Args:
        level: ``(G,)`` of repeated networks.
        squares: ``(G,)`` sums of squared deviations from their means.
        freedom: ``(G,)`` runs less one.
    """
    overall = squares.sum() / freedom.sum()
    order = np.argsort(level, kind="stable")
    level, squares, freedom = level[order], squares[order], freedom[order]
    n = len(level)
    places = np.linspace(0, n - 1, _KNOTS) if n >= FEW else np.array([(n - 1) / 2])
    width = max(_NEAR, _SHARE * n)
    variances = []
    for place in places:
        far = np.abs(np.arange(n) - place) / width
        weights = (1 - far.clip(0, 1) ** 3) ** 3 if n >= FEW else np.ones(n)
        near = weights @ freedom
        share = near / (near + _PRIOR)
        # In the logarithm: levels differ by factors, and the noisiest would swamp the others.
        here = max(weights @ squares / near, 1e-6 * overall)
        variances.append(here**share * overall ** (1 - share))
    levels = np.interp(places, np.arange(n), level)
    # Levels must ascend: networks that are predicted alike share a knot.
    levels = np.maximum.accumulate(levels + np.arange(len(levels)) * 1e-9 * (1 + np.ptp(level)))
    return levels, np.sqrt(variances)


def _to_the_last(curves: _Floats) -> _Floats:
    """Return ``(n, E)`` by how much the last value is above each one."""
    return curves[:, -1:] - curves


def _squeezed(gain: _Floats, off: _Floats, bends: _Floats) -> _Floats:
    """Return residuals of gains; those against the gain are lessened, less so the smaller it is.

    Args:
        gain: ``(n, E)`` predicted.
        off: ``(n, E)`` residuals.
        bends: ``(E,)``.
    """
    sign, gain = np.where(gain < 0, -1.0, 1.0), np.abs(gain)
    off = sign * off
    far = np.sqrt(gain**2 + bends**2)
    # A step on the scale of the inverse hyperbolic sine, and back. The exponential is taken to second
    # order, since plain arithmetic gives the same bits on every machine.
    steps = np.minimum(off, 0) / far
    left = (gain + far) / (1 - steps + steps**2 / 2)
    less = np.maximum((left - bends**2 / left) / 2 - gain, off)
    squeezed: _Floats = sign * np.where(off < 0, less, off)
    return squeezed


def _bends(values: _Floats, number: NDArray[np.intp]) -> _Floats:
    """Return for each epoch which bend makes the gains of repeated networks likeliest.

    Args:
        values: ``(n, E)`` trainings of networks that were trained more than once.
        number: ``(n,)`` of networks.
    """
    _, number, runs = np.unique(number, return_inverse=True, return_counts=True)
    gain = _to_the_last(values)
    size = np.sqrt((gain**2).mean(axis=0))
    size = np.where(size > 0, size, 1.0)
    weight = 1 - 1 / runs[number]
    best = np.full(len(size), -np.inf)
    bends = size
    for bend in size * _BENDS[:, None]:
        bent = np.arcsinh(gain / bend)
        squares = ((bent - _means(bent, number, runs)[number]) ** 2).sum(axis=0)
        fit = -weight.sum() * np.log(squares.clip(np.finfo(float).tiny))
        fit -= weight @ np.log(gain**2 + bend**2)
        bends, best = np.where(fit > best, bend, bends), np.maximum(fit, best)
    return bends


def _balance(gain: _Floats, off: _Floats, bends: _Floats, unit: _Floats) -> tuple[_Floats, _Floats]:
    """Return shifts and stretches: with them squeezed residuals have the mean and deviation of plain ones.

    Args:
        gain: ``(P, E)`` predicted, of the pool's networks.
        off: ``(P, E)`` their residuals.
        bends: ``(E,)``.
        unit: ``(P, E)`` deviations there, so that no level counts for more than another.
    """
    squeezed = _squeezed(gain, off, bends)
    added, size = (np.abs(part / unit).mean(axis=0) for part in (squeezed - off, gain))
    shifts = added / np.where(size > 0, size, 1.0)
    plain, left = (((part / unit) ** 2).mean(axis=0) for part in (off, squeezed - shifts * gain))
    some = (plain > 0) & (left > 0)
    return shifts, np.sqrt(np.where(some, plain, 1.0) / np.where(some, left, 1.0))
