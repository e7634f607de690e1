"""Charts of a verification as SVG: claimed against real, the bias of each arm, both along a search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
from numpy.typing import NDArray

from nasbench_tab.report.card_charts import axis_from, markers, padded, svg_of
from nasbench_tab.report.charts import EXACT_COLOUR, Style, chart_of, encoded

__all__ = ["EQUAL", "NONE", "Arm", "Dot", "Path", "along_svg", "biases_svg", "scatter_svg"]

EQUAL, NONE = "real = claimed", "no bias"
_REFERENCE = Style(EXACT_COLOUR, "M-1.1,-0.16H-0.2V0.16H-1.1ZM0.2,-0.16H1.1V0.16H0.2Z", dashed=True)
_TALL, _ROW = 300, 40
_MARGIN = 56  # names begin left of the plot
_Floats = NDArray[np.float64]


class Dot(NamedTuple):
    """A cell that was trained, with intervals; NaN = none.

    Attributes:
        label: Of its arm or strategy.
        x: Its claim, or the evaluation at which it became incumbent.
        y: Mean of its fresh trainings.
        low: Of the interval of that mean.
        high: See ``low``.
        left: Of the claim's interval.
        right: See ``left``.
    """

    label: str
    x: float
    y: float
    low: float = math.nan
    high: float = math.nan
    left: float = math.nan
    right: float = math.nan


class Arm(NamedTuple):
    """The bias of one arm: its cells', their mean and its interval."""

    label: str
    style: str
    cells: Sequence[float]
    mean: float
    low: float
    high: float


class Path(NamedTuple):
    """What one run claimed: ``(K,)`` evaluations and the value of the incumbent after each."""

    label: str
    x: _Floats
    claimed: _Floats


def scatter_svg(
    dots: Sequence[Dot], style: dict[str, Style], title: str, x_title: str, y_title: str
) -> str:
    """Return real values against claims on equal axes, with a line where both are equal."""
    ends = [v for d in dots for v in d[1:] if math.isfinite(v)]
    x, y = (padded(t, min(ends), max(ends), (-math.inf, math.inf)) for t in (x_title, y_title))
    horizontal, vertical = encoded(alt.X("x:Q"), x), encoded(alt.Y("y:Q"), y)
    equal = chart_of([{"x": end, "y": end} for end in (x.low, x.high)])
    layers = [
        equal.mark_line(color=EXACT_COLOUR, strokeWidth=1.3, strokeDash=[5, 4]).encode(
            x=horizontal, y=vertical
        )
    ]
    looks = {d.label: style[d.label] for d in dots}
    for label, look in looks.items():
        own = [d for d in dots if d.label == label]
        claimed = [{"x": d.left, "to": d.right, "y": d.y} for d in own if math.isfinite(d.left)]
        if claimed:
            layers.append(
                chart_of(claimed)
                .mark_rule(color=look.colour, strokeWidth=1, strokeOpacity=0.35)
                .encode(x=horizontal, x2="to:Q", y=vertical)
            )
        layers += _whiskers(own, look, horizontal, vertical)
    rows = [{"label": d.label, "x": d.x, "y": d.y} for d in dots]
    layers.append(markers(rows, {**looks, EQUAL: _REFERENCE}, horizontal, vertical))
    return svg_of(layers, title, _TALL)


