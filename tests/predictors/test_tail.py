"""Long tails: which one is compressed, and that nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasbench_tab.predictors.tail import compressed, expanded, tail_of

SKEWED = 90.0 - np.random.default_rng(0).exponential(3.0, 200)


def test_the_long_tail_is_found() -> None:
    assert tail_of(SKEWED)[0] == 1
    assert tail_of(-SKEWED) == (-1, tail_of(SKEWED)[1])
    assert tail_of(np.linspace(0, 1, 50)) == (0, 0.0)
    assert tail_of(np.full(5, 3.0)) == (0, 0.0)
    assert tail_of(np.array([3.0])) == (0, 0.0)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.sampled_from([1, -1]))
def test_there_and_back(shift: float, scale: float, turn: int) -> None:
    y = shift + turn * scale * SKEWED
    sign, edge = tail_of(y)
    assert sign == turn
    z = compressed(y, sign, edge)
    assert np.isfinite(z).all()
    assert (np.diff((sign * z)[np.argsort(y)]) >= 0).all()
    assert expanded(z, sign, edge) == pytest.approx(y, rel=1e-6, abs=1e-6 * scale + 1e-6)


@pytest.mark.parametrize("turn", [1, -1])
def test_values_that_differ_in_their_last_digit_are_left_alone(turn: int) -> None:
    y = turn * np.array([1e8] * 9 + [np.nextafter(1e8, np.inf)])
    assert tail_of(y) == (0, 0.0)


def test_the_tail_is_shorter() -> None:
    def skew(y: NDArray[np.float64]) -> float:
        return float(abs(((y - y.mean()) ** 3).mean()) / y.std() ** 3)

    assert skew(compressed(SKEWED, *tail_of(SKEWED))) < 0.4 * skew(SKEWED)
