"""The canonical form of NAS-Bench-201 against two oracles."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from nasbench_tab.records import Architecture
from nasbench_tab.spaces.nasbench201 import EDGES

from .nasbench201_cells import CELLS, CONV1, CONV3, NONE, POOL, PRIME, SKIP, SPACE, WEIGHTS

# --- canonical form: an oracle without floating point -----------------------------------------
#
# A cell is evaluated as a function over the integers modulo a prime. Each convolution is a random
# cubic without constant term (zero in, zero out, so dead edges vanish by themselves), the pool is
# one fixed map, and all ways of handing k sets of weights to the k live convolutions of a kind are
# tried. Two cells compute the same function, up to which convolution holds which weights, exactly
# if they take the same values (up to a chance of about one in 10^9 for each pair).


def live_convolutions(cell: Architecture, kind: int) -> list[int]:
    fed, used = {0}, {3}
    for (source, target), op in zip(EDGES, cell, strict=True):
        if op != NONE and source in fed:
            fed.add(target)
    for (source, target), op in reversed(list(zip(EDGES, cell, strict=True))):
        if op != NONE and target in used:
            used.add(source)
    return [
        edge
        for edge, (source, target) in enumerate(EDGES)
        if cell[edge] == kind and source in fed and target in used
    ]


ARRANGEMENTS = [
    np.array(list(permutations(range(k))), int).reshape(math.factorial(k), k) for k in range(7)
]


def values(cell: Architecture, *, linear_pool: bool) -> tuple[int, ...]:
    """The cell's outputs for one input, over all ways of handing out the weights, sorted."""
    one, three = live_convolutions(cell, CONV1), live_convolutions(cell, CONV3)
    first, second = ARRANGEMENTS[len(one)], ARRANGEMENTS[len(three)]
    holder = {edge: np.repeat(first[:, i], len(second)) for i, edge in enumerate(one)}
    holder |= {edge: np.tile(second[:, i], len(first)) for i, edge in enumerate(three)}
    nodes = [np.full(len(first) * len(second), 123_456_789)]
    nodes += [np.zeros_like(nodes[0]) for _ in range(3)]
    unlabelled = np.zeros(1, int)
    for edge, ((source, target), op) in enumerate(zip(EDGES, cell, strict=True)):
        x = nodes[source]
        if op == POOL and linear_pool:
            x = x * WEIGHTS[POOL, 0, 0] % PRIME
        elif op in (CONV1, CONV3, POOL):
            a, b, c = WEIGHTS[op][unlabelled if op == POOL else holder.get(edge, unlabelled)].T
            x = ((a * x % PRIME + b) * x % PRIME + c) * x % PRIME
        if op != NONE:
            nodes[target] = (nodes[target] + x) % PRIME
    return tuple(np.sort(nodes[3]).tolist())


@cache
def classes(*, linear_pool: bool) -> dict[tuple[int, ...], list[Architecture]]:
    groups: dict[tuple[int, ...], list[Architecture]] = defaultdict(list)
    for cell in CELLS:
        groups[values(cell, linear_pool=linear_pool)].append(cell)
    return groups


def test_canonical_form_is_equality_of_networks() -> None:
    """With any map for the pool: same canonical form = same function, all 15,625 cells."""
    groups = classes(linear_pool=False)
    assert len(groups) == 5_260
    assert len({SPACE.canonical(cell) for cell in CELLS}) == 5_260
    for group in groups.values():
        assert len({SPACE.canonical(cell) for cell in group}) == 1


def test_canonical_form_ignores_only_the_linearity_of_the_pool() -> None:
    """With a linear pool a few more cells are equal; in each a pool takes a sum or stands in one."""
    groups = classes(linear_pool=True)
    forms = [{SPACE.canonical(cell) for cell in group} for group in groups.values()]
    assert len(groups) == 5_044
    assert sum(map(len, forms)) == 5_260
    for joined in forms:
        if len(joined) > 1:
            assert all(POOL in form for form in joined)


def test_representative_is_the_simplest_of_its_class() -> None:
    for group in classes(linear_pool=False).values():
        simplest = min(group, key=lambda cell: (-cell.count(NONE), cell))
        assert {SPACE.canonical(cell) for cell in group} == {simplest}


def test_canonical_is_idempotent() -> None:
    forms = {SPACE.canonical(cell) for cell in CELLS}
    assert {form for form in forms if SPACE.canonical(form) == form} == forms


# --- canonical form: cells as small ReLU networks ---------------------------------------------

WIDTH = 6
_rng = np.random.default_rng(2)
MATRICES = _rng.normal(size=(6, WIDTH, WIDTH))
POOLING = _rng.normal(size=(WIDTH, WIDTH))
IMAGES = _rng.normal(size=(5, WIDTH))


