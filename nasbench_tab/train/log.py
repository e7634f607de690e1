"""Run logs: one JSON line for each training, appended and never rewritten; docs/run-log.md.

    >>> from nasbench_tab.train.log import LoggedRun, RunLog, read_log
    >>> folder = getfixture("tmp_path")
    >>> cell = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    >>> run = LoggedRun("nasbench201", "digits", cell, 0, "ok", {"valid_accuracy": [55.5, 71.0]})
    >>> log = RunLog(folder / "runs.jsonl")
    >>> log.append(run), log.append(run)
    (True, False)
    >>> read_log(folder).runs == [run]
    True

A folder of logs holds ``runs.jsonl``, which collectors append to, and compressed shards
``*.jsonl.xz``, which :func:`pack` moves the lines of ``runs.jsonl`` into.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import lzma
import os
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

from nasbench_tab.atomic import replacing
from nasbench_tab.errors import LogError
from nasbench_tab.train.logcsv import csv_entries
from nasbench_tab.train.logrecord import SEE, Key, LoggedRun, RunStatus, line_of, run_of

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "CURRENT",
    "Key",
    "Log",
    "LoggedRun",
    "RunLog",
    "RunStatus",
    "current_file",
    "pack",
    "read_csv",
    "read_log",
]

CURRENT = "runs.jsonl"  # in a folder, the log that is appended to


class Log(NamedTuple):
    """What was read.

    Attributes:
        runs: One for each key, in the order of the logs.
        torn: Bytes of unfinished last lines, which were dropped.
        places: Where each run stands, ``file:line``.
        hashes: ``{file: "sha256:..."}`` of the files as they are.
    """

    runs: list[LoggedRun]
    torn: int
    places: list[str]
    hashes: dict[str, str]


_HEAD = 1024  # bytes that tell a log from what it was before it was packed
_Entry = tuple[LoggedRun, str]  # a run and its place


class RunLog:
    """A log to append to, for any number of processes at once.

    Each line goes to the end of the file in one write under an exclusive lock and is synced to the
    disk before :meth:`append` returns. Where Python has no ``fcntl`` (Windows) there is no lock, and
    only one process may write.

    Args:
        path: A ``.jsonl`` file; made, with its folder, if it is not there. Beside a ``runs.jsonl``
            the shards count as written too.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix != ".jsonl":
            raise LogError(f"{path} is no log to append to; expected a name that ends in .jsonl.")
        self.path = path
        self._finished: set[Key] = set()
        self._source: object = None  # the file and the shards that _finished comes from
        self._offset = self._line = 0  # how far the file was read
        self._head = b""  # how it began: a packed log may have grown again

    def append(self, run: LoggedRun, unless_present: bool = True) -> bool:
        """Write ``run`` and return whether it was written.

        What a crashed writer left of a line is moved to ``<log>.torn`` first, with a warning.

        Args:
            run: What to write.
            unless_present: Leave it if a finished run (``ok`` or ``diverged``) of its key is there.

        Raises:
            LogError: ``run`` breaks a rule of the format, the log is damaged, or it cannot be
                written; it is as it was then.
        """
        line = line_of(run)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file, _locked(file):
                _mend(file, self.path)
                self._look(file)
                if unless_present and run.key in self._finished:
                    return False
                _write(file, line)
                if not self._offset:
                    _sync_folder(self.path.parent)
        except OSError as err:
            reason = "the disk is full" if err.errno == errno.ENOSPC else err.strerror or str(err)
            raise LogError(
                f"{self.path}: {reason}, so that the run of {run.architecture}, seed {run.seed}, could "
                "not be written. Nothing is lost of what stood there; free some space or choose "
                "another folder, and start again."
            ) from err
        self._offset, self._line = self._offset + len(line), self._line + 1
        if run.status != "failed":
            self._finished.add(run.key)
        return True

    def holds(self, key: Key) -> bool:
        """Return whether a finished run (``ok`` or ``diverged``) of ``key`` is there by now."""
        try:
            with self.path.open("rb") as file, _locked(file, shared=True):
                self._look(file)
        except FileNotFoundError:
            self._look(io.BytesIO())
        except OSError as err:
            _unreadable(self.path, err)
        return key in self._finished

    def _look(self, file: IO[bytes]) -> None:
        """Take in what was written since the last look."""
        shards = _shards(self.path.parent) if self.path.name == CURRENT else []
        source = (*map(os.fspath, shards), 0 if isinstance(file, io.BytesIO) else _inode(file))
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(_HEAD)
        if source != self._source or size < self._offset or not head.startswith(self._head):
            # packed, or another file
            self._finished = {
                run.key for shard in shards for run, _ in _read(shard)[0] if run.status != "failed"
            }
            self._source, self._offset, self._line = source, 0, 0
        file.seek(self._offset)
        data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        entries = _entries(data, self.path, self._line)
        self._finished |= {run.key for run, _ in entries if run.status != "failed"}
        self._offset, self._line = self._offset + len(data), self._line + len(entries)
        self._head = head[: self._offset]


