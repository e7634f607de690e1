"""Carry a plan out: train what is not trained yet, and read what came of it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from joblib import effective_n_jobs

from nasbench_tab.errors import InvalidArgumentError, ResultsError, TrainingError
from nasbench_tab.records import Architecture
from nasbench_tab.registry import fingerprint, load_space
from nasbench_tab.search.results import load_results
from nasbench_tab.train import need_torch
from nasbench_tab.train.log import LoggedRun, read_log
from nasbench_tab.train.recipes import recipe_hash
from nasbench_tab.train.splits import load_split, split_hash
from nasbench_tab.train.tasks import Task, task_named
from nasbench_tab.verify.make import SEEDS, TOP, TRAJECTORY, make_plan
from nasbench_tab.verify.plan import (
    Claim,
    Plan,
    difference,
    plan_file,
    read_plan,
    runs_folder,
    training_order,
    write_plan,
)

__all__ = ["Done", "Retrained", "logged_runs", "retrained", "settled_plan", "verify"]

#: Why the runs were trained; kept in the log with each.
ORIGIN = "verification"
_STATUS = Literal["ok", "diverged", "failed", "missing"]


class Done(NamedTuple):
    """How far a verification is, in distinct trainings: all of the plan's are in one of the four."""

    ok: int
    diverged: int
    failed: int
    missing: int


class Retrained(NamedTuple):
    """One training of a claim.

    Attributes:
        seed: Of the training.
        status: ``"ok"``; ``"diverged"``, ``"failed"``: see :class:`~nasbench_tab.train.log.LoggedRun`;
            ``"missing"``: not trained yet.
        value: The objective after the claim's epoch, in single precision as tables hold it; NaN unless
            the status is ``"ok"``.
        seconds: Of training and evaluation; NaN likewise.
        device: Model of the processor.
        error: Why it failed.
    """

    seed: int
    status: _STATUS
    value: float = math.nan
    seconds: float = math.nan
    device: str = ""
    error: str = ""


def settled_plan(
    directory: Path,
    *,
    benchmark: str | None = None,
    top: int | None = None,
    seeds: int | None = None,
    margin: float | None = None,
    seed: int | None = None,
    trajectory: int | None = None,
) -> Plan:
    """Return the plan that stands in ``directory``, else a new one, which is not written yet.

    Arguments and errors as in :func:`~nasbench_tab.verify.make.make_plan`; None = as in the plan that
    is there, else its default.

    Raises:
        ResultsError: The plan there was made with other arguments or for other data, or runs are there
            without a plan.
    """
    if not plan_file(directory).exists():
        _no_runs_yet(directory)
        return make_plan(
            directory,
            benchmark=benchmark,
            top=TOP if top is None else top,
            seeds=SEEDS if seeds is None else seeds,
            margin=margin,
            seed=0 if seed is None else seed,
            trajectory=TRAJECTORY if trajectory is None else trajectory,
        )
    results, plan = load_results(directory), read_plan(directory)
    wanted: dict[str, Any] = {"benchmark": benchmark, "seed": seed, "top": top, "margin": margin}
    wanted |= {"seeds_each": seeds, "trajectory": trajectory}
    differs = difference(plan, **wanted, comparison=results.content_hash())
    differs = differs or difference(plan, hash=fingerprint(plan.benchmark))
    if differs:
        raise ResultsError(
            f"{plan_file(directory)} is another plan: {differs}. A plan is not changed once it is written: "
            "leave the argument out to go on with it, or move the folder verification/ away to begin "
            "another."
        )
    return plan


