"""Features of architectures: of the network, not of its spelling; the same alone and among others."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.base import groups_of
from nasbench_tab.predictors.features import VERSION, Features, features
from nasbench_tab.records import Architecture, Graph
from nasbench_tab.registry import load_space, space_names
from nasbench_tab.spaces.nasbench201 import NasBench201, macs, parameters

SPACE = load_space("nasbench201")


@cache
def everything() -> Features:
    return features(SPACE, np.array([SPACE.unindex(i) for i in range(15_625)], np.uint8))


def named(found: Features, row: int = 0) -> dict[str, float]:
    return dict(zip(found.names, found.x[row].tolist(), strict=True))


def test_all_cells_have_finite_features() -> None:
    found = everything()
    assert found.x.shape == (15_625, len(found.names))
    assert found.x.dtype == np.float32
    assert np.isfinite(found.x).all()
    assert len(set(found.names)) == len(found.names)


def test_features_are_the_same_for_the_same_network_and_differ_for_others() -> None:
    cells = np.array([SPACE.unindex(i) for i in range(15_625)], np.uint8)
    groups = groups_of(SPACE, cells)
    _, kinds = np.unique(everything().x, axis=0, return_inverse=True)
    pairs = np.unique(np.stack([groups, kinds]), axis=1)
    assert pairs.shape[1] == len(np.unique(groups)) == len(np.unique(kinds)) == 5_260


@given(st.lists(st.integers(0, 15_624), max_size=20))
@settings(max_examples=30)
def test_a_cell_has_the_same_features_alone_and_among_others(indices: list[int]) -> None:
    cells = np.array([SPACE.unindex(i) for i in indices], np.uint8).reshape(-1, 6)
    found = features(SPACE, cells)
    assert np.array_equal(found.x, everything().x[indices])
    assert found.names == everything().names


def test_columns_change_only_with_the_version() -> None:
    """Fitted models are laid out for these columns: if this fails, VERSION goes up."""
    digest = sha256("\n".join(everything().names).encode()).hexdigest()[:16]
    values = sha256(everything().x[:2000].astype("<f4").tobytes()).hexdigest()[:16]
    assert (VERSION, digest, values) == (1, "7c91913f10a8847a", "64a04f6dd078427d")


def test_known_features_of_a_known_cell() -> None:
    text = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
    found = named(features(SPACE, np.array([SPACE.parse(text)], np.uint8)))
    assert found["live(nor_conv_3x3)"] == found["live(skip_connect)"] == 1
    assert found["paths(all)"] == 2
    assert found["longest(all)"] == 3
    assert found["shortest(skip_connect)"] == 1
    assert found["shortest(nor_conv_3x3)"] == 7  # there is none: one more than operations fit
    assert found["parameters"] == parameters(SPACE.parse(text), 10)


@pytest.mark.parametrize("name", space_names())
def test_every_space_has_features(name: str) -> None:
    space = load_space(name)
    cells = np.array(space.sample(np.random.default_rng(1), 60), np.uint8)
    found = features(space, cells)
    assert np.isfinite(found.x).all()
    own = np.array([space.canonical(cell) for cell in map(tuple, cells.tolist())], np.uint8)
    assert np.array_equal(features(space, own).x, found.x)
    assert features(space, cells[:0]).x.shape == (0, len(found.names))


def test_figures_are_the_closed_forms() -> None:
    cells = SPACE.sample(np.random.default_rng(2), 300)
    found = SPACE.figures(np.array(cells, np.uint8))
    assert found["parameters"].tolist() == [parameters(cell, 10) for cell in cells]
    assert found["macs"].tolist() == [macs(cell, 10, 32) for cell in cells]


def test_an_operation_that_shows_up_later_is_refused() -> None:
    class Growing(NasBench201):
        def graph(self, arch: Architecture) -> Graph:
            labels, edges = super().graph(arch)
            if arch == (3, 3, 3, 3, 3, 3):
                labels = tuple("later" if label == "nor_conv_3x3" else label for label in labels)
            return Graph(labels, edges)

    with pytest.raises(SurrogateError, match="'later'"):
        features(Growing(), np.full((1, 6), 3, np.uint8))
