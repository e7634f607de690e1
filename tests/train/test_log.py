"""Run logs: what is written reads back, and no crash, full disk or second writer loses a line."""

from __future__ import annotations

import errno
import gzip
import json
import lzma
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import LogError
from nasbench_tab.train import log as log_module
from nasbench_tab.train.log import LoggedRun, RunLog, RunStatus, read_log
from nasbench_tab.train.logrecord import line_of, run_of

from .logs import a_run, cell, diverged, failed

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def runs(draw: st.DrawFn) -> LoggedRun:
    """Any run that the format allows."""
    statuses: list[RunStatus] = ["ok", "diverged", "failed"]
    status = draw(st.sampled_from(statuses))
    least = {"ok": 1, "diverged": 0, "failed": 0}[status]
    done = draw(st.integers(least, 0 if status == "failed" else 5))
    lists = st.lists(NUMBERS, min_size=done, max_size=done)
    curve = draw(st.dictionaries(TEXT, lists, min_size=1 if done else 0, max_size=4))
    return LoggedRun(
        space=draw(TEXT.filter(bool)),
        dataset=draw(TEXT.filter(bool)),
        architecture=draw(TEXT.filter(bool)),
        seed=draw(st.integers(1 - 2**63, 2**63 - 1)),
        status=status,
        curve=curve,
        epochs=draw(st.sampled_from([0, done] if status == "ok" else [0, done, done + 3])),
        **{name: draw(TEXT) for name in ("task", "split", "recipe", "origin", "device", "error")},
        recipe_fields=draw(st.none() | st.dictionaries(TEXT, TEXT | NUMBERS | st.booleans())),
        threads=draw(st.integers(0, 99)),
        versions=draw(st.dictionaries(TEXT, TEXT)),
        parameters=draw(st.none() | st.floats(0, 1e9)),
    )


@given(run=runs())
def test_a_line_reads_back_exactly(run: LoggedRun) -> None:
    line = line_of(run)
    assert line.count(b"\n") == 1
    assert run_of(json.loads(line), "here") == run


@settings(max_examples=20)
@given(several=st.lists(runs(), min_size=1, max_size=5, unique_by=lambda run: run.key))
def test_files_of_each_kind_read_back(
    several: list[LoggedRun], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("logs")
    log = RunLog(folder / "runs.jsonl")
    for run in several:
        assert log.append(run)
    data = log.path.read_bytes()
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(data))
    (folder / "b.jsonl.xz").write_bytes(lzma.compress(data[:9999]) + lzma.compress(data[9999:]))
    for name in ("runs.jsonl", "a.jsonl.gz", "b.jsonl.xz"):
        assert read_log(folder / name).runs == several
    assert read_log(folder).runs == several
    assert read_log(folder / "a.jsonl.gz", folder).runs == several


def test_what_the_reader_says_of_files(tmp_path: Path) -> None:
    path = tmp_path / "new" / "runs.jsonl"
    RunLog(path).append(a_run(1))
    RunLog(path).append(a_run(2))
    log = read_log(path)
    assert log.places == [f"{path}:1", f"{path}:2"]
    assert log.torn == 0
    assert list(log.hashes) == [str(path)]


def test_unknown_fields_are_left_out(tmp_path: Path) -> None:
    record = {**json.loads(line_of(a_run())), "cluster": "b", "notes": [1, None]}
    (tmp_path / "x.jsonl").write_text(json.dumps(record) + "\n")
    assert read_log(tmp_path / "x.jsonl").runs == [a_run()]


def test_whole_numbers_are_numbers() -> None:
    record = {**json.loads(line_of(a_run())), "curve": {"valid_accuracy": [50, 60]}}
    values = run_of(record, "here").curve["valid_accuracy"]
    assert [*map(type, values)] == [float, float]


