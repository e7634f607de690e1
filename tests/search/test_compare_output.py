"""Comparisons: what comes out, what regret is measured against, and progress."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nasbench_tab.benchmarks.tablefile import write_table
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.compare import BLOCK, compare
from nasbench_tab.search.run import run_search

from .comparisons import small
from .toys import curves_table

# What comes out.


def test_the_results_are_those_of_the_single_runs(tmp_path: Path) -> None:
    protocol = Protocol(evaluations=12, workers=2)
    results = compare(
        ["nbgraph-cora"], ["evolution"], runs=BLOCK + 3, protocol=protocol, seed=9, out=tmp_path
    )
    trials = results.trials("nbgraph-cora", "evolution")
    bench = load("nbgraph-cora")
    assert trials.runs.tolist() == list(range(BLOCK + 3))
    ends = np.cumsum(trials.lengths)
    for number in (0, 1, BLOCK - 1, BLOCK, BLOCK + 2):
        run = run_search("evolution", bench, protocol, seed=9, run=number)
        here = slice(ends[number] - trials.lengths[number], ends[number])
        for name in ("architectures", "epochs", "seeds", "values", "seconds"):
            assert getattr(trials, name)[here].tobytes() == getattr(run, name).tobytes()
        assert (trials.free[number], trials.stop[number]) == (run.free, run.stop)
    tests = [name for name, metric in bench.metrics.items() if metric.split == "test"]
    assert tests
    assert sorted(trials.final) == sorted([bench.objective.name, *tests])
    for name, values in trials.final.items():
        np.testing.assert_array_equal(values, np.asarray(bench.query(trials.architectures, name)))


def test_the_manifest_says_what_was_compared(tmp_path: Path) -> None:
    results = compare(
        ["nb201-cifar10"],
        ["random", "evolution(population=5)"],
        runs=2,
        protocol=Protocol(evaluations=3, limits=(("parameters", 1.2),)),
        seed=4,
        out=tmp_path / "out",
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest == results.manifest
    assert manifest["format"] == "nasbench_tab results"
    experiment = manifest["experiment"]
    assert (experiment["runs"], experiment["seed"]) == (2, 4)
    bench = load("nb201-cifar10")
    [about] = experiment["benchmarks"]
    cells = bench.measured()
    values = np.asarray(bench.query(cells[bench.query(cells, "parameters") <= 1.2]))
    assert about["hash"] == bench.fingerprint
    assert about["optimum"] == values.max()
    assert about["mean"] == pytest.approx(values.mean())
    assert bench.query(about["optimum_architecture"]) == values.max()
    assert [s["label"] for s in experiment["strategies"]] == ["random", "evolution(population=5)"]
    evolution = experiment["strategies"][1]
    assert evolution["settings"] == {"population": 5, "tournament": 3, "mutation": "uniform"}
    assert evolution["factory"] == "nasbench_tab.strategies.evolution:Evolution"
    assert len(evolution["source_sha256"]) == 64
    assert "paired" in experiment["table_noise"]
    assert {"nasbench_tab", "python", "numpy", "h5py", "joblib"} <= set(manifest["versions"])
    assert results.protocol == Protocol(evaluations=3, limits=(("parameters", 1.2),))
    assert results.benchmarks == ["nb201-cifar10"]
    assert results.strategies == ["random", "evolution(population=5)"]


def test_budget_is_short_for_a_protocol(tmp_path: Path) -> None:
    short = small(tmp_path / "a", budget=6)
    long = small(tmp_path / "b", budget=None, protocol=Protocol(evaluations=6))
    assert short.content_hash() == long.content_hash()


def test_numpy_numbers_are_as_good_as_plain_ones(tmp_path: Path) -> None:
    plain = small(tmp_path / "a", runs=3, seed=5)
    numpy = small(tmp_path / "b", runs=np.int64(3), budget=np.int32(6), seed=np.uint8(5))
    assert numpy.content_hash() == plain.content_hash()
    protocol = Protocol(
        evaluations=np.int64(6),  # type: ignore[arg-type]
        seconds=np.float64(1e9),
        seeds=np.int64(777),  # type: ignore[arg-type]
        missing="masked",
    )
    for out in ("c", "c"):  # the second time what was written is read back and found the same
        results = small(tmp_path / out, runs=3, budget=None, protocol=protocol, resume=True)
    assert results.protocol == Protocol(evaluations=6, seconds=1e9, seeds=777, missing="masked")


# What regret is measured against.


def test_limits_narrow_optimum_and_mean_to_what_a_search_can_reach(tmp_path: Path) -> None:
    protocol = Protocol(evaluations=5, limits=(("parameters", 0.15),))
    results = compare(["nb201-cifar10"], ["random"], runs=2, protocol=protocol, out=tmp_path / "o")
    bench = load("nb201-cifar10")
    everything = bench.measured()
    reached = everything[bench.query(everything, "parameters") <= 0.15]
    about = results.benchmark("nb201-cifar10")
    assert about["architectures"] == len(reached) < about["architectures_in_table"] == 15_625
    assert about["optimum"] == bench.query(reached).max() < bench.query(everything).max()
    assert about["mean"] == pytest.approx(bench.query(reached).mean())
    assert bench.query(about["optimum_architecture"]) == about["optimum"]
    assert about["trainings_per_architecture"] == [2, 3]


def test_a_fixed_seed_narrows_them_to_the_cells_that_have_it(tmp_path: Path) -> None:
    protocol = Protocol(evaluations=5, seeds=777, missing="masked")
    results = compare(["nb201-cifar10"], ["random"], runs=2, protocol=protocol, out=tmp_path / "o")
    about = results.benchmark("nb201-cifar10")
    assert about["architectures"] == 8_169
    assert about["mean"] == pytest.approx(
        load("nb201-cifar10").query(load("nb201-cifar10").measured(777)).mean()
    )


def test_limits_that_nothing_keeps_are_refused(tmp_path: Path) -> None:
    protocol = Protocol(evaluations=5, limits=(("parameters", 0.0),))
    with pytest.raises(InvalidArgumentError, match="No architecture of nb201-cifar10 keeps"):
        compare(["nb201-cifar10"], ["random"], runs=2, protocol=protocol, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_table_that_changes_is_loaded_again(toy_tables: Path, tmp_path: Path) -> None:
    protocol = Protocol(evaluations=3, missing="masked")
    first = compare(["toy-curves"], ["random"], runs=2, protocol=protocol, out=tmp_path / "a")
    write_table(toy_tables / "data" / "toy-curves", curves_table("toy-curves", "min"), {})
    second = compare(["toy-curves"], ["random"], runs=2, protocol=protocol, out=tmp_path / "b")
    assert first.objective("toy-curves").direction == "max"
    assert second.objective("toy-curves").direction == "min"


# Progress.


def test_progress_counts_finished_runs(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    small(tmp_path, progress=lambda done, total: calls.append((done, total)))
    first = [BLOCK, 2 * BLOCK, 2 * BLOCK + 5]
    total = 2 * (2 * BLOCK + 5)
    assert calls == [(done, total) for done in [*first, *(first[-1] + done for done in first)]]


def test_progress_of_a_resumed_comparison_starts_at_what_is_there(tmp_path: Path) -> None:
    results = small(tmp_path)
    for path in (results.shard_paths[1], results.shard_paths[5]):
        path.unlink()
    calls: list[tuple[int, int]] = []
    small(tmp_path, resume=True, progress=lambda done, total: calls.append((done, total)))
    total = 2 * (2 * BLOCK + 5)
    assert calls == [(total - 5, total), (total, total)]
    calls.clear()
    small(tmp_path, resume=True, progress=lambda done, total: calls.append((done, total)))
    assert calls == []
