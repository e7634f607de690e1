"""A benchmark that trains: a query of a cell that was not trained yet trains it and logs the run.

    >>> from nasbench_tab.registry import load
    >>> bench = load("nb201-digits", source="live", log=getfixture("tmp_path") / "live.jsonl")
    >>> bench.query((3, 3, 1, 3, 1, 3)) > 50  # trains
    True
    >>> bench.query((3, 3, 1, 3, 1, 3)) > 50  # remembers
    True

It answers as a table made of its log would (without the number of parameters), but it is stateful: it
takes real time and keeps files. A search takes a training that diverges for an infeasible cell.
A query of an early epoch trains only so far and leaves a checkpoint from which a later query goes on.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import ArchitectureLike, Benchmark, cell_of, integer
from nasbench_tab.errors import InvalidArgumentError, MissingValueError, unknown_name
from nasbench_tab.paths import user_folder
from nasbench_tab.records import Answer, Architecture
from nasbench_tab.spaces.base import Space
from nasbench_tab.train.log import CURRENT, Key, RunLog, current_file, read_log
from nasbench_tab.train.loop import CURVES, Trainer
from nasbench_tab.train.once import check_seed, key_of, record_of, trained_cell
from nasbench_tab.train.plan import LISTED, draws
from nasbench_tab.train.recipes import recipe_hash
from nasbench_tab.train.tabulate import metric_of
from nasbench_tab.train.tasks import Task
from nasbench_tab.train.tensors import load_data, pick_device

__all__ = ["LiveBenchmark"]

_SAMPLE = 1000
_Curve = dict[str, list[float]]


class LiveBenchmark(Benchmark):
    """A task behind the contract of :class:`Benchmark`; see the module's docstring.

    Args:
        task: What is trained, and how.
        space: The task's space.
        log: A ``.jsonl`` file to read and append to, or a folder as for
            :func:`~nasbench_tab.train.collect.collect`; None = ``live/<task>.jsonl`` in the user's folder.
        seeds: Training seeds that exist; a query without a seed is the mean over all of them.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.
        folder: Where the dataset's files lie; None = where the system keeps them, or a download.
        origin: Why cells are trained; kept with each run.

    Raises:
        DatasetError: The dataset is not there or damaged.
        LogError: The log is damaged.
        InvalidArgumentError: No such device here, or no seed.
    """

    def __init__(
        self,
        task: Task,
        space: Space,
        *,
        log: str | Path | None = None,
        seeds: Sequence[int] = (0,),
        device: str = "auto",
        folder: str | Path | None = None,
        origin: str = "query",
    ) -> None:
        if not isinstance(seeds, Sequence) or not seeds:
            raise InvalidArgumentError(
                f"seeds must be training seeds, as in (0, 1); got {seeds!r}."
            )
        for seed in seeds:
            check_seed(seed)
        self.name, self.space, self.dataset = task.name, space, task.dataset
        self.metrics = {name: metric_of(name) for name in CURVES}
        self.objective = self.metrics["valid_accuracy"]
        self.epochs = tuple(range(1, task.recipe.epochs + 1))
        self.resumable = self.has_seconds = self.stateful = True
        self._task, self._seeds, self._origin = task, tuple(dict.fromkeys(seeds)), origin
        self._data = load_data(task, pick_device(device), folder)
        identity = (
            f"{task.dataset} {self._data.split_hash} {recipe_hash(task.recipe)} "
            f"{self._data.train.images.device.type} {self._seeds}"
        )
        self.fingerprint = f"sha256:{hashlib.sha256(identity.encode()).hexdigest()}"
        own = user_folder() / "live" / f"{task.name}.jsonl"
        path = own if log is None else current_file(Path(log))
        self._log, self._checkpoints = RunLog(path), path.with_suffix(".checkpoints")
        self._curves: dict[Key, _Curve] = {}
        self._ended: set[Key] = set()
        self._remember()

    def lookup(
        self,
        arch: ArchitectureLike,
        metric: str | None = None,
        *,
        epoch: int | None = None,
        seed: int | None = None,
    ) -> Answer:
        """Train ``arch`` up to ``epoch`` if that was not done before; see Benchmark.lookup.

        A training that diverged before ``epoch`` is missing.
        """
        name = self.objective.name if metric is None else metric
        if not isinstance(name, str) or name not in self.metrics:
            raise unknown_name(f"metric of {self.name}", name, self.metrics)
        last = self.epochs[-1] if epoch is None else integer("epoch", epoch)
        seed = None if seed is None else integer("seed", seed)
        if last not in self.epochs:
            raise MissingValueError(
                f"{self.name} has no values at epoch {epoch}. It has 1 to {self.epochs[-1]} (1-based)."
            )
        if not (seed is None or seed in self._seeds):
            raise MissingValueError(
                f"{self.name} has no training seed {seed}. It has {', '.join(map(str, self._seeds))}; "
                "name others when the benchmark is made (seeds=...)."
            )
        cell = trained_cell(self._task, self.space, cell_of(self.space, arch))
        curves = [self._curve(cell, s, last) for s in (self._seeds if seed is None else (seed,))]
        curves = [curve for curve in curves if len(curve[name]) >= last]
        if not curves:
            raise MissingValueError(
                f"{self.name}: the training of {self.space.format(cell)} diverged before the end of "
                f"epoch {last}. Ask for an earlier epoch or another cell."
            )
        # As a table stores them: in single precision.
        values, seconds = (
            np.array([c[column][last - 1] for c in curves], np.float32).astype(np.float64)
            for column in (name, "train_seconds")
        )
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
        return Answer(float(np.mean(values)), float(np.mean(seconds)), "live", sd, len(values))

    def seeds(self, arch: ArchitectureLike) -> tuple[int, ...]:
        """Return the training seeds of this benchmark: each exists for every cell."""
        cell_of(self.space, arch)
        return self._seeds

    def measured(self, seed: int | None = None) -> NDArray[np.uint8]:
        """Return all cells of the space: each can be trained.

        Of a space too large to list, a fixed uniform sample of 1,000 networks.
        """
        if not (seed is None or seed in self._seeds):
            raise MissingValueError(f"{self.name} has no training seed {seed}.")
        if math.prod(self.space.choices) > LISTED:
            return np.array(draws(self.space, _SAMPLE), np.uint8)
        cells = itertools.product(*map(range, self.space.choices))
        return np.array([cell for cell in cells if self.space.contains(cell)], np.uint8)

    def _curve(self, cell: Architecture, seed: int, epoch: int) -> _Curve:
        """Return the curve of a training, at least ``epoch`` long unless it diverged."""
        key = key_of(self._task, self.space, self._data, cell, seed)
        known = self._curves.get(key)
        if known is not None and (key in self._ended or len(known["train_loss"]) >= epoch):
            return known
        if self._log.holds(key):  # another process has trained it meanwhile
            self._remember()
            return self._curves[key]
        trainer = Trainer(cell, self._task.recipe, self._data, seed)
        digest = hashlib.sha256("\n".join(map(str, key)).encode()).hexdigest()[:24]
        checkpoint = self._checkpoints / f"{digest}.pt"
        trainer.advance(epoch, checkpoint=checkpoint)
        self._curves[key] = trainer.curve
        if trainer.diverged or trainer.epoch == self.epochs[-1]:
            run = record_of(
                self._task, self.space, self._data, cell, seed, trainer, origin=self._origin
            )
            if not self._log.append(run):
                self._remember()
            self._ended.add(key)
            checkpoint.unlink(missing_ok=True)
        return self._curves[key]

    def _remember(self) -> None:
        """Take in what the log holds."""
        path = self._log.path
        where = path.parent if path.name == CURRENT else path  # with the shards beside it
        if path.exists() or (path.name == CURRENT and any(where.glob("*.jsonl.xz"))):
            runs = [run for run in read_log(where).runs if run.status != "failed"]
            self._curves.update({run.key: run.curve for run in runs})
            self._ended.update(run.key for run in runs)
