"""What the sections of a model card share: their shape, the objective's words, figures as text and curves.

A figure that is not there is a dash or its reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup, escape

from nasbench_tab.records import Metric
from nasbench_tab.report.charts import inline, styles
from nasbench_tab.report.curves import Curve
from nasbench_tab.report.summary import Estimate
from nasbench_tab.report.tables import Cell, Row, Table
from nasbench_tab.report.words import NOTHING, estimate, listing, metric_name, number, regret_unit

__all__ = [
    "CEILING", "LONG", "PLACES", "STYLE", "SURROGATE", "TABLE", "TRUE", "Known", "Section", "Words", "at", "curve", "ends",
    "errors_in", "figure", "left_out", "picture", "reason", "table", "text", "value", "whole", "words_of",
]  # fmt: skip

#: Plain data.
Known = Mapping[str, Any]

SURROGATE, TABLE, TRUE = "surrogate", "one training", "surrogate's networks, measured"
STYLE = styles([SURROGATE, TABLE, TRUE])
CEILING = "a second training"
#: Decimals of a rank correlation, a share or R2; of a value in percent; of any other value.
PLACES, _PERCENT, _OTHER = 3, 2, 4

_MISSING = "it was not assessed"
#: Epochs that span this factor have a logarithmic axis.
LONG = 20


class Section(NamedTuple):
    """A part of the page; only title and reason where there is nothing to show.

    Attributes:
        anchor: Its id.
        title: Its heading.
        text: What the pictures show.
        charts: Inline SVG.
        notes: What to know besides.
        tables: ``(caption, title of the first column, table)``.
        reason: Why it is empty, or nothing.
    """

    anchor: str
    title: str
    text: str = ""
    charts: Sequence[Markup] = ()
    notes: Sequence[str] = ()
    tables: Sequence[tuple[str, str, Table]] = ()
    reason: str = ""


class Words(NamedTuple):
    """How the objective is spoken of.

    Attributes:
        name: In words.
        axis: With its unit.
        unit: Of a difference, in words; may be empty.
        places: Decimals.
    """

    name: str
    axis: str
    unit: str
    places: int

    def in_unit(self, what: str) -> str:
        """Return ``what`` with the unit of a difference, for a title."""
        return f"{what} ({self.unit})" if self.unit else what


def words_of(objective: str, unit: str) -> Words:
    """Return how a metric is spoken of."""
    name = metric_name(objective)
    return Words(
        name,
        f"{name[:1].upper()}{name[1:]}{f' ({unit})' * (unit not in ('', 'fraction'))}",
        regret_unit(Metric(objective, "valid", "max", unit)),
        places(unit),
    )


def picture(svg: str, label: str) -> Markup:
    """Return a chart for the page; ``label`` is what a screen reader says."""
    return Markup(inline(svg, escape(label)))  # noqa: S704 - made by vl-convert


def left_out(found: Known, names: Mapping[str, str] | None = None) -> list[str]:
    """Return what is missing in a part, as notes; what has one reason is in one."""
    alike: dict[str, list[str]] = {}
    for name, why in (at(found, "left_out") or {}).items():
        alike.setdefault(str(why).rstrip("."), []).append((names or {}).get(name, name))
    return [f"Not known, {listing(lacking)}: {why}." for why, lacking in alike.items()]


def errors_in(words: Words) -> str:
    """Return the end of a caption: in which unit errors are."""
    return f", errors in {words.unit}" if words.unit else ""


def at(known: Mapping[str, Any], *path: str | int) -> Any:
    """Return what lies at a path in nested plain data; None where it ends."""
    here: Any = known
    for step in path:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            return None
    return here


def reason(assessment: Mapping[str, Any], part: str) -> str:
    """Return why a part is not there, or nothing where it is."""
    found = assessment.get(part)
    if isinstance(found, Mapping) and found and set(found) - {"reason", "left_out"}:
        return ""
    listed = [at(found or {}, "reason"), at(assessment, "left_out", part)]
    inner = at(found or {}, "left_out")
    if isinstance(inner, Mapping):
        listed.append("; ".join(f"{name}: {why}" for name, why in inner.items()))
    return next((str(why) for why in listed if why), _MISSING).rstrip(".") + "."


def places(unit: str) -> int:
    """Return how many decimals a value in this unit has."""
    return _PERCENT if unit == "%" else _OTHER


def value(found: Any) -> float:
    """Return the number of a figure, with an interval or without; NaN where there is none."""
    number_of = found.get("value") if isinstance(found, Mapping) else found
    return float(number_of) if isinstance(number_of, (int, float)) else math.nan


def ends(found: Any) -> tuple[float, float]:
    """Return the interval of a figure; NaN where there is none."""
    low, high = (at(found, end) if isinstance(found, Mapping) else None for end in ("low", "high"))
    return value(low), value(high)


def figure(found: Any) -> Estimate:
    """Return a figure of plain data as an estimate."""
    n = at(found, "n") if isinstance(found, Mapping) else None
    return Estimate(value(found), *ends(found), int(n or 0))


def text(found: Any, decimals: int = PLACES) -> str:
    """Return a figure as text, with its interval where it has one."""
    return estimate(figure(found), decimals)


def table(titles: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> Table:
    """Return rows of texts as a table, without columns that hold nothing."""
    listed = [(label, list(cells)) for label, cells in rows]
    kept = [i for i in range(len(titles)) if any(cells[i] != NOTHING for _, cells in listed)]
    return Table(
        [titles[i] for i in kept],
        [Row(label, [Cell(cells[i]) for i in kept]) for label, cells in listed],
    )


def curve(label: str, x: Sequence[float], found: Sequence[Any]) -> Curve | None:
    """Return figures as a curve; those that are not known are left out; None where none is."""
    points = [(at_x, value(f), *ends(f)) for at_x, f in zip(x, found, strict=True)]
    points = [point for point in points if math.isfinite(point[1])]
    if not points:
        return None
    columns = np.array(points, np.float64).T
    if not np.isfinite(columns[2:]).any():
        return Curve(label, columns[0], columns[1])
    return Curve(label, *columns)


def whole(count: Any) -> str:
    """Return a number of things as text."""
    return number(value(count), 0)
