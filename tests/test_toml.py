"""Values as TOML: the standard library reads exactly what was written."""

from __future__ import annotations

import math
import tomllib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.toml import toml, toml_tables

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SINGLE = st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(SINGLE, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
TABLES = st.recursive(
    st.dictionaries(TEXT, VALUES, max_size=4),
    lambda inner: st.dictionaries(TEXT, VALUES | inner, max_size=4),
    max_leaves=8,
)


def kinds(value: Any) -> Any:
    """The types in a value: True is not 1, and 1 is not 1.0."""
    if isinstance(value, dict):
        return {key: kinds(part) for key, part in value.items()}
    return (
        [kinds(part) for part in value] if isinstance(value, list) else (type(value), repr(value))
    )


@given(TABLES)
def test_tables_read_back(tables: dict[str, Any]) -> None:
    assert kinds(tomllib.loads(toml_tables(tables))) == kinds(tables)


def test_numbers_of_numpy_and_tuples_are_plain() -> None:
    text = toml_tables({"a": np.int64(3), "b": (np.float32(0.5), np.bool(True)), "c": math.nan})
    found = tomllib.loads(text)
    assert math.isnan(found.pop("c"))
    assert kinds(found) == kinds({"a": 3, "b": [0.5, True]})


@pytest.mark.parametrize("value", [None, b"x", {1, 2}, 1j, [{"a": 1}], {"a": {"b": object()}}])
def test_what_toml_does_not_have(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match="which TOML does not have"):
        toml_tables({"key": value})
    with pytest.raises(InvalidArgumentError, match="has the key 3"):
        toml_tables({"table": {3: 4}})


def test_a_long_list_may_stand_on_lines() -> None:
    assert toml(["a", "b"], on_lines=True) == '[\n    "a",\n    "b",\n]'
    assert toml(["a"], on_lines=True) == '["a"]'
