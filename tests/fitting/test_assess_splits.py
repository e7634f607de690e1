"""Splits of an assessment: who is fitted on, who is tested, and each figure computed again in a few lines."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError
from nasbench_tab.fitting.assess_cost import cost
from nasbench_tab.fitting.assess_folds import fold_tasks, seeds
from nasbench_tab.fitting.assess_parts import Data, Part, done
from nasbench_tab.fitting.assess_splits import SIZES, intervals, origins, regions, sizes
from nasbench_tab.spaces.columns import Columns

from .assessed import cells_of, data, finished, predicted, sides, wrong
from .made_up import observed

RNG = np.random.default_rng


def tau(one: Any, other: Any) -> float:
    """Kendall's tau of values without ties, pair by pair."""
    pairs = combinations(zip(one, other, strict=True), 2)
    return float(np.mean([np.sign(a - c) * np.sign(b - d) for (a, b), (c, d) in pairs]))


def in_folds(of: Data, rng: np.random.Generator) -> Part:
    return Part("folds", fold_tasks(of, rng)[1], lambda _: {})


PARTS: dict[str, Callable[[Data, np.random.Generator], Part]] = {
    "sizes": lambda of, rng: sizes(of, 3, rng),
    "intervals": lambda of, rng: intervals(of, 3, rng),
    "origins": origins,
    "regions": regions,
    "seeds": seeds,
    "cost": cost,
    "folds": in_folds,
}


@pytest.mark.parametrize("part", PARTS)
def test_no_network_is_on_both_sides(part: str) -> None:
    of = data(repeats=60)
    tasks = PARTS[part](of, RNG(0)).tasks
    assert tasks
    for task in tasks:
        fitted, tested = sides(of, task)
        assert fitted
        assert tested
        assert not fitted & tested


@pytest.mark.parametrize("part", ["seeds", "cost", "folds"])
def test_folds_predict_every_network_once(part: str) -> None:
    of = data()
    tested = [sides(of, task)[1] for task in PARTS[part](of, RNG(0)).tasks]
    assert sum(map(len, tested)) == len(set().union(*tested)) == len(of.first)


@pytest.mark.parametrize("part", ["sizes", "intervals", "origins", "regions"])
def test_the_same_seed_the_same_split(part: str) -> None:
    of = data()
    one, again, other = ([sides(of, t) for t in PARTS[part](of, RNG(s)).tasks] for s in (0, 0, 1))
    assert one == again
    assert (one == other) == (part in ("origins", "regions"))  # which are not drawn


# Sizes.


def test_sizes_label_each_network_with_one_training_of_it() -> None:
    of = data(repeats=80)
    second = 0
    for task in sizes(of, 4, RNG(0)).tasks:
        inputs, labels, groups, *_ = task[1]
        assert len(set(groups.tolist())) == len(groups)
        for cell, label, group in zip(cells_of(of, inputs), labels[:, 0], groups, strict=True):
            (row,) = np.flatnonzero(of.final == label)
            assert (of.runs.cells[row] == cell).all()
            assert of.runs.groups[row] == group
            second += int(of.runs.seeds[row])
    assert 0.4 < second / sum(len(t[1][2]) for t in sizes(of, 4, RNG(0)).tasks) < 0.6


def test_sizes_are_all_that_leave_enough_to_test_on() -> None:
    of = data()
    found = finished(of, sizes(of, 2, RNG(0)))
    assert [found[key]["labelled"] for key in ("32", "64")] == [32, 64]
    assert [found[key]["tested"] for key in ("32", "64")] == [48, 16]
    assert set(found["left_out"]) == {str(size) for size in SIZES if size > 64}


