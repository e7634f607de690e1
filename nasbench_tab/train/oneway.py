"""The runs of a log that were trained in one way, checked: what tables and surrogates are made of."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from typing import NamedTuple

from nasbench_tab.errors import InvalidArchitectureError, LogError
from nasbench_tab.records import Architecture, Metric, Split
from nasbench_tab.spaces.base import Space
from nasbench_tab.train.log import Log, LoggedRun

__all__ = ["OneWay", "Row", "metric_of", "one_way"]

#: What runs that were trained in one way share.
_PROTOCOL = ("space", "dataset", "split", "recipe", "device_kind")
_SPLITS: dict[str, Split] = {"train": "train", "valid": "valid", "test": "test"}
_SMALLER_IS_BETTER = re.compile("loss|error|perplexity|seconds")


class Row(NamedTuple):
    """A run with its cell, and where it stands: ``file:line``."""

    cell: Architecture
    run: LoggedRun
    place: str


class OneWay(NamedTuple):
    """Runs that were trained in one way.

    Attributes:
        space: Of all runs.
        epochs: Of the full training.
        metrics: That all runs with an epoch have, sorted.
        rows: One for each cell and seed, failed and diverged ones among them.
    """

    space: Space
    epochs: int
    metrics: list[str]
    rows: list[Row]


def one_way(log: Log, space: Space | Callable[[str], Space], objective: str) -> OneWay:
    """Return the runs of a log that holds at least one, if they belong together.

    Args:
        log: As read.
        space: The runs' search space, or the function that returns it for its name.
        objective: Must be among the metrics, measured on the validation split.

    Raises:
        LogError: The runs differ in space, dataset, split, recipe, kind of device, epochs or metrics;
            a cell and seed stand there twice; a value leaves its bounds.
    """
    epochs = _one_protocol(log)
    if not isinstance(space, Space):
        space = space(log.runs[0].space)
    rows = _rows(log, space)
    names = _metric_names(log, objective)
    _check_values(rows, names)
    return OneWay(space, epochs, names, rows)


def metric_of(name: str) -> Metric:
    """Return split, direction and unit of a curve by its name ``<split>_<what>``.

    >>> metric_of("valid_accuracy")
    Metric(name='valid_accuracy', split='valid', direction='max', unit='%', lower=0.0, upper=100.0)
    >>> metric_of("test_perplexity").direction, metric_of("sparsity").split
    ('min', 'none')
    """
    prefix, _, what = name.partition("_")
    if what == "seconds":
        return Metric(name, "none", "min", "s", 0.0)
    split: Split = _SPLITS.get(prefix, "none") if what else "none"
    if split != "none" and what == "accuracy":
        return Metric(name, split, "max", "%", 0.0, 100.0)
    if split != "none" and what == "loss":
        return Metric(name, split, "min", "nats", 0.0)
    return Metric(name, split, "min" if _SMALLER_IS_BETTER.search(name) else "max", "")


def _one_protocol(log: Log) -> int:
    """Return the number of epochs of the full training; all runs must have been trained one way."""
    first, there = log.runs[0], log.places[0]
    for run, place in zip(log.runs, log.places, strict=True):
        for field in _PROTOCOL:
            a, b = getattr(first, field), getattr(run, field)
            if a != b:
                _differ(field, a, there, b, place, _recipe_words(first, run, field))
    # A run that did not end well may not say how long it was to be.
    lengths = [
        (run.epochs or run.done, place)
        for run, place in zip(log.runs, log.places, strict=True)
        if run.epochs or run.status == "ok"
    ]
    if not lengths:
        raise LogError(
            f"{there}: no run ended well or says its planned epochs, so that the full training's are not known."
        )
    for epochs, place in lengths:
        if epochs != lengths[0][0]:
            _differ("epochs", lengths[0][0], lengths[0][1], epochs, place)
    for run, place in zip(log.runs, log.places, strict=True):
        if run.done > lengths[0][0]:
            _differ("epochs", lengths[0][0], lengths[0][1], run.done, place)
    return lengths[0][0]


def _recipe_words(one: LoggedRun, other: LoggedRun, field: str) -> str:
    a, b = one.recipe_fields, other.recipe_fields
    if field != "recipe" or a is None or b is None:
        return ""
    differs = [
        f"{key} ({a.get(key)!r} and {b.get(key)!r})"
        for key in sorted({*a, *b})
        if a.get(key) != b.get(key) or (key in a) != (key in b)
    ]
    return f" The recipes differ in {', '.join(differs) or 'their hashes only'}."


def _differ(field: str, one: object, there: str, other: object, here: str, more: str = "") -> None:
    raise LogError(
        f"These runs were not trained in one way, so they cannot be taken together: {field} is "
        f"{one!r} at {there} and {other!r} at {here}.{more} Keep each way apart."
    )


def _metric_names(log: Log, objective: str) -> list[str]:
    """Return the metrics that all runs with an epoch have."""
    found = [(run, place) for run, place in zip(log.runs, log.places, strict=True) if run.done]
    if not found:
        raise LogError(
            f"{log.places[0]}: no run has a single epoch; there is nothing to learn from them."
        )
    names = sorted(found[0][0].curve)
    for run, place in found:
        if sorted(run.curve) != names:
            _differ("the set of metrics", names, found[0][1], sorted(run.curve), place)
    if objective not in names or metric_of(objective).split != "valid":
        choices = [name for name in names if metric_of(name).split == "valid"]
        raise LogError(
            f"{found[0][1]}: {objective!r} cannot be the objective. Expected a metric of the "
            f"validation split, valid_..., that all runs have: {', '.join(choices) or 'there is none'}."
        )
    return names


def _rows(log: Log, space: Space) -> list[Row]:
    """Return the runs with their cells; a cell and seed must stand there once."""
    if log.runs[0].space != space.name:
        raise LogError(
            f"{log.places[0]}: a run in the space {log.runs[0].space!r}, but {space.name!r} is asked "
            "for. Choose the space of the log."
        )
    seen: dict[tuple[Architecture, int], Row] = {}
    for run, place in zip(log.runs, log.places, strict=True):
        try:
            row = Row(space.parse(run.architecture), run, place)
        except InvalidArchitectureError as err:
            raise LogError(f"{place}: {err}") from err
        other = seen.setdefault((row.cell, run.seed), row)
        if other is not row:
            raise LogError(
                f"{other.place} and {place} are the same cell, written as {other.run.architecture} "
                f"and as {run.architecture}, with the same seed {run.seed}. Remove one of them."
            )
    return list(seen.values())


def _check_values(rows: list[Row], names: list[str]) -> None:
    """Refuse what cannot be, with its place: the table's own checks know no places."""
    for name in names:
        metric, most = metric_of(name), -math.inf
        for _, run, place in rows:
            values = run.curve.get(name, [])
            for epoch, value in enumerate(values, 1):
                if not metric.lower <= value <= metric.upper:
                    raise LogError(
                        f"{place}: {name} is {value!r} at epoch {epoch}; expected {metric.lower:g} to "
                        f"{metric.upper:g} {metric.unit}. Correct the program that logs it."
                    )
                most = max(most, value)
                if name == "train_seconds" and value < values[max(epoch - 2, 0)]:
                    raise LogError(
                        f"{place}: train_seconds falls at epoch {epoch}, from {values[epoch - 2]!r} to "
                        f"{value!r}; expected the time since the training began. Add them up."
                    )
        if metric.unit == "%" and 0 < most <= 1:
            warnings.warn(
                f"{name} is never above 1; expected percent. If these are fractions, multiply by 100.",
                RuntimeWarning,
                stacklevel=4,
            )
