"""nasbench_tab: tabular and surrogate benchmarks for neural architecture search.

    >>> import nasbench_tab as nbt
    >>> bench = nbt.load("nb201-cifar10")
    >>> round(bench.query(11), 3)
    87.94

Public names are imported when they are first used, so that ``import nasbench_tab`` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasbench_tab.adapters.drive import drive as drive
    from nasbench_tab.errors import NasbenchTabError as NasbenchTabError
    from nasbench_tab.records import CostedProposal as CostedProposal
    from nasbench_tab.records import Observation as Observation
    from nasbench_tab.records import Problem as Problem
    from nasbench_tab.records import Proposal as Proposal
    from nasbench_tab.records import Protocol as Protocol
    from nasbench_tab.registry import load as load
    from nasbench_tab.registry import load_space as load_space
    from nasbench_tab.report.page import write_report as write_report
    from nasbench_tab.search.compare import compare as compare
    from nasbench_tab.search.results import load_results as load_results
    from nasbench_tab.search.run import run_search as run_search

__version__ = "0.1.0"

_HOME = {
    "drive": "nasbench_tab.adapters.drive",
    "NasbenchTabError": "nasbench_tab.errors",
    "CostedProposal": "nasbench_tab.records",
    "Observation": "nasbench_tab.records",
    "Problem": "nasbench_tab.records",
    "Proposal": "nasbench_tab.records",
    "Protocol": "nasbench_tab.records",
    "compare": "nasbench_tab.search.compare",
    "load": "nasbench_tab.registry",
    "load_results": "nasbench_tab.search.results",
    "load_space": "nasbench_tab.registry",
    "run_search": "nasbench_tab.search.run",
    "write_report": "nasbench_tab.report.page",
}

__all__ = [  # noqa: PLE0604 - the names are the keys above
    *_HOME,
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