def current_file(path: Path) -> Path:
    """Return the file to append to: ``path`` itself, or ``runs.jsonl`` in the folder ``path``."""
    return path / CURRENT if path.is_dir() or not path.suffix else path


def read_log(*paths: Path) -> Log:
    """Read logs: ``.jsonl``, ``.jsonl.gz``, ``.jsonl.xz``, ``.csv``, or folders of them.

    Of a folder the shards ``*.jsonl.xz`` are read and ``runs.jsonl``. A last line without its end is
    dropped, with a warning; no file is changed. The same run standing there twice counts once, and
    a failed run gives way to a finished one.

    Raises:
        LogError: A line is no run, a file is damaged, or finished runs of one key disagree.
    """
    entries: list[_Entry] = []
    torn, hashes = 0, {}
    for path in paths:
        live = path / CURRENT
        # The live log first: what is packed meanwhile is then read twice, not overlooked.
        tail = _read(live) if path.is_dir() and live.exists() else None
        shards = _shards(path) if path.is_dir() else [path]
        if not shards and tail is None:
            raise LogError(
                f"{path} is a folder without logs; expected {CURRENT} or *.jsonl.xz in it."
            )
        parts = [(file, _read(file)) for file in shards]
        if tail is not None and (tail[0] or tail[1]):  # an empty one is as good as none
            parts.append((live, tail))
        for file, (found, left, digest) in parts:
            entries += found
            hashes[str(file)] = digest
            if left:
                torn += left
                warnings.warn(
                    f"{file}: its last line is unfinished; {left} bytes were left out.",
                    RuntimeWarning,
                    stacklevel=2,
                )
    merged = _merged(entries)
    return Log([run for run, _ in merged], torn, [place for _, place in merged], hashes)


def read_csv(path: Path, *, space: str = "", dataset: str = "") -> Log:
    """Read a log in CSV form: one row for each epoch, metrics in columns.

    Columns are ``architecture``, ``seed``, ``epoch``, any text or number of :class:`LoggedRun`, and
    the metrics: all others. A run without epochs (failed, or diverged in the first) is one row with
    an empty ``epoch`` and empty metrics.

    Args:
        path: Comma-separated, UTF-8, with a header.
        space: For files without a column ``space``.
        dataset: For files without a column ``dataset``.

    Raises:
        LogError: As :func:`read_log`.
    """
    data = _bytes(path)
    merged = _merged(csv_entries(data, path, {"space": space, "dataset": dataset}))
    runs, places = [run for run, _ in merged], [place for _, place in merged]
    return Log(runs, 0, places, {str(path): _sha256(data)})


def pack(folder: Path) -> Path | None:
    """Move the lines of ``runs.jsonl`` to a new compressed shard and return it; None if there is none.

    Collectors may go on appending meanwhile. After a crash in the middle lines may stand in both
    places, which reading merges. An unfinished last line goes to ``runs.jsonl.torn``.

    Raises:
        LogError: The log is damaged; nothing was changed.
        ResultsError: The shard could not be written; nothing was changed.
    """
    live = folder / CURRENT
    if not live.exists():
        return None
    try:
        with live.open("ab+") as file, _locked(file):
            _mend(file, live)
            file.seek(0)
            data = file.read()
            if not _entries(data, live):
                return None
            shard = folder / f"runs-{hashlib.sha256(data).hexdigest()[:12]}.jsonl.xz"
            with replacing(shard) as temporary:
                temporary.write_bytes(lzma.compress(data))
                if _decompressed(temporary.read_bytes(), ".xz") != data:
                    raise OSError(errno.EIO, "what was written does not read back")
            _cut(file, 0)
            return shard
    except OSError as err:
        raise LogError(
            f"{live} cannot be packed: {err.strerror or err}. Nothing is lost; pack it again when "
            "the disk has space and lets it be written."
        ) from err


@contextmanager
def _locked(file: IO[bytes], *, shared: bool = False) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    except OSError:  # some file systems have no locks
        if not shared:
            raise
    try:
        yield
    finally:  # not only by closing: a forked process may hold the file too
        with suppress(OSError):
            fcntl.flock(file.fileno(), fcntl.LOCK_UN)


