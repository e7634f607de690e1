"""Tests of nasbench_tab.importers."""
