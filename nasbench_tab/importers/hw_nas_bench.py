"""HW-NAS-Bench: what each NAS-Bench-201 cell takes on six devices, added to tables that are there.

Read is the official ``HW-NAS-Bench-v1_0.pickle``, which holds for each dataset and metric 15,625 numbers in
the order of the official index, or ``hw_cifar10.csv``, ``hw_cifar100.csv`` and ``hw_ImageNet16-120.csv``
(one of them, or their folder): the same figures, a line for each cell, which is written as NASLib does.
For each dataset a table of NAS-Bench-201 is copied, with the figures as static columns; its name ends
in ``-hw``. A search can then have ``edgegpu_latency`` as its second objective, or a limit on it. Figures
of the FBNet space, which the official file holds too, are not read.

Li, Yu, Fu, Zhang, Zhao, You, Yu, Wang, Hao and Lin, "HW-NAS-Bench: Hardware-Aware Neural Architecture
Search Benchmark", ICLR 2021.
"""

from __future__ import annotations

import ast
import csv
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab import paths
from nasbench_tab.benchmarks.tablefile import (
    Column,
    Table,
    read_manifest,
    read_table,
    write_table,
)
from nasbench_tab.errors import FormatError
from nasbench_tab.importers.unpickle import NUMPY_ARRAYS, NUMPY_SCALARS, NumberArray, load_plain
from nasbench_tab.records import Direction, Metric
from nasbench_tab.spaces.convert.nasbench201 import from_naslib, to_index
from nasbench_tab.spaces.nasbench201 import NasBench201

if TYPE_CHECKING:
    from nasbench_tab.importers.formats import Progress

__all__ = ["METRICS", "SHIPPED", "import_hw_nas_bench", "with_hardware"]

#: The shipped table that figures of each dataset are added to.
SHIPPED = {
    "cifar10": "nb201-cifar10",
    "cifar100": "nb201-cifar100",
    "ImageNet16-120": "nb201-imagenet16-120",
}


class _Figure(NamedTuple):
    unit: str
    what: str
    direction: Direction = "min"


_GPU = "NVIDIA Jetson TX2"
_PI = "Raspberry Pi 4"
_ACCELERATOR = "the accelerator Eyeriss, simulated"
_FPGA = "an FPGA (Xilinx ZC706), from the model of its design tool"

#: Unit and meaning of each metric; the official file may lack the arithmetic intensity.
METRICS: dict[str, _Figure] = {
    "edgegpu_latency": _Figure("ms", f"latency on the edge GPU {_GPU}, measured"),
    "edgegpu_energy": _Figure("mJ", f"energy on the edge GPU {_GPU}, measured"),
    "raspi4_latency": _Figure("ms", f"latency on a {_PI}, measured"),
    "edgetpu_latency": _Figure(
        "ms",
        "latency on Google's Edge TPU, measured; 4,699 cells have none, which the source writes as -1",
    ),
    "pixel3_latency": _Figure("ms", "latency on a phone, Pixel 3, measured"),
    "eyeriss_latency": _Figure("ms", f"latency on {_ACCELERATOR}"),
    "eyeriss_energy": _Figure("mJ", f"energy on {_ACCELERATOR}"),
    "eyeriss_arithmetic_intensity": _Figure(
        "", f"arithmetic intensity on {_ACCELERATOR}; the source names no unit", "max"
    ),
    "fpga_latency": _Figure("ms", f"latency on {_FPGA}"),
    "fpga_energy": _Figure("mJ", f"energy on {_FPGA}"),
}

_OPTIONAL = "eyeriss_arithmetic_intensity"
_ABSENT = -1.0  # what the source writes where a device could not run the network
_SIZE = 15_625
_LARGEST = 256 * 2**20  # bytes of a file


