"""One table of made-up runs and one comparison on it, shared by all tests of this folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nasbench_tab.train.tasks import TASKS

from .tiny import TASK, make_comparison, make_table, write_log


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with the table ``mine`` and its comparison ``compared``."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_TAB_HOME", str(folder))
        make_table(folder, "mine", write_log(folder / "mine.jsonl"))
        make_comparison(folder / "compared")
    return folder


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(home))
    monkeypatch.setitem(TASKS, "tiny", TASK)


@pytest.fixture
def compared(home: Path, tmp_path: Path) -> Path:
    """The comparison, to be written to."""
    return Path(shutil.copytree(home / "compared", tmp_path / "compared"))
