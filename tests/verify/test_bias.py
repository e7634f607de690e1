"""From a plan and a run log to the bias: trainings are made up, with a bias and a drift that are known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from nasbench_tab.errors import ResultsError
from nasbench_tab.search.optimism import optimism
from nasbench_tab.search.results import load_results
from nasbench_tab.verify.bias import Bias, Lane, bias
from nasbench_tab.verify.plan import Plan, plan_file, read_plan, write_plan
from nasbench_tab.verify.record import bias_file, bias_lines, write_bias

from .tiny import SPACE, log_runs, off_by


@pytest.fixture
def home(searched: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Instead of the folder's: one with a surrogate too, and plans."""
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(searched))
    return searched


def lane(found: Bias, arm: str, strategy: str = "") -> Lane:
    [one] = [one for one in found.lanes if (one.arm, one.strategy) == (arm, strategy)]
    return one


@pytest.mark.parametrize("drift", [0.0, -3.0])
def test_a_planted_bias_is_found_and_a_drift_is_not_taken_for_one(home: Path, drift: float) -> None:
    log_runs(home / "surrogate", off_by(2.0, drift))
    found = bias(home / "surrogate")
    first = found.lanes[0]
    assert (first.arm, first.strategy) == ("winners", "")
    assert first.bias.mean == pytest.approx(2.0, abs=0.1)
    assert first.bias.raw == pytest.approx(2.0 - drift, abs=0.1)
    assert first.verdict.word == "optimistic"
    assert found.drift.mean == pytest.approx(drift, abs=1e-4)
    assert found.known > 0
    assert found.identical == (found.known if drift == 0 else 0)
    assert lane(found, "random").bias.mean == pytest.approx(2.0, abs=0.1)
    assert first.regret.plain == pytest.approx(0.0, abs=0.2)
    assert first.tau.mean > 0.5


def test_claims_that_hold_have_no_meaningful_bias(home: Path) -> None:
    log_runs(home / "surrogate", off_by(0.0))
    found = bias(home / "surrogate")
    assert found.lanes[0].verdict.word == "no meaningful bias"
    assert found.lanes[0].covered.share == 1.0


def test_all_winners_are_the_strategies_together_weighted_by_runs(home: Path) -> None:
    log_runs(home / "surrogate", off_by(1.0))
    found = bias(home / "surrogate")
    whole = found.lanes[0]
    parts = [one for one in found.lanes if one.strategy]
    assert len(parts) == 2
    assert len({cell.text for cell in whole.cells}) == len(whole.cells)
    networks = {SPACE.canonical(SPACE.parse(c.text)) for one in parts for c in one.cells}
    assert {SPACE.canonical(SPACE.parse(c.text)) for c in whole.cells} == networks
    runs = sum(cell.runs for cell in whole.cells)
    assert runs == sum(cell.runs for one in parts for cell in one.cells)
    mean = sum(cell.runs * cell.optimism for cell in whole.cells) / runs
    assert whole.bias.raw == pytest.approx(mean)
    for cell in whole.cells:
        assert cell.optimism == pytest.approx(cell.claimed - np.mean(cell.fresh))


def test_a_table_is_judged_by_its_other_trainings_too(home: Path) -> None:
    log_runs(home / "table", off_by(1.0))
    found, results = bias(home / "table"), load_results(home / "table")
    for label in results.strategies:
        known = optimism(results, "mine", label)
        unseen = lane(found, "winners", label).unseen
        if known.n:
            assert unseen.mean == pytest.approx(float(known.observed.estimate), abs=1e-5)
        else:
            assert unseen.n == 0
    explained = found.lanes[0].expected
    assert explained is not None
    assert explained.draws == 5
    assert explained.excess.low <= explained.excess.estimate <= explained.excess.high
    assert lane(found, "random").expected is not None


def test_where_every_claim_is_a_mean_over_all_trainings_nothing_is_left_to_compare(
    home: Path,
) -> None:
    log_runs(home / "means", off_by(1.0))
    found = bias(home / "means")
    assert all(one.expected is None for one in found.lanes)
    assert all(one.unseen.n == 0 for one in found.lanes)
    assert any("a mean over all trainings" in note for note in found.notes)


