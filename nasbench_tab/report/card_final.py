"""Sections of a model card on final values: by level, by labels, beside one training, outside the data."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nasbench_tab.report.card_charts import Line, Range, curves_svg, hexagons_svg, ranges_svg
from nasbench_tab.report.card_parts import (
    CEILING,
    STYLE,
    SURROGATE,
    Known,
    Section,
    Words,
    at,
    curve,
    ends,
    errors_in,
    left_out,
    picture,
    table,
    text,
    value,
    whole,
)
from nasbench_tab.report.charts import styles
from nasbench_tab.report.tables import Table
from nasbench_tab.report.words import number
from nasbench_tab.stats.prediction import lower_fence

__all__ = ["levels", "origins", "regions", "seeds", "sizes"]


def levels(assessment: Known, words: Words) -> Section:
    """Return the section on held-out networks, all and by predicted level."""
    found = assessment["levels"]
    bins, every, top = found.get("bins", []), found.get("all", {}), found.get("top_10_percent", {})
    tenth = [float(i + 1) for i in range(len(bins))]
    by_tenth = f"Part by predicted value (1 = lowest, {len(bins)} = highest)"
    x_title = f"Predicted {words.axis[:1].lower()}{words.axis[1:]}"
    charts, notes = [], []
    points = at(assessment, "pictures", "predicted")
    if points:
        pairs = np.array([points, at(assessment, "pictures", "measured")], np.float64)
        near = _near(pairs)
        svg = hexagons_svg(
            pairs[0, near], pairs[1, near], f"Held-out networks · n = {near.sum():,}", x_title, "Measured, mean of its trainings"
        )  # fmt: skip
        charts.append(picture(svg, "Measured against predicted values of held-out networks"))
        notes.append(
            "The stronger a hexagon’s colour, the more networks it holds; on the dashed line both are equal."
        )
        if not near.all():
            notes.append(
                f"{(~near).sum()} of {near.size:,} networks lie far out and are not drawn; all figures count them."
            )
    else:
        notes.append(
            "No picture of single networks: their predictions are not part of this assessment."
        )
    coverage = curve(SURROGATE, tenth, [at(b, "coverage_90") for b in bins])
    if coverage is not None:
        svg = curves_svg(
            [coverage], STYLE, "90 % intervals by predicted level", by_tenth, "Share of trainings inside",
            lines=[Line("wanted", 0.9)], banded=False, within=(0.0, 1.0), loose=[SURROGATE], room=0.5,
        )  # fmt: skip
        charts.append(
            picture(
                svg, "Coverage of the 90 % intervals by predicted level; figures in the table below"
            )
        )
    error = curve("mean absolute error", tenth, [at(b, "mae") for b in bins])
    half = curve("half the 90 % interval", tenth, [value(at(b, "width_90")) / 2 for b in bins])
    drawn = [c for c in (error, half) if c is not None]
    if drawn:
        style = styles(["mean absolute error", "half the 90 % interval"])
        svg = curves_svg(
            drawn, style, "Error and interval by predicted level", by_tenth,
            words.in_unit("Size"), banded=False, within=(0.0, math.inf), room=0.5,
        )  # fmt: skip
        charts.append(
            picture(svg, "Error and half-width by predicted level; figures in the table below")
        )
    ratio = value(found.get("plain_width_ratio_top"))
    if math.isfinite(ratio):
        notes.append(
            f"Where it predicts the best tenth, its intervals are {number(ratio, 2)} times as wide as intervals "
            "of one width for all networks would be."
        )
    titles = [
        "networks",
        "tau",
        "mean absolute error",
        "bias",
        "R2",
        "coverage of 90 %",
        "width of 90 %",
    ]
    rows = [
        (label, _level_row(part, words))
        for label, part in [
            ("all", every),
            ("predicted best tenth", top),
            *((_from_to(b, words), b) for b in bins),
        ]
    ]
    return Section(
        "", "",
        f"Every network is predicted by models that saw none of its trainings; {words.name}, against one "
        "training of each. Bias is predicted less measured.",
        charts, notes,
        [(f"Held-out networks by predicted level{errors_in(words)}", "predicted", table(titles, rows))],
    )  # fmt: skip


def _near(pairs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which columns of ``(2, n)`` are not far out, so that a few do not squeeze all others."""
    fences = [(lower_fence(row), -lower_fence(-row)) for row in pairs]
    near = [(low <= row) & (row <= high) for row, (low, high) in zip(pairs, fences, strict=True)]
    return np.asarray(near[0] & near[1])


