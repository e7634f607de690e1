"""Tune a strategy's settings on benchmarks that are not the ones it is compared on, and book the cost.

Every setting of a grid (or a random part of it) takes part in one comparison, so that tuning has the
same protocol, budget, table noise and files as any other: it resumes after a kill, and its report can
be read. The best setting is that with the least mean normalised regret, 0 for the optimum and 1 for
the expectation of one random sample. As the best of many it looks better than it is: what it is
worth shows on other benchmarks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError, unknown_name
from nasbench_tab.records import Protocol
from nasbench_tab.search.booking import write_tuning
from nasbench_tab.search.clocks import run_clocks
from nasbench_tab.search.compare import compare
from nasbench_tab.search.ledger import Amount, amount, few_runs_note
from nasbench_tab.search.protocol import is_integer
from nasbench_tab.search.results import Results
from nasbench_tab.search.specs import strategy_spec
from nasbench_tab.stats import aggregate
from nasbench_tab.strategies.base import StrategySpec

__all__ = ["Tried", "Tuning", "grid_of", "normalised_regret", "rank_settings", "tune"]

#: More settings than that are refused: a typing error more often than a plan.
MOST_SETTINGS = 1000
_Floats = NDArray[np.float64]


class Tried(NamedTuple):
    """One setting that was tried.

    Attributes:
        label: The strategy with these settings, as the comparison calls it.
        settings: The values that were varied.
        score: Mean normalised regret over runs and benchmarks.
        behind: ``score`` minus the best one's, paired by run.
        default: Whether these are the strategy's values as it was given.
    """

    label: str
    settings: dict[str, Any]
    score: Amount
    behind: Amount
    default: bool


class Tuning(NamedTuple):
    """What tuning found.

    Attributes:
        tried: All settings, the best first; those with runs that found nothing last.
        alike: How many others cannot be told apart from the best: the paired interval of the
            difference holds zero. None where there are too few runs for an interval.
        record: What was booked: evaluations, simulated seconds, processor seconds ...
        notes: What a reader must know.
    """

    tried: list[Tried]
    alike: int | None
    record: dict[str, Any]
    notes: list[str]

    @property
    def best(self) -> Tried:
        """Return the setting with the least mean normalised regret."""
        return self.tried[0]


def tune(
    strategy: str | StrategySpec | Callable[..., Any],
    over: Mapping[str, Sequence[Any]],
    benchmarks: Sequence[str],
    *,
    runs: int,
    out: str | Path,
    budget: int | None = None,
    protocol: Protocol | None = None,
    method: Literal["grid", "random"] = "grid",
    trials: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Tuning:
    """Run a strategy with many settings, say which is best and write what that cost to ``out``.

    Args:
        strategy: As in :func:`nasbench_tab.run_search`; settings that ``over`` does not name stay.
        over: The values to try of each setting.
        benchmarks: What to tune on; the final comparison must be on others.
        runs: Runs of each setting on each benchmark.
        out: As in :func:`nasbench_tab.compare`; ``out/tuning.json`` is written last.
        budget: As in :func:`nasbench_tab.compare`, like the remaining arguments.
        protocol: Likewise.
        method: ``"grid"``: every combination; ``"random"``: ``trials`` different ones, drawn with
            ``seed``.
        trials: Number of combinations for ``"random"``.
        seed: Master seed.
        jobs: Likewise.
        resume: Likewise.
        progress: Likewise.

    Raises:
        InvalidArgumentError: Settings that do not exist, have a wrong value or are given twice; nothing
            to choose from; arguments of a comparison that make no sense. Nothing was run.
        ResultsError: ``out`` holds something else, or cannot be written.
    """
    base = strategy_spec(strategy)
    specs = grid_of(base, over)
    if method not in ("grid", "random"):
        raise unknown_name("method of tuning", method, ["grid", "random"])
    if (method == "random") == (trials is None):
        raise InvalidArgumentError(
            "method='random' needs trials, the number of settings to draw."
            if trials is None
            else "trials belongs to method='random'; a grid is tried completely."
        )
    if trials is not None:
        specs = _drawn(specs, trials, seed)
    if len(specs) > MOST_SETTINGS:
        raise InvalidArgumentError(
            f"{len(specs)} settings are more than {MOST_SETTINGS}. Name fewer values, or draw some of "
            "them (method='random', trials=...)."
        )
    results = compare(
        benchmarks,
        specs,
        runs=runs,
        out=out,
        budget=budget,
        protocol=protocol,
        seed=seed,
        jobs=jobs,
        resume=resume,
        progress=progress,
    )
    tried, alike = rank_settings(results, base, list(over))
    record = {
        "strategy": base.label,
        "space": {name: _plain(values) for name, values in over.items()},
        "method": method,
        "settings_tried": len(specs),
        "benchmarks": list(benchmarks),
        "runs": int(runs),
        "budget": {name: getattr(results.protocol, name) for name in ("evaluations", "seconds")},
        **_cost(results),
        "directory": Path(out).as_posix(),
        "chosen": tried[0].label,
        "booked_on": None,
    }
    write_tuning(out, [record])
    return Tuning(tried, alike, record, [*few_runs_note(int(runs)), *_notes(tried, benchmarks)])


def grid_of(base: StrategySpec, over: Mapping[str, Sequence[Any]]) -> list[StrategySpec]:
    """Return a spec for every combination of values, the last setting varying fastest.

    Raises:
        InvalidArgumentError: A setting that the strategy does not have, no value, the same value
            twice, or fewer than two combinations.
    """
    name = base.label.partition("(")[0]
    if not base.settings:
        raise InvalidArgumentError(
            f"Strategy {name!r} takes no settings: there is nothing to tune."
        )
    if not isinstance(over, Mapping) or not over:
        raise InvalidArgumentError(
            f"Tuning needs settings and their values, for example {next(iter(base.settings))}=1,2. "
            f"{name} has: {', '.join(base.settings)}."
        )
    for setting, values in over.items():
        if setting not in base.settings:
            raise InvalidArgumentError(
                f"Strategy {name!r} has no setting {setting!r}. It has: {', '.join(base.settings)}."
            )
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise InvalidArgumentError(
                f"The values of {setting} must be a list of at least one; got {values!r}."
            )
        twice = [value for i, value in enumerate(values) if value in values[:i]]
        if twice:
            raise InvalidArgumentError(f"The value {setting}={twice[0]!r} is given twice.")
    size = math.prod(map(len, over.values()))
    if size < 2:
        raise InvalidArgumentError("There is one setting only: nothing to choose from.")
    if size > 100 * MOST_SETTINGS:
        raise InvalidArgumentError(f"{size} combinations are too many. Name fewer values.")
    return [
        StrategySpec.make(
            name, base.factory, {**base.settings, **dict(zip(over, values, strict=True))}
        )
        for values in itertools.product(*over.values())
    ]


def _drawn(specs: list[StrategySpec], trials: int, seed: int) -> list[StrategySpec]:
    if not (is_integer(trials) and 2 <= trials <= len(specs)):
        raise InvalidArgumentError(
            f"trials must be at least 2 and at most {len(specs)}, the number of combinations; "
            f"got {trials!r}."
        )
    if not (is_integer(seed) and seed >= 0):
        raise InvalidArgumentError(f"The master seed must be an integer, 0 or more; got {seed!r}.")
    drawn = np.random.default_rng(seed).choice(len(specs), trials, replace=False)
    return [specs[i] for i in sorted(drawn.tolist())]


def normalised_regret(results: Results) -> dict[str, _Floats]:
    """Return ``{strategy: (R, T)}``: regret of each run's last incumbent on each benchmark.

    0 is the optimum of the table, 1 the mean of the space, which is what one random sample is
    expected to give. NaN for a run without an incumbent.

    Raises:
        InvalidArgumentError: On some benchmark all architectures are equally good.
    """
    frame = results.frame()
    columns: dict[str, list[_Floats]] = {label: [] for label in results.strategies}
    for name in results.benchmarks:
        about = results.benchmark(name)
        scale = abs(about["optimum"] - about["mean"])
        if not scale > 0:
            raise InvalidArgumentError(
                f"All architectures of {name} are equally good, so regret has no scale there. "
                "Choose another benchmark."
            )
        here = frame[frame["benchmark"] == name]
        for label in results.strategies:
            regret = here.loc[here["strategy"] == label, "regret"].to_numpy(np.float64)
            columns[label].append(aggregate.normalised_regret(regret, 0.0, scale, "min"))
    return {label: np.stack(parts, axis=1) for label, parts in columns.items()}


def rank_settings(
    results: Results, base: StrategySpec, varied: Sequence[str]
) -> tuple[list[Tried], int | None]:
    """Return all settings of a tuning, the best first, and how many are not told apart from it.

    A run's score is its mean over the benchmarks. Only settings whose runs all found something can
    be the best: leaving out the runs that failed would reward failing.

    Raises:
        InvalidArgumentError: There is no such setting.
    """
    scores = {label: data.mean(axis=1) for label, data in normalised_regret(results).items()}
    whole = [label for label, data in scores.items() if np.isfinite(data).all()]
    if not whole:
        raise InvalidArgumentError(
            "With every setting some run ended without an incumbent. Give a larger budget."
        )
    best = min(whole, key=lambda label: float(scores[label].mean()))
    tried = []
    for label, data in scores.items():
        settings = results.strategy(label)["settings"]
        tried.append(
            Tried(
                label=label,
                settings={name: settings[name] for name in varied},
                score=amount(data),
                behind=amount(data - scores[best]),
                default=settings == base.settings,
            )
        )
    tried.sort(key=lambda one: (one.label not in whole, one.score.mean))
    others = [one.behind for one in tried if one.label in whole and one.label != best]
    if any(other.excludes_zero is None for other in others):
        return tried, None
    return tried, sum(not other.excludes_zero for other in others)


def _plain(values: Sequence[Any]) -> list[Any]:
    """Return values as Python's own, so that they can be written."""
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _cost(results: Results) -> dict[str, Any]:
    evaluations, seconds, cpu = 0, 0.0, 0.0
    for name in results.benchmarks:
        for label in results.strategies:
            trials = results.trials(name, label)
            evaluations += int(trials.lengths.sum())
            clocks = run_clocks(results, name, trials)
            seconds += float(clocks.search.seconds.sum())
            if results.protocol.validation != "none":  # then the protocol charges it
                seconds += float(clocks.validation.seconds.sum())
            cpu += float(trials.cpu_seconds.sum())
    simulated = seconds if math.isfinite(seconds) else None
    return {"evaluations": evaluations, "seconds": simulated, "cpu_seconds": cpu}


def _notes(tried: list[Tried], benchmarks: Sequence[str]) -> list[str]:
    named = ", ".join(benchmarks)
    notes = [
        f"Tuned on {named}. Compare on other benchmarks: on these, it would be tuned on its own test.",
        f"The best of {len(tried)} settings looks better here than it is.",
    ]
    failed = sum(bool(one.score.note) for one in tried)
    if failed:
        notes.append(f"{failed} settings had runs that found nothing; they cannot be the best.")
    return notes
