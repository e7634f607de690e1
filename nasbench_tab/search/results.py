"""A results directory: what a comparison writes and everything that reads it.

::

    DIR/manifest.json                              the experiment, versions, machine
    DIR/runs/<benchmark>/<strategy>/<block>.npz    the runs of one block, renamed into place at once

A shard holds the evaluations of its runs one after another; ``lengths`` says where each run ends.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.atomic import replacing
from nasbench_tab.errors import ResultsError, unknown_name
from nasbench_tab.records import Metric, Protocol, Run
from nasbench_tab.search.manifest import check_manifest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Results", "Trials", "load_results", "read_shard", "shard_path", "write_shard"]

FORMAT = "nasbench_tab results"
VERSION = 1


class Trials(NamedTuple):
    """All runs of one strategy on one benchmark; ``N`` evaluations in ``R`` runs.

    Attributes:
        runs: ``(R,)`` run numbers, ascending.
        lengths: ``(R,)`` evaluations in each run; their sum is ``N``.
        architectures: ``(N, cell length)`` uint8, in the order in which evaluations ended.
        epochs: ``(N,)`` int32, 1-based.
        seeds: ``(N,)`` int64 training seeds behind the values.
        values: ``(N,)`` float64 observed values of the objective, in its own direction.
        seconds: ``(N,)`` float64 simulated time at the end of each evaluation; NaN without times.
        final: ``{metric: (N,) float64}``: what each evaluated cell is worth in the end under the
            protocol, by default its mean over all training seeds after full training; for the
            objective and all else that is reported. Strategies never see these, but for a second
            objective's.
        free: ``(R,)`` proposals that cost nothing.
        stop: ``(R,)`` why each run ended.
        cpu_seconds: ``(R,)`` CPU time of each run, the only field that is not reproducible.
        died: ``(R,)`` evaluations whose worker died; these three are None where none can.
        lost: ``(R,)`` simulated seconds that they took.
        last_died: ``(R,)`` simulated time of the last one; NaN where there was none.
    """

    runs: NDArray[np.int64]
    lengths: NDArray[np.int64]
    architectures: NDArray[np.uint8]
    epochs: NDArray[np.int32]
    seeds: NDArray[np.int64]
    values: NDArray[np.float64]
    seconds: NDArray[np.float64]
    final: dict[str, NDArray[np.float64]]
    free: NDArray[np.int64]
    stop: NDArray[np.str_]
    cpu_seconds: NDArray[np.float64]
    died: NDArray[np.int64] | None = None
    lost: NDArray[np.float64] | None = None
    last_died: NDArray[np.float64] | None = None


class Results:
    """A comparison that was written to a directory.

    Attributes:
        directory: Where it lies.
        manifest: The contents of ``manifest.json``.
        benchmarks: Names, in the order in which they were asked for.
        strategies: Labels, likewise.
        protocol: The protocol that every run followed.
    """

    def __init__(self, directory: Path, manifest: dict[str, Any]) -> None:
        self.directory, self.manifest = directory, manifest
        experiment = manifest["experiment"]
        self._benchmarks = {entry["name"]: entry for entry in experiment["benchmarks"]}
        self._strategies = {entry["label"]: entry for entry in experiment["strategies"]}
        self.benchmarks, self.strategies = list(self._benchmarks), list(self._strategies)
        self.protocol = protocol_of(experiment["protocol"])

    def benchmark(self, name: str) -> dict[str, Any]:
        """Return what the manifest says of a benchmark: hash, objective, optimum, mean ..."""
        if name not in self._benchmarks:
            raise unknown_name("benchmark of these results", name, self._benchmarks)
        entry: dict[str, Any] = self._benchmarks[name]
        return entry

    def objective(self, benchmark: str) -> Metric:
        """Return the validation metric that was searched on."""
        return Metric(**self.benchmark(benchmark)["objective"])

    def second(self, benchmark: str) -> Metric | None:
        """Return the metric of the second objective, or None where there is one objective."""
        about = self.benchmark(benchmark).get("second")
        return None if about is None else Metric(**about["metric"])

    def strategy(self, label: str) -> dict[str, Any]:
        """Return what the manifest says of a strategy: factory, settings, source hash."""
        if label not in self._strategies:
            raise unknown_name("strategy of these results", label, self._strategies)
        entry: dict[str, Any] = self._strategies[label]
        return entry

    def trials(self, benchmark: str, strategy: str) -> Trials:
        """Return all runs of one strategy on one benchmark.

        Raises:
            UnknownNameError: It is not part of the comparison.
            ResultsError: A shard is missing or damaged.
        """
        self.benchmark(benchmark)
        self.strategy(strategy)
        key = (benchmark, strategy)
        if key not in self._cache:
            paths = [p for p in self.shard_paths if p.parts[-3:-1] == (benchmark, slug(strategy))]
            parts = [read_shard(path) for path in paths]
            for path, part in zip(paths, parts, strict=True):
                if (part.died is not None) != bool(self.protocol.failures):
                    raise ResultsError(
                        f"{path} does not belong to this comparison: its protocol has failures = "
                        f"{self.protocol.failures!r}. Run the comparison again."
                    )
            self._cache[key] = _joined(parts)
        return self._cache[key]

    @cached_property
    def _cache(self) -> dict[tuple[str, str], Trials]:
        return {}

    @property
    def shard_paths(self) -> list[Path]:
        """All shards that the finished comparison consists of."""
        experiment = self.manifest["experiment"]
        return [
            shard_path(self.directory, benchmark, strategy, first, last)
            for benchmark in self.benchmarks
            for strategy in self.strategies
            for first, last in blocks(experiment["runs"], experiment["block"])
        ]

    def content_hash(self) -> str:
        """Return ``"sha256:..."`` over the experiment and all runs, CPU times left out."""
        digest = hashlib.sha256(json.dumps(self.manifest["experiment"], sort_keys=True).encode())
        for benchmark in self.benchmarks:
            for strategy in self.strategies:
                arrays = _arrays(self.trials(benchmark, strategy))
                for name in sorted(arrays.keys() - {"cpu_seconds"}):
                    digest.update(
                        f"{benchmark} {strategy} {name} {arrays[name].dtype.str}".encode()
                    )
                    digest.update(np.ascontiguousarray(arrays[name]).data)
        return f"sha256:{digest.hexdigest()}"

    def frame(self) -> pd.DataFrame:
        """Return one row per run: what its last incumbent was and what it cost."""
        from nasbench_tab.search.frame import runs_frame

        return runs_frame(self)


def load_results(directory: str | Path) -> Results:
    """Return the comparison in ``directory``.

    Raises:
        ResultsError: There is none, it is unfinished, or its manifest is damaged or too new.
    """
    manifest = read_manifest(Path(directory))
    try:
        check_manifest(manifest)
        results = Results(Path(directory), manifest)
        missing = [path for path in results.shard_paths if not path.is_file()]
    except (KeyError, TypeError, ValueError) as err:
        raise ResultsError(
            f"{Path(directory) / 'manifest.json'} does not describe a comparison that this release "
            f"knows ({type(err).__name__}: {err}). Run the comparison again."
        ) from err
    if missing:
        raise ResultsError(
            f"{directory} is unfinished: {len(missing)} of {len(results.shard_paths)} blocks of runs "
            "are missing. Run the same comparison again with --resume (resume=True)."
        )
    return results


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the contents of a results directory's ``manifest.json``.

    Raises:
        ResultsError: It is missing, damaged or from a newer version.
    """
    path = directory / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        format_, version = manifest.get("format"), manifest.get("version", 0)
        known = format_ == FORMAT and 0 <= version <= VERSION
    except FileNotFoundError as err:
        raise ResultsError(
            f"{directory} holds no comparison (no manifest.json). Make one with nasbench-tab compare."
        ) from err
    except (OSError, ValueError, TypeError, AttributeError) as err:
        raise ResultsError(f"{path} cannot be read ({err}). Run the comparison again.") from err
    if not known:
        raise ResultsError(
            f"{path} has format {format_!r} version {version}; this release reads {FORMAT!r} up to "
            f"version {VERSION}. Upgrade nasbench_tab."
        )
    return manifest


