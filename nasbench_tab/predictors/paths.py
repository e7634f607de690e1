"""Path encoding: which sequences of operations lead from the input of a network to its output.

White, Neiswanger and Savani, "BANANAS: Bayesian Optimization with Neural Architectures for Neural
Architecture Search", AAAI 2021.

    >>> from nasbench_tab.registry import load_space
    >>> for path in paths(load_space("nasbench201").graph((3, 0, 1, 4, 0, 2))):
    ...     print(*path, sep=" -> ")
    avg_pool_3x3
    nor_conv_3x3 -> skip_connect -> nor_conv_1x1
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.predictors.features_graph import PLUMBING
from nasbench_tab.records import Graph

__all__ = ["Path", "encoded", "frequent", "paths"]

#: The operations along a path.
Path = tuple[str, ...]

_MOST = 256  # paths kept of a network, the shortest: some have millions


def paths(graph: Graph) -> list[Path]:
    """Return the distinct paths from input to output, the shortest first, at most 256."""
    sources: list[list[int]] = [[] for _ in graph.labels]
    for source, target in graph.edges:
        sources[target].append(source)
    reach: list[list[Path]] = [[()]]
    for node in range(1, len(graph.labels)):
        label = graph.labels[node]
        step = () if label in PLUMBING else (label,)
        found = {(*path, *step) for source in sources[node] for path in reach[source]}
        # The shortest so many of all are among the shortest so many of each source.
        reach.append(sorted(found, key=_order)[:_MOST])
    return reach[-1]


def frequent(networks: list[list[Path]], most: int) -> list[Path]:
    """Return the paths that most of the networks have; of equally frequent ones the shorter first."""
    counts = Counter(path for found in networks for path in found)
    return sorted(counts, key=lambda path: (-counts[path], *_order(path)))[:most]


def encoded(networks: list[list[Path]], known: list[Path]) -> NDArray[np.float32]:
    """Return which of the ``P`` known paths each network has, ``(n, P)`` of 0 and 1."""
    place = {path: i for i, path in enumerate(known)}
    x = np.zeros((len(networks), len(known)), np.float32)
    for row, found in zip(x, networks, strict=True):
        row[[place[path] for path in found if path in place]] = 1
    return x


def _order(path: Path) -> tuple[int, Path]:
    return len(path), path
