"""Plain values as annotations want them, and annotations in words.

>>> fitted([["parameters", 1]], tuple[tuple[str, float], ...])
(('parameters', 1),)
>>> words(int | None)
'a whole number'
"""

from __future__ import annotations

import json
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

__all__ = ["fitted", "is_table", "words"]


def fitted(value: Any, hint: Any) -> Any:
    """Return a value of TOML or JSON as an annotation wants it; ValueError where it does not fit.

    Numbers keep their kind: 200 and 200.0 are the same budget but not the same manifest.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        for choice in inner:
            try:
                return fitted(value, choice)
            except ValueError:
                continue
        raise ValueError
    if origin is Literal:
        fits = any(type(value) is type(choice) and value == choice for choice in inner)
    elif origin is tuple:
        if isinstance(value, dict) and is_table(hint):
            value = list(value.items())
        if not isinstance(value, (list, tuple)):
            raise ValueError
        if inner[-1] is not Ellipsis:
            return tuple(fitted(part, kind) for part, kind in zip(value, inner, strict=True))
        return tuple(fitted(part, inner[0]) for part in value)
    elif hint is float:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    else:
        fits = type(value) is hint
    if not fits:
        raise ValueError
    return value


def is_table(hint: Any) -> bool:
    """Return whether an annotation means pairs (name, value), which TOML writes as a table."""
    inner = get_args(hint)
    return bool(
        get_origin(hint) is tuple
        and inner[-1] is Ellipsis
        and get_origin(inner[0]) is tuple
        and len(get_args(inner[0])) == 2
        and get_args(inner[0])[0] is str
    )


def words(hint: Any) -> str:
    """Return an annotation in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(words(choice) for choice in inner if choice is not NoneType)
    if origin is Literal:
        return " or ".join(json.dumps(choice) for choice in inner)
    if is_table(hint):
        return f"a table of names, each with {words(get_args(inner[0])[1])}"
    if origin is tuple:
        return f"a list, each part {words(inner[0])}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text in quotes"}[
        hint
    ]
