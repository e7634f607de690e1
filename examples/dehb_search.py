"""DEHB on learning curves: fractional fidelities are rounded down to measured epochs.

pip install nasbench_tab dehb ConfigSpace; python examples/dehb_search.py
"""

import tempfile

from dehb import DEHB

from nasbench_tab import drive
from nasbench_tab.adapters.base import Adapter, Trial
from nasbench_tab.adapters.configspace import from_configuration, to_configspace


class Dehb(Adapter):
    def __init__(self, problem, rng):
        super().__init__(problem, rng)
        space = to_configspace(problem.space, problem.epochs, seed=self.seed)
        with self.at_work():
            self.dehb = DEHB(
                cs=space,
                f=None,
                min_fidelity=1,
                max_fidelity=problem.epochs[-1],
                n_workers=1,
                seed=self.seed,
                output_path=tempfile.mkdtemp(),
                save_freq="end",
                log_level="ERROR",
            )

    def next_trial(self):
        job = self.dehb.ask()
        return Trial(from_configuration(job["config"]), job, job["fidelity"])

    def observed(self, trial, score, seconds):
        self.dehb.tell(trial.token, {"fitness": -score, "cost": seconds})


run = drive(Dehb, "nb201-fashion", 60, missing="masked", incumbent="full-training")
print(len(run.values), sorted(set(run.epochs.tolist())), round(run.values.max(), 2))
