"""Tests of nasbench_tab.verify."""
