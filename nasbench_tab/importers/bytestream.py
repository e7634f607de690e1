"""Bytes that are read in order, counted and bounded, from a file or from what decompresses one."""

from __future__ import annotations

from typing import Protocol

from nasbench_tab.errors import FormatError

__all__ = ["MOST_TEXT", "ByteStream", "Readable"]

MOST_TEXT = 2**26  # bytes in one piece, far more than any official file has
_PIECE = 2**20  # bytes read at once


class Readable(Protocol):
    """What is read from: an open file, or what decompresses one."""

    def read(self, n: int, /) -> bytes:
        """Return ``n`` bytes, fewer only at the end."""
        ...


class ByteStream:
    """Bytes from ``file``, at most ``most`` of them, with the offset that messages name."""

    def __init__(self, file: Readable, source: str, most: int) -> None:
        self._file, self.source, self._most = file, source, most
        self.data, self.at, self._before = b"", 0, 0

    @property
    def offset(self) -> int:
        """How many bytes were consumed."""
        return self._before + self.at

    def fill(self, n: int) -> None:
        """Have ``n`` bytes at hand, or all that there are."""
        if len(self.data) - self.at >= n:
            return
        pieces, held = [self.data[self.at :]], len(self.data) - self.at
        while held < n:
            piece = self._file.read(_PIECE)
            if not piece:
                break
            pieces.append(piece)
            held += len(piece)
            if self.offset + held > self._most:
                raise FormatError(
                    f"{self.source} unpacks to more than {self._most} bytes, more than an official file "
                    "holds. It is damaged or made to fill the disk; get it from its publisher again."
                )
        if len(pieces) > 1:
            self._before += self.at
            self.data, self.at = b"".join(pieces), 0

    def take(self, n: int) -> bytes:
        """Return the next ``n`` bytes.

        Raises:
            FormatError: There are fewer, or more than any official file has in one piece.
        """
        if n > MOST_TEXT:
            raise FormatError(
                f"{self.source}, offset {self.offset}: a piece of {n} bytes is announced; at most "
                f"{MOST_TEXT} were expected. Get the file from its publisher again."
            )
        self.fill(n)
        piece = self.data[self.at : self.at + n]
        if len(piece) < n:
            raise self.truncated()
        self.at += n
        return piece

    def end(self) -> None:
        """Raise FormatError unless everything was read."""
        self.fill(1)
        if self.at < len(self.data):
            raise FormatError(
                f"{self.source}, offset {self.offset}: the file goes on behind its end. Get it from its "
                "publisher again."
            )

    def truncated(self) -> FormatError:
        """Return the error for a file that ends too early."""
        end = self._before + len(self.data)
        return FormatError(
            f"{self.source} ends at byte {end} in the middle of its data; it is truncated. Get it again."
        )
