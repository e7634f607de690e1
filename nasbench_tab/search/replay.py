"""Repeat the comparison of a results directory and say whether the content is the same.

>>> import nasbench_tab as nbt
>>> out = getfixture("tmp_path") / "out"
>>> asked = nbt.Protocol(evaluations=20)
>>> done = nbt.compare(["nb201-cifar10"], ["random"], runs=3, protocol=asked, out=out)
>>> replay(out).identical
True
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

import nasbench_tab
from nasbench_tab.errors import (
    InvalidArgumentError,
    NasbenchTabError,
    ResultsError,
    UnknownNameError,
)
from nasbench_tab.registry import fingerprint, load_space
from nasbench_tab.search.compare import compare
from nasbench_tab.search.experiment import Experiment, compare_arguments, experiment_of
from nasbench_tab.search.results import Results, Trials, load_results
from nasbench_tab.search.specs import strategy_spec

__all__ = ["Difference", "Replayed", "foreseen", "replay"]

Kind = Literal["version", "machine", "protocol", "table", "strategy", "experiment", "run"]
#: Fields with one entry per evaluation, in the order in which a difference is looked for.
_EVALUATION = ("architectures", "epochs", "seeds", "values", "seconds")
_RUN = ("lengths", "free", "stop")  # one entry per run


class Difference(NamedTuple):
    """One thing that is not as it was.

    Attributes:
        kind: ``"version"`` (of a package), ``"machine"``, ``"protocol"`` (it cannot be repeated
            exactly), ``"table"``, ``"strategy"``, ``"experiment"`` or ``"run"`` (of what was run).
        where: The package, table, strategy, field of the manifest, or run, evaluation and field.
        before: What the directory says.
        now: What is the case here.
    """

    kind: Kind
    where: str
    before: str
    now: str


class Replayed(NamedTuple):
    """What came of repeating a directory.

    Attributes:
        directory: Where the repetition lies; None where it was temporary.
        runs: How many runs of each strategy on each benchmark were repeated.
        of: How many there are in the directory.
        identical: Whether the content is the same: the content hashes where all runs were repeated,
            else everything in the repeated runs and in the experiment but their number. CPU times
            do not count.
        same_runs: Whether the repeated runs are the same, whatever else differs.
        hashes: Content hash of the directory and of the repetition.
        differences: First what was known before anything ran, then the first difference of the
            experiments that is not among these, then the first in the runs. Other versions or another
            machine stand here even where the content is identical.
    """

    directory: Path | None
    runs: int
    of: int
    identical: bool
    same_runs: bool
    hashes: tuple[str, str]
    differences: tuple[Difference, ...]


def replay(
    directory: str | Path,
    out: str | Path | None = None,
    *,
    runs: int | None = None,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Replayed:
    """Run the experiment of ``directory`` once more, from its manifest, and compare.

    Args:
        directory: Results of a comparison; nothing in it is changed.
        out: A new directory for the repetition; None = a temporary one that is removed.
        runs: Repeat only so many runs, the first; None = all.
        jobs: As in :func:`nasbench_tab.compare`.
        progress: Likewise.

    Raises:
        ResultsError: The directory is damaged, or cannot be repeated here; the message says why.
        InvalidArgumentError: ``runs`` is no number from 1 to the directory's own.
    """
    results = load_results(directory)
    before, known = results.content_hash(), foreseen(results)
    asked = experiment_of(results.manifest["experiment"])
    count = asked.runs if runs is None else runs
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= asked.runs:
        raise InvalidArgumentError(
            f"runs must be 1 to {asked.runs}, the number of runs in {directory}; got {runs!r}."
        )
    with _place(out) as target:
        arguments = {**_arguments(asked), "runs": count}
        again = compare(**arguments, out=target, jobs=jobs, progress=progress)
        now = again.content_hash()
        partial = count < asked.runs
        setting = _first_setting(results, again, partial)
        run = _first_run(results, again, count)
    return Replayed(
        directory=None if out is None else Path(out),
        runs=count,
        of=asked.runs,
        identical=setting is None and run is None if partial else before == now,
        same_runs=run is None,
        hashes=(before, now),
        differences=_in_order(known, setting, run),
    )


def foreseen(results: Results) -> list[Difference]:
    """Return what is known to be different here, before anything is run.

    Differences of kind table, strategy and protocol mean that the content cannot be the same, of
    kind version and machine that it need not be.

    Raises:
        ResultsError: It cannot be repeated here: a strategy or a table is not to be found.
    """
    return [*_environment(results), *_tables(results), *_strategies(results)]


def _environment(results: Results) -> Iterator[Difference]:
    for package, before in results.manifest["versions"].items():
        if before != (now := _version_here(package)):
            yield Difference("version", package, str(before), now)
    recorded = str(results.manifest["machine"].get("processor", "not recorded"))
    if recorded != platform.machine():
        yield Difference("machine", "processor", recorded, platform.machine())
    if results.protocol.overhead == "measured":
        yield Difference(
            "protocol",
            "overhead",
            "measured",
            "processor time is on the clock: never the same twice",
        )


def _version_here(package: str) -> str:
    if package == "python":
        return sys.version.split()[0]
    if package == "nasbench_tab":
        return nasbench_tab.__version__
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not there"


def _tables(results: Results) -> Iterator[Difference]:
    for name in results.benchmarks:
        try:
            found = fingerprint(name)
        except UnknownNameError as err:
            raise _unrepeatable(results, f"the table {name} is not here. {err}") from err
        recorded = results.benchmark(name)["hash"]
        if found != recorded:
            yield Difference("table", f"{name}, hash", recorded, found)


def _strategies(results: Results) -> Iterator[Difference]:
    for label in results.strategies:
        about = results.strategy(label)
        try:
            spec = strategy_spec(label)
        except NasbenchTabError as err:
            raise _unrepeatable(
                results,
                f"the strategy {label!r} ({about['factory']}) is not found by its name. {err}",
            ) from err
        if spec.label != label:
            raise _unrepeatable(
                results, f"the strategy {label!r} is called {spec.label!r} by this release."
            )
        here = {
            "factory": f"{spec.factory.__module__}:{spec.factory.__qualname__}",
            "settings": json.loads(json.dumps(spec.settings)),
            "source_sha256": spec.source_hash(),
        }
        for field, now in here.items():
            if about[field] != now:
                yield Difference("strategy", f"{label}, {field}", _text(about[field]), _text(now))


def _unrepeatable(results: Results, reason: str) -> ResultsError:
    return ResultsError(
        f"{results.directory} cannot be repeated here: {reason} Nothing was run. A strategy of your "
        "own needs a name, package.module:Name, that can be imported from here."
    )


def _arguments(asked: Experiment) -> dict[str, Any]:
    """Return what to compare: by the preset, or by its protocol alone where the preset is another now."""
    try:
        return compare_arguments(asked)
    except (InvalidArgumentError, UnknownNameError):
        return compare_arguments(asked._replace(preset=None, nearest=False))


@contextmanager
def _place(out: str | Path | None) -> Iterator[Path]:
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory(prefix="nasbench-tab-") as folder:
        yield Path(folder) / "replayed"


def _in_order(
    known: list[Difference], setting: Difference | None, run: Difference | None
) -> tuple[Difference, ...]:
    covered = {difference.where for difference in known}
    found = [] if setting is None or setting.where in covered else [setting]
    return (*known, *found, *([] if run is None else [run]))


def _first_setting(results: Results, again: Results, partial: bool) -> Difference | None:
    """Return the first thing in which the two experiments differ."""
    before, now = (dict(_leaves(r.manifest["experiment"])) for r in (results, again))
    for where in {**before, **now}:
        one, other = (_text(x[where]) if where in x else "not recorded" for x in (before, now))
        if one != other and not (partial and where == "runs"):
            kinds: dict[str, Kind] = {"benchmarks": "table", "strategies": "strategy"}
            part, _, rest = where.partition(", ")
            kind = kinds.get(part, "experiment")
            return Difference(kind, where if kind == "experiment" else rest, one, other)
    return None


def _leaves(data: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of all plain values in nested dicts and in lists of named dicts."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _leaves(value, f"{where}, {key}" if where else str(key))
    elif isinstance(data, list) and data and all(isinstance(entry, dict) for entry in data):
        for number, entry in enumerate(data, 1):
            name = entry.get("name", entry.get("label", number))
            yield from _leaves(entry, f"{where}, {name}")
    else:
        yield where, data


def _first_run(results: Results, again: Results, runs: int) -> Difference | None:
    """Return the first difference in the first ``runs`` runs."""
    for name in results.benchmarks:
        for label in results.strategies:
            before, now = results.trials(name, label), again.trials(name, label)
            found = _first_of(before, now, runs)
            if found is None:
                continue
            run, evaluation, field, one, other = found
            space = load_space(results.benchmark(name)["space"])
            texts = [
                space.format(tuple(value.tolist())) if field == "architectures" else _text(value)
                for value in (one, other)
            ]
            at = f", evaluation {evaluation}" if evaluation else ""
            return Difference("run", f"{name}, {label}, run {run}{at}, {field}", *texts)
    return None


_Found = tuple[
    int, int, str, Any, Any
]  # run, evaluation from 1 (0: of the run), field, before, now


def _first_of(before: Trials, now: Trials, runs: int) -> _Found | None:
    one: Any
    other: Any
    first = [np.cumsum(t.lengths) - t.lengths for t in (before, now)]
    for i in range(runs):
        number = int(before.runs[i])
        parts = [
            _columns(t, slice(start[i], start[i] + t.lengths[i]))
            for t, start in zip((before, now), first, strict=True)
        ]
        for field in parts[0].keys() ^ parts[1].keys():
            return number, 0, field, field in parts[0], field in parts[1]
        rows = {field: _unlike(parts[0][field], parts[1][field]) for field in parts[0]}
        differing = {field: row for field, row in rows.items() if row is not None}
        if differing:
            field = min(differing, key=lambda name: differing[name])  # of equals the first field
            row = differing[field]
            return number, row + 1, field, parts[0][field][row], parts[1][field][row]
        for field in ("runs", *_RUN):
            one, other = (getattr(trials, field)[i] for trials in (before, now))
            if one != other:
                return number, 0, field, one, other
    return None


def _columns(trials: Trials, rows: slice) -> dict[str, NDArray[Any]]:
    """Return the fields of one run's evaluations."""
    columns: dict[str, NDArray[Any]] = {name: getattr(trials, name)[rows] for name in _EVALUATION}
    finals = {f"final:{metric}": values[rows] for metric, values in trials.final.items()}
    return columns | dict(sorted(finals.items()))


def _unlike(before: NDArray[Any], now: NDArray[Any]) -> int | None:
    """Return the first row, of those that both have, in which any bit differs."""
    n = min(len(before), len(now))
    if not n:
        return None
    if before.dtype != now.dtype or before.shape[1:] != now.shape[1:]:
        return 0
    bits = [np.ascontiguousarray(a[:n]).view(np.uint8).reshape(n, -1) for a in (before, now)]
    rows = (bits[0] != bits[1]).any(axis=1)
    return int(rows.argmax()) if rows.any() else None


def _text(value: Any) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
