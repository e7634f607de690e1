"""Incumbents over time: which cell a search would have returned, had it been stopped."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.records import Direction

__all__ = ["Incumbents", "at_budget", "at_evaluations", "at_seconds", "incumbents"]


class Incumbents(NamedTuple):
    """The incumbent after each evaluation of each run; ``R`` runs, ``K`` evaluations at most.

    Attributes:
        which: ``(R, K)`` position of the incumbent among all evaluations; -1 where a run has none
            yet. After a run's last evaluation its last incumbent stays.
        seconds: ``(R, K)`` simulated time of each evaluation's end; infinite after the last.
    """

    which: NDArray[np.int64]
    seconds: NDArray[np.float64]


def incumbents(
    values: NDArray[np.float64],
    seconds: NDArray[np.float64],
    lengths: NDArray[np.int64],
    direction: Direction,
    eligible: NDArray[np.bool_] | None = None,
) -> Incumbents:
    """Return the incumbent after each evaluation: the best value observed so far, the first of equals.

    Args:
        values: ``(N,)`` observed values of all runs, one run after another.
        seconds: ``(N,)`` when each evaluation ended.
        lengths: ``(R,)`` evaluations of each run.
        direction: Which way is better.
        eligible: ``(N,)`` which evaluations may become incumbent; None = all.
    """
    n_runs, longest = len(lengths), int(lengths.max(initial=0))
    column = np.arange(longest)
    filled = column < lengths[:, None]
    score = np.full((n_runs, longest), -np.inf)
    oriented = values if direction == "max" else -values
    score[filled] = oriented if eligible is None else np.where(eligible, oriented, -np.inf)
    ends = np.full((n_runs, longest), np.inf)
    ends[filled] = seconds
    best = np.maximum.accumulate(score, axis=1)
    before = np.concatenate([np.full((n_runs, 1), -np.inf), best[:, :-1]], axis=1)
    place = np.maximum.accumulate(np.where(score > before, column, -1), axis=1)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    return Incumbents(np.where(place < 0, -1, starts[:, None] + place), ends)


def at_evaluations(
    found: Incumbents, values: NDArray[np.float64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return ``(R, len(counts))``: the incumbent's ``values`` entry after so many evaluations.

    NaN where a run had no incumbent yet; a run that ended early keeps its last.
    """
    if not found.which.shape[1]:
        return np.full((len(found.which), len(counts)), np.nan)
    which = found.which[:, np.minimum(counts, found.which.shape[1]) - 1]
    return np.where(which < 0, np.nan, values[which])


def at_seconds(
    found: Incumbents, values: NDArray[np.float64], grid: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ``(R, len(grid))``: the incumbent's ``values`` entry at each simulated time.

    Right-continuous steps: an evaluation counts from the moment it ends. NaN before a run's first.
    """
    out = np.full((len(found.which), len(grid)), np.nan)
    for run, (which, ends) in enumerate(zip(found.which, found.seconds, strict=True)):
        place = np.searchsorted(ends, grid, side="right") - 1
        known = place >= 0
        known[known] = which[place[known]] >= 0
        out[run, known] = values[which[place[known]]]
    return out


def at_budget(found: Incumbents, values: NDArray[np.float64], budget: float) -> NDArray[np.float64]:
    """Return ``(R,)``: the incumbent's ``values`` entry at ``budget``, on a straight line.

    The line goes through the two evaluations of the run that end nearest to the budget, before or
    after it, as NATS-Bench's published figures were made (Dong et al., TPAMI 2021): beyond the last
    evaluation it extrapolates. A run with one evaluation gives its value; NaN without any incumbent.
    """
    out = np.full(len(found.which), np.nan)
    for run, (which, ends) in enumerate(zip(found.which, found.seconds, strict=True)):
        known = np.flatnonzero((which >= 0) & np.isfinite(ends))
        if not len(known):
            continue
        times, first = np.unique(ends[known], return_index=True)
        # Of evaluations that end together the last has the say: it knows all of them.
        last = np.append(first[1:], len(known)) - 1
        value = values[which[known[last]]]
        near = np.argsort(np.abs(times - budget), kind="stable")[:2]
        out[run] = value[near[0]]
        if len(near) == 2:
            slope = (value[near[1]] - value[near[0]]) / (times[near[1]] - times[near[0]])
            out[run] += slope * (budget - times[near[0]])
    return out
