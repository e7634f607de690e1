"""Comparisons: the same results whatever the order, the processes and the interruptions."""

from __future__ import annotations

import errno
import json
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

import numpy as np
import pytest

from nasbench_tab.benchmarks.tablefile import write_table
from nasbench_tab.errors import (
    InvalidArgumentError,
    NasbenchTabError,
    ResultsError,
    StrategyError,
    UnknownNameError,
)
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.compare import BLOCK, compare
from nasbench_tab.search.results import Results, Trials, load_results
from nasbench_tab.search.run import run_search

from .conftest import Snapshot
from .toys import curves_table, scripted

SHIPPED = ["random", "evolution", "local-search", "reinforce"]


def same_trials(one: Trials, other: Trials) -> bool:
    """Return whether everything but the CPU times is equal."""
    arrays = [name for name in Trials._fields if name not in {"final", "cpu_seconds"}]
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in arrays
    ) and {k: v.tobytes() for k, v in one.final.items()} == {
        k: v.tobytes() for k, v in other.final.items()
    }


def small(out: Path, **options: Any) -> Results:
    """Compare two strategies on one table in 3 blocks each."""
    settings: dict[str, Any] = {"runs": 2 * BLOCK + 5, "budget": 6, "out": out, **options}
    return compare(["nb201-cifar10"], ["random", "evolution"], **settings)


# What comes out.


def test_the_results_are_those_of_the_single_runs(tmp_path: Path) -> None:
    protocol = Protocol(evaluations=12, workers=2)
    results = compare(
        ["nbgraph-cora"], ["evolution"], runs=BLOCK + 3, protocol=protocol, seed=9, out=tmp_path
    )
    trials = results.trials("nbgraph-cora", "evolution")
    bench = load("nbgraph-cora")
    assert trials.runs.tolist() == list(range(BLOCK + 3))
    ends = np.cumsum(trials.lengths)
    for number in (0, 1, BLOCK - 1, BLOCK, BLOCK + 2):
        run = run_search("evolution", bench, protocol, seed=9, run=number)
        here = slice(ends[number] - trials.lengths[number], ends[number])
        for name in ("architectures", "epochs", "seeds", "values", "seconds"):
            assert getattr(trials, name)[here].tobytes() == getattr(run, name).tobytes()
        assert (trials.free[number], trials.stop[number]) == (run.free, run.stop)
    tests = [name for name, metric in bench.metrics.items() if metric.split == "test"]
    assert tests
    assert sorted(trials.final) == sorted([bench.objective.name, *tests])
    for name, values in trials.final.items():
        np.testing.assert_array_equal(values, np.asarray(bench.query(trials.architectures, name)))