def _level_row(part: Known, words: Words) -> list[str]:
    return [
        whole(part.get("networks")),
        text(part.get("tau")),
        text(part.get("mae"), words.places),
        text(part.get("bias"), words.places),
        text(part.get("r2")),
        text(part.get("coverage_90")),
        text(part.get("width_90"), words.places),
    ]


def _from_to(part: Known, words: Words) -> str:
    low, high = (number(part[f"predicted_{end}"], words.places) for end in ("from", "to"))
    return f"{low} to {high}"


def seeds(assessment: Known, words: Words) -> Section:
    """Return the section on a table with one training of each network."""
    found = assessment["seeds"]
    rows = [
        (label, [text(at(found, key, "mae"), words.places), text(at(found, key, "tau"))])
        for label, key in (
            ("surrogate, network held out", "surrogate"),
            ("its first training", "table"),
        )
    ]
    caption = (
        f"Who knows the mean of a network’s other trainings? n = {whole(found.get('networks'))}"
    )
    return Section(
        "", "",
        f"Fitted on the first training of {whole(found.get('labelled'))} networks, as a table with one training "
        "holds them; both are judged by the mean of the networks’ other trainings, which neither has seen. The "
        f"surrogate’s mean absolute error is {text(found.get('mae_ratio'), 2)} times that of the table.",
        [], left_out(found), [(f"{caption}{errors_in(words)}", "", table(["mean absolute error", "Kendall’s tau"], rows))],
    )  # fmt: skip


def sizes(assessment: Known, words: Words) -> Section:
    """Return the section on numbers of labelled networks."""
    found = assessment["sizes"]
    parts = [part for key, part in found.items() if key != "left_out"]
    labelled = [float(part["labelled"]) for part in parts]
    charts = []
    for key, name, decimals in (
        ("tau", "Kendall’s tau", 1.0),
        ("mae", words.in_unit("Mean absolute error"), math.inf),
    ):
        drawn = curve(SURROGATE, labelled, [part.get(key) for part in parts])
        if drawn is None:
            continue
        beside = value(at(parts[-1], "ceiling", key))
        svg = curves_svg(
            [drawn], STYLE, "Rank by labels" if key == "tau" else "Error by labels", "Labelled networks", name,
            lines=[Line(CEILING, beside)] if math.isfinite(beside) else [],
            log=max(labelled) >= 3 * min(labelled), banded=False,
            within=(-1.0, decimals) if key == "tau" else (0.0, decimals),
        )  # fmt: skip
        charts.append(
            picture(svg, f"{name} by number of labelled networks; figures in the table below")
        )
    titles = [
        "tau",
        "tau in the true top 10 %",
        "precision at 1 %",
        "precision at 10 %",
        "mean absolute error",
        "R2",
        "regret at 10",
    ]
    keys = (
        "tau",
        "tau_top_10_percent",
        "precision_at_1_percent",
        "precision_at_10_percent",
        "mae",
        "r2",
        "regret_at_10",
    )
    own = {"mae": words.places, "regret_at_10": words.places}
    rows = [
        (whole(part["labelled"]), [text(part.get(key), own.get(key, 3)) for key in keys])
        for part in parts
    ]
    ceiling = at(parts[-1], "ceiling") if parts else {}
    rows.append((CEILING, [text(at(ceiling, key), own.get(key, 3)) for key in keys]))
    shown = table(titles, rows)
    shown.rows[-1] = shown.rows[-1]._replace(reference=True)
    draws = parts[-1].get("draws") if parts else 0
    return Section(
        "", "",
        f"Each labelled network has one training as its label; the others are tested. Means over {whole(draws)} "
        "random splits, and how far they depend on the split. The dashed line is what one training of a network "
        f"says of the next ({whole(at(ceiling, 'repeated_networks'))} networks).",
        charts, left_out(found, {key: f"{key} labels" for key in found.get("left_out", {})}),
        [(f"By labelled networks{errors_in(words)}", "labelled", shown)],
    )  # fmt: skip


