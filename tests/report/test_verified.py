"""The part of the page on real trainings: made-up comparisons, made-up trainings, and everything that can be wrong."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nasbench_tab.benchmarks.tablefile import write_table
from nasbench_tab.errors import ResultsError
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load_space
from nasbench_tab.report.page import write_report
from nasbench_tab.report.summary import Summary, summarise
from nasbench_tab.report.verified import VerifiedSection, verified_section
from nasbench_tab.report.verified_file import Verification, read_bias, read_verification
from nasbench_tab.report.verified_tables import bias_rows, standings
from nasbench_tab.report.verified_words import retrained_words
from nasbench_tab.search.compare import compare
from nasbench_tab.search.results import Results, load_results
from nasbench_tab.train.log import LoggedRun, RunLog
from nasbench_tab.verify.plan import plan_file, read_plan, runs_folder, write_plan
from nasbench_tab.verify.record import bias_file

from .conftest import ODD_LABEL, early, small_table
from .retrained import changed, make_plan, off_by, verified

PROTOCOL = Protocol(evaluations=5, missing="masked", seeds="random")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with ``small`` and ``small-errors``, and comparisons ``two``, ``one`` and ``less`` on them."""
    folder = tmp_path_factory.mktemp("verified")
    about: dict[str, Any] = {"title": "made up", "lacks": ["truth"], "protocol": "none at all"}
    for table in (
        small_table("small", times=True),
        small_table("small-errors", times=False, direction="min", unit="fraction"),
    ):
        write_table(folder / "data" / table.name, table, about)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_TAB_HOME", str(folder))
        for name, benchmark, others in (
            ("two", "small", [early(ODD_LABEL, 3, 5)]),
            ("one", "small", []),
            ("less", "small-errors", [early("early", 3, 5)]),
        ):
            asked: list[Any] = ["random", *others]
            compare([benchmark], asked, runs=24, protocol=PROTOCOL, out=folder / name)
    return folder


@pytest.fixture(autouse=True)
def _home(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(made))


@pytest.fixture
def compared(made: Path, tmp_path: Path) -> Callable[[str], Results]:
    """Return a function that gives a comparison to be written to."""
    return lambda name: load_results(shutil.copytree(made / name, tmp_path / name))


_SUMMARIES: dict[str, list[Summary]] = {}


def summaries(results: Results) -> list[Summary]:
    """Return the summaries, which do not depend on what was retrained."""
    key = results.content_hash()
    if key not in _SUMMARIES:
        _SUMMARIES[key] = summarise(results)
    return _SUMMARIES[key]


def read(results: Results) -> Verification:
    return read_verification(results, summaries(results))


def section(results: Results) -> VerifiedSection:
    return verified_section(read(results), summaries(results), results.strategies)


def first_screen(results: Results) -> str:
    return retrained_words(read(results))


def test_what_was_written_is_read_back_to_the_last_bit(compared: Any) -> None:
    results = compared("two")
    verified(results, off_by(2.0, 0.4), {0: "failed"}, surrogate=2.0)
    found = read(results)
    assert found.bias is not None
    record = json.loads(bias_file(results.directory).read_text(encoding="utf-8"))
    assert found.bias.lanes[0].bias.mean == record["lanes"][0]["bias"]["mean"]
    assert len(found.bias.trajectory) == len(record["trajectory"]) > 2
    assert found.bias.lanes[0].unseen.mean == pytest.approx(record["lanes"][0]["unseen"]["mean"])
    assert any(math.isnan(v) for lane in found.bias.lanes for c in lane.cells for v in c.fresh)
    assert found.says == ""


def test_optimistic_winners_are_called_so_on_the_first_screen(compared: Any) -> None:
    results = compared("two")
    verified(results, off_by(4.0, 0.3))
    text = first_screen(results)
    found = read(results).bias
    assert found is not None
    lane = found.lanes[0]
    assert lane.verdict.word == "optimistic"
    assert re.match(
        r"winners of all strategies are \d\.\d+ percentage points optimistic \[\d\.\d+,\xa0\d\.\d+\], "
        rf"{lane.bias.n} cells × 3 seeds; winners of random ",
        text,
    )
    assert float(text.split()[5]) == pytest.approx(lane.bias.mean, abs=0.005)
    assert text.count("percentage points") == 1
    assert ODD_LABEL in text


