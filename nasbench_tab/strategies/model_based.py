"""What model-based strategies have in common: fit, rate candidates, propose the best of them.

A strategy says how a predictor is fitted (``_fit``) and, where it is not the usual, what its candidates are
(``_pool``) and what a prediction is worth (``_worth``). The rest is here, the same for all:

- The first proposals are uniform draws, until ``n_init`` scores are known.
- No network is proposed twice, whatever its spelling, not even while it is in training.
- The model learns from full trainings only; scores of lower epochs are left aside, and infeasible cells
  are remembered as proposed but teach nothing. What failed is proposed again.
- Candidates are rated at once and the best ``batch`` of them proposed, one after the other; the model is
  fitted anew for the next batch. Nobody waits: a worker that asks early gets a cell.
- Where every network was proposed, nothing more is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.records import Architecture, Observation, Problem, Proposal
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.strategies.base import whole
from nasbench_tab.strategies.successive_halving import draws

__all__ = [
    "Fitted",
    "ModelBased",
    "compressed",
    "expected_improvement",
    "has_graph",
    "one_hot",
    "unmasked",
]

_Floats = NDArray[np.float64]

# Draws without a network that is new, in a row, after which none is left: all are missed with a probability
# of exp(-25). Where the space does not say its size, after the second number.
_MISSES, _MISSES_UNSIZED = 25, 100_000
_PLACES = (
    9  # decimals of a standardised prediction that count: the last bits depend on BLAS' threads
)


class Fitted(NamedTuple):
    """A predictor at work.

    Attributes:
        predict: From ``n`` cells to the mean and the standard deviation of each, ``(n,)`` both.
        best: The best score that was observed, in the unit of the predictions.
    """

    predict: Callable[[list[Architecture]], tuple[_Floats, _Floats]]
    best: float


class ModelBased:
    """Ask and tell of a model-based strategy; see the module's docstring.

    Args:
        name: Of the strategy, for messages.
        problem: Where to search.
        rng: The run's generator.
        n_init: Scores that are known before the first model is fitted.
        batch: Cells proposed of each rating.
        pool: Candidates rated at once, where ``_pool`` is the one here.
        parents: Best cells that are mutated for it, each equally often.
    """

    def __init__(
        self,
        name: str,
        problem: Problem,
        rng: np.random.Generator,
        *,
        n_init: int,
        batch: int,
        pool: int = 200,
        parents: int = 10,
    ) -> None:
        self._space, self._rng, self._full = problem.space, rng, problem.epochs[-1]
        self._whole = unmasked(problem.space)
        self._pool_size = whole(name, "pool", pool, least=2)
        self._parents = whole(name, "parents", parents)
        self._n_init, self._batch = whole(name, "n_init", n_init), whole(name, "batch", batch)
        self._draw = draws(problem.space, rng).__next__
        self._seen: set[Architecture] = set()  # canonical: proposed, or told of
        self._scores: dict[Architecture, tuple[float, Architecture]] = {}  # canonical: score, cell
        self._queue: list[Architecture] = []  # rated and not yet proposed, the best last
        self._fitted: Fitted | None = None  # to all scores so far
        self._exhausted = False

    def ask(self, n: int) -> list[Proposal]:
        """Return the best rated candidates; fewer than ``n`` where all networks were proposed."""
        proposals: list[Proposal] = []
        while len(proposals) < n:
            if not self._queue:
                self._queue = self._next()[::-1]
                self._seen.update(map(self._space.canonical, self._queue))
            if not self._queue:
                break
            proposals.append(Proposal(self._queue.pop()))
        return proposals

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take note of the scores of full trainings; of two of one network, the first counts."""
        for cell, epoch, score, _, status in observations:
            if status == "failed":
                self._queue.append(cell)
                continue
            network = self._space.canonical(cell)
            self._seen.add(network)
            if epoch == self._full and math.isfinite(score) and network not in self._scores:
                self._scores[network] = (score, cell)
                self._fitted = None

    def _pool(self) -> list[Architecture]:
        """Return candidates, none of them seen; none if there is none of their kind.

        By default half of them are neighbors of the best cells, the others uniform draws.
        """
        half = self._pool_size // 2
        found = self._with_mutations({}, self._parents, math.ceil(half / self._parents), half)
        return list(self._with_draws(found, self._pool_size).values())

    def _fit(self) -> Fitted:
        """Return a predictor fitted to the scores."""
        raise NotImplementedError

    def _worth(self, mean: _Floats, sd: _Floats, best: float) -> _Floats:
        """Return what candidates are worth, ``(n,)``, greater first: by default their expected improvement."""
        return expected_improvement(mean, sd, best)

    def _next(self) -> list[Architecture]:
        """Return the next cells to propose, the best first."""
        if len(self._scores) >= self._n_init:
            pool = self._pool()
            if pool:
                return self._chosen(pool)
        return list(self._with_draws({}, 1).values())

    def _chosen(self, pool: list[Architecture]) -> list[Architecture]:
        """Return the candidates that are worth most; of equal ones, those that came first."""
        if self._fitted is None:
            self._fitted = self._fit()
        mean, sd = self._fitted.predict(pool)
        worth = self._worth(mean.round(_PLACES), sd.round(_PLACES), self._fitted.best)
        return [pool[i] for i in np.argsort(-worth, kind="stable")[: self._batch].tolist()]

    def _history(self) -> tuple[list[Architecture], _Floats]:
        """Return the cells whose score is known, and the scores ``(n,)``, in the order they came in."""
        scores, cells = zip(*self._scores.values(), strict=True)
        return list(cells), np.array(scores)

    def _with_mutations(
        self,
        found: dict[Architecture, Architecture],
        parents: int,
        each: int | None,
        wanted: int,
    ) -> dict[Architecture, Architecture]:
        """Add unseen neighbors of the best cells, in random order, the best cell's first.

        Args:
            found: Candidates so far, by canonical cell.
            parents: Cells to mutate.
            each: Most neighbors tried of one; None = all.
            wanted: Candidates at which it ends.
        """
        ranked = sorted(self._scores.values(), key=lambda known: known[0], reverse=True)
        for _, parent in ranked[:parents]:
            near = self._space.neighbors(parent)
            for i in self._rng.permutation(len(near))[:each].tolist():
                if len(found) >= wanted:
                    return found
                self._add(found, near[i])
        return found

    def _with_draws(
        self, found: dict[Architecture, Architecture], wanted: int
    ) -> dict[Architecture, Architecture]:
        """Add unseen uniform draws until there are ``wanted`` candidates, or hardly any more."""
        size, missed = self._space.size, 0
        last = _MISSES_UNSIZED if size is None else _MISSES * size
        while len(found) < wanted and not self._exhausted:
            missed = 0 if self._add(found, self._draw()) else missed + 1
            if missed >= min(last, 10 * wanted) and found:
                break  # enough to choose from; that no other is left is not worth finding out
            self._exhausted = missed >= last
        return found

    def _add(self, found: dict[Architecture, Architecture], cell: Architecture) -> bool:
        """Add a cell whose network was neither seen nor found."""
        network = self._space.canonical(cell)
        if network in self._seen or network in found:
            return False
        found[network] = cell
        return True


