"""A fitted surrogate: what its parts say together about any architecture of its space.

For each metric an ensemble (boosted trees, a Gaussian process, and if asked for networks that pass messages
along the cell) predicts the final value and the coefficients of the curve's shape; its spread is the doubt
of the model. Repeated trainings give the seed noise, and out-of-fold residuals the interval of one training. An architecture unlike those it was fitted on is
flagged and its interval widened.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.predictors.cost import Cost
from nasbench_tab.predictors.curves import Basis
from nasbench_tab.predictors.ensemble import Ensemble
from nasbench_tab.predictors.inputs import Inputs, inputs_of
from nasbench_tab.predictors.intervals import Bands
from nasbench_tab.predictors.noise import Noise
from nasbench_tab.predictors.novelty import Novelty
from nasbench_tab.predictors.partial import Partial
from nasbench_tab.records import Metric
from nasbench_tab.spaces.base import Space

__all__ = [
    "COVERAGE",
    "Model",
    "Predicted",
    "Surrogate",
    "mean_curves",
    "predict",
    "predict_curves",
    "simulated",
    "total_sd",
]

_Floats = NDArray[np.float64]

#: By which the interval of a flagged architecture is wider.
WIDENING = 3.0

#: Nominal coverage of the interval that answers carry.
COVERAGE = 0.9


class Model(NamedTuple):
    """What was fitted for one metric.

    Attributes:
        metric: What is predicted.
        ensemble: Its targets are those of ``basis``: the final value, then the curve's coefficients.
        basis: Between targets and curves.
        noise: Of the training seed.
        bands: One for each epoch at which intervals were calibrated.
        banded: ``(len(bands),)`` those epochs; other epochs take the nearest's.
    """

    metric: Metric
    ensemble: Ensemble
    basis: Basis
    noise: Noise
    bands: tuple[Bands, ...]
    banded: tuple[int, ...]

    def band(self, epoch: int) -> Bands:
        """Return the intervals of an epoch: its own, or those of the nearest in the logarithm."""
        return min(
            zip(self.banded, self.bands, strict=True),
            key=lambda known: abs(math.log(known[0] / epoch)),
        )[1]


class Surrogate(NamedTuple):
    """All parts of a surrogate.

    Attributes:
        space: Search space.
        epochs: 1-based, ascending; the last is the full training.
        objective: Key of ``models``.
        models: By metric.
        novelty: How unlike the fitted architectures one is.
        cost: Of training; None where no times were known.
        partial: Says how a training that has begun will end, by the objective; None where there were no
            curves to learn it from.
    """

    space: Space
    epochs: tuple[int, ...]
    objective: str
    models: dict[str, Model]
    novelty: Novelty
    cost: Cost | None
    partial: Partial | None

    @property
    def passes_messages(self) -> bool:
        """Whether graphs are among what it sees."""
        return any(model.ensemble.net is not None for model in self.models.values())

    def inputs(self, cells: NDArray[np.uint8]) -> Inputs:
        """Return what it sees of ``(n, cell length)`` cells."""
        return inputs_of(self.space, cells, graphs=self.passes_messages)


class Predicted(NamedTuple):
    """Predictions of ``n`` architectures; at one epoch ``(n,)`` each, else ``(n, E)``.

    Attributes:
        mean: Over training seeds.
        sd_model: Doubt of the model about that mean.
        sd_seed: Of one training around the mean; NaN where no repeats were known.
        lower: Of the interval for one training.
        upper: Of the same.
    """

    mean: _Floats
    sd_model: _Floats
    sd_seed: _Floats
    lower: _Floats
    upper: _Floats


def predict(
    surrogate: Surrogate, metric: str, inputs: Inputs, novel: NDArray[np.bool_], epoch: int
) -> Predicted:
    """Return predictions ``(n,)`` of a metric at one epoch.

    Args:
        surrogate: The fitted parts.
        metric: Key of its models.
        inputs: ``n``, from :meth:`Surrogate.inputs`.
        novel: ``(n,)`` which rows are unlike what was fitted; their intervals are widened.
        epoch: One of the surrogate's.
    """
    model = surrogate.models[metric]
    only_final = epoch == surrogate.epochs[-1]  # most questions: one target instead of all
    members = model.ensemble.members(inputs.x, 1 if only_final else None, inputs.graphs)
    return _finished(surrogate, model, members, novel, epoch)


def predict_curves(
    surrogate: Surrogate, metric: str, inputs: Inputs, novel: NDArray[np.bool_]
) -> Predicted:
    """Return predictions ``(n, E)`` of a metric at all epochs; else as :func:`predict`."""
    model = surrogate.models[metric]
    members = model.ensemble.members(inputs.x, graphs=inputs.graphs)
    each = [_finished(surrogate, model, members, novel, epoch) for epoch in surrogate.epochs]
    return Predicted(*(np.column_stack(parts) for parts in zip(*each, strict=True)))


def mean_curves(surrogate: Surrogate, metric: str, inputs: Inputs) -> _Floats:
    """Return only the means of :func:`predict_curves`, sooner."""
    model = surrogate.models[metric]
    curves = model.basis.decode(model.ensemble.members(inputs.x, graphs=inputs.graphs)).mean(axis=1)
    return np.asarray(np.clip(curves, model.metric.lower, model.metric.upper))


def _finished(
    surrogate: Surrogate, model: Model, members: _Floats, novel: NDArray[np.bool_], epoch: int
) -> Predicted:
    metric = model.metric
    # At the last epoch it is the first target, exactly; the others may not have been computed.
    last = epoch == surrogate.epochs[-1]
    decoded = members[:, :, 0] if last else model.basis.decode(members, epoch)
    # By hand: for one architecture, half the time of NumPy's own mean and std.
    mean = decoded.sum(axis=1) / decoded.shape[1]
    off = decoded - mean[:, None]
    doubt = np.sqrt((off * off).sum(axis=1) / (decoded.shape[1] - 1))
    mean = _within(mean, metric)
    noise = model.noise.sd_at(mean, surrogate.epochs.index(epoch))
    lower, upper = model.band(epoch).bounds(mean, total_sd(doubt, noise), COVERAGE)
    if novel.any():
        factor = np.where(novel, WIDENING, 1.0)
        lower, upper = mean - factor * (mean - lower), mean + factor * (upper - mean)
    return Predicted(mean, doubt, noise, _within(lower, metric), _within(upper, metric))


def _within(values: _Floats, metric: Metric) -> _Floats:
    """Return values within the metric's range: np.clip, which takes thrice as long for one."""
    found: _Floats = np.minimum(np.maximum(values, metric.lower), metric.upper)
    return found


def total_sd(doubt: _Floats, noise: _Floats) -> _Floats:
    """Return the deviation of one training from the prediction, as far as it is known."""
    return np.asarray(np.sqrt(doubt**2 + np.where(np.isnan(noise), 0.0, noise) ** 2))


def simulated(
    surrogate: Surrogate, metric: str, mean: _Floats, keys: NDArray[np.uint64]
) -> _Floats:
    """Return ``(n, E)`` simulated learning curves around predicted ones.

    Args:
        surrogate: The fitted parts.
        metric: Key of its models.
        mean: ``(n, E)`` predicted curves.
        keys: ``(n,)`` one for each cell and training seed: the same key, the same curve.
    """
    model = surrogate.models[metric]
    curves = mean + model.noise.draw(mean, keys)
    return np.asarray(np.clip(curves, model.metric.lower, model.metric.upper))
