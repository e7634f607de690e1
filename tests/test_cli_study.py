"""The commands tune, book and ablate: what they print, write and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from nasbench_tab import cli_study
from nasbench_tab.errors import InvalidArgumentError, NasbenchTabError, UnknownNameError
from nasbench_tab.search.compare import compare
from nasbench_tab.search.specs import parse_budget

APP = typer.Typer()
for _command in (cli_study.tune, cli_study.book, cli_study.ablate):
    APP.command()(_command)

TUNE = ["tune", "evolution", "--benchmarks", "nb201-cifar100", "--budget", "6", "--jobs", "1"]
ABLATE = ["ablate", "evolution", "--benchmarks", "nb201-cifar10", "--budget", "6", "--jobs", "1"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cli_study, "out", Console(highlight=False, soft_wrap=True, width=300))


def printed(*arguments: str) -> str:
    """Run a command that succeeds."""
    done = CliRunner().invoke(APP, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refused(*arguments: str) -> NasbenchTabError:
    """Run a command that is refused before it writes anything."""
    done = CliRunner().invoke(APP, list(arguments))
    assert isinstance(done.exception, NasbenchTabError), done.output
    assert not list(Path.cwd().iterdir())
    return done.exception


def line_with(text: str, *words: str) -> str:
    found = [line for line in text.splitlines() if all(word in line for word in words)]
    assert len(found) == 1, text
    return found[0]


def test_tune_says_what_is_best_what_it_cost_and_what_not_to_do() -> None:
    over = ("--over", "population=3,5;tournament=2, 3")
    text = printed(*TUNE, *over, "--runs", "6", "--out", "t")
    (record,) = json.loads(Path("t/tuning.json").read_text(encoding="utf-8"))
    assert record["space"] == {"population": [3, 5], "tournament": [2, 3]}
    assert len([line for line in text.splitlines() if "population=" in line]) == 5
    assert record["chosen"] in line_with(text, "Best:")
    assert "of the 3 others cannot be told apart" in text
    cost = line_with(text, "Cost:")
    assert "144 evaluations" in cost
    assert f"{record['seconds']:,.0f} simulated seconds" in cost
    assert "Compare on other benchmarks" in line_with(text, "Tuned on nb201-cifar100")
    assert "fewer than 20 runs" in text
    # And the same again, resumed.
    again = printed(*TUNE, *over, "--runs", "6", "--out", "t", "--resume")
    assert line_with(again, "Best:") == line_with(text, "Best:")


def test_random_tuning_of_the_settings_as_given() -> None:
    text = printed(
        *TUNE, "--over", "population=3,10,20", "--method", "random", "--trials", "2",
        "--runs", "2", "--out", "t",
    )  # fmt: skip
    assert len([line for line in text.splitlines() if "population=" in line]) == 3
    assert "too few for an interval" in text
    assert "told apart" not in text


def test_book_flags_tuning_on_the_test() -> None:
    printed(*TUNE, "--over", "population=3,5", "--runs", "1", "--out", "t")
    compare(["nb201-cifar10"], ["random", "evolution"], runs=1, budget=2, out="fair")
    text = printed("book", "fair", "t")
    assert "12 evaluations of tuning booked on evolution." in text
    assert "not these settings" in text
    assert "Tuned on the test" not in text
    compare(["nb201-cifar100"], ["random", "evolution"], runs=1, budget=2, out="unfair")
    assert "nb201-cifar100 took part in tuning" in printed("book", "unfair", "t")
    text = printed("book", "unfair", "t", "--strategy", "random")
    assert "booked on random" in text


def test_ablate_prints_a_row_for_each_switch() -> None:
    text = printed(
        *ABLATE, "--switch", "tournament=1", "--switch", "population=3,50",
        "--protocol-switch", "repeats=reuse", "--runs", "6", "--out", "a",
    )  # fmt: skip
    record = json.loads(Path("a/ablation.json").read_text(encoding="utf-8"))
    assert [v["switch"] for v in record["variants"]] == [
        *("tournament", "population", "population", "protocol.repeats")
    ]
    rows = [line.split() for line in text.splitlines() if line.lstrip().startswith("nb201-cifar10")]
    assert [row[1:4] for row in rows] == [
        ["tournament", "3", "1"],
        ["population", "10", "3"],
        ["population", "10", "50"],
        ["protocol.repeats", "'pay'", "'reuse'"],
    ]
    assert all("[" in " ".join(row) for row in rows)
    assert "A positive difference: the variant is worse" in text


def test_a_protocol_is_set_by_its_switches() -> None:
    printed(
        *ABLATE, "--switch", "tournament=1", "--set", "repeats=reuse", "--set", "seeds=777",
        "--set", "missing=masked", "--runs", "1", "--out", "a",
    )  # fmt: skip
    manifest = json.loads(Path("a/manifest.json").read_text(encoding="utf-8"))
    protocol = manifest["experiment"]["protocol"]
    assert (protocol["repeats"], protocol["seeds"], protocol["evaluations"]) == ("reuse", 777, 6)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a=1,2.5", {"a": [1, 2.5]}),
        ("a=(1,2),[3,4]", {"a": [(1, 2), [3, 4]]}),
        ("a=None,True,word,two-words,'5'", {"a": [None, True, "word", "two-words", "5"]}),
        (" a = 1 , 2 ", {"a": [1, 2]}),
    ],
)
def test_values_are_plain_python_or_words(text: str, wanted: dict[str, Any]) -> None:
    assert cli_study._space([text], "--switch") == wanted


REFUSED: list[tuple[list[str], type[NasbenchTabError], str]] = [
    ([*TUNE, "--over", "population"], InvalidArgumentError, "expected setting=value,value"),
    ([*TUNE, "--over", "=5"], InvalidArgumentError, "expected setting=value,value"),
    ([*TUNE, "--over", "population="], InvalidArgumentError, "there is no value"),
    ([*TUNE, "--over", "population=5,5 6"], InvalidArgumentError, "'5 6' is no plain Python value"),
    ([*TUNE, "--over", "population=5,5"], InvalidArgumentError, "is given twice"),
    ([*TUNE, "--over", ""], InvalidArgumentError, "Tuning needs settings"),
    ([*TUNE, "--over", "popul=5,6"], InvalidArgumentError, "no setting 'popul'"),
    ([*TUNE, "--over", "population=5,six"], InvalidArgumentError, "whole number"),
    ([*TUNE, "--over", "population=5,6", "--method", "x"], UnknownNameError, "method of tuning"),
    ([*TUNE, "--over", "population=5,6", "--set", "repeat=pay"], UnknownNameError, "repeats"),
    ([*TUNE, "--over", "population=5,6", "--set", "seeds=1,2"], InvalidArgumentError, "one value"),
    (ABLATE, InvalidArgumentError, "needs something to switch"),
    ([*ABLATE, "--switch", "population=10"], InvalidArgumentError, "switches nothing"),
    ([*ABLATE, "--protocol-switch", "repeat=pay"], UnknownNameError, "repeats"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "kind", "words"), REFUSED)
def test_what_is_refused(arguments: list[str], kind: type[Exception], words: str) -> None:
    error = refused(*arguments, "--runs", "1", "--out", "t")
    assert isinstance(error, kind)
    assert words in str(error)


@pytest.mark.parametrize("budget", ["", "0", "x", "5,6", "1s,2s", "-3"])
def test_budgets_that_are_none(budget: str) -> None:
    arguments = [budget if part == "6" else part for part in ABLATE]
    assert "budget" in str(refused(*arguments, "--switch", "population=5", "--out", "a"))


def test_budgets() -> None:
    assert parse_budget("100, 5e3s") == (100, 5000.0)
    assert parse_budget("7s") == (None, 7.0)
