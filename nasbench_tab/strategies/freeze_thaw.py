"""Freeze-thaw: keep trainings paused, and thaw the one whose expected gain for its cost is the highest.

After Swersky, Snoek and Adams, "Freeze-Thaw Bayesian Optimization", arXiv 1406.3896, 2014. What a paused
training will come to is extrapolated, with the doubt about it, from the strategy's own trainings only:
theirs is a Gaussian process over cells and epochs, this is a line from each pause to the next.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.strategies.base import whole
from nasbench_tab.strategies.successive_halving import draws, rung_epochs

__all__ = ["FreezeThaw", "Line", "expected_gain", "fit_line"]

_Floats = NDArray[np.float64]

_LEAST = 5  # pairs behind a line, so that its doubt has a variance
_SLOPE_SD = 0.5
_GROWTH = 1.1  # of the number of first scores, after which a new one's worth is computed again


class FreezeThaw:
    """Trainings pause at the rungs; which goes on, or whether a new one begins, is decided each time.

    The rate of a paused training is the expected gain of its final score over the best one so far, for each
    second until its end. That of a new one is the mean of what it was for those begun so far at their first
    pause, for each second of a whole training. The highest rate is taken; a new one where no rate is higher.

    A score at the next pause is a line in the score at this one, fitted to all pairs seen, with normal errors.
    Means and variances are carried on from pause to pause. Since a training goes on for what was seen before
    the pause, and each line begins there, choosing does not bias the lines.

    A second is as the clock charges it: where trainings cannot be continued
    (``Protocol(resume="restart")``), going on is dear, and it pauses for nothing. Without times, epochs
    count.

    Infeasible cells are given up. What failed is proposed again. A cell drawn twice is trained twice; where
    the second answer is only the first once more (``"repeat"``), it is not counted.

    Args:
        problem: Where to search.
        rng: The run's generator.
        eta: Epochs grow by this factor from pause to pause (2: ours; Swersky et al. pause after each
            epoch).
        initial: The first so many trainings are not paused: what the lines are fitted to at first (5 at
            least).
        basket: Paused trainings that are kept at each pause, those with the best scores (10: as many old
            ones as Swersky et al. consider).
        least: Epochs of the first pause; see
            :func:`~nasbench_tab.strategies.successive_halving.rung_epochs`.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        eta: int = 2,
        initial: int = 5,
        basket: int = 10,
        least: int = 1,
    ) -> None:
        name = "freeze-thaw"
        self._epochs = rung_epochs(name, problem.epochs, least, whole(name, "eta", eta, least=2))
        self._last = len(self._epochs) - 1
        self._unpaused = whole(name, "initial", initial, least=_LEAST)  # still to begin
        self._room = whole(name, "basket", basket)
        self._draw = draws(problem.space, rng).__next__
        self._running: dict[tuple[Architecture, int], list[_Training]] = {}
        self._failed: list[Proposal] = []
        self._due: list[_Training] = []  # not to be paused
        self._paused: list[list[_Training]] = [[] for _ in self._epochs]  # ascending by score
        self._begun = 0
        self._best = -math.inf
        self._firsts: list[float] = []  # first scores
        self._pairs: list[tuple[list[float], list[float]]] = [([], []) for _ in self._epochs[1:]]
        # Seconds charged for each stretch, and those of the first stretch of the same trainings.
        self._charged, self._against = np.zeros(len(self._epochs)), np.zeros(len(self._epochs))
        self._thawed: _Training | None = None  # the choice, None = a new one
        self._stale, self._counted = True, 0

    def ask(self, n: int) -> list[Proposal]:
        """Return the first trainings, then what is worth the most at each time."""
        return [self._next() for _ in range(n)]

    def tell(self, observations: Sequence[Observation]) -> None:
        """Learn from the scores, and pause what is not finished."""
        for observation in observations:
            running = self._running.get(observation[:2])
            if observation.status == "failed":
                self._failed.append(Proposal(*observation[:2]))
            elif running:
                self._ended(running.pop(0), observation)

    def _next(self) -> Proposal:
        if self._failed:
            return self._failed.pop(0)
        if self._due:
            return self._trained(self._due.pop(0))
        if self._unpaused:
            self._unpaused -= 1
            return self._trained(self._new(through=True))
        if self._stale or len(self._firsts) > _GROWTH * self._counted:
            self._decide()
        training = self._thawed
        if training is None:
            return self._trained(self._new(through=False))
        self._paused[training.level].remove(training)
        self._stale = True
        return self._trained(training)

    def _new(self, *, through: bool) -> _Training:
        self._begun += 1
        return _Training(-math.inf, -self._begun, self._draw(), -1, 0.0, through)

    def _trained(self, training: _Training) -> Proposal:
        """Return the proposal to train up to the next pause."""
        proposal = Proposal(training.cell, self._epochs[training.level + 1])
        self._running.setdefault(proposal, []).append(training)  # type: ignore[arg-type]
        return proposal

    def _ended(self, training: _Training, observation: Observation) -> None:
        _, _, score, seconds, status = observation
        level = training.level + 1
        if status == "infeasible" or (status == "repeat" and not level):
            self._unpaused += training.through  # another one instead
            return
        if not seconds > 0:  # there are no times
            seconds = self._epochs[level] - (self._epochs[level - 1] if level else 0)
        first = training.first if level else seconds
        self._charged[level] += seconds
        self._against[level] += first
        if level:
            earlier, later = self._pairs[level - 1]
            earlier.append(training.score)
            later.append(score)
        else:
            self._firsts.append(score)
        training = training._replace(score=score, level=level, first=first)
        if level == self._last:
            self._best = max(self._best, score)
        elif training.through:
            self._due.append(training)
        else:
            kept = self._paused[level]
            insort(kept, training)
            if len(kept) > self._room and kept.pop(0) is training and not level:
                return  # nothing has changed but the number of first scores
        self._stale = True

    def _decide(self) -> None:
        """Choose what has the highest rate."""
        self._stale, self._counted, self._thawed = False, len(self._firsts), None
        if self._last == 0 or any(len(earlier) < _LEAST for earlier, _ in self._pairs):
            return
        lines = [fit_line(*map(np.array, pairs)) for pairs in self._pairs]
        # What is still to be paid after each pause, in multiples of the first stretch.
        stretches = self._charged[1:] / self._against[1:]
        left = np.append(np.cumsum(stretches[::-1])[::-1], 0.0)
        gains = expected_gain(lines, np.array(self._firsts), self._best)
        first = float(self._charged[0]) / len(self._firsts)
        most = float(gains.mean()) / (first + first * float(left[0]))
        for level, paused in enumerate(self._paused[:-1]):
            if paused:
                gains = expected_gain(
                    lines[level:], np.array([one.score for one in paused]), self._best
                )
                rates = gains / (np.array([one.first for one in paused]) * left[level])
                best = int(np.argmax(rates))
                if rates[best] > most:
                    most, self._thawed = float(rates[best]), paused[best]


