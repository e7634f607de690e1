"""How far does the answer move with the protocol? One strategy under every published one that applies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.compare import compare
from nasbench_tab.search.presets import DEFAULT, PRESETS, fit, preset_named, settings_of
from nasbench_tab.stats.bootstrap import (
    MIN_RUNS,
    Interval,
    mean_interval,
    resampling_weights,
    widened_level,
)

__all__ = ["Answered", "sensitivity"]

_REPETITIONS, _SEED = 2000, 20240


class Answered(NamedTuple):
    """What one strategy reaches under one protocol; values in the objective's unit.

    Attributes:
        preset: The protocol's name.
        strategy: The strategy with the settings that it had.
        protocol: What was run; None where nothing was.
        changes: How that differs from the preset; where nothing was run, why.
        runs: Number of runs with an incumbent.
        evaluations: Mean number of evaluations of a run.
        distinct: Mean number of different cells.
        value: Mean final value of the incumbents, with its 95 % interval (NaN for fewer than 5 runs).
        shift: How much better (greater) that is than under the default protocol, paired by run.
    """

    preset: str
    strategy: str
    protocol: Protocol | None
    changes: tuple[str, ...]
    runs: int
    evaluations: float
    distinct: float
    value: Interval
    shift: Interval


def sensitivity(
    strategy: str,
    benchmark: str,
    out: str | Path,
    *,
    runs: int = 200,
    presets: Sequence[str] | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Answered]:
    """Run ``strategy`` on ``benchmark`` under every preset; return what each answers, the default first.

    A preset that the benchmark cannot honour is run in its nearest form, and the answer says what
    differs; one that has none there is answered with the reason.

    Args:
        strategy: A name; given bare, it takes each preset's settings.
        benchmark: A name.
        out: A directory; each preset's comparison lies in a folder of its name, and is finished if
            it was interrupted.
        runs: Runs under each preset.
        presets: Names; None = all.
        seed: Master seed.
        jobs: As in :func:`~nasbench_tab.search.compare.compare`.
        progress: Called with (preset, finished runs, all runs).

    Raises:
        UnknownNameError: No such strategy, benchmark or preset.
        ResultsError: ``out`` holds something else, or cannot be written.
    """
    wanted = list(PRESETS) if presets is None else [DEFAULT.name, *presets]
    chosen = [preset_named(name) for name in dict.fromkeys(wanted)]
    bench = load(benchmark)
    answers: list[Answered] = []
    scores: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    for preset in chosen:
        name, spec = preset.name, settings_of(preset, strategy)
        try:
            fitted = fit(preset, bench)
        except InvalidArgumentError as err:
            nothing = _estimate(np.empty(0))
            answers.append(
                Answered(name, spec, None, (str(err),), 0, np.nan, np.nan, nothing, nothing)
            )
            continue
        results = compare(
            [benchmark],
            [spec],
            runs=runs,
            out=Path(out) / name,
            preset=name,
            nearest=True,
            seed=seed,
            jobs=jobs,
            resume=True,
            progress=None
            if progress is None
            else lambda done, total, name=name: progress(name, done, total),  # type: ignore[misc]
        )
        frame, metric = results.frame(), results.objective(benchmark)
        values = frame[metric.name].to_numpy(np.float64)
        scores[name] = values if metric.direction == "max" else -values
        shift = scores[name] - scores[DEFAULT.name]
        answers.append(
            Answered(
                preset=name,
                strategy=results.strategies[0],
                protocol=fitted.protocol,
                changes=fitted.changes,
                runs=int(np.isfinite(values).sum()),
                evaluations=float(frame["evaluations"].mean()),
                distinct=float(frame["distinct"].mean()),
                value=_estimate(values),
                shift=_estimate(shift),
            )
        )
    return answers


def _estimate(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Interval:
    values = values[np.isfinite(values)]
    if len(values) < MIN_RUNS:
        mean = values.mean() if len(values) else np.nan
        return Interval(np.asarray(mean), np.asarray(np.nan), np.asarray(np.nan))
    weights = resampling_weights(len(values), _REPETITIONS, np.random.default_rng(_SEED))
    return mean_interval(values, weights, widened_level(len(values)))
