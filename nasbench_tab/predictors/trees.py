"""An ensemble of boosted trees: the default predictor.

For each target one XGBoost model (Chen and Guestrin, KDD 2016) with an output for each member of the
ensemble. Members differ in the weights of the rows, drawn for whole groups: two trainings of one
network are no independent evidence. The mean over members is the prediction, their spread the doubt
of the model.

The weights are continuous (the Bayesian bootstrap: Rubin, The Annals of Statistics 1981), so that no
group is ever left out. A resample drops each group with probability 0.37, and where one group holds
hundreds of rows, as the cells without any path do in NAS-Bench-201, a third of the members would
never have seen any of them.

XGBoost fits them. They are answered by NumPy, sooner and without importing it, and the answers are the
same, bit by bit (:mod:`.forest`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.forest import forest_of, outputs, round_leaves

__all__ = ["Settings", "Trees", "fit_trees", "read_trees"]

_Floats = NDArray[np.float64]

_TARGETS = "targets.json"
_LARGEST = 1e30  # a target that no unit explains; its square is still far from overflowing


class Settings(NamedTuple):
    """How the ensemble is fitted.

    Attributes:
        members: Of the ensemble.
        rounds: Trees of each member, for each target; None = one for each eight rows, but at least 125
            and at most 500.
        depth: Most splits on the way to a leaf.
        rate: Learning rate.
        columns: Share of the features that each split may use.
        leaf: Least weight of the rows in a leaf; rows weigh 1 on average. Below 1, so that a row of its
            own kind gets a leaf of its own in members that give it little weight, too.
        spread: Standard deviation of the weights, which are 1 on average; 1 = Bayesian bootstrap.
    """

    members: int = 8
    rounds: int | None = None
    depth: int = 5
    rate: float = 0.2
    columns: float = 0.3
    leaf: float = 0.3
    spread: float = 0.5


class Trees(NamedTuple):
    """A fitted ensemble of ``M`` members for ``K`` targets.

    Attributes:
        models: ``K`` XGBoost models in its UBJ format, of ``M`` outputs each. Their nodes are read when
            they are first asked.
        centre: ``(K,)`` added to what the trees say.
        scale: ``(K,)`` what they say is multiplied with, before.
    """

    models: tuple[bytes, ...]
    centre: _Floats
    scale: _Floats

    def members(self, x: NDArray[np.float32], targets: int | None = None) -> _Floats:
        """Return each member's prediction of the first targets, ``(n, M, targets)``.

        Args:
            x: ``(n, F)`` finite features.
            targets: How many; None = all ``K``.

        Raises:
            SurrogateError: Not as many features as were fitted on, or one that is not finite; or a model
                is none of this package's.
        """
        x = np.ascontiguousarray(x, np.float32)
        k = len(self.models) if targets is None else targets
        forests = [_forest(model) for model in self.models[:k]]
        shapes = {(forest.n_features, len(forest.starts)) for forest in forests}
        if len(shapes) > 1:
            raise SurrogateError(
                "The models of an ensemble do not belong together; fetch or fit the surrogate again."
            )
        n_features = forests[0].n_features
        if x.ndim != 2 or x.shape[1] != n_features or not np.isfinite(x).all():
            raise SurrogateError(
                f"The trees take rows of {n_features} finite features; got an array of shape {x.shape}."
            )
        found = [outputs(forest, x) for forest in forests]
        return self.centre[:k] + self.scale[:k] * np.stack(found, axis=2, dtype=np.float64)

    def files(self) -> dict[str, bytes]:
        """Return what :func:`read_trees` reads: a UBJ file for each target, and their scales."""
        targets = {"centre": self.centre.tolist(), "scale": self.scale.tolist()}
        models = {_file_of(i): model for i, model in enumerate(self.models)}
        return {_TARGETS: json.dumps(targets).encode(), **models}


def fit_trees(
    x: NDArray[np.float32],
    y: _Floats,
    groups: NDArray[np.intp],
    rng: np.random.Generator,
    settings: Settings | None = None,
) -> Trees:
    """Fit an ensemble.

    Args:
        x: ``(n, F)`` finite features.
        y: ``(n, K)`` targets; where one is NaN, the row is left out for that target.
        groups: ``(n,)`` rows of one number are weighted alike.
        rng: Source of the weights and of XGBoost's seeds.
        settings: None = the defaults.

    Raises:
        SurrogateError: Arrays that do not fit together, a feature or target that is infinite, a
            target without values.
    """
    settings = settings or Settings()
    x, y = np.ascontiguousarray(x, np.float32), np.asarray(y, np.float64)
    _check_data(x, y, groups)
    numbers, of_row = np.unique(groups, return_inverse=True)
    weights = _weights(len(numbers), settings, rng)[of_row]
    centre, scale, models = np.nanmean(y, axis=0), np.nanstd(y, axis=0), []
    scale[scale == 0] = 1.0
    seeds = rng.integers(2**31, size=(y.shape[1],)).tolist()
    for k in range(y.shape[1]):
        known = np.isfinite(y[:, k])
        wanted = (y[known, k] - centre[k]) / scale[k]
        model = _fit_one(x[known], wanted.astype(np.float32), weights[known], seeds[k], settings)
        scale[k] *= round_leaves(model)
        models.append(bytes(model))
    return Trees(tuple(models), centre, scale)


def _weights(n: int, settings: Settings, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return ``(n, members)`` weights of groups."""
    if settings.spread == 0:
        return np.ones((n, settings.members), np.float32)
    shape = settings.spread**-2
    return rng.gamma(shape, 1 / shape, (n, settings.members)).astype(np.float32)


