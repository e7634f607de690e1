"""The NAS-Bench-201 cell in other tools' forms: known values, round trips, and what is refused."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.convert import nasbench201 as convert

from .nasbench201_cells import CELLS, SPACE

FORMS = [
    "string", "index", "operations", "matrix", "jahs",
    "naslib", "syne_tune", "nni", "configspace", "mfpbench",
]  # fmt: skip
form = pytest.mark.parametrize("name", FORMS)

#: Official index 11; every number but none's and the first convolutions' edges differ between the orders.
CELL = (3, 3, 4, 0, 2, 1)


def pair(name: str) -> tuple[Callable[..., Any], Callable[..., Architecture]]:
    return getattr(convert, f"to_{name}"), getattr(convert, f"from_{name}")


def test_every_form_is_public_and_has_its_way_back() -> None:
    assert convert.__all__ == sorted(f"{way}_{name}" for way in ("from", "to") for name in FORMS)


@form
def test_every_cell_comes_back(name: str) -> None:
    to, back = pair(name)
    assert all(back(to(cell)) == cell for cell in CELLS)


def test_one_cell_in_every_form() -> None:
    # 0→1 conv3, 0→2 conv3, 1→2 pool, 0→3 none, 1→3 conv1, 2→3 skip
    assert convert.to_string(CELL) == (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_1x1~1|skip_connect~2|"
    )
    assert convert.to_operations(CELL) == (
        "nor_conv_3x3", "nor_conv_3x3", "avg_pool_3x3", "none", "nor_conv_1x1", "skip_connect",
    )  # fmt: skip
    assert convert.to_matrix(CELL).tolist() == [
        [0, 0, 0, 0], [3, 0, 0, 0], [3, 4, 0, 0], [0, 2, 1, 0],
    ]  # fmt: skip
    # Edges 0-1, 0-2, 0-3, 1-2, 1-3, 2-3; 0 skip, 1 none, 2 conv3, 3 conv1, 4 pool.
    assert convert.to_naslib(CELL) == (2, 2, 1, 4, 3, 0)
    assert convert.to_jahs(CELL) == {"Op1": 2, "Op2": 2, "Op3": 1, "Op4": 4, "Op5": 3, "Op6": 0}
    assert convert.to_syne_tune(CELL) == {
        "hp_x0": "nor_conv_3x3", "hp_x1": "nor_conv_3x3", "hp_x2": "avg_pool_3x3",
        "hp_x3": "none", "hp_x4": "nor_conv_1x1", "hp_x5": "skip_connect",
    }  # fmt: skip
    assert convert.to_nni(CELL) == {
        "0_1": "conv_3x3", "0_2": "conv_3x3", "0_3": "none",
        "1_2": "avg_pool_3x3", "1_3": "conv_1x1", "2_3": "skip_connect",
    }  # fmt: skip
    assert convert.to_mfpbench(CELL) == {
        "edge_0_1": "nor_conv_3x3", "edge_0_2": "nor_conv_3x3", "edge_0_3": "none",
        "edge_1_2": "avg_pool_3x3", "edge_1_3": "nor_conv_1x1", "edge_2_3": "skip_connect",
    }  # fmt: skip
    assert convert.to_configspace(CELL) == {
        "1<-0": "nor_conv_3x3", "2<-0": "nor_conv_3x3", "2<-1": "avg_pool_3x3",
        "3<-0": "none", "3<-1": "nor_conv_1x1", "3<-2": "skip_connect",
    }  # fmt: skip


def test_the_index_is_the_official_one() -> None:
    text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    assert convert.to_index(convert.from_string(text)) == 0
    assert convert.from_index(np.int64(0)) == convert.from_string(text)  # type: ignore[arg-type]


def test_the_documented_example_of_nni_is_architecture_0() -> None:
    example = {
        "0_1": "avg_pool_3x3", "0_2": "conv_1x1", "1_2": "skip_connect",
        "0_3": "conv_1x1", "1_3": "skip_connect", "2_3": "skip_connect",
    }  # fmt: skip
    assert convert.to_index(convert.from_nni(example)) == 0


def test_naslib_codes_are_those_of_a_published_list(shared_data: Path) -> None:
    """A list of all cells by NASLib's codes: the same cells, and index 0 where its figures say."""
    with (shared_data / "hw-nas-bench" / "hw_cifar10.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    codes = [tuple(map(int, row["net"][1:-1].split(","))) for row in rows]
    assert len({convert.from_naslib(code) for code in codes}) == len(CELLS)
    at_0 = rows[codes.index(convert.to_naslib(convert.from_index(0)))]
    assert float(at_0["edgegpu_latency"]) == 5.807418537139893  # published for index 0


def test_configspace_names_are_those_of_our_adapter() -> None:
    configspace = pytest.importorskip("ConfigSpace", reason="ConfigSpace is not installed")
    from nasbench_tab.adapters.configspace import from_configuration, to_configspace

    made = to_configspace(SPACE)
    configuration = configspace.Configuration(made, values=convert.to_configspace(CELL))
    assert from_configuration(configuration) == CELL == convert.from_configspace(configuration)


def test_matrix_with_decimal_points_is_read() -> None:
    assert convert.from_matrix(convert.to_matrix(CELL).astype(float)) == CELL
    assert convert.from_matrix(convert.to_matrix(CELL).tolist()) == CELL


def test_matrix_is_that_of_nats_bench() -> None:
    nats_bench = pytest.importorskip(
        "nats_bench.api_topology", reason="nats_bench is not installed"
    )
    for cell in CELLS[::397]:
        theirs = nats_bench.NATStopology.str2matrix(convert.to_string(cell))
        assert (theirs == convert.to_matrix(cell)).all()


def test_index_is_refused_outside_the_space() -> None:
    for index in (-1, 15_625):
        with pytest.raises(InvalidArchitectureError, match="Official indices are 0 to 15624"):
            convert.from_index(index)


@form
@given(
    st.one_of(
        st.none(),
        st.text(),
        st.integers(),
        st.lists(st.integers(-1, 6)),
        st.dictionaries(st.text(), st.integers()),
    )
)
def test_anything_else_is_a_cell_or_refused(name: str, thing: Any) -> None:
    """Never another error, and what is taken is written as it was read."""
    to, back = pair(name)
    with contextlib.suppress(InvalidArchitectureError):
        assert back(to(back(thing))) == back(thing)


TOO_LARGE = np.zeros((4, 4))
TOO_LARGE[1, 0] = 5
HALF = np.zeros((4, 4))
HALF[1, 0] = 0.5
NAN = np.zeros((4, 4))
NAN[3, 2] = np.nan


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("string", "|none~0|", "Expected"),
        ("index", "11", "whole number"),
        ("index", 11.0, "whole number"),
        ("index", True, "whole number"),
        ("operations", ["none"] * 5, "6 operations"),
        ("operations", "nnnnnn", "6 operations"),
        ("operations", ["none"] * 5 + ["nor_conv_7x7"], "nor_conv_7x7"),
        ("operations", ["none"] * 5 + [0], "operation"),
        ("matrix", np.zeros((3, 4)), "shape"),
        ("matrix", np.zeros(16), "shape"),
        ("matrix", [[0, 1], [2]], "no matrix"),
        ("matrix", [["a"] * 4] * 4, "no matrix"),
        ("matrix", np.eye(4), "diagonal"),
        ("matrix", convert.to_matrix(CELL).T, "transpose"),
        ("matrix", TOO_LARGE, "not a cell"),
        ("matrix", -convert.to_matrix(CELL), "not a cell"),
        ("matrix", HALF, "not a cell"),
        ("matrix", NAN, "not a cell"),
        ("jahs", {f"Op{i}": 0 for i in range(1, 6)}, "exactly the keys"),
        ("jahs", {f"Op{i}": 5 for i in range(1, 7)}, "0 to 4"),
        ("jahs", {f"Op{i}": -1 for i in range(1, 7)}, "0 to 4"),
        ("jahs", {f"Op{i}": "0" for i in range(1, 7)}, "whole number"),
        ("jahs", {**dict.fromkeys(("Op1", "Op2", "Op3", "Op4", "Op5", "Op6"), 0), "N": 5}, "not of the cell"),
        ("naslib", (0,) * 5, "6 operation codes"),
        ("naslib", (0,) * 5 + (5,), "0 to 4"),
        ("naslib", (0,) * 5 + (1.0,), "whole number"),
        ("syne_tune", {f"hp_x{i}": 0 for i in range(6)}, "operation"),
        ("syne_tune", {f"hp_x{i}": "conv_3x3" for i in range(6)}, "nor_conv_3x3"),
        ("syne_tune", {f"hp_x{i}": "none" for i in range(1, 7)}, "exactly the keys"),
        ("nni", dict.fromkeys(("0_1", "0_2", "0_3", "1_2", "1_3", "2_3"), "nor_conv_3x3"), "conv_3x3"),
        ("nni", {}, "got none"),
        ("configspace", dict.fromkeys(("0->1", "0->2", "1->2", "0->3", "1->3", "2->3"), "none"), "1<-0"),
        ("mfpbench", dict.fromkeys(("0_1", "0_2", "0_3", "1_2", "1_3", "2_3"), "none"), "edge_0_1"),
    ],
)  # fmt: skip
def test_wrong_input_is_refused(name: str, wrong: object, words: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=words):
        pair(name)[1](wrong)


