"""Optuna on a table: its default sampler, another one by name, and one of your own making.

pip install 'nasbench_tab[optuna]'; python examples/optuna_search.py
"""

from nasbench_tab import drive
from nasbench_tab.adapters.optuna import OptunaSearch


class Multivariate(OptunaSearch):
    def make_sampler(self, seed):
        from optuna.samplers import TPESampler

        return TPESampler(seed=seed, multivariate=True, n_startup_trials=20)


for optimizer in ("optuna", "optuna(sampler='NSGAIISampler')", Multivariate):
    run = drive(optimizer, "nb201-cifar10", 60, seed=0)
    print(f"{optimizer}: best of {len(run.values)} evaluations {run.values.max():.2f} %")

# A pruner needs a benchmark with learning curves; promoted cells pay for their new epochs only.
switches = {"missing": "masked", "resume": "continue", "incumbent": "full-training"}
run = drive("optuna(pruner='MedianPruner')", "nb201-fashion", "20s", repeats="reuse", **switches)
print(f"with a pruner: epochs {sorted(set(run.epochs.tolist()))}, {run.seconds[-1]:.0f} s")
