"""Accounts of a comparison: totals, what is missing, tuning that was booked."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import InvalidArgumentError, ResultsError, UnknownNameError
from nasbench_tab.records import Protocol
from nasbench_tab.search.booking import TUNING, book_tuning, is_booked_on, read_tuning
from nasbench_tab.search.clocks import run_clocks
from nasbench_tab.search.compare import compare
from nasbench_tab.search.ledger import Account, amount, ledger, ledger_rows
from nasbench_tab.search.results import Results, load_results
from nasbench_tab.search.tune import tune

from .studies import install, timed_table


@pytest.fixture
def timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """Return a comparison on a table with training and validation times."""
    install(tmp_path / "home", timed_table("toy-timed"))
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "home"))
    protocol = Protocol(evaluations=20, missing="masked", resume="continue")
    return compare(["toy-timed"], ["random", "asha"], runs=6, out=tmp_path / "c", protocol=protocol)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a comparison on two tables, one without any times."""
    out = tmp_path_factory.mktemp("plain") / "c"
    strategies = ["random", "evolution", "evolution(population=3)", "evolution(population=5)"]
    compare(["nb201-cifar10", "nbgraph-proteins"], strategies, runs=6, budget=8, out=out)
    return out


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tuned") / "t"
    tune("evolution", {"population": [3, 5]}, ["nb201-cifar100"], runs=5, budget=6, out=out)
    return out


@pytest.fixture
def copied(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "copy"))


def test_one_account_for_each_benchmark_and_strategy(plain: Path) -> None:
    results = load_results(plain)
    found = [(account.benchmark, account.strategy) for account in ledger(results)]
    assert found == [(b, s) for b in results.benchmarks for s in results.strategies]


def test_totals_are_sums_run_by_run(timed: Results) -> None:
    for account in ledger(timed, searches=3):
        trials = timed.trials(account.benchmark, account.strategy)
        clocks = run_clocks(timed, account.benchmark, trials)
        once = clocks.search.seconds + clocks.validation.seconds
        assert account.identification.mean == pytest.approx(3 * once.mean())
        total = 3 * once + clocks.final.seconds
        assert account.automl.mean == pytest.approx(total.mean())
        assert account.automl.low < total.mean() < account.automl.high
        assert not account.identification.at_least
        assert not account.automl.at_least
        assert account.searches == 3


def test_one_search_is_the_default(timed: Results) -> None:
    one = ledger(timed)[0]
    assert one.searches == 1
    assert one.identification.mean == pytest.approx(one.search.mean + one.validation.mean)
    assert one.automl.mean == pytest.approx(one.identification.mean + one.final.mean)


def test_counts(timed: Results) -> None:
    frame = timed.frame().groupby("strategy")
    for account in ledger(timed):
        assert account.evaluations.mean == 20
        assert account.distinct.mean == frame["distinct"].mean()[account.strategy]
        assert account.overhead.mean == pytest.approx(frame["cpu_seconds"].mean()[account.strategy])
    random, asha = ledger(timed)
    assert random.trainings.mean == 20
    assert asha.trainings.mean < 20  # promotions continue what was begun


def test_without_validation_times_a_total_is_a_lower_bound(plain: Path) -> None:
    account = ledger(load_results(plain))[0]
    assert not account.validation.recorded
    assert account.identification.at_least
    assert account.identification.mean == account.search.mean
    assert account.automl.mean == pytest.approx(account.search.mean + account.final.mean)
    assert "without validation: nb201-cifar10 has no validation times" in account.automl.note


def test_without_times_nothing_is_zero(plain: Path) -> None:
    account = ledger(load_results(plain))[4]
    assert account.benchmark == "nbgraph-proteins"
    for name in ("elapsed", "search", "validation", "final", "identification", "automl"):
        found = getattr(account, name)
        assert math.isnan(found.mean)
        assert not found.at_least
        assert "nbgraph-proteins has no" in found.note
    assert account.evaluations.mean == 8
    assert account.overhead.mean > 0


def test_rows_are_plain_and_complete(plain: Path) -> None:
    accounts = ledger(load_results(plain))
    rows = ledger_rows(accounts)
    assert len(rows) == len(accounts) * 11
    assert json.loads(json.dumps(rows)) is not None
    for row in rows:
        account = next(
            a for a in accounts if (a.benchmark, a.strategy) == (row["benchmark"], row["strategy"])
        )
        np.testing.assert_equal(row["mean"], getattr(account, row["clock"]).mean)
        counted = row["clock"] in ("evaluations", "distinct", "trainings")
        assert row["unit"] == ("" if counted else "s")
        assert (row["time"] == "real") == (row["clock"] == "overhead")
        assert row["note"] or row["mean"] == row["mean"]  # NaN has a reason


