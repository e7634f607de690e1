"""Everything that the README and the examples tell people to type is typed here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from commandline import Command, succeeded

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TRAINING = (ROOT / "docs/training.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder with the examples in it, made the current one."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def here(command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command line, in an empty folder with the examples in it.

    In this process, and in no other: one that is started anew imports everything again.
    """
    Path("examples").symlink_to(ROOT / "examples")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return command


def test_there_is_something_to_test() -> None:
    assert len(PYTHON) >= 3
    assert len(CONSOLE) >= 3


def test_python_blocks_run_in_order(project: Path) -> None:
    names: dict[str, object] = {}
    for block in PYTHON:
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102
    assert (project / "out/second/report/index.html").is_file()


def test_console_blocks_run_and_print_what_they_show(here: Command) -> None:
    for block in CONSOLE:
        for line, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            words = shlex.split(line)
            assert words[0] == "nasbench-tab"
            said = succeeded(here(*words[1:]))
            assert not shown or said == shown, line


def test_what_the_page_on_training_shows_runs(here: Command) -> None:
    for block in re.findall(r"```console\n(.*?)```", TRAINING, re.DOTALL):
        for line in re.findall(r"^\$ (nasbench-tab .*)$", block, re.MULTILINE):
            succeeded(here(*shlex.split(line)[1:]))
    for block in re.findall(r"```python\n(.*?)```", TRAINING, re.DOTALL):
        exec(compile(block, "training.md", "exec"), {})  # noqa: S102
    assert Path("out/live.jsonl").is_file()


def test_paths_named_in_the_readme_exist() -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", ["Annealing", "neighbor_of_best"])
def test_example_strategies_keep_the_contract(
    name: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nasbench_tab.testing import check_strategy

    monkeypatch.syspath_prepend(str(project))
    check_strategy(f"examples.own_strategy:{name}")
