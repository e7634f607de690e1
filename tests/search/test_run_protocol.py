"""Protocols that make no sense, and names that do not exist."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import InvalidArgumentError, UnknownNameError
from nasbench_tab.records import Protocol
from nasbench_tab.search.run import run_search, searcher

from .toys import gappy, noisy_bench

INFINITE = float("inf")
INTEGERS = [0, -1, -(2**70), 1.0, 1.5, True, False, float("nan"), INFINITE, "10", [10]]


@pytest.mark.parametrize("value", INTEGERS, ids=repr)
@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("evaluations", "budget in evaluations must be a positive integer"),
        ("workers", "workers must be a positive integer"),
        ("patience", "patience must be a positive integer"),
    ],
)
def test_counts_must_be_positive_integers(field: str, words: str, value: Any) -> None:
    protocol = Protocol(evaluations=5)._replace(**{field: value})
    with pytest.raises(InvalidArgumentError, match=words) as caught:
        run_search("random", noisy_bench(), protocol)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    "value", [0, 0.0, -1, -1e9, float("nan"), INFINITE, -INFINITE, True, "10", [10]], ids=repr
)
def test_seconds_must_be_positive_and_finite(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="budget in seconds must be positive") as caught:
        run_search("random", noisy_bench(seconds=1.0), Protocol(seconds=value))
    assert repr(value) in str(caught.value)


def test_a_number_is_no_protocol() -> None:
    with pytest.raises(InvalidArgumentError, match=r"Expected Protocol\(evaluations=.*got 10"):
        run_search("random", noisy_bench(), 10)  # type: ignore[arg-type]


def test_there_must_be_a_budget() -> None:
    with pytest.raises(InvalidArgumentError, match="needs a budget: evaluations, seconds, or both"):
        run_search("random", noisy_bench(), Protocol())


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("seeds", "men", "Did you mean mean"),
        ("seeds", "Random", "Did you mean random"),
        ("seeds", 1.0, "Known: mean, random"),
        ("seeds", True, "Known: mean, random"),
        ("seeds", None, "Known: mean, random"),
        ("overshoot", "kep", "Did you mean keep"),
        ("repeats", "re-use", "Did you mean reuse"),
        ("resume", "restarts", "Did you mean restart"),
        ("incumbent", "highest_seen", "Did you mean highest-seen"),
        ("missing", "mask", "Did you mean masked"),
        ("missing", "surrogate", "Known: masked, refuse"),
        ("overshoot", None, "Known: drop, interpolate, keep"),
        ("repeats", 3, "Known: forbid, pay, reuse"),
        ("incumbent", "", "Known: full-training, highest-epoch, highest-seen"),
    ],
)
def test_words_that_a_protocol_does_not_know(field: str, value: Any, words: str) -> None:
    protocol = Protocol(evaluations=5)._replace(**{field: value})
    with pytest.raises(UnknownNameError, match=f"protocol's '{field}'.*{words}"):
        run_search("random", noisy_bench(), protocol)


def test_limits_on_metrics_that_do_not_exist() -> None:
    bench = noisy_bench(static={"parameters": np.ones(24)})
    with pytest.raises(
        UnknownNameError, match=r"metric of toy-table 'parametres'.*mean parameters"
    ):
        run_search("random", bench, Protocol(evaluations=5, limits=(("parametres", 1.0),)))


@pytest.mark.parametrize("metric", ["score", "test_score"])
def test_limits_may_not_reveal_what_a_strategy_must_not_see(metric: str) -> None:
    bench = noisy_bench(test=np.arange(24.0)[:, None] + 0.5, static={"parameters": np.ones(24)})
    with pytest.raises(InvalidArgumentError, match=f"limit on '{metric}'.*for parameters"):
        run_search("random", bench, Protocol(evaluations=5, limits=((metric, 1.0),)))


@pytest.mark.parametrize("limit", [float("nan"), "1.0", None, [1.0]], ids=repr)
def test_limits_must_be_numbers(limit: Any) -> None:
    bench = noisy_bench(static={"parameters": np.ones(24)})
    with pytest.raises(InvalidArgumentError, match="limit on 'parameters' must be a number"):
        run_search("random", bench, Protocol(evaluations=5, limits=(("parameters", limit),)))


@pytest.mark.parametrize(
    "limits", [("parameters", 1.0), ("parameters",), 1.0, (1.0, 2.0)], ids=repr
)
def test_limits_must_be_pairs(limits: Any) -> None:
    bench = noisy_bench(static={"parameters": np.ones(24)})
    with pytest.raises(InvalidArgumentError, match="limits"):
        run_search("random", bench, Protocol(evaluations=5, limits=limits))


def test_everything_is_checked_before_the_first_run() -> None:
    for protocol in (Protocol(), Protocol(evaluations=5, workers=0)):
        with pytest.raises(InvalidArgumentError):
            searcher("random", noisy_bench(), protocol)
    with pytest.raises(InvalidArgumentError, match="'masked'"):
        searcher("random", gappy(), Protocol(evaluations=5))


@pytest.mark.parametrize(
    ("strategy", "benchmark", "words"),
    [
        ("evolutoin", "nb201-cifar10", "strategy 'evolutoin'.*mean evolution"),
        ("random", "nb201-cifar11", "benchmark 'nb201-cifar11'.*mean nb201-cifar10"),
    ],
)
def test_unknown_names_offer_the_nearest(strategy: str, benchmark: str, words: str) -> None:
    with pytest.raises(UnknownNameError, match=words):
        run_search(strategy, benchmark, Protocol(evaluations=5))