def test_a_mean_over_seeds_says_what_it_is_charged_as(tmp_path: Path) -> None:
    protocol = Protocol(evaluations=3, seeds="mean")
    results = compare(["nb201-cifar10"], ["random"], runs=1, out=tmp_path / "c", protocol=protocol)
    assert "charged as one training" in ledger(results)[0].trainings.note


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "2", None])
def test_a_number_of_searches_that_cannot_be(plain: Path, k: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="searches must be a positive integer"):
        ledger(load_results(plain), searches=k)


# Amounts.


def test_an_amount_of_few_runs_has_no_interval() -> None:
    assert math.isnan(amount(np.arange(4.0)).low)
    assert amount(np.arange(4.0)).excludes_zero is None
    found = amount(np.arange(1.0, 6.0))
    assert found.low < found.mean < found.high
    assert found.excludes_zero is True
    assert amount(np.array([-1.0, 1, -1, 1, 0])).excludes_zero is False


def test_an_amount_says_how_many_runs_it_leaves_out() -> None:
    found = amount(np.array([1.0, np.nan, 3.0]), "why")
    assert (found.mean, found.n, found.note) == (2.0, 2, "why; 1 of 3 runs have none")
    assert amount(np.full(3, np.nan)).note
    assert not amount(np.empty(0)).recorded


# Tuning.


def test_no_tuning_is_not_recorded(plain: Path) -> None:
    found = ledger(load_results(plain))[0].tuning
    assert not found.recorded
    assert found.note == "no tuning was booked (tuning.json)"


def tuning_of(directory: Path) -> dict[tuple[str, str], float]:
    accounts: list[Account] = ledger(load_results(directory))
    return {(a.benchmark, a.strategy): a.tuning.mean for a in accounts}


def test_booked_tuning_is_the_chosen_settings_cost(copied: Path, tuned: Path) -> None:
    before = load_results(copied).content_hash()
    record = book_tuning(copied, tuned)
    assert load_results(copied).content_hash() == before
    assert record["booked_on"] == record["chosen"]
    assert not record["tuned_on_test"]
    assert record["evaluations"] == 2 * 5 * 6
    tuning = load_results(tuned)
    wanted = sum(
        float(run_clocks(tuning, "nb201-cifar100", tuning.trials("nb201-cifar100", s)).search.seconds.sum())
        for s in tuning.strategies
    )  # fmt: skip
    for (_, label), mean in tuning_of(copied).items():
        if label == record["chosen"]:
            assert mean == pytest.approx(wanted)
        else:
            assert math.isnan(mean)


def test_booking_twice_counts_once(copied: Path, tuned: Path) -> None:
    book_tuning(copied, tuned)
    once = (copied / TUNING).read_bytes()
    book_tuning(copied, tuned)
    assert (copied / TUNING).read_bytes() == once
    book_tuning(copied, tuned, "random")  # which is somebody else's account
    assert len(read_tuning(copied)) == 2


def test_tuning_on_the_test_is_flagged(tmp_path: Path, tuned: Path) -> None:
    names = ["nb201-cifar10", "nb201-cifar100"]
    compare(names, ["random", "evolution"], runs=1, budget=2, out=tmp_path / "c")
    record = book_tuning(tmp_path / "c", tuned)
    assert record["tuned_on_test"] is True
    assert record["overlap"] == ["nb201-cifar100"]
    note = ledger(load_results(tmp_path / "c"))[1].tuning.note
    assert "tuned on a benchmark of this comparison (nb201-cifar100)" in note
    assert f"tuning chose {record['chosen']}" in note


def test_a_tuning_whose_strategy_is_not_clear(tmp_path: Path, tuned: Path) -> None:
    labels = ["evolution(population=8)", "evolution(population=9)"]
    compare(["nb201-cifar10"], labels, runs=1, budget=2, out=tmp_path / "c")
    with pytest.raises(InvalidArgumentError, match="Say which strategy it is booked on"):
        book_tuning(tmp_path / "c", tuned)
    assert not (tmp_path / "c" / TUNING).exists()
    with pytest.raises(UnknownNameError):
        book_tuning(tmp_path / "c", tuned, "evolution")
    assert book_tuning(tmp_path / "c", tuned, labels[0])["booked_on"] == labels[0]


