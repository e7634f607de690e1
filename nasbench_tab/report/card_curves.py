"""Sections of a model card on learning curves: by epoch, seed noise, curves seen in part, seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nasbench_tab.report.card_charts import curves_svg
from nasbench_tab.report.card_parts import (
    CEILING,
    LONG,
    STYLE,
    SURROGATE,
    TABLE,
    Known,
    Section,
    Words,
    at,
    curve,
    errors_in,
    left_out,
    picture,
    table,
    text,
    value,
    whole,
)
from nasbench_tab.report.charts import styles
from nasbench_tab.report.words import number

__all__ = ["cost", "epochs", "noise", "partial"]


def epochs(assessment: Known, words: Words) -> Section:
    """Return the section on predictions by epoch."""
    found = assessment["epochs"]
    each = found.get("each", [])
    epochs = [float(part["epoch"]) for part in each]
    log = epochs[-1] >= LONG * epochs[0]
    charts = []
    for key, name, title in (
        ("tau", "Kendall’s tau", "Rank by epoch"),
        ("mae", words.in_unit("Mean absolute error"), "Error by epoch"),
    ):
        pair = [
            curve(label, epochs, [at(part, "repeated", source, key) for part in each])
            for label, source in ((SURROGATE, "surrogate"), (TABLE, "table"))
        ]
        if pair[0] is None:  # without repeats: against one training each
            pair = [curve(SURROGATE, epochs, [part.get(key) for part in each])]
        drawn = [c for c in pair if c is not None]
        if not drawn:
            continue
        svg = curves_svg(
            drawn, STYLE, title, "Epoch", name, log=log, banded=len(epochs) > 8,
            within=(-1.0, 1.0) if key == "tau" else (0.0, math.inf),
        )  # fmt: skip
        charts.append(picture(svg, f"{name} by epoch; figures in the table below"))
    n = at(each[-1], "repeated", "networks")
    average = found.get("average", {})
    titles = ["tau", "tau of a second training", "R2", "mean absolute error", "coverage of 90 %"]
    rows = [
        (
            whole(part["epoch"]),
            [
                text(part.get("tau")),
                text(at(part, "ceiling", "tau")),
                text(part.get("r2")),
                text(part.get("mae"), words.places),
                text(part.get("coverage_90")),
            ],
        )
        for part in _some(each)
    ]
    keys = ("tau", "ceiling_tau", "r2", "mae", "coverage_90")
    own = [text(average.get(key), words.places if key == "mae" else 3) for key in keys]
    rows.append((f"mean of {whole(average.get('epochs'))}", own))
    against = (
        f"In the pictures it and one training are judged by the mean of the other trainings of {whole(n)} networks that were trained more than once."
        if n
        else "It is judged by one training of each network."
    )
    return Section(
        "", "", f"Predictions of held-out networks at each epoch. {against}", charts,
        left_out(found, {"simulated": "simulated trainings"}),
        [(f"By epoch, against one training of each network{errors_in(words)}", "epoch", table(titles, rows))],
    )  # fmt: skip


def _some(parts: Sequence[Any], most: int = 8) -> list[Any]:
    """Return at most so many parts, evenly, the first and the last among them."""
    chosen = np.unique(np.linspace(0, len(parts) - 1, min(most, len(parts))).round().astype(int))
    return [parts[i] for i in chosen.tolist()]


def noise(assessment: Known, words: Words) -> Section:
    """Return the section on seed noise, real and simulated."""
    simulated = at(assessment, "epochs", "simulated") or {}
    levels = at(assessment, "pictures", "noise") or {}
    deviations = simulated.get("deviations", [])
    charts, notes = [], []
    names = ("real trainings", "simulated trainings")
    style = styles(list(names))
    if levels:
        learnt = curve(names[1], levels["level"], levels["sd"])
        seen = curve(names[0], levels["seen_level"], levels["seen_sd"])
        drawn = [c for c in (learnt, seen) if c is not None]
        svg = curves_svg(
            drawn, style, "Between seeds, by level", words.axis, words.in_unit("Standard deviation"),
            within=(0.0, math.inf), loose=[names[0]],
        )  # fmt: skip
        charts.append(picture(svg, "Standard deviation between seeds by level"))
        notes.append(
            "Left: trainings of the same network at the end, pooled over networks of about the same level, and "
            "what the surrogate draws from."
        )
    if len(deviations) > 1:
        epochs = [float(part["epoch"]) for part in deviations]
        drawn = [
            c
            for name, key in zip(names, ("real_sd", "simulated_sd"), strict=True)
            if (c := curve(name, epochs, [part.get(key) for part in deviations])) is not None
        ]
        svg = curves_svg(
            drawn, style, "Between seeds, by epoch", "Epoch", words.in_unit("Standard deviation"),
            log=epochs[-1] >= LONG * epochs[0], within=(0.0, math.inf), banded=False,
        )  # fmt: skip
        charts.append(picture(svg, "Standard deviation between seeds by epoch, real and simulated"))
    real, drawn_spikes = (simulated.get(key) for key in ("real_spikes", "simulated_spikes"))
    if real:
        least = value(simulated.get("spike_threshold"))
        spike = (
            f"is better than their end by more than {number(least, words.places)} {words.unit}".rstrip()
            if least > 0
            else "is not their last"
        )
        notes.append(
            f"Spikes, trainings whose best epoch {spike}: {text(real)} of real ones, {text(drawn_spikes)} of simulated ones."
        )
    if not charts and not notes:
        why = (
            at(assessment, "epochs", "left_out", "simulated")
            or "no network was trained more than once, or it was not assessed"
        )
        return Section("", "", reason=f"{str(why).rstrip('.')}.")
    repeats = simulated.get("repeated_networks")
    known = f" ({whole(repeats)} networks trained more than once)" if repeats else ""
    return Section(
        "", "",
        f"query(seed=…) simulates one training: the predicted curve and a deviation as between real seeds{known}.",
        charts, notes,
    )  # fmt: skip


def partial(assessment: Known, words: Words) -> Section:
    """Return the section on curves of which the first epochs were seen."""
    found = assessment["partial"]
    seen = found.get("seen", {})
    methods = list(dict.fromkeys(name for part in seen.values() for name in part["scores"]))
    names = {
        "surrogate": "without the curve",
        "last": "last value seen",
        "best": "best value seen",
        "losses": "sum of training losses",
        "loss": "last training loss",
        "head": "surrogate corrected by the curve",
        "rise": "last value and a learnt rise",
    }
    rows = [
        (
            whole(int(epoch)),
            [
                names.get(part["method"], part["method"]),
                *(
                    f"{number(value(at(part, 'scores', m, 'tau')), 3)} / {number(value(at(part, 'scores', m, 'mae')), words.places)}"
                    if m in part["scores"]
                    else "–"
                    for m in methods
                ),
            ],
        )
        for epoch, part in seen.items()
    ]
    titles = ["in use", *(names.get(m, m) for m in methods)]
    ceiling = at(found, "ceiling", "tau")
    beside = f" A second full training: {text(ceiling)}." if ceiling else ""
    return Section(
        "", "",
        f"The final value of held-out networks of which the first epochs were seen ({whole(found.get('networks'))} networks). "
        f"In use is the method that is best here.{beside}",
        [], [], [(f"Kendall’s tau / mean absolute error, by last epoch seen{errors_in(words)}", "seen until", table(titles, rows))],
    )  # fmt: skip


def cost(assessment: Known, words: Words) -> Section:
    """Return the section on training time."""
    del words  # it is about seconds
    found = assessment["cost"]
    rows = [
        ("surrogate", [text(found.get("mean_error"), 1), text(found.get("tau"))]),
        (
            CEILING,
            [text(at(found, "ceiling", "mean_error"), 1), text(at(found, "ceiling", "tau"))],
        ),
    ]
    shown = table(["mean error, %", "Kendall’s tau"], rows)
    return Section(
        "", "",
        f"Seconds of a full training of {whole(found.get('networks'))} held-out networks, and what one training of a network says of the next.",
        [], left_out(found), [("Seconds of a full training", "", shown)],
    )  # fmt: skip
