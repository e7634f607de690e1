"""Train many cells, in parallel, into a log; what the log holds already is not trained again.

Each worker process trains and appends by itself, so that neither a killed worker nor a killed parent
loses a run that has ended. Two collectors may fill one log; a run that both trained is kept once.
"""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from joblib import Parallel, delayed

from nasbench_tab.errors import LogError
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.base import Space
from nasbench_tab.train.log import RunLog, current_file
from nasbench_tab.train.once import check_seed, key_of, record_of, train_once, trained_cell
from nasbench_tab.train.tasks import Task
from nasbench_tab.train.tensors import Data, load_data, pick_device

__all__ = ["Collected", "collect"]


#: So many runs in a row that could not be written end a collection that goes on otherwise.
_UNWRITTEN = 3


class Collected(NamedTuple):
    """What a collection did: how many runs were there before, how the others went, what was not begun."""

    present: int
    ok: int
    diverged: int
    failed: int
    left: int = 0


def collect(
    task: Task,
    space: Space,
    pairs: Sequence[tuple[Architecture, int]],
    log: Path,
    *,
    origin: str = "collection",
    jobs: int = -1,
    device: str = "auto",
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
    go_on: bool = False,
) -> Collected:
    """Train all ``pairs`` that ``log`` does not hold yet, and append them to it.

    With an active ``joblib.parallel_config`` the workers are those of its backend, Dask or Ray, on other
    machines too if these see the log's file system. Where a worker sees several GPUs and ``device`` names
    none of them, workers take turns: each trains on its own; more workers than GPUs share them.

    Args:
        task: How.
        space: The task's space.
        pairs: (cell, training seed), in the order of training.
        log: A ``.jsonl`` file, or a folder whose ``runs.jsonl`` is appended to and whose shards count.
        origin: Why these cells; kept with each run.
        jobs: Worker processes of one thread each; -1 = one for each core.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.
        folder: Where the dataset's files lie; None = where the system keeps them, or a download.
        progress: Called with (runs done in this call, runs to do in this call).
        stop: Asked before each training; none is begun once it says yes.
        go_on: Whether a training whose device fails in the middle becomes a failed run, and a run that
            cannot be written is counted as failed (3 in a row are not survived), instead of ending
            the collection.

    Raises:
        DatasetError: The dataset is not there or damaged.
        LogError: The log is damaged or cannot be written; what it held it holds.
        InvalidArgumentError: No such device here, or a seed that cannot be.
        InvalidArchitectureError: A cell is none of the space.
    """
    path = current_file(log)
    for _, seed in pairs:
        check_seed(seed)
    pairs = list(dict.fromkeys((trained_cell(task, space, cell), seed) for cell, seed in pairs))
    data = load_data(task, pick_device(device), folder)  # errors come before any process is started
    written = RunLog(path)
    left = [pair for pair in pairs if not written.holds(key_of(task, space, data, *pair))]
    counts = {"ok": 0, "diverged": 0, "failed": 0, "present": len(pairs) - len(left)}
    if progress is not None:
        progress(0, len(left))
    work = Parallel(
        n_jobs=jobs, batch_size=1, pre_dispatch="n_jobs", return_as="generator_unordered"
    )
    begun = 0

    def tasks() -> Iterator[Any]:
        nonlocal begun
        for number, (cell, seed) in enumerate(left):
            if stop is not None and stop():
                return
            begun += 1
            yield delayed(_train_into)(
                task, space, cell, seed, path, origin, device, folder, go_on=go_on, number=number
            )

    unwritten = 0
    for done, status in enumerate(work(tasks()), 1):
        unwritten = unwritten + 1 if status not in counts else 0
        if unwritten == _UNWRITTEN:
            raise LogError(status)
        counts[status if status in counts else "failed"] += 1
        if progress is not None:
            progress(done, len(left))
    return Collected(**counts, left=len(left) - begun)


def _train_into(
    task: Task,
    space: Space,
    cell: Architecture,
    seed: int,
    path: Path,
    origin: str,
    device: str,
    folder: Path | None,
    *,
    go_on: bool = False,
    number: int = 0,
) -> str:
    """Train one run, append it and return how it went.

    ``"present"`` if another process was faster; with ``go_on`` the message if it could not be written.
    """
    data, log = _data(task, _device_of_worker(device, number), folder), _log(path)
    if log.holds(key_of(task, space, data, cell, seed)):
        return "present"
    try:
        run = train_once(task, space, data, cell, seed, origin=origin)
    except (RuntimeError, MemoryError) as err:  # what PyTorch raises when a device is lost
        if not go_on:
            raise
        words = f"{type(err).__name__}: {err}"[:500]
        run = record_of(task, space, data, cell, seed, None, origin=origin, error=words)
    try:
        return run.status if log.append(run) else "present"
    except LogError as err:
        if not go_on:
            raise
        return str(err)


def _device_of_worker(name: str, number: int) -> str:
    """Return the device of this worker: of several GPUs one after another where ``name`` leaves it open.

    Pools number their processes; where they do not, the number of the training decides.
    """
    many = torch.cuda.device_count() if name in ("auto", "cuda") else 0
    process = multiprocessing.current_process().name
    if many < 2 or process == "MainProcess":
        return name
    digits = re.search("[0-9]+$", process)
    return f"cuda:{(int(digits[0]) - 1 if digits else number) % many}"


@cache
def _data(task: Task, device: str, folder: Path | None) -> Data:
    """Return the images; a worker process reads them once for each of its devices."""
    return load_data(task, pick_device(device), folder)


@cache
def _log(path: Path) -> RunLog:
    """Return the log; a worker process remembers how far it has read."""
    return RunLog(path)
