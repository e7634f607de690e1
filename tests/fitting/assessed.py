"""Assessments without a fit: made-up runs, a stand-in for the surrogate, and predictions whose error is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.fitting.assess_parts import Data, Part, Task, Tested, data_of, fit_whole, foretold
from nasbench_tab.predictors.base import Runs
from nasbench_tab.predictors.features import features
from nasbench_tab.predictors.inputs import Inputs
from nasbench_tab.predictors.intervals import calibrate
from nasbench_tab.predictors.noise import fit_noise

from .made_up import SETTINGS, observed, truth

_Floats = NDArray[np.float64]

SHARE = np.array([0.7, 0.9, 1.0])  # of the final value, after each epoch of made-up runs


def data(runs: Runs | None = None, **made: Any) -> Data:
    """Return runs as they are assessed; nothing is fitted but their seed noise."""
    runs = observed(**made).runs if runs is None else runs
    values = runs.curves[runs.objective]
    level = truth(runs.cells)[:, None] * SHARE[-values.shape[1] :]
    noise = fit_noise(values, runs.groups, level, runs.seeds)
    surrogate: Any = SimpleNamespace(
        space=runs.space,
        objective=runs.objective,
        epochs=runs.epochs,
        models={runs.objective: SimpleNamespace(noise=noise)},
        partial=None,
        passes_messages=False,
    )
    return data_of(runs, surrogate, SETTINGS)


def sides(of: Data, task: Task) -> tuple[set[bytes], set[bytes]]:
    """Return the networks that a task is fitted on, and those that it predicts."""
    if task[0] is fit_whole:
        fitted, tested = features(of.runs.space, task[1][0].cells).x, task[1][1].x
    elif task[0] is foretold:
        fitted, tested = task[1][0].x, task[1][3].x
    else:  # seconds, of features alone
        fitted, tested = task[1][0], task[1][4]
    return {row.tobytes() for row in fitted}, {row.tobytes() for row in tested}


def cells_of(of: Data, inputs: Inputs) -> NDArray[np.uint8]:
    """Return the cells that have these inputs."""
    known = {row.tobytes(): cell for row, cell in zip(of.inputs.x, of.runs.cells, strict=True)}
    return np.array([known[row.tobytes()] for row in inputs.x])


def predicted(of: Data, task: Task, error: float = 1.0) -> Any:
    """Return what a task may answer: the truth with an error that depends on the cell alone."""
    if task[0] is fit_whole:
        mean = wrong(cells_of(of, task[1][1]), error)
        own = task[1][0]
        values, level = own.curves[own.objective][:, -1], wrong(own.cells, error)
        bands = calibrate(values, level, np.full(len(level), 0.5), own.groups)
        sd = np.full(len(mean), 0.5)
        return Tested(mean, sd, *bands.bounds(mean, sd), bands)
    mean = wrong(cells_of(of, task[1][3]), error)
    spread = np.array([-0.1, 0.0, 0.1])
    return mean[:, None, None] + spread[:, None] + np.zeros(task[1][1].shape[1])


def wrong(cells: NDArray[np.uint8], error: float) -> _Floats:
    """Return predictions of cells."""
    bend: _Floats = np.sin(7.0 * cells @ np.sqrt(np.arange(2.0, cells.shape[1] + 2)))
    return truth(cells) + error * bend


def finished(of: Data, part: Part, error: float = 1.0) -> Any:
    """Return what a part reports of such answers."""
    return part.finish([predicted(of, task, error) for task in part.tasks])
