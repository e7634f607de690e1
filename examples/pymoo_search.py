"""pymoo on a table: a genetic algorithm, with four simulated workers and a limit on parameters.

pip install 'nasbench_tab[pymoo]'; python examples/pymoo_search.py
"""

from nasbench_tab import drive

for optimizer in ("pymoo", "pymoo(algorithm='NSGA2', population=12)"):
    run = drive(optimizer, "nb201-cifar10", 60, workers=4, limits=(("parameters", 0.8),))
    print(f"{optimizer}: best {run.values.max():.2f} %; {run.free} cells were too large")
