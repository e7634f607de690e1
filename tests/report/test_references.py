"""The rows beside the strategies and the sentence on the landscape, against plain computations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nasbench_tab.registry import load
from nasbench_tab.report.curves import evaluations_panel
from nasbench_tab.report.references import (
    Luck,
    Reference,
    exact_luck,
    landscapes,
    references,
)
from nasbench_tab.report.summary import summarise
from nasbench_tab.report.tables import outcome_table
from nasbench_tab.search.compare import compare
from nasbench_tab.search.landscape import landscape
from nasbench_tab.search.optimism import run_optimism
from nasbench_tab.search.results import Results

from .conftest import Compared

BOTH = ["small", "small-errors"]  # more is better; less is better, with a test metric


def beside(results: Results) -> list[Reference]:
    (summary,) = summarise(results)
    panel = evaluations_panel(summary, results.protocol)
    return references(summary, results.protocol, panel)


def lucky(results: Results) -> Luck | None:
    (summary,) = summarise(results)
    return exact_luck(summary, results.protocol, evaluations_panel(summary, results.protocol))


@pytest.mark.parametrize("name", BOTH)
def test_one_random_cell_is_the_space_itself(compared: Compared, name: str) -> None:
    results, bench = compared(benchmarks=[name]), load(name)
    found = beside(results)[-1]
    values = np.asarray(bench.query(bench.measured()))
    best = values.max() if name == "small" else values.min()
    assert found.mean == pytest.approx(values.mean())
    assert found.sd == pytest.approx(values.std())
    wanted = np.quantile(values, [0.25, 0.5, 0.75], method="inverted_cdf")
    assert found.quartiles == pytest.approx(wanted.tolist())
    assert found.regret == pytest.approx(abs(best - values.mean()))
    tests = {m: np.mean(bench.query(bench.measured(), m)) for m in bench.metrics if "test" in m}
    assert found.tests == pytest.approx(tests)


@pytest.mark.parametrize("name", BOTH)
def test_the_oracle_has_the_best_cell_and_no_regret(compared: Compared, name: str) -> None:
    results, bench = compared(benchmarks=[name]), load(name)
    found = beside(results)[0]
    cells = bench.measured()
    values = np.asarray(bench.query(cells))
    best = int(values.argmax() if name == "small" else values.argmin())
    assert found.label == "oracle, the best cell at once"
    assert (found.mean, found.sd, found.regret) == (values[best], 0.0, 0.0)
    assert found.quartiles == (values[best],) * 3
    tests = {m: bench.query(cells[best : best + 1], m)[0] for m in bench.metrics if "test" in m}
    assert found.tests == pytest.approx(tests)
    (summary,) = summarise(results)
    assert min(outcome.regret.value for outcome in summary.outcomes) >= found.regret


def test_the_oracle_keeps_the_limits(compared: Compared) -> None:
    bench = load("nb201-cifar10")
    results = compared(benchmarks=["nb201-cifar10"], limits=(("parameters", 0.3),), runs=6)
    found = beside(results)[0]
    within = bench.measured()[bench.query(bench.measured(), "parameters") <= 0.3]
    assert found.mean == np.asarray(bench.query(within)).max() < bench.query(bench.measured()).max()


@pytest.mark.parametrize("name", BOTH)
def test_random_search_by_its_law_is_that_of_many_runs(compared: Compared, name: str) -> None:
    results = compared(["random"], [name], 2000, evaluations=5)
    found = beside(results)[1]
    (outcome,) = summarise(results)[0].outcomes
    error = outcome.sd / np.sqrt(outcome.n)
    assert found.label == "random search, exact"
    assert found.mean == pytest.approx(outcome.mean, abs=4 * error)
    assert found.regret == pytest.approx(outcome.regret.value, abs=4 * error)
    assert found.sd == pytest.approx(outcome.sd, rel=0.15)
    wanted = (outcome.quartiles[0], outcome.median, outcome.quartiles[1])
    assert found.quartiles == pytest.approx(wanted, abs=0.25 * outcome.sd)
    for test, estimate in outcome.tests.items():
        assert found.tests[test] == pytest.approx(estimate.value, abs=2 * (estimate.high - estimate.low))  # fmt: skip


def test_both_rows_are_full(compared: Compared) -> None:
    results = compared(benchmarks=["small-errors"])
    (summary,) = summarise(results)
    rows = outcome_table(summary, beside(results)).rows[-2:]
    assert [row.label for row in rows] == ["random search, exact", "random sampling, exact"]
    for row in rows:
        assert row.reference
        dashes = [i for i, cell in enumerate(row.cells) if "–" in cell.text]
        assert dashes == [0, 6]  # it has no runs and none to be paired with
    assert rows[1].cells[7].text == "0.00\u00a0%"


def test_without_a_law_the_row_says_that_it_is_simulated(compared: Compared) -> None:
    results = compared(repeats="forbid")
    _, first, second = beside(results)
    assert first.label == "random search, simulated"
    assert np.isfinite([first.mean, first.sd, *first.quartiles]).all()
    assert second.label == "random sampling, exact"
    assert lucky(results) is None


def test_luck_is_that_of_many_runs(compared: Compared) -> None:
    results = compared(["random"], runs=2000, evaluations=5)
    found = lucky(results)
    assert found is not None
    each = run_optimism(results, "small", "random")
    for value, gaps in ((found.observed, each.observed), (found.reported, each.mean)):
        known = gaps[np.isfinite(gaps)]
        # Runs that saw another training of their winner by chance are scored on fewer.
        assert value == pytest.approx(known.mean(), abs=5 * known.std() / np.sqrt(len(known)))
    assert found.left_out == 0
    assert lucky(compared(["random"], seeds="mean")) is None


def test_a_missing_table_has_no_rows(compared: Compared, home: Path) -> None:
    results = compared()
    (summary,) = summarise(results)
    gone = summary._replace(background=summary.background._replace(bench=None))
    panel = evaluations_panel(gone, results.protocol)
    assert references(gone, results.protocol, panel) == []
    assert exact_luck(gone, results.protocol, panel) is None
    assert landscapes([gone], results.protocol) == [""]


def test_a_landscape_only_where_all_of_the_space_is_within_reach(
    compared: Compared, tmp_path: Path
) -> None:
    names = ["nb201-cifar10", "nb201-cifar100"]
    results = compare(names, ["random"], runs=2, budget=3, out=tmp_path / "r")
    summaries = summarise(results)
    texts = landscapes(summaries, results.protocol)
    for name, text in zip(names, texts, strict=True):
        found = landscape(load(name))
        assert f": {found.strict + found.plateaus} local optima" in text
        assert f"in {100 * found.success:.0f}\u00a0%" in text
        assert f"{found.until_optimum:.0f} evaluations" in text
    limited = results.protocol._replace(limits=(("train_seconds", 1e9),))
    assert landscapes(summaries, limited) == ["", ""]
    gaps = compared()  # 40 of 15,625 cells
    assert landscapes(summarise(gaps), gaps.protocol) == [""]
