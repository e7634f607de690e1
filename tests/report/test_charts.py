"""Charts: what is in them, that they line up, and that they can stand in one page."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from nasbench_tab.report.charts import chart_svg, groups_svg, inline, pdf, styles, swatch
from nasbench_tab.report.curves import EXACT, FLOOR, Curve, Panel, floored
from nasbench_tab.stats.manytasks import CriticalDifference

from .conftest import ODD_LABEL

X = np.geomspace(1, 100, 30)


def panel(
    *labels: str, scale: float = 10.0, exact: bool = True, axis: str = "evaluations"
) -> Panel:
    curves = [
        Curve(label, X, scale * (i + 1) / X, scale * (i + 0.8) / X, scale * (i + 1.3) / X)
        for i, label in enumerate(labels)
    ]
    reference = Curve(EXACT, X, scale / np.sqrt(X)) if exact else None
    return Panel(axis, curves, reference, "")  # type: ignore[arg-type]


def svg(shown: Panel, unit: str = "points") -> str:
    return chart_svg(shown, "title", unit, styles([curve.label for curve in shown.curves]))


def texts(document: str) -> list[str]:
    root = ET.fromstring(document)  # noqa: S314 - our own text
    return [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_a_chart_names_everything_once() -> None:
    found = texts(svg(panel("one", "two")))
    for text in ("title", "Evaluations", "Mean regret (points)", "one", "two", EXACT):
        assert found.count(text) == 1
    assert [text for text in found if text in ("1", "10", "100")]


def test_the_noise_of_the_table_is_a_line_of_its_own() -> None:
    shown = floored(panel("one", "two"), 0.05)
    assert shown.floor is not None
    assert shown.floor.mean.tolist() == [0.05, 0.05]
    assert shown.floor.x.tolist() == [X[0], X[-1]]
    document = svg(shown)
    assert texts(document).count(FLOOR) == 1
    assert 'stroke-dasharray="1.5,3"' in document
    assert svg(panel("one", "two")) == svg(floored(panel("one", "two"), 0.001))  # far below
    assert floored(panel("one"), float("nan")).floor is None
    flat = panel("one")._replace(curves=[Curve("one", X, np.zeros_like(X))])
    assert floored(flat, 0.1).floor is None  # nothing on a logarithmic axis to compare with


def test_styles_differ_and_do_not_depend_on_what_comes_later() -> None:
    labels = [f"s{i}" for i in range(40)]
    found = styles(labels)
    assert len({(style.colour, style.shape) for style in found.values()}) == 40
    assert styles(labels[:3]) == {label: found[label] for label in labels[:3]}


def test_charts_side_by_side_line_up() -> None:
    documents = [
        svg(panel("one", "two")),
        svg(panel("one", "two", scale=1.0, exact=False, axis="seconds"), unit=""),
    ]
    places = []
    for document in documents:
        box = re.search(r'viewBox="([-\d.]+) ([-\d.]+) ([\d.]+)', document)
        plot = re.search(r"translate\(([\d.]+),([\d.]+)\)", document)
        assert box is not None
        assert plot is not None
        x, y, width = map(float, box.groups())
        places.append((float(plot[1]) - x, float(plot[2]) - y, width))
    assert places[0] == places[1]


def test_inline_charts_have_no_ids_and_no_size() -> None:
    document = inline(svg(panel("one", "two")), "what it shows")
    assert document.startswith('<svg class="chart" role="img" aria-label="what it shows" viewBox=')
    assert not re.search(r"\bid=|url\(|xmlns|href", document)
    assert 'fill="white"' not in document
    ET.fromstring(document)  # noqa: S314 - our own text


def test_labels_are_escaped() -> None:
    document = svg(panel(ODD_LABEL))
    assert ODD_LABEL in texts(document)
    assert "<b>" not in document


def test_dashed_reference_and_bands() -> None:
    document = svg(panel("one", "two"))
    assert document.count('stroke-dasharray="5,4"') == 1
    assert document.count('fill-opacity="0.16"') == 2
    without = Panel("evaluations", [Curve("one", X, 1 / X)], None, "")
    assert 'fill-opacity="0.16"' not in svg(without)


def test_a_line_ends_where_the_regret_is_zero() -> None:
    mean = np.where(X < 20, 10 / X, 0.0)
    shown = Panel("evaluations", [Curve("one", X, mean, mean * 0.5, mean * 2)], None, "")
    document = svg(shown)
    assert not re.search("NaN|Infinity", document)
    path = re.search(r'<path d="([^"]+)" stroke="#0072b2"', document)
    assert path is not None
    assert len(re.findall("[ML]", path[1])) == int((X < 20).sum())


@pytest.mark.parametrize(
    "mean",
    [np.zeros(30), np.full(30, 2.0), np.linspace(3, 2, 30), np.full(30, 1e-9)],
    ids=["all zero", "constant", "less than a factor of five", "tiny"],
)
def test_unusual_curves_have_axes(mean: np.ndarray) -> None:
    document = svg(Panel("evaluations", [Curve("one", X, mean, mean, mean)], None, ""))
    assert not re.search("NaN|Infinity|undefined", document)
    assert len(texts(document)) >= 6


def test_one_point() -> None:
    point = np.array([1.0])
    document = svg(Panel("evaluations", [Curve("one", point, point)], None, ""))
    assert not re.search("NaN|Infinity", document)


@pytest.mark.parametrize(
    ("seconds", "unit"),
    [(1.0, "seconds"), (60.0, "minutes"), (3600.0, "hours"), (86400.0, "days")],
)
def test_time_is_shown_in_the_unit_that_fits(seconds: float, unit: str) -> None:
    curve = Curve("one", X * seconds, 1 / X)
    assert f"Simulated time ({unit})" in texts(svg(Panel("seconds", [curve], None, "")))


def test_pdfs_are_the_same_every_time() -> None:
    document = svg(panel("one", "two"))
    first = pdf(document)
    assert first.startswith(b"%PDF")
    assert {pdf(document) for _ in range(4)} == {first}
    assert svg(panel("one", "two")) == document


def test_swatches_match_the_charts() -> None:
    for style in styles([f"s{i}" for i in range(12)]).values():
        piece = swatch(style)
        assert style.colour in piece
        assert ("dasharray" in piece) == style.dashed
        ET.fromstring(piece)  # noqa: S314 - our own text


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (22.0, 75.0, ["40", "60"]),  # neither 4e+1
        (2.0, 3.2, ["2.25", "2.5", "2.75"]),  # nor 2.3 for 2.25
        (0.0021, 0.0034, ["0.0025", "0.003"]),
        (1000.0, 3400.0, ["1,000", "2,000", "3,000"]),
    ],
)
def test_ticks_say_where_they_are(low: float, high: float, ticks: list[str]) -> None:
    ends = np.array([low, high])
    found = texts(svg(Panel("evaluations", [Curve("one", ends, np.ones(2))], None, "")))
    assert set(ticks) <= set(found)
    numbers = [text for text in found if re.match(r"[\d.]", text)]
    assert not [text for text in numbers if "e" in text]
    if low < 10:
        shown = texts(svg(Panel("evaluations", [Curve("one", ends, ends)], None, "", "rank")))
        assert set(ticks) <= set(shown)


def test_ranks_and_shares() -> None:
    curves = [Curve("one", X, np.linspace(1, 1.4, 30)), Curve("two", X, np.linspace(2, 1.6, 30))]
    found = texts(svg(Panel("evaluations", curves, None, "", "rank")))
    assert "Mean rank (1 = best)" in found
    found = texts(svg(Panel("regret", curves, None, "", "share")))
    assert "Share of runs" in found
    assert {"0", "0.2", "1"} <= set(found)
    assert "Normalised regret (0 = best cell, 1 = a random cell)" in found
    nothing = Panel("regret", [Curve("one", np.zeros(5), np.ones(5))], None, "", "share")
    assert not re.search("NaN|Infinity", svg(nothing))


def groups(ranks: list[float], found: list[tuple[int, ...]], labels: list[str]) -> str:
    shown = CriticalDifference(np.array(ranks), 1.0, [], found, 6)
    return groups_svg(shown, labels, styles(labels))


def paths(document: str, colour: str) -> list[tuple[float, float]]:
    places = re.findall(rf'translate\(([\d.]+),([\d.]+)\)"[^>]*fill="{colour}"', document)
    return [(float(x), float(y)) for x, y in places]


def test_a_diagram_of_groups_joins_members_only() -> None:
    document = groups([1.2, 2.0, 3.4, 3.4], [(0, 1), (1, 2, 3)], ["a", "b", ODD_LABEL, "d"])
    found = texts(document)
    assert "Mean ranks over 6 benchmarks" in found
    assert {"1", "2", "3", "4", "a", "b", ODD_LABEL, "d"} <= set(found)
    assert "<b>" not in document
    assert not re.search("NaN|Infinity", document)
    ET.fromstring(document)  # noqa: S314 - our own text
    width = 346
    dots = paths(document, "#5f6368")
    expected = [(rank - 1) / 3 * width for rank in (1.2, 2.0, 2.0, 3.4, 3.4)]
    assert [x for x, _ in dots] == pytest.approx(expected)
    assert len({y for _, y in dots}) == 2  # two bars, one below the other
    assert len(re.findall("<line", document)) >= 2
    wide = groups([1.0, 2.0], [], ["a", "b"])
    assert paths(wide, "#5f6368") == []  # all are told apart


def test_a_diagram_lines_up_with_the_other_charts() -> None:
    boxes = []
    for document in (groups([1, 2], [(0, 1)], ["a", "b"]), svg(panel("one", "two"))):
        box = re.search(r'viewBox="([-\d.]+) [-\d.]+ ([\d.]+)', document)
        plot = re.search(r"translate\(([\d.]+),", document)
        assert box is not None
        assert plot is not None
        boxes.append((float(plot[1]) - float(box[1]), float(box[2])))
    assert boxes[0] == boxes[1]
