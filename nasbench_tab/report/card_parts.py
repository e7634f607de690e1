"""What the sections of a model card share: their shape, the words for the objective, common styles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from nasbench_tab.records import Metric
from nasbench_tab.report.card_figures import at, places
from nasbench_tab.report.charts import inline, styles
from nasbench_tab.report.tables import Table
from nasbench_tab.report.words import metric_name, regret_unit

__all__ = [
    "CEILING",
    "LONG",
    "STYLE",
    "SURROGATE",
    "TABLE",
    "TRUE",
    "Known",
    "Section",
    "Words",
    "errors_in",
    "left_out",
    "picture",
    "words_of",
]

#: Plain data.
Known = Mapping[str, Any]

SURROGATE, TABLE, TRUE = "surrogate", "one training", "surrogate's networks, measured"
STYLE = styles([SURROGATE, TABLE, TRUE])
CEILING = "a second training"
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
    """Return what is missing in a part, as notes."""
    lacks = at(found, "left_out") or {}
    named = {name: (names or {}).get(name, name) for name in lacks}
    return [f"Not known, {named[name]}: {str(why).rstrip('.')}." for name, why in lacks.items()]


def errors_in(words: Words) -> str:
    """Return the end of a caption: in which unit errors are."""
    return f", errors in {words.unit}" if words.unit else ""
