"""One simulated search: workers that die."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import InvalidArgumentError, ResultsError
from nasbench_tab.records import Observation, Protocol, Run
from nasbench_tab.search.clocks import run_clocks
from nasbench_tab.search.compare import compare
from nasbench_tab.search.experiment import parse_experiment, read_experiment
from nasbench_tab.search.ledger import ledger, ledger_rows
from nasbench_tab.search.randomness import death_draw
from nasbench_tab.search.replay import replay
from nasbench_tab.search.results import load_results
from nasbench_tab.search.run import run_search

from .toys import CELLS, Log, curves, noisy_bench, same_run, scripted, timed, toy_bench

INFINITE = float("inf")


class Stubborn:
    """Proposes 24 cells at ``epoch`` in turn, and what failed again at once."""

    def __init__(self, problem: Any, rng: np.random.Generator, *, epoch: int | None = None) -> None:
        self.epoch, self.left = epoch, [(cell, epoch) for cell in problem.space.cells[::-1]]
        self.told: list[Observation] = []
        Stubborn.last = self

    last: Stubborn

    def ask(self, n: int) -> list[Any]:
        from nasbench_tab.records import Proposal

        return [Proposal(*self.left.pop()) for _ in range(min(n, len(self.left)))]

    def tell(self, observations: Any) -> None:
        self.told += observations
        self.left += [(o.architecture, o.epoch) for o in observations if o.status == "failed"]


def dying(failures: float | None, **options: Any) -> Protocol:
    return Protocol(**{"evaluations": 24, **options}, failures=failures)


# The law.


def test_deaths_follow_the_exponential_law() -> None:
    """A full training dies with the probability given, half of one with that of half a training."""
    for share in (1.0, 0.5, 0.2):
        draw = death_draw(0, "x", 0, 0.3)
        assert draw is not None
        parts = [draw(share) for _ in range(20_000)]
        died = np.array([part for part in parts if part is not None])
        expected = 1 - 0.7**share
        assert abs(len(died) / len(parts) - expected) < 4 * math.sqrt(expected / len(parts))
        # Given that it dies, the rate is the same at all times: the median is where half of it is over.
        median = math.log(1 - expected / 2) / (share * math.log(0.7))
        assert abs(np.mean(died < median) - 0.5) < 4 * 0.5 / math.sqrt(len(died))
        assert ((died > 0) & (died < 1)).all()


def test_deaths_are_the_same_for_every_strategy_and_different_in_every_run() -> None:
    draws = [death_draw(seed, name, run, 0.5) for seed, name, run in ((0, "a", 0), (0, "a", 0))]
    others = [death_draw(seed, name, run, 0.5) for seed, name, run in
              ((1, "a", 0), (0, "b", 0), (0, "a", 1))]  # fmt: skip
    first, again, *rest = ([draw(1.0) for _ in range(30)] for draw in [*draws, *others] if draw)
    assert first == again
    assert all(first != other for other in rest)
    assert death_draw(0, "a", 0, 0.0) is None


# The clock and the budget.


@pytest.mark.parametrize("workers", [1, 3])
def test_without_failures_nothing_changes(workers: int) -> None:
    bench = noisy_bench(seconds=7.0)
    plain = run_search("evolution", bench, Protocol(evaluations=40, workers=workers))
    again = run_search("evolution", bench, dying(0.0, evaluations=40, workers=workers))
    assert same_run(plain, again)
    assert (plain.died, plain.lost) == (0, 0.0)
    assert math.isnan(plain.last_died)


def test_what_a_dead_worker_did_is_on_the_clock_and_no_evaluation() -> None:
    run = run_search(Stubborn, timed([10.0] * 24), dying(0.6))
    told = Stubborn.last.told
    failed = [o for o in told if o.status == "failed"]
    assert len(run.values) == 24
    assert run.died == len(failed) > 10
    assert {o.score for o in failed} == {-INFINITE}
    assert all(0 < o.seconds < 10 for o in failed)
    assert run.lost == pytest.approx(sum(o.seconds for o in failed))
    assert run.seconds == pytest.approx(np.cumsum([o.seconds for o in told])[
        [o.status == "ok" for o in told]])  # fmt: skip
    last = max(i for i, o in enumerate(told) if o.status == "failed")
    assert run.last_died == pytest.approx(sum(o.seconds for o in told[: last + 1]))


def test_several_workers_lose_no_proposal_and_keep_their_number() -> None:
    run = run_search(Stubborn, timed([10.0] * 24), dying(0.6, workers=4))
    told = Stubborn.last.told
    assert Counter(o.architecture for o in told if o.status == "ok") == Counter(CELLS)
    # Work of four workers: none of them stands idle until the last three have nothing left.
    assert run.seconds[-1] < (240 + run.lost) / 4 + 30


def test_a_budget_in_seconds_holds_with_deaths_in_it() -> None:
    run = run_search(Stubborn, timed([10.0] * 24), Protocol(seconds=100.0, failures=0.5))
    begun = [0.0, *np.cumsum([o.seconds for o in Stubborn.last.told])]
    assert begun[-2] < 100 <= begun[-1]  # the last began within the budget
    assert run.stop == "budget"
    dropped = run_search(
        Stubborn, timed([10.0] * 24), Protocol(seconds=100.0, failures=0.5, overshoot="drop")
    )
    assert max(dropped.seconds[-1], dropped.last_died) <= 100
    assert all(a <= b for a, b in ((dropped.died, run.died), (dropped.lost, run.lost)))


def test_without_times_failures_cost_nothing_but_are_counted() -> None:
    run = run_search(Stubborn, toy_bench(np.arange(24.0)), dying(0.6))
    assert len(run.values) == 24
    assert run.died > 10
    assert math.isnan(run.lost)
    assert math.isnan(run.last_died)
    assert np.isnan(run.seconds).all()


def test_a_strategy_that_gives_up_is_exhausted() -> None:
    run = run_search(scripted(CELLS, log := Log()), timed([1.0] * 24), dying(0.6))
    assert (run.stop, len(run.values) + run.died) == ("exhausted", 24)
    assert Counter(o.status for o in log.told) == {"ok": len(run.values), "failed": run.died}


@pytest.mark.parametrize("failures", [-0.1, 1, 0.995, math.nan, True, "0.1"])
def test_what_is_no_probability_is_refused(failures: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"failures must be .* at most 0\.99"):
        run_search("random", toy_bench(np.arange(24.0)), dying(failures))


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers_are_refused(workers: int) -> None:
    with pytest.raises(InvalidArgumentError, match="workers"):
        run_search("random", toy_bench(np.arange(24.0)), dying(0.5, workers=workers))


# Repeats, continued trainings.


def test_what_failed_is_the_same_training_when_it_is_asked_for_again() -> None:
    """It had the first of its cell's seeds; under every rule it has it again."""
    bench = noisy_bench(seconds=1.0)
    safe = dict(zip(CELLS, run_search(Stubborn, bench, dying(0.0)).values, strict=True))
    for repeats in ("pay", "reuse", "forbid"):
        run = run_search(Stubborn, bench, dying(0.7, repeats=repeats))
        assert run.died > 0
        assert run.free == 0
        cells = map(tuple, run.architectures.tolist())
        assert dict(zip(cells, run.values, strict=True)) == safe


