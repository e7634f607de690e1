"""The NAS-Bench-101 space: limits after pruning, hashes, canonical cells and figures."""

from __future__ import annotations

import ast
import json
import tarfile
from collections.abc import Iterator
from itertools import pairwise, permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from importers.nasbench101_file import BUDGETS, cells, module_hash

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.records import Architecture
from nasbench_tab.registry import load_space
from nasbench_tab.spaces.convert.nasbench101 import from_matrix, matrix_hash, to_matrix
from nasbench_tab.spaces.drawing import draw
from nasbench_tab.spaces.nasbench101 import (
    _CHOICES,
    EDGES,
    MAX_EDGES,
    N_NETWORKS,
    OPERATIONS,
    VERTICES,
    NasBench101,
    _ordered,
    figures_of,
    live_vertices,
    network_of,
)

SPACE = NasBench101()
N = len(EDGES)
INCEPTION = (
    "0111010000000100000010000100000000100000010000000|input,conv1x1-bn-relu,conv3x3-bn-relu,"
    "conv3x3-bn-relu,conv3x3-bn-relu,maxpool3x3,output"
)

draws = st.tuples(*(st.integers(0, n - 1) for n in _CHOICES))
# Sparse and dense ones, so that many are valid.
architectures = (
    st.tuples(
        st.lists(st.floats(0, 1), min_size=N, max_size=N),
        st.floats(0.1, 0.7),
        st.lists(st.integers(0, 2), min_size=5, max_size=5),
    )
    .map(lambda drawn: (*(int(x < drawn[1]) for x in drawn[0]), *drawn[2]))
    .filter(SPACE.contains)
)


def by_hand(arch: Architecture) -> tuple[list[list[int]], list[str]] | None:
    """Prune by trying every set of vertices for a way; None where there is no way."""
    matrix, ops = [[0] * 7 for _ in range(7)], [OPERATIONS[op] for op in arch[N:]]
    for bit, (i, j) in zip(arch[:N], EDGES, strict=True):
        matrix[i][j] = bit
    live = {
        vertex
        for inner in product((0, 1), repeat=5)
        for way in [(0, *(i + 1 for i, used in enumerate(inner) if used), 6)]
        if all(matrix[a][b] for a, b in pairwise(way))
        for vertex in way
    }
    if not live:
        return None
    kept = sorted(live)
    names = ["input", *ops, "output"]
    return [[matrix[i][j] for j in kept] for i in kept], [names[i] for i in kept]


def relabelled(arch: Architecture) -> Iterator[Architecture]:
    """Yield every architecture that has the same vertices, numbered in another order."""
    matrix, _ = to_matrix(arch)
    for inner in permutations(range(1, 6)):
        order = (0, *inner, 6)
        new = [[matrix[a][b] for b in order] for a in order]
        if not any(new[i][j] for i in range(7) for j in range(i + 1)):
            yield (*(new[i][j] for i, j in EDGES), *(arch[N + v - 1] for v in inner))


# --- What is in the space -----------------------------------------------------------------------------


def test_what_the_space_is() -> None:
    space = load_space("nasbench101")
    assert space.choices == SPACE.choices == (2,) * 21 + (3,) * 5
    assert space.size == N_NETWORKS == 423_624
    positions = sorted(place for group in SPACE.groups or () for place in group)
    assert positions == list(range(26))
    for target, group in enumerate(SPACE.groups or (), start=1):
        assert [EDGES[place][1] for place in group if place < N] == [target] * target


@given(draws)
@settings(max_examples=300)
def test_the_limits_hold_after_pruning(arch: Architecture) -> None:
    pruned = by_hand(arch)
    within = pruned is not None and sum(map(sum, pruned[0])) <= MAX_EDGES
    assert SPACE.contains(arch) == within
    if not within:
        with pytest.raises(InvalidArchitectureError, match="After pruning"):
            SPACE.check(arch)
        with pytest.raises(InvalidArchitectureError, match="After pruning"):
            network_of(arch)


def test_edges_that_are_not_used_do_not_count() -> None:
    # 0 -> 6, and ten edges among the vertices between: none of them leads on.
    arch = (*(int(edge == (0, 6) or 0 < edge[0] < edge[1] < 6) for edge in EDGES), *(0,) * 5)
    assert sum(arch[:N]) == 11
    assert SPACE.contains(arch)
    assert live_vertices(arch) == (0, 6)
    assert SPACE.canonical(arch) == (*(int(edge == (0, 6)) for edge in EDGES), *(0,) * 5)
    assert not SPACE.contains((1,) * N + (0,) * 5)
    assert not SPACE.contains((0,) * 26)


