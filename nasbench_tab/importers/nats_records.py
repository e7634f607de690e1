"""What the official NAS-Bench-201 and NATS-Bench files hold of one architecture, as checked arrays.

A file is a pickle of plain dicts. In NATS-Bench each architecture is ``{hp: results}`` with hp "12" and
"200" (topology space) or "01", "12" and "90" (size space); in NAS-Bench-201's ``.pth`` files the keys
are "less" (12 epochs) and "full" (200 epochs). The results hold every training, by dataset and seed.

Dong and Yang, "NAS-Bench-201", ICLR 2020; Dong, Liu, Musial and Gabrys, "NATS-Bench", TPAMI 2021.
"""

from __future__ import annotations

import bz2
import io
import zipfile
import zlib
from functools import cache
from pathlib import Path
from reprlib import repr as short
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import FormatError
from nasbench_tab.importers.bytestream import ByteStream
from nasbench_tab.importers.unpickle_stream import stream_plain

__all__ = [
    "DAMAGED",
    "SETS",
    "ArchRecord",
    "Meta",
    "Named",
    "RunRecord",
    "SetRecord",
    "bytes_of",
    "damaged",
    "meta_of",
    "read_meta",
    "read_simple",
    "records_of",
    "unpacked",
]

#: The evaluation sets: "x-valid" and "x-test" are the validation and the test split; "ori-test" is the
#: dataset's own test set, which is the test split of CIFAR-10 and both splits together elsewhere.
SETS = ("x-valid", "x-test", "ori-test")

_ARCH_KEYS = {"arch_index", "arch_str", "all_results", "dataset_seed", "clear_net_done"}
_RUN_KEYS = {
    *("name", "net_state_dict", "arch_config", "params", "flop", "seed", "epochs", "latency"),
    *("train_acc1es", "train_acc5es", "train_losses", "train_times"),
    *("eval_names", "eval_acc1es", "eval_losses", "eval_times"),
}
_META_KEYS = {"meta_archs", "total_archs", "arch2infos", "evaluated_indexes"}
_MOST_EPOCHS = 1000
_LARGEST = 4 * 2**20  # bytes of a packed record: published ones have less than 0.1 MB
_UNPACKED = 16 * 2**20  # bytes of an unpacked one: published ones have 0.1 to 1.4 MB

#: No value is below 0; accuracies are in percent.
_MOST_OF = {
    **dict.fromkeys(("train_acc1es", "train_acc5es", "eval_acc1es"), 100.0),
    **dict.fromkeys(("train_losses", "train_times", "eval_losses", "eval_times"), np.inf),
}

#: What reading a damaged archive raises.
DAMAGED = (EOFError, OSError, ValueError, zlib.error, zipfile.BadZipFile, NotImplementedError)


class SetRecord(NamedTuple):
    """One training measured on one evaluation set: arrays over epochs, NaN where not measured.

    Attributes:
        accuracy: ``(epochs,)`` float64, top-1, percent.
        loss: ``(epochs,)`` float64, mean cross-entropy.
        seconds: ``(epochs,)`` float64, one evaluation of the whole set.
    """

    accuracy: NDArray[np.float64]
    loss: NDArray[np.float64]
    seconds: NDArray[np.float64]


class RunRecord(NamedTuple):
    """One training of one architecture.

    Attributes:
        dataset: What was trained on: "cifar10-valid" (half of the training images), "cifar10",
            "cifar100" or "ImageNet16-120".
        seed: The training's seed.
        epochs: How many epochs it took.
        params: Trainable parameters, M, as recorded with this training.
        flops: Multiply-accumulates, M, likewise.
        latency: Seconds for a batch of 256, one for each measurement; empty where there is none.
        arch_config: The network's settings as published.
        train_accuracy: ``(epochs,)`` float64, top-1 on the training images, percent; NaN where absent.
        train_top5: Likewise, top-5; None where the source has none.
        train_loss: Likewise, mean cross-entropy.
        train_seconds: Likewise, seconds of each epoch; None where the source has none.
        sets: What was measured on each of :data:`SETS` that there is, in the published order.
    """

    dataset: str
    seed: int
    epochs: int
    params: float
    flops: float
    latency: tuple[float, ...]
    arch_config: dict[str, Any]
    train_accuracy: NDArray[np.float64]
    train_top5: NDArray[np.float64] | None
    train_loss: NDArray[np.float64]
    train_seconds: NDArray[np.float64] | None
    sets: dict[str, SetRecord]


