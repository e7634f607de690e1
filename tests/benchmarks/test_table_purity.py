"""Queries of a table: the same question has the same answer, whoever asked what before."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nasbench_tab as nbt
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.tablefile import Table
from nasbench_tab.spaces.nasbench201 import NasBench201

from .tables import SIZE, SPACE, fresh, nb201, stored


def everything_asked(bench: Benchmark) -> list[object]:
    """Answers to one of every kind of question, as plain data."""
    answers: list[object] = []
    for index in range(0, SIZE, 997):
        cell = SPACE.unindex(index)
        seeds = bench.seeds(cell)
        answers += [
            bench.query(cell),
            bench.query(SPACE.format(cell)),
            bench.query(index, "macs"),
            bench.query(cell, seed=seeds[0]),
            bench.lookup(SPACE.format(cell))[:3],
            bench.lookup(index, "latency").value,
            bench.lookup(cell, seed=seeds[-1])[:3],
            seeds,
        ]
    indices = np.arange(0, SIZE, 13)
    cells = np.array([SPACE.unindex(index) for index in indices.tolist()])
    answers += [
        bench.query(indices).tobytes(),
        bench.query(cells, "train_seconds").tobytes(),
        bench.query(list(map(tuple, cells.tolist())), seed=888, mask=True).filled(-1).tobytes(),
        bench.measured(888).tobytes(),
        bench.measured().tobytes(),
    ]
    return answers


def test_the_same_question_has_the_same_answer() -> None:
    bench = fresh(stored("nb201-cifar10"))
    first = everything_asked(bench)
    assert everything_asked(bench) == first
    assert everything_asked(nb201()) == first


def test_a_benchmark_that_was_used_can_go_to_another_process() -> None:
    bench = fresh(stored("nb201-cifar10"))
    first = everything_asked(bench)
    there = pickle.loads(pickle.dumps(bench))  # noqa: S301 - our own
    assert everything_asked(there) == first
    assert (there.fingerprint, there.training) == (bench.fingerprint, bench.training)
    assert not there.measured().flags.writeable


@pytest.mark.parametrize(
    "ask",
    [
        lambda bench: bench.query(np.arange(SIZE)),
        lambda bench: bench.query(np.arange(SIZE), "latency"),
        lambda bench: bench.query(np.arange(SIZE), "macs", mask=True).data,
        lambda bench: bench.query(np.arange(SIZE), seed=777, mask=True).data,
        lambda bench: bench.query([SPACE.unindex(index) for index in range(SIZE)]),
    ],
)
def test_array_answers_are_copies(ask: Callable[[Benchmark], NDArray[Any]]) -> None:
    bench = nbt.load("nb201-cifar10")
    answer = ask(bench)
    before = answer.tobytes()
    answer[:] = -1.0
    assert ask(bench).tobytes() == before
    assert bench.query(0) == nb201().query(0)
    assert bench.query(0, "latency") == nb201().query(0, "latency")


@pytest.mark.parametrize("seed", [None, 777])
def test_measured_cannot_be_used_to_change_the_table(seed: int | None) -> None:
    bench = nbt.load("nb201-cifar10")
    cells = bench.measured(seed)
    with suppress(ValueError):  # all of the table is handed out read-only, a part as a copy
        cells[:] = 0
    assert bench.measured().tolist() == nb201().measured().tolist()
    assert bench.query(SPACE.unindex(11)) == nb201().query(11)


def test_threads_agree() -> None:
    """All at once on a benchmark that has not been asked anything yet."""
    n = 8
    expected = everything_asked(nb201())
    bench = fresh(stored("nb201-cifar10"))
    start = threading.Barrier(n)

    def ask(_: int) -> list[object]:
        start.wait()
        return everything_asked(bench)

    with ThreadPoolExecutor(n) as pool:
        assert list(pool.map(ask, range(n))) == [expected] * n


def test_a_string_asked_by_another_thread_does_not_disturb(
    synthetic: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one thread makes the table of official indices, another asks for a new string."""
    small = fresh(synthetic)
    index = SPACE.index((0, 0, 1, 2, 3, 4))
    cells = [tuple(cell) for cell in synthetic.architectures.tolist()]
    asked: list[float] = []

    def meanwhile(self: NasBench201, cell: tuple[int, ...]) -> int:
        asked.append(small.query(SPACE.format(cells[len(asked) % 3])))
        return original(self, cell)

    original = NasBench201.index
    monkeypatch.setattr(NasBench201, "index", meanwhile)
    value = small.query(index)
    assert asked
    monkeypatch.undo()
    assert value == small.query((0, 0, 1, 2, 3, 4))
