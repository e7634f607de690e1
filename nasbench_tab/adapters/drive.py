"""One search by any optimizer, in one call.

    >>> from nasbench_tab.adapters.drive import drive
    >>> run = drive("random", "nb201-cifar10", 50, seed=0)
    >>> len(run.values), run.stop
    (50, 'budget')

There is no second simulator: it is :func:`nasbench_tab.run_search` with the budget and the switches of the
protocol as arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import unknown_name
from nasbench_tab.records import Protocol, Run
from nasbench_tab.search.run import run_search
from nasbench_tab.search.specs import parse_budget
from nasbench_tab.strategies.base import StrategySpec

__all__ = ["drive"]


def drive(
    optimizer: str | StrategySpec | Callable[..., Any],
    benchmark: str | Benchmark,
    budget: int | str,
    *,
    seed: int = 0,
    run: int = 0,
    **switches: Any,
) -> Run:
    """Simulate one search and return its evaluations.

    Args:
        optimizer: ``"optuna"``, ``"nevergrad(optimizer='PSO')"``, any other strategy's name, a class with
            ask and tell, for example your own subclass of an adapter, or a plain function.
        benchmark: A name or a benchmark.
        budget: Evaluations (``100``), simulated seconds (``"200000s"``) or both (``"100,200000s"``).
        seed: Master seed.
        run: Run number; runs with different numbers are independent.
        switches: Of the :class:`~nasbench_tab.records.Protocol`, for example ``workers=4``.

    Raises:
        UnknownNameError: There is no such optimizer, benchmark or switch.
        InvalidArgumentError: The library is not installed, a setting cannot be, or the protocol cannot be
            followed on this benchmark.
        StrategyError: The optimizer failed.
    """
    known = set(Protocol._fields) - {"evaluations", "seconds"}
    for name in switches:
        if name not in known:
            raise unknown_name("switch of a protocol", name, known)
    evaluations, seconds = parse_budget(budget) if isinstance(budget, str) else (budget, None)
    protocol = Protocol(evaluations, seconds, **switches)
    return run_search(optimizer, benchmark, protocol, seed=seed, run=run)
