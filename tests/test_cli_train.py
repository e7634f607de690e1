"""The commands that train, collect and tabulate: what they print and write, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Command, Done, succeeded
from typer.testing import CliRunner, Result

import nasbench_tab as nbt
from nasbench_tab import cli, cli_train, registry
from nasbench_tab.errors import NasbenchTabError, TrainingError
from nasbench_tab.records import Architecture
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.train.log import LoggedRun, RunLog, read_log
from nasbench_tab.train.loop import Trainer
from nasbench_tab.train.plan import collection_order, draws, planned
from nasbench_tab.train.tasks import TASKS

SPACE = NasBench201()
CELL: Architecture = (0, 0, 0, 3, 0, 0)
SAME: Architecture = (0, 0, 3, 3, 0, 0)  # a dead edge more
ARCH = SPACE.format(CELL)
_DIGITS = TASKS["nb201-digits"]


@pytest.fixture(autouse=True)
def tiny(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that takes a tenth of a second; an empty current folder and user's folder."""
    recipe = _DIGITS.recipe._replace(side=4, epochs=2, batch=500, average=0.5)
    monkeypatch.setitem(TASKS, "tiny", _DIGITS._replace(name="tiny", recipe=recipe))


def run(*arguments: str) -> Result:
    """Run through typer's own runner, without the entry point's handling of errors."""
    return CliRunner().invoke(cli.app, arguments)


