"""Which trainings a collection makes; and the tasks that name what they need."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from nasbench_tab.errors import InvalidArgumentError, UnknownNameError
from nasbench_tab.records import Architecture
from nasbench_tab.registry import load_space
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.spaces.nasbench201_macro import NasBench201Macro
from nasbench_tab.train.datasets import DATASETS
from nasbench_tab.train.networks import SKELETONS
from nasbench_tab.train.plan import collection_order, draws, planned
from nasbench_tab.train.recipes import RECIPES
from nasbench_tab.train.splits import split_names
from nasbench_tab.train.tasks import TASKS, task_named

SPACE, LARGE = NasBench201(), NasBench201Macro()


@pytest.fixture(scope="module")
def order() -> list[Architecture]:
    return collection_order(SPACE)


def test_order_holds_every_distinct_network_once(order: list[Architecture]) -> None:
    assert len(order) == len(set(order)) == 5_260
    assert all(SPACE.canonical(cell) == cell for cell in order)


def test_order_never_changes(order: list[Architecture]) -> None:
    digest = hashlib.sha256(np.array(order, np.uint8).tobytes()).hexdigest()
    assert digest == "c922d80c56ce034a0c46d00465fe13c0dc6053fc889265f9b638bf0e20574c0c"
    assert collection_order(SPACE) == order
    assert all(type(op) is int for cell in order[:10] for op in cell)


def test_order_depends_on_its_seed_only_in_order(order: list[Architecture]) -> None:
    other = collection_order(SPACE, seed=1)
    assert other != order
    assert set(other) == set(order)


def test_every_beginning_is_a_sample(order: list[Architecture]) -> None:
    """The mean number of 3x3 convolutions in the first 500 is that of all, within 4 deviations."""
    convolutions = np.array([cell.count(3) for cell in order])
    error = convolutions.std() / np.sqrt(500)
    assert abs(convolutions[:500].mean() - convolutions.mean()) < 4 * error


# --- A space too large to list ------------------------------------------------------------------------


def test_draws_never_change() -> None:
    found = draws(LARGE, 500)
    digest = hashlib.sha256(np.array(found, np.uint8).tobytes()).hexdigest()
    assert digest == "78db94c23e98e095ac4dc24d8ed9c40601fdcf3b70fec5ad841224a7f98765e4"
    assert all(type(op) is int for op in found[0])
    assert draws(LARGE, 500, seed=1) != found


def test_draws_are_distinct_networks_and_the_first_of_many_are_those_of_few() -> None:
    found = draws(LARGE, 500)
    assert len(set(found)) == 500
    assert all(LARGE.canonical(cell) == cell for cell in found)
    assert draws(LARGE, 30) == found[:30]
    assert draws(LARGE, 0) == []


def test_draws_are_uniform_in_every_position() -> None:
    """Widths and numbers of cells stay as drawn but for a few in a hundred."""
    found = np.array(draws(LARGE, 2_000))
    for position in range(6, 12):
        n = LARGE.choices[position]
        counts = np.bincount(found[:, position], minlength=n)
        assert counts == pytest.approx([2_000 / n] * n, rel=0.25)  # over 4 deviations


@pytest.mark.parametrize(("space", "n"), [(SPACE, 5), (LARGE, 1_562_501)])
def test_draws_are_few_and_of_large_spaces(space: NasBench201, n: int) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^{n} draws of {space.name}"):
        draws(space, n)


# --- Seeds --------------------------------------------------------------------------------------------


def test_every_eighth_cell_gets_all_seeds() -> None:
    cells = [(i,) for i in range(20)]
    found = planned(cells)
    assert [cell for cell, seed in found if seed == 0] == cells
    for seed in (1, 2):
        assert [cell for cell, other in found if other == seed] == [(0,), (8,), (16,)]
    assert len(found) == len(set(found)) == 26
    assert found[:4] == [((0,), 0), ((0,), 1), ((0,), 2), ((1,), 0)]


def test_a_longer_list_only_adds_trainings() -> None:
    cells = [(i,) for i in range(30)]
    assert planned(cells[:13]) == planned(cells)[: len(planned(cells[:13]))]


def test_seeds_and_spacing_are_the_callers() -> None:
    assert planned([(0,), (1,)], seeds=(7,)) == [((0,), 7), ((1,), 7)]
    assert planned([(0,), (1,)], seeds=(5, 4), every=1) == [
        ((0,), 5),
        ((0,), 4),
        ((1,), 5),
        ((1,), 4),
    ]
    assert planned([]) == []


# --- Tasks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(TASKS))
def test_tasks_name_what_is_there(name: str) -> None:
    task = task_named(name)
    assert task.name == name
    assert load_space(task.space).name == task.space
    assert task.dataset in DATASETS
    assert task.split in split_names()
    assert task.recipe.skeleton in SKELETONS


def test_published_recipes_train_the_cell_as_it_stands() -> None:
    for task, recipe in (("nb201-cifar10-12", "nb201-12"), ("nb201-cifar10-200", "nb201-200")):
        assert TASKS[task].recipe == RECIPES[recipe]
        assert not TASKS[task].canonical
    assert TASKS["nb201-fashion"].canonical
    assert TASKS["nb201-digits"].canonical


def test_unknown_tasks_are_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown task 'digits'.*nb201-digits"):
        task_named("digits")


def test_recipes_are_plain_data() -> None:
    for task in TASKS.values():
        assert json.loads(json.dumps(task.recipe._asdict())) == task.recipe._asdict()
