"""Comparisons on small tables whose winners somebody seems to have trained again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from nasbench_tab.registry import load
from nasbench_tab.search.results import Results
from nasbench_tab.verify import bias as judging
from nasbench_tab.verify.bias import bias
from nasbench_tab.verify.choose import choose, used_seeds
from nasbench_tab.verify.plan import Claim, Plan, write_plan
from nasbench_tab.verify.record import bias_file, write_bias
from nasbench_tab.verify.run import Retrained

#: What a training gives, and whether it fails.
Value = Callable[[Claim, int], float]


class Made(NamedTuple):
    """A verification that was made up: its plan, and what became of each claim's trainings."""

    plan: Plan
    outcomes: list[tuple[Retrained, ...]]


def off_by(bias: float, noise: float, *, good: int = 1, only: str = "") -> Value:
    """Trainings as claimed, but worse by ``bias`` (of one strategy's winners only); known ones are the same.

    Args:
        bias: Positive = the claims were optimistic.
        noise: Deviation between seeds.
        good: 1 where more is better, else -1.
        only: A strategy.
    """

    def value(claim: Claim, seed: int) -> float:
        if claim.arm == "known":
            return float(np.float32(dict(claim.known)[seed]))
        off = bias if not only or claim.strategy == only else 0.0
        drawn = np.random.default_rng([*claim.cell, seed]).normal(0, noise)
        return claim.value - good * off + float(drawn)

    return value


def make_plan(results: Results, benchmark: str = "small", top: int = 7, **changes: Any) -> Plan:
    """Return a plan as verify makes it, though nothing here could train for these tables."""
    bench = load(benchmark)
    chosen = choose(results, benchmark, bench, True, top, 3, 0, 3)
    trained = {(bench.space.canonical(c.cell), seed) for c in chosen.claims for seed in c.seeds}
    plan = Plan(
        comparison=results.content_hash(),
        benchmark=benchmark,
        hash=bench.fingerprint,
        source="table",
        space=bench.space.name,
        task="made-up",
        dataset="made up",
        split="split",
        recipe="recipe",
        canonical=True,
        same_recipe=True,
        objective=bench.objective.name,
        direction=bench.objective.direction,
        unit=bench.objective.unit,
        epoch=5,
        margin=0.5 if bench.objective.unit == "%" else 0.005,
        seed_sd=1.0,
        residual_sd=1.0,
        smallest=0.5,
        trainings=len(trained),
        seconds_each=math.nan,
        seconds=math.nan,
        price="made up",
        seed=0,
        top=top,
        seeds_each=3,
        trajectory=3,
        used_seeds=used_seeds(results, benchmark, bench),
        claims=tuple(chosen.claims),
        notes=tuple(chosen.notes),
        versions=(("nasbench_tab", "0"),),
        date="2026-01-01T00:00:00+00:00",
    )
    return plan._replace(**changes)


def verified(
    results: Results,
    value: Value,
    statuses: dict[int, str] | None = None,
    *,
    surrogate: float = 0.0,
    **plan: Any,
) -> Made:
    """Write plan and bias of a verification into the comparison's folder.

    Args:
        results: The comparison.
        value: Of each training.
        statuses: Instead of ``"ok"``, by place of the claim.
        surrogate: Half of the width of intervals that the claims of winners get, as if a surrogate had
            answered; 0 = none.
        plan: Changes of the plan, its benchmark among them.
    """
    made = make_plan(results, plan.pop("benchmark", "small"), **plan)
    if surrogate:
        made = made._replace(
            claims=tuple(
                c._replace(lower=c.value - surrogate, upper=c.value + surrogate)
                for c in made.claims
            )
        )
    write_plan(results.directory, made)
    space, known = load(made.benchmark).space, dict[Any, Retrained]()
    for place, claim in enumerate(made.claims):  # a network in two arms is trained once
        status: Any = (statuses or {}).get(place, "ok")
        for seed in claim.seeds:
            got = float(np.float32(value(claim, seed))) if status == "ok" else math.nan
            key = (space.canonical(claim.cell), seed)
            known.setdefault(key, Retrained(seed, status, got))
    outcomes = [
        tuple(known[space.canonical(claim.cell), seed] for seed in claim.seeds)
        for claim in made.claims
    ]
    with mock.patch.object(judging, "retrained", return_value=outcomes):
        write_bias(results.directory, bias(results.directory))
    return Made(made, outcomes)


def changed(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the record of a bias as somebody might by hand."""
    path = bias_file(directory)
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.write_text(json.dumps(record), encoding="utf-8")
