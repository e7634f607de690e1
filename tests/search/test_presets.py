"""Published protocols: which tables honour them, what is changed where they do not, and compare(preset=...)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Command, succeeded

from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.errors import InvalidArgumentError, UnknownNameError
from nasbench_tab.records import Protocol
from nasbench_tab.registry import benchmark_names, load
from nasbench_tab.report.provenance import repeat_command, repeat_python
from nasbench_tab.search.compare import compare
from nasbench_tab.search.presets import (
    DEFAULT,
    PRESETS,
    Preset,
    as_written,
    fit,
    preset_named,
    settings_of,
)
from nasbench_tab.search.protocol import check_protocol, searched_space
from nasbench_tab.search.results import load_results
from nasbench_tab.search.specs import strategy_spec
from nasbench_tab.strategies.base import StrategySpec

from .switches import LONG, SHORT, shelved, two_trainings

NAMES = ["default", "nats-2021", "nb201-2020", "naszilla", "nb101-2019", "dehb-2021"]
#: Cells of a space that is measured whole, as a table needs it that honours a preset.
EVERY_CELL = list(product(range(5), repeat=6))

loaded = cache(load)


def test_the_presets_and_their_switches() -> None:
    assert list(PRESETS) == NAMES
    assert all(preset.name == name for name, preset in PRESETS.items())
    assert PRESETS["default"] is DEFAULT
    nats = PRESETS["nats-2021"]
    assert nats.budgets == {
        "nb201-cifar10": 20_000,
        "nb201-cifar100": 40_000,
        "nb201-imagenet16-120": 120_000,
    }
    assert nats.protocol._replace(training=None) == Protocol(
        validation="once", overshoot="interpolate"
    )
    assert PRESETS["nb201-2020"].budgets == {"nb201-cifar10": 12_000}
    assert PRESETS["naszilla"].protocol == Protocol(evaluations=150, seeds="mean", repeats="reuse")
    assert set(PRESETS["dehb-2021"].budgets.values()) == {1e7}


def test_an_unknown_preset_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"preset 'nats2021'. Did you mean nats-2021"):
        preset_named("nats2021")


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_of_a_preset_exist(name: str) -> None:
    preset = PRESETS[name]
    for strategy, settings in preset.settings.items():
        spec = strategy_spec(settings_of(preset, strategy))
        assert spec.settings == {**spec.settings, **settings}


def test_settings_of_its_own_are_kept() -> None:
    naszilla = PRESETS["naszilla"]
    assert settings_of(naszilla, "evolution(population=5)") == "evolution(population=5)"
    assert settings_of(naszilla, "random") == "random"
    assert settings_of(naszilla, "evolution") == (
        "evolution(population=30, tournament=10, mutation='each-position')"
    )


@pytest.mark.parametrize(
    ("given", "label", "written"),
    [
        ("evolution", "evolution(mutation='each-position', population=30, tournament=10)", None),
        ("evolution(population=10)", "evolution",
         "evolution(population=10, tournament=3, mutation='uniform')"),
        ("evolution(population=7)", "evolution(population=7)", None),
        ("local-search", "local-search", None),  # the preset's settings are its defaults
        ("random", "random", None),
        ("some.module:Thing", "some.module:Thing", None),
    ],
)  # fmt: skip
def test_what_to_write_for_the_same_strategy_again(
    given: str, label: str, written: str | None
) -> None:
    naszilla = PRESETS["naszilla"]
    settings = {}
    if ":" not in given:
        spec = strategy_spec(settings_of(naszilla, given))
        assert spec.label == label
        settings = spec.settings
    again = as_written(naszilla, label, settings)
    assert again == (written or label)
    if ":" not in given:
        assert strategy_spec(settings_of(naszilla, again)) == spec


# Every preset on every shipped table: honoured, or all changes named, or refused with the reason.

#: The one benchmark-specific reason why there is no nearest.
NO_BUDGET = {
    "nats-2021": {"nb201-cifar10", "nb201-cifar100", "nb201-imagenet16-120"},
    "nb201-2020": {"nb201-cifar10"},
    "nb101-2019": {"nb201-cifar10", "nb201-cifar100", "nb201-imagenet16-120"},
    "dehb-2021": {"nb201-cifar10", "nb201-cifar100", "nb201-imagenet16-120"},
}


def as_published(preset: Preset, benchmark: str) -> Protocol:
    seconds = preset.budgets.get(benchmark, preset.protocol.seconds)
    return preset.protocol._replace(seconds=seconds)


@pytest.mark.parametrize("benchmark", benchmark_names())
@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_honoured_or_says_why_not(name: str, benchmark: str) -> None:
    preset, bench = PRESETS[name], loaded(benchmark)
    if benchmark not in NO_BUDGET.get(name, {benchmark}):
        with pytest.raises(InvalidArgumentError, match=f"{name} has no published budget") as caught:
            fit(preset, bench)
        assert benchmark in str(caught.value)
        return
    fitted = fit(preset, bench)
    assert fitted.preset == name
    complete = bench.predicts or bench.space.size == len(bench.measured())
    assert (not fitted.changes) == (name == "default" and complete)
    said, protocol = " ".join(fitted.changes), fitted.protocol
    check_protocol(protocol, bench)  # it can be run
    assert searched_space(bench, protocol).sample(np.random.default_rng(0), 1)
    # No switch differs from the published one in silence, and nothing that it needs is lacking in silence.
    published = as_published(preset, benchmark)
    words = {
        "training": f"trainings of {preset.epochs} epochs are not in the table",
        "seconds": f"a budget for as many of them: {protocol.seconds or 0:,.0f} s",
        "validation": "validation times are not in the table",
        "missing": "cells were measured",
    }
    for field, before, now in zip(Protocol._fields, published, protocol, strict=True):
        assert before == now or words[field] in said, field
    has_test = any(m.split in ("test", "valid+test") for m in bench.metrics.values())
    lacks = {
        "test accuracy of the incumbent": preset.test and not has_test,
        "it was published for the space": preset.space not in ("", bench.space.name),
        "learning curves are not in the table": preset.curve and not bench.resumable,
        "epochs": preset.epochs not in (None, bench.epochs[-1]),
        "validation times": preset.protocol.validation != "none",
        "cells were measured": not complete,
    }
    for text, expected in lacks.items():
        assert (text in said) >= expected, text
    assert not said or any(lacks.values())


@pytest.mark.parametrize(
    ("name", "benchmark", "seconds"),
    [
        ("nats-2021", "nb201-cifar10", 20_000 * 200 / 12),
        ("nats-2021", "nb201-imagenet16-120", 2_000_000.0),
        ("nb201-2020", "nb201-cifar10", 200_000.0),
        ("dehb-2021", "nb201-cifar100", 1e7),
    ],
)
def test_a_longer_training_gets_a_budget_for_as_many(
    name: str, benchmark: str, seconds: float
) -> None:
    assert fit(PRESETS[name], loaded(benchmark)).protocol.seconds == seconds


# A table that has all that NATS-Bench's protocol needs.


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the name of a table of all 15,625 cells with both trainings."""
    home = tmp_path_factory.mktemp("whole")
    shelved(home, two_trainings("toy-whole", cells=EVERY_CELL))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_TAB_HOME", str(home))
        yield "toy-whole"


