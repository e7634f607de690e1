"""The command line: protocols, presets, every switch of compare, sensitivity; docs/protocols.md."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from commandline import Command, below, succeeded
from protocoldocs import PAGE, generated, written

from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.report.provenance import repeat_command
from nasbench_tab.search.presets import PRESETS, fit
from nasbench_tab.search.protocol import switches
from nasbench_tab.search.results import load_results
from nasbench_tab.search.sensitivity import sensitivity

ADVICE = "Write it anew with `python tests/protocoldocs.py` and read the difference."


def refused(command: Command, arguments: list[str], words: str) -> None:
    before = below(Path.cwd())
    done = command(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert re.search(words, " ".join(done.err.split())), done.err
    assert below(Path.cwd()) == before


# The page.


@pytest.mark.parametrize("part", ["presets", "sources", "tables"])
def test_the_documented_tables_are_current(part: str) -> None:
    page = written(PAGE.read_text(encoding="utf-8"))
    assert page[part] == generated()[part], ADVICE


def test_every_switch_and_value_is_documented() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [row for row in text.split("<!-- presets -->")[0].splitlines() if row.startswith("| ")]
    known = switches()
    for name in Protocol._fields:
        [row] = [row for row in rows if f"`{name}`" in row.split("|")[2]]
        values = row.split("|")[3]
        assert all(f"`{value}`" in values for value in known.get(name, ())), name
        default = Protocol()._asdict()[name]
        if isinstance(default, str):
            assert values.split("`")[1] == default
    [kernels] = [row for row in rows if "`mutation`" in row]
    assert all(f"`{kernel}`" in kernels for kernel in ("uniform", "node-first", "each-position"))


def test_the_page_numbers_the_eleven_switches() -> None:
    numbers = re.findall(r"^\| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.M)
    assert sorted(set(map(int, numbers))) == list(range(1, 12))


# protocols.


def test_protocols_lists_switches_presets_and_sources(command: Command) -> None:
    text = succeeded(command("protocols"))
    for preset in PRESETS.values():
        assert f"{preset.name}: {preset.title}. {preset.source}." in text
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    for switch, values in {
        "seconds": ("20,000, 40,000, 120,000", "12,000", "10,000,000"),
        "overshoot": ("keep", "interpolate", "drop"),
        "overhead": ("measured",),
        "evolution": ("mutation='node-first'", "population=30"),
        "runs": ("500", "200"),
    }.items():
        assert all(value in rows[switch] for value in values), rows[switch]


@pytest.mark.parametrize("benchmark", ["nb201-cifar10", "nb201-fashion", "nbgraph-cora"])
def test_protocols_says_what_each_comes_to(command: Command, benchmark: str) -> None:
    text = succeeded(command("protocols", benchmark))
    said = dict(re.findall(rf"^(\S+) on {benchmark}: (.*)$", text, re.M))
    assert set(said) == set(PRESETS)
    for name, words in said.items():
        if words.startswith("not there: "):
            assert "no published budget" in words
            continue
        changes = fit(PRESETS[name], load(benchmark)).changes
        assert words == ("nearest: " + "; ".join(changes) if changes else "honoured")


def test_protocols_of_an_unknown_benchmark(command: Command) -> None:
    # The presets are no secret; what is asked for comes last and fails.
    done = command("protocols", "nb201-cifar1")
    assert done.code == 2
    assert "Unknown benchmark 'nb201-cifar1'" in done.err


# compare: presets.


def line(*more: str) -> list[str]:
    return [
        *("compare", "nb201-cifar10", "--runs", "2", "--jobs", "1", "--out", "out"),
        *("--strategies", "random", *more),
    ]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--preset", "naszilla"], "nb201-cifar10 cannot honour naszilla: test accuracy .*--nearest"),
        (["--preset", "naszila", "--nearest"], "Unknown preset 'naszila'. Did you mean naszilla"),
        (["--preset", "naszilla", "--budget", "5"], "sets budget and switches; leave out budget"),
        (["--preset", "naszilla", "--nearest", "--final", "seen", "--epoch", "3"],
         "leave out epoch, final"),
        (["--preset", "naszilla", "--workers", "2", "--budget", "5"], "leave out budget, workers"),
        ([], "Give --budget, for example --budget 100, or --preset"),
    ],
    ids=str,
)  # fmt: skip
def test_presets_that_are_refused(command: Command, more: list[str], words: str) -> None:
    refused(command, line(*more), words)


def test_a_preset_on_the_command_line(command: Command) -> None:
    text = succeeded(command(*line("--preset", "naszilla", "--nearest")))
    assert "random" in text
    experiment = json.loads(Path("out/manifest.json").read_text(encoding="utf-8"))["experiment"]
    assert experiment["preset"]["name"] == "naszilla"
    assert len(experiment["preset"]["changes"]) == 1
    assert load_results("out").protocol == PRESETS["naszilla"].protocol


# compare: every switch has an option, and the report's command uses it.

FASHION = [
    *("compare", "nb201-fashion", "--runs", "2", "--jobs", "1", "--out", "out"),
    *("--strategies", "random,successive-halving", "--missing", "masked"),
]


@pytest.mark.parametrize(
    ("options", "switches_"),
    [
        (
            ("--budget 300s --epoch 3 --seeds mean --validation once --overshoot interpolate "
            "--resume-training continue --incumbent full-training --repeats reuse --final seen "
            "--final-epoch best --training 5-epochs --final-training 5-epochs --workers 2 "
            "--report-on nb201-cifar10,nb201-cifar100 --limit parameters<=0.5 --second macs --failures 0.2"),
            {
                "seconds": 300.0, "epoch": 3, "seeds": "mean", "validation": "once",
                "overshoot": "interpolate", "resume": "continue", "incumbent": "full-training",
                "repeats": "reuse", "final": "seen", "final_epoch": "best", "training": "5-epochs",
                "final_training": "5-epochs", "workers": 2, "limits": (("parameters", 0.5),),
                "report": ("nb201-cifar10", "nb201-cifar100"), "second": "macs",
                "failures": 0.2,
            },
        ),
        (
            ("--budget 9,250.5s --seeds 0 --validation every --overshoot drop --repeats forbid "
            "--incumbent highest-epoch"),
            {
                "evaluations": 9, "seconds": 250.5, "seeds": 0, "validation": "every",
                "overshoot": "drop", "repeats": "forbid", "incumbent": "highest-epoch",
            },
        ),
    ],
    ids=["one", "two"],
)  # fmt: skip
def test_every_switch_has_an_option_that_the_report_repeats(
    command: Command, options: str, switches_: dict[str, Any]
) -> None:
    succeeded(command(*FASHION, *options.split()))
    results = load_results("out")
    assert results.protocol == Protocol(missing="masked", **switches_)
    repeat = repeat_command(results).replace("\\\n", " ").splitlines()[0]
    succeeded(command(*shlex.split(repeat)[1:], "--jobs", "1"))
    assert load_results("repeated").content_hash() == results.content_hash()


def test_all_switches_were_tried() -> None:
    tried = {"overhead", "patience"}  # not the same twice; no option
    [mark] = [
        mark
        for mark in test_every_switch_has_an_option_that_the_report_repeats.pytestmark
        if mark.name == "parametrize"
    ]
    for _, fields in mark.args[1]:
        tried |= set(fields)
    assert tried | {"missing"} == set(Protocol._fields)


def test_a_second_objective_prints_hypervolume(command: Command) -> None:
    arguments = line("--budget", "20", "--second", "latency")
    arguments[arguments.index("2")] = "6"
    text = succeeded(command(*arguments))
    assert "hypervolume ratio [95 %]" in text
    mean = load_results("out").frame()["hypervolume"].mean()
    assert f" {mean:#.4g} [" in text
    assert "hypervolume" not in succeeded(
        command(*[part if part != "out" else "other" for part in line("--budget", "5")])
    )


def test_measured_overhead_has_an_option_too(command: Command) -> None:
    succeeded(command(*line("--budget", "5", "--overhead", "measured")))
    results = load_results("out")
    assert results.protocol == Protocol(evaluations=5, overhead="measured")
    assert "--overhead measured" in repeat_command(results)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--validation", "one"], "protocol's 'validation' 'one'. Did you mean none|once"),
        (["--validation", "once"], "has no validation times .*Choose validation='none'"),
        (["--overhead", "wall"], "protocol's 'overhead' 'wall'. Known: measured, none"),
        (["--overshoot", "interpolate"], "is about a budget in seconds"),
        (["--final", "best"], "protocol's 'final' 'best'. Known: mean, seen"),
        (["--final-epoch", "first"], "protocol's 'final_epoch' 'first'. .*last"),
        (["--training", "12-epochs"], "training of nb201-cifar10 '12-epochs'. .*200-epochs"),
        (["--final-training", "12-epochs"], "training of nb201-cifar10 '12-epochs'"),
        (["--epoch", "12"], "has values after epoch 200; the protocol's epoch is 12"),
        (["--epoch", "x"], "Invalid value for '--epoch'"),
        (["--report-on", "nbgraph-cora"], "reports on nbgraph-cora, whose space is nasbench-graph"),
        (["--report-on", "nb201-cifar10"], "reports on 'nb201-cifar10' twice"),
        (["--report-on", "nb201-cifar1"], "Unknown benchmark 'nb201-cifar1'"),
        (["--second", "params"], "second objective of nb201-cifar10 'params'. Did you mean parameters"),
        (["--second", "valid_accuracy"], "'valid_accuracy' is the objective of nb201-cifar10 already"),
        (["--second", "train_seconds"], "'train_seconds' of nb201-cifar10 is not known before training"),
        (["--report-on", "nb201-fashion"], "nb201-fashion has no valid_accuracy of some of the 15,625"),
    ],
    ids=str,
)  # fmt: skip
def test_switches_that_are_refused(command: Command, more: list[str], words: str) -> None:
    refused(command, line("--budget", "5", *more), words)


# sensitivity.


def test_sensitivity_prints_what_it_found(command: Command) -> None:
    arguments = [
        *("sensitivity", "random", "nb201-cifar100", "--out", "out", "--runs", "6", "--jobs", "1"),
        *("--presets", "naszilla, nb201-2020"),
    ]
    text = succeeded(command(*arguments))
    answers = sensitivity(
        "random", "nb201-cifar100", "out", runs=6, presets=["naszilla", "nb201-2020"]
    )
    default, naszilla, nothing = answers
    lines = {row.split()[0]: row for row in text.splitlines() if row.strip()}
    assert f"{float(default.value.estimate):.4f} [" in lines["default"]
    assert f"{float(naszilla.value.estimate):.4f} [" in lines["naszilla*"]
    shift = naszilla.shift
    shown = f"{float(shift.estimate):.4f} [{float(shift.low):.4f}, {float(shift.high):.4f}]"
    assert shown in lines["naszilla*"]
    assert lines["nb201-2020*"].split()[1:] == ["-"] * 4
    moved = abs(float(naszilla.value.estimate - default.value.estimate))
    assert f"2 protocols: the answer moves by {moved:.3g} percentage points." in text
    for one in (naszilla, nothing):
        said = "; ".join(one.changes).rstrip(".")
        assert f"* {one.preset}: {said}.\n" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["random", "nb201-cifar10", "--presets", "nats"], "Unknown preset 'nats'"),
        (["randon", "nb201-cifar10"], "Unknown strategy 'randon'"),
        (["random", "nb201-cifar1"], "Unknown benchmark 'nb201-cifar1'"),
        (["random", "nb201-cifar10", "--runs", "0"], "runs must be a positive integer"),
    ],
)
def test_sensitivity_of_nonsense(command: Command, arguments: list[str], words: str) -> None:
    refused(command, ["sensitivity", *arguments, "--out", "out", "--jobs", "1"], words)
