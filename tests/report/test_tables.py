"""Tables as text: units, bounds, reasons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nasbench_tab.report.across import across
from nasbench_tab.report.references import Luck
from nasbench_tab.report.summary import summarise
from nasbench_tab.report.tables import (
    across_table,
    cost_table,
    ledger_notes,
    ledger_table,
    optimism_note,
    optimism_table,
    outcome_table,
)
from nasbench_tab.search.ledger import Account, Amount, ledger
from nasbench_tab.search.optimism import Optimism
from nasbench_tab.stats.bootstrap import Interval

from .conftest import Compared, early

NAN = float("nan")


def account(label: str = "some", **amounts: Amount) -> Account:
    zero = Amount(0.0)
    found: dict[str, Any] = dict.fromkeys(Account._fields[4:-2], zero)
    return Account("small", label, 20, 1, **{**found, **amounts})


def cell(amount: Amount) -> str:
    table = ledger_table([account(search=amount)])
    assert table.titles[1] == "search"
    return table.rows[0].cells[1].text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Amount(NAN, note="why"), "not recorded"),
        (Amount(0.0), "0.0 s"),
        (Amount(59.0), "59.0 s"),
        (Amount(120.0), "2.0 min"),
        (Amount(119.0), "119.0 s"),
        (Amount(7200.0), "2.0 h"),
        (Amount(2 * 86400.0), "2.0 d"),
        (Amount(0.0124), "12.4 ms"),
        (Amount(3e8), "3,472.2 d"),
        (Amount(180.0, at_least=True), "≥ 3.0 min"),
        (Amount(180.0, 120.0, 240.0, 20), "3.0 [2.0, 4.0] min"),
        (Amount(180.0, 180.0, 180.0, 20), "3.0 [3.0, 3.0] min"),
        (Amount(180.0, 174.0, 186.0, 20, at_least=True), "≥ 3.00 [2.90, 3.10] min"),
        # The ends are in the unit of the mean, and none of them is scaled by how that was rounded.
        (Amount(0.149, 0.05, 0.31, 20), "0.15 [0.05, 0.31] s"),
        (Amount(130.0, 100.0, 7300.0, 20), "2.2 [1.7, 121.7] min"),
        (Amount(1.04e-5, 1.0e-5, 1.08e-5, 20), "0.01 [0.01, 0.01] ms"),
    ],
)
def test_times_have_units_and_say_what_they_are(amount: Amount, text: str) -> None:
    assert cell(amount) == text


def test_a_time_breaks_before_its_bracket_only() -> None:
    text = ledger_table([account(search=Amount(180.0, 120.0, 240.0, 20, at_least=True))])
    assert text.rows[0].cells[1].text.split(" ") == ["≥\u00a03.0", "[2.0,\u00a04.0]\u00a0min"]


def test_a_ledger_without_times_says_so(compared: Compared) -> None:
    results = compared(benchmarks=["small-errors"])
    accounts = ledger(results)
    table = ledger_table(accounts)
    for row in table.rows:
        texts = [found.text for found in row.cells]
        assert texts[:-1] == ["not recorded"] * 7
        assert texts[-1].endswith("s")  # ms or s: the processor's
    notes = ledger_notes(accounts)
    assert any("no training times" in note for note in notes)
    assert not any("(random" in note for note in notes)  # they hold for all


def test_a_ledger_with_times_adds_up(compared: Compared) -> None:
    (first, _) = ledger(compared())
    frame_seconds = first.search.mean
    (row,) = ledger_table([first]).rows
    texts = [found.text for found in row.cells]
    assert texts[0] == texts[1]  # one worker, no validation: elapsed is what the trainings took
    assert texts[2] == texts[4] == "not recorded"
    assert texts[5].startswith("≥\u00a0")
    assert texts[6].startswith("≥\u00a0")
    hours = frame_seconds / 3600
    assert texts[1].split(" ")[0] == f"{hours:.2f}"


def test_notes_name_whom_they_are_about() -> None:
    said, other = Amount(NAN, note="nobody looked"), Amount(NAN, note="two runs")
    notes = ledger_notes([account("a", search=said, tuning=other), account("b", search=said)])
    assert notes == ["Search: nobody looked.", "Tuning: two runs (a)."]
    assert ledger_notes([account("a")]) == []


def test_what_died_with_its_worker_has_a_column_and_a_note() -> None:
    assert "lost with workers that died" not in ledger_table([account()]).titles
    dead = account(died=Amount(2.04, 1.5, 2.5, 20), lost=Amount(120.0))
    table = ledger_table([dead])
    assert table.titles[-1] == "lost with workers that died"
    assert table.rows[0].cells[-1].text.replace("\u00a0", " ") == "2.0 min"
    (note,) = ledger_notes([dead])
    assert note.replace("\u00a0", " ") == (
        "Evaluations of a run whose worker died: some 2.0 [1.5, 2.5]."
    )


def lucky(label: str, reason: str = "", n: int = 20) -> Optimism:
    shown = Interval(np.asarray(0.5), np.asarray(0.25), np.asarray(0.75))
    return Optimism("small", label, shown, shown, n, 3, 1, reason)


def test_luck_with_and_without_a_reason(compared: Compared) -> None:
    (summary,) = summarise(compared(runs=5))
    table = optimism_table(summary, [lucky("a"), lucky("b", "nothing was left")])
    first, second = ([found.text for found in row.cells] for row in table.rows)
    assert first[0] == first[1]
    assert first[0].startswith("0.5")
    assert first[2:] == ["20", "4"]
    assert second == ["nothing was left", "–", "–", "–"]
    assert optimism_note([lucky("a"), lucky("b", "nothing was left")]) == ""
    mixed = [lucky("a", "this"), lucky("b", "that")]
    assert [row.cells[0].text for row in optimism_table(summary, mixed).rows] == ["this", "that"]
    # The same reason for all stands below the tables, once.
    alike = [lucky("a", "means"), lucky("b", "means")]
    assert optimism_table(summary, alike) == ([], [])
    assert optimism_note(alike) == "means"
    assert optimism_note([]) == ""
    assert optimism_note([lucky("a"), lucky("b")]) == ""


def test_luck_of_random_search_by_its_law(compared: Compared) -> None:
    (summary,) = summarise(compared(runs=5))
    known = Luck("random search, exact", 0.5, NAN, 0.25)
    last = optimism_table(summary, [lucky("a")], known).rows[-1]
    assert last.reference
    texts = [found.text for found in last.cells]
    assert float(texts[0]) == 0.5
    assert texts[1:] == ["–", "–", "25.0\u00a0%"]


def test_all_benchmarks_in_a_table(compared: Compared) -> None:
    results = compared(["random", early(most=3)], ["small", "small-errors"], 10)
    found, _ = across(summarise(results))
    assert found is not None
    table = across_table(found)
    assert table.titles[-2:] == ["ahead of random", "ahead of early"]
    for k, row in enumerate(table.rows):
        assert len(row.cells) == len(table.titles)
        assert row.cells[4 + k].text == "–"  # no one is ahead of itself
        assert "–" not in [other.text for i, other in enumerate(row.cells) if i != 4 + k]
    ranks = [float(row.cells[0].text.split(" ")[0]) for row in table.rows]
    assert sum(ranks) == pytest.approx(3)


def test_costs(compared: Compared) -> None:
    (summary,) = summarise(compared(["random", early()], runs=20))
    first, second = ([found.text for found in row.cells] for row in cost_table(summary).rows)
    assert first[0] == "15"
    assert first[4] == "budget: 20"
    lengths = summary.searched[1].trials.lengths
    assert second[0] == f"{lengths.mean():.1f} ({lengths.min()} to {lengths.max()})"
    assert second[4] == "exhausted: 20"


def test_a_test_metric_has_decimals_of_its_own(compared: Compared) -> None:
    results = compared(benchmarks=["small-errors"], runs=20)
    (summary,) = summarise(results)
    # Were the test metric a thousand times larger, its figures would need three decimals fewer.
    large = [
        one._replace(tests={name: e._replace(value=1e3 * e.value, low=1e3 * e.low, high=1e3 * e.high)
                            for name, e in one.tests.items()})
        for one in summary.outcomes
    ]  # fmt: skip

    def places(shown: Any) -> int:
        text = outcome_table(shown).rows[0].cells[-1].text.split(" ")[0]
        return len(text.partition(".")[2])

    assert places(summary._replace(outcomes=large)) == places(summary) - 3
