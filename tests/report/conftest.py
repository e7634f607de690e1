"""Small tables under a name, strategies that stop early, and comparisons of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.benchmarks.tablefile import Column, Table, Training, write_table
from nasbench_tab.records import Metric, Observation, Problem, Proposal, Protocol
from nasbench_tab.report.card import write_card
from nasbench_tab.search.compare import compare
from nasbench_tab.search.results import Results
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.strategies.base import StrategySpec

from .cards import manifest, sample, undrawn

#: Nobody should ever see this label as markup, neither in HTML nor in LaTeX.
ODD_LABEL = "<b>50% & $x_1$</b> {#^~\\}"

Compared = Callable[..., Results]


class Early:
    """Random search that has nothing more to propose after a random number of cells."""

    def __init__(
        self, problem: Problem, rng: np.random.Generator, least: int = 2, most: int = 9
    ) -> None:
        self._space, self._rng = problem.space, rng
        self._left = int(rng.integers(least, most))

    def ask(self, n: int) -> list[Proposal]:
        n = min(n, self._left)
        self._left -= n
        return [Proposal(cell) for cell in self._space.sample(self._rng, n)]

    def tell(self, observations: Sequence[Observation]) -> None:
        pass


def early(label: str = "early", least: int = 2, most: int = 9) -> StrategySpec:
    return StrategySpec(label, Early, {"least": least, "most": most})


def small_table(name: str, *, times: bool, direction: str = "max", unit: str = "%") -> Table:
    """Return 40 cells of NAS-Bench-201 with three seeds and, without times, a test metric."""
    rng = np.random.default_rng(3)
    cells = np.array(sorted(set(NasBench201().sample(rng, 40))), np.uint8)
    n = len(cells)
    quality = 60 + 30 * rng.random((n, 1, 1)) + rng.normal(size=(n, 3, 1))
    scale = 1.0 if unit == "%" else 0.01
    metric = Metric("valid_quality", "valid", direction, unit)  # type: ignore[arg-type]
    columns = {"valid_quality": Column(metric, quality * scale)}
    if times:
        seconds = np.broadcast_to(100 + 900 * rng.random((n, 1, 1)), quality.shape)
        columns["train_seconds"] = Column(Metric("train_seconds", "none", "min", "s"), seconds)
    else:
        test = quality * scale + rng.normal(size=quality.shape) * scale
        columns["test_quality"] = Column(metric._replace(name="test_quality", split="test"), test)
    training = Training(
        dataset="made up",
        objective="valid_quality",
        epochs_kind="separate trainings",
        seconds_kind="measured" if times else "none",
        seeds=(1, 2, 3),
        epochs=(5,),
        columns=columns,
    )
    return Table(name, "nasbench201", False, cells, {"standard": training}, "standard", {})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put ``small`` (with times) and ``small-errors`` (fractions, less is better, tests) at hand."""
    folder = tmp_path / "home"
    about: dict[str, Any] = {"title": "made up", "lacks": ["truth"], "protocol": "none at all"}
    for table in (
        small_table("small", times=True),
        small_table("small-errors", times=False, direction="min", unit="fraction"),
    ):
        write_table(folder / "data" / table.name, table, about)
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(folder))
    return folder


@pytest.fixture
def compared(home: Path, tmp_path: Path) -> Compared:
    """Return a function that compares on the small tables; names, runs and switches as wanted."""

    def run(
        strategies: Sequence[str | StrategySpec] = ("random", "evolution(population=5)"),
        benchmarks: Sequence[str] = ("small",),
        runs: int = 24,
        **switches: Any,
    ) -> Results:
        switches = {"evaluations": 15, "missing": "masked", **switches}
        number = sum(path.name.startswith("out") for path in tmp_path.iterdir())
        return compare(
            list(benchmarks),
            list(strategies),
            runs=runs,
            protocol=Protocol(**switches),
            out=tmp_path / f"out{number}",
        )

    return run


@pytest.fixture
def plain_charts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return undrawn(monkeypatch)


@pytest.fixture(scope="session")
def card_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one page with all its charts, for the tests that only look at it."""
    return write_card(tmp_path_factory.mktemp("card"), manifest(), sample())