def test_the_manifest_says_what_was_compared(tmp_path: Path) -> None:
    results = compare(
        ["nb201-cifar10"],
        ["random", "evolution(population=5)"],
        runs=2,
        protocol=Protocol(evaluations=3, limits=(("parameters", 1.2),)),
        seed=4,
        out=tmp_path / "out",
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest == results.manifest
    assert manifest["format"] == "nasbench_tab results"
    experiment = manifest["experiment"]
    assert (experiment["runs"], experiment["seed"]) == (2, 4)
    bench = load("nb201-cifar10")
    [about] = experiment["benchmarks"]
    cells = bench.measured()
    values = np.asarray(bench.query(cells[bench.query(cells, "parameters") <= 1.2]))
    assert about["hash"] == bench.fingerprint
    assert about["optimum"] == values.max()
    assert about["mean"] == pytest.approx(values.mean())
    assert bench.query(about["optimum_architecture"]) == values.max()
    assert [s["label"] for s in experiment["strategies"]] == ["random", "evolution(population=5)"]
    evolution = experiment["strategies"][1]
    assert evolution["settings"] == {"population": 5, "tournament": 3}
    assert evolution["factory"] == "nasbench_tab.strategies.evolution:Evolution"
    assert len(evolution["source_sha256"]) == 64
    assert "paired" in experiment["table_noise"]
    assert {"nasbench_tab", "python", "numpy", "h5py", "joblib"} <= set(manifest["versions"])
    assert results.protocol == Protocol(evaluations=3, limits=(("parameters", 1.2),))
    assert results.benchmarks == ["nb201-cifar10"]
    assert results.strategies == ["random", "evolution(population=5)"]


def test_budget_is_short_for_a_protocol(tmp_path: Path) -> None:
    short = small(tmp_path / "a", budget=6)
    long = small(tmp_path / "b", budget=None, protocol=Protocol(evaluations=6))
    assert short.content_hash() == long.content_hash()


def test_numpy_numbers_are_as_good_as_plain_ones(tmp_path: Path) -> None:
    plain = small(tmp_path / "a", runs=3, seed=5)
    numpy = small(tmp_path / "b", runs=np.int64(3), budget=np.int32(6), seed=np.uint8(5))
    assert numpy.content_hash() == plain.content_hash()
    protocol = Protocol(
        evaluations=np.int64(6),  # type: ignore[arg-type]
        seconds=np.float64(1e9),
        seeds=np.int64(777),  # type: ignore[arg-type]
        missing="masked",
    )
    for out in ("c", "c"):  # the second time what was written is read back and found the same
        results = small(tmp_path / out, runs=3, budget=None, protocol=protocol, resume=True)
    assert results.protocol == Protocol(evaluations=6, seconds=1e9, seeds=777, missing="masked")


# The same results whatever else is compared, in whatever order and number of processes.


def test_processes_change_nothing(tmp_path: Path) -> None:
    alone = compare(
        ["nb201-cifar10"], SHIPPED, runs=BLOCK + 2, budget=5, out=tmp_path / "1", jobs=1
    )
    two = compare(["nb201-cifar10"], SHIPPED, runs=BLOCK + 2, budget=5, out=tmp_path / "2", jobs=2)
    assert alone.content_hash() == two.content_hash()


def test_other_strategies_and_benchmarks_and_their_order_change_no_run(tmp_path: Path) -> None:
    names = ["nb201-cifar10", "nbgraph-proteins"]
    options: dict[str, Any] = {"runs": 4, "budget": 15}
    whole = compare(names, SHIPPED, out=tmp_path / "whole", **options)
    turned = compare(names[::-1], SHIPPED[::-1], out=tmp_path / "turned", **options)
    for name in names:
        for label in SHIPPED:
            alone = compare([name], [label], out=tmp_path / name / label, **options)
            expected = alone.trials(name, label)
            assert same_trials(whole.trials(name, label), expected)
            assert same_trials(turned.trials(name, label), expected)


def test_more_runs_change_no_run(tmp_path: Path) -> None:
    few = small(tmp_path / "few", runs=7).trials("nb201-cifar10", "evolution")
    many = small(tmp_path / "many", runs=60).trials("nb201-cifar10", "evolution")
    assert few.values.tobytes() == many.values[: len(few.values)].tobytes()


def test_a_run_of_every_strategy_sees_the_same_noise(tmp_path: Path) -> None:
    cells = [load("nb201-cifar10").space.unindex(i) for i in range(40)]
    results = compare(
        ["nb201-cifar10"],
        [scripted(cells, name="there"), scripted(cells[::-1], name="back")],
        runs=5,
        budget=40,
        out=tmp_path,
    )
    there, back = (results.trials("nb201-cifar10", label) for label in ("there", "back"))
    seeds = there.seeds.reshape(5, 40)
    assert (seeds == back.seeds.reshape(5, 40)[:, ::-1]).all()
    assert len({tuple(row) for row in seeds.tolist()}) == 5


# Progress.


def test_progress_counts_finished_runs(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    small(tmp_path, progress=lambda done, total: calls.append((done, total)))
    first = [BLOCK, 2 * BLOCK, 2 * BLOCK + 5]
    total = 2 * (2 * BLOCK + 5)
    assert calls == [(done, total) for done in [*first, *(first[-1] + done for done in first)]]


def test_progress_of_a_resumed_comparison_starts_at_what_is_there(tmp_path: Path) -> None:
    results = small(tmp_path)
    for path in (results.shard_paths[1], results.shard_paths[5]):
        path.unlink()
    calls: list[tuple[int, int]] = []
    small(tmp_path, resume=True, progress=lambda done, total: calls.append((done, total)))
    total = 2 * (2 * BLOCK + 5)
    assert calls == [(total - 5, total), (total, total)]
    calls.clear()
    small(tmp_path, resume=True, progress=lambda done, total: calls.append((done, total)))
    assert calls == []


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


# Directories that are not ours to write into.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"runs": 8}, "its runs: 7, not 8"),
        ({"seed": 1}, "its seed: 0, not 1"),
        ({"budget": 5}, "its protocol, evaluations: 6, not 5"),
        (
            {"budget": None, "protocol": Protocol(evaluations=6, seeds="mean")},
            "its protocol, seeds: .random., not .mean.",
        ),
    ],
)
@pytest.mark.parametrize("resume", [False, True])
def test_another_experiment_is_left_alone(
    tmp_path: Path, snapshot: Snapshot, change: dict[str, Any], words: str, resume: bool
) -> None:
    small(tmp_path, runs=7)
    before = snapshot(tmp_path)
    with pytest.raises(ResultsError, match=f"holds another experiment .*{words}") as caught:
        small(tmp_path, **{"runs": 7, "resume": resume, **change})
    assert "Choose a new directory" in str(caught.value)
    assert snapshot(tmp_path) == before


