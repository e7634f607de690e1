"""REINFORCE on independent categorical distributions, one for each position of a cell.

The controller of the NATS-Bench scripts (Dong et al., TPAMI 2021), after Williams, "Simple
statistical gradient-following algorithms for connectionist reinforcement learning", 1992: logits
that start near zero, one sample a step, Adam, and a moving average of the rewards as baseline.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import StrategyError
from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.strategies.base import real

__all__ = ["Reinforce"]

_TRIES = 200_000  # draws until one is an architecture; seconds
_DECAY1, _DECAY2, _EPSILON = 0.9, 0.999, 1e-8  # Adam's published constants


class Reinforce:
    """Policy gradient with a moving-average baseline.

    Args:
        problem: Where to search.
        rng: The run's generator.
        learning_rate: Adam's step size (0.01 in NATS-Bench; 0.5 in the older NAS-Bench-201 code).
        momentum: Of the moving average of the rewards; it takes in a reward before that reward's
            advantage is formed, and is corrected for its start at zero.
        initial_scale: Standard deviation of the initial logits.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        initial_scale: float = 1e-3,
    ) -> None:
        self._space, self._rng = problem.space, rng
        self._rate = real("reinforce", "learning_rate", learning_rate, least=1e-12, below=math.inf)
        self._momentum = real("reinforce", "momentum", momentum, least=0, below=1)
        scale = real("reinforce", "initial_scale", initial_scale, least=0, below=math.inf)
        choices = np.array(problem.space.choices)
        shape = (len(choices), int(choices.max()))
        self._rows = np.arange(shape[0])
        self._logits = rng.normal(0.0, scale, shape)
        # Positions with fewer options are padded with options of probability zero.
        self._logits[np.arange(shape[1]) >= choices[:, None]] = -np.inf
        self._mean, self._square = np.zeros(shape), np.zeros(shape)
        self._average, self._weight, self._steps = 0.0, 0.0, 0
        self._softmax()

    def ask(self, n: int) -> list[Proposal]:
        """Return ``n`` samples of the policy."""
        return [Proposal(self._sample()) for _ in range(n)]

    def tell(self, observations: Sequence[Observation]) -> None:
        """Make one gradient step for each evaluated sample."""
        for observation in observations:
            if observation.score > float("-inf"):
                self._learn(observation.architecture, observation.score)

    def _sample(self) -> Architecture:
        for _ in range(_TRIES):
            draws = self._rng.random(len(self._cumulative)).tolist()
            cell = tuple(map(bisect_right, self._cumulative, draws))
            if self._space.contains(cell):
                return cell
        raise StrategyError(
            f"Of {_TRIES:,} draws of the policy none is an architecture of {self._space.name}: it draws each "
            "position by itself, and almost no such tuple is one there. Use a strategy that moves from cell "
            "to cell, evolution for example."
        )

    def _learn(self, cell: Architecture, reward: float) -> None:
        self._average = self._momentum * self._average + (1 - self._momentum) * reward
        self._weight = self._momentum * self._weight + (1 - self._momentum)
        advantage = reward - self._average / self._weight
        gradient = self._probabilities * advantage  # of minus advantage times log-likelihood
        gradient[self._rows, cell] -= advantage
        self._adam(gradient)
        self._softmax()

    def _adam(self, gradient: NDArray[np.float64]) -> None:
        """Step against ``gradient``.

        Both moments are kept without their constant factors, which enter ``scale`` and ``epsilon``:
        on arrays this small the number of calls is what takes the time.
        """
        self._steps += 1
        self._mean *= _DECAY1
        self._mean += gradient
        self._square *= _DECAY2
        gradient *= gradient
        self._square += gradient
        factor = self._rate * (1 - _DECAY1) / (1 - _DECAY1**self._steps)
        step = np.sqrt(self._square)
        step *= math.sqrt((1 - _DECAY2) / (1 - _DECAY2**self._steps)) / factor
        step += _EPSILON / factor
        np.divide(self._mean, step, out=step)
        self._logits -= step

    def _softmax(self) -> None:
        weights = self._logits - self._logits.max(axis=1, keepdims=True)
        np.exp(weights, out=weights)
        cumulative = weights.cumsum(axis=1)
        total = cumulative[:, -1:].copy()
        self._probabilities = np.divide(weights, total, out=weights)
        cumulative /= total  # so that the last is 1, above every draw
        self._cumulative = cumulative.tolist()
