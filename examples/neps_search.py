"""NePS on a table: its random search, which takes no seed.

pip install nasbench_tab torch neural-pipeline-search ConfigSpace; python examples/neps_search.py
"""

from neps.optimizers import load_optimizer
from neps.optimizers.ask_and_tell import AskAndTell
from neps.space.parsing import convert_to_space

from nasbench_tab import drive
from nasbench_tab.adapters.base import Adapter, Trial
from nasbench_tab.adapters.configspace import to_configspace


class Neps(Adapter):
    def __init__(self, problem, rng):
        super().__init__(problem, rng)
        with self.at_work():
            space = convert_to_space(to_configspace(problem.space, seed=self.seed))
            self.neps = AskAndTell(load_optimizer("random_search", space)[0])

    def next_trial(self):
        trial = self.neps.ask()
        return Trial(self.cell_of(trial.config), trial)

    def observed(self, trial, score, seconds):
        self.neps.tell(trial.token, {"objective_to_minimize": -score, "cost": seconds})


run = drive(Neps, "nb201-cifar10", 20)
print(len(run.values), round(run.values.max(), 2))
