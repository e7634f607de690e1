"""Intervals for the value of one training: calibrated on residuals of networks that were held out.

The score of a held-out run is its residual in units of its predicted deviation, ``|y - mean| / (sd +
floor)``. Quantiles of the scores, kept apart by predicted level (the best are predicted far more
closely than the worst), give the interval of a new run. With ``n`` networks and one run of each, the
quantile is the ``ceil((n + 1) coverage)``-th smallest score, and an interval covers at least as often
as it says if the new network is one more of the same kind: split conformal prediction (Vovk, Gammerman
and Shafer, "Algorithmic Learning in a Random World", 2005; by level: Mondrian). Several runs of one
network share its weight, as in Lee, Barber and Willett, "Distribution-free inference with hierarchical
data", 2023.

Measured (``tools/accuracy.py --intervals nb201-cifar10 --labels 300 --draws 20``) on the 4,960 networks not fitted
on, one training of each, a wanted coverage of 0.9: 0.90 overall, 0.87 to 0.92 in the tenths of predicted level,
0.91 in the top tenth at 0.38 of the one width that plain conformal prediction gives to all.

Models of the folds see a fifth fewer networks than the final one. No correction is made: coverage
showed no excess. One draw's coverage of a tenth still varies, by 0.03 to 0.07 (standard deviation).

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> mean = rng.uniform(80, 90, 400)
    >>> y = mean + rng.normal(0, 0.5, 400)
    >>> bands = calibrate(y, mean, np.full(400, 0.5), np.arange(400))
    >>> lower, upper = bands.bounds(np.array([85.0]), np.array([0.5]))
    >>> bool(84 < lower[0] < 84.5 < 85.5 < upper[0] < 86)
    True
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError, SurrogateError

__all__ = ["BIN", "COVERAGES", "LEAST", "MIN_GROUPS", "Bands", "bands_from", "calibrate"]

_Floats = NDArray[np.float64]

#: Coverages whose quantiles are stored; others are interpolated between them.
COVERAGES = (0.5, 0.8, 0.9, 0.95)
#: Fewest networks in all: fewer have no 0.95 quantile.
MIN_GROUPS = 20
#: Networks in a bin of predicted levels: wanted, and where they are few at least.
BIN, LEAST = 60, 30


class Bands(NamedTuple):
    """Quantiles of scores in ``B`` bins of predicted level.

    Attributes:
        edges: ``(B - 1,)`` ascending levels between bins; a level on an edge belongs to the bin above.
        floor: Added to every deviation, in the metric's unit, above 0.
        reach: ``(B, C)`` how many deviations the interval of each of :data:`COVERAGES` reaches to
            either side of the mean; grows with the coverage.
        counts: ``(B,)`` networks behind each bin.
    """

    edges: _Floats
    floor: float
    reach: _Floats
    counts: NDArray[np.int64]

    def bounds(
        self, mean: _Floats, sd: _Floats, coverage: float = 0.9, level: _Floats | None = None
    ) -> tuple[_Floats, _Floats]:
        """Return lower and upper ends of intervals, in the metric's unit, not clipped to its range.

        Args:
            mean: Predicted values, of any shape.
            sd: Their deviations, as those that were calibrated on.
            coverage: 0 < coverage <= 0.95; one that is not stored is interpolated.
            level: What bins are chosen by, as calibrated; None = ``mean``.

        Raises:
            InvalidArgumentError: A coverage that is not known.
        """
        if not 0 < coverage <= COVERAGES[-1]:
            raise InvalidArgumentError(
                f"Intervals are known for coverages above 0 and up to {COVERAGES[-1]}; got {coverage!r}."
            )
        bins = np.searchsorted(self.edges, mean if level is None else level, side="right")
        reach = _at(self.reach, coverage)[bins] * (np.asarray(sd, np.float64) + self.floor)
        return mean - reach, mean + reach

    def quantiles(
        self, mean: _Floats, sd: _Floats, levels: _Floats, level: _Floats | None = None
    ) -> _Floats:
        """Return ``(*mean.shape, len(levels))`` quantiles of one training's value.

        Between the ends of the stored intervals they are interpolated, and beyond the widest of them
        continued, in units of the normal distribution's quantiles; so each quantile beyond
        2.5 % and 97.5 % is a guess.

        Args:
            mean: Predicted values, of any shape.
            sd: Their deviations.
            levels: Of the quantiles, between 0 and 1, both excluded.
            level: See :meth:`bounds`.

        Raises:
            InvalidArgumentError: A level outside.
        """
        levels = np.asarray(levels, np.float64)
        if levels.ndim != 1 or not ((levels > 0) & (levels < 1)).all():
            raise InvalidArgumentError(
                f"Levels of quantiles lie between 0 and 1, both excluded; got {levels!r}."
            )
        bins = np.searchsorted(self.edges, mean if level is None else level, side="right")
        known = np.concatenate([-self.reach[:, ::-1], self.reach], axis=1)
        wanted = np.array([_NORMAL.inv_cdf(p) for p in levels.tolist()])
        places = np.concatenate([-_PLACES[::-1], _PLACES])
        rows = np.array([_continued(wanted, places, row) for row in known])
        unit = np.asarray(sd, np.float64) + self.floor
        result: _Floats = np.asarray(mean)[..., None] + rows[bins] * unit[..., None]
        return result

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays for :func:`bands_from`."""
        return {
            "edges": self.edges,
            "floor": np.array(self.floor),
            "coverages": np.array(COVERAGES),
            "reach": self.reach,
            "counts": self.counts,
        }


