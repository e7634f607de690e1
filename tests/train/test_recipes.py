"""Recipes: learning rates against closed forms and PyTorch's, the hash, the published numbers."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from nasbench_tab.train.networks import SKELETONS
from nasbench_tab.train.recipes import RECIPES, Recipe, learning_rate, recipe_hash

COSINE = RECIPES["nb201-200"]
ONE_CYCLE = COSINE._replace(schedule="one-cycle", warmup=0.3, peak=0.4)


def rates(recipe: Recipe, steps: int) -> list[float]:
    return [learning_rate(recipe, step, steps) for step in range(steps)]


# --- Learning rates -----------------------------------------------------------------------------------


def test_cosine_at_its_ends_and_middle() -> None:
    found = rates(COSINE, 200)
    assert found[0] == 0.1
    assert found[100] == pytest.approx(0.05, rel=1e-12)
    assert found[-1] == pytest.approx(0.05 * (1 - math.cos(math.pi / 200)), rel=1e-9)
    assert learning_rate(COSINE, 200, 200) == pytest.approx(0.0, abs=1e-15)


def test_cosine_equals_pytorchs_schedule() -> None:
    steps = 137
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=COSINE.peak)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    theirs = []
    for _ in range(steps):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates(COSINE, steps) == pytest.approx(theirs, rel=1e-9, abs=1e-15)


def test_cosine_has_no_warm_up_whatever_its_share_says() -> None:
    assert rates(COSINE._replace(warmup=0.5), 40) == rates(COSINE, 40)


def test_one_cycle_at_its_ends_and_peak() -> None:
    found = rates(ONE_CYCLE, 100)
    assert found[:30] == pytest.approx([0.4 * step / 30 for step in range(1, 31)], rel=1e-12)
    assert found[29] == found[30] == 0.4 == max(found)
    assert found[30:] == pytest.approx(
        [0.2 * (1 + math.cos(math.pi * step / 70)) for step in range(70)], rel=1e-9
    )
    assert learning_rate(ONE_CYCLE, 100, 100) == pytest.approx(0.0, abs=1e-15)


@given(st.integers(1, 300), st.floats(0, 1), st.sampled_from(["cosine", "one-cycle"]))
@example(5, 0.5, "one-cycle")  # rises over two and a half steps: the third must not overshoot
@example(1, 0.3, "one-cycle")
@example(1, 1.0, "one-cycle")
@example(60, 0.3, "one-cycle")
def test_rates_rise_then_fall_between_nothing_and_the_peak(
    steps: int, warmup: float, schedule: Any
) -> None:
    recipe = ONE_CYCLE._replace(schedule=schedule, warmup=warmup)
    found = rates(recipe, steps)
    assert all(0 <= rate <= recipe.peak for rate in found)
    top = found.index(max(found))
    assert all(a < b for a, b in pairwise(found[: top + 1]))
    assert all(a >= b for a, b in pairwise(found[top:]))
    assert top <= (warmup * steps if schedule == "one-cycle" else 0)


# --- The hash -----------------------------------------------------------------------------------------

OTHER = Recipe(
    skeleton="small",
    side=12,
    epochs=3,
    batch=8,
    drop_last=True,
    peak=0.2,
    schedule="one-cycle",
    warmup=0.1,
    momentum=0.8,
    weight_decay=1e-4,
    average=0.5,
    flip=False,
    crop=2,
    cutout=4,
    precision="bfloat16",
)


def test_hash_changes_with_every_field() -> None:
    hashes = {recipe_hash(COSINE)}
    for field in Recipe._fields:
        assert getattr(COSINE, field) != getattr(OTHER, field)
        hashes.add(recipe_hash(COSINE._replace(**{field: getattr(OTHER, field)})))
    assert len(hashes) == 1 + len(Recipe._fields)


def test_hash_is_the_same_for_ever() -> None:
    assert recipe_hash(RECIPES["nb201-200"]) == (
        "sha256:25ab9cfff3fc9315bf79f73ee8f781e8679c0f6794987bc6fd17b9f032ec40fc"
    )
    assert recipe_hash(Recipe(*COSINE)) == recipe_hash(COSINE)


# --- Presets ------------------------------------------------------------------------------------------


def test_published_recipes_are_the_published_numbers() -> None:
    published = Recipe(
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
    assert RECIPES["nb201-200"] == published
    assert RECIPES["nb201-12"] == published._replace(epochs=12)


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_can_be_trained(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.skeleton in SKELETONS
    assert min(recipe.epochs, recipe.batch) >= 1
    assert recipe.peak > 0
    assert 0 <= recipe.warmup <= 1
    assert 0 <= recipe.average < 1
    assert 0 <= recipe.momentum < 1
    assert recipe.precision in {"float32", "tf32", "bfloat16"}
