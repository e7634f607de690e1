"""How unlike everything that was fitted an architecture is: boosted trees are confident and flat there.

An architecture's distance is that of its standardised features to its nearest fitted one; a feature
that never varied among those (say, the use of an operation that none has) counts most. Its score is the
share of fitted networks that were nearer to all *other* fitted networks than it is to any. With many
networks some stand for all, and since those lie far apart, scores are a little lower.

Measured on NAS-Bench-201 (``F`` = 146, cells of regions held out, 400 to 3,000 fitted): 0 to 0.7 % of
cells like the fitted ones are flagged; all that use an operation no fitted one uses; 19 to 57 % of those
with more convolutions or a larger network than any fitted one. Better accuracies alone are not seen:
an architecture can be like the fitted ones and still be better than all of them. Sharing leaves of the
trees instead of a distance flagged none of these.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 5)).astype(np.float32)
    >>> novelty = fit_novelty(x, np.arange(200))
    >>> score = novelty.score(np.array([[0, 0, 0, 0, 0], [9, 9, 9, 9, 9]], np.float32))
    >>> novelty.flag(score).tolist()
    [False, True]
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError, SurrogateError

__all__ = ["FLAGGED", "LANDMARKS", "Novelty", "fit_novelty", "novelty_from"]

_Floats = NDArray[np.float64]

#: Scores above this one are flagged.
FLAGGED = 0.99
#: Most fitted networks that distances are taken to.
LANDMARKS = 512

# Differences beyond this many standard deviations of a feature are no more novel.
_FAR = 10
# A feature's deviation is at least this share of its largest size.
_LEAST, _TINY = 1e-3, 1e-12
# Whole numbers below this are exact in float32.
_EXACT = 2**24
# Rows scored at a time, for the memory of (rows, landmarks).
_BLOCK = 1024


class Novelty(NamedTuple):
    """Distances of ``F`` features to ``L`` fitted networks.

    Features are standardised and rounded to whole steps, so few that all sums are exact: an
    architecture has the same score, bit by bit, alone and among others, and on every machine.

    Attributes:
        centre: ``(F,)`` means of the features.
        scale: ``(F,)`` steps per unit of each.
        limit: Most steps from the mean.
        landmarks: ``(L, F)`` fitted networks in steps.
        lengths: ``(L,)`` their squared lengths.
        distances: ``(N,)`` ascending squared distances, in steps, of the fitted networks to the nearest
            other landmark.
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    limit: int
    landmarks: NDArray[np.float32]
    lengths: NDArray[np.float32]
    distances: _Floats

    def score(self, x: NDArray[np.float32]) -> _Floats:
        """Return ``(m,)`` scores from 0 (as one of the fitted) to 1 (farther away than any of them).

        Args:
            x: ``(m, F)`` features.

        Raises:
            InvalidArgumentError: Not ``F`` features, or one that is not finite.
        """
        x = np.asarray(x, np.float32)
        if x.ndim != 2 or x.shape[1] != len(self.centre) or not np.isfinite(x).all():
            raise InvalidArgumentError(
                f"Novelty takes rows of {len(self.centre)} finite features; got an array of shape {x.shape}."
            )
        blocks = [x[start : start + _BLOCK] for start in range(0, len(x), _BLOCK)]
        nearest = [self._squares(block).min(axis=1) for block in blocks]
        squares = np.concatenate(nearest) if nearest else np.zeros(0)
        return np.searchsorted(self.distances, squares, side="left") / len(self.distances)

    def flag(self, score: _Floats) -> NDArray[np.bool_]:
        """Return whether scores are those of novel architectures."""
        flagged: NDArray[np.bool_] = np.asarray(score) > FLAGGED
        return flagged

    def steps(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return features as whole numbers of steps from their means."""
        with np.errstate(over="ignore"):  # infinitely many steps are the limit
            off = (x - self.centre) * self.scale
        np.minimum(np.maximum(off, -self.limit, out=off), self.limit, out=off)
        steps: NDArray[np.float32] = np.rint(off, out=off)
        return steps

    def _squares(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``(m, L)`` squared distances, exact."""
        steps = self.steps(x)
        squares: NDArray[np.float32] = steps @ self.landmarks.T
        squares *= -2
        squares += self.lengths
        squares += _lengths(steps)[:, None]
        return squares

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays for :func:`novelty_from`."""
        return {
            "centre": self.centre,
            "scale": self.scale,
            "limit": np.array(self.limit),
            "landmarks": self.landmarks.astype(np.int16),
            "distances": self.distances,
        }


def fit_novelty(x: NDArray[np.float32], groups: NDArray[np.intp]) -> Novelty:
    """Return what tells novel architectures from those like the fitted ones.

    Args:
        x: ``(n, F)`` features.
        groups: ``(n,)``; rows of one number are the same network, with the same features.

    Raises:
        InvalidArgumentError: Shapes that do not fit, or values that are not finite.
        SurrogateError: Fewer than two networks.
    """
    x = _first_rows(x, groups)
    if len(x) < 2 or x.shape[1] == 0:
        raise SurrogateError(
            f"Novelty needs at least 2 distinct networks with features; got {len(x)} with {x.shape[1]}."
        )
    centre = x.mean(axis=0, dtype=np.float64)
    # Where a feature is always 0, any other value is as far away as can be.
    least = np.maximum(_LEAST * np.abs(x).max(axis=0).astype(np.float64), _TINY)
    spread = np.maximum(x.std(axis=0, dtype=np.float64), least)
    # The largest squared distance, (2 limit)^2 F, must be exact.
    limit = max(1, math.isqrt(_EXACT // (4 * x.shape[1])))
    scale = limit / _FAR / spread
    none = np.zeros((0, x.shape[1]), np.float32)
    novelty = Novelty(
        centre.astype(np.float32), scale.astype(np.float32), limit, none, none[:, 0], np.zeros(0)
    )
    steps = novelty.steps(x)
    chosen = _spread_out(steps, LANDMARKS)
    landmarks = np.ascontiguousarray(steps[chosen])
    novelty = novelty._replace(landmarks=landmarks, lengths=_lengths(landmarks))
    squares = novelty._squares(x)
    squares[chosen, np.arange(len(chosen))] = np.inf
    return novelty._replace(distances=np.sort(squares.min(axis=1)).astype(np.float64))


def novelty_from(arrays: Mapping[str, NDArray[Any]]) -> Novelty:
    """Return what :meth:`Novelty.arrays` wrote down.

    Raises:
        SurrogateError: Something is missing, or does not fit together.
    """
    try:
        centre, scale, landmarks = (
            np.array(arrays[name], np.float32) for name in ("centre", "scale", "landmarks")
        )
        distances, limit = np.array(arrays["distances"], np.float64), int(arrays["limit"])
        fits = (
            centre.ndim == distances.ndim == 1
            and centre.shape == scale.shape
            and landmarks.ndim == 2
            and landmarks.shape[1] == len(centre)
            and landmarks.size > 0
            and len(distances) > 1
            and all(np.isfinite(part).all() for part in (centre, scale, landmarks, distances))
            and bool((scale > 0).all())
            and bool((np.diff(distances) >= 0).all())
            and limit == max(1, math.isqrt(_EXACT // (4 * len(centre))))
            and bool((np.abs(landmarks) <= limit).all())
            and bool((landmarks == np.rint(landmarks)).all())
        )
    except (KeyError, TypeError, ValueError, OverflowError) as err:
        raise SurrogateError(f"The novelty of a surrogate cannot be read: {err!r}.") from err
    if not fits:
        raise SurrogateError(
            "The novelty of a surrogate is inconsistent: expected finite means and scales of all features, "
            "landmarks in whole steps within their limit, and ascending distances. Fit the surrogate again."
        )
    return Novelty(centre, scale, limit, landmarks, _lengths(landmarks), distances)


def _lengths(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.einsum("lf,lf->l", landmarks, landmarks)
    return lengths


def _first_rows(x: NDArray[np.float32], groups: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return one row for each network.

    Raises:
        InvalidArgumentError: Shapes that do not fit, or values that are not finite.
    """
    x, groups = np.asarray(x, np.float32), np.asarray(groups)
    if x.ndim != 2 or groups.shape != x.shape[:1] or not np.isfinite(x).all():
        raise InvalidArgumentError(
            f"Novelty needs finite features (n, F) and groups (n,); got {x.shape} and {groups.shape}."
        )
    return x[np.sort(np.unique(groups, return_index=True)[1])]


def _spread_out(points: NDArray[np.float32], most: int) -> NDArray[np.intp]:
    """Return at most ``most`` rows, each the farthest from those before it (Gonzalez, 1985)."""
    if len(points) <= most:
        return np.arange(len(points))
    lengths = _lengths(points)
    chosen = [int(lengths.argmin())]
    nearest = np.full(len(points), np.inf, np.float32)
    while len(chosen) < most:
        last = chosen[-1]
        nearest = np.minimum(nearest, lengths + lengths[last] - 2 * (points @ points[last]))
        chosen.append(int(nearest.argmax()))
    return np.array(chosen, np.intp)
