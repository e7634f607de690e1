"""Every registered strategy is sane, and reaches no value that it may not see.

No better than random search where nothing can be learnt, better where something can.

Model-based strategies run with smaller models, in fewer runs and at fewer cells here, and as they are
registered, at full size, under ``-m slow``. The limits stay at 4 standard errors, so fewer runs raise no
false alarm; they see less. With ``R`` runs on shuffled tables a method is caught, more often than not, if
it beats random search (ties count half) with a probability that is off 1/2 by ``4 / sqrt(12 R)``: 0.08 with
200 runs, 0.18 with 40. One that peeks is off by nearly 1/2.
"""

from __future__ import annotations

import pytest
from light import LIGHT, light

from nasbench_tab import registry
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.spaces.nasbench_graph import NasBenchGraphProteins
from nasbench_tab.testing import check_blind, check_sanity, check_shuffled

#: What claims no more than random search; everything else must be better.
RANDOM = {"random"}
#: What needs a space that knows figures of its cells; NAS-Bench-Graph's knows none.
FIGURES = {"proxy"}
#: Runs on shuffled and on structured tables, of what takes long.
FEWER = {
    "gradient-ascent": (40, 6),
    **dict.fromkeys(("freeze-thaw", "bohb", "dehb", "petridish-growth"), (60, 15)),
}

NAMES = registry.strategy_names()
QUICK = [name for name in NAMES if name not in LIGHT]


@pytest.mark.parametrize("name", QUICK)
def test_strategy(name: str) -> None:
    seen = check_sanity(name, better=name not in RANDOM, runs=FEWER.get(name, (200, 40)))
    assert seen.strategy == name
    assert 0 < seen.distinct <= seen.evaluations
    assert (seen.structured >= 4) == (name not in RANDOM)


@pytest.mark.parametrize("name", LIGHT)
def test_light_strategy(name: str) -> None:
    seen = check_sanity(LIGHT[name], distinct=20, evaluations=60, runs=(40, 20))
    assert seen.distinct == seen.evaluations == 60
    assert seen.structured >= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", FEWER)
def test_strategy_in_all_runs(name: str) -> None:
    assert check_sanity(name).structured >= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", LIGHT)
def test_slow_strategy(name: str) -> None:
    seen = check_sanity(name)
    assert seen.strategy == name
    assert seen.distinct == seen.evaluations == 200
    assert seen.structured >= 4


@pytest.mark.parametrize("name", NAMES)
def test_another_space_without_structure(name: str) -> None:
    if name in FIGURES:
        with pytest.raises(InvalidArgumentError, match="nasbench-graph-proteins knows nothing"):
            check_shuffled(name, space=NasBenchGraphProteins(), runs=1)
        return
    distinct, runs = (20, 20) if name in LIGHT else (30, FEWER.get(name, (60, 0))[0])
    check_shuffled(light(name), space=NasBenchGraphProteins(), distinct=distinct, runs=runs)


@pytest.mark.parametrize("benchmark", ["nbgraph-proteins", "nb201-fashion"])
@pytest.mark.parametrize("name", NAMES)
def test_strategy_sees_no_test_value(name: str, benchmark: str) -> None:
    if name in FIGURES and benchmark.startswith("nbgraph"):
        pytest.skip("another test sees that it is refused")
    check_blind(light(name), benchmark)
