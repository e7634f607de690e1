"""Drawings of cells: everything is there, nothing overlaps, nothing clashes."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.records import Graph
from nasbench_tab.spaces.drawing import draw, label_text
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.spaces.nasbench_graph import NasBenchGraph

SPACE = NasBench201()
BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
SVG = "{http://www.w3.org/2000/svg}"
Box = tuple[float, float, float, float]


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own text


def boxes(root: ET.Element) -> list[Box]:
    """Return left, top, right, bottom of every node."""
    found = []
    for rect in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(rect.get(key, "nan")) for key in ("x", "y", "width", "height"))
        found.append((x, y, x + w, y + h))
    for group in root.iter(f"{SVG}g"):
        x, y = map(float, re.findall(r"[-\d.]+", group.get("transform", "")))
        circle = group.find(f"{SVG}circle")
        assert circle is not None
        r = float(circle.get("r", "nan"))
        found.append((x - r, y - r, x + r, y + r))
    return found


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def check(svg: str) -> ET.Element:
    """Return the drawing after checking that nodes neither overlap nor leave the picture."""
    root = parsed(svg)
    left, top, width, height = map(float, root.get("viewBox", "").split())
    nodes = boxes(root)
    assert not [pair for pair in combinations(nodes, 2) if overlap(*pair)]
    for x0, y0, x1, y1 in nodes:
        assert left <= x0 < x1 <= left + width
        assert top <= y0 < y1 <= top + height
    return root


def texts(root: ET.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_the_best_cell_is_drawn_completely() -> None:
    graph = SPACE.graph(SPACE.parse(BEST))
    root = check(draw(graph))
    expected = [label_text(label) for label in graph.labels if label != "sum"]
    assert sorted(texts(root)) == sorted(expected)
    assert len(list(root.iter(f"{SVG}circle"))) == graph.labels.count("sum")
    tips = [path for path in root.iter(f"{SVG}path") if path.get("class") == "nb-tip"]
    assert len(tips) == len(graph.edges)
    assert "dasharray" not in draw(graph)


def test_edges_of_the_best_cell_do_not_cross() -> None:
    # Its graph is planar; where each edge passes each level, its order must not change.
    svg = draw(SPACE.graph(SPACE.parse(BEST)))
    paths = re.findall(r'class="nb-edge" d="(M[^"]+)" fill="none" stroke="[^"]+" stroke-width', svg)
    hops = []
    for path in (path for path in paths if "C" in path):
        numbers = [list(map(float, re.findall(r"-?[\d.]+", part))) for part in path.split("C")]
        x, y = numbers[0]
        for part in numbers[1:]:
            hops.append((x, y, part[4], part[5]))
            x, y = part[4], part[6] if len(part) > 6 else part[5]
    for (ax, ay, bx, by), (cx, cy, dx, dy) in combinations(hops, 2):
        if abs(ay - cy) < 5 and abs(by - dy) < 12:  # the same pair of levels
            assert (ax - cx) * (bx - dx) >= 0


def test_first_on_top_last_below() -> None:
    nodes = dict(
        zip(texts(root := check(draw(SPACE.graph(SPACE.parse(BEST))))), boxes(root), strict=False)
    )
    assert nodes["input"][1] == min(box[1] for box in boxes(root))
    assert nodes["output"][3] == max(box[3] for box in boxes(root))


def test_unused_parts_are_dashed() -> None:
    svg = draw(SPACE.graph((3, 0, 0, 4, 0, 2)))  # conv 3x3 leads nowhere, conv 1x1 has no input
    root = check(svg)
    dashed = {
        text
        for rect, text in zip(root.iter(f"{SVG}rect"), texts(root), strict=True)
        if rect.get("stroke-dasharray")
    }
    assert dashed == {"conv 3×3", "conv 1×1"}


def test_a_cell_of_nothing_has_its_ends_only() -> None:
    assert texts(check(draw(SPACE.graph((0,) * 6)))) == ["input", "output"]


def test_concatenation_and_own_labels() -> None:
    graph = Graph(
        ("input", "my<op>&", "max_pool_5x5", "concat", "output"),
        ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4)),
    )
    svg = draw(graph)
    assert texts(check(svg)) == ["input", "my<op>&", "max_pool_5x5", "output"]
    assert "<title>concat</title>" in svg
    assert "my<op>" not in svg


def test_the_same_label_has_the_same_colour_everywhere() -> None:
    one = Graph(("input", "mystery", "output"), ((0, 1), (1, 2)))
    two = Graph(("input", "skip", "mystery", "output"), ((0, 1), (1, 2), (2, 3)))
    kinds = [set(re.findall(r"nb-kind-\d", draw(graph))) for graph in (one, two)]
    assert kinds[0] < kinds[1]
    assert kinds[1] - kinds[0] == {"nb-kind-0"}


@pytest.mark.parametrize("space", [SPACE, NasBenchGraph()], ids=["nasbench201", "nasbench-graph"])
def test_random_cells(space: NasBench201 | NasBenchGraph) -> None:
    for cell in space.sample(np.random.default_rng(0), 30):
        svg = draw(space.graph(cell))
        check(svg)
        assert svg == draw(space.graph(cell))
        assert " id=" not in svg


@st.composite
def graphs(draw_from: st.DrawFn) -> Graph:
    n = draw_from(st.integers(2, 12))
    inner = draw_from(
        st.lists(
            st.sampled_from(["sum", "concat", "op", "a_longer_name"]),
            min_size=n - 2,
            max_size=n - 2,
        )
    )
    pairs = st.tuples(st.integers(0, n - 2), st.integers(1, n - 1)).filter(
        lambda pair: pair[0] < pair[1]
    )
    edges = draw_from(st.lists(pairs, max_size=25))
    return Graph(("input", *inner, "output"), tuple(edges))


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_any_graph(graph: Graph) -> None:
    root = check(draw(graph))
    touched = {node for edge in graph.edges for node in edge} | {0, len(graph.labels) - 1}
    joints = sum(graph.labels[node] in ("sum", "concat") for node in touched)
    assert len(list(root.iter(f"{SVG}circle"))) == joints
    assert len(texts(root)) == len(touched) - joints
