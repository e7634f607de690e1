"""Every registered strategy is sane, and reaches no value that it may not see.

No better than random search where nothing can be learnt, better where something can.
"""

from __future__ import annotations

import pytest

from nasbench_tab import registry
from nasbench_tab.spaces.nasbench_graph import NasBenchGraphProteins
from nasbench_tab.testing import check_blind, check_sanity, check_shuffled

#: What claims no more than random search; everything else must be better.
RANDOM = {"random"}


@pytest.mark.parametrize("name", registry.strategy_names())
def test_strategy(name: str) -> None:
    seen = check_sanity(name, better=name not in RANDOM)
    assert seen.strategy == name
    assert 0 < seen.distinct <= seen.evaluations
    assert (seen.structured >= 4) == (name not in RANDOM)


@pytest.mark.parametrize("name", registry.strategy_names())
def test_another_space_without_structure(name: str) -> None:
    check_shuffled(name, space=NasBenchGraphProteins(), runs=60)


@pytest.mark.parametrize("benchmark", ["nbgraph-proteins", "nb201-fashion"])
@pytest.mark.parametrize("name", registry.strategy_names())
def test_strategy_sees_no_test_value(name: str, benchmark: str) -> None:
    check_blind(name, benchmark)
