"""Choose what is retrained: winners, the benchmark's best, random cells, and cells that are known.

Winners are those of the first runs, in the order of runs, not those with the best claims: choosing by the
claim once more would add a curse of its own to the one that is to be measured (Cawley and Talbot,
JMLR 11, 2010, on selection bias; the name is from auctions, Capen, Clapp and Campbell, 1971).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.errors import MissingValueError, SurrogateError
from nasbench_tab.predictors.parts import runs_from
from nasbench_tab.predictors.store import read_surrogate
from nasbench_tab.records import MEAN_SEED, Answer, Architecture, Protocol
from nasbench_tab.registry import load, surrogate_folder
from nasbench_tab.search.atoms import reachable
from nasbench_tab.search.frame import run_incumbents
from nasbench_tab.search.protocol import searched_epochs
from nasbench_tab.search.randomness import run_generator
from nasbench_tab.search.results import Results, Trials
from nasbench_tab.verify.along import evaluations_until, steps
from nasbench_tab.verify.plan import Claim

__all__ = ["Chosen", "choose", "fresh_seeds", "table_behind", "used_seeds"]

_FRESH = (2**20, 2**31)  # no one numbers trainings by hand up there
_Known = dict[int, float]


class Chosen(NamedTuple):
    """Claims, and what has to be said of how they were chosen."""

    claims: list[Claim]
    notes: list[str]


def choose(
    results: Results,
    name: str,
    bench: Benchmark,
    same_recipe: bool,
    top: int,
    seeds: int,
    seed: int,
    trajectory: int,
) -> Chosen:
    """Return the claims of all arms.

    Args:
        results: The comparison.
        name: One of its benchmarks.
        bench: That benchmark.
        same_recipe: Whether a logged seed means the same training again.
        top: Distinct networks in each arm, and for each strategy.
        seeds: Trainings of each.
        seed: Master seed.
        trajectory: Most incumbents of each strategy's first run before its final one. They are trained
            once: what they are for is a line through many points, and a second seed of a point tells it
            less than another point does.
    """
    protocol, notes = results.protocol, list[str]()
    cells, _ = reachable(bench, protocol)
    used = used_seeds(results, name, bench)
    claims, along = list[Claim](), list[Claim]()
    for label in results.strategies:
        trials = results.trials(name, label)
        which = run_incumbents(results, name, trials).which
        claims += _winners(label, trials, which, bench, top, notes)
        along += _trajectory(label, trials, which, bench, trajectory)
    claims += _top(bench, protocol, cells, top, notes)
    claims += _random(bench, protocol, cells, top, seed)
    claims, along = (
        [claim._replace(seeds=fresh_seeds(bench, claim.cell, n, used, seed)) for claim in some]
        for some, n in ((claims, seeds), (along, 1))
    )
    claims += _known(bench, protocol, same_recipe, top, seeds, seed, notes)
    claims += along
    return Chosen(claims, notes)


def used_seeds(results: Results, name: str, bench: Benchmark) -> tuple[int, ...]:
    """Return all training seeds in the data behind the claims, simulated ones too, ascending."""
    found = {seed for cell in bench.measured().tolist() for seed in bench.seeds(tuple(cell))}
    found.update(int(seed) for seed in bench.about.get("seeds", ()))
    for training in bench.about.get("trainings", {}).values():
        found.update(int(seed) for seed in training.get("seeds", ()))
    for label in results.strategies:
        found.update(np.unique(results.trials(name, label).seeds).tolist())
    return tuple(sorted(found - {MEAN_SEED}))


def fresh_seeds(
    bench: Benchmark, cell: Architecture, n: int, used: Sequence[int], seed: int
) -> tuple[int, ...]:
    """Return ``n`` training seeds of a network that no training behind the claims had.

    They depend on the network and the master seed only: in several arms they are the same. Each network
    has its own, since a seed's order of images is shared by all that are trained with it.
    """
    own = json.dumps(["verification seeds", list(bench.space.canonical(cell))])
    rng, taken, found = run_generator(seed, bench.space.name, own, 0), set(used), list[int]()
    while len(found) < n:
        drawn = int(rng.integers(*_FRESH))
        if drawn not in taken:
            taken.add(drawn)
            found.append(drawn)
    return tuple(found)


def table_behind(bench: Benchmark) -> TableBenchmark | None:
    """Return the table that answers, alone or beside a surrogate; None for a surrogate alone."""
    if isinstance(bench, TableBenchmark):
        return bench
    name, _, source = bench.name.partition("@")
    return load(name, training=bench.training, source="table") if source == "mixed" else None


def _winners(
    label: str,
    trials: Trials,
    which: NDArray[np.int64],
    bench: Benchmark,
    top: int,
    notes: list[str],
) -> Iterator[Claim]:
    """Yield the final incumbents of the first runs, and for each all runs that ended in it."""
    last = which[:, -1] if which.shape[1] else np.full(len(trials.runs), -1)
    rows: dict[Architecture, list[int]] = {}
    elsewhere = 0
    for row, at in enumerate(last.tolist()):
        if at < 0:
            continue
        key = bench.space.canonical(_cell(trials.architectures[at]))
        if key not in rows and len(rows) == top:
            continue
        if key in rows and trials.epochs[last[rows[key][0]]] != trials.epochs[at]:
            elsewhere += 1
            continue
        rows.setdefault(key, []).append(row)
    if len(rows) < top:
        notes.append(
            f"{label}: its {len(trials.runs)} runs ended in {len(rows)} distinct networks, fewer than {top}."
        )
    if elsewhere:
        notes.append(
            f"{label}: {elsewhere} runs ended in a chosen network at another epoch and are not counted."
        )
    for key, own in rows.items():
        claim = _held("winners", label, bench, trials, {row: int(last[row]) for row in own})
        if claim.source == "table":
            known = _trainings(bench, claim.cell, claim.epoch)
            claim = claim._replace(known=_pairs(_without(known, _seen(bench, trials, own, key))))
        yield claim


def _trajectory(
    label: str, trials: Trials, which: NDArray[np.int64], bench: Benchmark, most: int
) -> Iterator[Claim]:
    """Yield what the first run with an incumbent held before its final one."""
    some = np.flatnonzero(which[:, -1] >= 0) if which.shape[1] else ()
    for row in map(int, some[:1]):
        for at in steps(trials, which, row, bench.space, most):
            yield _held("trajectory", label, bench, trials, {row: at})


def _held(arm: str, label: str, bench: Benchmark, trials: Trials, places: dict[int, int]) -> Claim:
    """Return the claim of a network that was incumbent: ``{row of the run: position of the evaluation}``."""
    at = next(iter(places.values()))
    cell, epoch = _cell(trials.architectures[at]), int(trials.epochs[at])
    drawn = int(trials.seeds[at])
    answer = bench.lookup(cell, epoch=epoch, seed=None if drawn == MEAN_SEED else drawn)
    observed = tuple(float(trials.values[at]) for at in places.values())
    return _claim(arm, bench, cell, epoch, answer)._replace(
        strategy=label,
        value=math.fsum(observed) / len(observed),
        runs=tuple(int(trials.runs[row]) for row in places),
        observed=observed,
        since=tuple(evaluations_until(trials, row, at) for row, at in places.items()),
    )


def _seen(bench: Benchmark, trials: Trials, rows: Iterable[int], network: Architecture) -> set[int]:
    """Return the training seeds with which some runs evaluated a network, at any epoch."""
    ends, found = np.cumsum(trials.lengths), set[int]()
    for row in rows:
        part = slice(int(ends[row] - trials.lengths[row]), int(ends[row]))
        cells, number = np.unique(trials.architectures[part], axis=0, return_inverse=True)
        same = np.array([bench.space.canonical(_cell(cell)) == network for cell in cells])
        found.update(trials.seeds[part][same[number.reshape(-1)]].tolist())
    return found


def _top(
    bench: Benchmark, protocol: Protocol, cells: NDArray[np.uint8], top: int, notes: list[str]
) -> Iterator[Claim]:
    """Yield the best by the benchmark's own claim, among all that a search could reach."""
    if len(cells) != bench.space.size:
        what = "of a fixed sample" if bench.predicts and not protocol.limits else "within reach"
        notes.append(
            f"The benchmark's own best are those of {len(cells):,} architectures {what}, not of the whole space."
        )
    epoch, asked = _full(bench, protocol), _asked(protocol)
    values = bench.query(cells, epoch=epoch, seed=asked, mask=True).filled(np.nan)
    score = values if bench.objective.direction == "max" else -values
    order = np.argsort(-score, kind="stable")  # NaN last
    yield from _benchmarks("top", bench, protocol, cells[order[np.isfinite(score[order])]], top)


