"""Which image is trained, validated and tested on: fixed index files with hashes.

A split is a file ``splits/<name>.npz`` with three integer arrays: ``train`` and ``valid`` number the
dataset's training images, ``test`` its test images. Index files, and not a seed, since no random
generator promises the same permutation for ever.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError, unknown_name

__all__ = ["Split", "load_split", "raw_permutation", "split_hash", "split_names"]

_FOLDER = Path(__file__).parent / "splits"


class Split(NamedTuple):
    """Image numbers, each ``(n,)`` int64; ``train`` and ``valid`` share no image."""

    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]


def split_names() -> list[str]:
    """Return the names of the shipped splits."""
    return sorted(path.stem for path in _FOLDER.glob("*.npz"))


def load_split(name: str) -> Split:
    """Return a shipped split.

    Raises:
        UnknownNameError: There is none of this name.
    """
    if name not in split_names():
        raise unknown_name("split", name, split_names())
    with np.load(_FOLDER / f"{name}.npz", allow_pickle=False) as file:
        return Split(*(file[part].astype(np.int64) for part in Split._fields))


def split_hash(split: Split) -> str:
    """Return ``"sha256:..."`` over the three lists of image numbers.

    Raises:
        InvalidArgumentError: Train and valid share an image, or a part is empty.
    """
    shared = np.intersect1d(split.train, split.valid).size
    if shared or not all(len(part) for part in split):
        raise InvalidArgumentError(
            f"A split needs images in all three parts and none in both train and valid; got "
            f"{len(split.train)}, {len(split.valid)}, {len(split.test)} images, {shared} shared."
        )
    digest = hashlib.sha256()
    for part in split:
        digest.update(f"{len(part)}:".encode() + part.astype("<i8").tobytes())
    return f"sha256:{digest.hexdigest()}"


def raw_permutation(seed: list[int], n: int) -> NDArray[np.int64]:
    """Return a permutation of ``range(n)`` that stays the same in every NumPy version.

    It comes from the raw output of the bit generator, which NumPy promises never to change; what
    ``Generator.permutation`` makes of it may change.
    """
    raw = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(n)
    return np.argsort(raw, kind="stable")
