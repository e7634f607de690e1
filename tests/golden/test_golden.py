"""Same seed, same run, release after release: the first 60 evaluations of every shipped strategy."""

from __future__ import annotations

import pytest

from .renew import FOLDER, golden, shipped

ADVICE = (
    "If the change is meant, renew the file with `python tests/golden/renew.py` and say in "
    "CHANGELOG why results of the same seed differ from now on."
)


@pytest.mark.parametrize("strategy", shipped())
def test_the_first_evaluations_are_as_they_were(strategy: str) -> None:
    path = FOLDER / f"{strategy}.txt"
    assert path.is_file(), f"{strategy} has no golden file. {ADVICE}"
    expected = path.read_text(encoding="utf-8").splitlines()
    got = golden(strategy).splitlines()
    assert len(got) == 62
    same = [a == b for a, b in zip(expected, got, strict=False)]
    first = same.index(False) if False in same else len(same)
    assert got == expected, (
        f"{strategy} no longer makes the same run from evaluation {first - 1} on: "
        f"expected {expected[first : first + 1]}, got {got[first : first + 1]}. {ADVICE}"
    )


def test_every_golden_file_belongs_to_a_strategy() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(shipped())
