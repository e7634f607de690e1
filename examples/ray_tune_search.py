"""A searcher of Ray Tune on a table; no cluster is started.

pip install nasbench_tab "ray[tune]" optuna; python examples/ray_tune_search.py
"""

from ray import tune
from ray.tune.search.optuna import OptunaSearch

from nasbench_tab import drive
from nasbench_tab.adapters.base import Adapter, Trial


class RayTune(Adapter):
    log = "optuna"

    def __init__(self, problem, rng):
        super().__init__(problem, rng)
        space = {name: tune.choice(list(names)) for name, names in self.options.items()}
        with self.at_work():
            space = OptunaSearch.convert_search_space(space)
            self.searcher = OptunaSearch(space, metric="score", mode="max", seed=self.seed)
        self.count = 0

    def next_trial(self):
        self.count += 1
        config = self.searcher.suggest(str(self.count))
        return None if config is None else Trial(self.cell_of(config), str(self.count))

    def observed(self, trial, score, seconds):
        self.searcher.on_trial_complete(trial.token, {"score": score})


run = drive(RayTune, "nb201-cifar10", 100)
print(len(run.values), round(run.values.max(), 2))
