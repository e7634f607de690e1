"""The law of the best of k draws against the enumeration of all sequences of k draws."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.stats.exact import (
    LEVELS,
    Law,
    best_of_draws,
    law_of_best,
    mirrored,
    sample_law,
)


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


def law_by_enumeration(
    score: list[float], final: list[float], weight: list[float], draws: int, replacement: bool
) -> tuple[float, float, list[float]]:
    """Return mean, sd and quantiles of what the chosen atom is worth."""
    atoms = range(len(score))
    chance: dict[float, float] = {}
    if replacement:
        sequences = list(product(atoms, repeat=draws))
        weights = [float(np.prod([weight[i] for i in sequence])) for sequence in sequences]
    else:
        sequences = list(permutations(atoms, min(draws, len(score))))
        weights = [1 / len(sequences)] * len(sequences)
    for sequence, probability in zip(sequences, weights, strict=True):
        chosen = final[max(sequence, key=lambda atom: score[atom])]
        chance[chosen] = chance.get(chosen, 0.0) + probability
    mean = sum(p * x for x, p in chance.items())
    sd = sum(p * (x - mean) ** 2 for x, p in chance.items()) ** 0.5
    total, quantiles = 0.0, list[float]()
    for x in sorted(chance):
        total += chance[x]
        quantiles += [x] * (sum(total >= level - 1e-9 for level in LEVELS) - len(quantiles))
    return mean, sd, quantiles


@settings(max_examples=100, deadline=None)
@given(data=st.data(), atoms=st.integers(1, 5), replacement=st.booleans())
def test_the_whole_law_is_that_of_all_sequences(
    data: st.DataObject, atoms: int, replacement: bool
) -> None:
    def whole_numbers(high: int) -> list[float]:
        return data.draw(st.lists(st.integers(0, high).map(float), min_size=atoms, max_size=atoms))

    score, final = whole_numbers(3), whole_numbers(6)  # ties in both
    parts = [1 + x for x in whole_numbers(6)] if replacement else [1.0] * atoms
    weight = [part / sum(parts) for part in parts]
    counts = np.array([4, 1, 2, 3])
    arrays = (np.array(score), np.array(final), np.array(weight), counts)
    law = law_of_best(*arrays, replacement=replacement)
    for i, draws in enumerate(counts.tolist()):
        mean, sd, quantiles = law_by_enumeration(score, final, weight, draws, replacement)
        assert law.mean[i] == pytest.approx(mean, abs=1e-9)
        assert law.sd[i] == pytest.approx(sd, abs=1e-6)  # a root: small errors grow
        assert law.quantiles[i].tolist() == quantiles
    means = best_of_draws(*arrays, replacement=replacement)
    np.testing.assert_allclose(means, law.mean, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), replacement=st.booleans())
def test_runs_that_end_early_are_mixed_in(data: st.DataObject, replacement: bool) -> None:
    n, top = 6, 5
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    score, final, weight = rng.random(n), rng.random(n), np.full(n, 1 / n)
    going_on = data.draw(st.lists(st.floats(0.01, 1), min_size=top, max_size=top))
    reach = np.asarray(np.cumprod(going_on), np.float64)
    counts = np.arange(1, top + 1)
    plain = best_of_draws(score, final, weight, counts, replacement=replacement)
    for k in counts.tolist():
        ends = np.append(reach[: k - 1] - reach[1:k], reach[k - 1])
        expected = ends @ plain[:k] / reach[0]
        got = best_of_draws(
            score, final, weight, np.array([k]), replacement=replacement, reach=reach
        )
        assert got[0] == pytest.approx(expected, rel=1e-12)


def test_all_cells_drawn_without_replacement_find_the_best() -> None:
    rng = np.random.default_rng(0)
    score = rng.permutation(1000).astype(float)
    law = law_of_best(
        score, score, np.full(1000, 1e-3), np.array([1, 999, 1000]), replacement=False
    )
    assert law.mean[2] == 999
    assert law.sd[2] == 0
    assert law.mean[1] == pytest.approx(999 - 1e-3)
    assert law.mean[0] == pytest.approx(score.mean())
    assert law.sd[0] == pytest.approx(score.std())


def test_many_counts_at_once_are_the_same_as_one_at_a_time() -> None:
    rng = np.random.default_rng(1)
    score, final = rng.integers(0, 300, 2000).astype(float), rng.random(2000)
    weight = np.full(2000, 5e-4)
    counts = rng.integers(1, 3000, 100)
    for replacement in (True, False):
        law = law_of_best(score, final, weight, counts, replacement=replacement)
        for i in range(0, 100, 9):
            one = law_of_best(score, final, weight, counts[i : i + 1], replacement=replacement)
            np.testing.assert_allclose(law.mean[i], one.mean[0], rtol=1e-12)
            np.testing.assert_allclose(law.sd[i], one.sd[0], rtol=1e-9)
            np.testing.assert_array_equal(law.quantiles[i], one.quantiles[0])


def test_the_spread_of_a_value_far_from_zero_is_not_lost() -> None:
    score = np.arange(4.0)
    law = law_of_best(score, 1e9 + score / 1000, np.full(4, 0.25), np.array([1, 200]))
    assert law.sd[0] == pytest.approx(np.arange(4).std() / 1000, rel=1e-4)
    assert law.sd[1] < 1e-9


def test_a_sample_is_summed_up_point_by_point() -> None:
    values = np.array([[1.0, np.nan, np.nan], [3.0, 7.0, np.nan], [2.0, np.nan, np.nan]])
    law = sample_law(values)
    np.testing.assert_array_equal(law.mean, [2, 7, np.nan])
    np.testing.assert_array_equal(law.sd, [1, np.nan, np.nan])
    np.testing.assert_array_equal(law.quantiles[0], [1, 1, 2, 3, 3])
    np.testing.assert_array_equal(law.quantiles[1], [7] * 5)
    assert np.isnan(law.quantiles[2]).all()


def test_the_levels_are_symmetric_so_that_a_law_can_be_mirrored() -> None:
    np.testing.assert_allclose(np.array(LEVELS) + LEVELS[::-1], 1)
    law = Law(np.array([3.0]), np.array([2.0]), np.array([[1.0, 2, 3, 4, 8]]))
    turned = mirrored(law, 10.0)
    assert turned.mean.tolist() == [7]
    assert turned.sd.tolist() == [2]
    assert turned.quantiles.tolist() == [[2, 6, 7, 8, 9]]
