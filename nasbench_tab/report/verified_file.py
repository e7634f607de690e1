"""What a verification left in a comparison's folder, read strictly: a figure is shown or the reason why not."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, NoReturn, Union, get_args, get_origin, get_type_hints

import numpy as np

from nasbench_tab.errors import NasbenchTabError, ResultsError
from nasbench_tab.report.summary import Summary
from nasbench_tab.report.words import listing
from nasbench_tab.search.results import Results
from nasbench_tab.stats.cellmean import cell_gaps, cell_mean
from nasbench_tab.verify.bias import Bias, Lane
from nasbench_tab.verify.cells import trained_network
from nasbench_tab.verify.plan import Plan, plan_file, read_plan
from nasbench_tab.verify.record import bias_file
from nasbench_tab.verify.run import retrained
from nasbench_tab.verify.task import find_task

__all__ = ["Verification", "read_bias", "read_verification"]

FORMAT, VERSION = "nasbench_tab bias", 1
_VERIFY, _BIAS = "nasbench-tab verify DIR", "nasbench-tab bias DIR"


class Verification(NamedTuple):
    """What there is of a verification.

    Attributes:
        bias: What it found; None where there is nothing to show.
        plan: Its plan; None likewise.
        says: Why there is nothing, or what there is only a part of; a sentence without its period, or empty.
        damaged: Whether that is because something is wrong with what was written.
    """

    bias: Bias | None
    plan: Plan | None
    says: str
    damaged: bool = False


def read_verification(results: Results, summaries: Sequence[Summary]) -> Verification:
    """Return what was found about a comparison by training its winners again; raises nothing about files.

    Args:
        results: The comparison.
        summaries: Its benchmarks.
    """
    directory = Path(results.directory)
    if not plan_file(directory).exists() and not bias_file(directory).exists():
        return Verification(None, None, _none_yet(summaries))
    try:
        plan = read_plan(directory)
        _same(plan, results)
    except NasbenchTabError as err:
        return Verification(None, None, f"not shown: {_plain(err, directory)}", damaged=True)
    try:
        found = read_bias(directory, plan)
    except NasbenchTabError as err:
        return Verification(None, plan, f"not shown: {_plain(err, directory)}", damaged=True)
    try:
        logged = _logged(directory, plan)
    except NasbenchTabError as err:
        reason = f"its run log cannot be read: {_plain(err, directory)}"
        return Verification(None, plan, f"not shown: {reason}", damaged=True)
    made = sum(logged.values()) - logged["missing"]
    if found is None or not found.trainings["ok"]:
        return Verification(None, plan, _planned(plan, made, logged["ok"]))
    judged = sum(found.trainings.values()) - found.trainings["missing"]
    says = ""
    if made > judged:
        says = f"{made - judged:,} more trainings are in the run log than were judged: run {_BIAS}"
    elif judged < plan.trainings:
        says = f"{judged:,} of {plan.trainings:,} trainings so far: {_VERIFY} goes on"
    return Verification(found, plan, says)


def read_bias(directory: Path, plan: Plan) -> Bias | None:
    """Return the record of a comparison's bias; None where there is none.

    Args:
        directory: The comparison's.
        plan: What the record must be of.

    Raises:
        ResultsError: It is damaged, of another version, or not about this plan, or its figures contradict
            each other.
    """
    path = bias_file(directory)

    def refuse(problem: str) -> NoReturn:
        raise ResultsError(f"{path.name} is damaged ({problem}); write it again with {_BIAS}")

    try:
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as err:
        reason = err.strerror if isinstance(err, OSError) else str(err)  # no path of this machine
        refuse(f"it cannot be read: {reason}")
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        refuse(f"expected an object with the format {FORMAT!r}")
    if record.get("version") != VERSION:
        raise ResultsError(
            f"{path.name} has version {record.get('version')!r:.40}, and this release reads version {VERSION}: "
            f"upgrade nasbench_tab, or write it again with {_BIAS}"
        )
    fields = {key: value for key, value in record.items() if key not in ("format", "version")}
    try:
        found: Bias = _read(fields, Bias, "the record")
    except ValueError as err:
        refuse(str(err))
    for name in ("comparison", "benchmark", "objective", "direction", "unit", "margin"):
        if getattr(found, name) != getattr(plan, name):
            raise ResultsError(
                f"{path.name} is about another verification (its {name} is {getattr(found, name)!r:.90}, not "
                f"{getattr(plan, name)!r:.90}): write it again with {_BIAS}"
            )
    problem = next(_problems(found, plan), "")
    if problem:
        refuse(problem)
    return found


def _plain(err: Exception, directory: Path) -> str:
    """Return an error for use in a page, which may be read on another machine."""
    return str(err).replace(str(directory), "DIR").rstrip(".")


def _none_yet(summaries: Sequence[Summary]) -> str:
    """Return which command would verify, or why none can."""
    able, reason = list[str](), ""
    for summary in summaries:
        bench = summary.background.bench
        try:
            if bench is not None:
                find_task(bench)
                able.append(summary.name)
        except NasbenchTabError as err:
            reason = reason or str(err).partition(": ")[0].rstrip(".")
    if not able and reason:
        return f"not possible here: {reason}"
    which = f" --benchmark {able[0]}" if able and len(summaries) > 1 else ""
    return (
        f"not done: {_VERIFY}{which} trains the winners again and says how far off their values are"
    )


def _same(plan: Plan, results: Results) -> None:
    """Refuse the plan of another comparison."""
    here = results.content_hash()
    if plan.comparison != here:
        raise ResultsError(
            f"the plan in verification/ is of another comparison ({plan.comparison:.20} ..., this one is "
            f"{here:.20} ...); move that folder away and run {_VERIFY}"
        )
    if plan.benchmark not in results.benchmarks:
        raise ResultsError(
            f"the plan is about {plan.benchmark}, which is no benchmark of this comparison"
        )


def _planned(plan: Plan, made: int, well: int) -> str:
    text = f"planned, {made:,} of {plan.trainings:,} trained"
    if well:
        return f"{text} and not judged yet: run {_BIAS}" + (
            "" if made == plan.trainings else f", or {_VERIFY} to train the rest"
        )
    return f"{text}{', none of them well' * (made > 0)}: run {_VERIFY}"


def _logged(directory: Path, plan: Plan) -> dict[str, int]:
    """Return distinct trainings in the run log by outcome."""
    status = {
        (trained_network(plan, claim), one.seed): one.status
        for claim, outcomes in zip(plan.claims, retrained(directory, plan), strict=True)
        for one in outcomes
    }
    found = list(status.values())
    return {word: found.count(word) for word in ("ok", "diverged", "failed", "missing")}


def _read(value: Any, hint: Any, where: str) -> Any:
    """Return a value of JSON as the annotation of a field wants it; ValueError where it does not fit."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if value is None and NoneType in inner:
            return None
        return _read(value, next(kind for kind in inner if kind is not NoneType), where)
    if origin is tuple and isinstance(value, list):
        return tuple(_read(part, inner[0], f"{where}[{i}]") for i, part in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _read(part, inner[1], f"{where}.{key}") for key, part in value.items()}
    if origin is Literal and value in inner:
        return value
    if hint is float or origin is np.ndarray:  # arrays are single numbers here
        if value is None:
            return math.nan
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
    elif hint in (int, str) and type(value) is hint:
        return value
    elif isinstance(hint, type) and hasattr(hint, "_fields") and isinstance(value, dict):
        wanted = get_type_hints(hint)
        odd = sorted((value.keys() ^ wanted.keys()) - getattr(hint, "_field_defaults", {}).keys())
        if odd:
            raise ValueError(f"{where} lacks or has too much: {listing(list(map(str, odd)))}")
        parts = {key: _read(part, wanted[key], f"{where}.{key}") for key, part in value.items()}
        return hint(**parts)
    raise ValueError(f"{where} is {value!r:.60}")


