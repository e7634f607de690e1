"""Networks that pass messages: node by node as written down, one bit for all company, no damage that fits."""

from __future__ import annotations

import tracemalloc
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.dagnet import DagNet, dagnet_from, on_grid
from nasbench_tab.predictors.graphs import Graphs, graphs_of
from nasbench_tab.registry import load_space

from .nets import drawn_net

RNG = np.random.default_rng
WORDS = ("conv", "input", "output", "sum")


@cache
def net() -> DagNet:
    return drawn_net(WORDS)


def some_graphs(seed: int, n: int = 5, nodes: int = 6) -> Graphs:
    rng = RNG(seed)
    edges = np.triu(rng.random((n, nodes, nodes)) < 0.5, 1)
    return Graphs(WORDS, rng.integers(0, len(WORDS), (n, nodes)).astype(np.uint8), edges)


def sigmoid(x: NDArray[np.float64]) -> Any:
    return 1 / (1 + np.exp(-x))


def node_by_node(of: DagNet, member: int, graphs: Graphs, row: int) -> float:
    """Return what one network says of one graph, written down once more without any batch or step."""
    kinds, edges = graphs.kinds[row], graphs.edges[row]
    n, width = len(kinds), of.own.shape[2]

    def walk(way: int, order: list[int], before: Any) -> dict[int, Any]:
        state: dict[int, Any] = {}
        for node in order:
            message = sum((state[p] for p in before(node)), np.zeros(width)).clip(-32, 32)
            gate = message @ of.forward[way, member] + of.forward_bias[way, member, 0]
            label = of.enter[way, member, kinds[node]]
            r, z = (sigmoid(gate[i * width :][:width] + label[i * width :][:width]) for i in (0, 1))
            new = np.tanh(label[2 * width :] + r * gate[2 * width :])
            state[node] = (1 - z) * new + z * message
        return state

    forth = walk(0, list(range(n)), lambda v: np.flatnonzero(edges[:, v]))
    back = walk(1, list(range(n))[::-1], lambda v: np.flatnonzero(edges[v]))
    whole = {}
    for node in range(n):
        joined = np.concatenate([forth[node], back[node]]) @ of.join[member]
        joined += of.join_bias[member, 0]
        whole[node] = joined * sigmoid(joined) + of.own[member, kinds[node]]
    there = [v for v in range(n) if v in (0, n - 1) or edges[:, v].any() or edges[v].any()]
    mean = np.mean([whole[v] for v in there], axis=0)
    read = np.concatenate([whole[n - 1], whole[0], mean])
    hidden = read @ of.head[member] + of.head_bias[member, 0]
    hidden *= sigmoid(hidden)
    return float((hidden @ of.last[member] + of.last_bias[member, 0])[0])


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_it_is_what_is_written_down(seed: int, nodes: int) -> None:
    graphs = some_graphs(seed, 3, nodes)
    found = net().mean(graphs)
    for row in range(3):
        said = np.mean([node_by_node(net(), m, graphs, row) for m in range(2)], axis=0)
        assert found[row] == pytest.approx(net().centre + 3.0 * said, abs=2e-3)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 150))
def test_one_graph_and_many_give_the_same_bits(seed: int, n: int) -> None:
    graphs = some_graphs(seed, n)
    many = net().mean(graphs)
    alone = [net().mean(graphs.at(slice(i, i + 1))) for i in range(n)]
    assert np.array_equal(many, np.concatenate(alone))
    assert np.array_equal(many[::-1], net().mean(graphs.at(np.arange(n)[::-1])))


@pytest.mark.parametrize("name", ["nasbench101", "nasbench-nlp", "nasbench-macro"])
def test_the_bits_do_not_depend_on_larger_graphs_beside(name: str) -> None:
    space = load_space(name)
    cells = np.array(space.sample(RNG(0), 40), np.uint8)
    together = graphs_of(space, cells)
    of = drawn_net(together.words, width=16)
    alone = [of.mean(graphs_of(space, cell[None])) for cell in cells]
    assert np.array_equal(of.mean(together), np.concatenate(alone))


def test_the_order_of_a_sum_does_not_count_where_states_are_great() -> None:
    of = net()
    own, enter, forward, join = (on_grid(9 * w) for w in (of.own, of.enter, of.forward, of.join))
    heavy = of._replace(own=own, enter=enter, forward=forward, join=join)
    graphs = some_graphs(3, 200, 12)
    many = heavy.mean(graphs)
    assert np.isfinite(many).all()
    assert np.array_equal(many[7:8], heavy.mean(graphs.at(slice(7, 8))))


@pytest.mark.parametrize("width", [48, 85])
@pytest.mark.parametrize("drawn", [False, True])
def test_the_heaviest_weights_give_the_same_bits_in_all_company(width: int, drawn: bool) -> None:
    rng, of = RNG(width), drawn_net(WORDS, members=3, width=width)
    near: dict[str, Any] = {  # as many bits as a weight can have, up to the limit
        name: on_grid(
            rng.choice([-1, 1] if drawn else [1], getattr(of, name).shape)
            * (16.0 - rng.integers(0, 5, getattr(of, name).shape) / 2**18)
        )
        for name in of._fields[1:-4]
    }
    heavy, graphs = of._replace(**near), some_graphs(width, 70, 12)
    many = heavy.mean(graphs)
    assert np.isfinite(many).all()
    for size in (1, 3):
        parts = [heavy.mean(graphs.at(slice(i, i + size))) for i in range(0, 70, size)]
        assert np.array_equal(many, np.concatenate(parts))


