"""The NAS-Bench-201 cell with stages of its own: forms, numbers, and which architectures are one network."""

from __future__ import annotations

import math
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.records import Architecture
from nasbench_tab.registry import load_space
from nasbench_tab.spaces.nasbench201 import EDGES, NasBench201
from nasbench_tab.spaces.nasbench201_macro import (
    _SQUARES,
    CELLS,
    N_ARCHITECTURES,
    WIDTHS,
    NasBench201Macro,
    figures,
    stages,
)

SPACE, CELL = NasBench201Macro(), NasBench201()
NONE, SKIP, CONV1, CONV3, POOL = range(5)
NOTHING, IDENTITY = (0,) * 6, (0, 0, 0, SKIP, 0, 0)
TEXT = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|@8x1,12x2,16x1"

architectures = st.tuples(*(st.integers(0, n - 1) for n in SPACE.choices))


# --- Forms and numbers --------------------------------------------------------------------------------


def test_the_size_of_the_space() -> None:
    assert math.prod(SPACE.choices) == N_ARCHITECTURES == 15_625 * 125 * 8
    assert SPACE.size is None  # nothing may list it
    assert load_space("nasbench201-macro").choices == SPACE.choices


def test_an_example_by_hand() -> None:
    arch = (3, 0, 0, 1, 0, 0, 2, 3, 4, 0, 1, 0)
    assert SPACE.parse(TEXT) == SPACE.parse(f" {TEXT}\n") == arch
    assert SPACE.format(arch) == TEXT
    assert stages(arch) == ((3, 0, 0, 1, 0, 0), ((8, 1), (12, 2), (16, 1)))


@given(architectures)
def test_forms_and_numbers_read_back(arch: Architecture) -> None:
    assert SPACE.check(arch) == arch
    assert SPACE.parse(SPACE.format(arch)) == arch
    assert SPACE.unindex(SPACE.index(arch)) == arch
    assert SPACE.index(arch) // 1000 == CELL.index(arch[:6])


@given(st.integers(0, N_ARCHITECTURES - 1))
def test_every_number_is_one_architecture(index: int) -> None:
    assert SPACE.index(SPACE.unindex(index)) == index


def test_the_stages_count_on_below_the_cell() -> None:
    first = SPACE.unindex(11_000)
    assert first == (*CELL.unindex(11), 0, 0, 0, 0, 0, 0)
    assert SPACE.unindex(11_001) == (*first[:-1], 1)
    assert SPACE.unindex(11_008) == (*first[:8], 1, 0, 0, 0)
    assert SPACE.unindex(11_999) == (*CELL.unindex(11), 4, 4, 4, 1, 1, 1)


@pytest.mark.parametrize("index", [-1, N_ARCHITECTURES, 2**62])
def test_numbers_of_nothing_are_refused(index: int) -> None:
    with pytest.raises(InvalidArchitectureError, match="0 to 15624999"):
        SPACE.unindex(index)


