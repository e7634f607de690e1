"""The checklist as Markdown and LaTeX: complete, and nothing in it taken for markup."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.report.boxes import GROUPS, PRACTICES, Box, Verdict
from nasbench_tab.report.checklist_text import latex, markdown, summary
from nasbench_tab.report.latex import escaped

from .conftest import ODD_LABEL

SPECIALS = "\\ { } $ & % # _ ~ ^ < > | [ ] \" ' -- `code` *bold* !"
VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "not recorded", "not applicable")


def boxes(
    evidence: str = "because", where: str = "file: field", command: str = "look"
) -> list[Box]:
    return [
        Box(
            key,
            GROUPS[key[0]],
            practice,
            VERDICTS[i % 4],
            evidence,
            where,
            command,
            "author" if key == "B3" else "results",
        )
        for i, (key, practice) in enumerate(PRACTICES.items())
    ]


def plain(tex: str) -> str:
    """Undo what the LaTeX renderer does to plain text."""
    tex = tex.replace("\\allowbreak{}", "").replace("-{}-", "--")
    for letter in "\\~^<>|":
        tex = tex.replace(escaped(letter), {"\\": "\0"}.get(letter, letter))
    return re.sub(r"\\([{}$&%#_])", r"\1", tex).replace("\0", "\\")


def test_the_summary_counts_and_names() -> None:
    assert summary(boxes()) == (
        "4 of 16 boxes pass; 4 fail: A2, B1, B5, C1; 4 not recorded: A3, B2, B6, C2; "
        "4 not applicable: A4, B3, B7, C3; answered by the author: B3"
    )


@pytest.mark.parametrize("render", [markdown, latex])
def test_every_box_is_there_once_with_all_it_says(render: object) -> None:
    assert callable(render)
    text = render(boxes())
    for box in boxes():
        assert text.count(box.practice) == 1
    assert text.count("because") == text.count("file: field") == text.count("look") == 16
    assert text.count("by the author's answer") == 1
    assert [text.count(group) for group in GROUPS.values()] == [1, 1, 1]


def test_latex_specials_survive() -> None:
    for text in (SPECIALS, ODD_LABEL):
        tex = latex(boxes(text, text, text))
        found = re.findall(r"\\emph\{Evidence:\} (.*)\.$", tex, re.M)
        assert [plain(line) for line in found] == [text] * 16
        wheres = re.findall(r"\\emph\{Where:\} \\texttt\{(.*)\}; \\texttt\{(.*)\}\.$", tex, re.M)
        assert [(plain(a), plain(b)) for a, b in wheres] == [(text, text)] * 16


@given(st.text(st.characters(max_codepoint=126, min_codepoint=32), max_size=60))
def test_latex_has_no_bare_specials_and_balanced_braces(text: str) -> None:
    line = latex(boxes(text)).split("\\emph{Evidence:} ")[1].split("\n")[0]
    bare = re.sub(
        r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater)\{\}", "", line
    )
    bare = re.sub(r"\\(textbar|allowbreak)\{\}|\\[{}$&%#_]", "", bare)
    assert not set(bare) & set("\\{}$&%#_~^<>|")
    assert plain(line) == f"{text}."


def test_long_words_may_break() -> None:
    digest = "sha256:" + "0123456789abcdef" * 4
    tex = latex(boxes(digest, digest))
    assert digest not in tex
    assert tex.replace("\\allowbreak{}", "").count(digest) == 32


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
def test_markdown_rows_stay_rows(evidence: str, where: str) -> None:
    rows = [
        line
        for line in markdown(boxes(evidence, where)).split("\n")
        if re.match(r"\| [ABC]\d ", line)
    ]
    assert len(rows) == 16
    for row in rows:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) >= 7
        cells = re.split(r"(?<!\\)\|", row)
        assert cells[0] == cells[-1] == ""


def test_markdown_takes_nothing_for_markup() -> None:
    text = markdown(boxes("<b>*a* _b_ `c` [d](e) | $f$ ~g~ \\ # snake_case https://x.org/a_b"))
    assert (
        r"\<b\>\*a\* \_b\_ \`c\` \[d\](e) \| \$f\$ \~g\~ \\ \# snake_case https://x.org/a_b" in text
    )
    assert "`` a`b ``" in markdown(boxes(command="a`b"))
    assert "`a\\|b`" in markdown(boxes(command="a|b"))


def test_lines_of_evidence_become_one() -> None:
    assert "| first second |" in markdown(boxes("first\n  second"))
    assert "Evidence:} first second." in latex(boxes("first\nsecond"))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX on this machine")
def test_latex_compiles_without_any_package(tmp_path: Path) -> None:
    body = latex(boxes(SPECIALS, SPECIALS, SPECIALS))
    document = f"\\documentclass{{article}}\\begin{{document}}{body}\\end{{document}}"
    (tmp_path / "a.tex").write_text(document)
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "a.tex"], cwd=tmp_path, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stdout[-2000:]