class _Training(NamedTuple):
    """One training; of equal scores the one that began first is the better."""

    score: float
    number: int  # minus how many had begun
    cell: Architecture
    level: int  # the pause it is at, -1 before the first
    first: float  # seconds of its first stretch
    through: bool  # not to be paused


class Line(NamedTuple):
    """A score at the next pause: ``later + slope * (score - earlier)``, and the doubt about it.

    Attributes:
        earlier: Mean score at this pause.
        later: Mean score at the next one.
        slope: Of the line.
        variance: Of one score about the line.
        n: Pairs behind it.
        weight: What the slope is known by: ``variance / weight`` is its variance.
    """

    earlier: float
    later: float
    slope: float
    variance: float
    n: int
    weight: float


def fit_line(earlier: _Floats, later: _Floats) -> Line:
    """Fit a line to ``(n,)`` pairs of scores, five at least.

    Before a pair is seen the slope is 1 (differences between cells stay) with a deviation of a half, held
    against as much noise as there is about a line of slope 1; so few pairs, or pairs that are all alike, do
    not turn it round. It is never below zero. The variance is that of Student's law with ``n - 2`` degrees of
    freedom.
    """
    n = len(earlier)
    x, y = earlier - earlier.mean(), later - later.mean()
    prior = float(((y - x) ** 2).sum()) / (n - 1) / _SLOPE_SD**2
    weight = float((x**2).sum()) + prior
    slope = max(0.0, (float((x * y).sum()) + prior) / weight) if weight > 0 else 1.0
    variance = float(((y - slope * x) ** 2).sum()) / (n - 4)
    return Line(float(earlier.mean()), float(later.mean()), slope, variance, n, weight)


def expected_gain(lines: Sequence[Line], scores: _Floats, best: float) -> _Floats:
    """Return ``(n,)``: by how much each training is expected to end above ``best``, zero where below.

    Args:
        lines: From the pause of the ``scores`` to the end.
        scores: ``(n,)`` at that pause.
        best: The best final score so far.
    """
    from scipy.special import ndtr  # here, since SciPy is slow to import

    means, variances = scores, np.zeros_like(scores)
    for line in lines:
        off = means - line.earlier
        doubt = 1 / line.n + (off**2 / line.weight if line.weight > 0 else 0.0)
        variances = line.slope**2 * variances + line.variance * (1 + doubt)
        means = line.later + line.slope * off
    above, deviations = means - best, np.sqrt(variances)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = above / deviations
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    gains = above * ndtr(z) + deviations * density
    return np.where(deviations > 0, np.maximum(gains, 0.0), np.maximum(above, 0.0))
