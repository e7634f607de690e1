"""Learning curves as few numbers: the final value, and coefficients of the shape before it.

The shape of a curve is what it is relative to its end, ``value(e) - value(last)``. Shapes are centred
and reduced by a singular value decomposition; how many coefficients are kept is decided by the error to
the mean of other training seeds of the same network, since what a second training does not repeat is
noise (after Yan, White, Savani and Hutter, "NAS-Bench-x11 and the power of learning curves", NeurIPS
2021). The mean leaves out the training itself, which would agree with its own noise, and a coefficient
counts as much as it repeats: predictors smooth over networks what one curve cannot tell from noise. On
nb201-fashion that keeps two of four shapes, with the Kendall tau, average over epochs, of all four.

    >>> import numpy as np
    >>> epochs = (1, 2, 3, 4)
    >>> curves = np.array([[10.0, 40.0, 60.0, 70.0], [12.0, 30.0, 40.0, 44.0], [8.0, 50.0, 70.0, 82.0]])
    >>> basis = fit_basis(epochs, curves, np.arange(3))
    >>> targets = basis.compress(curves)
    >>> bool((basis.decode(targets, 4) == curves[:, -1]).all())
    True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError, MissingValueError, SurrogateError

__all__ = ["MAX_GRID", "MAX_SHAPES", "Basis", "basis_from", "fit_basis", "other_means"]

_Floats = NDArray[np.float64]

#: Most epochs at which shapes are held, and most coefficients of a shape.
MAX_GRID, MAX_SHAPES = 32, 6

# With fewer networks trained more than once, the number of coefficients is chosen by variance.
_MIN_REPEATED = 10
# Share of the shapes' variance that each must hold where there are no repeats to choose by.
_WORTH = 0.02
# A shape is left out if the error is this close to the least without it: it costs a set of trees.
_CLOSE = 1.005
_FOLDS = 5


class Basis(NamedTuple):
    """Between curves of ``E`` epochs and ``1 + k`` targets.

    Attributes:
        epochs: The ``E`` epochs, ascending.
        grid: ``(G,)`` places among ``epochs`` where shapes are held; the first and the last are there.
        mean: ``(G,)`` mean shape; 0 at the last, in the metric's unit.
        shapes: ``(k, G)`` orthonormal deviations from it; 0 at the last.
        errors: Root mean square error of the shape over the grid with 0, 1, ... shapes: to the mean of
            the network's other seeds, held out; to the run itself where there were too few repeats.
        offsets: ``(E,)`` mean shape at every epoch.
        rows: ``(E, 1 + k)`` weights of the targets at every epoch.
    """

    epochs: tuple[int, ...]
    grid: NDArray[np.intp]
    mean: _Floats
    shapes: _Floats
    errors: _Floats
    offsets: _Floats
    rows: _Floats

    def compress(self, values: _Floats) -> _Floats:
        """Return ``(n, 1 + k)`` targets of ``(n, E)`` curves.

        Column 0 is the final value; coefficients are NaN where a value on the grid is missing.
        """
        values = _checked(values, len(self.epochs))
        final = values[:, -1:]
        with np.errstate(invalid="ignore"):
            shape = values[:, self.grid] - final - self.mean
            # Not a matrix product: NaN rows would be left to the linear algebra library.
            coefficients = (shape[:, None, :] * self.shapes).sum(axis=2)
        return np.hstack([final, coefficients])

    def decode(self, targets: _Floats, epoch: int | None = None) -> _Floats:
        """Return the curves of targets, in the metric's unit and not limited to its bounds.

        At the last epoch it is the first target exactly. Between grid epochs it is linear in the
        logarithm of the epoch. An epoch alone and that epoch of the whole curve are the same number
        to the last bit.

        Args:
            targets: ``(..., 1 + k)``, for example ``(n, M, 1 + k)`` of the members of an ensemble.
            epoch: One of ``epochs``; None = all.

        Returns:
            ``(..., E)``, or ``(...)`` for one epoch.

        Raises:
            MissingValueError: There is no such epoch.
            InvalidArgumentError: Not ``1 + k`` targets.
        """
        if targets.shape[-1] != self.rows.shape[1]:
            raise InvalidArgumentError(
                f"Targets must end in {self.rows.shape[1]} columns; got an array of shape {targets.shape}."
            )
        if epoch is None:
            curve = targets[..., :1] + np.zeros(len(self.epochs))
            for j, shape in enumerate(self.rows.T[1:], 1):
                curve += targets[..., j : j + 1] * shape
            curve += self.offsets
            curve[..., -1] = targets[..., 0]
            return np.asarray(curve)
        if epoch == self.epochs[-1]:
            return np.array(targets[..., 0])
        try:
            place = self.epochs.index(epoch)
        except ValueError:
            raise MissingValueError(
                f"There are no values at epoch {epoch}: curves were fitted from epoch {self.epochs[0]} to "
                f"{self.epochs[-1]} ({len(self.epochs)} epochs). Ask for one of those."
            ) from None
        # So few terms are added one after the other, as above.
        return np.asarray(np.add.reduce(targets * self.rows[place], axis=-1) + self.offsets[place])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what :func:`basis_from` needs, as plain arrays."""
        return {
            "epochs": np.array(self.epochs, np.int64),
            "grid": self.grid.astype(np.int64),
            "mean": self.mean,
            "shapes": self.shapes,
            "errors": self.errors,
        }


