"""The DARTS space against genotypes that are spelled out edge by edge."""

from __future__ import annotations

import ast
import csv
import json
from itertools import combinations, permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.predictors.features import features
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.convert.darts import from_configspace
from nasbench_tab.spaces.darts import N_ARCHITECTURES, OPERATIONS, PAIRS, Darts, cell_of, parameters
from nasbench_tab.spaces.drawing import draw

SPACE = Darts()
SHARED = Path(__file__).parents[3] / "shared/data"
ARCHITECTURES = st.tuples(*(st.integers(0, n - 1) for n in SPACE.choices))
PUBLISHED = (  # DARTS' own second-order result, as its repository prints it
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), "
    "('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)


def wires(arch: Architecture) -> list[set[tuple[str, int, int]]]:
    """Return ``(operation, from, to)`` of both cells, read from the printed genotype."""
    _, normal, _, reduce = (
        part.split("]")[0] for part in (SPACE.format(arch) + "]").split("=")[:4]
    )
    found = []
    for cell in (normal, reduce):
        pairs = ast.literal_eval(cell + "]")
        found.append({(op, source, 2 + i // 2) for i, (op, source) in enumerate(pairs)})
    return found


def same_network(one: set[tuple[str, int, int]], other: set[tuple[str, int, int]]) -> bool:
    """Return whether some renumbering of the nodes 2 to 5 turns one cell into the other."""
    for order in permutations(range(2, 6)):
        number = {0: 0, 1: 1, **dict(zip(range(2, 6), order, strict=True))}
        if {(op, number[a], number[b]) for op, a, b in one} == other:
            return True
    return False


def renumbered(arch: Architecture, order: tuple[int, ...]) -> Architecture | None:
    """Return the normal cell with its nodes in another order; None where that is none."""
    number = {0: 0, 1: 1, **dict(zip(range(2, 6), order, strict=True))}
    cell = {(op, number[a], number[b]) for op, a, b in wires(arch)[0]}
    if any(a >= b for _, a, b in cell):
        return None
    edges = [
        (OPERATIONS.index(op), a)
        for node in range(2, 6)
        for op, a, _ in sorted(edge for edge in cell if edge[2] == node)
    ]
    return (*cell_of(edges), *arch[11:])


@given(ARCHITECTURES, st.permutations(range(2, 6)))
def test_renumbered_nodes_have_one_representative(arch: Architecture, order: list[int]) -> None:
    assert all(map(same_network, wires(arch), wires(SPACE.canonical(arch))))
    other = renumbered(arch, tuple(order))
    if other is not None:
        assert SPACE.canonical(other) == SPACE.canonical(arch)
        assert same_network(wires(other)[0], wires(arch)[0])


def test_different_networks_have_different_representatives() -> None:
    """All cells with two operations at three places: as many classes as by trying all renumberings."""
    cells = []
    for pairs in product(range(3), range(6), range(10)):
        for ops in product((2, 3), repeat=3):
            cell = (3, 3, pairs[0], ops[0], 3, pairs[1], ops[1], 3, pairs[2], ops[2], 3)
            cells.append((*cell, *[0] * 11))
    rng = np.random.default_rng(0)
    chosen = [cells[i] for i in rng.permutation(len(cells))[:220]]
    own = [SPACE.canonical(cell) for cell in chosen]
    drawn = [wires(cell)[0] for cell in chosen]
    equal = 0
    for a, b in combinations(range(len(chosen)), 2):
        if sorted(op for op, *_ in drawn[a]) == sorted(op for op, *_ in drawn[b]):
            same = same_network(drawn[a], drawn[b])
            equal += same
            assert same == (own[a] == own[b])
    assert equal > 5


@given(ARCHITECTURES)
def test_text_and_number_read_back(arch: Architecture) -> None:
    assert SPACE.parse(SPACE.format(arch)) == arch
    assert SPACE.unindex(SPACE.index(arch)) == arch
    assert 0 <= SPACE.index(arch) < N_ARCHITECTURES


def test_published_genotype_is_read_in_any_order() -> None:
    arch = SPACE.parse(PUBLISHED)
    text = SPACE.format(arch)
    assert "('skip_connect', 0), ('sep_conv_3x3', 1)" in text  # by ascending input
    assert SPACE.parse(text) == SPACE.parse(PUBLISHED.replace(" ", "")) == arch
    assert arch[:11] == (3, 3, 0, 3, 3, 0, 2, 3, 1, 2, 5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not a DARTS genotype"),
        (PUBLISHED.replace("dil_conv_3x3", "dil_conv_7x7"), "Unknown operation 'dil_conv_7x7'"),
        (PUBLISHED.replace("dil_conv_3x3", "none"), "Unknown operation 'none'"),
        (PUBLISHED.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 0)"), "inputs 0 and 0"),
        (PUBLISHED.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)"), "inputs 0 and 5"),
        (
            PUBLISHED.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 2), ('skip_connect', 0)"),
            "9 edges",
        ),
        (PUBLISHED.replace("('dil_conv_3x3', 2)", "dil_conv_3x3, 2"), "is not a list of"),
        (PUBLISHED.replace("[2, 3, 4, 5]", "[2, 3, 4]"), "is not a DARTS genotype"),
        (PUBLISHED * 4, "is not a DARTS genotype"),
    ],
)
def test_other_text_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=problem):
        SPACE.parse(text)


