"""The only functions and types that a pickle of an official file may name, as stand-ins."""

from __future__ import annotations

from collections.abc import Callable
from reprlib import repr as short
from typing import Any

from nasbench_tab.importers.unpickle import NUMPY_SCALARS

__all__ = ["DTYPE", "GLOBALS", "Global", "checked_key"]


class Global:
    """Stands in for a function or type that a pickle names; it can only be called as data needs it."""

    __slots__ = ("call", "name")

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name, self.call = name, call


def _ordered(*pairs: Any) -> dict[Any, Any]:
    if pairs and (len(pairs) > 1 or type(pairs[0]) is not list):
        raise ValueError("an OrderedDict of something else than pairs")
    made = {}
    for key, value in pairs[0] if pairs else ():
        made[checked_key(key)] = value
    return made


def _latin(text: str, encoding: str) -> bytes:
    if type(text) is not str or encoding != "latin1":
        raise ValueError("bytes in another form than text of latin1")
    return text.encode("latin1")


def _empty() -> bytes:
    return b""


def _set(*members: Any) -> set[Any]:
    if members and (len(members) > 1 or type(members[0]) is not list):
        raise ValueError("a set of something else than a list")
    return {checked_key(member) for member in (members[0] if members else ())}


def _frozen(*members: Any) -> frozenset[Any]:
    return frozenset(_set(*members))


def _scalar(*arguments: Any) -> Any:
    return _NUMBER(*arguments).item()


_NUMBER = NUMPY_SCALARS["numpy.core.multiarray", "scalar"]
DTYPE = NUMPY_SCALARS["numpy", "dtype"]
GLOBALS = {
    name: Global(" ".join(name), call)
    for name, call in {
        ("collections", "OrderedDict"): _ordered,
        ("_codecs", "encode"): _latin,
        ("__builtin__", "bytes"): _empty,
        ("builtins", "set"): _set,
        ("__builtin__", "set"): _set,
        ("builtins", "frozenset"): _frozen,
        ("__builtin__", "frozenset"): _frozen,
        ("numpy", "dtype"): DTYPE,
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("numpy._core.multiarray", "scalar"): _scalar,
    }.items()
}


def checked_key(key: Any) -> Any:
    """Return what may be a key: strings, numbers and flat tuples, whose hashes are cheap."""
    parts = key if type(key) is tuple and len(key) <= 8 else (key,)
    if not all(type(part) in (str, int, float, bool, bytes) or part is None for part in parts):
        raise ValueError(f"{short(key)} as a key")
    return key
