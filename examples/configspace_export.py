"""A search space for tools that speak ConfigSpace, and their configurations back as cells.

pip install 'nasbench_tab[configspace]'; python examples/configspace_export.py
"""

import nasbench_tab as nbt
from nasbench_tab.adapters.configspace import from_configuration, to_configspace

bench = nbt.load("nb201-cifar10")
space = to_configspace(bench.space, bench.epochs, seed=0)
configuration = space.sample_configuration()
print(dict(configuration))
print(bench.query(from_configuration(configuration)), space.meta["epochs"])