def fit_basis(
    epochs: Sequence[int], values: _Floats, groups: NDArray[np.intp], shapes: int | None = None
) -> Basis:
    """Fit a basis on the runs whose curves are complete.

    Args:
        epochs: ``E`` epochs, 1-based and ascending.
        values: ``(n, E)`` curves, NaN where a value is missing; such runs are left out.
        groups: ``(n,)`` same number = same network.
        shapes: Number of coefficients; None = chosen, at most :data:`MAX_SHAPES`.

    Raises:
        SurrogateError: No curve is complete.
        InvalidArgumentError: The epochs do not ascend, or the arrays do not fit together.
    """
    epochs = tuple(int(epoch) for epoch in epochs)
    if not epochs or epochs[0] < 1 or any(a >= b for a, b in pairwise(epochs)):
        raise InvalidArgumentError(
            f"Epochs must be 1-based and ascend; got {epochs[:8]}{'...' if len(epochs) > 8 else ''}."
        )
    values = _checked(values, len(epochs))
    if len(groups) != len(values):
        raise InvalidArgumentError(f"{len(values)} curves need as many groups; got {len(groups)}.")
    grid = _grid(epochs)
    on_grid = values[:, grid]
    complete = np.isfinite(on_grid).all(axis=1)
    if not complete.any():
        raise SurrogateError(
            f"None of {len(values)} runs has a value at every one of {len(grid)} epochs from "
            f"{epochs[0]} to {epochs[-1]}, so that no learning curve can be fitted. Give complete runs, or "
            "only the epochs that all have."
        )
    on_grid, groups = on_grid[complete], np.asarray(groups)[complete]
    shape = on_grid - on_grid[:, -1:]
    mean = shape.mean(axis=0)
    _, _, directions = np.linalg.svd(shape - mean, full_matrices=False)
    # Rows of centred shapes span at most n - 1 directions, and the last epoch is 0 in all of them.
    directions = directions[: min(MAX_SHAPES, len(shape) - 1, len(grid) - 1)]
    directions[:, -1] = 0.0
    # The sign of a direction is arbitrary; fixed, so that the same runs give the same coefficients.
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
    directions = directions * np.where(largest < 0, -1.0, 1.0)
    errors, chosen = _choose(shape - mean, directions, groups)
    if shapes is not None:
        chosen = min(shapes, len(directions))
    return _made(epochs, grid, mean, np.ascontiguousarray(directions[:chosen]), errors)


def basis_from(arrays: Mapping[str, NDArray[Any]]) -> Basis:
    """Return the basis that :meth:`Basis.arrays` wrote down.

    Raises:
        SurrogateError: Something is missing, or does not fit together.
    """
    try:
        epochs = tuple(np.asarray(arrays["epochs"], np.int64).tolist())
        grid = np.asarray(arrays["grid"], np.intp)
        mean, shapes, errors = (
            np.array(arrays[name], np.float64) for name in ("mean", "shapes", "errors")
        )
        size = len(grid)
        fits = (
            shapes.ndim == 2
            and mean.shape == (size,)
            and shapes.shape[1] == size
            and grid.ndim == errors.ndim == 1
            and size > 0
            and grid[0] == 0
            and grid[-1] == len(epochs) - 1
            and (np.diff(grid) > 0).all()
            and epochs[0] >= 1
            and (np.diff(epochs) > 0).all()
            and all(np.isfinite(part).all() for part in (mean, shapes, errors))
            and mean[-1] == 0
            and not shapes[:, -1].any()
        )
    except (KeyError, TypeError, ValueError, IndexError) as err:
        raise SurrogateError(f"A basis of learning curves cannot be read: {err!r}.") from err
    if not fits:
        raise SurrogateError(
            "A basis of learning curves is inconsistent: expected ascending epochs, a grid from the first "
            f"to the last of them, and finite shapes that end at 0; got {len(epochs)} epochs, grid "
            f"{grid.shape}, mean {mean.shape}, shapes {shapes.shape}. Fit the surrogate again."
        )
    return _made(epochs, grid, mean, shapes, errors)


