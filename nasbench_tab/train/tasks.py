"""A task names everything but the cell and the seed: space, dataset, split and recipe."""

from __future__ import annotations

from typing import NamedTuple

from nasbench_tab.errors import unknown_name
from nasbench_tab.train.recipes import RECIPES, Recipe

__all__ = ["TASKS", "Task", "task_named"]


class Task(NamedTuple):
    """What a run log's runs have in common.

    Attributes:
        name: Of the task, and of the table that its runs become.
        space: Search space, by its registered name.
        dataset: Key of :func:`nasbench_tab.train.datasets.load_images`.
        split: Name of the split's index file.
        recipe: How it is trained.
        canonical: Train the canonical cell, so that identical networks share one entry.
    """

    name: str
    space: str
    dataset: str
    split: str
    recipe: Recipe
    canonical: bool = True


#: What ships. ``nb201-digits`` trains in a second and is there to try things out.
TASKS = {
    task.name: task
    for task in (
        Task(
            "nb201-fashion",
            "nasbench201",
            "fashion-mnist",
            "fashion-small",
            RECIPES["small-5"]._replace(side=12),
        ),
        # A space too large for a table; docs/training.md, "A large space".
        Task(
            "macro-fashion",
            "nasbench201-macro",
            "fashion-mnist",
            "fashion-macro",
            RECIPES["small-5"]._replace(average=0.97),
        ),
        Task(
            "nb201-digits",
            "nasbench201",
            "digits",
            "digits",
            RECIPES["small-5"]._replace(side=None, epochs=4, batch=64, average=0.9),
        ),
        Task(
            "nb201-cifar10-12",
            "nasbench201",
            "cifar10",
            "cifar10-half",
            RECIPES["nb201-12"],
            canonical=False,
        ),
        Task(
            "nb201-cifar10-200",
            "nasbench201",
            "cifar10",
            "cifar10-half",
            RECIPES["nb201-200"],
            canonical=False,
        ),
    )
}


def task_named(name: str) -> Task:
    """Return a shipped task.

    Raises:
        UnknownNameError: There is none of this name.
    """
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    return TASKS[name]
