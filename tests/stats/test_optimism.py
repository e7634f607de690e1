"""The winner's curse on arrays: against a loop, and without bias where nothing was chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.stats.optimism import gaps


@settings(max_examples=100, deadline=None)
@given(data=st.data(), n=st.integers(1, 5), direction=st.sampled_from(["max", "min"]))
def test_it_is_the_value_against_the_mean_of_the_unseen(
    data: st.DataObject, n: int, direction: Any
) -> None:
    number = st.one_of(st.just(np.nan), st.floats(-100, 100))
    trainings = np.array(
        data.draw(st.lists(st.lists(number, min_size=3, max_size=3), min_size=n, max_size=n))
    )
    trainings[:, 0] = np.arange(n)  # the observed one exists
    seen = np.array(
        data.draw(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=n, max_size=n))
    )
    seen[:, 0] = True
    found = gaps(trainings[:, 0], trainings, seen, direction)
    sign = 1 if direction == "max" else -1
    for i in range(n):
        row = [x for x in trainings[i].tolist() if x == x]  # noqa: PLR0124
        left = [
            x
            for x, known in zip(trainings[i].tolist(), seen[i], strict=True)
            if x == x and not known  # noqa: PLR0124
        ]
        if not left:
            assert np.isnan(found.observed[i])
            assert np.isnan(found.mean[i])
            continue
        others = sum(left) / len(left)
        assert found.observed[i] == pytest.approx(sign * (trainings[i, 0] - others), abs=1e-9)
        assert found.mean[i] == pytest.approx(sign * (sum(row) / len(row) - others), abs=1e-9)


def test_the_best_of_many_equal_cells_is_flattered_and_a_drawn_one_is_not() -> None:
    rng = np.random.default_rng(0)
    trainings = rng.normal(70, 1, (20_000, 50, 2))  # runs, cells all alike, trainings
    winner = trainings[:, :, 0].argmax(axis=1)
    chosen = trainings[np.arange(20_000), winner]
    seen = np.broadcast_to([True, False], chosen.shape)
    curse = gaps(chosen[:, 0], chosen, seen, "max")
    assert curse.observed.mean() == pytest.approx(2.249, abs=0.03)  # largest of 50 normal numbers
    assert curse.mean.mean() == pytest.approx(curse.observed.mean() / 2, rel=1e-9)
    plain = gaps(trainings[:, 0, 0], trainings[:, 0], seen, "max").observed
    assert abs(plain.mean()) < 4.5 * np.sqrt(2 / 20_000)


def test_nothing_chosen_is_nothing_found() -> None:
    found = gaps(np.empty(0), np.empty((0, 3)), np.empty((0, 3), bool), "max")
    assert found.observed.shape == found.mean.shape == (0,)
