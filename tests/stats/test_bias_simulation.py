"""Studies of a known truth, fewer than tools/bias_simulation.py makes: the same promises, with honest tolerance."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

STUDIES = 2000
ROOT = Path(__file__).parents[2]


@cache
def tool() -> Any:
    spec = importlib.util.spec_from_file_location(
        "bias_simulation", ROOT / "tools/bias_simulation.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def found(**fields: Any) -> Any:
    return _found(tuple(sorted(fields.items())))


@cache
def _found(items: tuple[tuple[str, Any], ...]) -> Any:
    fields = dict(items)
    if isinstance(fields.get("noise"), str):
        fields["noise"] = getattr(tool(), fields["noise"])
    scenario = tool().Scenario("", **fields)
    rng = np.random.default_rng(0)
    rows = [tool().row(scenario, 500, rng, np.empty(0)) for _ in range(STUDIES // 500)]
    return tool().Row(*np.mean(rows, axis=0).tolist())


def most(share: float) -> float:
    """The share that is exceeded once in 10,000 where the true one is ``share``."""
    return float(binom.ppf(1 - 1e-4, STUDIES, share)) / STUDIES


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"runs": 12},
        {"error": 0.3},
        {"noise": "skewed"},
        {"noise": "tails"},
        {"pool": 300, "draws": 30},
        {"fails": 0.3},
        {"known": 6},
        {"noise": "tails", "pool": 300, "draws": 30, "fails": 0.2, "known": 12},
    ],
    ids=str,
)
def test_no_bias_is_rarely_called_one_and_intervals_hold_it(fields: dict[str, Any]) -> None:
    row = found(**fields)
    assert row.type_i <= most(0.065)
    assert row.coverage >= 1 - most(1 - 0.93)
    assert row.curse > 0.05  # there was something to be found


@pytest.mark.parametrize("fields", [{}, {"fails": 0.3}, {"error": 1.5}, {"known": 20}], ids=str)
def test_a_bias_of_one_seed_deviation_is_found_by_20_cells_and_3_seeds(
    fields: dict[str, Any],
) -> None:
    assert found(**fields).power >= 1 - most(1 - 0.8)


def test_equivalence_is_shown_where_there_is_none_and_not_where_the_bias_is_the_margin() -> None:
    row = found()
    assert row.right > 0.9
    assert row.wrong <= most(0.05)


def test_the_tests_can_fail() -> None:
    """Student's interval alone misses heavy-tailed errors; so would an interval over trainings."""
    assert found(noise="heavy", method="t").coverage < 1 - most(1 - 0.93)


def test_controls_of_equal_claims_hide_the_curse() -> None:
    of = tool().controls(150, np.random.default_rng(0), 1.0)
    assert of.winners == pytest.approx(1.77, abs=0.08)
    assert of.theory == pytest.approx(of.winners, abs=0.08)
    assert of.pairs == pytest.approx(of.winners, abs=0.15)
    assert abs(of.drawn) < 0.03
    assert abs(of.difference) < 0.12
    assert of.matched < 0.95
