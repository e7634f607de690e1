"""From a NAS-Bench-201 cell to a trainable network.

    >>> from nasbench_tab.train.networks import SKELETONS, build
    >>> network = build((3, 3, 4, 0, 3, 4), SKELETONS["nb201"], n_classes=10, in_channels=3)
    >>> sum(p.numel() for p in network.parameters())
    802426

The published network (Dong and Yang, ICLR 2020) is ``SKELETONS["nb201"]``: a 3x3 stem, three stages
of five cells, a residual block with stride 2 between stages, batch normalisation and ReLU, global
average pooling and a linear classifier. Dead edges are built and trained too, as published.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nasbench_tab.records import Architecture
from nasbench_tab.spaces import nasbench201_macro
from nasbench_tab.spaces.nasbench201 import CONV1, CONV3, EDGES, NONE, POOL, SKIP

__all__ = ["SKELETONS", "Skeleton", "build"]


class Skeleton(NamedTuple):
    """What surrounds the cells.

    An architecture of nasbench201-macro has stages of its own: ``channels``, ``stages`` and ``cells``
    are not for it.

    Attributes:
        channels: Width of the first stage; each stage doubles it.
        stages: Number of stages.
        cells: Cells in a stage.
        stem: Side of the stem's convolution; 1 leaves all that is spatial to the cells.
        reduction: Between stages, ``"residual"`` (the published basic block with stride 2) or
            ``"pool"`` (2x2 max pooling and a normalised 1x1 convolution, which leaves the work to the cells).
    """

    channels: int
    stages: int
    cells: int
    stem: int
    reduction: Literal["residual", "pool"]


#: ``nb201`` is the published network; ``small`` is that of our own tables.
SKELETONS = {
    "nb201": Skeleton(channels=16, stages=3, cells=5, stem=3, reduction="residual"),
    "small": Skeleton(channels=8, stages=3, cells=1, stem=3, reduction="pool"),
}


def build(arch: Architecture, skeleton: Skeleton, *, n_classes: int, in_channels: int) -> nn.Module:
    """Return the network of a cell, with PyTorch's default initialisation.

    Args:
        arch: Six operation numbers; see :mod:`nasbench_tab.spaces.nasbench201`. Or twelve numbers; see
            :mod:`nasbench_tab.spaces.nasbench201_macro`.
        skeleton: What surrounds the cells.
        n_classes: Outputs of the classifier.
        in_channels: 3 for colour images, 1 for grey ones.

    The module maps ``(batch, in_channels, height, width)`` to ``(batch, n_classes)`` logits.
    """
    cell, stages = _stages(arch, skeleton)
    width = stages[0][0]
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, width, skeleton.stem, padding=skeleton.stem // 2, bias=False),
        nn.BatchNorm2d(width),
    ]
    for stage, (out, n_cells) in enumerate(stages):
        if stage:
            layers.append(_REDUCTIONS[skeleton.reduction](width, out))
        width = out
        layers += [_Cell(cell, width) for _ in range(n_cells)]
    layers += [nn.BatchNorm2d(width), nn.ReLU(), _GlobalAverage()]
    return nn.Sequential(*layers, nn.Linear(width, n_classes))


def _stages(
    arch: Architecture, skeleton: Skeleton
) -> tuple[Architecture, Sequence[tuple[int, int]]]:
    """Return the cell, and width and number of cells of each stage."""
    if len(arch) > len(EDGES):
        return nasbench201_macro.stages(arch)
    return arch, [(skeleton.channels << stage, skeleton.cells) for stage in range(skeleton.stages)]


class _Cell(nn.Module):
    """The sum, at each node, of the operations on its incoming edges."""

    def __init__(self, arch: Architecture, width: int) -> None:
        super().__init__()
        self.edges = EDGES
        self.ops = nn.ModuleList(_operation(op, width) for op in arch)

    def forward(self, x: Tensor) -> Tensor:
        nodes: list[Tensor | None] = [x, None, None, None]
        for (source, target), op in zip(self.edges, self.ops, strict=True):
            if isinstance(op, _Nothing):
                continue
            value, total = nodes[source], nodes[target]
            # As published, a convolution of nothing still adds its normalisation's bias.
            out = op(torch.zeros_like(x) if value is None else value)
            nodes[target] = out if total is None else total + out
        return torch.zeros_like(x) if nodes[3] is None else nodes[3]


class _GlobalAverage(nn.Module):
    """The mean over all pixels; as a plain mean its gradient is deterministic on CUDA too."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class _Nothing(nn.Module):
    """No connection: its target gets no summand from it."""


def _operation(op: int, width: int) -> nn.Module:
    if op == NONE:
        return _Nothing()
    if op == SKIP:
        return nn.Identity()
    if op == POOL:
        return _Average()
    kernel = {CONV1: 1, CONV3: 3}[op]
    return _relu_conv_norm(width, width, kernel)


class _Average(nn.Module):
    """The mean over 3x3 neighbors that exist: average pooling with the padding left out.

    On a CPU a depthwise convolution with ones computes the same several times faster, above all
    its gradient.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        ones = x.new_ones(x.shape[1], 1, 3, 3)
        total = functional.conv2d(x, ones, padding=1, groups=x.shape[1])
        rows, columns = (_neighbors(n, x) for n in x.shape[-2:])
        return total / (rows[:, None] * columns)


def _neighbors(n: int, like: Tensor) -> Tensor:
    count = like.new_full((n,), 3.0)
    count[0] -= 1
    count[-1] -= 1
    return count


def _relu_conv_norm(width: int, out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(width, out, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out),
    )


class _ResidualReduction(nn.Module):
    """The published basic block with stride 2; its shortcut has no normalisation."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.first = _relu_conv_norm(width, out, 3, stride=2)
        self.second = _relu_conv_norm(out, out, 3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(width, out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(x) + self.second(self.first(x))
        return out


def _pool_reduction(width: int, out: int) -> nn.Module:
    # Without the normalisation, cells of skips and pools collapse at the large learning rates that
    # short trainings need.
    return nn.Sequential(
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Conv2d(width, out, 1, bias=False),
        nn.BatchNorm2d(out),
    )


_REDUCTIONS = {"residual": _ResidualReduction, "pool": _pool_reduction}
