"""Benchmarks to ask: NAS-Bench-201 on CIFAR-10, and a small table with gaps."""

from __future__ import annotations

import pytest

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.tablefile import Table

from .tables import fresh, nb201


@pytest.fixture
def bench() -> Benchmark:
    return nb201()


@pytest.fixture
def small(synthetic: Table) -> Benchmark:
    return fresh(synthetic)
