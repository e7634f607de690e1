"""The networks of a verification with their claims and their trainings, as arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.records import Architecture, Direction
from nasbench_tab.registry import load_space
from nasbench_tab.verify.plan import TESTED, Claim, Plan
from nasbench_tab.verify.run import Retrained

__all__ = ["Cells", "Pairs", "known_differences", "lane_cells", "trained_network"]

_Floats = NDArray[np.float64]
#: Claims and what became of their trainings.
Pairs = Sequence[tuple[Claim, tuple[Retrained, ...]]]


class Cells(NamedTuple):
    """The ``n`` networks of a lane, each once.

    Attributes:
        texts: Published strings.
        cells: As they were trained.
        epochs: That the claims are about.
        claimed: ``(n,)``.
        runs: ``(n,)`` runs that each won, 1 where none.
        fresh: ``(n, R)``, NaN = no value.
        lower: ``(n,)`` of the claimed 90 % intervals.
        upper: ``(n,)``.
        unseen: ``(n,)`` optimism by a table's other trainings.
        failed: Trainings that failed or diverged.
    """

    texts: list[str]
    cells: list[Architecture]
    epochs: list[int]
    claimed: _Floats
    runs: _Floats
    fresh: _Floats
    lower: _Floats
    upper: _Floats
    unseen: _Floats
    failed: int


def lane_cells(plan: Plan, pairs: Pairs) -> dict[tuple[str, str], Cells]:
    """Return the networks of each tested lane, of all winners first: ``{(arm, strategy): networks}``."""
    groups = {("winners", ""): [pair for pair in pairs if pair[0].arm == "winners"]}
    for pair in pairs:
        if pair[0].arm in TESTED:
            groups.setdefault((pair[0].arm, pair[0].strategy), []).append(pair)
    return {key: _cells(plan, group) for key, group in groups.items() if group}


def _cells(plan: Plan, pairs: Pairs) -> Cells:
    """Return each network once; claims of several strategies are averaged by their runs."""
    together: dict[tuple[Architecture, int], list[tuple[Claim, tuple[Retrained, ...]]]] = {}
    for claim, outcomes in pairs:
        together.setdefault((trained_network(plan, claim), claim.epoch), []).append(
            (claim, outcomes)
        )
    columns: dict[str, list[float]] = {}
    texts, fresh, failed = [], [], 0
    for group in together.values():
        claims = [claim for claim, _ in group]
        runs = np.array([max(1, len(claim.runs)) for claim in claims], np.float64)
        values = {one.seed: one for _, outcomes in group for one in outcomes}
        failed += sum(one.status in ("diverged", "failed") for one in values.values())
        fresh.append([one.value for one in values.values()])
        texts.append(claims[0].text)
        for name in ("value", "lower", "upper"):
            parts = np.array([getattr(claim, name) for claim in claims])
            columns.setdefault(name, []).append(float(runs @ parts / runs.sum()))
        unseen = np.array([_unseen(claim, plan.direction) for claim in claims])
        usable = np.isfinite(unseen)
        mean = runs[usable] @ unseen[usable] / runs[usable].sum() if usable.any() else math.nan
        columns.setdefault("unseen", []).append(float(mean))
        columns.setdefault("runs", []).append(float(runs.sum()))
    table = np.full((len(fresh), max(map(len, fresh))), np.nan)
    for row, values_of in zip(table, fresh, strict=True):
        row[: len(values_of)] = values_of
    of = {name: np.array(column) for name, column in columns.items()}
    return Cells(
        texts=texts,
        cells=[cell for cell, _ in together],
        epochs=[epoch for _, epoch in together],
        claimed=of["value"],
        runs=of["runs"],
        fresh=table,
        lower=of["lower"],
        upper=of["upper"],
        unseen=of["unseen"],
        failed=failed,
    )


def _unseen(claim: Claim, direction: Direction) -> float:
    """Return how optimistic a table's claim is by those of its trainings that the claim did not use."""
    if not claim.known or claim.source != "table":
        return math.nan
    off = claim.value - math.fsum(value for _, value in claim.known) / len(claim.known)
    return off if direction == "max" else -off


def trained_network(plan: Plan, claim: Claim) -> Architecture:
    """Return the cell that was trained for a claim."""
    return load_space(plan.space).canonical(claim.cell) if plan.canonical else claim.cell


def known_differences(pairs: Pairs) -> tuple[_Floats, int]:
    """Return ``(m, S)`` retrained less on record of the known cells, and how many are exactly 0."""
    rows = [  # what was retrained is in single precision, as tables are; so let the record be
        [one.value - float(np.float32(dict(claim.known)[one.seed])) for one in outcomes]
        for claim, outcomes in pairs
        if claim.arm == "known"
    ]
    table = np.full((len(rows), max(map(len, rows), default=0)), np.nan)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    return table, int((table == 0).sum())