class _Ordered(dict[Any, Any]):
    """Stands in for OrderedDict, which could copy a long list again and again."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()


_ALLOW: Mapping[tuple[str, str], Any] = {
    **NUMPY_SCALARS,
    **NUMPY_ARRAYS,
    ("collections", "OrderedDict"): _Ordered,
}
_AGAIN = "Get HW-NAS-Bench-v1_0.pickle from its publisher again."
_CITATION = (
    "Li, Yu, Fu, Zhang, Zhao, You, Yu, Wang, Hao and Lin, HW-NAS-Bench: Hardware-Aware Neural "
    "Architecture Search Benchmark, ICLR 2021"
)
_KEPT = ("title", "origin", "licence", "citation", "protocol", "coverage", "seed_note", "lacks")

#: ``{metric: (15,625,)}`` in the order of the official index.
_Figures = dict[str, NDArray[np.float64]]


def import_hw_nas_bench(
    source: Path,
    out: Path,
    *,
    progress: Progress | None = None,
    tables: Sequence[Path] | None = None,
) -> list[Path]:
    """Write copies of NAS-Bench-201 tables with the devices' figures as further columns.

    Args:
        source: The official pickle, one CSV file or a folder of them.
        out: Where the folders ``<table>-hw`` go.
        progress: Counts tables.
        tables: Folders of the tables that are copied, all of NAS-Bench-201; None = those of
            :data:`SHIPPED` for which there are figures.

    Returns:
        The new tables' folders.

    Raises:
        FormatError: The source is damaged, unsafe or of another format, or a table is of another space
            or of a dataset without figures; nothing was written.
        TableError: A table cannot be read.
    """
    figures, origin = _read(source)
    if tables is None:
        shipped = paths.artefacts("data")
        tables = [shipped[SHIPPED[dataset]] for dataset in figures if SHIPPED[dataset] in shipped]
    made = []
    for folder in tables:  # all of them before the first is written
        manifest = read_manifest(folder)
        table = read_table(folder, manifest)
        made.append((with_hardware(table, figures, str(source)), _about(manifest, origin)))
    folders = []
    for done, (table, about) in enumerate(made, 1):
        folders.append(out / table.name)
        write_table(folders[-1], table, about)
        if progress is not None:
            progress(done, len(made))
    return folders


def with_hardware(table: Table, figures: Mapping[str, _Figures], source: str) -> Table:
    """Return a copy of a NAS-Bench-201 table with a static column for each metric.

    Args:
        table: Any of the space, complete or not.
        figures: ``{dataset: {metric: (15,625,)}}`` in the order of the official index.
        source: Where they are from, for messages.

    Raises:
        FormatError: The table is of another space, of a dataset without figures, or has them already.
    """
    dataset = table.trainings[table.default_training].dataset.removesuffix("-valid")
    if table.space != NasBench201.name or dataset not in figures:
        raise FormatError(
            f"{source} holds figures of the space {NasBench201.name} for {', '.join(figures)}; the table "
            f"{table.name} is of {table.space} on {dataset}."
        )
    taken = table.static.keys() & METRICS.keys()
    if taken:
        raise FormatError(f"The table {table.name} has {', '.join(sorted(taken))} already.")
    space = NasBench201()
    rows = [space.index(tuple(cell)) for cell in table.architectures.tolist()]
    columns = {
        name: Column(
            Metric(name, "none", METRICS[name].direction, METRICS[name].unit, 0.0),
            values[rows],
            f"{METRICS[name].what}; HW-NAS-Bench, as published",
        )
        for name, values in figures[dataset].items()
    }
    return table._replace(name=f"{table.name}-hw", static={**table.static, **columns})


def _read(source: Path) -> tuple[dict[str, _Figures], str]:
    """Return ``{dataset: {metric: figures}}`` and which files they are from."""
    try:
        if source.is_dir():
            found = [source / f"hw_{dataset}.csv" for dataset in SHIPPED]
            files = [path for path in found if path.is_file()]
            if not files:
                raise FormatError(
                    f"{source} holds none of {', '.join(path.name for path in found)}. Give the file "
                    "HW-NAS-Bench-v1_0.pickle, or a folder with these."
                )
        else:
            files = [source]
        if any(path.stat().st_size > _LARGEST for path in files):
            raise FormatError(
                f"{source} has more than {_LARGEST:,} bytes; the official file and its copies have less than a "
                f"tenth of that. It was not read. {_AGAIN}"
            )
        digests = [_digest(path) for path in files]
    except OSError as err:
        raise FormatError(f"{source} cannot be read ({err}). {_AGAIN}") from err
    origin = "; ".join(
        f"file {path.name}, SHA-256 {digest}" for path, digest in zip(files, digests, strict=True)
    )
    if files[0].suffix != ".csv":
        return _of_pickle(files[0]), origin
    return {_dataset_of(path): _of_csv(path) for path in files}, origin


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_pickle(path: Path) -> dict[str, _Figures]:
    with path.open("rb") as file:
        content = load_plain(file, _ALLOW, str(path), bounded=True)
    cells = content.get("nasbench201") if isinstance(content, dict) else None
    if not isinstance(cells, dict):
        got = f"the keys {', '.join(map(str, content))[:200]}" if isinstance(content, dict) else ""
        raise FormatError(
            f"{path}: expected a dict with the key 'nasbench201', got {type(content).__name__} {got}".strip()
            + f". {_AGAIN}"
        )
    figures = {}
    for dataset in SHIPPED:
        metrics = cells.get(dataset)
        needed = METRICS.keys() - {_OPTIONAL}
        if not isinstance(metrics, dict) or not needed <= metrics.keys():
            has = ", ".join(map(str, metrics)) if isinstance(metrics, dict) else "none of them"
            raise FormatError(
                f"{path}, 'nasbench201', {dataset!r}: expected {', '.join(METRICS)}; got {has[:400]}. {_AGAIN}"
            )
        _check_order(metrics.get("config"), f"{path}, {dataset!r}")
        figures[dataset] = {
            name: _numbers(metrics[name], f"{path}, {dataset!r}, {name!r}")
            for name in METRICS
            if name in metrics
        }
    return figures


def _check_order(configs: object, where: str) -> None:
    """Refuse figures that stand in another order than the official index, where the file says so."""
    if configs is None:
        return
    space = NasBench201()
    if isinstance(configs, dict):
        configs = [configs.get(index) for index in range(len(configs))]
    if not isinstance(configs, (list, tuple)) or len(configs) != _SIZE:
        raise FormatError(f"{where}, 'config': expected a list of {_SIZE:,} networks. {_AGAIN}")
    for index, config in enumerate(configs):
        expected = space.format(space.unindex(index))
        got = config.get("arch_str") if isinstance(config, dict) else config
        if got != expected:
            raise FormatError(
                f"{where}, 'config', record {index}: expected the network {expected}, got "
                f"{str(got)[:200]}. The file is not in the order of the official index. {_AGAIN}"
            )


def _numbers(values: object, where: str) -> NDArray[np.float64]:
    """Return one metric's figures as float64, ``(15,625,)``; NaN where the source has none."""
    if isinstance(values, NumberArray):
        values = values.array
    elif not isinstance(values, (list, tuple)):
        raise FormatError(
            f"{where}: expected a list of numbers, got {type(values).__name__}. {_AGAIN}"
        )
    elif not all(isinstance(value, (int, float, np.integer, np.floating)) for value in values):
        raise FormatError(f"{where}: expected numbers only. {_AGAIN}")
    try:
        numbers = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError) as err:
        raise FormatError(f"{where}: expected a list of numbers ({err}). {_AGAIN}") from err
    if numbers.shape != (_SIZE,):
        raise FormatError(
            f"{where}: expected {_SIZE:,} numbers, one a cell; got the shape {numbers.shape}. {_AGAIN}"
        )
    wrong = ~(np.isfinite(numbers) & ((numbers >= 0) | (numbers == _ABSENT)))
    if wrong.any():
        index = int(wrong.argmax())
        raise FormatError(
            f"{where}, record {index}: {numbers[index]} can be no such figure; expected a number of at "
            f"least 0, or -1 where there is none. {_AGAIN}"
        )
    return np.where(numbers == _ABSENT, np.nan, numbers)


