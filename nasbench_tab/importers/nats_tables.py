"""Tables of the NAS-Bench-201 and NATS-Bench records: which split, training and metric each number is.

Trained on "cifar10-valid" is half of CIFAR-10's training images, validated on the other half; "cifar10" is
all of them, with nothing left to validate on. The other two datasets validate on half of the official test
images and test on the other half, so "ori-test" is both splits together there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.tablefile import Column, Table, Training
from nasbench_tab.errors import FormatError
from nasbench_tab.importers.nats_records import ArchRecord, RunRecord
from nasbench_tab.importers.scratch import ScratchColumn
from nasbench_tab.records import Metric, Split
from nasbench_tab.spaces.base import Space

__all__ = ["DATASETS", "Collector", "Plan"]

#: The tables' datasets, and what each is trained on for a search.
DATASETS = {
    "cifar10": "cifar10-valid",
    "cifar100": "cifar100",
    "imagenet16-120": "ImageNet16-120",
}

_SPLITS: dict[str, dict[str, Split]] = {
    "cifar10-valid": {"x-valid": "valid", "ori-test": "test"},
    "cifar10": {"ori-test": "test"},
    "cifar100": {"x-valid": "valid", "x-test": "test", "ori-test": "valid+test"},
    "ImageNet16-120": {"x-valid": "valid", "x-test": "test", "ori-test": "valid+test"},
}
_WORD: dict[Split, str] = {
    "train": "train",
    "valid": "valid",
    "test": "test",
    "valid+test": "valid_test",
}
_IMAGES = {
    ("cifar10-valid", "train"): "25,000 training images of CIFAR-10",
    ("cifar10-valid", "valid"): "the other 25,000 training images of CIFAR-10",
    ("cifar10-valid", "test"): "the 10,000 test images of CIFAR-10",
    ("cifar10", "train"): "all 50,000 training images of CIFAR-10",
    ("cifar10", "test"): "the 10,000 test images of CIFAR-10",
    ("cifar100", "train"): "the 50,000 training images of CIFAR-100",
    ("cifar100", "valid"): "5,000 of the test images of CIFAR-100",
    ("cifar100", "test"): "the other 5,000 test images of CIFAR-100",
    ("cifar100", "valid+test"): "all 10,000 test images of CIFAR-100",
    ("ImageNet16-120", "train"): "the 151,700 training images of ImageNet16-120",
    ("ImageNet16-120", "valid"): "3,000 of the validation images of ImageNet16-120",
    ("ImageNet16-120", "test"): "the other 3,000 validation images of ImageNet16-120",
    ("ImageNet16-120", "valid+test"): "all 6,000 validation images of ImageNet16-120",
}
_RECORDED = ("parameters", "macs", "latency")
_SAME = 1e-9  # what rounding may make of a figure
_FEW = 3  # architectures from which on two splits with the same numbers are no chance


class Plan(NamedTuple):
    """What an official file is made into.

    Attributes:
        prefix: Of the tables' names.
        space: What its architectures are.
        schedules: ``{hp: (epochs, seeds)}``: the file's keys, how long each trains and the seeds that
            it may have, ascending.
        default: The hp that searches are reported on.
        synthetic: Whether all times are known to be synthetic; else constant ones are taken to be.
    """

    prefix: str
    space: Space
    schedules: dict[str, tuple[int, tuple[int, ...]]]
    default: str
    synthetic: bool


class Collector:
    """Takes record after record and holds what the tables need; large columns lie in ``folder``."""

    def __init__(self, plan: Plan, folder: Path, source: str) -> None:
        self._plan, self._source = plan, source
        self._size = plan.space.size or 0
        self.seen = np.zeros(self._size, bool)
        self._trainings: dict[tuple[str, str], _Collected] = {}
        for hp, (epochs, seeds) in plan.schedules.items():
            for dataset in _SPLITS:
                where = folder / f"{hp}-{dataset}"
                where.mkdir()
                self._trainings[hp, dataset] = _Collected(where, dataset, epochs, seeds, self._size)

    def take(self, index: int, records: dict[str, ArchRecord]) -> None:
        """Take the records of one architecture.

        Raises:
            FormatError: They are not of this space, or hold something that the format does not.
        """
        where = f"{self._source}, architecture {index}"
        space = self._plan.space
        if index >= self._size:
            raise self._wrong(where, "index", f"below {self._size}", index)
        text = next(iter(records.values())).arch_str
        expected = space.format(space.unindex(index))
        if text != expected:
            raise self._wrong(where, "arch_str", expected, text)
        if set(records) != set(self._plan.schedules):
            raise self._wrong(where, "schedules", sorted(self._plan.schedules), sorted(records))
        for hp, record in records.items():
            for dataset, runs in record.runs.items():
                training = self._trainings.get((hp, dataset))
                if training is None:
                    raise self._wrong(where, "dataset", sorted(_SPLITS), dataset)
                for seed, run in runs.items():
                    here = f"{where}, hp {hp}, {dataset}, seed {seed}"
                    if seed not in training.seeds:
                        raise self._wrong(here, "seed", training.seeds, seed)
                    if run.epochs != training.epochs:
                        raise self._wrong(here, "epochs", training.epochs, run.epochs)
                    if not set(run.sets) <= set(_SPLITS[dataset]):
                        raise self._wrong(here, "sets", sorted(_SPLITS[dataset]), sorted(run.sets))
                training.take(index, runs)
        self.seen[index] = True

    def tables(self) -> dict[str, Callable[[], Table]]:
        """Return what makes each table, by its name; the numbers stay in the folder's files.

        Raises:
            FormatError: Two splits of a dataset hold the same numbers; so no table is made at all.
        """
        names = {f"{self._plan.prefix}-{dataset}": trained for dataset, trained in DATASETS.items()}
        rows = np.flatnonzero(self.seen)
        for name, trained in names.items():
            for label, training in self._of(trained):
                self._check_splits(f"{self._source}: {name}, {label}", training, rows)
        return {name: partial(self._table, name, trained) for name, trained in names.items()}

    def close(self) -> None:
        """Close all files."""
        for training in self._trainings.values():
            training.close()

    def _of(self, trained_on: str) -> Iterator[tuple[str, _Collected]]:
        """Yield the trainings of a table that there are, by their labels."""
        # CIFAR-10 was trained on with and without its validation images.
        datasets = (trained_on, "cifar10") if trained_on == "cifar10-valid" else (trained_on,)
        for hp, (epochs, _) in self._plan.schedules.items():
            for dataset in datasets:
                training = self._trainings[hp, dataset]
                if training.has_seed.any():
                    suffix = "-train+valid" if dataset == "cifar10" else ""
                    yield f"{epochs}-epochs{suffix}", training

    def _table(self, name: str, trained_on: str) -> Table:
        rows = np.flatnonzero(self.seen)
        space, plan = self._plan.space, self._plan
        main = self._trainings[plan.default, trained_on]
        static = {key: main.agreed(key, rows) for key in _RECORDED}
        trainings = {
            label: training.finish(rows, static, plan.synthetic)
            for label, training in self._of(trained_on)
        }
        return Table(
            name,
            space.name,
            len(rows) == self._size,
            np.array([space.unindex(row) for row in rows.tolist()], np.uint8),
            trainings,
            f"{plan.schedules[plan.default][0]}-epochs",
            {key: Column(_metric(key), static[key], _NOTES[key]) for key in _RECORDED},
        )

    def _check_splits(self, where: str, training: _Collected, rows: NDArray[np.intp]) -> None:
        valid = training.last.get("valid")
        if valid is None or len(rows) < _FEW or np.isnan(valid[rows]).all():
            return
        for split, values in training.last.items():
            if split != "valid" and np.array_equal(valid[rows], values[rows], equal_nan=True):
                raise FormatError(
                    f"{where}: accuracy on the {split} split equals that on the valid split for all "
                    f"{len(rows)} architectures; two different sets of images were expected. The file was "
                    "altered; get it from its publisher again."
                )

    @staticmethod
    def _wrong(where: str, what: str, expected: object, got: object) -> FormatError:
        return FormatError(
            f"{where}: {what}: expected {expected}, got {got!r:.200}. This is another benchmark's file, or one of a "
            "newer version; get the official one."
        )


class _Collected:
    """All numbers of one way of training."""

    def __init__(
        self, folder: Path, dataset: str, epochs: int, seeds: tuple[int, ...], n: int
    ) -> None:
        self.dataset, self.epochs, self.seeds = dataset, epochs, seeds
        self._folder = folder
        self._columns: dict[str, ScratchColumn] = {}
        self.has_seed = np.zeros(len(seeds), bool)
        shape = (n, len(seeds))
        self._order = np.full(shape, len(seeds), np.int8)  # place in the published order of seeds
        self._recorded = {key: np.full(shape, np.nan) for key in _RECORDED}
        self.last = {split: np.full(shape, np.nan) for split in _SPLITS[dataset].values()}
        self._constant = True
        self._rows = np.zeros(n, bool)

    def take(self, row: int, runs: dict[int, RunRecord]) -> None:
        shape = (len(self.seeds), self.epochs)
        values: dict[str, NDArray[np.float64]] = {}

        def put(name: str, place: int, curve: NDArray[np.float64] | None) -> None:
            if curve is not None:
                values.setdefault(name, np.full(shape, np.nan))[place] = curve

        for order, (seed, run) in enumerate(runs.items()):
            place = self.seeds.index(seed)
            self.has_seed[place] = True
            self._order[row, place] = order
            latency = np.mean(run.latency) if run.latency else np.nan
            self._recorded["parameters"][row, place] = run.params
            self._recorded["macs"][row, place] = run.flops
            self._recorded["latency"][row, place] = latency if latency > 0 else np.nan
            put("train_accuracy", place, run.train_accuracy)
            put("train_top5_accuracy", place, run.train_top5)
            put("train_loss", place, _finite(run.train_loss))
            if run.train_seconds is not None:
                put("train_seconds", place, np.cumsum(run.train_seconds))
                self._constant = self._constant and bool(np.ptp(run.train_seconds) == 0)
            for name, measured in run.sets.items():
                split = _SPLITS[self.dataset][name]
                word = _WORD[split]
                put(f"{word}_accuracy", place, measured.accuracy)
                put(f"{word}_loss", place, _finite(measured.loss))
                seconds = "eval_seconds" if split == "valid" else f"{word}_seconds"
                put(seconds, place, np.cumsum(measured.seconds))
                self.last[split][row, place] = measured.accuracy[-1]
        for name in sorted(values.keys() - self._columns.keys()):
            column = ScratchColumn(self._folder / name, *shape)
            self._columns[name] = column
            for earlier in np.flatnonzero(self._rows).tolist():
                column.write(earlier, np.full(shape, np.nan))
        for name, column in self._columns.items():
            column.write(row, values.get(name, np.full(shape, np.nan)))
        self._rows[row] = True

    def agreed(self, key: str, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return one figure for each architecture, by the rule of the published API.

        The mean over the seeds; where parameters or MACs disagree, that of seed 888, or else of the second
        training.
        """
        figures = np.full(len(rows), np.nan)
        for i, row in enumerate(rows.tolist()):
            known = self._recorded[key][row].tolist()
            order = sorted(range(len(known)), key=self._order[row].__getitem__)
            values = [known[place] for place in order if known[place] == known[place]]
            if not values:
                continue
            figures[i] = values[0] if len(set(values)) == 1 else sum(values) / len(values)
            if key != "latency" and len({f"{value:.5f}" for value in values}) > 1:
                named = known[self.seeds.index(888)] if 888 in self.seeds else np.nan
                figures[i] = values[1] if np.isnan(named) else named
        return figures

    def finish(
        self, rows: NDArray[np.intp], static: dict[str, NDArray[np.float64]], synthetic: bool
    ) -> Training:
        """Return the training with the rows and seeds that there are."""
        kept = np.flatnonzero(self.has_seed).tolist()
        columns = {}
        for row in np.setdiff1d(rows, np.flatnonzero(self._rows)).tolist():
            for column in self._columns.values():
                column.write(row, np.full((len(self.seeds), self.epochs), np.nan))
        for name, column in self._columns.items():
            if not column.empty:
                values = column.finish(rows.tolist(), kept)
                columns[name] = Column(_metric(name), values, self._note(name))
        for key in _RECORDED:
            recorded = self._recorded[key][rows][:, kept]
            with np.errstate(invalid="ignore"):
                differ = np.abs(recorded - static[key][:, None]) > _SAME
            if differ.any():
                # One figure for a training: the same after every epoch, without a copy for each.
                spread = np.broadcast_to(recorded[:, :, None], (*recorded.shape, self.epochs))
                name = f"recorded_{key}"
                columns[name] = Column(_metric(name), spread, _NOTES[name])
        objective = "test_accuracy" if self.dataset == "cifar10" else "valid_accuracy"
        kind = "synthetic" if synthetic or self._constant else "measured"
        return Training(
            dataset=self.dataset,
            objective=objective,
            epochs_kind="curve",
            seconds_kind=kind if "train_seconds" in columns else "none",
            seeds=tuple(self.seeds[place] for place in kept),
            epochs=tuple(range(1, self.epochs + 1)),
            columns=columns,
        )

    def close(self) -> None:
        for column in self._columns.values():
            column.close()

    def _note(self, name: str) -> str:
        if name in _NOTES:
            return _NOTES[name]
        word, _, what = name.rpartition("_")
        split = next((s for s, w in _WORD.items() if w == word.removesuffix("_top5")), "valid")
        images = _IMAGES[self.dataset, split]
        if what == "seconds":
            return f"cumulative over the epochs: a pass over {images} after each"
        if what == "loss":
            return f"mean cross-entropy on {images}; NaN where it was not finite"
        kind = "top-5" if word.endswith("_top5") else "top-1"
        return f"{kind} accuracy on {images}" + (
            ", while training, with augmentation" if split == "train" else ""
        )


_NOTES = {
    "train_seconds": "training time without evaluation, cumulative over the epochs",
    "latency": "seconds for a batch of 256, mean over the seeds",
    "parameters": "as recorded; where the trainings disagree, that of seed 888, else of the second one",
    "macs": "multiply-accumulate operations for one image as recorded (published as FLOPs); where the "
    "trainings disagree, that of seed 888, else of the second one",
    "recorded_parameters": "parameters that the source records with each training; some differ",
    "recorded_macs": "multiply-accumulates that the source records with each training; some differ",
    "recorded_latency": "latency that the source records with each training; some differ",
}


def _metric(name: str) -> Metric:
    what = name.rpartition("_")[2]
    word = name.rpartition("_")[0].removesuffix("_top5")
    split: Split = next((s for s, w in _WORD.items() if w == word), "none")
    if what == "accuracy":
        return Metric(name, split, "max", "%", 0.0, 100.0)
    if what == "loss":
        return Metric(name, split, "min", "nats", 0.0)
    if what == "seconds":
        return Metric(name, "none" if word == "train" else split, "min", "s", 0.0)
    return Metric(name, "none", "min", "s" if what == "latency" else "M", 0.0)


def _finite(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(curve), curve, np.nan)
