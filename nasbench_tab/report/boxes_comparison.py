"""Boxes B1 to B8 of the checklist: was the comparison fair? One function a box.

Every function looks for what would make its box fail, then for what is missing, and only then passes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from nasbench_tab.errors import InvalidArgumentError, NasbenchTabError, ResultsError
from nasbench_tab.records import Protocol
from nasbench_tab.report.boxes import Decision, decided
from nasbench_tab.report.evidence import (
    RANDOM,
    Evidence,
    broken_protocol,
    identical_runs,
    info_command,
    lacking_setup,
    misnumbered,
    trial_sets,
    untimed,
)
from nasbench_tab.report.summary import FEW_RUNS, MIN_RUNS
from nasbench_tab.search.ablate import ABLATION, read_ablation
from nasbench_tab.search.exact import random_search_baseline, random_search_simulated
from nasbench_tab.search.results import Results, load_results

__all__ = [
    "ablations",
    "confounders",
    "over_time",
    "random_search",
    "repeated",
    "same_benchmark",
    "same_protocol",
    "tabular",
]

#: Simulated runs behind random search where its law is not known; enough for a standard error.
_SIMULATED = 200


def same_benchmark(found: Evidence) -> Decision:
    """B1: every value that any strategy saw or is reported with is the one table's, by its content hash."""
    where = (
        "manifest.json: experiment.benchmarks[].hash, objective, optimum, mean; "
        "runs/*/*/*.npz: values, final:*"
    )
    hashes = [f"{name} {bench.fingerprint[:19]}" for name, bench in found.tables.items()]
    passed = (
        f"all {found.asked:,} observed values of all strategies and their final values, asked again, are "
        f"those of one table for each benchmark ({'; '.join(hashes)}), and so are optimum and mean"
    )
    return decided(found.unlike, found.absent.values(), passed, where, info_command(found))


def confounders(found: Evidence) -> Decision:
    """B2: no hardware and no library can have favoured a strategy."""
    where = "manifest.json: versions, machine, protocol; runs/*/*/*.npz: cpu_seconds"
    protocol, manifest = found.results.protocol, found.results.manifest
    wrong, missing = list(found.mistimed), lacking_setup(manifest)
    if protocol.overhead == "measured":
        wrong.append(
            "processor time of this machine is on the simulated clock (overhead = measured)"
        )
    if protocol.seconds is not None:
        missing += found.absent.values()
        for name, bench in found.tables.items():
            devices = bench.about.get("device", [])
            if len(devices) > 1:
                wrong.append(
                    f"{name}: the times that end a run were measured on different devices "
                    f"({'; '.join(devices)})"
                )
    for name, label, trials in trial_sets(found.results):
        if not np.isfinite(trials.cpu_seconds).all():
            missing.append(f"{name}, {label}: no CPU times")
    software = ", ".join(f"{k} {v}" for k, v in manifest["versions"].items())
    passed = (
        "values and times come from the table, so that no strategy met other hardware or libraries; "
        f"one budget for all ({_budget(found)}); the strategies' own CPU time is kept apart; one set of "
        f"versions for all runs ({software})"
    )
    return decided(wrong, missing, passed, where, "nasbench-tab replay DIR")


def ablations(found: Evidence) -> Decision:
    """B3: the directory is an ablation, and its runs differ in what it says, and in nothing else."""
    where, command = f"{ABLATION}: base, variants", "nasbench-tab report DIR"
    if not (found.results.directory / ABLATION).exists():
        text = f"there is no {ABLATION}; nasbench-tab ablate makes ablations"
        return Decision("not recorded", text, where, "nasbench-tab ablate --help")
    try:
        record = read_ablation(found.results.directory)
    except ResultsError as err:
        return Decision("not recorded", str(err), where, command)
    if not record["variants"]:
        return Decision("not recorded", f"{ABLATION} lists no variant", where, command)
    wrong = [text for variant in record["variants"] for text in _variant(found, record, variant)]
    switched = [f"{v['switch']}: {v['from']!r} to {v['to']!r}" for v in record["variants"]]
    passed = f"one option of {record['base']} at a time: {'; '.join(switched)}"
    return decided(wrong, [], passed, where, command)


def _variant(found: Evidence, record: dict[str, Any], variant: dict[str, Any]) -> list[str]:
    """Return in what a variant is not what the record of the ablation says of it."""
    label, switch, results = variant["label"], variant["switch"], found.results
    try:
        base: dict[str, Any] = results.strategy(record["base"])["settings"]
        if not variant.get("directory"):
            other: dict[str, Any] = results.strategy(label)["settings"]
        else:
            apart = load_results(results.directory / variant["directory"])
            if unlike := _unlike_base(results, apart, record["base"], label):
                return [f"{ABLATION}: {variant['directory']} has not the base's {unlike}"]
            base = {f"protocol.{k}": v for k, v in results.protocol._asdict().items()}
            other = {f"protocol.{k}": v for k, v in apart.protocol._asdict().items()}
    except NasbenchTabError as err:
        return [f"{ABLATION}: {err}"]
    changed = {key for key in {**base, **other} if base.get(key) != other.get(key)}
    values = [_plain(base.get(switch)), _plain(other.get(switch))]
    if changed != {switch} or values != [variant["from"], variant["to"]]:
        return [f"{ABLATION}: {label} does not differ from {record['base']} in {switch} alone"]
    return []


