"""Search spaces as ConfigSpace's and back, for every registered one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from nasbench_tab import registry
from nasbench_tab.errors import InvalidArchitectureError, InvalidArgumentError
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.columns import Columns
from nasbench_tab.spaces.masked import MaskedSpace

configspace = pytest.importorskip("ConfigSpace")

from nasbench_tab.adapters.configspace import (  # noqa: E402 - not without the library
    from_configspace,
    from_configuration,
    to_configspace,
    to_configuration,
)

MINE = Columns("mine", {"depth": [1, 2, 3], "width": [0.5, 16, 32], "norm": ["batch", "layer"]})
SPACES = [*map(registry.load_space, registry.space_names()), MINE]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_cells_survive_the_way_there_and_back(space: Space) -> None:
    made = to_configspace(space, (1, 5), seed=3)
    for cell in space.sample(np.random.default_rng(0), 50):
        configuration = to_configuration(made, cell)
        assert from_configuration(configuration) == cell
        shown = {name: str(value) for name, value in dict(configuration).items()}
        assert shown == {n: o[i] for (n, o), i in zip(space.options().items(), cell, strict=True)}
    drawn = made.sample_configuration(200)
    again = to_configspace(space, (1, 5), seed=3).sample_configuration(200)
    assert [from_configuration(c) for c in drawn] == [from_configuration(c) for c in again]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_spaces_survive_a_file(space: Space, tmp_path: Any) -> None:
    to_configspace(space, (1, 5)).to_json(tmp_path / "space.json")
    json.loads((tmp_path / "space.json").read_text(encoding="utf-8"))
    back, epochs = from_configspace(
        configspace.ConfigurationSpace.from_json(tmp_path / "space.json")
    )
    assert (back.name, back.options(), epochs) == (space.name, space.options(), (1, 5))


def test_a_masked_space_is_exported_whole() -> None:
    space = registry.load_space("nasbench201")
    masked = MaskedSpace(space, [(0,) * 6, (1,) * 6])
    assert to_configspace(masked) == to_configspace(space)


def test_another_space_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="which search space it is"):
        from_configspace(configspace.ConfigurationSpace({"a": ["x", "y"]}))
    changed = to_configspace(registry.load_space("nasbench201"))
    changed.add(configspace.Categorical("more", ["x", "y"]))
    with pytest.raises(InvalidArgumentError, match=r"has other hyperparameters: .*more"):
        from_configspace(changed)


@pytest.mark.parametrize("cell", [(0,) * 5, (0,) * 7, (9,) * 6, (-1,) * 6, ("x",) * 6, (), 3])
def test_what_is_no_cell_is_refused(cell: Any) -> None:
    made = to_configspace(registry.load_space("nasbench201"))
    with pytest.raises(InvalidArchitectureError, match="expected 6 numbers of options"):
        to_configuration(made, cell)
