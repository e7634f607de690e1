"""Tests of nasbench_tab.adapters."""
