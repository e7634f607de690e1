"""What NATS-Bench's interface answers in both of its search spaces; see :mod:`nasbench_tab.compat.nats_bench`."""

from __future__ import annotations

import copy
import operator
import os
import random
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nasbench_tab.compat.nats_results import (
    ArchResults,
    MissingResultError,
    ResultsCount,
    described,
    published_names,
    told,
)
from nasbench_tab.compat.nats_sources import SimpleFolder, Source, SpaceFacts, open_source
from nasbench_tab.errors import InvalidArgumentError

__all__ = ["NatsBench"]

#: Architectures whose results are kept in memory.
_KEPT = 1_000

_DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
_COMMENTS = {
    "cifar10-valid": "trained on 25,000 of CIFAR-10's training images; test is its test set",
    "cifar10": "trained on all of CIFAR-10's training images; test is its test set, there is no validation",
}


class _Loaded(Mapping[int, dict[str, ArchResults]]):
    """The results of every architecture in ``evaluated_indexes``, read when they are asked for."""

    def __init__(self, bench: NatsBench) -> None:
        self._bench = bench

    def __getitem__(self, index: int) -> dict[str, ArchResults]:
        return self._bench._all(index)

    def __contains__(self, index: object) -> bool:
        return index in self._bench.evaluated_indexes

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._bench.evaluated_indexes))

    def __len__(self) -> int:
        return len(self._bench.evaluated_indexes)