def test_a_run_is_followed_to_its_end_and_enters_no_test(home: Path) -> None:
    plan = log_runs(home / "surrogate", off_by(1.0))
    found, results = bias(home / "surrogate"), load_results(home / "surrogate")
    assert any(claim.arm == "trajectory" for claim in plan.claims)
    for label in results.strategies:
        steps = [step for step in found.trajectory if step.strategy == label]
        trials = results.trials("guess", label)
        first = slice(0, int(trials.lengths[0]))
        best = np.maximum.accumulate(trials.values[first])
        for step in steps:
            assert step.run == trials.runs[0]
            assert step.claimed == best[step.since - 1]  # what it observed was the best so far
            assert step.since == 1 or step.claimed > best[step.since - 2]
            cell = tuple(trials.architectures[step.since - 1].tolist())
            assert step.text == SPACE.format(cell)
        assert [step.since for step in steps] == sorted({step.since for step in steps})
        assert steps[-1].claimed == best[-1]
        assert [len(step.fresh) for step in steps] == [1] * (len(steps) - 1) + [3]
    without = plan._replace(claims=tuple(c for c in plan.claims if c.arm != "trajectory"))
    before = plan_file(home / "surrogate").read_bytes()
    write_plan(home / "surrogate", without)
    other = bias(home / "surrogate")
    plan_file(home / "surrogate").write_bytes(before)
    assert repr(other.lanes) == repr(found.lanes)
    assert [len(step.fresh) for step in other.trajectory] == [3] * len(results.strategies)


def test_failures_are_counted_and_missing_trainings_are_not_failures(home: Path) -> None:
    plan = read_plan(home / "surrogate")
    drawn = [i for i, claim in enumerate(plan.claims) if claim.arm == "random"]
    log_runs(home / "surrogate", off_by(1.0), {drawn[0]: "failed", drawn[1]: "missing"})
    found = bias(home / "surrogate")
    arm = lane(found, "random").bias
    assert arm.left_out == 2 - _elsewhere(plan, drawn[:2])
    assert arm.failed in (0, 3)
    assert found.trainings["failed"] in (0, 3)
    assert sum(found.trainings.values()) == plan.trainings
    assert sum(n for word, n in found.trainings.items() if word != "missing") < plan.trainings


def _elsewhere(plan: Plan, places: list[int]) -> int:
    """How many of some claims' networks another claim trains as well."""
    cells = [SPACE.canonical(claim.cell) for claim in plan.claims if claim.arm != "known"]
    return sum(cells.count(SPACE.canonical(plan.claims[i].cell)) > 1 for i in places)


def test_nothing_trained_yet_is_inconclusive(home: Path) -> None:
    log_runs(home / "surrogate", off_by(1.0), dict.fromkeys(range(1000), "missing"))
    found = bias(home / "surrogate")
    assert all(one.verdict.word == "inconclusive" for one in found.lanes)
    assert all(math.isnan(one.bias.mean) for one in found.lanes)
    assert found.trainings["missing"] == sum(found.trainings.values())
    assert "inconclusive" in "\n".join(bias_lines(found))


def test_the_record_is_json_without_nan_and_the_table_has_every_lane(home: Path) -> None:
    log_runs(home / "table", off_by(1.0))
    found = bias(home / "table")
    path = write_bias(home / "table", found)
    assert path == bias_file(home / "table")
    record = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert record["lanes"][0]["bias"]["mean"] == found.lanes[0].bias.mean
    assert record["lanes"][0]["cells"][0]["text"] == found.lanes[0].cells[0].text
    text = path.read_text(encoding="utf-8")
    write_bias(home / "table", bias(home / "table"))
    assert path.read_text(encoding="utf-8") == text
    lines = bias_lines(found)
    assert len([line for line in lines if "inconclusive" in line or "optimistic" in line]) >= len(
        found.lanes
    )
    assert any(line.startswith("winners of evolution") for line in lines)


def test_without_a_plan_there_is_nothing_to_judge(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no plan"):
        bias(tmp_path)
