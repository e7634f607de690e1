"""What a one-shot method's answers over time, and its own scores of cells, are worth on a table.

Two questions (Zela, Siems and Hutter, "NAS-Bench-1Shot1", ICLR 2020; Yu et al., "Evaluating the Search
Phase of Neural Architecture Search", ICLR 2020): how good is the cell that it would hand over at each
moment, and does it rank cells as trainings from scratch do? A rank correlation over all cells is decided
by telling bad from good, so the share of the truly best among those it puts first stands beside it, and
beside both what one training of a cell says of its other ones: no score can be asked for more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError, LogError, MissingValueError
from nasbench_tab.records import Architecture, Protocol
from nasbench_tab.search.atoms import seed_table
from nasbench_tab.search.final import Reported, final_values, reported
from nasbench_tab.search.trajectory_log import Trajectory, read_trajectory
from nasbench_tab.stats.prediction import (
    kendall_interval,
    kendall_tau,
    precision_at,
    proportion_interval,
    spearman_interval,
    spearman_rho,
    tau_in_top,
)

__all__ = [
    "TOP",
    "Precision",
    "Ranks",
    "Scored",
    "best_values",
    "score_trajectories",
    "trajectory_record",
]

_Floats = NDArray[np.float64]

#: Numbers of cells put first for which precision is given, as far as there are twice as many.
TOP = (5, 10, 20, 50, 100)
_LEAST = 5  # cells; fewer are not ranked


class Precision(NamedTuple):
    """Share of the ``k`` truly best cells among the ``k`` that are put first.

    Attributes:
        k: How many.
        share: The share.
        low: Of Clopper and Pearson's 95 % interval, as if each place were won by itself.
        high: Likewise.
        chance: What a random order is expected to reach.
    """

    k: int
    share: float
    low: float
    high: float
    chance: float


class Ranks(NamedTuple):
    """How ``n`` cells are ordered by a score, and by their value.

    Attributes:
        n: Cells.
        tau: Kendall's tau-b with its 95 % interval: estimate, low, high.
        rho: Spearman's rank correlation, likewise.
        tau_top: Kendall's tau within the truly best tenth; NaN where that is fewer than 5 cells.
        precision: For each of :data:`TOP` that there are cells for.
    """

    n: int
    tau: tuple[float, float, float]
    rho: tuple[float, float, float]
    tau_top: float
    precision: list[Precision]


class Scored(NamedTuple):
    """One run of a one-shot method, looked up.

    Attributes:
        log: What was read.
        seconds: ``(m,)`` real seconds of its choices.
        cells: ``(m, cell length)`` the choices.
        values: ``{metric: (m,)}`` what each choice is worth, the mean over its training seeds: the
            objective first, then all test metrics.
        regret: ``{metric: (m,)}`` distance to the best mean in the table.
        ranks: Of the method's scores; None where it gave too few.
        ceiling: Of one training of the same cells, against the mean of the others; None where too few
            have several.
        reason: Why there are no ranks; empty where there are.
    """

    log: Trajectory
    seconds: _Floats
    cells: NDArray[np.uint8]
    values: dict[str, _Floats]
    regret: dict[str, _Floats]
    ranks: Ranks | None
    ceiling: Ranks | None
    reason: str


def score_trajectories(paths: Sequence[str | Path], bench: Benchmark) -> list[Scored]:
    """Return the runs of one method, one a file, looked up in a table.

    Raises:
        LogError: A file breaks a rule, or names a cell that the table does not hold; the message names
            file and line.
        InvalidArgumentError: No file, one twice, or a benchmark that trains when it is asked.
    """
    files = [Path(path) for path in paths]
    if not files or len({file.resolve() for file in files}) < len(files):
        raise InvalidArgumentError(
            f"Expected different logs, one for each run; got {', '.join(map(str, files)) or 'none'}."
        )
    if bench.stateful:
        raise InvalidArgumentError(f"{bench.name} trains when it is asked. Score against a table.")
    what, best = reported(bench, Protocol()), best_values(bench)
    return [_scored(read_trajectory(file, bench.space), bench, what, best) for file in files]


def best_values(bench: Benchmark) -> dict[str, float]:
    """Return the best mean in the table of the objective and of each test metric."""
    found = {}
    for one in reported(bench, Protocol()):
        values = _values(one, bench.measured())
        found[one.name] = float(
            np.nanmax(values) if one.metric.direction == "max" else np.nanmin(values)
        )
    return found


def _values(what: Reported, cells: NDArray[np.uint8]) -> _Floats:
    return final_values(what, Protocol(), cells, np.empty(0, np.int64))


def _holds(bench: Benchmark, cell: Architecture) -> bool:
    try:
        return math.isfinite(bench.query(cell))
    except MissingValueError:
        return False


def _scored(
    log: Trajectory, bench: Benchmark, what: list[Reported], best: dict[str, float]
) -> Scored:
    objective = what[0]
    for line, cell in zip(log.lines.tolist(), map(tuple, log.cells.tolist()), strict=True):
        if not _holds(bench, cell):
            raise LogError(
                f"{log.path}:{line}: {bench.name} holds no {objective.name} of {bench.space.format(cell)}. "
                "Expected cells that were measured; leave others out, or score against another table."
            )
    values = {one.name: _values(one, log.cells) for one in what}
    # Below 0 where the best is only that of a sample, in a space that is too large to list.
    regret = {
        one.name: one.metric.score(1.0) * (best[one.name] - values[one.name][log.chosen])
        for one in what
    }
    ranks, ceiling, reason = _ranked(
        log, bench, objective.metric.score(1.0) * values[objective.name]
    )
    return Scored(
        log=log,
        seconds=log.seconds[log.chosen],
        cells=log.cells[log.chosen],
        values={name: found[log.chosen] for name, found in values.items()},
        regret=regret,
        ranks=ranks,
        ceiling=ceiling,
        reason=reason,
    )


def _ranked(
    log: Trajectory, bench: Benchmark, worth: _Floats
) -> tuple[Ranks | None, Ranks | None, str]:
    """Return the ranks of the scores, those of one training, and why there are none; ``worth``: greater is better."""
    last: dict[bytes, int] = {}  # a cell that was scored again counts with its newest score
    for place in np.flatnonzero(np.isfinite(log.scores)).tolist():
        last[bytes(log.cells[place])] = place
    rows = np.array(sorted(last.values()), np.intp)
    if len(rows) < _LEAST:
        return None, None, f"it scores {len(rows)} different cells; {_LEAST} are needed"
    if np.ptp(log.scores[rows]) == 0:
        return None, None, "all its scores are the same"
    ranks = _ranks(log.scores[rows], worth[rows])
    if bench.predicts:
        return ranks, None, ""
    trainings = seed_table(bench, log.cells[rows])[1] * bench.objective.score(1.0)
    trainings = trainings[np.isfinite(trainings).sum(axis=1) > 1]
    if len(trainings) < _LEAST:
        return ranks, None, ""
    first = np.isfinite(trainings).argmax(axis=1)[:, None]
    one = np.take_along_axis(trainings, first, axis=1)[:, 0]
    np.put_along_axis(trainings, first, np.nan, axis=1)
    return ranks, _ranks(one, np.nanmean(trainings, axis=1)), ""


def _ranks(score: _Floats, worth: _Floats) -> Ranks:
    n = len(score)
    precision = []
    for k in (k for k in TOP if 2 * k <= n):
        share = precision_at(score, worth, k)
        low, high = proportion_interval(round(share * k), k)
        precision.append(Precision(k, share, low, high, k / n))
    return Ranks(
        n=n,
        tau=(kendall_tau(score, worth), *kendall_interval(score, worth)),
        rho=(spearman_rho(score, worth), *spearman_interval(score, worth)),
        tau_top=tau_in_top(score, worth) if n >= 10 * _LEAST else math.nan,
        precision=precision,
    )


def trajectory_record(bench: Benchmark, runs: Sequence[Scored]) -> dict[str, Any]:
    """Return what was found as plain data; what is not known is None."""
    best = best_values(bench)
    return {
        "format": "nasbench_tab trajectory",
        "version": 1,
        "clock": "elapsed real seconds of the method, as logged",
        "benchmark": {
            "name": bench.name,
            "hash": bench.fingerprint,
            "objective": bench.objective._asdict(),
            "best": best,
        },
        "runs": [
            {
                "file": run.log.path.name,
                "choices": len(run.seconds),
                "seconds": float(run.seconds[-1]),
                "cell": bench.space.format(tuple(run.cells[-1].tolist())),
                "value": {name: _plain(found[-1]) for name, found in run.values.items()},
                "regret": {name: _plain(found[-1]) for name, found in run.regret.items()},
                "score": None if run.ranks is None else _plain(run.ranks),
                "one_training": None if run.ceiling is None else _plain(run.ceiling),
                "reason": run.reason,
            }
            for run in runs
        ],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: _plain(part) for key, part in value._asdict().items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value