def biases_svg(
    arms: Sequence[Arm], style: dict[str, Style], title: str, x_title: str, margin: float
) -> str:
    """Return one row for each arm: a small mark for each cell, below it the mean with its interval.

    The shaded band holds what does not matter. Names stand above their rows. Intervals far beyond all cells
    are cut at the frame.
    """
    known = [v for a in arms for v in (*a.cells, a.mean, -margin, margin) if math.isfinite(v)]
    ends = [v for a in arms for v in (a.low, a.high) if math.isfinite(v)]
    room = 0.5 * (
        max(known) - min(known)
    )  # an interval of few cells would leave none for all others
    low, high = (
        max(min(known) - room, min([*known, *ends])),
        min(max(known) + room, max([*known, *ends])),
    )
    x = padded(x_title, low, high, (-math.inf, math.inf))
    y = axis_from("", -0.65, len(arms) - 0.35)
    horizontal, vertical = encoded(alt.X("x:Q"), x), encoded(alt.Y("y:Q"), y).axis(None)
    band = chart_of([{"x": -margin, "to": margin, "y": y.low, "top": y.high}])
    zero = chart_of([{"x": 0.0, "y": end} for end in (y.low, y.high)])
    layers = [
        band.mark_rect(color=EXACT_COLOUR, fillOpacity=0.12).encode(
            x=horizontal, x2="to:Q", y=vertical, y2="top:Q"
        ),
        zero.mark_line(color=EXACT_COLOUR, strokeWidth=1.3, strokeDash=[5, 4]).encode(
            x=horizontal, y=vertical
        ),
    ]
    for place, arm in enumerate(arms):
        at, look = len(arms) - 1.0 - place, style[arm.style]
        name = [{"x": x.low, "y": at + 0.3, "text": _short(arm.label)}]
        layers.append(
            chart_of(name)
            .mark_text(align="left", fontSize=12, color="#3c4043", dx=-_MARGIN)
            .encode(x=horizontal, y=vertical, text="text:N")
        )
        cells = [{"x": v, "y": at} for v in arm.cells if math.isfinite(v)]
        layers.append(
            chart_of(cells)
            .mark_point(shape="stroke", angle=90, size=110, color=look.colour, strokeOpacity=0.6)
            .encode(x=horizontal, y=vertical)
        )
        if math.isfinite(arm.low):
            layers.append(
                chart_of([{"x": max(arm.low, x.low), "to": min(arm.high, x.high), "y": at - 0.25}])
                .mark_rule(color=look.colour, strokeWidth=1.8)
                .encode(x=horizontal, x2="to:Q", y=vertical)
            )
        if math.isfinite(arm.mean):
            mean = chart_of([{"x": arm.mean, "y": at - 0.25}])
            layers.append(
                mean.mark_point(
                    shape=look.shape, filled=True, size=60, opacity=1, color=look.colour
                ).encode(x=horizontal, y=vertical)
            )
    return svg_of(layers, title, 10 + _ROW * len(arms))


def along_svg(
    paths: Sequence[Path],
    dots: Sequence[Dot],
    style: dict[str, Style],
    title: str,
    y_title: str,
    within: tuple[float, float],
) -> str:
    """Return claims of a run of each strategy as steps, and real values of what it held as marks.

    Args:
        paths: The runs.
        dots: What was trained, at the evaluation at which it became incumbent.
        style: Of each label.
        title: Stands above the plot.
        y_title: Of the vertical axis.
        within: The least and the greatest value that is drawn.
    """
    counts = [float(v) for p in paths for v in p.x]
    x = axis_from("Evaluations", min(counts), max(counts), log=max(counts) >= 5 * min(counts) > 0)
    low, high = within
    dots = [d for d in dots if low <= d.y <= high]
    values = [float(v) for p in paths for v in p.claimed if low <= v <= high]
    values += [v for d in dots for v in (d.y, d.low, d.high) if math.isfinite(v)]
    y = padded(y_title, min(values), max(values), (-math.inf, math.inf))
    horizontal, vertical = encoded(alt.X("x:Q"), x), encoded(alt.Y("y:Q"), y)
    layers, looks = [], {p.label: style[p.label] for p in paths}
    for path in paths:
        look = looks[path.label]
        rows = [
            {"x": float(a), "y": float(b)}
            for a, b in zip(path.x, path.claimed, strict=True)
            if low <= b <= high
        ]
        layers.append(
            chart_of(rows)
            .mark_line(
                interpolate="step-after",
                color=look.colour,
                strokeWidth=1.8,
                strokeDash=[5, 4] if look.dashed else [1, 0],
            )
            .encode(x=horizontal, y=vertical)
        )
    for label, look in looks.items():
        own = [d for d in dots if d.label == label]
        layers += _whiskers(own, look, horizontal, vertical)
    marks = [{"label": d.label, "x": d.x, "y": d.y} for d in dots]
    layers.append(markers(marks, looks, horizontal, vertical))
    return svg_of(layers, title, _TALL)


def _whiskers(dots: Sequence[Dot], look: Style, x: Any, y: Any) -> list[alt.Chart]:
    rows = [{"x": d.x, "y": d.low, "to": d.high} for d in dots if math.isfinite(d.low)]
    if not rows:
        return []
    rule = chart_of(rows).mark_rule(color=look.colour, strokeWidth=1.5, strokeOpacity=0.8)
    return [rule.encode(x=x, y=y, y2="to:Q")]


def _short(text: str, most: int = 52) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
