"""NAS-Bench-Macro's file nas-bench-macro_cifar10.json as a table.

The file holds, for each of 6,561 strings, the CIFAR-10 *test* accuracies (%) of three trainings, their
mean and deviation, parameters and FLOPs (here: MACs). There is no validation accuracy: the authors
trained on all 50,000 training images, and their published search looks at these test accuracies.

This project's searches see validation values only, so the table that is made of the file as it is
names the test accuracy as its objective and is for looking things up; searches refuse it. With
``test_as_validation`` the same numbers stand in for a validation accuracy, under a name of their own,
and the manifest says so first: what a search finds there is chosen on the test set.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_tab.benchmarks.tablefile import Column, Table, Training, write_table
from nasbench_tab.errors import FormatError, InvalidArchitectureError
from nasbench_tab.importers.plainjson import parsed, read_file
from nasbench_tab.records import Metric
from nasbench_tab.spaces.nasbench_macro import N_ARCHITECTURES, NasBenchMacro

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nasbench_tab.importers.formats import Progress

__all__ = ["AS_VALIDATION", "NAME", "build", "import_nasbench_macro"]

NAME = "nasbench-macro-cifar10"
#: The objective's name with ``test_as_validation``.
AS_VALIDATION = "test_as_valid_accuracy"

_FILE = "nas-bench-macro_cifar10.json"
_MOST = 8 * 2**20  # bytes; the published file has 1.2 million
_EPOCHS = 50
_TRAINING = f"{_EPOCHS}-epochs"
#: The released training script's, in this order.
_SEEDS = (0, 1, 2)
_CITATION = (
    "Su, Huang, Li, You, Wang, Qian, Zhang and Xu, Prioritized Architecture Sampling with Monte-Carlo "
    "Tree Search, CVPR 2021"
)
_FIELDS = ("test_acc", "mean_acc", "std", "params", "flops")


def import_nasbench_macro(
    source: Path,
    out: Path,
    *,
    progress: Progress | None = None,
    test_as_validation: bool = False,
) -> list[Path]:
    """Make the table ``nasbench-macro-cifar10``.

    Args:
        source: ``nas-bench-macro_cifar10.json``, or a folder that holds it.
        out: Where the table's folder goes.
        progress: Counts architectures.
        test_as_validation: Let searches see the test accuracies: see the module's docstring.

    Returns:
        The table's folder.

    Raises:
        FormatError: The file is damaged, incomplete or another one.
        TableError: It breaks a rule of the table format.
    """
    path = source / _FILE if source.is_dir() else source
    data = read_file(path, _MOST)
    table = build(parsed(data, str(path)), str(path), progress, test_as_validation)
    digest = hashlib.sha256(data).hexdigest()
    write_table(out / NAME, table, _about(path.name, digest, test_as_validation))
    return [out / NAME]


def build(
    records: Any,
    where: str,
    progress: Progress | None = None,
    test_as_validation: bool = False,
) -> Table:
    """Return the table of what the file holds, by ascending string.

    Raises:
        FormatError: An architecture or figure is missing, or contradicts the others.
    """
    space = NasBenchMacro()
    cells = [space.unindex(number) for number in range(N_ARCHITECTURES)]
    architectures = np.array(cells, np.uint8)
    known = space.figures(architectures)
    _complete(records, space, where)
    accuracies = np.empty((N_ARCHITECTURES, len(_SEEDS)), np.float64)
    for row, cell in enumerate(cells):
        name = space.format(cell)
        expected = {"params": int(known["parameters"][row]), "flops": int(known["macs"][row])}
        accuracies[row] = _accuracies(records[name], expected, f"{where}: architecture {name}")
        if progress is not None and (row + 1) % 500 == 0:
            progress(row + 1, N_ARCHITECTURES)
    if progress is not None:
        progress(N_ARCHITECTURES, N_ARCHITECTURES)
    metric, note = _objective(test_as_validation)
    training = Training(
        dataset="cifar10",
        objective=metric.name,
        epochs_kind="separate trainings",
        seconds_kind="none",
        seeds=_SEEDS,
        epochs=(_EPOCHS,),
        columns={metric.name: Column(metric, _narrow(accuracies)[:, :, None], note)},
    )
    return Table(
        name=NAME,
        space=space.name,
        by_index=True,
        architectures=architectures,
        trainings={_TRAINING: training},
        default_training=_TRAINING,
        static={
            "parameters": _static("parameters", known["parameters"]),
            "macs": _static("macs", known["macs"]),
        },
    )


def _complete(records: Any, space: NasBenchMacro, where: str) -> None:
    if not isinstance(records, dict):
        raise FormatError(
            f"{where}: an object with {N_ARCHITECTURES:,} architectures expected, {records!r:.80} found. "
            f"Expected the published {_FILE}."
        )
    for name in records:
        try:
            space.parse(name)
        except InvalidArchitectureError as err:
            raise FormatError(f"{where}: {err} Expected the published {_FILE}.") from err
    if len(records) != N_ARCHITECTURES:
        raise FormatError(
            f"{where}: {N_ARCHITECTURES:,} architectures expected, {len(records):,} found. Get the file again."
        )


def _accuracies(record: Any, expected: dict[str, int], where: str) -> list[float]:
    """Return the three accuracies of one record, once all that can be checked of it agrees."""
    if not isinstance(record, dict) or sorted(record) != sorted(_FIELDS):
        raise FormatError(
            f"{where}: the fields {', '.join(_FIELDS)} expected, {record!r:.200} found."
        )
    values = record["test_acc"]
    if not isinstance(values, list) or len(values) != len(_SEEDS) or not all(map(_percent, values)):
        raise FormatError(
            f"{where}: test_acc must be {len(_SEEDS)} numbers from 0 to 100; got {values!r:.200}."
        )
    spread = {"mean_acc": float(np.mean(values)), "std": float(np.std(values))}
    for field, value in {**spread, **expected}.items():
        got = record[field]
        if not _number(got) or not math.isclose(got, value, rel_tol=0, abs_tol=1e-6):
            why = "of its three accuracies" if field in spread else "of its blocks"
            raise FormatError(
                f"{where}: {field} is {got!r:.100}; {value} expected {why}. The file is damaged or not "
                f"the published {_FILE}; get it again."
            )
    return [float(value) for value in values]


def _number(value: object) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and 0 <= value < 2**63


def _percent(value: object) -> bool:
    return _number(value) and 0 <= value <= 100  # type: ignore[operator]


def _narrow(values: NDArray[np.float64]) -> NDArray[Any]:
    narrow = values.astype(np.float32)
    return narrow if np.array_equal(narrow, values) else values


def _objective(test_as_validation: bool) -> tuple[Metric, str]:
    note = (
        "on the 10,000 TEST images, as published; the released training script keeps the best of the "
        f"{_EPOCHS} epochs"
    )
    if not test_as_validation:
        return Metric("test_accuracy", "test", "max", "%", 0.0, 100.0), note
    metric = Metric(AS_VALIDATION, "valid", "max", "%", 0.0, 100.0)
    return metric, f"{note}. Not a validation accuracy: it stands in for one, for searches"


def _static(name: str, counts: NDArray[np.float64]) -> Column:
    return Column(
        Metric(name, "none", "min", "M", 0.0),
        counts / 1e6,
        "as published, and as counted from the blocks",
    )


def _about(name: str, digest: str, test_as_validation: bool) -> dict[str, Any]:
    title = "NAS-Bench-Macro on CIFAR-10"
    split = (
        "NOT A VALIDATION SPLIT: the objective is a TEST accuracy, since the source has no other; imported "
        "with test_as_validation. A search here chooses on the test set, as the published ones do; its "
        "final values are optimistic and no estimate of generalisation. "
        if test_as_validation
        else "Test accuracies only: for looking up, not for searching. "
    )
    return {
        "title": f"{title}, searched on its test accuracy" if test_as_validation else title,
        "origin": f"{name}, SHA-256 {digest}; github.com/xiusu/NAS-Bench-Macro, data/",
        "licence": "Apache-2.0",
        "citation": [_CITATION],
        "protocol": f"{split}6,561 networks of eight layers, trained for {_EPOCHS} epochs on all 50,000 CIFAR-10 "
        "training images: SGD, learning rate 0.1 with cosine decay, momentum 0.9, weight decay 5e-4, "
        "batch size 256, crops and flips (settings of the released training script).",
        "seed_note": "Three trainings each; the released script seeds them 0, 1, 2 in this order, the "
        "file names no seeds. Strings that are the same network (3,969 distinct ones) hold the same three "
        "trainings.",
        "lacks": [
            "a validation split",
            "training time",
            "learning curves",
            "losses and training accuracy",
        ],
    }
