"""Images on a device: normalised, averaged, split as the index file says, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.train import tensors
from nasbench_tab.train.datasets import Images, load_images
from nasbench_tab.train.splits import Split, load_split, split_hash
from nasbench_tab.train.tasks import task_named
from nasbench_tab.train.tensors import load_data, make_data, pick_device

CPU = torch.device("cpu")


def images(n: int, side: int, channels: int, seed: int = 0) -> Images:
    rng = np.random.default_rng(seed)
    spread = 40 + 60 * np.arange(1, channels + 1)  # each channel with its own moments
    pixels = rng.integers(3, spread, (n, side, side, channels)).astype(np.uint8)
    return Images(pixels, rng.permutation(np.arange(n, dtype=np.int64) % 7))


TRAIN, TEST = images(50, 6, 3), images(20, 6, 3, seed=1)
SPLIT = Split(np.arange(1, 50, 2), np.arange(0, 40, 2), np.array([7, 3, 3, 19]))


def normalised(pixels: NDArray[np.uint8], train: Images = TRAIN) -> NDArray[np.float64]:
    """As ``(n, channels, height, width)``, by plain NumPy."""
    mean = train.images.astype(np.float64).mean((0, 1, 2))
    sd = train.images.astype(np.float64).std((0, 1, 2))
    found: NDArray[np.float64] = ((pixels - mean) / sd).transpose(0, 3, 1, 2)
    return found


def test_parts_hold_the_images_of_the_split_in_its_order() -> None:
    data = make_data(TRAIN, TEST, SPLIT, None, CPU)
    for part, source, which in (
        (data.train, TRAIN, SPLIT.train),
        (data.valid, TRAIN, SPLIT.valid),
        (data.test, TEST, SPLIT.test),
    ):
        np.testing.assert_allclose(
            part.images.numpy(), normalised(source.images[which]), rtol=1e-6, atol=1e-6
        )
        np.testing.assert_array_equal(part.labels.numpy(), source.labels[which])
        assert part.images.dtype == torch.float32
        assert part.labels.dtype == torch.int64
        assert part.images.is_contiguous(memory_format=torch.channels_last)
        assert not part.images.is_contiguous()
    assert data.n_classes == 7
    assert data.split_hash == split_hash(SPLIT)


def test_training_images_have_mean_0_and_deviation_1_in_each_channel() -> None:
    whole = Split(np.arange(1, 50), np.arange(1), np.arange(1))
    data = make_data(TRAIN, TEST, whole, None, CPU)
    both = torch.cat([data.train.images, data.valid.images]).double()
    assert both.mean((0, 2, 3)).tolist() == pytest.approx([0.0] * 3, abs=1e-7)
    assert both.std((0, 2, 3), correction=0).tolist() == pytest.approx([1.0] * 3, rel=1e-7)


def test_moments_do_not_depend_on_the_split_or_the_test_images() -> None:
    one = make_data(TRAIN, TEST, SPLIT, None, CPU)
    other = make_data(
        TRAIN, images(20, 6, 3, seed=9), SPLIT._replace(train=SPLIT.train[:3]), None, CPU
    )
    assert torch.equal(one.black, other.black)
    assert torch.equal(one.train.images[:3], other.train.images)


@pytest.mark.parametrize("channels", [1, 3])
def test_moments_equal_numpys(channels: int) -> None:
    pixels = images(40, 5, channels, seed=3).images
    mean, sd = tensors._moments(pixels)
    floats = pixels.astype(np.float64)
    np.testing.assert_allclose(mean, floats.mean((0, 1, 2)), rtol=1e-13)
    np.testing.assert_allclose(sd, floats.std((0, 1, 2)), rtol=1e-12)
    nearly_white = np.full((1000, 3, 3, 1), 255, np.uint8)
    nearly_white[0, 0, 0] = 254  # what a difference of large squares could lose
    np.testing.assert_allclose(
        tensors._moments(nearly_white)[1], nearly_white.astype(np.float64).std(), rtol=1e-5
    )


def test_black_is_what_a_black_pixel_becomes() -> None:
    train = Images(TRAIN.images.copy(), TRAIN.labels)
    train.images[1, 2, 3] = 0
    data = make_data(train, TEST, SPLIT, None, CPU)
    assert data.black.shape == (1, 3, 1, 1)
    assert torch.equal(data.train.images[0, :, 2, 3], data.black.flatten())
    assert (data.black < -0.5).all()


def test_28_pixels_become_the_means_of_14_blocks() -> None:
    train, test = images(8, 28, 1), images(4, 28, 1, seed=1)
    split = Split(np.arange(5), np.arange(5, 8), np.arange(4))
    data = make_data(train, test, split, 14, CPU)
    for part, expected in (
        (data.train, normalised(train.images[:5], train)),
        (data.test, normalised(test.images, train)),
    ):
        blocks = expected.reshape(-1, 1, 14, 2, 14, 2).mean((3, 5))
        np.testing.assert_allclose(part.images.numpy(), blocks, rtol=1e-6, atol=1e-6)
        assert part.images.is_contiguous(memory_format=torch.channels_last)


def test_the_own_side_changes_nothing() -> None:
    one, other = (make_data(TRAIN, TEST, SPLIT, side, CPU) for side in (6, None))
    assert torch.equal(one.train.images, other.train.images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": np.array([1, 50])}, r"train images go up to number 50, but .* 50 there"),
        ({"valid": np.array([99])}, r"valid images go up to number 99, but .* 50 there"),
        ({"test": np.array([20])}, r"test images go up to number 20, but .* 20 there"),
        ({"test": np.array([-1, 3])}, r"test images"),
        ({"valid": np.array([0, 1])}, r"1 shared"),
    ],
)
def test_a_split_of_another_dataset_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        make_data(TRAIN, TEST, SPLIT._replace(**change), None, CPU)
    with pytest.raises(InvalidArgumentError, match="another dataset"):
        make_data(TRAIN, TEST, load_split("cifar10-half"), None, CPU)


def test_load_data_puts_a_tasks_parts_together() -> None:
    task = task_named("nb201-digits")
    data, split = load_data(task, CPU), load_split("digits")
    train, test = load_images("digits")
    expected = make_data(train, test, split, task.recipe.side, CPU)
    for part, other in zip(data[:3], expected[:3], strict=True):
        assert torch.equal(part.images, other.images)
        assert torch.equal(part.labels, other.labels)
    assert (len(data.train.labels), len(data.valid.labels), len(data.test.labels)) == (
        1000,
        297,
        500,
    )
    assert data.n_classes == 10
    assert data.split_hash == split_hash(split)


# --- Devices ------------------------------------------------------------------------------------------


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> Any:
    def have(n: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n)

    return have


def test_auto_takes_cuda_where_there_is_one(devices: Any) -> None:
    devices(0)
    assert pick_device() == pick_device("auto") == pick_device("cpu") == CPU
    devices(2)
    assert pick_device("auto") == torch.device("cuda")
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize(
    ("n", "name"),
    [
        (0, "cuda"),
        (0, "cuda:0"),
        (1, "cuda:1"),
        (1, "mps"),
        (1, "gpu"),
        (1, ""),
        (1, "cuda:x"),
        (1, "meta"),
    ],
)
def test_devices_that_are_not_there_are_refused(devices: Any, n: int, name: str) -> None:
    devices(n)
    with pytest.raises(
        InvalidArgumentError,
        match=rf"^Device '{name}' cannot be used: PyTorch \S+ sees {n} CUDA devices here\. "
        r"Choose auto, cpu or cuda; a CUDA build of PyTorch and a driver are needed",
    ):
        pick_device(name)
