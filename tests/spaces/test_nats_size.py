"""The size space of NATS-Bench: forms, official numbers, and the published network's figures by counting."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.records import Architecture
from nasbench_tab.registry import load_space
from nasbench_tab.spaces.nats_size import LAYERS, WIDTHS, NatsSize, macs, parameters

SPACE = NatsSize()

architectures = st.tuples(*(st.integers(0, 7) for _ in range(LAYERS)))


def test_an_example_by_hand() -> None:
    assert load_space("nats-size").size == 32_768 == len(WIDTHS) ** LAYERS
    assert SPACE.parse("8:8:40:32:40") == SPACE.parse(" 8:8:40:32:40\n") == (0, 0, 4, 3, 4)
    assert SPACE.index((0, 0, 4, 3, 4)) == 284
    assert SPACE.unindex(284) == (0, 0, 4, 3, 4)
    assert SPACE.format((7,) * 5) == "64:64:64:64:64"


def test_official_numbers_are_lexicographic() -> None:
    every = list(product(range(8), repeat=5))
    assert [SPACE.unindex(index) for index in range(32_768)] == every
    assert [SPACE.index(arch) for arch in every] == list(range(32_768))


@given(architectures)
def test_forms_read_back(arch: Architecture) -> None:
    assert SPACE.check(arch) == arch
    assert SPACE.parse(SPACE.format(arch)) == arch
    assert SPACE.canonical(arch) == arch


@pytest.mark.parametrize(
    "text", ["", "8", "8:8:8:8", "8:8:8:8:8:8", "8:8:8:8:9", "8:8:8:8:08", "8:8:8:8:", "8 8 8 8 8"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArchitectureError, match="c1:c2:c3:c4:c5"):
        SPACE.parse(text)


@pytest.mark.parametrize("index", [-1, 32_768])
def test_other_numbers_are_refused(index: int) -> None:
    with pytest.raises(InvalidArchitectureError, match="0 to 32767"):
        SPACE.unindex(index)


def test_neighbors_change_one_width() -> None:
    near = SPACE.neighbors((0, 1, 2, 3, 4))
    assert len(near) == len(set(near)) == 35
    assert all(
        sum(a != b for a, b in zip(other, (0, 1, 2, 3, 4), strict=True)) == 1 for other in near
    )


def test_samples_are_uniform() -> None:
    drawn = np.array(SPACE.sample(np.random.default_rng(0), 40_000))
    for layer in range(LAYERS):
        counts = np.bincount(drawn[:, layer], minlength=8)
        assert abs(counts - 5_000).max() < 5 * np.sqrt(5_000)


def test_the_graph_is_a_row_of_layers() -> None:
    graph = SPACE.graph((0, 0, 4, 3, 4))
    assert graph.labels == (
        *(
            "input",
            "8 channels",
            "8 channels",
            "40 channels",
            "32 channels",
            "40 channels",
            "output",
        ),
    )
    assert graph.edges == tuple((i, i + 1) for i in range(6))


def counted(arch: Architecture, n_classes: int, image: int) -> tuple[int, int]:
    """Count parameters and MACs of the published network, convolution by convolution."""
    widths = [WIDTHS[number] for number in arch]
    weights = operations = 0
    side = image

    def conv(kernel: int, before: int, after: int, *, norm: bool = True) -> None:
        nonlocal weights, operations
        weights += kernel**2 * before * after + (2 * after if norm else 0)
        operations += kernel**2 * before * after * side**2

    conv(3, 3, widths[0])
    before = widths[0]
    for layer, width in enumerate(widths):
        if layer in (1, 3):  # residual block
            side //= 2
            conv(3, before, width)
            conv(3, width, width)
            conv(1, before, width, norm=False)
        else:
            for _ in range(2):  # to nodes 1 and 2
                conv(3, before, width)
            for _ in range(3):  # among the nodes
                conv(3, width, width)
            if before != width:  # the skip to node 3
                conv(1, before, width)
        before = width
    weights += 2 * before + before * n_classes + n_classes
    return weights, operations + before * n_classes + n_classes


@pytest.mark.parametrize(("n_classes", "image"), [(10, 32), (100, 32), (120, 16)])
def test_figures_by_counting(n_classes: int, image: int) -> None:
    cells = SPACE.sample(np.random.default_rng(1), 300)
    rows = np.array(cells, np.uint8)
    found = zip(
        parameters(rows, n_classes).tolist(), macs(rows, n_classes, image).tolist(), strict=True
    )
    assert list(found) == [counted(cell, n_classes, image) for cell in cells]


def test_published_figures() -> None:
    # NATS-Bench's record of 8:8:40:32:40: 0.144834 M parameters, 21.827994 M FLOPs on CIFAR-10.
    figures = SPACE.figures(np.array([[0, 0, 4, 3, 4]], np.uint8))
    assert figures["parameters"].tolist() == [144_834]
    assert figures["macs"].tolist() == [21_827_994]
    assert [figures[f"width_{i}"][0] for i in range(1, 6)] == [8, 8, 40, 32, 40]
