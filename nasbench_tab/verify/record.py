"""The bias of a verification as a record, ``DIR/verification/bias.json``, and as a table for the terminal."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from nasbench_tab.atomic import write_text
from nasbench_tab.verify.bias import Bias, Lane

__all__ = ["bias_file", "bias_lines", "write_bias"]


def bias_file(directory: Path) -> Path:
    """Return where the record of a comparison's bias is kept."""
    return directory / "verification" / "bias.json"


def write_bias(directory: Path, found: Bias) -> Path:
    """Write the record of a bias and return its path; NaN becomes null.

    Raises:
        ResultsError: It cannot be written.
    """
    path = bias_file(directory)
    record = {"format": "nasbench_tab bias", "version": 1, **_plain(found)}
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def bias_lines(found: Bias) -> list[str]:
    """Return the table for the terminal, and below it what has to be said."""
    rows = [("", "cells", "bias", "95 % interval", "expected", "verdict")]
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
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
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


def _name(lane: Lane) -> str:
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