def test_scores_of_draws_computed_again() -> None:
    of = data(networks=150, repeats=0)
    part = sizes(of, 5, RNG(3))
    found = finished(of, part)["32"]
    rows: dict[str, list[float]] = {}
    for task in part.tasks[:5]:
        cells = cells_of(of, task[1][3])
        mean = wrong(cells, 1.0)
        tested = np.array([of.final[(of.runs.cells == cell).all(axis=1)][0] for cell in cells])
        best, chosen = np.argsort(-tested), np.argsort(-mean)
        spread = ((tested - tested.mean()) ** 2).sum()
        for name, value in {
            "tau": tau(mean, tested),
            "tau_top_10_percent": tau(mean[best[:12]], tested[best[:12]]),
            "precision_at_10_percent": len({*best[:12]} & {*chosen[:12]}) / 12,
            "precision_at_1_percent": float(best[0] == chosen[0]),
            "regret_at_5": tested.max() - tested[chosen[:5]].max(),
            "best_rank_of_10": 1 + (tested > tested[chosen[:10]].max()).sum(),
            "mae": np.abs(mean - tested).mean(),
            "bias": (mean - tested).mean(),
            "r2": 1 - ((mean - tested) ** 2).sum() / spread,
        }.items():
            rows.setdefault(name, []).append(float(value))
    for name, values in rows.items():
        assert found[name]["value"] == pytest.approx(np.mean(values)), name
        assert found[name]["n"] == 5
    half = 2.776445 * np.std(rows["mae"], ddof=1) / np.sqrt(5)  # Student's t, 4 degrees of freedom
    assert found["mae"]["high"] - found["mae"]["value"] == pytest.approx(half, rel=1e-5)


def test_regret_in_deviations_between_seeds() -> None:
    of = data()
    found = finished(of, sizes(of, 1, RNG(0)), error=20.0)["32"]
    noise = of.surrogate.models["valid_accuracy"].noise
    regret = found["regret_at_1"]["value"]
    assert regret > 0
    # The deviation at the best level that was tested, which lies between those that are known.
    known = noise.deviations[-1]
    sd = regret / found["regret_at_1_in_seed_sd"]["value"]
    assert known.min() - 1e-9 <= sd <= known.max() + 1e-9


def test_where_less_is_better_the_same_scores() -> None:
    up = observed().runs
    turned = up.metrics["valid_accuracy"]._replace(direction="min", lower=-100.0, upper=0.0)
    curves = {"valid_accuracy": -up.curves["valid_accuracy"]}
    down = up._replace(metrics={"valid_accuracy": turned}, curves=curves)
    of, other = data(up), data(down)
    one, two = sizes(of, 3, RNG(0)), sizes(other, 3, RNG(0))
    answers = [predicted(of, task) for task in one.tasks]
    found, mirrored = one.finish(answers), two.finish([-answer for answer in answers])
    for size in ("32", "64"):
        for key in (
            "tau",
            "mae",
            "r2",
            "precision_at_10_percent",
            "regret_at_5",
            "best_rank_of_10",
        ):
            assert found[size][key]["value"] == pytest.approx(mirrored[size][key]["value"]), key
        assert found[size]["bias"]["value"] == pytest.approx(-mirrored[size]["bias"]["value"])


# Intervals, origins, regions.


def test_coverage_and_width_counted_again() -> None:
    of = data(repeats=60)
    part = intervals(of, 1, RNG(0))
    found = finished(of, part)
    answer = predicted(of, part.tasks[0])
    cells = cells_of(of, part.tasks[0][1][1])
    shares: dict[tuple[int, ...], list[bool]] = {}
    lower, upper = answer.bands.bounds(answer.mean, answer.sd, 0.8)
    rest = np.flatnonzero(
        (of.runs.cells[:, None] == np.unique(cells, axis=0)).all(axis=2).any(axis=1)
    )
    assert (of.runs.cells[rest] == cells).all()
    for row, cell, low, high in zip(rest, cells.tolist(), lower, upper, strict=True):
        shares.setdefault(tuple(cell), []).append(bool(low <= of.final[row] <= high))
    assert found["coverage_80"]["value"] == pytest.approx(
        np.mean([np.mean(s) for s in shares.values()])
    )
    assert found["coverage_80"]["n"] == len(shares) == 16
    assert found["width_80"] == pytest.approx((upper - lower).mean())
    assert found["runs"] == len(rest)


