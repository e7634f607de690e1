"""Assess the surrogate in a folder, and put the figures and its model card there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nasbench_tab.errors import SurrogateError
from nasbench_tab.fitting.assess import DRAWS, assess
from nasbench_tab.fitting.make import need_extra
from nasbench_tab.predictors.parts import runs_from, space_of, surrogate_from
from nasbench_tab.predictors.store import Stored, read_surrogate, write_surrogate
from nasbench_tab.predictors.trees import Settings
from nasbench_tab.registry import load_space
from nasbench_tab.report.card import PAGE, pictures, write_card
from nasbench_tab.search.agreement import agreement

__all__ = ["FIGURES", "assess_folder"]

#: The assessment's file in a surrogate's folder.
FIGURES = "assessment.json"


def assess_folder(
    folder: Path,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    jobs: int = -1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Assess a surrogate; write ``assessment.json`` and ``card.html`` beside it; return the figures.

    Its answers and its fingerprint stay what they were.

    Args:
        folder: The surrogate's.
        draws: Random splits at each number of labelled networks.
        seed: Of all draws.
        jobs: Processes; -1 = one for each core.
        progress: Called with (fits done, fits in all).

    Raises:
        SurrogateError: The folder is damaged, or does not carry its runs.
        ResultsError: It cannot be written.
        TrainingError: The surrogate passes messages, and PyTorch is not installed.
    """
    need_extra()
    stored = read_surrogate(folder)
    space = space_of(stored, load_space)
    runs, surrogate = runs_from(stored, space), surrogate_from(stored, space)
    means = _held_out(stored, runs.objective, runs.curves[runs.objective].shape)
    known = {k: v for k, v in stored.manifest["settings"].items() if k in Settings._fields}
    found = assess(
        runs,
        surrogate,
        settings=Settings(**known),
        draws=draws,
        seed=seed,
        jobs=jobs,
        progress=progress,
    )
    found["agreement"] = agreement(runs, means, seed=seed, jobs=1)
    found["pictures"] = pictures(runs, means, surrogate)
    text = json.dumps(found, indent=1, allow_nan=False)
    with tempfile.TemporaryDirectory() as scratch:
        page = write_card(Path(scratch), stored.manifest, found).read_bytes()
    files = {**stored.files, PAGE: page, FIGURES: f"{text}\n".encode()}
    write_surrogate(folder, stored.manifest, stored.arrays, files)
    return found


def _held_out(stored: Stored, metric: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    means = stored.arrays.get(f"held_out/{metric}")
    if means is None or means.shape != shape:
        raise SurrogateError(
            f"The surrogate {stored.manifest['name']!r} does not carry what was predicted of its runs while "
            "they were held out. Fit it again."
        )
    return np.asarray(means, np.float64)