def test_what_cannot_be_booked(copied: Path, tuned: Path, plain: Path) -> None:
    with pytest.raises(ResultsError, match="holds no tuning of its own"):
        book_tuning(copied, plain)
    with pytest.raises(InvalidArgumentError, match="is the tuning itself"):
        book_tuning(tuned, tuned)
    book_tuning(copied, tuned)
    with pytest.raises(ResultsError, match="holds no tuning of its own"):
        book_tuning(tuned, copied)  # its record is somebody else's


def test_a_tuning_is_not_its_own_cost(tuned: Path) -> None:
    assert all(map(math.isnan, tuning_of(tuned).values()))


def test_tuning_without_simulated_times(copied: Path, tmp_path: Path) -> None:
    tune(
        "evolution",
        {"population": [3, 5]},
        ["nbgraph-proteins"],
        runs=1,
        budget=4,
        out=tmp_path / "t",
    )
    assert book_tuning(copied, tmp_path / "t", "random")["seconds"] is None
    found = ledger(load_results(copied))[0].tuning
    assert not found.recorded
    assert found.note.startswith("8 evaluations; ")
    assert found.note.endswith("some of it without simulated times")


def test_a_record_by_hand_needs_no_more_than_the_file_format(copied: Path) -> None:
    record = {"strategy": "evolution", "benchmarks": ["mine"], "evaluations": 7, "seconds": 2.5}
    (copied / TUNING).write_text(json.dumps([record]), encoding="utf-8")
    found = tuning_of(copied)
    assert found["nb201-cifar10", "evolution"] == 2.5
    assert found["nb201-cifar10", "evolution(population=5)"] == 2.5
    assert math.isnan(found["nb201-cifar10", "random"])


def record(**change: Any) -> str:
    """Return a file of one record of tuning in which something is otherwise."""
    good = {"strategy": "evolution", "benchmarks": ["b"], "evaluations": 1, "seconds": 1.5}
    return json.dumps([{**good, **change}])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "[1]",
        '[{"strategy": "a"}]',
        '[{"strategy": "a", "benchmarks": [], "evaluations": 1, "seconds": -1}]',
        '[{"strategy": "a", "benchmarks": [], "evaluations": 1}]',
        '[{"strategy": 1, "benchmarks": [], "evaluations": 1, "seconds": 1}]',
        record(benchmarks=[1]),
        record(space={"population": 5}),
        record(space=[1, 2]),
        record(space="abc"),
        record(cpu_seconds="x"),
        record(cpu_seconds=True),
        record(overlap=5),
        record(overlap=[1, 2]),
        record(chosen=[1]),
        record(booked_on=["a"]),
        record(tuned_on_test="no"),
        record(evaluations=-1),
        record(evaluations=True),
        record(seconds=float("inf")),
        record(seconds=float("nan")),
        record(seconds=10**400),
        record(seconds=True),
        "[" * 100_000,
    ],
)
def test_a_damaged_file_of_tuning(copied: Path, tuned: Path, text: str) -> None:
    (copied / TUNING).write_text(text, encoding="utf-8")
    with pytest.raises(ResultsError, match="book the tuning again"):
        ledger(load_results(copied))
    with pytest.raises(ResultsError, match="book the tuning again"):
        book_tuning(copied, tuned)
    assert (copied / TUNING).read_text(encoding="utf-8") == text


def test_a_damaged_record_is_named(copied: Path) -> None:
    (copied / TUNING).write_text(record(seconds="long"), encoding="utf-8")
    with pytest.raises(ResultsError, match=r"seconds of record 1 must be .*; got 'long'"):
        read_tuning(copied)


def test_a_tuning_that_does_not_say_what_it_chose(
    copied: Path, tuned: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(tuned, tmp_path / "tuned-copy"))
    [own] = read_tuning(copy)
    del own["chosen"]
    (copy / TUNING).write_text(json.dumps([own]), encoding="utf-8")
    with pytest.raises(ResultsError, match="does not say which settings tuning chose"):
        book_tuning(copied, copy)


@pytest.mark.parametrize(
    ("change", "labels"),
    [
        ({}, ["evolution", "evolution(population=5)"]),
        ({"booked_on": "evolution"}, ["evolution"]),
        ({"booked_on": None}, []),
        ({"strategy": "evolution(population=5)"}, ["evolution(population=5)"]),
    ],
)
def test_what_a_record_is_booked_on(change: dict[str, Any], labels: list[str]) -> None:
    [found] = json.loads(record(**change))
    known = ["random", "evolution", "evolution(population=5)"]
    assert [label for label in known if is_booked_on(found, label)] == labels
