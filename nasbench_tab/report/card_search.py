"""The section of a model card on searches: those on the surrogate beside those on the table."""

from __future__ import annotations

import numpy as np

from nasbench_tab.report.card_charts import curves_svg
from nasbench_tab.report.card_parts import (
    TRUE,
    Known,
    Section,
    Words,
    at,
    picture,
    table,
    text,
    value,
    whole,
)
from nasbench_tab.report.charts import styles
from nasbench_tab.report.curves import Curve
from nasbench_tab.report.words import number

__all__ = ["search"]


def search(assessment: Known, words: Words) -> Section:
    """Return the section on searches, on the surrogate beside those on the table."""
    found = assessment["agreement"]
    style = styles(["table", "surrogate", TRUE])
    charts = []
    for name, drawn in found.get("curves", {}).items():
        x = np.array(drawn["evaluations"], np.float64)
        curves = [
            Curve(
                label,
                x,
                *(np.array(drawn[key][end], np.float64) for end in ("mean", "low", "high")),
            )
            for label, key in zip(style, ("table", "surrogate", "true"), strict=True)
        ]
        svg = curves_svg(curves, style, name, "Evaluations", words.axis, log=len(x) > 1)
        charts.append(
            picture(
                svg, f"Anytime curves of {name} on table and surrogate; figures in the tables below"
            )
        )
    far = found.get("distance", {})
    rows = [
        (
            name,
            [
                *(
                    text(at(found, "found", name, key), words.places)
                    for key in ("table", "surrogate", "loss")
                ),
                *(
                    text(at(found, "one_training", "strategies", name, key), words.places)
                    for key in ("training", "surrogate", "gain")
                ),
            ],
        )
        for name in found.get("strategies", [])
    ]
    titles = [
        "on the table",
        "on the surrogate",
        "loss",
        "on one training *",
        "on the surrogate *",
        "gain *",
    ]
    orders = [
        (
            whole(ranking["evaluations"]),
            [
                ", ".join(ranking["table"]),
                ", ".join(ranking["surrogate"]),
                text(ranking["tau"], 2),
                text(ranking["tau_itself"], 2),
                text(ranking["agree"], 2),
                text(ranking["agree_itself"], 2),
                text(ranking["contradict"], 2),
            ],
        )
        for ranking in found.get("rankings", [])
    ]
    order_titles = [
        "order on the table",
        "order on the surrogate",
        "tau",
        "tau, table twice",
        "same verdict",
        "same verdict, table twice",
        "opposite verdict",
    ]
    one = found.get("one_training", {})
    notes = [f"{name} was not run: {why}." for name, why in found.get("left_out", {}).items()]
    notes.append(
        f"* On {whole(one['networks'])} networks with several trainings, {whole(one['evaluations'])} evaluations: a search "
        "on the first training of each, and on the surrogate; regret by the other trainings. Gain above zero: the "
        "surrogate ends at better networks. The gain’s interval holds the noise of those trainings too."
        if "networks" in one
        else f"No search on one training of each network: {one.get('reason', 'it was not made')}."
    )
    notes.append(
        "On the table, a search is judged by the values it was found by, which flatters it; the columns with a star do not."
    )
    if found.get("neighbors") == "nearest":
        notes.append(
            "So few of the space were trained that neighbors are the ten most similar trained networks."
        )
    unit = f" {words.unit}".rstrip()
    return Section(
        "", "",
        f"The same strategies, {whole(found.get('repetitions'))} runs each, among the {whole(found.get('networks'))} trained "
        "networks: told the mean of their trainings, or what the surrogate says of them while each is held out. Mean "
        f"distance of the curves {number(value(far.get('shown')), words.places)}{unit} as shown, "
        f"{number(value(far.get('true')), words.places)} as measured; two searches of the table alone differ by "
        f"{number(value(far.get('itself')), words.places)}.",
        charts, notes,
        [
            (f"Regret of what was found after {whole(found.get('evaluations'))} evaluations{f', in {words.unit}' * bool(words.unit)}", "strategy", table(titles, rows)),
            ("Order of the strategies, by mean value shown", "evaluations", table(order_titles, orders)),
        ],
    )  # fmt: skip
