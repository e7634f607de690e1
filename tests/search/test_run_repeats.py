"""One simulated search: cells that are trained again, looked up again or trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Proposal, Protocol
from nasbench_tab.search.run import run_search

from .toys import (
    CELLS,
    SOME_CELLS,
    SPACE,
    Log,
    asks,
    curves,
    noisy_bench,
    rows,
    scripted,
    timed,
    toy_bench,
)

# Repeats.


def test_repeats_that_pay_are_new_trainings() -> None:
    log = Log()
    bench = noisy_bench(3, seconds=2.0)
    run = run_search(scripted([CELLS[4]] * 30, log), bench, Protocol(evaluations=30))
    assert rows(run) == [4] * 30
    assert run.seconds.tolist() == [2.0 * n for n in range(1, 31)]
    assert set(run.seeds.tolist()) == {100, 101, 102}
    assert run.free == 0
    assert {o.status for o in log.told} == {"ok"}


def test_repeats_that_are_reused_are_free_and_not_evaluations() -> None:
    log = Log()
    bench = noisy_bench(3, seconds=2.0)
    script = [CELLS[4], CELLS[5], CELLS[4], CELLS[4], CELLS[5], CELLS[6]]
    run = run_search(scripted(script, log), bench, Protocol(evaluations=9, repeats="reuse"))
    assert rows(run) == [4, 5, 6]
    assert run.seconds.tolist() == [2.0, 4.0, 6.0]
    assert (run.free, run.stop) == (3, "exhausted")
    assert [o.status for o in log.told] == ["ok", "ok", "repeat", "repeat", "repeat", "ok"]
    first = {o.architecture: o.score for o in log.told[:2]}
    for observation in log.told[2:5]:
        assert observation.score == first[observation.architecture]
        assert observation.seconds == 0.0
        assert observation.epoch == 1


def test_another_epoch_is_no_repeat() -> None:
    bench = curves()
    cell = SOME_CELLS[0]
    script = [Proposal(cell, 1), Proposal(cell, 3), Proposal(cell, 9), Proposal(cell), Proposal(cell, 1)]  # fmt: skip
    run = run_search(
        scripted(script), bench, Protocol(evaluations=9, repeats="reuse", missing="masked")
    )
    assert run.epochs.tolist() == [1, 3, 9]
    assert run.free == 2


def test_an_answer_is_not_reused_before_its_training_has_ended() -> None:
    # Worker A trains cell 0 until 5 s. Worker B is done with cell 1 at 1 s and then asks for cell 0.
    log = Log()
    script = scripted([CELLS[0], CELLS[1], CELLS[0], CELLS[2]], log)
    run = run_search(script, timed([5, 1, 1]), Protocol(evaluations=3, workers=2, repeats="reuse"))
    assert rows(run) == [1, 2, 0]
    told = [(SPACE.index(o.architecture), o.status) for o in log.told]
    assert told.index((0, "ok")) < told.index((0, "repeat"))


@pytest.mark.parametrize("patience", [1, 7])
def test_a_run_that_only_repeats_is_stalled(patience: int) -> None:
    protocol = Protocol(evaluations=10, repeats="reuse", patience=patience)
    run = run_search(asks(lambda n: [Proposal(CELLS[0])]), noisy_bench(), protocol)
    assert (len(run.values), run.free, run.stop) == (1, patience, "stalled")


def test_an_evaluation_that_costs_ends_the_stall() -> None:
    script = [CELLS[0], *[CELLS[0]] * 6, CELLS[1], *[CELLS[1]] * 6, CELLS[2]]
    protocol = Protocol(evaluations=3, repeats="reuse", patience=7)
    run = run_search(scripted(script), noisy_bench(), protocol)
    assert (rows(run), run.free, run.stop) == ([0, 1, 2], 12, "budget")


def test_what_is_in_training_when_the_search_stalls_still_counts() -> None:
    script = [CELLS[0], CELLS[1], *[CELLS[1]] * 50]
    protocol = Protocol(evaluations=10, repeats="reuse", patience=5, workers=2)
    run = run_search(scripted(script), timed([9, 1]), protocol)
    assert (rows(run), run.stop) == ([1, 0], "stalled")


def test_a_budget_in_seconds_ends_where_trainings_take_no_time() -> None:
    asked: list[int] = []

    def answer(n: int) -> list[Proposal]:
        asked.append(n)
        assert len(asked) < 5_000, "the search does not end"
        return [Proposal(CELLS[0])]

    bench = toy_bench(np.arange(24.0), seconds=np.zeros(24))
    run = run_search(asks(answer), bench, Protocol(seconds=10.0, patience=100))
    assert run.stop == "stalled"


# Epochs and resumed trainings.

RUNGS = [Proposal(SOME_CELLS[0], epoch) for epoch in (1, 3, None)]


def test_epochs_may_be_proposed() -> None:
    bench = curves()
    log = Log()
    run = run_search(scripted(RUNGS, log), bench, Protocol(evaluations=3, missing="masked"))
    assert run.epochs.tolist() == [1, 3, 9]
    assert len(set(run.seeds.tolist())) == 1  # the same training, seen at three epochs
    seed = int(run.seeds[0])
    answers = [bench.lookup(SOME_CELLS[0], epoch=epoch, seed=seed) for epoch in (1, 3, 9)]
    assert run.values.tolist() == [answer.value for answer in answers]
    assert run.seconds.tolist() == np.cumsum([answer.seconds for answer in answers]).tolist()
    assert log.problem is not None
    assert log.problem.epochs == (1, 3, 9)


@pytest.mark.parametrize("seeds", ["random", "mean", 777])
def test_a_continued_training_costs_only_what_is_new(seeds: Any) -> None:
    bench = curves()
    log = Log()
    protocol = Protocol(evaluations=3, resume="continue", missing="masked", seeds=seeds)
    run = run_search(scripted(RUNGS, log), bench, protocol)
    asked = None if seeds == "mean" else int(run.seeds[0])
    whole = bench.lookup(SOME_CELLS[0], seed=asked).seconds
    assert [o.seconds for o in log.told] == pytest.approx([whole / 9, 2 * whole / 9, 6 * whole / 9])
    assert run.seconds[-1] == pytest.approx(whole)


def test_a_training_is_continued_only_for_the_cell_that_was_trained() -> None:
    bench = curves()
    log = Log()
    script = [Proposal(SOME_CELLS[0], 3), Proposal(SOME_CELLS[1], 9), Proposal(SOME_CELLS[0], 9)]
    protocol = Protocol(evaluations=3, resume="continue", missing="masked", seeds=777)
    run_search(scripted(script, log), bench, protocol)
    full = [bench.lookup(cell, seed=777).seconds for cell in SOME_CELLS[:2]]
    expected = [full[0] / 3, full[1], full[0] * 2 / 3]
    assert [o.seconds for o in log.told] == pytest.approx(expected)


def test_a_lower_or_equal_epoch_is_a_new_training_that_can_be_continued_too() -> None:
    bench = curves()
    log = Log()
    script = [Proposal(SOME_CELLS[0], epoch) for epoch in (3, 1, 3, 3, 9)]
    protocol = Protocol(evaluations=5, resume="continue", missing="masked", seeds=777)
    run_search(scripted(script, log), bench, protocol)
    full = bench.lookup(SOME_CELLS[0], seed=777).seconds
    expected = [full / 3, full / 9, full * 2 / 9, full / 3, full * 2 / 3]
    assert [o.seconds for o in log.told] == pytest.approx(expected)


def curve_bench() -> Any:
    """Return a bench of one second an epoch, whose values say the seed: 100, 101, 102 in rising order."""
    values = np.arange(3.0)[None, :, None] + np.zeros((len(CELLS), 1, 9))
    seconds = np.arange(1.0, 10.0)[None, None, :]
    return toy_bench(values, seconds=seconds, curve=True, seeds=(100, 101, 102))


def test_of_two_trainings_of_a_cell_the_better_one_is_continued() -> None:
    differed = set()
    for seed in range(30):
        log = Log()
        script = [Proposal(CELLS[0], epoch) for epoch in (1, 1, 9)]
        protocol = Protocol(evaluations=3, resume="continue")
        run = run_search(scripted(script, log), curve_bench(), protocol, seed=seed)
        assert run.seeds[2] == run.seeds[:2].max()
        assert [o.seconds for o in log.told] == [1.0, 1.0, 8.0]
        differed.add(int(np.sign(run.seeds[0] - run.seeds[1])))
    assert differed == {-1, 0, 1}


@pytest.mark.parametrize("workers", [1, 2])
def test_trainings_that_drew_the_same_seed_are_continued_one_by_one(workers: int) -> None:
    log = Log()
    script = [Proposal(CELLS[0], epoch) for epoch in (1, 1, 9, 9, 9)]
    protocol = Protocol(evaluations=5, resume="continue", seeds=100, workers=workers)
    run_search(scripted(script, log), curve_bench(), protocol)
    assert sorted(o.seconds for o in log.told) == [1.0, 1.0, 8.0, 8.0, 9.0]


def test_a_training_that_is_still_running_cannot_be_continued() -> None:
    bench = curves()
    log = Log()
    script = [Proposal(SOME_CELLS[0], 3), Proposal(SOME_CELLS[0], 9)]
    protocol = Protocol(evaluations=2, resume="continue", missing="masked", seeds=777, workers=2)
    run_search(scripted(script, log), bench, protocol)
    full = bench.lookup(SOME_CELLS[0], seed=777).seconds
    assert [o.seconds for o in log.told] == pytest.approx([full / 3, full])


def test_separate_trainings_cannot_be_continued() -> None:
    protocol = Protocol(evaluations=5, resume="continue")
    with pytest.raises(
        InvalidArgumentError, match=r"nb201-cifar10 holds separate trainings.*resume='restart'"
    ):
        run_search("random", "nb201-cifar10", protocol)


def test_a_run_is_not_stalled_while_a_training_may_open_something_new() -> None:
    class Waits:
        """Proposes its second cell only when the first one has ended, and until then repeats the first."""

        def __init__(self, problem: Any, rng: Any) -> None:
            self.ended = 0

        def ask(self, n: int) -> list[Proposal]:
            return [Proposal(CELLS[4 + self.ended])] * n

        def tell(self, observations: Any) -> None:
            self.ended += sum(seen.status == "ok" for seen in observations)

    protocol = Protocol(evaluations=3, workers=2, repeats="reuse", patience=5)
    run = run_search(Waits, noisy_bench(3, seconds=2.0), protocol)
    assert (rows(run), run.stop) == ([4, 5, 6], "budget")
