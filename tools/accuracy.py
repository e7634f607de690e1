"""How well the predictors of accuracy rank architectures they have not seen, on published data.

    .venv/bin/python tools/accuracy.py                       # nb201-cifar10, 30 draws: about 20 minutes on one core
    .venv/bin/python tools/accuracy.py --draws 5 --labels 78
    .venv/bin/python tools/accuracy.py --data ../shared/data/accel-nasbench --draws 0

nb201-cifar10: labels are the 200-epoch validation accuracies of one training a cell, of seed 777 where
it is named (8,169 cells), else the first of the two whose seeds are not. ``n`` labels are drawn from one
half and tested on the other, in three ways:

- cells: random halves of the 15,625 cells, 7,813 and 7,812, as published comparisons have it. Many cells are
  the same network (5,260 networks), so that a test cell's twin may be among the labels.
- networks: halves of as many cells that share no network. Fifteen networks hold a quarter of all cells,
  among them those without a path at 9.7 %: where one is in the test half, nothing like it was seen.
- one each: one cell for each network, halves of 2,630: nothing seen before, and no network counts twice.

Rows: untuned = one XGBoost of 300 trees of depth 5; trees, gp = the two parts of the ensemble. tau is
Kendall's tau-b; top 10 % = tau among the true top 10 %; p@1% = share of the predicted best 1 % that are
among the true best 1 %; MAE in points. Each is a mean over draws, then half the width of its 95 %
bootstrap interval over draws. Gain is tau less the untuned one's, paired.

Accel-NASBench (``--data``, the folder of its anb_dataset_jsons.tar.gz): fitted on its published training
split, tested on its published test split; features are e, k, l, se of each block, MACs and parameters.
Its split dropped one of 5,125 architectures without saying which; it is fitted on here.

One seed (``--one-seed TABLE``): what is nearer to the mean of a network's other trainings, its own training
with one seed (a table of one seed) or the ensemble's prediction, fitted on that seed of other networks
(five folds)? Mean absolute errors and their ratio with a 95 % bootstrap interval over networks. Of a network's
trainings it is arbitrary which is the label: with ``--labellings N`` it is drawn, with the folds, N - 1 times more, and a
network's error is the mean over all:

    .venv/bin/python tools/accuracy.py --draws 0 --one-seed nb201-cifar10 nb201-fashion

With ``--message-passing`` the ensemble is the one of ``fit --message-passing`` (about two minutes a fold on 4,208
networks, and PyTorch is needed).

Intervals (``--intervals TABLE``): one training of each network, drawn; a whole surrogate is fitted on some of
them (``--labels``) and its 90 % intervals are tested on all others, by tenth of the predicted level; none is
widened for being novel. Widths are shares of the constant width that plain conformal prediction gives to all.
Coverage is a mean over draws; behind it the deviation of one draw from it, and the interval of Clopper and
Pearson for so many networks as a draw tests:

    .venv/bin/python tools/accuracy.py --intervals nb201-cifar10 --labels 300 --draws 20
"""

from __future__ import annotations

import argparse
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

import nasbench_tab as nbt
from nasbench_tab.fitting.assess_parts import only
from nasbench_tab.fitting.fit import fit_members, fit_surrogate
from nasbench_tab.fitting.observed import observe
from nasbench_tab.predictors.base import Runs, groups_of
from nasbench_tab.predictors.ensemble import fit_ensemble
from nasbench_tab.predictors.features import features, metric_columns
from nasbench_tab.predictors.graphs import graphs_of
from nasbench_tab.predictors.inputs import Inputs
from nasbench_tab.predictors.model import predict
from nasbench_tab.predictors.trees import Settings, fit_trees
from nasbench_tab.spaces.base import Space
from nasbench_tab.stats.bootstrap import mean_interval, resampling_weights, widened_level
from nasbench_tab.stats.prediction import (
    kendall_tau,
    point_scores,
    precision_at,
    proportion_interval,
    ratio_interval,
    tau_in_top,
)

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

SEED = 777
UNTUNED = Settings(members=1, rounds=300, depth=5, rate=0.06, columns=1.0, leaf=1.0, spread=0.0)
SCORES = ("tau", "top 10 %", "p@1%", "MAE")
METHODS = ("untuned", "trees", "gp", "ensemble")


