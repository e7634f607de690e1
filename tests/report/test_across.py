"""All benchmarks together: plain counting, and the reason where nothing is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from nasbench_tab.report.across import Across, across
from nasbench_tab.report.charts import chart_svg, styles
from nasbench_tab.report.summary import summarise
from nasbench_tab.report.together import TogetherSection, together_section
from nasbench_tab.search.results import Results

from .conftest import ODD_LABEL, Compared, early, small_table
from .tables import constant, fixed, many, ranked, written

BOTH = ["small", "small-errors"]  # more is better, less is better
THREE = [early("short", 1, 2), "random", early("middle", 5, 6)]


def found(results: Results) -> Across:
    both, reason = across(summarise(results))
    assert reason == ""
    assert both is not None
    return both


def refused(results: Results) -> str:
    nothing, reason = across(summarise(results))
    assert nothing is None
    return reason


def section(results: Results) -> TogetherSection:
    return together_section(summarise(results), styles(results.strategies))


def normalised(results: Results) -> np.ndarray:
    """Return ``(runs, benchmarks, strategies)`` normalised regret from the frame."""
    frame, of_task = results.frame(), []
    for name in results.benchmarks:
        about = results.benchmark(name)
        part = frame[frame["benchmark"] == name].pivot_table("regret", "run", "strategy")
        scale = abs(about["optimum"] - about["mean"])
        of_task.append(part[results.strategies].to_numpy() / scale)
    return np.stack(of_task, axis=1)


def test_targets_are_counted_one_by_one(compared: Compared) -> None:
    results = compared(THREE, BOTH, 12)
    panel = found(results).targets
    targets = 10 ** -np.linspace(0, 2, 21)
    for curve, one in zip(panel.curves, THREE, strict=True):
        for count in (1, int(curve.x[-1])):
            reached = []
            for summary in summarise(results):
                searched = next(s for s in summary.searched if s.label == curve.label)
                about, final = summary.about, searched.trials.final[summary.metric.name]
                scale = abs(about["optimum"] - about["mean"])
                for which in searched.found.which[:, :count]:
                    best = np.abs(about["optimum"] - final[which[which >= 0]]).min() / scale
                    reached += [best <= target for target in targets]
            at = curve.mean[list(curve.x).index(count)]
            assert at == pytest.approx(np.mean(reached)), one
        assert curve.low is not None
        assert (np.diff(curve.mean) >= 0).all()
    assert "Share of targets reached" in chart_svg(panel, "", "", styles(results.strategies))


@pytest.mark.parametrize("strategies", [THREE, THREE[:2]], ids=["three", "two"])
def test_figures_are_those_of_the_frame(compared: Compared, strategies: list[str]) -> None:
    results = compared(strategies, BOTH, 24)
    regret, together = normalised(results), found(results).together
    ranks = stats.rankdata(regret, axis=2).mean(axis=(0, 1))
    assert [one.strategy for one in together] == results.strategies
    for k, one in enumerate(together):
        assert one.rank.estimate == pytest.approx(ranks[k])
        assert one.regret.mean.estimate == pytest.approx(regret[:, :, k].mean())
        middle = stats.trim_mean(regret[:, :, k].ravel(), 0.25)
        assert one.regret.iqm.estimate == pytest.approx(middle)
        assert list(one.beats) == [name for name in results.strategies if name != one.strategy]
        for other, ahead in one.beats.items():
            j = results.strategies.index(other)
            wins = [
                np.mean(
                    [(a < b) + 0.5 * (a == b) for a in regret[:, t, k] for b in regret[:, t, j]]
                )
                for t in range(2)
            ]
            assert ahead.estimate == pytest.approx(np.mean(wins))
            assert ahead.low <= ahead.estimate <= ahead.high
            assert ahead.estimate + together[j].beats[one.strategy].estimate == pytest.approx(1)
    assert sum(float(one.rank.estimate) for one in together) == pytest.approx(
        sum(range(1, len(together) + 1))
    )


def test_mean_ranks_over_time(compared: Compared) -> None:
    both = found(compared(["random", early("middle", 5, 6)], BOTH, 20))
    # Up to where the first run of any strategy ended.
    assert both.ranks.curves[0].x.tolist() == [1, 2, 3, 4, 5]
    total = sum(curve.mean for curve in both.ranks.curves)
    assert np.asarray(total) == pytest.approx(np.full(5, 3.0))
    shares = both.profile.curves[0].mean
    assert (np.diff(shares) >= 0).all()
    assert 0 <= shares[0] <= shares[-1] <= 1


@pytest.mark.parametrize(
    ("strategies", "benchmarks", "runs", "words"),
    [
        (["random", "evolution"], ["small"], 24, "One benchmark"),
        (["random"], BOTH, 24, "One strategy"),
        (["random", "evolution"], BOTH, 4, "4 runs: ranks and aggregates need at least 5"),
        (
            ["random", early("never", 0, 1)],
            BOTH,
            6,
            "(never on small, never on small-errors) cannot be ranked",
        ),
    ],
)
def test_what_cannot_be_said_has_a_reason(
    compared: Compared, strategies: list[str], benchmarks: list[str], runs: int, words: str
) -> None:
    results = compared(strategies, benchmarks, runs)
    assert words in refused(results)
    shown = section(results)
    assert words in shown.reason
    assert (shown.charts, shown.table, shown.tests, shown.figures) == ([], None, [], {})


def test_a_constant_benchmark_has_no_scale(compared: Compared, home: Path) -> None:
    name = written(home, constant(small_table("any", times=True)), "constant")
    assert "Regret is normalised by the distance" in refused(compared(benchmarks=["small", name]))


def test_no_tests_over_few_benchmarks(compared: Compared, home: Path) -> None:
    for names in (BOTH, many(home, 5)):
        results = compared(THREE, names, 10)
        both = found(results)
        assert (both.friedman, both.wilcoxon, both.difference, both.bayes, both.pair) == (None,) * 5
        assert f"at least 6 tasks; got {len(names)}" in both.no_tests
        shown = section(results)
        assert set(shown.figures) == {"all-ranks", "all-profile", "all-targets"}
        assert any(text.startswith("No tests over benchmarks. ") for text in shown.tests)
        assert not any("Friedman" in text or "Wilcoxon’s" in text for text in shown.tests)


@pytest.mark.parametrize("direction", ["max", "min"])
def test_six_benchmarks_have_tests(compared: Compared, home: Path, direction: str) -> None:
    results = compared(THREE, many(home, 6, direction), 20)
    both, means = found(results), normalised(results).mean(axis=0)
    assert both.no_tests == ""
    assert both.difference is not None
    assert both.wilcoxon is not None
    assert both.friedman is not None
    ranks = stats.rankdata(means, axis=1).mean(axis=0)
    assert both.difference.ranks == pytest.approx(ranks)
    assert both.difference.n == 6
    assert both.friedman.chi2 == pytest.approx(stats.friedmanchisquare(*means.T).statistic)
    for (i, j), raw in zip(both.wilcoxon.pairs.tolist(), both.wilcoxon.raw, strict=True):
        assert raw == pytest.approx(stats.wilcoxon(means[:, i], means[:, j]).pvalue)
    # Three pairs: Holm triples the least of p = 2 / 2**6.
    assert both.wilcoxon.least == pytest.approx(3 / 32)
    first, second = (results.strategies[k] for k in np.argsort(ranks, kind="stable")[:2])
    assert both.pair == (first, second) == ("random", "middle")
    assert both.bayes is not None
    assert both.bayes.first + both.bayes.rope + both.bayes.second == pytest.approx(1)
    assert both.bayes.first > 0.9  # 15 evaluations against 5
    # With three pairs six benchmarks can tell nothing apart at 5 %: one group of all.
    assert [sorted(group) for group in both.difference.groups] == [[0, 1, 2]]


def test_six_benchmarks_are_enough_for_two_strategies(compared: Compared, home: Path) -> None:
    results = compared([early("<s> & one", 1, 2), "random"], many(home, 6), 20)
    both = found(results)
    assert both.friedman is None  # it needs three
    assert both.difference is not None
    assert both.wilcoxon is not None
    assert both.wilcoxon.p[0, 1] == pytest.approx(1 / 32)
    assert both.difference.groups == []
    text = " ".join(section(results).tests)
    assert "tell apart: <s> & one and random (p = 0.031)" in text
    assert "Friedman" not in text


def test_the_diagram_and_its_sentences(compared: Compared, home: Path) -> None:
    results = compared([*THREE, early(ODD_LABEL, 3, 4)], many(home, 6), 10)
    shown = section(results)
    assert set(shown.figures) == {"all-ranks", "all-profile", "all-targets", "all-groups"}
    assert "Mean ranks over 6 benchmarks" in shown.figures["all-groups"]
    for chart in shown.charts:
        assert "<b>" not in chart
    text = " ".join(shown.tests)
    for words in (
        "All benchmarks are of one space (nasbench201), so they are not independent",
        "Friedman’s test with Iman and Davenport’s correction over 6 benchmarks: F = ",
        "tell apart: no pair. The least p that this many benchmarks allow is 0.19",
        "Nemenyi’s critical difference of mean ranks is 1.91",  # 2.569 sqrt(4 * 5 / 36)
        "region of practical equivalence ±0.01 of normalised regret: random is better",
    ):
        assert words in text, words
    assert shown.table is not None
    assert shown.table.titles[-1] == f"ahead of {ODD_LABEL}"


def test_benchmarks_that_rank_alike(compared: Compared, home: Path) -> None:
    names = many(home, 6)
    best, second, *_, worst = ranked(names[0])
    cells = [fixed("up", best), fixed("mid", second), fixed("down", worst)]
    text = " ".join(section(compared(cells, names, 5)).tests)
    # 6 tasks rank three strategies alike: 3!**(1 - 6).
    assert "F = ∞, all benchmarks rank the strategies alike, p = 0.00013." in text


def test_ties_share_their_ranks(compared: Compared, home: Path) -> None:
    names = many(home, 6)
    best, *_ = ranked(names[0])
    both = found(compared([fixed("one", best), fixed("two", best)], names, 5))
    for one in both.together:
        assert one.rank.estimate == 1.5
        assert one.regret.mean.estimate == pytest.approx(0, abs=1e-12)
        assert [ahead.estimate for ahead in one.beats.values()] == pytest.approx([0.5])
    assert both.wilcoxon is not None
    assert both.wilcoxon.p[0, 1] == 1
    assert both.difference is not None
    assert [sorted(group) for group in both.difference.groups] == [[0, 1]]