def test_an_origin_is_tested_by_those_that_know_none_of_its_networks() -> None:
    of = data(networks=120, repeats=60)
    part = origins(of, RNG(0))
    words = np.array(of.runs.origins)
    for name, task in zip(["evolution", "random"], part.tasks, strict=True):
        mine = words == name
        assert (cells_of(of, task[1][1]) == of.runs.cells[mine]).all()
        unseen = ~np.isin(of.runs.groups, of.runs.groups[mine])
        assert (task[1][0].cells == of.runs.cells[unseen]).all()
    found = finished(of, part)
    one = found["random"]
    rows = np.flatnonzero(words == "random")
    first = [rows[of.runs.groups[rows] == g][0] for g in np.unique(of.runs.groups[rows])]
    error = wrong(of.runs.cells[first], 1.0) - of.final[first]
    assert one["mae"]["value"] == pytest.approx(np.abs(error).mean())
    assert one["bias"]["value"] == pytest.approx(error.mean())
    assert one["tau"]["value"] == pytest.approx(
        tau(wrong(of.runs.cells[first], 1.0), of.final[first])
    )
    assert (one["networks"], one["runs"]) == (len(first), len(rows))
    # Far off is beyond three deviations of 0.5; the flag splits the networks in two.
    flagged, rest = one["flagged"], one["far_off_if_not_flagged"]
    far = one.get("far_off_if_flagged", {"value": 0.0, "n": 0})
    assert far["n"] + rest["n"] == flagged["n"] == len(first)
    counted = far["value"] * far["n"] + rest["value"] * rest["n"]
    assert counted == pytest.approx((np.abs(error) > 1.5).sum())


@pytest.mark.parametrize(
    ("words", "reason"), [("random", "all are 'random'"), ("", "not known where any came from")]
)
def test_one_origin_is_none_to_leave_out(words: str, reason: str) -> None:
    runs = observed().runs
    part = origins(data(runs._replace(origins=(words,) * len(runs.cells))), RNG(0))
    assert not part.tasks
    with pytest.raises(SurrogateError, match=reason):
        part.finish([])


def test_an_origin_of_a_few_networks_is_left_out() -> None:
    runs = observed().runs
    named = ["odd" if group < 5 else "random" for group in runs.groups.tolist()]
    of = data(runs._replace(origins=tuple(named)))
    part = origins(of, RNG(0))
    found = part.finish([SurrogateError("too few networks to fit on")])
    assert found["left_out"] == {
        "odd": "5 networks; expected 20",
        "random": "too few networks to fit on",
    }
    assert "all" not in found


def test_regions_lie_above_all_that_is_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def size(_: Any, cells: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        return {"parameters": cells.astype(float) @ [1.0, 10.0, 0.1]}

    of = data()
    assert "parameters" in finished(of, regions(of, RNG(0)))["left_out"]
    monkeypatch.setattr(Columns, "figures", size)
    level, larger = regions(of, RNG(0)).tasks
    groups = of.runs.groups
    mean = np.bincount(groups, of.final) / np.bincount(groups)
    tested = np.flatnonzero((of.runs.cells[:, None] == cells_of(of, level[1][1])).all(2).any(1))
    above = np.isin(np.arange(len(mean)), groups[tested])
    assert mean[above].min() > mean[~above].max()
    assert above.sum() == 16
    fitted, rest = (size(None, cells)["parameters"] for cells in (larger[1][0].cells, cells_of(of, larger[1][1])))  # fmt: skip
    assert rest.min() > fitted.max()


@pytest.mark.parametrize("networks", [10, 11])
def test_with_few_networks_there_are_reasons(networks: int) -> None:
    of = data(_first(observed().runs, networks))
    for name, words in {
        "sizes": "",
        "intervals": "too few to hold out|are left to fit on",
        "origins": "",
        "regions": "",
    }.items():
        made = PARTS[name](of, RNG(0))
        results = [done(task) for task in made.tasks]
        if words:
            with pytest.raises(SurrogateError, match=words):
                made.finish(results)
        else:
            assert set(made.finish(results)) == {"left_out"}


@pytest.mark.parametrize("networks", [1, 3, 9])
def test_too_few_networks_are_refused(networks: int) -> None:
    with pytest.raises(SurrogateError, match=f"{networks} networks? .*at least 10"):
        data(_first(observed().runs, networks))


def _first(runs: Any, networks: int) -> Any:
    """Return the trainings of the first networks."""
    rows = np.flatnonzero(runs.groups < networks)
    return runs._replace(
        cells=runs.cells[rows],
        groups=runs.groups[rows],
        seeds=runs.seeds[rows],
        origins=tuple(runs.origins[i] for i in rows),
        curves={name: values[rows] for name, values in runs.curves.items()},
        seconds=runs.seconds[rows],
    )
