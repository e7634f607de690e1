"""Tests of nasbench_tab.benchmarks."""
