"""The sections of a model card: what was assessed, each with its pictures, or the reason why not.

``assessment`` is what :func:`nasbench_tab.fitting.assess.assess` returns, with ``"agreement"`` of
:mod:`nasbench_tab.search.agreement` and ``"pictures"`` of :mod:`nasbench_tab.report.card` where there are.
"""

from __future__ import annotations

from nasbench_tab.report.card_curves import cost, epochs, noise, partial
from nasbench_tab.report.card_figures import reason
from nasbench_tab.report.card_final import levels, origins, regions, seeds, sizes
from nasbench_tab.report.card_parts import Known, Section, Words
from nasbench_tab.report.card_search import search

__all__ = ["sections"]


def sections(assessment: Known, words: Words) -> list[Section]:
    """Return all sections, in the order of the page."""
    parts = (
        ("levels", "Predicted and measured", "held-out", levels),
        ("seeds", "Beside a table with one training", "one-training", seeds),
        ("sizes", "How many networks it takes", "sizes", sizes),
        ("epochs", "Learning curves", "curves", epochs),
        ("noise", "Seed noise", "noise", noise),
        ("origins", "Networks that were found in another way", "origins", origins),
        ("regions", "Networks better or larger than all it was fitted on", "regions", regions),
        ("agreement", "Searches on it, and on the table", "search", search),
        ("partial", "Curves seen in part", "partial", partial),
        ("cost", "Training time", "cost", cost),
    )
    return [
        Section(anchor, title, reason=why)
        if (why := "" if key == "noise" else reason(assessment, key))
        else make(assessment, words)._replace(anchor=anchor, title=title)
        for key, title, anchor, make in parts
    ]
