"""The checklist as a whole, and the author's answers to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nasbench_tab.errors import InvalidArgumentError, UnknownNameError
from nasbench_tab.report.author import Answer
from nasbench_tab.report.boxes import GROUPS, PRACTICES, Box
from nasbench_tab.report.checklist import checklist, counts
from nasbench_tab.search.results import load_results
from report.conftest import Compared

from .checked import box, expect, experiment, shard

# All of them.


def test_what_a_default_comparison_passes_by_itself(plain: Path) -> None:
    boxes = checklist(load_results(plain))
    assert {found.key for found in boxes if found.verdict != "pass"} == {"A3", "B3", "C1", "C2"}
    assert counts(boxes) == {"pass": 12, "fail": 0, "not recorded": 4, "not applicable": 0}


def test_there_are_16_boxes_in_their_order_each_with_evidence_field_and_command(
    plain: Path,
) -> None:
    boxes = checklist(load_results(plain))
    assert [found.key for found in boxes] == list(PRACTICES)
    assert [sum(key[0] == group for key in PRACTICES) for group in GROUPS] == [5, 8, 3]
    for found in boxes:
        assert found.group == GROUPS[found.key[0]]
        assert all([found.practice, found.evidence, found.where, found.command])


def test_checking_changes_nothing(copied: Path) -> None:
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    checklist(load_results(copied))
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


def test_no_table_and_nothing_that_needs_it_passes(
    compared: Compared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = compared(("evolution", "local-search"))
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "elsewhere"))
    boxes = {found.key: found for found in checklist(results)}
    for key in ("A1", "A3", "B1", "B6", "B8", "C3"):
        assert boxes[key].verdict == "not recorded"
        assert "small cannot be loaded here" in boxes[key].evidence


def test_another_table_under_the_name(copied: Path) -> None:
    experiment(copied, lambda e: e["benchmarks"][0].update(hash="sha256:other"))
    for key in ("A1", "A3", "B1", "B8", "C3"):
        expect(copied, key, "not recorded", "not the one that was searched")


# The author's answers.


def answered(directory: Path, key: str, answer: Any) -> Box:
    boxes = checklist(load_results(directory), {key: Answer(answer, "Section 5")})
    return next(found for found in boxes if found.key == key)


@pytest.mark.parametrize("answer", ["pass", "not applicable", "fail"])
def test_an_answer_fills_a_gap_and_is_marked(plain: Path, answer: Any) -> None:
    found = answered(plain, "B3", answer)
    assert (found.verdict, found.by, found.where) == (answer, "author", "answers.toml: B3")
    assert found.evidence.startswith("Section 5")
    assert "no ablation.json" in found.evidence


@pytest.mark.parametrize("answer", ["pass", "not applicable"])
def test_an_answer_never_makes_good_what_is_false(copied: Path, answer: Any) -> None:
    shard(copied, lambda arrays: arrays["values"].__setitem__(7, 1.0))
    found = answered(copied, "B1", answer)
    assert (found.verdict, found.by) == ("fail", "results")
    assert "1 of 60 values" in found.evidence
    assert f"Against this, the author: {answer}, Section 5" in found.evidence


def test_an_answer_may_agree_or_admit_a_failure(plain: Path) -> None:
    agreed = answered(plain, "B1", "pass")
    assert (agreed.verdict, agreed.by) == ("pass", "results")
    assert "Also the author: pass, Section 5" in agreed.evidence
    admitted = answered(plain, "B1", "fail")
    assert (admitted.verdict, admitted.by) == ("fail", "author")
    kept = answered(plain, "B1", "not applicable")
    assert (kept.verdict, kept.by) == ("pass", "results")


def test_answers_in_the_directory_are_taken(copied: Path) -> None:
    path = copied / "answers.toml"
    path.write_text('[C2]\nanswer = "pass"\nevidence = "Appendix B"\n')
    found = box(copied, "C2")
    assert (found.verdict, found.by) == ("pass", "author")
    assert next(b for b in checklist(load_results(copied), {}) if b.key == "C2").by == "results"
    path.write_text('[C4]\nanswer = "pass"\nevidence = "Appendix B"\n')
    with pytest.raises(UnknownNameError, match="C4"):
        checklist(load_results(copied))
    path.write_text('[C2]\nanswer = "pass"\n')
    with pytest.raises(InvalidArgumentError, match="evidence must say"):
        checklist(load_results(copied))
