"""Out of fold: figures computed again, and intervals that do not know the fold they are judged on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from nasbench_tab.errors import SurrogateError
from nasbench_tab.fitting.assess_cost import cost
from nasbench_tab.fitting.assess_curves import epochs
from nasbench_tab.fitting.assess_folds import (
    Crossed,
    crossed,
    fold_tasks,
    levels,
    other_mean,
    seeds,
)
from nasbench_tab.fitting.assess_parts import Data, ceiling, only, scores_of
from nasbench_tab.fitting.scores import seed_ceiling
from nasbench_tab.predictors.curves import fit_basis
from nasbench_tab.predictors.inputs import Inputs

from .assessed import SHARE, cells_of, data, finished, wrong
from .made_up import observed, truth

RNG = np.random.default_rng


def out_of_fold(of: Data, error: float = 1.0) -> tuple[np.ndarray[Any, Any], list[Any]]:
    """Return folds, and answers for each: curves whose final values have a known error."""
    fold, tasks = fold_tasks(of, RNG(0))
    basis = fit_basis(of.runs.epochs, of.values, of.runs.groups)
    results = []
    for task in tasks:
        curves = wrong(cells_of(of, task[1][3]), error)[:, None] * SHARE[-len(of.runs.epochs) :]
        targets = basis.compress(curves)
        results.append(targets[:, None] + np.array([-0.1, 0.0, 0.1])[:, None])
    return fold, results


def found_of(of: Data, error: float = 1.0) -> Crossed:
    return crossed(of, *out_of_fold(of, error))


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 9), st.floats(1, 99)), min_size=30, max_size=60))
def test_first_second_and_others_of_each_network(drawn: list[tuple[int, float]]) -> None:
    base = observed(networks=10, repeats=0).runs
    groups = np.array([*range(10), *(g for g, _ in drawn)])
    values = np.array([*np.linspace(20, 30, 10), *(v for _, v in drawn)])
    order = RNG(len(drawn)).permutation(len(groups))
    groups, values = groups[order], values[order]
    runs = base._replace(
        cells=base.cells[groups],
        groups=groups,
        seeds=np.arange(len(groups)),
        origins=("",) * len(groups),
        epochs=(4,),
        curves={"valid_accuracy": values[:, None]},
        seconds=np.ones((len(groups), 1)),
    )
    of = data(runs)
    others = other_mean(of, -1)
    for group in range(10):
        rows = np.flatnonzero(groups == group)  # seeds grow with the row
        assert of.first[group] == rows[0]
        assert of.second[group] == (rows[1] if len(rows) > 1 else -1)
        own = values[rows[1:]]
        assert others[group] == pytest.approx(own.mean()) if len(own) else np.isnan(others[group])


def test_seeds_compare_a_surrogate_and_a_table_on_the_same_networks() -> None:
    of = data(networks=60, repeats=40)
    found = finished(of, seeds(of, RNG(0)))
    assert (found["labelled"], found["networks"]) == (60, 40)
    one = {tuple(c): v for c, v, s in zip(of.runs.cells.tolist(), of.final, of.runs.seeds, strict=True) if s == 0}  # fmt: skip
    two = {tuple(c): v for c, v, s in zip(of.runs.cells.tolist(), of.final, of.runs.seeds, strict=True) if s == 1}  # fmt: skip
    cells = list(two)
    actual, table = (np.array([known[cell] for cell in cells]) for known in (two, one))
    mean = wrong(np.array(cells, np.uint8), 1.0)
    for name, said in (("surrogate", mean), ("table", table)):
        assert found[name]["mae"]["value"] == pytest.approx(np.abs(said - actual).mean())
        assert found[name]["tau"]["value"] == pytest.approx(kendalltau(said, actual).statistic)
    ratio = np.abs(mean - actual).mean() / np.abs(table - actual).mean()
    assert found["mae_ratio"]["value"] == pytest.approx(ratio)
    assert found["mae_ratio"]["low"] < ratio < found["mae_ratio"]["high"]


def test_without_repeats_nobody_knows_the_other_trainings() -> None:
    of = data(repeats=4)
    with pytest.raises(SurrogateError, match="4 networks were trained with a second seed"):
        finished(of, seeds(of, RNG(0)))
    assert ceiling(of)["repeated_networks"] == 4
    assert "tau" in ceiling(of)["left_out"]


def test_the_ceiling_is_that_of_the_fit() -> None:
    of = data()
    known, beside = ceiling(of), seed_ceiling(of.runs, "valid_accuracy")
    assert known["tau"]["value"] == pytest.approx(beside["tau_between_seeds"])
    assert known["mae"]["value"] == pytest.approx(beside["mae_between_seeds"])
    assert known["repeated_networks"] == beside["repeated_networks"] == 30


def test_intervals_do_not_know_the_fold_that_they_are_judged_on() -> None:
    runs = only(observed(repeats=60).runs, np.arange(140), final=True)
    of = data(runs)
    fold, results = out_of_fold(of)
    before = crossed(of, fold, results)
    off = np.where(fold == 2, RNG(1).uniform(0, 20, len(fold)), 0.0)[:, None]
    curves = {"valid_accuracy": np.clip(runs.curves["valid_accuracy"] - off, 0, 100)}
    after = crossed(data(runs._replace(curves=curves)), fold, results)
    mine = fold == 2
    for part in ("sd", "lower", "upper"):
        assert (getattr(before, part)[mine] == getattr(after, part)[mine]).all()
        assert (getattr(before, part)[~mine] != getattr(after, part)[~mine]).any()


def test_levels_counted_again() -> None:
    of = data(networks=120, repeats=60)
    crossing = found_of(of)
    found = levels(of, crossing)
    mean = wrong(of.runs.cells, 1.0)
    assert crossing.mean[:, -1] == pytest.approx(mean)
    first = of.first
    assert [part["networks"] for part in found["bins"]] == [12] * 10
    assert sum(part["runs"] for part in found["bins"]) == 180
    ends = [(part["predicted_from"], part["predicted_to"]) for part in found["bins"]]
    assert all(one[1] <= other[0] for one, other in pairwise(ends))
    order = np.argsort(mean[first])
    lower, upper = crossing.lower[:, -1], crossing.upper[:, -1]
    inside = (lower <= of.final) & (of.final <= upper)
    for place, networks in ((0, order[:12]), (9, order[-12:])):
        part, rows = found["bins"][place], [np.flatnonzero(of.runs.groups == g) for g in networks]
        error = mean[first[networks]] - of.final[first[networks]]
        assert part["bias"]["value"] == pytest.approx(error.mean())
        assert part["mae"]["value"] == pytest.approx(np.abs(error).mean())
        shares = [inside[own].mean() for own in rows]
        assert part["coverage_90"]["value"] == pytest.approx(np.mean(shares))
        assert part["width_90"] == pytest.approx((upper - lower)[first[networks]].mean())
    top = found["top_10_percent"]
    assert (top["predicted_from"], top["predicted_to"]) == ends[9]
    assert top["mae"]["value"] == found["bins"][9]["mae"]["value"]
    everyone = found["all"]
    assert everyone["coverage_90"]["n"] == 120
    assert everyone["coverage_50"]["value"] < everyone["coverage_90"]["value"]
    assert everyone["mae"]["value"] == pytest.approx(np.abs(mean - of.final)[first].mean())
    ratio = top["width_90"] / top["plain_width_90"]
    assert found["plain_width_ratio_top"] == pytest.approx(ratio, rel=0.05)


def test_plain_intervals_hold_what_they_say() -> None:
    of = data(networks=200, repeats=0)
    top = levels(of, found_of(of, error=1.0))["top_10_percent"]
    # One width for all, from the other folds: nine tenths of all errors lie within half of it.
    error = np.abs(wrong(of.runs.cells, 1.0) - of.final)
    assert np.quantile(error, 0.85) < top["plain_width_90"] / 2 < np.quantile(error, 0.96)


def test_where_less_is_better_the_best_tenth_is_at_the_bottom() -> None:
    up = observed(networks=100).runs
    turned = up.metrics["valid_accuracy"]._replace(direction="min")
    of = data(up._replace(metrics={"valid_accuracy": turned}))
    found = levels(of, found_of(of))
    assert found["top_10_percent"]["predicted_to"] <= found["bins"][1]["predicted_from"]


def test_scores_of_networks_without_a_value_there() -> None:
    of = data()
    of.values[of.first[:50], 0] = np.nan
    found = scores_of(of, truth(of.runs.cells)[of.first], of.first, 0)
    assert found["networks"] == 30
    of.values[of.first[:79], 0] = np.nan
    with pytest.raises(SurrogateError, match="1 networks have a value"):
        scores_of(of, truth(of.runs.cells)[of.first], of.first, 0)


# Curves.


def test_epochs_beside_a_table_of_one_training() -> None:
    of = data(networks=60, repeats=40)
    found = epochs(of, found_of(of))
    assert [part["epoch"] for part in found["each"]] == [1, 2, 4]
    twice = np.flatnonzero(of.second >= 0)
    one, two = of.values[of.first[twice]], of.values[of.second[twice]]
    mean = wrong(of.runs.cells[of.first], 1.0)[:, None] * SHARE
    for place, part in enumerate(found["each"]):
        error = np.abs(mean[:, place] - of.values[of.first, place])
        assert part["mae"]["value"] == pytest.approx(error.mean(), rel=0.05)  # the basis is a fit
        table = part["repeated"]["table"]
        assert table["mae"] == pytest.approx(np.abs(one - two)[:, place].mean())
        assert table["tau"]["value"] == pytest.approx(kendalltau(one[:, place], two[:, place]).statistic)  # fmt: skip
    taus = [part["repeated"]["table"]["tau"]["value"] for part in found["each"]]
    assert found["average"]["repeated_table_tau"] == pytest.approx(np.mean(taus))


def test_simulated_trainings_beside_real_ones() -> None:
    of = data(networks=150, repeats=120)
    found = epochs(of, found_of(of, error=0.1))["simulated"]
    spikes = of.values.max(axis=1) - of.final
    real = np.bincount(of.runs.groups, spikes > found["spike_threshold"]) / np.bincount(of.runs.groups)  # fmt: skip
    assert found["real_spikes"]["value"] == pytest.approx(real.mean())
    assert found["real_spikes"]["n"] == 150
    assert found["simulated_runs"] == 20 * found["runs"] == 20 * 270
    one, two = (of.values[rows[of.second >= 0]] for rows in (of.first, of.second))
    pooled = np.sqrt(((one - two) ** 2 / 2).mean(axis=0))
    assert [part["real_sd"] for part in found["deviations"]] == pytest.approx(pooled.tolist())
    for part in found["deviations"]:
        assert part["simulated_sd"] == pytest.approx(part["real_sd"], rel=0.2)


def test_curves_need_two_epochs_and_simulations_repeats() -> None:
    runs = observed().runs
    of = data(only(runs, np.arange(len(runs.cells)), final=True))
    with pytest.raises(SurrogateError, match="Only epoch 4 is known"):
        epochs(of, found_of(of))
    of = data(repeats=0)
    found = epochs(of, found_of(of))
    assert "trained more than once" in found["left_out"]["simulated"]
    assert set(found["average"]["left_out"]) == {
        "ceiling_tau",
        *(f"repeated_{who}_{what}" for who in ("surrogate", "table") for what in ("tau", "r2")),
    }


def test_runs_without_their_first_epochs_are_judged_where_they_are_known() -> None:
    runs = observed(networks=60, repeats=40).runs
    values = runs.curves["valid_accuracy"].copy()
    values[::7, 0] = np.nan
    of = data(runs._replace(curves={"valid_accuracy": values}))
    found = epochs(of, found_of(of))
    first, _, last = found["each"]
    assert first["networks"] < last["networks"] == 60
    assert found["simulated"]["runs"] == np.isfinite(values).all(axis=1).sum()


# Cost.


def test_cost_computed_again() -> None:
    of = data()
    part = cost(of, RNG(0))
    results = [11.0 * cells_of(of, Inputs(t[1][4]))[:, 0] for t in part.tasks]
    found = part.finish(results)
    full = of.runs.seconds[of.first, -1]
    error = 100 * np.abs(11.0 * of.runs.cells[of.first, 0] / full - 1)
    assert found["mean_error"]["value"] == pytest.approx(error.mean())
    assert found["median_error"] == pytest.approx(np.median(error))
    assert found["ceiling"]["mean_error"]["value"] == pytest.approx(0.0, abs=1e-9)


def test_without_times_there_is_no_cost() -> None:
    of = data(timed=False)
    part = cost(of, RNG(0))
    assert not part.tasks
    with pytest.raises(SurrogateError, match="0 runs have times"):
        part.finish([])
    runs = observed().runs
    runs.seconds[3] = 0.0
    with pytest.raises(SurrogateError, match="above 0"):
        cost(data(runs), RNG(0)).finish([])
