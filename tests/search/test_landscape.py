"""The landscape by enumeration: against climbing step by step, on tables whose answers are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.errors import InvalidArgumentError, MissingValueError, UnknownNameError
from nasbench_tab.records import Architecture
from nasbench_tab.registry import load
from nasbench_tab.search.landscape import Landscape, landscape, landscape_rows, neighbor_array

from .toys import CELLS, ToySpace, gappy, noisy_bench, toy_bench


def climbed(bench: TableBenchmark, values: dict[Architecture, float]) -> dict[str, Any]:
    """Climb from every cell, one step after another, every tied way in turn."""
    near = {c: [d for d in bench.space.neighbors(c) if d in values] for c in values}
    best = max(values.values())

    def ways(cell: Architecture) -> list[Architecture]:
        around = [values[other] for other in near[cell]]
        if not around or max(around) <= values[cell]:
            return []
        return [other for other in near[cell] if values[other] == max(around)]

    def climb(cell: Architecture) -> list[tuple[float, list[Architecture]]]:
        """Return (probability, path) of every climb from a cell."""
        on = ways(cell)
        if not on:
            return [(1.0, [cell])]
        return [(p / len(on), [cell, *path]) for other in on for p, path in climb(other)]

    steps = evaluations = success = paid = 0.0
    ends = dict.fromkeys(values, 0.0)
    for start in values:
        for chance, path in climb(start):
            p = chance / len(values)
            steps += p * (len(path) - 1)
            evaluations += p * (1 + sum(len(near[cell]) for cell in path))
            paid += p * (1 + sum(len(near[cell]) for cell in path if values[cell] < best))
            success += p * (values[path[-1]] == best)
            ends[path[-1]] += p
    closed = []  # connected sets of equal cells with no way up from any of them
    left = set(values)
    while left:
        group, todo = set(), [left.pop()]
        while todo:
            cell = todo.pop()
            group.add(cell)
            todo += [d for d in near[cell] if values[d] == values[cell] and d not in group]
        left -= group
        if not any(ways(cell) for cell in group):
            closed.append(len(group))
    return {
        "strict": closed.count(1),
        "plateaus": len(closed) - closed.count(1),
        "steps": steps,
        "evaluations": evaluations,
        "success": success,
        "until_optimum": paid / success,
        "ends": {cell: share for cell, share in ends.items() if not ways(cell)},
    }


def check(bench: TableBenchmark, found: Landscape, sign: float = 1.0, **which: Any) -> None:
    cells = list(map(tuple, bench.measured(which.get("seed")).tolist()))
    values = {cell: sign * float(bench.query(cell, **which)) for cell in cells}
    expected = climbed(bench, values)
    for name in ("strict", "plateaus"):
        assert getattr(found, name) == expected[name]
    for name in ("steps", "evaluations", "success", "until_optimum"):
        assert getattr(found, name) == pytest.approx(expected[name], rel=1e-9)
    ends = {cells[i]: share for i, share in zip(found.stops, found.basins, strict=True)}
    assert ends == pytest.approx(expected["ends"])
    assert (np.diff(found.basins) <= 0).all()
    assert found.optimum == sign * max(values.values())


@settings(max_examples=60, deadline=None)
@given(data=st.data(), direction=st.sampled_from(["max", "min"]), levels=st.integers(1, 30))
def test_it_is_what_climbing_from_everywhere_gives(
    data: st.DataObject, direction: Any, levels: int
) -> None:
    values = np.array(
        data.draw(st.lists(st.integers(0, levels).map(float), min_size=24, max_size=24))
    )
    kept = data.draw(st.lists(st.integers(0, 23), min_size=1, max_size=24, unique=True))
    cells = [CELLS[i] for i in sorted(kept)]
    bench = toy_bench(values[sorted(kept)], cells=cells, direction=direction)
    check(bench, landscape(bench), 1.0 if direction == "max" else -1.0)


def test_one_hill_is_climbed_from_everywhere() -> None:
    bench = toy_bench(np.array([sum(cell) for cell in CELLS], float))
    found = landscape(bench)
    assert (found.strict, found.plateaus, found.success) == (1, 0, 1)
    assert found.basins.tolist() == pytest.approx([1])
    assert bench.space.unindex(int(found.stops[0])) == (1, 2, 3)
    assert found.optima == ("1-2-3",)
    # One move for each position that is not at its best already: 1/2 + 2/3 + 3/4.
    assert found.steps == pytest.approx(1 / 2 + 2 / 3 + 3 / 4)
    assert found.neighbors == (6, 6.0, 6)
    assert found.evaluations == pytest.approx(1 + 6 * (found.steps + 1))
    assert found.until_optimum == pytest.approx(1 + 6 * found.steps)
    assert found.distance_correlation < -0.8


def test_a_flat_table_is_one_plateau() -> None:
    found = landscape(toy_bench(np.full(24, 7.0)))
    assert (found.strict, found.plateaus, found.steps, found.success) == (0, 1, 0, 1)
    assert len(found.optima) == 24
    np.testing.assert_allclose(found.basins, 1 / 24)
    assert found.until_optimum == 1
    assert math.isnan(found.distance_correlation)
    assert math.isnan(found.autocorrelation)


def test_a_plateau_with_a_way_out_stops_the_climb_but_is_no_optimum() -> None:
    space = ToySpace((2, 2, 2))  # a cube: 000 and 001 are level, only 001 sees a way up, to 011
    values = np.array([1.0, 1.0, 0.5, 2.0, 0.1, 0.2, 0.3, 0.4])
    bench = toy_bench(values, space=space, cells=space.cells)
    found = landscape(bench)
    assert (found.strict, found.plateaus) == (1, 0)
    stops = {bench.space.format(space.unindex(int(i))) for i in found.stops}
    assert stops == {"0-1-1", "0-0-0"}
    check(bench, found)


def test_ties_share_the_basin() -> None:
    space = ToySpace((3,))
    bench = toy_bench(np.array([5.0, 0.0, 5.0]), space=space, cells=space.cells)
    found = landscape(bench)
    # The two tops are neighbors of each other here, so they are one plateau.
    assert (found.strict, found.plateaus) == (0, 1)
    np.testing.assert_allclose(found.basins, [0.5, 0.5])


def test_cells_without_measured_neighbors_stand_alone() -> None:
    bench = toy_bench(np.array([1.0, 3.0, 2.0]), cells=[(0, 0, 0), (1, 1, 1), (1, 1, 2)])
    found = landscape(bench)
    assert (found.cells, found.space, found.neighbors[0]) == (3, 24, 0)
    assert found.strict == 2
    check(bench, found)
    alone = landscape(toy_bench(np.array([1.0]), cells=[(0, 0, 0)]))
    assert (alone.strict, alone.steps, alone.evaluations, alone.success) == (1, 0, 1, 1)
    assert math.isnan(alone.autocorrelation)


def test_an_optimum_out_of_reach_has_no_finite_expectation_unless_a_start_is_there() -> None:
    bench = toy_bench(np.arange(24.0))
    near = np.full((24, 1), -1)
    found = landscape(bench, near=near)
    assert found.success == pytest.approx(1 / 24)
    assert found.until_optimum == pytest.approx(24)


def test_one_seed_has_a_landscape_of_its_own() -> None:
    rng = np.random.default_rng(5)
    values = rng.random((24, 2))
    values[::3, 1] = np.nan
    bench = toy_bench(values)
    for seed in (100, 101):
        found = landscape(bench, seed)
        assert found.seeds == seed
        assert found.cells == np.isfinite(values[:, seed - 100]).sum()
        check(bench, found, seed=seed)
    assert landscape(bench, "one").optimum == landscape(bench, 100).optimum  # all have the first
    assert landscape(bench).optimum == np.nanmean(values, axis=1).max()
    with pytest.raises(MissingValueError, match="no training seed 7"):
        landscape(bench, 7)


def test_one_training_of_each_cell_takes_the_first_there_is() -> None:
    values = np.array([[np.nan, 5.0], [3.0, 9.0], [2.0, np.nan]])
    bench = toy_bench(values, space=ToySpace((3,)), cells=[(0,), (1,), (2,)])
    assert landscape(bench, "one").optimum == 5


def test_other_metrics_have_landscapes_too() -> None:
    bench = toy_bench(np.arange(24.0), static={"size": np.linspace(0.1, 2.4, 24)})
    found = landscape(bench, metric="size")
    assert found.metric == "size"
    assert found.optimum == pytest.approx(0.1)  # less is better
    assert found.optima == ("0-0-0",)


def test_what_has_no_landscape_is_refused() -> None:
    bench = noisy_bench()
    with pytest.raises(UnknownNameError, match="accuracy"):
        landscape(bench, metric="accuracy")
    with pytest.raises(UnknownNameError, match="kind of seeds 'men'"):
        landscape(bench, "men")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="must be an integer"):
        landscape(bench, 1.5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="near must be"):
        landscape(bench, near=np.zeros((3, 2), np.intp))
    bench.space.size = None
    with pytest.raises(InvalidArgumentError, match="cannot be enumerated"):
        landscape(bench)
    bench.stateful = True
    with pytest.raises(InvalidArgumentError, match="trains for real"):
        landscape(bench)
    with pytest.raises(InvalidArgumentError, match="no measured cell"):
        landscape(toy_bench(np.full(24, np.nan)))


def test_neighbors_are_those_of_the_space_among_the_measured() -> None:
    bench = gappy()
    cells = bench.measured()
    near = neighbor_array(bench.space, cells)
    rows = list(map(tuple, cells.tolist()))
    for cell, others in zip(rows, near, strict=True):
        expected = {c for c in bench.space.neighbors(cell) if c in rows}
        assert {rows[i] for i in others if i >= 0} == expected
        assert (others >= 0).sum() == len(expected)


def test_the_autocorrelation_is_that_of_neighbors() -> None:
    bench = gappy()
    near = neighbor_array(bench.space, bench.measured())
    values = np.asarray(bench.query(bench.measured()))
    one, column = np.nonzero(near >= 0)
    expected = np.corrcoef(values[one], values[near[one, column]])[0, 1]
    assert landscape(bench).autocorrelation == pytest.approx(expected)


def test_the_distance_correlation_is_that_of_moves() -> None:
    bench = toy_bench(np.array([(7 * i) % 24 for i in range(24)], float))
    values = np.asarray(bench.query(bench.measured()))
    best = np.array(CELLS[int(values.argmax())])
    moves = (np.array(CELLS) != best).sum(axis=1)
    expected = np.corrcoef(values, moves)[0, 1]
    assert landscape(bench).distance_correlation == pytest.approx(expected)


def test_published_tables_keep_their_landscape() -> None:
    bench = load("nb201-cifar100")
    near = neighbor_array(bench.space, bench.measured())
    mean, one = landscape(bench, near=near), landscape(bench, "one", near=near)
    assert near.shape == (15_625, 24)
    assert (near >= 0).all()
    assert (mean.strict, mean.plateaus, len(mean.stops)) == (26, 0, 26)
    assert (one.strict, len(one.stops)) == (50, 52)
    assert mean.success == pytest.approx(0.780, abs=5e-4)
    assert mean.until_optimum == pytest.approx(156.2, abs=0.05)
    assert mean.optimum == pytest.approx(73.4933, abs=1e-4)
    assert mean.basins.sum() == pytest.approx(1)


def test_tables_of_graph_networks_have_one_too() -> None:
    found = landscape(load("nbgraph-proteins"))
    assert found.cells == found.space == 2_021
    assert found.basins.sum() == pytest.approx(1)
    assert found.neighbors[0] >= 1


def test_the_rows_say_what_was_measured() -> None:
    rows = landscape_rows(landscape(gappy(), "one"))
    assert all(len(row) == 3 and all(isinstance(text, str) for text in row) for row in rows)
    table = {what: (figure, note) for what, figure, note in rows}
    assert table["values"] == ("one training of each cell", "score")
    assert table["cells"] == ("20", "of 24: the measured ones only")
    flat = {what: note for what, _, note in landscape_rows(landscape(toy_bench(np.ones(24))))}
    assert flat["optimum"].startswith("24 cells, one is 0-0-0")
