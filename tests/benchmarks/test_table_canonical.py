"""Tables of canonical cells only: they answer for every cell that is the same network."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import numpy as np
import pytest
from light import light

import nasbench_tab as nbt
from nasbench_tab import registry
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.tablefile import Column, Table, Training
from nasbench_tab.errors import InvalidArgumentError, MissingValueError
from nasbench_tab.records import Architecture, Metric, Protocol
from nasbench_tab.search.run import searched_space
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.testing import check_benchmark

from .tables import SIZE, SPACE, fresh


@cache
def families() -> dict[Architecture, list[Architecture]]:
    """All cells of each network, by its canonical cell."""
    found: dict[Architecture, list[Architecture]] = defaultdict(list)
    for index in range(SIZE):
        cell = SPACE.unindex(index)
        found[SPACE.canonical(cell)].append(cell)
    return dict(found)


def value_of(canonical: Architecture, seed: int, epoch: int) -> float:
    """A number of its own for each network, seed and epoch that float32 holds exactly."""
    number = int("".join(map(str, canonical)), 5)
    return number / 256 + seed + epoch / 4


def table_of(cells: list[Architecture]) -> Table:
    """Two seeds, two epochs; of seed 1 every third network has a training."""
    values = np.array(
        [[[value_of(c, seed, epoch) for epoch in (1, 2)] for seed in (0, 1)] for c in cells],
        np.float32,
    )
    values[np.arange(len(cells)) % 3 > 0, 1] = np.nan
    accuracy = Metric("valid_accuracy", "valid", "max", "%", 0.0, 100.0)
    seconds = np.where(np.isnan(values), np.nan, np.array([1.0, 2.0], np.float32))
    training = Training(
        dataset="digits",
        objective="valid_accuracy",
        epochs_kind="curve",
        seconds_kind="measured",
        seeds=(0, 1),
        epochs=(1, 2),
        columns={
            "valid_accuracy": Column(accuracy, values),
            "train_seconds": Column(Metric("train_seconds", "none", "min", "s", 0.0), seconds),
        },
    )
    return Table(
        name="canonical",
        space="nasbench201",
        by_index=False,
        architectures=np.array(cells, np.uint8),
        trainings={"2-epochs": training},
        default_training="2-epochs",
        static={},
    )


def some_cells(n: int = 400) -> list[Architecture]:
    """Canonical cells, those with the largest families and others."""
    by_size = sorted(families(), key=lambda cell: -len(families()[cell]))
    return by_size[: n // 2] + by_size[-n // 2 :]


def cells_of(bench: Benchmark, seed: int | None = None) -> list[Architecture]:
    return list(map(tuple, bench.measured(seed).tolist()))


@pytest.fixture
def partial() -> Benchmark:
    return fresh(table_of(some_cells()))


@pytest.fixture(scope="module")
def complete() -> Benchmark:
    return fresh(table_of(sorted(families(), key=SPACE.index)))


def test_the_families_are_those_of_the_space() -> None:
    assert len(families()) == 5_260
    assert sum(map(len, families().values())) == SIZE


def test_each_cell_of_a_family_has_its_value_however_it_is_named(partial: Benchmark) -> None:
    for canonical in some_cells()[:20]:
        expected = value_of(canonical, 0, 2)
        for cell in families()[canonical][:40]:
            index = SPACE.index(cell)
            names: list[Any] = [cell, SPACE.format(cell), index, np.int32(index)]
            assert [partial.query(name, seed=0) for name in names] == [expected] * 4
            assert partial.query(cell, epoch=1, seed=0) == value_of(canonical, 0, 1)
            assert partial.lookup(cell)[:3] == partial.lookup(canonical)[:3]
            assert partial.seeds(cell) == partial.seeds(canonical)


def test_arrays_and_lists_of_equivalent_cells() -> None:
    cells = [cell for canonical in some_cells() for cell in families()[canonical]]
    expected = [value_of(SPACE.canonical(cell), 0, 2) for cell in cells]
    indices = [SPACE.index(cell) for cell in cells]
    many: list[Any] = [
        cells,
        np.array(cells, np.uint8),
        np.array(cells, np.int64),
        np.array(indices),
        indices,
        list(map(SPACE.format, cells)),
        [cells[0], *indices[1:3], *map(SPACE.format, cells[3:])],
    ]
    for asked in many:
        bench = fresh(table_of(some_cells()))
        for _ in range(2):  # the second time from what the first has remembered
            assert bench.query(asked, seed=0).tolist() == expected


def test_other_networks_are_missing(partial: Benchmark) -> None:
    absent = next(cell for cell in families() if cell not in set(some_cells()))
    for name in (absent, SPACE.format(absent), SPACE.index(absent), families()[absent][-1]):
        with pytest.raises(MissingValueError, match="holds nothing about"):
            partial.query(name)


def test_measured_holds_all_equivalent_cells_once_and_no_others(partial: Benchmark) -> None:
    cells = cells_of(partial)
    assert len(cells) == len(set(cells))
    assert set(cells) == {cell for canonical in some_cells() for cell in families()[canonical]}
    assert cells[: len(some_cells())] == some_cells()  # the table's own come first
    assert partial.measured().dtype == np.uint8
    assert cells_of(partial) == cells
    assert np.isfinite(partial.query(partial.measured())).all()


def test_measured_of_a_seed_holds_the_families_trained_with_it(partial: Benchmark) -> None:
    trained = some_cells()[::3]
    cells = cells_of(partial, seed=1)
    assert len(cells) == len(set(cells))
    assert set(cells) == {cell for canonical in trained for cell in families()[canonical]}
    assert cells_of(partial, seed=0) == cells_of(partial)


def test_what_was_asked_before_changes_nothing() -> None:
    """A query of an equivalent cell is remembered; it still counts once."""
    bench = fresh(table_of(some_cells()))
    expected = cells_of(fresh(table_of(some_cells())))
    for canonical in some_cells()[:50]:
        bench.query(families()[canonical][-1])
        bench.query(SPACE.format(families()[canonical][0]))
    assert sorted(cells_of(bench)) == sorted(expected)


def test_a_table_with_cells_that_are_not_canonical_answers_each_with_its_own() -> None:
    """A cell that stands in the table is that row; its canonical cell stands for the others."""
    canonical = some_cells()[0]
    own = next(cell for cell in families()[canonical] if cell != canonical)
    bench = fresh(table_of([canonical, own]))
    assert bench.query(own, seed=0) == value_of(own, 0, 2)
    others = [cell for cell in families()[canonical] if cell != own]
    assert set(bench.query(others, seed=0).tolist()) == {value_of(canonical, 0, 2)}
    assert sorted(cells_of(bench)) == sorted(families()[canonical])
    assert cells_of(fresh(table_of([own]))) == [own]


def test_measured_cannot_be_written_to(partial: Benchmark) -> None:
    with pytest.raises(ValueError, match="read-only"):
        partial.measured()[0, 0] = 1


# --- Searches -----------------------------------------------------------------------------------------


def test_a_complete_table_of_canonical_cells_is_the_whole_space(complete: Benchmark) -> None:
    protocol = Protocol(evaluations=5)
    assert len(complete.measured()) == SIZE
    assert searched_space(complete, protocol) is SPACE
    assert searched_space(complete, protocol._replace(seeds=0)) is SPACE
    with pytest.raises(InvalidArgumentError, match=r"holds \d+ of the 15625 .* training seed 1"):
        searched_space(complete, protocol._replace(seeds=1))


def test_a_complete_table_answers_for_the_whole_space(complete: Benchmark) -> None:
    cells = list(map(SPACE.unindex, range(SIZE)))
    expected = [value_of(SPACE.canonical(cell), 0, 2) for cell in cells]
    assert complete.query(np.arange(SIZE), seed=0).tolist() == expected
    assert complete.query(np.array(cells), seed=0).tolist() == expected
    check_benchmark(complete, n=30)


def test_a_partial_table_is_refused_or_masked(partial: Benchmark) -> None:
    protocol = Protocol(evaluations=5)
    with pytest.raises(InvalidArgumentError, match=r"Choose missing='masked'"):
        searched_space(partial, protocol)
    space = searched_space(partial, protocol._replace(missing="masked"))
    assert isinstance(space, MaskedSpace)
    assert space.size == len(partial.measured())
    check_benchmark(partial, n=30)


@pytest.mark.parametrize("strategy", registry.strategy_names())
@pytest.mark.parametrize("seeds", ["random", "mean", 0, 1])
def test_every_strategy_stays_among_the_measured_families(
    partial: Benchmark, strategy: str, seeds: Any
) -> None:
    protocol = Protocol(evaluations=40, missing="masked", seeds=seeds)
    run = nbt.run_search(light(strategy), partial, protocol, seed=3)
    assert len(run.values) == 40
    known = set(cells_of(partial, seeds if isinstance(seeds, int) else None))
    for cell, epoch, seed, value in zip(
        map(tuple, run.architectures.tolist()), run.epochs, run.seeds, run.values, strict=True
    ):
        assert cell in known
        if seeds != "mean":
            assert value == value_of(SPACE.canonical(cell), seed, epoch)


def test_a_search_of_the_whole_space_uses_cells_that_are_not_canonical(
    complete: Benchmark,
) -> None:
    run = nbt.run_search("random", complete, Protocol(evaluations=100, seeds=0), seed=0)
    cells = list(map(tuple, run.architectures.tolist()))
    assert any(cell not in families() for cell in cells)
    assert run.values.tolist() == [value_of(SPACE.canonical(cell), 0, 2) for cell in cells]
