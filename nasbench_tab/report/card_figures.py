"""An assessment's figures as text, rows and curves; what is not there is a dash or its reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nasbench_tab.report.curves import Curve
from nasbench_tab.report.summary import Estimate
from nasbench_tab.report.tables import Cell, Row, Table
from nasbench_tab.report.words import NOTHING, estimate, number

__all__ = ["PLACES", "at", "curve", "ends", "figure", "reason", "table", "text", "value"]

#: Decimals of a rank correlation, a share or R2; of a value in percent; of any other value.
PLACES, _PERCENT, _OTHER = 3, 2, 4

_MISSING = "it was not assessed"


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