def calibrate(
    y: _Floats,
    mean: _Floats,
    sd: _Floats,
    groups: NDArray[np.intp],
    level: _Floats | None = None,
) -> Bands:
    """Return the bands of a predictor.

    Args:
        y: ``(n,)`` values of single trainings.
        mean: ``(n,)`` predictions by models that saw no run of the same network.
        sd: ``(n,)`` their deviations.
        groups: ``(n,)``; rows of one number are the same network.
        level: ``(n,)`` what bins are chosen by; None = ``mean``.

    Raises:
        InvalidArgumentError: Shapes that do not fit, values that are not finite, a negative deviation.
        SurrogateError: Fewer than :data:`MIN_GROUPS` networks, or residuals that are all 0.
    """
    y, mean, sd = (np.asarray(part, np.float64) for part in (y, mean, sd))
    level = mean if level is None else np.asarray(level, np.float64)
    _check(y, mean, sd, np.asarray(groups), level)
    _, number, runs = np.unique(groups, return_inverse=True, return_counts=True)
    if len(runs) < MIN_GROUPS:
        raise SurrogateError(
            f"Intervals need the residuals of at least {MIN_GROUPS} distinct networks; got {len(runs)}. "
            "Give more runs."
        )
    off = np.abs(y - mean)
    weights = 1 / runs[number]
    floor = 0.1 * float(np.average(off, weights=weights))
    if not floor > 0:
        raise SurrogateError(
            "All held-out values are predicted exactly, so that no interval can be calibrated. Are they "
            "all the same?"
        )
    score = off / (sd + floor)
    of_group: _Floats = np.bincount(number, weights * level).astype(np.float64)
    edges = _edges(of_group)
    # A network belongs to one bin as a whole.
    bins = np.searchsorted(edges, of_group, side="right")[number]
    found = []
    for place in range(len(edges) + 1):
        chosen = bins == place
        found.append(_reach(score[chosen], weights[chosen]))
    counts = np.bincount(np.searchsorted(edges, of_group, side="right"), minlength=len(edges) + 1)
    return Bands(edges, floor, np.array(found), counts)


