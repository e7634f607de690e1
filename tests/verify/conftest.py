"""A table of made-up runs, a surrogate and comparisons on them, shared by all tests of this folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.registry import fingerprint, load
from nasbench_tab.search.compare import compare
from nasbench_tab.train.tasks import TASKS
from nasbench_tab.verify import make
from nasbench_tab.verify.plan import write_plan

from .tiny import TASK, make_comparison, make_guess, make_table, write_log

_LOADED: dict[tuple[Any, ...], Benchmark] = {}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with the table ``mine`` and its comparison ``compared``."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_TAB_HOME", str(folder))
        make_table(folder, "mine", write_log(folder / "mine.jsonl"))
        make_comparison(folder / "compared")
    return folder


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another: comparisons on a table, drawn and by means, and on a surrogate, each with its plan."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "tiny", TASK)
        patch.setenv("NASBENCH_TAB_HOME", str(folder))
        log = write_log(folder / "log.jsonl")
        make_table(folder, "mine", log)
        make_guess(folder, "guess", log)
        make_comparison(folder / "table", "mine", protocol={"seeds": "random"})
        make_comparison(folder / "means", "mine", protocol={"seeds": "mean"})
        make_comparison(folder / "surrogate", "guess", protocol={"evaluations": 12})
        for name in ("table", "means", "surrogate"):
            write_plan(folder / name, make.make_plan(folder / name, top=7, margin=1.0))
    return folder


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison on a published table; to be read only."""
    out = tmp_path_factory.mktemp("published") / "x"
    compare(["nb201-cifar10"], ["random"], runs=3, budget=5, out=out)
    return out


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(home))
    monkeypatch.setitem(TASKS, "tiny", TASK)


@pytest.fixture(autouse=True)
def _load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Benchmarks are pure, so one of the same content will do; to list a table's cells takes a while."""

    def load_once(name: str, training: str | None = None) -> Benchmark:
        key = (os.environ["NASBENCH_TAB_HOME"], name, training, fingerprint(name))
        if key not in _LOADED:
            _LOADED[key] = load(name, training=training)
        return _LOADED[key]

    monkeypatch.setattr(make, "load", load_once)


@pytest.fixture
def compared(home: Path, tmp_path: Path) -> Path:
    """The comparison, to be written to."""
    return Path(shutil.copytree(home / "compared", tmp_path / "compared"))
