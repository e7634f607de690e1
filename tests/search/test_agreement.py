"""Search agreement: planted predictions whose answer is known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import kendalltau

from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import Column, Table, Training
from nasbench_tab.errors import InvalidArgumentError, UnknownNameError
from nasbench_tab.fitting.fit import HeldOut
from nasbench_tab.predictors.base import Runs, groups_of
from nasbench_tab.records import Metric
from nasbench_tab.search.agreement import LEAST, NEAREST, _Nearest, agreement, agreement_on
from nasbench_tab.search.agreement_figures import distance, taus
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.columns import Columns
from nasbench_tab.spaces.nasbench201_macro import NasBench201Macro

_Floats = NDArray[np.float64]

SPACE = Columns("small", {name: [*range(4)] for name in "abcd"})
CELLS = np.array([SPACE.unindex(i) for i in range(256)], np.uint8)
#: What one training is around the network's own value.
SEED_SD = 0.5
QUICK: dict[str, Any] = {"strategies": ("random", "local-search"), "repetitions": 12}


def quality(cells: NDArray[np.uint8]) -> _Floats:
    """Return smooth values with one best cell, in percent."""
    return np.asarray(80 - ((cells[:, :4] - [1.2, 2.1, 0.4, 2.8]) ** 2).sum(axis=1))


def runs_of(
    cells: NDArray[np.uint8] = CELLS,
    space: Space = SPACE,
    *,
    seeds: int = 2,
    direction: str = "max",
    noise: float = SEED_SD,
    shuffled: bool = True,
) -> Runs:
    """Return ``seeds`` runs of each cell, over two epochs."""
    rng = np.random.default_rng(5)
    many = np.repeat(cells, seeds, axis=0)
    final = quality(many) + rng.normal(0, noise, len(many))
    if direction == "min":
        final = 100 - final
    order = rng.permutation(len(many)) if shuffled else np.arange(len(many))
    curves = np.column_stack([final - 5, final])[order]
    many = many[order]
    metric = Metric("valid_accuracy", "valid", direction, "%", 0.0, 100.0)  # type: ignore[arg-type]
    return Runs(
        space=space,
        cells=many,
        groups=groups_of(space, many),
        seeds=np.tile(np.arange(seeds), len(cells))[order],
        origins=("",) * len(many),
        epochs=(1, 2),
        objective="valid_accuracy",
        metrics={"valid_accuracy": metric},
        curves={"valid_accuracy": curves},
        seconds=np.full(curves.shape, np.nan),
    )


def means_of(runs: Runs) -> _Floats:
    """Return ``(n, 2)`` predictions that are each network's own mean: a perfect surrogate."""
    values = runs.curves["valid_accuracy"]
    number = np.unique(runs.groups, return_inverse=True)[1]
    sums = np.column_stack([np.bincount(number, column) for column in values.T])
    return np.asarray((sums / np.bincount(number)[:, None])[number])


@pytest.fixture(scope="module")
def perfect() -> dict[str, Any]:
    runs = runs_of()
    return agreement(runs, means_of(runs), repetitions=12)


def test_a_perfect_surrogate_agrees_in_everything(perfect: dict[str, Any]) -> None:
    assert perfect["networks"] == 256
    assert perfect["evaluations"] == 256 // 4  # of 100 that were asked for
    assert perfect["distance"]["shown"] == perfect["distance"]["true"] == 0
    assert perfect["distance"]["itself"] > 0  # other generators, another curve
    for found in perfect["rankings"]:
        assert found["table"] == found["surrogate"]
        assert found["agree"] == found["tau"]["value"] == 1
        assert found["contradict"] == 0
    assert [found["evaluations"] for found in perfect["rankings"]] == [16, 32, 64]
    for found in perfect["found"].values():
        assert found["loss"] == {"value": 0, "low": 0, "high": 0}
        assert found["table"] == found["surrogate"]
    for curve in perfect["curves"].values():
        assert curve["table"] == curve["surrogate"] == curve["true"]


