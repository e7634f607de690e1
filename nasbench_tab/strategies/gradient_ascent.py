"""Gradient ascent through a predictor of relaxed cells.

After Luo, Tian, Qin, Chen and Liu, "Neural Architecture Optimization", NeurIPS 2018 (NAO): a
differentiable predictor is fitted on what was evaluated, and good cells are moved uphill on it. What is
moved here is the softmax over the operations of each position, the relaxation of Liu, Simonyan and Yang,
"DARTS: Differentiable Architecture Search", ICLR 2019, in place of NAO's learnt encoding, so that a cell
is read off by its largest weights and no decoder is needed.

The predictor is a mean of few small networks, which plain NumPy fits as fast as a framework would at
this size; its gradients are written out and tested against differences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.strategies.base import real, whole

__all__ = ["GradientAscent", "Networks"]

_Floats = NDArray[np.float64]

_DECAY1, _DECAY2, _EPSILON = 0.9, 0.999, 1e-8  # Adam's published constants
_START = 2.0  # logit of a cell's own operations when an ascent begins; the others have 0
_TRIES = (
    100  # draws before a cell that was proposed before is proposed again, or the space is listed
)
_BLOCK = 64  # draws at once where it is


class GradientAscent:
    """Fit, climb from the best cells, evaluate what the climbs came by, and again.

    Networks that were proposed before (:meth:`~nasbench_tab.spaces.base.Space.canonical`) are not proposed
    again while others can be found; where all of a space of known size were, nothing more is proposed.
    Where the climbs give too few, neighbors of the best cells fill up, then uniform draws.

    Args:
        problem: Where to search.
        rng: The run's generator.
        initial: Uniform draws before the first fit.
        batch: Cells that are proposed between two fits.
        parents: Best cells from which climbs begin, at each fit.
        steps: Gradient steps of a climb; the cell is read off after each.
        step_size: Of a climb, in logits: the length of a step for each position.
        members: Networks in the predictor.
        width: Hidden units of each.
        epochs: Gradient steps (Adam, on all observations) of the first fit; later fits go on from the last
            one with a quarter of it.
        learning_rate: Of these steps.
        decay: Weight decay in these steps.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        initial: int = 20,
        batch: int = 10,
        parents: int = 10,
        steps: int = 20,
        step_size: float = 0.5,
        members: int = 3,
        width: int = 32,
        epochs: int = 200,
        learning_rate: float = 0.01,
        decay: float = 0.01,
    ) -> None:
        name = "gradient-ascent"
        self._space, self._rng = problem.space, rng
        self._initial = whole(name, "initial", initial, least=2)
        self._batch, self._parents = whole(name, "batch", batch), whole(name, "parents", parents)
        self._steps = whole(name, "steps", steps)
        self._step = real(name, "step_size", step_size, least=1e-12, below=math.inf)
        self._epochs = whole(name, "epochs", epochs)
        choices = np.array(problem.space.choices)
        self._shape = (len(choices), int(choices.max()))
        self._exists = np.arange(self._shape[1]) < choices[:, None]
        self._model = Networks(
            math.prod(self._shape),
            whole(name, "width", width),
            whole(name, "members", members),
            rng,
            rate=real(name, "learning_rate", learning_rate, least=1e-12, below=math.inf),
            decay=real(name, "decay", decay, least=0, below=math.inf),
        )
        self._cells: list[Architecture] = []  # those with a score, and the scores
        self._scores: list[float] = []
        self._proposed: set[Architecture] = set()  # canonical
        self._sampled: set[Architecture] = set()  # all uniform draws, as they came
        self._queue: list[Architecture] = []
        self._fitted = 0  # observations behind the last fit
        self._drawn = 0

    def ask(self, n: int) -> list[Proposal]:
        """Return uniform draws first, then what climbs on the predictor came by."""
        proposals: list[Proposal] = []
        while len(proposals) < n:
            cell = self._next()
            if cell is None:
                break
            proposals.append(Proposal(cell))
        return proposals

    def tell(self, observations: Sequence[Observation]) -> None:
        """Keep the scores of what could be evaluated; an answer that is only a repeat counts once."""
        for observation in observations:
            if observation.status == "failed":
                self._queue.append(observation.architecture)
            elif observation.score > -math.inf and observation.status != "repeat":
                self._cells.append(observation.architecture)
                self._scores.append(observation.score)

    def _next(self) -> Architecture | None:
        if not self._queue:
            if self._drawn < self._initial or len(set(self._scores)) < 2:
                self._drawn += 1
                return self._fresh()
            self._queue = self._batch_of_new()[::-1]
        return self._queue.pop() if self._queue else None

    def _batch_of_new(self) -> list[Architecture]:
        """Return a whole batch, so that the next fit is that much later; fewer where no more are left."""
        if len(self._sampled) == self._space.size:
            return []
        chosen = self._climbed()
        while len(chosen) < self._batch:
            cell = self._fresh()
            if cell is None:
                break
            chosen.append(cell)
        return chosen

    def _fresh(self) -> Architecture | None:
        """Return a uniform draw of a network that was not proposed yet.

        If none can be found, any draw where the space has no known size, else None.
        """
        size = self._space.size
        if len(self._sampled) == size:
            return None
        for _ in range(_TRIES):
            [cell] = self._space.sample(self._rng, 1)
            self._sampled.add(cell)
            if self._claim(cell):
                return cell
        if size is None:
            return cell
        while len(self._sampled) < size:  # a draw of each cell is the proof that none is left
            for cell in self._space.sample(self._rng, _BLOCK):
                self._sampled.add(cell)
                if self._claim(cell):
                    return cell
        return None

    def _claim(self, cell: Architecture) -> bool:
        """Return whether a network was not proposed yet; from now on it was."""
        network = self._space.canonical(cell)
        if network in self._proposed:
            return False
        self._proposed.add(network)
        return True

    def _climbed(self) -> list[Architecture]:
        """Fit where new scores came in, climb, and return the best new cells, the best first."""
        if len(self._cells) > self._fitted:
            self._model.fit(
                self._one_hot(np.array(self._cells)),
                normal_scores(np.array(self._scores)),
                max(1, self._epochs // (4 if self._fitted else 1)),
            )
            self._fitted = len(self._cells)
        order = np.argsort(-np.array(self._scores), kind="stable")
        parents = list(dict.fromkeys(self._cells[i] for i in order.tolist()))[: self._parents]
        found = [tuple(cell) for step in self._ascents(parents) for cell in step.tolist()]
        near = [cell for parent in parents for cell in self._space.neighbors(parent)]
        chosen: list[Architecture] = []
        for part in (found, near):
            cells = [cell for cell in dict.fromkeys(part) if self._space.contains(cell)]
            if not cells:
                continue
            worth = self._model.predict(self._one_hot(np.array(cells)))
            for i in np.argsort(-worth, kind="stable").tolist():
                if len(chosen) == self._batch:
                    return chosen
                if self._claim(cells[i]):
                    chosen.append(cells[i])
        return chosen

    def _ascents(self, parents: list[Architecture]) -> list[NDArray[np.int64]]:
        """Return the cells of all climbs after each step, ``(parents, cell length)`` each."""
        logits = np.where(self._exists, _START * self._rows(np.array(parents)), -np.inf)
        steps = []
        for _ in range(self._steps):
            weights = np.exp(logits - logits.max(axis=2, keepdims=True))
            weights /= weights.sum(axis=2, keepdims=True)
            slope = self._model.slope(weights.reshape(len(parents), -1)).reshape(weights.shape)
            slope = weights * (slope - (weights * slope).sum(axis=2, keepdims=True))
            length = np.sqrt((slope**2).mean(axis=(1, 2), keepdims=True) * self._shape[1])
            logits = logits + self._step * slope / np.maximum(length, 1e-300)
            steps.append(logits.argmax(axis=2))
        return steps

    def _rows(self, cells: NDArray[np.int64]) -> _Floats:
        """Return ``(n, positions, operations)``: 1 where the cell has the operation."""
        return np.asarray(cells[:, :, None] == np.arange(self._shape[1]), np.float64)

    def _one_hot(self, cells: NDArray[np.int64]) -> _Floats:
        return self._rows(cells).reshape(len(cells), -1)


class Networks:
    """The mean of small networks with one hidden layer of tanh, fitted by Adam on squared error.

    Args:
        inputs: Length of an input.
        width: Hidden units.
        members: Networks; they differ in their first weights.
        rng: Of these.
        rate: Adam's step size.
        decay: Weight decay, apart from the gradient (AdamW).
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        members: int,
        rng: np.random.Generator,
        *,
        rate: float,
        decay: float,
    ) -> None:
        self._rate, self._decay, self._count = rate, decay, 0
        # Hidden weights and biases, output weights and biases: one array, so that Adam is one step.
        self._sizes = np.cumsum([0, inputs * width, width, width, 1])
        self._inputs, self._width = inputs, width
        self.weights = np.zeros((members, int(self._sizes[-1])))
        hidden, _, output, _ = self._parts(self.weights)
        hidden[...] = rng.normal(0, 1 / math.sqrt(inputs), hidden.shape)
        output[...] = rng.normal(0, 1 / math.sqrt(width), output.shape)
        self._mean, self._square = np.zeros_like(self.weights), np.zeros_like(self.weights)

    def fit(self, x: _Floats, y: _Floats, steps: int) -> None:
        """Make ``steps`` steps on ``x`` of shape ``(n, inputs)`` and ``y`` of shape ``(n,)``."""
        for _ in range(steps):
            gradient = self.gradient(x, y)
            self._count += 1
            self._mean += (1 - _DECAY1) * (gradient - self._mean)
            self._square += (1 - _DECAY2) * (gradient**2 - self._square)
            scale = self._rate / (1 - _DECAY1**self._count)
            spread = np.sqrt(self._square / (1 - _DECAY2**self._count)) + _EPSILON
            self.weights *= 1 - self._rate * self._decay
            self.weights -= scale * self._mean / spread

    def predict(self, x: _Floats) -> _Floats:
        """Return ``(n,)`` the mean over the networks."""
        return np.asarray(self._forward(x)[1].mean(axis=0))

    def gradient(self, x: _Floats, y: _Floats) -> _Floats:
        """Return the slope of half the mean squared error of each network, shaped as the weights are."""
        hidden, said = self._forward(x)
        off = (said - y) / len(x)
        out = np.empty_like(self.weights)
        _, _, output, _ = self._parts(self.weights)
        slopes = self._parts(out)
        back = off[:, :, None] * output[:, None, :] * (1 - hidden**2)
        np.matmul(x.T, back, out=slopes[0])
        slopes[1][...] = back.sum(axis=1)
        slopes[2][...] = (off[:, None, :] @ hidden)[:, 0]
        slopes[3][...] = off.sum(axis=1, keepdims=True)
        return out

    def slope(self, x: _Floats) -> _Floats:
        """Return ``(n, inputs)``: how the prediction moves with each input."""
        first, _, output, _ = self._parts(self.weights)
        hidden, _ = self._forward(x)
        back = output[:, None, :] * (1 - hidden**2)
        return np.asarray((back @ first.transpose(0, 2, 1)).mean(axis=0))

    def _forward(self, x: _Floats) -> tuple[_Floats, _Floats]:
        """Return hidden units ``(members, n, width)`` and outputs ``(members, n)``."""
        first, bias, output, shift = self._parts(self.weights)
        hidden = np.tanh(x @ first + bias[:, None, :])
        return hidden, (hidden @ output[:, :, None])[:, :, 0] + shift

    def _parts(self, flat: _Floats) -> tuple[_Floats, _Floats, _Floats, _Floats]:
        """Return views of hidden weights and biases and of output weights and biases."""
        a, b, c, d = self._sizes[1:].tolist()
        shape = (len(flat), self._inputs, self._width)
        return flat[:, :a].reshape(shape), flat[:, a:b], flat[:, b:c], flat[:, c:d]


def normal_scores(values: _Floats) -> _Floats:
    """Return the normal quantiles of the ranks: a few failed cells would drown the rest otherwise."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return np.asarray(ndtri((rankdata(values) - 0.5) / len(values)))
