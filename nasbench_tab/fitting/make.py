"""From observed runs to a surrogate in a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nasbench_tab import __version__
from nasbench_tab.errors import SurrogateError
from nasbench_tab.fitting.fit import FOLDS, HeldOut, fit_surrogate
from nasbench_tab.fitting.listing import list_answers, sample_space
from nasbench_tab.fitting.observed import Observed
from nasbench_tab.fitting.scores import held_out_scores
from nasbench_tab.predictors.model import Surrogate
from nasbench_tab.predictors.parts import arrays_of_runs, features_table, parts_of
from nasbench_tab.predictors.store import metric_table, write_surrogate
from nasbench_tab.predictors.trees import Settings
from nasbench_tab.spaces.columns import spec_of
from nasbench_tab.train import need_torch

__all__ = ["Made", "make_surrogate", "need_extra"]


class Made(NamedTuple):
    """What was written.

    Attributes:
        name: Of the surrogate.
        fingerprint: Content hash.
        scores: Of held-out networks, by metric.
        surrogate: The fitted parts.
        held_out: By metric, what was predicted of each run while its network was held out.
    """

    name: str
    fingerprint: str
    scores: dict[str, Any]
    surrogate: Surrogate
    held_out: dict[str, HeldOut]


def make_surrogate(
    observed: Observed,
    folder: Path,
    name: str | None = None,
    *,
    seed: int = 0,
    settings: Settings | None = None,
    message_passing: bool = False,
    keep_runs: bool = True,
    jobs: int = -1,
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Fit a surrogate and write it to ``folder``, completely or not at all.

    Args:
        observed: The runs and what is known of them.
        folder: The surrogate's; what is there before is replaced if it is a surrogate.
        name: None = the folder's.
        seed: Of bootstraps and folds: the same runs, settings and seed give the same surrogate.
        settings: Of the trees.
        message_passing: Add networks that pass messages along the cell: more accurate from some 800 networks on,
            and minutes to fit. Needs PyTorch to fit, not to answer.
        keep_runs: Write the runs down too, so that the surrogate can be assessed wherever it goes.
        jobs: Processes; -1 = one for each core.
        progress: Called with (steps done, steps in all).

    Raises:
        SurrogateError: No surrogate can be fitted on these runs, or the extra is not installed.
        TrainingError: Messages are to be passed, and PyTorch is not installed.
        ResultsError: The folder cannot be written.
    """
    need_extra()
    if message_passing:
        need_torch()
    settings = settings or Settings()
    rng = np.random.default_rng(seed)
    surrogate, held_out = fit_surrogate(
        observed.runs,
        rng,
        settings=settings,
        message_passing=message_passing,
        jobs=jobs,
        progress=progress,
    )
    listed = list_answers(surrogate)
    arrays, files = parts_of(surrogate, listed)
    if listed is None:
        arrays["sample"] = sample_space(surrogate)
    if keep_runs:
        arrays |= arrays_of_runs(observed.runs)
        arrays |= {f"held_out/{metric}": found.mean for metric, found in held_out.items()}
    name = folder.resolve().name if name is None else name
    scores = {
        metric: held_out_scores(observed.runs, metric, found, surrogate)
        for metric, found in held_out.items()
    }
    manifest = {
        "name": name,
        "kind": "trees, Gaussian process and message passing"
        if message_passing
        else "trees and Gaussian process",
        "space": spec_of(surrogate.space),
        "objective": surrogate.objective,
        "metrics": {n: metric_table(m) for n, m in observed.runs.metrics.items()},
        "epochs": list(surrogate.epochs),
        "features": features_table(surrogate.space),
        "settings": {
            **{k: v for k, v in settings._asdict().items() if v is not None},
            "folds": FOLDS,
            "seed": seed,
            **({"message_passing": True} if message_passing else {}),
        },
        "versions": versions(message_passing),
        "scores": scores,
        **observed.manifest(),
    }
    fingerprint = write_surrogate(folder, manifest, arrays, files)
    return Made(name, fingerprint, scores, surrogate, held_out)


def versions(message_passing: bool = False) -> dict[str, str]:
    """Return the versions that a fit depends on."""
    return {
        **({"torch": metadata.version("torch")} if message_passing else {}),
        "python": ".".join(map(str, sys.version_info[:3])),
        "nasbench_tab": __version__,
        "numpy": np.__version__,
        "xgboost": _xgboost_version(),
    }


def need_extra() -> None:
    """Raise SurrogateError where what surrogates are fitted with is not installed."""
    if not _xgboost_version():
        raise SurrogateError(
            "Fitting needs XGBoost, which is not installed: pip install 'nasbench_tab[surrogate]'. Surrogates "
            "that are there already answer single questions without it."
        )


def _xgboost_version() -> str:
    for package in ("xgboost-cpu", "xgboost"):  # the same module
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return ""