REQUIRED = ["space", "dataset", "architecture", "seed", "status", "curve", "format"]
WRONG: list[tuple[str, list[Any]]] = [
    *((name, [3, None, True, ["x"], "\ud800"]) for name in ("space", "dataset", "architecture")),
    *((name, [""]) for name in ("space", "dataset", "architecture")),
    *((name, [3, None, False, {}]) for name in ("task", "split", "recipe", "origin", "device")),
    *((name, [3, None, False, {}]) for name in ("device_kind", "error", "started")),
    ("seed", ["7", 7.0, True, None, 2**63, -(2**63)]),
    ("status", ["fine", None, 1, ["ok"], True]),
    ("epochs", ["2", 2.0, True, -1, None, 1, 3]),
    ("threads", ["2", 2.0, True, -1, None]),
    ("parameters", ["2", True, -0.1, 10**400]),
    ("recipe_fields", [3, [], "x", True]),
    ("versions", [3, [], None, {"numpy": 2}]),
    ("format", [2, 0, "1", True, 1.0, None]),
    ("curve", [None, [], 3, {}, {"valid_accuracy": 3}, {"valid_accuracy": []}]),
    ("curve", [{"a": [1.0, 2.0], "b": [1.0]}, {"a": [1.0, "2"]}, {"a": [1.0, None]}]),
    ("curve", [{"a": [1.0, True]}, {"a": [1.0, 10**400]}, {"a": [1.0], "b": [1.0]}]),
]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG for value in values]
)
def test_a_wrong_field_is_named_with_its_line(name: str, value: Any, tmp_path: Path) -> None:
    good = line_of(a_run(3))
    record = {**json.loads(line_of(a_run())), name: value}
    path = tmp_path / "x.jsonl"
    path.write_bytes(good + json.dumps(record).encode() + b"\n")
    with pytest.raises(LogError, match=r"x\.jsonl:2: ") as caught:
        read_log(path)
    assert name in str(caught.value)
    with pytest.raises(LogError, match=r"x\.jsonl:2: "):
        RunLog(path).append(a_run(4))


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_field_is_named(name: str) -> None:
    record = json.loads(line_of(a_run()))
    del record[name]
    with pytest.raises(LogError, match=f"'{name}' must be .*; got nothing"):
        run_of(record, "here")


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"[]", b"3", b"null", b"{", b"\xff", b"\0" * 9, b"[" * 100_000, b"9" * 5000),
        *(
            line_of(a_run(0)).replace(b"52.3", word)
            for word in (b"NaN", b"-Infinity", b"1e999", b"x")
        ),
    ],
)
def test_a_line_that_is_no_record_is_refused(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(line.strip() + b"\n" + line_of(a_run()))
    with pytest.raises(LogError, match=r"x\.jsonl:1: "):
        read_log(path)


@pytest.mark.parametrize(
    "run",
    [
        a_run(curve={"valid_accuracy": [1.0, float("nan")]}),
        a_run(curve={"valid_accuracy": [1.0, float("inf")]}),
        a_run(curve={"valid_accuracy": (1.0, 2.0)}),
        a_run(curve={}),
        a_run(epochs=3),
        a_run(status="failed"),
        a_run(status="diverged", epochs=1),
        a_run(seed=True),
        a_run(dataset=""),
        a_run(architecture=(1, 2)),
        a_run(recipe_fields={1: 2}),
        a_run(recipe_fields={"peak": object()}),
        a_run(parameters=float("nan")),
        diverged(epochs=0)._replace(curve={"a": [1.0]}, epochs=-1),
    ],
)
def test_a_run_that_breaks_a_rule_is_not_written(run: LoggedRun, tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"(The|the) run of "):
        RunLog(tmp_path / "runs.jsonl").append(run)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("end", [".gz", ".xz"])
def test_damaged_compressed_logs_are_refused(end: str, tmp_path: Path) -> None:
    pack = gzip.compress if end == ".gz" else lzma.compress
    whole, path = pack(line_of(a_run()) * 3), tmp_path / f"x.jsonl{end}"
    altered = bytearray(whole)
    altered[len(whole) // 2] ^= 255
    for data in (*(whole[:n] for n in range(len(whole))), bytes(altered), whole + b"more"):
        path.write_bytes(data)
        with pytest.raises(LogError, match="cannot be read"):
            read_log(path)


def test_paths_that_are_no_logs(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("")
    for path, words in [("x.txt", "is no run log"), ("y.jsonl", "No such file"), ("", "without")]:
        with pytest.raises(LogError, match=words):
            read_log(tmp_path / path)
    with pytest.raises(LogError, match=r"ends in \.jsonl"):
        RunLog(tmp_path / "runs.jsonl.xz")


def test_a_present_run_is_not_written_again(tmp_path: Path) -> None:
    one, other = RunLog(tmp_path / "runs.jsonl"), RunLog(tmp_path / "runs.jsonl")
    assert not one.holds(a_run(1).key)
    assert one.append(a_run(1))
    assert other.holds(a_run(1).key)
    assert not other.append(a_run(1))
    assert other.append(a_run(1, seed=1))
    assert not one.append(a_run(1, seed=1))
    assert one.append(a_run(1), unless_present=False)
    assert one.append(diverged(2))
    assert not other.append(a_run(2))
    assert len(read_log(tmp_path).runs) == 3


def test_a_failed_run_may_be_tried_again(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "runs.jsonl")
    assert log.append(failed(1))
    assert log.append(failed(1, error="again"))
    assert not log.holds(a_run(1).key)
    assert [run.error for run in read_log(tmp_path).runs] == ["again"]
    assert log.append(a_run(1))
    assert log.append(failed(1), unless_present=False)
    assert read_log(tmp_path).runs == [a_run(1)]


@pytest.mark.parametrize("second", [a_run(), diverged()])
def test_contradicting_runs_are_refused(second: LoggedRun, tmp_path: Path) -> None:
    log = RunLog(tmp_path / "runs.jsonl")
    first = a_run(curve={**a_run().curve, "valid_accuracy": [1.0, 2.0]})
    for run in (first, a_run(3), second):
        log.append(run, unless_present=False)
    with pytest.raises(LogError, match=r"runs.jsonl:1 and .*runs.jsonl:3 are the same run"):
        read_log(tmp_path)


def test_no_epoch_is_no_contradiction(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "runs.jsonl")
    log.append(diverged(curve={"valid_loss": []}))
    log.append(diverged(curve={}), unless_present=False)
    assert len(read_log(tmp_path).runs) == 1


def test_a_log_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "other.jsonl")
    log.append(a_run(1))
    log.path.unlink()
    assert not log.holds(a_run(1).key)
    assert log.append(a_run(1))
    log.path.write_bytes(b"")
    assert log.append(a_run(1))
    assert log.path.read_bytes() == line_of(a_run(1))


def test_cut_at_every_byte_of_the_last_two_lines(tmp_path: Path) -> None:
    lines = [line_of(a_run(i)) for i in range(3)]
    whole, path = b"".join(lines), tmp_path / "runs.jsonl"
    torn_file = tmp_path / "runs.jsonl.torn"
    for size in range(len(lines[0]), len(whole)):
        path.write_bytes(whole[:size])
        complete = whole[:size].count(b"\n")
        torn = size - sum(map(len, lines[:complete]))
        before = path.read_bytes()
        if torn:
            with pytest.warns(RuntimeWarning, match=f"unfinished; {torn} bytes"):
                log = read_log(path)
            with pytest.warns(RuntimeWarning, match=f"{torn} bytes were moved to runs.jsonl.torn"):
                assert RunLog(path).append(a_run(9))
            assert torn_file.read_bytes() == whole[:size][-torn:] + b"\n"
            torn_file.unlink()
        else:
            log = read_log(path)
            assert RunLog(path).append(a_run(9))
        assert (log.torn, len(log.runs)) == (torn, complete)
        assert path.read_bytes() == before[: size - torn] + line_of(a_run(9))


class Disk:
    """An ``os.write`` that is short, or fails, once."""

    def __init__(self, mode: str) -> None:
        self.mode, self.write = mode, os.write

    def __call__(self, handle: int, data: bytes) -> int:
        if self.mode == "short":
            return self.write(handle, data[:40])
        if self.mode == "short, then stuck":
            self.write(handle, data[:40])
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("mode", ["short", "full", "short, then stuck"])
def test_a_full_disk_loses_nothing(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RunLog(tmp_path / "runs.jsonl")
    log.append(a_run(1))
    before = log.path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", Disk(mode))
        with pytest.raises(LogError, match=r"the disk is full.*Nothing is lost"):
            log.append(a_run(2))
    assert log.path.read_bytes() == before
    assert not log.holds(a_run(2).key)
    assert log.append(a_run(2))
    assert read_log(tmp_path).runs == [a_run(1), a_run(2)]


def test_a_failing_sync_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    log = RunLog(tmp_path / "runs.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(LogError, match="Input/output error"):
            log.append(a_run(2))
    assert log.path.read_bytes() == b""


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").mkdir()
    with pytest.raises(LogError, match="Is a directory"):
        RunLog(tmp_path / "runs.jsonl").append(a_run())
    with pytest.raises(LogError, match="Is a directory"):
        RunLog(tmp_path / "runs.jsonl").holds(a_run().key)


def test_it_works_without_fcntl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "fcntl", None)
    log = RunLog(tmp_path / "runs.jsonl")
    assert log.append(a_run())
    assert not log.append(a_run())
    assert read_log(tmp_path).runs == [a_run()]


def test_neither_logs_nor_tables_import_torch() -> None:
    code = "import sys, nasbench_tab.train.log, nasbench_tab.train.tabulate as t; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


WRITER = """
import sys
from pathlib import Path
from nasbench_tab.train.log import LoggedRun, RunLog

path, first, number, step, length = Path(sys.argv[1]), *map(int, sys.argv[2:])
log = RunLog(path)
for seed in range(first, first + number * step, step):
    curve = {"valid_accuracy": [seed + i / 7 for i in range(length)]}
    log.append(LoggedRun("nasbench201", "digits", "a", seed, "ok", curve))
    print(seed, flush=True)
"""


def writer(path: Path, *numbers: int) -> subprocess.Popen[str]:
    """Start a process that appends runs and prints the seed of each that it has written."""
    call = [sys.executable, "-c", WRITER, str(path), *map(str, numbers)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, text=True)


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    # The second writes every seed of the first's later half too: each must stand there once.
    processes = [writer(path, 0, 200, 1, 5), writer(path, 100, 200, 1, 5)]
    for process in processes:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert len(out.split()) == 200
    seeds = [run.seed for run in read_log(path).runs]
    assert sorted(seeds) == list(range(300))
    assert path.read_bytes().count(b"\n") == 300


@pytest.mark.filterwarnings("ignore:.*last line")
def test_killed_writers_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    rng = random.Random(0)  # noqa: S311 - moments to kill at
    for kill in range(20):
        path = tmp_path / str(kill % 10) / "runs.jsonl"
        process = writer(path, 10_000 * kill, 5000, 1, 1000)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(rng.random() / 50)
        process.kill()
        rest, _ = process.communicate()
        acknowledged = {int(line) for line in (first + rest).split("\n")[:-1]}
        assert acknowledged
        assert RunLog(path).append(a_run(5, seed=kill))
        log = read_log(path)
        assert log.torn == 0
        assert acknowledged <= {run.seed for run in log.runs if run.architecture == "a"}
        assert kill in {run.seed for run in log.runs if run.architecture == cell(5)}
