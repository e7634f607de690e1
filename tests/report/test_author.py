"""answers.toml: read strictly; a template that is valid as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArgumentError, UnknownNameError
from nasbench_tab.report.author import Answer, answers_of, read_answers, write_template
from nasbench_tab.report.boxes import PRACTICES


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "said.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_answers_are_read(tmp_path: Path) -> None:
    text = (
        '[B3]\nanswer = "pass"\nevidence = " Section 5 é "\n'
        '[C1]\nanswer = "not applicable"\nevidence = "nothing to tune"\n'
        '[A3]\nanswer = "fail"\nevidence = "seeds were lost"\n'
    )
    assert read_answers(written(tmp_path, text)) == {
        "B3": Answer("pass", "Section 5 é", "said.toml"),
        "C1": Answer("not applicable", "nothing to tune", "said.toml"),
        "A3": Answer("fail", "seeds were lost", "said.toml"),
    }
    assert read_answers(written(tmp_path, "")) == {}


def test_no_file_is_no_answer(tmp_path: Path) -> None:
    assert answers_of(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("B3 = 'pass'", "B3] must be a table"),
        ("[B3]\nanswer = 'pass'", "evidence must say where"),
        ("[B3]\nanswer = 'pass'\nevidence = ' '", "evidence must say where"),
        ("[B3]\nanswer = 'pass'\nevidence = 5", "evidence must say where"),
        ("[B3]\nevidence = 'x'", "answer must be 'pass' or 'not applicable'"),
        ("[B3]\nanswer = 'yes'\nevidence = 'x'", "got 'yes'"),
        ("[B3]\nanswer = ['pass']\nevidence = 'x'", "answer must be"),
        ("[B3", "cannot be read"),
    ],
)
def test_a_wrong_answer_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        read_answers(written(tmp_path, text))
    assert words in str(raised.value)
    assert "said.toml" in str(raised.value)


def test_a_box_or_key_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="D1"):
        read_answers(written(tmp_path, "[D1]\nanswer = 'pass'\nevidence = 'x'"))
    with pytest.raises(UnknownNameError, match="Did you mean evidence"):
        read_answers(written(tmp_path, "[B3]\nanswer = 'pass'\nevidense = 'x'"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="init-answers"):
        read_answers(tmp_path / "none.toml")


def test_a_template_answers_nothing_until_it_is_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "answers.toml"
    write_template(path, {"A3": "seeds\nunknown", "B3": "no ablation"})
    assert answers_of(tmp_path) == {}
    text = path.read_text(encoding="utf-8")
    filled = re.sub('^# (\\[|answer = "pass"$|evidence = "")', "\\1", text, flags=re.M)
    with pytest.raises(InvalidArgumentError, match="evidence must say"):
        read_answers(written(tmp_path, filled))
    filled = filled.replace('evidence = ""', 'evidence = "here"')
    assert set(read_answers(written(tmp_path, filled))) == {"A3", "B3"}


def test_a_template_never_replaces_answers(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    with pytest.raises(InvalidArgumentError, match="exists already"):
        write_template(path, {})
    assert not path.read_text()


@given(
    st.dictionaries(
        st.sampled_from(list(PRACTICES)), st.text(st.characters(exclude_categories=["Cs"]))
    )
)
def test_any_reason_leaves_the_template_valid(
    tmp_path_factory: pytest.TempPathFactory, boxes: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("template") / "answers.toml"
    write_template(path, boxes)
    assert read_answers(path) == {}
