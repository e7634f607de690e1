"""Make the plan of a verification: all that can be known before anything is trained."""

from __future__ import annotations

import math
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from nasbench_tab import __version__
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError, ResultsError
from nasbench_tab.registry import load
from nasbench_tab.search.protocol import is_integer, searched_epochs
from nasbench_tab.search.results import Results, load_results
from nasbench_tab.stats.bias import MIN_CELLS, MIN_EFFECTIVE
from nasbench_tab.verify.choose import choose, used_seeds
from nasbench_tab.verify.plan import Plan
from nasbench_tab.verify.price import Power, power, price
from nasbench_tab.verify.task import find_task

__all__ = ["SEEDS", "TOP", "TRAJECTORY", "make_plan", "verified_benchmark"]

#: Where nothing is said: cells in each arm (two more than a verdict needs, since trainings may fail and some
#: cells win most runs), fresh trainings of each, and steps of each search that are drawn.
TOP, SEEDS, TRAJECTORY = MIN_CELLS + 2, 3, 3
_MOST = 1000


def make_plan(
    directory: Path,
    *,
    benchmark: str | None = None,
    top: int = TOP,
    seeds: int = SEEDS,
    margin: float | None = None,
    seed: int = 0,
    trajectory: int = TRAJECTORY,
) -> Plan:
    """Return the plan of a verification of the comparison in ``directory``; nothing is written.

    Args:
        directory: Results of a comparison.
        benchmark: One of its benchmarks; None = the only one.
        top: Distinct networks in each arm, and of each strategy's winners.
        seeds: Fresh trainings of each.
        margin: A bias below this does not matter in practice, in the objective's unit. None = half
            the deviation between training seeds: anyone who trains a cell once is mostly further off than
            that, and two cells that close change places from seed to seed.
        seed: Master seed of the random arms and of the training seeds.
        trajectory: Most incumbents of each strategy's first run before its final one, one training each.

    Raises:
        ResultsError: No finished comparison, or one made with other data than those at hand.
        UnknownNameError: No such benchmark in it.
        InvalidArgumentError: The benchmark has no recipe here, or an argument cannot mean anything.
    """
    for name, value, least in (("top", top, 1), ("seeds", seeds, 1), ("trajectory", trajectory, 0)):
        if not is_integer(value) or not least <= value <= _MOST:
            raise InvalidArgumentError(
                f"{name} must be a whole number from {least} to {_MOST}; got {value!r}."
            )
    if not is_integer(seed) or seed < 0:
        raise InvalidArgumentError(
            f"The master seed must be a whole number, 0 or more; got {seed!r}."
        )
    if margin is not None and not 0 < margin < math.inf:
        raise InvalidArgumentError(f"The margin must be a number above 0; got {margin!r}.")
    results = load_results(directory)
    bench = verified_benchmark(results, benchmark)
    found = find_task(bench)
    chosen = choose(results, bench.name, bench, found.same, top, seeds, seed, trajectory)
    able = power(bench, chosen.claims, seeds, results.protocol.seeds == "mean")
    if margin is None:
        margin = float(f"{able.seed_sd / 2:.2g}")
        if not margin > 0:
            raise InvalidArgumentError(
                f"{bench.name} does not say how far training seeds differ (no architecture was trained "
                "twice), so that there is no margin to take by default. Say which bias would not matter: "
                "--margin."
            )
    cost = price(bench, found.task, chosen.claims)
    return Plan(
        comparison=results.content_hash(),
        benchmark=bench.name,
        hash=bench.fingerprint,
        source=_source(bench),
        space=bench.space.name,
        task=found.task.name,
        dataset=found.task.dataset,
        split=found.split,
        recipe=found.recipe,
        canonical=found.task.canonical,
        same_recipe=found.same,
        objective=bench.objective.name,
        direction=bench.objective.direction,
        unit=bench.objective.unit,
        epoch=int(searched_epochs(bench, results.protocol)[-1]),
        margin=float(margin),
        seed_sd=able.seed_sd,
        residual_sd=able.residual_sd,
        smallest=able.smallest,
        trainings=cost.trainings,
        seconds_each=cost.seconds / cost.trainings if cost.trainings else math.nan,
        seconds=cost.seconds,
        price=cost.words,
        seed=int(seed),
        top=int(top),
        seeds_each=int(seeds),
        trajectory=int(trajectory),
        used_seeds=used_seeds(results, bench.name, bench),
        claims=tuple(
            claim._replace(seconds=seconds)
            for claim, seconds in zip(chosen.claims, cost.each, strict=True)
        ),
        notes=(*chosen.notes, *_hopeless(able)),
        versions=_versions(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def verified_benchmark(results: Results, name: str | None) -> Benchmark:
    """Return the benchmark that is verified.

    Raises:
        InvalidArgumentError: The comparison has several and none was named.
        UnknownNameError: It has no such benchmark.
        ResultsError: The data at hand are not those of the comparison.
    """
    if name is None:
        if len(results.benchmarks) > 1:
            raise InvalidArgumentError(
                f"{results.directory} compares on several benchmarks; one is verified at a time. Choose "
                f"--benchmark: {', '.join(results.benchmarks)}."
            )
        [name] = results.benchmarks
    known = results.benchmark(name)["hash"]
    bench = load(name, training=results.protocol.training)
    if bench.fingerprint != known:
        raise ResultsError(
            f"{results.directory} was made with another {name} ({known}) than the one at hand "
            f"({bench.fingerprint}). Compare again, or install those data."
        )
    return bench


def _hopeless(able: Power) -> list[str]:
    """Return the note that the winners cannot reach a verdict whatever they give, if that is so."""
    if able.cells >= MIN_CELLS and able.effective >= MIN_EFFECTIVE:
        return []
    worth = f", which by their runs are worth {able.effective:.1f}" if able.cells else ""
    note = (
        f"No verdict on the winners is possible: they are {able.cells} networks{worth}; it needs {MIN_CELLS} "
        f"that are worth {MIN_EFFECTIVE:.0f}. Raise --top, or compare with more runs."
    )
    return [note]


def _source(bench: Benchmark) -> str:
    if not bench.predicts:
        return "table"
    return "mixed" if bench.name.endswith("@mixed") else "surrogate"


def _versions() -> tuple[tuple[str, str], ...]:
    found = {"nasbench_tab": __version__, "python": platform.python_version()}
    for package in ("numpy", "torch"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return tuple(found.items())
