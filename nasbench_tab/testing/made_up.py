"""Made-up benchmarks: tables without structure, and with more of it than any real one."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import ArchitectureLike, Benchmark, cell_of
from nasbench_tab.errors import InvalidArgumentError, MissingValueError, unknown_name
from nasbench_tab.records import Answer, Architecture, Metric
from nasbench_tab.spaces.base import Space

__all__ = ["EPOCHS", "MadeUp", "additive", "shuffled"]

EPOCHS = 27  # three rungs by threes and a full training


class MadeUp(Benchmark):
    """A benchmark of made-up values, to try strategies on; it says nothing about networks.

    Cells have a rank; the value of one is ``1 - rank / N`` in ``(0, 1]`` after the full training of
    27 epochs, and lower by one for every epoch less, so that all epochs agree about the order and a
    longer training always looks better than a shorter one. An epoch takes one second.

    Args:
        space: An enumerable space.
        rank: ``(N,)`` how many cells are better than each, in ascending order of the cells.

    Attributes:
        cells: ``(N, cell length)`` uint8 all cells; canonical ones where ``space.sample`` draws those
            only. Of other cells the canonical form is looked up.
        rank: As given.
    """

    def __init__(self, space: Space, rank: NDArray[np.int64]) -> None:
        self.name, self.space, self.dataset = f"made-up-{space.name}", space, "nothing"
        self.objective = Metric("worth", "valid", "max", "", 1.0 - EPOCHS, 1.0)
        self.metrics = {"worth": self.objective}
        self.epochs = tuple(range(1, EPOCHS + 1))
        self.resumable, self.has_seconds, self.fingerprint = True, True, "sha256:made-up"
        self.cells, self._row = _enumerated(space)
        self.rank = rank

    def lookup(
        self,
        arch: ArchitectureLike,
        metric: str | None = None,
        *,
        epoch: int | None = None,
        seed: int | None = None,
    ) -> Answer:
        """Return the made-up value; see Benchmark.lookup."""
        if metric not in (None, "worth"):
            raise unknown_name(f"metric of {self.name}", metric, self.metrics)
        epoch = EPOCHS if epoch is None else epoch
        if not 0 < epoch <= EPOCHS or seed not in (None, 0):
            raise MissingValueError(
                f"{self.name} has the epochs 1 to {EPOCHS} and the seed 0; got {epoch!r} and {seed!r}."
            )
        return Answer(self.truth(arch) + (epoch - EPOCHS), float(epoch), "made up", float("nan"), 1)

    def rank_of(self, arch: ArchitectureLike) -> int:
        """Return how many cells are better."""
        row = self._row.get(arch) if type(arch) is tuple else None
        if row is None:
            cell = cell_of(self.space, arch)
            row = self._row.get(cell)
            row = self._row[self.space.canonical(cell)] if row is None else row
        return int(self.rank[row])

    def truth(self, arch: ArchitectureLike) -> float:
        """Return the value of a cell after its full training: what a perfect predictor says."""
        return 1.0 - self.rank_of(arch) / len(self.rank)

    def seeds(self, arch: ArchitectureLike) -> tuple[int, ...]:
        """Return the one made-up training seed."""
        cell_of(self.space, arch)
        return (0,)

    def measured(self, seed: int | None = None) -> NDArray[np.uint8]:
        """Return all cells; none for a seed that is not 0."""
        return self.cells if seed in (None, 0) else self.cells[:0]


def shuffled(space: Space, rng: np.random.Generator) -> MadeUp:
    """Return a table without structure: a random permutation of the values over the cells."""
    return MadeUp(space, rng.permutation(len(_enumerated(space)[0])))


def additive(space: Space, rng: np.random.Generator) -> MadeUp:
    """Return a table with much structure.

    Every option at every position of a cell has a normally distributed worth, and a cell is worth
    their sum.
    """
    cells, _ = _enumerated(space)
    worth = np.zeros(len(cells))
    for position, options in enumerate(space.choices):
        worth += rng.normal(size=options)[cells[:, position]]
    rank = np.empty(len(cells), np.int64)
    rank[np.argsort(-worth, kind="stable")] = np.arange(len(cells))
    return MadeUp(space, rank)


_MOST = 2**22  # cells that are listed in seconds
_known: dict[str, tuple[NDArray[np.uint8], dict[Architecture, int]]] = {}


def _enumerated(space: Space) -> tuple[NDArray[np.uint8], dict[Architecture, int]]:
    """Return all cells that a space draws from, and the row of each."""
    size = space.size
    if size is None or math.prod(space.choices) > _MOST:
        raise InvalidArgumentError(
            f"A made-up table needs a space of known size with at most {_MOST:,} cells to enumerate; "
            f"{space.name} has {math.prod(space.choices):,}, and its size is {size}."
        )
    if space.name not in _known or len(_known[space.name][0]) != size:
        cells = list(filter(space.contains, product(*map(range, space.choices))))
        if len(cells) != size:
            cells = sorted(set(map(space.canonical, cells)))
        if len(cells) != size:
            raise InvalidArgumentError(
                f"{space.name} says that it has {size} cells; {len(cells)} were found."
            )
        _known[space.name] = np.array(cells, np.uint8), {cell: i for i, cell in enumerate(cells)}
    return _known[space.name]
