"""The loop on a GPU: deterministic, close to the CPU, without waiting inside an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nasbench_tab.records import Architecture
from nasbench_tab.train.loop import Trainer
from nasbench_tab.train.networks import SKELETONS, build
from nasbench_tab.train.recipes import Recipe
from nasbench_tab.train.tasks import task_named
from nasbench_tab.train.tensors import Data, load_data, pick_device

from .trainings import exact, weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")

DIGITS = task_named("nb201-digits")
#: All kinds of augmentation, a smaller last batch, the plain weights.
ROUGH = DIGITS.recipe._replace(flip=True, crop=1, cutout=2, drop_last=False, average=0.0)
CELL = (3, 4, 1, 2, 1, 3)


@pytest.fixture(scope="module")
def on_cuda() -> Data:
    return load_data(DIGITS, pick_device("cuda"))


@pytest.fixture(scope="module")
def on_cpu() -> Data:
    return load_data(DIGITS, pick_device("cpu"))


def trained(
    data: Data, recipe: Recipe = DIGITS.recipe, arch: Architecture = CELL, **how: Any
) -> Trainer:
    trainer = Trainer(arch, recipe, data, 0)
    assert trainer.advance(**how) == "ok"
    return trainer


def test_everything_is_on_the_device(on_cuda: Data) -> None:
    assert pick_device("auto").type == "cuda"
    trainer = Trainer(CELL, DIGITS.recipe, on_cuda, 0)
    for network in (trainer.network, trainer.averaged):
        assert {t.device.type for t in network.state_dict().values()} == {"cuda"}
    assert {t.device.type for part in on_cuda[:3] for t in part} == {"cuda"}


@pytest.mark.parametrize("recipe", [DIGITS.recipe, ROUGH, ROUGH._replace(precision="bfloat16")])
def test_a_seed_gives_the_same_curve_bit_for_bit(recipe: Recipe, on_cuda: Data) -> None:
    one, again = trained(on_cuda, recipe), trained(on_cuda, recipe)
    assert exact(one) == exact(again)
    assert torch.equal(weights(one.averaged), weights(again.averaged))


def test_the_published_skeleton_is_deterministic(on_cuda: Data) -> None:
    recipe = ROUGH._replace(skeleton="nb201")
    assert exact(trained(on_cuda, recipe, epoch=2)) == exact(trained(on_cuda, recipe, epoch=2))


def test_initial_weights_are_those_of_the_cpu(on_cuda: Data, on_cpu: Data) -> None:
    a, b = (Trainer(CELL, DIGITS.recipe, data, 0).network for data in (on_cuda, on_cpu))
    assert torch.equal(weights(a).cpu(), weights(b))


def test_a_network_gives_the_logits_of_the_cpu(on_cpu: Data) -> None:
    """In float64, so that nothing but a wrong formula can differ."""
    torch.manual_seed(0)
    for name in SKELETONS:
        for arch in (CELL, (4, 4, 4, 4, 4, 4), (0, 0, 3, 1, 2, 3)):
            network = build(arch, SKELETONS[name], n_classes=10, in_channels=1).double()
            x = on_cpu.valid.images[:9].double()
            expected = network.eval()(x)
            found = network.to("cuda")(x.to("cuda")).cpu()
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_curves_are_close_to_the_cpus(on_cuda: Data, on_cpu: Data) -> None:
    """On a CPU a noise of 3e-6 in the weights moves one part by 3 points, the mean of two by 0.5."""
    arch = (3, 3, 1, 3, 1, 3)
    a, b = trained(on_cuda, arch=arch).curve, trained(on_cpu, arch=arch).curve
    assert a["train_accuracy"][-1] == pytest.approx(b["train_accuracy"][-1], abs=3)
    seen, expected = ((c["valid_accuracy"][-1] + c["test_accuracy"][-1]) / 2 for c in (a, b))
    assert seen == pytest.approx(expected, abs=3)
    assert a["train_loss"][0] == pytest.approx(b["train_loss"][0], rel=0.02)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_other_precisions_run(precision: Any, on_cuda: Data) -> None:
    plain = trained(on_cuda)
    inside: list[bool] = []
    other = trained(
        on_cuda,
        DIGITS.recipe._replace(precision=precision),
        on_epoch=lambda _: inside.append(torch.backends.cudnn.allow_tf32),
    )
    assert set(inside) == {precision == "tf32"}
    assert other.curve["train_loss"][0] == pytest.approx(plain.curve["train_loss"][0], rel=0.1)
    assert other.curve["train_accuracy"][-1] > 60
    if precision == "bfloat16":
        assert exact(other) != exact(plain)


def test_float32_is_not_tf32_inside_convolutions(on_cuda: Data) -> None:
    """Wide enough for tensor cores, whose products would be off by a thousandth."""
    found: list[float] = []

    def error(_: Trainer) -> None:
        x = torch.randn(8, 256, 16, 16, device="cuda")
        w = torch.randn(256, 256, 3, 3, device="cuda")
        out = torch.nn.functional.conv2d(x, w, padding=1)
        truth = torch.nn.functional.conv2d(x.double(), w.double(), padding=1)
        found.append(float((out - truth).abs().max() / truth.abs().max()))

    trained(on_cuda, DIGITS.recipe, epoch=1, on_epoch=error)
    assert found[0] < 5e-5


@pytest.mark.parametrize("recipe", [DIGITS.recipe, ROUGH])
def test_a_continued_training_is_the_uninterrupted_one(
    recipe: Recipe, on_cuda: Data, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    trained(on_cuda, recipe, epoch=2, checkpoint=path)
    assert exact(trained(on_cuda, recipe, checkpoint=path)) == exact(trained(on_cuda, recipe))


def test_a_checkpoint_of_the_gpu_continues_on_the_cpu_and_back(
    on_cuda: Data, on_cpu: Data, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    first = trained(on_cuda, epoch=2, checkpoint=path)
    second = trained(on_cpu, epoch=3, checkpoint=path)
    third = trained(on_cuda, checkpoint=path)
    for name, values in exact(first).items():
        assert second.curve[name][:2] == values
    for name, values in exact(second).items():
        assert third.curve[name][:3] == values
    assert third.epoch == 4
    assert third.curve["valid_accuracy"][-1] > 60
    for name in ("train_seconds", "eval_seconds"):
        assert third.curve[name] == sorted(third.curve[name])


@pytest.fixture
def no_waiting() -> Iterator[None]:
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode(before)


@pytest.fixture
def warmed(on_cuda: Data) -> dict[str, Trainer]:
    """Trainers that have done an epoch: libraries are loaded, which may wait."""
    recipes = {
        "digits": DIGITS.recipe,
        "rough": ROUGH,
        "bfloat16": ROUGH._replace(precision="bfloat16"),
        "published": ROUGH._replace(skeleton="nb201"),
    }
    return {name: trained(on_cuda, recipe, epoch=1) for name, recipe in recipes.items()}


def test_an_epoch_does_not_wait_for_the_gpu(
    warmed: dict[str, Trainer], no_waiting: None, on_cuda: Data
) -> None:
    with pytest.raises(RuntimeError, match="synchroniz"):
        torch.ones(1, device="cuda").item()  # the mode works
    for trainer in warmed.values():
        trainer._train_epoch()
        trainer._evaluate(on_cuda.valid)


def test_generators_and_settings_stay_as_they_were(on_cuda: Data) -> None:
    torch.manual_seed(5)
    cudnn = torch.backends.cudnn

    def state() -> tuple[object, ...]:
        generators = torch.get_rng_state().tolist(), torch.cuda.get_rng_state().tolist()
        flags = cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
        return generators, flags, torch.get_num_threads()

    before = state()
    trained(on_cuda, ROUGH, epoch=1)
    assert state() == before


@pytest.mark.parametrize("arch", [(0,) * 6, (0, 0, 0, 0, 3, 2)])
def test_a_cell_without_a_path_trains(arch: Architecture, on_cuda: Data) -> None:
    assert trained(on_cuda, arch=arch).epoch == DIGITS.recipe.epochs