def _random(
    bench: Benchmark, protocol: Protocol, cells: NDArray[np.uint8], top: int, seed: int
) -> Iterator[Claim]:
    """Yield uniform cells among all that a search could reach."""
    rng = run_generator(seed, bench.name, "verification: random cells", 0)
    if bench.predicts and bench.space.size != len(
        bench.measured()
    ):  # a sample holds its best on purpose
        cells = np.array(bench.space.sample(rng, 100 * top), np.uint8)
        for metric, most in protocol.limits:
            cells = cells[bench.query(cells, metric) <= most]
    yield from _benchmarks("random", bench, protocol, cells[rng.permutation(len(cells))], top)


def _benchmarks(
    arm: str, bench: Benchmark, protocol: Protocol, cells: NDArray[np.uint8], top: int
) -> Iterator[Claim]:
    """Yield the benchmark's claims of the first ``top`` distinct networks among ``cells``."""
    epoch, asked = _full(bench, protocol), _asked(protocol)
    for cell in _distinct(bench, cells, top):
        answer = bench.lookup(cell, epoch=epoch, seed=asked)
        known = (
            _trainings(bench, cell, epoch) if answer.source == "table" and asked is not None else {}
        )
        yield _claim(arm, bench, cell, epoch, answer)._replace(
            known=_pairs(_without(known, {asked} if asked is not None else set()))
        )


