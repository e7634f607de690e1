"""What docs/surrogates.md tells people to type is typed here, with fewer and smaller trees."""

from __future__ import annotations

import json
import re
import shlex
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commandline import Command, succeeded

from nasbench_tab.fitting import make
from nasbench_tab.predictors.trees import Settings
from nasbench_tab.report import assessed
from nasbench_tab.search.agreement import agreement

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/surrogates.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|console)\n(.*?)```", PAGE, re.DOTALL)


def test_every_block_runs_in_order(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Settings(members=2, rounds=4, depth=2, rate=0.5)
    monkeypatch.setattr(make, "Settings", lambda: few)
    monkeypatch.setattr(assessed, "agreement", partial(agreement, repetitions=5))
    # A process that is started anew imports everything again.
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    names: dict[str, Any] = {}
    typed = []
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, "surrogates.md", "exec"), names)  # noqa: S102
            continue
        for line in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
            if line == "export NASBENCH_TAB_HOME=$PWD":
                monkeypatch.setenv("NASBENCH_TAB_HOME", str(Path.cwd()))
                continue
            first, *words = shlex.split(line)
            assert first == "nasbench-tab"
            succeeded(command(*words))
            typed.append(words[0])
    assert typed == ["fit", "assess", "query", "query", "compare"]
    assert len(Path("runs.csv").read_text(encoding="utf-8").splitlines()) == 501
    found = json.loads(Path("surrogates/mine/assessment.json").read_text(encoding="utf-8"))
    assert (found["runs"], found["draws"]) == (500, 3)
    answer = names["answer"]
    assert answer.lower < answer.value < answer.upper
    assert not answer.novel


def test_files_and_flags_that_it_names_are_there(command: Command) -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (ROOT / "docs" / path).exists(), path
    for path in re.findall(r"`(tools/\w+\.py)", PAGE):
        assert (ROOT / path).exists(), path
    known = succeeded(command("fit", "--help")) + succeeded(command("assess", "--help"))
    known += succeeded(command("query", "--help")) + succeeded(command("compare", "--help"))
    for tool in ("accuracy", "candidates"):
        known += (ROOT / f"tools/{tool}.py").read_text("utf-8")
    for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)):
        assert flag in known, flag
