"""The plan of a verification: what is retrained, with which seeds, written before anything is trained.

::

    DIR/verification/plan.json     claims, fresh seeds, margin, power
    DIR/verification/runs/         run log of the trainings (docs/run-log.md)

A plan that is written after the first training could be bent to the results, so it is written first
and never changed. Everything in it is in the objective's unit and direction.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, get_type_hints

from nasbench_tab.atomic import write_text
from nasbench_tab.errors import ResultsError
from nasbench_tab.records import Architecture, Direction
from nasbench_tab.search.annotated import fitted, words

__all__ = [
    "ARMS",
    "TESTED",
    "Claim",
    "Plan",
    "difference",
    "lanes",
    "plan_file",
    "read_plan",
    "runs_folder",
    "training_order",
    "write_plan",
]

#: Arms that are tested, and all reasons why a cell is retrained.
TESTED = ("winners", "top", "random")
ARMS = (*TESTED, "known", "trajectory")
FORMAT, VERSION = "nasbench_tab verification plan", 1
_SOURCES = ("table", "surrogate", "mixed")
#: What a later call may leave out, and what it must repeat where it does not.
_ARGUMENTS = (
    *("comparison", "benchmark", "hash", "task"),
    *("seed", "top", "seeds_each", "margin", "trajectory"),
)


class Claim(NamedTuple):
    """One cell in one arm: what is claimed of it, and how it is trained now.

    Attributes:
        arm: ``"winners"`` (a strategy's final incumbents), ``"top"`` (the benchmark's own best),
            ``"random"`` (uniform cells), ``"known"`` (cells whose trainings are logged, retrained
            with the logged seeds: the pipeline's drift) or ``"trajectory"`` (what one run held before its
            final incumbent: for a picture, in no test).
        strategy: Label of the strategy for ``"winners"`` and ``"trajectory"``, else empty.
        cell: As the search or the benchmark names it.
        text: Its published string.
        epoch: The 1-based epoch that the claim is about.
        value: What is claimed. Where there are ``observed`` values their mean; else the benchmark's.
        sd_model: How unsure the surrogate is of the mean; NaN where a table answered.
        sd_seed: The surrogate's deviation between training seeds; NaN likewise.
        lower: Of the surrogate's 90 % interval of one training; NaN likewise.
        upper: See ``lower``.
        source: Who answered: ``"table"`` or ``"surrogate"``.
        runs: Search runs whose final incumbent it is; for ``"trajectory"`` the run that held it.
        observed: What each of ``runs`` observed.
        known: Pairs (training seed, value) in the data behind the claim: for ``"known"`` what is
            retrained against; for tested arms, where a table answered, the trainings that the claim did
            not use.
        seeds: Training seeds to train now; fresh ones but for ``"known"``.
        seconds: Price of one training, by the benchmark's own times; NaN where it has none.
        since: After how many evaluations it became the incumbent of each of ``runs``, from 1.
    """

    arm: str
    strategy: str
    cell: Architecture
    text: str
    epoch: int
    value: float
    sd_model: float
    sd_seed: float
    lower: float
    upper: float
    source: str
    runs: tuple[int, ...]
    observed: tuple[float, ...]
    known: tuple[tuple[int, float], ...]
    seeds: tuple[int, ...]
    seconds: float = math.nan
    since: tuple[int, ...] = ()


class Plan(NamedTuple):
    """What a verification will do and how much it can find.

    Attributes:
        comparison: Content hash of the results that are verified.
        benchmark: Name under which it was searched.
        hash: Its content hash.
        source: ``"table"``, ``"surrogate"`` or ``"mixed"``.
        space: Search space, by its registered name.
        task: Name of the task that trains (:mod:`nasbench_tab.train.tasks`).
        dataset: The task's; with the next two what tells its runs from others.
        split: Hash of the task's split.
        recipe: Hash of the task's recipe.
        canonical: Whether the canonical cell is trained.
        same_recipe: Whether the data behind the benchmark come from this very recipe and split, so that
            a logged seed means the same training again.
        objective: Metric that is claimed and trained for.
        direction: ``"max"`` or ``"min"``.
        unit: Of the objective.
        epoch: The epoch that counts as the full training of the search.
        margin: A bias below this does not matter in practice.
        seed_sd: Deviation between training seeds that was assumed; NaN where not known.
        residual_sd: Assumed deviation, between winners, of claimed minus mean of the fresh trainings.
        smallest: Smallest bias of winners that is found with a power of 80 % at a level of 5 %; NaN
            where ``residual_sd`` is not known or there is no winner.
        trainings: Distinct trainings.
        seconds_each: Mean price of one, by the benchmark's own times; NaN where it has none.
        seconds: Price of all.
        price: In words, whose seconds those are.
        seed: Master seed.
        top: Cells in each arm, and for each strategy.
        seeds_each: Fresh trainings of each cell; one of those that are in ``"trajectory"`` alone.
        trajectory: Most incumbents of each strategy's first run, before its final one.
        used_seeds: Training seeds behind the claims, which fresh ones avoid.
        claims: What is retrained.
        notes: What a reader has to know of the choice.
        versions: Of what made the plan.
        date: ISO 8601, UTC.
    """

    comparison: str
    benchmark: str
    hash: str
    source: str
    space: str
    task: str
    dataset: str
    split: str
    recipe: str
    canonical: bool
    same_recipe: bool
    objective: str
    direction: Direction
    unit: str
    epoch: int
    margin: float
    seed_sd: float
    residual_sd: float
    smallest: float
    trainings: int
    seconds_each: float
    seconds: float
    price: str
    seed: int
    top: int
    seeds_each: int
    trajectory: int
    used_seeds: tuple[int, ...]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    date: str


_MAY_BE_NAN = {
    *("sd_model", "sd_seed", "lower", "upper"),
    *("seed_sd", "residual_sd", "smallest", "seconds_each", "seconds"),  # of claims too
}


def plan_file(directory: Path) -> Path:
    """Return where the plan of a comparison's verification is kept."""
    return directory / "verification" / "plan.json"


