"""The default predictor of accuracies: boosted trees and a Gaussian process.

Trees split off what is special, a Gaussian process is smooth in between. Where they say nearly the same,
their mean is better than either of them, from a few dozen labelled networks to a few thousand. Where they
are far apart the process has mostly missed something (the long tail of poor networks is the usual one), so
its say shrinks with the distance, as that of an outlier does in robust regression. Networks that pass messages
along the cell can be added, with half of the say about the first target, the final value. The members
are those of the trees, moved as their mean is: their spread, the doubt of the model, stays what it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.dagnet import DagNet, dagnet_from
from nasbench_tab.predictors.gp import GP, LEAST, fit_gp, gp_from
from nasbench_tab.predictors.graphs import Graphs
from nasbench_tab.predictors.trees import Settings, Trees, fit_trees, read_trees

__all__ = ["Ensemble", "ensemble_from", "fit_ensemble"]

_Floats = NDArray[np.float64]

_SHARE = 0.5  # of the Gaussian process where it agrees with the trees
#: Distance at which it has half of that say, in median absolute deviations of the target, where ``_USUAL``
#: networks are labelled; with more of them, both err less, and less is far apart. On nb201-cifar10, 390 to
#: 4,200 labels, the error is 2 to 8 % smaller than with a fixed half, ranks are the same or better.
_REACH, _USUAL = 0.6, 500
#: From so many networks on (and half as many values of each target) a fifth of them can be spared, to see
#: which of ``_REACHES`` is best.
_MANY, _REACHES = 1000, (0.1, 0.3, 1.0, 3.0)
#: Share of the networks that pass messages, of the first target alone: trained on the curve's coefficients as
#: well, they err more at the end (nb201-fashion, 803 networks, five folds, seed 0: 21 % more by themselves, 10 % in the mean).
_PASSED = 0.5
_TINY = float(np.finfo(float).tiny)


class Ensemble(NamedTuple):
    """Trees and a Gaussian process fitted on the same runs; ``M`` members, ``K`` targets.

    Attributes:
        trees: They see all features.
        gp: None where a target had too few values for it.
        columns: ``(G,)`` the features that it sees.
        reach: ``(K,)`` how far from the trees it may be until its say is halved, in the target's unit.
        net: Passes messages along graphs to predict the first target; None = not asked for.
    """

    trees: Trees
    gp: GP | None
    columns: NDArray[np.intp]
    reach: _Floats
    net: DagNet | None = None

    def members(
        self, x: NDArray[np.float32], targets: int | None = None, graphs: Graphs | None = None
    ) -> _Floats:
        """Return each member's prediction of the first targets, ``(n, M, targets)``.

        Args:
            x: ``(n, F)`` finite features.
            targets: How many; None = all ``K``.
            graphs: ``n``, needed where there is a ``net``.

        Raises:
            SurrogateError: Not as many features as were fitted on, one that is not finite, or graphs that
                are missing or of another space.
        """
        members = self._smoothed(x, targets)
        if self.net is None:
            return members
        if graphs is None or len(graphs.kinds) != len(x):
            raise SurrogateError(
                "This ensemble passes messages along graphs: give those of the same architectures as the features."
            )
        apart = self.net.mean(graphs) - _mean(members)[:, 0]
        members[:, :, 0] += _PASSED * apart[:, None]
        return members

    def _smoothed(self, x: NDArray[np.float32], targets: int | None) -> _Floats:
        """Return the trees' members, moved to the process."""
        members = self.trees.members(x, targets)
        if self.gp is None:
            return members
        if self.columns.max() >= x.shape[1]:
            raise _apart()
        smooth = self.gp.mean(np.asarray(x, np.float32).take(self.columns, axis=1), targets)
        apart = smooth - _mean(members)
        moved: _Floats = members + _moves(apart, self.reach[: apart.shape[1]])[:, None]
        return moved

    def files(self) -> dict[str, bytes]:
        """Return the files of the trees; the rest is in :meth:`arrays`."""
        return self.trees.files()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays for :func:`ensemble_from`; none where there are trees alone."""
        found: dict[str, NDArray[Any]] = {}
        if self.gp is not None:
            found = {"columns": self.columns, "reach": self.reach}
            found |= {f"gp/{n}": part for n, part in self.gp.arrays().items()}
        if self.net is not None:
            found |= {f"net/{n}": part for n, part in self.net.arrays().items()}
        return found


def fit_ensemble(
    x: NDArray[np.float32],
    y: _Floats,
    groups: NDArray[np.intp],
    rng: np.random.Generator,
    settings: Settings | None = None,
    columns: NDArray[np.intp] | None = None,
) -> Ensemble:
    """Fit an ensemble.

    Args:
        x: ``(n, F)`` finite features.
        y: ``(n, K)`` targets; where one is NaN, the row is left out for that target.
        groups: ``(n,)`` rows of one number are the same network.
        rng: As for :func:`~nasbench_tab.predictors.trees.fit_trees`.
        settings: Of the trees.
        columns: The features that say how alike two architectures are, for the Gaussian process: one-hot
            positions do not. None = all.

    Raises:
        SurrogateError: Arrays that do not fit together, a value that is infinite, a target without values.
    """
    trees = fit_trees(x, y, groups, rng, settings)
    seen = np.arange(x.shape[1]) if columns is None else np.asarray(columns, np.intp)
    enough = len(seen) > 0 and np.isfinite(y).sum(axis=0).min() >= LEAST
    if not enough:
        return Ensemble(trees, None, seen, np.zeros(y.shape[1]))
    spread = np.nanmedian(np.abs(y - np.nanmedian(y, axis=0)), axis=0)
    networks = np.unique(groups)
    if len(networks) < _MANY or np.isfinite(y).sum(axis=0).min() < _MANY // 2:
        reach = _REACH * spread * np.sqrt(_USUAL / len(networks))
    else:
        # A stream of its own: how the trees are drawn does not depend on it.
        reach = _best_reach(x, y, groups, rng.spawn(1)[0], settings, seen, spread)
    return Ensemble(trees, fit_gp(x[:, seen], y, groups), seen, reach)


def _mean(members: _Floats) -> _Floats:
    """Return ``(n, K)`` means over the members."""
    # Added one by one: NumPy's own sum depends on the shape in its last bit.
    means: _Floats = np.add.accumulate(members, axis=1)[:, -1] / members.shape[1]
    return means


def _moves(apart: _Floats, reach: _Floats) -> _Floats:
    """Return how far the trees are moved to a process that is ``apart`` from them, ``(n, K)`` both."""
    # Not at all where the reach is 0: there more than half of the values are one number.
    squared = reach**2
    moves: _Floats = _SHARE * squared / np.maximum(squared + apart**2, _TINY) * apart
    return moves


def _best_reach(
    x: NDArray[np.float32],
    y: _Floats,
    groups: NDArray[np.intp],
    rng: np.random.Generator,
    settings: Settings | None,
    seen: NDArray[np.intp],
    spread: _Floats,
) -> _Floats:
    """Return the reach of each target that errs least, in the mean, on a fifth of the networks held out."""
    networks = np.unique(groups)
    out = np.isin(groups, rng.permutation(networks)[: len(networks) // 5])
    trees = fit_trees(x[~out], y[~out], groups[~out], rng, settings).members(x[out]).mean(axis=1)
    smooth = fit_gp(x[~out][:, seen], y[~out], groups[~out]).mean(x[out][:, seen])
    reaches = np.multiply.outer(_REACHES, spread)
    errors = [
        np.nanmean(np.abs(trees + _moves(smooth - trees, reach) - y[out]), axis=0)
        for reach in reaches
    ]
    best: _Floats = reaches[np.argmin(errors, axis=0), np.arange(len(spread))]
    return best


def ensemble_from(files: Mapping[str, bytes], arrays: Mapping[str, NDArray[Any]]) -> Ensemble:
    """Return the ensemble of :meth:`Ensemble.files` and :meth:`Ensemble.arrays`.

    Raises:
        SurrogateError: A part is missing or altered, or they do not belong together.
    """
    trees = read_trees(files)
    passed = {name[4:]: part for name, part in arrays.items() if name.startswith("net/")}
    net = dagnet_from(passed) if passed else None
    if len(arrays) == len(passed):
        return Ensemble(trees, None, np.empty(0, np.intp), np.zeros(len(trees.models)), net)
    gp = gp_from({name[3:]: part for name, part in arrays.items() if name.startswith("gp/")})
    columns = np.asarray(arrays.get("columns", np.empty(0)))
    reach = np.asarray(arrays.get("reach", np.empty(0)))
    if (
        columns.dtype.kind != "i"
        or columns.size == 0
        or columns.shape != gp.centre.shape
        or len(gp.targets) != len(trees.models)
        or columns.min() < 0
        or reach.dtype.kind != "f"
        or reach.shape != (len(trees.models),)
        or not (np.isfinite(reach).all() and reach.min() >= 0)
    ):
        raise _apart()
    return Ensemble(trees, gp, columns.astype(np.intp), reach, net)


def _apart() -> SurrogateError:
    return SurrogateError(
        "The trees, the Gaussian process and the networks of an ensemble do not belong together; fetch or fit "
        "the surrogate again."
    )
