"""A search program of its own that knows nothing of nasbench_tab: JSON lines in, JSON lines out.

nasbench-tab compare nb201-cifar10 --runs 20 --budget 100 --out out/external \
    --strategies 'random,external(command="python examples/external_process.py")'

It climbs: of the best cell so far, change one position. Any language will do; this one needs only
Python's standard library.
"""

import json
import random
import sys


def main():
    best, best_score = None, float("-inf")
    for line in sys.stdin:
        message = json.loads(line)
        if "start" in message:
            problem = message["start"]
            options = [len(names) for names in problem["positions"].values()]
            rng = random.Random(problem["seed"])
        elif "ask" in message:
            proposals = []
            for _ in range(message["ask"]):
                cell = [rng.randrange(n) for n in options] if best is None else list(best)
                place = rng.randrange(len(cell))
                cell[place] = rng.randrange(options[place])
                proposals.append({"cell": cell})
            print(json.dumps({"proposals": proposals}), flush=True)
        else:
            for seen in message["tell"]:
                if seen["score"] is not None and seen["score"] >= best_score:
                    best, best_score = seen["cell"], seen["score"]


if __name__ == "__main__":
    main()
