"""Read the fields of a protocol buffer message, without its schema and without trusting it."""

from __future__ import annotations

from collections.abc import Iterator

from nasbench_tab.errors import FormatError

__all__ = ["FIXED32", "FIXED64", "LENGTH", "VARINT", "read_fields"]

#: Wire types: how a field's value is stored.
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

_SIZES = {FIXED64: 8, FIXED32: 4}


def read_fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Yield ``(field number, wire type, value)`` in the order of the message.

    The value is an integer below 2**64 for a varint, the bytes for everything else.

    Raises:
        FormatError: The message ends within a field, or is no message.
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, place = _varint(message, place)
            yield number, wire, value
            continue
        if wire == LENGTH:
            size, place = _varint(message, place)
        elif wire in _SIZES:
            size = _SIZES[wire]
        else:
            raise FormatError(
                f"field {number}, before byte {place} of the message, has wire type {wire}; expected 0, "
                "1, 2 or 5"
            )
        if size > len(message) - place:
            raise FormatError(
                f"field {number} has {size} bytes, but only {len(message) - place} are left in the message"
            )
        yield number, wire, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, lowest first, and where it ends."""
    value = 0
    for i, byte in enumerate(message[place : place + 10]):
        value |= (byte & 127) << 7 * i
        if byte < 128 and value < 2**64:
            return value, place + i + 1
    raise FormatError(f"no whole number of at most 64 bits at byte {place} of the message")
