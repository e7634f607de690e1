"""The checklist of Lindauer and Hutter, all 16 boxes, each decided by what a directory shows.

A box passes only on evidence: the manifest, the
runs themselves, and the tables, which are asked again. What no file can show is the author's to
answer (:mod:`nasbench_tab.report.author`); an answer never makes good what the files show to be false.
docs/checklist.md says for each box what makes it pass and what makes it fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nasbench_tab.report import boxes_comparison, boxes_details, boxes_release
from nasbench_tab.report.author import Answer, answers_of
from nasbench_tab.report.boxes import GROUPS, PRACTICES, Box, Decision, Verdict
from nasbench_tab.report.evidence import Evidence, gather
from nasbench_tab.search.results import Results

__all__ = ["Box", "checklist", "counts"]

_DECISIONS: dict[str, Callable[[Evidence], Decision]] = {
    "A1": boxes_release.training_code,
    "A2": boxes_release.space_code,
    "A3": boxes_release.training_seeds,
    "A4": boxes_release.method_code,
    "A5": boxes_release.method_settings,
    "B1": boxes_comparison.same_benchmark,
    "B2": boxes_comparison.confounders,
    "B3": boxes_comparison.ablations,
    "B4": boxes_comparison.same_protocol,
    "B5": boxes_comparison.over_time,
    "B6": boxes_comparison.random_search,
    "B7": boxes_comparison.repeated,
    "B8": boxes_comparison.tabular,
    "C1": boxes_details.tuned,
    "C2": boxes_details.end_to_end,
    "C3": boxes_details.setup,
}


def checklist(results: Results, answers: Mapping[str, Answer] | None = None) -> list[Box]:
    """Return all 16 boxes, decided.

    Args:
        results: A comparison.
        answers: The author's, by box; None = those in ``DIR/answers.toml``, if there are any.

    Raises:
        ResultsError: A shard is damaged.
        InvalidArgumentError: ``DIR/answers.toml`` is malformed.
        UnknownNameError: It answers a box that does not exist.
    """
    given = answers_of(results.directory) if answers is None else answers
    evidence = gather(results)
    return [
        _answered(
            Box(key, GROUPS[key[0]], practice, *_DECISIONS[key](evidence)),
            given.get(key),
        )
        for key, practice in PRACTICES.items()
    ]


def counts(boxes: Sequence[Box]) -> dict[Verdict, int]:
    """Return how many boxes have each verdict."""
    verdicts: tuple[Verdict, ...] = ("pass", "fail", "not recorded", "not applicable")
    return {verdict: sum(box.verdict == verdict for box in boxes) for verdict in verdicts}


def _answered(box: Box, answer: Answer | None) -> Box:
    """Return the box with the author's answer: it fills gaps and may admit a failure, no more.

    ============== ======================== ==============================
    results say    author says              verdict
    ============== ======================== ==============================
    not recorded   anything                 the author's
    pass           fail                     fail, the author's
    anything       anything else            what the results say
    ============== ======================== ==============================
    """
    if answer is None:
        return box
    said = f"the author: {answer.answer}, {answer.evidence}"
    if box.verdict == "not recorded" or (box.verdict, answer.answer) == ("pass", "fail"):
        return box._replace(
            verdict=answer.answer,
            evidence=f"{answer.evidence} (The results: {box.evidence})",
            where=f"{answer.file}: {box.key}",
            by="author",
        )
    if box.verdict == answer.answer:
        return box._replace(evidence=f"{box.evidence} (Also {said})")
    return box._replace(evidence=f"{box.evidence} (Against this, {said})")