def _known(
    bench: Benchmark,
    protocol: Protocol,
    same_recipe: bool,
    top: int,
    seeds: int,
    seed: int,
    notes: list[str],
) -> Iterator[Claim]:
    """Yield random cells whose trainings are logged, to be retrained with the logged seeds."""
    if not same_recipe:
        notes.append(
            "No known cells: the trainings behind the claims were not made by this pipeline, so that a "
            "seed means another training here. How the pipelines differ is in the random cells."
        )
        return
    epoch, table = _full(bench, protocol), table_behind(bench)
    logged: dict[Architecture, _Known]
    if table is not None:
        cells = table.measured()
    else:
        try:
            logged = _logged(bench, epoch)
        except SurrogateError as err:
            notes.append(f"No known cells, so that the pipeline's drift is not measured: {err}")
            return
        cells = np.array(sorted(logged), np.uint8)
    rng = run_generator(seed, bench.name, "verification: known cells", 0)
    found = 0
    for cell in _distinct(bench, cells[rng.permutation(len(cells))], len(cells)):
        known = logged[cell] if table is None else _trainings(table, cell, epoch)
        known = {number: value for number, value in known.items() if number >= 0}
        if not known:
            continue
        if found == top:
            break
        found += 1
        answer = bench.lookup(cell, epoch=epoch)
        yield _claim("known", bench, cell, epoch, answer)._replace(
            known=_pairs(known), seeds=tuple(sorted(known)[:seeds])
        )
    if not found:
        notes.append(
            "No known cells, so that the pipeline's drift is not measured: no training is logged."
        )


def _logged(bench: Benchmark, epoch: int) -> dict[Architecture, _Known]:
    """Return the finished runs that a surrogate was fitted on, by cell.

    Raises:
        SurrogateError: It does not carry them.
    """
    stored = read_surrogate(surrogate_folder(bench.name.partition("@")[0]))
    runs = runs_from(stored, bench.space)
    values = runs.curves[runs.objective][:, runs.epochs.index(epoch)]
    found: dict[Architecture, _Known] = {}
    for cell, number, value in zip(
        runs.cells.tolist(), runs.seeds.tolist(), values.tolist(), strict=True
    ):
        found.setdefault(tuple(cell), {})[number] = value
    return found


def _distinct(bench: Benchmark, cells: NDArray[np.uint8], n: int) -> Iterator[Architecture]:
    """Yield the first ``n`` cells that are different networks."""
    seen: set[Architecture] = set()
    for cell in map(_cell, cells):
        if len(seen) == n:
            return
        key = bench.space.canonical(cell)
        if key not in seen:
            seen.add(key)
            yield cell


def _trainings(bench: Benchmark, cell: Architecture, epoch: int) -> _Known:
    """Return what a table holds of a cell: a value for each training seed."""
    found = {}
    for number in bench.seeds(cell):
        try:
            found[number] = bench.query(cell, epoch=epoch, seed=number)
        except MissingValueError:
            continue
    return found


def _claim(arm: str, bench: Benchmark, cell: Architecture, epoch: int, answer: Answer) -> Claim:
    predicted = answer.source == "surrogate"
    return Claim(
        arm=arm,
        strategy="",
        cell=cell,
        text=bench.space.format(cell),
        epoch=epoch,
        value=float(answer.value),
        sd_model=answer.sd_model if predicted else math.nan,
        sd_seed=answer.sd if predicted else math.nan,
        lower=answer.lower,
        upper=answer.upper,
        source=answer.source,
        runs=(),
        observed=(),
        known=(),
        seeds=(),
    )


def _without(known: _Known, used: set[int]) -> _Known:
    """Return the trainings that a claim did not use; of a mean none is left."""
    if MEAN_SEED in used:
        return {}
    return {number: value for number, value in known.items() if number not in used}


def _pairs(known: _Known) -> tuple[tuple[int, float], ...]:
    return tuple(sorted((int(number), float(value)) for number, value in known.items()))


def _full(bench: Benchmark, protocol: Protocol) -> int:
    return int(searched_epochs(bench, protocol)[-1])


def _asked(protocol: Protocol) -> int | None:
    """Return the training that the benchmark answers with; None = the mean."""
    return None if isinstance(protocol.seeds, str) else int(protocol.seeds)


def _cell(row: NDArray[np.uint8]) -> Architecture:
    return tuple(row.tolist())
