"""What incumbents are worth in the end: mean or seen, last or best, other trainings, other benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.benchmarks.tablefile import Table
from nasbench_tab.errors import InvalidArgumentError, UnknownNameError
from nasbench_tab.records import MEAN_SEED, Proposal, Protocol
from nasbench_tab.registry import load
from nasbench_tab.report.page import write_report
from nasbench_tab.search.compare import compare
from nasbench_tab.search.final import Reported, final_values, reported
from nasbench_tab.search.frame import run_finals, run_incumbents
from nasbench_tab.search.results import Results, load_results

from .switches import LONG, SCRIPT, SHORT, script, shelved, two_trainings
from .toys import CELLS, SOME_CELLS, curves_table, toy_bench

NAN = float("nan")

# The rule, on a table of two cells (and 22 that nobody trained): 3 seeds, 3 epochs. Seed 102 of the
# first cell was broken off after one epoch.

FIRST = [[1, 5, 3], [2, 2, 4], [9, NAN, NAN]]
SECOND = [[7, 6, 5], [NAN] * 3, [1, 2, 9]]


def pair(direction: Any) -> Benchmark:
    values = np.full((24, 3, 3), NAN)
    values[:2] = FIRST, SECOND
    test = np.where(np.isnan(values), NAN, -values)
    return toy_bench(values, curve=True, direction=direction, test=test)


def worth(
    bench: Benchmark, protocol: Protocol, seeds: list[int], metric: str = "score"
) -> list[float]:
    what = Reported(metric, bench, bench.metrics[metric])
    cells = np.array(CELLS[:2], np.uint8)
    return list(final_values(what, protocol, cells, np.array(seeds, np.int64)))


@pytest.mark.parametrize(
    ("direction", "rule", "expected"),
    [
        ("max", ("mean", "last"), [(3 + 4) / 2, (5 + 9) / 2]),
        ("min", ("mean", "last"), [(3 + 4) / 2, (5 + 9) / 2]),
        ("max", ("mean", "best"), [(5 + 4) / 2, (7 + 9) / 2]),
        ("min", ("mean", "best"), [(1 + 2) / 2, (5 + 1) / 2]),
        ("max", ("seen", "last"), [4, 9]),
        ("min", ("seen", "last"), [4, 9]),
        ("max", ("seen", "best"), [4, 9]),
        ("min", ("seen", "best"), [2, 1]),
    ],
)
def test_the_final_value_of_two_cells(direction: Any, rule: Any, expected: list[float]) -> None:
    protocol = Protocol(evaluations=1, final=rule[0], final_epoch=rule[1])
    assert worth(pair(direction), protocol, [101, 102]) == expected


@pytest.mark.parametrize(("direction", "expected"), [("max", [-1.5, -3]), ("min", [-4.5, -8])])
def test_the_best_epoch_is_that_of_the_reported_metric_itself(
    direction: Any, expected: list[float]
) -> None:
    protocol = Protocol(evaluations=1, final_epoch="best")
    assert worth(pair(direction), protocol, [101, 102], "test_score") == expected


@pytest.mark.parametrize(
    ("direction", "final_epoch", "expected"),
    [("max", "last", 3.5), ("max", "best", 3.5), ("min", "best", 1.5)],
)
def test_where_the_search_saw_a_mean_that_is_what_was_seen(
    direction: Any, final_epoch: Any, expected: float
) -> None:
    # The mean curve of the two finished trainings of the first cell is 1.5, 3.5, 3.5.
    protocol = Protocol(evaluations=1, final="seen", final_epoch=final_epoch)
    assert worth(pair(direction), protocol, [MEAN_SEED, 102])[0] == expected


@pytest.mark.parametrize("final_epoch", ["last", "best"])
@pytest.mark.parametrize("final", ["mean", "seen"])
def test_no_cells_no_values(final: Any, final_epoch: Any) -> None:
    bench = pair("max")
    protocol = Protocol(evaluations=1, final=final, final_epoch=final_epoch)
    what = Reported("score", bench, bench.objective)
    nothing = final_values(what, protocol, np.empty((0, 3), np.uint8), np.empty(0, np.int64))
    assert nothing.shape == (0,)


def slow(values: NDArray[np.float64], protocol: Protocol, seed: int, direction: str) -> float:
    """Return what one cell with ``(S, E)`` values is worth, in plain loops."""
    finished = [curve for curve in values.tolist() if curve[-1] == curve[-1]]
    if protocol.final == "seen":
        finished = [values[seed].tolist()]
    each = []
    for curve in finished:
        known = [value for value in curve if not np.isnan(value)]
        best = max(known) if direction == "max" else min(known)
        each.append(curve[-1] if protocol.final_epoch == "last" else best)
    return sum(each) / len(each) if each else NAN


@given(
    seed=st.integers(0, 2**32),
    direction=st.sampled_from(["max", "min"]),
    final=st.sampled_from(["mean", "seen"]),
    final_epoch=st.sampled_from(["last", "best"]),
)
def test_final_values_are_those_of_plain_loops(
    seed: int, direction: Any, final: Any, final_epoch: Any
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 9, (24, 3, 4)).astype(float)
    values[rng.random((24, 3)) < 0.3] = NAN  # never trained
    values[rng.random((24, 3)) < 0.3, 2:] = NAN  # broken off
    values[:2] = np.nan  # some cells have nothing at all
    bench = toy_bench(values, curve=True, direction=direction)
    protocol = Protocol(evaluations=1, final=final, final_epoch=final_epoch)
    finished = [(row, s) for row in range(24) for s in range(3) if np.isfinite(values[row, s, -1])]
    which = finished if final == "seen" else [(row, 0) for row in range(24)]
    cells = np.array([CELLS[row] for row, _ in which], np.uint8).reshape(-1, 3)
    got = final_values(
        Reported("score", bench, bench.objective),
        protocol,
        cells,
        np.array([100 + s for _, s in which], np.int64),
    )
    expected = [slow(values[row], protocol, s, direction) for row, s in which]
    np.testing.assert_allclose(got, expected)


# A short and a long training of one table.


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def compared(tmp_path: Path, benchmark: str, proposals: Any, **switches: Any) -> Results:
    protocol = Protocol(**{"evaluations": 99, "missing": "masked", **switches})
    return compare(
        [benchmark], [script(*proposals)], runs=1, out=tmp_path / "out", protocol=protocol
    )


@pytest.mark.parametrize("default", [SHORT, LONG])
def test_searched_on_short_trainings_and_reported_after_long_ones(
    home: Path, tmp_path: Path, default: str
) -> None:
    shelved(home, two_trainings(default=default))
    results = compared(
        tmp_path, "toy-two", SCRIPT[:5], training=SHORT, final_training=LONG, seeds="mean"
    )
    trials = results.trials("toy-two", "scripted")
    assert trials.epochs.tolist() == [12] * 5
    assert trials.values.tolist() == [0, 1, 2, 3, 4]
    assert trials.seconds.tolist() == [10, 20, 30, 40, 50]
    assert trials.final["score"].tolist() == [1001, 1000, 999, 998, 997]
    assert trials.final["test_score"].tolist() == [1000.5, 999.5, 998.5, 997.5, 996.5]
    [row] = results.frame().to_dict("records")
    # The search takes cell 4 for the best; the long trainings say that it is the worst of the five.
    assert (row["observed"], row["score"], row["test_score"]) == (4.0, 997.0, 996.5)
    about = results.benchmark("toy-two")
    assert about["optimum"] == 1001.0
    assert row["regret"] == 4.0
    assert about["epochs"] == [12]
    assert load_results(tmp_path / "out").protocol == results.protocol


def test_the_tables_default_training_is_the_final_one_where_nothing_is_said(
    home: Path, tmp_path: Path
) -> None:
    shelved(home, two_trainings())
    results = compared(tmp_path, "toy-two", SCRIPT[:3], training=SHORT, seeds="mean")
    assert results.trials("toy-two", "scripted").final["score"].tolist() == [1001, 1000, 999]


def test_the_training_that_was_seen_is_none_of_another_training(home: Path, tmp_path: Path) -> None:
    shelved(home, two_trainings())
    for switches in ({"training": SHORT}, {"final_training": SHORT}):
        with pytest.raises(InvalidArgumentError, match=r"final='seen' .* Choose final='mean'"):
            compared(tmp_path, "toy-two", SCRIPT[:3], final="seen", **switches)
        assert not (tmp_path / "out").exists()
    results = compared(
        tmp_path, "toy-two", SCRIPT[:3], training=SHORT, final_training=SHORT, final="seen"
    )
    assert results.trials("toy-two", "scripted").final["score"].tolist() == [0, 1, 2]


def test_the_training_that_was_seen(home: Path, tmp_path: Path) -> None:
    shelved(home, two_trainings())
    results = compared(tmp_path, "toy-two", [SCRIPT[0]] * 20, final="seen")
    trials = results.trials("toy-two", "scripted")
    assert set(trials.seeds.tolist()) == {888, 999}
    assert (
        trials.final["score"].tolist()
        == trials.values.tolist()
        == [1000.0 if seed == 888 else 1002.0 for seed in trials.seeds]
    )
    [row] = results.frame().to_dict("records")
    assert row["score"] == 1002.0
    assert row["regret"] == -1.0  # the optimum is the best mean: a lucky training beats it


def test_a_final_training_with_another_objective_is_refused(home: Path, tmp_path: Path) -> None:
    shelved(home, two_trainings(long_objective="loss"))
    with pytest.raises(InvalidArgumentError, match=rf"'score'; that of .*'{LONG}' is 'loss'"):
        compared(tmp_path, "toy-two", SCRIPT[:3], training=SHORT)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["toy-curves", "toy-errors"])
def test_the_best_epoch_through_a_comparison(toy_tables: Path, tmp_path: Path, name: str) -> None:
    assert toy_tables.is_dir()
    proposals = [Proposal(cell) for cell in SOME_CELLS[:6]]
    last = compared(tmp_path / "last", name, proposals)
    best = compared(tmp_path / "best", name, proposals, final_epoch="best")
    bench, pick = load(name), max if name == "toy-curves" else min
    for metric in ("score", "test_score"):
        expected = [
            np.mean(
                [
                    pick(bench.query(cell, metric, epoch=epoch, seed=seed) for epoch in (1, 3, 9))
                    for seed in bench.seeds(cell)
                ]
            )
            for cell in SOME_CELLS[:6]
        ]
        got = best.trials(name, "scripted").final[metric]
        assert got.tolist() == pytest.approx(expected)
        gain = got - last.trials(name, "scripted").final[metric]
        assert ((gain >= 0) if name == "toy-curves" else (gain <= 0)).all()
    assert best.content_hash() != last.content_hash()


# Reports on further benchmarks.


def other_table(shift: float = 0.0, n: int = 24) -> Table:
    table = curves_table("toy-other")
    training = table.trainings["standard"]
    columns = {
        name: column._replace(values=(column.values[::-1] / 2 + shift)[:n])
        for name, column in training.columns.items()
        if name != "train_seconds"
    }
    columns["score"].values[0] = 1.0  # the one that was never trained
    columns["test_score"].values[0] = 1.0
    return table._replace(
        architectures=table.architectures[:n],
        trainings={"standard": training._replace(columns=columns, seconds_kind="none")},
        static={},
    )


@pytest.fixture
def other(toy_tables: Path) -> Path:
    shelved(toy_tables, other_table())
    return toy_tables


SIX = [Proposal(cell) for cell in SOME_CELLS[:6]]


@pytest.mark.parametrize("final", ["mean", "seen"])
def test_incumbents_are_reported_on_another_benchmark(
    other: Path, tmp_path: Path, final: Any
) -> None:
    assert other.is_dir()
    results = compared(tmp_path, "toy-curves", SIX, report=("toy-other",), final=final)
    there, about = load("toy-other"), results.benchmark("toy-curves")
    assert list(about["test_metrics"]) == [
        "test_score",
        "toy-other:score",
        "toy-other:test_score",
    ]
    assert about["reported_hashes"] == {"toy-other": there.fingerprint}
    trials = results.trials("toy-curves", "scripted")
    for metric in ("score", "test_score"):  # always means: the seeds there are others
        expected = [there.query(cell, metric) for cell in SOME_CELLS[:6]]
        assert trials.final[f"toy-other:{metric}"].tolist() == expected
    [row] = results.frame().to_dict("records")
    cell = there.space.parse(row["architecture"])
    assert row["toy-other:score"] == there.query(cell)
    assert row["toy-other:test_score"] == there.query(cell, "test_score")
    text = write_report(results.directory).read_text(encoding="utf-8")
    assert ">score on toy-other<" in text
    assert ">test score on toy-other<" in text
    assert f">{row['toy-other:score']:.4f}<" in text
    assert f">{row['toy-other:test_score']:.4f}<" in text


def test_what_is_reported_comes_in_order(other: Path) -> None:
    assert other.is_dir()
    protocol = Protocol(evaluations=1, report=("toy-other", "toy-errors"))
    names = [what.name for what in reported(load("toy-curves"), protocol)]
    assert names == [
        *("score", "test_score"),
        *("toy-other:score", "toy-other:test_score"),
        *("toy-errors:score", "toy-errors:test_score"),
    ]


def test_the_content_hash_covers_what_is_reported(other: Path, tmp_path: Path) -> None:
    hashes = [
        compared(tmp_path / "without", "toy-curves", SIX).content_hash(),
        compared(tmp_path / "with", "toy-curves", SIX, report=("toy-other",)).content_hash(),
        compared(tmp_path / "again", "toy-curves", SIX, report=("toy-other",)).content_hash(),
    ]
    shelved(other, other_table(shift=1.0))
    hashes.append(
        compared(tmp_path / "changed", "toy-curves", SIX, report=("toy-other",)).content_hash()
    )
    assert hashes[1] == hashes[2]
    assert len(set(hashes)) == 3


@pytest.mark.parametrize(
    ("report", "error", "words"),
    [
        (("nbgraph-cora",), InvalidArgumentError, "whose space is nasbench-graph; .* nasbench201"),
        (("toy-other", "toy-other"), InvalidArgumentError, "reports on 'toy-other' twice"),
        (("toy-curves",), InvalidArgumentError, "reports on 'toy-curves' twice"),
        (("toy-othre",), UnknownNameError, "benchmark 'toy-othre'. Did you mean toy-other"),
        (("toy-part",), InvalidArgumentError, "toy-part has no score of some of the 24 arch"),
        (["toy-other"], InvalidArgumentError, "report must be a tuple of names"),
        ("toy-other", InvalidArgumentError, "report must be a tuple of names"),
    ],
    ids=repr,
)
def test_benchmarks_that_cannot_be_reported_on(
    other: Path, tmp_path: Path, report: Any, error: Any, words: str
) -> None:
    shelved(other, other_table(n=10)._replace(name="toy-part"))
    with pytest.raises(error, match=words):
        compared(tmp_path, "toy-curves", SIX, report=report)
    assert not (tmp_path / "out").exists()


def test_limits_may_be_lists(toy_tables: Path, tmp_path: Path) -> None:
    assert toy_tables.is_dir()
    results = compared(tmp_path, "toy-curves", SIX, limits=[["parameters", 0.2]])
    assert results.protocol.limits == (("parameters", 0.2),)
    assert 0 < len(results.trials("toy-curves", "scripted").values) < 6


# The value at the budget, and incumbents at the highest epoch, in the frame.


@pytest.mark.parametrize("name", ["toy-curves", "toy-errors"])
def test_the_value_at_the_budget_in_the_frame(toy_tables: Path, tmp_path: Path, name: str) -> None:
    assert toy_tables.is_dir()
    better, bench, budget = max if name == "toy-curves" else min, load(name), 300.0
    # From the worst to the best, so that every evaluation is a new incumbent.
    cells = sorted(SOME_CELLS[:8], key=bench.query, reverse=name == "toy-errors")
    results = compared(
        tmp_path,
        name,
        map(Proposal, cells),
        evaluations=None,
        seconds=budget,
        overshoot="interpolate",
        seeds="mean",
    )
    trials = results.trials(name, "scripted")
    assert trials.seconds[-1] > budget > trials.seconds[-2]  # the last evaluation overshoots
    for metric in ("score", "test_score"):
        points = []
        for k, end in enumerate(trials.seconds.tolist(), 1):
            best = better(cells[:k], key=bench.query)
            points.append((end, bench.query(best, metric)))
        (x, u), (y, v) = sorted(points, key=lambda point: abs(point[0] - budget))[:2]
        expected = (y - budget) / (y - x) * u + (budget - x) / (y - x) * v
        assert results.frame()[metric].to_list() == pytest.approx([expected])
    [row] = results.frame().to_dict("records")
    optimum = results.benchmark(name)["optimum"]
    assert row["regret"] == pytest.approx(
        (optimum - row["score"]) * (1 if name == "toy-curves" else -1)
    )


HIGHEST = [(0, 1), (1, 3), (2, 1), (3, 3), (4, 9), (5, 3), (6, 9), (7, 1), (8, 9)]


@pytest.mark.parametrize("name", ["toy-curves", "toy-errors"])
def test_the_incumbent_at_the_highest_epoch(toy_tables: Path, tmp_path: Path, name: str) -> None:
    assert toy_tables.is_dir()
    proposals = [Proposal(SOME_CELLS[i], epoch) for i, epoch in HIGHEST]
    results = compared(tmp_path, name, proposals, incumbent="highest-epoch", seeds="mean")
    trials = results.trials(name, "scripted")
    better = max if name == "toy-curves" else min
    expected = []
    for k in range(1, len(HIGHEST) + 1):
        so_far = list(zip(trials.epochs.tolist(), trials.values.tolist(), strict=True))[:k]
        top = max(epoch for epoch, _ in so_far)
        expected.append(so_far.index(better(p for p in so_far if p[0] == top)))
    assert run_incumbents(results, name, trials).which.tolist() == [expected]
    assert expected[:3] == [0, 1, 1]  # a higher epoch takes over, a lower one never does
    [row] = results.frame().to_dict("records")
    assert row["observed"] == trials.values[expected[-1]]
    assert row["score"] == load(name).query(SOME_CELLS[HIGHEST[expected[-1]][0]])


def test_of_equals_at_the_highest_epoch_the_first_stays(home: Path, tmp_path: Path) -> None:
    shelved(home, two_trainings())
    again = [SCRIPT[2], SCRIPT[2], SCRIPT[1], SCRIPT[2], SCRIPT[1]]
    results = compared(tmp_path, "toy-two", again, incumbent="highest-epoch", seeds="mean")
    found = run_incumbents(results, "toy-two", results.trials("toy-two", "scripted"))
    assert found.which.tolist() == [[0, 0, 2, 2, 2]]


@pytest.mark.parametrize("incumbent", ["highest-seen", "highest-epoch", "full-training"])
def test_runs_without_evaluations(home: Path, tmp_path: Path, incumbent: Any) -> None:
    shelved(home, two_trainings())
    results = compared(
        tmp_path,
        "toy-two",
        SCRIPT[:3],
        evaluations=None,
        seconds=50.0,
        overshoot="drop",
        incumbent=incumbent,
    )
    trials = results.trials("toy-two", "scripted")
    assert trials.lengths.tolist() == [0]
    found = run_incumbents(results, "toy-two", trials)
    assert found.which.shape == (1, 0)
    assert np.isnan(run_finals(results, trials, found, "score")).all()
    [row] = results.frame().to_dict("records")
    assert row["architecture"] is None
    assert np.isnan(row["score"])