class NatsBench:
    """What both search spaces have; see :func:`create`.

    Attributes:
        meta_archs: All published strings, by official index.
        evaluated_indexes: The architectures that there are records of; in fast mode, those that were
            asked for.
        verbose: As given.
        filename: The file's or folder's name; None for a dict.
    """

    _facts: SpaceFacts

    def __init__(
        self,
        file_path_or_dict: str | os.PathLike[str] | dict[str, Any] | None = None,
        fast_mode: bool = False,
        verbose: bool = True,
    ) -> None:
        self.verbose, self._fast_mode, self._used_time = verbose, bool(fast_mode), 0.0
        self._source = open_source(file_path_or_dict, self._facts, self._fast_mode)
        self._archive_dir = None if self._source.folder is None else str(self._source.folder)
        self.filename = self._source.name
        self.meta_archs = list(self._source.architectures)
        self.archstr2index = {name: index for index, name in enumerate(self.meta_archs)}
        self.evaluated_indexes = set() if self._fast_mode else set(self._source.present)
        self._results: OrderedDict[int, dict[str, ArchResults]] = OrderedDict()
        self._hps: set[str] = set()
        self._reloaded: dict[int, Source] = {}
        if verbose:
            sys.stdout.write(f"{self!r}: records are read as they are asked for.\n")

    def __getitem__(self, index: int) -> str:
        return self.meta_archs[index]

    def __len__(self) -> int:
        return len(self.meta_archs)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.evaluated_indexes)}/{len(self)} architectures, "
            f"fast_mode={self._fast_mode}, file={self.filename})"
        )

    @property
    def avaliable_hps(self) -> list[str]:
        """The schedules that were met; spelt as in the reference."""
        if not self._hps and self.evaluated_indexes:
            self._all(min(self.evaluated_indexes))
        return sorted(self._hps)

    @property
    def used_time(self) -> float:
        """Simulated seconds that :meth:`simulate_train_eval` has used up since :meth:`reset_time`."""
        return self._used_time

    @property
    def search_space_name(self) -> str:
        """The reference's name of the search space: "topology" or "size"."""
        return self._facts.name

    @property
    def fast_mode(self) -> bool:
        """As given."""
        return self._fast_mode

    @property
    def archive_dir(self) -> str | None:
        """The folder that records are read from; None where there is none."""
        return self._archive_dir

    @property
    def full_train_epochs(self) -> int:
        """Epochs of the trainings that are reported."""
        return self._facts.epochs

    full_epochs_in_paper = full_train_epochs

    @property
    def is_topology(self) -> bool:
        """Whether this is the topology space."""
        return self._facts.name == "topology"

    @property
    def is_size(self) -> bool:
        """Whether this is the size space."""
        return self._facts.name == "size"

    def reset_time(self) -> None:
        """Set the simulated clock to zero."""
        self._used_time = 0.0

    def random(self) -> int:
        """Return a random index, from Python's ``random``."""
        return random.randint(0, len(self) - 1)  # noqa: S311 - the reference's own draw

    def arch(self, index: int) -> str:
        """Return the published string of an index."""
        return self.meta_archs[self._in_range(index)]

    def query_index_by_arch(self, arch: Any) -> int:
        """Return the official index of an index, a published string or an object with ``tostr``.

        -1 where it is none of this space.

        Raises:
            InvalidArgumentError: An integer is out of range.
        """
        if isinstance(arch, str):
            return self.archstr2index.get(arch, -1)
        if hasattr(arch, "tostr"):
            return self.archstr2index.get(arch.tostr(), -1)
        try:
            index = operator.index(arch)
        except TypeError:
            return -1
        return self._in_range(index)

    def _in_range(self, index: Any) -> int:
        try:
            number = operator.index(index)
        except TypeError:
            number = -1
        if not 0 <= number < len(self):
            raise InvalidArgumentError(
                f"{index!r} is no index of an architecture; they are 0 to {len(self) - 1}."
            )
        return number

    def _index(self, arch: Any) -> int:
        """Return the index of what is asked about.

        Raises:
            InvalidArgumentError: It is none of this space.
        """
        index = self.query_index_by_arch(arch)
        if index < 0:
            raise InvalidArgumentError(
                f"{arch!r} is no architecture of the {self.search_space_name} space. Expected an index or a "
                f"string such as {self.meta_archs[0]!r}."
            )
        return index

    def _all(self, index: int) -> dict[str, ArchResults]:
        """Return the results of an architecture for each schedule."""
        results = self._results.get(index)
        if results is None:
            records = self._reloaded.get(index, self._source).read(index)
            if records is None:
                raise MissingResultError(
                    f"{self!r} holds no record of architecture {index} ({self.meta_archs[index]})."
                )
            results = {hp: ArchResults(record) for hp, record in records.items()}
            self._results[index] = results
            self._hps |= results.keys()
            self.evaluated_indexes.add(index)
            if len(self._results) > _KEPT:
                self._results.popitem(last=False)
        else:
            self._results.move_to_end(index)
        return results

    @property
    def arch2infos_dict(self) -> Mapping[int, dict[str, ArchResults]]:
        """``{index: {hp: results}}`` of the architectures in ``evaluated_indexes``."""
        return _Loaded(self)

    def _of_hp(
        self, index: int, hp: str | int, error: type[Exception] = InvalidArgumentError
    ) -> ArchResults:
        """Return an architecture's results under one schedule.

        Raises:
            InvalidArgumentError: There are none; or ``error``, where the reference has another one.
        """
        try:
            named = hp if isinstance(hp, str) else f"{operator.index(hp):02d}"
        except TypeError:
            named = str(hp)
        results = self._all(index)
        if named not in results:
            raise error(
                f"Architecture {index} has no trainings of hp={hp!r}; it has {', '.join(results)}."
            )
        return results[named]

    def get_more_info(
        self,
        index: Any,
        dataset: str,
        iepoch: int | None = None,
        hp: str | int = "12",
        is_random: bool | int = True,
    ) -> dict[str, Any]:
        """Return losses, accuracies (percent) and seconds after an epoch, on all sets that there are.

        Args:
            index: An index, a published string or an object with ``tostr``.
            dataset: "cifar10-valid", "cifar10", "cifar100" or "ImageNet16-120".
            iepoch: From 0; None = the last.
            hp: The schedule: "12" or "200"; "01", "12" or "90" in the size space.
            is_random: True: one seed is drawn, the same for all sets; False: means over the seeds; an
                integer: that seed.

        Returns:
            ``<set>-loss``, ``<set>-accuracy``, ``<set>-per-time`` and ``<set>-all-time`` for the sets
            train, valid, test and valtest (both together), without those that were not measured.

        Raises:
            InvalidArgumentError: No such architecture, epoch or seed.
            MissingResultError: No such schedule or dataset, or no record of the architecture.
        """
        index = self._index(index)
        results = self._of_hp(index, hp, MissingResultError)
        if is_random is True:
            is_random = random.choice(results.get_dataset_seeds(dataset))  # noqa: S311 - as the reference
        train = results.get_metrics(dataset, "train", iepoch, is_random)
        found = told("train", train, train)
        if dataset in _COMMENTS:
            found["comment"] = _COMMENTS[dataset]
        if dataset == "cifar10":
            sets = {"test": "ori-test"}
        elif dataset == "cifar10-valid":
            sets = {"valid": "x-valid", "test": "ori-test"}
        else:
            sets = {"valid": "x-valid", "test": "x-test", "valtest": "ori-test"}
        for name, published in sets.items():
            try:
                info = results.get_metrics(dataset, published, iepoch, is_random)
            except (MissingResultError, InvalidArgumentError):
                if (dataset, name) == ("cifar10-valid", "valid"):
                    raise
                continue
            found |= told(name, info, train)
        return found

    def simulate_train_eval(
        self,
        arch: Any,
        dataset: str,
        iepoch: int | None = None,
        hp: str | int = "12",
        account_time: bool = True,
    ) -> tuple[float, float | None, float, float]:
        """Return validation accuracy, latency, simulated seconds of this evaluation, and of all so far.

        A seed is drawn. The seconds are those of the training and of one validation pass. Where the
        validation accuracy was not measured at that epoch, that on validation and test images together
        takes its place, as in the reference.

        Raises:
            InvalidArgumentError: No such architecture, dataset or epoch.
            MissingResultError: No such schedule, or no record of the architecture.
        """
        names = ("cifar10", "cifar100", "ImageNet16-120")
        if dataset not in names:
            raise InvalidArgumentError(f"dataset={dataset!r}: expected one of {', '.join(names)}.")
        index = self._index(arch)
        searched = "cifar10-valid" if dataset == "cifar10" else dataset
        info = self.get_more_info(index, searched, iepoch, hp, True)
        if "valid-accuracy" in info:
            accuracy, evaluation = info["valid-accuracy"], info["valid-per-time"]
        else:
            accuracy = info["valtest-accuracy"]
            evaluation = self.get_more_info(index, dataset, None, hp, True)["valid-per-time"]
        if None in (info["train-all-time"], evaluation):
            raise MissingResultError(f"Architecture {index} has no times on {searched}, hp={hp!r}.")
        seconds = info["train-all-time"] + evaluation
        latency = self.get_latency(index, dataset, hp)
        if account_time:
            self._used_time += seconds
        return accuracy, latency, seconds, self._used_time

    def get_cost_info(self, index: Any, dataset: str, hp: str | int = "12") -> dict[str, Any]:
        """Return FLOPs, parameters, latency and times; see :meth:`ArchResults.get_compute_costs`."""
        return self._of_hp(self._index(index), hp).get_compute_costs(dataset)

    def get_latency(self, index: Any, dataset: str, hp: str | int = "12") -> float | None:
        """Return seconds for a batch of 256; None where it was not measured."""
        latency: float | None = self.get_cost_info(index, dataset, hp)["latency"]
        return latency

    def query_meta_info_by_index(self, arch_index: Any, hp: str | int = "12") -> ArchResults:
        """Return a copy of all trainings of an architecture under one schedule.

        Raises:
            InvalidArgumentError: No such architecture or schedule.
        """
        return copy.deepcopy(self._of_hp(self._index(arch_index), hp))

    def query_by_index(
        self, arch_index: Any, dataname: str | None = None, hp: str | int = "12"
    ) -> ArchResults | dict[int, ResultsCount]:
        """Return all trainings of an architecture under one schedule, or ``{seed: training}`` of a dataset.

        Raises:
            InvalidArgumentError: No such architecture, schedule or dataset.
        """
        found = self.query_meta_info_by_index(arch_index, hp)
        if dataname is None:
            return found
        if dataname not in found.dataset_seed:
            raise InvalidArgumentError(
                f"{found!r} was not trained on {dataname!r}; it was on {', '.join(found.dataset_seed)}."
            )
        of_seeds: dict[int, ResultsCount] = found.query(dataname)
        return of_seeds

    def find_best(
        self,
        dataset: str,
        metric_on_set: str,
        flop_max: float | None = None,
        param_max: float | None = None,
        hp: str | int = "12",
        enforce_all: bool | None = None,
    ) -> tuple[int, float | None]:
        """Return the index with the highest accuracy after the last epoch, and that accuracy.

        Means over the seeds are compared; of equal ones the smallest index wins. What counts are the
        architectures in ``evaluated_indexes``.

        Args:
            dataset: "cifar10", "cifar100" or "ImageNet16-120"; "cifar10-valid" too.
            metric_on_set: "train", "valid", "test", or a set's published name.
            flop_max: Most FLOPs, M.
            param_max: Most parameters, M.
            hp: The schedule.
            enforce_all: Whether all architectures are read first; in fast mode only, and the default there.

        Returns:
            ``(-1, None)`` where nothing is within the limits.

        Raises:
            InvalidArgumentError: ``enforce_all`` without fast mode.
            MissingResultError: An architecture has no record, or none of this dataset, set or schedule.
        """
        if enforce_all and not self._fast_mode:
            raise InvalidArgumentError("enforce_all=True is for fast_mode=True only.")
        if enforce_all is None:
            enforce_all = self._fast_mode
        dataset, name = published_names(dataset, metric_on_set)
        best, highest = -1, None
        for index in range(len(self)) if enforce_all else sorted(self.evaluated_indexes):
            results = self._of_hp(index, hp, MissingResultError)
            costs = results.get_compute_costs(dataset)
            if flop_max is not None and costs["flops"] > flop_max:  # type: ignore[operator]
                continue
            if param_max is not None and costs["params"] > param_max:  # type: ignore[operator]
                continue
            accuracy = results.get_metrics(dataset, name)["accuracy"]
            if highest is None or highest < accuracy:
                best, highest = index, accuracy
        return best, highest

    def statistics(self, dataset: str, hp: str | int) -> dict[int, int]:
        """Return ``{number of trainings: number of architectures}`` over ``evaluated_indexes``."""
        if dataset not in _DATASETS:
            raise InvalidArgumentError(
                f"dataset={dataset!r}: expected one of {', '.join(_DATASETS)}."
            )
        counts: dict[int, int] = {}
        for index in sorted(self.evaluated_indexes):
            results = self._of_hp(index, hp, MissingResultError)
            n = len(results.dataset_seed.get(dataset, ()))
            counts[n] = counts.get(n, 0) + 1
        return counts

    def get_net_config(self, index: Any, dataset: str) -> dict[str, Any]:
        """Return the network's settings by the names that its publishers' code takes."""
        results = next(iter(self._all(self._index(index)).values()))
        first: ResultsCount = next(iter(results.query(dataset).values()))
        return first.get_config(None)

    def get_net_param(
        self, index: Any, dataset: str, seed: int | None, hp: str | int = "12"
    ) -> dict[int, None] | None:
        """Return None for a seed, ``{seed: None}`` for None: weights are not read."""
        found: dict[int, None] | None
        found = self._of_hp(self._index(index), hp).get_net_param(dataset, seed)
        return found

    def clear_params(self, index: int, hp: str | int | None = None) -> None:
        """Mark weights as cleared; there are none."""
        if index in self._results:
            chosen = self._all(index).values() if hp is None else [self._of_hp(index, hp)]
            for results in chosen:
                results.clear_params()

    def reload(self, archive_root: str | None = None, index: int | None = None) -> None:
        """Read an architecture, or all, from now on from another "simple" folder.

        Args:
            archive_root: The folder; None = ``$TORCH_HOME/<name>-full`` if it is there, else the present one.
            index: An architecture; None = all.

        Raises:
            InvalidArgumentError: There is no such folder or architecture.
            MissingResultError: The folder has no record of it.
        """
        if archive_root is None:
            full = Path(os.environ.get("TORCH_HOME", "")) / f"{self._facts.base_name}-full"
            archive_root = str(full) if full.is_dir() else self._archive_dir
        if archive_root is None or not Path(archive_root).is_dir():
            raise InvalidArgumentError(f"archive_root={archive_root!r} is no folder.")
        source = SimpleFolder(Path(archive_root), self._source.architectures)
        indexes = range(len(self)) if index is None else [self._in_range(index)]
        missing = [i for i in indexes if i not in source.present]
        if missing:
            raise MissingResultError(
                f"{archive_root} holds no record of architecture {missing[0]} ({len(missing)} such)."
            )
        for i in indexes:
            self._results.pop(i, None)
            self._reloaded[i] = source
            self.evaluated_indexes.add(i)

    def reset_archive_dir(self, archive_dir: str | None) -> None:
        """Set :attr:`archive_dir`; what was opened stays open."""
        self._archive_dir = archive_dir

    def reset_fast_mode(self, fast_mode: bool) -> None:
        """Set :attr:`fast_mode`."""
        self._fast_mode = bool(fast_mode)

    def query_info_str_by_arch(self, arch: Any, hp: str | int = "12") -> str:
        """Return what is known of an architecture under one schedule, as text."""
        return "\n".join(described(self._of_hp(self._index(arch), hp)))

    def query_by_arch(self, arch: Any, hp: str | int) -> str:
        """See :meth:`query_info_str_by_arch`; the older interface's name."""
        return self.query_info_str_by_arch(arch, hp)

    def show(self, index: int = -1) -> None:
        """Print what is known of an architecture, or of all in ``evaluated_indexes`` if ``index < 0``."""
        lines = [repr(self)] if index < 0 else []
        for each in sorted(self.evaluated_indexes) if index < 0 else [self._in_range(index)]:
            lines.append(f"--- architecture {each:06d}")
            for results in self._all(each).values():
                lines.append(f"{results.get_total_epoch()} epochs")
                lines += described(results)
        sys.stdout.write("\n".join(lines) + "\n")