def test_a_compressed_tail_is_expanded_again() -> None:
    graphs = some_graphs(2)
    said = (net().mean(graphs) - 1.0) / 3.0
    found = net()._replace(sign=1, edge=95.0, centre=2.0, scale=0.5).mean(graphs)
    assert found == pytest.approx(95.0 - np.exp(-2.0 - 0.5 * said))
    found = net()._replace(sign=-1, edge=-3.0, centre=2.0, scale=0.5).mean(graphs)
    assert found == pytest.approx(3.0 + np.exp(-2.0 - 0.5 * said))


def test_no_graphs_have_no_answers() -> None:
    assert net().mean(some_graphs(0, 0)).shape == (0,)


def test_arrays_hold_all_of_it() -> None:
    again = dagnet_from(net().arrays())
    graphs = some_graphs(1)
    assert np.array_equal(again.mean(graphs), net().mean(graphs))
    assert again.words == WORDS


def test_graphs_of_another_space_are_refused() -> None:
    other = some_graphs(0)._replace(words=("conv", "input", "output", "pool"))
    with pytest.raises(SurrogateError, match=r"asked about graphs with 4; .* another space"):
        net().mean(other)


def damaged(name: str, values: Any) -> dict[str, NDArray[Any]]:
    arrays = {**net().arrays(), name: values}
    return {key: part for key, part in arrays.items() if part is not None}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        *((name, None) for name in net().arrays()),
        ("words", np.array(["conv", "input", "output"])),
        ("words", np.array(["sum", "output", "input", "conv"])),
        ("words", np.array(["conv", "conv", "output", "sum"])),
        ("words", np.arange(4)),
        ("words", np.array("conv")),
        ("words", np.array("0123")),
        ("words", np.array([b"conv", b"input", b"output", b"sum"])),
        ("words", np.array([["conv", "input", "output", "sum"]])),
        ("own", net().own.astype(str)),
        ("own", np.zeros(net().own.shape, np.int8)),
        ("own", np.zeros(net().own.shape, np.bool_)),
        ("own", np.zeros(net().own.shape, np.complex64)),
        ("own", np.full(net().own.shape, 1e308)),
        ("own", np.zeros((0, *net().own.shape[1:]))),
        ("own", net().own[:1]),
        ("own", net().own[0]),
        ("own", np.zeros((2, 4, 0))),
        ("join", net().join + 1e-7),
        ("head", net().head * np.nan),
        ("last", net().last + 17.0),
        ("last", np.concatenate([net().last, net().last], axis=2)),
        ("enter", np.array(["a"])),
        ("unit", np.zeros(0)),
        ("unit", np.array([0.0, 0.0, np.nan, 1.0])),
        ("unit", np.array([0.0, 0.0, 0.0, np.inf])),
        ("unit", np.array([0.0, 0.0, 0.0, -1.0])),
        ("unit", np.array([2.0, 0.0, 0.0, 1.0])),
        ("unit", np.array([1.0, np.inf, 0.0, 1.0])),
        ("unit", np.array(1.0)),
        ("unit", np.ones((4, 1))),
    ],
)
def test_damage_is_told(name: str, values: Any) -> None:
    with pytest.raises(SurrogateError, match="Fit the surrogate again"):
        dagnet_from(damaged(name, values))


@pytest.mark.parametrize("what", ["members", "labels"])
def test_more_than_fits_memory_is_refused_before_it_is_unpacked(what: str) -> None:
    one = drawn_net(WORDS, members=1, width=1).arrays()
    axes = {name: int(part.ndim == 4) for name, part in one.items()}
    if what == "members":
        many = {n: p if p.ndim == 1 else np.repeat(p, 200_000, axes[n]) for n, p in one.items()}
    else:
        many = {
            "own": np.zeros((1, 200_000, 1), np.float32),
            "enter": np.zeros((2, 1, 200_000, 3), np.float32),
            "words": np.array([f"{i:06}" for i in range(200_000)]),
        }
    tracemalloc.start()
    with pytest.raises(SurrogateError, match="Fit the surrogate again") as found:
        dagnet_from({**one, **many})
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**20
    assert len(str(found.value)) < 2000


def test_more_units_than_sums_are_exact_for_are_refused() -> None:
    wide = drawn_net(WORDS, width=86)
    with pytest.raises(SurrogateError, match="Fit the surrogate again"):
        dagnet_from(wide.arrays())
    dagnet_from(drawn_net(WORDS, width=85).arrays())


@given(st.floats(-100, 100))
def test_weights_are_whole_steps(value: float) -> None:
    found = on_grid(np.array([value]))
    assert abs(found[0]) <= 16.0
    assert (found * 2.0**18) % 1 == 0
    assert abs(found[0] - np.clip(value, -16, 16)) <= 2.0**-19
    assert np.array_equal(found, found.astype(np.float32))
