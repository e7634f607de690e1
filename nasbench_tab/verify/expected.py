"""What choosing the best claim explains of a bias, from data that no search has chosen and nothing trained."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import NasbenchTabError, SurrogateError
from nasbench_tab.predictors.parts import runs_from
from nasbench_tab.predictors.store import read_surrogate
from nasbench_tab.registry import surrogate_folder
from nasbench_tab.search.atoms import seed_table
from nasbench_tab.search.optimism import apart
from nasbench_tab.search.results import Results
from nasbench_tab.stats.selection import Excess, excess_of_pairs
from nasbench_tab.verify.plan import Plan

__all__ = ["expected"]

_Floats = NDArray[np.float64]
_Pairs = tuple[_Floats, _Floats, NDArray[np.intp]]
_SEED = 20240


def expected(
    results: Results, bench: Benchmark, plan: Plan
) -> tuple[dict[tuple[str, str], Excess], list[str]]:
    """Return the expected optimism of the best of as many claims as each strategy's runs compared.

    For a surrogate the pairs are what was predicted of a network while it was held out, and what it gave;
    for a table one training of a cell, and the mean of its others. A strategy that learns where good
    cells are draws no uniform cells; what is expected then is the bias of random search.

    Returns:
        By arm and strategy (``("winners", "")`` = all of them, ``("random", "")`` = a single claim), and
        notes: why there is nothing, or what weakens it.
    """
    try:
        pairs, what = (
            _held_out(results, bench, plan) if bench.predicts else _trainings(results, bench, plan)
        )
    except NasbenchTabError as err:
        return {}, [f"What choosing alone explains is not known: {err}"]
    lengths = {
        label: np.asarray(results.trials(plan.benchmark, label).lengths)
        for label in results.strategies
    }
    draws = {("winners", label): int(np.median(some)) for label, some in lengths.items()}
    draws["winners", ""] = int(np.median(np.concatenate(list(lengths.values()))))
    draws["random", ""] = 1
    asked = {key: n for key, n in draws.items() if n >= 1}
    known = {
        n: excess_of_pairs(
            pairs[0],
            pairs[1],
            n,
            plan.direction,
            np.random.default_rng(_SEED),
            groups=pairs[2],
        )
        for n in set(asked.values())
    }
    notes = [f"Expected optimism: from {len(np.unique(pairs[2])):,} {what}."]
    weak = sorted(n for n, found in known.items() if found.support < 10)
    if weak:
        notes.append(
            f"For the best of {', '.join(map(str, weak))} claims fewer than ten of them decide what is expected; "
            "its interval is too short."
        )
    return {key: known[n] for key, n in asked.items()}, notes


def _held_out(results: Results, bench: Benchmark, plan: Plan) -> tuple[_Pairs, str]:
    """Return prediction and value of each network that was held out while it was predicted."""
    stored = read_surrogate(surrogate_folder(bench.name.partition("@")[0]))
    runs = runs_from(stored, bench.space)
    means = stored.arrays.get(f"held_out/{plan.objective}")
    if means is None or means.shape != runs.curves[runs.objective].shape:
        raise SurrogateError(
            f"the surrogate {bench.name} does not carry what was predicted of its runs while they were held "
            "out. Fit it again."
        )
    at = runs.epochs.index(plan.epoch)
    claimed, real = np.asarray(means[:, at], np.float64), runs.curves[plan.objective][:, at]
    used = np.isfinite(claimed) & np.isfinite(real)
    _, group = np.unique(runs.groups[used], return_inverse=True)
    times = np.bincount(group)
    claimed, real = (np.bincount(group, part[used]) / times for part in (claimed, real))
    sd = [claim.sd_seed for claim in plan.claims if np.isfinite(claim.sd_seed)]
    if results.protocol.seeds != "mean" and sd:  # the search saw simulated trainings
        claimed = claimed + np.median(sd) * np.random.default_rng(_SEED).normal(size=len(claimed))
    return (claimed, real, np.arange(len(claimed))), "networks that were predicted while held out"


def _trainings(results: Results, bench: Benchmark, plan: Plan) -> tuple[_Pairs, str]:
    """Return each training of each cell beside the mean of the cell's others."""
    seeds = results.protocol.seeds
    if seeds == "mean":
        raise SurrogateError(
            "every claim is a mean over all trainings of its cell, so that none is left to compare with."
        )
    cells = bench.measured()
    ids, table = seed_table(bench, cells, plan.epoch)
    present = np.isfinite(table)
    times, sums = present.sum(axis=1), np.where(present, table, 0.0).sum(axis=1)
    chosen = present & (times > 1)[:, None]
    if not isinstance(seeds, str):
        chosen &= ids == int(seeds)
    row, column = np.nonzero(chosen)
    if not len(row):
        raise SurrogateError(f"no cell of {bench.name} has a training beside the claimed one.")
    claimed = table[row, column]
    real = (sums[row] - claimed) / (times[row] - 1)
    network = apart(bench, cells, table)[
        1
    ]  # cells that answer by the same trainings share their error
    return (claimed, real, network[row]), "networks with a second training in the table"
