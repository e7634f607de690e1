"""The report as files: complete, self-contained, escaped, and the same every time."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import nasbench_tab as nbt
from nasbench_tab import cli
from nasbench_tab.errors import ResultsError
from nasbench_tab.report.page import write_report
from nasbench_tab.search.ledger import ledger, ledger_rows
from nasbench_tab.search.results import Results, load_results

from .conftest import ODD_LABEL, Compared, early

VOID = {"meta", "link", "br", "hr", "img"}


class Page(HTMLParser):
    """Collects text, tags, ids and references, and checks that every tag is closed in turn."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.bold: list[str] = []
        self._open: list[tuple[str, str]] = []
        self.feed(source)
        self.close()
        assert not self._open

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.ids += [str(value) for key, value in attrs if key == "id"]
        self.references += [str(v) for k, v in attrs if k in ("href", "src", "xlink:href", "data")]
        if tag not in VOID:
            self._open.append((tag, found.get("class") or ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] != "style":
            self.words.append(data)
        if self._open and self._open[-1] == ("td", "best"):
            self.bold.append(data)


def page(results: Results) -> Page:
    return Page(write_report(results.directory).read_text(encoding="utf-8"))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_everything_is_written(compared: Compared) -> None:
    results = compared(benchmarks=("small", "small-errors"))
    written = write_report(results.directory)
    assert written == results.directory / "report" / "index.html"
    names = set(digests(written.parent))
    for stem in ("small-evaluations", "small-seconds", "small-errors-evaluations", "small-cell-1"):
        assert {f"figures/{stem}.svg", f"figures/{stem}.pdf"} <= names
    assert "figures/small-trained.svg" in names
    assert "figures/small-errors-trained.svg" not in names
    assert "figures/small-errors-seconds.svg" not in names
    assert {"figures/all-ranks.svg", "figures/all-profile.pdf"} <= names
    assert {"index.html", "table.tex", "ledger.csv", "checklist.md", "checklist.tex"} <= names
    assert not [name for name in names if name.endswith(".tmp")]


def test_it_goes_where_it_is_told(compared: Compared, tmp_path: Path) -> None:
    written = nbt.write_report(str(compared().directory), tmp_path / "elsewhere")
    assert written == tmp_path / "elsewhere" / "index.html"
    assert written.is_file()


def test_the_page_needs_nothing_else(compared: Compared) -> None:
    source = write_report(compared(benchmarks=("small", "small-errors")).directory).read_text()
    found = Page(source)
    assert "script" not in found.tags
    assert not re.search(r"https?://|url\(|@import|@font-face|\son\w+=", source)
    assert all(ref.startswith("#") or ref == "data:," for ref in found.references)
    assert len(found.ids) == len(set(found.ids))
    assert {ref[1:] for ref in found.references if ref.startswith("#")} <= set(found.ids)


def test_the_same_results_give_the_same_files(compared: Compared, tmp_path: Path) -> None:
    directory = compared(["random", early(), "evolution"]).directory
    for name in ("one", "two"):
        write_report(directory, tmp_path / name)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_the_page_answers_and_explains(compared: Compared) -> None:
    results = compared(["random", "evolution(population=5)"], ("small", "small-errors"))
    text = page(results).text
    for expected in (
        "2 search strategies on 2 benchmarks",
        "has the lowest mean regret",
        "random search, exact",
        "How each number was made",
        "2,000 resamples from numpy.random.default_rng(20240)",
        "asking for a cell again is a new training",
        "only measured cells are searched",
        results.content_hash(),
        results.benchmark("small")["hash"],
        "truth",  # what the table lacks
        "test quality",
        "no chart against time",
        "population = 5",
        "Best in the table",
    ):
        assert expected in text, expected
    assert "Two objectives" not in text
    assert "Few runs" not in text


def test_warnings_about_few_runs(compared: Compared) -> None:
    strategies = [early(most=3), "random"]
    text = page(compared(strategies, runs=19)).text
    assert "Each strategy ran 19 times only" in text
    assert "95 %" in text.replace("\u00a0", " ")
    for runs, words in ((4, "ran 4 times only"), (1, "ran 1 time only")):
        found = page(compared(strategies, runs=runs))
        assert words in found.text
        assert "too few for intervals" in found.text
        assert not found.bold
        assert not re.search(r"\d \[[−\d]", found.text)


def test_bold_only_where_the_interval_excludes_zero(compared: Compared) -> None:
    clear = page(compared([early(most=3), "random"], runs=30))
    assert len(clear.bold) == 3  # mean, regret and relative improvement
    alike = page(compared([early("one", 5, 6), early("two", 5, 6)], runs=5))
    assert not alike.bold


def test_labels_are_never_markup(compared: Compared) -> None:
    script = "<script>alert(1)</script>"
    results = compared([early(ODD_LABEL), early(script, 1, 2), "random"], ("small", "small-errors"))
    written = write_report(results.directory)
    source = written.read_text(encoding="utf-8")
    assert "<b>50%" not in source
    assert "<script" not in source
    found = Page(source)
    assert "script" not in found.tags
    assert f"ahead of {ODD_LABEL}" in found.text
    assert f"ahead of {script}" in found.text
    for name in ("small-evaluations", "all-ranks"):
        assert "<script" not in (written.parent / "figures" / f"{name}.svg").read_text()
    lists = (written.parent / "checklist.md").read_text(encoding="utf-8")
    assert ODD_LABEL not in lists
    assert r"\<b\>50% & \$x_1\$\</b\>" in lists
    boxes = (written.parent / "checklist.tex").read_text(encoding="utf-8")
    for text in (lists, boxes):
        assert "<script" not in re.sub(r"\\<", "", text)
    assert not re.search(r"(?<!\\)[&#^$]|[<>]|(?<!\\)%(?! The checklist)", boxes)
    table = (written.parent / "table.tex").read_text(encoding="utf-8")
    assert r"\textless{}b\textgreater{}50\% \& \$x\_1\$\textless{}/b\textgreater{}" in table
    assert r"\{\#\textasciicircum{}\textasciitilde{}\textbackslash{}\}" in table


def test_notes_about_runs_that_ended_otherwise(compared: Compared) -> None:
    text = page(compared([early(least=0, most=4), "random"], runs=20)).text
    assert re.search(r"\d+ runs? of early never had an incumbent", text)
    assert "20 (exhausted)" in text
    assert (
        "ended before every run of every strategy had an incumbent"
        in page(compared(["random", "evolution"], runs=6, evaluations=1)).text
    )


def test_budgets_in_seconds_and_workers(compared: Compared) -> None:
    text = page(compared(evaluations=None, seconds=9000.0, workers=3, seeds=2)).text
    assert "after 9,000 simulated seconds (2.5 hours)" in text
    assert "Random search is drawn as the mean of 500 simulated runs" in text
    assert "evaluations are ended by a budget in seconds" in text
    assert "each query gives the training with this seed" in text


def test_a_comparison_without_any_incumbent_has_a_page(compared: Compared) -> None:
    text = page(compared([early("never", 0, 1)], runs=6)).text
    assert "there is nothing to compare" in text


def test_a_missing_benchmark_is_said_and_not_fatal(compared: Compared, home: Path) -> None:
    results = compared()
    (home / "data" / "small" / "manifest.toml").unlink()
    text = page(results).text
    assert "small cannot be loaded here" in text
    assert "measured or are synthetic is not known" in text
    assert "random search, exact" not in text


def test_identical_runs_are_not_called_certain(compared: Compared) -> None:
    # Every run evaluates nearly all of 40 cells, so all end at the same one.
    text = page(compared(["random"], runs=8, evaluations=600, seeds="mean")).text
    assert "that is a limit of the bootstrap, not certainty" in text


def test_the_commands_repeat_the_comparison(
    compared: Compared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = compared(
        ["random", "evolution(population=5, tournament=2)"],
        runs=6,
        evaluations=9,
        seconds=40000.0,
        repeats="reuse",
        limits=(("train_seconds", 900.0),),
    )
    source = write_report(results.directory).read_text(encoding="utf-8")
    blocks = [
        re.sub(r"&#39;|&#34;", "'", block).replace("&lt;", "<")
        for block in re.findall(r"<pre>(.*?)</pre>", source, re.S)
    ]
    monkeypatch.chdir(tmp_path)
    command, report = blocks[0].replace("\\\n", " ").splitlines()
    done = CliRunner().invoke(cli.app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    assert report == "nasbench-tab report repeated"
    assert load_results("repeated").content_hash() == results.content_hash()
    (tmp_path / "repeated").rename(tmp_path / "first")
    exec(compile(blocks[1], "page", "exec"), {})  # noqa: S102 - the page's own Python
    assert load_results("repeated").content_hash() == results.content_hash()


def test_patience_has_no_command_line(compared: Compared) -> None:
    source = write_report(compared(patience=7).directory).read_text(encoding="utf-8")
    assert "nasbench-tab compare" not in source
    assert "patience=7" in source


def test_a_strategy_without_a_name_is_said(compared: Compared) -> None:
    source = write_report(compared(["random", early("mine")]).directory).read_text(encoding="utf-8")
    assert "nasbench-tab compare" not in source
    assert "No strategy is registered as mine" in source


def test_the_latex_table_is_well_formed(compared: Compared) -> None:
    results = compared(["random", early("a_b", 2, 3)], ("small", "small-errors"), runs=30)
    write_report(results.directory)
    table = (results.directory / "report" / "table.tex").read_text(encoding="utf-8")
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", table)
    assert columns is not None
    rows = [
        line for line in table.splitlines() if line.endswith(r"\\") and "multicolumn" not in line
    ]
    assert len(rows) == 1 + 2 * 5  # titles; two strategies, the oracle and two exact laws, twice
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(columns[1])}
    for rule in ("toprule", "midrule", "bottomrule"):
        assert f"\\{rule}" in table
    assert table.count("{") - table.count(r"\{") == table.count("}") - table.count(r"\}")
    assert table.count(r"\begin{") == table.count(r"\end{") == 2
    assert r"a\_b" in table
    assert r"\textbf{" in table
    assert table.isascii()


def test_no_comparison_no_report(tmp_path: Path, compared: Compared) -> None:
    with pytest.raises(ResultsError, match="no comparison"):
        write_report(tmp_path / "nothing")
    results = compared()
    next(iter(results.shard_paths)).unlink()
    with pytest.raises(ResultsError, match="unfinished"):
        write_report(results.directory)
    assert not (results.directory / "report").exists()


def test_a_report_that_cannot_be_written_says_so(compared: Compared, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsError, match="Could not write"):
        write_report(compared().directory, tmp_path / "file")


def test_a_failure_midway_leaves_nothing(
    compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = compared().directory

    def fail(_: object) -> str:
        raise RuntimeError("the template is broken")

    monkeypatch.setattr("nasbench_tab.report.page._rendered", fail)  # the last step but writing
    with pytest.raises(RuntimeError, match="the template is broken"):
        write_report(directory)
    assert not (directory / "report").exists()


def test_the_ledger_as_rows(compared: Compared) -> None:
    results = compared(benchmarks=("small", "small-errors"))
    written = write_report(results.directory)
    found = pd.read_csv(written.with_name("ledger.csv"))
    wanted = pd.DataFrame(ledger_rows(ledger(results)))
    assert found.columns.tolist() == wanted.columns.tolist()
    for column in ("benchmark", "strategy", "clock"):
        assert found[column].tolist() == wanted[column].tolist()
    for column in ("mean", "low", "high"):
        assert found[column].to_numpy() == pytest.approx(wanted[column].to_numpy(), nan_ok=True)


def test_results_are_left_alone(compared: Compared) -> None:
    results = compared()
    before = digests(results.directory)
    write_report(results.directory)
    after = digests(results.directory)
    assert {name: after[name] for name in before} == before
    assert json.loads((results.directory / "manifest.json").read_text())["version"] == 1


def test_a_preset_is_repeated_as_one(
    compared: Compared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared(runs=1)  # puts the small table at hand
    results = nbt.compare(
        ["small"],
        ["random", "evolution"],
        preset="naszilla",
        nearest=True,
        runs=5,
        out=tmp_path / "p",
    )
    source = write_report(results.directory).read_text(encoding="utf-8")
    blocks = [unescape(block) for block in re.findall(r"<pre>(.*?)</pre>", source, re.S)]
    command = shlex.split(blocks[0].replace("\\\n", " ").splitlines()[0])
    assert command[:5] == ["nasbench-tab", "compare", "small", "--strategies", command[4]]
    assert command[command.index("--preset") :][:3] == ["--preset", "naszilla", "--nearest"]
    assert not {"--budget", "--seeds", "--repeats", "--missing"} & set(command)
    assert "preset='naszilla', nearest=True" in blocks[1]
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, [*command[1:], "--jobs", "1"])
    assert done.exit_code == 0, done.output
    assert load_results("repeated").content_hash() == results.content_hash()
    assert "nearest to naszilla: " in Page(source).text


def test_headings_are_in_order(compared: Compared) -> None:
    found = page(compared(benchmarks=("small", "small-errors")))
    levels = [int(tag[1]) for tag in found.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(deeper - level <= 1 for level, deeper in pairwise(levels))
    for title in (
        "Can I believe it?",
        "All benchmarks together",
        "Checklist of good practice",
        "How each number was made",
    ):
        assert title in found.text


def test_the_answer_comes_first(compared: Compared) -> None:
    results = compared([early(most=3), "random"], ("small", "small-errors"), 30)
    text = page(results).text
    places = [
        text.index(words)
        for words in (
            "random has the lowest mean regret on all 2 benchmarks",
            "Which method, and by how much?",
            "it is random search",
            "Can I believe it?",
            "of 16 boxes of Lindauer and Hutter’s pass",
            "Charts.",
            "Final incumbents after 15 evaluations",
            "How fast: ",
            "Luck of the winners: ",
            "What an answer costs, clock by clock",
            "No tests over benchmarks.",
            "Final incumbents over all benchmarks",
            "B7",
            "Definitions",
        )
    ]
    assert places == sorted(places)


def test_contents_lead_to_every_part(compared: Compared) -> None:
    several = page(compared(benchmarks=("small", "small-errors")))
    links = [ref[1:] for ref in several.references if ref.startswith("#")]
    parts = ["benchmark-small", "benchmark-small-errors", "together", "checklist", "method"]
    assert [link for link in links if link in parts][-5:] == parts
    alone = page(compared())
    assert "nav" not in alone.tags
    assert "All benchmarks together" not in alone.text


def test_the_same_share_is_said_once_for_all(compared: Compared) -> None:
    text = page(compared(benchmarks=("small", "small-errors"), runs=5)).text
    assert "one of 3 trainings on small and small-errors." in text


def test_definitions_follow_the_protocol(compared: Compared) -> None:
    plain = page(compared(runs=5)).text
    assert "which no strategy ever sees" in plain
    assert "Strategies think in no time at all" in plain
    assert "Only these depend on the machine" in plain
    odd = page(
        compared(
            runs=5,
            evaluations=None,
            seconds=4000.0,
            final="seen",
            overhead="measured",
            incumbent="highest-epoch",
        )
    ).text
    assert "which no strategy ever sees" not in odd
    assert "Whatever luck the search chose by is in it" in odd
    assert "Strategies think in no time at all" not in odd
    assert "Only these depend on the machine" not in odd
    assert "among the evaluations at the highest epoch so far" in odd
    flat = page(
        compared(runs=5, evaluations=None, seconds=4000.0, overshoot="interpolate", seeds="mean")
    ).text
    assert "on the line through the two nearest points of the run" in flat
    assert (
        "Luck of the winners: not known, because every value that the search saw is a mean" in flat
    )
