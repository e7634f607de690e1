"""The contract of a search space.

A space has to say what its cells are (``name``, ``choices``, ``contains``), how they are written
(``parse``, ``format``), which are the same network (``canonical``), how they are drawn (``graph``)
and, where it is enumerable, their official numbers (``size``, ``index``, ``unindex``). ``sample``,
``neighbors``, ``mutate`` and ``options`` have defaults that a space may replace by something faster.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.records import Architecture, Graph

__all__ = ["Space"]


class Space(ABC):
    """A set of architectures, each a tuple of small ints (0 to 255).

    Attributes:
        name: The name under which the registry knows it.
        choices: Number of options at each position of a cell; a cell ``c`` has
            ``0 <= c[i] < choices[i]``.
        groups: Positions that belong together, for example the edges that enter one node; None
            where the space knows of none.
        rule: In words, what else a cell must obey, for messages.
        size: Number of architectures that ``sample`` draws from, or None if it is not enumerable.
        uniform: Whether each of these is drawn equally often.
    """

    name: str
    choices: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...] | None = None
    rule: str = ""
    size: int | None
    uniform: bool = True

    @abstractmethod
    def parse(self, text: str) -> Architecture:
        """Return the cell of a published string.

        Raises:
            InvalidArchitectureError: The text is not an architecture of this space.
        """

    @abstractmethod
    def format(self, arch: Architecture) -> str:
        """Return the published string of a cell; ``parse(format(a)) == a``."""

    @abstractmethod
    def canonical(self, arch: Architecture) -> Architecture:
        """Return the one representative of all cells that are the same network as ``arch``."""

    @abstractmethod
    def graph(self, arch: Architecture) -> Graph:
        """Return the cell as a labelled directed acyclic graph."""

    def index(self, arch: Architecture) -> int:
        """Return the official index of a cell.

        By default, where there is none, its numbers read as one in mixed radix, the last position
        varying fastest.
        """
        number = 0
        for option, n in zip(arch, self.choices, strict=True):
            number = number * n + option
        return number

    def unindex(self, index: int) -> Architecture:
        """Return the cell of an official index.

        Raises:
            InvalidArchitectureError: No cell has this index.
        """
        rest, reverse = index, []
        for n in reversed(self.choices):
            rest, option = divmod(rest, n)
            reverse.append(option)
        cell = tuple(reversed(reverse))
        if rest or not self.contains(cell):
            raise InvalidArchitectureError(
                f"There is no architecture {index} in {self.name}. Numbers are 0 to "
                f"{math.prod(self.choices) - 1}"
                + (", with gaps; index(cell) gives the one of a cell." if self.rule else ".")
            )
        return cell

    def figures(self, cells: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        """Return what is known of ``(n, cell length)`` cells without training them.

        ``{name: (n,)}``, for example parameters, MACs, widths and depth of the whole network;
        predictors take them as features. None by default.
        """
        del cells
        return {}

    def options(self) -> dict[str, tuple[str, ...]]:
        """Return the name of each position and, in the order of their numbers, of its options.

        In the order of the positions; what other tools are told of the space. Numbers by default.
        """
        return {f"position_{i}": tuple(map(str, range(n))) for i, n in enumerate(self.choices)}

    def contains(self, arch: Architecture) -> bool:
        """Return whether ``arch`` is an architecture of this space."""
        return len(arch) == len(self.choices) and all(
            0 <= op < n for op, n in zip(arch, self.choices, strict=True)
        )

    def check(self, arch: object) -> Architecture:
        """Return ``arch`` as a tuple of Python ints.

        Raises:
            InvalidArchitectureError: It is not an architecture of this space.
        """
        try:
            cell = tuple(int(op) for op in arch)  # type: ignore[attr-defined]
            if all(a == b for a, b in zip(cell, arch, strict=True)) and self.contains(cell):  # type: ignore[call-overload]
                return cell
        except (TypeError, ValueError, OverflowError):
            pass  # not even a sequence of numbers
        raise InvalidArchitectureError(
            f"{arch!r} is not a cell of {self.name}. Expected {len(self.choices)} integers, each at "
            f"least 0 and below {', '.join(map(str, self.choices))} in turn, for example "
            f"{self.example()}. {self.rule}".rstrip()
        )

    def example(self) -> Architecture:
        """Return one architecture, for messages and documentation."""
        return self.sample(np.random.default_rng(0), 1)[0]

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """Return ``n`` independent uniform draws, with replacement."""
        cells: list[Architecture] = []
        while len(cells) < n:
            draws = rng.integers(0, self.choices, size=(n, len(self.choices))).tolist()
            cells += [cell for cell in map(tuple, draws) if self.contains(cell)]
        return cells[:n]

    def neighbors(self, arch: Architecture) -> list[Architecture]:
        """Return all architectures that differ from ``arch`` in one position."""
        near = [
            (*arch[:i], op, *arch[i + 1 :])
            for i, n in enumerate(self.choices)
            for op in range(n)
            if op != arch[i]
        ]
        return [cell for cell in near if self.contains(cell)]

    def mutate(self, arch: Architecture, draw: float) -> Architecture:
        """Return the neighbor at ``draw``; a uniform number in [0, 1) makes a uniform mutation."""
        near = self.neighbors(arch)
        return near[int(draw * len(near))]