@pytest.fixture
def nats(monkeypatch: pytest.MonkeyPatch) -> Preset:
    """Register NATS-Bench's protocol with budgets for the toys, too."""
    budgets = dict.fromkeys(("toy-whole", "toy-two"), 210.0)
    preset = PRESETS["nats-2021"]._replace(name="nats-toys", budgets=budgets)
    monkeypatch.setitem(PRESETS, preset.name, preset)
    return preset


def test_a_table_that_honours_nats_bench(whole: str, nats: Preset, tmp_path: Path) -> None:
    fitted = fit(nats, load(whole))
    assert fitted.changes == ()
    assert fitted.protocol == nats.protocol._replace(seconds=210.0)
    results = compare(
        [whole], ["evolution", "random"], runs=6, out=tmp_path / "out", preset=nats.name
    )
    assert results.manifest["experiment"]["preset"] == {"name": "nats-toys", "changes": []}
    assert results.protocol == fitted.protocol
    for label in results.strategies:
        trials = results.trials(whole, label)
        assert set(trials.epochs.tolist()) == {12}
        assert trials.lengths.tolist() == [21] * 6  # 10.25 s each; the 21st overshoots 210 s
        assert trials.seconds[20] == pytest.approx(21 * 10.25)
        # 1001 - i after the long training of a cell with i after the short one, mean of its seeds
        assert trials.final["score"].tolist() == (1001.0 - trials.values).tolist()
    assert "--nearest" not in repeat_command(results)


