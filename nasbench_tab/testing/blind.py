"""What a strategy can reach: validation values that it paid for, and no benchmark."""

from __future__ import annotations

import gc
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any
from unittest import mock

import h5py
import numpy as np
from numpy.typing import NDArray

from nasbench_tab import registry
from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import Column, Table, Training
from nasbench_tab.errors import StrategyError
from nasbench_tab.records import Observation, Problem, Protocol
from nasbench_tab.search.run import run_search
from nasbench_tab.search.specs import strategy_spec
from nasbench_tab.strategies.base import StrategySpec
from nasbench_tab.testing.rules import require

__all__ = ["check_blind", "reachable", "sealed"]


def check_blind(
    strategy: str | Callable[..., Any],
    benchmark: str | Benchmark = "nbgraph-proteins",
    *,
    evaluations: int = 60,
) -> None:
    """Check that a strategy is told validation values only and holds no benchmark.

    After a search, everything that can be reached from the problem, from the observations and from
    the strategy itself (see :func:`reachable`) is looked at: there must be no benchmark, no table, no
    HDF5 object and no collection of test values. So a strategy that reads test values has nowhere to
    read them from, short of loading a table itself, which is refused while it is at work.

    What is not seen: a strategy that takes the benchmark from ``gc.get_objects()`` when it needs it and
    lets go of it again. :func:`nasbench_tab.testing.check_shuffled` catches it.

    Args:
        strategy: A name, ``package.module:Name``, a class or a plain function.
        benchmark: Where to try it; one that has test values.
        evaluations: Length of the search.

    Raises:
        AssertionError: Something is reachable that must not be; the message says how.
        StrategyError: The strategy tried to load a benchmark.
    """
    bench = registry.load(benchmark) if isinstance(benchmark, str) else benchmark
    spec = strategy_spec(strategy)
    roots: dict[str, Any] = {"observations": []}

    class Watched:
        def __init__(self, problem: Problem, rng: np.random.Generator, **_: Any) -> None:
            self.strategy = spec.start(problem, rng)
            self.ask = self.strategy.ask
            roots.update(problem=problem, strategy=self.strategy)

        def tell(self, observations: Sequence[Observation]) -> None:
            roots["observations"] += observations
            self.strategy.tell(observations)

    attempts: list[str] = []
    watched = sealed(spec._replace(factory=Watched), attempts)
    run_search(watched, bench, Protocol(evaluations=evaluations, missing="masked"), seed=0)
    require(not attempts, f"{spec.label} tried to load a benchmark ({', '.join(attempts)})")
    hidden = _hidden(bench)
    for path, thing in reachable(roots, follow=getattr(spec.factory, "__module__", "")):
        kind = type(thing)
        held = isinstance(thing, (Benchmark, Table, Training, Column))
        require(
            not held and "h5py" not in str(kind),
            f"{spec.label}: a {kind.__name__} can be reached as {path}",
        )
        numbers = _numbers(thing)
        if numbers is not None and len(numbers) > 2:
            shown = np.isin(numbers, hidden).sum()
            require(
                2 * shown < len(numbers),
                f"{spec.label}: {shown} test values can be reached as {path}",
            )
    for cell, epoch, score, _, status in roots["observations"]:
        known = [bench.query(cell, epoch=epoch, seed=seed) for seed in bench.seeds(cell)]
        require(
            status != "ok" or score in map(bench.objective.score, known),
            f"{spec.label} was told {score} for {cell}, which is no validation value of it",
        )


def reachable(roots: dict[str, Any], *, follow: str = "") -> Iterator[tuple[str, Any]]:
    """Yield everything that can be reached from objects by attributes, items and closures.

    Modules, frames and the global names of functions are where it stops, since through them all of
    the interpreter can be reached; classes are entered.

    Args:
        roots: Names and objects to begin with.
        follow: The name of a module; of its functions, the global names that they mention are
            followed too.

    Yields:
        Pairs: how the object is reached, and the object.
    """
    seen: set[int] = set()
    alive: list[Any] = []  # what was made while walking must keep its identity
    waiting = deque(roots.items())  # first come, first served: the shortest ways are told
    while waiting:
        path, thing = waiting.popleft()
        if id(thing) in seen or isinstance(thing, (types.ModuleType, types.FrameType)):
            continue
        seen.add(id(thing))
        alive.append(thing)
        yield path, thing
        waiting += [(path + step, part) for step, part in _parts(thing, follow)]


