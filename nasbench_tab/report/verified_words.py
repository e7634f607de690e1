"""What a verification found, as sentences: plain text, escaped by whoever puts it on a page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nasbench_tab.report.verified_file import Verification
from nasbench_tab.report.words import NOTHING, number, places_of
from nasbench_tab.verify.bias import Bias, Lane

__all__ = [
    "lane_name",
    "lane_notes",
    "p_value",
    "ranged",
    "retrained_words",
    "shown_lanes",
    "signed",
    "value_places",
    "verdict_sentences",
]

_NAMED = 4  # with more strategies the first screen gives the least and the most only


def lane_name(lane: Lane) -> str:
    """Return whose claims a lane holds."""
    if lane.arm == "winners":
        return f"winners of {lane.strategy or 'all strategies'}"
    return {"top": "the benchmark’s own best", "random": "random cells"}[lane.arm]


def shown_lanes(found: Bias) -> list[Lane]:
    """Return the lanes of a table: with one strategy its winners are all winners, and stand there once.

    What stands there is tested as the first question, uncorrected, under the strategy's name.
    """
    strategies = [lane.strategy for lane in found.lanes if lane.strategy]
    if len(strategies) != 1:
        return list(found.lanes)
    first, *rest = found.lanes
    return [first._replace(strategy=strategies[0]), *(one for one in rest if not one.strategy)]


def value_places(found: Bias) -> int:
    """Return how many decimals make sense: two significant digits of the narrowest known interval."""
    widths = [
        lane.bias.high - lane.bias.low for lane in found.lanes if lane.bias.high > lane.bias.low
    ]
    if widths:
        return min(6, places_of(min(widths) / 2))
    return 2 if found.unit == "%" else 4


def signed(value: float, places: int) -> str:
    """Return ``+0.31`` or ``−0.31``; a dash where there is no number."""
    text = number(value, places)
    return f"+{text}" if value > 0 and float(text.replace(",", "")) else text


def ranged(mean: float, low: float, high: float, places: int, *, plus: bool = True) -> str:
    """Return ``+0.31 [+0.12, +0.50]``, in which a line may break before the bracket only."""
    shown = signed if plus else number
    if math.isnan(low) or math.isnan(mean):
        return shown(mean, places)
    return f"{shown(mean, places)} [{shown(low, places)},\u00a0{shown(high, places)}]"


def verdict_sentences(lanes: Sequence[Lane], found: Bias) -> list[str]:
    """Return what retraining says of each lane's claims; the unit stands in the first only."""
    places = value_places(found)
    unit = {"%": " percentage points", "fraction": ""}.get(found.unit, f" {found.unit}".rstrip())
    known = next((i for i, lane in enumerate(lanes) if lane.bias.n), 0)
    return [
        _sentence(lane, unit if i == known else "", found.margin, places)
        for i, lane in enumerate(lanes)
    ]


def _sentence(lane: Lane, unit: str, margin: float, places: int) -> str:
    """Return the verdict on one lane with its interval and the number of cells."""
    name, bias, word = lane_name(lane), lane.bias, lane.verdict.word
    count = f"{_cells(bias.n)}, {bias.trainings:,} training{'s' * (bias.trainings != 1)}"
    times = {len(cell.fresh) for cell in lane.cells}
    if len(times) == 1 and bias.n * next(iter(times)) == bias.trainings:
        count = f"{_cells(bias.n)} × {next(iter(times))} seed{'s' * (times != {1})}"
    if not bias.n:
        return f"nothing is known of {name} yet"
    if word in ("optimistic", "pessimistic"):
        sign = 1 if word == "optimistic" else -1
        low, high = sorted((sign * bias.low, sign * bias.high))
        size = ranged(sign * bias.mean, low, high, places, plus=False)
        value, _, bracket = size.partition(" ")
        return f"{name} are {value}{unit} {word} {bracket}, {count}"
    size = ranged(bias.mean, bias.low, bias.high, places)
    if word == "no meaningful bias":
        within = f"within ±{margin:.3g}, which does not matter"
        return f"{name} hold: off by {size}{unit}, {within}, {count}"
    return f"{name}: inconclusive, {size}{unit}, {count}"


def retrained_words(verification: Verification) -> str:
    """Return what the first screen says of real trainings; without a period at the end."""
    found = verification.bias
    if found is None:
        return verification.says
    winners = [lane for lane in shown_lanes(found) if lane.arm == "winners"]
    first, rest = winners[0], [lane for lane in winners[1:] if lane.bias.n]
    if len(rest) > _NAMED:
        rest = [min(rest, key=_bias), max(rest, key=_bias)]
    parts = verdict_sentences([first, *rest], found)
    failed = found.trainings["failed"] + found.trainings["diverged"]
    if failed:
        parts.append(
            f"{failed:,} of {sum(found.trainings.values()):,} trainings failed or diverged"
        )
    return "; ".join([*parts, verification.says] if verification.says else parts)


def lane_notes(lanes: Sequence[Lane]) -> list[str]:
    """Return what weakens or explains the verdicts, one sentence a lane."""
    return [
        f"{lane_name(lane)[:1].upper()}{lane_name(lane)[1:]}: {lane.verdict.note}."
        for lane in lanes
        if lane.verdict.note
    ]


def p_value(value: float) -> str:
    """Return a p-value as text; a dash where there is none."""
    if math.isnan(value):
        return NOTHING
    return f"{value:.2g}" if value >= 1e-4 else "< 0.0001"


def _cells(n: int) -> str:
    return f"{n:,} cell{'s' * (n != 1)}"


def _bias(lane: Lane) -> float:
    return lane.bias.mean