@given(architectures)
@settings(max_examples=200)
def test_hash_and_network_are_those_by_hand(arch: Architecture) -> None:
    pruned = by_hand(arch)
    assert pruned is not None
    assert SPACE.published_hash(arch) == module_hash(*pruned)
    matrix, ops = to_matrix(SPACE.canonical(arch))
    n = len(pruned[1])
    assert len(live_vertices(SPACE.canonical(arch))) == n
    assert ops[n - 1 : 6] == [OPERATIONS[0]] * (7 - n)
    assert not any(matrix[i][j] for i in range(7) for j in range(n - 1, 6))


@given(architectures)
@settings(max_examples=40, deadline=None)
def test_every_relabelling_is_the_same_network(arch: Architecture) -> None:
    own, digest = SPACE.canonical(arch), SPACE.published_hash(arch)
    assert SPACE.canonical(own) == own
    for other in relabelled(arch):
        assert SPACE.canonical(other) == own
        assert SPACE.published_hash(other) == digest


def test_networks_of_five_vertices_are_told_apart_as_by_the_hash() -> None:
    """Of all pruned cells up to 5 vertices there are 2,532 networks, as in EC-NAS-Bench's list."""
    forms, hashes, pairs = set(), set(), set()
    for n in range(2, 6):
        free = [(i, j) for i in range(n) for j in range(i + 1, n)]
        for bits in product((0, 1), repeat=len(free)):
            edges = {edge for edge, bit in zip(free, bits, strict=True) if bit}
            if {i for i, _ in edges} != set(range(n - 1)) or len(edges) > 9:
                continue
            if {j for _, j in edges} != set(range(1, n)):
                continue
            matrix = [[int((i, j) in edges) for j in range(n)] for i in range(n)]
            for ops in product(OPERATIONS, repeat=n - 2):
                cell = from_matrix(matrix, ("input", *ops, "output"))
                form, digest = SPACE.canonical(cell), SPACE.published_hash(cell)
                forms.add(form)
                hashes.add(digest)
                pairs.add((form, digest))
    assert len(forms) == len(hashes) == len(pairs) == 2_532


def test_there_are_as_many_networks_as_published() -> None:
    """Count matrices in canonical order, and for each the labellings that symmetries leave different."""
    numbers = np.arange(2**N, dtype=np.uint32)
    numbers = numbers[np.bitwise_count(numbers) <= MAX_EDGES]
    bits = (numbers[:, None] >> np.arange(N, dtype=np.uint32) & 1).astype(bool)
    sources, ends = np.array(EDGES).T
    total = 0
    seen = set()
    for n in range(2, VERTICES + 1):
        inside = [(i, 6 if j == n - 1 else j) for i in range(n) for j in range(i + 1, n)]
        outside = [place for place, edge in enumerate(EDGES) if edge not in inside]
        own = bits[~bits[:, outside].any(axis=1)]
        for vertex in (*range(n - 1), 6):
            if vertex < 6:
                own = own[own[:, sources == vertex].any(axis=1)]
            if vertex:
                own = own[own[:, ends == vertex].any(axis=1)]
        for row in own.tolist():
            cell = (*map(int, row), *(0,) * 5)
            targets = network_of(cell).targets
            form, orders = _ordered(targets)
            if (n, form) in seen:
                continue
            seen.add((n, form))
            place = {vertex: i for i, vertex in enumerate(orders[0])}
            fixed = [3 ** cycles([place[vertex] for vertex in order]) for order in orders]
            assert sum(fixed) % len(orders) == 0
            total += sum(fixed) // len(orders)
    assert total == N_NETWORKS


def cycles(permutation: list[int]) -> int:
    left, count = set(range(len(permutation))), 0
    while left:
        count += 1
        start = at = left.pop()
        while permutation[at] != start:
            at = permutation[at]
            left.remove(at)
    return count


# --- Forms and numbers --------------------------------------------------------------------------------


@given(architectures)
def test_forms_and_numbers_read_back(arch: Architecture) -> None:
    assert SPACE.parse(SPACE.format(arch)) == arch
    assert SPACE.unindex(SPACE.index(arch)) == arch


def test_numbers_are_mixed_radix_with_gaps() -> None:
    arch = SPACE.parse(INCEPTION)
    bits, ops = "".join(map(str, arch[:N])), "".join(map(str, arch[N:]))
    assert SPACE.index(arch) == int(bits, 2) * 3**5 + int(ops, 3)
    for wrong in (-1, 0, 2**21 * 3**5, 2**62):
        with pytest.raises(InvalidArchitectureError, match="There is no architecture"):
            SPACE.unindex(wrong)


