"""Charts of a model card as SVG: curves beside a reference, predictions against values, ranges in rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import vl_convert
from numpy.typing import NDArray

from nasbench_tab.report.charts import (
    CONFIG,
    DASHES,
    EXACT_COLOUR,
    HEIGHT,
    WIDTH,
    Axis,
    Style,
    chart_of,
    encoded,
    framed,
    log_ticks,
    ticks_of,
)
from nasbench_tab.report.curves import Curve

__all__ = [
    "Line",
    "Range",
    "axis_from",
    "curves_svg",
    "hexagons_svg",
    "markers",
    "padded",
    "ranges_svg",
    "svg_of",
]

_Floats = NDArray[np.float64]
_TALL = 300
_INK = "#0072b2"  # page.css makes it lighter on dark pages
_RADIUS = 6.0  # of a hexagon, in pixels
_HEXAGON = "M0,-1L0.866,-0.5L0.866,0.5L0,1L-0.866,0.5L-0.866,-0.5Z"


class Line(NamedTuple):
    """A level to compare with, drawn dashed in grey over the whole width."""

    label: str
    at: float


class Range(NamedTuple):
    """A row: an estimate with its interval, and what it is compared with (NaN: nothing)."""

    label: str
    value: float
    low: float
    high: float
    beside: float = math.nan


def curves_svg(
    curves: Sequence[Curve],
    style: dict[str, Style],
    title: str,
    x_title: str,
    y_title: str,
    *,
    lines: Sequence[Line] = (),
    log: bool = False,
    banded: bool = True,
    within: tuple[float, float] = (-math.inf, math.inf),
    loose: Sequence[str] = (),
    room: float = 0.0,
) -> str:
    """Return curves over a common axis.

    Args:
        curves: With intervals or without.
        style: Of each label.
        title: Stands above the plot.
        x_title: Of the horizontal axis.
        y_title: Of the vertical one.
        lines: Levels to compare with.
        log: Whether the horizontal axis is logarithmic.
        banded: Intervals as bands; else as a rule at each point.
        within: Values that exist; the axis ends there.
        loose: Labels whose points are not joined.
        room: What the horizontal axis has beyond the points, at either end.
    """
    xs = [float(v) for curve in curves for v in curve.x]
    x = axis_from(x_title, min(xs) - room, max(xs) + room, log=log)
    parts = [p for c in curves for p in (c.mean, c.low, c.high) if p is not None]
    ys = [*(float(v) for part in parts for v in part if np.isfinite(v)), *(r.at for r in lines)]
    y = padded(y_title, min(ys), max(ys), within)
    horizontal, vertical = encoded(alt.X("x:Q"), x), encoded(alt.Y("mean:Q"), y)
    low = encoded(alt.Y("low:Q"), y)
    layers = []
    for curve in curves:
        look = style[curve.label]
        if curve.low is not None:
            bare = chart_of([row for row in _rows(curve) if math.isfinite(row["low"])])
            shade = (
                bare.mark_area(color=look.colour, fillOpacity=0.16)
                if banded
                else bare.mark_rule(color=look.colour, strokeWidth=1.4)
            )
            layers.append(shade.encode(x=horizontal, y=low, y2="high:Q"))
    for line in lines:
        ends = [{"x": end, "mean": line.at} for end in (x.low, x.high)]
        drawn = chart_of(ends).mark_line(color=EXACT_COLOUR, strokeWidth=1.3, strokeDash=[5, 4])
        layers.append(drawn.encode(x=horizontal, y=vertical))
    for curve in curves:
        if curve.label in loose:
            continue
        look = style[curve.label]
        drawn = chart_of(_rows(curve)).mark_line(
            color=look.colour, strokeWidth=1.8, strokeDash=[5, 4] if look.dashed else [1, 0]
        )
        layers.append(drawn.encode(x=horizontal, y=vertical))
    marked = [row for curve in curves for row in _few(_rows(curve), curve.label in loose)]
    looks = {curve.label: style[curve.label] for curve in curves}
    looks |= {line.label: Style(EXACT_COLOUR, DASHES, dashed=True) for line in lines}
    layers.append(markers(marked, looks, horizontal, vertical))
    return svg_of(layers, title, HEIGHT)


def hexagons_svg(
    predicted: _Floats, actual: _Floats, title: str, x_title: str, y_title: str
) -> str:
    """Return ``(n,)`` values against predictions, in hexagons, with a line where both are equal.

    A hexagon's colour is the stronger, the more of them it holds.
    """
    both = np.concatenate([predicted, actual])
    low, high = float(both.min()), float(both.max())
    x, y = (padded(t, low, high, (-math.inf, math.inf)) for t in (x_title, y_title))
    scale = np.array([WIDTH, _TALL]) / (x.high - x.low)
    pixels = (np.column_stack([predicted, actual]) - x.low) * scale
    centres, count = _binned(pixels)
    centres = centres / scale + x.low
    shade = 0.2 + 0.8 * np.sqrt(count / count.max())
    rows = [
        {"x": float(a), "y": float(b), "shade": float(s)}
        for (a, b), s in zip(centres, shade, strict=True)
    ]
    horizontal, vertical = encoded(alt.X("x:Q"), x), encoded(alt.Y("y:Q"), y)
    opacity = alt.Opacity("shade:Q", legend=None).scale(domain=[0, 1], range=[0, 1])
    equal = [{"x": end, "y": end} for end in (x.low, x.high)]
    line = chart_of(equal).mark_line(color=EXACT_COLOUR, strokeWidth=1.3, strokeDash=[5, 4])
    hexagons = chart_of(rows).mark_point(
        shape=_HEXAGON, size=(2 * _RADIUS) ** 2, filled=True, color=_INK, clip=False
    )
    layers = [
        hexagons.encode(x=horizontal, y=vertical, opacity=opacity),
        line.encode(x=horizontal, y=vertical),
    ]
    return svg_of(layers, title, _TALL)


def ranges_svg(
    ranges: Sequence[Range], title: str, x_title: str, *, value: str, beside: str
) -> str:
    """Return one row for each estimate; ``value`` and ``beside`` are what its two marks are called."""
    known = [v for r in ranges for v in (r.value, r.low, r.high, r.beside) if math.isfinite(v)]
    x = padded(x_title, min(known), max(known), (-math.inf, math.inf))
    names = [r.label for r in ranges]
    band = alt.Y("label:N", sort=None, title=None).scale(domain=names)
    band = band.axis(alt.Axis(ticks=False, domain=False, labelLimit=120, labelPadding=8))
    horizontal = encoded(alt.X("x:Q"), x)
    rules = [{"label": r.label, "x": r.low, "to": r.high} for r in ranges if math.isfinite(r.low)]
    marks = [{"label": r.label, "x": r.value, "what": value} for r in ranges]
    marks += [
        {"label": r.label, "x": r.beside, "what": beside} for r in ranges if math.isfinite(r.beside)
    ]
    looks = {value: Style(_INK, "circle", dashed=False)}
    if len(marks) > len(ranges):
        looks[beside] = Style(EXACT_COLOUR, "diamond", dashed=False)
    layers = [
        chart_of(rules)
        .mark_rule(color=_INK, strokeWidth=1.6)
        .encode(x=horizontal, x2="to:Q", y=band)
    ]
    layers.append(markers(marks, looks, horizontal, band, field="what"))
    return svg_of(layers, title, 30 + 30 * len(ranges))


def axis_from(title: str, low: float, high: float, *, log: bool = False) -> Axis:
    """Return an axis between two values, with room where they are the same."""
    if high <= low:
        low, high = (low / 1.5, low * 1.5) if log and low > 0 else (low - 0.5, high + 0.5)
    ticks = log_ticks(low, high) if log else ticks_of(low, high)
    return Axis(title, log, low, high, ticks)


def padded(title: str, low: float, high: float, within: tuple[float, float]) -> Axis:
    """Return a linear axis with some room at both ends, but no room for what cannot be."""
    pad = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return axis_from(title, max(within[0], low - pad), min(within[1], high + pad))


def _rows(curve: Curve) -> list[dict[str, Any]]:
    columns = {"x": curve.x, "mean": curve.mean}
    if curve.low is not None and curve.high is not None:
        columns |= {"low": curve.low, "high": curve.high}
    rows = [
        dict(zip(columns, row, strict=True))
        for row in np.column_stack([*columns.values()]).tolist()
    ]
    return [{"label": curve.label, **row} for row in rows if math.isfinite(row["mean"])]


def _few(rows: list[dict[str, Any]], loose: bool) -> list[dict[str, Any]]:
    """Return the points that get a marker: all, or of a long curve a few."""
    if loose or len(rows) <= 12:
        return rows
    return rows[len(rows) // 12 :: max(1, len(rows) // 6)]


def markers(
    rows: list[dict[str, Any]],
    looks: dict[str, Style],
    x: Any,
    y: Any,
    *,
    field: str = "label",
) -> alt.Chart:
    """Return markers, with the legend of everything."""
    names = list(looks)
    columns = max(1, min(3, int(WIDTH / (6.4 * max(map(len, names)) + 30))))
    legend = alt.Legend(title=None, orient="bottom", columns=columns) if len(names) > 1 else None
    colours, shapes = ([getattr(looks[n], key) for n in names] for key in ("colour", "shape"))
    points: alt.Chart = (
        chart_of(rows)
        .mark_point(filled=True, size=44, opacity=1)
        .encode(
            x=x,
            y=y,
            color=alt.Color(f"{field}:N", legend=legend).scale(domain=names, range=colours),
            shape=alt.Shape(f"{field}:N", legend=legend).scale(domain=names, range=shapes),
        )
    )
    return points


def svg_of(layers: list[alt.Chart], title: str, height: int) -> str:
    """Return the layers as one chart, drawn."""
    heading = alt.Title(title, anchor="start", offset=10)
    chart = alt.layer(*layers).properties(width=WIDTH, height=height, title=heading)
    spec = {**chart.to_dict(), "config": CONFIG}
    return framed(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]))


def _binned(pixels: _Floats) -> tuple[_Floats, _Floats]:
    """Return the centres of the hexagons that hold any point, ``(k, 2)``, and how many each holds.

    Two rectangular grids, one set off by half a step, hold all centres; a point belongs to the nearer.
    """
    step = np.array([math.sqrt(3) * _RADIUS, 3 * _RADIUS])
    first = np.round(pixels / step) * step
    second = (np.floor(pixels / step) + 0.5) * step
    nearer = ((pixels - first) ** 2).sum(axis=1) <= ((pixels - second) ** 2).sum(axis=1)
    centres, count = np.unique(np.where(nearer[:, None], first, second), axis=0, return_counts=True)
    return centres, count.astype(np.float64)