def printed(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(done: Done, *words: str) -> None:
    """It ended with code 2 and a message with all ``words``, and printed nothing else."""
    assert done.code == 2
    assert done.out == ""
    message = " ".join(done.err.split())
    assert message.startswith("error: ")
    assert "Traceback" not in message
    for word in words:
        assert word in message


def runs_in(log: str) -> list[LoggedRun]:
    return read_log(Path(log)).runs


def cells_in(log: str) -> list[tuple[Architecture, int]]:
    return [(SPACE.parse(found.architecture), found.seed) for found in runs_in(log)]


COLLECT = ("collect", "tiny", "--device", "cpu", "--jobs", "1", "--log", "x.jsonl")
TRAIN = ("train", "tiny", ARCH, "--device", "cpu")

# train.


def test_train_prints_a_line_for_each_epoch() -> None:
    lines = printed(*TRAIN).splitlines()
    assert len(lines) == 3
    for number, line in enumerate(lines[:2], 1):
        assert line.startswith(f"epoch   {number}  train ")
        assert line.endswith(" s")
        assert line.count(" %") == 3
    assert lines[2].startswith(f"{ARCH}  seed 0  ok on ")
    assert list(Path().iterdir()) == []


def test_train_takes_an_index_and_trains_the_canonical_cell() -> None:
    assert SPACE.canonical(SAME) == CELL
    expected = printed(*TRAIN).splitlines()
    for arch in (str(SPACE.index(CELL)), str(SPACE.index(SAME)), SPACE.format(SAME)):
        lines = printed("train", "tiny", arch, "--device", "cpu").splitlines()
        assert lines[2] == expected[2]
        for line, other in zip(lines[:2], expected[:2], strict=True):
            assert line.split()[:11] == other.split()[:11]  # all but the seconds


def test_train_appends_to_a_log() -> None:
    printed(*TRAIN, "--log", "new/x.jsonl", "--seed", "3")
    [found] = runs_in("new/x.jsonl")
    assert (found.architecture, found.seed, found.origin, found.task) == (ARCH, 3, "train", "tiny")
    before = Path("new/x.jsonl").read_bytes()
    out = printed(*TRAIN, "--log", "new/x.jsonl", "--seed", "3")
    assert "new/x.jsonl holds this run already." in out
    assert Path("new/x.jsonl").read_bytes() == before
    printed(*TRAIN, "--log", "new/x.jsonl")
    assert cells_in("new/x.jsonl") == [(CELL, 3), (CELL, 0)]


def test_train_goes_on_from_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Trainer._one_epoch

    def stop(trainer: Trainer) -> None:
        if trainer.epoch == 1:
            raise KeyboardInterrupt
        real(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_one_epoch", stop)
        assert run(*TRAIN, "--checkpoint", "x.pt").exit_code != 0
    lines = printed(*TRAIN, "--checkpoint", "x.pt").splitlines()
    assert [line.split()[0] for line in lines] == ["epoch", ARCH]
    assert lines[0].split()[:11] == printed(*TRAIN).splitlines()[1].split()[:11]


def test_a_foreign_checkpoint_is_refused(command: Command) -> None:
    printed(*TRAIN, "--checkpoint", "x.pt")
    refused(command(*TRAIN, "--seed", "1", "--checkpoint", "x.pt"), "another training", "seed")
    Path("x.pt").write_bytes(b"damaged")
    refused(command(*TRAIN, "--checkpoint", "x.pt"), "cannot be read as a checkpoint", "Delete it")


def test_a_diverged_training_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    task = TASKS["tiny"]
    wild = task._replace(recipe=task.recipe._replace(peak=1e30))
    monkeypatch.setitem(TASKS, "tiny", wild)
    out = printed(*TRAIN, "--log", "x.jsonl")
    assert f"{ARCH}  seed 0  diverged on " in out
    assert [found.status for found in runs_in("x.jsonl")] == ["diverged"]


# The line about the table.


def tabulated(home: Path, *changes: tuple[str, int, float]) -> None:
    """Make the user's table ``tiny`` of the run in x.jsonl, with some values changed."""
    [found] = runs_in("x.jsonl")
    for metric, epoch, more in changes:
        found.curve[metric][epoch] += more
    RunLog(Path("changed.jsonl")).append(found)
    printed("tabulate", "changed.jsonl", "--out", str(home / "data" / "tiny"))


def test_train_finds_the_same_curve_in_the_table(tmp_path: Path) -> None:
    printed(*TRAIN, "--log", "x.jsonl")
    tabulated(tmp_path / "home")
    value = nbt.load("tiny").query(CELL)
    last = printed(*TRAIN).splitlines()[-1]
    assert last == f"The table tiny says {value:.2f} %: the same curve, to the last bit."


@pytest.mark.parametrize(
    ("change", "verdict"),
    [(("valid_accuracy", 1, 1.5), "-1.50"), (("test_loss", 0, 0.25), "+0.00")],
)
def test_train_finds_another_curve_in_the_table(
    tmp_path: Path, change: tuple[str, int, float], verdict: str
) -> None:
    printed(*TRAIN, "--log", "x.jsonl")
    tabulated(tmp_path / "home", change)
    assert printed(*TRAIN).endswith(f" %: {verdict} points here.\n")


def test_train_says_that_the_table_lacks_the_training(tmp_path: Path) -> None:
    printed(*TRAIN, "--log", "x.jsonl")
    tabulated(tmp_path / "home")
    words = "The table tiny does not hold this training.\n"
    assert printed(*TRAIN, "--seed", "5").endswith(words)
    assert printed("train", "tiny", "0", "--device", "cpu").endswith(words)


def test_a_table_of_other_metrics_is_compared_in_what_both_have(tmp_path: Path) -> None:
    printed(*TRAIN, "--log", "x.jsonl")
    [found] = runs_in("x.jsonl")
    for curve, words in (
        ({"valid_accuracy": found.curve["valid_accuracy"]}, "the same curve"),
        ({"valid_error": [1.0, 2.0]}, "does not hold this training"),
    ):
        Path("other.jsonl").unlink(missing_ok=True)
        RunLog(Path("other.jsonl")).append(found._replace(curve=curve))
        where = ("--out", str(tmp_path / "home" / "data" / "tiny"))
        printed("tabulate", "other.jsonl", *where, "--objective", *curve)
        assert words in printed(*TRAIN)


# collect.


def test_collect_trains_the_first_cells_of_the_fixed_order() -> None:
    expected = planned(collection_order(SPACE)[:9], (0, 1, 2), 8)
    out = printed(*COLLECT, "--cells", "9")
    assert out == "13 trained, 0 diverged, 0 failed; 0 were there already. Log: x.jsonl\n"
    assert cells_in("x.jsonl") == expected
    assert {found.origin for found in runs_in("x.jsonl")} == {"collection"}
    out = printed(*COLLECT, "--cells", "10")
    assert out == "1 trained, 0 diverged, 0 failed; 13 were there already. Log: x.jsonl\n"


def test_collect_takes_a_list_of_strings_and_indices() -> None:
    Path("cells.txt").write_text(f"{ARCH}\n\n{SPACE.index(SAME)}\r\n  +0 \n")
    out = printed(*COLLECT, "--list", "cells.txt", "--seeds", "4,2", "--every", "3")
    assert out.startswith("3 trained, 0 diverged, 0 failed; 0 were there already.")
    other = SPACE.canonical(SPACE.unindex(0))
    assert cells_in("x.jsonl") == [(CELL, 4), (CELL, 2), (other, 4)]


def test_seeds_and_every_of_collect() -> None:
    printed(*COLLECT, "--cells", "3", "--seeds", "7, 1", "--every", "2")
    order = collection_order(SPACE)[:3]
    assert cells_in("x.jsonl") == planned(order, (7, 1), 2)


def test_cells_cuts_a_list() -> None:
    Path("cells.txt").write_text("0\n1\n2\n")
    printed(*COLLECT, "--list", "cells.txt", "--cells", "2", "--seeds", "0")
    assert len(runs_in("x.jsonl")) == 2


def test_collect_into_a_folder() -> None:
    arguments = [*COLLECT[:-1], "folder", "--cells", "1", "--seeds", "0"]
    assert printed(*arguments).endswith("Log: folder\n")
    assert len(runs_in("folder")) == len(runs_in("folder/runs.jsonl")) == 1


def test_collect_counts_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> object:
        raise TrainingError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", fail)
        out = printed(*COLLECT, "--cells", "1", "--seeds", "0")
    assert out.startswith("0 trained, 0 diverged, 1 failed; 0 were there already.")
    assert printed(*COLLECT, "--cells", "1", "--seeds", "0").startswith("1 trained, ")


def test_collect_keeps_the_origin_that_it_is_given() -> None:
    printed(*COLLECT, "--cells", "1", "--seeds", "0", "--origin", "a whim")
    assert [found.origin for found in runs_in("x.jsonl")] == ["a whim"]


def test_collect_trains_what_a_strategy_proposes() -> None:
    how = ("--strategy", "evolution(population=2)", "--cells", "6", "--seed", "3", "--seeds", "5,1")
    out = printed(*COLLECT, *how)
    assert out.startswith("6 evaluations, the best valid_accuracy ")
    assert out.endswith(". Log: x.jsonl\n")
    found = runs_in("x.jsonl")
    assert {(one.origin, one.seed) for one in found} == {("evolution", 5)}
    bench = nbt.load("tiny", source="live", log="x.jsonl", seeds=(5,), device="cpu")
    protocol = nbt.Protocol(evaluations=6, repeats="reuse")
    search = nbt.run_search("evolution(population=2)", bench, protocol, seed=3)
    proposed = [SPACE.canonical(tuple(cell)) for cell in search.architectures.tolist()]
    assert [cell for cell, _ in cells_in("x.jsonl")] == list(dict.fromkeys(proposed))
    assert len(runs_in("x.jsonl")) == len(found)


def test_a_strategys_collection_goes_on_where_it_was_killed() -> None:
    how = ("--strategy", "random", "--seed", "1", "--origin", "uniform")
    whole = printed(*COLLECT[:-1], "whole.jsonl", *how, "--cells", "4")
    printed(*COLLECT, *how, "--cells", "2")
    first = Path("x.jsonl").read_bytes()
    assert printed(*COLLECT, *how, "--cells", "4") == whole.replace("whole", "x")
    assert Path("x.jsonl").read_bytes().startswith(first)
    assert cells_in("x.jsonl") == cells_in("whole.jsonl")
    assert {found.origin for found in runs_in("x.jsonl")} == {"uniform"}


def test_a_large_space_is_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "tiny", TASKS["tiny"]._replace(space="nasbench201-macro"))
    printed(*COLLECT, "--cells", "2", "--seeds", "0")
    space = registry.load_space("nasbench201-macro")
    assert [space.parse(one.architecture) for one in runs_in("x.jsonl")] == draws(space, 2)


# tabulate.


def test_tabulate_makes_a_table(tmp_path: Path) -> None:
    printed(*COLLECT, "--cells", "2", "--seeds", "0,1")
    folder = tmp_path / "home" / "data" / "mine"
    out = printed("tabulate", "x.jsonl", "--out", str(folder))
    bench = nbt.load("mine")
    counts, digest, place = out.splitlines()
    assert counts == (
        "mine: 2 architectures; trainings: 2 with seed 0, 1 with seed 1; 0 diverged, 0 failed, "
        "0 bytes of unfinished lines left out."
    )
    assert (digest, place) == (bench.fingerprint, f"Folder: {folder}")
    for found in runs_in("x.jsonl"):
        value = np.float32(found.curve["valid_accuracy"][-1])
        assert bench.query(found.architecture, seed=found.seed) == value


def test_tabulate_by_another_objective(tmp_path: Path) -> None:
    printed(*TRAIN, "--log", "x.jsonl")
    folder = tmp_path / "home" / "data" / "mine"
    printed("tabulate", "x.jsonl", "--out", str(folder), "--objective", "valid_loss")
    assert nbt.load("mine").objective.direction == "min"


# What is refused, with exit code 2 and before anything is trained.


def test_the_runner_sees_our_errors() -> None:
    assert isinstance(run("train", "nonsense", ARCH).exception, NasbenchTabError)


NO_TASK: list[tuple[list[str], list[str]]] = [
    (["train", "nb201-digit", ARCH], ["Unknown task 'nb201-digit'", "nb201-digits"]),
    (["collect", "digits", "--log", "x.jsonl"], ["Unknown task 'digits'", "nb201-digits"]),
    (["train", "tiny", "|none~0|"], ["not a NAS-Bench-201 architecture string"]),
    (["train", "tiny", "15625"], ["no NAS-Bench-201 architecture 15625"]),
    (["train", "tiny", ""], ["not a NAS-Bench-201 architecture string"]),
    ([*TRAIN, "--seed", "-1"], ["training seed", "got -1"]),
    ([*TRAIN, "--seed", str(2**63)], ["training seed", "below"]),
    ([*TRAIN[:3], "--device", "cuda:99"], ["'cuda:99' cannot be used", "Choose auto, cpu or cuda"]),
    ([*TRAIN[:3], "--device", "tpu"], ["'tpu' cannot be used"]),
    (
        ["train", "nb201-fashion", ARCH, "--folder", "none"],
        ["not complete in none", "train-images"],
    ),
    ([*TRAIN, "--log", "x.txt"], ["no log to append to", ".jsonl"]),
    ([*TRAIN, "--log", "damaged.jsonl"], ["damaged.jsonl:1", "not JSON"]),
    ([*COLLECT[:-1], "x.csv"], ["no log to append to", ".jsonl"]),
    ([*COLLECT[:-1], "damaged.jsonl"], ["damaged.jsonl:1", "not JSON"]),
    ([*COLLECT, "--device", "cuda:99"], ["'cuda:99' cannot be used"]),
    (
        ["collect", "nb201-fashion", "--log", "x.jsonl", "--folder", "none"],
        ["not complete in none", "train-images"],
    ),
    ([*COLLECT, "--cells", "0"], ["--cells must be 1 or more; got 0"]),
    ([*COLLECT, "--every", "0"], ["--every must be 1 or more; got 0"]),
    ([*COLLECT, "--strategy", "random"], ["--strategy needs --cells"]),
    (
        [*COLLECT, "--strategy", "random", "--cells", "2", "--list", "bad.txt"],
        ["--strategy needs --cells, and proposes cells without --list"],
    ),
    ([*COLLECT, "--strategy", "evolutoin", "--cells", "2"], ["Unknown strategy 'evolutoin'"]),
    ([*COLLECT, "--strategy", "random", "--cells", "2", "--seed", "-1"], ["seed must be", "-1"]),
    (
        ["collect", "macro-fashion", "--log", "x.jsonl"],
        ["nasbench201-macro is too large to train all of it; give --cells"],
    ),
    ([*COLLECT, "--seeds", "0,x"], ["--seeds '0,x'", "as in 0,1,2"]),
    ([*COLLECT, "--seeds", ""], ["--seeds ''", "as in 0,1,2"]),
    ([*COLLECT, "--seeds", "0,-1"], ["--seeds '0,-1'", "0 or more"]),
    ([*COLLECT, "--list", "none.txt"], ["--list none.txt cannot be read"]),
    ([*COLLECT, "--list", "empty.txt"], ["--list empty.txt is empty"]),
    ([*COLLECT, "--list", "bad.txt"], ["no NAS-Bench-201 architecture 99999"]),
    ([*COLLECT, "--list", "binary.txt"], ["--list binary.txt cannot be read"]),
    (["tabulate", "none.jsonl", "--out", "t"], ["none.jsonl cannot be read"]),
    (["tabulate", "empty.jsonl", "--out", "t"], ["no run in it"]),
    (["tabulate", "damaged.jsonl", "--out", "t"], ["damaged.jsonl:1", "not JSON"]),
    (["tabulate", ".", "--out", "t"], ["folder without logs"]),
]


@pytest.mark.parametrize(("arguments", "words"), NO_TASK)
def test_what_is_refused(
    command: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    for name, content in (
        ("damaged.jsonl", b"{'a': 1}\n"),
        ("empty.jsonl", b""),
        ("empty.txt", b" \n"),
        ("bad.txt", b"0\n99999\n"),
        ("binary.txt", b"\xff\xfe"),
    ):
        Path(name).write_bytes(content)
    before = {path: path.read_bytes() for path in Path().iterdir()}

    def refuse(*_: object) -> None:
        raise AssertionError("it trained")

    monkeypatch.setattr("nasbench_tab.train.once.Trainer", refuse)
    refused(command(*arguments), *words)
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_cuda_without_cuda(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    refused(command(*TRAIN[:3], "--device", "cuda"), "sees 0 CUDA devices here", "Choose auto")
    refused(command(*COLLECT, "--device", "cuda"), "sees 0 CUDA devices here", "Choose auto")


def test_a_training_out_of_memory(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> object:
        raise TrainingError("cpu is out of memory")

    monkeypatch.setattr(Trainer, "advance", fail)
    refused(command(*TRAIN, "--log", "x.jsonl"), "cpu is out of memory")


def test_logs_of_two_ways_of_training_make_no_table(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed(*TRAIN, "--log", "x.jsonl")
    task = TASKS["tiny"]
    other = task._replace(recipe=task.recipe._replace(peak=0.5))
    monkeypatch.setitem(TASKS, "tiny", other)
    printed(*TRAIN, "--log", "y.jsonl")
    done = command("tabulate", "x.jsonl", "y.jsonl", "--out", "t")
    refused(
        done,
        "not trained in one way",
        "x.jsonl:1",
        "y.jsonl:1",
        f"peak ({task.recipe.peak} and 0.5)",
    )
    assert not Path("t").exists()


def test_an_objective_that_is_not_there(command: Command) -> None:
    printed(*TRAIN, "--log", "x.jsonl")
    done = command("tabulate", "x.jsonl", "--out", "t", "--objective", "test_loss")
    refused(done, "'test_loss' cannot be the objective", "valid_accuracy, valid_loss")


def test_what_typer_refuses(command: Command) -> None:
    for arguments in (["train", "tiny"], ["collect", "tiny"], ["tabulate", "x.jsonl"]):
        assert command(*arguments).code == 2


def test_without_pytorch_there_is_a_way_to_get_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for arguments in (TRAIN, (*COLLECT, "--cells", "1")):
        refused(command(*arguments), "needs PyTorch", "pip install 'nasbench_tab[train]'")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("what", ["train", "collect", "tabulate"])
def test_help(command: Command, what: str) -> None:
    assert f"nasbench-tab {what}" in succeeded(command(what, "--help"))


# The installed command, in processes of its own.


def installed(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).with_name("nasbench-tab")
    return subprocess.run([script, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_installed_command_trains() -> None:
    done = installed("train", "nb201-digits", ARCH, "--device", "cpu", "--log", "x.jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("epoch ") == _DIGITS.recipe.epochs
    [found] = runs_in("x.jsonl")
    assert found.recipe_fields == _DIGITS.recipe._asdict()
    out = printed("tabulate", "x.jsonl", "--out", "t")
    assert out.startswith("t: 1 architectures; trainings: 1 with seed 0;")


def test_the_installed_command_tabulates_without_pytorch(tmp_path: Path) -> None:
    printed(*TRAIN, "--log", "x.jsonl")
    script = "import sys; sys.modules['torch'] = None; from nasbench_tab.cli import main; main()"

    def without(*arguments: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = without("tabulate", "x.jsonl", "--out", "t")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("t: 1 architectures")
    done = without(*TRAIN)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'nasbench_tab[train]'" in " ".join(done.stderr.split())


def test_the_commands_are_those_of_the_module() -> None:
    names = {command.callback for command in cli.app.registered_commands}
    assert {getattr(cli_train, name) for name in cli_train.__all__} <= names
