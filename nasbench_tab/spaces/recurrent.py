"""Recurrent cells as plain data: operations, inputs and hidden states; what makes one valid.

Sources are numbered: 0 is the input ``x``, 1 to 3 the old hidden states, :data:`FIRST` + i the node i.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from nasbench_tab.records import Architecture

__all__ = [
    "ACTIVATIONS",
    "BLEND",
    "FIRST",
    "LINEAR",
    "NODES",
    "OPERATIONS",
    "PAIRED",
    "STATES",
    "Cell",
    "decoded",
    "encoded",
    "problem_of",
]

OPERATIONS = (
    "linear",
    "blend",
    "elementwise_prod",
    "elementwise_sum",
    "activation_tanh",
    "activation_sigm",
    "activation_leaky_relu",
)
LINEAR, BLEND, PRODUCT, SUM = range(4)
ACTIVATIONS = (4, 5, 6)
#: Operations on two inputs whose order does not matter, linear among them.
PAIRED = (LINEAR, PRODUCT, SUM)

#: Places for nodes, and for hidden states.
NODES, STATES = 25, 3
#: Number of the first node among the sources.
FIRST = 1 + STATES

_NONE = (0,) * 4 * NODES
_COUNTS = {
    LINEAR: (2, 3),
    BLEND: (3,),
    PRODUCT: (2,),
    SUM: (2,),
    **dict.fromkeys(ACTIVATIONS, (1,)),
}


class Cell(NamedTuple):
    """A recurrent cell.

    Attributes:
        operations: Of each node, as a position in :data:`OPERATIONS`.
        inputs: Of each node: sources. In the order that is meant for blend (gate, a, b), else ascending.
        states: For each new hidden state the node that it is.
    """

    operations: tuple[int, ...]
    inputs: tuple[tuple[int, ...], ...]
    states: tuple[int, ...]


def encoded(cell: Cell) -> Architecture:
    """Return a cell as the numbers of an architecture: see :mod:`nasbench_tab.spaces.nasbench_nlp`."""
    nodes = tuple(chain.from_iterable(map(_numbers, cell.operations, cell.inputs)))
    return (
        *nodes,
        *_NONE[: 4 * NODES - len(nodes)],
        *(node + 1 for node in cell.states),
        *_NONE[: STATES - len(cell.states)],
    )


@lru_cache(maxsize=2**15)
def _numbers(op: int, sources: tuple[int, ...]) -> tuple[int, ...]:
    return (op + 1, *(source + 1 for source in sources), *_NONE[: 3 - len(sources)])


def decoded(arch: Architecture) -> Cell | None:
    """Return the cell of an architecture's numbers, None if they leave gaps; it may break other rules."""
    operations, inputs = [], []
    for place in range(0, 4 * NODES, 4):
        op, *sources = arch[place : place + 4]
        if not op:
            if any(arch[place : 4 * NODES]):
                return None
            break
        count = 3 - sources.count(0)
        if not all(sources[:count]):
            return None
        operations.append(op - 1)
        inputs.append(tuple(source - 1 for source in sources[:count]))
    states = arch[4 * NODES :]
    count = STATES - states.count(0)
    if not all(states[:count]):
        return None
    return Cell(tuple(operations), tuple(inputs), tuple(node - 1 for node in states[:count]))


def problem_of(cell: Cell) -> str | None:
    """Return in words which rule a cell breaks, None if it is valid."""
    n, states = len(cell.operations), len(cell.states)
    if not 1 <= n <= NODES or not 1 <= states <= STATES:
        return (
            f"it has {n} nodes and {states} hidden states; 1 to {NODES} and 1 to {STATES} expected."
        )
    if len(set(cell.states)) < states or not all(0 <= node < n for node in cell.states):
        return "its new hidden states must be different nodes."
    used: set[int] = set()
    for i, (op, sources) in enumerate(zip(cell.operations, cell.inputs, strict=True)):
        name = f"node {i} ({OPERATIONS[op]})"
        if len(sources) not in _COUNTS[op]:
            return (
                f"{name} has {len(sources)} inputs; {' or '.join(map(str, _COUNTS[op]))} expected."
            )
        if len(set(sources)) < len(sources):
            return f"{name} takes an input twice."
        if op != BLEND and list(sources) != sorted(sources):
            return f"the inputs of {name} must ascend."
        if any(source >= FIRST + i or states < source < FIRST for source in sources):
            return f"{name} takes what is not there before it."
        if 0 in sources and op != LINEAR:
            return f"{name} takes x, whose size only linear can change."
        used.update(sources)
    idle = [i for i in range(n) if FIRST + i not in used and i not in cell.states]
    if idle:
        return f"node {idle[0]} leads to no new hidden state."
    unused = [source for source in range(1 + states) if source not in used]
    if unused:
        return f"{'x' if not unused[0] else f'h_prev_{unused[0] - 1}'} is not used."
    return None