@pytest.mark.parametrize(
    ("name", "benchmark", "scale", "good"),
    [("two", "small", 1.0, 1), ("less", "small-errors", 0.01, -1)],
)
def test_a_claim_that_is_too_good_is_optimistic_whichever_way_is_better(
    compared: Any, name: str, benchmark: str, scale: float, good: int
) -> None:
    results = compared(name)
    verified(results, off_by(4 * scale, 0.3 * scale, good=good), benchmark=benchmark)
    found = read(results).bias
    assert found is not None
    assert all(lane.bias.mean > 2 * scale for lane in found.lanes)
    assert "optimistic [" in first_screen(results)
    for one in standings(found):
        assert good * (one.claimed.mean - one.real.mean) > 2 * scale
    best = min(standings(found), key=lambda one: one.ranks[0])
    assert all(good * (best.claimed.mean - one.claimed.mean) >= 0 for one in standings(found))
    assert len(section(results).charts) == 3


def test_pessimistic_claims_are_shown_with_positive_size(compared: Any) -> None:
    results = compared("two")
    verified(results, off_by(-4.0, 0.3))
    text = first_screen(results)
    assert re.search(r"are \d\.\d+ percentage points pessimistic \[\d", text)
    assert "−" not in text


def test_one_strategy_stands_there_once_with_the_uncorrected_test(compared: Any) -> None:
    results = compared("one")
    verified(results, off_by(4.0, 0.3))
    shown, found = section(results), read(results).bias
    assert found is not None
    assert shown.bias is not None
    assert [row.label for row in shown.bias.rows] == [
        "Winners of random",
        "The benchmark’s own best",
        "Random cells",
    ]
    assert shown.standing is None
    assert shown.order is None
    assert shown.sentences[0].startswith("Winners of random are ")
    row = bias_rows(found)[0]
    assert (row["strategy"], row["p_holm"]) == ("random", found.lanes[0].verdict.p)


def test_failures_are_counted_and_the_failed_have_no_point(compared: Any) -> None:
    results = compared("two")
    plan = make_plan(results)
    places = [i for i, claim in enumerate(plan.claims) if claim.arm == "random"][:2]
    verified(results, off_by(1.0, 0.3), dict.fromkeys(places, "diverged"))
    found, shown = read(results).bias, section(results)
    assert found is not None
    assert found.trainings["diverged"] in (3, 6)
    assert f"{found.trainings['diverged']} of" in first_screen(results)
    assert any("diverged" in fact for fact in shown.facts)
    assert shown.bias is not None
    assert any(re.fullmatch(r"\d+ \(\d+\)", row.cells[1].text) for row in shown.bias.rows)


def test_nobody_has_trained_anything(compared: Any) -> None:
    results = compared("two")
    assert "cannot be retrained" in first_screen(results)  # no recipe trains a made-up table
    plan = make_plan(results)
    write_plan(results.directory, plan)
    words = f"planned, 0 of {plan.trainings} trained: run nasbench-tab verify DIR"
    assert first_screen(results) == words
    assert section(results).reason == f"{words[:1].upper()}{words[1:]}."
    assert section(results).bias is None
    everything = dict.fromkeys(range(len(plan.claims)), "missing")
    verified(results, off_by(0.0, 1.0), everything)  # judged before anything was trained
    assert first_screen(results) == words


def test_where_a_recipe_is_known_the_command_is_named(
    monkeypatch: pytest.MonkeyPatch, compared: Any
) -> None:
    monkeypatch.setattr("nasbench_tab.report.verified_file.find_task", lambda bench: None)
    results = compared("two")
    assert first_screen(results).startswith("not done: nasbench-tab verify DIR trains the winners")
    assert len(first_screen(results)) < 110
    several = [*summaries(results), summaries(compared("less"))[0]]
    assert "DIR --benchmark small trains" in read_verification(results, several).says


