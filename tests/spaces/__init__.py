"""Tests of nasbench_tab.spaces."""
