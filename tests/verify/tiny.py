"""A task of a tenth of a second, a table and a surrogate of made-up runs of it, comparisons on both."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nasbench_tab.fitting.make import make_surrogate
from nasbench_tab.fitting.observed import observe
from nasbench_tab.predictors.trees import Settings
from nasbench_tab.records import Architecture, Protocol
from nasbench_tab.search.compare import compare
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.train.log import LoggedRun, RunLog
from nasbench_tab.train.plan import collection_order
from nasbench_tab.train.recipes import recipe_hash
from nasbench_tab.train.splits import load_split, split_hash
from nasbench_tab.train.tabulate import tabulate
from nasbench_tab.train.tasks import TASKS
from nasbench_tab.verify.plan import Claim, Plan, read_plan, runs_folder

_DIGITS = TASKS["nb201-digits"]
#: Two epochs of one step on 4x4 pixels.
TASK = _DIGITS._replace(
    name="tiny", recipe=_DIGITS.recipe._replace(side=4, epochs=2, batch=1000, average=0.0)
)
SPACE = NasBench201()
#: Networks with one convolution, which train quickly.
CELLS: list[Architecture] = [
    cell for cell in collection_order(SPACE) if sum(op in (2, 3) for op in cell) == 1
][:30]
#: Trees that are quick to grow and know little.
POOR = Settings(members=2, rounds=5, depth=2, rate=0.2)
PROTOCOL = Protocol(evaluations=5, missing="masked")


def made_up(number: int, seed: int) -> LoggedRun:
    """A run of the task that nobody trained; good cells differ less between seeds."""
    value = 40.0 + 1.5 * number + (7 * number + 5 * seed) % 4 * 0.4
    curve = {
        "valid_accuracy": [value / 2, value],
        "test_accuracy": [value / 2 - 1, value - 1],
        "train_seconds": [1.0 + number, 2.0 + 2 * number],
        "eval_seconds": [0.25, 0.5],
    }
    return LoggedRun(
        space=SPACE.name,
        dataset=TASK.dataset,
        architecture=SPACE.format(CELLS[number]),
        seed=seed,
        status="ok",
        curve=curve,
        epochs=2,
        split=split_hash(load_split(TASK.split)),
        recipe=recipe_hash(TASK.recipe),
        origin="collection",
        device="a chip",
        device_kind="cpu",
    )


def write_log(path: Path, numbers: range = range(30), **fields: Any) -> Path:
    """Write a run of each cell, and of every second one a second."""
    text = RunLog(path)
    for number in numbers:
        for seed in (0, 1)[: 1 + number % 2]:
            text.append(made_up(number, seed)._replace(**fields))
    return path


def make_table(home: Path, name: str, log: Path) -> None:
    tabulate([log], home / "data" / name, SPACE)


def make_guess(home: Path, name: str, log: Path, **options: Any) -> None:
    """Fit a poor surrogate."""
    make_surrogate(observe(log), home / "surrogates" / name, settings=POOR, jobs=1, **options)


def make_comparison(out: Path, *names: str, **options: Any) -> Path:
    """Compare two strategies in six runs; returns the directory."""
    protocol = PROTOCOL._replace(**options.pop("protocol", {}))
    strategies = options.pop("strategies", ["random", "evolution(population=3, tournament=2)"])
    compare(names or ("mine",), strategies, runs=6, out=out, protocol=protocol, **options)
    return out


def at_home(home: Path) -> None:
    """Make the current process know the task and the folder; for processes that tests start."""
    TASKS["tiny"] = TASK
    os.environ["NASBENCH_TAB_HOME"] = str(home)


Value = Callable[[Claim, int], float]


def log_runs(directory: Path, value: Value, statuses: dict[int, str] | None = None) -> Plan:
    """Write a made-up training for every claim of the plan; ``statuses`` by place of the claim."""
    plan, file = read_plan(directory), runs_folder(directory) / "runs.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    log = RunLog(file)
    won: dict[Architecture, list[Claim]] = {}  # one network has one truth, whoever claims it
    for claim in plan.claims:
        if claim.arm == "winners":
            won.setdefault(SPACE.canonical(claim.cell), []).append(claim)
    for place, claim in enumerate(plan.claims):
        same = won.get(SPACE.canonical(claim.cell), [])
        if same and claim.arm != "known":
            observed = [value for one in same for value in one.observed]
            claim = claim._replace(value=float(np.mean(observed)))  # noqa: PLW2901
        for seed in claim.seeds:
            status: Any = (statuses or {}).get(place, "ok")
            if status == "missing":
                continue
            curve = {"valid_accuracy": [1.0, value(claim, seed)]}
            log.append(
                LoggedRun(
                    space=plan.space,
                    dataset=plan.dataset,
                    architecture=SPACE.format(SPACE.canonical(claim.cell)),
                    seed=seed,
                    status=status,
                    curve=curve if status == "ok" else {},
                    epochs=2,
                    split=plan.split,
                    recipe=plan.recipe,
                    device_kind="cpu",
                    error="" if status == "ok" else "out of memory",
                )
            )
    return plan


def off_by(bias: float, drift: float = 0.0) -> Value:
    """A training as claimed, less the bias, plus the drift and a little noise; known ones drift only."""

    def value(claim: Claim, seed: int) -> float:
        if claim.arm == "known":
            return dict(claim.known)[seed] + drift
        noise = np.random.default_rng([*claim.cell, seed]).normal(0, 0.05)
        return claim.value - bias + drift + float(noise)

    return value
