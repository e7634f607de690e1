"""Proximal policy optimization on the policy of REINFORCE: a logit for each option of each position.

Schulman, Wolski, Dhariwal, Radford and Klimov, "Proximal Policy Optimization Algorithms", 2017, the
clipped objective. Zoph, Vasudevan, Shlens and Le, "Learning Transferable Architectures for Scalable
Image Recognition", CVPR 2018, searched with it, with a recurrent controller and batches of 20.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.strategies.base import real, whole
from nasbench_tab.strategies.reinforce import Reinforce

__all__ = ["Ppo"]


class Ppo(Reinforce):
    """Sample a batch, then several gradient steps on it, none far from the policy that it came from.

    Advantages are rewards less the batch's mean, over its standard deviation; they say nothing where all
    rewards of a batch are alike. A sample that comes back after the policy has moved on (several workers)
    counts with the probability that it was sampled with.

    Args:
        problem: Where to search.
        rng: The run's generator.
        learning_rate: Adam's step size; the paper's is 3e-4 for networks of many weights.
        batch: Evaluations between two updates (20 in Zoph et al.).
        epochs: Gradient steps on each batch (10 in the paper's experiments on control).
        clip: How far the ratio of probabilities may leave 1 before it earns nothing more (0.2 in both
            papers).
        entropy: Weight of the policy's entropy, summed over positions (0.01 in the paper's experiments
            on games, 1e-5 in Zoph et al.).
        initial_scale: Standard deviation of the initial logits.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        learning_rate: float = 0.05,
        batch: int = 10,
        epochs: int = 10,
        clip: float = 0.2,
        entropy: float = 0.01,
        initial_scale: float = 1e-3,
    ) -> None:
        rate = real("ppo", "learning_rate", learning_rate, least=1e-12, below=math.inf)
        scale = real("ppo", "initial_scale", initial_scale, least=0, below=math.inf)
        super().__init__(problem, rng, learning_rate=rate, initial_scale=scale)
        self._batch, self._epochs = (
            whole("ppo", "batch", batch, least=2),
            whole("ppo", "epochs", epochs),
        )
        self._clip = real("ppo", "clip", clip, least=1e-12, below=math.inf)
        self._entropy = real("ppo", "entropy", entropy, least=0, below=math.inf)
        self._known: list[tuple[Architecture, float, float]] = []  # cell, log-probability, reward
        # What is being evaluated was sampled with these; the same cell may be, more than once.
        self._sampled: defaultdict[Architecture, deque[float]] = defaultdict(deque)

    def ask(self, n: int) -> list[Proposal]:
        """Return ``n`` samples of the policy."""
        proposals = super().ask(n)
        for cell, _ in proposals:
            self._sampled[cell].append(float(self._log_probability(np.array([cell]))[0]))
        return proposals

    def tell(self, observations: Sequence[Observation]) -> None:
        """Update the policy whenever a batch is complete; what is infeasible counts for nothing."""
        for observation in observations:
            cell, waiting = observation.architecture, self._sampled[observation.architecture]
            # A sample that was answered without being asked for is as likely as it is now.
            before = (
                waiting.popleft() if waiting else float(self._log_probability(np.array([cell]))[0])
            )
            if not waiting:
                del self._sampled[cell]
            if observation.score > -math.inf:
                self._known.append((cell, before, observation.score))
            if len(self._known) == self._batch:
                self._update()
                self._known = []

    def _update(self) -> None:
        parts = zip(*self._known, strict=True)
        cells, before, rewards = (np.array(part) for part in parts)
        spread = float(rewards.std())
        advantages = (rewards - rewards.mean()) / spread if spread > 0 else np.zeros(len(rewards))
        for _ in range(self._epochs):
            self._adam(self._gradient(cells, before, advantages))
            self._softmax()

    def _gradient(
        self, cells: NDArray[np.int64], before: NDArray[np.float64], advantages: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the slope of minus the objective by the logits.

        The objective is the mean over ``(n,)`` samples of the lesser of ratio times advantage and clipped
        ratio times advantage, plus the entropy.
        """
        ratio = np.exp(self._log_probability(cells) - before)
        # Beyond the clip, on the side to which the advantage pulls, the objective is flat.
        flat = np.where(advantages > 0, ratio > 1 + self._clip, ratio < 1 - self._clip)
        weight = np.where(flat, 0.0, ratio * advantages) / len(cells)
        slope: NDArray[np.float64] = self._probabilities * weight.sum()
        np.subtract.at(slope, (self._rows, cells), weight[:, None])
        log = np.log(np.maximum(self._probabilities, 1e-300))
        mean = (self._probabilities * log).sum(axis=1, keepdims=True)
        slope += self._entropy * self._probabilities * (log - mean)
        return slope

    def _log_probability(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return ``(n,)``: of cells, as the product over positions; the space's rule is left out."""
        return np.asarray(np.log(self._probabilities[self._rows, cells]).sum(axis=1))
