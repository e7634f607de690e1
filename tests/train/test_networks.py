"""Networks against the published sizes and against the published code's structure, written anew."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nasbench_tab.records import Architecture
from nasbench_tab.spaces.nasbench201 import EDGES, NasBench201, macs, parameters
from nasbench_tab.train import networks
from nasbench_tab.train.networks import SKELETONS, Skeleton, build

SPACE = NasBench201()
NB201 = SKELETONS["nb201"]
NONE, SKIP, CONV1, CONV3, POOL = range(5)
#: Nothing reaches the output, or nothing but what convolutions make of nothing.
PATHLESS = [
    (0,) * 6,
    (3, 2, 3, 0, 0, 0),
    (0, 0, 0, 0, 3, 2),
    (0, 0, 1, 0, 4, 1),
    (3, 0, 0, 0, 0, 2),
]


def cells(n: int, seed: int = 0) -> list[Architecture]:
    chosen = np.random.default_rng(seed).choice(15_625, n, replace=False)
    return [SPACE.unindex(i) for i in chosen.tolist()]


def count(network: nn.Module) -> int:
    # Shared modules count as often as they occur.
    return sum(p.numel() for _, p in network.named_parameters(remove_duplicate=False))


def measured_macs(network: nn.Module, channels: int, image: int) -> int:
    """What convolutions and the classifier multiply, and the classifier's bias."""
    total = 0

    def hook(module: nn.Module, _: Any, out: Tensor) -> None:
        nonlocal total
        weight = cast("Tensor", module.weight)
        total += out.numel() * weight[0].numel() + (0 if module.bias is None else out.numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(hook)
    network(torch.zeros(1, channels, image, image, device="meta"))
    return total


# --- Sizes ------------------------------------------------------------------------------------------


def test_index_11_has_the_published_size() -> None:
    with torch.device("meta"):
        network = build(SPACE.unindex(11), NB201, n_classes=10, in_channels=3)
    assert sum(p.numel() for p in network.parameters()) == 802_426
    assert all(p.requires_grad for p in network.parameters())
    assert measured_macs(network, 3, 32) / 1e6 == 113.95137


@pytest.mark.parametrize("index", [0, 11, 284])
def test_sizes_equal_the_official_records(index: int, nats_file: Callable[[str], Any]) -> None:
    results = nats_file(f"{index:06d}")["200"]["all_results"]
    found = {
        dataset: (result["params"], result["flop"]) for (dataset, _), result in results.items()
    }
    assert len(found) == 4
    for dataset, published in found.items():
        n_classes = {"cifar100": 100, "ImageNet16-120": 120}.get(dataset, 10)
        image = 16 if dataset == "ImageNet16-120" else 32
        with torch.device("meta"):
            network = build(SPACE.unindex(index), NB201, n_classes=n_classes, in_channels=3)
        assert (count(network) / 1e6, measured_macs(network, 3, image) / 1e6) == published


def same_size(arch: Architecture) -> None:
    with torch.device("meta"):
        network = build(arch, NB201, n_classes=10, in_channels=3)
        assert count(network) == parameters(arch, 10), arch


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make equal operations once and share them: the same sizes, thirty times as fast."""
    monkeypatch.setattr(networks, "_operation", functools.cache(networks._operation))


def test_parameters_equal_the_closed_form() -> None:
    for arch in cells(15, seed=1):
        same_size(arch)


@pytest.mark.usefixtures("quick")
def test_parameters_of_many_cells_equal_the_closed_form() -> None:
    for arch in cells(300, seed=2):
        same_size(arch)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_parameters_of_all_cells_equal_the_closed_form() -> None:
    for index in range(15_625):
        same_size(SPACE.unindex(index))


def test_macs_equal_the_closed_form() -> None:
    with torch.device("meta"):
        for arch in (cell for cell in cells(15, seed=3) if NONE not in cell):
            network = build(arch, NB201, n_classes=100, in_channels=3)
            assert measured_macs(network, 3, 16) == macs(arch, 100, 16)


# --- The function -------------------------------------------------------------------------------------


class PublishedOp(nn.Module):
    """ReLU, convolution, normalisation; pooling; the rest by its formula."""

    def __init__(self, op: int, width: int) -> None:
        super().__init__()
        self.op = op
        if op in (CONV1, CONV3):
            kernel = 1 if op == CONV1 else 3
            self.conv = nn.Conv2d(width, width, kernel, padding=(kernel - 1) // 2, bias=False)
            self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        if self.op == NONE:
            return x.mul(0.0)
        if self.op == SKIP:
            return x
        if self.op == POOL:
            return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        out: Tensor = self.norm(self.conv(functional.relu(x)))
        return out


class PublishedCell(nn.Module):
    """As the official code: every operation is applied, zeros included."""

    def __init__(self, arch: Architecture, width: int) -> None:
        super().__init__()
        self.ops = nn.ModuleList(PublishedOp(op, width) for op in arch)

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d, e, f = self.ops
        one = a(x)
        two = b(x) + c(one)
        out: Tensor = d(x) + e(one) + f(two)
        return out


class PublishedReduction(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_a = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False)
        self.norm_a = nn.BatchNorm2d(2 * width)
        self.conv_b = nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False)
        self.norm_b = nn.BatchNorm2d(2 * width)
        self.shortcut = nn.Conv2d(width, 2 * width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm_a(self.conv_a(functional.relu(x)))
        inner = self.norm_b(self.conv_b(functional.relu(inner)))
        out: Tensor = inner + self.shortcut(functional.avg_pool2d(x, 2, 2))
        return out


class PublishedNetwork(nn.Module):
    def __init__(self, arch: Architecture, n_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(16)
        self.body = nn.ModuleList()
        for width in (16, 32, 64):
            if width > 16:
                self.body.append(PublishedReduction(width // 2))
            self.body.extend(PublishedCell(arch, width) for _ in range(5))
        self.last_norm = nn.BatchNorm2d(64)
        self.classifier = nn.Linear(64, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem_norm(self.stem(x))
        for block in self.body:
            x = block(x)
        x = functional.relu(self.last_norm(x))
        out: Tensor = self.classifier(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return out


def matched(ours: nn.Module, other: nn.Module) -> None:
    """Give both the same random weights, biases of normalisations included."""
    pairs = list(zip(ours.parameters(), other.parameters(), strict=True))
    with torch.no_grad():
        for a, b in pairs:
            assert a.shape == b.shape
            if a.ndim == 1:
                a.add_(torch.randn_like(a) / 4)
            b.copy_(a)


def test_network_equals_the_published_one() -> None:
    """Index 11 and random cells, in float64: logits while training and after, all gradients."""
    torch.manual_seed(0)
    for arch in (SPACE.unindex(11), (3, 0, 2, 0, 4, 1), (0, 0, 3, 1, 2, 3), *cells(2, seed=4)):
        ours = build(arch, NB201, n_classes=10, in_channels=3).double()
        published = PublishedNetwork(arch, 10).double()
        matched(ours, published)
        x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
        a, b = ours(x), published(x)
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
        weights = torch.randn_like(a)
        (a * weights).sum().backward()
        (b * weights).sum().backward()
        for p, q in zip(ours.parameters(), published.parameters(), strict=True):
            expected = torch.zeros_like(q) if q.grad is None else q.grad
            found = torch.zeros_like(p) if p.grad is None else p.grad
            torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-8)
        torch.testing.assert_close(ours.eval()(x), published.eval()(x), rtol=1e-9, atol=1e-9)


def test_cell_equals_a_plain_forward() -> None:
    torch.manual_seed(1)
    for arch in [*cells(120, seed=5), *PATHLESS]:
        ours, plain = networks._Cell(arch, 4).double(), PublishedCell(arch, 4).double()
        matched(ours, plain)
        x = torch.randn(2, 4, 5, 6, dtype=torch.float64)
        torch.testing.assert_close(ours(x), plain(x), rtol=1e-12, atol=1e-12, msg=str(arch))


@pytest.mark.parametrize("height", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_average_on_a_cpu_equals_average_pooling(height: int, width: int) -> None:
    torch.manual_seed(2)
    x = torch.randn(3, 5, height, width, dtype=torch.float64)
    weights = torch.randn_like(x)
    for form in (torch.contiguous_format, torch.channels_last):
        results = []
        for pool in (
            networks._Average(),
            functools.partial(
                functional.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False
            ),
        ):
            leaf = x.detach().clone(memory_format=form).requires_grad_()
            out = pool(leaf)
            (out * weights).sum().backward()
            results.append((out.detach(), leaf.grad))
        (ours, our_gradient), (theirs, their_gradient) = results
        torch.testing.assert_close(ours, theirs, rtol=2e-15, atol=2e-15)
        torch.testing.assert_close(our_gradient, their_gradient, rtol=2e-15, atol=2e-15)


@pytest.mark.parametrize(
    ("cell", "same", "edges"),
    [
        # edges: which edge of the first cell has the weights of which edge of the second.
        ((CONV3, CONV1, 0, 0, POOL, SKIP), (CONV1, CONV3, 0, 0, SKIP, POOL), {0: 1, 1: 0}),
        ((CONV1, 0, 0, CONV3, SKIP, 0), (CONV3, 0, 0, CONV1, SKIP, 0), {0: 3, 3: 0}),
        ((CONV3, 0, 0, SKIP, 0, 0), (0, 0, 0, SKIP, 0, 0), {}),
        ((SKIP, 0, CONV1, 0, 0, SKIP), (0, 0, 0, CONV1, 0, 0), {2: 3}),
    ],
)
def test_cells_of_one_canonical_form_are_one_function(
    cell: Architecture, same: Architecture, edges: dict[int, int]
) -> None:
    assert SPACE.canonical(cell) == SPACE.canonical(same)
    torch.manual_seed(3)
    a, b = networks._Cell(cell, 6).double(), networks._Cell(same, 6).double()
    for mine, its in edges.items():
        b.ops[its].load_state_dict(a.ops[mine].state_dict())
    x = torch.randn(2, 6, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(a(x), b(x), rtol=1e-12, atol=1e-12)


# --- Dead edges ---------------------------------------------------------------------------------------


def test_dead_edges_are_built_and_those_that_nothing_reads_get_no_gradient() -> None:
    cell = networks._Cell((CONV3, 0, 0, SKIP, 0, 0), 4)
    assert [sum(p.numel() for p in op.parameters()) for op in cell.ops] == [152, 0, 0, 0, 0, 0]
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(cell(x), x)
    (cell(x.requires_grad_()) ** 2).sum().backward()
    assert [p.grad for p in cell.parameters()] == [None] * 3


def test_a_convolution_of_nothing_adds_its_bias() -> None:
    cell = networks._Cell((0, 0, 0, SKIP, CONV3, 0), 4)
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(cell(x), x)  # the bias starts at zero ...
    norm = cell.ops[4][2]  # type: ignore[index]
    (cell(x) ** 2).sum().backward()
    assert norm.bias.grad.abs().min() > 0  # ... and is trained
    with torch.no_grad():
        norm.bias.fill_(2.0)
    torch.testing.assert_close(cell(x), x + 2.0)


@pytest.mark.parametrize("skeleton", list(SKELETONS))
@pytest.mark.parametrize("arch", PATHLESS)
def test_without_a_path_logits_are_constant_and_can_be_trained(
    arch: Architecture, skeleton: str
) -> None:
    torch.manual_seed(4)
    network = build(arch, SKELETONS[skeleton], n_classes=7, in_channels=1)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True
    )
    x, y = torch.randn(6, 1, 8, 8), torch.tensor([0, 0, 0, 0, 1, 2])
    losses = []
    for _ in range(3):
        optimizer.zero_grad(set_to_none=True)
        logits = network(x)
        assert (logits == logits[0]).all()
        loss = functional.cross_entropy(logits, y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0]  # the classifier's bias learns
    assert next(network.parameters()).grad is None  # the stem, which nothing depends on
    assert all(torch.isfinite(p).all() for p in network.parameters())


# --- Skeletons ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [7, 8, 12])
def test_small_networks_of_all_operations_build_and_run(side: int, channels: int) -> None:
    torch.manual_seed(5)
    x = torch.randn(4, channels, side, side)
    for arch in [*((op,) * 6 for op in range(5)), (0, 1, 2, 3, 4, 3), *cells(5, seed=6)]:
        network = build(arch, SKELETONS["small"], n_classes=11, in_channels=channels)
        logits = network(x)
        assert logits.shape == (4, 11)
        assert torch.isfinite(logits).all()
        if SPACE.canonical(arch) != (0,) * 6:
            assert not torch.equal(logits[0], logits[1])


def test_a_skeleton_says_width_depth_and_stem() -> None:
    skeleton = Skeleton(channels=5, stages=4, cells=2, stem=1, reduction="pool")
    network = build((CONV3, 0, 0, SKIP, 0, 0), skeleton, n_classes=3, in_channels=2)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert convolutions[0].weight.shape == (5, 2, 1, 1)
    inside = [m.out_channels for m in convolutions if m.kernel_size == (3, 3)]
    assert inside == [5, 5, 10, 10, 20, 20, 40, 40]
    assert network(torch.zeros(1, 2, 16, 16)[[0, 0]]).shape == (2, 3)


def test_the_published_skeleton_is_as_published() -> None:
    assert Skeleton(channels=16, stages=3, cells=5, stem=3, reduction="residual") == NB201


def test_edges_are_those_of_the_space() -> None:
    assert EDGES == (
        (0, 1),
        (0, 2),
        (1, 2),
        (0, 3),
        (1, 3),
        (2, 3),
    )  # what PublishedCell spells out


def test_initial_weights_follow_the_generator() -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed)
        network = build((3, 2, 1, 4, 3, 0), SKELETONS["small"], n_classes=10, in_channels=1)
        return torch.cat([p.detach().flatten() for p in network.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
