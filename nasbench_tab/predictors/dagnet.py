"""Networks that pass messages along an architecture's graph: what they answer, by NumPy alone.

A node takes the sum of its predecessors' states and its own label into a gated recurrent unit, in
topological order; another unit does the same against the edges. What both say of a node, joined, of the
output, of the input and in the mean over all nodes, gives the final value (after Thost and Chen,
"Directed acyclic graph neural networks", ICLR 2021, with one layer). :mod:`nasbench_tab.train.dagnet` trains them.

A row gets the same answer, bit by bit, alone and among others: states and weights are whole multiples of
2^-18, at most 32 and 16, so that products of matrices, whose order of addition depends on the shape, are exact
in double precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.graphs import Graphs
from nasbench_tab.predictors.tail import expanded

__all__ = ["GREATEST", "DagNet", "dagnet_from", "on_grid", "weight_shapes"]

_Floats = NDArray[np.float64]

#: No state or message is greater; networks are trained under the same limit.
GREATEST = 32.0
_GRID, _HEAVIEST = 2.0**18, 16.0  # sums of 256 products of a state and a weight are below 2^17
_WIDEST = 256 // 3  # the head adds three states
# Most that are read: bounds memory and time of a file that was altered.
_LABELS, _MEMBERS = 256, 100
_BLOCK = 64  # graphs at once: what they need fits the cache


class DagNet(NamedTuple):
    """``M`` networks of ``W`` units over graphs with ``V`` labels.

    Attributes:
        words: ``(V,)`` the labels, sorted.
        own: ``(M, V, W)`` what a label is by itself.
        enter: ``(2, M, V, 3 W)`` what it says to the three gates, along the edges and against them.
        forward: ``(2, M, W, 3 W)`` weights of the messages at the gates.
        forward_bias: ``(2, M, 1, 3 W)``.
        join: ``(M, 2 W, W)`` weights of both directions.
        join_bias: ``(M, 1, W)``.
        head: ``(M, 3 W, W)`` weights of output, input and mean.
        head_bias: ``(M, 1, W)``.
        last: ``(M, W, 1)``.
        last_bias: ``(M, 1, 1)``.
        sign: Which tail of the target was compressed (:mod:`.tail`): 1, -1 or 0.
        edge: From where.
        centre: Mean of the compressed target.
        scale: Its standard deviation.
    """

    words: tuple[str, ...]
    own: _Floats
    enter: _Floats
    forward: _Floats
    forward_bias: _Floats
    join: _Floats
    join_bias: _Floats
    head: _Floats
    head_bias: _Floats
    last: _Floats
    last_bias: _Floats
    sign: int
    edge: float
    centre: float
    scale: float

    def mean(self, graphs: Graphs) -> _Floats:
        """Return the mean over the networks, ``(n,)``, in the target's unit.

        Where the tail was compressed it is the mean of what they say of the compressed target.

        Raises:
            SurrogateError: The graphs are of another space.
        """
        if graphs.words != self.words:
            raise SurrogateError(
                f"Networks for graphs with {len(self.words)} labels ({', '.join(self.words)}) were asked about "
                f"graphs with {len(graphs.words)}; the surrogate is of another space."
            )
        found = np.empty(len(graphs.kinds))
        for start in range(0, len(found), _BLOCK):
            block = slice(start, start + _BLOCK)
            said = self._said(graphs.at(block))
            # Added one by one: NumPy's own sum depends on the shape in its last bit.
            found[block] = np.add.accumulate(said, axis=0)[-1] / len(said)
        return expanded(self.centre + self.scale * found, self.sign, self.edge)

    def _said(self, graphs: Graphs) -> _Floats:
        """Return what each network says, ``(M, b)``."""
        kinds, edges = graphs.kinds, graphs.edges
        members, nodes = len(self.own), kinds.shape[1]
        shape = (members, len(kinds), nodes, self.own.shape[2])
        there = np.asarray(edges.any(axis=1) | edges.any(axis=2), np.float64)
        there[:, [0, -1]] = 1.0
        # Against the edges is along those of the graph that is turned round.
        turned = edges.swapaxes(1, 2)[:, ::-1, ::-1]
        states = self._walked(np.stack([kinds, kinds[:, ::-1]]), np.stack([edges, turned]))
        both = np.concatenate([states[0], states[1][:, :, ::-1]], axis=3)
        joined = both.reshape(members, -1, both.shape[3]) @ self.join
        joined += self.join_bias
        whole = _held(_silu(joined).reshape(shape) + self.own[:, kinds])
        # Whole steps: the sum over nodes is exact.
        total: _Floats = (whole * there[:, :, None]).sum(axis=2)
        mean = total / there.sum(axis=1)[:, None]
        read = np.concatenate([whole[:, :, -1], whole[:, :, 0], _held(mean)], axis=2)
        hidden = _held(_silu(read @ self.head + self.head_bias))
        return np.asarray((hidden @ self.last + self.last_bias)[:, :, 0])

    def _walked(self, kinds: NDArray[np.uint8], edges: NDArray[np.bool_]) -> _Floats:
        """Return the states of all nodes, ``(2, M, b, N, W)``, of ``(2, b, N)`` labels in order."""
        members, width = self.own.shape[0], self.own.shape[2]
        directions, rows, nodes = kinds.shape
        weights = edges.astype(np.float64)[:, None]
        states = np.zeros((directions, members, rows, nodes, width))
        along = np.arange(directions)[:, None]
        for node in range(nodes):
            entering = self.enter[along, :, kinds[:, :, node]].swapaxes(1, 2)
            message = np.zeros((directions, members, rows, width))
            if node:
                into = weights[..., :node, node][..., None, :]
                message = np.matmul(into, states[..., :node, :])[..., 0, :]
                np.minimum(np.maximum(message, -GREATEST, out=message), GREATEST, out=message)
            gates = message @ self.forward
            gates += self.forward_bias
            ready, keep = np.split(
                _sigmoid(gates[..., : 2 * width] + entering[..., : 2 * width]), 2, axis=3
            )
            fresh = np.tanh(entering[..., 2 * width :] + ready * gates[..., 2 * width :])
            states[..., node, :] = _held(fresh + keep * (message - fresh))
        return states

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays for :func:`dagnet_from`; single precision holds the weights exactly."""
        weights = {name: getattr(self, name).astype(np.float32) for name in _WEIGHTS}
        return {
            "words": np.array(self.words),
            **weights,
            "unit": np.array([self.sign, self.edge, self.centre, self.scale]),
        }


