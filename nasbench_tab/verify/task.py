"""Which task trains what a benchmark is about: found by its recipe, or by the name of a published table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.train.recipes import recipe_hash
from nasbench_tab.train.splits import load_split, split_hash
from nasbench_tab.train.tasks import TASKS, Task

__all__ = ["Found", "find_task"]

#: Published tables by name and epochs: the recipe is known from the paper, the split is ours.
_PUBLISHED = {
    ("nb201-cifar10", 12): "nb201-cifar10-12",
    ("nb201-cifar10", 200): "nb201-cifar10-200",
}
#: How tables of logs name both in their words.
_HASHES = re.compile("split (sha256:[0-9a-f]{64}), recipe (sha256:[0-9a-f]{64})")
#: What a training logs of the validation images.
_OBJECTIVES = ("valid_accuracy", "valid_loss")


class Found(NamedTuple):
    """A benchmark's task.

    Attributes:
        task: How its cells are trained.
        split: Hash of the task's split.
        recipe: Hash of the task's recipe.
        same: Whether the benchmark's own data come from this recipe and split, not only from what a
            paper describes.
    """

    task: Task
    split: str
    recipe: str
    same: bool


def find_task(bench: Benchmark) -> Found:
    """Return the task that trains the architectures of ``bench`` as its data were trained.

    A table of logs and a surrogate carry the hashes of recipe and split, whatever they are called; a
    published table is known by its name, a surrogate that was fitted on it by its manifest.

    Raises:
        InvalidArgumentError: There is none, or it does not train for the benchmark's objective.
    """
    if bench.stateful:
        raise InvalidArgumentError(
            f"{bench.name} trains at every query: its values are real already, there is nothing to verify."
        )
    hashes = _hashes(bench)
    if hashes is None:
        name = next((_PUBLISHED[key] for key in _names(bench) if key in _PUBLISHED), None)
        if name is None:
            raise InvalidArgumentError(
                f"{bench.name} ({bench.space.name} on {bench.dataset or 'a dataset without name'}) cannot be "
                "retrained: neither does its manifest carry the hashes of split and recipe, as tables and "
                "surrogates of run logs do, nor is a recipe of its publishers here. What is missing is a "
                f"task: network, images, split and recipe ({', '.join(sorted(TASKS))} have one)."
            )
        task = TASKS[name]
        found = Found(task, split_hash(load_split(task.split)), recipe_hash(task.recipe), False)
    else:
        found = _by_hash(bench, *hashes)
    objective, epochs = bench.objective.name, found.task.recipe.epochs
    if objective not in _OBJECTIVES:
        raise InvalidArgumentError(
            f"{bench.name} is searched by {objective!r}, which trainings of the task {found.task.name} do not "
            f"log; they log {' and '.join(_OBJECTIVES)}."
        )
    if bench.epochs[-1] > epochs:
        raise InvalidArgumentError(
            f"{bench.name} has values at epoch {bench.epochs[-1]}; the task {found.task.name} trains {epochs}."
        )
    return found


def _by_hash(bench: Benchmark, split: str, recipe: str) -> Found:
    for task in TASKS.values():
        own = (task.space, recipe_hash(task.recipe))
        if own == (bench.space.name, recipe) and split_hash(load_split(task.split)) == split:
            return Found(task, split, recipe, True)
    raise InvalidArgumentError(
        f"{bench.name} comes from trainings with the recipe {recipe} and the split {split} on "
        f"{bench.space.name}, which no task of this release has ({', '.join(sorted(TASKS))}). Verify it with "
        "the release that trained it."
    )


def _hashes(bench: Benchmark) -> tuple[str, str] | None:
    """Return the hashes of split and recipe behind a benchmark, where it carries them."""
    protocol: Any = bench.about.get("protocol", "")
    if isinstance(
        protocol, dict
    ):  # of a surrogate: by key if fitted on logs, else in a table's words
        if protocol.get("split") and protocol.get("recipe"):
            return str(protocol["split"]), str(protocol["recipe"])
        protocol = protocol.get("description", "")
    match = _HASHES.search(str(protocol))
    return None if match is None else (match[1], match[2])


def _names(bench: Benchmark) -> Iterator[tuple[str, int]]:
    """Yield the names of the tables that a benchmark may come from, with its epochs."""
    if not bench.predicts:
        yield bench.name, bench.epochs[-1]
    for line in dict(bench.about.get("about", {})).get("data", []):
        kind, _, rest = str(line).partition(" ")
        if kind == "table" and rest:
            yield rest.split()[0], bench.epochs[-1]
