"""How far the winners' claims were off: a plan and the trainings it led to, and what they say.

The estimand and its statistics are in :mod:`nasbench_tab.stats.bias`. The winners of all strategies together
are the first question and are tested alone; each strategy, the benchmark's own best and the random cells
follow, corrected for each other by Holm's method.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.records import Direction
from nasbench_tab.search.results import load_results
from nasbench_tab.stats.bias import ArmBias, BiasVerdict, arm_bias, verdicts
from nasbench_tab.stats.cellmean import cell_gaps, cell_mean, interval
from nasbench_tab.stats.prediction import kendall_interval, kendall_tau
from nasbench_tab.stats.selection import (
    Covered,
    Excess,
    Matched,
    Regret,
    covered,
    level_matched,
    pick_regret,
)
from nasbench_tab.verify.cells import Cells, Pairs, known_differences, lane_cells, trained_network
from nasbench_tab.verify.expected import expected
from nasbench_tab.verify.make import verified_benchmark
from nasbench_tab.verify.plan import Plan, read_plan
from nasbench_tab.verify.run import retrained

__all__ = ["Bias", "CellBias", "Estimate", "Lane", "Step", "bias", "estimate"]

_Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A mean over ``n`` cells with its 95 % interval; NaN where there is none."""

    mean: float
    low: float
    high: float
    n: int


class CellBias(NamedTuple):
    """One network: what was claimed of it and what it gave.

    Attributes:
        text: Published string of the cell.
        claimed: The claim; of several runs the mean.
        runs: Runs that it won; 1 where it was not a winner.
        fresh: Value of each fresh training; NaN = failed or not trained yet.
        optimism: Claimed less mean of fresh, positive = optimistic; the drift is still in it.
    """

    text: str
    claimed: float
    runs: int
    fresh: tuple[float, ...]
    optimism: float


class Lane(NamedTuple):
    """One arm, or the winners of one strategy.

    Attributes:
        arm: ``"winners"``, ``"top"`` or ``"random"``.
        strategy: Label; ``""`` for the winners of all strategies together, and the other arms.
        bias: With interval and tests.
        verdict: After correction.
        covered: How often the claimed 90 % intervals of one training hold fresh ones.
        tau: Kendall's tau of claimed and real order; ``n`` = cells.
        regret: Of picking the best claim.
        unseen: Claimed less mean of those trainings in the table that the claim did not use: the bias
            without any retraining. Only where a table answered.
        expected: What choosing alone explains, from cells that no search chose; None = not known.
        matched: Against random cells of like claim, a diagnostic only; None for the random cells.
        cells: Each network.
    """

    arm: str
    strategy: str
    bias: ArmBias
    verdict: BiasVerdict
    covered: Covered
    tau: Estimate
    regret: Regret
    unseen: Estimate
    expected: Excess | None
    matched: Matched | None
    cells: tuple[CellBias, ...]


class Step(NamedTuple):
    """What the first run of a strategy held from one evaluation on: for a picture, it is in no test.

    Attributes:
        strategy: Label.
        run: Number of the run.
        since: After how many evaluations it became the incumbent.
        text: Published string of the cell.
        claimed: What the run observed.
        fresh: Value of each fresh training; NaN = failed or not trained yet. Those of the final
            incumbent are the winners', of an earlier one there is one.
    """

    strategy: str
    run: int
    since: int
    text: str
    claimed: float
    fresh: tuple[float, ...]


class Bias(NamedTuple):
    """What a verification found.

    Attributes:
        comparison: Content hash of the results.
        benchmark: Its name.
        objective: Metric.
        direction: Which way is better; every bias is positive where the claim was optimistic.
        unit: Of all values.
        margin: A bias below this does not matter, as the plan fixed it.
        smallest: Smallest bias that the plan expected to find.
        drift: Retrained less on record of the known cells, positive = retraining gives better values.
        identical: Known trainings that came out the same to the last bit.
        known: Known trainings with a value.
        lanes: Winners of all strategies first.
        trainings: Distinct trainings by outcome: ``ok``, ``diverged``, ``failed``, ``missing``.
        notes: What a reader has to know.
        trajectory: Claimed and real along a run of each strategy, the final incumbent last.
    """

    comparison: str
    benchmark: str
    objective: str
    direction: Direction
    unit: str
    margin: float
    smallest: float
    drift: Estimate
    identical: int
    known: int
    lanes: tuple[Lane, ...]
    trainings: dict[str, int]
    notes: tuple[str, ...]
    trajectory: tuple[Step, ...] = ()


