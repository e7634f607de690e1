"""Successive halving: train many cells briefly, keep the best part of them, train those longer.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
AISTATS 2016, after Karnin, Koren and Somekh, "Almost Optimal Exploration in Multi-Armed Bandits",
ICML 2013. A bracket is one pass from many briefly trained cells to few fully trained ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.spaces.base import Space
from nasbench_tab.strategies.base import whole

__all__ = ["Bracket", "SuccessiveHalving", "draws", "rung_epochs"]

_MISSES = 5  # brackets full of infeasible draws in a row, after which none is replaced any more


class SuccessiveHalving:
    """Brackets, one after the other; of each rung of a bracket the best ``1/eta`` go on.

    A rung is complete before the next one is proposed, so workers may have to wait; nobody waits for
    the last rung, after which the next bracket begins. Each rung keeps at least one cell, and a sole
    survivor goes on to the full training at once. Of equal scores the one that came in first wins.

    A cell that is told to be infeasible is replaced by another draw, unless five brackets full of draws
    were infeasible in a row: the bracket then goes on with what it has. What failed is proposed again. A cell
    drawn twice is trained twice; where the second answer is only the first once more (``"repeat"``), it counts
    once.

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
        if configurations is None:
            configurations = eta ** (len(self._epochs) - 1)
        self._size = whole(name, "configurations", configurations)
        self._draw = draws(problem.space, rng).__next__
        self._failed: list[Proposal] = []
        self._begin()

    def ask(self, n: int) -> list[Proposal]:
        """Return what is left of the current rung; it may be nothing while others are in training."""
        proposals, self._failed = self._failed[:n], self._failed[n:]
        while len(proposals) < n:
            proposal = self._bracket.next()
            if proposal is not None:
                proposals.append(proposal)
            elif self._bracket.over:
                self._begin()
            else:
                break
        return proposals

    def tell(self, observations: Sequence[Observation]) -> None:
        """Note the scores of the current rung; those of the last rung decide nothing."""
        for observation in observations:
            if observation.status == "failed":
                self._failed.append(Proposal(*observation[:2]))
            elif observation.epoch != self._epochs[-1]:
                self._bracket.tell(observation)

    def _begin(self) -> None:
        self._bracket = Bracket(self._epochs, self._size, self._eta, self._draw)


class Bracket:
    """One pass from many briefly trained cells to few fully trained ones; Hyperband's too.

    Args:
        epochs: Of the rungs, ascending; the last is the full training.
        size: Cells of the first rung.
        eta: One in so many goes on.
        draw: Gives the cells of the first rung.

    Attributes:
        rung: The number of the current one.
        over: Whether there is nothing left to propose.
    """

    def __init__(
        self, epochs: Sequence[int], size: int, eta: int, draw: Callable[[], Architecture]
    ) -> None:
        self._epochs, self._eta, self._draw = epochs, eta, draw
        self._last = len(epochs) - 1
        self.rung, self.over = 0, False
        self._fresh, self._training = size, 0
        self._misses, self._most = 0, _MISSES * size  # infeasible draws in a row
        self._survivors: list[Architecture] = []  # to be proposed at this rung, the worst first
        self._clear()

    def next(self) -> Proposal | None:
        """Return the next proposal; None while others are in training, and when it is over."""
        while not self.over:
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
            if self.rung < self._last:
                self._training += 1
            return Proposal(cell, self._epochs[self.rung])
        return None

    def tell(self, observation: Observation) -> None:
        """Note the score of a proposal of any rung but the last."""
        cell, _, score, _, status = observation
        self._training -= 1
        if self.rung == 0:
            self._misses = self._misses + 1 if status == "infeasible" else 0
        if status == "infeasible":
            # There may be fewer cells left than places: a rung that waits for them would never end.
            self._fresh += self.rung == 0 and self._misses <= self._most
        elif status != "repeat" or cell not in self._seen:
            self._seen.add(cell)
            self._finished.append((score, cell))

    def _clear(self) -> None:
        self._finished: list[tuple[float, Architecture]] = []
        self._seen: set[Architecture] = set()

    def _advance(self) -> None:
        """Go to the next rung; where there is none, it is over."""
        if not self._finished:
            self.over = True
            return
        ranked = sorted(self._finished, key=lambda entry: entry[0], reverse=True)  # keeps ties
        kept = ranked[: max(1, len(ranked) // self._eta)]
        self._survivors = [cell for _, cell in reversed(kept)]
        self.rung = self.rung + 1 if len(kept) > 1 else self._last
        self._clear()


def rung_epochs(strategy: str, epochs: Sequence[int], least: int, eta: int) -> list[int]:
    """Return the epochs of the rungs: ``least``, ``least * eta``, ... and the last of ``epochs``.

    Each is rounded up to the next of ``epochs``, since ``least`` is the least that may be trained, and
    rungs that then coincide are one.

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
