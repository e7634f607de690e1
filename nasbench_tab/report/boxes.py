"""The 16 boxes of Lindauer and Hutter's checklist, in our words, and what a box can come to.

Lindauer and Hutter, "Best Practices for Scientific Research on Neural Architecture Search", JMLR
21(243), 2020, with its checklist of 5 + 8 + 3 boxes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

__all__ = ["GROUPS", "PRACTICES", "Box", "Decision", "Verdict", "decided"]

Verdict = Literal["pass", "fail", "not recorded", "not applicable"]

GROUPS = {"A": "Releasing code", "B": "Comparing methods", "C": "Reporting details"}

#: What each box asks for.
PRACTICES = {
    "A1": "The code of the training pipeline behind the final numbers is released",
    "A2": "The code of the search space is released",
    "A3": "The hyper-parameters of the final training are released, and its random seeds",
    "A4": "The code of the search methods is released",
    "A5": "The hyper-parameters of the search methods are released, and their random seeds",
    "B1": "All methods used the same benchmark: data and split, search space, training code and its hyper-parameters",
    "B2": "Confounders were controlled: hardware, versions of libraries, run times",
    "B3": "Ablation studies were run",
    "B4": "All methods were evaluated by the same protocol",
    "B5": "Performance was compared over time",
    "B6": "The methods were compared with random search",
    "B7": "Every experiment was repeated with different seeds, and the seeds are reported",
    "B8": "Tabular or surrogate benchmarks were used for the evaluation in depth",
    "C1": "How hyper-parameters were tuned is reported, with the time and resources that it took",
    "C2": "The time of the whole method is reported, from end to end",
    "C3": "All details of the experimental setup are reported",
}


class Decision(NamedTuple):
    """What the results say of a box.

    Attributes:
        verdict: ``"pass"``; ``"fail"``: they show that it is not so; ``"not recorded"``: they show
            neither; ``"not applicable"``: there is nothing that it could be about.
        evidence: Why, in words.
        where: The files and fields that say so; below the results directory unless a table is named.
        command: What shows it; DIR stands for the results directory.
    """

    verdict: Verdict
    evidence: str
    where: str
    command: str


class Box(NamedTuple):
    """One box, decided; fields as in :class:`Decision`.

    Attributes:
        key: ``"A1"`` to ``"C3"``.
        group: What its group is about.
        practice: What it asks for.
        by: ``"results"``, or ``"author"`` where the verdict is the author's answer.
    """

    key: str
    group: str
    practice: str
    verdict: Verdict
    evidence: str
    where: str
    command: str
    by: Literal["results", "author"] = "results"


def decided(
    wrong: Iterable[str], missing: Iterable[str], passed: str, where: str, command: str
) -> Decision:
    """Return ``fail`` where something is wrong, ``not recorded`` where something is missing, else ``pass``."""
    found: dict[Verdict, list[str]] = {"fail": [*wrong], "not recorded": [*missing]}
    for verdict, texts in found.items():
        if texts:
            return Decision(verdict, "; ".join(texts), where, command)
    return Decision("pass", passed, where, command)
