"""Deciding a box of a directory, and changing what the directory says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nasbench_tab.report.boxes import Box
from nasbench_tab.report.checklist import checklist
from nasbench_tab.search.results import Results, load_results

Change = Callable[[dict[str, Any]], object]
CIFAR, FASHION = "nb201-cifar10", "nb201-fashion"


def box(directory: Path | Results, key: str) -> Box:
    results = directory if isinstance(directory, Results) else load_results(directory)
    return next(found for found in checklist(results) if found.key == key)


def manifest(directory: Path, change: Change) -> None:
    path = directory / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def experiment(directory: Path, change: Change) -> None:
    manifest(directory, lambda data: change(data["experiment"]))


def shard(directory: Path, change: Change, label: str = "evolution") -> None:
    path = next((directory / "runs").glob(f"*/{label}/*.npz"))
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)


def expect(directory: Path | Results, key: str, verdict: str, *words: str) -> None:
    found = box(directory, key)
    assert (found.verdict, found.by) == (verdict, "results"), found.evidence
    for word in words:
        assert word in found.evidence
