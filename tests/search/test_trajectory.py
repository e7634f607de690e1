"""Logs of one-shot methods: what is read, what is refused where, and figures against plain ones."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArgumentError, LogError
from nasbench_tab.registry import load
from nasbench_tab.search.trajectory import score_trajectories, trajectory_record
from nasbench_tab.search.trajectory_log import read_trajectory
from nasbench_tab.spaces.nasbench201 import NasBench201

SPACE = NasBench201()
A, B, C = (SPACE.format(SPACE.unindex(i)) for i in (11, 284, 7))
BENCH = load("nb201-cifar10")


def line(seconds: Any = 1.0, architecture: Any = A, **more: Any) -> str:
    record = {"time_seconds": seconds, "architecture": architecture, **more}
    return json.dumps({name: value for name, value in record.items() if value != "absent"})


def written(folder: Path, *lines: str, name: str = "run.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_json_lines_and_csv_say_the_same(tmp_path: Path) -> None:
    log = read_trajectory(
        written(
            tmp_path, line(0), "", line(5.5, 284, score=0.5), line(None, C, score=2, chosen=False)
        ),
        SPACE,
    )
    rows = ["architecture,time_seconds,score,chosen,epoch", f"{A},0,,,1", "284,5.5,0.5,true,2"]
    same = read_trajectory(written(tmp_path, *rows, f'"{C}",,2,FALSE,', name="r.CSV"), SPACE)
    for found in (log, same):
        assert found.seconds.tolist()[:2] == [0.0, 5.5]
        assert math.isnan(found.seconds[2])
        assert [SPACE.format(tuple(cell)) for cell in found.cells.tolist()] == [A, B, C]
        assert np.array_equal(found.scores, [np.nan, 0.5, 2.0], equal_nan=True)
        assert found.chosen.tolist() == [True, True, False]
    assert log.lines.tolist() == [1, 3, 4]
    assert same.lines.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("lines", "at", "words"),
    [
        ([line(1), line(0.5, B)], 2, "time goes back to 0.5 seconds from 1"),
        ([line(1), line(3, B, chosen=False), line(2, C)], 3, "time goes back to 2 seconds from 3"),
        ([line(1), line(1, B)], 2, r"second choice at 1 seconds, after that of .*:1"),
        ([line(1), line(float("nan"))], 2, "'time_seconds' must be a finite number; got nan"),
        ([line(float("inf"))], 1, "'time_seconds' must be a finite number; got inf"),
        ([line(-1)], 1, "'time_seconds' must be at least 0"),
        ([line("soon")], 1, "'time_seconds' must be a finite number; got 'soon'"),
        ([line("1_000")], 1, "'time_seconds' must be a finite number; got '1_000'"),
        ([line(1, "9" * 5000)], 1, "is not a NAS-Bench-201 architecture"),
        ([line(True)], 1, "'time_seconds' must be a finite number; got True"),
        ([line([1])], 1, "'time_seconds' must be a finite number"),
        ([line(10**400)], 1, "'time_seconds' must be a finite number"),
        ([line("absent")], 1, "'time_seconds' must be a finite number; got nothing"),
        ([line(1, "absent")], 1, "'architecture' is missing"),
        ([line(1, "|none~0|")], 1, "is not a NAS-Bench-201 architecture string"),
        ([line(1, A.replace("none", "nine"))], 1, "Unknown operation 'nine'"),
        ([line(1, 15_625)], 1, "There is no NAS-Bench-201 architecture 15625"),
        ([line(1, -1)], 1, "is not a NAS-Bench-201 architecture"),
        ([line(1, [3, 3, 4, 0, 3, 4])], 1, "a published string or an official index"),
        ([line(1, True)], 1, "a published string or an official index"),
        ([line(1), line(2, B, score=float("nan"))], 2, "'score' must be a finite number; got nan"),
        ([line(1, score="good")], 1, "'score' must be a finite number; got 'good'"),
        ([line(1, chosen="maybe")], 1, "'chosen' must be true or false; got 'maybe'"),
        ([line(1, chosen=1)], 1, "'chosen' must be true or false; got 1"),
        ([line(1), "{"], 2, "no JSON"),
        ([line(1), "[1, 2]"], 2, r"expected a JSON object, got \[1, 2\]"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(
    tmp_path: Path, lines: list[str], at: int, words: str
) -> None:
    path = written(tmp_path, *lines)
    with pytest.raises(LogError, match=words) as caught:
        read_trajectory(path, SPACE)
    assert str(caught.value).startswith(f"{path}:{at}: ")


@pytest.mark.parametrize(
    ("lines", "at", "words"),
    [
        (["time_seconds,cell", f"1,{A}"], 1, "expected a header .* got time_seconds, cell"),
        (["time_seconds,architecture,score,score", "1,11,2,3"], 1, "header of distinct names"),
        (["time_seconds,architecture", "1,11", "2"], 3, "2 cells expected, 1 got"),
        (["time_seconds,architecture", '1,"11'], 2, "no CSV"),
        (["time_seconds,architecture", "1,11", ",284"], 3, "'time_seconds' .* got nothing"),
        (["time_seconds,architecture", "1,11", "", "0,284"], 4, "time goes back"),
    ],
)
def test_the_same_of_csv(tmp_path: Path, lines: list[str], at: int, words: str) -> None:
    path = written(tmp_path, *lines, name="run.csv")
    with pytest.raises(LogError, match=words) as caught:
        read_trajectory(path, SPACE)
    assert str(caught.value).startswith(f"{path}:{at}: ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no line"),
        (b"\n\n", "has no line"),
        (line(1, score=1, chosen=False).encode(), "chooses no cell"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_file_that_says_nothing(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(content)
    with pytest.raises(LogError, match=words):
        read_trajectory(path, SPACE)
    with pytest.raises(LogError, match="cannot be read"):
        read_trajectory(tmp_path / "nowhere.jsonl", SPACE)


def test_a_cell_that_the_table_does_not_hold(tmp_path: Path) -> None:
    bench = load("nb201-fashion")
    held = {bench.space.canonical(tuple(cell)) for cell in bench.measured().tolist()}
    cells = (bench.space.unindex(i) for i in range(15_625))
    outside = next(cell for cell in cells if bench.space.canonical(cell) not in held)
    inside = bench.space.format(tuple(bench.measured()[0].tolist()))
    path = written(tmp_path, line(1, inside), line(2, bench.space.format(outside)))
    with pytest.raises(LogError, match=r":2: nb201-fashion holds no valid_accuracy of \|"):
        score_trajectories([path], bench)
    path = written(tmp_path, line(1, inside))
    (run,) = score_trajectories([path], bench)
    assert set(run.regret) == {"valid_accuracy", "test_accuracy", "test_loss"}
    losses = bench.query(bench.measured(), "test_loss")
    assert run.regret["test_loss"][0] == pytest.approx(
        bench.query(inside, "test_loss") - np.min(losses)
    )
    tests = bench.query(bench.measured(), "test_accuracy")
    assert run.regret["test_accuracy"][0] == pytest.approx(
        np.max(tests) - bench.query(inside, "test_accuracy")
    )


@given(st.lists(st.integers(0, 15_624), min_size=1, max_size=8))
@settings(max_examples=15, deadline=None)
def test_regret_is_the_distance_to_the_best_mean(tmp_path_factory: Any, indices: list[int]) -> None:
    folder = tmp_path_factory.mktemp("logs")
    path = written(folder, *(line(3 * i, index) for i, index in enumerate(indices)))
    (run,) = score_trajectories([path], BENCH)
    best = BENCH.query(BENCH.measured()).max()
    assert run.seconds.tolist() == [3 * i for i in range(len(indices))]
    assert run.values["valid_accuracy"].tolist() == BENCH.query(indices).tolist()
    assert run.regret["valid_accuracy"].tolist() == pytest.approx(
        [best - BENCH.query(i) for i in indices]
    )


def scored(folder: Path, scores: dict[int, float], *more: str) -> Any:
    lines = [line("absent", i, score=s, chosen=False) for i, s in scores.items()]
    (run,) = score_trajectories([written(folder, line(0), *lines, *more)], BENCH)
    return run


def test_a_perfect_score_ranks_perfectly_and_one_training_does_not(tmp_path: Path) -> None:
    indices = np.random.default_rng(0).permutation(15_625)[:300].tolist()
    run = scored(tmp_path, {i: float(BENCH.query(i)) for i in indices})
    assert run.ranks.n == 300
    assert run.ranks.tau[0] == run.ranks.rho[0] == run.ranks.tau_top == pytest.approx(1.0)
    assert [p.share for p in run.ranks.precision] == [1.0] * 5
    assert [p.k for p in run.ranks.precision] == [5, 10, 20, 50, 100]
    assert 0.85 < run.ceiling.tau[0] < 0.97
    low, high = run.ceiling.tau[1:]
    assert low < run.ceiling.tau[0] < high
    worst = scored(tmp_path, {i: -float(BENCH.query(i)) for i in indices})
    assert worst.ranks.tau[0] == pytest.approx(-1.0)  # the sign is told
    assert worst.ranks.precision[0].share == 0.0


def test_the_ceiling_is_one_training_against_the_others(tmp_path: Path) -> None:
    from scipy.stats import kendalltau

    indices = list(range(100, 160))
    run = scored(tmp_path, {i: float(i) for i in indices})
    first, others = [], []
    for index in indices:
        one, *rest = (BENCH.query(index, seed=seed) for seed in sorted(BENCH.seeds(index)))
        first.append(one)
        others.append(np.mean(rest))
    assert run.ceiling.n == 60
    assert run.ceiling.tau[0] == pytest.approx(kendalltau(first, others).statistic)


def test_the_newest_score_of_a_cell_counts(tmp_path: Path) -> None:
    indices = list(range(20))
    again = [line("absent", i, score=float(BENCH.query(i)), chosen=False) for i in indices]
    run = scored(tmp_path, {i: -float(i) for i in indices}, *again)
    assert run.ranks.n == 20
    assert run.ranks.tau[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({}, "scores 0 different cells"),
        ({1: 1.0, 2: 2.0}, "scores 2 different cells; 5 are needed"),
        (dict.fromkeys(range(9), 1.0), "all its scores are the same"),
    ],
)
def test_too_few_scores_are_not_ranked(
    tmp_path: Path, scores: dict[int, float], words: str
) -> None:
    run = scored(tmp_path, scores)
    assert run.ranks is None
    assert run.ceiling is None
    assert words in run.reason


def test_choices_with_scores_are_ranked_too(tmp_path: Path) -> None:
    lines = [line(i, i, score=float(BENCH.query(i))) for i in range(12)]
    (run,) = score_trajectories([written(tmp_path, *lines)], BENCH)
    assert run.ranks is not None
    assert run.ranks.n == 12
    assert math.isnan(run.ranks.tau_top)


def test_where_less_is_better(tmp_path: Path) -> None:
    from .toys import curves

    bench = curves("min")
    cells = bench.measured()[:8]
    lines = [
        line(i, bench.space.format(tuple(cell)), score=-float(bench.query(tuple(cell))))
        for i, cell in enumerate(cells.tolist())
    ]
    (run,) = score_trajectories([written(tmp_path, *lines)], bench)
    name = bench.objective.name
    best = np.min(bench.query(bench.measured()))
    np.testing.assert_allclose(run.regret[name], np.asarray(bench.query(cells)) - best)
    assert run.ranks is not None
    assert run.ranks.tau[0] == pytest.approx(1.0)


def test_the_record_is_plain(tmp_path: Path) -> None:
    run = scored(tmp_path, {i: float(i) for i in range(12)})
    record = trajectory_record(BENCH, [run])
    text = json.dumps(record, allow_nan=False)
    (one,) = json.loads(text)["runs"]
    assert one["cell"] == A
    assert one["value"]["valid_accuracy"] == BENCH.query(11)
    assert one["score"]["tau_top"] is None
    assert [k for k, _ in pairwise([p["k"] for p in one["score"]["precision"]] + [0])] == [5]


def test_arguments_that_mean_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, line(1))
    with pytest.raises(InvalidArgumentError, match="different logs, one for each run; got none"):
        score_trajectories([], BENCH)
    with pytest.raises(InvalidArgumentError, match="different logs"):
        score_trajectories([path, path], BENCH)


def test_better_than_the_best_known_is_no_regret(tmp_path: Path) -> None:
    # Of a space too large to list the best is that of a sample and of what ascents find.
    bench = load("macro-fashion")
    cells = bench.space.sample(np.random.default_rng(0), 300)
    path = written(tmp_path, *(line(i, bench.space.format(c)) for i, c in enumerate(cells)))
    [scored] = score_trajectories([path], bench)
    for name, regret in scored.regret.items():
        worth = scored.values[name]
        assert regret.argmin() == worth.argmax()
        np.testing.assert_allclose(regret + worth, (regret + worth)[0])
