"""What an adapter adds to a library's own ask and tell, over the same table in the same run."""

from __future__ import annotations

import logging
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from bench_timing import line, side_by_side

import nasbench_tab as nbt

EVALUATIONS = 60


def bench_adapters() -> None:
    print(
        f"adapters: CPU time of one of {EVALUATIONS} evaluations (ratio: against the library's own loop)"
    )
    bench = nbt.load("nb201-cifar10")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    pairs: dict[str, Callable[[Any], None]] = {
        "optuna(sampler='RandomSampler')": partial(own_optuna, "RandomSampler"),
        "optuna": partial(own_optuna, "TPESampler"),
        "nevergrad(optimizer='DiscreteOnePlusOne')": partial(own_nevergrad, "DiscreteOnePlusOne"),
        "pymoo": own_pymoo,
    }
    nbt.drive("random", bench, EVALUATIONS)  # the table's own caches are warm for both
    for name, own in pairs.items():
        calls: dict[str, tuple[Callable[[], object], int]] = {
            f"{name}, the library's own loop": (partial(own, bench), 1),
            f"{name}, as a strategy": (partial(nbt.drive, name, bench, EVALUATIONS), 1),
        }
        alone, ours = side_by_side(calls, time.process_time, repeats=9).items()
        for what, seconds in (alone, ours):
            line(what, [value / EVALUATIONS for value in seconds], 1e3, "ms", None)
        ratios = [b / a for a, b in zip(alone[1], ours[1], strict=True)]
        added = [(b - a) / EVALUATIONS for a, b in zip(alone[1], ours[1], strict=True)]
        print(
            f"  {'':<58}{statistics.median(ratios):>10.2f} times the library's own loop; "
            f"{statistics.median(added) * 1e6:+.0f} us"
        )


def value(bench: Any, cell: tuple[int, ...]) -> float:
    """Return one training's value, as the simulated search does."""
    return float(bench.lookup(cell, seed=bench.seeds(cell)[0]).value)


def own_optuna(sampler: str, bench: Any) -> None:
    import optuna

    kind = getattr(optuna.samplers, sampler)
    study = optuna.create_study(sampler=kind(seed=0), direction="maximize")
    options = bench.space.options()
    numbers = [{name: i for i, name in enumerate(o)} for o in options.values()]
    spaces: dict[str, Any] = {
        name: optuna.distributions.CategoricalDistribution(o) for name, o in options.items()
    }
    for _ in range(EVALUATIONS):
        trial = study.ask(spaces)
        cell = tuple(n[trial.params[name]] for name, n in zip(options, numbers, strict=True))
        study.tell(trial, value(bench, cell))


def own_nevergrad(optimizer: str, bench: Any) -> None:
    import nevergrad

    options = bench.space.options()
    numbers = [{name: i for i, name in enumerate(o)} for o in options.values()]
    choices = {name: nevergrad.p.TransitionChoice(list(o)) for name, o in options.items()}
    dictionary = nevergrad.p.Dict(**choices)
    dictionary.random_state = np.random.RandomState(0)  # what it takes
    search = nevergrad.optimizers.registry[optimizer](dictionary)
    for _ in range(EVALUATIONS):
        candidate = search.ask()
        cell = tuple(n[candidate.value[name]] for name, n in zip(options, numbers, strict=True))
        search.tell(candidate, -value(bench, cell))


def own_pymoo(bench: Any) -> None:
    from pymoo.core.mixed import MixedVariableGA
    from pymoo.core.problem import Problem
    from pymoo.core.termination import NoTermination
    from pymoo.core.variable import Choice

    numbers = {name: Choice(options=range(len(o))) for name, o in bench.space.options().items()}
    algorithm = MixedVariableGA(pop_size=20)
    task = Problem(vars=numbers, n_obj=1, n_ieq_constr=1)
    algorithm.setup(task, termination=NoTermination(), seed=0)
    left = EVALUATIONS
    while left:
        generation = algorithm.ask()
        for individual in generation[:left]:
            cell = tuple(int(individual.X[name]) for name in numbers)
            individual.set("F", np.array([-value(bench, cell)]))
            individual.set("G", np.zeros(1))
            individual.evaluated.update(("F", "G"))
        left -= min(left, len(generation))
        if left:
            algorithm.tell(infills=generation)
