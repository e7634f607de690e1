"""Can a benchmark's finding be believed? Is it real, does it matter, and how lucky are the winners?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Protocol
from nasbench_tab.report.summary import BOOTSTRAP_SEED, Searched, Summary, weights
from nasbench_tab.search.atoms import seed_table
from nasbench_tab.search.final import reported
from nasbench_tab.search.optimism import Optimism, apart, optimism
from nasbench_tab.search.results import Results
from nasbench_tab.stats.verdict import (
    NoisyDifference,
    SeedNoise,
    Verdict,
    seed_noise,
    verdict,
    with_table_noise,
)

__all__ = ["Belief", "Gap", "believe"]

_Floats = NDArray[np.float64]


class Gap(NamedTuple):
    """How much less regret the leader has than one other strategy.

    Attributes:
        other: The other strategy.
        verdict: Is the gap real, does it matter.
        noisy: The gap with an interval that holds the table's own noise too; None where the table
            has one training a cell, or final values are no means of it.
    """

    other: str
    verdict: Verdict
    noisy: NoisyDifference | None


class Belief(NamedTuple):
    """What can be believed of one benchmark's part of a comparison.

    Attributes:
        random: The leader against random search; None where that took no part or leads itself.
        runner_up: The leader against the next one; None where there is none.
        noise: Noise between training seeds, of the cells in which the strategies ended and of the
            training that is reported; None where the table is not at hand.
        optimism: The winner's curse of each strategy; empty where the table is not at hand.
    """

    random: Gap | None
    runner_up: Gap | None
    noise: SeedNoise | None
    optimism: list[Optimism]


def believe(results: Results, summary: Summary) -> Belief:
    """Return what can be believed of one benchmark's part of a comparison."""
    bench, protocol = summary.background.bench, results.protocol
    # The search may have been on another training of the table than the one that is reported.
    own = protocol._replace(report=())
    ends = None if bench is None else _Ends(reported(bench, own)[0].bench, summary)
    noise = None if ends is None else seed_noise(ends.trainings)
    if noise is not None and protocol.final == "seen":  # one training is reported, no mean
        noise = noise._replace(rope=float(noise.sd.estimate))
    if not _reports_means(protocol):
        ends = None
    by_label = {searched.label: searched for searched in summary.searched}

    def gap(other: str | None) -> Gap | None:
        if other is None or summary.leader is None or other == summary.leader:
            return None
        one, two = by_label[other], by_label[summary.leader]
        rope = np.nan if noise is None else noise.rope
        found = verdict(one.regret, two.regret, rope, weights(len(one.regret)))
        return Gap(other, found, None if ends is None else ends.noisy(one, two, noise))

    return Belief(
        random=gap(summary.random),
        runner_up=gap(summary.runner_up),
        noise=noise,
        optimism=[]
        if bench is None
        else [optimism(results, summary.name, label, bench) for label in results.strategies],
    )


def _reports_means(protocol: Protocol) -> bool:
    """Return whether a run's value is the mean over the trainings of one cell."""
    rule = (protocol.final, protocol.final_epoch)
    return rule == ("mean", "last") and protocol.overshoot != "interpolate"


class _Ends:
    """The networks in which any run ended, and all their trainings."""

    def __init__(self, bench: Benchmark, summary: Summary) -> None:
        known = [s.trials.architectures[s.last[s.known]] for s in summary.searched]
        cells = np.concatenate(known) if known else np.empty((0, 0), np.uint8)
        unique, numbers = np.unique(cells, axis=0, return_inverse=True)
        numbers = numbers.reshape(-1)
        self.trainings: _Floats = np.empty((0, 0))
        if len(unique):
            trainings = seed_table(bench, unique)[1]
            first, which = apart(bench, unique, trainings)
            self.trainings, numbers = trainings[first], which[numbers]
        self._number = np.split(numbers, np.cumsum([len(part) for part in known])[:-1])
        self._of = {s.label: i for i, s in enumerate(summary.searched)}
        present = np.isfinite(self.trainings)
        self._seeds = present.sum(axis=1)
        # Signed as regret is: less is better.
        sign = -1.0 if summary.metric.direction == "max" else 1.0
        self._regret = sign * np.ma.masked_invalid(self.trainings).mean(axis=1).filled(np.nan)

    def noisy(
        self, first: Searched, second: Searched, noise: SeedNoise | None
    ) -> NoisyDifference | None:
        """Return the mean of ``first - second`` in regret, with the table's noise in its interval."""
        if noise is None or np.isnan(noise.rope):
            return None
        ours, theirs = (self._cells(searched) for searched in (first, second))
        both = (ours >= 0) & (theirs >= 0)
        try:
            return with_table_noise(
                ours[both],
                theirs[both],
                self._regret,
                self._seeds,
                float(noise.sd.estimate),
                weights(int(both.sum())),
                np.random.default_rng(BOOTSTRAP_SEED),
            )
        except InvalidArgumentError:  # no run, or a cell without any training
            return None

    def _cells(self, searched: Searched) -> NDArray[np.int64]:
        """Return ``(R,)`` the number of the network in which each run ended; -1: it has none."""
        cells = np.full(len(searched.last), -1, np.int64)
        cells[searched.known] = self._number[self._of[searched.label]]
        return cells