def bands_from(arrays: Mapping[str, NDArray[Any]]) -> Bands:
    """Return the bands that :meth:`Bands.arrays` wrote down.

    Raises:
        SurrogateError: Something is missing, or does not fit together.
    """
    try:
        edges, reach, coverages = (
            np.array(arrays[name], np.float64) for name in ("edges", "reach", "coverages")
        )
        floor = float(arrays["floor"])
        counts = np.array(arrays["counts"], np.int64)
        shape = (len(edges) + 1, len(COVERAGES))
        fits = (
            coverages.tolist() == list(COVERAGES)
            and edges.ndim == 1
            and reach.shape == shape
            and counts.shape == shape[:1]
            and np.isfinite(edges).all()
            and (np.diff(edges) > 0).all()
            and np.isfinite(reach).all()
            and bool((reach >= 0).all())
            and (np.diff(reach) >= 0).all()
            and 0 < floor < np.inf
            and bool((counts > 0).all())
        )
    except (KeyError, TypeError, ValueError) as err:
        raise SurrogateError(f"The bands of a surrogate cannot be read: {err!r}.") from err
    if not fits:
        raise SurrogateError(
            f"The bands of a surrogate are inconsistent: expected coverages {COVERAGES}, ascending edges of "
            "bins, finite reaches that grow with the coverage and a floor above 0. Fit the surrogate again."
        )
    return Bands(edges, floor, reach, counts)


_NORMAL = NormalDist()
# Each coverage's place in units of the normal distribution's quantiles.
_PLACES = np.array([_NORMAL.inv_cdf((1 + coverage) / 2) for coverage in COVERAGES])


def _at(part: _Floats, coverage: float) -> _Floats:
    """Return ``(B,)`` ends for a coverage between those that are stored."""
    if coverage in COVERAGES:
        column: _Floats = part[:, COVERAGES.index(coverage)]
        return column
    place = _NORMAL.inv_cdf((1 + coverage) / 2)
    return np.array([np.interp(place, [0.0, *_PLACES], [0.0, *row]) for row in part])


def _continued(wanted: _Floats, places: _Floats, values: _Floats) -> _Floats:
    """Return a piecewise linear function, continued beyond its ends with the slope towards 0."""
    result = np.interp(wanted, places, values)
    low, high = wanted < places[0], wanted > places[-1]
    result[low] = values[0] * wanted[low] / places[0]
    result[high] = values[-1] * wanted[high] / places[-1]
    return result


def _reach(score: _Floats, weights: _Floats) -> _Floats:
    """Return ``(C,)`` scores that cover the wanted shares of the weight, and of one network more."""
    order = np.argsort(score, kind="stable")
    total = np.cumsum(weights[order])
    places = np.searchsorted(total, np.array(COVERAGES) * (total[-1] + 1) - 1e-9)
    reach: _Floats = score[order][np.minimum(places, len(score) - 1)]
    return reach


def _edges(levels: _Floats) -> _Floats:
    """Return the levels between bins, the top bin the smallest.

    A bin holds a tenth of the networks, or :data:`BIN` if that is more; with so few that this would
    make fewer than five, a fifth, but at least :data:`LEAST`.
    """
    n = len(levels)
    top = max(LEAST, min(BIN, n // 5), -(-n // 10))
    rest = (n - top) // top
    if rest < 1:
        return np.zeros(0)
    ordered = np.sort(levels)
    places = np.linspace(0, n - top, rest + 1).round().astype(np.intp)[1:]
    edges: list[float] = []
    above = n
    for edge in ((ordered[places - 1] + ordered[places]) / 2)[::-1].tolist():
        # Networks that are predicted alike lie on one side of an edge, wherever that leaves it.
        below = int(np.searchsorted(ordered, edge, side="left"))
        if above - below >= LEAST <= below:
            edges.append(edge)
            above = below
    return np.array(edges[::-1])


def _check(y: _Floats, mean: _Floats, sd: _Floats, groups: NDArray[Any], level: _Floats) -> None:
    shapes = [np.shape(part) for part in (y, mean, sd, groups, level)]
    if y.ndim != 1 or len(set(shapes)) != 1:
        raise InvalidArgumentError(
            f"Values, predictions, deviations, groups and levels must be (n,) all alike; got {shapes}."
        )
    for name, part in (("values", y), ("predictions", mean), ("deviations", sd), ("levels", level)):
        if not np.isfinite(part).all():
            raise InvalidArgumentError(
                f"{int((~np.isfinite(part)).sum())} of {len(part)} {name} are not finite. Leave those runs out."
            )
    if (sd < 0).any():
        raise InvalidArgumentError(f"Deviations must be at least 0; the least is {sd.min()}.")
