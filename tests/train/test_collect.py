"""Collections: each run once in the log, whoever collects, however often it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from nasbench_tab.errors import (
    DatasetError,
    InvalidArchitectureError,
    InvalidArgumentError,
    LogError,
    TrainingError,
)
from nasbench_tab.records import Architecture
from nasbench_tab.train.collect import Collected, collect
from nasbench_tab.train.log import current_file, pack, read_log
from nasbench_tab.train.loop import Trainer
from nasbench_tab.train.plan import collection_order, planned
from nasbench_tab.train.tasks import TASKS, Task

from .logs import SPACE

Pair = tuple[Architecture, int]

_DIGITS = TASKS["nb201-digits"]
#: One step on 4x4 pixels: a run takes a tenth of a second.
TASK = _DIGITS._replace(
    name="tiny", recipe=_DIGITS.recipe._replace(side=4, epochs=1, batch=1000, average=0.0)
)
CELLS: list[Architecture] = [(0, 0, 0, 2, 0, 0), (0, 0, 0, 3, 0, 0), (0, 0, 0, 4, 0, 0)]
PAIRS: list[Pair] = [(CELLS[2], 0), (CELLS[0], 1), (CELLS[0], 0), (CELLS[1], 5)]


def collected(log: Path, pairs: list[Pair] = PAIRS, task: Task = TASK, **how: Any) -> Collected:
    return collect(task, SPACE, pairs, log, **{"jobs": 1, "device": "cpu", **how})


def logged(log: Path) -> list[Pair]:
    """The runs of a log, each as often as it stands there."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return [(SPACE.parse(record["architecture"]), record["seed"]) for record in records]


