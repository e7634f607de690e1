"""The training loop: the same numbers each time, against plain loops."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nasbench_tab.train import loop
from nasbench_tab.train.datasets import Images
from nasbench_tab.train.loop import CURVES, Trainer
from nasbench_tab.train.networks import SKELETONS, build
from nasbench_tab.train.recipes import RECIPES, Recipe, learning_rate
from nasbench_tab.train.splits import Split, raw_permutation
from nasbench_tab.train.tasks import task_named
from nasbench_tab.train.tensors import Data, load_data, make_data

from .trainings import (
    AUGMENTED,
    CELL,
    CPU,
    DATA,
    EXACT,
    RECIPE,
    add_tiny_skeleton,
    exact,
    trained,
    weights,
)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    add_tiny_skeleton(monkeypatch)


# --- The same numbers each time -----------------------------------------------------------------------


def test_a_seed_gives_the_same_curve_bit_for_bit() -> None:
    task = task_named("nb201-digits")
    data = load_data(task, CPU)
    one, again, other = (Trainer((3, 3, 1, 3, 1, 3), task.recipe, data, seed) for seed in (0, 0, 1))
    for trainer, epochs in ((one, 2), (again, 2), (other, 1)):
        torch.manual_seed(id(trainer))  # what others draw has no influence
        trainer.advance(epochs)
    assert exact(one) == exact(again)
    assert torch.equal(weights(one.averaged), weights(again.averaged))
    assert all(one.curve[name][0] != other.curve[name][0] for name in EXACT)
    assert one.curve["train_accuracy"][1] > 50  # ten classes


@pytest.mark.parametrize("change", [{"flip": True}, {"crop": 1}, {"cutout": 2}, {"average": 0.0}])
def test_what_a_recipe_says_changes_the_curve(change: dict[str, Any]) -> None:
    plain, changed = trained(), trained(RECIPE._replace(**change))
    assert exact(plain) != exact(changed)


def test_a_curve_has_a_value_for_every_epoch() -> None:
    curve = trained(AUGMENTED).curve
    assert list(curve) == list(CURVES)
    assert all(len(values) == 3 for values in curve.values())
    assert all(type(value) is float for values in curve.values() for value in values)
    for part in ("train", "valid", "test"):
        assert all(0 <= value <= 100 for value in curve[f"{part}_accuracy"])
        assert all(value > 0 for value in curve[f"{part}_loss"])
    for name in ("train_seconds", "eval_seconds"):
        assert 0 < curve[name][0] < curve[name][1] < curve[name][2]


def test_seconds_are_those_of_training_and_of_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 10.0, 11.0, 100.0, 120.0, 125.0, 1000.0, 1000.0, 1000.0])
    monkeypatch.setattr(loop, "_now", lambda _: next(times))
    curve = trained().curve
    assert curve["train_seconds"] == [10, 30, 30]
    assert curve["eval_seconds"] == [1, 6, 6]


# --- Against plain loops ------------------------------------------------------------------------------


def plain_loop(recipe: Recipe, data: Data, seed: int) -> dict[str, list[float]]:
    """Train and evaluate as a textbook does."""
    torch.manual_seed(seed)
    network = build(CELL, SKELETONS[recipe.skeleton], n_classes=data.n_classes, in_channels=1)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=recipe.peak,
        momentum=recipe.momentum,
        nesterov=True,
        weight_decay=recipe.weight_decay,
        foreach=False,
    )
    images, labels = data.train.images.contiguous(), data.train.labels
    curve: dict[str, list[float]] = {name: [] for name in EXACT}
    step = 0
    for epoch in range(recipe.epochs):
        network.train()
        batches = torch.from_numpy(raw_permutation([seed, epoch], len(labels))).split(recipe.batch)  # type: ignore[no-untyped-call]
        batches = [b for b in batches if len(b) == recipe.batch or not recipe.drop_last]
        losses, hits, n = [], 0, 0
        for which in batches:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step, recipe.epochs * len(batches))
            step += 1
            logits = network(images[which])
            loss = functional.cross_entropy(logits, labels[which])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses += [loss.item()] * len(which)
            hits += int((logits.argmax(1) == labels[which]).sum())
            n += len(which)
        network.eval()
        found = [float(np.mean(losses)), 100 * hits / n]
        for part in (data.valid, data.test):
            with torch.no_grad():
                logits = network(part.images)
            found.append(functional.cross_entropy(logits, part.labels).item())
            found.append(100 * float((logits.argmax(1) == part.labels).float().mean()))
        for name, value in zip(EXACT, found, strict=True):
            curve[name].append(value)
    return curve


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_figures_equal_those_of_a_plain_loop(drop_last: bool, schedule: Any) -> None:
    recipe = RECIPE._replace(average=0.0, drop_last=drop_last, schedule=schedule, peak=0.05)
    found, plain = exact(trained(recipe, seed=5)), plain_loop(recipe, DATA, 5)
    for name in EXACT:
        assert found[name] == pytest.approx(plain[name], rel=2e-4), name
    assert found["train_loss"][2] < found["train_loss"][0]


@pytest.mark.parametrize(("drop_last", "steps"), [(True, 6), (False, 7)])
def test_a_smaller_last_batch_is_dropped_or_not(drop_last: bool, steps: int) -> None:
    trainer = Trainer(CELL, RECIPE._replace(drop_last=drop_last), DATA, 0)
    sizes: list[int] = []
    trainer.network.register_forward_pre_hook(lambda _, x: sizes.append(len(x[0])))
    trainer.advance(1)
    assert sizes == [16] * 6 + [4] * (steps - 6)


def test_averaged_weights_equal_a_naive_exponential_average() -> None:
    trainer = Trainer(CELL, RECIPE, DATA, 0)
    naive = {k: v.double().clone() for k, v in trainer.network.state_dict().items()}
    done = 0

    def after_step(*_: Any) -> None:
        nonlocal done
        done += 1
        kept = min(0.9, (1 + done) / (10 + done))
        for name, value in trainer.network.state_dict().items():
            naive[name] = kept * naive[name] + (1 - kept) * value.double()

    trainer._optimizer.register_step_post_hook(after_step)
    trainer.advance()
    assert done == 18
    state = trainer.averaged.state_dict()
    live = trainer.network.state_dict()
    compared = 0
    for name, value in state.items():
        if value.is_floating_point():
            compared += 1
            torch.testing.assert_close(value.double(), naive[name], rtol=1e-5, atol=1e-6)
            assert not torch.equal(value, live[name])
    assert compared > 20
    # It is the averaged network that is evaluated.
    for network, same in ((trainer.averaged, True), (trainer.network, False)):
        with torch.no_grad():
            logits = network.eval()(DATA.valid.images)
        loss = functional.cross_entropy(logits, DATA.valid.labels).item()
        assert (loss == pytest.approx(trainer.curve["valid_loss"][-1], rel=1e-5)) is same


def test_evaluation_does_not_depend_on_the_size_of_its_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = trained()
    monkeypatch.setitem(loop._EVALUATED, "cpu", 7)
    parts = trained()
    for name in EXACT:
        assert parts.curve[name] == pytest.approx(whole.curve[name], rel=1e-5)


def test_training_is_given_augmented_images_and_evaluation_is_not() -> None:
    trainer = Trainer(CELL, AUGMENTED._replace(flip=False, crop=0, cutout=16), DATA, 0)
    seen: dict[bool, list[Tensor]] = {True: [], False: []}
    for network in (trainer.network, trainer.averaged):
        network.register_forward_pre_hook(lambda m, x: seen[m.training].append(x[0].clone()))
    trainer.advance(1)
    assert not torch.cat(seen[True])[:, :, 3:5, 3:5].any()  # whatever the middle, 16 covers these
    torch.testing.assert_close(
        torch.cat(seen[False]), torch.cat([DATA.valid.images, DATA.test.images])
    )


# --- Precision, threads, generators, waiting ----------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_a_recipes_precision_is_used(precision: Any) -> None:
    trainer = Trainer(CELL, RECIPE._replace(precision=precision), DATA, 0)
    types: set[torch.dtype] = set()
    for network in (trainer.network, trainer.averaged):
        network.register_forward_hook(lambda _, __, out: types.add(out.dtype))
    assert trainer.advance() == "ok"
    assert types == {torch.bfloat16 if precision == "bfloat16" else torch.float32}
    same = exact(trainer) == exact(trained())
    assert same is (precision != "bfloat16")
    assert {p.dtype for p in trainer.network.parameters()} == {torch.float32}
    assert trainer.curve["valid_loss"] == pytest.approx(trained().curve["valid_loss"], rel=0.1)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_settings_and_generators_are_as_before_afterwards(precision: Any) -> None:
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002 - the global one is what must stay
    cudnn = torch.backends.cudnn

    def settings() -> tuple[object, ...]:
        flags = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)
        return torch.get_num_threads(), *flags

    before, state = settings(), torch.get_rng_state()
    numbers = np.random.get_state()[1].tolist()  # type: ignore[index] # noqa: NPY002
    inside: list[tuple[object, ...]] = []
    trained(AUGMENTED._replace(precision=precision), on_epoch=lambda _: inside.append(settings()))
    assert settings() == before
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == numbers  # type: ignore[index] # noqa: NPY002
    assert inside == [(1, True, False, True, precision == "tf32")] * 3

    def broken(_: Trainer) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trained(on_epoch=broken)
    assert settings() == before


def test_seeds_do_not_touch_the_generators_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*_: Any) -> None:
        raise AssertionError("a device's generator was seeded")

    monkeypatch.setattr(torch, "manual_seed", touched)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", touched)
    Trainer(CELL, RECIPE, DATA, 0)


WAITS = (
    "item",
    "tolist",
    "cpu",
    "numpy",
    "nonzero",
    "__bool__",
    "__float__",
    "__int__",
    "__index__",
)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts what would wait for a GPU."""
    counts: Counter[str] = Counter()

    def counted(name: str) -> Callable[..., Any]:
        original = getattr(Tensor, name)

        def call(self: Tensor, *args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return original(self, *args, **kwargs)

        return call

    for name in WAITS:
        monkeypatch.setattr(Tensor, name, counted(name))
    return counts


@pytest.mark.parametrize("recipe", [RECIPE, AUGMENTED, RECIPE._replace(precision="bfloat16")])
def test_an_epoch_waits_for_its_device_once(recipe: Recipe, waits: Counter[str]) -> None:
    trainer = Trainer(CELL, recipe, DATA, 0)
    waits.clear()
    assert bool(torch.ones(1)) is True
    assert waits == {"__bool__": 1}  # the count works
    waits.clear()
    trainer._train_epoch()
    trainer._evaluate(DATA.valid)
    assert not waits
    trainer._one_epoch()
    assert waits == {"tolist": 1}


# --- The published recipe -----------------------------------------------------------------------------


def test_the_published_recipe_trains_an_epoch_on_a_cpu() -> None:
    rng = np.random.default_rng(0)

    def images(n: int) -> Images:
        pixels = rng.integers(0, 256, (n, 32, 32, 3)).astype(np.uint8)
        return Images(pixels, np.arange(n, dtype=np.int64) % 10)

    split = Split(np.arange(260), np.arange(260, 270), np.arange(10))
    data = make_data(images(270), images(10), split, None, CPU)
    trainer = Trainer((0, 0, 0, 2, 0, 0), RECIPES["nb201-12"], data, 0)
    shapes: list[tuple[int, ...]] = []
    trainer.network.register_forward_pre_hook(lambda _, x: shapes.append(tuple(x[0].shape)))
    assert trainer.advance(1) == "ok"
    # The weights are not averaged, so that one network is trained and evaluated.
    assert [shape[0] for shape in shapes] == [256, 4, 10, 10]
    assert trainer.averaged is trainer.network
    assert all(shape[1:] == (3, 32, 32) for shape in shapes)
    assert trainer.curve["train_loss"][0] == pytest.approx(math.log(10), abs=0.8)
