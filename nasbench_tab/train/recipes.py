"""How a network is trained, as plain data; a recipe's hash is part of every run that used it."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Literal, NamedTuple

__all__ = ["RECIPES", "Precision", "Recipe", "learning_rate", "recipe_hash"]

Precision = Literal["float32", "tf32", "bfloat16"]


class Recipe(NamedTuple):
    """Everything that changes a training, given cell, data and seed.

    The optimizer is SGD with Nesterov's momentum.

    Attributes:
        skeleton: Key of :data:`nasbench_tab.train.networks.SKELETONS`.
        side: Images are averaged down to ``side`` x ``side`` pixels; None leaves them as they are.
        epochs: Passes over the training images.
        batch: Images in a step.
        drop_last: Whether the smaller batch at the end of an epoch is left out.
        peak: Largest learning rate.
        schedule: ``"cosine"`` (from ``peak`` to 0 over all steps) or ``"one-cycle"`` (linear up over
            the first ``warmup`` of all steps, then cosine to 0).
        warmup: Share of the steps in which a one-cycle schedule rises.
        momentum: Nesterov's.
        weight_decay: On all parameters.
        average: Decay per step of an exponential average of the weights, which is what gets
            evaluated; 0 evaluates the weights themselves.
        flip: Mirror each training image left to right with probability one half.
        crop: Pixels of zero padding from which training images are cropped back at random; 0 = none.
        cutout: Side of the square that is blanked in each training image; 0 = none.
        precision: ``"float32"`` (also inside convolutions), ``"tf32"`` (NVIDIA's 19-bit products;
            the same as float32 on other devices) or ``"bfloat16"`` (automatic mixed precision).
    """

    skeleton: str
    side: int | None
    epochs: int
    batch: int
    drop_last: bool
    peak: float
    schedule: Literal["cosine", "one-cycle"]
    warmup: float
    momentum: float
    weight_decay: float
    average: float
    flip: bool
    crop: int
    cutout: int
    precision: Precision


_NB201 = Recipe(
    skeleton="nb201",
    side=None,
    epochs=200,
    batch=256,
    drop_last=False,
    peak=0.1,
    schedule="cosine",
    warmup=0.0,
    momentum=0.9,
    weight_decay=5e-4,
    average=0.0,
    flip=True,
    crop=4,
    cutout=0,
    precision="float32",
)

#: The published recipes of NAS-Bench-201, and ours.
RECIPES = {
    "nb201-200": _NB201,
    "nb201-12": _NB201._replace(epochs=12),
    "small-5": Recipe(
        skeleton="small",
        side=10,
        epochs=5,
        batch=256,
        drop_last=True,
        peak=0.15,
        schedule="one-cycle",
        warmup=0.3,
        momentum=0.9,
        weight_decay=5e-4,
        average=0.98,
        flip=False,
        crop=0,
        cutout=0,
        precision="float32",
    ),
}


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of one of ``steps`` steps, counted from 0."""
    rise = recipe.warmup * steps if recipe.schedule == "one-cycle" else 0.0
    if step < rise:
        return recipe.peak * min(1.0, (step + 1) / rise)
    return recipe.peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


def recipe_hash(recipe: Recipe) -> str:
    """Return ``"sha256:..."`` over a recipe's fields."""
    text = json.dumps(recipe._asdict(), sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