def blocks(runs: int, block: int) -> list[tuple[int, int]]:
    """Return ``(first, last)`` run of each block."""
    return [(first, min(first + block, runs) - 1) for first in range(0, runs, block)]


def slug(strategy: str) -> str:
    """Return a strategy's folder name: its label where that is a safe file name."""
    safe = re.sub(r"[^A-Za-z0-9._=-]+", "_", strategy)
    if safe == strategy and not safe.startswith(".") and len(safe) <= 100:
        return safe
    return f"{safe[:60]}-{hashlib.sha256(strategy.encode()).hexdigest()[:8]}"


def shard_path(directory: Path, benchmark: str, strategy: str, first: int, last: int) -> Path:
    """Return where the runs ``first`` to ``last`` of a strategy on a benchmark are kept."""
    return directory / "runs" / benchmark / slug(strategy) / f"{first:06d}-{last:06d}.npz"


def write_shard(
    path: Path,
    first: int,
    runs: list[Run],
    final: dict[str, NDArray[np.float64]],
    *,
    failures: bool = False,
) -> None:
    """Write one block of runs, all or nothing; with what failed where there may be ``failures``."""
    trials = Trials(
        runs=np.arange(first, first + len(runs), dtype=np.int64),
        lengths=np.array([len(run.values) for run in runs], np.int64),
        architectures=np.concatenate([run.architectures for run in runs]),
        epochs=np.concatenate([run.epochs for run in runs]),
        seeds=np.concatenate([run.seeds for run in runs]),
        values=np.concatenate([run.values for run in runs]),
        seconds=np.concatenate([run.seconds for run in runs]),
        final=final,
        free=np.array([run.free for run in runs], np.int64),
        stop=np.array([run.stop for run in runs], np.str_),
        cpu_seconds=np.array([run.cpu_seconds for run in runs], np.float64),
    )
    if failures:
        trials = trials._replace(
            died=np.array([run.died for run in runs], np.int64),
            lost=np.array([run.lost for run in runs], np.float64),
            last_died=np.array([run.last_died for run in runs], np.float64),
        )
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **_arrays(trials))  # type: ignore[arg-type]


