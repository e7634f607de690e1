"""Does a table say of a training what the training says of itself?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import MissingValueError, UnknownNameError
from nasbench_tab.train.logrecord import LoggedRun

__all__ = ["Recheck", "recheck"]


class Recheck(NamedTuple):
    """A training beside its entry in a table.

    Attributes:
        value: The table's validation accuracy after the last epoch, in percent.
        off: By how many points the training's own is larger.
        same: Whether all losses and accuracies of all epochs agree, in single precision.
    """

    value: float
    off: float
    same: bool


def recheck(bench: Benchmark, run: LoggedRun) -> Recheck | None:
    """Compare a run that went well with ``bench``; None if that does not hold this training."""
    shared = [m for m in run.curve if m in bench.metrics and not m.endswith("seconds")]
    try:
        value = bench.query(run.architecture, "valid_accuracy", seed=run.seed)
        told = [
            bench.query(run.architecture, metric, epoch=epoch, seed=run.seed)
            for metric in shared
            for epoch in range(1, run.done + 1)
        ]
    except (MissingValueError, UnknownNameError):
        return None
    own = [number for metric in shared for number in run.curve[metric]]
    same = np.array_equal(np.array(told, np.float32), np.array(own, np.float32))
    return Recheck(value, run.curve["valid_accuracy"][-1] - value, same)
