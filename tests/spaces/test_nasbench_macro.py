"""NAS-Bench-Macro's space against networks that are spelled out layer by layer."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.predictors.features import features
from nasbench_tab.registry import load_space
from nasbench_tab.spaces.drawing import draw
from nasbench_tab.spaces.nasbench_macro import N_ARCHITECTURES, NasBenchMacro

SPACE = NasBenchMacro()
ALL = list(product(range(3), repeat=8))
PUBLISHED = Path(__file__).parents[3] / "shared/data/nasbench-macro/nas-bench-macro_cifar10.json"
Layer = tuple[Any, ...]


def layers(arch: tuple[int, ...]) -> list[Layer]:
    """Return every convolution: kernel, channels in and out, groups, height of its output."""
    found: list[Layer] = [(3, 3, 32, 1, 32)]
    width, side = 32, 32
    for layer, op in enumerate(arch):
        out, after = (2 * width, side // 2) if layer in (0, 2, 5) else (width, side)
        if op == 0:
            if layer in (0, 2, 5):
                found.append((1, width, out, 1, after))
        else:
            kernel, hidden = (3, 3 * width) if op == 1 else (5, 6 * width)
            found += [(1, width, hidden, 1, side), (kernel, hidden, hidden, hidden, after)]
            found.append((1, hidden, out, 1, after))
        width, side = out, after
    return [*found, (1, width, 1280, 1, side)]


def counted(arch: tuple[int, ...]) -> tuple[int, int]:
    """Return parameters (each convolution is normalised) and MACs, with the classifier's."""
    convolutions = layers(arch)
    weights = [k * k * a * b // g for k, a, b, g, _ in convolutions]
    parameters = sum(weights) + sum(2 * b for _, _, b, _, _ in convolutions)
    macs = sum(w * s * s for w, (*_, s) in zip(weights, convolutions, strict=True))
    return parameters + 12810, macs + 12800


def test_equal_networks_and_only_they_have_one_representative() -> None:
    by_network: dict[tuple[Layer, ...], set[tuple[int, ...]]] = {}
    for arch in ALL:
        # Where it changes nothing, Identity leaves no trace in the list of convolutions.
        by_network.setdefault(tuple(layers(arch)), set()).add(SPACE.canonical(arch))
    assert all(len(own) == 1 for own in by_network.values())
    representatives = {cell for own in by_network.values() for cell in own}
    assert len(by_network) == len(representatives) == 3969
    assert all(SPACE.canonical(cell) == cell for cell in representatives)


def test_figures_are_those_of_the_layers() -> None:
    found = SPACE.figures(np.array(ALL, np.uint8))
    expected = np.array([counted(arch) for arch in ALL], np.float64)
    assert np.array_equal(found["parameters"], expected[:, 0])
    assert np.array_equal(found["macs"], expected[:, 1])


@given(st.sampled_from(ALL))
def test_text_and_number_read_back(arch: tuple[int, ...]) -> None:
    assert SPACE.parse(SPACE.format(arch)) == arch
    assert SPACE.unindex(SPACE.index(arch)) == arch
    assert 0 <= SPACE.index(arch) < N_ARCHITECTURES
    assert ALL[SPACE.index(arch)] == arch
    assert len(SPACE.neighbors(arch)) == 16


@pytest.mark.parametrize("text", ["", "2221220", "222122020", "22212203", "2221220x", "²²²²²²²²"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidArchitectureError, match="Expected 8 digits"):
        SPACE.parse(text)


@pytest.mark.parametrize("index", [-1, 6561])
def test_other_numbers_are_refused(index: int) -> None:
    with pytest.raises(InvalidArchitectureError, match="Numbers are 0 to 6560"):
        SPACE.unindex(index)


def test_features_and_drawing_tell_the_blocks() -> None:
    found = features(load_space("nasbench-macro"), np.array([(2, 0, 0, 1, 1, 0, 0, 0)], np.uint8))
    values = dict(zip(found.names, found.x[0].tolist(), strict=True))
    assert values["count(MB3_K3)"] == values["most(MB3_K3)"] == 2
    assert values["count(conv_1x1)"] == 2
    assert values["count(identity)"] == 3
    drawing = draw(SPACE.graph((2, 0, 0, 1, 1, 0, 0, 0)))
    assert drawing.count("MB3_K3</text>") == 2
    assert drawing.count("identity</text>") == 3


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published file is not at hand")
def test_published_counts_and_equal_trainings() -> None:
    records = json.loads(PUBLISHED.read_text())
    found = SPACE.figures(np.array([SPACE.parse(name) for name in records], np.uint8))
    assert found["parameters"].tolist() == [record["params"] for record in records.values()]
    assert found["macs"].tolist() == [record["flops"] for record in records.values()]
    for name, record in records.items():
        assert record == records[SPACE.format(SPACE.canonical(SPACE.parse(name)))]