def test_the_answer_is_plain_and_says_what_was_done(perfect: dict[str, Any]) -> None:
    assert json.loads(json.dumps(perfect, allow_nan=False)) == perfect
    assert (perfect["metric"], perfect["unit"], perfect["neighbors"]) == (
        "valid_accuracy",
        "%",
        "positions",
    )
    assert perfect["left_out"] == {}
    assert set(perfect["curves"]) == set(perfect["found"]) == set(perfect["strategies"])
    runs = runs_of()
    by_network = means_of(runs)[:, -1]
    assert perfect["best"] == pytest.approx(by_network.max())
    of_each = by_network[np.unique(runs.groups, return_index=True)[1]]
    assert perfect["spread"] == pytest.approx(of_each.std(ddof=1))


def test_curves_rise_to_the_regret_that_is_reported(perfect: dict[str, Any]) -> None:
    for name, curve in perfect["curves"].items():
        assert curve["evaluations"][0] == 1
        assert curve["evaluations"][-1] == perfect["evaluations"]
        band = curve["table"]
        assert np.all(np.diff(band["mean"]) >= -1e-9)
        assert all(
            low <= mean <= high
            for low, mean, high in zip(band["low"], band["mean"], band["high"], strict=True)
        )
        regret = perfect["found"][name]["table"]["value"]
        assert perfect["best"] - band["mean"][-1] == pytest.approx(regret)


def test_it_is_the_order_that_moves_a_search() -> None:
    # A surrogate that is off by 30 points and half as steep sends climbers to the same networks.
    runs = runs_of()
    found = agreement(runs, 10 + 0.5 * means_of(runs), **QUICK)
    assert found["distance"]["true"] == 0
    assert found["distance"]["shown"] > 20
    assert all(one["loss"]["value"] == 0 for one in found["found"].values())
    assert all(ranking["agree"] == 1 for ranking in found["rankings"])


def test_a_surrogate_without_a_clue_is_found_out() -> None:
    runs = runs_of()
    rng = np.random.default_rng(0)
    noise = rng.normal(70, 1, len(CELLS))[runs.groups][:, None]
    found = agreement(runs, np.broadcast_to(noise, (len(runs.cells), 2)), **QUICK)
    for one in found["found"].values():
        assert one["loss"]["low"] > 0
    assert found["distance"]["true"] > 5 * found["distance"]["itself"]
    assert found["one_training"]["gain"]["high"] < 0


def test_the_opposite_surrogate_turns_the_order() -> None:
    runs = runs_of(noise=0)
    found = agreement(runs, 100 - means_of(runs), **QUICK)
    last = found["rankings"][-1]
    # What climbs highest on the surrogate ends lowest; both orders are by what is shown.
    assert last["table"] == last["surrogate"] == ["local-search", "random"]
    assert found["found"]["local-search"]["loss"]["value"] > 10


def test_less_is_better_where_the_metric_says_so() -> None:
    up, down = runs_of(), runs_of(direction="min")
    first = agreement(up, means_of(up) + 1, **QUICK)
    second = agreement(down, means_of(down) - 1, **QUICK)
    assert second["best"] == pytest.approx(100 - first["best"])
    for name in first["strategies"]:
        for arm in ("table", "surrogate", "loss"):
            one, other = (found["found"][name][arm]["value"] for found in (first, second))
            assert one == pytest.approx(other, abs=1e-9)
    assert first["rankings"] == second["rankings"]
    assert first["distance"]["shown"] == pytest.approx(second["distance"]["shown"])
    gains = [found["one_training"]["gain"]["value"] for found in (first, second)]
    assert gains[0] == pytest.approx(gains[1], abs=1e-9)