def test_smaller_cells_are_padded_before_the_output() -> None:
    small = SPACE.parse("0110001000010000|input,conv1x1-bn-relu,maxpool3x3,output")
    assert {EDGES[i] for i in range(N) if small[i]} == {(0, 1), (0, 2), (1, 2), (2, 6)}
    assert small[N:] == (1, 2, 0, 0, 0)
    padded = "0110000001000000000010000000000000000000000000000|input,conv1x1-bn-relu,maxpool3x3,"
    padded += "conv3x3-bn-relu,conv3x3-bn-relu,conv3x3-bn-relu,output"
    assert SPACE.format(small) == padded
    assert SPACE.canonical(small) == small


def test_more_than_seven_vertices_are_pruned_first() -> None:
    n = 9  # input -> 3 -> output, all others dead
    bits = ["0"] * n * n
    for i, j in ((0, 3), (3, 8), (0, 1), (1, 2), (4, 8), (5, 6)):
        bits[i * n + j] = "1"
    ops = ["input", *["conv3x3-bn-relu"] * 2, "maxpool3x3", *["conv3x3-bn-relu"] * 4, "output"]
    cell = SPACE.parse(f"{''.join(bits)}|{','.join(ops)}")
    assert cell == SPACE.parse("010001000|input,maxpool3x3,output")
    for i in range(n - 1):
        bits[i * n + i + 1] = "1"
    with pytest.raises(InvalidArchitectureError, match=r"9 vertices and 1\d edges"):
        SPACE.parse(f"{''.join(bits)}|{','.join(ops)}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0110|input,output|", "first operation"),
        ("0110|input,output", "must lead from a vertex to a later one"),
        ("1100|input,output", "must lead from a vertex to a later one"),
        ("0000|input,output", "no way leads"),
        ("0|input", "first operation must be input and the last output"),
        ("0|output", "first operation must be input"),
        ("0100|output,input", "first operation must be input"),
        ("010001000|input,conv5x5,output", "Unknown operation 'conv5x5'"),
        ("010001000|input,input,output", "Unknown operation 'input'"),
        ("01000100|input,maxpool3x3,output", "V x V bits"),
        ("0200|input,output", "V x V bits"),
        ("0١00|input,output", "V x V bits"),
        ("|", "V x V bits"),
    ],
)
def test_other_texts_are_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=problem):
        SPACE.parse(text)


# --- Neighbors and samples ----------------------------------------------------------------------------


@given(architectures)
@settings(max_examples=60)
def test_neighbors_are_all_valid_single_changes(arch: Architecture) -> None:
    expected = {
        (*arch[:i], option, *arch[i + 1 :])
        for i, n in enumerate(_CHOICES)
        for option in range(n)
        if option != arch[i]
    }
    near = SPACE.neighbors(arch)
    assert set(near) == set(filter(SPACE.contains, expected))
    assert len(near) == len(set(near))
    assert 10 <= len(near) <= 31  # an operation can always change


def test_samples_are_uniform_over_valid_draws() -> None:
    """The same share of each bit as among valid draws of another generator, to five standard errors."""
    n = 4000
    found = np.array(SPACE.sample(np.random.default_rng(5), n))
    rng = np.random.default_rng(6)
    other: list[Architecture] = []
    while len(other) < n:
        matrix = np.triu(rng.integers(0, 2, (7, 7)), 1)
        arch = (*(int(matrix[i, j]) for i, j in EDGES), *rng.integers(0, 3, 5).tolist())
        if SPACE.contains(arch):
            other.append(arch)
    expected = np.array(other)
    for a, b in ((found[:, :N], expected[:, :N]), (found[:, N:] == 1, expected[:, N:] == 1)):
        off = a.mean(axis=0) - b.mean(axis=0)
        assert (np.abs(off) < 5 * np.sqrt(2 * 0.25 / n)).all()


# --- Figures and drawings -----------------------------------------------------------------------------


def test_the_published_example() -> None:
    arch = SPACE.parse(INCEPTION)
    assert SPACE.published_hash(arch) == "28cfc7874f6d200472e1a9dcd8650aa0"
    assert figures_of(network_of(arch))[0] == 2_694_282
    matrix, ops = to_matrix(arch)
    for kind in (np.int8, np.int64, np.float32, np.float64, np.bool_, np.uint8):
        assert matrix_hash(np.array(matrix, kind), ops) == "28cfc7874f6d200472e1a9dcd8650aa0"


@given(architectures)
@settings(max_examples=60, deadline=None)
def test_figures_of_one_network_differ_by_the_remainder_only(arch: Architecture) -> None:
    found = SPACE.figures(np.array(list(relabelled(arch)), np.uint8))
    for values in found.values():
        assert np.ptp(values) <= 0.05 * values.max()
    assert found["parameters"].min() > 0


