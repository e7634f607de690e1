"""Tables from the official files of NAS-Bench-201 (``.pth``) and NATS-Bench (``.pickle.pbz2``).

What is read: :mod:`nats_files`; what the numbers are: :mod:`nats_tables`. One table for each dataset, each way
of training apart: its schedule, and training on the training images or on those and the validation images.

Dong and Yang, "NAS-Bench-201", ICLR 2020; Dong, Liu, Musial and Gabrys, "NATS-Bench", IEEE TPAMI 2021.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from nasbench_tab.benchmarks.tablefile import write_table
from nasbench_tab.errors import FormatError
from nasbench_tab.importers.formats import Progress
from nasbench_tab.importers.nats_files import read_records
from nasbench_tab.importers.nats_records import ArchRecord, Meta
from nasbench_tab.importers.nats_tables import Collector, Plan
from nasbench_tab.importers.scratch import scratch_folder
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.spaces.nats_size import NatsSize

__all__ = ["import_nasbench201", "import_nats_sss", "import_nats_tss"]

_SHORT, _LONG = (111, 777), (777, 888, 999)
_TOPOLOGY = Plan(
    "nats-tss", NasBench201(), {"12": (12, _SHORT), "200": (200, _LONG)}, "200", synthetic=True
)
_SIZE = Plan(
    "nats-sss",
    NatsSize(),
    {"01": (1, (777,)), "12": (12, _LONG), "90": (90, (777,))},
    "90",
    synthetic=True,
)
_ANY: tuple[int, ...] = (111, 777, 888, 999)
_OLDER = {"less": (12, _ANY), "full": (200, _ANY)}
_VERSIONS = {version: f"NAS-Bench-201-v1_{version}" for version in ("0", "1")}

_TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16-120": "ImageNet16-120"}
_NATS_PAPER = (
    "Dong, Liu, Musial and Gabrys, NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size, "
    "IEEE TPAMI 2021"
)
_NB201_PAPER = "Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search, ICLR 2020"
_LICENCE = "MIT (Copyright (c) Xuanyi Dong)"
_RECIPE = (
    "SGD with Nesterov momentum 0.9, learning rate 0.1 with cosine annealing to 0, weight decay 5e-4, batch 256, "
    "random flip and crop; each schedule is a training of its own"
)
_LACKS = ["measured training times (they are synthetic, the same for every epoch and seed)"]

_UNTIL_THE_END = (
    "before the last of 200 epochs: test accuracy of CIFAR-10 trained on half of its training images, and "
    "validation and test accuracy apart from each other on the other datasets"
)


def import_nats_tss(
    source: Path, out: Path, *, progress: Progress | None = None, partial: bool = False
) -> list[Path]:
    """Make the tables ``nats-tss-<dataset>`` of NATS-Bench's topology space.

    Args:
        source: ``NATS-tss-v1_0-3ffb9.pickle.pbz2``, or the folder or tar ``NATS-tss-v1_0-3ffb9-simple``.
        out: Where the tables' folders go.
        progress: Called with the architectures that were read, and that there are.
        partial: Whether a source that lacks architectures makes tables of those that it has.

    Returns:
        The tables' folders.

    Raises:
        FormatError: The source is missing, damaged, incomplete or of another format.
        UnsafePickleError: It names something that plain data does not need.
        ResultsError: The disk is full, or cannot be written to.
    """
    about = {
        "licence": _LICENCE,
        "citation": [_NATS_PAPER, _NB201_PAPER],
        "protocol": f"Every cell in the published network (16 channels, 5 cells a stage): {_RECIPE}.",
        "lacks": [
            *_LACKS,
            _UNTIL_THE_END,
        ],
    }
    title = "NATS-Bench, topology space"
    return _imported(_TOPOLOGY, source, out, title, about, progress, partial)


def import_nats_sss(
    source: Path, out: Path, *, progress: Progress | None = None, partial: bool = False
) -> list[Path]:
    """Make the tables ``nats-sss-<dataset>`` of NATS-Bench's size space; see :func:`import_nats_tss`.

    Args:
        source: ``NATS-sss-v1_0-50262.pickle.pbz2``, or the folder or tar ``NATS-sss-v1_0-50262-simple``.
        out: See :func:`import_nats_tss`.
        progress: Likewise.
        partial: Likewise.

    Raises:
        FormatError: See :func:`import_nats_tss`.
        UnsafePickleError: Likewise.
        ResultsError: Likewise.
    """
    about = {
        "licence": _LICENCE,
        "citation": [_NATS_PAPER],
        "protocol": f"One cell in a network of five layers, each with a width of its own: {_RECIPE}.",
        "lacks": [*_LACKS, "more than one seed after 1 and after 90 epochs"],
    }
    return _imported(_SIZE, source, out, "NATS-Bench, size space", about, progress, partial)


def import_nasbench201(
    source: Path, out: Path, *, progress: Progress | None = None, partial: bool = False
) -> list[Path]:
    """Make the tables ``nb201v10-<dataset>`` or ``nb201v11-<dataset>``; see :func:`import_nats_tss`.

    Args:
        source: ``NAS-Bench-201-v1_0-e61699.pth`` or ``NAS-Bench-201-v1_1-096897.pth``; the version is told
            by the file's name.
        out: See :func:`import_nats_tss`.
        progress: Likewise.
        partial: Likewise.

    Raises:
        FormatError: See :func:`import_nats_tss`.
        UnsafePickleError: Likewise.
        ResultsError: Likewise.
    """
    version = next((v for v, start in _VERSIONS.items() if source.name.startswith(start)), None)
    if version is None:
        raise FormatError(
            f"{source}: its name does not say which version it is. Expected a name that starts with "
            f"{' or '.join(_VERSIONS.values())}, for example NAS-Bench-201-v1_1-096897.pth; a newer version cannot "
            "be read. Give the file its published name."
        )
    about = {
        "licence": _LICENCE,
        "citation": [_NB201_PAPER],
        "protocol": f"Every cell in the published network (16 channels, 5 cells a stage): {_RECIPE}.",
        "lacks": [_UNTIL_THE_END],
    }
    plan = Plan(f"nb201v1{version}", _TOPOLOGY.space, _OLDER, "full", synthetic=False)
    title = f"NAS-Bench-201 v1.{version}"
    return _imported(plan, source, out, title, about, progress, partial)


def _imported(
    plan: Plan,
    source: Path,
    out: Path,
    title: str,
    about: dict[str, Any],
    progress: Progress | None,
    partial: bool,
) -> list[Path]:
    with (
        scratch_folder(out) as folder,
        closing(Collector(plan, folder, str(source))) as collector,
    ):
        size, done = len(collector.seen), 0

        def take(index: int, records: dict[str, ArchRecord]) -> None:
            nonlocal done
            collector.take(index, records)
            done += 1
            if progress is not None:
                progress(done, size)

        _check(plan, source, read_records(source, take), collector, partial)
        folders = []
        for dataset, (name, make) in zip(_TITLES, collector.tables().items(), strict=True):
            table = make()
            words = {
                "title": f"{title}, {_TITLES[dataset]}",
                "origin": f"{source.name}, {done} of {size} architectures; by the benchmark's authors",
                "coverage": f"{done:,} of {size:,} architectures",
                "seed_note": "The source's own seeds; an architecture has those that it was trained with.",
                **about,
            }
            write_table(out / name, table, words)
            folders.append(out / name)
    return folders


def _check(
    plan: Plan, source: Path, meta: Meta | None, collector: Collector, partial: bool
) -> None:
    """Raise FormatError where the source is not what it says it is, or not all of it."""
    size = len(collector.seen)
    if meta is not None:
        space = plan.space
        expected = tuple(space.format(space.unindex(index)) for index in range(size))
        if meta.architectures != expected:
            raise FormatError(
                f"{source}: its list of architectures is not that of {space.name}: {size} in the official order "
                f"were expected, {len(meta.architectures)} got. This is another benchmark's file, or one of a "
                "newer version."
            )
        known = set(np.flatnonzero(collector.seen).tolist())
        if meta.evaluated and not meta.evaluated <= known:
            missing = min(meta.evaluated - known)
            raise FormatError(
                f"{source} says that it holds architecture {missing}, but does not. It is damaged; get it from "
                "its publisher again."
            )
    absent = np.flatnonzero(~collector.seen)
    if len(absent) and not partial:
        raise FormatError(
            f"{source}: {len(absent)} of {size} architectures are missing, the first is {absent[0]}. Get the "
            "complete folder or file, or ask for a table of those that are there (partial)."
        )
