"""Evolution that is helped by a zero-cost proxy: a warm start, and moves that the proxy proposes.

Abdelfattah, Mehrotra, Dudziak and Lane, "Zero-Cost Proxies for Lightweight NAS", ICLR 2021. Proxies here
are what a space knows of its cells without training them (:meth:`~nasbench_tab.spaces.base.Space.figures`):
parameters and MACs, the baselines that other proxies have to beat (White et al., "A Deeper Look at
Zero-Cost Proxies for Lightweight NAS", ICLR blog track 2022). They cost nothing; the setting ``seconds``
says what a proxy of the same quality would cost.
"""

from __future__ import annotations

import math

import numpy as np

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, CostedProposal, Problem, Proposal
from nasbench_tab.strategies.base import real, whole
from nasbench_tab.strategies.evolution import Evolution

__all__ = ["Proxy"]


class Proxy(Evolution):
    """Regularized evolution from the top of a pool, with children chosen by the proxy.

    Greater is better for the proxy. A cell is scored, and that is paid for, once. Where ten proposals in a
    row were repeats or infeasible, the next are uniform draws of new cells, until one is evaluated.

    Args:
        problem: Where to search; its space must know the figure.
        rng: The run's generator.
        figure: The proxy, by the name of one of the space's figures.
        pool: Uniform draws that are scored before the first evaluation; the different cells that are best
            among them are the first population (3,000 in the authors' example). 0: no warm start, the
            first population is drawn uniformly.
        children: Mutations of a parent of which the proxy's best is evaluated; 1: no move proposals. In the
            authors' example all neighbors are scored.
        move: Probability that a proposal is such a move; else it is one uniform mutation (0.75 in the
            authors' example).
        population: As for ``evolution``.
        tournament: Likewise.
        seconds: Simulated seconds of one score; they are on the clock.
    """

    stuck = 10

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        *,
        figure: str = "parameters",
        pool: int = 1000,
        children: int = 3,
        move: float = 0.75,
        population: int = 10,
        tournament: int = 3,
        seconds: float = 0.0,
    ) -> None:
        population = whole("proxy", "population", population)
        tournament = whole("proxy", "tournament", tournament)
        super().__init__(problem, rng, population=population, tournament=tournament)
        known = problem.space.figures(np.array([problem.space.example()], np.uint8))
        if figure not in known:
            raise InvalidArgumentError(
                f"proxy needs figure to be something that the space knows of a cell without training it: "
                f"{problem.space.name} knows {', '.join(known) or 'nothing'}; got {figure!r}. Figures are "
                "a space's own; a table's columns are not shown to strategies."
            )
        self._figure, self._children = figure, whole("proxy", "children", children)
        self._move = real("proxy", "move", move, least=0, below=math.nextafter(1.0, 2.0))
        self._seconds = real("proxy", "seconds", seconds, least=0, below=math.inf)
        self._known: dict[Architecture, float] = {}
        self._owed = 0.0  # simulated seconds of scores that no proposal was charged with yet
        self._plain = self._mutated
        if self._children > 1:
            self._mutated = self._moved
        if whole("proxy", "pool", pool, least=0):
            drawn = list(dict.fromkeys(self._space.sample(rng, pool)))
            order = np.argsort(self._scores(drawn), kind="stable")[-population:]
            founders = [
                drawn[i] for i in order.tolist()
            ]  # the best is the last, which is taken first
            self._founders = self._founders[: population - len(founders)] + founders

    def ask(self, n: int) -> list[Proposal | CostedProposal]:  # type: ignore[override]
        """Return founders first, then moves and mutations of tournament winners."""
        return [
            self._charged(self._founders.pop() if self._founders else self._child())
            for _ in range(n)
        ]

    def _charged(self, cell: Architecture) -> Proposal | CostedProposal:
        owed, self._owed = self._owed, 0.0
        return CostedProposal(cell, None, owed) if owed else Proposal(cell)

    def _moved(self, parent: Architecture) -> Architecture:
        if self._uniform() >= self._move:
            return self._plain(parent)
        children = [self._plain(parent) for _ in range(self._children)]
        return children[int(np.argmax(self._scores(children)))]

    def _scores(self, cells: list[Architecture]) -> list[float]:
        """Return the proxy's score of each cell, and owe the time of those that are new."""
        new = [cell for cell in dict.fromkeys(cells) if cell not in self._known]
        if new:
            found = self._space.figures(np.array(new, np.uint8))[self._figure]
            self._known.update(zip(new, found.tolist(), strict=True))
            self._owed += self._seconds * len(new)
        return [self._known[cell] for cell in cells]
