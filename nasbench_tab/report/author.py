"""The author's answers to the boxes of the checklist that no results can decide: ``answers.toml``.

::

    [B3]
    answer = "pass"
    evidence = "Section 5.2: each option switched off in turn, 200 runs"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from nasbench_tab.atomic import write_text
from nasbench_tab.errors import InvalidArgumentError, unknown_name
from nasbench_tab.report.boxes import PRACTICES

__all__ = ["FILE", "Answer", "answers_of", "read_answers", "write_template"]

#: What the file is called in a results directory.
FILE = "answers.toml"

_Said = Literal["pass", "not applicable", "fail"]


class Answer(NamedTuple):
    """What the author says of one box.

    Attributes:
        answer: ``"pass"``, ``"not applicable"``, or ``"fail"`` for a gap that is admitted.
        evidence: Where a reader sees it: a section, a URL, a directory.
        file: The file that it stands in.
    """

    answer: _Said
    evidence: str
    file: str = FILE


def answers_of(directory: Path) -> dict[str, Answer]:
    """Return the answers that lie in a results directory; none where there is no file.

    Errors as in :func:`read_answers`.
    """
    path = directory / FILE
    return read_answers(path) if path.exists() else {}


def read_answers(path: str | Path) -> dict[str, Answer]:
    """Return the answers in a file, by box.

    Raises:
        InvalidArgumentError: It cannot be read, is no TOML, or an answer lacks its evidence.
        UnknownNameError: No such box or key.
    """
    path = Path(path)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
        raise InvalidArgumentError(
            f"The answers {path} cannot be read: {err}. nasbench-tab check DIR --init-answers writes a "
            "file to fill in."
        ) from err
    for key in found:
        if key not in PRACTICES:
            raise unknown_name(f"box in {path}:", key, PRACTICES)
    return {key: _answer(f"{path}, [{key}]", path.name, entry) for key, entry in found.items()}


def _answer(where: str, file: str, entry: Any) -> Answer:
    if not isinstance(entry, dict):
        raise InvalidArgumentError(
            f'{where} must be a table with answer = "..." and evidence = "..."; got {entry!r}.'
        )
    for key in entry:
        if key not in ("answer", "evidence"):
            raise unknown_name(f"key in {where}:", key, ["answer", "evidence"])
    answer: Any = entry.get("answer")
    evidence = entry.get("evidence")
    if answer not in get_args(_Said):
        raise InvalidArgumentError(
            f"{where}: answer must be {' or '.join(map(repr, get_args(_Said)))}; got {answer!r}."
        )
    if not isinstance(evidence, str) or not evidence.strip():
        raise InvalidArgumentError(
            f"{where}: evidence must say where a reader sees it (a section, a URL); got {evidence!r}."
        )
    return Answer(answer, evidence.strip(), file)


def write_template(path: Path, boxes: Mapping[str, str]) -> None:
    """Write a file to fill in.

    Args:
        path: Where; nothing may be there.
        boxes: What each open box asks for and why it is open.

    Raises:
        InvalidArgumentError: There is a file already.
        ResultsError: It cannot be written.
    """
    if path.exists():
        raise InvalidArgumentError(f"{path} exists already. Edit it, or delete it first.")
    lines = [
        "# The author's answers to the boxes of the checklist that the results leave open.",
        '# answer = "pass", "not applicable" or "fail"; evidence: where a reader sees it.',
        "# Uncomment the three lines of a box to answer it. Any other box may be answered too, but",
        "# no answer makes good what the results show to be false.",
    ]
    for key, words in boxes.items():
        one_line = "".join(filter(str.isprintable, " ".join(words.split())))
        lines += ["", f"# {one_line}", f"# [{key}]", '# answer = "pass"', '# evidence = ""']
    write_text(path, "\n".join([*lines, ""]))
