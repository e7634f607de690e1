"""Novelty: distances against brute force, what is flagged, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArgumentError, SurrogateError
from nasbench_tab.predictors.novelty import LANDMARKS, fit_novelty, novelty_from


def mixed(n: Any, seed: Any = 0, width: Any = 12) -> Any:
    """Counts, indicators, a size in millions and a feature that is nearly always 0."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 5, (n, width)).astype(np.float32)
    x[:, 0] = rng.uniform(1e6, 5e6, n)
    x[:, 1] = rng.random(n) < 0.02
    x[:, 2] = rng.uniform(0, 1e-4, n)
    x[:, 3] = 7
    return x


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_scores_are_those_of_brute_force(seed: Any, n: Any, width: Any) -> Any:
    """The share of networks whose nearest other one is nearer than the nearest of all is to a row."""
    rng = np.random.default_rng(seed)
    x, new = rng.normal(size=(n, width)), rng.normal(size=(8, width)) * 1.3
    x, new = x.astype(np.float32), new.astype(np.float32)
    novelty = fit_novelty(x, np.arange(n))  # type: ignore[arg-type]
    units = np.maximum(x.astype(float).std(axis=0), 1e-3 * abs(x).max(axis=0))

    def standard(rows: Any) -> Any:
        return ((rows - x.mean(axis=0)) / units).clip(-10, 10)

    def apart(one: Any, other: Any) -> Any:
        return float(np.sqrt(((one - other) ** 2).sum()))

    known = standard(x)
    alone = [min(apart(known[i], known[j]) for j in range(n) if j != i) for i in range(n)]
    # Rounding to steps moves each coordinate of a row by at most half a step.
    blur = 2 * np.sqrt(width) * 0.5 / (novelty.limit / 10) + 1e-4
    for row, score in zip(standard(new), novelty.score(new), strict=True):  # type: ignore[arg-type]
        nearest = min(apart(row, other) for other in known)
        least = np.mean([distance < nearest - 2 * blur for distance in alone])
        most = np.mean([distance < nearest + 2 * blur for distance in alone])
        assert least <= score <= most


def test_sums_are_exact_so_that_one_row_scores_as_among_many() -> None:
    x = mixed(800, width=150)
    novelty = fit_novelty(x[:700], np.arange(700))
    scores = novelty.score(x)
    assert scores[::4].tolist() == [novelty.score(x[[i]])[0] for i in range(0, 800, 4)]
    steps = novelty.steps(x[-60:]).astype(np.int64)
    known = novelty.landmarks.astype(np.int64)
    squares = ((steps[:, None, :] - known) ** 2).sum(axis=2).min(axis=1)
    expected = np.searchsorted(novelty.distances, squares) / len(novelty.distances)
    assert np.array_equal(scores[-60:], expected)


@pytest.mark.parametrize("width", [1, 3, 150, 1000, 20_000])
def test_the_largest_distance_is_still_exact(width: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, width)).astype(np.float32)
    novelty = fit_novelty(x, np.arange(5))
    assert novelty.limit >= 1
    assert 4 * width * novelty.limit**2 <= 2**24


def test_the_fitted_are_not_novel() -> None:
    for n in (2, 50, LANDMARKS, 1500):
        x = mixed(n)
        novelty = fit_novelty(x, np.arange(n))
        score = novelty.score(x)
        assert not novelty.flag(score).any()
        if n <= LANDMARKS:
            assert (score == 0).all()


def test_new_ones_of_the_same_kind_score_evenly() -> None:
    x = mixed(6000)
    novelty = fit_novelty(x[:LANDMARKS], np.arange(LANDMARKS))
    score = novelty.score(x[LANDMARKS:])
    assert novelty.flag(score).mean() < 0.03
    quartiles = np.quantile(score, [0.25, 0.5, 0.75]).tolist()
    assert quartiles == pytest.approx([0.25, 0.5, 0.75], abs=0.1)


def test_landmarks_do_not_make_new_ones_novel() -> None:
    x = mixed(6000)
    novelty = fit_novelty(x[:3000], np.arange(3000))
    assert novelty.flag(novelty.score(x[3000:])).mean() < 0.03


