"""Train many cells, in parallel, into a log; what the log holds already is not trained again.

Each worker process trains and appends by itself, so that neither a killed worker nor a killed parent
loses a run that has ended. Two collectors may fill one log; a run that both trained is kept once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from joblib import Parallel, delayed

from nasbench_tab.records import Architecture
from nasbench_tab.spaces.base import Space
from nasbench_tab.train.log import RunLog, current_file
from nasbench_tab.train.once import check_seed, key_of, train_once, trained_cell
from nasbench_tab.train.tasks import Task
from nasbench_tab.train.tensors import Data, load_data, pick_device

__all__ = ["Collected", "collect"]


class Collected(NamedTuple):
    """What a collection did: how many runs were there before, and how the others went."""

    present: int
    ok: int
    diverged: int
    failed: int


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
) -> Collected:
    """Train all ``pairs`` that ``log`` does not hold yet, and append them to it.

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
    found = work(
        delayed(_train_into)(task, space, cell, seed, path, origin, device, folder)
        for cell, seed in left
    )
    for done, status in enumerate(found, 1):
        counts[status] += 1
        if progress is not None:
            progress(done, len(left))
    return Collected(**counts)


def _train_into(
    task: Task,
    space: Space,
    cell: Architecture,
    seed: int,
    path: Path,
    origin: str,
    device: str,
    folder: Path | None,
) -> str:
    """Train one run, append it and return how it went; ``"present"`` if another process was faster."""
    data, log = _data(task, device, folder), _log(path)
    if log.holds(key_of(task, space, data, cell, seed)):
        return "present"
    run = train_once(task, space, data, cell, seed, origin=origin)
    return run.status if log.append(run) else "present"


@cache
def _data(task: Task, device: str, folder: Path | None) -> Data:
    """Return the images; a worker process reads them once."""
    return load_data(task, pick_device(device), folder)


@cache
def _log(path: Path) -> RunLog:
    """Return the log; a worker process remembers how far it has read."""
    return RunLog(path)
