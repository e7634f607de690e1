"""Train one network: on a CPU or a GPU, the same numbers each time, to be stopped and continued.

>>> from nasbench_tab.train.loop import Trainer
>>> from nasbench_tab.train.tasks import task_named
>>> from nasbench_tab.train.tensors import load_data, pick_device
>>> task, device = task_named("nb201-digits"), pick_device("cpu")
>>> trainer = Trainer((3, 3, 1, 3, 1, 3), task.recipe, load_data(task, device), seed=0)
>>> trainer.advance(2)
'ok'
>>> len(trainer.curve["valid_accuracy"])
2
"""

from __future__ import annotations

import copy
import math
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nasbench_tab.atomic import replacing
from nasbench_tab.errors import InvalidArgumentError, TrainingError
from nasbench_tab.records import Architecture
from nasbench_tab.train.augment import augment, draw_choices
from nasbench_tab.train.networks import SKELETONS, build
from nasbench_tab.train.recipes import Recipe, learning_rate, recipe_hash
from nasbench_tab.train.splits import raw_permutation
from nasbench_tab.train.tensors import Data, Part

__all__ = ["CURVES", "Trainer"]

#: What every epoch adds to a curve: losses are cross entropies in nats, accuracies percent, seconds
#: cumulative. Train figures are those of the training steps themselves, before each update.
CURVES = (
    *("train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "test_loss"),
    *("test_accuracy", "train_seconds", "eval_seconds"),
)
_EVALUATED = {"cpu": 1000, "cuda": 2500}  # images at a time
_EVALUATED_FLOAT32 = 256  # on CUDA: in float32 proper larger batches were ten times slower an image


class Trainer:
    """One training, ``epochs`` of the recipe long, advanced as far as is asked.

    On a CPU it runs on one thread, and its seconds are that thread's processor time: waiting for a core
    does not count, but a busy machine computes more slowly; on CUDA they are elapsed time.

    Args:
        arch: The cell that is trained, exactly as it stands.
        recipe: How.
        data: The images, on the device to train on.
        seed: Initial weights, order of the images and augmentation.

    Attributes:
        curve: A list for each of :data:`CURVES`, with one value for each epoch done.
        diverged: Whether the loss left the finite numbers; nothing is trained after that.
        kinds: Kinds of device that did the epochs so far: a checkpoint may go on on another.

    Raises:
        InvalidArgumentError: The recipe leaves out smaller batches, and there is no other; or the
            seed is negative.
    """

    def __init__(self, arch: Architecture, recipe: Recipe, data: Data, seed: int) -> None:
        if seed < 0:
            raise InvalidArgumentError(f"A training seed is 0 or more; got {seed}.")
        self.recipe, self.data, self.seed = recipe, data, seed
        self._midway = False  # an epoch was begun and not ended: the weights are no epoch's
        if not self._steps:
            raise InvalidArgumentError(
                f"An epoch without its smaller last batch needs at least {recipe.batch} training "
                f"images, {len(data.train.labels)} are there. Choose a recipe with a smaller batch."
            )
        self.device = data.train.images.device
        self.curve: dict[str, list[float]] = {name: [] for name in CURVES}
        self.diverged = False
        self.kinds: list[str] = []
        channels = data.train.images.shape[1]
        with torch.random.fork_rng(devices=[]):
            # Weights are drawn on the CPU: the same for every device, whose generators stay untouched.
            torch.default_generator.manual_seed(seed)
            network = build(
                arch, SKELETONS[recipe.skeleton], n_classes=data.n_classes, in_channels=channels
            )
        with _memory(self.device, 0):
            self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.averaged = copy.deepcopy(self.network) if recipe.average else self.network
        self._optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=recipe.peak,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self._identity = {
            "architecture": list(arch),
            "recipe": recipe_hash(recipe),
            "split": data.split_hash,
            "seed": seed,
            # A split alone does not tell two datasets of one size apart.
            "dataset": [data.n_classes, *data.black.flatten().tolist()],
        }

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return len(self.curve["train_loss"])

    def advance(
        self,
        epoch: int | None = None,
        *,
        checkpoint: Path | None = None,
        on_epoch: Callable[[Trainer], None] | None = None,
    ) -> Literal["ok", "diverged"]:
        """Train up to ``epoch`` (None = all of the recipe's) and say how it went.

        Args:
            epoch: Epochs in all, not in addition.
            checkpoint: A file to continue from, if it is there, and to write after each epoch.
            on_epoch: Called after each epoch.

        Raises:
            TrainingError: The device is out of memory, or the checkpoint belongs to another training.
            InvalidArgumentError: The recipe has fewer epochs.
        """
        end = self.recipe.epochs if epoch is None else epoch
        if end > self.recipe.epochs:
            raise InvalidArgumentError(
                f"The recipe has {self.recipe.epochs} epochs, {end} were asked for. Its learning rate "
                "is not defined after them: choose a recipe with more."
            )
        if self._midway:
            raise TrainingError(
                f"This training was interrupted within epoch {self.epoch + 1} and cannot go on from "
                "there. Make a new Trainer; with a checkpoint it continues from its last whole epoch."
            )
        if checkpoint is not None and checkpoint.is_file() and not self.epoch:
            with _memory(self.device, 0):
                self.restore(checkpoint)
        with _settings(self.device, self.recipe):
            while self.epoch < end and not self.diverged:
                with _memory(self.device, self.epoch):
                    self._one_epoch()
                if checkpoint is not None:
                    self.save(checkpoint)
                if on_epoch is not None:
                    on_epoch(self)
        return "diverged" if self.diverged else "ok"

    def save(self, path: Path) -> None:
        """Write a checkpoint, completely or not at all."""
        state = {
            "identity": self._identity,
            "curve": self.curve,
            "diverged": self.diverged,
            "kinds": self.kinds,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        with replacing(path) as temporary:
            torch.save(state, temporary)

    def restore(self, path: Path) -> None:
        """Go to where the checkpoint at ``path`` was written.

        Raises:
            TrainingError: It is damaged or belongs to another training.
        """
        try:
            _check_archive(path)
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
            identity = dict(state["identity"])
        except torch.OutOfMemoryError:
            raise
        except Exception as err:  # a damaged archive raises almost anything
            raise TrainingError(
                f"{path} cannot be read as a checkpoint ({type(err).__name__}). Delete it, and the "
                "training starts again."
            ) from err
        if identity != self._identity:
            differs = [key for key in self._identity if identity.get(key) != self._identity[key]]
            raise TrainingError(
                f"{path} is the checkpoint of another training: its {', '.join(differs)} differs. "
                "Choose another file, or delete it."
            )
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.curve, self.diverged, self.kinds = state["curve"], state["diverged"], state["kinds"]

    def _one_epoch(self) -> None:
        self._midway = True
        if self.device.type not in self.kinds:
            self.kinds.append(self.device.type)
        begin = _now(self.device)
        sums = self._train_epoch()
        middle = _now(self.device)
        parts = [self._evaluate(part) for part in (self.data.valid, self.data.test)]
        numbers = torch.stack([sums, *parts]).tolist()  # the only wait for the device
        end = _now(self.device)
        losses_and_hits = [
            value
            for (loss, hits), n in zip(
                numbers,
                (self._images, len(self.data.valid[1]), len(self.data.test[1])),
                strict=True,
            )
            for value in (loss / n, 100 * hits / n)
        ]
        before = [self.curve[name][-1] if self.epoch else 0.0 for name in CURVES[-2:]]
        seconds = [before[0] + middle - begin, before[1] + end - middle]
        if not all(math.isfinite(value) for value in losses_and_hits):
            self.diverged, self._midway = True, False
            return
        for name, value in zip(CURVES, [*losses_and_hits, *seconds], strict=True):
            self.curve[name].append(value)
        self._midway = False

    @property
    def _steps(self) -> int:
        """Steps in an epoch."""
        n, batch = len(self.data.train.labels), self.recipe.batch
        return n // batch if self.recipe.drop_last else -(-n // batch)

    @property
    def _images(self) -> int:
        """Images that an epoch trains on."""
        n = len(self.data.train.labels)
        return self._steps * self.recipe.batch if self.recipe.drop_last else n

    def _train_epoch(self) -> Tensor:
        """Take all steps of the next epoch; return the sums of losses and of hits."""
        recipe, (images, labels) = self.recipe, self.data.train
        key = [self.seed, self.epoch]
        order = _sent(raw_permutation(key, len(labels)), self.device)
        drawn = draw_choices(recipe, key, len(labels), images.shape[-1])
        choices = None if drawn is None else _sent(drawn, self.device)
        sums = torch.zeros(2, device=self.device)
        first, total = self.epoch * self._steps, recipe.epochs * self._steps
        live, shadow = _averaged_tensors(self.network), _averaged_tensors(self.averaged)
        self.network.train()
        for step in range(self._steps):
            which = order[step * recipe.batch : (step + 1) * recipe.batch]
            x, y = images[which], labels[which]
            if choices is not None:
                x = augment(x, choices[:, which], recipe, self.data.black)
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate(recipe, first + step, total)
            self._optimizer.zero_grad(set_to_none=True)
            with _precision(self.device, recipe):
                logits = self.network(x)
            loss = functional.cross_entropy(logits.float(), y)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            with torch.no_grad():
                if recipe.average:  # young averages forget faster
                    done = first + step + 1
                    kept = min(recipe.average, (1 + done) / (10 + done))
                    torch._foreach_lerp_(shadow, live, 1 - kept)
                sums += torch.stack([loss * len(y), (logits.argmax(1) == y).sum()])
        return sums

    @torch.no_grad()
    def _evaluate(self, part: Part) -> Tensor:
        """Return the sums of losses and of hits over all images of ``part``."""
        self.averaged.eval()
        sums, size = torch.zeros(2, device=self.device), _EVALUATED[self.device.type]
        if self.device.type == "cuda" and self.recipe.precision == "float32":
            size = _EVALUATED_FLOAT32
        for x, y in zip(*(torch.split(tensor, size) for tensor in part), strict=True):
            with _precision(self.device, self.recipe):
                logits = self.averaged(x)
            loss = functional.cross_entropy(logits.float(), y, reduction="sum")
            sums += torch.stack([loss, (logits.argmax(1) == y).sum()])
        return sums


def _averaged_tensors(network: nn.Module) -> list[Tensor]:
    """Return parameters and running statistics; counters are not averaged."""
    buffers = (b for b in network.buffers() if b.is_floating_point())
    return [*(p.detach() for p in network.parameters()), *buffers]


def _check_archive(path: Path) -> None:
    """Compare the checksums of a checkpoint's parts, which ``torch.load`` ignores."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)


def _sent(numbers: NDArray[np.int64], device: torch.device) -> Tensor:
    """Return the numbers on ``device``, without waiting for it."""
    return torch.from_numpy(numbers).to(device, non_blocking=True)


def _now(device: torch.device) -> float:
    if device.type == "cpu":
        return time.thread_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def _precision(device: torch.device, recipe: Recipe) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.precision == "bfloat16")


@contextmanager
def _memory(device: torch.device, epochs: int) -> Iterator[None]:
    """Turn what PyTorch raises when memory runs out into an error of ours."""
    try:
        yield
    except RuntimeError as err:  # a CUDA allocator's has a class of its own, a CPU's has not
        if not isinstance(err, torch.OutOfMemoryError) and "allocate memory" not in str(err):
            raise
        raise TrainingError(
            f"{device} is out of memory after {epochs} epochs ({err}). Free memory there, choose "
            "another device, or a recipe with a smaller batch."
        ) from err


@contextmanager
def _settings(device: torch.device, recipe: Recipe) -> Iterator[None]:
    """One thread on a CPU, deterministic convolutions on CUDA; as before afterwards."""
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(
            enabled=True,
            benchmark=False,
            deterministic=True,
            allow_tf32=recipe.precision == "tf32",
        ):
            yield
    finally:
        torch.set_num_threads(threads)
