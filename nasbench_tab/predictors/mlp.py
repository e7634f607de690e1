"""An ensemble of small neural networks on an encoding of the architecture, by NumPy alone.

    >>> x = np.eye(4)[np.arange(40) % 4]
    >>> nets = fit_mlps(x, x @ [1.0, 2.0, 3.0, 4.0], np.random.default_rng(0))
    >>> nets.members(np.eye(4)).mean(axis=1).round().tolist()
    [1.0, 2.0, 3.0, 4.0]

Members differ in their first weights and in the order in which they see the rows, as in White,
Neiswanger and Savani, "BANANAS: Bayesian Optimization with Neural Architectures for Neural
Architecture Search", AAAI 2021. All members step together: their weights are one array.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError

__all__ = ["Mlps", "Settings", "fit_mlps"]

_Floats = NDArray[np.float64]

_DECAY1, _DECAY2, _EPSILON = 0.9, 0.999, 1e-7  # Adam's constants, as in Keras


class Settings(NamedTuple):
    """How the ensemble is fitted; the defaults are those of the paper's code.

    Attributes:
        members: Networks.
        layers: Hidden layers of each.
        width: Units of a layer.
        epochs: Passes over the rows.
        rate: Adam's learning rate.
        batch: Rows of a step.
    """

    members: int = 5
    layers: int = 10
    width: int = 20
    epochs: int = 150
    rate: float = 0.01
    batch: int = 32


class Mlps(NamedTuple):
    """A fitted ensemble of ``M`` networks.

    Attributes:
        weights: Of each layer, ``(M, inputs, outputs)``.
        biases: Of each layer, ``(M, 1, outputs)``.
        centre: Added to what the networks say.
        scale: What they say is multiplied with, before.
    """

    weights: list[_Floats]
    biases: list[_Floats]
    centre: float
    scale: float

    def members(self, x: NDArray[np.floating]) -> _Floats:
        """Return each member's prediction ``(n, M)`` for rows ``(n, F)``."""
        now = np.asarray(x, np.float64)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            now = np.maximum(now @ weight + bias, 0.0)
        found = (now @ self.weights[-1] + self.biases[-1])[:, :, 0].T
        return np.asarray(self.centre + self.scale * found)


def fit_mlps(
    x: NDArray[np.floating],
    y: _Floats,
    rng: np.random.Generator,
    settings: Settings | None = None,
) -> Mlps:
    """Fit an ensemble: rectified units, mean absolute error, Adam, no regularisation.

    Args:
        x: ``(n, F)`` finite inputs, best between 0 and 1.
        y: ``(n,)`` finite targets.
        rng: Source of the first weights and of the order of the rows.
        settings: None = the defaults.

    Raises:
        SurrogateError: No rows, arrays that do not fit together, or a value that is not finite.
    """
    settings = settings or Settings()
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.shape != x.shape[:1] or not len(y):
        raise SurrogateError(f"Expected inputs (n, F) and targets (n,); got {x.shape}, {y.shape}.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise SurrogateError("An input or a target is not finite.")
    centre, scale = float(y.mean()), float(y.std()) or 1.0
    nets = _Training(x.shape[1], settings, rng)
    wanted = (y - centre) / scale
    rows = np.arange(len(y))
    for _ in range(settings.epochs):
        order = rng.permuted(np.broadcast_to(rows, (settings.members, len(rows))), axis=1)
        for start in range(0, len(rows), settings.batch):
            chosen = order[:, start : start + settings.batch]
            nets.step(x[chosen], wanted[chosen])
    return Mlps(nets.weights, nets.biases, centre, scale)


class _Training:
    """Networks, their gradients and Adam's moments: flat arrays, with a view for each layer."""

    def __init__(self, n_inputs: int, settings: Settings, rng: np.random.Generator) -> None:
        sizes = [n_inputs, *[settings.width] * settings.layers, 1]
        shapes = list(pairwise(sizes))
        count = settings.members * sum((inputs + 1) * outputs for inputs, outputs in shapes)
        self._all, self._gradient = np.zeros(count), np.zeros(count)
        self._mean, self._square, self._change = np.zeros(count), np.zeros(count), np.empty(count)
        self._rate, self._steps = settings.rate, 0
        self.weights, self.biases = _views(self._all, settings.members, shapes)
        self._by_weights, self._by_biases = _views(self._gradient, settings.members, shapes)
        for weight in self.weights:  # Glorot and Bengio's, Keras' default
            bound = math.sqrt(6 / sum(weight.shape[1:]))
            weight[:] = rng.uniform(-bound, bound, weight.shape)

    def step(self, x: _Floats, y: _Floats) -> None:
        """Step against the gradient of the mean absolute error; ``(M, b, F)``, ``(M, b)``."""
        seen = [x]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            after = np.matmul(seen[-1], weight)
            after += bias
            seen.append(np.maximum(after, 0.0, out=after))
        said = np.matmul(seen[-1], self.weights[-1])
        said += self.biases[-1]
        said -= y[:, :, None]
        behind = np.sign(said, out=said)
        behind /= y.shape[1]
        for layer in range(len(self.weights) - 1, -1, -1):
            before = seen[layer]
            np.matmul(before.swapaxes(1, 2), behind, out=self._by_weights[layer])
            np.add.reduce(behind, axis=1, keepdims=True, out=self._by_biases[layer])
            if layer:
                behind = np.matmul(behind, self.weights[layer].swapaxes(1, 2))
                behind *= before > 0
        self._adam()

    def _adam(self) -> None:
        self._steps += 1
        gradient, change = self._gradient, self._change
        self._mean *= _DECAY1
        self._mean += np.multiply(gradient, 1 - _DECAY1, out=change)
        self._square *= _DECAY2
        gradient *= gradient
        self._square += np.multiply(gradient, 1 - _DECAY2, out=change)
        np.sqrt(self._square, out=change)
        change += _EPSILON
        np.divide(self._mean, change, out=change)
        change *= self._rate * math.sqrt(1 - _DECAY2**self._steps) / (1 - _DECAY1**self._steps)
        self._all -= change


def _views(
    flat: _Floats, members: int, shapes: list[tuple[int, int]]
) -> tuple[list[_Floats], list[_Floats]]:
    """Return the parts of ``flat`` that hold the weights and the biases of each layer."""
    weights, biases, start = [], [], 0
    for inputs, outputs in shapes:
        end = start + members * inputs * outputs
        weights.append(flat[start:end].reshape(members, inputs, outputs))
        start, end = end, end + members * outputs
        biases.append(flat[start:end].reshape(members, 1, outputs))
        start = end
    return weights, biases
