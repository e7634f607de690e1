"""One edit of a recurrent cell: all moves that leave it valid, each of which can be taken back.

- An operation becomes another that takes as many inputs: activations among themselves, linear, product and
  sum of two, linear of three and blend.
- A blend's inputs are reordered.
- An input is replaced by another source that comes before the node.
- Linear takes a third input, or gives one up.
- A new hidden state moves to another node, or two of them are swapped.
- A node is put on one edge, right before the node that the edge leads to: an activation, or a linear, product
  or sum whose other input is ``x`` or an old hidden state. Such a node may be taken out again.

The number of hidden states stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

from nasbench_tab.spaces.recurrent import (
    ACTIVATIONS,
    BLEND,
    FIRST,
    LINEAR,
    NODES,
    PAIRED,
    Cell,
)

__all__ = ["neighbors"]

_Sources = tuple[int, ...]


def neighbors(cell: Cell) -> list[Cell]:
    """Return the valid cells that are one edit away, each once, in a fixed order."""
    moves = (_operations, _inputs, _states, _longer, _shorter)
    near = dict.fromkeys(other for move in moves for other in move(cell))
    near.pop(cell, None)
    return [other for other in near if _is_whole(other)]


def _is_whole(cell: Cell) -> bool:
    """Return whether everything in the cell is used, and x by linear nodes only: all that a move can break."""
    used = {FIRST + node for node in cell.states}.union(*cell.inputs)
    whole = len(used) == 1 + len(cell.states) + len(cell.operations)
    return whole and not any(
        sources[0] == 0 or (op == BLEND and 0 in sources)
        for op, sources in zip(cell.operations, cell.inputs, strict=True)
        if op != LINEAR
    )


def _operations(cell: Cell) -> Iterator[Cell]:
    for i, (op, sources) in enumerate(zip(cell.operations, cell.inputs, strict=True)):
        if len(sources) == 1:
            yield from (_set(cell, i, other, sources) for other in ACTIVATIONS)
        elif len(sources) == 2:
            yield from (_set(cell, i, other, sources) for other in PAIRED)
        else:
            yield from (_set(cell, i, BLEND, order) for order in permutations(sources))
            if op == BLEND:
                yield _set(cell, i, LINEAR, sources)


def _inputs(cell: Cell) -> Iterator[Cell]:
    for i, (op, sources) in enumerate(zip(cell.operations, cell.inputs, strict=True)):
        free = [source for source in _known(cell, i) if source not in sources]
        for slot in range(len(sources)):
            rest = sources[:slot] + sources[slot + 1 :]
            for source in free:
                yield _set(cell, i, op, (*sources[:slot], source, *sources[slot + 1 :]))
            if op == LINEAR and len(sources) == 3:
                yield _set(cell, i, op, rest)
        if op == LINEAR and len(sources) == 2:
            yield from (_set(cell, i, op, (*sources, source)) for source in free)


def _states(cell: Cell) -> Iterator[Cell]:
    for k, node in enumerate(cell.states):
        for other in range(len(cell.operations)):
            # Where the other is a hidden state already, the two are swapped.
            swap = {node: other, other: node}
            states = [swap.get(own, own) for own in cell.states]
            if other not in cell.states:
                states = [other if j == k else own for j, own in enumerate(cell.states)]
            yield cell._replace(states=tuple(states))


def _longer(cell: Cell) -> Iterator[Cell]:
    if len(cell.operations) == NODES:
        return
    base = range(1 + len(cell.states))
    for i, sources in enumerate(cell.inputs):
        moved = _moved_up(cell, i)
        for slot, source in enumerate(sources):
            if source:
                yield from (_inserted(moved, i, slot, op, (source,)) for op in ACTIVATIONS)
            for op in PAIRED:
                for other in base:
                    if other != source and (op == LINEAR or (other and source)):
                        yield _inserted(moved, i, slot, op, (source, other))


def _shorter(cell: Cell) -> Iterator[Cell]:
    for i in range(len(cell.operations) - 1):
        users = [j for j, sources in enumerate(cell.inputs) if FIRST + i in sources]
        sources = cell.inputs[i]
        if users != [i + 1] or i in cell.states or len(sources) > 2:
            continue
        for kept in sources:
            # What is dropped must be what an insertion can bring.
            if kept not in cell.inputs[i + 1] and all(s == kept or s < FIRST for s in sources):
                yield _removed(cell, i, kept)


def _known(cell: Cell, i: int) -> list[int]:
    return [*range(1 + len(cell.states)), *range(FIRST, FIRST + i)]


def _set(cell: Cell, i: int, op: int, sources: _Sources) -> Cell:
    ordered = sources if op == BLEND else tuple(sorted(sources))
    return cell._replace(
        operations=(*cell.operations[:i], op, *cell.operations[i + 1 :]),
        inputs=(*cell.inputs[:i], ordered, *cell.inputs[i + 1 :]),
    )


def _moved_up(cell: Cell, i: int) -> Cell:
    """Return a cell whose nodes from place ``i`` on are numbered one higher; nothing is at place ``i`` yet."""
    inputs = [tuple([s + (s >= FIRST + i) for s in own]) for own in cell.inputs]
    return Cell(cell.operations, tuple(inputs), tuple(node + (node >= i) for node in cell.states))


def _inserted(moved: Cell, i: int, slot: int, op: int, sources: _Sources) -> Cell:
    """Put a node at place ``i`` on the edge into ``slot`` of the node that was there."""
    target = (*moved.inputs[i][:slot], FIRST + i, *moved.inputs[i][slot + 1 :])
    if moved.operations[i] != BLEND:
        target = tuple(sorted(target))
    return Cell(
        (*moved.operations[:i], op, *moved.operations[i:]),
        (*moved.inputs[:i], tuple(sorted(sources)), target, *moved.inputs[i + 1 :]),
        moved.states,
    )


def _removed(cell: Cell, i: int, kept: int) -> Cell:
    """Take out the node at place ``i``; the node behind it takes ``kept`` instead."""
    target = tuple(kept if s == FIRST + i else s for s in cell.inputs[i + 1])
    if cell.operations[i + 1] != BLEND:
        target = tuple(sorted(target))
    inputs = [*cell.inputs[:i], target, *cell.inputs[i + 2 :]]
    return Cell(
        (*cell.operations[:i], *cell.operations[i + 1 :]),
        tuple(tuple(s - (s > FIRST + i) for s in own) for own in inputs),
        tuple(node - (node > i) for node in cell.states),
    )
