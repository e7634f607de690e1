"""The ledger of published results: what others published, what we get, whether it agrees.

One TOML file a table. Its head says where the numbers come from (``title``, ``source``, ``read_in``), what they
are of (``space``, ``protocol``, ``budget``, ``runs``, ``unit``) and, by name, what is missing to run a row
(``needs``), why a row differs (``explanations``) and which cells are meant (``cells``). Its rows are under
``[table]``, one a line::

    { row, column, value, status, [sd], [runs], [error], ours = ["function", ...] | needs = "name", [explained = "name"] }

``status`` is ``confirmed`` (read in the source), ``quoted`` (read in another paper) or ``unconfirmed`` (from memory:
decides nothing until it is read). ``ours`` names a function of tools/published.py; ``error`` is the rounding of what
goes into ours. To add a table: write its file, run ``python tools/published.py --renew``, read the verdicts, commit
the file, ours.json and docs/published.md.
"""

from __future__ import annotations

import importlib.util
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab import registry

ROOT = Path(__file__).resolve().parents[2]


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("published_tool", ROOT / "tools/published.py")
    assert spec
    assert spec.loader
    module = sys.modules["published_tool"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = _tool()
TABLES: dict[str, dict[str, Any]] = tool.tables()
OURS = tool.recorded()
MEASURED = [
    pytest.param(name, row, id=f"{name}: {tool.key(row)}")
    for name, table in TABLES.items()
    for row in table["table"]["rows"]
    if "ours" in row
]


@pytest.mark.parametrize("name", TABLES)
def test_each_file_is_well_formed(name: str) -> None:
    table = TABLES[name]
    assert tool.HEAD <= set(table) <= tool.HEAD_MAY
    assert set(table["table"]) == {"rows"}
    rows = table["table"]["rows"]
    keys = [tool.key(row) for row in rows]
    assert len(set(keys)) == len(keys)
    for row in rows:
        assert tool.ROW <= set(row) <= tool.ROW_MAY, row
        assert row["status"] in tool.STATUS
        assert isinstance(row["value"], (Decimal, int))
        assert row.get("sd", 0) >= 0
        assert ("ours" in row) != ("needs" in row), row
        assert row.get("ours", ["optimum"])[0] in tool.HOW
    for what, where in (("needs", "needs"), ("explained", "explanations")):
        used = {row[what] for row in rows if what in row}
        assert used == set(table.get(where, {})), (
            f"{where}: each is used, each that is used is there"
        )
    named = {argument for row in rows for argument in row.get("ours", [])}
    assert set(table.get("cells", {})) <= named


def test_every_row_that_can_be_run_is_recorded_and_no_other() -> None:
    expected = {
        name: {tool.key(row) for row in table["table"]["rows"] if "ours" in row}
        for name, table in TABLES.items()
    }
    assert {name: set(rows) for name, rows in OURS.items()} == expected


@pytest.mark.parametrize("name", TABLES)
def test_what_was_read_in_a_source_agrees_or_its_file_says_why_not(name: str) -> None:
    assert tool.failures(TABLES[name], OURS[name]) == []


def test_the_page_is_current() -> None:
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(OURS), "run tools/published.py"


@pytest.mark.parametrize(("name", "row"), MEASURED)
def test_what_is_recorded_is_what_we_measure(
    name: str, row: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    if row["ours"][0] in tool.NEEDS_DATA:
        request.getfixturevalue("shared_data")
    again, before = tool.measured(TABLES[name], row), OURS[name][tool.key(row)]
    assert again.runs == before.runs
    if again.runs:  # other random numbers give another mean, within both errors
        error = np.hypot(again.sd, before.sd) / np.sqrt(again.runs)
        assert abs(again.value - before.value) <= 4 * error
    else:
        assert again.value == pytest.approx(before.value, rel=1e-12)
        assert (again.sd is None) == (before.sd is None)
        assert (again.sd or 0.0) == pytest.approx(before.sd or 0.0, rel=1e-9)


def test_what_a_shipped_table_lacks_is_not_claimed_to_be_run() -> None:
    """12-epoch trainings, test accuracy and curves are not in the shipped NAS-Bench-201 tables."""
    for name in ("nb201-cifar10", "nb201-cifar100", "nb201-imagenet16-120"):
        bench = registry.load(name)
        assert bench.epochs == (200,), "12-epoch rows may have become runnable: look at the ledger"
        assert not any(metric.split == "test" for metric in bench.metrics.values())
    twelve = [
        row
        for name in ("nasbench201-iclr2020", "natsbench-tpami2021")
        for row in TABLES[name]["table"]["rows"]
        if row["row"] in {"REA", "RS", "RANDOM", "REINFORCE", "BOHB"}
    ]
    assert len(twelve) == 48
    assert all(
        "12-epoch" in TABLES["nasbench201-iclr2020"]["needs"][row["needs"]] for row in twelve
    )


def row_of(value: str, **more: Any) -> dict[str, Any]:
    return {"row": "a", "column": "b", "value": Decimal(value), "status": "quoted", **more}


@pytest.mark.parametrize(
    ("row", "runs", "ours", "words", "tolerance"),
    [
        (row_of("91.61"), 500, tool.Ours(91.6067), "agrees", 0.01),
        (row_of("46.77"), 500, tool.Ours(46.7333), "differs", 0.01),
        (row_of("0.4"), None, tool.Ours(0.5), "agrees", 0.1),
        (row_of("0.40"), None, tool.Ours(0.5), "differs", 0.01),
        (row_of("0.43", error=Decimal("0.015")), 8, tool.Ours(0.4228), "agrees", 0.015),
        # Three standard errors and half a unit: 3 * sqrt(0.3**2 / 500 + 0.4**2 / 200) + 0.005.
        (row_of("93.92", sd=Decimal("0.30")), 500, tool.Ours(93.90, 0.4, 200), "agrees", 0.098915),
        # An exact law of ours has a spread and no error.
        (row_of("89.14", sd=Decimal("1.14")), 500, tool.Ours(89.4, 1.2), "differs", 0.157947),
        # A row's own number of runs goes before the table's.
        (row_of("92.98", sd=Decimal("0.82"), runs=3), 500, tool.Ours(91.6), "agrees", 1.425281),
        # What the source does not say is taken to be as ours.
        (row_of("127"), None, tool.Ours(124.0, 56.0, 400), "agrees", 12.379394),
        (row_of("1.0"), 9, None, "not runnable", float("nan")),
    ],
)
def test_verdicts(
    row: dict[str, Any], runs: int | None, ours: Any, words: str, tolerance: float
) -> None:
    found = tool.verdict(row, runs, ours)
    assert found.words == words
    assert found.tolerance == pytest.approx(tolerance, abs=1e-6, nan_ok=True)


@given(
    value=st.decimals(1, 99, places=2),
    sd=st.decimals("0.01", 5, places=2),
    runs=st.integers(2, 1000),
    gap=st.floats(0, 20),
    more=st.integers(2, 10),
)
def test_more_runs_never_forgive_more(
    value: Decimal, sd: Decimal, runs: int, gap: float, more: int
) -> None:
    row, ours = row_of(str(value), sd=sd), tool.Ours(float(value) + gap, float(sd), runs)
    few = tool.verdict(row, runs, ours)
    many = tool.verdict(row, runs * more, ours._replace(runs=runs * more))
    assert many.tolerance < few.tolerance
    assert few.words == "agrees" or many.words == "differs"
    if abs(gap - few.tolerance) > 1e-6:
        assert (few.words == "agrees") == (gap < few.tolerance)


def test_a_wrong_number_fails_unless_it_is_from_memory() -> None:
    ours = {"a | b": tool.Ours(90.0)}

    def lines(**more: Any) -> list[str]:
        return list(tool.failures({"table": {"rows": [row_of("91.00") | more]}}, ours))

    assert len(lines()) == 1
    assert lines(status="confirmed")[0].startswith("a | b: published 91.00, ours Ours(value=90.0")
    assert lines(explained="why") == []
    assert lines(status="unconfirmed") == []
    assert len(lines(value=Decimal("90.00"), explained="why")) == 1  # a reason for nothing
    assert lines(needs="x") == lines()  # what is recorded is judged


def test_planted_errors_in_the_real_files_are_found() -> None:
    planted = 0
    for name, table in TABLES.items():
        for row in table["table"]["rows"]:
            if "ours" in row and row["status"] != "unconfirmed" and "explained" not in row:
                wrong = {**row, "value": row["value"] + 30}
                assert len(tool.failures({**table, "table": {"rows": [wrong]}}, OURS[name])) == 1
                planted += 1
    assert planted > 30


def test_a_missing_file_of_published_data_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tool, "DATA", tmp_path)
    tool.exported.cache_clear()
    with pytest.raises(FileNotFoundError):
        tool.export("optimum", "CIFAR10TestAccuracy200Epochs")
