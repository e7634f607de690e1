"""The model card of a surrogate: one page that says what it is, what for, and how good.

What a card should hold: Mitchell et al., "Model Cards for Model Reporting", FAT* 2019. The verdict
comes first, from the data; each figure stands beside what one training says of another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

import nasbench_tab
from nasbench_tab.atomic import write_text
from nasbench_tab.predictors.base import Runs
from nasbench_tab.predictors.model import Surrogate
from nasbench_tab.report.card_curves import cost, epochs, noise, partial
from nasbench_tab.report.card_final import levels, origins, regions, seeds, sizes
from nasbench_tab.report.card_parts import Known, Section, Words, reason, words_of
from nasbench_tab.report.card_search import search
from nasbench_tab.report.card_text import METHOD, about, headline, made, score_table, uses

__all__ = ["PAGE", "pictures", "write_card"]

#: The card's file in a surrogate's folder.
PAGE = "card.html"
_BINS = 12  # of levels between which the noise of real repeats is pooled
_FEWEST = 5  # repeated networks in one of them


def write_card(path: Path, manifest: Mapping[str, Any], assessment: Mapping[str, Any]) -> Path:
    """Write the model card of a surrogate and return its path.

    The same data give the same page, byte for byte, with the same versions and fonts. The page needs
    nothing else: no network, no file beside it.

    Args:
        path: A file ``*.html``, or the folder that gets :data:`PAGE`.
        manifest: The surrogate's, as :mod:`nasbench_tab.predictors.store` describes it.
        assessment: What :func:`nasbench_tab.fitting.assess.assess` returned; with
            :func:`~nasbench_tab.search.agreement.agreement` as ``"agreement"`` and :func:`pictures` as
            ``"pictures"`` where there are. What is not there is named with its reason; ``{}`` = not assessed.

    Raises:
        ResultsError: The page cannot be written.
    """
    page = path if path.suffix == ".html" else path / PAGE
    objective = str(manifest["objective"])
    words = words_of(objective, str(manifest["metrics"][objective]["unit"]))
    allowed, forbidden = uses(manifest, assessment, words)
    verdict, findings = headline(manifest, assessment, words)
    networks, runs = manifest["networks"], manifest["runs"]
    context = {
        "title": f"{manifest['name']}, a surrogate benchmark",
        "version": nasbench_tab.__version__,
        "css": Markup(_resource("page.css")),  # noqa: S704 - our own file
        "facts": [
            f"{words.name} on {manifest['dataset']}",
            f"fitted on {runs:,} trainings of {networks:,} networks",
            f"{manifest['epochs'][-1]} epochs",
            f"nasbench_tab {manifest['versions'].get('nasbench_tab', '')}".rstrip(),
        ],
        "headline": verdict,
        "findings": findings,
        "scores": score_table(assessment, words),
        "unit": words.unit,
        "uses": allowed,
        "abuses": forbidden,
        "sections": _sections(assessment, words),
        "about": about(manifest),
        "made": made(manifest, assessment),
        "method": METHOD,
    }
    write_text(page, _template().render(context).lstrip())
    return page


def pictures(
    runs: Runs, means: NDArray[np.float64], surrogate: Surrogate | None = None
) -> dict[str, Any]:
    """Return what the card draws and no score holds, as plain data.

    Args:
        runs: What was measured.
        means: ``(n, E)`` predictions of the objective while each network was held out.
        surrogate: Whose seed noise is drawn beside that of the repeats.

    Returns:
        ``predicted`` and ``measured`` final values of each network, the latter means over its trainings;
        ``noise``, where any is known: ``level`` and ``sd`` as learnt, ``seen_level`` and ``seen_sd`` of
        real repeats, pooled over networks of about the same mean, ``networks`` behind each.
    """
    values = runs.curves[runs.objective][:, -1]
    known = np.isfinite(values) & np.isfinite(means[:, -1])
    number = np.unique(runs.groups[known], return_inverse=True)[1]
    count = np.bincount(number)
    level = np.bincount(number, values[known]) / count
    predicted = np.bincount(number, means[known, -1]) / count
    found: dict[str, Any] = {"predicted": predicted.tolist(), "measured": level.tolist()}
    off = np.bincount(number, (values[known] - level[number]) ** 2)
    repeated = np.flatnonzero(count > 1)
    noise = None if surrogate is None else surrogate.models[runs.objective].noise
    if len(repeated) < _FEWEST or noise is None or not noise.known:
        return found
    order = repeated[np.argsort(level[repeated], kind="stable")]
    parts = np.array_split(order, max(1, min(_BINS, len(order) // _FEWEST)))
    ends = np.linspace(level[order[0]], level[order[-1]], 60)
    found["noise"] = {
        "level": ends.tolist(),
        "sd": noise.sd_at(ends, len(runs.epochs) - 1).tolist(),
        "seen_level": [float(level[part].mean()) for part in parts],
        "seen_sd": [math.sqrt(off[part].sum() / (count[part] - 1).sum()) for part in parts],
        "networks": [len(part) for part in parts],
    }
    return found


def _sections(assessment: Known, words: Words) -> list[Section]:
    """Return all sections, in the order of the page: with their pictures, or the reason why not."""
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


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_resource("card.html"))


def _resource(name: str) -> str:
    return files("nasbench_tab.report").joinpath(name).read_text(encoding="utf-8")
