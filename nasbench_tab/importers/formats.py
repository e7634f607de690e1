"""Which official formats can be imported, and by which function.

An importer is called as ``function(source, out, progress=...)``: it reads the file or folder ``source``,
writes one folder ``out/<table>`` for each table that it makes, and returns those folders. A table is
written whole or not at all. ``progress(done, total)`` counts in what the format has: records,
architectures or bytes.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from nasbench_tab.errors import FormatError, InvalidArgumentError, unknown_name

__all__ = ["FORMATS", "Format", "Progress", "import_official"]

#: Called with what is done and what there is to do.
Progress: TypeAlias = Callable[[int, int], None]


class Format(NamedTuple):
    """An official format: the importer as ``module:function``, what it reads and what it makes."""

    importer: str
    reads: str
    makes: str


FORMATS: dict[str, Format] = {
    "nasbench101": Format(
        "nasbench_tab.importers.nasbench101:import_nasbench101",
        "nasbench_full.tfrecord or nasbench_only108.tfrecord",
        "nasbench101 or nasbench101-only108",
    ),
    "hw-nas-bench": Format(
        "nasbench_tab.importers.hw_nas_bench:import_hw_nas_bench",
        "HW-NAS-Bench-v1_0.pickle, or hw_<dataset>.csv files",
        "copies of the NAS-Bench-201 tables with latency and energy on six devices",
    ),
    "nats-tss": Format(
        "nasbench_tab.importers.nats:import_nats_tss",
        'NATS-tss-v1_0-3ffb9.pickle.pbz2, or its "simple" folder or tar',
        "nats-tss-cifar10, nats-tss-cifar100, nats-tss-imagenet16-120",
    ),
    "nats-sss": Format(
        "nasbench_tab.importers.nats:import_nats_sss",
        'NATS-sss-v1_0-50262.pickle.pbz2, or its "simple" folder or tar',
        "nats-sss-cifar10, nats-sss-cifar100, nats-sss-imagenet16-120",
    ),
    "nasbench201": Format(
        "nasbench_tab.importers.nats:import_nasbench201",
        "NAS-Bench-201-v1_0-e61699.pth or NAS-Bench-201-v1_1-096897.pth",
        "nb201v10-<dataset> or nb201v11-<dataset> for cifar10, cifar100, imagenet16-120",
    ),
    "nasbench301": Format(
        "nasbench_tab.importers.nasbench301:import_nasbench301",
        "the log folders <optimizer>/results_<i>.json, or a zip or tar of them",
        "nb301",
    ),
    "nasbench-nlp": Format(
        "nasbench_tab.importers.nasbench_nlp:import_nasbench_nlp",
        "logs.zip, a folder of its files, or the folder of the authors' repository",
        "nasbench-nlp-ptb, nasbench-nlp-wikitext-2",
    ),
    "nasbench-macro": Format(
        "nasbench_tab.importers.nasbench_macro:import_nasbench_macro",
        "nas-bench-macro_cifar10.json",
        "nasbench-macro-cifar10",
    ),
}


def import_official(
    name: str, source: Path, out: Path, *, progress: Progress | None = None, **options: Any
) -> list[Path]:
    """Make tables of an official benchmark's files.

    Args:
        name: A key of :data:`FORMATS`.
        source: The file or folder as its publisher made it.
        out: Where the tables' folders go.
        progress: See the module's docstring.
        options: What only this importer takes, ``partial=True`` for example.

    Returns:
        The tables' folders.

    Raises:
        UnknownNameError: No such format.
        InvalidArgumentError: The format has no such option.
        FormatError: The source is missing, damaged, unsafe or of another format; nothing was written.
        TableError: What is in it breaks a rule of the table format; that table was not written.
        ResultsError: The disk is full, or ``out`` cannot be written to; that table was not written.
    """
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS)
    module, _, function = FORMATS[name].importer.partition(":")
    run: Callable[..., list[Path]] = getattr(importlib.import_module(module), function)
    known = sorted(set(inspect.signature(run).parameters) - {"source", "out", "progress"})
    for option in options:
        if option not in known:
            raise InvalidArgumentError(
                f"The format {name} has no option {option!r}; it has {', '.join(known) or 'none'}."
            )
    try:
        source.stat()
        source.name.encode()  # a manifest names it
    except (OSError, ValueError) as err:
        raise FormatError(
            f"{str(source)[:300]!r} cannot be read ({getattr(err, 'strerror', None) or err}). Expected for {name}: "
            f"{FORMATS[name].reads}."
        ) from err
    return run(source, out, progress=progress, **options)