def test_a_repeat_does_not_come_back_before_its_training_ended() -> None:
    """The cell fails, is asked for again, and once more: a repeat, which waits for the second."""
    same = [CELLS[0]] * 40
    bench = timed([100.0])
    for run_number in range(30):
        run = run_search(scripted(same, log := Log()), bench,
                         dying(0.5, workers=3, repeats="reuse"), run=run_number)  # fmt: skip
        statuses = [o.status for o in log.told]
        assert len(run.values) == 1
        assert statuses.index("ok") < statuses.index("repeat")


def test_a_continued_training_is_where_it_was_before() -> None:
    """A hundred deaths do not move what the next stretch costs, and shares decide how many there are."""
    bench, died = curves(), Counter[int]()

    class Stepwise(Stubborn):
        def __init__(self, problem: Any, rng: np.random.Generator) -> None:
            self.left = [
                (cell, epoch) for cell in problem.space.sample(rng, 12) for epoch in (9, 3, 1)
            ]
            self.told = []
            Stepwise.last = self

    protocol = Protocol(evaluations=36, resume="continue", missing="masked", failures=0.9)
    for number in range(20):
        run_search(Stepwise, bench, protocol, run=number)
        told = Stepwise.last.told
        died += Counter(o.epoch for o in told if o.status == "failed")
        each: dict[Any, float] = {}
        for one in told:
            if one.status == "ok":
                each[one.architecture, one.epoch] = one.seconds
        for (cell, epoch), seconds in each.items():
            whole = {e: bench.lookup(cell, epoch=e).seconds for e in (1, 3, 9)}  # of any seed
            assert seconds == pytest.approx(whole[epoch] - {1: 0, 3: whole[1], 9: whole[3]}[epoch])
    shares = {1: 1 / 9, 3: 2 / 9, 9: 6 / 9}
    for epoch, share in shares.items():
        alive = 0.1**share  # failures before a success: geometric
        mean, spread = (1 - alive) / alive, math.sqrt(1 - alive) / alive
        assert abs(died[epoch] / 240 - mean) < 4 * spread / math.sqrt(240)


