"""The part of tools/bench about strategies: what a proposal costs when there are 200 observations."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from bench_timing import line

import nasbench_tab as nbt
from nasbench_tab.records import Observation, Problem
from nasbench_tab.registry import strategy_names
from nasbench_tab.search.specs import strategy_spec

_BEFORE, _TIMED = (
    200,
    20,
)  # observations, proposals timed: two or four fits of what is fitted in batches

#: Beside the defaults.
_MORE = ("bananas(layers=3,epochs=50)", "bananas(predictor='none')")


def bench_strategies() -> None:
    print(
        f"strategies: CPU time of a proposal, ask and tell, fits included: means of proposals {_BEFORE + 1} "
        f"to {_BEFORE + _TIMED}, nb201-cifar100 (ratio: against ours, tpe)"
    )
    peers: dict[str, Callable[[int], float]] = {
        f"ours, {spec}": _ours(spec) for spec in (*strategy_names(), *_MORE)
    }
    try:
        import optuna
    except ImportError:
        print("  (Optuna's TPE is left out: optuna is not installed)")
    else:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        peers["Optuna, TPESampler"] = _optuna
    seconds = {name: [peer(seed) for seed in range(3)] for name, peer in peers.items()}
    for name, values in seconds.items():
        line(name, values, 1e3, "ms", None)
        ratio = [b / a for a, b in zip(seconds["ours, tpe"], values, strict=True)]
        print(f"  {'':<58}{statistics.median(ratio):>10.2f} times ours, tpe")


def _ours(name: str) -> Callable[[int], float]:
    """Return what a proposal costs in a run of its own, with one worker."""

    def proposal(seed: int) -> float:
        bench = nbt.load("nb201-cifar100")
        problem = Problem(bench.space, bench.objective, bench.epochs)
        strategy = strategy_spec(name).start(problem, np.random.default_rng(seed))
        spent, known = 0.0, 0
        while known < _BEFORE + _TIMED:
            begin = time.process_time()
            [proposed] = strategy.ask(1)
            cell, epoch = proposed.architecture, proposed.epoch
            took = time.process_time() - begin
            answer = bench.lookup(cell)
            told = Observation(cell, epoch or bench.epochs[-1], answer.value, answer.seconds)
            begin = time.process_time()
            strategy.tell([told])
            took += time.process_time() - begin
            known += 1
            spent += took if known > _BEFORE else 0.0
        return spent / _TIMED

    return proposal


def _optuna(seed: int) -> float:
    import optuna

    bench = nbt.load("nb201-cifar100")
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), direction="maximize")
    spent = 0.0
    for known in range(1, _BEFORE + _TIMED + 1):
        begin = time.process_time()
        trial = study.ask()
        cell = tuple(trial.suggest_categorical(f"op{i}", [0, 1, 2, 3, 4]) for i in range(6))
        took = time.process_time() - begin
        value = float(bench.query(cell))
        begin = time.process_time()
        study.tell(trial, value)
        took += time.process_time() - begin
        spent += took if known > _BEFORE else 0.0
    return spent / _TIMED
