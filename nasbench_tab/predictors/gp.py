"""A Gaussian process on the features: better than trees where few networks are labelled.

A Matérn 5/2 kernel with one length scale on standardised features, noise, and a constant mean (Rasmussen
and Williams, "Gaussian processes for machine learning", 2006). Length scale and noise maximise the
marginal likelihood over a fixed grid, so that the same runs give the same model. The long tail of the
targets is compressed first, ``-log(c - y)`` for accuracies: a few broken networks would otherwise
decide the length scale.

Several trainings of one network are one point, whose mean is known the better the more there are. That is
the same model as a row for each, and what remains of their differences is noise.

    >>> import numpy as np
    >>> x = np.linspace(0, 1, 30, dtype=np.float32)[:, None]
    >>> gp = fit_gp(x, np.sin(5 * x.astype(float)), np.arange(30))
    >>> mean, sd = gp.predict(np.array([[0.5]], np.float32))
    >>> bool(abs(mean[0, 0] - np.sin(2.5)) < 0.05)
    True
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.tail import compressed, expanded, tail_of

__all__ = ["GP", "LEAST", "MOST", "fit_gp", "gp_from"]

_Floats = NDArray[np.float64]
_Singles = NDArray[np.float32]

#: Fewest rows of a target, and most distinct rows of features; of more, an even subset is taken.
LEAST, MOST = 10, 1500
_SCALES = np.geomspace(0.3, 6.0, 12)  # length scales, in units of the median distance
_NOISES = np.geomspace(1e-4, 3.0, 25)  # noise variances, in units of the signal's
_FARTHEST = 10.0  # standard deviations of a feature; beyond, it is no farther
# Standardised features are whole steps, and no row is longer than so many of them: squared distances are
# at most 2^24, exact in float32, and a matrix product, whose order of addition depends on the shape, is
# the same to the last bit. The longest fitted row has this share of the limit: networks that do not train
# at all lie up to twice as far out, and are told from others by it. On nb201-cifar10, 400 and 800 labels,
# ranks and errors are those of steps a thousand times finer (tau to 0.0003). Only distances are exact: the sum
# over the points is in float32, within 0.01 points of accuracy of double precision.
_LIMIT, _LONGEST = 2048, 0.4
_BLOCK = 64  # rows predicted at once: what they need fits the cache


class _Target(NamedTuple):
    """What predicts one target: ``m`` points.

    Attributes:
        sign: 1 where the long tail is below, -1 where it is above, 0 where nothing is compressed.
        edge: ``c`` of ``-log(c - sign * y)``.
        centre: Mean of the compressed target.
        scale: Its standard deviation.
        length: Length scale, in units of the standardised features' distance.
        signal: Variance of the signal, of the scaled target.
        noise: Variance of one training's noise, in units of the signal's.
        points: ``(m,)`` which of the process's.
        counts: ``(m,)`` trainings of each.
        weights: ``(m,)``.
    """

    sign: int
    edge: float
    centre: float
    scale: float
    length: float
    signal: float
    noise: float
    points: NDArray[np.intp]
    counts: _Floats
    weights: _Floats


class GP(NamedTuple):
    """A fitted process for ``K`` targets.

    Attributes:
        centre: ``(F,)`` of the features after taking logarithms.
        scale: ``(F,)`` by which they are then divided; infinite for a constant feature.
        unit: Steps that a standard deviation has.
        x: ``(m, F)`` distinct fitted rows, standardised, in steps.
        squares: ``(m,)`` their squared lengths.
        targets: ``K``.
        across: ``(F + 2, m)``; rows with a 1 and their squared length beside them, times that, are squared
            distances from the points.
        thirds: ``(K, m)`` of the weights of all points, 0 where a target lacks one.
    """

    centre: _Floats
    scale: _Floats
    unit: float
    x: _Floats
    squares: _Floats
    targets: tuple[_Target, ...]
    across: _Singles
    thirds: _Singles

    def mean(self, x: NDArray[np.float32], targets: int | None = None) -> _Floats:
        """Return the predicted first targets, ``(n, targets)``, in their units.

        A row gets the same answer, bit by bit, alone and among others. The kernel is of single precision:
        its error is far below the noise. Where the tail was compressed it is the median rather than the
        mean; they differ little where the model is sure.

        Args:
            x: ``(n, F)`` finite features.
            targets: How many; None = all.

        Raises:
            SurrogateError: Not as many features as were fitted on, or one that is not finite.
        """
        chosen = self.targets if targets is None else self.targets[:targets]
        found = np.empty((len(x), len(chosen)))
        for rows, steps in self._steps(x):
            beside = np.empty((len(steps), len(self.across)), np.float32)
            beside[:, :-2] = steps
            beside[:, -2] = 1.0
            beside[:, -1] = np.einsum("nf,nf->n", steps, steps)
            far = beside @ self.across
            np.sqrt(far, out=far)
            for k, target in enumerate(chosen):
                # As _matern, but in float32: 1 + s + s^2 / 3 is a third of (s + 1.5)^2 + 0.75.
                scaled = far * np.float32(-math.sqrt(5.0) / (target.length * self.unit))
                near = scaled - np.float32(1.5)
                near *= near
                near += np.float32(0.75)
                near *= np.exp(scaled, out=scaled)
                near *= self.thirds[k]
                # From here on double again: a target may be small beside its distance from 0.
                found[rows, k] = _expanded(target, near.sum(axis=1).astype(np.float64))
        return found

    def predict(
        self, x: NDArray[np.float32], targets: int | None = None
    ) -> tuple[_Floats, _Floats]:
        """Return :meth:`mean` and standard deviation of the first targets, ``(n, targets)`` each.

        The deviation is that of the mean over trainings, without noise, to the first order where the tail
        was compressed. It takes a decomposition of the kernel matrix a call: ask for many rows at once.

        Args:
            x: ``(n, F)`` finite features.
            targets: How many; None = all.

        Raises:
            SurrogateError: As for :meth:`mean`.
        """
        from scipy.linalg import solve_triangular

        chosen = self.targets if targets is None else self.targets[:targets]
        mean = self.mean(x, targets)
        sd = np.empty_like(mean)
        for k, target in enumerate(chosen):
            own, squares = self.x[target.points], self.squares[target.points]
            factor, root = _factor(_pairs(own, own, squares) / self.unit, target)
            for rows, steps in self._steps(x):
                far = _pairs(steps, own, squares) / self.unit
                near = _matern(far, target.length) * root
                known = solve_triangular(factor, near.T, lower=True, check_finite=False)
                left = target.signal * np.maximum(1.0 - (known**2).sum(axis=0), 0.0)
                sd[rows, k] = np.sqrt(left) * target.scale
            if target.sign:
                sd[:, k] *= target.edge - target.sign * mean[:, k]
        return mean, sd

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what :func:`gp_from` needs, as plain arrays."""
        found: dict[str, NDArray[Any]] = {
            "centre": self.centre,
            "scale": self.scale,
            "unit": np.array(self.unit),
            "x": self.x.astype(np.int16),
        }
        for k, target in enumerate(self.targets):
            numbers = [float(getattr(target, name)) for name in _NUMBERS]
            found[f"{k}/numbers"] = np.array(numbers)
            found[f"{k}/points"] = target.points.astype(np.int32)
            found[f"{k}/counts"] = target.counts
            found[f"{k}/weights"] = target.weights
        return found

    def _steps(self, x: NDArray[np.float32]) -> Iterator[tuple[slice, _Floats]]:
        """Yield blocks of rows, standardised, in steps."""
        if x.ndim != 2 or x.shape[1] != len(self.centre) or not np.isfinite(x).all():
            raise SurrogateError(
                f"The Gaussian process takes rows of {len(self.centre)} finite features; got an array of "
                f"shape {x.shape}."
            )
        for start in range(0, len(x), _BLOCK):
            rows = slice(start, min(start + _BLOCK, len(x)))
            yield rows, _whole(_standard(x[rows], self.centre, self.scale), self.unit)


