"""Figures of two objectives in the docs: paired differences of hypervolume, and pymoo as an oracle.

    .venv/bin/python tools/fronts.py DIR            # of a comparison's strategies, from the last one
    .venv/bin/python tools/fronts.py --pymoo 3000   # areas, ranks and crowding of random sets, as pymoo has them

Differences of hypervolume ratios are paired by run; intervals are the report's 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse

import numpy as np

import nasbench_tab as nbt
from nasbench_tab.report.summary import interval
from nasbench_tab.stats.pareto import hypervolume
from nasbench_tab.strategies.dominance import crowding, sorted_fronts


def paired(directory: str) -> None:
    frame = nbt.load_results(directory).frame()
    for name, rows in frame.groupby("benchmark", sort=False):
        table = rows.pivot(index="run", columns="strategy", values="hypervolume")
        *others, base = rows["strategy"].unique()
        for other in others:
            found = interval((table[other] - table[base]).to_numpy())
            if found is None:
                raise SystemExit(f"{directory} has too few runs for an interval.")
            print(
                f"{name}: ratio of {other} less that of {base}: "
                f"{found.estimate:+.4f} [{found.low:+.4f}, {found.high:+.4f}], n = {len(table)} runs"
            )


def pymoo(sets: int) -> None:
    from pymoo.indicators.hv import HV
    from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    rng, off, room, fronts = np.random.default_rng(0), 0.0, 0.0, 0
    for _ in range(sets):
        points, reference = rng.random((rng.integers(1, 40), 2)), rng.uniform(0.3, 1.3, 2)
        area = float(HV(ref_point=reference)(points))
        off = max(off, abs(hypervolume(points, reference) - area))
        own = sorted_fronts(list(map(tuple, points.tolist())))
        theirs = [sorted(front.tolist()) for front in NonDominatedSorting().do(points)]
        fronts += own == theirs
        for front in own:
            twice = 2 * calc_crowding_distance(points[front]), crowding(points[front])
            inner = np.isfinite(twice[1])
            room = max(room, np.abs(twice[0][inner] - twice[1][inner]).max(initial=0.0))
    print(
        f"{sets} random sets of up to 39 points: areas differ by {off:.0e} at most, fronts are the same in "
        f"{fronts}, crowding is twice pymoo's within {room:.0e}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?")
    parser.add_argument("--pymoo", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.directory:
        paired(arguments.directory)
    if arguments.pymoo:
        pymoo(arguments.pymoo)
