"""Draw a cell: any labelled directed acyclic graph as an SVG, top to bottom.

    >>> from nasbench_tab.records import Graph
    >>> draw(Graph(("input", "nor_conv_3x3", "output"), ((0, 1), (1, 2))))[:4]
    '<svg'

Operations are rounded boxes, sums and concatenations small circles (a plus, two bars). What lies on
no way from the input to the output computes nothing that is used and is drawn dashed; a node without
any edge is left out. The colours for a white page are plain attributes, and every shape has a class
(``nb-box``, ``nb-kind-3``, ``nb-edge`` ...), so that the style sheet of a page that holds the drawing
can replace them. There are no ids: many drawings can stand in one page.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from nasbench_tab.records import Graph

__all__ = ["draw", "label_text"]

_NAMES = {
    "skip_connect": "skip",
    "nor_conv_1x1": "conv 1×1",
    "nor_conv_3x3": "conv 3×3",
    "avg_pool_3x3": "avg pool 3×3",
    "conv3x3-bn-relu": "conv 3×3",
    "conv1x1-bn-relu": "conv 1×1",
    "maxpool3x3": "max pool 3×3",
}
# One number per operation that is shipped; others get one from their name. Kind 0 is for what
# passes its input on unchanged.
_KINDS = {
    "skip_connect": 0,
    "skip": 0,
    "nor_conv_3x3": 1,
    "nor_conv_1x1": 2,
    "avg_pool_3x3": 3,
    "conv3x3-bn-relu": 1,
    "conv1x1-bn-relu": 2,
    "maxpool3x3": 3,
    "gcn": 1,
    "sage": 2,
    "gat": 3,
    "gin": 4,
    "cheb": 5,
    "arma": 6,
    "graph": 7,
    "fc": 8,
}
# (fill, outline) on white; the outlines are the palette of Okabe and Ito, two of them darkened.
_COLOURS = (
    ("#f1f1f1", "#7a7a7a"),
    ("#d3e6f4", "#0072b2"),
    ("#e4f4fc", "#3d9bd1"),
    ("#fdeecb", "#c98a00"),
    ("#d2efe5", "#009e73"),
    ("#f9e1ee", "#c06090"),
    ("#fbdfcf", "#d55e00"),
    ("#f8f6cf", "#a39a00"),
    ("#e3ddf5", "#6a51a3"),
)
_INK, _LINE = "#1b1b1b", "#5f6368"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
_HEIGHT, _GAP, _SPACE, _MARGIN, _RADIUS = 26.0, 22.0, 16.0, 6.0, 9.0
_JOINTS = ("sum", "concat")
_STARTS = 300  # starting orders to try, divided by the number of hops


class _Place(NamedTuple):
    """A point in a layer: a node, or the place where a long edge passes."""

    node: int  # -1 where an edge passes
    width: float


class _Layout(NamedTuple):
    """Where everything goes.

    Attributes:
        layers: The places of each layer, left to right.
        places: All places.
        chains: For each edge the places that it runs through, both ends included.
        x: The centre of each place.
    """

    layers: list[list[int]]
    places: list[_Place]
    chains: dict[tuple[int, int], list[int]]
    x: list[float]


def label_text(label: str) -> str:
    """Return how a drawing writes the label of an operation, for example ``conv 3×3``."""
    return _NAMES.get(label, label)


def draw(graph: Graph) -> str:
    """Return a drawing of ``graph`` as a complete SVG document, the first node at the top.

    Its natural size is in pixels, with text of 12 pixels; the ``viewBox`` lets it scale.
    """
    edges = sorted(set(graph.edges))
    last = len(graph.labels) - 1
    touched = {node for edge in edges for node in edge} | {0, last}
    kept = [node for node in range(last + 1) if node in touched]
    used = _reached(0, edges) & _reached(last, [(b, a) for a, b in edges])
    layout = _lay_out(graph.labels, kept, edges)
    depth = {place: row for row, layer in enumerate(layout.layers) for place in layer}
    half = [place.width / 2 for place in layout.places]
    left = min(x - h for x, h in zip(layout.x, half, strict=True)) - _MARGIN
    right = max(x + h for x, h in zip(layout.x, half, strict=True)) + _MARGIN
    height = len(layout.layers) * (_HEIGHT + _GAP) - _GAP + 2 * _MARGIN
    ports = _ports(graph.labels, layout)
    parts = [
        _edge(layout, depth, edge, ports[edge], set(edge) <= used, graph.labels) for edge in edges
    ]
    parts += [
        _node(
            graph.labels[place.node],
            layout.x[i],
            _middle(depth[i]),
            place.width,
            place.node in used,
        )
        for i, place in enumerate(layout.places)
        if place.node >= 0
    ]
    words = escape(", ".join(label_text(graph.labels[node]) for node in kept))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nb-cell" role="img" '
        f'aria-label="Cell: {words}" width="{_n(right - left)}" height="{_n(height)}" '
        f'viewBox="{_n(left)} 0 {_n(right - left)} {_n(height)}" font-family="{_FONT}" '
        f'font-size="12">' + "".join(parts) + "</svg>"
    )


def _reached(start: int, edges: Iterable[tuple[int, int]]) -> set[int]:
    found, waiting = {start}, [start]
    after: dict[int, list[int]] = {}
    for a, b in edges:
        after.setdefault(a, []).append(b)
    while waiting:
        new = [node for node in after.get(waiting.pop(), []) if node not in found]
        found.update(new)
        waiting += new
    return found


def _lay_out(labels: Sequence[str], kept: list[int], edges: list[tuple[int, int]]) -> _Layout:
    rows = _rows(kept, edges)
    places = [_Place(node, _width(labels[node])) for node in kept]
    place_of = {node: i for i, node in enumerate(kept)}
    layers: list[list[int]] = [[] for _ in range(max(rows.values()) + 1)]
    for node in kept:
        layers[rows[node]].append(place_of[node])
    chains = {}
    for a, b in edges:
        chain = [place_of[a]]
        for row in range(rows[a] + 1, rows[b]):
            layers[row].append(len(places))
            chain.append(len(places))
            places.append(_Place(-1, 2.0))
        chains[a, b] = [*chain, place_of[b]]
    hops = [hop for chain in chains.values() for hop in pairwise(chain)]
    layers = _ordered(layers, hops)
    return _Layout(layers, places, chains, _centres(layers, hops, places))


def _rows(kept: list[int], edges: list[tuple[int, int]]) -> dict[int, int]:
    """Return the layer of each node: halfway between the first and the last that its edges allow."""
    first, last = kept[0], kept[-1]
    early = {node: int(node != first) for node in kept}
    for a, b in edges:  # sorted by source, and sources come before targets
        early[b] = max(early[b], early[a] + 1)
    bottom = early[last] = max(1, *(row + 1 for node, row in early.items() if node != last))
    late = {node: bottom - int(node != last) for node in kept}
    for a, b in reversed(edges):
        late[a] = min(late[a], late[b] - 1)
    rows = {node: (early[node] + late[node]) // 2 for node in kept}
    return {**rows, first: 0, last: bottom}


def _ordered(layers: list[list[int]], hops: list[tuple[int, int]]) -> list[list[int]]:
    """Return the layers sorted so that few edges cross; of equals, those with the shortest hops.

    Sweeps down and up, each place going to the mean of its neighbours, from several starting orders:
    a long edge changes sides only if all of its places do, which single steps never try.
    """
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for a, b in hops:
        below.setdefault(a, []).append(b)
        above.setdefault(b, []).append(a)
    rng = np.random.default_rng(0)
    best, least = layers, _cost(layers, hops)
    for start in range(1 + _STARTS // max(1, len(hops))):
        current = [rng.permutation(layer).tolist() if start else list(layer) for layer in layers]
        for sweep in range(6):
            down = sweep % 2 == 0
            neighbours = above if down else below
            for row in range(len(layers)) if down else range(len(layers) - 1, -1, -1):
                rank = _ranks(current)
                means = {
                    p: _mean([rank[q] for q in neighbours.get(p, [])], rank[p])
                    for p in current[row]
                }
                current[row] = sorted(current[row], key=means.__getitem__)
            cost = _cost(current, hops)
            if cost < least:
                best, least = [list(layer) for layer in current], cost
    return best


def _ranks(layers: list[list[int]]) -> dict[int, float]:
    return {p: i - (len(layer) - 1) / 2 for layer in layers for i, p in enumerate(layer)}


def _cost(layers: list[list[int]], hops: list[tuple[int, int]]) -> tuple[int, float]:
    """Return how many edges cross and how far the hops lead to the side."""
    row = {p: r for r, layer in enumerate(layers) for p in layer}
    rank = _ranks(layers)
    crossings = sum(
        row[a] == row[c] and (rank[a] - rank[c]) * (rank[b] - rank[d]) < 0
        for i, (a, b) in enumerate(hops)
        for c, d in hops[:i]
    )
    return crossings, sum(abs(rank[a] - rank[b]) for a, b in hops)


def _centres(
    layers: list[list[int]], hops: list[tuple[int, int]], places: list[_Place]
) -> list[float]:
    """Return the x of each place: as near to its neighbours as the widths in its layer allow."""
    x = [0.0] * len(places)
    near: dict[int, list[int]] = {place: [] for place in range(len(places))}
    for a, b in hops:
        passing = (places[a].node < 0) + (places[b].node < 0)
        near[a] += [b] * (1, 2, 8)[passing]  # long edges pull hardest, so that they run straight
        near[b] += [a] * (1, 2, 8)[passing]
    for step in range(40):
        for layer in layers if step % 2 else layers[::-1]:
            wanted = [_mean([x[q] for q in near[p]], x[p]) for p in layer]
            widths = [places[p].width for p in layer]
            for place, centre in zip(layer, _spread(wanted, widths), strict=True):
                x[place] = centre
    return x


def _spread(wanted: list[float], widths: list[float]) -> list[float]:
    """Return the positions nearest to ``wanted`` (least squares) at which nothing overlaps."""
    offsets = [0.0]
    for left, right in pairwise(widths):
        offsets.append(offsets[-1] + (left + right) / 2 + _SPACE)
    pools: list[tuple[float, int]] = []  # (mean, size): neighbours that push each other
    for target, offset in zip(wanted, offsets, strict=True):
        mean, size = target - offset, 1
        while pools and pools[-1][0] > mean:
            before, n = pools.pop()
            mean, size = (mean * size + before * n) / (size + n), size + n
        pools.append((mean, size))
    flat = [mean for mean, size in pools for _ in range(size)]
    return [base + offset for base, offset in zip(flat, offsets, strict=True)]


def _ports(labels: Sequence[str], layout: _Layout) -> dict[tuple[int, int], float]:
    """Return where each edge meets its target, relative to the target's centre."""
    into: dict[int, list[tuple[float, tuple[int, int]]]] = {}
    for edge, chain in layout.chains.items():
        into.setdefault(edge[1], []).append((layout.x[chain[-2]], edge))
    ports = {}
    for target, arriving in into.items():
        step = (
            0.0 if labels[target] in _JOINTS else min(14.0, _width(labels[target]) / len(arriving))
        )
        for i, (_, edge) in enumerate(sorted(arriving)):
            ports[edge] = (i - (len(arriving) - 1) / 2) * step
    return ports


