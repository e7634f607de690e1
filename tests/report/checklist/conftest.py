"""Comparisons that the boxes are decided on: made once, spoiled in copies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nasbench_tab.records import Protocol
from nasbench_tab.search.ablate import ablate
from nasbench_tab.search.compare import compare

from .checked import CIFAR, FASHION


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A default comparison on a shipped table."""
    out = tmp_path_factory.mktemp("plain") / "out"
    compare([CIFAR], ["random", "evolution"], runs=5, budget=12, out=out)
    return out


@pytest.fixture(scope="session")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One on our own trainings, whose seeds and validation times are known."""
    out = tmp_path_factory.mktemp("fashion") / "out"
    protocol = Protocol(evaluations=8, missing="masked")
    compare([FASHION], ["random", "evolution"], runs=5, protocol=protocol, out=out)
    return out


@pytest.fixture(scope="session")
def ablated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ablation of a setting and of a switch of the protocol."""
    out = tmp_path_factory.mktemp("ablated") / "out"
    ablate(
        "evolution",
        {"population": [3]},
        [CIFAR],
        runs=5,
        budget=6,
        out=out,
        protocol_switches={"repeats": ["reuse"]},
    )
    return out


@pytest.fixture
def copied(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "copy"))
