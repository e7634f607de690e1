"""Write a file or a folder completely or not at all: a temporary one beside it, fsync, rename."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nasbench_tab.errors import ResultsError

__all__ = ["replacing", "replacing_folder", "set_aside", "write_text"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well it becomes ``path`` in one step.

    After any exception the temporary file is removed and ``path`` is as it was. The directory is
    synced too, so that the new name survives a power cut.

    Raises:
        ResultsError: The file cannot be written (full disk, no permission, no such directory).
    """
    import tempfile  # here, since only writers need it

    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's 0600 would hide shared results
        temporary.replace(path)
        _sync(path.parent)
    except OSError as err:
        raise _not_written(path, err) from err
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder; when the block ends well it becomes the folder ``path``.

    A folder that stands there is moved aside first and removed last; after any exception it is as it
    was. A process that is killed between the two moves leaves nothing at ``path`` and both folders,
    complete, in a hidden one beside it: see :func:`set_aside`.

    Raises:
        ResultsError: The folder cannot be written (full disk, no permission).
    """
    import shutil  # here, since only writers need them
    import tempfile

    path = path.resolve()
    work: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=path.parent, prefix=_aside(path)))
        new = work / "new"
        new.mkdir()
        yield new
        for entry in [*new.rglob("*"), new, work]:
            _sync(entry)
        if path.exists():
            path.rename(work / "old")
        new.rename(path)
        _sync(path.parent)
    except OSError as err:
        raise _not_written(path, err) from err
    finally:
        if work is not None:
            with suppress(OSError):
                if (work / "old").exists() and not path.exists():
                    (work / "old").rename(path)
                shutil.rmtree(work)


def set_aside(path: Path) -> list[Path]:
    """Return the folders that killed writers of the folder ``path`` moved aside and left there."""
    path = path.resolve()
    return sorted(path.parent.glob(f"{glob.escape(_aside(path))}*/old"))


def _aside(path: Path) -> str:
    return f".{path.name}."


def _not_written(path: Path, err: OSError) -> ResultsError:
    reason = "the disk is full" if err.errno == errno.ENOSPC else (err.strerror or str(err))
    return ResultsError(
        f"Could not write {path}: {reason}. Nothing was changed there; "
        "free some space or choose another directory, and run the command again."
    )


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _sync(path: Path) -> None:
    if os.name != "posix" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
