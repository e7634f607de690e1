"""Named arrays as one ``.npz`` file whose bytes depend on nothing but the arrays.

``numpy.load`` reads these files, and :func:`arrays_from` reads nothing else: not compressed, so that no
file unpacks to more than its size; only numbers, booleans and texts of fixed width; types and shapes as
they were written down beside the file. The header of an array is compared, never interpreted.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import SurrogateError

__all__ = ["Shape", "arrays_from", "bytes_of", "check_shapes", "shapes_of"]

#: ``[type, *shape]``, for example ``["<f8", 20, 6]``.
Shape = list[Any]

_MOST = 2**30  # bytes
_NAME = re.compile("[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_TYPE = re.compile(r"\|b1|[|][iu]1|<[iu][248]|<f[248]|<U[1-9][0-9]{0,5}")
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can name
#: What a zip file that was made to do harm can raise.
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, struct.error, NotImplementedError, RuntimeError, EOFError),
    *(OSError, ValueError, KeyError, OverflowError),
)


def bytes_of(arrays: Mapping[str, NDArray[Any]], where: str) -> bytes:
    """Return the file that holds ``arrays``.

    Args:
        arrays: By name; names like ``"curves/basis"``.
        where: For messages.

    Raises:
        SurrogateError: A name or a type that the file does not take.
    """
    check_shapes(shapes_of(arrays), where)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            member = zipfile.ZipInfo(f"{name}.npy", _TIME)
            member.create_system, member.external_attr = 3, 0o644 << 16
            values = _plain(arrays[name])
            archive.writestr(member, _header(_shape(values)) + values.tobytes())
    return file.getvalue()


def shapes_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Shape]:
    """Return type and shape of each array as they are written down."""
    return {name: _shape(_plain(arrays[name])) for name in sorted(arrays)}


def check_shapes(shapes: Mapping[str, object], where: str) -> None:
    """Raise SurrogateError unless names, types and shapes are such as the file can hold."""
    total = 0
    for name, shape in shapes.items():
        if not _NAME.fullmatch(name):
            raise SurrogateError(
                f"{where}: an array's name must match {_NAME.pattern}; got {name!r}."
            )
        if not (
            isinstance(shape, list)
            and shape
            and isinstance(shape[0], str)
            and _TYPE.fullmatch(shape[0])
            and all(type(n) is int and 0 <= n <= _MOST for n in shape[1:])
            and len(shape) <= 9
        ):
            raise SurrogateError(
                f"{where}: array {name!r} has type and shape {shape!r:.100}; expected numbers, "
                "booleans or texts of fixed width (no objects), in at most 8 dimensions."
            )
        total += _size(shape)
    if total > _MOST:
        raise SurrogateError(
            f"{where}: the arrays take {total:,} bytes; at most {_MOST:,} expected."
        )


def arrays_from(data: bytes, shapes: Mapping[str, Shape], where: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file, read-only.

    Args:
        data: The file's bytes.
        shapes: As :func:`shapes_of` gave them, checked by :func:`check_shapes`.
        where: The file's name, for messages.

    Raises:
        SurrogateError: The file is damaged or does not hold exactly these arrays.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [member.filename for member in archive.infolist()]
            if names != sorted(f"{name}.npy" for name in shapes):
                raise ValueError(f"it holds {', '.join(names) or 'nothing'}"[:200])
            for member, name in zip(archive.infolist(), sorted(shapes), strict=True):
                shape = shapes[name]
                header = _header(shape)
                size = len(header) + _size(shape)
                if member.compress_type != zipfile.ZIP_STORED or member.file_size != size:
                    raise ValueError(f"{name!r} is compressed or has not {size} bytes")
                content = archive.read(member)
                if len(content) != size or not content.startswith(header):
                    raise ValueError(f"{name!r} does not begin as an array of {shape}")
                arrays[name] = _array(content, len(header), shape)
    except _ZIP_ERRORS as err:
        raise SurrogateError(
            f"{where} does not hold the arrays that its manifest describes ({err}). Get it again, or "
            "fit the surrogate again."
        ) from err
    return arrays


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array in C order with little-endian values."""
    values = np.asarray(values)
    return values.astype(values.dtype.newbyteorder("<"), order="C", copy=False)


def _shape(values: NDArray[Any]) -> Shape:
    return [values.dtype.str, *values.shape]


def _size(shape: Shape) -> int:
    return math.prod(shape[1:]) * np.dtype(shape[0]).itemsize


def _header(shape: Shape) -> bytes:
    """Return how an array's member begins: version 1.0 of NumPy's format, always spelt alike."""
    kind, *sides = shape
    length = ", ".join(map(str, sides)) + "," * (len(sides) == 1)
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({length}), }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def _array(content: bytes, offset: int, shape: Shape) -> NDArray[Any]:
    values: NDArray[Any] = np.ndarray(
        tuple(shape[1:]), np.dtype(shape[0]), buffer=content, offset=offset
    )
    if values.dtype.kind == "b" and values.size and values.view(np.uint8).max() > 1:
        raise ValueError("a boolean that is neither false nor true")
    if values.dtype.kind == "U" and values.size:
        codes = np.frombuffer(content, "<u4", offset=offset)
        if (codes > 0x10FFFF).any() or ((codes >= 0xD800) & (codes < 0xE000)).any():
            raise ValueError("a character that does not exist")
    return values
