"""Plans that are carried out: whole, in parts, killed, with failures, under a budget."""

from __future__ import annotations

import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nasbench_tab.errors import (
    DatasetError,
    InvalidArgumentError,
    LogError,
    ResultsError,
    TrainingError,
)
from nasbench_tab.records import Architecture
from nasbench_tab.train import collect as collect_module
from nasbench_tab.train.log import RunLog, read_log
from nasbench_tab.train.loop import Trainer
from nasbench_tab.train.tasks import TASKS
from nasbench_tab.verify import run as run_module
from nasbench_tab.verify.plan import Plan, plan_file, read_plan, runs_folder, training_order
from nasbench_tab.verify.run import ORIGIN, Done, retrained, settled_plan, verify

from .tiny import CELLS, SPACE, TASK, make_comparison, make_table

ROOT = Path(__file__).parents[2]


def small(directory: Path, **arguments: Any) -> Plan:
    return settled_plan(directory, **{"top": 1, "seeds": 1, "trajectory": 0, **arguments})


def trained(directory: Path, plan: Plan, **how: Any) -> Done:
    return verify(directory, plan, **{"jobs": 1, "device": "cpu", **how})


def numbers(directory: Path, plan: Plan) -> list[list[tuple[int, str, float]]]:
    """What was found, without times."""
    return [
        [(one.seed, one.status, one.value) for one in each] for each in retrained(directory, plan)
    ]


def pairs(plan: Plan) -> set[tuple[Architecture, int]]:
    return {(SPACE.canonical(cell), seed) for cell, seed in training_order(plan)}


