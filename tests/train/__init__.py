"""Tests of nasbench_tab.train."""
