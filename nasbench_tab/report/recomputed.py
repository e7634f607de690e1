"""What a results directory says, computed once more from its tables: figures, values, times, budgets.

Each function returns a line for everything that is otherwise, and nothing where all agrees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import NasbenchTabError
from nasbench_tab.records import MEAN_SEED
from nasbench_tab.search.compare import described_benchmark
from nasbench_tab.search.final import Reported, final_values, reported
from nasbench_tab.search.results import Results, Trials

__all__ = ["mistimed", "other_figures", "repeating", "underspent", "unlike_final", "unlike_table"]

_Floats = NDArray[np.float64]
_RTOL = 1e-9  # means may be taken in another order; nothing else may differ


def unlike_table(results: Results, bench: Benchmark, name: str) -> list[str]:
    """Return a line for each strategy some of whose observed values are not the table's."""
    problems = []
    for label in results.strategies:
        trials = results.trials(name, label)
        try:
            wrong = int((~_close(trials.values, _asked(bench, trials))).sum())
        except NasbenchTabError as err:
            problems.append(f"{name}, {label}: {err}")
            continue
        if wrong:
            problems.append(
                f"{name}, {label}: {wrong} of {len(trials.values)} values are not those of the table"
            )
    return problems


def other_figures(results: Results, bench: Benchmark, name: str) -> list[str]:
    """Return a line for each figure of a benchmark in the manifest that is not the table's.

    Optimum, mean and direction are what regret is measured with; epochs and metrics are looked at too.
    Of benchmarks that the protocol reports on besides, see :func:`unlike_final`.
    """
    try:
        wanted = described_benchmark(bench, results.protocol._replace(report=()))
    except NasbenchTabError as err:
        return [f"{name}: {err}"]
    said = dict(results.benchmark(name))
    said["test_metrics"] = {k: v for k, v in said["test_metrics"].items() if ":" not in k}
    return [
        f"{name}: the manifest's {key} is {said[key]!r}, the table's {value!r}"
        for key, value in wanted.items()
        if key != "reported_hashes" and key in said and not _same(said[key], value)
    ]


def unlike_final(results: Results, bench: Benchmark, name: str) -> tuple[list[str], list[str]]:
    """Return a line for each strategy some of whose final values are not the tables', and for each absent table."""
    try:
        columns = reported(bench, results.protocol)
    except NasbenchTabError as err:
        return [], [f"final values of {name} cannot be computed here: {err}"]
    hashes = results.benchmark(name).get("reported_hashes", {})
    absent = [
        f"the {what.bench.name} that is installed here is not the table reported on"
        for what in columns
        if ":" in what.name and hashes.get(what.bench.name) != what.bench.fingerprint
    ]
    problems = []
    known = {what.name: what for what in columns}
    for label in results.strategies:
        trials = results.trials(name, label)
        if trials.final.keys() != known.keys():
            named = ", ".join(sorted(trials.final.keys() ^ known.keys()))
            problems.append(f"{name}, {label}: final values of {named} lack or are too many")
        try:
            wrong = _wrong_final(results, [] if absent else [*known.values()], trials)
        except NasbenchTabError as err:
            problems.append(f"{name}, {label}: {err}")
            continue
        problems += [
            f"{name}, {label}: {n} of {len(trials.values)} final values ({what}) are not those of the table"
            for what, n in wrong
            if n
        ]
    return problems, list(dict.fromkeys(absent))


def _wrong_final(
    results: Results, columns: list[Reported], trials: Trials
) -> Iterator[tuple[str, int]]:
    """Yield how many final values of each column are wrong, each cell and seed asked once."""
    _, first, back = np.unique(
        _rows(trials.architectures, trials.seeds), return_index=True, return_inverse=True
    )
    for what in columns:
        if what.name in trials.final:
            values = final_values(
                what, results.protocol, trials.architectures[first], trials.seeds[first]
            )
            yield what.name, int((~_close(trials.final[what.name], values[back], nan=True)).sum())


