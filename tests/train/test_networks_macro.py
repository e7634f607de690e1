"""Networks with stages of their own: sizes, and that equal architectures are equal networks."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasbench_tab.records import Architecture
from nasbench_tab.spaces.nasbench201_macro import _SQUARES, NasBench201Macro, figures
from nasbench_tab.train.networks import SKELETONS, Skeleton, build

from .test_networks import measured_macs

SPACE = NasBench201Macro()
SMALL = SKELETONS["small"]


def network(arch: Architecture, n_classes: int = 10, in_channels: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return build(arch, SMALL, n_classes=n_classes, in_channels=in_channels)


def logits(net: nn.Module) -> Tensor:
    """Outputs while training, so that normalisation does something."""
    images = torch.randn(6, 1, 10, 10, generator=torch.Generator().manual_seed(1))
    found: Tensor = net.double()(images.double())
    return found


@pytest.mark.parametrize(("side", "in_channels", "n_classes"), [(10, 1, 10), (9, 3, 7)])
def test_figures_are_those_of_the_network(side: int, in_channels: int, n_classes: int) -> None:
    archs = SPACE.sample(np.random.default_rng(side), 12)
    known = figures(
        np.array(archs, np.uint8), side=side, in_channels=in_channels, n_classes=n_classes
    )
    for i, arch in enumerate(archs):
        with torch.device("meta"):
            net = build(arch, SMALL, n_classes=n_classes, in_channels=in_channels)
        assert known["parameters"][i] == sum(p.numel() for p in net.parameters())
        assert known["macs"][i] == measured_macs(net, in_channels, side)


def test_widths_and_cells_are_the_architectures() -> None:
    arch = (3, 0, 0, 1, 0, 3, 1, 4, 0, 1, 0, 1)  # 6, 16, 4 channels, 2, 1, 2 cells
    inside = [m for m in network(arch).modules() if isinstance(m, nn.Conv2d)]
    shapes = [tuple(m.weight.shape[:2]) for m in inside]
    assert shapes == [(6, 1), *[(6, 6)] * 4, (16, 6), *[(16, 16)] * 2, (4, 16), *[(4, 4)] * 4]


def test_doubling_widths_are_the_small_skeletons_network() -> None:
    cell = (3, 2, 1, 4, 3, 1)
    for depth in (0, 1):
        own = network((*cell, 0, 2, 4, depth, depth, depth))
        torch.manual_seed(0)
        skeleton = Skeleton(4, 3, depth + 1, SMALL.stem, SMALL.reduction)
        other = build(cell, skeleton, n_classes=10, in_channels=1)
        mine, theirs = own.state_dict(), other.state_dict()
        assert list(mine) == list(theirs)
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
        assert torch.equal(logits(own), logits(other))


@pytest.mark.parametrize("root", list(_SQUARES))
def test_two_cells_in_every_stage_are_one_of_the_square(root: Architecture) -> None:
    twice, square = network((*root, 2, 1, 3, 1, 1, 1)), network((*_SQUARES[root], 2, 1, 3, 0, 0, 0))
    state = twice.state_dict().values()
    square.load_state_dict(dict(zip(square.state_dict(), state, strict=True)))
    torch.testing.assert_close(logits(twice), logits(square), rtol=1e-9, atol=1e-9)
    once = network((*root, 2, 1, 3, 0, 0, 0))
    assert not torch.allclose(logits(once), logits(square))


def test_cells_that_change_nothing_are_one_network() -> None:
    found = [
        logits(network((0, 0, 0, 1, 0, 0, 2, 1, 3, *depths)))
        for depths in product((0, 1), repeat=3)
    ]
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_behind_nothing_all_that_is_left_is_the_classifier() -> None:
    net = network((0, 0, 0, 0, 0, 0, 4, 2, 1, 1, 0, 1))
    out = logits(net)
    out.sum().backward()  # type: ignore[no-untyped-call]
    assert (out == out[0]).all()
    used = {name.split(".")[0] for name, p in net.named_parameters() if p.grad is not None}
    last = str(len(list(net.children())) - 1)  # the classifier, behind norm, ReLU and mean
    assert used == {last, str(int(last) - 3)}
