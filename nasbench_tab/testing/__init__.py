"""Conformance checks for spaces, benchmarks and strategies, yours as well as the shipped ones.

Each function raises AssertionError with the rule that was broken. In a test of your own::

    from nasbench_tab.testing import check_strategy

    def test_my_strategy():
        check_strategy("my_package.my_module:MyStrategy")
        check_sanity("my_package.my_module:MyStrategy")

``check_strategy`` is about the contract; ``check_sanity`` about what a method achieves: nothing where
nothing can be learnt, more than random search where something can (:mod:`nasbench_tab.testing.sanity`);
``check_blind`` about what it can reach: no benchmark and no test value.
"""

from __future__ import annotations

from nasbench_tab.testing.blind import check_blind, reachable
from nasbench_tab.testing.contract import check_benchmark, check_space, check_strategy
from nasbench_tab.testing.made_up import MadeUp
from nasbench_tab.testing.sanity import Sanity, check_sanity, check_shuffled, check_structured

__all__ = [
    "MadeUp",
    "Sanity",
    "check_benchmark",
    "check_blind",
    "check_sanity",
    "check_shuffled",
    "check_space",
    "check_strategy",
    "check_structured",
    "reachable",
]
