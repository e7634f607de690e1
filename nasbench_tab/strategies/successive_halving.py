"""Successive halving: train many cells briefly, keep the best part of them, train those longer.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
AISTATS 2016, after Karnin, Koren and Somekh, "Almost Optimal Exploration in Multi-Armed Bandits",
ICML 2013. A bracket is one pass from many briefly trained cells to few fully trained ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.spaces.base import Space
from nasbench_tab.strategies.base import whole

__all__ = ["SuccessiveHalving", "draws", "rung_epochs"]


class SuccessiveHalving:
    """Brackets, one after the other; of each rung of a bracket the best ``1/eta`` go on.

    A rung is complete before the next one is proposed, so workers may have to wait; nobody waits for
    the last rung, after which the next bracket begins. Each rung keeps at least one cell, and a sole
    survivor goes on to the full training at once. Of equal scores the one that came in first wins.

    A cell that is told to be infeasible is replaced by another draw. A cell drawn twice is trained
    twice; where the second answer is only the first once more (``"repeat"``), it counts once.

    Args:
        problem: Where to search.
        rng: The run's generator.
        eta: One in so many cells goes on to the next rung, and the epochs grow by this factor up to the last rung, the full training, which may come sooner (3:
            Li et al., "Hyperband", JMLR 2018).
        configurations: Cells in a bracket; None = just so many that one of them is trained fully,
            ``eta`` to the power of the number of rungs but one.
        least: Epochs of the first rung; see :func:`rung_epochs`.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        eta: int = 3,
        configurations: int | None = None,
        least: int = 1,
    ) -> None:
        name = "successive-halving"
        self._eta = whole(name, "eta", eta, least=2)
        self._epochs = rung_epochs(name, problem.epochs, least, eta)
        self._last = len(self._epochs) - 1
        if configurations is None:
            configurations = eta**self._last
        self._size = whole(name, "configurations", configurations)
        self._draw = draws(problem.space, rng).__next__
        self._begin()

    def ask(self, n: int) -> list[Proposal]:
        """Return what is left of the current rung; it may be nothing while others are in training."""
        proposals: list[Proposal] = []
        while len(proposals) < n:
            if self._fresh:
                self._fresh -= 1
                cell = self._draw()
            elif self._survivors:
                cell = self._survivors.pop()
            elif self._training:
                break
            else:
                self._advance()
                continue
            if self._rung < self._last:
                self._training += 1
            proposals.append(Proposal(cell, self._epochs[self._rung]))
        return proposals

    def tell(self, observations: Sequence[Observation]) -> None:
        """Note the scores of the current rung; those of the last rung decide nothing."""
        for cell, epoch, score, _, status in observations:
            if epoch == self._epochs[-1]:
                continue
            self._training -= 1
            if status == "infeasible":
                self._fresh += not self._rung
            elif status != "repeat" or cell not in self._seen:
                self._seen.add(cell)
                self._finished.append((score, cell))

    def _begin(self) -> None:
        """Start a bracket."""
        self._rung, self._fresh, self._training = 0, self._size, 0
        self._survivors: list[Architecture] = []  # to be proposed at this rung, the worst first
        self._clear()

    def _clear(self) -> None:
        self._finished: list[tuple[float, Architecture]] = []
        self._seen: set[Architecture] = set()

    def _advance(self) -> None:
        """Go to the next rung, or to the next bracket where there is none."""
        if not self._finished:
            self._begin()
            return
        ranked = sorted(self._finished, key=lambda entry: entry[0], reverse=True)  # keeps ties
        kept = ranked[: max(1, len(ranked) // self._eta)]
        self._survivors = [cell for _, cell in reversed(kept)]
        self._rung = self._rung + 1 if len(kept) > 1 else self._last
        self._clear()


def rung_epochs(strategy: str, epochs: Sequence[int], least: int, eta: int) -> list[int]:
    """Return the epochs of the rungs: ``least``, ``least * eta``, ... and the last of ``epochs``.

    Each is rounded up to the next of ``epochs``, and rungs that then coincide are one.

    Raises:
        InvalidArgumentError: ``least`` is no whole number, or beyond the last epoch.
    """
    level, full = whole(strategy, "least", least), epochs[-1]
    if level > full:
        raise InvalidArgumentError(
            f"{strategy} needs least to be at most {full}, the last epoch here; got {least!r}."
        )
    rungs = {full}
    while level < full:
        rungs.add(epochs[bisect_left(epochs, level)])
        level *= eta
    return sorted(rungs)


def draws(space: Space, rng: np.random.Generator, block: int = 64) -> Iterator[Architecture]:
    """Yield independent uniform cells, drawn in blocks, since a generator's call costs microseconds."""
    while True:
        yield from space.sample(rng, block)
