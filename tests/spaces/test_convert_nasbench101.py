"""NAS-Bench-101 cells in other tools' encodings: every round trip, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from importers.nasbench101_file import module_hash

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.convert.nasbench101 import (
    from_a,
    from_b,
    from_c,
    from_matrix,
    matrix_hash,
    to_a,
    to_b,
    to_c,
    to_matrix,
)
from nasbench_tab.spaces.nasbench101 import EDGES, OPERATIONS, NasBench101

SPACE = NasBench101()
ENCODINGS: dict[str, Any] = {"A": (to_a, from_a), "B": (to_b, from_b), "C": (to_c, from_c)}
EXAMPLES = SPACE.sample(np.random.default_rng(0), 300)
OPS = {f"op_node_{i}": "maxpool3x3" for i in range(5)}

architectures = st.sampled_from(EXAMPLES)


def decoded_by_reference(encoding: str, configuration: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Return the matrix by the words of ``nas_cifar10``: what its bits, numbers and weights mean."""
    matrix = np.zeros((7, 7), np.int8)
    rows, columns = np.triu_indices(7, k=1)
    if encoding == "B":
        number = 0
        flags = [0] * 21
        for i in range(9):
            flags[configuration[f"edge_{i}"]] = 1
        for flag in flags:
            number = number << 1 | flag
        for y in range(7):
            for x in range(y):
                matrix[x, y] = number >> (x + y * (y - 1) // 2) & 1
        return matrix
    chosen = np.array([configuration[f"edge_{i}"] for i in range(21)])
    if encoding == "C":
        greatest = np.argsort(chosen)[::-1][: configuration["num_edges"]]
        chosen = np.isin(np.arange(21), greatest)
    matrix[rows, columns] = chosen
    return matrix


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(arch=architectures)
@settings(max_examples=80)
def test_encodings_read_back(encoding: str, arch: Architecture) -> None:
    encode, decode = ENCODINGS[encoding]
    configuration = encode(arch)
    back = decode(configuration)
    assert encode(back) == configuration
    assert SPACE.canonical(back) == SPACE.canonical(arch)
    if encoding == "A" or sum(arch[: len(EDGES)]) <= 9:
        assert back == arch
    assert (decoded_by_reference(encoding, configuration) == to_matrix(back)[0]).all()


@given(st.lists(st.integers(0, 20), min_size=9, max_size=9), st.sampled_from(OPERATIONS))
@settings(max_examples=200)
def test_any_numbers_of_b_mean_what_they_mean_there(numbers: list[int], op: str) -> None:
    ops = dict.fromkeys(OPS, op)
    configuration = {f"edge_{i}": number for i, number in enumerate(numbers)} | ops
    matrix = decoded_by_reference("B", configuration)
    try:
        expected = from_matrix(matrix, ["input", *[op] * 5, "output"])
    except InvalidArchitectureError:
        with pytest.raises(InvalidArchitectureError):
            from_b(configuration)
    else:
        assert from_b(configuration) == expected


@given(
    st.lists(st.floats(0, 1), min_size=21, max_size=21, unique=True),
    st.integers(0, 9),
)
@settings(max_examples=200)
def test_any_weights_of_c_mean_what_they_mean_there(weights: list[float], n: int) -> None:
    configuration = {"num_edges": n, **{f"edge_{i}": w for i, w in enumerate(weights)}, **OPS}
    matrix = decoded_by_reference("C", configuration)
    try:
        expected = from_matrix(matrix, ["input", *["maxpool3x3"] * 5, "output"])
    except InvalidArchitectureError:
        with pytest.raises(InvalidArchitectureError):
            from_c(configuration)
    else:
        assert from_c(configuration) == expected


def test_numbers_of_b_go_backwards_by_columns() -> None:
    for number, edge in ((0, (5, 6)), (5, (0, 6)), (6, (4, 5)), (20, (0, 1))):
        configuration = {f"edge_{i}": 5 for i in range(9)} | {"edge_3": number} | OPS
        cell = from_b(configuration)
        assert {EDGES[i] for i in range(21) if cell[i]} == {(0, 6), edge}


def test_equal_weights_of_c_prefer_later_edges() -> None:
    cell = from_c({"num_edges": 2, **{f"edge_{i}": 0.5 for i in range(21)}, **OPS, "edge_5": 0.6})
    assert {EDGES[i] for i in range(21) if cell[i]} == {(0, 6), (5, 6)}


@given(arch=architectures)
@settings(max_examples=60)
def test_matrices_of_any_numbers_are_one_cell(arch: Architecture) -> None:
    matrix, ops = to_matrix(arch)
    assert from_matrix(matrix, ops) == arch
    digest = SPACE.published_hash(arch)
    for kind in (np.int8, np.float64, np.bool_):
        array = np.array(matrix, kind)
        assert from_matrix(array, ops) == arch
        assert matrix_hash(array, ops) == matrix_hash(array.tolist(), tuple(ops)) == digest


def test_a_cell_beyond_the_limits_has_a_hash_too() -> None:
    n = 8
    matrix = np.triu(np.ones((n, n), int), 1)
    ops = ["input", *["maxpool3x3"] * (n - 2), "output"]
    assert matrix_hash(matrix, ops) == module_hash(matrix.tolist(), ops)
    with pytest.raises(InvalidArchitectureError, match="8 vertices and 28 edges"):
        from_matrix(matrix, ops)


GOOD = to_a(EXAMPLES[0])
GOOD_B, GOOD_C = to_b(EXAMPLES[0]), to_c(EXAMPLES[0])


@pytest.mark.parametrize(
    ("decode", "configuration", "problem"),
    [
        (from_a, {}, "Missing: edge_0, "),
        (from_a, {**GOOD, "edge_21": 0}, "Unknown: edge_21"),
        (from_a, {**GOOD, "edge_0": 2}, "integers from 0 to 1"),
        (from_a, {**GOOD, "edge_0": 0.5}, "integers from 0 to 1"),
        (from_a, {**GOOD, "edge_0": None}, "integers from 0 to 1"),
        (from_a, {**GOOD, "edge_0": float("nan")}, "integers from 0 to 1"),
        (from_a, {**GOOD, "op_node_2": "conv5x5"}, "op_node_2 is 'conv5x5'"),
        (from_a, {**GOOD, **{f"edge_{i}": 1 for i in range(21)}}, "After pruning"),
        (from_b, {**GOOD_B, "edge_8": 21}, "integers from 0 to 20"),
        (from_b, {**GOOD_B, **{f"edge_{i}": 20 for i in range(9)}}, "After pruning"),
        (from_b, GOOD, "Unknown: edge_10"),
        (from_c, {**GOOD_C, "num_edges": 10}, "integers from 0 to 9"),
        (from_c, {**GOOD_C, "num_edges": 0}, "After pruning"),
        (from_c, {**GOOD_C, "edge_3": 1.5}, "weights from 0 to 1"),
        (from_c, {**GOOD_C, "edge_3": float("nan")}, "weights from 0 to 1"),
        (from_c, {**GOOD_C, "edge_3": "much"}, "weights from 0 to 1"),
    ],
)
def test_other_configurations_are_refused(decode: Any, configuration: Any, problem: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=problem):
        decode(configuration)


@pytest.mark.parametrize("decode", [from_a, from_b, from_c])
@pytest.mark.parametrize("configuration", [None, 5, "edge_0", [("edge_0", 1)]])
def test_no_configuration_is_refused(decode: Any, configuration: Any) -> None:
    with pytest.raises(InvalidArchitectureError, match="dict expected"):
        decode(configuration)


@pytest.mark.parametrize("encode", [to_a, to_b, to_c, to_matrix])
def test_no_architecture_is_refused(encode: Any) -> None:
    with pytest.raises(InvalidArchitectureError, match="not a cell of nasbench101"):
        encode((1,) * 21 + (0,) * 5)


@pytest.mark.parametrize(
    ("matrix", "ops"),
    [
        ([[0, 1], [0, 0], [0, 0]], ["input", "output"]),
        ([[0, 1], [0]], ["input", "output"]),
        ([[0, 1], [0, 0]], ["input", "maxpool3x3", "output"]),
        ([[0, 0.5], [0, 0]], ["input", "output"]),
        ([[0, float("nan")], [0, 0]], ["input", "output"]),
        ([[0, 2], [0, 0]], ["input", "output"]),
        ([[0, "1"], [0, 0]], ["input", "output"]),
        ([[0, 1], [0, 0]], ["input", "output,output"]),
        ([[0, 1], [0, 0]], [1, 2]),
        (np.zeros((2, 2)), ["input", "output"]),
        (5, ["input", "output"]),
        ([], []),
        (None, None),
    ],
)
def test_other_matrices_are_refused(matrix: Any, ops: Any) -> None:
    for read in (from_matrix, matrix_hash):
        with pytest.raises(InvalidArchitectureError):
            read(matrix, ops)