def expected_improvement(mean: _Floats, sd: _Floats, best: float) -> _Floats:
    """Return the logarithm of the expected improvement on ``best``, ``(n,)``.

    Mockus, Tiesis and Zilinskas, 1978. The logarithm, since the improvement itself is zero for most
    candidates when the best is far ahead, and zeros cannot be ranked (Ament et al., "Unexpected
    Improvements to Expected Improvement for Bayesian Optimization", NeurIPS 2023).
    """
    sd = np.maximum(sd, 1e-6)
    gains = [_log_gain(u) for u in ((mean - best) / sd).tolist()]
    return np.asarray(np.log(sd) + np.array(gains))


def _log_gain(u: float) -> float:
    """Return ``log(u * Phi(u) + phi(u))``."""
    log_density = -0.5 * u * u - 0.5 * math.log(2 * math.pi)
    if u > -10:
        return math.log(u * 0.5 * math.erfc(-u / math.sqrt(2)) + math.exp(log_density))
    tail = 1 / (u * u)  # of the asymptotic series; its next term is below 2e-4 here
    return log_density + math.log(tail * (1 - 3 * tail + 15 * tail * tail))


def compressed(scores: _Floats) -> _Floats:
    """Return scores with the long tail of poor ones compressed, mean 0 and standard deviation 1.

    ``-log(c - score)``, where ``c`` lies beyond the best score by half of its distance to the median.
    The order stays as it is.
    """
    best = float(scores.max())
    reach = 0.5 * (best - float(np.median(scores))) or 0.5 * float(np.ptp(scores)) or 1.0
    z = -np.log1p((best - scores) / reach)
    spread = float(z.std())
    return np.asarray((z - z.mean()) / (spread or 1.0))


def one_hot(space: Space, cells: list[Architecture]) -> NDArray[np.float32]:
    """Return the positions of canonical cells, one column for each option, ``(n, sum of choices)``."""
    array = np.array([space.canonical(cell) for cell in cells], np.intp)
    columns = [array[:, [i]] == np.arange(n) for i, n in enumerate(space.choices)]
    return np.hstack(columns).astype(np.float32)


def has_graph(space: Space) -> bool:
    """Return whether a space draws its cells as graphs; its ``graph`` raises where it does not."""
    try:
        space.graph(space.example())
    except NotImplementedError:
        return False
    return True


def unmasked(space: Space) -> Space:
    """Return the space itself, where only some of its cells may be searched."""
    return space.whole if isinstance(space, MaskedSpace) else space
