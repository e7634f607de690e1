"""Compare strategies on benchmarks over many seeded runs, in parallel, resumably.

>>> import tempfile
>>> import nasbench_tab as nbt
>>> out = tempfile.mkdtemp()
>>> results = nbt.compare(["nb201-cifar10"], ["random", "evolution"], runs=10, budget=50, out=out)
>>> results.frame().groupby("strategy")["valid_accuracy"].mean().round(1).to_dict()
{'evolution': 91.1, 'random': 90.7}
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

import nasbench_tab
from nasbench_tab.atomic import write_text
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError, MissingValueError, ResultsError
from nasbench_tab.records import Protocol
from nasbench_tab.registry import fingerprint, load
from nasbench_tab.search.evaluate import Answers
from nasbench_tab.search.experiment import FILE, experiment_of, write_experiment
from nasbench_tab.search.final import Reported, final_values, reported
from nasbench_tab.search.fronts import described_second
from nasbench_tab.search.presets import Fitted, Preset, fit, preset_named, settings_of
from nasbench_tab.search.protocol import is_integer, searched_epochs
from nasbench_tab.search.results import (
    FORMAT,
    VERSION,
    Results,
    blocks,
    load_results,
    protocol_fields,
    read_manifest,
    read_shard,
    shard_path,
    write_shard,
)
from nasbench_tab.search.run import searcher
from nasbench_tab.search.specs import check_distinct, strategy_spec
from nasbench_tab.strategies.base import StrategySpec

__all__ = ["BLOCK", "compare", "described_benchmark"]

#: Runs in one shard: what is lost, at most, when a worker is killed.
BLOCK = 50

_Strategy = str | StrategySpec | Callable[..., Any]


def compare(
    benchmarks: Sequence[str],
    strategies: Sequence[_Strategy],
    *,
    runs: int,
    out: str | Path,
    budget: int | None = None,
    protocol: Protocol | None = None,
    preset: str | None = None,
    nearest: bool = False,
    seed: int = 0,
    jobs: int | None = None,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Results:
    """Run every strategy on every benchmark and return the results, which lie in ``out``.

    Args:
        benchmarks: Names.
        strategies: As in :func:`nasbench_tab.run_search`.
        runs: Runs of each strategy on each benchmark; run ``i`` of all strategies sees the same
            table noise.
        out: An empty or new directory; with ``resume`` also that of the same experiment.
        budget: Evaluations per run; a short form of ``protocol=Protocol(evaluations=budget)``.
        protocol: Budget and all other switches.
        preset: Name of a published protocol (:mod:`nasbench_tab.search.presets`) instead; strategies
            given by their bare names take its settings.
        nearest: Whether the nearest protocol will do where the benchmark cannot honour the preset;
            what differs is kept in the manifest.
        seed: Master seed.
        jobs: Number of worker processes; -1 = all cores; None = what an active
            ``joblib.parallel_config`` says (that is how Dask and Ray come in), else this process.
        resume: Keep the finished blocks of an interrupted comparison and run the others.
        progress: Called with (finished runs, all runs) as blocks finish.

    Raises:
        InvalidArgumentError: Nothing to do, or a protocol that a benchmark cannot follow.
        ResultsError: ``out`` holds something else, or cannot be written.
    """
    if [budget is None, protocol is None, preset is None].count(False) != 1:
        raise InvalidArgumentError("Give one of budget (evaluations), protocol and preset.")
    if nearest and preset is None:
        raise InvalidArgumentError("nearest=True is about a preset; none is given.")
    _check_arguments(benchmarks, strategies, runs, seed, out, jobs)
    fitted = None
    if preset is not None:
        chosen = preset_named(preset)
        fitted = _fitted(chosen, benchmarks, nearest)
        strategies = [settings_of(chosen, s) if isinstance(s, str) else s for s in strategies]
        protocol = fitted.protocol
    protocol = Protocol(evaluations=budget) if protocol is None else protocol
    specs = [strategy_spec(strategy) for strategy in strategies]
    check_distinct(specs)
    for name in benchmarks:
        for spec in specs:
            searcher(
                spec, _loaded(name, protocol), protocol
            )  # every error that can be known is raised here
    limits = tuple((metric, most) for metric, most in protocol.limits)  # lists are welcome
    protocol = protocol._replace(limits=limits)
    experiment = _experiment(benchmarks, specs, protocol, runs, seed)
    if fitted is not None:
        experiment["preset"] = {"name": fitted.preset, "changes": list(fitted.changes)}
    directory = Path(out).absolute()  # processes that are used again may stand elsewhere
    libraries = {name for spec in specs for name in getattr(spec.factory, "libraries", ())}
    _claim(directory, experiment, resume, sorted(libraries))
    if not (directory / FILE).is_file():
        with suppress(InvalidArgumentError):  # a label that TOML cannot hold: the manifest has it
            write_experiment(directory / FILE, experiment_of(experiment))
    todo = []
    for name in benchmarks:
        for spec in specs:
            for first, last in blocks(runs, BLOCK):
                path = shard_path(directory, name, spec.label, first, last)
                if not (resume and _is_whole(path)):
                    todo.append((path, name, spec, protocol, seed, first, last))
    total = runs * len(benchmarks) * len(specs)
    done = total - sum(last - first + 1 for *_, first, last in todo)
    for finished in _run_all(todo, jobs):
        done += finished
        if progress is not None:
            progress(done, total)
    return load_results(directory)


def _fitted(preset: Preset, benchmarks: Sequence[str], nearest: bool) -> Fitted:
    """Return the one protocol of ``preset`` on all benchmarks."""
    all_fitted = [fit(preset, load(name)) for name in benchmarks]
    first, *others = (fitted.protocol._asdict() for fitted in all_fitted)
    differing = [key for key in first if any(other[key] != first[key] for other in others)]
    if differing:
        raise InvalidArgumentError(
            f"{preset.name} has not the same protocol on all of {', '.join(benchmarks)} (different "
            f"{', '.join(differing)}). Compare on one of them at a time."
        )
    changes = list(dict.fromkeys(change for fitted in all_fitted for change in fitted.changes))
    if changes and not nearest:
        raise InvalidArgumentError(
            f"{', '.join(benchmarks)} cannot honour {preset.name}: {'; '.join(changes)}. "
            "Add --nearest (nearest=True) to run that instead; the results will say so."
        )
    return Fitted(preset.name, all_fitted[0].protocol, tuple(changes))


def _check_arguments(
    benchmarks: object, strategies: object, runs: object, seed: object, out: object, jobs: object
) -> None:
    lists = (list, tuple)
    if not isinstance(benchmarks, lists) or not isinstance(strategies, lists):
        raise InvalidArgumentError("benchmarks and strategies must be lists of names.")
    if not benchmarks or not strategies:
        raise InvalidArgumentError("A comparison needs at least one benchmark and one strategy.")
    if len(set(benchmarks)) < len(benchmarks):
        raise InvalidArgumentError(f"A benchmark is given twice: {', '.join(benchmarks)}.")
    if not is_integer(runs) or runs < 1:  # type: ignore[operator]
        raise InvalidArgumentError(f"runs must be a positive integer; got {runs!r}.")
    if not is_integer(seed) or seed < 0:  # type: ignore[operator]
        raise InvalidArgumentError(f"The master seed must be an integer, 0 or more; got {seed!r}.")
    if not isinstance(out, (str, Path)):
        raise InvalidArgumentError(f"out must be a directory's path; got {out!r}.")
    if jobs is not None and not (is_integer(jobs) and jobs):
        raise InvalidArgumentError(
            f"jobs must be a positive number, or -1 for all cores; got {jobs!r}."
        )


def _run_all(todo: list[tuple[Any, ...]], jobs: int | None) -> Iterator[int]:
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    yield from parallel(joblib.delayed(_run_block)(*block) for block in todo)


def _run_block(
    path: Path, name: str, spec: StrategySpec, protocol: Protocol, seed: int, first: int, last: int
) -> int:
    """Run one block, write its shard and return how many runs it holds."""
    bench = _loaded(name, protocol)
    search = searcher(spec, bench, protocol, answers=_answers(bench.fingerprint, protocol))
    runs = [search(seed, run) for run in range(first, last + 1)]
    cells = np.concatenate([run.architectures for run in runs])
    seeds = np.concatenate([run.seeds for run in runs])
    final = {w.name: final_values(w, protocol, cells, seeds) for w in reported(bench, protocol)}
    write_shard(path, first, runs, final, failures=bool(protocol.failures))
    return len(runs)


def _loaded(name: str, protocol: Protocol) -> Benchmark:
    """Return a benchmark; loaded once in each process, as long as its data stay the same."""
    found = fingerprint(name)
    if not isinstance(protocol.training, (str, type(None))):
        raise InvalidArgumentError(
            f"A protocol's training is a label or None; got {protocol.training!r}."
        )
    return _loaded_once(name, protocol.training, found)


@lru_cache(maxsize=8)
def _loaded_once(name: str, training: str | None, fingerprint: str) -> Benchmark:
    del fingerprint  # it only tells versions of a table apart
    return load(name, training=training)


@lru_cache(maxsize=8)
def _answers(fingerprint: str, protocol: Protocol) -> Answers:
    """Return what the blocks of one benchmark share in one process."""
    del fingerprint, protocol  # they only tell the dicts apart
    return {}


def _experiment(
    benchmarks: Sequence[str], specs: list[StrategySpec], protocol: Protocol, runs: int, seed: int
) -> dict[str, Any]:
    """Return everything that the runs depend on, as plain data that survives JSON."""
    experiment = {
        "benchmarks": [
            described_benchmark(_loaded(name, protocol), protocol) for name in benchmarks
        ],
        "strategies": [
            {
                "label": spec.label,
                "factory": f"{spec.factory.__module__}:{spec.factory.__qualname__}",
                "settings": spec.settings,
                "source_sha256": spec.source_hash(),
            }
            for spec in specs
        ],
        "protocol": protocol_fields(protocol),
        "runs": runs,
        "seed": seed,
        "block": BLOCK,
        "table_noise": "paired: run i of every strategy sees the same draw for the same cell",
    }
    plain: dict[str, Any] = json.loads(json.dumps(experiment, default=_number))
    return plain


def _number(value: np.generic) -> object:
    return value.item()  # NumPy's numbers are welcome everywhere


def described_benchmark(bench: Benchmark, protocol: Protocol) -> dict[str, Any]:
    """Return a benchmark's identity and the figures that regret is measured against.

    Optimum and mean are those of the architectures that a search under ``protocol`` can reach:
    measured, and within its limits.
    """
    cells = bench.measured(None if isinstance(protocol.seeds, str) else protocol.seeds)
    within = np.ones(len(cells), bool)
    for metric, most in protocol.limits:
        within &= bench.query(cells, metric, mask=True).filled(np.inf) <= most
    if not within.any():
        raise InvalidArgumentError(
            f"No architecture of {bench.name} keeps the limits {protocol.limits}."
        )
    cells = cells[within]
    what, *others = reported(bench, protocol._replace(second=None))
    mean = protocol._replace(final="mean")  # regret is to the best mean, whatever is reported
    values = final_values(what, mean, cells, np.empty(0, np.int64))
    if not np.isfinite(values).all():
        raise InvalidArgumentError(
            f"{int(np.isnan(values).sum())} architectures of {bench.name} that may be searched have no "
            f"final value in training {what.bench.training!r}."
        )
    elsewhere = [other for other in others if other.bench is not what.bench]
    _check_reported(elsewhere, bench.name, cells, mean)
    second = {}
    if protocol.second is not None:
        second["second"] = described_second(bench, protocol, cells, values)
    best = int(values.argmax() if bench.objective.direction == "max" else values.argmin())
    trainings = [len(bench.seeds(tuple(cell))) for cell in cells.tolist()]
    return {
        "name": bench.name,
        "space": bench.space.name,
        "dataset": bench.dataset,
        "hash": bench.fingerprint,
        "objective": bench.objective._asdict(),
        "epochs": list(searched_epochs(bench, protocol)),
        "has_seconds": bench.has_seconds,
        "test_metrics": {other.name: other.metric._asdict() for other in others},
        "reported_hashes": {
            other.bench.name: other.bench.fingerprint for other in others if ":" in other.name
        },
        "architectures": len(values),
        "architectures_in_table": len(bench.measured()),
        "trainings_per_architecture": [min(trainings), max(trainings)],
        "optimum": float(values[best]),
        "optimum_architecture": bench.space.format(tuple(cells[best].tolist())),
        "mean": float(values.mean()),
        **second,
    }


def _check_reported(
    others: list[Reported], searched: str, cells: NDArray[np.uint8], protocol: Protocol
) -> None:
    """Raise InvalidArgumentError if an incumbent could have no value elsewhere.

    That is on another benchmark, or after a final training of its own.
    """
    for other in others:
        try:
            values = final_values(other, protocol, cells, np.empty(0, np.int64))
            gaps = not np.isfinite(values).all()
        except MissingValueError:
            gaps = True
        if gaps and other.bench.name == searched:
            raise InvalidArgumentError(
                f"{searched} has no {other.metric.name} in its training {other.bench.training!r} of some of the "
                f"{len(cells):,} architectures that may be searched. Choose another final_training."
            )
        if gaps:
            raise InvalidArgumentError(
                f"{other.bench.name} has no {other.metric.name} of some of the {len(cells):,} architectures "
                f"of {searched} that may be searched, so not all incumbents could be reported on it. "
                "Leave it out of the protocol's report."
            )


def _claim(directory: Path, experiment: dict[str, Any], resume: bool, libraries: list[str]) -> None:
    """Make ``directory`` this experiment's own, or raise ResultsError and change nothing.

    ``libraries`` are the distributions that strategies name as theirs; their versions are kept too.
    """
    versions = _versions(libraries)
    occupied = directory.exists()
    if directory.is_dir():  # what a killed writer of the manifest left does not count
        occupied = any(not path.match(".manifest.json.*.tmp") for path in directory.iterdir())
    if occupied and not (directory / "manifest.json").is_file():
        raise ResultsError(
            f"{directory} exists and holds something that is no comparison. Choose a new directory."
        )
    if occupied:
        found = read_manifest(directory)["experiment"]
        if found != experiment:
            raise ResultsError(
                f"{directory} holds another experiment ({_difference(found, experiment)}). "
                "Choose a new directory."
            )
        if not resume:
            raise ResultsError(
                f"{directory} holds this experiment already. Add --resume (resume=True) to finish it, "
                "or choose a new directory."
            )
        found = read_manifest(directory)["versions"]
        _same_versions(directory, found, versions, ["nasbench_tab", "numpy", *libraries])
        for pattern in ("runs/*/*/.*.tmp", f".{FILE}.*.tmp"):  # of writers that were killed
            for leftover in directory.glob(pattern):
                leftover.unlink(missing_ok=True)
        return
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "experiment": experiment,
        "versions": versions,
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
    }
    write_text(
        directory / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    )


def _same_versions(
    directory: Path, found: dict[str, str], versions: dict[str, str], matter: list[str]
) -> None:
    for package in matter:
        here = versions[package]
        if found.get(package) != here:
            raise ResultsError(
                f"{directory} was begun with {package} {found.get(package)}; this is {here}, and runs "
                "of both must not be mixed. Install that version, or choose a new directory."
            )


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Return in words the first thing in which two experiments differ."""
    key = next((key for key in wanted if found.get(key) != wanted[key]), "fields")
    before, now = found.get(key), wanted.get(key)
    if isinstance(before, list) and isinstance(now, list):
        names = [
            [entry.get("name", entry.get("label")) for entry in part] for part in (before, now)
        ]
        if names[0] != names[1]:
            return f"its {key}: {', '.join(names[0])}, not {', '.join(names[1])}"
        pairs = zip(names[0], before, now, strict=True)
        name, before, now = next((n, x, y) for n, x, y in pairs if x != y)
        key = f"{key}, {name}"
    if isinstance(before, dict) and isinstance(now, dict):
        inner = next((k for k in {**now, **before} if before.get(k) != now.get(k)), "")
        key, before, now = f"{key}, {inner}", before.get(inner), now.get(inner)
    return f"its {key}: {json.dumps(before)}, not {json.dumps(now)}"


def _is_whole(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        read_shard(path)
    except ResultsError:
        return False
    return True


def _versions(libraries: list[str]) -> dict[str, str]:
    versions = {"nasbench_tab": nasbench_tab.__version__, "python": sys.version.split()[0]}
    for package in ("numpy", "h5py", "joblib", *libraries):
        versions[package] = metadata.version(package)
    return versions