def _fit_one(
    x: NDArray[np.float32],
    wanted: NDArray[np.float32],
    weights: NDArray[np.float32],
    seed: int,
    settings: Settings,
) -> bytearray:
    """Return an XGBoost model with an output for each column of weights."""
    import xgboost as xgb

    def gradient(predicted: Any, _: xgb.DMatrix) -> tuple[Any, Any]:
        # Of weighted squares. XGBoost itself has no weights that differ between outputs.
        return weights * (predicted.reshape(weights.shape) - wanted[:, None]), weights

    booster = xgb.train(
        {
            "max_depth": settings.depth,
            "eta": settings.rate,
            "colsample_bynode": settings.columns,
            "min_child_weight": settings.leaf,
            "num_target": settings.members,
            "tree_method": "hist",
            "base_score": 0.0,
            "disable_default_eval_metric": True,
            "seed": seed,
            "nthread": 1,
        },
        xgb.DMatrix(x, label=wanted, nthread=1),
        settings.rounds or min(max(len(x) // 8, 125), 500),
        obj=gradient,
    )
    return booster.save_raw("ubj")


def read_trees(files: Mapping[str, bytes]) -> Trees:
    """Return the ensemble of :meth:`Trees.files`.

    Raises:
        SurrogateError: A file is missing, or their scales are not those of so many models. That the
            models themselves are whole shows when they are asked; a folder's checksums come before.
    """
    n = len(files) - 1
    expected = {_TARGETS, *map(_file_of, range(n))}
    if n < 1 or set(files) != expected:
        raise SurrogateError(
            f"The files of an ensemble are {_TARGETS}, {_file_of(0)}, {_file_of(1)} and so on; got "
            f"{', '.join(sorted(files)) or 'none'}. Fetch or fit the surrogate again."
        )
    models = tuple(bytes(files[_file_of(i)]) for i in range(n))
    try:
        told = json.loads(files[_TARGETS])
        centre, scale = (np.array(told[name], np.float64) for name in ("centre", "scale"))
    except (ValueError, KeyError, TypeError):
        centre = scale = np.empty(0)
    if not (centre.shape == scale.shape == (n,) and np.isfinite([centre, scale]).all()):
        raise SurrogateError(
            f"The models of an ensemble and its {_TARGETS} do not belong together; fetch or fit the "
            "surrogate again."
        )
    return Trees(models, centre, scale)


_forest = lru_cache(maxsize=64)(forest_of)


def _file_of(target: int) -> str:
    return f"target-{target}.ubj"


def _check_data(x: NDArray[np.float32], y: _Floats, groups: NDArray[np.intp]) -> None:
    n = len(x)
    if x.ndim != 2 or y.ndim != 2 or len(y) != n or groups.shape != (n,) or not y.shape[1]:
        raise SurrogateError(
            f"Expected features (n, F), targets (n, K) and groups (n,); got {x.shape}, {y.shape} and "
            f"{groups.shape}."
        )
    if not np.isfinite(x).all() or np.isinf(y).any():
        raise SurrogateError("A feature or a target is not finite; only a target may be NaN.")
    if np.nanmax(np.abs(y), initial=0.0) > _LARGEST:
        raise SurrogateError(
            f"A target is {np.nanmax(np.abs(y)):.3g}; expected values below {_LARGEST:g}, whose squares can be "
            "summed. Look for a diverged training, or another unit."
        )
    if not np.isfinite(y).any(axis=0).all():
        raise SurrogateError("A target has no value at all, so that nothing can be fitted.")
