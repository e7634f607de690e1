"""Comparisons of a user's own strategies, from the current folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nasbench_tab.search.results import load_results

from .conftest import Snapshot

OWN = """
class Sweep:
    '''Proposes cells of one operation, then cells of the next.'''

    def __init__(self, problem, rng, *, step=1):
        self.next, self.step = 0, step

    def ask(self, n):
        from nasbench_tab import Proposal
        self.next += self.step
        return [Proposal((self.next % 5,) * 6)]

    def tell(self, observations):
        pass

def propose(problem, rng, history):
    return problem.space.sample(rng, 1)[0]
"""

COMPARED = """
from nasbench_tab import compare
if __name__ == "__main__":
    strategies = ["random", "mine.own:Sweep", "mine.own:Sweep(step=2)", "mine.own:propose"]
    results = compare(["nb201-cifar10"], strategies, runs=55, budget=5, out="out", jobs={jobs})
    print(results.content_hash())
"""


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()
    (tmp_path / "mine" / "own.py").write_text(OWN, encoding="utf-8")
    return tmp_path


def in_folder(folder: Path, jobs: int) -> subprocess.CompletedProcess[str]:
    (folder / "compared.py").write_text(COMPARED.replace("{jobs}", str(jobs)), encoding="utf-8")
    # -P keeps the folder of the script off sys.path, as for the installed command.
    return subprocess.run(
        [sys.executable, "-P", "compared.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_own_strategies_from_the_current_folder_run_in_processes(own_folder: Path) -> None:
    two = in_folder(own_folder, 2)
    assert two.returncode == 0, two.stderr
    results = load_results(own_folder / "out")
    assert results.strategies[1:] == [
        "mine.own:Sweep", "mine.own:Sweep(step=2)", "mine.own:propose"
    ]  # fmt: skip
    cells = results.trials("nb201-cifar10", "mine.own:Sweep(step=2)").architectures
    assert cells[:5, 0].tolist() == [2, 4, 1, 3, 0]
    shutil.rmtree(own_folder / "out")
    one = in_folder(own_folder, 1)
    assert one.returncode == 0, one.stderr
    assert one.stdout == two.stdout


def test_a_changed_strategy_is_another_experiment(own_folder: Path, snapshot: Snapshot) -> None:
    assert in_folder(own_folder, 1).returncode == 0
    before = snapshot(own_folder / "out")
    own = own_folder / "mine" / "own.py"
    own.write_text(OWN.replace("% 5", "% 4"), encoding="utf-8")
    done = in_folder(own_folder, 1)
    assert "ResultsError" in done.stderr
    assert "source_sha256" in done.stderr
    assert snapshot(own_folder / "out") == before


def test_an_error_in_a_worker_process_arrives_with_its_words(own_folder: Path) -> None:
    own = own_folder / "mine" / "own.py"
    own.write_text(OWN.replace("(self.next % 5,) * 6", "[self.next % 5] * 6"), encoding="utf-8")
    done = in_folder(own_folder, 2)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("nasbench_tab.errors.StrategyError: Strategy 'mine.own:Sweep"), last
    assert "which is no tuple" in last
