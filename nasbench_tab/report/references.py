"""What stands beside the strategies and is none: oracle, random search's law, one random cell, landscape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError, MissingValueError
from nasbench_tab.records import Protocol
from nasbench_tab.report.curves import Panel
from nasbench_tab.report.summary import Summary
from nasbench_tab.report.words import number
from nasbench_tab.search.exact import Baseline, random_sampling, random_search_curve
from nasbench_tab.search.final import final_values, reported
from nasbench_tab.search.landscape import Landscape, landscape, neighbor_array
from nasbench_tab.search.optimism import random_search_optimism
from nasbench_tab.stats.exact import LEVELS

__all__ = ["ORACLE", "SAMPLING", "Luck", "Reference", "exact_luck", "landscapes", "references"]

#: Label of who knows the table and evaluates its best cell first: no search can do better.
ORACLE = "oracle, the best cell at once"
#: Label of one uniformly drawn cell.
SAMPLING = "random sampling, exact"
_LARGEST = 50_000  # cells; the neighbors of more take longer than the rest of a report
_QUARTILES = [LEVELS.index(level) for level in (0.25, 0.5, 0.75)]


class Reference(NamedTuple):
    """The law of a final value that no strategy of the comparison is behind, in the metric's unit.

    Attributes:
        label: What it is.
        mean: Expected value.
        sd: Standard deviation over runs.
        quartiles: The three quartiles.
        regret: Expected regret.
        tests: Expected value of each test metric, where it is known.
    """

    label: str
    mean: float
    sd: float
    quartiles: tuple[float, float, float]
    regret: float
    tests: dict[str, float]


class Luck(NamedTuple):
    """Expected optimism of random search at the end of a run, by its exact law; NaN: not known.

    Attributes:
        label: What it is.
        observed: Against the trainings of the winner that it was not chosen by.
        reported: How much of it is left in the value that is reported.
        left_out: Probability that the winner has no such training.
    """

    label: str
    observed: float
    reported: float
    left_out: float


def references(summary: Summary, protocol: Protocol, panel: Panel) -> list[Reference]:
    """Return the oracle, random search at the end of a run and one cell drawn at random, where known.

    Args:
        summary: The benchmark.
        protocol: How the search was simulated and scored.
        panel: The curves over evaluations, which hold the law of random search.
    """
    bench, base, found = summary.background.bench, panel.baseline, []
    tests = list(summary.about["test_metrics"])
    if bench is None:
        return []
    found.append(_oracle(summary, bench, protocol))
    if base is not None and panel.exact is not None:
        end = base.at[-1:].astype(np.int64)
        known = {test: _search(bench, protocol, end, test) for test in tests if base.is_exact}
        found.append(_reference(panel.exact.label, base, known))
    try:
        known = {test: _sampled(bench, protocol, test) for test in tests}
        found.append(_reference(SAMPLING, random_sampling(bench, protocol), known))
    except (InvalidArgumentError, MissingValueError):  # trainings, or a cell that has no value
        pass
    return found


def _oracle(summary: Summary, bench: Benchmark, protocol: Protocol) -> Reference:
    """Return what regret is measured against: the best mean within reach, from the first evaluation on."""
    best = float(summary.about["optimum"])
    cell = np.array([bench.space.parse(summary.about["optimum_architecture"])], np.uint8)
    means, none = protocol._replace(final="mean"), np.empty(0, np.int64)
    tests = {
        what.name: float(final_values(what, means, cell, none)[0])
        for what in reported(bench, protocol)[1:]
    }
    return Reference(ORACLE, best, 0.0, (best, best, best), 0.0, tests)


def _reference(label: str, base: Baseline, tests: dict[str, float]) -> Reference:
    first, median, third = (float(base.value.quantiles[-1, i]) for i in _QUARTILES)
    mean, sd, regret = (
        float(part[-1]) for part in (base.value.mean, base.value.sd, base.regret.mean)
    )
    return Reference(label, mean, sd, (first, median, third), regret, tests)


def _search(bench: Benchmark, protocol: Protocol, end: NDArray[np.int64], test: str) -> float:
    try:
        return float(random_search_curve(bench, protocol, end, test)[0])
    except MissingValueError:
        return float("nan")


def _sampled(bench: Benchmark, protocol: Protocol, test: str) -> float:
    try:
        return float(random_sampling(bench, protocol, test).value.mean[0])
    except MissingValueError:
        return float("nan")


def exact_luck(summary: Summary, protocol: Protocol, panel: Panel) -> Luck | None:
    """Return how lucky random search's winner is expected to be, where its exact law is known."""
    bench, base = summary.background.bench, panel.baseline
    if bench is None or base is None or not base.is_exact or panel.exact is None:
        return None
    if protocol.seeds == "mean":
        return None
    found = random_search_optimism(bench, protocol, base.at[-1:].astype(np.int64))
    observed, shown, left_out = (float(part[0]) for part in found[1:])
    return Luck(panel.exact.label, observed, shown, left_out)


def landscapes(summaries: Sequence[Summary], protocol: Protocol) -> list[str]:
    """Return a sentence on each benchmark's landscape, or nothing where local search sees another one.

    Only tables that hold all of a space of moderate size, and only where every cell is within reach.
    """
    near: dict[tuple[str, bytes], NDArray[np.intp]] = {}  # the same for all tables of one space
    texts = []
    for summary in summaries:
        bench = summary.background.bench
        size = None if bench is None else bench.space.size
        if bench is None or size is None or size > _LARGEST or protocol.limits or bench.stateful:
            texts.append("")
            continue
        final = reported(bench, protocol._replace(report=()))[0].bench
        cells = final.measured()
        if len(cells) < size:
            texts.append("")
            continue
        key = bench.space.name, cells.tobytes()
        if key not in near:
            near[key] = neighbor_array(bench.space, cells)
        try:
            texts.append(_sentence(landscape(final, near=near[key])))
        except MissingValueError:
            texts.append("")
    return texts


def _sentence(found: Landscape) -> str:
    count = found.strict + found.plateaus
    flat = f" ({found.plateaus:,} of them flat)" if found.plateaus else ""
    share = number(100 * found.success, 0 if found.success >= 0.1 else 2)
    return (
        f"Landscape of the means: {count:,} local optim{'um' if count == 1 else 'a'}{flat}; steepest "
        f"ascent from a random cell ends at the best one in {share}\u00a0% of cases; "
        f"{number(found.until_optimum, 0)} evaluations expected until it does, with restarts."
    )
