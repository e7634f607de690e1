"""NAS-Bench-NLP's recurrent cells against recipes that are shuffled, compared and counted by hand."""

from __future__ import annotations

import json
import zipfile
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.predictors.features import features
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.drawing import draw
from nasbench_tab.spaces.nasbench_nlp import NasBenchNLP, parameters
from nasbench_tab.spaces.recurrent import NODES, decoded, problem_of

SPACE = NasBenchNLP()
SHARED = Path(__file__).parents[3] / "shared/data/nasbench-nlp"
SEEDS = st.integers(0, 2**32)
Recipe = dict[str, dict[str, Any]]
LSTM: Recipe = {
    **{
        f"{gate}{part}": node
        for gate, activation in (("i", "sigm"), ("f", "sigm"), ("o", "sigm"), ("g", "tanh"))
        for part, node in (
            ("", {"op": "linear", "input": ["x", "h_prev_0"]}),
            ("_act", {"op": f"activation_{activation}", "input": [gate]}),
        )
    },
    "kept": {"op": "elementwise_prod", "input": ["f_act", "h_prev_1"]},
    "new": {"op": "elementwise_prod", "input": ["i_act", "g_act"]},
    "h_new_1": {"op": "elementwise_sum", "input": ["kept", "new"]},
    "out": {"op": "activation_tanh", "input": ["h_new_1"]},
    "h_new_0": {"op": "elementwise_prod", "input": ["out", "o_act"]},
}
RNN: Recipe = {
    "f": {"op": "linear", "input": ["x", "h_prev_0"]},
    "h_new_0": {"op": "activation_tanh", "input": ["f"]},
}


def drawn(seed: int) -> Architecture:
    return SPACE.sample(np.random.default_rng(seed), 1)[0]


def parsed(recipe: Recipe) -> Architecture:
    return SPACE.parse(json.dumps(recipe))


def recipe_of(arch: Architecture) -> Recipe:
    found: Recipe = json.loads(SPACE.format(arch))
    return found


