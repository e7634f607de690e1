"""DARTS architectures as other tools write them: every round trip, and what is refused."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.convert import darts as convert
from nasbench_tab.spaces.convert.darts import PREFIX
from nasbench_tab.spaces.darts import Darts, parameters

SPACE = Darts()
SHARED = Path(__file__).parents[3] / "shared/data/nasbench301"
ARCHITECTURES = st.tuples(*(st.integers(0, n - 1) for n in SPACE.choices))


@given(ARCHITECTURES)
def test_round_trips(arch: Architecture) -> None:
    genotype = convert.to_genotype(arch)
    assert convert.from_genotype(genotype) == arch
    assert repr(genotype) == SPACE.format(arch)
    assert convert.from_configspace(convert.to_configspace(arch)) == arch
    compact = convert.to_compact(arch)
    assert convert.from_compact(compact) == arch
    assert convert.from_compact(json.loads(json.dumps(compact))) == arch
    assert convert.from_compact(ast.literal_eval(repr(compact))) == arch


@given(ARCHITECTURES)
def test_order_within_a_node_does_not_matter(arch: Architecture) -> None:
    compact = [list(half) for half in convert.to_compact(arch)]
    swapped = [[half[i ^ 1] for i in range(8)] for half in compact]
    assert convert.from_compact(swapped) == arch


@given(ARCHITECTURES)
def test_configuration_has_the_published_keys(arch: Architecture) -> None:
    config = convert.to_configspace(arch)
    assert len(config) == 22
    for which in ("normal", "reduce"):
        active = {
            int(key.rpartition("_")[2]) for key in config if key.startswith(f"{PREFIX}edge_{which}")
        }
        expected = {0, 1}
        for node, start in ((3, 2), (4, 5), (5, 9)):
            a, b = map(int, config[f"{PREFIX}inputs_node_{which}_{node}"].split("_"))
            assert a < b < node
            expected |= {start + a, start + b}
        assert active == expected
    rest = {"CreateImageDataLoader:batch_size": 96, f"{PREFIX}layers": 8}
    assert convert.from_configspace({**rest, **config}) == arch


def changed(**change: Any) -> dict[str, Any]:
    config: dict[str, Any] = {**convert.to_configspace(SPACE.example())}
    for key, value in change.items():
        config[PREFIX + key] = value
    return {key: value for key, value in config.items() if value is not ...}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"inputs_node_normal_3": ...}, "inputs_node_normal_3 is None"),
        ({"inputs_node_normal_3": "0_3"}, "two inputs below 3, ascending"),
        ({"inputs_node_reduce_5": "1_1"}, "two inputs below 5, ascending"),
        ({"inputs_node_reduce_5": "1_9"}, "two inputs below 5, ascending"),
        ({"inputs_node_reduce_5": 3}, "two inputs below 5, ascending"),
        ({"edge_normal_0": "none"}, "Unknown operation 'none'"),
        ({"edge_normal_0": ...}, "the operation None"),
        ({"edge_normal_0": 2.5}, "the operation 2.5"),
        ({"edge_normal_0": 7}, "the operation 7"),
        ({"edge_normal_13": "skip_connect"}, "edge_normal_13 is 'skip_connect', but that edge"),
    ],
)
def test_other_configurations_are_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=problem):
        convert.from_configspace(changed(**change))


@pytest.mark.parametrize(
    "compact",
    [
        (),
        None,
        "compact",
        ([(0, 1)] * 8,),
        ([(0, 1), (1, 1)] * 4, [(0, 1), (1, 1)] * 3),
        ([(0, 1), (1, 1)] * 4, [(0, 1), (1, 7)] * 4),
        ([(0, 1), (1, 1)] * 4, [(0, 1), (0, 1)] * 4),
        ([(0, 1), (1, 1)] * 4, [(0, 1), (-1, 1)] * 4),
        ([(0, 1), (1, 1)] * 4, [(0, 1), ("1", 1)] * 4),
        ([(0, 1), (1, 1)] * 4, [(0, 1), (1.5, 1)] * 4),
        ([(0, 1), (1, 1)] * 4, [(0, 1), (float("nan"), 1)] * 4),
        ([(0, 1), (1, 1)] * 4, [(0, 1, 2), (1, 1, 2)] * 4),
    ],
)
def test_other_compact_forms_are_refused(compact: Any) -> None:
    with pytest.raises(InvalidArchitectureError):
        convert.from_compact(compact)


@pytest.mark.parametrize(
    "encode", [convert.to_genotype, convert.to_configspace, convert.to_compact]
)
@pytest.mark.parametrize(
    "arch",
    [
        None,
        "darts",
        (),
        (0,) * 11,
        (-1,) * 22,
        (0.5,) * 22,
        (0,) * 21 + (99,),
        (0, 0, 9) + (0,) * 19,
    ],
)
def test_no_architecture_is_refused(encode: Any, arch: Any) -> None:
    with pytest.raises(InvalidArchitectureError, match="is not a cell of darts"):
        encode(arch)


@pytest.mark.parametrize("config", [None, 5, "edge", [("a", "b")]])
def test_no_configuration_is_refused(config: Any) -> None:
    with pytest.raises(InvalidArchitectureError, match="dict expected"):
        convert.from_configspace(config)


def test_other_genotypes_are_refused() -> None:
    good = convert.to_genotype(SPACE.example())
    wrong: list[Any] = [
        None,
        good._replace(normal_concat=range(1, 6)),
        good._replace(normal=good.normal[:7]),
        good._replace(normal=[("none", 0), *good.normal[1:]]),
        good._replace(normal=[1, *good.normal[1:]]),  # type: ignore[list-item]
    ]
    for genotype in wrong:
        with pytest.raises(InvalidArchitectureError):
            convert.from_genotype(genotype)
    with pytest.raises(InvalidArchitectureError, match="22 integers"):
        convert.to_compact((0,) * 11)


@pytest.mark.skipif(not SHARED.exists(), reason="the published files are not at hand")
def test_compact_keys_number_operations_in_the_published_order() -> None:
    """Its parameters were counted without scales of normalisations: almost, not exactly, ours."""
    records = json.loads((SHARED / "zc_nasbench301.json").read_text())["cifar10"]
    published = [record["params"]["score"] for record in records.values()]
    compact = [ast.literal_eval(key) for key in records]
    rotated = [[[(i, (op + 3) % 7) for i, op in half] for half in both] for both in compact]
    agreement = [
        np.corrcoef(parameters(np.array(list(map(convert.from_compact, forms)))), published)[0, 1]
        for forms in (compact, rotated)
    ]
    assert len(records) == 725
    assert agreement[0] > 0.9999
    assert agreement[1] < 0.9