def test_one_training_is_judged_by_trainings_it_did_not_see() -> None:
    # The surrogate knows the truth; a single training is off by much. Short random searches end in
    # many networks, so that the errors of the judging trainings cancel.
    runs = runs_of(seeds=3, noise=3.0)
    truth = np.repeat(quality(runs.cells)[:, None], 2, axis=1)
    found = agreement(
        runs, truth, strategies=("random", "evolution"), evaluations=8, repetitions=60
    )["one_training"]
    assert found["networks"] == 256
    assert found["gain"]["low"] > 0
    parts = found["strategies"].values()
    assert np.mean([one["gain"]["value"] for one in parts]) == pytest.approx(found["gain"]["value"])
    for one in parts:
        assert one["training"]["value"] - one["surrogate"]["value"] == pytest.approx(
            one["gain"]["value"]
        )


def test_without_repeats_there_is_no_such_rival() -> None:
    runs = runs_of(seeds=1)
    found = agreement(runs, means_of(runs), **QUICK)
    assert found["one_training"] == {
        "reason": f"0 networks were trained more than once; {LEAST} are needed"
    }
    assert found["distance"]["shown"] == 0


def test_only_the_objectives_known_values_count() -> None:
    runs = runs_of(seeds=1)
    values = runs.curves["valid_accuracy"].copy()
    best = int(values[:, -1].argmax())
    values[best, -1] = np.nan
    means = means_of(runs)
    found = agreement(runs._replace(curves={"valid_accuracy": values}), means, **QUICK)
    assert found["networks"] == 255
    assert found["best"] == np.nanmax(values[:, -1])


@pytest.mark.parametrize("n", [0, 1, LEAST - 1])
def test_too_few_networks_are_a_reason_and_no_figure(n: int) -> None:
    runs = runs_of(CELLS[:n])
    found = agreement(runs, means_of(runs) if n else np.empty((0, 2)), **QUICK)
    assert list(found) == ["reason"]
    assert found["reason"].startswith(f"{n} networks")
    runs = runs_of(CELLS[:LEAST])
    assert agreement(runs, means_of(runs), **QUICK)["evaluations"] == LEAST // 4


def test_the_same_again_in_any_number_of_processes() -> None:
    runs = runs_of()
    means = means_of(runs) + np.random.default_rng(0).normal(0, 0.3, 256)[runs.groups][:, None]
    quick = {**QUICK, "evaluations": 12, "repetitions": 5}
    first = agreement(runs, means, **quick)
    assert agreement(runs, HeldOut(means, np.zeros_like(means)), **quick, jobs=2) == first
    assert agreement(runs, means, **quick, seed=1)["curves"] != first["curves"]
    more = agreement(runs, means, **{**quick, "strategies": ("evolution", "random")})
    assert more["curves"]["random"] == first["curves"]["random"]
    assert more["found"]["random"] == first["found"]["random"]


def test_in_a_space_that_cannot_be_listed_the_nearest_are_neighbors() -> None:
    space = NasBench201Macro()
    drawn = map(space.canonical, space.sample(np.random.default_rng(0), 90))
    cells = np.array(list(dict.fromkeys(drawn))[:80], np.uint8)
    runs = runs_of(cells, space)
    found = agreement(runs, means_of(runs), repetitions=6)
    assert found["neighbors"] == "nearest"
    assert list(found["left_out"]) == ["reinforce"]
    assert found["strategies"] == ["random", "evolution", "local-search"]
    assert found["distance"]["shown"] == 0
    assert all(one["loss"]["value"] == 0 for one in found["found"].values())


def test_the_nearest_are_the_nearest() -> None:
    rng = np.random.default_rng(1)
    cells = CELLS[rng.permutation(256)[:60]]
    space = _Nearest(SPACE, cells)
    for cell in map(tuple, cells.tolist()):
        near = space.neighbors(cell)
        assert len(near) == NEAREST
        assert cell not in near
        far = {tuple(c) for c in cells.tolist()} - {*near, cell}
        steps = [sum(a != b for a, b in zip(cell, other, strict=True)) for other in near]
        assert steps == sorted(steps)
        assert max(steps) <= min(
            sum(a != b for a, b in zip(cell, other, strict=True)) for other in far
        )