def shuffled(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    """Return the same cell with other names, another order, and the last two states swapped."""
    names = {name: f"n{i}" for i, name in enumerate(rng.permutation(list(recipe)).tolist())}
    names |= {"x": "x"}
    states = [int(name[-1]) for name in recipe if name.startswith("h_new_")]
    order = [0, *(1 + rng.permutation(len(states) - 1)).tolist()] if len(states) > 1 else [0]
    for old, new in enumerate(order):
        names |= {f"h_prev_{old}": f"h_prev_{new}", f"h_new_{old}": f"h_new_{new}"}
    found = {}
    for name in rng.permutation(list(recipe)).tolist():
        inputs = [names[source] for source in recipe[name]["input"]]
        if recipe[name]["op"] != "blend":
            inputs = rng.permutation(inputs).tolist()
        found[names[name]] = {"op": recipe[name]["op"], "input": inputs}
    return found


def same_network(one: Recipe, other: Recipe) -> bool:
    """Return whether some renaming of nodes and of later states turns one recipe into the other."""
    if len(one) != len(other):
        return False
    states = sum(name.startswith("h_new_") for name in one)
    plain = [name for name in one if not name.startswith("h_new_")]
    targets = [name for name in other if not name.startswith("h_new_")]
    if len(plain) != len(targets):
        return False
    for order in permutations(range(1, states)):
        fixed = {"x": "x"}
        for old, new in enumerate((0, *order)):
            fixed |= {f"h_prev_{old}": f"h_prev_{new}", f"h_new_{old}": f"h_new_{new}"}
        for chosen in permutations(targets):
            names = fixed | dict(zip(plain, chosen, strict=True))
            if all(
                node["op"] == other[names[name]]["op"]
                and arranged(node["op"], [names[s] for s in node["input"]])
                == arranged(node["op"], other[names[name]]["input"])
                for name, node in one.items()
            ):
                return True
    return False


def arranged(op: str, inputs: list[str]) -> list[str]:
    return inputs if op == "blend" else sorted(inputs)


@given(SEEDS)
def test_text_and_number_read_back(seed: int) -> None:
    arch = drawn(seed)
    assert SPACE.contains(arch)
    assert SPACE.parse(SPACE.format(arch)) == arch
    assert SPACE.unindex(SPACE.index(arch)) == arch


@given(SEEDS)
def test_shuffled_recipes_have_one_representative(seed: int) -> None:
    arch = drawn(seed)
    other = parsed(shuffled(recipe_of(arch), np.random.default_rng(seed)))
    own = SPACE.canonical(arch)
    assert SPACE.canonical(other) == own
    assert SPACE.contains(own)
    if len(recipe_of(arch)) < 8:
        assert same_network(recipe_of(own), recipe_of(arch))


def test_different_cells_have_different_representatives() -> None:
    """Small cells and what is near them, against all renamings."""
    small = [arch for arch in SPACE.sample(np.random.default_rng(3), 300) if not arch[4 * 5]]
    cells = sorted({near for arch in small[:12] for near in SPACE.neighbors(arch)})
    cells = [cell for cell in cells if not cell[4 * 6]]
    rng = np.random.default_rng(0)
    cells = [cells[i] for i in rng.permutation(len(cells))[:120]]
    cells += [parsed(shuffled(recipe_of(cell), rng)) for cell in cells[:40]]
    recipes, own = [recipe_of(cell) for cell in cells], [SPACE.canonical(cell) for cell in cells]
    equal = 0
    for a, b in combinations(range(len(cells)), 2):
        kinds = [sorted(node["op"] for node in recipes[i].values()) for i in (a, b)]
        if kinds[0] == kinds[1]:
            same = same_network(recipes[a], recipes[b])
            equal += same
            assert same == (own[a] == own[b])
    assert equal >= 40


def test_cells_full_of_equal_parts_are_no_trouble() -> None:
    """Eight equal branches: 40,320 orders of them, of which few are looked at."""
    recipe: Recipe = {}
    for i in range(8):
        recipe[f"l{i}"] = {"op": "linear", "input": ["x", "h_prev_0"]}
        recipe[f"a{i}"] = {"op": "activation_tanh", "input": [f"l{i}"]}
    for level, n in ((0, 4), (1, 2), (2, 1)):
        for i in range(n):
            below = ["a{}", "s0{}", "s1{}"][level]
            name = "h_new_0" if level == 2 else f"s{level}{i}"
            inputs = [below.format(2 * i), below.format(2 * i + 1)]
            recipe[name] = {"op": "elementwise_sum", "input": inputs}
    own = SPACE.canonical(parsed(recipe))
    for seed in range(5):
        other = parsed(shuffled(recipe, np.random.default_rng(seed)))
        assert SPACE.canonical(other) == own


def rings(*lengths: int) -> Recipe:
    """Return sums in rings, each neighboring two with a linear node between; colours repeat 0, 1, 2 around."""
    recipe: Recipe = {}
    sums: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for ring, n in enumerate(lengths):
        for i in range(n):
            recipe[f"l{ring}.{i}"] = {"op": "linear", "input": ["x", f"h_prev_{i % 3}"]}
        for i in range(n):
            name = f"s{ring}.{i}"
            inputs = [f"l{ring}.{i}", f"l{ring}.{(i + 1) % n}"]
            recipe[name] = {"op": "elementwise_sum", "input": inputs}
            sums[i % 3].append(name)
    for colour, names in sums.items():
        recipe[f"h_new_{colour}"] = {"op": "linear", "input": names}
    return recipe


def test_what_looks_alike_from_every_node_is_told_apart() -> None:
    """A ring of nine, and one of three beside one of six: no node sees a difference around itself."""
    seen = set()
    for recipe in (rings(9), rings(3, 6), rings(3, 3, 3)):
        own = {
            SPACE.canonical(parsed(shuffled(recipe, np.random.default_rng(seed))))
            for seed in range(30)
        }
        assert len(own) == 1
        seen |= own
    assert len(seen) == 3


def test_a_blend_has_an_order_and_the_first_state_is_the_output() -> None:
    blend: Recipe = {
        "l": {"op": "linear", "input": ["x", "h_prev_0"]},
        "z": {"op": "activation_sigm", "input": ["l"]},
        "h_new_0": {"op": "blend", "input": ["z", "h_prev_0", "l"]},
    }
    turned = {**blend, "h_new_0": {"op": "blend", "input": ["z", "l", "h_prev_0"]}}
    assert SPACE.canonical(parsed(blend)) != SPACE.canonical(parsed(turned))
    swapped = json.loads(
        json.dumps(LSTM).replace("_0", "_?").replace("_1", "_0").replace("_?", "_1")
    )
    assert SPACE.canonical(parsed(LSTM)) != SPACE.canonical(parsed(swapped))


@settings(max_examples=40)
@given(SEEDS)
def test_moves_can_be_taken_back(seed: int) -> None:
    arch = drawn(seed)
    near = SPACE.neighbors(arch)
    assert len(set(near)) == len(near)
    sizes = {len(recipe_of(other)) - len(recipe_of(arch)) for other in near}
    assert sizes <= {-1, 0, 1}
    rng = np.random.default_rng(seed)
    for i in rng.permutation(len(near))[:4].tolist():
        cell = decoded(near[i])
        assert cell is not None
        assert problem_of(cell) is None
        assert arch in SPACE.neighbors(near[i])


def test_every_kind_of_move_is_there() -> None:
    near = [recipe_of(arch) for arch in SPACE.neighbors(parsed(RNN))]
    ops = [sorted(node["op"] for node in recipe.values()) for recipe in near]
    assert ["activation_sigm", "linear"] in ops
    assert ["activation_leaky_relu", "activation_tanh", "linear"] in ops
    assert ["activation_tanh", "elementwise_prod", "linear"] in ops
    assert ["activation_tanh", "linear", "linear"] in ops
    states = [SPACE.format(arch) for arch in SPACE.neighbors(parsed(LSTM))]
    assert any('"h_new_1": {"op": "elementwise_prod"' in text for text in states)  # a state moved
    assert any('"h_new_0": {"op": "elementwise_sum"' in text for text in states)  # two are swapped


def test_the_largest_cells_grow_no_further() -> None:
    full = SPACE.sample(np.random.default_rng(0), 100)
    arch = max(full, key=lambda a: len(recipe_of(a)))
    while len(recipe_of(arch)) < NODES:
        arch = next(a for a in SPACE.neighbors(arch) if len(recipe_of(a)) > len(recipe_of(arch)))
    assert max(len(recipe_of(a)) for a in SPACE.neighbors(arch)) == NODES


def test_draws_follow_the_generator() -> None:
    cells = [recipe_of(arch) for arch in SPACE.sample(np.random.default_rng(0), 300)]
    states = [sum(name.startswith("h_new") for name in recipe) for recipe in cells]
    counts = np.bincount(states, minlength=4)[1:]
    assert ((counts - 100) ** 2 / 100).sum() < 14  # chi-squared, two degrees of freedom
    linear = [
        len(node["input"]) for recipe in cells for node in recipe.values() if node["op"] == "linear"
    ]
    assert 0.1 < np.mean(np.array(linear) == 3) < 0.3
    for recipe in cells:
        for name, node in recipe.items():
            if name.startswith("h_new"):
                assert not any(source.startswith("h_prev") for source in node["input"])
            if node["op"] == "linear":
                taken = [recipe[s]["op"] for s in node["input"] if s in recipe]
                assert all(op.startswith("activation") for op in taken)


@given(SEEDS, st.sampled_from([10_000, 33_278]))
def test_parameters_are_those_of_the_layers(seed: int, vocabulary: int) -> None:
    arch = drawn(seed)
    total = 400 * vocabulary + vocabulary  # embedding, tied; the classifier's bias
    for layer_input, hidden in ((400, 600), (600, 600), (600, 400)):
        for node in recipe_of(arch).values():
            if node["op"] == "linear":
                sizes = [layer_input if source == "x" else hidden for source in node["input"]]
                total += sum(sizes) * hidden + hidden
    assert parameters(np.array([arch]), vocabulary=vocabulary)[0] == total


def test_features_know_every_label_and_drawings_say_what_is_what() -> None:
    cells = SPACE.sample(np.random.default_rng(1), 200)
    labels = {label for cell in cells for label in SPACE.graph(cell).labels}
    found = features(SPACE, np.array(cells, np.uint8))
    assert {f"count({label})" for label in labels - {"input", "output"}} <= set(found.names)
    drawing = draw(SPACE.graph(parsed(LSTM)))
    assert drawing.count(">linear<") == 4
    assert drawing.count(">sigmoid<") == 3
    assert drawing.count(">product<") == 3
    assert drawing.count(">h new 1<") == drawing.count(">h prev 1<") == 1


def changed(**nodes: Any) -> str:
    recipe: dict[str, Any] = {**LSTM, **nodes}
    return json.dumps({name: node for name, node in recipe.items() if node is not ...})


def a_node(op: str, *inputs: str) -> dict[str, Any]:
    return {"op": op, "input": list(inputs)}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not a recipe"),
        ("[]", "is not a recipe"),
        ("[" * 10_000, "is not a recipe"),
        ("{" + '"a": 1, ' * 5000 + "}", "characters"),
        ('{"f": {}, "f": {}}', "a name stands there twice"),
        (json.dumps({**RNN, "f": {"op": "linear"}}), "an operation and a list of names expected"),
        (json.dumps({**RNN, "f": {"op": "linear", "input": [1]}}), "a list of names expected"),
        (changed(i=a_node("conv", "x")), "Unknown operation 'conv'"),
        (changed(i=a_node("linear", "x", "nowhere")), "there is no 'nowhere'"),
        (changed(i=a_node("linear", "x", "out")), "go in a circle"),
        (changed(i=a_node("linear", "x")), "has 1 inputs; 2 or 3 expected"),
        (changed(i=a_node("linear", "x", "x")), "takes an input twice"),
        (changed(i=a_node("elementwise_sum", "x", "h_prev_0")), "takes x, whose size"),
        (changed(i=a_node("linear", "x", "h_prev_2")), "there is no 'h_prev_2'"),
        (changed(h_new_1=...), "there is no 'h_new_1'"),
        (changed(h_new_3=a_node("activation_tanh", "i")), "h_new_0 to at most h_new_2 expected"),
        (changed(h_prev_0=a_node("activation_tanh", "i")), "h_new_0 to at most h_new_2 expected"),
        (changed(x=a_node("activation_tanh", "i")), "is called x"),
        (changed(extra=a_node("activation_tanh", "i")), "leads to no new hidden state"),
        (changed(kept=a_node("activation_tanh", "f_act")), "h_prev_1 is not used"),
        (json.dumps({f"n{i}": a_node("linear", "x", "h_prev_0") for i in range(26)}), "26 nodes"),
    ],
)
def test_other_recipes_are_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=problem):
        SPACE.parse(text)