def read_shard(path: Path) -> Trials:
    """Return one block of runs.

    Raises:
        ResultsError: The file is missing or damaged.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = dict(file)
        final = {name[6:]: arrays.pop(name) for name in list(arrays) if name.startswith("final:")}
        trials = Trials(**arrays, final=final)
        _check_shapes(trials)
    except (
        *(OSError, ValueError, TypeError, KeyError, AttributeError, EOFError),
        *(NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error),
    ) as err:
        raise ResultsError(
            f"{path} is missing or damaged ({err}). Run the same comparison with --resume "
            "(resume=True): it writes damaged blocks again."
        ) from err
    return trials


def _check_shapes(trials: Trials) -> None:
    n_runs, n = len(trials.runs), len(trials.values)
    deaths = [array for array in (trials.died, trials.lost, trials.last_died) if array is not None]
    per_run: tuple[NDArray[Any], ...] = (
        trials.lengths,
        trials.free,
        trials.stop,
        trials.cpu_seconds,
        *deaths,
    )
    per_trial: tuple[NDArray[Any], ...] = (
        trials.architectures,
        trials.epochs,
        trials.seeds,
        trials.seconds,
    )
    if (
        len(deaths) not in (0, 3)
        or not trials.final
        or any(len(array) != n_runs for array in per_run)
    ):
        raise ValueError("its arrays do not belong together")
    if any(len(array) != n for array in (*per_trial, *trials.final.values())):
        raise ValueError("its arrays do not belong together")
    if int(trials.lengths.sum()) != n:
        raise ValueError("its runs do not add up to its evaluations")


def protocol_fields(protocol: Protocol) -> dict[str, Any]:
    """Return the protocol as a manifest holds it.

    Without a second objective there is no such field, and likewise where no worker dies, so that results
    keep the hash that they had before there was one.
    """
    fields = protocol._asdict()
    if protocol.second is None:
        del fields["second"]
    if protocol.failures is None:
        del fields["failures"]
    return fields


def protocol_of(fields: dict[str, Any]) -> Protocol:
    """Return the protocol that a manifest holds."""
    limits = tuple((name, limit) for name, limit in fields["limits"])
    return Protocol(**{**fields, "limits": limits, "report": tuple(fields.get("report", ()))})


def _arrays(trials: Trials) -> dict[str, NDArray[Any]]:
    fields = trials._asdict().items()
    arrays = {name: value for name, value in fields if name != "final" and value is not None}
    return {**arrays, **{f"final:{name}": values for name, values in trials.final.items()}}


def _joined(parts: list[Trials]) -> Trials:
    fields = {
        name: np.concatenate([_arrays(part)[name] for part in parts])
        for name in _arrays(parts[0])
        if not name.startswith("final:")
    }
    final = {name: np.concatenate([p.final[name] for p in parts]) for name in parts[0].final}
    return Trials(**fields, final=final)
