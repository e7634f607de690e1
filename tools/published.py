"""Published results, our own beside them, and whether the two agree.

    .venv/bin/python tools/published.py             # writes docs/published.md from what is recorded
    .venv/bin/python tools/published.py --renew     # measures ours again first (a minute or two)

``tests/published/*.toml`` hold what was published, one file a table; ``tests/published/ours.json``
holds what we measured, by file and row. A row says how ours is measured (``ours``, a function of
this file and its arguments) or what is missing to do so (``needs``). Where a row that was read in a
source differs, its file must explain why (``explained``). Published data that are not shipped are
read from ``../shared/data``.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import tomllib
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import nasbench_tab as nbt
from nasbench_tab.atomic import write_text
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.records import Protocol
from nasbench_tab.search.run import searcher
from nasbench_tab.stats.exact import best_of_draws

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "published"
DATA = ROOT.parent / "shared" / "data"
PAGE = ROOT / "docs" / "published.md"
HEAD = {"title", "source", "read_in", "space", "protocol", "budget", "unit", "needs", "table"}
HEAD_MAY = HEAD | {"runs", "cells", "explanations"}
ROW = {"row", "column", "value", "status"}
ROW_MAY = ROW | {"sd", "runs", "error", "ours", "needs", "explained"}
STATUS = ("confirmed", "quoted", "unconfirmed")

Floats = NDArray[np.float64]


class Ours(NamedTuple):
    """What we measured: ``sd`` over ``runs`` runs; without runs it is exact, whatever its spread."""

    value: float
    sd: float | None = None
    runs: int | None = None


class Verdict(NamedTuple):
    """``words``: agrees, differs or not runnable; ``tolerance`` is NaN for the last."""

    words: str
    tolerance: float


def tables() -> dict[str, dict[str, Any]]:
    """Return all files by name, decimals as they are written."""
    return {
        path.stem: tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        for path in sorted(FOLDER.glob("*.toml"))
    }


def key(row: dict[str, Any]) -> str:
    return f"{row['row']} | {row['column']}"


def step(value: Decimal | int) -> float:
    """Return one unit of the last digit that is given: 0.01 of ``93.92`` and of ``93.90``."""
    exponent = value.as_tuple().exponent if isinstance(value, Decimal) else 0
    return float(10 ** int(exponent))


def verdict(row: dict[str, Any], runs: int | None, ours: Ours | None) -> Verdict:
    """Compare a published number with ours.

    Without any spread the tolerance is one unit of the last published digit; else three standard
    errors of the difference and the rounding. What the source does not say, its spread or its number
    of runs, is taken to be as ours.
    """
    if ours is None:
        return Verdict("not runnable", math.nan)
    sd = row.get("sd")
    tolerance = float(row.get("error", 0.0))
    if sd is None and not ours.runs:
        tolerance = max(tolerance, step(row["value"]))
    else:
        theirs = ours.sd or 0.0 if sd is None else float(sd)
        n = row.get("runs", runs) or ours.runs
        variance = theirs**2 / n if n else 0.0
        if ours.runs:
            variance += (ours.sd or 0.0) ** 2 / ours.runs
        tolerance += 3 * math.sqrt(variance) + step(row["value"]) / 2
    near = abs(ours.value - float(row["value"])) <= tolerance * (1 + 1e-9)
    return Verdict("agrees" if near else "differs", tolerance)


def failures(table: dict[str, Any], ours: dict[str, Ours]) -> list[str]:
    """Return a line for each row whose verdict must be looked at.

    A row that was read in a source differs and its file does not say why; or it says why, and the
    row agrees. Unconfirmed rows are never among them.
    """
    lines = []
    for row in table["table"]["rows"]:
        if row["status"] == "unconfirmed":
            continue
        mine = ours.get(key(row))
        found = verdict(row, table.get("runs"), mine)
        if (found.words == "differs") != ("explained" in row):
            lines.append(f"{key(row)}: published {row['value']}, ours {mine}: {found}")
    return lines


# How ours is measured. Arguments are text, as in the files.


@cache
def bench(name: str) -> TableBenchmark:
    return nbt.load(name, source="table")


@cache
def everything(name: str) -> Floats:
    """Return the mean validation value of every cell, in the order of the official indices."""
    return bench(name).query(np.arange(bench(name).space.size or 0))


def optimum(name: str) -> Ours:
    return Ours(float(everything(name).max()))


def regret(name: str) -> Ours:
    return Ours(100 - optimum(name).value)


def cell(name: str, text: str) -> Ours:
    return Ours(bench(name).query(text))


def index(name: str, number: str) -> Ours:
    return Ours(bench(name).query(int(number)))


@cache
def exported(file: str, column: str, key_column: str | None = None) -> dict[str, float]:
    """Return a column of a published file by the key column, or by the number of the row."""
    with (DATA / "nasbench201" / file).open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {
        row[key_column] if key_column else str(i): float(row[column]) for i, row in enumerate(rows)
    }


def export(text: str, column: str) -> Ours:
    """Mean test accuracy of a cell, or the best, in a published export of NAS-Bench-201."""
    values = exported("nats_bench.mean200.csv", column, "ArchitectureString")
    return Ours(max(values.values()) if text == "optimum" else values[text])


def proxy(file: str, name: str, column: str, count: str) -> Ours:
    """The exact law of the best of ``count`` draws by a published NASWOT score."""
    score = np.array(list(exported(file, "score_naswot").values()))
    if column == "valid":
        final = everything(name)
    else:
        final = np.array(list(exported("nats_bench.mean200.csv", column).values()))
    weight, counts = np.full(len(score), 1 / len(score)), np.array([int(count)])
    mean, square = (best_of_draws(score, part, weight, counts)[0] for part in (final, final**2))
    return Ours(float(mean), float(np.sqrt(square - mean**2)))


def curves(epoch: str, statistic: str) -> Ours:
    """Of the learning curves of 214 random DARTS networks."""
    curve = np.load(DATA / "darts-space" / "214_random_architectures.npy")
    values = curve.max(axis=1) if epoch == "best" else curve[:, -1]
    known = {
        "mean": Ours(float(values.mean())),
        "sd": Ours(float(values.std(ddof=1))),
        "lowest": Ours(float(values.min())),
        "highest": Ours(float(values.max())),
    }
    return known[statistic]


def macro(statistic: str) -> Ours:
    """Mean test accuracy over three seeds of the NAS-Bench-Macro networks: the best, the mean."""
    text = (DATA / "nasbench-macro" / "nas-bench-macro_cifar10.json").read_text(encoding="utf-8")
    values = np.array([network["mean_acc"] for network in json.loads(text).values()])
    return Ours(float(values.max() if statistic == "highest" else values.mean()))


def improvement(method: str, random: str) -> Ours:
    """The formula of Yang et al. on two published means."""
    return Ours(100 * (float(method) - float(random)) / float(random))


def hitting(strategy: str, name: str, runs: str) -> Ours:
    """Evaluations until a strategy finds the optimum; every run must find it within 600."""
    protocol = Protocol(evaluations=600, seeds="mean", repeats="reuse")
    search, best = searcher(strategy, bench(name), protocol), everything(name).max()
    needed = np.empty(int(runs))
    for run in range(int(runs)):
        found = np.flatnonzero(search(0, run).values == best)
        if not len(found):
            raise RuntimeError(f"{strategy} missed the optimum of {name} in 600 evaluations")
        needed[run] = found[0] + 1
    return Ours(float(needed.mean()), float(needed.std(ddof=1)), len(needed))


def steepest(name: str, runs: str) -> Ours:
    """Trainings until steepest ascent finds the optimum: restarts, no cell trained twice.

    From a random cell all neighbors are trained and the best is moved to, until none is better.
    """
    space, rng = bench(name).space, np.random.default_rng(0)
    value = {space.unindex(i): v for i, v in enumerate(everything(name).tolist())}
    best, needed = max(value.values()), []
    for _ in range(int(runs)):
        trained: dict[Any, None] = {}
        at = space.sample(rng, 1)[0]
        while True:
            trained[at] = None
            near = [space.neighbors(at)[i] for i in rng.permutation(len(space.neighbors(at)))]
            trained.update(dict.fromkeys(near))
            if any(value[known] == best for known in (at, *near)):
                break
            ahead = max(near, key=value.__getitem__)
            at = ahead if value[ahead] > value[at] else space.sample(rng, 1)[0]
        order = list(trained)
        needed.append(next(i for i, known in enumerate(order, 1) if value[known] == best))
    return Ours(float(np.mean(needed)), float(np.std(needed, ddof=1)), len(needed))


HOW: dict[str, Callable[..., Ours]] = {
    function.__name__: function
    for function in (
        *(optimum, regret, cell, index, export, proxy, curves, macro),
        *(improvement, hitting, steepest),
    )
}
#: What reads published data that are not shipped.
NEEDS_DATA = {"export", "proxy", "curves", "macro"}


def measured(table: dict[str, Any], row: dict[str, Any]) -> Ours:
    """Measure ours for a row.

    Raises:
        FileNotFoundError: It needs published data that are not on this machine.
    """
    how, *arguments = row["ours"]
    cells = table.get("cells", {})
    return HOW[how](*(cells.get(argument, argument) for argument in arguments))


def recorded() -> dict[str, dict[str, Ours]]:
    """Return what was measured, by file and row."""
    found = json.loads((FOLDER / "ours.json").read_text(encoding="utf-8"))
    return {name: {k: Ours(*v) for k, v in rows.items()} for name, rows in found.items()}


def renew() -> None:
    """Measure everything and record it."""
    found = {
        name: {key(row): measured(table, row) for row in table["table"]["rows"] if "ours" in row}
        for name, table in tables().items()
    }
    write_text(FOLDER / "ours.json", json.dumps(found, indent=1) + "\n")


def page(ours: dict[str, dict[str, Ours]]) -> str:
    """Return docs/published.md."""
    files = tables()
    counts = dict.fromkeys(("agrees", "differs", "not runnable"), 0)
    parts = []
    for name, table in files.items():
        body = []
        for row in table["table"]["rows"]:
            mine = ours.get(name, {}).get(key(row))
            found = verdict(row, table.get("runs"), mine)
            counts[found.words] += 1
            body.append(f"| {row['row']} | {row['column']} | {_cells(row, mine, found)} |")
        parts.append(_section(table, body))
    total = sum(counts.values())
    return f"""# Published results, and ours

