"""Boxes C1 to C3: each passes on evidence and, without it or against it, does not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.benchmarks.tablefile import write_table
from nasbench_tab.search.experiment import experiment_of, write_experiment
from nasbench_tab.search.results import load_results
from report.conftest import Compared, small_table

from .checked import CIFAR, expect, shard

# C1, C2, C3.

RECORD = {
    "strategy": "evolution",
    "space": {"population": [5, 10]},
    "benchmarks": ["nb201-cifar100"],
    "runs": 20,
    "evaluations": 4000,
    "seconds": 7e6,
    "cpu_seconds": 0.5,
    "directory": "../tuned",
}


def test_c1_nothing_says_how_settings_were_chosen(copied: Path) -> None:
    expect(copied, "C1", "not recorded", "settings of evolution")
    (copied / "tuning.json").write_text("{")
    expect(copied, "C1", "not recorded", "cannot be read")


def test_c1_no_strategy_has_settings(compared: Compared) -> None:
    expect(compared(["random"]), "C1", "not applicable")


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({}, "pass", "4,000 evaluations on nb201-cifar100, 7,000,000 s simulated and 0 s of CPU"),
        ({"booked_on": "evolution"}, "pass", "4,000 evaluations"),
        ({"seconds": None}, "pass", "0 s of CPU"),
        ({"overlap": [CIFAR]}, "pass", "which this comparison uses too"),
        ({"booked_on": "reinforce"}, "fail", "books tuning on reinforce, which took no part"),
        ({"space": {"population": [5, 20]}}, "fail", "population is none of the values"),
        ({"benchmarks": []}, "not recorded", "benchmarks or cost"),
        ({"evaluations": 0}, "not recorded", "benchmarks or cost"),
        ({"seconds": None, "cpu_seconds": None}, "not recorded", "benchmarks or cost"),
    ],
)
def test_c1_a_record_of_tuning(
    copied: Path, change: dict[str, Any], verdict: str, words: str
) -> None:
    (copied / "tuning.json").write_text(json.dumps([{**RECORD, **change}]))
    expect(copied, "C1", verdict, words)


def test_c1_tuning_counts_for_the_strategy_that_it_is_booked_on(compared: Compared) -> None:
    directory = compared(["evolution", "evolution(population=5)"]).directory
    records = [{**RECORD, "booked_on": "evolution"}]
    (directory / "tuning.json").write_text(json.dumps(records))
    expect(directory, "C1", "not recorded", "settings of evolution(population=5) were chosen")
    records.append({**RECORD, "booked_on": "evolution(population=5)"})
    (directory / "tuning.json").write_text(json.dumps(records))
    expect(directory, "C1", "pass", "evolution(population=5): 4,000 evaluations")


def test_c1_in_the_directory_of_a_tuning_its_own_record_is_no_booking(copied: Path) -> None:
    (copied / "tuning.json").write_text(json.dumps([{**RECORD, "booked_on": None}]))
    expect(copied, "C1", "not recorded", "settings of evolution")


def test_c2_all_clocks_and_a_table_that_lacks_one(plain: Path, fashion: Path) -> None:
    expect(fashion, "C2", "pass", "s simulated with the final training")
    expect(plain, "C2", "not recorded", "validation time is not known")


def test_c2_no_times_and_no_cpu_times(compared: Compared, fashion: Path, tmp_path: Path) -> None:
    expect(compared(benchmarks=["small-errors"]), "C2", "not recorded", "search time is not known")
    copy = Path(shutil.copytree(fashion, tmp_path / "copy"))
    shard(copy, lambda arrays: arrays["cpu_seconds"].fill(np.nan))
    expect(copy, "C2", "not recorded", "overhead time is not known")


def test_c3_experiment_toml_agrees_or_does_not(copied: Path) -> None:
    expect(copied, "C3", "pass")
    (copied / "experiment.toml").unlink()
    expect(copied, "C3", "not recorded", "no experiment.toml")
    asked = experiment_of(load_results(copied).manifest["experiment"])
    write_experiment(copied / "experiment.toml", asked._replace(tuning=("../tuned",)))
    expect(copied, "C3", "pass")
    write_experiment(copied / "experiment.toml", asked._replace(runs=6))
    expect(copied, "C3", "fail", "experiment.toml is not the experiment")
    (copied / "experiment.toml").write_text("runs = ")
    expect(copied, "C3", "fail", "no TOML")


def test_c3_a_table_of_unknown_origin(home: Path, compared: Compared) -> None:
    expect(compared(), "C3", "not recorded", "neither devices and versions nor a publication")
    about = {"title": "known", "device": ["Abacus"], "versions": ["torch 2"]}
    write_table(home / "data" / "known", small_table("known", times=True), about)
    expect(compared(benchmarks=["known"]), "C3", "pass")