def fit_gp(x: NDArray[np.float32], y: _Floats, groups: NDArray[np.intp]) -> GP:
    """Fit a process.

    Args:
        x: ``(n, F)`` finite features.
        y: ``(n, K)`` targets; a row with NaN is left out for that target.
        groups: ``(n,)`` same number = same network. Their features are the same, which is what counts
            here; predictors take the same arguments.

    Raises:
        SurrogateError: Arrays that do not fit together, values that are not finite, or fewer than
            :data:`LEAST` rows with a value of a target.
    """
    x, y = np.asarray(x, np.float32), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or not len(x) == len(y) == len(groups) or not y.shape[1]:
        raise SurrogateError(
            f"Expected features (n, F), targets (n, K) and groups (n,); got {x.shape}, {y.shape} and "
            f"{np.shape(groups)}."
        )
    if not np.isfinite(x).all() or np.isinf(y).any():
        raise SurrogateError("A feature or a target is not finite; only a target may be NaN.")
    fewest = int((~np.isnan(y)).sum(axis=0).min())
    if fewest < LEAST:
        raise SurrogateError(
            f"A target has {fewest} values; a Gaussian process is fitted on {LEAST} or more."
        )
    logs = _logs(x)
    centre, scale = logs.mean(axis=0), logs.std(axis=0)
    scale = np.where(scale > 1e-9 * np.maximum(np.abs(centre), 1.0), scale, np.inf)
    standard = _standard(x, centre, scale)
    longest = float(np.sqrt((standard**2).sum(axis=1).max()))
    unit = _LONGEST * _LIMIT / longest if longest > 0 else 1.0
    points, of_row = np.unique(_whole(standard, unit), axis=0, return_inverse=True)
    targets: dict[int, _Target] = {}
    missing = np.isnan(y)
    for pattern in np.unique(missing, axis=1).T:  # targets known for the same rows share the work
        chosen = np.flatnonzero((missing == pattern[:, None]).all(axis=0))
        rows, own = np.flatnonzero(~pattern), np.unique(of_row[~pattern])
        if len(own) > MOST:
            own = own[np.linspace(0, len(own) - 1, MOST).round().astype(np.intp)]
            rows = rows[np.isin(of_row[rows], own)]
        found = _fitted(points, unit, of_row[rows], y[np.ix_(rows, chosen)])
        targets.update(zip(chosen.tolist(), found, strict=True))
    used = np.unique(np.concatenate([target.points for target in targets.values()]))
    points = points[used]
    ordered = (targets[k] for k in range(y.shape[1]))
    kept = tuple(t._replace(points=np.searchsorted(used, t.points)) for t in ordered)
    return _made(centre, scale, unit, points, kept)


