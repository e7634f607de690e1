"""NAS-Bench-Graph's nine tables, from the package nas-bench-graph 1.4.0.

The package holds, for each architecture, the mean validation and test performance of three
trainings, the latency and the number of parameters. It has no single trainings, no learning curves
and no training times. Nothing is converted: performance stays a fraction from 0 to 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nasbench_tab.benchmarks.tablefile import Column, Table, Training, write_table
from nasbench_tab.errors import InvalidArchitectureError, TableError
from nasbench_tab.importers.packages import package_file
from nasbench_tab.importers.unpickle import NUMPY_SCALARS, read_plain
from nasbench_tab.records import Metric
from nasbench_tab.spaces.nasbench_graph import NasBenchGraph, NasBenchGraphProteins

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nasbench_tab.records import Split

__all__ = ["DATASETS", "build", "prepare"]

PACKAGE, PACKAGE_VERSION = "nas-bench-graph", "1.4.0"

#: The source gives the mean of three trainings and names no seeds.
SEED = -1


class _Source(NamedTuple):
    member: str
    sha256: str
    dataset: str
    epochs: int
    split: str
    measure: str = "accuracy"
    parameters_note: str = ""


_MEMBER = "nas_bench_graph/light/{}.bench"
_PLANETOID = "the public split: 20 training nodes per class, 500 validation and 1,000 test nodes"
_PER_CLASS = "20 training and 30 validation nodes per class, the other {} for the test"

DATASETS = {
    "nbgraph-cora": _Source(
        _MEMBER.format("cora"),
        "5e69b2f9bb08d8927d9ffd4921f8494a3cea349c9c3a461334cb9dc9e11701a8",
        "Cora",
        400,
        _PLANETOID,
    ),
    "nbgraph-citeseer": _Source(
        _MEMBER.format("citeseer"),
        "99c7f79b73372636305bf73fb32a58b63c57bd1871a152dd62ec72d984c8c50f",
        "CiteSeer",
        400,
        _PLANETOID,
    ),
    "nbgraph-pubmed": _Source(
        _MEMBER.format("pubmed"),
        "10b4dcf6cfd3a24f6059f7d541a4a872960b4adac0b3dba26abed1bb9a3d904d",
        "PubMed",
        500,
        _PLANETOID,
    ),
    "nbgraph-cs": _Source(
        _MEMBER.format("cs"),
        "71ae8469930517160b024f52db6000a4897f1aff5d765beb27bb60952ed5bd31",
        "Coauthor CS",
        400,
        _PER_CLASS.format("17,583"),
    ),
    "nbgraph-physics": _Source(
        _MEMBER.format("physics"),
        "1e309bafee0b832c8b84fa3c039c36992bc0a910238b128f26b7e9190d7f2aea",
        "Coauthor Physics",
        200,
        _PER_CLASS.format("34,243"),
        parameters_note="; for 1,113 architectures a mean of trainings with networks of different "
        "sizes, since it is no whole number",
    ),
    "nbgraph-photo": _Source(
        _MEMBER.format("photo"),
        "5511b4dc3f63fa988792177227db7901290fb9b27fc6c02e3036b29e134ed6df",
        "Amazon Photo",
        500,
        _PER_CLASS.format("7,087"),
    ),
    "nbgraph-computers": _Source(
        _MEMBER.format("computers"),
        "fdb3dc0cf405d62322f0ab9614b2083c2a5e6576c2f43e4f2214be64bc62b1b3",
        "Amazon Computers",
        500,
        _PER_CLASS.format("12,881"),
    ),
    "nbgraph-arxiv": _Source(
        _MEMBER.format("arxiv"),
        "7ee21a7653297a806c0ed1be3efe6ecc06acc84e48e942da0bfde0e5d287debe",
        "ogbn-arxiv",
        500,
        "the official split by year, 48,603 test nodes",
    ),
    "nbgraph-proteins": _Source(
        _MEMBER.format("proteins"),
        "b9e7fb0902bda44fec32c948e5fde822fb22d38d674c52e43ace5197378f2d21",
        "ogbn-proteins",
        500,
        "the official split by species",
        measure="roc_auc",
    ),
}

_TRAINING = "published"

_CITATION = (
    "Qin, Zhang, Wang, Zhang and Zhu, NAS-Bench-Graph: Benchmarking Graph Neural Architecture "
    "Search, NeurIPS 2022 Datasets and Benchmarks"
)


def prepare(name: str, directory: Path) -> str:
    """Build the table ``name`` into ``directory`` from the installed package; return its hash.

    Raises:
        TableError: The package is missing, is another version or its file was altered.
    """
    source = DATASETS[name]
    path = package_file(PACKAGE, PACKAGE_VERSION, source.member, source.sha256)
    return write_table(directory, build(name, read_plain(path, NUMPY_SCALARS)), _about(name))


def build(name: str, records: dict[int, dict[str, float]]) -> Table:
    """Return the table of one dataset from the package's records, by ascending hash.

    Args:
        name: A key of :data:`DATASETS`.
        records: ``{published hash: {valid_perf, perf, latency, para}}``.

    Raises:
        TableError: An architecture or a figure is missing, or a hash is none of the space.
    """
    source, space = DATASETS[name], _space(name)
    try:
        cells = [space.unindex(number) for number in sorted(records)]
    except InvalidArchitectureError as err:
        raise TableError(f"{source.member}: {err}") from err
    if len(cells) != space.size:
        raise TableError(
            f"{source.member}: {space.size} architectures expected, {len(cells)} found. "
            f"Get {PACKAGE} {PACKAGE_VERSION} again."
        )
    columns = _training_columns(source, records)
    training = Training(
        dataset=source.dataset,
        objective=f"valid_{source.measure}",
        epochs_kind="separate trainings",
        seconds_kind="none",
        seeds=(SEED,),
        epochs=(source.epochs,),
        columns=columns,
    )
    return Table(
        name=name,
        space=space.name,
        by_index=False,
        architectures=np.array(cells, np.uint8),
        trainings={_TRAINING: training},
        default_training=_TRAINING,
        static=_static_columns(source, records),
    )


def _space(name: str) -> NasBenchGraph:
    return NasBenchGraphProteins() if name == "nbgraph-proteins" else NasBenchGraph()


def _training_columns(source: _Source, records: dict[int, dict[str, float]]) -> dict[str, Column]:
    splits: tuple[tuple[Split, str, str], ...] = (
        ("valid", "valid_perf", "validation nodes; as published, from figures rounded to 0.001"),
        ("test", "perf", "test nodes, as published"),
    )
    what = "ROC-AUC" if source.measure == "roc_auc" else "accuracy"
    columns = {}
    for split, key, where in splits:
        metric = Metric(f"{split}_{source.measure}", split, "max", "fraction", 0.0, 1.0)
        values = _figures(source, records, key)[:, None, None]
        columns[metric.name] = Column(
            metric, values, f"mean {what} of three trainings on the {where}"
        )
    return columns


def _static_columns(source: _Source, records: dict[int, dict[str, float]]) -> dict[str, Column]:
    return {
        "latency": Column(
            Metric("latency", "none", "min", "s", 0.0),
            _figures(source, records, "latency"),
            "as published; the source names no unit, seconds by the size of the figures",
        ),
        "parameters": Column(
            Metric("parameters", "none", "min", "M", 0.0),
            _figures(source, records, "para"),
            f"as published{source.parameters_note}",
        ),
    }


def _figures(
    source: _Source, records: dict[int, dict[str, float]], key: str
) -> NDArray[np.float64]:
    try:
        return np.array([records[number][key] for number in sorted(records)], np.float64)
    except KeyError as err:
        raise TableError(
            f"{source.member}: an architecture has no figure {err}. "
            f"Get {PACKAGE} {PACKAGE_VERSION} again."
        ) from err


def _about(name: str) -> dict[str, Any]:
    source, space = DATASETS[name], _space(name)
    return {
        "title": f"NAS-Bench-Graph on {source.dataset}",
        "origin": f"package {PACKAGE} {PACKAGE_VERSION}, file {source.member}, SHA-256 "
        f"{source.sha256}; figures by the NAS-Bench-Graph authors",
        "licence": "figures and package: Apache-2.0",
        "citation": [_CITATION],
        "protocol": f"All {space.size:,} architectures of the space {space.name}, trained for node "
        f"classification on {source.dataset} with one set of hyper-parameters for the dataset; "
        f"{source.split}. {source.epochs} epochs: the number varies by dataset (200 to 500), comes "
        "from the authors' table of settings as reprinted by others, since the package does not "
        "hold it, and only the one reported value of each training is known.",
        "seed_note": "Every figure is the mean of three trainings with different seeds; the source "
        "does not hold the three. That mean has the seed -1 here, so a search sees less noise than "
        "a single training has, and no deviation over seeds can be given.",
        "lacks": [
            "training time",
            "learning curves",
            "single-seed results",
            "training performance and losses",
        ],
    }
