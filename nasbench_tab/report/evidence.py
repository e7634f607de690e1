"""What a results directory shows, as the checklist needs it: tables, strategies and runs looked at.

Nothing here is taken from what the manifest claims about itself where the runs or the tables can be
asked instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import nasbench_tab
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import NasbenchTabError
from nasbench_tab.records import MEAN_SEED, Architecture
from nasbench_tab.registry import load
from nasbench_tab.report.recomputed import (
    mistimed,
    other_figures,
    repeating,
    underspent,
    unlike_final,
    unlike_table,
)
from nasbench_tab.search.clocks import benchmark_behind
from nasbench_tab.search.frame import run_incumbents
from nasbench_tab.search.results import Results, Trials
from nasbench_tab.search.specs import strategy_spec
from nasbench_tab.strategies.base import StrategySpec

__all__ = [
    "RANDOM",
    "Evidence",
    "broken_protocol",
    "final_tables",
    "gather",
    "identical_runs",
    "info_command",
    "installed_version",
    "lacking_setup",
    "misnumbered",
    "release",
    "trial_sets",
    "untimed",
]

#: How a manifest names random search, whatever its label is.
RANDOM = "nasbench_tab.strategies.random_search:RandomSearch"


class Evidence(NamedTuple):
    """What is at hand.

    Attributes:
        results: The comparison.
        tables: The tables that were searched, verified against their content hash.
        absent: Why a table is not among them.
        specs: The strategies that are found by their labels.
        unknown: Why a strategy is not among them.
        asked: How many observed values the tables were asked for again.
        unlike: A line for each strategy some of whose values, observed or final, are not the table's, and
            for each figure of the manifest that is not.
        mistimed: A line for each strategy whose times are not the table's.
    """

    results: Results
    tables: dict[str, Benchmark]
    absent: dict[str, str]
    specs: dict[str, StrategySpec]
    unknown: dict[str, str]
    asked: int
    unlike: list[str]
    mistimed: list[str]

    @property
    def experiment(self) -> dict[str, Any]:
        """Return what the manifest says of the experiment."""
        experiment: dict[str, Any] = self.results.manifest["experiment"]
        return experiment


def gather(results: Results) -> Evidence:
    """Load the tables, ask them again for everything, and find the strategies of a comparison."""
    tables, absent, specs, unknown = {}, {}, {}, {}
    asked, unlike, late = 0, list[str](), list[str]()
    for name in results.benchmarks:
        bench, problem = benchmark_behind(results, name, results.protocol.training)
        if bench is None:
            absent[name] = problem
        else:
            tables[name] = bench
            asked += sum(len(results.trials(name, label).values) for label in results.strategies)
            unlike += unlike_table(results, bench, name)
            unlike += other_figures(results, bench, name)
            wrong, lacking = unlike_final(results, bench, name)
            unlike += wrong
            if lacking:
                absent[name] = "; ".join(lacking)
            late += mistimed(results, bench, name)
    for label in results.strategies:
        try:
            specs[label] = strategy_spec(label)
        except NasbenchTabError as err:
            unknown[label] = f"the strategy {label!r} is not found by its name ({err})"
    return Evidence(results, tables, absent, specs, unknown, asked, unlike, late)


def trial_sets(results: Results) -> Iterator[tuple[str, str, Trials]]:
    """Yield (benchmark, strategy, trials) of the whole comparison."""
    for name in results.benchmarks:
        for label in results.strategies:
            yield name, label, results.trials(name, label)


def broken_protocol(evidence: Evidence) -> list[str]:
    """Return a line for each way in which runs do not keep the protocol that the manifest names."""
    results, protocol = evidence.results, evidence.results.protocol
    problems = []
    for name, label, trials in trial_sets(results):
        n_late = np.zeros(len(trials.lengths), np.int64)
        if protocol.seconds is not None:
            run = np.repeat(np.arange(len(trials.lengths)), trials.lengths)
            n_late = np.bincount(run, trials.seconds > protocol.seconds, len(n_late)).astype(int)
        allowed = 0 if protocol.overshoot == "drop" else protocol.workers
        means = trials.seeds == MEAN_SEED
        seeds = {"random": means, "mean": ~means}.get(
            str(protocol.seeds), trials.seeds != protocol.seeds
        )
        checks: dict[str, Any] = {
            "runs with more evaluations than the budget": 0
            if protocol.evaluations is None
            else (trials.lengths > protocol.evaluations).sum(),
            "runs beyond the budget in seconds": (n_late > allowed).sum(),
            f"evaluations whose training seed is not {protocol.seeds!r}": seeds.sum(),
            "evaluations at epochs that are not searched": (
                ~np.isin(trials.epochs, results.benchmark(name)["epochs"])
            ).sum(),
            f"repeated evaluations, with repeats = {protocol.repeats}": repeating(results, trials),
            **underspent(results, trials),
        }
        for metric, most in protocol.limits:
            if name in evidence.tables and len(trials.values):
                found = evidence.tables[name].query(trials.architectures, metric, mask=True)
                checks[f"evaluations beyond the limit on {metric}"] = (
                    ~(found.filled(np.inf) <= most)
                ).sum()
        problems += [f"{name}, {label}: {n} {what}" for what, n in checks.items() if n]
    return problems


def untimed(results: Results) -> list[str]:
    """Return a line for each strategy whose runs are no curves over evaluations and time."""
    problems = []
    for name, label, trials in trial_sets(results):
        if trials.lengths.max(initial=0) < 2:
            problems.append(f"{name}, {label}: no run has more than one evaluation")
        if results.benchmark(name)["has_seconds"]:
            first = np.zeros(len(trials.seconds), bool)
            first[(np.cumsum(trials.lengths) - trials.lengths)[trials.lengths > 0]] = True
            back = (np.diff(trials.seconds, prepend=0) < 0) & ~first
            if back.any() or not np.isfinite(trials.seconds).all():
                problems.append(f"{name}, {label}: times are missing or run backwards")
    return problems


def identical_runs(results: Results) -> list[str]:
    """Return a line for each strategy all of whose runs, of at least two, are one and the same."""
    problems = []
    for name, label, trials in trial_sets(results):
        rows = np.column_stack([trials.architectures, trials.epochs, trials.seeds])
        ends = np.cumsum(trials.lengths)
        found = {
            rows[first:end].tobytes()
            for first, end in zip(ends - trials.lengths, ends, strict=True)
        }
        if len(found) < 2 <= len(trials.lengths):
            problems.append(f"{name}, {label}: all {len(trials.lengths)} runs are the same run")
    return problems


def final_tables(
    results: Results,
) -> tuple[dict[str, tuple[Benchmark, set[Architecture]]], list[str]]:
    """Return the tables that final values come from, each with the cells that runs ended with.

    These are the ones that were searched and those that the protocol reports on. The second value is a
    line for each that is not at hand.
    """
    protocol, absent = results.protocol, []
    found, cells = {}, {name: _final_cells(results, name) for name in results.benchmarks}
    for name in results.benchmarks:
        bench, problem = benchmark_behind(
            results, name, protocol.final_training or protocol.training
        )
        if bench is None:
            absent.append(problem)
        else:
            found[name] = bench, cells[name]
        for other, wanted in results.benchmark(name).get("reported_hashes", {}).items():
            try:
                reported = load(other)
            except NasbenchTabError as err:
                absent.append(f"{other} cannot be loaded here: {err}")
                continue
            if reported.fingerprint != wanted:
                absent.append(f"the {other} that is installed here is not the table reported on")
            known = found[other][1] if other in found else set()
            found[other] = reported, known | cells[name]
    return found, absent


def _final_cells(results: Results, name: str) -> set[Architecture]:
    found: set[Architecture] = set()
    for label in results.strategies:
        trials = results.trials(name, label)
        which = run_incumbents(results, name, trials).which
        if which.shape[1]:
            last = which[:, -1]
            found |= set(map(tuple, trials.architectures[last[last >= 0]].tolist()))
    return found


def misnumbered(found: Evidence) -> list[str]:
    """Return a line for each strategy whose runs are not 0, 1 ... as the manifest says."""
    wanted = np.arange(found.experiment["runs"])
    return [
        f"{name}, {label}: the runs are not numbered 0 to {len(wanted) - 1}"
        for name, label, trials in trial_sets(found.results)
        if not np.array_equal(trials.runs, wanted)
    ]


def lacking_setup(manifest: dict[str, Any]) -> list[str]:
    """Return what the manifest does not say of software and machine."""
    needed = {
        "versions": ("nasbench_tab", "python", "numpy"),
        "machine": ("system", "processor", "cores"),
    }
    return [
        f"manifest.json has no {part}.{key}"
        for part, keys in needed.items()
        for key in keys
        if not manifest.get(part, {}).get(key)
    ]


def info_command(found: Evidence) -> str:
    """Return the command that shows where the first table comes from."""
    return f"nasbench-tab info {found.results.benchmarks[0]}"


def release(found: Evidence) -> str:
    """Return the release that made the results, in words."""
    return f"nasbench_tab {found.results.manifest['versions'].get('nasbench_tab')}, Apache-2.0"


def installed_version() -> str:
    """Return the version of this package here."""
    return nasbench_tab.__version__
