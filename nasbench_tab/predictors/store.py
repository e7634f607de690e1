"""A fitted surrogate as a folder: plain data only, all of it checked when it is read.

Layout::

    manifest.toml     what it is and what it was fitted on; type, shape, size and SHA-256 of all else
    arrays.npz        plain arrays by name, not compressed
    models/...        boosted trees in their library's own plain form (UBJ)
    ...               further files, for people: a model card

The manifest's keys and its two hashes: :mod:`nasbench_tab.predictors.manifest`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from numpy.typing import NDArray

from nasbench_tab.atomic import replacing_folder, set_aside
from nasbench_tab.errors import ResultsError, SurrogateError
from nasbench_tab.predictors.arrays import arrays_from, bytes_of, shapes_of
from nasbench_tab.predictors.manifest import (
    ADDED,
    ARRAYS,
    FORMAT,
    MANIFEST,
    VERSION,
    check_manifest,
    fingerprint_of,
    metric_from,
    metric_table,
    seal_of,
    sha256,
)
from nasbench_tab.toml import toml_tables

__all__ = [
    "Stored",
    "metric_from",
    "metric_table",
    "read_manifest",
    "read_surrogate",
    "write_surrogate",
]

_MOST_MANIFEST = 2**23  # bytes


class Stored(NamedTuple):
    """What a folder holds, checked.

    Attributes:
        manifest: With the keys that writing adds, ``hash`` among them: the fingerprint.
        arrays: Read-only.
        files: Contents by path, with ``/``: ``models/0.ubj``.
    """

    manifest: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    files: dict[str, bytes]


def write_surrogate(
    folder: Path,
    manifest: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    files: Mapping[str, bytes],
) -> str:
    """Write a surrogate and return its fingerprint, ``"sha256:..."``; equal content, equal bytes.

    A surrogate that stands in ``folder`` is there until the new one is complete; a folder that holds
    anything else is left alone.

    Args:
        folder: Made if it is not there.
        manifest: See the module's docstring; keys that writing adds are made anew.
        arrays: Numbers, booleans and texts of fixed width; names like ``"curves/basis"``.
        files: Contents by path; ``models/...`` count for the fingerprint.

    Raises:
        SurrogateError: The parts break a rule of the format; nothing was written.
        ResultsError: The folder cannot be written, or holds something else; nothing was changed.
    """
    where = f"The surrogate {manifest.get('name')!r}"
    _check_free(folder)
    if files.keys() & {ARRAYS, MANIFEST}:
        raise SurrogateError(
            f"{where}: {ARRAYS} and {MANIFEST} are written here; name the file otherwise."
        )
    contents = {**files, ARRAYS: bytes_of(arrays, where)}
    listing = {
        path: {"sha256": sha256(data), "size": len(data)} for path, data in sorted(contents.items())
    }
    full = {
        "format": FORMAT,
        "version": VERSION,
        **{key: value for key, value in manifest.items() if key not in ADDED},
        "arrays": shapes_of(arrays),
        "files": listing,
    }
    try:
        full = tomllib.loads(toml_tables(full))  # as it will be read
        full["hash"] = fingerprint_of(full)
        full["manifest_hash"] = seal_of(full)
        text = toml_tables(full).encode()
    except (TypeError, ValueError, RecursionError) as err:
        raise SurrogateError(f"{where}: the manifest cannot be written as TOML: {err}") from err
    check_manifest(full, where)
    with replacing_folder(folder) as new:
        for path, data in contents.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_bytes(data)
        (new / MANIFEST).write_bytes(text)
        read_surrogate(new)  # what it refuses must not take the old one's place
    fingerprint: str = full["hash"]
    return fingerprint


def read_surrogate(folder: Path) -> Stored:
    """Read a surrogate and check all of it.

    Raises:
        SurrogateError: A file is missing, foreign, truncated or altered, the manifest contradicts
            itself or the files, or a newer version wrote it.
    """
    manifest = read_manifest(folder)
    listing: dict[str, dict[str, Any]] = manifest["files"]
    # Hidden ones are a file manager's, or git's; nothing reads them.
    foreign = sorted(p for p in _present(folder) - {*listing, MANIFEST} if not p.startswith("."))
    if foreign:
        raise SurrogateError(
            f"{folder} holds {', '.join(foreign[:5])}, of which its manifest does not know. Move away "
            "what does not belong there, or get the surrogate again."
        )
    contents = {
        path: _content(folder / path, expected) for path, expected in sorted(listing.items())
    }
    arrays = arrays_from(contents.pop(ARRAYS), manifest["arrays"], str(folder / ARRAYS))
    return Stored(manifest, arrays, contents)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the checked manifest of a surrogate without looking at its other files.

    Raises:
        SurrogateError: It is missing, altered, inconsistent or of a newer version.
    """
    path = folder / MANIFEST
    try:
        manifest = _parsed(path)
    except (OSError, ValueError, RecursionError) as err:
        left = "".join(
            f" A writer was stopped in the middle: the surrogate of before is complete in {old}; move "
            f"it to {folder}."
            for old in set_aside(folder)[:1]
        )
        raise SurrogateError(
            f"{path} cannot be read as the manifest of a surrogate ({err}). It is missing, truncated "
            f"or damaged; get the surrogate again, or fit it again.{left}"
        ) from err
    format_, version = manifest.get("format"), manifest.get("version")
    if format_ != FORMAT or type(version) is not int or version != VERSION:
        todo = "Get the surrogate again."
        if format_ == FORMAT and type(version) is int and version >= 1:
            newer, older = "Upgrade nasbench_tab.", "An older release wrote it: fit it again."
            todo = newer if version > VERSION else older
        raise SurrogateError(
            f"{path} has format {format_!r} version {version!r}; this release reads {FORMAT!r} "
            f"version {VERSION}. {todo}"
        )
    check_manifest(manifest, str(path))
    return manifest


