"""NAS-Bench-101's table, from the published ``nasbench_full.tfrecord`` or ``nasbench_only108.tfrecord``.

A record is one training: a JSON list of the network's hash, the epochs that it was trained for, the
adjacency matrix, the operations, and a protocol buffer in base64 with three evaluations (before, half-way
and at the end). Trainings of 4, 12, 36 and 108 epochs are different ones, each with its own learning-rate
schedule; each was done three times.

Nothing is converted: accuracies stay fractions, times are the seconds that were measured. The file is
read once, a block at a time; what stays in memory is the table.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import os
import struct
from array import array
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.tablefile import Column, Table, Training, write_table
from nasbench_tab.errors import FormatError, InvalidArchitectureError
from nasbench_tab.importers.formats import Progress
from nasbench_tab.importers.protobuf import FIXED64, LENGTH, VARINT, read_fields
from nasbench_tab.importers.tfrecord import Block, read_blocks
from nasbench_tab.records import Metric
from nasbench_tab.spaces.nasbench101 import (
    N_NETWORKS,
    NasBench101,
    architecture_of,
    hash_of,
    parse_network,
)

__all__ = ["BUDGETS", "PUBLISHED", "SEEDS", "import_nasbench101"]

#: Epochs of the four kinds of trainings.
BUDGETS = (4, 12, 36, 108)

#: The source numbers the three trainings of a kind and names no seeds.
SEEDS = (-1, -2, -3)

#: SHA-256 of the published files.
PUBLISHED = {
    "3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c": "nasbench_full.tfrecord",
    "4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1": "nasbench_only108.tfrecord",
}

_CITATION = (
    "Ying, Klein, Christiansen, Real, Murphy and Hutter, NAS-Bench-101: Towards Reproducible Neural "
    "Architecture Search, ICML 2019"
)
_FORM = '["<hash>", <epochs>, "<adjacency>", "<operations>", "<metrics in base64>"]'
_GET = "Get the file again, or report it if it is the published one."
_PLACE = {epochs: place for place, epochs in enumerate(BUDGETS)}
_DECODER = json.JSONDecoder()

# Each evaluation: epoch, seconds and three accuracies, doubles with their tags, in a message of 45 bytes.
_EVALUATION = np.dtype(
    [("head", "u1", 2)]
    + [(f"{name}{i}", kind) for i in range(5) for name, kind in (("tag", "u1"), ("value", "<f8"))]
)
_TAGS = [field << 3 | FIXED64 for field in range(1, 6)]
_EVALUATIONS = 3 * _EVALUATION.itemsize
_REST = 1 + 1 + 8  # tag of the parameters, tag and value of the total time

#: Where an evaluation's columns are after the epoch, and what they are called here. Accuracies are those of 39
#: whole batches of 256 images.
_COLUMNS: dict[str, tuple[int, Metric, str]] = {
    "train_seconds": (
        1,
        Metric("train_seconds", "none", "min", "s", 0.0),
        "training time up to this epoch, on one TPU chip, without evaluations; as measured",
    ),
    "train_accuracy": (
        2,
        Metric("train_accuracy", "train", "max", "fraction", 0.0, 1.0),
        "on 9,984 of 10,000 fixed training images; as published",
    ),
    "valid_accuracy": (
        3,
        Metric("valid_accuracy", "valid", "max", "fraction", 0.0, 1.0),
        "on 9,984 of 10,000 images held out of the training set; as published",
    ),
    "test_accuracy": (
        4,
        Metric("test_accuracy", "test", "max", "fraction", 0.0, 1.0),
        "on 9,984 of the 10,000 test images; as published",
    ),
}
_MOMENTS = ("halfway", "full")  # the second and third evaluation


def import_nasbench101(
    source: Path, out: Path, *, partial: bool = False, progress: Progress | None = None
) -> list[Path]:
    """Make the table ``nasbench101``, or ``nasbench101-only108`` of a file of 108-epoch trainings only.

    Args:
        source: The file as published, or in its layout.
        out: Where the table's folder goes.
        partial: Take a file that lacks some of the 423,624 networks.
        progress: Told of bytes read and to be read.

    Raises:
        FormatError: The file is missing, incomplete, damaged or of another format; nothing was written.
        TableError: It breaks a rule of the table format; nothing was written.
    """
    found = _Trainings(source.name)
    digest = hashlib.sha256()
    try:
        with source.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            found.reserve(size)
            for block in read_blocks(_reader(file, digest, progress, size), source.name):
                found.add(block)
    except OSError as err:
        raise FormatError(
            f"{source} cannot be read ({err.strerror}). Expected the file nasbench_full.tfrecord or "
            "nasbench_only108.tfrecord."
        ) from err
    table = found.table(partial)
    folder = out / table.name
    write_table(folder, table, _about(source.name, digest.hexdigest(), table))
    return [folder]


def _reader(file: BinaryIO, digest: Any, progress: Progress | None, size: int) -> Any:
    def read(n: int) -> bytes:
        data = file.read(n)
        digest.update(data)
        if progress is not None and data:
            progress(min(file.tell(), size), size)
        return data

    return read


class _Trainings:
    """All that is in the records so far, by network in the order of first appearance."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.row: dict[str, int] = {}  # of each hash
        self.prints = array("q")  # of matrix and operations, by row
        self.cells = bytearray()
        self.counts = bytearray()  # trainings, by row and budget
        self.parameters = np.empty(0, np.int64)
        self.values: dict[tuple[str, str], NDArray[Any]] = {
            (moment, name): np.empty((0, len(SEEDS), len(BUDGETS)), np.float32)
            for moment in _MOMENTS
            for name in _COLUMNS
        }

    def reserve(self, size: int) -> None:
        """Make room for about as many networks as a file of ``size`` bytes holds."""
        self._room(min(N_NETWORKS, size // (350 * len(SEEDS) * len(BUDGETS))))

    def add(self, block: Block) -> None:
        """Take the records of a block.

        Raises:
            FormatError: A record is not what was expected; the message names it.
        """
        rows, places, repeats, messages = [], [], [], []
        known, prints, counts = self.row, self.prints, self.counts
        for i, record in enumerate(block.records):
            try:
                text = record.decode()
                (digest, epochs, matrix, ops, metrics), end = _DECODER.raw_decode(text)
                if end != len(text):
                    raise ValueError("something stands behind the list")
                place = _PLACE[epochs]
                row = known.get(digest)
                if row is None:
                    row = self._new(digest, matrix, ops)
                elif prints[row] != hash((matrix, ops)):
                    raise FormatError("the hash stood before with another matrix or operations")
                number = row * len(BUDGETS) + place
                repeat = counts[number]
                if repeat == len(SEEDS):
                    raise FormatError(
                        f"a fourth training of {epochs} epochs of the network {digest}"
                    )
                counts[number] = repeat + 1
                in_one_line = metrics.replace("\n", "")  # as some encoders break it
                messages.append(binascii.a2b_base64(in_one_line, strict_mode=True))
            except (
                AttributeError,
                FormatError,
                LookupError,
                TypeError,
                ValueError,
                RecursionError,
            ) as err:
                raise self._refused(block, i, _reason(err)) from err
            rows.append(row)
            places.append(place)
            repeats.append(repeat)
        self._room(len(known))
        # Signalling NaNs and numbers beyond float32 are refused or kept, and need no warning.
        with np.errstate(invalid="ignore", over="ignore"):
            self._keep(block, np.array(rows), np.array(places), np.array(repeats), messages)

    def _new(self, digest: object, matrix: object, ops: object) -> int:
        """Return the row of a network that was not seen before."""
        try:
            network = parse_network(f"{matrix}|{ops}")
            cell = architecture_of(network)
        except InvalidArchitectureError as err:
            raise FormatError(str(err)) from err
        own = hash_of(network)
        if own != digest:
            raise FormatError(
                f"the hash of the matrix {matrix} with {ops} is {own}, but {digest} stands beside it"
            )
        self.prints.append(hash((matrix, ops)))
        self.cells += bytes(cell)
        self.counts += bytes(len(BUDGETS))
        row = self.row[own] = len(self.row)
        return row

    def _room(self, n: int) -> None:
        """Make room for at least ``n`` networks."""
        size = len(self.parameters)
        if n > size:
            more = max(n - size, size // 2, 1024)
            self.parameters = np.concatenate([self.parameters, np.zeros(more, np.int64)])
            for key, values in self.values.items():
                rest = np.full((more, *values.shape[1:]), np.nan, values.dtype)
                self.values[key] = np.concatenate([values, rest])

    def _keep(
        self,
        block: Block,
        rows: NDArray[np.intp],
        places: NDArray[np.intp],
        repeats: NDArray[np.intp],
        messages: list[bytes],
    ) -> None:
        """Store what is in the messages of a block.

        Raises:
            FormatError: A figure is out of its bounds, or contradicts an earlier record.
        """
        values, parameters = self._evaluated(block, messages)
        budgets = np.array(BUDGETS)[places]
        before = self.parameters[rows]
        # Records of one network may be in one block: all must agree with what is stored in the end.
        self.parameters[rows] = np.where(before == 0, parameters, before)
        seconds, accuracies = values[:, 1:, 1], values[:, 1:, 2:]
        for bad, reason in (
            (
                (parameters < 1) | (parameters >= 2**31),
                "the trainable parameters are no positive 32-bit number",
            ),
            (
                self.parameters[rows] != parameters,
                "the network had other trainable parameters before",
            ),
            (
                ~(np.abs(values[:, 1:, 0] / budgets[:, None] - (0.5, 1.0)) < 0.1).all(axis=1),
                "the last two evaluations are not at half and all of the epochs",
            ),
            (
                ~((accuracies >= 0) & (accuracies <= 1)).all(axis=(1, 2)),
                "an accuracy is no fraction from 0 to 1",
            ),
            (
                ~((seconds >= 0) & np.isfinite(seconds)).all(axis=1),
                "a training time is negative or no number",
            ),
        ):
            if bad.any():
                raise self._refused(block, int(bad.argmax()), reason)
        for evaluation, moment in enumerate(_MOMENTS, start=1):
            for name, (column, _, _) in _COLUMNS.items():
                exact = values[:, evaluation, column]
                stored = self.values[moment, name]
                if stored.dtype == np.float32 and (exact.astype(np.float32) != exact).any():
                    stored = self.values[moment, name] = stored.astype(np.float64)
                stored[rows, repeats, places] = exact

    def _evaluated(
        self, block: Block, messages: list[bytes]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return ``(n, 3, 5)`` evaluations and ``(n,)`` trainable parameters of messages."""
        values = np.empty((len(messages), 3, 5))
        parameters = np.empty(len(messages), np.int64)
        lengths = np.array(list(map(len, messages)))
        rest = np.ones(len(messages), bool)
        for length in range(_EVALUATIONS + _REST + 1, _EVALUATIONS + _REST + 6):
            alike = np.flatnonzero(lengths == length)
            if len(alike):
                usual, own, counts = _usual(b"".join([messages[i] for i in alike]), length)
                values[alike], parameters[alike] = own, counts
                rest[alike] = ~usual
        for i in np.flatnonzero(rest).tolist():
            try:
                values[i], parameters[i] = _metrics(messages[i])
            except FormatError as err:
                raise self._refused(block, i, f"its metrics cannot be read: {err}") from err
        return values, parameters

    def _refused(self, block: Block, i: int, reason: str) -> FormatError:
        return FormatError(
            f"{self.name}: record {block.first + i}, which begins at byte {block.offsets[i]}: {reason}. "
            f"Expected {_FORM} with epochs one of {', '.join(map(str, BUDGETS))}. {_GET}"
        )

    def table(self, partial: bool) -> Table:
        """Return all as a table.

        Raises:
            FormatError: Networks are missing, or trainings of one.
        """
        n = len(self.row)
        counts = np.frombuffer(bytes(self.counts), np.uint8).reshape(n, len(BUDGETS))
        repeats = counts.max(axis=0, initial=0)
        present = np.flatnonzero(repeats).tolist()
        if present not in ([3], [0, 1, 2, 3]):
            held = ", ".join(str(BUDGETS[place]) for place in present) or "no"
            raise FormatError(
                f"{self.name}: trainings of {held} epochs found; expected such of 108 only, or of 4, 12, "
                "36 and 108. The file is incomplete or of another benchmark."
            )
        short = counts[:, present] < repeats.max()
        if short.any():
            row, place = (int(i[0]) for i in np.nonzero(short))
            digest, epochs = list(self.row)[row], BUDGETS[present[place]]
            raise FormatError(
                f"{self.name}: {counts[row, present[place]]} trainings of {epochs} epochs of the network "
                f"{digest} found, {repeats.max()} of others. The file is incomplete; get it again."
            )
        if n < N_NETWORKS and not partial:
            raise FormatError(
                f"{self.name}: {n:,} networks found, {N_NETWORKS:,} expected. The file is incomplete; get it "
                "again, or import what there is with partial=True (--partial)."
            )
        cells = np.frombuffer(bytes(self.cells), np.uint8).reshape(n, -1)
        seeds = int(repeats.max())
        trainings = {}
        for moment, part in (("full", 1), ("halfway", 2)):
            columns = {}
            for name, (_, metric, note) in _COLUMNS.items():
                values = self.values.pop((moment, name))[:n, :seeds]
                columns[name] = Column(
                    metric, values if len(present) > 1 else values[:, :, 3:], note
                )
            trainings[moment] = Training(
                dataset="CIFAR-10",
                objective="valid_accuracy",
                epochs_kind="separate trainings",
                seconds_kind="measured",
                seeds=SEEDS[:seeds],
                epochs=tuple(BUDGETS[place] // part for place in present),
                columns=columns,
            )
        parameters = Column(
            Metric("parameters", "none", "min", "M", 0.0),
            self.parameters[:n] / 1e6,
            "trainable parameters, as published",
        )
        return Table(
            name="nasbench101" if len(present) > 1 else "nasbench101-only108",
            space=NasBench101.name,
            by_index=False,
            architectures=cells,
            trainings=trainings,
            default_training="full",
            static={"parameters": parameters},
        )


def _reason(err: Exception) -> str:
    if isinstance(err, FormatError):
        return str(err).rstrip(".")
    if isinstance(err, KeyError):
        return f"{err} epochs"
    return f"it is no list of that kind ({err})"


def _usual(
    joined: bytes, length: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]:
    """Return which of messages of one length have the usual layout, their evaluations and parameters."""
    bytes_ = np.frombuffer(joined, np.uint8).reshape(-1, length)
    parts = np.ascontiguousarray(bytes_[:, :_EVALUATIONS]).view(_EVALUATION)
    usual = (parts["head"] == (1 << 3 | LENGTH, _EVALUATION.itemsize - 2)).all(axis=(1, 2))
    for i, tag in enumerate(_TAGS):
        usual &= (parts[f"tag{i}"] == tag).all(axis=1)
    tail = bytes_[:, _EVALUATIONS:]
    size = length - _EVALUATIONS - _REST
    usual &= (tail[:, 0] == 2 << 3 | VARINT) & (tail[:, size + 1] == 3 << 3 | FIXED64)
    usual &= (tail[:, 1:size] > 127).all(axis=1) & (tail[:, size] < 128)
    digits = (tail[:, 1 : size + 1] & 127).astype(np.int64)
    parameters = (digits << 7 * np.arange(size)).sum(axis=1)
    values = np.stack([parts[f"value{i}"] for i in range(5)], axis=2)
    return usual, values, parameters


def _metrics(message: bytes) -> tuple[list[list[float]], int]:
    """Return the three evaluations and the trainable parameters of a message of any layout.

    Raises:
        FormatError: Something is missing or of another type.
    """
    evaluations: list[list[float]] = []
    parameters = -1
    for number, wire, value in read_fields(message):
        if number == 1 and wire == LENGTH and isinstance(value, bytes):
            # The first evaluation, before the training, is not used.
            evaluations.append(_evaluation(value) if evaluations else [0.0] * 5)
        elif number == 2 and wire == VARINT and isinstance(value, int):
            parameters = min(value, 2**31)
        elif number in (1, 2):
            raise FormatError(f"field {number} has the wire type {wire}")
    if len(evaluations) != 3 or not 0 < parameters < 2**31:
        raise FormatError(
            f"three evaluations and a number of parameters expected, {len(evaluations)} and "
            f"{parameters if parameters >= 0 else 'none'} found"
        )
    return evaluations, parameters


def _evaluation(message: bytes) -> list[float]:
    """Return epoch, seconds and the three accuracies of an evaluation."""
    found: dict[int, float] = {}
    for number, wire, value in read_fields(message):
        if number <= 5:
            if wire != FIXED64 or not isinstance(value, bytes):
                raise FormatError(f"field {number} of an evaluation has the wire type {wire}")
            (found[number],) = struct.unpack("<d", value)
    if len(found) != 5 or 0 in found:
        raise FormatError(f"an evaluation has the fields {sorted(found)}; expected 1 to 5")
    return [found[number] for number in range(1, 6)]


def _about(name: str, digest: str, table: Table) -> dict[str, Any]:
    n = len(table.architectures)
    published = PUBLISHED.get(digest)
    which = "none of the published files"
    if published:
        which = f"the published {published}; figures by the NAS-Bench-101 authors"
    epochs = table.trainings["full"].epochs
    return {
        "title": "NAS-Bench-101 on CIFAR-10",
        "origin": f"file {name}, SHA-256 {digest}: {which}",
        "licence": "none is named for the file; the authors' repository, which links to it, is Apache-2.0",
        "citation": [_CITATION],
        "protocol": f"{n:,} of the {N_NETWORKS:,} networks of the space {table.space}, each trained from "
        f"scratch for {', '.join(map(str, epochs))} epochs on 40,000 CIFAR-10 images; different numbers of "
        "epochs are different trainings with their own cosine schedule. The training halfway holds "
        "the same trainings after half of their epochs, in the middle of the schedule, so that its 54 "
        "epochs are not those of a training that was meant to end there.",
        "seed_note": f"{len(table.trainings['full'].seeds)} trainings of each network and number of "
        "epochs, in the order of the file; the source names no seeds, so they are called -1, -2, -3.",
        "lacks": [
            "learning curves",
            "losses",
            "seeds",
            "evaluation times (the total time of a training, with its evaluations, is left out)",
            "evaluations before the first step (left out)",
        ],
    }
