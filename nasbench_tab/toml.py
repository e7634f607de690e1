"""Values as TOML: the standard library reads it and does not write it.

What is written here is read again as exactly the same values.

>>> toml(["a", 1e16, True])
'["a", 1e+16, true]'
>>> print(toml_tables({"name": "x", "metrics": {"valid accuracy": {"lower": float("-inf")}}}))
name = "x"
<BLANKLINE>
[metrics]
<BLANKLINE>
[metrics."valid accuracy"]
lower = -inf
<BLANKLINE>
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from nasbench_tab.errors import InvalidArgumentError

__all__ = ["plain", "toml", "toml_key", "toml_tables"]

_BARE = re.compile("[A-Za-z0-9_-]+")  # what TOML takes as a key without quotes


def toml_key(name: str) -> str:
    """Return a name as a key of TOML, in quotes where it needs them."""
    return name if _BARE.fullmatch(name) else toml(name)


def toml(value: Any, on_lines: bool = False) -> str:
    """Return a value as TOML.

    Args:
        value: Text, a number, true or false, or a list or tuple of such values.
        on_lines: Whether the parts of a list stand on lines of their own.

    Raises:
        InvalidArgumentError: TOML has no such value.
        UnicodeEncodeError: Text that no file can hold.
    """
    value = plain(value)
    if isinstance(value, list):
        parts = [toml(part) for part in value]
        if on_lines and len(parts) > 1:
            return "[\n" + "".join(f"    {part},\n" for part in parts) + "]"
        return f"[{', '.join(parts)}]"
    if isinstance(value, str):
        value.encode()  # raises for half a surrogate pair, which no file can hold
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    raise InvalidArgumentError(f"it holds {value!r}, which TOML does not have.")


def toml_tables(values: Mapping[str, Any], path: str = "") -> str:
    """Return values by name, and tables of them at any depth, as the text of a TOML file.

    Args:
        values: Text for keys; values as for :func:`toml`, or mappings like this one.
        path: Of the table that holds them, for the headers.

    Raises:
        InvalidArgumentError: TOML has no such value, or a key is no text.
        UnicodeEncodeError: Text that no file can hold.
    """
    text, tables = "", ""
    for key, value in values.items():
        if not isinstance(key, str):
            raise InvalidArgumentError(f"it has the key {key!r}; TOML's are texts.")
        if isinstance(value, Mapping):
            here = f"{path}.{toml_key(key)}".lstrip(".")
            tables += f"\n[{here}]\n{toml_tables(value, here)}"
        else:
            text += f"{toml_key(key)} = {toml(value)}\n"
    return text + tables


def plain(value: Any) -> Any:
    """Return Python's own numbers for NumPy's, and lists for tuples."""
    if isinstance(value, np.generic):
        return value.item()
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value