def _parsed(path: Path) -> dict[str, Any]:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ValueError("it is no file")
    if path.stat().st_size > _MOST_MANIFEST:
        raise ValueError(f"more than {_MOST_MANIFEST} bytes")
    return tomllib.loads(path.read_bytes().decode())


def _content(path: Path, expected: Mapping[str, Any]) -> bytes:
    """Return the bytes of a file of which size and hash are known."""
    try:
        if not path.is_file():  # a pipe would be waited for
            _differs(path, "a file of its own expected; it is missing, or something else")
        if path.stat().st_size != expected["size"]:
            _differs(path, f"{expected['size']} bytes expected, {path.stat().st_size} got")
        data = path.read_bytes()
    except OSError as err:
        _differs(path, f"it cannot be read: {err.strerror or err}")
    if sha256(data) != expected["sha256"]:
        _differs(path, f"{expected['sha256']} expected, {sha256(data)} got")
    return data


def _differs(path: Path, problem: str) -> NoReturn:
    raise SurrogateError(
        f"{path} is not the file that the manifest describes: {problem}. It was altered, truncated or "
        "damaged; get the surrogate again, or fit it again."
    )


def _present(folder: Path) -> set[str]:
    """Return the paths of all files in a folder."""
    return {
        (Path(top) / name).relative_to(folder).as_posix()
        for top, _, names in os.walk(folder)
        for name in names
    }


def _check_free(folder: Path) -> None:
    """Raise ResultsError if something other than a surrogate stands in ``folder``."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        listing = _parsed(folder / MANIFEST)
        own = {*listing["files"], MANIFEST} if listing["format"] == FORMAT else set()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        own = set()
    foreign = sorted(_present(folder) - own) if folder.is_dir() else [folder.name]
    if foreign or not own:
        raise ResultsError(
            f"{folder} holds {', '.join(foreign[:5])}, which is no surrogate's and would be lost. "
            "Nothing was changed; choose another folder, or an empty one."
        )