# Results.


def compared(out: Path, **options: Any) -> Any:
    protocol = Protocol(**{"evaluations": 12, "failures": 0.4, "workers": 2, **options})
    return compare(["nb201-cifar10"], ["random", "evolution"], runs=6, protocol=protocol, out=out,
                   jobs=1)  # fmt: skip


def test_results_keep_and_replay_what_failed(tmp_path: Path) -> None:
    results = compared(tmp_path / "out")
    assert results.manifest["experiment"]["protocol"]["failures"] == 0.4
    for label in results.strategies:
        trials = results.trials("nb201-cifar10", label)
        runs = [run_search(label, "nb201-cifar10", results.protocol, run=i) for i in range(6)]
        assert trials.died.tolist() == [run.died for run in runs]
        assert trials.lost.tolist() == [run.lost for run in runs]
        assert np.array_equal(trials.last_died, [run.last_died for run in runs], equal_nan=True)
    assert replay(tmp_path / "out", jobs=1).identical
    assert read_experiment(tmp_path / "out" / "experiment.toml").protocol == results.protocol
    frame = results.frame()
    assert (frame["evaluations"] == 12).all()
    assert frame["died"].sum() > 10
    assert (frame["lost"] > 0).any()


def test_results_without_failures_are_what_they_were(tmp_path: Path) -> None:
    results = compared(tmp_path / "out", failures=None)
    assert "failures" not in results.manifest["experiment"]["protocol"]
    assert "died" not in np.load(results.shard_paths[0]).files
    assert "died" not in results.frame()
    assert not {"died", "lost"} & {row["clock"] for row in ledger_rows(ledger(results))}


def test_shards_of_another_protocol_are_not_taken(tmp_path: Path) -> None:
    dead, safe = compared(tmp_path / "dead"), compared(tmp_path / "safe", failures=0.0)
    dead.shard_paths[0].write_bytes(safe.shard_paths[0].read_bytes())
    with pytest.raises(ResultsError, match=r"failures = 0\.4"):
        load_results(tmp_path / "dead").trials("nb201-cifar10", "random")


@pytest.mark.parametrize("workers", [1, 2])
def test_the_ledger_counts_what_was_lost(tmp_path: Path, workers: int) -> None:
    results = compared(tmp_path / "out", workers=workers)
    trials = results.trials("nb201-cifar10", "random")
    clocks = run_clocks(results, "nb201-cifar10", trials)
    trainings = np.array(results.frame()["seconds"][:6])
    if workers == 1:
        assert clocks.search.seconds == pytest.approx(clocks.elapsed.seconds)
        assert clocks.elapsed.seconds == pytest.approx(np.fmax(trainings, trials.last_died))
    kept = clocks.search.seconds - trials.lost
    bench_seconds = [
        sum(
            run_seconds(run)
            for run in [run_search("random", "nb201-cifar10", results.protocol, run=i)]
        )
        for i in range(6)
    ]
    assert kept == pytest.approx(np.array(bench_seconds))
    account = ledger(results)[0]
    assert account.died is not None
    assert account.lost is not None
    assert account.died.mean == trials.died.mean()
    assert account.lost.mean == pytest.approx(trials.lost.mean())
    rows = {row["clock"]: row for row in ledger_rows([account])}
    assert (rows["died"]["unit"], rows["lost"]["unit"]) == ("", "s")


def test_a_run_may_end_on_the_clock_with_a_death(tmp_path: Path) -> None:
    budget = {"evaluations": None, "seconds": 40_000.0, "failures": 0.7, "workers": 1}
    results = compared(tmp_path / "out", **budget)
    trials = results.trials("nb201-cifar10", "random")
    elapsed = run_clocks(results, "nb201-cifar10", trials).elapsed.seconds
    ends = np.array(results.frame()["seconds"][:6])
    assert trials.last_died is not None
    assert (trials.last_died > ends).any()
    assert elapsed == pytest.approx(np.fmax(ends, trials.last_died))
    assert (elapsed >= 40_000).all()


def run_seconds(run: Run) -> float:
    """Return the table's seconds of all evaluations of a run."""
    from nasbench_tab.registry import load

    return float(np.sum(load("nb201-cifar10").query(run.architectures, "train_seconds")))


def test_experiments_write_failures_down() -> None:
    text = 'benchmarks = ["x"]\nstrategies = ["random"]\nruns = 1\n[protocol]\nevaluations = 1\n'
    asked = parse_experiment(text + "failures = 0.25\n").protocol
    assert asked is not None
    assert asked.failures == 0.25
    with pytest.raises(InvalidArgumentError, match="failures must be"):
        parse_experiment(text + 'failures = "often"\n')
