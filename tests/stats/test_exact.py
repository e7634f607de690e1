"""The law of the best of k draws against the enumeration of all k-tuples."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.stats.exact import best_of_draws


def by_enumeration(
    score: list[float], final: list[float], weight: list[float], draws: int
) -> float:
    """Go through all sequences of draws; the first of the best-scored is chosen."""
    total = 0.0
    for atoms in product(range(len(score)), repeat=draws):
        chosen = max(atoms, key=lambda atom: score[atom])  # max keeps the first of equals
        total += float(np.prod([weight[atom] for atom in atoms])) * final[chosen]
    return total


@settings(max_examples=150, deadline=None)
@given(data=st.data(), atoms=st.integers(1, 5))
def test_it_is_the_mean_over_all_sequences_of_draws(data: st.DataObject, atoms: int) -> None:
    def numbers(of: st.SearchStrategy[float]) -> list[float]:
        return data.draw(st.lists(of, min_size=atoms, max_size=atoms))

    score = numbers(st.integers(0, 3).map(float))  # many ties
    final = numbers(st.floats(-100, 100))
    parts = numbers(st.integers(1, 9).map(float))
    weight = [part / sum(parts) for part in parts]
    got = best_of_draws(np.array(score), np.array(final), np.array(weight), np.arange(1, 5))
    expected = [by_enumeration(score, final, weight, draws) for draws in (1, 2, 3, 4)]
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_ties_are_shared_by_weight() -> None:
    score, final = np.array([2.0, 2.0, 1.0]), np.array([10.0, 20.0, -1e6])
    got = best_of_draws(score, final, np.array([0.1, 0.3, 0.6]), np.array([1, 50]))
    assert got[0] == pytest.approx(0.1 * 10 + 0.3 * 20 - 0.6e6)
    assert got[1] == pytest.approx(17.5, abs=1e-4)


def test_where_all_tie_the_choice_is_the_first_draw() -> None:
    got = best_of_draws(np.ones(4), np.arange(4.0), np.full(4, 0.25), np.array([1, 2, 30]))
    np.testing.assert_allclose(got, 1.5)


def test_many_draws_find_the_best() -> None:
    rng = np.random.default_rng(0)
    score = rng.random(1000)
    got = best_of_draws(score, score, np.full(1000, 1e-3), np.array([1, 10, 100, 10**6]))
    assert got[0] == pytest.approx(score.mean())
    assert (np.diff(got) > 0).all()
    assert got[-1] == pytest.approx(score.max())


def test_one_draw_is_the_weighted_mean_and_one_atom_is_certain() -> None:
    got = best_of_draws(
        np.array([1.0, 9.0]), np.array([4.0, 8.0]), np.array([0.75, 0.25]), np.array([1])
    )
    assert got.tolist() == [5.0]
    alone = best_of_draws(np.array([1.0]), np.array([7.0]), np.array([1.0]), np.array([1, 9]))
    assert alone.tolist() == [7.0, 7.0]


def test_weights_that_miss_one_by_rounding_do_no_harm() -> None:
    weight = np.full(15_625, 1 / 15_625) * (1 + 1e-12)
    score = np.arange(15_625.0)
    for factor in (1.0, 1 - 2e-12):
        got = best_of_draws(score, np.ones(15_625), weight * factor, np.array([1, 1000]))
        np.testing.assert_allclose(got, 1.0, rtol=1e-8)


def test_an_atom_that_is_never_drawn_does_no_harm() -> None:
    score, final = np.array([3.0, 1.0, 2.0]), np.array([1e9, 10.0, 20.0])
    got = best_of_draws(score, final, np.array([0.0, 0.5, 0.5]), np.array([1, 2]))
    np.testing.assert_allclose(got, [15.0, 17.5])
