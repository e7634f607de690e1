"""Tests of nasbench_tab.report."""
