"""The examples in docs/run-log.md are read, tabulated and run as they stand there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import nasbench_tab as nbt
from nasbench_tab.registry import load_space
from nasbench_tab.train.log import LoggedRun, read_log
from nasbench_tab.train.tabulate import tabulate

DOC = (Path(__file__).resolve().parents[2] / "docs" / "run-log.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """Return the one example in a language."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", DOC, re.DOTALL)
    assert isinstance(text, str)
    return text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both examples, made the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path))
    (tmp_path / "ours.jsonl").write_text(block("json"), encoding="utf-8")
    (tmp_path / "ours.csv").write_text(block("csv"), encoding="utf-8")
    return tmp_path


def test_both_forms_hold_the_same_runs(folder: Path) -> None:
    one, other = read_log(folder / "ours.jsonl"), read_log(folder / "ours.csv")
    assert [r._replace(curve={}) for r in one.runs] == [r._replace(curve={}) for r in other.runs]
    assert [r.curve for r in one.runs][:2] == [r.curve for r in other.runs][:2]
    assert [r.status for r in one.runs] == ["ok", "diverged", "failed"]


@pytest.mark.parametrize("name", ["ours.jsonl", "ours.csv"])
def test_the_examples_become_tables(name: str, folder: Path) -> None:
    summary = tabulate([folder / name], folder / "data" / "ours", load_space)
    assert (summary.architectures, summary.trainings) == (3, {0: 1})
    assert (summary.diverged, summary.failed) == (1, 1)
    first = json.loads(block("json").splitlines()[0])
    got = nbt.load("ours").query(first["architecture"], epoch=3)
    assert got == float(np.float32(70.9))


def test_the_python_example_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block("python"), "run-log.md", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out == "3 {0: 1} 1 1\n"
    assert (folder / "ours" / "manifest.toml").is_file()


def test_every_field_is_described() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| (yes|no) \|", DOC, re.MULTILINE)
    required = {name for name in LoggedRun._fields if name not in LoggedRun._field_defaults}
    assert dict(rows) == {
        "format": "yes",
        **{name: "yes" if name in required else "no" for name in LoggedRun._fields},
    }
