"""The nodes of an XGBoost model as flat arrays, and how a row falls to its leaves.

Values at leaves are whole numbers of 2^-24, and those of one output's trees add up to at most 1 in
size (:func:`round_leaves` makes them so). Sums of such numbers are exact in float32, in any order:
NumPy here and XGBoost itself give the same answer, bit by bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.ubj import parse

__all__ = ["Forest", "forest_of", "outputs", "round_leaves"]

_UNIT = 2.0**-24
# Of the fit, each node's; no answer depends on them. As zeros they take next to no space once compressed.
_STATISTICS = ("base_weights", "loss_changes", "sum_hessian")


class Forest(NamedTuple):
    """The trees of a model with ``M`` outputs, sorted by output.

    Attributes:
        n_features: Of a row.
        depth: Of the deepest tree.
        roots: ``(T,)`` node numbers.
        starts: ``(M,)`` first tree of each output.
        feature: ``(N,)`` what an inner node looks at; 0 for a leaf.
        threshold: ``(N,)`` float32; a row goes left if its feature is below.
        child: ``(2 N,)`` left and right child of each node; a leaf's are itself.
        value: ``(N,)`` float32 of a leaf; 0 for an inner node.
    """

    n_features: int
    depth: int
    roots: NDArray[np.intp]
    starts: NDArray[np.intp]
    feature: NDArray[np.intp]
    threshold: NDArray[np.float32]
    child: NDArray[np.intp]
    value: NDArray[np.float32]


def outputs(forest: Forest, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the outputs ``(n, M)`` for rows ``(n, F)``."""
    found = np.empty((len(x), len(forest.starts)), np.float32)
    for out, row in zip(found, x, strict=True):
        node = forest.roots
        for _ in range(forest.depth):
            right = row[forest.feature[node]] >= forest.threshold[node]
            node = forest.child[2 * node + right]
        np.add.reduceat(forest.value[node], forest.starts, out=out)
    return found


def round_leaves(model: bytearray) -> float:
    """Scale and round the values at the leaves of a fresh model, in place, so that sums are exact.

    What no answer depends on, the statistics of the fit, becomes zero.

    Returns:
        What the model's outputs have to be multiplied with from now on, a power of 2.
    """
    nodes = _nodes(model)
    largest = nodes.largest()
    factor = 2.0 ** max(np.ceil(np.log2(largest)) + 1, -100) if largest > 0 else 1.0
    for tree in nodes.raw:
        leaf = tree["left_children"] == -1
        values = tree["split_conditions"]
        values[leaf] = np.rint(values[leaf].astype(np.float64) / (factor * _UNIT)) * _UNIT
        for name in _STATISTICS:
            tree[name][:] = 0
    return float(factor)


def forest_of(model: bytes) -> Forest:
    """Return the nodes of a model.

    Raises:
        SurrogateError: It is cut short, altered, or no model whose leaves were rounded.
    """
    nodes = _nodes(model)
    n, leaf = len(nodes.left), nodes.leaf
    steps = np.where(leaf, nodes.condition, 0).astype(np.float64) / _UNIT
    if nodes.largest() > 1 or (steps != np.rint(steps)).any():
        raise _altered("its leaves are not those that were written")
    order = np.argsort(nodes.output, kind="stable")
    roots = nodes.roots[order]
    own = np.arange(n)
    child = np.stack([np.where(leaf, own, nodes.left), np.where(leaf, own, nodes.right)], axis=1)
    depth, level = 0, roots[~leaf[roots]]
    while len(level):
        depth, below = depth + 1, child[level].ravel()
        level = below[~leaf[below]]
    return Forest(
        nodes.n_features,
        depth,
        roots,
        np.searchsorted(nodes.output[order], np.arange(nodes.n_outputs)),
        np.where(leaf, 0, nodes.feature),
        nodes.condition,
        child.ravel(),
        np.where(leaf, nodes.condition, np.float32(0)),
    )


