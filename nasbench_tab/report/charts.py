"""Anytime charts as SVG and PDF: Altair describes them, vl-convert draws them, no browser needed."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import vl_convert

from nasbench_tab.report.curves import EXACT, FLOOR, Curve, Panel
from nasbench_tab.stats.manytasks import CriticalDifference

__all__ = [
    "COLOURS",
    "CONFIG",
    "DASHES",
    "EXACT_COLOUR",
    "HEIGHT",
    "WIDTH",
    "Axis",
    "Style",
    "chart_of",
    "chart_svg",
    "encoded",
    "framed",
    "groups_svg",
    "inline",
    "log_ticks",
    "pdf",
    "styles",
    "swatch",
    "ticks_of",
]

#: Line colours on white: the palette of Okabe and Ito, its light ones darkened. page.css maps each to
#: a lighter one for dark pages.
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#b8558f",
    "#c98a00",
    "#3d9bd1",
    "#6a51a3",
    "#7d7500",
)
# Markers, so that curves can be told apart without colours: Vega's name, and a path for swatches.
_SYMBOLS = {
    "circle": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "square": "M-3.6 -3.6h7.2v7.2h-7.2z",
    "triangle-up": "M0 -4.2L4.6 3.8h-9.2z",
    "diamond": "M0 -4.8L4.8 0L0 4.8L-4.8 0z",
    "cross": "M-1.4 -4.2h2.8v2.8h2.8v2.8h-2.8v2.8h-2.8v-2.8h-2.8v-2.8h2.8z",
    "triangle-down": "M0 4.2L4.6 -3.8h-9.2z",
    "triangle-left": "M-4.2 0L3.8 -4.6v9.2z",
    "triangle-right": "M4.2 0L-3.8 -4.6v9.2z",
}
_SHAPES = tuple(_SYMBOLS)
#: Of lines to compare with, and their symbol in the legend.
EXACT_COLOUR = "#5f6368"
_DOTS = "M-1.1,-0.16H-0.8V0.16H-1.1ZM-0.15,-0.16H0.15V0.16H-0.15ZM0.8,-0.16H1.1V0.16H0.8Z"
DASHES = "M-1.1,-0.16H-0.2V0.16H-1.1ZM0.2,-0.16H1.1V0.16H0.2Z"
#: Of the plot; with axes about 400 pixels, a phone's width.
WIDTH, HEIGHT = 346, 236
_LEFT, _TOP, _RIGHT = 60.0, 30.0, 16.0  # room around the plot
_MARKERS = 5  # on each curve
#: One weight of one font throughout: with two, their order in a PDF would be left to chance.
CONFIG = {
    "aria": False,
    "font": "Helvetica, Arial, 'Liberation Sans', sans-serif",
    "background": "white",
    "view": {"stroke": None},
    "title": {"fontSize": 13.5, "fontWeight": "normal", "color": "#1b1b1b"},
    "axis": {
        "labelFontSize": 12,
        "titleFontSize": 12.5,
        "titleFontWeight": "normal",
        "labelColor": "#3c4043",
        "titleColor": "#3c4043",
        "gridColor": "#e4e6e9",
        "domainColor": "#9aa0a6",
        "tickColor": "#9aa0a6",
        "tickSize": 4,
        "labelPadding": 3,
        "titlePadding": 8,
    },
    "legend": {
        "labelFontSize": 12,
        "labelColor": "#1b1b1b",
        "labelLimit": WIDTH - 16,
        "symbolSize": 60,
        "symbolOpacity": 1,
        "columnPadding": 14,
        "rowPadding": 3,
        "offset": 10,
    },
}
_UNITS = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


class Style(NamedTuple):
    """How one strategy is drawn in every chart."""

    colour: str
    shape: str
    dashed: bool


class Axis(NamedTuple):
    """One axis of a chart, and where its labels are."""

    title: str
    log: bool
    low: float
    high: float
    ticks: list[float]


def styles(labels: list[str]) -> dict[str, Style]:
    """Return the style of each strategy: by its place in the list, no two the same up to 64."""
    n = len(COLOURS)
    return {
        label: Style(COLOURS[i % n], _SHAPES[(i + i // n) % n], i // n % 2 == 1)
        for i, label in enumerate(labels)
    }


def chart_svg(panel: Panel, title: str, unit: str, style: dict[str, Style]) -> str:
    """Return one panel as an SVG document on white.

    Args:
        panel: The curves.
        title: Stands above the plot.
        unit: Unit of the regret, for the axis; may be empty.
        style: From :func:`styles`.
    """
    divisor, x_title = _x_unit(panel)
    exact = [curve for curve in (panel.exact, panel.floor) if curve is not None]
    found = [_tidy(curve, divisor) for curve in [*panel.curves, *exact]]
    x = _axis(x_title, [float(v) for curve in found for v in (*curve.x[:1], *curve.x[-1:])])
    y_title = panel.y_title or (f"Mean regret ({unit})" if unit else "Mean regret")
    y = _y_axis(found, y_title) if panel.quantity == "regret" else _plain_axis(found, panel)
    found = [_fitted(curve, y) for curve in found]
    n = len(panel.curves)
    chart = alt.layer(*_layers(found[:n], found[n:], x, y, style)).properties(
        width=WIDTH, height=HEIGHT, title=alt.Title(title, anchor="start", offset=10)
    )
    spec = {**chart.to_dict(), "config": CONFIG}
    return framed(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]))


def pdf(svg: str) -> bytes:
    """Return an SVG document as a PDF; the same document gives the same bytes.

    The converter lists a page's resources in the order of a randomised hash table. Sorting the lines
    of each list changes neither its meaning nor the place of anything else in the file.
    """
    made: bytes = vl_convert.svg_to_pdf(svg)
    return re.sub(
        rb"(?: +/\w+ \d+ 0 R\n)+", lambda found: b"".join(sorted(found[0].splitlines(True))), made
    )


def inline(svg: str, label: str) -> str:
    """Return a chart for use inside a page: it takes the page's width and has a label.

    It holds no ids (nothing in it is clipped or shaded), so many can stand in one page.

    Args:
        svg: From :func:`chart_svg`.
        label: What a screen reader says; already escaped for HTML.
    """
    head, bracket, body = svg.partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    body = re.sub(r'<rect [^>]*fill="white"/>', "", body, count=1)
    body = re.sub(r'<path class="(?:foreground|background)"[^>]*display="none"/>', "", body)
    return f'<svg class="chart" role="img" aria-label="{label}" {box and box[0]}{bracket}{body}'


def swatch(style: Style) -> str:
    """Return a piece of line with its marker, as an inline SVG, for the key of a table."""
    dashes = ' stroke-dasharray="5 4"' if style.dashed else ""
    return (
        '<svg class="swatch" viewBox="-14 -6 28 12" width="28" height="12" aria-hidden="true">'
        f'<path d="M-14 0H14" fill="none" stroke="{style.colour}" stroke-width="1.8"{dashes}/>'
        f'<path d="{_SYMBOLS[style.shape]}" fill="{style.colour}"/></svg>'
    )


def framed(svg: str) -> str:
    """Return the chart with its plot at the same place whatever its labels are.

    The drawn size depends on the widths of labels, so two charts side by side would not line up.
    """
    size = re.search(r'width="([\d.]+)" height="([\d.]+)" viewBox="[^"]*"', svg)
    origin = re.search(r'transform="translate\(([\d.]+),([\d.]+)\)"', svg)
    ground = re.search(r"<rect [^>]*/>", svg)
    if size is None or origin is None or ground is None:
        raise RuntimeError("vl-convert draws charts in a form that is not known here")
    x, y, height = float(origin[1]), float(origin[2]), float(size[2])
    left, width = x - max(_LEFT, x), max(_LEFT, x) + WIDTH + _RIGHT
    top, height = y - _TOP, height - y + _TOP
    box = f"{left:g} {top:g} {width:g} {height:g}"
    rect = f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" fill="white"/>'
    wider = f'width="{width:g}" height="{height:g}" viewBox="{box}"'
    return svg.replace(ground[0], rect, 1).replace(size[0], wider, 1)


def _layers(
    curves: list[Curve], exact: list[Curve], x: Axis, y: Axis, style: dict[str, Style]
) -> list[alt.Chart]:
    """Return bands, lines and markers, one above the other; the markers carry the legend.

    ``exact`` are references, not strategies: random search's expectation, the table's noise.
    """
    looks = {curve.label: style[curve.label] for curve in curves}
    for curve in exact:
        shape = _DOTS if curve.label == FLOOR else DASHES
        looks[curve.label] = Style(EXACT_COLOUR, shape, dashed=True)
    horizontal, vertical = encoded(alt.X("x:Q"), x), encoded(alt.Y("mean:Q"), y)
    layers = []
    for curve in curves:
        if curve.low is not None:
            band = chart_of(_rows(curve)).mark_area(
                color=looks[curve.label].colour, fillOpacity=0.16
            )
            layers.append(band.encode(x=horizontal, y=encoded(alt.Y("low:Q"), y), y2="high:Q"))
    for curve in [*curves, *exact]:
        look = looks[curve.label]
        line = chart_of(_rows(curve)).mark_line(
            color=look.colour,
            strokeWidth=1.3 if look.shape in (DASHES, _DOTS) else 1.8,
            strokeDash=[1.5, 3] if look.shape == _DOTS else [5, 4] if look.dashed else [1, 0],
        )
        layers.append(line.encode(x=horizontal, y=vertical))
    names = list(looks)
    longest = max(map(len, [*style, EXACT]))  # in both panels, so that their legends look alike
    columns = max(1, min(3, int(WIDTH / (6.4 * longest + 30))))
    legend = alt.Legend(title=None, orient="bottom", columns=columns)
    colours, shapes = ([getattr(looks[name], key) for name in names] for key in ("colour", "shape"))
    marked = [row for i, curve in enumerate(curves) for row in _marked(curve, i, len(curves))]
    points = chart_of(marked).mark_point(filled=True, size=38, opacity=1)
    layers.append(
        points.encode(
            x=horizontal,
            y=vertical,
            color=alt.Color("label:N", legend=legend).scale(domain=names, range=colours),
            shape=alt.Shape("label:N", legend=legend).scale(domain=names, range=shapes),
        )
    )
    return layers


def chart_of(rows: list[dict[str, Any]]) -> alt.Chart:
    """Return a chart of rows that it carries itself."""
    return alt.Chart(alt.InlineData(values=rows))


def encoded(channel: Any, axis: Axis) -> Any:
    """Return a channel of Altair's with the scale and the labels of an axis."""
    scale = alt.Scale(
        type="log" if axis.log else "linear", domain=[axis.low, axis.high], nice=False, zero=False
    )
    # As an expression: a format by itself is cut to the precision that the axis takes for enough.
    ticks = alt.Axis(
        values=axis.ticks,
        labelExpr="format(datum.value, ',~g')",
        labelOverlap=False,
        labelFlush=False,
    )
    return channel.scale(scale).axis(ticks).title(axis.title)