@pytest.mark.parametrize("wrong", [{"repetitions": 4}, {"evaluations": 0}, {"strategies": ()}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    runs = runs_of()
    with pytest.raises(InvalidArgumentError, match="Search agreement needs"):
        agreement(runs, means_of(runs), **{**QUICK, **wrong})


def test_an_unknown_strategy_is_refused() -> None:
    runs = runs_of()
    with pytest.raises(UnknownNameError, match="randon"):
        agreement(runs, means_of(runs), strategies=("randon",), repetitions=5)


def table_of(values: _Floats, seeds: tuple[int, ...]) -> TableBenchmark:
    """Return a complete table of the small space, ``(256, S)`` values."""
    metric = Metric("valid_accuracy", "valid", "max", "%", 0.0, 100.0)
    training = Training(
        dataset="made up",
        objective="valid_accuracy",
        epochs_kind="separate trainings",
        seconds_kind="none",
        seeds=seeds,
        epochs=(7,),
        columns={"valid_accuracy": Column(metric, values[:, :, None])},
    )
    table = Table("small", "small", True, CELLS, {"only": training}, "only", {})
    return TableBenchmark(table, SPACE, "")


def test_a_table_and_a_surrogate_of_the_whole_space() -> None:
    rng = np.random.default_rng(2)
    values = quality(CELLS)[:, None] + rng.normal(0, 4.0, (256, 3))
    values[::3, 1] = np.nan  # some networks have two trainings, one of them only one
    values[0, 1:] = np.nan
    table = table_of(values, (7, 3, 5))
    truth = table_of(quality(CELLS)[:, None], (0,))
    found = agreement_on(table, truth, **QUICK)
    assert found["networks"] == 256
    assert found["one_training"]["networks"] == 255
    # Each search ends in one network or two, so what judges them may be off: no certain gain.
    gain = found["one_training"]["gain"]
    assert gain["low"] < 0 < gain["high"]
    alone = agreement_on(table, truth, strategies=("local-search",), repetitions=12)["one_training"]
    local = alone["strategies"]["local-search"]
    assert local["surrogate"]["high"] == pytest.approx(
        local["surrogate"]["low"]
    )  # always the same network
    assert local["gain"]["high"] - local["gain"]["low"] > 2
    assert found["best"] == np.nanmax(np.nanmean(values, axis=1))
    itself = agreement_on(table, table, **QUICK)
    assert itself["distance"]["true"] == itself["distance"]["shown"] == 0
    assert all(one["loss"]["value"] == 0 for one in itself["found"].values())


def test_a_table_agrees_with_its_own_runs() -> None:
    runs = runs_of(shuffled=False)  # so that the networks are in the table's order
    table = table_of(runs.curves["valid_accuracy"][:, -1].reshape(256, 2), (0, 1))
    means = np.repeat(quality(runs.cells)[:, None], 2, axis=1)
    by_table = agreement_on(table, table_of(quality(CELLS)[:, None], (0,)), **QUICK)
    by_runs = agreement(runs, means, **QUICK)
    for found in (by_table, by_runs):
        found["one_training"] = found["one_training"]["gain"]
    assert by_table.pop("one_training") == pytest.approx(by_runs.pop("one_training"))
    assert by_table == by_runs


@given(
    arrays(np.float64, (6, 4), elements=st.integers(0, 3).map(float)),
    arrays(np.float64, (6, 4), elements=st.integers(0, 3).map(float)),
)
def test_tau_is_scipys(first: _Floats, second: _Floats) -> None:
    expected = [
        kendalltau(a, b).statistic if np.ptp(a) and np.ptp(b) else np.nan
        for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(taus(first, second), expected, atol=1e-12)


def test_the_distance_is_that_of_the_mean_curves() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 3, 5, 7))
    by_hand = [
        abs(first[k, :, e].mean() - second[k, :, e].mean()) for k in range(3) for e in range(7)
    ]
    assert distance(first, second) == pytest.approx(np.mean(by_hand))
