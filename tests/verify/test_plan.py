"""The plan as plain data: what is written is read again, and nothing else is."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import ResultsError
from nasbench_tab.verify.plan import (
    ARMS,
    Claim,
    Plan,
    difference,
    lanes,
    plan_file,
    read_plan,
    training_order,
    write_plan,
)

NUMBERS = st.floats(-1e6, 1e6)
SOME = st.one_of(NUMBERS, st.just(math.nan))
SEEDS = st.integers(2**20, 2**31)


@st.composite
def claims(draw: st.DrawFn) -> list[Claim]:
    """Claims with distinct cells in each arm; fresh seeds are large and logged ones small."""
    found = []
    cells = draw(st.lists(st.tuples(*[st.integers(0, 255)] * 3), max_size=6, unique=True))
    for cell in cells:
        arm = draw(st.sampled_from(ARMS))
        searched = arm in ("winners", "trajectory")
        runs = tuple(draw(st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True)))
        known = tuple((seed, draw(NUMBERS)) for seed in range(draw(st.integers(1, 3))))
        fresh = tuple(draw(st.lists(SEEDS, min_size=1, max_size=4, unique=True)))
        found.append(
            Claim(
                arm=arm,
                strategy=draw(st.sampled_from("ab")) if searched else "",
                cell=cell,
                text=draw(st.sampled_from(["|a~0|", '"ü\n', ""])),
                epoch=draw(st.integers(1, 9)),
                value=draw(NUMBERS),
                sd_model=draw(SOME),
                sd_seed=draw(SOME),
                lower=draw(SOME),
                upper=draw(SOME),
                source=draw(st.sampled_from(["table", "surrogate"])),
                runs=runs if searched else (),
                observed=tuple(draw(NUMBERS) for _ in runs) if searched else (),
                since=tuple(draw(st.integers(1, 99)) for _ in runs) if searched else (),
                known=known,
                seeds=tuple(seed for seed, _ in known) if arm == "known" else fresh,
                seconds=draw(SOME),
            )
        )
    return found


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    return PLAN._replace(
        claims=tuple(draw(claims())),
        margin=draw(st.floats(1e-9, 1e9)),
        direction=draw(st.sampled_from(["max", "min"])),
        smallest=draw(SOME),
        notes=tuple(draw(st.lists(st.sampled_from(["a", "ü"]), max_size=2))),
    )


CLAIM = Claim(
    *("winners", "a", (1, 2, 0), "x", 5, 90.5, math.nan, math.nan, math.nan, math.nan, "table"),
    *((3, 7), (90.0, 91.0), ((2, 89.5),), (2**21, 2**22), 60.0, (9, 1)),
)
KNOWN = CLAIM._replace(arm="known", strategy="", runs=(), observed=(), since=(), seeds=(2,))
PLAN = Plan(
    comparison="sha256:c",
    benchmark="mine",
    hash="sha256:h",
    source="table",
    space="s",
    task="t",
    dataset="d",
    split="sha256:s",
    recipe="sha256:r",
    canonical=True,
    same_recipe=True,
    objective="valid_accuracy",
    direction="max",
    unit="%",
    epoch=5,
    margin=0.1,
    seed_sd=0.2,
    residual_sd=math.nan,
    smallest=math.nan,
    trainings=3,
    seconds_each=60.0,
    seconds=180.0,
    price="p",
    seed=0,
    top=1,
    seeds_each=2,
    trajectory=0,
    used_seeds=(0, 1, 2),
    claims=(CLAIM, KNOWN),
    notes=(),
    versions=(("python", "3.11"),),
    date="2026-01-01T00:00:00+00:00",
)


@given(plans())
@settings(max_examples=25)
def test_what_is_written_is_read_again(plan: Plan) -> None:
    with TemporaryDirectory() as folder:
        write_plan(Path(folder), plan)
        assert repr(read_plan(Path(folder))) == repr(plan)
        json.loads(plan_file(Path(folder)).read_text(), parse_constant=pytest.fail)


@given(claims())
@settings(max_examples=25)
def test_the_order_trains_everything_once_and_keeps_the_arms_level(made: list[Claim]) -> None:
    plan = PLAN._replace(claims=tuple(made))
    order = training_order(plan)
    assert Counter(order) == Counter((c.cell, s) for c in made for s in c.seeds)
    groups = list(lanes(plan).values())
    lane_of = {
        (claim.cell, seed): (lane, number, place)
        for lane, group in enumerate(groups)
        for place, claim in enumerate(group)
        for number, seed in enumerate(claim.seeds)
    }
    if len(lane_of) == len(order):
        drawn = [list(lanes(plan))[lane_of[pair][0]][0] == "trajectory" for pair in order]
        assert drawn == sorted(drawn)  # what is only for the picture comes last
        order = [pair for pair, last in zip(order, drawn, strict=True) if not last]
        numbers = [lane_of[pair][1] for pair in order]
        assert numbers == sorted(numbers)  # one seed of all before the next of any
        # Wherever it ends, no arm is ahead by more than one while another still has some of that seed.
        first = [pair for pair in order if lane_of[pair][1] == 0]
        for end in range(len(first)):
            done = Counter(lane_of[pair][0] for pair in first[:end])
            waiting = {lane_of[pair][0] for pair in first[end:]}
            assert all(done[w] >= max(done.values(), default=0) - 1 for w in waiting)


def changed(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda record: record.update(fields)


def of_claim(number: int, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda record: record["claims"][number].update(fields)


BAD: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (changed(format="other"), "expected an object with the format"),
    (changed(version=2), "has version 2"),
    (changed(version="1"), "has version '1'"),
    (changed(extra=1), "has too much: extra"),
    (lambda record: record.pop("margin"), "margin"),
    (changed(margin=None), "margin of the plan must be a number"),
    (changed(margin=0), "above 0"),
    (changed(margin=True), "margin"),
    (changed(margin="0.1"), "margin"),
    (changed(top=0), "is 0"),
    (changed(seed=-1), "is below 0"),
    (changed(trajectory=-1), "is below 0"),
    (changed(seed=1.0), "a whole number"),
    (changed(direction="up"), "got 'up'"),
    (changed(source="live"), "source is 'live'"),
    (changed(canonical=1), "true or false"),
    (changed(used_seeds=[0.5]), "used_seeds"),
    (changed(used_seeds=[2**21]), "no fitting seeds"),
    (changed(claims={}), "list of objects"),
    (changed(claims=[1]), "list of objects"),
    (changed(versions={"python": 3}), "versions"),
    (of_claim(0, more=1), "claim 0 lacks or has too much: more"),
    (lambda record: record["claims"][1].pop("value"), "claim 1 lacks"),
    (of_claim(0, value=None), "value of claim 0 must be a number"),
    (of_claim(0, arm="losers"), "no fitting arm"),
    (of_claim(0, strategy=""), "no fitting arm"),
    (of_claim(0, arm="trajectory", strategy=""), "no fitting arm"),
    (of_claim(1, strategy="a"), "no fitting arm"),
    (of_claim(0, source="mixed"), "no fitting source"),
    (of_claim(0, cell=[]), "no fitting cell"),
    (of_claim(0, cell=[256, 0, 0]), "no fitting cell"),
    (of_claim(0, epoch=0), "no fitting epoch"),
    (of_claim(0, runs=[]), "no fitting runs"),
    (of_claim(0, runs=[3, 3]), "no fitting runs"),
    (of_claim(0, observed=[1.0]), "no fitting runs"),
    (of_claim(0, since=[]), "no fitting runs"),
    (of_claim(0, since=[0, 1]), "no fitting runs"),
    (of_claim(1, since=[1]), "no fitting runs"),
    (of_claim(0, known=[[2, 1.0], [2, 2.0]]), "no fitting known"),
    (of_claim(0, known=[[2]]), "known of claim 0"),
    (of_claim(0, seeds=[]), "no fitting seeds"),
    (of_claim(0, seeds=[5, 5]), "no fitting seeds"),
    (of_claim(0, seeds=[1]), "no fitting seeds"),
    (of_claim(0, seeds=[-5]), "no fitting seeds"),
    (of_claim(0, seeds=[2**63]), "no fitting seeds"),
    (of_claim(1, seeds=[9]), "no fitting seeds"),
    (lambda record: record["claims"].append(record["claims"][0]), "twice in one arm"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_what_is_no_plan_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    write_plan(tmp_path, PLAN)
    record = json.loads(plan_file(tmp_path).read_text())
    change(record)
    plan_file(tmp_path).write_text(json.dumps(record))
    with pytest.raises(ResultsError) as raised:
        read_plan(tmp_path)
    assert message in str(raised.value)
    assert str(plan_file(tmp_path)) in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format": NaN}', "\xff", "[" * 100_000])
def test_files_that_are_none(tmp_path: Path, text: str) -> None:
    plan_file(tmp_path).parent.mkdir()
    plan_file(tmp_path).write_text(text, encoding="latin-1")
    with pytest.raises(ResultsError, match=r"plan\.json"):
        read_plan(tmp_path)


def test_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="nasbench-tab verify"):
        read_plan(tmp_path)


@pytest.mark.parametrize(
    "plan", [PLAN._replace(margin=-1.0), PLAN._replace(claims=(CLAIM._replace(seeds=(1,)),))]
)
def test_what_could_not_be_read_is_not_written(tmp_path: Path, plan: Plan) -> None:
    with pytest.raises(ResultsError):
        write_plan(tmp_path, plan)
    assert list(tmp_path.iterdir()) == []


def test_a_difference_is_named() -> None:
    assert difference(PLAN, top=1, seeds_each=2, margin=None) == ""
    assert difference(PLAN, top=1, seeds_each=3) == "its seeds each is 2, not 3"
