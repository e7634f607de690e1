"""Training: images a second beside a plain PyTorch loop of the same network, and where the time goes."""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.train import networks
from nasbench_tab.train.datasets import Images
from nasbench_tab.train.loop import Trainer, _settings
from nasbench_tab.train.plan import collection_order
from nasbench_tab.train.recipes import RECIPES, Recipe
from nasbench_tab.train.splits import Split
from nasbench_tab.train.tensors import Data, make_data, pick_device

CELLS = 6


class _PlainAverage(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def plain_epoch(network: nn.Module, recipe: Recipe, data: Data) -> None:
    """Train an epoch as most scripts do: default layout, plain SGD, the loss read at each step."""
    images, labels = data.train.images.contiguous(), data.train.labels
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=recipe.peak,
        momentum=recipe.momentum,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
    order = torch.randperm(len(labels), device=labels.device)
    network.train()
    total = 0.0
    for which in torch.split(order[: len(order) // recipe.batch * recipe.batch], recipe.batch):
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(images[which]), labels[which])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item()


def random_data(side: int, channels: int, n: int, device: torch.device) -> Data:
    rng = np.random.default_rng(0)
    images = Images(
        rng.integers(0, 256, (n, side, side, channels)).astype(np.uint8), rng.integers(0, 10, n)
    )
    everything = np.arange(n)
    return make_data(
        images, images, Split(everything[1:], everything[:1], everything), None, device
    )


def measure(name: str, recipe: Recipe, data: Data, cells: int) -> None:
    device = data.train.images.device
    ratios, ours, plain = [], [], []
    for cell in collection_order(NasBench201())[:cells]:
        for repeat in range(3):
            trainer = Trainer(cell, recipe, data, 0)
            with _settings(device, recipe):
                begin = time.perf_counter()
                trainer._train_epoch().tolist()
                middle = time.perf_counter()
            fast, networks._Average = networks._Average, _PlainAverage  # type: ignore[assignment,misc]
            network = networks.build(
                cell,
                networks.SKELETONS[recipe.skeleton],
                n_classes=10,
                in_channels=data.train.images.shape[1],
            ).to(device)
            networks._Average = fast  # type: ignore[misc]
            start = time.perf_counter()
            plain_epoch(network, recipe, data)
            end = time.perf_counter()
            if repeat:  # the first warms up
                ours.append(trainer._images / (middle - begin))
                plain.append(trainer._images / (end - start))
                ratios.append(ours[-1] / plain[-1])
    print(
        f"  {name:<46}{statistics.median(ours):>9.0f} images/s, plain loop {statistics.median(plain):.0f}; "
        f"ratio {statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"{cells} cells"
    )


def bench_train() -> None:
    print("train: images a second (an epoch's steps, averaged weights included in ours)")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for kind in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        device = pick_device(kind)
        small = RECIPES["small-5"]
        measure(
            f"our small network, {kind}",
            small,
            random_data(small.side or 28, 1, 2561 if kind == "cpu" else 20001, device),
            CELLS,
        )
        published = RECIPES["nb201-12"]._replace(flip=False, crop=0, drop_last=True)
        size = (64, 193) if kind == "cpu" else (256, 12801)
        measure(
            f"the published network, {kind}",
            published._replace(batch=size[0]),
            random_data(32, 3, size[1], device),
            1 if kind == "cpu" else 3,
        )
    where_time_goes()
    torch.set_num_threads(threads)


def where_time_goes() -> None:
    """Print the operations that take most of an epoch of our small network on a CPU."""
    recipe = RECIPES["small-5"]
    data = random_data(recipe.side or 28, 1, 2561, pick_device("cpu"))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for cell in collection_order(NasBench201())[:CELLS]:
            Trainer(cell, recipe, data, 0)._train_epoch()
    events = sorted(profile.key_averages(), key=lambda e: -e.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    shares = ", ".join(f"{e.key} {100 * e.self_cpu_time_total / total:.0f} %" for e in events[:8])
    print(f"  where the time goes (our small network, cpu): {shares}")
