"""What a verification found as records, ``DIR/verification/bias.json`` and ``learned.json``, and as tables."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_tab.atomic import write_text
from nasbench_tab.verify.bias import Bias, Estimate, Lane

if TYPE_CHECKING:  # it needs all that fits surrogates
    from nasbench_tab.verify.learn import Fared, Learned

__all__ = ["bias_file", "bias_lines", "learned_lines", "write_bias", "write_learned"]


def bias_file(directory: Path) -> Path:
    """Return where the record of a comparison's bias is kept."""
    return directory / "verification" / "bias.json"


def write_bias(directory: Path, found: Bias) -> Path:
    """Write the record of a bias and return its path; NaN becomes null.

    Raises:
        ResultsError: It cannot be written.
    """
    return _write(bias_file(directory), "nasbench_tab bias", found)


def write_learned(directory: Path, found: Learned) -> Path:
    """Write the record of what was learned, ``learned.json`` beside that of the bias; returns its path.

    Raises:
        ResultsError: It cannot be written.
    """
    return _write(bias_file(directory).with_name("learned.json"), "nasbench_tab learned", found)


def _write(path: Path, kind: str, found: Any) -> Path:
    record = {"format": kind, "version": 1, **_plain(found)}
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def bias_lines(found: Bias) -> list[str]:
    """Return the table for the terminal, and below it what has to be said."""
    rows: list[tuple[str, ...]] = [("", "cells", "bias", "95 % interval", "expected", "verdict")]
    for lane in found.lanes:
        explained = lane.expected
        rows.append(
            (
                _name(lane),
                str(lane.bias.n),
                _signed(lane.bias.mean),
                f"{_signed(lane.bias.low)} to {_signed(lane.bias.high)}",
                "" if explained is None else _signed(float(explained.excess.estimate)),
                lane.verdict.word,
            )
        )
    lines = _table(rows)
    lines += [
        "",
        f"Bias: claimed less fresh {found.objective}, the drift taken out; + = optimistic. Unit: "  # noqa: ISC004
        f"{found.unit or 'not known'}. Margin: {found.margin:.3g}. Expected: by choosing the best claim alone.",
    ]
    if found.drift.n:
        lines.append(
            f"Drift: {_signed(found.drift.mean)} ({_signed(found.drift.low)} to {_signed(found.drift.high)}) over "
            f"{found.drift.n} known cells; {found.identical} of {found.known} trainings came out the same to the "
            "last bit."
        )
    counts = ", ".join(f"{n} {word}" for word, n in found.trainings.items() if n)
    lines.append(f"Trainings: {counts}.")
    lines += [f"{_name(lane)}: {lane.verdict.note}." for lane in found.lanes if lane.verdict.note]
    return [*lines, *found.notes]


def learned_lines(found: Learned) -> list[str]:
    """Return the table of biases before and after for the terminal, and what has to be said of it."""
    rows: list[tuple[str, ...]] = [
        ("", "cells", "as claimed", "mean before", "mean after, held out", "change")
    ]
    for lane in found.lanes:
        figures = (lane.claimed, lane.before, lane.after, lane.change)
        rows.append((_name(lane), str(lane.claimed.n), *map(_ranged, figures)))
    winners = found.lanes[0]
    first = (
        f"Round {found.round}: {found.name}, fitted on {found.trainings:,} trainings, {found.joined} of them "
        f"new ({found.present} more were there already: known cells)."
    )
    what = (
        "Bias with 95 % interval. After: of what the new fit predicted of a network while its trainings were "
        "held out; with them in the fit the figure would say nothing. Before: of the benchmark's mean, "
        "without the noise that a search picks up."
    )
    lines = [first, *_table(rows), "", what]
    if winners.known:
        lines.append(
            f"{winners.known} of the winners had a training behind the benchmark before; that flatters "
            "'before', not 'after'."
        )
    if len(found.rounds) > 1:
        lines.append("Winners of each round's search, as claimed, and held out after it:")
        lines += [
            f"  round {number}: {_signed(one.get('claimed', math.nan))} "
            f"({_signed(one.get('claimed_low', math.nan))} to {_signed(one.get('claimed_high', math.nan))}), "
            f"{_signed(one.get('after', math.nan))}; {one['networks']} networks, {one['joined']} trainings joined"
            for number, one in sorted(found.rounds.items(), key=lambda item: int(item[0]))
        ]
    return lines


def _ranged(one: Estimate) -> str:
    return f"{_signed(one.mean)} ({_signed(one.low)} to {_signed(one.high)})"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _name(lane: Lane | Fared) -> str:
    if lane.arm == "winners":
        return f"winners of {lane.strategy}" if lane.strategy else "winners"
    return {"top": "benchmark's own best", "random": "random cells"}[lane.arm]


def _signed(value: float) -> str:
    return "?" if math.isnan(value) else f"{value:+.2f}"


def _plain(value: Any) -> Any:
    """Return named tuples as objects, arrays as lists or numbers, NaN as None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
