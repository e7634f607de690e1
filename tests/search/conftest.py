"""Fixtures for comparisons: toy tables under a name, and what a directory holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from nasbench_tab.benchmarks.tablefile import write_table

from .toys import curves_table

Snapshot = Callable[[Path], dict[str, str]]


@pytest.fixture
def toy_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put ``toy-curves`` (greater is better) and ``toy-errors`` (less is better) into the user's folder."""
    home = tmp_path / "home"
    for table in (curves_table("toy-curves", "max"), curves_table("toy-errors", "min")):
        write_table(home / "data" / table.name, table, {"title": table.name})
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(home))
    return home


@pytest.fixture
def snapshot() -> Snapshot:
    """Return the function from a directory to {path below it: hash of its contents}."""

    def taken(directory: Path) -> dict[str, str]:
        return {
            str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
            if path.is_file()
            else "directory"
            for path in sorted(directory.rglob("*"))
        }

    return taken