def _width(label: str) -> float:
    return 2 * _RADIUS if label in _JOINTS else max(44.0, 6.9 * len(label_text(label)) + 18)


def _middle(row: int) -> float:
    return _MARGIN + row * (_HEIGHT + _GAP) + _HEIGHT / 2


def _edge(
    layout: _Layout,
    depth: dict[int, int],
    edge: tuple[int, int],
    port: float,
    used: bool,
    labels: Sequence[str],
) -> str:
    """Return one edge: level by level, vertical where it passes a layer, an arrow at its end."""
    chain = layout.chains[edge]
    start = _RADIUS if labels[edge[0]] in _JOINTS else _HEIGHT / 2
    end = _RADIUS if labels[edge[1]] in _JOINTS else _HEIGHT / 2
    x, y = layout.x[chain[0]], _middle(depth[chain[0]]) + start
    path = f"M{_n(x)} {_n(y)}"
    for place in chain[1:]:
        ends_here = place == chain[-1]
        to_x = layout.x[place] + (port if ends_here else 0.0)
        to_y = _middle(depth[place]) - (end + 5 if ends_here else _HEIGHT / 2)
        bend = (y + to_y) / 2
        path += f"C{_n(x)} {_n(bend)} {_n(to_x)} {_n(bend)} {_n(to_x)} {_n(to_y)}"
        x, y = to_x, to_y
        if not ends_here:
            y += _HEIGHT
            path += f"V{_n(y)}"
    dashes = "" if used else ' stroke-dasharray="3 3"'
    kind = "nb-edge" if used else "nb-edge nb-unused"
    return (
        f'<path class="{kind}" d="{path}" fill="none" stroke="{_LINE}" stroke-width="1.3"{dashes}/>'
        f'<path class="nb-tip" d="M{_n(x - 3.5)} {_n(y - 1)}h7l-3.5 6z" fill="{_LINE}"/>'
    )