def runs_folder(directory: Path) -> Path:
    """Return the folder of the verification's run log."""
    return directory / "verification" / "runs"


def lanes(plan: Plan) -> dict[tuple[str, str], list[Claim]]:
    """Return the claims of each arm, those of each strategy apart: ``{(arm, strategy): claims}``."""
    found: dict[tuple[str, str], list[Claim]] = {}
    for arm in ARMS:
        for claim in plan.claims:
            if claim.arm == arm:
                found.setdefault((arm, claim.strategy), []).append(claim)
    return found


def training_order(plan: Plan) -> list[tuple[Architecture, int]]:
    """Return the pairs (cell, training seed), in the order of training.

    One seed of every cell before the next seed of any, and in turn from every arm and strategy: wherever
    a budget ends, the arms are about equally far. What is only drawn and not tested comes last.
    """
    found = []
    for last in (False, True):
        groups = [group for key, group in lanes(plan).items() if (key[0] == "trajectory") == last]
        found += [
            (group[place].cell, group[place].seeds[number])
            for number in range(max((len(c.seeds) for c in plan.claims), default=0))
            for place in range(max(map(len, groups), default=0))
            for group in groups
            if place < len(group) and number < len(group[place].seeds)
        ]
    return found


def write_plan(directory: Path, plan: Plan) -> None:
    """Write a plan to its place in a comparison's ``directory``; NaN becomes null.

    Raises:
        ResultsError: It is not as a plan must be, or cannot be written.
    """
    record = {"format": FORMAT, "version": VERSION, **plan._asdict()}
    record["claims"] = [_nulls(claim._asdict()) for claim in plan.claims]
    record["versions"] = dict(plan.versions)
    text = json.dumps(_nulls(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    _plan_of(json.loads(text), "The plan")
    write_text(plan_file(directory), text)


def read_plan(directory: Path) -> Plan:
    """Return the plan of the comparison in ``directory``.

    Raises:
        ResultsError: There is none, it is damaged, altered by hand so that it contradicts itself, or
            newer than this release.
    """
    path = plan_file(directory)
    try:
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except FileNotFoundError as err:
        raise ResultsError(
            f"{directory} has no plan of a verification ({path.name} in verification/). Make one with "
            "nasbench-tab verify."
        ) from err
    except (OSError, ValueError, RecursionError) as err:
        raise ResultsError(f"{path} cannot be read ({err}). {_AGAIN}") from err
    return _plan_of(record, str(path))


def difference(found: Plan, **wanted: Any) -> str:
    """Return in words the first argument that ``found`` was made with otherwise; empty if none.

    Args:
        found: A plan.
        wanted: Some of its arguments; None = whatever it was made with.
    """
    for name in _ARGUMENTS:
        asked = wanted.get(name)
        if asked is not None and asked != getattr(found, name):
            return f"its {name.replace('_', ' ')} is {getattr(found, name)!r}, not {asked!r}"
    return ""


_AGAIN = (
    "A plan is never edited: restore it, or move the folder verification/ away and verify again."
)


def _plan_of(record: object, where: str) -> Plan:
    def refuse(problem: str) -> NoReturn:
        raise ResultsError(f"{where} is no plan of a verification: {problem}. {_AGAIN}")

    if not isinstance(record, dict) or record.get("format") != FORMAT:
        refuse(f"expected an object with the format {FORMAT!r}")
    if record.get("version") != VERSION:
        raise ResultsError(
            f"{where} has version {record.get('version')!r}; this release reads version {VERSION}. "
            "Upgrade nasbench_tab."
        )
    fields = {key: value for key, value in record.items() if key not in ("format", "version")}
    claims = fields.get("claims")
    if not isinstance(claims, list) or not all(isinstance(claim, dict) for claim in claims):
        refuse("claims must be a list of objects")
    made = [_fields(Claim, claim, f"claim {i}", refuse) for i, claim in enumerate(claims)]
    fields["claims"] = []
    rest = _fields(Plan, fields, "the plan", refuse)
    plan = Plan(**{**rest, "claims": tuple(Claim(**claim) for claim in made)})
    problem = next(filter(None, _problems(plan)), "")
    if problem:
        refuse(problem)
    return plan


def _fields(kind: Any, values: dict[str, Any], where: str, refuse: Any) -> dict[str, Any]:
    """Return the values of a NamedTuple as its annotations want them; ``refuse`` what does not fit."""
    hints = get_type_hints(kind)
    if values.keys() != hints.keys():
        odd = sorted(values.keys() ^ hints.keys())
        refuse(f"{where} lacks or has too much: {', '.join(map(str, odd))}")
    found = {}
    for name, hint in hints.items():
        value = values[name]
        if name == "claims":
            continue
        if hint is float:
            if value is None and name in _MAY_BE_NAN:
                value = math.nan
            elif type(value) is int:
                value = float(value)
        try:
            found[name] = fitted(value, hint)
        except ValueError:
            refuse(f"{name} of {where} must be {words(hint)}; got {value!r:.100}")
    return found


def _problems(plan: Plan) -> list[str]:
    """Return what contradicts itself, empty texts between."""
    found = [
        "" if plan.source in _SOURCES else f"source is {plan.source!r}",
        "" if plan.margin > 0 else f"margin must be above 0; it is {plan.margin!r}",
        "" if min(plan.epoch, plan.top, plan.seeds_each) > 0 else "epoch, top or seeds each is 0",
        "" if min(plan.seed, plan.trajectory) >= 0 else "seed or trajectory is below 0",
    ]
    used, seen = set(plan.used_seeds), set()
    for number, claim in enumerate(plan.claims):
        known, searched = dict(claim.known), claim.arm in ("winners", "trajectory")
        key = (claim.arm, claim.strategy, claim.cell)
        fits = {
            "arm": claim.arm in ARMS and searched == bool(claim.strategy),
            "source": claim.source in ("table", "surrogate"),
            "cell": len(claim.cell) > 0 and all(0 <= op < 256 for op in claim.cell),
            "epoch": claim.epoch > 0,
            "runs": searched == bool(claim.runs)
            and len(claim.runs) == len(set(claim.runs)) == len(claim.observed) == len(claim.since)
            and all(evaluations > 0 for evaluations in claim.since),
            "known": len(known) == len(claim.known),
            "seeds": len(set(claim.seeds)) == len(claim.seeds) > 0
            and all(0 <= seed < 2**63 for seed in claim.seeds)
            # A fresh training must not be one that the claim comes from, a known one must be.
            and (
                set(claim.seeds) <= set(known)
                if claim.arm == "known"
                else not used & {*claim.seeds}
            ),
            "cell, which stands there twice in one arm": key not in seen,
        }
        seen.add(key)
        found += [f"claim {number} has no fitting {name}" for name, fit in fits.items() if not fit]
    return found


def _nulls(record: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in record.items()
    }


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
