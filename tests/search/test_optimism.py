"""The winner's curse of comparisons: against hand-made runs, a loop over runs, and enumeration."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError, ResultsError
from nasbench_tab.records import MEAN_SEED, Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.compare import compare
from nasbench_tab.search.optimism import optimism, random_search_optimism, run_optimism
from nasbench_tab.search.results import Results, Trials

from .toys import CELLS, SOME_CELLS, ToySpace, curves, toy_bench

COUNTS = np.arange(1, 4)


class HandMade(Results):
    """Results of one strategy ``s`` on one benchmark, from a list of (cell, epoch, seed) per run."""

    def __init__(
        self, bench: Benchmark, runs: list[list[tuple[Any, int, int]]], **switches: Any
    ) -> None:
        protocol = Protocol(evaluations=9, **switches)._asdict()
        self.bench = bench
        about = {
            "name": bench.name,
            "hash": bench.fingerprint,
            "objective": bench.objective._asdict(),
            "epochs": list(bench.epochs),
        }
        experiment = {
            "benchmarks": [about],
            "strategies": [{"label": "s"}],
            "protocol": protocol,
        }
        super().__init__(Path("nowhere"), {"experiment": experiment})
        flat = [evaluation for run in runs for evaluation in run]
        values = [
            float(bench.query(cell, epoch=epoch, seed=None if seed == MEAN_SEED else seed))
            for cell, epoch, seed in flat
        ]
        n = len(flat)
        self._made = Trials(
            runs=np.arange(len(runs)),
            lengths=np.array([len(run) for run in runs], np.int64),
            architectures=np.array([cell for cell, _, _ in flat], np.uint8).reshape(
                n, len(bench.space.choices)
            ),
            epochs=np.array([epoch for _, epoch, _ in flat], np.int32),
            seeds=np.array([seed for _, _, seed in flat], np.int64),
            values=np.array(values, np.float64),
            seconds=np.zeros(n),
            final={bench.objective.name: np.zeros(n)},
            free=np.zeros(len(runs), np.int64),
            stop=np.array(["budget"] * len(runs)),
            cpu_seconds=np.zeros(len(runs)),
        )

    def trials(self, benchmark: str, strategy: str) -> Trials:
        return self._made

    def each(self) -> Any:
        return run_optimism(self, self.bench.name, "s", self.bench)

    def summed_up(self) -> Any:
        return optimism(self, self.bench.name, "s", self.bench)


A, B, C = CELLS[0], CELLS[1], CELLS[2]


def three_cells(direction: Any = "max") -> Benchmark:
    """Return a table: A has three trainings 1, 2, 6, B has 4 and 5 (seeds -1, -2), C one, 3."""
    nan = np.nan
    values = np.array([[1, 2, 6, nan, nan], [nan, nan, nan, 4, 5], [3, nan, nan, nan, nan]], float)
    return toy_bench(values, cells=[A, B, C], seeds=(777, 888, 999, -1, -2), direction=direction)


@pytest.mark.parametrize(
    ("run", "observed", "mean"),
    [
        ([(A, 1, 777)], 1 - 4, 3 - 4),
        ([(A, 1, 777), (A, 1, 999)], 6 - 2, 3 - 2),  # 777 was seen too
        ([(A, 1, 999), (A, 1, 999)], 6 - 1.5, 3 - 1.5),
        ([(A, 1, 777), (A, 1, 888), (A, 1, 999)], np.nan, np.nan),
        ([(A, 1, 888), (B, 1, -2)], 5 - 4, 4.5 - 4),
        ([(B, 1, -1), (A, 1, 777), (C, 1, 777)], 4 - 5, 4.5 - 5),
        ([(B, 1, -1), (B, 1, -2)], np.nan, np.nan),
        ([(C, 1, 777)], np.nan, np.nan),
        ([], np.nan, np.nan),
    ],
    ids=str,
)
def test_only_trainings_that_the_run_did_not_see_count(
    run: list[Any], observed: float, mean: float
) -> None:
    # Other runs, before and after, saw everything: that is theirs.
    noise: list[Any] = [
        (cell, 1, s) for cell, s in ((A, 777), (A, 888), (A, 999), (B, -1), (B, -2))
    ]
    each = HandMade(three_cells(), [noise, run, noise]).each()
    np.testing.assert_allclose(each.observed, [np.nan, observed, np.nan])
    np.testing.assert_allclose(each.mean, [np.nan, mean, np.nan])


def test_where_less_is_better_optimism_is_still_positive() -> None:
    each = HandMade(three_cells("min"), [[(A, 1, 777), (B, 1, -1)]]).each()
    assert each.observed.tolist() == [4 - 1]
    assert each.mean.tolist() == [4 - 3]


def test_runs_that_cannot_be_used_are_counted() -> None:
    runs = [[(A, 1, 999)]] * 6 + [[(C, 1, 777)]] * 2 + [[]]
    found = HandMade(three_cells(), runs).summed_up()
    assert (found.n, found.left_out, found.without, found.reason) == (6, 2, 1, "")
    assert found.observed.estimate == pytest.approx(4.5)
    assert (found.observed.low, found.observed.high) == (4.5, 4.5)
    assert found.reported.estimate == pytest.approx(1.5)


def test_few_runs_have_no_interval_and_none_a_reason() -> None:
    few = HandMade(three_cells(), [[(A, 1, 999)]] * 4).summed_up()
    assert few.n == 4
    assert few.observed.estimate == pytest.approx(4.5)
    assert np.isnan(few.observed.low)
    none = HandMade(three_cells(), [[(C, 1, 777)]] * 9 + [[]]).summed_up()
    assert (none.n, none.left_out, none.without) == (0, 9, 1)
    assert "no run ended with a cell" in none.reason
    assert np.isnan(none.observed.estimate)


def test_means_leave_nothing_to_score_on_and_it_says_what_to_do() -> None:
    results = HandMade(three_cells(), [[(A, 1, MEAN_SEED)]] * 9, seeds="mean")
    found = results.summed_up()
    assert found.n == 0
    assert "mean over all trainings" in found.reason
    assert "seeds='random'" in found.reason
    assert np.isnan(results.each().observed).all()
    with pytest.raises(InvalidArgumentError, match="seeds='random'"):
        random_search_optimism(three_cells(), results.protocol, COUNTS)


def test_a_fixed_training_seed_is_selected_on_and_the_others_scored() -> None:
    each = HandMade(three_cells(), [[(A, 1, 777), (C, 1, 777), (A, 1, 777)]], seeds=777).each()
    assert np.isnan(each.observed[0])  # C won, which has one training
    each = HandMade(three_cells(), [[(A, 1, 777)]], seeds=777).each()
    assert each.observed.tolist() == [1 - 4]


def test_the_reported_value_may_be_the_seen_training_itself_or_of_other_trainings() -> None:
    runs = [[(A, 1, 999)]]
    seen = HandMade(three_cells(), runs, final="seen").each()
    assert seen.mean.tolist() == seen.observed.tolist() == [4.5]
    other = HandMade(three_cells(), runs, final_training="another").each()
    assert other.observed.tolist() == [4.5]
    assert np.isnan(other.mean).all()


def test_a_winner_at_a_lower_epoch_is_scored_at_that_epoch() -> None:
    bench = curves()
    cell = SOME_CELLS[1]
    value = {s: float(bench.query(cell, epoch=3, seed=s)) for s in (777, 888, 999)}
    run = [(cell, 1, 777), (cell, 3, 888)]  # of seed 777 epoch 1 was seen: that training is known
    each = HandMade(bench, [run]).each()
    assert each.observed[0] == pytest.approx(value[888] - value[999])
    # What is reported is after full training: its optimism is that of the full trainings.
    full = {s: float(bench.query(cell, seed=s)) for s in (777, 888, 999)}
    assert each.mean[0] == pytest.approx(sum(full.values()) / 3 - full[999])
    best = HandMade(bench, [run], final_epoch="best").each()
    assert best.observed[0] == each.observed[0]
    assert np.isnan(best.mean[0])
    late = HandMade(bench, [run, [(cell, 9, 777)]]).each()
    assert late.observed[0] == each.observed[0]
    assert late.observed[1] == pytest.approx(full[777] - (full[888] + full[999]) / 2)


def test_trainings_of_the_same_network_in_a_table_with_gaps_are_the_same_ones() -> None:
    bench = load("nb201-fashion", source="table")
    own = set(map(tuple, bench._table.architectures.tolist()))
    for cell in map(tuple, bench.measured().tolist()):
        form = bench.space.canonical(cell)
        if cell not in own and form in own and len(bench.seeds(cell)) > 1:
            break
    first, second = bench.seeds(cell)[:2]
    epoch = bench.epochs[-1]
    alone = HandMade(bench, [[(cell, epoch, first)]]).each().observed
    both = HandMade(bench, [[(form, epoch, second), (cell, epoch, first)]]).each().observed
    assert np.isfinite(alone).all()
    assert np.isnan(both).all() or len(bench.seeds(cell)) > 2


def test_another_table_is_refused() -> None:
    results = HandMade(three_cells(), [[(A, 1, 999)]])
    other = three_cells()
    other.fingerprint = "sha256:other"
    with pytest.raises(ResultsError, match="made with another toy-table"):
        run_optimism(results, "toy-table", "s", other)
    changed = toy_bench(np.arange(6.0).reshape(3, 2), cells=[A, B, C], seeds=(777, 888))
    for bad in (changed, toy_bench(np.arange(3.0), cells=[A, B, C], seeds=(5,))):
        bad.fingerprint = results.bench.fingerprint
        with pytest.raises(ResultsError, match="trainings that toy-table does not know"):
            run_optimism(results, "toy-table", "s", bad)


def test_a_comparison_agrees_with_a_loop_over_its_runs(tmp_path: Path) -> None:
    name = "nb201-cifar100"
    results = compare([name], ["evolution"], runs=60, budget=60, out=tmp_path / "r")
    bench, trials = load(name), results.trials(name, "evolution")
    expected, start = [], 0
    for length in trials.lengths.tolist():
        part = slice(start, start + length)
        cells = list(map(tuple, trials.architectures[part].tolist()))
        seeds, values = trials.seeds[part], trials.values[part]
        best = int(values.argmax())
        seen = {s for cell, s in zip(cells, seeds.tolist(), strict=True) if cell == cells[best]}
        left = [s for s in bench.seeds(cells[best]) if s not in seen]
        if left:
            others = np.mean([float(bench.query(cells[best], seed=s)) for s in left])
            expected.append(values[best] - others)
        start += length
    found = optimism(results, name, "evolution")
    assert found.n == len(expected)
    assert found.n + found.left_out == 60
    assert found.observed.estimate == pytest.approx(np.mean(expected))
    assert found.observed.low < found.observed.estimate < found.observed.high
    assert found.observed.low > 0
    again = optimism(results, name, "evolution", bench)
    assert again.observed == found.observed


def by_enumeration(bench: Benchmark, draws: int, seeds: Any) -> tuple[float, float, float]:
    """Go through all sequences of (cell, training): observed, mean and share left out."""
    cells = list(map(tuple, bench.measured(seeds if isinstance(seeds, int) else None).tolist()))
    sign = 1 if bench.objective.direction == "max" else -1
    atoms = []
    for cell in cells:
        every = {s: float(bench.query(cell, seed=s)) for s in bench.seeds(cell)}
        drawn = [seeds] if isinstance(seeds, int) else list(every)
        for s in drawn:
            left = [x for other, x in every.items() if other != s]
            gap = None
            if left:
                others = sum(left) / len(left)
                gap = sign * (every[s] - others), sign * (np.mean(list(every.values())) - others)
            atoms.append((every[s], 1 / len(cells) / len(drawn), gap))
    observed = mean = known = 0.0
    for sequence in product(atoms, repeat=draws):
        _, _, gap = max(sequence, key=lambda atom: sign * atom[0])
        if gap is not None:
            probability = float(np.prod([p for _, p, _ in sequence]))
            known += probability
            observed += probability * gap[0]
            mean += probability * float(gap[1])
    return observed / known, mean / known, 1 - known


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    direction=st.sampled_from(["max", "min"]),
    seeds=st.sampled_from(["random", 100]),
)
def test_the_exact_optimism_is_the_mean_over_all_sequences(
    data: st.DataObject, direction: Any, seeds: Any
) -> None:
    values = np.array(data.draw(st.lists(st.integers(0, 4), min_size=8, max_size=8)), float)
    values = values.reshape(4, 2)
    values[0, 1] = np.nan  # one training only
    bench = toy_bench(
        values, space=ToySpace((4,)), cells=[(i,) for i in range(4)], direction=direction
    )
    found = random_search_optimism(bench, Protocol(evaluations=1, seeds=seeds), COUNTS)
    expected = [by_enumeration(bench, k, seeds) for k in COUNTS.tolist()]
    np.testing.assert_allclose(found.observed, [e[0] for e in expected], atol=1e-9)
    np.testing.assert_allclose(found.reported, [e[1] for e in expected], atol=1e-9)
    np.testing.assert_allclose(found.left_out, [e[2] for e in expected], atol=1e-9)


def test_where_every_cell_has_one_training_nothing_is_left() -> None:
    found = random_search_optimism(toy_bench(np.arange(24.0)), Protocol(evaluations=1), COUNTS)
    assert np.isnan(found.observed).all()
    assert found.left_out.tolist() == [1, 1, 1]


def test_a_hundred_draws_on_one_seed_of_cifar_100_are_four_tenths_of_a_point_optimistic(
    tmp_path: Path,
) -> None:
    name = "nb201-cifar100"
    protocol = Protocol(evaluations=100)
    exact = random_search_optimism(load(name), protocol, np.array([1, 100]))
    assert exact.observed[0] == pytest.approx(0, abs=1e-9)
    assert exact.observed[1] == pytest.approx(0.388, abs=5e-4)
    assert exact.reported[1] == pytest.approx(0.167, abs=1e-3)
    runs = compare([name], ["random"], runs=300, budget=100, seed=4, out=tmp_path / "r")
    each = run_optimism(runs, name, "random")
    for simulated, expected in ((each.observed, exact.observed), (each.mean, exact.reported)):
        known = simulated[np.isfinite(simulated)]
        error = known.std(ddof=1) / np.sqrt(len(known))
        assert abs(known.mean() - expected[1]) < 4.5 * error
