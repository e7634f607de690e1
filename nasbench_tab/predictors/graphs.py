"""Architectures as labelled graphs in arrays, for networks that pass messages along their edges.

>>> from nasbench_tab.registry import load_space
>>> found = graphs_of(load_space("nasbench201"), np.array([[3, 3, 1, 3, 1, 3]], np.uint8))
>>> [found.words[kind] for kind in found.kinds[0, :2].tolist()]
['input', 'nor_conv_3x3']
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.features import operations
from nasbench_tab.predictors.features_graph import PLUMBING
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.base import Space

__all__ = ["Graphs", "graphs_of"]


class Graphs(NamedTuple):
    """``n`` graphs of at most ``N`` nodes, in topological order.

    Attributes:
        words: Labels of all nodes of the space, sorted; a node without any edge stands in for those that a
            smaller graph lacks, before its last node, the output.
        kinds: ``(n, N)`` uint8 place of each node's label among the words.
        edges: ``(n, N, N)`` bool, from the row's node to the column's, above the diagonal.
    """

    words: tuple[str, ...]
    kinds: NDArray[np.uint8]
    edges: NDArray[np.bool_]

    def at(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Graphs:
        """Return some of the graphs."""
        return Graphs(self.words, self.kinds[rows], self.edges[rows])


def graphs_of(space: Space, cells: NDArray[np.uint8]) -> Graphs:
    """Return the graphs of the canonical cells of ``(n, cell length)`` cells.

    Raises:
        SurrogateError: A node has a label that the space's fixed draws did not show, or the space has more
            labels than a byte can number.
    """
    words = tuple(sorted({*operations(space), *PLUMBING}))
    if len(words) > 256:
        raise SurrogateError(
            f"Messages cannot be passed along the cells of {space.name}: its nodes have {len(words)} labels; "
            "expected at most 256. Fit without --message-passing."
        )
    number = {word: place for place, word in enumerate(words)}
    place: dict[Architecture, int] = {}
    own = [space.canonical(cell) for cell in map(tuple, cells.tolist())]
    where = np.array([place.setdefault(cell, len(place)) for cell in own], np.intp)
    drawn = [space.graph(cell) for cell in place]
    nodes = max((len(graph.labels) for graph in drawn), default=2)
    kinds = np.full((len(drawn), nodes), number["sum"], np.uint8)
    edges = np.zeros((len(drawn), nodes, nodes), np.bool_)
    for row, (labels, pairs) in enumerate(drawn):
        try:
            codes = [number[label] for label in labels]
        except KeyError as err:
            raise SurrogateError(
                f"A cell of {space.name} has the operation {err.args[0]!r}, which is none of {', '.join(words)}."
            ) from err
        last = len(labels) - 1
        kinds[row, :last], kinds[row, -1] = codes[:last], codes[last]
        if pairs:
            source, target = np.array(pairs, np.intp).T
            edges[row, source, np.where(target == last, nodes - 1, target)] = True
    return Graphs(words, kinds[where], edges[where])