def labels() -> tuple[NDArray[np.float32], Rows, Floats, Rows]:
    """Return features, groups and labels of all cells of nb201-cifar10, and the GP's columns."""
    bench = nbt.load("nb201-cifar10")
    every = np.arange(15_625)
    cells = np.array([bench.space.unindex(i) for i in every.tolist()], np.uint8)
    y = bench.query(every, seed=SEED, mask=True).filled(np.nan)
    for i in np.flatnonzero(np.isnan(y)).tolist():
        y[i] = bench.query(i, seed=bench.seeds(i)[0])
    found = features(bench.space, cells)
    return found.x, groups_of(bench.space, cells), y, metric_columns(found.names)


def halves(way: str, groups: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Return the cells to draw labels from, and those to test on."""
    n = len(groups)
    if way == "cells":
        order = rng.permutation(n)
        return order[: n - n // 2], order[n - n // 2 :]
    order = rng.permutation(groups.max() + 1)
    if way == "one each":
        shuffled = rng.permutation(n)
        first = shuffled[np.unique(groups[shuffled], return_index=True)[1]]
        return first[order[: len(order) // 2]], first[order[len(order) // 2 :]]
    sizes, left = np.bincount(groups), n - n // 2
    chosen = np.zeros(len(sizes), bool)
    for (
        group
    ) in order.tolist():  # whole networks, as long as they fit; the single ones fill the rest
        if sizes[group] <= left:
            chosen[group] = True
            left -= sizes[group]
    return np.flatnonzero(chosen[groups]), np.flatnonzero(~chosen[groups])


def predictions(
    x: NDArray[np.float32],
    y: Floats,
    groups: Rows,
    tested: NDArray[np.float32],
    columns: Rows,
    seed: int,
) -> Iterator[Floats]:
    """Yield what each of METHODS says of the tested rows."""
    rng = np.random.default_rng(seed)
    yield fit_trees(x, y[:, None], groups, rng, UNTUNED).members(tested).mean(axis=1)[:, 0]
    ensemble = fit_ensemble(x, y[:, None], groups, rng, columns=columns)
    trees = ensemble.trees.members(tested).mean(axis=1)[:, 0]
    yield trees
    assert ensemble.gp is not None  # noqa: S101 - there are enough rows
    yield ensemble.gp.mean(tested[:, ensemble.columns])[:, 0]
    yield ensemble.members(tested).mean(axis=1)[:, 0]


def draw(way: str, n: int, number: int, data: tuple[Any, ...]) -> Floats:
    """Return ``(methods, scores)`` of one draw."""
    x, groups, y, columns = data
    rng = np.random.default_rng([number, n])
    half, tested = halves(way, groups, np.random.default_rng(number))
    fitted = rng.permutation(half)[:n]
    # Cells of one network have the same features: each network is asked once.
    _, first, network = np.unique(groups[tested], return_index=True, return_inverse=True)
    scores = []
    for found in predictions(
        x[fitted], y[fitted], groups[fitted], x[tested[first]], columns, number
    ):
        predicted, actual = found[network], y[tested]
        at = precision_at(predicted, actual, max(1, len(actual) // 100))
        error = point_scores(predicted, actual)["mae"]
        scores.append([kendall_tau(predicted, actual), tau_in_top(predicted, actual), at, error])
    return np.array(scores)


def spread(values: Floats) -> str:
    """Return the mean over draws with half the width of its interval."""
    if len(values) < 5:
        return f"{values.mean():7.4f}       "
    weights = resampling_weights(len(values), 2000, np.random.default_rng(0))
    found = mean_interval(values, weights, widened_level(len(values)))
    return f"{found.estimate:7.4f}±{(found.high - found.low) / 2:.4f}"


def nb201(ways: list[str], sizes: list[int], draws: int, jobs: int) -> None:
    data = labels()
    print(f"nb201-cifar10, {draws} draws")
    for way in ways:
        for n in sizes:
            found = Parallel(n_jobs=jobs)(delayed(draw)(way, n, i, data) for i in range(draws))
            scores = np.array(list(found))
            print(f"\n{way}, {n} labels" + "".join(f"{name:>15}" for name in (*SCORES, "gain")))
            for method, values in zip(METHODS, scores.transpose(1, 2, 0), strict=True):
                gain = values[0] - scores[:, 0, 0]
                print(
                    f"  {method:10}",
                    *(spread(v) for v in values),
                    spread(gain),
                    sep="  ",
                    flush=True,
                )


def accel(folder: Path) -> None:
    split = json.loads((Path(__file__).parent / "accel_nasbench_split.json").read_text())
    runs: dict[int, Any] = {}
    with tarfile.open(folder / "anb_dataset_jsons.tar.gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                runs[int(Path(member.name).stem.removeprefix("result_"))] = json.load(file)
    key = {number: json.dumps(run["architecture"], sort_keys=True) for number, run in runs.items()}
    held = {key[number] for part in ("valid", "test") for number in split[part]}
    train: dict[str, int] = {}
    for number in sorted(runs, key=str):
        if key[number] not in held:
            train.setdefault(key[number], number)

    def table(numbers: list[int]) -> tuple[NDArray[np.float32], Floats]:
        chosen = [runs[number] for number in numbers]
        rows = [
            [*run["architecture"].values(), run["model_info"]["macs"], run["model_info"]["params"]]
            for run in chosen
        ]
        return np.array(rows, np.float32), np.array([run["metrics"]["val_top1"] for run in chosen])

    (x, y), (tested, actual) = table(list(train.values())), table(split["test"])
    print(f"\nAccel-NASBench: fitted on {len(x):,}, tested on {len(tested):,}")
    print("              tau     R2    MAE")
    found = predictions(x, y, np.arange(len(x)), tested, np.arange(x.shape[1]), 0)
    for method, predicted in zip(METHODS, found, strict=True):
        scores = point_scores(predicted, actual)
        tau = kendall_tau(predicted, actual)
        print(f"  {method:10} {tau:.4f} {scores['r2']:.4f} {scores['mae']:.4f}", flush=True)


def one_seed(name: str, message_passing: bool, draws: int) -> None:
    """Print the errors of a table of one seed and of a surrogate that was fitted on it."""
    bench = nbt.load(name, source="table")
    measured = bench.measured()
    groups = groups_of(bench.space, measured)
    networks = groups.max() + 1
    # By draw and network: what was measured once, the mean of its other trainings, what was predicted.
    found = np.empty((3, draws, networks))
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        order = rng.permutation(len(measured))
        cells = measured[order[np.unique(groups[order], return_index=True)[1]]]  # one of each
        for place, cell in enumerate(map(tuple, cells.tolist())):
            seeds = sorted(bench.seeds(cell), key=lambda seed: seed != SEED)
            if draw:
                rng.shuffle(seeds)
            own, *others = (bench.query(cell, seed=seed) for seed in seeds)
            found[:2, draw, place] = own, np.mean(others) if others else np.nan
        found[2, draw] = out_of_fold(bench.space, cells, found[0, draw], draw, message_passing)
    own, actual, predicted = found
    # Cells of one network may have been trained unequally often.
    known = np.isfinite(actual).all(axis=0)
    joined = ", with message passing" * message_passing
    print(
        f"\n{name}: one training of each of {networks:,} networks, five folds, {draws} draws{joined}"
    )
    for what, rows in {
        "all": known,
        "less the worst tenth": actual.mean(axis=0) >= np.quantile(actual.mean(axis=0)[known], 0.1),
    }.items():
        errors = [np.abs(v[:, rows] - actual[:, rows]).mean(axis=0) for v in (predicted, own)]
        ratio = ratio_interval(errors[0], errors[1], np.random.default_rng(0))
        taus = [
            np.mean([kendall_tau(v[d, rows], actual[d, rows]) for d in range(draws)])
            for v in (predicted, own)
        ]
        print(
            f"  {what}, {rows.sum():,} networks with other trainings: MAE surrogate {errors[0].mean():.3f}, table "
            f"{errors[1].mean():.3f}, ratio {ratio.estimate:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]; Kendall's "
            f"tau {taus[0]:.3f}, {taus[1]:.3f}",
            flush=True,
        )


def out_of_fold(
    space: Space, cells: NDArray[np.uint8], own: Floats, draw: int, message_passing: bool
) -> Floats:
    """Return what is predicted of each network by an ensemble fitted on the other four folds."""
    found = features(space, cells)
    inputs = Inputs(found.x, graphs_of(space, cells) if message_passing else None)
    columns, each = metric_columns(found.names), np.arange(len(cells))
    fold = np.random.default_rng(draw).permutation(len(cells)) % 5
    predicted = np.empty(len(cells))
    for number in range(5):
        on, off = fold != number, fold == number
        rng = np.random.default_rng([draw, number])
        fitted = inputs.at(on), own[on, None], each[on]
        _, members = fit_members(*fitted, inputs.at(off), rng, None, columns)
        predicted[off] = members.mean(axis=1)[:, 0]
    return predicted


def interval_draw(runs: Runs, n: int, number: int) -> tuple[Floats, Floats]:
    """Return coverage and width by tenth of level, ``(10,)`` each; the last place is the predicted best."""
    rng = np.random.default_rng([number, n])
    shuffled = rng.permutation(len(runs.groups))
    each = shuffled[np.unique(runs.groups[shuffled], return_index=True)[1]]
    fitted, rest = np.split(rng.permutation(each), [n])
    surrogate, held_out = fit_surrogate(only(runs, fitted, final=True), rng)
    inputs = surrogate.inputs(runs.cells[rest])
    found = predict(surrogate, runs.objective, inputs, np.zeros(len(rest), bool), runs.epochs[-1])
    final = runs.curves[runs.objective][:, -1]
    off = np.sort(np.abs(final[fitted] - held_out[runs.objective].mean[:, -1]))
    plain = 2 * off[int(np.ceil(0.9 * (n + 1))) - 1]
    inside = (final[rest] >= found.lower) & (final[rest] <= found.upper)
    tenths = np.array_split(np.argsort(found.mean, kind="stable"), 10)
    widths = (found.upper - found.lower) / plain
    return np.array([inside[t].mean() for t in tenths]), np.array(
        [widths[t].mean() for t in tenths]
    )


def intervals(name: str, sizes: list[int], draws: int, jobs: int) -> None:
    """Print how often intervals cover the training of a network that was not fitted on."""
    runs = observe(name).runs
    networks = len(np.unique(runs.groups))
    for n in sizes:
        if n >= networks:
            continue
        results = Parallel(n_jobs=jobs)(delayed(interval_draw)(runs, n, i) for i in range(draws))
        coverage, width = np.array(list(results)).swapaxes(0, 1)
        print(f"\n{name}, {n} labels, {networks - n:,} networks tested, {draws} draws")
        for tenth in (*range(10), None):
            chosen = slice(None) if tenth is None else [tenth]
            every = coverage[:, chosen].mean(axis=1)
            tested = round((networks - n) / (1 if tenth is None else 10))
            low, high = proportion_interval(every.mean() * tested, tested)
            print(
                f"  {'all' if tenth is None else f'tenth {tenth + 1}':8} covers {every.mean():.3f} (one draw "
                f"{every.std(ddof=1):.3f}) [{low:.3f}, {high:.3f}], width {width[:, chosen].mean():.3f} of plain",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--labels", type=int, nargs="+", default=[78, 390, 781])
    parser.add_argument(
        "--split", nargs="+", default=["cells", "networks", "one each"], metavar="SPLIT",
        choices=["cells", "networks", "one each"],
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--data", type=Path, help="folder of Accel-NASBench's archive")
    parser.add_argument("--one-seed", nargs="+", default=[], metavar="TABLE")
    parser.add_argument("--labellings", type=int, default=1, help="of --one-seed")
    parser.add_argument("--message-passing", action="store_true", help="of --one-seed")
    parser.add_argument("--intervals", nargs="+", default=[], metavar="TABLE")
    given = parser.parse_args()
    if given.intervals and given.draws < 2:
        parser.error("--intervals needs --draws 2 or more: it tells how draws differ")
    for name in given.intervals:
        intervals(name, given.labels, given.draws, given.jobs)
    if given.draws and not given.intervals:
        nb201(given.split, given.labels, given.draws, given.jobs)
    if given.data:
        accel(given.data)
    for name in given.one_seed:
        one_seed(name, given.message_passing, given.labellings)


if __name__ == "__main__":
    main()
