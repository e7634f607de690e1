"""Read a pickle that may hold plain data only: every global it names must be on an allow-list."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from nasbench_tab.errors import UnsafePickleError

__all__ = ["NUMPY_SCALARS", "load_plain", "read_plain"]


class _NumberType:
    """Stands in for numpy.dtype, whose state a pickle can forge to read foreign memory."""

    def __init__(self, code: str, *_align_and_copy: bool) -> None:
        if not re.fullmatch(r"b1|[iu][1248]|f[248]", code):
            raise ValueError(f"{code!r} is not the type of a number")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, order, *rest = state
        if version != 3 or order not in ("<", ">", "|") or rest != [None, None, None, -1, -1, 0]:
            raise ValueError(f"{state!r} is not the state of a number's type")
        self.dtype = self.dtype.newbyteorder(order)


def _number(kind: _NumberType, data: bytes) -> np.generic:
    (value,) = np.frombuffer(data, kind.dtype)
    number: np.generic = value
    return number


#: What a pickle of NumPy numbers needs; pass it as ``allow``. Older files name the older module.
NUMPY_SCALARS: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
    ("numpy", "dtype"): _NumberType,
}


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], allow: Mapping[tuple[str, str], Any], source: str) -> None:
        super().__init__(file)
        self._allow, self._source = allow, source

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed global; refuse every other one by name."""
        try:
            return self._allow[module, name]
        except KeyError:
            allowed = ", ".join(f"{m}.{n}" for m, n in self._allow) or "none"
            raise UnsafePickleError(
                f"{self._source} asks for {module}.{name}, which plain data does not need "
                f"(allowed: {allowed}). It was not loaded; get the file from its publisher again."
            ) from None


def load_plain(
    file: IO[bytes], allow: Mapping[tuple[str, str], Any] | None = None, source: str = "the pickle"
) -> Any:
    """Return the object in an open pickle file.

    Args:
        file: Opened for reading in binary mode.
        allow: ``{(module, name): object}`` that the pickle may name; None allows nothing, so that
            only dicts, lists, tuples, strings, bytes and numbers can come out.
        source: The file's name, for messages.

    Raises:
        UnsafePickleError: It names something else, or is truncated or no pickle at all.
    """
    try:
        return _PlainUnpickler(file, allow or {}, source).load()
    except UnsafePickleError:
        raise
    except Exception as err:  # a damaged pickle raises almost anything
        raise UnsafePickleError(
            f"{source} is not a complete pickle of plain data ({type(err).__name__}: {err}). "
            "Get the file again."
        ) from err


def read_plain(path: Path, allow: Mapping[tuple[str, str], Any] | None = None) -> Any:
    """Return the object in the pickle file at ``path``; see :func:`load_plain`."""
    with path.open("rb") as file:
        return load_plain(file, allow, str(path))
