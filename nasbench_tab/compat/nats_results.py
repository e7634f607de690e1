"""What NATS-Bench's interface hands out of one architecture: its trainings, and means over them.

Names, arguments and meaning are those of the reference, version 1.8; the numbers come from checked
records. What differs is listed in docs/official/nats_bench-compat.md.

Dong, Liu, Musial and Gabrys, "NATS-Bench", TPAMI 2021.
"""

from __future__ import annotations

import math
import operator
import random
from collections.abc import Callable
from functools import cached_property
from typing import Any

from nasbench_tab.errors import InvalidArgumentError, MissingValueError
from nasbench_tab.importers.nats_records import ArchRecord, RunRecord

__all__ = [
    "ArchResults",
    "MissingResultError",
    "ResultsCount",
    "described",
    "published_names",
    "told",
]


class MissingResultError(MissingValueError, KeyError):
    """Something that was never measured; a KeyError too, since the reference raises that."""

    __str__ = Exception.__str__  # a KeyError's own would put the message in quotes


def _mean(values: list[Any]) -> float:
    """Return the mean, added up from left to right as the reference does."""
    total = 0.0
    for value in values:  # sum() has a more exact way from Python 3.12 on
        total += value
    return total / len(values)


def _total(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


class ResultsCount:
    """One training of one architecture.

    Attributes:
        name: What was trained on.
        seed: The training's seed, as four digits.
        epochs: How many epochs it took.
        params: Trainable parameters, M, as recorded with this training.
        flop: Multiply-accumulates, M, likewise.
        latency: Seconds for a batch of 256, each measurement; None where there is none.
        arch_config: The network's settings.
        eval_names: The sets that it was evaluated on.
        net_state_dict: None: weights are not read.
    """

    net_state_dict = None

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self.name, self.seed, self.epochs = record.dataset, f"{record.seed:04d}", record.epochs
        self.params, self.flop = record.params, record.flops
        self.latency = list(record.latency) or None
        self.arch_config = dict(record.arch_config)
        self.eval_names = list(record.sets)

    @cached_property
    def train_acc1es(self) -> dict[int, float]:
        """Top-1 training accuracy in percent, by epoch from 0."""
        return _by_epoch(self._record.train_accuracy)

    @cached_property
    def train_acc5es(self) -> dict[int, float] | None:
        """Top-5 training accuracy in percent; None where the source has none."""
        values = self._record.train_top5
        return None if values is None else _by_epoch(values)

    @cached_property
    def train_losses(self) -> dict[int, float]:
        """Mean cross-entropy on the training images, by epoch."""
        measured = zip(self._record.train_loss.tolist(), self._accurate, strict=True)
        return {epoch: loss for epoch, (loss, there) in enumerate(measured) if there}

    @cached_property
    def train_times(self) -> dict[int, float] | None:
        """Seconds of each epoch; None where the source has none."""
        values = self._record.train_seconds
        return None if values is None else _by_epoch(values)

    @cached_property
    def eval_acc1es(self) -> dict[str, float]:
        """Top-1 accuracy in percent, by ``"<set>@<epoch>"``."""
        return self._of_sets("accuracy")

    @cached_property
    def eval_losses(self) -> dict[str, float]:
        """Mean cross-entropy, by ``"<set>@<epoch>"``."""
        found = {}
        for name, values in self._record.sets.items():
            pairs = zip(values.accuracy.tolist(), values.loss.tolist(), strict=True)
            for epoch, (accuracy, loss) in enumerate(pairs):
                if not math.isnan(accuracy):
                    found[f"{name}@{epoch}"] = loss
        return found

    @cached_property
    def eval_times(self) -> dict[str, float]:
        """Seconds of one evaluation, by ``"<set>@<epoch>"``; empty where the source has none."""
        return self._of_sets("seconds")

    @property
    def _accurate(self) -> list[bool]:
        return [not math.isnan(value) for value in self._record.train_accuracy.tolist()]

    def _of_sets(self, what: str) -> dict[str, float]:
        return {
            f"{name}@{epoch}": value
            for name, values in self._record.sets.items()
            for epoch, value in _by_epoch(getattr(values, what)).items()
        }

    def get_latency(self) -> float:
        """Return the mean latency in seconds, -1 where there is none."""
        return -1.0 if self.latency is None else _mean(self.latency)

    def get_total_epoch(self) -> int:
        """Return how many epochs the training took."""
        return self.epochs

    def get_eval_set(self) -> list[str]:
        """Return the names of the sets that it was evaluated on."""
        return self.eval_names

    def get_net_param(self, clone: bool = False) -> None:
        """Return None: weights are not read."""
        del clone

    def get_times(self) -> dict[str, float | None]:
        """Return seconds by epoch and in total, of training and of each set; None where unknown."""
        found: dict[str, float | None] = {"T-train@epoch": None, "T-train@total": None}
        if self.train_times is not None:
            times = list(self.train_times.values())
            found = {"T-train@epoch": _mean(times), "T-train@total": _total(times)}
        for name in self.eval_names:
            keys = [f"{name}@{epoch}" for epoch in range(self.epochs)]
            whole = all(key in self.eval_times for key in keys)
            times = [self.eval_times[key] for key in keys] if whole else []
            found[f"T-{name}@epoch"] = _mean(times) if whole else None
            found[f"T-{name}@total"] = _total(times) if whole else None
        return found

    def judge_valid(self, iepoch: int) -> int:
        """Return ``iepoch`` as a Python int.

        Raises:
            InvalidArgumentError: It is no epoch of this training; they count from 0.
        """
        try:
            epoch = operator.index(iepoch)
        except TypeError:
            epoch = -1
        if not 0 <= epoch < self.epochs:
            raise InvalidArgumentError(
                f"iepoch={iepoch!r} is no epoch of a training of {self.epochs}; they are 0 to {self.epochs - 1}."
            )
        return epoch

    def get_train(self, iepoch: int | None = None) -> dict[str, Any]:
        """Return loss, accuracy, seconds of the epoch and of all until then, on the training images.

        Args:
            iepoch: From 0; None = the last.

        Raises:
            InvalidArgumentError: There is no such epoch.
            MissingResultError: It was not measured.
        """
        epoch = self.judge_valid(self.epochs - 1 if iepoch is None else iepoch)
        now, all_time = None, None
        if self.train_times is not None:
            now, all_time = self._times(self.train_times, range(epoch + 1), "train times")
        return {
            "iepoch": epoch,
            "loss": self._there(self.train_losses, epoch, "training loss"),
            "accuracy": self._there(self.train_acc1es, epoch, "training accuracy"),
            "cur_time": now,
            "all_time": all_time,
        }

    def get_eval(self, name: str, iepoch: int | None = None) -> dict[str, Any]:
        """Return loss, accuracy, seconds of this evaluation and of all until then, on a set.

        Args:
            name: One of ``eval_names``; "valid" means "x-valid".
            iepoch: From 0; None = the last.

        Raises:
            InvalidArgumentError: There is no such epoch, or no such set.
            MissingResultError: It was not measured at that epoch.
        """
        epoch = self.judge_valid(self.epochs - 1 if iepoch is None else iepoch)
        name = "x-valid" if name == "valid" else name
        key, now, all_time = f"{name}@{epoch}", None, None
        if self.eval_times:
            if key not in self.eval_times:
                raise InvalidArgumentError(
                    f"{self!r} has no set {name!r}; it has {', '.join(self.eval_names)}."
                )
            keys = (f"{name}@{before}" for before in range(epoch + 1))
            now, all_time = self._times(self.eval_times, keys, f"times of {name}")
        return {
            "iepoch": epoch,
            "loss": self._there(self.eval_losses, key, "loss"),
            "accuracy": self._there(self.eval_acc1es, key, "accuracy"),
            "cur_time": now,
            "all_time": all_time,
        }

    def _times(self, times: dict[Any, float], keys: Any, what: str) -> tuple[float, float]:
        values = [self._there(times, key, what) for key in keys]
        return values[-1], _total(values)

    def _there(self, values: dict[Any, float], key: object, what: str) -> float:
        try:
            return values[key]
        except KeyError:
            raise MissingResultError(f"{self!r} has no {what} at {key!r}.") from None

    def get_config(self, str2structure: Callable[[str], Any] | None) -> dict[str, Any]:
        """Return the network's settings by the names that its publishers' code takes.

        Args:
            str2structure: What makes the structure of a string; None = the string itself.
        """
        config = self.arch_config
        if config.get("name") == "infer.shape.tiny":  # the size space
            genotype = config["genotype"]
            return {
                "name": "infer.shape.tiny",
                "channels": config["channels"],
                "genotype": genotype if str2structure is None else str2structure(genotype),
                "num_classes": config["class_num"],
            }
        made = {"name": "infer.tiny", "C": config["channel"], "N": config["num_cells"]}
        if str2structure is None:
            made["arch_str"] = config["arch_str"]
        else:
            made["genotype"] = str2structure(config["arch_str"])
        return {**made, "num_classes": config["class_num"]}

    def __repr__(self) -> str:
        return (
            f"ResultsCount({self.name}, arch={self.arch_config.get('arch_str')}, FLOP={self.flop:.2f}M, "
            f"Param={self.params:.3f}MB, seed={self.seed}, {len(self.eval_names)} eval-sets: "
            f"[{', '.join(self.eval_names)}])"
        )


class ArchResults:
    """All trainings of one architecture under one schedule.

    Attributes:
        arch_index: Its official index.
        arch_str: Its published string.
        all_results: ``{(dataset, seed): ResultsCount}``.
        dataset_seed: ``{dataset: [seeds]}``.
        clear_net_done: True: there are no weights.
    """

    def __init__(self, record: ArchRecord) -> None:
        self._record = record
        self.arch_index, self.arch_str = record.index, record.arch_str
        self.dataset_seed = {name: list(seeds) for name, seeds in record.dataset_seed.items()}
        self.all_results = {
            (name, seed): ResultsCount(run)
            for name, runs in record.runs.items()
            for seed, run in runs.items()
        }
        self.clear_net_done = True

    def _runs(self, dataset: str) -> list[ResultsCount]:
        return [self.all_results[dataset, seed] for seed in self._seeds(dataset)]

    def _seeds(self, dataset: str) -> list[int]:
        try:
            return self.dataset_seed[dataset]
        except (KeyError, TypeError):
            raise MissingResultError(
                f"{self!r} was not trained on {dataset!r}; it was on {', '.join(self.dataset_seed)}."
            ) from None

    def get_compute_costs(self, dataset: str) -> dict[str, float | None]:
        """Return FLOPs (M), parameters (M), latency (s) and times (s), means over the seeds.

        FLOPs and parameters are those of seed 888 where the seeds' differ, since some of them were
        recorded for another network.

        Raises:
            MissingResultError: There is no training on this dataset.
            InvalidArgumentError: The seeds differ and none of them is 888.
        """
        runs = self._runs(dataset)
        latencies = [latency for latency in (run.get_latency() for run in runs) if latency > 0]
        found: dict[str, float | None] = {
            "flops": self._agreed([run.flop for run in runs], dataset),
            "params": self._agreed([run.params for run in runs], dataset),
            "latency": _mean(latencies) if latencies else None,
        }
        times: dict[str, list[Any]] = {}
        for run in runs:
            for key, value in run.get_times().items():
                times.setdefault(key, []).append(value)
        return {**found, **{key: _mean_or_none(values) for key, values in times.items()}}

    def _agreed(self, values: list[float], dataset: str) -> float:
        if len({f"{value:.5f}" for value in values}) == 1:
            return _mean(values)
        seeds = self._seeds(dataset)
        if 888 not in seeds:
            raise InvalidArgumentError(
                f"{self!r}: the trainings on {dataset} record different networks ({values}), and none has "
                "the seed 888, whose record is the right one."
            )
        return values[seeds.index(888)]

    def get_metrics(
        self, dataset: str, setname: str, iepoch: int | None = None, is_random: bool | int = False
    ) -> dict[str, Any]:
        """Return loss, accuracy and seconds on one set after one epoch.

        Args:
            dataset: What was trained on.
            setname: "train", or a set: "x-valid", "x-test", "ori-test"; see the record's publisher.
            iepoch: From 0; None = the last.
            is_random: True: of a seed that is drawn (from Python's ``random``); False: the mean over
                the seeds; an integer: of that seed.

        Raises:
            InvalidArgumentError: There is no such epoch, set or seed.
            MissingResultError: There is no such dataset, or it was not measured at that epoch.
        """
        seeds = self._seeds(dataset)
        each: dict[str, list[Any]] = {}
        for run in self._runs(dataset):
            info = run.get_train(iepoch) if setname == "train" else run.get_eval(setname, iepoch)
            for key, value in info.items():
                each.setdefault(key, []).append(value)
        if is_random is False:
            return {key: _mean_or_none(values) for key, values in each.items()}
        if is_random is True:
            place = random.randint(0, len(seeds) - 1)  # noqa: S311 - the reference's own draw
        else:
            place = self._place(is_random, seeds)
        return {key: values[place] for key, values in each.items()}

    def _place(self, seed: int, seeds: list[int]) -> int:
        try:
            return seeds.index(operator.index(seed))
        except (TypeError, ValueError):
            raise InvalidArgumentError(
                f"is_random={seed!r}: expected True, False or a seed of {self!r}: {', '.join(map(str, seeds))}."
            ) from None

    def get_dataset_names(self) -> list[str]:
        """Return what was trained on."""
        return list(self.dataset_seed)

    def get_dataset_seeds(self, dataset: str) -> list[int]:
        """Return the seeds of the trainings on a dataset."""
        return list(self._seeds(dataset))

    def get_latency(self, dataset: str) -> float:
        """Return the mean latency in seconds.

        Raises:
            InvalidArgumentError: A training has none.
        """
        latencies = [run.get_latency() for run in self._runs(dataset)]
        if min(latencies) <= 0:
            raise InvalidArgumentError(f"{self!r}: a training on {dataset} has no latency.")
        return _mean(latencies)

    def get_total_epoch(self, dataset: str | None = None) -> int:
        """Return how many epochs the trainings took, on one dataset or on all."""
        names = self.get_dataset_names() if dataset is None else [dataset]
        epochs = [run.epochs for name in names for run in self._runs(name)]
        if len(set(epochs)) != 1:
            raise InvalidArgumentError(f"{self!r}: trainings of different lengths: {epochs}.")
        return epochs[-1]

    def query(self, dataset: str, seed: int | None = None) -> Any:
        """Return the training of a seed, or ``{seed: training}`` of all."""
        if seed is None:
            return {own: self.all_results[dataset, own] for own in self._seeds(dataset)}
        try:
            return self.all_results[dataset, seed]
        except KeyError:
            raise MissingResultError(
                f"{self!r} has no training on {dataset!r}, {seed!r}."
            ) from None

    def get_net_param(self, dataset: str, seed: int | None = None) -> Any:
        """Return None for a seed, or ``{seed: None}`` of all: weights are not read."""
        if seed is None:
            return dict.fromkeys(self._seeds(dataset))
        if (dataset, seed) not in self.all_results:
            raise InvalidArgumentError(f"{self!r} has no training on {dataset!r}, seed {seed!r}.")
        return None

    def arch_idx_str(self) -> str:
        """Return the index as six digits."""
        return f"{self.arch_index:06d}"

    def clear_params(self) -> None:
        """Do nothing: there are no weights."""

    def __deepcopy__(self, memo: dict[int, Any]) -> ArchResults:
        del memo  # records are never changed, so a copy needs none of them
        return ArchResults(self._record)

    def __repr__(self) -> str:
        return (
            f"ArchResults(arch-index={self.arch_index}, arch={self.arch_str}, {len(self.all_results)} runs, "
            f"clear={self.clear_net_done})"
        )


def told(name: str, info: dict[str, Any], train: dict[str, Any]) -> dict[str, Any]:
    """Return one set's metrics under the names of ``get_more_info``."""
    total = info["all_time"]
    return {
        f"{name}-loss": info["loss"],
        f"{name}-accuracy": info["accuracy"],
        f"{name}-per-time": None if total is None else total / (train["iepoch"] + 1),
        f"{name}-all-time": total,
    }


def published_names(dataset: str, name: str) -> tuple[str, str]:
    """Return what was trained on and which set is meant by a dataset and "train", "valid" or "test"."""
    if dataset == "cifar10":
        found = {"valid": ("cifar10-valid", "x-valid"), "test": ("cifar10", "ori-test")}.get(name)
        return found or (dataset, name)
    if dataset in ("cifar100", "ImageNet16-120") and name in ("valid", "test"):
        return dataset, f"x-{name}"
    return dataset, name


def described(results: ArchResults) -> list[str]:
    """Return lines with the costs and the last epoch of each dataset."""
    lines = [results.arch_str]
    for dataset in results.get_dataset_names():
        costs = results.get_compute_costs(dataset)
        latency = "not known" if costs["latency"] is None else f"{costs['latency'] * 1000:.2f} ms"
        lines.append(
            f"{dataset}: {costs['flops']:.2f} M FLOPs, {costs['params']:.3f} M parameters, latency {latency}, "
            f"seeds {', '.join(map(str, results.get_dataset_seeds(dataset)))}"
        )
        names = ["train", *next(iter(results.query(dataset).values())).get_eval_set()]
        infos = ((name, results.get_metrics(dataset, name)) for name in names)
        lines += [
            f"  {name}: {info['accuracy']:.2f} %, loss {info['loss']:.3f}" for name, info in infos
        ]
    return lines


def _by_epoch(values: Any) -> dict[int, float]:
    return {epoch: value for epoch, value in enumerate(values.tolist()) if not math.isnan(value)}


def _mean_or_none(values: list[Any]) -> float | None:
    return None if values[0] is None else _mean(values)
