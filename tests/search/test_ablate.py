"""Ablations: one switch at a time, paired differences, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import InvalidArgumentError, ResultsError, UnknownNameError
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.ablate import ABLATION, ablate, ablation, read_ablation
from nasbench_tab.search.compare import compare
from nasbench_tab.search.results import load_results
from nasbench_tab.stats.bootstrap import (
    mean_interval,
    resampling_weights,
    widened_level,
)

from .studies import CONSTANT
from .toys import SOME_CELLS

MASKED = Protocol(evaluations=2, missing="masked")


def test_differences_that_are_known(toy_tables: Path, tmp_path: Path) -> None:
    names = ["toy-curves", "toy-errors"]
    rows = ablate(
        f"{CONSTANT}(cell=3)", {"cell": [5], "idle": [1]}, names, runs=5, out=tmp_path / "a",
        protocol=MASKED,
    )  # fmt: skip
    keys = [(row.switch, row.before, row.after, row.benchmark) for row in rows]
    assert keys == [(*key, name) for key in (("cell", 3, 5), ("idle", 0, 1)) for name in names]
    for row in rows:
        if row.switch == "idle":
            assert row.delta[:3] == (0, 0, 0)
            assert row.delta.excludes_zero is False
            continue
        three, five = load(row.benchmark).query([SOME_CELLS[3], SOME_CELLS[5]])
        worse = three - five if row.benchmark == "toy-curves" else five - three
        assert row.delta.mean == pytest.approx(worse)
        assert row.delta.excludes_zero is True
        assert row.variant.mean - row.base.mean == pytest.approx(worse)


def test_intervals_are_those_of_the_paired_difference(tmp_path: Path) -> None:
    out = tmp_path / "a"
    (row,) = ablate(
        "evolution", {"tournament": [1]}, ["nb201-cifar10"], runs=30, budget=30, out=out
    )
    frame = load_results(out).frame().pivot_table(index="run", columns="strategy", values="regret")
    pair = [frame[label].to_numpy(np.float64) for label in (row.label, "evolution")]
    weights = resampling_weights(30, 4000, np.random.default_rng(1))
    wanted = mean_interval(pair[0] - pair[1], weights, widened_level(30))
    assert row.delta.mean == pytest.approx(float(wanted.estimate))
    spread = float(wanted.high - wanted.low)
    assert row.delta.low == pytest.approx(float(wanted.low), abs=0.1 * spread)
    assert row.delta.high == pytest.approx(float(wanted.high), abs=0.1 * spread)
    assert row.delta.n == 30


def test_what_is_written(tmp_path: Path) -> None:
    out = tmp_path / "a"
    switches = {"tournament": [1], "population": [10, 50]}
    rows = ablate(
        "evolution(population=20)", switches, ["nb201-cifar10"], runs=5, budget=5, out=out,
        protocol_switches={"repeats": ["reuse"]},
    )  # fmt: skip
    wanted = [
        ("evolution(population=20, tournament=1)", "tournament", 3, 1, None),
        ("evolution", "population", 20, 10, None),
        ("evolution(population=50)", "population", 20, 50, None),
        ("evolution(population=20)", "protocol.repeats", "pay", "reuse", "protocol/repeats=reuse"),
    ]
    keys = ("label", "switch", "from", "to", "directory")
    record = json.loads((out / ABLATION).read_text(encoding="utf-8"))
    assert record["base"] == "evolution(population=20)"
    assert [tuple(v.get(k) for k in keys) for v in record["variants"]] == wanted
    assert ablation(load_results(out)) == rows
    assert load_results(out).strategies == [record["base"], *(w[0] for w in wanted[:3])]


def test_a_switch_of_the_protocol_keeps_strategy_and_seeds(
    toy_tables: Path, tmp_path: Path
) -> None:
    """A switch that cannot matter leaves every run as it was."""
    base = Protocol(evaluations=6, missing="masked")
    (row,) = ablate(
        "random", {}, ["toy-curves"], runs=6, out=tmp_path / "a", protocol=base,
        protocol_switches={"patience": [999]},
    )  # fmt: skip
    assert row.delta[:3] == (0, 0, 0)
    assert (row.switch, row.before, row.after) == ("protocol.patience", 1000, 999)
    parts = [load_results(tmp_path / "a"), load_results(tmp_path / "a/protocol/patience=999")]
    values = [part.trials("toy-curves", "random").values for part in parts]
    assert values[0].tolist() == values[1].tolist()


def test_a_switch_that_moves_the_optimum_says_so(toy_tables: Path, tmp_path: Path) -> None:
    bench = load("toy-curves")
    cells = bench.measured()
    best = tuple(cells[bench.query(cells).argmax()].tolist())
    below = bench.query(best, "parameters") - 0.01
    (row,) = ablate(
        "random", {}, ["toy-curves"], runs=5, out=tmp_path / "a", protocol=MASKED,
        protocol_switches={"limits": [(("parameters", below),)]},
    )  # fmt: skip
    assert "also moves the optimum" in row.delta.note


def test_runs_without_an_incumbent_are_left_out_and_counted(
    toy_tables: Path, tmp_path: Path
) -> None:
    seconds = [load("toy-curves").lookup(cell).seconds for cell in SOME_CELLS[:-1]]
    quick, slow = int(np.argmin(seconds)), int(np.argmax(seconds))
    protocol = Protocol(seconds=min(seconds) + 1, overshoot="drop", missing="masked")
    (row,) = ablate(
        f"{CONSTANT}(cell={quick})", {"cell": [slow]}, ["toy-curves"], runs=5,
        out=tmp_path / "a", protocol=protocol,
    )  # fmt: skip
    assert not row.delta.recorded
    assert row.delta.note == "no run has one"
    assert row.base.n == 5


# Interruptions.


def test_a_killed_ablation_is_finished_by_resume(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def run(out: Path, **options: Any) -> Any:
        switches = {"population": [3, 5]}
        return ablate(
            "evolution", switches, ["nb201-cifar10"], runs=5, budget=6, out=out,
            protocol_switches={"repeats": ["reuse"]}, **options,
        )  # fmt: skip

    def killed_at(when: int) -> Any:
        def progress(done: int, total: int) -> None:
            seen.append((done, total))
            if done >= when:
                raise KeyboardInterrupt

        return progress

    undisturbed = run(tmp_path / "whole", progress=killed_at(99))
    assert seen == [(5, 20), (10, 20), (15, 20), (20, 20)]
    out = tmp_path / "a"
    with pytest.raises(KeyboardInterrupt):
        run(out, progress=killed_at(5))
    with pytest.raises(ResultsError, match="--resume"):
        run(out)
    with pytest.raises(KeyboardInterrupt):
        run(out, resume=True, progress=killed_at(20))  # the base is done, its protocol's switch not
    assert not (out / ABLATION).exists()
    with pytest.raises(ResultsError, match="no finished ablation"):
        ablation(load_results(out))
    assert run(out, resume=True) == undisturbed


# What is refused, before anything is run.

REFUSED: list[tuple[str, Any, Any, str]] = [
    ("evolution", {}, {}, "needs something to switch"),
    ("random", {}, {}, "random has the settings none"),
    ("random", {"population": [5]}, {}, "no setting 'population'. It has: none"),
    ("evolution", {"populatoin": [5]}, {}, "no setting 'populatoin'. It has: population, tour"),
    ("evolution", {"population": []}, {}, "list of at least one"),
    ("evolution", {"population": "5"}, {}, "list of at least one"),
    ("evolution", {"population": 5}, {}, "list of at least one"),
    ("evolution", {"population": [5, 6, 5]}, {}, "population=5 is given twice"),
    ("evolution", {"population": [5, 10]}, {}, "population=10 is what evolution has already"),
    ("evolution(population=20)", {"population": [20]}, {}, "switches nothing"),
    ("evolution", {"population": ["six"]}, {}, "population to be a whole number"),
    ("evolution", {"population": [0]}, {}, "population to be a whole number"),
    ("evolution", {}, {"repeats": ["pay"]}, "repeats='pay' is what the protocol has already"),
    ("evolution", {}, {"repeats": "reuse"}, "list of at least one"),
    ("evolution", {}, {"workers": [0]}, "workers must be a positive integer"),
    ("evolution", {}, {"resume": ["continue"]}, "cannot be continued"),
    ("evolution", {"population": [5]}, {"seconds": [-1]}, "seconds must be positive"),
]  # fmt: skip


@pytest.mark.parametrize(("strategy", "switches", "protocol", "words"), REFUSED)
def test_what_is_refused(
    tmp_path: Path, strategy: str, switches: Any, protocol: Any, words: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        ablate(
            strategy, switches, ["nb201-cifar10"], runs=1, budget=1, out=tmp_path / "a",
            protocol_switches=protocol,
        )  # fmt: skip
    assert not (tmp_path / "a").exists()


def test_unknown_switches_of_the_protocol(tmp_path: Path) -> None:
    options: dict[str, Any] = {"runs": 1, "budget": 1, "out": tmp_path / "a"}
    with pytest.raises(UnknownNameError, match="repeats"):
        ablate("random", {}, ["nb201-cifar10"], protocol_switches={"repeat": ["reuse"]}, **options)
    with pytest.raises(UnknownNameError, match="reuse"):
        ablate("random", {}, ["nb201-cifar10"], protocol_switches={"repeats": ["re"]}, **options)
    with pytest.raises(UnknownNameError, match="nb201-cifar10"):
        ablate("random", {}, ["nb201-cifar11"], protocol_switches={"seeds": ["mean"]}, **options)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("options", [{}, {"budget": 1, "protocol": MASKED}])
def test_one_budget(tmp_path: Path, options: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="Give either budget"):
        ablate("evolution", {"population": [5]}, ["nb201-cifar10"], runs=1, out=tmp_path, **options)


@pytest.mark.parametrize("benchmarks", ["nb201-cifar10", None, []])
def test_benchmarks_that_are_no_list(tmp_path: Path, benchmarks: Any) -> None:
    switch = {"seeds": ["mean"]}
    with pytest.raises(InvalidArgumentError, match=r"lists of names|at least one benchmark"):
        ablate("random", {}, benchmarks, runs=1, budget=1, out=tmp_path / "a", protocol_switches=switch)  # fmt: skip
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"base": "a", "variants": [{}]}', '{"base": 1, "variants": []}'])  # fmt: skip
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    (tmp_path / ABLATION).write_text(text, encoding="utf-8")
    with pytest.raises(ResultsError, match="Run the ablation again with --resume"):
        read_ablation(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"directory": 5}, {"directory": None}, {"switch": ["x"]}, {"label": ["a"]}, {"label": None}],
    ids=str,
)
def test_a_variant_of_another_kind(tmp_path: Path, change: dict[str, Any]) -> None:
    variant = {"label": "a", "switch": "b", "from": 1, "to": 2}
    path = tmp_path / ABLATION
    path.write_text(json.dumps({"base": "a", "variants": [variant]}), encoding="utf-8")
    assert read_ablation(tmp_path)["variants"] == [variant]
    for variants in ([{**variant, **change}], {"label": variant}, ["abc"], "abc", 5, None):
        path.write_text(json.dumps({"base": "a", "variants": variants}), encoding="utf-8")
        with pytest.raises(ResultsError, match="Run the ablation again with --resume"):
            read_ablation(tmp_path)


def test_a_comparison_is_no_ablation(tmp_path: Path) -> None:
    results = compare(["nb201-cifar10"], ["random"], runs=1, budget=1, out=tmp_path / "c")
    with pytest.raises(ResultsError, match="no finished ablation"):
        ablation(results)


def test_parts_of_different_ablations_are_not_mixed(tmp_path: Path) -> None:
    out = tmp_path / "a"
    protocol = Protocol(evaluations=2, repeats="reuse")
    ablate("random", {}, ["nb201-cifar10"], runs=2, budget=2, out=out, protocol_switches={"repeats": ["reuse"]})  # fmt: skip
    part = out / "protocol" / "repeats=reuse"
    part.rename(tmp_path / "aside")
    compare(["nb201-cifar10"], ["random"], runs=3, out=part, protocol=protocol)
    with pytest.raises(ResultsError, match="has 3 runs of random on nb201-cifar10, the base 2"):
        ablation(load_results(out))
