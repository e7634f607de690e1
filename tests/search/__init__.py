"""Tests of nasbench_tab.search."""
