"""Benchmarks that train: they answer as a table of their log, remember, and go on where they were."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nasbench_tab as nbt
from nasbench_tab import registry
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import (
    InvalidArchitectureError,
    InvalidArgumentError,
    LogError,
    MissingValueError,
    TrainingError,
    UnknownNameError,
)
from nasbench_tab.records import Protocol
from nasbench_tab.search.run import run_search
from nasbench_tab.testing import check_benchmark
from nasbench_tab.train.collect import collect
from nasbench_tab.train.live import LiveBenchmark
from nasbench_tab.train.log import pack, read_log
from nasbench_tab.train.loop import CURVES, Trainer
from nasbench_tab.train.tasks import TASKS

from .lives import CELL, OTHER, TASK, WILD, bench_on, checkpoints, tabulated
from .logs import SPACE
from .trainings import EXACT

# --- What it answers ----------------------------------------------------------------------------------


def test_it_answers_as_a_table_of_its_log(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, cells = bench_on(log, seeds=(0, 3)), [CELL, OTHER]
    bench.query(cells)
    table = tabulated(log, tmp_path, monkeypatch)
    assert (bench.epochs, bench.resumable, bench.has_seconds) == (table.epochs, True, True)
    assert (bench.dataset, bench.objective) == (table.dataset, table.objective)
    assert set(bench.metrics) == set(CURVES) == set(table.metrics) - {"parameters"}
    for metric in [None, *CURVES]:
        for epoch in (None, 1, 3):
            for seed in (None, 0, 3):
                how: dict[str, Any] = {"epoch": epoch, "seed": seed}
                assert bench.query(CELL, metric, **how) == table.query(CELL, metric, **how)
                here, there = (b.lookup(OTHER, metric, **how) for b in (bench, table))
                assert here[:2] == there[:2]
                assert here.sd == pytest.approx(there.sd, rel=1e-12, nan_ok=True)
                assert (here.source, here.n_seeds) == ("live", there.n_seeds)
                batch = bench.query(cells, metric, **how)
                assert batch.dtype == np.float64
                assert batch.tolist() == table.query(cells, metric, **how).tolist()
    assert bench.seeds(CELL) == table.seeds(CELL) == (0, 3)
    masked = bench.query(cells, mask=True)
    assert isinstance(masked, np.ma.MaskedArray)
    assert masked.tolist() == table.query(cells, mask=True).tolist()
    assert len(read_log(log).runs) == 4


def test_all_ways_to_name_a_cell(log: Path, trainings: list[Any]) -> None:
    bench = bench_on(log)
    value, index = bench.query(CELL), SPACE.index(CELL)
    assert type(value) is float
    names: list[Any] = [SPACE.format(CELL), index, np.int64(index), np.array(index)]
    assert [bench.query(name) for name in names] == [value] * 4
    many: list[Any] = [
        [CELL, SPACE.format(CELL), index],
        np.array([index] * 3),
        np.array([CELL] * 3, np.uint8),
    ]
    for cells in many:
        assert bench.query(cells).tolist() == [value] * 3
    assert bench.query([]).shape == (0,)
    same = next(
        cell
        for cell in map(SPACE.unindex, range(SPACE.size or 0))
        if cell != CELL and SPACE.canonical(cell) == CELL
    )
    assert bench.query(same) == value
    assert trainings == [(CELL, 0)]


def test_it_is_stateful_and_covers_the_space(log: Path) -> None:
    bench = bench_on(log)
    assert bench.stateful
    assert not nbt.load("nb201-cifar10").stateful
    assert len(bench.measured()) == len(bench.measured(0)) == SPACE.size
    assert not log.exists()


def test_a_large_space_is_sampled_not_listed(log: Path) -> None:
    space = registry.load_space("nasbench201-macro")
    bench = LiveBenchmark(TASK._replace(space=space.name), space, log=log, device="cpu")
    cells = list(map(tuple, bench.measured().tolist()))
    assert 100 <= len(set(cells)) == len(cells) <= 10_000
    assert all(space.canonical(cell) == cell for cell in cells)
    assert bench.measured().tolist() == bench.measured(0).tolist()
    run = run_search("evolution", bench, Protocol(evaluations=3))  # where all may be proposed
    assert len(run.values) == 3
    assert not {tuple(cell) for cell in run.architectures.tolist()} & set(cells)


def test_a_run_says_why_it_was_made(log: Path, tmp_path: Path) -> None:
    for path, options in ((log, {}), (tmp_path / "x.jsonl", {"origin": "evolution"})):
        bench_on(path, **options).query(CELL)
        [run] = read_log(path).runs
        assert run.origin == options.get("origin", "query")


def test_the_fingerprint_is_that_of_what_is_trained(log: Path, tmp_path: Path) -> None:
    fingerprint = bench_on(log).fingerprint
    assert bench_on(tmp_path / "other.jsonl").fingerprint == fingerprint
    assert bench_on(log, seeds=(1,)).fingerprint != fingerprint
    assert bench_on(log, WILD).fingerprint != fingerprint


def test_the_registry_makes_one(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "tiny", TASK)
    bench = registry.load("tiny", source="live", log=str(log), seeds=[4], device="cpu")
    assert bench.lookup(CELL).source == "live"
    assert [run.seed for run in read_log(log).runs] == [4]
    with pytest.raises(UnknownNameError, match="Unknown task 'small'"):
        registry.load("small", source="live")


def test_without_a_log_it_writes_to_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path))
    LiveBenchmark(TASK, SPACE, device="cpu").query(CELL)
    assert len(read_log(tmp_path / "live" / "tiny.jsonl").runs) == 1


def test_the_conformance_checks_pass(log: Path) -> None:
    check_benchmark(bench_on(log, TASK._replace(recipe=TASK.recipe._replace(epochs=1))), n=3)


# --- What it remembers --------------------------------------------------------------------------------


def test_the_second_question_does_not_train(log: Path, trainings: list[Any]) -> None:
    bench = bench_on(log, seeds=(0, 1))
    first = bench.lookup(CELL)
    assert trainings == [(CELL, 0), (CELL, 1)]
    assert bench.lookup(CELL) == first
    bench.query([CELL] * 3, "test_loss", epoch=1, seed=1)
    again = bench_on(log, seeds=(0, 1))
    assert again.lookup(CELL) == first
    assert len(trainings) == 2


def test_an_early_epoch_costs_only_itself_and_later_ones_the_rest(
    log: Path, tmp_path: Path, trainings: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs, real = list[int](), Trainer._one_epoch

    def counted(trainer: Trainer) -> None:
        epochs.append(trainer.epoch + 1)
        real(trainer)

    monkeypatch.setattr(Trainer, "_one_epoch", counted)
    bench = bench_on(log)
    early = bench.query(CELL, epoch=1)
    assert epochs == [1]
    assert len(checkpoints(log)) == 1
    assert not log.exists()
    assert bench.query(CELL, epoch=1) == early
    assert epochs == [1]
    bench_on(log).query(CELL, epoch=2)
    full = bench.query(CELL)
    assert epochs == [1, 2, 3]
    assert checkpoints(log) == []
    [run] = read_log(log).runs
    at_once = bench_on(tmp_path / "once.jsonl")
    assert at_once.query(CELL) == full
    assert at_once.query(CELL, epoch=1) == early
    [other] = read_log(tmp_path / "once.jsonl").runs
    assert {n: run.curve[n] for n in EXACT} == {n: other.curve[n] for n in EXACT}
    seconds = run.curve["train_seconds"]
    assert seconds == sorted(seconds)


@pytest.mark.slow
def test_a_checkpoint_survives_a_new_process(log: Path, trainings: list[Any]) -> None:
    script = """if True:
        import sys
        from nasbench_tab.spaces.nasbench201 import NasBench201
        from nasbench_tab.train.live import LiveBenchmark
        from nasbench_tab.train.tasks import TASKS
        digits = TASKS["nb201-digits"]
        recipe = digits.recipe._replace(side=4, epochs=3, batch=500, average=0.5)
        task = digits._replace(name="tiny", recipe=recipe)
        bench = LiveBenchmark(task, NasBench201(), log=sys.argv[1], device="cpu")
        print(repr(bench.query((0, 0, 0, 3, 0, 0), "train_seconds", epoch=2)))
    """
    done = subprocess.run(
        [sys.executable, "-c", script, log], capture_output=True, text=True, check=True
    )
    bench = bench_on(log)
    seconds = bench.query(CELL, "train_seconds", epoch=2)  # no training takes this long twice
    assert seconds == float(done.stdout)
    bench.query(CELL)
    assert read_log(log).runs[0].curve["train_seconds"][1] == pytest.approx(seconds, rel=1e-6)
    assert checkpoints(log) == []


def test_a_lost_checkpoint_only_costs_time(log: Path) -> None:
    bench = bench_on(log)
    early = bench.query(CELL, epoch=1)
    checkpoints(log)[0].unlink()
    bench.query(CELL)
    assert bench.query(CELL, epoch=1) == early


def test_it_knows_what_a_collector_wrote_before_and_meanwhile(
    log: Path, trainings: list[Any]
) -> None:
    collect(TASK, SPACE, [(CELL, 0)], log, jobs=1, device="cpu")
    bench = bench_on(log)
    collect(TASK, SPACE, [(OTHER, 0)], log, jobs=1, device="cpu")
    bench.query([CELL, OTHER])
    assert trainings == []


def test_it_says_what_the_log_says_if_another_was_faster(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seconds of two trainings differ; those count that were logged."""
    bench, real = bench_on(log), Trainer.advance

    def slow(trainer: Trainer, *arguments: Any, **how: Any) -> object:
        status = real(trainer, *arguments, **how)
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "advance", real)
            collect(TASK, SPACE, [(CELL, 0)], log, jobs=1, device="cpu")
        return status

    monkeypatch.setattr(Trainer, "advance", slow)
    answer = bench.lookup(CELL, "train_seconds")
    [run] = read_log(log).runs
    assert run.origin == "collection"
    assert answer.seconds == np.float32(run.curve["train_seconds"][-1])


