"""The page's part on two objectives: its figures by hand, its charts, and that it is there only then."""

from __future__ import annotations

import re
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from nasbench_tab.benchmarks.tablefile import Column, write_table
from nasbench_tab.records import Metric, Protocol
from nasbench_tab.report.charts import styles
from nasbench_tab.report.front import front_section
from nasbench_tab.report.page import write_report
from nasbench_tab.report.summary import interval, summarise
from nasbench_tab.search.compare import compare
from nasbench_tab.search.fronts import hypervolume_ratios, target
from nasbench_tab.search.results import Results

from .conftest import small_table

STRATEGIES = ["random", "nsga2(population=5)", "pareto-local-search"]


@pytest.fixture
def fronts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "home"))

    def run(direction: str = "max", runs: int = 8, second: str | None = "size") -> Results:
        table = small_table("small", times=True, direction=direction)
        sizes = np.random.default_rng(5).uniform(0.1, 1.5, len(table.architectures))
        column = Column(Metric("size", "none", "min", "M"), sizes)
        table = table._replace(static={"size": column})
        write_table(tmp_path / "home" / "data" / "small", table, {"title": "made up"})
        protocol = Protocol(evaluations=25, missing="masked", second=second)
        return compare(["small"], STRATEGIES, runs=runs, protocol=protocol, out=tmp_path / "out")

    return run


def section(results: Results) -> Any:
    found = front_section(results, summarise(results)[0], styles(results.strategies))
    assert found is not None
    return found


@pytest.mark.parametrize("direction", ["max", "min"])
def test_its_figures(fronts: Any, direction: str) -> None:
    results = fronts(direction)
    found, goal = section(results), target(results, "small")
    assert found.heading == "Two objectives: validation quality and size"
    ratios = {
        label: hypervolume_ratios(results, "small", label, np.array([25]))[:, 0]
        for label in STRATEGIES
    }
    ranking = sorted(ratios, key=lambda label: -ratios[label].mean())
    assert found.finding.startswith(
        f"The front of {ranking[0]} has {ratios[ranking[0]].mean():.3f} ["
    )
    assert f"; {ranking[1]} is next, " in found.finding
    members = set(map(tuple, goal.front.tolist()))
    for row in found.table.rows:
        band = interval(ratios[row.label])
        assert band is not None
        mean, quartiles, own, hits = (cell.text for cell in row.cells)
        ends = [f"{float(end):.3f}" for end in (band.low, band.high)]
        assert mean == f"{ratios[row.label].mean():.3f} [{ends[0]},\u00a0{ends[1]}]"
        low, high = np.quantile(ratios[row.label], [0.25, 0.75])
        assert quartiles == f"{low:.3f} to {high:.3f}"
        trials = results.trials("small", row.label)
        pairs = list(zip(trials.final["valid_quality"], trials.final["size"], strict=True))
        most = [len(members & set(pairs[i * 25 : i * 25 + 25])) for i in range(8)]
        assert 0 <= float(hits.split()[0]) <= np.mean(most) + 0.05  # some do not look like members
        assert float(own) >= 1
    assert sum(row.cells[0].best for row in found.table.rows) <= 1
    assert f"of the {len(members)} of the exact front [95\u00a0%]" == found.table.titles[-1]


def paths(document: str, kind: str) -> list[list[tuple[float, float]]]:
    root = ET.fromstring(document)  # noqa: S314 - our own text
    found = []
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        if kind in group.get("class", ""):
            for path in group.iter("{http://www.w3.org/2000/svg}path"):
                steps = re.findall(r"([MLHV])([-\d.,]+)", path.get("d", ""))
                points: list[tuple[float, float]] = []
                for letter, numbers in steps:
                    given = list(map(float, numbers.split(",")))
                    if letter in "ML":
                        points.append((given[0], given[1]))
                    elif letter == "H":
                        points.append((given[0], points[-1][1]))
                    else:
                        points.append((points[-1][0], given[0]))
                found.append(points)
    return found


@pytest.mark.parametrize("direction", ["max", "min"])
def test_its_charts(fronts: Any, direction: str) -> None:
    found = section(fronts(direction))
    assert set(found.figures) == {"front", "hypervolume"}
    document = found.figures["front"]
    lines = paths(document, "mark-line")
    assert len(lines) == 4  # three strategies and the exact front
    for line in lines:
        for (x, y), (a, b) in pairwise(line):
            assert a >= x  # more cost
            assert b <= y + 1e-6 if direction == "max" else b >= y - 1e-6  # never worse
            assert x == a or y == b  # steps
        assert line[-1][0] == pytest.approx(346)  # up to the corner of the frame
    best = lines[0]
    for line in lines[1:]:  # nobody is above the exact front
        for x, y in line:
            level = [b for a, b in best if a <= x + 1e-6]
            assert level
            assert (y >= min(level) - 1e-6) if direction == "max" else (y <= max(level) + 1e-6)
    for document, texts in (
        (found.figures["front"], ("Size (M)", "Validation quality (%)", "exact front")),
        (found.figures["hypervolume"], ("Evaluations", "Hypervolume missing (1 − ratio)")),
    ):
        shown = [t.text for t in ET.fromstring(document).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314
        for text in (*texts, *STRATEGIES):
            assert shown.count(text) == 1


def test_the_page_has_it(fronts: Any) -> None:
    results = fronts()
    page = write_report(results.directory)
    text = unescape(page.read_text(encoding="utf-8"))
    assert "<h3>Two objectives: validation quality and size</h3>" in text
    assert section(results).finding in text
    assert "--second size" in text
    for name in ("front", "hypervolume"):
        assert (page.parent / "figures" / f"small-{name}.pdf").read_bytes().startswith(b"%PDF")


def test_few_runs_have_no_bands(fronts: Any) -> None:
    found = section(fronts(runs=3))
    assert found.table.titles[0] == "mean"
    assert not any(cell.best for row in found.table.rows for cell in row.cells)
    assert paths(found.figures["hypervolume"], "mark-area") == []


def test_where_the_space_was_not_listed_it_says_so(fronts: Any) -> None:
    results = fronts()
    del results.manifest["experiment"]["benchmarks"][0]["second"]["front"]
    found = section(results)
    assert "front of all evaluations" in found.caption
    assert any("since the space cannot be listed" in note for note in found.notes)


def test_with_one_objective_there_is_none(fronts: Any) -> None:
    results = fronts(second=None)
    assert front_section(results, summarise(results)[0], styles(results.strategies)) is None
