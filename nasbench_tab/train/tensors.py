"""A task's images on a device: loaded once, normalised once, kept there."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.train.datasets import Images, load_images
from nasbench_tab.train.splits import Split, load_split, split_hash
from nasbench_tab.train.tasks import Task

__all__ = ["Data", "Part", "load_data", "make_data", "pick_device"]


class Part(NamedTuple):
    """``images`` ``(n, channels, height, width)`` float32, channels last; ``labels`` ``(n,)`` int64."""

    images: Tensor
    labels: Tensor


class Data(NamedTuple):
    """All images of a task on one device.

    Attributes:
        train: What is trained on.
        valid: What a search may see.
        test: What only reports see.
        black: Value of a black pixel in each channel, ``(1, channels, 1, 1)``: what crops are padded
            with.
        n_classes: Number of labels.
        split_hash: Identity of the split.
    """

    train: Part
    valid: Part
    test: Part
    black: Tensor
    n_classes: int
    split_hash: str


def pick_device(name: str = "auto") -> torch.device:
    """Return the device ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``.

    Raises:
        InvalidArgumentError: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cpu" or (
            device.type == "cuda" and (device.index or 0) < torch.cuda.device_count()
        ):
            return device
    except RuntimeError:
        pass
    raise InvalidArgumentError(
        f"Device {name!r} cannot be used: PyTorch {torch.__version__} sees "
        f"{torch.cuda.device_count()} CUDA devices here. Choose auto, cpu or cuda; a CUDA build of "
        "PyTorch and a driver are needed for the last."
    )


def load_data(task: Task, device: torch.device, folder: str | Path | None = None) -> Data:
    """Read a task's images and put them on ``device``.

    Raises:
        DatasetError: A file is missing or not the published one.
    """
    train, test = load_images(task.dataset, folder)
    return make_data(train, test, load_split(task.split), task.recipe.side, device)


def make_data(
    train: Images, test: Images, split: Split, side: int | None, device: torch.device
) -> Data:
    """Return the images of ``split``, averaged down to ``side`` pixels and normalised.

    Mean and deviation are those of each channel over all training images, validation included.
    """
    identity = split_hash(split)
    for name, part, images in (
        ("train", split.train, train),
        ("valid", split.valid, train),
        ("test", split.test, test),
    ):
        if part.min() < 0 or part.max() >= len(images.labels):
            raise InvalidArgumentError(
                f"The split's {name} images go up to number {part.max()}, but the dataset has "
                f"{len(images.labels)} there. It belongs to another dataset."
            )
    mean, sd = _moments(train.images)

    def part_of(images: Images, which: NDArray[np.int64]) -> Part:
        pixels = (images.images[which].astype(np.float64) - mean) / sd
        tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        if side is not None:
            tensor = functional.adaptive_avg_pool2d(tensor, side)
        return Part(
            tensor.float().contiguous(memory_format=torch.channels_last).to(device),
            torch.from_numpy(images.labels[which]).to(device),
        )

    return Data(
        part_of(train, split.train),
        part_of(train, split.valid),
        part_of(test, split.test),
        torch.from_numpy(-mean / sd).float().reshape(1, -1, 1, 1).to(device),
        int(train.labels.max()) + 1,
        identity,
    )


def _moments(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of each channel, exactly and without a copy in floats."""
    counts = np.stack(
        [np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])]
    )
    levels = np.arange(256.0)
    mean = counts @ levels / counts.sum(axis=1)
    return mean, np.sqrt(counts @ levels**2 / counts.sum(axis=1) - mean**2)
