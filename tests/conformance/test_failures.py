"""Workers that die: every registered strategy and adapter goes on, and loses nothing by it but time."""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from light import light

from nasbench_tab import registry
from nasbench_tab.records import Observation, Problem, Protocol, Run
from nasbench_tab.search.run import run_search
from nasbench_tab.search.specs import strategy_spec
from nasbench_tab.strategies.base import StrategySpec

NAMES = registry.strategy_names()
#: What keeps no account of what it proposed: a proposal that failed is just gone.
FORGETFUL = {"random", "evolution", "proxy", "ppo", "reinforce"}
ADAPTERS = {
    "optuna(sampler_options={'n_startup_trials': 5})": "optuna",
    "optuna(pruner='SuccessiveHalvingPruner')": "optuna",
    "nevergrad(optimizer='DiscreteOnePlusOne')": "nevergrad",
    "pymoo(population=6)": "pymoo",
}
CURVES = registry.load("nb201-fashion")
#: Half of all full trainings fail, and what is continued goes on from its last pause.
DYING = Protocol(
    evaluations=40, missing="masked", resume="continue", repeats="reuse", failures=0.5
)  # fmt: skip
SAFE = DYING._replace(failures=0.0)


def spec_of(name: str) -> str:
    if name in ADAPTERS and importlib.util.find_spec(ADAPTERS[name]) is None:
        pytest.skip(f"{ADAPTERS[name]} is an extra")
    return light(name)


class Watched:
    """A strategy, and all that passes between it and the search."""

    def __init__(self, name: str) -> None:
        spec = strategy_spec(spec_of(name))
        self.asked, self.told = Counter[Any](), list[Observation]()
        watched = self

        class At:
            def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
                self.inner, self.full = spec.start(problem, rng), problem.epochs[-1]

            def ask(self, n: int) -> Sequence[Any]:
                proposals = self.inner.ask(n)
                watched.asked.update((cell, epoch or self.full) for cell, epoch, *_ in proposals)
                return proposals

            def tell(self, observations: Sequence[Observation]) -> None:
                watched.told += observations
                self.inner.tell(observations)

        self.spec = StrategySpec(spec.label, At, {})


def evaluations(run: Run) -> list[Any]:
    cells = map(tuple, run.architectures.tolist())
    return list(zip(cells, run.epochs.tolist(), run.seeds.tolist(), run.values, strict=True))


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("name", [*NAMES, *ADAPTERS])
def test_it_goes_on(name: str, workers: int) -> None:
    seen = Watched(name)
    protocol = DYING._replace(workers=workers)
    run = run_search(seen.spec, CURVES, protocol, seed=3)
    assert len(run.values) == 40
    assert run.died == sum(o.status == "failed" for o in seen.told) > 0
    for one in seen.told:
        assert not math.isnan(one.score)
        assert not math.isnan(one.seconds)
        assert (one.score == -math.inf) == (one.status in ("failed", "infeasible"))
    assert Counter(o[:2] for o in seen.told) == seen.asked
    again = run_search(Watched(name).spec, CURVES, protocol, seed=3)
    assert evaluations(again) == evaluations(run)
    assert (again.died, again.lost, again.last_died) == (run.died, run.lost, run.last_died)


@pytest.mark.parametrize("name", sorted({*NAMES, *ADAPTERS} - FORGETFUL))
def test_with_one_worker_it_makes_the_same_evaluations_only_later(name: str) -> None:
    """So nothing that a strategy decides, which cell is promoted for example, hangs on who died."""
    safe = run_search(spec_of(name), CURVES, SAFE, seed=3)
    dying = run_search(spec_of(name), CURVES, DYING, seed=3)
    assert dying.died > 5
    assert evaluations(dying) == evaluations(safe)
    assert dying.free == safe.free
    spent = np.diff(dying.seconds, prepend=0.0) - np.diff(safe.seconds, prepend=0.0)
    assert (spent > -1e-9).all()
    assert spent.sum() == pytest.approx(dying.lost)
