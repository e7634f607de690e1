"""What the docs say about a table of our own: coverage, agreement of seeds, what early stopping saves.

    .venv/bin/python tools/figures.py nb201-fashion
    .venv/bin/python tools/figures.py nb201-fashion@surrogate         # early stopping only
    .venv/bin/python tools/figures.py nb201-fashion --retrain 20      # trains 20 random entries again
    .venv/bin/python tools/figures.py nb201-fashion --share "asha,hyperband(eta=2)"   # of these only

Intervals are 95 % percentile bootstrap intervals (2,000 resamples, seed 0) over cells for the taus and
over runs for the share of time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pilot import deviations
from scipy.stats import kendalltau

import nasbench_tab as nbt
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.search.run import searcher
from nasbench_tab.search.specs import split_strategies
from nasbench_tab.stats.anytime import at_seconds, incumbents

Floats = NDArray[np.float64]
RESAMPLES = 2000

#: Strategies that train for fewer epochs first, with their defaults.
SHARED = ["successive-halving", "asha", "hyperband", "bohb", "dehb", "freeze-thaw"]


def bootstrap(n: int, statistic: Callable[[NDArray[np.intp]], float]) -> str:
    """Return ``"value [low, high]"`` of a statistic of ``n`` rows."""
    rng = np.random.default_rng(0)
    values = [statistic(rng.integers(0, n, n)) for _ in range(RESAMPLES)]
    low, high = np.percentile(values, [2.5, 97.5], method="inverted_cdf")
    return f"{statistic(np.arange(n)):.3f} [{low:.3f}, {high:.3f}]"


def tau(a: Floats, b: Floats) -> str:
    """Return Kendall's tau-b with its interval and n."""
    return f"{bootstrap(len(a), lambda rows: float(kendalltau(a[rows], b[rows])[0]))}, n = {len(a)}"


def networks(bench: TableBenchmark, seed: int) -> list[Any]:
    """Return the distinct networks that were trained with ``seed``."""
    return sorted({bench.space.canonical(tuple(c)) for c in bench.measured(seed).tolist()})


def agreement(name: str) -> None:
    bench = nbt.load(name, source="table")
    print(f"{name}, {bench.fingerprint}")
    print(f"  {bench.about['coverage']}")
    cells = networks(bench, 0)
    one = bench.query(cells, seed=0)
    both = sorted(set(cells) & set(networks(bench, 1)))
    pair = np.array([bench.query(both, seed=s) for s in (0, 1)])
    better = pair.mean(axis=0) >= np.median(pair.mean(axis=0))
    between_cells, between_seeds = deviations(*pair)
    print(
        f"  validation accuracy, seed 0: {one.min():.2f} to {one.max():.2f} %, mean {one.mean():.2f}"
    )
    print(f"  sd between cells {between_cells:.2f}, between seeds {between_seeds:.2f} points")
    print(
        f"  ratio of the two {between_cells / between_seeds:.1f} (n = {len(both)} cells, seeds 0 and 1)"
    )
    print(f"  Kendall tau between seeds 0 and 1: {tau(*pair)}")
    print(f"  the same, better half: {tau(*pair[:, better])}")
    print(
        f"  tau validation - test, seed 0: {tau(one, bench.query(cells, 'test_accuracy', seed=0))}"
    )
    for epoch in bench.epochs[:-1]:
        early = bench.query(cells, epoch=epoch, seed=0)
        print(f"  tau of epoch {epoch} to the last, seed 0: {tau(early, one)}")
    print(f"  tau to nb201-cifar10: {tau(one, nbt.load('nb201-cifar10').query(cells))}")
    seconds = bench.query(cells, "train_seconds", seed=0)
    total = seconds + bench.query(cells, "eval_seconds", seed=0)
    print(f"  seconds of a run: training {seconds.mean():.1f}, with evaluation {total.mean():.1f}")


def share_of_time(name: str, strategies: list[str], runs: int, full_trainings: int) -> None:
    """Print the share of random search's time after which strategies have the same mean incumbent."""
    bench = nbt.load(name)
    cells: Any = np.arange(bench.space.size or 0) if bench.predicts else bench.measured()
    budget = full_trainings * float(bench.query(cells, "train_seconds").mean())
    protocol = nbt.Protocol(
        seconds=budget,
        resume="continue",
        repeats="reuse",
        missing="masked",
        incumbent="full-training",
    )
    grid, answers = np.linspace(0, budget, 1001)[1:], {}  # type: ignore[var-annotated]

    def curves(strategy: str) -> Floats:
        """Return ``(runs, times)`` the mean over training seeds of the incumbent at each time."""
        search = searcher(strategy, bench, protocol, answers=answers)
        found = [search(0, run) for run in range(runs)]
        full = np.concatenate([run.epochs for run in found]) == bench.epochs[-1]
        best = incumbents(
            np.concatenate([run.values for run in found]),
            np.concatenate([run.seconds for run in found]),
            np.array([len(run.values) for run in found]),
            bench.objective.direction,
            full,
        )
        found_cells = np.concatenate([run.architectures for run in found])
        return at_seconds(best, bench.query(found_cells), grid)

    random = curves("random")
    print(
        f"{name}: share of random search's simulated time for the same mean incumbent after {full_trainings} "
        f"full trainings' time ({budget:.0f} s), and the mean incumbent then; {runs} runs of each"
    )
    print(f"  random: 1, {bootstrap(runs, partial(ended, random))}")
    for strategy in strategies:
        own = curves(strategy)
        share = bootstrap(runs, partial(reached, random, own, grid))
        print(f"  {strategy}: {share}, {bootstrap(runs, partial(ended, own))}", flush=True)


def ended(curves: Floats, rows: NDArray[np.intp]) -> float:
    """Return the mean incumbent of some runs at the end."""
    return float(curves[rows, -1].mean())


def reached(random: Floats, own: Floats, grid: Floats, rows: NDArray[np.intp]) -> float:
    """Return the share of the time after which ``own`` has random search's last mean; inf = never."""
    there = np.flatnonzero(own[rows].mean(axis=0) >= random[rows, -1].mean())
    return float(grid[there[0]] / grid[-1]) if len(there) else float("inf")


def retrain(name: str, n: int) -> None:
    from nasbench_tab.train.once import train_once
    from nasbench_tab.train.recheck import recheck
    from nasbench_tab.train.tasks import task_named
    from nasbench_tab.train.tensors import load_data, pick_device

    bench, task = nbt.load(name, source="table"), task_named(name)
    data = load_data(task, pick_device("cpu"))
    cells = networks(bench, 0)
    chosen = np.random.default_rng(1).choice(len(cells), min(n, len(cells)), replace=False)
    found = [
        recheck(bench, train_once(task, bench.space, data, cells[i], 0, origin="check"))
        for i in chosen
    ]
    there = [one for one in found if one is not None]
    print(
        f"  {len(there)} random entries trained again (seed 0 of each): "
        f"{sum(one.same for one in there)} agree in all losses and accuracies of all epochs; the last "
        f"validation accuracies differ by {max(abs(one.off) for one in there):.2f} points at most"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("table")
    parser.add_argument("--retrain", type=int, default=0)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--share", default="")
    asked = parser.parse_args()
    if asked.retrain:
        retrain(asked.table, asked.retrain)
    else:
        if not asked.share and "@" not in asked.table:
            agreement(asked.table)
        share_of_time(
            asked.table, split_strategies(asked.share) if asked.share else SHARED, asked.runs, 50
        )
