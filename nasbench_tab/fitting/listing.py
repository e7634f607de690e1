"""All that a surrogate says about its space: every answer where they can be listed, else a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.predictors.base import groups_of
from nasbench_tab.predictors.cost import work_of
from nasbench_tab.predictors.model import Predicted, Surrogate, predict, predict_curves
from nasbench_tab.predictors.parts import Listed
from nasbench_tab.records import Architecture

__all__ = ["LISTED", "SAMPLE", "list_answers", "sample_space"]

#: Spaces up to this size are listed.
LISTED = 2**16
#: Architectures that stand for a larger one.
SAMPLE = 10_000
_STARTS = 50  # ascents to the best architecture begin at this many of the sample


def list_answers(surrogate: Surrogate) -> Listed | None:
    """Return all answers, or None where the space has too many architectures, or no numbers without gaps."""
    space = surrogate.space
    if space.size is None or space.size > LISTED:
        return None
    try:
        cells = np.array([space.unindex(index) for index in range(space.size)], np.uint8)
    except InvalidArchitectureError:  # numbered with gaps
        return None
    network = groups_of(space, cells)
    first = np.unique(network, return_index=True)[1]
    inputs = surrogate.inputs(cells[first])
    x = inputs.x
    novel = surrogate.novelty.flag(surrogate.novelty.score(x))
    predicted = {
        name: Predicted._make(
            part.astype(np.float32) for part in predict_curves(surrogate, name, inputs, novel)
        )
        for name in surrogate.models
    }
    seconds = np.full((len(cells), len(surrogate.epochs)), np.nan)
    if surrogate.cost is not None:
        seconds = surrogate.cost.seconds(x[network], work_of(space, cells))
    return Listed(
        cells=cells,
        network=network.astype(np.int32),
        predicted=predicted,
        novel=novel,
        seconds=seconds.astype(np.float32),
    )


def sample_space(surrogate: Surrogate, seed: int = 0) -> NDArray[np.uint8]:
    """Return what stands for a space that cannot be listed.

    A uniform sample, and the best architecture that ascents from its best ones find, against which
    regret is measured: the predicted mean is climbed, so that noise does not choose.

    Args:
        surrogate: The fitted parts.
        seed: Of the sample.
    """
    space = surrogate.space
    drawn = space.sample(np.random.default_rng(seed), SAMPLE)
    cells = np.array(list(dict.fromkeys(drawn)), np.uint8)
    score = _scores(surrogate, cells)
    order = np.argsort(-score, kind="stable")[:_STARTS]
    values = {tuple(cells[i].tolist()): float(score[i]) for i in order}
    best = _ascended(surrogate, list(values), values)
    known = (cells == np.array(best, np.uint8)).all(axis=1).any()
    return cells if known else np.vstack([cells, np.array([best], np.uint8)])


def _ascended(
    surrogate: Surrogate, starts: list[Architecture], values: dict[Architecture, float]
) -> Architecture:
    """Return the best local optimum that steepest ascents from ``starts`` reach."""
    space, here = surrogate.space, set(starts)
    while True:
        near = {cell: space.neighbors(cell) for cell in here}
        fresh = sorted({n for found in near.values() for n in found} - values.keys())
        if fresh:
            found = _scores(surrogate, np.array(fresh, np.uint8))
            values.update(zip(fresh, found.tolist(), strict=True))
        there = {max([cell, *near[cell]], key=lambda c: (values[c], c)) for cell in here}
        if there == here:
            return max(here, key=lambda c: (values[c], c))
        here = there


def _scores(surrogate: Surrogate, cells: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return predicted means of the objective, greater is better."""
    inputs = surrogate.inputs(cells)
    sign = 1.0 if surrogate.models[surrogate.objective].metric.direction == "max" else -1.0
    none = np.zeros(len(cells), bool)
    return sign * predict(surrogate, surrogate.objective, inputs, none, surrogate.epochs[-1]).mean