def log(results: Results, n: int, status: Any = "ok") -> None:
    """Log so many trainings of a plan."""
    plan = read_plan(results.directory)
    file = runs_folder(results.directory) / "runs.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    space, seen, out = load_space(plan.space), set[tuple[str, int]](), RunLog(file)
    for claim in plan.claims:
        for seed in claim.seeds:
            key = (space.format(space.canonical(claim.cell)), seed)
            if key in seen or len(seen) == n:
                continue
            seen.add(key)
            curve = {plan.objective: [1.0] * 5} if status == "ok" else {}
            run = LoggedRun(
                space=plan.space, dataset=plan.dataset, architecture=key[0], seed=seed, status=status,
                curve=curve, epochs=5, split=plan.split, recipe=plan.recipe, device_kind="cpu",
                error="" if status == "ok" else "out of memory",
            )  # fmt: skip
            out.append(run)


def test_trained_but_not_judged_yet(compared: Any) -> None:
    results = compared("two")
    write_plan(results.directory, make_plan(results))
    log(results, 5)
    text = first_screen(results)
    assert text.startswith("planned, 5 of ")
    assert "run nasbench-tab bias DIR, or nasbench-tab verify DIR to train the rest" in text
    shutil.rmtree(runs_folder(results.directory))
    log(results, 5, "failed")
    assert "5 of" in first_screen(results)
    assert "none of them well: run nasbench-tab verify DIR" in first_screen(results)


def test_partial_runs_are_shown_as_what_they_are(compared: Any) -> None:
    results = compared("two")
    plan = make_plan(results)
    drawn = [i for i, claim in enumerate(plan.claims) if claim.arm == "random"]
    verified(results, off_by(4.0, 0.3), dict.fromkeys(drawn, "missing"))
    found = read(results)
    assert found.bias is not None
    assert found.bias.trainings["missing"] > 0
    done = plan.trainings - found.bias.trainings["missing"]
    assert first_screen(results).endswith(
        f"{done} of {plan.trainings} trainings so far: nasbench-tab verify DIR goes on"
    )
    log(results, plan.trainings)
    assert "more trainings are in the run log than were judged" in first_screen(results)


def lanes_mean(record: dict[str, Any]) -> None:
    record["lanes"][0]["bias"]["mean"] = -record["lanes"][0]["bias"]["mean"]


def lane_raw(record: dict[str, Any]) -> None:
    for key in ("mean", "raw", "low", "high"):
        record["lanes"][1]["bias"][key] += 100.0


WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    "comparison": lambda r: r.update(comparison="sha256:0"),
    "benchmark": lambda r: r.update(benchmark="other"),
    "margin": lambda r: r.update(margin=100.0),
    "version": lambda r: r.update(version=2),
    "format": lambda r: r.update(format="nasbench_tab verification plan"),
    "lacks or has too much: drift": lambda r: r.pop("drift"),
    "lacks or has too much: verdicts": lambda r: r.update(verdicts=[]),
    "the record.known is True": lambda r: r.update(known=True),
    "the record.lanes is None": lambda r: r.update(lanes=None),
    "direction is 'up'": lambda r: r.update(direction="up"),
    "cells[0].claimed is '91'": lambda r: r["lanes"][0]["cells"][0].update(claimed="91"),
    "not claimed less fresh": lambda r: r["lanes"][0]["cells"][0].update(claimed=1e3),
    "cell that was not planned": lambda r: r["lanes"][0]["cells"][0].update(text="|x|"),
    "not the number of its cells": lambda r: r["lanes"][1]["bias"].update(n=50),
    "the raw one and the drift": lanes_mean,
    "does not follow from the cells": lane_raw,
    "does not hold its mean": lambda r: r["lanes"][0]["bias"].update(low=50.0, high=51.0),
    "not from 0 to 1": lambda r: r["lanes"][0]["verdict"].update(p=3.0),
    "and the plan": lambda r: r["trainings"].update(ok=1000),
    "do not come first": lambda r: r["lanes"].pop(0),
    "no cells": lambda r: r["lanes"][0].update(cells=[]),
    "was not planned: winners hill": lambda r: r["lanes"][1].update(strategy="hill"),
    "the trajectory has a cell": lambda r: r["trajectory"][0].update(text="|y|"),
}  # fmt: skip


