"""The first screen: what each verdict is called, and what is said against believing it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from nasbench_tab.report.answer import answer_table, doubts
from nasbench_tab.report.belief import Belief, Gap, believe
from nasbench_tab.report.boxes import PRACTICES, Box
from nasbench_tab.report.summary import Summary, summarise
from nasbench_tab.report.words import headline
from nasbench_tab.search.compare import compare
from nasbench_tab.search.optimism import Optimism
from nasbench_tab.search.results import Results
from nasbench_tab.stats.bootstrap import Interval
from nasbench_tab.stats.verdict import NoisyDifference, SeedNoise, judge

from .conftest import Compared, early
from .tables import fixed, ranked

TITLES = ["lowest mean regret", "less than random search by", "less than the next by",
          "is it real?", "does it matter?", "with the table’s own noise"]  # fmt: skip
NOTHING: list[Any] = [None, None, None, []]


def interval(*ends: float) -> Interval:
    return Interval(*(np.asarray(float(end)) for end in ends))


def believed(
    difference: tuple[float, float, float],
    rope: float = 0.5,
    noisy: tuple[float, float, float] | None = None,
    other: str = "middle",
    n: int = 24,
) -> Belief:
    found = judge(interval(*difference), n, rope)
    wide = None if noisy is None else NoisyDifference(interval(*noisy), 0.1, 0.1, n, 7)
    gap = Gap(other, found, wide)
    return Belief(gap._replace(other="random"), gap, SeedNoise(interval(1, 1, 1), rope, 7), [])


def row(summary: Summary, belief: Belief) -> dict[str, str]:
    table = answer_table([summary], [belief])
    (found,) = table.rows
    assert found.label == summary.name
    return dict(zip(table.titles, [cell.text for cell in found.cells], strict=True))


@pytest.fixture
def summary(compared: Compared) -> Summary:
    results = compared([early("best", 9, 10), early("middle", 5, 6), "random"], evaluations=3)
    (found,) = summarise(results)
    return found._replace(leader="best", runner_up="middle", random="random")


@pytest.mark.parametrize(
    ("difference", "real", "matters"),
    [
        ((2.0, 1.0, 3.0), "yes", "yes: beyond ±0.5"),
        ((0.3, 0.1, 0.4), "yes", "no: within ±0.5"),
        ((0.5, 0.2, 0.8), "yes", "open: across ±0.5"),
        ((0.1, -0.2, 0.4), "not shown", "no: within ±0.5"),
        ((0.5, -0.2, 1.2), "not shown", "open: across ±0.5"),
    ],
)
def test_each_verdict_has_its_words(
    summary: Summary, difference: tuple[float, float, float], real: str, matters: str
) -> None:
    found = row(summary, believed(difference))
    assert found["is it real?"] == real
    assert found["does it matter?"].replace("0.50", "0.5").replace("0.500", "0.5") == matters
    assert found["less than the next by"].startswith("middle: 0" if difference[0] < 1 else "middle")
    assert "middle" not in found["less than random search by"]
    assert found["lowest mean regret"].startswith("best: ")


def test_what_other_trainings_could_turn(summary: Summary) -> None:
    words = "other trainings could turn it"
    title = TITLES[-1]
    assert words in row(summary, believed((1, 0.5, 1.5), noisy=(1, -0.1, 2.1)))[title]
    assert words in row(summary, believed((1, 0.5, 1.5), noisy=(1, 0.0, 2.0)))[title]
    assert words not in row(summary, believed((1, 0.5, 1.5), noisy=(1, 0.4, 1.6)))[title]
    # What these runs do not show at all is not called shown but for the table's noise.
    assert words not in row(summary, believed((1, -0.1, 2.1), noisy=(1, -0.4, 2.4)))[title]


def test_questions_without_an_answer_are_left_out(summary: Summary) -> None:
    nan = np.nan
    assert list(row(summary, believed((1, 0.5, 1.5), noisy=(1, 0.4, 1.6)))) == TITLES
    assert list(row(summary, believed((1, 0.5, 1.5)))) == TITLES[:-1]
    assert list(row(summary, believed((1, 0.5, 1.5), rope=nan))) == TITLES[:4]
    few = believed((1, nan, nan), noisy=(1, nan, nan), n=3)
    assert list(row(summary, few)) == TITLES[:3]
    alone = row(summary, Belief(*NOTHING))
    assert list(alone) == TITLES[:1]
    assert row(summary._replace(leader=None), Belief(*NOTHING)) == {
        TITLES[0]: "no run had an incumbent"
    }
    # One benchmark that answers is enough for a column; the other has a dash in it.
    table = answer_table([summary] * 2, [believed((1, 0.5, 1.5)), Belief(*NOTHING)])
    assert table.titles == TITLES[:-1]
    assert [cell.text for cell in table.rows[1].cells[1:]] == ["–"] * 4


def test_random_search_may_lead(compared: Compared) -> None:
    results = compared([early(most=3), "random"], runs=30)
    (summary,) = summarise(results)
    found = row(summary, believe(results, summary))
    assert found["less than random search by"] == "it is random search"
    assert found["less than the next by"].startswith("early: ")


@pytest.mark.parametrize("benchmark", ["small", "small-errors"])
def test_a_known_difference_is_what_it_says(compared: Compared, benchmark: str) -> None:
    best, *_, worst = ranked(benchmark)
    results = compared([fixed("up", best), fixed("down", worst)], [benchmark], 20)
    (summary,) = summarise(results)
    found = row(summary, believe(results, summary))
    about = summary.about
    gap = abs(about["optimum"] - summary.outcome("down").mean)
    places = 2 if benchmark == "small" else 4
    assert found["lowest mean regret"].startswith(f"up: {0:.{places}f} [")
    assert found["less than the next by"].startswith(f"down: {gap:.{places}f} [")
    assert found["is it real?"] == "yes"
    assert found["does it matter?"].startswith("yes: beyond ")
    assert "turn" not in found[TITLES[-1]]
    assert "less than random search by" not in found
    assert headline([summary], 20).endswith("excludes zero.")


def boxes(*failed: str) -> list[Box]:
    keys = list(PRACTICES)
    verdicts = ["fail" if key in failed else "pass" for key in keys]
    return [
        Box(key, "", "", verdict, "", "", "")  # type: ignore[arg-type]
        for key, verdict in zip(keys, verdicts, strict=True)
    ]


def said(
    results: Results,
    beliefs: list[Belief] | None = None,
    failed: Sequence[str] = (),
    kinds: Sequence[str] = (),
) -> dict[str, str]:
    summaries = summarise(results)
    beliefs = [believe(results, s) for s in summaries] if beliefs is None else beliefs
    summaries = (summaries * len(beliefs))[: len(beliefs)]
    return dict(doubts(results, summaries, beliefs, boxes(*failed), kinds))


def test_runs(compared: Compared) -> None:
    assert said(compared(runs=4))["runs"] == "4 of each strategy: too few for any interval"
    assert said(compared(runs=5))["runs"] == "5 of each strategy: intervals are rough"
    assert said(compared(runs=20))["runs"] == "20 of each strategy, with paired noise"
    assert said(compared(runs=20, seeds="mean"))["runs"] == "20 of each strategy"


def test_presets_and_what_they_could_not_do(compared: Compared) -> None:
    results = compared(runs=5)
    assert "protocol" not in said(results)
    results.manifest["experiment"]["preset"] = {"name": "naszilla", "changes": []}
    assert said(results)["protocol"] == "naszilla, honoured in full"
    results.manifest["experiment"]["preset"]["changes"] = ["one thing", "another"]
    assert said(results)["protocol"] == "nearest to naszilla: one thing; another"


def test_a_real_preset(compared: Compared, tmp_path: Any) -> None:
    compared(runs=1)  # puts the small table at hand
    results = compare(["small"], ["random"], preset="naszilla", nearest=True, runs=5, out=tmp_path / "p")  # fmt: skip
    text = said(results)["protocol"]
    assert text.startswith("nearest to naszilla: ")
    assert "of 15,625 cells were measured" in text
    assert "test accuracy of the incumbent is not in the table" in text


def test_oddities_of_the_protocol(compared: Compared) -> None:
    measured = compared(runs=5, overhead="measured", evaluations=None, seconds=4000.0)
    assert "another machine gives other numbers" in said(measured)["protocol"]
    odd = compared(runs=5, final="seen", final_epoch="best")
    text = said(odd)["protocol"]
    assert "best epoch, which flatters" in text
    assert "the very trainings that the search chose by" in text
    odd.manifest["experiment"]["preset"] = {"name": "own", "changes": []}
    assert said(odd)["protocol"].startswith("own, honoured in full; final values")
    assert "standard error of one training" in said(odd)["resolution"]


def test_resolution_is_not_made_up(compared: Compared) -> None:
    results = compared(runs=5)
    text = said(results)["resolution"]
    assert "on small (standard error of a mean over its trainings)" in text
    unknown = Belief(*NOTHING)
    assert "not at hand" in said(results, [unknown])["resolution"]
    nothing = SeedNoise(interval(np.nan, np.nan, np.nan), np.nan, 0)
    assert (
        "one value of each cell" in said(results, [unknown._replace(noise=nothing)])["resolution"]
    )
    some = [unknown._replace(noise=nothing), believed((1, 0.5, 1.5))]
    assert said(results, some)["resolution"].count(" on small") == 1


def lucky(value: float, n: int = 5, left_out: int = 0, reason: str = "") -> Belief:
    observed = interval(value, value - 0.1, value + 0.1)
    one = Optimism("small", "random", observed, observed, n, left_out, 0, reason)
    return Belief(None, None, None, [one])


def test_luck_says_how_many_runs_are_behind_it(compared: Compared) -> None:
    results = compared(["random"], runs=5)
    topic = "luck of the winners"
    assert said(results, [lucky(2.0)])[topic].endswith("on small")
    assert said(results, [lucky(2.0, 5, 35)])[topic].endswith("on small (5 of 40 runs)")
    because = lucky(np.nan, 0, reason="all are means. Do something else")
    assert said(results, [because])[topic] == "not known: all are means"
    assert topic not in said(results, [Belief(*NOTHING)])
    assert "not known" in said(compared(["random"], runs=5, seeds="mean"))[topic]


def test_many_benchmarks_do_not_make_a_long_list(compared: Compared) -> None:
    results = compared(["random"], runs=5)
    four = said(results, [lucky(value) for value in (3.0, 1.0, 2.0, 4.0)])["luck of the winners"]
    assert four.count(" on small") == 4
    five = said(results, [lucky(v) for v in (3.0, 1.0, 2.0, 11.0, 4.0)])["luck of the winners"]
    assert five.count(" on small") == 2
    least, most = five.partition(" (the least) to ")[::2]
    assert " by 1.0" in least
    assert most.startswith("11.0")
    assert most.endswith("(the most of 5)")
    noises = [believed((1, 0.5, 1.5), rope) for rope in (0.5, 0.1, 0.2, 0.3, 0.4)]
    text = said(results, noises)["resolution"]
    assert "0.1" in text.partition("the least")[0]
    assert "0.5" in text.partition("the least")[2]


def test_boxes_and_times(compared: Compared) -> None:
    results = compared(runs=5)
    assert said(results)["checklist"] == "16 of 16 boxes of Lindauer and Hutter’s pass"
    assert said(results, failed=["B7"])["checklist"].endswith("15 of 16 boxes of Lindauer and Hutter’s pass; B7 fails")  # fmt: skip
    assert said(results, failed=["B7", "C2"])["checklist"].endswith("B7 and C2 fail")
    assert "time" not in said(results, kinds=["measured", "none", ""])
    assert said(results, kinds=["measured", "synthetic"])["time"] == "training times are synthetic"
