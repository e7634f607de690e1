"""A benchmark that answers from a table where it was measured, and from a surrogate elsewhere.

Each answer says which (``Answer.source``). A training that was measured is the table's; any other one,
of a measured architecture too, is simulated by the surrogate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import ArchitectureLike, Benchmark, mixed_fingerprint
from nasbench_tab.benchmarks.surrogate import SurrogateBenchmark
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.errors import MissingValueError, SurrogateError, unknown_name
from nasbench_tab.records import Answer

__all__ = ["MixedBenchmark"]


class MixedBenchmark(Benchmark):
    """A table and a surrogate of the same trainings behind the contract of :class:`Benchmark`.

    Args:
        name: Under which it is loaded.
        table: What was measured.
        surrogate: What answers for the rest.

    Raises:
        SurrogateError: They differ in space, dataset, objective or epochs.
    """

    predicts = True

    def __init__(self, name: str, table: TableBenchmark, surrogate: SurrogateBenchmark) -> None:
        for what in ("dataset", "objective", "epochs"):
            a, b = getattr(table, what), getattr(surrogate, what)
            if a != b:
                raise SurrogateError(
                    f"{name}: the table's {what} is {a!r} and the surrogate's {b!r}; a mixture needs the "
                    "same. Fit the surrogate on this table (nasbench-tab fit)."
                )
        if table.space.name != surrogate.space.name:
            raise SurrogateError(
                f"{name}: the table's space is {table.space.name} and the surrogate's "
                f"{surrogate.space.name}."
            )
        self.name, self.space, self.dataset = name, table.space, table.dataset
        self.objective, self.epochs = table.objective, table.epochs
        self.metrics = {n: m for n, m in table.metrics.items() if n in surrogate.metrics}
        self.resumable = table.resumable and surrogate.resumable
        self.has_seconds = table.has_seconds and surrogate.has_seconds
        self.fingerprint = mixed_fingerprint(table.fingerprint, surrogate.fingerprint)
        self.training, self.trainings = table.training, (table.training,)
        self.about = surrogate.about
        self._table, self._surrogate = table, surrogate

    def lookup(
        self,
        arch: ArchitectureLike,
        metric: str | None = None,
        *,
        epoch: int | None = None,
        seed: int | None = None,
    ) -> Answer:
        """Return what was measured if it was, else what is predicted; see Benchmark.lookup."""
        if metric is not None and metric not in self.metrics:
            raise unknown_name(f"metric of {self.name}", metric, self.metrics)
        try:
            return self._table.lookup(arch, metric, epoch=epoch, seed=seed)
        except MissingValueError:
            return self._surrogate.lookup(arch, metric, epoch=epoch, seed=seed)

    def seeds(self, arch: ArchitectureLike) -> tuple[int, ...]:
        """Return the training seeds of a measured architecture, or those that are simulated."""
        try:
            return self._table.seeds(arch) or self._surrogate.seeds(arch)
        except MissingValueError:
            return self._surrogate.seeds(arch)

    def measured(self, seed: int | None = None) -> NDArray[np.uint8]:
        """Return all architectures of the space: each is answered for; see Benchmark.measured."""
        return self._surrogate.measured(seed)
