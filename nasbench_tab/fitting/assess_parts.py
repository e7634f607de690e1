"""What the parts of an assessment share: its data, what is fitted for it, and the scores of a split."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.fitting.assess_figures import (
    Known,
    known,
    leave_out,
    mean_of,
    merged,
    tau_of,
    top_tau_of,
)
from nasbench_tab.fitting.fit import alike_columns, fit_members, fit_surrogate, folds_of
from nasbench_tab.predictors.base import Runs
from nasbench_tab.predictors.features import features
from nasbench_tab.predictors.graphs import graphs_of
from nasbench_tab.predictors.inputs import Inputs
from nasbench_tab.predictors.intervals import MIN_GROUPS, Bands
from nasbench_tab.predictors.model import WIDENING, Surrogate, predict, total_sd
from nasbench_tab.predictors.novelty import fit_novelty
from nasbench_tab.predictors.trees import Settings
from nasbench_tab.stats.prediction import point_scores

__all__ = [
    "LEAST_TESTED", "Data", "Part", "Task", "Tested", "ceiling", "data_of", "done", "fit_whole", "foretold", "in_folds",
    "need", "only", "scores_of", "widened",
]  # fmt: skip

_Floats = NDArray[np.float64]
_Rows = NDArray[np.intp]

#: Fewer networks than this are not tested on.
LEAST_TESTED = 10

#: A function and its arguments, run in any process.
Task = tuple[Callable[..., Any], tuple[Any, ...]]


class Part(NamedTuple):
    """A part of an assessment.

    Attributes:
        name: Its key.
        tasks: What has to be fitted.
        finish: From their results, in order, to what is reported. A result may be a SurrogateError.
    """

    name: str
    tasks: list[Task]
    finish: Callable[[list[Any]], Known]


class Data(NamedTuple):
    """Runs with a final value of the objective; ``n`` runs of ``N`` networks, ``E`` epochs.

    Attributes:
        runs: With the objective alone; groups are numbered 0 to ``N - 1``.
        inputs: ``n``; with graphs if the surrogate passes messages along them.
        alike: Which of the features say how alike two networks are.
        values: ``(n, E)`` of the objective.
        first: ``(N,)`` row of each network's first training, by seed.
        second: ``(N,)`` row of its second; -1 = none.
        sign: 1 where greater is better, else -1.
        settings: Of the trees.
        surrogate: The one that is assessed.
    """

    runs: Runs
    inputs: Inputs
    alike: _Rows
    values: _Floats
    first: _Rows
    second: _Rows
    sign: float
    settings: Settings
    surrogate: Surrogate

    @property
    def final(self) -> _Floats:
        """``(n,)`` final values."""
        return self.values[:, -1]


class Tested(NamedTuple):
    """Predictions of ``m`` rows, ``(m,)`` each, by a surrogate that did not see their networks.

    Attributes:
        mean: Predictions.
        sd: Deviation of one training around it, as far as it is known.
        lower: Of the 90 % interval for one training.
        upper: Of the same.
        bands: Behind the interval.
    """

    mean: _Floats
    sd: _Floats
    lower: _Floats
    upper: _Floats
    bands: Bands


def data_of(runs: Runs, surrogate: Surrogate, settings: Settings) -> Data:
    """Return what is assessed.

    Raises:
        SurrogateError: The runs are not of the surrogate's objective and epochs, or too few networks have a
            final value.
    """
    expected = (surrogate.space.name, surrogate.objective, surrogate.epochs)
    got = (runs.space.name, runs.objective, runs.epochs)
    if got != expected:
        raise SurrogateError(
            f"A surrogate is assessed on runs like its own: expected space, objective and epochs {expected}; got "
            f"{got}."
        )
    rows = np.flatnonzero(np.isfinite(runs.curves[runs.objective][:, -1]))
    if not len(rows):
        raise SurrogateError(f"None of {len(runs.cells)} runs has a final {runs.objective}.")
    runs = only(runs, rows)
    if (networks := int(runs.groups.max()) + 1) < LEAST_TESTED:
        raise SurrogateError(
            f"{networks} networks have a final {runs.objective}; an assessment needs at least {LEAST_TESTED} to test "
            "on. Train more."
        )
    order = np.lexsort((np.arange(len(rows)), runs.seeds, runs.groups))
    counts = np.bincount(runs.groups)
    starts = np.cumsum(counts) - counts
    names, x = features(runs.space, runs.cells)
    graphs = graphs_of(runs.space, runs.cells) if surrogate.passes_messages else None
    return Data(
        runs=runs,
        inputs=Inputs(x, graphs),
        alike=alike_columns(names),
        values=runs.curves[runs.objective],
        first=order[starts],
        second=np.where(counts > 1, order[np.minimum(starts + 1, len(order) - 1)], -1),
        sign=1.0 if runs.metrics[runs.objective].direction == "max" else -1.0,
        settings=settings,
        surrogate=surrogate,
    )


def only(runs: Runs, rows: _Rows, *, final: bool = False) -> Runs:
    """Return some rows of runs, with the objective alone; ``final``: its last epoch alone, without times."""
    epochs = slice(-1, None) if final else slice(None)
    seconds = runs.seconds[rows][:, epochs]
    return Runs(
        space=runs.space,
        cells=runs.cells[rows],
        groups=np.unique(runs.groups[rows], return_inverse=True)[1].astype(np.intp),
        seeds=runs.seeds[rows],
        origins=tuple(runs.origins[i] for i in rows.tolist()),
        epochs=runs.epochs[epochs],
        objective=runs.objective,
        metrics={runs.objective: runs.metrics[runs.objective]},
        curves={runs.objective: runs.curves[runs.objective][rows][:, epochs]},
        seconds=np.full_like(seconds, np.nan) if final else seconds,
        losses=None if final or runs.losses is None else runs.losses[rows],
    )


def done(task: Task) -> Any:
    """Return the result of a task, or the SurrogateError that it ended in."""
    function, args = task
    with _one_thread():
        try:
            return function(*args)
        except SurrogateError as err:
            return err


def _one_thread() -> AbstractContextManager[Any]:
    """Return a context in which linear algebra takes one thread.

    Its last bits depend on their number, which differs between one process and many. Without threadpoolctl,
    which many packages bring, those last bits differ.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def foretold(
    inputs: Inputs,
    targets: _Floats,
    groups: _Rows,
    tested: Inputs,
    rng: np.random.Generator,
    settings: Settings | None,
    alike: _Rows,
) -> _Floats:
    """Return what the members of an ensemble say of rows it did not see, ``(m, M, K)``."""
    return fit_members(inputs, targets, groups, tested, rng, settings, alike)[1]