class ArchRecord(NamedTuple):
    """All trainings of one architecture under one schedule.

    Attributes:
        index: Its official index.
        arch_str: Its published string.
        runs: ``{dataset: {seed: training}}``, seeds in the order of ``dataset_seed``.
        dataset_seed: ``{dataset: seeds}`` in the published order.
    """

    index: int  # type: ignore[assignment]  # a tuple has a method of this name
    arch_str: str
    runs: dict[str, dict[int, RunRecord]]
    dataset_seed: dict[str, tuple[int, ...]]


class Meta(NamedTuple):
    """What an official file says besides its records.

    Attributes:
        architectures: All published strings, in the order of the official indices.
        evaluated: The indices that the file says it has; empty in the "simple" folders.
    """

    architectures: tuple[str, ...]
    evaluated: frozenset[int]


def read_simple(path: Path) -> dict[str, ArchRecord]:
    """Return ``{hp: record}`` of one file ``NNNNNN.pickle.pbz2`` of a "simple" folder.

    Raises:
        FormatError: It is missing, damaged, too large, or not such a record.
        UnsafePickleError: It names something that plain data does not need.
    """
    return records_of(unpacked(bytes_of(path), str(path)), str(path))


def read_meta(path: Path) -> Meta:
    """Return what ``meta.pickle.pbz2`` of a "simple" folder holds.

    Raises:
        FormatError: It is missing, damaged, too large, or not such a record.
        UnsafePickleError: It names something that plain data does not need.
    """
    return meta_of(unpacked(bytes_of(path), str(path)), str(path))


def meta_of(raw: object, source: str = "the meta record") -> Meta:
    """Return the checked content of an official file's outer dict, without its architectures."""
    outer = _keys(raw, _META_KEYS, source, optional={"basestr"})
    names, total, seen = outer["meta_archs"], outer["total_archs"], outer["evaluated_indexes"]
    if outer["arch2infos"] not in (None, {}):  # the others were handed over
        raise _unexpected(f"{source}: arch2infos", "architectures by number", outer["arch2infos"])
    if type(names) is not list or not all(type(name) is str for name in names):
        raise _unexpected(f"{source}: meta_archs", "a list of strings", names)
    if total != len(names) or len(set(names)) != len(names):
        raise _unexpected(
            f"{source}: total_archs", f"{len(names)}, and as many distinct strings", total
        )
    if not isinstance(seen, (set, frozenset, list, tuple)) or not all(
        type(index) is int and 0 <= index < len(names) for index in seen
    ):
        raise _unexpected(f"{source}: evaluated_indexes", f"indices below {len(names)}", seen)
    return Meta(tuple(names), frozenset(seen))


def records_of(raw: object, source: str = "the record") -> dict[str, ArchRecord]:
    """Return ``{hp: record}`` of the plain dicts of one architecture, every key and type checked.

    Args:
        raw: ``{hp: results}`` as the official files hold it, from a safe reader.
        source: Where it comes from, for messages.

    Raises:
        FormatError: Something is missing, unknown, of another type or contradicts itself.
    """
    if not isinstance(raw, dict) or not raw or not all(type(hp) is str for hp in raw):
        got = list(raw)[:9] if isinstance(raw, dict) else raw
        raise _unexpected(source, "a dict from schedules such as '12' to results", got)
    records = {hp: _arch(value, f"{source}: hp {hp!r}") for hp, value in raw.items()}
    named = {(record.index, record.arch_str) for record in records.values()}
    if len(named) > 1:
        raise _unexpected(source, "one architecture", sorted(named))
    return records