def _x_unit(panel: Panel) -> tuple[float, str]:
    if panel.axis == "regret":
        return 1.0, "Normalised regret (0 = best cell, 1 = a random cell)"
    if panel.axis == "evaluations":
        return 1.0, "Evaluations"
    first = min((float(curve.x[0]) for curve in panel.curves), default=1.0)
    seconds, name = next((unit for unit in _UNITS if first >= 0.1 * unit[0]), _UNITS[-1])
    return seconds, f"{panel.x_title or 'Simulated time'} ({name})"


def _tidy(curve: Curve, divisor: float) -> Curve:
    """Return the curve in the axis' unit, without points whose mean is not known."""
    good = np.isfinite(curve.mean)
    low, high = (None if end is None else end[good] for end in (curve.low, curve.high))
    return Curve(curve.label, curve.x[good] / divisor, curve.mean[good], low, high)


def _rows(curve: Curve) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"label": curve.label, "x": x, "mean": mean}
        for x, mean in zip(curve.x.tolist(), curve.mean.tolist(), strict=True)
    ]
    if curve.low is not None and curve.high is not None:
        for row, low, high in zip(rows, curve.low.tolist(), curve.high.tolist(), strict=True):
            row |= {"low": low, "high": high}
    return rows


def _marked(curve: Curve, number: int, n: int) -> list[dict[str, Any]]:
    """Return the points that get a marker: few, and not at the same x for all curves."""
    rows = _rows(curve)
    step = len(rows) / _MARKERS
    places = {int((i + (number + 0.5) / n) * step) for i in range(_MARKERS)}
    return [rows[place] for place in sorted(places) if place < len(rows)]


