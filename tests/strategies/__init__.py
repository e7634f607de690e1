"""Tests of nasbench_tab.strategies."""