def _arch(raw: object, where: str) -> ArchRecord:
    held = _keys(raw, _ARCH_KEYS, where)
    index, text, results, published = (
        held[key] for key in ("arch_index", "arch_str", "all_results", "dataset_seed")
    )
    if type(index) is not int or index < 0:
        raise _unexpected(f"{where}: arch_index", "an index", index)
    if type(text) is not str:
        raise _unexpected(f"{where}: arch_str", "a string", text)
    where = f"{where}, architecture {index}"
    if not isinstance(results, dict) or not isinstance(published, dict):
        raise _unexpected(f"{where}: all_results, dataset_seed", "dicts", (results, published))
    seeds: dict[str, tuple[int, ...]] = {}
    for dataset, listed in published.items():
        if type(dataset) is not str or type(listed) is not list:
            raise _unexpected(f"{where}: dataset_seed", "lists of seeds by dataset", published)
        seeds[dataset] = tuple(
            _seed(seed, f"{where}: dataset_seed of {dataset}") for seed in listed
        )
    if not all(type(key) is tuple and len(key) == 2 for key in results):
        raise _unexpected(
            f"{where}: all_results", "pairs of dataset and seed as keys", set(results)
        )
    found = {
        (dataset, _seed(seed, f"{where}: all_results")): run
        for (dataset, seed), run in results.items()
    }
    runs: dict[str, dict[int, RunRecord]] = {dataset: {} for dataset in seeds}
    expected = {(dataset, seed) for dataset, listed in seeds.items() for seed in listed}
    if set(found) != expected or len({len(found), len(results), sum(map(len, seeds.values()))}) > 1:
        raise _unexpected(
            f"{where}: all_results", f"the trainings of dataset_seed, {short(seeds)}", set(results)
        )
    for dataset, listed in seeds.items():
        for seed in listed:
            run = _run(found[dataset, seed], f"{where}, {dataset}, seed {seed}")
            if (run.dataset, run.seed) != (dataset, seed):
                raise _unexpected(
                    f"{where}: all_results[{dataset!r}, {seed}]",
                    "its own name and seed",
                    (run.dataset, run.seed),
                )
            runs[dataset][seed] = run
    return ArchRecord(index, text, runs, seeds)


def _run(record: object, where: str) -> RunRecord:
    raw = _keys(record, _RUN_KEYS, where)
    if raw["net_state_dict"] is not None:
        raise _unexpected(
            f"{where}: net_state_dict", "None (files with weights are not read)", "weights"
        )
    dataset, epochs, names, config = (
        raw[key] for key in ("name", "epochs", "eval_names", "arch_config")
    )
    if type(dataset) is not str:
        raise _unexpected(f"{where}: name", "a dataset's name", dataset)
    if type(epochs) is not int or not 1 <= epochs <= _MOST_EPOCHS:
        raise _unexpected(f"{where}: epochs", f"1 to {_MOST_EPOCHS}", epochs)
    if (
        type(names) is not list
        or not set(map(str, names)) <= set(SETS)
        or len({*names}) < len(names)
    ):
        raise _unexpected(f"{where}: eval_names", f"names among {', '.join(SETS)}", names)
    if not isinstance(config, dict) or not all(
        type(key) is str and type(value) in (int, float, str) for key, value in config.items()
    ):
        raise _unexpected(f"{where}: arch_config", "numbers and strings by name", config)
    latency = raw["latency"]
    if latency is None:
        latency = []
    if type(latency) is not list:
        raise _unexpected(f"{where}: latency", "a list of seconds, or None", latency)

    def curve(key: str) -> NDArray[np.float64] | None:
        if raw[key] is None:
            return None
        values = _filled(raw[key], _epoch_places(epochs), epochs, f"{where}: {key}")
        return _bounded(values, _MOST_OF[key], where, key)

    accuracy, loss = curve("train_acc1es"), curve("train_losses")
    if accuracy is None or loss is None:
        raise _unexpected(f"{where}: train_acc1es, train_losses", "values by epoch", None)
    return RunRecord(
        dataset=dataset,
        seed=_seed(raw["seed"], f"{where}: seed"),
        epochs=epochs,
        params=_number(raw["params"], f"{where}: params"),
        flops=_number(raw["flop"], f"{where}: flop"),
        latency=tuple(_number(value, f"{where}: latency", signed=True) for value in latency),
        arch_config=dict(config),
        train_accuracy=accuracy,
        train_top5=curve("train_acc5es"),
        train_loss=loss,
        train_seconds=curve("train_times"),
        sets=_sets(raw, tuple(names), epochs, where),
    )


def _sets(
    raw: dict[str, Any], names: tuple[str, ...], epochs: int, where: str
) -> dict[str, SetRecord]:
    arrays = []
    for key in ("eval_acc1es", "eval_losses", "eval_times"):
        flat = _filled(raw[key], _set_places(names, epochs), len(names) * epochs, f"{where}: {key}")
        arrays.append(_bounded(flat, _MOST_OF[key], where, key).reshape(len(names), epochs))
    return {name: SetRecord(*(array[i] for array in arrays)) for i, name in enumerate(names)}


