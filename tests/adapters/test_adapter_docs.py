"""What docs/adapters.md, docs/own-method.md and the examples of adapters tell people to type is typed here."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from commandline import Command, succeeded

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    name: (ROOT / "docs" / name).read_text("utf-8") for name in ("adapters.md", "own-method.md")
}


@pytest.mark.parametrize("name", PAGES)
def test_every_block_runs_in_order(
    name: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "adapters.md":
        for library in ("optuna", "pymoo", "ConfigSpace"):
            pytest.importorskip(library)
    Path("examples").symlink_to(ROOT / "examples")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    names: dict[str, Any] = {}
    ran = {"python": 0, "console": 0}
    for kind, block in re.findall(r"```(python|console)\n(.*?)```", PAGES[name], re.DOTALL):
        ran[kind] += 1
        if kind == "python":
            exec(compile(block, name, "exec"), names)  # noqa: S102
            continue
        for line, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            first, *words = shlex.split(line)
            assert first == "nasbench-tab"
            said = succeeded(command(*words))
            assert not shown or said == shown, line
    assert min(ran.values()) >= 1


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_short_and_what_it_names_is_there(name: str) -> None:
    assert len(PAGES[name].splitlines()) <= 150
    for path in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", PAGES[name]):
        assert (ROOT / "docs" / path).exists(), path
    for path in re.findall(r"`python (examples/\w+\.py)`", PAGES[name]):
        assert (ROOT / path).exists(), path


EXAMPLES = {
    "optuna_search": ("optuna", r"with a pruner: epochs \[1, 3, 5\]"),
    "nevergrad_search": ("nevergrad", r"nevergrad\(budget=40\): best of 40 evaluations"),
    "pymoo_search": ("pymoo", r"pymoo: best .*; [1-9]\d* cells were too large"),
    "smac_search": ("smac", r"smac\(trials=40\): best .* 40 different cells"),
    "configspace_export": ("ConfigSpace", r"\[200\]"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    library, words = EXAMPLES[name]
    pytest.importorskip(library)
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    assert re.search(words, capsys.readouterr().out)
