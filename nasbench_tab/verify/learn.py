"""Feedback: the fresh trainings join those behind a benchmark, and a surrogate is fitted on all of them.

After that the winners' own trainings are in the fit, and what it says of them is no evidence. So *after* is
what the new fit predicted of each network while all trainings of that network were held out. Beside it
stands what the benchmark says of the same networks by its mean, since a search on simulated trainings
claims their noise too, which no fit can cure. Whether the winners of the *next* search are as
overestimated is another question: search on the new surrogate and verify again (the next round).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError, ResultsError
from nasbench_tab.fitting.make import make_surrogate, need_extra
from nasbench_tab.fitting.observed import Observed, data_hash, observe, runs_of
from nasbench_tab.predictors.base import Runs
from nasbench_tab.predictors.parts import runs_from
from nasbench_tab.predictors.store import read_surrogate, write_surrogate
from nasbench_tab.predictors.trees import Settings
from nasbench_tab.records import Architecture
from nasbench_tab.registry import surrogate_folder
from nasbench_tab.search.results import load_results
from nasbench_tab.stats.bias import arm_bias
from nasbench_tab.stats.cellmean import cell_gaps
from nasbench_tab.train.log import LoggedRun
from nasbench_tab.verify.bias import Estimate, estimate
from nasbench_tab.verify.cells import Cells, known_differences, lane_cells
from nasbench_tab.verify.make import verified_benchmark
from nasbench_tab.verify.plan import Plan, read_plan
from nasbench_tab.verify.run import ORIGIN, logged_runs, retrained

__all__ = ["Fared", "Learned", "learn"]

_Floats = NDArray[np.float64]


class Fared(NamedTuple):
    """The bias of one lane's networks before and after; positive = optimistic, the drift taken out.

    Attributes:
        arm: ``"winners"``, ``"top"`` or ``"random"``.
        strategy: Label; ``""`` = all.
        claimed: As :func:`~nasbench_tab.verify.bias.bias` says it.
        before: Of the benchmark's mean.
        after: Of the new fit, each network held out.
        change: ``after`` less ``before``, paired; the fresh trainings cancel out of it.
        known: Networks that had a training behind the benchmark before, which flatters ``before``.
    """

    arm: str
    strategy: str
    claimed: Estimate
    before: Estimate
    after: Estimate
    change: Estimate
    known: int


class Learned(NamedTuple):
    """What was fitted, and how the claims fare with it.

    Attributes:
        name: Of the new surrogate.
        fingerprint: Its content hash.
        round: 1 for the first.
        trainings: That it was fitted on.
        joined: Fresh trainings among them.
        present: Trainings that were not taken because the same cell and seed were there: known cells.
        lanes: Winners of all strategies first.
        rounds: ``{round: figures}``, also of earlier rounds; in the surrogate's manifest too.
    """

    name: str
    fingerprint: str
    round: int
    trainings: int
    joined: int
    present: int
    lanes: tuple[Fared, ...]
    rounds: dict[str, dict[str, Any]]


def learn(
    directory: Path,
    out: Path,
    *,
    jobs: int = -1,
    progress: Callable[[int, int], None] | None = None,
) -> Learned:
    """Fit a surrogate on what is behind a comparison's benchmark and on its verification's trainings.

    Args:
        directory: The comparison's.
        out: The new surrogate's folder.
        jobs: Processes; -1 = one for each core.
        progress: Called with (steps done, steps in all).

    Raises:
        SurrogateError: The benchmark's surrogate does not carry its runs, or nothing can be fitted.
        ResultsError: No plan, no finished training, or ``out`` holds something else.
        InvalidArgumentError: The data behind the benchmark were trained in another way, or ``out`` is the
            surrogate that was searched.
        LogError: The run log is damaged.
        TrainingError: The benchmark's surrogate passes messages, and PyTorch is not installed.
    """
    need_extra()
    plan = read_plan(directory)
    bench = verified_benchmark(load_results(directory), plan.benchmark)
    if not plan.same_recipe:
        raise InvalidArgumentError(
            f"The data behind {bench.name} were not trained by this pipeline: together with the "
            f"trainings of {directory} they would be a mixture of two recipes. Fit a surrogate on trainings of "
            "one (nasbench-tab fit)."
        )
    source = surrogate_folder(bench.name.partition("@")[0]) if bench.predicts else None
    if source is not None and out.resolve() == source.resolve():
        raise InvalidArgumentError(
            f"{out} is the surrogate that was searched; without it nothing of {directory} could be checked "
            "any more. Choose another folder."
        )
    old, how = _behind(bench, source)
    runs, joined, present = _joined(old, plan, list(logged_runs(directory, plan).values()))
    if not joined:
        raise ResultsError(
            f"{directory} has no finished training that is not behind {bench.name} already; there is nothing "
            "to learn. Train its plan first: nasbench-tab verify."
        )
    data = [*old.about.get("data", []), f"verification {plan.comparison}"]
    observed = old._replace(runs=runs, hash=data_hash(runs), about={**old.about, "data": data})
    made = make_surrogate(observed, out, jobs=jobs, progress=progress, **how)
    held_out = made.held_out[plan.objective].mean
    lanes = _lanes(directory, plan, bench, old.runs, runs, held_out)
    rounds = dict(old.about.get("rounds", {}))
    number = 1 + max(map(int, rounds), default=0)
    rounds[str(number)] = {
        "comparison": plan.comparison,
        "benchmark": plan.benchmark,
        "hash": plan.hash,
        "joined": joined,
        **_figures(lanes[0]),
    }
    stored = read_surrogate(out)
    manifest = {**stored.manifest, "about": {**stored.manifest["about"], "rounds": rounds}}
    fingerprint = write_surrogate(out, manifest, stored.arrays, stored.files)
    return Learned(made.name, fingerprint, number, len(runs.cells), joined, present, lanes, rounds)


def _behind(bench: Benchmark, source: Path | None) -> tuple[Observed, dict[str, Any]]:
    """Return the runs behind a benchmark, and how it was fitted: settings, seed, and whether messages are passed."""
    if source is None:
        return observe(bench.name, objective=bench.objective.name, training=bench.training), {}
    stored = read_surrogate(source)
    runs, manifest = runs_from(stored, bench.space), stored.manifest
    about = dict(manifest.get("about", {}))
    observed = Observed(
        runs=runs,
        dataset=manifest["dataset"],
        protocol=dict(manifest["protocol"]),
        licence=manifest["licence"],
        hash=manifest["training_data"],
        left_out=about.pop("left_out", {}),
        torn=about.pop("torn_bytes", 0),
        about=about,
    )
    made_with = manifest.get("settings", {})
    fields = {key: value for key, value in made_with.items() if key in Settings._fields}
    return observed, {
        "settings": Settings(**fields),
        "seed": made_with.get("seed", 0),
        "message_passing": made_with.get("message_passing", False),
    }


def _joined(old: Observed, plan: Plan, fresh: list[LoggedRun]) -> tuple[Runs, int, int]:
    """Return old and new runs together, how many are new, and how many were there already."""
    runs = old.runs
    there = {(tuple(c), s) for c, s in zip(runs.cells.tolist(), runs.seeds.tolist(), strict=True)}
    cells: list[Architecture] = []
    taken, present = list[LoggedRun](), 0
    for run in fresh:
        cell = runs.space.parse(run.architecture)
        if run.status != "ok":
            continue
        if (cell, run.seed) in there:
            present += 1
            continue
        cells.append(cell)
        taken.append(run)

    def curve(name: str, of: list[LoggedRun]) -> _Floats:
        blank = [math.nan] * runs.epochs[-1]
        rows = [run.curve.get(name, blank) for run in of]
        return np.array(rows, np.float64).reshape(len(of), -1)[:, np.array(runs.epochs) - 1]

    if not taken:
        return runs, 0, present
    kind = old.protocol.get("device_kind")  # seconds of another kind of device are other seconds
    seconds = curve("train_seconds", taken)
    seconds[[run.device_kind != kind for run in taken]] = np.nan
    names = sorted(runs.metrics, key=lambda name: name != runs.objective)
    losses = None
    if runs.losses is not None:
        losses = np.concatenate([runs.losses, curve("train_loss", taken)])
    together = runs_of(
        runs.space,
        np.concatenate([runs.cells, np.array(cells, np.uint8)]),
        [*runs.seeds.tolist(), *(run.seed for run in taken)],
        [*runs.origins, *(ORIGIN for _ in taken)],
        runs.epochs,
        {n: (runs.metrics[n], np.concatenate([runs.curves[n], curve(n, taken)])) for n in names},
        np.concatenate([runs.seconds, seconds]),
        f"{plan.benchmark} with its verification",
        losses,
    )
    return together, len(taken), present


def _lanes(
    directory: Path, plan: Plan, bench: Benchmark, old: Runs, runs: Runs, held_out: _Floats
) -> tuple[Fared, ...]:
    """Return how each lane fares; ``held_out`` are the new fit's predictions of ``runs``, ``(n, E)``."""
    space = runs.space
    predicted = {
        space.canonical(tuple(cell)): row
        for cell, row in zip(runs.cells.tolist(), held_out, strict=True)
    }
    blank = np.full(len(runs.epochs), np.nan)
    there = {space.canonical(tuple(cell)) for cell in old.cells.tolist()}
    pairs = list(zip(plan.claims, retrained(directory, plan), strict=True))
    drift, _ = known_differences(pairs)
    found = []
    for (arm, strategy), of in lane_cells(plan, pairs).items():
        networks = list(map(space.canonical, of.cells))
        before = np.array(
            [bench.query(c, epoch=e) for c, e in zip(of.cells, of.epochs, strict=True)], np.float64
        )
        places = map(runs.epochs.index, of.epochs)
        after = np.array(
            [predicted.get(n, blank)[at] for n, at in zip(networks, places, strict=True)]
        )
        gaps = [cell_gaps(values, of.fresh, plan.direction) for values in (before, after)]
        found.append(
            Fared(
                arm=arm,
                strategy=strategy,
                claimed=_bias(plan, of, of.claimed, drift),
                before=_bias(plan, of, before, drift),
                after=_bias(plan, of, after, drift),
                change=estimate(gaps[1] - gaps[0], of.runs),
                known=sum(network in there for network in networks),
            )
        )
    return tuple(found)


def _bias(plan: Plan, of: Cells, claimed: _Floats, drift: _Floats) -> Estimate:
    found = arm_bias(claimed, of.fresh, plan.direction, runs=of.runs, known=drift)
    return Estimate(found.mean, found.low, found.high, found.n)


def _figures(winners: Fared) -> dict[str, Any]:
    """Return the winners' figures as plain numbers, without those that are not known."""
    found: dict[str, Any] = {"networks": winners.claimed.n, "known": winners.known}
    for name in ("claimed", "before", "after", "change"):
        one: Estimate = getattr(winners, name)
        found |= {name: one.mean, f"{name}_low": one.low, f"{name}_high": one.high}
    return {key: value for key, value in found.items() if math.isfinite(value)}