def fit_whole(runs: Runs, tested: Inputs, rng: np.random.Generator, settings: Settings) -> Tested:
    """Return what a surrogate of the runs' final values, with all its parts, says of rows it did not see."""
    networks = len(np.unique(runs.groups))
    if networks < MIN_GROUPS:
        raise SurrogateError(
            f"{networks} networks are left to fit on; intervals need {MIN_GROUPS}."
        )
    passes = tested.graphs is not None
    surrogate, _ = fit_surrogate(runs, rng, settings=settings, message_passing=passes)
    none = np.zeros(len(tested.x), bool)
    # What is novel is told by widened(), always in one process: it depends on the linear algebra.
    found = predict(surrogate, runs.objective, tested, none, runs.epochs[-1])
    sd = total_sd(found.sd_model, found.sd_seed)
    bands = surrogate.models[runs.objective].band(runs.epochs[-1])
    return Tested(found.mean, sd, found.lower, found.upper, bands)


def widened(
    data: Data, found: Tested, fitted: _Rows, rows: _Rows
) -> tuple[Tested, NDArray[np.bool_]]:
    """Return predictions of ``rows`` with the intervals that novel ones get, and which are novel."""
    novelty = fit_novelty(data.inputs.x[fitted], data.runs.groups[fitted])
    novel = novelty.flag(novelty.score(data.inputs.x[rows]))
    metric, factor = data.runs.metrics[data.runs.objective], np.where(novel, WIDENING, 1.0)
    lower = found.mean - factor * (found.mean - found.lower)
    upper = found.mean + factor * (found.upper - found.mean)
    limits = (metric.lower, metric.upper)
    return found._replace(lower=np.clip(lower, *limits), upper=np.clip(upper, *limits)), novel


def in_folds(
    data: Data, rows: _Rows, targets: _Floats, rng: np.random.Generator
) -> tuple[_Rows, list[Task]]:
    """Return folds of some rows, and a fit for each fold that predicts it."""
    groups = data.runs.groups[rows]
    fold = folds_of(groups, rng)
    tasks: list[Task] = []
    for out, stream in enumerate(rng.spawn(fold.max() + 1)):
        fit, rest = rows[fold != out], rows[fold == out]
        args = (
            data.inputs.at(fit),
            targets[fold != out],
            groups[fold != out],
            data.inputs.at(rest),
        )
        tasks.append((foretold, (*args, stream, data.settings, data.alike)))
    return fold, tasks


def need(result: Any) -> Any:
    """Return the result of a task, or raise what it returned instead."""
    if isinstance(result, SurrogateError):
        raise result
    return result


def scores_of(data: Data, predicted: _Floats, rows: _Rows, place: int = -1) -> Known:
    """Return fit and rank of predictions ``(k,)`` of ``k`` networks.

    Args:
        data: All.
        predicted: At the epoch number ``place``.
        rows: One training of each of the networks; those without a value there do not count.
        place: Among the epochs.
    """
    actual = data.values[rows, place]
    there = np.isfinite(actual)
    predicted, actual, rows = predicted[there], actual[there], rows[there]
    if len(actual) < 2:
        raise SurrogateError(f"{len(actual)} networks have a value to test on; scores need more.")
    fit = point_scores(predicted, actual)
    error = predicted - actual
    scores = {
        "networks": len(actual),
        "tau": tau_of(predicted, actual),
        "mae": mean_of(np.abs(error)),
        "rmse": fit["rmse"],
        "bias": mean_of(error),
        "r2": fit["r2"],
    }
    best = top_tau_of(data.sign * predicted, data.sign * actual)
    beside = {"ceiling": ceiling(data, data.runs.groups[rows], place)}
    return merged(known(scores), best, beside)


def ceiling(data: Data, networks: _Rows | None = None, place: int = -1) -> Known:
    """Return what one training says of the next of the same network: what a predictor is measured by.

    Both taus are those of two single trainings. A perfect predictor of the mean over seeds would reach
    somewhat more against one training, since only one of the two is noisy.
    """
    chosen = np.arange(len(data.first)) if networks is None else networks
    chosen = chosen[data.second[chosen] >= 0]
    one, other = (data.values[rows[chosen], place] for rows in (data.first, data.second))
    there = np.isfinite(one + other)
    one, other = one[there], other[there]
    found: Known = {"repeated_networks": len(one)}
    if len(one) < LEAST_TESTED:
        leave_out(found, "tau", f"{len(one)} networks were trained twice; expected {LEAST_TESTED}")
        return found
    figures = known({"tau": tau_of(other, one), "mae": mean_of(np.abs(one - other))})
    return merged(found, figures, top_tau_of(data.sign * other, data.sign * one))