def verify(
    directory: Path,
    plan: Plan,
    *,
    device: str = "auto",
    jobs: int = -1,
    budget: float | None = None,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Done:
    """Write the plan, if it is not there, and train what is not in the run log yet.

    What diverges or fails is logged as such and the rest goes on; what failed is tried again by the next
    call. A call that was killed goes on where it was: the same plan, the same numbers.

    Args:
        directory: The comparison's.
        plan: Of :func:`settled_plan`.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``; with several GPUs workers take turns.
        jobs: Worker processes; -1 = one for each core. Several share a GPU.
        budget: No training is begun after so many seconds; None = no limit. The one that is running then
            ends in its own time.
        folder: Where the dataset's files lie; see :func:`~nasbench_tab.train.datasets.load_images`.
        progress: Called with (trainings done, trainings to do).

    Raises:
        DatasetError: The images are not there; the message says where to get them.
        ResultsError: Another plan stands there, or it cannot be written.
        TrainingError: PyTorch is not installed, or workers are killed however few there are.
        LogError: The log is damaged, or cannot be written three times in a row.
        InvalidArgumentError: No such device, or a budget or number of jobs that cannot mean anything.
    """
    need_torch()
    from nasbench_tab.train.collect import collect
    from nasbench_tab.train.datasets import load_images

    if budget is not None and not 0 < budget < math.inf:
        raise InvalidArgumentError(f"The budget must be seconds above 0; got {budget!r}.")
    if type(jobs) is not int or jobs == 0 or jobs < -1:
        raise InvalidArgumentError(
            f"jobs must be a number above 0, or -1 for all cores; got {jobs!r}."
        )
    task = _task_of(plan)
    if not plan_file(directory).exists():
        load_images(task.dataset, folder)  # a plan that cannot be carried out is not written
    _claim_folder(directory, plan)
    until = math.inf if budget is None else time.monotonic() + budget
    train = partial(
        collect,
        task,
        load_space(plan.space),
        training_order(plan),
        runs_folder(directory),
        origin=ORIGIN,
        device=device,
        folder=folder,
        progress=progress,
        stop=lambda: time.monotonic() >= until,
        go_on=True,
    )
    workers = effective_n_jobs(jobs)
    while True:
        try:
            train(jobs=workers)
            return _done(directory, plan)
        except BrokenProcessPool as err:  # mostly the system, which is out of memory
            if workers == 1:
                raise TrainingError(
                    f"Workers are killed from outside, {jobs} or 1 at a time ({err}). What has ended is in "
                    "the log; free memory and start again."
                ) from err
            workers = max(1, workers // 2)


def retrained(directory: Path, plan: Plan) -> list[tuple[Retrained, ...]]:
    """Return what became of each claim's trainings, in the order of ``plan.claims`` and of their seeds.

    Where one training was made on several kinds of device, that of the kind with most runs counts.

    Raises:
        LogError: The run log is damaged.
    """
    space, found = load_space(plan.space), logged_runs(directory, plan)
    return [
        tuple(
            _outcome(plan, claim, seed, found.get((space.format(_trained(plan, claim)), seed)))
            for seed in claim.seeds
        )
        for claim in plan.claims
    ]


def _outcome(plan: Plan, claim: Claim, seed: int, run: LoggedRun | None) -> Retrained:
    if run is None:
        return Retrained(seed, "missing")
    if run.status != "ok":
        return Retrained(seed, run.status, device=run.device, error=run.error)
    seconds = [
        run.curve[name][-1] for name in ("train_seconds", "eval_seconds") if name in run.curve
    ]
    value = float(np.float32(run.curve[plan.objective][claim.epoch - 1]))
    return Retrained(seed, "ok", value, math.fsum(seconds) if seconds else math.nan, run.device)


def logged_runs(directory: Path, plan: Plan) -> dict[tuple[str, int], LoggedRun]:
    """Return one run of the plan's task for each published string and seed that has one.

    Raises:
        LogError: The run log is damaged.
    """
    if not _logs(directory):
        return {}
    way = (plan.space, plan.dataset, plan.split, plan.recipe)
    runs = [run for run in read_log(runs_folder(directory)).runs if run.key[:4] == way]
    well = Counter(run.device_kind for run in runs if run.status == "ok")
    runs.sort(key=lambda run: (run.status != "failed", well[run.device_kind], run.device_kind))
    return {(run.architecture, run.seed): run for run in runs}


def _done(directory: Path, plan: Plan) -> Done:
    status: dict[tuple[Architecture, int], _STATUS] = {}
    for claim, outcomes in zip(plan.claims, retrained(directory, plan), strict=True):
        status.update({(_trained(plan, claim), one.seed): one.status for one in outcomes})
    counts = Counter(status.values())
    return Done(counts["ok"], counts["diverged"], counts["failed"], counts["missing"])


def _trained(plan: Plan, claim: Claim) -> Architecture:
    return load_space(plan.space).canonical(claim.cell) if plan.canonical else claim.cell


def _task_of(plan: Plan) -> Task:
    task = task_named(plan.task)
    here = recipe_hash(task.recipe), split_hash(load_split(task.split))
    if here != (plan.recipe, plan.split):
        raise ResultsError(
            f"The plan was made for the task {plan.task} with the recipe {plan.recipe} and the split "
            f"{plan.split}; in this release it has {here[0]} and {here[1]}. Go on with the release that made "
            f"the plan ({dict(plan.versions).get('nasbench_tab', 'not stated')})."
        )
    return task


def _claim_folder(directory: Path, plan: Plan) -> None:
    """Write the plan before anything is trained, or make sure that it is the one that stands there."""
    if not plan_file(directory).exists():
        _no_runs_yet(directory)
        write_plan(directory, plan)
    elif repr(read_plan(directory)) != repr(plan):  # NaN equals nothing, but is written alike
        raise ResultsError(
            f"{plan_file(directory)} is another plan. Use settled_plan to go on with it."
        )


def _no_runs_yet(directory: Path) -> None:
    if _logs(directory):
        raise ResultsError(
            f"{runs_folder(directory)} holds trainings, but their plan ({plan_file(directory).name}) is gone; "
            "one that is made now could be bent to them. Restore it, or move the folder verification/ away."
        )


def _logs(directory: Path) -> list[Path]:
    folder = runs_folder(directory)
    live = [path for path in folder.glob("*.jsonl") if path.stat().st_size]
    return [*live, *folder.glob("*.jsonl.xz")]
