"""Comparisons that are killed, damaged or stopped by a full disk, and then resumed."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nasbench_tab.errors import ResultsError
from nasbench_tab.search.compare import BLOCK, compare
from nasbench_tab.search.results import Results, load_results

from .comparisons import small

# Interruptions.

INTERRUPTED = """
import sys
from nasbench_tab import compare
if __name__ == "__main__":
    compare(["nb201-cifar10", "nbgraph-proteins"], ["random", "evolution"], runs=250, budget=80,
            out=sys.argv[1], jobs=int(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return long_comparison(tmp_path_factory.mktemp("undisturbed")).content_hash()


def long_comparison(out: Path, **options: Any) -> Results:
    """Do what INTERRUPTED does."""
    names, strategies = ["nb201-cifar10", "nbgraph-proteins"], ["random", "evolution"]
    return compare(names, strategies, runs=250, budget=80, out=out, **options)


def killed_when(out: Path, ready: Callable[[], bool], jobs: int) -> None:
    """Start the comparison in processes of its own and kill them all as soon as ``ready``."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(out), str(jobs)],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not ready():
            assert process.poll() is None, "the comparison ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.001)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("shards", "jobs"), [(0, 1), (1, 1), (5, 1), (3, 2)])
def test_a_killed_comparison_is_finished_by_resume(
    shards: int, jobs: int, tmp_path: Path, undisturbed: str
) -> None:
    out = tmp_path / "out"

    def ready() -> bool:
        return (out / "manifest.json").is_file() and len(list(out.rglob("*.npz"))) >= shards

    killed_when(out, ready, jobs)
    with pytest.raises(ResultsError, match=r"unfinished: \d+ of 20 blocks"):
        load_results(out)
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")}
    assert shards <= len(kept) < 20
    assert long_comparison(out, resume=True).content_hash() == undisturbed
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())
    assert not list(out.rglob("*.tmp"))
    assert len(list(out.rglob("*.npz"))) == 20


def test_a_comparison_killed_while_it_wrote_its_manifest_can_be_started_again(
    tmp_path: Path,
) -> None:
    (tmp_path / ".manifest.json.k1ll3d.tmp").write_text('{"format": "nasbench', encoding="utf-8")
    for resume in (False, True):
        out = tmp_path / str(resume)
        shutil.copytree(tmp_path, out, ignore=shutil.ignore_patterns("True", "False"))
        assert small(out, runs=2, resume=resume).strategies == ["random", "evolution"]


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    path = small(tmp_path).shard_paths[0]
    leftover = path.with_name(f".{path.name}.k1ll3d.tmp")
    leftover.write_bytes(b"half")
    path.unlink()
    small(tmp_path, resume=True)
    assert not leftover.exists()
    assert path.exists()


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        flipped,
        lambda content: b"",
        lambda content: b"no archive",
        lambda content: content[:-1],
    ],
    ids=["cut", "flipped", "empty", "foreign", "one byte short"],
)
def test_a_damaged_block_is_written_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    results = small(tmp_path, runs=BLOCK + 5)
    expected = results.content_hash()
    damaged, *others = results.shard_paths
    before = [path.stat().st_mtime_ns for path in others]
    damaged.write_bytes(damage(damaged.read_bytes()))
    with pytest.raises(ResultsError, match=r"is missing or damaged .*--resume"):
        load_results(tmp_path).content_hash()
    assert small(tmp_path, runs=BLOCK + 5, resume=True).content_hash() == expected
    assert [path.stat().st_mtime_ns for path in others] == before


def test_an_error_in_a_strategy_leaves_a_directory_that_can_be_resumed(tmp_path: Path) -> None:
    def after(blocks: int) -> Callable[[int, int], None]:
        def progress(done: int, total: int) -> None:
            if done == blocks * BLOCK:
                raise KeyboardInterrupt

        return progress

    with pytest.raises(KeyboardInterrupt):
        small(tmp_path / "out", progress=after(1))
    assert len(list((tmp_path / "out").rglob("*.npz"))) == 1
    resumed = small(tmp_path / "out", resume=True).content_hash()
    assert resumed == small(tmp_path / "new").content_hash()


def test_resume_of_nothing_is_a_start(tmp_path: Path) -> None:
    started = small(tmp_path / "a", runs=3, resume=True)
    assert started.content_hash() == small(tmp_path / "b", runs=3).content_hash()


# Full disks.


def full_disk(*arguments: Any, **options: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["numpy.savez", "os.fsync", "pathlib.Path.write_text"])
def test_a_full_disk_is_said_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(call, full_disk)
        with pytest.raises(
            ResultsError, match=r"Could not write .*: the disk is full\. Nothing was changed"
        ):
            small(tmp_path / "out", runs=2)
    files = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    described = {"manifest.json", "experiment.toml"}
    assert set(files) == (described if call == "numpy.savez" else set())
    resumed = small(tmp_path / "out", runs=2, resume=True)
    assert resumed.content_hash() == small(tmp_path / "new", runs=2).content_hash()


LIMITED = """
import resource, sys
from nasbench_tab import compare
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
compare(["nb201-cifar10"], ["random", "evolution"], runs=105, budget=6, out=sys.argv[1])
"""


def test_a_disk_that_fills_up_in_the_middle_of_a_block(tmp_path: Path) -> None:
    small(tmp_path / "whole", runs=105)
    sizes = [path.stat().st_size for path in (tmp_path / "whole").rglob("*.npz")]
    limit = max(sizes) - 1000  # large blocks do not fit, small ones and the manifest do
    assert min(sizes) < limit
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "out"), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("nasbench_tab.errors.ResultsError: Could not write"), done.stderr
    assert "File too large" in last
    assert "Exception ignored" not in done.stderr
    left = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left == {"manifest.json", "experiment.toml"}
    resumed = small(tmp_path / "out", runs=105, resume=True)
    assert resumed.content_hash() == load_results(tmp_path / "whole").content_hash()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ResultsError, match=r"Could not write .*Permission denied"):
        small(tmp_path / "out")


def test_what_a_writer_left_that_was_killed_beside_the_manifest_is_cleared(tmp_path: Path) -> None:
    small(tmp_path / "out", runs=2)
    (tmp_path / "out" / "experiment.toml").rename(tmp_path / "out" / ".experiment.toml.x.tmp")
    resumed = small(tmp_path / "out", runs=2, resume=True)
    assert resumed.content_hash() == small(tmp_path / "new", runs=2).content_hash()
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert (tmp_path / "out" / "experiment.toml").is_file()
