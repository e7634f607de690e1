"""Nevergrad on a table: two of its optimizers beside random search.

pip install 'nasbench_tab[nevergrad]'; python examples/nevergrad_search.py
"""

from nasbench_tab import drive

for optimizer in ("random", "nevergrad(optimizer='DiscreteOnePlusOne')", "nevergrad(budget=40)"):
    run = drive(optimizer, "nb201-cifar10", 40, seed=0)
    print(f"{optimizer}: best of {len(run.values)} evaluations {run.values.max():.2f} %")
