"""Steps of a run for the picture: which incumbents, at which evaluations."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.verify.along import spread

TIMES = st.lists(st.integers(1, 300), unique=True, max_size=12).map(sorted)


@given(TIMES, st.integers(0, 200), st.integers(0, 14))
@settings(max_examples=50)
def test_steps_are_as_many_as_asked_and_more_only_add(
    times: list[int], later: int, most: int
) -> None:
    end = max(times, default=0) + 1 + later
    found = spread(times, end, most)
    assert found == sorted(set(found))
    assert len(found) == min(most, len(times))
    assert set(found) <= set(spread(times, end, most + 1))
    if found:
        assert times[0] in [times[i] for i in found]  # the first is the farthest from the end
    if (
        0 < len(found) < len(times)
    ):  # no step that was left out is lonelier than those that were taken
        taken = [math.log(times[i]) for i in found] + [math.log(end)]
        gap = min(abs(a - b) for i, a in enumerate(taken) for b in taken[:i])
        left = [math.log(times[i]) for i in range(len(times)) if i not in found]
        assert all(min(abs(one - other) for other in taken) <= gap + 1e-12 for one in left)


def test_steps_are_even_on_a_log_scale() -> None:
    assert spread([1, 2, 4, 8, 16, 32, 64], 128, 3) == [0, 3, 5]
    assert spread([1, 9, 10, 11, 12], 100, 2) == [0, 2]
