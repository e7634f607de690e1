"""The command line: exit code 2 and a message for bad input and damaged tables."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
from commandline import ARCH, Command, below, compare, succeeded

from nasbench_tab import registry
from nasbench_tab.registry import load

# Bad input: exit code 2, a message, no traceback, nothing written.


def line(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else ""


def refused(command: Command, arguments: list[str], words: str) -> None:
    before = below(Path.cwd())
    done = command(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.err
    message = " ".join(done.err.split())
    assert re.search(words, message), message
    assert done.out == ""
    assert below(Path.cwd()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "strategy"], r"error: Unknown list 'strategy'. Did you mean strategies"),
        (["info", "nb201-cifar1"], "Unknown benchmark 'nb201-cifar1'. Did you mean .*nb201-cifar10"),
        (["info", "[bold]x"], r"Unknown benchmark '\[bold\]x'"),
        (["query", "cifar", "11"], "Unknown benchmark 'cifar'"),
        (["query", "nb201-cifar10", "15625"], "no NAS-Bench-201 architecture 15625. .* 0 to 15624"),
        (["query", "nb201-cifar10", "--", "-1"], "no NAS-Bench-201 architecture -1. .* 0 to 15624"),
        (["query", "nb201-cifar10", "--", "--5"], "'--5' is not a NAS-Bench-201 architecture"),
        (["query", "nb201-cifar10", "--", "+-5"], r"'\+-5' is not a NAS-Bench-201 architecture"),
        (["query", "nb201-cifar10", "²"], "'²' is not a NAS-Bench-201 architecture"),
        (["query", "nb201-cifar10", "11.5"], "'11.5' is not a NAS-Bench-201 architecture"),
        (["query", "nb201-cifar10", ""], "'' is not a NAS-Bench-201 architecture"),
        (["query", "nb201-cifar10", ARCH[:-1]], "must start and end with|is not a NAS-Bench-201"),
        (["query", "nb201-cifar10", ARCH.replace("none", "nun")], "Unknown operation 'nun'. Did you mean none"),
        (["query", "nb201-cifar10", ARCH.replace("none~0", "none~1")], "must come from node 0"),
        (["query", "nb201-cifar10", "11", "--metric", "acuracy"], "Unknown metric of nb201-cifar10 'acuracy'. Did you mean valid_accuracy"),
        (["query", "nb201-cifar10", "11", "--epoch", "12"], "no values at epoch 12. It has 200"),
        (["query", "nb201-cifar10", "11", "--epoch", "0"], "no values at epoch 0. It has 200"),
        (["query", "nb201-cifar10", "11", "--seed", "5"], "no training seed 5. It has 777, 888, 999"),
        (["query", "nb201-cifar10", "11", "--seed", "x"], "Invalid value for '--seed'"),
        (["query", "nb201-cifar10"], "Missing argument"),
        (["query", "nbgraph-cora", "8888"], "no architecture 8888 in nasbench-graph"),
        (["serach"], "No such command 'serach'"),
        (["list", "--colour"], "No such option"),
        (["report", "nothing"], "nothing holds no comparison"),
    ],
    ids=line,
)  # fmt: skip
def test_bad_input(command: Command, arguments: list[str], words: str) -> None:
    refused(command, arguments, words)


def test_a_seed_that_exists_but_not_for_this_cell(command: Command) -> None:
    bench = load("nb201-cifar10")
    index = next(i for i in range(1000) if -1 in bench.seeds(i))
    refused(
        command,
        ["query", "nb201-cifar10", str(index), "--seed", "777"],
        "no valid_accuracy of .* for training seed 777.*exist for this cell: -1, -2",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--budget", "0"], "budget in evaluations must be a positive integer; got 0"),
        (["--budget", "-5"], "budget in evaluations must be a positive integer; got -5"),
        (["--budget", "0s"], "budget in seconds must be positive; got 0.0"),
        (["--budget", "-1s"], "budget in seconds must be positive; got -1.0"),
        (["--budget", "nans"], "budget in seconds must be positive; got nan"),
        (["--budget", "infs"], "budget in seconds must be positive; got inf"),
        (["--budget", ""], "needs a budget"),
        (["--budget", ","], "needs a budget"),
        (["--budget", "ten"], "--budget 'ten': expected evaluations"),
        (["--budget", "1e3"], "--budget '1e3': expected evaluations"),
        (["--budget", "10m"], "--budget '10m': expected evaluations"),
        (["--budget", "s"], "--budget 's': expected evaluations"),
        (["--budget", "10;20s"], "--budget '10;20s': expected evaluations"),
        (["--budget", "10,20"], "--budget '10,20': expected evaluations"),
        (["--budget", "10s,20s"], "--budget '10s,20s': expected evaluations"),
        (["--runs", "0"], "runs? .*0"),
        (["--runs", "many"], "Invalid value for '--runs'"),
        (["--seed", "-1"], "master seed must .*-1"),
        (["--jobs", "0"], "jobs"),
        (["--workers", "0"], "workers must be a positive integer; got 0"),
        (["--seeds", "men"], "protocol's 'seeds' 'men'. Did you mean mean"),
        (["--seeds", "7"], "no training seed 7. It has 777, 888, 999"),
        (["--seeds=--7"], "protocol's 'seeds' '--7'"),
        (["--seeds", "²"], "protocol's 'seeds' '²'"),
        (["--seeds", "777"], "holds 8169 of the 15625 .*missing='masked'|--missing"),
        (["--overshoot", "kep"], "protocol's 'overshoot' 'kep'. Did you mean keep"),
        (["--repeats", "free"], "protocol's 'repeats' 'free'. .*pay, reuse"),
        (["--resume-training", "continu"], "protocol's 'resume' 'continu'. Did you mean continue"),
        (["--resume-training", "continue"], "holds separate trainings"),
        (["--incumbent", "best"], "protocol's 'incumbent' 'best'"),
        (["--missing", "surrogate"], "protocol's 'missing' 'surrogate'"),
        (["--limit", "parameters<1"], "--limit 'parameters<1': expected metric<=value"),
        (["--limit", "parameters<="], "--limit 'parameters<=': expected metric<=value"),
        (["--limit", "parameters<=one"], "--limit 'parameters<=one': expected metric<=value"),
        (["--limit", "parameters<=nan"], "limit on 'parameters' must be a number"),
        (["--limit", "<=1"], "Unknown metric of nb201-cifar10 ''"),
        (["--limit", "parametres<=1"], "Unknown metric .*'parametres'. Did you mean .*parameters"),
        (["--limit", "valid_accuracy<=1"], "limit on 'valid_accuracy' would show the strategy"),
        (["--strategies", "evolutoin"], "Unknown strategy 'evolutoin'. Did you mean evolution"),
        (["--strategies", "random,random"], "'random' is given twice"),
        (["--strategies", "evolution(popluation=5)"], "no setting 'popluation'"),
        (["--strategies", "evolution(5)"], "every setting needs its name"),
        (["--strategies", "evolution(population=0)"], "population"),
        (["--strategies", "evolution(population='x')"], "population"),
        (["--strategies", "no_such_module:Thing"], "no module 'no_such_module'"),
        (["--strategies", ""], "at least one benchmark and one strategy"),
    ],
    ids=line,
)  # fmt: skip
def test_bad_comparisons(command: Command, change: list[str], words: str) -> None:
    refused(command, compare(*change), words)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("nb201-cifar1", "Unknown benchmark 'nb201-cifar1'"),
        ("nb201-cifar10,nb201-cifar10", "given twice"),
        ("", "at least one benchmark"),
        ("nb201-cifar10;nbgraph-cora", "Unknown benchmark 'nb201-cifar10;nbgraph-cora'"),
    ],
)
def test_bad_benchmarks_of_a_comparison(command: Command, names: str, words: str) -> None:
    refused(command, ["compare", names, "--budget", "3", "--out", "out", "--jobs", "1"], words)


def test_options_that_must_be_given(command: Command) -> None:
    refused(command, ["compare", "nb201-cifar10", "--budget", "3"], "Missing option '--out'")
    refused(command, ["compare", "nb201-cifar10", "--out", "out"], "Give --budget")


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_foreign_output_directory_is_left_alone(command: Command, resume: list[str]) -> None:
    Path("out").mkdir()
    Path("out/thesis.tex").write_text("mine", encoding="utf-8")
    refused(command, compare(*resume), "out exists and holds something that is no comparison")


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_another_experiment_is_left_alone(command: Command, resume: list[str]) -> None:
    succeeded(command(*compare()))
    refused(command, compare(*resume, budget="5"), "out holds another experiment")


def test_a_file_in_the_place_of_the_directory(command: Command) -> None:
    Path("out").write_text("mine", encoding="utf-8")
    refused(command, compare(), "out exists and holds something that is no comparison")


# Tables that cannot be trusted.


@pytest.fixture
def copied(command: Command, tmp_path: Path) -> Path:
    """Return the folder of a copy of a shipped table under the name ``copied``."""
    folder = tmp_path / "home" / "data" / "copied"
    shutil.copytree(registry.table_folder("nbgraph-proteins"), folder)
    return folder


def altered(path: Path) -> None:
    with h5py.File(path / "table.h5", "r+") as file:
        file["architectures"][0, 0] = 8 - file["architectures"][0, 0]


def truncated(path: Path) -> None:
    content = (path / "table.h5").read_bytes()
    (path / "table.h5").write_bytes(content[: len(content) // 2])


def without_manifest_text(path: Path) -> None:
    (path / "manifest.toml").write_text("name = ", encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (altered, r"table\.h5 is not the table that its manifest describes.* altered"),
        (truncated, r"table\.h5 .*truncated or damaged"),
        (lambda path: (path / "table.h5").unlink(), "cannot be read as a table .*missing"),
        (without_manifest_text, r"manifest\.toml cannot be read"),
    ],
    ids=["altered", "truncated", "missing", "manifest"],
)
def test_a_damaged_table(
    command: Command, copied: Path, damage: Callable[[Path], Any], words: str
) -> None:
    damage(copied)
    for arguments in (
        ["info", "copied"],
        ["query", "copied", "61237"],
        ["compare", "copied", "--budget", "3", "--out", "out", "--jobs", "1"],
    ):
        refused(command, arguments, words)
    assert "copied" in succeeded(command("list"))