Made by `tools/published.py` from `tests/published/`; do not edit. Of {total} published numbers
{counts["agrees"]} agree with ours, {counts["differs"]} differ (why is said of each that was read in a source),
and {counts["not runnable"]} cannot be run on what is at hand (what is missing is said).

Status: *confirmed* was read in the source (or its authors' code or data), *quoted* in another paper that
quotes it, *unconfirmed* is from memory and decides nothing. Ours agrees if it is within three standard
errors of the difference and the rounding; where neither has a spread, within one unit of the last digit.
`±` is the standard deviation over runs.

{chr(10).join(parts)}"""


def _section(table: dict[str, Any], body: list[str]) -> str:
    runs = f"; {table['runs']} runs" if "runs" in table else ""
    lines = [
        f"## {table['title']}\n",
        f"{table['source']}. Read in: {table['read_in']}.\n",
        f"Protocol: {table['protocol']}. Budget: {table['budget']}{runs}. Unit: {table['unit']}.\n",
        "| row | column | published | status | ours | verdict |",
        "|---|---|---|---|---|---|",
        *body,
        "",
    ]
    for mark, what in table["needs"].items():
        lines.append(f"* needs *{mark}*: {what}.")
    for mark, why in table.get("explanations", {}).items():
        lines.append(f"* explained by *{mark}*: {' '.join(why.split())}")
    return "\n".join(lines) + "\n"


def _cells(row: dict[str, Any], mine: Ours | None, found: Verdict) -> str:
    sd = f" ± {row['sd']}" if "sd" in row else ""
    shown, words = "", found.words
    if mine is not None:
        unit = step(row["value"])
        digits = 1 if unit == 1 else max(2, -round(math.log10(unit)))
        spread = "" if mine.sd is None else f" ± {mine.sd:.{digits}f}"
        shown = f"{mine.value:.{digits}f}{spread}" + (f", {mine.runs} runs" if mine.runs else "")
        words += f" (within {found.tolerance:.2g})" if words == "agrees" else ""
    if "explained" in row:
        words += f": *{row['explained']}*"
    if "needs" in row:
        words += f": *{row['needs']}*"
    return f"{row['value']}{sd} | {row['status']} | {shown} | {words}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--renew", action="store_true", help="measure ours again first")
    if parser.parse_args().renew:
        renew()
    write_text(PAGE, page(recorded()))


if __name__ == "__main__":
    main()