def _outside(
    found: Known, words: Words, names: Mapping[str, str], *, bias: bool = False
) -> tuple[list[Markup], list[tuple[str, str, Table]]]:
    """Return pictures and table of networks unlike those that were fitted on; ``bias``: drawn instead of R2."""
    kinds = {
        names.get(key, key): part for key, part in found.items() if key not in ("left_out", "all")
    }
    taus = [
        Range(
            label, value(part.get("tau")), *ends(part.get("tau")), value(at(part, "ceiling", "tau"))
        )
        for label, part in kinds.items()
        if math.isfinite(value(part.get("tau")))
    ]
    charts = []
    if taus:
        svg = ranges_svg(
            taus, "Rank, left out of the fit", "Kendall’s tau", value=SURROGATE, beside=CEILING
        )
        charts.append(
            picture(svg, "Kendall's tau of what was left out; figures in the table below")
        )
    key, axis, title = (
        ("bias", words.in_unit("Predicted less measured"), "Bias, left out of the fit")
        if bias
        else ("r2", "R2", "Share of variance, left out of the fit")
    )
    others = [
        Range(label, value(part.get(key)), *ends(part.get(key)))
        for label, part in kinds.items()
        if math.isfinite(value(part.get(key)))
    ]
    if others:
        svg = ranges_svg(others, title, axis, value=SURROGATE, beside=CEILING)
        charts.append(picture(svg, f"{title}; figures in the table below"))
    titles = [
        "networks",
        "tau",
        "tau of a second training",
        "R2",
        "bias",
        "coverage of 90 %",
        "flagged",
        "far off, flagged",
        "far off, not flagged",
    ]
    rows = [
        (
            label,
            [
                whole(part.get("networks")),
                text(part.get("tau")),
                text(at(part, "ceiling", "tau")),
                text(part.get("r2"), 2),
                text(part.get("bias"), words.places),
                *(
                    text(part.get(key), 2)
                    for key in (
                        "coverage_90",
                        "flagged",
                        "far_off_if_flagged",
                        "far_off_if_not_flagged",
                    )
                ),
            ],
        )
        for label, part in kinds.items()
    ]
    return charts, [(f"Left out of the fit{errors_in(words)}", "left out", table(titles, rows))]


def origins(assessment: Known, words: Words) -> Section:
    """Return the section on origins that were left out of the fit."""
    found = assessment["origins"]
    charts, tables = _outside(found, words, {})
    return Section(
        "", "",
        "Fitted without any network of one origin, then tested on that origin: how the surrogate does on networks "
        "that a strategy finds which had no part in its data. Far off: an error beyond three standard deviations.",
        charts, left_out(found), tables,
    )  # fmt: skip


def regions(assessment: Known, words: Words) -> Section:
    """Return the section on regions that were left out of the fit."""
    found = assessment["regions"]
    names = {"level": "best fifth", "parameters": "largest fifth"}
    charts, tables = _outside(found, words, names, bias=True)
    notes = [
        (
            "Trees do not extrapolate: beyond the best they have seen they say about the best they have seen. Within a "
            "fifth values differ little, so that R2 is low even where errors are small; and the best fifth is the best "
            "by its own luck too, which is part of its bias."
        )
    ]
    return Section(
        "", "",
        "Fitted on the worse 80 % of networks and tested on the best fifth; fitted on the smaller ones and tested on "
        "the largest. That is what a search does that leaves behind what the surrogate knows.",
        charts, [*notes, *left_out(found, names)], tables,
    )  # fmt: skip