def test_other_numbers_are_refused() -> None:
    arch = list(parsed(RNN))
    for place, value in (
        (0, 0),
        (0, 8),
        (1, 2),
        (2, 4),
        (3, 5),
        (4, 1),
        (100, 1),
        (101, 2),
        (8, 1),
    ):
        wrong = [*arch[:place], value, *arch[place + 1 :]]
        assert not SPACE.contains(tuple(wrong))
        with pytest.raises(InvalidArchitectureError):
            SPACE.check(wrong)
    for index in (-1, 0, 1, 10**300):
        with pytest.raises(InvalidArchitectureError, match="There is no architecture"):
            SPACE.unindex(index)


@pytest.mark.skipif(not SHARED.exists(), reason="the published logs are not at hand")
def test_published_recipes() -> None:
    with zipfile.ZipFile(SHARED / "wikitext-2.logs.zip") as archive:
        logs = [json.loads(archive.read(name)) for name in archive.namelist()]
    cells = [SPACE.parse(log["recepie"]) for log in logs]
    counts = parameters(np.array(cells), vocabulary=33_278)
    assert counts.tolist() == [log["num_params"] for log in logs]
    assert len({log["recepie"] for log in logs}) == 291
    assert len(set(cells)) == len(set(map(SPACE.canonical, cells))) == 265
    for recipe in json.loads((SHARED / "recepies_example.json").read_text()):
        assert SPACE.contains(parsed(recipe))
