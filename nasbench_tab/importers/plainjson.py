"""Read a JSON file that somebody else wrote: bounded, no key twice, errors that say where."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from nasbench_tab.errors import FormatError

__all__ = ["parsed", "read_file"]


def read_file(path: Path, most: int) -> bytes:
    """Return the content of a file of at most ``most`` bytes.

    Raises:
        FormatError: It is missing, cannot be read or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as err:
        raise FormatError(f"{path} cannot be read: {err.strerror or err}.") from err
    if len(data) > most:
        raise FormatError(
            f"{path} is larger than {most:,} bytes, which no file of this kind is. Is it the right file?"
        )
    return data


def parsed(data: bytes, where: str, *, nan: bool = False) -> Any:
    """Return what a JSON text holds.

    Args:
        data: UTF-8.
        where: What to call it in messages.
        nan: Whether NaN and infinities may stand in it, as Python writes them.

    Raises:
        FormatError: It is not JSON, or an object has a key twice.
    """

    def no_number(word: str) -> NoReturn:
        raise ValueError(f"{word} is no number of JSON")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
            raise ValueError(f"the key {twice!r:.100} stands there twice")
        return found

    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=unique,
            parse_constant=None if nan else no_number,
        )
    except (ValueError, RecursionError) as err:
        raise FormatError(
            f"{where} is not the JSON that was expected ({err}). It is truncated, damaged or another "
            "file; get it again."
        ) from err
