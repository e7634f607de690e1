"""Where the records behind NATS-Bench's interface come from: a folder, a file, a dict, or our tables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from nasbench_tab import paths
from nasbench_tab.compat.nats_tables import Tables, folders_of
from nasbench_tab.errors import FormatError, InvalidArgumentError
from nasbench_tab.importers.nats_files import read_records
from nasbench_tab.importers.nats_records import (
    ArchRecord,
    meta_of,
    read_meta,
    read_simple,
    records_of,
)
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.spaces.nats_size import NatsSize

__all__ = ["SIZE", "TOPOLOGY", "Held", "SimpleFolder", "Source", "SpaceFacts", "open_source"]

#: Architectures that a single file may have to be kept in memory, some 250 kB each and 80 kB in the file.
_MOST_HELD = 1_000
_MOST_BYTES = 100 * 2**20


class SpaceFacts(NamedTuple):
    """What the interface says of a search space.

    Attributes:
        name: What the reference calls it.
        base_name: How its publishers' files are called.
        format: The importer of them.
        space: Its architectures.
        epochs: Epochs of the trainings that are reported.
    """

    name: str
    base_name: str
    format: str
    space: Space
    epochs: int


TOPOLOGY = SpaceFacts("topology", "NATS-tss-v1_0-3ffb9", "nats-tss", NasBench201(), 200)
SIZE = SpaceFacts("size", "NATS-sss-v1_0-50262", "nats-sss", NatsSize(), 90)


class Source(Protocol):
    """Records by architecture.

    Attributes:
        architectures: All published strings, in the order of the official indices.
        folder: Where they are read from; None = from memory.
        name: The folder's or file's name; None for a dict.
    """

    architectures: tuple[str, ...]
    folder: Path | None
    name: str | None

    @property
    def present(self) -> frozenset[int]:
        """The architectures that there are records of."""
        ...

    def read(self, index: int) -> dict[str, ArchRecord] | None:
        """Return the record for each schedule, or None if there is none of this architecture."""
        ...


class Held:
    """Records in memory."""

    folder: Path | None = None

    def __init__(
        self,
        architectures: Iterable[str],
        records: Mapping[int, dict[str, ArchRecord]],
        name: str | None = None,
    ) -> None:
        self.architectures, self._records, self.name = tuple(architectures), records, name
        self.present = frozenset(records)

    def read(self, index: int) -> dict[str, ArchRecord] | None:
        """See :class:`Source`."""
        return self._records.get(index)


class SimpleFolder:
    """An official "simple" folder; each record is read when it is asked for.

    Args:
        folder: Where.
        architectures: All published strings; None = as its ``meta.pickle.pbz2`` says.
    """

    def __init__(self, folder: Path, architectures: tuple[str, ...] | None = None) -> None:
        self.folder: Path | None = folder
        self.name: str | None = folder.name
        self._folder = folder
        if architectures is None:
            architectures = read_meta(folder / "meta.pickle.pbz2").architectures
        self.architectures = architectures

    @property
    def present(self) -> frozenset[int]:
        """The architectures whose files are there now."""
        names = (path.name.partition(".")[0] for path in self._folder.glob("*.pickle.pbz2"))
        numbers = {int(name) for name in names if name.isascii() and name.isdigit()}
        return frozenset(n for n in numbers if n < len(self.architectures))

    def read(self, index: int) -> dict[str, ArchRecord] | None:
        """See :class:`Source`.

        Raises:
            FormatError: The file is damaged, or its record is of another architecture.
        """
        names = (f"{index:06d}.pickle.pbz2", f"{index}.pickle.pbz2")
        path = next(
            (self._folder / name for name in names if (self._folder / name).is_file()), None
        )
        if path is None:
            return None
        records = read_simple(path)
        _check_index(records, index, self.architectures, str(path))
        return records


def _check_index(
    records: Mapping[str, ArchRecord], index: int, architectures: tuple[str, ...], where: str
) -> None:
    """Raise FormatError unless the records are of this architecture."""
    for record in records.values():
        if (record.index, record.arch_str) != (index, architectures[index]):
            raise FormatError(
                f"{where}: expected the record of architecture {index}, {architectures[index]}; got that of "
                f"{record.index}, {record.arch_str}. Get the folder from its publisher again."
            )


def open_source(
    where: str | os.PathLike[str] | Mapping[str, Any] | None, facts: SpaceFacts, fast_mode: bool
) -> Source:
    """Return the records that :func:`nasbench_tab.compat.nats_bench.create` was asked for.

    Raises:
        InvalidArgumentError: Nothing is there.
        FormatError: What is there is damaged, unsafe or of another format.
    """
    if isinstance(where, Mapping):
        return _of_dict(where)
    if where is None:
        home = Path(os.environ.get("TORCH_HOME", Path.home() / ".torch"))
        simple = home / f"{facts.base_name}-simple"
        if fast_mode and simple.is_dir():
            return SimpleFolder(simple)
        folders = folders_of(facts.format, paths.artefacts("data"))
        if not folders:
            raise InvalidArgumentError(
                f"There are no tables {facts.format}-... in {paths.user_folder() / 'data'}, and no folder {simple} "
                f"(read with fast_mode=True). Import the official file once, `nasbench-tab import "
                f"{facts.format} FILE`, or give a folder."
            )
        return Tables(folders, facts.space)
    path = Path(where)
    if path.is_dir():
        if not (path / "meta.pickle.pbz2").exists():
            inside = {
                each.name: each for each in path.iterdir() if (each / "manifest.toml").is_file()
            }
            folders = folders_of(facts.format, inside)
            if folders:
                return Tables(folders, facts.space)
        return SimpleFolder(path)
    if not path.is_file():
        raise InvalidArgumentError(f"{path} is neither a file nor a folder.")
    if fast_mode:
        raise InvalidArgumentError(
            f"fast_mode=True needs a folder, and {path} is a file. Give the 'simple' folder."
        )
    return _of_file(path, facts)


def _of_dict(content: Mapping[str, Any]) -> Held:
    """Return the records of a dict as it is in the official files.

    Raises:
        InvalidArgumentError: It lacks a key.
        FormatError: Something in it is missing, unknown or of another type.
    """
    for key in ("meta_archs", "arch2infos", "evaluated_indexes"):
        if key not in content:
            raise InvalidArgumentError(f"The dict has no key {key!r}; it has {', '.join(content)}.")
    total = {"total_archs": len(content["meta_archs"])}
    meta = meta_of({**total, **content, "arch2infos": None}, "the dict")
    held = {}
    for index, raw in content["arch2infos"].items():
        held[index] = records_of(raw, f"the dict, architecture {index}")
        _check_index(held[index], index, meta.architectures, "the dict")
    return Held(meta.architectures, held)


def _of_file(path: Path, facts: SpaceFacts) -> Held:
    """Return the records of a single file of some architectures.

    Raises:
        FormatError: It is damaged or of another format, or holds more than memory should: it is to be
            imported first.
    """
    held: dict[int, dict[str, ArchRecord]] = {}
    too_large = FormatError(
        f"{path} holds more than {_MOST_HELD:,} architectures, too many to keep in memory. Import it once, "
        f"`nasbench-tab import {facts.format} {path}`, and give None, or the folder that the tables are in."
    )
    if path.stat().st_size > _MOST_BYTES:
        raise too_large

    def take(index: int, records: dict[str, ArchRecord]) -> None:
        if len(held) >= _MOST_HELD:
            raise too_large
        held[index] = records

    meta = read_records(path, take)
    if meta is None:
        raise FormatError(f"{path} does not say which architectures there are.")
    for index, records in held.items():
        _check_index(records, index, meta.architectures, str(path))
    return Held(meta.architectures, held, path.name)