def gp_from(arrays: Mapping[str, NDArray[Any]]) -> GP:
    """Return the process that :meth:`GP.arrays` wrote down.

    Raises:
        SurrogateError: Something is missing, or does not fit together.
    """
    try:
        centre, scale, x = (np.array(arrays[name], np.float64) for name in ("centre", "scale", "x"))
        unit = float(arrays["unit"])
        targets: list[_Target] = []
        while f"{len(targets)}/numbers" in arrays:
            k = len(targets)
            numbers = np.array(arrays[f"{k}/numbers"], np.float64)
            told = dict(zip(_NUMBERS, numbers.tolist(), strict=True))
            points = np.array(arrays[f"{k}/points"], np.intp)
            counts, weights = (
                np.array(arrays[f"{k}/{name}"], np.float64) for name in ("counts", "weights")
            )
            fits = (
                told["sign"] in (-1, 0, 1)
                and np.isfinite(numbers).all()
                and min(told[name] for name in ("scale", "length", "signal", "noise")) > 0
                and points.shape == counts.shape == weights.shape == (len(points),)
                and len(points) > 0
                and points.min() >= 0
                and points.max() < len(x)
                and np.isfinite(weights).all()
                and np.isfinite(counts).all()
                and counts.min() >= 1
            )
            if not fits:
                raise ValueError(f"target {k} is not one")
            sign = int(told.pop("sign"))
            targets.append(
                _Target(sign=sign, points=points, counts=counts, weights=weights, **told)
            )
        if not targets or centre.shape != scale.shape or x.shape[1:] != centre.shape:
            raise ValueError("its parts differ in length")
        if not (np.isfinite(x).all() and np.isfinite(centre).all() and (scale > 0).all()):
            raise ValueError("a number that is not finite")
        whole = (x == np.rint(x)).all() and (x**2).sum(axis=1).max() <= _LIMIT**2
        if not (whole and 0 < unit < np.inf):
            raise ValueError("its rows are not whole steps")
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as err:
        raise SurrogateError(f"A Gaussian process cannot be read: {err!r}. Fit it again.") from err
    return _made(centre, scale, unit, x, tuple(targets))


def _made(
    centre: _Floats, scale: _Floats, unit: float, x: _Floats, targets: tuple[_Target, ...]
) -> GP:
    squares = (x**2).sum(axis=1)
    across = np.vstack([-2.0 * x.T, squares, np.ones(len(x))]).astype(np.float32)
    thirds = np.zeros((len(targets), len(x)), np.float32)
    for own, target in zip(thirds, targets, strict=True):
        own[target.points] = target.weights / 3.0
    return GP(centre, scale, unit, x, squares, targets, across, thirds)


_NUMBERS = ("sign", "edge", "centre", "scale", "length", "signal", "noise")


def _logs(x: NDArray[np.float32]) -> _Floats:
    """Return features with their long tails compressed: counts of paths, parameters and MACs have them."""
    size = np.abs(x, dtype=np.float64)
    return np.copysign(np.log1p(size, out=size), x, out=size)


