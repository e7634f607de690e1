"""What a verification costs and what it can find, known before it begins."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.records import Architecture
from nasbench_tab.search.atoms import seed_table
from nasbench_tab.stats.cellmean import cell_mean, smallest_detectable
from nasbench_tab.train.tasks import Task
from nasbench_tab.verify.choose import table_behind
from nasbench_tab.verify.plan import Claim

__all__ = ["Power", "Price", "power", "price", "trained_key"]


class Price(NamedTuple):
    """``trainings`` distinct ones, ``seconds`` of all of them (NaN = not known), whose in ``words``.

    ``each`` is the price of one training of each claim.
    """

    trainings: int
    seconds: float
    each: tuple[float, ...]
    words: str


class Power(NamedTuple):
    """What is assumed of the noise and what can be found: see :class:`~nasbench_tab.verify.plan.Plan`.

    ``cells`` are distinct winners, worth ``effective`` where some won more runs than others.
    """

    seed_sd: float
    residual_sd: float
    smallest: float
    cells: int
    effective: float


def trained_key(bench: Benchmark, task: Task, cell: Architecture) -> Architecture:
    """Return the cell that is trained for ``cell``."""
    return bench.space.canonical(cell) if task.canonical else cell


def price(bench: Benchmark, task: Task, claims: Sequence[Claim]) -> Price:
    """Return how many trainings there are and what they take by the benchmark's own times."""
    metrics = [m for m in ("train_seconds", "eval_seconds") if m in bench.metrics]
    each = tuple(
        math.fsum(bench.query(claim.cell, metric) for metric in metrics)
        if bench.has_seconds
        else math.nan
        for claim in claims
    )
    once = {
        (trained_key(bench, task, claim.cell), seed): seconds
        for claim, seconds in zip(claims, each, strict=True)
        for seed in claim.seeds
    }
    total = math.fsum(once.values())
    if not bench.has_seconds:
        return Price(len(once), total, each, "the benchmark has no times")
    kind, where = _times(bench)
    whose = {
        "synthetic": "simulated seconds of the publishers' GPU, not of a device here",
        "measured": f"as measured when the data were made{where}",
    }.get(kind, "by the benchmark's own times")
    if bench.predicts:
        whose = f"predicted by the surrogate, {whose}"
    what = "training and evaluation" if len(metrics) == 2 else "training without evaluation"
    return Price(len(once), total, each, f"{whose}; {what}")


def _times(bench: Benchmark) -> tuple[str, str]:
    """Return of which kind a benchmark's times are, and on which device they were taken."""
    about: Any = bench.about
    if bench.predicts:
        return str(about.get("protocol", {}).get("seconds", "")), ""
    kind = about.get("trainings", {}).get(bench.training, {}).get("train_seconds", "")
    devices = [str(device).rpartition(":")[0] for device in about.get("device", [])]
    return str(kind), f" ({'; '.join(devices)})" if devices else ""


def power(bench: Benchmark, claims: Sequence[Claim], seeds: int, observes_mean: bool) -> Power:
    """Return the noise that is assumed, and the smallest bias of winners that would be found.

    The error of one winner is claimed minus the mean of ``seeds`` fresh trainings. Where a table answered,
    both have seed noise; a surrogate errs about the mean, and a search on simulated trainings sees
    simulated noise too. The smallest bias is exact for Student's test of distinct winners, each with
    the runs that it won as its weight.

    Args:
        bench: The benchmark.
        claims: Of all arms; only winners count.
        seeds: Fresh trainings of each.
        observes_mean: Whether the search saw means over training seeds.
    """
    winners = [claim for claim in claims if claim.arm == "winners"]
    table = table_behind(bench)
    of_table = _table_sd(table) if table is not None else math.nan
    variances, noises = [], []
    for claim in winners:
        if claim.source == "table":
            behind = len(bench.seeds(claim.cell)) if observes_mean else 1
            noises.append(of_table**2)
            variances.append(of_table**2 * (1 / max(behind, 1) + 1 / seeds))
        else:
            noises.append(claim.sd_seed**2)
            seen = 0.0 if observes_mean else claim.sd_seed**2
            variances.append(claim.sd_model**2 + seen + claim.sd_seed**2 / seeds)
    if not winners:
        return Power(of_table, math.nan, math.nan, 0, 0.0)
    won = Counter[Architecture]()
    for claim in winners:
        won[bench.space.canonical(claim.cell)] += len(claim.runs)
    runs = np.array(list(won.values()), np.float64)
    effective = float(runs.sum() ** 2 / (runs**2).sum())
    residual = math.sqrt(math.fsum(variances) / len(variances))
    seed_sd = math.sqrt(math.fsum(noises) / len(noises))
    df = float(cell_mean(np.zeros(len(runs)), runs).df)  # of these weights, whatever the values
    smallest = smallest_detectable(residual / math.sqrt(effective), df)
    return Power(seed_sd, residual, smallest, len(runs), effective)


def _table_sd(table: TableBenchmark) -> float:
    """Return the deviation between a table's training seeds, pooled over the better half of its cells.

    Winners live there, and poor cells are noisier. NaN where no cell was trained twice.
    """
    cells = table.measured()
    rows = [table.row_of(tuple(cell)) for cell in cells.tolist()]
    own = cells[np.unique(rows, return_index=True)[1]]  # not every name of one network
    _, values = seed_table(table, own)
    count = np.isfinite(values).sum(axis=1)
    values, count = values[count > 1], count[count > 1]
    if not len(values):
        return math.nan
    score = np.nanmean(values, axis=1) * (1 if table.objective.direction == "max" else -1)
    better = score >= np.median(score)
    within = np.nanvar(values[better], axis=1) * count[better]
    return float(np.sqrt(within.sum() / (count[better] - 1).sum()))