def _unlike_base(results: Results, apart: Results, base: str, label: str) -> str:
    """Return in words what two comparisons do not share besides their protocol; empty: nothing."""
    pairs: dict[str, Callable[[Results], Any]] = {
        "seed": lambda r: r.manifest["experiment"]["seed"],
        "number of runs": lambda r: r.manifest["experiment"]["runs"],
        "benchmarks": lambda r: {name: r.benchmark(name)["hash"] for name in r.benchmarks},
    }
    differing = [words for words, part in pairs.items() if part(results) != part(apart)]
    if results.strategy(base) != apart.strategy(label):
        differing.append("strategy")
    return " and ".join(differing)


def same_protocol(found: Evidence) -> Decision:
    """B4: one protocol, kept by every run; selection on validation and never on test."""
    where = "manifest.json: experiment.protocol, benchmarks[].objective; runs/*/*/*.npz"
    wrong = broken_protocol(found)
    for about in found.experiment["benchmarks"]:
        objective = about["objective"]
        if objective["split"] != "valid":
            wrong.append(
                f"{about['name']}: searched on {objective['name']}, split {objective['split']}"
            )
        if found.results.protocol.final_epoch == "best" and about["test_metrics"]:
            wrong.append(
                f"{about['name']}: final values are those of the best epoch by the test metric"
            )
    changed = {
        key: value
        for key, value in found.results.protocol._asdict().items()
        if value != getattr(Protocol(), key)
    }
    passed = (
        f"one protocol for all runs ({', '.join(f'{k} = {v!r}' for k, v in changed.items())}), which every "
        "run keeps; incumbents are chosen by validation values, and strategies see no others"
    )
    return decided(wrong, [], passed, where, "python -m json.tool DIR/manifest.json")


def over_time(found: Evidence) -> Decision:
    """B5: every run is there as a curve over evaluations, and over time where there are times."""
    where = "runs/*/*/*.npz: values, seconds, lengths; report/index.html: the curves"
    timed = [
        name for name in found.results.benchmarks if found.results.benchmark(name)["has_seconds"]
    ]
    passed = (
        "every evaluation of every run is stored in its order, and the report draws the incumbents "
        f"over evaluations; with simulated times: {', '.join(timed) or 'none, the tables have none'}"
    )
    wrong = [*untimed(found.results), *found.mistimed]
    return decided(wrong, [], passed, where, "nasbench-tab report DIR")


def random_search(found: Evidence) -> Decision:
    """B6: random search took part under the same protocol, or is computed from the same table."""
    where = "manifest.json: experiment.strategies[].factory, protocol, benchmarks[].mean"
    command = "nasbench-tab report DIR"
    factories = {
        label: found.results.strategy(label)["factory"] for label in found.results.strategies
    }
    own = [label for label, factory in factories.items() if factory == RANDOM]
    if len(own) == len(factories):
        text = "random search is all that was run"
        return Decision("not applicable", text, where, command)
    if own:
        passed = f"{own[0]} took part under the same protocol; the report has random sampling too"
        return decided([], [], passed, where, command)
    wrong, said = [], []
    for name in found.tables:
        try:
            said.append(_baseline(found, name))
        except InvalidArgumentError as err:
            wrong.append(f"random search took no part, and its curve on {name} is not known: {err}")
    passed = f"random search took no part; the report computes it: {'; '.join(said)}"
    return decided(wrong, list(found.absent.values()), passed, where, command)


def _baseline(found: Evidence, name: str) -> str:
    bench, protocol = found.tables[name], found.results.protocol
    if protocol.evaluations is not None:
        at = np.array([protocol.evaluations])
        law = random_search_baseline(bench, protocol, at, runs=_SIMULATED)
    else:
        at = np.array([protocol.seconds])
        law = random_search_simulated(bench, protocol, at, axis="seconds", runs=_SIMULATED)
    kind = (
        "exact" if law.is_exact else f"{law.runs} simulated runs, standard error {law.error[0]:.2g}"
    )
    return f"{name}: {law.value.mean[0]:.4g} at the end of the budget ({kind})"


def repeated(found: Evidence) -> Decision:
    """B7: enough runs, numbered from 0, which are not one run many times."""
    where = "manifest.json: experiment.runs, seed; runs/*/*/*.npz: runs"
    runs, seed = found.experiment["runs"], found.experiment.get("seed")
    wrong = misnumbered(found)
    if runs < MIN_RUNS:
        wrong.append(f"{runs} runs are too few for an interval; {MIN_RUNS} are the least")
    few = f"; fewer than {FEW_RUNS}, so that intervals are too short" if runs < FEW_RUNS else ""
    missing = identical_runs(found.results)
    passed = f"{runs} runs of each strategy on each benchmark, numbers 0 to {runs - 1}, master seed {seed}{few}"
    return decided(wrong, missing, passed, where, "nasbench-tab replay DIR --runs 1")


def tabular(found: Evidence) -> Decision:
    """B8: what was searched is a table, and the values are in it."""
    where = "manifest.json: experiment.benchmarks[].hash, architectures_in_table; runs/*/*/*.npz: values"
    sizes = [
        f"{about['name']}: {about['architectures_in_table']:,} architectures"
        for about in found.experiment["benchmarks"]
    ]
    passed = f"{found.asked:,} evaluations, all of them answers of tables ({'; '.join(sizes)})"
    return decided(found.unlike, found.absent.values(), passed, where, info_command(found))


def _budget(found: Evidence) -> str:
    protocol = found.results.protocol
    parts = [] if protocol.evaluations is None else [f"{protocol.evaluations:,} evaluations"]
    parts += [] if protocol.seconds is None else [f"{protocol.seconds:,.0f} simulated seconds"]
    return ", ".join(parts)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
