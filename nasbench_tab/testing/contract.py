"""Contracts of spaces, benchmarks and strategies, checked.

Each function raises AssertionError with the rule that was broken.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArchitectureError, MissingValueError, UnknownNameError
from nasbench_tab.records import Architecture, Observation, Problem, Protocol, Run
from nasbench_tab.registry import load
from nasbench_tab.search.costs import cost_metrics
from nasbench_tab.search.run import run_search
from nasbench_tab.search.specs import strategy_spec
from nasbench_tab.spaces.base import Space
from nasbench_tab.strategies.base import StrategySpec
from nasbench_tab.testing.blind import sealed
from nasbench_tab.testing.rules import require, require_raises

__all__ = ["check_benchmark", "check_space", "check_strategy"]


def check_space(space: Space, *, n: int = 200, seed: int = 0) -> None:
    """Check the contract of a search space on ``n`` sampled cells.

    Raises:
        AssertionError: A rule is broken; the message names rule and cell.
    """
    named = space.options()
    require(
        tuple(map(len, named.values())) == tuple(space.choices)
        and all(len(set(options)) == len(options) for options in named.values()),
        "options must name every option of every position, each another way",
    )
    cells = space.sample(np.random.default_rng(seed), n)
    require(len(cells) == n, f"sample(rng, {n}) gave {len(cells)} cells")
    again = space.sample(np.random.default_rng(seed), n)
    require(cells == again, "the same generator must give the same samples")
    other = space.sample(np.random.default_rng(seed + 1), n)
    require(space.size == 1 or cells != other, "another generator must give other samples")
    for cell in cells:
        _check_cell(space, cell)
    for wrong in ((), (0,) * (len(space.choices) + 1), (-1,) * len(space.choices), None, 1.5, "x"):
        require_raises(InvalidArchitectureError, partial(space.check, wrong), f"check({wrong!r})")
    for text in ("", "?", "|", "not an architecture"):
        require_raises(InvalidArchitectureError, partial(space.parse, text), f"parse({text!r})")
    if space.size is not None:
        for index in (-1, 2**62):
            require_raises(
                InvalidArchitectureError, partial(space.unindex, index), f"unindex({index})"
            )


def _check_cell(space: Space, cell: Architecture) -> None:
    require(
        type(cell) is tuple and all(type(op) is int for op in cell), f"{cell!r} is no tuple of ints"
    )
    require(space.contains(cell) and space.check(cell) == cell, f"{cell} sampled but not contained")
    require(max(cell) <= 255, f"{cell} has a number above 255")
    text = space.format(cell)
    require(space.parse(text) == cell, f"parse(format({cell})) is {space.parse(text)}")
    canonical = space.canonical(cell)
    require(space.canonical(canonical) == canonical, f"canonical is not idempotent on {cell}")
    if space.size is not None:
        back = space.unindex(space.index(cell))
        require(space.canonical(back) == canonical, f"unindex(index({cell})) is another network")
    near = space.neighbors(cell)
    require(
        len(set(near)) == len(near) and cell not in near, f"neighbors of {cell} repeat or hold it"
    )
    require(all(map(space.contains, near)), f"a neighbor of {cell} is outside the space")
    for neighbor in near[:3]:
        require(
            cell in space.neighbors(neighbor), f"{cell} is no neighbor of its neighbor {neighbor}"
        )
    draws = [(i + 0.5) / len(near) for i in range(len(near))]
    mutants = {space.mutate(cell, draw) for draw in (0.0, *draws, np.nextafter(1.0, 0.0).item())}
    require(mutants == set(near), f"mutate({cell}, draw) must reach each neighbor equally often")
    graph = space.graph(cell)
    require(graph.labels[0] == "input" and graph.labels[-1] == "output", f"graph of {cell}: ends")
    require(
        all(0 <= a < b < len(graph.labels) for a, b in graph.edges),
        f"graph of {cell} is not ordered",
    )


def check_benchmark(bench: Benchmark, *, n: int = 100, seed: int = 0) -> None:
    """Check the contract of a benchmark on ``n`` of its measured cells.

    Raises:
        AssertionError: A rule is broken; the message names it.
    """
    space, metric = bench.space, bench.objective
    require(metric.split == "valid", "the objective must be measured on the validation split")
    require(bench.metrics[metric.name] == metric, "the objective must be one of the metrics")
    require(list(bench.epochs) == sorted(set(bench.epochs)), "epochs must ascend")
    require(bench.fingerprint.startswith("sha256:"), "the fingerprint must be a SHA-256")
    measured = bench.measured()
    rows = np.random.default_rng(seed).integers(0, len(measured), n)
    cells = [tuple(cell) for cell in measured[rows].tolist()]
    values = bench.query(cells)
    require(values.dtype == np.float64 and values.shape == (n,), "many cells give a float64 array")
    require(bool(np.isfinite(values).all()), "a measured cell must have a value")
    require(
        bool(((values >= metric.lower) & (values <= metric.upper)).all()),
        "values leave their bounds",
    )
    require(
        np.array_equal(values, bench.query(measured[rows])), "cells as an array give other values"
    )
    require(np.array_equal(values, bench.query(cells)), "the same question gives another answer")
    for cell, value in zip(cells, values.tolist(), strict=True):
        _check_answers(bench, cell, value)
    if not bench.stateful:  # which would train them all
        every = bench.query(measured)
        best = every.max() if metric.direction == "max" else every.min()
        require(
            metric.score(best) >= max(map(metric.score, values.tolist())),
            "a cell beats the optimum",
        )
    cell = cells[0]
    nowhere = bench.epochs[-1] + 1
    require_raises(
        MissingValueError, lambda: bench.query(cell, epoch=nowhere), "an epoch beyond all"
    )
    if not bench.predicts:
        require_raises(
            MissingValueError, lambda: bench.query(cell, seed=2**40), "a seed that is not there"
        )
    require_raises(
        UnknownNameError, lambda: bench.query(cell, "no such metric"), "an unknown metric"
    )
    wrong = (255,) * (len(space.choices) + 1)
    require_raises(InvalidArchitectureError, lambda: bench.query(wrong), "a malformed cell")


def _check_answers(bench: Benchmark, cell: Architecture, value: float) -> None:
    scalar = bench.query(cell)
    require(
        type(scalar) is float and scalar == value, f"{cell}: one cell must give a float, the same"
    )
    require(
        bench.query(bench.space.format(cell)) == value, f"{cell}: its string gives another value"
    )
    if bench.space.size is not None:
        index = bench.space.index(cell)
        require(bench.query(np.int64(index)) == value, f"{cell}: its index gives another value")
    answer = bench.lookup(cell)
    require(answer.value == value, f"{cell}: lookup and query disagree")
    require(not bench.has_seconds or answer.seconds > 0, f"{cell}: training takes no time")
    seeds = bench.seeds(cell)
    single = [bench.query(cell, seed=seed) for seed in seeds]
    if answer.source == "surrogate":
        require(answer.n_seeds == 0, f"{cell}: no training is behind a prediction")
        require(answer.lower <= value <= answer.upper, f"{cell}: outside its own interval")
        if seeds:  # where the seed noise is known, to within five standard errors
            off = abs(np.mean(single) - value) / (answer.sd / np.sqrt(len(seeds)))
            require(off < 5, f"{cell}: simulated trainings are not about its mean")
        return
    require(bool(seeds) and answer.n_seeds == len(seeds), f"{cell}: seeds and n_seeds disagree")
    require(bool(np.isclose(np.mean(single), value)), f"{cell}: not the mean over its seeds")


def check_strategy(
    strategy: str | Callable[..., Any],
    benchmark: str | Benchmark = "nb201-cifar10",
    *,
    evaluations: int = 60,
    deterministic_order: bool = True,
) -> None:
    """Check the contract of a search strategy.

    While it is at work, it cannot load a benchmark or open a table: a strategy that tries has
    StrategyError raised in it.

    Args:
        strategy: A name, ``package.module:Name``, a class or a plain function.
        benchmark: Where to try it.
        evaluations: Budget of each trial run.
        deterministic_order: Whether two seeds must give two different runs; False for a strategy
            that draws nothing.

    Raises:
        AssertionError: A rule is broken; the message names it.
        StrategyError: It tried to load a benchmark, or it breaks the contract so that no search can
            go on.
    """
    bench = load(benchmark) if isinstance(benchmark, str) else benchmark
    attempts: list[str] = []
    spec = sealed(strategy_spec(strategy), attempts)
    label = spec.label
    protocol = Protocol(evaluations=evaluations)
    states = _global_randomness()
    run = run_search(spec, bench, protocol, seed=1)
    require(
        states == _global_randomness(),
        f"{label} must draw from its own generator, not from a global one",
    )
    require(len(run.values) == evaluations or run.stop == "exhausted", f"{label} ended early")
    require(_same(run, run_search(spec, bench, protocol, seed=1)), f"{label}: same seed, other run")
    if deterministic_order:
        other = run_search(spec, bench, protocol, seed=2)
        same_cells = np.array_equal(run.architectures, other.architectures)
        require(not same_cells, f"{label}: the seed must matter")
    one = run_search(spec, bench, Protocol(evaluations=1), seed=1)
    require(len(one.values) == 1, f"{label} must work with a budget of one evaluation")
    many = run_search(spec, bench, protocol._replace(workers=7), seed=1)
    require(len(many.values) == len(run.values), f"{label} must work with several workers")
    limited = protocol._replace(limits=_median_limit(bench), repeats="reuse")
    some = run_search(spec, bench, limited, seed=1)
    require(
        len(some.values) > 0, f"{label} must go on when told that a cell is infeasible or a repeat"
    )
    dying = run_search(spec, bench, protocol._replace(workers=3, failures=0.3), seed=1)
    require(len(dying.values) > 0, f"{label} must go on when told that a worker died")
    for second in list(cost_metrics(bench))[:1]:
        both = run_search(spec, bench, protocol._replace(second=second), seed=1)
        require(
            len(both.values) == len(run.values),
            f"{label} must work where there is a second objective",
        )
    _check_calls(spec, bench)
    require(not attempts, f"{label} tried to load a benchmark ({', '.join(attempts)})")


def _check_calls(spec: StrategySpec, bench: Benchmark) -> None:
    """Drive the strategy by hand, with answers out of order, and look at each proposal."""
    problem = Problem(bench.space, bench.objective, bench.epochs)
    at_work = spec.start(problem, np.random.default_rng(0))
    pending: list[Observation] = []
    for _ in range(20):
        proposals: Sequence[Any] = at_work.ask(5)
        require(len(proposals) <= 5, f"{spec.label}: ask(5) gave {len(proposals)} proposals")
        for cell, epoch, *_ in proposals:
            require(bench.space.contains(cell), f"{spec.label} proposed {cell!r}, not in the space")
            require(
                epoch is None or epoch in bench.epochs, f"{spec.label} proposed epoch {epoch!r}"
            )
            answer = bench.lookup(cell, epoch=epoch)
            score = bench.objective.score(answer.value)
            pending.append(Observation(cell, epoch or bench.epochs[-1], score, answer.seconds))
        late, soon = pending[::2], pending[1::2]
        at_work.tell(soon[::-1])
        pending = late


def _global_randomness() -> tuple[object, str]:
    return random.getstate(), repr(np.random.get_state())  # noqa: NPY002 - to see that it is left alone


def _median_limit(bench: Benchmark) -> tuple[tuple[str, float], ...]:
    """Return a limit that about half of the cells break, on whatever the benchmark has."""
    free = [n for n, m in bench.metrics.items() if m.split == "none" and n != "train_seconds"]
    if not free:
        return ()
    cells = bench.measured()
    some = cells[:: len(cells) // 5] if bench.stateful else cells  # to train all takes too long
    return ((free[0], float(np.median(bench.query(some, free[0])))),)


def _same(a: Run, b: Run) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name in ("values", "seconds"))
        for name in ("architectures", "epochs", "seeds", "values", "seconds")
    )