@pytest.fixture(scope="module")
def good(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A comparison that was verified; its files are to be put back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_TAB_HOME", str(made))
        results = load_results(
            shutil.copytree(made / "two", tmp_path_factory.mktemp("good") / "two")
        )
        verified(results, off_by(4.0, 0.3), surrogate=2.0)
    return results


@pytest.fixture
def mended(good: Results) -> Any:
    folder = good.directory / "verification"
    kept = {path: path.read_bytes() for path in folder.glob("*.json")}
    yield good
    shutil.rmtree(folder)
    folder.mkdir()
    for path, content in kept.items():
        path.write_bytes(content)


@pytest.mark.parametrize("words", list(WRONG))
def test_a_record_that_is_wrong_gives_words_and_no_number(words: str, mended: Results) -> None:
    changed(mended.directory, WRONG[words])
    with pytest.raises(ResultsError, match=re.escape(words)):
        read_bias(mended.directory, read_plan(mended.directory))
    found = read(mended)
    assert found.bias is None
    assert found.damaged
    assert words in found.says
    assert "nasbench-tab bias DIR" in found.says or "upgrade" in found.says
    shown = section(mended)
    assert shown.bias is None
    assert not shown.charts
    assert str(mended.directory) not in shown.reason


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"NaN", b"\xff\xfe", b"[" * 100_000, b'{"format": NaN}']
)
def test_a_file_that_is_no_record_gives_words(content: bytes, mended: Results) -> None:
    bias_file(mended.directory).write_bytes(content)
    assert "bias.json is damaged" in first_screen(mended)
    plan_file(mended.directory).write_bytes(content)
    assert first_screen(mended).startswith("not shown: ")


def test_a_record_without_its_plan_or_with_another_one_is_not_shown(
    mended: Results, compared: Any
) -> None:
    plan_file(mended.directory).unlink()
    assert "has no plan of a verification" in first_screen(mended)
    other = compared("less")
    write_plan(other.directory, make_plan(other, "small-errors"))
    shutil.copy(plan_file(other.directory), plan_file(mended.directory))
    assert "of another comparison" in first_screen(mended)


def test_a_damaged_run_log_gives_words(mended: Results) -> None:
    runs_folder(mended.directory).mkdir(exist_ok=True)
    (runs_folder(mended.directory) / "runs.jsonl").write_text('{"a": 1}\n{"b": 2}\n{}\n')
    assert "its run log cannot be read" in first_screen(mended)


def test_the_page_has_it_and_the_files_beside_it(good: Results) -> None:
    page = write_report(good.directory)
    text = page.read_text(encoding="utf-8")
    assert '<section class="benchmark" id="verified">' in text
    assert text.index("retrained for real") < text.index('id="verified"')
    assert "<dt>same order for real</dt>" in text
    assert "<b>50%" not in text
    folder = page.parent
    names = {
        f"figures/verified-{name}.{kind}"
        for name in ("claimed", "bias", "along")
        for kind in ("svg", "pdf")
    }
    assert all((folder / name).stat().st_size > 1000 for name in names)
    rows = list(csv.DictReader((folder / "bias.csv").read_text(encoding="utf-8").splitlines()))
    record = read(good).bias
    assert record is not None
    assert [float(row["bias_mean"]) for row in rows] == [one.bias.mean for one in record.lanes]
    assert {row["comparison"] for row in rows} == {good.content_hash()}
    table = (folder / "bias.tex").read_text(encoding="utf-8")
    assert table.count(r" \\") == 1 + len(rows)
    assert "50\\% \\& \\$x\\_1\\$" in table
    figures = section(good).figures  # the same results give the same report
    assert all(
        (folder / f"figures/{name}.svg").read_text(encoding="utf-8") == svg
        for name, svg in figures.items()
    )


def test_without_one_the_page_says_so_and_writes_no_table_of_biases(compared: Any) -> None:
    results = compared("one")
    page = write_report(results.directory)
    text = page.read_text(encoding="utf-8")
    assert "Not possible here: small" in text
    assert "<dt>retrained for real</dt><dd>not possible here" in text
    assert not (page.parent / "bias.csv").exists()
    assert "same order for real" not in text


def test_values_far_from_the_final_ones_are_left_out_of_the_chart_and_named(
    mended: Results,
) -> None:
    def early(record: dict[str, Any]) -> None:
        record["trajectory"][0]["fresh"] = [-1000.0]

    assert not [note for note in section(mended).notes if note.startswith("Left out")]
    changed(mended.directory, early)
    [note] = [note for note in section(mended).notes if note.startswith("Left out")]
    assert "−1,000.00 (random, evaluation 1)" in note