def _y_axis(curves: list[Curve], title: str) -> Axis:
    """Return the axis of regret: log if it spans enough, and down to the least positive mean.

    A log axis cannot show zero: a curve ends where its mean regret is exactly 0, and a band is cut at
    the lower end of the axis.
    """
    means = [float(v) for curve in curves for v in curve.mean if v > 0]
    ends = [float(v) for c in curves if c.low is not None for v in c.low if v > 0]
    highs = [float(v) for c in curves if c.high is not None for v in c.high]
    least = min(means, default=0.0)
    axis = _axis(title, [max([*means, *highs], default=1.0), max(least / 3, min([*ends, least]))])
    if axis.log:
        return axis._replace(low=axis.low / 1.06, high=axis.high * 1.06)
    pad = 0.04 * (axis.high - axis.low)
    return axis._replace(low=max(0.0, axis.low - pad), high=axis.high + pad)


def _plain_axis(curves: list[Curve], panel: Panel) -> Axis:
    """Return a linear axis for ranks or shares."""
    ends = [e for c in curves for part in (c.mean, c.low, c.high) if part is not None for e in part]
    low, high = (0.0, 1.0) if panel.quantity == "share" else (min(ends), max(ends))
    high = max(high, low + 0.1)
    usual = "Share of runs" if panel.quantity == "share" else "Mean rank (1 = best)"
    return Axis(panel.y_title or usual, False, low, high, ticks_of(low, high))


