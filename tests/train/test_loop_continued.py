"""Trainings that are stopped and continued, killed, refused, or go wrong."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nasbench_tab.errors import InvalidArgumentError, TrainingError
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.train.loop import Trainer
from nasbench_tab.train.once import record_of
from nasbench_tab.train.recipes import Recipe
from nasbench_tab.train.tasks import task_named

from .trainings import (
    AUGMENTED,
    CELL,
    DATA,
    RECIPE,
    add_tiny_skeleton,
    exact,
    some_data,
    trained,
    weights,
)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    add_tiny_skeleton(monkeypatch)


# --- Stopped and continued ----------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", [RECIPE, AUGMENTED, RECIPE._replace(average=0.0, momentum=0.0)])
def test_a_continued_training_is_the_uninterrupted_one(recipe: Recipe, tmp_path: Path) -> None:
    whole, path = trained(recipe), tmp_path / "checkpoint.pt"
    for epoch in (1, 2, 3, 3):
        part = Trainer(CELL, recipe, DATA, 0)
        assert part.advance(epoch, checkpoint=path) == "ok"
        assert part.epoch == epoch
        assert path.is_file()
    assert exact(part) == exact(whole)
    assert torch.equal(weights(part.network), weights(whole.network))
    assert torch.equal(weights(part.averaged), weights(whole.averaged))
    for name in ("train_seconds", "eval_seconds"):
        assert 0 < part.curve[name][0] < part.curve[name][1] < part.curve[name][2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt"]


def test_one_trainer_can_be_advanced_bit_by_bit() -> None:
    trainer = Trainer(CELL, RECIPE, DATA, 0)
    for epoch, expected in ((0, 0), (1, 1), (1, 1), (2, 2), (1, 2), (None, 3)):
        trainer.advance(epoch)
        assert trainer.epoch == expected
    assert exact(trainer) == exact(trained())


def test_on_epoch_is_called_after_each_epoch_and_its_checkpoint(tmp_path: Path) -> None:
    path, epochs = tmp_path / "checkpoint.pt", []

    def note(trainer: Trainer) -> None:
        again = Trainer(CELL, RECIPE, DATA, 0)
        again.restore(path)
        assert again.curve == trainer.curve
        epochs.append(trainer.epoch)

    trained(checkpoint=path, on_epoch=note)
    assert epochs == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": (3, 4, 1, 2, 1, 2)}, r"its architecture differs"),
        ({"recipe": RECIPE._replace(peak=0.11)}, r"its recipe differs"),
        ({"seed": 1}, r"its seed differs"),
        ({"data": some_data(n=99)}, r"its split, dataset differs"),
        ({"data": some_data(seed=1)}, r"its dataset differs"),
        ({"data": some_data(n_classes=5)}, r"its dataset differs"),
        ({"seed": 1, "recipe": AUGMENTED}, r"its recipe, seed differs"),
    ],
)
def test_the_checkpoint_of_another_training_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    trained(epoch=1, checkpoint=path)
    before = path.read_bytes()
    it: dict[str, Any] = {"arch": CELL, "recipe": RECIPE, "data": DATA, "seed": 0} | change
    trainer = Trainer(**it)
    initial = weights(trainer.network)
    with pytest.raises(TrainingError, match=rf"checkpoint\.pt is the .* another .*: {message}\."):
        trainer.advance(checkpoint=path)
    assert path.read_bytes() == before
    assert trainer.epoch == 0
    assert torch.equal(weights(trainer.network), initial)


def refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    trainer = Trainer(CELL, RECIPE, DATA, 0)
    with pytest.raises(TrainingError, match=r"checkpoint\.pt cannot be read .* Delete it"):
        trainer.advance(1, checkpoint=path)
    assert path.read_bytes() == data
    assert trainer.epoch == 0


def test_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    trained(epoch=1, checkpoint=path)
    whole = path.read_bytes()
    n = len(whole)
    for length in (0, 1, 100, n // 4, n // 2, 3 * n // 4, n - 100, n - 22, n - 1):
        refused(path, whole[:length])
    weight = Trainer(CELL, RECIPE, DATA, 0)
    weight.restore(_written(path, whole))
    number = weight.network.state_dict()["0.weight"].numpy().tobytes()
    assert whole.count(number) == 1
    at = whole.index(number) + 2
    refused(path, whole[:at] + bytes([whole[at] ^ 64]) + whole[at + 1 :])  # one bit of one weight
    refused(path, b"not a checkpoint")
    contents: list[object] = [[1, 2], {"curve": {}}, {"identity": 3}, {"identity": "text"}]
    for content in contents:
        torch.save(content, path)
        refused(path, path.read_bytes())


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_failed_save_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    trained(epoch=1, checkpoint=path)
    before = path.read_bytes()

    def half(_: Any, file: Path) -> None:
        file.write_bytes(before[: len(before) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", half)
        with pytest.raises(KeyboardInterrupt):
            Trainer(CELL, RECIPE, DATA, 0).advance(checkpoint=path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert exact(trained(checkpoint=path)) == exact(trained())


KILLED = """
import os, sys, torch
from pathlib import Path
from pytest import MonkeyPatch
from tests.train import trainings as t
t.add_tiny_skeleton(MonkeyPatch())
trainer, save = t.Trainer(t.CELL, t.RECIPE, t.DATA, 0), torch.save
def killed(state, file):
    save(state, file)
    if trainer.epoch == 2:
        with open(file, "rb+") as opened:
            opened.truncate(1000)
        os._exit(9)
