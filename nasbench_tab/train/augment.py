"""Flip, crop and cutout of a whole batch on its device, decided by numbers drawn once an epoch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasbench_tab.train.recipes import Recipe

__all__ = ["augment", "draw_choices"]


def draw_choices(recipe: Recipe, seed: list[int], n: int, side: int) -> NDArray[np.int64] | None:
    """Return what happens to each of ``n`` images in an epoch, ``(5, n)``; None if nothing does.

    The rows: flipped or not, the crop's top and left, the cutout's middle. The numbers come from a
    bit generator's raw output and not from the device, so they are the same everywhere.
    """
    if not (recipe.flip or recipe.crop or recipe.cutout):
        return None
    raw = np.random.PCG64(np.random.SeedSequence([*seed, 1])).random_raw((5, n))
    shifts = 2 * recipe.crop + 1
    limits = np.array([2 if recipe.flip else 1, shifts, shifts, side, side], np.uint64)
    return ((raw >> np.uint64(32)) % limits[:, None]).astype(np.int64)


def augment(images: Tensor, choices: Tensor, recipe: Recipe, black: Tensor) -> Tensor:
    """Return a batch ``(n, channels, side, side)``, changed as ``choices`` ``(5, n)`` says."""
    n, channels, side, _ = images.shape
    flips, tops, lefts, rows, columns = choices
    along = torch.arange(side, device=images.device)
    y = along + tops[:, None] - recipe.crop
    x = along + lefts[:, None] - recipe.crop
    inside = ((y >= 0) & (y < side))[:, :, None] & ((x >= 0) & (x < side))[:, None, :]
    y, x = y.clamp(0, side - 1), x.clamp(0, side - 1)
    x = torch.where(flips[:, None] == 1, side - 1 - x, x)
    flat = (y[:, :, None] * side + x[:, None, :]).reshape(n, 1, -1).expand(-1, channels, -1)
    out = images.reshape(n, channels, -1).gather(2, flat).reshape(images.shape)
    if recipe.crop:
        out = torch.where(inside[:, None], out, black)
    if recipe.cutout:
        half = recipe.cutout // 2
        down, right = along - rows[:, None] + half, along - columns[:, None] + half
        near_y = (down >= 0) & (down < recipe.cutout)
        near_x = (right >= 0) & (right < recipe.cutout)
        out = out.masked_fill((near_y[:, :, None] & near_x[:, None, :])[:, None], 0.0)
    return out.contiguous(memory_format=torch.channels_last)