@pytest.mark.parametrize("index", [-1, N_ARCHITECTURES])
def test_other_numbers_are_refused(index: int) -> None:
    with pytest.raises(InvalidArchitectureError, match="Numbers are 0 to"):
        SPACE.unindex(index)


@given(ARCHITECTURES)
def test_neighbors_differ_in_one_edge(arch: Architecture) -> None:
    near = SPACE.neighbors(arch)
    assert len(set(near)) == 120
    before = wires(arch)
    for other in near[::17]:
        after = wires(other)
        changed = [(a - b, b - a) for a, b in zip(before, after, strict=True) if a != b]
        assert [(len(gone), len(new)) for gone, new in changed] == [(1, 1)]
        (((op, source, node),), ((new_op, new_source, new_node),)) = changed[0]
        assert node == new_node
        assert (op == new_op) != (source == new_source)
        assert arch in SPACE.neighbors(other)


def test_draws_are_uniform() -> None:
    """Chi-squared of each position; the pairs and operations are drawn independently."""
    cells = np.array(SPACE.sample(np.random.default_rng(0), 6000))
    for position, n in enumerate(SPACE.choices):
        counts = np.bincount(cells[:, position], minlength=n)
        expected = len(cells) / n
        assert ((counts - expected) ** 2 / expected).sum() < n - 1 + 4 * (2 * (n - 1)) ** 0.5 + 4


def written_out(arch: Architecture, channels: int, layers: int) -> int:
    """Return the parameters without the auxiliary classifier, one weighted layer after the other."""
    shapes = [
        (27, 3 * channels)
    ]  # (weights of an output channel, output channels), each normalised
    before = last = 3 * channels
    width = channels
    for layer in range(layers):
        reduces = layer in (layers // 3, 2 * layers // 3)
        width *= 2 if reduces else 1
        shapes += [(before, width), (last, width)]
        for op, source, _ in wires(arch)[int(reduces)]:
            kind, _, size = op.rpartition("_")
            if op == "skip_connect":
                shapes += [(width, width)] if reduces and source < 2 else []
            elif kind.endswith("conv"):
                for _ in range(2 if kind == "sep_conv" else 1):
                    shapes += [(width, width)]
                    shapes += [(int(size[0]) ** 2 - 2, width)]  # depthwise, not normalised
        before, last = last, 4 * width
    return sum(fan * out + 2 * out for fan, out in shapes) + last * 10 + 10


@given(ARCHITECTURES, st.sampled_from([(32, 8), (36, 20), (16, 5)]))
def test_parameters_are_those_of_the_layers(arch: Architecture, size: tuple[int, int]) -> None:
    found = parameters(np.array([arch]), channels=size[0], layers=size[1], auxiliary=False)
    assert found[0] == written_out(arch, *size)


def test_features_and_drawing_tell_the_cells_apart() -> None:
    arch = SPACE.parse(PUBLISHED)
    found = features(SPACE, np.array([arch], np.uint8))
    values = dict(zip(found.names, found.x[0].tolist(), strict=True))
    assert values["count(sep_conv_3x3)"] == 5
    assert values["count(reduce_max_pool_3x3)"] == 5
    assert values["count(reduce_sep_conv_3x3)"] == 0
    assert values["parameters"] == parameters(np.array([arch]))[0]
    drawing = draw(SPACE.graph(arch))
    assert drawing.count(">sep conv 3×3<") == drawing.count(">max pool 3×3<") == 5
    assert drawing.count("k−2<") == 2


@pytest.mark.skipif(not SHARED.exists(), reason="the published files are not at hand")
def test_published_counts() -> None:
    log = json.loads((SHARED / "nasbench301/results_0.json").read_text())
    arch = from_configspace(log["optimized_hyperparamater_config"])
    found = parameters(np.array([arch]), channels=50, layers=20)
    assert found[0] == log["info"][0]["model_parameters"]
    rows = list(csv.DictReader((SHARED / "darts-space/data-545.csv").read_text().splitlines()))
    rows = [row for row in rows if "'none'" not in row["architecture"]]
    cells = np.array([SPACE.parse(row["architecture"]) for row in rows])
    counts = parameters(cells, channels=36, layers=20, auxiliary=False) / 1e6
    assert len(rows) == 186
    np.testing.assert_allclose(counts, [float(row["params"]) for row in rows], atol=1e-9)


def test_pairs_are_all() -> None:
    assert {node: len(pairs) for node, pairs in PAIRS.items()} == {2: 1, 3: 3, 4: 6, 5: 10}
    assert N_ARCHITECTURES == (7**8 * 180) ** 2