def test_drawings_have_an_operation_for_each_used_vertex() -> None:
    graph = SPACE.graph(SPACE.parse("0110001000010000|input,conv1x1-bn-relu,maxpool3x3,output"))
    assert graph.labels == ("input", "conv1x1-bn-relu", "maxpool3x3", "output")
    assert set(graph.edges) == {(0, 1), (0, 2), (1, 2), (2, 3)}
    drawing = draw(SPACE.graph(SPACE.parse(INCEPTION)))
    assert drawing.count(">conv 3×3<") == 3
    assert drawing.count(">max pool 3×3<") == 1


# --- Published cells ----------------------------------------------------------------------------------


def published(archive: Path) -> Iterator[dict[str, Any]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                yield json.load(file)


def graphs(file: Path) -> dict[str, tuple[list[list[int]], list[str]]]:
    found = json.loads(file.read_text())
    names = {-1: "input", -2: "output", **dict(enumerate(OPERATIONS))}
    return {
        digest: (m, [names[label] for label in labels]) for digest, (m, labels) in found.items()
    }


def test_listed_graphs_have_their_hashes_and_are_canonical(shared_data: Path) -> None:
    for name, count in (("generated_graphs_4V9E.json", 91), ("generated_graphs_5V9E.json", 2532)):
        found = graphs(shared_data / "ec-nas-bench" / name)
        assert len(found) == count
        for digest, (matrix, ops) in found.items():
            cell = from_matrix(matrix, ops)
            assert SPACE.published_hash(cell) == matrix_hash(matrix, ops) == digest
            assert SPACE.canonical(cell) == cell  # the list has the authors' representatives


def test_published_cells_are_canonical_and_have_the_published_parameters(shared_data: Path) -> None:
    count = 0
    for record in published(shared_data / "nasbench101/clue_nas.nasbench101_cifar10.tar.gz"):
        cell = from_matrix(record["adj_matrix"], record["operations"])
        assert SPACE.canonical(cell) == cell
        assert figures_of(network_of(cell))[0] == record["params"]
        assert all(record[f"test_accuracy_{epochs}"] > 0 for epochs in BUDGETS)
        count += 1
    assert count == 100


def test_retrained_cells_have_the_parameters_of_the_closed_form(shared_data: Path) -> None:
    found = graphs(shared_data / "ec-nas-bench" / "generated_graphs_5V9E.json")
    for record in published(shared_data / "ec-nas-bench/ecnas_5V9E_4epochs.tar.gz"):
        cell = from_matrix(*found[record["model_hash"]])
        assert figures_of(network_of(cell))[0] == record["trainable_params"]


def test_figures_of_cells_with_counted_operations(shared_data: Path) -> None:
    """That count has 3 per normalised value, 9 per pooled one, and pooling between stacks, besides MACs."""
    names = {2: "maxpool3x3", 3: "conv1x1-bn-relu", 4: "conv3x3-bn-relu"}
    records = json.loads((shared_data / "nasbench101" / "zc_nasbench101.json").read_text())
    for key, record in records["nasbench101"]["cifar10"].items():
        numbers = ast.literal_eval(key)
        ops = ["input", *(names[op] for op in numbers[50:55]), "output"]
        cell = from_matrix(np.array(numbers[:49]).reshape(7, 7), ops)
        parameters, macs = figures_of(network_of(cell))
        assert parameters / 1e6 == pytest.approx(record["params"], abs=1e-9)
        assert macs + others(cell) == pytest.approx(record["flops"] * 1e6, abs=1)


def others(arch: Architecture) -> int:
    """Count normalised and pooled values of a network by walking through its nine cells."""
    matrix, ops = by_hand(arch) or ([], [])
    n, total = len(ops), 3 * 128 * 32**2 + 196_608
    for stack in range(3):
        width, pixels = 128 << stack, (32 >> stack) ** 2
        channels = {n - 1: width}
        joined = [v for v in range(1, n - 1) if matrix[v][-1]]
        for v in range(n - 2, 0, -1):
            if v in joined:
                share, rest = divmod(width, len(joined))
                channels[v] = share + (joined.index(v) < rest)
            else:
                channels[v] = max(channels[w] for w in range(v + 1, n - 1) if matrix[v][w])
        each = 0
        for v in range(1, n):
            each += 3 * channels[v] * matrix[0][v]  # the projection of the input
            if v < n - 1:
                each += channels[v] * (9 if ops[v] == "maxpool3x3" else 3)
        total += 3 * each * pixels
    return total


def test_made_up_files_have_canonical_cells() -> None:
    """The tests' own enumeration yields the representatives that the space chooses."""
    for _, (matrix, ops) in zip(range(2000), cells(), strict=False):
        cell = from_matrix(matrix, ops)
        assert SPACE.canonical(cell) == cell
