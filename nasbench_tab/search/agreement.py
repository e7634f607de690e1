"""Does a search on the surrogate end where a search on the real table ends?

Both searches go over the same networks, those that were really trained. One is told the mean of their
trainings, the other what a surrogate said of each while its network was held out, so it has seen
nothing of what it is asked. Run ``i`` of a strategy starts from the same generator in both. As in
NAS-Bench-301 (Zela et al., ICLR 2022) the mean anytime curves and the order of the strategies are
compared; beyond that, what the networks that were found on the surrogate are really worth.

Two sets of runs on one table differ too, so the table is searched once more with other generators.
And a table flatters a search on itself, since what it found is judged by the values that it was found
by. The fair rival is a table with one training of each network, judged by the networks' other
trainings, which neither it nor the surrogate has seen.

The answer is plain data. An *estimate* is ``{"value", "low", "high"}``: the mean over runs with its 95 %
bootstrap interval, which speaks of other runs on the same networks; None where there is no figure::

    reason          only this key where there are too few networks: why there is nothing
    metric, unit, direction, networks, strategies, evaluations, repetitions, seed
    neighbors       "positions": networks that differ in one position; "nearest": for that too few of
                    the space were trained, so the NEAREST ones by number of changed positions
    left_out        {strategy: why it was not run}
    best, spread    the networks' best mean, and the standard deviation over their means
    curves          {strategy: {"evaluations": [...], "table": band, "surrogate": band, "true": band}},
                    band = {"mean", "low", "high"}, each a list: the incumbent's value as the table
                    shows it, as the surrogate shows it, and what the latter incumbent measured
    distance        mean absolute distance of mean curves over evaluations and strategies: "shown"
                    (table, surrogate), "true" (table, true), "itself" (table, table with other
                    generators: the floor); "shown_of_spread", "true_of_spread": in spreads
    rankings        after a quarter, half and all of the budget: {"evaluations", "table": [strategies,
                    best first], "surrogate": [...], "tau": estimate for both orders, "tau_itself":
                    the table's with other generators, "pairs", "agree": share of pairs with the same
                    verdict (better, worse, not told apart), "agree_itself", "contradict": share
                    of pairs where table and surrogate each call another one better}
    found           {strategy: {"table", "surrogate", "loss"}}: estimates of the final network's regret
                    by its measured mean, and of how much more it is on the surrogate
    one_training    {"networks", "evaluations", "strategies": {strategy: {"surrogate", "training",
                    "gain"}}, "gain"}: estimates of regret by the other trainings, after a search on
                    the surrogate and on the first training; gain > 0: the surrogate ends at better
                    networks. The gains' intervals hold the error of the judging trainings too. Only
                    {"reason"} where too few networks were trained more than once
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import Column, Table, Training
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.fitting.fit import HeldOut
from nasbench_tab.predictors.base import Runs
from nasbench_tab.records import Architecture, Metric, Protocol
from nasbench_tab.search.agreement_figures import curves, distance, estimate, pair, plain, ranking
from nasbench_tab.search.run import searcher
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.masked import MaskedSpace
from nasbench_tab.stats.anytime import at_evaluations, incumbents
from nasbench_tab.stats.bootstrap import MIN_RUNS, resampling_weights
from nasbench_tab.stats.verdict import with_table_noise

__all__ = ["LEAST", "NEAREST", "STRATEGIES", "agreement", "agreement_on"]

_Floats = NDArray[np.float64]

STRATEGIES = ("random", "evolution", "local-search", "reinforce")
#: Fewer networks than this are no space to search.
LEAST = 50
#: Neighbors of a network where hardly any of those one position away was trained.
NEAREST = 10
_SPARSE = 0.01  # share of a space below which that is so
_SHARE = 4  # a run evaluates at most one in so many of the networks
_RESAMPLES = 2000
_ORDERED = ("table", "surrogate", "itself")


class _Networks(NamedTuple):
    """``n`` networks to search; values ``(n,)`` are those of the full training.

    ``first`` is the training with the least seed and ``others`` the mean of the ``rest`` other ones; both
    are NaN where there is no second one.
    """

    space: Space
    metric: Metric
    cells: NDArray[np.uint8]
    measured: _Floats
    predicted: _Floats
    first: _Floats
    others: _Floats
    rest: NDArray[np.int64]


class _Searches(NamedTuple):
    """What ``K`` strategies had found in ``R`` runs after each evaluation, ``(K, R, E)`` each.

    Attributes:
        shown: The incumbent's value in the table that was searched.
        place: The incumbent's number among the networks.
    """

    shown: _Floats
    place: NDArray[np.intp]


def agreement(
    runs: Runs,
    held_out: HeldOut | _Floats,
    *,
    strategies: Sequence[str] = STRATEGIES,
    evaluations: int = 100,
    repetitions: int = 50,
    seed: int = 0,
    jobs: int = 1,
) -> dict[str, Any]:
    """Return how searches on held-out predictions agree with searches on what was measured.

    Args:
        runs: What was measured.
        held_out: What was predicted of the objective while each network was held out: ``(n, E)``
            means, or all of it.
        strategies: Names, as :func:`~nasbench_tab.search.run.run_search` takes them.
        evaluations: Budget of a run; at most a quarter of the networks.
        repetitions: Runs of each strategy.
        seed: Master seed.
        jobs: Processes; the answer does not depend on it.

    Returns:
        Plain data: see the module's docstring.

    Raises:
        InvalidArgumentError: No strategy, or a number out of range.
        UnknownNameError: No such strategy.
    """
    means = held_out.mean if isinstance(held_out, HeldOut) else held_out
    order = np.lexsort((runs.seeds, runs.groups))
    values, said = runs.curves[runs.objective][order, -1], means[order, -1]
    known = np.isfinite(values) & np.isfinite(said)
    order, values, said = order[known], values[known], said[known]
    start, count = np.unique(runs.groups[order], return_index=True, return_counts=True)[1:]
    width = len(runs.space.choices)
    own = [runs.space.canonical(tuple(cell)) for cell in runs.cells[order[start]].tolist()]
    total, several = _sums(values, start), count > 1
    networks = _Networks(
        space=runs.space,
        metric=runs.metrics[runs.objective],
        cells=np.array(own, np.uint8).reshape(-1, width),
        measured=total / count,
        predicted=_sums(said, start) / count,
        first=np.where(several, values[start], np.nan),
        others=np.where(several, (total - values[start]) / np.maximum(count - 1, 1), np.nan),
        rest=count - 1,
    )
    return _compared(networks, strategies, evaluations, repetitions, seed, jobs)


def agreement_on(
    table: Benchmark,
    surrogate: Benchmark,
    *,
    strategies: Sequence[str] = STRATEGIES,
    evaluations: int = 100,
    repetitions: int = 50,
    seed: int = 0,
    jobs: int = 1,
) -> dict[str, Any]:
    """Return how searches on a surrogate agree with searches on a table, over all that the table holds.

    What the surrogate was fitted on is among it. Arguments, answer and errors as of :func:`agreement`.
    """
    cells = list(map(tuple, table.measured().tolist()))
    if len(cells) != table.space.size:  # a part of the space: each network once
        cells = list(dict.fromkeys(map(table.space.canonical, cells)))
    seeds = [table.seeds(cell) for cell in cells]
    count = np.array(list(map(len, seeds)))
    trainings = np.full((len(cells), count.max(initial=1)), np.nan)
    for one in {seed for found in seeds for seed in found}:
        rows = [i for i, found in enumerate(seeds) if one in found]
        columns = [sorted(seeds[i]).index(one) for i in rows]
        trainings[rows, columns] = table.query([cells[i] for i in rows], seed=one)
    rest = np.nansum(trainings[:, 1:], axis=1) / np.maximum(count - 1, 1)
    networks = _Networks(
        space=table.space,
        metric=table.objective,
        cells=np.array(cells, np.uint8),
        measured=table.query(cells),
        predicted=surrogate.query(cells, table.objective.name),
        first=np.where(count > 1, trainings[:, 0], np.nan),
        others=np.where(count > 1, rest, np.nan),
        rest=count - 1,
    )
    return _compared(networks, strategies, evaluations, repetitions, seed, jobs)


def _sums(values: _Floats, start: NDArray[np.intp]) -> _Floats:
    return np.add.reduceat(values, start) if len(start) else np.empty(0)


def _compared(
    networks: _Networks,
    strategies: Sequence[str],
    evaluations: int,
    repetitions: int,
    seed: int,
    jobs: int,
) -> dict[str, Any]:
    if repetitions < MIN_RUNS or evaluations < 1 or not strategies:
        raise InvalidArgumentError(
            f"Search agreement needs a strategy, an evaluation and {MIN_RUNS} repetitions at least; got "
            f"strategies={list(strategies)!r}, evaluations={evaluations!r}, repetitions={repetitions!r}."
        )
    n, metric, size = len(networks.cells), networks.metric, networks.space.size
    if n < LEAST:
        return {"reason": f"{n} networks were trained; a search needs {LEAST} to choose from"}
    sparse = size is None or n < _SPARSE * size
    left_out = {
        name: "it draws from all of the space, and hardly any of that was trained"
        for name in strategies
        if sparse and name.startswith("reinforce")
    }
    strategies = [name for name in strategies if name not in left_out]
    if not strategies:
        return {"reason": "; ".join(f"{name}: {why}" for name, why in left_out.items())}
    again = _only(networks, np.isfinite(networks.others))
    several = len(again.cells) >= LEAST
    evaluations, fewer = (min(evaluations, len(part.cells) // _SHARE) for part in (networks, again))
    # Arm: the networks, what is told of them, the budget and the master seed.
    arms = {
        "table": (networks, networks.measured, evaluations, seed),
        "surrogate": (networks, networks.predicted, evaluations, seed),
        "itself": (networks, networks.measured, evaluations, seed + 1),
    }
    if several:
        arms["first"] = (again, again.first, fewer, seed)
        arms["rival"] = (again, again.predicted, fewer, seed)
    tables = {name: _table(arm[0], arm[1], sparse) for name, arm in arms.items()}
    found = Parallel(n_jobs=jobs)(
        delayed(_searched)(tables[name], strategy, budget, repetitions, master)
        for name, (_, _, budget, master) in arms.items()
        for strategy in strategies
    )
    k = len(strategies)
    searches = {
        name: _Searches(*map(np.stack, zip(*found[i * k : (i + 1) * k], strict=True)))
        for i, name in enumerate(arms)
    }
    weights = resampling_weights(repetitions, _RESAMPLES, np.random.default_rng(seed))
    table, surrogate, itself = (searches[name] for name in ("table", "surrogate", "itself"))
    true = networks.measured[surrogate.place]
    sign = 1.0 if metric.direction == "max" else -1.0
    best, spread = (sign * networks.measured).max(), float(networks.measured.std(ddof=1))
    shown_distance, true_distance = (distance(table.shown, d) for d in (surrogate.shown, true))
    return {
        "metric": metric.name,
        "unit": metric.unit,
        "direction": metric.direction,
        "networks": n,
        "strategies": strategies,
        "evaluations": evaluations,
        "repetitions": repetitions,
        "seed": seed,
        "neighbors": "nearest" if sparse else "positions",
        "left_out": left_out,
        "best": float(sign * best),
        "spread": spread,
        "curves": {
            name: curves(
                {"table": table.shown[i], "surrogate": surrogate.shown[i], "true": true[i]}, weights
            )
            for i, name in enumerate(strategies)
        },
        "distance": {
            "shown": shown_distance,
            "true": true_distance,
            "itself": distance(table.shown, itself.shown),
            "shown_of_spread": shown_distance / spread if spread else None,
            "true_of_spread": true_distance / spread if spread else None,
        },
        "rankings": [
            {
                "evaluations": budget,
                **ranking(
                    strategies,
                    {name: sign * searches[name].shown[:, :, budget - 1] for name in _ORDERED},
                    weights,
                ),
            }
            for budget in sorted({math.ceil(evaluations * part) for part in (0.25, 0.5, 1)})
        ],
        "found": {
            name: pair(
                ("table", "surrogate", "loss"),
                best - sign * table.shown[i, :, -1],
                best - sign * true[i, :, -1],
                weights,
            )
            for i, name in enumerate(strategies)
        },
        "one_training": _one_training(
            again, strategies, searches, fewer, np.random.default_rng([seed, 1])
        )
        if several
        else {
            "reason": f"{len(again.cells)} networks were trained more than once; {LEAST} are needed"
        },
    }


def _one_training(
    again: _Networks,
    strategies: Sequence[str],
    searches: dict[str, _Searches],
    evaluations: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Return what was found on the surrogate and on first trainings, by the other trainings."""
    sign = 1.0 if again.metric.direction == "max" else -1.0
    score = sign * again.others
    places = [searches[name].place[:, :, -1] for name in ("rival", "first")]  # (K, R) each
    # Seed noise where searches end: it is another one among networks that hardly train.
    top = np.argsort(-score, kind="stable")[: max(LEAST, len(score) // _SHARE)]
    square = (again.first - again.others)[top] ** 2 / (1 + 1 / again.rest[top])
    weights = resampling_weights(places[0].shape[1], _RESAMPLES, rng)
    all_runs = resampling_weights(places[0].size, _RESAMPLES, rng)

    def gain(first: NDArray[np.intp], second: NDArray[np.intp], drawn: _Floats) -> Any:
        sd = np.sqrt(square.mean())
        found = with_table_noise(first, second, score, again.rest, sd, drawn, rng)
        return plain(found.difference)

    return {
        "networks": len(score),
        "evaluations": evaluations,
        "strategies": {
            name: {
                "surrogate": estimate(score.max() - score[places[0][i]], weights),
                "training": estimate(score.max() - score[places[1][i]], weights),
                "gain": gain(places[0][i], places[1][i], weights),
            }
            for i, name in enumerate(strategies)
        },
        "gain": gain(places[0].ravel(), places[1].ravel(), all_runs),
    }


def _searched(
    bench: TableBenchmark, strategy: str, evaluations: int, repetitions: int, seed: int
) -> tuple[_Floats, NDArray[np.intp]]:
    """Return the incumbents' values and numbers, ``(R, E)``; a run that ends early keeps its last."""
    protocol = Protocol(evaluations=evaluations, seeds="mean", missing="masked")
    search = searcher(strategy, bench, protocol)
    found = [search(seed, run) for run in range(repetitions)]
    lengths = np.array([len(run.values) for run in found], np.int64)
    values = np.concatenate([run.values for run in found])
    cells = np.concatenate([run.architectures for run in found]).tolist()
    rows = np.array([bench.row_of(tuple(cell)) for cell in cells], np.float64)
    seen = incumbents(values, np.zeros(len(values)), lengths, bench.objective.direction)
    counts = np.arange(1, evaluations + 1)
    places = at_evaluations(seen, rows, counts).astype(np.intp)
    return at_evaluations(seen, values, counts), places


def _only(networks: _Networks, kept: NDArray[np.bool_]) -> _Networks:
    arrays = {name: getattr(networks, name)[kept] for name in networks._fields[2:]}
    return networks._replace(**arrays)


class _Nearest(MaskedSpace):
    """Networks of a space, each with the :data:`NEAREST` most similar others as its neighbors."""

    def __init__(self, space: Space, cells: NDArray[np.uint8]) -> None:
        super().__init__(space, list(map(tuple, cells.tolist())))
        self._array = cells
        self._near: dict[Architecture, list[Architecture]] = {}

    def neighbors(self, arch: Architecture) -> list[Architecture]:
        """Return the networks that differ from ``arch`` in the fewest positions."""
        if arch not in self._near:
            changed = (self._array != np.array(arch, np.uint8)).sum(axis=1)
            order = np.argsort(changed, kind="stable")
            order = order[changed[order] > 0][:NEAREST]
            self._near[arch] = list(map(tuple, self._array[order].tolist()))
        return self._near[arch]


def _table(networks: _Networks, values: _Floats, sparse: bool) -> TableBenchmark:
    """Return a table with one value for each network.

    All have the same name, so that the same runs draw the same random numbers.
    """
    space, metric = networks.space, networks.metric
    training = Training(
        dataset="",
        objective=metric.name,
        epochs_kind="separate trainings",
        seconds_kind="none",
        seeds=(0,),
        epochs=(1,),
        columns={metric.name: Column(metric, values[:, None, None])},
    )
    table = Table(
        name="agreement",
        space=space.name,
        by_index=False,
        architectures=networks.cells,
        trainings={"mean": training},
        default_training="mean",
        static={},
    )
    return TableBenchmark(table, _Nearest(space, networks.cells) if sparse else space, "")
