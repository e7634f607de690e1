"""SMAC3 on a table: random forests, and two evaluations of what looks good.

pip install 'nasbench_tab[smac]'; python examples/smac_search.py
"""

from nasbench_tab import drive

for optimizer in ("smac(trials=40)", "smac(trials=40, deterministic=False)"):
    run = drive(optimizer, "nb201-cifar10", 40, seed=0)
    distinct = len(set(map(tuple, run.architectures.tolist())))
    print(f"{optimizer}: best {run.values.max():.2f} %, {distinct} different cells")