@cache
def _epoch_places(epochs: int) -> dict[Any, int]:
    return {epoch: epoch for epoch in range(epochs)}


@cache
def _set_places(names: tuple[str, ...], epochs: int) -> dict[Any, int]:
    return {
        f"{name}@{epoch}": i * epochs + epoch
        for i, name in enumerate(names)
        for epoch in range(epochs)
    }


def _filled(raw: object, places: dict[Any, int], size: int, where: str) -> NDArray[np.float64]:
    """Return the values of a dict at the places of its keys, NaN elsewhere."""
    if not isinstance(raw, dict):
        raise _unexpected(where, "a dict", raw)
    array = np.full(size, np.nan)
    try:
        for kind in set(
            map(type, raw.values())
        ):  # else NumPy takes strings of digits, and booleans
            if kind is bool or not issubclass(kind, (int, float, np.number)):
                raise TypeError(kind)
        array[[places[key] for key in raw]] = list(raw.values())
    except (KeyError, TypeError, ValueError) as err:
        unknown = [key for key in raw if key not in places]
        if unknown:
            raise _unexpected(
                where, f"keys such as {list(places)[:1]}, {size} at most", unknown[0]
            ) from err
        raise _unexpected(where, "numbers", raw) from err
    return array


def _bounded(values: NDArray[np.float64], most: float, where: str, key: str) -> NDArray[np.float64]:
    outside = (values < 0) | (values > most)
    if outside.any():
        expected = "values of at least 0" if most == np.inf else f"values from 0 to {most:g}"
        raise _unexpected(f"{where}: {key}", expected, values[outside][0].item())
    return values


def _number(value: object, where: str, *, signed: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise _unexpected(where, "a number", value)
    if not 0 <= value < np.inf and not (signed and np.isfinite(value)):
        raise _unexpected(where, "a finite number, at least 0", value)
    return float(value)


def _seed(value: object, where: str) -> int:
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= 9:
        return int(value)
    if type(value) is not int or value < 0:
        raise _unexpected(where, "a seed, an integer or its digits", value)
    return value


def _keys(
    raw: object, expected: set[str], where: str, optional: set[str] | frozenset[str] = frozenset()
) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise _unexpected(where, "a dict", raw)
    missing, unknown = expected - raw.keys(), raw.keys() - expected - optional
    if missing or unknown:
        raise FormatError(
            f"{where}: expected the keys {', '.join(sorted(expected))}; missing "
            f"{', '.join(sorted(missing)) or 'none'}, unknown {short(unknown) if unknown else 'none'}. "
            "This is no official record, or one of a newer version."
        )
    return raw


def _unexpected(where: str, expected: str, got: object) -> FormatError:
    return FormatError(
        f"{where}: expected {expected}, got {short(got)}. Get the file from its publisher again."
    )


def unpacked(data: bytes, where: str) -> Any:
    """Return the plain object in the bytes of a small ``.pickle.pbz2``."""
    with bz2.BZ2File(io.BytesIO(data)) as file:
        stream = ByteStream(Named(where, file), where, _UNPACKED)
        raw = stream_plain(stream)
        stream.end()
    return raw


def bytes_of(path: Path, n: int = _LARGEST) -> bytes:
    """Return the first ``n`` bytes of a file."""
    try:
        with path.open("rb") as file:
            return file.read(n)
    except OSError as err:
        raise FormatError(
            f"{path} cannot be read ({err}). Expected an official file or folder."
        ) from err


class Named:
    """A file that decompresses; its errors name it."""

    def __init__(self, source: object, file: Any) -> None:
        self._source, self._file = source, file

    def read(self, n: int, /) -> bytes:
        """Return ``n`` bytes, fewer only at the end."""
        try:
            data: bytes = self._file.read(n)
        except DAMAGED as err:
            raise damaged(self._source, err) from err
        return data


def damaged(source: object, err: Exception) -> FormatError:
    """Return the error for an archive that cannot be unpacked."""
    return FormatError(
        f"{source} cannot be unpacked ({type(err).__name__}: {err}); it is truncated, damaged or of another "
        "format. Get it again."
    )