def refuse_to_train(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("it trained")

    monkeypatch.setattr("nasbench_tab.train.once.Trainer", refuse)


def test_each_run_is_logged_once_in_the_order_of_the_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, reports = tmp_path / "new" / "x.jsonl", list[tuple[int, int]]()
    found = collected(log, origin="random", progress=lambda *done: reports.append(done))
    assert found == Collected(present=0, ok=4, diverged=0, failed=0)
    assert reports == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert logged(log) == PAIRS
    [first, *_] = read_log(log).runs
    assert (first.task, first.origin, first.status, first.device_kind) == (
        *("tiny", "random", "ok", "cpu"),
    )
    before = log.read_bytes()
    refuse_to_train(monkeypatch)
    assert collected(log) == Collected(present=4, ok=0, diverged=0, failed=0)
    assert log.read_bytes() == before


def test_only_what_is_missing_is_trained(tmp_path: Path) -> None:
    log = tmp_path / "x.jsonl"
    collected(log, PAIRS[:2])
    reports: list[tuple[int, int]] = []
    found = collected(log, progress=lambda *done: reports.append(done))
    assert found == Collected(present=2, ok=2, diverged=0, failed=0)
    assert reports[-1] == (2, 2)
    assert logged(log) == PAIRS


def test_nothing_to_do(tmp_path: Path) -> None:
    assert collected(tmp_path / "x.jsonl", []) == Collected(0, 0, 0, 0)


def test_the_same_network_is_trained_once_as_its_canonical_cell(tmp_path: Path) -> None:
    cell = CELLS[0]
    same = next(c for i in range(SPACE.size or 0) if _is_another(c := SPACE.unindex(i), cell))
    found = collected(tmp_path / "x.jsonl", [(same, 0), (cell, 0), (same, 0), (same, 1)])
    assert found == Collected(present=0, ok=2, diverged=0, failed=0)
    assert logged(tmp_path / "x.jsonl") == [(cell, 0), (cell, 1)]
    as_it_stands = TASK._replace(canonical=False)
    collected(tmp_path / "y.jsonl", [(same, 0), (cell, 0), (same, 0)], as_it_stands)
    assert logged(tmp_path / "y.jsonl") == [(same, 0), (cell, 0)]


def _is_another(cell: Architecture, canonical: Architecture) -> bool:
    return cell != canonical and SPACE.canonical(cell) == canonical


def test_failed_runs_are_logged_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, real = tmp_path / "x.jsonl", Trainer.advance

    def advance(trainer: Trainer, *args: Any, **how: Any) -> object:
        if trainer.seed == 0:
            raise TrainingError("cpu is out of memory")
        return real(trainer, *args, **how)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", advance)
        assert collected(log) == Collected(present=0, ok=2, diverged=0, failed=2)
    runs = read_log(log).runs
    assert [run.status for run in runs] == ["failed", "ok", "failed", "ok"]
    assert runs[0].error == "cpu is out of memory"
    assert runs[0].curve == {}
    assert collected(log) == Collected(present=2, ok=2, diverged=0, failed=0)
    assert [run.status for run in read_log(log).runs] == ["ok"] * 4


def test_diverged_runs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wild = TASK._replace(recipe=TASK.recipe._replace(peak=1e30, epochs=3))
    log = tmp_path / "x.jsonl"
    assert collected(log, PAIRS[:2], wild) == Collected(present=0, ok=0, diverged=2, failed=0)
    assert [run.status for run in read_log(log).runs] == ["diverged"] * 2
    refuse_to_train(monkeypatch)
    assert collected(log, PAIRS[:2], wild).present == 2


def test_other_ways_of_training_are_other_runs(tmp_path: Path) -> None:
    log, other = tmp_path / "x.jsonl", TASK._replace(recipe=TASK.recipe._replace(peak=0.3))
    collected(log, PAIRS[:1])
    assert collected(log, PAIRS[:1], other).ok == 1


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "1", True, None])
def test_seeds_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: Any) -> None:
    refuse_to_train(monkeypatch)
    with pytest.raises(InvalidArgumentError, match="training seed is a whole number"):
        collected(tmp_path / "x.jsonl", [(CELLS[0], 0), (CELLS[1], seed)])
    assert not (tmp_path / "x.jsonl").exists()


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"device": "cuda:99"}, InvalidArgumentError, "'cuda:99' cannot be used"),
        ({"device": "abacus"}, InvalidArgumentError, "'abacus' cannot be used"),
        ({"pairs": [(CELLS[0], 0), ((9,) * 6, 0)]}, InvalidArchitectureError, "9"),
        ({"task": TASKS["nb201-fashion"], "folder": Path("none")}, DatasetError, "not complete in"),
        ({"log": Path("x.csv")}, LogError, "no log to append to"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    refuse_to_train(monkeypatch)
    with pytest.raises(error, match=message):
        collected(**{"log": Path("x.jsonl"), **how})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format": 2}\n', "Upgrade nasbench_tab"),
        ("epoch,loss\n1,2\n", "not JSON"),
        ('{"format": 1, "seed": 3}\n', "'space' must be there"),
    ],
)
def test_a_log_of_another_format_is_refused_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    (tmp_path / "x.jsonl").write_text(content)
    refuse_to_train(monkeypatch)
    with pytest.raises(LogError, match=message):
        collected(tmp_path / "x.jsonl")
    assert (tmp_path / "x.jsonl").read_text() == content


def test_what_was_packed_counts(tmp_path: Path) -> None:
    collected(tmp_path, PAIRS[:3])
    assert logged(tmp_path / "runs.jsonl") == PAIRS[:3]
    assert pack(tmp_path) is not None
    assert collected(tmp_path) == Collected(present=3, ok=1, diverged=0, failed=0)
    assert logged(tmp_path / "runs.jsonl") == PAIRS[3:]
    assert len(read_log(tmp_path).runs) == 4


def test_where_a_log_is_appended_to(tmp_path: Path) -> None:
    (tmp_path / "runs.v2").mkdir()
    assert current_file(tmp_path / "runs.v2") == tmp_path / "runs.v2" / "runs.jsonl"
    assert current_file(tmp_path / "new") == tmp_path / "new" / "runs.jsonl"
    assert current_file(tmp_path / "new.jsonl") == tmp_path / "new.jsonl"


def test_an_unfinished_line_is_moved_away(tmp_path: Path) -> None:
    log = tmp_path / "x.jsonl"
    collected(log, PAIRS[:1])
    with log.open("ab") as file:
        file.write(b'{"format": 1, "spa')
    with pytest.warns(RuntimeWarning, match="stopped in the middle"):
        assert collected(log).ok == 3
    assert logged(log) == PAIRS


