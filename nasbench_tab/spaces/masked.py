"""A space cut down to some of its cells, for searching where only those were measured."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Architecture, Graph
from nasbench_tab.spaces.base import Space

__all__ = ["MaskedSpace"]


class MaskedSpace(Space):
    """The cells ``cells`` of ``space``; strategies sample and move among these only.

    Attributes:
        whole: The space itself.

    Raises:
        InvalidArgumentError: No cell is left.
    """

    def __init__(self, space: Space, cells: Collection[Architecture]) -> None:
        if not cells:
            raise InvalidArgumentError(f"No cell of {space.name} was measured: nothing to search.")
        self.whole, self._cells = space, list(dict.fromkeys(cells))
        self._known = frozenset(self._cells)
        self.name, self.choices, self.rule = space.name, space.choices, space.rule
        self.groups = space.groups
        self.size = len(self._cells)

    def contains(self, arch: Architecture) -> bool:
        """Return whether ``arch``, or the same network in canonical form, was measured."""
        return self.whole.contains(arch) and (
            arch in self._known or self.whole.canonical(arch) in self._known
        )

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """Return ``n`` independent uniform draws among the measured cells."""
        return [self._cells[i] for i in rng.integers(0, len(self._cells), n).tolist()]

    def neighbors(self, arch: Architecture) -> list[Architecture]:
        """Return the measured neighbors; there may be none."""
        return [cell for cell in self.whole.neighbors(arch) if cell in self._known]

    def mutate(self, arch: Architecture, draw: float) -> Architecture:
        """Return the measured neighbor at ``draw``; ``arch`` itself where there is none."""
        near = self.neighbors(arch)
        return near[int(draw * len(near))] if near else arch

    def parse(self, text: str) -> Architecture:
        """Return the cell of a published string."""
        return self.whole.parse(text)

    def format(self, arch: Architecture) -> str:
        """Return the published string of a cell."""
        return self.whole.format(arch)

    def canonical(self, arch: Architecture) -> Architecture:
        """Return the representative of all cells that are the same network."""
        return self.whole.canonical(arch)

    def graph(self, arch: Architecture) -> Graph:
        """Return the cell as a labelled directed acyclic graph."""
        return self.whole.graph(arch)

    def figures(self, cells: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        """Return what is known of cells without training them."""
        return self.whole.figures(cells)

    def options(self) -> dict[str, tuple[str, ...]]:
        """Return the names of positions and options."""
        return self.whole.options()

    def index(self, arch: Architecture) -> int:
        """Return the official index of a cell."""
        return self.whole.index(arch)

    def unindex(self, index: int) -> Architecture:
        """Return the cell of an official index."""
        return self.whole.unindex(index)
