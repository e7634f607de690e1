"""Every registered strategy is sane, and reaches no value that it may not see.

No better than random search where nothing can be learnt, better where something can.
"""

from __future__ import annotations

import pytest

from nasbench_tab import registry
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.spaces.nasbench_graph import NasBenchGraphProteins
from nasbench_tab.testing import check_blind, check_sanity, check_shuffled

#: What claims no more than random search; everything else must be better.
RANDOM = {"random"}
#: What needs a space that knows figures of its cells; NAS-Bench-Graph's knows none.
FIGURES = {"proxy"}
#: Runs on shuffled and on structured tables, of what takes long.
FEWER = {"gradient-ascent": (40, 6)}


@pytest.mark.parametrize("name", registry.strategy_names())
def test_strategy(name: str) -> None:
    seen = check_sanity(name, better=name not in RANDOM, runs=FEWER.get(name, (200, 40)))
    assert seen.strategy == name
    assert 0 < seen.distinct <= seen.evaluations
    assert (seen.structured >= 4) == (name not in RANDOM)


@pytest.mark.parametrize("name", registry.strategy_names())
def test_another_space_without_structure(name: str) -> None:
    if name in FIGURES:
        with pytest.raises(InvalidArgumentError, match="nasbench-graph-proteins knows nothing"):
            check_shuffled(name, space=NasBenchGraphProteins(), runs=1)
        return
    check_shuffled(name, space=NasBenchGraphProteins(), runs=FEWER.get(name, (60, 0))[0])


@pytest.mark.parametrize("benchmark", ["nbgraph-proteins", "nb201-fashion"])
@pytest.mark.parametrize("name", registry.strategy_names())
def test_strategy_sees_no_test_value(name: str, benchmark: str) -> None:
    if name in FIGURES and benchmark.startswith("nbgraph"):
        pytest.skip("another test sees that it is refused")
    check_blind(name, benchmark)
