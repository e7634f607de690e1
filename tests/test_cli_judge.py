"""The commands check and replay: what they print, write and exit with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Command, below, succeeded

from nasbench_tab.report.author import read_answers
from nasbench_tab.report.boxes import PRACTICES
from nasbench_tab.report.checklist import checklist
from nasbench_tab.report.checklist_text import latex, markdown
from nasbench_tab.search.compare import compare
from nasbench_tab.search.results import load_results


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "out"
    compare(["nb201-cifar10"], ["random", "evolution"], runs=5, budget=6, out=out)
    return out


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def spoil(directory: Path) -> None:
    """Change one value of evolution's run 1."""
    path = next((directory / "runs").glob("*/evolution/*.npz"))
    with np.load(path) as file:
        arrays = dict(file)
    arrays["values"][7] = 12.5
    np.savez(path, **arrays)


# check.


def test_check_prints_all_boxes_and_touches_nothing(command: Command, out: Path) -> None:
    before = below(out)
    text = succeeded(command("check", str(out)))
    assert below(out) == before
    lines = text.splitlines()
    for key, practice in PRACTICES.items():
        assert sum(line.startswith(key) and practice in line for line in lines) == 1
    assert "12 of 16 boxes pass; 4 not recorded: A3, B3, C1, C2" in lines[-1]
    assert f"$ nasbench-tab report {out}" in text


@pytest.mark.parametrize(("name", "render"), [("markdown", markdown), ("latex", latex)])
def test_check_prints_other_formats_as_they_are(
    command: Command, out: Path, name: str, render: Any
) -> None:
    answers = '[B3]\nanswer = "pass"\nevidence = "[bold]:x: 50 % of [/] $x_1$"\n'
    (out / "answers.toml").write_text(answers)
    text = succeeded(command("check", str(out), "--format", name))
    assert text == render(checklist(load_results(out)))
    assert ":x: 50" in text


def test_check_text_takes_nothing_for_markup(command: Command, out: Path) -> None:
    answers = '[B3]\nanswer = "pass"\nevidence = "[bold]see [link=x] [/] here"\n'
    (out / "answers.toml").write_text(answers)
    text = succeeded(command("check", str(out)))
    assert "[bold]see [link=x] [/] here" in text
    assert "(author)" in text


def test_check_writes_a_file_to_fill_in_and_never_replaces_it(command: Command, out: Path) -> None:
    text = succeeded(command("check", str(out), "--init-answers"))
    assert f"{out / 'answers.toml'}: 4 boxes to answer." in text
    template = (out / "answers.toml").read_text()
    assert [key for key in PRACTICES if f"# [{key}]\n" in template] == ["A3", "B3", "C1", "C2"]
    assert read_answers(out / "answers.toml") == {}
    done = command("check", str(out), "--init-answers")
    assert (done.code, "exists already" in done.err) == (2, True)
    assert (out / "answers.toml").read_text() == template
    elsewhere = out.parent / "mine.toml"
    succeeded(command("check", str(out), "--init-answers", "--answers", str(elsewhere)))
    assert elsewhere.read_text() == template


def test_check_takes_answers_from_a_file(command: Command, out: Path) -> None:
    (out / "answers.toml").write_text('[C2]\nanswer = "pass"\nevidence = "here"\n')
    other = out.parent / "other.toml"
    other.write_text('[B3]\nanswer = "not applicable"\nevidence = "one part only"\n')
    text = succeeded(command("check", str(out), "--answers", str(other)))
    assert "3 not recorded: A3, C1, C2" in text
    assert "1 not applicable: B3" in text


def test_check_exits_with_1_only_where_it_is_asked_to(command: Command, out: Path) -> None:
    assert command("check", str(out), "--strict").code == 0  # what is not recorded has not failed
    spoil(out)
    assert "2 fail: B1, B8" in succeeded(command("check", str(out)))
    done = command("check", str(out), "--strict")
    assert (done.code, "2 fail: B1, B8" in done.out, done.err) == (1, True, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none"], "holds no comparison"),
        (["OUT", "--format", "html"], "Unknown format 'html'"),
        (["OUT", "--answers", "none.toml"], "cannot be read"),
    ],
)
def test_check_refuses(command: Command, out: Path, arguments: list[str], words: str) -> None:
    done = command("check", *(str(out) if a == "OUT" else a for a in arguments))
    assert (done.code, done.out) == (2, "")
    assert words in " ".join(done.err.split())


# replay.


def test_replay_says_that_it_is_identical(command: Command, out: Path) -> None:
    before = below(out)
    text = succeeded(command("replay", str(out), "--jobs", "1"))
    assert text.strip() == f"Identical, all runs: {load_results(out).content_hash()}"
    assert below(out) == before
    text = succeeded(command("replay", str(out), "--jobs", "1", "--runs", "2", "--out", "kept"))
    assert text.strip() == "Identical, the first 2 of 5 runs"
    assert load_results("kept").manifest["experiment"]["runs"] == 2


def test_replay_says_what_differs_first(command: Command, out: Path) -> None:
    spoil(out)
    done = command("replay", str(out), "--jobs", "1")
    assert done.code == 1
    first, last = done.out.splitlines()
    assert first.startswith(
        "run: nb201-cifar10, evolution, run 1, evaluation 2, values: 12.5 before, "
    )
    assert last.startswith("Different: sha256:")
    succeeded(command("replay", str(out), "--jobs", "1", "--runs", "1"))


def test_replay_says_what_is_known_before_only_once(command: Command, out: Path) -> None:
    path = out / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["experiment"]["strategies"][0]["source_sha256"] = "0" * 64
    manifest["versions"]["numpy"] = "1.0"
    path.write_text(json.dumps(manifest))
    done = command("replay", str(out), "--jobs", "1")
    assert done.code == 1
    lines = done.out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("version: numpy: 1.0 before")
    assert lines[1].startswith(f"strategy: random, source_sha256: {'0' * 64} before")
    assert lines[2].startswith("Different, though all runs are the same")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none"], "holds no comparison"),
        (["OUT", "--runs", "6"], "runs must be 1 to 5"),
        (["OUT", "--out", "OUT"], "holds this experiment already"),
    ],
)
def test_replay_refuses(command: Command, out: Path, arguments: list[str], words: str) -> None:
    done = command("replay", *(str(out) if a == "OUT" else a for a in arguments), "--jobs", "1")
    assert (done.code, done.out) == (2, "")
    assert words in " ".join(done.err.split())
