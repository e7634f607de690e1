"""Same seed, same run, release after release: every shipped strategy, and evolution under every preset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nasbench_tab.records import Observation
from nasbench_tab.registry import load_strategy
from nasbench_tab.search import run as run_module
from nasbench_tab.search.presets import PRESETS

from .renew import EVALUATIONS, FOLDER, ROUNDED, golden, golden_preset, shipped

ADVICE = (
    "If the change is meant, renew the file with `python tests/golden/renew.py` and say in "
    "CHANGELOG why results of the same seed differ from now on."
)


def unchanged(path: Path, text: str, who: str, length: int = EVALUATIONS) -> None:
    assert path.is_file(), f"{who} has no golden file. {ADVICE}"
    expected, got = path.read_text(encoding="utf-8").splitlines(), text.splitlines()
    assert sum(not line.startswith("#") for line in got) == length
    same = [a == b for a, b in zip(expected, got, strict=False)]
    first = same.index(False) if False in same else len(same)
    assert got == expected, (
        f"{who} no longer makes the same run from line {first + 1} on: "
        f"expected {expected[first : first + 1]}, got {got[first : first + 1]}. {ADVICE}"
    )


@pytest.mark.parametrize("strategy", shipped())
def test_the_first_evaluations_are_as_they_were(strategy: str) -> None:
    length = ROUNDED.get(strategy, EVALUATIONS)
    unchanged(FOLDER / f"{strategy}.txt", golden(strategy), strategy, length)


@pytest.mark.parametrize("strategy", ROUNDED)
@pytest.mark.parametrize("off", [1e-7, -1e-7])
def test_a_golden_file_does_not_hang_on_the_last_bits(
    strategy: str, off: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What another processor's rounding does inside a model, done to what goes in, a million times as much.
    factory: Any = load_strategy(strategy)
    tell = factory.tell

    def blurred(self: Any, observations: Sequence[Observation]) -> None:
        for seen in observations:
            error = off if sum(seen.architecture) % 2 else -off
            tell(self, [seen._replace(score=seen.score * (1 + error))])

    monkeypatch.setattr(factory, "tell", blurred)
    unchanged(FOLDER / f"{strategy}.txt", golden(strategy), strategy, ROUNDED[strategy])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_published_protocol_means_what_it_meant(preset: str) -> None:
    unchanged(FOLDER / "presets" / f"{preset}.txt", golden_preset(preset), preset)


def test_time_that_is_measured_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    # The same file on a machine on which the strategy takes a second for every ask and tell.
    looks = iter(range(10**6))
    slow = SimpleNamespace(process_time=lambda: float(next(looks)))
    assert PRESETS["nb201-2020"].protocol.overhead == "measured"
    expected = golden_preset("nb201-2020")
    monkeypatch.setattr(run_module, "time", slow)
    assert golden_preset("nb201-2020") == expected


def test_every_golden_file_belongs_to_a_strategy_or_a_preset() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(shipped())
    assert {path.stem for path in (FOLDER / "presets").glob("*.txt")} == set(PRESETS)
