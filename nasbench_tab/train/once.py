"""Train one cell of a task and say everything about it that a log keeps."""

from __future__ import annotations

import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from nasbench_tab import __version__
from nasbench_tab.errors import InvalidArgumentError, TrainingError
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.base import Space
from nasbench_tab.train.log import LoggedRun
from nasbench_tab.train.logrecord import Key
from nasbench_tab.train.loop import Trainer
from nasbench_tab.train.recipes import recipe_hash
from nasbench_tab.train.tasks import Task
from nasbench_tab.train.tensors import Data

__all__ = ["check_seed", "device_name", "key_of", "record_of", "train_once", "trained_cell"]


def check_seed(seed: object) -> None:
    """Raise InvalidArgumentError if ``seed`` cannot be a training seed that a log holds."""
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise InvalidArgumentError(
            f"A training seed is a whole number, 0 or more and below 2**63; got {seed!r}."
        )


def trained_cell(task: Task, space: Space, arch: Architecture) -> Architecture:
    """Return the cell that is trained for ``arch``: its canonical form where the task says so.

    Raises:
        InvalidArchitectureError: It is none of the space.
    """
    space.check(arch)
    return space.canonical(arch) if task.canonical else arch


def key_of(task: Task, space: Space, data: Data, arch: Architecture, seed: int) -> Key:
    """Return the key under which a log holds the training of ``arch``."""
    kind = data.train.images.device.type
    text = space.format(trained_cell(task, space, arch))
    return (task.space, task.dataset, data.split_hash, recipe_hash(task.recipe), kind, text, seed)


def train_once(
    task: Task,
    space: Space,
    data: Data,
    arch: Architecture,
    seed: int,
    *,
    origin: str = "",
    checkpoint: Path | None = None,
    on_epoch: Callable[[Trainer], None] | None = None,
) -> LoggedRun:
    """Train a cell as ``task`` says and return the run; out of memory makes it a failed one.

    Args:
        task: Recipe and names.
        space: The task's search space.
        data: The task's images, on the device to train on.
        arch: The cell; its canonical form is trained where the task says so.
        seed: Training seed, 0 or more.
        origin: Why; kept in the log.
        checkpoint: Continue from this file and write to it after each epoch.
        on_epoch: Called after each epoch.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    cell, error, trainer = trained_cell(task, space, arch), "", None
    try:
        trainer = Trainer(cell, task.recipe, data, seed)
        trainer.advance(checkpoint=checkpoint, on_epoch=on_epoch)
    except TrainingError as err:
        error = str(err)
    run = record_of(task, space, data, cell, seed, trainer, origin=origin, error=error)
    return run._replace(started=started)


def record_of(
    task: Task,
    space: Space,
    data: Data,
    cell: Architecture,
    seed: int,
    trainer: Trainer | None,
    *,
    origin: str,
    error: str = "",
) -> LoggedRun:
    """Return what a log keeps of a training that has ended, or failed: then ``error`` says why."""
    device = data.train.images.device
    parameters = None if trainer is None else trainer.network.parameters()
    return LoggedRun(
        space=task.space,
        dataset=task.dataset,
        architecture=space.format(cell),
        seed=seed,
        status="failed" if error or trainer is None else "diverged" if trainer.diverged else "ok",
        curve={} if error or trainer is None else {k: list(v) for k, v in trainer.curve.items()},
        epochs=task.recipe.epochs,
        task=task.name,
        split=data.split_hash,
        recipe=recipe_hash(task.recipe),
        recipe_fields=task.recipe._asdict(),
        origin=origin,
        device=device_name(device),
        # Two kinds in one training give a kind of its own, which no table mixes with either.
        device_kind="+".join(trainer.kinds if trainer and trainer.kinds else [device.type]),
        threads=1 if device.type == "cpu" else 0,
        error=error,
        versions={
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
            "nasbench_tab": __version__,
        },
        parameters=None if parameters is None else sum(p.numel() for p in parameters) / 1e6,
    )


def device_name(device: torch.device) -> str:
    """Return the model of a processor, and for a CPU which instructions PyTorch uses on it.

    Rounding, and so every figure's last bits, depends on those: two processors of one name differ.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    name = next(named, platform.processor() or platform.machine())
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"
