"""A surrogate's parts as plain arrays and files, and back; :mod:`.store` keeps them in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError, SurrogateError
from nasbench_tab.predictors.base import Runs, groups_of
from nasbench_tab.predictors.cost import cost_from
from nasbench_tab.predictors.curves import basis_from
from nasbench_tab.predictors.ensemble import ensemble_from
from nasbench_tab.predictors.features import VERSION, features
from nasbench_tab.predictors.intervals import bands_from
from nasbench_tab.predictors.model import Model, Predicted, Surrogate
from nasbench_tab.predictors.noise import noise_from
from nasbench_tab.predictors.novelty import novelty_from
from nasbench_tab.predictors.partial import partial_from
from nasbench_tab.predictors.store import Stored, metric_from
from nasbench_tab.predictors.trees import Trees, read_trees
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.columns import Columns

__all__ = [
    "Listed",
    "arrays_of_runs",
    "features_table",
    "listed_from",
    "parts_of",
    "runs_from",
    "space_of",
    "surrogate_from",
]

_Arrays = dict[str, NDArray[Any]]


class Listed(NamedTuple):
    """All answers about a space that can be listed: ``N`` cells, ``U`` distinct networks, ``E`` epochs.

    Attributes:
        cells: ``(N, cell length)`` uint8, in the order of their index.
        network: ``(N,)`` int32 row of each cell's network.
        predicted: By metric, ``(U, E)`` float32 each.
        novel: ``(U,)``.
        seconds: ``(N, E)`` float32; NaN where there is no model of the cost. Of cells, not networks: dead
            edges take time.
    """

    cells: NDArray[np.uint8]
    network: NDArray[np.int32]
    predicted: dict[str, Predicted]
    novel: NDArray[np.bool_]
    seconds: NDArray[np.float32]


def features_table(space: Space) -> dict[str, Any]:
    """Return what the manifest says of the inputs."""
    none = np.empty((0, len(space.choices)), np.uint8)
    return {"version": VERSION, "names": list(features(space, none).names)}


def parts_of(surrogate: Surrogate, listed: Listed | None) -> tuple[_Arrays, dict[str, bytes]]:
    """Return arrays by name and files by path."""
    arrays: _Arrays = {}
    files: dict[str, bytes] = {}

    def add(prefix: str, found: Mapping[str, NDArray[Any]]) -> None:
        arrays.update({f"{prefix}/{name}": np.asarray(values) for name, values in found.items()})

    def add_trees(prefix: str, trees: Trees) -> None:
        files.update({f"models/{prefix}/{name}": data for name, data in trees.files().items()})

    for name, model in surrogate.models.items():
        own = f"metrics/{name}"
        add_trees(own, model.ensemble.trees)
        add(f"{own}/ensemble", model.ensemble.arrays())
        add(f"{own}/basis", model.basis.arrays())
        add(f"{own}/noise", model.noise.arrays())
        arrays[f"{own}/banded"] = np.array(model.banded, np.int64)
        for epoch, bands in zip(model.banded, model.bands, strict=True):
            add(f"{own}/bands/{epoch}", bands.arrays())
    add("novelty", surrogate.novelty.arrays())
    if surrogate.partial is not None:
        add("partial", surrogate.partial.arrays())
    if surrogate.cost is not None:
        add("cost", surrogate.cost.arrays())
        add_trees("cost", surrogate.cost.trees)
    if listed is not None:
        plain: _Arrays = {"cells": listed.cells, "network": listed.network, "novel": listed.novel}
        add("listed", {**plain, "seconds": listed.seconds})
        for name, predicted in listed.predicted.items():
            add(f"listed/{name}", predicted._asdict())
    return arrays, files


def surrogate_from(stored: Stored, space: Space) -> Surrogate:
    """Return the surrogate of a folder.

    Raises:
        SurrogateError: Its parts do not fit together, or its features are computed differently now.
    """
    manifest, where = stored.manifest, f"The surrogate {stored.manifest['name']!r}"
    known, expected = manifest["features"], features_table(space)
    if known != expected:
        raise SurrogateError(
            f"{where} was fitted on features of version {known.get('version')!r} "
            f"({len(known.get('names', ()))} columns); this release computes version {VERSION} "
            f"({len(expected['names'])} columns) for the space {space.name}. Fit it again."
        )
    metrics = {name: metric_from(name, table) for name, table in manifest["metrics"].items()}
    cost, partial = (_within(stored.arrays, part) for part in ("cost", "partial"))
    epochs = tuple(manifest["epochs"])
    try:
        models = {}
        for name, metric in metrics.items():
            own = _within(stored.arrays, f"metrics/{name}")
            banded = tuple(own["banded"].tolist())
            models[name] = Model(
                metric=metric,
                ensemble=ensemble_from(
                    _within(stored.files, f"models/metrics/{name}"), _within(own, "ensemble")
                ),
                basis=basis_from(_within(own, "basis")),
                noise=noise_from(_within(own, "noise")),
                bands=tuple(bands_from(_within(own, f"bands/{epoch}")) for epoch in banded),
                banded=banded,
            )
        surrogate = Surrogate(
            space=space,
            epochs=epochs,
            objective=manifest["objective"],
            models=models,
            novelty=novelty_from(_within(stored.arrays, "novelty")),
            cost=cost_from(cost, read_trees(_within(stored.files, "models/cost")))
            if cost
            else None,
            partial=partial_from(partial) if partial else None,
        )
    except KeyError as err:
        raise SurrogateError(f"{where} lacks the part {err.args[0]!r}. Fit it again.") from err
    for name, model in models.items():
        if model.basis.epochs != epochs or not set(model.banded) <= set(epochs) or not model.banded:
            raise SurrogateError(
                f"{where}: {name} has the epochs {model.basis.epochs} and intervals at {model.banded}; the "
                f"manifest says {epochs}. Fit it again."
            )
    return surrogate


def listed_from(stored: Stored, space: Space) -> Listed | None:
    """Return the answers that were written down, or None where the space cannot be listed.

    Raises:
        SurrogateError: They do not fit the manifest.
    """
    arrays = _within(stored.arrays, "listed")
    if not arrays:
        return None
    epochs = len(stored.manifest["epochs"])
    try:
        listed = Listed(
            cells=arrays["cells"],
            network=arrays["network"],
            predicted={
                name: Predicted(**_within(arrays, name)) for name in stored.manifest["metrics"]
            },
            novel=arrays["novel"],
            seconds=arrays["seconds"],
        )
    except (KeyError, TypeError) as err:
        raise SurrogateError(
            f"The answers of the surrogate {stored.manifest['name']!r} are incomplete ({err}). Fit it again."
        ) from err
    many = len(listed.novel)
    fits = (
        listed.cells.shape == (len(listed.network), len(space.choices))
        and listed.cells.dtype == np.uint8
        and many > 0
        and listed.network.min(initial=0) >= 0
        and listed.network.max(initial=-1) < many
        and listed.seconds.shape == (len(listed.cells), epochs)
        and all(p.shape == (many, epochs) for found in listed.predicted.values() for p in found)
    )
    if not fits:
        raise SurrogateError(
            f"The answers of the surrogate {stored.manifest['name']!r} do not fit together: expected "
            f"{many} networks and {epochs} epochs throughout. Fit it again."
        )
    return listed


def arrays_of_runs(runs: Runs) -> _Arrays:
    """Return the runs that a surrogate was fitted on, so that it can be assessed wherever it goes."""
    return {
        "runs/cells": runs.cells,
        "runs/seeds": runs.seeds,
        "runs/origins": np.array(runs.origins, str),
        "runs/seconds": runs.seconds,
        **{f"runs/curves/{name}": values for name, values in runs.curves.items()},
        **({} if runs.losses is None else {"runs/losses": runs.losses}),
    }


def runs_from(stored: Stored, space: Space) -> Runs:
    """Return the runs that a surrogate was fitted on.

    Raises:
        SurrogateError: The folder does not hold them, or they do not fit the manifest.
    """
    manifest, where = stored.manifest, f"The surrogate {stored.manifest['name']!r}"
    arrays = _within(stored.arrays, "runs")
    if not arrays:
        raise SurrogateError(
            f"{where} does not carry the runs that it was fitted on, which this needs. Fit it again "
            "without --without-runs."
        )
    metrics = {name: metric_from(name, table) for name, table in manifest["metrics"].items()}
    try:
        cells, seeds, origins = arrays["cells"], arrays["seeds"], arrays["origins"]
        curves = {name: arrays[f"curves/{name}"] for name in metrics}
        shape = len(cells), len(manifest["epochs"])
        fits = (
            cells.shape == (shape[0], len(space.choices))
            and cells.dtype == np.uint8
            and seeds.shape == origins.shape == shape[:1]
            and all(
                values.shape == shape
                for values in (
                    *curves.values(),
                    arrays["seconds"],
                    arrays.get("losses", arrays["seconds"]),
                )
            )
        )
    except KeyError as err:
        raise SurrogateError(f"{where} lacks {err.args[0]!r} of its runs. Fit it again.") from err
    if not fits:
        raise SurrogateError(f"{where}: its runs do not fit together. Fit it again.")
    return Runs(
        space=space,
        cells=cells,
        groups=groups_of(space, cells),
        seeds=seeds.astype(np.int64),
        origins=tuple(origins.tolist()),
        epochs=tuple(manifest["epochs"]),
        objective=manifest["objective"],
        metrics=metrics,
        curves={name: values.astype(np.float64) for name, values in curves.items()},
        seconds=arrays["seconds"].astype(np.float64),
        losses=arrays["losses"].astype(np.float64) if "losses" in arrays else None,
    )


def space_of(stored: Stored, load_space: Callable[[str], Space]) -> Space:
    """Return the search space of a folder.

    Args:
        stored: The folder.
        load_space: Returns the space of a registered name.

    Raises:
        SurrogateError: Its description is none.
    """
    described = stored.manifest["space"]
    if isinstance(described, str):
        return load_space(described)
    try:
        return Columns.from_spec(described)
    except InvalidArgumentError as err:
        raise SurrogateError(f"The surrogate {stored.manifest['name']!r}: {err}") from err


def _within(parts: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the parts below a prefix, by the rest of their names."""
    start = f"{prefix}/"
    return {name[len(start) :]: part for name, part in parts.items() if name.startswith(start)}
