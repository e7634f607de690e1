"""Boxes A1 to A5: each passes on evidence and, without it or against it, does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nasbench_tab import registry
from nasbench_tab.benchmarks.tablefile import write_table
from nasbench_tab.errors import ResultsError
from nasbench_tab.records import Protocol
from nasbench_tab.report import boxes_release, evidence
from nasbench_tab.search.compare import compare
from nasbench_tab.search.results import load_results
from report.conftest import Compared, early, small_table

from .checked import CIFAR, FASHION, box, expect, experiment, manifest, shard

# A1, A2, A3: what the table is.


def test_a1_a_table_of_ones_own_needs_the_authors_word(compared: Compared) -> None:
    results = compared()
    expect(results, "A1", "not recorded", "does not come with nasbench_tab", "licence, citation")


def test_a1_a_shipped_table_without_a_licence(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = registry.load(CIFAR)
    bench.about = {**bench.about, "licence": ""}  # this object's alone
    monkeypatch.setattr(evidence, "benchmark_behind", lambda *_: (bench, ""))
    expect(copied, "A1", "not recorded", "has no licence")


def test_a2_a_cell_that_the_space_cannot_read(copied: Path) -> None:
    experiment(copied, lambda e: e["benchmarks"][0].update(optimum_architecture="|none~9|"))
    expect(copied, "A2", "fail", "cannot read the best cell")


def test_a2_a_cell_that_the_space_writes_otherwise(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = registry.load_space("nasbench201")
    monkeypatch.setattr(type(space), "format", lambda *_: "other")
    expect(copied, "A2", "fail", "writes the best cell")


def test_a2_a_space_that_is_not_here_or_not_ours(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = registry.load_space("nasbench201")
    foreign = type("Foreign", (type(space),), {"__module__": "elsewhere.spaces"})()
    monkeypatch.setattr(boxes_release, "load_space", lambda name: foreign)
    expect(copied, "A2", "not recorded", "elsewhere.spaces")
    monkeypatch.undo()
    experiment(copied, lambda e: e["benchmarks"][0].update(space="unknown"))
    found = boxes_release.space_code(evidence.gather(load_results(copied)))
    assert (found.verdict, "is not at hand" in found.evidence) == ("not recorded", True)


def test_a3_seeds_that_the_source_names_and_that_it_does_not(plain: Path, fashion: Path) -> None:
    expect(plain, "A3", "not recorded", "seeds that the source does not name")
    expect(fashion, "A3", "pass", "with the seeds 0")


def test_a3_a_table_that_does_not_say_how_it_was_trained(home: Path, compared: Compared) -> None:
    write_table(home / "data" / "bare", small_table("bare", times=True), {"title": "bare"})
    expect(compared(benchmarks=["bare"]), "A3", "not recorded", "bare has no protocol")
    expect(compared(), "A3", "pass")


def test_a1_and_a3_of_a_benchmark_that_is_reported_on(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cells were found on a table that names its seeds, and scored on one that does not."""
    protocol = Protocol(evaluations=8, missing="masked", report=(CIFAR,))
    results = compare([FASHION], ["random"], runs=5, protocol=protocol, out=tmp_path / "out")
    expect(results, "A1", "pass", f"{FASHION}: ", f"{CIFAR}: ")
    expect(results, "A3", "not recorded", f"{CIFAR}: ", "seeds that the source does not name")
    assert FASHION not in box(results, "A3").evidence
    experiment(
        results.directory, lambda e: e["benchmarks"][0]["reported_hashes"].update({CIFAR: "other"})
    )
    expect(results.directory, "A1", "not recorded", f"{CIFAR} that is installed here is not")
    experiment(
        results.directory, lambda e: e["benchmarks"][0].update(reported_hashes={"gone": "other"})
    )
    expect(results.directory, "A1", "not recorded", "gone cannot be loaded here")


# A4, A5: the strategies.


def test_a4_another_source_under_the_same_release_and_under_another(copied: Path) -> None:
    experiment(copied, lambda e: e["strategies"][1].update(source_sha256="0" * 64))
    expect(copied, "A4", "fail", "source of evolution")
    manifest(copied, lambda m: m["versions"].update(nasbench_tab="0.0.1"))
    expect(copied, "A4", "not recorded", "source of evolution")


def test_a4_a_strategy_of_ones_own(compared: Compared) -> None:
    expect(compared(["random", early()]), "A4", "not recorded", "early is", "not part of")


def test_a5_a_setting_that_is_not_there(copied: Path) -> None:
    experiment(copied, lambda e: e["strategies"][1]["settings"].pop("tournament"))
    expect(copied, "A5", "fail", "evolution: tournament not recorded")


def test_a5_no_master_seed(copied: Path) -> None:
    experiment(copied, lambda e: e.update(seed=None))
    with pytest.raises(ResultsError, match=r"experiment\.seed is None"):
        box(copied, "A5")


@pytest.mark.parametrize("change", [{"population": 999}, {"tournament": "3"}, {"more": 1}])
def test_a5_settings_that_the_label_does_not_stand_for(
    copied: Path, change: dict[str, Any]
) -> None:
    experiment(copied, lambda e: e["strategies"][1]["settings"].update(change))
    expect(copied, "A5", "fail", f"evolution: {next(iter(change))}=", "its label stands for")


def test_a5_settings_that_a_manifest_writes_otherwise(compared: Compared) -> None:
    expect(compared(["evolution(population=5)", "random"]), "A5", "pass", "population=5")


def test_a5_nobody_can_see_whether_settings_lack(compared: Compared, copied: Path) -> None:
    expect(compared([early()]), "A5", "not recorded", "not found by its name")
    experiment(copied, lambda e: e["strategies"][1].update(source_sha256="0" * 64))
    expect(copied, "A5", "not recorded", "evolution is another one here")


@pytest.mark.parametrize("key", ["A5", "B7"])
def test_runs_that_are_not_numbered_from_zero(copied: Path, key: str) -> None:
    shard(copied, lambda arrays: arrays["runs"].__iadd__(1))
    expect(copied, key, "fail", f"{CIFAR}, evolution: the runs are not numbered 0 to 4")