def network(cell: Architecture, weights: dict[int, int]) -> NDArray[np.float64]:
    """ReLU and a matrix for a convolution (``weights``: edge -> matrix), one matrix for the pool."""
    nodes = [IMAGES, *(np.zeros_like(IMAGES) for _ in range(3))]
    for edge, ((source, target), op) in enumerate(zip(EDGES, cell, strict=True)):
        x = nodes[source]
        if op in (CONV1, CONV3):
            x = np.maximum(x, 0) @ MATRICES[weights[edge]]
        elif op == POOL:
            x = x @ POOLING
        if op != NONE:
            nodes[target] = nodes[target] + x
    return nodes[3]


def all_weights(cell: Architecture) -> Iterator[dict[int, int]]:
    """All ways of handing matrices to convolutions: 0 to 2 to 1x1, 3 to 5 to 3x3."""
    one = [edge for edge in range(6) if cell[edge] == CONV1]
    three = [edge for edge in range(6) if cell[edge] == CONV3]
    for first in permutations(range(3), len(one)):
        for second in permutations(range(3, 6), len(three)):
            yield dict(zip(one + three, first + second, strict=True))


def same_network(a: Architecture, b: Architecture) -> bool:
    """Whether ``b``, with its weights handed out suitably, computes what ``a`` does."""
    expected = network(a, next(all_weights(a)))
    return any(np.allclose(network(b, weights), expected) for weights in all_weights(b))


FEW = [cell for cell in CELLS if cell.count(CONV1) <= 3 and cell.count(CONV3) <= 3]


def test_equal_canonical_forms_are_equal_networks() -> None:
    checked = 0
    for cell in FEW[::5]:
        form = SPACE.canonical(cell)
        if form != cell:
            checked += 1
            assert same_network(cell, form), (cell, form)
    assert checked > 1_000


def test_different_canonical_forms_are_different_networks() -> None:
    """Neighbors, since cells far apart differ anyway; without a pool, whose linearity is left out."""
    checked = 0
    for cell in FEW[::97]:
        if POOL in cell:
            continue
        for other in SPACE.neighbors(cell):
            if POOL in other or max(other.count(CONV1), other.count(CONV3)) > 3:
                continue
            different = SPACE.canonical(cell) != SPACE.canonical(other)
            checked += different
            assert same_network(cell, other) != different, (cell, other)
    assert checked > 300


def test_a_convolution_reached_twice_is_not_two_convolutions() -> None:
    twice = SPACE.parse(
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|"
    )
    two = SPACE.parse("|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_3x3~0|skip_connect~1|none~2|")
    x = np.maximum(IMAGES, 0)
    np.testing.assert_allclose(network(twice, {0: 3}), 2 * x @ MATRICES[3])
    np.testing.assert_allclose(network(two, {0: 3, 3: 4}), x @ MATRICES[3] + x @ MATRICES[4])
    assert not same_network(twice, two)
    assert SPACE.canonical(twice) != SPACE.canonical(two)
    lax = [SPACE.unique_string(cell).replace("#+", "") for cell in (twice, two)]
    assert lax == ["(0)@nor_conv_3x3+(0)@nor_conv_3x3"] * 2  # the published label cannot tell


def test_pooling_a_sum_is_kept_apart_from_summing_pools() -> None:
    pool_of_sum = SPACE.parse(
        "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|"
    )
    sum_of_pools = SPACE.parse(
        "|none~0|+|avg_pool_3x3~0|none~1|+|avg_pool_3x3~0|none~1|skip_connect~2|"
    )
    assert same_network(pool_of_sum, sum_of_pools)
    assert SPACE.canonical(pool_of_sum) != SPACE.canonical(sum_of_pools)


@pytest.mark.parametrize(
    ("cell", "same"),
    [
        ((CONV3, 0, 0, SKIP, 0, 0), (0, 0, 0, SKIP, 0, 0)),  # node 1 leads nowhere
        ((0, 0, CONV3, SKIP, POOL, 0), (0, 0, 0, SKIP, 0, 0)),  # node 1 gets nothing
        ((0, 0, 0, 0, CONV1, CONV3), (0,) * 6),  # no path at all
        ((CONV3, CONV1, CONV3, 0, 0, 0), (0,) * 6),  # nothing reaches the output
        ((SKIP, 0, SKIP, 0, 0, SKIP), (0, 0, 0, SKIP, 0, 0)),  # a chain of skips
        ((CONV3, CONV1, 0, 0, POOL, SKIP), (CONV1, CONV3, 0, 0, SKIP, POOL)),  # nodes swapped
        ((CONV1, 0, 0, CONV3, SKIP, 0), (CONV3, 0, 0, CONV1, SKIP, 0)),  # by another way
    ],
)
def test_dead_edges_and_swapped_nodes(cell: Architecture, same: Architecture) -> None:
    assert SPACE.canonical(cell) == SPACE.canonical(same)
    assert same_network(same, cell)


def test_two_convolutions_of_the_same_input_do_not_merge() -> None:
    two, one = (POOL, POOL, 0, 0, CONV3, CONV3), (POOL, 0, 0, 0, CONV3, 0)
    assert SPACE.canonical(two) != SPACE.canonical(one)
    assert not same_network(two, one)