class _Nodes(NamedTuple):
    """The nodes of all trees in the order of the file, children numbered throughout."""

    n_features: int
    n_outputs: int
    output: NDArray[np.intp]  # of each tree
    roots: NDArray[np.intp]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    leaf: NDArray[np.bool_]
    feature: NDArray[np.intp]
    condition: NDArray[np.float32]  # threshold of an inner node, value of a leaf
    raw: list[dict[str, Any]]

    def largest(self) -> float:
        """Return the most that the values of one output can add up to in size."""
        values = np.where(self.leaf, np.abs(self.condition), 0)
        of_tree = np.maximum.reduceat(values, self.roots).astype(np.float64)
        return float(np.bincount(self.output, of_tree).max())


def _nodes(model: bytes | bytearray) -> _Nodes:
    document = parse(model)
    try:
        learner = document["learner"]
        shape, boosted = learner["learner_model_param"], learner["gradient_booster"]
        n_features, n_outputs = int(shape["num_feature"]), int(shape["num_target"])
        base = [float(part) for part in shape["base_score"].strip("[]").split(",")]
        output = np.array(boosted["model"]["tree_info"], np.intp)
        raw = boosted["model"]["trees"]
        names = ("left_children", "right_children", "split_indices", "split_conditions")
        columns = [[tree[name] for tree in raw] for name in (*names, "split_type")]
        # These settle what XGBoost itself reads from the file.
        told = [
            (int(p["num_nodes"]), int(p["num_deleted"]), int(p["num_feature"]))
            for p in (tree["tree_param"] for tree in raw)
        ]
        plain = (
            boosted["name"] == "gbtree"
            and learner["objective"]["name"] == "reg:squarederror"
            and not any(base)
            and output.ndim == 1
            and len(raw) == len(output) > 0
        )
        sizes = [[part.size for part in column] for column in columns]
        whole = all(size == sizes[0] for size in sizes) and all(sizes[0])
        whole = whole and told == [(size, 0, n_features) for size in sizes[0]]
        parts = [np.concatenate(column) for column in columns]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as err:
        raise _altered(f"{type(err).__name__}: {err}") from err
    if not (plain and whole and [part.dtype.kind for part in parts[:4]] == list("iiif")):
        raise _altered("it is not made of plain regression trees around zero")
    if not 0 < n_outputs <= len(output) or not np.array_equal(
        np.unique(output), np.arange(n_outputs)
    ):
        raise _altered("its trees do not belong to its outputs")
    left, right, feature = (part.astype(np.intp) for part in parts[:3])
    condition = parts[3].astype(np.float32)
    size = np.array(sizes[0], np.intp)
    roots = np.cumsum(size) - size
    offset = np.repeat(roots, size)
    leaf, numbers = left == -1, np.arange(len(left))
    inner = np.flatnonzero(~leaf)
    left, right = left + offset, right + offset
    children = np.sort(np.concatenate([left[inner], right[inner]]))
    rest = np.ones(len(left), bool)
    rest[roots] = False
    # Every node but the roots is the child of one node of its tree with a lower number.
    sound = (
        not parts[4].any()
        and (right[leaf] == offset[leaf] - 1).all()
        and np.array_equal(children, numbers[rest])
        and all((side[inner] > inner).all() for side in (left, right))
        and all((offset[side[inner]] == offset[inner]).all() for side in (left, right))
        and ((feature[inner] >= 0) & (feature[inner] < n_features)).all()
        and np.isfinite(condition).all()
    )
    if not sound:
        raise _altered("the nodes of a tree do not make one")
    return _Nodes(n_features, n_outputs, output, roots, left, right, leaf, feature, condition, raw)


def _altered(what: str) -> SurrogateError:
    return SurrogateError(
        f"A model file is not one that this package wrote: {what}. It was altered or cut short; fetch "
        "or fit the surrogate again."
    )