@pytest.mark.parametrize("feature", [1, 3, 5])
def test_a_value_that_no_fitted_network_has_is_flagged(feature: Any) -> None:
    x = mixed(800)
    x[:, 1] = 0
    novelty = fit_novelty(x, np.arange(800))
    new = mixed(200, seed=1)
    new[:, 1] = 0
    assert novelty.flag(novelty.score(new)).mean() < 0.05
    new[:, feature] += 40
    assert novelty.flag(novelty.score(new)).all()


def test_trainings_of_one_network_do_not_keep_each_other_company() -> None:
    x = mixed(100)
    often = np.repeat(np.arange(100), 4)
    once, again = fit_novelty(x, np.arange(100)), fit_novelty(x[often], often)
    assert all(np.array_equal(one, other) for one, other in zip(once, again, strict=True))  # type: ignore[arg-type]
    assert again.distances.min() > 0


def test_the_unit_of_a_feature_does_not_matter() -> None:
    x, new = mixed(300), mixed(300, seed=1)
    plain = fit_novelty(x, np.arange(300)).score(new)
    factor = np.float32(2.0) ** np.arange(-6, 6)
    scaled = fit_novelty(x * factor, np.arange(300)).score(new * factor)
    assert np.abs(plain - scaled).max() < 0.02


def test_few_landmarks_stand_for_many_networks() -> None:
    x = mixed(4000)
    novelty = fit_novelty(x, np.arange(4000))
    assert novelty.landmarks.shape == (LANDMARKS, 12)
    assert len(novelty.distances) == 4000
    assert (np.diff(novelty.distances) >= 0).all()


def test_read_back_it_is_the_same() -> None:
    x = mixed(700)
    novelty = fit_novelty(x, np.arange(700))
    again = novelty_from(novelty.arrays())
    assert all(np.array_equal(one, other) for one, other in zip(novelty, again, strict=True))  # type: ignore[arg-type]
    assert np.array_equal(again.score(x), novelty.score(x))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("centre", lambda a: a[:-1]),
        ("centre", lambda a: np.where(a == a[0], np.nan, a)),
        ("scale", lambda a: -a),
        ("scale", lambda a: a[:-1]),
        ("limit", lambda a: a + 1),
        ("limit", lambda a: np.array("x")),
        ("landmarks", lambda a: a[:, :-1]),
        ("landmarks", lambda a: a * 0.3),
        ("landmarks", lambda a: a.astype(float) * 1000),
        ("landmarks", lambda a: a[:0]),
        ("distances", lambda a: a[::-1]),
        ("distances", lambda a: a[:1]),
        ("distances", lambda a: a * np.nan),
    ],
)
def test_altered_arrays_are_refused(name: Any, change: Any) -> None:
    arrays = fit_novelty(mixed(50), np.arange(50)).arrays()
    with pytest.raises(SurrogateError, match="novelty of a surrogate"):
        novelty_from({**arrays, name: change(arrays[name])})


@pytest.mark.parametrize("name", ["centre", "scale", "limit", "landmarks", "distances"])
def test_missing_arrays_are_refused(name: Any) -> None:
    arrays = fit_novelty(mixed(50), np.arange(50)).arrays()
    del arrays[name]
    with pytest.raises(SurrogateError, match=name):
        novelty_from(arrays)


def test_bad_input_is_refused() -> None:
    x = mixed(50)
    with pytest.raises(SurrogateError, match="at least 2 distinct networks"):
        fit_novelty(x, np.zeros(50, np.intp))
    with pytest.raises(InvalidArgumentError, match="finite"):
        fit_novelty(np.where(x == 7, np.nan, x), np.arange(50))
    with pytest.raises(InvalidArgumentError, match="finite"):
        fit_novelty(x, np.arange(49))
    novelty = fit_novelty(x, np.arange(50))
    with pytest.raises(InvalidArgumentError, match="12 finite features"):
        novelty.score(x[:, :-1])
    with pytest.raises(InvalidArgumentError, match="12 finite features"):
        novelty.score(np.where(x == 7, np.float32(np.inf), x))
    huge = np.full((1, 12), np.finfo(np.float32).max)
    assert novelty.score(np.concatenate([huge, -huge])).tolist() == [1, 1]
    assert novelty.score(x[:0]).shape == (0,)