def _node(label: str, x: float, y: float, width: float, used: bool) -> str:
    dashes = "" if used else ' stroke-dasharray="3 3"'
    if label in _JOINTS:
        sign = "M-4 0h8M0 -4v8" if label == "sum" else "M-2.5 -4v8M2.5 -4v8"
        return (
            f'<g transform="translate({_n(x)} {_n(y)})"><title>{label}</title>'
            f'<circle class="nb-joint" r="{_n(_RADIUS)}" fill="#fff" stroke="{_LINE}" '
            f'stroke-width="1.3"{dashes}/>'
            f'<path class="nb-edge" d="{sign}" fill="none" stroke="{_LINE}" stroke-width="1.3"/></g>'
        )
    if label in ("input", "output"):
        kind, fill, outline, corner = "nb-end", "#fff", _LINE, _HEIGHT / 2
    else:
        number = _KINDS.get(label, 1 + zlib.crc32(label.encode()) % (len(_COLOURS) - 1))
        (fill, outline), kind, corner = _COLOURS[number], f"nb-box nb-kind-{number}", 6.0
    return (
        f'<rect class="{kind}" x="{_n(x - width / 2)}" y="{_n(y - _HEIGHT / 2)}" '
        f'width="{_n(width)}" height="{_n(_HEIGHT)}" rx="{_n(corner)}" fill="{fill}" '
        f'stroke="{outline}" stroke-width="1.3"{dashes}/>'
        f'<text class="nb-text" x="{_n(x)}" y="{_n(y + 4.2)}" text-anchor="middle" fill="{_INK}">'
        f"{escape(label_text(label))}</text>"
    )


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _n(value: float) -> str:
    """Return a coordinate with one decimal at most."""
    return f"{round(value, 1) + 0.0:g}"
