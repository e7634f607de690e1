"""Small spaces, tables and strategies whose every number is known, for tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import Column, Table, Training
from nasbench_tab.errors import InvalidArchitectureError
from nasbench_tab.records import (
    Architecture,
    Direction,
    Graph,
    Metric,
    Observation,
    Problem,
    Proposal,
    Run,
)
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.strategies.base import StrategySpec


class ToySpace(Space):
    """All cells of a few positions, in ascending order; each is a network of its own."""

    name = "toy"

    def __init__(self, choices: tuple[int, ...] = (2, 3, 4)) -> None:
        self.choices, self.size = choices, math.prod(choices)
        self.cells: list[Architecture] = list(product(*map(range, choices)))

    def parse(self, text: str) -> Architecture:
        if not all(part.isdigit() for part in text.split("-")):
            raise InvalidArchitectureError(f"{text!r} is no toy")
        return self.check(tuple(map(int, text.split("-"))))

    def format(self, arch: Architecture) -> str:
        return "-".join(map(str, arch))

    def canonical(self, arch: Architecture) -> Architecture:
        return arch

    def graph(self, arch: Architecture) -> Graph:
        return Graph(("input", *map(str, arch), "output"), ())

    def index(self, arch: Architecture) -> int:
        return self.cells.index(arch)

    def unindex(self, index: int) -> Architecture:
        if not 0 <= index < len(self.cells):
            raise InvalidArchitectureError(f"There is no toy {index}")
        return self.cells[index]


SPACE = ToySpace()
CELLS = SPACE.cells

#: The strategies that come with the package, no toys.
SHIPPED = [
    *("random", "evolution", "local-search", "reinforce", "successive-halving", "asha"),
    *("hyperband", "bohb", "dehb", "freeze-thaw"),
]


def toy_table(
    values: ArrayLike,
    *,
    name: str = "toy-table",
    space: Space | None = None,
    cells: Sequence[Architecture] | None = None,
    seconds: ArrayLike | None = None,
    seeds: Sequence[int] | None = None,
    epochs: Sequence[int] | None = None,
    curve: bool = False,
    direction: Direction = "max",
    test: ArrayLike | None = None,
    static: dict[str, ArrayLike] | None = None,
) -> Table:
    """Return a table of the metric ``score``: ``values`` is (n,), (n, S) or (n, S, E)."""
    space = space or ToySpace()
    numbers = cube(values)
    n, n_seeds, n_epochs = numbers.shape
    if cells is None:
        cells = list(product(*map(range, space.choices)))
    columns = {"score": Column(Metric("score", "valid", direction, "points"), numbers)}
    if seconds is not None:
        times = np.broadcast_to(cube(seconds), numbers.shape)
        columns["train_seconds"] = Column(Metric("train_seconds", "none", "min", "s"), times)
    if test is not None:
        columns["test_score"] = Column(
            Metric("test_score", "test", direction, "points"),
            np.broadcast_to(cube(test), numbers.shape),
        )
    training = Training(
        dataset="toys",
        objective="score",
        epochs_kind="curve" if curve else "separate trainings",
        seconds_kind="none" if seconds is None else "measured",
        seeds=tuple(seeds or range(100, 100 + n_seeds)),
        epochs=tuple(epochs or range(1, n_epochs + 1)),
        columns=columns,
    )
    extra = {
        key: Column(Metric(key, "none", "min", "M"), np.asarray(column, np.float64))
        for key, column in (static or {}).items()
    }
    return Table(
        name=name,
        space=space.name,
        by_index=False,
        architectures=np.array(cells, np.uint8).reshape(n, -1),
        trainings={"standard": training},
        default_training="standard",
        static=extra,
    )


def toy_bench(values: ArrayLike, **options: Any) -> TableBenchmark:
    """Return ``toy_table(values, **options)`` as a benchmark."""
    space = options.get("space") or ToySpace()
    table = toy_table(values, **{**options, "space": space})
    return TableBenchmark(table, space, "sha256:of-a-toy")


def cube(values: ArrayLike) -> NDArray[np.float64]:
    """Return ``values`` as (n, S, E)."""
    array = np.asarray(values, np.float64)
    return array.reshape(array.shape + (1,) * (3 - array.ndim))


def noisy_bench(n_seeds: int = 3, **options: Any) -> TableBenchmark:
    """Return a table whose value tells cell and seed: 10 * row + column."""
    space = options.get("space") or ToySpace()
    size = len(ToySpace(space.choices).cells)
    values = 10.0 * np.arange(size)[:, None] + np.arange(n_seeds)
    return toy_bench(values, **options)


def timed(times: Sequence[float], **options: Any) -> TableBenchmark:
    """Return a table in which the first cells take ``times`` seconds; values are row numbers."""
    seconds = np.ones(24)
    seconds[: len(times)] = times
    return toy_bench(np.arange(24.0), seconds=seconds, **options)


def gappy() -> TableBenchmark:
    """Return a table with 20 of the 24 cells; of two of these only seed 100 was trained."""
    values = 10.0 * np.arange(20)[:, None] + np.arange(2)
    values[[3, 5], 1] = np.nan
    return toy_bench(values, cells=CELLS[:20])


#: 24 cells of NAS-Bench-201 for a table that can lie in a folder (its space has a name).
SOME_CELLS: list[Architecture] = [(*cell, 1, 3, 2) for cell in product((0, 3), (1, 2, 4), range(4))]


def curves_table(name: str, direction: Direction = "max") -> Table:
    """Return learning curves of 24 NAS-Bench-201 cells: 3 seeds, epochs 1, 3, 9; gaps; test values.

    The last cell was never trained; every third cell lacks the last seed.
    """
    rng = np.random.default_rng(99)
    shape = (len(SOME_CELLS), 3, 3)
    final = rng.uniform(60, 90, shape[0])
    values = final[:, None, None] - np.array([20.0, 8.0, 0.0]) + rng.normal(0, 1, shape)
    values[::3, 2] = np.nan
    values[-1] = np.nan
    test = values - rng.uniform(0, 2, shape)
    per_epoch = rng.uniform(5, 15, shape[0])
    seconds = per_epoch[:, None, None] * np.array([1.0, 3.0, 9.0]) + np.zeros(shape)
    return toy_table(
        values,
        name=name,
        space=NasBench201(),
        cells=SOME_CELLS,
        seconds=seconds,
        seeds=(777, 888, 999),
        epochs=(1, 3, 9),
        curve=True,
        direction=direction,
        test=test,
        static={"parameters": np.linspace(0.1, 1.5, shape[0])},
    )


def curves(direction: Any = "max") -> TableBenchmark:
    """Return ``curves_table`` as a benchmark."""
    return TableBenchmark(curves_table("curves", direction), NasBench201(), "sha256:toy")


class Log:
    """What a scripted strategy saw."""

    def __init__(self) -> None:
        self.problem: Problem | None = None
        self.asked: list[int] = []
        self.told: list[Observation] = []


def scripted(proposals: Iterable[Any], log: Log | None = None, name: str = "scripted") -> Any:
    """Return a strategy that proposes ``proposals`` in turn, cells or Proposals, then nothing."""
    seen = log or Log()
    script = list(proposals)

    class Scripted:
        def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
            seen.problem = problem
            self.left = script[::-1]

        def ask(self, n: int) -> list[Proposal]:
            seen.asked.append(n)
            taken = [self.left.pop() for _ in range(min(n, len(self.left)))]
            return [p if isinstance(p, Proposal) else Proposal(p) for p in taken]

        def tell(self, observations: Sequence[Observation]) -> None:
            seen.told.extend(observations)

    return StrategySpec.make(name, Scripted, {})


def asks(answer: Callable[[int], Any]) -> StrategySpec:
    """Return a strategy whose ``ask(n)`` returns ``answer(n)``."""

    class Answering:
        def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
            pass

        def ask(self, n: int) -> Any:
            return answer(n)

        def tell(self, observations: Sequence[Observation]) -> None:
            pass

    return StrategySpec.make("odd-one", Answering, {})


def cells_of(run: Run) -> list[Architecture]:
    """Return a run's cells as tuples."""
    return list(map(tuple, run.architectures.tolist()))


def rows(run: Any) -> list[int]:
    """Return the row numbers of a run's cells in ``SPACE``."""
    return [SPACE.index(cell) for cell in cells_of(run)]


def same_run(one: Run, other: Run) -> bool:
    """Return whether all of two runs but their CPU times is equal."""
    plain = one.free == other.free and one.stop == other.stop
    arrays = ("architectures", "epochs", "seeds", "values", "seconds")
    return plain and all(
        getattr(one, name).dtype == getattr(other, name).dtype
        and getattr(one, name).tobytes() == getattr(other, name).tobytes()
        for name in arrays
    )


def chi_squared(counts: ArrayLike) -> float:
    """Return the chi-squared statistic of ``counts`` against equal frequencies."""
    observed = np.asarray(counts, np.float64)
    expected = observed.sum() / observed.size
    return float(((observed - expected) ** 2 / expected).sum())
