"""Runs for the tests of logs and tables."""

from __future__ import annotations

from typing import Any

from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.train.log import LoggedRun

SPACE = NasBench201()


def cell(index: int) -> str:
    """The published string of an official index."""
    return SPACE.format(SPACE.unindex(index))


def a_run(index: int = 7, seed: int = 0, **fields: Any) -> LoggedRun:
    """A good run of two epochs, with other fields as given."""
    shift = (index % 13) / 7 + seed / 3
    curve = {
        "valid_loss": [1.5 + shift, 1.1 + shift],
        "valid_accuracy": [30.1 + shift, 52.3 + shift],
        "test_accuracy": [29.7 + shift, 51.0 + shift],
        "train_seconds": [0.1 + shift, 0.3 + shift],
    }
    run = LoggedRun("nasbench201", "digits", cell(index), seed, "ok", curve)
    full = run._replace(epochs=2, split="sha256:s", recipe="sha256:r", device_kind="cpu")
    return full._replace(**fields)


def failed(index: int = 7, seed: int = 0, **fields: Any) -> LoggedRun:
    """A failed run."""
    return a_run(index, seed, **{"status": "failed", "curve": {}, "error": "no memory", **fields})


def diverged(index: int = 7, seed: int = 0, **fields: Any) -> LoggedRun:
    """A run that diverged in its second epoch."""
    curve = {name: values[:1] for name, values in a_run(index, seed).curve.items()}
    return a_run(index, seed, **{"status": "diverged", "curve": curve, **fields})