@pytest.mark.parametrize(
    "text",
    [
        TEXT.partition("@")[0],
        TEXT.replace("@", ""),
        TEXT.replace("16x1", "16"),
        TEXT.replace("16x1", "16x1,16x1"),
        TEXT.replace(",16x1", ""),
        TEXT.replace("16x1", "32x1"),
        TEXT.replace("16x1", "16x3"),
        TEXT.replace("16x1", "016x1"),
        TEXT.replace("8x1", " 8x1"),
        TEXT.replace("none~1", "nope~1"),
        TEXT + "@8x1,12x2,16x1",
        "@8x1,12x2,16x1",
        "@",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArchitectureError):
        SPACE.parse(text)


def test_a_refused_text_says_what_was_expected() -> None:
    with pytest.raises(InvalidArchitectureError, match=r"one of 4, 6, 8, 12, 16 .* \|.*@\d+x\d"):
        SPACE.parse(TEXT.replace("16x1", "32x1"))


def test_neighbors_change_one_operation_width_or_number_of_cells() -> None:
    arch = SPACE.parse(TEXT)
    near = SPACE.neighbors(arch)
    changed = [[i for i in range(12) if a[i] != arch[i]] for a in near]
    assert all(len(places) == 1 for places in changed)
    counts = np.bincount([places[0] for places in changed], minlength=12)
    assert counts.tolist() == [4] * 6 + [4] * 3 + [1] * 3


def test_the_graph_is_the_cells() -> None:
    assert SPACE.graph(SPACE.parse(TEXT)) == CELL.graph((3, 0, 0, 1, 0, 0))


# --- Which architectures are one network --------------------------------------------------------------


@given(architectures)
def test_canonical_is_canonical(arch: Architecture) -> None:
    canonical = SPACE.canonical(arch)
    assert SPACE.canonical(canonical) == canonical
    assert SPACE.contains(canonical)
    cell = canonical[:6]
    assert CELL.canonical(cell) == cell
    if cell not in (NOTHING, IDENTITY, *_SQUARES.values()):
        assert canonical == (*CELL.canonical(arch[:6]), *arch[6:])
    if cell != NOTHING:
        assert canonical[6:9] == arch[6:9]


def test_the_number_of_distinct_networks() -> None:
    cells = sorted({CELL.canonical(cell) for cell in product(range(5), repeat=6)})
    depths = list(product((0, 1), repeat=3))
    found = {SPACE.canonical((*cell, 1, 2, 3, *d)) for cell in cells for d in depths}
    nothing = {SPACE.canonical((*NOTHING, *w, 1, 0, 1)) for w in product(range(5), repeat=3)}
    assert len(nothing) == 5
    assert (len(found) - 1) * 125 + len(nothing) == 5_257_255


def test_cells_that_change_nothing_may_be_one_or_two() -> None:
    chain = (SKIP, NONE, SKIP, NONE, NONE, SKIP)
    for depths in product((0, 1), repeat=3):
        assert SPACE.canonical((*chain, 1, 2, 3, *depths)) == (*IDENTITY, 1, 2, 3, 0, 0, 0)


def test_behind_nothing_only_the_last_width_remains() -> None:
    dead = (CONV3, CONV3, CONV3, NONE, NONE, NONE)
    assert SPACE.canonical((*dead, 1, 2, 3, 1, 0, 1)) == (*NOTHING, 0, 0, 3, 0, 0, 0)


def test_two_convolutions_in_a_row_are_two_cells_of_one() -> None:
    one, two = (0, 0, 0, CONV3, 0, 0), (CONV3, 0, 0, 0, CONV3, 0)
    same = SPACE.canonical((*two, 4, 0, 2, 0, 0, 0))
    assert SPACE.canonical((*one, 4, 0, 2, 1, 1, 1)) == same
    for depths in set(product((0, 1), repeat=3)) - {(1, 1, 1)}:
        assert SPACE.canonical((*one, 4, 0, 2, *depths)) != same
    assert SPACE.canonical((*two, 4, 0, 2, 1, 1, 1)) != same


@pytest.mark.slow
def test_the_squares_are_all_there_are() -> None:
    """Over all distinct cells: what a cell applied twice computes, as a formal sum, against all cells."""
    cells = sorted({CELL.canonical(cell) for cell in product(range(5), repeat=6)})
    once = {_key(_applied(cell, ((("x",), 1),), 0)): cell for cell in cells}
    assert len(once) == len(cells) == 5_260
    twice: dict[Any, Architecture] = {}
    for cell in cells:
        key = _key(_applied(cell, _applied(cell, ((("x",), 1),), 0), len(EDGES)))
        assert key not in twice, f"{cell} and {twice[key]} have one square: they need one form"
        twice[key] = cell
    found = {cell: once[key] for key, cell in twice.items() if key in once}
    assert found == {NOTHING: NOTHING, IDENTITY: IDENTITY, **_SQUARES}


def _applied(cell: Architecture, start: Any, first: int) -> Any:
    """The cell's output, {term: times} as a sorted tuple; convolutions are named ``first`` + edge."""
    nodes = [start, {}, {}, {}]
    for edge, (source, target) in enumerate(EDGES):
        inputs = tuple(sorted(dict(nodes[source]).items(), key=repr))
        if cell[edge] == NONE or not inputs:
            continue
        name = None if cell[edge] == POOL else first + edge
        terms = inputs if cell[edge] == SKIP else (((cell[edge], name, inputs), 1),)
        for term, times in terms:
            nodes[target][term] = nodes[target].get(term, 0) + times
    return tuple(sorted(nodes[3].items(), key=repr))


def _key(output: Any) -> str:
    """The least of all texts of a sum, over the ways to name its convolutions within each kind."""
    kinds: dict[str, list[int]] = {}
    for op, name, inputs in sorted(set(_convolutions(output)), key=repr):
        kinds.setdefault(repr((op, _named(inputs, None))), []).append(name)
    ways = product(*(permutations(names) for _, names in sorted(kinds.items())))
    return min(
        repr(_named(output, {name: i for way in ways_ for i, name in enumerate(way)}))
        for ways_ in ways
    )


def _convolutions(total: Any) -> Any:
    for term, _ in total:
        if len(term) == 3:
            if term[1] is not None:
                yield term
            yield from _convolutions(term[2])


def _named(total: Any, names: dict[int, int] | None) -> Any:
    merged: dict[Any, int] = {}
    for term, times in total:
        if len(term) == 3:
            op, name, inputs = term
            new = name if name is None else 0 if names is None else names[name]
            term = (op, new, _named(inputs, names))  # noqa: PLW2901 - the same term, renamed
        merged[term] = merged.get(term, 0) + times
    return tuple(sorted(merged.items(), key=repr))


# --- Figures ------------------------------------------------------------------------------------------


def test_figures_by_hand() -> None:
    arch = (CONV3, 0, 0, CONV1, SKIP, 0, 0, 2, 4, 1, 0, 0)  # 4, 8, 16 channels, 2, 1, 1 cells
    cell = {w: (w * w + 2 * w) + (9 * w * w + 2 * w) for w in (4, 8, 16)}
    parameters = 9 * 4 + 8 + 2 * cell[4] + (32 + 16) + cell[8] + (128 + 32) + cell[16] + 32 + 170
    macs = 36 * 100 + 2 * 160 * 100 + 32 * 25 + 640 * 25 + 128 * 9 + 2560 * 9 + 170
    found = SPACE.figures(np.array([arch], np.uint8))
    assert {name: values.tolist() for name, values in found.items()} == {
        "parameters": [parameters],
        "macs": [macs],
        "cells": [4],
        "width_1": [4],
        "cells_1": [2],
        "width_2": [8],
        "cells_2": [1],
        "width_3": [16],
        "cells_3": [1],
    }


def test_figures_of_many_are_those_of_each() -> None:
    cells = np.array(SPACE.sample(np.random.default_rng(3), 50), np.uint8)
    many = figures(cells, side=7, in_channels=3, n_classes=5)
    each = [figures(cells[i : i + 1], side=7, in_channels=3, n_classes=5) for i in range(50)]
    for name, values in many.items():
        assert values.dtype == np.float64
        assert values.tolist() == [one[name].item() for one in each]
    assert SPACE.figures(cells[:0])["macs"].shape == (0,)


def test_widths_and_cells_ascend() -> None:  # so that their positions are ordered too
    assert sorted(set(WIDTHS)) == list(WIDTHS)
    assert sorted(set(CELLS)) == list(CELLS)