def bias(directory: Path) -> Bias:
    """Return how far the claims of a comparison were off, by the trainings there are so far.

    Args:
        directory: A comparison with a plan of its verification.

    Raises:
        ResultsError: No plan, or other data at hand than those of the comparison.
        LogError: The run log is damaged.
    """
    plan = read_plan(directory)
    outcomes = retrained(directory, plan)
    pairs = list(zip(plan.claims, outcomes, strict=True))
    differences, identical = known_differences(pairs)
    cells = lane_cells(plan, pairs)
    found = {
        key: arm_bias(
            of.claimed, of.fresh, plan.direction, runs=of.runs, known=differences
        )._replace(failed=of.failed)
        for key, of in cells.items()
    }
    first = [key for key in found if key == ("winners", "")]
    rest = [key for key in found if key not in first]
    judged = {
        key: verdict
        for keys in (first, rest)
        for key, verdict in zip(
            keys, verdicts([found[key] for key in keys], plan.margin), strict=True
        )
    }
    results = load_results(directory)
    bench = verified_benchmark(results, plan.benchmark)
    explained, notes = expected(results, bench, plan)
    lanes = tuple(
        _lane(plan, key, of, found[key], judged[key], explained, cells.get(("random", "")))
        for key, of in cells.items()
    )
    return Bias(
        comparison=plan.comparison,
        benchmark=plan.benchmark,
        objective=plan.objective,
        direction=plan.direction,
        unit=plan.unit,
        margin=plan.margin,
        smallest=plan.smallest,
        drift=estimate((1 if plan.direction == "max" else -1) * _row_means(differences)),
        identical=identical,
        known=int(np.isfinite(differences).sum()),
        lanes=lanes,
        trainings=_counts(plan, pairs),
        notes=(*plan.notes, *notes),
        trajectory=_steps(pairs),
    )


def _steps(pairs: Pairs) -> tuple[Step, ...]:
    """Return the steps of each strategy's first run: its trajectory, and the network it ended in."""
    run = dict[
        str, int
    ]()  # the trajectory's; that of the first winner where there was only one incumbent
    for claim, _ in pairs:
        if claim.arm in ("winners", "trajectory"):
            run[claim.strategy] = min(run.get(claim.strategy, claim.runs[0]), claim.runs[0])
    found = [
        Step(
            claim.strategy,
            run[claim.strategy],
            since,
            claim.text,
            observed,
            tuple(one.value for one in outcomes),
        )
        for claim, outcomes in pairs
        if claim.strategy
        for number, since, observed in zip(claim.runs, claim.since, claim.observed, strict=True)
        if number == run[claim.strategy]
    ]
    order = list(run)
    return tuple(sorted(found, key=lambda step: (order.index(step.strategy), step.since)))


def _lane(
    plan: Plan,
    key: tuple[str, str],
    of: Cells,
    found: ArmBias,
    verdict: BiasVerdict,
    explained: dict[tuple[str, str], Excess],
    drawn: Cells | None,
) -> Lane:
    gaps = cell_gaps(of.claimed, of.fresh, plan.direction)
    real = of.claimed - gaps * (1 if plan.direction == "max" else -1)
    known = np.isfinite(real)
    low, high = kendall_interval(of.claimed[known], real[known])
    tau = Estimate(kendall_tau(of.claimed[known], real[known]), low, high, int(known.sum()))
    matched = None
    if key[0] != "random" and drawn is not None:
        other = cell_gaps(drawn.claimed, drawn.fresh, plan.direction)
        caliper = plan.seed_sd if plan.seed_sd > 0 else math.inf
        matched = level_matched(of.claimed, gaps, drawn.claimed, other, caliper)
    return Lane(
        *key,
        bias=found,
        verdict=verdict,
        covered=covered(of.lower, of.upper, of.fresh),
        tau=tau,
        regret=pick_regret(of.claimed, of.fresh, plan.direction),
        unseen=estimate(of.unseen, of.runs),
        expected=explained.get(key),
        matched=matched,
        cells=tuple(
            CellBias(text, claimed, int(runs), tuple(fresh), gap)
            for text, claimed, runs, fresh, gap in zip(
                *(of.texts, of.claimed.tolist(), of.runs.tolist(), of.fresh.tolist()),
                gaps.tolist(),
                strict=True,
            )
        ),
    )


def _row_means(table: _Floats) -> _Floats:
    return -cell_gaps(np.zeros(len(table)), table, "max")


def estimate(gaps: _Floats, weights: _Floats | float = 1.0) -> Estimate:
    """Return the mean of ``(n,)`` gaps with its interval; NaN gaps are left out."""
    n = int(np.isfinite(gaps).sum())
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = cell_mean(gaps, weights)
    low, high = interval(mean)
    return Estimate(float(mean.mean), float(low), float(high), n)


def _counts(plan: Plan, pairs: Pairs) -> dict[str, int]:
    """Return distinct trainings by outcome; a network in two arms is trained once."""
    status = {
        (trained_network(plan, claim), one.seed): one.status
        for claim, outcomes in pairs
        for one in outcomes
    }
    words = list(status.values())
    return {word: words.count(word) for word in ("ok", "diverged", "failed", "missing")}
