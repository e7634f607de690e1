"""Try recipes on random canonical cells, two seeds each: what does a run cost, what does it tell apart?

    .venv/bin/python tools/pilot.py peak=0.15 side=12 side=14,batch=128 --cells 60 --jobs 2

Each configuration is the recipe small-5 with fields replaced; ``n`` is the number of training
images, ``n_valid`` and ``n_test`` those of the others; ``cells_a_stage``,
``channels``, ``stages`` and ``stem`` change the skeleton. One line a configuration, as
Markdown: mean seconds of a run (training and evaluation), lowest and highest accuracy, deviation between
cells and between seeds, their ratio, Kendall tau between the two seeds over all cells and over the
better half (by the mean of both), and tau to test accuracy. ``--out`` keeps the runs; ``--log`` takes
them from a log instead of training.
"""

from __future__ import annotations

import argparse
import ast
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from nasbench_tab.records import Architecture
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.train.log import read_log
from nasbench_tab.train.recipes import RECIPES, Recipe
from nasbench_tab.train.splits import Split, raw_permutation

Runs = list[dict[str, Any]]
_kept: dict[str, Any] = {}


def pilot_cells(n: int) -> list[Architecture]:
    """Return the first ``n`` canonical cells of the order in which the table is collected."""
    from nasbench_tab.train.plan import collection_order

    return collection_order(NasBench201())[:n]


def configuration(text: str) -> dict[str, Any]:
    """Return ``{"side": 12, "batch": 128}`` of ``"side=12,batch=128"``."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {key: ast.literal_eval(value) for key, _, value in pairs}


def one_run(job: tuple[str, Architecture, int, str, str | None]) -> dict[str, Any]:
    text, cell, seed, device_name, folder = job
    from nasbench_tab.train import loop, networks
    from nasbench_tab.train.datasets import load_images
    from nasbench_tab.train.tensors import make_data, pick_device

    changes = configuration(text)
    n = changes.pop("n", 20000)
    n_valid, n_test = changes.pop("n_valid", 6000), changes.pop("n_test", 4000)
    shape = {
        "cells": changes.pop("cells_a_stage", 1),
        "channels": changes.pop("channels", 8),
        "stages": changes.pop("stages", 3),
        "stem": changes.pop("stem", 3),
    }
    networks.SKELETONS["small"] = networks.SKELETONS["small"]._replace(**shape)
    recipe: Recipe = RECIPES["small-5"]._replace(**changes)
    device = pick_device(device_name)
    key = f"{n} {n_valid} {n_test} {recipe.side}"
    if key not in _kept:
        if "images" not in _kept:
            _kept["images"] = load_images("fashion-mnist", folder)
        order, tests = raw_permutation([2026, 0], 60000), raw_permutation([2026, 1], 10000)
        train, test = _kept["images"]
        split = Split(order[:n], order[60000 - n_valid :], tests[:n_test])
        _kept[key] = make_data(train, test, split, recipe.side, device)
    trainer = loop.Trainer(cell, recipe, _kept[key], seed)
    begin = time.perf_counter()
    trainer.advance()
    return {
        "configuration": text,
        "cell": cell,
        "seed": seed,
        "wall": time.perf_counter() - begin,
        "curve": trainer.curve,
    }


def logged(log: Path, cells: list[Architecture]) -> Runs:
    """Return the runs of ``cells`` that a log holds."""
    space = NasBench201()
    runs = [(run, space.parse(run.architecture)) for run in read_log(log).runs]
    return [
        {"configuration": run.task, "cell": cell, "seed": run.seed, "curve": run.curve}
        for run, cell in runs
        if cell in set(cells)
    ]


def deviations(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """Return the deviations between cells and between the two seeds of each cell."""
    between_seeds = np.sqrt(((one - other) ** 2 / 2).mean())
    mean = (one + other) / 2
    return float(np.sqrt(max(0.0, mean.var(ddof=1) - between_seeds**2 / 2))), float(between_seeds)


def kendall(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return Kendall's tau-b."""
    return float(kendalltau(x, y)[0])


def summary(runs: Runs) -> str:
    """Return a configuration's row of the table."""
    table: dict[Architecture, dict[int, dict[str, list[float]]]] = {}
    for run in runs:
        table.setdefault(run["cell"], {})[run["seed"]] = run["curve"]
    rows = [
        r
        for r in table.values()
        if {0, 1} <= r.keys() and all(c["valid_accuracy"] for c in r.values())
    ]
    valid = np.array([[r[s]["valid_accuracy"][-1] for s in (0, 1)] for r in rows])
    test = np.array([[r[s]["test_accuracy"][-1] for s in (0, 1)] for r in rows])
    cost = np.mean(
        [
            sum(c[k][-1] for k in ("train_seconds", "eval_seconds"))
            for r in rows
            for c in (r[0], r[1])
        ]
    )
    mean = valid.mean(axis=1)
    between_cells, between_seeds = deviations(valid[:, 0], valid[:, 1])
    top = mean >= np.median(mean)
    return (
        f"| {runs[0]['configuration']} | {len(rows)} | {cost:.1f} | {valid.min():.1f}-{valid.max():.1f} "
        f"| {between_cells:.2f} | {between_seeds:.2f} | {between_cells / between_seeds:.1f} "
        f"| {kendall(valid[:, 0], valid[:, 1]):.3f} | {kendall(valid[top, 0], valid[top, 1]):.3f} "
        f"| {kendall(valid[:, 0], test[:, 0]):.3f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("configurations", nargs="*")
    parser.add_argument("--log", type=Path, help="read the runs from here, train nothing")
    parser.add_argument("--cells", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    cells = pilot_cells(asked.cells)
    print(
        "| recipe | cells | s a run | accuracy, % | sd cells | sd seeds | ratio | tau seeds | tau, better half | tau valid-test |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    if asked.log:
        print(summary(logged(asked.log, cells)))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.jobs, mp_context=context) as pool:
        for text in asked.configurations:
            jobs = [
                (text, cell, seed, asked.device, asked.folder) for cell in cells for seed in (0, 1)
            ]
            begin = time.perf_counter()
            runs = list(pool.map(one_run, jobs))
            print(summary(runs), f"<!-- {time.perf_counter() - begin:.0f} s -->", flush=True)
            if asked.out:
                with asked.out.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(run) + "\n" for run in runs)


if __name__ == "__main__":
    main()