def _parts(thing: Any, follow: str) -> Iterator[tuple[str, Any]]:
    """Yield what an object is made of, with the step that leads there."""
    if isinstance(thing, types.FunctionType):
        yield ".__closure__", thing.__closure__
        yield ".__defaults__", (thing.__defaults__, thing.__kwdefaults__)
        yield ".__dict__", thing.__dict__
        if thing.__module__ == follow:
            named = set(thing.__code__.co_names) & set(thing.__globals__)
            yield from ((f" -> {name}", thing.__globals__[name]) for name in sorted(named))
        return
    if isinstance(thing, dict):
        yield from ((f"[{key!r:.40}]", part) for key, part in thing.items())
    elif hasattr(thing, "__dict__"):
        yield from ((f".{name}", part) for name, part in vars(thing).items())
    if isinstance(thing, type):
        yield from ((f"({base.__name__})", base) for base in thing.__mro__[1:])
    else:
        yield from ((f"<{type(part).__name__}>", part) for part in gc.get_referents(thing))
        yield ".__class__", type(thing)


def _numbers(thing: Any) -> NDArray[np.float32] | None:
    """Return a collection of real numbers as an array; None for anything else."""
    if isinstance(thing, dict):
        thing = list(thing.values())
    if isinstance(thing, (list, tuple, set, frozenset)):
        real = thing and all(isinstance(item, (float, np.floating)) for item in thing)
        return np.fromiter(thing, np.float32, len(thing)) if real else None
    if isinstance(thing, (np.ndarray, memoryview)):
        array = np.asarray(thing)
        return array.astype(np.float32).ravel() if array.dtype.kind == "f" else None
    return None


def _hidden(bench: Benchmark) -> NDArray[np.float32]:
    """Return all test values that are no validation values too."""
    if bench.stateful:  # it would train them all
        return np.empty(0, np.float32)
    cells, found = bench.measured(), {"test": [np.empty(0)], "valid": [np.empty(0)]}
    seeds = {seed for cell in cells[:100].tolist() for seed in bench.seeds(tuple(cell))}
    for name, metric in bench.metrics.items():
        for seed in (None, *sorted(seeds)):
            split = metric.split.removeprefix("valid+")
            if split in found:
                values = bench.query(cells, name, seed=seed, mask=True)
                found[split].append(values.compressed())
    test, valid = (np.concatenate(found[split]).astype(np.float32) for split in found)
    return np.setdiff1d(test, valid)


# What loading a table, training live or opening a file goes through. Not ``load``: other modules have
# names of their own for it.
_DOORS: tuple[tuple[Any, str], ...] = (
    (registry, "table_folder"),
    (registry, "task_named"),
    (TableBenchmark, "__init__"),
    (h5py, "File"),
)


def sealed(spec: StrategySpec, attempts: list[str]) -> StrategySpec:
    """Return a strategy that cannot load a benchmark; ``attempts`` notes what it tried."""

    def refusing(name: str) -> Callable[..., Any]:
        def refuse(*_: Any, **__: Any) -> Any:
            attempts.append(name)
            raise StrategyError(
                f"Strategy {spec.label!r} tried to load a benchmark ({name}) in a search. A strategy "
                "sees its problem and its observations only; a benchmark would show it values that it "
                "has not paid for."
            )

        return refuse

    def closed() -> ExitStack:
        stack = ExitStack()
        for owner, name in _DOORS:
            stack.enter_context(mock.patch.object(owner, name, refusing(name)))
        return stack

    class Sealed:
        def __init__(self, problem: Problem, rng: np.random.Generator, **_: Any) -> None:
            with closed():
                self._strategy = spec.start(problem, rng)

        def ask(self, n: int) -> Sequence[Any]:
            with closed():
                return self._strategy.ask(n)

        def tell(self, observations: Sequence[Observation]) -> None:
            with closed():
                self._strategy.tell(observations)

    return spec._replace(factory=Sealed)
