"""NAS-Bench-NLP's recurrent cells: up to 25 operations between the input, old and new hidden states.

    >>> from nasbench_tab.spaces.nasbench_nlp import NasBenchNLP
    >>> space = NasBenchNLP()
    >>> rnn = '{"f": {"op": "linear", "input": ["x", "h_prev_0"]}, "h_new_0": {"op": "activation_tanh", "input": ["f"]}}'
    >>> arch = space.parse(rnn)
    >>> arch[:8], arch[-3:], space.format(arch) == rnn.replace('"f"', '"node_0"')
    ((1, 1, 2, 0, 5, 5, 0, 0), (2, 0, 0), True)

A cell (the authors' *recipe*) computes one to three new hidden states from the input ``x`` and as many old
ones. Its published form is JSON: for each node its operation and inputs; the new hidden states are nodes
that are called ``h_new_0``, ``h_new_1``, ``h_new_2``. Names of other nodes mean nothing.

An architecture is a tuple of 103 numbers: for each of 25 places of nodes the operation (0 = no node, else its
position in :data:`OPERATIONS` plus 1) and three inputs (0 = none, 1 = ``x``, 2 to 4 = ``h_prev_0`` to ``h_prev_2``, 5 +
i = node i), then for each new hidden state the node that it is (0 = there is none, else i + 1). Nodes come after
their inputs, unused places last. 25 is what the published generator can reach: 21 intermediate nodes and three
hidden states, and one more activation.

Klyuchnikov, Trofimov, Artemova, Salnikov, Fedorov, Filippov and Burnaev, "NAS-Bench-NLP: Neural Architecture
Search Benchmark for Natural Language Processing", IEEE Access 2022.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from functools import lru_cache
from operator import lt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArchitectureError, unknown_name
from nasbench_tab.records import Architecture, Graph
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.recurrent import (
    ACTIVATIONS,
    BLEND,
    FIRST,
    LINEAR,
    NODES,
    OPERATIONS,
    STATES,
    Cell,
    decoded,
    encoded,
    problem_of,
)
from nasbench_tab.spaces.recurrent_canonical import canonical
from nasbench_tab.spaces.recurrent_moves import neighbors

__all__ = ["INTERMEDIATE", "NasBenchNLP", "parameters"]

#: Numbers of intermediate nodes that the generator is run with, before what is not used is removed.
INTERMEDIATE = (7, 14, 21)

_CUMULATIVE = (3 / 6, 4 / 6, 5 / 6)  # of linear, blend and product; the rest is sum
_THREE = 1 / 5  # how often a linear node has three inputs, not two
_LAYERS = ((400, 600), (600, 600), (600, 400))  # (input, hidden) of the language model's layers
_STATE = re.compile(r"h_(prev|new)_(\d{1,3})")
_LONGEST = 20_000  # characters of a recipe
_FORM = '{"node_0": {"op": "linear", "input": ["x", "h_prev_0"]}, "h_new_0": {"op": ..., "input": [...]}}'


class NasBenchNLP(Space):
    """All cells that obey :attr:`rule`; the published 14,322 recipes are draws from :meth:`sample`'s kind."""

    name = "nasbench-nlp"
    choices = (
        tuple(n for i in range(NODES) for n in (1 + len(OPERATIONS), *[1 + FIRST + i] * 3))
        + (1 + NODES,) * STATES
    )
    groups = tuple(tuple(range(4 * i, 4 * i + 4)) for i in range(NODES))
    rule = (
        "Nodes come first and after their inputs, which differ and are ascending except in blend; linear "
        "has two or three, blend three, product and sum two, an activation one; only linear takes x. Every "
        "node leads to a new hidden state, and x and each old hidden state are used."
    )
    size: int | None = None

    def contains(self, arch: Architecture) -> bool:
        """Return whether ``arch`` is in range and a cell that obeys :attr:`rule`."""
        if len(arch) != len(self.choices) or min(arch) < 0 or not all(map(lt, arch, self.choices)):
            return False
        cell = decoded(arch)
        return cell is not None and problem_of(cell) is None

    def parse(self, text: str) -> Architecture:
        """Return the architecture of a published recipe, its nodes in any order.

        Raises:
            InvalidArchitectureError: It is no JSON of this kind, has a cycle, or breaks a rule.
        """
        return encoded(_cell(_recipe(text)))

    def format(self, arch: Architecture) -> str:
        """Return the recipe as its authors write it; nodes that are no hidden state are numbered."""
        cell = self._decoded(arch)
        names = ["x", *(f"h_prev_{k}" for k in range(STATES))]
        number = 0
        for i in range(len(cell.operations)):
            if i in cell.states:
                names.append(f"h_new_{cell.states.index(i)}")
            else:
                names.append(f"node_{number}")
                number += 1
        recipe = {
            name: {"op": OPERATIONS[op], "input": [names[source] for source in sources]}
            for name, op, sources in zip(names[FIRST:], cell.operations, cell.inputs, strict=True)
        }
        return json.dumps(recipe)

    def options(self) -> dict[str, tuple[str, ...]]:
        """Return operations and inputs of each place, and the node of each new hidden state."""
        nodes = tuple(f"node_{i}" for i in range(NODES))
        sources = ("none", "x", *(f"h_prev_{k}" for k in range(STATES)), *nodes)
        named: dict[str, tuple[str, ...]] = {}
        for i in range(NODES):
            named[f"node_{i}_op"] = ("none", *OPERATIONS)
            named |= {f"node_{i}_input_{k}": sources[: 1 + FIRST + i] for k in range(1, 4)}
        return named | {f"h_new_{k}": ("none", *nodes) for k in range(STATES)}

    def canonical(self, arch: Architecture) -> Architecture:
        """Return the representative of all cells that are the same but for names and order.

        Nodes in another order and the second and third hidden state swapped are the same network.
        Two nodes that always hold the same value are not merged.
        """
        return canonical(arch)

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """Return ``n`` draws of the authors' random procedure, with replacement; not uniform.

        One to three hidden states and 7, 14 or 21 intermediate nodes, each equally often, as in their
        example; then their generator: operations are drawn (linear three times as often as blend,
        product or sum) until there are enough nodes. A linear node has two inputs, every fifth time three,
        from ``x``, the old states and earlier activations, and is followed by an activation; the other
        operations take anything but ``x``. Nodes drawn at random become the new hidden states and what leads
        to none of them is removed. A cell that does not use ``x`` and every old state, or has a new
        state with an old one among its inputs, is drawn again.
        """
        found: list[Architecture] = []
        while len(found) < n:
            states, size = 1 + int(rng.integers(STATES)), int(rng.choice(INTERMEDIATE))
            cell = None
            while cell is None:
                cell = _drawn(rng, states, size)
            found.append(encoded(cell))
        return found

    def neighbors(self, arch: Architecture) -> list[Architecture]:
        """Return the cells that are one edit away: see :mod:`nasbench_tab.spaces.recurrent_moves`."""
        return list(_near(arch))

    def mutate(self, arch: Architecture, draw: float) -> Architecture:
        """Return the neighbor at ``draw``; a uniform number makes a uniform mutation."""
        near = _near(arch)
        return near[int(draw * len(near))]

    def graph(self, arch: Architecture) -> Graph:
        """Return the cell with its operations on nodes, between old and new hidden states.

        A blend is ``gate * a + (1 - gate) * b``: what is its gate and what its ``b`` goes through a node that
        says so.
        """
        cell = self._decoded(arch)
        labels = ["input", "x", *(f"h_prev_{k}" for k in range(len(cell.states)))]
        edges = [(0, node) for node in range(1, len(labels))]
        node_of = {source: source + 1 for source in range(len(cell.states) + 1)}
        for i, (op, sources) in enumerate(zip(cell.operations, cell.inputs, strict=True)):
            arriving = [node_of[source] for source in sources]
            if op == BLEND:
                for slot, label in ((0, "blend_gate"), (2, "blend_rest")):
                    labels.append(label)
                    edges.append((arriving[slot], len(labels) - 1))
                    arriving[slot] = len(labels) - 1
            labels.append(OPERATIONS[op])
            node_of[FIRST + i] = len(labels) - 1
            edges += [(source, len(labels) - 1) for source in arriving]
        ends = []
        for k, node in enumerate(cell.states):
            labels.append(f"h_new_{k}")
            ends.append(len(labels) - 1)
            edges.append((node_of[FIRST + node], ends[-1]))
        labels.append("output")
        return Graph(tuple(labels), (*edges, *((end, len(labels) - 1) for end in ends)))

    def figures(self, cells: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        """Return the parameters of the published language model for Penn Treebank.

        Another vocabulary shifts them all alike.
        """
        return {"parameters": parameters(cells)}

    def _decoded(self, arch: Architecture) -> Cell:
        cell = decoded(arch) if len(arch) == len(self.choices) else None
        if cell is None:
            self.check(arch)
            raise InvalidArchitectureError(f"{arch!r} is not a cell of {self.name}. {self.rule}")
        return cell


@lru_cache(maxsize=256)
def _near(arch: Architecture) -> tuple[Architecture, ...]:
    cell = decoded(arch)
    return () if cell is None else tuple(map(encoded, neighbors(cell)))


def parameters(cells: NDArray[np.uint8], *, vocabulary: int = 10_000) -> NDArray[np.float64]:
    """Return the trainable parameters of the published language model.

    An embedding of 400, tied to the classifier; three layers of the cell with 600, 600 and 400 hidden
    units. A linear node has a matrix for each input and one bias.

    Args:
        cells: ``(n, 103)`` architectures.
        vocabulary: Words: 10,000 in Penn Treebank, 33,278 in WikiText-2.
    """
    cells = np.asarray(cells)
    nodes = cells[:, : 4 * NODES].reshape(len(cells), NODES, 4)
    linear = nodes[:, :, 0] == LINEAR + 1
    sources = np.where(linear[:, :, None], nodes[:, :, 1:], 0)
    from_x = (sources == 1).sum(axis=(1, 2))
    from_state = (sources > 1).sum(axis=(1, 2))
    total = np.full(len(cells), (400 + 1) * vocabulary, np.float64)
    for width_in, width in _LAYERS:
        total += from_x * width_in * width + from_state * width**2 + linear.sum(axis=1) * width
    return total


def _recipe(text: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a name stands there twice")
        return dict(pairs)

    try:
        if len(text) > _LONGEST:
            raise ValueError(f"{len(text)} characters")
        recipe = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as err:
        raise InvalidArchitectureError(
            f"{text!r:.200} is not a recipe of NAS-Bench-NLP ({err}). Expected JSON as in {_FORM}"
        ) from err
    if not isinstance(recipe, dict):
        raise InvalidArchitectureError(
            f"{text!r:.200} is not a recipe of NAS-Bench-NLP. Expected JSON as in {_FORM}"
        )
    for name, node in recipe.items():
        fits = isinstance(node, dict) and set(node) == {"op", "input"}
        fits = fits and isinstance(node["op"], str) and isinstance(node["input"], list)
        if not fits or not all(isinstance(source, str) for source in node["input"]):
            raise InvalidArchitectureError(
                f"Node {name!r:.80} is {node!r:.200}; an operation and a list of names expected, as in "
                f"{_FORM}"
            )
        if node["op"] not in OPERATIONS:
            raise InvalidArchitectureError(
                f"Node {name!r:.80}: {unknown_name('operation', node['op'], OPERATIONS)}"
            )
    return recipe


def _cell(recipe: dict[str, Any]) -> Cell:
    """Return the cell of a recipe; its nodes in the order in which their inputs become known."""
    if len(recipe) > NODES:
        raise InvalidArchitectureError(
            f"The recipe has {len(recipe)} nodes; at most {NODES} expected, which is what the published "
            "generator makes."
        )
    states = [match for name in recipe if (match := _STATE.fullmatch(name))]
    new = sorted(int(match[2]) for match in states if match[1] == "new")
    if new != list(range(len(new))) or not 1 <= len(new) <= STATES or len(new) < len(states):
        raise InvalidArchitectureError(
            f"The recipe computes {', '.join(match[0] for match in states) or 'no hidden state'}; h_new_0 to "
            f"at most h_new_{STATES - 1} expected, without gaps."
        )
    number = {"x": 0, **{f"h_prev_{k}": 1 + k for k in range(len(new))}}
    if "x" in recipe:
        raise InvalidArchitectureError(
            "The recipe has a node that is called x, which is the input."
        )
    waiting, order = list(recipe), list[str]()
    while waiting:
        ready = next((n for n in waiting if all(s in number for s in recipe[n]["input"])), None)
        if ready is None:
            unknown = {s for n in waiting for s in recipe[n]["input"]} - {*number, *recipe}
            raise InvalidArchitectureError(
                f"Node {waiting[0]!r:.80} cannot be computed: "
                + (
                    f"there is no {min(unknown)!r:.80}."
                    if unknown
                    else "its inputs go in a circle."
                )
            )
        number[ready] = FIRST + len(order)
        order.append(ready)
        waiting.remove(ready)
    operations = tuple(OPERATIONS.index(recipe[name]["op"]) for name in order)
    inputs = tuple(
        tuple(sources if op == BLEND else sorted(sources))
        for op, sources in zip(
            operations, ([number[s] for s in recipe[name]["input"]] for name in order), strict=True
        )
    )
    cell = Cell(operations, inputs, tuple(order.index(f"h_new_{k}") for k in range(len(new))))
    problem = problem_of(cell)
    if problem is not None:
        raise InvalidArchitectureError(f"The recipe is no cell of nasbench-nlp: {problem}")
    return cell


def _drawn(rng: np.random.Generator, states: int, size: int) -> Cell | None:
    """Return one draw of the authors' generator; None if it has to be drawn again."""
    operations: list[int] = []
    inputs: list[tuple[int, ...]] = []
    base = [0, *range(1, 1 + states)]
    active: list[int] = []  # activations: what a linear node may take
    while len(operations) < states + size:
        op = bisect_right(_CUMULATIVE, rng.random())
        if op == LINEAR:
            known = base + active
            count = min(2 + (rng.random() < _THREE), len(known))
        else:
            known = [*base[1:], *range(FIRST, FIRST + len(operations))]
            count = 3 if op == BLEND else 2
            if count > len(known):
                continue
        chosen = tuple(known[i] for i in rng.permutation(len(known))[:count].tolist())
        operations.append(op)
        inputs.append(chosen if op == BLEND else tuple(sorted(chosen)))
        if op == LINEAR:
            operations.append(ACTIVATIONS[int(rng.integers(len(ACTIVATIONS)))])
            inputs.append((FIRST + len(operations) - 2,))
            active.append(FIRST + len(operations) - 1)
    new = rng.permutation(len(operations))[:states].tolist()
    if any(1 <= source < FIRST for node in new for source in inputs[node]):
        return None
    used = set(new)
    for node in range(len(operations) - 1, -1, -1):
        if node in used:
            used.update(source - FIRST for source in inputs[node] if source >= FIRST)
    kept = sorted(used)
    moved = {
        **{source: source for source in base},
        **{FIRST + o: FIRST + i for i, o in enumerate(kept)},
    }
    cell = Cell(
        tuple(operations[node] for node in kept),
        tuple(tuple(moved[source] for source in inputs[node]) for node in kept),
        tuple(kept.index(node) for node in new),
    )
    return cell if problem_of(cell) is None else None
