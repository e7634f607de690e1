"""How the numbers of a report came about, as plain data: protocol, tables, strategies, commands."""

from __future__ import annotations

import re
import shlex
from importlib import metadata
from typing import Any, NamedTuple

import nasbench_tab
from nasbench_tab.records import Protocol
from nasbench_tab.registry import adapter_names, strategy_names
from nasbench_tab.report.summary import Summary
from nasbench_tab.report.words import PROTOCOL_WORDS, metric_name, reachable
from nasbench_tab.search.presets import PRESETS, as_written
from nasbench_tab.search.results import Results

__all__ = [
    "Source",
    "protocol_rows",
    "repeat_command",
    "repeat_python",
    "source",
    "times_kind",
    "versions",
]

_OWN = re.compile(r"[\w.]+:[\w.]+")  # package.module:Name
# The command line has another --resume, and report is a command.
_OPTIONS = {"resume": "resume_training", "report": "report_on"}


class Source(NamedTuple):
    """What is known of one benchmark's table; pairs of a term and what is said of it."""

    name: str
    facts: list[tuple[str, str]]


def source(summary: Summary) -> Source:
    """Return origin, protocol, licence and gaps of a benchmark, as far as it is at hand."""
    about, bench = summary.about, summary.background.bench
    better = "higher is better" if summary.metric.direction == "max" else "lower is better"
    tests = ", ".join(map(metric_name, about["test_metrics"])) or "none"
    facts = [
        ("table", about["hash"]),
        ("dataset", about["dataset"]),
        ("space", f"{about['space']}, {reachable(about)}"),
        ("searched on", f"{metric_name(summary.metric.name)} ({summary.metric.unit}, {better})"),
        ("test metrics", tests),
        ("best mean of these", f"{about['optimum']!r} ({about['optimum_architecture']})"),
        ("mean of these", repr(about["mean"])),
    ]
    if bench is None:
        return Source(summary.name, [*facts, ("not at hand", summary.background.problem)])
    words = bench.about
    lacks = "; ".join(words.get("lacks", [])) or "nothing that it states"
    more = [
        ("what it is", words.get("title", "")),
        ("training protocol", words.get("protocol", "")),
        ("training seeds", words.get("seed_note", "")),
        ("training times", times_kind(summary) or "none"),
        ("what it lacks", lacks),
        ("origin", words.get("origin", "")),
        ("licence", words.get("licence", "")),
        ("citation", "; ".join(words.get("citation", []))),
    ]
    return Source(summary.name, facts + [fact for fact in more if fact[1]])


def times_kind(summary: Summary) -> str:
    """Return ``"measured"``, ``"synthetic"``, ``"none"``, or nothing where it is not known."""
    bench = summary.background.bench
    if bench is None:
        return ""
    training = bench.about.get("trainings", {}).get(bench.training, {})
    return str(training.get("train_seconds", ""))


def protocol_rows(protocol: Protocol) -> list[tuple[str, str, str]]:
    """Return each switch of the protocol, its value, and what that means."""
    seeds = {
        "random": "each query draws one of the cell's training seeds",
        "mean": "each query gives the mean over the cell's training seeds",
    }.get(str(protocol.seeds), "each query gives the training with this seed")
    limits = ", ".join(f"{metric} ≤ {most:g}" for metric, most in protocol.limits)
    words = {
        "evaluations": "budget of a run in evaluations",
        "seconds": "budget of a run in simulated seconds",
        "workers": "simulated workers; each takes a new proposal as soon as it is free",
        "seeds": seeds,
        "training": "which training of the table is searched on; none = its default",
        "epoch": "the epoch that counts as the full training while searching; none = the last",
        "final_training": "which training final values come from; none = the table's default",
        "report": "further benchmarks on which the incumbents are reported",
        "limits": "cells beyond a limit are infeasible; being told so is free",
        "failures": "probability that a worker dies during a full training; its time is lost, not an evaluation",
        "patience": "a run ends after so many proposals in a row that cost nothing",
        "second": "a metric known without training, which strategies see and fronts are about; none = one "
        "objective",
    }
    report = ", ".join(protocol.report)
    values = {**protocol._asdict(), "limits": limits or None, "report": report or None}
    rows = []
    for name, value in values.items():
        meaning = words.get(name) or PROTOCOL_WORDS[name][value]
        rows.append((name, "none" if value is None else f"{value}", meaning))
    return rows


