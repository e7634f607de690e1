"""Rebuild this table from the run logs beside it; new runs are packed into a shard first.

pip install nasbench_tab
python data/nb201-fashion/prepare.py

The runs themselves come from (stop and start it as you like):

nasbench-tab collect nb201-fashion --device cpu --log data/nb201-fashion/logs
"""

from pathlib import Path

from nasbench_tab.importers.packages import rebuild
from nasbench_tab.registry import load_space
from nasbench_tab.train.log import pack
from nasbench_tab.train.tabulate import tabulate

ABOUT = {
    "title": "NAS-Bench-201 cells on Fashion-MNIST, our own trainings with learning curves",
    "licence": "Apache-2.0 (nasbench_tab's own trainings); Fashion-MNIST: MIT, Zalando SE",
    "citation": [
        "Dong and Yang, NAS-Bench-201, ICLR 2020 (the cells)",
        "Xiao, Rasul and Vollgraf, Fashion-MNIST, 2017, arXiv:1708.07747 (the images)",
    ],
    "lacks": ["cells that were not trained yet; see coverage"],
}


def prepare(name: str, directory: Path) -> str:
    """Pack what is new, and make the table of all shards."""
    logs = directory / "logs"
    pack(logs)
    return tabulate([logs], directory, load_space, name, ABOUT, distinct=5260).hash


print(rebuild(prepare, __file__))