def _mend(file: IO[bytes], path: Path) -> None:
    """Move what follows the last line end to ``<log>.torn``."""
    if not file.seek(0, os.SEEK_END):
        return
    file.seek(-1, os.SEEK_END)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    data = file.read()
    whole = data.rfind(b"\n") + 1
    torn = path.with_name(f"{path.name}.torn")
    with torn.open("ab") as beside:
        beside.write(data[whole:] + b"\n")
        beside.flush()
        os.fsync(beside.fileno())
    _cut(file, whole)
    warnings.warn(
        f"{path}: a writer was stopped in the middle of its last line; {len(data) - whole} bytes "
        f"were moved to {torn.name}.",
        RuntimeWarning,
        stacklevel=3,
    )


def _write(file: IO[bytes], line: bytes) -> None:
    size = file.seek(0, os.SEEK_END)
    try:
        if os.write(file.fileno(), line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):  # else the next writer moves the rest away
            _cut(file, size)
        raise


def _cut(file: IO[bytes], size: int) -> None:
    os.ftruncate(file.fileno(), size)
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _inode(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_ino


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl.xz"))


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _unreadable(path: Path, err: Exception) -> NoReturn:
    raise LogError(
        f"{path} cannot be read ({str(err) or type(err).__name__}). It is missing, truncated or damaged; "
        "get it again, or restore it from a backup."
    ) from err


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file, _locked(file, shared=True):
            return file.read()
    except OSError as err:
        _unreadable(path, err)


def _decompressed(data: bytes, suffix: str) -> bytes:
    """Return the whole content of a compressed file; stricter than gzip and lzma are by themselves."""
    if suffix not in (".gz", ".xz"):
        return data
    if not data:
        raise EOFError("it is empty")
    if suffix == ".gz":
        return gzip.decompress(data)
    content = []
    while data:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        content.append(stream.decompress(data))
        if not stream.eof:
            raise EOFError("it ends too early")
        data = stream.unused_data
    return b"".join(content)


def _read(path: Path) -> tuple[list[_Entry], int, str]:
    """Return a file's runs, how many bytes its unfinished last line has, and its hash."""
    data = _bytes(path)
    digest = _sha256(data)
    if path.suffix == ".csv":
        return csv_entries(data, path, {}), 0, digest
    if not path.name.endswith((".jsonl", ".jsonl.gz", ".jsonl.xz")):
        raise LogError(
            f"{path} is no run log; expected a folder, or a name that ends in .jsonl, .jsonl.gz, "
            ".jsonl.xz or .csv."
        )
    try:
        data = _decompressed(data, path.suffix)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as err:
        _unreadable(path, err)
    whole = data.rfind(b"\n") + 1
    return _entries(data[:whole], path), len(data) - whole, digest


def _entries(data: bytes, path: Path, before: int = 0) -> list[_Entry]:
    """Return the runs of whole lines; ``before`` lines stand before them in the file."""
    entries = []
    for number, line in enumerate(data.split(b"\n")[:-1], before + 1):
        place = f"{path}:{number}"
        try:
            record = json.loads(line.decode(), parse_constant=_no_number)
        except (ValueError, RecursionError) as err:
            raise LogError(f"{place}: this line is not JSON ({err}). {SEE}") from err
        entries.append((run_of(record, place), place))
    return entries


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number; a diverged run's curve ends before it")


def _merged(entries: Iterable[_Entry]) -> list[_Entry]:
    """Return one run for each key."""
    found: dict[Key, _Entry] = {}
    for run, place in entries:
        other, there = found.get(run.key, (run, place))
        if other.status == "failed":
            found[run.key] = (run, place)
        elif run.status != "failed" and _outcome(run) != _outcome(other):
            raise LogError(
                f"{there} and {place} are the same run of {run.architecture}, seed {run.seed}, "
                f"but disagree: {other.status} with {_figures(other)} there, {run.status} with "
                f"{_figures(run)} here. Remove the one that does not belong in this log."
            )
        else:
            found.setdefault(run.key, (run, place))
    return list(found.values())


def _outcome(run: LoggedRun) -> tuple[RunStatus, dict[str, list[float]]]:
    """Return what two runs of one key must share: not their times, and no metrics without an epoch."""
    curve = run.curve if run.done else {}
    return run.status, {k: values for k, values in curve.items() if not k.endswith("seconds")}


def _figures(run: LoggedRun) -> str:
    last = {name: values[-1] for name, values in run.curve.items() if values}
    return f"{run.done} epochs, {last}"[:200]