def other_means(values: _Floats, groups: NDArray[np.intp]) -> tuple[_Floats, NDArray[np.bool_]]:
    """Return the mean of the *other* rows of each row's group, and which rows have others.

    Args:
        values: ``(n, ...)`` finite.
        groups: ``(n,)``.
    """
    _, number = np.unique(groups, return_inverse=True)
    count = np.bincount(number)
    total = np.zeros((len(count), *values.shape[1:]))
    np.add.at(total, number, values)
    others = count[number] - 1
    has = others > 0
    scale = np.where(has, others, 1).reshape(-1, *[1] * (values.ndim - 1))
    return (total[number] - values) / scale, has


def _choose(centred: _Floats, directions: _Floats, groups: NDArray[np.intp]) -> tuple[_Floats, int]:
    """Return the errors with 0, 1, ... directions, and how many to keep."""
    coefficients = centred @ directions.T
    others, has = other_means(centred, groups)
    if len(np.unique(groups[has])) < _MIN_REPEATED:
        left = (centred**2).sum() - np.cumsum([0.0, *(coefficients**2).sum(axis=0)])
        errors = np.sqrt(np.maximum(left, 0.0) / centred.size)
        worth = -np.diff(errors**2) > _WORTH * errors[0] ** 2
        return errors, int(np.argmin(np.append(worth, False)))
    # A predictor smooths over networks what a single curve cannot tell from noise, so that each
    # coefficient counts as much as it repeats: times the slope of the other seeds' on this one,
    # fitted on the networks of other folds.
    own, other, groups = coefficients[has], others[has] @ directions.T, groups[has]
    fold = np.unique(groups, return_inverse=True)[1] % _FOLDS
    gain = np.zeros(len(directions))
    for out in range(_FOLDS):
        fit, rest = fold != out, fold == out
        power = (own[fit] ** 2).sum(axis=0)
        slope = (own[fit] * other[fit]).sum(axis=0) / np.where(power > 0, power, 1.0)
        guess = np.maximum(slope, 0.0) * own[rest]
        gain += (other[rest] ** 2 - (other[rest] - guess) ** 2).sum(axis=0)
    left = (others[has] ** 2).sum() - np.cumsum([0.0, *gain])
    errors = np.sqrt(np.maximum(left, 0.0) / others[has].size)
    return errors, int(np.argmax(errors <= _CLOSE * errors.min()))


def _grid(epochs: tuple[int, ...]) -> NDArray[np.intp]:
    """Return at most :data:`MAX_GRID` places among the epochs, even in the logarithm."""
    if len(epochs) <= MAX_GRID:
        return np.arange(len(epochs), dtype=np.intp)
    logs = np.log(epochs)
    # Early epochs are wider apart than the even steps, so that more steps give as many places.
    for steps in range(MAX_GRID, MAX_GRID * len(epochs)):
        wanted = np.linspace(logs[0], logs[-1], steps)
        places = np.unique(np.abs(logs - wanted[:, None]).argmin(axis=1))
        if len(places) > MAX_GRID:
            break
        grid = places
    return grid.astype(np.intp)


def _made(
    epochs: tuple[int, ...], grid: NDArray[np.intp], mean: _Floats, shapes: _Floats, errors: _Floats
) -> Basis:
    logs = np.log(epochs)
    offsets = np.interp(logs, logs[grid], mean)
    parts = [np.interp(logs, logs[grid], shape) for shape in shapes]
    rows = np.column_stack([np.ones(len(epochs)), *parts])
    return Basis(epochs, grid, mean, shapes, errors, offsets, rows)


def _checked(values: _Floats, n_epochs: int) -> _Floats:
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or values.shape[1] != n_epochs:
        raise InvalidArgumentError(
            f"Curves must be (runs, {n_epochs} epochs); got an array of shape {values.shape}."
        )
    return values
