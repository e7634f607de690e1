"""Assessment by splits: few labels and many, origins that were not seen, regions that were not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.fitting.assess_figures import (
    LEAST_TOP,
    Known,
    covered,
    known,
    leave_out,
    mean_of,
    merged,
)
from nasbench_tab.fitting.assess_parts import (
    LEAST_TESTED,
    Data,
    Part,
    Task,
    Tested,
    ceiling,
    fit_whole,
    foretold,
    need,
    only,
    scores_of,
    widened,
)
from nasbench_tab.fitting.scores import LEVELS, rank_scores
from nasbench_tab.predictors.intervals import COVERAGES
from nasbench_tab.stats.prediction import crps, lower_fence, top

__all__ = ["FEWEST", "NESTED", "SIZES", "intervals", "origins", "regions", "sizes"]

_Floats = NDArray[np.float64]
_Rows = NDArray[np.intp]

#: Numbers of labelled networks, besides 80 % of all.
SIZES = (32, 78, 128, 390, 781, 1024)
#: Splits on which whole surrogates are fitted: each takes six ensembles. Coverage in one of some 90 tested
#: networks varies by .035 (standard deviation), so that three splits say little.
NESTED = 10
#: Networks that an origin must have.
FEWEST = 20
#: Errors beyond this many deviations are what a flag should have warned of.
_FAR = 3.0

_TOO_FEW = "too few networks to test on, or all alike, in every draw"


def sizes(data: Data, draws: int, rng: np.random.Generator) -> Part:
    """Random splits at several numbers of labelled networks, with one training of each as its label."""
    networks = len(data.first)
    most = _most(networks)
    wanted = [size for size in SIZES if size < most] + ([most] if most >= SIZES[0] else [])
    tasks: list[Task] = []
    tested: list[tuple[int, _Rows]] = []
    for size in wanted:
        for stream in rng.spawn(draws):
            rows = _one_run_each(data, stream)
            order = stream.permutation(networks)
            fitted, rest = rows[order[:size]], rows[order[size:]]
            groups, labels = data.runs.groups[fitted], data.final[fitted, None]
            tasks.append(
                (
                    foretold,
                    (
                        data.inputs.at(fitted),
                        labels,
                        groups,
                        data.inputs.at(rest),
                        stream,
                        data.settings,
                        data.alike,
                    ),
                )
            )
            tested.append((size, rest))

    def finish(results: list[Any]) -> Known:
        found: Known = {}
        for size in wanted:
            mine = [
                _draw_scores(data, need(result)[:, :, 0].mean(axis=1), rest)
                for (of, rest), result in zip(tested, results, strict=True)
                if of == size
            ]
            counts = {"labelled": size, "tested": networks - size, "draws": draws}
            found[str(size)] = merged(counts, _over_draws(mine), {"ceiling": ceiling(data)})
        for size in SIZES:
            if str(size) not in found:
                leave_out(found, str(size), f"of {networks} networks at most {most} are labelled")
        return found

    return Part("sizes", tasks, finish)


def intervals(data: Data, draws: int, rng: np.random.Generator) -> Part:
    """Whole surrogates of 80 % of the networks, with all their trainings: do the intervals hold?"""
    networks = len(data.first)
    most = _most(networks)
    splits = []
    if most < networks:
        for stream in rng.spawn(min(draws, NESTED)):
            order = stream.permutation(networks)
            splits.append((_rows_of(data, order[:most]), _rows_of(data, order[most:]), stream))
    tasks = [_whole(data, *split) for split in splits]

    def finish(results: list[Any]) -> Known:
        if not splits:
            raise SurrogateError(f"{networks} networks are too few to hold out {LEAST_TESTED}.")
        parts = []
        for (fitted, rest, _), result in zip(splits, results, strict=True):
            tested, _ = widened(data, need(result), fitted, rest)
            parts.append((rest, tested))
        rows = np.concatenate([rest for rest, _ in parts])
        actual, groups = data.final[rows], data.runs.groups[rows]
        found: Known = {"labelled": most, "draws": len(parts), "runs": len(rows)}
        for coverage in COVERAGES:
            ends = [_ends(tested, coverage) for _, tested in parts]
            lower, upper = (np.concatenate(side) for side in zip(*ends, strict=True))
            label = round(100 * coverage)
            found[f"coverage_{label}"] = covered((actual >= lower) & (actual <= upper), groups)
            found[f"width_{label}"] = float((upper - lower).mean())
        found["crps"] = mean_of(
            np.array(
                [
                    crps(t.bands.quantiles(t.mean, t.sd, LEVELS), LEVELS, data.final[rest])
                    for rest, t in parts
                ]
            )
        )
        return found

    return Part("intervals", tasks, finish)


def origins(data: Data, rng: np.random.Generator) -> Part:
    """Leave out all networks of one origin: is what a strategy finds predicted by what others found?"""
    words = np.array(data.runs.origins)
    names = [name for name in sorted(set(data.runs.origins)) if name]
    splits: dict[str, tuple[_Rows, _Rows, np.random.Generator]] = {}
    few: dict[str, int] = {}
    for name, stream in zip(names, rng.spawn(len(names)), strict=True):
        rest = np.flatnonzero(words == name)
        # A network that other origins hold too is tested, and not learnt from.
        fitted = np.flatnonzero(~np.isin(data.runs.groups, data.runs.groups[rest]))
        if (n := len(np.unique(data.runs.groups[rest]))) < FEWEST:
            few[name] = n
        else:
            splits[name] = (fitted, rest, stream)
    if len(names) < 2:
        splits = {}

    def finish(results: list[Any]) -> Known:
        if len(names) < 2:
            what = f"all are {names[0]!r}" if names else "it is not known where any came from"
            raise SurrogateError(f"Leaving an origin out needs two; of these runs {what}.")
        found: Known = {}
        flags: list[tuple[NDArray[np.bool_], NDArray[np.bool_]]] = []
        for (name, (fitted, rest, _)), result in zip(splits.items(), results, strict=True):
            if isinstance(result, SurrogateError):
                leave_out(found, name, result)
                continue
            found[name], flagged, far = _outside(data, result, fitted, rest)
            flags.append((flagged, far))
        for name, n in few.items():
            leave_out(found, name, f"{n} networks; expected {FEWEST}")
        if flags:
            flagged, far = (np.concatenate(part) for part in zip(*flags, strict=True))
            found["all"] = _flag_scores(flagged, far)
        return found

    return Part("origins", [_whole(data, *split) for split in splits.values()], finish)


def regions(data: Data, rng: np.random.Generator) -> Part:
    """Fit below the 80th percentile of the value, or of the parameters, and test above."""
    groups = data.runs.groups
    level = data.sign * np.bincount(groups, data.final) / np.bincount(groups)
    figures = data.runs.space.figures(data.runs.cells[data.first])
    scales = {"level": level}
    if "parameters" in figures:
        scales["parameters"] = figures["parameters"]
    splits: dict[str, tuple[_Rows, _Rows, np.random.Generator]] = {}
    for (name, scale), stream in zip(scales.items(), rng.spawn(len(scales)), strict=True):
        above = scale > np.quantile(scale, 0.8)
        if above.sum() >= LEAST_TESTED:
            splits[name] = (
                _rows_of(data, np.flatnonzero(~above)),
                _rows_of(data, np.flatnonzero(above)),
                stream,
            )

    def finish(results: list[Any]) -> Known:
        found: Known = {}
        for (name, (fitted, rest, _)), result in zip(splits.items(), results, strict=True):
            if isinstance(result, SurrogateError):
                leave_out(found, name, result)
            else:
                found[name], _, _ = _outside(data, result, fitted, rest)
        for name in scales.keys() - splits.keys():
            leave_out(
                found, name, f"fewer than {LEAST_TESTED} networks lie above the 80th percentile"
            )
        if "parameters" not in scales:
            leave_out(found, "parameters", f"the space {data.runs.space.name} knows no parameters")
        return found

    return Part("regions", [_whole(data, *split) for split in splits.values()], finish)


def _most(networks: int) -> int:
    """Return 80 % of the networks, or fewer where too few would be left to test on."""
    return max(0, min(round(0.8 * networks), networks - LEAST_TESTED))


def _rows_of(data: Data, networks: _Rows) -> _Rows:
    return np.flatnonzero(np.isin(data.runs.groups, networks))


def _one_run_each(data: Data, rng: np.random.Generator) -> _Rows:
    """Return ``(N,)`` rows: one training of each network, drawn."""
    order = rng.permutation(len(data.runs.groups))
    _, place = np.unique(data.runs.groups[order], return_index=True)
    return order[place]


def _whole(data: Data, fitted: _Rows, rest: _Rows, rng: np.random.Generator) -> Task:
    runs = only(data.runs, fitted, final=True)
    return fit_whole, (runs, data.inputs.at(rest), rng, data.settings)


def _draw_scores(data: Data, predicted: _Floats, rest: _Rows) -> Known:
    """Return the scores of one split, plain numbers; what is not known is NaN."""
    actual = data.final[rest]
    metric = data.runs.metrics[data.runs.objective]
    scores = rank_scores(predicted, actual, metric)
    if len(top(actual)) < LEAST_TOP:
        scores["tau_top_10_percent"] = np.nan
    up = data.sign * actual
    above = up >= lower_fence(up)
    if not above.all():
        scores["r2_above_fence"] = rank_scores(predicted[above], actual[above], metric)["r2"]
        scores["share_below_fence"] = float((~above).mean())
    noise = data.surrogate.models[data.runs.objective].noise
    if noise.known:
        best = np.array([data.sign * up.max()])
        sd = float(noise.sd_at(best, -1)[0])
        for k in (1, 5, 10):
            scores[f"regret_at_{k}_in_seed_sd"] = scores[f"regret_at_{k}"] / sd
    return scores


def _over_draws(draws: list[Known]) -> Known:
    """Return means over the draws that have a number, with intervals over them."""
    names = dict.fromkeys(name for scores in draws for name in scores)
    values = {name: np.array([s.get(name, np.nan) for s in draws], np.float64) for name in names}
    means = {}
    for name, of in values.items():
        limits = (0.0, 1.0) if name.startswith(("precision", "share")) else ()
        means[name] = mean_of(of[np.isfinite(of)], *limits)
    return known(means, _TOO_FEW)


def _ends(found: Tested, coverage: float) -> tuple[_Floats, _Floats]:
    """Return an interval; that of 90 % is the one of answers, widened for what is novel."""
    if coverage == 0.9:
        return found.lower, found.upper
    return found.bands.bounds(found.mean, found.sd, coverage)


def _outside(
    data: Data, result: Tested, fitted: _Rows, rest: _Rows
) -> tuple[Known, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return how a surrogate did on networks unlike its own; which were flagged, and which far off."""
    tested, novel = widened(data, result, fitted, rest)
    actual, groups = data.final[rest], data.runs.groups[rest]
    # Scores against one training of each network: its first among those that are tested.
    order = np.lexsort((data.runs.seeds[rest], groups))
    first = order[np.unique(groups[order], return_index=True)[1]]
    flagged = novel[first]
    far = np.abs(actual - tested.mean)[first] > _FAR * tested.sd[first]
    inside = (actual >= tested.lower) & (actual <= tested.upper)
    report = merged(
        {"fitted_networks": len(np.unique(data.runs.groups[fitted]))},
        scores_of(data, tested.mean[first], rest[first]),
        {
            "runs": len(rest),
            "coverage_90": covered(inside, groups),
            "width_90": float((tested.upper - tested.lower).mean()),
        },
        _flag_scores(flagged, far),
    )
    return report, flagged, far


def _flag_scores(flagged: NDArray[np.bool_], far: NDArray[np.bool_]) -> Known:
    """Return how many were flagged, and how often a flag, or none, came with an error beyond 3 sd."""
    each = np.arange(len(far))
    return known(
        {
            "flagged": covered(flagged, each),
            "far_off_if_flagged": covered(far[flagged], each[flagged]),
            "far_off_if_not_flagged": covered(far[~flagged], each[~flagged]),
        },
        "no network is of this kind",
    )