@pytest.fixture(scope="module")
def finished(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison whose verification is through; to be read only."""
    out = tmp_path_factory.mktemp("finished") / "compared"
    shutil.copytree(home / "compared", out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_TAB_HOME", str(home))
        patch.setitem(TASKS, "tiny", TASK)
        plan = small(out)
        assert trained(out, plan) == Done(plan.trainings, 0, 0, 0)
    return out


def broken(
    monkeypatch: pytest.MonkeyPatch, errors: Mapping[int, BaseException] | BaseException
) -> None:
    """Let trainings fail: all of them, or some, counted from 0."""
    real, begun = Trainer.advance, iter(range(10**9))

    def advance(trainer: Trainer, *args: Any, **how: Any) -> Any:
        number = next(begun)
        if isinstance(errors, BaseException):
            raise errors
        if number in errors:
            raise errors[number]
        return real(trainer, *args, **how)

    monkeypatch.setattr(Trainer, "advance", advance)


def test_every_training_of_the_plan_is_made_once(finished: Path) -> None:
    plan, runs = read_plan(finished), read_log(runs_folder(finished)).runs
    assert {(SPACE.parse(run.architecture), run.seed) for run in runs} == pairs(plan)
    assert len(runs) == plan.trainings
    assert {(run.origin, run.task, run.status) for run in runs} == {(ORIGIN, "tiny", "ok")}
    by_key = {(SPACE.parse(run.architecture), run.seed): run for run in runs}
    for claim, found in zip(plan.claims, retrained(finished, plan), strict=True):
        assert tuple(one.seed for one in found) == claim.seeds
        for one in found:
            run = by_key[SPACE.canonical(claim.cell), one.seed]
            assert one.value == np.float32(run.curve["valid_accuracy"][claim.epoch - 1])
            assert one.device == run.device


def test_nothing_is_trained_twice(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, AssertionError("it trained"))
    before = (runs_folder(finished) / "runs.jsonl").read_bytes()
    plan = settled_plan(finished)
    assert repr(plan) == repr(read_plan(finished))
    assert trained(finished, plan).ok == plan.trainings
    assert (runs_folder(finished) / "runs.jsonl").read_bytes() == before


def test_the_plan_is_written_before_anything_is_trained(
    compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small(compared)
    assert not plan_file(compared).exists()
    broken(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        trained(compared, plan)
    assert repr(read_plan(compared)) == repr(plan)
    assert numbers(compared, plan)[0][0][1] == "missing"


def test_what_was_interrupted_goes_on_to_the_same_numbers(
    finished: Path, compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        broken(patch, {2: KeyboardInterrupt()})
        with pytest.raises(KeyboardInterrupt):
            trained(compared, small(compared))
    assert len(read_log(runs_folder(compared)).runs) == 2
    plan = settled_plan(compared)
    assert trained(compared, plan).ok == plan.trainings
    assert repr(plan._replace(date="")) == repr(read_plan(finished)._replace(date=""))
    assert numbers(compared, plan) == numbers(finished, plan)
    assert len(read_log(runs_folder(compared)).runs) == plan.trainings


def test_known_cells_come_out_as_they_were_logged(home: Path, tmp_path: Path) -> None:
    """A table of real trainings, so that the pipeline has no drift here."""
    log = tmp_path / "real.jsonl"
    some = [(cell, seed) for cell in CELLS[:2] for seed in (0, 1)]
    collect_module.collect(TASK, SPACE, some, log, jobs=1, device="cpu")
    make_table(home, "real", log)
    out = make_comparison(tmp_path / "x", "real", strategies=["random"])
    plan = small(out, margin=1.0)
    trained(out, plan)
    drift = [
        one.value - dict(claim.known)[one.seed]
        for claim, found in zip(plan.claims, retrained(out, plan), strict=True)
        if claim.arm == "known"
        for one in found
    ]
    assert drift == [0.0]


# --- What goes wrong ------------------------------------------------------------------------------------


def test_failed_trainings_are_recorded_and_the_rest_goes_on(
    finished: Path, compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small(compared)
    errors = {
        0: TrainingError("cuda is out of memory"),
        1: RuntimeError("CUDA error: the device is lost"),
        3: MemoryError("no more"),
    }
    with monkeypatch.context() as patch:
        broken(patch, errors)
        done = trained(compared, plan)
    assert done == Done(plan.trainings - 3, 0, 3, 0)
    failed = [run for run in read_log(runs_folder(compared)).runs if run.status == "failed"]
    assert len(failed) == 3
    assert all(str(e) in run.error for e, run in zip(errors.values(), failed, strict=True))
    found = [one for each in retrained(compared, plan) for one in each if one.status == "failed"]
    assert found
    assert all(math.isnan(one.value) and one.error for one in found)
    assert trained(compared, plan).ok == plan.trainings  # they are tried again
    assert numbers(compared, plan) == numbers(finished, plan)


def test_divergence_is_an_outcome(compared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, real = small(compared), Trainer._one_epoch

    def one_epoch(trainer: Trainer) -> None:
        if trainer.seed == plan.claims[0].seeds[0]:
            trainer.diverged = True
        else:
            real(trainer)

    monkeypatch.setattr(Trainer, "_one_epoch", one_epoch)
    assert trained(compared, plan) == Done(plan.trainings - 1, 1, 0, 0)
    assert retrained(compared, plan)[0][0].status == "diverged"
    assert math.isnan(retrained(compared, plan)[0][0].value)
    broken(monkeypatch, AssertionError("it trained"))
    assert trained(compared, plan).diverged == 1


def full_disk(monkeypatch: pytest.MonkeyPatch, which: Callable[[int], bool]) -> None:
    real, written = RunLog.append, iter(range(10**9))

    def append(log: RunLog, run: Any, *args: Any) -> bool:
        if which(next(written)):
            raise LogError("the disk is full")
        return real(log, run, *args)

    monkeypatch.setattr(RunLog, "append", append)


def test_a_run_that_cannot_be_written_is_made_again(
    compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small(compared)
    with monkeypatch.context() as patch:
        full_disk(patch, lambda number: number in (0, 1, 3))
        assert trained(compared, plan) == Done(plan.trainings - 3, 0, 0, 3)
    assert trained(compared, plan).ok == plan.trainings


def test_a_disk_that_stays_full_ends_it(compared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, begun = small(compared), []
    full_disk(monkeypatch, lambda number: begun.append(number) or number > 0)  # type: ignore[func-returns-value]
    with pytest.raises(LogError, match="the disk is full"):
        trained(compared, plan)
    assert len(begun) == 4
    assert len(read_log(runs_folder(compared)).runs) == 1


def test_killed_workers_are_fewer_the_next_time(
    compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, tried = small(compared), list[int]()

    def collect(*_: Any, jobs: int, **__: Any) -> None:
        tried.append(jobs)
        raise BrokenProcessPool("killed")

    monkeypatch.setattr(collect_module, "collect", collect)
    with pytest.raises(TrainingError, match="killed from outside"):
        trained(compared, plan, jobs=5)
    assert tried == [5, 2, 1]


def test_a_budget_begins_nothing_after_its_end(
    compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10**9))

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return float(next(clock))

    plan = small(compared)
    monkeypatch.setattr(run_module, "time", Clock)  # it is read once at the start, then before each
    assert trained(compared, plan, budget=2.5) == Done(2, 0, 0, plan.trainings - 2)
    done = {(SPACE.parse(r.architecture), r.seed) for r in read_log(runs_folder(compared)).runs}
    order = list(dict.fromkeys((SPACE.canonical(c), s) for c, s in training_order(plan)))
    assert done == set(order[:2])
    assert trained(compared, plan, budget=10**6).missing == 0


# --- What is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top": 2}, "its top is 1, not 2"),
        ({"seeds": 3}, "its seeds each is 1, not 3"),
        ({"margin": 0.9}, "its margin is"),
        ({"seed": 5}, "its seed is 0, not 5"),
        ({"trajectory": 2}, "its trajectory is 0, not 2"),
        ({"benchmark": "other"}, "its benchmark is 'mine'"),
    ],
)
def test_a_plan_with_other_arguments(
    finished: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ResultsError, match=message):
        settled_plan(finished, **arguments)


def test_the_arguments_it_was_made_with_are_welcome(finished: Path) -> None:
    plan = read_plan(finished)
    again = small(finished, benchmark="mine", seed=0, margin=plan.margin)
    assert repr(again) == repr(plan)


def test_runs_without_their_plan(finished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "x"))
    plan = read_plan(out)
    plan_file(out).unlink()
    for call in (lambda: settled_plan(out), lambda: trained(out, plan)):
        with pytest.raises(ResultsError, match="holds trainings, but their plan"):
            call()


def test_a_plan_of_another_comparison(finished: Path, tmp_path: Path) -> None:
    out = make_comparison(tmp_path / "x", seed=1)
    shutil.copytree(finished / "verification", out / "verification")
    with pytest.raises(ResultsError, match="its comparison is"):
        settled_plan(out)
    with pytest.raises(ResultsError, match="another plan"):
        trained(finished, read_plan(finished)._replace(top=9))


def test_a_task_that_has_changed_since(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = TASK._replace(recipe=TASK.recipe._replace(peak=0.3))
    monkeypatch.setitem(TASKS, "tiny", changed)
    with pytest.raises(ResultsError, match="Go on with the release"):
        trained(finished, read_plan(finished))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"jobs": 0}, "jobs must be"),
        ({"jobs": -2}, "jobs must be"),
        ({"budget": 0.0}, "budget"),
        ({"budget": math.nan}, "budget"),
        ({"device": "cuda:99"}, "'cuda:99' cannot be used"),
    ],
)
def test_ways_that_cannot_be(compared: Path, how: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        trained(compared, small(compared), **how)
    assert not runs_folder(compared).exists()


def test_without_the_images(published: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(published, tmp_path / "x"))
    (tmp_path / "none").mkdir()
    with pytest.raises(DatasetError, match=r"cifar-10-python\.tar\.gz.*Get the missing from"):
        trained(out, small(out), folder=tmp_path / "none")
    assert not plan_file(out).exists()  # another one may still be made


def test_a_damaged_log(finished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "x"))
    with (runs_folder(out) / "runs.jsonl").open("a") as file:
        file.write("{}\n")
    plan = settled_plan(out)
    for call in (lambda: trained(out, plan), lambda: retrained(out, plan)):
        with pytest.raises(LogError, match="'format'"):
            call()


def test_other_runs_in_the_log_are_left_alone(finished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "x"))
    plan, log = read_plan(out), RunLog(runs_folder(out) / "runs.jsonl")
    [run, *_] = read_log(runs_folder(out)).runs
    other = {name: [99.0] * len(values) for name, values in run.curve.items()}
    log.append(run._replace(recipe="sha256:other", curve=other))
    log.append(run._replace(device_kind="cuda", curve=other))  # fewer runs than those of the CPU
    assert numbers(out, plan) == numbers(finished, plan)


# --- Devices --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "process", "gpus", "expected"),
    [
        ("auto", "LokyProcess-1", 3, "cuda:0"),
        ("auto", "LokyProcess-3", 3, "cuda:2"),
        ("cuda", "LokyProcess-4", 3, "cuda:0"),
        ("auto", "SpawnPoolWorker-2", 2, "cuda:1"),
        ("auto", "Dask Worker process (from Nanny)", 2, "cuda:1"),
        ("auto", "MainProcess", 3, "auto"),
        ("auto", "LokyProcess-2", 1, "auto"),
        ("cpu", "LokyProcess-2", 3, "cpu"),
        ("cuda:1", "LokyProcess-3", 3, "cuda:1"),
    ],
)
def test_workers_take_turns_with_the_gpus(
    monkeypatch: pytest.MonkeyPatch, name: str, process: str, gpus: int, expected: str
) -> None:
    class Process:
        pass

    Process.name = process  # type: ignore[attr-defined]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(multiprocessing, "current_process", lambda: Process)
    assert collect_module._device_of_worker(name, 7) == expected


# --- Kills ----------------------------------------------------------------------------------------------

_SCRIPT = """
import sys
from pathlib import Path
from tests.verify.tiny import at_home
from nasbench_tab.verify.run import settled_plan, verify
if __name__ == "__main__":
    at_home(Path(sys.argv[1]))
    out = Path(sys.argv[2])
    verify(out, settled_plan(out, top=1, seeds=1, trajectory=0), jobs=1, device="cpu")
"""


@pytest.fixture
def killed(home: Path) -> Iterator[Callable[[Path, int], None]]:
    """Start a verification and kill it without a warning when so many runs are in its log."""
    started: list[subprocess.Popen[bytes]] = []

    def kill(out: Path, after: int) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, str(home), str(out)], env=environment, cwd=ROOT
        )
        started.append(process)
        log, deadline = runs_folder(out) / "runs.jsonl", time.monotonic() + 120
        while not (log.is_file() and log.read_bytes().count(b"\n") >= after):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()

    yield kill
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_after_kills_the_same_plan_and_the_same_numbers(
    finished: Path, compared: Path, killed: Callable[[Path, int], None]
) -> None:
    for after in (1, 2):
        killed(compared, after)
        written = read_log(runs_folder(compared)).runs
        assert after <= len(written) < read_plan(finished).trainings
    plan = settled_plan(compared)
    assert repr(plan._replace(date="")) == repr(read_plan(finished)._replace(date=""))
    assert trained(compared, plan).ok == plan.trainings
    kept = read_log(runs_folder(compared)).runs
    assert kept[: len(written)] == written  # no run is lost, none is written anew
    assert numbers(compared, plan) == numbers(finished, plan)
