"""Syne Tune's regularized evolution on a table.

pip install nasbench_tab syne-tune; python examples/syne_tune_search.py
"""

import datetime as dt

from syne_tune.backend.trial_status import Trial as SyneTrial
from syne_tune.config_space import choice
from syne_tune.optimizer.baselines import REA

from nasbench_tab import drive
from nasbench_tab.adapters.base import Adapter, Trial


class SyneTune(Adapter):
    def __init__(self, problem, rng):
        super().__init__(problem, rng)
        space = {name: choice(list(names)) for name, names in self.options.items()}
        with self.at_work():
            self.scheduler = REA(
                space,
                "score",
                do_minimize=False,
                random_seed=self.seed,
                population_size=10,
                sample_size=3,
            )
        self.count = 0

    def next_trial(self):
        config = self.scheduler.suggest().config
        token = SyneTrial(self.count, config, dt.datetime.now())
        self.count += 1
        self.scheduler.on_trial_add(token)
        return Trial(self.cell_of(config), token)

    def observed(self, trial, score, seconds):
        self.scheduler.on_trial_complete(trial.token, {"score": score})


run = drive(SyneTune, "nb201-cifar10", 100)
print(len(run.values), round(run.values.max(), 2))
