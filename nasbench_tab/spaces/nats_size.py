"""The size space of NATS-Bench: one fixed cell, five layers, eight widths for each, 32,768 networks.

    >>> from nasbench_tab.spaces.nats_size import NatsSize
    >>> space = NatsSize()
    >>> space.format(space.unindex(284))
    '8:8:40:32:40'

An architecture is a tuple of five positions in :data:`WIDTHS`: the channels of a cell, of a residual block
with stride 2, a cell, a residual block and a cell. The cell is :data:`CELL` in all of them.

Dong, Liu, Musial and Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and
Size", IEEE TPAMI 2021.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.records import Architecture, Graph
from nasbench_tab.spaces.base import Space

__all__ = ["CELL", "LAYERS", "WIDTHS", "NatsSize", "macs", "parameters"]

#: Channels that a layer may have; an architecture holds positions in this.
WIDTHS = (8, 16, 24, 32, 40, 48, 56, 64)
LAYERS = 5
#: The published cell: five 3x3 convolutions, two of them on the cell's input, and one skip.
CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"

_SIZE = len(WIDTHS) ** LAYERS
_NUMBER = {str(width): number for number, width in enumerate(WIDTHS)}
_FORM = "c1:c2:c3:c4:c5"


class NatsSize(Space):
    """All 32,768 networks; each is another one. ``sample`` draws uniformly, as the paper's methods do."""

    name = "nats-size"
    choices = (len(WIDTHS),) * LAYERS
    size: int | None = _SIZE

    def parse(self, text: str) -> Architecture:
        """Return the architecture of a published string such as ``8:8:40:32:40``."""
        found = [_NUMBER.get(width) for width in text.strip().split(":")]
        arch = tuple(number for number in found if number is not None)
        if len(arch) != len(found) or len(arch) != LAYERS:
            raise InvalidArchitectureError(
                f"{text!r} is not an architecture of {self.name}. Expected {_FORM}, each one of "
                f"{', '.join(map(str, WIDTHS))}, for example {self.format(self.example())}."
            )
        return arch

    def format(self, arch: Architecture) -> str:
        """Return the published string of an architecture."""
        return ":".join(str(WIDTHS[number]) for number in arch)

    def options(self) -> dict[str, tuple[str, ...]]:
        """Return the widths of each layer."""
        return {f"channels_{layer}": tuple(_NUMBER) for layer in range(1, LAYERS + 1)}

    def contains(self, arch: Architecture) -> bool:
        """Return whether ``arch`` is one of the 32,768 architectures."""
        return len(arch) == LAYERS and min(arch) >= 0 and max(arch) < len(WIDTHS)

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """Return ``n`` independent uniform draws, with replacement."""
        return list(map(tuple, rng.integers(0, len(WIDTHS), size=(n, LAYERS)).tolist()))

    def canonical(self, arch: Architecture) -> Architecture:
        """Return ``arch``: networks of other widths are other networks."""
        return arch

    def graph(self, arch: Architecture) -> Graph:
        """Return the five layers in a row, each called by its channels."""
        labels = ("input", *(f"{WIDTHS[number]} channels" for number in arch), "output")
        return Graph(labels, tuple((layer, layer + 1) for layer in range(LAYERS + 1)))

    def figures(self, cells: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        """Return trainable parameters and MACs of the published network for CIFAR-10, and its widths."""
        widths = _widths(cells)
        each = {f"width_{layer}": width for layer, width in enumerate(widths, 1)}
        found = {"parameters": parameters(cells, 10), "macs": macs(cells, 10, 32), **each}
        return {name: values.astype(np.float64) for name, values in found.items()}


def parameters(cells: NDArray[np.uint8], n_classes: int) -> NDArray[np.int64]:
    """Return the trainable parameters of published networks.

    A 3x3 stem of the first width, a cell, a residual block with stride 2, a cell, another block and
    another cell, batch normalisation and a linear classifier. Where a cell's input has another width,
    its skip is a normalised 1x1 convolution.

    Args:
        cells: ``(n, 5)`` architectures.
        n_classes: 10 for CIFAR-10, 100 for CIFAR-100, 120 for ImageNet16-120.

    Returns:
        ``(n,)``.
    """
    widths = _widths(cells)
    total: NDArray[np.int64] = 29 * widths[0]  # stem on RGB and its normalisation
    before = widths[0]
    for layer, width in enumerate(widths):
        if layer % 2:  # residual block: its shortcut is a 1x1 convolution
            total += 10 * before * width + 9 * width**2 + 4 * width
        else:
            total += 18 * before * width + 27 * width**2 + 10 * width
            total += np.where(before == width, 0, before * width + 2 * width)
        before = width
    total += 2 * before + before * n_classes + n_classes
    return total


def macs(cells: NDArray[np.uint8], n_classes: int, image: int) -> NDArray[np.int64]:
    """Return the multiply-accumulate operations for one image (the published "FLOPs").

    Counted as in :func:`nasbench_tab.spaces.nasbench201.macs`.

    Args:
        cells: ``(n, 5)`` architectures.
        n_classes: As in :func:`parameters`.
        image: Height and width of the input: 32 for CIFAR, 16 for ImageNet16-120.

    Returns:
        ``(n,)``.
    """
    widths = _widths(cells)
    total: NDArray[np.int64] = 27 * widths[0] * image**2
    before, side = widths[0], image
    for layer, width in enumerate(widths):
        if layer % 2:
            side //= 2
            total += (10 * before * width + 9 * width**2) * side**2
        else:
            skip = np.where(before == width, 0, before * width)
            total += (18 * before * width + 27 * width**2 + skip) * side**2
        before = width
    total += before * n_classes + n_classes
    return total


def _widths(cells: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the channels of each layer, ``(5, n)``."""
    widths: NDArray[np.int64] = np.array(WIDTHS, np.int64)[np.asarray(cells).T]
    return widths
