"""The one representative of all recurrent cells that differ in the order of their nodes.

Nodes are told apart by their operations, what they take and what takes them, over and over until this
tells nothing new. Of nodes that are still alike one after the other is singled out, and the lowest of the
cells that result is the representative. Where two ways of singling out give the same cell, a symmetry of
the cell leads from one to the other, and the rest of the second need not be looked at.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations

from nasbench_tab.records import Architecture
from nasbench_tab.spaces.recurrent import BLEND, FIRST, Cell, decoded, encoded

__all__ = ["canonical"]


@lru_cache(maxsize=2**15)
def canonical(arch: Architecture) -> Architecture:
    """Return the representative of a valid architecture of ``nasbench-nlp``."""
    cell = decoded(arch)
    if cell is None:
        raise ValueError("canonical is for valid architectures")
    first, *others = range(len(cell.states))
    # The first hidden state is the cell's output; the others may change places.
    return min(_least(_renamed(cell, (first, *order))) for order in permutations(others))


def _renamed(cell: Cell, order: tuple[int, ...]) -> Cell:
    """Return the cell with its hidden states in another order."""
    number = {1 + old: 1 + new for new, old in enumerate(order)}
    inputs = []
    for op, sources in zip(cell.operations, cell.inputs, strict=True):
        renamed = [number.get(source, source) for source in sources]
        inputs.append(tuple(renamed if op == BLEND else sorted(renamed)))
    return Cell(cell.operations, tuple(inputs), tuple(cell.states[old] for old in order))


def _least(cell: Cell) -> Architecture:
    n = len(cell.operations)
    users: list[list[tuple[int, int]]] = [[] for _ in range(n)]  # (slot of a blend, node)
    for node, (op, sources) in enumerate(zip(cell.operations, cell.inputs, strict=True)):
        for slot, source in enumerate(sources):
            if source >= FIRST:
                users[source - FIRST].append((slot if op == BLEND else -1, node))
    start = [
        (op, 1 + cell.states.index(i) if i in cell.states else 0)
        for i, op in enumerate(cell.operations)
    ]
    ranks = {kind: rank for rank, kind in enumerate(sorted(set(start)))}
    return min(_leaves(cell, users, [ranks[kind] for kind in start]))


def _leaves(
    cell: Cell, users: list[list[tuple[int, int]]], colours: list[int]
) -> set[Architecture]:
    """Return cells that result from these colours, the least of all among them."""
    colours = _refined(cell, users, colours)
    alike: dict[int, list[int]] = {}
    for node, colour in enumerate(colours):
        alike.setdefault(colour, []).append(node)
    tied = [colour for colour, nodes in alike.items() if len(nodes) > 1]
    if not tied:
        return {_ordered(cell, colours)}
    found: set[Architecture] = set()
    for node in alike[min(tied)]:
        # Colours are doubled so that there is room for one of its own.
        single = [2 * colour + 1 for colour in colours]
        single[node] -= 1
        if found and _first(cell, users, single) in found:
            continue
        found |= _leaves(cell, users, single)
    return found


def _first(cell: Cell, users: list[list[tuple[int, int]]], colours: list[int]) -> Architecture:
    """Return the cell that results when always the first of nodes that are alike is singled out."""
    while True:
        colours = _refined(cell, users, colours)
        tied = [colour for colour in set(colours) if colours.count(colour) > 1]
        if not tied:
            return _ordered(cell, colours)
        node = colours.index(min(tied))
        colours = [2 * colour + 1 for colour in colours]
        colours[node] -= 1


def _refined(cell: Cell, users: list[list[tuple[int, int]]], colours: list[int]) -> list[int]:
    """Return colours that also tell apart what takes, or is taken by, nodes of other colours."""
    kinds = len(set(colours))
    while True:
        signs = []
        for node, (op, sources) in enumerate(zip(cell.operations, cell.inputs, strict=True)):
            taken = [s if s < FIRST else FIRST + colours[s - FIRST] for s in sources]
            takers = sorted((slot, colours[user]) for slot, user in users[node])
            order = taken if op == BLEND else sorted(taken)
            signs.append((colours[node], tuple(order), tuple(takers)))
        ranks = {sign: rank for rank, sign in enumerate(sorted(set(signs)))}
        colours = [ranks[sign] for sign in signs]
        if len(ranks) == kinds:
            return colours
        kinds = len(ranks)


def _ordered(cell: Cell, colours: list[int]) -> Architecture:
    """Return the cell with its nodes in the order of their colours, as far as their inputs allow."""
    number: dict[int, int] = {}
    waiting = sorted(range(len(colours)), key=colours.__getitem__)
    while waiting:
        node = next(
            n for n in waiting if all(s < FIRST or s - FIRST in number for s in cell.inputs[n])
        )
        number[node] = len(number)
        waiting.remove(node)
    inputs = []
    for node in number:
        moved = [s if s < FIRST else FIRST + number[s - FIRST] for s in cell.inputs[node]]
        inputs.append(tuple(moved if cell.operations[node] == BLEND else sorted(moved)))
    operations = tuple(cell.operations[node] for node in number)
    return encoded(Cell(operations, tuple(inputs), tuple(number[node] for node in cell.states)))