def _standard(x: NDArray[np.float32], centre: _Floats, scale: _Floats) -> _Floats:
    """Return standardised features."""
    found = _logs(x)
    found -= centre
    found /= scale
    return np.minimum(np.maximum(found, -_FARTHEST, out=found), _FARTHEST, out=found)


def _whole(standard: _Floats, unit: float) -> _Floats:
    """Return rows in steps, those longer than :data:`_LIMIT` cut to it; changes its argument."""
    standard *= unit
    steps = np.rint(standard, out=standard)
    steps += 0.0  # no negative zeros
    squares = np.einsum("nf,nf->n", steps, steps)
    if squares.max(initial=0.0) > _LIMIT**2:
        long = squares > _LIMIT**2
        steps[long] = np.trunc(steps[long] * (_LIMIT / np.sqrt(squares[long]))[:, None]) + 0.0
    return steps


def _pairs(left: _Floats, right: _Floats, squares: _Floats) -> _Floats:
    """Return ``(n, m)`` distances between rows in steps; ``squares`` are the right ones' squared lengths."""
    far = left @ right.T
    far *= -2.0
    far += (left**2).sum(axis=1)[:, None]
    far += squares
    return np.sqrt(far, out=far)


def _matern(far: _Floats, length: float) -> _Floats:
    scaled = far * (math.sqrt(5.0) / length)
    near = scaled / 3.0
    near += 1.0
    near *= scaled
    near += 1.0
    np.negative(scaled, out=scaled)
    near *= np.exp(scaled, out=scaled)
    return near


def _factor(between: _Floats, target: _Target) -> tuple[_Floats, _Floats]:
    """Return the Cholesky factor of the points' covariance, each point times the root of its count."""
    root = np.asarray(np.sqrt(target.counts))
    covariance = _matern(between, target.length) * root * root[:, None]
    covariance += target.noise * np.eye(len(root))
    return np.asarray(np.linalg.cholesky(covariance)), root


def _fitted(x: _Floats, unit: float, of_row: NDArray[np.intp], y: _Floats) -> list[_Target]:
    """Return what predicts each column of ``y``, known for all ``n`` rows, which are at points of ``x``.

    With ``R`` the counts, ``K`` the kernel and ``v`` the noise in units of the signal, the likelihood of all
    rows is that of their points' means under ``K + v / R``, times that of the differences within points.
    """
    from scipy.linalg import cho_solve

    points, of_row, whole = np.unique(of_row, return_inverse=True, return_counts=True)
    n, counts = len(y), whole.astype(np.float64)
    own, root = x[points], np.sqrt(counts)
    between = _pairs(own, own, (own**2).sum(axis=1)) / unit
    tails = [tail_of(column) for column in y.T]
    z = np.column_stack(
        [compressed(column, sign, edge) for (sign, edge), column in zip(tails, y.T, strict=True)]
    )
    centre, scale = z.mean(axis=0), z.std(axis=0)
    scale[scale == 0] = 1.0
    z = (z - centre) / scale
    means = np.zeros((len(points), z.shape[1]))
    np.add.at(means, of_row, z)
    means /= counts[:, None]
    within = ((z - means[of_row]) ** 2).sum(axis=0)
    apart = between[np.triu_indices(len(points), 1)]
    middle = float(np.median(apart)) if len(apart) else 1.0
    best = [(-math.inf, middle, 1.0, 1.0)] * z.shape[1]
    for length in (_SCALES * middle).tolist():
        values, vectors = np.linalg.eigh(_matern(between, length) * root * root[:, None])
        turned = (vectors.T @ (means * root[:, None])) ** 2
        for noise in _NOISES.tolist():
            spread = np.maximum(values, 0.0) + noise
            size = np.log(spread).sum() + (n - len(points)) * math.log(noise)
            quadratic = (turned / spread[:, None]).sum(axis=0) + within / noise
            signals = np.maximum(quadratic / n, 1e-12)  # the best for this noise
            for k, signal in enumerate(signals.tolist()):
                likelihood = -0.5 * (size + n * math.log(signal))
                if likelihood > best[k][0]:
                    best[k] = (float(likelihood), length, signal, noise)
    found = []
    for k, (_, length, signal, noise) in enumerate(best):
        numbers = (float(centre[k]), float(scale[k]), length, signal, noise)
        target = _Target(*tails[k], *numbers, points, counts, weights=counts)
        factor, _ = _factor(between, target)
        weights = root * cho_solve((factor, True), root * means[:, k])
        found.append(target._replace(weights=weights))
    return found


def _expanded(target: _Target, z: _Floats) -> _Floats:
    """Return a prediction in the target's unit."""
    return expanded(target.centre + target.scale * z, target.sign, target.edge)
