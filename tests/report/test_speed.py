"""How fast: against random search's exact curve and plain counting."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from nasbench_tab.registry import load
from nasbench_tab.report.speed import speed_table
from nasbench_tab.report.summary import summarise
from nasbench_tab.search.exact import random_search_curve
from nasbench_tab.search.results import Results

from .conftest import Compared, early
from .tables import fixed, ranked

BOTH = ["small", "small-errors"]  # more is better, less is better


def table(results: Results) -> dict[str, list[str]]:
    (summary,) = summarise(results)
    found = speed_table(summary, results.protocol)
    assert all(len(row.cells) == len(found.titles) for row in found.rows)
    return {row.label: [cell.text for cell in row.cells] for row in found.rows}


def numbers(text: str) -> list[float]:
    return [float(part.replace(",", "")) for part in re.findall(r"[\d.,]*\d", text)]


@pytest.mark.parametrize("benchmark", BOTH)
def test_random_search_is_as_fast_as_itself(compared: Compared, benchmark: str) -> None:
    cells = table(compared(["random"], [benchmark], 200))["random"]
    needed, low, high = numbers(cells[0])
    assert low < 15 < high
    assert 10 < needed < 22
    ratio, low, high = numbers(cells[1])
    assert low < 1 < high
    assert ratio == pytest.approx(needed / 15, abs=0.05)


@pytest.mark.parametrize("benchmark", BOTH)
def test_evaluations_are_those_of_the_exact_curve(compared: Compared, benchmark: str) -> None:
    # All runs end with one known cell after one evaluation.
    some = ranked(benchmark)[12]
    results = compared([fixed("fixed", some), "random"], [benchmark], 20)
    bench, counts = load(benchmark), np.arange(1, 200)
    sign = 1 if bench.objective.direction == "max" else -1
    exact = sign * random_search_curve(bench, results.protocol, counts)
    value = sign * float(bench.query(some))
    first = int(counts[exact >= value][0])
    needed, ratio = (numbers(text)[0] for text in table(results)["fixed"][:2])
    assert first - 1 <= needed <= first
    assert ratio == pytest.approx(needed, abs=1)  # of one evaluation


@pytest.mark.parametrize("benchmark", BOTH)
def test_time_to_where_random_search_ends(compared: Compared, benchmark: str) -> None:
    results = compared(["random", "evolution(population=5)"], [benchmark], 40)
    (summary,) = summarise(results)
    found = speed_table(summary, results.protocol)
    bench = load(benchmark)
    level = float(random_search_curve(bench, results.protocol, np.array([15]))[0])
    target = abs(summary.about["optimum"] - level)
    (shown,) = numbers(found.titles[2])
    assert shown == pytest.approx(target, abs=0.5 if benchmark == "small" else 0.005)
    for searched, row in zip(summary.searched, found.rows, strict=True):
        final = searched.trials.final["valid_quality"].reshape(40, 15)
        observed = searched.trials.values.reshape(40, 15)
        spent, reached = 0, 0
        for values, seen in zip(final, observed, strict=True):
            better = seen if bench.objective.direction == "max" else -seen
            incumbent = [values[better[: i + 1].argmax()] for i in range(15)]
            close = [abs(summary.about["optimum"] - value) <= target for value in incumbent]
            spent += close.index(True) + 1 if any(close) else 15
            reached += any(close)
        assert numbers(row.cells[2].text)[0] == pytest.approx(spent / reached, abs=0.51)
        share, low, high = numbers(row.cells[3].text)
        assert share == pytest.approx(100 * reached / 40, abs=0.51)
        assert low <= share <= high


@pytest.mark.parametrize("benchmark", BOTH)
def test_the_best_cell_is_beyond_random_search(compared: Compared, benchmark: str) -> None:
    # Random search ends with the cell that has the luckiest training, so its curve stays short of the
    # best mean however long it runs.
    best, *_, worst = ranked(benchmark)
    found = table(compared([fixed("up", best), fixed("down", worst)], [benchmark], 20))
    assert found["up"][:2] == ["≥\u00a01,000", "≥\u00a01,000.00"]
    assert numbers(found["up"][2])[0] == 1
    assert numbers(found["up"][3])[0] == 100
    assert numbers(found["down"][0])[0] == 1  # no search is shorter
    assert found["down"][2] == "never reached"
    assert numbers(found["down"][3])[0] == 0
    assert numbers(found["down"][3])[2] > 0  # Wilson: 20 failures are no proof


def test_an_interval_may_have_no_end(compared: Compared) -> None:
    best, *_, worst = ranked("small")
    results = compared([fixed("seldom", worst, best, 0.1), "random"], runs=20)
    hits = int((results.frame().query("strategy == 'seldom'")["regret"] < 1).sum())
    assert 1 <= hits <= 3  # so that many a resample holds none
    text = table(results)["seldom"][2]
    assert re.fullmatch(r"\d+ \[\d+,\u00a0∞\)", text)
    assert numbers(text)[0] == pytest.approx(20 / hits, abs=0.51)


def test_few_runs_have_figures_without_intervals(compared: Compared) -> None:
    for runs in (1, 3):
        for texts in table(compared(["random", early(most=3)], runs=runs)).values():
            for text in texts:
                assert text == "never reached" or len(numbers(text)) == 1
                assert "[" not in text
                assert "nan" not in text.lower()


def test_runs_without_an_incumbent_are_left_out(compared: Compared) -> None:
    found = table(compared([early("never", 0, 1), early("sometimes", 0, 3), "random"], runs=30))
    assert list(found) == ["sometimes", "random"]


def test_no_law_no_rows(compared: Compared, home: Path) -> None:
    timed = compared(evaluations=None, seconds=4000.0)
    (summary,) = summarise(timed)
    assert speed_table(summary, timed.protocol) == ([], [])
    nothing = compared([early("never", 0, 1)], runs=6)
    (summary,) = summarise(nothing)
    assert speed_table(summary, nothing.protocol) == ([], [])
    results = compared()
    (home / "data" / "small" / "manifest.toml").unlink()
    (summary,) = summarise(results)
    assert speed_table(summary, results.protocol) == ([], [])
