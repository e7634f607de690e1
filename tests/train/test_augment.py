"""Flip, crop and cutout of a batch against plain loops over single images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasbench_tab.train.augment import augment, draw_choices
from nasbench_tab.train.recipes import RECIPES, Recipe

PLAIN = RECIPES["nb201-200"]._replace(flip=False, crop=0, cutout=0)


def naive(
    image: NDArray[np.float32],
    choice: NDArray[np.int64],
    recipe: Recipe,
    black: NDArray[np.float32],
) -> NDArray[np.float32]:
    """One image ``(channels, side, side)``: flip, then pad and crop, then cut out."""
    flip, top, left, row, column = choice.tolist()
    channels, side, _ = image.shape
    out = image[:, :, ::-1] if flip else image
    if recipe.crop:
        large = side + 2 * recipe.crop
        padded = np.broadcast_to(black[:, None, None], (channels, large, large)).copy()
        padded[:, recipe.crop : -recipe.crop, recipe.crop : -recipe.crop] = out
        out = padded[:, top : top + side, left : left + side]
    out = out.copy()
    for y in range(row - recipe.cutout // 2, row - recipe.cutout // 2 + recipe.cutout):
        for x in range(column - recipe.cutout // 2, column - recipe.cutout // 2 + recipe.cutout):
            if 0 <= y < side and 0 <= x < side:
                out[:, y, x] = 0.0
    return out


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 6),
    channels=st.integers(1, 3),
    side=st.integers(1, 9),
    flip=st.booleans(),
    crop=st.integers(0, 4),
    cutout=st.integers(0, 7),
)
@example(seed=0, n=6, channels=3, side=9, flip=True, crop=4, cutout=5)
@example(seed=0, n=6, channels=3, side=9, flip=True, crop=0, cutout=0)
@example(seed=0, n=6, channels=1, side=9, flip=False, crop=0, cutout=1)
def test_batches_equal_a_loop_over_images(
    seed: int, n: int, channels: int, side: int, flip: bool, crop: int, cutout: int
) -> None:
    recipe = PLAIN._replace(flip=flip, crop=crop, cutout=cutout)
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(n, channels, side, side)).astype(np.float32)
    black = rng.normal(size=channels).astype(np.float32)
    choices = draw_choices(recipe, [seed], n, side)
    if choices is None:
        assert (flip, crop, cutout) == (False, 0, 0)
        return
    batch = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    before = batch.clone()
    out = augment(
        batch, torch.from_numpy(choices), recipe, torch.from_numpy(black).reshape(1, -1, 1, 1)
    )
    for i in range(n):
        np.testing.assert_array_equal(
            out[i].numpy(), naive(images[i], choices[:, i], recipe, black)
        )
    assert out.dtype == torch.float32
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch, before)


def one_image(recipe: Recipe, *choice: int) -> list[list[float]]:
    """What becomes of 1 2 3 / 4 5 6 / 7 8 9, black being -1."""
    image = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    out = augment(image, torch.tensor(choice)[:, None], recipe, torch.full((1, 1, 1, 1), -1.0))
    rows: list[list[float]] = out[0, 0].tolist()
    return rows


def test_by_hand() -> None:
    flip, crop = PLAIN._replace(flip=True), PLAIN._replace(crop=1)
    assert one_image(flip, 0, 0, 0, 0, 0) == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert one_image(flip, 1, 0, 0, 0, 0) == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]
    assert one_image(crop, 0, 1, 1, 0, 0) == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert one_image(crop, 0, 0, 0, 0, 0) == [[-1, -1, -1], [-1, 1, 2], [-1, 4, 5]]
    assert one_image(crop, 0, 2, 1, 0, 0) == [[4, 5, 6], [7, 8, 9], [-1, -1, -1]]
    both = crop._replace(flip=True)
    assert one_image(both, 1, 1, 0, 0, 0) == [[-1, 3, 2], [-1, 6, 5], [-1, 9, 8]]
    cut = PLAIN._replace(cutout=2)
    assert one_image(cut, 0, 0, 0, 1, 1) == [[0, 0, 3], [0, 0, 6], [7, 8, 9]]
    assert one_image(cut, 0, 0, 0, 0, 2) == [[1, 0, 0], [4, 5, 6], [7, 8, 9]]
    assert one_image(PLAIN._replace(cutout=1), 0, 0, 0, 1, 1) == [[1, 2, 3], [4, 0, 6], [7, 8, 9]]
    assert one_image(PLAIN._replace(cutout=3), 0, 0, 0, 1, 1) == [[0] * 3] * 3
    # What is cut out is grey (0, the mean), what lies outside is black.
    both = crop._replace(cutout=2)
    assert one_image(both, 0, 0, 0, 1, 1) == [[0, 0, -1], [0, 0, 2], [-1, 4, 5]]


# --- Choices ------------------------------------------------------------------------------------------

ALL = PLAIN._replace(flip=True, crop=4, cutout=6)


def drawn(recipe: Recipe, seed: int, n: int, side: int) -> NDArray[np.int64]:
    choices = draw_choices(recipe, [seed, 0], n, side)
    assert choices is not None
    return choices


def test_no_augmentation_draws_nothing() -> None:
    assert draw_choices(PLAIN, [0, 0], 10, 8) is None
    for change in ({"flip": True}, {"crop": 1}, {"cutout": 1}):
        assert draw_choices(PLAIN._replace(**change), [0, 0], 10, 8) is not None


def test_choices_are_uniform() -> None:
    n, limits = 20_000, (2, 9, 9, 32, 32)
    choices = drawn(ALL, 3, n, 32)
    assert choices.shape == (5, n)
    assert choices.dtype == np.int64
    for row, limit in zip(choices, limits, strict=True):
        counts = np.bincount(row, minlength=limit)
        assert len(counts) == limit
        deviation = np.sqrt(n / limit * (1 - 1 / limit))
        assert np.abs(counts - n / limit).max() < 4.5 * deviation
    assert np.abs(np.corrcoef(choices) - np.eye(5)).max() < 0.04


def test_what_a_recipe_leaves_out_stays_as_it_is() -> None:
    assert not drawn(PLAIN._replace(crop=4), 3, 100, 32)[0].any()
    assert not drawn(PLAIN._replace(flip=True), 3, 100, 32)[1:3].any()
    np.testing.assert_array_equal(  # one choice does not depend on whether there are others
        drawn(PLAIN._replace(flip=True), 3, 100, 32)[0], drawn(ALL, 3, 100, 32)[0]
    )


def test_choices_follow_seed_and_epoch() -> None:
    found = {
        choices.tobytes()
        for seed in range(4)
        for epoch in range(4)
        if (choices := draw_choices(ALL, [seed, epoch], 20, 8)) is not None
    }
    assert len(found) == 16
    np.testing.assert_array_equal(drawn(ALL, 1, 20, 8), drawn(ALL, 1, 20, 8))


def test_choices_never_change() -> None:
    assert drawn(ALL, 7, 3, 32).tolist() == [
        [1, 1, 0],
        [4, 0, 7],
        [5, 5, 1],
        [15, 3, 28],
        [8, 11, 7],
    ]


@pytest.mark.parametrize("crop", [2, 4])
def test_all_shifts_occur(crop: int) -> None:
    choices = drawn(PLAIN._replace(crop=crop), 0, 500, 16)
    assert set(choices[1].tolist()) == set(choices[2].tolist()) == set(range(2 * crop + 1))
