r"""Your own method in twenty lines: simulated annealing as a class with ask and tell.

nasbench-tab compare nb201-cifar10 --strategies random,examples.own_strategy:Annealing \
    --runs 100 --budget 100 --out out/own
"""

import math

from nasbench_tab import Proposal


class Annealing:
    def __init__(self, problem, rng, *, start=1.0, cooling=0.97):
        self.space, self.rng, self.temperature, self.cooling = problem.space, rng, start, cooling
        self.current, self.score = self.space.sample(rng, 1)[0], -math.inf

    def ask(self, n):
        if self.score == -math.inf:
            return [Proposal(cell) for cell in self.space.sample(self.rng, n)]
        return [Proposal(self.space.mutate(self.current, self.rng.random())) for _ in range(n)]

    def tell(self, observations):
        for seen in observations:
            worse = self.score - seen.score
            if worse <= 0 or self.rng.random() < math.exp(-worse / self.temperature):
                self.current, self.score = seen.architecture, seen.score
            self.temperature *= self.cooling


def neighbor_of_best(problem, rng, history):
    """The same as a plain function: mutate the best cell seen so far."""
    if len(history) < 10:
        return problem.space.sample(rng, 1)[0]
    best = max(history, key=lambda seen: seen.score)
    return problem.space.mutate(best.architecture, rng.random())
