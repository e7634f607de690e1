"""The command ``verify``: what it prints and writes, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from commandline import Command, Done, below, succeeded

from nasbench_tab.cli_verify import _seconds
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.train.loop import Trainer
from nasbench_tab.verify.make import make_plan
from nasbench_tab.verify.plan import plan_file, read_plan, runs_folder, write_plan
from nasbench_tab.verify.record import bias_file


@pytest.fixture
def run(command: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(home))  # the command line's own is empty
    return command


def refused(done: Done, *words: str) -> None:
    assert done.code == 2
    message = " ".join(done.err.split())
    assert message.startswith("error: ")
    assert "Traceback" not in message
    for word in words:
        assert word in message


def test_a_dry_run_prints_the_plan_and_writes_nothing(run: Command, compared: Path) -> None:
    before = below(compared)
    text = succeeded(run("verify", str(compared), "--dry-run", "--top", "2", "--seeds", "2"))
    assert below(compared) == before
    lines = {" ".join(line.split()[:-1]): line.split()[-1] for line in text.splitlines() if line}
    for arm in ("winners of random 1 2", "the benchmark's own best 2 4", "random cells 2 4"):
        assert arm in lines
    assert float(lines["random cells 2 4"]) > 0
    assert "with the task tiny" in text
    assert "would be found in 80 % of verifications" in text
    assert "a chip" in text


def test_it_trains_and_goes_on(
    run: Command, compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("verify", str(compared), "--jobs", "1", "--device", "cpu")
    how = ("--top", "1", "--seeds", "1", "--margin", "0.4", "--trajectory", "0")
    text = succeeded(run(*arguments, *how))
    plan = read_plan(compared)
    assert (plan.top, plan.seeds_each, plan.margin) == (1, 1, 0.4)
    assert f"{plan.trainings} trainings well, 0 diverged, 0 failed, 0 not made yet" in text
    assert "goes on" not in text
    assert "a verdict needs at least 6" in text  # it ends with the bias
    assert f"Record: {bias_file(compared)}" in text
    judged = text[text.index("  cells  ") :]
    again = succeeded(run("bias", str(compared)))
    assert again[again.index("  cells  ") :] == judged
    (runs_folder(compared) / "runs.jsonl").unlink()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the device is lost")

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", fail)
        text = succeeded(run(*arguments))
    assert f"0 trainings well, 0 diverged, {plan.trainings} failed, 0 not made yet" in text
    assert "Record" not in text  # nothing to judge
    assert "The same command goes on and tries again what failed." in text
    text = succeeded(run(*arguments, "--budget", "0.000001s"))
    assert f"{plan.trainings} failed" in text
    assert repr(read_plan(compared)) == repr(plan)
    refused(run(*arguments, "--top", "3"), "is another plan", "its top is 1, not 3")


def test_the_published_recipe_needs_no_images_for_its_plan(
    run: Command, published: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(published, tmp_path / "x"))
    text = succeeded(run("verify", str(out), "--dry-run"))
    assert "with the task nb201-cifar10-200" in text
    assert "simulated seconds of the publishers' GPU" in text
    assert "No known cells" in text
    assert not plan_file(out).exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(
        run("verify", str(out), "--images", str(empty)), "cifar10 is not complete in", "Get the"
    )


def test_the_bias_of_nothing(run: Command, compared: Path) -> None:
    refused(run("bias", str(compared)), "no plan", "nasbench-tab verify")
    write_plan(compared, make_plan(compared))
    assert "inconclusive" in succeeded(run("bias", str(compared)))
    refused(run("bias", str(compared), "--learn", "new"), "no finished training", "verify")


def test_no_comparison(run: Command, tmp_path: Path) -> None:
    refused(run("verify", str(tmp_path)), "holds no comparison")


def test_a_damaged_comparison(run: Command, compared: Path) -> None:
    shutil.rmtree(compared / "runs")
    refused(run("verify", str(compared), "--dry-run"), "is unfinished")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("30m", 1800), ("45s", 45), ("1h30m", 5400), ("1.5h", 5400), ("1m30s", 90)],
)
def test_budgets(text: str, seconds: float) -> None:
    assert _seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "0s", "30m1h", "1..5h", "2 hours", "1d"])
def test_budgets_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="expected a time"):
        _seconds(text)
