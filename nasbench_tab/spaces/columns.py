"""A search space of named columns, each with some levels: whatever a table of runs has.

    >>> space = Columns("mine", {"depth": [1, 2, 3], "width": [16, 32], "norm": ["batch", "layer"]})
    >>> space.format((2, 0, 1)), space.size
    ('depth=3,width=16,norm=layer', 12)
    >>> space.parse("width=16, depth=3, norm=layer")
    (2, 0, 1)

A cell holds positions in the levels, which are sorted. Nothing is known of what the columns mean, so every
cell is a network of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArchitectureError, InvalidArgumentError, unknown_name
from nasbench_tab.records import Architecture, Graph
from nasbench_tab.spaces.base import Space

__all__ = ["MOST_LEVELS", "Columns", "Level", "spec_of"]

#: Numbers, or words.
Level = int | float | str

MOST_LEVELS = 256
_ENUMERABLE = 2**20


class Columns(Space):
    """All combinations of the levels of some columns.

    Args:
        name: Of the space.
        columns: ``{column: levels}``, for each column distinct finite numbers or distinct words; names
            and words hold neither commas nor equals signs nor space at their ends.

    Raises:
        InvalidArgumentError: These are no columns, or no column leaves a choice.
    """

    def __init__(self, name: str, columns: Mapping[str, Sequence[Level]]) -> None:
        self.name = name
        self.columns = {column: _levels(column, levels) for column, levels in columns.items()}
        self.choices = tuple(map(len, self.columns.values()))
        if not name or max(self.choices, default=0) < 2:
            raise InvalidArgumentError(
                f"The space {name!r} needs a name, and columns with at least two levels in one of them; "
                f"got {', '.join(self.columns) or 'none'}."
            )
        whole = math.prod(self.choices)
        self.size = whole if whole <= _ENUMERABLE else None
        self._place = {
            column: {level: i for i, level in enumerate(levels)}
            for column, levels in self.columns.items()
        }

    def parse(self, text: str) -> Architecture:
        """Return the cell of ``column=level,column=level``, the columns in any order.

        Raises:
            InvalidArchitectureError: A column is missing or there twice, or a level is not there.
        """
        found: dict[str, int] = {}
        for part in text.split(","):
            column, equals, level = (word.strip() for word in part.partition("="))
            if column not in self.columns or not equals:
                problem = (
                    str(unknown_name("column", column, self.columns))
                    if equals
                    else f"{part!r} is not column=level."
                )
                raise InvalidArchitectureError(
                    f"{text!r}: {problem} Expected {self.format(self.example())}, for example."
                )
            if column in found:
                raise InvalidArchitectureError(f"{text!r}: {column} stands there twice.")
            found[column] = self.place(column, level)
        lacks = [column for column in self.columns if column not in found]
        if lacks:
            raise InvalidArchitectureError(f"{text!r}: {', '.join(lacks)} missing.")
        return tuple(found[column] for column in self.columns)

    def place(self, column: str, level: str) -> int:
        """Return the position of a level that is written as text; ``3.0`` is 3.

        Raises:
            InvalidArchitectureError: The column has no such level.
        """
        levels = self.columns[column]
        try:
            key: Level = level if isinstance(levels[0], str) else float(level)
            return self._place[column][key]
        except (ValueError, KeyError):
            known = map(str, levels)
            raise InvalidArchitectureError(
                f"{unknown_name(f'level of {column}', level, known)} A level that no run had cannot be "
                "asked for."
            ) from None

    def format(self, arch: Architecture) -> str:
        """Return ``column=level,column=level`` with all columns in their order."""
        return ",".join(
            f"{column}={levels[i]}"
            for (column, levels), i in zip(self.columns.items(), arch, strict=True)
        )

    def neighbors(self, arch: Architecture) -> list[Architecture]:
        """Return all cells that differ in one column."""
        return [
            (*arch[:i], level, *arch[i + 1 :])
            for i, n in enumerate(self.choices)
            for level in range(n)
            if level != arch[i]
        ]

    def mutate(self, arch: Architecture, draw: float) -> Architecture:
        """Return the neighbor at ``draw``; a uniform number in [0, 1) makes a uniform mutation."""
        step = int(draw * (sum(self.choices) - len(self.choices)))
        cell = list(arch)
        for i, n in enumerate(self.choices):
            if step < n - 1:
                cell[i] = step + (step >= arch[i])
                break
            step -= n - 1
        return tuple(cell)

    def canonical(self, arch: Architecture) -> Architecture:
        """Return the cell itself."""
        return arch

    def graph(self, arch: Architecture) -> Graph:
        """Return a chain with a node ``column=level`` for each column."""
        labels = ("input", *self.format(arch).split(","), "output")
        return Graph(labels, tuple((i, i + 1) for i in range(len(labels) - 1)))

    def figures(self, cells: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        """Return the numbers of each column that holds numbers, ``{column: (n,)}``."""
        return {
            column: np.array(levels, np.float64)[cells[:, i]]
            for i, (column, levels) in enumerate(self.columns.items())
            if not isinstance(levels[0], str)
        }

    def options(self) -> dict[str, tuple[str, ...]]:
        """Return the levels of each column, as they are written."""
        return {column: tuple(map(str, levels)) for column, levels in self.columns.items()}

    def spec(self) -> dict[str, Any]:
        """Return plain data from which :meth:`from_spec` makes this space again."""
        return {
            "name": self.name,
            "columns": {column: list(levels) for column, levels in self.columns.items()},
        }

    @classmethod
    def from_spec(cls, spec: object) -> Columns:
        """Return the space of what :meth:`spec` gave.

        Raises:
            InvalidArgumentError: It is something else.
        """
        if isinstance(spec, dict) and spec.keys() == {"name", "columns"}:
            name, columns = spec["name"], spec["columns"]
            lists = isinstance(columns, dict) and all(isinstance(v, list) for v in columns.values())
            if isinstance(name, str) and lists:
                space = cls(name, columns)
                if space.spec() == spec:  # sorted already, no number written in two ways
                    return space
        raise InvalidArgumentError(
            f"{spec!r:.200} describes no space of columns; expected its name, and the sorted levels of "
            "each column."
        )


def spec_of(space: Space) -> str | dict[str, Any]:
    """Return what a space is stored as: its registered name, or its columns."""
    return space.spec() if isinstance(space, Columns) else space.name


def _levels(column: str, levels: Sequence[Level]) -> tuple[Level, ...]:
    words = all(isinstance(level, str) for level in levels)
    numbers = all(type(level) in (int, float) and math.isfinite(level) for level in levels)  # type: ignore[arg-type]
    texts = [column, *(level for level in levels if isinstance(level, str))]
    odd = [text for text in texts if not text or text != text.strip() or {*",="} & {*text}]
    if odd or not (words or numbers) or not levels or len({*levels}) < len(levels):
        raise InvalidArgumentError(
            f"Column {column!r} must have distinct levels, all numbers or all words without commas and "
            f"equals signs; got {list(levels)!r:.200}."
        )
    if len(levels) > MOST_LEVELS:
        raise InvalidArgumentError(
            f"Column {column!r} has {len(levels):,} levels; at most {MOST_LEVELS} fit. Is it a choice of "
            "the search space? Round it, or leave it out."
        )
    whole = numbers and all(float(level).is_integer() for level in levels)
    plain = [level if words else int(level) if whole else float(level) for level in levels]
    return tuple(sorted(plain))
