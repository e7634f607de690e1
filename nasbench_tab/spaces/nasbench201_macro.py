"""The NAS-Bench-201 cell with a free width and number of cells in each of three stages.

    >>> from nasbench_tab.spaces.nasbench201_macro import NasBench201Macro
    >>> space = NasBench201Macro()
    >>> space.parse("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|@8x1,12x2,16x1")
    (3, 0, 0, 1, 0, 0, 2, 3, 4, 0, 1, 0)

15,625,000 architectures: too many for a table. An architecture is a tuple of twelve numbers: the six
operations of :mod:`~nasbench_tab.spaces.nasbench201`, the three stages' positions in :data:`WIDTHS`,
and their positions in :data:`CELLS`. Its published string is the cell's, then ``@`` and, for each
stage, ``<channels>x<cells>``.

The space is ours; networks of the size and topology spaces of NATS-Bench (Dong, Liu, Musial and
Gabrys, TPAMI 2021) varied one of the two.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.records import Architecture, Graph
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.nasbench201 import CONV1, CONV3, EDGES, OPERATIONS, NasBench201

__all__ = ["CELLS", "N_ARCHITECTURES", "STAGES", "WIDTHS", "NasBench201Macro", "figures", "stages"]

STAGES = 3
#: Channels that a stage may have, and cells; an architecture holds positions in these.
WIDTHS = (4, 6, 8, 12, 16)
CELLS = (1, 2)

_CELL = NasBench201()
_N = len(EDGES)
_CHOICES = (len(OPERATIONS),) * _N + (len(WIDTHS),) * STAGES + (len(CELLS),) * STAGES
_BELOW = math.prod(_CHOICES[_N:])  # settings of the stages for each cell
N_ARCHITECTURES = math.prod(_CHOICES)
_FORM = "<cell>@<channels>x<cells>,<channels>x<cells>,<channels>x<cells>"
_STAGE = {f"{width}x{n}": (w, c) for w, width in enumerate(WIDTHS) for c, n in enumerate(CELLS)}

_NOTHING, _IDENTITY = (0,) * _N, (0, 0, 0, 1, 0, 0)
#: Canonical cells that, applied twice, are one other cell; a test finds them again.
_SQUARES: dict[Architecture, Architecture] = {
    (0, 0, 0, 2, 0, 0): (0, 2, 0, 0, 0, 2),
    (0, 0, 0, 3, 0, 0): (0, 3, 0, 0, 0, 3),
    (0, 0, 0, 4, 0, 0): (0, 4, 0, 0, 0, 4),
    (0, 1, 0, 1, 0, 1): (1, 1, 1, 1, 1, 1),
    (0, 1, 0, 1, 0, 2): (2, 1, 1, 1, 1, 2),
    (0, 1, 0, 1, 0, 3): (3, 1, 1, 1, 1, 3),
    (0, 1, 0, 1, 0, 4): (1, 1, 4, 1, 4, 4),
}


class NasBench201Macro(Space):
    """All 15,625,000 architectures, 5,257,255 distinct networks.

    ``size`` is None though :meth:`index` numbers all of them: whatever is given a size may list the
    whole space.
    """

    name = "nasbench201-macro"
    choices = _CHOICES
    groups = ((0,), (1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11))
    size: int | None = None

    def parse(self, text: str) -> Architecture:
        """Return the architecture of a string such as ``|op~0|+|...|@8x1,12x2,16x1``."""
        cell, _, macro = text.strip().partition("@")
        found = [_STAGE.get(stage) for stage in macro.split(",")]
        if len(found) != STAGES or None in found:
            raise InvalidArchitectureError(
                f"{text!r} is not an architecture of {self.name}. Expected {_FORM}, with channels one "
                f"of {', '.join(map(str, WIDTHS))} and cells one of {', '.join(map(str, CELLS))}, for "
                f"example {self.format(self.example())}."
            )
        widths, depths = zip(*(stage for stage in found if stage), strict=True)
        return (*_CELL.parse(cell), *widths, *depths)

    def format(self, arch: Architecture) -> str:
        """Return the published string of an architecture."""
        cell, macro = stages(arch)
        return f"{_CELL.format(cell)}@{','.join(f'{width}x{n}' for width, n in macro)}"

    def options(self) -> dict[str, tuple[str, ...]]:
        """Return the operations of each edge, then channels and cells of each stage."""
        widths, cells = tuple(map(str, WIDTHS)), tuple(map(str, CELLS))
        stages = range(1, STAGES + 1)
        return {
            **_CELL.options(),
            **{f"channels_{stage}": widths for stage in stages},
            **{f"cells_{stage}": cells for stage in stages},
        }

    def index(self, arch: Architecture) -> int:
        """Return the number (0 to 15,624,999): 1,000 times the cell's official index, and the stages'."""
        number = _CELL.index(arch[:_N])
        for choice, n in zip(arch[_N:], _CHOICES[_N:], strict=True):
            number = number * n + choice
        return number

    def unindex(self, index: int) -> Architecture:
        """Return the architecture of a number (0 to 15,624,999)."""
        if not 0 <= index < N_ARCHITECTURES:
            raise InvalidArchitectureError(
                f"There is no architecture {index} in {self.name}. Numbers are 0 to "
                f"{N_ARCHITECTURES - 1}."
            )
        cell, rest = divmod(index, _BELOW)
        macro = []
        for n in reversed(_CHOICES[_N:]):
            rest, choice = divmod(rest, n)
            macro.append(choice)
        return (*_CELL.unindex(cell), *reversed(macro))

    def canonical(self, arch: Architecture) -> Architecture:
        """Return the representative of all architectures that are the same network.

        The cell's own representative (see :meth:`NasBench201.canonical`) with these stages, but for
        what repeating a cell can leave equal: cells that pass on their input unchanged may be one or
        two; behind cells that pass on nothing only the last width remains; and two of some cells
        in every stage are one of another, as two convolutions in a row are.
        """
        cell, macro = _CELL.canonical(arch[:_N]), arch[_N:]
        if cell == _NOTHING:
            return (*cell, 0, 0, macro[2], 0, 0, 0)
        if cell == _IDENTITY:
            return (*cell, *macro[:3], 0, 0, 0)
        if min(macro[3:]) and cell in _SQUARES:
            return (*_SQUARES[cell], *macro[:3], 0, 0, 0)
        return (*cell, *macro)

    def graph(self, arch: Architecture) -> Graph:
        """Return the cell with its operations on nodes; what the stages are is in :meth:`figures`."""
        return _CELL.graph(arch[:_N])

    def figures(self, cells: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        """Return :func:`figures` of the networks on 10 x 10 grey pixels and 10 classes."""
        return figures(cells)


def stages(arch: Architecture) -> tuple[Architecture, tuple[tuple[int, int], ...]]:
    """Return the NAS-Bench-201 cell, and ``(channels, cells)`` of each stage."""
    widths, depths = arch[_N : _N + STAGES], arch[_N + STAGES :]
    macro = zip((WIDTHS[w] for w in widths), (CELLS[c] for c in depths), strict=True)
    return arch[:_N], tuple(macro)


def figures(
    cells: NDArray[np.uint8], *, side: int = 10, in_channels: int = 1, n_classes: int = 10
) -> dict[str, NDArray[np.float64]]:
    """Return what is known of networks without training them.

    The networks are those of :func:`nasbench_tab.train.networks.build` in the skeleton ``small``: a
    3x3 stem, between stages 2x2 pooling (rounding up) and a normalised 1x1 convolution, a normalisation
    and a linear classifier. Dead edges count, as they are built.

    Args:
        cells: ``(n, 12)`` architectures.
        side: Height and width of the images.
        in_channels: 1 for grey images, 3 for colour.
        n_classes: Outputs of the classifier.

    Returns:
        ``(n,)`` each: ``parameters`` (trainable), ``macs`` (multiply-accumulates for one image, counted as
        :func:`nasbench_tab.spaces.nasbench201.macs` does), ``cells`` in all, and for each stage ``width_1``,
        ``cells_1`` ... of it.
    """
    cells = np.asarray(cells)
    widths = np.array(WIDTHS, np.int64)[cells[:, _N : _N + STAGES].T]
    depths = np.array(CELLS, np.int64)[cells[:, _N + STAGES :].T]
    conv1, conv3 = ((cells[:, :_N] == op).sum(axis=1) for op in (CONV1, CONV3))
    taps, norms = conv1 + 9 * conv3, 2 * (conv1 + conv3)
    parameters = (9 * in_channels + 2) * widths[0]
    macs = 9 * in_channels * widths[0] * side**2
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            side = (side + 1) // 2
            joint = widths[stage - 1] * width
            parameters = parameters + joint + 2 * width
            macs = macs + joint * side**2
        parameters = parameters + depth * (taps * width**2 + norms * width)
        macs = macs + depth * taps * width**2 * side**2
    last = widths[-1]
    found = {
        "parameters": parameters + 2 * last + last * n_classes + n_classes,
        "macs": macs + last * n_classes + n_classes,
        "cells": depths.sum(axis=0),
    }
    for stage in range(STAGES):
        found |= {f"width_{stage + 1}": widths[stage], f"cells_{stage + 1}": depths[stage]}
    return {name: values.astype(np.float64) for name, values in found.items()}
