"""Finished runs as what predictors are fitted on: checked, sorted, with a hash of all that they hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.base import Runs, groups_of
from nasbench_tab.records import Metric
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.columns import spec_of

__all__ = ["LEAST_NETWORKS", "counterpart", "data_hash", "runs_of"]

#: Fewer distinct networks than this tell a model nothing.
LEAST_NETWORKS = 10


def runs_of(
    space: Space,
    cells: NDArray[np.uint8],
    seeds: Sequence[int],
    origins: Sequence[str],
    epochs: tuple[int, ...],
    metrics: Mapping[str, tuple[Metric, NDArray[Any]]],
    seconds: NDArray[Any],
    where: str,
    losses: NDArray[Any] | None = None,
) -> Runs:
    """Return finished runs sorted by cell and seed, so that the order of the source changes nothing.

    Args:
        space: Of the cells.
        cells: ``(n, cell length)``.
        seeds: ``n``.
        origins: ``n``.
        epochs: Ascending.
        metrics: ``{name: (metric, (n, len(epochs)))}``, the objective first, with a value at the end
            of every run.
        seconds: ``(n, len(epochs))``, NaN where not known.
        where: What they come from, for messages.
        losses: ``(n, len(epochs))`` training losses; kept if all are known.

    Raises:
        SurrogateError: No surrogate can be fitted on them.
    """

    def require(condition: object, problem: str) -> None:
        if not condition:
            raise SurrogateError(f"{where}: {problem}")

    objective = next(iter(metrics))
    require(len(cells), "no run is finished; a surrogate is fitted on finished ones.")
    order = np.lexsort((np.array(seeds, np.int64), *cells.T[::-1]))
    cells, seed_ids = cells[order], np.array(seeds, np.int64)[order]
    rows = np.column_stack([cells.astype(np.int64), seed_ids])
    for i in np.flatnonzero((rows[1:] == rows[:-1]).all(axis=1))[:1]:
        cell = space.format(tuple(cells[i].tolist()))
        require(False, f"{cell} with seed {seed_ids[i]} stands there twice. Remove one of them.")
    curves = {}
    for name, (metric, unsorted) in metrics.items():
        curves[name] = values = np.asarray(unsorted, np.float64)[order]
        there = values[~np.isnan(values)]
        outside = there[~((there >= metric.lower) & (there <= metric.upper)) | np.isinf(there)]
        require(
            not outside.size,
            f"{name} is {outside[:1].tolist()} in a run; expected finite values from "
            f"{metric.lower:g} to {metric.upper:g} {metric.unit}. Correct the source.",
        )
        final = values[:, -1]
        require(
            np.nanmin(final) < np.nanmax(final) if np.isfinite(final).any() else name != objective,
            f"{name} is {float(final[0])!r} at the end of every run; there is nothing to predict. Is it the "
            "right column?",
        )
    require(np.isfinite(curves[objective][:, -1]).all(), f"a run has no {objective} at its end.")
    for name, values in curves.items():
        require(
            name == objective or not np.array_equal(values, curves[objective], equal_nan=True),
            f"{objective} and {name} hold the same numbers; one of them is a copy. Correct the source.",
        )
    timed = np.asarray(seconds, np.float64)[order]
    require(
        not (np.isinf(timed) | (timed < 0)).any(), "train_seconds holds negative or infinite times."
    )
    groups = groups_of(space, cells)
    networks = int(groups.max()) + 1
    require(
        networks >= LEAST_NETWORKS,
        f"{len(cells)} finished runs of {networks} distinct networks; a surrogate needs at least "
        f"{LEAST_NETWORKS}, and some hundreds to be of use. Train more.",
    )
    kept = [name for name in curves if np.isfinite(curves[name]).any()]
    return Runs(
        space=space,
        cells=cells,
        groups=groups,
        seeds=seed_ids,
        origins=tuple(origins[i] for i in order.tolist()),
        epochs=epochs,
        objective=objective,
        metrics={name: metrics[name][0] for name in kept},
        curves={name: curves[name] for name in kept},
        seconds=timed,
        losses=None if losses is None or not np.isfinite(losses).all() else losses[order],
    )


def counterpart(objective: str, names: Iterable[str]) -> list[str]:
    """Return the test metric that goes with a validation metric, if it is among ``names``.

    >>> counterpart("valid_accuracy", ["train_accuracy", "valid_accuracy", "test_accuracy"])
    ['test_accuracy']
    """
    kind, _, what = objective.partition("_")
    return [f"test_{what}"] if kind == "valid" and f"test_{what}" in names else []


def data_hash(runs: Runs) -> str:
    """Return ``"sha256:..."`` over all that is in ``runs``, whatever the order of its rows."""
    order = np.lexsort((runs.seeds, *runs.cells.T[::-1]))
    head = {
        "space": spec_of(runs.space),
        "epochs": runs.epochs,
        "objective": runs.objective,
        "metrics": runs.metrics,
        "origins": [runs.origins[i] for i in order.tolist()],
        "shape": runs.cells.shape,
    }
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(runs.cells[order]).data)
    digest.update(np.ascontiguousarray(runs.seeds[order], "<i8").data)
    parts = [*(runs.curves[name] for name in sorted(runs.curves)), runs.seconds]
    for values in parts if runs.losses is None else [*parts, runs.losses]:
        plain = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, one zero
        digest.update(np.ascontiguousarray(plain[order], "<f8").data)
    return f"sha256:{digest.hexdigest()}"