def repeat_command(results: Results) -> str:
    """Return the command line that repeats the comparison and this report; empty if there is none."""
    experiment, protocol = results.manifest["experiment"], results.protocol
    if "patience" in _changed(protocol) or unnamed(results):  # neither has an option
        return ""
    preset = experiment.get("preset")
    command = [
        ["nasbench-tab", "compare", ",".join(results.benchmarks)],
        ["--strategies", ",".join(_written(results))],
        ["--runs", str(experiment["runs"])],
        ["--seed", str(experiment["seed"])],
    ]
    if preset is None:
        command.insert(3, ["--budget", _budget_option(protocol)])
    else:
        command.insert(3, ["--preset", preset["name"], *["--nearest"] * bool(preset["changes"])])
    for name, value in ({} if preset else _changed(protocol)).items():
        if name == "limits":
            command += [["--limit", f"{metric}<={most!r}"] for metric, most in protocol.limits]
        elif name not in ("evaluations", "seconds"):
            option = _OPTIONS.get(name, name).replace("_", "-")
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            command.append([f"--{option}", text])
    command.append(["--out", "repeated"])
    return " \\\n    ".join(map(shlex.join, command)) + "\nnasbench-tab report repeated"


def unnamed(results: Results) -> list[str]:
    """Return the strategies whose label is no name by which a comparison could find them."""
    known = {*strategy_names(), *adapter_names()}
    heads = {label: label.partition("(")[0] for label in results.strategies}
    return [
        label for label, head in heads.items() if head not in known and not _OWN.fullmatch(head)
    ]


def _written(results: Results) -> list[str]:
    """Return the strategies as they must be written to be the same again."""
    preset = PRESETS.get(results.manifest["experiment"].get("preset", {}).get("name"))
    if preset is None:
        return results.strategies
    return [as_written(preset, s, results.strategy(s)["settings"]) for s in results.strategies]


def repeat_python(results: Results) -> str:
    """Return the same in Python, where every switch of the protocol can be set."""
    experiment = results.manifest["experiment"]
    switches = ", ".join(f"{name}={value!r}" for name, value in _changed(results.protocol).items())
    protocol, preset = f"protocol=nbt.Protocol({switches})", experiment.get("preset")
    if preset is not None:
        protocol = f"preset={preset['name']!r}, nearest={bool(preset['changes'])}"
    return (
        "import nasbench_tab as nbt\n\n"
        "nbt.compare(\n"
        f"    {results.benchmarks!r},\n"
        f"    {_written(results)!r},\n"
        f"    {protocol},\n"
        f'    runs={experiment["runs"]}, seed={experiment["seed"]}, out="repeated",\n'
        ")\n"
        'nbt.write_report("repeated")'
    )


def versions(results: Results) -> list[tuple[str, str]]:
    """Return what ran where, and what makes these results recognisable."""
    manifest = results.manifest
    experiment, machine = manifest["experiment"], manifest["machine"]
    software = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    drawn = ", ".join(
        f"{name} {metadata.version(name)}" for name in ("altair", "vl-convert-python")
    )
    return [
        ("results", results.content_hash()),
        (
            "master seed",
            f"{experiment['seed']}; every run draws from its own generator, spawned from it",
        ),
        ("noise of the table", experiment["table_noise"]),
        ("compared with", software),
        ("machine", f"{machine['system']}, {machine['processor']}, {machine['cores']} cores"),
        ("reported with", f"nasbench_tab {nasbench_tab.__version__}, {drawn}"),
    ]


def _changed(protocol: Protocol) -> dict[str, Any]:
    defaults = Protocol()._asdict()
    return {name: value for name, value in protocol._asdict().items() if value != defaults[name]}


def _budget_option(protocol: Protocol) -> str:
    parts = [] if protocol.evaluations is None else [str(protocol.evaluations)]
    parts += [] if protocol.seconds is None else [f"{protocol.seconds!r}s"]
    return ",".join(parts)
