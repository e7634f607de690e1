"""Index files: disjoint, inside their dataset, and the same for ever."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArgumentError, UnknownNameError
from nasbench_tab.train.splits import Split, load_split, raw_permutation, split_hash, split_names

#: Training and test images of the dataset that a split numbers.
SIZES = {
    "cifar10-half": (50_000, 10_000),
    "digits": (1_297, 500),
    "fashion-macro": (60_000, 10_000),
    "fashion-small": (60_000, 10_000),
}


def split(train: list[int], valid: list[int], test: list[int]) -> Split:
    return Split(*(np.array(part, np.int64) for part in (train, valid, test)))


@pytest.mark.parametrize("name", split_names())
def test_shipped_splits_load_and_share_no_image(name: str) -> None:
    found = load_split(name)
    n_train, n_test = SIZES[name]
    assert all(part.dtype == np.int64 and part.ndim == 1 and part.size for part in found)
    assert all(np.unique(part).size == part.size for part in found)
    assert not set(found.train.tolist()) & set(found.valid.tolist())
    for part, size in ((found.train, n_train), (found.valid, n_train), (found.test, n_test)):
        assert part.min() >= 0
        assert part.max() < size


def test_splits_that_use_all_images() -> None:
    for name, lengths in (("cifar10-half", (25_000, 25_000)), ("digits", (1_000, 297))):
        found, (n_train, n_test) = load_split(name), SIZES[name]
        assert (len(found.train), len(found.valid)) == lengths
        used = np.sort(np.concatenate([found.train, found.valid]))
        np.testing.assert_array_equal(used, np.arange(n_train))
        np.testing.assert_array_equal(np.sort(found.test), np.arange(n_test))


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("digits", "c1ce6318a07978afaf06180009fc8a5e573f81b76acf04e40c08cb2ad0f77b9a"),
        ("cifar10-half", "b6a52c07ec7747736d151c5235c390ac8661d9994101cf3d8eeb61756097a5a7"),
        ("fashion-small", "4ad5326ee4e9af10b5c18ca6a73ea17441ea7277552ceb868974a2829f378036"),
        ("fashion-macro", "9877b30e7d5ec2798c2a22410f48144ba30b6b20c1e3e99d4cff2fe1506e9811"),
    ],
)
def test_shipped_splits_never_change(name: str, digest: str) -> None:
    assert split_hash(load_split(name)) == f"sha256:{digest}"


@pytest.mark.parametrize("name", ["digit", "../splits/digits", ""])
def test_unknown_splits_are_refused_with_the_known_names(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown split .*cifar10-half, digits"):
        load_split(name)


def test_the_hash_tells_splits_apart() -> None:
    splits = [
        split([1, 2], [3], [0]),
        split([2, 1], [3], [0]),  # the order is part of a training
        split([1], [2, 3], [0]),
        split([1, 2], [3], [1]),
        split([1, 2], [3, 0], [0]),
        split([3], [1, 2], [0]),
    ]
    assert len({split_hash(one) for one in splits}) == len(splits)
    narrow = Split(*(part.astype(">i4") for part in splits[0]))
    assert split_hash(narrow) == split_hash(splits[0])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (split([1, 2, 3], [4, 3, 2], [0]), r"3, 3, 1 images, 2 shared"),
        (split([], [1], [0]), r"0, 1, 1 images, 0 shared"),
        (split([1], [], [0]), r"1, 0, 1 images"),
        (split([1], [2], []), r"1, 1, 0 images"),
    ],
)
def test_overlaps_and_empty_parts_are_refused(bad: Split, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        split_hash(bad)


# --- Permutations -------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=4), st.integers(0, 500))
def test_permutations_are_permutations(seed: list[int], n: int) -> None:
    assert sorted(raw_permutation(seed, n).tolist()) == list(range(n))


def test_a_permutation_never_changes() -> None:
    found = raw_permutation([7, 3], 1_000)
    digest = hashlib.sha256(found.astype("<i8").tobytes()).hexdigest()
    assert digest == "160278cb88d645cb32d9c289e687b1a986c6d1a89154881b7488fc8858704447"


def test_permutations_differ_by_seed_and_by_epoch() -> None:
    found = {tuple(raw_permutation([seed, epoch], 50)) for seed in range(5) for epoch in range(5)}
    assert len(found) == 25


def test_permutations_are_uniform_enough() -> None:
    first = [int(raw_permutation([seed], 4)[0]) for seed in range(2_000)]
    assert np.bincount(first, minlength=4) == pytest.approx(
        [500] * 4, abs=90
    )  # over 4.5 deviations