def test_the_callers_threads_stay(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        collected(tmp_path / "x.jsonl", PAIRS[:1])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_all_that_a_worker_gets_can_be_sent(tmp_path: Path) -> None:
    how = (TASK, SPACE, *PAIRS[0], tmp_path / "x.jsonl", "random", "cpu", None)
    sent = ForkingPickler.loads(ForkingPickler.dumps(how))
    assert type(sent[1]) is type(SPACE)
    assert (sent[0], *sent[2:]) == (how[0], *how[2:])


@pytest.mark.slow
def test_worker_processes_train_the_same(tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    found = collected(tmp_path / "two.jsonl", jobs=2, progress=lambda *done: reports.append(done))
    assert found == Collected(present=0, ok=4, diverged=0, failed=0)
    assert reports == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert sorted(logged(tmp_path / "two.jsonl")) == sorted(PAIRS)
    collected(tmp_path / "one.jsonl")
    curves = [
        {run.key: run.curve["valid_loss"] for run in read_log(tmp_path / name).runs}
        for name in ("one.jsonl", "two.jsonl")
    ]
    assert curves[0] == curves[1]


# --- Kills --------------------------------------------------------------------------------------------


@cache
def plan() -> list[Pair]:
    """More runs than any test makes."""
    return planned(collection_order(SPACE), every=8)


_COLLECT = """
import sys, time
from pathlib import Path
from tests.train.test_collect import TASK, plan
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.train.collect import collect
"""
_COLLECTOR = f"""{_COLLECT}
if __name__ == "__main__":
    log, jobs, size = sys.argv[1:]
    collect(TASK, NasBench201(), plan()[: int(size)], Path(log), jobs=int(jobs), device="cpu")
"""
# Imports PyTorch once and forks collectors: `start LOG SIZE HOW_MANY` starts that many in a process
# group of their own and prints the leader's number, which stays taken until `reap NUMBER`.
_NURSERY = f"""{_COLLECT}
import functools, os, tempfile, torch
from nasbench_tab.train import collect as module
torch.set_num_threads(1)
module.load_data = functools.cache(module.load_data)
space, devnull = NasBench201(), os.open(os.devnull, os.O_RDONLY)
with tempfile.TemporaryDirectory() as folder:
    collect(TASK, space, plan()[:1], Path(folder), jobs=1, device="cpu")
print("ready", flush=True)
for line in sys.stdin:
    command, *arguments = line.split()
    if command == "reap":
        print(os.waitpid(int(arguments[0]), 0)[1], flush=True)
        continue
    log, size, how_many = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    pid = os.fork()
    if not pid:
        os.dup2(devnull, 0)
        os.setpgid(0, 0)
        status, second = 1, os.fork() if how_many == 2 else None
        try:
            collect(TASK, space, plan()[:size], log, jobs=1, device="cpu")
            status = 0
            if second:
                status = os.waitpid(second, 0)[1]
        finally:
            os._exit(status and 1)
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass
    print(pid, flush=True)
"""


class Nursery:
    """Collectors without the seconds that it takes to import PyTorch."""

    def __init__(self, folder: Path) -> None:
        self._errors = folder / "errors.txt"
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", _NURSERY],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=_environment(),
            )
        self._living: set[int] = set()
        assert self._answer() == "ready", self.errors

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def start(self, log: Path, size: int, how_many: int = 1) -> int:
        pid = int(self._asked(f"start {log} {size} {how_many}"))
        self._living.add(pid)
        return pid

    def reap(self, pid: int) -> int:
        """Wait for the end of a leader and return its status."""
        self._living.discard(pid)
        return int(self._asked(f"reap {pid}"))

    def close(self) -> None:
        for pid in self._living:
            _kill_group(pid)
        with self._process as process:
            process.communicate()

    def _asked(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _environment() -> dict[str, str]:
    root = Path(__file__).resolve().parents[2]
    return {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def whole_lines(log: Path) -> bytes:
    data = log.read_bytes() if log.exists() else b""
    return data[: data.rfind(b"\n") + 1]


def check_complete(log: Path, size: int, seen: bytes) -> None:
    """Every planned run stands there exactly once, after what was ``seen`` before, if anything."""
    assert log.read_bytes().startswith(seen)
    assert Counter(logged(log)) == Counter(plan()[:size])
    runs = read_log(log).runs  # warns, which is an error here, if a line is unfinished
    assert [run.status for run in runs] == ["ok"] * size


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    if not hasattr(os, "fork"):
        pytest.skip("there is no fork here")
    nursery = Nursery(tmp_path)
    yield nursery
    nursery.close()


def kill_and_restart(nursery: Nursery, log: Path, kills: int, seed: int) -> None:
    """Start one or two collectors and kill them at once, at random moments; then let one finish."""
    rng, seen, killed = np.random.default_rng(seed), b"", 0
    while killed < kills:
        size = seen.count(b"\n") + 30
        pid = nursery.start(log, size, how_many=1 + killed % 2)
        wait_for_lines(log, seen.count(b"\n") + int(rng.integers(0, 4)))
        time.sleep(rng.uniform(0.0, 0.3))
        _kill_group(pid)
        status = nursery.reap(pid)
        assert status in {0, signal.SIGKILL}, nursery.errors
        killed += status == signal.SIGKILL
        now = whole_lines(log)
        assert now.startswith(seen)
        assert len(set(logged_in(now))) == now.count(b"\n")
        seen = now
    size = seen.count(b"\n") + 5
    assert nursery.reap(nursery.start(log, size)) == 0, nursery.errors
    check_complete(log, size, seen)
    assert seen.count(b"\n") >= kills // 2  # it was not killed before it did anything
    assert "Traceback" not in nursery.errors


def logged_in(lines: bytes) -> list[tuple[str, int]]:
    records = map(json.loads, lines.splitlines())
    return [(record["architecture"], record["seed"]) for record in records]


def test_kills_lose_and_repeat_nothing_and_two_collectors_share_the_work(
    nursery: Nursery, tmp_path: Path
) -> None:
    kill_and_restart(nursery, tmp_path / "killed.jsonl", kills=4, seed=0)
    log = tmp_path / "shared.jsonl"
    first, second = (nursery.start(log, 25) for _ in range(2))
    assert [nursery.reap(first), nursery.reap(second)] == [0, 0], nursery.errors
    check_complete(log, 25, b"")
    assert "Traceback" not in nursery.errors


@pytest.mark.slow
def test_a_hundred_kills(nursery: Nursery, tmp_path: Path) -> None:
    kill_and_restart(nursery, tmp_path / "killed.jsonl", kills=100, seed=1)


# The same with joblib's worker processes, which import PyTorch each time.


def started(log: Path, size: int, errors: Path) -> subprocess.Popen[bytes]:
    with errors.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _COLLECTOR, str(log), "2", str(size)],
            stderr=file,
            env=_environment(),
            start_new_session=True,
        )


def wait_for_lines(log: Path, n: int) -> None:
    end = time.monotonic() + 120
    while whole_lines(log).count(b"\n") < n:
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_kills_of_a_collector_and_its_workers(tmp_path: Path) -> None:
    log, errors, seen = tmp_path / "x.jsonl", tmp_path / "errors.txt", b""
    rng = np.random.default_rng(2)
    for _ in range(4):
        at_work = started(log, 1000, errors)
        try:
            wait_for_lines(log, seen.count(b"\n") + 1)
            time.sleep(rng.uniform(0.0, 1.0))
        finally:
            _kill_group(at_work.pid)
        assert at_work.wait() == -signal.SIGKILL, errors.read_text()
        now = whole_lines(log)
        assert now.startswith(seen)
        seen = now
    size = seen.count(b"\n") + 10
    assert started(log, size, errors).wait() == 0, errors.read_text()
    check_complete(log, size, seen)


@pytest.mark.slow
def test_orphaned_workers_repeat_nothing(tmp_path: Path) -> None:
    """Only the parent is killed; its workers end what they train while the next collector starts."""
    log, errors, orphans, size = tmp_path / "x.jsonl", tmp_path / "errors.txt", list[int](), 60
    try:
        for kill in range(3):
            at_work = started(log, size, errors)
            orphans.append(at_work.pid)
            wait_for_lines(log, 10 * kill + 5)
            at_work.kill()
            assert at_work.wait() == -signal.SIGKILL
        seen = whole_lines(log)
        assert started(log, size, errors).wait() == 0, errors.read_text()
        check_complete(log, size, seen)
    finally:
        for leader in orphans:
            _kill_group(leader)