def _dataset_of(path: Path) -> str:
    dataset = path.stem.removeprefix("hw_")
    if dataset not in SHIPPED:
        names = ", ".join(f"hw_{name}.csv" for name in SHIPPED)
        raise FormatError(f"{path}: the dataset is read from the name. Expected one of {names}.")
    return dataset


def _of_csv(path: Path) -> _Figures:
    figures = {name: np.full(_SIZE, np.nan) for name in METRICS}
    expected = ["net", *METRICS]
    seen = np.zeros(_SIZE, bool)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.reader(file)
            header = next(lines, [])
            if header != expected:
                raise FormatError(
                    f"{path}, line 1: expected the columns {', '.join(expected)}; got "
                    f"{', '.join(header)[:400]}."
                )
            for line in lines:
                where = f"{path}, line {lines.line_num}"
                index = _index_of(line, len(expected), where)
                if seen[index]:
                    raise FormatError(f"{where}: the cell {line[0]} stands in the file twice.")
                seen[index] = True
                for name, text in zip(METRICS, line[1:], strict=True):
                    figures[name][index] = _number(text, f"{where}, {name}")
    except (UnicodeDecodeError, csv.Error, OSError) as err:
        raise FormatError(f"{path} cannot be read as CSV ({err}). Get the file again.") from err
    if not seen.all():
        raise FormatError(
            f"{path}: expected all {_SIZE:,} cells, got {int(seen.sum()):,}; the file is cut off. Get it again."
        )
    return {name: _numbers(values.tolist(), f"{path}, {name}") for name, values in figures.items()}


def _index_of(line: list[str], width: int, where: str) -> int:
    if len(line) != width:
        raise FormatError(f"{where}: expected {width} columns, got {len(line)}.")
    try:
        codes = ast.literal_eval(line[0][:100])
        return to_index(from_naslib(codes))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as err:
        raise FormatError(
            f"{where}: {line[0][:100]!r} is no cell; expected six operation codes such as "
            f"(4, 3, 3, 0, 0, 0) ({err})."
        ) from err


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if np.isnan(value):
        raise FormatError(f"{where}: expected a number, got {text[:100]!r}.")
    return value


def _about(manifest: Mapping[str, Any], origin: str) -> dict[str, Any]:
    about: dict[str, Any] = {key: manifest[key] for key in _KEPT if key in manifest}
    about["title"] = f"{about.get('title', manifest['name'])}; with HW-NAS-Bench's devices"
    about["origin"] = (
        f"table {manifest['name']}, {manifest['hash']}: {about.get('origin', 'no origin named')}. "
        f"Devices: {origin}; figures by the HW-NAS-Bench authors"
    )
    about["licence"] = f"{about.get('licence', 'none named')}; devices' figures: MIT (HW-NAS-Bench)"
    about["citation"] = [*about.get("citation", []), _CITATION]
    return about