_WEIGHTS = DagNet._fields[1:-4]


def weight_shapes(members: int, labels: int, width: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights, by name; see :class:`DagNet`."""
    return {
        "own": (members, labels, width),
        "enter": (2, members, labels, 3 * width),
        "forward": (2, members, width, 3 * width),
        "forward_bias": (2, members, 1, 3 * width),
        "join": (members, 2 * width, width),
        "join_bias": (members, 1, width),
        "head": (members, 3 * width, width),
        "head_bias": (members, 1, width),
        "last": (members, width, 1),
        "last_bias": (members, 1, 1),
    }


def dagnet_from(arrays: Mapping[str, NDArray[Any]]) -> DagNet:
    """Return the networks of :meth:`DagNet.arrays`.

    Raises:
        SurrogateError: Something is missing, altered, or does not fit together.
    """
    try:
        given = {name: np.asarray(arrays[name]) for name in ("words", *_WEIGHTS, "unit")}
        members, labels, width = given["own"].shape
        shapes = {
            "words": (labels,),
            **weight_shapes(members, labels, width),
            "unit": (4,),
        }
        if not (
            {name: part.shape for name, part in given.items()} == shapes
            and 0 < members <= _MEMBERS
            and 0 < labels <= _LABELS
            and 0 < width <= _WIDEST
            and all(part.dtype.kind == ("U" if n == "words" else "f") for n, part in given.items())
        ):
            raise ValueError({name: (part.dtype.str, part.shape) for name, part in given.items()})
        words = tuple(given["words"].tolist())
        weights = {name: given[name].astype(np.float64) for name in _WEIGHTS}
        sign, edge, centre, scale = given["unit"].astype(np.float64).tolist()
        fits = (
            sorted(set(words)) == list(words)
            and sign in (-1, 0, 1)
            and math.isfinite(edge)
            and math.isfinite(centre)
            and 0 <= scale < math.inf
            and all(np.array_equal(part, on_grid(part)) for part in weights.values())
        )
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise SurrogateError(
            f"Networks on graphs cannot be read: {err!r}. Fit the surrogate again."
        ) from err
    if not fits:
        raise SurrogateError(
            "The networks on graphs of a surrogate do not fit together: expected labels in their order, a unit of "
            f"finite numbers, and weights in whole steps of 2^-18 up to {_HEAVIEST:g}; got the labels "
            f"{', '.join(words):.200} and the unit {[sign, edge, centre, scale]}. Fit the surrogate again."
        )
    return DagNet(words, **weights, sign=int(sign), edge=edge, centre=centre, scale=scale)


def on_grid(values: NDArray[np.floating]) -> _Floats:
    """Return weights as whole multiples of 2^-18, at most 16 to either side."""
    held = np.clip(np.asarray(values, np.float64), -_HEAVIEST, _HEAVIEST)
    found: _Floats = np.rint(held * _GRID) / _GRID
    return found + 0.0  # no negative zeros


def _held(values: _Floats) -> _Floats:
    """Return states as whole multiples of 2^-18, within the limit; changes its argument."""
    values *= _GRID
    np.rint(values, out=values)
    values /= _GRID
    np.minimum(np.maximum(values, -GREATEST, out=values), GREATEST, out=values)
    return values


def _sigmoid(x: _Floats) -> _Floats:
    with np.errstate(over="ignore"):  # exp(-x) of far below 0 is infinite, and 1 over it is 0
        found: _Floats = 1.0 / (1.0 + np.exp(-x))
    return found


def _silu(x: _Floats) -> _Floats:
    found: _Floats = x * _sigmoid(x)
    return found