def test_other_strategies_or_benchmarks_are_another_experiment(
    tmp_path: Path, snapshot: Snapshot
) -> None:
    compare(["nb201-cifar10"], ["random"], runs=2, budget=2, out=tmp_path)
    before = snapshot(tmp_path)
    for names, strategies, words in [
        (["nb201-cifar100"], ["random"], "its benchmarks: nb201-cifar10, not nb201-cifar100"),
        (["nb201-cifar10"], ["evolution"], "its strategies: random, not evolution"),
        (
            ["nb201-cifar10"],
            ["random", "evolution"],
            "its strategies: random, not random, evolution",
        ),
    ]:
        with pytest.raises(ResultsError, match=f"another experiment .{words}"):
            compare(names, strategies, runs=2, budget=2, out=tmp_path, resume=True)
    assert snapshot(tmp_path) == before


def test_an_altered_table_is_another_experiment(toy_tables: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"runs": 2, "out": tmp_path / "out"}
    options["protocol"] = Protocol(evaluations=2, missing="masked")
    compare(["toy-curves"], ["random"], **options)
    table = curves_table("toy-curves")
    table.static["parameters"].values[0] += 1
    write_table(toy_tables / "data" / "toy-curves", table, {})
    with pytest.raises(
        ResultsError, match=r"another experiment .its benchmarks, toy-curves, hash: "
    ):
        compare(["toy-curves"], ["random"], resume=True, **options)


@pytest.mark.parametrize("finished", [False, True])
def test_the_same_experiment_needs_resume(
    tmp_path: Path, snapshot: Snapshot, finished: bool
) -> None:
    results = small(tmp_path)
    if not finished:
        results.shard_paths[0].unlink()
    before = snapshot(tmp_path)
    with pytest.raises(ResultsError, match=r"holds this experiment already.*resume=True"):
        small(tmp_path)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "manifest.toml", "runs/old.npz"])
def test_a_directory_with_other_things_is_left_alone(
    tmp_path: Path, snapshot: Snapshot, name: str, resume: bool
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine", encoding="utf-8")
    before = snapshot(tmp_path)
    with pytest.raises(ResultsError, match=r"holds something that is no comparison.*new directory"):
        small(tmp_path, resume=resume)
    assert snapshot(tmp_path) == before


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(ResultsError, match="holds something that is no comparison"):
        small(out)
    assert out.read_text(encoding="utf-8") == "mine"
    with pytest.raises(ResultsError, match="Could not write"):
        small(out / "below")


def test_an_empty_directory_is_as_good_as_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert small(tmp_path / "out", runs=2).directory == tmp_path / "out"


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
    assert files == (["manifest.json"] if call == "numpy.savez" else [])
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
    assert left == {"manifest.json"}
    resumed = small(tmp_path / "out", runs=105, resume=True)
    assert resumed.content_hash() == load_results(tmp_path / "whole").content_hash()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ResultsError, match=r"Could not write .*Permission denied"):
        small(tmp_path / "out")


# Own strategies.

OWN = """
class Sweep:
    '''Proposes cells of one operation, then cells of the next.'''

    def __init__(self, problem, rng, *, step=1):
        self.next, self.step = 0, step

    def ask(self, n):
        from nasbench_tab import Proposal
        self.next += self.step
        return [Proposal((self.next % 5,) * 6)]

    def tell(self, observations):
        pass

def propose(problem, rng, history):
    return problem.space.sample(rng, 1)[0]
"""

COMPARED = """
from nasbench_tab import compare
if __name__ == "__main__":
    strategies = ["random", "mine.own:Sweep", "mine.own:Sweep(step=2)", "mine.own:propose"]
    results = compare(["nb201-cifar10"], strategies, runs=55, budget=5, out="out", jobs={jobs})
    print(results.content_hash())
"""


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()
    (tmp_path / "mine" / "own.py").write_text(OWN, encoding="utf-8")
    return tmp_path


