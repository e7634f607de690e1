"""Boxes B1 to B8: each passes on evidence and, without it or against it, does not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.benchmarks.tablefile import write_table
from nasbench_tab.records import Problem, Proposal, Protocol
from nasbench_tab.search.compare import compare
from nasbench_tab.strategies.base import StrategySpec
from report.conftest import Compared, early, small_table

from .checked import CIFAR, FASHION, Change, box, expect, experiment, manifest, shard

# B1, B8: the values are the table's.


@pytest.mark.parametrize("key", ["B1", "B8"])
@pytest.mark.parametrize("amount", [1e-6, 5.0, np.nan])
def test_one_value_that_is_not_the_tables(copied: Path, key: str, amount: float) -> None:
    shard(copied, lambda arrays: arrays["values"].__setitem__(7, arrays["values"][7] + amount))
    expect(copied, key, "fail", f"{CIFAR}, evolution: 1 of 60 values are not those of the table")


@pytest.mark.parametrize("key", ["B1", "B8"])
@pytest.mark.parametrize("amount", [1e-6, np.nan])
def test_one_final_value_that_is_not_the_tables(copied: Path, key: str, amount: float) -> None:
    def change(arrays: dict[str, Any]) -> None:
        arrays["final:valid_accuracy"][[7, 8]] += amount

    shard(copied, change)
    words = f"{CIFAR}, evolution: 2 of 60 final values (valid_accuracy) are not those of the table"
    expect(copied, key, "fail", words)


def test_b1_final_values_that_lack_or_are_too_many(copied: Path) -> None:
    shard(copied, lambda arrays: arrays.update({"final:fame": arrays["values"]}))
    expect(copied, "B1", "fail", "final values of fame lack or are too many")


@pytest.mark.parametrize(
    "switches",
    [
        {"final": "seen"},
        {"benchmarks": ["small-errors"]},
        {"benchmarks": ["small-errors"], "final": "seen", "seeds": "mean"},
        {"evaluations": None, "seconds": 4000.0, "overshoot": "interpolate"},
    ],
    ids=str,
)
def test_final_values_by_every_rule_are_the_tables(
    compared: Compared, switches: dict[str, Any]
) -> None:
    results = compared(**switches)
    expect(results, "B1", "pass")
    [column] = [c for c in results.trials(results.benchmarks[0], "random").final if "valid" in c]
    shard(results.directory, lambda arrays: arrays[f"final:{column}"].__setitem__(0, 0.5), "random")
    expect(
        results.directory,
        "B1",
        "fail",
        f"1 of {24 * 15} final values ({column})" if switches.get("evaluations", 1) else "1 of",
    )


def test_final_values_of_the_best_epoch_and_of_another_table_are_the_tables(
    tmp_path: Path,
) -> None:
    protocol = Protocol(
        evaluations=8, missing="masked", final_epoch="best", report=("nb201-cifar100",)
    )
    results = compare([FASHION], ["random"], runs=5, protocol=protocol, out=tmp_path / "out")
    expect(results, "B1", "pass")
    column = "final:nb201-cifar100:valid_accuracy"
    shard(results.directory, lambda arrays: arrays[column].__setitem__(0, 0.5), "random")
    expect(results.directory, "B1", "fail", "1 of 40 final values (nb201-cifar100:valid_accuracy)")
    experiment(
        results.directory,
        lambda e: e["benchmarks"][0]["reported_hashes"].update({"nb201-cifar100": "other"}),
    )
    expect(results.directory, "B1", "not recorded", "is not the table reported on")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"optimum": 95.0}, "the manifest's optimum is 95.0, the table's 91.6"),
        ({"mean": 10.0}, "the manifest's mean is 10.0, the table's 83.6"),
        ({"architectures": 1}, "architectures is 1, the table's 15625"),
    ],
)
def test_b1_figures_that_are_not_the_tables(
    copied: Path, change: dict[str, Any], words: str
) -> None:
    experiment(copied, lambda e: e["benchmarks"][0].update(change))
    expect(copied, "B1", "fail", words)


def test_b1_a_direction_that_is_not_the_tables(copied: Path) -> None:
    experiment(copied, lambda e: e["benchmarks"][0]["objective"].update(direction="min"))
    expect(copied, "B1", "fail", "the manifest's objective is")


@pytest.mark.parametrize("key", ["B1", "B8"])
def test_a_training_that_the_table_does_not_hold(copied: Path, key: str) -> None:
    shard(copied, lambda arrays: arrays["seeds"].__setitem__(0, 12345))
    expect(copied, key, "fail", f"{CIFAR}, evolution")


def test_values_at_other_epochs_and_means_are_the_tables_too(home: Path, tmp_path: Path) -> None:
    protocol = Protocol(evaluations=40, seeds="mean", missing="masked")
    results = compare(
        [FASHION], ["successive-halving", "random"], runs=5, protocol=protocol, out=tmp_path / "o"
    )
    assert len(set(results.trials(FASHION, "successive-halving").epochs)) > 1
    for key in ("B1", "B4", "B8"):
        expect(results, key, "pass")


# B2: confounders.


def test_b2_processor_time_on_the_clock(copied: Path) -> None:
    experiment(copied, lambda e: e["protocol"].update(overhead="measured"))
    expect(copied, "B2", "fail", "overhead = measured")


def test_b2_times_of_several_devices_matter_with_a_budget_in_seconds(
    home: Path, compared: Compared
) -> None:
    about = {"title": "two", "device": ["Abacus (cpu): 3 trainings", "Loom (cuda): 4 trainings"]}
    write_table(home / "data" / "two", small_table("two", times=True), about)
    expect(compared(benchmarks=["two"]), "B2", "pass", "one budget for all (15 evaluations)")
    timed = compared(benchmarks=["two"], evaluations=None, seconds=4000.0)
    expect(timed, "B2", "fail", "Abacus", "Loom")
    expect(compared(evaluations=None, seconds=4000.0), "B2", "pass", "4,000 simulated seconds")


@pytest.mark.parametrize("part", ["versions.numpy", "versions.python", "machine.processor"])
@pytest.mark.parametrize("key", ["B2", "C3"])
def test_what_ran_where_is_not_there(copied: Path, key: str, part: str) -> None:
    first, second = part.split(".")
    manifest(copied, lambda m: m[first].pop(second))
    expect(copied, key, "not recorded", f"no {part}")


def test_b2_no_cpu_times(copied: Path) -> None:
    shard(copied, lambda arrays: arrays["cpu_seconds"].fill(np.nan))
    expect(copied, "B2", "not recorded", "evolution: no CPU times")


# B3: the ablation.


def test_b3_an_ablation_passes(ablated: Path) -> None:
    expect(ablated, "B3", "pass", "population: 10 to 3", "protocol.repeats: 'pay' to 'reuse'")


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        (lambda r: r["variants"][0].update(to=4), "fail", "in population alone"),
        (lambda r: r["variants"][0].update(switch="tournament"), "fail", "in tournament alone"),
        (lambda r: r["variants"][0].update(label="random"), "fail", "'random'"),
        (lambda r: r["variants"][0].update(label="evolution"), "fail", "does not differ"),
        (lambda r: r["variants"][1].update(directory="nowhere"), "fail", "nowhere"),
        (lambda r: r["variants"][1].update({"from": "reuse"}), "fail", "protocol.repeats alone"),
        (lambda r: r.update(base="other"), "fail", "'other'"),
        (lambda r: r["variants"].clear(), "not recorded", "no variant"),
        (lambda r: r.pop("base"), "not recorded", "ablation.json"),
    ],
)
def test_b3_an_ablation_that_is_not_what_it_says(
    ablated: Path, tmp_path: Path, change: Change, verdict: str, words: str
) -> None:
    copy = Path(shutil.copytree(ablated, tmp_path / "copy"))
    record = json.loads((copy / "ablation.json").read_text())
    change(record)
    (copy / "ablation.json").write_text(json.dumps(record))
    expect(copy, "B3", verdict, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e.update(seed=7), "not the base's seed"),
        (lambda e: e.update(runs=4, block=5), "not the base's number of runs"),
        (lambda e: e["benchmarks"][0].update(hash="other"), "not the base's benchmarks"),
        (lambda e: e["strategies"][0]["settings"].update(population=3), "not the base's strategy"),
    ],
)
def test_b3_a_variant_apart_that_is_not_the_bases_but_for_its_switch(
    ablated: Path, tmp_path: Path, change: Change, words: str
) -> None:
    copy = Path(shutil.copytree(ablated, tmp_path / "copy"))
    part = copy / "protocol" / "repeats=reuse"
    experiment(part, change)
    for path in part.glob("runs/*/*/*.npz"):  # five runs lie there, whatever the manifest says
        (path.parent / "000000-000003.npz").write_bytes(path.read_bytes())
    expect(copy, "B3", "fail", words)


def test_b3_a_variant_that_differs_in_two_settings(ablated: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(ablated, tmp_path / "copy"))
    experiment(copy, lambda e: e["strategies"][1]["settings"].update(tournament=9))
    expect(copy, "B3", "fail", "does not differ from evolution in population alone")


# B4: the protocol.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"evaluations": 11}, "5 runs with more evaluations than the budget"),
        ({"seconds": 1000.0, "overshoot": "keep"}, "runs beyond the budget in seconds"),
        ({"seeds": "mean"}, "60 evaluations whose training seed is not 'mean'"),
        ({"seeds": 777}, "evaluations whose training seed is not 777"),
        ({"limits": [["parameters", 0.0]]}, "60 evaluations beyond the limit on parameters"),
    ],
)
def test_b4_runs_that_do_not_keep_the_protocol(
    copied: Path, change: dict[str, Any], words: str
) -> None:
    experiment(copied, lambda e: e["protocol"].update(change))
    expect(copied, "B4", "fail", words)


def halved(arrays: dict[str, Any]) -> None:
    """Leave the first half of each run."""
    run = np.repeat(np.arange(len(arrays["lengths"])), arrays["lengths"])
    begin = np.cumsum(arrays["lengths"]) - arrays["lengths"]
    kept = np.arange(len(run)) - begin[run] < arrays["lengths"][run] // 2
    for name in [n for n, array in arrays.items() if len(array) == len(run)]:
        arrays[name] = arrays[name][kept]
    arrays["lengths"] = arrays["lengths"] // 2


@pytest.mark.parametrize(
    "switches", [{}, {"evaluations": None, "seconds": 6000.0}, {"seconds": 4000.0, "workers": 2}]
)
def test_b4_half_the_budget_for_one_strategy(compared: Compared, switches: dict[str, Any]) -> None:
    results = compared(**switches)
    expect(results, "B4", "pass")
    shard(results.directory, halved, "random")
    words = "small, random: 24 runs that say they used up the budget, and did not"
    expect(results.directory, "B4", "fail", words)


@pytest.mark.parametrize(
    ("reason", "words"), [("stalled", "say they stalled"), ("tired", "for no known reason")]
)
def test_b4_runs_that_end_early_under_another_name(copied: Path, reason: str, words: str) -> None:
    def change(arrays: dict[str, Any]) -> None:
        halved(arrays)
        arrays["stop"] = np.full(len(arrays["runs"]), reason)

    shard(copied, change)
    expect(copied, "B4", "fail", f"5 runs that {'ended ' if reason == 'tired' else ''}{words}")


def test_b4_runs_that_stall_or_have_no_more_to_ask_keep_the_protocol(compared: Compared) -> None:
    stalling = compared(evaluations=60, repeats="forbid", patience=30)
    assert "stalled" in stalling.trials("small", "random").stop
    expect(stalling, "B4", "pass")
    expect(compared([early(), "random"]), "B4", "pass")


@pytest.mark.parametrize("repeats", ["reuse", "forbid"])
def test_b4_runs_that_repeat_what_the_protocol_does_not(compared: Compared, repeats: str) -> None:
    expect(compared(repeats=repeats), "B4", "pass", f"repeats = '{repeats}'")
    results = compared(["random", "evolution"])
    experiment(results.directory, lambda e: e["protocol"].update(repeats=repeats))
    expect(results.directory, "B4", "fail", f"repeated evaluations, with repeats = {repeats}")


def test_b4_means_under_drawn_seeds(compared: Compared) -> None:
    results = compared(seeds="mean")
    expect(results, "B4", "pass", "seeds = 'mean'")
    experiment(results.directory, lambda e: e["protocol"].update(seeds="random"))
    expect(results.directory, "B4", "fail", "whose training seed is not 'random'")


def test_b4_an_epoch_that_is_not_searched(copied: Path) -> None:
    experiment(copied, lambda e: e["benchmarks"][0].update(epochs=[12]))
    expect(copied, "B4", "fail", "epochs that are not searched")


@pytest.mark.parametrize(("overshoot", "workers"), [("keep", 1), ("keep", 3), ("drop", 1)])
def test_b4_a_budget_in_seconds_that_is_kept(
    compared: Compared, overshoot: str, workers: int
) -> None:
    results = compared(evaluations=None, seconds=3000.0, overshoot=overshoot, workers=workers)
    expect(results, "B4", "pass")
    if overshoot == "keep":  # evaluations end after the budget; none may where they are dropped
        experiment(results.directory, lambda e: e["protocol"].update(overshoot="drop"))
        expect(results.directory, "B4", "fail", "beyond the budget in seconds")


def test_b4_searched_on_test(copied: Path) -> None:
    experiment(copied, lambda e: e["benchmarks"][0]["objective"].update(split="test"))
    expect(copied, "B4", "fail", "split test")


def test_b4_the_best_epoch_by_the_test_metric(fashion: Path, tmp_path: Path) -> None:
    expect(fashion, "B4", "pass")
    copy = Path(shutil.copytree(fashion, tmp_path / "copy"))
    experiment(copy, lambda e: e["protocol"].update(final_epoch="best"))
    expect(copy, "B4", "fail", "best epoch by the test metric")


# B5, B6, B7.


def test_b5_one_evaluation_is_no_curve(compared: Compared) -> None:
    expect(compared(evaluations=1), "B5", "fail", "more than one evaluation")


@pytest.mark.parametrize(("place", "value"), [(5, 0.0), (5, np.nan), (0, np.inf)])
def test_b5_times_that_are_missing_or_run_backwards(copied: Path, place: int, value: float) -> None:
    shard(copied, lambda arrays: arrays["seconds"].__setitem__(place, value))
    expect(copied, "B5", "fail", "missing or run backwards")


@pytest.mark.parametrize("key", ["B2", "B5", "C2"])
def test_times_that_are_not_the_tables(copied: Path, key: str) -> None:
    shard(copied, lambda arrays: arrays["seconds"].__imul__(0.5))
    words = f"{CIFAR}, evolution: 60 of 60 times are not the sums of the table's train_seconds"
    expect(copied, key, "fail", words)


def test_times_of_workers_side_by_side_are_not_looked_up(compared: Compared) -> None:
    expect(compared(workers=3), "B5", "pass")


def test_b5_a_table_without_times(compared: Compared) -> None:
    expect(compared(benchmarks=["small-errors"]), "B5", "pass", "none, the tables have none")


def test_b6_random_search_took_part(plain: Path) -> None:
    expect(plain, "B6", "pass", "random took part")


def test_b6_random_search_is_all_there_is(compared: Compared) -> None:
    expect(compared(["random"]), "B6", "not applicable")


def test_b6_a_label_is_not_enough(compared: Compared) -> None:
    results = compared([early("random"), "evolution"])
    expect(results, "B6", "pass", "random search took no part", "(exact)")


def test_b6_exact_or_simulated_or_not_known(compared: Compared) -> None:
    expect(compared(["evolution"]), "B6", "pass", "small: ", "(exact)")
    timed = compared(["evolution"], evaluations=None, seconds=4000.0)
    expect(timed, "B6", "pass", "200 simulated runs, standard error")
    experiment(timed.directory, lambda e: e["protocol"].update(seconds=None))
    expect(timed.directory, "B6", "fail", "took no part", "needs a budget")


def test_b7_too_few_runs(compared: Compared) -> None:
    expect(compared(runs=4), "B7", "fail", "4 runs are too few")
    expect(compared(runs=5), "B7", "pass", "fewer than 20")
    assert "fewer than" not in box(compared(runs=20), "B7").evidence


def test_b7_one_run_many_times(compared: Compared) -> None:
    class Stubborn:
        def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
            self._cells = iter(problem.space.sample(np.random.default_rng(0), 99))

        def ask(self, n: int) -> list[Proposal]:
            return [Proposal(next(self._cells)) for _ in range(n)]

        def tell(self, observations: Any) -> None:
            pass

    stubborn = StrategySpec("stubborn", Stubborn, {})
    results = compared(["random", stubborn], seeds="mean")
    expect(results, "B7", "not recorded", "stubborn: all 24 runs are the same run")
    expect(compared(["random", stubborn]), "B7", "pass")  # other trainings of the same cells
