"""The numbers of a report against plain computations from the results' frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nasbench_tab.registry import load
from nasbench_tab.report.summary import Estimate, Summary, summarise
from nasbench_tab.report.words import decimals, finding, headline, number
from nasbench_tab.search.results import Results
from nasbench_tab.strategies.base import StrategySpec

from .conftest import Compared, early

BOTH = ("small", "small-errors")


def rows(results: Results, benchmark: str, strategy: str) -> pd.DataFrame:
    frame = results.frame()
    return frame[(frame["benchmark"] == benchmark) & (frame["strategy"] == strategy)]


def percentile(data: np.ndarray) -> tuple[float, float]:
    # Hesterberg's expanded percentiles: Student's t for the normal quantile, n - 1 for n.
    n = len(data)
    level = 2 * stats.norm.cdf(stats.t.ppf(0.975, n - 1) * np.sqrt(n / (n - 1))) - 1
    found = stats.bootstrap(
        (data,),
        np.mean,
        n_resamples=9999,
        method="percentile",
        confidence_level=float(level),
        rng=np.random.default_rng(1),
    ).confidence_interval
    return float(found.low), float(found.high)


def close(estimate: Estimate, data: np.ndarray) -> None:
    low, high = percentile(data)
    spread = data.std(ddof=1) / np.sqrt(len(data))
    assert estimate.n == len(data)
    assert estimate.value == pytest.approx(data.mean())
    assert estimate.low == pytest.approx(low, abs=0.15 * spread)
    assert estimate.high == pytest.approx(high, abs=0.15 * spread)


def test_figures_agree_with_the_frame(compared: Compared) -> None:
    results = compared(benchmarks=BOTH, runs=30)
    for summary in summarise(results):
        sign = 1 if summary.metric.direction == "max" else -1
        leader = rows(results, summary.name, str(summary.leader))["regret"].to_numpy()
        for outcome in summary.outcomes:
            frame = rows(results, summary.name, outcome.strategy)
            value = frame["valid_quality"].to_numpy()
            regret = frame["regret"].to_numpy()
            assert outcome.n == 30
            assert outcome.mean == pytest.approx(value.mean())
            assert outcome.sd == pytest.approx(value.std(ddof=1))
            assert outcome.median == pytest.approx(np.median(value))
            assert outcome.quartiles == pytest.approx(np.quantile(value, [0.25, 0.75]).tolist())
            close(outcome.regret, regret)
            mean = summary.about["mean"]
            close(outcome.improvement, sign * 100 * (value - mean) / mean)
            assert outcome.distinct == pytest.approx(frame["distinct"].mean())
            assert outcome.evaluations == (15.0, 15, 15)
            if outcome.strategy == summary.leader:
                assert outcome.behind.value == 0
            else:
                close(outcome.behind, regret - leader)
            for test, estimate in outcome.tests.items():
                close(estimate, frame[test].to_numpy())
        assert leader.mean() == min(outcome.regret.value for outcome in summary.outcomes)


def test_times_are_means_of_the_ends_of_runs(compared: Compared) -> None:
    results = compared()
    outcome = summarise(results)[0].outcomes[0]
    frame = rows(results, "small", "random")
    assert outcome.seconds == pytest.approx(frame["seconds"].mean())
    assert outcome.cpu_microseconds == pytest.approx(
        1e6 * frame["cpu_seconds"].sum() / frame["evaluations"].sum()
    )


def test_winner_is_the_most_frequent_final_cell(compared: Compared) -> None:
    results = compared()
    bench = load("small")
    for winner in summarise(results)[0].winners:
        cells = rows(results, "small", winner.strategy)["architecture"]
        counts = cells.value_counts()
        text = bench.space.format(winner.architecture)
        assert winner.times == counts[text] == counts.max()
        assert winner.n == 24
        assert winner.value == pytest.approx(bench.query(text))


def test_best_needs_an_interval_that_excludes_zero(compared: Compared) -> None:
    clear = summarise(compared([early(most=3), "random"], runs=30))[0]
    assert clear.leader == "random"
    assert clear.best == {"valid_quality": "random"}
    assert clear.outcome("early").behind.low > 0
    # The same strategy under two names with the same settings: no difference can be clear.
    alike = summarise(compared([early("one", 5, 6), early("two", 5, 6)], runs=30))[0]
    assert alike.runner_up is not None
    assert (alike.outcome(alike.runner_up).behind.low > 0) == bool(alike.best)


def test_few_runs_have_no_intervals(compared: Compared) -> None:
    for runs in (1, 4):
        summary = summarise(compared([early(most=3), "random"], runs=runs))[0]
        assert not summary.best
        for outcome in summary.outcomes:
            assert outcome.n == runs
            assert not outcome.regret.has_interval
            assert not outcome.behind.has_interval
            assert np.isnan(outcome.sd) == (runs == 1)
    assert summarise(compared(runs=5))[0].outcomes[0].regret.has_interval


def test_runs_without_any_evaluation_are_left_out(compared: Compared) -> None:
    never = early("never", 0, 1)
    sometimes = early("sometimes", 0, 3)
    summary = summarise(compared([never, sometimes, "random"], runs=30))[0]
    assert (summary.outcome("never").n, summary.outcome("never").without) == (0, 30)
    assert np.isnan(summary.outcome("never").mean)
    some = summary.outcome("sometimes")
    assert 0 < some.n < 30
    assert some.n + some.without == 30
    assert some.behind.n == some.n
    assert summary.leader == "random"
    assert [winner.strategy for winner in summary.winners] == ["sometimes", "random"]


def test_nothing_at_all(compared: Compared) -> None:
    results = compared([early("never", 0, 1)], runs=6)
    summaries = summarise(results)
    assert summaries[0].leader is None
    assert "nothing to compare" in headline(summaries, 6)
    assert finding(summaries[0], results.protocol) == "no run had an incumbent."


def test_a_table_that_is_not_the_one_that_was_searched(compared: Compared, home: Path) -> None:
    results = compared()
    results.benchmark("small")["hash"] = "sha256:other"
    assert "not the one that was searched" in summarise(results)[0].background.problem
    (home / "data" / "small" / "manifest.toml").unlink()
    assert "cannot be loaded" in summarise(results)[0].background.problem


def test_same_results_same_summary(compared: Compared) -> None:
    results = compared()
    first, second = (summarise(results)[0] for _ in range(2))
    assert first.outcomes == second.outcomes
    assert first.winners == second.winners


def sentence(compared: Compared, strategies: list[str | StrategySpec], **switches: int) -> str:
    results = compared(strategies, **switches)
    return finding(summarise(results)[0], results.protocol)


def test_sentences_say_no_more_than_the_intervals(compared: Compared) -> None:
    text = sentence(compared, [early(most=3), "random"], runs=30)
    assert text.startswith("random has the lowest mean regret after 15 evaluations: ")
    assert "(n\u00a0=\u00a030\u00a0runs)" in text
    assert "The runner-up, early, is" in text
    assert "the interval excludes zero" in text
    assert "no strategy did better on average than random search" in text
    text = sentence(compared, [early(most=3), early("two", most=3)], runs=30)
    assert "these runs do not separate the two" in text
    assert "Random search was not part of the comparison." in text
    text = sentence(compared, [early(most=3), "random"], runs=4)
    assert "interval" not in text
    assert "[" not in text


def test_headline_counts_benchmarks(compared: Compared) -> None:
    summaries = summarise(compared([early(most=3), "random"], BOTH, runs=30))
    assert headline(summaries, 30) == (
        "random has the lowest mean regret on all 2 benchmarks. The interval of the leader’s paired "
        "difference to the runner-up excludes zero on each of them."
    )
    alone = summarise(compared(["random"]))
    assert "nothing is compared" in headline(alone, 24)


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (1234.5678, 1, "1,234.6"),
        (-0.0001, 2, "0.00"),
        (-1.5, 1, "−1.5"),
        (float("nan"), 3, "–"),
        (0.0, 0, "0"),
    ],
)
def test_numbers(value: float, places: int, text: str) -> None:
    assert number(value, places) == text


def test_decimals_follow_the_intervals(compared: Compared) -> None:
    summary: Summary = summarise(compared(runs=24))[0]
    half = [(o.regret.high - o.regret.low) / 2 for o in summary.outcomes]
    assert 1 <= max(half) * 10 ** decimals(summary) < 100 or max(half) >= 10
    assert decimals(summarise(compared(runs=1))[0]) == 2


def test_the_best_test_metric_is_the_lowest_where_lower_is_better(compared: Compared) -> None:
    # One evaluation against twenty: random search is better beyond doubt, and its errors are lower.
    results = compared(["random", early(least=1, most=2)], benchmarks=["small-errors"], runs=60)
    (summary,) = summarise(results)
    errors = [outcome.tests["test_quality"].value for outcome in summary.outcomes]
    assert errors[0] < errors[1]
    assert summary.best["test_quality"] == summary.best["valid_quality"] == "random"
