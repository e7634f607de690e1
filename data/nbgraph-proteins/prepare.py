"""Rebuild this table from the public package it comes from.

pip install nasbench_tab nas-bench-graph==1.4.0
python data/nbgraph-proteins/prepare.py
"""

from nasbench_tab.importers.nas_bench_graph import prepare
from nasbench_tab.importers.packages import rebuild

print(rebuild(prepare, __file__))
