"""Small trainings for the tests of the loop: data, a recipe, a skeleton that nobody tunes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasbench_tab.train.datasets import Images
from nasbench_tab.train.loop import CURVES, Trainer
from nasbench_tab.train.networks import SKELETONS, Skeleton
from nasbench_tab.train.recipes import Recipe
from nasbench_tab.train.splits import Split
from nasbench_tab.train.tensors import Data, make_data

CPU = torch.device("cpu")
CELL = (3, 4, 1, 2, 1, 3)
#: The curves that do not depend on the machine's speed.
EXACT = CURVES[:6]
RECIPE = Recipe(
    skeleton="tiny",
    side=None,
    epochs=3,
    batch=16,
    drop_last=True,
    peak=0.1,
    schedule="one-cycle",
    warmup=0.3,
    momentum=0.9,
    weight_decay=5e-4,
    average=0.9,
    flip=False,
    crop=0,
    cutout=0,
    precision="float32",
)
AUGMENTED = RECIPE._replace(flip=True, crop=1, cutout=2, drop_last=False)


def add_tiny_skeleton(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Skeleton(channels=4, stages=2, cells=1, stem=3, reduction="pool")
    monkeypatch.setitem(SKELETONS, "tiny", tiny)


def some_data(
    n: int = 100, side: int = 8, channels: int = 1, seed: int = 0, n_classes: int = 4
) -> Data:
    """Random images, brighter in one of ``n_classes`` rows: noisy, and can be learned."""
    rng = np.random.default_rng(seed)

    def images(count: int) -> Images:
        labels = rng.permutation(np.arange(count, dtype=np.int64) % n_classes)
        pixels = rng.integers(0, 160, (count, side, side, channels))
        pixels[np.arange(count), labels + 1] += 60
        return Images(pixels.astype(np.uint8), labels)

    split = Split(np.arange(n), np.arange(n, n + 40), np.arange(30))
    return make_data(images(n + 40), images(30), split, None, CPU)


DATA = some_data()


def exact(trainer: Trainer) -> dict[str, list[float]]:
    return {name: trainer.curve[name] for name in EXACT}


def trained(recipe: Recipe = RECIPE, seed: int = 0, data: Data = DATA, **how: Any) -> Trainer:
    trainer = Trainer(how.pop("arch", CELL), recipe, data, seed)
    assert trainer.advance(**how) == "ok"
    return trainer


def weights(network: nn.Module) -> Tensor:
    return torch.cat([t.double().flatten() for t in network.state_dict().values()])