def in_folder(folder: Path, jobs: int) -> subprocess.CompletedProcess[str]:
    (folder / "compared.py").write_text(COMPARED.replace("{jobs}", str(jobs)), encoding="utf-8")
    # -P keeps the folder of the script off sys.path, as for the installed command.
    return subprocess.run(
        [sys.executable, "-P", "compared.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_own_strategies_from_the_current_folder_run_in_processes(own_folder: Path) -> None:
    two = in_folder(own_folder, 2)
    assert two.returncode == 0, two.stderr
    results = load_results(own_folder / "out")
    assert results.strategies[1:] == [
        "mine.own:Sweep", "mine.own:Sweep(step=2)", "mine.own:propose"
    ]  # fmt: skip
    cells = results.trials("nb201-cifar10", "mine.own:Sweep(step=2)").architectures
    assert cells[:5, 0].tolist() == [2, 4, 1, 3, 0]
    shutil.rmtree(own_folder / "out")
    one = in_folder(own_folder, 1)
    assert one.returncode == 0, one.stderr
    assert one.stdout == two.stdout


def test_a_changed_strategy_is_another_experiment(own_folder: Path, snapshot: Snapshot) -> None:
    assert in_folder(own_folder, 1).returncode == 0
    before = snapshot(own_folder / "out")
    own = own_folder / "mine" / "own.py"
    own.write_text(OWN.replace("% 5", "% 4"), encoding="utf-8")
    done = in_folder(own_folder, 1)
    assert "ResultsError" in done.stderr
    assert "source_sha256" in done.stderr
    assert snapshot(own_folder / "out") == before


def test_an_error_in_a_worker_process_arrives_with_its_words(own_folder: Path) -> None:
    own = own_folder / "mine" / "own.py"
    own.write_text(OWN.replace("(self.next % 5,) * 6", "[self.next % 5] * 6"), encoding="utf-8")
    done = in_folder(own_folder, 2)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("nasbench_tab.errors.StrategyError: Strategy 'mine.own:Sweep"), last
    assert "which is no tuple" in last


# Arguments.


def refused(kind: type[NasbenchTabError], words: str, tmp_path: Path, **change: Any) -> None:
    options: dict[str, Any] = {
        "benchmarks": ["nb201-cifar10"],
        "strategies": ["random"],
        "runs": 2,
        "budget": 2,
        "out": tmp_path / "out",
        **change,
    }
    with pytest.raises(kind, match=words):
        compare(**options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budget": None}, "either budget .* or a protocol"),
        ({"protocol": Protocol(evaluations=2)}, "either budget .* or a protocol"),
        ({"benchmarks": []}, "at least one benchmark and one strategy"),
        ({"strategies": []}, "at least one benchmark and one strategy"),
        ({"runs": 0}, "runs? .*got 0"),
        ({"runs": -5}, "runs? .*got -5"),
        ({"runs": 2.0}, "runs? .*got 2.0"),
        ({"runs": True}, "runs? .*got True"),
        ({"runs": "2"}, "runs? .*got '2'"),
        ({"seed": -1}, "master seed must .*got -1"),
        ({"seed": 0.5}, "master seed must .*got 0.5"),
        ({"seed": True}, "master seed must .*got True"),
        ({"jobs": 0}, "jobs"),
        ({"jobs": 1.5}, "jobs"),
        ({"jobs": "two"}, "jobs"),
        ({"budget": 0}, "budget in evaluations must be a positive integer; got 0"),
        ({"budget": 2.5}, "budget in evaluations must be a positive integer; got 2.5"),
        ({"benchmarks": ["nb201-cifar10"] * 2}, "benchmark is given twice: .*nb201-cifar10"),
        ({"strategies": ["random", "random"]}, "'random' is given twice"),
        (
            {"strategies": ["evolution", "evolution(population=10)"]},
            "'evolution' is given twice",
        ),
        ({"strategies": ["evolution(size=3)"]}, "no setting 'size'"),
        ({"benchmarks": "nb201-cifar10"}, "list"),
        ({"strategies": "random"}, "list"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    refused(InvalidArgumentError, words, tmp_path, **change)


def test_settings_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    refused(InvalidArgumentError, "population", tmp_path, strategies=["evolution(population=0)"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"benchmarks": ["nb201-cifar1"]}, "benchmark 'nb201-cifar1'.*mean .*nb201-cifar10"),
        ({"strategies": ["randm"]}, "strategy 'randm'.*mean random"),
        ({"strategies": ["no.such_module:X"]}, "no module 'no'"),
        ({"strategies": ["json:Nothing"]}, "strategy in module json 'Nothing'"),
    ],
    ids=str,
)
def test_names_that_do_not_exist(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    refused(UnknownNameError, words, tmp_path, **change)


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (3, "3 is no strategy"),
        ("json:dumps", r"must take \(problem, rng, history"),
        ("json:JSONDecoder", r"must take \(problem, rng, \*\*settings\)"),
        ("json:__doc__", "is no class or function"),
    ],
)
def test_what_is_no_strategy(strategy: Any, words: str, tmp_path: Path) -> None:
    refused(StrategyError, words, tmp_path, strategies=[strategy])


def test_a_protocol_that_one_benchmark_cannot_follow(tmp_path: Path) -> None:
    protocol = Protocol(evaluations=2, seeds=777)
    names = ["nbgraph-cora", "nb201-cifar10"]
    with pytest.raises(NasbenchTabError, match="777"):
        compare(names, ["random"], runs=2, protocol=protocol, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_strategy_with_other_settings_is_another_strategy(tmp_path: Path) -> None:
    strategies = ["evolution(population=5)", "evolution(population=6)", "evolution"]
    results = compare(["nb201-cifar10"], strategies, runs=3, budget=30, out=tmp_path)
    assert results.strategies == strategies
    runs = {results.trials("nb201-cifar10", label).values.tobytes() for label in strategies}
    assert len(runs) == 3


# What regret is measured against.


def test_limits_narrow_optimum_and_mean_to_what_a_search_can_reach(tmp_path: Path) -> None:
    protocol = Protocol(evaluations=5, limits=(("parameters", 0.15),))
    results = compare(["nb201-cifar10"], ["random"], runs=2, protocol=protocol, out=tmp_path / "o")
    bench = load("nb201-cifar10")
    everything = bench.measured()
    reached = everything[bench.query(everything, "parameters") <= 0.15]
    about = results.benchmark("nb201-cifar10")
    assert about["architectures"] == len(reached) < about["architectures_in_table"] == 15_625
    assert about["optimum"] == bench.query(reached).max() < bench.query(everything).max()
    assert about["mean"] == pytest.approx(bench.query(reached).mean())
    assert bench.query(about["optimum_architecture"]) == about["optimum"]
    assert about["trainings_per_architecture"] == [2, 3]


def test_a_fixed_seed_narrows_them_to_the_cells_that_have_it(tmp_path: Path) -> None:
    protocol = Protocol(evaluations=5, seeds=777, missing="masked")
    results = compare(["nb201-cifar10"], ["random"], runs=2, protocol=protocol, out=tmp_path / "o")
    about = results.benchmark("nb201-cifar10")
    assert about["architectures"] == 8_169
    assert about["mean"] == pytest.approx(
        load("nb201-cifar10").query(load("nb201-cifar10").measured(777)).mean()
    )


def test_limits_that_nothing_keeps_are_refused(tmp_path: Path) -> None:
    protocol = Protocol(evaluations=5, limits=(("parameters", 0.0),))
    with pytest.raises(InvalidArgumentError, match="No architecture of nb201-cifar10 keeps"):
        compare(["nb201-cifar10"], ["random"], runs=2, protocol=protocol, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("package", ["nasbench_tab", "numpy"])
def test_runs_of_two_versions_are_not_mixed(tmp_path: Path, package: str) -> None:
    small(tmp_path / "o", runs=2)
    path = tmp_path / "o" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["versions"][package] = "0.0.1"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ResultsError, match=rf"begun with {package} 0\.0\.1; this is"):
        small(tmp_path / "o", runs=2, resume=True)


def test_a_table_that_changes_is_loaded_again(toy_tables: Path, tmp_path: Path) -> None:
    protocol = Protocol(evaluations=3, missing="masked")
    first = compare(["toy-curves"], ["random"], runs=2, protocol=protocol, out=tmp_path / "a")
    write_table(toy_tables / "data" / "toy-curves", curves_table("toy-curves", "min"), {})
    second = compare(["toy-curves"], ["random"], runs=2, protocol=protocol, out=tmp_path / "b")
    assert first.objective("toy-curves").direction == "max"
    assert second.objective("toy-curves").direction == "min"
