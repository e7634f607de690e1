"""The trees of an XGBoost model as flat arrays, and how rows fall to their leaves.

Values at leaves are whole numbers of 2^-24, and those of one output's trees add up to at most 1 in
size (:func:`round_leaves` makes them so). Sums of such numbers are exact in float32, in any order:
NumPy here and XGBoost itself give the same answer, bit by bit.

Thousands of nodes ask a few hundred distinct questions, since most features are counts; each is answered
once. A few rows then walk from node to node. Many rows are answered together: the answers of 64 rows are
the bits of one word, every node of a level is asked whichever a row has come to, and what was answered
above selects. On 1,056 trees of depth 5 that takes a third of XGBoost's own time.
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

_FEW = 12  # up to this many rows walk
_BLOCK = 512  # rows answered together, a multiple of 64: what they need fits the cache
_DEEPEST = 8  # trees beyond are not filled up with questions: their rows walk, however many


class Forest(NamedTuple):
    """The ``T`` trees of a model with ``M`` outputs, sorted by output.

    Nodes are numbered level by level, siblings one after the other; the first ``T`` are the roots.

    Attributes:
        n_features: Of a row.
        depth: ``D``, of the deepest tree.
        starts: ``(M,)`` first tree of each output.
        feature: ``(Q,)`` what each distinct question looks at.
        threshold: ``(Q,)`` float32; the answer is yes unless the feature is below.
        question: ``(N,)`` of each node; leaves have number ``Q``, whose answer is always no.
        left: ``(N,)`` the node after a no, that after a yes is the next; a leaf's is itself.
        value: ``(N,)`` float32 of a leaf; 0 for an inner node.
        levels: For each level ``d``, ``(2^d, T)`` questions: row ``r`` after those answers above whose bits
            make ``r``, the root's the lowest. Below leaves, question ``Q`` again.
            Empty where trees are too deep to be filled up.
        leaves: ``(T, 2^D)`` float32 values after all answers; where trees are too deep, ``(T, 1)``.
    """

    n_features: int
    depth: int
    starts: NDArray[np.intp]
    feature: NDArray[np.intp]
    threshold: NDArray[np.float32]
    question: NDArray[np.intp]
    left: NDArray[np.intp]
    value: NDArray[np.float32]
    levels: tuple[NDArray[np.intp], ...]
    leaves: NDArray[np.float32]


def outputs(forest: Forest, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the outputs ``(n, M)`` for rows ``(n, F)``."""
    found = np.empty((len(x), len(forest.starts)), np.float32)
    if len(x) <= _FEW or len(forest.levels) < forest.depth:
        for out, row in zip(found, x, strict=True):
            np.add.reduceat(_walked(forest, row), forest.starts, out=out)
    else:
        for start in range(0, len(x), _BLOCK):
            found[start : start + _BLOCK] = _together(forest, x[start : start + _BLOCK])
    return found


def _walked(forest: Forest, row: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values ``(T,)`` of one row's leaves."""
    yes = np.zeros(len(forest.feature) + 1, np.intp)
    yes[:-1] = row.take(forest.feature) >= forest.threshold
    node = np.arange(len(forest.leaves))
    for _ in range(forest.depth):
        node = forest.left.take(node) + yes.take(forest.question.take(node))
    return forest.value.take(node)


def _together(forest: Forest, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the outputs ``(n, M)`` of up to 512 rows."""
    n, n_trees, size = len(x), *forest.leaves.shape
    yes = np.zeros((len(forest.feature) + 1, -(-n // 64) * 64), bool)
    yes[:-1, :n] = x.T.take(forest.feature, axis=0) >= forest.threshold[:, None]
    words = np.packbits(yes, axis=1, bitorder="little").view(np.uint64)
    answers: list[NDArray[np.uint64]] = []
    for questions in forest.levels:
        asked = words.take(questions, axis=0)
        for above in answers:
            asked = asked[::2] ^ ((asked[::2] ^ asked[1::2]) & above)
        answers.append(asked[0])
    place = np.zeros((n_trees, yes.shape[1]), np.uint8)
    for answer in reversed(answers):
        place += place
        place += np.unpackbits(answer.view(np.uint8), axis=1, bitorder="little")
    first = size * np.arange(n_trees)[:, None]
    found = np.empty((len(forest.starts), yes.shape[1]), np.float32)
    ends = [*forest.starts[1:].tolist(), n_trees]
    for out, start, end in zip(found, forest.starts.tolist(), ends, strict=True):
        forest.leaves.take(place[start:end] + first[start:end]).sum(axis=0, out=out)
    return found[:, :n].T


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
    # Feature and threshold's bits as one number: far sooner than unique rows.
    bits = nodes.condition.view(np.uint32).astype(np.int64)
    asked, number = np.unique((nodes.feature << 32 | bits)[~leaf], return_inverse=True)
    question = np.full(n, len(asked))
    question[~leaf] = number
    old, left = _by_level(nodes, nodes.roots[order])
    depth, numbers = len(old) - 1, np.concatenate(old)
    question, value = question[numbers], np.where(leaf, nodes.condition, np.float32(0))[numbers]
    levels, reached = [], np.arange(len(order))[None]
    if depth <= _DEEPEST:
        for _ in range(depth):
            levels.append(question[reached])
            no = left[reached]
            reached = np.concatenate([no, no + (no != reached)])
    return Forest(
        n_features=nodes.n_features,
        depth=depth,
        starts=np.searchsorted(nodes.output[order], np.arange(nodes.n_outputs)),
        feature=(asked >> 32).astype(np.intp),
        threshold=asked.astype(np.uint32).view(np.float32),
        question=question,
        left=left,
        value=value,
        levels=tuple(levels),
        leaves=np.ascontiguousarray(value[reached].T),
    )


def _by_level(
    nodes: _Nodes, level: NDArray[np.intp]
) -> tuple[list[NDArray[np.intp]], NDArray[np.intp]]:
    """Return the nodes of each level from the roots on, and the left child of each, numbered so."""
    found: list[NDArray[np.intp]] = []
    left: list[NDArray[np.intp]] = []
    first = 0
    while len(level):
        inner = ~nodes.leaf[level]
        own = first + np.arange(len(level))
        first += len(level)
        own[inner] = first + 2 * np.arange(inner.sum())
        found.append(level)
        left.append(own)
        level = np.stack([nodes.left[level[inner]], nodes.right[level[inner]]], axis=1).ravel()
    return found, np.concatenate(left)


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