def _problems(found: Bias, plan: Plan) -> Any:
    """Yield what contradicts itself or the plan."""
    kinds = ("ok", "diverged", "failed", "missing")
    if tuple(found.trainings) != kinds or min(found.trainings.values()) < 0:
        yield "it does not count its trainings"
    elif sum(found.trainings.values()) != plan.trainings:
        yield f"it counts {sum(found.trainings.values())} trainings, and the plan {plan.trainings}"
    if not found.lanes or (found.lanes[0].arm, found.lanes[0].strategy) != ("winners", ""):
        yield "the winners of all strategies do not come first"
    planned = {(claim.arm, claim.strategy) for claim in plan.claims}
    texts = {claim.text for claim in plan.claims}
    for number, lane in enumerate(found.lanes):
        where = f"lane {number}"
        if number and (lane.arm, lane.strategy) not in planned:
            yield f"{where} is of an arm that was not planned: {lane.arm} {lane.strategy}"
        if not {cell.text for cell in lane.cells} <= texts:
            yield f"{where} has a cell that was not planned"
        yield from (f"{where}: {problem}" for problem in _contradictions(lane, found))
    if not {step.text for step in found.trajectory} <= texts:
        yield "the trajectory has a cell that was not planned"


def _contradictions(lane: Lane, found: Bias) -> Any:
    """Yield what does not follow from the lane's own cells."""
    bias, cells = lane.bias, lane.cells
    if not cells or any(cell.runs < 1 or not cell.fresh for cell in cells):
        yield "no cells, or some without runs or trainings"
        return
    longest = max(len(cell.fresh) for cell in cells)
    fresh = np.full((len(cells), longest), np.nan)
    for row, cell in zip(fresh, cells, strict=True):
        row[: len(cell.fresh)] = cell.fresh
    claimed = np.array([cell.claimed for cell in cells])
    gaps = cell_gaps(claimed, fresh, found.direction)
    stated = np.array([cell.optimism for cell in cells])
    if not np.allclose(gaps, stated, rtol=1e-6, atol=1e-9, equal_nan=True):
        yield "the optimism of a cell is not claimed less fresh"
    known = np.isfinite(gaps)
    if bias.n != known.sum() or bias.trainings != np.isfinite(fresh[np.isfinite(claimed)]).sum():
        yield "n is not the number of its cells, or of their trainings"
    raw = float(cell_mean(gaps, np.array([float(cell.runs) for cell in cells])).mean)
    if known.any() and not math.isclose(raw, bias.raw, rel_tol=1e-6, abs_tol=1e-9):
        yield "the bias does not follow from the cells"
    shift = 0.0 if math.isnan(bias.drift) else bias.drift
    if bias.n and not math.isclose(bias.raw + shift, bias.mean, rel_tol=1e-6, abs_tol=1e-9):
        yield "the bias is not the raw one and the drift"
    for low, mean, high in (
        (bias.low, bias.mean, bias.high),
        (lane.tau.low, lane.tau.mean, lane.tau.high),
        (lane.unseen.low, lane.unseen.mean, lane.unseen.high),
    ):
        if not math.isnan(low) and not low - 1e-9 <= mean <= high + 1e-9:
            yield "an interval does not hold its mean"
    shares = (lane.covered.share, lane.verdict.p, lane.verdict.p_equivalence, bias.p)
    if any(not math.isnan(share) and not 0 <= share <= 1 + 1e-9 for share in shares):
        yield "a share or p-value is not from 0 to 1"


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
