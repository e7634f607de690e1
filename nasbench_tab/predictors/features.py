"""Features of an architecture: what can be said of it without training it.

    >>> from nasbench_tab.registry import load_space
    >>> found = features(load_space("nasbench201"), np.array([[3, 3, 1, 3, 1, 3]], np.uint8))
    >>> values = dict(zip(found.names, found.x[0].tolist(), strict=True))
    >>> values["longest(nor_conv_3x3)"], values["paths(all)"]
    (2.0, 4.0)

They are functions of the canonical cell, so that cells that are the same network have the same
features: its positions (one-hot), the numbers of its graph (:mod:`.features_graph`) and what the
space knows of the whole network (:meth:`~nasbench_tab.spaces.base.Space.figures`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.predictors.features_graph import PLUMBING, Questions, graph_numbers, questions
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.base import Space

__all__ = ["VERSION", "Features", "features", "metric_columns", "operations"]

#: Goes up whenever a feature is added, dropped or means something else.
VERSION = 1

_BLOCK = 4096  # graphs at once: bounds the memory


class Features(NamedTuple):
    """Numbers that predictors are fitted on.

    Attributes:
        names: Of the ``F`` columns; the same for every call with the same space.
        x: ``(n, F)`` float32, finite.
    """

    names: tuple[str, ...]
    x: NDArray[np.float32]


def features(space: Space, cells: NDArray[np.uint8]) -> Features:
    """Return the features of ``(n, cell length)`` cells.

    Raises:
        SurrogateError: The space's graphs have operations that were not seen when the columns were
            laid out.
    """
    names, asked, positions = _layout(space)
    own = [space.canonical(cell) for cell in map(tuple, cells.tolist())]
    place: dict[Architecture, int] = {}
    where = [place.setdefault(cell, len(place)) for cell in own]
    unique = list(place)
    canonical = np.array(unique, np.uint8).reshape(len(unique), len(space.choices))
    blocks = [
        graph_numbers([space.graph(cell) for cell in unique[start : start + _BLOCK]], asked)
        for start in range(0, len(unique), _BLOCK)
    ]
    numbers = (
        blocks[0] if len(blocks) == 1 else np.vstack([np.empty((0, len(asked.names))), *blocks])
    )
    known = space.figures(canonical)
    one_hot = canonical[:, positions[0]] == positions[1]
    x = np.hstack([one_hot, numbers, *(column[:, None] for column in known.values())])
    x = x.astype(np.float32)
    return Features(names, x if len(x) == len(where) else x[where])


def metric_columns(names: tuple[str, ...]) -> NDArray[np.intp]:
    """Return the places of the features in which a distance means something: all but one-hot ones."""
    return np.array([i for i, name in enumerate(names) if not name.startswith("cell[")], np.intp)


def operations(space: Space) -> tuple[str, ...]:
    """Return the labels of the operations in the space's graphs, sorted; joins and ends are none."""
    return _layout(space).asked.labels


class _Layout(NamedTuple):
    names: tuple[str, ...]
    asked: Questions
    positions: tuple[NDArray[np.intp], NDArray[np.intp]]  # of the one-hot columns: position, option


@lru_cache(maxsize=32)
def _layout(space: Space) -> _Layout:
    """Return the columns for a space.

    Its operations are those in the graphs of a few fixed draws and of all that differ from these in
    one position, which shows every option of every position.
    """
    labels: set[str] = set()
    longest = 0
    for cell in space.sample(np.random.default_rng(0), 4):
        for near in [
            (*cell[:position], option, *cell[position + 1 :])
            for position, n in enumerate(space.choices)
            for option in range(n)
        ]:
            if space.contains(near):
                found = [label for label in space.graph(near).labels if label not in PLUMBING]
                labels.update(found)
                longest = max(longest, len(found))
    asked = questions(tuple(sorted(labels)), longest + 1)
    pairs = [(place, option) for place, n in enumerate(space.choices) for option in range(n)]
    one_hot = [f"cell[{place}]={option}" for place, option in pairs]
    figures = space.figures(np.array([space.example()], np.uint8))
    positions = np.array(pairs, np.intp).reshape(-1, 2).T
    return _Layout((*one_hot, *asked.names, *figures), asked, (positions[0], positions[1]))
