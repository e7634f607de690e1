"""The picture of fronts as SVG: what half of the runs attain, beside the best front there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import altair as alt
import numpy as np
from numpy.typing import NDArray

from nasbench_tab.report.card_charts import axis_from, markers, svg_of
from nasbench_tab.report.charts import DASHES, EXACT_COLOUR, HEIGHT, Style, chart_of, encoded
from nasbench_tab.search.fronts import Target

__all__ = ["Line", "front_svg"]

_Floats = NDArray[np.float64]
_MARKERS = 5


class Line(NamedTuple):
    """The steps of one strategy: ``(K,)`` costs and the values attained there, the least cost first."""

    label: str
    cost: _Floats
    value: _Floats


def front_svg(
    lines: Sequence[Line],
    goal: Target,
    best_name: str,
    style: dict[str, Style],
    title: str,
    x_title: str,
    y_title: str,
) -> str:
    """Return values against costs, in the frame within which hypervolume counts; both axes are linear.

    Args:
        lines: Of each strategy.
        goal: Its front is drawn dashed, with its members as dots; its reference point is a corner.
        best_name: What that front is called.
        style: Of each strategy.
        title: Stands above the plot.
        x_title: Of the axis of costs.
        y_title: Of the axis of values.
    """
    signs = np.array([-goal.second.score(1.0), -goal.objective.score(1.0)])
    corner = goal.reference * signs
    inside = goal.front[(goal.front[:, ::-1] * signs < goal.reference).all(axis=1)]
    x = axis_from(x_title, *_ends(inside[:, 1], corner[0]))
    y = axis_from(y_title, *_ends(inside[:, 0], corner[1]))
    horizontal, vertical = encoded(alt.X("x:Q"), x), encoded(alt.Y("y:Q"), y)
    # Where less of the second is better, what was attained holds for all greater costs.
    steps: Literal["step-after", "step-before"]
    steps = "step-after" if goal.second.direction == "min" else "step-before"
    best = Line(
        best_name, np.append(inside[:, 1], corner[0]), np.append(inside[:, 0], inside[-1, 0])
    )
    reference = Style(EXACT_COLOUR, DASHES, dashed=True)
    layers, marked = [], []
    for line in [best, *lines]:
        look = style.get(line.label, reference)
        rows = _corners(line)
        layers.append(
            chart_of(rows)
            .mark_line(
                interpolate=steps,
                color=look.colour,
                strokeWidth=1.3 if look is reference else 1.8,
                strokeDash=[5, 4] if look.dashed else [1, 0],
                clip=False,
            )
            .encode(x=horizontal, y=vertical)
        )
    for number, line in enumerate(lines):
        rows = _corners(line)
        step = len(rows) / _MARKERS
        places = {int((i + (number + 0.5) / len(lines)) * step) for i in range(_MARKERS)}
        marked += [{"label": line.label, **rows[place]} for place in sorted(places)]
    dots = [{"x": cost, "y": value} for value, cost in inside.tolist()]
    layers.append(
        chart_of(dots)
        .mark_point(shape="circle", filled=True, size=22, opacity=1, color=EXACT_COLOUR)
        .encode(x=horizontal, y=vertical)
    )
    looks = {line.label: style[line.label] for line in lines}
    layers.append(markers(marked, {**looks, best_name: reference}, horizontal, vertical))
    return svg_of(layers, title, HEIGHT)


def _corners(line: Line) -> list[dict[str, float]]:
    """Return the points at which the value changes, and the last."""
    changes = np.append(True, np.diff(line.value) != 0)
    changes[-1] = True
    pairs = zip(line.cost[changes].tolist(), line.value[changes].tolist(), strict=True)
    return [{"x": cost, "y": value} for cost, value in pairs]


def _ends(values: _Floats, corner: float) -> tuple[float, float]:
    """Return the ends of an axis: the corner on one side, a little room beyond the front on the other."""
    low, high = min(float(values.min()), corner), max(float(values.max()), corner)
    room = 0.04 * (high - low)
    return (low - room, high) if corner == high else (low, high + room)
