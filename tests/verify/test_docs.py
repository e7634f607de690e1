"""What docs/verification.md tells people to type is typed here, with a quicker recipe for the digits."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path

import pytest
from commandline import Command, succeeded

from nasbench_tab.fitting.make import make_surrogate
from nasbench_tab.predictors.store import read_surrogate
from nasbench_tab.train.tasks import TASKS
from nasbench_tab.verify.plan import read_plan

from .tiny import POOR, TASK

DOC = (Path(__file__).parents[2] / "docs/verification.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", DOC, re.DOTALL)


@pytest.mark.slow
def test_the_digits_can_be_tried(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = [block for block in BLOCKS if "digits" in block]
    quick = partial(make_surrogate, settings=POOR)
    monkeypatch.setattr("nasbench_tab.verify.learn.make_surrogate", quick)
    monkeypatch.setitem(TASKS, "nb201-digits", TASK._replace(name="nb201-digits"))
    monkeypatch.delitem(TASKS, "tiny")  # the same recipe by another name
    for variable, value in re.findall(r"^\$ export (\w+)=(.*)$", block, re.MULTILINE):
        monkeypatch.setenv(variable, value)
    commands = re.findall(r"^\$ nasbench-tab (.*)$", block, re.MULTILINE)
    assert len(commands) > 5
    for line in commands:
        words = shlex.split(line)
        succeeded(command(*words, *(() if words[0] == "tabulate" else ("--jobs", "1"))))
    results, learned = Path(words[1]), Path(words[-1])
    assert read_plan(results).task == "nb201-digits"
    assert read_surrogate(learned).manifest["origins"]["verification"] > 0


@pytest.mark.slow
def test_the_figures_of_the_published_recipe_are_those_of_the_page(command: Command) -> None:
    [block] = [block for block in BLOCKS if "cifar" in block]
    for line in re.findall(r"^\$ nasbench-tab (.*)$", block, re.MULTILINE):
        text = succeeded(command(*shlex.split(line), "--jobs", "1"))
    assert block.splitlines()[-1] in text
    cost = re.search(r"in all, each once +(\d+) +([\d.]+)", text)
    power = re.search(r"a bias of ([\d.]+ %) would be found .* below ([\d.]+ %)", text)
    assert cost is not None
    assert power is not None
    assert f"{cost[1]} trainings, {cost[2]} hours" in DOC
    found = " ".join(DOC.split())
    assert (
        f"a bias of {power[1]} would be found in 80 % of verifications; below {power[2]}" in found
    )