torch.save = killed
trainer.advance(checkpoint=Path(sys.argv[1]))
"""


def test_a_process_killed_while_it_saves_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)],
        cwd=Path(__file__).parents[2],
        timeout=120,
        check=False,
    )
    assert done.returncode == 9
    trainer = Trainer(CELL, RECIPE, DATA, 0)
    trainer.restore(path)
    assert trainer.epoch == 1
    trainer.advance(checkpoint=path)
    assert exact(trainer) == exact(trained())


# --- What goes wrong ----------------------------------------------------------------------------------


def test_a_diverged_training_stops_and_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    trainer = Trainer(CELL, RECIPE._replace(peak=1e6), DATA, 0)
    assert trainer.advance(checkpoint=path) == "diverged"
    assert trainer.diverged
    assert trainer.epoch < 3
    curve = {name: list(values) for name, values in trainer.curve.items()}
    assert all(math.isfinite(value) for values in curve.values() for value in values)
    again = Trainer(CELL, RECIPE._replace(peak=1e6), DATA, 0)
    for one in (trainer, again):
        assert one.advance(checkpoint=path) == one.advance() == "diverged"
        assert one.curve == curve


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_curve_keeps_the_epochs_before_the_divergence(bad: float) -> None:
    trainer = Trainer(CELL, RECIPE, DATA, 0)
    assert trainer.advance(1) == "ok"
    first = {name: list(values) for name, values in trainer.curve.items()}
    with torch.no_grad():
        next(trainer.network.parameters()).fill_(bad)
    assert trainer.advance() == "diverged"
    assert trainer.curve == first
    assert trainer.epoch == 1


def test_out_of_memory_is_a_training_error(tmp_path: Path) -> None:
    trainer = trained(epoch=1)

    def full(_: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("tried to allocate 20 GiB")

    trainer.network.forward = full
    threads = torch.get_num_threads()
    with pytest.raises(
        TrainingError,
        match=r"^cpu is out of memory after 1 epochs \(tried to allocate 20 GiB\)\. Free memory",
    ):
        trainer.advance(checkpoint=tmp_path / "checkpoint.pt")
    assert not list(tmp_path.iterdir())
    assert trainer.epoch == 1
    assert torch.get_num_threads() == threads


def test_out_of_memory_while_restoring_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    trained(epoch=1, checkpoint=path)

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("tried")

    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(TrainingError, match=r"is out of memory after 0 epochs"):
        Trainer(CELL, RECIPE, DATA, 0).advance(checkpoint=path)


def test_what_a_recipe_does_not_define_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"at least 128 training images, 100 are there"):
        Trainer(CELL, RECIPE._replace(batch=128), DATA, 0)
    trained(RECIPE._replace(batch=128, drop_last=False), epoch=1)
    trainer = Trainer(CELL, RECIPE, DATA, 0)
    with pytest.raises(InvalidArgumentError, match=r"has 3 epochs, 4 were asked for"):
        trainer.advance(4)
    assert trainer.epoch == 0


@pytest.mark.parametrize("arch", [(0,) * 6, (3, 2, 3, 0, 0, 0), (0, 0, 0, 0, 3, 2)])
def test_a_cell_without_a_path_trains(arch: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    trained(epoch=1, arch=arch, checkpoint=path)
    continued = trained(arch=arch, checkpoint=path)  # an optimizer without state for the unused
    assert exact(continued) == exact(trained(arch=arch))
    assert continued.curve["test_accuracy"][-1] == pytest.approx(25, abs=3)


def test_an_interrupted_epoch_cannot_be_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(CELL, RECIPE, DATA, 0)
    trainer.advance(1)

    def interrupted(_part: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "_evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.advance(2)
    with pytest.raises(TrainingError, match=r"interrupted within epoch 2.*new Trainer"):
        trainer.advance(2)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="seed is 0 or more; got -1"):
        Trainer(CELL, RECIPE, DATA, -1)


def test_a_training_of_two_kinds_of_device_is_no_run_of_either(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    begun = Trainer(CELL, RECIPE, DATA, 0)
    begun.advance(1)
    begun.kinds = ["cuda"]  # as if the epoch had been done there
    begun.save(path)
    continued = Trainer(CELL, RECIPE, DATA, 0)
    continued.advance(2, checkpoint=path)
    task, space = task_named("nb201-digits"), NasBench201()
    assert record_of(task, space, DATA, CELL, 0, continued, origin="").device_kind == "cuda+cpu"
    failed = record_of(task, space, DATA, CELL, 0, None, origin="", error="x")
    assert failed.device_kind == "cpu"
    # Two processors of one name round differently where their instructions differ.
    assert failed.device.endswith(f", {torch.backends.cpu.get_cpu_capability()}")
