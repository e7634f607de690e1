"""The ensemble: trees, moved toward a Gaussian process that is near; the members' spread kept."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.ensemble import Ensemble, ensemble_from, fit_ensemble
from nasbench_tab.predictors.features import features, metric_columns
from nasbench_tab.predictors.graphs import Graphs
from nasbench_tab.predictors.trees import Settings, fit_trees
from nasbench_tab.registry import load_space

from .nets import drawn_net

pytest.importorskip("xgboost")

SMALL = Settings(members=3, rounds=12, depth=3)
COLUMNS = np.array([0, 1, 2, 5])


def data(n: int = 70, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, (n, 7)).astype(np.float32)
    y = np.stack([90 + x[:, 0] - x[:, 1] * x[:, 2], 1e-4 * x[:, 3]], axis=1)
    return x, y + rng.normal(size=y.shape) * [0.3, 1e-5], np.arange(n)


@cache
def fitted() -> Ensemble:
    return fit_ensemble(*data(), np.random.default_rng(1), SMALL, COLUMNS)


def test_members_are_the_trees_moved_toward_the_process_up_to_half_way() -> None:
    x, *_ = data(100, seed=2)
    _, y, _ = data()
    trees = fit_trees(*data(), np.random.default_rng(1), SMALL).members(x)
    gp = fitted().gp
    assert gp is not None
    smooth = gp.mean(x[:, COLUMNS])
    members = fitted().members(x)
    for target in range(2):
        values = y[:, target]
        reach = 0.6 * np.median(np.abs(values - np.median(values))) * np.sqrt(500 / 70)
        for row in range(100):
            mean = trees[row, :, target].mean()
            apart = smooth[row, target] - mean
            moved = mean + 0.5 * apart / (1 + (apart / reach) ** 2)
            assert np.isclose(members[row, :, target].mean(), moved, rtol=1e-12)
    assert np.allclose(np.ptp(members, axis=1), np.ptp(trees, axis=1), atol=1e-9)


@pytest.mark.parametrize(("smooth", "reach"), [(True, 3.0), (False, 0.1)])
def test_with_many_networks_the_reach_is_what_errs_least(
    smooth: bool, reach: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasbench_tab.predictors.ensemble._MANY", 100)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 40, (300, 3)).astype(np.float32)
    slope = np.sin(x[:, 0] / 9) + np.cos(x[:, 1] / 7) * x[:, 2] / 20
    steps = 9.0 * (x[:, 0] > 31) * (x[:, 1] > 20) - 7.0 * (x[:, 1] < 4)
    y = (slope if smooth else slope + steps)[:, None]
    ensemble = fit_ensemble(
        x, y, np.arange(300), np.random.default_rng(1), SMALL._replace(rounds=60)
    )
    assert np.allclose(ensemble.reach, reach * np.median(np.abs(y - np.median(y))))
    few = fit_ensemble(x[:99], y[:99], np.arange(99), np.random.default_rng(1), SMALL)
    assert few.reach[0] == 0.6 * np.median(np.abs(y[:99] - np.median(y[:99]))) * np.sqrt(500 / 99)


def test_the_trees_are_the_same_however_the_reach_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasbench_tab.predictors.ensemble._MANY", 40)
    x, y, groups = data()
    ensemble = fit_ensemble(x, y, groups, np.random.default_rng(1), SMALL, COLUMNS)
    assert ensemble.files() == fitted().files()


def test_a_target_that_is_mostly_one_number_is_left_to_the_trees() -> None:
    x, y, groups = data()
    y[:60, 1] = 2.0
    ensemble = fit_ensemble(x, y, groups, np.random.default_rng(1), SMALL)
    assert ensemble.reach[0] > 0 == ensemble.reach[1]
    found, trees = ensemble.members(x), ensemble.trees.members(x)
    assert np.array_equal(found[..., 1], trees[..., 1])
    assert not np.array_equal(found[..., 0], trees[..., 0])


@pytest.mark.parametrize("members", [1, 8, 9])
def test_one_row_and_many_give_the_same_bits(members: int) -> None:
    x, y, groups = data()
    settings = SMALL._replace(members=members)
    ensemble = fit_ensemble(x, y, groups, np.random.default_rng(0), settings)
    many = ensemble.members(x)
    assert many.shape == (70, members, 2)
    assert np.array_equal(many, np.concatenate([ensemble.members(row[None]) for row in x]))
    assert np.array_equal(many[:, :, :1], ensemble.members(x, 1))


def with_net() -> tuple[Ensemble, Graphs]:
    """Return an ensemble with networks that were not trained, and graphs of 70 architectures."""
    words, rng = ("conv", "input", "output"), np.random.default_rng(4)
    edges = np.triu(rng.random((70, 5, 5)) < 0.5, 1)
    graphs = Graphs(words, rng.integers(0, 3, (70, 5)).astype(np.uint8), edges)
    return fitted()._replace(net=drawn_net(words)), graphs


def test_networks_that_pass_messages_have_half_of_the_say() -> None:
    x, *_ = data()
    ensemble, graphs = with_net()
    assert ensemble.net is not None
    found, before = ensemble.members(x, graphs=graphs), fitted().members(x)
    said = ensemble.net.mean(graphs)
    assert np.allclose(found[..., 0].mean(axis=1), (before[..., 0].mean(axis=1) + said) / 2)
    assert np.array_equal(found[..., 1], before[..., 1])
    assert np.allclose(np.ptp(found, axis=1), np.ptp(before, axis=1), atol=1e-9)
    alone = [ensemble.members(x[i : i + 1], graphs=graphs.at(slice(i, i + 1))) for i in range(70)]
    assert np.array_equal(found, np.concatenate(alone))
    assert np.array_equal(found[:, :, :1], ensemble.members(x, 1, graphs))


def test_networks_are_stored_and_come_back() -> None:
    x, *_ = data()
    ensemble, graphs = with_net()
    again = ensemble_from(ensemble.files(), ensemble.arrays())
    assert np.allclose(
        again.members(x, graphs=graphs), ensemble.members(x, graphs=graphs), rtol=1e-12
    )
    alone = ensemble._replace(gp=None)
    again = ensemble_from(alone.files(), alone.arrays())
    assert again.gp is None
    assert np.array_equal(again.members(x, graphs=graphs), alone.members(x, graphs=graphs))


def test_graphs_that_are_missing_or_of_others_are_refused() -> None:
    x, *_ = data()
    ensemble, graphs = with_net()
    for given in (None, graphs.at(slice(0, 69))):
        with pytest.raises(SurrogateError, match="give those of the same architectures"):
            ensemble.members(x, graphs=given)


def test_files_and_arrays_hold_all_of_it() -> None:
    x, *_ = data(90, seed=3)
    again = ensemble_from(fitted().files(), fitted().arrays())
    assert np.allclose(again.members(x), fitted().members(x), rtol=1e-12)
    assert again.files() == fitted().files()
    assert all(
        np.array_equal(part, again.arrays()[name]) for name, part in fitted().arrays().items()
    )


def test_with_too_few_values_of_a_target_there_are_trees_alone() -> None:
    x, y, groups = data()
    y[5:, 1] = np.nan
    ensemble = fit_ensemble(x, y, groups, np.random.default_rng(1), SMALL)
    assert ensemble.gp is None
    assert ensemble.arrays() == {}
    trees = fit_trees(x, y, groups, np.random.default_rng(1), SMALL)
    again = ensemble_from(ensemble.files(), ensemble.arrays())
    assert np.array_equal(again.members(x), trees.members(x))


def test_parts_that_do_not_belong_together_are_refused() -> None:
    x, y, groups = data()
    files, arrays = fitted().files(), fitted().arrays()
    one = fit_ensemble(x, y[:, :1], groups, np.random.default_rng(1), SMALL, COLUMNS)
    none = np.zeros(0)
    bare = {"gp/centre": none, "gp/scale": none, "gp/x": arrays["gp/x"][:, :0]}
    for wrong in (
        {**arrays, "columns": COLUMNS[:3]},
        {**arrays, "columns": -COLUMNS},
        {**arrays, "columns": COLUMNS.astype(float)},
        {name: part for name, part in arrays.items() if name != "columns"},
        {name: part for name, part in arrays.items() if name != "reach"},
        {**arrays, "reach": arrays["reach"][:1]},
        {**arrays, "reach": -arrays["reach"]},
        {**arrays, **bare, "columns": COLUMNS[:0]},
        {**arrays, "reach": arrays["reach"] * np.nan},
        one.arrays(),
    ):
        with pytest.raises(SurrogateError, match="do not belong together"):
            ensemble_from(files, wrong)
    with pytest.raises(SurrogateError, match="cannot be read"):
        ensemble_from(files, {"columns": COLUMNS})
    with pytest.raises(SurrogateError, match="do not belong together"):
        ensemble_from(files, {**arrays, "columns": COLUMNS + 4}).members(x)


def test_rows_of_another_width_are_refused() -> None:
    for rows in (1, 100):
        with pytest.raises(SurrogateError, match="rows of 7 finite features"):
            fitted().members(np.zeros((rows, 6), np.float32))


def test_distances_leave_out_one_hot_positions() -> None:
    space = load_space("nasbench201")
    names = features(space, np.empty((0, 6), np.uint8)).names
    left_out = set(names) - {names[i] for i in metric_columns(names).tolist()}
    assert left_out == {f"cell[{place}]={op}" for place in range(6) for op in range(5)}
