"""Write files in the layout of ``nasbench_full.tfrecord``, without anything of the reader's.

Checksums, protocol buffers and hashes are computed here once more, a byte at a time and by the words of
the formats' descriptions; figures are made up.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

Matrix = Sequence[Sequence[int]]

NAMES = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
BUDGETS = (4, 12, 36, 108)


class Training(NamedTuple):
    """A record's content; three evaluations of epoch, seconds, train, valid and test accuracy."""

    matrix: Matrix
    ops: tuple[str, ...]
    epochs: int
    evaluations: tuple[tuple[float, ...], ...]
    parameters: int
    seconds: float


def _byte_table() -> list[int]:
    table = []
    for byte in range(256):
        state = byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
        table.append(state)
    return table


_TABLE = _byte_table()


def crc(data: bytes) -> int:
    """Return the masked CRC-32C, a byte at a time."""
    state, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        state = table[(state ^ byte) & 255] ^ state >> 8
    state ^= 0xFFFFFFFF
    return ((state >> 15 | state << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frame(payload: bytes) -> bytes:
    """Return a record as it stands in a file."""
    length = struct.pack("<Q", len(payload))
    return length + struct.pack("<I", crc(length)) + payload + struct.pack("<I", crc(payload))


def varint(number: int) -> bytes:
    """Return a protocol buffer's number."""
    digits = []
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit + (128 if number else 0))
        if not number:
            return bytes(digits)


def delimited(field: int, data: bytes) -> bytes:
    """Return a field of bytes."""
    return varint(field * 8 + 2) + varint(len(data)) + data


def double(field: int, value: float) -> bytes:
    """Return a field of a double."""
    return varint(field * 8 + 1) + struct.pack("<d", value)


def message(training: Training) -> bytes:
    """Return a ModelMetrics message as the published files have them."""
    evaluations = [
        delimited(1, b"".join(double(i, value) for i, value in enumerate(values, start=1)))
        for values in training.evaluations
    ]
    return (
        b"".join(evaluations) + b"\x10" + varint(training.parameters) + double(3, training.seconds)
    )


def module_hash(matrix: Matrix, ops: Sequence[str]) -> str:
    """Return the published MD5 of a pruned cell."""
    n = len(ops)
    labels = [-1, *(NAMES.index(op) for op in ops[1:-1]), -2]
    degrees = [(sum(matrix[v]), sum(row[v] for row in matrix)) for v in range(n)]
    found = [md5(str((*degrees[v], labels[v]))) for v in range(n)]
    for _ in range(n):
        found = [
            md5(
                "".join(sorted(found[w] for w in range(n) if matrix[w][v]))
                + "|"
                + "".join(sorted(found[w] for w in range(n) if matrix[v][w]))
                + "|"
                + found[v]
            )
            for v in range(n)
        ]
    return md5(str(sorted(found)))


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def bits_of(matrix: Matrix) -> str:
    return "".join(str(bit) for row in matrix for bit in row)


def payload(
    training: Training, *, digest: str | None = None, metrics: bytes | None = None
) -> bytes:
    """Return a record; parts of it can be replaced by wrong ones."""
    fields = [
        digest or module_hash(training.matrix, training.ops),
        training.epochs,
        bits_of(training.matrix),
        ",".join(training.ops),
        base64.b64encode(message(training) if metrics is None else metrics).decode(),
    ]
    return json.dumps(fields).encode()


def cells(vertices: int = 7, most: int = 9) -> Iterator[tuple[Matrix, tuple[str, ...]]]:
    """Yield different networks: the authors' enumeration of those whose inner vertices are a chain.

    A chain has but one order, so no two of these are the same network.
    """
    for n in range(2, vertices + 1):
        chain = {(i, i + 1) for i in range(n - 1)}
        free = [(i, j) for j in range(n) for i in range(j) if (i, j) not in chain]
        for chosen in product((0, 1), repeat=len(free)):
            if sum(chosen) + len(chain) > most:
                continue
            edges = chain | {edge for edge, bit in zip(free, chosen, strict=True) if bit}
            matrix = [[int((i, j) in edges) for j in range(n)] for i in range(n)]
            for ops in product(NAMES, repeat=n - 2):
                yield matrix, ("input", *ops, "output")


def trainings(
    networks: Iterable[tuple[Matrix, tuple[str, ...]]],
    *,
    budgets: Sequence[int] = BUDGETS,
    repeats: int = 3,
    seed: int = 0,
) -> Iterator[Training]:
    """Yield made-up trainings, network by network; accuracies and times fit into float32."""
    rng = np.random.default_rng(seed)
    for matrix, ops in networks:
        parameters = int(rng.integers(227_274, 49_979_275))
        for epochs in budgets:
            for _ in range(repeats):
                values = rng.random((3, 4)).astype(np.float32)
                values[:, 0] = np.cumsum(values[:, 0] * epochs * 5)
                rows = tuple(
                    (part * epochs, *row)
                    for part, row in zip((0.0, 0.5, 1.0), values.tolist(), strict=True)
                )
                yield Training(matrix, ops, epochs, rows, parameters, 2.5 * epochs + rng.random())


def content(records: Iterable[Training]) -> bytes:
    """Return the bytes of a file of these trainings."""
    return b"".join(frame(payload(training)) for training in records)


def write(path: Path, records: Iterable[Training]) -> int:
    """Write a file record by record; return how many there were."""
    count, known = 0, dict[str, str]()
    with path.open("wb") as file:
        for training in records:
            key = bits_of(training.matrix) + ",".join(training.ops)
            if key not in known:
                known = {key: module_hash(training.matrix, training.ops)}  # the last one only
            file.write(frame(payload(training, digest=known[key])))
            count += 1
    return count