@pytest.mark.parametrize("name", ["folder", "folder/runs.jsonl"])
def test_a_folder_with_shards_is_a_log(tmp_path: Path, trainings: list[Any], name: str) -> None:
    folder = tmp_path / "folder"
    collect(TASK, SPACE, [(CELL, 0)], folder, jobs=1, device="cpu")
    assert pack(folder) is not None
    (folder / "runs.jsonl").unlink()
    bench = bench_on(tmp_path / name)
    bench.query([CELL, OTHER])
    assert trainings == [(OTHER, 0)]
    assert len(read_log(folder).runs) == 2


def test_other_recipes_in_the_log_are_left_alone(log: Path, trainings: list[Any]) -> None:
    other = TASK._replace(recipe=TASK.recipe._replace(peak=0.4))
    collect(other, SPACE, [(CELL, 0)], log, jobs=1, device="cpu")
    bench_on(log).query(CELL)
    assert len(trainings) == 1
    assert len(read_log(log).runs) == 2


# --- What goes wrong ----------------------------------------------------------------------------------


def test_diverged_trainings_are_missing(log: Path, trainings: list[Any]) -> None:
    bench = bench_on(log, WILD)
    with pytest.raises(MissingValueError, match="diverged before the end of epoch 3"):
        bench.query(CELL)
    with pytest.raises(MissingValueError, match="diverged"):
        bench.query([CELL])
    masked = bench.query([CELL, OTHER], mask=True)
    assert isinstance(masked, np.ma.MaskedArray)
    assert masked.mask.tolist() == [True, True]
    assert len(trainings) == 2
    assert checkpoints(log) == []
    assert [run.status for run in read_log(log).runs] == ["diverged"] * 2


