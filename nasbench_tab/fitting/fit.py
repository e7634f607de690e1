"""Fit a surrogate on runs: predictors on all of them, doubt and intervals from those held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.base import Runs
from nasbench_tab.predictors.cost import TREES, fit_cost, work_of
from nasbench_tab.predictors.curves import fit_basis
from nasbench_tab.predictors.ensemble import Ensemble, fit_ensemble
from nasbench_tab.predictors.features import features
from nasbench_tab.predictors.graphs import graphs_of
from nasbench_tab.predictors.inputs import Inputs
from nasbench_tab.predictors.intervals import MIN_GROUPS, Bands, calibrate
from nasbench_tab.predictors.model import Model, Surrogate, total_sd
from nasbench_tab.predictors.noise import Noise, fit_noise
from nasbench_tab.predictors.novelty import fit_novelty
from nasbench_tab.predictors.partial import fit_partial
from nasbench_tab.predictors.trees import Settings

__all__ = ["FOLDS", "HeldOut", "alike_columns", "fit_members", "fit_surrogate", "folds_of"]

_Floats = NDArray[np.float64]

#: Parts that the runs are split into for predictions of held-out networks.
FOLDS = 5


class HeldOut(NamedTuple):
    """What models said of runs whose networks they were not fitted on, ``(n, E)`` each.

    Attributes:
        mean: Predictions.
        sd_model: Spread over the members.
    """

    mean: _Floats
    sd_model: _Floats


def fit_surrogate(
    runs: Runs,
    rng: np.random.Generator,
    *,
    settings: Settings | None = None,
    message_passing: bool = False,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Surrogate, dict[str, HeldOut]]:
    """Fit all parts of a surrogate.

    Args:
        runs: What to learn from.
        rng: Of bootstraps and folds.
        settings: Of the trees; None = the defaults.
        message_passing: Add networks that pass messages along the cell to each ensemble; needs PyTorch, and takes
            a minute for each ensemble of a thousand networks or more.
        jobs: Processes; the surrogate does not depend on it. -1 = one for each core.
        progress: Called with (ensembles fitted, ensembles in all).

    Returns:
        The surrogate, and by metric what was predicted of each run while its network was held out.

    Raises:
        SurrogateError: Too few networks, or targets that say nothing.
    """
    names, x = features(runs.space, runs.cells)
    inputs = Inputs(x, graphs_of(runs.space, runs.cells) if message_passing else None)
    alike = alike_columns(names)
    fold = folds_of(runs.groups, rng)
    bases = {}
    for name in runs.metrics:
        _check_targets(name, runs.curves[name])
        bases[name] = fit_basis(runs.epochs, runs.curves[name], runs.groups)
        _check_networks(name, runs, bases[name].grid)
    targets = {name: basis.compress(runs.curves[name]) for name, basis in bases.items()}
    # The last fold is nobody: everything is fitted on, and nothing left to predict.
    work = [(name, out) for name in runs.metrics for out in range(fold.max() + 2)]
    cost_rng, partial_rng, *streams = rng.spawn(2 + len(work))
    found = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(_fitted)(inputs, targets[name], runs.groups, fold != out, stream, settings, alike)
        for (name, out), stream in zip(work, streams, strict=True)
    )
    fitted: dict[tuple[str, int], tuple[Ensemble, _Floats]] = {}
    for done, (key, parts) in enumerate(zip(work, found, strict=True), 1):
        fitted[key] = parts
        if progress is not None:
            progress(done, len(work))
    models, held_out = {}, {}
    for name, metric in runs.metrics.items():
        values, basis = runs.curves[name], bases[name]
        curves = np.empty((len(x), len(fitted[name, 0][1][0]), len(runs.epochs)))
        for out in range(fold.max() + 1):
            curves[fold == out] = basis.decode(fitted[name, out][1])
        out_of_fold = HeldOut(curves.mean(axis=1), curves.std(axis=1, ddof=1))
        noise = fit_noise(values, runs.groups, out_of_fold.mean, runs.seeds)
        banded = tuple(runs.epochs[place] for place in basis.grid.tolist())
        bands = tuple(
            _bands(values[:, place], out_of_fold, noise, place, runs.groups)
            for place in basis.grid.tolist()
        )
        ensemble = fitted[name, fold.max() + 1][0]
        models[name] = Model(metric, ensemble, basis, noise, bands, banded)
        held_out[name] = out_of_fold
    cost = fit_cost(
        x,
        runs.seconds,
        runs.groups,
        cost_rng,
        work=work_of(runs.space, runs.cells),
        settings=TREES if settings is None else settings,
    )
    novelty = fit_novelty(x, runs.groups)
    objective = runs.objective
    partial = fit_partial(
        runs.curves[objective],
        held_out[objective].mean,
        runs.groups,
        partial_rng,
        losses=runs.losses,
        best=runs.metrics[objective].direction,
    )
    surrogate = Surrogate(runs.space, runs.epochs, objective, models, novelty, cost, partial)
    return surrogate, held_out


def alike_columns(names: Sequence[str]) -> NDArray[np.intp]:
    """Return the features that say how alike two networks are: all but the one-hot positions."""
    return np.flatnonzero([not name.startswith("cell[") for name in names])


def folds_of(
    groups: NDArray[np.intp], rng: np.random.Generator, folds: int = FOLDS
) -> NDArray[np.intp]:
    """Return ``(n,)`` numbers of folds; a network is in one fold with all its trainings."""
    numbers, of_row = np.unique(groups, return_inverse=True)
    part = rng.permutation(len(numbers)) % min(folds, len(numbers))
    return np.asarray(part[of_row], np.intp)


def fit_members(
    inputs: Inputs,
    targets: _Floats,
    groups: NDArray[np.intp],
    tested: Inputs,
    rng: np.random.Generator,
    settings: Settings | None,
    alike: NDArray[np.intp],
) -> tuple[Ensemble, _Floats]:
    """Return an ensemble, and what its members say of rows it did not see, ``(m, M, K)``.

    Where there are graphs among the inputs, networks pass messages along them.
    """
    ensemble = fit_ensemble(inputs.x, targets, groups, rng, settings, alike)
    if inputs.graphs is not None:
        from nasbench_tab.train.dagnet import train_dagnet  # PyTorch, only where it is asked for

        net = train_dagnet(inputs.graphs, targets[:, 0], rng.spawn(1)[0])
        ensemble = ensemble._replace(net=net)
    return ensemble, ensemble.members(tested.x, graphs=tested.graphs)


def _fitted(
    inputs: Inputs,
    targets: _Floats,
    groups: NDArray[np.intp],
    rest: NDArray[np.bool_],
    rng: np.random.Generator,
    settings: Settings | None,
    alike: NDArray[np.intp],
) -> tuple[Ensemble, _Floats]:
    """Return an ensemble fitted on ``rest``, and what its members say of the others."""
    own = (inputs.at(rest), targets[rest], groups[rest])
    return fit_members(*own, inputs.at(~rest), rng, settings, alike)


def _bands(
    values: _Floats, found: HeldOut, noise: Noise, place: int, groups: NDArray[np.intp]
) -> Bands:
    """Return the intervals at one epoch."""
    mean, doubt = found.mean[:, place], found.sd_model[:, place]
    sd = total_sd(doubt, noise.sd_at(mean, place))
    known = np.isfinite(values)
    return calibrate(values[known], mean[known], sd[known], groups[known])


def _check_targets(name: str, values: _Floats) -> None:
    final = values[:, -1]
    known = final[np.isfinite(final)]
    if len(known) == 0 or np.ptp(known) == 0:
        what = "no final value at all" if len(known) == 0 else f"the final value {known[0]!r} alone"
        raise SurrogateError(
            f"{name}: {len(final)} runs have {what}; a surrogate needs values that differ. Is this the "
            "right column, and were the trainings complete?"
        )


def _check_networks(name: str, runs: Runs, grid: NDArray[np.intp]) -> None:
    """Raise SurrogateError where intervals could not be calibrated: before, not after minutes of fitting."""
    for place in grid.tolist():
        known = np.isfinite(runs.curves[name][:, place])
        networks = len(np.unique(runs.groups[known]))
        if networks < MIN_GROUPS:
            raise SurrogateError(
                f"{name}: {networks} distinct networks have a value at epoch {runs.epochs[place]}; intervals need "
                f"{MIN_GROUPS} or more. Give more runs."
            )