def test_a_short_training_of_another_length_is_a_change(whole: str, nats: Preset) -> None:
    other = nats._replace(epochs=25)
    assert fit(other, load(whole)).changes == (
        "its full training has 25 epochs, that of the table 12",
    )


def test_final_values_of_the_short_training_are_a_change(home: Path, nats: Preset) -> None:
    shelved(home, two_trainings(default=SHORT))
    said = " ".join(fit(nats, load("toy-two")).changes)
    assert f"final values too are of {SHORT}" in said
    assert f"final values too are of {SHORT}" not in " ".join(
        fit(nats, _with_default(LONG)).changes
    )


def _with_default(label: str) -> TableBenchmark:
    """Return the shelved table as if ``label`` were its default."""
    return load("toy-two", training=label, source="table")


def test_a_preset_needs_training_times_for_a_budget_in_seconds() -> None:
    preset = PRESETS["nb101-2019"]._replace(budgets={"nbgraph-cora": 10.0})
    with pytest.raises(InvalidArgumentError, match="nbgraph-cora has no training times"):
        fit(preset, loaded("nbgraph-cora"))


# compare(preset=...).


@pytest.mark.parametrize("name", ["nats-2021", "nb201-2020", "naszilla", "nb101-2019", "dehb-2021"])
def test_without_nearest_a_change_is_refused_and_nothing_is_written(
    name: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(InvalidArgumentError, match=r"cannot honour .* --nearest") as caught:
        compare(["nb201-cifar10"], ["random"], runs=2, out=out, preset=name)
    for change in fit(PRESETS[name], loaded("nb201-cifar10")).changes:
        assert change in str(caught.value)
    assert not out.exists()


def test_a_preset_that_is_honoured_needs_no_nearest(tmp_path: Path) -> None:
    results = compare(["nb201-cifar10"], ["random"], runs=2, out=tmp_path / "out", preset="default")
    assert results.manifest["experiment"]["preset"] == {"name": "default", "changes": []}
    plain = compare(["nb201-cifar10"], ["random"], runs=2, out=tmp_path / "plain", budget=100)
    assert plain.protocol == results.protocol
    assert "preset" not in plain.manifest["experiment"]


@pytest.mark.parametrize(
    ("name", "benchmarks", "words"),
    [
        ("nats-2021", ["nb201-cifar10", "nb201-cifar100"], r"not the same protocol.*\(different seconds\)"),
        ("default", ["nb201-cifar10", "nb201-fashion"], r"not the same protocol.*\(different missing\)"),
        ("nb201-2020", ["nb201-cifar10", "nb201-cifar100"], "no published budget for nb201-cifar100"),
        ("nats", ["nb201-cifar10"], "Unknown preset 'nats'"),
        ("naszilla", ["nb201-cifar11"], "Unknown benchmark 'nb201-cifar11'"),
    ],
)  # fmt: skip
def test_one_comparison_has_one_protocol(
    name: str, benchmarks: list[str], words: str, tmp_path: Path
) -> None:
    with pytest.raises((InvalidArgumentError, UnknownNameError), match=words):
        compare(benchmarks, ["random"], runs=2, out=tmp_path / "out", preset=name, nearest=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "more", [{"budget": 5}, {"protocol": Protocol(evaluations=5)}], ids=["budget", "protocol"]
)
def test_a_preset_is_all_of_the_protocol(more: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"one of budget .*, protocol and preset"):
        compare(
            ["nb201-cifar10"], ["random"], runs=2, out=tmp_path / "out", preset="naszilla", **more
        )


def test_several_benchmarks_under_one_preset(tmp_path: Path) -> None:
    benchmarks = ["nb201-cifar10", "nb201-cifar100"]
    results = compare(
        benchmarks, ["random"], runs=2, out=tmp_path / "out", preset="naszilla", nearest=True
    )
    assert results.benchmarks == benchmarks
    assert len(results.manifest["experiment"]["preset"]["changes"]) == 1


OWN = ["evolution(population=10)", "evolution(population=7)", "local-search", "random"]


@pytest.mark.parametrize(
    ("name", "strategies"),
    [
        ("naszilla", ["evolution", *OWN[1:]]),
        ("naszilla", OWN),  # the first has its defaults, written as such
        ("nats-2021", ["evolution", "reinforce"]),
        ("dehb-2021", ["successive-halving", "asha"]),
    ],
)
def test_the_manifest_says_the_changes_and_the_command_repeats_them(
    name: str, strategies: list[str], command: Command, tmp_path: Path
) -> None:
    assert PRESETS[name].protocol.overhead == "none"  # else no two runs are the same
    results = compare(
        ["nb201-cifar10"], strategies, runs=2, out=tmp_path / "out", preset=name, nearest=True
    )
    fitted = fit(PRESETS[name], loaded("nb201-cifar10"))
    assert results.protocol == fitted.protocol
    assert results.manifest["experiment"]["preset"] == {
        "name": name,
        "changes": list(fitted.changes),
    }
    for given, label in zip(strategies, results.strategies, strict=True):
        expected = strategy_spec(settings_of(PRESETS[name], given))
        assert results.strategy(label)["settings"] == expected.settings
    line = repeat_command(results).replace("\\\n", " ").splitlines()[0]
    assert f"--preset {name} --nearest" in line
    assert not re.search("--budget|--repeats|--seeds|--overshoot", line)
    succeeded(command(*shlex.split(line)[1:], "--jobs", "1"))
    assert load_results("repeated").content_hash() == results.content_hash()
    Path("repeated").rename("first")
    python = repeat_python(results).splitlines()
    exec("\n".join(line for line in python if "write_report" not in line), {})  # noqa: S102
    assert load_results("repeated").content_hash() == results.content_hash()


def test_strategies_that_are_no_names_are_left_as_they_are(tmp_path: Path) -> None:
    spec = strategy_spec("evolution")
    assert isinstance(spec, StrategySpec)
    results = compare(
        ["nb201-cifar10"],
        [spec],
        runs=2,
        out=tmp_path / "out",
        preset="naszilla",
        nearest=True,
    )
    assert results.strategy("evolution")["settings"] == spec.settings


def test_measured_overhead_changes_the_clock_alone(tmp_path: Path) -> None:
    parts = [
        compare(
            ["nb201-cifar10"],
            ["random"],
            runs=3,
            out=tmp_path / name,
            preset="nb201-2020",
            nearest=True,
        ).trials("nb201-cifar10", "random")
        for name in ("one", "two")
    ]
    # A run may end one evaluation earlier on a machine that was busy: compare what both have.
    for run in range(3):
        ends = [np.cumsum(part.lengths)[run] for part in parts]
        begins = [end - part.lengths[run] for end, part in zip(ends, parts, strict=True)]
        both = min(end - begin for end, begin in zip(ends, begins, strict=True))
        assert both > 50
        one, two = (p.values[b : b + both] for p, b in zip(parts, begins, strict=True))
        np.testing.assert_array_equal(one, two)
    assert set(parts[0].final) == {
        "valid_accuracy",
        "nb201-cifar100:valid_accuracy",
        "nb201-imagenet16-120:valid_accuracy",
    }