def groups_svg(found: CriticalDifference, labels: list[str], style: dict[str, Style]) -> str:
    """Return a critical-difference diagram as an SVG document on white.

    Each strategy stands at its mean rank; a bar below joins those that are not told apart, with a dot
    at each of its members (Demsar, JMLR 2006, with the groups of Wilcoxon's tests).
    """
    x = Axis("Mean rank of the mean over runs (1 = best)", False, 1.0, float(len(labels)), [])
    x = x._replace(ticks=[float(i + 1) for i in range(len(labels))])
    y = Axis("", False, -1.0 - len(found.groups), 1.0, [])
    horizontal = encoded(alt.X("x:Q"), x)
    vertical = encoded(alt.Y("y:Q"), y).axis(None)
    at = [
        {"label": label, "x": float(r), "y": 0.0}
        for label, r in zip(labels, found.ranks, strict=True)
    ]
    bars, dots = [], []
    for i, group in enumerate(group for group in found.groups if len(group) > 1):
        ranks = [float(found.ranks[k]) for k in group]
        bars.append({"x": min(ranks), "to": max(ranks), "y": -1.0 - i})
        dots += [{"x": rank, "y": -1.0 - i} for rank in ranks]
    names = list(labels)
    legend = alt.Legend(title=None, orient="bottom", columns=3)
    colours, shapes = ([getattr(style[n], key) for n in names] for key in ("colour", "shape"))
    points = chart_of(at).mark_point(filled=True, size=90, opacity=1)
    layers = [
        chart_of(bars)
        .mark_rule(color=EXACT_COLOUR, strokeWidth=3)
        .encode(x=horizontal, x2="to:Q", y=vertical),
        chart_of(dots)
        .mark_point(filled=True, size=36, opacity=1, color=EXACT_COLOUR)
        .encode(x=horizontal, y=vertical),
        points.encode(
            x=horizontal,
            y=vertical,
            color=alt.Color("label:N", legend=legend).scale(domain=names, range=colours),
            shape=alt.Shape("label:N", legend=legend).scale(domain=names, range=shapes),
        ),
    ]
    title = alt.Title(f"Mean ranks over {found.n} benchmarks", anchor="start", offset=10)
    height = 40 + 18 * (2 + len(bars))
    chart = alt.layer(*layers).properties(width=WIDTH, height=height, title=title)
    spec = {**chart.to_dict(), "config": CONFIG}
    return framed(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]))


def _axis(title: str, values: list[float]) -> Axis:
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high <= low:
        low, high = low - 0.5 * abs(low), high + (0.5 * abs(high) or 1.0)
    log = low > 0 and high >= 5 * low
    return Axis(title, log, low, high, log_ticks(low, high) if log else ticks_of(low, high))


def log_ticks(low: float, high: float) -> list[float]:
    """Return the densest series of round numbers that leaves room for its labels."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [round(step * 10.0**k, 12) for k in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick * 1.001 and tick <= high * 1.001]
        if len(ticks) <= 7:
            break
    return ticks[:: 1 + len(ticks) // 8]


def ticks_of(low: float, high: float) -> list[float]:
    """Return about five round numbers between two."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    first = math.ceil(low / step)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _fitted(curve: Curve, y: Axis) -> Curve:
    """Return the curve without what a log axis cannot show."""
    if not y.log:
        return curve
    shown = curve.mean > 0
    low = None if curve.low is None else np.maximum(curve.low[shown], y.low)
    high = None if curve.high is None else np.maximum(curve.high[shown], y.low)
    return Curve(curve.label, curve.x[shown], curve.mean[shown], low, high)
