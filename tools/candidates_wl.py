"""The Weisfeiler-Lehman kernel as a candidate of tools/candidates.py; no part of the package.

Shervashidze et al., "Weisfeiler-Lehman graph kernels", JMLR 2011.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.records import Graph
from nasbench_tab.spaces.base import Space

Floats = NDArray[np.float64]


def contracted(graph: Graph) -> Graph:
    """Return the graph without its sums: their predecessors lead to their successors."""
    after: list[list[int]] = [[] for _ in graph.labels]
    for source, target in graph.edges:
        after[source].append(target)

    def reached(node: int) -> list[int]:
        return [
            end
            for target in after[node]
            for end in (reached(target) if graph.labels[target] == "sum" else [target])
        ]

    kept = [node for node, label in enumerate(graph.labels) if label != "sum"]
    place = {node: i for i, node in enumerate(kept)}
    edges = tuple((place[node], place[end]) for node in kept for end in reached(node))
    return Graph(tuple(graph.labels[node] for node in kept), edges)


def histograms(space: Space, cells: NDArray[np.uint8], depth: int) -> NDArray[np.float32]:
    """Return ``(n, V)``: how many nodes of each cell have each label of the levels 0 to ``depth``.

    A node's label at a level is its own at the level before with those of its predecessors and successors.
    """
    numbers: dict[object, int] = {}
    rows = []
    for cell in map(tuple, cells.tolist()):
        graph = contracted(space.graph(space.canonical(cell)))
        into: list[list[int]] = [[] for _ in graph.labels]
        out: list[list[int]] = [[] for _ in graph.labels]
        for source, target in graph.edges:
            into[target].append(source)
            out[source].append(target)
        now = [numbers.setdefault(label, len(numbers)) for label in graph.labels]
        row = list(now)
        for _ in range(depth):
            keys = [
                (own, tuple(sorted(now[i] for i in before)), tuple(sorted(now[i] for i in behind)))
                for own, before, behind in zip(now, into, out, strict=True)
            ]
            now = [numbers.setdefault(key, len(numbers)) for key in keys]
            row += now
        rows.append(row)
    counts = np.zeros((len(rows), len(numbers)), np.float32)
    for i, row in enumerate(rows):
        np.add.at(counts[i], row, 1)
    return counts


def wl_kernel(counts: NDArray[np.float32], n: int) -> Floats:
    """Return ``(all, n)`` normalised histogram intersections with the first ``n`` rows."""
    counts = counts[:, counts[:n].any(axis=0)] if n else counts
    size = np.sqrt(np.maximum(counts.sum(axis=1), 1))
    common = np.zeros((len(counts), n), np.float32)
    for level in range(1, int(counts.max()) + 1):
        has = (counts >= level).astype(np.float32)
        common += has @ has[:n].T
    return np.asarray(common / size[:, None] / size[:n], np.float64)


def process(
    x: tuple[NDArray[np.float32], NDArray[np.float32]] | None, graphs: Floats, y: Floats
) -> Floats:
    """Return what a Gaussian process predicts for the rows of ``graphs`` behind the fitted ones.

    Args:
        x: Features of the fitted and of the tested rows for a Matérn 5/2 kernel, added in the share that is
            likeliest; None = the graph kernel alone.
        graphs: ``(all, n)`` graph kernel.
        y: ``(n,)`` accuracies.
    """
    n = len(y)
    top = y.max() + 0.5 * (y.max() - np.median(y)) + 1e-6
    z = -np.log(top - y)
    centre, scale = z.mean(), z.std() or 1.0
    z = (z - centre) / scale
    kernels = [graphs]
    if x is not None:
        logs = [np.sign(part) * np.log1p(np.abs(part.astype(np.float64))) for part in x]
        mean, spread = logs[0].mean(axis=0), logs[0].std(axis=0)
        own, rest = ((part - mean) / np.where(spread > 1e-9, spread, np.inf) for part in logs)
        every = np.vstack([own, rest])
        far = (every**2).sum(axis=1)[:, None] + (own**2).sum(axis=1) - 2 * every @ own.T
        far = np.sqrt(5 * np.maximum(far, 0))
        middle = np.median(far[:n][np.triu_indices(n, 1)]) / np.sqrt(5)
        for length in (middle * np.geomspace(0.5, 4, 6)).tolist():
            matern = (1 + far / length + (far / length) ** 2 / 3) * np.exp(-far / length)
            kernels += [share * graphs + (1 - share) * matern for share in (0, 0.2, 0.4, 0.7)]
    best: tuple[float, Floats] = (-np.inf, np.zeros(0))
    for kernel in kernels:
        values, vectors = np.linalg.eigh(kernel[:n])
        turned = vectors.T @ z
        for noise in np.geomspace(1e-4, 3, 25).tolist():
            spread = np.maximum(values, 0) + noise
            likelihood = -0.5 * (np.log(spread).sum() + n * np.log((turned**2 / spread).mean()))
            if likelihood > best[0]:
                best = float(likelihood), kernel[n:] @ (vectors @ (turned / spread))
    return np.asarray(top - np.exp(-(centre + scale * best[1])))
