"""The NAS-Bench-Macro network: eight layers in three stages, three choices each, 6,561 networks.

    >>> from nasbench_tab.spaces.nasbench_macro import NasBenchMacro
    >>> space = NasBenchMacro()
    >>> cell = space.parse("22212202")
    >>> cell, space.format(space.canonical(cell)), space.index(cell)
    ((2, 2, 2, 1, 2, 2, 0, 2), '22212220', 6473)

An architecture is the published string as digits: for each layer the position of its block in
:data:`BLOCKS`. The first layer of each stage doubles the channels and halves the image; there
``Identity`` is a normalised 1x1 convolution with stride 2, everywhere else it changes nothing.

Su, Huang, Li, You, Wang, Qian, Zhang and Xu, "Prioritized Architecture Sampling with Monte-Carlo Tree
Search", CVPR 2021.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.records import Architecture, Graph
from nasbench_tab.spaces.base import Space

__all__ = ["BLOCKS", "N_ARCHITECTURES", "STAGES", "NasBenchMacro", "figures"]

#: Blocks in the order of the published digits: MobileNetV2's with expansion 3 and kernel 3, 6 and 5.
BLOCKS = ("Identity", "MB3_K3", "MB6_K5")
#: Layers of each stage, by position.
STAGES = ((0, 1), (2, 3, 4), (5, 6, 7))

_LAYERS = 8
N_ARCHITECTURES = len(BLOCKS) ** _LAYERS
_EXPANSION, _KERNEL = np.array([0, 3, 6]), np.array([0, 3, 5])
_STEM, _HEAD = 32, 1280  # channels


class NasBenchMacro(Space):
    """All 6,561 strings, 3,969 distinct networks."""

    name = "nasbench-macro"
    choices = (len(BLOCKS),) * _LAYERS
    groups = STAGES
    size: int | None = N_ARCHITECTURES

    def parse(self, text: str) -> Architecture:
        """Return the architecture of a published string such as ``22212202``."""
        digits = text.strip()
        if len(digits) != _LAYERS or not set(digits) <= set("012"):
            raise InvalidArchitectureError(
                f"{text!r} is not a NAS-Bench-Macro architecture. Expected {_LAYERS} digits, each 0 "
                f"({BLOCKS[0]}), 1 ({BLOCKS[1]}) or 2 ({BLOCKS[2]}), for example 22212202."
            )
        return tuple(map(int, digits))

    def format(self, arch: Architecture) -> str:
        """Return the published string of an architecture."""
        return "".join(map(str, arch))

    def options(self) -> dict[str, tuple[str, ...]]:
        """Return the blocks of each layer."""
        return {f"layer_{layer}": BLOCKS for layer in range(1, _LAYERS + 1)}

    def canonical(self, arch: Architecture) -> Architecture:
        """Return the representative of all strings that are the same network (3,969 of them).

        Behind the first layer of a stage, where Identity changes nothing, it goes to the stage's
        end, as in the authors' own list of what they trained.
        """
        found: list[int] = []
        for first, *others in STAGES:
            kept = [arch[layer] for layer in others if arch[layer]]
            found += [arch[first], *kept, *[0] * (len(others) - len(kept))]
        return tuple(found)

    def graph(self, arch: Architecture) -> Graph:
        """Return the layers one after the other; those that change nothing are ``identity``."""
        first = {stage[0] for stage in STAGES}
        plain = {True: "conv_1x1", False: "identity"}
        layers = [BLOCKS[op] if op else plain[i in first] for i, op in enumerate(arch)]
        edges = tuple((node, node + 1) for node in range(_LAYERS + 1))
        return Graph(("input", *layers, "output"), edges)

    def figures(self, cells: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        """Return :func:`figures` of the networks for CIFAR-10."""
        return figures(cells)


def figures(cells: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Return trainable parameters and MACs of the published CIFAR-10 networks.

    Convolutions and the classifier's products count as MACs, normalisation and sums do not: the
    published convention ("FLOPs").

    Args:
        cells: ``(n, 8)`` architectures.

    Returns:
        ``parameters`` and ``macs``, ``(n,)`` each.
    """
    cells = np.asarray(cells)
    width, side = _STEM, 32
    parameters = np.full(len(cells), 27 * width + 2 * width, np.int64)
    macs = np.full(len(cells), 27 * width * side**2, np.int64)
    for stage in STAGES:
        for layer in stage:
            first = layer == stage[0]
            out, after = (2 * width, side // 2) if first else (width, side)
            block = cells[:, layer]
            hidden, taps = _EXPANSION[block] * width, _KERNEL[block] ** 2
            narrow = width * out * first  # the convolution that stands for Identity
            parameters += np.where(
                block > 0,
                hidden * (width + taps + out + 4) + 2 * out,
                narrow + 2 * out * first,
            )
            macs += np.where(
                block > 0,
                hidden * (width * side**2 + (taps + out) * after**2),
                narrow * after**2,
            )
            width, side = out, after
    parameters += width * _HEAD + 2 * _HEAD + _HEAD * 10 + 10
    macs += width * _HEAD * side**2 + _HEAD * 10
    return {"parameters": parameters.astype(np.float64), "macs": macs.astype(np.float64)}
