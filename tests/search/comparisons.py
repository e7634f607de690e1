"""A small comparison that many tests make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nasbench_tab.search.compare import BLOCK, compare
from nasbench_tab.search.results import Results


def small(out: Path, **options: Any) -> Results:
    """Compare two strategies on one table in 3 blocks each."""
    settings: dict[str, Any] = {"runs": 2 * BLOCK + 5, "budget": 6, "out": out, **options}
    return compare(["nb201-cifar10"], ["random", "evolution"], **settings)