@form
@pytest.mark.parametrize("wrong", [(0,) * 5, (5, 0, 0, 0, 0, 0), (-1, 0, 0, 0, 0, 0), None])
def test_what_is_no_cell_has_no_form(name: str, wrong: Any) -> None:
    with pytest.raises(InvalidArchitectureError):
        pair(name)[0](wrong)


def test_numpy_numbers_are_numbers() -> None:
    assert convert.from_naslib(np.array(convert.to_naslib(CELL))) == CELL  # type: ignore[arg-type]
    assert convert.to_naslib(np.array(CELL)) == convert.to_naslib(CELL)  # type: ignore[arg-type]
    assert set(map(type, convert.to_naslib(CELL))) == {int}


# --- the authors' labels ------------------------------------------------------------------------------


def test_labels_without_zeros_and_cells_without_a_path() -> None:
    assert len({SPACE.unique_string(cell) for cell in CELLS}) == 6_466
    assert len({SPACE.unique_string(cell, zeros=False) for cell in CELLS}) == 12_751
    nothing = (0,) * 6
    assert sum(SPACE.canonical(cell) == nothing for cell in CELLS) == 341


def test_labels_are_those_of_the_authors() -> None:
    genotype = pytest.importorskip(
        "nats_bench.genotype_utils", reason="nats_bench is not installed"
    )
    for cell in CELLS[::61]:
        structure = genotype.topology_str2structure(convert.to_string(cell))
        for zeros in (True, False):
            label = SPACE.unique_string(cell, zeros=zeros)
            assert label == structure.to_unique_str(consider_zero=zeros)
        assert structure.check_valid() == (SPACE.canonical(cell) != (0,) * 6)