def mistimed(results: Results, bench: Benchmark, name: str) -> list[str]:
    """Return a line for each strategy whose evaluations do not end when the table's trainings do.

    Only of a protocol in which one training follows another and nothing else is on the clock: one
    worker, which never dies, no validation, no overhead, no training that is continued. Of others, nothing.
    """
    protocol = results.protocol
    plain = (protocol.workers, protocol.validation, protocol.overhead, protocol.resume)
    if plain != (1, "none", "none", "restart") or protocol.failures or not bench.has_seconds:
        return []
    problems = []
    for label in results.strategies:
        trials = results.trials(name, label)
        try:
            spent = _asked(bench, trials, "train_seconds")
        except NasbenchTabError as err:
            problems.append(f"{name}, {label}: {err}")
            continue
        total = np.cumsum(np.where(spent > 0, spent, 0.0))
        begin = np.cumsum(trials.lengths) - trials.lengths
        before = np.concatenate([[0.0], total])[begin]
        ends = total - np.repeat(before, trials.lengths)
        wrong = int((~np.isclose(trials.seconds, ends, rtol=1e-6, atol=1e-6)).sum())
        if wrong:
            problems.append(
                f"{name}, {label}: {wrong} of {len(ends)} times are not the sums of the table's "
                "train_seconds"
            )
    return problems


def underspent(results: Results, trials: Trials) -> dict[str, int]:
    """Return how many runs ended for a reason that their evaluations do not show, by reason.

    Runs that discard what ends after the budget (``overshoot="drop"``) do not record it, so that nobody
    can see whether they used theirs up; nor, with ``overhead="measured"``, what a strategy spent.
    """
    protocol = results.protocol
    most = math.inf if protocol.evaluations is None else protocol.evaluations
    spent = trials.lengths >= most
    if protocol.seconds is not None:
        if protocol.overshoot == "drop" or protocol.overhead == "measured":
            spent |= True
        elif len(trials.seconds):
            last = np.cumsum(trials.lengths)[trials.lengths > 0] - 1
            spent[trials.lengths > 0] |= trials.seconds[last] >= protocol.seconds
        if trials.last_died is not None:
            spent |= trials.last_died >= protocol.seconds
    known = np.isin(trials.stop, ("budget", "exhausted", "stalled"))
    early = (trials.stop == "stalled") & (trials.free < protocol.patience)
    return {
        "runs that ended for no known reason": int((~known).sum()),
        "runs that say they used up the budget, and did not": int(
            ((trials.stop == "budget") & ~spent).sum()
        ),
        # Without a limit on evaluations, trainings that take no time count towards patience too.
        "runs that say they stalled, and did not": 0 if most == math.inf else int(early.sum()),
    }


def repeating(results: Results, trials: Trials) -> int:
    """Return how many evaluations repeat a cell at its epoch, where the protocol has no such repeats."""
    if results.protocol.repeats == "pay":
        return 0
    run = np.repeat(np.arange(len(trials.lengths)), trials.lengths)
    rows = _rows(trials.architectures, run, trials.epochs.astype(np.int64))
    return len(rows) - len(np.unique(rows))


def _asked(bench: Benchmark, trials: Trials, metric: str | None = None) -> _Floats:
    """Return ``(N,)`` the table's values at each evaluation's epoch and training seed; NaN: none."""
    out = np.full(len(trials.values), np.nan)
    pairs = np.stack([trials.epochs.astype(np.int64), trials.seeds], axis=1)
    for epoch, seed in np.unique(pairs, axis=0).tolist():
        here = (pairs == (epoch, seed)).all(axis=1)
        drawn = None if seed == MEAN_SEED else seed
        found = bench.query(trials.architectures[here], metric, epoch=epoch, seed=drawn, mask=True)
        out[here] = found.filled(np.nan)
    return out


def _rows(cells: NDArray[np.uint8], *columns: NDArray[np.int64]) -> NDArray[np.void]:
    """Return ``(N,)`` one opaque item for each row, so that rows are compared as quickly as numbers."""
    parts = [column[:, None].view(np.uint8) for column in map(np.ascontiguousarray, columns)]
    rows = np.ascontiguousarray(np.concatenate([cells, *parts], axis=1))
    return rows.view(np.dtype((np.void, rows.shape[1])))[:, 0]


def _close(got: _Floats, wanted: _Floats, *, nan: bool = False) -> NDArray[np.bool_]:
    return np.isclose(got, wanted, rtol=_RTOL, atol=0, equal_nan=nan)


def _same(said: Any, wanted: Any) -> bool:
    """Return whether two plain values agree, numbers but for rounding."""
    if isinstance(said, float) and isinstance(wanted, float):
        return math.isclose(said, wanted, rel_tol=_RTOL)
    return bool(said == wanted)