def test_the_mean_is_over_the_seeds_that_went_well(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, real = bench_on(log, seeds=(0, 1)), Trainer._one_epoch

    def one_epoch(trainer: Trainer) -> None:
        if trainer.seed == 1 and trainer.epoch == 1:
            trainer.diverged = True
        else:
            real(trainer)

    monkeypatch.setattr(Trainer, "_one_epoch", one_epoch)
    answer = bench.lookup(CELL)
    assert (answer.value, answer.n_seeds) == (bench.query(CELL, seed=0), 1)
    assert math.isnan(answer.sd)
    assert bench.lookup(CELL, epoch=1).n_seeds == 2
    with pytest.raises(MissingValueError, match="diverged"):
        bench.query(CELL, seed=1)


def test_a_failed_training_is_an_error_and_is_tried_again(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> object:
        raise TrainingError("cpu is out of memory")

    bench = bench_on(log)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", fail)
        for mask in (False, True):
            with pytest.raises(TrainingError, match="out of memory"):
                bench.query([CELL], mask=mask)
    assert not log.exists()
    assert bench.query(CELL) > 0


@pytest.mark.parametrize("damage", ["cut", "changed", "foreign"])
def test_a_damaged_checkpoint_says_what_to_do(log: Path, damage: str) -> None:
    bench_on(log).query(CELL, epoch=1)
    [path] = checkpoints(log)
    data = bytearray(path.read_bytes())
    if damage == "foreign":
        bench_on(log).query(OTHER, epoch=1)
        [other] = {*checkpoints(log)} - {path}
        other.replace(path)
    elif damage == "cut":
        path.write_bytes(data[:-100])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(TrainingError, match=r"(?i)delete it") as raised:
        bench_on(log).query(CELL)
    assert str(path) in str(raised.value)
    path.unlink()
    assert bench_on(log).query(CELL) > 0


QUESTIONS: list[tuple[Callable[[Benchmark], object], type[Exception], str]] = [
    (lambda b: b.query(CELL, epoch=4), MissingValueError, "no values at epoch 4. It has 1 to 3"),
    (lambda b: b.query(CELL, epoch=0), MissingValueError, "no values at epoch 0"),
    (lambda b: b.query(CELL, epoch=1.0), InvalidArgumentError, "epoch must be an integer"),  # type: ignore[call-overload]
    (lambda b: b.query(CELL, seed=1), MissingValueError, "no training seed 1. It has 0"),
    (lambda b: b.query(CELL, seed="0"), InvalidArgumentError, "seed must be an integer"),  # type: ignore[call-overload]
    (lambda b: b.query(CELL, "accuracy"), UnknownNameError, "valid_accuracy"),
    (lambda b: b.query(CELL, ["x"]), UnknownNameError, "metric of tiny"),  # type: ignore[call-overload]
    (lambda b: b.query("|none~0|"), InvalidArchitectureError, "not a NAS-Bench-201"),
    (lambda b: b.query((9,) * 6), InvalidArchitectureError, "9"),
    (lambda b: b.query([(0,) * 6, 1.5]), InvalidArchitectureError, "not an architecture"),
    (lambda b: b.query([(0,) * 6, -1], mask=True), InvalidArchitectureError, "-1"),
    (lambda b: b.query(np.zeros((2, 5), int)), InvalidArchitectureError, "5"),
    (lambda b: b.query(None), InvalidArchitectureError, "not an architecture"),  # type: ignore[call-overload]
    (lambda b: b.seeds(99999), InvalidArchitectureError, "99999"),
    (lambda b: b.measured(7), MissingValueError, "no training seed 7"),
]


@pytest.mark.parametrize(("question", "error", "message"), QUESTIONS)
def test_questions_that_have_no_answer(
    log: Path, question: Callable[[Benchmark], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        question(bench_on(log))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"seeds": ()}, InvalidArgumentError, "seeds must be"),
        ({"seeds": 3}, InvalidArgumentError, "seeds must be"),
        ({"seeds": (0, -1)}, InvalidArgumentError, "got -1"),
        ({"seeds": (0, 2**63)}, InvalidArgumentError, "below"),
        ({"device": "cuda:99"}, InvalidArgumentError, "cannot be used"),
        ({"log": "x.csv"}, LogError, "no log to append to"),
    ],
)
def test_what_it_cannot_be_made_with(
    log: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        LiveBenchmark(TASK, SPACE, **{"log": log, "device": "cpu", **options})
    assert not log.exists()


def test_a_damaged_log_is_refused(log: Path) -> None:
    log.write_text("{}\n")
    with pytest.raises(LogError, match="'format'"):
        bench_on(log)


def test_numpy_integers_are_integers(log: Path) -> None:
    bench = bench_on(log)
    numbers: dict[str, Any] = {"epoch": np.int64(3), "seed": np.int64(0)}
    value = bench.query(CELL, **numbers)
    assert value == bench_on(log).query(CELL)
