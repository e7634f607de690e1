"""A log, and what was trained for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nasbench_tab.records import Architecture


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "live.jsonl"


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Architecture, int]]:
    """What was trained, or gone on with."""
    from nasbench_tab.train import live  # here, since tests of logs alone need no PyTorch
    from nasbench_tab.train.loop import Trainer

    found: list[tuple[Architecture, int]] = []

    class Counting(Trainer):
        def __init__(self, arch: Architecture, recipe: Any, data: Any, seed: int) -> None:
            found.append((arch, seed))
            super().__init__(arch, recipe, data, seed)

    monkeypatch.setattr(live, "Trainer", Counting)
    return found
