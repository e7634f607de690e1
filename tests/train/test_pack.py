"""Packing moves lines to shards and loses none, whoever writes or dies meanwhile."""

from __future__ import annotations

import lzma
import os
import subprocess
from pathlib import Path

import pytest

from nasbench_tab.errors import LogError, ResultsError
from nasbench_tab.train import log as log_module
from nasbench_tab.train.log import RunLog, pack, read_log
from nasbench_tab.train.logrecord import line_of

from .logs import a_run, failed
from .test_log import writer


def filled(folder: Path, *indices: int) -> RunLog:
    """Return a log of good runs."""
    log = RunLog(folder / "runs.jsonl")
    for index in indices:
        assert log.append(a_run(index))
    return log


def test_nothing_to_pack(tmp_path: Path) -> None:
    assert pack(tmp_path) is None
    (tmp_path / "runs.jsonl").touch()
    assert pack(tmp_path) is None
    assert [p.name for p in tmp_path.iterdir()] == ["runs.jsonl"]


def test_shards_and_live_log_are_one_log(tmp_path: Path) -> None:
    log = filled(tmp_path, 1, 2)
    log.append(failed(3))
    content = log.path.read_bytes()
    shard = pack(tmp_path)
    assert shard is not None
    assert shard.name.startswith("runs-")
    assert lzma.decompress(shard.read_bytes()) == content
    assert log.path.read_bytes() == b""
    assert not log.append(a_run(1)), "what is in a shard is present"
    assert not RunLog(log.path).append(a_run(2))
    assert log.holds(a_run(2).key)
    assert log.append(a_run(3))
    log.append(a_run(4))
    runs = read_log(tmp_path).runs
    assert {r.architecture: r for r in runs} == {
        a_run(i).architecture: a_run(i) for i in (1, 2, 3, 4)
    }
    second = pack(tmp_path)
    assert second not in (None, shard)
    assert len(read_log(tmp_path).runs) == 4


def test_a_log_that_grew_past_the_old_end_after_packing(tmp_path: Path) -> None:
    one, other = filled(tmp_path, 1), RunLog(tmp_path / "runs.jsonl")
    pack(tmp_path)
    for index in (2, 3, 4):
        other.append(a_run(index))
    assert not one.append(a_run(4))
    assert one.append(a_run(5))


def test_a_torn_line_stays_out_of_the_shard(tmp_path: Path) -> None:
    log = filled(tmp_path, 1)
    with log.path.open("ab") as file:
        file.write(line_of(a_run(2))[:50])
    with pytest.warns(RuntimeWarning, match="50 bytes were moved"):
        shard = pack(tmp_path)
    assert shard is not None
    assert lzma.decompress(shard.read_bytes()) == line_of(a_run(1))
    assert (tmp_path / "runs.jsonl.torn").read_bytes() == line_of(a_run(2))[:50] + b"\n"


def test_a_damaged_log_is_not_packed(tmp_path: Path) -> None:
    log = filled(tmp_path, 1)
    with log.path.open("ab") as file:
        file.write(b"{}\n")
    before = log.path.read_bytes()
    with pytest.raises(LogError, match=r"runs\.jsonl:2"):
        pack(tmp_path)
    assert log.path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["runs.jsonl"]


def test_death_between_shard_and_emptying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = filled(tmp_path, 1, 2)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(log_module, "_cut", die)
        with pytest.raises(KeyboardInterrupt):
            pack(tmp_path)
    assert len([*tmp_path.glob("*.xz")]) == 1
    assert log.path.read_bytes()
    assert len(read_log(tmp_path).runs) == 2
    assert not log.append(a_run(1))
    assert log.append(a_run(3))
    assert pack(tmp_path) is not None
    assert len(read_log(tmp_path).runs) == 3
    assert log.path.read_bytes() == b""


def test_a_shard_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = filled(tmp_path, 1)
    before = log.path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        with pytest.raises(ResultsError, match="the disk is full"):
            pack(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(log_module, "_decompressed", lambda *_: b"other")
        with pytest.raises(ResultsError, match="does not read back"):
            pack(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", fail)
        with pytest.raises(LogError, match="cannot be packed"):
            pack(tmp_path)
    assert log.path.read_bytes() == before
    assert len(read_log(tmp_path).runs) == 1


def test_packing_while_others_write(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    processes = [writer(path, 0, 100, 1, 5), writer(path, 1000, 100, 1, 5)]
    packed = 0
    while any(process.poll() is None for process in processes):
        packed += pack(tmp_path) is not None
        if any(tmp_path.iterdir()):
            read_log(tmp_path)
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert packed > 1
    expected = [*range(100), *range(1000, 1100)]
    assert sorted(run.seed for run in read_log(tmp_path).runs) == expected


def test_a_killed_writer_then_pack(tmp_path: Path) -> None:
    process: subprocess.Popen[str] = writer(tmp_path / "runs.jsonl", 0, 5000, 1, 5)
    assert process.stdout is not None
    process.stdout.readline()
    assert pack(tmp_path) is not None
    process.kill()
    out, _ = process.communicate()
    seeds = {run.seed for run in read_log(tmp_path).runs}
    assert {0, *map(int, out.splitlines())} <= seeds
